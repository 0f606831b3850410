//! What verifying a proof costs, beside what the curve alone costs in the same run.
//!
//! The difference between `verify_eip191` and `k256_recover` is the gateway's own share: reading hex, hashing
//! and comparing. `libsecp256k1_recover` is the yardstick of the C library.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::Signer as _;
use k256::ecdsa::{RecoveryId, SigningKey, VerifyingKey};
use secp256k1::ecdsa::RecoverableSignature;
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, DIALECTS, Signed, SignerKey, eip155, verify, verify_known, verify_signature},
    siwx::{claims::Claims, message::Reading, proof::Proof},
};

/// A message as wallets show it.
fn text(name: &str, address: &str, reference: &str) -> String {
    format!(
        "app.gateway.example wants you to sign in with your {name} account:\n{address}\n\n\
         Sign in to the gateway.\n\nURI: https://app.gateway.example/login\nVersion: 1\nChain ID: {reference}\n\
         Nonce: n9ad0f6b504a375d9\nIssued At: 2026-11-20T10:00:00.000Z"
    )
}

fn eip191(bench: &mut Criterion) {
    let secret = SigningKey::from_slice(&[7; 32]).expect("a scalar");
    let address = {
        use sha3::Digest as _;
        let point = secret.verifying_key().to_sec1_point(false);
        let hash = sha3::Keccak256::digest(&point.as_bytes()[1..]);
        eip155::address::checksummed(&std::array::from_fn(|i| hash[12 + i]))
    };
    let text = text("Ethereum", &address, "1");
    let digest = eip155::digest(text.as_bytes());
    let (signature, id) = secret.sign_prehash_recoverable(&digest);
    let written = format!("0x{}{:02x}", data_encoding::HEXLOWER.encode(&signature.to_bytes()), 27 + id.to_byte());
    let chain = ChainId::parse("eip155:1").expect("a CAIP-2 id");
    let signed = Signed {
        chain: &chain,
        address: &address,
        text: text.as_bytes(),
        domain: Some("app.gateway.example"),
        signature: &written,
    };
    let accepts = Accepts::default();
    verify_signature(&signed, &accepts).expect("a good signature");
    bench.bench_function("verify_eip191", |bencher| bencher.iter(|| verify_signature(black_box(&signed), &accepts)));

    let reading = Reading::default();
    let read = || Proof::read(text.clone().into_bytes(), written.clone(), DIALECTS, &reading);
    let proof = read().expect("a message");
    bench.bench_function("read_proof", |bencher| bencher.iter(|| black_box(read())));
    bench.bench_function("claims_of_message", |bencher| bencher.iter(|| Claims::of(black_box(proof.message()))));
    bench.bench_function("verify_proof_eip191", |bencher| bencher.iter(|| verify(black_box(&proof), &accepts)));
    let key = SignerKey::default();
    verify_known(&proof, &accepts, &key).expect("a good signature");
    bench.bench_function("verify_proof_eip191_of_a_known_key", |bencher| {
        bencher.iter(|| verify_known(black_box(&proof), &accepts, &key));
    });

    let recover =
        |id: RecoveryId| VerifyingKey::recover_from_prehash(black_box(&digest), black_box(&signature), black_box(id));
    bench.bench_function("k256_recover", |bencher| bencher.iter(|| recover(id)));

    let bytes: [u8; 64] = signature.to_bytes().into();
    let id = secp256k1::ecdsa::RecoveryId::from_u8_masked(id.to_byte());
    let message = secp256k1::Message::from_digest(digest);
    let recover = || RecoverableSignature::from_compact(black_box(&bytes), id)?.recover_ecdsa(black_box(message));
    recover().expect("a good signature");
    bench.bench_function("libsecp256k1_recover", |bencher| bencher.iter(recover));
}

fn ed25519(bench: &mut Criterion) {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let key = secret.verifying_key();
    let address = bs58::encode(key.to_bytes()).into_string();
    let text = text("Solana", &address, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
    let signature = secret.sign(text.as_bytes());
    let base58 = bs58::encode(signature.to_bytes()).into_string();
    let chain = ChainId::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").expect("a CAIP-2 id");
    let signed = Signed {
        chain: &chain,
        address: &address,
        text: text.as_bytes(),
        domain: Some("app.gateway.example"),
        signature: &base58,
    };
    let accepts = Accepts::default();
    verify_signature(&signed, &accepts).expect("a good signature");
    bench.bench_function("verify_ed25519", |bencher| bencher.iter(|| verify_signature(black_box(&signed), &accepts)));

    let strict = || key.verify_strict(black_box(text.as_bytes()), black_box(&signature));
    bench.bench_function("dalek_verify_strict", |bencher| bencher.iter(strict));

    let bytes = key.to_bytes();
    let with_key = || {
        let key = ed25519_dalek::VerifyingKey::from_bytes(black_box(&bytes))?;
        key.verify_strict(black_box(text.as_bytes()), black_box(&signature))
    };
    bench.bench_function("dalek_read_key_and_verify_strict", |bencher| bencher.iter(with_key));

    // The dearest refusal: every envelope that could have been signed is tried.
    let other = bs58::encode(secret.sign(b"another text").to_bytes()).into_string();
    let mismatch = Signed { signature: &other, ..signed };
    bench.bench_function("refuse_ed25519_and_envelopes", |bencher| {
        bencher.iter(|| verify_signature(black_box(&mismatch), &accepts));
    });
}

criterion_group! {
    name = proof;
    // Three seconds a function are enough for a difference of a microsecond.
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(3)).without_plots();
    targets = eip191, ed25519
}
criterion_main!(proof);
