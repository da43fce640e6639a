//! Everything that the processes of one run share: the servers, the faults in force, the judge and the one clock.
//! It must not know what the contenders do.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{
    Clock, Instant, Op, Reply, Result, Tasks, backend::memory::Memory, op::LockOp, reply::Locked,
};

use super::{
    judge::{Belief, Hold, Judge, shown},
    plan::Plan,
    weakness::{self, Weakness},
};
use crate::{
    history::Micros,
    sim::{
        dice::Dice,
        hangs::Hangs,
        plan::Way,
        servers::{Connection, Role},
        world::skewed,
    },
};

/// What the processes of one run share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) weakness: Option<Weakness>,
    /// Messages under way.
    pub(super) tasks: Tasks,
    begun: Instant,
    clock: Clock,
    state: Mutex<State>,
    hangs: Vec<Hangs>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) roles: Vec<Role>,
    /// Per process and server: faults that cut the way there and the way back.
    cuts: Vec<Vec<[u32; 2]>>,
    /// Per server: faults that make it refuse.
    pub(super) errors: Vec<u32>,
    /// Per server: faults that lose its replies about locks.
    pub(super) lost_replies: Vec<u32>,
    /// Nothing goes wrong any more.
    pub(super) healed: bool,
    pub(super) judge: Judge,
    /// Of everything that happened, in its order.
    pub(super) hash: u64,
    pub(super) messages: u64,
}

