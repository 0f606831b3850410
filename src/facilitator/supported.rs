//! What a facilitator supports: `GET /supported`, read; and how long it wants us to wait.
//!
//! 1. Kinds of x402 version 2 count; others, and entries that are no kind, are passed over, because one odd entry of a
//!    network nobody here uses must not stop payments on the others.
//! 2. `Retry-After` is seconds or an IMF-fixdate (RFC 9110 §10.2.3, §5.6.7); the two forms of dates that senders must
//!    not write any more are not read.

use std::time::Duration;

use serde_json::Value;

use crate::{
    caip::{ChainId, is_address},
    time::UnixTime,
};

/// What a facilitator supports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supported(Vec<Kind>);

/// A scheme on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    scheme: String,
    network: ChainId,
    fee_payer: Option<String>,
    facilitator_address: Option<String>,
}

/// The longest time a facilitator may make us wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Kinds that are kept: more than there are chains, fewer than would slow a lookup.
const KINDS_MAX: usize = 1000;

// === impl Supported ===

impl Supported {
    /// Reads an answer; nothing if it is no list of kinds.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let kinds = answer.get("kinds")?.as_array()?;
        Some(Self(kinds.iter().filter_map(Kind::read).take(KINDS_MAX).collect()))
    }

    /// Whether a scheme is supported on a network.
    pub fn lists(&self, scheme: &str, network: &str) -> bool {
        self.kind(scheme, network).is_some()
    }

    /// `extra.feePayer`: who pays the fees of a Solana transaction.
    pub fn fee_payer(&self, scheme: &str, network: &str) -> Option<&str> {
        self.kind(scheme, network)?.fee_payer.as_deref()
    }

    /// `extra.facilitatorAddress`: who may settle an `upto` authorization.
    pub fn facilitator_address(&self, scheme: &str, network: &str) -> Option<&str> {
        self.kind(scheme, network)?.facilitator_address.as_deref()
    }

    /// How many kinds there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn kind(&self, scheme: &str, network: &str) -> Option<&Kind> {
        self.0.iter().find(|kind| kind.scheme == scheme && kind.network.as_str() == network)
    }
}

impl Kind {
    fn read(entry: &Value) -> Option<Self> {
        if entry.get("x402Version")?.as_u64()? != 2 {
            return None;
        }
        let address = |member| {
            let text = entry.get("extra")?.get(member)?.as_str()?;
            is_address(text).then(|| text.to_owned())
        };
        Some(Self {
            scheme: entry.get("scheme")?.as_str()?.to_owned(),
            network: ChainId::parse(entry.get("network")?.as_str()?).ok()?,
            fee_payer: address("feePayer"),
            facilitator_address: address("facilitatorAddress"),
        })
    }
}

/// How long `Retry-After` says to wait, at most 30 s; nothing if it says nothing.
pub(super) fn retry_after(value: &str, now: UnixTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // What does not fit a number is above the bound.
        return Some(value.parse().map_or(WAIT_MAX, Duration::from_secs).min(WAIT_MAX));
    }
    let millis = imf_fixdate(value)?.millis_since(now).max(0);
    Some(Duration::from_millis(millis.unsigned_abs()).min(WAIT_MAX))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`. The day of the week says nothing new and is not compared.
fn imf_fixdate(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next()? != "GMT" || parts.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    UnixTime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_that_count() {
        let answer = json!({
            "kinds": [
                {"x402Version": 1, "scheme": "exact", "network": "base-sepolia"},
                {"x402Version": 1, "scheme": "exact", "network": "eip155:1"},
                {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
                {"x402Version": 2, "scheme": "exact", "network": "solana:abc", "extra": {"feePayer": "EUzY"}},
                {"x402Version": 2, "scheme": "upto", "network": "eip155:84532", "extra": {"facilitatorAddress": "0xab"}},
                {"x402Version": 2, "scheme": "exact", "network": "solana:bad", "extra": {"feePayer": "a b"}},
                {"x402Version": 2, "scheme": "exact", "network": "solana:null", "extra": null},
                {"x402Version": 2, "scheme": "exact", "network": "base"},
                {"x402Version": 2, "scheme": "exact"},
                {"scheme": "exact", "network": "eip155:10"},
                "exact", null,
            ],
            "extensions": null, "signers": {},
        });
        let supported = Supported::read(answer.to_string().as_bytes()).expect("a list of kinds");
        assert_eq!(supported.len(), 5);
        let rows = [
            ("exact", "eip155:84532", true, None, None),
            ("exact", "eip155:1", false, None, None),
            ("exact", "eip155:10", false, None, None),
            ("exact", "solana:abc", true, Some("EUzY"), None),
            ("upto", "solana:abc", false, None, None),
            ("upto", "eip155:84532", true, None, Some("0xab")),
            ("exact", "solana:bad", true, None, None),
            ("exact", "solana:null", true, None, None),
            ("Exact", "solana:abc", false, None, None),
        ];
        for (scheme, network, listed, fee_payer, address) in rows {
            let name = format!("{scheme} on {network}");
            assert_eq!(supported.lists(scheme, network), listed, "{name}");
            assert_eq!(supported.fee_payer(scheme, network), fee_payer, "{name}");
            assert_eq!(supported.facilitator_address(scheme, network), address, "{name}");
        }
    }

    #[test]
    fn what_is_no_list_of_kinds() {
        for text in ["", "OK", "null", "[]", "{}", r#"{"kinds":null}"#, r#"{"kinds":{}}"#] {
            assert_eq!(Supported::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Supported::read(br#"{"kinds":[]}"#), Some(Supported::default()));
    }

    #[test]
    fn times_to_wait() {
        // 1994-11-06T08:49:37Z
        let now = UnixTime::from_secs(784_111_777);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let rows = [
            ("0", seconds(0)),
            ("1", seconds(1)),
            (" 29 ", seconds(29)),
            ("30", seconds(30)),
            ("31", seconds(30)),
            ("99999999999999999999999", seconds(30)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Sun, 06 Nov 1994 08:49:49 GMT", seconds(12)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", seconds(30)),
            ("Sun, 06 Nov 1994 08:50:08 GMT", seconds(30)),
            ("Sat, 05 Nov 1994 08:49:49 GMT", seconds(0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 06 Nov 1994 08:49:49 CET", None),
            ("Sun, 31 Nov 1994 08:49:49 GMT", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (value, expected) in rows {
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }
}
