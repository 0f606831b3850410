//! Signing texts, read (CAIP-122, ERC-4361, Sign In With Solana; message.md sections 2 to 5).
//!
//! 1. There is one grammar for all families of chains. The reader does not ask which dialect a text is in: it
//!    reads the union and reports what it saw. What is welcome is decided by `claims`.
//! 2. Steps have a fixed order and the first failure is the answer, so that one text always gives one code:
//!    bytes (stage 0), structure (stage 1, in `lines`), fields (stage 2, in `fields`).
//! 3. Every length has a limit, and limits count bytes.
//! 4. Nothing is verified here: a [`Message`] is what a text says.

use std::fmt;

use super::{
    Field,
    dialect::{Dialect, Template},
    error::{Code, MessageError},
    fields, grammar,
    lines::Lines,
};
use crate::{
    caip::{AccountId, ChainId},
    time::UnixTime,
};

/// A message as its signing text says it. Nothing about it is verified. `Debug` shows whose it is, not what it
/// says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The URI scheme before the domain, if the header has one.
    pub scheme: Option<String>,
    /// Who asks for the signature: a host with an optional port.
    pub domain: String,
    /// The words before ` account:`, such as `Ethereum`.
    pub label: String,
    /// The family of chains.
    pub namespace: String,
    /// The address as written, without a chain that may stand before it.
    pub address: String,
    /// The account in canonical spelling; absent if the text names no chain.
    pub account: Option<AccountId>,
    /// The chain in canonical spelling.
    pub chain: Option<ChainId>,
    /// The sentence for people. Absent and empty are two things.
    pub statement: Option<String>,
    /// The `URI: ` line.
    pub uri: Option<String>,
    /// The `Version: ` line: `1`.
    pub version: Option<String>,
    /// The `Chain ID: ` line as written.
    pub chain_id: Option<String>,
    /// The `Nonce: ` line.
    pub nonce: Option<String>,
    /// The `Issued At: ` line.
    pub issued_at: Option<Timestamp>,
    /// The `Expiration Time: ` line.
    pub expiration_time: Option<Timestamp>,
    /// The `Not Before: ` line.
    pub not_before: Option<Timestamp>,
    /// The `Request ID: ` line. Absent and empty are two things.
    pub request_id: Option<String>,
    /// The entries below `Resources:`. Absent and empty are two things.
    pub resources: Option<Vec<String>>,
    /// How many empty lines follow the account line, 0 to 3.
    pub blank_lines: u8,
    /// Whether Chain ID stands after all other fields, as the template of CAIP-122 prints it.
    pub chain_id_last: bool,
    /// What is worth a log line or a metric, in the order of message.md section 4.
    pub warnings: Vec<Warning>,
    /// The chain before the address on the account line, as written there.
    pub(super) account_chain: Option<String>,
    canonical_address: String,
}

/// A time as written, and the instant it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// As written.
    pub text: String,
    /// The instant, cut to milliseconds.
    pub instant: UnixTime,
}

/// What a text has that careful writers avoid. Never a reason to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// The address is not in its canonical spelling.
    AddressNotChecksummed,
    /// The account line is a CAIP-10 id.
    AccountIsCaip10,
    /// Chain ID is the last field before the resources.
    ChainIdLast,
    /// One empty line where ERC-4361 has two.
    SingleBlankLine,
    /// The statement holds characters outside ERC-4361's.
    StatementCharset,
}

/// How to read: limits and character sets that an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The most bytes a text may have.
    pub message_bytes_max: usize,
    /// The characters of a nonce.
    pub nonce_charset: NonceCharset,
    /// The characters of a statement.
    pub statement_charset: StatementCharset,
}

/// The characters a nonce may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceCharset {
    /// Letters and digits, as ERC-4361 has it.
    Alnum,
    /// Also `. _ ~ + / = : -`, for UUIDs, base64 and base64url.
    Token,
}

/// The characters a statement may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementCharset {
    /// Printable ASCII.
    Ascii,
    /// Any character that no text may be without harm.
    Unicode,
}

/// How a family is read that no row of the table knows.
static UNKNOWN: Dialect = Dialect::plain("", &[]);

// === impl Message ===

impl Message {
    /// Reads a signing text.
    ///
    /// `dialects` are the families of chains whose labels, addresses and chain ids are known; a text of another
    /// family is read by CAIP-2 and CAIP-10 alone.
    pub fn parse(text: &[u8], dialects: &[Dialect], reading: &Reading) -> Result<Self, MessageError> {
        let text = read_text(text, reading)?;
        let lines = Lines::of(text)?;
        Self::read_lines(&lines, dialects, reading)
    }

    /// The address in the canonical spelling of its family: EIP-55 for EVM chains, as written for most others.
    pub fn canonical_address(&self) -> &str {
        &self.canonical_address
    }

