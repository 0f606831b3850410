//! An HTTP/2 client that writes its frames by hand, right ones and wrong ones, and shows what comes back.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use super::Gateway;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// A frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection.
pub(crate) struct Frames {
    stream: TcpStream,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// The connection ended: with this error, or without a word.
    Connection(Option<u32>),
    /// It was reset, with this error.
    Reset(u32),
    /// It was answered with this status.
    Answered(u16),
}

/// The fields of a request as they go into a block.
pub(crate) type Fields<'f> = &'f [(&'f str, &'f str)];

/// A GET of a target of the usual host.
pub(crate) fn get(target: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "api.example.com"), (":path", target)]
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of fields, each written out and remembered by nobody (RFC 7541 §6.2.2).
pub(crate) fn block(fields: Fields<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127 + 128, "a short text");
            match u8::try_from(text.len()).expect("a short text") {
                length @ 0..127 => bytes.push(length),
                length => bytes.extend([127, length - 127]),
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// HEADERS of a request without a body, or with one to come.
pub(crate) fn request(stream: u32, fields: Fields<'_>, ends: bool) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | u8::from(ends), stream, &block(fields))
}

impl Frames {
    /// A connection with the preface sent and these settings, each a number and its value. The gateway is told to
    /// remember no field, so that [`End::Answered`] can be read off each block alone.
    pub(crate) fn connect(gateway: &Gateway, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(gateway.address).expect("the gateway accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        let mut this = Self { stream };
        let settings = [(1, 0)].iter().chain(settings);
        let settings: Vec<u8> =
            settings.flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        this.write(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat());
        this
    }

    /// Sends bytes to somebody who may have closed already.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame; nothing at the end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// What becomes of a stream.
    pub(crate) fn end_of(&mut self, stream: u32) -> End {
        while let Some(frame) = self.next() {
            match frame.kind {
                GOAWAY if error(&frame.payload[4..]) != 0 => return End::Connection(Some(error(&frame.payload[4..]))),
                RST_STREAM if frame.stream == stream => return End::Reset(error(&frame.payload)),
                HEADERS if frame.stream == stream => return End::Answered(status(&frame.payload)),
                _ => {}
            }
        }
        End::Connection(None)
    }

    /// The error of the GOAWAY with which the connection ends, if it has one.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        match self.end_of(0) {
            End::Connection(error) => error,
            other => panic!("stream 0 has no end: {other:?}"),
        }
    }
}

fn error(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("an error of four bytes"))
}

/// The status at the front of a block: a field of the static table, or a literal of digits (RFC 7541 appendices A, B).
fn status(block: &[u8]) -> u16 {
    let sizes = block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
    let block = &block[sizes..];
    if block[0] & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] & 0x7f) - 8];
    }
    assert_eq!(block[0] & 0x0f, 8, "`:status` comes first: {block:?}");
    let (huffman, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let text = &block[2..2 + length];
    if !huffman {
        return std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("three digits");
    }
    let bits: Vec<u16> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let number = |bits: &[u16]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let five = number(&bits[at..at + 5]);
        let (digit, length) = if five <= 2 { (five, 5) } else { (number(&bits[at..at + 6]) - 0x19 + 3, 6) };
        status = status * 10 + digit;
        at += length;
    }
    status
}
