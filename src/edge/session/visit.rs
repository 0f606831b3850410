//! One request to the session API: who may ask, and by which endpoint it is answered.
//!
//! The order is a security property:
//!
//! 1. A preflight, which carries nothing, is answered by its origin alone.
//! 2. What is not there, and what its path does not take, ends here.
//! 3. What changes something needs a page that may (sessions.md section 2.3), unless it came with a bearer and without a
//!    cookie: no page can make a browser send one.
//! 4. The address's count of refusals, before anything is verified.
//! 5. Only then a body is read.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    answers::{Answered, Content, Who},
    cookie,
    cors::{self, Reader},
    path::{Door, ReownDoor},
    read,
};
use crate::{
    credential::{Bearer, Carrier as _, CarrierName, Cookie, CredentialError, Presented},
    edge::{
        browser::{
            landing::ReturnPath,
            page::{Page, Purpose},
        },
        record::Record,
        respond::Answer,
    },
    gate::{
        Gate,
        sessions::{Fault, Sessions, Visitor},
        settings::SessionSettings,
        view::RequestView,
    },
    metrics::Metrics,
    policy::{
        cross_site::{self, Page as Asking},
        decision::Refusal,
    },
    secret::Secret,
    session::{ItemError, SessionError, keys::SigningKeys},
    siwx::origin::Origin,
    time::UnixTime,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A request to the session API.
pub(crate) struct Visit<'r> {
    pub(crate) gate: &'r Gate,
    pub(crate) sessions: &'r Sessions,
    pub(crate) metrics: &'r Metrics,
    pub(crate) view: RequestView<'r>,
    pub(crate) query: &'r str,
    pub(crate) now: UnixTime,
    /// The keys of assertions, which stand beside those of tokens.
    pub(crate) others: Option<Arc<SigningKeys>>,
    /// The longest silence within a body.
    pub(crate) idle: Duration,
}

/// What an endpoint says when it is content.
pub(super) struct Reply {
    pub(super) content: Content,
    pub(super) cookie: CookieChange,
    /// Who it is about, for the log.
    pub(super) who: Option<Who>,
}

/// What becomes of the cookie.
pub(super) enum CookieChange {
    /// It stays as it is.
    Keep,
    /// It gets this value until then.
    Give { value: Secret<String>, until: UnixTime },
    /// It is taken away.
    Remove,
}

/// Why an endpoint says no.
pub(super) enum No {
    Answer(Answer),
    Limited { retry_after_secs: u64 },
    Message(SessionError),
    Session(ItemError),
}

impl<'r> Visit<'r> {
    /// Answers it.
    pub(crate) async fn answer(&self, door: Door, body: Incoming, record: &mut Record) -> Answer {
        let reown = matches!(door, Door::Reown(_));
        let reader = Reader::of(self.sessions.origins(), self.view.headers, !reown);
        let (content, cookie, who) = match self.asked(door, reader.is_some(), body, record).await {
            Ok(Reply { content, cookie, who }) => (content, self.cookie_field(cookie), who),
            Err(No::Answer(answer)) => (Content::Refused(answer), None, None),
            Err(No::Limited { retry_after_secs }) => (Content::Limited { retry_after_secs }, None, None),
            Err(No::Message(error)) => (Content::MessageRefused(error), None, None),
            Err(No::Session(error)) => (Content::SessionRefused(error), None, None),
        };
        Answer::Session(Box::new(Answered { content, cookie, reader, plain: reown, who }))
    }

