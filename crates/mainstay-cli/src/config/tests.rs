//! Loading: good and bad files with the exact error, the order of the layers, secrets that never show.

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;

use super::*;

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("mainstay-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_with(text: Option<&str>, env: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, String> {
    let scratch = Scratch::new();
    let path = text.map(|text| scratch.write("m.toml", text));
    let env = environment(env);
    let sources = Sources { file: path.as_deref(), flags, env: &env, searched: &[] };
    let short = format!("{}/", scratch.0.display());
    load(&sources).map_err(|problems| problems.to_string().replace(&short, ""))
}

fn load_text(text: &str) -> Result<Loaded, String> {
    load_with(Some(text), &[], &[])
}

fn refused(text: &str) -> String {
    load_text(text).err().unwrap_or_else(|| panic!("accepted: {text}"))
}

#[test]
fn nothing_configured_gives_the_defaults() {
    let loaded = load_with(None, &[], &[]).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.summary(), "built-in defaults");
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
        [resp]
        listen = "127.0.0.1:7000"
        [backends.redis]
        url = "redis://h:1"
        timeout = "250ms"
        breaker = { failures = 7, failure_rate = 1 }
        [backends.db]
        url = "postgres://h/d"
        inflight_max = 0x10
        [memory]
        max = "1MiB"
        [[route]]
        prefix = "a:"
        cache = ["redis"]
        record = "db"
        ttl_max = { redis = "1m" }
        [[route]]
        prefix = "b:"
        backends = ["redis", "memory"]
        select = "round_robin"
        [log]
        format = "json"
    "#;
    let settings = load_text(text).unwrap().settings;
    assert_eq!(settings.resp.listen.to_string(), "127.0.0.1:7000");
    assert_eq!(settings.backends["redis"].timeout(), Duration::from_millis(250));
    assert_eq!(settings.backends["redis"].breaker.failures, 7);
    assert_eq!(settings.backends["db"].inflight_max(), 16);
    assert_eq!(settings.memory.max, 1 << 20);
    assert_eq!(settings.routes.len(), 2);
    assert_eq!(settings.routes[0].ttl_max["redis"], Duration::from_secs(60));
    assert_eq!(settings.log.format, LogFormat::Json);
}

