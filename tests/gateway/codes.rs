//! Every code of hardening.md section 5 that this build can answer with, produced over a socket by one row each, and
//! the list of rows held against the source that chooses them: a new code without a row is a failure here.

use std::{
    collections::BTreeSet,
    io::{BufReader, Read as _},
};

use serde_json::json;
use siwx_gateway::{session::SessionError, siwx::Code, store::Term};

use crate::{
    failures::Flaky,
    harness::{
        Answer, Client, Gateway, Nobody, Request, Setup, Upstream, Wallet, time, upstream::read_request, wallet::token,
    },
    operator, sessions,
};

/// How one code comes about: a gateway made for it, and the answer it gave.
type Produce = fn() -> Answer;

const CODES: [(u16, &str, Produce); 31] = [
    (400, "ambiguous_path", ambiguous_path),
    (400, "bad_path", || asked(&Request::get("/public/../x"))),
    (400, "bad_request", || asked(&Request::get("/public/x").host("a b"))),
    (400, "conflicting_credentials", || asked(&Request::get("/wallet/x").token("SIWX a.b").token("SIWX a.b"))),
    (401, "credential_required", || asked(&Request::get("/wallet/x"))),
    (401, "invalid_token", || asked(&Request::get("/wallet/x").token("SIWX a.b"))),
    (401, "invalid_session", || asked_of(with_sessions(&Upstream::ok()), &sessions::by_cookie("/wallet/x", "x"))),
    (403, "account_denied", account_denied),
    (403, "account_not_in_session", || {
        sessions::asked_with_one(|credential| {
            sessions::by_cookie("/wallet/x", credential).header("X-SIWX-Account", "eip155:1:0x0")
        })
    }),
    (403, "csrf", || {
        let foreign = post().header("Origin", "https://evil.example");
        let request = Request { target: "/wallet/x".to_owned(), ..foreign.header("Cookie", "__Host-siwx=x") };
        asked_of(with_sessions(&Upstream::ok()), &request)
    }),
    (403, "plan_required", plan_required),
    (403, "subscription_required", || asked(&Request::get("/paid/x").token(&Wallet::evm(1).token()))),
    (404, "no_route", || asked(&Request::get("/nothing").token(&Wallet::evm(1).token()))),
    (405, "method_not_allowed", || asked(&Request::new("TRACE", "/public/x"))),
    (408, "request_timeout", request_timeout),
    (413, "body_too_large", || asked_of(Setup::over(&Upstream::ok()).set("limits.body_bytes", "1B"), &post())),
    (414, "target_too_long", || asked(&Request::get(&format!("/public/{}", "x".repeat(9000))))),
    (417, "expectation_failed", || asked(&Request::get("/public/x").header("Expect", "a miracle"))),
    (421, "unknown_host", || asked(&Request::get("/public/x").host("evil.example"))),
    (429, "quota_exceeded", quota_exceeded),
    (429, "rate_limited", rate_limited),
    (429, "too_many_refusals", too_many_refusals),
    (500, "internal", internal),
    (501, "transfer_coding_not_supported", || {
        asked(&Request::new("POST", "/public/x").header("Transfer-Encoding", "gzip, chunked"))
    }),
    (502, "upstream_invalid", || {
        asked_of(Setup::over(&Upstream::saying(b"SSH-2.0-x\r\n")), &Request::get("/public/x"))
    }),
    (502, "upstream_unreachable", upstream_unreachable),
    (503, "overloaded", overloaded),
    (503, "store_unavailable", store_unavailable),
    (503, "verifier_unavailable", verifier_unavailable),
    (504, "upstream_timeout", upstream_timeout),
    (508, "loop_detected", loop_detected),
];