    async fn asked(&self, door: Door, listed: bool, body: Incoming, record: &mut Record) -> Result<Reply, No> {
        let (method, headers) = (self.view.method, self.view.headers);
        if is_preflight(method, headers) {
            return if listed { Ok(Reply::of(Content::Preflight)) } else { Err(SessionError::OriginNotAllowed.into()) };
        }
        if !is_taken(door, method)? {
            return Err(Answer::MethodNotAllowed.into());
        }
        if let Door::Reown(_) = door {
            self.check_origin(listed)?;
        } else if !cross_site::is_safe(method) {
            self.check_page()?;
        }
        if is_bounded(door, method)
            && let Some(wait) = self.gate.exhausted(self.view.client, self.view.started)
        {
            return Err(No::Limited { retry_after_secs: wait.as_secs() + 1 });
        }
        let body = if cross_site::is_safe(method) || *method == Method::DELETE {
            Bytes::new()
        } else {
            read::body(body, self.idle, record).await?
        };
        match door {
            Door::Config => Ok(self.config()),
            Door::File(file) => Ok(Reply::of(Content::Whole(file.respond(headers)))),
            Door::Keys => {
                let keys = self.sessions.keys().jwks_with(self.others.as_deref(), self.now);
                Ok(Reply::of(Content::Keys(keys.to_string())))
            }
            Door::Login => {
                let purpose = Purpose::SignIn(ReturnPath::of_query(self.query));
                Ok(Reply::of(Content::Whole(Page { prefix: &self.settings().prefix, purpose }.respond())))
            }
            Door::Me => self.me().await,
            Door::Message => self.message(&body),
            Door::Nonce => self.nonce(),
            Door::Nowhere => Err(Answer::NoRoute.into()),
            Door::Refresh => self.refresh().await,
            Door::Reown(door) => self.reown(door, &body).await,
            Door::Sessions => match *method {
                Method::POST => self.begin(&body).await,
                Method::PUT => self.replace(&body).await,
                Method::DELETE => self.forget().await,
                _ => self.list().await,
            },
            Door::SignOut => self.sign_out(&body).await,
        }
    }

    fn config(&self) -> Reply {
        let (settings, own) = (self.settings(), self.own());
        Reply::json(&json!({
            "domain": own.map_or(&*settings.domain, Origin::authority),
            "uri": own.map_or(&*settings.issuer, Origin::as_str),
            "chains": self.sessions.profile().chains,
            "nonceTtl": settings.message_age_max.as_secs(),
            "sessionTtl": settings.life.ttl.as_secs(),
        }))
    }

    pub(super) fn settings(&self) -> &SessionSettings {
        self.sessions.settings()
    }

    /// The gateway's origin at the host of this request. Its own stand before those that are listed.
    pub(super) fn own(&self) -> Option<&Origin> {
        self.sessions.origins().iter().find(|origin| origin.host() == self.view.host)
    }

    /// Whose page asks, of those that are ours or listed; our own where none says so.
    pub(super) fn page(&self) -> Option<&Origin> {
        let page = cors::page(self.view.headers);
        let listed = page.and_then(|page| self.sessions.origins().iter().find(|listed| **listed == page));
        listed.or_else(|| self.own())
    }

    /// Who asks.
    pub(super) fn visitor(&self) -> Visitor<'r> {
        let origin = self.view.headers.get(ORIGIN).map(HeaderValue::as_bytes);
        Visitor { client: self.view.client, origin, started: self.view.started, now: self.now }
    }

    /// What opens a session: a bearer, or else a cookie.
    pub(super) fn presented(&self) -> Result<Option<Presented<'r>>, No> {
        self.sessions.present(self.view.headers).map_err(conflict)
    }

    /// The same, for endpoints that take no cookie.
    pub(super) fn bearer(&self) -> Result<Option<Presented<'r>>, No> {
        Bearer.present(self.view.headers).map_err(conflict)
    }

    /// Whether the page that asks may change something. A bearer with a cookie beside it is of a page, too.
    fn check_page(&self) -> Result<(), No> {
        let headers = self.view.headers;
        let presented = self.presented()?;
        let by_bearer = presented.is_some_and(|presented| presented.carrier() == CarrierName::Bearer);
        if by_bearer && !self.has_cookie()? {
            return Ok(());
        }
        let may = self.sessions.may_change(&asking(headers));
        if may { Ok(()) } else { Err(SessionError::Csrf.into()) }
    }

    fn has_cookie(&self) -> Result<bool, No> {
        let cookie = Cookie::new(&self.settings().cookie.name);
        Ok(cookie.present(self.view.headers).map_err(conflict)?.is_some())
    }

    /// Whether the page that asks is listed, if a page does. There are no cookies here that it could misuse.
    fn check_origin(&self, listed: bool) -> Result<(), No> {
        let asks = self.view.headers.contains_key(ORIGIN);
        if !asks || listed { Ok(()) } else { Err(SessionError::OriginNotAllowed.into()) }
    }

    fn cookie_field(&self, change: CookieChange) -> Option<HeaderValue> {
        match change {
            CookieChange::Keep => None,
            CookieChange::Give { value, until } => {
                let left = u64::try_from(until.secs() - self.now.secs()).unwrap_or(0);
                cookie::given(&self.settings().cookie, value.expose(), left)
            }
            CookieChange::Remove => cookie::removed(&self.settings().cookie),
        }
    }
}

