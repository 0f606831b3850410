//! `keygen`: a wallet for tests, its key in a file that only its owner reads, its address on standard output.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    console::{Failure, complain, say},
    wallet::{AddressType, Family, Wallet},
};

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "The file holds `0x` and 64 hex digits for an EVM wallet, a JSON array of 64 bytes for a \
    Solana one,\nWIF for a Bitcoin one, as the tools of those chains write them. An existing file is never overwritten.")]
pub(super) struct Arguments {
    /// The family of chains
    #[arg(long, value_enum)]
    chain: Family,
    /// The type of the address that is printed, for a Bitcoin wallet [default: p2wpkh]
    #[arg(long, value_enum)]
    address_type: Option<AddressType>,
    /// The file of the key [default: evm.key, solana.key or bitcoin.key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.out.as_deref().unwrap_or_else(|| {
        Path::new(match arguments.chain {
            Family::Evm => "evm.key",
            Family::Solana => "solana.key",
            Family::Bitcoin => "bitcoin.key",
        })
    });
    let wallet = Wallet::generate(arguments.chain).map_err(Failure::failed)?;
    let wallet = wallet.with_address_type(arguments.address_type).map_err(Failure::usage)?;
    write_key(path, &wallet).map_err(|error| {
        Failure::Failed(match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("`{}` exists already, and a key is never overwritten; name another file", path.display())
            }
            _ => format!("cannot write the key to `{}`: {error}", path.display()),
        })
    })?;
    complain(&format!("the key is in `{}`; whoever reads it is this wallet", path.display()));
    say(wallet.address())?;
    Ok(ExitCode::SUCCESS)
}

fn write_key(path: &Path, wallet: &Wallet) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(wallet.write().expose().as_bytes())?;
    file.sync_all()
}
