//! The frames of HTTP/2 as a client sends them, counted by their headers (hardening.md rows T5 and T8, and section 2).
//!
//! h2 bounds streams, header lists, CONTINUATION frames and resets it could not foresee; it answers every PING and
//! every SETTINGS, and takes any number of resets of streams that were served. Those are counted here:
//!
//! 1. RST_STREAM: so many in ten seconds and so many on one connection.
//! 2. PING and SETTINGS: ten in a second. DATA without a byte that ends no stream: a hundred in a second.
//! 3. Frames that change nothing here, PRIORITY above all: a hundred in a second, and ten for each stream.
//! 4. WINDOW_UPDATE: a hundred in a second, and twenty for each stream and for each DATA frame the client was sent. So
//!    those that a download asks for are never too many, however large it is and however small the windows.
//! 5. A PING is not counted if something of an answer was sent since the one before: clients of gRPC measure the way to
//!    us with one for each DATA frame that they get, as often as the way is short.
//! 6. Only headers are read. Whether frames are in order is for h2 to say; it sees every byte.

use std::time::{Duration, Instant};

use crate::edge::settings::ResetLimits;

/// What a client sent too many of; in `siwx_h2_goaways_total`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// DATA without a byte that counts.
    Empty,
    /// Frames of nothing to anybody: PRIORITY, GOAWAY, unknown ones.
    Idle,
    /// PING.
    Ping,
    /// RST_STREAM.
    Reset,
    /// SETTINGS.
    Settings,
    /// WINDOW_UPDATE.
    WindowUpdate,
}

/// What a client has sent on a connection, and was sent.
#[derive(Debug)]
pub struct Frames {
    limits: ResetLimits,
    received: Place,
    sent: Place,
    flood: Option<Flood>,
    resets: u32,
    recent_resets: Window,
    pings: Window,
    /// Whether something of an answer was sent since the last PING.
    answered: bool,
    settings: Window,
    empty: Window,
    idle: Window,
    /// Frames that change nothing and are not counted: those that come with streams.
    idle_granted: u32,
    updates: Window,
    /// WINDOW_UPDATEs that are not counted: those that somebody has reason to send.
    updates_granted: u32,
}

/// Where one side is among its frames.
#[derive(Debug)]
struct Place {
    /// Bytes that are passed over: of the preface, of a frame's payload.
    skip: usize,
    header: [u8; HEADER],
    seen: usize,
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
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// The first of those that HTTP/2 itself does not know (RFC 9113 §5.5): they are ignored.
const EXTENSIONS: u8 = 10;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// The longest DATA frame that may be padding alone.
const PADDING_MAX: usize = 256;

const SECOND: Duration = Duration::from_secs(1);
const RESETS_WITHIN: Duration = Duration::from_secs(10);
const PINGS: u32 = 10;
const SETTINGS_FRAMES: u32 = 10;
const EMPTY: u32 = 100;

/// nghttp begins with five PRIORITY frames, Firefox began with six. Chromium sends up to three for a stream, and again
/// when the page is looked at elsewhere.
const IDLE: u32 = 100;
const IDLE_A_STREAM: u32 = 10;

/// What clients send before there is anything to take: one for the connection, one for each stream.
const UPDATES: u32 = 100;
/// A client that takes 16 KiB in pieces of 4 sends eight, four of the stream and four of the connection; the most that is
/// known. Envoy allows the same twenty.
const UPDATES_GRANTED: u32 = 20;

// === impl Flood ===

impl Flood {
    /// The word of `siwx_h2_goaways_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty | Self::Idle | Self::WindowUpdate => "protocol",
            Self::Ping => "ping",
            Self::Reset => "rapid_reset",
            Self::Settings => "settings",
        }
    }
}

// === impl Place ===

impl Place {
    const fn after(skip: usize) -> Self {
        Self { skip, header: [0; HEADER], seen: 0 }
    }

    /// What follows after what is passed over.
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        &bytes[skipped..]
    }

    /// A frame's kind, flags and length, once its header is whole; and what follows it.
    fn header<'b>(&mut self, bytes: &'b [u8]) -> (Option<(u8, u8, usize)>, &'b [u8]) {
        let wanted = (HEADER - self.seen).min(bytes.len());
        let (part, rest) = bytes.split_at(wanted);
        self.header[self.seen..self.seen + wanted].copy_from_slice(part);
        self.seen += wanted;
        if self.seen < HEADER {
            return (None, rest);
        }
        let [high, middle, low, kind, flags, ..] = self.header;
        self.seen = 0;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        (Some((kind, flags, self.skip)), rest)
    }
}

// === impl Frames ===

impl Frames {
    /// A connection of which nothing was read yet.
    pub fn new(limits: ResetLimits) -> Self {
        Self {
            limits,
            received: Place::after(PREFACE),
            sent: Place::after(0),
            flood: None,
            resets: 0,
            recent_resets: Window::default(),
            pings: Window::default(),
            answered: false,
            settings: Window::default(),
            empty: Window::default(),
            idle: Window::default(),
            idle_granted: 0,
            updates: Window::default(),
            updates_granted: 0,
        }
    }

