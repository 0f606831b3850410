//! A server that does what a script says, one act a request.
//!
//! There is one script for all targets, and one for each target that has its own. What is in no script is a habit, or
//! the connection is closed.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers with these bytes and keeps the connection.
    Answer(Vec<u8>),
    /// Does what is made of the request.
    By(By),
    /// Answers with these bytes and closes without having said that it would.
    AnswerAndClose(Vec<u8>),
    /// Closes a connection as soon as it is there.
    CloseUnread,
    /// Reads the request and closes.
    Close,
    /// Sends these bytes one by one, so many milliseconds apart.
    Drip(Vec<u8>, u64),
    /// Reads the request and does nothing.
    Hang,
    /// Answers with these bytes once the latch is open.
    Held(Latch, Vec<u8>),
}

/// What makes an act of a request.
#[derive(Clone)]
pub(crate) struct By(Arc<dyn Fn(&Seen) -> Act + Send + Sync>);

/// Closed until somebody opens it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latch(Arc<(Mutex<bool>, Condvar)>);

/// What is done with requests for one target.
#[derive(Default)]
struct Target {
    script: VecDeque<Act>,
    habit: Option<Act>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method and target.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// On which connection, counted from 0.
    pub(crate) connection: usize,
}

pub(crate) struct Server {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    script: Mutex<VecDeque<Act>>,
    targets: Mutex<HashMap<String, Target>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    /// Everybody who hangs waits for its other half to go.
    ended: Mutex<mpsc::Receiver<()>>,
    ends: Mutex<Option<mpsc::Sender<()>>>,
    stop: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Act {
    /// The acts of a facilitator as `tests/vectors/x402-flows.json` writes them: one of them, or a list.
    pub(crate) fn of_vector(acts: &serde_json::Value) -> Vec<Self> {
        let act = |act: &serde_json::Value| match act.as_str() {
            Some("drop") => Self::Close,
            Some("hang") => Self::Hang,
            _ => {
                let status = u16::try_from(act["status"].as_u64().expect("a status")).expect("a status");
                match act["body"].as_str() {
                    Some(text) => Self::text(status, act["type"].as_str().expect("a type"), text),
                    None => Self::json(status, &act["body"]),
                }
            }
        };
        acts.as_array().map_or_else(|| vec![act(acts)], |acts| acts.iter().map(act).collect())
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// An answer with some body.
    pub(crate) fn text(status: u16, kind: &str, body: &str) -> Self {
        Self::with(status, &[("content-type", kind)], body)
    }

    /// An answer with some fields.
    pub(crate) fn with(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        Self::Answer(format!("HTTP/1.1 {status} X\r\n{fields}content-length: {length}\r\n\r\n{body}").into())
    }

    /// Does what is made of the request.
    pub(crate) fn by(judge: impl Fn(&Seen) -> Self + Send + Sync + 'static) -> Self {
        Self::By(By(Arc::new(judge)))
    }

    /// The same answer, once a latch is open.
    pub(crate) fn held(self, latch: &Latch) -> Self {
        match self {
            Self::Answer(bytes) => Self::Held(latch.clone(), bytes),
            other => other,
        }
    }

    /// The same bytes, and then the connection is closed.
    pub(crate) fn and_close(self) -> Self {
        match self {
            Self::Answer(bytes) => Self::AnswerAndClose(bytes),
            other => other,
        }
    }
}

impl std::fmt::Debug for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("By")
    }
}

impl Latch {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("the latch") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let closed = self.0.0.lock().expect("the latch");
        drop(self.0.1.wait_while(closed, |open| !*open).expect("the latch"));
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    pub(crate) fn start(script: impl IntoIterator<Item = Act>) -> Self {
        Self::start_with(script, None)
    }

