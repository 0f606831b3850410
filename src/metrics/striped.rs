//! Counters, gauges and histograms that workers do not contend for.
//!
//! 1. Each is kept in stripes, one for each core, on cache lines of their own. A thread writes to one stripe; a
//!    reader adds them all up. A request counts some thirty things, and two cores that write to one line wait for
//!    each other at each.
//! 2. A worker owns its stripe ([`OwnStripe`]): nobody else writes there, so it counts without locking the bus, which
//!    would take longer than the counting. All other threads share the last stripe.
//! 3. A [`Family`] is one metric with its labels. It hands its sums to the registry of the `prometheus` crate, which
//!    knows the text format.
//! 4. A sum may miss what is counted while it is taken; it never goes back.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use prometheus::{
    core::{Collector, Desc},
    proto::{self, LabelPair, Metric, MetricFamily, MetricType},
};

/// Something that only grows.
#[derive(Clone)]
pub struct Counter(Arc<[Line<AtomicU64>]>);

/// Something that goes up and down.
#[derive(Clone)]
pub struct Gauge(Arc<[Line<AtomicU64>]>);

/// Durations by size.
#[derive(Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    stripes: Arc<[Line<Durations>]>,
}

/// A metric and its labels; each combination of their values that was asked for once has a series.
#[derive(Clone)]
pub(super) struct Family<S: Series> {
    desc: Desc,
    name: String,
    labels: Vec<String>,
    kind: S::Kind,
    series: Arc<Mutex<Vec<Labelled<S>>>>,
}

/// A series behind the values of its labels.
type Labelled<S> = (Vec<String>, S);

/// One of the three above.
pub(super) trait Series: Clone + Send + Sync {
    /// What there is to say about all series of a metric.
    type Kind: Copy + Send + Sync;
    const TYPE: MetricType;

    fn new(kind: Self::Kind) -> Self;
    fn write(&self, metric: &mut Metric);
}

/// A cache line, and its neighbour that processors fetch along with it.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Default)]
struct Durations {
    /// One for each bound, and one for what is above the last.
    counts: [AtomicU64; BUCKETS_MAX + 1],
    nanos: AtomicU64,
}

/// Buckets of a histogram at most, that above the last bound left out.
const BUCKETS_MAX: usize = 14;

/// Stripes at most; workers beyond that many share the last one.
const STRIPES_MAX: usize = 33;

/// The stripes that nobody owns now, the last one, which is everybody's, left out.
static FREE: Mutex<Option<Vec<usize>>> = Mutex::new(None);

thread_local! {
    /// The stripe that this thread owns.
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

/// This thread owns a stripe until this is dropped, if there was one left. It stays on its thread.
pub struct OwnStripe(PhantomData<*const ()>);

impl OwnStripe {
    /// Takes one for this thread, unless it has one.
    pub fn take() -> Self {
        OWN.with(|own| {
            if own.get().is_none() {
                let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
                own.set(free.get_or_insert_with(|| (0..stripe_count() - 1).rev().collect()).pop());
            }
        });
        Self(PhantomData)
    }
}

impl Drop for OwnStripe {
    fn drop(&mut self) {
        if let Some(own) = OWN.take()
            && let Some(free) = FREE.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            free.push(own);
        }
    }
}

/// Where a thread writes, and whether nobody else does.
#[derive(Clone, Copy)]
struct Stripe {
    place: usize,
    alone: bool,
}

impl Stripe {
    /// The stripe of this thread, of so many.
    fn of_thread(count: usize) -> Self {
        match OWN.get() {
            Some(place) => Self { place, alone: true },
            None => Self { place: count - 1, alone: false },
        }
    }

    /// Adds to a number of this stripe.
    fn add(self, number: &AtomicU64, count: u64) {
        if self.alone {
            number.store(number.load(Relaxed).wrapping_add(count), Relaxed);
        } else {
            number.fetch_add(count, Relaxed);
        }
    }
}

fn stripe_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    // One more than cores, for the threads that own none.
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    *COUNT.get_or_init(|| (cores() + 1).min(STRIPES_MAX))
}

fn stripes<T: Default>() -> Arc<[Line<T>]> {
    std::iter::repeat_with(Line::default).take(stripe_count()).collect()
}

// === impl Counter ===

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// So many more.
    pub fn inc_by(&self, count: u64) {
        let stripe = Stripe::of_thread(self.0.len());
        stripe.add(&self.0[stripe.place].0, count);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).sum()
    }
}

impl Series for Counter {
    type Kind = ();
    const TYPE: MetricType = MetricType::COUNTER;

    fn new((): ()) -> Self {
        Self(stripes())
    }

    fn write(&self, metric: &mut Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.get() as f64);
        metric.set_counter(counter);
    }
}

