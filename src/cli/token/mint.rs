//! `token mint`: a message written as message.md section 7 has it, signed by a wallet of a key file.
//!
//! Every token has a nonce of its own, so that any number of them are as many entries of the gateway's caches. The
//! text is read back before it is signed: this program signs nothing that it would refuse to read.
//!
//! With `--format sign-in-with-x` the message is that of a challenge instead; `sign_in` has it.

use std::{
    io::{self, BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use data_encoding::BASE64;
use thiserror::Error;

use super::{SCHEME, sign_in::Invitation};
use crate::{
    app::SystemClock,
    caip::{CaipError, ChainId},
    chain::DIALECTS,
    cli::{
        console::{Failure, say},
        input::{Source, widest_reading},
        values::duration,
        wallet::{AddressType, KEY_FILE_BYTES_MAX, Wallet, WalletError, nonce},
    },
    secret::Secret,
    siwx::{Message, MessageError, dialect::Dialect, render::Draft},
    time::{Clock as _, UnixTime},
};

/// The environment variable that may hold the key, in the form of a key file.
const KEY_VARIABLE: &str = "SIWX_KEY";

/// Bytes of a challenge at most. They have 3 kB; a header may have 16, and bodies are no longer.
const CHALLENGE_BYTES_MAX: u64 = 64 * 1024;

/// Arguments of `token mint`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "The key is never an argument, which every user of the machine could read: it is in a \
    file, on standard input (-),\nor in the environment variable SIWX_KEY. A key in hex is an EVM one; with `tron:` \
    before it, it is a Tron one.")]
pub(in crate::cli) struct Arguments {
    /// The key file, as keygen writes it; `-` is standard input [default: the variable SIWX_KEY]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// For whom the message is: the host of the gateway, with its port if it has one
    #[arg(long, value_name = "HOST")]
    domain: String,
    /// The URI of the message, in most cases the gateway's origin
    #[arg(long, value_name = "URI")]
    uri: String,
    /// The chain as a CAIP-2 id [default: the main one of the key's family]
    #[arg(long, value_name = "CAIP2")]
    chain: Option<String>,
    /// The type of the address, for a Bitcoin key [default: p2wpkh]
    #[arg(long, value_enum)]
    address_type: Option<AddressType>,
    /// How long the token is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, conflicts_with = "challenge")]
    expires: Duration,
    /// A URI of the list of resources; may be given several times
    #[arg(long = "resource", value_name = "URI", conflicts_with = "challenge")]
    resources: Vec<String>,
    /// The sentence for people
    #[arg(long, value_name = "TEXT", conflicts_with = "challenge")]
    statement: Option<String>,
    /// How many tokens to print, one a line
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "challenge")]
    count: u64,
    /// The form of the credential
    #[arg(long, value_enum, default_value_t = Format::Siwx)]
    format: Format,
    /// With `--format sign-in-with-x`: the body of a 402, or the value of its PAYMENT-REQUIRED header; `-` is standard
    /// input. It must be for this domain and URI
    #[arg(long, value_name = "FILE")]
    challenge: Option<PathBuf>,
}

/// A form of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// `Authorization: SIWX base64(message).signature`
    Siwx,
    /// The value of the header `SIGN-IN-WITH-X`, as x402 has it; good once
    SignInWithX,
}

/// What a token is to say.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Order<'a> {
    /// For whom.
    pub(in crate::cli) domain: &'a str,
    /// The `URI: ` line.
    pub(in crate::cli) uri: &'a str,
    /// The chain; nothing: the main one of the wallet's family.
    pub(in crate::cli) chain: Option<&'a str>,
    /// The sentence for people.
    pub(in crate::cli) statement: Option<&'a str>,
    /// URIs.
    pub(in crate::cli) resources: &'a [String],
    /// From now until it ends.
    pub(in crate::cli) lifetime: Duration,
}

