//! The message vectors: every case of `tests/vectors/message-*.json`, its whole verdict compared.

use std::fs;

use data_encoding::BASE64;
use serde_json::Value;
use siwx_gateway::{
    chain::DIALECTS,
    siwx::{
        Field, Message,
        claims::{self, Claims, Expectation, Origin, UriMatch},
        message::{NonceCharset, Reading, StatementCharset},
        rebuild::{Payload, rebuild},
        verdict,
    },
    time::UnixTime,
};

#[test]
fn eip4361() {
    run("message-eip4361.json", 251, parse_case);
}

#[test]
fn siws() {
    run("message-siws.json", 52, parse_case);
}

#[test]
fn caip122() {
    run("message-caip122.json", 55, parse_case);
}

#[test]
fn hardening() {
    run("message-hardening.json", 43, parse_case);
}

#[test]
fn policy() {
    run("message-policy.json", 83, policy_case);
}

#[test]
fn build() {
    run("message-build.json", 24, build_case);
}

/// Runs a file; the verdict of each case must be `expect`, to the last member and in the same order.
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn run(file: &str, count: usize, judge: fn(&Value) -> Value) {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).expect(file)).expect(file);
    let cases = vectors["cases"].as_array().expect("a list of cases");
    assert_eq!((cases.len(), vectors["count"].as_u64()), (count, Some(count as u64)), "{file}");
    let mut failures = Vec::new();
    for case in cases {
        let (verdict, expected) = (judge(case).to_string(), case["expect"].to_string());
        if verdict != expected {
            failures.push(format!("{}\n  expected {expected}\n  found    {verdict}", case["name"]));
        }
    }
    println!("{file}: {} of {count}", count - failures.len());
    assert!(failures.is_empty(), "{file}:\n{}", failures.join("\n"));
}

fn text_of(case: &Value) -> Vec<u8> {
    match case["message_base64"].as_str() {
        Some(encoded) => BASE64.decode(encoded.as_bytes()).expect("base64"),
        None => case["message"].as_str().expect("a text").as_bytes().to_vec(),
    }
}

fn parse_case(case: &Value) -> Value {
    let mut reading = Reading::default();
    for (key, value) in case["config"].as_object().into_iter().flatten() {
        match (key.as_str(), value.as_str()) {
            ("nonce_charset", Some("token")) => reading.nonce_charset = NonceCharset::Token,
            ("statement_charset", Some("unicode")) => reading.statement_charset = StatementCharset::Unicode,
            other => panic!("unknown setting {other:?}"),
        }
    }
    let text = text_of(case);
    let outcome = Message::parse(&text, DIALECTS, &reading);
    if let Ok(message) = &outcome {
        assert_eq!(message.render().as_bytes(), text, "{} is written as it was read", case["name"]);
    }
    verdict::of_reading(&outcome)
}

fn policy_case(case: &Value) -> Value {
    let message = Message::parse(&text_of(case), DIALECTS, &Reading::default()).expect("a message");
    let expectation = expectation(&case["policy"]);
    let now = UnixTime::parse_rfc3339(case["now"].as_str().expect("a time")).expect("a time");
    let outcome = claims::check(&Claims::of(&message), &expectation, case["request_path"].as_str(), now);
    verdict::of_check(&outcome)
}

fn expectation(policy: &Value) -> Expectation {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let secs = |value: &Value| u32::try_from(value.as_u64().expect("seconds")).expect("seconds");
    let origins = texts(&policy["origins"]).iter().map(|origin| Origin::parse(origin).expect("an origin")).collect();
    let mut expectation = Expectation::new(origins);
    for (key, value) in policy.as_object().expect("a policy") {
        match key.as_str() {
            "origins" => {}
            "labels" => {
                let labels = value.as_object().expect("labels");
                expectation.labels = labels.iter().map(|(of, list)| (of.clone(), texts(list))).collect();
            }
            "chains" => expectation.chains = texts(value),
            "required" => {
                let fields = texts(value);
                expectation.required = fields.iter().map(|name| Field::named(name).expect("a field")).collect();
            }
            "uri_match" => {
                expectation.uri_match = match value.as_str() {
                    Some("off") => UriMatch::Off,
                    Some("origin") => UriMatch::Origin,
                    Some("request") => UriMatch::Request,
                    other => panic!("unknown uri_match {other:?}"),
                }
            }
            "clock_skew_secs" => expectation.clock_skew_secs = secs(value),
            "default_lifetime_secs" => expectation.default_lifetime_secs = secs(value),
            "lifetime_secs_max" => expectation.lifetime_secs_max = secs(value),
            "age_secs_max" => expectation.age_secs_max = Some(secs(value)),
            "require_expiration" => expectation.require_expiration = value.as_bool().expect("a bool"),
            other => panic!("unknown setting {other}"),
        }
    }
    expectation
}

fn build_case(case: &Value) -> Value {
    let payload = &case["payload"];
    let resources: Option<Vec<String>> = payload["resources"]
        .as_array()
        .map(|list| list.iter().map(|entry| entry.as_str().expect("a text").to_owned()).collect());
    let payload = Payload {
        domain: payload["domain"].as_str(),
        address: payload["address"].as_str(),
        uri: payload["uri"].as_str(),
        version: payload["version"].as_str(),
        chain_id: payload["chainId"].as_str(),
        nonce: payload["nonce"].as_str(),
        issued_at: payload["issuedAt"].as_str(),
        statement: payload["statement"].as_str(),
        expiration_time: payload["expirationTime"].as_str(),
        not_before: payload["notBefore"].as_str(),
        request_id: payload["requestId"].as_str(),
        resources: resources.as_deref(),
    };
    let outcome = rebuild(&payload, DIALECTS);
    // A payload is good if the text it stands for is.
    match outcome.as_ref().map(|text| Message::parse(text.as_bytes(), DIALECTS, &Reading::default())) {
        Ok(Err(error)) => verdict::of_reading(&Err(error)),
        _ => verdict::of_rebuilding(&outcome),
    }
}
