//! `token inspect`: what a token says and which checks it passes, without a configuration and without a network.
//!
//! 1. Checks are shown in the order of x402.md section 13. After one that leaves nothing to look at, the rest is not
//!    reached.
//! 2. Claims are judged for the very origin that the message names, with the defaults of message.md section 6, every
//!    chain and label welcome and any length of life: the rest is for a gateway's configuration to say.
//! 3. The signature is verified also where claims fail, since that is another question.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{SCHEME, header, presented};
use crate::{
    app::SystemClock,
    chain::{self, Accepts, Scheme, SignerKey, Verification},
    cli::{
        console::{Failure, say, say_json, yes_or_no},
        input::widest_reading,
        values::time,
    },
    credential::{Authorization, Carrier as _, CredentialError, Presented},
    siwx::{
        Code, Message,
        claims::{self, Claims, Expectation, Origin, UriMatch},
        proof::Proof,
        verdict,
    },
    time::{Clock as _, UnixTime},
};

/// Arguments of `token inspect`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The token, with or without its scheme; `-` is standard input [default: standard input]
    token: Option<String>,
    /// Judge times as if it were this one
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<UnixTime>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing that is looked at.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    result: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It is right, and this is worth knowing about it.
    Passed(String),
    /// It is wrong: a stable code, and a sentence.
    Failed(&'static str, String),
    /// Something before it left nothing to look at.
    NotReached,
}

/// Scheme names that tokens are known to come with. Which of them a gateway takes is configured there.
const SCHEMES: [&str; 3] = [SCHEME, "SIWE", "SIWS"];

/// The checks, in their order.
const CHECKS: [&str; 7] = ["scheme", "form", "base64", "message", "claims", "times", "signature"];

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let token = presented(arguments.token.as_deref())?;
    let headers = header(&token, SCHEME)?;
    let carrier = Authorization::new(SCHEMES.map(str::to_owned).to_vec());
    let presented = carrier.present(&headers).map_err(Failure::failed)?;
    let now = arguments.now.unwrap_or_else(|| SystemClock.now());
    let (checks, proof) = inspect(presented.as_ref(), now);
    let good = checks.iter().all(|check| matches!(check.result, Outcome::Passed(_)));
    if arguments.json {
        say_json(&as_json(good, &checks, proof.as_ref()))?;
    } else {
        say(as_text(&checks, proof.as_ref()))?;
    }
    Ok(yes_or_no(good))
}

/// Makes every check that can be made.
fn inspect(presented: Option<&Presented<'_>>, now: UnixTime) -> (Vec<Check>, Option<Proof>) {
    let Some(presented) = presented else {
        let expected = format!("expected one of the schemes {}", SCHEMES.join(", "));
        return (failed_at("scheme", "unknown_scheme", expected), None);
    };
    let proof = match presented.decode(&widest_reading()) {
        Ok(proof) => proof,
        Err(error) => {
            let name = match error {
                CredentialError::Conflict(_) => "scheme",
                CredentialError::TooLarge(_) | CredentialError::Form | CredentialError::SignatureForm(_) => "form",
                CredentialError::Encoding => "base64",
                CredentialError::Message(_) => "message",
            };
            return (failed_at(name, error.code(), error.to_string()), None);
        }
    };
    let checks = CHECKS.map(|name| Check {
        name,
        result: match name {
            "claims" => claims_check(proof.claims()),
            "times" => times_check(proof.claims(), now),
            "signature" => signature_check(&proof),
            "form" => Outcome::Passed(format!("{} bytes", presented.len())),
            "base64" => Outcome::Passed(format!("a message of {} bytes", proof.text().len())),
            "message" => Outcome::Passed(warnings(proof.message())),
            _ => Outcome::Passed(String::new()),
        },
    });
    (checks.into(), Some(proof))
}

/// All checks before this one passed, those after it are not reached.
fn failed_at(name: &str, code: &'static str, detail: String) -> Vec<Check> {
    let place = CHECKS.iter().position(|check| *check == name).unwrap_or(0);
    let result = |at: usize| match at.cmp(&place) {
        std::cmp::Ordering::Less => Outcome::Passed(String::new()),
        std::cmp::Ordering::Equal => Outcome::Failed(code, detail.clone()),
        std::cmp::Ordering::Greater => Outcome::NotReached,
    };
    CHECKS.iter().enumerate().map(|(at, name)| Check { name, result: result(at) }).collect()
}

/// What can be expected of a message without a configuration.
fn expectation(claims: &Claims) -> Expectation {
    let origins = ["https", "http"].map(|scheme| Origin::parse(&format!("{scheme}://{}", claims.domain())));
    let namespace = claims.namespace();
    Expectation {
        labels: vec![(namespace.to_owned(), vec!["*".to_owned()])],
        chains: vec![format!("{namespace}:*")],
        lifetime_secs_max: u32::MAX,
        require_expiration: true,
        ..Expectation::new(origins.into_iter().flatten().collect())
    }
}

