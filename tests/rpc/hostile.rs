//! Nodes that lie, or do what no node should. Each is alone first, and nobody knows then; with an honest one behind it,
//! that one is asked at once.

use std::time::Duration;

use serde_json::{Value, json};
use siwx_gateway::rpc::Settings;

use crate::{
    bench::{Bench, silent},
    node::{NO, Node, YES, error, result},
    server::{Act, Server},
};

/// Asks a node that does this to each call: alone, and with an honest one behind it.
async fn replaced(act: impl Fn(&Value) -> Act + Clone + Send + Sync + 'static, why: &str) {
    let alone = Node::new(act.clone());
    assert_eq!(Bench::asking(&[&alone]).ask().await, silent(why));
    let (first, second) = (Node::new(act), Node::saying(YES));
    let bench = Bench::asking(&[&first, &second]);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!((first.calls(), second.calls()), (1, 1));
    assert_eq!((bench.counted("ok"), bench.counted("failed")), (3, 1));
}

#[tokio::test]
async fn a_node_that_hangs() {
    let hurried = |settings| Settings { timeout: Duration::from_secs(1), ..settings };
    let alone = Node::new(|_| Act::Hang);
    assert_eq!(Bench::with(&[&alone], hurried).ask().await, silent("no whole answer in time"));
    let (first, second) = (Node::new(|_| Act::Hang), Node::saying(YES));
    let bench = Bench::with(&[&first, &second], hurried);
    assert_eq!(bench.ask().await, Ok(true));
    assert_eq!((bench.counted("ok"), bench.counted("timeout"), bench.timed()), (3, 1, 4));
}

#[tokio::test]
async fn a_node_that_redirects() {
    let elsewhere = Server::start([]);
    let url = elsewhere.url();
    replaced(move |_| Act::with(307, &[("location", &url)], ""), "it answered 307").await;
    assert_eq!(elsewhere.connections(), 0, "nobody goes there");
}

#[tokio::test]
async fn a_node_that_lies_about_its_chain() {
    let lying = || Node::on(8453, |request| result(request, &json!(YES)));
    let node = lying();
    let bench = Bench::asking(&[&node]);
    assert_eq!(bench.ask().await, silent("expected the chain it is configured for, found 8453"));
    assert_eq!(bench.ask().await, silent("it is not asked for a while"));
    assert_eq!(node.methods(), ["eth_chainId"], "it is asked about no contract, and not again");
    let (first, second) = (lying(), Node::saying(NO));
    assert_eq!(Bench::asking(&[&first, &second]).ask().await, Ok(false));
    assert_eq!(first.calls(), 0);
}

#[tokio::test]
async fn a_node_that_returns_megabytes() {
    let long = "expected an answer of at most 132096 bytes, found a longer one";
    let megabytes = format!("{YES}{}", "00".repeat(2_000_000));
    replaced(move |request| result(request, &json!(megabytes)), long).await;
    // Without a length, so that it is the reading that ends.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{{\"result\":\"{}", "0".repeat(4_000_000));
    replaced(move |_| Act::AnswerAndClose(endless.clone().into()), long).await;
    // As much as fits an answer, and is still too much for a result.
    let over = format!("0x{}", "00".repeat(65_537));
    let why = "expected a result of at most 65536 bytes, found a longer one";
    replaced(move |request| result(request, &json!(over)), why).await;
}

#[tokio::test]
async fn a_node_that_answers_html() {
    replaced(|_| Act::text(200, "text/html", "<html>welcome</html>"), "expected JSON, found something else").await;
}

#[tokio::test]
async fn a_node_that_answers_another_request() {
    let other = |request: &Value| {
        let id = request["id"].as_u64().expect("a number") + 1;
        Act::json(200, &json!({"jsonrpc": "2.0", "id": id, "result": YES}))
    };
    replaced(other, "expected the id of the request, found another one").await;
}

