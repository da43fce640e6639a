//! Before a cache that tells of changes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_write_through_one_process_is_told_to_the_memory_of_the_other() {
    let (a, b) = servers().two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    let entry = b.storage.get("k").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.stale), (&b"1"[..], false));
    assert_eq!(entry.freshness, Freshness::Bounded(LEASE));
    assert!(entry.age.is_some() && entry.version.is_some());
    let hits = b.l1().hits;
    for round in 2..50 {
        a.set("k", &round.to_string()).await;
        assert!(b.behind("k", &round.to_string()).await <= LEASE);
        b.until_near("k").await;
    }
    let l1 = b.l1();
    assert!(l1.hits > hits && l1.misses > 0 && l1.bytes > 0 && l1.entries == 1, "{l1:?}");
    assert_eq!((l1.feed, &*l1.reason), ("following", ""));
}

#[tokio::test(start_paused = true)]
async fn what_is_near_is_had_without_asking_anybody_and_only_while_it_counts() {
    let (a, b) = servers().two().await;
    let (key, options) = (Key::from("k"), CallOptions::default());
    let local = |session: Option<Session>| {
        let options = CallOptions { session, ..options.clone() };
        b.storage.get_local(&key, &options)
    };
    a.set("k", "1").await;
    assert_eq!(local(None), None);
    b.until_near("k").await;
    let (before, answer) = (b.l1(), local(None).unwrap());
    assert_eq!((&*answer.source, answer.worth.freshness()), ("memory", Freshness::Bounded(LEASE)));
    let record = answer.reply.into_record().unwrap().unwrap();
    assert_eq!(&*record.value, b"1");
    assert_eq!(b.storage.get_local(&"other".into(), &options), None);
    assert_eq!(b.storage.get_local(&"\0mainstay:k".into(), &options), None);
    let after = b.l1();
    assert_eq!((after.hits, after.misses), (before.hits + 1, before.misses), "who looks on counts");
    let (session, version) = (Session::new(), record.version.unwrap());
    session.saw(&key, version, LEASE, b.now());
    assert!(local(Some(session.clone())).is_some());
    session.saw(&key, version.next(), LEASE, b.now());
    assert_eq!(local(Some(session)), None, "it has seen something newer");
    b.set("k", "2").await;
    assert_eq!(local(None), None, "the old value counts no more");
    b.until_near("k").await;
    assert!(local(None).is_some());
    b.storage.close(Duration::from_secs(1)).await;
    assert_eq!(local(None), None);
}

