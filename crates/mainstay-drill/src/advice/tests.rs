use super::*;
use crate::{judge::judge, load::Slice, scenario::Threshold};
use mainstay::config::RouteConfig;

struct Setup {
    config: Config,
    facts: Facts,
    threshold: &'static str,
    targets: Vec<String>,
}

impl Setup {
    fn new(threshold: &'static str) -> Self {
        let mut config = Config::default();
        config.backends.insert("redis".into(), BackendConfig::at("redis://127.0.0.1"));
        config.backends.insert("db".into(), BackendConfig::at("postgres://127.0.0.1/x"));
        let mut facts = Facts::default();
        let fault = Slice { requests: 100, failed: 50, failed_reads: 20, ..Slice::default() };
        facts.tally.phases.insert(Phase::Fault, fault);
        Self { config, facts, threshold, targets: vec!["redis".to_owned()] }
    }

    fn backend(&mut self, name: &str) -> &mut BackendConfig {
        self.config.backends.get_mut(name).unwrap()
    }

    fn settings(&self) -> Vec<String> {
        let threshold: Threshold = self.threshold.parse().unwrap();
        let verdicts = judge(&[threshold], &self.facts);
        assert!(!verdicts[0].met, "{verdicts:?}");
        let case = Case {
            config: &self.config,
            backends: &self.config.backends,
            targets: &self.targets,
            facts: &self.facts,
            verdicts: &verdicts,
        };
        advise(case).into_iter().map(|advice| advice.setting).collect()
    }
}

#[test]
fn a_default_configuration_gets_no_advice_about_its_backends() {
    assert_eq!(Setup::new("failed == 0").settings(), Vec::<String>::new());
    assert_eq!(Setup::new("recovery < 1s").settings(), Vec::<String>::new());
}

#[test]
fn each_weakness_is_named_by_its_setting() {
    let mut setup = Setup::new("p50_fault < 0s");
    setup.facts.tally.phases.get_mut(&Phase::Fault).unwrap().latency.record(Duration::from_secs(1));
    setup.backend("redis").breaker.failures = 1_000_000;
    setup.backend("redis").timeout = Some(Duration::from_secs(30));
    setup.backend("redis").hedge.enabled = false;
    setup.backend("db").inflight_max = Some(10_000);
    setup.backend("db").queue_max = 100_000;
    assert_eq!(
        setup.settings(),
        [
            "backends.redis.breaker.failures",
            "backends.redis.timeout",
            "backends.redis.hedge.enabled",
            "backends.db.inflight_max",
            "backends.db.queue_max",
        ]
    );
    setup.facts.opened = Some(Duration::from_secs(1));
    assert!(!setup.settings().contains(&"backends.redis.breaker.failures".to_owned()));
}

#[test]
fn a_slow_recovery_is_the_fault_of_a_long_wait() {
    let mut setup = Setup::new("recovery < 1s");
    setup.backend("redis").reconnect.max = Duration::from_secs(60);
    assert_eq!(setup.settings(), ["backends.redis.reconnect.max"]);
}

#[test]
fn a_route_with_nothing_else_to_ask_wants_a_second_backend() {
    let mut setup = Setup::new("failed == 0");
    let route = RouteConfig { backends: vec!["redis".into()], ..RouteConfig::default() };
    setup.config.routes.push(route);
    assert_eq!(setup.settings(), ["route[0].backends"]);
}

#[test]
fn refused_writes_may_wait_in_a_journal() {
    let mut setup = Setup::new("failed == 0");
    setup.targets = vec!["db".to_owned()];
    let cache = vec!["redis".into()];
    setup.config.routes.push(RouteConfig {
        cache,
        record: Some("db".into()),
        ..RouteConfig::default()
    });
    assert_eq!(setup.settings(), ["route[0].on_record_down"]);
}

#[test]
fn weak_promises_are_named_when_reads_are_old_and_writes_lost() {
    let mut setup = Setup::new("stale_after == 0");
    setup.facts.tally.phases.insert(Phase::After, Slice { stale: 3, ..Slice::default() });
    let cache = vec!["memory".into(), "redis".into()];
    let stale_if_error = Some(Duration::from_secs(3600));
    let l1_ttl = Some(Duration::from_secs(60));
    let record = Some("db".into());
    let route = RouteConfig { cache, record, stale_if_error, l1_ttl, ..RouteConfig::default() };
    setup.config.routes.push(route);
    let expected = ["route[0].l1_ttl", "route[0].stale_if_error", "route[0].consistency"];
    assert_eq!(setup.settings(), expected);
    let mut setup = Setup::new("lost == 0");
    setup.facts.read_back.lost = 4;
    let backends = vec!["redis".into(), "memory".into()];
    setup.config.routes.push(RouteConfig { backends, ..RouteConfig::default() });
    assert_eq!(setup.settings(), ["route[0].record"]);
}
