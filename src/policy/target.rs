//! Request targets: from what a client sent to the one spelling that is routed and forwarded. Hosts are beside, in
//! `host`.
//!
//! Nothing is repaired that two readers could understand differently; it is refused. In this order (the rules
//! are those of the project's hardening specification, section 3; the grammar is RFC 9112 §3.2 and RFC 3986):
//!
//! 1. Origin-form only. Absolute-form passes when its scheme is the listener's and its authority is the Host, and
//!    counts as origin-form from there on. `*` is for OPTIONS, and is answered here.
//! 2. Controls, blanks, bytes from 0x80 on and ``\ # " < > ^ ` { | }`` are refused in path and query.
//! 3. A `%` without two hex digits is refused in the path, and so are the escapes of controls, `\`, `#` and `?`,
//!    and `%25` before two hex digits. `%2f`, `;` and `%3b` are noted: a protected route may let them pass.
//! 4. Escapes of unreserved characters are decoded; the hex digits of the others become upper case.
//! 5. Segments that are `.` or `..`, also with parameters behind them, are refused, as are empty ones but for a
//!    trailing one. A `%2f` ends a segment for the dots, since an upstream that decodes it would see it so; it does
//!    not for the emptiness, since an escaped URL (`https:%2f%2f…`) is what people pass it for.
//!
//! A path that is canonical as it came is borrowed.

mod host;

use std::borrow::Cow;

use http::{Method, Uri};

pub use self::host::{Host, HostError};

/// A request target by its form (RFC 9112 §3.2), before anything in it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'t> {
    /// `http://host/path?query`. Every HTTP/2 request has this form once `:scheme`, `:authority` and `:path` are
    /// put together.
    Absolute {
        /// What stands before `://`.
        scheme: &'t str,
        /// What stands between `://` and the path.
        authority: &'t str,
        /// From the first `/` on; `/` when there is none.
        path: &'t str,
        /// What follows the first `?`.
        query: Option<&'t str>,
    },
    /// `*`
    Asterisk,
    /// `/path?query`
    Origin {
        /// What stands before the first `?`.
        path: &'t str,
        /// What follows the first `?`.
        query: Option<&'t str>,
    },
    /// Authority-form, or no form at all.
    Other,
}

/// What a target that was accepted asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'t> {
    /// A resource; path and query as the client spelled them.
    Path(&'t str, Option<&'t str>),
    /// The server as a whole (`OPTIONS *`): answered here, never forwarded.
    Server,
}

/// Why a target is refused by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The authority is not what the Host field says, or holds user information.
    #[error("expected the authority of the target to be that of the Host field")]
    Authority,
    /// Neither origin-form nor absolute-form nor `OPTIONS *`.
    #[error("expected a request target that begins with `/`")]
    Form,
    /// TRACE and CONNECT, in any letter case.
    #[error("expected a method other than TRACE and CONNECT")]
    Method,
    /// The scheme is not the listener's.
    #[error("expected the scheme of the target to be that of the listener")]
    Scheme,
}

/// Why a path or query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `%` that does not begin an escape.
    #[error("expected two hex digits after the `%` at byte {at}")]
    BrokenEscape {
        /// Where the `%` is.
        at: usize,
    },
    /// A byte that must not stand unescaped.
    #[error("byte 0x{byte:02x} at {at} must not stand in a request target")]
    Byte {
        /// The byte.
        byte: u8,
        /// Where it is.
        at: usize,
    },
    /// A segment that is `.` or `..`, or begins with one of them and `;`.
    #[error("expected no dot segment, found one at byte {at} of the canonical path")]
    DotSegment {
        /// Where it begins in the canonical path.
        at: usize,
    },
    /// An escaped percent sign before two hex digits.
    #[error("expected escapes to be single, found a double one at byte {at} of the canonical path")]
    DoubleEncoding {
        /// Where it begins in the canonical path.
        at: usize,
    },
    /// Two slashes next to each other.
    #[error("expected no empty segment, found one at byte {at} of the canonical path")]
    EmptySegment {
        /// Where it would begin in the canonical path.
        at: usize,
    },
    /// `%2f` where no route lets it pass.
    #[error("`%2f` must not stand in this path")]
    EncodedSlash,
    /// An escape that no route lets pass.
    #[error("the escape %{byte:02x} at byte {at} must not stand in a path")]
    Escape {
        /// What it stands for.
        byte: u8,
        /// Where it is.
        at: usize,
    },
    /// No slash at the front.
    #[error("expected a path that begins with `/`")]
    NotAbsolute,
    /// `;` or `%3b` where no route lets it pass.
    #[error("`;` must not stand in this path")]
    Semicolon,
}

