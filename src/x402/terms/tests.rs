//! Offers, what accepts them, and what an echo must hold.

use serde_json::json;

use super::*;

const DEVNET: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

fn accept(network: &str, scheme: Scheme) -> Accept {
    let network = ChainId::parse(network).expect(network);
    let asset = Asset::known("usdc", &network).unwrap_or_else(|| Asset {
        address: "token".to_owned(),
        decimals: 2,
        domain: None,
    });
    Accept { network, pay_to: "0xPAY".to_owned(), asset, scheme, timeout_secs: 60 }
}

fn offer(network: &str, scheme: Scheme, flow: PaymentFlow, plan: Option<&str>) -> Result<Offer, OfferError> {
    let price = Price::parse("$0.01").expect("a price");
    Offer::new(accept(network, scheme), price, flow, plan.map(str::to_owned))
}

fn evm(plan: Option<&str>) -> Terms {
    let offer = offer("eip155:84532", Scheme::Exact, PaymentFlow::Authorization, plan).expect("an offer");
    offer.terms(None).expect("terms")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn terms_are_written_in_the_order_of_the_protocol() {
    let upfront = |plan| offer("eip155:84532", Scheme::Exact, PaymentFlow::Upfront, plan).expect("an offer");
    let prefix = r#""network":"eip155:84532","amount":"10000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"0xPAY","maxTimeoutSeconds":60,"extra":"#;
    let exact = |extra: &str| format!(r#"{{"scheme":"exact",{prefix}{extra}}}"#);
    assert_eq!(evm(None).json(), exact(r#"{"name":"USDC","version":"2"}"#));
    assert_eq!(
        upfront(Some("nano")).terms(None).expect("terms").json(),
        exact(r#"{"name":"USDC","version":"2","paymentFlow":"upfront","plan":"nano"}"#)
    );
    let upto = offer("eip155:84532", Scheme::Upto, PaymentFlow::Authorization, None).expect("an offer");
    let supported = object(json!({"facilitatorAddress": "0xFAC", "feePayer": "not for EVM"}));
    assert_eq!(
        upto.terms(Some(&supported)).expect("terms").json(),
        format!(
            r#"{{"scheme":"upto",{prefix}{}}}"#,
            r#"{"name":"USDC","version":"2","assetTransferMethod":"permit2","facilitatorAddress":"0xFAC"}"#
        )
    );
    let solana = offer(DEVNET, Scheme::Exact, PaymentFlow::Authorization, None).expect("an offer");
    let terms = solana.terms(Some(&object(json!({"feePayer": "EUzY"})))).expect("terms");
    assert!(terms.json().ends_with(r#""maxTimeoutSeconds":60,"extra":{"feePayer":"EUzY"}}"#), "{}", terms.json());
}

#[test]
fn terms_say_what_they_are() {
    let terms = evm(Some("nano"));
    assert_eq!((terms.plan(), terms.is_upfront(), terms.amount()), (Some("nano"), false, 10_000));
    assert_eq!((evm(None).plan(), evm(None).decimals()), (None, 6));
    let charged = terms.charging(7);
    assert_eq!(charged.json(), terms.json().replace(r#""amount":"10000""#, r#""amount":"7""#));
}

#[test]
fn terms_wait_for_the_facilitator() {
    let solana = offer(DEVNET, Scheme::Exact, PaymentFlow::Authorization, None).expect("an offer");
    let upto = offer("eip155:8453", Scheme::Upto, PaymentFlow::Authorization, None).expect("an offer");
    let no_payer = TermsUnavailable::FeePayer(ChainId::parse(DEVNET).expect("a chain"));
    let no_settler = TermsUnavailable::FacilitatorAddress(ChainId::parse("eip155:8453").expect("a chain"));
    let rows = [
        ("nothing said", None),
        ("said nothing of use", Some(json!({}))),
        ("null", Some(json!({"feePayer": null, "facilitatorAddress": null}))),
        ("empty", Some(json!({"feePayer": "", "facilitatorAddress": ""}))),
        ("a number", Some(json!({"feePayer": 1, "facilitatorAddress": 1}))),
        ("no address", Some(json!({"feePayer": "<b>", "facilitatorAddress": "a b"}))),
    ];
    for (name, supported) in rows {
        let supported = supported.map(object);
        assert_eq!(solana.terms(supported.as_ref()), Err(no_payer.clone()), "{name}");
        assert_eq!(upto.terms(supported.as_ref()), Err(no_settler.clone()), "{name}");
    }
}

#[test]
fn offers_that_nobody_could_pay_are_refused() {
    let chain = |text: &str| ChainId::parse(text).expect(text);
    let of = |network: &str, scheme| offer(network, scheme, PaymentFlow::Authorization, None).err();
    assert_eq!(of("eip155:2", Scheme::Exact), Some(OfferError::Domain(chain("eip155:2"))));
    let upto = OfferError::Scheme { network: chain(DEVNET), scheme: Scheme::Upto };
    assert_eq!(of(DEVNET, Scheme::Upto), Some(upto));
    assert_eq!(
        of("bip122:000000000019d6689c085ae165831e93", Scheme::Exact).map(|error| error.to_string()),
        Some("expected a network of eip155 or solana, found `bip122:000000000019d6689c085ae165831e93`".to_owned())
    );
    let hurried = Accept { timeout_secs: 0, ..accept("eip155:1", Scheme::Exact) };
    let price = Price::parse("$0.01").expect("a price");
    assert_eq!(Offer::new(hurried, price, PaymentFlow::Authorization, None), Err(OfferError::Timeout));
    let fine = Price::parse("$0.0000001").expect("a price");
    let error = Offer::new(accept("eip155:1", Scheme::Exact), fine, PaymentFlow::Authorization, None);
    assert_eq!(error, Err(OfferError::Price(PriceError::TooFine { decimals: 6, found: 7 })));
}

#[test]
fn what_repeats_the_terms_accepts_them() {
    let good: Value = serde_json::from_str(&evm(None).json()).expect("JSON");
    let changed = |pointer: &str, value: Value| {
        let mut copy = good.clone();
        *copy.pointer_mut(pointer).expect(pointer) = value;
        copy
    };
    let with = |pointer: &str, name: &str, value: Value| {
        let mut copy = good.clone();
        copy.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer).insert(name.to_owned(), value);
        copy
    };
    let without = |pointer: &str, name: &str| {
        let mut copy = good.clone();
        copy.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer).shift_remove(name);
        copy
    };
    let rows = [
        ("the same", good.clone(), Some(0)),
        ("more in extra", with("/extra", "salt", json!([1])), Some(0)),
        ("a hint in extra", with("/extra", "recentBlockhash", json!("x")), Some(0)),
        ("more outside extra", with("", "outputSchema", json!(null)), None),
        (
            "more outside extra in place of less",
            with("", "x", json!(1))
                .pointer("")
                .cloned()
                .map(|mut copy| {
                    copy.as_object_mut().expect("an object").shift_remove("payTo");
                    copy
                })
                .expect("a value"),
            None,
        ),
        ("amount as a number", changed("/amount", json!(10_000)), None),
        ("timeout as a text", changed("/maxTimeoutSeconds", json!("60")), None),
        ("timeout as a fraction", changed("/maxTimeoutSeconds", json!(60.0)), None),
        ("extra null", changed("/extra", json!(null)), None),
        ("extra a list", changed("/extra", json!([])), None),
        ("name null", changed("/extra/name", json!(null)), None),
        ("version a number", changed("/extra/version", json!(2)), None),
        ("no scheme", without("", "scheme"), None),
        ("no extra", without("", "extra"), None),
        ("null", json!(null), None),
        ("a list of them", json!([good]), None),
    ];
    for (name, accepted, expected) in rows {
        assert_eq!(match_terms(&[evm(None)], &accepted), expected, "{name}");
    }
    assert_eq!(match_terms(&[], &good), None);
}

#[test]
fn the_offer_that_says_most_was_meant() {
    let offered = [evm(None), evm(Some("nano")), evm(Some("gold")), evm(Some("nano"))];
    let accepted = |terms: &Terms| serde_json::from_str::<Value>(&terms.json()).expect("JSON");
    assert_eq!(match_terms(&offered, &accepted(&evm(None))), Some(0));
    assert_eq!(match_terms(&offered, &accepted(&evm(Some("nano")))), Some(1));
    assert_eq!(match_terms(&offered, &accepted(&evm(Some("gold")))), Some(2));
    assert_eq!(match_terms(&offered, &accepted(&evm(Some("none such")))), Some(0));
    assert_eq!(match_terms(&offered[1..], &accepted(&evm(None))), None);
}

#[test]
fn an_echo_holds_what_was_advertised() {
    let key = SIGN_IN_EXTENSION;
    let info = json!({"domain": "a", "nonce": "1", "issuedAt": "2", "expirationTime": "3", "resources": ["r"]});
    let advertised =
        object(json!({key: {"info": info, "schema": {"a": 1}}, "other": {"info": {"nonce": 1}}, "bare": {"a": 1}}));
    let changed = |name: &str, value: Value| {
        let mut copy = info.clone();
        copy[name] = value;
        json!({key: {"info": copy}})
    };
    let mismatch = |extension: &str| Err(EchoError { extension: extension.to_owned() });
    let rows = [
        ("nothing", json!({}), Ok(())),
        ("the same", json!({key: {"info": info}}), Ok(())),
        ("never advertised", json!({"unknown": 1}), Ok(())),
        ("another nonce", changed("nonce", json!(7)), Ok(())),
        ("another end", changed("expirationTime", json!(null)), Ok(())),
        ("more in info", changed("more", json!(1)), Ok(())),
        ("another domain", changed("domain", json!("b")), mismatch(key)),
        ("more resources", changed("resources", json!(["r", "s"])), mismatch(key)),
        ("no info", json!({key: {}}), mismatch(key)),
        ("null", json!({key: null}), mismatch(key)),
        ("info a text", json!({key: {"info": "a"}}), mismatch(key)),
        ("a nonce of another extension", json!({"other": {"info": {"nonce": 2}}}), mismatch("other")),
        ("without info, the same", json!({"bare": {"a": 1, "b": 2}}), Ok(())),
        ("without info, changed", json!({"bare": {"a": 2}}), mismatch("bare")),
    ];
    for (name, echoed, expected) in rows {
        assert_eq!(check_echo(&advertised, &object(echoed)), expected, "{name}");
    }
}

#[test]
fn schemes_have_their_names() {
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::named(scheme.as_str()), Some(scheme));
    }
    assert_eq!(Scheme::named("Exact"), None);
    assert_eq!(PaymentFlow::Authorization.as_str(), "authorization");
}

#[test]
fn errors_have_their_codes() {
    let chain = ChainId::parse(DEVNET).expect("a chain");
    assert_eq!(TermsUnavailable::FeePayer(chain).as_str(), "terms_unavailable");
    let error = EchoError { extension: "sign-in-with-x".to_owned() };
    assert_eq!(error.as_str(), "extension_echo_mismatch");
    assert_eq!(
        error.to_string(),
        "expected the `info` of extension `sign-in-with-x` as it was advertised, found it changed"
    );
}
