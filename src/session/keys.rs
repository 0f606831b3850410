//! The keys of this gateway's tokens: signing with one, knowing what was signed with any, and their public halves.
//!
//! 1. A key has one algorithm, and the algorithm is the key's: what a token's header says is compared with it and picks
//!    nothing (RFC 8725 section 3.1). There is no `none`, and no algorithm whose key is a secret both sides know.
//! 2. A key's name is the SHA-256 thumbprint of its public half (RFC 7638), so that no two keys share one, and a name
//!    tells nothing that is not published.
//! 3. Of several keys one signs. The next one is published before it is used, so that whoever keeps a copy of the
//!    document knows it in time; old ones are known as long as tokens of theirs can live, and not longer.
//! 4. What is published holds no `d` and no `k`: it is written from public halves alone.
//! 5. Keys are secrets: wiped when dropped, and never shown.
//!
//! | file | what |
//! |---|---|
//! | `pem` | what a text is that is no key |
//! | `ring` | keys that change while the gateway runs |
//!
//! Signing needs no random bytes: Ed25519 has none (RFC 8032), and ECDSA's are made from key and text (RFC 6979).

mod pem;
mod ring;

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, pkcs8::DecodePrivateKey as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub use self::{pem::PemFault, ring::KeyRing};
use crate::{secret::Secret, time::UnixTime};

/// Old keys that are kept at most. Keys are changed by hand or by the month, and tokens live for a week.
pub const OLD_KEYS_MAX: usize = 8;

/// Bytes of a signature of either algorithm: two numbers of 32 (RFC 7518 section 3.4, RFC 8032 section 5.1.6).
pub const SIGNATURE_BYTES: usize = 64;

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA on P-256 over SHA-256, the signature as two numbers (RFC 7518 section 3.4).
    Es256,
}

/// A key that signs. `Debug` shows its name.
#[derive(Clone)]
pub struct SigningKey {
    half: Half,
    kid: Box<str>,
}

/// The secret half, and with it the public one.
#[derive(Clone)]
enum Half {
    EdDsa(Box<ed25519_dalek::SigningKey>),
    Es256(Box<p256::ecdsa::SigningKey>),
}

/// The keys of a gateway at a time.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    current: SigningKey,
    next: Option<SigningKey>,
    old: Vec<OldKey>,
}

/// A key that signs no more.
#[derive(Debug, Clone)]
pub struct OldKey {
    /// The key.
    pub key: SigningKey,
    /// From when on no token of its can be alive.
    pub until: UnixTime,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not PEM of a PKCS #8 key of the algorithm.
    #[error("expected a PKCS #8 private key of {} as PEM, found {fault}", wanted.curve())]
    Pem {
        /// The algorithm.
        wanted: Algorithm,
        /// What it is instead.
        fault: PemFault,
    },
    /// More old keys than are kept.
    #[error("expected at most {OLD_KEYS_MAX} old keys, found more")]
    TooManyOld,
}

// === impl Algorithm ===

impl Algorithm {
    /// Every algorithm.
    pub const ALL: &'static [Self] = &[Self::EdDsa, Self::Es256];

