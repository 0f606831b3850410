//! The login page as it is answered: by itself, or as the body of a refusal (sessions.md section 2.6).
//!
//! What a person reads about a refusal stands in the page as text, so that it is there without a script too. What the
//! script needs beside it is JSON in one attribute.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};
use serde::Serialize;

use super::landing::ReturnPath;
use crate::x402::{
    asset::{Asset, Price},
    terms::{Scheme, Terms},
};

/// The frame, with a hole for each value: `{{name}}`.
const FRAME: &str = include_str!("login.html");

/// Fields of every such answer. Nobody frames the page: whoever could would lay buttons of theirs over its own.
const FIELDS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
];

/// The login page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// Where the session API is, such as `/.siwx`.
    pub prefix: &'a str,
    /// What the page is for.
    pub purpose: Purpose<'a>,
}

/// What brought a person to the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A request was refused, and the page is at its URL: after signing in it is loaded again.
    Refused(Refused<'a>),
    /// The page itself was asked for.
    SignIn(ReturnPath),
}

/// A refusal, as its answer says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The stable code.
    pub code: &'a str,
    /// The sentence of the answer.
    pub detail: &'a str,
    /// What may be paid, of a 402.
    pub offers: Vec<Offer>,
}

/// One way to pay, as x402 clients are offered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The plan that it buys; nothing: the page alone.
    pub plan: Option<String>,
    /// In dollars, such as `$0.01`.
    pub price: String,
    /// Whether the price is the highest that may be charged.
    pub at_most: bool,
    /// The CAIP-2 chain.
    pub network: String,
    /// What the token is called, where it is known.
    pub token: Option<&'static str>,
    /// Its contract or mint.
    pub asset: String,
    /// In its smallest unit.
    pub amount: String,
    /// Who is paid.
    pub pay_to: String,
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    /// Where to go; nothing: here, once more.
    #[serde(rename = "return")]
    return_to: Option<&'a str>,
    code: Option<&'a str>,
    offers: &'a [Offer],
}

// === impl Offer ===

impl From<&Terms> for Offer {
    fn from(terms: &Terms) -> Self {
        Self {
            plan: terms.plan().map(str::to_owned),
            price: Price::of_amount(terms.amount(), terms.decimals())
                .map_or_else(|| "$0".to_owned(), |price| price.to_string()),
            at_most: terms.scheme() == Scheme::Upto,
            network: terms.network().to_string(),
            token: Asset::symbol_at(terms.network(), terms.asset()),
            asset: terms.asset().to_owned(),
            amount: terms.amount().to_string(),
            pay_to: terms.pay_to().to_owned(),
        }
    }
}

// === impl Page ===

impl Page<'_> {
    /// The answer to a GET of the page itself.
    pub fn respond(&self) -> Response<Bytes> {
        self.dress(Response::new(Bytes::new()))
    }

    /// Puts the page into an answer, whose status stays, and whose other fields stay but for those about the body.
    pub fn dress(&self, mut answer: Response<Bytes>) -> Response<Bytes> {
        *answer.body_mut() = Bytes::from(self.html());
        answer.headers_mut().remove(CONTENT_LENGTH);
        for (name, value) in FIELDS {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    fn html(&self) -> String {
        let data = match &self.purpose {
            Purpose::Refused(refused) => {
                Data { return_to: None, code: Some(refused.code), offers: refused.offers.as_slice() }
            }
            Purpose::SignIn(path) => Data { return_to: Some(path.as_str()), code: None, offers: &[] },
        };
        let data = serde_json::to_string(&data).expect("texts are JSON");
        let (title, why) = self.purpose.words();
        filled(FRAME, |hole| match hole {
            "prefix" => self.prefix,
            "data" => &data,
            "title" => title,
            "why" => &why,
            _ => "",
        })
    }
}

// === impl Purpose ===

impl Purpose<'_> {
    /// The heading and the sentence below it. What answers say is for those who write clients; where that does not tell a
    /// person what to do, the page says it in other words.
    fn words(&self) -> (&'static str, String) {
        let Self::Refused(Refused { code, detail, offers }) = self else {
            return ("Sign in", "Use a wallet to sign in. There is no password.".to_owned());
        };
        let (title, why) = match *code {
            "credential_required" => ("Sign in", "This page opens for wallets that sign in."),
            // A route that sells nothing asks clients of x402 to sign in by the same status.
            "payment_required" if offers.is_empty() => ("Sign in", "This page opens for wallets that sign in."),
            "payment_required" => {
                ("For sale", "This page has a price. A wallet that has paid it already only needs to sign in.")
            }
            "subscription_required" => {
                ("Subscription needed", "The account that is signed in has no subscription that opens this page.")
            }
            "plan_required" => {
                let needs = detail.strip_prefix("this route ").map(|needs| format!("This page {needs}."));
                return ("Another plan needed", needs.unwrap_or_else(|| sentence(detail)));
            }
            "account_denied" => ("No entry", "This account is not let in here."),
            _ => return ("Sign in", format!("What your browser sent was refused: {detail}. Sign in again.")),
        };
        (title, why.to_owned())
    }
}

