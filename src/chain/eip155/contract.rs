//! What a contract wallet is asked about a signature, and what its answer means (EIP-1271, ERC-6492).
//!
//! 1. Nothing is sent from here: a [`ContractCall`] is the question, an [`EthCall`] its bytes for one way of asking, a
//!    [`CallAnswer`] what a node said, and a [`ContractVerdict`] what that means. A verdict knows which question it
//!    answers, and is good for no other: that is what keeps a remembered yes from being served to somebody else.
//! 2. A contract that is there is asked directly. The call that also deploys reverts on signatures of less than 32
//!    bytes, and a contract may take a signature of any length, none included.
//! 3. A wrapped signature goes to the universal validator in a call without `to`, or to one that is deployed where a
//!    chain has no such calls. The factory call inside is arbitrary, and so these bytes are for `eth_call` alone:
//!    never for a transaction, never with `from`, `value` or overrides.
//! 4. One level of wrapping. What is wrapped twice is given to the contract as it is.
//! 5. Yes is exactly the magic value, and exactly the validator's 1. An answer that the validator cannot give is
//!    nobody's no: it is [`UnclearAnswer`].

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    caip::ChainId,
    chain::{Scheme, SignatureError},
};

/// `isValidSignature(bytes32,bytes)`, and what it returns for a good signature (EIP-1271).
const IS_VALID_SIGNATURE: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// `isValidSig(address,bytes32,bytes)` of a validator that is deployed (ERC-6492, "Validator").
const IS_VALID_SIG: [u8; 4] = [0x98, 0xef, 0x1e, 0xd8];

/// Creation code of the universal validator (ERC-6492, "Off-chain signature verification"): run without being
/// deployed, it returns one byte.
const VALIDATOR: &[u8] = include_bytes!("validator.bin");

/// Bytes of a word of the contract ABI.
const WORD: usize = 32;

/// Which question: a digest of everything in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContractKey([u8; 32]);

/// Whether a contract takes a signature for its account's.
#[derive(Debug, Clone)]
pub struct ContractCall {
    scheme: Scheme,
    chain: ChainId,
    account: [u8; 20],
    digest: [u8; 32],
    signature: Vec<u8>,
    /// Why it is refused where nobody can be asked.
    unasked: SignatureError,
}

/// The same as a call that a node can run.
#[derive(Debug)]
pub struct EthCall {
    to: Option<[u8; 20]>,
    data: Vec<u8>,
    reading: Reading,
    key: ContractKey,
}

/// How the returned bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The magic value.
    Magic,
    /// One byte, 0 or 1.
    Byte,
    /// One word, 0 or 1.
    Word,
}

/// What a node said to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallAnswer {
    /// It ran, and returned these bytes.
    Returned(Vec<u8>),
    /// It was run and failed: reverted, out of gas.
    Failed,
}

/// What a contract says to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractVerdict {
    key: ContractKey,
    yes: bool,
}

/// The node's answer is none that this call can have: the node does not run such calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected the validator's 0 or 1, found something else")]
pub struct UnclearAnswer;

// === impl ContractCall ===

impl ContractCall {
    /// A question about a signature of `digest`. What is said to be wrapped must come apart.
    pub(super) fn new(
        scheme: Scheme,
        chain: ChainId,
        account: [u8; 20],
        digest: [u8; 32],
        signature: Vec<u8>,
        unasked: SignatureError,
    ) -> Result<Self, SignatureError> {
        if scheme == Scheme::Eip6492 && !is_wrapping(&signature[..signature.len().saturating_sub(WORD)]) {
            return Err(SignatureError::MalformedSignature);
        }
        Ok(Self { scheme, chain, account, digest, signature, unasked })
    }

    /// The chain the contract is on.
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The scheme in which the signature is good if the answer is yes.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Why it is refused where nobody can be asked.
    pub const fn unasked(&self) -> SignatureError {
        self.unasked
    }

    /// Which question this is. Two that differ in anything have different keys.
    pub fn key(&self) -> ContractKey {
        let mut hasher = Sha256::new();
        hasher.update(Sha256::digest(self.chain.as_str()));
        hasher.update(Sha256::digest(self.scheme.as_str()));
        hasher.update(self.account);
        hasher.update(self.digest);
        hasher.update(Sha256::digest(&self.signature));
        ContractKey(hasher.finalize().into())
    }

    /// The call to be run. `validator` is the address of one that is deployed, for chains that need it.
    pub fn eth_call(&self, validator: Option<[u8; 20]>) -> EthCall {
        let key = self.key();
        if self.scheme != Scheme::Eip6492 {
            let mut data = IS_VALID_SIGNATURE.to_vec();
            data.extend_from_slice(&self.digest);
            push_bytes(&mut data, 2 * WORD, &self.signature);
            return EthCall { to: Some(self.account), data, reading: Reading::Magic, key };
        }
        let (mut data, reading) = match validator {
            Some(_) => (IS_VALID_SIG.to_vec(), Reading::Word),
            None => (VALIDATOR.to_vec(), Reading::Byte),
        };
        data.extend_from_slice(&[0; 12]);
        data.extend_from_slice(&self.account);
        data.extend_from_slice(&self.digest);
        push_bytes(&mut data, 3 * WORD, &self.signature);
        EthCall { to: validator, data, reading, key }
    }
}

// === impl EthCall ===

