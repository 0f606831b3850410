//! Messages that are written here, for dapps that have no writer of their own (`POST P/message`).
//!
//! 1. A message names the page that asks for it, and a fresh nonce. Nothing of it is bound to the address: One-Click
//!    Auth asks before there is one, and embedded wallets put theirs in afterwards.
//! 2. What was written is read back by the reader that reads it after it was signed. What a caller put into it cannot
//!    be another line than the one it was asked for.

use serde_json::{Map, Value, json};

use crate::{
    caip::ChainId,
    chain::DIALECTS,
    json,
    session::SessionError,
    siwx::{
        Message, claims::ClaimError, dialect::Dialect, error::Shown, message::Reading, origin::Origin, render::Draft,
    },
    time::UnixTime,
};

/// What stands for an address that is not known yet: AppKit's words for it.
const NO_ADDRESS: [&str; 2] = ["", "<<AccountAddress>>"];

/// Characters of an address, whatever the family, at most.
const ADDRESS_CHARS_MAX: usize = 128;

/// Resources of a message written here, at most.
const RESOURCES_MAX: usize = 32;

/// What a dapp asks for, read and not judged.
#[derive(Debug)]
pub(super) struct Wanted {
    address: String,
    chain: ChainId,
    dialect: &'static Dialect,
    not_before: Option<UnixTime>,
    statement: Option<String>,
    resources: Vec<String>,
}

impl Wanted {
    /// Reads a body: `{accountAddress, chainId, notBefore?, statement?, resources?}`. `allowed` are the chains that are let
    /// in, for who asks for another.
    pub(super) fn read(body: &[u8], allowed: &[String]) -> Result<Self, SessionError> {
        let body = json::parse_object(body)?;
        let address = text(&body, "accountAddress")?.ok_or_else(|| absent("accountAddress"))?.to_owned();
        let chain = text(&body, "chainId")?.ok_or_else(|| absent("chainId"))?;
        let (chain, dialect) = known(chain).ok_or_else(|| not_taken(chain, allowed))?;
        let not_before = text(&body, "notBefore")?.map(|time| {
            UnixTime::parse_rfc3339(time).ok_or(SessionError::Member {
                member: "notBefore",
                expected: "a time of RFC 3339",
                found: "another text",
            })
        });
        let resources = match body.get("resources") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) if list.len() <= RESOURCES_MAX => {
                let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or(RESOURCES)?
            }
            Some(_) => return Err(RESOURCES),
        };
        let statement = text(&body, "statement")?.map(str::to_owned);
        Ok(Self { address, chain, dialect, not_before: not_before.transpose()?, statement, resources })
    }

    /// Writes the message for a page: `{data, message}` as JSON. `allowed` are the chains that are let in.
    pub(super) fn write(
        &self,
        page: &Origin,
        allowed: &[String],
        nonce: &str,
        now: UnixTime,
    ) -> Result<Value, SessionError> {
        let all = format!("{}:*", self.chain.namespace());
        if !allowed.iter().any(|allowed| *allowed == all || *allowed == self.chain.as_str()) {
            return Err(not_taken(self.chain.as_str(), allowed));
        }
        let draft = Draft {
            domain: page.authority(),
            address: &self.address,
            chain: &self.chain,
            statement: self.statement.as_deref(),
            uri: page.as_str(),
            nonce,
            issued_at: now,
            expiration_time: None,
            not_before: self.not_before,
            request_id: None,
            resources: &self.resources,
        };
        let text = draft.write(self.dialect);
        let address = self.read_back(&draft, &text)?;

        let mut data = json!({
            "accountAddress": address,
            "chainId": self.chain.as_str(),
            "domain": page.authority(),
            "uri": page.as_str(),
            "version": "1",
            "nonce": nonce,
            "issuedAt": now.to_string(),
        });
        if let Some(statement) = &self.statement {
            data["statement"] = statement.as_str().into();
        }
        if let Some(not_before) = self.not_before {
            data["notBefore"] = not_before.to_string().into();
        }
        if !self.resources.is_empty() {
            data["resources"] = self.resources.iter().map(String::as_str).collect();
        }
        Ok(json!({ "data": data, "message": text }))
    }

    /// That the text says what was asked for, and nothing else; and the address as it has it.
    fn read_back(&self, draft: &Draft<'_>, text: &str) -> Result<String, SessionError> {
        if self.address.len() > ADDRESS_CHARS_MAX {
            let limit = ADDRESS_CHARS_MAX;
            return Err(SessionError::TooLarge { what: "accountAddress", found: self.address.len(), limit });
        }
        if NO_ADDRESS.contains(&self.address.as_str()) {
            // The lines are the same whoever signs: they are read over the address of nobody, of a family that has no
            // checksum to get wrong.
            let plain = Dialect::plain(self.dialect.namespace, self.dialect.labels);
            let nobody = Draft { address: "nobody", ..draft.clone() }.write(&plain);
            self.says_what_was_asked(&Message::parse(nobody.as_bytes(), &[plain], &Reading::default())?)?;
            return Ok(self.address.clone());
        }
        let message = Message::parse(text.as_bytes(), DIALECTS, &Reading::default())?;
        self.says_what_was_asked(&message)?;
        Ok(message.canonical_address().to_owned())
    }

    fn says_what_was_asked(&self, message: &Message) -> Result<(), SessionError> {
        let resources = message.resources.as_deref().unwrap_or_default();
        if message.statement != self.statement {
            return Err(another_line("statement"));
        }
        if resources != self.resources {
            return Err(another_line("resources"));
        }
        Ok(())
    }
}

const RESOURCES: SessionError =
    SessionError::Member { member: "resources", expected: "a short list of texts", found: "something else" };

const fn absent(member: &'static str) -> SessionError {
    SessionError::Member { member, expected: "a string", found: "nothing" }
}

const fn another_line(member: &'static str) -> SessionError {
    SessionError::Member { member, expected: "a text on one line", found: "another one" }
}

fn text<'b>(body: &'b Map<String, Value>, member: &'static str) -> Result<Option<&'b str>, SessionError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(SessionError::Member { member, expected: "a string", found: json::kind(other) }),
    }
}

/// A chain as its family spells it, and the family.
fn known(text: &str) -> Option<(ChainId, &'static Dialect)> {
    let (namespace, reference) = text.split_once(':')?;
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == namespace)?;
    let chain = ChainId::new(namespace, &(dialect.reference)(reference)?).ok()?;
    Some((chain, dialect))
}

fn not_taken(found: &str, allowed: &[String]) -> SessionError {
    let found = Shown(found).to_string().into();
    let accepted: Vec<String> = allowed.iter().map(|chain| format!("`{chain}`")).collect();
    SessionError::Claim(ClaimError::ChainNotAllowed { found, accepted: accepted.join(", ").into() })
}
