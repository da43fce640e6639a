//! Carries the faults of a plan out, each a task of its own.
//! It must not know what the contenders do.

use std::{sync::Arc, time::Duration};

use mainstay::{Op, Reply, backend::memory::MemorySnapshot, op::LockOp};

use super::{
    plan::{Fault, Mode, Trouble},
    process::Fleet,
    world::World,
};
use crate::sim::{plan::Way, servers::perform};

/// One fault, from its beginning to its end.
pub(super) async fn carry_out(world: Arc<World>, fleet: Arc<Fleet>, fault: Fault) {
    let Fault { at_ms, for_ms, kind } = fault;
    let back_ms = match kind {
        Trouble::Forget { back_ms: Some(back_ms), .. } => back_ms,
        _ => 0,
    };
    tokio::time::sleep_until(world.at(at_ms.saturating_sub(back_ms))).await;
    let dump = match kind {
        Trouble::Forget { server, back_ms: Some(_), .. } => {
            Some(world.state().roles[server].memory().snapshot())
        }
        _ => None,
    };
    tokio::time::sleep_until(world.at(at_ms)).await;
    if world.state().healed || !may(&world, kind) {
        return;
    }
    world.tell(format_args!("{kind:?}"));
    begin(&world, &fleet, kind, dump.as_ref()).await;
    tokio::time::sleep(Duration::from_millis(for_ms)).await;
    if !world.state().healed {
        world.tell(format_args!("end of {kind:?}"));
        end(&world, &fleet, kind).await;
    }
}

/// Whether it is among what locks are promised to stand.
fn may(world: &World, kind: Trouble) -> bool {
    let Trouble::Forget { server, .. } = kind else { return true };
    if world.plan.mode != Mode::Quorum {
        return true;
    }
    let state = world.state();
    let others = state.roles.iter().enumerate().filter(|(other, _)| *other != server);
    let member = Op::Lock(LockOp::Member { id: 0 });
    let admitted = |memory| {
        let answer = perform(memory, &member).and_then(Reply::into_member);
        answer.is_ok_and(|member| member.admitted)
    };
    others.map(|(_, role)| role.memory()).all(|memory| admitted(memory))
}

async fn begin(world: &World, fleet: &Fleet, kind: Trouble, dump: Option<&MemorySnapshot>) {
    match kind {
        Trouble::Cut { process, server, way } => world.cut(process, server, way, true),
        Trouble::Alone { process } => alone(world, process, true),
        Trouble::Hang(server) => world.hangs(server).hold(true),
        Trouble::Errors(server) => world.state().errors[server] += 1,
        Trouble::Away(server) => world.state().roles[server].away += 1,
        Trouble::LostReplies(server) => world.state().lost_replies[server] += 1,
        Trouble::Crash { process } => fleet.crash(world, process).await,
        Trouble::Freeze { process } => fleet.freeze(process, true),
        Trouble::Forget { server, proxied, split, .. } => {
            let mut state = world.state();
            let role = &mut state.roles[server];
            role.unite();
            let memory = role.succeed(proxied);
            if let Some(dump) = dump {
                memory.restore(dump);
            }
            if let Some(process) = split {
                role.split(process);
            }
        }
    }
}

async fn end(world: &Arc<World>, fleet: &Fleet, kind: Trouble) {
    let less = |faults: &mut u32| *faults = faults.saturating_sub(1);
    match kind {
        Trouble::Cut { process, server, way } => world.cut(process, server, way, false),
        Trouble::Alone { process } => alone(world, process, false),
        Trouble::Hang(server) => world.hangs(server).hold(false),
        Trouble::Errors(server) => less(&mut world.state().errors[server]),
        Trouble::LostReplies(server) => less(&mut world.state().lost_replies[server]),
        Trouble::Away(server) => {
            let mut state = world.state();
            let role = &mut state.roles[server];
            less(&mut role.away);
            role.restart();
        }
        Trouble::Crash { process } => fleet.restart(world, process).await,
        Trouble::Freeze { process } => fleet.freeze(process, false),
        Trouble::Forget { server, split: Some(_), .. } => world.state().roles[server].unite(),
        Trouble::Forget { split: None, .. } => {}
    }
}

fn alone(world: &World, process: usize, on: bool) {
    for server in 0..world.plan.mode.servers() {
        world.cut(process, server, Way::Both, on);
    }
}
