//! One worker: a thread, a runtime, a set of listeners, and what it serves by at the moment.
//!
//! 1. A connection asks for what is served by at each of its requests, so that a reload counts from the next one on; a
//!    request keeps what it began with. For that nothing is paid but one look at what is in the worker's cache anyway:
//!    no other thread touches it, the news comes through a channel.
//! 2. Whoever brings the news waits until every worker has taken it.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    runtime::LocalOptions,
    sync::{mpsc, oneshot, watch},
};

use crate::{
    edge::{
        accept::Listener,
        access_log,
        handler::{Live, RequestIds, Worker},
        listener::{Acceptor, Closing, Connections, Phase},
        upstream::Pool,
    },
    metrics::OwnStripe,
};

/// What a worker serves by, now.
pub(crate) struct Current(RefCell<Rc<Worker>>);

/// Something else to serve by, and who waits for that.
pub(super) struct News {
    pub(super) live: Arc<Live>,
    pub(super) taken: oneshot::Sender<()>,
}

/// What a worker's thread is given.
pub(super) struct Seed {
    pub(super) live: Arc<Live>,
    pub(super) news: mpsc::UnboundedReceiver<News>,
    pub(super) connections: Arc<Connections>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) log: access_log::Handle,
}

/// What one worker starts with.
pub(super) struct Bound {
    pub(super) listeners: Vec<Listener>,
    pub(super) random: [u8; 8],
}

/// How often unused upstream connections are looked for.
const POOL_CHECK: Duration = Duration::from_secs(5);

// === impl Current ===

impl Current {
    /// What to serve the next request by.
    pub(crate) fn worker(&self) -> Rc<Worker> {
        Rc::clone(&self.0.borrow())
    }

    /// Takes what comes next. Connections to upstreams that stay are kept.
    fn take(&self, live: Arc<Live>) {
        let before = self.worker();
        let pool = |upstream: &Arc<_>| {
            let same = before.pools.iter().find(|pool| std::ptr::eq(pool.upstream(), &raw const **upstream));
            same.map_or_else(|| Pool::new(Arc::clone(upstream)), Rc::clone)
        };
        let pools = live.upstreams.iter().map(pool).collect();
        before.log.change(live.settings.access_log);
        let (log, ids, closing) = (Rc::clone(&before.log), before.ids.go_on(), Rc::clone(&before.closing));
        let current = before.current.clone();
        self.0.replace(Rc::new(Worker {
            live,
            pools,
            log,
            ids,
            awaited: Rc::clone(&before.awaited),
            closing,
            current,
        }));
    }
}

/// One worker, from its first connection to its last.
pub(super) fn work(seed: Seed, bound: Bound) -> std::io::Result<()> {
    let _stripe = OwnStripe::take();
    // A runtime whose tasks never leave this thread; a `LocalSet` on an ordinary one would keep a second queue.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let log = runtime.block_on(async move {
        let Seed { live, mut news, connections, mut phase, log } = seed;
        let log = log.log(live.settings.access_log, &live.metrics);
        let pools = live.upstreams.iter().map(|upstream| Pool::new(Arc::clone(upstream))).collect();
        let (ids, closing) = (RequestIds::new(bound.random), Rc::new(Closing::default()));
        let current = Rc::new_cyclic(|current| {
            let (log, closing, current) = (Rc::clone(&log), Rc::clone(&closing), current.clone());
            Current(RefCell::new(Rc::new(Worker { live, pools, log, ids, awaited: Rc::default(), closing, current })))
        });
        let acceptor =
            Acceptor { current: Rc::clone(&current), connections, phase: phase.clone(), closing: Rc::clone(&closing) };
        for listener in bound.listeners {
            tokio::task::spawn_local(acceptor.clone().run(listener));
        }
        drop(acceptor);
        let lines = Rc::clone(&log);
        tokio::task::spawn_local(async move { lines.hand_over_each_turn().await });
        let taking = Rc::clone(&current);
        tokio::task::spawn_local(async move {
            while let Some(News { live, taken }) = news.recv().await {
                taking.take(live);
                let _ = taken.send(());
            }
        });
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(POOL_CHECK).await;
                for pool in &current.worker().pools {
                    pool.close_unused();
                }
            }
        });
        let _ = phase.wait_for(|phase| *phase >= Phase::Closing).await;
        closing.begin();
        // The sender lives as long as the server; if it is gone, so is everything else.
        let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
        log
    });
    // Requests that are cut end here, and each has its line.
    drop(runtime);
    log.hand_over();
    Ok(())
}
