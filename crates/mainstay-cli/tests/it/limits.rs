//! The table of limits in `docs/limits.md`: no limit is missing, the defaults are those of the reference, the metrics exist.

use std::collections::BTreeMap;

use mainstay::config::BackendConfig;

use crate::support::{Scratch, Server};

const TABLE: &str = include_str!("../../../../docs/limits.md");
const REFERENCE: &str = include_str!("../../../../docs/reference/config.md");

/// The cells of each row of a table of five or four.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

/// Key and default of everything in the configuration.
fn defaults() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for section in REFERENCE.split("\n## `").skip(1) {
        let (head, body) = section.split_once('`').unwrap();
        let name = head.trim_matches(['[', ']']);
        for row in rows(body).filter(|row| row[0].starts_with('`')) {
            let default = if row[2].is_empty() { "none" } else { row[2] };
            found.insert(format!("{name}.{}", row[0].trim_matches('`')), default.to_owned());
        }
    }
    found
}

/// The default of what depends on the kind of the backend, which the reference leaves empty.
fn by_kind(key: &str) -> Option<String> {
    let of = |scheme: &str| BackendConfig::at(format!("{scheme}://127.0.0.1/db"));
    let [redis, sqlite, postgres, mysql] = ["redis", "sqlite", "postgres", "mysql"].map(of);
    match key {
        "backends.NAME.inflight_max" => {
            assert_eq!(postgres.inflight_max(), mysql.inflight_max());
            let [redis, sqlite, sql] = [redis, sqlite, mysql].map(|of| of.inflight_max());
            Some(format!("by kind: Redis {redis}, SQLite {sqlite}, PostgreSQL and MySQL {sql}"))
        }
        "backends.NAME.timeout" => {
            let [redis, sqlite, postgres, mysql] =
                [redis, sqlite, postgres, mysql].map(|of| of.timeout());
            assert!(sqlite == postgres && postgres == mysql);
            Some(format!("by kind: Redis `{redis:?}`, databases `{mysql:?}`"))
        }
        _ => None,
    }
}

fn is_limit(key: &str) -> bool {
    let Some((section, name)) = key.split_once('.') else { return false };
    let of_doors = ["resp", "http", "limits"].contains(&section);
    of_doors
        && name != "drain_max"
        && (name.ends_with("_max")
            || name.ends_with("_timeout")
            || name.contains("connections")
            || name == "deadline")
}

#[test]
fn every_limit_has_its_row_and_each_row_is_true() {
    let (defaults, scratch) = (defaults(), Scratch::new());
    let server = Server::start(&scratch);
    let metrics = get(&server.http, "/metrics");
    let mut listed = Vec::new();
    for row in rows(TABLE).filter(|row| row.len() == 5 && row[1].starts_with('`')) {
        let key = row[1].trim_matches('`');
        let default = by_kind(key).or_else(|| defaults.get(key).cloned());
        assert_eq!(default.as_deref(), Some(row[2]), "the default of {key}");
        for metric in row[4].split(", ").map(|metric| metric.trim_matches('`')) {
            let there = metrics.lines().any(|line| {
                line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{']))
                    || line.starts_with(&format!("# TYPE {metric} "))
            });
            assert!(there, "{key}: there is no {metric}");
        }
        listed.push(key);
    }
    for key in defaults.keys().filter(|key| is_limit(key)) {
        assert!(listed.contains(&key.as_str()), "{key} is not in docs/limits.md");
    }
    assert_eq!(server.stop(), Some(0));
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
