//! Payments, and signing in after one, against the running gateway (x402.md).

mod challenges;
mod codes;
mod flows;
mod settlement;
mod sign_in;
mod trouble;
mod what_it_opens;
