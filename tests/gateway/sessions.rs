//! Sessions in the gate (sessions.md sections 2.1 to 2.3): what begins one, what it opens, and what ends it.
//!
//! They are begun at the room below the endpoints, and used over the wire.

mod begun;
mod contracts;
mod ended;
mod presented;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use siwx_gateway::{
    credential::{CarrierName, Presented},
    gate::sessions::{Fault, How, Sessions, SignInRequest, SignedIn, Visitor},
    session::{set::Pair, sign_in::Attempt},
};

use crate::harness::{Answer, Gateway, Request, Setup, Upstream, Wallet, wallet::Text};

/// The cookie's name behind `https`.
const COOKIE: &str = "__Host-siwx";

/// What sessions are kept under in these tests.
const SESSION: &str = "[session]\n";

/// The one address that they sign in from.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The usual gateway with sessions.
fn with(upstream: &Upstream, keys: &str) -> Gateway {
    Setup::over(upstream).tables(&format!("{SESSION}{keys}\n")).start()
}

fn sessions(gateway: &Gateway) -> &Arc<Sessions> {
    gateway.gate.sessions().expect("[session] is there")
}

fn visitor(gateway: &Gateway) -> Visitor<'static> {
    Visitor { client: CLIENT, origin: None, started: Instant::now(), now: gateway.now() }
}

/// The usual text of a sign-in, over a fresh nonce.
fn text(gateway: &Gateway, wallet: &Wallet) -> Text {
    let issued = sessions(gateway).nonce(gateway.now()).expect("a nonce");
    wallet.text().with("Nonce", &issued.nonce).without("Expiration Time")
}

/// A text and its signature, as a dapp hands them over.
fn attempt(gateway: &Gateway, text: &Text, chain: &str, signature: &str) -> Attempt {
    let field = |name: &str| text.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let body = json!({
        "data": {
            "accountAddress": text.address, "chainId": chain, "domain": text.domain, "uri": field("URI"),
            "version": "1", "nonce": field("Nonce"), "issuedAt": field("Issued At"), "notBefore": field("Not Before"),
            "expirationTime": field("Expiration Time"),
        },
        "message": text.to_string(),
        "signature": signature,
    });
    sessions(gateway).reader().session(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// What a wallet hands over that signs this text.
fn signed(gateway: &Gateway, wallet: &Wallet, text: &Text) -> Attempt {
    attempt(gateway, text, wallet.chain(), &wallet.written(&wallet.sign(&text.to_string())))
}

fn cookie(credential: &str) -> Presented<'_> {
    Presented::new(CarrierName::Cookie, credential.as_bytes())
}

fn hand_over(gateway: &Gateway, attempts: &[Attempt], how: How, credential: Option<&str>) -> Result<SignedIn, Fault> {
    let presented = credential.map(cookie);
    let request = SignInRequest { attempts, how, presented: presented.as_ref(), form: None, appkit: None };
    gateway.block_on(sessions(gateway).sign_in(&gateway.gate, request, &visitor(gateway)))
}

/// Signs in, and remembers that nobody may see what opens it.
fn sign_in(gateway: &Gateway, wallet: &Wallet) -> String {
    add(gateway, wallet, None)
}

/// The same into what is open already.
fn add(gateway: &Gateway, wallet: &Wallet, credential: Option<&str>) -> String {
    let attempts = [signed(gateway, wallet, &text(gateway, wallet))];
    let signed_in = hand_over(gateway, &attempts, How::Add, credential).unwrap_or_else(|fault| panic!("{fault:?}"));
    opening(gateway, &signed_in)
}

fn opening(gateway: &Gateway, signed_in: &SignedIn) -> String {
    let credential = signed_in.credential.expose().clone();
    gateway.secrets.add(&format!("Bearer {credential}"));
    credential
}

/// The code of a refused sign-in, and which of several it is about.
fn refused(outcome: Result<SignedIn, Fault>) -> (Option<usize>, &'static str) {
    match outcome {
        Err(Fault::Refused(refused)) => (refused.index, refused.error.code()),
        other => panic!("{other:?}"),
    }
}

/// Signs out; whether there was something to end.
fn sign_out(gateway: &Gateway, credential: &str, all: bool) -> bool {
    let presented = cookie(credential);
    let ending = sessions(gateway).sign_out(&gateway.gate, &presented, all, gateway.now());
    gateway.block_on(ending).expect("the store answers")
}

/// How many sessions are shown of a pair, or in all.
fn shown(gateway: &Gateway, credential: &str, pair: Option<&Pair<'_>>) -> usize {
    let (presented, visitor) = (cookie(credential), visitor(gateway));
    let shown = gateway.block_on(sessions(gateway).shown(&gateway.gate, &presented, &visitor));
    let shown = shown.expect("the store answers").expect("it is not over");
    shown.sessions(pair, &sessions(gateway).settings().life, gateway.now()).count()
}

/// The answer to what somebody asks who is signed in.
pub(crate) fn asked_with_one(request: impl FnOnce(&str) -> Request) -> Answer {
    let upstream = Upstream::ok();
    let gateway = with(&upstream, "");
    gateway.send(&request(&sign_in(&gateway, &Wallet::evm(1))))
}

pub(crate) fn by_cookie(target: &str, credential: &str) -> Request {
    Request::get(target).header("Cookie", &format!("{COOKIE}={credential}"))
}

fn by_bearer(target: &str, credential: &str) -> Request {
    Request::get(target).header("Authorization", &format!("Bearer {credential}"))
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn over() -> (u16, String) {
    (401, "invalid_session".to_owned())
}

fn get(gateway: &Gateway, credential: &str) -> (u16, String) {
    outcome(&gateway.send(&by_cookie("/wallet/x", credential)))
}

fn outcome(answer: &Answer) -> (u16, String) {
    answer.outcome()
}
