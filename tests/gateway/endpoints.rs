//! Several endpoints of one upstream, real processes that are killed and brought back (hardening.md section 4,
//! "Endpoints" and "Retries").

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Gateway, Request, Setup};

/// A small server that answers its name.
const SERVER: &str = r"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = sys.argv[2].encode()
        self.rfile.read(int(self.headers.get('content-length', 0)))
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.send_header('x-stub', self.headers['host'])
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

/// A process on a port that stays its own while it is dead.
struct Process {
    name: &'static str,
    address: SocketAddr,
    child: Option<Child>,
}

impl Process {
    fn start(name: &'static str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut process = Self { name, address, child: None };
        process.bring_back();
        process
    }

    fn bring_back(&mut self) {
        let mut python = Command::new("python3");
        python.args(["-c", SERVER, &self.address.port().to_string(), self.name]).stdin(Stdio::null());
        self.child = Some(python.spawn().expect("python3 is there, as for the other suites"));
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "it listens");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    fn up(&self) -> String {
        format!("siwx_upstream_endpoint_up{{endpoint=\"{}\",upstream=\"api\"}}", self.address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A gateway over two of them, in turn.
fn over(one: &Process, other: &Process) -> Setup {
    let urls = format!("http://{}\", \"http://{}", one.address, other.address);
    Setup::to(&urls).set("upstreams.api.balance", "round-robin").set("upstreams.api.health.passive_failures", "2")
}

/// Who answers so many requests.
fn asked(gateway: &Gateway, count: usize) -> Vec<String> {
    let one = |_| {
        let answer = gateway.send(&Request::get("/public/x"));
        assert_eq!(answer.status, 200, "{answer:?}");
        String::from_utf8(answer.body).expect("a name")
    };
    (0..count).map(one).collect()
}

#[test]
fn a_process_that_dies_is_left_out_and_taken_back() {
    let (one, mut other) = (Process::start("one"), Process::start("other"));
    let gateway = over(&one, &other).set("upstreams.api.health.eject", "1s").start();
    assert_eq!(asked(&gateway, 4), ["one", "other", "one", "other"]);
    other.kill();
    // Nothing is lost: what cannot be connected goes to the other one.
    assert_eq!(asked(&gateway, 8), ["one"; 8]);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("siwx_upstream_errors_total{kind=\"ejected\",upstream=\"api\"}"), 1.0);
    assert!(metrics.value("siwx_upstream_retries_total{upstream=\"api\"}") >= 2.0);
    other.bring_back();
    let end = Instant::now() + Duration::from_secs(10);
    while !asked(&gateway, 2).contains(&"other".to_owned()) {
        assert!(Instant::now() < end, "it is asked again");
        std::thread::sleep(Duration::from_millis(20));
    }
    gateway.expect_metric(&other.up(), 1.0);
}

#[test]
fn u1_a_request_that_is_not_idempotent_is_not_sent_again() {
    let (one, mut other) = (Process::start("one"), Process::start("other"));
    let gateway = over(&one, &other).set("upstreams.api.health.passive_failures", "1000").start();
    other.kill();
    let post = || gateway.send(&Request::new("POST", "/public/x").body(b"x")).status;
    let mut statuses = [post(), post()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
}

#[test]
fn all_of_them_are_never_left_out() {
    let (mut one, mut other) = (Process::start("one"), Process::start("other"));
    let gateway = over(&one, &other).start();
    one.kill();
    other.kill();
    for _ in 0..10 {
        assert_eq!(gateway.send(&Request::get("/public/x")).outcome(), (502, "upstream_unreachable".to_owned()));
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value(&one.up()) + metrics.value(&other.up()), 1.0, "one of them is left");
    one.bring_back();
    other.bring_back();
    assert_eq!(gateway.send(&Request::get("/public/x")).status, 200);
}

#[test]
fn checks_find_out_without_any_request() {
    let (one, mut other) = (Process::start("one"), Process::start("other"));
    let gateway = over(&one, &other)
        .set("upstreams.api.health.path", "/healthz")
        .set("upstreams.api.health.interval", "100ms")
        .start();
    other.kill();
    gateway.expect_metric(&other.up(), 0.0);
    assert_eq!(asked(&gateway, 4), ["one"; 4]);
    gateway.expect_metric("siwx_upstream_retries_total{upstream=\"api\"}", 0.0);
    other.bring_back();
    gateway.expect_metric(&other.up(), 1.0);
    let asked = asked(&gateway, 2);
    assert!(asked.contains(&"one".to_owned()) && asked.contains(&"other".to_owned()), "{asked:?}");
}

#[test]
fn each_sees_its_own_name_where_that_is_wanted() {
    let (one, other) = (Process::start("one"), Process::start("other"));
    let gateway = over(&one, &other).set("upstreams.api.host", "upstream").start();
    for process in [&one, &other] {
        let answer = gateway.send(&Request::get("/public/x"));
        assert_eq!(answer.one("x-stub"), Some(process.address.to_string().as_str()));
    }
}
