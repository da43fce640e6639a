//! What drills there are, own ones, and what is made of their reports.

use serde_json::Value as Json;

use super::run;
use crate::support::Scratch;

const OWN: &str = "name = 'mine'\ndescription = 'x'\ntarget = 'redis'\nthresholds = ['failed == 0', 'opened < 0s']\n\
                   [fault]\nkind = 'refuse'\n[load]\nrate = 100\nclients = 4\nkeys = 40\n";

#[test]
fn scenarios_are_listed_and_shown_as_files() {
    let scratch = Scratch::new();
    let list = scratch.run(&["drill", "list"]).ok();
    assert!(list.lines().count() >= 16 && list.contains("downtime-45s"), "{list}");
    let shown = scratch.run(&["drill", "show", "redis-flap"]).ok();
    assert!(shown.contains("kind = \"flap\""), "{shown}");
    scratch.write("again.toml", &shown);
    assert!(scratch.run(&["drill", "show", "./again.toml"]).ok().contains("redis-flap"));
}

#[test]
fn what_is_no_scenario_is_a_usage_error_and_what_has_no_target_cannot_run() {
    let scratch = Scratch::new();
    let stderr = scratch.run(&["drill", "redis-explodes"]).failed(2);
    assert!(stderr.contains("redis-outage"), "{stderr}");
    assert!(scratch.run(&["drill"]).failed(2).contains("SCENARIO"));
    scratch.write("bad.toml", &OWN.replace("refuse", "explode"));
    assert!(scratch.run(&["drill", "./bad.toml"]).failed(2).contains("explode"));
    scratch.write("away.toml", &OWN.replace("'redis'", "'nothing'"));
    let args = ["drill", "./away.toml", "--stand-ins", "--database", "sqlite"];
    let stderr = scratch.run(&args).failed(98);
    assert!(stderr.contains("nothing") && stderr.contains("redis"), "{stderr}");
}

#[test]
fn an_own_scenario_is_reported_in_three_forms_and_compared() {
    let scratch = Scratch::new();
    scratch.write("mine.toml", OWN);
    let args = [
        "./mine.toml",
        "--stand-ins",
        "--database",
        "sqlite",
        "--junit",
        "mine.xml",
        "--seed",
        "7",
    ];
    let run = run(&scratch, &args);
    assert_eq!(run.code, Some(99), "nothing opens before it began: {}", run.stderr);
    let report: Json = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["seed"], &report["scenario"]["load"]["rate"]), (&7.into(), &50.into()));
    let read = |name: &str| std::fs::read_to_string(scratch.path().join(name)).unwrap();
    let xml = read("mine.xml");
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    let page = read("drill-mine.html");
    assert!(page.contains("<svg") && page.contains("✗ missed") && !page.contains("<script"));
    scratch.write("a.json", &run.stdout);
    let compared = scratch.run(&["drill", "compare", "a.json", "a.json"]).ok();
    assert!(compared.contains("acknowledged writes lost"), "{compared}");
    assert!(compared.lines().all(|line| line.starts_with(' ')), "nothing differs: {compared}");
}

#[test]
fn the_loop_test_counts_who_answered() {
    let scratch = Scratch::new();
    let args = ["drill", "loop", "--count", "400", "--rate", "80", "--output", "json"];
    let looped: Json = serde_json::from_str(&scratch.run(&args).ok()).unwrap();
    assert_eq!(
        (&looped["iterations"], &looped["errors"], &looped["wrong"]),
        (&400.into(), &0.into(), &0.into())
    );
    assert_eq!(looped["restart_detected"], true);
    assert!(looped["recovery_ms"].is_u64());
    let count = |name: &str| looped["sources"][name].as_u64().unwrap_or(0);
    assert!(count("db") > 0 && count("redis") > 0, "{looped}");
    assert_eq!(count("db") + count("redis"), 400, "{looped}");
}
