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
#[command(
    after_long_help = "The file is one that the tools of the chain write: `0x` and 64 hex digits for evm, a JSON \
    array of 64 bytes\nfor solana, WIF for bitcoin, `suiprivkey1…` for sui. For tron it is `tron:` and then as for evm, \
    since those tools\nwrite both alike. An existing file is never overwritten."
)]
pub(super) struct Arguments {
    /// The family of chains
    #[arg(long, value_enum)]
    chain: Family,
    /// The type of the address that is printed, for a Bitcoin wallet [default: p2wpkh]
    #[arg(long, value_enum)]
    address_type: Option<AddressType>,
    /// The file of the key [default: the family's name with `.key` after it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.key", arguments.chain.name())));
    let wallet = Wallet::generate(arguments.chain).map_err(Failure::failed)?;
    let wallet = wallet.with_address_type(arguments.address_type).map_err(Failure::usage)?;
    write_key(&path, &wallet).map_err(|error| {
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
