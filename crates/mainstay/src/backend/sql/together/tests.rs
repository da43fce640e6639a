//! Who goes alone, who with others, and what each is told.
#![expect(clippy::disallowed_methods, reason = "a test may spawn")]

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{super::common::Expiry, *};
use crate::{clock::Clock, entry::Key, reply::Written};

/// An engine whose statements end when the test says so.
#[derive(Debug, Default)]
struct Scripted {
    together: std::sync::OnceLock<Together>,
    /// How the next statements end; when there is none, they succeed.
    ends: Mutex<VecDeque<Error>>,
    /// Statements wait while this is closed.
    gate: Gate,
    sent: Mutex<Vec<Vec<String>>>,
    alone: Mutex<Vec<String>>,
    given_back: AtomicUsize,
}

#[derive(Debug)]
struct Gate(tokio::sync::watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(tokio::sync::watch::Sender::new(true))
    }
}

impl Gate {
    async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

fn name(write: &Write) -> String {
    String::from_utf8(write.key.as_bytes().to_vec()).unwrap()
}

fn done() -> Outcome {
    Some(Reply::Written(Written { applied: true, ..Written::default() }))
}

impl Engine for Scripted {
    type Lease = ();

    fn underway_max(&self) -> usize {
        2
    }

    fn bytes_max(&self) -> usize {
        usize::MAX
    }

    async fn lease(&self, _: Deadline) -> Result<()> {
        Ok(())
    }

    fn give_back(&self, (): ()) {
        self.given_back.fetch_add(1, Ordering::Relaxed);
    }

    async fn send(&self, (): (), writes: &[Write], _: Deadline) -> Result<Vec<Result<Outcome>>> {
        self.sent.lock().unwrap().push(writes.iter().map(name).collect());
        self.gate.pass().await;
        match self.ends.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(writes.iter().map(|_| Ok(done())).collect()),
        }
    }

    async fn alone(&self, write: &Write, _: Deadline) -> Result<Outcome> {
        self.alone.lock().unwrap().push(name(write));
        self.gate.pass().await;
        match name(write).as_str() {
            "bad" => Err(Error::new(ErrorKind::InvalidArgument, "refused")),
            "late" => Ok(None),
            _ => Ok(done()),
        }
    }
}

fn engine() -> Arc<Scripted> {
    let engine = Arc::new(Scripted::default());
    engine.together.set(Together::start(&engine)).unwrap();
    engine
}

fn write(key: &str) -> Write {
    let change = Change::Set { value: Bytes::from_static(b"v"), expiry: Expiry::default() };
    Write { key: Key::from(key), change, mark: None }
}

fn call(engine: &Arc<Scripted>, key: &'static str, ms: u64) -> JoinHandle<Result<Outcome>> {
    let (engine, deadline) =
        (Arc::clone(engine), Clock::system().deadline_in(Duration::from_millis(ms)));
    tokio::spawn(async move {
        let write = write(key);
        let alone = engine.alone(&write, deadline);
        engine.together.get().unwrap().perform(write.clone(), alone, deadline).await
    })
}

/// Lets everybody go on as far as they get.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// As many under way as there may be, so that what comes now waits.
async fn busy(engine: &Arc<Scripted>) -> Vec<JoinHandle<Result<Outcome>>> {
    engine.gate.0.send_replace(false);
    let calls = vec![call(engine, "1", 1_000), call(engine, "2", 1_000)];
    settle().await;
    calls
}

