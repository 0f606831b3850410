//! Every verdict on signatures of EVM chains and of Tron against libsecp256k1.
//!
//! The rule table of EIP-191 signatures, which is TIP-191's too, is written here a second time, from the text of the
//! rules and with none of the gateway's code, over the C library. Both must say the same of good signatures and of ones
//! that were tampered with in every way that the table names. Bitcoin has its own in `bitcoin`.

mod bitcoin;

use secp256k1::{
    Message, SecretKey,
    constants::CURVE_ORDER,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use sha2::Sha256;
use sha3::{Digest as _, Keccak256};
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, SignerKey},
};

use crate::{Case, Random};

/// Half the group order, rounded down.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e,
    0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

const ROUNDS: usize = 60;

/// A family of chains that signs like this.
#[derive(Debug, Clone, Copy)]
struct Family {
    chain: &'static str,
    /// The word in the line before a text.
    word: &'static str,
    address: fn(&[u8; 20]) -> String,
}

const EVM: Family = Family {
    chain: "eip155:1",
    word: "Ethereum",
    address: |account| format!("0x{}", data_encoding::HEXLOWER.encode(account)),
};

const TRON: Family = Family {
    chain: "tron:0x2b6653dc",
    word: "TRON",
    address: |account| {
        let payload = [&[0x41], &account[..]].concat();
        let checksum = Sha256::digest(Sha256::digest(&payload));
        bs58::encode([&payload, &checksum[..4]].concat()).into_string()
    },
};

/// A change to `r ‖ s ‖ v`.
type Tamper = fn(Vec<u8>, &mut Random) -> Vec<u8>;

/// A way to write hex.
type Spell = fn(&str) -> String;

/// Changes to the bytes, and whether the result may still be good: `None` where that is left to chance.
const TAMPERINGS: [(&str, Option<bool>, Tamper); 26] = [
    ("as signed", Some(true), |bytes, _| bytes),
    ("v of 0 or 1", Some(true), |bytes, _| with_v(bytes, |v| v - 27)),
    ("compact", Some(true), |bytes, _| compact(bytes)),
    ("one bit", None, |mut bytes, random| {
        bytes[random.below(65)] ^= 1 << random.below(8);
        bytes
    }),
    ("one bit of a compact one", Some(false), |bytes, random| {
        let mut bytes = compact(bytes);
        bytes[random.below(64)] ^= 1 << random.below(8);
        bytes
    }),
    ("high s with v flipped", Some(false), |bytes, _| with_v(high(bytes), |v| 55 - v)),
    ("high s with v kept", Some(false), |bytes, _| high(bytes)),
    ("high s, compact", Some(false), |bytes, _| compact(with_v(high(bytes), |v| 55 - v))),
    ("v flipped", Some(false), |bytes, _| with_v(bytes, |v| 55 - v)),
    ("any v", None, |bytes, random| with_v(bytes, |_| random.number() as u8)),
    ("v of recovery ids 2 and 3", Some(false), |bytes, _| with_v(bytes, |v| v + 2)),
    ("v of 2 and 3", Some(false), |bytes, _| with_v(bytes, |v| v - 25)),
    ("v of EIP-155", Some(false), |bytes, _| with_v(bytes, |v| v + 10)),
    ("r zero", Some(false), |mut bytes, _| {
        bytes[..32].fill(0);
        bytes
    }),
    ("s zero", Some(false), |mut bytes, _| {
        bytes[32..64].fill(0);
        bytes
    }),
    ("r the order", Some(false), |mut bytes, _| {
        bytes[..32].copy_from_slice(&CURVE_ORDER);
        bytes
    }),
    ("s the order", Some(false), |mut bytes, _| {
        bytes[32..64].copy_from_slice(&CURVE_ORDER);
        bytes
    }),
    ("s half the order", Some(false), |mut bytes, _| {
        bytes[32..64].copy_from_slice(&HALF_ORDER);
        bytes
    }),
    ("s above half the order", Some(false), |mut bytes, _| {
        bytes[32..64].copy_from_slice(&HALF_ORDER);
        bytes[63] += 1;
        bytes
    }),
    ("random r", Some(false), |mut bytes, random| {
        bytes[..32].copy_from_slice(&random.bytes::<32>());
        bytes
    }),
    ("all random", Some(false), |_, random| random.bytes::<65>().to_vec()),
    ("swapped", Some(false), |mut bytes, _| {
        bytes[..64].rotate_left(32);
        bytes
    }),
    ("v first", Some(false), |mut bytes, _| {
        bytes.rotate_right(1);
        bytes
    }),
    ("cut", None, |mut bytes, random| {
        bytes.truncate(random.below(65));
        bytes
    }),
    ("a byte more", Some(false), |mut bytes, random| {
        bytes.push(random.number() as u8);
        bytes
    }),
    ("twice", Some(false), |bytes, _| bytes.repeat(2)),
];

