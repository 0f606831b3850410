//! Where the signed part of a Solana transaction is, so that a payment can be known by it, and whose tokens it moves.
//!
//! A transaction is an array of signatures and a message, which is what was signed. Signatures come and go while
//! the message stays: the facilitator adds its own. Some readers ignore what follows a message, and numbers can be
//! written long; either would give one payment several names, so:
//!
//! 1. The message is walked to its end, and nothing may follow it.
//! 2. Counts (`compact-u16`, 7 bits a byte, lowest first) have their shortest form.
//!
//! 3. Whoever has to agree to a transfer of tokens is a payer. Owners sign, so they are among the accounts that the
//!    message itself lists. Whom a program asks on its own account cannot be told from here.
//!
//! What the instructions do besides is the facilitator's to judge.

/// The highest bit of a message's first byte: a version follows, in the rest of it. Legacy messages have none.
const VERSIONED: u8 = 0x80;

/// The programs that move tokens: SPL Token, and Token-2022.
const TOKEN_PROGRAMS: [[u8; 32]; 2] =
    [program(b"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"), program(b"TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")];

/// What an instruction of a token program begins with, and where among its accounts the owner stands who agrees:
/// `Transfer` (source, destination, owner) and `TransferChecked` (source, mint, destination, owner).
const TRANSFERS: [(u8, usize); 2] = [(3, 2), (12, 3)];

/// What a transaction says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transaction<'a> {
    /// What was signed: all that follows the signatures.
    pub(super) message: &'a [u8],
    /// The accounts whose tokens it moves, each once.
    pub(super) payers: Vec<&'a [u8; 32]>,
}

/// Reads a transaction; nothing, if it is none of one spelling.
pub(super) fn read(transaction: &[u8]) -> Option<Transaction<'_>> {
    let mut rest = Cursor(transaction);
    // One length byte: more than 127 signatures would not fit into a transaction.
    let signatures = usize::from(rest.byte()?);
    if !(1..=127).contains(&signatures) {
        return None;
    }
    rest.skip(signatures * 64)?;
    let message = rest.0;
    let versioned = message.first().is_some_and(|byte| byte & VERSIONED != 0);
    if versioned && rest.byte()? != VERSIONED {
        // Version 0 is the only one.
        return None;
    }
    rest.skip(3)?;
    let accounts = rest.count()?;
    let (accounts, _) = rest.take(accounts * 32)?.as_chunks::<32>();
    rest.skip(32)?;
    let mut payers = Vec::new();
    for _ in 0..rest.count()? {
        let program = rest.byte()?;
        let (of, data) = (rest.take_counted()?, rest.take_counted()?);
        if let Some(payer) = owner(accounts, program, of, data).filter(|payer| !payers.contains(payer)) {
            payers.push(payer);
        }
    }
    if versioned {
        for _ in 0..rest.count()? {
            rest.skip(32)?;
            rest.take_counted()?;
            rest.take_counted()?;
        }
    }
    rest.0.is_empty().then_some(Transaction { message, payers })
}

/// Whose tokens an instruction moves; nothing, if it moves none.
fn owner<'a>(accounts: &'a [[u8; 32]], program: u8, of: &[u8], data: &[u8]) -> Option<&'a [u8; 32]> {
    let account = |index: u8| accounts.get(usize::from(index));
    account(program).filter(|program| TOKEN_PROGRAMS.contains(program))?;
    let (_, place) = TRANSFERS.into_iter().find(|(word, _)| data.first() == Some(word))?;
    account(*of.get(place)?)
}