/// Those of the private listener, whose refusals have codes of the same list.
const ADMIN_CODES: [(u16, &str, Produce); 10] = [
    (400, "bad_request", || administered(&Request::new("POST", "/admin/subscriptions").body(b"{}"), true)),
    (401, "credential_required", || administered(&Request::get("/admin/state"), false)),
    (403, "origin_not_allowed", || administered(&Request::get("/admin/state").header("Origin", "null"), true)),
    (404, "no_route", || administered(&Request::get("/admin/nothing"), true)),
    (404, "unknown_plan", || administered(&grant_of("no-such-plan"), true)),
    (405, "method_not_allowed", || administered(&Request::new("PUT", "/admin/state"), true)),
    (409, "payment_already_used", payment_already_used),
    (409, "payment_in_progress", payment_in_progress),
    (429, "too_many_refusals", too_many_admin_refusals),
    (503, "store_unavailable", admin_store_unavailable),
];

fn post() -> Request {
    Request::new("POST", "/public/x").body(b"hello")
}

fn grant_of(plan: &str) -> Request {
    let body = format!("{{\"account\":\"{}\",\"plan\":\"{plan}\"}}", Wallet::evm(1).account());
    Request::new("POST", "/admin/subscriptions").body(body.as_bytes())
}

/// The answer of the usual gateway.
fn asked(request: &Request) -> Answer {
    let upstream = Upstream::ok();
    asked_of(Setup::over(&upstream), request)
}

fn asked_of(setup: Setup, request: &Request) -> Answer {
    setup.start().send(request)
}

fn with_sessions(upstream: &Upstream) -> Setup {
    Setup::over(upstream).tables("[session]\n")
}

fn ambiguous_path() -> Answer {
    let upstream = Upstream::ok();
    let tables = "[[route]]\nname = \"all\"\nprefix = \"/\"\nupstream = \"api\"\nauth = \"wallet\"\n";
    asked_of(Setup::over(&upstream).tables(tables), &Request::get("/PAID/x").token(&Wallet::evm(1).token()))
}

fn verifier_unavailable() -> Answer {
    let upstream = Upstream::ok();
    let nobody = Nobody::new();
    let tables = format!(
        "[chains.eip155]\nschemes = [\"eip191\", \"eip1271\"]\nrpc = {{ \"eip155:8453\" = [\"{}\"] }}\n",
        nobody.url()
    );
    // Of a length that no key's signature has.
    let token = token(&Wallet::evm(1).text().to_string(), "0x1234");
    asked_of(Setup::over(&upstream).tables(&tables), &Request::get("/wallet/x").token(&token))
}

fn account_denied() -> Answer {
    let upstream = Upstream::ok();
    let denied = format!("[auth]\ndeny_accounts = [\"{}\"]\n", Wallet::evm(1).account());
    asked_of(Setup::over(&upstream).tables(&denied), &Request::get("/wallet/x").token(&Wallet::evm(1).token()))
}

fn plan_required() -> Answer {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    gateway.grant_until(&Wallet::evm(1), "nano", Term::Until(time("2026-12-01T00:00:00Z")));
    gateway.get("/pro/x", &Wallet::evm(1).token())
}

fn request_timeout() -> Answer {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("limits.body_idle_timeout", "20ms").start();
    let mut client = gateway.client();
    client.write(&Request::new("POST", "/public/x").header("Content-Length", "5").bytes());
    client.read()
}

fn with_one_refusal(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).tables("[limits]\nauth_failures = { rate = \"1/m\", burst = 1 }\n").start()
}

fn too_many_refusals() -> Answer {
    let upstream = Upstream::ok();
    let gateway = with_one_refusal(&upstream);
    assert_eq!(gateway.get("/wallet/x", "SIWX a.b").status, 401);
    gateway.get("/wallet/x", "SIWX a.b")
}

fn quota_exceeded() -> Answer {
    let upstream = Upstream::ok();
    let tables = "[[plan]]\nname = \"mini\"\nquota = { requests = 1, window = \"1h\" }\n";
    let gateway = Setup::over(&upstream).tables(tables).start();
    gateway.grant(&Wallet::evm(1), "mini");
    assert_eq!(gateway.get("/paid/x", &Wallet::evm(1).token()).status, 200);
    gateway.get("/paid/x", &Wallet::evm(1).token())
}

