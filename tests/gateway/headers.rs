//! Header fields on their way through: what an upstream is told, what a client cannot make it believe, and what an
//! upstream cannot make a client believe (hardening.md rows F1 to F9, U6, U8, U9 and section 4).

use crate::harness::{Gateway, Request, Seen, Setup, Upstream, Wallet, key, time};

/// Names of the fields that every request gets.
const ADDED: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id"];

/// Names of the identity fields.
const IDENTITY: [&str; 6] =
    ["x-siwx-account", "x-siwx-address", "x-siwx-chain", "x-siwx-expires", "x-siwx-plan", "x-siwx-scheme"];

/// The names of the fields an upstream saw, sorted, without those that every request has.
fn names(seen: &Seen) -> Vec<String> {
    let mut names: Vec<String> = seen.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.retain(|name| name != "host" && !ADDED.contains(&name.as_str()));
    names.sort();
    names
}

fn sent(gateway: &Gateway, upstream: &Upstream, request: &Request) -> Seen {
    let answer = gateway.send(request);
    assert_eq!(answer.status, 200, "{answer:?}");
    upstream.take_one()
}

#[test]
fn an_upstream_is_told_who_asks() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    gateway.grant(&evm, "nano");
    gateway.grant_until(&solana, "pro", siwx_gateway::store::Term::Until(time("2026-11-20T10:30:00Z")));
    let rows = [
        ("wallet, EVM", "/wallet/x", &evm, "eip191", None, "2026-11-20T11:00:00.000Z"),
        ("wallet, Solana", "/wallet/x", &solana, "ed25519", None, "2026-11-20T11:00:00.000Z"),
        ("paid, without end", "/paid/x", &evm, "eip191", Some("nano"), "2026-11-20T11:00:00.000Z"),
        ("pro, which ends first", "/pro/x", &solana, "ed25519", Some("pro"), "2026-11-20T10:30:00.000Z"),
    ];
    for temperature in ["cold", "warm"] {
        for (name, target, wallet, scheme, plan, expires) in rows {
            let spoofed = IDENTITY
                .iter()
                .fold(Request::get(target).token(&wallet.token()), |request, field| request.header(field, "spoofed"));
            let seen = sent(&gateway, &upstream, &spoofed);
            let told = IDENTITY.map(|field| seen.one(field).map(str::to_owned));
            let expected = [
                Some(wallet.account()),
                Some(wallet.address()),
                Some(wallet.chain().to_owned()),
                Some(expires.to_owned()),
                plan.map(str::to_owned),
                Some(scheme.to_owned()),
            ];
            assert_eq!(told, expected, "{name}, {temperature}");
            assert_eq!(seen.one("authorization"), None, "{name}, {temperature}");
        }
    }
    assert_eq!(key(&evm).to_string(), format!("eip155:{}", evm.address().to_lowercase()));
}

#[test]
fn f1_to_f6_f8_what_a_client_cannot_send_through() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let reserved = [
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Original-URI",
        "X-Original-URL",
        "X-Original-Method",
        "X-Rewrite-URL",
        "X-Forwarded-Method",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-SIWX-Address",
        "X-SIWX-Anything",
        "x-siwx-plan",
        "X_SIWX_Address",
        "X.SIWX.Address",
        "X-SIWX_Address",
        "x_siwx-address",
        "X!SIWX!Address",
        "X-SIWX~Plan",
        "X*SIWX*Plan",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "Forwarded",
        "X-Real-IP",
        "X-Request-Id",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "X-Originating-IP",
        "X-Envoy-Original-Path",
        "X-Envoy-External-Address",
        "Proxy",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Keep-Alive",
        "HTTP2-Settings",
        "Trailer",
        "Content_Length",
        "Transfer_Encoding",
        "SIGN-IN-WITH-X",
        "PAYMENT-SIGNATURE",
        "X-PAYMENT",
        "Custom_Header",
        "Custom.Header",
    ];
    let token = Wallet::evm(1).token();
    for field in reserved {
        for target in ["/public/x", "/wallet/x"] {
            let seen = sent(&gateway, &upstream, &Request::get(target).token(&token).header(field, "/public/spoofed"));
            let values: Vec<_> = seen.headers.iter().filter(|(_, value)| value.contains("spoofed")).collect();
            assert!(values.is_empty(), "{field} at {target}: {values:?}");
            assert_eq!(seen.target, target, "{field}");
            assert_eq!(seen.method, "GET", "{field}");
            let identified = IDENTITY.iter().filter(|field| seen.one(field).is_some()).count();
            assert_eq!(identified, if target == "/public/x" { 0 } else { 5 }, "{field} at {target}");
        }
        let refused = gateway.send(&Request::get("/wallet/x").header(field, "/public/x"));
        assert_eq!(refused.status, 401, "{field} opens nothing");
        assert_eq!(upstream.take().len(), 0, "{field}");
    }
    let upgrade = Request::get("/wallet/x")
        .token(&token)
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA");
    assert_eq!(
        names(&sent(&gateway, &upstream, &upgrade)),
        IDENTITY.map(str::to_owned).into_iter().filter(|name| name != "x-siwx-plan").collect::<Vec<_>>()
    );
}

