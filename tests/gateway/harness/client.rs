//! A plain HTTP/1.1 client over blocking sockets that hides nothing: what is written goes out, what comes back is
//! shown, and every answer is held to what must always hold.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// A stream of any kind.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Secrets that were sent: nothing the gateway says or writes may hold one.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<Vec<String>>);

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Statuses of interim answers before it.
    pub(crate) interim: Vec<u16>,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
    secrets: Arc<Secrets>,
}

/// Fields that may stand on an answer of the gateway's own.
const OWN_FIELDS: [&str; 11] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "payment-required",
    "payment-response",
    "retry-after",
    "www-authenticate",
    "x-request-id",
];

/// Fields that may stand on a page for people besides.
const PAGE_FIELDS: [&str; 4] =
    ["content-security-policy", "referrer-policy", "x-content-type-options", "x-frame-options"];

/// Fields whose values nobody may see again.
const SECRET_FIELDS: [&str; 3] = ["authorization", "payment-signature", "sign-in-with-x"];

/// What answers of the session API differ by, and so are known by (sessions.md section 2).
const SESSION_VARY: &str = "Origin, Cookie, Authorization";

/// Fields that may stand on a refusal of the session API besides.
const SESSION_FIELDS: [&str; 5] = [
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "vary",
    "x-content-type-options",
];

// === impl Secrets ===

impl Secrets {
    /// Remembers the value of a field that carries a credential.
    pub(crate) fn add(&self, authorization: &str) {
        let token = authorization.split_once(' ').map_or(authorization, |(_, token)| token);
        let mut secrets = self.0.lock().expect("no panic while held");
        secrets.extend(token.split('.').filter(|part| part.len() > 20).map(str::to_owned));
    }

    /// The first secret that a text holds.
    pub(crate) fn found_in(&self, text: &str) -> Option<String> {
        let secrets = self.0.lock().expect("no panic while held");
        secrets.iter().find(|secret| text.contains(secret.as_str())).cloned()
    }
}

// === impl Request ===

impl Request {
    /// A request to the usual host, without body.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: Some("api.example.com".to_owned()),
            headers: Vec::new(),
            body: None,
        }
    }

    /// GET of a target of the usual host.
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// With one more field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// With an `Authorization` of this value.
    pub(crate) fn token(self, authorization: &str) -> Self {
        self.header("Authorization", authorization)
    }

    /// With another Host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// With a body and its length.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    /// As it goes onto the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if let Some(host) = &self.host {
            bytes.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

// === impl Answer ===

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(1024)]);
        write!(f, "{} {:?} {body:?}", self.status, self.headers)?;
        if self.whole { Ok(()) } else { f.write_str(", cut short") }
    }
}

impl Answer {
    /// The values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a field, if there is one.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "`{name}` came twice: {self:?}");
        all.first().copied()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The JSON in the base64 of a field.
    pub(crate) fn decoded(&self, name: &str) -> Option<Value> {
        let bytes = data_encoding::BASE64.decode(self.one(name)?.as_bytes()).expect("padded base64");
        Some(serde_json::from_slice(&bytes).expect("JSON"))
    }

    /// The code of a problem; empty if the answer is none.
    pub(crate) fn code(&self) -> String {
        let problem = self.one("content-type") == Some("application/problem+json");
        if problem { self.json()["code"].as_str().expect("a code").to_owned() } else { String::new() }
    }

