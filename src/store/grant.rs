//! What is asked for when a subscription is to be given or extended, and what comes of it.
//!
//! 1. [`Grant`] holds only what every store can keep: its constructor checks names and times.
//! 2. [`Term::onto`] is the whole rule of extension, pure, so that all stores extend alike what was granted or bought;
//!    `holding` applies it to what each chain gave.
//! 3. An extension never shortens, and never begins before `now` where nothing is active any more.

use std::time::Duration;

use thiserror::Error;

use super::holding::Holding;
use crate::{
    caip::{AccountKey, ChainId, is_address, is_namespace},
    policy::{holder::Span, subscription::Subscription},
    time::UnixTime,
};

/// The last instant that RFC 3339 can write: `9999-12-31T23:59:59.999Z`.
pub const END_OF_TIME: UnixTime = UnixTime::from_millis(253_402_300_799_999);

/// Bytes of a plan's name at most. Names go into a header and a log line of every request.
pub const PLAN_BYTES_MAX: usize = 64;

/// Bytes of the id of a grant at most: ids are hashes, or what a person typed.
pub const ID_BYTES_MAX: usize = 128;

/// A subscription to be given or extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    account: AccountKey,
    plan: String,
    term: Term,
    chain: Option<ChainId>,
}

/// How long a grant is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// So much longer: from the end of what is active, or else from now.
    ///
    /// Asked twice it extends twice, unless it carries an `id`, such as that of a payment: a store applies one id
    /// once to one account's plan. Whoever may have to ask again after a crash gives one.
    Period {
        /// How much longer.
        length: Duration,
        /// What tells this grant from another of the same length.
        id: Option<String>,
    },
    /// Until then, whatever was there. Asked twice it is as if asked once.
    Until(UnixTime),
    /// Without end. Asked twice it is as if asked once.
    UntilRevoked,
}

/// Why something cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The account's namespace or address could not be in a CAIP-10 id.
    #[error("expected a namespace and an address as in CAIP-10, found `{0}`")]
    Account(String),
    /// The chain is of another family than the account.
    #[error("expected a chain of the namespace `{expected}`, found `{found}`")]
    Chain {
        /// The account's namespace.
        expected: String,
        /// The chain.
        found: ChainId,
    },
    /// The id is empty or too long.
    #[error("expected an id of 1 to {ID_BYTES_MAX} bytes, found {0}")]
    Id(usize),
    /// The plan's name is none.
    #[error("expected a plan's name of 1 to {PLAN_BYTES_MAX} visible ASCII characters, found `{0}`")]
    Plan(String),
    /// The length is zero, or not to be counted in milliseconds.
    #[error("expected a period of at least a millisecond and at most 9999 years, found {0:?}")]
    Period(Duration),
    /// The end cannot be written as RFC 3339.
    #[error("expected an end between the years 0000 and 9999, found {0} milliseconds since 1970")]
    Until(i64),
}

// === impl Grant ===

impl Grant {
    /// A grant of `plan` to `account`.
    pub fn new(account: AccountKey, plan: &str, term: Term) -> Result<Self, GrantError> {
        if !is_account(&account) {
            return Err(GrantError::Account(shown(&account.to_string())));
        }
        if !is_plan(plan) {
            return Err(GrantError::Plan(shown(plan)));
        }
        check_term(&term)?;
        Ok(Self { account, plan: plan.into(), term, chain: None })
    }

    /// The same, paid or granted on this chain.
    pub fn on_chain(self, chain: ChainId) -> Result<Self, GrantError> {
        if chain.namespace() != self.account.namespace() {
            return Err(GrantError::Chain { expected: self.account.namespace().into(), found: chain });
        }
        Ok(Self { chain: Some(chain), ..self })
    }

    /// Whom it is for.
    pub fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The plan's name.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// How long it is for.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// What tells it from another grant, if it says so.
    pub fn id(&self) -> Option<&str> {
        match &self.term {
            Term::Period { id, .. } => id.as_deref(),
            Term::Until(_) | Term::UntilRevoked => None,
        }
    }

