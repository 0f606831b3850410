//! Many grants from a text: CSV, or a JSON object a line.
//!
//! 1. Which of the two it is shows by the first character: `{` begins JSON.
//! 2. Every fault of the text is told, with its line; one is enough that nothing is changed.
//! 3. CSV is plain: no value that a subscription can have holds a comma, a quote or a line end, so quotes around one
//!    are dropped and quotes inside one are faults of the value.

use std::path::Path;

use serde::Deserialize;

use super::{check_plan, to_grant};
use crate::{
    caip::ChainId,
    chain::account::Named,
    cli::{
        console::Failure,
        input::Source,
        values::{duration, time},
    },
    config::Config,
    policy::subscription::DEFAULT_PLAN,
    store::{Grant, IMPORT_MAX, Term},
};

/// One line, before anything in it was judged. Its names are those of `list --json`; what that prints beyond them is
/// read and left alone, because a grant starts when it is made.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account: String,
    plan: Option<String>,
    expires_at: Option<String>,
    period: Option<String>,
    chain: Option<String>,
    #[serde(rename = "starts_at")]
    _starts_at: Option<String>,
    #[serde(rename = "active")]
    _active: Option<bool>,
}

/// The columns of CSV that names none.
const COLUMNS: [&str; 4] = ["account", "plan", "expires_at", "period"];

/// Bytes of a text at most: 50,000 lines of 300 characters.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Faults that are told; whoever has more knows what kind they are.
const FAULTS_TOLD: usize = 20;

/// Reads all grants of a file or of standard input.
pub(super) fn read(path: &Path, config: &Config) -> Result<Vec<Grant>, Failure> {
    let text = Source::named(path).read_text(BYTES_MAX)?;
    parse(&text, config).map_err(|faults| {
        let told: Vec<&str> = faults.iter().take(FAULTS_TOLD).map(String::as_str).collect();
        let more = match faults.len().saturating_sub(FAULTS_TOLD) {
            0 => String::new(),
            more => format!("\nand {more} more"),
        };
        Failure::Failed(format!("nothing was imported:\n{}{more}", told.join("\n")))
    })
}

fn parse(text: &str, config: &Config) -> Result<Vec<Grant>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = text.trim_start().starts_with('{');
    let mut columns: Vec<&str> = COLUMNS.to_vec();
    let (mut grants, mut faults) = (Vec::new(), Vec::new());
    let mut is_first = true;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let is_head = std::mem::take(&mut is_first) && !is_json && cells(line).any(|cell| cell == COLUMNS[0]);
        if is_head {
            columns = cells(line).collect();
            continue;
        }
        let parsed =
            if is_json { serde_json::from_str(line).map_err(|error| error.to_string()) } else { csv(line, &columns) };
        match parsed.and_then(|line| to_one(&line, config)) {
            Ok(grant) => grants.push(grant),
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
    }
    if grants.len() > IMPORT_MAX {
        faults.push(format!("expected at most {IMPORT_MAX} lines, found {}", grants.len()));
    }
    if faults.is_empty() { Ok(grants) } else { Err(faults) }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| {
        let cell = cell.trim();
        cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell)
    })
}

fn csv(text: &str, columns: &[&str]) -> Result<Line, String> {
    let mut line = Line::default();
    if cells(text).count() > columns.len() {
        return Err(format!("expected at most the values {}, found more", columns.join(", ")));
    }
    for (column, cell) in columns.iter().zip(cells(text)) {
        let value = (!cell.is_empty()).then(|| cell.to_owned());
        match *column {
            "account" => line.account = value.unwrap_or_default(),
            "active" | "starts_at" => {}
            "chain" => line.chain = value,
            "expires_at" => line.expires_at = value,
            "period" => line.period = value,
            "plan" => line.plan = value,
            other => return Err(format!("expected the columns {}, found `{other}`", COLUMNS.join(", "))),
        }
    }
    Ok(line)
}

