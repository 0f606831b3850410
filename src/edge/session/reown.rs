//! The endpoints that AppKit's cloud class asks, so that a dapp can keep that class and point it here (sessions.md
//! section 3).
//!
//! 1. What opens a session is a token in `Authorization`, and nothing else: no cookie is read and none is set.
//! 2. Errors are short texts, because the class shows the body as it is.
//! 3. The nonce token is ours, and its nonce is that of the text. That it was not used is seen in the store.
//! 4. What the dapp says of a wallet or keeps for an account is its own word, given back and never relied on.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    answers::{Content, Who},
    path::ReownDoor,
    read::parameter,
    visit::{No, Reply, Visit},
};
use crate::{
    edge::respond::Answer,
    gate::{
        sessions::{Fault, How, Opened, SignInRequest},
        settings::TokenForm,
    },
    json,
    session::{
        SessionError,
        sign_in::Attempt,
        token::{AppKitClaims, NonceClaims, SessionClaims},
    },
    store::{AccountMetadata, METADATA_BYTES_MAX, StoreError},
};

/// Characters of a project's id at most; Reown's have 32. It is a stranger's text in a token of ours.
const PROJECT_ID_CHARS_MAX: usize = 64;

impl Visit<'_> {
    /// Answers at a door of ReownAuthentication.
    pub(super) async fn reown(&self, door: ReownDoor, body: &[u8]) -> Result<Reply, No> {
        match door {
            ReownDoor::AccountMetadata => self.put_metadata(body).await,
            ReownDoor::Authenticate => self.authenticate(body).await,
            ReownDoor::Me => self.appkit_me().await,
            ReownDoor::Nonce => {
                let issued = self.sessions.nonce(self.now)?;
                Ok(Reply::json(&json!({ "nonce": issued.nonce, "token": issued.token })))
            }
            ReownDoor::Nowhere => Err(Answer::NoRoute.into()),
            // Nothing here sends mail.
            ReownDoor::Otp => Ok(Reply::of(Content::NoEmail)),
            ReownDoor::SignOut => {
                if let Some(presented) = self.bearer()? {
                    self.sessions.sign_out(self.gate, &presented, false, self.now).await?;
                }
                Ok(Reply::of(Content::Nothing))
            }
        }
    }

    async fn authenticate(&self, body: &[u8]) -> Result<Reply, No> {
        let read = self.sessions.reader().authenticate(body).map_err(Into::into);
        let attempt = self.counted(read.and_then(|read| self.with_its_nonce(read.attempt)))?;
        let project = parameter(self.query, "projectId")?.filter(|id| is_project_id(id)).unwrap_or_default();
        let message = attempt.message();
        let appkit = AppKitClaims {
            uri: AppKitClaims::short_uri(message.uri.as_deref().unwrap_or_default()).into(),
            domain: message.domain.as_str().into(),
            nonce: attempt.nonce().into(),
            project_uuid: uuid("project", &project).into(),
            project_id_key: project.into(),
            profile_uuid: uuid("profile", &attempt.account().key().to_string()).into(),
            email: None,
        };
        let request = SignInRequest {
            attempts: std::slice::from_ref(&attempt),
            how: How::Add,
            presented: None,
            form: Some(TokenForm::Jwt),
            appkit: Some(&appkit),
        };
        let signed_in = self.sessions.sign_in(self.gate, request, &self.visitor()).await.map_err(Into::into);
        let signed_in = self.counted(signed_in)?;
        self.count_good(&signed_in.opened, std::slice::from_ref(&attempt));
        let who = self.session_of(&signed_in.opened, &attempt);
        let who = who.map(|session| Who { account: session.account.clone(), scheme: session.scheme.clone() });
        Ok(Reply { who, ..Reply::json(&json!({ "token": signed_in.credential.expose().as_str() })) })
    }

    /// The same, if the request holds a token of ours over the nonce of its text.
    fn with_its_nonce(&self, attempt: Attempt) -> Result<Attempt, No> {
        let field = self.view.headers.get("x-nonce-jwt").map(HeaderValue::as_bytes);
        let token = field.and_then(|field| std::str::from_utf8(field.strip_prefix(b"Bearer ")?).ok());
        let claims = token
            .and_then(|token| NonceClaims::open(&self.sessions.keys(), self.sessions.parties(), token, self.now).ok());
        if claims.is_some_and(|claims| *claims.nonce == *attempt.nonce()) {
            return Ok(attempt);
        }
        self.gate.count_refusal(self.view.client, self.view.started);
        Err(SessionError::NonceUnknown.into())
    }

    async fn appkit_me(&self) -> Result<Reply, No> {
        let (claims, opened) = self.signed_in_by_token().await?;
        let parties = self.sessions.parties();
        let mut me = claims.claims();
        me.insert("iss".to_owned(), parties.issuer.into());
        me.insert("aud".to_owned(), parties.audience.into());
        if parameter(self.query, "includeAppKitAccount")?.as_deref() == Some("true") {
            me.insert("appKitAccount".to_owned(), self.appkit_account(&claims, &opened).await?);
        }
        let who = Some(Who { account: claims.account.clone(), scheme: claims.scheme.clone() });
        Ok(Reply { who, ..Reply::json(&Value::Object(me)) })
    }

    async fn appkit_account(&self, claims: &SessionClaims, opened: &Opened) -> Result<Value, No> {
        let account = &claims.account;
        let key = account.key();
        let metadata = self.sessions.store().metadata(&key).await.map_err(unavailable)?;
        let session = opened.set().sessions().iter().find(|session| session.account == *account);
        let began = session.map_or(claims.issued_at, |session| session.created_at).to_string();
        let changed = metadata.as_ref().map_or_else(|| began.clone(), |metadata| metadata.updated_at().to_string());
        let kept = metadata.and_then(|metadata| serde_json::from_str(metadata.json()).ok());
        Ok(json!({
            "uuid": uuid("account", account.as_str()),
            "caip2_chain": account.chain_str(),
            "address": account.address(),
            "profile_uuid": uuid("profile", &key.to_string()),
            "created_at": began,
            "is_main_account": true,
            "verification_status": null,
            "connection_method": null,
            "metadata": kept.unwrap_or(Value::Null),
            "last_signed_in_at": began,
            "signed_up_at": began,
            "updated_at": changed,
        }))
    }

    async fn put_metadata(&self, body: &[u8]) -> Result<Reply, No> {
        let (claims, _) = self.signed_in_by_token().await?;
        let metadata = metadata_of(json::parse_object(body).map_err(SessionError::from)?)?;
        let metadata = metadata.map(|text| AccountMetadata::new(&text, self.now)).transpose();
        let metadata = metadata.map_err(|error| Answer::BadRequest(error.to_string()))?;
        let stored = self.sessions.store().put_metadata(&claims.account.key(), metadata.as_ref()).await;
        stored.map_err(unavailable)?;
        Ok(Reply::json(&json!({})))
    }

    /// Who the request is by its token, whose session has not ended.
    async fn signed_in_by_token(&self) -> Result<(SessionClaims, Arc<Opened>), No> {
        let presented = self.bearer()?.ok_or(SessionError::Unauthenticated)?;
        let claims = self.sessions.claims_of(&presented, self.now).ok_or(SessionError::Unauthenticated)?;
        let shown = self.sessions.shown(self.gate, &presented, &self.visitor()).await?;
        let shown = shown.ok_or(SessionError::Unauthenticated)?;
        let life = &self.settings().life;
        if !shown.sessions(None, life, self.now).any(|session| session.account == claims.account) {
            return Err(SessionError::Unauthenticated.into());
        }
        Ok((claims, shown.opened))
    }
}

