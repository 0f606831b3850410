//! What the benches of the gate and of the whole program share: a configuration, wallets that sign, and a store that
//! knows them.

use std::collections::BTreeMap;

use k256::ecdsa::SigningKey;
use sha3::{Digest as _, Keccak256};
use siwx_gateway::{
    caip::AccountId,
    chain::eip155,
    config::{self, Config, Inputs, Report},
    store::{Grant, Store, Term},
    time::UnixTime,
};

/// The chain that Ethereum wallets here name.
pub(crate) const CHAIN: &str = "eip155:8453";

/// When all messages here were issued; they are good for an hour.
pub(crate) const NOW: &str = "2026-11-20T10:00:01.000Z";

/// A public route and one that needs a subscription. The log is off, nobody is counted out, and nothing that is
/// remembered ends within a run.
pub(crate) fn config(upstream: &str, more: &str) -> (Config, Report) {
    let text = format!(
        r#"
        public_url = "https://api.example.com"
        server = {{ listen = ["127.0.0.1:0"], workers = 1, drain_delay = "0s", drain_timeout = "1s" }}
        admin.listen = ""
        store.url = "sqlite::memory:"
        cache.proofs.ttl = "1d"
        cache.subscriptions.ttl = "1d"
        limits.auth_failures = "off"
        log.access.enabled = false
        upstreams.api.urls = ["{upstream}"]
        [[route]]
        name = "public"
        prefix = "/public"
        upstream = "api"
        auth = "none"
        [[route]]
        name = "paid"
        prefix = "/paid"
        upstream = "api"
        auth = "subscription"
        {more}"#
    );
    let inputs = Inputs {
        text: &text,
        name: "bench.toml",
        environment: &BTreeMap::new(),
        flags: &[],
        files: &|path| std::fs::read_to_string(path),
    };
    config::resolve(&inputs).unwrap_or_else(|report| panic!("{}", report.render(false)))
}

/// The moment of [`NOW`].
pub(crate) fn now() -> UnixTime {
    UnixTime::parse_rfc3339(NOW).expect("a time")
}

/// An Ethereum wallet; each number but 0 is another one.
pub(crate) fn wallet(number: u32) -> SigningKey {
    let mut secret = [0; 32];
    secret[28..].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_slice(&secret).expect("a scalar")
}

/// The address of an Ethereum wallet, in EIP-55.
pub(crate) fn address(wallet: &SigningKey) -> String {
    let point = wallet.verifying_key().to_sec1_point(false);
    let hash = Keccak256::digest(&point.as_bytes()[1..]);
    eip155::address::checksummed(&std::array::from_fn(|i| hash[12 + i]))
}

/// A message for the gateway of [`config`]; each nonce makes another one.
pub(crate) fn text(label: &str, address: &str, reference: &str, nonce: u64) -> String {
    format!(
        "api.example.com wants you to sign in with your {label} account:\n{address}\n\n\
         Sign in to the API.\n\nURI: https://api.example.com\nVersion: 1\nChain ID: {reference}\n\
         Nonce: n{nonce:016}\nIssued At: 2026-11-20T10:00:00.000Z\nExpiration Time: 2026-11-20T11:00:00.000Z"
    )
}

/// The value of `Authorization` for a text and its signature.
pub(crate) fn authorization(text: &str, signature: &str) -> String {
    format!("SIWX {}.{signature}", data_encoding::BASE64.encode(text.as_bytes()))
}

/// A token that `signer` has signed for the account of `wallet`: forged, unless they are the same.
pub(crate) fn token(wallet: &SigningKey, signer: &SigningKey, nonce: u64) -> String {
    let text = text("Ethereum", &address(wallet), "8453", nonce);
    let (signature, id) = signer.sign_prehash_recoverable(&eip155::digest(text.as_bytes()));
    let hex = data_encoding::HEXLOWER.encode(&signature.to_bytes());
    authorization(&text, &format!("0x{hex}{:02x}", 27 + id.to_byte()))
}

/// Gives a CAIP-10 account a subscription without end.
pub(crate) fn subscribe(runtime: &tokio::runtime::Runtime, store: &Store, account: &str) {
    let key = AccountId::parse(account).expect("a CAIP-10 id").key();
    let grant = Grant::new(key, "default", Term::UntilRevoked).expect("a grant");
    runtime.block_on(store.subscriptions().grant(&grant, now())).expect("the store takes it");
}

/// A runtime for what is awaited.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
