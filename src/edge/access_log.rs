//! The access log: one JSON object a line, or one line for people.
//!
//! 1. Never a token, a signature, a message or, by default, a whole account or the value of a query parameter.
//! 2. One event is one line: every text of a stranger is escaped, and cut at a bound.
//! 3. Writing never holds up a request. A worker collects the lines of one turn of its loop and hands them over
//!    as one piece (`log_writer`). When that queue is full, lines are dropped and counted.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::{
    log_writer::{Piece, Queue, Writer},
    settings::{AccessLog, AccountShown, QueryShown},
};
use crate::{caip::AccountId, metrics::Metrics, time::UnixTime};

/// Pieces that wait for the writer; at about 16 KiB each a few megabytes.
const QUEUE: usize = 256;

/// Bytes of a path, a user agent, a host and a method that are shown.
const PATH_SHOWN: usize = 1024;
const AGENT_SHOWN: usize = 256;
const HOST_SHOWN: usize = 256;
const METHOD_SHOWN: usize = 32;

/// The right to make an end of the log on another thread.
pub(crate) struct Handle(pub(super) Queue);

/// One worker's end of the log.
pub(crate) struct Log {
    settings: Cell<AccessLog>,
    queue: Queue,
    collected: RefCell<Piece>,
    notify: Notify,
    metrics: Arc<Metrics>,
}

/// A line in the making.
pub(crate) struct Line {
    text: String,
    json: bool,
}

/// Starts what writes the access log.
pub(crate) fn start(out: Box<dyn io::Write + Send>) -> io::Result<Writer> {
    Writer::start("access-log", QUEUE, out)
}

// === impl Handle ===

impl Handle {
    /// A worker's end of the log.
    pub(crate) fn log(self, settings: AccessLog, metrics: &Arc<Metrics>) -> Rc<Log> {
        Rc::new(Log {
            settings: Cell::new(settings),
            queue: self.0,
            collected: RefCell::default(),
            notify: Notify::new(),
            metrics: Arc::clone(metrics),
        })
    }
}

// === impl Log ===

impl Log {
    /// Other settings, for lines that begin from now on.
    pub(crate) fn change(&self, settings: AccessLog) {
        self.settings.set(settings);
    }

    /// A new line, if there is a log.
    pub(crate) fn line(&self, now: UnixTime) -> Option<Line> {
        let AccessLog { enabled, json, .. } = self.settings.get();
        if !enabled {
            return None;
        }
        let mut text = String::with_capacity(640);
        if json {
            let _ = write!(text, r#"{{"ts":"{now}","level":"info","event":"access""#);
        } else {
            let _ = write!(text, "{now} INFO access");
        }
        Some(Line { text, json })
    }

    /// Whether an admitted request with this number is among those that are logged.
    pub(crate) fn sampled(&self, number: u64) -> bool {
        // The golden ratio spreads successive numbers evenly over the unit interval.
        let place = (number as f64 * 0.618_033_988_749_894_9).fract();
        place < self.settings.get().sample
    }

    pub(crate) fn account_shown(&self) -> AccountShown {
        self.settings.get().account
    }

    pub(crate) fn query_shown(&self) -> QueryShown {
        self.settings.get().query
    }

    /// Ends a line and collects it.
    pub(crate) fn push(&self, line: Line) {
        let mut collected = self.collected.borrow_mut();
        if collected.text.is_empty() {
            self.notify.notify_one();
        }
        collected.text.push_str(&line.text);
        collected.text.push_str(if line.json { "}\n" } else { "\n" });
        collected.lines += 1;
    }

    /// Hands collected lines over at the end of each turn in which there were some. Runs as a task of the worker.
    pub(crate) async fn hand_over_each_turn(&self) {
        loop {
            self.notify.notified().await;
            // Everything that is ready now runs first, and its lines go along.
            tokio::task::yield_now().await;
            self.hand_over();
        }
    }

    /// Hands collected lines over.
    pub(crate) fn hand_over(&self) {
        let piece = self.collected.take();
        if piece.lines > 0
            && let dropped @ 1.. = self.queue.hand_over(piece)
        {
            self.metrics.log_dropped.inc_by(dropped);
        }
    }
}

// === impl Line ===

impl Line {
    /// A text of a stranger or of ours, escaped.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push('"');
        escape(&mut self.text, value);
        self.text.push('"');
    }

