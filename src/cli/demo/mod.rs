//! `demo`: the first minute. A gateway on loopback in front of an API that shows what it is told, throw-away wallets, a
//! test facilitator that moves no money, and a line for each thing worth seeing. Nothing is kept and nothing leaves
//! the machine.
//!
//! With `--once` the program performs its own lines over the socket and says whether every promise was kept.

mod echo;
mod script;
mod stage;
mod test_facilitator;
mod transfer;

use std::{io, process::ExitCode, time::Duration};

use super::{
    console::{Failure, say, yes_or_no},
    fetch,
    signals::Signals,
    token::sign_in::Invitation,
};
use crate::{app::SystemClock, time::Clock as _, x402::SIGN_IN_WITH_X};
use script::{Cast, Outcome, Presented, Scene, shortened};
use stage::Stage;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Send the requests, print what came back, and exit; 0 only if all was as promised
    #[arg(long)]
    once: bool,
}

/// How long one request of `--once` may take. On loopback it takes a millisecond; a busy machine may need more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way on from here.
const NEXT: &str = "
In front of an API of your own:

  siwx-gateway config default > siwx-gateway.toml   every key with what it does
  siwx-gateway check -c siwx-gateway.toml           all that is wrong with it
  siwx-gateway run -c siwx-gateway.toml             serve

Requests to the gateway are shown here as they come:";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let cast = Cast::new().map_err(Failure::failed)?;
        let stage = Stage::set(&cast, !arguments.once).await?;
        let scenes = cast.scenes(&stage.gateway, &stage.admin, SystemClock.now()).map_err(Failure::failed)?;
        if arguments.once {
            return perform(stage, &scenes).await;
        }
        say(narration(&cast, &stage, &scenes))?;
        let signals = Signals::catch().map_err(Failure::failed)?;
        stage.app.run(signals.stop(|| {})).await.map_err(Failure::failed)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What a person reads while the gateway runs.
fn narration(cast: &Cast, stage: &Stage, scenes: &[Scene<'_>]) -> String {
    let mut text = format!(
        "siwx-gateway: a gateway in front of an API, on this machine alone\n\n  \
         gateway      http://{}\n  \
         metrics      http://{}/metrics\n  \
         facilitator  http://{}, a test: signatures are checked, no money moves\n  \
         wallets      {:<12}  Ethereum, with a subscription\n               \
         {:<12}  Solana, with a subscription\n               \
         {:<12}  Ethereum, without one\n               \
         {:<12}  Ethereum, pays\n\n\
         Paste these lines into another terminal. The tokens are good for 24 hours, a payment and a sign-in once;\n\
         Ctrl-C ends all of it.\n",
        stage.gateway,
        stage.admin,
        stage.facilitator,
        shortened(&cast.ethereum.address()),
        shortened(&cast.solana.address()),
        shortened(&cast.stranger.address()),
        shortened(&cast.buyer.address()),
    );
    for (number, scene) in (1..).zip(scenes) {
        let Scene { title, point, promise, .. } = scene;
        text.push_str(&format!("\n# {number}. {title}: {}. {point}.\n{}\n", promise.status, scene.curl()));
    }
    text.push_str(NEXT);
    text
}

/// Sends every request and tells what came back.
async fn perform(stage: Stage, scenes: &[Scene<'_>]) -> Result<ExitCode, Failure> {
    let mut outcomes = Vec::with_capacity(scenes.len());
    let play = async {
        for scene in scenes {
            outcomes.push(ask(scene).await);
        }
    };
    stage.app.run(play).await.map_err(Failure::failed)?;
    let kept = scenes.iter().zip(&outcomes).filter(|(scene, outcome)| is_kept(scene, outcome)).count();
    let mut lines = vec![row("request", "promised", "came back", "")];
    lines.extend(scenes.iter().zip(&outcomes).map(|(scene, outcome)| {
        let came_back = match outcome {
            Ok(outcome) => outcome.shown(),
            Err(error) => format!("no answer: {error}"),
        };
        let mark = if is_kept(scene, outcome) { "ok" } else { "NOT AS PROMISED" };
        row(scene.title, &scene.promise.shown(), &came_back, mark)
    }));
    lines.push(format!("\n{kept} of {} as promised", scenes.len()));
    say(lines.join("\n"))?;
    Ok(yes_or_no(kept == scenes.len()))
}

async fn ask(scene: &Scene<'_>) -> io::Result<Outcome> {
    let signed_in;
    let credential = match &scene.presented {
        Presented::Nothing => None,
        Presented::Header(name, value) => Some((*name, value.as_str())),
        Presented::SignIn(wallet) => {
            let (_, challenge) = fetch::get(&scene.authority, scene.path, None, PATIENCE).await?;
            let invitation = Invitation::read(&String::from_utf8_lossy(&challenge)).map_err(io::Error::other)?;
            signed_in = invitation.accept(wallet, (&scene.authority, &scene.url()), None).map_err(io::Error::other)?;
            Some((SIGN_IN_WITH_X, signed_in.as_str()))
        }
    };
    let (status, body) = fetch::get(&scene.authority, scene.path, credential, PATIENCE).await?;
    Ok(Outcome::of(status.as_u16(), &body))
}

fn is_kept(scene: &Scene<'_>, outcome: &io::Result<Outcome>) -> bool {
    outcome.as_ref().is_ok_and(|outcome| *outcome == scene.promise)
}

fn row(request: &str, promised: &str, came_back: &str, mark: &str) -> String {
    format!("{request:<40}{promised:<32}{came_back:<32}{mark}").trim_end().to_owned()
}