async fn open(engine: &Arc<Scripted>) {
    engine.gate.0.send_replace(true);
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_without_company_goes_at_once_and_alone() {
    let engine = engine();
    for _ in 0..3 {
        assert_eq!(call(&engine, "k", 1_000).await.unwrap().unwrap(), done());
    }
    assert_eq!(*engine.alone.lock().unwrap(), ["k", "k", "k"]);
    assert!(engine.sent.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_others_are_under_way_goes_together() {
    let engine = engine();
    let mut calls = busy(&engine).await;
    calls.extend(["c", "b", "c", "a"].map(|key| call(&engine, key, 1_000)));
    settle().await;
    assert!(engine.sent.lock().unwrap().is_empty(), "two are under way");
    open(&engine).await;
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), done());
    }
    let sent = engine.sent.lock().unwrap().clone();
    assert_eq!(sent, [vec!["a", "b", "c"], vec!["c"]], "one row for each key");
    assert_eq!(*engine.alone.lock().unwrap(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_comes_back_together_and_ends_with_the_first_who_is_alone() {
    let engine = engine();
    let mut calls = busy(&engine).await;
    calls.extend(["a", "b"].map(|key| call(&engine, key, 1_000)));
    settle().await;
    open(&engine).await;
    for wave in [&["a", "b", "c"][..], &["a"], &["a"]] {
        calls.extend(wave.iter().map(|key| call(&engine, key, 1_000)));
        settle().await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), done());
    }
    let sent = engine.sent.lock().unwrap().clone();
    assert_eq!(
        sent,
        [vec!["a", "b"], vec!["a", "b", "c"], vec!["a"]],
        "nobody of a crowd goes before it"
    );
    assert_eq!(*engine.alone.lock().unwrap(), ["1", "2", "a"]);
}

#[tokio::test(start_paused = true)]
async fn what_came_to_nothing_is_tried_one_by_one() {
    let engine = engine();
    let first = busy(&engine).await;
    let calls = ["good", "bad", "late"].map(|key| call(&engine, key, 1_000));
    settle().await;
    engine.ends.lock().unwrap().push_back(Error::new(ErrorKind::InvalidArgument, "one is refused"));
    open(&engine).await;
    let [good, bad, late] = calls;
    assert_eq!(good.await.unwrap().unwrap(), done());
    let refused = bad.await.unwrap().unwrap_err();
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::InvalidArgument, "refused"));
    assert_eq!(late.await.unwrap().unwrap(), None, "overtaken, for its caller only");
    assert_eq!(engine.sent.lock().unwrap().len(), 1);
    assert_eq!(engine.alone.lock().unwrap().len(), first.len() + 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_any_more_keeps_others_only_for_its_time() {
    let engine = engine();
    engine.gate.0.send_replace(false);
    let deadline = Clock::system().deadline_in(Duration::from_secs(60));
    let together = engine.together.get().unwrap();
    let (writes, mut left) = (["1", "2"].map(write), Vec::new());
    for write in &writes {
        let alone = engine.alone(write, deadline);
        let mut call = Box::pin(together.perform(write.clone(), alone, deadline));
        assert!(futures_util::poll!(&mut call).is_pending());
        left.push(call);
    }
    engine.gate.0.send_replace(true);
    let begun = Clock::system().now();
    for key in ["a", "b"] {
        assert_eq!(call(&engine, key, 10_000).await.unwrap().unwrap(), done());
    }
    assert!(Clock::system().now() - begun <= PATIENCE);
    for call in left {
        assert_eq!(call.await.unwrap(), done());
    }
    assert!(together.shared.lock().underway.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_effect_is_everybodys_and_nothing_is_sent_again() {
    for (kind, effect) in [
        (ErrorKind::Disconnected, Effect::Unknown),
        (ErrorKind::Conflict, Effect::Unknown),
        (ErrorKind::WrongNode, Effect::None),
    ] {
        let engine = engine();
        let first = busy(&engine).await;
        let calls = ["a", "b"].map(|key| call(&engine, key, 1_000));
        settle().await;
        engine.ends.lock().unwrap().push_back(Error::new(kind, "gone").with_effect(effect));
        open(&engine).await;
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.effect()), (kind, effect));
        }
        assert_eq!(engine.sent.lock().unwrap().len(), 1);
        assert_eq!(engine.alone.lock().unwrap().len(), first.len());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_before_it_was_sent_is_not_sent() {
    let engine = engine();
    let first = busy(&engine).await;
    let (gone, late) = (call(&engine, "gone", 1_000), call(&engine, "late", 10));
    settle().await;
    gone.abort();
    let error = late.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
    open(&engine).await;
    for call in first {
        call.await.unwrap().unwrap();
    }
    assert!(engine.sent.lock().unwrap().is_empty());
    assert_eq!(engine.given_back.load(Ordering::Relaxed), 1, "the connection was not used");
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_after_it_was_sent_does_not_know_and_the_others_do() {
    let engine = engine();
    // Statements that take so long keep nobody from being sent.
    let first = busy(&engine).await;
    let (gone, impatient, patient) = (
        call(&engine, "gone", 1_000),
        call(&engine, "impatient", 100),
        call(&engine, "patient", 1_000),
    );
    tokio::time::sleep(PATIENCE * 3 / 2).await;
    assert_eq!(*engine.sent.lock().unwrap(), [["gone", "impatient", "patient"]]);
    gone.abort();
    let error = impatient.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    open(&engine).await;
    assert_eq!(patient.await.unwrap().unwrap(), done());
    for call in first {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_its_turn_back() {
    let engine = engine();
    for call in busy(&engine).await {
        call.abort();
    }
    settle().await;
    engine.gate.0.send_replace(true);
    assert_eq!(call(&engine, "k", 1_000).await.unwrap().unwrap(), done());
    assert_eq!(engine.alone.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_its_engine() {
    let engine = engine();
    let first = busy(&engine).await;
    let calls = ["a", "b"].map(|key| call(&engine, key, 1_000));
    open(&engine).await;
    for call in first.into_iter().chain(calls) {
        call.await.unwrap().unwrap();
    }
    let shared = Arc::downgrade(&engine.together.get().unwrap().shared);
    drop(engine);
    settle().await;
    assert!(shared.upgrade().is_none(), "nobody holds what was shared");
}