    /// Its name in headers, key documents and the configuration (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of a name; the inverse of [`Self::as_str`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name)
    }

    /// The curve that its keys are on.
    pub const fn curve(self) -> &'static str {
        match self {
            Self::EdDsa => "Ed25519",
            Self::Es256 => "P-256",
        }
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// The key of an algorithm that a stored secret stands for. One secret gives each algorithm a key of its own, and
    /// the same one for ever.
    pub fn derive(secret: &Secret<[u8; 32]>, algorithm: Algorithm) -> Self {
        let half = match algorithm {
            Algorithm::EdDsa => {
                Half::EdDsa(Box::new(ed25519_dalek::SigningKey::from_bytes(derived(secret, algorithm, 0).expose())))
            }
            // One number in four thousand million is none of the curve's; then it is the next one's turn.
            Algorithm::Es256 => (0..=u8::MAX)
                .find_map(|turn| p256::ecdsa::SigningKey::from_slice(derived(secret, algorithm, turn).expose()).ok())
                .map(|key| Half::Es256(Box::new(key)))
                .expect("no 256 hashes in a row are beyond the order of P-256"),
        };
        Self::of(half)
    }

    /// Reads a key as `openssl genpkey` writes it: PKCS #8 in PEM, of this algorithm.
    pub fn from_pem(pem: &Secret<String>, algorithm: Algorithm) -> Result<Self, KeyError> {
        let refuse = |fault| KeyError::Pem { wanted: algorithm, fault };
        let pem = pem::bounded(pem.expose()).map_err(refuse)?;
        let half = match algorithm {
            Algorithm::EdDsa => {
                ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(|key| Half::EdDsa(Box::new(key))).ok()
            }
            Algorithm::Es256 => p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map(|key| Half::Es256(Box::new(key))).ok(),
        };
        half.map(Self::of).ok_or_else(|| refuse(pem::fault(pem, algorithm)))
    }

    fn of(half: Half) -> Self {
        // RFC 7638 section 3: the members that are needed, in the order of their names, without a blank.
        let thumbprint = Sha256::digest(half.public().to_string().as_bytes());
        Self { kid: BASE64URL_NOPAD.encode(&thumbprint).into(), half }
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// How it signs.
    pub const fn algorithm(&self) -> Algorithm {
        match self.half {
            Half::EdDsa(_) => Algorithm::EdDsa,
            Half::Es256(_) => Algorithm::Es256,
        }
    }

    /// Signs.
    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match &self.half {
            Half::EdDsa(key) => key.sign(text).to_bytes(),
            Half::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(text);
                signature.to_bytes().into()
            }
        }
    }

    /// Whether this key made a signature of a text.
    pub fn verifies(&self, text: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        match &self.half {
            Half::EdDsa(key) => {
                key.verifying_key().verify_strict(text, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
            }
            Half::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verifying_key().verify(text, &signature).is_ok()),
        }
    }

    /// Its public half as a JSON Web Key (RFC 7517).
    fn published(&self) -> Value {
        let mut key = self.half.public();
        key["kid"] = (*self.kid).into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().as_str().into();
        key
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm().as_str(), self.kid)
    }
}

// === impl Half ===

impl Half {
    /// The members of the public half without which it is none, in the order of their names.
    fn public(&self) -> Value {
        match self {
            Self::EdDsa(key) => {
                let x = BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
                json!({"crv": "Ed25519", "kty": "OKP", "x": x})
            }
            Self::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let [x, y] = [point.x(), point.y()].map(|number| {
                    BASE64URL_NOPAD.encode(number.expect("an uncompressed point that is not at infinity has both"))
                });
                json!({"crv": "P-256", "kty": "EC", "x": x, "y": y})
            }
        }
    }
}

/// A secret of 32 bytes that is an algorithm's alone.
fn derived(secret: &Secret<[u8; 32]>, algorithm: Algorithm, turn: u8) -> Secret<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of every length");
    mac.update(b"siwx-gateway|token key|");
    mac.update(algorithm.as_str().as_bytes());
    mac.update(&[turn]);
    Secret::new(mac.finalize().into_bytes().into())
}

// === impl SigningKeys ===

impl SigningKeys {
    /// A key that signs, and no other.
    pub const fn new(current: SigningKey) -> Self {
        Self { current, next: None, old: Vec::new() }
    }

    /// A key that signs, the one that will sign next, and those that did.
    pub fn with(current: SigningKey, next: Option<SigningKey>, old: Vec<OldKey>) -> Result<Self, KeyError> {
        if old.len() > OLD_KEYS_MAX {
            return Err(KeyError::TooManyOld);
        }
        Ok(Self { current, next, old })
    }

    /// Changes keys: the next one signs from now on, `next` will after it, and the one that signed is known for as long
    /// as its tokens live. Without a next one there is nothing to change to, and `next` becomes the next one.
    pub fn rotated(mut self, next: SigningKey, token_life: std::time::Duration, now: UnixTime) -> Self {
        if let Some(current) = self.next.replace(next) {
            self.old.retain(|old| now < old.until);
            // What is too old for its place had a longer life than is set now.
            self.old.truncate(OLD_KEYS_MAX - 1);
            let key = std::mem::replace(&mut self.current, current);
            self.old.insert(0, OldKey { key, until: now.plus(token_life) });
        }
        self
    }

    /// The key that signs.
    pub const fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The key of a name, if tokens of it may be alive. The next one is known before it signs here: another instance
    /// may have changed to it already.
    pub fn find(&self, kid: &str, now: UnixTime) -> Option<&SigningKey> {
        self.known(now).find(|key| key.kid() == kid)
    }

    /// The document in which verifiers look keys up: a JSON Web Key Set (RFC 7517 section 5).
    pub fn jwks(&self, now: UnixTime) -> Value {
        self.jwks_with(None, now)
    }

