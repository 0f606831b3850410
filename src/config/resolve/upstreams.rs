//! `[upstreams.*]`: the services behind the gateway.

use std::{net::Ipv6Addr, path::PathBuf};

use http::uri::{Authority, Uri};

use super::{Routed, is_name, routes::is_path};
use crate::{
    config::{
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    edge::settings::{Balance, CheckSettings, HealthSettings, HostSent, UpstreamScheme, UpstreamSettings, UpstreamUrl},
};

/// More would make labels without end, and pools: one of each upstream on each worker.
const UPSTREAMS_MAX: usize = 8;

/// More would make labels without end.
const ENDPOINTS_MAX: usize = 32;

/// Reads all of them, and where the file of each one's authorities is named. One whose URL is wrong is left out.
pub(super) fn upstreams(root: &Section, report: &mut Report) -> (Vec<UpstreamSettings>, Vec<Place>) {
    let named = root.named("upstreams");
    if let Some(place) = root.field("upstreams").map(|field| &field.place).filter(|_| named.is_empty()) {
        report.error(place, "no upstream is configured", "expected a table such as `[upstreams.api]`");
    }
    if let Some((name, _)) = named.get(UPSTREAMS_MAX) {
        report.error(&name.place, format!("more than {UPSTREAMS_MAX} upstreams"), "");
    }
    let read = named.iter().filter_map(|(name, section)| upstream(name, section, report));
    read.unzip()
}

fn upstream(name: &Text, section: &Section, report: &mut Report) -> Option<(UpstreamSettings, Place)> {
    let named = is_name("an upstream", name, report);
    let urls = urls(section, report);
    let host = host(section.text("host"), report);
    let tls = section.section("tls");
    let (ca, server_name) = (tls.text("ca"), tls.text("server_name"));
    let plain = |url: &&UpstreamUrl| url.scheme != UpstreamScheme::Https;
    let scheme = urls.as_ref().and_then(|urls| urls.first()).map(|url| url.scheme);
    if let Some(url) = urls.as_ref().and_then(|urls| urls.first()).filter(plain) {
        for (key, text) in [("ca", ca), ("server_name", server_name)] {
            if !text.value.is_empty() {
                let title = format!("`tls.{key}` of upstream \"{}\" has no use", name.shown);
                report.error(
                    &text.place,
                    title,
                    format!("`{}://{}:{}` speaks no TLS", url.scheme.as_str(), url.host, url.port),
                );
            }
        }
    }
    let insecure_skip_verify = tls.flag("insecure_skip_verify");
    if insecure_skip_verify && scheme.is_some_and(|scheme| scheme != UpstreamScheme::Https) {
        let title = format!("`tls.insecure_skip_verify` of upstream \"{}\" has no use", name.shown);
        report.error(tls.place("insecure_skip_verify"), title, "it is not `https://`");
    }
    if insecure_skip_verify && !ca.value.is_empty() {
        let title = format!("`tls.ca` of upstream \"{}\" has no use", name.shown);
        report.error(&ca.place, title, "with `insecure_skip_verify` nobody is asked who vouches");
    }
    if section.flag("http2") && scheme == Some(UpstreamScheme::Http) {
        let title = format!("`http2` of upstream \"{}\" needs TLS", name.shown);
        report.error(section.place("http2"), title, "expected `https://` URLs, or `h2c://` for HTTP/2 in the clear");
    }
    let settings = UpstreamSettings {
        http2: section.flag("http2") || scheme == Some(UpstreamScheme::H2c),
        insecure_skip_verify,
        name: name.value.clone(),
        urls: urls.filter(|_| named)?,
        balance: match section.text("balance").value.as_str() {
            "round-robin" => Balance::RoundRobin,
            _ => Balance::LeastRequests,
        },
        health: health(section.section("health"), report),
        host: host?,
        connect_timeout: section.duration("connect_timeout"),
        response_timeout: section.duration("response_timeout"),
        idle_timeout: section.duration("idle_timeout"),
        pool_idle: section.duration("pool_idle"),
        in_flight: section.count("in_flight"),
        retries: section.small("retries"),
        ca: (!ca.value.is_empty()).then(|| PathBuf::from(&ca.value)),
        server_name: (!server_name.value.is_empty()).then(|| server_name.value.to_ascii_lowercase()),
    };
    let ca_place = if ca.place == Place::Nowhere { &name.place } else { &ca.place };
    Some((settings, ca_place.clone()))
}

/// Warns of routes that take WebSockets to an upstream that cannot carry them.
pub(super) fn check_websockets(upstreams: &[UpstreamSettings], routed: &Routed, report: &mut Report) {
    // If one was wrong, which route goes to which is not known.
    if report.has_errors() {
        return;
    }
    for (rule, place) in routed.rules.iter().zip(&routed.places).filter(|(rule, _)| rule.websocket) {
        let upstream = upstreams.get(rule.upstream);
        if let Some(upstream) = upstream.filter(|upstream| !upstream.carries_tunnels()) {
            let title =
                format!("route \"{}\" takes WebSockets, and upstream \"{}\" carries none", rule.name, upstream.name);
            let hint = "`h2c://` is HTTP/2 alone, they need HTTP/1.1: use `http://`, or `https://` for both";
            report.warn(place, title, hint);
        }
    }
}

/// All URLs: of one scheme, since one configuration of TLS is for them all.
fn urls(section: &Section, report: &mut Report) -> Option<Vec<UpstreamUrl>> {
    let texts = section.texts("urls");
    if let Some(field) = section.field("urls").filter(|_| texts.is_empty()) {
        report.error(&field.place, "`urls` names no upstream", "expected at least one URL");
    }
    if let Some(text) = texts.get(ENDPOINTS_MAX) {
        report.error(&text.place, format!("more than {ENDPOINTS_MAX} URLs of one upstream"), "");
    }
    let mut urls: Vec<UpstreamUrl> = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(url) = url(text, report) else {
            continue;
        };
        if urls.contains(&url) {
            report.error(&text.place, format!("`{}` stands twice", text.shown), "");
        }
        if let Some(first) = urls.first().filter(|first| first.scheme != url.scheme) {
            let title = format!("`{}` has another scheme than the first URL", text.shown);
            report.error(&text.place, title, format!("expected `{}://`, as with it", first.scheme.as_str()));
        }
        urls.push(url);
    }
    (!urls.is_empty() && urls.len() == texts.len()).then_some(urls)
}

