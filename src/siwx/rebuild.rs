//! The signing text an x402 `sign-in-with-x` payload stands for (message.md section 7).
//!
//! 1. The payload carries fields, not the text; what was signed is this text, byte for byte, and the two
//!    families x402 knows lay it out differently.
//! 2. A member with a control character is refused first. Without that, a line feed in one member builds a
//!    text with a field the payload does not show.
//! 3. Nothing else is checked: read the result with [`super::Message::parse`].

use super::{
    Field,
    dialect::{Dialect, Template},
    error::{Code, MessageError, Shown},
    render::Parts,
};

/// The members of a decoded payload that make its text. A member that is absent or `null` is nothing.
#[derive(Debug, Clone, Default)]
pub struct Payload<'a> {
    /// `domain`
    pub domain: Option<&'a str>,
    /// `address`
    pub address: Option<&'a str>,
    /// `uri`
    pub uri: Option<&'a str>,
    /// `version`
    pub version: Option<&'a str>,
    /// `chainId`, a CAIP-2 id
    pub chain_id: Option<&'a str>,
    /// `nonce`
    pub nonce: Option<&'a str>,
    /// `issuedAt`
    pub issued_at: Option<&'a str>,
    /// `statement`
    pub statement: Option<&'a str>,
    /// `expirationTime`
    pub expiration_time: Option<&'a str>,
    /// `notBefore`
    pub not_before: Option<&'a str>,
    /// `requestId`
    pub request_id: Option<&'a str>,
    /// `resources`
    pub resources: Option<&'a [String]>,
}

/// Writes the text that the signer of a payload signed. An error's field is meant as a member of the payload;
/// [`Field::member`] has its name.
pub fn rebuild(payload: &Payload<'_>, dialects: &[Dialect]) -> Result<String, MessageError> {
    write(payload, dialects, signed_address)
}

/// Like [`rebuild`], but with the address as the payload spells it: x402's Python package signs an EVM address in
/// lower case as it is.
pub fn rebuild_as_spelled(payload: &Payload<'_>, dialects: &[Dialect]) -> Result<String, MessageError> {
    write(payload, dialects, |address, _| address.to_owned())
}

fn write(
    payload: &Payload<'_>,
    dialects: &[Dialect],
    spelled: fn(&str, &Dialect) -> String,
) -> Result<String, MessageError> {
    let domain = required(payload.domain, Field::Domain)?;
    let address = required(payload.address, Field::Account)?;
    let uri = required(payload.uri, Field::Uri)?;
    let version = required(payload.version, Field::Version)?;
    let chain_id = required(payload.chain_id, Field::ChainId)?;
    let nonce = required(payload.nonce, Field::Nonce)?;
    let issued_at = required(payload.issued_at, Field::IssuedAt)?;
    let statement = optional(payload.statement, Field::Statement)?;
    let expiration_time = optional(payload.expiration_time, Field::ExpirationTime)?;
    let not_before = optional(payload.not_before, Field::NotBefore)?;
    let request_id = optional(payload.request_id, Field::RequestId)?;
    for resource in payload.resources.unwrap_or_default() {
        refuse_controls(resource, Field::Resources)?;
    }
    let (dialect, reference) = split_chain_id(chain_id, dialects)?;
    // Whether empty members are written: x402's text for EVM keeps some of them, that for Solana none.
    let keeps_empty = dialect.template == Template::Erc4361;
    let statement = statement.filter(|text| keeps_empty || !text.is_empty());
    let resources = payload.resources.filter(|list| keeps_empty || !list.is_empty());
    let address = spelled(address, dialect);
    let mut fields = [
        Some(uri),
        Some(version),
        Some(reference),
        Some(nonce),
        Some(issued_at),
        expiration_time.filter(|text| !text.is_empty()),
        not_before.filter(|text| !text.is_empty()),
        request_id,
    ];
    if !keeps_empty {
        fields.iter_mut().for_each(|field| *field = field.filter(|text| !text.is_empty()));
    }
    let blank_lines = match statement {
        None => dialect.template.blank_lines(),
        Some("") => 3,
        Some(_) => 1,
    };
    let parts = Parts {
        scheme: None,
        domain,
        label: dialect.labels.first().copied().unwrap_or(dialect.namespace),
        account_chain: None,
        address: &address,
        blank_lines,
        statement,
        fields,
        chain_id_last: false,
        resources,
    };
    Ok(parts.write())
}

fn required(member: Option<&str>, field: Field) -> Result<&str, MessageError> {
    let Some(value) = member else {
        let sentence = format!("`{}` is missing", field.member());
        return Err(MessageError::about(field, Code::MissingField, sentence));
    };
    refuse_controls(value, field)?;
    Ok(value)
}

fn optional(member: Option<&str>, field: Field) -> Result<Option<&str>, MessageError> {
    if let Some(value) = member {
        refuse_controls(value, field)?;
    }
    Ok(member)
}

