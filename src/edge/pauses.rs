//! Addresses that are not listened to for a while, because they go on after they were refused.
//!
//! 1. Refusing is cheap and not free: who is refused some thousand times a second takes from everybody else. So an
//!    address that is refused more than so often is paused: what it has goes on, and what it begins is not looked at.
//! 2. What counts: connections over the bound of one address, and connections of HTTP/2 that were ended for a flood.
//!    The first pause is as short as a client takes to try again by itself; behind one address there may be many.
//! 3. While there are pauses, a listener has a filter by which the kernel drops what a paused address begins, before
//!    there is a socket of it. Where that cannot be (a listener that was handed over is not ours alone; systems without
//!    filters), it is taken and closed.
//! 4. Trusted proxies and sockets in the file system are never asked about here: many clients share them.
//! 5. Memory is bounded: a count that finds its place taken lowers the one that is there, so that strangers by the
//!    thousand do not hide the one who comes a thousand times; and no more than so many are paused at once.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use socket2::{SockFilter, SockRef};

use crate::metrics::Metrics;

/// What an address is paused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offence {
    /// Floods of HTTP/2, each of which ended its connection.
    Flood,
    /// Connections over the bound of one address.
    Refused,
}

/// Who is paused, and who comes near it; shared by all workers.
#[derive(Default)]
pub(crate) struct Pauses {
    state: Mutex<State>,
    /// How many are in `state.paused`, so that nothing is locked while there are none.
    count: AtomicUsize,
    /// Changes whenever somebody is paused.
    version: AtomicU64,
    hasher: RandomState,
    metrics: Option<Arc<Metrics>>,
}

#[derive(Debug, Default)]
struct State {
    /// Has [`PLACES`] as soon as it has any.
    counted: Vec<Option<Counted>>,
    paused: Vec<(IpAddr, Instant)>,
}

#[derive(Debug)]
struct Counted {
    who: (IpAddr, Offence),
    since: Instant,
    number: u32,
}

/// A listener's filter.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// The [`Pauses::version`] it is of.
    version: Cell<u64>,
    /// When the first of its pauses ends, if it has any.
    changes: Cell<Option<Instant>>,
}

/// Addresses that are counted at once: 80 KiB, once there is something to count.
const PLACES: usize = 1024;

/// Addresses that are paused at once. A filter compares them one after the other, for each connection that begins.
const PAUSED_MAX: usize = 128;

// === impl Offence ===

impl Offence {
    /// So many within this time are too many; and how long nothing is heard then.
    const fn bound(self) -> (u32, Duration, Duration) {
        match self {
            // Each has cost what a hundred requests do; a client that is merely broken takes its time between two.
            Self::Flood => (20, Duration::from_secs(10), Duration::from_secs(10)),
            // A second is when TCP tries again by itself: who has room by then is served, and only waited.
            Self::Refused => (64, Duration::from_secs(1), Duration::from_secs(1)),
        }
    }

    /// The word of `siwx_address_pauses_total`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Flood => "h2_flood",
            Self::Refused => "ip_cap",
        }
    }
}

// === impl Pauses ===

