//! What is done about nodes that fail: the next one, a rest, a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use siwx_gateway::rpc::{ChainSettings, RpcError, Settings};

use crate::{
    bench::{Bench, chain, endpoint, question, said, silent},
    node::{NO, Node, YES, result},
    server::{Act, Latch},
};

#[tokio::test]
async fn the_first_endpoint_is_asked_and_the_second_when_it_fails() {
    let broken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&broken);
    let first = Node::new(move |request| match switch.load(SeqCst) {
        false => result(request, &json!(YES)),
        true => Act::text(503, "text/plain", "maintenance"),
    });
    let second = Node::saying(NO);
    let bench = Bench::asking(&[&first, &second]);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!((first.calls(), second.calls()), (1, 0));
    broken.store(true, SeqCst);
    assert_eq!(bench.ask().await, Ok(false));
    assert_eq!((first.calls(), second.calls()), (2, 1));
    broken.store(false, SeqCst);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!((first.calls(), second.calls()), (3, 1));
}

#[tokio::test]
async fn an_endpoint_says_its_chain_once_and_after_each_failure() {
    let broken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&broken);
    let node = Node::new(move |request| match switch.load(SeqCst) {
        false => result(request, &json!(YES)),
        true => Act::Close,
    });
    let bench = Bench::asking(&[&node]);
    assert_eq!((bench.ask().await, bench.ask().await), (Ok(true), Ok(true)));
    assert_eq!(node.methods(), ["eth_chainId", "eth_call", "eth_call"]);
    broken.store(true, SeqCst);
    assert!(bench.ask().await.is_err());
    broken.store(false, SeqCst);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!(node.methods()[3..], ["eth_call", "eth_chainId", "eth_call"]);
}

/// Time is the asker's here: three failures shut it off, and after 30 s it is tried again.
#[tokio::test]
async fn the_breaker_opens_and_closes() {
    let broken = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&broken);
    let node = Node::doing(move |request| match (switch.load(SeqCst), request["method"].as_str()) {
        (true, _) => Act::text(503, "text/plain", "maintenance"),
        (false, Some("eth_chainId")) => result(request, &json!("0x1")),
        (false, _) => result(request, &json!(YES)),
    });
    let bench = Bench::asking(&[&node]);
    let (call, begun) = (question(1), Instant::now());
    let ask = async |secs: u64| said(bench.rpc.ask_at(&call, begun + Duration::from_secs(secs)).await);
    let resting = || silent("it is not asked for a while");
    for secs in [0, 10, 20] {
        assert_eq!(ask(secs).await, silent("it answered 503"), "{secs}");
    }
    assert_eq!((ask(30).await, ask(50).await), (resting(), resting()));
    assert_eq!(node.methods().len(), 3, "nothing is sent to it");
    // What fails is noted some time after it was asked.
    assert_eq!(ask(60).await, silent("it answered 503"), "one is let through");
    assert_eq!((ask(61).await, ask(90).await), (resting(), resting()), "which shut it off again");
    broken.store(false, SeqCst);
    assert_eq!((ask(100).await, ask(100).await), (Ok(true), Ok(true)), "it is open again");
    assert_eq!((bench.counted("failed"), bench.counted("ok")), (4, 3));
}