// === impl Gauge ===

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// So many more, or less.
    pub fn add(&self, count: i64) {
        let stripe = Stripe::of_thread(self.0.len());
        // What wraps around on the way comes back on the other: the stripes are added up as they are.
        stripe.add(&self.0[stripe.place].0, count.cast_unsigned());
    }

    /// Makes it this. For gauges that one thread alone writes, and sets.
    pub fn set(&self, value: i64) {
        for (place, line) in self.0.iter().enumerate() {
            line.0.store(if place == 0 { value.cast_unsigned() } else { 0 }, Relaxed);
        }
    }

    /// What it is.
    pub fn get(&self) -> i64 {
        self.0.iter().fold(0_u64, |sum, line| sum.wrapping_add(line.0.load(Relaxed))).cast_signed()
    }
}

impl Series for Gauge {
    type Kind = ();
    const TYPE: MetricType = MetricType::GAUGE;

    fn new((): ()) -> Self {
        Self(stripes())
    }

    fn write(&self, metric: &mut Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.get() as f64);
        metric.set_gauge(gauge);
    }
}

// === impl Histogram ===

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        let stripe = Stripe::of_thread(self.stripes.len());
        let durations = &self.stripes[stripe.place].0;
        stripe.add(&durations.counts[bucket], 1);
        stripe.add(&durations.nanos, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Series for Histogram {
    type Kind = &'static [f64];
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn new(bounds: &'static [f64]) -> Self {
        assert!(bounds.len() <= BUCKETS_MAX, "the bounds are constants of `metrics`, and a test makes each histogram");
        Self { bounds, stripes: stripes() }
    }

    fn write(&self, metric: &mut Metric) {
        let count = |bucket: usize| self.stripes.iter().map(|line| line.0.counts[bucket].load(Relaxed)).sum::<u64>();
        let mut below = 0;
        let buckets = self.bounds.iter().enumerate().map(|(place, bound)| {
            below += count(place);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(below + count(self.bounds.len()));
        let nanos: u64 = self.stripes.iter().map(|line| line.0.nanos.load(Relaxed)).sum();
        histogram.set_sample_sum(Duration::from_nanos(nanos).as_secs_f64());
        metric.set_histogram(histogram);
    }
}

// === impl Family ===

impl<S: Series> Family<S> {
    /// A metric without a series yet.
    pub(super) fn new(name: &str, help: &str, labels: &[&str], kind: S::Kind) -> prometheus::Result<Self> {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels.clone(), Default::default())?;
        Ok(Self { desc, name: name.to_owned(), labels, kind, series: Arc::default() })
    }

    /// The series with these values of the labels, in their order; made if it is not there.
    pub(super) fn with_label_values(&self, values: &[&str]) -> S {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = series.iter().find(|(known, _)| known == values) {
            return found.clone();
        }
        let made = S::new(self.kind);
        series.push((values.iter().map(|value| (*value).to_owned()).collect(), made.clone()));
        made
    }
}

impl<S: Series> Collector for Family<S> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = series.iter().map(|(values, series)| {
            let pairs = self.labels.iter().zip(values).map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value(value.clone());
                pair
            });
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_by(|a, b| a.name().cmp(b.name()));
            let mut metric = Metric::from_label(pairs);
            series.write(&mut metric);
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(S::TYPE);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let (counter, gauge, histogram) = (Counter::new(()), Gauge::new(()), Histogram::new(&[0.001, 0.01]));
        thread::scope(|scope| {
            for _ in 0..2 * STRIPES_MAX {
                scope.spawn(|| {
                    // Some get one, the others share.
                    let _own = OwnStripe::take();
                    for _ in 0..1000 {
                        counter.inc();
                        gauge.inc();
                        histogram.observe(Duration::from_millis(5));
                    }
                    gauge.add(-999);
                });
            }
        });
        let threads = 2 * STRIPES_MAX as u64;
        assert_eq!((counter.get(), gauge.get()), (1000 * threads, threads as i64));
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
        let mut metric = Metric::default();
        histogram.write(&mut metric);
        assert_eq!(metric.get_histogram().get_sample_count(), 1000 * threads);
        assert_eq!(metric.get_histogram().get_bucket()[1].cumulative_count(), 1000 * threads);
    }

    /// A stripe that was lost with its thread would leave the next worker without one.
    #[test]
    fn a_stripe_comes_back_when_its_thread_ends() {
        let took = || {
            let own = OwnStripe::take();
            let place = OWN.get();
            drop(own);
            assert_eq!(OWN.get(), None);
            place
        };
        for _ in 0..4 * STRIPES_MAX {
            // Other tests of this process may hold all of them for a moment.
            while thread::scope(|scope| scope.spawn(took).join().expect("no panic")).is_none() {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_duration_at_a_bound_is_below_it() {
        let histogram = Histogram::new(&[0.001, 0.01]);
        for micros in [999, 1000, 1001, 10_000, 10_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut metric = Metric::default();
        histogram.write(&mut metric);
        let written = metric.get_histogram();
        let counts: Vec<_> = written.get_bucket().iter().map(|bucket| bucket.cumulative_count()).collect();
        assert_eq!((counts, written.get_sample_count()), (vec![2, 4], 5));
        assert!((written.get_sample_sum() - 0.023_001).abs() < 1e-9);
    }
}