impl EthCall {
    /// Whom it is to; nobody: its data is code to be run.
    pub const fn to(&self) -> Option<&[u8; 20]> {
        self.to.as_ref()
    }

    /// Its input.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// What an answer to it means.
    pub fn read(&self, answer: &CallAnswer) -> Result<ContractVerdict, UnclearAnswer> {
        let yes = match (self.reading, answer) {
            (_, CallAnswer::Failed) => false,
            // The low bytes count: who calls from a contract would revert on anything there.
            (Reading::Magic, CallAnswer::Returned(bytes)) => bytes.first_chunk::<WORD>().is_some_and(|word| {
                let (magic, rest) = word.split_at(IS_VALID_SIGNATURE.len());
                magic == IS_VALID_SIGNATURE && rest.iter().all(|byte| *byte == 0)
            }),
            (Reading::Byte, CallAnswer::Returned(bytes)) => zero_or_one(bytes, 1)?,
            (Reading::Word, CallAnswer::Returned(bytes)) => zero_or_one(bytes, WORD)?,
        };
        Ok(ContractVerdict { key: self.key, yes })
    }
}

// === impl ContractVerdict ===

impl ContractVerdict {
    /// Whether the contract says yes.
    pub const fn is_yes(&self) -> bool {
        self.yes
    }

    /// Whether the contract says yes to this question.
    pub(in crate::chain) fn is_yes_to(&self, call: &ContractCall) -> bool {
        self.yes && self.key == call.key()
    }
}

/// A number of so many bytes that is 0 or 1.
fn zero_or_one(bytes: &[u8], length: usize) -> Result<bool, UnclearAnswer> {
    match bytes.split_last() {
        Some((last @ (0 | 1), rest)) if bytes.len() == length && rest.iter().all(|byte| *byte == 0) => Ok(*last == 1),
        _ => Err(UnclearAnswer),
    }
}

/// Appends an offset, and at it a length and bytes, padded to words: the last argument of a call, of which it is the
/// only one without a fixed size.
fn push_bytes(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    push_number(data, offset);
    push_number(data, bytes.len());
    data.extend_from_slice(bytes);
    data.resize(data.len() + bytes.len().next_multiple_of(WORD) - bytes.len(), 0);
}

fn push_number(data: &mut Vec<u8>, number: usize) {
    data.extend_from_slice(&[0; WORD - size_of::<u64>()]);
    data.extend_from_slice(&(number as u64).to_be_bytes());
}

/// Whether bytes come apart as `(address factory, bytes factoryCalldata, bytes signature)`, as Solidity's decoder
/// reads them (contract ABI specification, "Formal Specification of the Encoding"; it does not look at padding).
fn is_wrapping(body: &[u8]) -> bool {
    let (words, _) = body.as_chunks::<WORD>();
    let [factory, calldata, signature, ..] = words else {
        return false;
    };
    let is_address = factory[..12].iter().all(|byte| *byte == 0);
    is_address && [calldata, signature].into_iter().all(|offset| bytes_at(body, offset).is_some())
}

/// The bytes to which a word points.
fn bytes_at<'b>(body: &'b [u8], offset: &[u8; WORD]) -> Option<&'b [u8]> {
    let (length, rest) = body.get(number(offset)?..)?.split_first_chunk::<WORD>()?;
    rest.get(..number(length)?)
}

fn number(word: &[u8; WORD]) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<8>()?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(u64::from_be_bytes(*low)).ok()
}

#[cfg(test)]
mod tests {
    use sha3::Keccak256;

    use super::*;

    #[test]
    fn selectors_are_the_hashes_of_their_names() {
        let rows = [
            ("isValidSignature(bytes32,bytes)", IS_VALID_SIGNATURE),
            ("isValidSig(address,bytes32,bytes)", IS_VALID_SIG),
        ];
        for (name, selector) in rows {
            assert_eq!(Keccak256::digest(name)[..4], selector, "{name}");
        }
    }

    /// The one that the common libraries ship.
    #[test]
    fn the_validator_is_the_published_one() {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(VALIDATOR));
        assert_eq!(digest, "d46b6085a6558eb925573e4e395ccbc669a1db1b7aa49196cbb1a7540db6a470");
    }

    #[test]
    fn hostile_offsets_come_apart_nowhere() {
        let word = |number: u64| {
            let mut word = [0; WORD];
            word[24..].copy_from_slice(&number.to_be_bytes());
            word
        };
        let body = |words: &[[u8; WORD]]| words.concat();
        let good = [word(1), word(96), word(96), word(0)];
        assert!(is_wrapping(&body(&good)));
        let rows = [
            ("nothing", body(&[])),
            ("two words", body(&good[..2])),
            ("no length at the offset", body(&good[..3])),
            ("an address of 21 bytes", body(&[[0xff; WORD], good[1], good[2], good[3]])),
            ("an offset behind the end", body(&[good[0], word(97), good[2], good[3]])),
            ("an offset that overflows", body(&[good[0], good[1], word(u64::MAX), good[3]])),
            ("an offset of 32 bytes", body(&[good[0], [0xff; WORD], good[2], good[3]])),
            ("a length of more than is there", body(&[good[0], good[1], good[2], word(1)])),
            ("a length that overflows", body(&[good[0], good[1], good[2], word(u64::MAX)])),
        ];
        for (name, body) in rows {
            assert!(!is_wrapping(&body), "{name}");
        }
    }
}
