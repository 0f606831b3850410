//! Sessions whose signatures only a contract can tell: its word counts for a while, and then it is asked again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use serde_json::json;
use siwx_gateway::{gate::sessions::How, session::set::Pair};

use super::{SESSION, attempt, get, hand_over, ok, opening, over, shown, text};
use crate::{
    facilitator::Act,
    harness::{Gateway, Setup, Upstream, Wallet},
    node::{NO, Node, YES, result},
};

/// The contract of a wallet without a key.
const CONTRACT: &str = "0x69558E1EAcAbbbA7a4411A50628D5B8223e05eea";

/// A gateway whose contract wallets are asked at this node.
fn asking(upstream: &Upstream, node: &Node, keys: &str) -> Gateway {
    let rpc = format!(
        "[chains.eip155]\nschemes = [\"eip191\", \"eip1271\"]\nrpc = {{ \"eip155:8453\" = [{:?}] }}\nrpc_per_ip = \"off\"\n",
        node.url()
    );
    Setup::over(upstream).tables(&format!("{SESSION}{keys}\n{rpc}")).start()
}

fn sign_in_as_contract(gateway: &Gateway) -> String {
    let text = text(gateway, &Wallet::evm(1)).of_address(CONTRACT);
    let attempts = [attempt(gateway, &text, "eip155:8453", &format!("0x{}", "ab".repeat(80)))];
    let signed_in = hand_over(gateway, &attempts, How::Add, None).unwrap_or_else(|fault| panic!("{fault:?}"));
    opening(gateway, &signed_in)
}

/// An owner who was removed is out after `revalidate_after`, whatever is remembered of the contract.
#[test]
fn a_removed_owner_is_out() {
    let (upstream, removed) = (Upstream::ok(), Arc::new(AtomicBool::new(false)));
    let says = Arc::clone(&removed);
    let node = Node::on(8453, move |request| result(request, &json!(if says.load(SeqCst) { NO } else { YES })));
    let gateway = asking(&upstream, &node, "revalidate_after = \"15m\"");
    let credential = sign_in_as_contract(&gateway);
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 1));
    assert_eq!(upstream.take_one().one("X-SIWX-Scheme"), Some("eip1271"));
    gateway.set_time("2026-11-20T10:15:00.999Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 1), "not yet");
    gateway.set_time("2026-11-20T10:15:01Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 2), "asked again, though it is remembered");
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), 2));
    removed.store(true, SeqCst);
    gateway.set_time("2026-11-20T10:30:01Z");
    assert_eq!((get(&gateway, &credential), node.calls()), (over(), 3));
    removed.store(false, SeqCst);
    assert_eq!((get(&gateway, &credential), node.calls()), (over(), 3), "it was ended for good");
}

#[test]
fn while_no_node_answers_a_contract_session_is_good_for_its_grace() {
    let (upstream, silent) = (Upstream::ok(), Arc::new(AtomicBool::new(false)));
    let says = Arc::clone(&silent);
    let node =
        Node::on(
            8453,
            move |request| {
                if says.load(SeqCst) { Act::text(500, "text/plain", "") } else { result(request, &json!(YES)) }
            },
        );
    let gateway = asking(&upstream, &node, "revalidate_after = \"15m\"\nrevalidate_grace = \"10m\"");
    let credential = sign_in_as_contract(&gateway);
    silent.store(true, SeqCst);
    gateway.set_time("2026-11-20T10:15:01Z");
    assert_eq!(get(&gateway, &credential), ok());
    let asked = node.calls();
    assert!(asked > 1);
    assert_eq!((get(&gateway, &credential), node.calls()), (ok(), asked), "not asked again at once");
    gateway.set_time("2026-11-20T10:25:00.999Z");
    assert_eq!(get(&gateway, &credential), ok());
    gateway.set_time("2026-11-20T10:25:01Z");
    assert_eq!(get(&gateway, &credential), (503, "verifier_unavailable".to_owned()));
    assert_eq!(shown(&gateway, &credential, None), 0, "hidden");
    silent.store(false, SeqCst);
    assert_eq!(get(&gateway, &credential), ok());
    let pair = Pair::read(Some("eip155:8453"), Some(CONTRACT)).expect("a pair");
    assert_eq!(shown(&gateway, &credential, pair.as_ref()), 1);
}
