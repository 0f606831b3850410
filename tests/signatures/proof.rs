//! Proofs: the reader and the verifier together.

use siwx_gateway::{
    chain::{Accepts, DIALECTS, Scheme, SignatureError, verify},
    siwx::{message::Reading, proof::Proof},
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

/// A proof whose text names no chain. Of EVM texts the reader refuses those.
fn without_chain(file: &str, id: &str) -> Proof {
    let case = case(file, id);
    let text = String::from_utf8(case.text).expect("UTF-8");
    let lines: Vec<_> = text.split('\n').filter(|line| !line.starts_with("Chain ID: ")).collect();
    Proof::read(lines.join("\n").into_bytes(), case.signature, DIALECTS, &Reading::default()).expect(id)
}
