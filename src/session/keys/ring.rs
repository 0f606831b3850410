//! Keys that change while the gateway runs.
//!
//! 1. What a key is for follows from when it was made and what time it is, and from nothing else: processes that share a
//!    store need not agree on a moment, and one that was away knows what it missed.
//! 2. A key is published at once, and signs [`LEAD`] later: so long whoever verifies may keep the document without it.
//! 3. The one before it is published as long as tokens of its can live, and is nothing after that.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{Algorithm, KeyError, OLD_KEYS_MAX, OldKey, SigningKey, SigningKeys};
use crate::{secret::Secret, session::token, time::UnixTime};

/// From the making of a key to its first signature: how long verifiers may keep the document (`max-age` of it, 300 s),
/// after every process has had the time to publish it.
pub const LEAD: Duration = Duration::from_secs(310);

/// A key and when it was made.
#[derive(Debug, Clone)]
pub struct Generation {
    /// The key.
    pub key: SigningKey,
    /// When it was made; nothing: it is the first one.
    pub made_at: Option<UnixTime>,
}

/// What a key is for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It signs.
    Current,
    /// It is published, and signs from then on.
    Next(UnixTime),
    /// It signed, and is published until then.
    Old(UnixTime),
    /// No token of its can be alive.
    Over,
}

/// The keys of a purpose. Whoever signs or verifies takes them once, for as long as that lasts.
#[derive(Debug)]
pub struct KeyRing {
    /// How long a token may live.
    life: Duration,
    generations: ArcSwap<Vec<Generation>>,
    now: ArcSwap<Now>,
}

/// What there is of them at a time.
#[derive(Debug)]
struct Now {
    keys: Arc<SigningKeys>,
    /// The beginnings of all tokens of theirs.
    marks: Vec<String>,
}

// === impl Standing ===

impl Standing {
    /// Its word for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next(_) => "next",
            Self::Old(_) => "old",
            Self::Over => "over",
        }
    }
}

// === impl Generation ===

impl Generation {
    /// A generation of each of several secrets.
    pub fn derive<'s>(
        secrets: impl IntoIterator<Item = (&'s Secret<[u8; 32]>, Option<UnixTime>)>,
        algorithm: Algorithm,
    ) -> Vec<Self> {
        let one = |(secret, made_at)| Self { key: SigningKey::derive(secret, algorithm), made_at };
        secrets.into_iter().map(one).collect()
    }

    /// From when on it signs, unless another does.
    fn signs_from(&self) -> Option<UnixTime> {
        self.made_at.map(|made_at| made_at.plus(LEAD))
    }
}

/// What each of several generations is for, the oldest first.
pub fn standings(generations: &[Generation], life: Duration, now: UnixTime) -> Vec<Standing> {
    let current = generations.iter().rposition(|one| one.signs_from().is_none_or(|from| from <= now)).unwrap_or(0);
    let standing = |(place, one): (usize, &Generation)| {
        if place == current {
            return Standing::Current;
        }
        if place > current {
            return Standing::Next(one.signs_from().unwrap_or(now));
        }
        // It signed until the one after it did.
        let until = generations.get(place + 1).and_then(Generation::signs_from).unwrap_or(now).plus(life);
        if now < until { Standing::Old(until) } else { Standing::Over }
    };
    generations.iter().enumerate().map(standing).collect()
}

/// Why there is no place for one more key; nothing: there is.
pub fn obstacle(standings: &[Standing]) -> Option<&'static str> {
    if standings.iter().any(|standing| matches!(standing, Standing::Next(_))) {
        return Some("a new key is published already and does not sign yet");
    }
    let old = standings.iter().filter(|standing| matches!(standing, Standing::Old(_))).count();
    (old >= OLD_KEYS_MAX).then_some("too many old keys are published still, whose tokens are not over")
}

// === impl KeyRing ===

impl KeyRing {
    /// A key that stays.
    pub fn of(key: SigningKey) -> Arc<Self> {
        let now = Now::of(SigningKeys::new(key));
        Arc::new(Self { life: Duration::ZERO, generations: ArcSwap::default(), now: ArcSwap::from_pointee(now) })
    }

    /// Keys of generations, the oldest first, of which there is one at least.
    pub fn new(generations: Vec<Generation>, life: Duration, now: UnixTime) -> Option<Arc<Self>> {
        let first = generations.first()?.key.clone();
        let ring = Self {
            life,
            generations: ArcSwap::default(),
            now: ArcSwap::from_pointee(Now::of(SigningKeys::new(first))),
        };
        ring.change(generations, now);
        Some(Arc::new(ring))
    }

