//! Frames of HTTP/2 as they are counted, from the first byte of a connection on.
//!
//! All of them come at one moment, so that every bound is a number of frames. The second reader has the whole input at
//! hand and walks over it frame by frame.

use std::time::Instant;

use siwx_gateway::edge::{
    settings::ResetLimits,
    wire::frames::{Flood, Frames},
};

const LIMITS: ResetLimits = ResetLimits { per_10s: 20, per_connection: 25 };

/// `PRI * HTTP/2.0` and what belongs to it.
const PREFACE: usize = 24;
const HEADER: usize = 9;

/// However the bytes arrive in pieces, the same of them pass: all, or those up to the end of the frame that was one too
/// many.
pub fn judge(bytes: &[u8]) {
    let expected = expected(bytes);
    for piece in [1, 2, 5, 9, 10, 4096, bytes.len().max(1)] {
        assert_eq!(taken(bytes, piece), expected, "in pieces of {piece}");
    }
}

/// What passes, and what the connection ends for.
fn taken(bytes: &[u8], piece: usize) -> (usize, Option<Flood>) {
    let (mut frames, now) = (Frames::new(LIMITS), Instant::now());
    let mut passed = 0;
    for piece in bytes.chunks(piece) {
        let length = frames.take(piece, || now);
        assert!(length <= piece.len());
        passed += length;
        if let Some(flood) = frames.flood() {
            assert_eq!(frames.take(bytes, || now), 0, "something passes after the end");
            assert_eq!(frames.flood(), Some(flood), "one end");
            return (passed, Some(flood));
        }
        assert_eq!(length, piece.len(), "what passes stops before there is an end");
    }
    (passed, None)
}

fn expected(bytes: &[u8]) -> (usize, Option<Flood>) {
    let (mut resets, mut pings, mut settings, mut empty, mut idle, mut updates) = (0, 0, 0, 0, 0, 0);
    // What streams that came before grant of the last two.
    let (mut idle_granted, mut updates_granted) = (0_u32, 0_u32);
    let mut at = PREFACE;
    while let Some(header) = bytes.get(at..at + HEADER) {
        let length = usize::from(header[0]) * 0x1_0000 + usize::from(header[1]) * 0x100 + usize::from(header[2]);
        let (ends_stream, padded) = (header[4] % 2 == 1, header[4] / 8 % 2 == 1);
        at += HEADER + length;
        let (count, most, flood) = match header[3] {
            0 if !ends_stream && (length == 0 || padded && length <= 256) => (&mut empty, 100, Flood::Empty),
            1 => {
                idle_granted += 10;
                updates_granted += 20;
                continue;
            }
            2 | 7 | 10.. if idle_granted > 0 => {
                idle_granted -= 1;
                continue;
            }
            2 | 7 | 10.. => (&mut idle, 100, Flood::Idle),
            3 => (&mut resets, LIMITS.per_10s, Flood::Reset),
            4 => (&mut settings, 10, Flood::Settings),
            6 => (&mut pings, 10, Flood::Ping),
            8 if updates_granted > 0 => {
                updates_granted -= 1;
                continue;
            }
            8 => (&mut updates, 100, Flood::WindowUpdate),
            _ => continue,
        };
        *count += 1;
        if *count > most {
            // It ends once that frame is through; until then its payload passes.
            return if at <= bytes.len() { (at, Some(flood)) } else { (bytes.len(), None) };
        }
    }
    (bytes.len(), None)
}
