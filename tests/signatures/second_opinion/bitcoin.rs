//! Every verdict on Bitcoin against the crates `bitcoin` and `bip322`, over the curve of a C library.
//!
//! What the old form's header allows is written here a second time; recovery and hashes are the other library's. The
//! simple form is theirs whole. Where it says yes and the gateway no, the difference has to be one of those in [`Lax`].

use std::str::FromStr as _;

use bip322::{Verification, verify_simple_encoded};
use bitcoin::{
    Address, AddressType, CompressedPublicKey, Network, PublicKey, TapSighashType, WitnessVersion,
    address::NetworkUnchecked,
    consensus::Decodable as _,
    secp256k1::Secp256k1,
    sign_message::{MessageSignature, signed_msg_hash},
};
use data_encoding::BASE64;
use siwx_gateway::chain::Accepts;

use crate::{
    Case, Random,
    bitcoin::wallet::{KINDS, Kind, MAINNET, WITNESSES, Wallet, case, encoded, negate, with_high_s},
    vectors::{Expect, cases},
};

const ROUNDS: usize = 25;

/// What the crate takes and the gateway does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lax {
    /// It does not look at what follows the witness.
    TrailingBytes,
    /// It takes a SIGHASH of 0 that is written out, which BIP-341 forbids.
    ExplicitDefault,
    /// It interprets multisig scripts.
    Script,
}

/// A change to the items of a witness.
type Tamper = fn(Vec<Vec<u8>>, &mut Random) -> Vec<Vec<u8>>;

/// A way to write bytes.
type Spell = fn(&[u8], &mut Random) -> String;

const TAMPERINGS: [(&str, Tamper); 17] = [
    ("as signed", |items, _| items),
    ("one bit", |mut items, random| {
        let at = random.below(items.len());
        let bit = random.below(items[at].len() * 8);
        items[at][bit / 8] ^= 1 << (bit % 8);
        items
    }),
    ("the last byte", |mut items, random| {
        *items[0].last_mut().expect("a byte") = random.number() as u8;
        items
    }),
    ("SIGHASH_ALL at the end", |items, _| with(items, |signature| signature.push(1))),
    ("SIGHASH_DEFAULT at the end", |items, _| with(items, |signature| signature.push(0))),
    ("without the last byte", |items, _| with(items, |signature| signature.truncate(signature.len() - 1))),
    ("nothing for a signature", |items, _| with(items, Vec::clear)),
    ("zeros for a signature", |items, _| with(items, |signature| signature.fill(0))),
    ("ones for a signature", |items, _| with(items, |signature| signature.fill(0xff))),
    ("a byte of DER", |items, random| {
        let (at, byte) = (random.below(8), random.number() as u8);
        with(items, |signature| signature[at] = byte)
    }),
    ("high s", |items, _| {
        with(items, |signature| match signature.split_last() {
            Some((_, der)) if signature.len() > 65 => *signature = [&with_high_s(der)[..], &[1]].concat(),
            _ => negate(&mut signature[32..64]),
        })
    }),
    ("no items", |_, _| vec![]),
    ("an item less", |mut items, _| {
        items.pop();
        items
    }),
    ("an item more", |mut items, random| {
        items.push(random.bytes::<5>().to_vec());
        items
    }),
    ("an annex", |mut items, _| {
        items.push(vec![0x50]);
        items
    }),
    ("turned round", |mut items, _| {
        items.reverse();
        items
    }),
    ("another key", |mut items, random| {
        let key = PublicKey::from(Wallet::new(random).public_key());
        let key = if random.below(2) == 0 { key } else { PublicKey::new_uncompressed(key.inner) };
        *items.last_mut().expect("an item") = key.to_bytes();
        items
    }),
];

const SPELLINGS: [Spell; 13] = [
    |bytes, _| BASE64.encode(bytes),
    |bytes, _| format!("smp{}", BASE64.encode(bytes)),
    |bytes, _| format!("smpsmp{}", BASE64.encode(bytes)),
    |bytes, _| format!("SMP{}", BASE64.encode(bytes)),
    |bytes, _| format!("ful{}", BASE64.encode(bytes)),
    |bytes, _| format!("pof{}", BASE64.encode(bytes)),
    |bytes, _| data_encoding::BASE64URL.encode(bytes),
    |bytes, _| data_encoding::BASE64_NOPAD.encode(bytes),
    |bytes, _| format!("{}\n", BASE64.encode(bytes)),
    |bytes, _| data_encoding::HEXLOWER.encode(bytes),
    |bytes, random| BASE64.encode(&[bytes, &[random.number() as u8]].concat()),
    |bytes, random| BASE64.encode(&bytes[..random.below(bytes.len())]),
    // Counts and lengths in the longer form of a compact size.
    |bytes, random| {
        let at = random.below(2);
        let longer = [&bytes[..at], &[0xfd, *bytes.get(at).unwrap_or(&0), 0], bytes.get(at + 1..).unwrap_or_default()];
        BASE64.encode(&longer.concat())
    },
];

