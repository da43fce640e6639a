//! Who waits for a lock: noted, let pass others, served, forgotten.
//! Knows nothing of how a process waits; what each operation means is `semantics::locks`.

use super::{HOUR, acquire, locked, release, renew, take, token};
use crate::conformance::{Check, Subject};
use mainstay::Key;
use mainstay::backend::semantics::locks::PASSES_MAX;
use mainstay::op::{Counting, LockOp, Waiter};
use mainstay::reply::Locked;
use std::time::Duration;

pub(in crate::conformance) const CHECKS: &[Check] = &[
    Check::new("locks: who waits is served in time", |s| Box::pin(waiting(s))).when(|c| c.locks),
    Check::new("locks: a lock is kept in vain once", |s| Box::pin(in_vain(s))).when(|c| c.locks),
];

/// A process looks at a lock, and has waited for so long; whether it was granted, under its own number.
async fn look(s: &Subject, name: &Key, process: u128, waited: Duration) -> bool {
    let mut op = acquire(name, process, HOUR, Counting::Here);
    if let LockOp::Acquire { waiter, .. } = &mut op {
        *waiter = Some(Waiter { process, waited });
    }
    token(&locked(s, op).await).is_some()
}

/// Holders take turns until the lock is kept from the next: how many had it, `u64::MAX` when nobody was ever refused. This
/// waiter says every few turns that it waits still: its note outlasts a slow disk.
async fn turns(s: &Subject, name: &Key, most: u64, waiter: Option<u128>) -> u64 {
    for turn in 0..most {
        let holder = 1_000 + u128::from(turn);
        if take(s, name, holder).await.is_none() {
            return turn;
        }
        if let Some(waiter) = waiter.filter(|_| turn % 4 == 3) {
            assert!(!look(s, name, waiter, Duration::from_secs(600)).await, "it is held");
        }
        assert_ne!(locked(s, release(name, holder)).await, Locked::Gone);
    }
    u64::MAX
}

async fn waiting(s: Subject) {
    // Where something stalls for longer than a note stands or a lock is kept, nothing is shown: once more then.
    for attempt in 0..20 {
        let name = s.key(format!("waits {attempt}"));
        assert!(look(&s, &name, 7, HOUR).await, "it is free");
        let mut refused = !look(&s, &name, 1, Duration::from_secs(5)).await;
        refused &= !look(&s, &name, 2, Duration::from_secs(4)).await;
        refused &= !look(&s, &name, 3, Duration::from_secs(600)).await;
        assert!(refused && token(&locked(&s, renew(&name, 7, HOUR)).await).is_some(), "it is held");
        assert_ne!(locked(&s, release(&name, 7)).await, Locked::Gone);
        let had_it = turns(&s, &name, PASSES_MAX + 1, Some(3)).await;
        let others = !look(&s, &name, 1, HOUR).await && take(&s, &name, 5).await.is_none();
        if had_it != PASSES_MAX || !others {
            assert!(had_it >= PASSES_MAX, "{had_it}");
            continue;
        }
        if !look(&s, &name, 3, HOUR).await {
            continue;
        }
        assert_ne!(locked(&s, release(&name, 3)).await, Locked::Gone);
        assert_eq!(
            turns(&s, &name, 40, None).await,
            u64::MAX,
            "its turn is over, and nobody else is noted"
        );
        return;
    }
    unreachable!("who waited longest was never served first");
}

async fn in_vain(s: Subject) {
    for attempt in 0..20 {
        let name = s.key(format!("vain {attempt}"));
        assert!(look(&s, &name, 7, HOUR).await && !look(&s, &name, 1, HOUR).await);
        assert_ne!(locked(&s, release(&name, 7)).await, Locked::Gone);
        if turns(&s, &name, PASSES_MAX + 1, Some(1)).await != PASSES_MAX {
            continue;
        }
        let mut got = None;
        for _ in 0..2000 {
            got = take(&s, &name, 5).await;
            if got.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(got.is_some(), "the one that it was kept for never came");
        assert_ne!(locked(&s, release(&name, 5)).await, Locked::Gone);
        assert_eq!(turns(&s, &name, 40, None).await, u64::MAX, "once");
        return;
    }
    unreachable!("it was never kept");
}
