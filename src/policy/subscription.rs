//! What an account has paid for or was given: [`Subscription`], and all that one account holds together.
//!
//! 1. A subscription counts from the millisecond it starts until the one before it ends: `starts_at <= now <
//!    expires_at`.
//! 2. One account may hold several plans at once (one each); a route is opened by any of those it names.
//! 3. Paid access to a route ([`Access`]) is held beside plans and is none: it opens no route that asks for a plan.
//! 4. How somebody stands is asked for a [`Holder`]: a contract does not use what was paid on another chain, as if it
//!    were not there.
//! 5. [`Standing`] tells the ways of not being let in apart, because a client acts differently on each of them.
//!
//! Where subscriptions are kept is the business of `store`.

use super::{
    access::Access,
    holder::{Holder, Share, Span},
};
use crate::{caip::ChainId, time::UnixTime};

/// The plan that needs no entry in the configuration.
pub const DEFAULT_PLAN: &str = "default";

/// One plan held by one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The plan's name.
    pub plan: String,
    /// The first instant it counts. An extension keeps it.
    pub starts_at: UnixTime,
    /// The first instant it no longer counts; nothing: until it is revoked.
    pub expires_at: Option<UnixTime>,
    /// The chain it was paid or granted on, the last one if there were several; nothing: it was granted without one.
    pub chain: Option<ChainId>,
    /// What contracts may use of it, where it came from several chains; else none.
    pub shares: Vec<Share>,
}

/// All that one account holds: plans, and access to routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    plans: Vec<Subscription>,
    access: Vec<Access>,
    more_access: bool,
}

/// How an account stands towards a demand for one of some plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'s> {
    /// This subscription opens it, the longest-lived of those that do.
    Active(&'s Subscription),
    /// This one would have, and has ended; the last of those to end.
    Expired(&'s Subscription),
    /// This one is active, but of a plan that does not open it.
    OtherPlan(&'s Subscription),
    /// Nothing it holds has to do with the demand.
    Nothing,
}

// === impl Subscription ===

impl Subscription {
    /// Whether it counts at `now`, for a key pair.
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.span().is_active(now)
    }

    /// Whether its end has come, for a key pair.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        self.span().has_ended(now)
    }

    /// From when until when somebody may use it; nothing: it came from other chains.
    pub fn span_for(&self, holder: Holder<'_>) -> Option<Span> {
        holder.span_of(self.span(), self.chain.as_ref(), &self.shares)
    }

    const fn span(&self) -> Span {
        Span { starts_at: self.starts_at, expires_at: self.expires_at }
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    /// These plans, in this order, and no access.
    pub fn new(held: Vec<Subscription>) -> Self {
        Self { plans: held, access: Vec::new(), more_access: false }
    }

    /// The same plans with this access; `more` says that the account holds more than what is given.
    pub fn with_access(self, access: Vec<Access>, more: bool) -> Self {
        Self { access, more_access: more, ..self }
    }

    /// All of its plans, ended ones too.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.plans.iter()
    }

    /// Its access to routes, ended access too.
    pub fn access(&self) -> impl Iterator<Item = &Access> {
        self.access.iter()
    }

    /// Whether the account holds access that is not told here: whoever bought path by path may hold more than is kept
    /// in memory. Then a path that is not opened here is to be asked for by itself.
    pub fn has_more_access(&self) -> bool {
        self.more_access
    }

    /// Whether the account holds nothing, not even something that ended.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.access.is_empty()
    }

    /// Whether anything it holds counts at `now` for anybody, a plan or access.
    pub fn has_active(&self, now: UnixTime) -> bool {
        self.iter().any(|held| held.is_active(now)) || self.access().any(|held| held.is_active(now))
    }

    /// The access that opens this path of this route for somebody at `now`, the longest-lived if several do. The path
    /// is canonical.
    pub fn opens(&self, route: &str, path: &str, holder: Holder<'_>, now: UnixTime) -> Option<&Access> {
        let opening = self.access().filter(|held| held.opens(route, path, holder, now));
        last_to_end(opening.filter_map(|held| Some((held, held.span_for(holder)?))))
    }

    /// The subscription that opens a route naming these plans for somebody at `now`, the longest-lived if several do.
    /// No plan named means any plan.
    pub fn opening(&self, plans: &[String], holder: Holder<'_>, now: UnixTime) -> Option<&Subscription> {
        last_to_end(self.active(holder, now).filter(|(held, _)| names(plans, held)))
    }

    /// How somebody stands at `now` towards a route naming these plans.
    pub fn standing(&self, plans: &[String], holder: Holder<'_>, now: UnixTime) -> Standing<'_> {
        if let Some(held) = self.opening(plans, holder, now) {
            return Standing::Active(held);
        }
        let ended = self.used_by(holder).filter(|(held, span)| names(plans, held) && span.has_ended(now));
        if let Some(ended) = last_to_end(ended) {
            return Standing::Expired(ended);
        }
        last_to_end(self.active(holder, now)).map_or(Standing::Nothing, Standing::OtherPlan)
    }

    /// The plans that somebody may use, and from when until when.
    pub fn used_by(&self, holder: Holder<'_>) -> impl Iterator<Item = (&Subscription, Span)> {
        self.iter().filter_map(move |held| Some((held, held.span_for(holder)?)))
    }

    fn active(&self, holder: Holder<'_>, now: UnixTime) -> impl Iterator<Item = (&Subscription, Span)> {
        self.used_by(holder).filter(move |(_, span)| span.is_active(now))
    }
}

