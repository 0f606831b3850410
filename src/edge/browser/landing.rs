//! Which requests are a person's, and where that person goes after signing in (sessions.md section 2.6).

use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCEPT, HeaderValue},
};

use crate::{
    edge::query,
    policy::target::{CanonicalPath, check_query},
};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Bytes of a path to return to: what a request target may have by default.
const RETURN_BYTES_MAX: usize = 8 * 1024;

/// Whether a person waits in front of a browser for this answer: a GET that takes HTML, and is not a script's.
///
/// Browsers that do not say what a request is for send no `Sec-Fetch-Mode`, and neither do other clients, whose
/// `Accept` then decides: curl's is `*/*`.
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let takes_html = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok()).any(|field| {
        let kinds = field.split(',').map(|range| range.split(';').next().unwrap_or(range).trim());
        kinds.into_iter().any(|kind| kind.eq_ignore_ascii_case("text/html"))
    });
    let navigates = |mode: &HeaderValue| mode.as_bytes().eq_ignore_ascii_case(b"navigate");
    *method == Method::GET && takes_html && headers.get_all(SEC_FETCH_MODE).iter().all(navigates)
}

/// Where to go after signing in: a path of this gateway, perhaps with query and fragment. What a link says about it is
/// a stranger's word, and a page that follows it leads people from our sign-in to theirs.
///
/// 1. It begins with one `/`: `//evil.example` is another host, and so is `/\evil.example` to a browser.
/// 2. It holds no backslash and no control character: browsers drop tabs and line feeds, and read the rest.
/// 3. Path and query are such as are routed here. So nothing in them is a dot segment either, which a browser would
///    resolve away: `/.//evil.example`.
///
/// Anything else is `/`. By rule 1 and 2 it resolves to our own origin whatever reads it; the page's script resolves it
/// once more and compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath(String);

impl ReturnPath {
    /// The `return` of a query, percent-decoded once. A plus is a plus: paths hold them. Two of them are none.
    pub fn of_query(query: &str) -> Self {
        let mut named = query.split('&').filter_map(|pair| pair.strip_prefix("return="));
        match (named.next(), named.next()) {
            (Some(value), None) => query::decoded(value).map_or_else(Self::default, |text| Self::parse(&text)),
            _ => Self::default(),
        }
    }

