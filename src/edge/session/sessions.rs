//! Sessions: begun, replaced, shown, prolonged and ended (sessions.md section 2).
//!
//! 1. What begins or changes a set gives the cookie a new value, and names the same in its answer for those that hold
//!    theirs elsewhere.
//! 2. The list of sessions is empty for whoever is not signed in, whatever they present: that is no error of theirs.
//! 3. An answer about several says which of them was at fault, and then nothing was changed.

use serde_json::{Value, json};

use super::{
    answers::{Content, Who},
    message::Wanted,
    read::parameter,
    visit::{CookieChange, No, Reply, Visit},
};
use crate::{
    credential::{CarrierName, Presented},
    edge::respond::Answer,
    gate::sessions::{HeldPlan, How, Opened, SignInRequest, SignedIn},
    json,
    session::{
        SessionError,
        set::{Pair, Session},
        shown::{identity_json, session_json},
        sign_in::Attempt,
    },
};

impl Visit<'_> {
    /// `GET P/nonce`.
    pub(super) fn nonce(&self) -> Result<Reply, No> {
        let issued = self.sessions.nonce(self.now)?;
        let expires_at = issued.expires_at.to_string();
        Ok(Reply::json(&json!({ "nonce": issued.nonce, "token": issued.token, "expiresAt": expires_at })))
    }

    /// `POST P/message`.
    pub(super) fn message(&self, body: &[u8]) -> Result<Reply, No> {
        let wanted = Wanted::read(body).map_err(No::Message)?;
        let page = self.page().ok_or(Answer::Internal)?;
        let nonce = self.sessions.nonce(self.now)?.nonce;
        let written = wanted.write(page, &self.sessions.profile().chains, &nonce, self.now).map_err(No::Message)?;
        Ok(Reply::json(&written))
    }

    /// `POST P/sessions`.
    pub(super) async fn begin(&self, body: &[u8]) -> Result<Reply, No> {
        let attempt = self.counted(self.sessions.reader().session(body).map_err(Into::into))?;
        let presented = self.presented()?;
        let attempts = std::slice::from_ref(&attempt);
        let request =
            SignInRequest { attempts, how: How::Add, presented: presented.as_ref(), form: None, appkit: None };
        let signed_in =
            self.counted(self.sessions.sign_in(self.gate, request, &self.visitor()).await.map_err(Into::into))?;
        self.count_good(&signed_in.opened, attempts);

        let session = self.session_of(&signed_in.opened, &attempt).ok_or(Answer::Internal)?;
        let who = Some(Who { account: session.account.clone(), scheme: session.scheme.clone() });
        let shown = self.json_of(&signed_in.opened, session);
        let SignedIn { credential, expires_at, .. } = signed_in;
        let token = Value::from(credential.expose().as_str());
        let content = Content::Created(format!(r#"{{"session":{shown},"token":{token},"expiresAt":"{expires_at}"}}"#));
        Ok(Reply { content, cookie: CookieChange::Give { value: credential, until: expires_at }, who })
    }

    /// `PUT P/sessions`.
    pub(super) async fn replace(&self, body: &[u8]) -> Result<Reply, No> {
        let attempts = self.counted(self.sessions.reader().sessions(body).map_err(Into::into))?;
        let presented = self.presented()?;
        if attempts.is_empty() {
            if let Some(presented) = &presented {
                self.sessions.sign_out(self.gate, presented, false, self.now).await?;
            }
            let content = Content::Json(json!({ "sessions": [], "token": null }).to_string());
            return Ok(Reply { content, cookie: CookieChange::Remove, who: None });
        }
        let request = SignInRequest {
            attempts: &attempts,
            how: How::Replace,
            presented: presented.as_ref(),
            form: None,
            appkit: None,
        };
        let signed_in =
            self.counted(self.sessions.sign_in(self.gate, request, &self.visitor()).await.map_err(Into::into))?;
        self.count_good(&signed_in.opened, &attempts);

        let SignedIn { opened, credential, expires_at } = signed_in;
        let sessions = attempts.iter().filter_map(|attempt| self.session_of(&opened, attempt));
        let shown: Vec<String> = sessions.map(|session| self.json_of(&opened, session)).collect();
        let token = Value::from(credential.expose().as_str());
        let content = Content::Json(format!(r#"{{"sessions":[{}],"token":{token}}}"#, shown.join(",")));
        let who = opened.set().sessions().last();
        let who = who.map(|session| Who { account: session.account.clone(), scheme: session.scheme.clone() });
        Ok(Reply { content, cookie: CookieChange::Give { value: credential, until: expires_at }, who })
    }

    /// `GET P/sessions`.
    pub(super) async fn list(&self) -> Result<Reply, No> {
        let (chain, address) = (parameter(self.query, "chainId")?, parameter(self.query, "address")?);
        let pair = Pair::read(chain.as_deref(), address.as_deref())?;
        let shown = match self.presented()? {
            Some(presented) => self.sessions.shown(self.gate, &presented, &self.visitor()).await?,
            None => None,
        };
        let life = &self.settings().life;
        let sessions: Vec<String> = shown.as_ref().map_or_else(Vec::new, |shown| {
            let sessions = shown.sessions(pair.as_ref(), life, self.now);
            sessions.map(|session| self.json_of(&shown.opened, session)).collect()
        });
        Ok(Reply::of(Content::Json(format!(r#"{{"sessions":[{}]}}"#, sessions.join(",")))))
    }

    /// `DELETE P/sessions`.
    pub(super) async fn forget(&self) -> Result<Reply, No> {
        let (chain, address) = (parameter(self.query, "chainId")?, parameter(self.query, "address")?);
        Pair::read(chain.as_deref(), address.as_deref())?;
        let (Some(chain), Some(address)) = (chain, address) else {
            let absent = SessionError::Member { member: "chainId", expected: "a text", found: "nothing" };
            return Err(absent.into());
        };
        let cookie = match self.presented()? {
            None => CookieChange::Keep,
            Some(presented) => {
                let left = self.sessions.forget(self.gate, &presented, &chain, &address, self.now).await?;
                if left == 0 && is_cookie(&presented) { CookieChange::Remove } else { CookieChange::Keep }
            }
        };
        Ok(Reply { content: Content::Nothing, cookie, who: None })
    }

    /// `GET P/me`.
    pub(super) async fn me(&self) -> Result<Reply, No> {
        let presented = self.presented()?.ok_or(SessionError::Unauthenticated)?;
        let shown = self.sessions.shown(self.gate, &presented, &self.visitor()).await?;
        let shown = shown.ok_or(SessionError::Unauthenticated)?;
        let (life, opened) = (&self.settings().life, &shown.opened);
        let named = self.view.headers.get("x-siwx-account");
        let named = named.map(|named| named.to_str().map_err(|_| SessionError::AccountNotInSession)).transpose()?;
        let active = opened.set().active(named, life, self.now)?;
        if !shown.sessions(None, life, self.now).any(|session| session.sid == active.sid) {
            // Its contract cannot be asked, and its word is too old.
            return Err(SessionError::RpcUnavailable.into());
        }
        let ends_at = active.ends_at(life, opened.set().seen_at());
        let accounts = shown.sessions(None, life, self.now).map(|session| &session.account);
        let mut identity = identity_json(active, accounts, ends_at);
        if let Some(plans) = self.sessions.plans(self.gate, &shown, &self.visitor()).await {
            identity["subscriptions"] = plans.iter().map(plan_json).collect();
        }
        let who = Some(Who { account: active.account.clone(), scheme: active.scheme.clone() });
        Ok(Reply { who, ..Reply::json(&identity) })
    }

    /// `POST P/refresh`.
    pub(super) async fn refresh(&self) -> Result<Reply, No> {
        let presented = self.presented()?.ok_or(SessionError::Unauthenticated)?;
        let renewed = self.sessions.refresh(self.gate, &presented, None, None, &self.visitor()).await?;
        let SignedIn { credential, expires_at, .. } = renewed;
        let body = json!({ "token": credential.expose().as_str(), "expiresAt": expires_at.to_string() });
        // Who holds a token of their own has no use for a cookie beside it.
        let give = CookieChange::Give { value: credential, until: expires_at };
        let cookie = if is_cookie(&presented) { give } else { CookieChange::Keep };
        Ok(Reply { cookie, ..Reply::json(&body) })
    }

    /// `POST P/sign-out`.
    pub(super) async fn sign_out(&self, body: &[u8]) -> Result<Reply, No> {
        let all = !body.trim_ascii().is_empty() && asks_for_all(body)?;
        if let Some(presented) = self.presented()? {
            self.sessions.sign_out(self.gate, &presented, all, self.now).await?;
        }
        Ok(Reply { content: Content::Nothing, cookie: CookieChange::Remove, who: None })
    }

    /// Counts a sign-in that was refused.
    pub(super) fn counted<T>(&self, outcome: Result<T, No>) -> Result<T, No> {
        outcome.inspect_err(|no| self.metrics.signed_in("none", no.code()))
    }

    /// Counts sign-ins that were not.
    pub(super) fn count_good(&self, opened: &Opened, attempts: &[Attempt]) {
        for session in attempts.iter().filter_map(|attempt| self.session_of(opened, attempt)) {
            self.metrics.signed_in(&session.scheme, "ok");
        }
    }

    /// The session that a sign-in began.
    pub(super) fn session_of<'o>(&self, opened: &'o Opened, attempt: &Attempt) -> Option<&'o Session> {
        opened.set().sessions().iter().find(|session| session.account == *attempt.account())
    }

    fn json_of(&self, opened: &Opened, session: &Session) -> String {
        session_json(session, session.ends_at(&self.settings().life, opened.set().seen_at()))
    }
}

/// `{account, plan, expiresAt}`, the last one null where there is no end.
fn plan_json(held: &HeldPlan) -> Value {
    let expires_at = held.expires_at.map(|end| end.to_string());
    json!({ "account": held.account.as_str(), "plan": &*held.plan, "expiresAt": expires_at })
}

fn is_cookie(presented: &Presented<'_>) -> bool {
    presented.carrier() == CarrierName::Cookie
}

/// `{all?: true}`.
fn asks_for_all(body: &[u8]) -> Result<bool, SessionError> {
    match json::parse_object(body)?.get("all") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(other) => Err(SessionError::Member { member: "all", expected: "`true`", found: json::kind(other) }),
    }
}