// === impl Reply ===

impl Reply {
    pub(super) const fn of(content: Content) -> Self {
        Self { content, cookie: CookieChange::Keep, who: None }
    }

    pub(super) fn json(json: &Value) -> Self {
        Self::of(Content::Json(json.to_string()))
    }
}

// === impl No ===

impl From<Answer> for No {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl From<SessionError> for No {
    fn from(error: SessionError) -> Self {
        Self::Session(error.into())
    }
}

impl From<ItemError> for No {
    fn from(error: ItemError) -> Self {
        Self::Session(error)
    }
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => Self::Session(error),
            Fault::Limited { retry_after_secs } => Self::Limited { retry_after_secs },
            Fault::Unavailable => Self::Answer(Answer::Refused(Refusal::StoreUnavailable)),
        }
    }
}

impl No {
    /// The code of the answer, for metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Answer(answer) => answer.code(),
            Self::Limited { .. } => SessionError::RateLimited.code(),
            Self::Message(error) => error.code(),
            Self::Session(error) => error.error.code(),
        }
    }
}

/// The public keys where there is nothing else of this API.
pub(crate) fn published(keys: &SigningKeys, method: &Method, now: UnixTime) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Answer::MethodNotAllowed;
    }
    let content = Content::Keys(keys.jwks(now).to_string());
    Answer::Session(Box::new(Answered { content, cookie: None, reader: None, plain: false, who: None }))
}

/// Whether a script asks if it may send such a request.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether an endpoint takes a method; what is not there takes none.
fn is_taken(door: Door, method: &Method) -> Result<bool, No> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Ok(match door {
        Door::Config | Door::File(_) | Door::Keys | Door::Login | Door::Me | Door::Nonce => reads,
        Door::Message | Door::Refresh | Door::SignOut => *method == Method::POST,
        Door::Sessions => reads || matches!(*method, Method::POST | Method::PUT | Method::DELETE),
        Door::Reown(ReownDoor::Me | ReownDoor::Nonce) => reads,
        Door::Reown(ReownDoor::Authenticate | ReownDoor::SignOut) => *method == Method::POST,
        Door::Reown(ReownDoor::AccountMetadata) => *method == Method::PUT,
        Door::Reown(ReownDoor::Otp) => matches!(*method, Method::POST | Method::PUT),
        Door::Nowhere | Door::Reown(ReownDoor::Nowhere) => return Err(Answer::NoRoute.into()),
    })
}

/// Whether it makes work, or something to work with, for whoever is refused again and again. What a session is presented
/// to is not among them: nobody guesses one, and a page that may not see its own signs its visitor out.
fn is_bounded(door: Door, method: &Method) -> bool {
    match door {
        Door::Message | Door::Nonce => true,
        Door::Sessions => matches!(*method, Method::POST | Method::PUT),
        Door::Reown(ReownDoor::Authenticate | ReownDoor::Nonce | ReownDoor::Otp) => true,
        _ => false,
    }
}

/// What a browser says of the page; two fields of one name say nothing.
fn asking(headers: &HeaderMap) -> Asking<'_> {
    let one = |name: HeaderName| -> Option<&[u8]> {
        let mut fields = headers.get_all(name).iter();
        let first = fields.next()?;
        Some(if fields.next().is_some() { b"" } else { first.as_bytes() })
    };
    Asking { origin: one(ORIGIN), fetch_site: one(SEC_FETCH_SITE) }
}

fn conflict(_: CredentialError) -> No {
    Answer::Refused(Refusal::ConflictingCredentials).into()
}
