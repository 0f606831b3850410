//! Every verdict on Sui signatures against the kit that Sui's makers publish, which stands on an older stack of curves.
//!
//! It takes the three simple schemes as this does, with one difference that is wanted: of secp256r1 it takes a high s,
//! and makes some. The chain itself does not.

use std::borrow::Cow;

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use data_encoding::BASE64;
use proptest::{array::uniform32, collection::vec, prelude::*};
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, Scheme, SignatureError},
};
use sui_crypto::{
    SuiSigner, SuiVerifier as _, ed25519::Ed25519PrivateKey, secp256k1::Secp256k1PrivateKey,
    secp256r1::Secp256r1PrivateKey, simple::SimpleVerifier,
};
use sui_sdk_types::{PersonalMessage, SimpleSignature, UserSignature};

use crate::{Case, Random};

const ROUNDS: usize = 40;

/// Half the order of secp256r1, rounded down, and the order.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d,
    0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A change to `flag ‖ r ‖ s ‖ key`, the last argument being the signature of another key of the same curve.
type Tamper = fn(Vec<u8>, &mut Random, &[u8]) -> Vec<u8>;

const TAMPERINGS: [(&str, Tamper); 14] = [
    ("as signed", |bytes, _, _| bytes),
    ("one bit", |mut bytes, random, _| {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        bytes
    }),
    ("one bit of the key", |mut bytes, random, _| {
        let at = 65 + random.below(bytes.len() - 65);
        bytes[at] ^= 1 << random.below(8);
        bytes
    }),
    ("any flag", |mut bytes, random, _| {
        bytes[0] = random.number() as u8 % 8;
        bytes
    }),
    ("the key of another", |mut bytes, _, other| {
        bytes[65..].copy_from_slice(&other[65..]);
        bytes
    }),
    ("the signature of another", |mut bytes, _, other| {
        bytes[..65].copy_from_slice(&other[..65]);
        bytes
    }),
    ("all of another", |_, _, other| other.to_vec()),
    ("halves swapped", |mut bytes, _, _| {
        bytes[1..65].rotate_left(32);
        bytes
    }),
    ("r zero", |mut bytes, _, _| {
        bytes[1..33].fill(0);
        bytes
    }),
    ("s zero", |mut bytes, _, _| {
        bytes[33..65].fill(0);
        bytes
    }),
    ("s the order of secp256r1", |mut bytes, _, _| {
        bytes[33..65].copy_from_slice(&ORDER);
        bytes
    }),
    ("random s", |mut bytes, random, _| {
        bytes[33..65].copy_from_slice(&random.bytes::<32>());
        bytes
    }),
    ("cut", |mut bytes, random, _| {
        bytes.truncate(random.below(bytes.len()));
        bytes
    }),
    ("a byte more", |mut bytes, random, _| {
        bytes.push(random.number() as u8);
        bytes
    }),
];

