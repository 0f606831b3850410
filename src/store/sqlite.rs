//! All state in one SQLite file, or in memory (operations.md section 9).
//!
//! 1. One thread writes. It commits what waits together and answers each only after the commit, which is on the disk
//!    by then (`synchronous = FULL`): a grant that was confirmed survives a loss of power.
//! 2. Other threads read, on connections of their own. In WAL mode they see the last commit and never wait for the
//!    writer.
//! 3. Other processes may open the file at the same time: the command line, or the gateway that takes over. Every
//!    write begins with `BEGIN IMMEDIATE`, and what must happen once is one conditional statement.
//! 4. Each second the writer asks whether somebody else wrote (`PRAGMA data_version`). A write of our own whose asker
//!    did not wait for its end counts as somebody else's, for nobody here knows of it.
//! 5. Queues are bounded, and a caller waits no longer than the time-out. What waits in a queue for a caller who has
//!    gone is not begun.
//!
//! In memory there is one connection, so the thread that writes reads as well.

mod entitlements;
mod file;
mod payments;
mod queue;
mod rows;
mod schema;
mod sessions;
mod usage;
mod worker;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use rusqlite::Connection;

pub(super) use self::file::Place;
use self::{
    queue::Queue,
    worker::{Line, Patience, Reader, Writer},
};
use super::{
    BoxFuture, Claim, Cursor, Driver, Filter, Grant, IMPORT_MAX, NonceKey, NonceStore, PAGE_MAX, Page, Settings,
    StoreError, SubscriptionStore,
};
use crate::{
    caip::AccountKey,
    policy::{
        access::{Access, Scope},
        subscription::{Subscription, Subscriptions},
    },
    time::UnixTime,
};

/// Threads that read. A read takes some 40 µs, the way there and back included, and comes once a wallet and cache
/// life; the second thread is for the read behind one that waits for the disk.
const READERS: usize = 2;

/// How many rows a call that writes many may write in the time of one operation more.
const ROWS_A_TIMEOUT: usize = 10_000;

/// The store.
pub(super) struct Sqlite {
    writer: Queue,
    /// Nothing in memory: the writer reads too.
    readers: Option<Queue>,
    timeout: Patience,
    foreign_writes: Arc<AtomicU64>,
    #[cfg(test)]
    commits: Arc<AtomicU64>,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the database and starts its threads.
    pub(super) fn open(place: Place, settings: &Settings) -> Result<Self, StoreError> {
        let timeout = Patience::new(settings.timeout);
        let in_memory = place == Place::Memory;
        let mut line = Line::new(place.clone(), timeout.clone());
        if let Err(error) = line.connection()
            && (settings.require_at_start || error.is_lasting())
        {
            return Err(error);
        }
        let foreign_writes = Arc::new(AtomicU64::new(0));
        let commits = Arc::new(AtomicU64::new(0));
        let (writer, tasks) = Queue::new();
        let readers = if in_memory {
            None
        } else {
            let (queue, tasks) = Queue::new();
            Some(start_readers(queue, &tasks, &place, &timeout)?)
        };
        let worker = Writer::new(line, tasks, Arc::clone(&foreign_writes), Arc::clone(&commits));
        Ok(Self {
            writer: writer.served_by("store-writer", move || worker.run())?,
            readers,
            timeout,
            foreign_writes,
            #[cfg(test)]
            commits,
        })
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.as_ref().unwrap_or(&self.writer).ask(self.timeout.get(), work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.ask(self.timeout.get(), work).await
    }

    /// How long to wait for a call that writes so many rows.
    fn patience(&self, rows: usize) -> Duration {
        let more = u32::try_from(rows / ROWS_A_TIMEOUT).unwrap_or(u32::MAX);
        self.timeout.get().saturating_mul(more.saturating_add(1))
    }
}

fn start_readers(
    mut queue: Queue,
    tasks: &queue::Tasks,
    place: &Place,
    timeout: &Patience,
) -> Result<Queue, StoreError> {
    for _ in 0..READERS {
        let reader = Reader::new(Line::new(place.clone(), timeout.clone()), tasks.clone());
        queue = queue.served_by("store-reader", move || reader.run())?;
    }
    Ok(queue)
}

impl SubscriptionStore for Sqlite {
    fn find<'a>(&'a self, account: &'a AccountKey) -> BoxFuture<'a, Subscriptions> {
        let account = account.clone();
        Box::pin(self.read(move |on| rows::find(on, &account)))
    }