impl FromIterator<Subscription> for Subscriptions {
    fn from_iter<I: IntoIterator<Item = Subscription>>(held: I) -> Self {
        Self::new(held.into_iter().collect())
    }
}

fn names(plans: &[String], held: &Subscription) -> bool {
    plans.is_empty() || plans.contains(&held.plan)
}

/// The one that ends last; of equals the first, so that an answer does not change from one request to the next.
fn last_to_end<H>(held: impl Iterator<Item = (H, Span)>) -> Option<H> {
    held.reduce(|best, next| if next.1.end() > best.1.end() { next } else { best }).map(|(held, _)| held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(plan: &str, starts: i64, expires: Option<i64>) -> Subscription {
        Subscription {
            plan: plan.into(),
            starts_at: UnixTime::from_millis(starts),
            expires_at: expires.map(UnixTime::from_millis),
            chain: None,
            shares: Vec::new(),
        }
    }

    #[test]
    fn counts_from_its_start_until_before_its_end() {
        let bounded = held("nano", 1000, Some(2000));
        let endless = held("nano", 1000, None);
        for (now, active, ended) in [(999, false, false), (1000, true, false), (1999, true, false), (2000, false, true)]
        {
            let at = UnixTime::from_millis(now);
            assert_eq!((bounded.is_active(at), bounded.has_ended(at)), (active, ended), "at {now}");
            assert_eq!((endless.is_active(at), endless.has_ended(at)), (now >= 1000, false), "endless at {now}");
        }
    }

    #[test]
    fn an_end_before_the_start_never_counts() {
        let crooked = held("nano", 2000, Some(1000));
        for now in [999, 1000, 1500, 2000, 2001] {
            assert!(!crooked.is_active(UnixTime::from_millis(now)), "at {now}");
        }
    }

    #[test]
    fn how_an_account_stands() {
        let rows: &[(&str, &[Subscription], &[&str], Standing<'_>)] = &[
            ("holds nothing", &[], &["nano"], Standing::Nothing),
            ("holds nothing, any plan would do", &[], &[], Standing::Nothing),
            ("the plan", &[held("nano", 0, None)], &["nano"], Standing::Active(&held("nano", 0, None))),
            ("any plan", &[held("nano", 0, Some(501))], &[], Standing::Active(&held("nano", 0, Some(501)))),
            (
                "the longest-lived of two",
                &[held("nano", 0, Some(600)), held("pro", 0, Some(700))],
                &["pro", "nano"],
                Standing::Active(&held("pro", 0, Some(700))),
            ),
            (
                "one without end outlives all",
                &[held("a", 0, None), held("b", 0, Some(i64::MAX))],
                &[],
                Standing::Active(&held("a", 0, None)),
            ),
            (
                "the first of two equals",
                &[held("a", 0, Some(600)), held("b", 0, Some(600))],
                &[],
                Standing::Active(&held("a", 0, Some(600))),
            ),
            ("another plan", &[held("nano", 0, None)], &["pro"], Standing::OtherPlan(&held("nano", 0, None))),
            ("ended", &[held("nano", 0, Some(500))], &["nano"], Standing::Expired(&held("nano", 0, Some(500)))),
            ("any ended", &[held("nano", 0, Some(500))], &[], Standing::Expired(&held("nano", 0, Some(500)))),
            (
                "the last of two to end",
                &[held("nano", 0, Some(400)), held("pro", 0, Some(500))],
                &[],
                Standing::Expired(&held("pro", 0, Some(500))),
            ),
            (
                "ended, and another plan active",
                &[held("nano", 0, Some(500)), held("pro", 0, None)],
                &["nano"],
                Standing::Expired(&held("nano", 0, Some(500))),
            ),
            ("another plan, ended", &[held("nano", 0, Some(500))], &["pro"], Standing::Nothing),
            ("not begun", &[held("nano", 501, None)], &["nano"], Standing::Nothing),
            (
                "names are compared whole",
                &[held("nano", 0, None)],
                &["nan"],
                Standing::OtherPlan(&held("nano", 0, None)),
            ),
        ];
        let now = UnixTime::from_millis(500);
        for (name, all, plans, expected) in rows {
            let all = Subscriptions::new(all.to_vec());
            let plans: Vec<String> = plans.iter().map(|plan| (*plan).into()).collect();
            assert_eq!(all.standing(&plans, Holder::KeyPair, now), *expected, "{name}");
            let opening = match expected {
                Standing::Active(held) => Some(*held),
                _ => None,
            };
            assert_eq!(all.opening(&plans, Holder::KeyPair, now), opening, "{name}");
        }
    }

    /// What a contract may not use is as if it were not there.
    #[test]
    fn how_a_contract_stands() {
        let chain = |text: &str| Some(ChainId::parse(text).expect("a chain"));
        let of_base = |held: Subscription| Subscription { chain: chain("eip155:8453"), ..held };
        let share = |text: &str, end: i64| Share {
            chain: chain(text),
            span: Span { starts_at: UnixTime::from_millis(0), expires_at: Some(UnixTime::from_millis(end)) },
        };
        let both = Subscription {
            shares: vec![share("eip155:8453", 500), share("eip155:1", 501)],
            ..of_base(held("nano", 0, Some(501)))
        };
        let nano = of_base(held("nano", 0, Some(501)));
        let ended = of_base(held("nano", 0, Some(500)));
        // On Base, and on the main net.
        let rows: &[(&str, &Subscription, &[&str], Standing<'_>, Standing<'_>)] = &[
            ("paid on Base", &nano, &["nano"], Standing::Active(&nano), Standing::Nothing),
            ("any plan", &nano, &[], Standing::Active(&nano), Standing::Nothing),
            ("another plan", &nano, &["pro"], Standing::OtherPlan(&nano), Standing::Nothing),
            ("ended", &ended, &["nano"], Standing::Expired(&ended), Standing::Nothing),
            ("ended on Base alone", &both, &["nano"], Standing::Expired(&both), Standing::Active(&both)),
        ];
        let now = UnixTime::from_millis(500);
        for (name, one, plans, on_base, on_main) in rows {
            let all = Subscriptions::new(vec![(*one).clone()]);
            let plans: Vec<String> = plans.iter().map(|plan| (*plan).into()).collect();
            assert_eq!(all.standing(&plans, Holder::Contract("eip155:8453"), now), *on_base, "{name}");
            assert_eq!(all.standing(&plans, Holder::Contract("eip155:1"), now), *on_main, "{name}");
        }
        let of_base = Access { chain: chain("eip155:8453"), ..access("weather", None, None) };
        let all = Subscriptions::default().with_access(vec![of_base.clone()], false);
        for (own, expected) in [("eip155:8453", Some(&of_base)), ("eip155:1", None)] {
            assert_eq!(all.opens("weather", "/", Holder::Contract(own), now), expected, "{own}");
        }
    }

    fn access(route: &str, path: Option<&str>, expires: Option<i64>) -> Access {
        Access {
            route: route.into(),
            path: path.map(Into::into),
            starts_at: UnixTime::from_millis(0),
            expires_at: expires.map(UnixTime::from_millis),
            chain: None,
            shares: Vec::new(),
        }
    }

    #[test]
    fn the_longest_lived_access_opens() {
        let day = access("weather", None, Some(600));
        let longer = access("weather", Some("/a"), Some(700));
        let forever = access("weather", Some("/b"), None);
        let all = Subscriptions::default().with_access(vec![day.clone(), longer.clone(), forever.clone()], false);
        let rows = [
            ("the route's", "weather", "/c", 500, Some(&day)),
            ("a path's that lasts longer", "weather", "/a", 500, Some(&longer)),
            ("a path's without end", "weather", "/b", 500, Some(&forever)),
            ("a path's when the route's has ended", "weather", "/a", 600, Some(&longer)),
            ("none when it has ended", "weather", "/c", 600, None),
            ("none to another route", "dear", "/c", 500, None),
        ];
        for (name, route, path, now, expected) in rows {
            assert_eq!(all.opens(route, path, Holder::KeyPair, UnixTime::from_millis(now)), expected, "{name}");
        }
    }

    #[test]
    fn access_is_no_plan() {
        let now = UnixTime::from_millis(500);
        let all = Subscriptions::default().with_access(vec![access("nano", None, None)], true);
        assert_eq!(all.standing(&[], Holder::KeyPair, now), Standing::Nothing);
        assert_eq!(all.standing(&["nano".into()], Holder::KeyPair, now), Standing::Nothing);
        assert_eq!((all.iter().count(), all.is_empty(), all.has_more_access()), (0, false, true));
        assert_eq!((all.has_active(now), Subscriptions::default().has_active(now)), (true, false));
        let ended = Subscriptions::default().with_access(vec![access("nano", None, Some(500))], false);
        assert_eq!((ended.has_active(now), ended.is_empty(), ended.has_more_access()), (false, false, false));
        assert!(Subscriptions::new(vec![held("nano", 0, None)]).has_active(now));
    }
}
