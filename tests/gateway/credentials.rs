//! What is presented: every way to spoil a token that hardening.md section 1.1 lists, each refused for its own
//! reason, and the whole vector file of `Authorization: SIWX` tokens against the running gateway.

use serde_json::Value;

use crate::harness::{
    Gateway, NOW, Request, Setup, Upstream, Wallet,
    wallet::{token, with_high_s},
};

/// A row of a table: its name, the fields of the request, and the outcome.
type Row = (&'static str, Vec<(&'static str, String)>, (u16, &'static str, &'static str));

const REQUIRED: (u16, &str, &str) = (401, "credential_required", "");
const CONFLICT: (u16, &str, &str) = (400, "conflicting_credentials", "");
const MALFORMED: (u16, &str, &str) = (401, "invalid_token", "malformed");
const BAD_SIGNATURE: (u16, &str, &str) = (401, "invalid_token", "bad_signature");
const TOO_LARGE: (u16, &str, &str) = (431, "head_too_large", "");
const ADMITTED: (u16, &str, &str) = (200, "", "");

/// Sends each row to a route that asks for a wallet, twice, so that whatever was remembered is asked as well.
fn hold(gateway: &Gateway, upstream: &Upstream, rows: &[Row]) {
    for temperature in ["first", "again"] {
        for (name, fields, (status, code, reason)) in rows {
            let request = fields.iter().fold(Request::get("/wallet/x"), |request, (field, value)| {
                gateway.secrets.add(value);
                request.header(field, value)
            });
            let answer = gateway.send(&request);
            assert_eq!(answer.outcome(), (*status, (*code).to_owned()), "{name}, {temperature}: {answer:?}");
            if !reason.is_empty() {
                assert_eq!(answer.reason(), *reason, "{name}, {temperature}: {answer:?}");
            }
            assert_eq!(upstream.take().len(), usize::from(*status == 200), "{name}, {temperature}");
        }
    }
}

/// A row with one `Authorization`.
fn row(name: &'static str, authorization: &str, expected: (u16, &'static str, &'static str)) -> Row {
    (name, vec![("Authorization", authorization.to_owned())], expected)
}

fn open(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).set("limits.auth_failures", "off").start()
}

