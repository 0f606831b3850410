//! The vector files, each case against its verdict and each file against its count.

use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, Encoding, Scheme, SignatureError, ed25519::PublicKey},
};

use crate::Case;

/// What all files have in common.
#[derive(Deserialize)]
struct File<C> {
    count: usize,
    accept: usize,
    reject: usize,
    domain: Option<String>,
    cases: Vec<C>,
}

#[derive(Deserialize)]
struct Text {
    id: String,
    chain_id: Option<String>,
    address: String,
    message: String,
    signature: Option<String>,
    transaction_base64: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    public_key_hex: String,
    message_hex: String,
    signature_hex: String,
    expect: Expect,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expect {
    Accept,
    Reject,
    /// Some specification takes it; it must not crash.
    Optional,
}

pub(crate) const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

/// The files that hold texts, with the schemes in which they are good.
pub(crate) const TEXT_FILES: &[(&str, &[Scheme])] = &[
    ("signatures-eip191.json", &[Scheme::Eip191]),
    ("signatures-solana.json", &[Scheme::Ed25519]),
    ("signatures-solana-offchain.json", &[Scheme::SolanaOffchain]),
    ("signatures-solana-memo.json", &[Scheme::SolanaMemo]),
    ("signatures-bip137.json", &[Scheme::Bip137]),
    ("signatures-bip322.json", &[Scheme::Bip322]),
    ("signatures-tron.json", &[Scheme::Tip191]),
    ("signatures-sui.json", &[Scheme::Sui]),
];

/// Reads a file of texts: each case with its name and verdict.
pub(crate) fn cases(name: &str) -> Vec<(String, Case, Expect)> {
    let File { domain, cases, .. } = read::<Text>(name);
    let read = |row: Text| {
        let signature = match (row.signature, row.transaction_base64) {
            (Some(signature), None) => signature,
            (None, Some(transaction)) => format!("tx:{transaction}"),
            other => panic!("{}: {other:?}", row.id),
        };
        let case = Case {
            chain: ChainId::parse(row.chain_id.as_deref().unwrap_or(SOLANA)).expect("a CAIP-2 id"),
            address: row.address,
            text: row.message.into_bytes(),
            domain: domain.clone(),
            signature,
        };
        (row.id, case, row.expect)
    };
    cases.into_iter().map(read).collect()
}

/// The text of a vector file.
pub(crate) fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read_to_string(&path).expect(name)
}

fn read<C: for<'de> Deserialize<'de>>(name: &str) -> File<C> {
    let file: File<C> = serde_json::from_str(&text(name)).expect(name);
    assert_eq!(file.cases.len(), file.count, "{name} holds another number of cases than it says");
    file
}

/// Compares verdicts and says how many of the file were as expected.
#[expect(clippy::print_stdout, reason = "the count is what a reader of the test run looks for")]
pub(crate) fn judge(name: &str, verdicts: impl Iterator<Item = (String, Expect, Option<bool>)>) {
    let File { count, accept, reject, .. } = read::<serde::de::IgnoredAny>(name);
    let (mut passed, mut accepted, mut rejected) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (id, expect, verdict) in verdicts {
        let right = match expect {
            Expect::Accept => verdict == Some(true),
            Expect::Reject => verdict == Some(false),
            Expect::Optional => verdict.is_some(),
        };
        accepted += usize::from(expect == Expect::Accept);
        rejected += usize::from(expect == Expect::Reject);
        passed += usize::from(right);
        if !right {
            wrong.push(format!("{id}: expected {expect:?}, found {verdict:?}"));
        }
    }
    println!("{name}: {passed} of {count}");
    assert_eq!(wrong, Vec::<String>::new(), "{name}");
    assert_eq!((passed, accepted, rejected), (count, accept, reject), "{name}");
}

#[test]
fn texts_of_every_file() {
    for (name, schemes) in TEXT_FILES {
        let verdict = |case: &Case| match case.verify(&Accepts::all()) {
            Ok(scheme) => schemes.contains(&scheme).then_some(true),
            Err(_) => Some(false),
        };
        judge(name, cases(name).into_iter().map(|(id, case, expect)| (id, expect, verdict(&case))));
    }
}

#[test]
fn raw_ed25519() {
    let verdict = |row: &Raw| {
        let key = bytes(&row.public_key_hex).try_into().ok().and_then(|key| PublicKey::read(&key));
        let signature: Option<[u8; 64]> = bytes(&row.signature_hex).try_into().ok();
        let verified =
            key.zip(signature).is_some_and(|(key, signature)| key.verifies(&bytes(&row.message_hex), &signature));
        Some(verified)
    };
    let name = "signatures-ed25519.json";
    judge(name, read::<Raw>(name).cases.iter().map(|row| (row.id.clone(), row.expect, verdict(row))));
}

