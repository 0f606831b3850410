//! Where the frames of a WebSocket begin and end (RFC 6455 section 5.2), for whoever wants to put one of its own between
//! two of them. What is in them is nobody's business here.

/// Follows one direction of a WebSocket, byte by byte.
#[derive(Debug, Default, Clone)]
pub(super) struct Frames {
    /// What is known of the head of a frame that has begun.
    head: [u8; HEAD_MAX],
    have: usize,
    /// Bytes that are left of its payload.
    left: u64,
    /// Whether a Close was among them: nothing may follow it.
    closed: bool,
}

/// Two bytes, eight of length, four of mask.
const HEAD_MAX: usize = 14;

const CLOSE: u8 = 0x8;

/// Going away: the server drains, or nobody spoke for too long.
pub(super) const GOING_AWAY: u16 = 1001;

/// Policy violation: what opened the WebSocket does not hold any more.
pub(super) const POLICY: u16 = 1008;

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) const fn between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a Close was seen.
    pub(super) const fn closed(&self) -> bool {
        self.closed
    }

    /// Takes bytes that went through.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let length = self.rest(bytes);
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }

    /// How many of these bytes belong to the frame that has begun, or that begins with them; at least one, if there is
    /// one. They count as passed.
    pub(super) fn rest(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.left == 0 {
            let (Some(byte), Some(place)) = (bytes.get(taken), self.head.get_mut(self.have)) else {
                return taken;
            };
            *place = *byte;
            (self.have, taken) = (self.have + 1, taken + 1);
            if let Some(length) = self.payload() {
                self.closed |= self.head[0] & 0x0f == CLOSE;
                (self.have, self.left) = (0, length);
                if length == 0 {
                    return taken;
                }
                break;
            }
        }
        let here = u64::try_from(bytes.len() - taken).unwrap_or(u64::MAX).min(self.left);
        self.left -= here;
        taken + usize::try_from(here).unwrap_or(usize::MAX)
    }

    /// The length of the payload, once the head is complete.
    fn payload(&self) -> Option<u64> {
        if self.have < 2 {
            return None;
        }
        let [_, second, rest @ ..] = &self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (extended, length) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => (8, rest.iter().take(8).fold(0, |length, byte| length << 8 | u64::from(*byte))),
            short => (0, u64::from(short)),
        };
        (self.have == 2 + extended + mask).then_some(length)
    }
}

/// A Close with this code. Towards a server frames are masked, by any four bytes; what they would hide is nothing of a
/// client's.
pub(super) fn close(code: u16, masked: bool) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    if !masked {
        return vec![0x80 | CLOSE, 2, high, low];
    }
    let mask = [0x5a, 0xc3, 0x96, 0x3c];
    let mut frame = vec![0x80 | CLOSE, 0x80 | 2];
    frame.extend_from_slice(&mask);
    frame.extend_from_slice(&[high ^ mask[0], low ^ mask[1]]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a payload of so many bytes.
    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..=125 => frame.push(mask | u8::try_from(payload).expect("short")),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend_from_slice(&u16::try_from(payload).expect("two bytes").to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[7; 4][..if masked { 4 } else { 0 }]);
        frame.extend(std::iter::repeat_n(0x88, payload));
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let one = frame(0x2, masked, payload);
                let two: Vec<u8> = [one.as_slice(), &frame(0x1, masked, 3)].concat();
                let mut whole = Frames::default();
                assert_eq!(whole.rest(&two), one.len(), "{payload} {masked}");
                assert!(whole.between() && !whole.closed(), "{payload} {masked}");
                let mut bytewise = Frames::default();
                for (at, byte) in two.iter().enumerate() {
                    assert_eq!(bytewise.between(), at == 0 || at == one.len(), "{payload} {masked} at {at}");
                    bytewise.pass(std::slice::from_ref(byte));
                }
                assert!(bytewise.between(), "{payload} {masked}");
            }
        }
    }

    #[test]
    fn a_close_is_seen() {
        for masked in [false, true] {
            let mut frames = Frames::default();
            frames.pass(&frame(0x9, masked, 5));
            assert!(!frames.closed());
            let close = close(POLICY, masked);
            frames.pass(&close);
            assert!(frames.closed() && frames.between());
            let payload: Vec<u8> = if masked {
                close[6..].iter().zip(&close[2..6]).map(|(byte, mask)| byte ^ mask).collect()
            } else {
                close[2..].to_vec()
            };
            assert_eq!(payload, 1008_u16.to_be_bytes());
        }
    }
}