    /// Stage 2. The steps are numbered as in message.md section 3.
    fn read_lines(lines: &Lines<'_>, dialects: &[Dialect], reading: &Reading) -> Result<Self, MessageError> {
        // 1 and 2: header, account and chain id by themselves.
        let (scheme, domain) = fields::read_origin(lines.origin)?;
        fields::read_label(lines.label)?;
        let account = fields::read_account(lines.account)?;
        let chain_id = lines.field(Field::ChainId);
        let chain_id_namespace =
            chain_id.map(|line| fields::read_chain_id_namespace(line, dialects)).transpose()?.flatten();

        // 3 and 4: which family they agree on, and the address in it.
        let namespace = fields::agree_on_namespace(lines.label, &account, chain_id_namespace, dialects)?;
        let dialect = dialects.iter().find(|dialect| dialect.namespace == namespace).unwrap_or(&UNKNOWN);
        let account_reference = account.canonical_reference(dialect)?;
        let canonical_address = account.canonical_address(namespace, dialect)?;

        // 5: the statement.
        if let Some(statement) = lines.statement {
            fields::check_statement(statement, reading)?;
        }

        // 6: each field in its order. What is wrong with one comes before the absence of the next.
        let field = |field| fields::require(lines.field(field), field, dialect.template);
        let time = |of| field(of)?.map(|line| fields::read_time(line, of)).transpose();
        let uri = field(Field::Uri)?.map(|line| fields::read_uri(line, Field::Uri)).transpose()?;
        let version = field(Field::Version)?.map(fields::read_version).transpose()?;
        field(Field::ChainId)?;
        let chain = fields::read_chain(chain_id, account_reference, &canonical_address, namespace, dialect)?;
        let nonce = field(Field::Nonce)?.map(|line| fields::read_nonce(line, reading)).transpose()?;
        let issued_at = time(Field::IssuedAt)?;
        let expiration_time = time(Field::ExpirationTime)?;
        let not_before = time(Field::NotBefore)?;
        let request_id = field(Field::RequestId)?.map(fields::read_request_id).transpose()?;

        // 7: the resources.
        let resources = lines.resources.as_deref().map(fields::read_resources).transpose()?;

        let account_id = chain.as_ref().map(|chain| fields::read_account_id(chain, &canonical_address)).transpose()?;
        let warnings = [
            (Warning::AddressNotChecksummed, canonical_address != account.address),
            (Warning::AccountIsCaip10, account.chain.is_some()),
            (Warning::ChainIdLast, lines.chain_id_last),
            (Warning::SingleBlankLine, lacks_blank_line(lines, dialect.template)),
            (Warning::StatementCharset, lines.statement.is_some_and(|text| !grammar::is_erc4361_statement(text))),
        ];
        Ok(Self {
            scheme: scheme.map(str::to_owned),
            domain: domain.to_owned(),
            label: lines.label.to_owned(),
            namespace: namespace.to_owned(),
            address: account.address.to_owned(),
            account: account_id,
            chain,
            statement: lines.statement.map(str::to_owned),
            uri,
            version,
            chain_id: chain_id.map(|line| line.text.to_owned()),
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
            blank_lines: lines.blank_lines,
            chain_id_last: lines.chain_id_last,
            warnings: warnings.into_iter().filter(|(_, seen)| *seen).map(|(warning, _)| warning).collect(),
            account_chain: account.chain.map(|chain| format!("{}:{}", chain.namespace, chain.reference)),
            canonical_address,
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("domain", &self.domain)
            .field("namespace", &self.namespace)
            .field("address", &self.canonical_address)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

// === impl Warning ===

impl Warning {
    /// Every warning, for metrics.
    pub const ALL: &[Self] = &[
        Self::AddressNotChecksummed,
        Self::AccountIsCaip10,
        Self::ChainIdLast,
        Self::SingleBlankLine,
        Self::StatementCharset,
    ];

    /// Its name in logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressNotChecksummed => "address_not_checksummed",
            Self::AccountIsCaip10 => "account_is_caip10",
            Self::ChainIdLast => "chain_id_last",
            Self::SingleBlankLine => "single_blank_line",
            Self::StatementCharset => "statement_charset",
        }
    }
}

// === impl Reading ===

impl Default for Reading {
    fn default() -> Self {
        // Base64 of 8 KiB with a signature beside it stays under the 16 KiB a credential may have.
        Self { message_bytes_max: 8192, nonce_charset: NonceCharset::Alnum, statement_charset: StatementCharset::Ascii }
    }
}

fn lacks_blank_line(lines: &Lines<'_>, template: Template) -> bool {
    template == Template::Erc4361 && lines.statement.is_none() && lines.blank_lines == 1
}

// === Stage 0: bytes ===

fn read_text<'a>(bytes: &'a [u8], reading: &Reading) -> Result<&'a str, MessageError> {
    if bytes.is_empty() {
        return Err(MessageError::new(Code::EmptyMessage, "the message is empty"));
    }
    if bytes.len() > reading.message_bytes_max {
        let sentence = format!("the message has {} bytes, the limit is {}", bytes.len(), reading.message_bytes_max);
        return Err(MessageError::new(Code::MessageTooLarge, sentence));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let sentence = format!("the message is not UTF-8 at byte {}", error.valid_up_to());
        MessageError::new(Code::InvalidUtf8, sentence)
    })?;
    // Nearly all texts are ASCII throughout; bytes are judged much faster than characters.
    let plain = bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
    if !plain && let Some((at, found)) = text.char_indices().find(|(_, character)| is_forbidden(*character)) {
        return Err(forbidden_character(found, &text[..at]));
    }
    if text.ends_with('\n') {
        let sentence = "the message ends with a line feed; the last field must end it";
        return Err(MessageError::new(Code::TrailingNewline, sentence));
    }
    Ok(text)
}

