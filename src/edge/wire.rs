//! Between the socket and hyper: what a client's bytes must be before hyper reads them.

pub mod head;
