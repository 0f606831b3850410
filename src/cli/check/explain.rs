//! `check --explain`: the way of one request through a configuration, without sending anything.
//!
//! Whether a credential is good is not asked here; `token verify` does that. What is shown as sent to the upstream is
//! what the edge's own rules make of the given header fields, with words in angle brackets for what only a real
//! request has.

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        asked::{Asked, Head},
        console::Failure,
    },
    config::Config,
    credential::Cookie,
    edge::{
        assertion::JWKS_PATH,
        headers::{Origin, Seen, Told},
        respond::Answer,
        server::header_rules,
        session,
        settings::{HostSent, UpstreamSettings},
    },
    policy::{
        routes::{Found, Routes},
        rule::{Requirement, Rule},
    },
};

/// A request to be explained.
pub(super) struct Question {
    asked: Asked,
    headers: HeaderMap,
}

/// What would become of it.
pub(super) struct Explanation {
    method: String,
    url: String,
    canonical: Option<String>,
    why: String,
    end: End,
}

enum End {
    /// It would be answered by the gateway, whatever the credential.
    Answered { status: u16, code: &'static str },
    /// No route is for it: this is for whoever has a good credential, and 401 for all others.
    NotFound { status: u16, code: &'static str },
    /// It is for the gateway itself, whatever routes say.
    Own,
    /// A route is for it.
    Routed { route: String, auth: &'static str, plans: Vec<String>, sent: Sent },
}

/// What the upstream would see of a request that is admitted.
struct Sent {
    upstream: String,
    url: String,
    headers: Vec<(String, String)>,
}

/// What stands for the value of an identity field.
const fn stand_in(told: Told) -> &'static str {
    match told {
        Told::Account => "<the wallet's CAIP-10 id>",
        Told::Address => "<the wallet's address>",
        Told::Assertion => "<all of this, signed>",
        Told::Chain => "<the wallet's chain>",
        Told::Expires => "<until when this holds>",
        Told::Plan => "<the plan that opened the route>",
        Told::Scheme => "<how it signed>",
        Told::Session => "<the session, if it came with one>",
    }
}

// === impl Question ===

impl Question {
    /// Reads it as arguments.
    pub(super) fn read(method: &str, url: &str, fields: &[String]) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        for field in fields {
            let wrong =
                || Failure::Usage(format!("expected a header as `Name: value`, found `{}`", field.escape_debug()));
            let (name, value) = field.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
            headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
        }
        Ok(Self { asked: Asked::read(method, url)?, headers })
    }

    /// Explains it.
    pub(super) fn answer(&self, config: &Config, routes: &Routes) -> Result<Explanation, Failure> {
        let explanation = |canonical, why, end| Explanation {
            method: self.asked.method().to_string(),
            url: self.asked.url().to_owned(),
            canonical,
            why,
            end,
        };
        let head = match self.asked.head(config)? {
            Ok(head) => head,
            Err(answer) => return Ok(explanation(None, answer.detail(), answered(&answer))),
        };
        if let Some(why) = own(config, head.path.as_str()) {
            return Ok(explanation(Some(head.path.as_str().to_owned()), why, End::Own));
        }
        let found = routes.explain(self.asked.method(), head.host.as_str(), &head.path);
        let end = match found.found {
            Found::Ambiguous(_) => answered(&Answer::AmbiguousPath),
            Found::BadPath(error) => answered(&Answer::BadPath(error)),
            Found::MethodNeverAllowed => answered(&Answer::MethodNotAllowed),
            Found::MethodNotAllowed => not_found(&Answer::MethodNotAllowed),
            Found::None => not_found(&Answer::NoRoute),
            Found::Rule(rule) => self.routed(config, rule, &head)?,
        };
        Ok(explanation(Some(found.canonical), found.why, end))
    }

    fn routed(&self, config: &Config, rule: &Rule, head: &Head<'_>) -> Result<End, Failure> {
        let (auth, plans) = match &rule.requirement {
            Requirement::Public => ("none", Vec::new()),
            Requirement::Wallet => ("wallet", Vec::new()),
            Requirement::Subscription { plans } => ("subscription", plans.clone()),
            Requirement::Payment { plans } => ("payment", plans.clone()),
        };
        let upstream = config.upstreams.get(rule.upstream);
        let upstream = upstream.ok_or_else(|| Failure::failed("the route has no upstream"))?;
        let path = match rule.upstream_path(&head.path) {
            Ok(path) => path,
            Err(error) => return Ok(answered(&Answer::BadPath(error))),
        };
        let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
        let sent = Sent {
            upstream: upstream.name.clone(),
            url: format!("{}{path}{query}", origin(upstream)),
            headers: self.forwarded(config, rule, upstream, head)?,
        };
        Ok(End::Routed { route: rule.name.clone(), auth, plans, sent })
    }

    /// The header fields that the upstream would see.
    fn forwarded(
        &self,
        config: &Config,
        rule: &Rule,
        upstream: &UpstreamSettings,
        head: &Head<'_>,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut rules = header_rules(&config.edge, &config.public_url).map_err(Failure::failed)?;
        if let Some(sessions) = &config.gate.sessions {
            // Tokens are known by their key, which only a running gateway has.
            rules = rules.with_sessions(Cookie::new(&sessions.cookie.name), None);
        }
        let asked_host = HeaderValue::from_str(head.authority).map_err(Failure::failed)?;
        let host = match &upstream.host {
            HostSent::Literal(name) => HeaderValue::from_str(name).map_err(Failure::failed)?,
            HostSent::Preserve => asked_host.clone(),
            HostSent::Upstream => HeaderValue::from_str(&authority(upstream)).map_err(Failure::failed)?,
        };
        let client = HeaderValue::from_static("<the client's address>");
        let mut headers = self.headers.clone();
        let request_id = HeaderValue::from_static("<of each request>");
        let seen = Seen::among(&headers);
        rules.forward(
            &mut headers,
            seen,
            rule.sessions,
            Origin { client: &client, path: &client, host: asked_host, request_id, http1: true },
        );
        if rule.requirement != Requirement::Public {
            // The plan is told only where one was demanded, and a session only where one may come.
            let is_shown = |told: &Told| match told {
                Told::Plan => matches!(rule.requirement, Requirement::Subscription { .. }),
                Told::Session => rule.sessions,
                Told::Assertion => config.edge.assertion.is_some(),
                _ => true,
            };
            for (name, told) in rules.told().filter(|(_, told)| is_shown(told)) {
                headers.insert(name, HeaderValue::from_static(stand_in(told)));
            }
        }
        headers.remove(HOST);
        let shown = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut fields = vec![(HOST.to_string(), shown(&host))];
        fields.extend(headers.iter().map(|(name, value)| (name.to_string(), shown(value))));
        Ok(fields)
    }
}

/// Why a path is the gateway's own, in the order of the edge; nothing: it is not.
fn own(config: &Config, path: &str) -> Option<String> {
    if let Some(sessions) = &config.gate.sessions
        && session::door(sessions, path).is_some()
    {
        return Some("the paths of the session API go before every route".to_owned());
    }
    if config.edge.assertion.is_some() && config.gate.sessions.is_none() && path == JWKS_PATH {
        return Some("the public keys of assertions go before every route".to_owned());
    }
    let shop = config.gate.payments.as_ref().and_then(|payments| payments.shop_door(path));
    shop.map(|_| "the paths of the shop go before every route".to_owned())
}

fn answered(answer: &Answer) -> End {
    End::Answered { status: answer.status().as_u16(), code: answer.code() }
}

fn not_found(answer: &Answer) -> End {
    End::NotFound { status: answer.status().as_u16(), code: answer.code() }
}

fn origin(upstream: &UpstreamSettings) -> String {
    let scheme = upstream.urls.first().map_or("http", |url| url.scheme.as_str());
    format!("{scheme}://{}", authority(upstream))
}

/// Of the first of its endpoints: which of them is asked is not known before.
fn authority(upstream: &UpstreamSettings) -> String {
    let Some(url) = upstream.urls.first() else {
        return String::new();
    };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    if url.port == url.scheme.default_port() { host } else { format!("{host}:{}", url.port) }
}

// === impl Explanation ===

impl Explanation {
    pub(super) fn as_json(&self) -> Value {
        let mut json = json!({
            "method": self.method,
            "url": self.url,
            "canonical_path": self.canonical,
            "route": null,
            "auth": null,
            "plans": null,
            "why": self.why,
            "answer": null,
            "upstream": null,
        });
        match &self.end {
            End::Answered { status, code } => json["answer"] = json!({ "status": status, "code": code }),
            End::Own => {}
            End::NotFound { status, code } => {
                json["auth"] = json!("wallet");
                json["answer"] = json!({ "status": status, "code": code });
            }
            End::Routed { route, auth, plans, sent } => {
                json["route"] = json!(route);
                json["auth"] = json!(auth);
                json["plans"] = json!(plans);
                let headers = sent.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
                json["upstream"] = json!({
                    "name": sent.upstream,
                    "url": sent.url,
                    "headers": headers.collect::<Map<_, _>>(),
                });
            }
        }
        json
    }

