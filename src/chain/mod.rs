//! Which chains are spoken, and whether a wallet of one of them made a signature.
//!
//! 1. What is verified is the text as it was signed, byte for byte; nothing is trimmed, normalised or
//!    rebuilt from parsed fields.
//! 2. The CAIP-2 namespace of the message picks the [`Chain`], never a word the client sends beside it.
//! 3. A carrier may narrow what is taken, through [`Accepts`]; nothing widens it.
//! 4. Everything here is a function of its arguments: no clock, no network, no state. What only a contract on a
//!    chain could tell comes out as a [`Question`]; who can ask a node of that chain brings the answer back to it.
//!
//! A new chain is a file with an `impl Chain` and a line in [`CHAINS`]; the wording of its texts is a row of
//! [`DIALECTS`], where the families known today stand already. Grammar, domain, nonce and times are judged in
//! [`siwx`](crate::siwx), before, because they are cheaper.

pub mod account;
mod base58check;
pub mod bip122;
pub mod dialects;
pub mod ed25519;
pub mod eip155;
mod recovery;
mod secp256k1;
pub mod solana;
pub mod sui;
pub mod tron;

use std::sync::OnceLock;

use thiserror::Error;

pub use self::{
    dialects::DIALECTS,
    eip155::contract::{CallAnswer, ContractCall, ContractKey, ContractVerdict, EthCall, UnclearAnswer},
    solana::encoding::Encoding,
};
use crate::{
    caip::{AccountId, ChainId},
    siwx::{claims::Claims, proof::Proof},
};

/// The chains whose signatures are verified. Their order has no meaning.
pub static CHAINS: &[&dyn Chain] = &[&eip155::Eip155, &solana::Solana, &bip122::Bip122, &tron::Tron, &sui::Sui];

/// The longest signature text looked at, in bytes: contract wallets not deployed yet wrap what deploys them,
/// and of what such a wrapping holds 2 to 8 KiB are usual (ERC-6492). Carriers have tighter limits of their own.
const SIGNATURE_BYTES_MAX: usize = 32 * 1024;

/// A family of chains: how its accounts sign.
///
/// `verify` must answer [`Outcome::Valid`] only if the holder of the account's key signed exactly `signed.text`, in a
/// form that `accepts` allows. When in doubt it refuses: whoever gets a false yes is that account. It must not panic
/// and must do a bounded amount of work whatever the address, the text and the signature hold.
pub trait Chain: Sync {
    /// The CAIP-2 namespace.
    fn namespace(&self) -> &'static str;

    /// The schemes in which accounts of this family sign.
    fn schemes(&self) -> &'static [Scheme];

    /// Which scheme the signature is good in, or whom to ask.
    fn verify(&self, signed: &Signed<'_>, accepts: &Accepts) -> Result<Outcome, SignatureError>;

    /// The same, with what was learnt of the account's key before, and learning it. The verdict is the same.
    fn verify_known(
        &self,
        signed: &Signed<'_>,
        accepts: &Accepts,
        _known: &SignerKey,
    ) -> Result<Outcome, SignatureError> {
        self.verify(signed, accepts)
    }
}

/// What a chain knows of a signature that it does not refuse.
#[derive(Debug)]
pub enum Outcome {
    /// The account's key made it.
    Valid(Scheme),
    /// If it is good, then because a contract says so.
    AskContract(Box<ContractCall>),
}

/// How a signature was made, and so how it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `personal_sign` by the key of an EVM account (EIP-191, version 0x45).
    Eip191,
    /// Whatever the contract at an EVM account takes for its signature (EIP-1271).
    Eip1271,
    /// The same for a contract that is not deployed yet, with what would deploy it (ERC-6492).
    Eip6492,
    /// Ed25519 over the text itself (RFC 8032, verified strictly).
    Ed25519,
    /// Ed25519 over Solana's off-chain message envelope around the text.
    SolanaOffchain,
    /// A Solana transaction, never sent, whose one memo is the text.
    SolanaMemo,
    /// The old form of Bitcoin's signed messages, from which the key is recovered (BIP-137).
    Bip137,
    /// The witness that would spend from a Bitcoin address (BIP-322, the simple form).
    Bip322,
    /// `signMessageV2` by the key of a Tron account (TIP-191).
    Tip191,
    /// `signPersonalMessage` by a key of a Sui account, of whichever curve.
    Sui,
}