/// A path by rules 2 to 5, as it is routed and forwarded: two of them are the same path if and only if they are
/// the same bytes. Holds only ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'p> {
    text: Cow<'p, str>,
    marks: u8,
}

// === impl Target ===

impl<'t> Target<'t> {
    /// Reads the target of a request line.
    pub fn parse(text: &'t str) -> Self {
        if text == "*" {
            return Self::Asterisk;
        }
        if text.starts_with('/') {
            let (path, query) = split_query(text);
            return Self::Origin { path, query };
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::Other;
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = split_query(rest);
        // RFC 9110 §4.2.3: an empty path of an absolute target is `/`.
        let path = if path.is_empty() { "/" } else { path };
        Self::Absolute { scheme, authority, path, query }
    }

    /// The same of a target that an HTTP library has taken apart. It has dropped a fragment by then: who needs rule 2
    /// for `#` looks at the raw request line.
    pub fn of(uri: &'t Uri) -> Self {
        let (path, query) = (uri.path(), uri.query());
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => Self::Absolute { scheme, authority: authority.as_str(), path, query },
            (None, None) if path == "*" && query.is_none() => Self::Asterisk,
            (None, None) if path.starts_with('/') => Self::Origin { path, query },
            _ => Self::Other,
        }
    }

    /// Rule 1. `scheme` is how the listener is spoken to, `http` or `https`; `host` is the Host field, or
    /// `:authority` where HTTP/2 has no such field. That the host is served at all is not asked here.
    pub fn accept(self, method: &Method, scheme: &str, host: &str) -> Result<Asked<'t>, TargetError> {
        if never_served(method) {
            return Err(TargetError::Method);
        }
        match self {
            Self::Origin { path, query } => Ok(Asked::Path(path, query)),
            Self::Asterisk if *method == Method::OPTIONS => Ok(Asked::Server),
            Self::Asterisk | Self::Other => Err(TargetError::Form),
            Self::Absolute { scheme: theirs, authority, path, query } => {
                if !theirs.eq_ignore_ascii_case(scheme) {
                    return Err(TargetError::Scheme);
                }
                if authority.contains('@') || !authority.eq_ignore_ascii_case(host) {
                    return Err(TargetError::Authority);
                }
                // HTTP/2 writes the asterisk into `:path` (RFC 9113 §8.3.1).
                if path == "*" && query.is_none() && *method == Method::OPTIONS {
                    return Ok(Asked::Server);
                }
                if !path.starts_with('/') {
                    return Err(TargetError::Form);
                }
                Ok(Asked::Path(path, query))
            }
        }
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// TRACE echoes credentials and CONNECT opens tunnels; no route can have them. A lower-case spelling is another
/// method by RFC 9110 §9.1, but not to every upstream.
pub(crate) fn never_served(method: &Method) -> bool {
    ["TRACE", "CONNECT"].iter().any(|name| method.as_str().eq_ignore_ascii_case(name))
}

// === impl CanonicalPath ===

impl<'p> CanonicalPath<'p> {
    /// Rules 2 to 5 on the path of a target, without its query.
    ///
    /// A path with `%2f`, `;` or `%3b` is returned, not refused: whether it passes is for the rule it is routed to
    /// to say, and `Routes::find` asks. Who compares a path with one of their own must ask [`Self::reserved`].
    pub fn parse(path: &'p str) -> Result<Self, PathError> {
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let mut marks = 0;
        let mut before = 0;
        for &byte in path.as_bytes() {
            marks |= CLASS[usize::from(byte)];
            // Only after a slash can an odd segment begin; the exact look is taken below, if at all.
            marks |= u8::from(before == b'/' && matches!(byte, b'/' | b'.')) * LOOK;
            before = byte;
        }
        if marks & REFUSED != 0 {
            return Err(refused_byte(path));
        }
        let mut text = Cow::Borrowed(path);
        if marks & ESCAPE != 0 {
            text = decode_unreserved(path)?;
            marks = LOOK | text.bytes().fold(0, |marks, byte| marks | CLASS[usize::from(byte)]);
            marks |= marks_of_escapes(&text)?;
        }
        if marks & LOOK != 0 {
            check_segments(&text)?;
        }
        Ok(Self { text, marks: marks & !LOOK })
    }

