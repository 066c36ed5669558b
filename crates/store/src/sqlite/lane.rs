//! The writer lane: the one connection that writes, taken in turns, and the commit that several turns share.
//!
//! # Group commit
//! A commit costs an fsync. Turns that queue up therefore share one: the lane keeps one *outer* transaction open, each turn does
//! its work in it (the first directly, later ones in a savepoint), joins the *group* when it commits, and passes the lane on. The
//! turn that finds nobody waiting, or the group full, commits the outer transaction, and only then do the members' `commit`
//! futures resolve.
//!
//! # Why this survives `kill -9`
//! - A member is told "committed" only after the engine's `COMMIT` of the outer transaction returned, and with `synchronous =
//!   FULL` in WAL mode that is after the fsync of the log. Before that, a crash loses all members and none was told.
//! - Members see each other's work before it is on disk, but nobody else does: readers are other connections. What a member
//!   concluded from another's work reaches the disk in the same atomic `COMMIT` or not at all.
//! - A member that rolls back undoes its savepoint alone. If the engine undid the whole outer transaction (disk full, I/O error),
//!   the connection is in autocommit mode afterwards: that is checked after each failure and before each commit, and then every
//!   member is told that nothing was stored.
//!
//! # Why no member waits forever
//! A group is left open only while somebody is waiting for the lane. [`Lane::pass_on`] runs at the end of every turn, and at the
//! end of every wait that was given up; it commits the group unless another is waiting. See there for the interleavings.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::{
    Access, WAIT_MAX, blocking, connect,
    lock::LockFile,
    statement::{self, control, head},
};
use crate::{EngineError, Row, Sql, StoreError, Value, sql::Collation};

/// Members that share one commit at most: bounds what a crash can take along and how long the first one waits.
const GROUP_MAX: usize = 32;

pub(crate) struct Lane {
    writer: Arc<Mutex<Writer>>,
    /// Those between asking for the lane and having it.
    waiting: AtomicUsize,
    /// Commits of outer transactions, that is, fsyncs. For tests.
    commits: AtomicU64,
    collation: Arc<Collation>,
    _lock: Arc<LockFile>,
}

struct Writer {
    connection: Connection,
    path: PathBuf,
    /// Members whose work is done in the open outer transaction.
    group: Vec<oneshot::Sender<Result<(), CommitFailure>>>,
}

#[derive(Clone)]
enum CommitFailure {
    /// Nothing was stored.
    RolledBack(EngineError),
    /// `COMMIT` itself failed.
    Unknown(EngineError),
}

impl From<CommitFailure> for StoreError {
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::RolledBack(error) => Self::Engine(error),
            CommitFailure::Unknown(error) => Self::CommitUnknown(error),
        }
    }
}

/// The lane, held; with a transaction of its own begun in it.
pub(crate) struct Turn {
    lane: Arc<Lane>,
    /// In a mutex only so that `Tx` is `Sync`; it is never locked. Taken when the turn ends.
    writer: Option<StdMutex<OwnedMutexGuard<Writer>>>,
    own: Own,
}

/// What this turn has to undo if it is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Nothing,
    /// The outer transaction; its group is empty.
    Outer,
    /// A savepoint in an outer transaction that holds the work of others.
    Savepoint,
}

impl Lane {
    pub(super) fn new(connection: Connection, path: PathBuf, collation: Arc<Collation>, lock: Arc<LockFile>) -> Self {
        Self {
            writer: Arc::new(Mutex::new(Writer { connection, path, group: Vec::new() })),
            waiting: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            collation,
            _lock: lock,
        }
    }

    /// A turn for an ordinary write, with the policy head.
    pub(crate) async fn write(self: &Arc<Self>) -> Result<(Turn, i64), StoreError> {
        let mut turn = self.enter().await?;
        let writer = turn.writer()?;
        let own = if writer.group.is_empty() {
            writer.begin_outer()?;
            Own::Outer
        } else {
            control(&writer.connection, "SAVEPOINT member")?;
            Own::Savepoint
        };
        turn.own = own;
        let revision = head(&turn.writer()?.connection)?;
        Ok((turn, revision))
    }

    /// A turn for a policy change, which shares its commit with nobody: the group before it is committed first.
    pub(crate) async fn policy(self: &Arc<Self>) -> Result<(Turn, i64), StoreError> {
        let mut turn = self.enter().await?;
        let commits = &self.commits;
        let writer = turn.writer()?;
        writer.commit_group(commits);
        writer.begin_outer()?;
        turn.own = Own::Outer;
        let revision = head(&turn.writer()?.connection)?;
        Ok((turn, revision))
    }

