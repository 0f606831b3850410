//! Nonces that authenticate themselves (x402.md section 8): for challenges, and for the sign-ins of browsers.
//!
//! A nonce is 58 letters and digits: ten of the second it was issued in, 24 of twelve random bytes, and 24 of an
//! HMAC-SHA256 over purpose, the first 34 and the domain. So it is known as ours after a restart and on every
//! instance that has the secret, and nothing is stored until one is used.
//!
//! 1. A nonce is good for one purpose and one domain.
//! 2. Its age is its own, whatever the client's message says of its times.
//! 3. That it was not used before is not seen here: whoever lets a request through on it claims it in the store, and
//!    keeps the claim until the time that [`NonceIssuer::check`] returns.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::{secret::Secret, time::UnixTime};

/// Characters of a nonce.
pub const NONCE_CHARS: usize = 58;

/// Random bytes of a nonce: 96 bits, so that no two of one second are equal.
pub const RANDOM_BYTES: usize = 12;

/// Characters of the second: 40 bits of it, which last for 34,000 years.
const SECOND_CHARS: usize = 10;

/// Characters that the tag is over, beside purpose and domain.
const TAGGED_CHARS: usize = SECOND_CHARS + 2 * RANDOM_BYTES;

/// Bytes of the tag that are kept: 96 bits, which cannot be guessed in the few minutes a nonce lives.
const TAG_BYTES: usize = 12;

/// What a nonce is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A sign-in of the session API.
    Session,
    /// A `SIGN-IN-WITH-X` proof.
    X402,
}

/// Why a nonce is refused. All of these are the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// Of another form, or tagged for another purpose, domain or secret.
    #[error("expected a nonce that was issued here for this domain, found another")]
    Foreign,
    /// From later than clocks may differ.
    #[error("expected a nonce of now, found one from later")]
    Future,
    /// Older than the limit.
    #[error("expected a nonce of at most {age_secs_max} seconds, found an older one")]
    Old {
        /// The limit.
        age_secs_max: u32,
    },
}

impl NonceError {
    /// A stable name for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "nonce_foreign",
            Self::Future => "nonce_in_future",
            Self::Old { .. } => "nonce_too_old",
        }
    }
}

impl Purpose {
    /// Its word in what is tagged.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::X402 => "x402",
        }
    }
}

/// Issues nonces with a secret and knows them again.
#[derive(Debug, Clone)]
pub struct NonceIssuer {
    secret: Secret<Vec<u8>>,
}

impl NonceIssuer {
    /// Issues with a secret, which every instance of one gateway shares.
    pub const fn new(secret: Secret<Vec<u8>>) -> Self {
        Self { secret }
    }

    /// A new nonce for a domain; `random` are bytes that nobody can foresee.
    pub fn issue(&self, purpose: Purpose, domain: &str, now: UnixTime, random: [u8; RANDOM_BYTES]) -> String {
        // A time before 1970 would be a broken clock; its nonces are issued as of 1970, and too old.
        let second = u64::try_from(now.secs()).unwrap_or(0) & 0xff_ffff_ffff;
        let mut nonce = format!("{second:010x}");
        nonce.push_str(&HEXLOWER.encode(&random));
        let tag = self.tag(purpose, &nonce, domain).finalize().into_bytes();
        nonce.push_str(&HEXLOWER.encode(&tag[..TAG_BYTES]));
        nonce
    }

    /// Checks a nonce, and says until when a claim on it must be kept so that it cannot be used again.
    ///
    /// Times are compared in whole seconds, as the nonce has them: it is good in the whole of the last one.
    pub fn check(
        &self,
        purpose: Purpose,
        domain: &str,
        nonce: &str,
        now: UnixTime,
        age_secs_max: u32,
        skew_secs: u32,
    ) -> Result<UnixTime, NonceError> {
        let issued = self.issued(purpose, domain, nonce).ok_or(NonceError::Foreign)?;
        let age = now.secs() - issued;
        if age < -i64::from(skew_secs) {
            return Err(NonceError::Future);
        }
        if age > i64::from(age_secs_max) {
            return Err(NonceError::Old { age_secs_max });
        }
        // Another instance's clock may be behind by the skew, and its last second has to be over.
        Ok(UnixTime::from_secs(issued + i64::from(age_secs_max) + i64::from(skew_secs) + 1))
    }

