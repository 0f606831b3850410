//! Contracts that are asked again: an owner who was removed is out (sessions.md section 2.1).
//!
//! 1. A session whose signature a contract took is good for `after`; then its contract is asked once more, past what is
//!    remembered of contracts, before the session is shown or opens anything.
//! 2. What the contract refuses is ended for good. While nobody answers the session stays good for `grace`, and the
//!    contract is asked again no more than once in [`VAIN`]; after that it opens nothing, and nobody says it is over.

use std::{sync::Arc, time::Duration};

use super::{Opened, Sessions, Visitor};
use crate::{
    chain::{self, DIALECTS, SignerKey, Verification},
    gate::{Gate, contracts::Unasked},
    session::set::{Session, Standing},
    siwx::proof::Proof,
};

/// How long nobody is asked again after nobody answered, as long as the session is good without it.
const VAIN: Duration = Duration::from_secs(5);

/// Why a session is not relied on.
#[derive(Debug, Clone)]
pub(in crate::gate) enum Doubt {
    /// Its contract does not take the signature any more. It was ended.
    Refused,
    /// Nobody answers, and it is too long ago that somebody did.
    Unavailable,
    /// The address has asked about too many contracts; when there is more.
    Limited(Duration),
}

/// What a contract says now.
pub(super) enum Word {
    Good,
    Bad,
    None(Doubt),
}

impl Sessions {
    /// Whether a session can be relied on as it is, and nobody has to be asked.
    pub(in crate::gate) fn is_sure(&self, opened: &Opened, session: &Session, now: crate::time::UnixTime) -> bool {
        match session.standing(self.settings.revalidation.as_ref(), now) {
            Standing::Good => true,
            Standing::Due { good_unasked } => good_unasked && now < opened.asked_in_vain().plus(VAIN),
        }
    }

    /// Whether a session of an open set can be relied on; asks its contract if that is due. The set as it is known then.
    pub(in crate::gate) async fn confirm(
        &self,
        gate: &Gate,
        opened: &Arc<Opened>,
        session: &Session,
        visitor: &Visitor<'_>,
    ) -> Result<Arc<Opened>, Doubt> {
        let now = visitor.now;
        if self.is_sure(opened, session, now) {
            return Ok(Arc::clone(opened));
        }
        let rule = self.settings.revalidation.as_ref();
        let good_unasked = session.standing(rule, now) == (Standing::Due { good_unasked: true });
        match self.ask_again(gate, session, visitor).await {
            Word::Good => {
                let id = session.sid.to_string();
                // It is good all the same if the store does not take a note of it: then it is asked again sooner.
                let _ = self.asked(self.means.store.verified(&opened.key, &id, now)).await;
                Ok(self.note_verified(opened, &session.sid, now))
            }
            Word::Bad => {
                self.memory.forget(&opened.key);
                // It opens nothing in either case: as long as it is stored, it is asked about each time.
                let _ = self.asked(self.means.store.end_sid(&session.sid.to_string())).await;
                self.memory.forget(&opened.key);
                Err(Doubt::Refused)
            }
            Word::None(_) if good_unasked => {
                opened.note_in_vain(now);
                Ok(Arc::clone(opened))
            }
            Word::None(doubt) => Err(doubt),
        }
    }

    /// Asks a session's contract, past what is remembered.
    pub(super) async fn ask_again(&self, gate: &Gate, session: &Session, visitor: &Visitor<'_>) -> Word {
        let (text, signature) = (&session.evidence.message, &session.evidence.signature);
        let proof = Proof::read(text.as_bytes().to_vec(), signature.to_string(), DIALECTS, &self.reading);
        let Ok(proof) = proof else {
            return Word::Bad;
        };
        let question = match chain::verify_known(&proof, &self.accepts, &SignerKey::default()) {
            Ok(Verification::Verified(_)) => return Word::Good,
            Ok(Verification::AskContract(question)) => question,
            Err(_) => return Word::Bad,
        };
        let Some(contracts) = gate.asks(&question) else {
            return Word::Bad;
        };
        match contracts.ask_again(question.call(), visitor.client).await {
            Ok(said) => question.conclude(&said.verdict).map_or(Word::Bad, |_| Word::Good),
            Err(Unasked::OverBudget(wait)) => Word::None(Doubt::Limited(wait)),
            Err(Unasked::Unavailable(_) | Unasked::Ended) => Word::None(Doubt::Unavailable),
        }
    }
}
