//! The gateway as a process of its own: its log read line by line, its memory and its file descriptors looked at from
//! outside.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

/// What opens the admin API.
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-of-thirty-two-bytes";

/// How long anything may take before a test fails for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

/// What was read of a log.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) lines: AtomicU64,
    /// The first lines that were no JSON object.
    pub(crate) broken: Mutex<Vec<String>>,
}

/// How a gateway is started.
#[derive(Default)]
pub(crate) struct Start<'a> {
    /// A program that starts it, with its arguments.
    pub(crate) through: &'a [&'a str],
    /// Its standard output is a pipe that nobody reads.
    pub(crate) nobody_reads: bool,
    /// And its standard error, once it has said where it listens.
    pub(crate) nobody_reads_events: bool,
}

impl Log {
    fn line(&self, line: &str) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        if serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()) {
            return;
        }
        let mut broken = self.broken.lock().expect("no panic while held");
        if broken.len() < 10 {
            broken.push(line.to_owned());
        }
    }
}

impl Start<'_> {
    /// Starts a gateway with this configuration.
    pub(crate) fn gateway(self, config: &Path) -> Gateway {
        let binary = env!("CARGO_BIN_EXE_siwx-gateway");
        let mut command = match self.through {
            [] => Command::new(binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.args(["run", "-c"]).arg(config).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::<Log>::default();
        let mut readers = Vec::new();
        if !self.nobody_reads {
            let (out, log) = (child.stdout.take().expect("piped"), Arc::clone(&log));
            readers.push(std::thread::spawn(move || {
                BufReader::new(out).lines().map_while(Result::ok).for_each(|line| log.line(&line));
            }));
        }
        let (found, addresses) = mpsc::channel();
        let events = child.stderr.take().expect("piped");
        let (of_events, stays_full) = (Arc::clone(&log), self.nobody_reads_events);
        readers.push(std::thread::spawn(move || {
            let mut events = BufReader::new(events);
            let (mut line, mut known) = (String::new(), 0);
            while matches!(events.read_line(&mut line), Ok(1..)) {
                of_events.line(line.trim_end());
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if known < 2
                    && let Some(address) = json["address"].as_str().and_then(|text| text.parse::<SocketAddr>().ok())
                {
                    known += 1;
                    let _ = found.send(address);
                }
                if known == 2 && stays_full {
                    // The pipe stays open, and full.
                    std::mem::forget(events);
                    return;
                }
                line.clear();
            }
        }));
        let address = || addresses.recv_timeout(PATIENCE).expect("the program says where it listens");
        let (public, admin) = (address(), address());
        Gateway { child, address: public, admin, log, readers }
    }
}

impl Gateway {
    /// The process, which a program that started it has become.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process lives.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Sockets that are open; one with several descriptors is one.
    pub(crate) fn sockets(&self) -> usize {
        let files = self.open_files();
        files.iter().filter(|file| file.starts_with("socket:")).collect::<BTreeSet<_>>().len()
    }

    /// What its file descriptors are.
    pub(crate) fn open_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("procfs").flatten();
        entries.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string())).collect()
    }

    /// Asks the private listener; status and body.
    pub(crate) fn ask_admin(&self, method: &str, target: &str, body: &str) -> std::io::Result<(u16, String)> {
        ask_admin(self.admin, method, target, body)
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = self.ask_admin("GET", "/metrics", "").expect("the private listener answers");
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The value of a series; a missing one is a failure.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// Waits until something holds; whether it does in the end.
    pub(crate) fn wait_until(&self, patience: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + patience;
        loop {
            if holds(self) {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Asks it to end and waits; its exit code, or nothing if it did not end in time.
    pub(crate) fn stop(&mut self, patience: Duration) -> Option<i32> {
        self.signal("TERM");
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.readers.drain(..).for_each(|reader| {
                    let _ = reader.join();
                });
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process by its id.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().expect("kill");
    assert!(sent.success(), "kill -{name} {id}");
}

/// Asks a private listener; status and body.
pub(crate) fn ask_admin(address: SocketAddr, method: &str, target: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
}
