//! What a span says of a backend, and that nothing secret is in it.

use super::{Peer, TraceParent};

#[test]
fn the_other_end_is_named_without_its_secrets() {
    let redis = Peer::of("redis", "redis://user:secret@cache.local:6380/2?x=secret");
    assert_eq!((redis.system(), redis.namespace()), ("redis", Some("2")));
    assert_eq!((redis.address(), redis.port()), (Some("cache.local"), Some(6380)));
    assert_eq!(redis.span_name("get"), "get 2");
    let postgres = Peer::of("postgres", "postgres://app:secret@[::1]:5432/app");
    assert_eq!((postgres.system(), postgres.namespace()), ("postgresql", Some("app")));
    assert_eq!((postgres.address(), postgres.port()), (Some("::1"), Some(5432)));
    assert_eq!(Peer::of("mysql", "mariadb://u:secret@h/d").system(), "mariadb");
    let many = Peer::of("redis", "redis-sentinel://:secret@a:1,b:2/main/0");
    assert_eq!((many.address(), many.port()), (Some("a:1,b:2"), None));
    assert_eq!((many.namespace(), many.span_kind()), (None, "client"));
    for told in [&redis, &postgres, &many] {
        assert!(!format!("{told:?}").contains("secret"), "{told:?}");
    }
}

#[test]
fn what_is_no_url_of_a_server_names_no_address() {
    for (engine, url) in [
        ("memory", ""),
        ("sqlite", "sqlite:data/kv.db"),
        ("redis", "redis+unix:///run/redis.sock"),
        ("postgres", "postgres://u:se?cret@h/d"),
    ] {
        let peer = Peer::of(engine, url);
        assert_eq!((peer.address(), peer.port(), peer.namespace()), (None, None, None), "{url}");
        assert_eq!((peer.span_name("get"), peer.span_kind()), ("get".to_owned(), "internal"));
    }
}

#[test]
fn a_parent_is_read_as_the_standard_has_it() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let parent = TraceParent::parse(&format!("00-{trace}-{span}-01")).unwrap();
    assert_eq!(format!("{:032x} {:016x}", parent.trace, parent.span), format!("{trace} {span}"));
    assert!(parent.sampled);
    assert!(!TraceParent::parse(&format!("00-{trace}-{span}-00")).unwrap().sampled);
    assert!(TraceParent::parse(&format!("01-{trace}-{span}-01-more")).is_some());
    let zeroes = "0".repeat(32);
    for refused in [
        String::new(),
        format!("00-{trace}-{span}"),
        format!("00-{trace}-{span}-01-more"),
        format!("ff-{trace}-{span}-01"),
        format!("00-{zeroes}-{span}-01"),
        format!("00-{trace}-{}-01", &zeroes[..16]),
        format!("00-{}-{span}-01", trace.to_uppercase()),
        format!("00-+{}-{span}-01", &trace[1..]),
    ] {
        assert_eq!(TraceParent::parse(&refused), None, "{refused}");
    }
}
