//! What a lower backend took for a higher one, when processes crash, and when there are several.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    backend::semantics::control::OVERFLOW,
    op::{DirtyRow, RecordOp},
    sync::rows::RIGHT,
};

/// One process's way to a server. Once it is cut nothing passes: that is how a crash looks from the server.
#[derive(Debug)]
struct Cable {
    server: Arc<Remote>,
    cut: Arc<AtomicBool>,
}

impl Cable {
    async fn carry(&self) {
        if self.cut.load(Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

impl Backend for Cable {
    fn engine(&self) -> &'static str {
        self.server.engine()
    }

    fn capabilities(&self) -> Capabilities {
        self.server.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.carry().await;
            self.server.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            self.carry().await;
            self.server.execute(op, deadline).await
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.carry().await;
            self.server.probe(depth, deadline).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A process, and what cuts it off.
struct Process {
    world: World,
    cut: Arc<AtomicBool>,
}

impl Process {
    async fn start(cache: &Arc<Remote>, record: &Arc<Remote>) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let cable = |server: &Arc<Remote>| {
            Arc::new(Cable { server: Arc::clone(server), cut: Arc::clone(&cut) })
                as Arc<dyn Backend>
        };
        let timeouts =
            BackendConfig { timeout: Some(Duration::from_millis(500)), ..BackendConfig::default() };
        let config = Config { routes: vec![failover_route()], ..Config::default() };
        let storage = Storage::builder(config)
            .backend("cache", cable(cache), timeouts.clone())
            .backend("db", cable(record), timeouts)
            .open()
            .await
            .unwrap();
        let world = World { storage, cache: Arc::clone(cache), record: Arc::clone(record) };
        Self { world, cut }
    }

    async fn crash(&self) {
        self.cut.store(true, Relaxed);
        // Nothing that it says passes any more; this only ends its tasks.
        self.world.storage.close(Duration::from_secs(1)).await;
    }

    async fn set(&self, key: &str, value: impl Into<Bytes>) {
        self.world.storage.set(key, value).await.unwrap();
    }
}

fn servers() -> (Arc<Remote>, Arc<Remote>) {
    (Remote::new(Durability::Volatile), Remote::new(Durability::Crash))
}

impl Remote {
    async fn control(&self, op: RecordOp) -> Reply {
        let deadline = Clock::system().deadline_in(Duration::from_secs(1));
        self.memory.execute(&Op::Record(op), deadline).await.unwrap()
    }

    async fn rows(&self) -> Vec<DirtyRow> {
        let op = RecordOp::Dirty { cache: OVERFLOW.into(), from: None, limit: 1000 };
        self.control(op).await.into_dirty().unwrap()
    }

    async fn until_no_rows(&self) {
        for _ in 0..10_000 {
            if self.rows().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("they stay: {:?}", self.rows().await);
    }

    /// The beacon of the rows' control row rises by as much.
    async fn raise(&self, by: u64) {
        let terms = crate::op::Terms { lease: RIGHT, mark: RIGHT, statement: RIGHT };
        let lease = RecordOp::Lease { cache: OVERFLOW.into(), terms, id: 1, dirty_max: 0 };
        let control = self.control(lease).await.into_lease().unwrap().control;
        let beacon = control.beacon + by;
        let raise = RecordOp::Raised { cache: OVERFLOW.into(), epoch: control.epoch, beacon };
        assert_eq!(self.control(raise).await.into_integer().unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_before_a_crash_is_moved_up_by_the_next_process() {
    let (cache, record) = servers();
    let first = Process::start(&cache, &record).await;
    for key in ["k", "gone", "n"] {
        first.set(key, "1").await;
    }
    cache.is(REFUSES);
    first.world.until("cache", Health::Down).await;
    first.set("k", "new").await;
    assert!(first.world.storage.delete("gone").await.is_ok());
    first.set("n", "41").await;
    assert_eq!(first.world.storage.increment("n", 1).await.unwrap(), 42);
    assert_eq!(record.rows().await.len(), 3);
    first.crash().await;
    let second = Process::start(&cache, &record).await;
    assert_eq!(second.world.value("k").await.as_deref(), Some("new"), "the lower one serves");
    assert_eq!(second.world.storage.status().overflowed_keys, 3);
    cache.is(WELL);
    second.world.until("cache", Health::Up).await;
    assert_eq!(second.world.value("gone").await, None);
    assert_eq!(second.world.storage.increment("n", 1).await.unwrap(), 43);
    let entry = second.world.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale, &*entry.source), (&b"new"[..], false, "cache"));
    record.until_no_rows().await;
    assert_eq!(
        (cache.holds("k").await.as_deref(), record.holds("k").await),
        (Some(&b"new"[..]), None)
    );
    assert_eq!(cache.holds("gone").await, None);
}

#[tokio::test(start_paused = true)]
async fn until_its_rows_could_be_listed_nothing_that_depends_on_them_is_served_as_fresh() {
    let (cache, record) = servers();
    let first = Process::start(&cache, &record).await;
    for key in ["k", "n", "over"] {
        first.set(key, "1").await;
    }
    cache.is(REFUSES);
    first.world.until("cache", Health::Down).await;
    for key in ["k", "n", "over"] {
        first.set(key, "2").await;
    }
    first.crash().await;
    cache.is(WELL);
    record.is(REFUSES);
    let second = Process::start(&cache, &record).await;
    let storage = &second.world.storage;
    second.world.until("cache", Health::Up).await;
    let entry = storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale, &*entry.source), (&b"1"[..], true, "cache"));
    let error = storage.increment("n", 1).await.unwrap_err();
    assert!(error.to_string().contains("before this process started"), "{error}");
    assert_eq!(error.effect(), Effect::None);
    second.set("over", "3").await;
    let entry = storage.get("over").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale), (&b"3"[..], false), "it is the last one");
    record.is(WELL);
    second.world.until("db", Health::Up).await;
    assert_eq!(second.world.value("k").await.as_deref(), Some("2"));
    assert_eq!(storage.increment("n", 1).await.unwrap(), 3);
    record.until_no_rows().await;
    assert_eq!(second.world.value("over").await.as_deref(), Some("3"));
}

/// One after the other and never both at once: so there is a last one.
#[tokio::test(start_paused = true)]
async fn what_several_processes_had_it_take_is_moved_up_once_and_in_its_last_state() {
    let (cache, record) = servers();
    let processes = [Process::start(&cache, &record).await, Process::start(&cache, &record).await];
    for round in 0..20_u64 {
        cache.is(REFUSES);
        for process in &processes {
            process.world.until("cache", Health::Down).await;
        }
        for step in 0..20_u64 {
            let writer = usize::try_from((round + step * step / 3) % 2).unwrap();
            processes[writer].set("k", format!("{round}-{step}")).await;
            processes[1 - writer].set(&format!("own {writer}"), format!("{round}-{step}")).await;
        }
        cache.is(WELL);
        for process in &processes {
            process.world.until("cache", Health::Up).await;
        }
        for process in &processes {
            assert_eq!(process.world.value("k").await, Some(format!("{round}-19")));
        }
        record.until_no_rows().await;
        assert_eq!(cache.holds("k").await, Some(format!("{round}-19").into()));
        processes[0].set("k", "direct").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(processes[1].world.value("k").await.as_deref(), Some("direct"));
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_another_process_moves_its_keys_are_left_to_it() {
    let (cache, record) = servers();
    let process = Process::start(&cache, &record).await;
    for key in ["k", "n"] {
        process.set(key, "1").await;
    }
    cache.is(REFUSES);
    process.world.until("cache", Health::Down).await;
    for key in ["k", "n"] {
        process.set(key, "2").await;
    }
    // Given back at the end of a move: even.
    record.raise(1).await;
    cache.is(WELL);
    process.world.until("cache", Health::Up).await;
    let storage = &process.world.storage;
    if record.rows().await.is_empty() {
        panic!("moved without the right to");
    }
    record.raise(2).await;
    let entry = storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale), (&b"1"[..], true));
    let error = storage.increment("n", 1).await.unwrap_err();
    assert!(error.to_string().contains("another process is moving"), "{error}");
    process.set("k", "3").await;
    assert_eq!(record.holds("k").await.as_deref(), Some(&b"3"[..]), "who moves begins anew");
    // The other one has crashed: its right ends.
    record.until_no_rows().await;
    assert_eq!(process.world.value("k").await.as_deref(), Some("3"));
    assert_eq!(storage.increment("n", 1).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_acknowledged_write_is_lost_whenever_the_process_crashes() {
    let (cache, record) = servers();
    let mut process = Process::start(&cache, &record).await;
    for round in 0..60_u64 {
        cache.is(REFUSES);
        process.world.until("cache", Health::Down).await;
        process.set("k", format!("{round}")).await;
        let (mut acked, mut sent) = (round.to_string(), round.to_string());
        cache.is(WELL);
        let writes = async {
            for step in 0_u64.. {
                sent = format!("{round}-{step}");
                process.set("k", sent.clone()).await;
                acked.clone_from(&sent);
            }
        };
        let life = Duration::from_micros(23_300 * round + 77);
        drop(tokio::time::timeout(life, writes).await);
        process.crash().await;
        // What was under way arrives.
        tokio::time::sleep(Duration::from_millis(10)).await;
        process = Process::start(&cache, &record).await;
        process.world.until("cache", Health::Up).await;
        process.world.until("db", Health::Up).await;
        record.until_no_rows().await;
        let found = process.world.value("k").await;
        assert!(
            found.as_ref() == Some(&acked) || found.as_ref() == Some(&sent),
            "{found:?}, {acked}, {sent}"
        );
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_backend_has_the_name_under_which_rows_are_kept() {
    let (_, record) = servers();
    let backend = Arc::clone(&record) as Arc<dyn Backend>;
    let builder = Storage::builder(Config::default());
    let error =
        builder.backend(OVERFLOW, backend, BackendConfig::default()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_could_not_be_deleted_does_not_outlive_the_next_write_above() {
    let (cache, record) = servers();
    let process = Process::start(&cache, &record).await;
    process.set("k", "1").await;
    cache.is(REFUSES_WRITES);
    process.set("k", "2").await;
    record.is(REFUSES_DRAINS);
    cache.is(WELL);
    assert_eq!(process.world.value("k").await.as_deref(), Some("2"));
    assert_eq!(record.rows().await.len(), 1, "moved, and still marked");
    record.is(WELL);
    process.set("k", "3").await;
    assert_eq!(record.rows().await, [], "it would bring the older value back after a crash");
    process.crash().await;
    let next = Process::start(&cache, &record).await;
    assert_eq!(next.world.value("k").await.as_deref(), Some("3"));
}
