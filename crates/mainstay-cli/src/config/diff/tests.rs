//! What differs, what results, and that the storage takes over exactly what the table calls live.

use std::collections::BTreeMap;

use super::*;
use crate::config::{
    Environment, Sources,
    load::load,
    model::schema,
    shape::{Field, Shape},
};

const BASE: &str = r#"
[backends.redis]
url = "redis://:first@127.0.0.1:1"
[backends.db]
url = "postgres://u:p@127.0.0.1:1/d"
[[route]]
prefix = "session:"
cache = ["memory", "redis"]
record = "db"
ttl = "30m"
[[route]]
prefix = "user:"
cache = ["redis"]
[route.source]
backend = "db"
query = "select 1"
[[route]]
prefix = "plain:"
backends = ["redis"]
"#;

fn loaded(text: &str) -> Loaded {
    let folder = std::env::temp_dir();
    let name = format!("mainstay-diff-{}-{}.toml", std::process::id(), number());
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let env: Environment = BTreeMap::new();
    let sources = Sources { file: Some(&path), flags: &[], env: &env, searched: &[] };
    let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    std::fs::remove_file(&path).unwrap();
    loaded
}

fn number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

fn shown(old: &str, new: &str) -> Vec<String> {
    diff(&loaded(old), &loaded(new)).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_differs_is_named_with_both_values_and_what_becomes_of_it() {
    let new = BASE
        .replace("ttl = \"30m\"", "ttl = \"1800s\"\nstale_if_error = \"10m\"")
        .replace("first@", "second@")
        + "[limits]\ndeadline = \"2s\"\n[http]\nlisten = \"127.0.0.1:7000\"\ntoken = \"correct-horse\"\n";
    assert_eq!(
        shown(BASE, &new),
        [
            r#"backends.redis.url: "redis://***@127.0.0.1:1" -> "redis://***@127.0.0.1:1" (needs a restart: the connections go to where they were opened)"#,
            r#"http.listen: "127.0.0.1:6391" -> "127.0.0.1:7000" (needs a restart: the socket stays where it was opened)"#,
            r#"http.token: not set -> "***" (applied)"#,
            r#"limits.deadline: "5s" -> "2s" (applied)"#,
            r#"route["session:"].stale_if_error: not set -> "10m" (applied)"#,
        ]
    );
}

#[test]
fn the_order_of_routes_and_the_way_of_writing_mean_nothing() {
    let moved = "[[route]]\nprefix = \"plain:\"\nbackends = [\"redis\"]\n";
    let rest = BASE.replace(moved, "");
    let (head, routes) = rest.split_once("[[route]]").unwrap();
    let new = format!("{head}{moved}[[route]]{routes}").replace("\"30m\"", "\"0.5h\"");
    assert_eq!(shown(BASE, &new), [""; 0]);
}

#[test]
fn what_comes_and_goes_is_one_change_each_and_stays_out_until_a_restart() {
    let new = BASE
        .replace("[[route]]\nprefix = \"plain:\"\nbackends = [\"redis\"]\n", "")
        .replace("ttl = \"30m\"", "ttl = \"1m\"")
        + "[[route]]\nprefix = \"new:\"\nbackends = [\"extra\"]\n[backends.extra]\nurl = \"redis://h\"\n";
    let (old, new) = (loaded(BASE), loaded(&new));
    let changes = diff(&old, &new).unwrap();
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            r#"backends.extra: not set -> "configured" (needs a restart: backends are opened at the start)"#,
            r#"route["new:"]: not set -> "configured" (needs a restart: which routes there are, and who serves them, is fixed while the storage is open)"#,
            r#"route["plain:"]: "configured" -> not set (needs a restart: which routes there are, and who serves them, is fixed while the storage is open)"#,
            r#"route["session:"].ttl: "30m" -> "1m" (applied)"#,
        ]
    );
    let merged = merged(&old, &new, &changes).unwrap();
    let prefixes: Vec<&str> = merged.settings.routes.iter().map(|r| r.prefix.as_str()).collect();
    assert_eq!(prefixes, ["session:", "user:", "plain:"]);
    assert_eq!(merged.settings.backends.len(), 2);
    assert_eq!(merged.settings.routes[0].ttl, Some(std::time::Duration::from_secs(60)));
    let left = diff(&merged, &new).unwrap();
    assert!(left.iter().all(|change| change.effect != Effect::Live) && left.len() == 3, "{left:?}");
}

