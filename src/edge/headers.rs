//! Header fields on their way through: what stays here, what is added, what an upstream may say back.
//!
//! 1. Set ours, or remove theirs: every name that an upstream could read as identity, source address, scheme or
//!    path is removed from what the client sent, on every route, public ones too; then ours are added
//!    (hardening.md sections 1.3 and 4).
//! 2. Names are compared in *normal form*: lower case, every byte but letters and digits read as `-`, because
//!    CGI-like upstreams read `X_SIWX_Address` as `X-SIWX-Address`.
//! 3. `Connection` and the fields it names end here (RFC 9110 §7.6.1). Naming a field of the framing, the Host,
//!    a credential or one of ours has no effect.
//! 4. Fields are walked once and looked up in one prepared set; nothing is removed by searching for it. What most
//!    requests lack is looked for once ([`Seen`]), by a walk over the few names that are there: a look-up by name costs
//!    about as much as that walk.

mod caching;
mod cookies;
mod identity;
mod presented;
mod seen;
mod trace;
mod trailers;

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, Entry, HOST, TE,
        TRANSFER_ENCODING, VIA,
    },
};

use caching::{is_for_shared_caches, make_private};
use cookies::{join_cookies, keep_cookie, remove_cookie};
use identity::IdentityNames;
pub(crate) use identity::Told;
pub(crate) use presented::Presented;
pub(crate) use seen::Seen;
use seen::{is_event_stream, is_grpc};
pub(crate) use trace::holds_our_name_too_often;
use trace::keep_trace;

use super::settings::IdentityPreset;
use crate::{
    credential::{Authorization, Bearer, Cookie},
    session::{id::SessionKey, keys::KeyRing},
};

/// What holds for every request's fields.
#[derive(Clone)]
pub(crate) struct HeaderRules {
    reserved: Names,
    answer_hop_by_hop: Names,
    /// The identity prefix in normal form.
    prefix: String,
    names: IdentityNames,
    keep_odd: bool,
    forward_credential: bool,
    via: bool,
    carrier: Authorization,
    sessions: Option<SessionFields>,
    added_max: usize,
    proto: HeaderValue,
    port: HeaderValue,
}

/// What opens sessions, which is nobody's business behind the gateway.
#[derive(Clone)]
struct SessionFields {
    cookie: Cookie,
    /// What knows tokens of ours by their beginning.
    ring: Option<Arc<KeyRing>>,
}

/// What an upstream is told about where a request came from.
pub(crate) struct Origin<'r> {
    /// The client's address, ready to be sent.
    pub(crate) client: &'r HeaderValue,
    /// The client's address and those of the trusted proxies it came through.
    pub(crate) path: &'r HeaderValue,
    /// The Host as the client sent it.
    pub(crate) host: HeaderValue,
    /// The id of this request.
    pub(crate) request_id: HeaderValue,
    /// Whether it came by HTTP/1, and not by HTTP/2.
    pub(crate) http1: bool,
}

/// Names, in normal form, that a client cannot send through: hop-by-hop fields, and whatever an upstream might
/// take for identity, source, scheme, method or path (hardening.md rows F1, F5, F6, F8).
const RESERVED: [&str; 39] = [
    // Hop by hop, and what is made anew here.
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Another path or method.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    // Where a request came from, and who some proxies say it is.
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-remote-user",
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-real-ip",
    "x-request-id",
    // Credentials of ours that have a header of their own; `Authorization` is looked at by its value.
    "payment-signature",
    "sign-in-with-x",
    "x-payment",
    // Whose session a request acts as is between the client and us.
    "x-siwx-account",
    // Odd spellings of the framing, which some upstream might read.
    "content-length",
    "host",
];

/// Beginnings of names, in normal form, of which proxies keep inventing more.
const RESERVED_FAMILIES: [&str; 3] = ["x-auth-request-", "x-envoy-", "x-forwarded-"];

/// Fields that `Connection` cannot remove, in normal form. The names of ours are added after it was obeyed.
const UNREMOVABLE: [&str; 6] =
    ["authorization", "content-length", "content-type", "cookie", "host", "transfer-encoding"];