#[test]
#[expect(clippy::print_stdout, reason = "the counts show that both verdicts were met")]
fn both_libraries_say_the_same_of_witnesses() {
    let mut random = Random(322);
    let (mut good, mut bad) = (0, 0);
    let mut laxities = Vec::new();
    for round in 0..ROUNDS {
        let wallet = Wallet::new(&mut random);
        let text = text(&mut random);
        for kind in WITNESSES {
            let address = wallet.address(kind, Network::Bitcoin).to_string();
            let mut witnesses = vec![wallet.witness(kind, &text)];
            if kind == Kind::P2tr {
                let other = [TapSighashType::All, TapSighashType::None, TapSighashType::SinglePlusAnyoneCanPay];
                witnesses.push(vec![wallet.taproot(&text, TapSighashType::All)]);
                witnesses.push(vec![wallet.taproot(&text, other[random.below(3)])]);
            }
            for (name, tamper) in TAMPERINGS {
                for witness in &witnesses {
                    let bytes = encoded(&tamper(witness.clone(), &mut random));
                    for spell in [SPELLINGS[0], SPELLINGS[random.below(SPELLINGS.len())]] {
                        let case = case(MAINNET, &address, &text, spell(&bytes, &mut random));
                        let verdict = case.verify(&Accepts::all()).is_ok();
                        let (opinion, lax) = opinion(&case);
                        let expected = opinion && lax.is_none();
                        assert_eq!(verdict, expected, "{kind:?}, {name}, round {round}: {case:?}");
                        laxities.extend(lax);
                        if verdict { good += 1 } else { bad += 1 }
                    }
                }
            }
        }
    }
    println!("second opinion: {good} accepted and {bad} refused by both, the crate lax on {}", laxities.len());
    assert!(good > 4 * ROUNDS && bad > 50 * ROUNDS, "{good} and {bad}");
    for lax in [Lax::TrailingBytes, Lax::ExplicitDefault] {
        assert!(laxities.contains(&lax), "{lax:?} was not met");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts show that both verdicts were met")]
fn both_libraries_say_the_same_of_recoverable_signatures() {
    let mut random = Random(137);
    let (mut good, mut bad) = (0, 0);
    for round in 0..4 * ROUNDS {
        let (wallet, stranger) = (Wallet::new(&mut random), Wallet::new(&mut random));
        let text = text(&mut random);
        for kind in KINDS {
            let signed = wallet.recoverable(&text, 27);
            let id = signed[0] - 27;
            let network = [Network::Bitcoin, Network::Bitcoin, Network::Bitcoin, Network::Testnet][random.below(4)];
            let address = wallet.address(kind, network).to_string();
            let other = stranger.address(kind, network).to_string();
            for header in (27..43).chain([0, 26, 43, 64, 255]) {
                let mut bytes = signed.clone();
                bytes[0] = if random.below(4) == 0 { header } else { (header & !3) + (3 + id) % 4 };
                match random.below(8) {
                    0 => bytes[1 + random.below(64)] ^= 1 << random.below(8),
                    1 => negate(&mut bytes[33..]),
                    2 => bytes[1..33].fill(0),
                    3 => bytes.truncate(random.below(66)),
                    _ => {}
                }
                let mut signature = BASE64.encode(&bytes);
                if random.below(8) == 0 {
                    signature.insert_str(0, "smp");
                }
                for address in [&address, &other] {
                    let case = case(MAINNET, address, &text, signature.clone());
                    let verdict = case.verify(&Accepts::all()).is_ok();
                    assert_eq!((verdict, None), opinion(&case), "{kind:?}, round {round}: {case:?}");
                    if verdict { good += 1 } else { bad += 1 }
                }
            }
        }
    }
    println!("second opinion: {good} accepted and {bad} refused by both");
    assert!(good > 10 * ROUNDS && bad > 100 * ROUNDS, "{good} and {bad}");
}

/// The vectors, by the other library: it differs where this says, and nowhere else.
#[test]
fn both_libraries_say_the_same_of_the_vectors() {
    let mut differences = Vec::new();
    for file in ["signatures-bip137.json", "signatures-bip322.json"] {
        for (id, case, expect) in cases(file) {
            let verdict = case.verify(&Accepts::all()).is_ok();
            match opinion(&case) {
                (opinion, None) => assert_eq!(verdict, opinion, "{file} {id}"),
                (_, Some(lax)) => {
                    assert!(!verdict && expect != Expect::Accept, "{file} {id}");
                    differences.push((id, lax));
                }
            }
        }
    }
    let differences: Vec<_> = differences.iter().map(|(id, lax)| (id.as_str(), *lax)).collect();
    let expected = [
        ("p2wpkh-trailing-byte", Lax::TrailingBytes),
        ("p2tr-trailing-byte", Lax::TrailingBytes),
        ("p2sh-p2wpkh-trailing-byte", Lax::TrailingBytes),
        ("bip-basic-simple-2-0", Lax::Script),
        ("bip-generated-simple-2-0", Lax::Script),
        ("bip-generated-simple-3-0", Lax::Script),
    ];
    assert_eq!(differences, expected);
}

/// Texts at the bounds of the length's own form, and others.
fn text(random: &mut Random) -> String {
    let length = [0, 1, 10, 252, 253, 254, 300, 1000, 65535, 65536][random.below(10)];
    (0..length).map(|_| char::from(b' ' + (random.number() % 95) as u8)).collect()
}

fn with(mut items: Vec<Vec<u8>>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Vec<u8>> {
    if let Some(signature) = items.first_mut() {
        change(signature);
    }
    items
}

/// What the other library says, and if that is yes, in what it is laxer.
fn opinion(case: &Case) -> (bool, Option<Lax>) {
    let no = (false, None);
    let (chain, text) = (case.chain.to_string(), String::from_utf8(case.text.clone()).expect("UTF-8"));
    let network = match chain.as_str() {
        MAINNET => Network::Bitcoin,
        "bip122:000000000933ea01ad0ee984209779ba" => Network::Testnet,
        _ => return no,
    };
    let address = Address::<NetworkUnchecked>::from_str(&case.address);
    let Some(address) = address.ok().and_then(|address| address.require_network(network).ok()) else {
        return no;
    };
    let bytes = BASE64.decode(case.signature.as_bytes()).unwrap_or_default();
    if bytes.len() == 65 && (27..=42).contains(&bytes[0]) {
        return (recoverable(&address, &text, &bytes), None);
    }
    let valid = verify_simple_encoded(&case.address, &text, &case.signature);
    if !matches!(valid, Ok(Verification::Valid { .. })) {
        return no;
    }
    let bytes = BASE64.decode(case.signature.trim_start_matches("smp").as_bytes()).expect("base64");
    let mut rest = &bytes[..];
    let witness = bitcoin::Witness::consensus_decode(&mut rest).expect("a witness");
    let is_p2wsh = address.address_type() == Some(AddressType::P2wsh);
    let is_taproot = address.witness_program().is_some_and(|program| program.version() == WitnessVersion::V1);
    let lax = if !rest.is_empty() {
        Some(Lax::TrailingBytes)
    } else if is_p2wsh {
        Some(Lax::Script)
    } else if is_taproot && witness.nth(0).is_some_and(|item| item.len() == 65 && item[64] == 0) {
        Some(Lax::ExplicitDefault)
    } else {
        None
    };
    (true, lax)
}

/// The table of headers.
fn recoverable(address: &Address, text: &str, bytes: &[u8]) -> bool {
    let secp = Secp256k1::new();
    let Ok(signature) = MessageSignature::from_slice(bytes) else {
        return false;
    };
    let mut low = signature.signature.to_standard();
    low.normalize_s();
    if low != signature.signature.to_standard() {
        return false;
    }
    let Ok(PublicKey { inner, .. }) = signature.recover_pubkey(&secp, signed_msg_hash(text)) else {
        return false;
    };
    let compressed = CompressedPublicKey(inner);
    let script = address.script_pubkey();
    let is = |address: Address| address.script_pubkey() == script;
    match (address.address_type(), bytes[0]) {
        (Some(AddressType::P2pkh), 27..=30) => is(Address::p2pkh(PublicKey::new_uncompressed(inner), Network::Bitcoin)),
        (Some(AddressType::P2pkh), 31..=34) => is(Address::p2pkh(compressed, Network::Bitcoin)),
        (Some(AddressType::P2sh), 31..=42) => is(Address::p2shwpkh(&compressed, Network::Bitcoin)),
        (Some(AddressType::P2wpkh), 31..=42) => is(Address::p2wpkh(&compressed, Network::Bitcoin)),
        (Some(AddressType::P2tr), 31..=42) => is(Address::p2tr(&secp, compressed.into(), None, Network::Bitcoin)),
        _ => false,
    }
}
