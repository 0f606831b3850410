//! `[session]`: how browsers sign in, and how long that lasts.

use super::{Routed, gate, x402};
use crate::{
    config::{
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    gate::settings::{CacheSettings, CookieSettings, SameSite, SessionSettings, TokenForm},
    secret::Secret,
    session::set::{Life, Revalidation},
    siwx::origin::Origin,
};

/// The name of the cookie that is the default where everything else is.
const HOST_NAME: &str = "__Host-siwx";

/// What browsers keep of a name, with room for its value (RFC 6265 section 6.1).
const NAME_BYTES_MAX: usize = 64;

/// Reads everything. `nonce_secret` is that of `[x402]`: nonces of both are of one secret.
pub(super) fn settings(
    section: &Section,
    root: &Section,
    public_url: &Origin,
    routed: &Routed,
    nonce_secret: Option<Secret<Vec<u8>>>,
    report: &mut Report,
) -> SessionSettings {
    let life = life(section, report);
    let cache = root.section("cache").section("sessions");
    let prefix = section.text("prefix");
    let own = x402::own_path(prefix, "session.prefix", "/.siwx", "where browsers sign in", routed, report);
    if prefix.value.is_empty() || prefix.value == "/" {
        report.error(&prefix.place, "`session.prefix` is empty", "expected a path such as `/.siwx`");
    }
    let reown = section.text("reown_prefix");
    let reown_prefix =
        x402::own_path(reown, "session.reown_prefix", "/auth/v1", "where dapps of Reown sign in", routed, report);
    if reown_prefix.is_some() && reown_prefix == own {
        report.error(&reown.place, "`session.reown_prefix` is `session.prefix`", "expected another path");
    }
    SessionSettings {
        prefix: own.unwrap_or_default(),
        issuer: public_url.as_str().to_owned(),
        domain: public_url.authority().to_owned(),
        life,
        token: if section.text("token").value == "jwt" { TokenForm::Jwt } else { TokenForm::Opaque },
        cookie: cookie(section.section("cookie"), (public_url, root.place("public_url")), report),
        csrf: section.flag("csrf"),
        labels: gate::labels(section, "session.labels", root.section("chains"), report),
        message_age_max: section.duration("message_age_max"),
        revalidation: section
            .duration_if_any("revalidate_after")
            .map(|after| Revalidation { after, grace: section.duration("revalidate_grace") }),
        login_page: section.flag("login_page"),
        reown_prefix,
        nonce_secret,
        cache: CacheSettings { entries: cache.whole("entries"), ttl: cache.duration("ttl") },
    }
}

fn life(section: &Section, report: &mut Report) -> Life {
    let life = Life {
        ttl: section.duration("ttl"),
        idle: section.duration_if_any("idle"),
        absolute: section.duration("absolute"),
    };
    if life.ttl > life.absolute {
        let title = "`session.ttl` is longer than `session.absolute`";
        report.error(section.place("ttl"), title, "no session lives longer than that");
    }
    if life.idle.is_some_and(|idle| idle > life.ttl) {
        let title = "`session.idle` is longer than `session.ttl`";
        report.error(section.place("idle"), title, "it would end nothing");
    }
    life
}

/// `public_url` with the place where it was set.
fn cookie(section: &Section, (public_url, place): (&Origin, &Place), report: &mut Report) -> CookieSettings {
    let secure = public_url.scheme() == "https";
    if !secure && !is_loopback(public_url.host()) {
        let title = "sessions need an `https` public_url";
        report.error(place, title, "without TLS everybody on the way can take them over");
    }
    let same_site = match section.text("same_site").value.as_str() {
        "none" => SameSite::None,
        "strict" => SameSite::Strict,
        _ => SameSite::Lax,
    };
    if same_site == SameSite::None && !secure {
        let title = "a cookie of other sites needs an `https` public_url";
        report.error(section.place("same_site"), title, "browsers drop it otherwise");
    }
    let domain = domain(section.text("domain"), public_url, report);
    let name = name(section.text("name"), secure, domain.is_some(), report);
    CookieSettings { name, same_site, domain, secure }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The domain of a cookie: the public host's, or one above it.
fn domain(text: &Text, public_url: &Origin, report: &mut Report) -> Option<String> {
    if text.value.is_empty() {
        return None;
    }
    let (domain, host) = (text.value.to_ascii_lowercase(), public_url.host());
    let above = host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_name = domain.contains('.') && domain.parse::<std::net::IpAddr>().is_err();
    if !above || !is_name || domain.starts_with('.') {
        let title = format!("`{}` is no domain of a cookie of `{host}`", text.shown);
        report.error(&text.place, title, "expected the host of `public_url` or a domain above it");
    }
    Some(domain)
}

/// The name of a cookie. Its beginning makes promises, which browsers hold it to (RFC 6265bis section 4.1.3).
fn name(text: &Text, secure: bool, has_domain: bool, report: &mut Report) -> String {
    let name = &text.value;
    if name == HOST_NAME && (!secure || has_domain) {
        return if secure { "__Secure-siwx" } else { "siwx" }.to_owned();
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_token) {
        let title = format!("`{}` is no name of a cookie", text.shown);
        report.error(&text.place, title, "expected 1 to 64 letters, digits, `_`, `-` and `.`");
    }
    let lower = name.to_ascii_lowercase();
    let host_only = lower.starts_with("__host-");
    if (host_only && has_domain) || ((host_only || lower.starts_with("__secure-")) && !secure) {
        let title = format!("browsers drop a cookie called `{}` here", text.shown);
        report.error(&text.place, title, "`__Host-` has no domain, and both it and `__Secure-` are for https");
    }
    name.clone()
}
