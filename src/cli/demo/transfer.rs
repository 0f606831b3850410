//! The authorization that a payment of scheme `exact` on an EVM chain is: `TransferWithAuthorization` of EIP-3009,
//! signed as typed data (EIP-712). The demo's wallet writes one, and the demo's test facilitator reads it.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};

use crate::{
    chain::eip155::address::{self, checksummed},
    cli::wallet::{Wallet, WalletError},
    time::UnixTime,
    x402::{VERSION, terms::Terms, wire},
};

/// The type of the domain of a token that signs by name and version (EIP-712, `eip712Domain`).
const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

/// The type of what is signed (EIP-3009).
const TRANSFER_TYPE: &str = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,\
    uint256 validBefore,bytes32 nonce)";

/// A token to be moved, by anybody who has the signature, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    /// Whose token.
    pub(super) from: [u8; 20],
    /// To whom it goes.
    pub(super) to: [u8; 20],
    /// How much, in the smallest unit.
    pub(super) value: u128,
    /// Not at this second and not before it.
    pub(super) valid_after: u64,
    /// Before this second.
    pub(super) valid_before: u64,
    /// The token remembers it, by `from`.
    pub(super) nonce: [u8; 32],
}

/// Where a token is, and what it calls itself when something is signed for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    name: &'a str,
    version: &'a str,
    chain_id: u64,
    contract: [u8; 20],
}

// === impl Token ===

impl<'a> Token<'a> {
    /// The token of a payment requirement of scheme `exact` on an EVM chain.
    pub(super) fn of(requirement: &'a Value) -> Option<Self> {
        Some(Self {
            name: requirement["extra"]["name"].as_str()?,
            version: requirement["extra"]["version"].as_str()?,
            chain_id: requirement["network"].as_str()?.strip_prefix("eip155:")?.parse().ok()?,
            contract: address::parse(requirement["asset"].as_str()?).ok()?,
        })
    }

    fn separator(&self) -> [u8; 32] {
        hashed(&[
            keccak(DOMAIN_TYPE.as_bytes()),
            keccak(self.name.as_bytes()),
            keccak(self.version.as_bytes()),
            word(&self.chain_id.to_be_bytes()),
            word(&self.contract),
        ])
    }
}

// === impl Transfer ===

impl Transfer {
    /// Reads `payload.authorization` of a payment.
    pub(super) fn read(authorization: &Value) -> Option<Self> {
        let text = |name: &str| authorization[name].as_str();
        Some(Self {
            from: address::parse(text("from")?).ok()?,
            to: address::parse(text("to")?).ok()?,
            value: text("value")?.parse().ok()?,
            valid_after: text("validAfter")?.parse().ok()?,
            valid_before: text("validBefore")?.parse().ok()?,
            nonce: bytes(text("nonce")?)?,
        })
    }

    /// What is signed (EIP-712, `encode(domainSeparator, message)`).
    pub(super) fn digest(&self, token: &Token<'_>) -> [u8; 32] {
        let message = hashed(&[
            keccak(TRANSFER_TYPE.as_bytes()),
            word(&self.from),
            word(&self.to),
            word(&self.value.to_be_bytes()),
            word(&self.valid_after.to_be_bytes()),
            word(&self.valid_before.to_be_bytes()),
            self.nonce,
        ]);
        let mut hash = Keccak256::new_with_prefix(b"\x19\x01");
        hash.update(token.separator());
        hash.update(message);
        hash.finalize().into()
    }

    /// Whether its payer signed it: 65 bytes, v 27 or 28, s in the lower half as the token's contract asks for.
    pub(super) fn is_signed(&self, token: &Token<'_>, signature: &str) -> bool {
        let signer = || {
            let [rs @ .., v] = bytes::<65>(signature)?;
            let id = RecoveryId::from_byte(v.checked_sub(27).filter(|id| *id < 2)?)?;
            let signature =
                Signature::from_slice(&rs).ok().filter(|signature| signature.normalize_s() == *signature)?;
            VerifyingKey::recover_from_prehash(&self.digest(token), &signature, id).ok()
        };
        signer().is_some_and(|key| address::of_key(&key) == self.from)
    }
}

/// The value of a `PAYMENT-SIGNATURE` header that accepts these terms, good from now on for `lifetime_secs`.
pub(super) fn payment(
    wallet: &Wallet,
    terms: &Terms,
    nonce: [u8; 32],
    (now, lifetime_secs): (UnixTime, u64),
) -> Result<String, WalletError> {
    let accepted: Value = serde_json::from_str(&terms.json()).expect("terms write JSON");
    let payer = wallet.address();
    let transfer = Transfer {
        from: address::parse(&payer).map_err(|_| WalletError::TypedData)?,
        to: address::parse(terms.pay_to()).expect("the demo's seller has an address"),
        value: terms.amount(),
        valid_after: 0,
        valid_before: u64::try_from(now.secs()).unwrap_or_default() + lifetime_secs,
        nonce,
    };
    let token = Token::of(&accepted).expect("terms on an EVM chain name their token");
    let signature = wallet.sign_typed(&transfer.digest(&token))?;
    let payment = json!({
        "x402Version": VERSION,
        "payload": {
            "authorization": {
                "from": payer,
                "to": checksummed(&transfer.to),
                "value": transfer.value.to_string(),
                "validAfter": transfer.valid_after.to_string(),
                "validBefore": transfer.valid_before.to_string(),
                "nonce": format!("0x{}", HEXLOWER.encode(&transfer.nonce)),
            },
            "signature": signature,
        },
        "accepted": accepted,
    });
    Ok(wire::encode_header(&payment.to_string()))
}

fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

fn hashed(words: &[[u8; 32]]) -> [u8; 32] {
    keccak(words.as_flattened())
}

/// A number or an address as a word: zeros before it.
fn word(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    word[32 - bytes.len()..].copy_from_slice(bytes);
    word
}

/// `0x` and the hex digits of so many bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * N)?;
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}
