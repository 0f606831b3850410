//! Services behind the gateway, played by threads: one that answers anything, one that follows a script of bytes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A request as it came off the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names as written, values as text.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a field, if there is one; two are a failure.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "`{name}` came twice: {all:?}");
        all.first().copied()
    }
}

/// What the stub does with a connection: from the stream and its number.
type Play = dyn Fn(TcpStream, usize) + Send + Sync;

/// A service on a port of its own. It ends when it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Answers every request with 200 and the body `ok`.
    pub(crate) fn ok() -> Self {
        Self::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-stub: 1\r\n\r\nok".to_vec())
    }

    /// Reads whole requests, keeps connections, and answers with what `answer` makes of each.
    pub(crate) fn answering(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let play = move |stream: TcpStream, _| {
            let mut reader = BufReader::new(stream);
            while let Some(request) = read_request(&mut reader) {
                let bytes = answer(&request);
                let head = request.method == "HEAD";
                record.lock().expect("no panic while held").push(request);
                let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
                let bytes = if head { &bytes[..end] } else { &bytes };
                if reader.get_mut().write_all(bytes).is_err() {
                    return;
                }
            }
        };
        Self::start(Arc::new(play), seen)
    }

    /// Does with each connection what the script says; what it saw is the script's to keep.
    pub(crate) fn scripted(play: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(play), Arc::default())
    }

    /// Reads the head of each request, then sends these bytes and closes.
    pub(crate) fn saying(bytes: &'static [u8]) -> Self {
        Self::scripted(move |stream, _| {
            let mut reader = BufReader::new(stream);
            if read_request(&mut reader).is_some() {
                let _ = reader.get_mut().write_all(bytes);
            }
        })
    }

    fn start(play: Arc<Play>, seen: Arc<Mutex<Vec<Seen>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&connections));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
                stream.set_nodelay(true).expect("an option");
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let play = Arc::clone(&play);
                std::thread::spawn(move || play(stream, number));
            }
        });
        Self { address, seen, connections, stop, thread: Some(thread) }
    }

    /// What it was asked since the last time.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("no panic while held"))
    }

    /// The only request since the last time.
    pub(crate) fn take_one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "expected one request at the upstream: {seen:?}");
        seen.remove(0)
    }

    /// Connections it accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A port that nobody else can have and nobody listens on, as long as this lives.
pub(crate) struct Nobody {
    _bound: socket2::Socket,
    address: SocketAddr,
}

impl Nobody {
    pub(crate) fn new() -> Self {
        let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let address = bound.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
        Self { _bound: bound, address }
    }

    /// The URL at which there is nobody.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Reads one request, strictly: what is not HTTP/1.1 as RFC 9112 frames it is a failure of the gateway. Nothing
/// at the end of the connection, also in the middle of a body.
pub(crate) fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let line = read_line(reader)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { panic!("no request line: {line:?}") };
    let mut headers = Vec::new();
    loop {
        let field = read_line(reader)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').unwrap_or_else(|| panic!("no field: {field:?}"));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut seen = Seen { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    assert_eq!(seen.all("host").len(), 1, "exactly one Host goes to an upstream: {seen:?}");
    let (length, coding) = (seen.one("content-length"), seen.one("transfer-encoding"));
    assert!(length.is_none() || coding.is_none(), "Content-Length beside Transfer-Encoding: {seen:?}");
    let mut body = Vec::new();
    if let Some(length) = length {
        body.resize(length.parse().expect("a length in digits"), 0);
        reader.read_exact(&mut body).ok()?;
    } else if let Some(coding) = coding {
        assert_eq!(coding, "chunked");
        loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).expect("a chunk size");
            let mut chunk = vec![0; size + 2];
            if size == 0 {
                let trailer = read_line(reader)?;
                assert_eq!(trailer, "", "no trailers go to an upstream");
                break;
            }
            reader.read_exact(&mut chunk).ok()?;
            assert_eq!(&chunk[size..], b"\r\n");
            body.extend_from_slice(&chunk[..size]);
        }
    }
    seen.body = body;
    Some(seen)
}

/// A line without its CRLF; nothing at the end.
pub(crate) fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\r\n")?;
    Some(String::from_utf8(line.to_vec()).expect("a head in UTF-8"))
}
