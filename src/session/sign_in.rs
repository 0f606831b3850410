//! What a dapp sends to begin sessions: signed texts, each with a description, read from the JSON of AppKit's
//! `SIWXSession` (sessions.md sections 1 and 2).
//!
//! 1. The text says who signs in, where and when. `data` and `cacao` describe it for the dapp: they must agree with it,
//!    and are kept as the JSON text they came as, unknown members too, because a dapp gets back what it gave.
//! 2. Bodies that AppKit's classes send are read by one reader: one session, several of them, and the body of
//!    ReownAuthentication. Unknown members beside `data` are passed over. What JavaScript calls undefined is absent or
//!    `null`, and is nothing either way.
//! 3. An [`Attempt`] is read and nothing else: [`Attempt::check`] judges it by a page and a clock, `chain` verifies its
//!    signature, and the nonce is claimed when all of that is right.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{
    BODY_BYTES_MAX, ItemError, SESSIONS_MAX, SIGNATURE_BYTES_MAX, SessionError,
    agree::{self, Signed},
    cacao,
    recap::Recap,
};
use crate::{
    caip::AccountId,
    json::{self, JsonError},
    siwx::{
        Field, Message,
        claims::{self, ClaimError, Expectation, UriMatch},
        dialect::Dialect,
        error::Shown,
        message::Reading,
        origin::Origin,
        proof::Proof,
    },
    time::UnixTime,
};

/// Bytes of `data` at most. It has the parts of a message, which has 8 KiB, and for embedded wallets the whole of it
/// once more; half of this is left to escapes and to members of the dapp's own.
const DATA_BYTES_MAX: usize = 32 * 1024;

/// Bytes of `cacao` at most: the same, and a signature.
const CACAO_BYTES_MAX: usize = DATA_BYTES_MAX + SIGNATURE_BYTES_MAX;

/// Characters of a public key at most, whatever its encoding. The longest of a chain known today has 132.
const PUBLIC_KEY_BYTES_MAX: usize = 256;

/// Characters of `clientId` at most. WalletConnect's have 64.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// Bytes of `walletInfo` that are kept. Some wallets put their whole icon into it, which nobody asked for.
const WALLET_INFO_BYTES_MAX: usize = 16 * 1024;

/// Reads bodies by the families of chains that are known and the limits that are set.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The families of chains.
    pub dialects: &'a [Dialect],
    /// The limits and characters of messages.
    pub reading: &'a Reading,
}

/// A text that is said to be signed, with its descriptions. Nothing of it is verified. `Debug` shows whose it is, not
/// what proves it.
#[derive(Clone)]
pub struct Attempt {
    proof: Proof,
    account: AccountId,
    data: Box<str>,
    cacao: Option<Box<str>>,
    public_key: Option<Box<str>>,
    recap: Option<Recap>,
}

/// The body of ReownAuthentication's `authenticate` (sessions.md section 3).
#[derive(Debug, Clone)]
pub struct Authenticate {
    /// Who signs in.
    pub attempt: Attempt,
    /// The dapp's name for its browser.
    pub client_id: Option<Box<str>>,
    /// What the dapp says of the wallet, as JSON: whatever its user's browser makes of it. Nothing if it is too long.
    pub wallet_info: Option<Box<str>>,
}

/// A JSON object that was read, and the texts of its members.
struct Object<'a> {
    values: Map<String, Value>,
    texts: Vec<(String, &'a str)>,
}

/// An object inside another one, and its text.
#[derive(Clone, Copy)]
struct Part<'o, 'a> {
    values: &'o Map<String, Value>,
    text: &'a str,
}

/// What is expected of the message of a sign-in (sessions.md section 1.2), from what is expected of tokens.
///
/// It needs no Expiration Time, and is good for `age_max` from its Issued At on, whatever it says; `labels` are welcome
/// beside those of tokens. It must name its chain and a nonce. Its URI is that of the page with path, query and
/// fragment, so that at most its origin can be compared. The nonce is one that was issued here.
pub fn profile(tokens: &Expectation, labels: &[(String, Vec<String>)], age_max: Duration) -> Expectation {
    let age_secs_max = u32::try_from(age_max.as_secs()).unwrap_or(u32::MAX);
    let mut profile = Expectation {
        uri_match: if tokens.uri_match == UriMatch::Off { UriMatch::Off } else { UriMatch::Origin },
        default_lifetime_secs: age_secs_max,
        age_secs_max: Some(age_secs_max),
        require_expiration: false,
        ..tokens.clone()
    };
    for field in [Field::ChainId, Field::Nonce, Field::IssuedAt] {
        if !profile.required.contains(&field) {
            profile.required.push(field);
        }
    }
    for (namespace, more) in labels {
        match profile.labels.iter_mut().find(|(of, _)| of == namespace) {
            Some((_, welcome)) => welcome.extend(more.iter().cloned()),
            None => profile.labels.push((namespace.clone(), more.clone())),
        }
    }
    profile
}