/// Ways to write bytes, and whether they are taken.
const SPELLINGS: [(bool, Spell); 8] = [
    (true, |hex| format!("0x{hex}")),
    (true, |hex| hex.to_owned()),
    (true, |hex| format!("0x{}", hex.to_uppercase())),
    (false, |hex| format!("0X{hex}")),
    (false, |hex| format!("0x0x{hex}")),
    (false, |hex| format!(" 0x{hex}")),
    (false, |hex| format!("0x{hex}\n")),
    (false, |hex| format!("0x0{hex}")),
];

#[test]
fn both_libraries_say_the_same_of_evm_signatures() {
    both_libraries_say_the_same(EVM, 20_261_121);
}

#[test]
fn both_libraries_say_the_same_of_tron_signatures() {
    both_libraries_say_the_same(TRON, 20_261_122);
}

#[expect(clippy::print_stdout, reason = "the counts show that both verdicts were met")]
fn both_libraries_say_the_same(family: Family, seed: u64) {
    let mut random = Random(seed);
    let (mut good, mut bad) = (0, 0);
    for round in 0..ROUNDS {
        let secret = SecretKey::from_secret_bytes(random.bytes()).expect("a random number is below the order");
        let length = [0, 1, 9, 10, 99, 100, 300, 999, 1000][random.below(9)];
        let text: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        let bytes = sign(family, &text, &secret);
        let stranger = SecretKey::from_secret_bytes(random.bytes()).expect("a random number is below the order");
        // Keys are remembered of EVM accounts alone.
        let keys: &[SignerKey] = if family.chain == EVM.chain { &[learnt(&secret), learnt(&stranger)] } else { &[] };
        for (name, expected, tamper) in TAMPERINGS {
            let (taken, spell) = SPELLINGS[random.below(SPELLINGS.len())];
            let hex = data_encoding::HEXLOWER.encode(&tamper(bytes.clone(), &mut random));
            for (taken, signature) in [(true, format!("0x{hex}")), (taken, spell(&hex))] {
                let case = case(family, &account(&secret), &text, signature);
                let verdict = case.verify(&Accepts::all()).is_ok();
                assert_eq!(verdict, opinion(family, &case), "{name}, round {round}: {case:?}");
                for key in keys {
                    let known = case.verify_known(&Accepts::all(), key);
                    assert_eq!(known, case.verify(&Accepts::all()), "{name}, round {round}, a known key: {case:?}");
                }
                if let Some(expected) = expected {
                    assert_eq!(verdict, expected && taken, "{name}, round {round}: {case:?}");
                }
                if verdict { good += 1 } else { bad += 1 }
            }
        }
    }
    println!("second opinion: {good} accepted and {bad} refused by both, on {}", family.chain);
    assert!(good > 3 * ROUNDS && bad > 20 * ROUNDS, "{good} and {bad}");
}

#[test]
fn signatures_of_others_are_refused_by_both() {
    let mut random = Random(155);
    for (family, other) in [(EVM, TRON), (TRON, EVM)] {
        for _ in 0..ROUNDS {
            let secret = SecretKey::from_secret_bytes(random.bytes()).expect("a random number is below the order");
            let signature = format!("0x{}", data_encoding::HEXLOWER.encode(&sign(family, b"one text", &secret)));
            let stranger = case(family, &random.bytes(), b"one text", signature.clone());
            let other_text = case(family, &account(&secret), b"One text", signature.clone());
            let zero = case(family, &[0; 20], b"one text", signature.clone());
            let other_family = case(other, &account(&secret), b"one text", signature);
            for (family, case) in [(family, stranger), (family, other_text), (family, zero), (other, other_family)] {
                assert!(case.verify(&Accepts::all()).is_err(), "{case:?}");
                assert!(!opinion(family, &case), "{case:?}");
            }
        }
    }
}

