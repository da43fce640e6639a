use bytes::Bytes;

use super::*;
use crate::{
    clock::Clock,
    op::{CopyValue, Under},
};

fn get(key: &str) -> Op {
    Op::Get { key: Key::from(key), with_ttl: false }
}

fn fault(share: f64, prefix: Option<&str>) -> Fault {
    let prefix = prefix.map(Key::from);
    Fault { share, prefix, ..Fault::outage(Duration::from_secs(60)) }
}

fn injected(fault: Fault, until: Instant) -> Arc<Injected> {
    let (reason, actor) = ("a test".to_owned(), Actor::PROGRAM);
    Arc::new(Injected { fault, until, reason, actor, lifted: CancellationToken::new() })
}

#[test]
fn the_share_decides_by_the_lot_and_a_whole_fault_draws_none() {
    let half = fault(0.5, None);
    assert_eq!(half.meets(&get("k"), || 0.49), Some(FaultKind::Refuse));
    assert_eq!(half.meets(&get("k"), || 0.5), None);
    assert_eq!(fault(1.0, None).meets(&get("k"), || panic!("drawn")), Some(FaultKind::Refuse));
    assert!(fault(1.0, None).is_whole());
    assert!(!half.is_whole() && !fault(1.0, Some("k")).is_whole());
}

#[test]
fn a_prefix_meets_keys_of_users_wherever_they_stand() {
    let fault = fault(1.0, Some("user:"));
    let met = |op: &Op| fault.meets(op, || 0.0).is_some();
    assert!(met(&get("user:1")) && !met(&get("order:1")));
    assert!(met(&get("mainstay:9a.3:user:1")) && !met(&get("mainstay:9a.3:order:user:1")));
    let keys = vec![Key::from("order:1"), Key::from("user:2")];
    assert!(met(&Op::GetMany { keys: keys.clone() }));
    assert!(met(&Op::Copy(CopyOp::Drain { keys })));
    let copy = CopyValue {
        value: Bytes::new(),
        version: crate::Version { epoch: 1, counter: 1 },
        life: Duration::ZERO,
        ttl: None,
    };
    let key = Key::from("mainstay:9a.3:user:1");
    assert!(met(&Op::Copy(CopyOp::Fill { entries: vec![(key, copy)], token: 1 })));
    let under = Under::Mark { epoch: 1, deadline_us: 0 };
    let commit = |key: &str| {
        let write = Box::new(get(key));
        Op::Record(RecordOp::Commit { cache: "redis".into(), write, under })
    };
    assert!(met(&commit("user:1")) && !met(&commit("order:1")));
    assert!(!met(&Op::Record(RecordOp::Now)), "what is about no key is not met");
}

#[test]
fn it_ends_at_its_time_and_when_it_is_lifted() {
    let now = Clock::system().now();
    let until = now + Duration::from_secs(5);
    let place = Place::default();
    assert!(place.get(now).is_none());
    let first = injected(fault(1.0, None), until);
    place.put(Arc::clone(&first));
    let met = |at| place.on_call(&get("k"), at, || 0.0);
    assert_eq!(met(now), Some(FaultKind::Refuse));
    assert_eq!(place.on_probe(now), Some(FaultKind::Refuse));
    assert_eq!((met(until), place.on_probe(until)), (None, None));
    let other = injected(fault(1.0, None), until);
    assert!(!place.take(&other), "only its own is taken out");
    assert!(place.take(&first) && !place.take(&first));
    assert_eq!(met(now), None);
}

#[test]
fn probes_fail_under_a_whole_fault_only() {
    let now = Clock::system().now();
    let place = Place::default();
    for (share, prefix) in [(0.99, None), (1.0, Some("k"))] {
        place.put(injected(fault(share, prefix), now + Duration::from_secs(5)));
        assert_eq!(place.on_probe(now), None);
    }
}

#[test]
fn ranges_are_checked_and_words_are_for_people() {
    let good = fault(0.2, Some("user:"));
    good.validate().unwrap();
    assert_eq!(good.to_string(), "refuses 20 % of the calls on keys `user:…`");
    let slow = Fault { what: FaultKind::Slow(Duration::from_millis(300)), ..fault(1.0, None) };
    assert_eq!(slow.to_string(), "delays every call by 300ms");
    let hang = Fault { what: FaultKind::Hang, ..fault(0.125, None) };
    assert_eq!(hang.to_string(), "leaves 12.5 % of the calls unanswered");
    let with = |what| Fault { what, ..fault(1.0, None) };
    let lasting = |lasts| Fault { lasts, ..fault(1.0, None) };
    for bad in [
        fault(0.0, None),
        fault(1.1, None),
        fault(f64::NAN, None),
        lasting(Duration::ZERO),
        lasting(LASTS_MAX + Duration::from_secs(1)),
        with(FaultKind::Slow(Duration::ZERO)),
        with(FaultKind::Error(ErrorKind::Corrupt)),
        with(FaultKind::Error(ErrorKind::InvalidArgument)),
    ] {
        assert_eq!(bad.validate().unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad:?}");
    }
}
