//! What an account holds under one scope, and what becomes of it by a grant or a payment: pure, so that all stores do
//! it alike.
//!
//! 1. What a key pair may use is extended whatever chain it comes from.
//! 2. What contracts may use is extended chain by chain (x402.md section 7): by a payment or grant on a chain, what
//!    counts there; by a grant that names none, everything.
//! 3. What came from one chain alone, or was granted without one, needs no shares; what has ended leaves none. So
//!    nearly nothing has any.

use super::Term;
use crate::{
    caip::ChainId,
    policy::{
        holder::{Holder, Share, Span},
        subscription::Subscription,
    },
    time::UnixTime,
};

/// What is held under one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    /// What a key pair may use.
    pub(super) span: Span,
    /// The chain it came from, the last one if there were several; nothing: none was named.
    pub(super) chain: Option<ChainId>,
    /// What contracts may use, by chain, where it did not all come from `chain`.
    pub(super) shares: Vec<Share>,
}

impl Holding {
    /// What is held of a plan.
    pub(super) fn of_plan(held: Subscription) -> Self {
        let Subscription { starts_at, expires_at, chain, shares, .. } = held;
        Self { span: Span { starts_at, expires_at }, chain, shares }
    }

    /// The same as a subscription to this plan.
    pub(super) fn into_plan(self, plan: &str) -> Subscription {
        let Self { span: Span { starts_at, expires_at }, chain, shares } = self;
        Subscription { plan: plan.into(), starts_at, expires_at, chain, shares }
    }

    /// What is held after `term` was paid or granted on `chain`, or without naming one, onto what was held before.
    pub(super) fn after(held: Option<Self>, term: &Term, chain: Option<&ChainId>, now: UnixTime) -> Self {
        let span = term.onto(held.as_ref().map(|held| held.span), now);
        let before = held.as_ref().and_then(|held| held.chain.clone());
        let mut shares = held.map_or_else(Vec::new, Self::into_shares);
        shares.retain(|share| !share.span.has_ended(now));
        match chain {
            Some(chain) => {
                // What counts on every chain counts here, and is extended for this one alone.
                let contract = Holder::Contract(chain.as_str());
                let counted = if shares.is_empty() { None } else { contract.span_of(span, None, &shares) };
                shares.retain(|share| share.chain.as_ref() != Some(chain));
                shares.push(Share { chain: Some(chain.clone()), span: term.onto(counted, now) });
            }
            None => {
                shares.iter_mut().for_each(|share| share.span = term.onto(Some(share.span), now));
                if shares.iter().all(|share| share.chain.is_some()) {
                    shares.push(Share { chain: None, span: term.onto(None, now) });
                }
            }
        }
        Self { span, chain: chain.cloned().or(before), shares }.tidy()
    }

    /// What it is as shares.
    fn into_shares(self) -> Vec<Share> {
        let Self { span, chain, shares } = self;
        if shares.is_empty() { vec![Share { chain, span }] } else { shares }
    }