#[test]
fn c1_c2_c7_what_is_no_credential() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let good = Wallet::evm(1).token();
    let bare = good.strip_prefix("SIWX ").expect("a scheme").to_owned();
    let mut rows: Vec<Row> = vec![
        ("C1 nothing", vec![], REQUIRED),
        row("C2 another scheme", &format!("Bearer {bare}"), REQUIRED),
        row("C2 a longer scheme", &format!("SIWXX {bare}"), REQUIRED),
        row("C2 empty value", "", REQUIRED),
        row("C2 token without scheme", &bare, REQUIRED),
        row("C2 scheme alone", "SIWX", MALFORMED),
        row("C2 scheme and a blank", "SIWX ", MALFORMED),
        row("C2 scheme doubled", &format!("SIWX {good}"), MALFORMED),
        row("C2 two blanks", &format!("SIWX  {bare}"), MALFORMED),
        row("C2 a tab", &format!("SIWX\t{bare}"), REQUIRED),
        row("C2 lower case", &format!("siwx {bare}"), ADMITTED),
        row("C2 mixed case", &format!("SiWx {bare}"), ADMITTED),
    ];
    let elsewhere = ["Cookie", "Proxy-Authorization", "X-Authorization", "X-SIWX-Token", "Referer"];
    rows.extend(elsewhere.map(|field| ("C7 another header", vec![(field, good.clone())], REQUIRED)));
    hold(&gateway, &upstream, &rows);
    let in_query = Request::get(&format!("/wallet/x?authorization={bare}&access_token={bare}"));
    assert_eq!(gateway.send(&in_query).outcome(), (401, REQUIRED.1.to_owned()), "C7 in the query");
    let in_body = Request::new("POST", "/wallet/x").body(good.as_bytes());
    assert_eq!(gateway.send(&in_body).outcome(), (401, REQUIRED.1.to_owned()), "C7 in the body");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn c3_tokens_that_are_not_canonical() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    // A text of 3n + 1 bytes has two padding characters and four stray bits in its last one.
    let text = (0..3)
        .map(|extra| wallet.text().saying(&"x".repeat(5 + extra)).to_string())
        .find(|text| text.len() % 3 == 1)
        .expect("one of three lengths");
    let signature = wallet.written(&wallet.sign(&text));
    let padded = data_encoding::BASE64.encode(text.as_bytes());
    let open_end = padded.trim_end_matches('=');
    let stray = format!("{}{}", &open_end[..open_end.len() - 1], stray_neighbour(open_end));
    // Texts whose base64 holds both characters that the alphabets differ in.
    let mixed = "SIWX ab+/cd-_ef==.0x00".to_owned();
    let with = |base64: &str| format!("SIWX {base64}.{signature}");
    let rows = [
        row("padded", &with(&padded), ADMITTED),
        row("no padding", &with(open_end), ADMITTED),
        row("one of two padding characters", &with(&format!("{open_end}=")), MALFORMED),
        row("three padding characters", &with(&format!("{padded}=")), MALFORMED),
        row("padding inside", &with(&format!("{}={}", &open_end[..8], &open_end[8..])), MALFORMED),
        row("stray bits", &with(&stray), MALFORMED),
        row("both alphabets", &mixed, MALFORMED),
        row("white space inside", &with(&format!("{} {}", &padded[..8], &padded[8..])), MALFORMED),
        row("white space around the dot", &format!("SIWX {padded} . {signature}"), MALFORMED),
        row("a tab inside", &with(&format!("{}\t{}", &padded[..8], &padded[8..])), MALFORMED),
        row("percent escapes", &with(&padded.replace('=', "%3D")), MALFORMED),
        row("a second dot part", &format!("SIWX {padded}.{signature}.{signature}"), MALFORMED),
        row("an empty third part", &format!("SIWX {padded}.{signature}."), MALFORMED),
        row("no dot", &format!("SIWX {padded}{signature}"), MALFORMED),
        row("bytes behind the signature", &format!("SIWX {padded}.{signature}00"), BAD_SIGNATURE),
        row("white space behind a byte", &format!("SIWX {padded}.{signature} 0"), BAD_SIGNATURE),
        row("a letter that is no hex", &format!("SIWX {padded}.{}g", &signature[..131]), BAD_SIGNATURE),
        row("bytes of 0x80 and more", &format!("SIWX {padded}.{signature}é"), BAD_SIGNATURE),
        row("such bytes in the message", &format!("SIWX é{padded}.{signature}"), MALFORMED),
    ];
    hold(&gateway, &upstream, &rows);
}

/// The next character of the alphabet, which has the same upper two bits and other stray ones.
fn stray_neighbour(base64: &str) -> char {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = base64.chars().next_back().expect("not empty");
    let at = ALPHABET.find(last).expect("in the alphabet");
    ALPHABET[at + 1..].chars().next().expect("a canonical last character has stray bits of 0")
}

#[test]
fn c4_one_changed_character_after_the_good_token_is_remembered() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    for wallet in [Wallet::evm(1), Wallet::solana(1)] {
        let good = wallet.token();
        assert_eq!(gateway.get("/wallet/x", &good).status, 200);
        assert_eq!(gateway.get("/wallet/x", &good).status, 200);
        upstream.take();
        let mut client = gateway.client();
        let token = "SIWX ".len();
        // Every third place, and all of the signature's first and last bytes.
        let places = (token..good.len()).filter(|at| at % 3 == 0 || at + 8 > good.len());
        for at in places.filter(|at| good.as_bytes()[*at] != b'.') {
            let replaced = if good.as_bytes()[at] == b'1' { "2" } else { "1" };
            let changed = format!("{}{replaced}{}", &good[..at], &good[at + 1..]);
            let answer = client.send(&Request::get("/wallet/x").token(&changed));
            assert_eq!(answer.outcome(), (401, "invalid_token".to_owned()), "place {at} of {good}");
        }
        assert_eq!(upstream.take().len(), 0, "nothing changed reached the upstream");
        assert_eq!(gateway.get("/wallet/x", &good).status, 200, "and the good one still does");
    }
    let scheme = Wallet::evm(1).token().replace("SIWX ", "Bearer ");
    assert_eq!(gateway.get("/wallet/x", &scheme).status, 401, "the scheme is part of what is remembered");
}

