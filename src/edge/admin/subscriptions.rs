//! `/admin/subscriptions`: what accounts hold, given and taken away.

use std::net::IpAddr;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Admin, Changing, PAGE,
    answers::{
        Answered, Problem, account_key, bad_request, body, decoded, empty, json_answer, named, nothing_here, pairs,
    },
};
use crate::{
    chain::account::{self, Named},
    store::{Cursor, Filter, Grant, Held, Term},
    time::UnixTime,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    account: String,
    plan: String,
    expires_at: Option<String>,
    period: Option<String>,
}

impl Admin {
    pub(super) async fn list_subscriptions(&self, query: &str) -> Answered {
        let mut filter = Filter::default();
        let mut after: Option<Cursor> = None;
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "account" => filter.account = Some(account_key(&value)?),
                "plan" => filter.plan = Some(value),
                "after" => {
                    after = Some(
                        value
                            .parse()
                            .map_err(|_| bad_request("expected `after` as a page before gave it in `next`"))?,
                    );
                }
                _ => return Err(bad_request("expected `account`, `plan` and `after` alone in the query")),
            }
        }
        let page = self.store.subscriptions().list(&filter, after.as_ref(), PAGE).await?;
        let now = self.live().clock.now();
        let held: Vec<Value> = page.held.iter().map(|held| shown(held, now)).collect();
        let next = page.next.map(|cursor| cursor.to_string());
        Ok(json_answer(StatusCode::OK, &json!({ "subscriptions": held, "next": next })))
    }

    pub(super) async fn grant(&self, request: Request<Incoming>, peer: IpAddr) -> Answered {
        let body: GrantBody = body(request).await?;
        let live = self.live();
        let Named { key: account, chain } = named(&body.account)?;
        if body.plan != "default" && !live.plans.contains(&body.plan) {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown_plan",
                "no [[plan]] of the configuration has this name",
            ));
        }
        let term = match (body.expires_at, body.period) {
            (None, None) => Term::UntilRevoked,
            (Some(end), None) => Term::Until(
                UnixTime::parse_rfc3339(&end)
                    .ok_or_else(|| bad_request("expected `expires_at` as an RFC 3339 time"))?,
            ),
            (None, Some(period)) => {
                let length =
                    (self.duration)(&period).ok_or_else(|| bad_request("expected `period` such as `30d` or `24h`"))?;
                Term::Period { length, id: None }
            }
            (Some(_), Some(_)) => return Err(bad_request("expected `expires_at` or `period`, not both")),
        };
        // Where a chain is named, contracts are let in there alone; a key pair is the same wallet everywhere.
        let grant = Grant::new(account.clone(), &body.plan, term).and_then(|grant| match chain {
            Some(chain) => grant.on_chain(chain),
            None => Ok(grant),
        });
        let grant = grant.map_err(|error| bad_request(&error.to_string()))?;
        let changing = Changing { gate: &live.gate, account: &account };
        let subscription = self.store.subscriptions().grant(&grant, live.clock.now()).await?;
        drop(changing);
        tracing::info!(event = "audit", action = "grant", account = %account, plan = %subscription.plan, peer = %peer, "subscription granted");
        let held = Held { account, subscription };
        Ok(json_answer(StatusCode::OK, &shown(&held, live.clock.now())))
    }

    pub(super) async fn revoke(&self, account: &str, plan: &str, peer: IpAddr) -> Answered {
        let (account, plan) = (account_key(&decoded(account)?)?, decoded(plan)?);
        let live = self.live();
        let changing = Changing { gate: &live.gate, account: &account };
        let revoked = self.store.subscriptions().revoke(&account, &plan).await?;
        drop(changing);
        if !revoked {
            return Err(nothing_here("this account does not hold this plan"));
        }
        tracing::info!(event = "audit", action = "revoke", account = %account, plan = %plan, peer = %peer, "subscription revoked");
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn shown(held: &Held, now: UnixTime) -> Value {
    let subscription = &held.subscription;
    json!({
        "account": account::spelled(&held.account),
        "plan": subscription.plan,
        "starts_at": subscription.starts_at.to_string(),
        "expires_at": subscription.expires_at.map(|end| end.to_string()),
        "active": subscription.is_active(now),
        "chain": subscription.chain.as_ref().map(ToString::to_string),
    })
}