/// Keys on each of the three curves.
fn signers(random: &mut Random) -> [Box<dyn SuiSigner>; 3] {
    [
        Box::new(Ed25519PrivateKey::new(random.bytes())),
        Box::new(Secp256k1PrivateKey::new(random.bytes()).expect("a random number is below the order")),
        Box::new(Secp256r1PrivateKey::new(random.bytes())),
    ]
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts show that both verdicts were met")]
fn both_kits_say_the_same() {
    let mut random = Random(20_261_123);
    let (mut good, mut bad, mut high) = (0, 0, 0);
    for round in 0..ROUNDS {
        let length = [0, 1, 127, 128, 300, 1000][random.below(6)];
        let text: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        for (signer, other) in signers(&mut random).iter().zip(signers(&mut random)) {
            let (made, other) = (sign(signer.as_ref(), &text), sign(other.as_ref(), &text));
            high += usize::from(is_high(&made));
            let (made, other) = (lowered(made), lowered(other));
            let address = address(&made);
            for (name, tamper) in TAMPERINGS {
                let bytes = tamper(made.clone(), &mut random, &other);
                let case = case(&address, &text, &bytes);
                let verdict = case.verify(&Accepts::all());
                assert_eq!(verdict.is_ok(), opinion(&case), "{name}, round {round}: {verdict:?}, {case:?}");
                let expected = name == "as signed" || bytes == made;
                assert_eq!(verdict == Ok(Scheme::Sui), expected, "{name}, round {round}: {case:?}");
                if verdict.is_ok() { good += 1 } else { bad += 1 }
            }
        }
    }
    println!("second opinion: {good} accepted and {bad} refused by both, {high} with a high s, on Sui");
    assert!(good >= 3 * ROUNDS && bad > 30 * ROUNDS && high > 0, "{good}, {bad} and {high}");
}

/// The one difference, in both directions: the low twin is good, the high one is refused by its name.
#[test]
fn a_high_s_is_refused_and_its_twin_is_good() {
    let mut random = Random(256);
    let mut curves = [0; 3];
    for _ in 0..ROUNDS {
        for signer in &signers(&mut random)[1..] {
            let low = lowered(sign(signer.as_ref(), b"text"));
            let mut high = low.clone();
            let order = if low[0] == 2 { ORDER } else { secp256k1::constants::CURVE_ORDER };
            high[33..65].copy_from_slice(&difference(&order, &low[33..65]));
            let address = address(&low);
            assert_eq!(case(&address, b"text", &low).verify(&Accepts::all()), Ok(Scheme::Sui));
            assert_eq!(case(&address, b"text", &high).verify(&Accepts::all()), Err(SignatureError::HighS));
            curves[usize::from(low[0])] += 1;
        }
    }
    assert_eq!(curves, [0, ROUNDS, ROUNDS]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// With the address that belongs to it, any key at all comes to its curve.
    #[test]
    fn arbitrary_keys_sign_nothing(
        flag in 0..8_u8,
        rs in (uniform32(any::<u8>()), uniform32(any::<u8>())),
        key in prop_oneof![vec(any::<u8>(), 31..35), (2..6_u8, vec(any::<u8>(), 32)).prop_map(|(tag, mut key)| {
            key.insert(0, tag);
            key
        })],
        text in vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&[flag], &rs.0[..], &rs.1, &key].concat();
        let case = case(&address(&bytes), &text, &bytes);
        prop_assert!(case.verify(&Accepts::all()).is_err());
        prop_assert!(!opinion(&case));
    }
}

/// What the kit says, and that s is low.
fn opinion(case: &Case) -> bool {
    let Ok(signature) = UserSignature::from_base64(&case.signature) else {
        return false;
    };
    let address = match &signature {
        UserSignature::Simple(SimpleSignature::Ed25519 { public_key, .. }) => public_key.derive_address(),
        UserSignature::Simple(SimpleSignature::Secp256k1 { public_key, .. }) => public_key.derive_address(),
        UserSignature::Simple(SimpleSignature::Secp256r1 { public_key, .. }) => public_key.derive_address(),
        _ => return false,
    };
    let message = PersonalMessage(Cow::Borrowed(&case.text));
    let verified = SimpleVerifier.verify_personal_message(&message, &signature).is_ok();
    verified && address.to_string() == case.address && !is_high(&signature.to_bytes())
}

fn sign(signer: &dyn SuiSigner, text: &[u8]) -> Vec<u8> {
    signer.sign_personal_message(&PersonalMessage(Cow::Borrowed(text))).expect("a signature").to_bytes()
}

/// Whether s of a secp256r1 signature is above half the order. Of secp256k1 the kit refuses it itself.
fn is_high(bytes: &[u8]) -> bool {
    bytes[0] == 2 && bytes[33..65] > HALF_ORDER[..]
}

fn lowered(mut bytes: Vec<u8>) -> Vec<u8> {
    if is_high(&bytes) {
        let low = difference(&ORDER, &bytes[33..65]);
        bytes[33..65].copy_from_slice(&low);
    }
    bytes
}

/// What is left of a number when another is taken away.
fn difference(from: &[u8; 32], what: &[u8]) -> [u8; 32] {
    let (mut left, mut borrow) = (*from, false);
    for (digit, taken) in left.iter_mut().zip(what).rev() {
        let (once, below) = digit.overflowing_sub(*taken);
        let (twice, below_again) = once.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (twice, below || below_again);
    }
    left
}

fn address(bytes: &[u8]) -> String {
    let hash = Blake2b::<U32>::new().chain_update(&bytes[..1]).chain_update(&bytes[65..]).finalize();
    format!("0x{}", data_encoding::HEXLOWER.encode(&hash))
}

fn case(address: &str, text: &[u8], bytes: &[u8]) -> Case {
    Case {
        chain: ChainId::parse("sui:mainnet").expect("a CAIP-2 id"),
        address: address.to_owned(),
        text: text.to_vec(),
        domain: None,
        signature: BASE64.encode(bytes),
    }
}