fn refuse_controls(value: &str, field: Field) -> Result<(), MessageError> {
    let Some(found) = value.bytes().find(u8::is_ascii_control) else {
        return Ok(());
    };
    let sentence = format!("character U+{found:04X} is not allowed in `{}`", field.member());
    Err(MessageError::about(field, Code::ForbiddenCharacter, sentence))
}

/// The family x402 writes texts for, and the reference as given.
fn split_chain_id<'a, 'd>(chain_id: &'a str, dialects: &'d [Dialect]) -> Result<(&'d Dialect, &'a str), MessageError> {
    let found = chain_id.split_once(':').and_then(|(namespace, reference)| {
        let dialect = dialects.iter().find(|dialect| dialect.namespace == namespace)?;
        (dialect.template != Template::Caip122).then_some((dialect, reference))
    });
    found.ok_or_else(|| {
        let known = dialects.iter().filter(|dialect| dialect.template != Template::Caip122);
        let known: Vec<String> = known.map(|dialect| format!("`{}:*`", dialect.namespace)).collect();
        let sentence = format!("`{}` is not accepted here; accepted are {}", Shown(chain_id), known.join(", "));
        MessageError::new(Code::NamespaceNotAllowed, sentence)
    })
}

/// The spelling x402 clients sign: canonical, unless the letters are mixed and so carry a checksum, which is
/// kept for the reader to check.
fn signed_address(address: &str, dialect: &Dialect) -> String {
    let digits = address.strip_prefix("0x").unwrap_or(address);
    let mixed = digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
    let canonical = if mixed { None } else { (dialect.address)(address).ok() };
    canonical.unwrap_or_else(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVM: Dialect = Dialect { template: Template::Erc4361, ..Dialect::plain("eip155", &["Ethereum"]) };
    const SOLANA: Dialect = Dialect { template: Template::Siws, ..Dialect::plain("solana", &["Solana"]) };
    const DIALECTS: &[Dialect] = &[EVM, SOLANA, Dialect::plain("tezos", &["Tezos"])];

    fn payload() -> Payload<'static> {
        Payload {
            domain: Some("a.example"),
            address: Some("abc"),
            uri: Some("https://a.example"),
            version: Some("1"),
            chain_id: Some("eip155:1"),
            nonce: Some("12345678"),
            issued_at: Some("2026-01-31T12:00:00Z"),
            ..Payload::default()
        }
    }

    #[test]
    fn refusals_name_the_member_and_come_in_order() {
        let list = ["a:b".to_owned(), "c\u{7f}".to_owned()];
        let rows = [
            (Payload { domain: None, address: Some("\n"), ..payload() }, "missing_field", "`domain` is missing"),
            (Payload { address: None, ..payload() }, "missing_field", "`address` is missing"),
            (Payload { issued_at: None, ..payload() }, "missing_field", "`issuedAt` is missing"),
            (
                Payload { domain: Some("a\0"), issued_at: None, ..payload() },
                "forbidden_character",
                "character U+0000 is not allowed in `domain`",
            ),
            (
                Payload { request_id: Some("a\nb"), resources: Some(&list), ..payload() },
                "forbidden_character",
                "character U+000A is not allowed in `requestId`",
            ),
            (
                Payload { resources: Some(&list), chain_id: Some("tezos:1"), ..payload() },
                "forbidden_character",
                "character U+007F is not allowed in `resources`",
            ),
            (
                Payload { chain_id: Some("tezos:1"), ..payload() },
                "namespace_not_allowed",
                "`tezos:1` is not accepted here; accepted are `eip155:*`, `solana:*`",
            ),
            (
                Payload { chain_id: Some("eip155"), ..payload() },
                "namespace_not_allowed",
                "`eip155` is not accepted here; accepted are `eip155:*`, `solana:*`",
            ),
        ];
        for (payload, code, sentence) in rows {
            let error = rebuild(&payload, DIALECTS).expect_err(sentence);
            assert_eq!((error.code().as_str(), error.to_string().as_str()), (code, sentence));
        }
    }

    #[test]
    fn empty_members_are_kept_or_dropped_as_the_family_has_it() {
        let empty = Payload {
            nonce: Some(""),
            statement: Some(""),
            expiration_time: Some(""),
            not_before: Some(""),
            request_id: Some(""),
            resources: Some(&[]),
            ..payload()
        };
        let evm = "a.example wants you to sign in with your Ethereum account:\nabc\n\n\n\nURI: https://a.example\n\
            Version: 1\nChain ID: 1\nNonce: \nIssued At: 2026-01-31T12:00:00Z\nRequest ID: \nResources:";
        assert_eq!(rebuild(&empty, DIALECTS).as_deref(), Ok(evm));
        let solana = "a.example wants you to sign in with your Solana account:\nabc\n\nURI: https://a.example\n\
            Version: 1\nIssued At: 2026-01-31T12:00:00Z";
        let empty = Payload { chain_id: Some("solana:"), ..empty };
        assert_eq!(rebuild(&empty, DIALECTS).as_deref(), Ok(solana));
    }
}
