//! The parts of a signing text, each by itself and each against the others: stage 2 of reading (message.md
//! section 3).
//!
//! Every function here reads one part and says why it is refused; their order is `message`'s. A length is
//! checked before a form.

use super::{
    Field,
    dialect::{AddressError, Dialect, Template},
    error::{Code, MessageError, Shown},
    grammar,
    lines::{HEADER_PHRASE, Line},
    message::{NonceCharset, Reading, StatementCharset, Timestamp},
    origin,
    uri::Uri,
};
use crate::{
    caip::{self, AccountId, ChainId},
    time::UnixTime,
};

/// The label of a chain family; display names of networks are far shorter.
const LABEL_BYTES_MAX: usize = 64;
/// The longest CAIP-10 id: 8 + 1 + 32 + 1 + 128.
const ACCOUNT_BYTES_MAX: usize = 170;
/// A full Solana genesis hash with its prefix has 51.
const CHAIN_ID_BYTES_MAX: usize = 64;
/// Room for recaps (ERC-5573).
const STATEMENT_BYTES_MAX: usize = 2048;
/// Room for page URLs with query strings.
const URI_BYTES_MAX: usize = 2048;
const NONCE_BYTES_MAX: usize = 128;
const REQUEST_ID_BYTES_MAX: usize = 256;
const RESOURCES_MAX: usize = 32;

/// The account line, taken apart.
pub(super) struct AccountLine<'a> {
    whole: &'a str,
    pub(super) chain: Option<Caip2<'a>>,
    pub(super) address: &'a str,
}

/// A CAIP-2 id as written.
#[derive(Clone, Copy)]
pub(super) struct Caip2<'a> {
    pub(super) namespace: &'a str,
    pub(super) reference: &'a str,
}

pub(super) fn read_origin(text: &str) -> Result<(Option<&str>, &str), MessageError> {
    let (scheme, domain) = match text.split_once("://") {
        Some((scheme, domain)) => (Some(scheme), domain),
        None => (None, text),
    };
    if let Some(scheme) = scheme.filter(|scheme| !grammar::is_scheme(scheme)) {
        let sentence = format!("expected a URI scheme before `://` on line 1, found `{}`", Shown(scheme));
        return Err(MessageError::new(Code::InvalidScheme, sentence));
    }
    if !origin::is_domain(domain) {
        let sentence =
            format!("expected a host name with an optional port before ` wants you`, found `{}`", Shown(domain));
        return Err(MessageError::new(Code::InvalidDomain, sentence));
    }
    Ok((scheme, domain))
}

pub(super) fn read_label(text: &str) -> Result<(), MessageError> {
    check_length(text, Field::Label, LABEL_BYTES_MAX)?;
    if !grammar::is_label(text) {
        let sentence = format!("expected the name of a chain family before ` account:`, found `{}`", Shown(text));
        return Err(MessageError::new(Code::InvalidLabel, sentence));
    }
    Ok(())
}

pub(super) fn read_account(line: &str) -> Result<AccountLine<'_>, MessageError> {
    check_length(line, Field::Account, ACCOUNT_BYTES_MAX)?;
    if !line.contains(':') {
        return Ok(AccountLine { whole: line, chain: None, address: line });
    }
    let parts = line.split_once(':').and_then(|(namespace, rest)| {
        let (reference, address) = rest.split_once(':')?;
        let good = caip::is_namespace(namespace) && caip::is_reference(reference) && caip::is_address(address);
        good.then_some((Caip2 { namespace, reference }, address))
    });
    let Some((chain, address)) = parts else {
        let sentence =
            format!("expected an address or `namespace:reference:address` on line 2, found `{}`", Shown(line));
        return Err(MessageError::new(Code::InvalidAccount, sentence));
    };
    Ok(AccountLine { whole: line, chain: Some(chain), address })
}

impl AccountLine<'_> {
    /// The canonical reference of the chain on this line.
    pub(super) fn canonical_reference(&self, dialect: &Dialect) -> Result<Option<String>, MessageError> {
        let Some(chain) = self.chain else {
            return Ok(None);
        };
        let Some(reference) = (dialect.reference)(chain.reference) else {
            let sentence = format!("the account `{}` is on no chain of `{}`", Shown(self.whole), chain.namespace);
            return Err(MessageError::new(Code::InvalidAccount, sentence));
        };
        Ok(Some(reference))
    }

    pub(super) fn canonical_address(&self, namespace: &str, dialect: &Dialect) -> Result<String, MessageError> {
        (dialect.address)(self.address).map_err(|error| match error {
            AddressError::Checksum => {
                let sentence = format!("the checksum of address `{}` is wrong", Shown(self.address));
                MessageError::new(Code::AddressChecksum, sentence)
            }
            AddressError::Form => {
                let sentence = format!("`{}` is not an address of `{namespace}`", Shown(self.address));
                MessageError::new(Code::InvalidAccount, sentence)
            }
        })
    }
}

