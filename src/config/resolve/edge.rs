//! `[server]`, `[admin]`, `[tls]`, `[limits]` and `[log.access]`: sockets and what holds for every request.

use std::net::SocketAddr;

use super::{Routed, listed};
use crate::{
    config::{
        amounts::Size,
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    edge::{
        assertion::JWKS_PATH,
        proxy_protocol::Versions,
        settings::{
            AccessLog, AccountShown, AdminSettings, AssertionSettings, CertificateFiles, IdentityPreset, Limits,
            Proxies, QueryShown, Settings, TlsSettings,
        },
    },
    policy::{
        rule::{Pattern, Rule},
        source::{Field, Networks},
    },
    secret::Secret,
    session::keys::{Algorithm, KeyError, PemFault, SigningKey},
    siwx::claims::Origin,
};

/// A token of this length out of hexadecimal digits has 128 bits, which nobody guesses over a network.
const ADMIN_TOKEN_CHARS_MIN: usize = 32;

/// What `settings` does not read itself.
pub(super) struct Parts<'a> {
    pub(super) public_url: &'a Origin,
    pub(super) hosts: Vec<Served>,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) tls: Option<TlsSettings>,
    pub(super) admin: Option<AdminSettings>,
    pub(super) proxies: Proxies,
    pub(super) identity_prefix: String,
    pub(super) assertion: Option<AssertionSettings>,
    pub(super) schemes: &'a [String],
    pub(super) json: bool,
}

/// A host that is served.
pub(super) struct Served {
    /// Its name in lower case, without port.
    pub(super) host: String,
    /// The origin that messages for it name; nothing for a host that only a route names.
    pub(super) origin: Option<Origin>,
    place: Place,
}

/// Puts everything together.
pub(super) fn settings(root: &Section, parts: Parts<'_>) -> Settings {
    let (server, auth) = (root.section("server"), root.section("auth"));
    let mut hosts: Vec<String> = Vec::with_capacity(parts.hosts.len());
    for served in parts.hosts {
        // One name may be served on several ports, and is one host then.
        if !hosts.contains(&served.host) {
            hosts.push(served.host);
        }
    }
    Settings {
        listen: parts.listen,
        hosts,
        realm: parts.public_url.authority().to_owned(),
        http2: server.flag("http2"),
        keep_odd_header_names: server.text("headers_with_underscore").value == "keep",
        proxies: parts.proxies,
        via: server.flag("via"),
        workers: server.count("workers"),
        drain_delay: server.duration("drain_delay"),
        drain_timeout: server.duration("drain_timeout"),
        tls: parts.tls,
        limits: limits(root.section("limits")),
        identity_prefix: parts.identity_prefix,
        identity_preset: match auth.text("identity_preset").value.as_str() {
            "authelia" => Some(IdentityPreset::Authelia),
            "oauth2-proxy" => Some(IdentityPreset::Oauth2Proxy),
            _ => None,
        },
        assertion: parts.assertion,
        forward_credential: auth.flag("forward_credential"),
        schemes: parts.schemes.to_vec(),
        admin: parts.admin,
        access_log: access_log(root.section("log").section("access"), parts.json),
    }
}

/// The hosts that are served: of `public_url`, of `server.hosts` and of routes (hardening.md section 3).
pub(super) fn served(root: &Section, public_url: Option<&Origin>, routes: &[Rule], report: &mut Report) -> Vec<Served> {
    let mut served: Vec<Served> = Vec::new();
    if let Some(origin) = public_url {
        let place = root.place("public_url").clone();
        served.push(Served { host: origin.host().to_owned(), origin: Some(origin.clone()), place });
    }
    let scheme = public_url.map_or("https", Origin::scheme);
    for text in root.section("server").texts("hosts") {
        match Origin::parse(&format!("{scheme}://{}", text.value)) {
            Ok(origin) => {
                let host = origin.host().to_owned();
                served.push(Served { host, origin: Some(origin), place: text.place.clone() });
            }
            Err(_) => {
                let title = format!("`{}` is no host", text.shown);
                report.error(&text.place, title, "expected `name` or `name:port`");
            }
        }
    }
    for rule in routes {
        if let Some(host) = rule.host.as_ref().filter(|host| served.iter().all(|known| known.host != **host)) {
            let is_rule = |section: &&Section| section.given("name").is_some_and(|name| name.value == rule.name);
            let place = root.sections("route").iter().find(is_rule).map(|section| section.place("host").clone());
            served.push(Served { host: host.clone(), origin: None, place: place.unwrap_or_default() });
        }
    }
    served
}

