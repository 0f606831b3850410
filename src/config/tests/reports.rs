//! Whole reports as operators see them: every change of wording, place or caret shows here.

mod routes;

use super::*;

/// A name, a part of the smallest file, what stands there instead, and the whole report.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[test]
fn faults_are_told_with_line_column_caret_and_hint() {
    for (name, from, to, expected) in FAULTS.iter().chain(routes::FAULTS) {
        let result = resolved(&changed(from, to), &[("EMPTY", "")]);
        let report = result.expect_err(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

#[test]
fn warnings_do_not_stand_in_the_way() {
    for (name, from, to, expected) in WARNINGS {
        let (_, report) = resolved(&changed(from, to), &[]).expect(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

#[test]
fn faults_found_later_are_shown_in_the_file() {
    let (config, mut report) = resolved(SMALLEST, &[]).expect("the smallest file");
    report.error(&config.places.upstream_cas[0], "no such file", "");
    report.error(&config.places.routes[0], "not canonical", "expected `/`");
    assert_eq!(
        report.to_string(),
        "error: no such file\n --> siwx-gateway.toml:4:12\n  |\n4 | [upstreams.api]\n  |            ^^^\nerror: not \
         canonical\n --> siwx-gateway.toml:8:10\n  |\n8 | prefix = \"/\"\n  |          ^^^ expected `/`\n"
    );
}

#[test]
fn a_report_for_programs() {
    let (_, report) = resolved(&changed("127.0.0.1:8080\"]", "0.0.0.0:8080\"]"), &[]).expect("a warning alone");
    assert_eq!(
        report.to_json(),
        serde_json::json!([{
            "severity": "warning",
            "message": "`0.0.0.0:8080` speaks plain HTTP and is not on loopback",
            "hint": "wallets' tokens can be read on the way, unless TLS ends in front; add [tls]",
            "origin": "siwx-gateway.toml:3",
            "line": 3,
            "column": 11,
        }])
    );
}

const FAULTS: &[Row] = &[
    (
        "misspelt key",
        r#"listen = ["127.0.0.1:8080"]
"#,
        r#"listen = ["127.0.0.1:8080"]
[limits]
conections = 10000
"#,
        r#"error: unknown key `conections`
 --> siwx-gateway.toml:5:1
  |
5 | conections = 10000
  | ^^^^^^^^^^ did you mean `connections`?
"#,
    ),
    (
        "misspelt secret key: its value is not shown",
        r#"[server]
"#,
        r#"[admin]
tokn = "hunter2"
[server]
"#,
        r#"error: unknown key `tokn`
 --> siwx-gateway.toml:3:1
  |
3 | tokn = "*******"
  | ^^^^ did you mean `token`?
"#,
    ),
    (
        "key of another program",
        r#"[server]
"#,
        r#"[server]
sockets = 5
"#,
        r#"error: unknown key `sockets`
 --> siwx-gateway.toml:3:1
  |
3 | sockets = 5
  | ^^^^^^^ known keys are: listen, hosts, http_redirect, http2, proxy_protocol, trusted_proxies, forwarded_source, via, headers_with_underscore, workers, drain_delay, drain_timeout, watch
"#,
    ),
    (
        "proxies that cannot be trusted",
        r#"[server]
listen = ["#,
        r#"[server]
trusted_proxies = ["10.0.0.0/8", "0.0.0.0/0", "proxy.example"]
listen = ["#,
        r#"error: `0.0.0.0/0` cannot be trusted
 --> siwx-gateway.toml:3:34
  |
3 | trusted_proxies = ["10.0.0.0/8", "0.0.0.0/0", "proxy.example"]
  |                                  ^^^^^^^^^^^ it is everybody's; whoever is in it may say who a client is
error: `proxy.example` cannot be trusted
 --> siwx-gateway.toml:3:47
  |
3 | trusted_proxies = ["10.0.0.0/8", "0.0.0.0/0", "proxy.example"]
  |                                               ^^^^^^^^^^^^^^^ expected an address, a network such as `10.0.0.0/8`, or `unix:`
"#,
    ),
    (
        "the PROXY protocol of nobody",
        r#"[server]
listen = ["#,
        r#"[server]
proxy_protocol = "v2"
listen = ["#,
        r#"error: `server.proxy_protocol` is "v2", and nobody is trusted to speak it
 --> siwx-gateway.toml:3:18
  |
3 | proxy_protocol = "v2"
  |                  ^^^^ expected the addresses of the balancers in `server.trusted_proxies`
"#,
    ),
    (
        "keys, tables and values of features to come",
        r#"[server]
listen = ["#,
        r#"[forward_auth]
listen = ""
[server]
listen = ["#,
        r#"error: `forward_auth` is not built yet
 --> siwx-gateway.toml:2:2
  |
2 | [forward_auth]
  |  ^^^^^^^^^^^^ leave it out
"#,
    ),
    (
        "listeners that get in each other's way",
        r#"[server]
listen = ["#,
        r#"[server]
http_redirect = "127.0.0.1:8080"
listen = ["unix:/run/siwx.sock", "unix:/run/siwx.sock", "unix:", "#,
        r#"error: `server.http_redirect` `127.0.0.1:8080` is taken by `127.0.0.1:8080` of `server.listen`
 --> siwx-gateway.toml:3:17
  |
3 | http_redirect = "127.0.0.1:8080"
  |                 ^^^^^^^^^^^^^^^^
warning: `server.http_redirect` would send clients to plain HTTP
 --> siwx-gateway.toml:3:17
  |
3 | http_redirect = "127.0.0.1:8080"
  |                 ^^^^^^^^^^^^^^^^ it is meant for a `public_url` of `https://`
error: `unix:/run/siwx.sock` stands twice in the list
 --> siwx-gateway.toml:4:34
  |
4 | listen = ["unix:/run/siwx.sock", "unix:/run/siwx.sock", "unix:", "127.0.0.1:8080"]
  |                                  ^^^^^^^^^^^^^^^^^^^^^
error: `unix:` names no socket
 --> siwx-gateway.toml:4:57
  |
4 | listen = ["unix:/run/siwx.sock", "unix:/run/siwx.sock", "unix:", "127.0.0.1:8080"]
  |                                                         ^^^^^^^ expected something like `unix:/run/siwx.sock`
"#,
    ),
    (
        "clients' certificates that nobody vouches for",
        "[server]\n",
        "[tls.client_auth]\nmode = \"require\"\n[[tls.certificate]]\nhosts = [\"127.0.0.1\"]\ncert = \"a\"\nkey = \"b\"\n[server]\n",
        r#"error: `tls.client_auth.mode` is `require`, and nobody vouches for clients
 --> siwx-gateway.toml:3:8
  |
3 | mode = "require"
  |        ^^^^^^^^^ expected `ca`, a PEM file of authorities
"#,
    ),
    (
        "stores and upstreams to come, and a scheme without nodes",
        r#"[server]
"#,
        r#"[chains.eip155]
schemes = ["eip191", "eip1271"]
[store]
url = "postgres://siwx:hunter2@db/siwx"
[upstreams.fast]
urls = ["http:50051"]
[server]
"#,
        r#"error: scheme `eip1271` needs a node to be asked
 --> siwx-gateway.toml:3:22
  |
3 | schemes = ["eip191", "eip1271"]
  |                      ^^^^^^^^^ expected `chains.eip155.rpc` to name one for a chain at least
error: `store.url` with `postgres:` is not built yet
 --> siwx-gateway.toml:5:7
  |
5 | url = "*******************************"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `sqlite:FILE` or `sqlite::memory:`
error: `http:50051` is no upstream URL
 --> siwx-gateway.toml:7:9
  |
7 | urls = ["http:50051"]
  |         ^^^^^^^^^^^^ expected `http://`, `https://` or `h2c://`, a host and a port alone
"#,
    ),
    (
        "payment without [x402]",
        r#"auth = "subscription""#,
        r#"auth = "payment"
carriers = ["sign-in-with-x", "authorization"]"#,
        r#"error: route "all" is to be paid for, and there is no [x402]
  --> siwx-gateway.toml:10:8
   |
10 | auth = "payment"
   |        ^^^^^^^^^ it says how payments are made
error: route "all" is to be paid for and has no price
  --> siwx-gateway.toml:10:8
   |
10 | auth = "payment"
   |        ^^^^^^^^^ expected a key such as `price = "$0.01"`
error: carrier `sign-in-with-x` needs [x402]
  --> siwx-gateway.toml:11:13
   |
11 | carriers = ["sign-in-with-x", "authorization"]
   |             ^^^^^^^^^^^^^^^^
"#,
    ),
    (
        "syntax error stands alone",
        r#"[server]
listen"#,
        r#"unknown = 1
[server
listen"#,
        r#"error: not TOML: unclosed table, expected `]`
 --> siwx-gateway.toml:3:8
  |
3 | [server
  |        ^
"#,
    ),
    (
        "syntax error beside a secret",
        r#"[server]
"#,
        r#"[admin]
token = "hunter2
[server]
"#,
        r#"error: not TOML: invalid basic string, expected `"`
 --> siwx-gateway.toml:3:17
  |
3 | token = "*******
  |                 ^
"#,
    ),
    (
        "a string that does not end, found by what follows it",
        r#"urls = ["http://127.0.0.1:3000"]"#,
        r#"urls = ["http://127.0.0.1:3000]"#,
        r#"error: not TOML: a string does not end on its line
 --> siwx-gateway.toml:5:9
  |
5 | urls = ["http://127.0.0.1:3000]
  |         ^^^^^^^^^^^^^^^^^^^^^^^
"#,
    ),
    (
        "an array that does not end",
        r#"urls = ["http://127.0.0.1:3000"]"#,
        r#"urls = ["http://127.0.0.1:3000""#,
        r#"error: not TOML: missing comma between array elements, expected `,`
 --> siwx-gateway.toml:6:1
  |
6 | [[route]]
  | ^ is a `]` missing above?
"#,
    ),
    (
        "quotes and brackets are all that is the matter",
        r#"listen = ["127.0.0.1:8080"]
"#,
        r#"listen = "127.0.0.1:8080"
http2 = "true"
workers = "2"
http_redirect = 8080
"#,
        r#"error: `server.listen`: expected an array of strings, found `127.0.0.1:8080`
 --> siwx-gateway.toml:3:10
  |
3 | listen = "127.0.0.1:8080"
  |          ^^^^^^^^^^^^^^^^ a list of one is `["127.0.0.1:8080"]`
error: `server.http2`: expected `true` or `false`, found the string `true`
 --> siwx-gateway.toml:4:9
  |
4 | http2 = "true"
  |         ^^^^^^ without quotes
error: `server.workers`: expected a whole number from 0 to 1024, found the string `2`
 --> siwx-gateway.toml:5:11
  |
5 | workers = "2"
  |           ^^^ without quotes
error: `server.http_redirect`: expected a string, found `8080`
 --> siwx-gateway.toml:6:17
  |
6 | http_redirect = 8080
  |                 ^^^^ in quotes
"#,
    ),
    (
        "a key of the top below a table",
        r#"[upstreams.api]
"#,
        r#"session = 1
[upstreams.api]
"#,
        r#"error: unknown key `session`
 --> siwx-gateway.toml:4:1
  |
4 | session = 1
  | ^^^^^^^ it stands at the top of the file, above the first `[table]`
"#,
    ),
    (
        "key twice",
        r#"[server]
"#,
        r#"public_url = "http://127.0.0.1"
[server]
"#,
        r#"error: not TOML: duplicate key
 --> siwx-gateway.toml:2:1
  |
2 | public_url = "http://127.0.0.1"
  | ^^^^^^^^^^
"#,
    ),
    (
        "variable that is not set",
        r#""http://127.0.0.1:3000""#,
        r#""http://${API_HOST}:3000""#,
        r#"error: `upstreams.api.urls`: environment variable `API_HOST` is not set
 --> siwx-gateway.toml:5:17
  |
5 | urls = ["http://${API_HOST}:3000"]
  |                 ^^^^^^^^^^^
"#,
    ),
    (
        "file that is not there",
        r#"[server]
"#,
        r#"[admin]
token = "${file:/run/secrets/admin}"
[server]
"#,
        r#"error: `admin.token`: cannot read `/run/secrets/admin`: entity not found
 --> siwx-gateway.toml:3:10
  |
3 | token = "${file:/run/secrets/admin}"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^
"#,
    ),
    (
        "path in public_url",
        r#""http://127.0.0.1:8080""#,
        r#""http://127.0.0.1:8080/api""#,
        r#"error: `public_url` has a path
 --> siwx-gateway.toml:1:14
  |
1 | public_url = "http://127.0.0.1:8080/api"
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected scheme, host and port alone: `http://127.0.0.1:8080`
"#,
    ),
    (
        "password in public_url",
        r#""http://127.0.0.1:8080""#,
        r#""http://me:hunter2@127.0.0.1:8080""#,
        r#"error: `public_url` is no web origin: `[redacted]`
 --> siwx-gateway.toml:1:14
  |
1 | public_url = "********************************"
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected something like `https://api.example.com`
"#,
    ),
    (
        "host without certificate",
        r#"[server]
"#,
        r#"[tls]
[[tls.certificate]]
hosts = ["*.example.com", "127.0.0.1"]
cert = "a.crt"
key = "a.key"
[server]
hosts = ["api.example.com", "a.b.example.com"]
"#,
        r#"error: no certificate is for host `a.b.example.com`
 --> siwx-gateway.toml:8:29
  |
8 | hosts = ["api.example.com", "a.b.example.com"]
  |                             ^^^^^^^^^^^^^^^^^ certificates are for: *.example.com, 127.0.0.1
"#,
    ),
    (
        "tls without certificate",
        r#"[server]
"#,
        r#"[tls]
min_version = "1.1"
[server]
"#,
        r#"error: missing key `tls.certificate`
 --> siwx-gateway.toml:2:2
  |
2 | [tls]
  |  ^^^ it has no default
error: `tls.min_version`: expected one of `1.2`, `1.3`, found `1.1`
 --> siwx-gateway.toml:3:15
  |
3 | min_version = "1.1"
  |               ^^^^^
"#,
    ),
    (
        "listeners of one port",
        r#"["127.0.0.1:8080"]"#,
        r#"["127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.2:8080"]
[admin]
listen = "[::]:8080"
"#,
        r#"error: `127.0.0.1:8080` is taken by `127.0.0.1:8080` of the same list
 --> siwx-gateway.toml:3:29
  |
3 | listen = ["127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.2:8080"]
  |                             ^^^^^^^^^^^^^^^^
error: `admin.listen` `[::]:8080` is taken by `127.0.0.1:8080` of `server.listen`
 --> siwx-gateway.toml:5:10
  |
5 | listen = "[::]:8080"
  |          ^^^^^^^^^^^
warning: `admin.listen` `[::]:8080` is not on loopback
 --> siwx-gateway.toml:5:10
  |
5 | listen = "[::]:8080"
  |          ^^^^^^^^^^^ metrics and health are there for everybody who reaches it
"#,
    ),
    (
        "short admin token",
        r#"[server]
"#,
        r#"[admin]
token = "hunter2"
[server]
"#,
        r#"error: `admin.token` has 7 characters
 --> siwx-gateway.toml:3:9
  |
3 | token = "*******"
  |         ^^^^^^^^^ expected at least 32
"#,
    ),
    (
        "admin token over plain HTTP",
        r#"[server]
"#,
        r#"[admin]
listen = "0.0.0.0:9464"
token = "0123456789abcdef0123456789abcdef"
[server]
"#,
        r#"error: `admin.listen` `0.0.0.0:9464` would take the admin token over plain HTTP
 --> siwx-gateway.toml:3:10
  |
3 | listen = "0.0.0.0:9464"
  |          ^^^^^^^^^^^^^^ expected a loopback address, [tls], or no token
"#,
    ),
    (
        "values of other kinds",
        r#"[server]
"#,
        r#"[limits]
headers = 0
header_timeout = 10
body_bytes = "10MB"
auth_failures = { rate = "20/d", bursts = 3 }
http2 = 5
[log]
level = "loud"
access = { enabled = "yes", sample = 1.5 }
[server]
"#,
        r#"error: `limits.headers`: expected a whole number from 1 to 1000, found `0`
 --> siwx-gateway.toml:3:11
  |
3 | headers = 0
  |           ^
error: `limits.header_timeout`: expected a duration such as `300ms`, `5s`, `10m`, `24h` or `30d`, found `10`
 --> siwx-gateway.toml:4:18
  |
4 | header_timeout = 10
  |                  ^^
error: `limits.body_bytes`: expected a size such as `512B`, `32KiB`, `10MiB` or `1GiB`, found `10MB`
 --> siwx-gateway.toml:5:14
  |
5 | body_bytes = "10MB"
  |              ^^^^^^
error: missing key `limits.auth_failures.burst`
 --> siwx-gateway.toml:6:1
  |
6 | auth_failures = { rate = "20/d", bursts = 3 }
  | ^^^^^^^^^^^^^ it has no default
error: `limits.auth_failures.rate`: expected a rate such as `50/s`, `20/m` or `100/h`, at least one, found `20/d`
 --> siwx-gateway.toml:6:26
  |
6 | auth_failures = { rate = "20/d", bursts = 3 }
  |                          ^^^^^^
error: unknown key `bursts`
 --> siwx-gateway.toml:6:34
  |
6 | auth_failures = { rate = "20/d", bursts = 3 }
  |                                  ^^^^^^ did you mean `burst`?
error: `limits.http2`: expected a table, found `5`
 --> siwx-gateway.toml:7:9
  |
7 | http2 = 5
  |         ^
error: `log.level`: expected one of `error`, `warn`, `info`, `debug`, `trace`, found `loud`
 --> siwx-gateway.toml:9:9
  |
9 | level = "loud"
  |         ^^^^^^
error: `log.access.enabled`: expected `true` or `false`, found the string `yes`
  --> siwx-gateway.toml:10:22
   |
10 | access = { enabled = "yes", sample = 1.5 }
   |                      ^^^^^
error: `log.access.sample`: expected a number from 0 to 1, found `1.5`
  --> siwx-gateway.toml:10:38
   |
10 | access = { enabled = "yes", sample = 1.5 }
   |                                      ^^^
"#,
    ),
    (
        "password of an upstream",
        r#""http://127.0.0.1:3000""#,
        r#""http://me:hunter2@127.0.0.1:3000""#,
        r#"error: `[redacted]` is no upstream URL
 --> siwx-gateway.toml:5:9
  |
5 | urls = ["********************************"]
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `http://`, `https://` or `h2c://`, a host and a port alone
"#,
    ),
    (
        "nothing at all",
        r#"public_url = "http://127.0.0.1:8080"
[server]
listen = ["127.0.0.1:8080"]
[upstreams.api]
urls = ["http://127.0.0.1:3000"]
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
"#,
        r#""#,
        r#"error: missing key `public_url`
 --> siwx-gateway.toml   (it has no default)
error: missing key `server.listen`
 --> siwx-gateway.toml   (it has no default)
error: missing key `upstreams`
 --> siwx-gateway.toml   (it has no default)
error: missing key `route`
 --> siwx-gateway.toml   (it has no default)
"#,
    ),
];

const WARNINGS: &[Row] = &[
    ("none for the smallest file", r#"[server]"#, r#"[server]"#, r#""#),
    (
        "plain HTTP off loopback",
        r#"["127.0.0.1:8080"]"#,
        r#"["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8081"]"#,
        r#"warning: `0.0.0.0:8081` speaks plain HTTP and is not on loopback
 --> siwx-gateway.toml:3:43
  |
3 | listen = ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8081"]
  |                                           ^^^^^^^^^^^^^^ wallets' tokens can be read on the way, unless TLS ends in front; add [tls]
"#,
    ),
    (
        "admin listener off loopback",
        r#"[server]
"#,
        r#"[admin]
listen = "0.0.0.0:9464"
[server]
"#,
        r#"warning: `admin.listen` `0.0.0.0:9464` is not on loopback
 --> siwx-gateway.toml:3:10
  |
3 | listen = "0.0.0.0:9464"
  |          ^^^^^^^^^^^^^^ metrics and health are there for everybody who reaches it
"#,
    ),
    (
        "everything public",
        r#"auth = "subscription""#,
        r#"auth = "none""#,
        r#"warning: route "all" is public and its prefix is `/`
 --> siwx-gateway.toml:8:10
  |
8 | prefix = "/"
  |          ^^^ whatever no other route names is open to everybody
"#,
    ),
    (
        "a denied account that nobody could be",
        r#"[server]
"#,
        r#"[auth]
deny_accounts = ["0x123", "eip155:1:0x123", "0x0000000000000000000000000000000000000001"]
[server]
"#,
        r#"warning: `0x123` denies nobody
 --> siwx-gateway.toml:3:18
  |
3 | deny_accounts = ["0x123", "eip155:1:0x123", "0x0000000000000000000000000000000000000001"]
  |                  ^^^^^^^ it is no address of a family of chains that signs in; is it mistyped?
warning: `eip155:1:0x123` denies nobody
 --> siwx-gateway.toml:3:27
  |
3 | deny_accounts = ["0x123", "eip155:1:0x123", "0x0000000000000000000000000000000000000001"]
  |                           ^^^^^^^^^^^^^^^^ it is no address of a family of chains that signs in; is it mistyped?
"#,
    ),
    (
        "a pattern that is none",
        r#"prefix = "/""#,
        r#"prefix = "/v1/*""#,
        r#"warning: `*` in `/v1/*` stands for itself
 --> siwx-gateway.toml:8:10
  |
8 | prefix = "/v1/*"
  |          ^^^^^^^ there are no patterns in paths; a prefix covers all that lies below it
"#,
    ),
    (
        "public prefix over a protected route",
        r#"[[route]]
"#,
        r#"[[route]]
name = "status"
prefix = "/v1/"
upstream = "api"
auth = "none"
[[route]]
name = "admin"
path = "/v1/admin"
upstream = "api"
[[route]]
name = "v10"
path = "/v10"
upstream = "api"
[[route]]
"#,
        r#"warning: route "status" is public and its prefix also covers "/v1/admin" (route "admin")
 --> siwx-gateway.toml:8:10
  |
8 | prefix = "/v1/"
  |          ^^^^^^
"#,
    ),
];
