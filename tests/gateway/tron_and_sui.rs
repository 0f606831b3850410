//! Tron and Sui wallets: where they are let in, what an upstream is told of them, and how they are counted.

use std::borrow::Cow;

use data_encoding::{BASE64, HEXLOWER};
use k256::ecdsa::SigningKey;
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;
use sui_crypto::{
    SuiSigner, ed25519::Ed25519PrivateKey, secp256k1::Secp256k1PrivateKey, secp256r1::Secp256r1PrivateKey,
};
use sui_sdk_types::PersonalMessage;

use crate::harness::{
    Gateway, Request, Setup, Upstream, Wallet,
    wallet::{Text, token},
};

const ALLOW: &str = "[chains.tron]\nallow = [\"tron:0x2b6653dc\"]\n[chains.sui]\nallow = [\"sui:mainnet\"]\n";

/// A wallet that is not one of the two families that the harness has.
struct Other {
    label: &'static str,
    chain: &'static str,
    scheme: &'static str,
    address: String,
    sign: Box<dyn Fn(&str) -> String>,
}

impl Other {
    fn tron(number: u8) -> Self {
        let key = SigningKey::from_slice(&[number; 32]).expect("a scalar");
        let hash = Keccak256::digest(&key.verifying_key().to_sec1_point(false).as_bytes()[1..]);
        let payload = [&[0x41], &hash[12..]].concat();
        let checksum = Sha256::digest(Sha256::digest(&payload));
        let sign = move |text: &str| {
            let digest = Keccak256::digest(format!("\x19TRON Signed Message:\n{}{text}", text.len()));
            let (signature, id) = key.sign_prehash_recoverable(&digest);
            format!("0x{}{:02x}", HEXLOWER.encode(&signature.to_bytes()), 27 + id.to_byte())
        };
        Self {
            label: "TRON",
            chain: "tron:0x2b6653dc",
            scheme: "tip191",
            address: bs58::encode([&payload, &checksum[..4]].concat()).into_string(),
            sign: Box::new(sign),
        }
    }

    /// Three keys of one number, each on a curve of its own.
    fn sui(number: u8) -> [Self; 3] {
        let seed = [number; 32];
        let (ed25519, k1, r1) = (
            Ed25519PrivateKey::new(seed),
            Secp256k1PrivateKey::new(seed).expect("a scalar"),
            Secp256r1PrivateKey::new(seed),
        );
        let addresses =
            [ed25519.public_key().derive_address(), k1.public_key().derive_address(), r1.public_key().derive_address()];
        let signers: [Box<dyn SuiSigner>; 3] = [Box::new(ed25519), Box::new(k1), Box::new(r1)];
        let mut pairs = addresses.into_iter().zip(signers);
        std::array::from_fn(|_| {
            let (address, signer) = pairs.next().expect("three of each");
            let sign = move |text: &str| {
                let message = PersonalMessage(Cow::Borrowed(text.as_bytes()));
                BASE64.encode(&low(signer.sign_personal_message(&message).expect("a signature").to_bytes()))
            };
            Self {
                label: "Sui",
                chain: "sui:mainnet",
                scheme: "sui",
                address: address.to_string(),
                sign: Box::new(sign),
            }
        })
    }

    fn all(number: u8) -> [Self; 4] {
        let [a, b, c] = Self::sui(number);
        [Self::tron(number), a, b, c]
    }

    fn account(&self) -> String {
        format!("{}:{}", self.chain, self.address)
    }

    /// A message for the harness' origin.
    fn text(&self, chain: &str) -> String {
        let text = Wallet::evm(1).text().of_address(&self.address);
        Text { label: self.label.to_owned(), ..text }.with("Chain ID", chain).to_string()
    }

    fn token_of(&self, text: &str) -> String {
        token(text, &(self.sign)(text))
    }
}