#[tokio::test]
async fn a_node_that_answers_null() {
    let null = |request: &Value| result(request, &Value::Null);
    replaced(null, "expected a result in hexadecimal, found something else").await;
}

#[tokio::test]
async fn a_node_that_answers_a_batch() {
    let batch = |request: &Value| Act::json(200, &json!([{"jsonrpc": "2.0", "id": request["id"], "result": YES}]));
    replaced(batch, "expected a JSON object, found something else").await;
}

#[tokio::test]
async fn a_node_whose_limit_is_exceeded() {
    let exceeded = |request: &Value| error(request, -32005, "limit exceeded");
    replaced(exceeded, "expected a result, found an error with code -32005").await;
}

#[tokio::test]
async fn a_node_that_says_429_or_500() {
    replaced(|_| Act::text(429, "text/plain", "slow down"), "it answered 429").await;
    // What is in such an answer does not count, not even a yes.
    let said = |request: &Value| Act::json(500, &json!({"jsonrpc": "2.0", "id": request["id"], "result": YES}));
    replaced(said, "it answered 500").await;
}

#[tokio::test]
async fn a_node_that_closes_the_connection() {
    let closed = "the connection was closed before the answer was complete";
    replaced(|_| Act::Close, closed).await;
    replaced(|_| Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".to_vec()), closed).await;
}

/// It says its chain, and is gone before it is asked about the contract.
#[tokio::test]
async fn a_node_that_dies_between() {
    let dying = || {
        let act = |request: &Value| match request["method"].as_str() {
            Some("eth_chainId") => result(request, &json!("0x1")).and_close(),
            _ => Act::Close,
        };
        Node::doing(act)
    };
    let alone = dying();
    let closed = silent("the connection was closed before the answer was complete");
    assert_eq!(Bench::asking(&[&alone]).ask().await, closed);
    let (first, second) = (dying(), Node::saying(YES));
    assert_eq!(Bench::asking(&[&first, &second]).ask().await, Ok(true));
}

/// A message is no secret of ours, and may repeat what was asked or the URL it was asked at.
#[tokio::test]
async fn a_node_that_repeats_the_key_of_its_url() {
    let repeats = |request: &Value| error(request, -32000, "no such project: /v2/s3cret-k3y");
    // `said`, below all of these, looks for it.
    replaced(repeats, "expected a result, found an error with code -32000").await;
}

#[tokio::test]
async fn nodes_that_disagree_under_quorum() {
    let split = Err("eip155:1: the endpoints contradict each other".to_owned());
    for said in [[YES, NO], [NO, YES]] {
        let nodes = said.map(Node::saying);
        assert_eq!(Bench::with_quorum(&[&nodes[0], &nodes[1]], 2).ask().await, split, "{said:?}");
    }
    // A third is no judge between them: one of the two lies, and nobody knows which.
    let nodes = [YES, NO, YES].map(Node::saying);
    assert_eq!(Bench::with_quorum(&[&nodes[0], &nodes[1], &nodes[2]], 2).ask().await, split);
    assert_eq!(nodes[2].calls(), 0);
    for (said, expected) in [(YES, true), (NO, false)] {
        let nodes = [said, said].map(Node::saying);
        assert_eq!(Bench::with_quorum(&[&nodes[0], &nodes[1]], 2).ask().await, Ok(expected));
        assert_eq!(nodes.map(|node| node.calls()), [1, 1]);
    }
}

/// A revert is a no, on which endpoints can agree as on any other.
#[tokio::test]
async fn a_revert_is_a_no_and_not_a_failure() {
    let reverting = || Node::new(|request| error(request, 3, "execution reverted"));
    let (first, second) = (reverting(), Node::saying(YES));
    let bench = Bench::asking(&[&first, &second]);
    assert_eq!(bench.ask().await, Ok(false));
    assert_eq!((second.calls(), bench.counted("ok"), bench.counted("failed")), (0, 2, 0));
    assert_eq!(Bench::with_quorum(&[&reverting(), &reverting()], 2).ask().await, Ok(false));
}
