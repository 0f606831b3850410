//! Carries a one-time proof in `SIGN-IN-WITH-X` (x402.md section 9).
//!
//! 1. The value is base64 of a JSON object. It holds the members of the message, not the message: the text that was
//!    signed is rebuilt from them, byte for byte, and only that text is verified.
//! 2. Checks have a fixed order and the first failure is the answer: [`SignIn::read`], [`SignIn::check`],
//!    [`SignIn::verify`]. What costs most comes last.
//! 3. The message is read by the grammar of section 9, whatever is set for tokens: letters and digits in the nonce,
//!    printable ASCII in the statement, on Solana too. Of the forms of signature the chains know, 65 bytes on EVM and
//!    base58 on Solana are taken.
//! 4. The nonce is not judged here. It is claimed by the gate when everything else is right, once; a refused proof
//!    burns nothing. So nothing of such a proof is remembered, and two spellings of one proof gain nobody anything.

mod error;
mod members;
#[cfg(test)]
mod tests;

use std::fmt;

use http::{HeaderMap, HeaderName};

pub use self::error::SignInError;
use self::members::Members;
use super::{CREDENTIAL_BYTES_MAX, Carrier, CarrierName, Conflict, CredentialError, Presented, base64};
use crate::{
    caip::ChainId,
    chain::{self, Accepts, DIALECTS, Encoding, Question, SignatureError, SignerKey, Verification, Verified},
    siwx::{
        Field,
        claims::{ClaimError, Expectation},
        error::Shown,
        message::Reading,
        origin::Origin,
        proof::Proof,
        rebuild::{self, Payload},
    },
    time::UnixTime,
};

static SIGN_IN_WITH_X: HeaderName = HeaderName::from_static("sign-in-with-x");

/// The `SIGN-IN-WITH-X` carrier.
#[derive(Debug, Clone, Copy)]
pub struct SignInWithX;

/// A proof as its members say it. Nothing about it is verified. `Debug` shows whose it is, not what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    domain: String,
    address: String,
    statement: Option<String>,
    uri: String,
    version: String,
    chain_id: String,
    scheme: Scheme,
    nonce: String,
    issued_at: String,
    expiration_time: Option<String>,
    not_before: Option<String>,
    request_id: Option<String>,
    resources: Option<Vec<String>>,
    signature: String,
}

/// What became of a proof whose signature was looked at.
#[derive(Debug)]
pub enum Proven {
    /// The account's key made it.
    Verified(Box<Verified>),
    /// A contract decides. These are to be asked in their order until one is answered yes; there is at least one.
    AskContract(Vec<Question>),
}

/// The member `type`: which of the two families of signatures it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Eip191,
    Ed25519,
}

/// What a gateway expects of a proof: that it was signed for one of its origins, lately, on a chain that is welcome.
#[derive(Debug, Clone)]
pub struct SignInExpectation {
    origin: Origin,
    claims: Expectation,
    age_secs_max: u32,
}

// === impl SignInWithX ===

impl Carrier for SignInWithX {
    fn name(&self) -> CarrierName {
        CarrierName::SignInWithX
    }

    fn present<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, CredentialError> {
        let mut fields = headers.get_all(&SIGN_IN_WITH_X).iter();
        let found = fields.next().map(|field| Presented { carrier: self.name(), bytes: field.as_bytes() });
        if fields.next().is_some() {
            return Err(Conflict::Repeated(self.name()).into());
        }
        Ok(found)
    }
}

// === impl SignIn ===