/// What a carrier takes of what the chains can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// EVM and Tron signatures of 64 bytes (EIP-2098).
    pub compact: bool,
    /// Signatures that the contract at an EVM account is asked about (EIP-1271).
    pub eip1271: bool,
    /// Signatures of EVM contracts that are not deployed yet (ERC-6492).
    pub eip6492: bool,
    /// Solana's off-chain message envelopes, which hardware wallets sign.
    pub offchain: bool,
    /// Solana memo transactions. Such a proof is a transaction that anyone who sees it could broadcast.
    pub memo: bool,
    /// The encodings of Solana signatures, in the order in which they are tried.
    pub solana_encodings: &'static [Encoding],
}

/// What a signature is said to be of.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// The chain named in the text.
    pub chain: &'a ChainId,
    /// The address named in the text, in any spelling its chain reads.
    pub address: &'a str,
    /// The exact bytes the wallet showed and signed.
    pub text: &'a [u8],
    /// The domain named in the text; an off-chain envelope may repeat it.
    pub domain: Option<&'a str>,
    /// The signature as presented.
    pub signature: &'a str,
}

/// The public key behind an account, once a signature of it was verified. An EVM address is a hash of its key, which
/// has to be recovered from the first signature; to hold a later one against a known key takes less. Whatever is in
/// here, even the key of another account, changes no verdict.
#[derive(Debug, Default)]
pub struct SignerKey {
    eip155: OnceLock<recovery::Signer>,
}

/// A message whose signature was verified: who says what. [`verify`] is the only maker, so that having one is
/// the evidence. Whether the claims are good here and now is another question, asked on every request.
#[derive(Debug, Clone)]
pub struct Verified {
    claims: Claims,
    account: AccountId,
    scheme: Scheme,
}

/// What became of a proof.
#[derive(Debug)]
pub enum Verification {
    /// Its signature is right.
    Verified(Box<Verified>),
    /// A contract decides.
    AskContract(Box<Question>),
}

/// A message whose signature only a contract can judge. With the contract's yes it becomes a [`Verified`].
#[derive(Debug)]
pub struct Question {
    claims: Claims,
    account: AccountId,
    call: Box<ContractCall>,
}

/// Why a signature is refused. All of these are the client's: trying again with the same bytes is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum SignatureError {
    /// The contract was asked, and does not take it.
    #[error("expected a signature that the account's contract takes, found one that it refuses")]
    ContractRefused,
    /// An ERC-8010 signature, of an account that is not delegated yet.
    #[error("expected another form of signature, found an ERC-8010 one, which is not verified here")]
    Erc8010Unsupported,
    /// A form that the chain could verify, and this carrier or configuration does not take.
    #[error("expected a form of signature that is taken here, found another one that its chain has")]
    FormNotAccepted,
    /// ECDSA's s is above n/2: a second signature that anyone can make from the first (EIP-2, BIP-62).
    #[error("expected an s of at most half the order of its curve, found a higher one")]
    HighS,
    /// Only a script interpreter could tell, and there is none (BIP-322, "Verification process", the third answer).
    #[error("expected a Bitcoin signature that the key of the address decides, found one that takes its scripts")]
    Inconclusive,
    /// The address is none of its chain.
    #[error("expected an address of the message's chain, found something else")]
    MalformedAddress,
    /// The signature's text or its numbers are outside their form.
    #[error("expected a signature in a form of the message's chain, found something else")]
    MalformedSignature,
    /// The message names no chain, so there is no CAIP-10 account that it could prove.
    #[error("expected a message that names its chain, found one without a chain id")]
    NoChain,
    /// The form asks for a contract's answer, and no RPC is configured.
    #[error("expected a signature by a key, found one that only a contract could verify, and no rpc is configured")]
    RpcNotConfigured,
    /// The signature is of another account or of another text.
    #[error("expected a signature of this text by the message's account, found another one")]
    SignatureMismatch,
    /// The transaction does more, or other things, than to carry the text.
    #[error("expected a transaction of the account with the text as its one memo, found another one")]
    UnexpectedTransaction,
    /// No chain of this namespace is spoken.
    #[error("expected a chain whose signatures are verified here, found another one")]
    UnknownNamespace,
    /// The account's key is no point of prime order, so that signatures of it need no secret.
    #[error("expected an account that is an ed25519 public key, found a point of small order or none")]
    WeakKey,
    /// The zero account, as which a broken recovery shows itself.
    #[error("expected an account with a key, found the zero account")]
    ZeroAccount,
}

