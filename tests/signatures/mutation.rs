//! What nobody signed: changed vectors are refused, and no text at all makes the verifier panic.

use data_encoding::{BASE64, HEXLOWER};
use proptest::{collection::vec, prelude::*, sample::select};
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, Encoding},
};

use crate::{
    Case, Random,
    bitcoin::wallet::MAINNET,
    vectors::{Expect, TEXT_FILES, cases},
};

/// A chain of each family, Bitcoin's twice since it has two forms, and one whose addresses are not known.
const CHAINS: [&str; 7] = [
    "eip155:1",
    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    MAINNET,
    MAINNET,
    "tron:0x2b6653dc",
    "sui:mainnet",
    "bip122:0",
];

/// For each accepted vector so many changes of each kind.
const ROUNDS: usize = 40;

#[test]
fn changed_vectors_are_refused() {
    let mut random = Random(8);
    let mut tried = 0;
    for (file, _) in TEXT_FILES {
        for (id, case, _) in cases(file).into_iter().filter(|(.., expect)| *expect == Expect::Accept) {
            for _ in 0..ROUNDS {
                let signature = exchanged(&case.signature, &mut random);
                let address = exchanged(&case.address, &mut random);
                let text = flipped(&case.text, &mut random);
                for changed in [
                    Case { signature, ..case.clone() },
                    Case { address, ..case.clone() },
                    Case { text, ..case.clone() },
                ] {
                    assert!(changed.verify(&Accepts::all()).is_err(), "{file} {id}: {changed:?}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, (21 + 8 + 10 + 4 + 17 + 13 + 21 + 16) * 3 * ROUNDS);
}

/// Exchanges one letter or digit for another that is not the same in the other case.
fn exchanged(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    loop {
        // The prefixes `0x` and `tx:` may be left out or are read alone.
        let at = 3 + random.below(bytes.len() - 3);
        let new = b"0123456789abcdefABCDEFzZyY"[random.below(26)];
        if bytes[at].is_ascii_alphanumeric() && !bytes[at].eq_ignore_ascii_case(&new) {
            bytes[at] = new;
            return String::from_utf8(bytes).expect("ASCII");
        }
    }
}

/// Flips one bit, or adds a byte to nothing.
fn flipped(text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = text.to_vec();
    if bytes.is_empty() {
        return vec![random.number() as u8];
    }
    let at = random.below(bytes.len());
    bytes[at] ^= 1 << random.below(8);
    bytes
}

fn addresses() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<[u8; 20]>().prop_map(|bytes| format!("0x{}", HEXLOWER.encode(&bytes))),
        any::<[u8; 32]>().prop_map(|bytes| bs58::encode(bytes).into_string()),
        select(vec![
            "EYVHqq1n9saptTjmYUMuJwAjiURz8Vbs3jR3uy5EK3eq".to_owned(),
            "0xe6332bAbf154B2D1BA63117506363B3C655F3391".to_owned(),
            "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".to_owned(),
            "0xa0ccc8bcc83f6c628340134f8546a21e0618fd1aaa02432bba454c4a2c2233da".to_owned(),
        ]),
        select(cases("signatures-bip322.json")).prop_map(|(_, case, _)| case.address),
    ]
}

fn signatures() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(0x)?[0-9a-fA-F]{126,132}",
        "1{0,8}[1-9A-HJ-NP-Za-km-z]{56,90}",
        "[A-Za-z0-9+/_-]{84,90}={0,3}",
        "tx:.*",
        vec(any::<u8>(), 0..200).prop_map(|bytes| format!("0x{}", HEXLOWER.encode(&bytes))),
        any::<[u8; 64]>().prop_map(|bytes| bs58::encode(bytes).into_string()),
        (0..8_u8, vec(any::<u8>(), 94..100)).prop_map(|(flag, bytes)| BASE64.encode(&[&[flag], &bytes[..]].concat())),
        vec(any::<u8>(), 0..400).prop_map(|bytes| format!("tx:{}", BASE64.encode(&bytes))),
        transactions(),
        "(smp|ful|pof|smpsmp)?[A-Za-z0-9+/]{84,90}={0,3}",
        (proptest::option::of(Just("smp")), witnesses()).prop_map(|(prefix, bytes)| format!(
            "{}{}",
            prefix.unwrap_or_default(),
            BASE64.encode(&bytes)
        )),
    ]
}

/// The signatures of Bitcoin's vectors, with some bytes exchanged and the end cut off or doubled.
fn witnesses() -> impl Strategy<Value = Vec<u8>> {
    let of_file = |file| cases(file).into_iter().map(|(_, case, _)| case.signature);
    let all = of_file("signatures-bip137.json").chain(of_file("signatures-bip322.json"));
    let all = all.filter_map(|text| BASE64.decode(text.trim_start_matches("smp").as_bytes()).ok());
    spoiled(all.filter(|bytes| !bytes.is_empty()).collect())
}

/// The transactions of the vectors, with some bytes exchanged and the end cut off or doubled.
fn transactions() -> impl Strategy<Value = String> {
    let all: Vec<Vec<u8>> = cases("signatures-solana-memo.json")
        .into_iter()
        .map(|(_, case, _)| BASE64.decode(&case.signature.as_bytes()[3..]).expect("base64"))
        .collect();
    spoiled(all).prop_map(|bytes| format!("tx:{}", BASE64.encode(&bytes)))
}

/// One of these, with some bytes exchanged and the end cut off or doubled.
fn spoiled(all: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (select(all), changes, any::<prop::sample::Index>(), 0..3).prop_map(|(mut bytes, changes, end, cut)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let end = end.index(bytes.len());
        match cut {
            0 => bytes.truncate(end),
            1 => bytes.extend_from_within(end..),
            _ => {}
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nobody can sign by chance, so every verdict on arbitrary input is a refusal, and none is a panic.
    #[test]
    fn arbitrary_texts_are_refused(
        chain in select(CHAINS.to_vec()),
        address in addresses(),
        text in prop_oneof![vec(any::<u8>(), 0..1300), any::<String>().prop_map(String::into_bytes)],
        domain in proptest::option::of(any::<String>()),
        signature in signatures(),
    ) {
        let chain = ChainId::parse(chain).expect("a CAIP-2 id");
        let case = Case { chain, address, text, domain, signature };
        prop_assert!(case.verify(&Accepts::all()).is_err());
        prop_assert!(case.verify(&Accepts::default()).is_err());
    }

    /// Whatever decodes has one spelling in base58, and no other text decodes to it.
    #[test]
    fn base58_signatures_have_one_spelling(text in "1{0,8}[1-9A-HJ-NP-Za-km-z]{56,90}") {
        if let Some(bytes) = Encoding::Base58.decode(&text) {
            prop_assert_eq!(bs58::encode(bytes).into_string(), text);
        }
    }
}
