//! Another format as it is, converted, and what is refused of it, with its place.

use serde_json::json;

use super::{super::file, *};

/// As the fourth text that Mainstay began with has it.
const CONFIG_JSON: &str = r#"{
  "redis": {
    "connection": {
      "host": "redis",
      "port": 6379,
      "maxRetries": 10,
      "retryDelay": 1000,
      "reconnectOnError": true,
      "lazyConnect": true,
      "keepAlive": 30000
    },
    "caching": {
      "ttl": 360,
      "keyPrefix": "user:",
      "defaultExpiry": 300
    },
    "resilience": {
      "stuckRetryThreshold": 50,
      "autoResetInterval": 30000,
      "connectionTimeout": 5000,
      "commandTimeout": 3000
    }
  }
}
"#;

#[test]
fn each_key_of_it_has_its_counterpart_or_a_reason_why_none() {
    let imported = convert("config.json", CONFIG_JSON, false).unwrap_or_else(|p| panic!("{p}"));
    let expected = r#"# Made from config.json by `mainstay config import`.

[backends.redis]
url = "redis://redis:6379"  # redis.connection.host, redis.connection.port
reconnect.base = "1s"  # redis.connection.retryDelay = 1000
reconnect.stuck_time = "30s"  # redis.resilience.autoResetInterval = 30000
timeout = "3s"  # redis.resilience.commandTimeout = 3000
connect_timeout = "5s"  # redis.resilience.connectionTimeout = 5000
reconnect.stuck_after = 50  # redis.resilience.stuckRetryThreshold = 50

[[route]]
prefix = "user:"  # redis.caching.keyPrefix = "user:"
ttl = "6m"  # redis.caching.ttl = 360
backends = ["redis"]

# All other keys.
[[route]]
ttl = "5m"  # redis.caching.defaultExpiry = 300
backends = ["redis"]

# A database as the truth behind Redis: add it, and in each route write `cache = ["redis"]` and
# `record = "db"` in the place of `backends`.
# [backends.db]
# url = "${DATABASE_URL}"

# Without a counterpart, for nothing has to be set:
# redis.connection.keepAlive: connections are probed every `health.interval` (5s), which finds a dead one sooner
# redis.connection.lazyConnect: it connects in the background at the start, and serves without Redis until it is there
# redis.connection.maxRetries: a lost connection is tried again for ever, each attempt visible in the events
# redis.connection.reconnectOnError: it always reconnects by itself
"#;
    assert_eq!(imported.toml("config.json", false), expected);
    assert_eq!(imported.notes.len(), 14, "{:#?}", imported.notes);
    assert_eq!(
        imported.notes[3],
        "config.json:7:7: redis.connection.retryDelay = 1000: backends.redis.reconnect.base = \"1s\""
    );
}

#[test]
fn what_it_becomes_is_what_its_toml_says() {
    for with_db in [false, true] {
        let env = match with_db {
            true => [("DATABASE_URL".to_owned(), "postgres://h/d".to_owned())].into(),
            false => Environment::new(),
        };
        let (layer, _) = read("c.json", CONFIG_JSON, &env).unwrap_or_else(|p| panic!("{p}"));
        let text = convert("c.json", CONFIG_JSON, with_db).map(|i| i.toml("c.json", with_db));
        let text = text.unwrap_or_else(|p| panic!("{p}"));
        let env = [("DATABASE_URL".to_owned(), "postgres://h/d".to_owned())].into();
        let mut again =
            super::super::file::parse("c.toml", &text, &env).unwrap_or_else(|p| panic!("{p}"));
        if with_db
            && let Some(Value::Table(backends)) = again.get_mut("backends").map(|i| &mut i.value)
        {
            backends.remove("db");
        }
        assert_eq!(tree::table_to_json(&layer), tree::table_to_json(&again));
    }
}

#[test]
fn addresses_are_put_together_and_secrets_never_noted() {
    let text = r#"{"redis": {"connection": {"host": "::1", "port": 7, "username": "app", "password": "s:3/cret",
        "db": 2, "tls": {}, "retryDelay": 9000}}, "circuitBreakerThreshold": 7, "recovery_timeout": 90}"#;
    let imported = convert("c.json", text, false).unwrap_or_else(|p| panic!("{p}"));
    let table = tree::table_to_json(&imported.table());
    let redis = &table["backends"]["redis"];
    assert_eq!(redis["url"], "rediss://app:s%3A3%2Fcret@[::1]:7/2");
    assert_eq!(
        (&redis["reconnect"]["base"], &redis["reconnect"]["max"]),
        (&"9s".into(), &"9s".into())
    );
    assert_eq!(
        (&redis["breaker"]["open"], &redis["breaker"]["open_max"]),
        (&"90s".into(), &"90s".into())
    );
    assert_eq!(redis["breaker"]["failures"], 7);
    assert!(!imported.notes.join("\n").contains("cret"), "{:?}", imported.notes);
}

/// What is imported of these keys, as JSON and with its notes.
fn imported(text: &str) -> (serde_json::Value, String) {
    let imported = convert("c.json", text, false).unwrap_or_else(|p| panic!("{p}"));
    (tree::table_to_json(&imported.table()), imported.notes.join("\n"))
}

#[test]
fn two_keys_that_say_the_same_are_one() {
    let text = r#"{"redis": {"connection": {"host": "h", "commandTimeout": 3000},
        "resilience": {"commandTimeout": 3000}}}"#;
    let toml =
        convert("c.json", text, false).unwrap_or_else(|p| panic!("{p}")).toml("c.json", false);
    let line = "timeout = \"3s\"  # redis.connection.commandTimeout = 3000, redis.resilience.commandTimeout = 3000\n";
    assert!(toml.contains(line), "{toml}");
    file::parse("c.toml", &toml, &Environment::new()).unwrap_or_else(|p| panic!("{p}\n{toml}"));
}

