//! Everything that the processes of one run share: the servers, the faults in force, the history and the one clock.
//! It must not know what the clients do.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{Clock, Instant, Op, Reply, Result, Tasks, op::RecordOp};

use super::{
    dice::Dice,
    doubt::Doubts,
    hangs::Hangs,
    plan::{Plan, Site, Way},
    servers::{Connection, Role, beacon_of, control_of},
    weakness::{self, Weakness},
};
use crate::history::{History, MarkKind, Micros};

/// What the processes of one run share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) weakness: Option<Weakness>,
    pub(super) history: History,
    /// Messages under way.
    pub(super) tasks: Tasks,
    begun: Instant,
    clock: Clock,
    state: Mutex<State>,
    /// How many faults hold each server.
    hangs: [Hangs; 2],
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) redis: Role,
    pub(super) record: Role,
    /// Per process and server: faults that cut the way there and the way back.
    cuts: Vec<[[u32; 2]; 2]>,
    /// Per server: faults that make it refuse.
    pub(super) errors: [u32; 2],
    /// Faults that lose the replies of commits.
    pub(super) lost_replies: u32,
    /// Nothing goes wrong any more.
    pub(super) healed: bool,
    pub(super) doubts: Doubts,
    /// When no key was dirty the last time (of a run that forgets).
    pub(super) clean_at: Micros,
    /// How often the control row was degraded.
    pub(super) degraded: u64,
    /// Whether dirty keys were too many at some time.
    pub(super) overflowed: bool,
    /// Whether there is a control row.
    controlled: bool,
    pub(super) dice: Dice,
    /// Of everything that happened, in its order.
    pub(super) hash: u64,
    pub(super) messages: u64,
    /// How often the weakness made a difference.
    pub(super) weakened: u64,
    /// Calls that belong to no session.
    nameless: u32,
}