/// A source, and how it learns of changes, comes and goes as a whole: half of one would not validate, and the rest of the file
/// is in force all the same.
#[test]
fn a_source_comes_and_goes_as_a_whole_and_holds_up_nothing_else() {
    const WITHOUT: &str = "[backends.db]\nurl = \"postgres://h/d\"\n[backends.redis]\nurl = \"redis://h\"\n\
        [[route]]\nprefix = \"user:\"\ncache = [\"redis\"]\nRECORD\n";
    let limits = "[limits]\ndeadline = \"2s\"\n";
    let record = WITHOUT.replace("RECORD", "record = \"db\"");
    let source = WITHOUT.replace("RECORD", "")
        + "[route.source]\nbackend = \"db\"\nquery = \"select 1\"\nempty_ttl = \"5s\"\n";
    let changes = format!("{source}[route.source.changes]\nlisten = \"c\"\n");
    for (old, new, key) in [
        (&record, &source, "route[\"user:\"].source"),
        (&source, &record, "route[\"user:\"].source"),
        (&changes, &record, "route[\"user:\"].source"),
        (&source, &changes, "route[\"user:\"].source.changes"),
        (&changes, &source, "route[\"user:\"].source.changes"),
    ] {
        let (old, new) = (loaded(old), loaded(&format!("{new}{limits}")));
        let changes = diff(&old, &new).unwrap();
        let waits: Vec<&str> = changes
            .iter()
            .filter(|change| change.effect != Effect::Live)
            .map(|change| change.key.as_str())
            .filter(|key| !key.ends_with(".record"))
            .collect();
        assert_eq!(waits, [key], "{changes:?}");
        let merged = merged(&old, &new, &changes).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(merged.settings.limits.deadline, std::time::Duration::from_secs(2));
        assert_eq!(merged.settings.routes, old.settings.routes);
        assert_eq!(old.settings.storage().needs_reopening(&merged.settings.storage()), None);
    }
}

/// The size of a pool follows `inflight_max` where nobody has said it, and the pool that is open does not.
#[test]
fn a_pool_that_would_be_another_is_named_and_stays() {
    let with = |text: &str| {
        let url = "url = \"postgres://u:p@127.0.0.1:1/d\"\n";
        loaded(&BASE.replace(url, &format!("{url}{text}")))
    };
    let (old, new) = (with("inflight_max = 5\n"), with("inflight_max = 20\n"));
    let changes = diff(&old, &new).unwrap();
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let waits =
        "backends.db.connections: 5 -> 20 (needs a restart: the pool was opened with its size)";
    assert_eq!(lines, [waits, "backends.db.inflight_max: 5 -> 20 (applied)"]);
    let merged = merged(&old, &new, &changes).unwrap_or_else(|problems| panic!("{problems}"));
    let db = &merged.settings.backends["db"];
    assert_eq!((db.connections(), db.inflight_max()), (5, 20));
    assert_eq!(old.settings.storage().needs_reopening(&merged.settings.storage()), None);
    let left: Vec<String> = diff(&merged, &new).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(left, [waits]);
    // What stays the same is no change, however it is said.
    assert_eq!(diff(&old, &with("inflight_max = 5\nconnections = 5\n")).unwrap(), []);
}