/// The proxies whose word is taken.
pub(super) fn proxies(server: &Section, report: &mut Report) -> Proxies {
    let mut trusted = Vec::new();
    for text in server.texts("trusted_proxies") {
        match Networks::parse([text.value.as_str()]) {
            Ok(_) => trusted.push(text.value.as_str()),
            Err((_, error)) => {
                report.error(&text.place, format!("`{}` cannot be trusted", text.shown), error.to_string());
            }
        }
    }
    let protocol = server.text("proxy_protocol");
    if protocol.value != "off" && server.texts("trusted_proxies").is_empty() {
        let title = format!("`server.proxy_protocol` is \"{}\", and nobody is trusted to speak it", protocol.shown);
        report.error(&protocol.place, title, "expected the addresses of the balancers in `server.trusted_proxies`");
    }
    Proxies {
        // Each was read above.
        trusted: Networks::parse(trusted).unwrap_or_default(),
        field: match server.text("forwarded_source").value.as_str() {
            "forwarded" => Field::Forwarded,
            _ => Field::XForwardedFor,
        },
        protocol: match protocol.value.as_str() {
            "any" => Some(Versions::Any),
            "v1" => Some(Versions::V1),
            "v2" => Some(Versions::V2),
            _ => None,
        },
    }
}

/// The addresses to listen on and where each stands.
pub(super) fn listeners(server: &Section, tls: bool, report: &mut Report) -> (Vec<SocketAddr>, Vec<Place>) {
    let texts = server.texts("listen");
    if let Some(field) = server.field("listen").filter(|_| texts.is_empty()) {
        report.error(&field.place, "`server.listen` is empty", "expected an address such as `0.0.0.0:8443`");
    }
    let mut listen: Vec<SocketAddr> = Vec::new();
    let mut places = Vec::new();
    for text in texts {
        let Some(address) = address(text, report) else {
            continue;
        };
        if let Some(earlier) = listen.iter().find(|earlier| collide(earlier, &address)) {
            report.error(&text.place, format!("`{address}` is taken by `{earlier}` of the same list"), "");
        }
        if !tls && !address.ip().to_canonical().is_loopback() {
            let hint = "wallets' tokens can be read on the way, unless TLS ends in front; add [tls]";
            report.warn(&text.place, format!("`{address}` speaks plain HTTP and is not on loopback"), hint);
        }
        listen.push(address);
        places.push(text.place.clone());
    }
    (listen, places)
}

/// The admin listener, if there is one.
pub(super) fn admin(root: &Section, listen: &[SocketAddr], report: &mut Report) -> Option<AdminSettings> {
    let section = root.section("admin");
    let (text, token) = (section.text("listen"), section.text("token"));
    let chars = token.value.chars().count();
    if chars != 0 && chars < ADMIN_TOKEN_CHARS_MIN {
        let title = format!("`admin.token` has {chars} characters");
        report.error(&token.place, title, format!("expected at least {ADMIN_TOKEN_CHARS_MIN}"));
    }
    if text.value.is_empty() {
        return None;
    }
    let address = address(text, report)?;
    if let Some(other) = listen.iter().find(|other| collide(other, &address)) {
        report.error(&text.place, format!("`admin.listen` `{address}` is taken by `{other}` of `server.listen`"), "");
    }
    if !address.ip().to_canonical().is_loopback() {
        if chars != 0 && root.section_if_given("tls").is_none() {
            let title = format!("`admin.listen` `{address}` would take the admin token over plain HTTP");
            report.error(&text.place, title, "expected a loopback address, [tls], or no token");
        } else {
            let title = format!("`admin.listen` `{address}` is not on loopback");
            report.warn(&text.place, title, "metrics and health are there for everybody who reaches it");
        }
    }
    let token = (chars != 0).then(|| Secret::new(token.value.clone()));
    Some(AdminSettings { listen: address, token })
}

