//! Signatures and addresses of every family of chains.
//!
//! An input is a chain (CAIP-2), an address and a signature, each on a line, and then the text.

use siwx_gateway::{
    caip::ChainId,
    chain::{
        Accepts, CHAINS, Chain, DIALECTS, Outcome, SignatureError, Signed, SignerKey,
        account::{Named, spelled},
        outcome_of,
    },
};

use super::is_fit_to_show;

/// A signature is of one text by one account, however often it is asked, and an address has one canonical spelling.
pub fn judge(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(chain), Some(address), Some(signature)) = (line(), line(), line()) else {
        return;
    };
    let text = lines.next().unwrap_or_default();
    judge_address(address);
    let Ok(chain) = ChainId::parse(chain) else {
        return;
    };
    let signed = Signed { chain: &chain, address, text, domain: Some("app.gateway.example"), signature };
    for accepts in [Accepts::default(), Accepts::all()] {
        match outcome_of(&signed, &accepts) {
            Ok(outcome) => judge_outcome(&signed, &accepts, &outcome),
            Err(error) => is_fit_to_show(&error.to_string()),
        }
    }
}

fn judge_outcome(signed: &Signed<'_>, accepts: &Accepts, outcome: &Outcome) {
    let Outcome::Valid(scheme) = outcome else {
        return;
    };
    let chain: &dyn Chain =
        *CHAINS.iter().find(|chain| chain.namespace() == signed.chain.namespace()).expect("a chain");
    assert!(chain.schemes().contains(scheme));
    // With the key that it taught it is the same, and of another text it is none.
    let known = SignerKey::default();
    for _ in 0..2 {
        let again = chain.verify_known(signed, accepts, &known);
        assert!(matches!(again, Ok(Outcome::Valid(again)) if again == *scheme), "{again:?}, not {scheme:?}");
    }
    let longer = [signed.text, b"x"].concat();
    let other = Signed { text: &longer, ..*signed };
    for outcome in [chain.verify(&other, accepts), chain.verify_known(&other, accepts, &known)] {
        assert!(!matches!(outcome, Ok(Outcome::Valid(_))), "one signature of two texts");
    }
    assert!(!matches!(chain.verify_known(&other, accepts, &known), Err(SignatureError::NoChain)));
}

fn judge_address(address: &str) {
    for dialect in DIALECTS {
        if let Ok(canonical) = (dialect.address)(address) {
            assert_eq!((dialect.address)(&canonical), Ok(canonical.clone()), "{}", dialect.namespace);
        }
        if let Some(canonical) = (dialect.reference)(address) {
            assert_eq!((dialect.reference)(&canonical), Some(canonical.clone()), "{}", dialect.namespace);
            let _ = (dialect.on_chain)(address, &canonical);
        }
        let _ = (dialect.recognises)(address);
    }
    match Named::parse(address) {
        Ok(named) => {
            let again = Named::parse(&spelled(&named.key)).map(|again| again.key);
            assert_eq!(again.as_ref(), Ok(&named.key), "an account that is spelled is read again");
        }
        Err(error) => is_fit_to_show(&error.to_string()),
    }
}