#[test]
fn odd_names_are_kept_on_demand_unless_they_are_aliases() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("server.headers_with_underscore", "keep").start();
    let request =
        ["Custom_Header", "Custom.Header", "X_SIWX_Address", "x.forwarded.for", "Content_Length", "X_Envoy_A"]
            .iter()
            .fold(Request::get("/public/x"), |request, field| request.header(field, "1"));
    assert_eq!(names(&sent(&gateway, &upstream, &request)), ["custom.header", "custom_header"]);
}

#[test]
fn where_a_request_came_from() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let request =
        Request::get("/public/x").header("X-Forwarded-For", "1.2.3.4").header("X-Request-Id", "mine-mine-mine");
    let seen = sent(&gateway, &upstream, &request);
    let expected = ["127.0.0.1", "api.example.com", "443", "https", "127.0.0.1"].map(Some);
    assert_eq!([0, 1, 2, 3, 4].map(|i| seen.one(ADDED[i])), expected);
    assert_eq!(seen.one("x-request-id").map(str::len), Some(32));
    assert_eq!(seen.one("host"), Some("api.example.com"));
    let other = sent(&gateway, &upstream, &Request::get("/public/x").host("other.example.com:8443"));
    assert_eq!(other.one("host"), Some("other.example.com:8443"));
    assert_eq!(other.one("x-forwarded-host"), Some("other.example.com:8443"));
    assert_ne!(other.one("x-request-id"), seen.one("x-request-id"));
}

#[test]
fn f4_trailers_of_a_request_end_here() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let mut client = gateway.client();
    let request = Request::new("POST", "/wallet/x")
        .token(&Wallet::evm(1).token())
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "X-SIWX-Address");
    let mut bytes = request.bytes();
    bytes.extend_from_slice(b"3\r\nabc\r\n0\r\nX-SIWX-Address: spoofed\r\nX-Other: 1\r\n\r\n");
    gateway.secrets.add(&Wallet::evm(1).token());
    client.write(&bytes);
    assert_eq!(client.read().status, 200);
    // The stub fails on any trailer.
    let seen = upstream.take_one();
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.one("x-siwx-address"), Some(Wallet::evm(1).address().as_str()));
    assert_eq!(seen.one("trailer"), None);
}

#[test]
fn f7_connection_removes_only_what_is_the_clients() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    let token = Wallet::evm(1).token();
    let listed =
        "X-Forwarded-For, X-SIWX-Address, x-siwx-PLAN, Host, Content-Length, Authorization, Content-Type, X-Mine";
    for (name, lists) in
        [("one list", vec![listed]), ("two fields", vec!["close", listed]), ("with close", vec![listed, "close"])]
    {
        let request =
            Request::new("POST", "/wallet/x").token(&token).header("X-Mine", "1").header("Content-Type", "text/plain");
        let request = lists.into_iter().fold(request, |request, list| request.header("Connection", list)).body(b"body");
        let seen = sent(&gateway, &upstream, &request);
        assert_eq!(seen.body, b"body", "{name}");
        assert_eq!(seen.one("x-siwx-address"), Some(Wallet::evm(1).address().as_str()), "{name}");
        assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"), "{name}");
        assert_eq!(seen.one("content-type"), Some("text/plain"), "{name}");
        assert_eq!(seen.one("x-mine"), None, "{name}");
        assert_eq!(seen.one("connection"), None, "{name}");
    }
}

#[test]
fn f8_te() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).start();
    for (sent_te, expected) in
        [("trailers", Some("trailers")), ("gzip", None), ("trailers, gzip", None), ("deflate;q=0.5", None)]
    {
        let seen =
            sent(&gateway, &upstream, &Request::get("/public/x").header("TE", sent_te).header("Connection", "TE"));
        assert_eq!(seen.one("te"), expected, "{sent_te}");
    }
}

