//! Bitcoin wallets: where they are let in, what an upstream is told of them, and how they are counted.

use bip322::sign_simple;
use bitcoin::{
    Address, CompressedPublicKey, Network, NetworkKind, PrivateKey,
    hashes::Hash as _,
    secp256k1::{Message, Secp256k1, SecretKey},
    sign_message::signed_msg_hash,
};
use data_encoding::BASE64;

use crate::harness::{
    Gateway, Request, Setup, Upstream, Wallet,
    wallet::{Text, token},
};

const MAINNET: &str = "bip122:000000000019d6689c085ae165831e93";
const SIGNET: &str = "bip122:00000008819873e925422c1ff0f99f7c";

/// A key with its addresses.
struct Bitcoin(PrivateKey);

impl Bitcoin {
    fn new(number: u8) -> Self {
        Self(PrivateKey::new(SecretKey::from_slice(&[number; 32]).expect("a scalar"), NetworkKind::Main))
    }

    fn key(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.0.inner.public_key(&Secp256k1::new()))
    }

    fn p2wpkh(&self, network: Network) -> Address {
        Address::p2wpkh(&self.key(), network)
    }

    fn p2tr(&self) -> Address {
        Address::p2tr(&Secp256k1::new(), self.key().into(), None, Network::Bitcoin)
    }

    fn p2pkh(&self) -> Address {
        Address::p2pkh(self.key(), Network::Bitcoin)
    }

    /// The witness of the simple form, for a text of this address.
    fn bip322(&self, address: &Address, text: &str) -> String {
        let items = sign_simple(address, text, &[self.0], None).expect("a witness").to_vec();
        let items = items.iter().flat_map(|item| [&[item.len() as u8], &item[..]].concat());
        let count = if address.witness_program().is_some_and(|program| program.is_p2tr()) { 1 } else { 2 };
        BASE64.encode(&[count].into_iter().chain(items).collect::<Vec<u8>>())
    }

    /// The old form, with the header of a compressed key.
    fn bip137(&self, text: &str) -> String {
        let digest = Message::from_digest(signed_msg_hash(text).to_byte_array());
        let signature = Secp256k1::new().sign_ecdsa_recoverable(&digest, &self.0.inner);
        let (id, bytes) = signature.serialize_compact();
        BASE64.encode(&[&[31 + id.to_i32() as u8], &bytes[..]].concat())
    }
}

/// A message for the harness' origin.
fn text(address: &Address, chain: &str) -> String {
    let text = Wallet::evm(1).text().of_address(&address.to_string());
    Text { label: "Bitcoin".to_owned(), ..text }.with("Chain ID", chain).to_string()
}

fn reason(gateway: &Gateway, token: &str) -> (u16, String) {
    let answer = gateway.get("/wallet/x", token);
    (answer.status, answer.json()["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn bitcoin_is_off_unless_it_is_asked_for() {
    let upstream = Upstream::ok();
    let wallet = Bitcoin::new(1);
    let address = wallet.p2wpkh(Network::Bitcoin);
    let text = text(&address, MAINNET);
    let refused = (401, "chain_not_allowed".to_owned());
    for allow in ["", "[chains.bip122]\nallow = []\n", &format!("[chains.bip122]\nallow = [\"{SIGNET}\"]\n")] {
        let gateway = Setup::over(&upstream).tables(allow).start();
        for signature in [wallet.bip322(&address, &text), wallet.bip137(&text)] {
            assert_eq!(reason(&gateway, &token(&text, &signature)), refused, "{allow}");
        }
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn a_bitcoin_wallet_is_let_in_where_its_chain_is() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).tables(&format!("[chains.bip122]\nallow = [\"{MAINNET}\"]\n")).start();
    let wallet = Bitcoin::new(1);
    let (native, taproot, old) = (wallet.p2wpkh(Network::Bitcoin), wallet.p2tr(), wallet.p2pkh());
    for temperature in ["cold", "warm"] {
        for (address, scheme) in
            [(&native, "bip322"), (&taproot, "bip322"), (&native, "bip137"), (&taproot, "bip137"), (&old, "bip137")]
        {
            let text = text(address, MAINNET);
            let signature = if scheme == "bip137" { wallet.bip137(&text) } else { wallet.bip322(address, &text) };
            let answer = gateway.send(&Request::get("/wallet/x").token(&token(&text, &signature)));
            assert_eq!(answer.status, 200, "{address}, {scheme}, {temperature}: {answer:?}");
            let seen = upstream.take_one();
            let told = ["x-siwx-scheme", "x-siwx-chain", "x-siwx-address", "x-siwx-account"].map(|name| seen.one(name));
            let account = format!("{MAINNET}:{address}");
            assert_eq!(
                told,
                [Some(scheme), Some(MAINNET), Some(&address.to_string()), Some(&account)],
                "{temperature}"
            );
        }
    }

    let stranger = Bitcoin::new(2);
    let good = text(&native, MAINNET);
    let signet = wallet.p2wpkh(Network::Signet);
    let foreign = text(&signet, MAINNET);
    let rows = [
        ("of another wallet", good.clone(), stranger.bip137(&good), "bad_signature"),
        ("of another text", good.clone(), wallet.bip322(&native, &format!("{good}.")), "bad_signature"),
        ("another chain", text(&signet, SIGNET), wallet.bip137(&text(&signet, SIGNET)), "chain_not_allowed"),
        ("an address of another network", foreign.clone(), wallet.bip137(&foreign), "bad_signature"),
    ];
    for (name, text, signature, expected) in rows {
        assert_eq!(reason(&gateway, &token(&text, &signature)), (401, expected.to_owned()), "{name}");
    }
    assert_eq!(upstream.take().len(), 0);
    let metrics = gateway.metrics();
    let rows = [
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"bip322\"}", 2.0),
        ("siwx_signature_verifications_total{result=\"valid\",scheme=\"bip137\"}", 3.0),
        // A bad one is counted as the first of its family.
        ("siwx_signature_verifications_total{result=\"invalid\",scheme=\"bip137\"}", 2.0),
        ("siwx_signature_verify_duration_seconds_count{scheme=\"bip322\"}", 2.0),
    ];
    for (series, value) in rows {
        assert_eq!(metrics.value(series), value, "{series}");
    }
}
