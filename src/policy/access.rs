//! What a payment opens beside a plan: a route, or one path of it (x402.md section 7).
//!
//! 1. A scope is written `plan:<name>`, `route:<name>` or `route:<name>:<path>`. No name of a route holds a colon and
//!    every path begins with a slash, so the three cannot be mistaken.
//! 2. A route is known by its configured name and never by what a client calls it: who pays for a cheap route holds
//!    nothing of a dear one.
//! 3. A path is the canonical one, one trailing slash dropped; method and query are no part of it.
//! 4. Access counts as a subscription does: `starts_at <= now < expires_at`.

use std::fmt;

use thiserror::Error;

use super::holder::{Holder, Share, Span};
use crate::{caip::ChainId, time::UnixTime};

/// Bytes of a scope at most: a name, and a path as long as requests may have.
pub const SCOPE_BYTES_MAX: usize = 8192;

/// Bytes of a name in a scope at most.
const NAME_BYTES_MAX: usize = 64;

/// What an entitlement is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A plan, and with it the routes that the plan opens.
    Plan(String),
    /// All that a route covers.
    Route(String),
    /// One path of a route.
    RoutePath {
        /// The route's name.
        route: String,
        /// The canonical path, without a trailing slash unless it is the root.
        path: String,
    },
}

/// A text is not a scope, or names what none can.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `plan:<name>`, `route:<name>` or `route:<name>:<path>` in {SCOPE_BYTES_MAX} bytes, found `{0}`")]
pub struct ScopeError(String);

/// Access to a route, or to one path of it, that an account has paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The route's name.
    pub route: String,
    /// The one path that is opened; nothing: all that the route covers.
    pub path: Option<String>,
    /// The first instant it counts.
    pub starts_at: UnixTime,
    /// The first instant it no longer counts; nothing: for ever.
    pub expires_at: Option<UnixTime>,
    /// The chain it was paid on, the last one if there were several.
    pub chain: Option<ChainId>,
    /// What contracts may use of it, where it was paid on several chains; else none.
    pub shares: Vec<Share>,
}

// === impl Scope ===

impl Scope {
    /// The scope of a plan.
    pub fn plan(name: &str) -> Result<Self, ScopeError> {
        Self::checked(Self::Plan(name.into()))
    }

    /// The scope of all that a route covers.
    pub fn route(name: &str) -> Result<Self, ScopeError> {
        Self::checked(Self::Route(name.into()))
    }

    /// The scope of one path of a route. The path is canonical; a trailing slash is dropped here.
    pub fn route_path(route: &str, path: &str) -> Result<Self, ScopeError> {
        Self::checked(Self::RoutePath { route: route.into(), path: one_path(path).into() })
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let wrong = || ScopeError(shown(text));
        if text.len() > SCOPE_BYTES_MAX {
            return Err(wrong());
        }
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match (kind, rest.split_once(':')) {
            // Names of plans may hold colons: operators gave such before there were payments.
            ("plan", _) if is_name(rest) => Ok(Self::Plan(rest.into())),
            ("route", None) if is_name(rest) => Ok(Self::Route(rest.into())),
            ("route", Some((route, path))) if is_name(route) && is_path(path) => {
                Ok(Self::RoutePath { route: route.into(), path: path.into() })
            }
            _ => Err(wrong()),
        }
    }

    /// The plan, if it is one.
    pub fn as_plan(&self) -> Option<&str> {
        match self {
            Self::Plan(name) => Some(name),
            Self::Route(_) | Self::RoutePath { .. } => None,
        }
    }

    /// What does not read back as itself could never be found again.
    fn checked(self) -> Result<Self, ScopeError> {
        let text = self.to_string();
        match Self::parse(&text) {
            Ok(read) if read == self => Ok(read),
            _ => Err(ScopeError(shown(&text))),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(name) => write!(f, "plan:{name}"),
            Self::Route(name) => write!(f, "route:{name}"),
            Self::RoutePath { route, path } => write!(f, "route:{route}:{path}"),
        }
    }
}

// === impl Access ===

impl Access {
    /// Whether it opens this path of this route for somebody at `now`. The path is canonical.
    pub fn opens(&self, route: &str, path: &str, holder: Holder<'_>, now: UnixTime) -> bool {
        self.covers(route, path) && self.span_for(holder).is_some_and(|span| span.is_active(now))
    }

    /// Whether it is for this path of this route, whenever.
    pub fn covers(&self, route: &str, path: &str) -> bool {
        self.route == route && self.path.as_deref().is_none_or(|paid| paid == one_path(path))
    }

