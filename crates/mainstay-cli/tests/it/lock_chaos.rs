//! Locks while everything breaks: contenders over three processes enter sections and write under their tokens, and what
//! they did is counted by one clock. The short form runs with every test; MAINSTAY_LOCKS_SECONDS and MAINSTAY_LOCKS_MODE
//! are of the long one.
#![expect(clippy::disallowed_methods, reason = "processes and servers live in real time")]

use std::time::Duration;

use tokio::time::Instant;

use contender::Contenders;
use judge::Report;
use mode::{Fault, Mode};
use world::World;

mod clocks;
mod contender;
mod engines;
mod guest;
mod holder;
mod judge;
mod mode;
mod redis_py;
mod world;

/// The lease of the locks that are contended for.
const LEASE: Duration = Duration::from_secs(1);
/// Locks that are contended for.
const NAMES: usize = 2;
/// And one that others want.
const LOCKS: usize = NAMES + 1;
/// Longer than any recovery: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of faults of the longest run.
const FAULTS_MAX: usize = 10_000;

/// How long locks are contended for, by how many, while what breaks in turn. Each fault strikes once at least.
struct Run {
    mode: Mode,
    contenders: usize,
    time: Duration,
    faults: Vec<Fault>,
}

impl Run {
    fn short(mode: Mode, faults: &[Fault]) -> Self {
        Self { mode, contenders: 6, time: Duration::from_secs(3), faults: faults.to_vec() }
    }

    async fn report(self) -> Report {
        let mut world = World::start(self.mode).await;
        let contenders = Contenders::start(&world.doors(), self.mode, self.contenders).await;
        contenders.until_granted(Instant::now()).await;
        let begun = Instant::now();
        let mut recoveries = Vec::new();
        for fault in self.faults.iter().cycle().take(FAULTS_MAX) {
            if recoveries.len() >= self.faults.len() && begun.elapsed() >= self.time {
                break;
            }
            contenders.add(world.strike(*fault).await);
            let healed = Instant::now();
            contenders.until_granted(healed).await;
            recoveries.push((*fault, healed.elapsed()));
            tokio::time::sleep(LEASE).await;
        }
        let mut report = contenders.end(self.mode, begun.elapsed()).await;
        report.recoveries = recoveries;
        world.every_lock_is_free().await;
        println!("{report}");
        report
    }

    /// What holds in a mode that says that one holds a lock at a time, and that its tokens rise.
    async fn holds(self) {
        let report = self.report().await;
        assert!(report.grants > 0 && report.writes > 0, "{report}");
        assert_eq!(report.fenced_overlaps, 0, "{report}");
        assert_eq!(report.overlaps.len(), 0, "{report}");
        assert_eq!(
            (report.disorder, report.repeated, report.refused_holders),
            (0, 0, 0),
            "{report}"
        );
    }

    /// What holds in a mode that promises nothing but what the judge sees to.
    async fn safe_behind_the_judge(self) {
        let report = self.report().await;
        assert!(report.grants > 0 && report.writes > 0, "{report}");
        assert_eq!(report.fenced_overlaps, 0, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_database_is_killed() {
    Run::short(Mode::Record, &[Fault::DatabaseKilled, Fault::ProcessPaused]).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_in_mariadb_whose_server_is_killed_and_a_holder_stopped() {
    let faults = [Fault::DatabaseKilled, Fault::HolderStopped];
    Run::short(Mode::RecordMariaDb, &faults).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_while_clocks_are_wrong() {
    let faults = [Fault::ClockJumps, Fault::ClockDrifts, Fault::DatabaseDrifts];
    Run::short(Mode::Record, &faults).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_whose_replica_is_promoted_without_the_lock() {
    Run::short(Mode::Failover, &[Fault::RedisPromoted]).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_one_of_whose_processes_is_cut_off() {
    let faults = [Fault::CutOffFromDatabase, Fault::CutOffFromRedis];
    Run::short(Mode::Failover, &faults).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_whose_redis_forgets_and_a_process_dies() {
    Run::short(Mode::Quorum, &[Fault::RedisEmptied, Fault::ProcessKilled]).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_redis_that_forgets_is_safe_only_where_tokens_are_looked_at() {
    Run::short(Mode::Redis, &[Fault::RedisEmptied]).safe_behind_the_judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_process_that_is_killed_and_whose_clock_is_fast() {
    Run::short(Mode::Local, &[Fault::ProcessKilled, Fault::ClockDrifts]).holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_py_gives_a_lock_out_twice_when_a_replica_is_promoted() {
    let mut overlaps = 0;
    for _ in 0..10 {
        let run = Run::short(Mode::RedisPy, &[Fault::RedisPromoted]);
        overlaps += Run { contenders: 16, ..run }.report().await.overlaps.len();
        if overlaps > 0 {
            break;
        }
    }
    assert!(overlaps > 0, "the scenario in which the modes above hold has become harmless");
}

/// Sixteen contenders, every fault of a mode, in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: MAINSTAY_LOCKS_SECONDS for each of MAINSTAY_LOCKS_MODE, or for all"]
async fn long() {
    let text = |name: &str| std::env::var(format!("MAINSTAY_LOCKS_{name}")).ok();
    let seconds = text("SECONDS").map_or(60, |text| text.parse().unwrap());
    let wanted = text("MODE");
    for mode in Mode::ALL {
        if wanted.as_ref().is_some_and(|word| *word != mode.to_string()) {
            continue;
        }
        let (time, faults) = (Duration::from_secs(seconds), mode.faults().to_vec());
        let run = Run { mode, contenders: 16, time, faults };
        match mode {
            Mode::Redis => run.safe_behind_the_judge().await,
            Mode::RedisPy => drop(run.report().await),
            _ => run.holds().await,
        }
    }
}