    /// Status and code: what most tables expect.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The reason of a refused token; empty if there is none.
    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or("").to_owned()
    }

    /// Fails if something is wrong that is wrong on every answer.
    pub(crate) fn hold_to_the_rules(&self, head: bool, secrets: &Secrets) {
        let text = format!("{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        assert_eq!(secrets.found_in(&text), None, "a secret is echoed: {self:?}");
        for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "te", "upgrade"] {
            assert!(self.all(name).is_empty(), "`{name}` left the gateway: {self:?}");
        }
        let identity =
            self.headers.iter().find(|(name, _)| name.to_lowercase().replace('_', "-").starts_with("x-siwx-"));
        assert_eq!(identity, None, "an identity field left the gateway: {self:?}");
        if head || self.status == 204 || self.status == 304 {
            assert!(self.body.is_empty(), "a body where none can be: {self:?}");
        }
        if self.one("content-type") == Some("application/problem+json") {
            self.hold_problem_to_the_rules(head);
        }
        if matches!(self.status, 402 | 412) && self.one("x-request-id").is_some() {
            self.hold_unpaid_to_the_rules(head);
        }
    }

    /// An answer about money that the protocol's clients read: x402.md section 1 and decision 2.
    fn hold_unpaid_to_the_rules(&self, head: bool) {
        // A person reads a page, a client the same fields as ever.
        let is_page = self.one("content-type") == Some("text/html; charset=utf-8");
        for (name, _) in &self.headers {
            let name = name.to_lowercase();
            let known = OWN_FIELDS.contains(&&*name) || is_page && PAGE_FIELDS.contains(&&*name);
            assert!(known, "`{name}` on an answer of our own: {self:?}");
        }
        assert!(is_page || self.one("content-type") == Some("application/json"), "{self:?}");
        assert_eq!(self.one("cache-control"), Some("no-store"), "{self:?}");
        assert_ne!(self.one("payment-required").is_some(), self.one("payment-response").is_some(), "{self:?}");
        if let Some(required) = self.decoded("payment-required").filter(|_| !head && !is_page) {
            let mut body = self.json();
            let members = body.as_object_mut().expect("an object");
            assert!(members.shift_remove("code").is_some_and(|code| code.is_string()), "{self:?}");
            members.shift_remove("siwx");
            assert_eq!(body, required, "the body says what the header says: {self:?}");
        }
    }

    fn hold_problem_to_the_rules(&self, head: bool) {
        let of_sessions = self.one("vary") == Some(SESSION_VARY);
        // What lets scripts of other origins read an answer stands together, or not at all.
        let readable = ["access-control-allow-origin", "access-control-expose-headers", "vary"];
        let present = readable.map(|name| self.one(name).is_some());
        assert!(of_sessions || present == [true; 3] || present == [false; 3], "{self:?}");
        let besides = if of_sessions { &SESSION_FIELDS[..] } else { &readable[..] };
        for (name, _) in self.headers.iter().filter(|(name, _)| !besides.contains(&name.to_lowercase().as_str())) {
            assert!(OWN_FIELDS.contains(&name.to_lowercase().as_str()), "`{name}` on an answer of our own: {self:?}");
        }
        assert_eq!(self.one("cache-control"), Some("no-store"), "{self:?}");
        let id = self.one("x-request-id").unwrap_or_else(|| panic!("no request id: {self:?}"));
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{self:?}");
        assert_eq!(self.one("www-authenticate").is_some(), self.status == 401, "{self:?}");
        assert_eq!(self.one("retry-after").is_some(), matches!(self.status, 429 | 503), "{self:?}");
        assert_eq!(self.one("allow").is_some(), self.status == 405, "{self:?}");
        assert_eq!(self.one("payment-required"), None, "{self:?}");
        if head {
            return;
        }
        let json = self.json();
        let members: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let refused_token = json["code"] == "invalid_token";
        let mut expected = vec!["type", "title", "status", "code", "detail", "request_id"];
        if refused_token {
            expected.extend(["error", "reason"]);
        }
        if of_sessions && json.get("index").is_some() {
            expected.push("index");
        }
        assert_eq!(members, expected, "{self:?}");
        assert_eq!(json["type"], "about:blank", "{self:?}");
        assert_eq!(json["status"], self.status, "{self:?}");
        assert_eq!(json["request_id"], id, "{self:?}");
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        let challenge = match (self.status, refused_token) {
            (401, true) => {
                assert_eq!(json["error"], "invalid_token");
                let reason = json["reason"].as_str().expect("a reason");
                Some(format!("SIWX realm=\"api.example.com\", error=\"invalid_token\", error_description=\"{reason}\""))
            }
            (401, false) => Some("SIWX realm=\"api.example.com\"".to_owned()),
            _ => None,
        };
        assert_eq!(self.one("www-authenticate"), challenge.as_deref(), "{self:?}");
    }
}