    /// As they are now.
    pub fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.now.load().keys)
    }

    /// Whether a text begins as a token of one of them does.
    pub fn is_meant(&self, presented: &[u8]) -> bool {
        self.now.load().marks.iter().any(|mark| presented.starts_with(mark.as_bytes()))
    }

    /// Other generations in their place, as they are at a time.
    pub fn change(&self, generations: Vec<Generation>, now: UnixTime) {
        self.generations.store(Arc::new(generations));
        self.turn(now);
    }

    /// What they are for at a time, if that is another thing than it was.
    pub fn turn(&self, now: UnixTime) {
        let Ok(Some(keys)) = at(&self.generations.load(), self.life, now) else {
            return;
        };
        // The one that signs comes first.
        if !keys.all().map(SigningKey::kid).eq(self.keys().all().map(SigningKey::kid)) {
            self.now.store(Arc::new(Now::of(keys)));
        }
    }

    /// Each of them and what it is for.
    pub fn generations(&self, now: UnixTime) -> Vec<(Generation, Standing)> {
        let generations = self.generations.load();
        let standings = standings(&generations, self.life, now);
        generations.iter().cloned().zip(standings).collect()
    }
}

impl Now {
    fn of(keys: SigningKeys) -> Self {
        let marks = keys.all().map(|key| token::head(key) + ".").collect();
        Self { keys: Arc::new(keys), marks }
    }
}

fn at(generations: &[Generation], life: Duration, now: UnixTime) -> Result<Option<SigningKeys>, KeyError> {
    let (mut current, mut next, mut old) = (None, None, Vec::new());
    for (one, standing) in generations.iter().zip(standings(generations, life, now)) {
        match standing {
            Standing::Current => current = Some(one.key.clone()),
            Standing::Next(_) => next = next.or_else(|| Some(one.key.clone())),
            Standing::Old(until) => old.insert(0, OldKey { key: one.key.clone(), until }),
            Standing::Over => {}
        }
    }
    // What is too old for its place had a longer life than is set now.
    old.truncate(OLD_KEYS_MAX);
    current.map(|current| SigningKeys::with(current, next, old)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_168_800);
    const LIFE: Duration = Duration::from_secs(3600);

    fn generations(made_at: &[Option<i64>]) -> Vec<Generation> {
        let secrets: Vec<_> = (0..made_at.len()).map(|i| Secret::new([i as u8; 32])).collect();
        let made_at = made_at.iter().map(|secs| secs.map(|secs| NOW.plus_millis(secs * 1000)));
        Generation::derive(secrets.iter().zip(made_at), Algorithm::EdDsa)
    }

    #[test]
    fn a_key_signs_once_everybody_can_know_it() {
        let two = generations(&[None, Some(0)]);
        let ring = KeyRing::new(two.clone(), LIFE, NOW).expect("keys");
        let kid = |i: usize| two[i].key.kid();
        let rows = [
            ("made", 0, 0, 2),
            ("a moment before it signs", 309_999, 0, 2),
            ("when it signs", 310_000, 1, 2),
            ("while tokens of the other live", 3_909_999, 1, 2),
            ("when they are over", 3_910_000, 1, 1),
        ];
        for (name, after, current, published) in rows {
            let now = NOW.plus_millis(after);
            ring.turn(now);
            let keys = ring.keys();
            assert_eq!(keys.current().kid(), kid(current), "{name}");
            assert_eq!(keys.jwks(now)["keys"].as_array().map(Vec::len), Some(published), "{name}");
            assert!(ring.is_meant(format!("{}.x", token::head(&two[1].key)).as_bytes()), "{name}");
        }
        assert!(!ring.is_meant(format!("{}.x", token::head(&two[0].key)).as_bytes()), "it is nobody's any more");
    }

    #[test]
    fn what_each_is_for() {
        use Standing::{Current, Next, Old, Over};
        let until = |secs: i64| NOW.plus_millis(secs * 1000);
        let rows = [
            ("one", generations(&[None]), vec![Current]),
            ("one that was made just now, and no other", generations(&[Some(0)]), vec![Current]),
            ("a new one", generations(&[None, Some(-10)]), vec![Current, Next(until(300))]),
            (
                "two processes, at once",
                generations(&[None, Some(-10), Some(-9)]),
                vec![Current, Next(until(300)), Next(until(301))],
            ),
            ("after a day", generations(&[None, Some(-86_400), Some(-1000)]), vec![Over, Old(until(2910)), Current]),
        ];
        for (name, generations, expected) in rows {
            assert_eq!(standings(&generations, LIFE, NOW), expected, "{name}");
        }
    }

    #[test]
    fn there_is_a_place_for_one_key_at_a_time() {
        let of = |made_at: &[Option<i64>]| obstacle(&standings(&generations(made_at), LIFE, NOW));
        assert_eq!(of(&[None]), None);
        assert!(of(&[None, Some(-309)]).is_some_and(|why| why.contains("does not sign yet")));
        assert_eq!(of(&[None, Some(-310)]), None);
        let often: Vec<_> = std::iter::once(None).chain((1..=8).map(|i| Some(-3000 + i * 300))).collect();
        assert!(of(&often).is_some_and(|why| why.contains("too many old keys")));
        assert_eq!(of(&often[..8]), None);
    }

    #[test]
    fn a_configured_key_stays() {
        let key = generations(&[None]).remove(0).key;
        let ring = KeyRing::of(key.clone());
        ring.turn(NOW);
        assert_eq!(ring.keys().current().kid(), key.kid());
        assert!(ring.generations(NOW).is_empty());
        assert!(KeyRing::new(Vec::new(), LIFE, NOW).is_none());
    }
}