/// Another value of the key's kind, that validates beside the defaults.
fn other(path: &str, shape: &Shape) -> Option<String> {
    let special = match path {
        "resp.listen" | "http.listen" => Some("\"127.0.0.1:7001\""),
        "resp.password" | "http.token" => Some("\"correct-horse\""),
        "http.allowed_hosts" => Some("[\"a.example\"]"),
        "log.level" => Some("\"debug\""),
        "runtime.threads" => Some("3"),
        "traces.endpoint" => Some("\"http://127.0.0.1:4318\""),
        "resp.bulk_max" | "resp.output_max" => Some("\"100MiB\""),
        "resp.frame_max" => Some("\"200MiB\""),
        "resp.args_max" | "resp.pipeline_max" | "limits.key_max" => Some("100"),
        "http.header_max" => Some("\"64KiB\""),
        "limits.value_max" => Some("\"1MiB\""),
        "http.header_timeout" => Some("\"7s\""),
        "backends.redis.url" => Some("\"redis://127.0.0.1:2\""),
        "backends.redis.breaker.failure_rate" | "backends.redis.breaker.slow_rate" => Some("0.9"),
        "backends.redis.breaker.open" => Some("\"6s\""),
        "backends.redis.breaker.open_max" => Some("\"2m\""),
        "backends.redis.reconnect.max" => Some("\"9s\""),
        "backends.redis.reconnect.base" => Some("\"200ms\""),
        "backends.redis.retry.base" | "backends.redis.hedge.after_min" => Some("\"20ms\""),
        "backends.redis.retry.wait_max" | "backends.redis.hedge.patience" => Some("\"2s\""),
        "backends.redis.retry.max" | "consistency.lease" if path.ends_with("max") => Some("3"),
        "consistency.lease" | "locks.view" => Some("\"3s\""),
        "consistency.mark" => Some("\"9s\""),
        "locks.mode" => Some("\"redis\""),
        "locks.backends" => None?,
        _ => None,
    };
    Some(match (special, shape) {
        (Some(text), _) => text.to_owned(),
        (_, Shape::Duration) => "\"47s\"".to_owned(),
        (_, Shape::Size) => "\"77MiB\"".to_owned(),
        (_, Shape::Integer { .. }) => "77".to_owned(),
        (_, Shape::Number) => "0.77".to_owned(),
        (_, Shape::Text) => "\"other\"".to_owned(),
        (_, Shape::Choice(words)) => format!("{:?}", words.last().unwrap()),
        (_, Shape::Boolean) => return None,
        (_, Shape::List(_) | Shape::Map(_) | Shape::Table(_)) => return None,
    })
}

fn keys(path: &str, shape: &Shape, found: &mut Vec<(String, Shape)>) {
    match shape {
        Shape::Table(fields) => {
            for (key, Field { shape, .. }) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys(&path, shape, found);
            }
        }
        Shape::Map(inner) if path == "backends" => keys("backends.redis", inner, found),
        other => found.push((path.to_owned(), other.clone())),
    }
}