    /// Waits for the lane, first come first served.
    async fn enter(self: &Arc<Self>) -> Result<Turn, StoreError> {
        let waiting = Waiting::new(self);
        let writer =
            tokio::time::timeout(WAIT_MAX, self.writer.clone().lock_owned()).await.map_err(|_| StoreError::Busy)?;
        // From here on the turn is answerable for the group, by `Turn::drop`.
        let turn = Turn { lane: self.clone(), writer: Some(StdMutex::new(writer)), own: Own::Nothing };
        waiting.over();
        Ok(turn)
    }

    /// Ends a turn: commits the group unless somebody waits who will, and releases the lane.
    ///
    /// The last one waiting may give up at any moment. If it does so before we look at `waiting`, we commit. If after, it finds
    /// either the lane free, and commits in [`Waiting::drop`], or the lane still ours: then we look once more after releasing it,
    /// and one of us sees the other, as each writes (the lane, the count) before it reads (the count, the lane). Whoever finds
    /// the lane taken may go: its holder ends with this same function.
    fn pass_on(&self, mut writer: OwnedMutexGuard<Writer>) {
        loop {
            if self.waiting.load(SeqCst) == 0 || writer.group.len() >= GROUP_MAX {
                writer.commit_group(&self.commits);
            }
            let done = writer.group.is_empty();
            drop(writer);
            if done || self.waiting.load(SeqCst) > 0 {
                return;
            }
            match self.writer.clone().try_lock_owned() {
                Ok(again) => writer = again,
                Err(_) => return,
            }
        }
    }
}

/// Counted among the waiting; giving up is dropping this.
struct Waiting<'l> {
    lane: &'l Lane,
    gave_up: bool,
}

impl<'l> Waiting<'l> {
    fn new(lane: &'l Lane) -> Self {
        lane.waiting.fetch_add(1, SeqCst);
        Self { lane, gave_up: true }
    }

    fn over(mut self) {
        self.gave_up = false;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(1, SeqCst);
        if self.gave_up
            && let Ok(writer) = self.lane.writer.clone().try_lock_owned()
        {
            self.lane.pass_on(writer);
        }
    }
}

impl Turn {
    pub(crate) fn query(&mut self, sql: &Sql, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let collation = self.lane.collation.clone();
        self.run(|connection| statement::query(connection, &collation, sql, values))
    }

    pub(crate) fn execute(&mut self, sql: &Sql, values: &[Value]) -> Result<u64, StoreError> {
        let collation = self.lane.collation.clone();
        self.run(|connection| statement::execute(connection, &collation, sql, values))
    }

    /// Joins the group and returns when it is on disk.
    pub(crate) async fn commit_in_group(mut self) -> Result<(), StoreError> {
        let own = self.own;
        let writer = self.writer()?;
        if own == Own::Savepoint {
            control(&writer.connection, "RELEASE member")?;
        }
        let (told, outcome) = oneshot::channel();
        writer.group.push(told);
        self.own = Own::Nothing;
        drop(self); // passes the lane on
        // A group whose sender vanished would be a bug of ours; then the outcome is in fact unknown.
        let outcome =
            outcome.await.map_err(|_| StoreError::CommitUnknown(EngineError::new("the group was abandoned")))?;
        outcome.map_err(StoreError::from)
    }

    /// Commits at once, and calls `publish` while the lane is still held.
    pub(crate) fn commit_alone(mut self, publish: impl FnOnce()) -> Result<(), StoreError> {
        let lane = self.lane.clone();
        self.writer()?.commit(&lane.commits).map_err(StoreError::from)?;
        self.own = Own::Nothing;
        publish();
        Ok(())
    }

