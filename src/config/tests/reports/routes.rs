//! Whole reports of faults in routes and plans.

use super::Row;

pub(super) const FAULTS: &[Row] = &[
    (
        "unknown plan and upstream",
        r#"upstream = "api"
"#,
        r#"upstream = "apj"
plans = ["nano", "pro"]
[[plan]]
name = "nano"
[[route]]
name = "other"
path = "/x"
upstream = "web"
"#,
        r#"error: route "all" names upstream "apj", which no [upstreams.*] defines
 --> siwx-gateway.toml:9:12
  |
9 | upstream = "apj"
  |            ^^^^^ did you mean `api`?
error: route "all" names plans, but `auth = "wallet"` asks for none
  --> siwx-gateway.toml:10:9
   |
10 | plans = ["nano", "pro"]
   |         ^^^^^^^^^^^^^^^ they count with `auth = "subscription"` or `"payment"`
error: route "all" names plan "pro", which no [[plan]] defines
  --> siwx-gateway.toml:10:18
   |
10 | plans = ["nano", "pro"]
   |                  ^^^^^ plans: nano
error: route "other" names upstream "web", which no [upstreams.*] defines
  --> siwx-gateway.toml:16:12
   |
16 | upstream = "web"
   |            ^^^^^ upstreams: api
"#,
    ),
    (
        "one name and one pattern twice",
        r#"[[route]]
"#,
        r#"[[route]]
name = "all"
prefix = "/V1/"
upstream = "api"
[[route]]
name = "v1"
prefix = "/v1"
methods = []
upstream = "api"
[[route]]
"#,
        r#"error: routes "all" and "v1" are for the same requests
  --> siwx-gateway.toml:12:10
   |
12 | prefix = "/v1"
   |          ^^^^^ letter case and a last slash do not tell them apart
error: route "all" stands twice
  --> siwx-gateway.toml:16:8
   |
16 | name = "all"
   |        ^^^^^
"#,
    ),
    (
        "rates of routes",
        r#"auth = "subscription"
"#,
        r#"auth = "none"
[route.rate]
rate = "20/d"
burst = 0
[[route]]
name = "other"
path = "/other"
upstream = "api"
rate = { by = "wallet" }
"#,
        r#"warning: route "all" is public and its prefix is `/`
 --> siwx-gateway.toml:8:10
  |
8 | prefix = "/"
  |          ^^^ whatever no other route names is open to everybody
error: route "all" is public, and has a rate by account
  --> siwx-gateway.toml:11:8
   |
11 | [route.rate]
   |        ^^^^ nobody is asked who they are there; expected `by = "ip"`
error: `rate.rate` of route "all": expected a rate such as `50/s`, `20/m` or `100/h`, at least one, found `20/d`
  --> siwx-gateway.toml:12:8
   |
12 | rate = "20/d"
   |        ^^^^^^
error: `route.rate.burst`: expected a whole number from 1 to 1000000, found `0`
  --> siwx-gateway.toml:13:9
   |
13 | burst = 0
   |         ^
error: missing key `route.rate.rate`
  --> siwx-gateway.toml:18:1
   |
18 | rate = { by = "wallet" }
   | ^^^^ it has no default
error: `route.rate.by`: expected one of `account`, `ip`, found `wallet`
  --> siwx-gateway.toml:18:15
   |
18 | rate = { by = "wallet" }
   |               ^^^^^^^^
"#,
    ),
    (
        "route without what it needs",
        r#"name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
"#,
        r#"auth = "none"
plans = ["default"]
allow_encoded = ["%2f"]
"#,
        r#"error: missing key `route.name`
 --> siwx-gateway.toml:6:1
  |
6 | [[route]]
  | ^^^^^^^^^ it has no default
error: missing key `route.upstream`
 --> siwx-gateway.toml:6:1
  |
6 | [[route]]
  | ^^^^^^^^^ it has no default
error: this route has neither `path` nor `prefix`
 --> siwx-gateway.toml:6:1
  |
6 | [[route]]
  | ^^^^^^^^^ expected one of them
error: this route names plans, but `auth = "none"` asks for none
 --> siwx-gateway.toml:8:9
  |
8 | plans = ["default"]
  |         ^^^^^^^^^^^ they count with `auth = "subscription"` or `"payment"`
error: `allow_encoded` on a public route
 --> siwx-gateway.toml:9:17
  |
9 | allow_encoded = ["%2f"]
  |                 ^^^^^^^ it is for protected routes
"#,
    ),
    (
        "paths of a route",
        r#"prefix = "/""#,
        r#"prefix = "/a/../b"
path = "/x"
strip_prefix = "v1"
methods = ["get", "TRACE"]"#,
        r#"error: route "all" has both `path` and `prefix`
 --> siwx-gateway.toml:8:10
  |
8 | prefix = "/a/../b"
  |          ^^^^^^^^^ expected one of them
error: `v1` is no strip_prefix
  --> siwx-gateway.toml:10:16
   |
10 | strip_prefix = "v1"
   |                ^^^^ expected it to begin with `/`
error: `get` is no method of a route
  --> siwx-gateway.toml:11:12
   |
11 | methods = ["get", "TRACE"]
   |            ^^^^^ methods tell letter case apart, and those of HTTP are in upper case
error: `TRACE` is no method of a route
  --> siwx-gateway.toml:11:19
   |
11 | methods = ["get", "TRACE"]
   |                   ^^^^^^^ it is always answered 405
"#,
    ),
    (
        "what is cut is not in front",
        r#"prefix = "/""#,
        r#"prefix = "/v10/"
strip_prefix = "/v1""#,
        r#"error: `strip_prefix` cuts `/v1`, with which `/v10/` does not begin
 --> siwx-gateway.toml:9:16
  |
9 | strip_prefix = "/v1"
  |                ^^^^^ expected a part of the route's own path, cut at a `/`
"#,
    ),
];