    /// The same with the keys of another purpose; one that both have stands there once.
    pub fn jwks_with(&self, others: Option<&Self>, now: UnixTime) -> Value {
        let mut keys: Vec<&SigningKey> = self.known(now).collect();
        for key in others.into_iter().flat_map(|others| others.known(now)) {
            if keys.iter().all(|known| known.kid() != key.kid()) {
                keys.push(key);
            }
        }
        json!({"keys": keys.into_iter().map(SigningKey::published).collect::<Vec<_>>()})
    }

    fn known(&self, now: UnixTime) -> impl Iterator<Item = &SigningKey> {
        let old = self.old.iter().filter(move |old| now < old.until).map(|old| &old.key);
        std::iter::once(&self.current).chain(&self.next).chain(old)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);

    fn derived_key(first: u8, algorithm: Algorithm) -> SigningKey {
        SigningKey::derive(&Secret::new(std::array::from_fn(|i| first.wrapping_add(i as u8))), algorithm)
    }

    fn pem(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_example_of_rfc_8037() {
        // Its secret as PKCS #8, its thumbprint (A.3) and its signature (A.4).
        let pem =
            pem("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
             -----END PRIVATE KEY-----\n");
        let key = SigningKey::from_pem(&pem, Algorithm::EdDsa).expect("a key");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(BASE64URL_NOPAD.encode(&key.sign(text)), signature);
        assert!(key.verifies(text, &key.sign(text)));
    }

    #[test]
    fn a_stored_secret_stands_for_one_key_of_each_algorithm() {
        // The thumbprints were computed with Python's hmac and cryptography. Another one here would end all sessions.
        let rows = [
            (Algorithm::EdDsa, "Z-DtgOu2vsTlatbfLEO8ELLCcvsAYuPBa2Pk5rW38R0"),
            (Algorithm::Es256, "5B7on3tl6WIMXHfz70PIuYZ7gzudLVls-vDy3ZyOOwU"),
        ];
        for (algorithm, kid) in rows {
            let key = derived_key(0, algorithm);
            assert_eq!((key.kid(), key.algorithm()), (kid, algorithm));
            assert_ne!(derived_key(1, algorithm).kid(), kid);
        }
    }

    #[test]
    fn a_key_knows_its_own_signatures() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (derived_key(0, *algorithm), derived_key(1, *algorithm));
            let signature = key.sign(b"text");
            assert_eq!(key.sign(b"text"), signature, "nothing random is in it");
            assert!(key.verifies(b"text", &signature));
            assert!(!key.verifies(b"texts", &signature));
            assert!(!other.verifies(b"text", &signature));
            for at in 0..SIGNATURE_BYTES {
                let mut changed = signature;
                changed[at] ^= 1;
                assert!(!key.verifies(b"text", &changed), "{algorithm:?}: byte {at}");
            }
            assert!(!key.verifies(b"text", &[0; SIGNATURE_BYTES]));
            assert!(!key.verifies(b"text", &[0xff; SIGNATURE_BYTES]));
        }
    }