    /// Whether it counts at `now`, for a key pair.
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.span().is_active(now)
    }

    /// From when until when somebody may use it; nothing: it was paid on other chains.
    pub fn span_for(&self, holder: Holder<'_>) -> Option<Span> {
        holder.span_of(self.span(), self.chain.as_ref(), &self.shares)
    }

    const fn span(&self) -> Span {
        Span { starts_at: self.starts_at, expires_at: self.expires_at }
    }
}

/// `/a` for `/a/` too; the root is itself.
fn one_path(path: &str) -> &str {
    match path.strip_suffix('/') {
        None | Some("") => path,
        Some(rest) => rest,
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && one_path(text) == text && text.bytes().all(|b| b.is_ascii_graphic())
}

/// At most 40 characters of a foreign text, escaped, for an error.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_and_read_alike() {
        let path = |route: &str, path: &str| Scope::RoutePath { route: route.into(), path: path.into() };
        let rows = [
            ("plan:nano", Scope::plan("nano"), Scope::Plan("nano".into())),
            ("plan:a:b", Scope::plan("a:b"), Scope::Plan("a:b".into())),
            ("route:weather", Scope::route("weather"), Scope::Route("weather".into())),
            ("route:weather:/a/b", Scope::route_path("weather", "/a/b"), path("weather", "/a/b")),
            ("route:weather:/a/b", Scope::route_path("weather", "/a/b/"), path("weather", "/a/b")),
            ("route:weather:/", Scope::route_path("weather", "/"), path("weather", "/")),
            ("route:weather:/a:b", Scope::route_path("weather", "/a:b"), path("weather", "/a:b")),
        ];
        for (text, made, expected) in rows {
            let made = made.expect(text);
            assert_eq!((made.to_string().as_str(), &made), (text, &expected));
            assert_eq!(Scope::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_scope() {
        let wrong = |text: &str| Err(ScopeError(shown(text)));
        for text in [
            "",
            "plan",
            "plan:",
            "nano",
            "PLAN:nano",
            "plan:na no",
            "route:",
            "route::/a",
            "route:weather:",
            "route:weather:a",
            "route:weather:/a/",
            "route:weather:/a b",
            "route:größe",
        ] {
            assert_eq!(Scope::parse(text), wrong(text), "{text}");
        }
        // A route of such a name would be read back as a path of another one.
        assert_eq!(Scope::route("weather:/a"), wrong("route:weather:/a"));
        assert_eq!(Scope::route_path("a:/b", "/c"), wrong("route:a:/b:/c"));
        assert_eq!(Scope::plan(&"x".repeat(65)), wrong(&format!("plan:{}", "x".repeat(65))));
        Scope::plan(&"x".repeat(64)).expect("the longest name");
        let longest = SCOPE_BYTES_MAX - "route:w:".len();
        Scope::route_path("w", &format!("/{}", "x".repeat(longest - 1))).expect("the longest path");
        let long = format!("/{}", "x".repeat(longest));
        assert_eq!(Scope::route_path("w", &long), wrong(&format!("route:w:{long}")));
    }

    #[test]
    fn what_access_opens() {
        let access = |path: Option<&str>, expires: Option<i64>| Access {
            route: "weather".into(),
            path: path.map(Into::into),
            starts_at: UnixTime::from_millis(1000),
            expires_at: expires.map(UnixTime::from_millis),
            chain: None,
            shares: Vec::new(),
        };
        let rows = [
            ("the route", access(None, None), "weather", "/premium/weather", 1000, true),
            ("before its start", access(None, None), "weather", "/premium/weather", 999, false),
            ("a moment before its end", access(None, Some(2000)), "weather", "/w", 1999, true),
            ("at its end", access(None, Some(2000)), "weather", "/w", 2000, false),
            ("another route", access(None, None), "dear", "/w", 1000, false),
            ("a route whose name begins alike", access(None, None), "weather2", "/w", 1000, false),
            ("the path", access(Some("/w"), None), "weather", "/w", 1000, true),
            ("the path with a slash behind it", access(Some("/w"), None), "weather", "/w/", 1000, true),
            ("the path with two", access(Some("/w"), None), "weather", "/w//", 1000, false),
            ("a path below", access(Some("/w"), None), "weather", "/w/a", 1000, false),
            ("the path in another case", access(Some("/w"), None), "weather", "/W", 1000, false),
            ("the root", access(Some("/"), None), "weather", "/", 1000, true),
            ("another path than the root", access(Some("/"), None), "weather", "/w", 1000, false),
            ("the path of another route", access(Some("/w"), None), "dear", "/w", 1000, false),
        ];
        for (name, access, route, path, now, expected) in rows {
            assert_eq!(access.opens(route, path, Holder::KeyPair, UnixTime::from_millis(now)), expected, "{name}");
        }
    }
}