#[test]
fn c5_two_credentials() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let (one, two, bad) = (Wallet::evm(1).token(), Wallet::evm(2).token(), "SIWX x.y".to_owned());
    let fields = |values: &[&String]| values.iter().map(|value| ("Authorization", (*value).clone())).collect();
    let bearer = "Bearer abc".to_owned();
    let rows: Vec<Row> = vec![
        ("C5 two wallets", fields(&[&one, &two]), CONFLICT),
        ("C5 the same twice", fields(&[&one, &one]), CONFLICT),
        ("C5 good then bad", fields(&[&one, &bad]), CONFLICT),
        ("C5 bad then good", fields(&[&bad, &one]), CONFLICT),
        ("C5 ours then another scheme", fields(&[&one, &bearer]), CONFLICT),
        ("C5 another scheme then ours", fields(&[&bearer, &one]), CONFLICT),
        ("C5 joined by a comma", vec![("Authorization", format!("{one}, {two}"))], MALFORMED),
        ("C5 a bad one and a comma", vec![("Authorization", format!("{bad}, {one}"))], MALFORMED),
        ("C5 another scheme and a comma", vec![("Authorization", format!("{bearer}, {one}"))], REQUIRED),
    ];
    hold(&gateway, &upstream, &rows);
}

#[test]
fn c8_sizes() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let long = |bytes: usize| {
        let resources = |last: usize| {
            let lines = [1600, 1600, 1600, 1600, last]
                .map(|length| format!("\n- https://api.example.com/{}", "x".repeat(length)));
            wallet.text().saying("x").and("Resources", &lines.concat()).to_string().replace("Resources: ", "Resources:")
        };
        let text = resources(bytes - resources(0).len());
        assert_eq!(text.len(), bytes);
        token(&text, &wallet.written(&wallet.sign(&text)))
    };
    let rows = [
        row("message at its limit", &long(8192), ADMITTED),
        row("message over its limit", &long(8193), MALFORMED),
        row("a value at the limit of values", &format!("SIWX {}", "A".repeat(16 * 1024 - 5)), MALFORMED),
        row("a value over it", &format!("SIWX {}", "A".repeat(16 * 1024 - 4)), TOO_LARGE),
        row("credential of 30,000 bytes", &format!("SIWX {}", "A".repeat(30_000)), TOO_LARGE),
    ];
    hold(&gateway, &upstream, &rows);
    let mut client = gateway.client();
    let huge = Request::get("/wallet/x").header("X-Long", &"A".repeat(1 << 20));
    // The gateway answers and closes long before all of it is sent.
    let _ = client.try_write(&huge.bytes());
    if let Some(answer) = client.next("GET") {
        assert_eq!(answer.status, 431, "a megabyte of head");
    }
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn c9_c10_c11_agents_and_methods_change_nothing() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let agents = ["kube-probe/1.29", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Googlebot/2.1", "", "curl/8"];
    for agent in agents {
        let answer = gateway.send(&Request::get("/wallet/x").header("User-Agent", agent));
        assert_eq!(answer.outcome(), (401, "credential_required".to_owned()), "C9 {agent:?}");
    }
    let preflight = Request::new("OPTIONS", "/wallet/x")
        .header("Origin", "https://dapp.example.com")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "authorization");
    assert_eq!(gateway.send(&preflight).outcome(), (401, "credential_required".to_owned()), "C10");
    let methods = ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "PROPFIND", "BREW", "G"];
    for method in methods {
        assert_eq!(gateway.send(&Request::new(method, "/wallet/x")).status, 401, "C11 {method}");
        let answer = gateway.send(&Request::new(method, "/wallet/x").token(&Wallet::evm(1).token()));
        assert_eq!(answer.status, if method == "get" { answer.status } else { 200 }, "C11 {method} with a token");
    }
    upstream.take();
    for method in ["TRACE", "CONNECT"] {
        for target in ["/wallet/x", "/public/x"] {
            let answer = gateway.send(&Request::new(method, target).token(&Wallet::evm(1).token()));
            let expected = if method == "CONNECT" { vec![400, 405] } else { vec![405] };
            assert!(expected.contains(&answer.status), "C11 {method} {target}: {answer:?}");
        }
    }
    let answer = gateway.send(&Request::new("CONNECT", "api.example.com:443").token(&Wallet::evm(1).token()));
    assert_eq!(answer.outcome(), (405, "method_not_allowed".to_owned()), "C11 CONNECT in authority form");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn c12_each_request_of_a_connection_is_judged() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let good = Request::get("/wallet/x").token(&Wallet::evm(1).token());
    gateway.secrets.add(&Wallet::evm(1).token());
    let bare = Request::get("/wallet/x");
    let mut kept = gateway.client();
    assert_eq!([&good, &bare, &good, &bare].map(|request| kept.send(request).status), [200, 401, 200, 401]);
    let mut pipelined = gateway.client();
    pipelined.write(&[good.bytes(), bare.bytes(), good.bytes(), bare.bytes()].concat());
    assert_eq!([(); 4].map(|()| pipelined.read().status), [200, 401, 200, 401]);
    assert_eq!(upstream.take().len(), 4);
}

