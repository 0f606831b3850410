//! What a browser gets from the gateway itself: the module a dapp imports, and a login page for sites that have no dapp
//! (sessions.md sections 2.5 and 2.6).
//!
//! | file | what |
//! |---|---|
//! | `siwx.js` | AppKit's `SIWXConfig` and `siweConfig` over the session API; its header says how a dapp uses it |
//! | `login.html`, `login.css`, `login.js` | the login page: its frame, its looks, its behaviour |
//! | `wallets.js` | finding wallets in a browser, and asking them to sign |
//! | `encodings.js` | what addresses and signatures are written in |
//! | `page` | the page as it is answered, alone or as the body of a refusal |
//! | `landing` | where to go after signing in, and which requests are a person's |
//!
//! 1. The files are the program's own: nothing in them depends on a request, and the page fetches nothing from elsewhere.
//! 2. Every value of a request or of the configuration is escaped into the page, or is JSON in an escaped attribute that
//!    the script reads as text. There is no inline script and no inline style, and the policy forbids them.
//! 3. A refusal that becomes a page keeps its status and its fields: clients and caches see what they always saw.
//!
//! Nothing here knows of a connection. Functions take plain data and give `http::Response<Bytes>`.

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};
use sha2::{Digest as _, Sha256};

pub mod landing;
pub mod page;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// One of the files under the session prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    /// Whether pages of other origins load it: the module for dapps. What the login page is made of is its own.
    shared: bool,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them.
const FILES: [File; 5] = [
    File { name: "encodings.js", kind: JAVASCRIPT, text: include_str!("encodings.js"), shared: false },
    File { name: "login.css", kind: "text/css; charset=utf-8", text: include_str!("login.css"), shared: false },
    File { name: "login.js", kind: JAVASCRIPT, text: include_str!("login.js"), shared: false },
    File { name: "siwx.js", kind: JAVASCRIPT, text: include_str!("siwx.js"), shared: true },
    File { name: "wallets.js", kind: JAVASCRIPT, text: include_str!("wallets.js"), shared: false },
];

/// Their entity tags, in the same order.
static TAGS: LazyLock<[HeaderValue; FILES.len()]> = LazyLock::new(|| {
    FILES.map(|file| {
        let tag = format!("\"{}\"", &HEXLOWER.encode(&Sha256::digest(file.text))[..16]);
        HeaderValue::try_from(tag).expect("quotes and hex digits")
    })
});

impl File {
    /// The file of this name below the session prefix, without a slash: `siwx.js`.
    pub fn named(name: &str) -> Option<Self> {
        FILES.into_iter().find(|file| file.name == name)
    }

    /// Whether it exists for the login page alone, and not for dapps.
    pub const fn is_of_login_page(self) -> bool {
        !self.shared
    }

    /// The answer to a GET or HEAD: 200, or 304 where the browser's copy is this one.
    ///
    /// A browser keeps it and asks again each time, so that page, style and script are of one release. What the session
    /// API says about origins (sessions.md section 2.3) is for the caller to add; without it no dapp of another origin
    /// can import the module.
    pub fn respond(self, request: &HeaderMap) -> Response<Bytes> {
        let at = FILES.iter().position(|file| *file == self);
        let tag = at.map_or(HeaderValue::from_static("\"\""), |at| TAGS[at].clone());
        let known = request.get_all(IF_NONE_MATCH).iter().any(|field| lists(field, &tag));

        let mut response = Response::new(Bytes::new());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Bytes::from_static(self.text.as_bytes());
        }
        let policy = if self.shared { "cross-origin" } else { "same-origin" };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, tag);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static(policy));
        response
    }
}

/// Whether an `If-None-Match` names a tag; weak comparison (RFC 9110 §13.1.2). Our tags hold no comma.
fn lists(field: &HeaderValue, tag: &HeaderValue) -> bool {
    let listed = field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    listed.map(|listed| listed.strip_prefix(b"W/").unwrap_or(listed)).any(|listed| listed == b"*" || listed == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[&'static str]) -> HeaderMap {
        fields.iter().map(|field| (IF_NONE_MATCH, HeaderValue::from_static(field))).collect()
    }

    #[test]
    fn every_file_is_served_by_its_name() {
        for file in FILES {
            let named = File::named(file.name).expect(file.name);
            let response = named.respond(&HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK, "{}", file.name);
            assert_eq!(response.body(), file.text.as_bytes(), "{}", file.name);
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], file.kind, "{}", file.name);
            assert_eq!(headers[CACHE_CONTROL], "no-cache", "{}", file.name);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{}", file.name);
            assert_eq!(named.is_of_login_page(), file.name != "siwx.js");
        }
        for name in ["", "login", "login.html", "siwx", "SIWX.js", "../siwx.js", "/siwx.js", "mod.rs"] {
            assert_eq!(File::named(name), None, "{name}");
        }
    }

    #[test]
    fn only_the_module_is_for_pages_of_other_origins() {
        for file in FILES {
            let expected = if file.name == "siwx.js" { "cross-origin" } else { "same-origin" };
            let response = file.respond(&HeaderMap::new());
            assert_eq!(response.headers()[CROSS_ORIGIN_RESOURCE_POLICY], expected, "{}", file.name);
        }
    }

    #[test]
    fn what_a_browser_has_already_is_not_sent_again() {
        let module = File::named("siwx.js").expect("the module");
        let tag = module.respond(&HeaderMap::new()).headers()[ETAG].to_str().expect("ASCII").to_owned();
        let style = File::named("login.css").expect("the style").respond(&HeaderMap::new());
        assert_ne!(style.headers()[ETAG], tag.as_str());

        let rows: Vec<(&str, String, StatusCode)> = vec![
            ("the tag", tag.clone(), StatusCode::NOT_MODIFIED),
            ("made weak on the way", format!("W/{tag}"), StatusCode::NOT_MODIFIED),
            ("in a list", format!("\"other\" ,{tag}"), StatusCode::NOT_MODIFIED),
            ("any", "*".to_owned(), StatusCode::NOT_MODIFIED),
            ("another", "\"0123456789abcdef\"".to_owned(), StatusCode::OK),
            ("without quotes", tag.trim_matches('"').to_owned(), StatusCode::OK),
            ("nothing", String::new(), StatusCode::OK),
        ];
        for (name, field, expected) in rows {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(field).expect(name))]);
            let response = module.respond(&request);
            assert_eq!(response.status(), expected, "{name}");
            assert_eq!(response.body().is_empty(), expected == StatusCode::NOT_MODIFIED, "{name}");
            assert_eq!(response.headers()[ETAG], tag.as_str(), "{name}");
        }
        assert_eq!(module.respond(&asked(&["\"a\"", "\"b\""])).status(), StatusCode::OK);
        assert_eq!(module.respond(&asked(&["\"a\"", "*"])).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn no_file_asks_another_place_for_anything() {
        for file in FILES {
            // Comments show where a dapp imports the module from.
            let code = file.text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let urls = line.match_indices("://").map(|(at, _)| &line[at.saturating_sub(5)..]);
                let foreign = urls.filter(|url| !url.contains("://www.w3.org/")).collect::<Vec<_>>();
                assert!(foreign.is_empty(), "{}: {line}", file.name);
                assert!(!line.contains("innerHTML") && !line.contains("eval("), "{}: {line}", file.name);
            }
        }
    }
}
