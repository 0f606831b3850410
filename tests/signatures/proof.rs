//! Proofs: the reader and the verifier together.

use siwx_gateway::{
    chain::{Accepts, DIALECTS, Scheme, SignatureError, verify},
    siwx::{Code, message::Reading, proof::Proof},
};

use crate::vectors::{SOLANA, case};

fn proof(file: &str, id: &str) -> Proof {
    let case = case(file, id);
    Proof::read(case.text, case.signature, DIALECTS, &Reading::default()).expect(id)
}

#[test]
fn verified_proofs_say_who_signed_what() {
    let evm = "eip155:1:0xe6332bAbf154B2D1BA63117506363B3C655F3391".to_owned();
    let solana = format!("{SOLANA}:EYVHqq1n9saptTjmYUMuJwAjiURz8Vbs3jR3uy5EK3eq");
    let tron = "tron:0x2b6653dc:TLXfCdbWvhoojZ2UTjtSGbPow583k89mAC".to_owned();
    let sui = "sui:mainnet:0xb6e18bd4c0e235962c06f0da2c8f9d7095e3ae8fd30532555dcf504ac1a1bf2d".to_owned();
    let rows = [
        ("signatures-eip191.json", "v-27-28", &evm, Scheme::Eip191, "n9ad0f6b504a375d9"),
        ("signatures-solana.json", "base58", &solana, Scheme::Ed25519, "n9ad0f6b504a375d9"),
        (
            "signatures-solana-offchain.json",
            "v0-domain-padded-ascii",
            &solana,
            Scheme::SolanaOffchain,
            "nbd5b77f6da685fef",
        ),
        ("signatures-solana-memo.json", "memo-legacy", &solana, Scheme::SolanaMemo, "n53afa46f0890c02e"),
        ("signatures-sui.json", "ed25519", &sui, Scheme::Sui, "n71e5b0a4c92d6f83"),
        ("signatures-sui.json", "bare-chain", &sui, Scheme::Sui, "n71e5b0a4c92d6f83"),
        ("signatures-sui.json", "digest-chain", &sui, Scheme::Sui, "n71e5b0a4c92d6f83"),
        ("signatures-sui.json", "upper-case-address", &sui, Scheme::Sui, "n71e5b0a4c92d6f83"),
        ("signatures-tron.json", "v-27-28", &tron, Scheme::Tip191, "n4c1d7a90be25f318"),
        ("signatures-tron.json", "bare-chain", &tron, Scheme::Tip191, "n4c1d7a90be25f318"),
        ("signatures-tron.json", "decimal-chain", &tron, Scheme::Tip191, "n4c1d7a90be25f318"),
    ];
    for (file, id, account, scheme, nonce) in rows {
        let verified = verify(&proof(file, id), &Accepts::all()).expect(id);
        assert_eq!((verified.account().as_str(), verified.scheme()), (account.as_str(), scheme), "{id}");
        assert_eq!(verified.claims().account(), Some(verified.account()), "{id}");
        assert_eq!(verified.claims().nonce(), Some(nonce), "{id}");
        assert_eq!(verified.claims().domain(), "app.gateway.example", "{id}");
    }
}

#[test]
fn proofs_that_are_refused() {
    use SignatureError::{HighS, NoChain, SignatureMismatch};
    let case = case("signatures-eip191.json", "v-27-28");
    let changed = String::from_utf8(case.text).expect("UTF-8").replace("n9ad0", "n9ad1");
    let other_nonce = Proof::read(changed.into_bytes(), case.signature, DIALECTS, &Reading::default()).expect("a text");
    let rows = [
        ("high s", proof("signatures-eip191.json", "high-s"), HighS),
        ("the text was changed", other_nonce, SignatureMismatch),
        ("a Solana text without a chain", without_chain("signatures-solana.json", "base58"), NoChain),
    ];
    for (name, proof, expected) in rows {
        assert_eq!(verify(&proof, &Accepts::all()).map(|verified| verified.scheme()), Err(expected), "{name}");
    }
}