/// What upstreams are told under our signature. A key is looked at whether it is used or not.
pub(super) fn assertion(auth: &Section, report: &mut Report) -> Option<AssertionSettings> {
    let section = auth.section("assertion");
    let algorithm = Algorithm::named(&section.text("algorithm").value)?;
    let text = section.text("key");
    let key = match &*text.value {
        "" => None,
        pem => match SigningKey::from_pem(&Secret::new(pem.to_owned()), algorithm) {
            Ok(key) => Some(key),
            Err(error) => {
                let title = "`auth.assertion.key` is no key of its algorithm";
                report.error(&text.place, title, key_hint(error, algorithm));
                return None;
            }
        },
    };
    let ttl_secs = u32::try_from(section.duration("ttl").as_secs()).unwrap_or(u32::MAX);
    section.flag("enabled").then_some(AssertionSettings { key, algorithm, ttl_secs })
}

/// Whether routes stand in the way of assertions. `upstreams` are names, in the order of their settings; `alone`: there is
/// no session API below whose prefix the keys could be published.
pub(super) fn check_assertions(routed: &Routed, upstreams: &[&str], alone: bool, report: &mut Report) {
    for (rule, place) in routed.rules.iter().zip(&routed.places) {
        let (Pattern::Exact(path) | Pattern::Prefix(path)) = &rule.pattern;
        if alone && path.eq_ignore_ascii_case(JWKS_PATH) {
            let title = format!("route \"{}\" is at `{JWKS_PATH}`, where keys of assertions are published", rule.name);
            report.error(place, title, "expected it elsewhere");
        }
        // An upstream looks for its own name among those that an assertion is for.
        let namesake = upstreams.iter().position(|upstream| **upstream == *rule.name);
        if namesake.is_some_and(|namesake| namesake != rule.upstream) {
            let title = format!("route \"{0}\" is called as upstream `{0}`, and goes to another", rule.name);
            let hint = "assertions name both: what this upstream is told would be good for that one too";
            report.warn(place, title, hint);
        }
    }
}

/// What was found, and how to have what was expected.
fn key_hint(error: KeyError, algorithm: Algorithm) -> String {
    let KeyError::Pem { fault, .. } = error else {
        return error.to_string();
    };
    let other = Algorithm::ALL.iter().find(|other| fault == PemFault::Algorithm(other.curve()));
    let way = match (other, algorithm) {
        (Some(other), _) => format!("set `auth.assertion.algorithm` to `{}`, or use another key", other.as_str()),
        (None, Algorithm::EdDsa) => "`openssl genpkey -algorithm ed25519` makes one".to_owned(),
        (None, Algorithm::Es256) => {
            "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one".to_owned()
        }
    };
    format!("{error}; {way}")
}

fn address(text: &Text, report: &mut Report) -> Option<SocketAddr> {
    if text.value.starts_with("unix:") {
        report.error(&text.place, "listening on `unix:` is not built yet", "expected an address and a port");
        return None;
    }
    let address = text.value.parse().ok();
    if address.is_none() {
        let title = format!("`{}` is no address to listen on", text.shown);
        report.error(&text.place, title, "expected something like `127.0.0.1:8080` or `[::1]:8080`");
    }
    address
}

/// Whether two listeners want the same port of the same address. Port 0 is a free one each time.
fn collide(left: &SocketAddr, right: &SocketAddr) -> bool {
    let all = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (all || left.ip() == right.ip())
}

