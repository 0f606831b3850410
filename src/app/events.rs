//! The log of everything that is not a request: events, on standard error.
//!
//! 1. Whoever says something goes on at once: a thread of its own writes (`edge::log_writer`). What finds no room is
//!    dropped and counted in `siwx_log_dropped_total`, as lines of the access log are.
//! 2. What was said is written before the process ends, also when it does not start at all. Where nobody reads, that is
//!    waited for a few seconds and no longer.
//! 3. Level and format are those of the configuration in force: a reload changes them.
//! 4. A panic is an event like any other. The standard library would write to standard error itself, and wait there.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::{
    config::{LogLevel, LogSettings},
    edge::log_writer::{Piece, Queue, Writer},
    metrics::Metrics,
};

/// The log of events. It is written to its end when this is dropped.
pub struct Events {
    sink: Arc<Sink>,
    writer: Mutex<Option<Writer>>,
    /// Changes level and format; nothing before they are known first.
    shown: Mutex<Option<reload::Handle<Shown, Registry>>>,
}

/// What is shown of events, and how.
type Shown = Box<dyn Layer<Registry> + Send + Sync>;

/// Where events go, from any thread.
struct Sink {
    /// Nothing once the log has ended.
    queue: Mutex<Option<Queue>>,
    /// Where it is counted what was dropped, and how much was before that was known.
    metrics: Mutex<(Option<Arc<Metrics>>, u64)>,
}

/// Events that wait for the writer: some hundred bytes each, so less than a megabyte.
const QUEUE: usize = 1024;

// === impl Events ===

impl Events {
    /// Starts what writes to standard error.
    pub fn start() -> io::Result<Arc<Self>> {
        Self::start_to(Box::new(io::stderr()))
    }

    fn start_to(out: Box<dyn io::Write + Send>) -> io::Result<Arc<Self>> {
        let writer = Writer::start("events", QUEUE, out)?;
        let queue = Mutex::new(Some(writer.queue()));
        let sink = Arc::new(Sink { queue, metrics: Mutex::default() });
        Ok(Arc::new(Self { sink, writer: Mutex::new(Some(writer)), shown: Mutex::default() }))
    }

    /// Takes the events of this process, from now on or, after the first time, in another way than before. In a process
    /// that has such a log already the first one stays.
    pub fn show(&self, settings: LogSettings) {
        let mut shown = lock(&self.shown);
        match &*shown {
            Some(handle) => {
                // It is there as long as the process is.
                let _ = handle.reload(self.layer(settings));
            }
            None => {
                let (layer, handle) = reload::Layer::new(self.layer(settings));
                if tracing_subscriber::registry().with(layer).try_init().is_ok() {
                    std::panic::set_hook(Box::new(told));
                    *shown = Some(handle);
                }
            }
        }
    }

    /// Counts what is dropped, and what was before.
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        let mut known = lock(&self.sink.metrics);
        metrics.log_dropped.inc_by(std::mem::take(&mut known.1));
        known.0 = Some(Arc::clone(metrics));
    }

    /// Says something that is no event, to whoever started the process.
    pub fn say(&self, text: &str) {
        self.sink.take(format!("{}\n", text.trim_end()));
    }

    fn layer(&self, settings: LogSettings) -> Shown {
        let level = match settings.level {
            LogLevel::Debug => "debug",
            LogLevel::Error => "error",
            LogLevel::Info => "info",
            LogLevel::Trace => "trace",
            LogLevel::Warn => "warn",
        };
        // Other crates speak of single packets and frames from `debug` down; h2 warns of each flood, so that a client
        // could fill the log. It is counted, and who goes on is told of once.
        let filter = EnvFilter::new(format!("warn,h2=error,siwx_gateway={level}"));
        let layer = fmt::layer().with_writer(Arc::clone(&self.sink)).with_target(false);
        if settings.json {
            filter.and_then(layer.json().flatten_event(true)).boxed()
        } else {
            filter.and_then(layer).boxed()
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The last queue, so that the thread ends with what is in it.
        drop(lock(&self.sink.queue).take());
        if let Some(writer) = lock(&self.writer).take() {
            writer.finish();
        }
    }
}

// === impl Sink ===

impl Sink {
    fn take(&self, text: String) {
        let dropped = lock(&self.queue).as_ref().map_or(1, |queue| queue.hand_over(Piece { text, lines: 1 }));
        if dropped > 0 {
            let mut known = lock(&self.metrics);
            match &known.0 {
                Some(metrics) => metrics.log_dropped.inc_by(dropped),
                None => known.1 += dropped,
            }
        }
    }
}

/// An event comes in one piece.
impl io::Write for &Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells a panic, with where it came from if that was asked for (`RUST_BACKTRACE`).
fn told(panic: &std::panic::PanicHookInfo<'_>) {
    let backtrace = std::backtrace::Backtrace::capture();
    let captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = captured.then(|| backtrace.to_string());
    let thread = std::thread::current();
    // What it says of itself is two lines; an event is one.
    let panic = panic.to_string().replace('\n', " ");
    tracing::error!(thread = thread.name(), backtrace, "the gateway {panic}");
}

/// What is in there is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
