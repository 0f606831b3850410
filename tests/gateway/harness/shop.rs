//! A gateway that takes money: with a facilitator that does what it is told, payments as clients write them, and
//! sign-ins as wallets make them out of a challenge. None of it is the gateway's own code.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Answer, Gateway, Request, Setup, Upstream, Wallet};
use crate::facilitator::{Act, Server};

pub(crate) const SEPOLIA: &str = "eip155:84532";
pub(crate) const DEVNET: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

/// Who pays the fees of Solana payments.
pub(crate) const FEE_PAYER: &str = "EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU";

/// The transaction that every settlement here names.
pub(crate) const TRANSACTION: &str = "0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// Something for sale, something dearer, and something that is settled first.
pub(crate) const FOR_SALE: &str = r#"
[[route]]
name = "weather"
prefix = "/weather"
upstream = "api"
auth = "payment"
price = "$0.01"
[[route]]
name = "dear"
prefix = "/dear"
upstream = "api"
auth = "payment"
price = "$1.00"
[[route]]
name = "first"
prefix = "/first"
upstream = "api"
auth = "payment"
price = "$0.01"
settle = "before"
"#;

/// How a gateway takes money.
#[derive(Clone)]
pub(crate) struct Till {
    /// Keys of `[x402]`.
    pub(crate) keys: String,
    /// Keys of its facilitator.
    pub(crate) facilitator: String,
    /// Where money goes: pairs of network and scheme.
    pub(crate) accepts: Vec<(&'static str, &'static str)>,
}

/// A gateway that takes money, the service behind it, and the facilitator beside it.
pub(crate) struct Shop {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    pub(crate) facilitator: Server,
}

/// A payment as a client sends it.
#[derive(Clone, Debug)]
pub(crate) struct Payment(pub(crate) Value);

// === impl Till ===

impl Default for Till {
    fn default() -> Self {
        Self { keys: String::new(), facilitator: String::new(), accepts: vec![(SEPOLIA, "exact")] }
    }
}

impl Till {
    /// With more keys in `[x402]`.
    pub(crate) fn keys(mut self, keys: &str) -> Self {
        self.keys.push_str(keys);
        self
    }

    /// The facilitator is not waited for.
    pub(crate) fn hurrying(mut self) -> Self {
        self.facilitator.push_str("verify_timeout = \"400ms\"\nsettle_timeout = \"400ms\"\n");
        self
    }

    /// On these networks.
    pub(crate) fn on(mut self, networks: &[&'static str]) -> Self {
        self.accepts = networks.iter().map(|network| (*network, "exact")).collect();
        self
    }

    /// As tables of the configuration, with this facilitator.
    pub(crate) fn tables(&self, facilitator: &Server) -> String {
        let Self { keys, facilitator: more, .. } = self;
        let accepts = self.accepts.iter().map(|(network, scheme)| {
            let pay_to = match *network {
                SEPOLIA => "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
                _ => "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w",
            };
            format!("[[x402.accept]]\nnetwork = \"{network}\"\npay_to = \"{pay_to}\"\nscheme = \"{scheme}\"\n")
        });
        let accepts: String = accepts.collect();
        let url = facilitator.url();
        format!("[x402]\n{keys}\n[[x402.facilitator]]\nname = \"main\"\nurl = \"{url}\"\n{more}{accepts}")
    }
}

// === impl Shop ===

impl Shop {
    /// With these routes, before an upstream that answers `ok`.
    pub(crate) fn open(routes: &str) -> Self {
        Self::before(Upstream::ok(), routes, &Till::default())
    }

    /// The usual one.
    pub(crate) fn usual() -> Self {
        Self::open(FOR_SALE)
    }

    /// Before another upstream, with another till.
    pub(crate) fn before(upstream: Upstream, routes: &str, till: &Till) -> Self {
        Self::set_up(upstream, routes, till, |setup| setup)
    }

    /// The same, set up in another way.
    pub(crate) fn set_up(upstream: Upstream, routes: &str, till: &Till, change: impl FnOnce(Setup) -> Setup) -> Self {
        let facilitator = Server::start([]);
        facilitator.always("/supported", supported());
        Self::beside(facilitator, upstream, routes, till, change)
    }

    /// Beside a facilitator that does not say what it supports.
    pub(crate) fn set_up_deaf(upstream: Upstream, routes: &str, till: &Till) -> Self {
        Self::beside(Server::start([]), upstream, routes, till, |setup| setup)
    }