    /// The second in which the nonce was issued, if it was issued here.
    fn issued(&self, purpose: Purpose, domain: &str, nonce: &str) -> Option<i64> {
        let (tagged, tag) = nonce.split_at_checked(TAGGED_CHARS)?;
        let (second, _) = tagged.split_at_checked(SECOND_CHARS)?;
        // Only one spelling is tagged, but the letters of the tag itself would have two.
        let tag = HEXLOWER.decode(tag.as_bytes()).ok().filter(|tag| tag.len() == TAG_BYTES)?;
        self.tag(purpose, tagged, domain).verify_truncated_left(&tag).ok()?;
        i64::from_str_radix(second, 16).ok()
    }

    fn tag(&self, purpose: Purpose, tagged: &str, domain: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes keys of every length");
        for part in [purpose.as_str(), "|", tagged, "|", domain] {
            mac.update(part.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "api.example.com";
    /// 2026-11-20T10:00:00.900Z.
    const NOW: UnixTime = UnixTime::from_millis(1_795_168_800_900);

    fn issuer(secret: &str) -> NonceIssuer {
        NonceIssuer::new(Secret::new(secret.as_bytes().to_vec()))
    }

    fn nonce() -> String {
        issuer("a secret").issue(Purpose::X402, DOMAIN, NOW, *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\xff")
    }

    fn check(nonce: &str, now: UnixTime) -> Result<UnixTime, NonceError> {
        issuer("a secret").check(Purpose::X402, DOMAIN, nonce, now, 300, 30)
    }

    #[test]
    fn a_nonce_is_the_second_random_bytes_and_a_tag() {
        // The tag was computed with Python's hmac over `x402|<34 characters>|api.example.com`.
        assert_eq!(nonce(), "006b001a20000102030405060708090aff7aeb6f62fc52849e9c2eec08");
        assert_eq!(nonce().len(), NONCE_CHARS);
    }

    #[test]
    fn an_age_is_judged_to_the_second() {
        let at = |secs: i64, millis: i64| UnixTime::from_millis(1_795_168_800_000 + secs * 1000 + millis);
        let until = Ok(at(331, 0));
        let rows = [
            ("at once", at(0, 900), until),
            ("in its last second", at(300, 999), until),
            ("after its last second", at(301, 0), Err(NonceError::Old { age_secs_max: 300 })),
            ("as much ahead as clocks may differ", at(-30, 0), until),
            ("further ahead", at(-31, 999), Err(NonceError::Future)),
        ];
        for (name, now, expected) in rows {
            assert_eq!(check(&nonce(), now), expected, "{name}");
        }
    }

    #[test]
    fn a_nonce_is_good_for_its_purpose_domain_and_secret_alone() {
        let own = issuer("a secret");
        let foreign = Err(NonceError::Foreign);
        assert_eq!(own.check(Purpose::Session, DOMAIN, &nonce(), NOW, 300, 30), foreign);
        assert_eq!(own.check(Purpose::X402, "api.example.com:8443", &nonce(), NOW, 300, 30), foreign);
        assert_eq!(own.check(Purpose::X402, "", &nonce(), NOW, 300, 30), foreign);
        assert_eq!(issuer("another").check(Purpose::X402, DOMAIN, &nonce(), NOW, 300, 30), foreign);
        let session = own.issue(Purpose::Session, DOMAIN, NOW, [0; RANDOM_BYTES]);
        assert_eq!(check(&session, NOW), foreign);
        assert!(own.check(Purpose::Session, DOMAIN, &session, NOW, 300, 30).is_ok());
    }

    #[test]
    fn every_changed_character_makes_a_nonce_foreign() {
        let good = nonce();
        for index in 0..good.len() {
            let other = if good.as_bytes()[index] == b'0' { "1" } else { "0" };
            let mut changed = good.clone();
            changed.replace_range(index..=index, other);
            assert_eq!(check(&changed, NOW), Err(NonceError::Foreign), "{index}");
        }
    }

    #[test]
    fn other_forms_are_foreign() {
        let good = nonce();
        for text in [
            "",
            "e6be4e43cb5e265c28e492c25c483925",
            &good[..57],
            &good[..34],
            &format!("{good}0"),
            &format!("{good}00"),
            &good.to_uppercase(),
            &format!(" {good}"),
            &"é".repeat(29),
            &format!("{}é{}", &good[..33], &good[35..]),
            &"z".repeat(NONCE_CHARS),
        ] {
            assert_eq!(check(text, NOW), Err(NonceError::Foreign), "{text}");
        }
    }

    #[test]
    fn a_clock_before_1970_issues_nonces_that_are_too_old() {
        let nonce = issuer("a secret").issue(Purpose::X402, DOMAIN, UnixTime::from_secs(-1), [0; RANDOM_BYTES]);
        assert_eq!(nonce.len(), NONCE_CHARS);
        assert_eq!(check(&nonce, NOW), Err(NonceError::Old { age_secs_max: 300 }));
    }
}
