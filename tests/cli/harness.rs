//! A directory to call the binary in, a gateway that runs, and an upstream behind it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use siwx_gateway::store::{self, Backend, Settings, Store};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The account that is named where any will do.
pub(crate) const ALICE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// How long anything may take before a test fails for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of its own, and the binary called in it.
pub(crate) struct Desk(TempDir);

/// What a call left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A gateway that serves until it is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The lines of its log after its addresses.
    log: mpsc::Receiver<String>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The store of a gateway with the small configuration, beside it, and what waits for its answers.
    pub(crate) fn store(&self) -> (Store, Runtime) {
        let backend = Backend::Sqlite(self.path("a.db"));
        let settings = Settings { backend, timeout: Duration::from_secs(5), require_at_start: true };
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        (store::open(&settings).expect("the store opens"), runtime)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect(name);
    }

    /// The same for the owner alone.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.expect(name).write_all(text.as_bytes()).expect(name);
    }

    /// The binary, in this directory, with nothing of ours in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siwx-gateway"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// With something on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        finish(self.command(arguments), input)
    }

    /// With a variable in the environment.
    pub(crate) fn run_in(&self, variable: (&str, &str), arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.env(variable.0, variable.1);
        finish(command, b"")
    }

    /// Starts a gateway whose configuration listens on port 0.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Running {
        self.serving(self.command(arguments))
    }

    /// The same by a command that becomes a gateway.
    pub(crate) fn serving(&self, mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut address = || loop {
            let line = lines.next().expect("a line of the log").expect("a line of the log");
            let json: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = json["address"].as_str() {
                break address.parse::<SocketAddr>().expect("an address");
            }
        };
        let (address, admin) = (address(), address());
        // The rest of the log is read, so that the gateway never waits for us.
        let (said, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A test that has ended reads no more.
                let _ = said.send(line);
            }
        });
        Running { child, address, admin, log }
    }
}

/// Runs a command to its end with something on standard input.
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("an output");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}

impl Running {
    /// The next line of the log.
    pub(crate) fn line(&self) -> String {
        self.log.recv_timeout(PATIENCE).expect("a line of the log")
    }

    /// The next `audit` event in the log.
    pub(crate) fn audited(&self) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line of the log");
            let json: Value = serde_json::from_str(&line).expect("a line of JSON");
            if json["event"] == "audit" {
                break json;
            }
        }
    }

    /// The next line of this level in the log.
    pub(crate) fn logged(&self, level: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line of the log");
            let json: Value = serde_json::from_str(&line).expect("a line of JSON");
            if json["level"] == level {
                break json;
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        kill(&self.child, signal);
    }

    /// Sends a signal, waits for the end and gives the exit code.
    pub(crate) fn end(&mut self, signal: &str) -> Option<i32> {
        end(&mut self.child, signal)
    }

    /// Asks for an end in good order and gives the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        end(&mut self.child, "TERM")
    }
}

/// Sends a signal and waits for the end; gives the exit code.
pub(crate) fn end(child: &mut Child, signal: &str) -> Option<i32> {
    kill(child, signal);
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().expect("a shell");
    assert!(sent.success());
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The smallest useful configuration, on ports that nobody has, with a plan.
pub(crate) fn small_configuration(store: &str) -> String {
    format!(
        r#"public_url = "http://gateway.test"
[server]
listen = ["127.0.0.1:0"]
workers = 1
drain_delay = "0s"
[admin]
listen = "127.0.0.1:0"
[store]
url = "sqlite:{store}"
[upstreams.api]
urls = ["http://127.0.0.1:9"]
[[plan]]
name = "nano"
[[route]]
name = "all"
prefix = "/"
upstream = "api"
auth = "subscription"
"#
    )
}

/// A service that answers every request with its head. It ends with the test's process.
pub(crate) fn upstream() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let head = head_of(&mut stream);
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len());
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    address
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head in ASCII")
}

/// Sends a GET and gives status and body.
pub(crate) fn get(address: SocketAddr, path: &str, authorization: Option<&str>) -> (u16, String) {
    get_of(address, "gateway.test", path, authorization)
}

/// The same with a Host.
pub(crate) fn get_of(address: SocketAddr, host: &str, path: &str, authorization: Option<&str>) -> (u16, String) {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    get_with(address, host, path, &authorization)
}

/// The same with header fields as they are sent, each with its line end.
pub(crate) fn get_with(address: SocketAddr, host: &str, path: &str, fields: &str) -> (u16, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n"))
}

/// Sends JSON with a bearer token and gives status and body.
pub(crate) fn post(address: SocketAddr, path: &str, token: &str, body: &Value) -> (u16, String) {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}");
    exchange(address, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// Sends a DELETE with a bearer token and gives the status.
pub(crate) fn delete(address: SocketAddr, path: &str, token: &str) -> u16 {
    let head = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
    exchange(address, &format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n")).0
}

fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, body.to_owned())
}