    /// The path itself, to be forwarded byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every segment is of `[A-Za-z0-9._~!$&'()*+,=:@-]`: what a public rule matches.
    pub fn is_plain(&self) -> bool {
        self.marks & (ESCAPE | SEMICOLON | ODD) == 0
    }

    /// Whether it holds `%2F`.
    pub fn holds_encoded_slash(&self) -> bool {
        self.marks & ENCODED_SLASH != 0
    }

    /// Whether it holds `;` or `%3B`.
    pub fn holds_semicolon(&self) -> bool {
        self.marks & (SEMICOLON | ENCODED_SEMICOLON) != 0
    }

    /// What of rule 3 it holds that only some routes let pass, as the refusal that others answer with.
    pub fn reserved(&self) -> Option<PathError> {
        if self.holds_encoded_slash() {
            return Some(PathError::EncodedSlash);
        }
        self.holds_semicolon().then_some(PathError::Semicolon)
    }

    pub(super) fn has_upper_case(&self) -> bool {
        self.marks & UPPER != 0
    }

    pub(super) fn has_escapes(&self) -> bool {
        self.marks & ESCAPE != 0
    }
}

/// Rule 6: the byte rule on what follows the `?`. Its escapes are nobody's business here.
pub fn check_query(query: &str) -> Result<(), PathError> {
    let marks = query.bytes().fold(0, |marks, byte| marks | CLASS[usize::from(byte)]);
    // A second `?` is an ordinary byte of a query (RFC 3986 §3.4); in a path it cannot occur.
    if marks & REFUSED != 0 {
        return match query.bytes().position(|byte| byte != b'?' && CLASS[usize::from(byte)] & REFUSED != 0) {
            Some(at) => Err(PathError::Byte { byte: query.as_bytes()[at], at }),
            None => Ok(()),
        };
    }
    Ok(())
}

/// Whether bytes that may have been decoded are those of a plain path.
pub(super) fn is_plain(path: &[u8]) -> bool {
    path.iter().all(|&byte| CLASS[usize::from(byte)] & (ESCAPE | SEMICOLON | ODD | REFUSED) == 0)
}

/// The value of the escape whose `%` is at `at`, if there is one.
pub(super) fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = *path.get(at..at + 3)? else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

fn refused_byte(path: &str) -> PathError {
    let at = path.bytes().position(|byte| CLASS[usize::from(byte)] & REFUSED != 0).unwrap_or(0);
    PathError::Byte { byte: path.as_bytes()[at], at }
}

/// Rules 3 and 4, but for what [`marks_of_escapes`] has to look at afterwards.
fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, PathError> {
    let bytes = path.as_bytes();
    // Written from the first change on; what stands before `copied` is in it.
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            at += 1;
            continue;
        }
        let byte = escape_at(bytes, at).ok_or(PathError::BrokenEscape { at })?;
        if byte < 0x20 || matches!(byte, 0x7f | b'\\' | b'#' | b'?') {
            return Err(PathError::Escape { byte, at });
        }
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if unreserved || bytes[at + 1..at + 3].iter().any(u8::is_ascii_lowercase) {
            out.push_str(&path[copied..at]);
            copied = at + 3;
            if unreserved {
                out.push(char::from(byte));
            } else {
                out.push_str(&path[at..copied].to_ascii_uppercase());
            }
        }
        at += 3;
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(path));
    }
    out.push_str(&path[copied..]);
    Ok(Cow::Owned(out))
}

/// What the escapes left in a path mean for its routing. Double encoding is looked for here and not earlier, since
/// `%25%32%65` becomes `%252e` only by rule 4.
fn marks_of_escapes(path: &str) -> Result<u8, PathError> {
    let bytes = path.as_bytes();
    let mut marks = 0;
    for (at, _) in path.match_indices('%') {
        match &bytes[at + 1..] {
            [b'2', b'F', ..] => marks |= ENCODED_SLASH,
            [b'3', b'B', ..] => marks |= ENCODED_SEMICOLON,
            [b'2', b'5', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                return Err(PathError::DoubleEncoding { at });
            }
            _ => {}
        }
    }
    Ok(marks)
}

/// Rule 5.
fn check_segments(path: &str) -> Result<(), PathError> {
    let mut start = 1;
    for segment in path[1..].split('/') {
        let end = start + segment.len();
        if segment.is_empty() && end < path.len() {
            return Err(PathError::EmptySegment { at: start });
        }
        let mut at = start;
        for part in segment.split("%2F") {
            let name = part.split("%3B").next().unwrap_or(part).split(';').next().unwrap_or(part);
            if matches!(name, "." | "..") {
                return Err(PathError::DotSegment { at });
            }
            at += part.len() + "%2F".len();
        }
        start = end + 1;
    }
    Ok(())
}

