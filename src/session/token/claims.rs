//! What tokens say: the claims of each kind, written and read.
//!
//! Names are those of RFC 7519, of sessions.md sections 2.2 and 2.4, and of ReownAuthentication (section 3), whose
//! client decodes a session token itself and compares `address` and `caip2Network` with its wallet's.

use serde_json::{Map, Value};

use super::{Kind, Parties, TokenError};
use crate::{
    caip::{AccountId, ChainId},
    session::{SESSIONS_MAX, did_pkh, id::Sid, keys::SigningKeys},
    time::UnixTime,
};

/// Seconds that an assertion lives at most (sessions.md section 2.4): it is for one request, on its way.
const ASSERTION_SECS_MAX: i64 = 60;

/// Bytes of the URI that goes into a token. A page's can have 2 KiB, and a token must fit into a cookie.
const URI_BYTES_MAX: usize = 512;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClaims {
    /// Which session it is, for people and for the list of those that were ended.
    pub sid: Sid,
    /// Who acts.
    pub account: AccountId,
    /// All accounts that are signed in with this one, itself among them.
    pub accounts: Vec<AccountId>,
    /// How the account's signature was checked.
    pub scheme: Box<str>,
    /// From when on the token is good; whole seconds.
    pub issued_at: UnixTime,
    /// From when on it is not; whole seconds.
    pub expires_at: UnixTime,
    /// The token's own name, new for every token (`jti`).
    pub token_id: Sid,
    /// What AppKit's cloud class looks for beside that.
    pub appkit: Option<AppKitClaims>,
}

/// The claims of ReownAuthentication that a session alone does not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppKitClaims {
    /// The page's URI, as the message names it; its path, query and fragment are left out if it is long.
    pub uri: Box<str>,
    /// The page's host, as the message names it.
    pub domain: Box<str>,
    /// The message's nonce.
    pub nonce: Box<str>,
    /// The dapp's project, as its requests name it.
    pub project_id_key: Box<str>,
    /// A UUID for the project.
    pub project_uuid: Box<str>,
    /// A UUID for the account's profile.
    pub profile_uuid: Box<str>,
    /// An address that was confirmed.
    pub email: Option<Box<str>>,
}

/// That a nonce was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceClaims {
    /// The nonce.
    pub nonce: Box<str>,
    /// When it was issued; whole seconds.
    pub issued_at: UnixTime,
    /// From when on it is too old; whole seconds.
    pub expires_at: UnixTime,
}

/// Who one request is, for the upstream that it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion<'a> {
    /// Who acts.
    pub account: &'a AccountId,
    /// All accounts that are signed in with it; of a request without a session the account alone.
    pub accounts: &'a [&'a AccountId],
    /// How the account's signature was checked; `payment` if the request itself was paid for.
    pub scheme: &'a str,
    /// The plan that opened the route, if one did.
    pub plan: Option<&'a str>,
    /// The session, if the request came with one.
    pub sid: Option<Sid>,
    /// The id of the request (`jti`).
    pub request_id: &'a str,
    /// The method of the request as it is forwarded.
    pub method: &'a str,
    /// Its URL; query and fragment are left out (RFC 9449 section 4.2).
    pub url: &'a str,
}

// === impl SessionClaims ===

impl SessionClaims {
    /// The token that says this, good from `issued_at` until `expires_at`.
    pub fn seal(&self, keys: &SigningKeys, parties: Parties<'_>) -> Result<String, TokenError> {
        super::seal(keys, Kind::Session, parties.issuer, parties.audience.into(), self.claims())
    }

    /// Reads a token of this gateway. That the session was not ended before is for a store to say.
    pub fn open(keys: &SigningKeys, parties: Parties<'_>, token: &str, now: UnixTime) -> Result<Self, TokenError> {
        let claims = super::open(keys, Kind::Session, parties, token, now)?;
        let sid = |name| Sid::parse(text(&claims, name)?).ok_or(TokenError::Claim(name));
        let account = account(text(&claims, "account")?, "account")?;
        let accounts = accounts(claims.get("accounts"))?;
        if !accounts.contains(&account) {
            return Err(TokenError::Claim("accounts"));
        }
        Ok(Self {
            sid: sid("sid")?,
            account,
            accounts,
            scheme: text(&claims, "scheme")?.into(),
            issued_at: time(&claims, "iat")?,
            expires_at: time(&claims, "exp")?,
            token_id: sid("jti")?,
            appkit: claims.contains_key("profileUuid").then(|| AppKitClaims::read(&claims)).transpose()?,
        })
    }

    /// The claims beside those that name issuer, audience and kind, in the order in which a token has them: what `me` of
    /// ReownAuthentication answers.
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        let chain = self.account.chain();
        claim("sub", did_pkh(&self.account).into());
        claim("sid", self.sid.to_string().into());
        claim("account", self.account.as_str().into());
        claim("accounts", self.accounts.iter().map(AccountId::as_str).collect());
        claim("address", self.account.address().into());
        claim("chainId", chain_id(&chain));
        claim("chainNamespace", chain.namespace().into());
        claim("caip2Network", chain.as_str().into());
        claim("scheme", (*self.scheme).into());
        claim("iat", self.issued_at.secs().into());
        claim("nbf", self.issued_at.secs().into());
        claim("exp", self.expires_at.secs().into());
        claim("jti", self.token_id.to_string().into());
        if let Some(appkit) = &self.appkit {
            appkit.write(&mut claims);
        }
        claims
    }
}

