//! Several sessions behind one cookie (sessions.md section 2.1): one for each account and chain, replaced all or none.

use serde_json::{Value, json};

use super::{Api, COOKIE, OWN, signed, text};
use crate::harness::{Request, Wallet};

#[test]
fn anonymous_expired_and_foreign_are_an_empty_list() {
    let api = Api::new();
    let rows = [
        ("nothing", Request::get("/.siwx/sessions")),
        ("a pair", Request::get("/.siwx/sessions?chainId=eip155:1&address=0xab")),
        ("a pair that is none", Request::get("/.siwx/sessions?chainId=x&address=")),
        ("a cookie of nobody", Request::get("/.siwx/sessions").header("Cookie", "__Host-siwx=siwxs_x")),
        ("an empty cookie", Request::get("/.siwx/sessions").header("Cookie", "__Host-siwx=")),
        ("a bearer of nobody", Request::get("/.siwx/sessions").token("Bearer siwxs_x")),
        ("another scheme", Request::get("/.siwx/sessions").token("Basic eDp5")),
        ("a page of nobody", Request::get("/.siwx/sessions").header("Origin", "https://evil.example")),
    ];
    for (name, request) in rows {
        let answer = api.send(&request);
        assert_eq!((answer.status, answer.json()), (200, json!({ "sessions": [] })), "{name}: {answer:?}");
    }
}

#[test]
fn a_pair_shows_its_session_and_no_other() {
    let api = Api::new();
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    browser.sign_in(&evm);
    browser.sign_in(&solana);
    let (lower, upper) = (evm.address().to_lowercase(), evm.address().to_uppercase().replacen("0X", "0x", 1));
    let rows = [
        ("as it is written", evm.chain(), evm.address(), 1),
        ("in lower case", evm.chain(), lower, 1),
        ("in upper case", evm.chain(), upper, 1),
        ("Solana's", solana.chain(), solana.address(), 1),
        ("Solana's in another case", solana.chain(), solana.address().to_lowercase(), 0),
        ("another chain", "eip155:1", evm.address(), 0),
        ("an address on the other's chain", solana.chain(), evm.address(), 0),
    ];
    for (name, chain, address, count) in rows {
        let answer = browser.get(&format!("/.siwx/sessions?chainId={}&address={address}", chain.replace(':', "%3A")));
        assert_eq!(answer.json()["sessions"].as_array().map(Vec::len), Some(count), "{name}: {answer:?}");
    }
}

/// Seen in an audit: of two lists put at once in place of one set, the one that the store had ended went on opening routes
/// for as long as it was remembered.
#[test]
fn of_two_lists_put_at_once_one_is_left() {
    let api = Api::new();
    let wallets = [Wallet::evm(1), Wallet::evm(2)];
    for _ in 0..10 {
        let mut browser = api.browser();
        browser.sign_in(&wallets[0]);
        let old = format!("{COOKIE}={}", browser.cookie.as_deref().expect("a cookie"));
        let put = |wallet: &Wallet| {
            let body = json!({ "sessions": [signed(wallet, &text(wallet, &api.nonce()))] }).to_string();
            let request = Request::new("PUT", "/.siwx/sessions").header("Origin", OWN).header("Cookie", &old);
            let answer = api.send(&request.body(body.as_bytes()));
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.one("set-cookie").expect("a cookie").split(';').next().expect("a value").to_owned()
        };
        let cookies = std::thread::scope(|scope| {
            let running = wallets.each_ref().map(|wallet| scope.spawn(|| put(wallet)));
            running.map(|one| one.join().expect("an answer"))
        });
        let good = |cookie: &String| {
            let answer = api.send(&Request::get("/.siwx/sessions").header("Cookie", cookie));
            !answer.json()["sessions"].as_array().expect("a list").is_empty()
        };
        assert_eq!(cookies.iter().filter(|cookie| good(cookie)).count(), 1);
    }
}

#[test]
fn one_account_on_one_chain_has_one_session() {
    let api = Api::new();
    let wallet = Wallet::evm(1);
    let mut browser = api.browser();
    let first = browser.sign_in(&wallet);
    let second = browser.sign_in(&wallet);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(browser.sessions(), [second]);
}

#[test]
fn a_pair_is_forgotten_and_the_last_one_takes_the_cookie() {
    let api = Api::new();
    let (evm, solana) = (Wallet::evm(1), Wallet::solana(1));
    let mut browser = api.browser();
    browser.sign_in(&evm);
    browser.sign_in(&solana);
    let forget = |wallet: &Wallet| {
        Request::new("DELETE", &format!("/.siwx/sessions?chainId={}&address={}", wallet.chain(), wallet.address()))
    };
    let answer = browser.send(forget(&evm));
    assert_eq!((answer.status, answer.one("set-cookie")), (204, None), "{answer:?}");
    assert_eq!(browser.accounts(), [solana.account()]);
    assert_eq!(browser.send(forget(&evm)).status, 204, "once more");
    assert_eq!(browser.accounts(), [solana.account()]);
    assert_eq!(browser.send(forget(&solana)).status, 204);
    assert_eq!(browser.cookie, None);
    assert_eq!(browser.send(forget(&solana)).status, 204, "for nobody");
}