#[test]
fn without_a_prefix_there_is_one_route() {
    let route = |caching: &str| {
        let (table, _) = imported(&format!("{{\"redis\": {{\"caching\": {{{caching}}}}}}}"));
        table["route"].clone()
    };
    for (caching, expected) in [
        (r#""ttl": 360"#, json!([{"backends": ["redis"], "ttl": "6m"}])),
        (r#""ttl": 360, "defaultExpiry": 360"#, json!([{"backends": ["redis"], "ttl": "6m"}])),
        (
            r#""keyPrefix": "", "defaultExpiry": 300"#,
            json!([{"backends": ["redis"], "prefix": "", "ttl": "5m"}]),
        ),
        (
            r#""keyPrefix": "u:", "ttl": 300, "defaultExpiry": 360"#,
            json!([{"backends": ["redis"], "prefix": "u:", "ttl": "5m"}, {"backends": ["redis"], "ttl": "6m"}]),
        ),
    ] {
        assert_eq!(route(caching), expected, "{caching}");
    }
}

#[test]
fn a_user_who_cannot_log_in_is_said_to_be_left_out() {
    let (table, notes) = imported(r#"{"redis": {"connection": {"host": "h", "username": "app"}}}"#);
    assert_eq!(table["backends"]["redis"]["url"], "redis://h:6379");
    let said = "redis.connection.username: nothing to set: without a password nobody logs in";
    assert!(notes.contains(said), "{notes}");
}

#[test]
fn what_is_refused_is_named_with_its_place_and_the_fix() {
    let refused = |text: &str| match convert("c.json", text, false) {
        Ok(imported) => panic!("{:?}", imported.notes),
        Err(problems) => problems.to_string(),
    };
    for (text, expected) in [
        (
            "{\"redis\": {\"connection\": {\n \"retryDelai\": 1}}}",
            "c.json:2:2: redis.connection.retryDelai: has no counterpart that is known; did you mean `redis.connection.retryDelay`?",
        ),
        (
            "{\"redis\": {\"caching\": {\"ttl\": \"6m\"}}}",
            "c.json:1:31: redis.caching.ttl: is a text; it takes a whole number of seconds",
        ),
        (
            "{\"redis\": {\"connection\": {\"port\": 70000}}}",
            "c.json:1:27: redis.connection.port: is an integer, which is no part of an address",
        ),
        (
            "{\"redis\": {\"connection\": {\"connectTimeout\": 1000}, \"resilience\": {\"connectionTimeout\": 2000}}}",
            "c.json:1:88: redis.resilience.connectionTimeout: becomes backends.redis.connect_timeout, as \
             `redis.connection.connectTimeout = 1000` at c.json:1:45 does, and the two differ; leave one out",
        ),
        (
            "{\"redis\": {\"caching\": {\"ttl\": 360, \"defaultExpiry\": 300}}}",
            "c.json:1:31: redis.caching.ttl: differs from `redis.caching.defaultExpiry = 300` at c.json:1:53, and both are of all \
             keys, for there is no redis.caching.keyPrefix; give a prefix, or leave one out",
        ),
        (
            "{\"redis\": {\"connection\": {\"tls\": {\"servername\": \"h\"}}}}",
            "c.json:1:35: redis.connection.tls.servername: is not taken over; write the address in TOML, or in REDIS_URL, with \
             ?tls_ca_file=FILE, tls_cert_file and tls_key_file, or tls_insecure as its options",
        ),
        (
            "{\"redis\": {\"connection\": {\"password\": \"${REDIS_PASSWORD}\"}}}",
            "c.json:1:39: redis.connection.password: has a `${`, and no variable is put in here: write what it stands for, or \
             leave the connection out and set REDIS_URL",
        ),
        (
            "{\"a\": 1}",
            "c.json:1:1: nothing in it is known; a format that can be imported has `redis.connection`, \
            `redis.caching` or `redis.resilience`, or `circuitBreakerThreshold` and `healthCheckIntervalMs`",
        ),
        ("{\"redis\": {,}}", "c.json:1:12: not JSON: a key in double quotes is expected here"),
        ("{\"redis\": 1", "c.json:1:12: not JSON: `,` or `}` is expected here, and the file ends"),
        ("[1]", "c.json:1:1: not a configuration: the whole is a list, not an object"),
        ("{} x", "c.json:1:4: not JSON: the end of the document is expected here"),
        ("{\"a\": \"x", "c.json:1:7: not JSON: the end of a text (`\"`) is expected here"),
        ("{\"a\": 1, \"a\": 2}", "c.json:1:10: not JSON that can be read: the key stands twice"),
        ("{\"a\": 1-}", "c.json:1:7: not JSON: a number is expected here"),
    ] {
        assert_eq!(refused(text), expected);
    }
    let deep = "[".repeat(40);
    assert!(refused(&format!("{{\"a\": {deep}")).contains("less nesting"));
}

#[test]
fn the_table_names_keys_of_ours() {
    use super::super::{model::schema, shape::Shape};
    let shape = Shape::of_document(&schema());
    for (key, becomes) in table::ROWS {
        let (section, ours) = match becomes {
            Becomes::Millis(section, key, _) | Becomes::Seconds(section, key, _) => (section, key),
            Becomes::Count(section, key) | Becomes::Text(section, key) => (section, key),
            Becomes::Url(_) | Becomes::Nothing(_) => continue,
        };
        let path = match section {
            Section::Redis => format!("backends.redis.{ours}"),
            Section::Route | Section::Rest => continue,
        };
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        assert!(shape.at(&path).is_some(), "{key}: {ours}");
    }
}