    fn access<'a>(&'a self, account: &'a AccountKey, route: &'a str, path: &'a str) -> BoxFuture<'a, Vec<Access>> {
        let account = account.clone();
        // What is no scope is held by nobody.
        let scopes: Vec<Scope> = [Scope::route(route), Scope::route_path(route, path)].into_iter().flatten().collect();
        Box::pin(self.read(move |on| entitlements::access(on, &account, &scopes)))
    }

    fn grant<'a>(&'a self, grant: &'a Grant, now: UnixTime) -> BoxFuture<'a, Subscription> {
        let grant = grant.clone();
        Box::pin(self.write(move |on| rows::grant(on, &grant, now)))
    }

    fn revoke<'a>(&'a self, account: &'a AccountKey, plan: &'a str) -> BoxFuture<'a, bool> {
        let (account, plan) = (account.clone(), plan.to_owned());
        Box::pin(self.write(move |on| rows::revoke(on, &account, &plan)))
    }

    fn list<'a>(&'a self, filter: &'a Filter, after: Option<&'a Cursor>, limit: usize) -> BoxFuture<'a, Page> {
        let (filter, after, limit) = (filter.clone(), after.cloned(), limit.clamp(1, PAGE_MAX));
        Box::pin(self.read(move |on| rows::list(on, &filter, after.as_ref(), limit)))
    }

    fn import<'a>(&'a self, grants: &'a [Grant], now: UnixTime) -> BoxFuture<'a, usize> {
        Box::pin(async move {
            if grants.len() > IMPORT_MAX {
                let found = grants.len();
                return Err(StoreError::Conflict(format!(
                    "expected at most {IMPORT_MAX} grants at once, found {found}"
                )));
            }
            let patience = self.patience(grants.len());
            let grants = grants.to_vec();
            let all = move |on: &Connection| {
                grants.iter().try_for_each(|grant| rows::grant(on, grant, now).map(drop))?;
                Ok(grants.len())
            };
            self.writer.ask(patience, all).await
        })
    }
}

impl NonceStore for Sqlite {
    fn claim<'a>(&'a self, key: NonceKey<'a>, until: UnixTime, now: UnixTime) -> BoxFuture<'a, Claim> {
        let key = key.to_string();
        Box::pin(self.write(move |on| rows::claim(on, &key, until, now)))
    }
}

