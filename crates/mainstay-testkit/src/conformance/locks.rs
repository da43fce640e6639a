//! Locks: who is granted what, the counters, fences, voters, and who the authority is.
//! Knows nothing of the modes; what each operation means is `semantics::locks`.

use super::{Check, Subject};
use futures_util::future::join_all;
use mainstay::backend::semantics::locks::LockState;
use mainstay::op::{Authority, Counting, Fence, Ground, LockOp, LockPage, Member, Seat};
use mainstay::reply::Locked;
use mainstay::{Condition, ErrorKind, Key, Op, Reply, TtlChange};
use std::time::Duration;

pub(super) mod waits;

pub(super) const CHECKS: &[Check] = &[
    Check::new("locks: one holder, and tokens that rise with each", |s| Box::pin(life(s)))
        .when(|c| c.locks),
    Check::new("locks: a lease ends by itself", |s| Box::pin(expiry(s))).when(|c| c.locks),
    Check::new("locks: many contend, one is granted", |s| Box::pin(contention(s)))
        .when(|c| c.locks),
    Check::new("locks: names of any bytes", |s| Box::pin(names(s))).when(|c| c.locks),
    Check::new("locks: two phases", |s| Box::pin(phases(s))).when(|c| c.locks),
    Check::new("locks: the same as the reference, at random", |s| Box::pin(random(s)))
        .when(|c| c.locks),
    Check::new("locks: fences only rise", |s| Box::pin(fences(s))).when(|c| c.locks),
    Check::new("locks: a list", |s| Box::pin(list(s))).when(|c| c.locks),
    Check::new("locks: voters", |s| Box::pin(members(s))).when(|c| c.locks),
    Check::new("locks: the authority moves by its known epoch", |s| Box::pin(authority(s)))
        .when(|c| c.locks && c.control),
    Check::new("locks: fenced writes", |s| Box::pin(fenced_writes(s)))
        .when(|c| c.locks && c.control),
];

const HOUR: Duration = Duration::from_secs(3600);

async fn locked(s: &Subject, op: LockOp) -> Locked {
    s.done(Op::Lock(op)).await.into_locked().expect("a lock operation answers Locked")
}

fn acquire(name: &Key, holder: u128, ttl: Duration, counting: Counting) -> LockOp {
    let (name, note, ground) = (name.clone(), format!("holder {holder}"), Ground::Free);
    LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter: None }
}

fn renew(name: &Key, holder: u128, ttl: Duration) -> LockOp {
    LockOp::Renew { name: name.clone(), holder, ttl, ground: Ground::Free }
}

fn release(name: &Key, holder: u128) -> LockOp {
    LockOp::Release { name: name.clone(), holder }
}

fn token(locked: &Locked) -> Option<u64> {
    match locked {
        Locked::Granted { token, .. } => Some(*token),
        Locked::Held { .. } | Locked::Gone | Locked::Fenced(_) | Locked::Refused => None,
    }
}

async fn take(s: &Subject, name: &Key, holder: u128) -> Option<u64> {
    token(&locked(s, acquire(name, holder, HOUR, Counting::Here)).await)
}

async fn life(s: Subject) {
    let name = s.key("a");
    let Locked::Granted { token: first, now_us } =
        locked(&s, acquire(&name, 1, HOUR, Counting::Here)).await
    else {
        unreachable!("a lock that nobody has is granted");
    };
    assert!(first > 0 && now_us > 1_600_000_000_000_000, "{first}, Unix microseconds: {now_us}");
    assert_eq!(take(&s, &name, 1).await, Some(first), "the same holder keeps its token");
    match locked(&s, acquire(&name, 2, HOUR, Counting::Here)).await {
        Locked::Held { left, note, token } => {
            assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
            assert_eq!((note.as_str(), token), ("holder 1", first));
        }
        other => unreachable!("it is held: {other:?}"),
    }
    assert_eq!(locked(&s, renew(&name, 2, HOUR)).await, Locked::Gone);
    assert_eq!(locked(&s, release(&name, 2)).await, Locked::Gone, "only the holder releases");
    assert_eq!(token(&locked(&s, renew(&name, 1, HOUR)).await), Some(first));
    assert_eq!(token(&locked(&s, release(&name, 1)).await), Some(first));
    assert_eq!(locked(&s, release(&name, 1)).await, Locked::Gone);
    assert_eq!(locked(&s, renew(&name, 1, HOUR)).await, Locked::Gone, "released is released");
    assert_eq!(take(&s, &name, 2).await, Some(first + 1));
    assert_eq!(token(&locked(&s, release(&name, 2)).await), Some(first + 1));
    assert_eq!(take(&s, &name, 2).await, Some(first + 2), "a new grant, a new token");
    let nobody = s.key("nobody");
    assert_eq!(locked(&s, renew(&nobody, 1, HOUR)).await, Locked::Gone);
    assert_eq!(locked(&s, release(&nobody, 1)).await, Locked::Gone);
}

