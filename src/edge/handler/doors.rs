//! Doors of the gateway itself: what is answered here, whatever a route says.
//!
//! 1. The session API and the public keys come first, then the shop, then preflights of scripts that may use a route.
//! 2. No decision of the gate stands before them: each door judges for itself who may come in.

use http::{HeaderValue, Method};
use hyper::body::Incoming;

use super::{Arrival, Worker};
use crate::{
    edge::{
        assertion::{Assertions, JWKS_PATH},
        cors,
        record::Record,
        respond::Answer,
        session::{self, Visit},
        shop,
    },
    gate::{payment, sessions::Sessions, view::RequestView},
    policy::routes::Found,
};

/// A door, and who is behind it.
pub(super) enum Door<'w> {
    /// Public keys, where there is no session API that has them too.
    Keys(&'w Assertions),
    /// A browser asks whether a script of this origin may use this method.
    Preflight(HeaderValue, Method),
    /// The session API.
    Session(&'w Sessions, session::Door),
    /// The shop.
    Shop(payment::Door),
}

impl Worker {
    /// The door that a request is at; nothing: it has a route, or nothing is there.
    pub(super) fn door(&self, view: &RequestView<'_>) -> Option<Door<'_>> {
        let gate = &self.live.gate;
        let path = view.path.as_str();
        if let Some(sessions) = gate.sessions()
            && let Some(door) = session::door(sessions.settings(), path)
        {
            return Some(Door::Session(sessions, door));
        }
        if let Some(assertions) = &self.live.assertions
            && path == JWKS_PATH
            && gate.sessions().is_none()
        {
            return Some(Door::Keys(assertions));
        }
        if let Some(door) = gate.shop_door(path) {
            return Some(Door::Shop(door));
        }
        let asked = cors::preflight_method(view.method, view.headers)?;
        let Found::Rule(rule) = gate.routes().find(&asked, view.host, view.path) else {
            return None;
        };
        let origin = cors::origin(rule, view.headers)?.clone();
        Some(Door::Preflight(origin, asked))
    }

    /// Answers a request at a door.
    pub(super) async fn answer_at(
        &self,
        door: Door<'_>,
        view: RequestView<'_>,
        query: Option<&str>,
        body: Incoming,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Answer {
        let live = &self.live;
        match door {
            Door::Keys(assertions) => session::published(&assertions.keys(), view.method, arrival.now),
            Door::Preflight(origin, asked) => {
                record.readable_by(origin);
                Answer::Preflight(asked)
            }
            Door::Session(sessions, door) => {
                let visit = Visit {
                    gate: &live.gate,
                    sessions,
                    metrics: &live.metrics,
                    view,
                    query: query.unwrap_or(""),
                    now: arrival.now,
                    others: live.assertions.as_ref().map(|assertions| assertions.keys()),
                    idle: live.settings.limits.body_idle_timeout,
                };
                visit.answer(door, body, record).await
            }
            Door::Shop(door) => shop::answer(&live.gate, door, &view, query, arrival.now).await,
        }
    }
}
