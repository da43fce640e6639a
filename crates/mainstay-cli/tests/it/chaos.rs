//! The chaos suite. Its short form runs with every test; `cargo xtask chaos` runs the long one.

use std::{path::PathBuf, time::Duration};

use mainstay::config::Consistency;
use mainstay_testkit::chaos::{self, Fault, Options, Outcome, RecordKind};

fn options(seed: u64) -> Options {
    Options::new(env!("CARGO_BIN_EXE_mainstay"), seed)
}

/// Small enough for a machine that does much else at the same time.
fn short(seed: u64, faults: Vec<Fault>) -> Options {
    Options {
        time: Duration::from_secs(18),
        lease: Duration::from_secs(1),
        clients: 18,
        faults,
        ..options(seed)
    }
}

async fn passes(options: Options) {
    let outcome = chaos::run(options).await.unwrap();
    println!("{outcome}");
    keep(&outcome);
    assert!(outcome.passed(), "{:#?}", outcome.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_before_postgres() {
    passes(short(1, Vec::new())).await;
}

/// The long form: what the variables of `cargo xtask chaos` say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes to hours; run by cargo xtask chaos"]
async fn long() {
    let text = |name: &str| std::env::var(format!("MAINSTAY_CHAOS_{name}")).ok();
    let number = |name: &str| text(name).map(|text| text.parse::<u64>().unwrap());
    let (runs, first) = (number("RUNS").unwrap_or(1), number("SEED").unwrap_or(1));
    let mut failed = Vec::new();
    for seed in first..first + runs {
        let mut options = options(seed);
        options.time = Duration::from_secs(number("SECONDS").unwrap_or(60));
        options.record = text("RECORD").map_or(RecordKind::Postgres, |word| word.parse().unwrap());
        options.consistency = match text("CONSISTENCY").as_deref() {
            None | Some("strict") => Consistency::Strict,
            Some("bounded") => Consistency::Bounded,
            Some(other) => panic!("{other:?}: strict or bounded"),
        };
        let outcome = chaos::run(options).await.unwrap();
        println!("{outcome}");
        keep(&outcome);
        if !outcome.passed() {
            failed.push(seed);
        }
    }
    assert_eq!(failed, Vec::<u64>::new(), "these seeds failed");
}

/// Writes the report, and of a failed run the history, to a folder of the target.
fn keep(outcome: &Outcome) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos");
    std::fs::create_dir_all(&folder).unwrap();
    let Options { seed, record, consistency, .. } = &outcome.options;
    let name = format!("{record}-{consistency:?}-{seed}").to_lowercase();
    let report = serde_json::to_string_pretty(&outcome.json()).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), report).unwrap();
    if !outcome.passed() {
        std::fs::write(folder.join(format!("{name}.jsonl")), outcome.trace.jsonl()).unwrap();
    }
    println!("report: {}", folder.join(format!("{name}.json")).display());
}
