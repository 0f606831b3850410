//! Who a request is, once its message and its signature are both right.
//!
//! A [`Known`] is what a verified proof, or a session that one began, leaves behind for later requests: who signed, what
//! the message claims, and the header values an upstream is told, made once. It says nothing about *now*: an [`Identity`]
//! does, and can only be had by [`Identity::establish`], which judges the claims anew on every request, warm or cold, and
//! by [`Identity::open`], which judges the times of a session.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use crate::{
    caip::AccountId,
    chain::{Scheme, Verified},
    policy::holder::Holder,
    session::{
        SessionError,
        id::Sid,
        set::{Life, Revalidation, Session, SessionSet, Standing},
    },
    siwx::claims::{self, ClaimError, Claims, Expectation},
    time::UnixTime,
};

/// A verified proof, or a session that one began, and what later requests with it need.
#[derive(Debug)]
pub struct Known {
    account: AccountId,
    scheme: Scheme,
    proven: Proven,
    headers: IdentityHeaders,
    /// What an upstream was told last of what opened a route. It seldom changes from one request to the next.
    opened: ArcSwapOption<Told>,
}

/// What rests on the wallet's signature.
#[derive(Debug)]
enum Proven {
    /// A message that the request brings along, and that is judged on each of them.
    Message(Claims),
    /// A session, whose message was judged when it was begun, and the set that it is in.
    Session(Sid, Arc<SessionSet>),
}

/// What opened a route, and the same as an upstream is told it.
#[derive(Debug)]
struct Told {
    until: UnixTime,
    plan: Option<Box<str>>,
    headers: OpenedHeaders,
}

/// What an upstream is told about what opened a route to an account.
#[derive(Debug, Clone)]
pub struct OpenedHeaders {
    /// Until when it is open: RFC 3339, in UTC.
    pub until: HeaderValue,
    /// The plan that opened it, where one did and its name can be written in a field.
    pub plan: Option<HeaderValue>,
}

/// What an upstream is told about an account, ready to be sent.
#[derive(Debug)]
pub struct IdentityHeaders {
    /// The address alone, in its canonical spelling.
    pub address: HeaderValue,
    /// The CAIP-2 chain id.
    pub chain: HeaderValue,
    /// The CAIP-10 account id.
    pub account: HeaderValue,
    /// How the signature was checked.
    pub scheme: HeaderValue,
    /// What the session is called; nothing where the request brings its own proof.
    pub session: Option<HeaderValue>,
}

/// Who a request is. Holding one means that a signature was right and its message allows this request now.
#[derive(Debug, Clone)]
pub struct Identity {
    known: Arc<Known>,
    valid_until: UnixTime,
}

// === impl Known ===

impl Known {
    /// Keeps a verified proof.
    pub fn new(verified: Verified) -> Self {
        let claims = Proven::Message(verified.claims().clone());
        Self::of(verified.account().clone(), verified.scheme(), claims)
    }

    /// Keeps whose a session of a set is; nothing if its scheme is none of ours.
    pub fn of_session(session: &Session, set: &Arc<SessionSet>) -> Option<Self> {
        let scheme = scheme_of(session)?;
        Some(Self::of(session.account.clone(), scheme, Proven::Session(session.sid, Arc::clone(set))))
    }

    /// Whether a session's scheme is one of ours.
    pub fn is_of_ours(session: &Session) -> bool {
        scheme_of(session).is_some()
    }

    fn of(account: AccountId, scheme: Scheme, proven: Proven) -> Self {
        let session = match &proven {
            Proven::Message(_) => None,
            Proven::Session(sid, _) => Some(header_value(&sid.to_string())),
        };
        let headers = IdentityHeaders {
            address: header_value(account.address()),
            chain: header_value(account.chain_str()),
            account: header_value(account.as_str()),
            scheme: HeaderValue::from_static(scheme.as_str()),
            session,
        };
        Self { account, scheme, proven, headers, opened: ArcSwapOption::empty() }
    }

    /// The account that signed.
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// What the message claims; nothing for a session.
    pub const fn claims(&self) -> Option<&Claims> {
        match &self.proven {
            Proven::Message(claims) => Some(claims),
            Proven::Session(..) => None,
        }
    }