/// The key of a program, decoded when this is compiled.
const fn program(address: &[u8]) -> [u8; 32] {
    bs58::decode(address).into_array_const_unwrap()
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A count, and as many bytes.
    fn take_counted(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    /// A count in its shortest form, of at most 16 bits.
    fn count(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || byte != 0;
                return (shortest && value <= usize::from(u16::MAX)).then_some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(transaction: &[u8]) -> Option<&[u8]> {
        read(transaction).map(|read| read.message)
    }

    /// A message with one account, one instruction on it with two bytes of data, and in version 0 one lookup.
    fn body(versioned: bool) -> Vec<u8> {
        let mut bytes = if versioned { vec![0x80] } else { Vec::new() };
        bytes.extend([1, 0, 0, 1]);
        bytes.extend([7; 32]);
        bytes.extend([8; 32]);
        bytes.extend([1, 0, 1, 0, 2, 5, 6]);
        if versioned {
            bytes.push(1);
            bytes.extend([9; 32]);
            bytes.extend([1, 3, 0]);
        }
        bytes
    }

    fn transaction(signatures: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![signatures];
        bytes.extend(vec![0xaa; usize::from(signatures) * 64]);
        bytes.extend(message);
        bytes
    }

    #[test]
    fn the_message_follows_the_signatures() {
        for versioned in [false, true] {
            let body = body(versioned);
            for signatures in [1, 2, 127] {
                assert_eq!(message(&transaction(signatures, &body)), Some(&body[..]), "{versioned} {signatures}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_continued_is_no_transaction() {
        for versioned in [false, true] {
            let whole = transaction(1, &body(versioned));
            for length in 0..whole.len() {
                assert_eq!(message(&whole[..length]), None, "{versioned} {length}");
            }
            let longer = [&whole[..], &[0]].concat();
            assert_eq!(message(&longer), None, "{versioned} continued");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        assert_eq!(message(&transaction(0, &body(false))), None, "no signature");
        assert_eq!(message(&transaction(128, &body(false))), None, "a length of two bytes");
        let mut later = body(true);
        later[0] = 0x81;
        assert_eq!(message(&transaction(1, &later)), None, "version 1");
        let mut long = body(false);
        long.splice(3..4, [0x81, 0x00]);
        assert_eq!(message(&transaction(1, &long)), None, "a count that is written long");
    }

    #[test]
    fn whoever_agrees_to_a_transfer_of_tokens_pays() {
        let (payer, other) = ([1; 32], [2; 32]);
        let keys = [payer, other, TOKEN_PROGRAMS[0], TOKEN_PROGRAMS[1], [5; 32]];
        let paid = |instructions: &[&[u8]]| {
            let mut bytes = vec![1, 0, 0, keys.len() as u8];
            bytes.extend(keys.concat());
            bytes.extend([8; 32]);
            bytes.push(instructions.len() as u8);
            bytes.extend(instructions.concat());
            let transaction = transaction(1, &bytes);
            read(&transaction).map(|read| read.payers.into_iter().copied().collect::<Vec<_>>())
        };
        let checked: &[u8] = &[2, 4, 4, 4, 4, 0, 1, 12];
        type Row<'t> = (&'t str, &'t [&'t [u8]], &'t [[u8; 32]]);
        let rows: &[Row<'_>] = &[
            ("a checked transfer", &[checked], &[payer]),
            ("of Token-2022", &[&[3, 4, 4, 4, 4, 0, 1, 12]], &[payer]),
            ("a plain transfer", &[&[2, 3, 4, 4, 0, 1, 3]], &[payer]),
            ("with more signers behind the owner", &[&[2, 5, 4, 4, 4, 0, 1, 1, 12]], &[payer]),
            ("beside another program", &[&[4, 1, 1, 1, 12], checked], &[payer]),
            ("two of one owner", &[checked, checked], &[payer]),
            ("two of two", &[checked, &[2, 4, 4, 4, 4, 1, 1, 12]], &[payer, other]),
            ("another instruction of the program", &[&[2, 4, 4, 4, 4, 0, 1, 7]], &[]),
            ("another program", &[&[4, 4, 4, 4, 4, 0, 1, 12]], &[]),
            ("no data", &[&[2, 4, 4, 4, 4, 0, 0]], &[]),
            ("too few accounts", &[&[2, 3, 4, 4, 4, 1, 12]], &[]),
            ("an owner of a lookup table", &[&[2, 4, 4, 4, 4, 9, 1, 12]], &[]),
            ("a program of a lookup table", &[&[9, 4, 4, 4, 4, 0, 1, 12]], &[]),
        ];
        for (name, instructions, expected) in rows {
            assert_eq!(paid(instructions).as_deref(), Some(*expected), "{name}");
        }
    }

    #[test]
    fn counts_have_sixteen_bits_and_one_form() {
        let rows: &[(&[u8], Option<usize>)] = &[
            (&[0], Some(0)),
            (&[0x7f], Some(127)),
            (&[0x80, 0x01], Some(128)),
            (&[0xff, 0xff, 0x03], Some(65_535)),
            (&[0x80, 0x80, 0x04], None),
            (&[0x80, 0x00], None),
            (&[0xff, 0x80, 0x00], None),
            (&[0x80, 0x80, 0x80], None),
            (&[0x80], None),
            (&[], None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Cursor(bytes).count(), *expected, "{bytes:?}");
        }
    }
}