#[test]
fn the_storage_takes_over_exactly_what_the_table_calls_live() {
    let mut all = Vec::new();
    keys("", &Shape::of_document(&schema()), &mut all);
    let old = loaded(BASE);
    let mut tried = 0;
    for (path, shape) in all.iter().filter(|(path, _)| !path.ends_with("_file") && path != "route")
    {
        let Some(value) = other(path, shape) else { continue };
        let (table, key) = path.rsplit_once('.').unwrap();
        let setting = format!("{key} = {value}\n");
        let new =
            match BASE.strip_prefix("\n[backends.redis]\nurl = \"redis://:first@127.0.0.1:1\"\n") {
                Some(rest) if table == "backends.redis" && key == "url" => {
                    format!("[{table}]\n{setting}{rest}")
                }
                Some(rest) if table == "backends.redis" => {
                    format!("[{table}]\nurl = \"redis://:first@127.0.0.1:1\"\n{setting}{rest}")
                }
                _ => format!("{BASE}[{table}]\n{setting}"),
            };
        let new = loaded(&new);
        let changes = diff(&old, &new).unwrap();
        assert_eq!(changes.len(), 1, "{path}: {changes:?}");
        let fixed = old.settings.storage().needs_reopening(&new.settings.storage());
        // What stands before the storage is not its to refuse.
        let mine = !["resp", "http", "users", "tls", "runtime", "log", "traces"]
            .contains(&path.split('.').next().unwrap());
        if mine {
            assert_eq!(changes[0].effect == Effect::Live, fixed.is_none(), "{path}: {fixed:?}");
        }
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

/// Every key of a route and of its source that the schema knows, each with what is to be in its place.
fn keys_of_routes() -> Vec<(String, Shape)> {
    let Shape::Table(fields) = Shape::of_document(&schema()) else { panic!("a table") };
    let Shape::List(route) = &fields["route"].shape else { panic!("a list") };
    let mut found = Vec::new();
    keys("", route, &mut found);
    found
}

/// In the place of a key's line in `BASE`, or beside the others of its table.
fn with_key(path: &str, shape: &Shape) -> String {
    let key = path.rsplit('.').next().unwrap();
    let (before, setting) = match path {
        "prefix" => ("prefix = \"session:\"\n", "prefix = \"other:\"\n".to_owned()),
        "cache" => ("cache = [\"memory\", \"redis\"]\n", "cache = [\"redis\"]\n".to_owned()),
        "consistency" => (
            "cache = [\"memory\", \"redis\"]\n",
            "cache = [\"redis\"]\nconsistency = \"strict\"\n".to_owned(),
        ),
        "record" => ("record = \"db\"\n", "record = \"other\"\n".to_owned()),
        "backends" => ("backends = [\"redis\"]\n", "backends = [\"db\", \"redis\"]\n".to_owned()),
        "passthrough" => ("backends = [\"redis\"]\n", "passthrough = \"redis\"\n".to_owned()),
        "ttl" => ("ttl = \"30m\"\n", "ttl = \"1m\"\n".to_owned()),
        "ttl_max" => ("ttl = \"30m\"\n", "ttl = \"30m\"\nttl_max = { redis = \"1m\" }\n".to_owned()),
        "select" => {
            ("backends = [\"redis\"]\n", "backends = [\"redis\"]\nselect = \"priority\"\n".to_owned())
        }
        "source.backend" => ("backend = \"db\"\n", "backend = \"other\"\n".to_owned()),
        "source.query" => ("query = \"select 1\"\n", "query = \"select 2\"\n".to_owned()),
        "source.params" | "source.tags" => {
            ("query = \"select 1\"\n", format!("query = \"select 1\"\n{key} = [\"x{{1}}\"]\n"))
        }
        "source.rows" => ("query = \"select 1\"\n", "query = \"select 1\"\nrows = \"one\"\n".to_owned()),
        "source.changes.listen" => {
            ("query = \"select 1\"\n", "query = \"select 1\"\nchanges = { listen = \"c\" }\n".to_owned())
        }
        "source.changes.query" | "source.changes.from" | "source.changes.every" => (
            "query = \"select 1\"\n",
            "query = \"select 1\"\nchanges = { query = \"select 1\", from = \"7\", every = \"7s\" }\n".to_owned(),
        ),
        path => {
            let value = other(path, shape).unwrap_or_else(|| panic!("{path} needs a value here"));
            let anchor = if path.starts_with("source.") { "query = \"select 1\"\n" } else { "ttl = \"30m\"\n" };
            (anchor, format!("{anchor}{key} = {value}\n"))
        }
    };
    let base = format!("{BASE}[backends.other]\nurl = \"postgres://h/d\"\n");
    assert!(base.contains(before), "{path}");
    base.replacen(before, &setting, 1)
}

#[test]
fn the_keys_of_a_route_are_taken_over_as_the_table_says() {
    let old = loaded(&format!("{BASE}[backends.other]\nurl = \"postgres://h/d\"\n"));
    let all = keys_of_routes();
    assert!(all.len() > 20, "{all:?}");
    for (path, shape) in all {
        let new = loaded(&with_key(&path, &shape));
        let changes = diff(&old, &new).unwrap();
        assert!(!changes.is_empty(), "{path}");
        let live = changes.iter().all(|change| change.effect == Effect::Live);
        let fixed = old.settings.storage().needs_reopening(&new.settings.storage());
        assert_eq!(live, fixed.is_none(), "{path}: {changes:?} {fixed:?}");
        // The table and the storage agree of each key by itself, so what is taken over never needs reopening.
        let merged =
            merged(&old, &new, &changes).unwrap_or_else(|problems| panic!("{path}: {problems}"));
        assert_eq!(
            old.settings.storage().needs_reopening(&merged.settings.storage()),
            None,
            "{path}"
        );
    }
}
