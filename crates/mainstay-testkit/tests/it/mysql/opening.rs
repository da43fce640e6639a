//! What an epoch refuses until it opens, asked without a pause: on MariaDB a change and the look at it are two moments.

use std::{sync::Arc, time::Duration};

use mainstay::{
    Key, Op,
    backend::Backend,
    op::{Counting, Ground, LockOp, Seat},
    reply::Locked,
};
use mainstay_testkit::servers::MariaDb;

use super::{connected, done, new};

const ROUNDS: u64 = 200;
const HOUR: Duration = Duration::from_hours(1);

async fn asked(backend: &Arc<dyn Backend>, op: LockOp) -> Locked {
    done(backend, Op::Lock(op)).await.into_locked().unwrap()
}

fn acquire(name: Key, epoch: u64) -> LockOp {
    let (counting, note, ground) = (Counting::Here, String::new(), Ground::Epoch(epoch));
    LockOp::Acquire { name, holder: 1, ttl: HOUR, counting, note, ground, waiter: None }
}

async fn move_on(backend: &Arc<dyn Backend>, epoch: u64) {
    let wait = Duration::from_millis(5);
    let to = Seat { backend: "redis".into(), identity: "run".into(), ttl_max: HOUR, view: wait };
    let moved = asked(backend, LockOp::Move { epoch, to, wait }).await;
    assert!(matches!(moved, Locked::Granted { .. }), "{moved:?}");
}

/// Asks until it is granted; every other answer has to be a refusal.
async fn until_granted(backend: &Arc<dyn Backend>, op: LockOp) {
    loop {
        match asked(backend, op.clone()).await {
            Locked::Granted { .. } => return,
            Locked::Refused => {}
            other => unreachable!("neither held nor gone: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_yet_served_is_refused_and_told_nothing_of_holders() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 2).await;
    let name = Key::from("held");
    until_granted(&backend, acquire(name.clone(), 0)).await;
    for epoch in 1..=ROUNDS {
        move_on(&backend, epoch - 1).await;
        let ground = Ground::Epoch(epoch);
        let op = match epoch % 2 {
            0 => acquire(Key::from(format!("new:{epoch}")), epoch),
            _ => LockOp::Renew { name: name.clone(), holder: 1, ttl: HOUR, ground },
        };
        until_granted(&backend, op).await;
    }
}