/// TLS, if there is any, and where the files of each certificate stand.
pub(super) fn tls(
    root: &Section,
    served: &[Served],
    report: &mut Report,
) -> (Option<TlsSettings>, Vec<(Place, Place)>) {
    let Some(section) = root.section_if_given("tls") else {
        return (None, Vec::new());
    };
    let sections = section.sections("certificate");
    if let Some(field) = section.field("certificate").filter(|_| sections.is_empty()) {
        report.error(&field.place, "`tls.certificate` is empty", "expected at least one");
    }
    let read = sections.iter().filter_map(|section| certificate(section, report));
    let (certificates, places): (Vec<CertificateFiles>, Vec<_>) = read.unzip();
    // If one was wrong, what it covers is not known.
    if !sections.is_empty() && certificates.len() == sections.len() {
        let names: Vec<&str> = certificates.iter().flat_map(|files| files.hosts.iter().map(String::as_str)).collect();
        for served in served.iter().filter(|served| !names.iter().any(|name| covers(name, &served.host))) {
            let title = format!("no certificate is for host `{}`", served.host);
            report.error(&served.place, title, format!("certificates are for: {}", listed(names.iter().copied())));
        }
    }
    let tls12 = section.text("min_version").value == "1.2";
    (Some(TlsSettings { tls12, certificates }), places)
}

fn certificate(section: &Section, report: &mut Report) -> Option<(CertificateFiles, (Place, Place))> {
    let mut hosts = Vec::new();
    for text in section.texts("hosts") {
        // A wildcard stands for the first label of a name.
        let name = text.value.strip_prefix("*.").unwrap_or(&text.value);
        match Origin::parse(&format!("https://{name}")) {
            Ok(origin) if origin.port().is_none() => hosts.push(text.value.to_ascii_lowercase()),
            _ => {
                let title = format!("`{}` is no host name", text.shown);
                report.error(&text.place, title, "expected `api.example.com` or `*.example.com`");
                return None;
            }
        }
    }
    if let Some(field) = section.field("hosts").filter(|_| section.texts("hosts").is_empty()) {
        report.error(&field.place, "a certificate is for no host", "expected at least one");
    }
    let (cert, key) = (section.given("cert")?, section.given("key")?);
    let files = CertificateFiles { hosts, cert: (&cert.value).into(), key: (&key.value).into() };
    Some((files, (cert.place.clone(), key.place.clone())))
}

/// Whether a name of a certificate is for a host (RFC 9525 section 6.3: a wildcard is one whole label).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => name == host,
    }
}

fn limits(section: &Section) -> Limits {
    let http2 = section.section("http2");
    let bytes = |key| usize::try_from(section.bytes(key)).unwrap_or(usize::MAX);
    Limits {
        connections: section.count("connections"),
        connections_per_ip: section.count("connections_per_ip"),
        handshakes: section.count("handshakes"),
        head_bytes: bytes("head_bytes"),
        headers: section.count("headers"),
        target_bytes: bytes("target_bytes"),
        body_bytes: match section.size("body_bytes") {
            Some(Size::Bytes(bytes)) => Some(bytes),
            Some(Size::Unlimited) | None => None,
        },
        header_timeout: section.duration("header_timeout"),
        body_idle_timeout: section.duration("body_idle_timeout"),
        handshake_timeout: section.duration("handshake_timeout"),
        in_flight: section.count("in_flight"),
        tunnels: section.count("tunnels"),
        tunnels_per_account: section.count("tunnels_per_account"),
        http2_streams: http2.small("streams"),
        http2_header_list: u32::try_from(http2.bytes("header_list")).unwrap_or(u32::MAX),
    }
}

fn access_log(section: &Section, json: bool) -> AccessLog {
    AccessLog {
        enabled: section.flag("enabled"),
        sample: section.number("sample"),
        json,
        query: match section.text("query").value.as_str() {
            "full" => QueryShown::Full,
            "drop" => QueryShown::Drop,
            _ => QueryShown::Keys,
        },
        account: match section.text("account").value.as_str() {
            "full" => AccountShown::Full,
            "hash" => AccountShown::Hash,
            "none" => AccountShown::None,
            _ => AccountShown::Short,
        },
    }
}