// === impl Client ===

impl Client {
    /// Over a stream that is open.
    pub(crate) fn over(stream: Box<dyn Stream>, secrets: Arc<Secrets>) -> Self {
        Self { stream: BufReader::new(stream), secrets }
    }

    /// A plain connection.
    pub(crate) fn connect(address: std::net::SocketAddr, secrets: Arc<Secrets>) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway accepts");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Self::over(Box::new(stream), secrets)
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the gateway reads");
    }

    /// Sends bytes to somebody who may have closed already.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        for (name, value) in &request.headers {
            if SECRET_FIELDS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                self.secrets.add(&String::from_utf8_lossy(value));
            }
        }
        // An answer may come before the body is through, and the connection then closes.
        let _ = self.try_write(&request.bytes());
        self.read_to(&request.method)
    }

    /// Reads an answer to anything but HEAD; it must come.
    pub(crate) fn read(&mut self) -> Answer {
        self.read_to("GET")
    }

    /// Reads an answer to a request of this method; it must come.
    pub(crate) fn read_to(&mut self, method: &str) -> Answer {
        self.next(method).unwrap_or_else(|| panic!("the connection ended without an answer to {method}"))
    }

    /// Reads an answer; nothing if the connection ends before it begins.
    pub(crate) fn next(&mut self, method: &str) -> Option<Answer> {
        let mut interim = Vec::new();
        loop {
            let (status, headers) = self.read_head()?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let mut answer = Answer { status, headers, body: Vec::new(), interim, whole: true };
            let head = method == "HEAD";
            if !head && status != 204 && status != 304 {
                (answer.body, answer.whole) = self.read_body(&answer);
            }
            answer.hold_to_the_rules(head, &self.secrets);
            return Some(answer);
        }
    }

    /// Reads a head alone: status and fields.
    pub(crate) fn read_head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let line = self.read_line()?;
        let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.read_line().expect("a head has an end");
            if line.is_empty() {
                return Some((status, headers));
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads at most so many bytes of a body as they come.
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        self.stream.read(buffer).expect("the gateway sends")
    }

    fn read_body(&mut self, answer: &Answer) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        if answer.one("transfer-encoding").is_some() {
            assert_eq!(answer.one("transfer-encoding"), Some("chunked"));
            assert_eq!(answer.one("content-length"), None, "two framings: {answer:?}");
            while let Some(line) = self.read_line() {
                let Ok(size) = usize::from_str_radix(&line, 16) else { return (body, false) };
                if size == 0 {
                    while self.read_line().is_some_and(|line| !line.is_empty()) {}
                    return (body, true);
                }
                let mut chunk = vec![0; size + 2];
                if self.stream.read_exact(&mut chunk).is_err() {
                    return (body, false);
                }
                body.extend_from_slice(&chunk[..size]);
            }
            return (body, false);
        }
        match answer.one("content-length") {
            Some(length) => {
                let length: u64 = length.parse().expect("a length");
                let read = self.stream.by_ref().take(length).read_to_end(&mut body);
                let whole = read.is_ok_and(|read| read as u64 == length);
                (body, whole)
            }
            None => {
                let whole = self.stream.read_to_end(&mut body).is_ok();
                (body, whole)
            }
        }
    }

    fn read_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits until the gateway closes; anything it still says is a failure.
    pub(crate) fn expect_close(&mut self) {
        let mut rest = Vec::new();
        // A reset ends a connection as well as an orderly close.
        let _ = self.stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "said before closing: {:?}", String::from_utf8_lossy(&rest));
    }
}
