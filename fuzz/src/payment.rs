//! `PAYMENT-SIGNATURE`.
//!
//! An input is the JSON that the header carries; it is tried as the header's value as well.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use siwx_gateway::{
    caip::ChainId,
    time::UnixTime,
    x402::{
        asset::{Asset, Price},
        payment::{Authorization, Payment, PaymentId, facilitator_request},
        terms::{Accept, Offer, PaymentFlow, Scheme, Terms, check_echo, match_terms},
        wire,
    },
};

use super::is_fit_to_show;

/// What the payments of the corpus are for.
static TERMS: LazyLock<Vec<Terms>> = LazyLock::new(|| {
    let offers = [
        ("eip155:84532", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        ("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU"),
    ];
    offers.map(|(network, pay_to)| terms(network, pay_to)).into()
});

fn terms(network: &str, pay_to: &str) -> Terms {
    let network = ChainId::parse(network).expect("a chain");
    let asset = Asset::known("usdc", &network).expect("a known token");
    let accept = Accept { network, pay_to: pay_to.to_owned(), asset, scheme: Scheme::Exact, timeout_secs: 60 };
    let price = Price::parse("$0.01").expect("a price");
    let supported = Map::from_iter([("feePayer".to_owned(), json!("EUzYVniKtgNNgFweMtRA9vciTWtE8MDTRfh6ai6VvXoU"))]);
    let offer = Offer::new(accept, price, PaymentFlow::Authorization, None).expect("an offer");
    offer.terms(Some(&supported)).expect("terms")
}

/// A payment is passed on as it came, and has one name whatever stands around what was authorised.
pub fn judge(bytes: &[u8]) {
    if let Err(error) = Payment::read(bytes) {
        is_fit_to_show(&error.challenge_error());
    }
    let header = data_encoding::BASE64.encode(bytes);
    let payment = match Payment::read(header.as_bytes()) {
        Ok(payment) => payment,
        Err(error) => {
            is_fit_to_show(&error.to_string());
            return is_fit_to_show(&error.challenge_error());
        }
    };
    assert_eq!(payment.json().as_bytes(), bytes, "a payment is passed on as it came");
    let request = facilitator_request(payment.json(), &TERMS[0].json());
    assert!(serde_json::from_str::<Value>(&request).is_ok_and(|request| request.is_object()));
    if let Some(index) = match_terms(&TERMS, payment.accepted()) {
        assert_eq!(payment.accepted()["network"], TERMS[index].network().as_str());
        assert_eq!(payment.accepted()["amount"], TERMS[index].amount().to_string());
    }
    let _ = check_echo(payment.extensions(), payment.extensions());
    for terms in &*TERMS {
        match payment.authorization(terms) {
            Ok(authorization) => judge_authorization(&payment, terms, &authorization),
            Err(error) => is_fit_to_show(&error.to_string()),
        }
    }
    let _ = wire::parse_object(bytes);
}

fn judge_authorization(payment: &Payment, terms: &Terms, authorization: &Authorization) {
    assert_eq!(PaymentId::parse(&authorization.id().to_string()), Some(authorization.id()));
    let now = UnixTime::from_secs(1_795_168_800);
    assert!(authorization.remember_until(now).is_none_or(|until| until > now), "forgotten at once");
    // What is not signed may change: the name must not.
    let mut value: Value = serde_json::from_str(payment.json()).expect("an object");
    value["resource"] = json!({"url": "https://elsewhere.example"});
    if let Some(payload) = value["payload"].as_object_mut()
        && ["authorization", "permit2Authorization", "transaction"].iter().any(|name| payload.contains_key(*name))
    {
        let signature = payload.insert("signature".to_owned(), json!("0x00"));
        let again = Payment::read(wire::encode_header(&value.to_string()).as_bytes());
        let again = again.and_then(|again| again.authorization(terms)).map(|again| again.id());
        let known = !authorization.payers().is_empty() || terms.network().namespace() == "solana";
        let named_by_parts = known && value["payload"].get(named_by(terms)).is_some();
        assert!(!named_by_parts || again == Ok(authorization.id()), "signed {signature:?}, named {again:?}");
    }
}

/// The member that holds what was authorised.
fn named_by(terms: &Terms) -> &'static str {
    if terms.network().namespace() == "solana" { "transaction" } else { "authorization" }
}
