//! What facilitators support: kept fresh, and who is chosen by it.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use siwx_gateway::time::{Clock, UnixTime};

use crate::{
    BASE, Bench,
    server::{Act, Server},
    settings,
};

/// 1994-11-06T08:49:37Z, for ever.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(784_111_777)
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Standing)
}

fn kinds(kinds: &[(&str, &str, Value)]) -> Act {
    let kinds = kinds.iter().map(
        |(scheme, network, extra)| json!({"x402Version": 2, "scheme": scheme, "network": network, "extra": extra}),
    );
    Act::json(200, &json!({"kinds": kinds.collect::<Vec<_>>(), "extensions": [], "signers": {}}))
}

#[tokio::test]
async fn the_first_that_lists_it_is_chosen() {
    let first = Server::start([kinds(&[("exact", BASE, Value::Null)])]);
    let second = Server::start([kinds(&[
        ("exact", BASE, Value::Null),
        ("exact", "solana:abc", json!({"feePayer": "EUzY"})),
        ("upto", BASE, json!({"facilitatorAddress": "0xab"})),
    ])]);
    let bench = Bench::of(vec![settings("first", &first), settings("second", &second)]);
    let all = &bench.facilitators;
    let chosen = |scheme, network| all.choose(scheme, network).map(|facilitator| facilitator.name().to_owned());
    assert!(!all.is_known());
    assert_eq!(chosen("exact", "solana:abc").as_deref(), Some("first"), "nobody has said anything");
    assert_eq!(all.fee_payer("exact", "solana:abc"), None);
    all.refresh(&clock()).await;
    assert!(all.is_known());
    let rows = [
        ("exact", BASE, Some("first"), None, None),
        ("exact", "solana:abc", Some("second"), Some("EUzY"), None),
        ("upto", BASE, Some("second"), None, Some("0xab")),
        ("upto", "solana:abc", None, None, None),
    ];
    for (scheme, network, name, fee_payer, address) in rows {
        assert_eq!(chosen(scheme, network).as_deref(), name, "{scheme} {network}");
        assert_eq!(all.fee_payer(scheme, network).as_deref(), fee_payer, "{scheme} {network}");
        assert_eq!(all.facilitator_address(scheme, network).as_deref(), address, "{scheme} {network}");
    }
    let seen = first.seen();
    assert_eq!(first.lines(), ["GET /base/supported"]);
    assert_eq!(seen[0].header("authorization"), Some("Bearer s3cret"));
}

#[tokio::test]
async fn the_last_good_answer_stays() {
    let bad = [
        Act::json(200, &json!({"ok": 1})),
        Act::json(500, &json!({"kinds": []})),
        Act::text(200, "text/html", "<html>"),
        Act::Close,
        Act::Hang,
    ];
    for act in bad {
        let server = Server::start([kinds(&[("exact", "solana:abc", json!({"feePayer": "one"}))])]);
        let bench = if matches!(act, Act::Hang) { Bench::hurrying(&server) } else { Bench::asking(&server) };
        bench.facilitators.refresh(&clock()).await;
        server.then(act.clone());
        bench.one().refresh(&Standing).await.expect_err("no answer");
        assert_eq!(bench.facilitators.fee_payer("exact", "solana:abc").as_deref(), Some("one"), "{act:?}");
        server.then(kinds(&[("exact", "solana:abc", json!({"feePayer": "two"}))]));
        bench.one().refresh(&Standing).await.expect("an answer");
        assert_eq!(bench.facilitators.fee_payer("exact", "solana:abc").as_deref(), Some("two"), "{act:?}");
    }
    let server = Server::start([kinds(&[]), kinds(&[("exact", BASE, Value::Null)])]);
    let bench = Bench::asking(&server);
    bench.facilitators.refresh(&clock()).await;
    assert!(bench.facilitators.choose("exact", BASE).is_none(), "it lists nothing");
    bench.facilitators.refresh(&clock()).await;
    assert!(bench.facilitators.choose("exact", BASE).is_some());
    assert_eq!(bench.counted("operation=\"supported\",result=\"ok\""), 2);
}

/// Between two looks at it a facilitator was neither one that lists the network nor one that never said anything.
#[test]
fn at_the_moment_it_is_heard_a_facilitator_is_chosen_as_before_and_after() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for _ in 0..100 {
        let server = Server::start([kinds(&[("exact", BASE, Value::Null)])]);
        let bench = Bench::asking(&server);
        std::thread::scope(|scope| {
            let choosing = scope.spawn(|| {
                while !bench.facilitators.is_known() {
                    assert!(bench.facilitators.choose("exact", BASE).is_some());
                }
            });
            runtime.block_on(bench.one().refresh(&Standing)).expect("an answer");
            choosing.join().expect("somebody is chosen at every moment");
        });
    }
}

#[tokio::test]
async fn asked_to_wait_it_waits_and_tries_three_times() {
    let busy = |after: &str| Act::with(429, &[("retry-after", after)], "");
    let good = || kinds(&[("exact", BASE, Value::Null)]);
    let rows = [
        ("at once", vec![busy("0"), good()], true, 2, 0),
        ("a second", vec![busy("1"), good()], true, 2, 1000),
        ("a date two seconds ahead", vec![busy("Sun, 06 Nov 1994 08:49:39 GMT"), good()], true, 2, 2000),
        ("a date that has passed", vec![busy("Sun, 06 Nov 1994 08:00:00 GMT"), good()], true, 2, 0),
        ("not said", vec![Act::text(429, "text/plain", ""), good()], true, 2, 1000),
        ("the third time", vec![busy("0"), busy("0"), good()], true, 3, 0),
        ("never", vec![busy("0"), busy("0"), busy("0"), good()], false, 3, 0),
        ("another fault is not tried again", vec![Act::text(503, "text/plain", ""), good()], false, 1, 0),
    ];
    for (name, script, known, asked, waited) in rows {
        let server = Server::start(script);
        let bench = Bench::asking(&server);
        let started = Instant::now();
        let refreshed = bench.one().refresh(&Standing).await;
        let took = started.elapsed().as_millis();
        assert_eq!(refreshed.is_ok(), known, "{name}");
        assert_eq!(bench.facilitators.is_known(), known, "{name}");
        assert_eq!(server.seen().len(), asked, "{name}");
        assert!(took >= waited && took < waited + 900, "{name}: {took} ms");
    }
}