#[test]
fn c14_c15_c16_messages_for_somebody_else() {
    const DOMAIN: (u16, &str, &str) = (401, "invalid_token", "domain_mismatch");
    const URI: (u16, &str, &str) = (401, "invalid_token", "uri_mismatch");
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let domains = [
        ("C14 another", "evil.example"),
        ("C14 another port", "api.example.com:8443"),
        ("C14 the default port", "api.example.com:443"),
        ("C14 a sub-domain", "x.api.example.com"),
        ("C14 a super-domain", "example.com"),
        ("C14 upper case", "API.example.com"),
        ("C14 a longer name", "api.example.com.evil"),
    ];
    let mut rows: Vec<Row> =
        domains.map(|(name, domain)| row(name, &wallet.token_of(&wallet.text().for_domain(domain)), DOMAIN)).into();
    // A name with the root's dot is no domain of a message at all.
    let dotted = wallet.token_of(&wallet.text().for_domain("api.example.com."));
    rows.push(row("C14 a trailing dot", &dotted, MALFORMED));
    let uris = [
        ("C15 another origin", "https://evil.example", URI),
        ("C15 a string prefix", "https://api.example.com.evil", URI),
        ("C15 user-info", "https://api.example.com@evil.example", URI),
        ("C15 user-info before us", "https://evil@api.example.com", URI),
        ("C15 another scheme", "http://api.example.com", URI),
        ("C15 another port", "https://api.example.com:8443", URI),
        ("C15 with a path", "https://api.example.com/wallet/x", ADMITTED),
        ("C15 the default port", "https://api.example.com:443", ADMITTED),
        ("C15 upper case", "https://API.example.com", ADMITTED),
    ];
    rows.extend(
        uris.map(|(name, uri, expected)| row(name, &wallet.token_of(&wallet.text().with("URI", uri)), expected)),
    );
    hold(&gateway, &upstream, &rows);

    // A message for the Host of the request is good only if that is among the configured ones.
    let text = wallet.text().for_domain("evil.example").with("URI", "https://evil.example");
    let request = Request::get("/wallet/x").host("evil.example").token(&wallet.token_of(&text));
    assert_eq!(gateway.send(&request).outcome(), (421, "unknown_host".to_owned()), "C14 never by the Host");

    let narrow = Setup::over(&upstream).set("limits.auth_failures", "off");
    let narrow = narrow.tables("[chains.eip155]\nallow = [\"eip155:8453\"]\n").start();
    let chain = |chain: &str| wallet.token_of(&wallet.text().with("Chain ID", chain));
    let solana = Wallet::solana(1);
    let rows = [
        row("C16 the chain allowed", &chain("8453"), ADMITTED),
        row("C16 another chain", &chain("1"), (401, "invalid_token", "chain_not_allowed")),
        row("C16 a leading zero", &chain("08453"), MALFORMED),
        row("C16 a CAIP-2 id with a leading zero", &chain("eip155:08453"), MALFORMED),
        row("C16 of another family", &chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), BAD_SIGNATURE),
        row(
            "C16 a Solana address with an EVM signature",
            &token(&solana.text().to_string(), &wallet.written(&wallet.sign(&solana.text().to_string()))),
            BAD_SIGNATURE,
        ),
        row(
            "C16 an EVM address with a Solana signature",
            &token(&wallet.text().to_string(), &solana.written(&solana.sign(&wallet.text().to_string()))),
            BAD_SIGNATURE,
        ),
    ];
    hold(&narrow, &upstream, &rows);
}

