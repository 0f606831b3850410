//! `/admin/keys`: which keys of tokens and assertions the store keeps, and a new one.
//!
//! 1. A key is shown by its name, which is published with its public half, and by nothing else of it.
//! 2. A new one is one `audit` event in the log, also when it was not heard whether the store has it.

use std::{net::IpAddr, sync::Arc};

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Admin,
    answers::{Answered, Problem, json_answer, nothing_here},
};
use crate::{
    gate::keys::{Keys, Rotated},
    session::keys::ring::{Generation, Standing},
    time::UnixTime,
};

impl Admin {
    pub(super) fn list_keys(&self) -> Answered {
        let now = self.live().clock.now();
        let keys = self.kept_keys()?.list(now);
        Ok(json_answer(StatusCode::OK, &json!({ "keys": as_json(&keys) })))
    }

    pub(super) async fn rotate_keys(&self, peer: IpAddr) -> Answered {
        let (keys, now) = (self.kept_keys()?, self.live().clock.now());
        let fresh = (self.fresh_secret)()
            .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", &error.to_string()))?;
        let rotated = keys.rotate(fresh, now).await;
        if !matches!(rotated, Ok(Rotated::Not(_))) {
            tracing::info!(event = "audit", action = "keys_rotate", peer = %peer, "an operator made a new key");
        }
        match rotated? {
            Rotated::Done => Ok(json_answer(StatusCode::OK, &json!({ "keys": as_json(&keys.list(now)) }))),
            Rotated::Not(why) => Err(Problem::new(StatusCode::CONFLICT, "conflict", why)),
        }
    }

    fn kept_keys(&self) -> Result<Arc<Keys>, Problem> {
        self.live().keys.clone().ok_or_else(|| nothing_here("the store keeps no keys that are in use here"))
    }
}

/// Keys as operators read them, here and on the command line.
pub(crate) fn as_json(keys: &[(Generation, Standing)]) -> Vec<Value> {
    let time = |time: Option<UnixTime>| time.map(|time| time.to_string());
    let one = |(generation, standing): &(Generation, Standing)| {
        let (signs_from, until) = match standing {
            Standing::Next(from) => (Some(*from), None),
            Standing::Old(until) => (None, Some(*until)),
            Standing::Current | Standing::Over => (None, None),
        };
        json!({
            "kid": generation.key.kid(),
            "algorithm": generation.key.algorithm().as_str(),
            "standing": standing.as_str(),
            "made_at": time(generation.made_at),
            "signs_from": time(signs_from),
            "published_until": time(until),
        })
    };
    keys.iter().map(one).collect()
}
