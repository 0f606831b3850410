//! x402 version 2 as a seller speaks it: what a 402 offers, what a payment says, and how the two are compared.
//!
//! Everything here is pure: settings, header bytes, a time and random bytes go in; texts, typed values or one error
//! come out. Who is asked whether a payment is good, and where it is written down, is the business of the rooms above.
//!
//! 1. An offer is built from configuration and from what a facilitator says of itself, never from the request; of
//!    the request only the target is named, and behind an origin that is ours (x402.md section 2).
//! 2. A payment is matched against what is offered for this request now, as text. Nothing is folded or repaired.
//! 3. What goes to a facilitator is our own requirement and the payment exactly as it was received (section 3).
//! 4. A payment is known by what its payer authorised, not by the bytes it came in (section 6): an object with a
//!    member twice, or an authorization in a spelling that only some readers understand, is refused.
//!
//! | file | what |
//! |---|---|
//! | `wire` | header values, JSON objects without repeated members, `PAYMENT-RESPONSE` |
//! | `asset` | known tokens; prices in dollars and their exact amounts |
//! | `terms` | one requirement that is offered, and whether a payment accepts it |
//! | `charge` | what of an `upto` maximum is charged |
//! | `challenge` | the whole `PAYMENT-REQUIRED`, with the invitation to sign in |
//! | `nonce` | nonces that show who issued them, for whom and when |
//! | `payment` | `PAYMENT-SIGNATURE`: reading it, naming it, passing it on |
//! | `transaction` | where the signed part of a Solana transaction begins, and that nothing follows it |

pub mod asset;
pub mod challenge;
pub mod charge;
pub mod nonce;
pub mod payment;
pub mod terms;
mod transaction;
pub mod wire;

/// The version of the protocol that is spoken. The first is not: its clients look into the body of a 402.
pub const VERSION: u64 = 2;

/// Carries the challenge of a 402.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Carries a payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Carries the outcome of a settlement.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// Carries the proof of a wallet that comes back.
pub const SIGN_IN_WITH_X: &str = "sign-in-with-x";
/// Names, in an upstream's answer, what is charged of a maximum. It is not passed on.
pub const SETTLEMENT_OVERRIDES: &str = "settlement-overrides";

/// The key of the sign-in extension in a challenge; the same word as its header.
pub const SIGN_IN_EXTENSION: &str = SIGN_IN_WITH_X;

/// Bytes of a header value at most. Stock clients send about 3 kB, most of it a schema that they echo, and 16 kB is
/// what every server is asked to take (x402.md section 1).
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// `error` of a challenge to a request that presents nothing.
pub const ERROR_PAYMENT_REQUIRED: &str = "Payment required";
/// `error` of a challenge to a payment for terms that are not offered.
pub const ERROR_NO_MATCHING_TERMS: &str = "No matching payment requirements";