// === impl Reader ===

impl Reader<'_> {
    /// One session: `{data, message, signature, cacao?, publicKey?}`.
    pub fn session(&self, body: &[u8]) -> Result<Attempt, SessionError> {
        self.attempt(&Object::read(body)?)
    }

    /// Several: `{sessions: [...]}`; none is a list of none. That no two of them are of one account on one chain is for
    /// [`set::distinct`](super::set::distinct).
    pub fn sessions(&self, body: &[u8]) -> Result<Vec<Attempt>, ItemError> {
        let Object { mut values, texts } = Object::read(body)?;
        let refuse = |found| SessionError::Member { member: "sessions", expected: "a list", found };
        let sessions = match values.remove("sessions") {
            Some(Value::Array(sessions)) => sessions,
            Some(other) => return Err(refuse(json::kind(&other)).into()),
            None => return Err(refuse("nothing").into()),
        };
        if sessions.len() > SESSIONS_MAX {
            return Err(SessionError::TooManySessions(sessions.len()).into());
        }
        let text = texts.iter().find(|(name, _)| name == "sessions").map_or("[]", |(_, text)| text);
        let read = |(index, (value, text))| {
            Object::of(value, text)
                .and_then(|object| self.attempt(&object))
                .map_err(|error| ItemError::at(index, error))
        };
        sessions.into_iter().zip(json::items_of(text)).enumerate().map(read).collect()
    }

    /// The body of ReownAuthentication: `{data, message, signature, clientId, walletInfo?}`.
    pub fn authenticate(&self, body: &[u8]) -> Result<Authenticate, SessionError> {
        let object = Object::read(body)?;
        let attempt = self.attempt(&object)?;
        let client_id = object.optional("clientId", CLIENT_ID_BYTES_MAX)?.map(Into::into);
        let wallet_info = object.text("walletInfo").filter(|text| text.len() <= WALLET_INFO_BYTES_MAX).map(Into::into);
        Ok(Authenticate { attempt, client_id, wallet_info })
    }

    fn attempt(&self, object: &Object<'_>) -> Result<Attempt, SessionError> {
        let signature = object.required("signature", SIGNATURE_BYTES_MAX)?.to_owned();
        // The reader of messages has a limit and a code of its own.
        let message = object.required("message", BODY_BYTES_MAX)?.as_bytes().to_vec();
        let absent = SessionError::Member { member: "data", expected: "an object", found: "nothing" };
        let data = object.part("data", DATA_BYTES_MAX)?.ok_or(absent)?;
        let cacao = object.part("cacao", CACAO_BYTES_MAX)?;
        let public_key = object.optional("publicKey", PUBLIC_KEY_BYTES_MAX)?;

        let proof = Proof::read(message, signature, self.dialects, self.reading)?;
        let message = proof.message();
        let account = message.account.clone().ok_or(ClaimError::MissingField(Field::ChainId))?;
        let signed = Signed { message, account: &account, dialects: self.dialects };
        check_data(data.values, &signed)?;
        let recap = Recap::of(message)?;
        if let Some(cacao) = cacao {
            cacao::check(cacao.values, &signed, proof.signature(), recap.as_ref())?;
        }
        Ok(Attempt {
            account,
            data: data.text.into(),
            cacao: cacao.map(|cacao| cacao.text.into()),
            public_key: public_key.map(Into::into),
            recap,
            proof,
        })
    }
}

/// Whether `data` says what the text says, where both speak of one thing that a session rests on.
fn check_data(data: &Map<String, Value>, signed: &Signed<'_>) -> Result<(), SessionError> {
    let message = signed.message;
    let address = data.get("accountAddress").and_then(Value::as_str);
    let agrees = [
        ("accountAddress", address.is_some_and(|address| signed.is_address(address))),
        ("chainId", signed.is_chain(data.get("chainId"))),
        ("domain", agree::is_text(Some(&message.domain), data.get("domain"))),
        ("uri", agree::is_text(message.uri.as_deref(), data.get("uri"))),
        ("nonce", agree::is_text(message.nonce.as_deref(), data.get("nonce"))),
        ("issuedAt", agree::is_moment(message.issued_at.as_ref(), data.get("issuedAt"))),
        ("expirationTime", agree::is_moment(message.expiration_time.as_ref(), data.get("expirationTime"))),
        ("notBefore", agree::is_moment(message.not_before.as_ref(), data.get("notBefore"))),
    ];
    match agrees.into_iter().find(|(_, agrees)| !agrees) {
        Some((member, _)) => Err(SessionError::DataMismatch { of: "data", member }),
        None => Ok(()),
    }
}

