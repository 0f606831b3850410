//! Fields to signing text (message.md section 7).
//!
//! 1. [`Message::render`] is exact: it gives back the very bytes a message was read from. It is there to be
//!    tested and shown; what is verified is the received text.
//! 2. [`Draft::write`] is canonical: the one form in which this project writes texts of its own.
//! 3. Writing checks nothing. A text of our own is read back before anybody signs it.

use std::fmt::Write as _;

use super::{
    Field,
    dialect::Dialect,
    lines::{HEADER_END, HEADER_PHRASE},
    message::{Message, Timestamp},
};
use crate::{caip::ChainId, time::UnixTime};

/// A text of our own, before it is written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Host with an optional port.
    pub domain: &'a str,
    /// The address, in any spelling its family reads.
    pub address: &'a str,
    /// The chain; its reference becomes the `Chain ID: ` line.
    pub chain: &'a ChainId,
    /// The sentence for people, on one line.
    pub statement: Option<&'a str>,
    /// The `URI: ` line.
    pub uri: &'a str,
    /// The `Nonce: ` line.
    pub nonce: &'a str,
    /// The `Issued At: ` line.
    pub issued_at: UnixTime,
    /// The `Expiration Time: ` line.
    pub expiration_time: Option<UnixTime>,
    /// The `Not Before: ` line.
    pub not_before: Option<UnixTime>,
    /// The `Request ID: ` line.
    pub request_id: Option<&'a str>,
    /// URIs; no heading is written if there are none.
    pub resources: &'a [String],
}

/// The parts of a text in the order in which they are written. What is absent is left out.
pub(super) struct Parts<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) domain: &'a str,
    pub(super) label: &'a str,
    pub(super) account_chain: Option<&'a str>,
    pub(super) address: &'a str,
    pub(super) blank_lines: u8,
    pub(super) statement: Option<&'a str>,
    /// In the order of [`Field::TAGGED`].
    pub(super) fields: [Option<&'a str>; 8],
    pub(super) chain_id_last: bool,
    pub(super) resources: Option<&'a [String]>,
}

// === impl Message ===

impl Message {
    /// Writes the text again, byte for byte as it was read.
    pub fn render(&self) -> String {
        let time = |time: &'_ Option<Timestamp>| time.as_ref().map(|time| time.text.clone());
        let times = [time(&self.issued_at), time(&self.expiration_time), time(&self.not_before)];
        Parts {
            scheme: self.scheme.as_deref(),
            domain: &self.domain,
            label: &self.label,
            account_chain: self.account_chain.as_deref(),
            address: &self.address,
            blank_lines: self.blank_lines,
            statement: self.statement.as_deref(),
            fields: [
                self.uri.as_deref(),
                self.version.as_deref(),
                self.chain_id.as_deref(),
                self.nonce.as_deref(),
                times[0].as_deref(),
                times[1].as_deref(),
                times[2].as_deref(),
                self.request_id.as_deref(),
            ],
            chain_id_last: self.chain_id_last,
            resources: self.resources.as_deref(),
        }
        .write()
    }
}

// === impl Draft ===

impl Draft<'_> {
    /// Writes the text as its family's template has it. Parse it before it is signed.
    pub fn write(&self, dialect: &Dialect) -> String {
        let address = (dialect.address)(self.address).unwrap_or_else(|_| self.address.to_owned());
        let time = |time: Option<UnixTime>| time.map(|time| time.to_string());
        let times = [time(Some(self.issued_at)), time(self.expiration_time), time(self.not_before)];
        Parts {
            scheme: None,
            domain: self.domain,
            label: dialect.labels.first().copied().unwrap_or(dialect.namespace),
            account_chain: None,
            address: &address,
            blank_lines: if self.statement.is_some() { 1 } else { dialect.template.blank_lines() },
            statement: self.statement,
            fields: [
                Some(self.uri),
                Some("1"),
                Some(self.chain.reference()),
                Some(self.nonce),
                times[0].as_deref(),
                times[1].as_deref(),
                times[2].as_deref(),
                self.request_id,
            ],
            chain_id_last: false,
            resources: Some(self.resources).filter(|resources| !resources.is_empty()),
        }
        .write()
    }
}

// === impl Parts ===

