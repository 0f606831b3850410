//! Whether what is said beside a signed text is what the text says.
//!
//! 1. Addresses of EVM chains are compared without their letter case, which is a checksum; all others as they are.
//! 2. Chains are compared by what they are, CAIP-2 or bare, because the text may have it either way.
//! 3. Times are compared as moments: a text and its description may spell one moment differently. A time that cannot be
//!    read is the moment of nothing.
//! 4. `null` is nothing, as a member is that a program left undefined, and so is an empty text where the message has no
//!    line: who writes messages writes none for it.

use serde_json::Value;

use crate::{
    caip::AccountId,
    siwx::{Message, dialect::Dialect, message::Timestamp},
    time::UnixTime,
};

/// A signed text as what stands beside it is compared with it.
pub(super) struct Signed<'a> {
    pub(super) message: &'a Message,
    /// The message's account.
    pub(super) account: &'a AccountId,
    pub(super) dialects: &'a [Dialect],
}

impl Signed<'_> {
    /// Whether an address is the account's.
    pub(super) fn is_address(&self, address: &str) -> bool {
        same_address(self.account, &self.message.address, address)
    }

    /// Whether a chain is the account's: a text, CAIP-2 or bare, or the number of an EVM chain.
    pub(super) fn is_chain(&self, chain: Option<&Value>) -> bool {
        match chain {
            Some(Value::String(text)) => self.is_chain_text(text),
            Some(Value::Number(number)) => number.is_u64() && self.is_chain_text(&number.to_string()),
            _ => false,
        }
    }

    /// Whether a text is the CAIP-10 id of the account.
    pub(super) fn is_account(&self, account: &str) -> bool {
        account.rsplit_once(':').is_some_and(|(chain, address)| {
            chain.contains(':') && self.is_chain_text(chain) && self.is_address(address)
        })
    }

    fn is_chain_text(&self, text: &str) -> bool {
        let (namespace, reference) = text.split_once(':').unwrap_or_else(|| (self.account.namespace(), text));
        let chain = self.account.chain();
        let dialect = self.dialects.iter().find(|dialect| dialect.namespace == namespace);
        let canonical = dialect.and_then(|dialect| (dialect.reference)(reference));
        namespace == chain.namespace() && canonical.as_deref().unwrap_or(reference) == chain.reference()
    }
}

/// Whether two addresses are one on the chain of an account that has the first of them.
pub(super) fn same_address(account: &AccountId, spelled: &str, other: &str) -> bool {
    match account.namespace() {
        "eip155" => account.address().eq_ignore_ascii_case(other),
        _ => spelled == other,
    }
}

/// Whether a value is the moment of a line, or absent like it.
pub(super) fn is_moment(line: Option<&Timestamp>, value: Option<&Value>) -> bool {
    match (line, value) {
        (None, value) => is_nothing(value),
        (Some(line), Some(Value::String(text))) => UnixTime::parse_rfc3339(text) == Some(line.instant),
        _ => false,
    }
}

/// Whether a value is the text of a line, or absent like it.
pub(super) fn is_text(line: Option<&str>, value: Option<&Value>) -> bool {
    match (line, value) {
        (None, value) => is_nothing(value),
        (Some(line), Some(Value::String(text))) => line == text,
        _ => false,
    }
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(value) => value.as_str().is_some_and(str::is_empty),
    }
}
