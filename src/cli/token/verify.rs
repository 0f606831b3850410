//! `token verify`: the whole decision about a request with a token, by the very gate that a server has, on the
//! configured store. It uses up nothing: no nonce is claimed, and no address is charged for a refusal. Contracts are
//! asked as a server would ask them, at the configured nodes.
//!
//! An admitted request is shown with status 200, in place of whatever its upstream would answer.

use std::{net::IpAddr, process::ExitCode, sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::{header, presented};
use crate::{
    app::{self, SystemClock},
    cli::{
        asked::{Asked, Head},
        configuration::{ConfigFile, Source},
        console::{Failure, say, yes_or_no},
        run::start_failure,
        store::open,
        values::time,
    },
    config::Config,
    edge::{handler::admitted, respond::Answer},
    gate::{LastCredential, view::RequestView},
    metrics::Metrics,
    policy::routes::Routes,
    rpc::Rpc,
    time::{Clock as _, UnixTime},
};

/// Arguments of `token verify`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The method of the request
    #[arg(long, value_name = "METHOD")]
    method: String,
    /// The URL of the request
    #[arg(long, value_name = "URL")]
    url: String,
    /// The token, with or without its scheme; `-` is standard input [default: standard input]
    token: Option<String>,
    /// Judge as if it were this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<UnixTime>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a server would do.
struct Outcome {
    decision: &'static str,
    status: u16,
    code: Option<&'static str>,
    reason: Option<&'static str>,
    account: Option<String>,
    route: Option<String>,
    detail: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (mut config, report) = Source::read(&arguments.file.path, Vec::new())?.resolve()?;
    let routes = app::routes(&config, report).map_err(start_failure)?;
    config.gate.single_use_nonce = false;
    config.gate.auth_failures = None;
    let asked = Asked::read(&arguments.method, &arguments.url)?;
    let token = presented(arguments.token.as_deref())?;
    let now = arguments.now.unwrap_or_else(|| SystemClock.now());
    let outcome = match asked.head(&config)? {
        Ok(head) => judge(&config, routes, &asked, &head, &token, now)?,
        Err(answer) => Outcome::before_routing(&answer),
    };
    if arguments.json {
        say(outcome.as_json().to_string())?
    } else {
        say(outcome.as_text())?
    }
    Ok(yes_or_no(matches!(outcome.decision, "allow" | "public")))
}

fn judge(
    config: &Config,
    routes: Routes,
    asked: &Asked,
    head: &Head<'_>,
    token: &str,
    now: UnixTime,
) -> Result<Outcome, Failure> {
    let scheme = config.gate.schemes.first().map_or(super::SCHEME, String::as_str);
    let headers = header(token, scheme)?;
    let (runtime, store) = open(config)?;
    let metrics = Arc::new(Metrics::new());
    let gate = app::gate(config.gate.clone(), routes, &store, &metrics);
    if let Some(settings) = config.rpc.clone() {
        let outbound = app::outbound().map_err(start_failure)?;
        let rpc = Rpc::new(settings, &outbound, &metrics).map_err(Failure::failed)?;
        gate.ask_contracts(rpc, outbound, Instant::now());
    }
    let view = RequestView {
        method: asked.method(),
        host: head.host.as_str(),
        path: &head.path,
        target: head.path.as_str(),
        headers: &headers,
        client: IpAddr::from([127, 0, 0, 1]),
        last: &LastCredential::default(),
        started: Instant::now(),
    };
    let judged = runtime.block_on(gate.decide(&view, now));
    let reason = judged.reason();
    let account = judged.known().map(|known| known.account().to_string());
    let route = judged.rule.map(|rule| rule.name.clone());
    Ok(match admitted(judged) {
        Ok((_, permit, _)) => Outcome {
            decision: permit.reason().decision(),
            status: 200,
            code: None,
            reason: Some(permit.reason().as_str()),
            account,
            route,
            detail: String::new(),
        },
        Err(answer) => {
            // A good wallet that asks for what is not there is no refusal to the metrics, but it is not let through.
            let refusal = reason.filter(|reason| !matches!(reason.decision(), "allow" | "public"));
            Outcome {
                decision: refusal.map_or("deny", |reason| reason.decision()),
                reason: refusal.map(|reason| reason.as_str()),
                account,
                route,
                ..Outcome::before_routing(&answer)
            }
        }
    })
}

// === impl Outcome ===

impl Outcome {
    /// An answer that has no reason of the policy.
    fn before_routing(answer: &Answer) -> Self {
        Self {
            decision: "deny",
            status: answer.status().as_u16(),
            code: Some(answer.code()),
            reason: None,
            account: None,
            route: None,
            detail: answer.detail(),
        }
    }

    fn as_json(&self) -> Value {
        let Self { decision, status, code, reason, account, route, detail: _ } = self;
        json!({
            "decision": decision,
            "status": status,
            "code": code,
            "reason": reason,
            "account": account,
            "route": route,
        })
    }

    fn as_text(&self) -> String {
        let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
        let mut lines = vec![
            format!("decision  {}", self.decision),
            format!("status    {}", self.status),
            format!("code      {}", or_none(self.code)),
            format!("reason    {}", or_none(self.reason)),
            format!("account   {}", or_none(self.account.as_deref())),
            format!("route     {}", or_none(self.route.as_deref())),
        ];
        if !self.detail.is_empty() {
            lines.push(format!("detail    {}", self.detail));
        }
        lines.join("\n")
    }
}
