//! What an operator says of a payment whose outcome nobody knows (x402.md section 6: `payments resolve`).
//!
//! 1. An operator who says that a payment was made names payer and transaction. What is left out is what the store
//!    knows: the payer of verify, the transaction of a settlement that was pending.
//! 2. The payer is of the chain that was paid on. Whoever names another chain has looked at another payment.
//! 3. What is settled is never unsaid: [`Word::agrees`] tells whether the store's answer is what was said.

use thiserror::Error;

use super::{Payment, PaymentError, PaymentStatus, Receipt, Resolution, Settlement};
use crate::{
    caip::{AccountKey, ChainId},
    chain::account::{Named, spelled},
    x402::wire::PaymentResponse,
};

/// An operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It was not made.
    Released,
    /// It was made.
    Settled {
        /// Who paid; nothing: whom the store knows.
        payer: Option<Named>,
        /// In which transaction; nothing: the one that the store knows.
        transaction: Option<String>,
    },
}

/// Why a word cannot be taken. It is the operator's to say more, or something else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordError {
    /// The payer is named on another chain than was paid on.
    #[error("expected a payer on `{network}`, which was paid on, found `{found}`")]
    Chain {
        /// The chain that was paid on.
        network: ChainId,
        /// The chain, or family of chains, that was named.
        found: String,
    },
    /// It could not be kept.
    #[error(transparent)]
    Kept(#[from] PaymentError),
    /// Neither the operator nor the store names a payer.
    #[error("expected a payer: the store knows none of this payment")]
    Payer,
    /// Neither the operator nor the store names a transaction.
    #[error("expected a transaction: the store knows none of this payment")]
    Transaction,
}

impl Word {
    /// What the store is to do by this word about a payment it holds.
    pub fn resolution(&self, payment: &Payment) -> Result<Resolution, WordError> {
        let Self::Settled { payer, transaction } = self else {
            return Ok(Resolution::Released);
        };
        let network = &payment.sale.network;
        let payer = match payer {
            Some(named) => on_chain(named, network)?,
            None => payment.payer.clone().ok_or(WordError::Payer)?,
        };
        let transaction = transaction.as_ref().or(payment.transaction.as_ref());
        let transaction = match transaction.filter(|transaction| !transaction.is_empty()) {
            Some(transaction) => transaction.clone(),
            // A charge of nothing needs no transaction, and one that is settled already is not changed.
            None if is_nothing(&payment.sale.amount) || payment.status == PaymentStatus::Settled => String::new(),
            None => return Err(WordError::Transaction),
        };
        let response = PaymentResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(address(&payer)),
            transaction: transaction.clone(),
            network: network.as_str().to_owned(),
            amount: Some(payment.sale.amount.clone()),
            extensions: None,
            extra: None,
        };
        Ok(Resolution::Settled(Settlement::new(payer, &transaction, &response.header())?))
    }

    /// Whether a settled payment is as this word has it.
    pub fn agrees(&self, receipt: &Receipt) -> bool {
        let Self::Settled { payer, transaction } = self else {
            return false;
        };
        let same_payer = payer.as_ref().is_none_or(|named| named.key == receipt.payer);
        same_payer && transaction.as_ref().is_none_or(|transaction| *transaction == receipt.transaction)
    }
}

fn on_chain(named: &Named, network: &ChainId) -> Result<AccountKey, WordError> {
    let wrong = |found: &str| WordError::Chain { network: network.clone(), found: found.to_owned() };
    match &named.chain {
        Some(chain) if chain != network => Err(wrong(chain.as_str())),
        None if named.key.namespace() != network.namespace() => Err(wrong(named.key.namespace())),
        _ => Ok(named.key.clone()),
    }
}

fn is_nothing(amount: &str) -> bool {
    amount.bytes().all(|digit| digit == b'0')
}

