//! The real program as a process of its own, in trouble.
//!
//! * `storm`: honest and hostile traffic at once, for as long as `STORM_SECONDS` says (60), from a seed that is printed
//!   and that `STORM_SEED` sets. Meanwhile a real nginx behind the gateway is killed, stopped and started again, and
//!   subscriptions come and go by the admin API and by another program. It must hold: nothing that was not allowed
//!   reaches an upstream, and nothing as somebody else; every honest request is answered as it must be; nothing
//!   panics; memory, file descriptors and metric series stay within bounds; each line of the log is one JSON object.
//!   In `tests/run` it has a step of its own, `storm`.
//! * `trouble`: one test for each way in which what the process itself stands on fails (hardening.md section 7).

mod honest;
mod hostile;
mod process;
mod random;
mod ticket;
mod trouble;
mod upstreams;
#[allow(dead_code, reason = "the gateway's tests use all of it")]
#[path = "../gateway/harness/wallet.rs"]
mod wallet;
mod world;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use siwx_gateway::{
    caip::AccountId,
    store::{self, Backend, Grant, Settings, Store, Term},
};

use crate::{
    process::{Gateway, Start},
    random::Random,
    ticket::{Judge, SPOOF},
    upstreams::{Nginx, Records},
    wallet::Wallet,
    world::{BY_ADMIN, BY_OTHERS, SUBSCRIBED, WALLETS, World, now},
};

/// Threads that attack, beside the one that only holds connections.
const ATTACKERS: usize = 4;

/// When memory and series are looked at for the first time: caches, pools and buffers have their size by then.
const WARM: Duration = Duration::from_secs(20);

/// What memory may grow by after that, whatever the length of the storm. Caches are bounded at [`ENTRIES`] in the
/// storm's configuration, of which each may take [`ENTRY_KIB`]; the rest is for buffers of connections that happen to
/// be open.
const GROWTH_KIB: usize = ENTRIES * ENTRY_KIB + (24 << 10);
const ENTRIES: usize = 2 * 4000;
const ENTRY_KIB: usize = 2;

/// Series that may be there in the end (X4), and how many of them may come after the first look: labels are closed
/// lists, of which some words may be said late.
const SERIES: usize = 1500;
const LATE_SERIES: usize = 60;

/// File descriptors that may be left when the traffic has ended beside those of the beginning: each worker's loop has
/// a few, and the store opens its file once for each reader. Sockets are all closed; those in pools within seconds.
const LEFT_OPEN: usize = 16;

fn configuration(directory: &Path, recording: std::net::SocketAddr, nginx: std::net::SocketAddr) -> String {
    let route = |name: &str, auth: &str, upstream: &str| {
        format!("[[route]]\nname = \"{name}\"\nprefix = \"/{name}\"\nupstream = \"{upstream}\"\nauth = \"{auth}\"\n")
    };
    let routes = [
        route("public", "none", "api"),
        route("wallet", "wallet", "api"),
        route("paid", "subscription", "api"),
        route("pro", "subscription", "api") + "plans = [\"pro\"]\n",
        route("nginx", "subscription", "nginx"),
    ];
    format!(
        "public_url = \"https://api.example.com\"\n\
         [server]\nlisten = [\"127.0.0.1:0\"]\ndrain_delay = \"0s\"\ndrain_timeout = \"5s\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{}\"\n\
         [limits]\nheader_timeout = \"2s\"\nbody_idle_timeout = \"2s\"\n\
         [store]\nurl = \"sqlite:{}\"\n\
         [session]\n\
         [cache]\nproofs = {{ entries = 4000 }}\nsubscriptions = {{ entries = 4000, ttl = \"2s\", negative_ttl = \"1s\" }}\n\
         sessions = {{ entries = 500 }}\n\
         [log.access]\nquery = \"full\"\naccount = \"full\"\n\
         [upstreams.api]\nurls = [\"http://{recording}\"]\npool_idle = \"2s\"\n\
         [upstreams.nginx]\nurls = [\"http://{nginx}\"]\npool_idle = \"2s\"\nresponse_timeout = \"1s\"\nconnect_timeout = \"1s\"\n\
         [[plan]]\nname = \"nano\"\n[[plan]]\nname = \"pro\"\n{}",
        process::ADMIN_TOKEN,
        directory.join("store.db").display(),
        routes.concat()
    )
}