    fn run<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let writer = self.writer()?;
        let result = work(&writer.connection);
        if let Err(error) = &result
            && writer.connection.is_autocommit()
        {
            // The engine undid the outer transaction, not just this statement: nothing is left of this turn nor of the group.
            writer.tell_group(&Err(CommitFailure::RolledBack(EngineError::new(format!(
                "the group was rolled back: {error}"
            )))));
            self.own = Own::Nothing;
        }
        result
    }

    fn writer(&mut self) -> Result<&mut Writer, StoreError> {
        let writer = self.writer.as_mut().ok_or(StoreError::Aborted)?;
        Ok(writer.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        let mut writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        match self.own {
            Own::Nothing => {}
            Own::Outer => writer.roll_back_outer(),
            Own::Savepoint => {
                let undone = control(&writer.connection, "ROLLBACK TO member");
                if undone.and_then(|()| control(&writer.connection, "RELEASE member")).is_err() {
                    writer.tell_group(&Err(CommitFailure::RolledBack(EngineError::new(
                        "a savepoint could not be undone",
                    ))));
                    writer.roll_back_outer();
                }
            }
        }
        self.lane.pass_on(writer);
    }
}

impl Writer {
    fn begin_outer(&mut self) -> Result<(), StoreError> {
        control(&self.connection, "BEGIN IMMEDIATE")
    }

    /// Commits the outer transaction and tells the group.
    fn commit_group(&mut self, commits: &AtomicU64) {
        if !self.group.is_empty() {
            let result = self.commit(commits);
            self.tell_group(&result);
        }
    }

    fn commit(&mut self, commits: &AtomicU64) -> Result<(), CommitFailure> {
        if self.connection.is_autocommit() {
            return Err(CommitFailure::RolledBack(EngineError::new("the transaction was rolled back by the engine")));
        }
        match blocking(|| control(&self.connection, "COMMIT")) {
            Ok(()) => {
                commits.fetch_add(1, SeqCst);
                Ok(())
            }
            Err(error) => {
                self.roll_back_outer();
                Err(CommitFailure::Unknown(EngineError::new(format!("commit failed: {}", Causes(&error)))))
            }
        }
    }

    fn tell_group(&mut self, result: &Result<(), CommitFailure>) {
        for member in self.group.drain(..) {
            // A member that no longer listens has given up on the answer, not on its work.
            let _ = member.send(result.clone());
        }
    }

    /// INVARIANT: after this the connection is in no transaction; if the engine cannot leave one, a new connection replaces it.
    fn roll_back_outer(&mut self) {
        if self.connection.is_autocommit() || control(&self.connection, "ROLLBACK").is_ok() {
            return;
        }
        match connect(&self.path, Access::Write) {
            Ok(connection) => self.connection = connection,
            Err(error) => tracing::error!(%error, "the writer connection cannot be replaced"),
        }
    }
}