/// The address as people read it.
fn address(account: &AccountKey) -> String {
    let text = spelled(account);
    text.split_once(':').map_or_else(|| account.address().to_owned(), |(_, address)| address.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        policy::access::Scope,
        store::{PaymentId, Sale},
        time::UnixTime,
        x402::wire::decode_header,
    };

    const ALICE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const BOB: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";

    fn named(text: &str) -> Named {
        Named::parse(text).expect("an account")
    }

    fn unknown(amount: &str, payer: Option<&str>, transaction: Option<&str>) -> Payment {
        Payment {
            id: PaymentId::new([7; 32]),
            sale: Sale {
                network: ChainId::parse("eip155:84532").expect("a chain"),
                scheme: "exact".into(),
                asset: "0x036cbd53842c5426634e7929541ec2318f3dcf7e".into(),
                amount: amount.into(),
                facilitator: "main".into(),
                route: "weather".into(),
                scope: Scope::route("weather").expect("a scope"),
                length: Some(Duration::from_secs(60)),
            },
            status: PaymentStatus::Unknown,
            payer: payer.map(|payer| named(payer).key),
            transaction: transaction.map(str::to_owned),
            response: None,
            lease: None,
            created_at: UnixTime::from_secs(1),
            settled_at: None,
            valid_until: UnixTime::from_secs(61),
            expires_at: None,
            attempts: 2,
            next_attempt_at: None,
        }
    }

    fn said(payer: Option<&str>, transaction: Option<&str>) -> Word {
        Word::Settled { payer: payer.map(named), transaction: transaction.map(str::to_owned) }
    }

    #[test]
    fn what_is_said_goes_over_what_is_known() {
        let wrong = |found: &str| WordError::Chain {
            network: ChainId::parse("eip155:84532").expect("a chain"),
            found: found.into(),
        };
        let solana = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";
        let known = || unknown("10000", Some(ALICE), Some("0xaa"));
        let rows = [
            ("all is known", known(), said(None, None), Ok((ALICE, "0xaa"))),
            ("another payer", known(), said(Some(BOB), None), Ok((BOB, "0xaa"))),
            ("with its family", known(), said(Some(&format!("eip155:{BOB}")), None), Ok((BOB, "0xaa"))),
            ("with its chain", known(), said(Some(&format!("eip155:84532:{BOB}")), None), Ok((BOB, "0xaa"))),
            ("another transaction", known(), said(None, Some("0xbb")), Ok((ALICE, "0xbb"))),
            ("on another chain", known(), said(Some(&format!("eip155:1:{BOB}")), None), Err(wrong("eip155:1"))),
            ("of another family", known(), said(Some(solana), None), Err(wrong("solana"))),
            ("nobody", unknown("10000", None, Some("0xaa")), said(None, Some("0xbb")), Err(WordError::Payer)),
            ("no transaction", unknown("10000", Some(ALICE), None), said(None, None), Err(WordError::Transaction)),
            ("an empty one", unknown("10000", Some(ALICE), None), said(None, Some("")), Err(WordError::Transaction)),
            ("none for nothing", unknown("0", Some(ALICE), None), said(None, None), Ok((ALICE, ""))),
            (
                "no text of one line",
                known(),
                said(None, Some("0x\n")),
                Err(WordError::Kept(PaymentError::Name { what: "transaction", found: "0x\\n".into() })),
            ),
        ];
        for (name, payment, word, expected) in rows {
            let amount = &payment.sale.amount;
            let expected = expected.map(|(payer, transaction)| {
                let told = PaymentResponse::parse(
                    format!(
                        r#"{{"success":true,"payer":"{payer}","transaction":"{transaction}","network":"eip155:84532","amount":"{amount}"}}"#
                    )
                    .as_bytes(),
                );
                let told = told.expect("a response").header();
                Resolution::Settled(Settlement::new(named(payer).key, transaction, &told).expect("a settlement"))
            });
            assert_eq!(word.resolution(&payment), expected, "{name}");
        }
        assert_eq!(Word::Released.resolution(&unknown("1", None, None)), Ok(Resolution::Released));
    }

    #[test]
    fn what_a_client_is_told_is_a_settlement_response() {
        let payment = unknown("10000", Some(ALICE), Some("0xaa"));
        let Ok(Resolution::Settled(settlement)) = said(None, None).resolution(&payment) else {
            panic!("a settlement");
        };
        let told = format!(
            r#"{{"success":true,"payer":"{ALICE}","transaction":"0xaa","network":"eip155:84532","amount":"10000"}}"#
        );
        assert_eq!(decode_header(settlement.response.as_bytes()).as_deref(), Ok(told.as_bytes()));
    }

    #[test]
    fn what_is_settled_agrees_or_not() {
        let receipt = Receipt {
            payer: named(ALICE).key,
            network: ChainId::parse("eip155:84532").expect("a chain"),
            scope: Scope::route("weather").expect("a scope"),
            expires_at: None,
            transaction: "0xaa".into(),
            response: "e30=".into(),
            settled_at: UnixTime::from_secs(2),
        };
        let rows = [
            ("released", Word::Released, false),
            ("settled", said(None, None), true),
            ("by the payer", said(Some(ALICE), Some("0xaa")), true),
            ("by another", said(Some(BOB), None), false),
            ("in another transaction", said(Some(ALICE), Some("0xbb")), false),
        ];
        for (name, word, expected) in rows {
            assert_eq!(word.agrees(&receipt), expected, "{name}");
        }
    }
}
