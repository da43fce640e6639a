//! Rules of the locks that a run can do without, so that the simulation shows that it would notice.
//! It must not know who asks. Each is left out between the library and the server, or by whom a lock is used, so that the
//! library stays as it is.

use std::time::Duration;

use mainstay::{
    Key, Op, Reply, Result,
    backend::memory::Memory,
    op::{Counting, Ground, LockOp},
    reply::Locked,
};

use super::judge::COUNTER_BITS;
use crate::sim::servers::perform as ask;

/// One rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// A new authority grants at once.
    NoWaitAtHandover,
    /// A new authority waits for the longest lease, and not until nobody goes by the one before any more.
    WaitWithoutView,
    /// A new authority waits until nobody goes by the one before any more, and not for the leases of that one.
    WaitWithoutLease,
    /// Users see the counter of a token, and not the epoch.
    TokenWithoutEpoch,
    /// Redis grants whichever run of it the authority is.
    RunNotTested,
    /// A release frees a lock whoever holds it.
    ReleaseWithoutHolder,
    /// A renewal begins a lease anew though it has ended.
    RenewalResurrects,
    /// A holder believes in the whole lease: nothing is taken off for clocks.
    NoDriftAllowance,
    /// A member that has forgotten votes as soon as it has the counters of the others.
    MemberVotesAtOnce,
    /// Members vote whether they were let or not.
    VotesNotTested,
    /// A member that has forgotten does not take the counters of the others.
    MemberWithoutFloor,
    /// The database does not compare the tokens of writes.
    NoFence,
}

impl Weakness {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoWaitAtHandover,
        Self::WaitWithoutView,
        Self::WaitWithoutLease,
        Self::TokenWithoutEpoch,
        Self::RunNotTested,
        Self::ReleaseWithoutHolder,
        Self::RenewalResurrects,
        Self::NoDriftAllowance,
        Self::MemberVotesAtOnce,
        Self::VotesNotTested,
        Self::MemberWithoutFloor,
        Self::NoFence,
    ];

    /// A token as its holder passes it on.
    pub(super) fn token(weakness: Option<Self>, token: u64) -> u64 {
        match weakness {
            Some(Self::TokenWithoutEpoch) => token & ((1 << COUNTER_BITS) - 1),
            _ => token,
        }
    }
}

/// The server performs an operation, but for what is left out; `holder` has the lock of this name there, or had it last.
pub(super) fn perform(
    weakness: Option<Weakness>,
    server: &Memory,
    op: &Op,
    holder: impl Fn(&Key) -> u128,
) -> Result<Reply> {
    let Some(weakness) = weakness else { return ask(server, op) };
    match (weakness, op) {
        (Weakness::NoFence, Op::Fenced { write, .. }) => ask(server, write),
        (Weakness::ReleaseWithoutHolder, Op::Lock(LockOp::Release { name, .. })) => {
            let (name, holder) = (name.clone(), holder(name));
            ask(server, &Op::Lock(LockOp::Release { name, holder }))
        }
        (_, Op::Lock(lock)) => on_lock(weakness, server, lock),
        _ => ask(server, op),
    }
}

fn on_lock(weakness: Weakness, server: &Memory, lock: &LockOp) -> Result<Reply> {
    let mut op = lock.clone();
    match (weakness, &mut op) {
        (Weakness::NoWaitAtHandover, LockOp::Move { wait, .. }) => *wait = Duration::ZERO,
        (Weakness::WaitWithoutView, LockOp::Move { wait, to, .. }) => {
            *wait = (*wait).min(to.ttl_max.mul_f64(1.01));
        }
        (Weakness::WaitWithoutLease, LockOp::Move { wait, to, .. }) => {
            *wait = (*wait).min(to.view.mul_f64(1.01));
        }
        (
            Weakness::RunNotTested,
            LockOp::Acquire { ground: ground @ Ground::Server(_), .. }
            | LockOp::Renew { ground: ground @ Ground::Server(_), .. },
        )
        | (
            Weakness::VotesNotTested,
            LockOp::Acquire { ground: ground @ Ground::Member, .. }
            | LockOp::Renew { ground: ground @ Ground::Member, .. },
        ) => *ground = Ground::Free,
        (Weakness::NoDriftAllowance, LockOp::Acquire { ttl, .. } | LockOp::Renew { ttl, .. }) => {
            *ttl = ttl.mul_f64(0.99).saturating_sub(Duration::from_millis(2))
        }
        (Weakness::MemberWithoutFloor, LockOp::Admit { floor, .. }) => *floor = 0,
        (Weakness::RenewalResurrects, LockOp::Renew { .. })
        | (Weakness::MemberVotesAtOnce, LockOp::Member { .. }) => {
            return otherwise(server, lock);
        }
        _ => {}
    }
    ask(server, &Op::Lock(op))
}

/// What takes more than one question, or another answer.
fn otherwise(server: &Memory, lock: &LockOp) -> Result<Reply> {
    let reply = ask(server, &Op::Lock(lock.clone()))?;
    match (lock, reply) {
        (LockOp::Renew { name, holder, ttl, ground }, Reply::Lock(Locked::Gone)) => {
            let (counting, note) = (Counting::Later, String::new());
            let (name, holder, ttl, ground) = (name.clone(), *holder, *ttl, ground.clone());
            let again = LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter: None };
            match ask(server, &Op::Lock(again))? {
                Reply::Lock(Locked::Held { .. }) => Ok(Reply::Lock(Locked::Gone)),
                reply => Ok(reply),
            }
        }
        (_, Reply::Member(mut member)) => {
            member.known_for = Duration::from_secs(3_600);
            Ok(Reply::Member(member))
        }
        (_, reply) => Ok(reply),
    }
}
