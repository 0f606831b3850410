//! Whether what a facilitator names is what it was asked about (x402.md section 4).
//!
//! 1. A payer, where one is named, is the `from` of an EVM payload, and the same at verify and at settle.
//! 2. A network, where one is named, is that of the requirement, as text.
//! 3. EVM addresses are compared without their letter case, others byte for byte.
//!
//! What a difference means depends on when it is seen: before settlement an answer to be thrown away, afterwards an
//! outcome nobody knows. In neither case is anybody granted anything.

use serde_json::Value;
use thiserror::Error;

use crate::caip::AccountKey;

/// What the answers about one payment must agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The network of the requirement, CAIP-2.
    network: String,
    /// Who signed the authorization, if the payload says so.
    from: Option<String>,
}

/// Two names for what must be one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Disagreement {
    /// The network is not that of the requirement.
    #[error("expected the network `{expected}` of the requirement, found another")]
    Network {
        /// That of the requirement.
        expected: String,
    },
    /// The payer is not whom the payload names.
    #[error("expected the payer that the payload names, found another")]
    PayerOfPayload,
    /// The payer is not the one verify named.
    #[error("expected the payer that verify named, found another")]
    PayerOfVerify,
}

// === impl Agreement ===

impl Agreement {
    /// Of a `PaymentPayload` and the requirement it was matched with.
    pub fn of(payment_payload: &Value, requirement: &Value) -> Self {
        let network = requirement["network"].as_str().unwrap_or_default().to_owned();
        let payload = &payment_payload["payload"];
        // EIP-3009, then Permit2. A Solana payload names nobody outside its transaction.
        let from = ["authorization", "permit2Authorization"]
            .iter()
            .find_map(|kind| payload[*kind]["from"].as_str())
            .filter(|_| network.starts_with("eip155:"))
            .map(str::to_owned);
        Self { network, from }
    }

    /// The network of the requirement.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Whether an answer agrees: `verified` is the payer that verify named, if it was asked and named one.
    pub fn check(
        &self,
        payer: Option<&str>,
        network: Option<&str>,
        verified: Option<&str>,
    ) -> Result<(), Disagreement> {
        if network.is_some_and(|network| network != self.network) {
            return Err(Disagreement::Network { expected: self.network.clone() });
        }
        let Some(payer) = payer else {
            return Ok(());
        };
        if self.from.as_deref().is_some_and(|from| !self.same(from, payer)) {
            return Err(Disagreement::PayerOfPayload);
        }
        if verified.is_some_and(|verified| !self.same(verified, payer)) {
            return Err(Disagreement::PayerOfVerify);
        }
        Ok(())
    }

    fn same(&self, one: &str, other: &str) -> bool {
        let namespace = self.network.split_once(':').map_or("", |(namespace, _)| namespace);
        AccountKey::new(namespace, one) == AccountKey::new(namespace, other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
    const BOB: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    const BASE: &str = "eip155:84532";
    const SOLANA: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

    #[test]
    fn who_signed_is_read_from_evm_payloads_alone() {
        let rows = [
            ("EIP-3009", BASE, json!({"authorization": {"from": ALICE}}), Some(ALICE)),
            ("Permit2", BASE, json!({"permit2Authorization": {"from": BOB}}), Some(BOB)),
            ("neither", BASE, json!({"from": ALICE}), None),
            ("no text", BASE, json!({"authorization": {"from": 1}}), None),
            ("no object", BASE, json!("authorization"), None),
            ("Solana", SOLANA, json!({"transaction": "AQ=="}), None),
            ("Solana with a member nobody reads", SOLANA, json!({"authorization": {"from": ALICE}}), None),
        ];
        for (name, network, payload, from) in rows {
            let agreement = Agreement::of(&json!({"payload": payload}), &json!({"network": network}));
            let expected = Agreement { network: network.to_owned(), from: from.map(str::to_owned) };
            assert_eq!(agreement, expected, "{name}");
        }
    }

    #[test]
    fn every_difference_is_seen() {
        let lower = ALICE.to_ascii_lowercase();
        let network = || Err(Disagreement::Network { expected: BASE.to_owned() });
        let rows = [
            ("nothing named", BASE, Some(ALICE), (None, None, None), Ok(())),
            ("all the same", BASE, Some(ALICE), (Some(ALICE), Some(BASE), Some(ALICE)), Ok(())),
            ("letter case", BASE, Some(ALICE), (Some(&*lower), Some(BASE), Some(ALICE)), Ok(())),
            ("another network", BASE, Some(ALICE), (Some(ALICE), Some("eip155:8453"), None), network()),
            ("a name of version 1", BASE, Some(ALICE), (Some(ALICE), Some("base-sepolia"), None), network()),
            ("an empty network", BASE, Some(ALICE), (Some(ALICE), Some(""), None), network()),
            ("another payer", BASE, Some(ALICE), (Some(BOB), None, None), Err(Disagreement::PayerOfPayload)),
            ("another than at verify", BASE, None, (Some(BOB), None, Some(ALICE)), Err(Disagreement::PayerOfVerify)),
            ("not named at settle", BASE, Some(ALICE), (None, Some(BASE), Some(ALICE)), Ok(())),
            (
                "Solana keeps letter case",
                SOLANA,
                None,
                (Some("aB"), None, Some("ab")),
                Err(Disagreement::PayerOfVerify),
            ),
            ("Solana, the same", SOLANA, None, (Some("aB"), Some(SOLANA), Some("aB")), Ok(())),
        ];
        for (name, on, from, (payer, network, verified), expected) in rows {
            let agreement = Agreement { network: on.to_owned(), from: from.map(str::to_owned) };
            assert_eq!(agreement.check(payer, network, verified), expected, "{name}");
        }
    }
}