/// A file, and the error with its position, path and fix.
const BAD_FILES: &[(&str, &str)] = &[
    (
        "[resp]\nlisten = \"localhost\"",
        "m.toml:2:10: resp.listen: `localhost` is not ADDRESS:PORT, as in 127.0.0.1:6390",
    ),
    (
        "[backends.redis]\nulr = \"redis://h\"",
        "m.toml:2:1: backends.redis.ulr: is not a known key; did you mean `url`?",
    ),
    (
        "[backend.redis]\nurl = \"redis://h\"",
        "m.toml:1:2: backend: is not a known key; did you mean `backends`?",
    ),
    (
        "[log]\ncolour = true",
        "m.toml:2:1: log.colour: is not a known key; known are `format`, `level`",
    ),
    (
        "[limits]\ndeadline = 5",
        "m.toml:2:12: limits.deadline: 5 has no unit: a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d; write \"5s\" if that is what is meant",
    ),
    (
        "[limits]\ndeadline = \"5\"",
        "m.toml:2:12: limits.deadline: 5 has no unit: a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d; write \"5s\" if that is what is meant",
    ),
    (
        "[limits]\ndeadline = 5.5",
        "m.toml:2:12: limits.deadline: is a number; a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d",
    ),
    (
        "memory = { max = 64 }",
        "m.toml:1:18: memory.max: 64 has no unit: a size has a unit, as in 512KiB, 64MiB or 1GiB; write \"64MiB\" if that is what is meant",
    ),
    (
        "[memory]\nmax = \"64mb\"",
        "m.toml:2:7: memory.max: `64mb`: a size has a unit, as in 512KiB, 64MiB or 1GiB",
    ),
    ("[memory]\nmax = \"1B\"", "m.toml:2:7: memory.max: is at least 64KiB"),
    (
        "[log]\nformat = \"jsn\"",
        "m.toml:2:10: log.format: is one of `text`, `json`; did you mean `json`?",
    ),
    (
        "[backends.b]\nurl = \"redis://u:sekret@h:1x\"",
        "m.toml:2:7: backends.b.url: a port is a number from 1 to 65535",
    ),
    (
        "[backends.b]\nurl = \"postgres://h/db?sslmode=bogus\"",
        "m.toml:2:7: backends.b.url: sslmode is disable, allow, prefer, no-verify, require, verify-ca or verify-full",
    ),
    (
        "[log]\nlevel = \"loud\"",
        "m.toml:2:9: log.level: is off, error, warn, info, debug, trace, or a filter such as info,mainstay::exec=debug",
    ),
    ("[log]\nlevel = 3", "m.toml:2:9: log.level: is an integer; it takes a text in quotes"),
    (
        "[backends]\nredis = \"redis://h\"",
        "m.toml:2:9: backends.redis: is a text; it takes a table, as in [name]",
    ),
    (
        "[backends.r]\nurl = \"redis://h\"\ninflight_max = -1",
        "m.toml:3:16: backends.r.inflight_max: is at least 0",
    ),
    (
        "[backends.r]\nurl = \"redis://h\"\nbreaker = { failures = 99999999999 }",
        "m.toml:3:24: backends.r.breaker.failures: is at most 4294967295",
    ),
    (
        "[backends.r]\ntimeout = \"1s\"",
        "m.toml:1:11: backends.r.url: is missing; it says where the engine is",
    ),
    (
        "[backends.redis]\nurl = \"redis://h\"\n[[route]]\nprefix = \"a\"\nbackends = [\"memory\", \"rediss\"]",
        "m.toml:5:23: route[0].backends[1]: names `rediss`, which is not under [backends]; did you mean `redis`?",
    ),
    (
        "[backends.redis]\nurl = \"redis://h\"\nbreaker = { failures = 0 }",
        "m.toml:3:24: backends.redis.breaker.failures: is at least 1",
    ),
    (
        "[backends.redis]\nurl = \"redis://h\"\n[backends.redis.reconnect]\nmax = \"1ms\"",
        "m.toml:4:7: backends.redis.reconnect.max: is at least `base`",
    ),
    (
        "[backends.db]\nurl = \"sqlite:x\"\n[locks]\nmode = \"record\"\nbackends = [\"bd\"]",
        "m.toml:5:13: locks.backends[0]: names `bd`, which is not under [backends]; did you mean `db`?",
    ),
    (
        "[[route]]\n[route.source]\nquery = \"select 1\"",
        "m.toml:2:8: route[0].source: has no `backend`, which it needs",
    ),
    (
        "[backends.db]\nurl = \"sqlite:x\"\n[[route]]\nsource = { backend = \"dbb\", query = \"select 1\" }",
        "m.toml:4:22: route[0].source.backend: names `dbb`, which is not under [backends]; did you mean `db`?",
    ),
    (
        "[[route]]\nprefix = \"a\"\nbackends = [\"memory\"]\nrecord = \"memory\"",
        "m.toml:1:1: route[0]: is a record route (`record`, `cache`) or a failover route (`backends`), not both",
    ),
    (
        "[log]\nlevel = \"${LEVEL}\"",
        "m.toml:2:9: log.level: needs the environment variable LEVEL, which is not set; set it, or write `${LEVEL:-default}`",
    ),
    (
        "[log]\nlevel = \"${LEVEL\"",
        "m.toml:2:9: log.level: has a `${` without `}`; write `$${` for the two characters",
    ),
    (
        "[backends.db]\nurl = \"redis://h\"\nurl_file = \"/x\"",
        "m.toml:3:1: backends.db.url_file: stands beside `url`; give one of the two",
    ),
    (
        "[backends.db]\nurl_file = \"/nowhere/url\"",
        "m.toml:2:12: backends.db.url_file: /nowhere/url: No such file or directory (os error 2)",
    ),
];