// === impl AppKitClaims ===

impl AppKitClaims {
    /// The URI of a page as a token names it: without query and fragment, and without its path if it is still long.
    pub fn short_uri(uri: &str) -> &str {
        let page = without_query(uri);
        if page.len() <= URI_BYTES_MAX {
            return page;
        }
        let host = page.find("://").map_or(0, |scheme| scheme + "://".len());
        let end = page[host..].find('/').map_or(page.len(), |path| host + path);
        page.get(..end.min(URI_BYTES_MAX)).unwrap_or_default()
    }

    fn write(&self, claims: &mut Map<String, Value>) {
        let mut claim = |name: &str, value: &str| claims.insert(name.to_owned(), value.into());
        claim("uri", &self.uri);
        claim("domain", &self.domain);
        claim("nonce", &self.nonce);
        claim("projectIdKey", &self.project_id_key);
        claim("projectUuid", &self.project_uuid);
        claim("profileUuid", &self.profile_uuid);
        if let Some(email) = &self.email {
            claim("email", email);
        }
    }

    fn read(claims: &Map<String, Value>) -> Result<Self, TokenError> {
        Ok(Self {
            uri: text(claims, "uri")?.into(),
            domain: text(claims, "domain")?.into(),
            nonce: text(claims, "nonce")?.into(),
            project_id_key: text(claims, "projectIdKey")?.into(),
            project_uuid: text(claims, "projectUuid")?.into(),
            profile_uuid: text(claims, "profileUuid")?.into(),
            email: claims.contains_key("email").then(|| text(claims, "email").map(Into::into)).transpose()?,
        })
    }
}

// === impl NonceClaims ===

impl NonceClaims {
    /// The token that says this.
    pub fn seal(&self, keys: &SigningKeys, parties: Parties<'_>) -> Result<String, TokenError> {
        let claims = [
            ("nonce", (*self.nonce).into()),
            ("iat", self.issued_at.secs().into()),
            ("nbf", self.issued_at.secs().into()),
            ("exp", self.expires_at.secs().into()),
        ];
        let claims = claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        super::seal(keys, Kind::Nonce, parties.issuer, parties.audience.into(), claims)
    }

    /// Reads a token of this gateway. That the message has this nonce, and that it was not used, is to be asked then.
    pub fn open(keys: &SigningKeys, parties: Parties<'_>, token: &str, now: UnixTime) -> Result<Self, TokenError> {
        let claims = super::open(keys, Kind::Nonce, parties, token, now)?;
        Ok(Self {
            nonce: text(&claims, "nonce")?.into(),
            issued_at: time(&claims, "iat")?,
            expires_at: time(&claims, "exp")?,
        })
    }
}

// === impl Assertion ===

impl Assertion<'_> {
    /// The token that says this to each of `audience` for `ttl_secs` from now on, 60 at most.
    pub fn seal(
        &self,
        keys: &SigningKeys,
        issuer: &str,
        audience: &[&str],
        ttl_secs: u32,
        now: UnixTime,
    ) -> Result<String, TokenError> {
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        let until = now.secs().saturating_add(i64::from(ttl_secs).min(ASSERTION_SECS_MAX));
        let chain = self.account.chain();
        claim("sub", did_pkh(self.account).into());
        claim("account", self.account.as_str().into());
        claim("accounts", self.accounts.iter().map(|account| account.as_str()).collect());
        claim("chainId", chain_id(&chain));
        claim("caip2Network", chain.as_str().into());
        claim("scheme", self.scheme.into());
        if let Some(plan) = self.plan {
            claim("plan", plan.into());
        }
        if let Some(sid) = self.sid {
            claim("sid", sid.to_string().into());
        }
        claim("iat", now.secs().into());
        claim("nbf", now.secs().into());
        claim("exp", until.into());
        claim("jti", self.request_id.into());
        claim("htm", self.method.into());
        claim("htu", without_query(self.url).into());
        super::seal(keys, Kind::Assertion, issuer, audience.iter().copied().collect(), claims)
    }
}

/// The reference of a chain as AppKit has it: a number on EVM chains, a text on others.
fn chain_id(chain: &ChainId) -> Value {
    let number = (chain.namespace() == "eip155").then(|| chain.reference().parse::<u64>().ok()).flatten();
    number.map_or_else(|| chain.reference().into(), Value::from)
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenError> {
    claims.get(name).and_then(Value::as_str).ok_or(TokenError::Claim(name))
}

/// A moment in whole seconds. RFC 7519 allows fractions; tokens of ours have none.
pub(super) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<UnixTime, TokenError> {
    claims.get(name).and_then(Value::as_i64).map(UnixTime::from_secs).ok_or(TokenError::Claim(name))
}

fn account(text: &str, name: &'static str) -> Result<AccountId, TokenError> {
    AccountId::parse(text).map_err(|_| TokenError::Claim(name))
}

fn accounts(claim: Option<&Value>) -> Result<Vec<AccountId>, TokenError> {
    let list = claim.and_then(Value::as_array).filter(|list| list.len() <= SESSIONS_MAX);
    let list = list.ok_or(TokenError::Claim("accounts"))?;
    let read = |item: &Value| account(item.as_str().unwrap_or_default(), "accounts");
    list.iter().map(read).collect()
}