    /// The path of a text, by the rules above.
    pub fn parse(text: &str) -> Self {
        if Self::is_ours(text) { Self(text.to_owned()) } else { Self::default() }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_ours(text: &str) -> bool {
        let forbidden = |c: char| c == '\\' || c.is_control();
        if !text.starts_with('/') || text.starts_with("//") || text.len() > RETURN_BYTES_MAX || text.contains(forbidden)
        {
            return false;
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        CanonicalPath::parse(path).is_ok() && check_query(query).is_ok() && check_query(fragment).is_ok()
    }
}

impl Default for ReturnPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn only_a_path_of_ours_is_returned_to() {
        let long = format!("/{}", "a".repeat(RETURN_BYTES_MAX));
        let rows: &[(&str, &str, bool)] = &[
            ("a path", "/reports/2026", true),
            ("the root", "/", true),
            ("a query", "/search?q=a+b&page=2", true),
            ("a fragment", "/app?x=1#/inbox", true),
            ("a trailing slash", "/reports/", true),
            ("escapes", "/caf%C3%A9%20bar", true),
            ("an escaped URL in a segment", "/proxy/https:%2F%2Fevil.example", true),
            ("a URL in the query", "/go?to=https://evil.example", true),
            ("an at sign", "/@evil.example", true),
            ("nothing", "", false),
            ("no slash", "reports", false),
            ("two slashes", "//evil.example", false),
            ("three slashes", "///evil.example", false),
            ("a backslash behind the slash", "/\\evil.example", false),
            ("a backslash further on", "/a\\..\\evil", false),
            ("a backslash in front", "\\\\evil.example", false),
            ("a backslash in the query", "/a?b=\\", false),
            ("an escaped backslash", "/%5Cevil.example", false),
            ("a URL", "https://evil.example/", false),
            ("a scheme without slashes", "https:evil.example", false),
            ("a script", "javascript:alert(1)", false),
            ("data", "data:text/html,x", false),
            ("a tab between the slashes", "/\t/evil.example", false),
            ("a line feed between the slashes", "/\n/evil.example", false),
            ("a carriage return", "/\r", false),
            ("a carriage return, escaped", "/%0d", false),
            ("a line feed, escaped", "/a%0aSet-Cookie:x", false),
            ("NUL", "/\0", false),
            ("delete", "/\u{7f}", false),
            ("a control character of the second set", "/\u{85}", false),
            ("a tab in front", "\t/a", false),
            ("a blank in front", " //evil.example", false),
            ("a blank inside", "/a b", false),
            ("a line separator", "/\u{2028}", false),
            ("a dot segment", "/.//evil.example", false),
            ("two dots", "/a/..//evil.example", false),
            ("escaped dots", "/%2e%2e//evil.example", false),
            ("an empty segment", "/a//b", false),
            ("double encoding", "/%252e%252e/", false),
            ("a broken escape", "/%", false),
            ("a quote", "/\"onload=x", false),
            ("an angle bracket in the query", "/?<script>", false),
            ("an angle bracket in the fragment", "/#<script>", false),
            ("two fragments", "/#a#b", false),
            ("beyond ASCII", "/caf\u{e9}", false),
            ("as long as a target", &long[..RETURN_BYTES_MAX], true),
            ("longer than a target", &long, false),
        ];
        for (name, text, ours) in rows {
            let path = ReturnPath::parse(text);
            assert_eq!(path.as_str(), if *ours { text } else { "/" }, "{name}");
            // What another reader of URLs makes of it.
            let whole = format!("https://gateway.example{}", path.as_str());
            let read: Uri = whole.parse().expect(name);
            assert_eq!(read.authority().map(|authority| authority.as_str()), Some("gateway.example"), "{name}");
        }
    }

    #[test]
    fn a_return_is_decoded_once() {
        for (name, query, expected) in [
            ("a path", "return=%2Freports%3Fyear%3D2026%26all%3D1", "/reports?year=2026&all=1"),
            ("as it is", "return=/reports", "/reports"),
            ("after another parameter", "lang=en&return=/reports", "/reports"),
            ("before another parameter", "return=/reports&lang=en", "/reports"),
            ("escapes in the path", "return=%2Fcaf%25C3%25A9", "/caf%C3%A9"),
            ("none", "", "/"),
            ("another name", "returns=/reports", "/"),
            ("empty", "return=", "/"),
            ("two", "return=/a&return=/b", "/"),
            ("two slashes", "return=%2F%2Fevil.example", "/"),
            ("a backslash", "return=/%5Cevil.example", "/"),
            ("a carriage return", "return=/%0d", "/"),
            ("a tab", "return=/%09/evil.example", "/"),
            ("a carriage return, twice escaped", "return=/%250d", "/"),
            ("a broken escape", "return=/%2", "/"),
            ("not UTF-8", "return=/%ff", "/"),
        ] {
            assert_eq!(ReturnPath::of_query(query).as_str(), expected, "{name}");
        }
    }

    #[test]
    fn a_person_waits_for_what_a_browser_navigates_to() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        type Row<'t> = (&'t str, Method, &'t [(&'static str, &'static str)], bool);
        let rows: &[Row<'_>] = &[
            ("a browser", Method::GET, &[("accept", BROWSER), ("sec-fetch-mode", "navigate")], true),
            ("an older browser", Method::GET, &[("accept", BROWSER)], true),
            ("in capitals", Method::GET, &[("accept", "Text/HTML;q=0.5")], true),
            ("in a second field", Method::GET, &[("accept", "a/b"), ("accept", "text/html")], true),
            ("a script", Method::GET, &[("accept", BROWSER), ("sec-fetch-mode", "cors")], false),
            ("a module", Method::GET, &[("accept", "*/*"), ("sec-fetch-mode", "cors")], false),
            ("curl", Method::GET, &[("accept", "*/*")], false),
            ("a client without Accept", Method::GET, &[], false),
            ("JSON", Method::GET, &[("accept", "application/json")], false),
            ("a longer name", Method::GET, &[("accept", "text/html5")], false),
            ("in a parameter", Method::GET, &[("accept", "a/b;c=text/html")], false),
            ("a form", Method::POST, &[("accept", BROWSER), ("sec-fetch-mode", "navigate")], false),
            ("a HEAD", Method::HEAD, &[("accept", BROWSER)], false),
            (
                "two modes",
                Method::GET,
                &[("accept", BROWSER), ("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "cors")],
                false,
            ),
        ];
        for (name, method, fields, expected) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in *fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(is_navigation(method, &headers), *expected, "{name}");
        }
    }
}