#[tokio::test(start_paused = true)]
async fn one_reads_ones_own_writes() {
    let (a, _) = servers().two().await;
    for round in 0..200 {
        let (_, _) = tokio::join!(a.storage.get("k"), a.storage.set("k", round.to_string()));
        assert_eq!(a.value("k").await, Some(round.to_string()));
        if round % 10 == 0 {
            a.until_near("k").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_feed_empties_the_memory() {
    let servers = servers();
    let (a, b) = servers.two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    b.cache.is(NO_FEED);
    servers.cache.end_feeds();
    b.until("broken", async |b| b.l1().feed == "broken").await;
    assert_eq!((b.l1().entries, b.l1().reason.is_empty()), (0, false));
    for _ in 0..100 {
        assert_eq!(b.source("k").await, "cache");
    }
    a.set("k", "2").await;
    assert_eq!(b.value("k").await.as_deref(), Some("2"));
    b.cache.is(WELL);
    b.until_near("k").await;
    assert_eq!(b.value("k").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_is_believed_for_one_lease() {
    let (a, b) = servers().two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    b.cache.is(MUTE);
    a.set("k", "2").await;
    assert_eq!(b.value("k").await.as_deref(), Some("1"), "it has not heard of it");
    assert!(b.behind("k", "2").await <= LEASE);
    assert!(b.cache().readable, "the lease itself lasts");
    for _ in 0..100 {
        assert_eq!(b.source("k").await, "cache");
        tokio::time::sleep(LEASE / 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_ended_ends_the_hits() {
    let (a, b) = servers().two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    b.record.is(CUT);
    let cut = b.now();
    let mut last = cut;
    while b.source("k").await == "memory" {
        last = b.now();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(last - cut <= LEASE);
    let entry = b.storage.get("k").await.unwrap().unwrap();
    assert!(matches!(entry.freshness, Freshness::Unverified(_)), "{entry:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_around_the_cache_is_hidden_for_a_lease_at_most_also_after_its_drain() {
    let servers = servers();
    let (a, b) = servers.two().await;
    for round in 0..20 {
        let old = format!("{round}");
        a.set("k", &old).await;
        b.until_near("k").await;
        a.cache.is(CUT);
        let new = format!("{round} around");
        a.set("k", &new).await;
        let acknowledged = b.now();
        // Until after the drain: nothing older comes back.
        let mut seen = false;
        while b.now() - acknowledged < LEASE * 3 {
            let late = b.now() - acknowledged > LEASE;
            let value = b.value("k").await;
            seen |= value.as_ref() == Some(&new);
            assert!(value.as_ref() == Some(&new) || !late, "{value:?}");
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        assert!(seen);
        a.cache.is(WELL);
        a.until("readable", async |a| a.cache().phase == "up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_between_asking_and_keeping_is_not_lost() {
    let (a, b) = servers().two().await;
    a.set("k", "1").await;
    b.until("cached", async |b| b.source("k").await == "cache").await;
    // Anything that b keeps is forgotten by this write.
    a.set("k", "1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    b.until("cached", async |b| b.l1().entries == 0 && b.cache().readable).await;
    b.cache.is(HOLDS);
    let read = async {
        let entry = b.storage.get("k").await.unwrap().unwrap();
        String::from_utf8(entry.value.to_vec()).unwrap()
    };
    let write = async {
        b.cache.held.acquire().await.unwrap().forget();
        a.set("k", "2").await;
        // The feed has told of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        b.cache.is(WELL);
        b.cache.free.add_permits(1000);
    };
    let (_, ()) = tokio::join!(read, write);
    for _ in 0..100 {
        assert_eq!(b.value("k").await.as_deref(), Some("2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_begun_anew_is_filled_with_the_hottest_keys_first() {
    let servers = servers();
    let (a, b) = servers.two().await;
    for key in ["hot", "warm", "cold"] {
        a.set(key, "1").await;
    }
    b.until_near("hot").await;
    b.until_near("warm").await;
    let before = b.cache().generation;
    // Another server under the same address, empty.
    servers.cache.set_identity("another");
    servers.cache.clear();
    b.until("anew", async |b| b.cache().generation > before && b.cache().readable).await;
    let copy = async |key: &str| {
        let view = b.storage.road().domains[0].view().unwrap();
        let op = Op::Get { key: view.key_of(&key.into()), with_ttl: false };
        let deadline = b.storage.clock().deadline_in(LEASE);
        let stored = servers.cache.execute(&op, deadline).await.unwrap().into_record().unwrap();
        stored.is_some_and(|stored| stored.value.starts_with(b"V"))
    };
    // Nobody reads meanwhile.
    b.until("filled", async |_| copy("hot").await && copy("warm").await).await;
    assert!(!copy("cold").await, "nobody had read it from memory");
    b.until_near("hot").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_old_generation_is_served() {
    let servers = servers();
    let (a, b) = servers.two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    let before = b.cache().generation;
    servers.cache.set_identity("another");
    // The new server has never heard of the copies that b keeps; a learns of it first, and writes.
    a.until("anew", async |a| a.cache().generation > before && a.cache().readable).await;
    a.set("k", "2").await;
    assert!(b.behind("k", "2").await <= LEASE);
    b.until_near("k").await;
    assert_eq!(b.value("k").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_shown_what_is_older_than_it_has_seen() {
    let (a, b) = servers().two().await;
    a.set("k", "1").await;
    b.until_near("k").await;
    b.cache.is(MUTE);
    a.set("k", "2").await;
    let version: Version = a.storage.get("k").await.unwrap().unwrap().version.unwrap();
    let session = Session::new();
    let read = async || {
        let op = Op::Get { key: "k".into(), with_ttl: false };
        let options = CallOptions { session: Some(session.clone()), ..CallOptions::default() };
        let answer = b.storage.execute(&op, options).await.unwrap();
        (answer.source.to_string(), answer.reply.into_record().unwrap().unwrap().value)
    };
    assert_eq!(read().await, ("memory".to_owned(), "1".into()));
    session.saw(&"k".into(), version, LEASE, b.now());
    let (source, value) = read().await;
    assert_eq!((&*value, source == "memory"), (&b"2"[..], false));
    // What one reader of this process has seen, no other goes back behind.
    assert_eq!(b.value("k").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn many_keys_come_from_memory_cache_and_record_together() {
    let (a, b) = servers().two().await;
    for key in ["a", "b", "c"] {
        a.set(key, key).await;
    }
    b.until_near("a").await;
    let keys = || ["b", "a", "none", "c", "a"].map(Key::from).to_vec();
    let expected = [Some("b"), Some("a"), None, Some("c"), Some("a")].map(|v| v.map(Bytes::from));
    assert_eq!(b.storage.get_many(keys()).await.unwrap(), expected);
    let near = ["a", "b", "c"].map(Key::from).to_vec();
    let all_near = async |b: &Process| {
        let op = Op::GetMany { keys: near.clone() };
        let answer = b.storage.execute(&op, CallOptions::default()).await.unwrap();
        assert_eq!(answer.reply.into_records().unwrap().len(), 3);
        &*answer.source == "memory" && answer.worth.freshness() == Freshness::Bounded(LEASE)
    };
    b.until("all near", all_near).await;
    let exists = Op::Exists { keys: keys() };
    let answer = b.storage.execute(&exists, CallOptions::default()).await.unwrap();
    assert_eq!(answer.reply.into_integer().unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_kept() {
    let (a, b) = servers().two().await;
    let ttl = crate::TtlChange::For(Duration::from_secs(10));
    let options = crate::SetOptions { ttl, ..crate::SetOptions::default() };
    a.storage.set_with("k", "v", options).await.unwrap();
    let written = b.now();
    b.until_near("k").await;
    let left = b.storage.get("k").await.unwrap().unwrap().ttl.unwrap();
    assert!(left <= Duration::from_secs(10), "{left:?}");
    tokio::time::sleep_until(written + Duration::from_secs(10)).await;
    assert_eq!(b.value("k").await, None);
}
