//! A configuration that does not hold what it should fails its drill, and the report names the setting.

use serde_json::Value as Json;

use super::run;
use crate::support::Scratch;

const AWAY: &str = "name = 'away'\ndescription = 'x'\ntarget = 'db'\n\
                    thresholds = ['failed_reads == 0']\n[fault]\nkind = 'refuse'\n";

/// The settings that the report of a failed drill names.
#[track_caller]
fn settings(config: &str, args: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("weak.toml", config);
    scratch.write("away.toml", AWAY);
    let run = run(&scratch, &[&["--config", "weak.toml"], args].concat());
    assert_eq!(run.code, Some(99), "{}{}", run.stdout, run.stderr);
    let report: Json = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let name = report["scenario"]["name"].as_str().unwrap();
    let page = std::fs::read_to_string(scratch.path().join(format!("drill-{name}.html"))).unwrap();
    let advice = report["advice"].as_array().unwrap();
    let settings: Vec<String> =
        advice.iter().map(|advice| advice["setting"].as_str().unwrap().to_owned()).collect();
    assert!(settings.iter().all(|setting| page.contains(setting)));
    settings
}

#[test]
fn a_breaker_that_is_off_is_named() {
    let config = "[backends.redis]\nurl = 'redis://redis.example'\n\
         timeout = '30s'\nconnect_timeout = '30s'\nhedge = { enabled = false }\n\
         breaker = { failures = 1000000, calls_min = 1000000, failure_rate = 1.0, slow_rate = 1.0 }\n\
         health = { interval = '1m', timeout = '50s' }\n\
         [backends.db]\nurl = 'postgres://db.example/app'\n\
         [[route]]\ncache = ['redis']\nrecord = 'db'\n";
    let settings = settings(config, &["redis-hang"]);
    let expected = ["breaker.failures", "timeout", "hedge.enabled"];
    assert_eq!(settings, expected.map(|setting| format!("backends.redis.{setting}")));
}

#[test]
fn a_route_with_nothing_else_to_ask_is_named() {
    let config = "[backends.db]\nurl = 'sqlite:app.db'\n[[route]]\nrecord = 'db'\n";
    let settings = settings(config, &["./away.toml"]);
    let expected = ["route[0].cache", "route[0].on_record_down"];
    assert_eq!(settings, expected);
}

#[test]
fn a_promise_that_is_too_weak_is_named() {
    let config = "[backends.redis]\nurl = 'redis://redis.example'\n[[route]]\nbackends = ['redis', 'memory']\n";
    let settings = settings(config, &["redis-restart-empty", "--locks", "0"]);
    assert!(settings.contains(&"route[0].record".to_owned()), "{settings:?}");
}
