//! The way of something new to the workers.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    BindError,
    live::{self, Served},
    worker::News,
};
use crate::edge::{handler::Live, tls::TlsError};

/// Changes what a server serves by. One change at a time.
#[derive(Clone)]
pub struct Changes {
    live: Arc<watch::Sender<Arc<Live>>>,
    workers: Arc<[mpsc::UnboundedSender<News>]>,
}

/// Something to serve by that is made and not yet in force.
pub struct Prepared(Arc<Live>);

// === impl Changes ===

impl Changes {
    pub(super) fn new(live: Arc<Live>, workers: Vec<mpsc::UnboundedSender<News>>) -> Self {
        Self { live: Arc::new(watch::Sender::new(live)), workers: workers.into() }
    }

    /// What is served by, for whoever is no worker.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// Makes everything, and puts nothing into force. Reads files.
    pub fn prepare(&self, served: Served) -> Result<Prepared, BindError> {
        live::next(served, &self.live()).map(|live| Prepared(Arc::new(live)))
    }

    /// Reads the certificates again: those that are new, not yet in force, and what is wrong with others, of which the
    /// last good ones stay. Reads files.
    pub fn read_certificates(&self) -> (Option<Prepared>, Vec<TlsError>) {
        let (live, faults) = live::with_certificates_read(&self.live());
        (live.map(|live| Prepared(Arc::new(live))), faults)
    }

    /// Puts it into force: when this is done, every request that begins is served by it.
    pub async fn apply(&self, prepared: Prepared) {
        let Prepared(live) = prepared;
        let tell = |worker: &mpsc::UnboundedSender<News>| {
            let (taken, heard) = oneshot::channel();
            // A worker that has ended serves nothing.
            let _ = worker.send(News { live: Arc::clone(&live), taken });
            heard
        };
        let told: Vec<_> = self.workers.iter().map(tell).collect();
        self.live.send_replace(Arc::clone(&live));
        for heard in told {
            let _ = heard.await;
        }
    }
}
