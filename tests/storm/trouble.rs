//! What the process itself stands on fails (hardening.md section 7), one test a row. The rows whose services are
//! other programs' (nodes, facilitators) are in the gateway's own tests, beside what these services are for.

use std::{
    fs::Permissions,
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::Connection as Database;

use crate::{
    Stage,
    honest::signs_in,
    process::{PATIENCE, Start},
    ticket::Kind,
    world::{Connection, SUBSCRIBED, UNSUBSCRIBED, World},
};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A wallet with a subscription; each number is another one.
const fn subscriber(number: usize) -> usize {
    SUBSCRIBED.start + number
}

/// The status of a request with a new token.
fn asks(world: &World, wallet: usize, prefix: &str, kind: Kind) -> u16 {
    let token = format!("Authorization: {}\r\n", world.token(wallet));
    send(&mut world.connect(HERE).expect("a connection"), world, wallet, prefix, kind, &token)
}

fn send(connection: &mut Connection, world: &World, wallet: usize, prefix: &str, kind: Kind, fields: &str) -> u16 {
    let ticket = world.ticket(kind, wallet);
    let request = format!("GET {prefix}/{ticket} HTTP/1.1\r\nHost: api.example.com\r\n{fields}\r\n");
    connection.ask(request.as_bytes()).expect("an answer").status
}

/// Who is known is served, who is unknown is looked up and served, who has nothing is refused, and what has to be
/// written is 503 and no more than that.
fn reads_go_on_and_writes_are_503(stage: &Stage, warm: usize) {
    let world = &stage.world;
    assert_eq!(asks(world, warm, "/paid", Kind::Honest), 200, "who is remembered");
    assert_eq!(asks(world, subscriber(100), "/paid", Kind::Honest), 200, "who has to be looked up");
    assert_eq!(asks(world, UNSUBSCRIBED.start, "/paid", Kind::Forbidden), 403, "who has nothing");
    let answer = signs_in(world, warm, HERE).expect("an answer");
    assert_eq!(answer.status, 503, "a sign-in: {answer:?}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("store_unavailable") && answer.head.contains("etry-"), "{answer:?}");
    let body = serde_json::json!({"account": world.accounts[UNSUBSCRIBED.start], "plan": "nano"}).to_string();
    let (status, text) = stage.gateway.ask_admin("POST", "/admin/subscriptions", &body).expect("an answer");
    assert_eq!(status, 503, "a grant: {text}");
    assert_eq!(asks(world, UNSUBSCRIBED.start, "/paid", Kind::Forbidden), 403, "who was not granted anything");
}

/// Writes work again, without a restart.
fn writes_go_on(stage: &Stage) {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = signs_in(&stage.world, subscriber(1), HERE).expect("an answer").status;
        if status == 201 {
            return;
        }
        assert!(status == 503 && Instant::now() < end, "{status}");
    }
}

#[test]
fn store_file_locked_by_another_program() {
    let stage = Stage::set(1, |file| Start::default().gateway(file));
    assert_eq!(asks(&stage.world, subscriber(0), "/paid", Kind::Honest), 200);
    let other = Database::open(&stage.world.store).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    reads_go_on_and_writes_are_503(&stage, subscriber(0));
    other.execute_batch("ROLLBACK").expect("the lock given back");
    writes_go_on(&stage);
}

#[test]
fn store_file_on_a_full_disk() {
    // Writing beyond a limit is an error and no signal where the signal is ignored, and so is what a full disk says.
    let through = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let stage = Stage::set(2, |file| Start { through: &through, ..Start::default() }.gateway(file));
    assert_eq!(asks(&stage.world, subscriber(0), "/paid", Kind::Honest), 200);
    assert_eq!(signs_in(&stage.world, subscriber(0), HERE).expect("an answer").status, 201);
    let limit = |bytes: &str| {
        let id = stage.gateway.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}")]).status();
        assert!(done.expect("prlimit").success());
    };
    limit("1:unlimited");
    reads_go_on_and_writes_are_503(&stage, subscriber(0));
    limit("unlimited:unlimited");
    writes_go_on(&stage);
}

#[test]
fn store_file_that_is_read_only() {
    // Root may write everything, so the gateway is somebody else then.
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let stage = Stage::set(3, |file| {
        // What is made once is made before.
        assert_eq!(Start::default().gateway(file).stop(PATIENCE), Some(0));
        let directory = file.parent().expect("a directory");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
        mode(&directory.join("store.db"), 0o444);
        // Two connections that close at the same moment leave them there, with root's name on them; and one that closes
        // now takes them away.
        for log in ["store.db-wal", "store.db-shm"] {
            let _ = std::fs::set_permissions(directory.join(log), Permissions::from_mode(0o666));
        }
        mode(file, 0o644);
        // Readers of SQLite's log need files beside it.
        mode(directory, 0o777);
        Start { through: if root { &nobody } else { &[] }, ..Start::default() }.gateway(file)
    });
    reads_go_on_and_writes_are_503(&stage, subscriber(0));
}

