//! Signatures, judged by what others published, by a second implementation and, where a contract decides, by the
//! recorded answers of a node.

mod bitcoin;
mod contract;
mod mutation;
mod proof;
mod second_opinion;
mod sui;
mod vectors;

use siwx_gateway::{
    caip::ChainId,
    chain::{
        Accepts, Chain as _, Outcome, Scheme, SignatureError, Signed, SignerKey, eip155::Eip155, verify_signature,
    },
};

/// A signature with everything it is judged by.
#[derive(Debug, Clone)]
struct Case {
    chain: ChainId,
    address: String,
    text: Vec<u8>,
    domain: Option<String>,
    signature: String,
}

impl Case {
    fn verify(&self, accepts: &Accepts) -> Result<Scheme, SignatureError> {
        verify_signature(&self.signed(), accepts)
    }

    /// The verdict on an EVM signature by whoever has a memory of keys.
    fn verify_known(&self, accepts: &Accepts, known: &SignerKey) -> Result<Scheme, SignatureError> {
        match Eip155.verify_known(&self.signed(), accepts, known)? {
            Outcome::Valid(scheme) => Ok(scheme),
            Outcome::AskContract(call) => Err(call.unasked()),
        }
    }

    fn signed(&self) -> Signed<'_> {
        Signed {
            chain: &self.chain,
            address: &self.address,
            text: &self.text,
            domain: self.domain.as_deref(),
            signature: &self.signature,
        }
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number() as u8)
    }
}