    /// Without the shares that say nothing.
    fn tidy(self) -> Self {
        let Self { span, chain, mut shares } = self;
        let anybodys = shares.iter().find(|share| share.chain.is_none()).map(|share| share.span.end());
        shares.retain(|share| share.chain.is_none() || anybodys.is_none_or(|end| share.span.end() > end));
        shares.sort_by(|one, other| one.chain.cmp(&other.chain));
        match shares.as_slice() {
            [all] if all.span.end() == span.end() => Self { span, chain: all.chain.clone(), shares: Vec::new() },
            _ => Self { span, chain, shares },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: i64 = 1000;

    fn span(starts: i64, end: Option<i64>) -> Span {
        Span { starts_at: UnixTime::from_millis(starts), expires_at: end.map(UnixTime::from_millis) }
    }

    fn base() -> Option<ChainId> {
        Some(ChainId::parse("eip155:8453").expect("a chain"))
    }

    fn main() -> Option<ChainId> {
        Some(ChainId::parse("eip155:1").expect("a chain"))
    }

    fn share(chain: Option<ChainId>, starts: i64, end: Option<i64>) -> Share {
        Share { chain, span: span(starts, end) }
    }

    fn whole(chain: Option<ChainId>, starts: i64, end: Option<i64>) -> Holding {
        Holding { span: span(starts, end), chain, shares: Vec::new() }
    }

    fn parted(chain: Option<ChainId>, starts: i64, end: Option<i64>, shares: &[Share]) -> Holding {
        Holding { shares: shares.to_vec(), ..whole(chain, starts, end) }
    }

    #[test]
    fn what_is_held_after_a_payment_or_a_grant() {
        let period = Term::Period { length: Duration::from_millis(100), id: None };
        let (until, forever) = (|end| Term::Until(UnixTime::from_millis(end)), Term::UntilRevoked);
        let both = [share(main(), 1000, Some(1100)), share(base(), 1, Some(1500))];
        let rows = [
            ("nothing, paid on Base", None, &period, base(), whole(base(), 1000, Some(1100))),
            ("nothing, granted", None, &period, None, whole(None, 1000, Some(1100))),
            (
                "of Base, paid there again",
                Some(whole(base(), 1, Some(1500))),
                &period,
                base(),
                whole(base(), 1, Some(1600)),
            ),
            (
                "of Base, paid on another",
                Some(whole(base(), 1, Some(1500))),
                &period,
                main(),
                parted(main(), 1, Some(1600), &both),
            ),
            (
                "of two, paid on the first again",
                Some(parted(main(), 1, Some(1600), &both)),
                &period,
                base(),
                parted(base(), 1, Some(1700), &[both[0].clone(), share(base(), 1, Some(1600))]),
            ),
            (
                "of two, one ended",
                Some(parted(main(), 1, Some(1600), &[share(main(), 1, Some(1000)), both[1].clone()])),
                &period,
                base(),
                parted(base(), 1, Some(1700), &[share(base(), 1, Some(1600))]),
            ),
            (
                "of Base, ended, paid on another",
                Some(whole(base(), 1, Some(1000))),
                &period,
                main(),
                whole(main(), 1000, Some(1100)),
            ),
            (
                "of Base, more granted",
                Some(whole(base(), 1, Some(1500))),
                &period,
                None,
                parted(base(), 1, Some(1600), &[share(None, 1000, Some(1100)), share(base(), 1, Some(1600))]),
            ),
            (
                "granted, paid on Base",
                Some(whole(None, 1, Some(1500))),
                &period,
                base(),
                parted(base(), 1, Some(1600), &[share(None, 1, Some(1500)), share(base(), 1, Some(1600))]),
            ),
            (
                "granted and of Base, paid on another",
                Some(parted(base(), 1, Some(1600), &[share(None, 1, Some(1500)), share(base(), 1, Some(1600))])),
                &period,
                main(),
                parted(
                    main(),
                    1,
                    Some(1700),
                    &[share(None, 1, Some(1500)), share(main(), 1, Some(1600)), share(base(), 1, Some(1600))],
                ),
            ),
            (
                "of two, granted until revoked",
                Some(parted(main(), 1, Some(1600), &both)),
                &forever,
                None,
                whole(None, 1, None),
            ),
            (
                "of two, granted until an end",
                Some(parted(main(), 1, Some(1600), &both)),
                &until(1200),
                None,
                whole(None, 1, Some(1200)),
            ),
            (
                "of two, granted until an end on one",
                Some(parted(main(), 1, Some(1600), &both)),
                &until(1200),
                base(),
                parted(base(), 1, Some(1200), &[both[0].clone(), share(base(), 1, Some(1200))]),
            ),
            (
                "paid for ever on Base and then on another",
                Some(whole(base(), 1, None)),
                &forever,
                main(),
                parted(main(), 1, None, &[share(main(), 1000, None), share(base(), 1, None)]),
            ),
        ];
        for (name, held, term, chain, expected) in rows {
            let after = Holding::after(held, term, chain.as_ref(), UnixTime::from_millis(NOW));
            assert_eq!(after, expected, "{name}");
        }
    }
}
