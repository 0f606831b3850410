//! Sessions as a store has them, and back.

use crate::{
    session::{
        id::Sid,
        set::{Evidence, Life, Session, SessionSet},
        sign_in::Attempt,
    },
    store,
    time::UnixTime,
};

/// A session as it is written; `nonce_until`: when its nonce is refused for its age alone.
pub(super) fn to_store(session: &Session, attempt: &Attempt, life: &Life, nonce_until: UnixTime) -> store::NewSession {
    let absolute_end = session.created_at.plus(life.absolute);
    let absolute_end = session.expiration_time.map_or(absolute_end, |end| end.min(absolute_end));
    let evidence = &session.evidence;
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let facts = store::SessionFacts {
        id: session.sid.to_string(),
        account: session.account.clone(),
        scheme: session.scheme.to_string(),
        domain: attempt.message().domain.to_string(),
        created_at: session.created_at,
        refreshed_at: session.refreshed_at,
        verified_at: session.verified_at,
        not_before: session.not_before,
        // Without its rest: that is counted from the last use, and changes nothing here.
        expires_at: session.ends_at(life, None),
        absolute_end,
    };
    let texts = store::SessionTexts {
        message: evidence.message.to_string(),
        signature: evidence.signature.to_string(),
        nonce: attempt.nonce().to_owned(),
        data: evidence.data.to_string(),
        cacao: text(&evidence.cacao),
        public_key: text(&evidence.public_key),
        recap: text(&evidence.recap),
    };
    store::NewSession { entry: store::SessionEntry { facts, texts }, nonce_until }
}

/// A set as a store has it. What is not of our making in it is left out.
pub(super) fn from_store(set: store::SessionSet) -> SessionSet {
    let seen_at = set.seen_at;
    SessionSet::new(set.entries.into_iter().filter_map(session).collect(), Some(seen_at))
}

fn session(entry: store::SessionEntry) -> Option<Session> {
    let store::SessionEntry { facts, texts } = entry;
    Some(Session {
        sid: Sid::parse(&facts.id)?,
        by_contract: is_contract(&facts.scheme),
        account: facts.account,
        scheme: facts.scheme.into(),
        created_at: facts.created_at,
        refreshed_at: facts.refreshed_at,
        verified_at: facts.verified_at,
        not_before: facts.not_before,
        // The store's word for it: what the text says, and what was settled when it was begun, whichever comes first.
        expiration_time: Some(facts.expires_at),
        evidence: Evidence {
            message: texts.message.into(),
            signature: texts.signature.into(),
            data: texts.data.into(),
            cacao: texts.cacao.map(Into::into),
            public_key: texts.public_key.map(Into::into),
            recap: texts.recap.map(Into::into),
        },
    })
}

/// Whether a scheme, by its word, is a contract's.
fn is_contract(scheme: &str) -> bool {
    crate::chain::Scheme::ALL.iter().any(|known| known.as_str() == scheme && known.is_contract())
}
