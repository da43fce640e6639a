//! The end of a run: everything is mended, and then each process has to get each lock, and nobody has one at the end.
//! It must not know what had happened.

use std::{sync::Arc, time::Duration};

use mainstay::{LockOptions, Op, Reply, op::LockOp};

use super::{
    judge::{Belief, Broken, Held},
    process::{Fleet, Process},
    world::{World, name_of},
};
use crate::sim::servers::perform;

/// How long a lock may take once nothing goes wrong any more: reconnection and breakers wait some seconds, the quarantine of
/// a flapping backend up to 30, a move of the authority its wait.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// How long a message may be under way.
const REST: Duration = Duration::from_secs(5);

/// Mends everything, and looks; how long it took until each process had had each lock, milliseconds.
pub(super) async fn bring(world: &Arc<World>, fleet: &Fleet) -> u64 {
    fleet.finished().await;
    world.heal();
    fleet.processes().iter().for_each(|process| process.freeze.thaw());
    for index in 0..world.plan.processes {
        fleet.restart(world, index).await;
    }
    fleet.finished().await;
    let begun = world.clock().now();
    for process in &fleet.processes() {
        for lock in 0..world.plan.locks {
            take(world, process, lock).await;
        }
    }
    let took = world.clock().now().saturating_duration_since(begun);
    released(world, &fleet.processes()).await;
    tokio::time::sleep(REST + world.plan.ttl_max.mul_f64(1.1)).await;
    free(world);
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

async fn take(world: &Arc<World>, process: &Process, lock: u64) {
    let (ttl, wait) = (Some(world.plan.ttl_max), Some(Duration::from_secs(1)));
    let options = LockOptions { ttl, wait, ..LockOptions::default() };
    let limit = world.clock().now() + RECOVERY_MAX;
    let mut last = String::new();
    while world.clock().now() < limit {
        match process.storage.lock_with(name_of(lock), options.clone()).await {
            Ok(Some(guard)) => {
                let token = guard.token();
                let belief = Belief::new(Held::Guard(guard));
                world.granted(process.index, lock, token, &belief);
                if let Held::Guard(guard) = belief.give_up() {
                    guard.release().await;
                }
                return;
            }
            Ok(None) => "it is held".clone_into(&mut last),
            Err(error) => {
                last = error.to_string();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let told = format!("process {} does not get lock {lock}: {last}", process.index);
    world.state().judge.broken(world.now(), Broken::HeldForEver, &told);
}

/// What is released in the background comes to its end.
async fn released(world: &World, processes: &[Process]) {
    let limit = world.clock().now() + RECOVERY_MAX;
    for process in processes {
        loop {
            let locks = process.storage.status().locks;
            if locks.releasing == 0 && locks.held == 0 && locks.waiting == 0 {
                break;
            }
            if world.clock().now() >= limit {
                let told = format!("process {} still has {locks:?}", process.index);
                return world.state().judge.broken(world.now(), Broken::HeldForEver, &told);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Nobody has anything.
fn free(world: &World) {
    let list = Op::Lock(LockOp::List { after: None, limit: usize::MAX });
    let mut state = world.state();
    let pages = state.roles.iter().map(|role| perform(role.memory(), &list));
    let rows: Vec<_> = pages
        .filter_map(|page| page.and_then(Reply::into_locks).ok())
        .flat_map(|page| page.rows)
        .filter(|row| row.left.is_some())
        .collect();
    if !rows.is_empty() {
        let told = format!("held by nobody: {rows:?}");
        state.judge.broken(world.now(), Broken::HeldForEver, &told);
    }
}
