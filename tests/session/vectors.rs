//! Every message that AppKit and WalletConnect really make, each with its verdict.

use siwx_gateway::session::sign_in::profile;

use super::*;

/// What becomes of a case: the scheme of its signature, or the code of its refusal.
const VERDICTS: [(&str, Result<&str, &str>); 17] = [
    ("evm-no-statement", Ok("eip191")),
    ("evm-statement", Ok("eip191")),
    ("evm-network-not-configured", Ok("eip191")),
    ("evm-label-with-space", Ok("eip191")),
    ("evm-clear-namespace", Ok("eip191")),
    ("evm-all-fields", Ok("eip191")),
    ("evm-empty-resources", Ok("eip191")),
    ("solana", Ok("ed25519")),
    ("bitcoin", Ok("bip322")),
    // Its wallets sign nothing, and the family is not let in.
    ("ton", Err("namespace_not_allowed")),
    ("statement-with-newline", Err("multiline_statement")),
    ("unknown-domain", Err("invalid_domain")),
    // It is never sent as it stands: it has no signature. With one, see `hostile`.
    ("embedded-placeholder", Err("bad_request")),
    ("one-click-statement-0", Ok("eip191")),
    ("one-click-statement-1", Ok("eip191")),
    ("one-click-no-statement-0", Ok("eip191")),
    ("one-click-no-statement-1", Ok("eip191")),
];

#[test]
#[expect(clippy::print_stdout, reason = "the count belongs into the log of a test run")]
fn each_case_has_its_verdict() {
    let mut read = 0;
    for (case, (id, expected)) in cases().iter().zip(VERDICTS) {
        assert_eq!(case["id"], id);
        let found = sign_in(case);
        let verdict = found.as_ref().map(|(_, verified)| verified.scheme().as_str()).map_err(String::as_str);
        assert_eq!(verdict, expected, "{id}");
        let Ok((attempt, verified)) = found else {
            continue;
        };
        read += 1;
        // Who signed is who the text names, and what `data` says in its own spelling.
        assert_eq!(verified.account(), attempt.account(), "{id}");
        let account = format!("{}:{}", case["data"]["chainId"].as_str().expect("a chain"), attempt.account().address());
        assert_eq!(attempt.account().as_str(), account, "{id}");
        assert_eq!(attempt.nonce(), "Kx8nQ2vLw7Tz", "{id}");
    }
    assert_eq!(read, 13);
    println!("siwx-appkit-messages.json: {read} of 17 read, 4 refused");
}

#[test]
fn what_is_kept_is_what_came() {
    for case in cases().iter().filter(|case| sign_in(case).is_ok()) {
        let attempt = read(&item(case)).expect("a sign-in");
        assert_eq!(attempt.data(), case["data"].to_string());
        assert_eq!(attempt.cacao().map(str::to_owned), case.get("cacao").map(Value::to_string));
        assert_eq!(attempt.proof().text(), case["message"]);
        assert_eq!(attempt.proof().signature(), case["signature"]);
    }
}

#[test]
fn odd_spellings_are_kept_too() {
    let case = case("evm-statement");
    let data = case["data"].to_string();
    let odd = data.replacen('{', "{\n\t\"mine\" : [1.50, 1e3, 18446744073709551616, \"\\u0041\\/\"] ,\r\n", 1);
    assert_ne!(odd, serde_json::from_str::<Value>(&odd).expect("JSON").to_string());
    let body = format!(
        "{{ \"signature\":{}, \"x\":{{\"data\":1}}, \"\\u0064ata\" : {odd} , \"message\":{}, \"cacao\": null }}",
        case["signature"], case["message"]
    );
    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    assert_eq!(reader.session(body.as_bytes()).expect("a sign-in").data(), odd);
    let several = format!("{{\"sessions\":[ {body}\n]}}");
    assert_eq!(reader.sessions(several.as_bytes()).expect("a sign-in")[0].data(), odd);
}

#[test]
fn one_click_messages_grant_their_methods() {
    let one_click: Vec<_> =
        cases().into_iter().filter(|case| case["id"].as_str().is_some_and(|id| id.starts_with("one-click"))).collect();
    assert_eq!(one_click.len(), 4);
    for case in &one_click {
        let attempt = read(&item(case)).expect("a sign-in");
        let recap = attempt.recap().expect("a recap");
        assert_eq!(
            recap.att(),
            r#"{"eip155":{"request/eth_sendTransaction":[{"chains":["eip155:1","eip155:8453"]}],"request/personal_sign":[{"chains":["eip155:1","eip155:8453"]}]}}"#
        );
        let names: Vec<_> = recap.grants()[0].abilities.iter().map(|ability| &*ability.name).collect();
        assert_eq!(names, ["eth_sendTransaction", "personal_sign"]);
    }
    // The others grant nothing.
    let attempt = read(&item(&case("evm-all-fields"))).expect("a sign-in");
    assert_eq!(attempt.recap(), None);
}