/// What is known of an account after its first signature.
fn learnt(secret: &SecretKey) -> SignerKey {
    let key = SignerKey::default();
    let signature = format!("0x{}", data_encoding::HEXLOWER.encode(&sign(EVM, b"the first", secret)));
    let first = case(EVM, &account(secret), b"the first", signature);
    assert!(first.verify_known(&Accepts::all(), &key).is_ok(), "{first:?}");
    key
}

/// The table of rules, over the C library.
fn opinion(family: Family, case: &Case) -> bool {
    if case.address == (family.address)(&[0; 20]) {
        return false;
    }
    let hex = case.signature.strip_prefix("0x").unwrap_or(&case.signature);
    if !hex.is_ascii() || (hex.len() != 128 && hex.len() != 130) {
        return false;
    }
    let pairs = (0..hex.len() / 2).map(|i| &hex[2 * i..2 * i + 2]);
    // `from_str_radix` takes a sign, which is no digit.
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| !pair.contains('+')));
    let Some(mut bytes) = bytes.collect::<Option<Vec<u8>>>() else {
        return false;
    };
    let odd = if bytes.len() == 65 {
        match bytes.pop() {
            Some(0 | 27) => false,
            Some(1 | 28) => true,
            _ => return false,
        }
    } else {
        let odd = bytes[32] >= 128;
        bytes[32] %= 128;
        odd
    };
    let zero: &[u8] = &[0; 32];
    let (r, s) = bytes.split_at(32);
    if r == zero || r >= &CURVE_ORDER[..] || s == zero || s > &HALF_ORDER[..] {
        return false;
    }
    let id = if odd { RecoveryId::One } else { RecoveryId::Zero };
    let Ok(signature) = RecoverableSignature::from_compact(&bytes, id) else {
        return false;
    };
    let Ok(key) = signature.recover_ecdsa(Message::from_digest(digest(family, &case.text))) else {
        return false;
    };
    let hash = Keccak256::digest(&key.serialize_uncompressed()[1..]);
    (family.address)(&std::array::from_fn(|i| hash[12 + i])) == case.address
}

fn digest(family: Family, text: &[u8]) -> [u8; 32] {
    let prefix = format!("\u{19}{} Signed Message:\n{}", family.word, text.len());
    Keccak256::digest([prefix.as_bytes(), text].concat()).into()
}

fn sign(family: Family, text: &[u8], secret: &SecretKey) -> Vec<u8> {
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest(family, text)), secret);
    let (id, bytes) = signature.serialize_compact();
    [&bytes[..], &[27 + id.to_u8()]].concat()
}

fn account(secret: &SecretKey) -> [u8; 20] {
    let key = secp256k1::PublicKey::from_secret_key(secret).serialize_uncompressed();
    let hash = Keccak256::digest(&key[1..]);
    std::array::from_fn(|i| hash[12 + i])
}

fn case(family: Family, account: &[u8; 20], text: &[u8], signature: String) -> Case {
    Case {
        chain: ChainId::parse(family.chain).expect("a CAIP-2 id"),
        address: (family.address)(account),
        text: text.to_vec(),
        domain: None,
        signature,
    }
}

fn with_v(mut bytes: Vec<u8>, change: impl FnOnce(u8) -> u8) -> Vec<u8> {
    bytes[64] = change(bytes[64]);
    bytes
}

/// The twin with n - s in place of s.
fn high(mut bytes: Vec<u8>) -> Vec<u8> {
    let s: [u8; 32] = bytes[32..64].try_into().expect("32 bytes");
    let negated = SecretKey::from_secret_bytes(s).expect("s is below the order").negate();
    bytes[32..64].copy_from_slice(&negated.to_secret_bytes());
    bytes
}

/// EIP-2098. Of a high s the highest bit is lost.
fn compact(bytes: Vec<u8>) -> Vec<u8> {
    let odd = bytes[64] == 28;
    let mut bytes = bytes[..64].to_vec();
    bytes[32] = bytes[32] & 0x7f | u8::from(odd) << 7;
    bytes
}