impl World {
    pub(super) fn new(plan: &Plan, weakness: Option<Weakness>) -> Arc<Self> {
        let mut dice = Dice::new(plan.seed, 2);
        let clock = Clock::starting_at(1_700_000_000_000);
        let mut server_clock =
            |site| Clock::drifting(skewed(&mut dice), plan.fast_ppm[place(site)]);
        let evicts = plan.evicts && weakness != Some(Weakness::EvictionsHidden);
        let state = State {
            redis: Role::new(server_clock(Site::Redis), evicts),
            record: Role::new(server_clock(Site::Record), false),
            cuts: vec![[[0; 2]; 2]; plan.processes],
            errors: [0; 2],
            lost_replies: 0,
            healed: false,
            doubts: Doubts::default(),
            clean_at: 0,
            degraded: 0,
            overflowed: false,
            controlled: false,
            dice,
            hash: 0xcbf2_9ce4_8422_2325,
            messages: 0,
            weakened: 0,
            nameless: 0,
        };
        Arc::new(Self {
            plan: plan.clone(),
            weakness,
            history: History::bounded(20_000),
            tasks: Tasks::new(),
            begun: clock.now(),
            clock,
            state: Mutex::new(state),
            hangs: [Hangs::default(), Hangs::default()],
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

    /// Notes a fault for people.
    pub(super) fn mark(&self, text: String) {
        self.state().fold(&text);
        self.history.mark(MarkKind::Fault(text), self.now());
    }

    /// Who Redis is, and its beacon.
    pub(super) fn redis_now(&self) -> (String, u64) {
        let state = self.state();
        let Some((control, _)) = state.control() else { return (String::new(), 0) };
        let beacon = beacon_of(state.redis.memory(), &control);
        (beacon.identity, beacon.beacon)
    }

    /// Cuts a way, or takes one cut back.
    pub(super) fn cut(&self, process: usize, site: Site, way: Way, on: bool) {
        let mut state = self.state();
        let cut = &mut state.cuts[process][place(site)];
        for (index, meant) in [(0, way != Way::Back), (1, way != Way::There)] {
            if meant {
                cut[index] = if on { cut[index] + 1 } else { cut[index].saturating_sub(1) };
            }
        }
    }

    /// Holds a server, or lets it go.
    pub(super) fn hang(&self, site: Site, on: bool) {
        self.hangs[place(site)].hold(on);
    }

    /// Whether it is held.
    pub(super) fn hangs(&self, site: Site) -> bool {
        self.hangs[place(site)].holds()
    }

    /// Waits until the server goes on.
    pub(super) async fn goes_on(&self, site: Site) {
        self.hangs[place(site)].goes_on().await;
    }

    /// Everything is mended, for good.
    pub(super) fn heal(&self) {
        {
            let mut state = self.state();
            state.healed = true;
            state.cuts.fill([[0; 2]; 2]);
            state.errors = [0; 2];
            state.lost_replies = 0;
            (state.redis.away, state.record.away) = (0, 0);
            state.redis.unite();
        }
        for hangs in &self.hangs {
            hangs.let_go();
        }
        self.history.mark(MarkKind::Healed, self.now());
    }

    /// A server performs an operation.
    pub(super) fn perform(
        &self,
        process: usize,
        site: Site,
        connection: Connection,
        op: &Op,
    ) -> Option<Result<Reply>> {
        let server = Arc::clone(self.state().role(site).at(connection)?);
        let reply = weakness::perform(self.weakness, self, &server, op);
        let now = self.now();
        let mut state = self.state();
        state.messages += 1;
        let ok = u64::from(reply.is_ok());
        state.fold_numbers(&[now, process as u64, place(site) as u64, ok]);
        state.fold(op.name());
        op.for_each_key(|key| state.fold_bytes(key.as_bytes()));
        if let Op::Record(op) = op {
            state.heard(op, &reply, now);
        }
        if site == Site::Record && self.plan.forgets() && !state.is_dirty() {
            state.clean_at = now;
        }
        Some(reply)
    }
}

impl State {
    pub(super) fn role(&mut self, site: Site) -> &mut Role {
        match site {
            Site::Redis => &mut self.redis,
            Site::Record => &mut self.record,
        }
    }

    /// Whether messages of this process to (0) or from (1) the server are lost.
    pub(super) fn is_cut(&self, process: usize, site: Site, way: usize) -> bool {
        self.cuts[process][place(site)][way] > 0
    }

    /// Whether the control row says that copies may be read.
    pub(super) fn is_active(&self) -> bool {
        self.controlled && control_of(self.record.memory()).is_some_and(|(row, _)| row.active)
    }

    /// The control row and the dirty keys, if there is a row.
    pub(super) fn control(&self) -> Option<(mainstay::op::Control, Vec<mainstay::Key>)> {
        if self.controlled { control_of(self.record.memory()) } else { None }
    }

    /// Whether some copy may be older than the record, for everybody to know.
    pub(super) fn is_dirty(&self) -> bool {
        self.control().is_some_and(|(_, dirty)| !dirty.is_empty())
    }

    /// What an operation on the control row tells the harness.
    fn heard(&mut self, op: &RecordOp, reply: &Result<Reply>, now: Micros) {
        match (op, reply) {
            (RecordOp::Lease { .. }, Ok(Reply::Lease(row))) => {
                self.controlled = true;
                self.overflowed |= row.more;
            }
            (RecordOp::Degrade { .. }, Ok(Reply::Integer(1))) => {
                self.degraded += 1;
                let lease = self.control().map_or(Duration::ZERO, |(row, _)| row.terms.lease);
                self.doubts.noticed(now, Micros::try_from(lease.as_micros()).unwrap_or(0));
            }
            _ => {}
        }
    }

    /// The session of a call that belongs to none.
    pub(super) fn next_session(&mut self) -> u32 {
        self.nameless += 1;
        NAMELESS + self.nameless
    }

    pub(super) fn fold(&mut self, text: &str) {
        self.fold_bytes(text.as_bytes());
    }

    pub(super) fn fold_numbers(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.fold_bytes(&number.to_le_bytes()));
    }

    fn fold_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Sessions of one call each have higher numbers.
const NAMELESS: u32 = 1_000_000_000;

/// A wall clock that is up to a minute wrong.
pub(super) fn skewed(dice: &mut Dice) -> i64 {
    1_700_000_000_000 + i64::try_from(dice.below(120_000)).unwrap_or(0) - 60_000
}

pub(super) fn place(site: Site) -> usize {
    match site {
        Site::Redis => 0,
        Site::Record => 1,
    }
}