impl SignIn {
    /// Reads what was presented: at most 16 KiB of base64, standard or URL-safe, padded right or not at all, of one
    /// JSON object with the members of section 9.
    pub fn read(bytes: &[u8]) -> Result<Self, SignInError> {
        if bytes.len() > CREDENTIAL_BYTES_MAX {
            return Err(SignInError::TooLarge(bytes.len()));
        }
        let json = base64(bytes).ok_or(SignInError::Encoding)?;
        let mut members = Members::read(&json)?;
        let sign_in = Self {
            domain: members.required("domain")?,
            address: members.required("address")?,
            statement: members.optional("statement")?,
            uri: members.required("uri")?,
            version: members.required("version")?,
            chain_id: members.required("chainId")?,
            scheme: Scheme::read(&mut members)?,
            nonce: members.required("nonce")?,
            issued_at: members.required("issuedAt")?,
            expiration_time: members.optional("expirationTime")?,
            not_before: members.optional("notBefore")?,
            request_id: members.optional("requestId")?,
            resources: members.list("resources")?,
            signature: members.required("signature")?,
        };
        // A hint how the signature was made. It changes nothing, and must be one all the same.
        let hints = ["eip191", "eip1271", "eip6492", "siws"];
        members.one_of("signatureScheme", &hints, "`eip191`, `eip1271`, `eip6492` or `siws`")?;
        Ok(sign_in)
    }

    /// The checks of section 9 that ask no key, in their order. They say nothing about who signed: that is
    /// [`Self::verify`], which does not repeat them. A gate judges the claims of what was verified again, by
    /// [`SignInExpectation::claims`].
    pub fn check(&self, expected: &SignInExpectation, now: UnixTime) -> Result<(), SignInError> {
        self.check_origin(&expected.origin)?;
        self.check_times(expected, now)?;
        let chain = self.chain()?;
        let whole_family = format!("{}:*", chain.namespace());
        let welcome = |entry: &String| *entry == whole_family || entry == chain.as_str();
        if !expected.claims.chains.iter().any(welcome) {
            return Err(SignInError::UnsupportedChain(shown(&self.chain_id)));
        }
        Ok(())
    }

    /// Verifies the signature over the rebuilt text, as the account that the proof names. Of what `accepts` allows,
    /// only what this carrier takes is tried.
    ///
    /// An EVM address in lower case is signed in its checksummed spelling by one of x402's packages and as it is by
    /// another. Both texts say the same; the second is tried when the signature is not one of the first. Contracts are
    /// asked when the account's key made neither, and about both.
    pub fn verify(&self, accepts: &Accepts) -> Result<Proven, SignInError> {
        self.chain()?;
        let first = self.verify_text(self.signing_text()?, accepts);
        let mismatch = |error: &SignInError| matches!(error, SignInError::Signature(SignatureError::SignatureMismatch));
        let (first, asked) = match first {
            Ok(Verification::Verified(verified)) => return Ok(Proven::Verified(verified)),
            Ok(Verification::AskContract(question)) => (question.unasked().into(), vec![*question]),
            Err(error) if mismatch(&error) => (error, Vec::new()),
            Err(error) => return Err(error),
        };
        if !is_lower_case(&self.address) {
            return Proven::by_contract(asked, first);
        }
        match self.verify_text(rebuild::rebuild_as_spelled(&self.payload(), DIALECTS)?, accepts) {
            Ok(Verification::Verified(verified)) => Ok(Proven::Verified(verified)),
            Ok(Verification::AskContract(question)) => {
                Proven::by_contract(asked.into_iter().chain([*question]).collect(), first)
            }
            Err(error) => Proven::by_contract(asked, error),
        }
    }

    /// The text that was signed, if clients spell the address as JavaScript ones do. It is not read yet, and may be no
    /// message.
    pub fn signing_text(&self) -> Result<String, SignInError> {
        Ok(rebuild::rebuild(&self.payload(), DIALECTS)?)
    }

