//! A wallet over the other library of Bitcoin.

use bip322::{LockParams, create_to_sign, create_to_spend, sign_simple};
use bitcoin::{
    Address, CompressedPublicKey, Network, NetworkKind, PrivateKey, PublicKey, TapSighashType, TxOut,
    hashes::Hash as _,
    key::{Keypair, TapTweak as _},
    secp256k1::{Message, Secp256k1, SecretKey},
    sighash::{Prevouts, SighashCache},
    sign_message::signed_msg_hash,
};
use siwx_gateway::caip::ChainId;

use crate::{Case, Random};

pub(crate) const MAINNET: &str = "bip122:000000000019d6689c085ae165831e93";

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    P2pkh,
    P2pkhUncompressed,
    Nested,
    P2wpkh,
    P2tr,
}

pub(crate) const KINDS: [Kind; 5] = [Kind::P2pkh, Kind::P2pkhUncompressed, Kind::Nested, Kind::P2wpkh, Kind::P2tr];
/// The kinds that have a witness.
pub(crate) const WITNESSES: [Kind; 3] = [Kind::Nested, Kind::P2wpkh, Kind::P2tr];

/// A wallet over the other library.
pub(crate) struct Wallet {
    key: PrivateKey,
}

impl Wallet {
    pub(crate) fn new(random: &mut Random) -> Self {
        let secret = SecretKey::from_slice(&random.bytes::<32>()).expect("a random number is below the order");
        Self { key: PrivateKey::new(secret, NetworkKind::Main) }
    }

    pub(crate) const fn key(&self) -> PrivateKey {
        self.key
    }

    pub(crate) fn public_key(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.key.inner.public_key(&Secp256k1::new()))
    }

    pub(crate) fn address(&self, kind: Kind, network: Network) -> Address {
        let key = self.public_key();
        match kind {
            Kind::P2pkh => Address::p2pkh(key, network),
            Kind::P2pkhUncompressed => Address::p2pkh(PublicKey::new_uncompressed(key.0), network),
            Kind::Nested => Address::p2shwpkh(&key, network),
            Kind::P2wpkh => Address::p2wpkh(&key, network),
            Kind::P2tr => Address::p2tr(&Secp256k1::new(), key.into(), None, network),
        }
    }

    /// The old form. The header begins at 27 for an uncompressed key, and at 31, 35 and 39 for the others.
    pub(crate) fn recoverable(&self, text: &str, header: u8) -> Vec<u8> {
        let digest = Message::from_digest(signed_msg_hash(text).to_byte_array());
        let signature = Secp256k1::new().sign_ecdsa_recoverable(&digest, &self.key.inner);
        let (id, bytes) = signature.serialize_compact();
        [&[header + id.to_i32() as u8], &bytes[..]].concat()
    }

    /// The items of the simple form's witness; by a taproot key with SIGHASH_DEFAULT.
    pub(crate) fn witness(&self, kind: Kind, text: &str) -> Vec<Vec<u8>> {
        let address = self.address(kind, Network::Bitcoin);
        if kind == Kind::P2tr {
            return vec![self.taproot(text, TapSighashType::Default)];
        }
        sign_simple(&address, text, &[self.key], None).expect("a witness").to_vec()
    }

    /// The signature of a taproot key, its kind of digest behind it unless that is SIGHASH_DEFAULT.
    pub(crate) fn taproot(&self, text: &str, kind: TapSighashType) -> Vec<u8> {
        let secp = Secp256k1::new();
        let to_spend = create_to_spend(&self.address(Kind::P2tr, Network::Bitcoin), text).expect("a transaction");
        let to_sign = create_to_sign(&to_spend, None, LockParams::default()).expect("a transaction").unsigned_tx;
        let spent: &[TxOut] = &to_spend.output;
        let digest = SighashCache::new(&to_sign).taproot_key_spend_signature_hash(0, &Prevouts::All(spent), kind);
        let digest = Message::from_digest(digest.expect("a digest").to_byte_array());
        let pair = Keypair::from_secret_key(&secp, &self.key.inner).tap_tweak(&secp, None).to_keypair();
        bitcoin::taproot::Signature { signature: secp.sign_schnorr_no_aux_rand(&digest, &pair), sighash_type: kind }
            .to_vec()
    }
}

/// The bytes of a witness whose items are shorter than 253 bytes.
pub(crate) fn encoded(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![items.len() as u8];
    for item in items {
        bytes.push(item.len() as u8);
        bytes.extend(item);
    }
    bytes
}

pub(crate) fn case(chain: &str, address: &str, text: &str, signature: String) -> Case {
    Case {
        chain: ChainId::parse(chain).expect("a CAIP-2 id"),
        address: address.to_owned(),
        text: text.as_bytes().to_vec(),
        domain: None,
        signature,
    }
}

/// The twin of a DER signature with n - s in place of s.
pub(crate) fn with_high_s(der: &[u8]) -> Vec<u8> {
    let mut bytes = bitcoin::secp256k1::ecdsa::Signature::from_der(der).expect("DER").serialize_compact();
    negate(&mut bytes[32..]);
    bitcoin::secp256k1::ecdsa::Signature::from_compact(&bytes).expect("r and s").serialize_der().to_vec()
}

/// n - s in place of s.
pub(crate) fn negate(s: &mut [u8]) {
    s.copy_from_slice(&SecretKey::from_slice(s).expect("s is below the order").negate().secret_bytes());
}
