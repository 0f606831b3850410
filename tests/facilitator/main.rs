//! Facilitators, and the client they are asked with, against a server that does what a script says: answers of every
//! kind, redirects, hangs, drops, drips. It is a raw one, so that it can do what no HTTP library would.

mod answers;
mod outbound;
#[allow(dead_code, reason = "the tests of the gateway use it too, and other parts of it")]
mod server;
mod supported;
mod vectors;

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use siwx_gateway::{
    facilitator::{Facilitator, Facilitators, Header, HeaderSource, Question, Settings},
    metrics::Metrics,
    outbound::{Endpoint, Outbound},
};

use server::Server;

pub(crate) const ALICE: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
pub(crate) const BOB: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const BASE: &str = "eip155:84532";

/// Facilitators under test, and what they count.
pub(crate) struct Bench {
    pub(crate) facilitators: Facilitators,
    pub(crate) metrics: Metrics,
}

impl Bench {
    pub(crate) fn of(settings: Vec<Settings>) -> Self {
        let metrics = Metrics::new();
        let outbound = Outbound::start().expect("a thread");
        let facilitators = Facilitators::new(settings, &outbound, &metrics).expect("facilitators");
        Self { facilitators, metrics }
    }

    /// One facilitator that is a scripted server.
    pub(crate) fn asking(server: &Server) -> Self {
        Self::of(vec![settings("main", server)])
    }

    /// The same, where no answer is waited for.
    pub(crate) fn hurrying(server: &Server) -> Self {
        let short = Duration::from_millis(400);
        Self::of(vec![Settings { verify_timeout: short, settle_timeout: short, ..settings("main", server) }])
    }

    pub(crate) fn one(&self) -> &Arc<Facilitator> {
        self.facilitators.find("main").expect("the facilitator")
    }

    /// The value of a counter, by what stands between its braces.
    pub(crate) fn counted(&self, labels: &str) -> u64 {
        self.series("requests_total", labels)
    }

    /// How many requests of one operation had their time taken.
    pub(crate) fn timed(&self, operation: &str) -> u64 {
        self.series("duration_seconds_count", &format!("operation=\"{operation}\""))
    }

    fn series(&self, name: &str, labels: &str) -> u64 {
        let text = String::from_utf8(self.metrics.render()).expect("text");
        let before = format!("siwx_facilitator_{name}{{facilitator=\"main\",{labels}}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*before));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no series {before}"))
    }
}

pub(crate) fn settings(name: &str, server: &Server) -> Settings {
    let token = HeaderSource::literal("Bearer s3cret".to_owned());
    Settings {
        name: name.to_owned(),
        url: Endpoint::parse(&format!("{}/base/", server.url())).expect("a URL"),
        headers: vec![Header::new("Authorization", token).expect("a header")],
        verify_timeout: Duration::from_secs(20),
        settle_timeout: Duration::from_secs(20),
        ca: None::<PathBuf>,
    }
}

/// A payment of Alice on Base.
pub(crate) fn question() -> Question {
    Question::new(
        &json!({"x402Version": 2, "payload": {"authorization": {"from": ALICE}, "signature": "0x12ae"}}),
        &json!({"scheme": "exact", "network": BASE, "amount": "10000"}),
    )
}

pub(crate) fn settled() -> Value {
    json!({"success": true, "payer": ALICE, "transaction": "0xcd", "network": BASE})
}