fn url(text: &Text, report: &mut Report) -> Option<UpstreamUrl> {
    let read = read_url(&text.value);
    if read.is_none() {
        let title = format!("`{}` is no upstream URL", text.shown);
        report.error(&text.place, title, "expected `http://`, `https://` or `h2c://`, a host and a port alone");
    }
    read
}

fn health(section: &Section, report: &mut Report) -> HealthSettings {
    let path = section.text("path");
    is_path(path, "path of a check", report);
    HealthSettings {
        passive_failures: section.small("passive_failures"),
        eject: section.duration("eject"),
        check: (!path.value.is_empty()).then(|| CheckSettings {
            path: path.value.clone(),
            interval: section.duration("interval"),
            timeout: section.duration("timeout"),
        }),
    }
}

/// Scheme, host and port; one slash after them changes nothing. Names are those of a private network, which may
/// hold `_` as names of containers do, so the grammar is wider than that of web origins.
fn read_url(text: &str) -> Option<UpstreamUrl> {
    let uri: Uri = text.parse().ok()?;
    let scheme = match uri.scheme_str()? {
        "h2c" => UpstreamScheme::H2c,
        "http" => UpstreamScheme::Http,
        "https" => UpstreamScheme::Https,
        _ => return None,
    };
    let authority = uri.authority()?;
    if !is_authority(authority) || uri.path().len() > 1 || uri.query().is_some() || text.contains('#') {
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Some(UpstreamUrl { scheme, host, port: authority.port_u16().unwrap_or_else(|| scheme.default_port()) })
}

/// Whether an authority is a host and perhaps a port, nothing that could be read otherwise elsewhere.
fn is_authority(authority: &Authority) -> bool {
    let host = authority.host();
    let good_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    // Without a port, nothing may stand after the host: `port_u16` answers `None` for `:` and `:99999` alike.
    let good_port = authority.port_u16().is_some_and(|port| port != 0) || authority.as_str().len() == host.len();
    good_host && good_port && !authority.as_str().contains('@')
}

fn host(text: &Text, report: &mut Report) -> Option<HostSent> {
    match text.value.as_str() {
        "preserve" => Some(HostSent::Preserve),
        "upstream" => Some(HostSent::Upstream),
        literal => match literal.parse::<Authority>() {
            Ok(authority) if is_authority(&authority) => Some(HostSent::Literal(literal.to_ascii_lowercase())),
            _ => {
                let title = format!("`{}` is no host", text.shown);
                report.error(&text.place, title, "expected `preserve`, `upstream` or a host name");
                None
            }
        },
    }
}
