//! Tickets: the last segment of every path that a storm asks for. Each says who asks and whether the request may reach
//! an upstream at all, and none can be made without the secret of the run.

use std::{collections::HashSet, fmt, sync::Mutex};

use sha2::{Digest as _, Sha256};

/// What may become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reaches an upstream as the wallet on it, or not at all.
    Honest,
    /// It reaches an upstream below a public prefix, as nobody.
    Public,
    /// It never reaches an upstream.
    Forbidden,
}

/// A ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    pub(crate) wallet: usize,
    tag: u64,
}

/// What an upstream was asked, as the judge looks at it.
pub(crate) struct Asked<'a> {
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(String, String)],
}

/// Looks at what reaches upstreams.
pub(crate) struct Judge {
    secret: u64,
    accounts: Vec<String>,
    seen: Mutex<HashSet<u64>>,
}

/// What the storm writes into every field that an upstream could believe, and that no upstream may see.
pub(crate) const SPOOF: &str = "spoofed-by-the-storm";

/// The fields that an upstream may be told about somebody.
const IDENTITY: [&str; 7] = ["account", "address", "chain", "scheme", "plan", "expires", "session"];

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Honest => 'k',
            Self::Public => 'p',
            Self::Forbidden => 'f',
        }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:012x}-{:04x}-{:016x}", self.kind.letter(), self.number, self.wallet, self.tag)
    }
}

impl Judge {
    pub(crate) fn new(secret: u64, accounts: Vec<String>) -> Self {
        Self { secret, accounts, seen: Mutex::default() }
    }

    pub(crate) fn ticket(&self, kind: Kind, number: u64, wallet: usize) -> Ticket {
        let digest = Sha256::digest(format!("{} {} {number} {wallet}", self.secret, kind.letter()));
        let tag = digest[..8].iter().fold(0, |tag, byte| tag << 8 | u64::from(*byte));
        Ticket { kind, number, wallet, tag }
    }

    fn read(&self, text: &str) -> Option<Ticket> {
        let kind =
            [Kind::Honest, Kind::Public, Kind::Forbidden].into_iter().find(|kind| text.starts_with(kind.letter()));
        let mut parts = text.get(1..)?.split('-');
        let number = u64::from_str_radix(parts.next()?, 16).ok()?;
        let wallet = usize::from_str_radix(parts.next()?, 16).ok()?;
        let ticket = self.ticket(kind?, number, wallet);
        (ticket.to_string() == text).then_some(ticket)
    }

    /// Whether this may have reached an upstream, or why not. One ticket is good for one request.
    pub(crate) fn look(&self, asked: &Asked<'_>) -> Result<(), String> {
        let path = asked.target.split_once('?').map_or(asked.target, |(path, _)| path);
        let (prefix, last) = path.rsplit_once('/').ok_or("no path")?;
        let account = told(asked.headers)?;
        let ticket = self.read(last).ok_or("no ticket of this run")?;
        let public = prefix == "/public";
        match (ticket.kind, public, account) {
            (Kind::Public, true, None) => {}
            (Kind::Honest, false, Some(account))
                if self.accounts.get(ticket.wallet).is_some_and(|own| own == account) =>
            {
                if !matches!(prefix, "/wallet" | "/paid" | "/pro" | "/nginx") {
                    return Err("no route of this run".to_owned());
                }
            }
            (Kind::Honest, false, Some(account)) => return Err(format!("told as {account}")),
            (kind, _, account) => return Err(format!("{kind:?} as {account:?}")),
        }
        if !self.seen.lock().expect("no panic while held").insert(ticket.number) {
            return Err("a second time".to_owned());
        }
        Ok(())
    }
}

/// The account that is told, if any; fields that only a client could have written are a fault.
fn told(headers: &[(String, String)]) -> Result<Option<&str>, String> {
    let mut account = None;
    for (name, value) in headers {
        let normal: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        if value.contains(SPOOF) {
            return Err(format!("`{name}` is the client's own"));
        }
        if matches!(normal.as_str(), "authorization" | "sign-in-with-x" | "payment-signature" | "cookie") {
            return Err(format!("a credential in `{name}`"));
        }
        if let Some(rest) = normal.strip_prefix("x-siwx-") {
            if *name != normal || !IDENTITY.contains(&rest) {
                return Err(format!("an identity field `{name}`"));
            }
            if rest == "account" && account.replace(value.as_str()).is_some() {
                return Err("two accounts".to_owned());
            }
        }
    }
    Ok(account)
}

/// Names and values.
type Fields<'a> = &'a [(&'a str, &'a str)];

#[test]
fn a_judge_tells_what_may_not_be() {
    let judge = Judge::new(7, vec!["a:b:c".to_owned(), "a:b:d".to_owned()]);
    let of = |number, kind| judge.ticket(kind, number, 1).to_string();
    let look = |target: String, headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        judge.look(&Asked { target: &target, headers: &headers })
    };
    let told = [("x-siwx-account", "a:b:d")];
    assert_eq!(look(format!("/paid/{}?a=b", of(1, Kind::Honest)), &told), Ok(()));
    assert_eq!(look(format!("/public/{}", of(2, Kind::Public)), &[]), Ok(()));
    let rows: [(String, Fields<'_>, &str); 9] = [
        (format!("/paid/{}", of(1, Kind::Honest)), &told, "a second time"),
        (format!("/paid/{}", of(3, Kind::Honest)), &[], "Honest as None"),
        (format!("/paid/{}", of(3, Kind::Honest)), &[("x-siwx-account", "a:b:c")], "told as a:b:c"),
        (format!("/paid/{}", of(3, Kind::Honest)), &[told[0], told[0]], "two accounts"),
        (format!("/paid/{}", of(3, Kind::Honest)), &[told[0], ("x_siwx_plan", "a")], "an identity field `x_siwx_plan`"),
        (format!("/paid/{}", of(3, Kind::Forbidden)), &told, "Forbidden as Some(\"a:b:d\")"),
        (format!("/public/{}", of(3, Kind::Forbidden)), &[], "Forbidden as None"),
        (format!("/public/{}", of(3, Kind::Public)), &[("x-real-ip", SPOOF)], "`x-real-ip` is the client's own"),
        ("/paid/k000000000003-0001-0000000000000000".to_owned(), &told, "no ticket of this run"),
    ];
    for (target, headers, why) in rows {
        assert_eq!(look(target, headers), Err(why.to_owned()));
    }
}