#[test]
fn all_are_replaced_together() {
    let api = Api::new();
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let (two, three) = (Wallet::evm(2), Wallet::solana(3));
    let before = browser.cookie.clone();
    let answer = browser.put(&[api.sign_in(&two), api.sign_in(&three)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(browser.cookie, before);
    assert_eq!(answer.json()["token"].as_str(), browser.cookie.as_deref());
    let answered: Vec<Value> = answer.json()["sessions"].as_array().expect("a list").clone();
    assert_eq!(answered, browser.sessions());
    assert_eq!(browser.accounts(), [two.account(), three.account()]);
}

#[test]
fn no_sessions_for_nobody_is_200_and_takes_the_cookie() {
    let api = Api::new();
    let mut nobody = api.browser();
    let answer = nobody.put(&[]);
    assert_eq!((answer.status, answer.json()["sessions"].clone()), (200, json!([])), "{answer:?}");
    let mut browser = api.browser();
    browser.sign_in(&Wallet::evm(1));
    let kept = browser.cookie.clone();
    assert_eq!(browser.put(&[]).status, 200);
    assert_eq!(browser.cookie, None);
    browser.cookie = kept;
    assert!(browser.accounts().is_empty());
}

#[test]
fn one_that_fails_is_named_and_nothing_is_changed() {
    let api = Api::set_up("", |setup| setup.set("limits.auth_failures", "off"));
    let (old, one, two) = (Wallet::evm(1), Wallet::evm(2), Wallet::evm(3));
    let mut browser = api.browser();
    browser.sign_in(&old);
    let (cookie, before) = (browser.cookie.clone(), browser.sessions());
    let (first, second) = (api.sign_in(&one), api.sign_in(&two));
    let changed = |member: &str, value: Value| {
        let mut changed = second.clone();
        changed[member] = value;
        changed
    };
    let unsigned = signed(&two, &text(&two, "4dce662356932ef863ff4eb6d673a3ee"));
    let other = |wallet: &Wallet, domain: &str| signed(wallet, &text(wallet, &api.nonce()).for_domain(domain));
    let rows = [
        ("a signature", changed("signature", json!(one.written(&one.sign("x")))), 401, "invalid_signature"),
        ("a nonce of nobody", unsigned, 401, "nonce_unknown"),
        ("a domain", other(&two, "evil.example"), 400, "domain_mismatch"),
        ("no message", changed("message", Value::Null), 400, "bad_request"),
        ("data of another", changed("data", first["data"].clone()), 400, "data_mismatch"),
        ("the same account twice", first.clone(), 400, "duplicate_session"),
    ];
    for (name, bad, status, code) in rows {
        let answer = browser.put(&[first.clone(), bad]);
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{name}: {answer:?}");
        assert_eq!(answer.json()["index"], 1, "{name}");
        assert_eq!((browser.sessions(), &browser.cookie), (before.clone(), &cookie), "{name}");
    }
    // None of their nonces was used.
    assert_eq!(browser.put(&[first, second]).status, 200);
}

#[test]
fn several_texts_of_one_account_share_a_nonce_and_two_accounts_do_not() {
    let api = Api::new();
    let (one, two) = (Wallet::evm(1), Wallet::evm(2));
    let nonce = api.nonce();
    let on = |wallet: &Wallet, reference: &str| {
        let mut sign_in = signed(wallet, &text(wallet, &nonce).with("Chain ID", reference));
        sign_in["data"]["chainId"] = json!(format!("eip155:{reference}"));
        sign_in
    };
    let mut browser = api.browser();
    let answer = browser.put(&[on(&one, "1"), on(&two, "10")]);
    assert_eq!(answer.outcome(), (401, "nonce_reused".to_owned()));
    assert_eq!(answer.json()["index"], 1);
    let answer = browser.put(&[on(&one, "1"), on(&one, "10"), on(&one, "8453")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(browser.accounts().len(), 3);
}

#[test]
fn more_sessions_than_a_request_may_have() {
    let api = Api::new();
    let sign_in = api.sign_in(&Wallet::evm(1));
    let many: Vec<Value> = (0..17).map(|_| sign_in.clone()).collect();
    let answer = api.browser().put(&many);
    assert_eq!(answer.outcome(), (400, "too_many_sessions".to_owned()));
    assert_eq!(answer.json().get("index"), None);
}

#[test]
fn bodies_that_are_no_list_of_sessions() {
    let api = Api::new();
    for body in ["", "{}", "[]", r#"{"sessions":null}"#, r#"{"sessions":{}}"#, r#"{"sessions":[1]}"#] {
        let request = Request::new("PUT", "/.siwx/sessions").header("Origin", OWN).body(body.as_bytes());
        assert_eq!(api.send(&request).outcome(), (400, "bad_request".to_owned()), "{body}");
    }
}

#[test]
fn a_seventeenth_session_behind_one_cookie_is_too_many() {
    let api = Api::new();
    let mut browser = api.browser();
    for number in 0..16 {
        browser.sign_in(&Wallet::evm(number));
    }
    let answer = browser.post("/.siwx/sessions", &api.sign_in(&Wallet::evm(16)));
    assert_eq!(answer.outcome(), (400, "too_many_sessions".to_owned()));
    assert_eq!(browser.accounts().len(), 16);
}
