//! The running binary where something is short: nobody reads what it says, or file descriptors run out.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, ErrorKind, PipeReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Desk, PATIENCE, end, get, small_configuration, upstream};

/// `O_NONBLOCK`, in the numbers of Linux.
const NO_WAITING: i32 = 0o4000;

/// A public route in front of an upstream at this address.
fn open_to(upstream: SocketAddr) -> String {
    let text = small_configuration("store.db").replace("127.0.0.1:9\"", &format!("{upstream}\""));
    text + "[[route]]\nname = \"open\"\npath = \"/open\"\nupstream = \"api\"\nauth = \"none\"\n"
}

/// Fills a pipe, by an opening of its own: whoever else writes to it would wait from now on.
fn fill(pipe: &PipeReader) {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut own = OpenOptions::new().write(true).custom_flags(NO_WAITING).open(path).expect("the pipe");
    let full = loop {
        if let Err(error) = own.write(&[b'\n'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
}

fn metric(admin: SocketAddr, series: &str) -> f64 {
    let (_, metrics) = get(admin, "/metrics", None);
    let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{metrics}"))
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whoever read standard error stopped, and the gateway stopped with it.
#[test]
fn a_gateway_whose_standard_error_nobody_reads_answers_reloads_and_ends() {
    let desk = Desk::new();
    // Nobody is there, so every request is an event.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let text = open_to(nobody).replace("[server]", "[server]\nwatch = false");
    desk.write("c.toml", &text);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = desk.command(&["run", "-c", "c.toml"]);
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().expect("a process");
    drop(command);
    let mut lines = BufReader::new(reader.try_clone().expect("a descriptor")).lines();
    let mut address = || loop {
        let line: Value = serde_json::from_str(&lines.next().expect("a line").expect("a line")).expect("JSON");
        if let Some(address) = line["address"].as_str() {
            break address.parse::<SocketAddr>().expect("an address");
        }
    };
    let (public, admin) = (address(), address());
    fill(&reader);
    assert_eq!(metric(admin, "siwx_log_dropped_total"), 0.0);
    for _ in 0..1200 {
        assert_eq!(get(public, "/open", None).0, 502);
    }
    assert!(metric(admin, "siwx_log_dropped_total") > 0.0, "what finds no room is counted");
    desk.write("c.toml", &(text + "[[route]]\nname = \"new\"\npath = \"/new\"\nupstream = \"api\"\nauth = \"none\"\n"));
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().expect("kill").success());
    wait_for("a reload", || metric(admin, "siwx_config_reloads_total{result=\"ok\"}") == 1.0);
    assert_eq!(get(public, "/new", None).0, 502);
    let begun = Instant::now();
    assert_eq!(end(&mut child, "TERM"), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "it ended after {:?}", begun.elapsed());
    drop(lines);
}

#[test]
fn a_gateway_that_cannot_start_says_so_and_ends_also_where_nobody_reads() {
    let desk = Desk::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = format!("listen = [\"{}\"]", taken.local_addr().expect("an address"));
    desk.write("c.toml", &small_configuration("store.db").replacen("listen = [\"127.0.0.1:0\"]", &listen, 1));
    let ran = desk.run(&["run", "-c", "c.toml"]);
    assert_eq!(ran.code, 1);
    let last = ran.err.lines().last().expect("a line");
    assert!(last.starts_with("error: cannot listen on 127.0.0.1:"), "{}", ran.err);
    assert!(ran.err.contains("file descriptors"), "events before it come out too: {}", ran.err);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    fill(&reader);
    let child = desk.command(&["run", "-c", "c.toml"]).stdout(Stdio::null()).stderr(writer).spawn();
    assert_eq!(ended(&mut child.expect("a process")), Some(1));
}

fn ended(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_reload_changes_what_the_log_shows_and_how() {
    let desk = Desk::new();
    let text = open_to(upstream()).replace("[server]", "[server]\nwatch = false");
    desk.write("c.toml", &text);
    let running = desk.serve(&["run", "-c", "c.toml"]);
    let reload = |more: &str| {
        let before = metric(running.admin, "siwx_config_reloads_total{result=\"ok\"}");
        desk.write("c.toml", &(text.clone() + more));
        running.signal("HUP");
        wait_for("a reload", || metric(running.admin, "siwx_config_reloads_total{result=\"ok\"}") > before);
    };
    reload("[log]\nformat = \"text\"\n");
    let line = running.line();
    assert!(line.contains(" INFO ") && line.contains("action=\"reloaded\""), "{line}");
    reload("[log]\nlevel = \"error\"\n");
    reload("[log]\nlevel = \"info\"\n[auth]\nclock_skew = \"7s\"\n");
    let line: Value = serde_json::from_str(&running.line()).expect("JSON again, and nothing of the reload between");
    assert_eq!(line["action"], "reloaded");
    assert_eq!(running.stop(), Some(0));
}

/// The limit that a process is given is made for programs that wait by `select`.
#[test]
fn a_gateway_takes_all_the_file_descriptors_that_it_may_have() {
    let desk = Desk::new();
    desk.write("c.toml", &open_to(upstream()));
    let mut command = Command::new("prlimit");
    let gateway = desk.command(&["run", "-c", "c.toml"]);
    command.arg("--nofile=96:160").arg(gateway.get_program()).args(gateway.get_args()).current_dir(desk.path("."));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut event = |holds: &dyn Fn(&Value) -> bool| {
        let mut events = lines.by_ref().map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"));
        events.find(holds).expect("an event")
    };
    let line = event(&|event| event["message"].as_str().is_some_and(|text| text.starts_with("file descriptors")));
    assert_eq!((line["was"].as_u64(), line["is"].as_u64()), (Some(96), Some(160)), "{line}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("its limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(files.split_whitespace().nth(3), Some("160"), "{files}");
    let admin = event(&|event| event["message"].as_str().is_some_and(|text| text.starts_with("metrics")));
    let admin = admin["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    assert_eq!(get(admin, "/livez", None).0, 200, "it serves, and has caught signals");
    assert_eq!(end(&mut child, "TERM"), Some(0));
}

#[test]
fn connections_to_upstreams_leave_file_descriptors_for_the_operator() {
    let desk = Desk::new();
    // Takes connections and never answers, so that none is free for the next request.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    desk.write("c.toml", &open_to(silent.local_addr().expect("an address")));
    let mut command = Command::new("prlimit");
    let gateway = desk.command(&["run", "-c", "c.toml"]);
    command.arg("--nofile=80:80").arg(gateway.get_program()).args(gateway.get_args()).current_dir(desk.path("."));
    let running = desk.serving(command);
    // As many clients as come in.
    let mut clients: Vec<TcpStream> = Vec::new();
    let rejected = || metric(running.admin, "siwx_connections_rejected_total{reason=\"global_cap\"}");
    while rejected() == 0.0 {
        assert!(clients.len() < 80, "some are refused");
        clients.push(TcpStream::connect(running.address).expect("the kernel accepts"));
    }
    // Each of these asks, and those for whom there is a connection wait.
    let mut refused = 0;
    for client in &mut clients {
        let sent = client.write_all(b"GET /open HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        let mut answer = [0; 1024];
        match (sent, client.read(&mut answer)) {
            (Ok(()), Ok(length)) if length > 0 => {
                let text = String::from_utf8_lossy(&answer[..length]);
                assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\"overloaded\""), "{text}");
                assert!(text.to_lowercase().contains("retry-after: "), "{text}");
                refused += 1;
            }
            // One that waits for the upstream, or the one that did not come in.
            _ => {}
        }
    }
    let waiting = metric(running.admin, "siwx_upstream_connections{state=\"active\",upstream=\"api\"}");
    assert!(refused > 0 && waiting > 0.0, "{refused} refused, {waiting} wait at the upstream");
    assert_eq!(get(running.admin, "/readyz", None).0, 200, "the operator comes in, and the store answers");
}