/// The parts that must be there, and that the URI is of the domain.
fn claims_check(claims: &Claims) -> Outcome {
    // What is wrong with times comes after all of these and is the next check's to tell.
    let when = claims.issued_at().unwrap_or(UnixTime::from_millis(0));
    match claims::check(claims, &expectation(claims), None, when) {
        Err(error) if !is_about_times(error.code()) => Outcome::Failed(error.code().as_str(), error.to_string()),
        Ok(_) | Err(_) => Outcome::Passed(format!("for {}", claims.domain())),
    }
}

fn times_check(claims: &Claims, now: UnixTime) -> Outcome {
    let expected = Expectation { required: Vec::new(), uri_match: UriMatch::Off, ..expectation(claims) };
    match claims::check(claims, &expected, None, now) {
        Ok(until) => Outcome::Passed(format!("until {until}, for another {}", about(until.millis_since(now)))),
        Err(error) => Outcome::Failed(error.code().as_str(), error.to_string()),
    }
}

/// So many milliseconds in the largest unit of which there are two.
fn about(millis: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")];
    let unit = units.into_iter().find(|(length, _)| millis >= 2 * length);
    let (length, name) = unit.unwrap_or((1000, "s"));
    format!("{}{name}", millis / length)
}

const fn is_about_times(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidTimeRange
            | Code::IssuedInFuture
            | Code::NotYetValid
            | Code::Expired
            | Code::IssuedTooLongAgo
            | Code::LifetimeTooLong
    )
}

/// By every scheme that a gateway can be configured to take from a header. What only a contract could take is not
/// verified here, and said to be such.
fn signature_check(proof: &Proof) -> Outcome {
    let accepts = Accepts { memo: true, eip1271: true, eip6492: true, ..Accepts::default() };
    match chain::verify_known(proof, &accepts, &SignerKey::default()) {
        Ok(Verification::Verified(verified)) => Outcome::Passed(match verified.scheme() {
            scheme @ (Scheme::SolanaMemo | Scheme::Tip191 | Scheme::Sui) => {
                format!("{}, where the gateway takes that", scheme.as_str())
            }
            scheme => scheme.as_str().to_owned(),
        }),
        Ok(Verification::AskContract(question)) => {
            let (why, call) = (question.unasked(), question.call());
            let (scheme, chain) = (call.scheme().as_str(), call.chain());
            let ask = format!("the account's contract on {chain} would have to be asked, by {scheme}");
            Outcome::Failed(why.as_str(), format!("{why}; {ask}, which is not done offline"))
        }
        Err(error) => Outcome::Failed(error.as_str(), error.to_string()),
    }
}

fn warnings(message: &Message) -> String {
    let words: Vec<&str> = message.warnings.iter().map(|warning| warning.as_str()).collect();
    if words.is_empty() { String::new() } else { format!("unusual: {}", words.join(", ")) }
}

fn as_json(good: bool, checks: &[Check], proof: Option<&Proof>) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| match &check.result {
            Outcome::Passed(note) => json!({ "check": check.name, "ok": true, "code": null, "detail": note }),
            Outcome::Failed(code, detail) => {
                json!({ "check": check.name, "ok": false, "code": code, "detail": detail })
            }
            Outcome::NotReached => json!({ "check": check.name, "ok": null, "code": null, "detail": "not reached" }),
        })
        .collect();
    let message = proof.map(|proof| verdict::of_reading(&Ok(proof.message().clone()))["fields"].take());
    json!({ "ok": good, "checks": checks, "message": message })
}

fn as_text(checks: &[Check], proof: Option<&Proof>) -> String {
    let mut lines: Vec<String> = checks
        .iter()
        .map(|check| match &check.result {
            Outcome::Passed(note) => format!("{:<11}ok    {note}", check.name),
            Outcome::Failed(code, detail) => format!("{:<11}NO    {code}: {detail}", check.name),
            Outcome::NotReached => format!("{:<11}-     not reached", check.name),
        })
        .map(|line| line.trim_end().to_owned())
        .collect();
    if let Some(proof) = proof {
        // Every line of the text is printable: reading has refused controls and what changes direction.
        lines.push(String::new());
        lines.extend(proof.text().lines().map(|line| format!("    {line}").trim_end().to_owned()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_a_fault_passed_and_what_comes_after_is_not_reached() {
        let shown: Vec<_> = failed_at("base64", "invalid_encoding", "wrong".to_owned())
            .into_iter()
            .map(|check| (check.name, check.result))
            .collect();
        let passed = || Outcome::Passed(String::new());
        let expected = [
            ("scheme", passed()),
            ("form", passed()),
            ("base64", Outcome::Failed("invalid_encoding", "wrong".to_owned())),
            ("message", Outcome::NotReached),
            ("claims", Outcome::NotReached),
            ("times", Outcome::NotReached),
            ("signature", Outcome::NotReached),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn lengths_of_time_in_words() {
        let rows = [
            (0, "0s"),
            (999, "0s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_199_999, "119m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ];
        for (millis, expected) in rows {
            assert_eq!(about(millis), expected, "{millis}");
        }
    }
}