// === impl Attempt ===

impl Attempt {
    /// Judges the message by what is expected of sign-ins ([`profile`]), by the page that sends it, and by a clock, and
    /// says until when it stays good.
    ///
    /// `page` is the request's `Origin`, if it has one: its host and port must be those the message was signed for. A
    /// page cannot forge it, so that none can pass on a message that its visitor signed for another one.
    pub fn check(&self, profile: &Expectation, page: Option<&Origin>, now: UnixTime) -> Result<UnixTime, SessionError> {
        let until = claims::check(self.proof.claims(), profile, None, now)?;
        match page {
            Some(page) if page.authority() != self.message().domain => {
                Err(SessionError::PageMismatch { page: Shown(page.authority()).to_string().into() })
            }
            _ => Ok(until),
        }
    }

    /// Text and signature, to be verified.
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// What the text says.
    pub const fn message(&self) -> &Message {
        self.proof.message()
    }

    /// Who signs in, as the text says it.
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// The nonce, to be claimed when everything else is right; empty only where none is required.
    pub fn nonce(&self) -> &str {
        self.proof.claims().nonce().unwrap_or_default()
    }

    /// The JSON text of `data`, as it came.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The JSON text of `cacao`, as it came.
    pub fn cacao(&self) -> Option<&str> {
        self.cacao.as_deref()
    }

    /// The signer's public key, for chains whose addresses do not tell it. Nothing vouches for it but the signature.
    pub fn public_key(&self) -> Option<&str> {
        self.public_key.as_deref()
    }

    /// What the text grants.
    pub const fn recap(&self) -> Option<&Recap> {
        self.recap.as_ref()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("account", &self.account).field("proof", &self.proof).finish_non_exhaustive()
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    fn read(body: &'a [u8]) -> Result<Self, SessionError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(SessionError::body_too_large(body.len()));
        }
        let values = json::parse_object(body)?;
        let text = std::str::from_utf8(body).map_err(|_| JsonError::Form)?;
        Ok(Self { values, texts: json::members_of(text) })
    }

    /// An object inside of what was read.
    fn of(value: Value, text: &'a str) -> Result<Self, SessionError> {
        match value {
            Value::Object(values) => Ok(Self { values, texts: json::members_of(text) }),
            other => Err(JsonError::Kind(json::kind(&other)).into()),
        }
    }

    /// The value of a member, if it is there and not `null`.
    fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// The JSON text of a member, if it is there and not `null`.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?;
        self.texts.iter().find(|(of, _)| of == name).map(|(_, text)| *text)
    }

    /// A string that must be there.
    fn required(&self, name: &'static str, bytes_max: usize) -> Result<&str, SessionError> {
        let found = if self.values.contains_key(name) { "null" } else { "nothing" };
        self.optional(name, bytes_max)?.ok_or(SessionError::Member { member: name, expected: "a string", found })
    }

    /// A string that may be absent.
    fn optional(&self, name: &'static str, bytes_max: usize) -> Result<Option<&str>, SessionError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= bytes_max => Ok(Some(text)),
            Some(Value::String(text)) => {
                Err(SessionError::TooLarge { what: name, found: text.len(), limit: bytes_max })
            }
            Some(other) => Err(SessionError::Member { member: name, expected: "a string", found: json::kind(other) }),
        }
    }

    /// An object that may be absent, with its text.
    fn part(&self, name: &'static str, bytes_max: usize) -> Result<Option<Part<'_, 'a>>, SessionError> {
        match (self.value(name), self.text(name)) {
            (Some(Value::Object(values)), Some(text)) if text.len() <= bytes_max => Ok(Some(Part { values, text })),
            (Some(Value::Object(_)), Some(text)) => {
                Err(SessionError::TooLarge { what: name, found: text.len(), limit: bytes_max })
            }
            (Some(other), _) => {
                Err(SessionError::Member { member: name, expected: "an object", found: json::kind(other) })
            }
            (None, _) => Ok(None),
        }
    }
}