/// Characters that change what a terminal or wallet shows: controls, and what is invisible or turns the
/// direction of writing. CR is among them and has a code of its own.
fn is_forbidden(character: char) -> bool {
    match character {
        '\n' => false,
        ..'\u{20}' => true,
        '\u{20}'..='\u{7e}' => false,
        '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => true,
        _ => false,
    }
}

fn forbidden_character(found: char, before: &str) -> MessageError {
    let line = before.matches('\n').count() + 1;
    if found == '\r' {
        let sentence = format!("line {line} ends with, or holds, a carriage return; lines end with a line feed alone");
        return MessageError::new(Code::CarriageReturn, sentence);
    }
    let sentence = format!("character U+{:04X} on line {line} is not allowed in a message", u32::from(found));
    MessageError::new(Code::ForbiddenCharacter, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECTS: &[Dialect] = &[Dialect::plain("tezos", &["Tezos"]), Dialect::plain("sui", &["Sui"])];

    /// A good text of 182 bytes to change in one place.
    const TEXT: &str = "a.example wants you to sign in with your Tezos account:\nabc\n\nURI: https://a.example\n\
        Version: 1\nChain ID: NetX\nNonce: 12345678\nIssued At: 2026-01-31T12:00:00Z\nRequest ID: r\nResources:\n- a:b";

    #[test]
    fn the_text_that_is_changed_below_is_good() {
        let message = Message::parse(TEXT.as_bytes(), DIALECTS, &Reading::default()).expect("a message");
        assert_eq!(message.account.as_ref().map(AccountId::as_str), Some("tezos:NetX:abc"));
        assert_eq!(message.canonical_address(), "abc");
        assert_eq!(message.warnings, []);
    }

    #[test]
    fn refusals_say_what_was_expected_and_found() {
        let rows = [
            (
                "a.example wants",
                "a@b wants",
                "expected a host name with an optional port before ` wants you`, found `a@b`",
            ),
            ("a.example wants", "1a://b wants", "expected a URI scheme before `://` on line 1, found `1a`"),
            ("Tezos", "Tezos!", "expected the name of a chain family before ` account:`, found `Tezos!`"),
            ("NetX", "sui:NetX", "the header says `tezos`, the chain id says `sui`"),
            ("\nabc\n", "\nsui:NetX:abc\n", "the header says `tezos`, the account says `sui`"),
            ("Tezos", "Tazos", "cannot tell the chain family; write the chain id as `namespace:reference`"),
            ("\nabc\n", "\na_c\n", "`a_c` is not an address of `tezos`"),
            ("\nabc\n", "\na:c\n", "expected an address or `namespace:reference:address` on line 2, found `a:c`"),
            ("\nabc\n", "\ntezos:NetY:abc\n", "the account is on `tezos:NetY`, the chain id is `tezos:NetX`"),
            ("NetX", "Net.X", "expected a chain id of `tezos` on line 6, found `Net.X`"),
            ("NetX", "tezos:", "expected `namespace:reference` on line 6, found `tezos:`"),
            (
                "https://a.example",
                "a.example",
                "expected a URI of RFC 3986 with its scheme on line 4, found `a.example`",
            ),
            ("URI: https://a.example\n", "", "`URI: ` is missing"),
            ("Version: 1", "Version: 2", "expected version `1` on line 5, found `2`"),
            ("12345678", "1234567", "expected 8 to 128 letters and digits on line 7, found `1234567`"),
            (
                "2026-01-31T12:00:00Z",
                "2026-02-31T12:00:00Z",
                "expected an RFC 3339 time such as `2026-01-31T12:00:00Z` on line 8, found `2026-02-31T12:00:00Z`",
            ),
            ("ID: r", "ID: a/b", "expected path characters of RFC 3986 on line 9, found `a/b`"),
            ("- a:b", "- b", "expected a URI of RFC 3986 with its scheme on line 11, found `b`"),
            ("12345678", "1234\u{200b}5678", "character U+200B on line 7 is not allowed in a message"),
            ("NetX", "NetX\r", "line 6 ends with, or holds, a carriage return; lines end with a line feed alone"),
            ("- a:b", "- a:b\n", "the message ends with a line feed; the last field must end it"),
        ];
        for (found, replacement, sentence) in rows {
            assert_eq!(TEXT.matches(found).count(), 1, "{found}");
            let text = TEXT.replace(found, replacement);
            let error = Message::parse(text.as_bytes(), DIALECTS, &Reading::default()).expect_err(replacement);
            assert_eq!(error.to_string(), sentence, "{replacement}");
        }
    }

    #[test]
    fn limits_count_bytes_and_are_exact() {
        let of = |length: usize| "x".repeat(length);
        let too_long = |field: Field| Some((Code::FieldTooLong, Some(field)));
        let resources = |count: usize| vec!["a:b"; count].join("\n- ");
        let rows = [
            ("label", "Tezos", of(64), Some((Code::NamespaceUndetermined, None))),
            ("label and one more", "Tezos", of(65), too_long(Field::Label)),
            ("address", "abc", of(128), None),
            ("address and one more", "abc", of(129), Some((Code::InvalidAccount, None))),
            ("account line and one more", "abc", of(171), too_long(Field::Account)),
            ("chain id", "NetX", format!("tezos:{}", of(58)), Some((Code::InvalidChainId, None))),
            ("chain id and one more", "NetX", format!("tezos:{}", of(59)), too_long(Field::ChainId)),
            ("statement", "\n\nURI", format!("\n\n{}\n\nURI", of(2048)), None),
            ("statement and one more", "\n\nURI", format!("\n\n{}\n\nURI", of(2049)), too_long(Field::Statement)),
            ("uri", "https://a.example", format!("a:{}", of(2046)), None),
            ("uri and one more", "https://a.example", format!("a:{}", of(2047)), too_long(Field::Uri)),
            ("nonce", "12345678", of(128), None),
            ("nonce and one more", "12345678", of(129), too_long(Field::Nonce)),
            ("request id", "ID: r", format!("ID: {}", of(256)), None),
            ("request id and one more", "ID: r", format!("ID: {}", of(257)), too_long(Field::RequestId)),
            ("resource", "a:b", format!("a:{}", of(2046)), None),
            ("resource and one more", "a:b", format!("a:{}", of(2047)), too_long(Field::Resources)),
            ("resources", "a:b", resources(32), None),
            ("resources and one more", "a:b", resources(33), Some((Code::TooManyResources, None))),
        ];
        for (name, found, replacement, expected) in rows {
            assert_eq!(TEXT.matches(found).count(), 1, "{name}");
            let text = TEXT.replace(found, &replacement);
            let outcome = Message::parse(text.as_bytes(), DIALECTS, &Reading::default());
            assert_eq!(outcome.err().map(|error| (error.code(), error.field())), expected, "{name}");
        }
    }

    #[test]
    fn the_size_of_a_text_is_checked_before_its_bytes() {
        let reading = Reading { message_bytes_max: TEXT.len(), ..Reading::default() };
        assert!(Message::parse(TEXT.as_bytes(), DIALECTS, &reading).is_ok());
        let longer = [TEXT.as_bytes(), b"\xff"].concat();
        let error = Message::parse(&longer, DIALECTS, &reading).expect_err("too large");
        let sentence = format!("the message has {} bytes, the limit is {}", TEXT.len() + 1, TEXT.len());
        assert_eq!((error.code(), error.to_string()), (Code::MessageTooLarge, sentence));
        let error = Message::parse(&longer, DIALECTS, &Reading::default()).expect_err("no UTF-8");
        let sentence = format!("the message is not UTF-8 at byte {}", TEXT.len());
        assert_eq!((error.code(), error.to_string()), (Code::InvalidUtf8, sentence));
    }

    #[test]
    fn every_forbidden_character_and_its_neighbours() {
        let forbidden = [
            '\0'..='\u{9}',
            '\u{b}'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{61c}'..='\u{61c}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{feff}'..='\u{feff}',
        ];
        for character in '\0'..=char::MAX {
            let expected = forbidden.iter().any(|range| range.contains(&character));
            assert_eq!(is_forbidden(character), expected, "U+{:04X}", u32::from(character));
        }
    }
}