    /// The family of chains that the proof names, known here or not.
    pub fn namespace(&self) -> &str {
        self.chain_id.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// The nonce, to be claimed when everything else is right.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The last moment at which the proof is not too old, whatever else may end it sooner; nothing if `issuedAt` is no
    /// time. At that moment it still passes, so a claim on its nonce must outlive it (section 9: by the skew).
    pub fn until(&self, expected: &SignInExpectation) -> Option<UnixTime> {
        let issued = UnixTime::parse_rfc3339(&self.issued_at)?;
        Some(issued.plus_millis(millis(expected.age_secs_max)))
    }

    fn check_origin(&self, expected: &Origin) -> Result<(), SignInError> {
        if self.domain != expected.authority() {
            let served = format!("`{}`", expected.authority()).into();
            return Err(ClaimError::DomainMismatch { found: shown(&self.domain), served }.into());
        }
        if Origin::of(&self.uri).as_ref() != Some(expected) {
            return Err(ClaimError::UriMismatch.into());
        }
        Ok(())
    }

    fn check_times(&self, expected: &SignInExpectation, now: UnixTime) -> Result<(), SignInError> {
        let issued = read_time(&self.issued_at, Field::IssuedAt)?;
        let latest = now.plus_millis(millis(expected.claims.clock_skew_secs));
        let age = now.millis_since(issued);
        if age > millis(expected.age_secs_max) {
            let limit = i64::from(expected.age_secs_max);
            return Err(ClaimError::IssuedTooLongAgo { secs: secs_up(age), limit }.into());
        }
        if issued > latest {
            return Err(ClaimError::IssuedInFuture { secs: secs_up(issued.millis_since(now)) }.into());
        }
        let expires = read_time_if_any(self.expiration_time.as_deref(), Field::ExpirationTime)?;
        if let Some(expires) = expires.filter(|expires| now >= *expires) {
            return Err(ClaimError::Expired { secs: now.millis_since(expires) / 1000 }.into());
        }
        let begins = read_time_if_any(self.not_before.as_deref(), Field::NotBefore)?;
        if let Some(begins) = begins.filter(|begins| *begins > latest) {
            return Err(ClaimError::NotYetValid { secs: secs_up(begins.millis_since(now)) }.into());
        }
        // Possible within the skew alone.
        if expires.is_some_and(|expires| expires <= begins.map_or(issued, |begins| begins.max(issued))) {
            return Err(ClaimError::InvalidTimeRange.into());
        }
        Ok(())
    }

    /// The chain in canonical spelling, if it is one that x402 has a text for and `type` is of its family.
    fn chain(&self) -> Result<ChainId, SignInError> {
        let scheme = match self.namespace() {
            "eip155" => Scheme::Eip191,
            "solana" => Scheme::Ed25519,
            _ => return Err(SignInError::UnsupportedChain(shown(&self.chain_id))),
        };
        let chain = canonical_chain(&self.chain_id).ok_or_else(|| SignInError::ChainId(shown(&self.chain_id)))?;
        if scheme != self.scheme {
            return Err(SignInError::Type { expected: scheme.as_str(), found: self.scheme.as_str() });
        }
        Ok(chain)
    }

    fn verify_text(&self, text: String, accepts: &Accepts) -> Result<Verification, SignInError> {
        let proof = Proof::read(text.into_bytes(), self.signature.clone(), DIALECTS, &Reading::default())?;
        Ok(chain::verify_known(&proof, &narrowed(accepts), &SignerKey::default())?)
    }

    fn payload(&self) -> Payload<'_> {
        Payload {
            domain: Some(&self.domain),
            address: Some(&self.address),
            uri: Some(&self.uri),
            version: Some(&self.version),
            chain_id: Some(&self.chain_id),
            nonce: Some(&self.nonce),
            issued_at: Some(&self.issued_at),
            statement: self.statement.as_deref(),
            expiration_time: self.expiration_time.as_deref(),
            not_before: self.not_before.as_deref(),
            request_id: self.request_id.as_deref(),
            resources: self.resources.as_deref(),
        }
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("domain", &self.domain)
            .field("address", &self.address)
            .field("chain_id", &self.chain_id)
            .field("signature", &"[redacted]")
            .finish_non_exhaustive()
    }
}

// === impl Proven ===