/// The namespace a Chain ID line names, if it is CAIP-2, or if the family of that namespace knows a reference
/// that is longer than CAIP-2 allows, as Solana does.
pub(super) fn read_chain_id_namespace<'a>(
    line: Line<'a>,
    dialects: &[Dialect],
) -> Result<Option<&'a str>, MessageError> {
    check_length(line.text, Field::ChainId, CHAIN_ID_BYTES_MAX)?;
    let Some((namespace, reference)) = line.text.split_once(':') else {
        return Ok(None);
    };
    let known = || {
        let dialect = dialects.iter().find(|dialect| dialect.namespace == namespace);
        dialect.is_some_and(|dialect| (dialect.reference)(reference).is_some())
    };
    if !caip::is_namespace(namespace) || !(caip::is_reference(reference) || known()) {
        return Err(invalid_chain_id(line, "`namespace:reference`"));
    }
    Ok(Some(namespace))
}

/// Step 3: label, account and chain id must name the same family; if none names one, the address may.
pub(super) fn agree_on_namespace<'a>(
    label: &str,
    account: &AccountLine<'a>,
    chain_id: Option<&'a str>,
    dialects: &'a [Dialect],
) -> Result<&'a str, MessageError> {
    let by_label = dialects.iter().find(|dialect| dialect.labels.contains(&label)).map(|dialect| dialect.namespace);
    let by_account = account.chain.map(|chain| chain.namespace);
    let says = [("the header", by_label), ("the account", by_account), ("the chain id", chain_id)];
    let mut named = says.into_iter().filter_map(|(part, namespace)| Some((part, namespace?)));
    if let Some((first, agreed)) = named.next() {
        if let Some((part, other)) = named.find(|(_, namespace)| *namespace != agreed) {
            let sentence = format!("{first} says `{}`, {part} says `{}`", Shown(agreed), Shown(other));
            return Err(MessageError::new(Code::NamespaceMismatch, sentence));
        }
        return Ok(agreed);
    }
    let recognised = dialects.iter().find(|dialect| (dialect.recognises)(account.address));
    recognised.map(|dialect| dialect.namespace).ok_or_else(|| {
        let sentence = "cannot tell the chain family; write the chain id as `namespace:reference`";
        MessageError::new(Code::NamespaceUndetermined, sentence)
    })
}

pub(super) fn check_statement(text: &str, reading: &Reading) -> Result<(), MessageError> {
    check_length(text, Field::Statement, STATEMENT_BYTES_MAX)?;
    let charset = match reading.statement_charset {
        StatementCharset::Ascii => grammar::is_printable_ascii(text),
        // What no text may hold was refused in stage 0.
        StatementCharset::Unicode => true,
    };
    if !charset || text.contains(HEADER_PHRASE) {
        let sentence = "the statement holds a character outside printable ASCII, or a second header";
        return Err(MessageError::new(Code::InvalidStatement, sentence));
    }
    Ok(())
}

pub(super) fn require<'a>(
    line: Option<Line<'a>>,
    field: Field,
    template: Template,
) -> Result<Option<Line<'a>>, MessageError> {
    if line.is_none() && template.required().contains(&field) {
        return Err(missing_field(field));
    }
    Ok(line)
}

fn missing_field(field: Field) -> MessageError {
    MessageError::about(field, Code::MissingField, format!("`{}` is missing", field.tag()))
}

fn check_length(text: &str, field: Field, bytes_max: usize) -> Result<(), MessageError> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    let sentence = format!("`{}` has {} bytes, the limit is {bytes_max}", field.tag(), text.len());
    Err(MessageError::about(field, Code::FieldTooLong, sentence))
}

pub(super) fn read_uri(line: Line<'_>, field: Field) -> Result<String, MessageError> {
    check_length(line.text, field, URI_BYTES_MAX)?;
    if Uri::parse(line.text).is_none() {
        let code = if field == Field::Resources { Code::InvalidResource } else { Code::InvalidUri };
        return Err(unexpected(code, "a URI of RFC 3986 with its scheme", line));
    }
    Ok(line.text.to_owned())
}

