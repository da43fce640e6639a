//! The way of one process to one server: every message is a task of its own, so that whoever gives up waiting does not
//! take back what he has sent.
//! It must not know what the messages mean, but for the lease that it overhears.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use mainstay::{
    Deadline, Error, ErrorKind, Instant, Op, Reply, Result,
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope},
    op::RecordOp,
};
use tokio::sync::oneshot;

use super::{
    dice::Dice,
    fate::{Fate, broken, sleep},
    plan::{Noise, Site},
    servers::Connection,
    weakness,
    world::{World, place},
};

/// The way of one process to one server.
#[derive(Debug)]
pub(super) struct Link {
    world: Arc<World>,
    process: usize,
    site: Site,
    /// The process has ended: nothing is sent, and nobody hears an answer.
    ended: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    connection: Option<Connection>,
    dice: Dice,
    /// Until when the record's answers allow reading copies.
    leased_until: Option<Instant>,
}

impl Link {
    pub(super) fn new(world: &Arc<World>, process: usize, site: Site, dice: Dice) -> Arc<Self> {
        let held = Held { connection: None, dice, leased_until: None };
        let world = Arc::clone(world);
        Arc::new(Self { world, process, site, ended: AtomicBool::new(false), held: held.into() })
    }

    /// The process ends without notice.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the record's answers allow reading copies now.
    pub(super) fn is_leased(&self, now: Instant) -> bool {
        self.held().leased_until.is_some_and(|until| now < until)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it stands; a proxy may have moved it.
    fn connection(&self) -> Result<Connection> {
        let mut held = self.held();
        let connection = held.connection.and_then(|connection| {
            self.world.state().role(self.site).follow(self.process, connection)
        });
        held.connection = connection;
        connection.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the connection is broken"))
    }

    async fn run(&self, op: &Op) -> Result<Reply> {
        if self.ended.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let connection = self.connection()?;
        let asked = self.world.clock().now();
        let fate = self.fate(op);
        let answer = self.send(op, connection, fate);
        let weakness = self.world.weakness;
        let again = weakness::sent_again(weakness, op, !fate.lost_back, &mut self.held().dice);
        if let Some(again) = again {
            self.world.state().weakened += 1;
            let later = Fate { there: again, ..Fate::calm() };
            drop(self.send(op, connection, later));
        }
        match answer.await {
            Ok(reply) if !self.ended.load(Ordering::Relaxed) => {
                self.overhear(op, &reply, asked);
                reply
            }
            // Lost: whoever waits goes by his own clock.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }

    /// Sends one message, which goes its way whoever waits for the answer.
    fn send(
        &self,
        op: &Op,
        connection: Connection,
        fate: Fate,
    ) -> oneshot::Receiver<Result<Reply>> {
        let (answer, answered) = oneshot::channel();
        let (world, process, site) = (Arc::clone(&self.world), self.process, self.site);
        let op = op.clone();
        self.world.tasks.spawn_to_end(async move {
            if let Some(reply) = deliver(&world, process, site, connection, &op, fate).await {
                // Nobody may be waiting any more.
                drop(answer.send(reply));
            }
        });
        answered
    }

    fn fate(&self, op: &Op) -> Fate {
        let mut held = self.held();
        let state = self.world.state();
        let plan = &self.world.plan;
        let noise = if state.healed { Noise::default() } else { plan.noise };
        let lags = !state.healed && plan.lagging.contains(&op.name());
        let commits = matches!(op, Op::Record(RecordOp::Commit { .. }));
        let unheard = commits && state.lost_replies > 0;
        drop(state);
        let mut fate = Fate::thrown(&mut held.dice, noise, unheard);
        if lags && held.dice.permille(600) {
            fate.there = held.dice.ms(300, 2_000);
        }
        fate
    }

    fn overhear(&self, op: &Op, reply: &Result<Reply>, asked: Instant) {
        if let (Op::Record(RecordOp::Lease { .. }), Ok(Reply::Lease(row))) = (op, reply)
            && row.control.active
        {
            self.held().leased_until = Some(asked + row.control.terms.lease);
        }
    }

    /// What `connect` and `probe` meet: nothing, or no answer.
    async fn reach(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let cut = {
            let state = self.world.state();
            [0, 1].iter().any(|way| state.is_cut(self.process, self.site, *way))
        };
        if cut || self.ended.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.world.hangs(self.site) {
            self.world.goes_on(self.site).await;
        }
    }
}

/// One message on its way; `None`: no answer ever comes.
async fn deliver(
    world: &World,
    process: usize,
    site: Site,
    connection: Connection,
    op: &Op,
    fate: Fate,
) -> Option<Result<Reply>> {
    sleep(fate.there).await;
    if fate.lost_there || world.state().is_cut(process, site, 0) {
        return fate.noticed.then(|| Err(broken(op)));
    }
    if world.hangs(site) {
        world.goes_on(site).await;
    }
    if fate.refused || world.state().errors[place(site)] > 0 {
        return Some(Err(Error::new(ErrorKind::Overloaded, "refused by the server")));
    }
    let Some(reply) = world.perform(process, site, connection, op) else {
        return Some(Err(broken(op)));
    };
    if fate.lost_back || world.state().is_cut(process, site, 1) {
        return fate.noticed.then(|| Err(broken(op)));
    }
    sleep(fate.back).await;
    Some(reply)
}

impl Backend for Link {
    fn engine(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> Capabilities {
        let redis = self.site == Site::Redis;
        Capabilities {
            scope: Scope::Shared,
            durability: if redis { Durability::Volatile } else { Durability::Crash },
            versions: true,
            atomic_many: true,
            copies: redis,
            control: !redis,
            locks: true,
            value_max: 1 << 20,
        }
    }

    fn connect(&self, _deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.reach().await;
            let connection = self.world.state().role(self.site).connect(self.process);
            self.held().connection = connection;
            let refused = || Error::new(ErrorKind::Disconnected, "connection refused");
            connection.map(drop).ok_or_else(refused)
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, _deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op))
    }

    fn probe(&self, _depth: ProbeDepth, _deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async {
            self.reach().await;
            self.connection()?;
            if self.world.state().errors[place(self.site)] > 0 {
                return Err(Error::new(ErrorKind::Overloaded, "refused by the server"));
            }
            Ok(ProbeReport::default())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
