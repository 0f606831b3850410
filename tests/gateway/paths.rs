//! Paths, targets and hosts without a credential: nothing under a protected prefix reaches the upstream, whatever the
//! spelling (hardening.md rows P1 to P17 and section 3). Bytes go onto the wire as they stand here.

use crate::harness::{Gateway, Request, Setup, Upstream, Wallet};

const ROUTES: &str = r#"
[[route]]
name = "public"
prefix = "/public"
upstream = "api"
auth = "none"
[[route]]
name = "root"
path = "/"
upstream = "api"
auth = "none"
[[route]]
name = "api"
prefix = "/api"
upstream = "api"
auth = "wallet"
[[route]]
name = "dear"
path = "/api/dear"
upstream = "api"
auth = "subscription"
[[route]]
name = "files"
prefix = "/files"
upstream = "api"
auth = "wallet"
allow_encoded = ["%2f", ";"]
[[route]]
name = "cut"
prefix = "/cut"
upstream = "api"
auth = "wallet"
strip_prefix = "/cut"
add_prefix = "/v1"
[[route]]
name = "get-only"
path = "/get-only"
methods = ["GET"]
upstream = "api"
auth = "wallet"
[[route]]
name = "by-host"
prefix = "/by-host"
host = "other.example.com"
upstream = "api"
auth = "none"
"#;

fn start(upstream: &Upstream) -> Gateway {
    Setup::over(upstream).routes(ROUTES).set("limits.auth_failures", "off").start()
}

/// The status and code of the answer to a request line; 0 if the connection ended without one.
fn ask(gateway: &Gateway, target: &[u8], token: Option<&str>) -> (u16, String) {
    let mut client = gateway.client();
    let mut bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: api.example.com\r\n"].concat();
    if let Some(token) = token {
        bytes.extend_from_slice(format!("Authorization: {token}\r\n").as_bytes());
        gateway.secrets.add(token);
    }
    bytes.extend_from_slice(b"\r\n");
    client.write(&bytes);
    client.next("GET").map_or((0, String::new()), |answer| answer.outcome())
}

#[test]
fn p1_to_p13_nothing_protected_is_reached_without_a_credential() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows: &[(&str, &[&[u8]])] = &[
        (
            "P1 dot segments",
            &[b"/public/../api/x", b"/public/./../api/x", b"/x/../api/x", b"/public/..", b"/public/.", b"/.."],
        ),
        (
            "P2 encoded dots",
            &[
                b"/public/%2e%2e/api/x",
                b"/public/.%2e/api/x",
                b"/public/%2E./api/x",
                b"/public/%2e%2e%2fapi/x",
                b"/public/%2e/x",
                b"/public/..%2fapi/x",
                b"/public/%2e%2E/api",
            ],
        ),
        (
            "P3 other separators",
            &[
                b"/public/..%2Fapi%2fx",
                b"/public%2f..%2fapi/x",
                b"/public/..%5capi/x",
                b"/public/..\\api\\x",
                b"/public\\..\\api",
                b"/%2fapi/x",
            ],
        ),
        (
            "P4 encoded twice and thrice",
            &[b"/public/%252e%252e/api/x", b"/public/..%252fapi/x", b"/public/%25252e%25252e/api", b"/public/%255c"],
        ),
        (
            "P5 empty segments",
            &[b"//api/x", b"///api", b"/public//../api", b"/./api/x", b"/api//x", b"//public/x", b"/public//x"],
        ),
        (
            "P6 parameters",
            &[
                b"/public/..;/api/x",
                b"/public;/../api/x",
                b"/public/..;a=b/api/x",
                b"/public/.;/x",
                b"/public;a=b/x",
                b"/public/%3b/x",
                b"/public/..%3b/api",
            ],
        ),
        (
            "P7 control bytes and blanks",
            &[
                b"/public/%00",
                b"/public/%0a",
                b"/public/x%0d%0aX-SIWX-Address:%20a",
                b"/public/%09",
                b"/public/%7f",
                b"/public/\x01x",
                b"/public/\x7f",
            ],
        ),
        (
            "P8 overlong, full-width and broken UTF-8",
            &[
                b"/public/%c0%ae%c0%ae/api/x",
                b"/public/\xc0\xae\xc0\xae/api/x",
                b"/public/\xef\xbc\x8e\xef\xbc\x8e/api",
                b"/public/\xef\xbc\x8f../api",
                b"/public/\xe2\x80\x8b/x",
                b"/public/\xff",
            ],
        ),
        ("P9 fragments and queries encoded", &[b"/public/%23/../api", b"/public%3f/../api", b"/public/%3Fx"]),
        (
            "P10 letter case and dots",
            &[b"/API/x", b"/Public/x", b"/PUBLIC", b"/public./x", b"/api", b"/api/", b"/api/x/"],
        ),
        (
            "P11 forms of targets",
            &[
                b"https://api.example.com/public/x",
                b"http://evil.example/public/x",
                b"http://u:p@api.example.com/public/x",
                b"ftp://api.example.com/public/x",
                b"api.example.com:443",
                b"public/x",
                b"*",
                b"?x",
                b"http://api.example.com:81/public/x",
                b"http:/public/x",
                b"//evil.example/public/x",
            ],
        ),
        ("P12 public text elsewhere", &[b"/api/x?/public/x", b"/api/x?../public", b"/api?public=/public/"]),
        ("P13 no segment boundary", &[b"/publicity", b"/publicx/x", b"/public-x", b"/apix"]),
        (
            "bytes that a path has not",
            &[
                b"/public/\"",
                b"/public/<x>",
                b"/public/^",
                b"/public/`",
                b"/public/{x}",
                b"/public/|",
                b"/public/%",
                b"/public/%g0",
                b"/public/%2",
                b"/public/x?\"",
                b"/public/x?\x80",
            ],
        ),
    ];
    for (name, targets) in rows {
        for target in *targets {
            let shown = String::from_utf8_lossy(target);
            let (status, code) = ask(&gateway, target, None);
            assert!(matches!(status, 400 | 401 | 405), "{name}: {shown}: {status} {code}");
            assert_eq!(upstream.take().len(), 0, "{name}: {shown} reached the upstream");
        }
    }
}

