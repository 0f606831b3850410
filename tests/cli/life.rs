//! The running binary and whoever supervises it: signals, what it tells, what it is handed.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::Command,
    time::Duration,
};

use crate::harness::{Desk, get, small_configuration, upstream};

/// With an upstream that answers, a public route, and the end of the drain not waited for.
fn configuration(plan: &str) -> String {
    let text = small_configuration("store.db").replace("127.0.0.1:9\"", &format!("{}\"", upstream()));
    let text = text.replace("name = \"nano\"", &format!("name = \"{plan}\""));
    text + "[[route]]\nname = \"open\"\npath = \"/open\"\nupstream = \"api\"\nauth = \"none\"\n"
}

fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {series}"))
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let desk = Desk::new();
    desk.write("c.toml", &configuration("nano").replace("[server]", "[server]\nwatch = false"));
    let running = desk.serve(&["run", "-c", "c.toml"]);
    assert_eq!(get(running.address, "/new", None).0, 401);
    let route = "[[route]]\nname = \"new\"\npath = \"/new\"\nupstream = \"api\"\nauth = \"none\"\n";
    let text = fs::read_to_string(desk.path("c.toml")).expect("the file");
    desk.write("c.toml", &(text.clone() + route));
    running.signal("HUP");
    assert_eq!(running.audited()["action"], "reloaded");
    assert_eq!(get(running.address, "/new", None).0, 200);
    desk.write("c.toml", &text.replace("auth = \"none\"", "auth = \"nothing\""));
    running.signal("HUP");
    let line = running.logged("ERROR");
    assert!(line["origin"].as_str().is_some_and(|origin| origin.starts_with("c.toml:")), "{line}");
    assert_eq!(running.audited()["action"], "reload_failed");
    assert_eq!(get(running.address, "/new", None).0, 200, "what was in force stays");
    let (_, metrics) = get(running.admin, "/metrics", None);
    assert_eq!(value(&metrics, "siwx_config_last_reload_successful"), 0.0);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_file_that_changed_is_read_again() {
    let desk = Desk::new();
    desk.write("c.toml", &configuration("nano"));
    let running = desk.serve(&["run", "-c", "c.toml"]);
    desk.write("c.toml", &configuration("gold"));
    assert_eq!(running.audited()["action"], "reloaded");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let desk = Desk::new();
    desk.write("c.toml", &configuration("nano").replace("drain_delay = \"0s\"", "drain_delay = \"1h\""));
    let mut running = desk.serve(&["run", "-c", "c.toml"]);
    running.signal("TERM");
    let line = running.logged("INFO");
    assert!(line["message"].as_str().is_some_and(|message| message.starts_with("draining")), "{line}");
    assert_eq!(get(running.address, "/open", None).0, 200, "balancers have not noticed yet");
    assert_eq!(running.end("INT"), Some(130));
}

#[test]
fn the_supervisor_is_told() {
    let desk = Desk::new();
    desk.write("c.toml", &configuration("nano").replace("[server]", "[server]\nwatch = false"));
    let socket = UnixDatagram::bind(desk.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let hear = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    // Beside the watchdog, which speaks whenever it is its turn.
    let news = || std::iter::repeat_with(hear).find(|said| said != "WATCHDOG=1").expect("something");
    let mut command = desk.command(&["run", "-c", "c.toml"]);
    command.env("NOTIFY_SOCKET", desk.path("notify")).env("WATCHDOG_USEC", "200000");
    let running = desk.serving(command);
    assert_eq!(news(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(hear(), "WATCHDOG=1");
    running.signal("HUP");
    let reloading = news();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|usec| usec.parse::<u64>().ok());
    assert!(since.is_some_and(|usec| usec > 0), "{reloading}");
    assert_eq!(news(), "READY=1");
    running.signal("TERM");
    assert_eq!(news(), "STOPPING=1");
}

#[test]
fn a_socket_that_is_handed_over_is_served_and_outlives_the_gateway() {
    let desk = Desk::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let listen = format!("listen = [\"{address}\"]");
    desk.write("c.toml", &configuration("nano").replacen("listen = [\"127.0.0.1:0\"]", &listen, 1));
    for _ in 0..2 {
        // As systemd does it: the socket is descriptor 3, and the environment says so to this very process.
        let gateway = desk.command(&["run", "-c", "c.toml"]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"]);
        command.arg(gateway.get_program()).args(gateway.get_args()).current_dir(desk.path("."));
        command.stdin(OwnedFd::from(listener.try_clone().expect("a descriptor")));
        let running = desk.serving(command);
        assert_eq!(running.address, address);
        assert_eq!(get(address, "/open", None).0, 200);
        assert_eq!(running.stop(), Some(0));
        // Who comes between two gateways waits for the next one.
        drop(TcpStream::connect(address).expect("the socket is there still"));
    }
}
