//! Configuration commands, completions, manual, reference: what needs no server.

use crate::support::{Run, Scratch};

#[test]
fn init_writes_what_check_accepts_and_never_over_a_file() {
    let scratch = Scratch::new();
    scratch.run(&["config", "init"]).ok();
    assert_eq!(scratch.run(&["config", "check"]).ok(), "valid (mainstay.toml)\n");
    scratch.write("mainstay.toml", "[log]\nlevel = \"warn\"\n");
    let refused = scratch.run(&["config", "init"]).failed(1);
    assert!(refused.starts_with("error: mainstay.toml: File exists"), "{refused}");
    let kept = std::fs::read_to_string(scratch.path().join("mainstay.toml")).unwrap();
    assert_eq!(kept, "[log]\nlevel = \"warn\"\n");
}

#[test]
fn check_names_every_problem_with_exit_code_4() {
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", "[log]\ncolour = 1\nlevel = 2\n");
    let stderr = scratch.run(&["config", "check"]).failed(4);
    let expected = "error: mainstay.toml:2:1: log.colour: is not a known key; known are `format`, `level`\n\
                    error: mainstay.toml:3:9: log.level: is an integer; it takes a text in quotes\n";
    assert_eq!(stderr, expected);
}

#[test]
fn show_gives_values_and_origins_without_secrets() {
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", "[memory]\nmax = \"1MiB\"\n");
    let show = |args: &[&str]| {
        let mut command = scratch.command(&["config", "show"]);
        command.args(args).env("REDIS_URL", "redis://:hunter2@h:1/0").env("MAINSTAY_LOG", "warn");
        Run::of(&mut command).ok()
    };
    let toml = show(&[]);
    assert!(
        toml.contains("\nmax = \"1MiB\"\n") && toml.contains("url = \"redis://***@h:1/0\""),
        "{toml}"
    );
    let origins = show(&["--origin"]);
    for expected in [
        "memory.max = \"1MiB\"  # mainstay.toml:2:7\n",
        "backends.redis.url = \"redis://***@h:1/0\"  # environment REDIS_URL\n",
        "log.level = \"warn\"  # environment MAINSTAY_LOG\n",
        "limits.deadline = \"5s\"  # default\n",
    ] {
        assert!(origins.contains(expected), "{origins}");
    }
    for args in [&[][..], &["--origin"], &["-o", "json"], &["--origin", "-o", "json"]] {
        assert!(!show(args).contains("hunter2"));
    }
    // What is shown can be loaded again, but for the secrets.
    scratch.write("again.toml", &toml.replace("***@", ""));
    scratch.run(&["config", "check", "-c", "again.toml"]).ok();
}

#[test]
fn what_is_imported_may_hold_a_password_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    scratch
        .write("config.json", r#"{"redis": {"connection": {"host": "h", "password": "hunter2"}}}"#);
    scratch.run(&["config", "import", "config.json", "--to", "imported.toml"]).ok();
    let file = scratch.path().join("imported.toml");
    assert!(std::fs::read_to_string(&file).unwrap().contains("hunter2"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn a_probe_checks_all_that_check_does() {
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", "[tls]\ncert_file = \"no.crt\"\nkey_file = \"no.key\"\n");
    let checked = scratch.run(&["config", "check"]).failed(4);
    assert!(checked.contains("tls.cert_file"), "{checked}");
    assert_eq!(scratch.run(&["config", "check", "--probe"]).failed(4), checked);
    scratch.write("config.json", r#"{"redis": {"connection": {"host": "127.0.0.1", "port": 1}}}"#);
    let probed = scratch.run(&["config", "check", "--probe", "-c", "config.json"]);
    let note = "config.json:1:27: redis.connection.host: a part of backends.redis.url\n";
    assert!(probed.stdout.starts_with(note), "{probed:?}");
    assert!(probed.stdout.contains("\nredis is down: "), "{probed:?}");
}

#[test]
fn the_generated_texts_are_there() {
    let scratch = Scratch::new();
    let schema: serde_json::Value =
        serde_json::from_str(&scratch.run(&["config", "schema"]).ok()).unwrap();
    assert!(schema["properties"]["backends"].is_object());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(scratch.run(&["completions", shell]).ok().contains("breaker"), "{shell}");
    }
    assert!(scratch.run(&["man"]).ok().contains(".TH mainstay 1"));
    scratch.run(&["man", "--dir", "pages"]).ok();
    assert!(scratch.path().join("pages/mainstay-config-show.1").exists());
    assert!(scratch.run(&["docs", "cli"]).ok().contains("`mainstay health`"));
    assert!(scratch.run(&["docs", "config"]).ok().contains("`[[route]]`"));
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let scratch = Scratch::new();
    for args in [
        &[][..],
        &["frobnicate"],
        &["get"],
        &["set", "k"],
        &["set", "k", "v", "--ttl", "60"],
        &["get", "k", "--url", "ftp://h"],
        &["config", "check", "--set", "nonsense"],
    ] {
        let stderr = scratch.run(args).failed(2);
        assert!(!stderr.is_empty(), "{args:?}");
    }
    let help = scratch.run(&["--help"]).ok();
    assert!(help.contains("\nExamples:\n") && help.contains("\nOperate:\n"), "{help}");
}
