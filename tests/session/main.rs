//! The pure room of sessions, from outside: what AppKit really sends, what hostile dapps might, and tokens that other
//! libraries made.

mod hostile;
mod tokens;
mod vectors;

use std::fs;

use serde_json::{Map, Value, json};
use siwx_gateway::{
    chain::{self, Accepts, DIALECTS, SignatureError, Verified},
    session::{
        SessionError,
        sign_in::{Attempt, Reader, profile},
    },
    siwx::{claims::Expectation, message::Reading, origin::Origin},
    time::UnixTime,
};

/// The page of the vectors.
const PAGE: &str = "https://app.gateway.example";

fn vector_file(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

/// The cases of AppKit's messages.
fn cases() -> Vec<Value> {
    let file = vector_file("siwx-appkit-messages.json");
    let cases = file["cases"].as_array().expect("a list of cases").clone();
    assert_eq!(cases.len(), 17);
    assert_eq!(file["count"], 17);
    cases
}

fn case(id: &str) -> Value {
    cases().into_iter().find(|case| case["id"] == id).expect(id)
}

/// What AppKit posts for a case: `SIWXSession`.
fn item(case: &Value) -> Value {
    let member = |name: &str| case.get(name).map(|value| (name.to_owned(), value.clone()));
    ["data", "message", "signature", "cacao"].into_iter().filter_map(member).collect::<Map<_, _>>().into()
}

fn page() -> Origin {
    Origin::parse(PAGE).expect("an origin")
}

fn reading() -> Reading {
    Reading::default()
}

fn read(item: &Value) -> Result<Attempt, SessionError> {
    Reader { dialects: DIALECTS, reading: &reading() }.session(item.to_string().as_bytes())
}

/// What a gateway with a dapp on the page expects of tokens.
fn tokens_expectation() -> Expectation {
    let chains = ["eip155:*", "solana:*", "bip122:*"].map(str::to_owned).to_vec();
    Expectation { chains, require_expiration: true, ..Expectation::new(vec![page()]) }
}

/// And of sign-ins, with every label of a network welcome.
fn expectation() -> Expectation {
    profile(&tokens_expectation(), &[("eip155".to_owned(), vec!["*".to_owned()])], std::time::Duration::from_secs(600))
}

/// A minute after the message of a case was issued.
fn now(case: &Value) -> UnixTime {
    let issued = case["data"]["issuedAt"].as_str().expect("a time");
    UnixTime::parse_rfc3339(issued).expect("a time").plus_millis(60_000)
}

fn verify(attempt: &Attempt) -> Result<Verified, SignatureError> {
    chain::verify(attempt.proof(), &Accepts::all())
}

/// All that a gateway does with a sign-in but for nonce and store.
fn sign_in(case: &Value) -> Result<(Attempt, Verified), String> {
    let attempt = read(&item(case)).map_err(|error| error.code().to_owned())?;
    attempt.check(&expectation(), Some(&page()), now(case)).map_err(|error| error.code().to_owned())?;
    let verified = verify(&attempt).map_err(|error| error.as_str().to_owned())?;
    Ok((attempt, verified))
}

/// A case with something changed.
fn changed(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut case = case(id);
    change(&mut case);
    case
}

fn put(object: &mut Value, path: &[&str], value: Value) {
    let (last, before) = path.split_last().expect("a path");
    let parent = before.iter().fold(object, |object, name| &mut object[*name]);
    parent[*last] = value;
}

fn remove(object: &mut Value, path: &[&str]) {
    let (last, before) = path.split_last().expect("a path");
    let parent = before.iter().fold(object, |object, name| &mut object[*name]);
    parent.as_object_mut().expect("an object").remove(*last).expect("a member");
}

fn empty() -> Value {
    json!({})
}
