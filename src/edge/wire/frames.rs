//! The frames of HTTP/2 as a client sends them, counted by their headers (hardening.md rows T5 and T8, and section 2).
//!
//! h2 bounds streams, header lists, CONTINUATION frames and resets it could not foresee; it answers every PING and
//! every SETTINGS, and takes any number of resets of streams that were served. Those are counted here:
//!
//! 1. RST_STREAM: so many in ten seconds and so many on one connection.
//! 2. PING and SETTINGS: ten in a second. DATA without a byte that ends no stream, and PRIORITY, which says nothing:
//!    a hundred in a second.
//! 3. Only headers are read. Whether frames are in order is for h2 to say; it sees every byte.

use std::time::{Duration, Instant};

use crate::edge::settings::ResetLimits;

/// What a client sent too many of; in `siwx_h2_goaways_total`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Frames that say nothing: DATA without a byte, PRIORITY.
    Empty,
    /// PING.
    Ping,
    /// RST_STREAM.
    Reset,
    /// SETTINGS.
    Settings,
}

/// Where a connection is among its frames, and what it has sent.
#[derive(Debug)]
pub struct Frames {
    limits: ResetLimits,
    /// Bytes that are passed over: of the preface, of a frame's payload.
    skip: usize,
    header: [u8; HEADER],
    seen: usize,
    flood: Option<Flood>,
    resets: u32,
    recent_resets: Window,
    pings: Window,
    settings: Window,
    empty: Window,
}

/// How many of something came within some time: one span after another, each counted from nothing.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    count: u32,
}

/// `PRI * HTTP/2.0`, and what belongs to it.
const PREFACE: usize = 24;
const HEADER: usize = 9;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;

const SECOND: Duration = Duration::from_secs(1);
const RESETS_WITHIN: Duration = Duration::from_secs(10);
const PINGS: u32 = 10;
const SETTINGS_FRAMES: u32 = 10;
const EMPTY: u32 = 100;

// === impl Flood ===

impl Flood {
    /// The word of `siwx_h2_goaways_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "protocol",
            Self::Ping => "ping",
            Self::Reset => "rapid_reset",
            Self::Settings => "settings",
        }
    }
}

// === impl Frames ===

impl Frames {
    /// A connection of which nothing was read yet.
    pub fn new(limits: ResetLimits) -> Self {
        Self {
            limits,
            skip: PREFACE,
            header: [0; HEADER],
            seen: 0,
            flood: None,
            resets: 0,
            recent_resets: Window::default(),
            pings: Window::default(),
            settings: Window::default(),
            empty: Window::default(),
        }
    }

    /// Walks over the next bytes and says how many of them may pass: after a flood those of the frame that was one too
    /// many. `now` is asked for when a frame is one of those that are counted.
    pub fn take(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                rest = &rest[skipped..];
                continue;
            }
            if self.flood.is_some() {
                break;
            }
            let wanted = (HEADER - self.seen).min(rest.len());
            let (part, after) = rest.split_at(wanted);
            self.header[self.seen..self.seen + wanted].copy_from_slice(part);
            self.seen += wanted;
            rest = after;
            if self.seen == HEADER {
                self.seen = 0;
                self.flood = self.frame(&now).err();
            }
        }
        bytes.len() - rest.len()
    }

    /// What the connection ends for, once the last frame that passes is through.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.filter(|_| self.skip == 0)
    }

    fn frame(&mut self, now: &impl Fn() -> Instant) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = length;
        let (window, within, most, flood) = match kind {
            RST_STREAM => {
                self.resets = self.resets.saturating_add(1);
                if self.resets > self.limits.per_connection {
                    return Err(Flood::Reset);
                }
                (&mut self.recent_resets, RESETS_WITHIN, self.limits.per_10s, Flood::Reset)
            }
            PING => (&mut self.pings, SECOND, PINGS, Flood::Ping),
            SETTINGS => (&mut self.settings, SECOND, SETTINGS_FRAMES, Flood::Settings),
            DATA if length == 0 && flags & END_STREAM == 0 => (&mut self.empty, SECOND, EMPTY, Flood::Empty),
            PRIORITY => (&mut self.empty, SECOND, EMPTY, Flood::Empty),
            _ => return Ok(()),
        };
        if window.one_more(now(), within) > most { Err(flood) } else { Ok(()) }
    }
}

// === impl Window ===

impl Window {
    /// Counts one, and says how many there are now.
    fn one_more(&mut self, now: Instant, within: Duration) -> u32 {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= within) {
            self.began = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ResetLimits = ResetLimits { per_10s: 20, per_connection: 50 };

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend(vec![PING; usize::from(length)]);
        bytes
    }

    /// How many of a frame pass when they come at the same time, and how many when a second lies between them.
    fn passing(frame: &[u8], piece: usize) -> (usize, Option<Flood>, usize) {
        let count = |step: Duration| {
            let (mut frames, mut now) = (Frames::new(LIMITS), Instant::now());
            frames.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", || now);
            for number in 0..200 {
                now += step;
                for piece in frame.chunks(piece) {
                    assert_eq!(frames.take(piece, || now), piece.len());
                }
                if let Some(flood) = frames.flood() {
                    assert_eq!(frames.take(frame, || now), 0, "nothing passes after it");
                    return (number, Some(flood));
                }
            }
            (200, None)
        };
        let (at_once, flood) = count(Duration::ZERO);
        (at_once, flood, count(SECOND).0)
    }

    #[test]
    fn floods() {
        let rows = [
            ("PING", frame(PING, 0, 8), 10, Some(Flood::Ping), 200),
            ("SETTINGS", frame(SETTINGS, 0, 0), 10, Some(Flood::Settings), 200),
            ("SETTINGS with some", frame(SETTINGS, 0, 12), 10, Some(Flood::Settings), 200),
            ("empty DATA", frame(DATA, 0, 0), 100, Some(Flood::Empty), 200),
            ("DATA that ends a stream", frame(DATA, END_STREAM, 0), 200, None, 200),
            ("DATA", frame(DATA, 0, 9), 200, None, 200),
            ("PRIORITY", frame(PRIORITY, 0, 5), 100, Some(Flood::Empty), 200),
            ("RST_STREAM", frame(RST_STREAM, 0, 4), 20, Some(Flood::Reset), 50),
            ("HEADERS", frame(1, 4, 200), 200, None, 200),
            ("WINDOW_UPDATE", frame(8, 0, 4), 200, None, 200),
        ];
        for (name, bytes, at_once, flood, slowly) in rows {
            for piece in [1, 5, 9, 1000] {
                assert_eq!(passing(&bytes, piece), (at_once, flood, slowly), "{name} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn long_payloads_are_passed_over() {
        let mut frames = Frames::new(LIMITS);
        let mut bytes = vec![b'x'; PREFACE];
        bytes.extend([0x01, 0x00, 0x01, DATA, 0, 0, 0, 0, 1]);
        bytes.extend(vec![PING; 0x1_0001]);
        bytes.extend(frame(PING, 0, 8).repeat(10));
        assert_eq!((frames.take(&bytes, Instant::now), frames.flood()), (bytes.len(), None));
        let two = frame(PING, 0, 8).repeat(2);
        assert_eq!((frames.take(&two[..12], Instant::now), frames.flood()), (12, None), "in the midst of one");
        assert_eq!((frames.take(&two[12..], Instant::now), frames.flood()), (5, Some(Flood::Ping)));
    }
}