/// Verifies the signature of a proof over its text, as the account that its message names, where no contract can be
/// asked.
pub fn verify(proof: &Proof, accepts: &Accepts) -> Result<Verified, SignatureError> {
    match verify_known(proof, accepts, &SignerKey::default())? {
        Verification::Verified(verified) => Ok(*verified),
        Verification::AskContract(question) => Err(question.unasked()),
    }
}

/// Verifies the signature of a proof, of an account of which signatures may have been verified before.
pub fn verify_known(proof: &Proof, accepts: &Accepts, known: &SignerKey) -> Result<Verification, SignatureError> {
    let message = proof.message();
    let account = message.account.as_ref().ok_or(SignatureError::NoChain)?;
    let signed = Signed {
        chain: &account.chain(),
        address: account.address(),
        text: proof.text().as_bytes(),
        domain: Some(&message.domain),
        signature: proof.signature(),
    };
    let outcome = chain_of(&signed)?.verify_known(&signed, accepts, known)?;
    let (claims, account) = (proof.claims().clone(), account.clone());
    Ok(match outcome {
        Outcome::Valid(scheme) => Verification::Verified(Box::new(Verified { claims, account, scheme })),
        Outcome::AskContract(call) => Verification::AskContract(Box::new(Question { claims, account, call })),
    })
}

/// Verifies a signature where no contract can be asked. Grammar, domain, nonce and times of the text are not looked
/// at.
pub fn verify_signature(signed: &Signed<'_>, accepts: &Accepts) -> Result<Scheme, SignatureError> {
    match outcome_of(signed, accepts)? {
        Outcome::Valid(scheme) => Ok(scheme),
        Outcome::AskContract(call) => Err(call.unasked()),
    }
}

/// The same where a contract may be asked.
pub fn outcome_of(signed: &Signed<'_>, accepts: &Accepts) -> Result<Outcome, SignatureError> {
    chain_of(signed)?.verify(signed, accepts)
}

/// Whose signature it would be, if its text is neither empty nor too long.
fn chain_of(signed: &Signed<'_>) -> Result<&'static dyn Chain, SignatureError> {
    let namespace = signed.chain.namespace();
    let chain = CHAINS.iter().find(|chain| chain.namespace() == namespace).ok_or(SignatureError::UnknownNamespace)?;
    if signed.signature.is_empty() || signed.signature.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::MalformedSignature);
    }
    Ok(*chain)
}

// === impl Scheme ===

impl Scheme {
    /// Every scheme.
    pub const ALL: &'static [Self] = &[
        Self::Eip191,
        Self::Eip1271,
        Self::Eip6492,
        Self::Ed25519,
        Self::SolanaOffchain,
        Self::SolanaMemo,
        Self::Bip137,
        Self::Bip322,
        Self::Tip191,
        Self::Sui,
    ];

    /// The name in metrics, headers and session answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip191 => "eip191",
            Self::Eip1271 => "eip1271",
            Self::Eip6492 => "eip6492",
            Self::Ed25519 => "ed25519",
            Self::SolanaOffchain => "solana-offchain",
            Self::SolanaMemo => "solana-memo",
            Self::Bip137 => "bip137",
            Self::Bip322 => "bip322",
            Self::Tip191 => "tip191",
            Self::Sui => "sui",
        }
    }

    /// Whether a contract said yes, and may say no tomorrow: owners change.
    pub const fn is_contract(self) -> bool {
        matches!(self, Self::Eip1271 | Self::Eip6492)
    }
}

