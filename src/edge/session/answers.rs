//! Answers of the session API, apart from their status codes, which `respond` chooses.
//!
//! 1. No cache keeps one, but for the public keys and the files, which are the same for everybody.
//! 2. What is right is JSON; what is wrong is a problem as everywhere, with `index` where one of several is meant. On
//!    ReownAuthentication's endpoints it is a short text, which its class shows as it is.
//! 3. No answer holds a signature but the list of sessions, whose owner sent it.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE, X_CONTENT_TYPE_OPTIONS},
};

use super::cors::{self, Reader};
use crate::{
    caip::AccountId,
    edge::{headers::X_REQUEST_ID, respond::Answer},
    session::{ItemError, SessionError},
};

/// An answer, and whose script may read it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) content: Content,
    /// What becomes of the cookie; nothing: it stays as it is.
    pub(super) cookie: Option<HeaderValue>,
    pub(super) reader: Option<Reader>,
    /// Whether errors are texts.
    pub(super) plain: bool,
    pub(super) who: Option<Who>,
}

/// Who an answer is about, for the log: the account, and the scheme of its signature.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) account: AccountId,
    pub(super) scheme: Box<str>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Content {
    /// A session was begun: JSON.
    Created(String),
    /// JSON.
    Json(String),
    /// The public keys: JSON that anybody may keep for a while.
    Keys(String),
    /// Too much was refused of this address.
    Limited {
        /// Until it may ask again.
        retry_after_secs: u64,
    },
    /// No message of such a kind is written here.
    MessageRefused(SessionError),
    /// There is no e-mail to confirm here.
    NoEmail,
    /// It is done, and there is nothing to say.
    Nothing,
    /// A script may send what it asks for.
    Preflight,
    /// Refused or failed, as elsewhere.
    Refused(Answer),
    /// A sign-in or a session was refused.
    SessionRefused(ItemError),
    /// A file or a page, whole.
    Whole(Response<Bytes>),
}

impl Answered {
    /// Whom it is about, and by what signature.
    pub(crate) fn who(&self) -> Option<(&AccountId, &str)> {
        self.who.as_ref().map(|who| (&who.account, &*who.scheme))
    }

    /// The whole answer. `problem` writes what was refused.
    pub(crate) fn respond(
        &self,
        status: StatusCode,
        detail: &str,
        request_id: HeaderValue,
        problem: impl FnOnce() -> Response<Bytes>,
    ) -> Response<Bytes> {
        let mut response = match &self.content {
            Content::Created(json) | Content::Json(json) | Content::Keys(json) => typed("application/json", json),
            Content::Nothing | Content::Preflight => Response::new(Bytes::new()),
            Content::Whole(response) => response.clone(),
            Content::NoEmail => typed("text/plain; charset=utf-8", detail),
            Content::Limited { .. } | Content::MessageRefused(_) | Content::Refused(_) | Content::SessionRefused(_)
                if !self.plain =>
            {
                problem()
            }
            // The fields of a problem are right for a text too: when to try again, whom to sign in to.
            Content::Limited { .. } | Content::MessageRefused(_) | Content::Refused(_) | Content::SessionRefused(_) => {
                let mut response = problem();
                *response.body_mut() = Bytes::copy_from_slice(detail.as_bytes());
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
        };
        if !matches!(self.content, Content::Whole(_)) {
            *response.status_mut() = status;
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, request_id);
        self.dress(headers);
        response
    }

    fn dress(&self, headers: &mut HeaderMap) {
        let public = matches!(self.content, Content::Keys(_) | Content::Whole(_));
        cors::vary(headers, public);
        match &self.content {
            Content::Keys(_) => {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            }
            Content::Whole(_) => {}
            _ => {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(reader) = &self.reader {
            reader.allow(headers);
        }
        if matches!(self.content, Content::Preflight) {
            cors::preflight(headers);
        }
        if let Some(cookie) = &self.cookie {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
}

fn typed(kind: &'static str, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