    /// A text, or null.
    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    /// Something that prints itself without anything to escape.
    pub(crate) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.text, "\"{value}\"");
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    /// A time span in milliseconds, to a microsecond.
    pub(crate) fn millis(&mut self, name: &str, value: Duration) {
        let micros = value.as_micros();
        self.name(name);
        let _ = write!(self.text, "{}.{:03}", micros / 1000, micros % 1000);
    }

    /// Nothing.
    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.text.push_str("null");
    }

    /// A method, cut: any token is one.
    pub(crate) fn method(&mut self, method: &http::Method) {
        self.text("method", cut(method.as_str(), METHOD_SHOWN));
    }

    /// A host, cut.
    pub(crate) fn host(&mut self, host: Option<&str>) {
        self.optional("host", host.map(|host| cut(host, HOST_SHOWN)));
    }

    /// A path, cut.
    pub(crate) fn path(&mut self, path: &str) {
        self.text("path", cut(path, PATH_SHOWN));
    }

    /// A query, as much of it as the settings show.
    pub(crate) fn query(&mut self, query: Option<&str>, shown: QueryShown) {
        let Some(query) = query else {
            return self.null("query");
        };
        match shown {
            QueryShown::Drop => {}
            QueryShown::Full => self.text("query", cut(query, PATH_SHOWN)),
            QueryShown::Keys => {
                let keys: Vec<&str> = cut(query, PATH_SHOWN)
                    .split('&')
                    .map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key))
                    .collect();
                self.text("query", &keys.join("&"));
            }
        }
    }

    /// A user agent, cut.
    pub(crate) fn agent(&mut self, agent: Option<&http::HeaderValue>) {
        match agent {
            Some(agent) => self.text("user_agent", cut(&String::from_utf8_lossy(agent.as_bytes()), AGENT_SHOWN)),
            None => self.null("user_agent"),
        }
    }

    /// An account, as much of it as the settings show.
    pub(crate) fn account(&mut self, account: Option<&AccountId>, shown: AccountShown) {
        let Some(account) = account else {
            return self.null("account");
        };
        let address = account.address();
        match shown {
            AccountShown::Full => self.text("account", account.as_str()),
            AccountShown::Hash => {
                let hash = Sha256::digest(account.as_str().as_bytes());
                self.text("account", &data_encoding::HEXLOWER.encode(&hash[..8]));
            }
            AccountShown::None => {}
            // An address is ASCII, and the shortest have 26 characters.
            AccountShown::Short => match (address.get(..6), address.get(address.len().saturating_sub(4)..)) {
                (Some(front), Some(back)) if address.len() > 12 => {
                    self.plain("account", format_args!("{front}...{back}"))
                }
                _ => self.text("account", "..."),
            },
        }
    }

    fn name(&mut self, name: &str) {
        if self.json {
            self.text.push_str(",\"");
            self.text.push_str(name);
            self.text.push_str("\":");
        } else {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push('=');
        }
    }
}

/// The front of a text, at a boundary of characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// JSON's escapes, and `\u` for what a terminal or a reader of lines might obey: DEL, C1, and line separators.
fn escape(out: &mut String, text: &str) {
    let quiet = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(quiet) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (' '..='~').contains(&c) => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(&mut Line)) -> serde_json::Value {
        let mut line = Line { text: "{\"event\":\"access\"".to_owned(), json: true };
        write(&mut line);
        line.text.push('}');
        assert!(!line.text.contains('\n'));
        serde_json::from_str(&line.text).expect("a line is JSON")
    }

    #[test]
    fn one_event_stays_one_line() {
        let hostile = "a\r\n{\"event\":\"access\"}\u{1b}[2J\u{2028}\u{7f}\u{1f600}";
        let value = line(|line| line.text("path", hostile));
        assert_eq!(value["path"], hostile);
    }

    #[test]
    fn queries_and_accounts_are_shown_as_far_as_allowed() {
        let account = AccountId::parse("eip155:1:0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A").expect("an account");
        let rows = [
            (QueryShown::Keys, AccountShown::Short, Some("a&token"), Some("0x19E7...ff2A")),
            (QueryShown::Full, AccountShown::Full, Some("a=1&token=s3cret"), Some(account.as_str())),
            (QueryShown::Drop, AccountShown::None, None, None),
        ];
        for (query, shown, expected_query, expected_account) in rows {
            let value = line(|line| {
                line.query(Some("a=1&token=s3cret"), query);
                line.account(Some(&account), shown);
            });
            assert_eq!(value.get("query").and_then(|v| v.as_str()), expected_query);
            assert_eq!(value.get("account").and_then(|v| v.as_str()), expected_account);
        }
        let hashed = line(|line| line.account(Some(&account), AccountShown::Hash));
        assert_eq!(hashed["account"].as_str().map(str::len), Some(16));
    }

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}