    /// The chain it was paid or granted on, if one was named.
    pub fn chain(&self) -> Option<&ChainId> {
        self.chain.as_ref()
    }

    /// The subscription that the account holds afterwards, given the one to the same plan that it held before.
    ///
    /// What is active keeps its start; what has ended, or has not begun, starts now.
    pub fn onto(&self, held: Option<Subscription>, now: UnixTime) -> Subscription {
        Holding::after(held.map(Holding::of_plan), &self.term, self.chain(), now).into_plan(&self.plan)
    }
}

// === impl Term ===

impl Term {
    /// From when until when something is held afterwards that was held as `held` before. What is active keeps its
    /// start; what has ended, or has not begun, starts now.
    pub fn onto(&self, held: Option<Span>, now: UnixTime) -> Span {
        let active = held.filter(|held| held.is_active(now));
        let expires_at = match (self, active) {
            (Self::Period { .. }, Some(Span { expires_at: None, .. })) | (Self::UntilRevoked, _) => None,
            (Self::Period { length, .. }, active) => {
                let from = active.and_then(|held| held.expires_at).unwrap_or(now);
                let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                Some(from.plus_millis(millis).min(END_OF_TIME))
            }
            (Self::Until(end), _) => Some(*end),
        };
        Span { starts_at: active.map_or(now, |held| held.starts_at), expires_at }
    }
}

/// Whether a store may hold this as the name of a plan.
pub fn is_plan(text: &str) -> bool {
    is_visible(text, PLAN_BYTES_MAX)
}