/// A gateway before its upstreams, with the wallets that its store knows.
struct Stage {
    gateway: Gateway,
    world: World,
    records: Arc<Records>,
    nginx: Nginx,
    judge: Arc<Judge>,
    directory: tempfile::TempDir,
    /// Two stages at once would count each other's load as the gateway's fault.
    alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Stage {
    /// Everything, with a gateway that is started from the file of its configuration.
    fn set(seed: u64, start: impl FnOnce(&Path) -> Gateway) -> Self {
        // One that failed before leaves nothing behind that this one shares.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a directory");
        let wallets: Vec<Wallet> = (0..WALLETS as u32)
            .map(|number| if number.is_multiple_of(2) { Wallet::evm(number) } else { Wallet::solana(number) })
            .collect();
        let accounts: Vec<String> = wallets.iter().map(Wallet::account).collect();
        let database = directory.path().join("store.db");
        let grants: Vec<Grant> = SUBSCRIBED.map(|wallet| grant(&accounts[wallet], "pro")).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(open(&database).subscriptions().import(&grants, now())).expect("the store imports");
        let judge = Arc::new(Judge::new(seed, accounts));
        let (recording, records) = upstreams::recording(&judge);
        let nginx = Nginx::start(directory.path());
        let file = directory.path().join("gateway.toml");
        std::fs::write(&file, configuration(directory.path(), recording, nginx.address)).expect("a file");
        let gateway = start(&file);
        let world = World::new(seed, gateway.address, gateway.admin, database, wallets, &judge);
        Self { gateway, world, records, nginx, judge, directory, alone }
    }
}

fn open(path: &Path) -> Store {
    let timeout = Duration::from_secs(10);
    let settings = Settings { backend: Backend::Sqlite(path.to_owned()), timeout, require_at_start: true };
    store::open(&settings).expect("the store opens")
}

fn grant(account: &str, plan: &str) -> Grant {
    let account = AccountId::parse(account).expect("a CAIP-10 id");
    Grant::new(account.key(), plan, Term::UntilRevoked).expect("a grant")
}

/// Grants and revokes through the admin API, one wallet after the other.
fn admin(world: &World, mut random: Random) {
    let mut holds = vec![false; WALLETS];
    while !world.is_over() {
        let wallet = BY_ADMIN.start + random.below(BY_ADMIN.len());
        let account = &world.accounts[wallet];
        let is = !holds[wallet];
        world.change(wallet, is, || {
            let answer = if is {
                let body = json!({"account": account, "plan": "nano"}).to_string();
                process::ask_admin(world.admin, "POST", "/admin/subscriptions", &body)
            } else {
                process::ask_admin(world.admin, "DELETE", &format!("/admin/subscriptions/{account}/nano"), "")
            };
            match answer {
                Ok((200..=204, _)) => world.count("granted or revoked by the admin API", "done"),
                other => world.fault(format!("the admin API: {other:?}")),
            }
        });
        holds[wallet] = is;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Grants and revokes in the store's file, as another program does.
fn others(world: &World, mut random: Random) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let subscriptions = open(&world.store).subscriptions();
    let mut holds = vec![false; WALLETS];
    while !world.is_over() {
        let wallet = BY_OTHERS.start + random.below(BY_OTHERS.len());
        let grant = grant(&world.accounts[wallet], "nano");
        let is = !holds[wallet];
        world.change(wallet, is, || {
            let done = if is {
                runtime.block_on(subscriptions.grant(&grant, now())).is_ok()
            } else {
                runtime.block_on(subscriptions.revoke(grant.account(), "nano")).is_ok()
            };
            if !done {
                world.fault("the store takes no change of another program".to_owned());
            }
            world.count("granted or revoked by another program", "done");
        });
        holds[wallet] = is;
        std::thread::sleep(Duration::from_millis(1500));
    }
}

/// Kills, stops and starts nginx.
fn chaos(world: &World, mut random: Random, nginx: &mut Nginx) {
    let wait = |milliseconds: usize| {
        let end = Instant::now() + Duration::from_millis(milliseconds as u64);
        while !world.is_over() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    while !world.is_over() {
        wait(3000 + random.below(3000));
        let (killed, length) = (random.below(2) == 0, 200 + random.below(2500));
        world.change_nginx(false, || if killed { nginx.fall() } else { nginx.freeze(true) });
        wait(length);
        world.change_nginx(true, || if killed { nginx.rise() } else { nginx.freeze(false) });
        world.count("nginx", if killed { "(killed)" } else { "(stopped)" });
    }
}

/// What was measured at a moment.
#[derive(Debug)]
struct Look {
    resident_kib: usize,
    series: Vec<String>,
}

fn look(gateway: &Gateway) -> Look {
    let text = gateway.metrics();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let series = series.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect();
    Look { resident_kib: gateway.resident_kib(), series }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
#[expect(clippy::print_stdout, reason = "the summary is part of the output")]
fn storm() {
    let seconds = number("STORM_SECONDS", 60);
    let seed = number("STORM_SEED", now().millis().unsigned_abs());
    println!("storm: STORM_SEED={seed} for {seconds} s");

    let Stage { mut gateway, world, records, mut nginx, judge, directory, alone: _alone } =
        Stage::set(seed, |file| Start::default().gateway(file));
    let begun = Instant::now();
    let ready = |gateway: &Gateway| gateway.ask_admin("GET", "/readyz", "").is_ok_and(|(status, _)| status == 200);
    assert!(gateway.wait_until(process::PATIENCE, ready), "it is not ready");
    let (files, sockets) = (gateway.open_files(), gateway.sockets());
    let mut early = None;
    std::thread::scope(|scope| {
        let mut source = 0;
        let mut random = || {
            source += 1;
            Random::new(world.seed, source)
        };
        for (number, client) in (0..).zip(honest::CLIENTS) {
            let (random, from) = (random(), Ipv4Addr::new(127, 10 + number, 0, 1));
            let world = &world;
            scope.spawn(move || client(world, random, from));
        }
        for number in 0..ATTACKERS {
            let (random, from) = (random(), Ipv4Addr::new(127, 100 + number as u8, 0, 1));
            let world = &world;
            scope.spawn(move || hostile::attacker(world, random, from));
        }
        let (of_admin, of_others, of_chaos, of_silent) = (random(), random(), random(), random());
        let (world, nginx) = (&world, &mut nginx);
        scope.spawn(move || admin(world, of_admin));
        scope.spawn(move || others(world, of_others));
        scope.spawn(move || chaos(world, of_chaos, nginx));
        scope.spawn(move || hostile::silent(world, of_silent, Ipv4Addr::new(127, 200, 0, 1)));
        while begun.elapsed() < Duration::from_secs(seconds) && gateway.lives() {
            if early.is_none() && begun.elapsed() >= WARM.min(Duration::from_secs(seconds / 2)) {
                early = Some(look(&gateway));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        world.end();
    });
    assert!(gateway.lives(), "the gateway ended by itself");
    let (early, late) = (early.expect("looked at"), look(&gateway));
    let quiet = gateway.wait_until(Duration::from_secs(20), |gateway| gateway.sockets() <= sockets);
    let left = gateway.open_files();
    let (panics, dropped) = (gateway.metric("siwx_panics_total"), gateway.metric("siwx_log_dropped_total"));
    let metrics = gateway.metrics();
    let code = gateway.stop(Duration::from_secs(20));
    let (of_nginx, mut violations) = nginx.judged(&judge);
    drop(directory);
    violations.extend(records.violations.lock().expect("no panic while held").iter().cloned());

    println!("{}", table(&world.tally()));
    println!(
        "storm: {} requests at our upstream and {of_nginx} at nginx, {} violations, {} faults, {panics} panics; resident \
         {} MiB at {} s, {} MiB in the end; {} file descriptors before, {} after; {} series, then {}; {} \
         lines of log, {dropped} dropped",
        records.requests.load(Ordering::Relaxed),
        violations.len(),
        world.faults().len(),
        early.resident_kib >> 10,
        WARM.as_secs().min(seconds / 2),
        late.resident_kib >> 10,
        files.len(),
        left.len(),
        early.series.len(),
        late.series.len(),
        gateway.log.lines.load(Ordering::Relaxed),
    );
    let none: [String; 0] = [];
    assert_eq!(violations, none, "what reached an upstream and should not have");
    assert_eq!(world.faults(), none, "honest requests that were not answered as they should have been");
    assert_eq!(panics, 0.0);
    let grown = late.resident_kib.saturating_sub(early.resident_kib);
    assert!(grown <= GROWTH_KIB, "memory grew by {grown} KiB, {GROWTH_KIB} KiB allowed");
    assert!(quiet && left.len() <= files.len() + LEFT_OPEN, "open are {left:?}, and were {files:?}");
    let new: Vec<&String> = late.series.iter().filter(|series| !early.series.contains(series)).collect();
    assert!(
        late.series.len() <= SERIES && new.len() <= LATE_SERIES,
        "{} series, of them new: {new:?}",
        late.series.len()
    );
    for word in [SPOOF, "api.example.com", "127.1", "eip155:8453:", "/paid"] {
        assert!(!metrics.contains(word), "{word:?} is in the metrics");
    }
    assert_eq!(*gateway.log.broken.lock().expect("no panic while held"), none, "lines that are no JSON objects");
    assert_eq!(code, Some(0), "it drains and ends well");
}

/// Kinds of traffic with their outcomes, the most frequent first.
fn table(tally: &BTreeMap<(&'static str, String), u64>) -> String {
    let mut kinds: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for ((kind, outcome), count) in tally {
        kinds.entry(kind).or_default().push((*count, outcome));
    }
    let mut text = format!("{:<38}{:>9}  outcomes\n", "traffic", "count");
    for (kind, mut outcomes) in kinds {
        outcomes.sort_unstable_by(|one, other| other.cmp(one));
        let shown: Vec<String> =
            outcomes.iter().take(6).map(|(count, outcome)| format!("{outcome}: {count}")).collect();
        let more = if outcomes.len() > 6 { format!(", {} more", outcomes.len() - 6) } else { String::new() };
        let sum: u64 = outcomes.iter().map(|(count, _)| count).sum();
        let _ = writeln!(text, "{kind:<38}{sum:>9}  {}{more}", shown.join(", "));
    }
    text
}
