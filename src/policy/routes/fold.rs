//! The readings of a path that an upstream might have, for the shadow rule.
//!
//! Upstreams differ in which of these they do, so each combination is a reading of its own: one that cuts a parameter
//! may uncover a cheap route where one that does not finds a dear one. Patterns are folded as the path is: it is
//! the same upstream that reads them.

use crate::policy::target::{CanonicalPath, escape_at};

/// What an upstream may do to a path before it looks it up, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fold(u8);

impl Fold {
    /// Nothing: the path as it is.
    pub(super) const AS_IS: Self = Self(0);

    /// How many there are.
    pub(super) const COUNT: usize = 32;

    /// Ignores letter case.
    const LOWER: u8 = 1;
    /// Decodes what is still escaped.
    const DECODE: u8 = 1 << 1;
    /// Cuts what follows a `;` in a segment, before it decodes.
    const CUT_RAW: u8 = 1 << 2;
    /// Cuts what follows a `;` in a segment, after it decoded.
    const CUT: u8 = 1 << 3;
    /// Drops a slash that follows another.
    const COLLAPSE: u8 = 1 << 4;

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..1 << 5).map(Self)
    }

    /// All that do nothing but what this one does, but for [`Self::AS_IS`].
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        (1..=self.0).filter(move |bits| bits & !self.0 == 0).map(Self)
    }

    /// The most that can make a difference to a path.
    pub(super) fn of(path: &CanonicalPath<'_>) -> Self {
        let when = |holds: bool, bits: u8| if holds { bits } else { 0 };
        Self(
            when(path.has_upper_case(), Self::LOWER)
                | when(path.has_escapes(), Self::DECODE)
                | when(path.holds_semicolon(), Self::CUT_RAW | Self::CUT)
                | when(path.reserved().is_some(), Self::COLLAPSE),
        )
    }

    /// What either does.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// A number below [`Self::COUNT`].
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Writes the folded path to the front of `out` and says how long it is. No fold makes a path longer, so `out`
    /// need not be longer than the path.
    pub(super) fn write(self, path: &[u8], out: &mut [u8]) -> usize {
        let mut length = 0;
        let mut at = 0;
        let mut cutting_raw = false;
        let mut cutting = false;
        while at < path.len() {
            let raw = path[at];
            let escape = if self.does(Self::DECODE) { escape_at(path, at) } else { None };
            at += if escape.is_some() { 3 } else { 1 };
            match raw {
                b'/' => cutting_raw = false,
                b';' if self.does(Self::CUT_RAW) => cutting_raw = true,
                _ => {}
            }
            if cutting_raw {
                continue;
            }
            let byte = escape.unwrap_or(raw);
            match byte {
                b'/' => cutting = false,
                b';' if self.does(Self::CUT) => cutting = true,
                _ => {}
            }
            let doubled = byte == b'/' && length > 0 && out[length - 1] == b'/';
            if cutting || (doubled && self.does(Self::COLLAPSE)) {
                continue;
            }
            out[length] = if self.does(Self::LOWER) { byte.to_ascii_lowercase() } else { byte };
            length += 1;
        }
        length
    }

    fn does(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}