pub(super) fn read_version(line: Line<'_>) -> Result<String, MessageError> {
    if line.text != "1" {
        return Err(unexpected(Code::InvalidVersion, "version `1`", line));
    }
    Ok(line.text.to_owned())
}

/// The chain of a text in canonical spelling, from its Chain ID line and its account line; nothing if neither
/// names one. The two must not disagree, and the address must be able to exist there.
pub(super) fn read_chain(
    chain_id: Option<Line<'_>>,
    account_reference: Option<String>,
    canonical_address: &str,
    namespace: &str,
    dialect: &Dialect,
) -> Result<Option<ChainId>, MessageError> {
    let reference = chain_id.map(|line| read_reference(line, namespace, dialect)).transpose()?;
    if let (Some(chain_id), Some(account)) = (&reference, &account_reference)
        && chain_id != account
    {
        let sentence = format!("the account is on `{namespace}:{account}`, the chain id is `{namespace}:{chain_id}`");
        return Err(MessageError::new(Code::ChainMismatch, sentence));
    }
    let Some(reference) = reference.or(account_reference) else {
        return Ok(None);
    };
    if !(dialect.on_chain)(canonical_address, &reference) {
        let sentence =
            format!("the address `{}` is of another chain than `{namespace}:{reference}`", Shown(canonical_address));
        return Err(MessageError::new(Code::ChainMismatch, sentence));
    }
    let chain = ChainId::new(namespace, &reference);
    chain.map(Some).map_err(|error| MessageError::new(Code::InvalidChainId, error.to_string()))
}

/// The canonical reference of a Chain ID line whose namespace, if it has one, is known to be `namespace`.
fn read_reference(line: Line<'_>, namespace: &str, dialect: &Dialect) -> Result<String, MessageError> {
    let written = line.text.split_once(':').map_or(line.text, |(_, reference)| reference);
    (dialect.reference)(written).ok_or_else(|| invalid_chain_id(line, &format!("a chain id of `{namespace}`")))
}

/// The account in canonical spelling.
pub(super) fn read_account_id(chain: &ChainId, canonical_address: &str) -> Result<AccountId, MessageError> {
    AccountId::new(chain, canonical_address).map_err(|error| MessageError::new(Code::InvalidAccount, error.to_string()))
}

pub(super) fn read_nonce(line: Line<'_>, reading: &Reading) -> Result<String, MessageError> {
    check_length(line.text, Field::Nonce, NONCE_BYTES_MAX)?;
    let (good, expected) = match reading.nonce_charset {
        NonceCharset::Alnum => (grammar::is_alnum_nonce(line.text), "8 to 128 letters and digits"),
        NonceCharset::Token => (grammar::is_token_nonce(line.text), "8 to 128 letters, digits and `._~+/=:-`"),
    };
    if !good {
        return Err(unexpected(Code::InvalidNonce, expected, line));
    }
    Ok(line.text.to_owned())
}

pub(super) fn read_time(line: Line<'_>, field: Field) -> Result<Timestamp, MessageError> {
    let Some(instant) = UnixTime::parse_rfc3339(line.text) else {
        let sentence = format!(
            "expected an RFC 3339 time such as `2026-01-31T12:00:00Z` on line {}, found `{}`",
            line.number,
            Shown(line.text)
        );
        return Err(MessageError::about(field, Code::InvalidTimestamp, sentence));
    };
    Ok(Timestamp { text: line.text.to_owned(), instant })
}

pub(super) fn read_request_id(line: Line<'_>) -> Result<String, MessageError> {
    check_length(line.text, Field::RequestId, REQUEST_ID_BYTES_MAX)?;
    if !grammar::is_request_id(line.text) {
        return Err(unexpected(Code::InvalidRequestId, "path characters of RFC 3986", line));
    }
    Ok(line.text.to_owned())
}

pub(super) fn read_resources(entries: &[Line<'_>]) -> Result<Vec<String>, MessageError> {
    if entries.len() > RESOURCES_MAX {
        let sentence = format!("the message lists {} resources, the limit is {RESOURCES_MAX}", entries.len());
        return Err(MessageError::new(Code::TooManyResources, sentence));
    }
    entries.iter().map(|entry| read_uri(*entry, Field::Resources)).collect()
}

fn invalid_chain_id(line: Line<'_>, expected: &str) -> MessageError {
    unexpected(Code::InvalidChainId, expected, line)
}

fn unexpected(code: Code, expected: &str, line: Line<'_>) -> MessageError {
    let sentence = format!("expected {expected} on line {}, found `{}`", line.number, Shown(line.text));
    MessageError::new(code, sentence)
}