/// The reasons of the refusals that have a reason of their own.
#[test]
fn reasons_of_refusals() {
    use SignatureError::*;
    let rows = [
        ("signatures-eip191.json", "high-s", HighS),
        ("signatures-eip191.json", "v-flipped", SignatureMismatch),
        ("signatures-eip191.json", "other-message", SignatureMismatch),
        ("signatures-eip191.json", "v-eip155-37", MalformedSignature),
        ("signatures-eip191.json", "r-zero", MalformedSignature),
        ("signatures-eip191.json", "s-n", MalformedSignature),
        ("signatures-eip191.json", "base64", MalformedSignature),
        ("signatures-eip191.json", "empty", MalformedSignature),
        ("signatures-eip191.json", "only-0x", RpcNotConfigured),
        ("signatures-eip191.json", "63-bytes", RpcNotConfigured),
        ("signatures-eip191.json", "66-bytes", RpcNotConfigured),
        ("signatures-eip191.json", "128-bytes", RpcNotConfigured),
        ("signatures-eip191.json", "zero-address-garbage", ZeroAccount),
        ("signatures-solana.json", "space", MalformedSignature),
        ("signatures-solana.json", "s-plus-l", SignatureMismatch),
        ("signatures-solana.json", "address-31-bytes", MalformedAddress),
        ("signatures-solana.json", "address-not-on-curve", WeakKey),
        ("signatures-solana.json", "forged-small-order-000000", WeakKey),
        ("signatures-solana-offchain.json", "v0-foreign-domain", SignatureMismatch),
        ("signatures-solana-memo.json", "memo-transfer", UnexpectedTransaction),
        ("signatures-solana-memo.json", "memo-other-text", UnexpectedTransaction),
        ("signatures-solana-memo.json", "memo-two-signers", UnexpectedTransaction),
        ("signatures-solana-memo.json", "memo-trailing-bytes", MalformedSignature),
        ("signatures-tron.json", "high-s", HighS),
        ("signatures-tron.json", "ethereum-prefix", SignatureMismatch),
        ("signatures-tron.json", "other-account", SignatureMismatch),
        ("signatures-tron.json", "claimed-by-another", SignatureMismatch),
        ("signatures-tron.json", "v-37", MalformedSignature),
        ("signatures-tron.json", "63-bytes", MalformedSignature),
        ("signatures-tron.json", "wrapped-6492", MalformedSignature),
        ("signatures-tron.json", "only-0x", MalformedSignature),
        ("signatures-tron.json", "address-checksum", MalformedAddress),
        ("signatures-tron.json", "address-evm", MalformedAddress),
        ("signatures-tron.json", "zero-account-garbage", ZeroAccount),
        ("signatures-tron.json", "namespace-of-evm", SignatureMismatch),
        ("signatures-sui.json", "secp256k1-high-s", HighS),
        ("signatures-sui.json", "secp256r1-high-s", HighS),
        ("signatures-sui.json", "secp256k1-r-zero", MalformedSignature),
        ("signatures-sui.json", "secp256r1-s-n", MalformedSignature),
        ("signatures-sui.json", "ed25519-pk-of-another", SignatureMismatch),
        ("signatures-sui.json", "secp256k1-pk-of-another", SignatureMismatch),
        ("signatures-sui.json", "secp256r1-pk-of-another", SignatureMismatch),
        ("signatures-sui.json", "ed25519-transaction", SignatureMismatch),
        ("signatures-sui.json", "ed25519-s-plus-l", SignatureMismatch),
        ("signatures-sui.json", "ed25519-small-order-0", WeakKey),
        ("signatures-sui.json", "ed25519-small-order-3", WeakKey),
        ("signatures-sui.json", "ed25519-key-off-curve", WeakKey),
        ("signatures-sui.json", "secp256r1-key-compact", SignatureMismatch),
        ("signatures-sui.json", "secp256k1-key-65-bytes", MalformedSignature),
        ("signatures-sui.json", "multisig", FormNotAccepted),
        ("signatures-sui.json", "flag-5-on-ed25519", FormNotAccepted),
        ("signatures-sui.json", "flag-6-on-ed25519", FormNotAccepted),
        ("signatures-sui.json", "flag-4-on-ed25519", MalformedSignature),
        ("signatures-sui.json", "flag-1-on-ed25519", MalformedSignature),
        ("signatures-sui.json", "flag-2-on-secp256k1", SignatureMismatch),
        ("signatures-sui.json", "flag-2-own-address", SignatureMismatch),
        ("signatures-sui.json", "no-key", MalformedSignature),
        ("signatures-sui.json", "a-byte-less", MalformedSignature),
        ("signatures-sui.json", "a-byte-more", MalformedSignature),
        ("signatures-sui.json", "no-padding", MalformedSignature),
        ("signatures-sui.json", "stray-bits", MalformedSignature),
        ("signatures-sui.json", "address-without-0x", MalformedAddress),
        ("signatures-sui.json", "address-20-bytes", MalformedAddress),
    ];
    for (file, id, expected) in rows {
        assert_eq!(case(file, id).verify(&Accepts::all()), Err(expected), "{file} {id}");
    }
}