    pub(super) fn as_text(&self) -> String {
        let mut lines = vec![format!("request    {} {}", self.method, self.url)];
        lines.extend(self.canonical.as_ref().map(|path| format!("canonical  {path}")));
        match &self.end {
            End::Answered { status, code } => lines.push(format!("answer     {status} {code}, whoever asks")),
            End::Own => lines.push("answer     of the gateway's own".to_owned()),
            End::NotFound { status, code } => {
                lines.push("route      none".to_owned());
                lines.push(format!("answer     {status} {code} for a good wallet, 401 without one"));
            }
            End::Routed { route, auth, plans, .. } => {
                let plans = match (*auth, plans.as_slice()) {
                    ("subscription", []) => ", to any plan".to_owned(),
                    (_, []) => String::new(),
                    (_, plans) => format!(", to {}", plans.join(" or ")),
                };
                lines.push(format!("route      {route}"));
                lines.push(format!("auth       {auth}{plans}"));
            }
        }
        lines.push(format!("why        {}", self.why));
        if let End::Routed { sent, .. } = &self.end {
            lines.push(format!("upstream   {}", sent.upstream));
            lines.push(format!("sent       {} {}", self.method, sent.url));
            lines.extend(sent.headers.iter().map(|(name, value)| format!("           {name}: {value}")));
        }
        lines.join("\n")
    }
}
