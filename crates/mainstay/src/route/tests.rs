use super::*;
use crate::{
    config::{Config, RouteConfig},
    op::{Condition, TtlChange},
    status::{Availability, Health, NodeView},
};

fn node(name: &str, durable: bool, shared: bool) -> NodeInfo {
    NodeInfo {
        name: Arc::from(name),
        durable,
        shared,
        copies: !durable,
        control: durable,
        ttl_max: None,
    }
}

/// db, redis, memory: in the order of ids.
fn nodes() -> Vec<NodeInfo> {
    vec![node("db", true, true), node("redis", false, true), node("memory", false, false)]
}

fn views(refused: &[NodeId], degraded: &[NodeId]) -> impl Fn(NodeId) -> NodeView {
    move |id| {
        let availability = match refused.contains(&id) {
            true => Availability::Refuses(ErrorKind::BreakerOpen),
            false => Availability::Available,
        };
        let health = if degraded.contains(&id) { Health::Degraded } else { Health::Up };
        NodeView { id, availability, health, readable: true, retry_in: None }
    }
}

fn get() -> Op {
    Op::Get { key: Key::from("k"), with_ttl: false }
}

fn set() -> Op {
    let (key, value) = (Key::from("k"), Bytes::from("v"));
    Op::Set {
        key,
        value,
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

fn failover(select: Select) -> Arc<Route> {
    let config = RouteConfig {
        backends: vec!["redis".into(), "db".into()],
        select,
        ..RouteConfig::default()
    };
    let table = build(&Config { routes: vec![config], ..Config::default() }, &nodes()).unwrap();
    Arc::clone(&table.routes()[0])
}

fn candidates(plan: Plan) -> Vec<NodeId> {
    match plan {
        Plan::InTurn { candidates, .. } => candidates.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_route_follows_from_what_is_configured() {
    let shape =
        |nodes: &[NodeInfo]| build(&Config::default(), nodes).unwrap().routes()[0].shape.clone();
    assert_eq!(shape(&nodes()), Shape::Record { cache: Some(1), record: 0, l1: false });
    assert_eq!(shape(&nodes()[..1]), Shape::Record { cache: None, record: 0, l1: false });
    let redis_alone = [node("redis", false, true), node("memory", false, false)];
    assert_eq!(
        shape(&redis_alone),
        Shape::Failover { backends: vec![0, 1], select: Select::Failover }
    );
}

#[test]
fn the_longest_prefix_takes_the_key() {
    let route = |prefix: &str| RouteConfig {
        prefix: prefix.into(),
        record: Some("db".into()),
        ..RouteConfig::default()
    };
    let config = Config { routes: vec![route("user:"), route("user:vip:")], ..Config::default() };
    let table = build(&config, &nodes()).unwrap();
    for (key, label) in
        [("user:vip:1", "user:vip:"), ("user:1", "user:"), ("other", "*"), ("", "*")]
    {
        assert_eq!(&*table.of(&Key::from(key)).label, label, "{key}");
    }
    let across = Op::Exists { keys: vec![Key::from("user:1"), Key::from("other")] };
    assert!(table.of_op(&across).is_none());
}

#[test]
fn a_forgetful_record_is_refused_with_the_fix() {
    let config = RouteConfig { record: Some("redis".into()), ..RouteConfig::default() };
    let error = build(&Config { routes: vec![config], ..Config::default() }, &nodes()).unwrap_err();
    assert!(error.message().contains("failover route"), "{error}");
}

#[test]
fn a_record_route_reads_through_the_first_cache_that_is_ready_and_true() {
    let table = build(&Config::default(), &nodes()).unwrap();
    let route = &table.routes()[0];
    let plan_get = |refused: &[NodeId], is_true: bool| {
        plan(&get(), route, views(refused, &[]), || 0, || is_true)
    };
    assert_eq!(plan_get(&[], true), Plan::Cached { cache: Some(1), record: 0 });
    assert_eq!(plan_get(&[1], true), Plan::Cached { cache: None, record: 0 });
    assert_eq!(plan_get(&[], false), Plan::Cached { cache: None, record: 0 });
    assert_eq!(plan(&set(), route, views(&[0, 1], &[]), || 0, || true), Plan::Commit { record: 0 });
}

#[test]
fn failover_goes_down_the_list_and_degraded_ones_serve_last() {
    let route = failover(Select::Failover);
    let order = |refused: &[NodeId], degraded: &[NodeId]| {
        candidates(plan(&set(), &route, views(refused, degraded), || 0, || true))
    };
    assert_eq!(order(&[], &[]), [1, 0, 2]);
    assert_eq!(order(&[1], &[]), [0, 2, 1]);
    assert_eq!(order(&[], &[1]), [0, 1, 2], "memory is the last of all that serve");
    assert_eq!(order(&[0, 1, 2], &[]), [1, 0, 2]);
}

#[test]
fn what_a_degraded_backend_holds_is_not_missing() {
    for select in [Select::Failover, Select::RoundRobin] {
        let route = failover(select);
        let degraded = |op: &Op| candidates(plan(op, &route, views(&[], &[1]), || 0, || true));
        assert_eq!(degraded(&Op::GetMany { keys: vec![Key::from("k")] }), [1, 0, 2]);
        assert_eq!(degraded(&Op::Increment { key: Key::from("k"), by: 1 }), [1, 0, 2]);
    }
    let route = failover(Select::RoundRobin);
    let many = Op::Exists { keys: vec![Key::from("k")] };
    assert_eq!(candidates(plan(&many, &route, views(&[], &[]), || 1, || true)), [1, 0, 2]);
}

#[test]
fn priority_keeps_a_degraded_backend_in_its_place() {
    let route = failover(Select::Priority);
    assert_eq!(candidates(plan(&get(), &route, views(&[], &[1]), || 0, || true)), [1, 0, 2]);
}

#[test]
fn round_robin_spreads_reads_over_those_that_are_up_and_writes_to_the_first() {
    let route = failover(Select::RoundRobin);
    let read = |turn| candidates(plan(&get(), &route, views(&[], &[]), || turn, || true));
    assert_eq!((read(0), read(1), read(2)), (vec![1, 0, 2], vec![0, 1, 2], vec![1, 0, 2]));
    assert_eq!(candidates(plan(&set(), &route, views(&[], &[]), || 1, || true)), [1, 0, 2]);
    assert_eq!(candidates(plan(&get(), &route, views(&[1], &[]), || 1, || true)), [0, 2, 1]);
}
