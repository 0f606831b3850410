//! `[upstreams.*]`: the services behind the gateway.

use std::{net::Ipv6Addr, path::PathBuf};

use http::uri::{Authority, Uri};

use super::is_name;
use crate::{
    config::{
        report::{Place, Report},
        section::Section,
        tree::Text,
    },
    edge::settings::{HostSent, UpstreamSettings, UpstreamUrl},
};

/// More would make labels without end, and pools: one of each upstream on each worker.
const UPSTREAMS_MAX: usize = 8;

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
    let url = url(section, report);
    let host = host(section.text("host"), report);
    let tls = section.section("tls");
    let (ca, server_name) = (tls.text("ca"), tls.text("server_name"));
    if let Some(url) = url.as_ref().filter(|url| !url.tls) {
        for (key, text) in [("ca", ca), ("server_name", server_name)] {
            if !text.value.is_empty() {
                let title = format!("`tls.{key}` of upstream \"{}\" has no use", name.shown);
                report.error(&text.place, title, format!("`http://{}:{}` speaks no TLS", url.host, url.port));
            }
        }
    }
    let settings = UpstreamSettings {
        name: name.value.clone(),
        url: url.filter(|_| named)?,
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

fn url(section: &Section, report: &mut Report) -> Option<UpstreamUrl> {
    let urls = section.texts("urls");
    let [url] = urls else {
        if let Some(field) = section.field("urls") {
            let title = match urls.len() {
                0 => "`urls` names no upstream",
                _ => "more than one upstream URL is not built yet",
            };
            report.error(&field.place, title, "expected exactly one");
        }
        return None;
    };
    if url.value.starts_with("h2c://") {
        report.error(&url.place, "`h2c:` upstreams are not built yet", "expected `http://` or `https://`");
        return None;
    }
    let read = read_url(&url.value);
    if read.is_none() {
        let title = format!("`{}` is no upstream URL", url.shown);
        report.error(&url.place, title, "expected `http://` or `https://`, a host and a port alone");
    }
    read
}

/// Scheme, host and port; one slash after them changes nothing. Names are those of a private network, which may
/// hold `_` as names of containers do, so the grammar is wider than that of web origins.
fn read_url(text: &str) -> Option<UpstreamUrl> {
    let uri: Uri = text.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority()?;
    if !is_authority(authority) || uri.path().len() > 1 || uri.query().is_some() || text.contains('#') {
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Some(UpstreamUrl { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
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