#[test]
fn store_that_answers_nonsense() {
    let stage = Stage::set(4, |file| Start::default().gateway(file));
    let account = stage.world.wallets[subscriber(0)].address().to_lowercase();
    let other = Database::open(&stage.world.store).expect("the file");
    other
        .execute_batch(&format!(
            "PRAGMA ignore_check_constraints = on;
             UPDATE siwx_entitlements SET expires_at = 9223372036854775807 WHERE lower(address) = '{account}'"
        ))
        .expect("nonsense");
    assert_eq!(asks(&stage.world, subscriber(0), "/paid", Kind::Forbidden), 503);
    assert_eq!(asks(&stage.world, subscriber(1), "/paid", Kind::Honest), 200, "others are not touched");
}

#[test]
fn upstream_killed_and_stopped_and_back() {
    let Stage { gateway, world, mut nginx, judge, directory, records: _records, alone: _alone } =
        Stage::set(5, |file| Start::default().gateway(file));
    let through = |kind| asks(&world, subscriber(0), "/nginx", kind);
    let refusals = || {
        let nothing = send(&mut world.connect(HERE).expect("a connection"), &world, 0, "/nginx", Kind::Forbidden, "");
        (nothing, asks(&world, UNSUBSCRIBED.start, "/nginx", Kind::Forbidden))
    };
    assert_eq!(through(Kind::Honest), 200);
    nginx.fall();
    assert_eq!((through(Kind::Honest), refusals()), (502, (401, 403)), "killed");
    nginx.rise();
    assert_eq!(through(Kind::Honest), 200, "back");
    nginx.freeze(true);
    assert_eq!((through(Kind::Honest), refusals()), (504, (401, 403)), "stopped");
    nginx.freeze(false);
    assert!(gateway.wait_until(PATIENCE, |_| through(Kind::Honest) == 200), "goes on");
    nginx.fall();
    assert_eq!(nginx.judged(&judge).1, Vec::<String>::new());
    drop(directory);
}

#[test]
fn log_sink_blocked() {
    let mut stage = Stage::set(6, |file| Start { nobody_reads: true, ..Start::default() }.gateway(file));
    let world = &stage.world;
    let token = format!("Authorization: {}\r\n", world.token(subscriber(0)));
    let mut connection = world.connect(HERE).expect("a connection");
    let dropped = |stage: &Stage| stage.gateway.metric("siwx_log_dropped_total");
    for _ in 0..100 {
        for _ in 0..100 {
            assert_eq!(send(&mut connection, world, subscriber(0), "/paid", Kind::Honest, &token), 200);
        }
        if dropped(&stage) > 0.0 {
            break;
        }
        connection = world.connect(HERE).expect("a connection");
    }
    assert!(dropped(&stage) > 0.0, "nothing was dropped");
    assert_eq!(stage.gateway.stop(PATIENCE), Some(0), "it ends although its log cannot");
}

#[test]
fn file_descriptors_low() {
    let through = ["sh", "-c", "ulimit -n 80; exec \"$@\"", "sh"];
    let stage = Stage::set(7, |file| Start { through: &through, ..Start::default() }.gateway(file));
    let world = &stage.world;
    assert_eq!(asks(world, subscriber(0), "/paid", Kind::Honest), 200);
    // Who is refused is reset, perhaps before the connection is known here.
    let held: Vec<Connection> = (0..200).filter_map(|_| world.connect(HERE).ok()).collect();
    let rejected = |stage: &Stage| {
        let series = "siwx_connections_rejected_total{reason=\"global_cap\"}";
        let metrics = stage.gateway.ask_admin("GET", "/metrics", "").map(|(_, text)| text).unwrap_or_default();
        metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let refused = stage.gateway.wait_until(Duration::from_secs(5), |_| rejected(&stage) > 100);
    assert!(refused, "{} connections were refused", rejected(&stage));
    for target in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(stage.gateway.ask_admin("GET", target, "").expect("the admin listener answers").0, 200, "{target}");
    }
    drop(held);
    let served = || {
        let token = format!("Authorization: {}\r\n", world.token(subscriber(0)));
        let ticket = world.ticket(Kind::Honest, subscriber(0));
        let request = format!("GET /paid/{ticket} HTTP/1.1\r\nHost: api.example.com\r\n{token}\r\n");
        world
            .connect(HERE)
            .and_then(|mut connection| connection.ask(request.as_bytes()))
            .is_ok_and(|it| it.status == 200)
    };
    assert!(stage.gateway.wait_until(PATIENCE, |_| served()), "requests are served again");
}