/// The kit gives a secp256r1 signature whichever s it comes to, and the chain takes a low one alone.
fn low(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes[0] == 2 {
        let signature = p256::ecdsa::Signature::from_slice(&bytes[1..65]).expect("r and s");
        bytes[1..65].copy_from_slice(&signature.normalize_s().to_bytes());
    }
    bytes
}

fn reason(gateway: &Gateway, token: &str) -> (u16, String) {
    let answer = gateway.get("/wallet/x", token);
    (answer.status, answer.json()["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn tron_and_sui_are_off_unless_they_are_asked_for() {
    let upstream = Upstream::ok();
    let others = "[chains.tron]\nallow = [\"tron:0x94a9059e\"]\n[chains.sui]\nallow = [\"sui:testnet\"]\n";
    for allow in ["", "[chains.tron]\nallow = []\n[chains.sui]\nallow = []\n", others] {
        let gateway = Setup::over(&upstream).tables(allow).start();
        for wallet in Other::all(1) {
            let found = reason(&gateway, &wallet.token_of(&wallet.text(wallet.chain)));
            assert_eq!(found, (401, "chain_not_allowed".to_owned()), "{allow}: {}", wallet.account());
        }
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn tron_and_sui_wallets_are_let_in_where_their_chain_is() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).tables(ALLOW).start();
    let wallets = Other::all(1);
    for temperature in ["cold", "warm"] {
        for wallet in &wallets {
            let token = wallet.token_of(&wallet.text(wallet.chain));
            let answer = gateway.send(&Request::get("/wallet/x").token(&token));
            assert_eq!(answer.status, 200, "{}, {temperature}: {answer:?}", wallet.account());
            let seen = upstream.take_one();
            let told = ["x-siwx-scheme", "x-siwx-chain", "x-siwx-address", "x-siwx-account"].map(|name| seen.one(name));
            let account = wallet.account();
            let expected = [wallet.scheme, wallet.chain, &wallet.address, &account].map(Some);
            assert_eq!(told, expected, "{temperature}");
        }
    }
    for (wallet, stranger) in wallets.iter().zip(Other::all(2)) {
        let text = wallet.text(wallet.chain);
        let other = &wallets[usize::from(wallet.label == "TRON")];
        let rows = [
            ("of another wallet", token(&text, &(stranger.sign)(&text))),
            ("of another text", token(&text, &(wallet.sign)(&format!("{text}.")))),
            ("of the other family", token(&text, &(other.sign)(&text))),
        ];
        for (name, token) in rows {
            assert_eq!(reason(&gateway, &token), (401, "bad_signature".to_owned()), "{name}: {}", wallet.account());
        }
    }
    assert_eq!(upstream.take().len(), 0);
    let metrics = gateway.metrics();
    let rows = [
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"tip191\"}", 1.0),
        ("siwx_signature_verifications_total{result=\"invalid\",scheme=\"tip191\"}", 3.0),
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"sui\"}", 3.0),
        ("siwx_signature_verifications_total{result=\"invalid\",scheme=\"sui\"}", 9.0),
    ];
    for (series, value) in rows {
        assert_eq!(metrics.value(series), value, "{series}");
    }
}

/// Whoever is denied in one spelling is denied in all, and by address alone on every chain.
#[test]
fn denied_accounts_of_tron_and_sui_are_refused() {
    let upstream = Upstream::ok();
    let wallets = Other::all(1);
    let capitals = wallets[1].address.to_uppercase().replacen('X', "x", 1);
    let denied = format!("\"tron:728126428:{}\", \"{capitals}\"", wallets[0].address);
    let gateway = Setup::over(&upstream).tables(&format!("[auth]\ndeny_accounts = [{denied}]\n{ALLOW}")).start();
    let outcomes = wallets.map(|wallet| gateway.get("/wallet/x", &wallet.token_of(&wallet.text(wallet.chain))).status);
    assert_eq!(outcomes, [403, 403, 200, 200]);
}
