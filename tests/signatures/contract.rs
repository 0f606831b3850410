//! Contract wallets: what is asked, and what is made of the answers that a node gave when it was recorded.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use siwx_gateway::{
    caip::ChainId,
    chain::{Accepts, CallAnswer, ContractCall, EthCall, Outcome, Scheme, SignatureError, UnclearAnswer, outcome_of},
};

use crate::{
    Case, Random,
    vectors::{Expect, cases, judge, text},
};

const FILE: &str = "signatures-evm-contract.json";

/// The word that stands for the validator's creation code in the recorded calls.
const CODE_WORD: &str = "{validator_creation_code}";

/// What the node said to each call, by case.
struct Recorded {
    file: Value,
}

impl Recorded {
    fn read() -> Self {
        Self { file: serde_json::from_str(&text(FILE)).expect(FILE) }
    }

    /// The answer to this very call. The node that was recorded was asked nothing else.
    fn answer(&self, id: &str, call: &EthCall) -> CallAnswer {
        let code = self.file["validator_creation_code"].as_str().expect("the code");
        let rows = self.file["cases"].as_array().expect("cases");
        let case = rows.iter().find(|case| case["id"] == id).expect(id);
        let data = format!("0x{}", HEXLOWER.encode(call.data()));
        let to = call.to().map(|to| format!("0x{}", HEXLOWER.encode(to)));
        let is_this = |exchange: &&Value| {
            let request = &exchange["params"][0];
            exchange["method"] == "eth_call"
                && request["to"].as_str() == to.as_deref()
                && request["data"].as_str().expect("data").replace(CODE_WORD, code).to_lowercase() == data
        };
        let calls = case["rpc"].as_array().expect("rpc");
        let exchange = calls.iter().find(is_this).unwrap_or_else(|| panic!("{id}: to {to:?}, {data}"));
        match exchange["result"].as_str() {
            Some(result) => {
                let hex = result.strip_prefix("0x").expect("hex");
                CallAnswer::Returned(HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("hex"))
            }
            None => CallAnswer::Failed,
        }
    }
}

/// The verdict on a case, the recorded node being asked where one is.
fn verdict(recorded: &Recorded, id: &str, case: &Case) -> Result<Scheme, SignatureError> {
    match outcome_of(&case.signed(), &Accepts::all())? {
        Outcome::Valid(scheme) => Ok(scheme),
        Outcome::AskContract(call) => {
            let asked = call.eth_call(None);
            let answer = asked.read(&recorded.answer(id, &asked)).expect("an answer");
            if answer.is_yes() { Ok(call.scheme()) } else { Err(SignatureError::ContractRefused) }
        }
    }
}

#[test]
fn recorded_contracts() {
    let recorded = Recorded::read();
    let verdict = |id: &str, case: &Case| match verdict(&recorded, id, case) {
        Ok(scheme) => {
            let rows = recorded.file["cases"].as_array().expect("cases");
            let row = rows.iter().find(|row| row["id"] == id).expect(id);
            (row["scheme"] == scheme.as_str()).then_some(true)
        }
        Err(_) => Some(false),
    };
    judge(FILE, cases(FILE).into_iter().map(|(id, case, expect)| (id.clone(), expect, verdict(&id, &case))));
}

/// A key that is right needs nobody, whatever the account delegates to (EIP-7702).
#[test]
fn a_key_is_never_asked_about() {
    for id in ["eoa", "7702-root-key", "7702-delegate-reverts-root-key"] {
        let (.., case, _) = found(id);
        let outcome = outcome_of(&case.signed(), &Accepts::all());
        assert!(matches!(outcome, Ok(Outcome::Valid(Scheme::Eip191))), "{id}: {outcome:?}");
    }
}

/// The EVM recovers the zero account from what is no signature, and the validator then says yes.
#[test]
fn the_zero_account_is_not_asked_about() {
    for id in ["zero-address-malformed-ecdsa", "6492-zero-address"] {
        let (.., case, _) = found(id);
        let outcome = outcome_of(&case.signed(), &Accepts::all());
        assert!(matches!(outcome, Err(SignatureError::ZeroAccount)), "{id}: {outcome:?}");
    }
}

/// What does not come apart is refused without asking anybody.
#[test]
fn a_body_that_does_not_decode_is_not_asked_about() {
    for id in ["6492-magic-only", "6492-garbage-body"] {
        let (.., case, _) = found(id);
        let outcome = outcome_of(&case.signed(), &Accepts::all());
        assert!(matches!(outcome, Err(SignatureError::MalformedSignature)), "{id}: {outcome:?}");
    }
}

/// The form that this does not speak has a name of its own.
#[test]
fn erc_8010_is_named() {
    let (.., case, _) = found("8010-predelegated");
    assert_eq!(case.verify(&Accepts::all()), Err(SignatureError::Erc8010Unsupported));
    assert_eq!(case.verify(&Accepts::default()), Err(SignatureError::RpcNotConfigured));
}