#[test]
fn c17_times() {
    const EXPIRED: (u16, &str, &str) = (401, "invalid_token", "expired");
    const FUTURE: (u16, &str, &str) = (401, "invalid_token", "issued_in_future");
    const EARLY: (u16, &str, &str) = (401, "invalid_token", "not_yet_valid");
    const LONG: (u16, &str, &str) = (401, "invalid_token", "lifetime_too_long");
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let token = |changes: &[(&str, &str)]| {
        let text = changes.iter().fold(wallet.text(), |text, (field, value)| text.with(field, value));
        wallet.token_of(&text)
    };
    let issued = |value| token(&[("Issued At", value)]);
    let expires = |value| token(&[("Issued At", "2026-11-20T09:00:00Z"), ("Expiration Time", value)]);
    let not_before = |value| {
        let mut text = wallet.text();
        text.fields.push(("Not Before", value));
        wallet.token_of(&text)
    };
    assert_eq!(NOW, "2026-11-20T10:00:01.000Z");
    let rows = [
        row("expired a second ago", &expires("2026-11-20T10:00:00Z"), EXPIRED),
        row("expires now", &expires("2026-11-20T10:00:01Z"), EXPIRED),
        row("expires in a millisecond", &expires("2026-11-20T10:00:01.001Z"), ADMITTED),
        row("skew prolongs nothing", &expires("2026-11-20T10:00:00.500Z"), EXPIRED),
        row("not before, past the skew", &not_before("2026-11-20T10:00:31.001Z".to_owned()), EARLY),
        row("not before, within the skew", &not_before("2026-11-20T10:00:31Z".to_owned()), ADMITTED),
        row("issued past the skew", &issued("2026-11-20T10:00:31.001Z"), FUTURE),
        row("issued within the skew", &issued("2026-11-20T10:00:31Z"), ADMITTED),
        row(
            "expiry before issue",
            &token(&[("Issued At", "2026-11-20T10:00:20Z"), ("Expiration Time", "2026-11-20T10:00:10Z")]),
            MALFORMED,
        ),
        row("no expiry", &wallet.token_of(&wallet.text().without("Expiration Time")), MALFORMED),
        row("seven days", &expires("2026-11-27T09:00:00Z"), ADMITTED),
        row("a millisecond longer", &expires("2026-11-27T09:00:00.001Z"), LONG),
        row("year 9999", &expires("9999-12-31T23:59:59Z"), LONG),
        row("year 0000", &issued("0000-01-01T00:00:00Z"), LONG),
        row("leap second", &expires("2026-11-20T10:59:60Z"), MALFORMED),
        row("no zone", &expires("2026-11-20T11:00:00"), MALFORMED),
        row("an offset east", &expires("2026-11-20T13:00:00+02:00"), ADMITTED),
        row("an offset that makes it past", &expires("2026-11-20T12:00:00+02:00"), EXPIRED),
        row("no time", &expires("tomorrow"), MALFORMED),
        row("day 31 of November", &expires("2026-11-31T10:00:00Z"), MALFORMED),
    ];
    hold(&gateway, &upstream, &rows);
}