    fn beside(
        facilitator: Server,
        upstream: Upstream,
        routes: &str,
        till: &Till,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let setup = Setup::over(&upstream).routes(routes).tables(&till.tables(&facilitator));
        let gateway = change(setup).start();
        Self { gateway, upstream, facilitator }
    }

    /// From now on every payment is good, and this is the payer.
    pub(crate) fn everybody_is(&self, wallet: &Wallet) {
        self.everybody_is_called(&wallet.address(), SEPOLIA);
    }

    /// The same by address and network.
    pub(crate) fn everybody_is_called(&self, address: &str, network: &str) {
        self.facilitator.always("/verify", verified(address));
        self.facilitator.always("/settle", settled(address, network));
    }

    /// What is asked for at a target.
    pub(crate) fn challenge(&self, request: &Request) -> Value {
        let answer = self.gateway.send(request);
        assert_eq!(answer.status, 402, "{answer:?}");
        answer.decoded("payment-required").unwrap_or_else(|| panic!("no challenge in {answer:?}"))
    }

    /// Waits until so much is offered: the facilitator was heard.
    pub(crate) fn offering(&self, target: &str, offers: usize) -> Value {
        for _ in 0..1000 {
            let challenge = self.gateway.send(&Request::get(target)).decoded("payment-required").unwrap_or_default();
            if challenge["accepts"].as_array().is_some_and(|accepts| accepts.len() == offers) {
                return challenge;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{target} never had {offers} offers");
    }

    /// The payment of a wallet for what a request is asked for.
    pub(crate) fn payment(&self, request: &Request, wallet: &Wallet, number: u64) -> Payment {
        Payment::of(&self.challenge(request)["accepts"][0], &wallet.address(), number)
    }

    /// Asks, pays, and asks again.
    pub(crate) fn pay(&self, request: &Request, wallet: &Wallet, number: u64) -> Answer {
        let payment = self.payment(request, wallet, number);
        self.gateway.send(&payment.with(request))
    }

    /// Asks, signs in, and asks again.
    pub(crate) fn sign_in(&self, target: &str, wallet: &Wallet) -> Answer {
        let request = Request::get(target);
        let proof = sign_in(wallet, &self.challenge(&request));
        self.gateway.send(&request.header("SIGN-IN-WITH-X", &proof))
    }

    /// What the facilitator was asked about payments: `verify` or `settle`, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let lines = self.facilitator.lines().into_iter();
        lines.filter_map(|line| Some(line.strip_prefix("POST /")?.to_owned())).collect()
    }

    /// The bodies of those calls.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let calls = self.facilitator.seen().into_iter().filter(|seen| seen.line.starts_with("POST "));
        calls.map(|seen| serde_json::from_slice(&seen.body).expect("JSON")).collect()
    }

    /// How often a settlement was asked for.
    pub(crate) fn settlements(&self) -> usize {
        self.calls().iter().filter(|call| *call == "settle").count()
    }

    /// Waits until a settlement was asked for so often.
    pub(crate) fn wait_settlements(&self, count: usize) {
        for _ in 0..2000 {
            if self.settlements() >= count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{} of {count} settlements were asked for", self.settlements());
    }
}

// === impl Payment ===

impl Payment {
    /// By these terms, of this payer; each number is another authorization.
    pub(crate) fn of(terms: &Value, from: &str, number: u64) -> Self {
        let payload = if terms["network"] == SEPOLIA {
            json!({
                "authorization": {
                    "from": from, "to": terms["payTo"], "value": terms["amount"], "validAfter": "0",
                    "validBefore": "1795168860", "nonce": format!("0x{number:064x}"),
                },
                "signature": format!("0x{}1b", "12ae".repeat(32)),
            })
        } else {
            json!({"of another kind": number})
        };
        Self(json!({"x402Version": 2, "payload": payload, "accepted": terms}))
    }

    /// By these terms of a Solana network, with a transaction as wallets write them: the facilitator pays the fee, and the
    /// tokens are moved by word of their owner.
    pub(crate) fn of_tokens(terms: &Value, owner: &str, number: u64) -> Self {
        let key = |text: &str| -> [u8; 32] { bs58::decode(text.as_bytes()).into_array_const_unwrap() };
        let keys =
            [key(FEE_PAYER), key(owner), [5; 32], [6; 32], key("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"), [7; 32]];
        let mut bytes = vec![2];
        bytes.extend([0; 128]);
        bytes.extend([0x80, 2, 1, 2, 6]);
        bytes.extend(keys.concat());
        bytes.extend([0; 24]);
        bytes.extend(number.to_be_bytes());
        // Source, mint, destination, owner; the word of a checked transfer, an amount, and the decimals of the token.
        bytes.extend([1, 4, 4, 2, 5, 3, 1, 10, 12]);
        bytes.extend(10_000_u64.to_le_bytes());
        bytes.extend([6, 0]);
        let payload = json!({"transaction": BASE64.encode(&bytes)});
        Self(json!({"x402Version": 2, "payload": payload, "accepted": terms}))
    }

