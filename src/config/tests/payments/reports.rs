//! Whole reports about payments, as operators see them.

use super::*;

/// A name, a part of the file, what stands there instead, and the whole report.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[test]
fn faults_of_payments_are_told_with_place_and_hint() {
    for (name, from, to, expected) in FAULTS {
        let report = resolved(&edited(from, to), &[]).expect_err(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

#[test]
fn warnings_of_payments() {
    for (name, from, to, expected) in WARNINGS {
        let (_, report) = resolved(&edited(from, to), &[]).expect(name);
        assert_eq!(report.to_string(), *expected, "{name}");
    }
}

const FAULTS: &[Row] = &[
    (
        "no [x402]",
        r#"[x402]
[[x402.facilitator]]
url = "https://facilitator.example/x402/"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
[[x402.accept]]
network = "solana:devnet"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
"#,
        r#""#,
        r#"error: plan "nano" has a price, and there is no [x402]
 --> siwx-gateway.toml:6:9
  |
6 | price = "$5.00"
  |         ^^^^^^^ it says how payments are made
error: route "weather" is to be paid for, and there is no [x402]
  --> siwx-gateway.toml:20:8
   |
20 | auth = "payment"
   |        ^^^^^^^^^ it says how payments are made
"#,
    ),
    (
        "nobody to ask, nowhere to pay",
        r#"[[x402.facilitator]]
url = "https://facilitator.example/x402/"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
[[x402.accept]]
network = "solana:devnet"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
"#,
        r#"sign_in_chains = ["eip155:1"]
"#,
        r#"error: there are prices and no facilitator
 --> siwx-gateway.toml:4:2
  |
4 | [x402]
  |  ^^^^ expected at least one [[x402.facilitator]]: it verifies payments and moves the money
error: plan "nano" has a price, and no [[x402.accept]] says where money goes
 --> siwx-gateway.toml:8:9
  |
8 | price = "$5.00"
  |         ^^^^^^^ expected at least one
error: route "weather" has a price, and no [[x402.accept]] says where money goes
  --> siwx-gateway.toml:23:9
   |
23 | price = "$0.01"
   |         ^^^^^^^ expected at least one
"#,
    ),
    (
        "places where money goes",
        r#"network = "eip155:84532"
pay_to = "0x209693bc6afc0c5328ba36faf03c514ef312287c"
"#,
        r#"network = "eip155:2"
pay_to = "0x209693BC6afc0C5328bA36FaF03C514EF312287C"
[[x402.accept]]
network = "bip122:000000000019d6689c085ae165831e93"
pay_to = "x"
asset = "usdt"
[[x402.accept]]
network = "eip155:1"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
asset = "usdt"
[[x402.accept]]
network = "eip155:137"
pay_to = "0x0000000000000000000000000000000000000001"
asset = { address = "0x01", decimals = 6, version = "1" }
"#,
        r#"error: asset `usdc` is not known on `eip155:2`
 --> siwx-gateway.toml:8:11
  |
8 | network = "eip155:2"
  |           ^^^^^^^^^^ it is known on: eip155:1, eip155:137, eip155:8453, eip155:42161, eip155:43114, eip155:84532, eip155:421614, solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp, solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1; elsewhere expected a table of address, decimals, name and version
error: the checksum of `0x209693BC6afc0C5328bA36FaF03C514EF312287C` is wrong
 --> siwx-gateway.toml:9:10
  |
9 | pay_to = "0x209693BC6afc0C5328bA36FaF03C514EF312287C"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ is it mistyped? In lower case it is taken as it is
error: `bip122:000000000019d6689c085ae165831e93` is no network to be paid on
  --> siwx-gateway.toml:11:11
   |
11 | network = "bip122:000000000019d6689c085ae165831e93"
   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a CAIP-2 id of `eip155` or `solana`, such as `eip155:8453`
error: `EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w` is no address of `eip155`
  --> siwx-gateway.toml:16:10
   |
16 | pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
   |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `0x` and 40 hex digits
error: unknown asset `usdt`
  --> siwx-gateway.toml:17:9
   |
17 | asset = "usdt"
   |         ^^^^^^ expected `usdc`, or a table of address, decimals, name and version
error: the asset has no `name`
  --> siwx-gateway.toml:21:1
   |
21 | asset = { address = "0x01", decimals = 6, version = "1" }
   | ^^^^^ it is of the token's EIP-712 domain, without which nobody can sign
error: `0x01` is no address of `eip155`
  --> siwx-gateway.toml:21:21
   |
21 | asset = { address = "0x01", decimals = 6, version = "1" }
   |                     ^^^^^^ expected `0x` and 40 hex digits
"#,
    ),
    (
        "upto on Solana, and twice the same",
        r#"network = "solana:devnet"
"#,
        r#"network = "solana:devnet"
scheme = "upto"
pay_to = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w"
[[x402.accept]]
network = "eip155:84532"
timeout = "61s"
pay_to = "0x0000000000000000000000000000000000000001"
[[x402.accept]]
network = "solana:devnet"
"#,
        r#"error: scheme `upto` cannot be offered on `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1`
  --> siwx-gateway.toml:12:10
   |
12 | scheme = "upto"
   |          ^^^^^^ expected `exact`: there it would need an escrow
error: `exact` on `eip155:84532` in the same token stands twice
  --> siwx-gateway.toml:14:1
   |
14 | [[x402.accept]]
   | ^^^^^^^^^^^^^^^ money of one kind goes to one place
"#,
    ),
    (
        "facilitators",
        r#"url = "https://facilitator.example/x402/"
"#,
        r#"url = "http://facilitator.example"
[[x402.facilitator]]
url = "https://me:hunter2@facilitator.example"
name = "Main"
[[x402.facilitator]]
url = "http://127.0.0.1:4021"
headers = { Host = "hunter2", X-Key = "hunter\n2", x-key = 5 }
[[x402.facilitator]]
url = "http://localhost"
"#,
        r#"error: `http://facilitator.example` speaks plain HTTP and is not on loopback
 --> siwx-gateway.toml:6:7
  |
6 | url = "http://facilitator.example"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `https://`: whoever answers in its place says what is paid
error: `[redacted]` is no URL of a facilitator
 --> siwx-gateway.toml:8:7
  |
8 | url = "**************************************"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected one such as `https://facilitator.example/x402`: it has user information
error: `Main` is no name of a facilitator
 --> siwx-gateway.toml:9:8
  |
9 | name = "Main"
  |        ^^^^^^ expected 1 to 32 characters out of a-z, 0-9, `_` and `-`
error: `Host` is no header that may be set
  --> siwx-gateway.toml:12:13
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |             ^^^^ expected the name of a header that does not frame a request
error: the value of `X-Key` holds characters that no header may have
  --> siwx-gateway.toml:12:39
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |                                       ^^^^^^^^^^^ expected visible characters
error: `x402.facilitator.headers.x-key`: expected a string, found an integer
  --> siwx-gateway.toml:12:60
   |
12 | headers = { Host = "*******", X-Key = "*********", x-key = * }
   |                                                            ^
error: facilitator "main" stands twice
  --> siwx-gateway.toml:13:1
   |
13 | [[x402.facilitator]]
   | ^^^^^^^^^^^^^^^^^^^^ names are metric labels
"#,
    ),
    (
        "prices",
        r#"price = "$5.00""#,
        r#"price = "5"
[[plan]]
name = "fine"
price = "$0.0000001"
[[plan]]
name = "free"
price = "$0"
"#,
        r#"error: `5` is no price
  --> siwx-gateway.toml:15:9
   |
15 | price = "5"
   |         ^^^ expected something like `$0.01`
error: the price of plan "fine" cannot be paid on `eip155:84532`
  --> siwx-gateway.toml:18:9
   |
18 | price = "$0.0000001"
   |         ^^^^^^^^^^^^ expected at most 6 digits after the point, as the token has, found 7
error: `$0` is no price
  --> siwx-gateway.toml:21:9
   |
21 | price = "$0"
   |         ^^^^ expected a price above zero
"#,
    ),
    (
        "a route without its price",
        r#"price = "$0.01""#,
        r#"access_scope = "path""#,
        r#"error: route "weather" is to be paid for and has no price
  --> siwx-gateway.toml:29:8
   |
29 | auth = "payment"
   |        ^^^^^^^^^ expected a key such as `price = "$0.01"`
"#,
    ),
    (
        "keys of a sale that is none",
        r#"auth = "subscription"
"#,
        r#"auth = "subscription"
price = "$1"
access_for = "1h"
[[route]]
name = "w"
path = "/w"
upstream = "api"
access_scope = "path"
settle = "before"
description = "x"
plans = ["nano"]
"#,
        r#"error: `price` of route "all" has no use with `auth = "subscription"`
  --> siwx-gateway.toml:25:9
   |
25 | price = "$1"
   |         ^^^^ it counts with `auth = "payment"`
error: `access_for` of route "all" has no use with `auth = "subscription"`
  --> siwx-gateway.toml:26:14
   |
26 | access_for = "1h"
   |              ^^^^ it counts with `auth = "payment"`
error: `access_scope` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:31:16
   |
31 | access_scope = "path"
   |                ^^^^^^ it counts with `auth = "payment"`
error: `settle` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:32:10
   |
32 | settle = "before"
   |          ^^^^^^^^ it counts with `auth = "payment"` or `"subscription"`
error: `description` of route "w" has no use with `auth = "wallet"`
  --> siwx-gateway.toml:33:15
   |
33 | description = "x"
   |               ^^^ it counts with `auth = "payment"` or `"subscription"`
error: route "w" names plans, but `auth = "wallet"` asks for none
  --> siwx-gateway.toml:34:9
   |
34 | plans = ["nano"]
   |         ^^^^^^^^ they count with `auth = "subscription"` or `"payment"`
"#,
    ),
    (
        "a payment that lapses",
        r#"network = "solana:devnet"
"#,
        r#"network = "solana:devnet"
timeout = "44s"
"#,
        r#"error: a payment on `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1` may lapse before upstream "api" of route "all" answers
  --> siwx-gateway.toml:12:11
   |
12 | timeout = "44s"
   |           ^^^^^ expected at least `45s`: its response_timeout of 30s, and 15s to settle
"#,
    ),
    (
        "a route in the shop",
        r#"path = "/premium/weather""#,
        r#"path = "/X402/pricing""#,
        r#"error: route "weather" lies under `/x402`, where plans are sold
  --> siwx-gateway.toml:27:8
   |
27 | path = "/X402/pricing"
   |        ^^^^^^^^^^^^^^^ expected it elsewhere, or another `x402.shop`
"#,
    ),
    (
        "chains to sign in on",
        r#"[x402]
"#,
        r#"[chains.eip155]
allow = ["eip155:1"]
[x402]
sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
"#,
        r#"error: nobody can sign in on `eip155:84532`
 --> siwx-gateway.toml:7:19
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                   ^^^^^^^^^^^^^^ `chains.eip155.allow` does not let it in
error: nobody can sign in on `bip122:000000000019d6689c085ae165831e93`
 --> siwx-gateway.toml:7:35
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a CAIP-2 id of: eip155, solana
error: nobody can sign in on `solana`
 --> siwx-gateway.toml:7:78
  |
7 | sign_in_chains = ["eip155:84532", "bip122:000000000019d6689c085ae165831e93", "solana", "eip155:1"]
  |                                                                              ^^^^^^^^ expected a CAIP-2 id of: eip155, solana
"#,
    ),
    (
        "no chain to sign in on",
        r#"[x402]
"#,
        r#"[chains]
eip155.allow = []
solana.allow = ["solana:mainnet"]
[x402]
"#,
        r#"error: [x402] names no chain to sign in on
 --> siwx-gateway.toml:7:2
  |
7 | [x402]
  |  ^^^^ expected `sign_in_chains`, or [[x402.accept]] on a network that [chains] lets in
"#,
    ),
    (
        "carriers",
        r#"auth = "payment"
"#,
        r#"auth = "payment"
price = "$1"
carriers = ["sign-in-with-x"]
[[route]]
name = "b"
path = "/b"
upstream = "api"
carriers = ["cookie", "session"]
[[route]]
name = "c"
path = "/c"
upstream = "api"
auth = "payment"
"#,
        r#"error: unknown carrier `cookie`
  --> siwx-gateway.toml:36:13
   |
36 | carriers = ["cookie", "session"]
   |             ^^^^^^^^ expected `authorization`, `sign-in-with-x` or `session`
error: carrier `session` needs [session]
  --> siwx-gateway.toml:36:23
   |
36 | carriers = ["cookie", "session"]
   |                       ^^^^^^^^^
"#,
    ),
];

const WARNINGS: &[Row] = &[
    (
        "test money",
        r#"network = "eip155:84532""#,
        r#"network = "eip155:8453""#,
        r#"warning: `eip155:8453` and `solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1` are a main and a test network
  --> siwx-gateway.toml:11:11
   |
11 | network = "solana:devnet"
   |           ^^^^^^^^^^^^^^^ test money would open what real money buys
"#,
    ),
    (
        "a chain that is paid on first",
        r#"[x402]
"#,
        r#"[x402]
sign_in_chains = ["eip155:1"]
"#,
        r#"warning: nobody can sign in on `eip155:84532`, the first network to be paid on
 --> siwx-gateway.toml:5:18
  |
5 | sign_in_chains = ["eip155:1"]
  |                  ^^^^^^^^^^^^ many clients sign in on that one or not at all, and pay again
"#,
    ),
    (
        "a secret that can be guessed",
        r#"[x402]
"#,
        r#"[x402]
nonce_secret = "hunter2"
"#,
        r#"warning: `x402.nonce_secret` has 7 characters
 --> siwx-gateway.toml:5:16
  |
5 | nonce_secret = "*******"
  |                ^^^^^^^^^ whoever has seen a nonce can guess at it; expected at least 32
"#,
    ),
];
