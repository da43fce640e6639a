//! The metrics: the rules of their format, their names, that they stay few, and what is made of them elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use mainstay::Storage;
use mainstay_server::{http::Api, resp::RespConfig};
use serde_json::{Value, json};

use super::support::{api, get, get_with, post_json, put};
use crate::resp::support::Server;

#[tokio::test]
async fn metrics_keep_the_rules_of_the_text_format() {
    let api = api().await;
    put(&api, "/v1/kv/secret-key", "1").await;
    get(&api, "/v1/kv/secret-key").await;
    let scrape = get(&api, "/metrics").await;
    assert_eq!(scrape.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!scrape.text().contains("secret-key"));
    let families = lint(scrape.text());
    for name in [
        "mainstay_breaker_state",
        "mainstay_backend_up",
        "mainstay_backend_request_duration_seconds",
        "mainstay_backend_calls_total",
        "mainstay_requests_total",
        "mainstay_fallback_total",
        "mainstay_inflight",
        "mainstay_queued",
        "mainstay_shed_total",
        "mainstay_reconnect_attempts_total",
        "mainstay_reconnects_total",
        "mainstay_stuck_resets_total",
        "mainstay_hedges_total",
        "mainstay_health",
        "mainstay_build_info",
        "mainstay_uptime_seconds",
        "mainstay_breaker_transitions_total",
        "mainstay_stale_served_total",
        "mainstay_recovery_duration_seconds",
        "mainstay_journal_entries",
        "mainstay_journal_oldest_age_seconds",
        "mainstay_locks_held",
        "mainstay_kpi_ratio",
        "mainstay_kpi_recovery_time_seconds",
        "mainstay_kpi_met",
        "mainstay_flapping",
    ] {
        assert!(families.contains(name), "{name}");
    }
    for line in [
        "mainstay_breaker_state{backend=\"memory\",state=\"closed\"} 1.0",
        "mainstay_breaker_state{backend=\"memory\",state=\"open\"} 0.0",
        "mainstay_backend_up{backend=\"memory\"} 1.0",
        "mainstay_requests_total{route=\"*\",op=\"read\",source=\"memory\",outcome=\"ok\"} 1",
        "mainstay_backend_request_duration_seconds_count{backend=\"memory\",op=\"write\",outcome=\"success\"} 1",
        "mainstay_stale_served_total{route=\"*\"} 0",
        "mainstay_kpi_ratio{kpi=\"error_rate\"} 0.0",
        "mainstay_kpi_met{kpi=\"error_rate\"} 1.0",
        "mainstay_recovery_duration_seconds_count{backend=\"memory\"} 0",
    ] {
        assert!(scrape.text().lines().any(|found| found == line), "{line}\n{}", scrape.text());
    }
    let scrape =
        get_with(&api, "/metrics", "accept", "application/openmetrics-text;version=1.0.0").await;
    assert!(
        scrape.header("content-type").starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(
        scrape.text().ends_with("# EOF\n")
            && scrape.text().contains("# TYPE mainstay_hedges counter")
    );
}

/// The rules of `promtool check metrics`, as far as they can be broken here. Returns the families.
fn lint(text: &str) -> BTreeSet<String> {
    let (mut types, mut helps, mut samples) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helps.contains(name), "{line}: TYPE without HELP");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: twice");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(samples.insert(sample.to_owned()), "{line}: twice");
            let name = sample.split('{').next().unwrap();
            let histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .any(|name| types.get(name).is_some_and(|kind| kind == "histogram"));
            assert!(histogram || types.contains_key(name), "{line}: no TYPE before");
        }
    }
    for (name, kind) in &types {
        assert!(name.starts_with("mainstay_"), "{name}");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(plain), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
        for word in [
            "_ms",
            "_milliseconds",
            "_bucket",
            "_sum",
            "_count",
            "_gauge",
            "_counter",
            "_histogram",
        ] {
            assert!(!name.ends_with(word), "{name}");
        }
    }
    histograms(text, &types);
    types.into_keys().collect()
}

/// Buckets rise, and the last one has them all.
fn histograms(text: &str, types: &BTreeMap<String, String>) {
    for name in types.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
        // Cumulative counts of one series, in the order of their bounds.
        let values = |part: &str| -> Vec<(String, f64)> {
            let lines = text.lines().filter(|line| line.starts_with(&format!("{name}_{part}{{")));
            lines
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(l, v)| (l.to_owned(), v.parse().unwrap()))
                .collect()
        };
        let (buckets, counts) = (values("bucket"), values("count"));
        assert_eq!(values("sum").len(), counts.len(), "{name}");
        let last: Vec<f64> = buckets
            .iter()
            .filter(|(labels, _)| labels.contains("le=\"+Inf\""))
            .map(|(_, v)| *v)
            .collect();
        assert_eq!(last, counts.iter().map(|(_, value)| *value).collect::<Vec<_>>(), "{name}");
        for pair in buckets.windows(2).filter(|pair| !pair[0].0.contains("+Inf")) {
            assert!(pair[0].1 <= pair[1].1, "{pair:?}");
        }
    }
}

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib").join(path)
}

