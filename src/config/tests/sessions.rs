//! Sessions of browsers: what `[session]` means, and what does not fit together in it.

use std::time::Duration;

use super::*;
use crate::{
    gate::settings::{CacheSettings, CookieSettings, SameSite, SessionSettings, TokenForm},
    session::set::{Life, Revalidation},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The smallest file behind `https`, with these lines in `[session]`.
fn session(lines: &str) -> String {
    let text = changed("http://127.0.0.1:8080", "https://api.example.com");
    text.replacen("[upstreams.api]", &format!("[session]\n{lines}\n[upstreams.api]"), 1)
}

fn settings(text: &str) -> SessionSettings {
    config(text).gate.sessions.expect("sessions")
}

/// The titles of what is said of a file.
fn titles(text: &str) -> Vec<String> {
    let said = report(text, &[]);
    said.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}

#[test]
fn there_are_no_sessions_without_the_table() {
    let config = config(SMALLEST);
    assert!(config.gate.sessions.is_none() && !config.routes[0].sessions && config.routes[0].tokens);
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = config(&session(""));
    assert!(config.routes[0].sessions && config.routes[0].tokens);
    let found = config.gate.sessions.expect("sessions");
    assert_eq!((found.prefix.as_str(), found.reown_prefix.as_deref(), found.login_page), ("/.siwx", None, true));
    assert_eq!((found.issuer.as_str(), found.domain.as_str()), ("https://api.example.com", "api.example.com"));
    assert_eq!(found.life, Life { ttl: 24 * HOUR, idle: None, absolute: 7 * 24 * HOUR });
    assert_eq!((found.token, found.csrf, found.message_age_max), (TokenForm::Opaque, true, 10 * MINUTE));
    assert_eq!(found.revalidation, Some(Revalidation { after: 15 * MINUTE, grace: 15 * MINUTE }));
    assert_eq!((found.labels, found.nonce_secret.is_some()), (Vec::new(), false));
    assert_eq!(found.cache, CacheSettings { entries: 100_000, ttl: Duration::from_secs(30) });
    let name = "__Host-siwx".to_owned();
    assert_eq!(found.cookie, CookieSettings { name, same_site: SameSite::Lax, domain: None, secure: true });
}

#[test]
fn every_key_of_sessions_has_its_meaning() {
    let text = session(
        r#"prefix = "/auth/"
ttl = "2h"
idle = "30m"
absolute = "12h"
token = "jwt"
cookie = { name = "__Secure-mine", same_site = "none", domain = "Example.com" }
csrf = false
labels = { eip155 = ["*"] }
message_age_max = "90s"
revalidate_after = "1m"
revalidate_grace = "0s"
login_page = false
reown_prefix = "/auth-v1"
[cache.sessions]
entries = 9
ttl = "5s""#,
    );
    let found = settings(&text);
    assert_eq!((found.prefix.as_str(), found.reown_prefix.as_deref()), ("/auth", Some("/auth-v1")));
    assert_eq!(found.life, Life { ttl: 2 * HOUR, idle: Some(30 * MINUTE), absolute: 12 * HOUR });
    assert_eq!((found.token, found.csrf, found.login_page), (TokenForm::Jwt, false, false));
    assert_eq!(found.message_age_max, Duration::from_secs(90));
    assert_eq!(found.labels, [("eip155".to_owned(), vec!["*".to_owned()])]);
    assert_eq!(found.revalidation, Some(Revalidation { after: MINUTE, grace: Duration::ZERO }));
    assert_eq!(found.cache, CacheSettings { entries: 9, ttl: Duration::from_secs(5) });
    let (name, domain) = ("__Secure-mine".to_owned(), Some("example.com".to_owned()));
    assert_eq!(found.cookie, CookieSettings { name, same_site: SameSite::None, domain, secure: true });
    assert_eq!(settings(&session("revalidate_after = \"\"")).revalidation, None);
}

/// sessions.md section 2.3: what browsers hold the beginning of a name to.
#[test]
fn the_cookie_is_called_as_its_place_allows() {
    let http = changed("[upstreams.api]", "[session]\n[upstreams.api]");
    let rows = [
        (session(""), "__Host-siwx", true),
        (session("cookie = { domain = \"example.com\" }"), "__Secure-siwx", true),
        (http, "siwx", false),
        (session("cookie = { name = \"mine\" }"), "mine", true),
    ];
    for (text, name, secure) in rows {
        let cookie = settings(&text).cookie;
        assert_eq!((cookie.name.as_str(), cookie.secure), (name, secure));
    }
}

#[test]
fn nonces_of_both_are_of_one_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let x402 = format!("[x402]\nnonce_secret = \"{secret}\"\nsign_in_chains = [\"eip155:8453\"]\n");
    let text = session("").replacen("[upstreams.api]", &format!("{x402}[upstreams.api]"), 1);
    let found = settings(&text).nonce_secret.expect("the secret of [x402]");
    assert_eq!(found.expose(), secret.as_bytes());
}

#[test]
fn what_does_not_fit_together_is_told() {
    let at = |url: &str| {
        let text = changed("http://127.0.0.1:8080", url);
        text.replacen("[upstreams.api]", "[session]\n[upstreams.api]", 1)
    };
    let beneath = session("").replacen("prefix = \"/\"", "prefix = \"/.SIWX/x\"", 1);
    let without = changed("auth = \"subscription\"", "carriers = [\"session\"]");
    let of_auth_alone = changed("[upstreams.api]", "[auth]\ncarriers = [\"session\"]\n[upstreams.api]");
    let alone = session("").replacen("auth = \"subscription\"", "carriers = [\"session\"]", 1);
    let rows: Vec<(String, &[&str])> = vec![
        (at("http://api.example.com"), &["sessions need an `https` public_url"]),
        (at("http://localhost:8080"), &[]),
        (at("http://[::1]:8080"), &[]),
        (session("ttl = \"8d\""), &["`session.ttl` is longer than `session.absolute`"]),
        (session("idle = \"25h\""), &["`session.idle` is longer than `session.ttl`"]),
        (session("prefix = \"\""), &["`session.prefix` is empty"]),
        (session("reown_prefix = \"/.siwx\""), &["`session.reown_prefix` is `session.prefix`"]),
        (session("labels = { dogecoin = [\"Doge\"] }"), &["`session.labels` has no chain family `dogecoin`"]),
        (session("cookie = { name = \"a b\" }"), &["`a b` is no name of a cookie"]),
        (
            session("cookie = { name = \"__Host-x\", domain = \"example.com\" }"),
            &["browsers drop a cookie called `__Host-x` here"],
        ),
        (
            session("cookie = { domain = \"ample.com\" }"),
            &["`ample.com` is no domain of a cookie of `api.example.com`"],
        ),
        (session("cookie = { domain = \"com\" }"), &["`com` is no domain of a cookie of `api.example.com`"]),
        (beneath, &["route \"all\" lies under `/.siwx`, where browsers sign in"]),
        (without, &["carrier `session` needs [session]"]),
        (of_auth_alone, &["route \"all\" lets wallets in, and takes no credential of one"]),
        (alone, &[]),
    ];
    for (text, expected) in rows {
        assert_eq!(titles(&text), expected, "{text}");
    }
}