#[test]
fn what_is_plain_goes_through_in_its_one_spelling() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let token = Wallet::evm(1).token();
    let rows: [(&str, &[u8], &str); 15] = [
        ("as it is", b"/public/a/b.c", "/public/a/b.c"),
        ("the prefix itself", b"/public", "/public"),
        ("a trailing slash", b"/public/", "/public/"),
        ("all plain bytes", b"/public/a~!$&'()*+,=:@-_.9", "/public/a~!$&'()*+,=:@-_.9"),
        ("unreserved escapes are decoded", b"/public/%61%2Dz", "/public/a-z"),
        ("P12 a query that looks like a path", b"/public/x?/../api/%2e%2e", "/public/x?/../api/%2e%2e"),
        ("S14 encoded CR LF in the query stays", b"/public/x?a=%0d%0aX-A:%20b", "/public/x?a=%0d%0aX-A:%20b"),
        ("an empty query", b"/public/x?", "/public/x?"),
        ("protected, escapes of others", b"/api/%c3%a9", "/api/%C3%A9"),
        ("encoded slash where allowed", b"/files/a%2fb", "/files/a%2Fb"),
        ("semicolon where allowed", b"/files/a;v=1/b", "/files/a;v=1/b"),
        ("stripped and put before", b"/cut/a?x=1", "/v1/a?x=1"),
        ("stripped whole", b"/cut", "/v1/"),
        ("the exact route", b"/", "/"),
        ("absolute form for the listener", b"http://api.example.com/public/x?y", "/public/x?y"),
    ];
    for (name, target, expected) in rows {
        assert_eq!(ask(&gateway, target, Some(&token)), (200, String::new()), "{name}");
        assert_eq!(upstream.take_one().target, expected, "{name}");
    }
}

#[test]
fn p14_p17_with_a_credential() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let token = Wallet::evm(1).token();
    let rows: [(&str, &[u8], (u16, &str)); 16] = [
        ("P14 dots after the cut", b"/cut/../x", (400, "bad_path")),
        ("P14 an empty segment after the cut", b"/cut//x", (400, "bad_path")),
        ("P14 encoded dots after the cut", b"/cut/%2e%2e/x", (400, "bad_path")),
        ("the dear route", b"/api/dear", (403, "subscription_required")),
        ("P17 a trailing slash", b"/api/dear/", (403, "subscription_required")),
        ("P17 another letter case", b"/api/Dear", (400, "ambiguous_path")),
        ("P17 upper case", b"/api/DEAR", (400, "ambiguous_path")),
        ("P17 unreserved escapes", b"/api/%64ear", (403, "subscription_required")),
        ("P17 a parameter", b"/api/dear;a=b", (400, "bad_path")),
        ("P17 an encoded parameter", b"/api/dear%3ba=b", (400, "bad_path")),
        ("P17 another case of the prefix", b"/API/dear", (404, "no_route")),
        ("P10 another case where nothing is", b"/Public/x", (404, "no_route")),
        ("nothing there", b"/nothing", (404, "no_route")),
        ("P3 encoded slash elsewhere", b"/api/a%2fb", (400, "bad_path")),
        ("a public path that is not plain", b"/public/a%20b", (404, "no_route")),
        ("a dot segment where encoding is allowed", b"/files/..%2fx", (400, "bad_path")),
    ];
    for (name, target, (status, code)) in rows {
        assert_eq!(ask(&gateway, target, Some(&token)), (status, code.to_owned()), "{name}");
        assert_eq!(upstream.take().len(), 0, "{name}");
    }
}

