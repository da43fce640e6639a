//! Drills as a person runs them: every fault on real servers and on what stands in for them, with short holds.

use serde_json::Value as Json;

use crate::support::{Run, Scratch};

mod catalog;
mod ended;
mod live;
mod observed;
mod weak;

/// What was promised, without what only a machine of one's own can keep: that nothing is late.
const PROMISES: &str =
    "thresholds = ['lost == 0', 'deleted_back == 0', 'stale_after == 0', 'unexplained == 0']\n";

/// Runs a scenario with a short hold and returns its report; what was promised has held.
#[track_caller]
fn passes(scenario: &str, args: &[&str]) -> Json {
    let scratch = Scratch::new();
    let shown = scratch.run(&["drill", "show", scenario]).ok();
    let others = shown.lines().filter(|line| !line.starts_with("thresholds"));
    let others: Vec<&str> = others.collect();
    scratch.write("drill.toml", &format!("{PROMISES}{}", others.join("\n")));
    let run = run(&scratch, &[&["./drill.toml"], args].concat());
    let report: Json = serde_json::from_str(&run.stdout).unwrap_or_default();
    let missed = report["thresholds"].as_array().into_iter().flatten();
    let missed: Vec<&Json> = missed.filter(|verdict| verdict["met"] == false).collect();
    let errors = &report["errors"];
    assert_eq!(run.code, Some(0), "{missed:?}\n{errors}\n{}", run.stderr);
    sound(&report);
    report
}

/// The same, and most requests were answered all the same.
#[track_caller]
fn serves_on(scenario: &str, args: &[&str]) -> Json {
    let report = passes(scenario, args);
    let (failed, requests) = (of(&report, "fault", "failed"), of(&report, "fault", "requests"));
    assert!(failed * 2 < requests, "{failed} of {requests} failed: {}", report["errors"]);
    report
}

/// Less than the usual load: the tests share their machine.
fn run(scratch: &Scratch, args: &[&str]) -> Run {
    run_for(scratch, "3s", args)
}

fn run_for(scratch: &Scratch, hold: &str, args: &[&str]) -> Run {
    let fixed = ["drill", "--for", hold, "--rate", "50", "--clients", "8", "--output", "json"];
    scratch.run(&[&fixed[..], args].concat())
}

/// What holds of every report.
#[track_caller]
fn sound(report: &Json) {
    assert_eq!(report["passed"], true);
    let phases = report["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(names, ["steady", "fault", "recovery", "after"]);
    for phase in phases.iter().filter(|phase| phase["phase"] != "recovery") {
        assert!(phase["requests"].as_u64().unwrap() > 0, "{phase}");
    }
    let words: Vec<&str> = timeline(report);
    assert!(words.contains(&"fault") && words.contains(&"healed"), "{words:?}");
    assert!(report["recovery_ms"].is_u64(), "{report}");
    assert!(report["verification"]["keys"].as_u64().unwrap() > 0);
}

fn timeline(report: &Json) -> Vec<&str> {
    let lines = report["timeline"].as_array().unwrap();
    lines.iter().map(|line| line["word"].as_str().unwrap()).collect()
}

/// A number of a phase.
fn of(report: &Json, phase: &str, name: &str) -> u64 {
    let phases = report["phases"].as_array().unwrap();
    phases.iter().find(|each| each["phase"] == phase).unwrap()[name].as_u64().unwrap()
}

fn failed(report: &Json, phase: &str) -> u64 {
    of(report, phase, "failed")
}

#[test]
fn redis_outage() {
    let report = serves_on("redis-outage", &[]);
    assert!(report["opened_ms"].is_u64());
    let places = report["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place["real"] == true), "{places:?}");
    let attempts: u64 = report["seconds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|second| second["backends"]["redis"]["attempts"].as_u64().unwrap_or(0))
        .sum();
    assert!(attempts > 0, "each attempt to reconnect is counted");
}

#[test]
fn redis_outage_with_nothing_installed() {
    let report = serves_on("redis-outage", &["--stand-ins", "--database", "sqlite"]);
    let places = report["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place["real"] == false), "{places:?}");
    assert!(report["notes"][0].as_str().unwrap().contains("Mainstay's RESP server"));
}

#[test]
fn redis_outage_before_mariadb() {
    let report = serves_on("redis-outage", &["--database", "mariadb"]);
    assert_eq!(report["places"][0]["engine"], "mysql");
}

#[test]
fn redis_hangs() {
    assert!(serves_on("redis-hang", &[])["opened_ms"].is_u64());
}

#[test]
fn redis_is_slow() {
    assert!(serves_on("redis-slow", &[])["opened_ms"].is_u64());
}

#[test]
fn redis_resets() {
    assert!(serves_on("redis-reset", &[])["opened_ms"].is_u64());
}

#[test]
fn redis_flaps() {
    let file = "name = 'quick-flap'\ndescription = 'x'\ntarget = 'redis'\nthresholds = ['lost == 0']\n\
                [fault]\nkind = 'flap'\ndown = '600ms'\nup = '500ms'\n";
    let scratch = Scratch::new();
    scratch.write("flap.toml", file);
    // Also on a machine that stands still for a second or two there is time for a second fault.
    let run = run_for(&scratch, "6s", &["./flap.toml"]);
    let report: Json = serde_json::from_str(&run.ok()).unwrap();
    sound(&report);
    let words = timeline(&report);
    assert!(words.iter().filter(|word| **word == "fault").count() >= 2, "{words:?}");
    assert!(words.contains(&"back"), "{words:?}");
}

#[test]
fn redis_has_another_password() {
    let report = serves_on("redis-auth", &[]);
    let lines = report["timeline"].to_string();
    assert!(lines.contains("NOAUTH") || lines.contains("WRONGPASS"), "{lines}");
}

#[test]
fn redis_has_another_password_with_nothing_installed() {
    serves_on("redis-auth", &["--stand-ins", "--database", "sqlite"]);
}

#[test]
fn redis_comes_back_empty() {
    let report = serves_on("redis-restart-empty", &[]);
    assert!(report["locks"]["granted"].as_u64().unwrap() > 0);
    assert_eq!(report["locks"]["overlaps"], 0);
}

#[test]
fn redis_comes_back_with_old_data() {
    let report = serves_on("redis-old-snapshot", &[]);
    assert_eq!(
        (&report["verification"]["stale"], &report["locks"]["overlaps"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn the_container_crashes() {
    serves_on("container-crash", &[]);
}

#[test]
fn the_network_is_parted() {
    assert!(serves_on("network-partition", &[])["opened_ms"].is_u64());
}

#[test]
fn the_database_is_away() {
    let report = passes("db-outage", &[]);
    assert!(failed(&report, "fault") > 0, "writes are refused");
    assert!(
        report["errors"].as_object().unwrap().keys().any(|kind| kind.starts_with("UNAVAILABLE db"))
    );
}

#[test]
fn the_file_is_away() {
    let report = passes("db-outage", &["--stand-ins", "--database", "sqlite"]);
    assert!(failed(&report, "fault") > 0, "writes are refused");
}

#[test]
fn the_database_is_slow() {
    passes("db-slow", &[]);
}

#[test]
fn everything_is_away() {
    let report = passes("all-down", &[]);
    assert_eq!(report["targets"], serde_json::json!(["db", "redis"]));
    assert!(failed(&report, "fault") > 0);
}
