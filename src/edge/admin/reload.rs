//! `POST /admin/reload`: the configuration read again, and what came of it.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    Admin,
    answers::{Answered, Problem, json_answer},
};

/// Somebody asks for a reload. Who reads configurations answers: nothing, or every fault.
pub struct Reload {
    /// Hears what came of it: the digest of what is in force, or a list of faults.
    pub answer: oneshot::Sender<Result<String, Value>>,
}

impl Admin {
    pub(super) async fn reload(&self, peer: IpAddr) -> Answered {
        let (answer, heard) = oneshot::channel();
        let asked = self.reloads.send(Reload { answer }).is_ok();
        let answer = if asked { heard.await.ok() } else { None };
        tracing::info!(event = "audit", action = "reload", peer = %peer, "a reload was asked for");
        match answer {
            Some(Ok(digest)) => Ok(json_answer(StatusCode::OK, &json!({ "configuration": digest }))),
            Some(Err(faults)) => Err(Problem {
                faults: Some(Box::new(faults)),
                ..Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "bad_configuration",
                    "the configuration is not in order; what was in force stays in force",
                )
            }),
            None => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "the gateway is draining, or was started without a file to read again",
            )),
        }
    }
}