// === impl Accepts ===

impl Accepts {
    /// Everything that the chains can verify.
    pub const fn all() -> Self {
        Self {
            compact: true,
            eip1271: true,
            eip6492: true,
            offchain: true,
            memo: true,
            solana_encodings: Encoding::ALL,
        }
    }
}

/// What header carriers take unless configuration says otherwise.
impl Default for Accepts {
    fn default() -> Self {
        Self { compact: false, eip1271: false, eip6492: false, memo: false, ..Self::all() }
    }
}

// === impl Verified ===

impl Verified {
    /// What the message says, for [`check`](crate::siwx::claims::check).
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Who signed it, in canonical spelling.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// How it was signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

// === impl Question ===

impl Question {
    /// What the contract is to be asked.
    pub fn call(&self) -> &ContractCall {
        &self.call
    }

    /// Who would have signed.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// What the message says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Takes the contract's answer. One to another question is a refusal.
    pub fn conclude(self, verdict: &ContractVerdict) -> Result<Verified, SignatureError> {
        if !verdict.is_yes_to(&self.call) {
            return Err(SignatureError::ContractRefused);
        }
        Ok(Verified { claims: self.claims, account: self.account, scheme: self.call.scheme() })
    }

    /// Why it is refused where nobody can be asked.
    pub fn unasked(&self) -> SignatureError {
        self.call.unasked()
    }
}

// === impl SignatureError ===

impl SignatureError {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::ContractRefused,
        Self::Erc8010Unsupported,
        Self::FormNotAccepted,
        Self::HighS,
        Self::Inconclusive,
        Self::MalformedAddress,
        Self::MalformedSignature,
        Self::NoChain,
        Self::RpcNotConfigured,
        Self::SignatureMismatch,
        Self::UnexpectedTransaction,
        Self::UnknownNamespace,
        Self::WeakKey,
        Self::ZeroAccount,
    ];

    /// The name in logs. To clients all of these are one `bad_signature`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContractRefused => "contract_refused",
            Self::Erc8010Unsupported => "erc8010_unsupported",
            Self::FormNotAccepted => "form_not_accepted",
            Self::HighS => "high_s",
            Self::Inconclusive => "inconclusive",
            Self::MalformedAddress => "malformed_address",
            Self::MalformedSignature => "malformed_signature",
            Self::NoChain => "no_chain",
            Self::RpcNotConfigured => "rpc_not_configured",
            Self::SignatureMismatch => "signature_mismatch",
            Self::UnexpectedTransaction => "unexpected_transaction",
            Self::UnknownNamespace => "unknown_namespace",
            Self::WeakKey => "weak_key",
            Self::ZeroAccount => "zero_account",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A chain is one line in one table, and its texts can be read.
    #[test]
    fn chains_are_there_once_and_have_a_dialect() {
        let namespaces: HashSet<_> = CHAINS.iter().map(|chain| chain.namespace()).collect();
        assert_eq!(namespaces.len(), CHAINS.len());
        for namespace in namespaces {
            assert_eq!(DIALECTS.iter().filter(|dialect| dialect.namespace == namespace).count(), 1, "{namespace}");
        }
    }

    /// No scheme is offered by two chains, and none by nobody.
    #[test]
    fn schemes_belong_to_one_chain_each() {
        let offered: Vec<_> = CHAINS.iter().flat_map(|chain| chain.schemes()).collect();
        assert_eq!(offered, Scheme::ALL.iter().collect::<Vec<_>>());
    }

    #[test]
    fn names_are_distinct() {
        let schemes: HashSet<_> = Scheme::ALL.iter().map(|scheme| scheme.as_str()).collect();
        assert_eq!(schemes.len(), Scheme::ALL.len());
        let errors: HashSet<_> = SignatureError::ALL.iter().map(|error| error.as_str()).collect();
        assert_eq!(errors.len(), SignatureError::ALL.len());
        for (position, error) in SignatureError::ALL.iter().enumerate() {
            assert_eq!(*error as usize, position);
        }
    }
}
