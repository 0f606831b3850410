//! A signed Solana transaction that carries the text as a memo: how accounts sign in whose wallet cannot sign
//! messages.
//!
//! The transaction is never sent and its blockhash is not looked at; whoever sees it could broadcast it. So it
//! may do nothing but carry the text:
//!
//! 1. A legacy or version 0 transaction without lookup tables, which would hide accounts; nothing after it.
//! 2. One signature and one signer, the account, which is the fee payer.
//! 3. One memo, equal to the text, and beside it only instructions that set compute limits and fees.
//!
//! The wire format is Solana's: a count is a `compact-u16`, 7 bits a byte, lowest first, in its shortest form.

use crate::chain::{SignatureError, ed25519::PublicKey};

/// The memo program and its predecessor.
const MEMO_PROGRAMS: [[u8; 32]; 2] =
    [program(b"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"), program(b"Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")];
/// Sets limits and fees; wallets add it by themselves.
const COMPUTE_BUDGET_PROGRAM: [u8; 32] = program(b"ComputeBudget111111111111111111111111111111");
/// The first byte of a versioned message has the highest bit; a legacy one begins with its count of signers.
const VERSION_0: u8 = 0x80;

/// Verifies a transaction in place of a signature.
pub(super) fn verify(
    transaction: &[u8],
    account: &[u8; 32],
    key: &PublicKey,
    text: &[u8],
) -> Result<(), SignatureError> {
    let transaction = Transaction::read(transaction)?;
    if transaction.payer != account || transaction.memo != text {
        return Err(SignatureError::UnexpectedTransaction);
    }
    if !key.verifies(transaction.message, transaction.signature) {
        return Err(SignatureError::SignatureMismatch);
    }
    Ok(())
}

/// A transaction that satisfies the rules on its form; nothing is verified.
#[derive(Debug)]
struct Transaction<'a> {
    signature: &'a [u8; 64],
    /// What was signed: all that follows the signatures.
    message: &'a [u8],
    payer: &'a [u8; 32],
    memo: &'a [u8],
}

impl<'a> Transaction<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        let mut rest = Cursor(bytes);
        if rest.count()? != 1 {
            return Err(SignatureError::UnexpectedTransaction);
        }
        let signature = rest.array::<64>()?;
        let message = rest.0;
        let versioned = message.first().is_some_and(|byte| byte & 0x80 != 0);
        if versioned && rest.byte()? != VERSION_0 {
            return Err(SignatureError::UnexpectedTransaction);
        }
        let keys = read_keys(&mut rest)?;
        let _blockhash = rest.array::<32>()?;
        let memo = read_memo(&mut rest, keys)?;
        if versioned && rest.count()? != 0 {
            return Err(SignatureError::UnexpectedTransaction);
        }
        if !rest.0.is_empty() {
            return Err(SignatureError::MalformedSignature);
        }
        let payer = keys.first().ok_or(SignatureError::MalformedSignature)?;
        Ok(Self { signature, message, payer, memo })
    }
}

/// Reads the header and the keys of the accounts, the signer's first.
fn read_keys<'a>(rest: &mut Cursor<'a>) -> Result<&'a [[u8; 32]], SignatureError> {
    let [signers, readonly_signers, readonly_others] = *rest.array::<3>()?;
    let length = rest.count()?;
    let (keys, _) = rest.take(length * 32)?.as_chunks::<32>();
    if signers != 1 {
        return Err(SignatureError::UnexpectedTransaction);
    }
    // The fee payer is written to, and what is read alone is among the others.
    if readonly_signers != 0 || usize::from(readonly_others) >= length {
        return Err(SignatureError::MalformedSignature);
    }
    Ok(keys)
}

/// Reads all instructions and returns the data of the one memo.
fn read_memo<'a>(rest: &mut Cursor<'a>, keys: &[[u8; 32]]) -> Result<&'a [u8], SignatureError> {
    let mut memo = None;
    for _ in 0..rest.count()? {
        let program = usize::from(rest.byte()?);
        let length = rest.count()?;
        let accounts = rest.take(length)?;
        let length = rest.count()?;
        let data = rest.take(length)?;
        if accounts.iter().any(|account| usize::from(*account) >= keys.len()) {
            return Err(SignatureError::MalformedSignature);
        }
        let program = keys.get(program).ok_or(SignatureError::MalformedSignature)?;
        let allowed = if MEMO_PROGRAMS.contains(program) {
            memo.replace(data).is_none()
        } else {
            *program == COMPUTE_BUDGET_PROGRAM
        };
        if !allowed {
            return Err(SignatureError::UnexpectedTransaction);
        }
    }
    memo.ok_or(SignatureError::UnexpectedTransaction)
}

/// What is left to read. Every step ends in a refusal where the bytes do.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], SignatureError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SignatureError::MalformedSignature)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], SignatureError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SignatureError::MalformedSignature)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, SignatureError> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// A `compact-u16`: at most three bytes, no zero byte at the end of several, at most 65535.
    fn count(&mut self) -> Result<usize, SignatureError> {
        let mut value = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || byte != 0;
                let small = value <= usize::from(u16::MAX);
                return if shortest && small { Ok(value) } else { Err(SignatureError::MalformedSignature) };
            }
        }
        Err(SignatureError::MalformedSignature)
    }
}

