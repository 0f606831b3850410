//! What the demo shows: who asks, with what, and what is promised to come back.

use std::time::Duration;

use serde_json::Value;

use crate::{
    cli::{
        token::mint::{MintError, Order, mint},
        wallet::{Family, Wallet},
    },
    time::UnixTime,
};

/// How long the tokens of a demo are good: a day at the desk.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The metric that tells of decisions, which every scene before the last one leaves a mark in.
const DECISIONS: &str = "siwx_auth_decisions_total";

/// The throw-away wallets.
pub(super) struct Cast {
    /// Has a subscription, on Ethereum.
    pub(super) ethereum: Wallet,
    /// Has a subscription, on Solana.
    pub(super) solana: Wallet,
    /// Has none.
    pub(super) stranger: Wallet,
}

/// One request, and what is promised.
pub(super) struct Scene {
    /// Who asks, or with what.
    pub(super) title: &'static str,
    /// What is to be seen in it.
    pub(super) point: &'static str,
    /// The host and port it goes to.
    pub(super) authority: String,
    /// The path.
    pub(super) path: &'static str,
    /// The value of `Authorization`.
    pub(super) token: Option<String>,
    /// What is promised.
    pub(super) promise: Outcome,
    /// What a person pipes the answer into, to see the point.
    pub(super) pipe: Option<&'static str>,
}

/// An answer in short: its status, and one word of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status.
    pub(super) status: u16,
    /// The reason or code of a refusal; the address that the API was told; the name of a metric.
    pub(super) word: String,
}

// === impl Cast ===

impl Cast {
    /// Three new wallets.
    pub(super) fn new() -> Result<Self, MintError> {
        Ok(Self {
            ethereum: Wallet::generate(Family::Evm)?,
            solana: Wallet::generate(Family::Solana)?,
            stranger: Wallet::generate(Family::Evm)?,
        })
    }

    /// All requests of the demo, in their order.
    pub(super) fn scenes(&self, gateway: &str, admin: &str, now: UnixTime) -> Result<Vec<Scene>, MintError> {
        let token = |wallet: &Wallet, authority: &str| {
            let uri = format!("http://{authority}");
            let order = Order {
                domain: authority,
                uri: &uri,
                chain: None,
                statement: None,
                resources: &[],
                lifetime: LIFETIME,
            };
            mint(wallet, &order, now).map(Some)
        };
        let scene = |title, point, token, status, word: &str| Scene {
            title,
            point,
            authority: gateway.to_owned(),
            path: "/hello",
            token,
            promise: Outcome { status, word: word.to_owned() },
            pipe: None,
        };
        let ethereum = self.ethereum.address();
        let solana = self.solana.address();
        Ok(vec![
            scene("No credential", "The answer says what is expected", None, 401, "credential_required"),
            scene(
                "An Ethereum wallet with a subscription",
                "The API is told who asks",
                token(&self.ethereum, gateway)?,
                200,
                &ethereum,
            ),
            scene(
                "A Solana wallet with a subscription",
                "The same door for another chain",
                token(&self.solana, gateway)?,
                200,
                &solana,
            ),
            scene(
                "A token for another domain",
                "What was signed for one site opens no other",
                token(&self.ethereum, "elsewhere.example")?,
                401,
                "domain_mismatch",
            ),
            scene(
                "A wallet without a subscription",
                "A good signature alone is not enough",
                token(&self.stranger, gateway)?,
                403,
                "subscription_required",
            ),
            Scene {
                title: "The metrics",
                point: "Every decision was counted",
                authority: admin.to_owned(),
                path: "/metrics",
                token: None,
                promise: Outcome { status: 200, word: DECISIONS.to_owned() },
                pipe: Some("grep 'siwx_auth_decisions.* [1-9]'"),
            },
        ])
    }
}

// === impl Scene ===

impl Scene {
    /// The request as a line for a shell.
    pub(super) fn curl(&self) -> String {
        let options = if self.pipe.is_some() { "-s" } else { "-i" };
        let mut line = format!("curl {options} http://{}{}", self.authority, self.path);
        // A token has no quotes: it is base64, a dot, and hex or base58.
        if let Some(token) = &self.token {
            line.push_str(&format!(" -H 'Authorization: {token}'"));
        }
        if let Some(pipe) = self.pipe {
            line.push_str(&format!(" | {pipe}"));
        }
        line
    }
}

// === impl Outcome ===

impl Outcome {
    /// An answer in short.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        let word = match serde_json::from_slice::<Value>(body) {
            Ok(json) => {
                let found = json.get("reason").or_else(|| json.get("code"));
                let found = found.or_else(|| json.pointer("/headers/x-siwx-address"));
                found.and_then(Value::as_str).unwrap_or("no word").to_owned()
            }
            Err(_) => {
                let counted = String::from_utf8_lossy(body).lines().any(|line| {
                    line.starts_with(DECISIONS) && line.rsplit(' ').next().is_some_and(|value| value != "0")
                });
                (if counted { DECISIONS } else { "nothing counted" }).to_owned()
            }
        };
        Self { status, word }
    }

    /// For a column of a table.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.status, shortened(&self.word))
    }
}

/// An address as people tell it: both of its ends. Other words are whole.
pub(super) fn shortened(word: &str) -> String {
    let is_address = word.len() > 30 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    match (word.get(..6), word.get(word.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if is_address => format!("{first}…{last}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_shell() {
        let cast = Cast::new().expect("wallets");
        let scenes = cast.scenes("127.0.0.1:1", "127.0.0.1:2", UnixTime::from_secs(0)).expect("scenes");
        let lines: Vec<String> = scenes.iter().map(Scene::curl).collect();
        assert_eq!(lines[0], "curl -i http://127.0.0.1:1/hello");
        assert_eq!(lines[5], "curl -s http://127.0.0.1:2/metrics | grep 'siwx_auth_decisions.* [1-9]'");
        for line in &lines[1..5] {
            let token = line.strip_prefix("curl -i http://127.0.0.1:1/hello -H 'Authorization: SIWX ");
            let token = token.and_then(|rest| rest.strip_suffix('\'')).expect("a token in quotes");
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=.".contains(&b)), "{token}");
        }
    }

    #[test]
    fn answers_in_short() {
        let address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let echo = format!(r#"{{"method":"GET","headers":{{"x-siwx-address":"{address}"}}}}"#);
        let rows = [
            ("a reason goes before a code", 401, r#"{"code":"invalid_token","reason":"expired"}"#, "401 expired"),
            ("a code", 403, r#"{"code":"subscription_required"}"#, "403 subscription_required"),
            ("the API", 200, &echo, "200 0xf39F…2266"),
            ("the API, told nothing", 200, r#"{"headers":{}}"#, "200 no word"),
            ("metrics", 200, "x 1\nsiwx_auth_decisions_total{a=\"b\"} 2\n", "200 siwx_auth_decisions_total"),
            ("metrics at 0", 200, "x 1\nsiwx_auth_decisions_total{a=\"b\"} 0\n", "200 nothing counted"),
            ("something else", 502, "<html>", "502 nothing counted"),
        ];
        for (name, status, body, expected) in rows {
            assert_eq!(Outcome::of(status, body.as_bytes()).shown(), expected, "{name}");
        }
    }
}
