//! The families of chains whose signing texts are known (message.md section 3, "Labels with a known
//! namespace").
//!
//! The first three are also told by an address alone; the order is that in which it is asked whether it is theirs.
//! Some of the others know their addresses and chains too, the rest is known by its labels, so that a text cannot say
//! one family above and mean another below. Being in this table does not make a family's signatures verifiable, nor its
//! messages welcome.

use super::{bip122, eip155, solana, sui, tron};
use crate::siwx::dialect::{AddressError, Dialect, Template};

/// The table that the message layer reads by.
pub static DIALECTS: &[Dialect] = &[
    Dialect {
        namespace: "eip155",
        labels: &["Ethereum", "EVM Networks"],
        template: Template::Erc4361,
        address: eip155::address::canonical,
        reference: eip155::address::reference,
        // One with a wrong checksum is meant to be one all the same.
        recognises: |text| !matches!(eip155::address::parse(text), Err(AddressError::Form)),
        on_chain: |_, _| true,
    },
    Dialect {
        namespace: "solana",
        labels: &["Solana"],
        template: Template::Siws,
        address: solana::address::canonical,
        reference: solana::address::reference,
        recognises: |text| solana::address::parse(text).is_ok(),
        on_chain: |_, _| true,
    },
    Dialect {
        namespace: "bip122",
        labels: &["Bitcoin"],
        template: Template::Caip122,
        address: bip122::address::canonical,
        reference: bip122::address::reference,
        recognises: |text| bip122::address::canonical(text).is_ok(),
        on_chain: bip122::address::on_chain,
    },
    Dialect::plain("tezos", &["Tezos", "tezos"]),
    Dialect::plain("stacks", &["Stacks"]),
    Dialect::plain("xrpl", &["XRPL"]),
    Dialect::plain("arweave", &["Arweave"]),
    Dialect::plain("polkadot", &["Polkadot", "Substrate"]),
    Dialect::plain("cosmos", &["Cosmos"]),
    Dialect { address: sui::canonical, reference: sui::reference, ..Dialect::plain("sui", &["Sui"]) },
    Dialect::plain("ton", &["TON"]),
    Dialect { address: tron::canonical, reference: tron::reference, ..Dialect::plain("tron", &["TRON"]) },
];
