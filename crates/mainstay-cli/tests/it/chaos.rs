//! The chaos suite. Its short form runs with every test; `cargo xtask chaos` runs the long one.

use std::{path::PathBuf, time::Duration};

use mainstay::config::Consistency;
use mainstay_testkit::{
    chaos::{self, Fault, Options, Outcome, RecordKind, Summary},
    history::{Fate, Freshness, Outcome as History, Promise, Report},
};

fn options(seed: u64) -> Options {
    Options::new(env!("CARGO_BIN_EXE_mainstay"), seed)
}

/// Short leases, and breakers that look again soon: more faults in less time. Few clients, for a machine that does much
/// else at the same time.
fn short(seed: u64, faults: &[Fault]) -> Options {
    Options {
        time: Duration::from_secs(15),
        lease: Duration::from_secs(1),
        settings:
            "backends.redis.breaker.open = \"1s\"\nbackends.redis.breaker.open_max = \"2s\"\n\
                   backends.redis.reconnect.max = \"500ms\""
                .to_owned(),
        clients: 18,
        faults: faults.to_vec(),
        ..options(seed)
    }
}

async fn passes(mut options: Options) -> Outcome {
    options.logs = Some(folder_of(&options));
    let outcome = chaos::run(options).await.unwrap();
    println!("{outcome}");
    keep(&outcome);
    assert!(outcome.passed(), "{:#?}", outcome.problems);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_breaks_before_postgres() {
    passes(short(1, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_breaks_before_mariadb_under_a_bounded_route() {
    let (record, consistency) = (RecordKind::MariaDb, Consistency::Bounded);
    passes(Options { record, consistency, ..short(2, &[]) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_forgets_before_sqlite() {
    let faults = [
        Fault::RedisEmptied,
        Fault::RedisRolledBack,
        Fault::RedisLaggingReplica,
        Fault::RedisSplitBrain(1),
    ];
    passes(Options { record: RecordKind::Sqlite, ..short(3, &faults) }).await;
}

/// The oldest read of a run in which one process after the other does not reach Redis.
async fn one_sided(consistency: Consistency, seed: u64) -> (Outcome, u64) {
    let faults = [0, 1, 2].map(Fault::CutFromRedis);
    let time = Duration::from_secs(10);
    let outcome = passes(Options { consistency, time, ..short(seed, &faults) }).await;
    let oldest = outcome.oldest.values().max().copied().unwrap_or(0);
    (outcome, oldest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_from_redis_waits_so_that_nobody_reads_what_is_old() {
    let (outcome, oldest) = one_sided(Consistency::Strict, 4).await;
    assert_eq!(oldest, 0, "{outcome}");
    assert!(outcome.costs[0].1.writes > 0, "the one that was cut off wrote\n{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_bounded_route_others_read_what_is_old_for_a_lease_at_most() {
    let (outcome, oldest) = one_sided(Consistency::Bounded, 5).await;
    assert!(u128::from(oldest) <= outcome.options.lease.as_micros(), "{outcome}");
    assert!(outcome.costs[0].1.writes > 0, "the one that was cut off wrote\n{outcome}");
    // The same history does not pass for what a strict route promises: the suite finds out who claims too much.
    let mut claimed = outcome.trace;
    for op in &mut claimed.ops {
        if let Fate::Ok(History::Read(read), _) = &mut op.fate {
            read.freshness = Freshness::Linearizable;
        }
    }
    let report = Report::of(&claimed);
    assert_eq!(report.seen(Promise::Linearizable) > 0, oldest > 0, "{report}");
}

/// One failover: Sentinel's set has one replica.
async fn failover(seed: u64, fault: Fault) {
    passes(Options { sentinel: true, time: Duration::ZERO, ..short(seed, &[fault]) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_promotes_while_the_old_master_hangs_and_comes_back() {
    failover(6, Fault::SentinelPaused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_promotes_when_the_master_dies() {
    failover(7, Fault::SentinelKilled).await;
}

/// The long form: what the variables of `cargo xtask chaos` say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes to hours; run by cargo xtask chaos"]
async fn long() {
    let number = |name: &str| text(name).map(|text| text.parse::<u64>().unwrap());
    let (runs, first) = (number("RUNS").unwrap_or(1), number("SEED").unwrap_or(1));
    let seconds = number("SECONDS").unwrap_or(60);
    let mut summary = Summary::default();
    for seed in first..first + runs {
        let mut options = Options { time: Duration::from_secs(seconds), ..options(seed) };
        (options.record, options.consistency) = of_seed(seed);
        if let Some(word) = text("FAULT") {
            options.faults = Fault::all(3);
            options.faults.retain(|fault| fault.to_string().contains(&word));
        }
        options.logs = Some(folder_of(&options));
        let outcome = chaos::run(options).await.unwrap();
        println!("{outcome}");
        keep(&outcome);
        summary.add(&outcome);
    }
    println!("{summary}");
    let file = folder().join(format!("summary-{first}-{runs}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(&summary.json()).unwrap()).unwrap();
    println!("summary: {}", file.display());
    assert_eq!(summary.failed(), [0u64; 0], "these seeds failed");
}

fn text(name: &str) -> Option<String> {
    std::env::var(format!("MAINSTAY_CHAOS_{name}")).ok()
}

/// What is not asked for comes in turn.
fn of_seed(seed: u64) -> (RecordKind, Consistency) {
    let records = [RecordKind::Postgres, RecordKind::MariaDb, RecordKind::Sqlite];
    let record = records[usize::try_from(seed % 3).unwrap()];
    let consistency =
        if seed.is_multiple_of(2) { Consistency::Bounded } else { Consistency::Strict };
    let consistency = match text("CONSISTENCY").as_deref() {
        None => consistency,
        Some("strict") => Consistency::Strict,
        Some("bounded") => Consistency::Bounded,
        Some(other) => panic!("{other:?}: strict or bounded"),
    };
    (text("RECORD").map_or(record, |word| word.parse().unwrap()), consistency)
}

/// Where everything of all runs is kept.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos")
}

fn folder_of(options: &Options) -> PathBuf {
    let Options { seed, record, consistency, .. } = options;
    let folder = folder().join(format!("{record}-{consistency:?}-{seed}").to_lowercase());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes the report, and of a failed run the history.
fn keep(outcome: &Outcome) {
    let folder = folder_of(&outcome.options);
    let report = serde_json::to_string_pretty(&outcome.json()).unwrap();
    std::fs::write(folder.join("report.json"), report).unwrap();
    if !outcome.passed() {
        std::fs::write(folder.join("history.jsonl"), outcome.trace.jsonl()).unwrap();
    }
    println!("kept in {}", folder.display());
}