fn to_one(line: &Line, config: &Config) -> Result<Grant, String> {
    let mut account = Named::parse(&line.account).map_err(|error| error.to_string())?;
    if let Some(chain) = &line.chain {
        account.chain = Some(ChainId::parse(chain).map_err(|error| error.to_string())?);
    }
    let plan = line.plan.as_deref().unwrap_or(DEFAULT_PLAN);
    check_plan(config, plan)?;
    let term = match (&line.expires_at, &line.period) {
        (None, None) => Term::UntilRevoked,
        (Some(end), None) => Term::Until(time(end)?),
        (None, Some(period)) => Term::Period { length: duration(period)?, id: None },
        (Some(_), Some(_)) => return Err("expected `expires_at` or `period`, found both".to_owned()),
    };
    to_grant(&account, plan, term).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        config::{self, Inputs},
        time::UnixTime,
    };

    const ALICE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn config() -> Config {
        let text = "public_url = 'http://127.0.0.1:1'\n[server]\nlisten = ['127.0.0.1:1']\n[upstreams.api]\n\
            urls = ['http://127.0.0.1:2']\n[[plan]]\nname = 'nano'\n[[route]]\nname = 'all'\nprefix = '/'\n\
            upstream = 'api'\n";
        let inputs = Inputs {
            text,
            name: "test.toml",
            environment: &BTreeMap::new(),
            flags: &[],
            files: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        config::resolve(&inputs).expect("a configuration").0
    }

    fn shown(text: &str) -> Result<Vec<(String, Term)>, Vec<String>> {
        let grants = parse(text, &config())?;
        Ok(grants.iter().map(|grant| (grant.plan().to_owned(), grant.term().clone())).collect())
    }

    #[test]
    fn texts_that_are_read() {
        let one = |plan: &str, term: Term| Ok(vec![(plan.to_owned(), term)]);
        let end = UnixTime::from_secs(1_769_860_800);
        let month = Term::Period { length: Duration::from_secs(30 * 86_400), id: None };
        let rows = [
            ("nothing", String::new(), Ok(Vec::new())),
            ("an account", ALICE.to_owned(), one("default", Term::UntilRevoked)),
            ("with a byte order mark", format!("\u{feff}{ALICE}"), one("default", Term::UntilRevoked)),
            ("a head alone", "account,plan".to_owned(), Ok(Vec::new())),
            ("a plan and an end", format!("{ALICE},nano,2026-01-31T12:00:00Z"), one("nano", Term::Until(end))),
            ("a period", format!("{ALICE},nano,,30d"), one("nano", month.clone())),
            (
                "columns in another order",
                format!("period,account\r\n30d,{ALICE}\r\n\r\n"),
                one("default", month.clone()),
            ),
            ("quotes", format!("\"account\",\"plan\"\n\"{ALICE}\",\"nano\""), one("nano", Term::UntilRevoked)),
            ("JSON", format!(r#"{{"account":"{ALICE}","plan":"nano","period":"30d"}}"#), one("nano", month)),
            (
                "as a list prints it",
                format!(
                    r#"{{"account":"eip155:{ALICE}","plan":"nano","starts_at":"2026-01-01T00:00:00.000Z","expires_at":null,"active":true,"chain":"eip155:1"}}"#
                ),
                one("nano", Term::UntilRevoked),
            ),
        ];
        for (name, text, expected) in rows {
            assert_eq!(shown(&text), expected, "{name}");
        }
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let text = format!(
            "account,plan,expires_at,period\n{ALICE},pro\n\nalice\n{ALICE},nano,tomorrow\n{ALICE},nano,2026-01-31T12:00:00Z,30d\n{ALICE},nano,,,x\n{ALICE},nano,,0s\n"
        );
        let expected = [
            "line 2: expected one of the plans `nano`, or `default`, found `pro`",
            "line 4: expected a CAIP-10 id such as `eip155:1:0x…`, or an address of Ethereum, Solana or Bitcoin, found \
             `alice`",
            "line 5: expected an RFC 3339 time such as 2026-01-31T12:00:00Z",
            "line 6: expected `expires_at` or `period`, found both",
            "line 7: expected at most the values account, plan, expires_at, period, found more",
            "line 8: expected a period of at least a millisecond and at most 9999 years, found 0ns",
        ];
        assert_eq!(shown(&text).expect_err("faults"), expected);
        let unknown = format!(r#"{{"account":"{ALICE}","until":"x"}}"#);
        let faults = shown(&unknown).expect_err("an unknown member");
        assert!(faults[0].starts_with("line 1: unknown field `until`"), "{faults:?}");
    }
}