/// Why a token is not minted.
#[derive(Debug, Error)]
pub(in crate::cli) enum MintError {
    /// The chain is no CAIP-2 id.
    #[error(transparent)]
    Chain(#[from] CaipError),
    /// The chain is not one that the wallet's family has.
    #[error("expected a chain of the namespace `{expected}`, as the key is, found `{found}`")]
    Family {
        /// The wallet's namespace.
        expected: &'static str,
        /// The chain.
        found: ChainId,
    },
    /// The chain is of the wallet's family, and its address is not one there.
    #[error("expected a chain that the key has its address on, such as `{expected}`, found `{found}`")]
    Network {
        /// The chain that is meant where none is named.
        expected: ChainId,
        /// The chain.
        found: ChainId,
    },
    /// The text would not be read.
    #[error("this message would be refused by whoever reads it: {0}")]
    Message(#[from] MessageError),
    /// The text would be read as something else, such as a statement with a line feed in it.
    #[error("this message would be read as another one; is there a line feed in one of its parts?")]
    Reading,
    /// The wallet does not sign.
    #[error(transparent)]
    Wallet(#[from] WalletError),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let challenge = match (arguments.format, &arguments.challenge) {
        (Format::SignInWithX, Some(path)) => Some(Source::named(path)),
        (Format::Siwx, None) => None,
        _ => return Err(Failure::usage("`--format sign-in-with-x` and `--challenge FILE` go together")),
    };
    let wallet = Wallet::read(key(arguments)?.expose()).map_err(Failure::failed)?;
    let wallet = wallet.with_address_type(arguments.address_type).map_err(Failure::usage)?;
    if let Some(challenge) = challenge {
        let invitation = Invitation::read(&challenge.read_text(CHALLENGE_BYTES_MAX)?).map_err(Failure::failed)?;
        let site = (arguments.domain.as_str(), arguments.uri.as_str());
        say(invitation.accept(&wallet, site, arguments.chain.as_deref()).map_err(Failure::failed)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let order = Order {
        domain: &arguments.domain,
        uri: &arguments.uri,
        chain: arguments.chain.as_deref(),
        statement: arguments.statement.as_deref(),
        resources: &arguments.resources,
        lifetime: arguments.expires,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for _ in 0..arguments.count {
        let token = mint(&wallet, &order, SystemClock.now()).map_err(Failure::usage)?;
        writeln!(out, "{token}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Signs a message and gives it as an `Authorization` value.
pub(in crate::cli) fn mint(wallet: &Wallet, order: &Order<'_>, now: UnixTime) -> Result<String, MintError> {
    let dialect = dialect(wallet);
    let address = wallet.address();
    let chain = chain(wallet, dialect, order.chain)?;
    let nonce = nonce()?;
    let lifetime = i64::try_from(order.lifetime.as_millis()).unwrap_or(i64::MAX);
    let draft = Draft {
        domain: order.domain,
        address: &address,
        chain: &chain,
        statement: order.statement,
        uri: order.uri,
        nonce: &nonce,
        issued_at: now,
        expiration_time: Some(now.plus_millis(lifetime)),
        not_before: None,
        request_id: None,
        resources: order.resources,
    };
    let text = draft.write(dialect);
    // A gateway may allow more than ASCII in statements; whether this one does is not known here.
    let message = Message::parse(text.as_bytes(), DIALECTS, &widest_reading())?;
    let as_meant = message.domain == order.domain
        && message.canonical_address() == address
        && message.statement.as_deref() == order.statement
        && message.uri.as_deref() == Some(order.uri)
        && message.resources.as_deref().unwrap_or_default() == order.resources;
    if !as_meant {
        return Err(MintError::Reading);
    }
    let signature = wallet.sign(text.as_bytes());
    Ok(format!("{SCHEME} {}.{signature}", BASE64.encode(text.as_bytes())))
}

fn dialect(wallet: &Wallet) -> &'static Dialect {
    let found = DIALECTS.iter().find(|dialect| dialect.namespace == wallet.namespace());
    found.expect("every family of wallets here has a dialect, as a test of this file shows")
}

/// The chain in canonical spelling, of the wallet's family.
fn chain(wallet: &Wallet, dialect: &Dialect, named: Option<&str>) -> Result<ChainId, MintError> {
    let Some(named) = named else {
        return Ok(ChainId::new(dialect.namespace, wallet.main_chain())?);
    };
    let chain = ChainId::parse(named)?;
    let family = || MintError::Family { expected: dialect.namespace, found: chain.clone() };
    if chain.namespace() != dialect.namespace {
        return Err(family());
    }
    let reference = (dialect.reference)(chain.reference()).ok_or_else(family)?;
    if !wallet.is_on(&reference) {
        return Err(MintError::Network {
            expected: ChainId::new(dialect.namespace, wallet.main_chain())?,
            found: chain,
        });
    }
    Ok(ChainId::new(dialect.namespace, &reference)?)
}

fn key(arguments: &Arguments) -> Result<Secret<String>, Failure> {
    if let Some(path) = &arguments.key {
        return Source::named(path).read_text(KEY_FILE_BYTES_MAX).map(Secret::new);
    }
    std::env::var(KEY_VARIABLE).map(Secret::new).map_err(|_| {
        Failure::usage(format!("expected a key: `--key FILE`, `--key -`, or the environment variable {KEY_VARIABLE}"))
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::cli::wallet::Family;

    const NOW: UnixTime = UnixTime::from_secs(1_769_860_800);

    fn order<'a>() -> Order<'a> {
        Order {
            domain: "api.example.com",
            uri: "https://api.example.com",
            chain: None,
            statement: None,
            resources: &[],
            lifetime: Duration::from_secs(3600),
        }
    }

    fn minted(wallet: &Wallet, order: &Order<'_>) -> String {
        let token = mint(wallet, order, NOW).expect("a token");
        let (message, _) = token.strip_prefix("SIWX ").and_then(|token| token.split_once('.')).expect("a dot");
        String::from_utf8(BASE64.decode(message.as_bytes()).expect("base64")).expect("UTF-8")
    }

    #[test]
    fn texts_are_those_of_their_family() {
        let evm = Wallet::generate(Family::Evm).expect("a wallet");
        let text = minted(&evm, &Order { chain: Some("eip155:8453"), statement: Some("Sign in."), ..order() });
        let nonce = text.lines().find_map(|line| line.strip_prefix("Nonce: ")).expect("a nonce");
        let expected = format!(
            "api.example.com wants you to sign in with your Ethereum account:\n{}\n\nSign in.\n\n\
             URI: https://api.example.com\nVersion: 1\nChain ID: 8453\nNonce: {nonce}\n\
             Issued At: 2026-01-31T12:00:00.000Z\nExpiration Time: 2026-01-31T13:00:00.000Z",
            evm.address()
        );
        assert_eq!((text.as_str(), nonce.len()), (expected.as_str(), 32));

        let solana = Wallet::generate(Family::Solana).expect("a wallet");
        let text = minted(&solana, &Order { chain: Some("solana:mainnet"), ..order() });
        assert!(text.contains("your Solana account:\n"), "{text}");
        assert!(text.contains("\nChain ID: 5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\n"), "{text}");

        let bitcoin = Wallet::generate(Family::Bitcoin).expect("a wallet");
        let text = minted(&bitcoin, &order());
        assert!(text.contains(&format!("your Bitcoin account:\n{}\n", bitcoin.address())), "{text}");
        assert!(text.contains("\nChain ID: 000000000019d6689c085ae165831e93\n"), "{text}");
    }

    #[test]
    fn what_is_not_signed() {
        let wallet = Wallet::generate(Family::Evm).expect("a wallet");
        let of_solana = "expected a chain of the namespace `eip155`, as the key is, found `solana:mainnet`";
        let rows = [
            ("no CAIP-2 id", Order { chain: Some("8453"), ..order() }, "expected `namespace:reference`, found `8453`"),
            ("another family", Order { chain: Some("solana:mainnet"), ..order() }, of_solana),
        ];
        for (name, order, expected) in rows {
            assert_eq!(mint(&wallet, &order, NOW).expect_err(name).to_string(), expected, "{name}");
        }
        let bitcoin = Wallet::generate(Family::Bitcoin).expect("a wallet");
        let signet = Order { chain: Some("bip122:00000008819873e925422c1ff0f99f7c"), ..order() };
        let expected = "expected a chain that the key has its address on, such as \
                        `bip122:000000000019d6689c085ae165831e93`, found `bip122:00000008819873e925422c1ff0f99f7c`";
        assert_eq!(mint(&bitcoin, &signet, NOW).expect_err("another network").to_string(), expected);
        let injected = "Hello.\n\nURI: https://evil.example";
        let rows = [
            ("a domain with a path", Order { domain: "api.example.com/x", ..order() }),
            ("a URI that is none", Order { uri: "api.example.com", ..order() }),
            ("a statement of two lines", Order { statement: Some("one\ntwo"), ..order() }),
            ("a statement that brings fields along", Order { statement: Some(injected), ..order() }),
            ("an end that cannot be written", Order { lifetime: Duration::from_secs(1 << 50), ..order() }),
        ];
        for (name, order) in rows {
            let error = mint(&wallet, &order, NOW).expect_err(name);
            assert!(matches!(error, MintError::Message(_) | MintError::Reading), "{name}: {error}");
        }
    }

    #[test]
    fn every_family_of_wallets_has_a_dialect() {
        for family in Family::value_variants() {
            let wallet = Wallet::generate(*family).expect("a wallet");
            assert_eq!(dialect(&wallet).namespace, wallet.namespace());
        }
    }
}