#[test]
fn c18_c19_the_grammar_is_strict() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let good = wallet.text().to_string();
    let signed = |text: &str| token(text, &wallet.written(&wallet.sign(text)));
    let swapped = {
        let mut text = wallet.text();
        text.fields.swap(1, 2);
        text.to_string()
    };
    let nonce_in_statement = wallet.text().without("Nonce").saying("Nonce: 4dce662356932ef863ff4eb6d673a3ee");
    let nonce_in_resource = {
        let mut text = wallet.text().without("Nonce");
        text.fields.push(("Resources", "\n- Nonce: 4dce662356932ef863ff4eb6d673a3ee".to_owned()));
        text.to_string().replace("Resources: ", "Resources:")
    };
    let rows = [
        row("C18 as it should be", &signed(&good), ADMITTED),
        row("C18 a duplicate field", &signed(&wallet.text().and("Nonce", "0123456789abcdef").to_string()), MALFORMED),
        row("C18 out of order", &signed(&swapped), MALFORMED),
        row("C18 an unknown field", &signed(&wallet.text().and("Colour", "red").to_string()), MALFORMED),
        row("C18 CR LF", &signed(&good.replace('\n', "\r\n")), MALFORMED),
        row("C18 one CR LF", &signed(&good.replacen('\n', "\r\n", 1)), MALFORMED),
        row("C18 no blank line", &signed(&good.replacen("\n\n", "\n", 1)), MALFORMED),
        row("C18 a third blank line", &signed(&good.replacen("\n\n", "\n\n\n\n", 1)), MALFORMED),
        row("C18 a statement of two lines", &signed(&wallet.text().saying("one\ntwo").to_string()), MALFORMED),
        row("C18 a line feed at the end", &signed(&format!("{good}\n")), MALFORMED),
        row("C18 a blank behind a value", &signed(&good.replace("Version: 1", "Version: 1 ")), MALFORMED),
        row("C18 a NUL", &signed(&good.replace("Sign in", "Sign\0in")), MALFORMED),
        row("C18 another version", &signed(&good.replace("Version: 1", "Version: 2")), MALFORMED),
        row("C19 nonce in the statement", &signed(&nonce_in_statement.to_string()), MALFORMED),
        row("C19 nonce in a resource", &signed(&nonce_in_resource), MALFORMED),
    ];
    hold(&gateway, &upstream, &rows);
}

#[test]
fn c21_ecdsa_to_the_letter() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let text = wallet.text().to_string();
    let signature = wallet.sign(&text);
    let with = |bytes: &[u8]| token(&text, &wallet.written(bytes));
    let v = |v: u8| [&signature[..64], &[v]].concat();
    let compact = {
        let mut bytes = signature[..64].to_vec();
        bytes[32] |= (signature[64] - 27) << 7;
        bytes
    };
    let zero = |from: usize| {
        let mut bytes = signature.clone();
        bytes[from..from + 32].fill(0);
        bytes
    };
    let order = |from: usize| {
        let mut bytes = signature.clone();
        bytes[from..from + 32].fill(0xff);
        bytes
    };
    let rows = [
        row("v of 27 or 28", &with(&signature), ADMITTED),
        row("v of 0 or 1", &with(&v(signature[64] - 27)), ADMITTED),
        row("the other v", &with(&v(55 - signature[64])), BAD_SIGNATURE),
        row("v of 29", &with(&v(29)), BAD_SIGNATURE),
        row("v of 2", &with(&v(2)), BAD_SIGNATURE),
        row("v of 37 (EIP-155)", &with(&v(37)), BAD_SIGNATURE),
        row("v of 255", &with(&v(255)), BAD_SIGNATURE),
        row("high s", &with(&with_high_s(&signature)), BAD_SIGNATURE),
        row("64 bytes (EIP-2098)", &with(&compact), BAD_SIGNATURE),
        row("66 bytes", &with(&[&signature[..], &[0]].concat()), BAD_SIGNATURE),
        row("64 bytes, v left out", &with(&signature[..64]), BAD_SIGNATURE),
        row("r zero", &with(&zero(0)), BAD_SIGNATURE),
        row("s zero", &with(&zero(32)), BAD_SIGNATURE),
        row("r over the order", &with(&order(0)), BAD_SIGNATURE),
        row("s over the order", &with(&order(32)), BAD_SIGNATURE),
        row("all zero", &with(&[0; 65]), BAD_SIGNATURE),
        row(
            "a contract wallet's (EIP-6492)",
            &with(&[[0x64, 0x92].repeat(16), signature.clone()].concat()),
            BAD_SIGNATURE,
        ),
        row("hex without 0x", &token(&text, &data_encoding::HEXLOWER.encode(&signature)), ADMITTED),
        row("empty", &format!("SIWX {}.", data_encoding::BASE64.encode(text.as_bytes())), BAD_SIGNATURE),
    ];
    hold(&gateway, &upstream, &rows);
}