/// An error with its sources, in one line.
struct Causes<'e>(&'e dyn std::error::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, future::Future, pin::Pin, task::Poll, time::Duration};

    use super::*;
    use crate::{AuditEntry, Store, StoreConfig, Tx, Write, sqlite::Sqlite, store::tests::sqlite_of};

    const INSERT: &str = "INSERT INTO thing (id) VALUES ($1)";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writers_share_commits_and_all_are_on_disk() {
        let world = World::new().await;
        let before = world.commits();
        let first = world.store.write().await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for id in 1..=64_i64 {
            let store = world.store.clone();
            writers.spawn(async move { insert(&store, id).await });
        }
        while world.engine.lane.waiting.load(SeqCst) < 64 {
            tokio::task::yield_now().await;
        }
        commit(first).await;
        writers.join_all().await;
        let commits = world.commits() - before;
        assert!(commits <= 3, "65 writers used {commits} commits");
        // A copy of the files as they are now is what a crash would leave.
        assert_eq!(world.copy_as_crashed().await, (1..=64).collect::<Vec<i64>>());
    }

    #[tokio::test]
    async fn lone_writer_commits_at_once() {
        let world = World::new().await;
        let before = world.commits();
        for id in 0..10 {
            insert(&world.store, id).await;
        }
        assert_eq!(world.commits() - before, 10);
    }

    /// Nothing is acknowledged, and nothing visible, before the common commit.
    #[tokio::test]
    async fn member_waits_for_the_common_commit() {
        let world = World::new().await;
        let mut a = world.store.write().await.unwrap();
        a.execute(INSERT, &[1.into()]).await.unwrap();
        let mut asks = Box::pin(world.store.write());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let entry = entry();
        let mut a = Box::pin(a.commit(&entry));
        assert!(poll_once(a.as_mut()).await.is_none());
        let mut b = asks.await.unwrap();
        b.execute(INSERT, &[2.into()]).await.unwrap();
        assert!(poll_once(a.as_mut()).await.is_none());
        assert_eq!(world.ids().await, Vec::<i64>::new());
        assert_eq!(world.copy_as_crashed().await, Vec::<i64>::new());

        commit(b).await;
        a.await.unwrap();
        assert_eq!(world.ids().await, [1, 2]);
    }

    #[tokio::test]
    async fn member_that_rolls_back_takes_nobody_along() {
        let world = World::new().await;
        let mut a = world.store.write().await.unwrap();
        a.execute(INSERT, &[1.into()]).await.unwrap();
        let mut asks = Box::pin(world.store.write());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let entry = entry();
        let mut a = Box::pin(a.commit(&entry));
        assert!(poll_once(a.as_mut()).await.is_none());
        let mut b = asks.await.unwrap();
        b.execute(INSERT, &[2.into()]).await.unwrap();
        drop(b);
        a.await.unwrap();
        assert_eq!(world.ids().await, [1]);
    }

    /// The one that was to commit for both gives up while queued, or when it has just been given the lane.
    #[tokio::test]
    async fn member_is_committed_when_the_one_behind_gives_up() {
        let world = World::new().await;
        let a = world.store.write().await.unwrap();
        let mut asks = Box::pin(world.store.write());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let entry = entry();
        let mut a = Box::pin(a.commit(&entry));
        assert!(poll_once(a.as_mut()).await.is_none());
        drop(asks);
        tokio::time::timeout(Duration::from_secs(3), a).await.expect("nobody committed the group").unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn giving_up_at_any_moment_leaves_nobody_waiting() {
        let world = World::new().await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..400_i64 {
            let store = world.store.clone();
            tasks.spawn(async move {
                let patience = Duration::from_micros(u64::try_from(number).unwrap() * 37 % 3_000);
                match number % 4 {
                    0 => drop(tokio::time::timeout(patience, insert(&store, number)).await),
                    1 => drop(store.write().await.unwrap()),
                    2 if number % 8 == 2 => drop(store.policy().await.unwrap().commit(&entry(), &[]).await.unwrap()),
                    _ => insert(&store, number).await,
                }
            });
        }
        tokio::time::timeout(Duration::from_secs(20), tasks.join_all()).await.expect("somebody waits for ever");
        let ids = world.ids().await;
        assert!((0..400).filter(|number| number % 4 == 3).all(|number| ids.contains(&number)));
        assert!(ids.iter().all(|number| number % 4 != 1));
    }

    #[tokio::test]
    async fn policy_change_commits_alone() {
        let world = World::new().await;
        let a = world.store.write().await.unwrap();
        let mut asks = Box::pin(world.store.policy());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let (before, one, two) = (world.commits(), entry(), entry());
        let mut a = Box::pin(a.commit(&one));
        assert!(poll_once(a.as_mut()).await.is_none());
        let policy = asks.await.unwrap();
        // The group before it is on disk once it begins.
        a.await.unwrap();
        assert_eq!(world.commits() - before, 1);
        let mut behind = Box::pin(world.store.write());
        assert!(poll_once(behind.as_mut()).await.is_none());
        assert_eq!(policy.commit(&two, &[]).await.unwrap(), 1);
        assert_eq!(world.commits() - before, 2);
        assert_eq!(behind.await.unwrap().revision(), 1);
    }

    /// As the engine does itself on a full disk: the outer transaction is gone, for all in it.
    #[tokio::test]
    async fn loss_of_the_outer_transaction_is_told_to_all() {
        let world = World::new().await;
        let mut a = world.store.write().await.unwrap();
        a.execute(INSERT, &[1.into()]).await.unwrap();
        let mut asks = Box::pin(world.store.write());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let (one, two) = (entry(), entry());
        let mut a = Box::pin(a.commit(&one));
        assert!(poll_once(a.as_mut()).await.is_none());
        let mut b = asks.await.unwrap();
        b.execute(INSERT, &[2.into()]).await.unwrap();
        let error = b.execute("INSERT OR ROLLBACK INTO thing (id) VALUES (1)", &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unique { .. }), "{error:?}");
        assert!(matches!(b.execute(INSERT, &[3.into()]).await, Err(StoreError::Aborted)));
        assert!(matches!(b.commit(&two).await, Err(StoreError::Aborted)));
        assert!(matches!(a.await, Err(StoreError::Engine(_))));
        assert_eq!(world.ids().await, Vec::<i64>::new());
        insert(&world.store, 4).await;
        assert_eq!(world.ids().await, [4]);
    }

    /// A deferred constraint, which migrations may not have, makes `COMMIT` itself fail.
    #[tokio::test]
    async fn failure_of_the_common_commit_is_told_to_all() {
        let world = World::new().await;
        let mut tx = world.store.write().await.unwrap();
        tx.execute("CREATE TABLE child (id INTEGER REFERENCES thing (id) DEFERRABLE INITIALLY DEFERRED)", &[])
            .await
            .unwrap();
        commit(tx).await;
        let mut a = world.store.write().await.unwrap();
        a.execute(INSERT, &[1.into()]).await.unwrap();
        let mut asks = Box::pin(world.store.write());
        assert!(poll_once(asks.as_mut()).await.is_none());
        let (one, two) = (entry(), entry());
        let mut a = Box::pin(a.commit(&one));
        assert!(poll_once(a.as_mut()).await.is_none());
        let mut b = asks.await.unwrap();
        b.execute("INSERT INTO child (id) VALUES (99)", &[]).await.unwrap();
        assert!(matches!(b.commit(&two).await, Err(StoreError::CommitUnknown(_))));
        assert!(matches!(a.await, Err(StoreError::CommitUnknown(_))));
        assert_eq!(world.ids().await, Vec::<i64>::new());

        let mut policy = world.store.policy().await.unwrap();
        policy.execute("INSERT INTO child (id) VALUES (99)", &[]).await.unwrap();
        let published = AtomicU64::new(0);
        let result = policy.commit_publishing(&entry(), &[], |_| published.store(1, SeqCst)).await;
        assert!(matches!(result, Err(StoreError::CommitUnknown(_))));
        assert_eq!(published.load(SeqCst), 0);
        insert(&world.store, 4).await;
        assert_eq!(world.ids().await, [4]);
    }

    #[tokio::test]
    async fn panic_in_a_publication_frees_the_lane() {
        let world = World::new().await;
        let store = world.store.clone();
        let publishing = async move {
            store.policy().await.unwrap().commit_publishing(&entry(), &[], |_| panic!("on purpose")).await
        };
        assert!(tokio::spawn(publishing).await.unwrap_err().is_panic());
        insert(&world.store, 1).await;
        assert_eq!(world.store.read().await.unwrap().revision(), 1);
    }

    struct World {
        store: Store,
        engine: Arc<Sqlite>,
        dir: PathBuf,
    }

    impl World {
        async fn new() -> Self {
            let dir = std::env::temp_dir().join(format!("portcullis_lane_{}", unique()));
            fs::create_dir_all(&dir).unwrap();
            let store = Store::open(&StoreConfig::Sqlite { path: dir.join("data.db") }).await.unwrap();
            let mut tx = store.write().await.unwrap();
            tx.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY) STRICT", &[]).await.unwrap();
            commit(tx).await;
            let engine = sqlite_of(&store);
            Self { store, engine, dir }
        }

        fn commits(&self) -> u64 {
            self.engine.lane.commits.load(SeqCst)
        }

        async fn ids(&self) -> Vec<i64> {
            ids(&self.store).await
        }

        async fn copy_as_crashed(&self) -> Vec<i64> {
            let to = self.dir.join(format!("crashed_{}", unique()));
            fs::create_dir_all(&to).unwrap();
            for name in ["data.db", "data.db-wal"] {
                fs::copy(self.dir.join(name), to.join(name)).unwrap();
            }
            ids(&Store::open(&StoreConfig::Sqlite { path: to.join("data.db") }).await.unwrap()).await
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    async fn ids(store: &Store) -> Vec<i64> {
        let mut tx = store.read().await.unwrap();
        tx.query("SELECT id FROM thing ORDER BY id", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get("id").unwrap())
            .collect()
    }

    async fn insert(store: &Store, id: i64) {
        let mut tx = store.write().await.unwrap();
        tx.execute(INSERT, &[id.into()]).await.unwrap();
        commit(tx).await;
    }

    async fn commit(tx: Tx<Write>) {
        tx.commit(&entry()).await.unwrap();
    }

    fn entry() -> AuditEntry {
        AuditEntry { id: unique(), ..AuditEntry::default() }
    }

    fn unique() -> String {
        use std::hash::{BuildHasher as _, RandomState};
        format!("{}_{:x}", std::process::id(), RandomState::new().hash_one(0))
    }

    async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