/// Whether a text is 1 to `bytes_max` visible ASCII characters.
pub(super) fn is_visible(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a store may hold this as the key of an account.
pub(super) fn is_account(key: &AccountKey) -> bool {
    is_namespace(key.namespace()) && is_address(key.address())
}

/// Whether this is a time that RFC 3339 can write.
pub(super) fn is_writable(time: UnixTime) -> bool {
    (START_OF_TIME..=END_OF_TIME).contains(&time)
}

/// Whether something can be held for so long: at least a millisecond, and at most as many as there are from 0000 to
/// 9999; what is longer is a slip of the pen.
pub(super) fn is_length(length: Duration) -> bool {
    let longest = END_OF_TIME.millis_since(START_OF_TIME).unsigned_abs();
    (1..=u128::from(longest)).contains(&length.as_millis())
}

/// The first instant that RFC 3339 can write: `0000-01-01T00:00:00Z`.
const START_OF_TIME: UnixTime = UnixTime::from_millis(-62_167_219_200_000);

fn check_term(term: &Term) -> Result<(), GrantError> {
    match term {
        Term::Period { id: Some(id), .. } if !(1..=ID_BYTES_MAX).contains(&id.len()) => Err(GrantError::Id(id.len())),
        Term::Period { length, .. } if !is_length(*length) => Err(GrantError::Period(*length)),
        Term::Until(end) if !is_writable(*end) => Err(GrantError::Until(end.millis())),
        Term::Period { .. } | Term::Until(_) | Term::UntilRevoked => Ok(()),
    }
}

/// At most 40 characters of a foreign text, escaped, for an error.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> AccountKey {
        AccountKey::new("eip155", "0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb")
    }

    fn at(millis: i64) -> UnixTime {
        UnixTime::from_millis(millis)
    }

    fn period(millis: u64) -> Term {
        Term::Period { length: Duration::from_millis(millis), id: None }
    }

    fn held(starts: i64, expires: Option<i64>) -> Subscription {
        let (starts_at, expires_at) = (at(starts), expires.map(at));
        Subscription { plan: "nano".into(), starts_at, expires_at, chain: None, shares: Vec::new() }
    }

    #[test]
    fn what_comes_of_a_grant() {
        let rows = [
            ("a period from nothing", period(100), None, held(1000, Some(1100))),
            ("a period onto what is active", period(100), Some(held(1, Some(1001))), held(1, Some(1101))),
            ("a period onto what ends now", period(100), Some(held(1, Some(1000))), held(1000, Some(1100))),
            ("a period onto what ended", period(100), Some(held(1, Some(500))), held(1000, Some(1100))),
            ("a period onto what has no end", period(100), Some(held(1, None)), held(1, None)),
            ("a period onto what has not begun", period(100), Some(held(1001, Some(2000))), held(1000, Some(1100))),
            ("an end from nothing", Term::Until(at(2000)), None, held(1000, Some(2000))),
            ("an end onto an earlier one", Term::Until(at(2000)), Some(held(1, Some(1500))), held(1, Some(2000))),
            ("an end onto a later one", Term::Until(at(2000)), Some(held(1, Some(9000))), held(1, Some(2000))),
            ("an end onto none", Term::Until(at(2000)), Some(held(1, None)), held(1, Some(2000))),
            ("no end from nothing", Term::UntilRevoked, None, held(1000, None)),
            ("no end onto one", Term::UntilRevoked, Some(held(1, Some(1500))), held(1, None)),
            (
                "a period past the end of time",
                period(100),
                Some(held(1, Some(END_OF_TIME.millis()))),
                held(1, Some(END_OF_TIME.millis())),
            ),
        ];
        for (name, term, before, expected) in rows {
            let grant = Grant::new(alice(), "nano", term).expect(name);
            assert_eq!(grant.onto(before, at(1000)), expected, "{name}");
        }
    }

    #[test]
    fn the_chain_is_of_the_accounts_family() {
        let base = ChainId::parse("eip155:8453").expect("a chain");
        let grant = Grant::new(alice(), "nano", Term::UntilRevoked).expect("a grant");
        assert_eq!((grant.chain(), grant.onto(None, at(1)).chain), (None, None));
        let on_base = grant.clone().on_chain(base.clone()).expect("a grant");
        assert_eq!((on_base.chain(), on_base.onto(None, at(1)).chain), (Some(&base), Some(base.clone())));

        let solana = ChainId::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").expect("a chain");
        let refused = GrantError::Chain { expected: "eip155".into(), found: solana.clone() };
        assert_eq!(grant.on_chain(solana), Err(refused));
    }

    #[test]
    fn what_cannot_be_granted() {
        let long = "x".repeat(65);
        let id = |id: &str| Term::Period { length: Duration::from_secs(1), id: Some(id.into()) };
        let evm = |address: &str| AccountKey::new("eip155", address);
        let rows = [
            ("no namespace", AccountKey::new("", "0xab"), "nano", period(1), GrantError::Account(":0xab".into())),
            ("no address", evm(""), "nano", period(1), GrantError::Account("eip155:".into())),
            ("a colon", evm("1:0xab"), "nano", period(1), GrantError::Account("eip155:1:0xab".into())),
            ("no plan", alice(), "", period(1), GrantError::Plan(String::new())),
            ("a long plan", alice(), &long, period(1), GrantError::Plan("x".repeat(40))),
            ("a space", alice(), "na no", period(1), GrantError::Plan("na no".into())),
            ("a line break", alice(), "nano\n", period(1), GrantError::Plan("nano\\n".into())),
            ("not ASCII", alice(), "größe", period(1), GrantError::Plan("größe".into())),
            ("no length", alice(), "nano", period(0), GrantError::Period(Duration::ZERO)),
            (
                "too long",
                alice(),
                "nano",
                Term::Period { length: Duration::MAX, id: None },
                GrantError::Period(Duration::MAX),
            ),
            ("an empty id", alice(), "nano", id(""), GrantError::Id(0)),
            ("a long id", alice(), "nano", id(&"x".repeat(129)), GrantError::Id(129)),
            (
                "year 10000",
                alice(),
                "nano",
                Term::Until(END_OF_TIME.plus_millis(1)),
                GrantError::Until(253_402_300_800_000),
            ),
            (
                "year -1",
                alice(),
                "nano",
                Term::Until(START_OF_TIME.plus_millis(-1)),
                GrantError::Until(-62_167_219_200_001),
            ),
        ];
        for (name, account, plan, term, expected) in rows {
            assert_eq!(Grant::new(account, plan, term), Err(expected), "{name}");
        }
        Grant::new(alice(), &long[1..], id(&"x".repeat(128))).expect("the longest names");
    }
}
