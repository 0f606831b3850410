//! Wallets that sign, and the texts they sign: written by hand here, with none of the gateway's code.

use ed25519_dalek::Signer as _;
use sha3::{Digest as _, Keccak256};

/// The chain id as wallets of Solana write it.
const SOLANA_MAINNET: &str = "mainnet";

/// Half the order of secp256k1 is what a low s does not exceed; the order itself turns a low s into a high one.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// A key pair of one of the two families.
pub(crate) enum Wallet {
    Evm(Box<k256::ecdsa::SigningKey>),
    Solana(Box<ed25519_dalek::SigningKey>),
}

/// A message before it is signed. Every part can be changed, also into what no wallet would write.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) domain: String,
    pub(crate) label: String,
    pub(crate) address: String,
    pub(crate) statement: Option<String>,
    /// The fields below the statement, in order: name and value.
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Wallet {
    /// An EVM wallet; each number is another one.
    pub(crate) fn evm(number: u32) -> Self {
        Self::Evm(Box::new(k256::ecdsa::SigningKey::from_slice(&seed(number)).expect("a scalar")))
    }

    /// A Solana wallet; each number is another one.
    pub(crate) fn solana(number: u32) -> Self {
        Self::Solana(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed(number))))
    }

    /// The address, in EIP-55 for EVM.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Evm(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                checksummed(&Keccak256::digest(&point.as_bytes()[1..])[12..])
            }
            Self::Solana(key) => bs58::encode(key.verifying_key().to_bytes()).into_string(),
        }
    }

    /// The account on the chain that [`Self::text`] names, as CAIP-10.
    pub(crate) fn account(&self) -> String {
        format!("{}:{}", self.chain(), self.address())
    }

    /// The chain that [`Self::text`] names, as CAIP-2.
    pub(crate) fn chain(&self) -> &'static str {
        match self {
            Self::Evm(_) => "eip155:8453",
            Self::Solana(_) => "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        }
    }

    /// A message for the harness' origin, good for an hour from the harness' time.
    pub(crate) fn text(&self) -> Text {
        let (label, chain) = match self {
            Self::Evm(_) => ("Ethereum", "8453"),
            Self::Solana(_) => ("Solana", SOLANA_MAINNET),
        };
        Text {
            domain: "api.example.com".to_owned(),
            label: label.to_owned(),
            address: self.address(),
            statement: Some("Sign in to the API".to_owned()),
            fields: vec![
                ("URI", "https://api.example.com".to_owned()),
                ("Version", "1".to_owned()),
                ("Chain ID", chain.to_owned()),
                ("Nonce", "4dce662356932ef863ff4eb6d673a3ee".to_owned()),
                ("Issued At", "2026-11-20T10:00:00.000Z".to_owned()),
                ("Expiration Time", "2026-11-20T11:00:00.000Z".to_owned()),
            ],
        }
    }

    /// The signature's bytes: r, s and v for EVM.
    pub(crate) fn sign(&self, text: &str) -> Vec<u8> {
        match self {
            Self::Evm(key) => {
                let prefixed = format!("\x19Ethereum Signed Message:\n{}{text}", text.len());
                let hash: [u8; 32] = Keccak256::digest(prefixed.as_bytes()).into();
                let (signature, id) = key.sign_prehash_recoverable(&hash);
                [signature.to_bytes().as_slice(), &[27 + id.to_byte()]].concat()
            }
            Self::Solana(key) => key.sign(text.as_bytes()).to_bytes().to_vec(),
        }
    }

    /// A signature as this family's clients write it: hex for EVM, base58 for Solana.
    pub(crate) fn written(&self, signature: &[u8]) -> String {
        match self {
            Self::Evm(_) => format!("0x{}", data_encoding::HEXLOWER.encode(signature)),
            Self::Solana(_) => bs58::encode(signature).into_string(),
        }
    }

    /// The value of `Authorization` for a text, signed by this wallet.
    pub(crate) fn token_of(&self, text: &Text) -> String {
        let text = text.to_string();
        token(&text, &self.written(&self.sign(&text)))
    }

    /// The value of `Authorization` for the usual text.
    pub(crate) fn token(&self) -> String {
        self.token_of(&self.text())
    }
}

impl Text {
    /// The same with another value in a field.
    pub(crate) fn with(mut self, field: &str, value: &str) -> Self {
        for (name, present) in &mut self.fields {
            if *name == field {
                *present = value.to_owned();
            }
        }
        self
    }

    /// The same without a field.
    pub(crate) fn without(mut self, field: &str) -> Self {
        self.fields.retain(|(name, _)| *name != field);
        self
    }

    /// The same with one more field at the end.
    pub(crate) fn and(mut self, field: &'static str, value: &str) -> Self {
        self.fields.push((field, value.to_owned()));
        self
    }

    /// The same for another domain.
    pub(crate) fn for_domain(mut self, domain: &str) -> Self {
        self.domain = domain.to_owned();
        self
    }

    /// The same with another address.
    pub(crate) fn of_address(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// The same with another statement.
    pub(crate) fn saying(mut self, statement: &str) -> Self {
        self.statement = Some(statement.to_owned());
        self
    }

    /// The same with another nonce, one a number.
    pub(crate) fn nonce(self, number: u64) -> Self {
        self.with("Nonce", &format!("{number:032x}"))
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { domain, label, address, statement, fields } = self;
        write!(f, "{domain} wants you to sign in with your {label} account:\n{address}\n\n")?;
        if let Some(statement) = statement {
            write!(f, "{statement}\n\n")?;
        }
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The value of `Authorization` for a text and a signature as written.
pub(crate) fn token(text: &str, signature: &str) -> String {
    format!("SIWX {}.{signature}", data_encoding::BASE64.encode(text.as_bytes()))
}

/// The same EVM signature with the other s, which anyone can compute (EIP-2).
pub(crate) fn with_high_s(signature: &[u8]) -> Vec<u8> {
    let mut borrow = 0i16;
    let mut bytes = signature.to_vec();
    for i in (0..32).rev() {
        let difference = i16::from(ORDER[i]) - i16::from(signature[32 + i]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + i] = difference.rem_euclid(256) as u8;
    }
    bytes[64] = 55 - bytes[64];
    bytes
}

fn seed(number: u32) -> [u8; 32] {
    let mut seed = [0x17; 32];
    seed[28..].copy_from_slice(&number.to_be_bytes());
    seed
}

fn checksummed(address: &[u8]) -> String {
    let lower = data_encoding::HEXLOWER.encode(address);
    let hash = Keccak256::digest(lower.as_bytes());
    let letters = lower.bytes().enumerate().map(|(i, letter)| {
        let nibble = hash[i / 2] >> (if i % 2 == 0 { 4 } else { 0 }) & 0xf;
        char::from(if nibble >= 8 { letter.to_ascii_uppercase() } else { letter })
    });
    format!("0x{}", letters.collect::<String>())
}