    #[test]
    fn algorithms_have_their_names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.as_str()), Some(*algorithm));
        }
        for name in ["none", "HS256", "RS256", "ES384", "ES256K", "eddsa", "Ed25519", ""] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = SigningKeys::new(derived_key(0, Algorithm::EdDsa));
        let shown = "SigningKeys { current: SigningKey(EdDSA Z-DtgOu2vsTlatbfLEO8ELLCcvsAYuPBa2Pk5rW38R0), next: None, old: [] }";
        assert_eq!(format!("{keys:?}"), shown);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        use PemFault::{Algorithm as Of, Damaged, Holds, NoPem, TooLong};
        let ed25519 = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
        let rows = [
            ("nothing", "", NoPem),
            ("words", "a secret", NoPem),
            (
                "no end",
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7\n",
                Damaged,
            ),
            ("no base64", "-----BEGIN PRIVATE KEY-----\n****\n-----END PRIVATE KEY-----\n", Damaged),
            ("nothing within", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", Damaged),
            ("a certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", Holds("a certificate")),
            ("a public key", "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n", Holds("a public key")),
            (
                "a password",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n",
                Holds("a key that a password protects"),
            ),
            (
                "OpenSSH",
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
                Holds("a key in the form of OpenSSH"),
            ),
            (
                "SEC 1",
                "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n",
                Holds("a key in the form of SEC 1, which `openssl pkcs8 -topk8` changes"),
            ),
            ("RSA of old", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", Of("RSA")),
            ("PGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", Holds("PEM of something else")),
            (
                "a key of X25519",
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIOiLox5IQQ0a1cLQ3t5eZFW1Ev+j6Gc3Azf8ySu/LqZ/\n\
                 -----END PRIVATE KEY-----",
                Of("X25519"),
            ),
            (
                "a key of P-384",
                "-----BEGIN PRIVATE KEY-----\nMIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCPr7M0Xc6O6L1OyaZA\n\
                 nljYOfdFnKeYIYb2KxRMCs6PnhuIIpWfEG1uy4LAKSWJV4yhZANiAATR2EvQ6/Hw\n\
                 7CgrfudOUPpixTJWteDPmZBzSAHr3LAzVATRime0/6F4b4hoTeP1VchYhnfFzfy5\n\
                 jxPvnzMFChaYg3EEr/XnZ+0kyG8H9E7+ooZDVuF7MTIJ/bY65E1/YPs=\n-----END PRIVATE KEY-----",
                Of("P-384"),
            ),
        ];
        for (name, text, fault) in rows {
            for wanted in Algorithm::ALL {
                let refused = SigningKey::from_pem(&pem(text), *wanted).err();
                assert_eq!(refused, Some(KeyError::Pem { wanted: *wanted, fault }), "{name}");
            }
        }
        let refused = |text: &str, wanted| match SigningKey::from_pem(&pem(text), wanted) {
            Err(KeyError::Pem { fault, .. }) => fault,
            other => panic!("{other:?}"),
        };
        let zero = "-----BEGIN PRIVATE KEY-----\nMEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCAAAAAAAAAAAAAAAAAA\n\
                    AAAAAAAAAAAAAAAAAAAAAAAAAA==\n-----END PRIVATE KEY-----";
        assert_eq!(refused(zero, Algorithm::Es256), Damaged, "zero is no key of P-256");
        assert_eq!(refused(zero, Algorithm::EdDsa), Of("P-256"));
        let ed25519 = format!("-----BEGIN PRIVATE KEY-----\n{ed25519}\n-----END PRIVATE KEY-----");
        assert_eq!(refused(&ed25519, Algorithm::Es256), Of("Ed25519"));
        let endless = "-----BEGIN PRIVATE KEY-----\n".repeat(10_000);
        assert_eq!(refused(&endless, Algorithm::EdDsa), TooLong);
        let told = KeyError::Pem { wanted: Algorithm::EdDsa, fault: Of("RSA") }.to_string();
        assert_eq!(told, "expected a PKCS #8 private key of Ed25519 as PEM, found a key of RSA");
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_known_after() {
        let [first, second, third] = [0, 1, 2].map(|first| derived_key(first, Algorithm::EdDsa));
        let kids = |keys: &SigningKeys, now: UnixTime| {
            let jwks = keys.jwks(now);
            let list = jwks["keys"].as_array().expect("a list").clone();
            list.iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
        };
        let week = Duration::from_secs(7 * 86_400);
        let later = NOW.plus(week);

        let alone = SigningKeys::new(first.clone());
        assert_eq!(kids(&alone, NOW), [first.kid()]);
        let announced = alone.rotated(second.clone(), week, NOW);
        assert_eq!(announced.current().kid(), first.kid());
        assert_eq!(kids(&announced, NOW), [first.kid(), second.kid()]);
        // An instance that changed sooner signs with it already.
        assert!(announced.find(second.kid(), NOW).is_some());

        let changed = announced.rotated(third.clone(), week, NOW);
        assert_eq!(changed.current().kid(), second.kid());
        assert_eq!(kids(&changed, NOW), [second.kid(), third.kid(), first.kid()]);
        assert!(changed.find(first.kid(), later.plus_millis(-1)).is_some());
        assert!(changed.find(first.kid(), later).is_none());
        assert_eq!(kids(&changed, later), [second.kid(), third.kid()]);
    }

    #[test]
    fn keys_do_not_grow_without_end() {
        let week = Duration::from_secs(7 * 86_400);
        let mut keys = SigningKeys::new(derived_key(0, Algorithm::EdDsa));
        for turn in 1..=30 {
            keys = keys.rotated(derived_key(turn, Algorithm::EdDsa), week, NOW);
        }
        assert_eq!(keys.jwks(NOW)["keys"].as_array().map(Vec::len), Some(2 + OLD_KEYS_MAX));
        let old =
            |count: u8| (0..count).map(|i| OldKey { key: derived_key(i, Algorithm::EdDsa), until: NOW }).collect();
        let with = |count| SigningKeys::with(derived_key(99, Algorithm::EdDsa), None, old(count)).map(drop);
        assert_eq!(with(8), Ok(()));
        assert_eq!(with(9), Err(KeyError::TooManyOld));
    }
}