#[test]
fn each_bad_file_is_refused_with_position_path_and_fix() {
    for (text, expected) in BAD_FILES {
        assert_eq!(refused(text), *expected, "{text}");
    }
}

#[derive(serde::Deserialize)]
struct BadFile {
    name: String,
    file: String,
    error: String,
}

#[test]
fn each_file_of_the_table_is_refused_as_it_says() {
    #[derive(serde::Deserialize)]
    struct Table {
        case: Vec<BadFile>,
    }
    let table: Table =
        toml::from_str(include_str!("../../tests/it/bad_input/config.toml")).unwrap();
    assert!(table.case.len() > 60);
    for case in table.case {
        assert_eq!(refused(&case.file), case.error, "{}", case.name);
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_are_read_or_refused_with_their_place() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/config");
    for seed in std::fs::read_dir(seeds).unwrap() {
        let text = std::fs::read_to_string(seed.unwrap().path()).unwrap();
        if let Err(error) = load_with(Some(&text), &[("SET", "127.0.0.1:7000")], &[]) {
            assert!(error.lines().all(|line| line.starts_with("m.toml:")), "{error}");
        }
    }
}

#[test]
fn what_is_not_toml_is_named_with_its_place_but_not_shown() {
    let error = refused("[backends.db]\nurl = \"postgres://u:hunter2@h\n");
    assert!(error.starts_with("m.toml:2:"), "{error}");
    assert!(error.contains("not TOML: ") && !error.contains("hunter2"), "{error}");
}

#[test]
fn every_problem_is_named_at_once() {
    let error = refused("[log]\ncolour = 1\nlevel = 2\n[http]\nlisten = 6391");
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn a_file_that_is_named_has_to_exist() {
    let env = Environment::new();
    let path = PathBuf::from("/nowhere/m.toml");
    let sources = Sources { file: Some(&path), flags: &[], env: &env, searched: &[] };
    let error = load(&sources).err().map(|problems| problems.to_string());
    let expected = "/nowhere/m.toml: cannot be read: No such file or directory (os error 2); \
                    write one with: mainstay config init /nowhere/m.toml";
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let text = "[log]\nlevel = \"error\"\n[limits]\ndeadline = \"1s\"\nkeys_max = 1\n[memory]\nmax = \"1MiB\"";
    let env = [
        ("MAINSTAY__LIMITS__DEADLINE", "2s"),
        ("MAINSTAY__LIMITS__KEYS_MAX", "2"),
        ("MAINSTAY_LOG", "warn"),
    ];
    let flag = Flag { flag: "--set", path: "limits.keys_max".to_owned(), text: "3".to_owned() };
    let loaded = load_with(Some(text), &env, &[flag]).unwrap();
    let limits = &loaded.settings.limits;
    assert_eq!((limits.keys_max, limits.deadline), (3, Duration::from_secs(2)));
    assert_eq!((loaded.settings.memory.max, limits.value_max), (1 << 20, 16 << 20));
    let effective = loaded.effective().unwrap();
    for (path, origin) in [
        ("limits.keys_max", "flag --set"),
        ("limits.deadline", "environment MAINSTAY__LIMITS__DEADLINE"),
        ("log.level", "environment MAINSTAY_LOG"),
        ("limits.value_max", "default"),
    ] {
        let found = effective.iter().find(|value| value.path == path).unwrap();
        assert_eq!(found.origin, origin, "{path}");
    }
    let memory = effective.iter().find(|value| value.path == "memory.max").unwrap();
    assert!(memory.origin.ends_with("m.toml:7:7"), "{}", memory.origin);
}

#[test]
fn the_environment_gives_every_type() {
    let env = [
        ("MAINSTAY__BACKENDS__MY_DB__URL", "sqlite:x.db"),
        ("MAINSTAY__BACKENDS__MY_DB__BREAKER__FAILURE_RATE", "0.25"),
        ("MAINSTAY__BACKENDS__MY_DB__HEDGE__ENABLED", "false"),
        ("MAINSTAY__BACKENDS__MY_DB__RETRY", r#"{"max": 1, "base": "5ms"}"#),
        ("MAINSTAY__ROUTE", r#"[{prefix = "a", record = "my_db", default = "12"}]"#),
        ("MAINSTAY__HTTP__ALLOWED_HOSTS", r#"["a.example"]"#),
        // A text stays a text, whatever it looks like.
        ("MAINSTAY__HTTP__TOKEN", "1234567890"),
    ];
    let settings = load_with(None, &env, &[]).unwrap().settings;
    let db = &settings.backends["my_db"];
    assert_eq!((db.breaker.failure_rate, db.hedge.enabled, db.retry.max), (0.25, false, 1));
    assert_eq!(settings.routes[0].default.as_deref(), Some("12"));
    assert_eq!(settings.http.allowed_hosts, ["a.example"]);
    assert_eq!(settings.http.token.as_deref(), Some("1234567890"));
}

#[test]
fn a_bad_variable_is_named() {
    for (variable, text, expected) in [
        (
            "MAINSTAY__BACKENDS__REDIS__ULR",
            "x",
            "environment MAINSTAY__BACKENDS__REDIS__ULR: backends.redis.ulr: is not a known key; \
             did you mean MAINSTAY__BACKENDS__REDIS__URL?",
        ),
        (
            "MAINSTAY__LIMIT__DEADLINE",
            "5s",
            "environment MAINSTAY__LIMIT__DEADLINE: limit: is not a known key; did you mean MAINSTAY__LIMITS__DEADLINE?",
        ),
        (
            "MAINSTAY__LIMITS__KEYS_MAX",
            "many",
            "environment MAINSTAY__LIMITS__KEYS_MAX: limits.keys_max: is a text; it takes an integer without quotes",
        ),
        (
            "MAINSTAY__HTTP__ALLOWED_HOSTS",
            "a,b",
            "environment MAINSTAY__HTTP__ALLOWED_HOSTS: http.allowed_hosts: is a text; it takes a list, \
             as in [\"a\", \"b\"]",
        ),
        (
            "DATABASE_URL",
            "mongodb://h/d",
            "environment DATABASE_URL: backends.db.url: begins with one of redis, rediss, valkey, redis+unix, \
             redis-sentinel, redis-cluster, postgres, mysql or sqlite, as in redis://127.0.0.1:6379",
        ),
    ] {
        let error = load_with(None, &[(variable, text)], &[]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

#[test]
fn two_variables_are_enough() {
    let both = [("REDIS_URL", "redis://h"), ("DATABASE_URL", "postgres://h/d")];
    let names = |text: Option<&str>| -> Vec<(String, String)> {
        let settings = load_with(text, &both, &[]).unwrap().settings;
        settings.backends.into_iter().map(|(name, backend)| (name, backend.url)).collect()
    };
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect()
    };
    assert_eq!(names(None), own(&[("db", "postgres://h/d"), ("redis", "redis://h")]));
    // A backend of the name lacks only the URL.
    assert_eq!(
        names(Some("[backends.redis]\ntimeout = \"1s\"")),
        own(&[("db", "postgres://h/d"), ("redis", "redis://h")])
    );
    // Another of the same kind is there already.
    assert_eq!(
        names(Some("[backends.cache]\nurl = \"redis://other\"")),
        own(&[("cache", "redis://other"), ("db", "postgres://h/d")])
    );
    // Also when its URL stands in a file.
    let scratch = Scratch::new();
    let file = scratch.write("url", "redis://other");
    let text = format!("[backends.cache]\nurl_file = {:?}", file.display().to_string());
    assert_eq!(names(Some(&text)), own(&[("cache", "redis://other"), ("db", "postgres://h/d")]));
    assert_eq!(
        names(Some("[backends.db]\nurl = \"sqlite:x\"")),
        own(&[("db", "sqlite:x"), ("redis", "redis://h")])
    );
}

#[test]
fn texts_are_interpolated() {
    let text = "[resp]\nlisten = \"${HOST:-127.0.0.1}:${PORT}\"\n[[route]]\nbackends = [\"memory\"]\ndefault = \"$${x}\"";
    let settings = load_with(Some(text), &[("PORT", "7001")], &[]).unwrap().settings;
    assert_eq!(settings.resp.listen.to_string(), "127.0.0.1:7001");
    assert_eq!(settings.routes[0].default.as_deref(), Some("${x}"));
}

#[test]
fn secrets_stand_in_files_and_a_higher_layer_replaces_them() {
    let scratch = Scratch::new();
    let secret = scratch.write("url", " redis://:hunter2@h:1 \n");
    let text = format!("[backends.redis]\nurl_file = {:?}", secret.display().to_string());
    let loaded = load_text(&text).unwrap();
    assert_eq!(loaded.settings.backends["redis"].url, "redis://:hunter2@h:1");
    let effective = loaded.effective().unwrap();
    let url = effective.iter().find(|value| value.path == "backends.redis.url").unwrap();
    assert_eq!(url.value, "redis://***@h:1");
    assert!(url.origin.starts_with("contents of ") && url.origin.ends_with("m.toml:2:12"));

    let env = [("MAINSTAY__BACKENDS__REDIS__URL", "redis://over")];
    let settings = load_with(Some(&text), &env, &[]).unwrap().settings;
    assert_eq!(settings.backends["redis"].url, "redis://over");
}

#[test]
fn the_template_is_accepted_as_it_is_and_with_every_example() {
    load_text(TEMPLATE).unwrap();
    let scratch = Scratch::new();
    let secret = scratch.write("secret", "0123456789abcdef");
    let uncommented: String = TEMPLATE
        .lines()
        .map(|line| {
            let code = line.strip_prefix("# ").unwrap_or(line);
            let is_code = code.starts_with('[')
                || code.split('#').next().is_some_and(|code| code.contains(" = "));
            if is_code && !code.contains("Without") {
                format!("{code}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let token = scratch.write("token", "fedcba9876543210");
    let text = uncommented
        .replace("/run/secrets/redis", &secret.display().to_string())
        .replace("/run/secrets/app-token", &token.display().to_string())
        .replace("/run/secrets/app", &secret.display().to_string())
        .replace("/run/secrets/mainstay", &secret.display().to_string());
    let settings = load_text(&text).unwrap().settings;
    assert_eq!((settings.backends.len(), settings.routes.len()), (2, 3));
    assert!(settings.routes[1].source.is_some());
    // What the template calls a default is one.
    let default = mainstay::config::BackendConfig::at("redis://127.0.0.1:6379/0");
    let redis = &settings.backends["redis"];
    assert_eq!(
        (redis.timeout(), redis.inflight_max()),
        (default.timeout(), default.inflight_max())
    );
    assert_eq!((&redis.breaker, &redis.health), (&default.breaker, &default.health));
    assert_eq!(&redis.reconnect, &default.reconnect);
    assert_eq!((settings.memory, settings.limits), Default::default());
}

/// Secrets are given by variables in JSON as in TOML, and what is wrong with one stands at its place.
#[test]
fn a_json_file_in_our_keys_has_its_variables_put_in() {
    let load = |text: &str| {
        let scratch = Scratch::new();
        let file = scratch.write("m.json", text);
        let env = environment(&[("TOKEN", "correct-horse")]);
        let loaded = load(&Sources { file: Some(&file), flags: &[], env: &env, searched: &[] });
        let short = format!("{}/", scratch.0.display());
        loaded.map_err(|problems| problems.to_string().replace(&short, ""))
    };
    let good = r#"{"http": {"token": "${TOKEN}", "allowed_hosts": ["${HOST:-h}"]},
        "route": [{"backends": ["memory"], "default": "$${x}"}]}"#;
    let Settings { http, routes, .. } = load(good).unwrap().settings;
    assert_eq!(http.token.as_deref(), Some("correct-horse"));
    assert_eq!((http.allowed_hosts[0].as_str(), routes[0].default.as_deref()), ("h", Some("${x}")));
    let problem = load(r#"{"http": {"token": "${OTHER}"}}"#).err().unwrap();
    assert!(
        problem.starts_with(
            "m.json:1:20: http.token: needs the environment variable OTHER, which is not set"
        ),
        "{problem}"
    );
}

/// Where it cannot be said whether a file is there, the next one is not taken for it.
#[test]
fn a_place_that_cannot_be_looked_at_is_an_error() {
    let scratch = Scratch::new();
    let circle = scratch.0.join("circle.toml");
    std::os::unix::fs::symlink("circle.toml", &circle).unwrap();
    let next = scratch.write("next.toml", "[log]\nlevel = \"warn\"\n");
    let env = environment(&[]);
    let of = |searched: &[PathBuf]| load(&Sources { file: None, flags: &[], env: &env, searched });
    let refused = of(&[circle.clone(), next.clone()]).err().unwrap().to_string();
    assert!(refused.contains("circle.toml: cannot be read: "), "{refused}");
    let absent = scratch.0.join("absent.toml");
    assert_eq!(of(&[absent, next.clone()]).unwrap().file, Some(next));
}

#[test]
fn the_schema_knows_the_kinds_and_the_twins() {
    let schema = schema();
    let backend = &schema["$defs"]["BackendConfig"]["properties"];
    assert_eq!(backend["url_file"]["type"][0], "string");
    assert!(backend["connect_timeout"]["pattern"].is_string());
    assert_eq!(schema["$defs"]["BackendConfig"]["additionalProperties"], false);
    assert_eq!(backend["connect_timeout"]["default"], "1s");
    let docs = docs::markdown();
    for expected in
        ["## `[backends.NAME]`", "## `[[route]]`", "| `breaker.failures` | integer | `5` |"]
    {
        assert!(docs.contains(expected), "{docs}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A secret that stands in any of the usual places, in a good file or one that is refused, is never shown.
    #[test]
    fn no_secret_is_ever_shown(secret in "S3CR[A-Z0-9]{8,12}", spot in 0_usize..9) {
        let scratch = Scratch::new();
        let file = scratch.write("secret", &format!("redis://:{secret}@h"));
        let text = match spot {
            0 => format!("[backends.db]\nurl = \"postgres://u:{secret}@h/d\""),
            1 => format!("[backends.db]\nurl_file = {:?}", file.display().to_string()),
            2 => format!("[backends.db]\nurl = \"mongo://u:{secret}@h/d\""),
            3 => format!("[backends.db]\nulr = \"postgres://u:{secret}@h/d\""),
            4 => format!("[backends.db]\nurl = \"redis://h\"\ntimeout = \"postgres://u:{secret}@h/d\""),
            5 => format!("[http]\ntoken = \"{secret}\"\nlisten = 5"),
            6 => format!("[backends.db]\nurl = \"postgres://u:{secret}@h/d"),
            7 => format!("[backends]\ndb = \"postgres://u:{secret}@h/d\""),
            _ => format!("[resp]\npassword = \"{secret}\"\n[http]\ntoken = \"{secret}\""),
        };
        let shown = match load_text(&text) {
            Ok(loaded) => {
                let toml = toml::to_string(&loaded.settings).unwrap();
                format!("{:?} {toml} {:?}", loaded.settings, loaded.effective().unwrap())
            }
            Err(error) => error,
        };
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