/// `{metadata: object | null}`: its text; nothing, if what is kept is to go.
fn metadata_of(mut body: Map<String, Value>) -> Result<Option<String>, SessionError> {
    let refuse = |found| SessionError::Member { member: "metadata", expected: "an object or null", found };
    match body.remove("metadata") {
        Some(Value::Null) => Ok(None),
        Some(metadata @ Value::Object(_)) => {
            let text = metadata.to_string();
            if text.len() > METADATA_BYTES_MAX {
                let limit = METADATA_BYTES_MAX;
                return Err(SessionError::TooLarge { what: "metadata", found: text.len(), limit });
            }
            Ok(Some(text))
        }
        Some(other) => Err(refuse(json::kind(&other))),
        None => Err(refuse("nothing")),
    }
}

fn unavailable(error: StoreError) -> No {
    tracing::warn!(%error, "the store does not answer about the metadata of an account");
    Fault::Unavailable.into()
}

fn is_project_id(id: &str) -> bool {
    id.len() <= PROJECT_ID_CHARS_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A UUID that is always the same for the same thing (RFC 9562 section 5.8).
fn uuid(kind: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["siwx-gateway|", kind, "|", name] {
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_always_the_same_and_of_version_8() {
        let one = uuid("project", "a");
        assert_eq!(one, uuid("project", "a"));
        assert_ne!(one, uuid("profile", "a"));
        assert_ne!(one, uuid("project", "b"));
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "8");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }

    #[test]
    fn metadata_is_an_object_or_goes() {
        let read = |text: &str| metadata_of(json::parse_object(text.as_bytes()).expect("an object"));
        assert_eq!(read(r#"{"metadata":{"a":1}}"#), Ok(Some(r#"{"a":1}"#.to_owned())));
        assert_eq!(read(r#"{"metadata":null}"#), Ok(None));
        assert!(read(r#"{"metadata":1}"#).is_err() && read("{}").is_err());
        let long = format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(METADATA_BYTES_MAX));
        assert!(matches!(read(&long), Err(SessionError::TooLarge { .. })));
    }
}