/// What is wrapped for a contract is refused by that name, also where it has the length of a key's signature.
#[test]
fn wrapped_signatures_ask_for_rpc() {
    use SignatureError::{Erc8010Unsupported, MalformedSignature, RpcNotConfigured};
    for (magic, accepted) in [("6492", MalformedSignature), ("8010", Erc8010Unsupported)] {
        for (bytes, start) in [(64, 32), (65, 33), (96, 64), (2000, 1968)] {
            let signature = format!("0x{}{}", "11".repeat(start), magic.repeat(16));
            let case = Case { signature, ..case("signatures-eip191.json", "v-27-28") };
            assert_eq!(case.verify(&Accepts::default()), Err(RpcNotConfigured), "{bytes} bytes, {magic}");
            assert_eq!(case.verify(&Accepts::all()), Err(accepted), "{bytes} bytes, {magic}");
        }
    }
}

/// What a carrier does not take is refused although the chain could verify it.
#[test]
fn carriers_narrow_what_is_taken() {
    let all = Accepts::all();
    let base58 = Accepts { solana_encodings: &[Encoding::Base58], ..all };
    let rows = [
        ("signatures-eip191.json", "compact-2098", Accepts { compact: false, ..all }, SignatureError::FormNotAccepted),
        ("signatures-tron.json", "compact-2098", Accepts { compact: false, ..all }, SignatureError::FormNotAccepted),
        ("signatures-solana.json", "hex", base58, SignatureError::MalformedSignature),
        ("signatures-solana.json", "base64", base58, SignatureError::MalformedSignature),
        (
            "signatures-solana-offchain.json",
            "v1",
            Accepts { offchain: false, ..all },
            SignatureError::SignatureMismatch,
        ),
        ("signatures-solana-memo.json", "memo-legacy", Accepts { memo: false, ..all }, SignatureError::FormNotAccepted),
    ];
    for (file, id, narrow, expected) in rows {
        let case = case(file, id);
        assert!(case.verify(&all).is_ok(), "{file} {id}");
        assert_eq!(case.verify(&narrow), Err(expected), "{file} {id}");
    }
    let header = Accepts::default();
    assert_eq!((header.compact, header.offchain, header.memo), (false, true, false));
    assert_eq!(case("signatures-eip191.json", "v-27-28").verify(&header), Ok(Scheme::Eip191));
    assert_eq!(case("signatures-solana.json", "base58").verify(&base58), Ok(Scheme::Ed25519));
}

/// A signature is of one namespace: the chain's, whatever the address looks like.
#[test]
fn the_namespace_picks_the_chain() {
    let evm = case("signatures-eip191.json", "v-27-28");
    let rows = [
        ("eip155:8453", Ok(Scheme::Eip191)),
        (SOLANA, Err(SignatureError::MalformedAddress)),
        ("cosmos:cosmoshub-4", Err(SignatureError::UnknownNamespace)),
        ("eip156:1", Err(SignatureError::UnknownNamespace)),
    ];
    for (chain, expected) in rows {
        let case = Case { chain: ChainId::parse(chain).expect("a CAIP-2 id"), ..evm.clone() };
        assert_eq!(case.verify(&Accepts::all()), expected, "{chain}");
    }
}

/// The case of a name.
pub(crate) fn case(file: &str, id: &str) -> Case {
    let found = cases(file).into_iter().find(|(name, ..)| name == id);
    found.map(|(_, case, _)| case).unwrap_or_else(|| panic!("{file} has no case {id}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).expect("hex")
}
