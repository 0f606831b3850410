//! What one decision costs, without sockets: the gate over an in-memory store.
//!
//! Warm: the token and what its account holds are remembered. Cold: a token never seen before, of an account that is
//! remembered, so that the store's own time is not in it; the difference to `verify_eip191` and `verify_ed25519` of
//! the `proof` bench is reading, judging and remembering. Nothing here waits: a decision that would is a mistake of
//! the bench.

mod support;

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ed25519_dalek::Signer as _;
use http::{HeaderMap, Method, header::AUTHORIZATION};
use siwx_gateway::{
    gate::{Gate, Judged, LastCredential, Stores, Verdict, view::RequestView},
    metrics::Metrics,
    policy::{
        decision::{Decision, Reason},
        routes::Routes,
        target::CanonicalPath,
    },
    store,
    time::UnixTime,
};
use support::{CHAIN, address, authorization, config, now, runtime, subscribe, text, token, wallet};

/// Solana's main network, as CAIP-2 names it.
const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

/// Wallets that are known to the gate, beside the one of Solana.
const WALLETS: u32 = 1000;

/// A gate and the time it is asked at.
struct Bench {
    gate: Gate,
    now: UnixTime,
    /// Of the one connection that all requests come by.
    last: LastCredential,
    public: CanonicalPath<'static>,
    paid: CanonicalPath<'static>,
}

impl Bench {
    /// A gate that has seen one token of each account.
    fn new() -> Self {
        let (config, _) = config("http://127.0.0.1:1", "");
        let store = store::open(&config.store).expect("the store opens");
        let metrics = Arc::new(Metrics::new());
        let stores = Stores {
            subscriptions: store.subscriptions(),
            usage: store.usage(),
            nonces: store.nonces(),
            foreign_writes: store.foreign_writes(),
            backend: store.name(),
        };
        let routes = Routes::build(config.routes).unwrap_or_else(|_| panic!("routes that agree"));
        let this = Self {
            gate: Gate::new(config.gate, routes, stores, &metrics, Instant::now()),
            now: now(),
            last: LastCredential::default(),
            public: path("/public/data"),
            paid: path("/paid/data"),
        };
        let runtime = runtime();
        let accounts = (1..=WALLETS).map(|number| format!("{CHAIN}:{}", address(&wallet(number))));
        for account in accounts.chain([format!("{SOLANA}:{}", solana_address())]) {
            subscribe(&runtime, &store, &account);
        }
        let tokens = (1..=WALLETS).map(|number| token(&wallet(number), &wallet(number), 0));
        for token in tokens.chain([solana_token(0)]) {
            let headers = presenting(&token);
            let judged = runtime.block_on(this.gate.decide(&this.view(&this.paid, &headers), this.now));
            assert_eq!(judged.reason(), Some(Reason::Ok), "{token}");
        }
        this
    }

    fn view<'r>(&'r self, path: &'r CanonicalPath<'r>, headers: &'r HeaderMap) -> RequestView<'r> {
        RequestView {
            method: &Method::GET,
            host: "api.example.com",
            path,
            target: path.as_str(),
            headers,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            last: &self.last,
            started: Instant::now(),
        }
    }

    /// The decision about a request for the route that needs a subscription.
    fn decide(&self, headers: &HeaderMap) -> Judged<'_> {
        at_once(self.gate.decide(&self.view(&self.paid, headers), self.now))
    }
}

fn path(text: &'static str) -> CanonicalPath<'static> {
    CanonicalPath::parse(text).unwrap_or_else(|_| panic!("a path"))
}

/// What a future is that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the decision waits: something is not remembered"),
    }
}

fn presenting(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, token.parse().expect("a header value"))])
}

fn solana_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

fn solana_address() -> String {
    bs58::encode(solana_key().verifying_key().to_bytes()).into_string()
}

fn solana_token(nonce: u64) -> String {
    let text = text("Solana", &solana_address(), "mainnet", nonce);
    let signature = bs58::encode(solana_key().sign(text.as_bytes()).to_bytes()).into_string();
    authorization(&text, &signature)
}

fn open(bench: &mut Criterion) {
    let gate = Bench::new();
    let nothing = HeaderMap::new();
    let public = || at_once(gate.gate.decide(&gate.view(&gate.public, &nothing), gate.now));
    assert_eq!(public().reason(), Some(Reason::Public));
    bench.bench_function("decide_public", |bencher| bencher.iter(|| black_box(public())));
}

fn warm(bench: &mut Criterion) {
    let gate = Bench::new();
    let one = presenting(&token(&wallet(1), &wallet(1), 0));
    assert_eq!(gate.decide(&one).is_warm(), Some(true));
    bench.bench_function("decide_warm_token", |bencher| bencher.iter(|| black_box(gate.decide(&one))));

    let all: Vec<_> = (1..=WALLETS).map(|number| presenting(&token(&wallet(number), &wallet(number), 0))).collect();
    assert!(all.iter().all(|headers| gate.decide(headers).is_warm() == Some(true)));
    let mut turns = all.iter().cycle();
    bench.bench_function("decide_warm_token_1000_wallets", |bencher| {
        bencher.iter(|| black_box(gate.decide(turns.next().expect("a cycle has no end"))));
    });
}

fn cold(bench: &mut Criterion) {
    let gate = Bench::new();
    let mut nonce = 0;
    let mut new = |token: &dyn Fn(u64) -> String| {
        nonce += 1;
        presenting(&token(nonce))
    };
    let evm = |nonce| token(&wallet(1), &wallet(1), nonce);
    for (name, token) in
        [("decide_cold_token_eip191", &evm as &dyn Fn(u64) -> String), ("decide_cold_token_ed25519", &solana_token)]
    {
        let judged = gate.decide(&new(token));
        assert_eq!((judged.reason(), judged.is_warm()), (Some(Reason::Ok), Some(false)), "{name}");
        bench.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| new(token), |headers| gate.decide(headers).after, BatchSize::SmallInput);
        });
    }
}

fn refused(bench: &mut Criterion) {
    let gate = Bench::new();
    let nothing = HeaderMap::new();
    let forged = presenting(&token(&wallet(1), &wallet(2), 0));
    for (name, headers, reason) in [
        ("decide_no_credential", &nothing, Reason::NoCredential),
        ("decide_forged_token", &forged, Reason::BadSignature),
    ] {
        let judged = gate.decide(headers);
        assert!(matches!(judged.verdict, Verdict::Decided(Decision::Refuse(_))), "{name}");
        assert_eq!(judged.reason(), Some(reason), "{name}");
        bench.bench_function(name, |bencher| bencher.iter(|| black_box(gate.decide(headers))));
    }
}

criterion_group! {
    name = decide;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .without_plots();
    targets = open, warm, cold, refused
}
criterion_main!(decide);
