//! A request as the gate sees it: borrowed, without body, whatever door it came through.

use std::{net::IpAddr, time::Instant};

use http::{HeaderMap, Method};

use super::LastCredential;
use crate::policy::target::CanonicalPath;

/// What a request is judged by.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'r> {
    /// Its method.
    pub method: &'r Method,
    /// The host it is for, in lower case and without port; one that is served.
    pub host: &'r str,
    /// Its path in the one spelling it is routed and forwarded by.
    pub path: &'r CanonicalPath<'r>,
    /// Path and query as the client spelled them, for a challenge that names them.
    pub target: &'r str,
    /// Its headers as received.
    pub headers: &'r HeaderMap,
    /// The address of the client.
    pub client: IpAddr,
    /// What its connection carried last.
    pub last: &'r LastCredential,
    /// When its head was complete, on the clock that never steps.
    pub started: Instant,
}