/// A contract on which every node fails: who could shut off an endpoint with it would shut out everybody else.
#[tokio::test]
async fn a_question_that_no_node_survives_shuts_off_none() {
    let node = Node::new(|_| Act::Close);
    let bench = Bench::asking(&[&node]);
    for count in 1..=10 {
        assert_eq!(bench.ask().await, silent("the connection was closed before the answer was complete"));
        assert_eq!(node.calls(), count);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_shut_off_is_passed_over() {
    let first = Node::doing(|_| Act::Close);
    let second = Node::saying(YES);
    let bench = Bench::asking(&[&first, &second]);
    for _ in 0..6 {
        assert_eq!(bench.ask().await, Ok(true));
    }
    assert_eq!((first.methods().len(), second.calls()), (3, 6));
}

#[tokio::test]
async fn all_attempts_of_a_question_end_within_five_seconds() {
    let nodes = [(); 4].map(|()| Node::new(|_| Act::Hang));
    let bench = Bench::with(&nodes.each_ref(), |settings| Settings { timeout: Duration::from_secs(2), ..settings });
    let begun = Instant::now();
    let said = bench.ask().await;
    let took = begun.elapsed();
    let late = "http://: no whole answer in time";
    assert_eq!(said, Err(format!("eip155:1: too few endpoints answered: {late}; {late}; {late}")));
    assert_eq!(nodes.each_ref().map(|node| node.calls()), [1, 1, 1, 0]);
    // Two calls of 2 s and one of 1 s. The upper bound is for machines that do much else.
    assert!((Duration::from_millis(4900)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn no_more_questions_at_once_than_the_bound() {
    let latch = Latch::default();
    let held = latch.clone();
    let known = AtomicBool::new(false);
    let node = Node::new(move |request| match known.swap(true, SeqCst) {
        false => result(request, &json!(YES)),
        true => result(request, &json!(YES)).held(&held),
    });
    let bench = Arc::new(Bench::with(&[&node], |settings| Settings { concurrency: 2, ..settings }));
    let ask = |bench: &Arc<Bench>| {
        let bench = Arc::clone(bench);
        tokio::spawn(async move { bench.ask().await })
    };
    // From here on it need not say its chain.
    assert_eq!(bench.ask().await, Ok(true));
    let (first, second) = (ask(&bench), ask(&bench));
    let waited = tokio::task::spawn_blocking(move || {
        // Its chain, the call before, and these two.
        node.wait_asked(4);
        node
    });
    let _node = waited.await.expect("a thread");
    let refused = bench.rpc.ask(&question(1)).await;
    assert!(matches!(refused, Err(RpcError::Busy)), "{refused:?}");
    assert_eq!(bench.counted("rejected"), 1);
    bench.rpc.count_rejected(&chain(1));
    assert_eq!(bench.counted("rejected"), 2);
    latch.open();
    assert_eq!((first.await.expect("a task"), second.await.expect("a task")), (Ok(true), Ok(true)));
    assert_eq!(bench.ask().await, Ok(true), "there is room again");
}

#[tokio::test]
async fn who_goes_away_makes_room() {
    let node = Node::new(|_| Act::Hang);
    let bench = Bench::with(&[&node], |settings| Settings { concurrency: 1, ..settings });
    for _ in 0..3 {
        let (call, late) = (question(1), Duration::from_millis(100));
        let asked = tokio::time::timeout(late, bench.rpc.ask(&call)).await;
        assert!(asked.is_err(), "{asked:?}");
    }
    assert_eq!(bench.counted("rejected"), 0);
}

#[tokio::test]
async fn a_quorum_asks_side_by_side_and_replaces_who_fails() {
    // Each of the first two answers when both were asked.
    let latch = Latch::default();
    let (held, opens) = (latch.clone(), latch);
    let first = Node::new(move |request| result(request, &json!(YES)).held(&held));
    let second = Node::new(move |_| {
        opens.open();
        Act::text(503, "text/plain", "maintenance")
    });
    let third = Node::saying(YES);
    let bench = Bench::with_quorum(&[&first, &second, &third], 2);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!([&first, &second, &third].map(Node::calls), [1, 1, 1]);
}

/// A no of one is no no, where two must agree: it may be the one that lies.
#[tokio::test]
async fn too_few_answers_are_neither_yes_nor_no() {
    for answer in [YES, NO] {
        let (first, second) = (Node::saying(answer), Node::new(|_| Act::Close));
        let bench = Bench::with_quorum(&[&first, &second], 2);
        assert_eq!(bench.ask().await, silent("the connection was closed before the answer was complete"), "{answer}");
    }
}

#[tokio::test]
async fn each_chain_has_its_own_nodes() {
    let (ethereum, base) = (Node::saying(YES), Node::on(8453, |request| result(request, &json!(NO))));
    let bench = Bench::with(&[&ethereum], |mut settings| {
        settings.chains.push(ChainSettings { chain: chain(8453), endpoints: vec![endpoint(&base)], validator: None });
        settings.chains.push(ChainSettings { chain: chain(10), endpoints: Vec::new(), validator: None });
        settings
    });
    assert_eq!(said(bench.rpc.ask(&question(1)).await), Ok(true));
    assert_eq!(said(bench.rpc.ask(&question(8453)).await), Ok(false));
    for reference in [10, 137] {
        let asked = bench.rpc.ask(&question(reference)).await;
        assert!(matches!(asked, Err(RpcError::NotConfigured)), "{asked:?}");
    }
    assert_eq!([1, 8453, 10, 137].map(|reference| bench.rpc.covers(&chain(reference))), [true, true, false, false]);
    assert_eq!((ethereum.calls(), base.calls()), (1, 1));
}