/// The key of a program, decoded when this is compiled.
const fn program(address: &[u8]) -> [u8; 32] {
    bs58::decode(address).into_array_const_unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: [u8; 32] = [1; 32];

    /// A transaction in parts, so that a row can spoil one of them.
    #[derive(Clone)]
    struct Parts {
        signatures: u8,
        version: Vec<u8>,
        header: [u8; 3],
        keys: Vec<[u8; 32]>,
        instructions: Vec<Vec<u8>>,
        end: Vec<u8>,
    }

    impl Parts {
        fn good() -> Self {
            Self {
                signatures: 1,
                version: vec![],
                header: [1, 0, 1],
                keys: vec![PAYER, MEMO_PROGRAMS[0]],
                instructions: vec![vec![1, 1, 0, 4, b't', b'e', b'x', b't']],
                end: vec![],
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = vec![self.signatures];
            bytes.extend(std::iter::repeat_n(9, 64 * usize::from(self.signatures)));
            bytes.extend(&self.version);
            bytes.extend(self.header);
            bytes.push(self.keys.len() as u8);
            bytes.extend(self.keys.concat());
            bytes.extend([5; 32]);
            bytes.push(self.instructions.len() as u8);
            bytes.extend(self.instructions.concat());
            bytes.extend(&self.end);
            bytes
        }
    }

    #[test]
    fn transactions_that_carry_a_memo() {
        let good = Parts::good();
        let old_program = Parts { keys: vec![PAYER, MEMO_PROGRAMS[1]], ..good.clone() };
        let versioned = Parts { version: vec![0x80], end: vec![0], ..good.clone() };
        let mut with_fee = good.clone();
        with_fee.keys.push(COMPUTE_BUDGET_PROGRAM);
        with_fee.instructions.insert(0, vec![2, 0, 5, 2, 0, 0, 0, 1]);
        for (name, parts) in
            [("legacy", good), ("old program", old_program), ("version 0", versioned), ("fee", with_fee)]
        {
            let bytes = parts.bytes();
            let transaction = Transaction::read(&bytes).expect(name);
            assert_eq!(transaction.signature, &[9; 64], "{name}");
            assert_eq!(transaction.message, &bytes[65..], "{name}");
            assert_eq!((transaction.payer, transaction.memo), (&PAYER, &b"text"[..]), "{name}");
        }
    }

    #[test]
    fn transactions_that_are_refused() {
        use SignatureError::{MalformedSignature, UnexpectedTransaction};
        let good = Parts::good();
        let memo = &good.instructions[0];
        let with = |instructions: &[Vec<u8>]| Parts { instructions: instructions.to_vec(), ..good.clone() };
        let rows = [
            ("no signature", Parts { signatures: 0, ..good.clone() }, UnexpectedTransaction),
            ("two signatures", Parts { signatures: 2, ..good.clone() }, UnexpectedTransaction),
            ("two signers", Parts { header: [2, 0, 0], ..good.clone() }, UnexpectedTransaction),
            ("no signer", Parts { header: [0, 0, 1], ..good.clone() }, UnexpectedTransaction),
            ("a payer that is read alone", Parts { header: [1, 1, 1], ..good.clone() }, MalformedSignature),
            ("more keys read than there are", Parts { header: [1, 0, 2], ..good.clone() }, MalformedSignature),
            ("no keys", Parts { keys: vec![], header: [1, 0, 0], ..good.clone() }, MalformedSignature),
            ("version 1", Parts { version: vec![0x81], end: vec![0], ..good.clone() }, UnexpectedTransaction),
            ("a lookup table", Parts { version: vec![0x80], end: vec![1], ..good.clone() }, UnexpectedTransaction),
            ("version 0 cut short", Parts { version: vec![0x80], ..good.clone() }, MalformedSignature),
            ("a byte more", Parts { end: vec![0], ..good.clone() }, MalformedSignature),
            ("no memo", with(&[]), UnexpectedTransaction),
            ("two memos", with(&[memo.clone(), memo.clone()]), UnexpectedTransaction),
            ("another program", with(&[memo.clone(), vec![0, 0, 0]]), UnexpectedTransaction),
            ("a program beyond the keys", with(&[memo.clone(), vec![2, 0, 0]]), MalformedSignature),
            ("an account beyond the keys", with(&[vec![1, 1, 2, 0]]), MalformedSignature),
            ("data beyond the end", with(&[vec![1, 0, 5, b't', b'e', b'x', b't']]), MalformedSignature),
            ("a count in two bytes for one", with(&[vec![1, 0x80, 0, 4, b't', b'e', b'x', b't']]), MalformedSignature),
        ];
        for (name, parts, expected) in rows {
            assert_eq!(Transaction::read(&parts.bytes()).map(|read| read.memo.to_vec()), Err(expected), "{name}");
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = Parts::good().bytes();
        for length in 0..bytes.len() {
            assert!(Transaction::read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn counts() {
        let malformed = Err(SignatureError::MalformedSignature);
        let rows: [(&[u8], _); 12] = [
            (&[0], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 1], Ok(128)),
            (&[0xff, 0x7f], Ok(16383)),
            (&[0x80, 0x80, 1], Ok(16384)),
            (&[0xff, 0xff, 3], Ok(65535)),
            (&[0x80, 0x80, 4], malformed),
            (&[0xff, 0xff, 0x80], malformed),
            (&[0x80, 0], malformed),
            (&[0x80, 0x80, 0], malformed),
            (&[0x80], malformed),
            (&[], malformed),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Cursor(bytes).count(), expected, "{bytes:x?}");
        }
    }
}