    /// What the session is called; nothing where the request brings its own proof.
    pub const fn session(&self) -> Option<Sid> {
        match &self.proven {
            Proven::Message(_) => None,
            Proven::Session(sid, _) => Some(*sid),
        }
    }

    /// How the signature was checked.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
}

// === impl Identity ===

impl Identity {
    /// Judges the claims of a verified proof for a request at a time (message.md section 6).
    pub fn establish(
        known: &Arc<Known>,
        expected: &Expectation,
        request_path: &str,
        now: UnixTime,
    ) -> Result<Self, ClaimError> {
        // What stands for a session proves nothing here.
        let claims = known.claims().ok_or(ClaimError::InvalidTimeRange)?;
        let valid_until = claims::check(claims, expected, Some(request_path), now)?;
        Ok(Self { known: Arc::clone(known), valid_until })
    }

    /// Who a request is by a session of a set that was found under what it presents: the session that it names, or the
    /// newest one (sessions.md section 2.1). `known` are those of the set's sessions, in their order.
    pub fn open<'s>(
        set: &'s SessionSet,
        known: &[Arc<Known>],
        named: Option<&str>,
        life: &Life,
        now: UnixTime,
    ) -> Result<(Self, &'s Session), SessionError> {
        let session = set.active(named, life, now)?;
        let known =
            known.iter().find(|known| known.session() == Some(session.sid)).ok_or(SessionError::Unauthenticated)?;
        let valid_until = session.ends_at(life, set.seen_at());
        Ok((Self { known: Arc::clone(known), valid_until }, session))
    }

    /// The account.
    pub fn account(&self) -> &AccountId {
        self.known.account()
    }

    /// What its session is called; nothing where the request brings its own proof.
    pub fn session(&self) -> Option<Sid> {
        self.known.session()
    }

    /// All accounts that are signed in with this one, itself among them; without a session it is alone. Of the others a
    /// contract's that is to be asked again is left out: nobody has asked it for this request.
    pub fn accounts(&self, life: &Life, revalidation: Option<&Revalidation>, now: UnixTime) -> Vec<&AccountId> {
        let Proven::Session(sid, set) = &self.known.proven else {
            return vec![self.account()];
        };
        let counts = |session: &&Session| session.sid == *sid || session.standing(revalidation, now) == Standing::Good;
        let mut accounts: Vec<_> = set.shown(life, now).filter(counts).map(|session| &session.account).collect();
        if !accounts.contains(&self.account()) {
            accounts.push(self.account());
        }
        accounts
    }

    /// How its signature was checked.
    pub fn scheme(&self) -> Scheme {
        self.known.scheme()
    }

    /// As whom it uses what its account holds.
    pub fn holder(&self) -> Holder<'_> {
        if self.scheme().is_contract() { Holder::Contract(self.account().chain_str()) } else { Holder::KeyPair }
    }

    /// What an upstream is told about it.
    pub fn headers(&self) -> &IdentityHeaders {
        &self.known.headers
    }

    /// What an upstream is told about a route that is open until then, by a plan or without one.
    pub fn opened(&self, until: UnixTime, plan: Option<&str>) -> OpenedHeaders {
        let last = self.known.opened.load();
        if let Some(told) = last.as_deref()
            && told.until == until
            && told.plan.as_deref() == plan
        {
            return told.headers.clone();
        }
        let headers = OpenedHeaders {
            until: header_value(&until.to_string()),
            plan: plan.and_then(|plan| HeaderValue::from_str(plan).ok()),
        };
        let told = Told { until, plan: plan.map(Into::into), headers: headers.clone() };
        self.known.opened.store(Some(Arc::new(told)));
        headers
    }

    /// Until when the credential holds.
    pub const fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
}

fn scheme_of(session: &Session) -> Option<Scheme> {
    Scheme::ALL.iter().copied().find(|scheme| scheme.as_str() == &*session.scheme)
}

/// A CAIP-10 id is ASCII without controls, so this is always the value itself.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