    pub(crate) fn start_with(script: impl IntoIterator<Item = Act>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (ends, ended) = mpsc::channel();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            targets: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            ended: Mutex::new(ended),
            ends: Mutex::new(Some(ends)),
            stop: AtomicBool::new(false),
            tls,
        });
        let (tls, all) = (shared.tls.is_some(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if all.stop.load(SeqCst) {
                    break;
                }
                let (stream, all) = (stream.expect("a connection"), Arc::clone(&all));
                threads.push(std::thread::spawn(move || {
                    all.serve(stream);
                    all.closed.fetch_add(1, SeqCst);
                }));
            }
        });
        Self { address, tls, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    pub(crate) fn then(&self, act: Act) {
        self.shared.script.lock().expect("the script").push_back(act);
    }

    /// What is done with the next request for this target, after those that were said before.
    pub(crate) fn on(&self, target: &str, act: Act) {
        let mut targets = self.shared.targets.lock().expect("the targets");
        targets.entry(target.to_owned()).or_default().script.push_back(act);
    }

    /// What is done with every request for this target that has no act of its own.
    pub(crate) fn always(&self, target: &str, act: Act) {
        let mut targets = self.shared.targets.lock().expect("the targets");
        targets.entry(target.to_owned()).or_default().habit = Some(act);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("what was seen").clone()
    }

    /// Method and target of each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Waits until so many connections have ended here.
    pub(crate) fn wait_closed(&self, count: usize) {
        for _ in 0..500 {
            if self.shared.closed.load(SeqCst) >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} of {count} connections ended", self.shared.closed.load(SeqCst));
    }

    /// Waits until so many requests have come.
    pub(crate) fn wait_seen(&self, count: usize) {
        for _ in 0..500 {
            if self.seen().len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} of {count} requests came", self.seen().len());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        drop(self.shared.ends.lock().map(|mut ends| ends.take()));
        // Wakes whoever accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn next(&self) -> Option<Act> {
        self.script.lock().expect("the script").pop_front()
    }

    fn next_for(&self, seen: &Seen) -> Option<Act> {
        let mut targets = self.targets.lock().expect("the targets");
        let target = targets.get_mut(seen.line.split(' ').nth(1).unwrap_or(""));
        let act = target.and_then(|target| target.script.pop_front().or_else(|| target.habit.clone()));
        drop(targets);
        act.or_else(|| self.next())
    }

    fn serve(&self, stream: TcpStream) {
        let connection = self.connections.fetch_add(1, SeqCst);
        let at_once = matches!(self.script.lock().expect("the script").front(), Some(Act::CloseUnread));
        if at_once {
            self.next();
            return;
        }
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a session");
                Box::new(StreamOwned::new(session, stream))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(seen) = read(&mut stream, connection) {
            let mut act = self.next_for(&seen);
            while let Some(Act::By(judge)) = act {
                act = Some((judge.0)(&seen));
            }
            self.seen.lock().expect("what was seen").push(seen);
            let stream = stream.get_mut();
            let written = match act {
                Some(Act::Answer(bytes)) => stream.write_all(&bytes).and_then(|()| stream.flush()),
                Some(Act::AnswerAndClose(bytes)) => {
                    let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                    return;
                }
                Some(Act::Drip(bytes, millis)) => bytes.chunks(1).try_for_each(|byte| {
                    std::thread::sleep(Duration::from_millis(millis));
                    stream.write_all(byte).and_then(|()| stream.flush())
                }),
                Some(Act::Held(latch, bytes)) => {
                    latch.wait();
                    stream.write_all(&bytes).and_then(|()| stream.flush())
                }
                Some(Act::Hang) => {
                    let _ = self.ended.lock().map(|ended| ended.recv());
                    return;
                }
                Some(Act::By(_) | Act::Close | Act::CloseUnread) | None => return,
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn read(stream: &mut BufReader<Box<dyn Stream>>, connection: usize) -> Option<Seen> {
    let mut line = || {
        let mut line = String::new();
        let length = stream.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let field = line()?;
        let Some((name, value)) = field.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let line = first.strip_suffix(" HTTP/1.1").expect("a request line").to_owned();
    Some(Seen { line, headers, body, connection })
}