/// Fields of an answer that end here.
const ANSWER_HOP_BY_HOP: [&str; 10] = [
    "payment-required",
    "settlement-overrides",
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Fields that are added to a request at most: where it came from, and who it is.
const ADDED_MAX: usize = 12;

/// One more where there are sessions: which of them it is.
const ADDED_BY_SESSIONS: usize = 1;

/// Names of another gateway.
const ADDED_BY_PRESETS: usize = 3;

/// All of it under our signature.
const ADDED_BY_ASSERTIONS: usize = 1;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The id of a request, towards the upstream and towards the client.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

// === impl HeaderRules ===

impl HeaderRules {
    /// Rules with an identity prefix such as `X-SIWX-`, which the configuration has checked to be part of a name, and the
    /// names of another gateway beside it.
    /// `proto` and `port` are those of the public URL.
    pub(crate) fn new(
        prefix: &str,
        preset: Option<IdentityPreset>,
        carrier: Authorization,
        keep_odd: bool,
        forward_credential: bool,
        proto: &str,
        port: u16,
    ) -> Result<Self, http::header::InvalidHeaderName> {
        let proto = if proto == "http" { "http" } else { "https" };
        Ok(Self {
            reserved: Names::new(&RESERVED),
            answer_hop_by_hop: Names::new(&ANSWER_HOP_BY_HOP),
            prefix: normal_form(prefix),
            names: IdentityNames::new(prefix, preset)?,
            keep_odd,
            forward_credential,
            via: false,
            carrier,
            sessions: None,
            added_max: ADDED_MAX + if preset.is_some() { ADDED_BY_PRESETS } else { 0 },
            proto: HeaderValue::from_static(proto),
            port: HeaderValue::from_static(port.to_string().leak()),
        })
    }

    /// The same where there are sessions, in a cookie of this name and in tokens of these keys.
    pub(crate) fn with_sessions(mut self, cookie: Cookie, ring: Option<Arc<KeyRing>>) -> Self {
        self.sessions = Some(SessionFields { cookie, ring });
        self.added_max += ADDED_BY_SESSIONS;
        self
    }

    /// The same where upstreams are told who asks under our signature.
    pub(crate) fn with_assertions(mut self) -> Self {
        self.added_max += ADDED_BY_ASSERTIONS;
        self
    }

    /// The same where upstreams are told in `Via` that a request came through here.
    pub(crate) const fn with_via(mut self, via: bool) -> Self {
        self.via = via;
        self
    }

    /// Makes a client's fields into those an upstream sees, and gives what was presented. `takes_sessions`: the route
    /// does, so that every bearer was meant for us. Host is set by the caller; the identity is attached
    /// by [`Self::attach_identity`].
    pub(crate) fn forward(
        &self,
        headers: &mut HeaderMap,
        seen: Seen,
        takes_sessions: bool,
        origin: Origin<'_>,
    ) -> Presented {
        let mut presented = Presented::default();
        // Ours are a dozen or so; room for them is made once.
        headers.reserve(self.added_max);
        let trailers = seen.te && headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        let mut doomed = if seen.connection { end_connection(headers) } else { Vec::new() };
        doomed.retain(|name| !UNREMOVABLE.contains(&name.as_str()));
        doomed.extend(headers.keys().filter(|name| !self.passes(name)).cloned());
        if seen.authorization
            && let Entry::Occupied(found) = headers.entry(AUTHORIZATION)
            && found.iter().any(|value| self.is_ours(value.as_bytes(), takes_sessions))
        {
            presented.authorization = found.remove_entry_mult().1.next();
        } else if seen.authorization && self.forward_credential {
            presented.authorization = headers.get(AUTHORIZATION).cloned();
        }
        for name in doomed {
            let ended = headers.remove(&name);
            presented.note(&name, ended);
        }
        if seen.cookie {
            join_cookies(headers);
            if let Some(sessions) = &self.sessions {
                presented.cookie = remove_cookie(headers, &sessions.cookie);
            }
        }
        if seen.trace {
            keep_trace(headers);
        }
        if self.via {
            headers.append(
                VIA,
                HeaderValue::from_static(if origin.http1 { "1.1 siwx-gateway" } else { "2 siwx-gateway" }),
            );
        }
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        headers.insert(X_FORWARDED_FOR, origin.path.clone());
        headers.insert(X_REAL_IP, origin.client.clone());
        headers.insert(X_FORWARDED_HOST, origin.host);
        headers.insert(X_FORWARDED_PORT, self.port.clone());
        headers.insert(X_FORWARDED_PROTO, self.proto.clone());
        headers.insert(X_REQUEST_ID, origin.request_id);
        presented
    }

    /// Whether an `Authorization` field was meant for us alone. What opens a session never goes on; a credential that is
    /// good for one purpose may, where the configuration says so. Read as generously as any upstream might: what is no
    /// credential to us, as in a list of two, may be one to it.
    fn is_ours(&self, value: &[u8], takes_sessions: bool) -> bool {
        let is_sessions = |sessions: &SessionFields| {
            Bearer::tokens_in(value).any(|token| {
                takes_sessions
                    || SessionKey::is_meant(token)
                    || sessions.ring.as_ref().is_some_and(|ring| ring.is_meant(token))
            })
        };
        (!self.forward_credential && self.carrier.is_named_in(value)) || self.sessions.as_ref().is_some_and(is_sessions)
    }

    /// Makes an upstream's fields into those the client sees, and says whether its body is a stream without an end of its
    /// own. `private`: the answer was for one wallet, and no shared cache may keep it.
    pub(crate) fn answer(&self, headers: &mut HeaderMap, private: bool) -> bool {
        let mut doomed = end_connection(headers);
        doomed.retain(|name| !matches!(*name, CONTENT_LENGTH | CONTENT_TYPE));
        let (mut kept_by_caches, mut streams) = (false, false);
        for (name, value) in &*headers {
            let text = name.as_str();
            if !self.answer_passes(text) || (private && is_for_shared_caches(text)) {
                doomed.push(name.clone());
            }
            kept_by_caches |= *name == CACHE_CONTROL;
            streams |= *name == CONTENT_TYPE && (is_event_stream(value) || is_grpc(value));
        }
        for name in doomed {
            headers.remove(name);
        }
        if let Some(sessions) = &self.sessions {
            keep_cookie(headers, &sessions.cookie);
        }
        if private {
            if kept_by_caches {
                make_private(headers);
            } else {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
            }
        }
        streams
    }

    fn answer_passes(&self, name: &str) -> bool {
        // Names that hyper hands out are in lower case.
        !self.answer_hop_by_hop.contains(name) && !begins_in_normal_form(name, &self.prefix)
    }

    /// Whether a client's field goes on.
    fn passes(&self, name: &HeaderName) -> bool {
        if matches!(*name, HOST | CONTENT_LENGTH | AUTHORIZATION | COOKIE | CONTENT_TYPE) {
            return true;
        }
        let name = name.as_str();
        if begins_in_normal_form(name, &self.prefix) {
            return false;
        }
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plain {
            return !self.reserved.contains(name) && !RESERVED_FAMILIES.iter().any(|family| name.starts_with(family));
        }
        let normal = normal_form(name);
        self.keep_odd
            && !self.reserved.contains(&normal)
            && !RESERVED_FAMILIES.iter().any(|family| normal.starts_with(family))
            && !UNREMOVABLE.contains(&normal.as_str())
    }
}

/// A set of names that is asked for every field of every request: by first letter, because most names of honest
/// requests share theirs with no other or few, and a comparison of lengths tells the rest apart.
#[derive(Clone)]
struct Names {
    by_letter: [Vec<&'static str>; 26],
}

impl Names {
    fn new(names: &[&'static str]) -> Self {
        let letter =
            |letter: u8| names.iter().copied().filter(|name| name.as_bytes().first() == Some(&letter)).collect();
        Self { by_letter: std::array::from_fn(|place| letter(b'a' + u8::try_from(place).unwrap_or(0))) }
    }

    fn contains(&self, name: &str) -> bool {
        let letter = name.as_bytes().first().map_or(0, |letter| letter.wrapping_sub(b'a'));
        self.by_letter.get(usize::from(letter)).is_some_and(|names| names.contains(&name))
    }
}

/// Lower case, every byte but letters and digits read as `-`.
fn normal_form(name: &str) -> String {
    name.bytes().map(|b| char::from(normal_byte(b))).collect()
}

const fn normal_byte(b: u8) -> u8 {
    if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' }
}

fn begins_in_normal_form(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(b, wanted)| normal_byte(b) == wanted)
}

/// Takes `Connection` out, and says which other fields end here by its word.
fn end_connection(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let Entry::Occupied(found) = headers.entry(CONNECTION) else {
        return Vec::new();
    };
    // What connections themselves are asked names no field that passes; these two are nearly all there is.
    let of_connections = |name: &[u8]| name.eq_ignore_ascii_case(b"keep-alive") || name.eq_ignore_ascii_case(b"close");
    let named = |value: &HeaderValue| -> Vec<HeaderName> {
        let words = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
        words.filter(|name| !of_connections(name)).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
    };
    let mut ending = Vec::new();
    for value in found.iter().filter(|value| !of_connections(value.as_bytes())) {
        ending.extend(named(value));
    }
    found.remove_entry_mult();
    ending
}

/// Whether `Transfer-Encoding` is absent or exactly `chunked`, once (hardening.md row S2). hyper takes any list
/// that ends in it.
pub(crate) fn transfer_encoding_is_plain(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => value.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(keep_odd: bool) -> HeaderRules {
        let carrier = Authorization::new(vec!["SIWX".to_owned()]);
        HeaderRules::new("X-SIWX-", None, carrier, keep_odd, false, "https", 443).expect("a prefix of names")
    }

    fn forwarded(rules: &HeaderRules, sent: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        let client = HeaderValue::from_static("192.0.2.1");
        let host = HeaderValue::from_static("api.example.com");
        let seen = Seen::among(&headers);
        let origin =
            Origin { client: &client, path: &client, host, request_id: HeaderValue::from_static("id"), http1: true };
        rules.forward(&mut headers, seen, false, origin);
        for ours in [X_FORWARDED_FOR, X_REAL_IP, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID] {
            assert_eq!(headers.get_all(&ours).iter().count(), 1, "{ours}");
            headers.remove(ours);
        }
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_a_client_cannot_send_through() {
        let names = [
            "X-SIWX-Address",
            "x_siwx_address",
            "X.SIWX.Plan",
            "X-SIWX-Anything",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "CF-Connecting-IP",
            "X-Envoy-Internal",
            "Proxy",
            "Proxy-Authorization",
            "Keep-Alive",
            "Upgrade",
            "HTTP2-Settings",
            "Trailer",
            "Content_Length",
            "Transfer_Encoding",
            "SIGN-IN-WITH-X",
            "PAYMENT-SIGNATURE",
            "X-PAYMENT",
            "X-Request-Id",
            "X_Custom",
            "x.custom",
            "Te",
            "Connection",
            "Expect",
        ];
        for name in names {
            assert_eq!(forwarded(&rules(false), &[(name, "x")]), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn odd_names_pass_when_they_may_but_never_as_an_alias() {
        assert_eq!(forwarded(&rules(true), &[("X_Custom", "1")]), ["x_custom: 1"]);
        for name in
            ["x_siwx_address", "x.forwarded.for", "content_length", "transfer_encoding", "x_envoy_internal", "Host_"]
        {
            let passed = forwarded(&rules(true), &[(name, "1")]);
            let expected: &[&str] = if name == "Host_" { &["host_: 1"] } else { &[] };
            assert_eq!(passed, expected, "{name}");
        }
    }

    #[test]
    fn connection_names_fields_that_end_here_but_never_ours() {
        let sent = [
            ("Connection", "X-Custom, Host, Authorization, X-Forwarded-For, Cookie"),
            ("X-Custom", "1"),
            ("Host", "api.example.com"),
            ("Authorization", "Basic dTpw"),
            ("Cookie", "a=1"),
            ("Accept", "*/*"),
        ];
        let expected = ["accept: */*", "authorization: Basic dTpw", "cookie: a=1", "host: api.example.com"];
        assert_eq!(forwarded(&rules(false), &sent), expected);
    }

    #[test]
    fn our_credential_stays_here_and_others_go_on() {
        assert_eq!(forwarded(&rules(false), &[("Authorization", "siwx a.b")]), Vec::<String>::new());
        assert_eq!(forwarded(&rules(false), &[("Authorization", "Bearer t")]), ["authorization: Bearer t"]);
    }

    /// A public route lets two fields pass its gate, and only the first was looked at.
    #[test]
    fn a_credential_in_a_second_field_stays_here_too() {
        let sent = [("Authorization", "Bearer t"), ("Authorization", "SIWX a.b")];
        assert_eq!(forwarded(&rules(false), &sent), Vec::<String>::new());
    }

    /// No credential to us, they went on to upstreams of public routes, some of which take a list or a tab.
    #[test]
    fn a_credential_in_a_list_or_behind_a_tab_stays_here_too() {
        for value in ["Basic dTpw, SIWX a.b", "Basic dTpw,siwx a.b", ", SIWX a.b", "SIWX\ta.b", "SIWX=a.b"] {
            assert_eq!(forwarded(&rules(false), &[("Authorization", value)]), Vec::<String>::new(), "{value}");
        }
        for value in ["Digest username=\"SIWX\", realm=\"a\"", "SIWXY a.b"] {
            let expected = format!("authorization: {value}");
            assert_eq!(forwarded(&rules(false), &[("Authorization", value)]), [expected], "{value}");
        }
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        assert_eq!(forwarded(&rules(false), &[("Cookie", "a=1"), ("Cookie", "b=2")]), ["cookie: a=1; b=2"]);
    }

    #[test]
    fn te_trailers_alone_passes() {
        assert_eq!(forwarded(&rules(false), &[("TE", "trailers")]), ["te: trailers"]);
        assert_eq!(forwarded(&rules(false), &[("TE", "gzip, trailers")]), Vec::<String>::new());
    }

    #[test]
    fn answers_to_one_wallet_are_private() {
        let rows = [
            ("nothing said", None, "private"),
            ("public", Some("public, max-age=60"), "max-age=60, private"),
            ("for shared caches", Some("s-maxage=600"), "private"),
            ("private fields", Some("private=\"set-cookie\", max-age=5"), "max-age=5, private"),
            ("several private fields", Some("private=\"set-cookie, x-a\", max-age=5"), "max-age=5, private"),
            (
                "a comma in quotes",
                Some("no-cache=\"a, public\", max-age=5"),
                "no-cache=\"a, public\", max-age=5, private",
            ),
            ("quotes that do not close", Some("max-age=5, no-cache=\"a"), "private"),
            ("stricter already", Some("no-store"), "no-store, private"),
            ("private already", Some("private, max-age=5"), "max-age=5, private"),
        ];
        for (name, said, expected) in rows {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(said));
            }
            rules(false).answer(&mut headers, true);
            assert_eq!(headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()), Some(expected), "{name}");
        }
    }

    /// A cache in front obeys them and forgets `private`.
    #[test]
    fn fields_for_shared_caches_do_not_outbid_private() {
        let names = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];
        for name in names {
            for (private, expected) in [(true, false), (false, true)] {
                let mut headers = HeaderMap::new();
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static("max-age=600"));
                rules(false).answer(&mut headers, private);
                assert_eq!(headers.contains_key(name), expected, "{name}, private: {private}");
            }
        }
    }

    #[test]
    fn what_an_upstream_cannot_say() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-siwx-address", "0x"),
            ("x_siwx_plan", "gold"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("upgrade", "h2c"),
            ("content-type", "text/plain"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        rules(false).answer(&mut headers, false);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [CONTENT_TYPE]);
    }

    /// Trailers went through unread, and an upstream could have told a client who it is.
    #[test]
    fn what_an_upstream_cannot_say_afterwards() {
        let mut trailers = HeaderMap::new();
        for name in ["x-checksum", "grpc-status", "x-siwx-address", "content-length", "set-cookie", "connection"] {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        rules(false).answer_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-checksum", "grpc-status"]);
    }

    #[test]
    fn transfer_encodings() {
        let rows: [(&str, &[&str], bool); 6] = [
            ("none", &[], true),
            ("chunked", &["chunked"], true),
            ("letter case", &["Chunked"], true),
            ("identity first", &["identity, chunked"], false),
            ("gzip first", &["gzip, chunked"], false),
            ("twice", &["chunked", "chunked"], false),
        ];
        for (name, values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_str(value).expect("a value"));
            }
            assert_eq!(transfer_encoding_is_plain(&headers), expected, "{name}");
        }
    }
}
