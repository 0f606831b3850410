//! Signatures of EVM accounts (EIP-191, version 0x45: `personal_sign`).
//!
//! 1. The zero account is refused before anything else. Recovery from a malformed signature yields zero in
//!    the EVM, and verifiers that compare without looking let anybody in as `0x000…0`.
//! 2. The signature is 65 bytes `r ‖ s ‖ v` with v 0, 1, 27 or 28, or, where the carrier takes them, the 64
//!    bytes of EIP-2098; hex of either letter case, `0x` before it or not.
//! 3. r and s are from 1 to below the group order, and s at most half of it (EIP-2).
//! 4. The account's own key comes first, and needs nobody. This is right for delegated accounts (EIP-7702) too: their
//!    key stays good even when what they delegate to knows no signatures.
//! 5. What the key did not make, a contract may take: that is a question ([`contract`]), if such schemes are accepted.
//!    Where they are not, what only a contract could answer, a wrapped signature (ERC-6492, ERC-8010) or one of
//!    another length, is refused by a name of its own, so that the log tells an operator which users are shut out.

pub mod address;
pub mod contract;
mod signature;

use self::{contract::ContractCall, signature::Signature};
use super::{
    Accepts, Chain, Outcome, Scheme, SignatureError, Signed, SignerKey,
    recovery::{self, Recoverable},
};

/// The chains of namespace `eip155`.
#[derive(Debug)]
pub struct Eip155;

impl Chain for Eip155 {
    fn namespace(&self) -> &'static str {
        "eip155"
    }

    fn schemes(&self) -> &'static [Scheme] {
        &[Scheme::Eip191, Scheme::Eip1271, Scheme::Eip6492]
    }

    fn verify(&self, signed: &Signed<'_>, accepts: &Accepts) -> Result<Outcome, SignatureError> {
        self.verify_known(signed, accepts, &SignerKey::default())
    }

    fn verify_known(
        &self,
        signed: &Signed<'_>,
        accepts: &Accepts,
        known: &SignerKey,
    ) -> Result<Outcome, SignatureError> {
        let account = address::parse(signed.address).map_err(|_| SignatureError::MalformedAddress)?;
        if account == [0; 20] {
            return Err(SignatureError::ZeroAccount);
        }
        let signature = Signature::read(signed.signature)?;
        let digest = digest(signed.text);
        let signer = match signature {
            Signature::Key(Recoverable::Compact(_)) if !accepts.compact => Err(SignatureError::FormNotAccepted),
            _ => signature.signer(&digest, known.eip155.get()),
        };
        let refused = match signer {
            Ok(signer) if signer.account == account => {
                known.eip155.get_or_init(|| signer);
                return Ok(Outcome::Valid(Scheme::Eip191));
            }
            Ok(_) => SignatureError::SignatureMismatch,
            Err(error) => error,
        };
        let refused = if signature.asks_contract() { SignatureError::RpcNotConfigured } else { refused };
        let Some(scheme) = signature.contract_scheme(accepts)? else {
            return Err(refused);
        };
        let call = ContractCall::new(scheme, signed.chain.clone(), account, digest, signature.into_bytes(), refused)?;
        Ok(Outcome::AskContract(Box::new(call)))
    }
}

/// What a wallet signs for a text (EIP-191, "Version 0x45"); the length counts bytes, in decimal.
pub fn digest(text: &[u8]) -> [u8; 32] {
    recovery::digest(b"\x19Ethereum Signed Message:\n", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `hashMessage` that the common libraries document.
    #[test]
    fn digest_of_hello_world() {
        let hex = data_encoding::HEXLOWER.encode(&digest(b"Hello World"));
        assert_eq!(hex, "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2");
    }
}
