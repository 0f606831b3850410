//! Who may use what was paid or granted: a key pair everywhere, a contract on its own chain (x402.md section 7).
//!
//! 1. A key pair is one wallet on every chain of its family, and uses all that its account holds.
//! 2. A contract is known on the chain of its message alone: the same address on another chain may be somebody else's.
//!    It uses what was paid or granted on that chain, and what was granted without naming one.
//! 3. What an account holds is one [`Span`], of one chain or of any. Only where it came from several are there
//!    [`Share`]s beside it, one for each, so that a payment on one chain neither takes anything from the contract on
//!    another nor gives it anything.

use crate::{caip::ChainId, time::UnixTime};

/// Who signs, as far as it matters to what they may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// The key of an account.
    KeyPair,
    /// A contract, on the chain of this CAIP-2 id.
    Contract(&'a str),
}

/// From when until when something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first instant it counts.
    pub starts_at: UnixTime,
    /// The first instant it no longer counts; nothing: without end.
    pub expires_at: Option<UnixTime>,
}

/// What contracts may use of something that came from several chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The chain that it came from, and counts on; nothing: none was named, and it counts on every one.
    pub chain: Option<ChainId>,
    /// From when until when.
    pub span: Span,
}

// === impl Holder ===

impl Holder<'_> {
    /// From when until when this holder may use what is held for `whole`, came from `chain`, or from several that are
    /// told apart in `shares`; nothing: it came from other chains.
    pub fn span_of(self, whole: Span, chain: Option<&ChainId>, shares: &[Share]) -> Option<Span> {
        let Self::Contract(own) = self else {
            return Some(whole);
        };
        let counts = |chain: Option<&ChainId>| chain.is_none_or(|chain| chain.as_str() == own);
        if shares.is_empty() {
            return counts(chain).then_some(whole);
        }
        let counting = shares.iter().filter(|share| counts(share.chain.as_ref())).map(|share| share.span);
        counting.reduce(|best, next| if next.end() > best.end() { next } else { best })
    }
}

// === impl Span ===

impl Span {
    /// Whether it counts at `now`.
    pub fn is_active(self, now: UnixTime) -> bool {
        self.starts_at <= now && !self.has_ended(now)
    }

    /// Whether its end has come.
    pub fn has_ended(self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Its end as something to compare by: no end is later than any.
    pub const fn end(self) -> (bool, Option<UnixTime>) {
        (self.expires_at.is_none(), self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "eip155:8453";
    const MAIN: &str = "eip155:1";

    /// What it came from, the shares, and what a contract on Base and one on the main net may use.
    type Row<'r> = (&'r str, Option<&'r str>, &'r [Share], Option<Span>, Option<Span>);

    fn chain(text: &str) -> ChainId {
        ChainId::parse(text).expect("a chain")
    }

    fn until(end: Option<i64>) -> Span {
        Span { starts_at: UnixTime::from_millis(0), expires_at: end.map(UnixTime::from_millis) }
    }

    #[test]
    fn what_a_key_pair_and_a_contract_may_use() {
        let share = |of: Option<&str>, end: Option<i64>| Share { chain: of.map(chain), span: until(end) };
        let whole = until(Some(900));
        let rows: &[Row<'_>] = &[
            ("of no chain", None, &[], Some(whole), Some(whole)),
            ("of Base", Some(BASE), &[], Some(whole), None),
            ("of a chain whose id begins alike", Some("eip155:84532"), &[], None, None),
            (
                "of two",
                Some(MAIN),
                &[share(Some(BASE), Some(300)), share(Some(MAIN), Some(900))],
                Some(until(Some(300))),
                Some(whole),
            ),
            ("of shares of another alone", Some(BASE), &[share(Some(MAIN), Some(900))], None, Some(whole)),
            (
                "of one and of none",
                Some(BASE),
                &[share(None, Some(300)), share(Some(BASE), Some(900))],
                Some(whole),
                Some(until(Some(300))),
            ),
            (
                "the later of its own and what is anybody's",
                Some(BASE),
                &[share(None, None), share(Some(BASE), Some(900))],
                Some(until(None)),
                Some(until(None)),
            ),
        ];
        for (name, of, shares, base, main) in rows {
            let of = of.map(chain);
            for (holder, expected) in
                [(Holder::KeyPair, &Some(whole)), (Holder::Contract(BASE), base), (Holder::Contract(MAIN), main)]
            {
                assert_eq!(holder.span_of(whole, of.as_ref(), shares), *expected, "{name}, {holder:?}");
            }
        }
    }

    #[test]
    fn a_span_counts_from_its_start_until_before_its_end() {
        let span = Span { starts_at: UnixTime::from_millis(1000), expires_at: Some(UnixTime::from_millis(2000)) };
        for (now, active, ended) in [(999, false, false), (1000, true, false), (1999, true, false), (2000, false, true)]
        {
            let at = UnixTime::from_millis(now);
            assert_eq!((span.is_active(at), span.has_ended(at)), (active, ended), "at {now}");
        }
    }
}
