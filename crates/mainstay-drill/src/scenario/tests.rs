use super::*;

#[test]
fn every_built_in_scenario_is_sound_and_its_name_is_its_files() {
    let all = builtin();
    assert!(all.len() >= 16);
    for scenario in &all {
        scenario.validate().unwrap();
        let again = Scenario::parse(&scenario.to_toml().unwrap()).unwrap();
        assert_eq!(*scenario, again);
        assert_eq!(named(&scenario.name).as_ref(), Some(scenario));
    }
    for name in ["redis-outage", "redis-hang", "redis-slow", "redis-reset", "redis-flap"] {
        assert!(named(name).is_some_and(|scenario| scenario.target == "redis"), "{name}");
    }
    for name in ["redis-auth", "db-outage", "db-slow", "all-down", "redis-restart-empty"] {
        assert!(named(name).is_some(), "{name}");
    }
    assert!(named("nothing").is_none());
}

#[test]
fn the_five_validation_scenarios_are_there_with_their_thresholds() {
    let names =
        ["container-crash", "network-partition", "auth-failure", "high-load", "downtime-45s"];
    for name in names {
        let scenario = named(name).unwrap();
        let texts: Vec<String> = scenario.thresholds.iter().map(ToString::to_string).collect();
        assert!(texts.contains(&"recovery < 30s".to_owned()), "{name}: {texts:?}");
        assert!(texts.contains(&"error_rate < 1%".to_owned()), "{name}: {texts:?}");
    }
    assert_eq!(named("downtime-45s").unwrap().hold, Duration::from_secs(45));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let good = "name = 'x'\ndescription = 'y'\ntarget = 'db'\nthresholds = ['failed == 0']\n";
    let refused = |rest: &str| Scenario::parse(&format!("{good}{rest}")).unwrap_err();
    assert!(refused("hold = '0s'\n[fault]\nkind = 'hang'").contains("hold"));
    assert!(refused("hold = 45\n[fault]\nkind = 'hang'").contains("unit"));
    assert!(refused("[fault]\nkind = 'explode'").contains("explode"));
    assert!(refused("holds = '1s'\n[fault]\nkind = 'hang'").contains("holds"));
    assert!(refused("[fault]\nkind = 'slow'\nlatency = '0s'").contains("latency"));
    assert!(refused("[fault]\nkind = 'hang'\n[load]\nkeys = 0").contains("keys"));
    let none = good.replace("['failed == 0']", "[]");
    assert!(
        Scenario::parse(&format!("{none}[fault]\nkind = 'hang'"))
            .unwrap_err()
            .contains("nothing can fail")
    );
}

#[test]
fn a_minimal_file_gets_the_defaults() {
    let text = "name = 'mine'\ndescription = 'y'\ntarget = 'redis'\n\
                thresholds = ['lost == 0']\n[fault]\nkind = 'flap'\n";
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.hold, Duration::from_secs(45));
    assert_eq!(scenario.load, Load::default());
    assert!(matches!(scenario.fault, Fault::Flap { down, up } if !down.is_zero() && !up.is_zero()));
}