/// Schemes that are not accepted ask nobody.
#[test]
fn schemes_that_are_not_accepted_are_not_asked_about() {
    let (eip1271, eip6492) =
        (Accepts { eip6492: false, ..Accepts::all() }, Accepts { eip1271: false, ..Accepts::all() });
    let rows = [
        ("wallet-1271", Accepts::default(), SignatureError::SignatureMismatch),
        ("wallet-1271", eip6492, SignatureError::SignatureMismatch),
        ("wallet-accept-any", eip6492, SignatureError::RpcNotConfigured),
        ("6492-undeployed", Accepts::default(), SignatureError::RpcNotConfigured),
        ("6492-undeployed", eip1271, SignatureError::RpcNotConfigured),
    ];
    for (id, accepts, expected) in rows {
        let outcome = outcome_of(&found(id).1.signed(), &accepts);
        assert!(matches!(&outcome, Err(error) if *error == expected), "{id}: {outcome:?}");
    }
}

/// Every accepted case that rests on a contract, changed in a letter: what is asked then is another question, to which
/// no recorded yes is an answer, or is refused without asking.
#[test]
fn a_yes_is_good_for_one_question_alone() {
    let recorded = Recorded::read();
    let mut random = Random(16);
    let (mut asked, mut refused) = (0, 0);
    for (id, case, expect) in cases(FILE) {
        let Ok(Outcome::AskContract(call)) = outcome_of(&case.signed(), &Accepts::all()) else { continue };
        if expect != Expect::Accept {
            continue;
        }
        let eth = call.eth_call(None);
        let yes = eth.read(&recorded.answer(&id, &eth)).expect("an answer");
        assert!(yes.is_yes(), "{id}");
        for _ in 0..40 {
            let mut changed = case.clone();
            match random.below(4) {
                0 => changed.signature = nudged(&case.signature, &mut random),
                1 => changed.address = nudged(&case.address.to_lowercase(), &mut random),
                2 => changed.text.push(b'!'),
                _ => changed.chain = ChainId::parse("eip155:31337").expect("a CAIP-2 id"),
            }
            match outcome_of(&changed.signed(), &Accepts::all()) {
                Ok(Outcome::AskContract(other)) => {
                    assert_ne!(other.key(), call.key(), "{id}: {changed:?}");
                    asked += 1;
                }
                Ok(outcome) => panic!("{id}: {outcome:?}, {changed:?}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!(asked + refused, 11 * 40);
    assert!(asked > refused, "{asked} were asked, {refused} refused");
}

/// Another digit in the place of a digit.
fn nudged(text: &str, random: &mut Random) -> String {
    let at = 2 + random.below(text.len() - 2);
    let digit = u8::from_str_radix(&text[at..=at], 16).expect("a digit");
    format!("{}{:x}{}", &text[..at], (digit + 1 + random.below(14) as u8) % 16, &text[at + 1..])
}

/// A validator that is deployed is asked by name, and answers in a word.
#[test]
fn a_deployed_validator_answers_in_a_word() {
    let call = question("6492-undeployed");
    let eth = call.eth_call(Some([0xfb; 20]));
    assert_eq!(eth.to(), Some(&[0xfb; 20]));
    assert_eq!(&eth.data()[..4], [0x98, 0xef, 0x1e, 0xd8]);
    assert_eq!(&eth.data()[4..], &call.eth_call(None).data()[1684..], "the arguments are those of the other way");
    let word = |last: u8, length: usize| {
        let mut bytes = vec![0; length];
        bytes[length - 1] = last;
        CallAnswer::Returned(bytes)
    };
    let said = |answer: &CallAnswer| eth.read(answer).map(|verdict| verdict.is_yes());
    assert_eq!(said(&word(1, 32)), Ok(true));
    assert_eq!(said(&word(0, 32)), Ok(false));
    assert_eq!(said(&CallAnswer::Failed), Ok(false));
    for odd in [word(2, 32), word(1, 1), word(1, 31), word(1, 33), CallAnswer::Returned(Vec::new())] {
        assert_eq!(said(&odd), Err(UnclearAnswer), "{odd:?}");
    }
}

/// A node that runs no calls without `to` answers with nothing; that is nobody's no.
#[test]
fn an_answer_the_validator_cannot_give_is_unclear() {
    let eth = question("6492-undeployed").eth_call(None);
    for bytes in [vec![], vec![2], vec![0, 1], vec![0; 32]] {
        assert_eq!(eth.read(&CallAnswer::Returned(bytes.clone())), Err(UnclearAnswer), "{bytes:?}");
    }
}

/// `0x` is what a Safe has for a message that its owners approved on the chain.
#[test]
fn an_empty_signature_is_asked_about() {
    let case = Case { signature: "0x".to_owned(), ..found("wallet-1271").1 };
    let Ok(Outcome::AskContract(call)) = outcome_of(&case.signed(), &Accepts::all()) else {
        panic!("nobody is asked");
    };
    let eth = call.eth_call(None);
    assert_eq!(eth.data().len(), 4 + 3 * 32);
    assert_eq!(call.unasked(), SignatureError::RpcNotConfigured);
}

fn found(id: &str) -> (String, Case, Expect) {
    cases(FILE).into_iter().find(|(name, ..)| name == id).expect(id)
}

fn question(id: &str) -> Box<ContractCall> {
    match outcome_of(&found(id).1.signed(), &Accepts::all()) {
        Ok(Outcome::AskContract(call)) => call,
        other => panic!("{id}: {other:?}"),
    }
}
