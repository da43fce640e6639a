//! The way of one process to one server: every message is a task of its own, so that whoever gives up waiting does not
//! take back what he has sent.
//! It must not know what the messages mean.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use mainstay::{
    Deadline, Error, ErrorKind, Op, Reply, Result,
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope},
};
use tokio::sync::oneshot;

use super::world::World;
use crate::sim::{
    dice::Dice,
    fate::{Fate, broken, sleep},
    plan::Noise,
    servers::Connection,
};

/// The way of one process to one server.
#[derive(Debug)]
pub(super) struct Link {
    world: Arc<World>,
    process: usize,
    server: usize,
    /// The process has ended: nothing is sent, and nobody hears an answer.
    ended: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    connection: Option<Connection>,
    dice: Dice,
}

impl Link {
    pub(super) fn new(world: &Arc<World>, process: usize, server: usize, dice: Dice) -> Arc<Self> {
        let held = Held { connection: None, dice };
        let world = Arc::clone(world);
        Arc::new(Self { world, process, server, ended: AtomicBool::new(false), held: held.into() })
    }

    /// The process ends without notice.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it stands; a proxy may have moved it.
    fn connection(&self) -> Result<Connection> {
        let mut held = self.held();
        let connection = held.connection.and_then(|connection| {
            self.world.state().roles[self.server].follow(self.process, connection)
        });
        held.connection = connection;
        connection.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the connection is broken"))
    }

    async fn run(&self, op: &Op) -> Result<Reply> {
        if self.ended.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let connection = self.connection()?;
        let fate = self.fate(op);
        match self.send(op, connection, fate).await {
            Ok(reply) if !self.ended.load(Ordering::Relaxed) => reply,
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
        let (world, process, server) = (Arc::clone(&self.world), self.process, self.server);
        let op = op.clone();
        self.world.tasks.spawn_to_end(async move {
            if let Some(reply) = deliver(&world, process, server, connection, &op, fate).await {
                // Nobody may be waiting any more.
                drop(answer.send(reply));
            }
        });
        answered
    }

    fn fate(&self, op: &Op) -> Fate {
        let mut held = self.held();
        let state = self.world.state();
        let noise = if state.healed { Noise::default() } else { self.world.plan.noise };
        let about_locks = matches!(op, Op::Lock(_));
        let unheard = about_locks && state.lost_replies[self.server] > 0;
        drop(state);
        let mut fate = Fate::thrown(&mut held.dice, noise, unheard);
        // Whoever asks at the end of a lease is not always a millisecond late.
        if held.dice.permille(500) {
            (fate.there, fate.back) = (fate.there / 8, fate.back / 8);
        }
        fate
    }

    /// What `connect` and `probe` meet: nothing, or no answer.
    async fn reach(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let cut = {
            let state = self.world.state();
            [0, 1].iter().any(|way| state.is_cut(self.process, self.server, *way))
        };
        if cut || self.ended.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.world.hangs(self.server).goes_on().await;
    }
}

/// One message on its way; `None`: no answer ever comes.
async fn deliver(
    world: &World,
    process: usize,
    server: usize,
    connection: Connection,
    op: &Op,
    fate: Fate,
) -> Option<Result<Reply>> {
    sleep(fate.there).await;
    if fate.lost_there || world.state().is_cut(process, server, 0) {
        return fate.noticed.then(|| Err(broken(op)));
    }
    world.hangs(server).goes_on().await;
    if fate.refused || world.state().errors[server] > 0 {
        return Some(Err(Error::new(ErrorKind::Overloaded, "refused by the server")));
    }
    let Some(reply) = world.perform(process, server, connection, op) else {
        return Some(Err(broken(op)));
    };
    if fate.lost_back || world.state().is_cut(process, server, 1) {
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
        let database = self.server == 0;
        Capabilities {
            scope: Scope::Shared,
            durability: if database { Durability::Crash } else { Durability::Volatile },
            versions: true,
            atomic_many: true,
            copies: false,
            control: database,
            locks: true,
            value_max: 1 << 20,
        }
    }

    fn connect(&self, _deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.reach().await;
            let connection = self.world.state().roles[self.server].connect(self.process);
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
            if self.world.state().errors[self.server] > 0 {
                return Err(Error::new(ErrorKind::Overloaded, "refused by the server"));
            }
            Ok(ProbeReport::default())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
