//! What it costs to judge one request head as bytes, before hyper parses it.
//!
//! The bound is 150 ns for a head of 300 bytes: a warm request as a whole takes some 14 µs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siwx_gateway::edge::wire::head::{HeadLimits, Scan};

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100, target: 8 * 1024 };

/// A head of about so many bytes, as a client sends it: a few short fields and a token.
fn head(bytes: usize) -> Vec<u8> {
    let head = |token: usize| {
        format!(
            "GET /v2/some/path?page=3 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
             Authorization: SIWX {}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
            "A".repeat(token)
        )
    };
    head(bytes - head(0).len()).into_bytes()
}

/// The head of a browser: many fields.
fn browser() -> Vec<u8> {
    b"GET /v2/some/path?page=3 HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\n\
      sec-ch-ua: \"Chromium\";v=\"156\", \"Not_A Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n\
      sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
      Chrome/156.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
      Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
      Referer: https://api.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
      Cookie: __Host-siwx=c2Vzc2lvbnNlc3Npb25zZXNzaW9uc2Vzc2lvbnNlc3Npb24\r\n\r\n"
        .to_vec()
}

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge_head");
    for (name, bytes) in [("300_bytes", head(300)), ("1000_bytes", head(1000)), ("of_a_browser", browser())] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut scan = Scan::BEGIN;
                scan.advance(black_box(&bytes), &LIMITS)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