/// Bytes that must not stand in a target unescaped (rule 2), and `?`, at which a path has ended.
const REFUSED: u8 = 1;
/// `A` to `Z`.
const UPPER: u8 = 1 << 1;
/// `%`
const ESCAPE: u8 = 1 << 2;
/// `;`
const SEMICOLON: u8 = 1 << 3;
/// Allowed by rule 2, but not plain: `[` and `]`.
const ODD: u8 = 1 << 4;
/// The segments need the exact look of rule 5.
const LOOK: u8 = 1 << 5;
/// `%2F`
const ENCODED_SLASH: u8 = 1 << 6;
/// `%3B`
const ENCODED_SEMICOLON: u8 = 1 << 7;

/// What each byte means, so that an ordinary path is read in one pass without a branch a byte.
const CLASS: [u8; 256] = {
    let mut class = [REFUSED; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        class[byte] = match byte as u8 {
            b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'?' => REFUSED,
            b'A'..=b'Z' => UPPER,
            b'%' => ESCAPE,
            b';' => SEMICOLON,
            b'[' | b']' => ODD,
            _ => 0,
        };
        byte += 1;
    }
    class
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_canonical_or_refused() {
        use PathError::*;
        let rows: &[(&str, &str, Result<&str, PathError>)] = &[
            ("root", "/", Ok("/")),
            ("plain", "/v1/a-b_c.d~e!$&'()*+,=:@", Ok("/v1/a-b_c.d~e!$&'()*+,=:@")),
            ("trailing slash", "/v1/", Ok("/v1/")),
            ("brackets", "/a[0]", Ok("/a[0]")),
            ("letter case stays", "/API/x", Ok("/API/x")),
            ("unreserved are decoded", "/%61%5A%30%2d%2E%5f%7e", Ok("/aZ0-._~")),
            ("dots inside a segment", "/a..b/.c/..d/...", Ok("/a..b/.c/..d/...")),
            ("hex digits become upper case", "/%c3%a9%2b", Ok("/%C3%A9%2B")),
            ("blank", "/a%20b", Ok("/a%20b")),
            ("percent sign", "/100%25", Ok("/100%25")),
            ("percent sign before one hex digit", "/%25aZ", Ok("/%25aZ")),
            ("encoded slash, noted", "/a%2fb", Ok("/a%2Fb")),
            ("encoded slashes, doubled", "/https:%2F%2fx", Ok("/https:%2F%2Fx")),
            ("semicolons, noted", "/a;b/c%3bd", Ok("/a;b/c%3Bd")),
            ("empty", "", Err(NotAbsolute)),
            ("relative", "v1", Err(NotAbsolute)),
            ("blank byte", "/a b", Err(Byte { byte: b' ', at: 2 })),
            ("first byte that may stand", "/!", Ok("/!")),
            ("last byte that may stand", "/~", Ok("/~")),
            ("delete", "/\u{7f}", Err(Byte { byte: 0x7f, at: 1 })),
            ("from 0x80 on", "/é", Err(Byte { byte: 0xc3, at: 1 })),
            ("back-slash", "/a\\b", Err(Byte { byte: b'\\', at: 2 })),
            ("question mark", "/a?b", Err(Byte { byte: b'?', at: 2 })),
            ("one hex digit", "/a%2", Err(BrokenEscape { at: 2 })),
            ("no hex digit", "/%zz", Err(BrokenEscape { at: 1 })),
            ("sign in an escape", "/%+1", Err(BrokenEscape { at: 1 })),
            ("last control", "/%1F", Err(Escape { byte: 0x1f, at: 1 })),
            ("encoded delete", "/%7f", Err(Escape { byte: 0x7f, at: 1 })),
            ("encoded back-slash", "/%5C", Err(Escape { byte: b'\\', at: 1 })),
            ("double", "/a%252e", Err(DoubleEncoding { at: 2 })),
            ("double, by way of decoding", "/%25%32%65", Err(DoubleEncoding { at: 1 })),
            ("triple", "/%25252e", Err(DoubleEncoding { at: 1 })),
            ("dot", "/a/.", Err(DotSegment { at: 3 })),
            ("dots", "/../a", Err(DotSegment { at: 1 })),
            ("dots by decoding", "/a/.%2e/b", Err(DotSegment { at: 3 })),
            ("dots with parameters", "/a/..;x=1/b", Err(DotSegment { at: 3 })),
            ("dots with encoded parameters", "/a/.%3Bx", Err(DotSegment { at: 3 })),
            ("dots before an encoded slash", "/a/..%2fb", Err(DotSegment { at: 3 })),
            ("dots after an encoded slash", "/a/x%2f..", Err(DotSegment { at: 7 })),
            ("doubled slash", "/a//b", Err(EmptySegment { at: 3 })),
            ("doubled slash in front", "//a", Err(EmptySegment { at: 1 })),
            ("doubled slash at the end", "/a//", Err(EmptySegment { at: 3 })),
        ];
        for (name, path, expected) in rows {
            let found = CanonicalPath::parse(path);
            let found = found.as_ref().map(CanonicalPath::as_str).map_err(|error| *error);
            assert_eq!(found, *expected, "{name}");
        }
    }

    #[test]
    fn a_canonical_path_is_borrowed() {
        for path in ["/", "/v1/orders/0xAbC", "/a%20b;c%2Fd"] {
            let found = CanonicalPath::parse(path).unwrap();
            assert!(matches!(found.text, Cow::Borrowed(text) if text == path), "{path}");
        }
    }

    #[test]
    fn a_path_remembers_what_it_holds() {
        let rows = [
            ("/a", true, None),
            ("/A=:@", true, None),
            ("/a[", false, None),
            ("/a%20", false, None),
            ("/%41", true, None),
            ("/a;b", false, Some(PathError::Semicolon)),
            ("/a%3bb", false, Some(PathError::Semicolon)),
            ("/a%2fb", false, Some(PathError::EncodedSlash)),
            ("/a;b%2Fc", false, Some(PathError::EncodedSlash)),
        ];
        for (path, plain, reserved) in rows {
            let found = CanonicalPath::parse(path).unwrap();
            assert_eq!((found.is_plain(), found.reserved()), (plain, reserved), "{path}");
        }
    }

    #[test]
    fn queries_hold_no_odd_byte() {
        let rows = [
            ("", Ok(())),
            ("a=1&b=/x;y?%zz%00", Ok(())),
            ("a b", Err(PathError::Byte { byte: b' ', at: 1 })),
            ("?#", Err(PathError::Byte { byte: b'#', at: 1 })),
            ("a\u{7f}", Err(PathError::Byte { byte: 0x7f, at: 1 })),
        ];
        for (query, expected) in rows {
            assert_eq!(check_query(query), expected, "{query:?}");
        }
    }

    #[test]
    fn targets_are_accepted_by_form() {
        use TargetError::{Authority, Form, Scheme};
        let get = Method::GET;
        let path = |path| Ok(Asked::Path(path, None));
        let rows = [
            ("origin", get.clone(), "/a", path("/a")),
            ("query", get.clone(), "/a?b?c", Ok(Asked::Path("/a", Some("b?c")))),
            ("empty query", get.clone(), "/a?", Ok(Asked::Path("/a", Some("")))),
            ("absolute", get.clone(), "https://api.example/a", path("/a")),
            ("absolute, letter case", get.clone(), "HTTPS://API.example/a", path("/a")),
            ("absolute without path", get.clone(), "https://api.example", path("/")),
            ("absolute, other host", get.clone(), "https://evil.example/a", Err(Authority)),
            ("absolute, other port", get.clone(), "https://api.example:444/a", Err(Authority)),
            ("absolute, user", get.clone(), "https://u@api.example/a", Err(Authority)),
            ("absolute, other scheme", get.clone(), "http://api.example/a", Err(Scheme)),
            ("asterisk", Method::OPTIONS, "*", Ok(Asked::Server)),
            ("asterisk, other method", get.clone(), "*", Err(Form)),
            ("authority", get.clone(), "api.example:443", Err(Form)),
            ("relative", get.clone(), "a", Err(Form)),
            ("empty", get, "", Err(Form)),
            ("connect", Method::CONNECT, "api.example:443", Err(TargetError::Method)),
            ("trace", Method::TRACE, "/a", Err(TargetError::Method)),
        ];
        for (name, method, text, expected) in rows {
            assert_eq!(Target::parse(text).accept(&method, "https", "api.example"), expected, "{name}");
            // What the library cannot read at all never comes this far.
            if let Ok(uri) = text.parse::<Uri>()
                && name != "empty query"
            {
                assert_eq!(Target::of(&uri).accept(&method, "https", "api.example"), expected, "{name}, taken apart");
            }
        }
    }
}