impl Driver for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(timeout);
    }

    fn foreign_writes(&self) -> &Arc<AtomicU64> {
        &self.foreign_writes
    }

    fn check(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.read(rows::check))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        sync::{atomic::Ordering, mpsc},
        task::{Context, Poll, Waker},
        time::Instant,
    };

    use super::{
        super::{
            Asked, BLOB_BYTES_MAX, Backend, Lease, NewPayment, Owner, PaymentId, PaymentStatus, PaymentStore as _,
            Recorded, Reserved, Sale, Settlement, Step, Term,
        },
        *,
    };
    use crate::policy::holder::Holder;

    fn open(place: Place, timeout_millis: u64) -> Sqlite {
        let timeout = Duration::from_millis(timeout_millis);
        let settings = Settings { backend: Backend::SqliteMemory, timeout, require_at_start: true };
        Sqlite::open(place, &settings).expect("a store")
    }

    fn in_file(timeout_millis: u64) -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(Place::File(folder.path().join("store.db")), timeout_millis);
        (folder, store)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    fn account(number: usize) -> AccountKey {
        AccountKey::new("eip155", &format!("0x{number:040x}"))
    }

    fn nano(number: usize, id: Option<&str>) -> Grant {
        let term = Term::Period { length: Duration::from_secs(9), id: id.map(Into::into) };
        Grant::new(account(number), "nano", term).expect("a grant")
    }

    const NOW: UnixTime = UnixTime::from_secs(1_774_519_500);

    /// Lets a future get as far as it gets without waiting: a request is in the queue then.
    fn begin<T>(mut asked: BoxFuture<'_, T>) -> BoxFuture<'_, T> {
        let first = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(first, Poll::Pending), "answered at once");
        asked
    }

    /// Keeps the writer busy until the sender is used or dropped, and returns once it is.
    async fn hold(store: &Sqlite) -> (mpsc::Sender<()>, BoxFuture<'_, ()>) {
        let (release, released) = mpsc::channel::<()>();
        let (started, start) = tokio::sync::oneshot::channel();
        let held = begin(Box::pin(store.write(move |_| {
            let _ = started.send(());
            let _ = released.recv();
            Ok(())
        })));
        start.await.expect("the writer holds");
        (release, held)
    }

    #[test]
    fn writes_that_wait_are_committed_together() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            let (release, held) = hold(&store).await;
            let grants: Vec<Grant> = (0..50).map(|number| nano(number, None)).collect();
            let asked: Vec<_> = grants.iter().map(|grant| begin(store.grant(grant, NOW))).collect();
            drop(release);
            held.await.expect("the holder's commit");
            for granted in asked {
                granted.await.expect("a grant");
            }
            assert_eq!(store.commits.load(Ordering::Relaxed), 2, "one of the holder, one of the fifty");
            for number in 0..50 {
                assert_eq!(store.find(&account(number)).await.expect("an answer").iter().count(), 1, "{number}");
            }
        });
    }

    #[test]
    fn another_time_out_counts_for_the_operations_after_it() {
        let (_folder, store) = in_file(60_000);
        block_on(async {
            let (release, held) = hold(&store).await;
            store.set_timeout(Duration::from_millis(20));
            let asked = Instant::now();
            let late = store.grant(&nano(0, None), NOW).await.expect_err("the writer is busy");
            assert_eq!(late.as_str(), "timeout");
            assert!(asked.elapsed() < Duration::from_secs(30));
            drop(release);
            held.await.expect("the holder's commit");
            let told = store.write(|connection| {
                let millis = connection.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, i64>(0));
                millis.map_err(|error| file::failed("cannot ask", error))
            });
            assert_eq!(told.await.expect("an answer"), 20, "and for other programs' locks");
        });
    }

    #[test]
    fn one_that_fails_does_not_take_its_group_along() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            store.grant(&nano(0, Some("spent")), NOW).await.expect("a grant");
            store.revoke(&account(0), "nano").await.expect("a revocation");
            let (release, held) = hold(&store).await;
            let grants = [nano(1, None), nano(0, Some("spent")), nano(2, None)];
            let asked: Vec<_> = grants.iter().map(|grant| begin(store.grant(grant, NOW))).collect();
            drop(release);
            held.await.expect("the holder's commit");
            let mut outcomes = Vec::new();
            for granted in asked {
                outcomes.push(granted.await.map(drop).map_err(|error| error.as_str()));
            }
            assert_eq!(outcomes, [Ok(()), Err("conflict"), Ok(())]);
            assert_eq!(store.commits.load(Ordering::Relaxed), 4);
        });
    }

    #[test]
    fn nobody_is_told_of_a_write_whose_commit_failed() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)";
            let run = |sql: &'static str| {
                move |on: &Connection| on.execute_batch(sql).map_err(|error| file::failed("cannot run", error))
            };
            store.write(run(tables)).await.expect("tables");
            let (release, held) = hold(&store).await;
            let grant = nano(1, None);
            let granted = begin(store.grant(&grant, NOW));
            // A deferred constraint is looked at by the commit alone.
            let orphan = begin(Box::pin(store.write(run("INSERT INTO child VALUES (7)"))));
            drop(release);
            held.await.expect("the holder's commit");
            let expected = "cannot commit: FOREIGN KEY constraint failed";
            assert_eq!(granted.await.expect_err("no commit").to_string(), expected);
            assert_eq!(orphan.await.expect_err("no commit").to_string(), expected);
            assert!(store.find(&account(1)).await.expect("an answer").is_empty());
            store.grant(&grant, NOW).await.expect("the next one");
        });
    }

    #[test]
    fn nobody_is_told_of_a_write_that_another_one_undid() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            let (release, held) = hold(&store).await;
            let grant = nano(1, None);
            let granted = begin(store.grant(&grant, NOW));
            // As SQLite does by itself when a disk is full or fails.
            let undone = begin(Box::pin(store.write(|on| {
                on.execute_batch("ROLLBACK").expect("a transaction to undo");
                Err::<(), _>(StoreError::Corrupt("undone".into()))
            })));
            let behind = nano(2, None);
            let after = begin(store.grant(&behind, NOW));
            drop(release);
            held.await.expect("the holder's commit");
            for outcome in [granted.await.map(drop), undone.await, after.await.map(drop)] {
                assert!(matches!(&outcome, Err(StoreError::Corrupt(what)) if what == "undone"), "{outcome:?}");
            }
            for number in [1, 2] {
                assert!(store.find(&account(number)).await.expect("an answer").is_empty(), "{number}");
            }
            store.grant(&grant, NOW).await.expect("the next one");
        });
    }

    #[test]
    fn connections_are_set_up_as_promised() {
        let (_folder, store) = in_file(5000);
        let pragmas = |on: &Connection| {
            ["synchronous", "foreign_keys", "trusted_schema", "busy_timeout"]
                .map(|name| on.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)))
                .into_iter()
                .collect::<Result<Vec<i64>, _>>()
                .map_err(|error| file::failed("cannot read settings", error))
        };
        // `synchronous` 2 is FULL.
        let expected = [2, 1, 0, 5000];
        assert_eq!(block_on(store.write(pragmas)).expect("settings"), expected);
        assert_eq!(block_on(store.read(pragmas)).expect("settings"), expected);
    }

    #[test]
    fn who_has_gone_is_not_served() {
        let (_folder, store) = in_file(100);
        block_on(async {
            let (release, _held) = hold(&store).await;
            let (grant, start) = (nano(1, None), Instant::now());
            let late = store.grant(&grant, NOW).await;
            assert!(matches!(late, Err(StoreError::Timeout(_))), "{late:?}");
            assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
            // Readers do not wait for the writer.
            assert!(store.find(&account(1)).await.expect("an answer").is_empty());
            drop(release);
            assert!(!store.revoke(&account(1), "nano").await.expect("an answer"), "granted after all");
        });
    }

    /// A revocation was done after its asker had given up, and who was revoked stayed in memory.
    #[test]
    fn a_write_that_nobody_was_told_of_counts_as_foreign() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            let (release, held) = hold(&store).await;
            drop(held);
            drop(release);
            store.grant(&nano(1, None), NOW).await.expect("the next one, which is told");
            assert_eq!(store.foreign_writes.load(Ordering::Acquire), 1);
        });
    }

    #[test]
    fn a_full_queue_says_so_at_once() {
        let store = open(Place::Memory, 5000);
        block_on(async {
            let (release, held) = hold(&store).await;
            let account = account(1);
            let asked: Vec<_> = (0..queue::WAITING_MAX).map(|_| begin(store.find(&account))).collect();
            let refused = store.find(&account).await;
            assert!(matches!(refused, Err(StoreError::Overloaded(queue::WAITING_MAX))), "{refused:?}");
            drop(release);
            held.await.expect("the holder's commit");
            for found in asked {
                assert!(found.await.expect("an answer").is_empty());
            }
            let groups = queue::WAITING_MAX.div_ceil(worker::GROUP_MAX) as u64;
            assert_eq!(store.commits.load(Ordering::Relaxed), 1 + groups);
        });
    }

    /// Leaves room for hardly anything.
    async fn fill(store: &Sqlite) {
        let bound = |on: &Connection| {
            let pages: i64 = on.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a count");
            let bound = format!("PRAGMA max_page_count = {}", pages + 1);
            on.query_row(&bound, [], |_| Ok(())).map_err(|error| file::failed("cannot bound", error))
        };
        store.write(bound).await.expect("a bound");
    }

    #[test]
    fn a_disk_that_is_full_stops_settlements_and_serves_those_who_have_paid() {
        let (_folder, store) = in_file(5000);
        let sale = Sale {
            network: crate::caip::ChainId::parse("eip155:8453").expect("a chain"),
            scheme: "exact".into(),
            asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".into(),
            amount: "10000".into(),
            facilitator: "main".into(),
            route: "weather".into(),
            scope: Scope::route("weather").expect("a scope"),
            length: None,
        };
        let lease = Lease { owner: Owner::new("a").expect("a name"), until: NOW.plus_millis(60_000) };
        let payment = |number: u8| {
            NewPayment::new(PaymentId::new([number; 32]), sale.clone(), NOW.plus_millis(60_000)).expect("a payment")
        };
        let asked = Asked::new(vec![1; BLOB_BYTES_MAX], vec![1; BLOB_BYTES_MAX]).expect("something to ask for");
        let settlement = Settlement::new(account(1), "0x01", "cmVz").expect("a settlement");
        block_on(async {
            let (paid, next) = (payment(1), payment(2));
            assert_eq!(store.reserve(&paid, &lease, NOW).await.expect("an answer"), Reserved::Fresh);
            assert_eq!(store.settling(paid.id(), &lease, &asked).await.expect("an answer"), Step::Done);
            assert_eq!(store.reserve(&next, &lease, NOW).await.expect("an answer"), Reserved::Fresh);
            let recorded = store.settled(paid.id(), &lease.owner, &settlement, NOW).await.expect("an answer");
            let Recorded::Settled(receipt) = recorded else { panic!("lost") };

            // The pages of what was settled are free again; this fills them too.
            let filler = |on: &Connection| {
                let sql = "CREATE TABLE filler (bytes); INSERT INTO filler VALUES (zeroblob(200000))";
                on.execute_batch(sql).map_err(|error| file::failed("cannot fill", error))
            };
            store.write(filler).await.expect("room for it");
            fill(&store).await;
            let full = store.settling(next.id(), &lease, &asked).await.expect_err("no room");
            assert_eq!(full.to_string(), "cannot change a payment: database or disk is full");
            assert_eq!(full.as_str(), "error");

            let found = store.payment(next.id()).await.expect("an answer").expect("a payment");
            assert_eq!(found.status, PaymentStatus::Reserved);
            let held = store.find(&account(1)).await.expect("an answer");
            assert!(held.opens("weather", "/", Holder::KeyPair, NOW).is_some());
            let found = store.payment(paid.id()).await.expect("an answer").expect("a payment");
            assert_eq!(found.receipt(), Some(receipt));
            // Giving up needs no room.
            assert_eq!(store.release(next.id(), &lease.owner).await.expect("an answer"), Step::Done);
        });
    }

    #[test]
    fn a_disk_that_is_full_fails_writes_and_no_reads() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            store.grant(&nano(1, None), NOW).await.expect("a grant");
            fill(&store).await;
            let mut outcomes = Vec::new();
            for number in 0..4 {
                let nonce = format!("{number}{}", "x".repeat(3000));
                let claimed = store.claim(NonceKey::Issued(&nonce), NOW.plus_millis(1), NOW).await;
                outcomes.push(claimed.map_err(|error| error.to_string()));
            }
            let full = Err("cannot claim a nonce: database or disk is full".to_owned());
            assert_eq!(outcomes.last(), Some(&full), "{outcomes:?}");
            assert_eq!(store.find(&account(1)).await.expect("an answer").iter().count(), 1);
        });
    }

    #[test]
    fn a_file_that_may_not_be_written_fails_writes_and_no_reads_and_is_tried_again() {
        let (_folder, store) = in_file(5000);
        block_on(async {
            store.grant(&nano(1, None), NOW).await.expect("a grant");
            // Permissions do not bind the administrator, so the connection itself is told not to write.
            let read_only = |on: &Connection| {
                on.execute_batch("PRAGMA query_only = ON").map_err(|error| file::failed("cannot set", error))
            };
            store.write(read_only).await.expect("a setting");
            let refused = store.grant(&nano(2, None), NOW).await.expect_err("a file that is only read");
            assert_eq!(refused.to_string(), "cannot begin a transaction: attempt to write a readonly database");
            assert_eq!(store.find(&account(1)).await.expect("an answer").iter().count(), 1);

            let start = Instant::now();
            while store.grant(&nano(2, None), NOW).await.is_err() {
                assert!(start.elapsed() < Duration::from_secs(3), "never opened again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(store.find(&account(2)).await.expect("an answer").iter().count(), 1);
        });
    }
}