/// What promtool says; none where there is no promtool. `cargo xtask test` installs it.
fn promtool(arguments: &[&str], folder: &Path, input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(said).unwrap()))
}

async fn scrape(api: &Api) -> String {
    get(api, "/metrics").await.text().to_owned()
}

/// Calls of many kinds, on many keys.
async fn load(storage: &Storage, keys: usize) {
    for number in 0..keys {
        let key = format!("key:{number}");
        storage.set(key.as_str(), "v").await.unwrap();
        storage.get(key.as_str()).await.unwrap();
        storage.increment(key.as_str(), 1).await.unwrap_err();
        storage.delete(key.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn a_scrape_under_load_passes_the_rules() {
    let api = api().await;
    let (done, storage) = (AtomicBool::new(false), api.storage().clone());
    let working = async {
        while !done.load(Ordering::Relaxed) {
            load(&storage, 20).await;
            // Memory answers at once: without this nobody else would get his turn.
            tokio::task::yield_now().await;
        }
    };
    let scraping = async {
        for _ in 0..3 {
            let wish = json!({ "state": "closed", "reason": "a test", "for": "1m" });
            post_json(&api, "/v1/backends/memory/breaker", &wish).await;
            let text = scrape(&api).await;
            lint(&text);
            if let Some((passed, said)) = promtool(&["check", "metrics"], &contrib(""), &text) {
                assert!(passed && said.is_empty(), "{said}");
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(working, scraping);
    let text = scrape(&api).await;
    let forced = "mainstay_breaker_transitions_total{backend=\"memory\",from=\"closed\",to=\"closed\",reason=\"forced\"} 3";
    assert!(text.lines().any(|line| line == forced), "{text}");
}

fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn keys_reasons_and_callers_make_no_series() {
    let api = api().await;
    let force = |reason: String| {
        let api = api.clone();
        async move {
            let wish = json!({ "state": "closed", "reason": reason, "for": "1m" });
            post_json(&api, "/v1/backends/memory/breaker", &wish).await;
        }
    };
    load(api.storage(), 1).await;
    force("before".to_owned()).await;
    drop(api.storage().try_lock("lock").await);
    let before = series(&scrape(&api).await);
    load(api.storage(), 10_000).await;
    let resp = Server::start(RespConfig::default(), api.storage().clone()).await;
    for number in 0..50 {
        let mut client = resp.client().await;
        client.ask(&format!("client setname client-{number}"), "+OK\r\n").await;
        client.ask(&format!("get by-resp:{number}"), "$-1\r\n").await;
        force(format!("reason {number}")).await;
        let agent = format!("client-{number}");
        get_with(&api, &format!("/v1/kv/by-http:{number}"), "user-agent", &agent).await;
        let lock = format!("lock:{number}");
        drop(api.storage().try_lock(lock.as_str()).await);
    }
    let after = series(&scrape(&api).await);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{} new ones: {new:?}", new.len());
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.match_indices("mainstay_").map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())]
    });
    words.collect()
}

/// Every expression of the dashboard, as Prometheus would get it.
fn expressions(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("expr", Value::String(text)) => {
                    let text = text.replace("$__rate_interval", "5m").replace("$backend", ".*");
                    vec![text.replace("$instance", ".*")]
                }
                _ => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let api = api().await;
    load(api.storage(), 1).await;
    let families = lint(&scrape(&api).await);
    let dashboard = std::fs::read_to_string(contrib("grafana/mainstay.json")).unwrap();
    let alerts = std::fs::read_to_string(contrib("prometheus/alerts.yml")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let asked = expressions(&dashboard);
    let text = asked.join("\n");
    for (file, names) in [("the dashboard", named(&text)), ("the alerts", named(&alerts))] {
        assert!(names.len() > 8, "{file}: {names:?}");
        for name in names {
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let there = families.contains(name) || histogram.is_some_and(|n| families.contains(n));
            assert!(there, "{file}: {name}");
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
    let rule = |(number, expr): (usize, &String)| json!({ "record": format!("panel:{number}"), "expr": expr });
    let rules: Vec<Value> = asked.iter().enumerate().map(rule).collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let arguments = ["check", "rules", "/dev/stdin"];
    if let Some((valid, said)) = promtool(&arguments, &contrib(""), &rules.to_string()) {
        assert!(valid, "{said}");
    }
}

#[tokio::test]
async fn the_page_lists_every_metric_and_no_other() {
    let api = api().await;
    load(api.storage(), 1).await;
    let families = lint(&scrape(&api).await);
    let page = contrib("../docs/observing.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: BTreeSet<String> = named(&page).into_iter().map(str::to_owned).collect();
    assert_eq!(listed, families);
}

#[test]
fn the_alerts_fire_when_they_should() {
    let folder = contrib("prometheus");
    let rules = std::fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        if let Some((passed, said)) = promtool(&arguments, &folder, "") {
            assert!(passed, "{arguments:?}: {said}");
        }
    }
}