fn rate_limited() -> Answer {
    let upstream = Upstream::ok();
    let tables = "[[route]]\nname = \"slow\"\npath = \"/slow\"\nupstream = \"api\"\nauth = \"none\"\n\
                  rate = { by = \"ip\", rate = \"1/m\" }\n";
    let gateway = Setup::over(&upstream).tables(tables).start();
    assert_eq!(gateway.send(&Request::get("/slow")).status, 200);
    gateway.send(&Request::get("/slow"))
}

fn internal() -> Answer {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    let gateway = Setup::over(&upstream).panics_are_expected().store(flaky.store()).start();
    flaky.panic_once();
    gateway.get("/paid/x", &Wallet::evm(1).token())
}

fn upstream_unreachable() -> Answer {
    let nobody = Nobody::new();
    asked_of(Setup::to(&nobody.url()), &Request::get("/public/x"))
}

/// An upstream that never answers.
fn silent() -> Upstream {
    Upstream::scripted(|stream, _| {
        let mut reader = BufReader::new(stream);
        read_request(&mut reader);
        let _ = reader.read_to_end(&mut Vec::new());
    })
}

fn upstream_timeout() -> Answer {
    let upstream = silent();
    asked_of(Setup::over(&upstream).set("upstreams.api.response_timeout", "20ms"), &Request::get("/public/x"))
}

fn loop_detected() -> Answer {
    let upstream = Upstream::ok();
    let request = Request::get("/public/x").header("Via", &["1.1 siwx-gateway"; 3].join(", "));
    asked_of(Setup::over(&upstream).set("server.via", "true"), &request)
}

fn overloaded() -> Answer {
    let upstream = silent();
    let gateway = Setup::over(&upstream).set("limits.in_flight", "1").start();
    let mut first = gateway.client();
    first.write(&Request::get("/public/x").bytes());
    gateway.expect_metric("siwx_http_requests_in_flight", 1.0);
    gateway.send(&Request::get("/public/x"))
}

fn store_unavailable() -> Answer {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    flaky.fail(true);
    asked_of(Setup::over(&upstream).store(flaky.store()), &Request::get("/paid/x").token(&Wallet::evm(1).token()))
}

/// What the private listener of the usual gateway says.
fn administered(request: &Request, authorized: bool) -> Answer {
    let upstream = Upstream::ok();
    admin_answer(&Setup::over(&upstream).start(), request, authorized)
}

fn admin_answer(gateway: &Gateway, request: &Request, authorized: bool) -> Answer {
    if authorized {
        return gateway.admin(request.clone());
    }
    let mut client = Client::connect(gateway.admin_address, std::sync::Arc::default());
    client.write(&request.clone().header("Authorization", "Bearer wrong").header("Connection", "close").bytes());
    let (status, headers) = client.read_head().expect("an answer");
    let mut body = vec![0; 4096];
    let length = client.read_some(&mut body);
    body.truncate(length);
    Answer { status, headers, body, interim: Vec::new(), whole: true }
}

fn too_many_admin_refusals() -> Answer {
    let upstream = Upstream::ok();
    let gateway = with_one_refusal(&upstream);
    assert_eq!(admin_answer(&gateway, &Request::get("/admin/state"), false).status, 401);
    admin_answer(&gateway, &Request::get("/admin/state"), false)
}

fn admin_store_unavailable() -> Answer {
    let (upstream, flaky) = (Upstream::ok(), Flaky::new());
    flaky.fail(true);
    let gateway = Setup::over(&upstream).store(flaky.store()).start();
    admin_answer(&gateway, &grant_of("nano"), true)
}

fn payment_already_used() -> Answer {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    operator::to_settled(&gateway, 1, &operator::nano());
    operator::resolve(&gateway, 1, &json!({ "status": "released" }))
}