    /// The value of `PAYMENT-SIGNATURE`.
    pub(crate) fn header(&self) -> String {
        BASE64.encode(self.0.to_string().as_bytes())
    }

    /// A request that carries it.
    pub(crate) fn with(&self, request: &Request) -> Request {
        request.clone().header("PAYMENT-SIGNATURE", &self.header())
    }
}

/// What the facilitator supports.
pub(crate) fn supported() -> Act {
    let kind = |scheme: &str, network: &str, extra: Value| json!({"x402Version": 2, "scheme": scheme, "network": network, "extra": extra});
    let kinds = json!([
        kind("exact", SEPOLIA, Value::Null),
        kind("upto", SEPOLIA, json!({"facilitatorAddress": "0x000000000000000000000000000000000000dEaD"})),
        kind("exact", DEVNET, json!({"feePayer": FEE_PAYER})),
    ]);
    Act::json(200, &json!({"kinds": kinds, "extensions": [], "signers": {}}))
}

/// A payment is good, and this is the payer.
pub(crate) fn verified(payer: &str) -> Act {
    Act::json(200, &json!({"isValid": true, "payer": payer}))
}

/// A payment was settled, and this was the payer.
pub(crate) fn settled(payer: &str, network: &str) -> Act {
    Act::json(200, &json!({"success": true, "payer": payer, "transaction": TRANSACTION, "network": network}))
}

/// A settlement was refused.
pub(crate) fn refused(reason: &str) -> Act {
    Act::json(200, &json!({"success": false, "errorReason": reason, "transaction": "", "network": SEPOLIA}))
}

/// The members of a proof that a wallet gives for a challenge, before it is signed.
pub(crate) fn proof(wallet: &Wallet, challenge: &Value) -> Value {
    let extension = &challenge["extensions"]["sign-in-with-x"];
    let kind = match wallet {
        Wallet::Evm(_) => "eip191",
        Wallet::Solana(_) => "ed25519",
    };
    let chains = extension["supportedChains"].as_array().expect("chains");
    let chain = chains.iter().find(|chain| chain["type"] == kind).expect("a chain of the wallet's family");
    let mut proof = extension["info"].clone();
    proof["address"] = wallet.address().into();
    proof["chainId"] = chain["chainId"].clone();
    proof["type"] = kind.into();
    proof
}

/// The value of `SIGN-IN-WITH-X` for a proof, signed.
pub(crate) fn signed(wallet: &Wallet, mut proof: Value) -> String {
    let signature = wallet.written(&wallet.sign(&signing_text(&proof)));
    proof["signature"] = signature.into();
    BASE64.encode(proof.to_string().as_bytes())
}

/// The value of `SIGN-IN-WITH-X` that answers a challenge.
pub(crate) fn sign_in(wallet: &Wallet, challenge: &Value) -> String {
    signed(wallet, proof(wallet, challenge))
}

/// The text that a wallet signs (x402.md section 9).
fn signing_text(proof: &Value) -> String {
    let text = |member: &str| proof[member].as_str();
    let chain = text("chainId").expect("a chain");
    let (label, chain) = match chain.split_once(':').expect("a namespace") {
        ("eip155", number) => ("Ethereum", number),
        (_, reference) => ("Solana", reference),
    };
    let mut lines = vec![
        format!("{} wants you to sign in with your {label} account:", text("domain").expect("a domain")),
        text("address").expect("an address").to_owned(),
        String::new(),
    ];
    if let Some(statement) = text("statement") {
        lines.extend([statement.to_owned(), String::new()]);
    } else if label == "Ethereum" {
        lines.push(String::new());
    }
    let mut field = |name: &str, value: Option<&str>| lines.extend(value.map(|value| format!("{name}: {value}")));
    field("URI", text("uri"));
    field("Version", text("version"));
    field("Chain ID", Some(chain));
    field("Nonce", text("nonce"));
    field("Issued At", text("issuedAt"));
    field("Expiration Time", text("expirationTime"));
    field("Not Before", text("notBefore"));
    field("Request ID", text("requestId"));
    if let Some(resources) = proof["resources"].as_array() {
        lines.push("Resources:".to_owned());
        lines.extend(resources.iter().map(|resource| format!("- {}", resource.as_str().expect("a text"))));
    }
    lines.join("\n")
}
