//! Where the signed part of a Solana transaction is, so that a payment can be known by it.
//!
//! A transaction is an array of signatures and a message, which is what was signed. Signatures come and go while
//! the message stays: the facilitator adds its own. Some readers ignore what follows a message, and numbers can be
//! written long; either would give one payment several names, so:
//!
//! 1. The message is walked to its end, and nothing may follow it.
//! 2. Counts (`compact-u16`, 7 bits a byte, lowest first) have their shortest form.
//!
//! What the instructions do is the facilitator's to judge.

/// The highest bit of a message's first byte: a version follows, in the rest of it. Legacy messages have none.
const VERSIONED: u8 = 0x80;

/// The message of a transaction: all that follows its signatures. Nothing, if it is no transaction of one spelling.
pub(super) fn message(transaction: &[u8]) -> Option<&[u8]> {
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
    rest.skip(accounts * 32)?;
    rest.skip(32)?;
    for _ in 0..rest.count()? {
        rest.skip(1)?;
        rest.skip_counted()?;
        rest.skip_counted()?;
    }
    if versioned {
        for _ in 0..rest.count()? {
            rest.skip(32)?;
            rest.skip_counted()?;
            rest.skip_counted()?;
        }
    }
    rest.0.is_empty().then_some(message)
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn skip(&mut self, length: usize) -> Option<()> {
        self.0 = self.0.get(length..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Skips a count and as many bytes.
    fn skip_counted(&mut self) -> Option<()> {
        let length = self.count()?;
        self.skip(length)
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