fn payment_in_progress() -> Answer {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    operator::to_reserved(&gateway, 1, &operator::nano());
    operator::resolve(&gateway, 1, &json!({ "status": "released" }))
}

/// The codes that stand in a source file right after a status, as `StatusCode::X, "code"` or `S::X, "code"`.
fn codes_of(path: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(path).expect("the source");
    let source = source.split("#[cfg(test)]").next().expect("a first part");
    let after_status = source.split("S::").skip(1).chain(source.split("StatusCode::").skip(1));
    let codes = after_status.filter_map(|rest| {
        let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
        let field = rest.strip_prefix(',')?.trim_start();
        let quoted = field.strip_prefix("code: ").unwrap_or(field).strip_prefix('"')?;
        Some(quoted.split('"').next()?.to_owned())
    });
    let is_code = |code: &String| !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    codes.filter(is_code).collect()
}

fn produced(rows: &[(u16, &str, Produce)]) -> BTreeSet<String> {
    for (status, code, produce) in rows {
        let answer = produce();
        assert_eq!(answer.status, *status, "{code}: {answer:?}");
        assert_eq!(answer.one("content-type"), Some("application/problem+json"), "{code}: {answer:?}");
        assert_eq!(answer.one("cache-control"), Some("no-store"), "{code}: {answer:?}");
        assert_eq!(answer.json()["code"], *code, "{answer:?}");
        assert_eq!(answer.json()["status"], *status, "{answer:?}");
        assert_eq!(answer.json()["request_id"], answer.one("x-request-id").expect("an id"), "{answer:?}");
        assert_eq!(answer.one("retry-after").is_some(), matches!(status, 429 | 503), "{answer:?}");
    }
    rows.iter().map(|(_, code, _)| (*code).to_owned()).collect()
}

#[test]
fn every_code_is_produced() {
    assert_eq!(produced(&CODES), codes_of("src/edge/respond.rs"), "the rows here, and what the source can say");
}

#[test]
fn every_code_of_the_private_listener_is_produced() {
    let files = ["admin.rs", "admin/answers.rs", "admin/payments.rs", "admin/subscriptions.rs"];
    let said = files.iter().flat_map(|file| codes_of(&format!("src/edge/{file}"))).collect();
    assert_eq!(produced(&ADMIN_CODES), said, "the rows here, and what the source can say");
}

/// The words in quotes that look like codes, on lines that hold `mark`.
fn quoted(path: &str, mark: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(path).expect("the source");
    let lines = source.split("#[cfg(test)]").next().expect("a first part").lines().filter(|line| line.contains(mark));
    let words = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    words
        .filter(|word| word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'2'))
        .map(str::to_owned)
        .collect()
}

/// Who reads the README writes a client by its table; a code that is missing there is met in production first.
#[test]
fn the_readme_names_every_code() {
    let mut said = codes_of("src/edge/respond.rs");
    said.append(&mut quoted("src/edge/unpaid.rs", ""));
    said.append(&mut quoted("src/gate/payment/challenge.rs", "code"));
    let named = named_by("| status | code | when |");
    assert_eq!(named, said, "the table of the README, and what the source can say");

    let own = SessionError::CODES.iter().copied().chain(Code::ALL.iter().map(|code| code.as_str()));
    let own: BTreeSet<String> = own.map(str::to_owned).filter(|code| !named.contains(code)).collect();
    assert_eq!(
        named_by("| status | code of the session API | when |"),
        own,
        "the table of the session API, and what the source can say"
    );
}

/// The codes of the README's table with this head.
fn named_by(head: &str) -> BTreeSet<String> {
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    let table = readme.split(head).nth(1).expect("the table").split("\n\n").next().expect("its rows");
    let column = table.lines().skip(2).filter_map(|row| row.split('|').nth(2));
    column.flat_map(|codes| codes.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}