    /// Walks over the next bytes and says how many of them may pass: after a flood those of the frame that was one too
    /// many. `now` is asked for when a frame is one of those that are counted.
    pub fn take(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.received.pass(rest);
            if self.flood.is_some() {
                break;
            }
            let frame;
            (frame, rest) = self.received.header(rest);
            if let Some((kind, flags, length)) = frame {
                self.flood = self.frame(kind, flags, length, &now).err();
            }
        }
        bytes.len() - rest.len()
    }

    /// Walks over what the client was sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let frame;
            rest = self.sent.pass(rest);
            (frame, rest) = self.sent.header(rest);
            match frame {
                Some((HEADERS, ..)) => self.answered = true,
                Some((DATA, ..)) => {
                    self.answered = true;
                    self.updates_granted = self.updates_granted.saturating_add(UPDATES_GRANTED);
                }
                _ => {}
            }
        }
    }

    /// What the connection ends for, once the last frame that passes is through.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.filter(|_| self.received.skip == 0)
    }

    fn frame(&mut self, kind: u8, flags: u8, length: usize, now: &impl Fn() -> Instant) -> Result<(), Flood> {
        let (window, within, most, flood) = match kind {
            RST_STREAM => {
                self.resets = self.resets.saturating_add(1);
                if self.resets > self.limits.per_connection {
                    return Err(Flood::Reset);
                }
                (&mut self.recent_resets, RESETS_WITHIN, self.limits.per_10s, Flood::Reset)
            }
            PING if std::mem::take(&mut self.answered) => return Ok(()),
            PING => (&mut self.pings, SECOND, PINGS, Flood::Ping),
            SETTINGS => (&mut self.settings, SECOND, SETTINGS_FRAMES, Flood::Settings),
            DATA if is_empty(flags, length) => (&mut self.empty, SECOND, EMPTY, Flood::Empty),
            HEADERS => {
                self.idle_granted = self.idle_granted.saturating_add(IDLE_A_STREAM);
                self.updates_granted = self.updates_granted.saturating_add(UPDATES_GRANTED);
                return Ok(());
            }
            PRIORITY | GOAWAY | EXTENSIONS.. if spend(&mut self.idle_granted) => return Ok(()),
            PRIORITY | GOAWAY | EXTENSIONS.. => (&mut self.idle, SECOND, IDLE, Flood::Idle),
            WINDOW_UPDATE if spend(&mut self.updates_granted) => return Ok(()),
            WINDOW_UPDATE => (&mut self.updates, SECOND, UPDATES, Flood::WindowUpdate),
            _ => return Ok(()),
        };
        if window.one_more(now(), within) > most { Err(flood) } else { Ok(()) }
    }
}

/// Whether a DATA frame says nothing: no byte, or none but padding, for all that its header tells.
const fn is_empty(flags: u8, length: usize) -> bool {
    flags & END_STREAM == 0 && (length == 0 || flags & PADDED != 0 && length <= PADDING_MAX)
}

/// Takes one of what was granted, if there is one.
const fn spend(granted: &mut u32) -> bool {
    let some = *granted > 0;
    *granted = granted.saturating_sub(1);
    some
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
            ("DATA that is padding", frame(DATA, PADDED, 9), 100, Some(Flood::Empty), 200),
            ("DATA that is padding and ends a stream", frame(DATA, PADDED | END_STREAM, 9), 200, None, 200),
            ("PRIORITY", frame(PRIORITY, 0, 5), 100, Some(Flood::Idle), 200),
            ("GOAWAY", frame(GOAWAY, 0, 8), 100, Some(Flood::Idle), 200),
            ("PRIORITY_UPDATE", frame(16, 0, 8), 100, Some(Flood::Idle), 200),
            ("RST_STREAM", frame(RST_STREAM, 0, 4), 20, Some(Flood::Reset), 50),
            ("HEADERS", frame(HEADERS, 4, 200), 200, None, 200),
            ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 4), 100, Some(Flood::WindowUpdate), 200),
        ];
        for (name, bytes, at_once, flood, slowly) in rows {
            for piece in [1, 5, 9, 1000] {
                assert_eq!(passing(&bytes, piece), (at_once, flood, slowly), "{name} in pieces of {piece}");
            }
        }
    }

    /// How many of a frame pass at once, when others were sent or came before each of them.
    fn passing_after(before: &[u8], sent: &[u8], bytes: &[u8]) -> usize {
        let (mut frames, now) = (Frames::new(LIMITS), Instant::now());
        frames.take(&[0; PREFACE], || now);
        for number in 0..5000 {
            for piece in sent.chunks(7) {
                frames.sent(piece);
            }
            frames.take(&[before, bytes].concat(), || now);
            if frames.flood().is_some() {
                return number;
            }
        }
        5000
    }

    #[test]
    fn what_is_sent_grants_what_clients_answer_it_with() {
        let data = [&[0, 0, 2, DATA, 0, 0, 0, 0, 1][..], b"xx"].concat();
        let (update, ping, priority) = (frame(WINDOW_UPDATE, 0, 4), frame(PING, 0, 8), frame(PRIORITY, 0, 5));
        let (headers, settings) = (frame(HEADERS, 4, 30), frame(SETTINGS, 1, 0));
        let rows = [
            ("two updates for each DATA frame", &[][..], &data, update.repeat(2), 5000),
            ("twenty", &[], &data, update.repeat(20), 5000),
            ("more", &[], &data, update.repeat(22), 50),
            ("a PING for each DATA frame", &[], &data, ping.clone(), 5000),
            ("a PING for each head", &[], &headers, ping.clone(), 5000),
            ("two PINGs for each DATA frame", &[], &data, ping.repeat(2), 10),
            ("a PING for each of what is no answer", &[], &settings, ping, 10),
            ("an update for each stream", &headers, &vec![], update.clone(), 5000),
            ("a PRIORITY for each stream", &headers, &vec![], priority.clone(), 5000),
            ("a PRIORITY for each DATA frame", &[], &data, priority, 100),
            ("an update for each of what is no answer", &[], &settings, update, 100),
        ];
        for (name, before, sent, bytes, passing) in rows {
            assert_eq!(passing_after(before, sent, &bytes), passing, "{name}");
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
