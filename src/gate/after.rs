//! A gate after another: new rules over what is remembered and counted, when the configuration was read again.
//!
//! 1. What is counted goes on: refused credentials, rates, quotas, budgets. A rate of another height judges what was
//!    spent under the old one; a debt is never longer than the new rate knows.
//! 2. What is remembered are facts about signatures and stored records. They hold under other rules too, for those are
//!    judged anew for each request; but a fact rests on how messages are read and on which chains, so where `[auth]` or
//!    `[chains]` changed, what is known of proofs, contracts and sessions begins empty.
//! 3. Requests under way finish with the gate they began with. It shares what it counts with its successor, and what it
//!    learns after the swap is in no memory that the successor does not share.

use std::{sync::Arc, time::Instant};

use super::{
    Gate, Kept, Stores,
    cache::Proofs,
    contracts::Contracts,
    limits::{Allowances, Limits},
    settings::Settings,
    subscriptions::Accounts,
};
use crate::{metrics::Metrics, outbound::Outbound, policy::routes::Routes, rpc::Rpc};

impl Gate {
    /// A gate by other rules. `facts_hold` says that neither `[auth]` nor `[chains]` changed; `now` is a moment before
    /// its first request.
    pub fn after(
        before: &Self,
        facts_hold: bool,
        settings: Settings,
        routes: Routes,
        stores: Stores,
        metrics: &Arc<Metrics>,
        now: Instant,
    ) -> Self {
        let same_accounts = before.accounts.is_for(&settings);
        let accounts = if same_accounts {
            Arc::clone(&before.accounts)
        } else {
            Arc::new(Accounts::of(&settings, &stores, metrics))
        };
        // What is remembered of a proof leads to its account.
        let holds = facts_hold && same_accounts && before.proofs.settings() == settings.proofs;
        let proofs = if holds {
            Arc::clone(&before.proofs)
        } else {
            Arc::new(Proofs::new(Some(&before.proofs), settings.proofs, metrics))
        };
        let failures = settings.auth_failures.map(|rate| match &before.failures {
            Some(failures) => failures.at_rate(rate, now),
            None => Arc::new(Allowances::new(rate, now)),
        });
        let spent = before.limits.as_ref();
        let limits = Limits::new(spent, routes.rules(), &settings.plan_limits, stores.usage, metrics, now);
        let kept = Kept { accounts, failures, limits, proofs };
        let gate = Self::with(kept, settings, routes, stores.nonces, metrics);
        let asks = gate.settings.accepts.eip1271 || gate.settings.accepts.eip6492;
        if let Some(contracts) =
            before.contracts.get().filter(|contracts| facts_hold && contracts.is_for(&gate.settings))
            && asks
        {
            let _ = gate.contracts.set(Arc::clone(contracts));
        }
        gate
    }

    /// Whether what the other remembers of proofs counts here too.
    pub fn shares_facts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.proofs, &other.proofs)
    }

    /// Whether contracts are asked already.
    pub fn asks_contracts(&self) -> bool {
        self.contracts.get().is_some()
    }

    /// Asks contracts on these chains from now on; once. What addresses used of their budget before is used.
    pub fn ask_contracts_after(&self, before: &Self, rpc: Rpc, outbound: Outbound, now: Instant) {
        let spent = before.contracts.get().map(|contracts| &**contracts);
        let contracts = Contracts::new(spent, rpc, outbound, &self.settings, &self.metrics, now);
        let _ = self.contracts.set(Arc::new(contracts));
    }
}