impl Pauses {
    /// Nobody yet. What happens is counted.
    pub(crate) fn counted(metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..Self::default() }
    }

    /// Counts what an address did; too much of it pauses the address.
    pub(super) fn count(&self, address: IpAddr, offence: Offence, now: Instant) {
        // A client without an address stands for all of them.
        if address.is_unspecified() {
            return;
        }
        let (_, _, length) = offence.bound();
        let mut state = self.state();
        state.forget_ended(now);
        if state.is_too_much(self.hasher.hash_one((address, offence)) as usize, (address, offence), now)
            && state.paused.len() < PAUSED_MAX
            && !state.holds(address)
        {
            state.paused.push((address, now + length));
            self.version.fetch_add(1, Relaxed);
            if let Some(metrics) = &self.metrics {
                metrics.address_pauses.inc(offence.as_str());
            }
            tracing::warn!(
                event = "address_paused",
                client_ip = %address,
                reason = offence.as_str(),
                seconds = length.as_secs(),
                "an address goes on after it was refused; no connection of it is taken for a while"
            );
        }
        self.count.store(state.paused.len(), Relaxed);
    }

    /// Whether an address is paused.
    pub(super) fn hold(&self, address: IpAddr, now: impl Fn() -> Instant) -> bool {
        if self.count.load(Relaxed) == 0 {
            return false;
        }
        let mut state = self.state();
        state.forget_ended(now());
        self.count.store(state.paused.len(), Relaxed);
        state.holds(address)
    }

    /// Those that are paused, and of which version that is.
    fn list(&self, now: Instant) -> (u64, Vec<(IpAddr, Instant)>) {
        let mut state = self.state();
        state.forget_ended(now);
        self.count.store(state.paused.len(), Relaxed);
        (self.version.load(Relaxed), state.paused.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Counts one more; whether it was one too many.
    fn is_too_much(&mut self, hash: usize, who: (IpAddr, Offence), now: Instant) -> bool {
        if self.counted.is_empty() {
            self.counted.resize_with(PLACES, || None);
        }
        let Some(place) = self.counted.get_mut(hash % PLACES) else { return false };
        let (most, within, _) = who.1.bound();
        let counted = match place {
            Some(counted) if counted.who == who => counted,
            Some(other) if other.number > 1 && now.saturating_duration_since(other.since) < within => {
                other.number -= 1;
                return false;
            }
            place => place.insert(Counted { who, since: now, number: 0 }),
        };
        if now.saturating_duration_since(counted.since) >= within {
            (counted.since, counted.number) = (now, 0);
        }
        counted.number = counted.number.saturating_add(1);
        counted.number > most
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.paused.iter().any(|(paused, _)| *paused == address)
    }

    fn forget_ended(&mut self, now: Instant) {
        self.paused.retain(|(_, end)| now < *end);
    }
}

// === impl Door ===

impl Door {
    /// Lets the kernel keep out who is paused now.
    pub(super) fn follow(&self, listener: &TcpListener, pauses: &Pauses, now: impl Fn() -> Instant) {
        let ended = || self.changes.get().is_some_and(|end| end <= now());
        if self.version.get() == pauses.version.load(Relaxed) && !ended() {
            return;
        }
        let (version, paused) = pauses.list(now());
        let is_v4 = listener.local_addr().is_ok_and(|address| address.is_ipv4());
        let paused: Vec<_> = paused.into_iter().filter(|(address, _)| address.is_ipv4() == is_v4).collect();
        // Without a filter they are closed on one by one.
        let _ = match paused.is_empty() {
            true if self.is_guarded() => SockRef::from(listener).detach_filter(),
            true => Ok(()),
            false => SockRef::from(listener).attach_filter(&without(paused.iter().map(|(address, _)| *address))),
        };
        self.changes.set(paused.iter().map(|(_, end)| *end).min());
        self.version.set(version);
    }

    /// Whether there is a filter, which connections have from their listener.
    pub(super) const fn is_guarded(&self) -> bool {
        self.changes.get().is_some()
    }

    /// Waits until the filter is to be another one.
    pub(super) async fn changes(&self) {
        match self.changes.get() {
            None => std::future::pending().await,
            Some(end) => tokio::time::sleep_until(end.into()).await,
        }
    }
}

// Of the classic packet filter: load a byte, a word, what was kept; keep; and; jump if equal; return.
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const LOAD_KEPT: u16 = 0x60;
const KEEP: u16 = 0x02;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const DROP: u32 = 0;
const PASS: u32 = u32::MAX;

/// From here on a filter counts from the head of IP; without it, from that of TCP.
const IP_HEAD: u32 = 0xfff0_0000;
const V4_SOURCE: u32 = IP_HEAD + 12;
const V6_SOURCE: u32 = IP_HEAD + 8;

/// Drops TCP segments with SYN and without ACK (RFC 9293 section 3.1) of addresses, all of one family: of IPv6 each stands
/// for its /64. All others pass.
fn without(addresses: impl Iterator<Item = IpAddr>) -> Vec<SockFilter> {
    let mut filter = vec![
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(AND, 0, 0, 0x12),
        SockFilter::new(IF_EQUAL, 1, 0, 0x02),
        SockFilter::new(RETURN, 0, 0, PASS),
    ];
    for (number, address) in addresses.enumerate() {
        match address {
            IpAddr::V4(address) => {
                if number == 0 {
                    filter.push(SockFilter::new(LOAD_WORD, 0, 0, V4_SOURCE));
                }
                filter.push(SockFilter::new(IF_EQUAL, 0, 1, address.into()));
            }
            IpAddr::V6(address) => {
                if number == 0 {
                    for (place, offset) in [(0, V6_SOURCE), (1, V6_SOURCE + 4)] {
                        filter.push(SockFilter::new(LOAD_WORD, 0, 0, offset));
                        filter.push(SockFilter::new(KEEP, 0, 0, place));
                    }
                }
                let [high, low] = [96, 64].map(|shift| (u128::from(address) >> shift) as u32);
                filter.extend([
                    SockFilter::new(LOAD_KEPT, 0, 0, 0),
                    SockFilter::new(IF_EQUAL, 0, 3, high),
                    SockFilter::new(LOAD_KEPT, 0, 0, 1),
                    SockFilter::new(IF_EQUAL, 0, 1, low),
                ]);
            }
        }
        filter.push(SockFilter::new(RETURN, 0, 0, DROP));
    }
    filter.push(SockFilter::new(RETURN, 0, 0, PASS));
    filter
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use socket2::{Domain, Socket, Type};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(0xc000_0200 + number).into()
    }

    #[test]
    fn who_goes_on_is_paused_and_heard_again() {
        for (offence, most, within, length) in
            [(Offence::Refused, 64, SECOND, SECOND), (Offence::Flood, 20, 10 * SECOND, 10 * SECOND)]
        {
            let (pauses, begun) = (Pauses::default(), Instant::now());
            for _ in 0..most {
                pauses.count(address(1), offence, begun);
            }
            assert!(!pauses.hold(address(1), || begun), "{offence:?}: as many as there may be");
            let later = begun + within - Duration::from_millis(1);
            pauses.count(address(1), offence, later);
            assert!(pauses.hold(address(1), || later), "{offence:?}: one more");
            assert!(!pauses.hold(address(2), || later), "{offence:?}: its neighbour");
            let end = later + length;
            assert!(pauses.hold(address(1), || end - Duration::from_millis(1)), "{offence:?}: to the end");
            assert!(!pauses.hold(address(1), || end), "{offence:?}: and no longer");
            for _ in 0..most {
                pauses.count(address(1), offence, end + within);
            }
            assert!(!pauses.hold(address(1), || end + within), "{offence:?}: counted from nothing");
        }
    }

    #[test]
    fn who_is_slow_is_not_paused() {
        let (pauses, begun) = (Pauses::default(), Instant::now());
        for number in 0..1000 {
            let now = begun + number * SECOND / 64;
            pauses.count(address(1), Offence::Refused, now);
            assert!(!pauses.hold(address(1), || now), "{number}");
        }
    }

    #[test]
    fn offences_are_counted_apart() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        for _ in 0..20 {
            pauses.count(address(1), Offence::Refused, now);
            pauses.count(address(1), Offence::Flood, now);
        }
        assert!(!pauses.hold(address(1), || now));
    }

    #[test]
    fn strangers_by_the_thousand_hide_nobody_and_cost_no_memory() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        for number in 0..20_000 {
            pauses.count(address(1000 + number), Offence::Refused, now);
            pauses.count(address(1), Offence::Refused, now);
        }
        assert!(pauses.hold(address(1), || now));
        assert_eq!(pauses.state().counted.len(), PLACES);
        for number in 0..1000 {
            for _ in 0..100 {
                pauses.count(address(number), Offence::Refused, now);
            }
        }
        assert_eq!(pauses.state().paused.len(), PAUSED_MAX);
    }

    #[test]
    fn clients_without_an_address_are_never_paused() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        for _ in 0..1000 {
            pauses.count(Ipv4Addr::UNSPECIFIED.into(), Offence::Refused, now);
        }
        assert!(!pauses.hold(Ipv4Addr::UNSPECIFIED.into(), || now));
    }

    /// Whether a connection from an address begins.
    fn begins(from: IpAddr, to: SocketAddr) -> bool {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
        socket.connect_timeout(&to.into(), Duration::from_millis(200)).is_ok()
    }

    #[test]
    fn the_kernel_keeps_out_who_is_paused() {
        let (one, other) = (IpAddr::from([127, 0, 0, 5]), IpAddr::from([127, 0, 0, 6]));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let to = listener.local_addr().expect("bound");
        let (pauses, door, now) = (Pauses::default(), Door::default(), Instant::now());
        let pause = |address, now| (0..65).for_each(|_| pauses.count(address, Offence::Refused, now));
        door.follow(&listener, &pauses, || now);
        assert!(!door.is_guarded());
        assert_eq!([one, other].map(|from| begins(from, to)), [true, true], "nobody is paused");
        pause(one, now);
        door.follow(&listener, &pauses, || now);
        assert!(door.is_guarded());
        assert_eq!([one, other].map(|from| begins(from, to)), [false, true], "one is");
        let later = now + SECOND / 2;
        pause(other, later);
        door.follow(&listener, &pauses, || later);
        assert_eq!([one, other].map(|from| begins(from, to)), [false, false], "both are");
        door.follow(&listener, &pauses, || now + SECOND);
        assert_eq!([one, other].map(|from| begins(from, to)), [true, false], "the first one's has ended");
        door.follow(&listener, &pauses, || later + SECOND);
        assert!(!door.is_guarded());
        assert_eq!([one, other].map(|from| begins(from, to)), [true, true]);
    }

    #[test]
    fn the_kernel_keeps_out_a_network_of_ipv6() {
        // Not every machine has it.
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let to = listener.local_addr().expect("bound");
        let (pauses, door, now) = (Pauses::default(), Door::default(), Instant::now());
        let pause = |address: &str| {
            let address = address.parse().expect("an address");
            (0..65).for_each(|_| pauses.count(address, Offence::Refused, now));
            door.follow(&listener, &pauses, || now);
        };
        pause("0:0:0:1::");
        pause("1::");
        pause("192.0.2.1");
        assert!(begins(Ipv6Addr::LOCALHOST.into(), to), "others are paused");
        // The /64 that `::1` is in; nobody comes from its own address.
        pauses.state().paused.push((Ipv6Addr::UNSPECIFIED.into(), now + SECOND));
        pause("2::");
        assert!(!begins(Ipv6Addr::LOCALHOST.into(), to));
    }

    #[test]
    fn the_longest_filter_is_taken() {
        for filter in [
            without((0..PAUSED_MAX as u32).map(address)),
            without((0..PAUSED_MAX as u128).map(|number| Ipv6Addr::from(number << 64).into())),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            SockRef::from(&listener).attach_filter(&filter).expect("a filter");
        }
    }
}