#[test]
fn labels_of_networks_are_welcome_where_they_are_listed() {
    let with = |labels: &[&str]| {
        let labels = [("eip155".to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())];
        profile(&tokens_expectation(), &labels, std::time::Duration::from_secs(600))
    };
    let verdict = |id: &str, labels: &[&str]| {
        let case = case(id);
        let attempt = read(&item(&case)).expect("a sign-in");
        attempt.check(&with(labels), None, now(&case)).err().map(|error| error.code())
    };
    // Base, Arbitrum One, and the word for networks without a name.
    for id in ["evm-clear-namespace", "evm-label-with-space", "evm-network-not-configured"] {
        assert_eq!(verdict(id, &[]), Some("label_not_allowed"), "{id}");
        assert_eq!(verdict(id, &["*"]), None, "{id}");
    }
    assert_eq!(verdict("evm-label-with-space", &["Base", "Arbitrum One"]), None);
    assert_eq!(verdict("evm-no-statement", &["Base"]), None, "labels of tokens stay welcome");
}

#[test]
fn the_profile_asks_for_no_expiration_and_for_an_age() {
    let case = case("evm-no-statement");
    let attempt = read(&item(&case)).expect("a sign-in");
    let issued = UnixTime::parse_rfc3339("2026-11-20T10:00:00.000Z").expect("a time");
    let at = |millis: i64| attempt.check(&expectation(), None, issued.plus_millis(millis));
    let until = issued.plus_millis(600_000);
    assert_eq!(at(0), Ok(until));
    assert_eq!(at(600_000), Ok(until));
    assert_eq!(at(600_001).map_err(|error| error.code()), Err("issued_too_long_ago"));
    assert_eq!(at(-30_000), Ok(until));
    assert_eq!(at(-30_001).map_err(|error| error.code()), Err("issued_in_future"));
    // Tokens do need one.
    let refused = attempt.check(&tokens_expectation(), None, issued);
    assert_eq!(refused.map_err(|error| error.code()), Err("missing_field"));
}

#[test]
fn an_expiration_time_ends_a_sign_in_sooner() {
    let case = case("evm-all-fields");
    let attempt = read(&item(&case)).expect("a sign-in");
    let hour = profile(&tokens_expectation(), &[], std::time::Duration::from_secs(7200));
    let ends = UnixTime::parse_rfc3339("2026-11-20T11:00:00.000Z").expect("a time");
    assert_eq!(attempt.check(&hour, None, ends.plus_millis(-1)), Ok(ends));
    assert_eq!(attempt.check(&hour, None, ends).map_err(|error| error.code()), Err("expired"));
}

#[test]
fn several_are_read_in_their_order() {
    let ids = ["one-click-statement-0", "one-click-statement-1", "solana"];
    let body = json!({"sessions": ids.map(|id| item(&case(id)))});
    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    let attempts = reader.sessions(body.to_string().as_bytes()).expect("sign-ins");
    let accounts: Vec<_> = attempts.iter().map(|attempt| attempt.account().chain_str().to_owned()).collect();
    assert_eq!(accounts, ["eip155:1", "eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"]);
    for (attempt, id) in attempts.iter().zip(ids) {
        assert_eq!(attempt.data(), case(id)["data"].to_string());
    }
    assert_eq!(reader.sessions(br#"{"sessions":[]}"#).expect("none").len(), 0);
}

#[test]
fn the_body_of_reown_authentication_is_read_by_the_same_reader() {
    let case = case("evm-no-statement");
    let mut body = item(&case);
    put(&mut body, &["clientId"], json!("e2d9"));
    put(
        &mut body,
        &["walletInfo"],
        json!({"type": "extension", "name": "A Wallet", "icon": "data:image/png;base64,AA"}),
    );
    let reading = reading();
    let reader = Reader { dialects: DIALECTS, reading: &reading };
    let read = |body: &Value| reader.authenticate(body.to_string().as_bytes());
    let good = read(&body).expect("a sign-in");
    assert_eq!(good.client_id.as_deref(), Some("e2d9"));
    let info = r#"{"type":"extension","name":"A Wallet","icon":"data:image/png;base64,AA"}"#;
    assert_eq!(good.wallet_info.as_deref(), Some(info));
    assert!(verify(&good.attempt).is_ok());

    // No client, no wallet, and an icon as large as some wallets have.
    put(&mut body, &["clientId"], Value::Null);
    put(&mut body, &["walletInfo"], json!({"type": "extension", "icon": "x".repeat(100_000)}));
    let good = read(&body).expect("a sign-in");
    assert_eq!((good.client_id, good.wallet_info), (None, None));
    remove(&mut body, &["walletInfo"]);
    put(&mut body, &["data", "nonce"], json!("another12"));
    assert_eq!(read(&body).map_err(|error| error.code()).err(), Some("data_mismatch"));
}