/// A text names accounts and chains of the family that its first line names, and of no other.
#[test]
fn texts_that_name_what_another_family_has() {
    const TRON: &str = "TLXfCdbWvhoojZ2UTjtSGbPow583k89mAC";
    const EVM: &str = "0xe6332bAbf154B2D1BA63117506363B3C655F3391";
    const SUI: &str = "0xb6e18bd4c0e235962c06f0da2c8f9d7095e3ae8fd30532555dcf504ac1a1bf2d";
    let text = |label: &str, address: &str, chain: &str| {
        format!(
            "app.gateway.example wants you to sign in with your {label} account:\n{address}\n\n\
             URI: https://app.gateway.example/login\nVersion: 1\nChain ID: {chain}\nNonce: n4c1d7a90be25f318\n\
             Issued At: 2026-11-20T10:00:00.000Z"
        )
    };
    let read = |text: String| {
        Proof::read(text.into_bytes(), "0x".to_owned(), DIALECTS, &Reading::default())
            .map(|proof| proof.message().account.as_ref().map_or_else(String::new, ToString::to_string))
            .map_err(|error| error.code())
    };
    let (mainnet, account) = ("0x2b6653dc", format!("tron:0x2b6653dc:{TRON}"));
    let rows = [
        ("Tron", text("TRON", TRON, mainnet), Ok(account.clone())),
        ("Tron, all of it CAIP", text("TRON", &account, "tron:0x2b6653dc"), Ok(account.clone())),
        ("a label nobody knows", text("Tron Mainnet", TRON, "tron:0x2b6653dc"), Ok(account)),
        ("nothing that says the family", text("Tron Mainnet", TRON, mainnet), Err(Code::NamespaceUndetermined)),
        ("an EVM address on Tron", text("TRON", EVM, mainnet), Err(Code::InvalidAccount)),
        ("a Tron address on EVM", text("Ethereum", TRON, "1"), Err(Code::InvalidAccount)),
        ("an EVM chain on Tron", text("TRON", TRON, "eip155:1"), Err(Code::NamespaceMismatch)),
        ("a Tron chain on EVM", text("Ethereum", EVM, "tron:0x2b6653dc"), Err(Code::NamespaceMismatch)),
        ("a Tron chain without its namespace on EVM", text("Ethereum", EVM, mainnet), Err(Code::InvalidChainId)),
        ("an EVM account on Tron", text("TRON", &format!("eip155:1:{EVM}"), mainnet), Err(Code::NamespaceMismatch)),
        ("another chain of Tron", text("TRON", &format!("tron:1:{TRON}"), mainnet), Err(Code::ChainMismatch)),
        ("bad base58check", text("TRON", &TRON.replace("mAC", "mAD"), mainnet), Err(Code::AddressChecksum)),
        ("Sui", text("Sui", SUI, "mainnet"), Ok(format!("sui:mainnet:{SUI}"))),
        (
            "Sui in capitals",
            text("Sui", &SUI.to_uppercase().replace('X', "x"), "sui:35834a8a"),
            Ok(format!("sui:mainnet:{SUI}")),
        ),
        ("nothing that says it is Sui's", text("Sui Mainnet", SUI, "mainnet"), Err(Code::NamespaceUndetermined)),
        ("an EVM address on Sui", text("Sui", EVM, "mainnet"), Err(Code::InvalidAccount)),
        ("a Sui address on EVM", text("Ethereum", SUI, "1"), Err(Code::InvalidAccount)),
        ("a Sui address on Tron", text("TRON", SUI, mainnet), Err(Code::InvalidAccount)),
        ("a Tron chain on Sui", text("Sui", SUI, "tron:0x2b6653dc"), Err(Code::NamespaceMismatch)),
        ("no chain of Sui", text("Sui", SUI, "localnet"), Err(Code::InvalidChainId)),
        ("the short spelling on Sui", text("Sui", "0x2", "mainnet"), Err(Code::InvalidAccount)),
        ("no chain of Tron", text("TRON", TRON, "0x2B6653DC"), Err(Code::InvalidChainId)),
    ];
    for (name, text, expected) in rows {
        assert_eq!(read(text), expected, "{name}");
    }
}

/// A proof whose text names no chain. Of EVM texts the reader refuses those.
fn without_chain(file: &str, id: &str) -> Proof {
    let case = case(file, id);
    let text = String::from_utf8(case.text).expect("UTF-8");
    let lines: Vec<_> = text.split('\n').filter(|line| !line.starts_with("Chain ID: ")).collect();
    Proof::read(lines.join("\n").into_bytes(), case.signature, DIALECTS, &Reading::default()).expect(id)
}