#[test]
fn f9_the_credential_stays_here_unless_it_is_to_go_on() {
    let upstream = Upstream::ok();
    let token = Wallet::evm(1).token();
    let rows = [
        ("stays", "false", "/wallet/x", token.as_str(), None),
        ("stays on public routes", "false", "/public/x", token.as_str(), None),
        ("a bad one stays on public routes", "false", "/public/x", "SIWX x.y", None),
        ("another scheme passes on public routes", "false", "/public/x", "Bearer abc", Some("Bearer abc")),
        ("goes on", "true", "/wallet/x", token.as_str(), Some(token.as_str())),
        ("goes on, public", "true", "/public/x", token.as_str(), Some(token.as_str())),
    ];
    for (name, forward, target, authorization, expected) in rows {
        let gateway = Setup::over(&upstream).set("auth.forward_credential", forward).start();
        let seen = sent(&gateway, &upstream, &Request::get(target).token(authorization));
        assert_eq!(seen.one("authorization"), expected, "{name}");
    }
    let gateway = Setup::over(&upstream).start();
    let two = Request::get("/public/x").token("Bearer abc").token(&token);
    let seen = gateway.send(&two);
    assert_eq!(seen.status, 200);
    assert!(!format!("{:?}", upstream.take()).contains("SIWX"), "a second field hides nothing on a public route");
}

#[test]
fn the_identity_prefix_is_a_setting() {
    let upstream = Upstream::ok();
    let gateway = Setup::over(&upstream).set("auth.identity_prefix", "X-Wallet-").start();
    let request = Request::get("/wallet/x").token(&Wallet::evm(1).token()).header("X_Wallet_Address", "spoofed");
    let seen = sent(&gateway, &upstream, &request.header("X-SIWX-Address", "not ours here"));
    assert_eq!(seen.one("x-wallet-address"), Some(Wallet::evm(1).address().as_str()));
    assert_eq!(seen.one("x_wallet_address"), None);
}

#[test]
fn u6_what_an_upstream_cannot_say() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
          X-SIWX-Address: 0x\r\nX_SIWX_Plan: gold\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\n\
          Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Kept: yes\r\n\r\nok"
            .to_vec()
    });
    let gateway = Setup::over(&upstream).start();
    let answer = gateway.send(&Request::get("/public/x"));
    let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["content-length", "date", "set-cookie", "set-cookie", "x-kept"]);
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn u8_trailers_of_an_answer() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, X-SIWX-Address, Content-Length, Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nX-Checksum: 1\r\n\
          X-SIWX-Address: spoofed\r\nContent-Length: 7\r\nSet-Cookie: spoofed=1\r\n\r\n"
            .to_vec()
    });
    let gateway = Setup::over(&upstream).start();
    let mut client = gateway.client();
    client.write(&Request::get("/public/x").header("TE", "trailers").bytes());
    let (status, headers) = client.read_head().expect("an answer");
    assert_eq!(status, 200);
    assert!(headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked"), "{headers:?}");
    client.write(&Request::get("/public/x").header("Connection", "close").bytes());
    let mut rest = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match client.read_some(&mut buffer) {
            0 => break,
            length => rest.extend_from_slice(&buffer[..length]),
        }
    }
    let first = String::from_utf8_lossy(&rest).into_owned();
    let trailers = first.split("HTTP/1.1 200").next().expect("the first body").to_lowercase();
    assert!(trailers.starts_with("2\r\nok\r\n0\r\n"), "{trailers:?}");
    assert!(trailers.contains("x-checksum: 1"), "{trailers:?}");
    for forbidden in ["x-siwx-address", "content-length", "spoofed"] {
        assert!(!trailers.contains(forbidden), "{forbidden} in {trailers:?}");
    }
}

#[test]
fn u9_c33_answers_to_one_wallet_are_private() {
    let rows: [(&str, &str, Option<&str>); 5] = [
        ("none", "", Some("private")),
        ("public", "Cache-Control: public, max-age=60\r\n", Some("max-age=60, private")),
        ("s-maxage", "Cache-Control: s-maxage=600, max-age=1\r\n", Some("max-age=1, private")),
        ("two fields", "Cache-Control: public\r\ncache-control: max-age=5\r\n", Some("max-age=5, private")),
        ("no-store", "Cache-Control: no-store\r\n", Some("no-store, private")),
    ];
    for (name, field, expected) in rows {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-stub: 1\r\n{field}\r\nok").into_bytes();
        let upstream = Upstream::answering(move |_| bytes.clone());
        let routes = "[[route]]\nname = \"shared\"\nprefix = \"/shared\"\nupstream = \"api\"\nauth = \"wallet\"\nshared_cache = true\n";
        let gateway = Setup::over(&upstream).tables(routes).start();
        let answer = gateway.get("/wallet/x", &Wallet::evm(1).token());
        assert_eq!(answer.one("cache-control"), expected, "{name}");
        let as_sent: Vec<String> = field.lines().filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect();
        for target in ["/public/x", "/shared/x"] {
            let answer = gateway.get(target, &Wallet::evm(1).token());
            assert_eq!(answer.all("cache-control"), as_sent, "{name}: left alone at {target}");
        }
    }
}
