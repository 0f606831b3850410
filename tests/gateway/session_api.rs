//! The session API over real sockets (sessions.md sections 2 and 3), one module a topic.

mod bad_input;
mod cookies;
mod cors;
mod cross_site;
mod endpoints;
mod login;
mod reown;
mod sets;
mod sign_in;

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, NOW, Request, Setup, Upstream, Wallet, wallet::Text};

/// A dapp on another site.
const DAPP: &str = "https://app.example.com";

/// The gateway itself.
const OWN: &str = "https://api.example.com";

const COOKIE: &str = "__Host-siwx";

/// A route for sessions, and one that covers the reserved prefixes.
const ROUTES: &str = r#"
[[plan]]
name = "pro"
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "none"
[[route]]
name = "wallet"
prefix = "/wallet"
upstream = "api"
auth = "wallet"
[[route]]
name = "paid"
prefix = "/paid"
upstream = "api"
auth = "subscription"
[auth]
origins = ["https://app.example.com", "http://localhost:5173"]
[session]
"#;

/// A gateway with a session API.
pub(crate) struct Api {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
}

/// A browser: what it holds, and whose page it shows.
pub(crate) struct Browser<'a> {
    api: &'a Api,
    origin: &'static str,
    pub(crate) cookie: Option<String>,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With these keys in `[session]`.
    pub(crate) fn with(keys: &str) -> Self {
        Self::set_up(keys, |setup| setup)
    }

    pub(crate) fn set_up(keys: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::ok();
        let setup = Setup::over(&upstream).routes(&format!("{ROUTES}{keys}"));
        Self { gateway: change(setup).start(), upstream }
    }

    /// A browser that shows a page of the gateway, and holds nothing.
    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { api: self, origin: OWN, cookie: None }
    }

    fn send(&self, request: &Request) -> Answer {
        self.gateway.send(request)
    }

    fn nonce(&self) -> String {
        let answer = self.send(&Request::get("/.siwx/nonce"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["nonce"].as_str().expect("a nonce").to_owned()
    }

    /// A sign-in of a wallet for the gateway's own page, with a nonce of its own.
    fn sign_in(&self, wallet: &Wallet) -> Value {
        signed(wallet, &text(wallet, &self.nonce()))
    }
}

impl<'a> Browser<'a> {
    /// The same on a page of the dapp.
    fn on_dapp(self) -> Self {
        Self { origin: DAPP, ..self }
    }

    /// Sends a request as a page's script would, and keeps the cookie that comes back.
    pub(crate) fn send(&mut self, request: Request) -> Answer {
        let mut request = request.header("Origin", self.origin);
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", &format!("theme=dark; {COOKIE}={cookie}"));
        }
        let answer = self.api.send(&request);
        if let Some(set) = answer.one("set-cookie") {
            let (pair, attributes) = set.split_once(';').expect("attributes");
            let value = pair.strip_prefix(&format!("{COOKIE}=")).expect("our cookie").to_owned();
            self.cookie = (!attributes.contains("Max-Age=0")).then_some(value);
        }
        answer
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(Request::get(target))
    }

    pub(crate) fn post(&mut self, target: &str, body: &Value) -> Answer {
        self.send(Request::new("POST", target).body(body.to_string().as_bytes()))
    }

    fn put(&mut self, sessions: &[Value]) -> Answer {
        self.send(Request::new("PUT", "/.siwx/sessions").body(json!({ "sessions": sessions }).to_string().as_bytes()))
    }

    /// Signs a wallet in; the session as it is answered.
    pub(crate) fn sign_in(&mut self, wallet: &Wallet) -> Value {
        let answer = self.post("/.siwx/sessions", &self.api.sign_in(wallet));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["session"].clone()
    }

    /// The sessions that are shown.
    fn sessions(&mut self) -> Vec<Value> {
        let answer = self.get("/.siwx/sessions");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["sessions"].as_array().expect("a list").clone()
    }

    fn accounts(&mut self) -> Vec<String> {
        let sessions = self.sessions();
        sessions.iter().map(|session| session["account"].as_str().expect("an account").to_owned()).collect()
    }
}

/// The text of a sign-in on the gateway's own page.
fn text(wallet: &Wallet, nonce: &str) -> Text {
    wallet.text().with("Nonce", nonce).without("Expiration Time")
}

/// The same on the dapp's page.
fn dapp_text(wallet: &Wallet, nonce: &str) -> Text {
    text(wallet, nonce).for_domain("app.example.com").with("URI", "https://app.example.com/inbox?page=1#top")
}

/// What a dapp posts: a text, signed, and what it says.
fn signed(wallet: &Wallet, text: &Text) -> Value {
    let message = text.to_string();
    json!({
        "data": data(wallet, text),
        "message": message,
        "signature": wallet.written(&wallet.sign(&message)),
    })
}

fn data(wallet: &Wallet, text: &Text) -> Value {
    let field = |name: &str| text.fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone());
    let mut data = json!({
        "accountAddress": text.address,
        "chainId": wallet.chain(),
        "domain": text.domain,
        "version": "1",
    });
    for (member, name) in [
        ("uri", "URI"),
        ("nonce", "Nonce"),
        ("issuedAt", "Issued At"),
        ("expirationTime", "Expiration Time"),
        ("notBefore", "Not Before"),
    ] {
        if let Some(value) = field(name) {
            data[member] = value.into();
        }
    }
    if let Some(statement) = &text.statement {
        data["statement"] = statement.as_str().into();
    }
    data
}

/// A moment so many seconds after the harness' time.
fn later(secs: i64) -> String {
    crate::harness::time(NOW).plus_millis(secs * 1000).to_string()
}