/// A detail, which begins with a small letter and has no full stop, as a sentence.
fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// The frame with its holes filled by escaped values. What a value holds is never taken for a hole.
fn filled<'v>(frame: &str, value: impl Fn(&str) -> &'v str) -> String {
    let mut out = String::with_capacity(frame.len() + 1024);
    let mut rest = frame;
    while let Some((before, after)) = rest.split_once("{{") {
        let (hole, behind) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        escape(value(hole), &mut out);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Writes a text as HTML, good in an element and in a quoted attribute.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A parser turns it into U+FFFD, and the rest of Unicode's controls mean nothing to it.
            '\0' => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{StatusCode, header::WWW_AUTHENTICATE};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        caip::ChainId,
        x402::terms::{Accept, Offer as Priced, PaymentFlow},
    };

    fn refused<'a>(code: &'a str, detail: &'a str) -> Purpose<'a> {
        Purpose::Refused(Refused { code, detail, offers: Vec::new() })
    }

    fn html(purpose: Purpose<'_>) -> String {
        Page { prefix: "/.siwx", purpose }.html()
    }

    /// The JSON of the page, read as a browser reads it.
    fn data(html: &str) -> Value {
        let (_, after) = html.split_once("data-page=\"").expect("the attribute");
        let (escaped, _) = after.split_once('"').expect("its end");
        let text = ["&quot;", "&lt;", "&gt;", "&#39;", "&amp;"].iter().zip(["\"", "<", ">", "'", "&"]);
        let text = text.fold(escaped.to_owned(), |text, (from, to)| text.replace(from, to));
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn the_frame_has_the_holes_that_are_filled() {
        let holes = FRAME.split("{{").skip(1).map(|after| after.split("}}").next().expect("a name"));
        let mut holes = holes.collect::<Vec<_>>();
        holes.sort_unstable();
        holes.dedup();
        assert_eq!(holes, ["data", "prefix", "title", "why"]);
        assert!(!html(Purpose::SignIn(ReturnPath::default())).contains("{{"));
    }

    #[test]
    fn nothing_in_the_frame_is_inline() {
        let lower = FRAME.to_ascii_lowercase();
        assert_eq!(lower.matches("<script").count(), 1);
        assert!(lower.contains("<script type=\"module\" src=\"{{prefix}}/login.js\"></script>"));
        assert!(!lower.contains("<style") && !lower.contains(" style="), "an inline style");
        let handlers = lower.split_ascii_whitespace().filter(|word| word.starts_with("on") && word.contains('='));
        assert_eq!(handlers.count(), 0, "an inline handler");
    }

    #[test]
    fn the_page_says_where_to_return() {
        let html = html(Purpose::SignIn(ReturnPath::parse("/a?b=1&c=<2>")));
        assert_eq!(data(&html), json!({ "return": "/", "code": null, "offers": [] }));
        let html = self::html(Purpose::SignIn(ReturnPath::parse("/a?b=1&c='2'")));
        assert_eq!(data(&html), json!({ "return": "/a?b=1&c='2'", "code": null, "offers": [] }));
        assert!(html.contains("&amp;c=&#39;2&#39;"), "escaped in the attribute");
        assert_eq!(data(&self::html(refused("account_denied", "")))["return"], Value::Null);
    }

    #[test]
    fn values_are_escaped_and_never_taken_for_holes() {
        let hostile = "`\"><script>alert('x')</script>&{{prefix}}\0";
        let page = Page { prefix: "/p\"><b>", purpose: refused(hostile, hostile) };
        let html = page.html();
        assert_eq!(html.matches("<script").count(), 1, "{html}");
        assert!(!html.contains("<b>") && !html.contains('\0'), "{html}");
        assert!(html.contains("`&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;{{prefix}}"), "{html}");
        assert_eq!(data(&html)["code"], hostile);
    }

    #[test]
    fn people_are_told_what_to_do_in_other_words_than_clients() {
        for (code, detail, title, why) in [
            (
                "credential_required",
                "expected `Authorization: SIWX base64(message).signature`",
                "Sign in",
                "This page opens for wallets that sign in.",
            ),
            (
                "payment_required",
                "what may be paid is in `PAYMENT-REQUIRED`",
                "Sign in",
                "This page opens for wallets that sign in.",
            ),
            (
                "subscription_required",
                "the subscription of this account has ended",
                "Subscription needed",
                "The account that is signed in has no subscription that opens this page.",
            ),
            (
                "plan_required",
                "this route needs the plan `pro`",
                "Another plan needed",
                "This page needs the plan `pro`.",
            ),
            ("account_denied", "this account is not let in", "No entry", "This account is not let in here."),
            (
                "invalid_token",
                "session_expired: the session has ended",
                "Sign in",
                "What your browser sent was refused: session_expired: the session has ended. Sign in again.",
            ),
        ] {
            assert_eq!(refused(code, detail).words(), (title, why.to_owned()), "{code}");
            let html = html(refused(code, detail));
            assert!(html.contains(&format!("<title>{title}</title>")), "{code}");
            assert!(html.contains(why), "{code}");
        }
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn a_refusal_keeps_its_status_and_fields() {
        let mut answer = Response::new(Bytes::from_static(b"{}"));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        for (name, value) in [
            (WWW_AUTHENTICATE, "SIWX realm=\"gateway.example\""),
            (CONTENT_TYPE, "application/problem+json"),
            (CONTENT_LENGTH, "2"),
            (CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("x-request-id"), "r1"),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let page = Page { prefix: "/.siwx", purpose: refused("credential_required", "") };
        let dressed = page.dress(answer);
        assert_eq!(dressed.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(dressed.headers()[WWW_AUTHENTICATE], "SIWX realm=\"gateway.example\"");
        assert_eq!(dressed.headers()["x-request-id"], "r1");
        assert_eq!(dressed.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(!dressed.headers().contains_key(CONTENT_LENGTH), "the length of another body");
        assert!(dressed.body().starts_with(b"<!doctype html>"));
    }

    #[test]
    fn the_page_is_framed_by_nobody_and_kept_by_nobody() {
        let answer = Page { prefix: "/.siwx", purpose: Purpose::SignIn(ReturnPath::default()) }.respond();
        assert_eq!(answer.status(), StatusCode::OK);
        let field = |name: HeaderName| answer.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(
            field(CONTENT_SECURITY_POLICY),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
        );
        assert_eq!(field(REFERRER_POLICY), "no-referrer");
        assert_eq!(field(X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(field(X_FRAME_OPTIONS), "DENY");
        assert_eq!(field(CACHE_CONTROL), "no-store");
    }

    #[test]
    fn a_402_says_what_clients_would_pay() {
        let network = ChainId::parse("eip155:8453").expect("a chain");
        let asset = Asset::known("usdc", &network).expect("USDC on Base");
        let accept = Accept { network, pay_to: "0xPAY".to_owned(), asset, scheme: Scheme::Exact, timeout_secs: 60 };
        let price = Price::parse("$5.00").expect("a price");
        let priced = Priced::new(accept, price, PaymentFlow::Authorization, Some("pro".to_owned())).expect("an offer");
        let terms = priced.terms(None).expect("terms");
        let refused = Refused { code: "payment_required", detail: "", offers: vec![Offer::from(&terms)] };
        let expected = json!([{
            "plan": "pro", "price": "$5", "atMost": false, "network": "eip155:8453", "token": "USDC",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "amount": "5000000", "payTo": "0xPAY",
        }]);
        assert_eq!(data(&html(Purpose::Refused(refused)))["offers"], expected);
    }
}
