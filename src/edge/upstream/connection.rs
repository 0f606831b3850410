//! One connection to an upstream: made, sent on, waited on.

use std::{
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use tokio::time::timeout;

use crate::edge::{body::RequestBody, deadline::Deadline};

/// Bytes of an answer's head. Its fields are bounded by hyper's own 100: any other number costs time with every answer.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A kept connection that still has to write what it was given last is closed if that takes longer.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);

/// A connection. A task of its own reads and writes: driven by the task of the client's connection it would cost two
/// wakes less, but its writes would no longer come one after the other for a whole turn of the loop, and the kernel
/// takes more for that than the wakes do (measured: 0.8 µs a request more).
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<RequestBody>,
    pub(super) address: SocketAddr,
    /// For the wait for an answer's head.
    pub(super) deadline: Deadline,
}

// === impl Connection ===

impl Connection {
    /// Whether a kept connection can carry another request: it is still there, and has nothing left to write.
    pub(super) async fn settles(&mut self) -> bool {
        if self.sender.is_closed() {
            return false;
        }
        // At once ready, or one turn of its task away from it; a broken one answers with an error.
        self.sender.is_ready() || matches!(timeout(SETTLES_WITHIN, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request and waits for the head of its answer; nothing if none came until `latest`.
    pub(super) fn answer(
        &mut self,
        request: Request<RequestBody>,
        latest: Instant,
    ) -> impl Future<Output = Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>> {
        // Not in the future: it goes into the connection's queue at once, and need not be carried about.
        let answering = self.sender.try_send_request(request);
        let deadline = &mut self.deadline;
        async move {
            let mut answering = pin!(answering);
            let wait = std::future::poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Pending => deadline.poll(latest, cx).map(|()| None),
                answered => answered.map(Some),
            });
            wait.await
        }
    }
}