impl World {
    pub(super) fn new(plan: &Plan, weakness: Option<Weakness>) -> Arc<Self> {
        let mut dice = Dice::new(plan.seed, 2);
        let servers = plan.mode.servers();
        let clock = Clock::starting_at(1_700_000_000_000);
        let role = |fast| Role::new(Clock::drifting(skewed(&mut dice), fast), false);
        let state = State {
            roles: plan.fast_ppm.into_iter().take(servers).map(role).collect(),
            cuts: vec![vec![[0; 2]; servers]; plan.processes],
            errors: vec![0; servers],
            lost_replies: vec![0; servers],
            healed: false,
            judge: Judge::default(),
            hash: 0xcbf2_9ce4_8422_2325,
            messages: 0,
        };
        Arc::new(Self {
            plan: plan.clone(),
            weakness,
            tasks: Tasks::new(),
            begun: clock.now(),
            clock,
            state: Mutex::new(state),
            hangs: (0..servers).map(|_| Hangs::default()).collect(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the start.
    pub(super) fn now(&self) -> Micros {
        let since = self.clock.now().saturating_duration_since(self.begun);
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    }

    /// That many milliseconds after the start.
    pub(super) fn at(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Notes something for people.
    pub(super) fn tell(&self, text: impl fmt::Display) {
        self.state().judge.tell(self.now(), text);
    }

    /// A lock was granted to somebody, now.
    pub(super) fn granted(&self, process: usize, lock: u64, token: u64, belief: &Belief) -> Hold {
        let token = Weakness::token(self.weakness, token);
        let (at, now) = (self.now(), self.clock.now());
        let mut state = self.state();
        state.fold(&[at, process as u64, lock, token]);
        state.judge.granted(at, now, (process, lock, token), belief)
    }

    /// A holder is inside.
    pub(super) fn inside(&self, lock: u64) {
        self.state().judge.look(self.now(), self.clock.now(), lock);
    }

    /// The held of which nobody knows any more.
    pub(super) fn ended(&self, process: usize) {
        let dropped = self.state().judge.ended(process);
        drop(dropped);
    }

    /// Cuts a way, or takes one cut back.
    pub(super) fn cut(&self, process: usize, server: usize, way: Way, on: bool) {
        let mut state = self.state();
        let cut = &mut state.cuts[process][server];
        for (index, meant) in [(0, way != Way::Back), (1, way != Way::There)] {
            if meant {
                cut[index] = if on { cut[index] + 1 } else { cut[index].saturating_sub(1) };
            }
        }
    }

    /// What holds a server.
    pub(super) fn hangs(&self, server: usize) -> &Hangs {
        &self.hangs[server]
    }

    /// Everything is mended, for good.
    pub(super) fn heal(&self) {
        {
            let mut state = self.state();
            state.healed = true;
            state.cuts.iter_mut().for_each(|cuts| cuts.fill([0; 2]));
            state.errors.fill(0);
            state.lost_replies.fill(0);
            for role in &mut state.roles {
                role.away = 0;
                role.unite();
            }
        }
        self.hangs.iter().for_each(Hangs::let_go);
        self.tell("everything is mended");
    }

    /// A server performs an operation.
    pub(super) fn perform(
        &self,
        process: usize,
        server: usize,
        connection: Connection,
        op: &Op,
    ) -> Option<Result<Reply>> {
        let memory = Arc::clone(self.state().roles[server].at(connection)?);
        let reply = weakness::perform(self.weakness, &memory, op, |name| {
            self.state().judge.holder(run_of(&memory), name.as_bytes())
        });
        let now = self.now();
        let mut state = self.state();
        state.messages += 1;
        let ok = u64::from(reply.is_ok());
        state.fold(&[now, process as u64, server as u64, ok]);
        state.fold_bytes(op.name().as_bytes());
        op.for_each_key(|key| state.fold_bytes(key.as_bytes()));
        match (op, &reply) {
            (Op::Lock(lock), Ok(Reply::Lock(locked))) => {
                state.heard(now, server, &memory, lock, locked);
            }
            (Op::Fenced { fence, write }, reply) => state.fenced(now, fence, write, reply),
            _ => {}
        }
        Some(reply)
    }
}

impl State {
    /// Whether messages of this process to (0) or from (1) the server are lost.
    pub(super) fn is_cut(&self, process: usize, server: usize, way: usize) -> bool {
        self.cuts[process][server][way] > 0
    }

    /// What an operation on locks tells the judge.
    fn heard(
        &mut self,
        at: Micros,
        server: usize,
        memory: &Arc<Memory>,
        op: &LockOp,
        locked: &Locked,
    ) {
        let Locked::Granted { now_us, token } = *locked else { return };
        let run = run_of(memory);
        let (name, holder, ends_us) = match op {
            LockOp::Acquire { name, holder, ttl, .. } | LockOp::Renew { name, holder, ttl, .. } => {
                let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
                (name, holder, now_us.saturating_add(ttl))
            }
            LockOp::Release { name, holder } => (name, holder, i64::MIN),
            LockOp::Move { wait, to, .. } => {
                self.judge.counts.moves += 1;
                let text =
                    format!("{} grants from epoch {token} on, after {wait:?} as asked", to.backend);
                return self.judge.tell(at, text);
            }
            LockOp::Admit { floor, .. } => {
                self.judge.counts.moves += 1;
                let text = format!("server {server} may grant, tokens above {floor}");
                return self.judge.tell(at, text);
            }
            _ => return,
        };
        let lease = (run, name.as_bytes(), *holder);
        let renewed = matches!(op, LockOp::Renew { .. });
        self.judge.leased(at, lease, (now_us, ends_us), renewed);
    }

    /// What a write under a token tells the judge.
    fn fenced(
        &mut self,
        at: Micros,
        fence: &mainstay::op::Fence,
        write: &Op,
        reply: &Result<Reply>,
    ) {
        let Op::Set { value, .. } = write else { return };
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
        let lock = fence.lock.as_bytes().strip_prefix(b"l").and_then(number);
        let (Some(lock), Some(holder)) = (lock, number(value)) else { return };
        match reply {
            Ok(_) => self.judge.wrote(at, lock, fence.token, holder),
            Err(error) if error.kind() == mainstay::ErrorKind::Fenced => {
                self.judge.counts.refused += 1;
                let text = format!("{holder} may not write under token {}", shown(fence.token));
                self.judge.tell(at, text);
            }
            Err(_) => {}
        }
    }

    pub(super) fn fold(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.fold_bytes(&number.to_le_bytes()));
    }

    fn fold_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A server's memory is one run of it.
fn run_of(memory: &Arc<Memory>) -> u64 {
    Arc::as_ptr(memory).addr() as u64
}

/// The key of a lock: its number.
pub(super) fn name_of(lock: u64) -> String {
    format!("l{lock}")
}
