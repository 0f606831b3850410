//! The two transactions of BIP-322, which are never sent, and what a wallet signs of the second.
//!
//! 1. `to_spend` has the text in it, as a hash, and pays nothing to the address. `to_sign` spends that output, as the
//!    simple form has it: version, lock time and sequence 0, one output that nobody can spend (BIP-322, "Full").
//! 2. What is signed is all of `to_sign`: BIP-143 with SIGHASH_ALL for version 0 of the witness, BIP-341 with
//!    SIGHASH_DEFAULT or SIGHASH_ALL for a taproot key. Other kinds of digest sign less than the text.
//! 3. The numbers of both are zeros of 1, 4 or 8 bytes, so that byte order is no question.

use super::hash::{sha256, sha256d, tagged};

/// SIGHASH_DEFAULT, which is not written behind a signature (BIP-341, "Common signature message").
pub const SIGHASH_DEFAULT: u8 = 0;
/// SIGHASH_ALL.
pub const SIGHASH_ALL: u8 = 1;

/// A version, a lock time, a sequence, an index.
const ZERO: &[u8] = &[0; 4];
/// An amount: nothing.
const NOTHING: &[u8] = &[0; 8];
/// The output of `to_sign`: nothing, for a script of one byte, OP_RETURN.
const OUTPUT: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0x6a];

/// `to_sign` for a text and an address.
#[derive(Debug)]
pub struct ToSign<'s> {
    script: &'s [u8],
    /// The transaction that it spends from, and which output of it: the first.
    outpoint: [u8; 36],
}

// === impl ToSign ===

impl<'s> ToSign<'s> {
    /// The transaction for an address with this output script, which is at most 34 bytes long.
    pub fn new(script: &'s [u8], text: &[u8]) -> Self {
        let hash = tagged("BIP0322-signed-message", &[text]);
        let txid = sha256d(&[
            ZERO,
            // One input, of no transaction.
            &[1],
            &[0; 32],
            &[0xff; 4],
            // Its script: OP_0, and a push of the hash.
            &[34, 0x00, 32],
            &hash,
            ZERO,
            // One output.
            &[1],
            NOTHING,
            &[length(script)],
            script,
            ZERO,
        ]);
        let mut outpoint = [0; 36];
        outpoint[..32].copy_from_slice(&txid);
        Self { script, outpoint }
    }

    /// What the key with this hash signs, with SIGHASH_ALL (BIP-143, "Specification"). For a nested address it is the
    /// same: the script around the program is in the script of the output alone.
    pub fn digest_of_key_hash(&self, hash: &[u8; 20]) -> [u8; 32] {
        sha256d(&[
            ZERO,
            &sha256d(&[&self.outpoint]),
            &sha256d(&[ZERO]),
            &self.outpoint,
            // The script that the program stands for: OP_DUP OP_HASH160 hash OP_EQUALVERIFY OP_CHECKSIG.
            &[25, 0x76, 0xa9, 20],
            hash,
            &[0x88, 0xac],
            NOTHING,
            ZERO,
            &sha256d(&[OUTPUT]),
            ZERO,
            &[SIGHASH_ALL, 0, 0, 0],
        ])
    }

    /// What the output key signs (BIP-341, "Common signature message"; "Taproot key path spending signature
    /// validation"), with SIGHASH_DEFAULT or SIGHASH_ALL.
    pub fn digest_of_taproot(&self, sighash: u8) -> [u8; 32] {
        tagged(
            "TapSighash",
            &[
                // The epoch, and then the message itself.
                &[0, sighash],
                ZERO,
                ZERO,
                &sha256(&[&self.outpoint]),
                &sha256(&[NOTHING]),
                &sha256(&[&[length(self.script)], self.script]),
                &sha256(&[ZERO]),
                &sha256(&[OUTPUT]),
                // Neither a script path nor an annex; the first input.
                &[0],
                ZERO,
            ],
        )
    }

    #[cfg(test)]
    fn txid(&self) -> [u8; 32] {
        std::array::from_fn(|i| self.outpoint[31 - i])
    }
}

/// A length as a compact size; scripts of addresses are far below the first that takes more than a byte.
fn length(script: &[u8]) -> u8 {
    debug_assert!(script.len() <= 34, "{} bytes are no script of an address", script.len());
    script.len() as u8
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// BIP-322, "Test vectors": transaction hashes, for the address bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l.
    #[test]
    fn the_transactions_of_the_standard() {
        let script = HEXLOWER.decode(b"00142b05d564e6a7a33c087f16e0f730d1440123799d").expect("hex");
        let rows = [
            ("", "c5680aa69bb8d860bf82d4e9cd3504b55dde018de765a91bb566283c545a99a7"),
            ("Hello World", "b79d196740ad5217771c1098fc4a4b51e0535c32236c71f1ea4d61a2d603352b"),
        ];
        for (text, expected) in rows {
            let to_sign = ToSign::new(&script, text.as_bytes());
            assert_eq!(HEXLOWER.encode(&to_sign.txid()), expected, "{text}");
        }
    }
}
