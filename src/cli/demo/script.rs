//! What the demo shows: who asks, with what, and what is promised to come back.

use std::time::Duration;

use serde_json::Value;

use super::transfer;
use crate::{
    caip::ChainId,
    cli::{
        token::mint::{MintError, Order, mint},
        wallet::{Family, Wallet, random},
    },
    time::UnixTime,
    x402::{
        asset::{Asset, Price},
        terms::{Accept, Offer, PaymentFlow, Scheme, Terms},
    },
};

/// The network of the demo's payments: a test net, should one of them ever reach a real facilitator.
pub(super) const NETWORK: &str = "eip155:84532";

/// Who would be paid: an address that nobody has the key of.
pub(super) const SELLER: &str = "0x0000000000000000000000000000000000000402";

/// What it costs.
pub(super) const PRICE: &str = "$0.01";

/// Where it is asked for.
pub(super) const PAID_PATH: &str = "/paid";

/// How long a payment may be settled, as the configuration has it by default.
const PAYMENT_TIMEOUT_SECS: u32 = 60;

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
    /// Pays, on Ethereum's kin.
    pub(super) buyer: Wallet,
}

/// One request, and what is promised.
pub(super) struct Scene<'a> {
    /// Who asks, or with what.
    pub(super) title: &'static str,
    /// What is to be seen in it.
    pub(super) point: &'static str,
    /// The host and port it goes to.
    pub(super) authority: String,
    /// The path.
    pub(super) path: &'static str,
    /// What is presented.
    pub(super) presented: Presented<'a>,
    /// What is promised.
    pub(super) promise: Outcome,
    /// What a person pipes the answer into, to see the point.
    pub(super) pipe: Option<&'static str>,
}

/// What a request presents.
pub(super) enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// A header, made beforehand.
    Header(&'static str, String),
    /// A sign-in of this wallet. It needs a nonce, so it can be made only when a challenge is there.
    SignIn(&'a Wallet),
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
    /// New wallets.
    pub(super) fn new() -> Result<Self, MintError> {
        Ok(Self {
            ethereum: Wallet::generate(Family::Evm)?,
            solana: Wallet::generate(Family::Solana)?,
            stranger: Wallet::generate(Family::Evm)?,
            buyer: Wallet::generate(Family::Evm)?,
        })
    }

    /// All requests of the demo, in their order.
    pub(super) fn scenes(&self, gateway: &str, admin: &str, now: UnixTime) -> Result<Vec<Scene<'_>>, MintError> {
        let mut scenes = self.subscribed(gateway, now)?;
        scenes.extend(self.paid(gateway, now)?);
        scenes.push(Scene {
            title: "The metrics",
            point: "Every decision was counted",
            authority: admin.to_owned(),
            path: "/metrics",
            presented: Presented::Nothing,
            promise: Outcome { status: 200, word: DECISIONS.to_owned() },
            pipe: Some("grep 'siwx_auth_decisions.* [1-9]'"),
        });
        Ok(scenes)
    }

    /// Tokens and subscriptions.
    fn subscribed(&self, gateway: &str, now: UnixTime) -> Result<Vec<Scene<'_>>, MintError> {
        let scene = |title, point, presented, status, word: &str| Scene {
            title,
            point,
            authority: gateway.to_owned(),
            path: "/hello",
            presented,
            promise: Outcome { status, word: word.to_owned() },
            pipe: None,
        };
        let (ethereum, solana) = (self.ethereum.address(), self.solana.address());
        Ok(vec![
            scene("No credential", "The answer says what is expected", Presented::Nothing, 401, "credential_required"),
            scene(
                "An Ethereum wallet with a subscription",
                "The API is told who asks",
                token(&self.ethereum, gateway, now)?,
                200,
                &ethereum,
            ),
            scene(
                "A Solana wallet with a subscription",
                "The same door for another chain",
                token(&self.solana, gateway, now)?,
                200,
                &solana,
            ),
            scene(
                "A token for another domain",
                "What was signed for one site opens no other",
                token(&self.ethereum, "elsewhere.example", now)?,
                401,
                "domain_mismatch",
            ),
            scene(
                "A wallet without a subscription",
                "A good signature alone is not enough",
                token(&self.stranger, gateway, now)?,
                403,
                "subscription_required",
            ),
        ])
    }

    /// A payment, and what it opens.
    fn paid(&self, gateway: &str, now: UnixTime) -> Result<Vec<Scene<'_>>, MintError> {
        let scene = |title, point, presented, status, word: &str| Scene {
            title,
            point,
            authority: gateway.to_owned(),
            path: PAID_PATH,
            presented,
            promise: Outcome { status, word: word.to_owned() },
            pipe: None,
        };
        let buyer = self.buyer.address();
        let payment = transfer::payment(&self.buyer, &terms(), random()?, (now, LIFETIME.as_secs()))?;
        let pay = || Presented::Header("PAYMENT-SIGNATURE", payment.clone());
        Ok(vec![
            scene(
                "A page with a price",
                "The challenge says what to pay, and how to sign in after that",
                Presented::Nothing,
                402,
                "payment_required",
            ),
            scene("A payment", "A cent of test money, and the API is told who paid", pay(), 200, &buyer),
            scene("The same payment again", "It is good once", pay(), 409, "payment_already_used"),
            scene(
                "Back by signing in",
                "The binary signs the challenge as the payer's wallet; nothing is paid",
                Presented::SignIn(&self.buyer),
                200,
                &buyer,
            ),
            scene(
                "Back by a token",
                "The same wallet without a challenge; nothing is paid",
                token(&self.buyer, gateway, now)?,
                200,
                &buyer,
            ),
        ])
    }
}

