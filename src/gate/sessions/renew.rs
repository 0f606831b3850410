//! A longer life under a new name, the end, and what is shown.

use std::sync::Arc;

use super::{
    Fault, Opened, Sessions, SignedIn, TokenForm, Visitor,
    confirm::{Doubt, Word},
};
use crate::{
    caip::{AccountId, AccountKey},
    credential::Presented,
    gate::Gate,
    session::{
        SessionError,
        id::Sid,
        set::{Life, Pair, Session, Standing},
        token::AppKitClaims,
    },
    store,
    time::UnixTime,
};

/// The sessions of a set that can be relied on now.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The set.
    pub opened: Arc<Opened>,
    /// Those of it that are not shown, because nobody says whether their contract still takes their signature.
    hidden: Vec<Sid>,
}

impl Shown {
    /// Those of a pair of chain and address, or all.
    pub fn sessions<'o>(
        &'o self,
        pair: Option<&'o Pair<'o>>,
        life: &'o Life,
        now: UnixTime,
    ) -> impl Iterator<Item = &'o Session> {
        let asked = move |session: &&Session| {
            pair.is_none_or(|pair| self.opened.set().find(pair, life, now).any(|found| found.sid == session.sid))
        };
        let shown = self.opened.set().shown(life, now);
        shown.filter(|session| !self.hidden.contains(&session.sid)).filter(asked)
    }
}

impl Sessions {
    /// The sessions behind what was presented that can be shown now, contracts asked again where that is due; nothing
    /// for who is not signed in.
    pub async fn shown(
        &self,
        gate: &Gate,
        presented: &Presented<'_>,
        visitor: &Visitor<'_>,
    ) -> Result<Option<Shown>, Fault> {
        let Some(mut opened) = self.open(gate, presented, visitor.now).await? else {
            return Ok(None);
        };
        let mut hidden = Vec::new();
        let begun = Arc::clone(&opened);
        for session in begun.set().shown(&self.settings.life, visitor.now) {
            match self.confirm(gate, &opened, session, visitor).await {
                Ok(confirmed) => opened = confirmed,
                Err(Doubt::Refused | Doubt::Unavailable | Doubt::Limited(_)) => hidden.push(session.sid),
            }
        }
        let opened = self.note_seen(&opened, visitor.now).await;
        Ok(Some(Shown { opened, hidden }))
    }

    /// A longer life for the set behind what was presented, within what none of its sessions passes, under a new name.
    /// Contracts are asked again, whether it is due or not; what they refuse is left out, and so are accounts that are not
    /// let in any more.
    pub async fn refresh(
        &self,
        gate: &Gate,
        presented: &Presented<'_>,
        form: Option<TokenForm>,
        appkit: Option<&AppKitClaims>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Fault> {
        let now = visitor.now;
        let opened = self.open(gate, presented, now).await?.ok_or(SessionError::Unauthenticated)?;
        let (mut verified, mut refused) = (Vec::new(), Vec::new());
        for session in opened.set().sessions() {
            if gate.is_denied(&session.account) {
                refused.push(session.sid.to_string());
                continue;
            }
            if !session.by_contract {
                continue;
            }
            match self.ask_again(gate, session, visitor).await {
                Word::Good => verified.push((session.sid.to_string(), now)),
                Word::Bad => refused.push(session.sid.to_string()),
                Word::None(doubt) => match session.standing(self.settings.revalidation.as_ref(), now) {
                    Standing::Good | Standing::Due { good_unasked: true } => {}
                    Standing::Due { good_unasked: false } => return Err(doubt.into()),
                },
            }
        }
        let new = self.new_name(form)?;
        let expires_at = now.plus(self.settings.life.ttl);
        let renewal = store::Renewal { name: new.name.clone(), expires_at, verified, refused };
        let ends = self.memory.ends();
        let Some(set) = self.asked(self.means.store.rotate(&opened.key, &renewal, now)).await? else {
            self.memory.forget(&opened.key);
            return Err(SessionError::Unauthenticated.into());
        };
        let opened = self.begun(gate, new.key, set, Some(&opened.key), ends);
        self.hand_out(&new, opened, appkit, now)
    }

    /// Ends the set behind what was presented, and with `all` every session of its accounts, in whatever set. False if
    /// there was nothing to end.
    pub async fn sign_out(
        &self,
        gate: &Gate,
        presented: &Presented<'_>,
        all: bool,
        now: UnixTime,
    ) -> Result<bool, Fault> {
        let Some(key) = self.key_of(presented, now) else {
            return Ok(false);
        };
        let opened = if all { self.open(gate, presented, now).await? } else { None };
        // The others first: if the store fails at one of the two, what was presented still opens the way to try again.
        let mut ended = false;
        if let Some(opened) = opened {
            let accounts: Vec<_> = opened.accounts(&self.settings.life, now).map(AccountId::key).collect();
            ended = self.end_all(&accounts).await? > 0;
        }
        self.memory.forget(&key);
        let own = self.asked(self.means.store.end(&key)).await;
        self.memory.forget(&key);
        Ok(ended | own?)
    }

    /// Ends the sessions of an account on a chain in the set behind what was presented; how many sessions of it count
    /// after that. What is no pair of ours is nobody's, and ends nothing.
    pub async fn forget(
        &self,
        gate: &Gate,
        presented: &Presented<'_>,
        chain: &str,
        address: &str,
        now: UnixTime,
    ) -> Result<usize, Fault> {
        let Some(key) = self.key_of(presented, now) else {
            return Ok(0);
        };
        let Ok(account) = AccountId::parse(&format!("{chain}:{address}")) else {
            let opened = self.open(gate, presented, now).await?;
            return Ok(opened.map_or(0, |opened| opened.accounts(&self.settings.life, now).count()));
        };
        self.memory.forget(&key);
        let left = self.asked(self.means.store.forget_pair(&key, &account, now)).await;
        self.memory.forget(&key);
        left
    }

    /// Ends every session of these accounts; how many that were.
    async fn end_all(&self, accounts: &[AccountKey]) -> Result<usize, Fault> {
        self.memory.forget_accounts(accounts).await;
        let ended = self.asked(self.means.store.end_all(accounts)).await;
        self.memory.forget_accounts(accounts).await;
        ended
    }
}

impl From<Doubt> for Fault {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Refused => SessionError::Unauthenticated.into(),
            Doubt::Unavailable => SessionError::RpcUnavailable.into(),
            Doubt::Limited(wait) => Self::limited(wait),
        }
    }
}
