//! `token mint --format sign-in-with-x`: the invitation of a 402, accepted by a wallet (x402.md sections 8 and 9).
//!
//! 1. An invitation says what is signed: domain, URI, nonce and times are the seller's. So it is accepted only where
//!    its domain and URI are those that the caller asked for; otherwise one site could have a proof made for another.
//! 2. The text is rebuilt from the members as a gateway rebuilds it, which refuses control characters, and is read
//!    back before it is signed.
//! 3. A proof is good once, and for as long as the invitation says.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    caip::ChainId,
    chain::DIALECTS,
    cli::{input::widest_reading, wallet::Wallet},
    siwx::{
        Message, MessageError,
        rebuild::{Payload, rebuild},
    },
    x402::{
        SIGN_IN_EXTENSION, challenge,
        wire::{self, HeaderError},
    },
};

/// The invitation to sign in that a challenge carries.
#[derive(Debug)]
pub(in crate::cli) struct Invitation {
    info: Map<String, Value>,
    chains: Vec<ChainId>,
}

/// Why an invitation is not accepted.
#[derive(Debug, Error)]
pub(in crate::cli) enum InvitationError {
    /// It invites no wallet of this kind, or not to the chain that was asked for.
    #[error("expected an invitation to sign in on {expected}, found one for {found}")]
    Chain {
        /// The chain, or the namespace, that was asked for.
        expected: String,
        /// The chains that it is for.
        found: String,
    },
    /// The challenge invites nobody to sign in.
    #[error("expected a challenge with the extension `{SIGN_IN_EXTENSION}`, found none in it")]
    Missing,
    /// The invitation is for another site, or another page of it.
    #[error("expected an invitation whose `{member}` is `{expected}`, found `{found}`")]
    Other {
        /// The member.
        member: &'static str,
        /// What the caller asked for.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The text would not be read.
    #[error("a message of this invitation would be refused by whoever reads it: {0}")]
    Message(#[from] MessageError),
    /// Neither the body of a 402 nor the value of its header.
    #[error("expected the body of a 402 or the value of its PAYMENT-REQUIRED header: {0}")]
    Unreadable(#[from] HeaderError),
}

/// Members that are signed and that an invitation may have beside those that it must have.
const OPTIONAL: [&str; 4] = ["statement", "expirationTime", "notBefore", "requestId"];

// === impl Invitation ===

impl Invitation {
    /// Reads the body of a 402, or the value of its `PAYMENT-REQUIRED` header.
    pub(in crate::cli) fn read(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim();
        let challenge = if text.starts_with('{') {
            wire::parse_object(text.as_bytes())?
        } else {
            wire::parse_object(&wire::decode_header(text.as_bytes())?)?
        };
        let extension = challenge.get("extensions").and_then(|all| all.get(SIGN_IN_EXTENSION));
        let extension = extension.ok_or(InvitationError::Missing)?;
        let info = extension.get("info").and_then(Value::as_object).ok_or(InvitationError::Missing)?;
        let chains = extension.get("supportedChains").and_then(Value::as_array).into_iter().flatten();
        let chains = chains.filter_map(|chain| ChainId::parse(chain.get("chainId")?.as_str()?).ok()).collect();
        Ok(Self { info: info.clone(), chains })
    }

    /// Signs it and gives the value of `SIGN-IN-WITH-X`. `chain` is one of those it is for; without it the first that
    /// the wallet has accounts on is taken.
    pub(in crate::cli) fn accept(
        &self,
        wallet: &Wallet,
        (domain, uri): (&str, &str),
        chain: Option<&str>,
    ) -> Result<String, InvitationError> {
        self.says("domain", domain)?;
        self.says("uri", uri)?;
        let chain = self.chain(wallet, chain)?;
        let address = wallet.address();
        let resources: Option<Vec<String>> = self
            .info
            .get("resources")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let [statement, expiration_time, not_before, request_id] = OPTIONAL.map(|name| self.text(name));
        let text = rebuild(
            &Payload {
                domain: Some(domain),
                address: Some(&address),
                uri: Some(uri),
                version: self.text("version"),
                chain_id: Some(chain.as_str()),
                nonce: self.text("nonce"),
                issued_at: self.text("issuedAt"),
                statement,
                expiration_time,
                not_before,
                request_id,
                resources: resources.as_deref(),
            },
            DIALECTS,
        )?;
        Message::parse(text.as_bytes(), DIALECTS, &widest_reading())?;
        let mut proof = json!({
            "domain": domain,
            "address": address,
            "uri": uri,
            "version": self.text("version"),
            "chainId": chain.as_str(),
            "type": challenge::signature_type(chain),
            "nonce": self.text("nonce"),
            "issuedAt": self.text("issuedAt"),
            "signature": wallet.sign(text.as_bytes()),
        });
        for name in OPTIONAL {
            if let Some(text) = self.text(name) {
                proof[name] = text.into();
            }
        }
        if let Some(resources) = resources {
            proof["resources"] = resources.into();
        }
        Ok(wire::encode_header(&proof.to_string()))
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.info.get(member)?.as_str()
    }

    fn says(&self, member: &'static str, expected: &str) -> Result<(), InvitationError> {
        let found = self.text(member).unwrap_or_default();
        if found == expected {
            return Ok(());
        }
        let found = wire::printable(found);
        Err(InvitationError::Other { member, expected: expected.to_owned(), found })
    }

    fn chain(&self, wallet: &Wallet, named: Option<&str>) -> Result<&ChainId, InvitationError> {
        let fits = |chain: &&ChainId| {
            chain.namespace() == wallet.namespace() && named.is_none_or(|named| chain.as_str() == named)
        };
        self.chains.iter().find(fits).ok_or_else(|| InvitationError::Chain {
            expected: named
                .map_or_else(|| format!("a chain of `{}`", wallet.namespace()), |named| format!("`{named}`")),
            found: self.chains.iter().map(|chain| format!("`{chain}`")).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::wallet::Family;

    const HERE: (&str, &str) = ("api.example.com", "https://api.example.com/premium");

    fn challenge(domain: &str, statement: &str) -> Value {
        json!({"x402Version": 2, "accepts": [], "extensions": {"sign-in-with-x": {
            "info": {
                "domain": domain, "uri": HERE.1, "version": "1", "nonce": "0409596f72bb8e2f", "statement": statement,
                "issuedAt": "2026-11-20T10:00:00.000Z", "resources": [HERE.1],
                "expirationTime": "2026-11-20T10:05:00.000Z",
            },
            "supportedChains": [
                {"chainId": "eip155:84532", "type": "eip191"}, {"chainId": "eip155:8453", "type": "eip191"},
            ],
            "schema": {},
        }}})
    }

    #[test]
    fn bodies_and_headers_give_the_same_proof() {
        let wallet = Wallet::generate(Family::Evm).expect("a wallet");
        let body = challenge(HERE.0, "Sign in").to_string();
        let accept = |text: &str| Invitation::read(text).expect("a challenge").accept(&wallet, HERE, None);
        let proof = accept(&body).expect("a proof");
        assert_eq!(accept(&wire::encode_header(&body)).expect("a proof"), proof);
        let proof = wire::parse_object(&wire::decode_header(proof.as_bytes()).expect("base64")).expect("an object");
        let text = format!(
            "api.example.com wants you to sign in with your Ethereum account:\n{}\n\nSign in\n\n\
             URI: https://api.example.com/premium\nVersion: 1\nChain ID: 84532\nNonce: 0409596f72bb8e2f\n\
             Issued At: 2026-11-20T10:00:00.000Z\nExpiration Time: 2026-11-20T10:05:00.000Z\n\
             Resources:\n- https://api.example.com/premium",
            wallet.address()
        );
        let expected = json!({
            "domain": HERE.0, "address": wallet.address(), "uri": HERE.1, "version": "1", "chainId": "eip155:84532",
            "type": "eip191", "nonce": "0409596f72bb8e2f", "issuedAt": "2026-11-20T10:00:00.000Z",
            "signature": wallet.sign(text.as_bytes()), "statement": "Sign in",
            "expirationTime": "2026-11-20T10:05:00.000Z", "resources": [HERE.1],
        });
        assert_eq!(Value::Object(proof), expected);
    }

    #[test]
    fn what_is_not_signed() {
        let evm = Wallet::generate(Family::Evm).expect("a wallet");
        let solana = Wallet::generate(Family::Solana).expect("a wallet");
        let good = challenge(HERE.0, "Sign in");
        let injected = challenge(HERE.0, "Sign in\n\nURI: https://elsewhere.example");
        let of_chains = "found one for `eip155:84532`, `eip155:8453`";
        let rows = [
            (
                "another site",
                &challenge("elsewhere.example", ""),
                &evm,
                None,
                "expected an invitation whose `domain` is `api.example.com`, found `elsewhere.example`".to_owned(),
            ),
            (
                "a chain it is not for",
                &good,
                &evm,
                Some("eip155:1"),
                format!("expected an invitation to sign in on `eip155:1`, {of_chains}"),
            ),
            (
                "a wallet it is not for",
                &good,
                &solana,
                None,
                format!("expected an invitation to sign in on a chain of `solana`, {of_chains}"),
            ),
            (
                "a line feed",
                &injected,
                &evm,
                None,
                "a message of this invitation would be refused by whoever reads it: \
                 character U+000A is not allowed in `statement`"
                    .to_owned(),
            ),
        ];
        for (name, challenge, wallet, chain, expected) in rows {
            let invitation = Invitation::read(&challenge.to_string()).expect(name);
            let error = invitation.accept(wallet, HERE, chain).expect_err(name);
            assert_eq!(error.to_string(), expected, "{name}");
        }
        let elsewhere = (HERE.0, "https://api.example.com/other");
        let error = Invitation::read(&good.to_string()).expect("a challenge").accept(&evm, elsewhere, None);
        assert!(matches!(error, Err(InvitationError::Other { member: "uri", .. })), "{error:?}");
    }

    #[test]
    fn what_is_no_challenge() {
        let missing = "expected a challenge with the extension `sign-in-with-x`, found none in it";
        let unreadable = "expected the body of a 402 or the value of its PAYMENT-REQUIRED header: ";
        let rows = [
            ("no JSON", "{", format!("{unreadable}expected one JSON value, found something else")),
            ("no base64", "<html>", format!("{unreadable}expected standard base64")),
            ("another answer", r#"{"code":"credential_required"}"#, missing.to_owned()),
            ("no invitation", r#"{"x402Version":2,"accepts":[],"extensions":{}}"#, missing.to_owned()),
        ];
        for (name, text, expected) in rows {
            assert_eq!(Invitation::read(text).expect_err(name).to_string(), expected, "{name}");
        }
    }
}