impl Parts<'_> {
    pub(super) fn write(&self) -> String {
        let mut text = String::with_capacity(512);
        if let Some(scheme) = self.scheme {
            text.extend([scheme, "://"]);
        }
        text.extend([self.domain, HEADER_PHRASE, self.label, HEADER_END, "\n"]);
        if let Some(chain) = self.account_chain {
            text.extend([chain, ":"]);
        }
        text.push_str(self.address);
        // Every line from here on brings the line feed before it along. An empty line is that line feed alone;
        // an empty statement is one of the `blank_lines`.
        (0..self.blank_lines).for_each(|_| text.push('\n'));
        let has_fields = self.fields.iter().any(Option::is_some) || self.resources.is_some();
        if let Some(statement) = self.statement.filter(|statement| !statement.is_empty()) {
            text.extend(["\n", statement]);
            text.push_str(if has_fields { "\n" } else { "" });
        }
        let last = self.chain_id_last.then_some(Field::ChainId);
        for (field, value) in Field::TAGGED.into_iter().zip(self.fields) {
            if Some(field) != last {
                push_line(&mut text, field, value);
            }
        }
        if self.chain_id_last {
            push_line(&mut text, Field::ChainId, self.fields[2]);
        }
        if let Some(resources) = self.resources {
            text.extend(["\n", Field::Resources.tag()]);
            for resource in resources {
                text.extend(["\n- ", resource]);
            }
        }
        text
    }
}

fn push_line(text: &mut String, field: Field, value: Option<&str>) {
    if let Some(value) = value {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}{value}", field.tag());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siwx::dialect::Template;

    const EVM: Dialect = Dialect { template: Template::Erc4361, ..Dialect::plain("eip155", &["Ethereum", "Other"]) };
    const SOLANA: Dialect = Dialect { template: Template::Siws, ..Dialect::plain("solana", &["Solana"]) };

    fn draft(chain: &ChainId) -> Draft<'_> {
        Draft {
            domain: "a.example",
            address: "abc",
            chain,
            statement: None,
            uri: "https://a.example/",
            nonce: "0123456789abcdef0123456789abcdef",
            issued_at: UnixTime::from_millis(1_769_860_800_000),
            expiration_time: None,
            not_before: None,
            request_id: None,
            resources: &[],
        }
    }

    #[test]
    fn drafts_follow_the_template_of_their_family() {
        let chain = ChainId::parse("eip155:8453").expect("a chain");
        let expected = "a.example wants you to sign in with your Ethereum account:\nabc\n\n\n\
            URI: https://a.example/\nVersion: 1\nChain ID: 8453\nNonce: 0123456789abcdef0123456789abcdef\n\
            Issued At: 2026-01-31T12:00:00.000Z";
        assert_eq!(draft(&chain).write(&EVM), expected);

        let chain = ChainId::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").expect("a chain");
        let expected = "a.example wants you to sign in with your Solana account:\nabc\n\n\
            URI: https://a.example/\nVersion: 1\nChain ID: 5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\n\
            Nonce: 0123456789abcdef0123456789abcdef\nIssued At: 2026-01-31T12:00:00.000Z";
        assert_eq!(draft(&chain).write(&SOLANA), expected);
    }

    #[test]
    fn drafts_write_what_they_have() {
        let chain = ChainId::parse("eip155:1").expect("a chain");
        let full = Draft {
            statement: Some("Sign in"),
            expiration_time: Some(UnixTime::from_millis(1_769_861_100_001)),
            not_before: Some(UnixTime::from_millis(1_769_860_800_000)),
            request_id: Some(""),
            resources: &["a:b".to_owned(), "c:d".to_owned()],
            ..draft(&chain)
        };
        let expected = "a.example wants you to sign in with your Ethereum account:\nabc\n\nSign in\n\n\
            URI: https://a.example/\nVersion: 1\nChain ID: 1\nNonce: 0123456789abcdef0123456789abcdef\n\
            Issued At: 2026-01-31T12:00:00.000Z\nExpiration Time: 2026-01-31T12:05:00.001Z\n\
            Not Before: 2026-01-31T12:00:00.000Z\nRequest ID: \nResources:\n- a:b\n- c:d";
        assert_eq!(full.write(&EVM), expected);
    }
}
