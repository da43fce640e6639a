use super::*;

fn name(text: &'static str) -> Name {
    (Kind::Channel, Bytes::from_static(text.as_bytes()))
}

#[test]
fn what_redis_counts_tells_whom_it_has_reached() {
    let upstream = Upstream::default();
    upstream.lock().live.insert(name("live"));
    upstream.lock().pending.insert(name("pending"));
    let names = [name("live"), name("pending"), name("unknown")];
    for (told, reached) in [
        // Its connection has gone, and Redis knows it first.
        (0, [false, false, false]),
        (1, [true, false, false]),
        // Subscribed already; the confirmation is on its way.
        (2, [true, true, false]),
        (9, [true, true, false]),
    ] {
        assert_eq!(upstream.through(names.iter(), told), reached, "{told}");
    }
    assert!(upstream.lost());
    assert_eq!(upstream.through(names.iter(), 9), [false; 3]);
}