#[test]
fn c22_c24_solana_to_the_letter() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::solana(1);
    let text = wallet.text().to_string();
    let signature = wallet.sign(&text);
    let with = |bytes: &[u8]| token(&text, &wallet.written(bytes));
    let address = wallet.address();
    let of = |address: &str| {
        let text = wallet.text().of_address(address);
        wallet.token_of(&text)
    };
    // S + L: the same point, another number (RFC 8032 §5.1.7 wants it below L).
    let beyond = {
        let order = data_encoding::HEXLOWER
            .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .expect("hex");
        let mut bytes = signature.clone();
        let mut carry = 0u16;
        for i in 0..32 {
            let sum = u16::from(bytes[32 + i]) + u16::from(order[i]) + carry;
            bytes[32 + i] = sum as u8;
            carry = sum >> 8;
        }
        bytes
    };
    let other_case: String = address
        .chars()
        .scan(false, |done, letter| {
            let swap = !*done && letter.is_ascii_lowercase() && letter != 'o' && letter != 'i';
            *done |= swap;
            Some(if swap { letter.to_ascii_uppercase() } else { letter })
        })
        .collect();
    let zero_key = bs58::encode([0; 32]).into_string();
    let identity_key = bs58::encode([&[1][..], &[0; 31]].concat()).into_string();
    let beyond_field = bs58::encode([&[0xee][..], &[0xff; 30], &[0x7f]].concat()).into_string();
    let rows = [
        row("as it should be", &with(&signature), ADMITTED),
        row("C22 S not canonical", &with(&beyond), BAD_SIGNATURE),
        row("C22 63 bytes", &with(&signature[..63]), BAD_SIGNATURE),
        row("C22 65 bytes", &with(&[&signature[..], &[0]].concat()), BAD_SIGNATURE),
        row("C22 the all-zero key", &of(&zero_key), BAD_SIGNATURE),
        row("C22 a key of small order", &of(&identity_key), BAD_SIGNATURE),
        row(
            "C22 that key and an all-zero signature",
            &token(&wallet.text().of_address(&identity_key).to_string(), &wallet.written(&[0; 64])),
            BAD_SIGNATURE,
        ),
        row("C22 a key beyond the field", &of(&beyond_field), BAD_SIGNATURE),
        row("C24 another letter case", &of(&other_case), BAD_SIGNATURE),
        row("C24 lower case", &of(&address.to_lowercase()), BAD_SIGNATURE),
        row("C24 a leading 1", &of(&format!("1{address}")), BAD_SIGNATURE),
        row("C24 31 bytes", &of(&bs58::encode([7; 31]).into_string()), BAD_SIGNATURE),
        row("C24 33 bytes", &of(&bs58::encode([7; 33]).into_string()), BAD_SIGNATURE),
    ];
    hold(&gateway, &upstream, &rows);
}