async fn expiry(s: Subject) {
    let name = s.key("a");
    let (minute, short) = (Duration::from_secs(60), Duration::from_millis(150));
    let first = token(&locked(&s, acquire(&name, 1, minute, Counting::Here)).await);
    let first = first.expect("free");
    assert_eq!(token(&locked(&s, renew(&name, 1, HOUR)).await), Some(first));
    match locked(&s, acquire(&name, 2, HOUR, Counting::Here)).await {
        Locked::Held { left, .. } => assert!(left > minute, "it was renewed: {left:?}"),
        other => unreachable!("it was renewed: {other:?}"),
    }
    assert_eq!(token(&locked(&s, renew(&name, 1, short)).await), Some(first), "and cut short");
    let mut next = None;
    for _ in 0..2000 {
        next = take(&s, &name, 2).await;
        if next.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(next, Some(first + 1), "the lease ends by itself, and the counter stays");
    assert_eq!(locked(&s, renew(&name, 1, HOUR)).await, Locked::Gone, "never resurrected");
    assert_eq!(locked(&s, release(&name, 1)).await, Locked::Gone);
    assert_eq!(take(&s, &name, 3).await, None);
}

async fn contention(s: Subject) {
    let name = s.key("a");
    let mut last = 0;
    for round in 0..4_u128 {
        let contenders = (0..16_u128).map(|number| {
            let (s, name) = (s.clone(), name.clone());
            async move {
                let holder = round * 100 + number + 1;
                take(&s, &name, holder).await.map(|token| (holder, token))
            }
        });
        let granted: Vec<(u128, u64)> = join_all(contenders).await.into_iter().flatten().collect();
        assert_eq!(granted.len(), 1, "{granted:?}");
        let (holder, given) = granted[0];
        assert!(given > last, "{given} after {last}");
        last = given;
        assert_eq!(token(&locked(&s, release(&name, holder)).await), Some(given));
    }
}

async fn names(s: Subject) {
    let long = vec![b'x'; 1500];
    let odd: [&[u8]; 6] = [b"a", b"A", b"}x{\0'\"\\", b"\xff\xfe", b"{}", &long];
    for (at, name) in odd.iter().enumerate() {
        let holder = u128::MAX - u128::try_from(at).unwrap_or(0);
        assert!(take(&s, &s.key(name), holder).await.is_some(), "{name:?}");
    }
    for name in odd {
        assert_eq!(take(&s, &s.key(name), 7).await, None, "{name:?}");
    }
    let note = "wörker \u{1f512} '\\ {} %s".to_owned();
    let (name, ttl, counting, ground) = (s.key("note"), HOUR, Counting::Here, Ground::Free);
    let op = LockOp::Acquire {
        name: name.clone(),
        holder: 1,
        ttl,
        counting,
        note,
        ground,
        waiter: None,
    };
    assert!(token(&locked(&s, op).await).is_some());
    match locked(&s, acquire(&name, 2, HOUR, Counting::Here)).await {
        Locked::Held { note, .. } => assert_eq!(note, "wörker \u{1f512} '\\ {} %s"),
        other => unreachable!("it is held: {other:?}"),
    }
}

async fn phases(s: Subject) {
    let name = s.key("a");
    let commit = |holder, token| LockOp::Commit { name: name.clone(), holder, token };
    assert_eq!(locked(&s, commit(1, 5)).await, Locked::Gone, "nobody holds it");
    let told = token(&locked(&s, acquire(&name, 1, HOUR, Counting::Later)).await);
    let told = told.expect("free");
    assert_eq!(locked(&s, commit(2, told + 5)).await, Locked::Gone);
    assert_eq!(token(&locked(&s, commit(1, told + 5)).await), Some(told + 5));
    assert_eq!(locked(&s, commit(1, told + 5)).await, Locked::Gone, "only upward, never twice");
    assert_eq!(locked(&s, commit(1, told + 4)).await, Locked::Gone);
    match locked(&s, acquire(&name, 2, HOUR, Counting::Later)).await {
        Locked::Held { token, .. } => assert_eq!(token, told + 5),
        other => unreachable!("it is held: {other:?}"),
    }
    assert_eq!(token(&locked(&s, release(&name, 1)).await), Some(told + 5));
    let later = locked(&s, acquire(&name, 2, HOUR, Counting::Later)).await;
    assert_eq!(token(&later), Some(told + 5), "told, not moved");
    assert_eq!(token(&locked(&s, release(&name, 2)).await), Some(told + 5));
    assert_eq!(take(&s, &name, 3).await, Some(told + 6));
}

/// What two backends must agree about.
fn outline(locked: &Locked) -> (&'static str, u64) {
    match locked {
        Locked::Granted { token, .. } => ("granted", *token),
        Locked::Held { token, .. } => ("held", *token),
        Locked::Gone => ("gone", 0),
        Locked::Fenced(token) => ("fenced", *token),
        Locked::Refused => ("refused", 0),
    }
}

async fn random(s: Subject) {
    let mut reference = LockState::default();
    // Where an earlier check has admitted it, no token begins below its floor.
    let probe = s.key("floor");
    let floor = take(&s, &probe, 1).await.unwrap_or(1) - 1;
    let member = reference.perform(&LockOp::Member { id: 1 }, 0).into_member();
    let identity = member.expect("a member").identity;
    reference.perform(&LockOp::Admit { identity, floor }, 0);
    let begun: u64 = rand::random();
    let mut seed = begun;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for step in 0..300 {
        let name = s.key(["a", "b", "c"][usize::try_from(next(3)).unwrap_or(0)]);
        let holder = u128::from(next(3)) + 1;
        let op = match next(10) {
            0..=2 => acquire(&name, holder, HOUR, Counting::Here),
            3 => acquire(&name, holder, HOUR, Counting::Later),
            4 => renew(&name, holder, HOUR),
            5..=6 => release(&name, holder),
            7 => LockOp::Fence { resource: name, token: next(20) },
            _ => LockOp::Commit { name, holder, token: floor + next(40) },
        };
        let now_us = 1_700_000_000_000_000 + i64::from(step);
        let expected = reference.perform(&op, now_us).into_locked().expect("Locked");
        let found = locked(&s, op.clone()).await;
        assert_eq!(outline(&found), outline(&expected), "seed {begun}, step {step}: {op:?}");
    }
}

async fn fences(s: Subject) {
    let fence = |name: &str, token| LockOp::Fence { resource: s.key(name), token };
    assert_eq!(token(&locked(&s, fence("a", 5)).await), Some(5));
    assert_eq!(token(&locked(&s, fence("a", 5)).await), Some(5), "one holder writes often");
    assert_eq!(locked(&s, fence("a", 4)).await, Locked::Fenced(5));
    assert_eq!(token(&locked(&s, fence("a", 9)).await), Some(9));
    assert_eq!(locked(&s, fence("a", 5)).await, Locked::Fenced(9));
    assert_eq!(token(&locked(&s, fence("b", 1)).await), Some(1), "resources stand apart");
    let high = (1 << 53) - 1;
    assert_eq!(token(&locked(&s, fence("c", high)).await), Some(high));
    assert_eq!(locked(&s, fence("c", high - 1)).await, Locked::Fenced(high));
}

async fn list(s: Subject) {
    for (holder, name) in (1..).zip(["one", "two", "three"]) {
        assert!(take(&s, &s.key(name), holder).await.is_some());
    }
    assert!(token(&locked(&s, release(&s.key("two"), 2)).await).is_some());
    let (mut rows, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let op = Op::Lock(LockOp::List { after, limit: 2 });
        let LockPage { rows: page, next } = match s.execute(&op).await {
            Ok(reply) => reply.into_locks().expect("List answers Locks"),
            // Redis's cluster is many servers.
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
        };
        rows.extend(page.into_iter().filter(|row| row.name.as_bytes().starts_with(&s.prefix())));
        after = next;
        if after.is_none() {
            break;
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows.dedup();
    let shown: Vec<(Key, bool)> =
        rows.iter().map(|row| (row.name.clone(), row.left.is_some())).collect();
    let expected = [("one", true), ("three", true), ("two", false)];
    assert_eq!(shown, expected.map(|(name, held)| (s.key(name), held)));
    assert_eq!(rows[0].note, "holder 1");
    let holders: Vec<Option<u128>> = rows.iter().map(|row| row.holder).collect();
    assert_eq!(holders, [Some(1), Some(3), None]);
}

async fn member(s: &Subject) -> Option<Member> {
    match s.execute(&Op::Lock(LockOp::Member { id: 7 })).await {
        Ok(reply) => Some(reply.into_member().expect("Member answers Member")),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            None
        }
    }
}

async fn members(s: Subject) {
    let name = s.key("a");
    let on = |ground: &Ground, holder| {
        let (name, note, ground) = (name.clone(), String::new(), ground.clone());
        let counting = Counting::Later;
        LockOp::Acquire { name, holder, ttl: HOUR, counting, note, ground, waiter: None }
    };
    let Some(first) = member(&s).await else {
        return assert_eq!(
            s.refused(Op::Lock(on(&Ground::Member, 1))).await,
            ErrorKind::Unsupported
        );
    };
    assert!(!first.identity.is_empty());
    if !first.admitted {
        assert_eq!(locked(&s, on(&Ground::Member, 1)).await, Locked::Refused);
        let ground = Ground::Server(first.identity.clone());
        assert_eq!(locked(&s, on(&ground, 1)).await, Locked::Refused);
    }
    let admit = |identity: &str, floor| LockOp::Admit { identity: identity.to_owned(), floor };
    assert_eq!(locked(&s, admit("another", 5)).await, Locked::Refused);
    let floor = first.counter + 10;
    assert!(token(&locked(&s, admit(&first.identity, floor)).await).is_some());
    let second = member(&s).await.expect("a member");
    assert_eq!((second.identity.as_str(), second.admitted), (first.identity.as_str(), true));
    assert!(second.counter >= floor && second.known_for >= first.known_for);
    assert!(token(&locked(&s, admit(&first.identity, 1)).await).is_some());
    assert_eq!(token(&locked(&s, on(&Ground::Member, 1)).await), Some(floor), "never lowered");
    let same = Ground::Server(first.identity.clone());
    assert_eq!(token(&locked(&s, on(&same, 1)).await), Some(floor));
    let other = Ground::Server("another".to_owned());
    assert_eq!(locked(&s, on(&other, 1)).await, Locked::Refused);
    let renew = |ground| LockOp::Renew { name: name.clone(), holder: 1, ttl: HOUR, ground };
    assert!(token(&locked(&s, renew(Ground::Member)).await).is_some());
    assert!(token(&locked(&s, renew(same)).await).is_some());
    assert_eq!(locked(&s, renew(other)).await, Locked::Refused);
    let commit = LockOp::Commit { name: name.clone(), holder: 1, token: floor + 3 };
    assert_eq!(token(&locked(&s, commit).await), Some(floor + 3));
    assert!(member(&s).await.expect("a member").counter >= floor + 3);
    assert_eq!(take(&s, &s.key("new"), 1).await, Some(floor + 1), "nor given again elsewhere");
}

async fn asked(s: &Subject) -> Authority {
    let reply = s.done(Op::Lock(LockOp::Authority)).await;
    *reply.into_authority().expect("Authority answers Authority")
}

async fn authority(s: Subject) {
    let before = asked(&s).await;
    let seat = |backend: &str| Seat {
        backend: backend.to_owned(),
        identity: "run:réplica".to_owned(),
        ttl_max: Duration::from_secs(60),
        view: Duration::from_millis(2500),
    };
    let go = |epoch, backend: &str, wait| LockOp::Move { epoch, to: seat(backend), wait };
    let (epoch, wait) = (before.epoch, Duration::from_secs(1));
    assert_eq!(locked(&s, go(epoch + 1, "x", HOUR)).await, Locked::Refused);
    let moved = locked(&s, go(epoch, "redis", wait)).await;
    let Locked::Granted { token: epoch_now, .. } = moved else {
        unreachable!("it moves: {moved:?}")
    };
    assert_eq!(epoch_now, epoch + 1);
    assert_eq!(locked(&s, go(epoch, "db", HOUR)).await, Locked::Refused, "one of many moves it");
    let now = asked(&s).await;
    assert_eq!((now.epoch, &now.seat), (epoch + 1, &seat("redis")));
    // By the backend's own clock: how long this test takes does not matter. What the move says of its time is read after
    // it, on a busy machine by more than a little.
    let opens_us = before.now_us + 1_000_000;
    let told = |at: &Authority| at.now_us + i64::try_from(at.wait.as_micros()).expect("short");
    assert!(now.wait <= wait + before.wait && told(&now) >= opens_us, "{:?}", now.wait);
    let name = s.key("a");
    let on = |epoch| {
        let (name, note) = (name.clone(), String::new());
        let (counting, ground) = (Counting::Here, Ground::Epoch(epoch));
        LockOp::Acquire { name, holder: 1, ttl: HOUR, counting, note, ground, waiter: None }
    };
    let renew = |epoch| {
        let ground = Ground::Epoch(epoch);
        LockOp::Renew { name: name.clone(), holder: 1, ttl: HOUR, ground }
    };
    assert!(token(&locked(&s, go(epoch + 1, "db", Duration::ZERO)).await).is_some());
    assert!(told(&asked(&s).await) >= opens_us, "a move keeps what is left of the wait before it");
    assert_eq!(locked(&s, on(epoch + 1)).await, Locked::Refused, "an old epoch");
    assert_eq!(locked(&s, on(epoch + 3)).await, Locked::Refused, "a later epoch");
    let granted_us = loop {
        match locked(&s, on(epoch + 2)).await {
            Locked::Granted { now_us, .. } => break now_us,
            Locked::Refused => tokio::time::sleep(Duration::from_millis(20)).await,
            other => unreachable!("nobody holds it: {other:?}"),
        }
    };
    assert!(granted_us >= opens_us, "{granted_us} before {opens_us}: it waits");
    assert!(token(&locked(&s, renew(epoch + 2)).await).is_some());
    assert!(token(&locked(&s, go(epoch + 2, "db", Duration::ZERO)).await).is_some());
    assert_eq!(locked(&s, renew(epoch + 2)).await, Locked::Refused);
    assert!(token(&locked(&s, renew(epoch + 3)).await).is_some());
}

async fn fenced_writes(s: Subject) {
    let (key, other) = (s.key("k"), s.key("other"));
    let write = |token, op: Op| Op::Fenced {
        fence: Fence { lock: s.key("lock"), token },
        write: Box::new(op),
    };
    let set = |key: &Key, value: &'static str, condition: Condition| Op::Set {
        key: key.clone(),
        value: value.into(),
        ttl: TtlChange::Clear,
        condition,
        want_previous: false,
    };
    assert!(s.written(write(3, set(&key, "three", Condition::Always))).await.applied);
    assert!(s.written(write(3, set(&other, "three", Condition::Always))).await.applied);
    assert!(s.written(write(5, set(&key, "five", Condition::Always))).await.applied);
    let stale = write(4, set(&key, "four", Condition::Always));
    assert_eq!(s.refused(stale).await, ErrorKind::Fenced);
    let stale = write(4, Op::Increment { key: s.key("n"), by: 1 });
    assert_eq!(s.refused(stale).await, ErrorKind::Fenced, "any write");
    let stale = write(
        4,
        Op::Delete { key: key.clone(), condition: Condition::Always, want_previous: false },
    );
    assert_eq!(s.refused(stale).await, ErrorKind::Fenced);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"five"[..]));
    assert_eq!(s.value(&s.key("n")).await, None);
    assert!(!s.written(write(9, set(&key, "nine", Condition::Absent))).await.applied);
    let raised = LockOp::Fence { resource: s.key("lock"), token: 10 };
    assert!(token(&locked(&s, raised).await).is_some());
    assert_eq!(s.refused(write(9, set(&key, "nine", Condition::Always))).await, ErrorKind::Fenced);
    let many = write(
        11,
        Op::SetMany {
            entries: vec![(key.clone(), "eleven".into()), (other.clone(), "eleven".into())],
            ttl: TtlChange::Clear,
            all_absent: false,
        },
    );
    assert!(s.written(many).await.applied);
    assert_eq!(s.value(&other).await.as_deref(), Some(&b"eleven"[..]));
    let racing = (0..24_u64).map(|token| {
        let (s, write) =
            (s.clone(), write(100 + token % 8, Op::Increment { key: s.key("race"), by: 1 }));
        async move {
            match s.execute(&write).await {
                Ok(Reply::Written(written)) => Some((written.version, 100 + token % 8)),
                Ok(other) => unreachable!("{other:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "{error:?}");
                    None
                }
            }
        }
    });
    let mut done: Vec<_> = join_all(racing).await.into_iter().flatten().collect();
    done.sort_unstable();
    assert!(done.is_sorted_by_key(|(_, token)| *token), "in the order of the tokens: {done:?}");
    assert_eq!(done.last().map(|(_, token)| *token), Some(107), "the highest is never refused");
}