#[test]
fn methods_a_route_does_not_take() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let token = Wallet::evm(1).token();
    let rows =
        [("GET", 200, ""), ("HEAD", 200, ""), ("POST", 405, "method_not_allowed"), ("BREW", 405, "method_not_allowed")];
    for (method, status, code) in rows {
        let answer = gateway.send(&Request::new(method, "/get-only").token(&token));
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{method}");
        assert_eq!(gateway.send(&Request::new(method, "/get-only")).status, 401, "{method}, nobody is told");
    }
    assert_eq!(upstream.take().len(), 2);
}

#[test]
fn p15_hosts() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let rows = [
        ("as configured", "api.example.com", 200, ""),
        ("another letter case", "API.Example.COM", 200, ""),
        ("a trailing dot", "api.example.com.", 200, ""),
        ("any port", "api.example.com:8443", 200, ""),
        ("both", "API.example.com.:1", 200, ""),
        ("another served one", "other.example.com", 200, ""),
        ("a sub-domain", "x.api.example.com", 421, "unknown_host"),
        ("another", "evil.example", 421, "unknown_host"),
        ("an address", "127.0.0.1", 421, "unknown_host"),
        ("localhost", "localhost", 421, "unknown_host"),
        ("two trailing dots", "api.example.com..", 400, "bad_request"),
        ("user-info", "u@api.example.com", 400, "bad_request"),
        ("a port that is none", "api.example.com:x", 400, "bad_request"),
        ("a path", "api.example.com/public", 400, "bad_request"),
        ("a list", "api.example.com, evil.example", 400, "bad_request"),
        ("a blank", "api .example.com", 400, "bad_request"),
        ("empty", "", 400, "bad_request"),
    ];
    for (name, host, status, code) in rows {
        let answer = gateway.send(&Request::get("/public/x").host(host));
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{name}: {host}");
        assert_eq!(upstream.take().len(), usize::from(status == 200), "{name}");
        let protected = gateway.send(&Request::get("/api/x").host(host));
        assert_eq!(protected.status, if status == 200 { 401 } else { status }, "{name}, protected");
    }
    let by_host = |host: &str| gateway.send(&Request::get("/by-host/x").host(host)).status;
    assert_eq!(
        [by_host("other.example.com"), by_host("OTHER.example.com.:99"), by_host("api.example.com")],
        [200, 200, 401]
    );
    let unbracketed = gateway.send(&Request::get("/public/x").host("[::1]:80"));
    assert_eq!(unbracketed.outcome(), (421, "unknown_host".to_owned()));
}

#[test]
fn p15_more_than_a_hundred_hosts() {
    let upstream = Upstream::ok();
    let hosts = (0..150).map(|number| format!("h{number}.example.com")).collect();
    let gateway =
        Setup::over(&upstream).routes(&ROUTES.replace("other.example.com", "h149.example.com")).hosts(hosts).start();
    let status = |host: &str, target: &str| gateway.send(&Request::get(target).host(host)).status;
    for number in [0, 99, 100, 101, 149] {
        let host = format!("H{number}.example.com:1");
        assert_eq!(status(&host, "/public/x"), 200, "{host}");
        assert_eq!(status(&host, "/api/x"), 401, "{host}");
        assert_eq!(status(&host, "/by-host/x"), if number == 149 { 200 } else { 401 }, "{host}");
    }
    assert_eq!(status("h150.example.com", "/public/x"), 421);
}

#[test]
fn options_of_the_server_itself() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    let answer = gateway.send(&Request::new("OPTIONS", "*"));
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    assert_eq!(gateway.send(&Request::new("OPTIONS", "*").host("evil.example")).status, 421);
    assert_eq!(ask(&gateway, b"*", Some(&Wallet::evm(1).token())).0, 400, "GET *");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn x6_what_is_private_is_not_served_here() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream);
    for target in ["/metrics", "/livez", "/readyz", "/healthz", "/admin/state", "/admin/subscriptions", "/debug/pprof"]
    {
        assert_eq!(gateway.send(&Request::get(target)).status, 401, "{target}");
        assert_eq!(gateway.get(target, &Wallet::evm(1).token()).outcome(), (404, "no_route".to_owned()), "{target}");
    }
    assert_eq!(upstream.take().len(), 0);
}