#[test]
fn c23_one_account_whatever_the_case() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallet = Wallet::evm(1);
    let address = wallet.address();
    let wrong = {
        let at = address.rfind(|letter: char| letter.is_ascii_alphabetic()).expect("a letter");
        let letter = address.as_bytes()[at] as char;
        let other = if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        format!("{}{other}{}", &address[..at], &address[at + 1..])
    };
    let of = |address: &str| wallet.token_of(&wallet.text().of_address(address));
    let upper = format!("0x{}", address[2..].to_uppercase());
    let rows = [
        row("as EIP-55 writes it", &of(&address), ADMITTED),
        row("lower case", &of(&address.to_lowercase()), ADMITTED),
        row("upper case", &of(&upper), ADMITTED),
        row("mixed case that is wrong", &of(&wrong), BAD_SIGNATURE),
        row("0X before it", &of(&address.replace("0x", "0X")), BAD_SIGNATURE),
        row("39 digits", &of(&address[..41]), BAD_SIGNATURE),
        row("the zero account", &of(&format!("0x{}", "0".repeat(40))), BAD_SIGNATURE),
    ];
    hold(&gateway, &upstream, &rows);
    gateway.grant(&wallet, "nano");
    for spelling in [address.clone(), address.to_lowercase(), upper] {
        assert_eq!(gateway.get("/paid/x", &of(&spelling)).status, 200, "{spelling}");
        assert_eq!(upstream.take_one().one("x-siwx-address"), Some(address.as_str()));
    }
}

#[test]
fn c27_forged_and_good_ones_mixed() {
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    let wallets: Vec<Wallet> = (0..8).map(|i| if i % 2 == 0 { Wallet::evm(i) } else { Wallet::solana(i) }).collect();
    std::thread::scope(|scope| {
        for offset in 0..8 {
            let (gateway, wallets) = (&gateway, &wallets);
            scope.spawn(move || {
                let mut client = gateway.client();
                for round in 0..40 {
                    let wallet = &wallets[(offset + round) % wallets.len()];
                    let other = &wallets[(offset + round + 2) % wallets.len()];
                    let text = wallet.text().nonce((round % 5) as u64);
                    let forged = round % 3 == 0;
                    let token = if forged { other.token_of(&text) } else { wallet.token_of(&text) };
                    let target = format!("/wallet/{}", wallet.address());
                    let answer = client.send(&Request::get(&target).token(&token));
                    assert_eq!(answer.status, if forged { 401 } else { 200 }, "round {round}");
                }
            });
        }
    });
    let seen = upstream.take();
    assert_eq!(seen.len(), 8 * 26);
    for request in seen {
        assert_eq!(request.one("x-siwx-address"), request.target.strip_prefix("/wallet/"), "no cross-talk");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count of a vector file is part of the output")]
fn all_authorization_tokens_of_the_vectors() {
    let file = std::fs::read_to_string("tests/vectors/x402-authorization-tokens.json").expect("the vectors");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let cases = file["cases"].as_array().expect("cases");
    let upstream = Upstream::ok();
    let gateway = open(&upstream);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let expected = &case["expect"];
        gateway.set_time(case["now"].as_str().expect("a time"));
        let authorization = case["authorization"].as_str().expect("a header");
        // Twice: what was remembered of a good one must not change the verdict, nor must a refusal.
        for temperature in ["cold", "warm"] {
            let answer = gateway.get("/wallet/x", authorization);
            let forwarded = upstream.take();
            match expected["verdict"].as_str() {
                Some("accept") => {
                    assert_eq!(answer.status, 200, "{name}, {temperature}: {answer:?}");
                    let address = expected["address"].as_str().expect("an address");
                    let told = forwarded[0].one("x-siwx-address").expect("the upstream is told");
                    // What upstreams read is canonical, however the message writes it.
                    let same =
                        if told.starts_with("0x") { told.eq_ignore_ascii_case(address) } else { told == address };
                    assert!(same, "{name}, {temperature}: {told}");
                }
                Some("refuse") => {
                    assert_eq!(answer.outcome(), (401, "invalid_token".to_owned()), "{name}, {temperature}");
                    assert_eq!(answer.json()["reason"], expected["error"], "{name}, {temperature}");
                    assert_eq!(forwarded.len(), 0, "{name}, {temperature}");
                }
                Some("either") => assert!(matches!(answer.status, 200 | 401), "{name}: {answer:?}"),
                other => panic!("{name}: an unknown verdict {other:?}"),
            }
        }
    }
    println!("x402-authorization-tokens.json: {} of 43", cases.len());
    assert_eq!(cases.len(), 43);
}