impl Proven {
    /// Who signed, where no contract can be asked.
    pub fn by_key(self) -> Result<Verified, SignInError> {
        match self {
            Self::Verified(verified) => Ok(*verified),
            Self::AskContract(questions) => {
                Err(questions.first().map_or(SignatureError::SignatureMismatch, Question::unasked).into())
            }
        }
    }

    fn by_contract(questions: Vec<Question>, otherwise: SignInError) -> Result<Self, SignInError> {
        if questions.is_empty() { Err(otherwise) } else { Ok(Self::AskContract(questions)) }
    }
}

// === impl Scheme ===

impl Scheme {
    fn read(members: &mut Members) -> Result<Self, SignInError> {
        let (name, expected) = ("type", "`eip191` or `ed25519`");
        match members.one_of(name, &["eip191", "ed25519"], expected)? {
            Some("eip191") => Ok(Self::Eip191),
            Some(_) => Ok(Self::Ed25519),
            None => Err(SignInError::Member { name, expected, found: "nothing" }),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Eip191 => "eip191",
            Self::Ed25519 => "ed25519",
        }
    }
}

// === impl SignInExpectation ===

impl SignInExpectation {
    /// What is expected of proofs for the origin that the challenge named.
    ///
    /// `chains` are those that are welcome: `eip155:8453`, or `eip155:*` for all of a namespace; which of them the
    /// challenge offered is not asked. A proof is good for `age_secs_max` after it was issued, by a clock that may run
    /// ahead by `clock_skew_secs`.
    pub fn new(origin: Origin, chains: Vec<String>, age_secs_max: u32, clock_skew_secs: u32) -> Self {
        let claims = Expectation {
            chains,
            clock_skew_secs,
            // Age alone bounds a proof without an end, and no end is too far away for one that ages out before.
            default_lifetime_secs: age_secs_max,
            lifetime_secs_max: u32::MAX,
            age_secs_max: Some(age_secs_max),
            ..Expectation::new(vec![origin.clone()])
        };
        Self { origin, claims, age_secs_max }
    }

    /// The same for the message that was verified. What it refuses beyond [`SignIn::check`] is an end that lies more
    /// than 136 years ahead.
    pub const fn claims(&self) -> &Expectation {
        &self.claims
    }
}

/// What this carrier takes of what a gateway takes elsewhere.
const fn narrowed(accepts: &Accepts) -> Accepts {
    Accepts { compact: false, memo: false, solana_encodings: &[Encoding::Base58], ..*accepts }
}

/// The canonical spelling of a CAIP-2 chain id. On EVM only that spelling is one; Solana has words for some chains.
fn canonical_chain(text: &str) -> Option<ChainId> {
    let chain = ChainId::parse(text).ok()?;
    let dialect = DIALECTS.iter().find(|dialect| dialect.namespace == chain.namespace())?;
    ChainId::new(chain.namespace(), &(dialect.reference)(chain.reference())?).ok()
}

/// Whether an EVM address has letters, all of them in lower case.
fn is_lower_case(address: &str) -> bool {
    let digits = address.strip_prefix("0x").unwrap_or_default();
    digits.bytes().any(|b| b.is_ascii_lowercase()) && !digits.bytes().any(|b| b.is_ascii_uppercase())
}

/// An empty time is written on no line, and is none.
fn read_time_if_any(text: Option<&str>, field: Field) -> Result<Option<UnixTime>, SignInError> {
    text.filter(|text| !text.is_empty()).map(|text| read_time(text, field)).transpose()
}

fn read_time(text: &str, field: Field) -> Result<UnixTime, SignInError> {
    UnixTime::parse_rfc3339(text).ok_or_else(|| SignInError::Time { field, found: shown(text) })
}

fn shown(text: &str) -> Box<str> {
    Shown(text).to_string().into()
}

fn millis(secs: u32) -> i64 {
    i64::from(secs) * 1000
}

fn secs_up(millis: i64) -> i64 {
    millis.saturating_add(999) / 1000
}
