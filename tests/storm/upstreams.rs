//! What stands behind the gateway in a storm: a service of ours that judges every request as it comes, and a real nginx
//! that is killed, stopped and started again, and whose access log is judged in the end.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    process::{PATIENCE, signal},
    ticket::{Asked, Judge},
};

/// What a service of ours has seen.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) requests: AtomicU64,
    /// What should never have come.
    pub(crate) violations: Mutex<Vec<String>>,
}

/// A real nginx.
pub(crate) struct Nginx {
    child: Option<Child>,
    directory: PathBuf,
    pub(crate) address: SocketAddr,
}

/// A request as it came off the wire.
struct Seen {
    target: String,
    headers: Vec<(String, String)>,
    body: usize,
}

/// Requests on one connection before the service closes it and says so, as services do.
const REQUESTS: usize = 500;

impl Records {
    fn violation(&self, what: String) {
        let mut violations = self.violations.lock().expect("no panic while held");
        if violations.len() < 20 {
            violations.push(what);
        }
    }
}

/// Starts a service that says who asked for what.
pub(crate) fn recording(judge: &Arc<Judge>) -> (SocketAddr, Arc<Records>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let records = Arc::<Records>::default();
    let (judge, kept) = (Arc::clone(judge), Arc::clone(&records));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (judge, records) = (Arc::clone(&judge), Arc::clone(&kept));
            std::thread::spawn(move || serve(stream, &judge, &records));
        }
    });
    (address, records)
}

fn serve(stream: TcpStream, judge: &Judge, records: &Records) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    for left in (0..REQUESTS).rev() {
        let seen = match read(&mut reader) {
            Ok(Some(seen)) => seen,
            Ok(None) => return,
            Err(what) => return records.violation(what),
        };
        records.requests.fetch_add(1, Ordering::Relaxed);
        let Seen { target, headers, body } = seen;
        if let Err(why) = judge.look(&Asked { target: &target, headers: &headers }) {
            records.violation(format!("{why}: {target} {headers:?}"));
        }
        let account = headers.iter().find(|(name, _)| name == "x-siwx-account").map_or("", |(_, value)| value);
        let path = target.split_once('?').map_or(target.as_str(), |(path, _)| path);
        let said = format!("{path}\n{account}\n{body}\n");
        let last = if left == 0 { "connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{last}\r\n{said}", said.len());
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one request as RFC 9112 frames it; nothing where the connection ends, also in the middle of one.
fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Seen>, String> {
    let Some(line) = read_line(reader)? else { return Ok(None) };
    let parts: Vec<&str> = line.split(' ').collect();
    let [_, target, "HTTP/1.1"] = parts[..] else { return Err(format!("no request line: {line:?}")) };
    let (mut headers, mut hosts, mut length, mut chunked) = (Vec::new(), 0, None, false);
    loop {
        let Some(field) = read_line(reader)? else { return Ok(None) };
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').ok_or_else(|| format!("no field: {field:?}"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "content-length" if length.is_none() => {
                length = Some(value.parse::<usize>().map_err(|_| format!("a length {value:?}"))?);
            }
            "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
            "content-length" | "transfer-encoding" => return Err(format!("{field:?} in {line:?}")),
            _ => {}
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    if hosts != 1 || (chunked && length.is_some()) {
        return Err(format!("{hosts} hosts, length {length:?}, chunked {chunked}: {line:?}"));
    }
    let mut body = 0;
    if chunked {
        loop {
            let Some(size) = read_line(reader)? else { return Ok(None) };
            let size = usize::from_str_radix(&size, 16).map_err(|_| format!("a chunk of {size:?}"))?;
            let mut chunk = vec![0; size + 2];
            if reader.read_exact(&mut chunk).is_err() {
                return Ok(None);
            }
            if !chunk.ends_with(b"\r\n") {
                return Err(format!("a chunk without its end in {line:?}"));
            }
            body += size;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        let read = std::io::copy(&mut reader.take(length as u64), &mut std::io::sink());
        if read.ok() != Some(length as u64) {
            return Ok(None);
        }
        body = length;
    }
    Ok(Some(Seen { target: target.to_owned(), headers, body }))
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) || !line.ends_with(b"\n") {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| format!("no CRLF: {:?}", String::from_utf8_lossy(&line)))?;
    String::from_utf8(line.to_vec()).map(Some).map_err(|error| error.to_string())
}

impl Nginx {
    /// Starts one in a directory, on a port of its own.
    pub(crate) fn start(directory: &Path) -> Self {
        let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = held.local_addr().expect("bound");
        drop(held);
        let directory = directory.to_owned();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nerror_log {0}/nginx.error;\n\
             events {{ worker_connections 1024; }}\nhttp {{\n\
             log_format asked '$request_uri $http_x_siwx_account';\naccess_log {0}/nginx.access asked;\n\
             client_body_temp_path {0}/body;\nproxy_temp_path {0}/proxy;\nfastcgi_temp_path {0}/fastcgi;\n\
             uwsgi_temp_path {0}/uwsgi;\nscgi_temp_path {0}/scgi;\nkeepalive_requests 500;\n\
             server {{ listen {address}; location / {{ default_type text/plain;\n\
             return 200 \"$uri\\n$http_x_siwx_account\\n0\\n\"; }} }}\n}}\n",
            directory.display()
        );
        std::fs::write(directory.join("nginx.conf"), configuration).expect("a file");
        let mut nginx = Self { child: None, directory, address };
        nginx.rise();
        nginx
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn rise(&mut self) {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.directory.join("nginx.conf")).arg("-e").arg(self.directory.join("nginx.error"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("nginx is installed: on Debian, apt-get install nginx-light"));
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let errors = self.directory.join("nginx.error");
            assert!(Instant::now() < end, "nginx does not listen: {:?}", std::fs::read_to_string(errors));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub(crate) fn fall(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it with its connections open, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        if let Some(child) = &self.child {
            signal(child.id(), if frozen { "STOP" } else { "CONT" });
        }
    }

    /// How many requests its access log has, and what should not be in it.
    pub(crate) fn judged(&self, judge: &Judge) -> (usize, Vec<String>) {
        let text = std::fs::read_to_string(self.directory.join("nginx.access")).expect("an access log");
        let mut violations = Vec::new();
        for line in text.lines() {
            let (target, account) = line.split_once(' ').unwrap_or((line, "-"));
            let account = (account != "-").then(|| ("x-siwx-account".to_owned(), account.to_owned()));
            let headers: Vec<_> = account.into_iter().collect();
            if let Err(why) = judge.look(&Asked { target, headers: &headers }) {
                violations.push(format!("nginx: {why}: {line}"));
            }
        }
        (text.lines().count(), violations)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.fall();
    }
}
