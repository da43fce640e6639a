//! The processes of a run and their contenders: storages of the library over links, started, crashed, started anew.
//! It must not know why, nor what the contenders ask.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{
    Clock, Config, Entropy, Storage, Tasks,
    backend::Backend,
    config::{LockModeConfig, LocksConfig, RouteConfig},
};
use tokio::task::JoinSet;

use super::{
    contender::Contender,
    link::Link,
    plan::{Mode, Plan},
    world::World,
};
use crate::sim::{dice::Dice, freeze::Freeze, process::backend, world::skewed};

/// What the servers are called; the first one is the database.
const NAMES: [&str; 3] = ["db", "redis", "other"];

/// A call that says nothing gives up after this.
const DEADLINE: Duration = Duration::from_secs(2);

/// One running process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) index: usize,
    /// How often it has been started.
    pub(super) boot: u64,
    pub(super) storage: Storage,
    links: Vec<Arc<Link>>,
    /// Stops it.
    pub(super) freeze: Freeze,
}

/// All processes.
#[derive(Debug)]
pub(super) struct Fleet(Mutex<Vec<Seat>>);

/// The place of one process.
#[derive(Debug, Default)]
struct Seat {
    process: Option<Process>,
    contenders: JoinSet<()>,
    boots: u64,
}

impl Process {
    async fn start(world: &Arc<World>, index: usize, boot: u64) -> mainstay::Result<Self> {
        let mut dice = Dice::new(world.plan.seed, 100 + index as u64 * 1_000 + boot);
        let links = 0..world.plan.mode.servers();
        let links: Vec<Arc<Link>> = links
            .map(|server| Link::new(world, index, server, Dice::new(dice.next(), 0)))
            .collect();
        let freeze = Freeze::default();
        let tasks = freeze.clone();
        let mut builder = Storage::builder(config(&world.plan))
            .clock(Clock::starting_at(skewed(&mut dice)))
            .entropy(Entropy::seeded(dice.next()))
            .tasks(Tasks::within(move |task| tasks.around(task)));
        for (name, link) in NAMES.into_iter().zip(&links) {
            builder = builder.backend(name, Arc::clone(link) as Arc<dyn Backend>, backend(300));
        }
        let storage = builder.open().await?;
        Ok(Self { index, boot, storage, links, freeze })
    }

    /// It ends: what it has sent goes its way, nothing comes back.
    async fn crash(&self, world: &World) {
        self.links.iter().for_each(|link| link.end());
        world.ended(self.index);
        self.freeze.thaw();
        // Ends the loops; what they would still send goes nowhere.
        self.storage.close(Duration::ZERO).await;
    }
}

impl Fleet {
    /// Nobody has been started yet.
    pub(super) fn new(processes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new((0..processes).map(|_| Seat::default()).collect())))
    }

    /// Starts a process and its contenders, unless it runs.
    pub(super) async fn restart(&self, world: &Arc<World>, index: usize) {
        let boot = {
            let mut seats = self.lock();
            let seat = &mut seats[index];
            if seat.process.is_some() {
                return;
            }
            seat.boots += 1;
            seat.boots
        };
        let Ok(process) = Process::start(world, index, boot).await else { return };
        let mut seats = self.lock();
        let seat = &mut seats[index];
        for slot in 0..world.plan.contenders as u64 {
            let contender = Contender::new(world, &process, slot);
            seat.contenders.spawn(process.freeze.around(contender.work()));
        }
        seat.process = Some(process);
    }

    /// Stops one, or lets it go on.
    pub(super) fn freeze(&self, index: usize, on: bool) {
        let process = self.lock()[index].process.clone();
        match process {
            Some(process) if on => process.freeze.hold(),
            Some(process) => process.freeze.release(),
            None => {}
        }
    }

    /// Ends one without notice.
    pub(super) async fn crash(&self, world: &World, index: usize) {
        let (process, mut contenders) = {
            let mut seats = self.lock();
            (seats[index].process.take(), std::mem::take(&mut seats[index].contenders))
        };
        contenders.abort_all();
        if let Some(process) = process {
            process.crash(world).await;
        }
    }

    /// Waits until the contenders of all have ended.
    pub(super) async fn finished(&self) {
        let sets: Vec<JoinSet<()>> =
            self.lock().iter_mut().map(|seat| std::mem::take(&mut seat.contenders)).collect();
        for mut contenders in sets {
            while contenders.join_next().await.is_some() {}
        }
    }

    /// Those that run.
    pub(super) fn processes(&self) -> Vec<Process> {
        self.lock().iter().filter_map(|seat| seat.process.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config(plan: &Plan) -> Config {
    let mode = match plan.mode {
        Mode::Record => LockModeConfig::Record,
        Mode::Failover => LockModeConfig::Failover,
        Mode::Quorum => LockModeConfig::Quorum,
    };
    let mut backends: Vec<String> =
        NAMES.iter().take(plan.mode.servers()).map(|name| (*name).to_owned()).collect();
    // Redis first: the other one arbitrates.
    backends.reverse();
    let locks = LocksConfig {
        mode,
        backends,
        ttl_max: plan.ttl_max,
        view: plan.view,
        ..LocksConfig::default()
    };
    let route = RouteConfig { record: Some(NAMES[0].to_owned()), ..RouteConfig::default() };
    let mut config = Config { routes: vec![route], locks, ..Config::default() };
    config.limits.deadline = DEADLINE;
    config
}
