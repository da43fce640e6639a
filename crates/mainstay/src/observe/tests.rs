//! The observer over a bus, and the writer of the history's file.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    file::tests::{Scratch, full, hanging},
    history::tests::names,
    *,
};
use crate::{clock::Clock, event::Events, status::Health, task::Tasks};

struct Stand {
    clock: Clock,
    events: Events,
    observer: Observer,
    redis: Arc<str>,
}

impl Stand {
    fn new() -> Self {
        let clock = Clock::starting_at(1_000_000);
        let events = Events::new(clock.clone());
        let backends: Vec<_> = names().into_iter().map(|name| (name, false)).collect();
        let config = ObserveConfig::default();
        let observer = Observer::new(&config, &backends, clock.now(), Totals::default());
        let tap = observer.clone();
        events.set_tap(move |event| tap.on_event(event));
        Self { clock, events, observer, redis: "redis".into() }
    }

    fn health(&self, health: Health) {
        let kind = EventKind::Health { from: "?", to: health.as_str() };
        self.events.publish(Some(&self.redis), kind, "");
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn tick(&self) -> Vec<(usize, EventKind)> {
        self.observer.tick(self.clock.now(), self.clock.unix_ms(), Totals::default())
    }

    fn kpis(&self) -> Kpis {
        let state = self.observer.lock();
        state.kpis(self.clock.now(), Totals::default(), Standing::default())
    }

    fn kept(&self) -> HistoryStatus {
        self.observer.lock().kept.clone()
    }

    /// Starts the writer over this file.
    fn keep(&self, tasks: &Tasks, file: HistoryFile) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        self.observer.set_file(file.path(), file.rings(), 0, sender);
        let (observer, events) = (self.observer.clone(), self.events.clone());
        tasks.spawn_to_end(write(observer, events, tasks.clone(), queue, file));
    }
}

#[tokio::test(start_paused = true)]
async fn recoveries_are_measured_from_the_first_sign_of_life_and_averaged() {
    let stand = Stand::new();
    stand.health(Health::Up);
    assert_eq!(stand.kpis().recovery_time.met, None);
    for (outage, recovery) in [(100, 40), (10, 1)] {
        stand.health(Health::Down);
        stand.pass(outage - recovery).await;
        let connected = EventKind::Connection { connected: true, attempt: 1 };
        stand.events.publish(Some(&stand.redis), connected, "");
        stand.pass(recovery).await;
        stand.health(Health::Up);
        let figure = stand.kpis().recovery_time;
        assert_eq!((figure.value, figure.met), (Some(recovery as f64), Some(recovery < 30)));
    }
    let state = stand.observer.lock();
    let resilience = state.resilience(&[], Totals::default());
    assert_eq!(resilience.recoveries, 2);
    assert_eq!(resilience.average_recovery, Some(Duration::from_millis(20_500)));
    let last = resilience.last_recovery.expect("two");
    assert_eq!((&*last.backend, last.outage), ("redis", Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn frequent_switches_are_told_once_and_end_by_themselves() {
    let stand = Stand::new();
    stand.health(Health::Up);
    let mut told = Vec::new();
    for _ in 0..8 {
        stand.health(Health::Down);
        stand.health(Health::Up);
        told.extend(stand.tick());
        stand.pass(10).await;
    }
    assert_eq!(told, [(0, EventKind::Flapping { active: true, switches: 6 })]);
    let warning = "redis flaps: out of service 8 times in 5m";
    assert_eq!(stand.observer.lock().warnings(), [warning]);
    told.clear();
    for _ in 0..400 {
        stand.pass(1).await;
        told.extend(stand.tick());
    }
    assert_eq!(told, [(0, EventKind::Flapping { active: false, switches: 2 })]);
    assert!(stand.observer.lock().warnings().is_empty());
}

#[tokio::test]
async fn the_history_of_one_process_is_followed_by_that_of_the_next() {
    let scratch = Scratch::new();
    let mut expected = Vec::new();
    for _ in 0..2 {
        let (stand, tasks) = (Stand::new(), Tasks::new());
        let base = stand.events.base();
        expected.extend([(base + 1, "storage"), (base + 2, "health"), (base + 4, "storage")]);
        let (file, damaged) = HistoryFile::open(scratch.path(), stand.observer.rings()).unwrap();
        assert_eq!(damaged, 0);
        stand.keep(&tasks, file);
        stand.events.publish(None, EventKind::Storage { state: "open" }, "");
        stand.health(Health::Up);
        stand.events.publish(None, EventKind::Lock { state: "moved" }, "is no part of it");
        stand.events.publish(None, EventKind::Storage { state: "closing" }, "");
        assert!(tasks.close(Duration::from_secs(20)).await);
    }
    let (file, damaged) = HistoryFile::open(scratch.path(), Stand::new().observer.rings()).unwrap();
    let entries = file.rings().last(None, usize::MAX);
    let read: Vec<_> = entries.iter().map(|entry| (entry.id, &*entry.kind)).collect();
    assert_eq!((read, damaged), (expected, 0));
}

#[tokio::test]
async fn a_disk_that_fails_is_told_once_and_the_history_goes_on_in_memory() {
    let scratch = Scratch::new();
    let (stand, tasks) = (Stand::new(), Tasks::new());
    let mut listener = stand.events.subscribe();
    stand.keep(&tasks, full(scratch.path()));
    stand.health(Health::Up);
    let failing = async {
        while listener.recv().await.unwrap().kind != (EventKind::History { state: "memory" }) {}
    };
    tokio::time::timeout(Duration::from_secs(20), failing).await.unwrap();
    for _ in 0..10 {
        stand.health(Health::Down);
    }
    let kept = stand.kept();
    assert!(kept.file.is_none() && kept.reason.contains("cannot be written"), "{kept:?}");
    assert_eq!(stand.observer.history(Some("redis"), 100).len(), 11);
    assert_eq!(stand.observer.lock().warnings().len(), 1);
    assert!(tasks.close(Duration::from_secs(20)).await);
    let told = stand.events.since(0);
    let told = told.iter().filter(|event| matches!(event.kind, EventKind::History { .. }));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let stand = Stand::new();
    let (sender, queue) = mpsc::channel(2);
    let (path, rings) = (PathBuf::from("nowhere"), stand.observer.rings());
    stand.observer.set_file(&path, &rings, 0, sender);
    for _ in 0..5 {
        stand.health(Health::Up);
    }
    assert_eq!((stand.kept().dropped, queue.len()), (3, 2));
    assert_eq!(stand.observer.history(None, 100).len(), 5);
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_neither_events_nor_the_closing() {
    let scratch = Scratch::new();
    let (stand, tasks) = (Stand::new(), Tasks::new());
    let (file, pipe) = hanging(scratch.path());
    stand.keep(&tasks, file);
    for _ in 0..3000 {
        stand.health(Health::Up);
    }
    assert_eq!(stand.observer.history(Some("redis"), 1000).len(), 100);
    assert!(stand.kept().dropped > 0, "the queue is bounded");
    assert!(tasks.close(Duration::from_secs(20)).await, "it gives up");
    assert!(stand.kept().reason.contains("too slow"));
    // The thread that writes ends when the pipe is read.
    let mut pipe = std::fs::File::open(pipe).unwrap();
    let drained =
        tokio::task::spawn_blocking(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    assert!(drained.await.unwrap().unwrap() > 1 << 16);
}