fn token(wallet: &Wallet, authority: &str, now: UnixTime) -> Result<Presented<'static>, MintError> {
    let uri = format!("http://{authority}");
    let order =
        Order { domain: authority, uri: &uri, chain: None, statement: None, resources: &[], lifetime: LIFETIME };
    Ok(Presented::Header("Authorization", mint(wallet, &order, now)?))
}

/// The terms that the gateway of the demo offers, as its configuration has them.
fn terms() -> Terms {
    let network = ChainId::parse(NETWORK).expect("a constant that a test has read");
    let asset = Asset::known("usdc", &network).expect("a network on which USDC is known");
    let accept =
        Accept { network, pay_to: SELLER.to_owned(), asset, scheme: Scheme::Exact, timeout_secs: PAYMENT_TIMEOUT_SECS };
    let price = Price::parse(PRICE).expect("a constant that a test has read");
    let offer = Offer::new(accept, price, PaymentFlow::Authorization, None).expect("an offer of constants");
    offer.terms(None).expect("`exact` on an EVM chain needs nothing of the facilitator")
}

// === impl Scene ===

impl Scene<'_> {
    /// What is asked for.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// The request as a line for a shell.
    pub(super) fn curl(&self) -> String {
        let options = if self.pipe.is_some() { "-s" } else { "-i" };
        let url = self.url();
        let mut line = format!("curl {options} {url}");
        match &self.presented {
            Presented::Nothing => {}
            // Neither a token nor a payment has quotes: they are base64, dots, and hex or base58.
            Presented::Header(name, value) => line.push_str(&format!(" -H '{name}: {value}'")),
            Presented::SignIn(wallet) => {
                let (key, binary) = (wallet.write(), this_binary());
                line.push_str(&format!(
                    " -H \"SIGN-IN-WITH-X: $(curl -s {url} | SIWX_KEY={} {binary} token mint --format sign-in-with-x \
                     --challenge - --domain {} --uri {url})\"",
                    key.expose().trim_end(),
                    self.authority,
                ));
            }
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

/// How a shell calls this program: by its whole path, in quotes if that has anything but plain characters.
fn this_binary() -> String {
    let path = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let path = path.unwrap_or_else(|| "siwx-gateway".to_owned());
    if path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b)) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
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
    use crate::{
        caip::AccountKey,
        cli::wallet::WalletError,
        x402::{payment::Payment, terms::match_terms},
    };

    #[test]
    fn lines_for_a_shell() {
        let cast = Cast::new().expect("wallets");
        let scenes = cast.scenes("127.0.0.1:1", "127.0.0.1:2", UnixTime::from_secs(0)).expect("scenes");
        let lines: Vec<String> = scenes.iter().map(Scene::curl).collect();
        assert_eq!(lines[0], "curl -i http://127.0.0.1:1/hello");
        assert_eq!(lines[5], "curl -i http://127.0.0.1:1/paid");
        assert_eq!(lines[10], "curl -s http://127.0.0.1:2/metrics | grep 'siwx_auth_decisions.* [1-9]'");
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[6], lines[7], "the same payment twice");
        let quoted = |line: &str, before: &str| {
            let value = line.strip_prefix(before).and_then(|rest| rest.strip_suffix('\'')).expect("a value in quotes");
            assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=.".contains(&b)), "{value}");
        };
        for line in &lines[1..5] {
            quoted(line, "curl -i http://127.0.0.1:1/hello -H 'Authorization: SIWX ");
        }
        quoted(&lines[6], "curl -i http://127.0.0.1:1/paid -H 'PAYMENT-SIGNATURE: ");
        quoted(&lines[9], "curl -i http://127.0.0.1:1/paid -H 'Authorization: SIWX ");
        let sign_in = format!(
            "curl -i http://127.0.0.1:1/paid -H \"SIGN-IN-WITH-X: $(curl -s http://127.0.0.1:1/paid | SIWX_KEY={} {} \
             token mint --format sign-in-with-x --challenge - --domain 127.0.0.1:1 --uri http://127.0.0.1:1/paid)\"",
            cast.buyer.write().expose().trim_end(),
            this_binary(),
        );
        assert_eq!(lines[8], sign_in);
    }

    #[test]
    fn the_payment_is_one_for_the_terms_that_are_offered() {
        let cast = Cast::new().expect("wallets");
        let now = UnixTime::from_secs(1_000);
        let payment = transfer::payment(&cast.buyer, &terms(), [7; 32], (now, 60)).expect("a payment");
        let payment = Payment::read(payment.as_bytes()).expect("a payment");
        assert_eq!(match_terms(&[terms()], payment.accepted()), Some(0));
        let authorization = payment.authorization(&terms()).expect("an authorization");
        assert_eq!(authorization.payers(), [AccountKey::new("eip155", &cast.buyer.address())]);
        let of_solana = transfer::payment(&cast.solana, &terms(), [7; 32], (now, 60));
        assert_eq!(of_solana, Err(WalletError::TypedData));
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
