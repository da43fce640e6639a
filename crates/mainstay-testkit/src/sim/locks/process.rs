//! One process: a storage of the library over links, started and ended without notice.
//! It must not know what its contenders ask.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use mainstay::{
    Config, Storage,
    backend::Backend,
    config::{LockModeConfig, LocksConfig, RouteConfig},
};

use super::{
    contender::Contender,
    link::Link,
    plan::{Mode, Plan},
    world::World,
};
use crate::sim::{
    dice::Dice,
    fleet::Member,
    freeze::Freeze,
    process::{backend, library},
};

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
pub(super) type Fleet = crate::sim::fleet::Fleet<Process>;

impl Member for Process {
    type World = World;

    async fn start(world: &Arc<World>, index: usize, boot: u64) -> mainstay::Result<Self> {
        let mut dice = Dice::new(world.plan.seed, 100 + index as u64 * 1_000 + boot);
        let links = 0..world.plan.mode.servers();
        let links: Vec<Arc<Link>> = links
            .map(|server| Link::new(world, index, server, Dice::new(dice.next(), 0)))
            .collect();
        let freeze = Freeze::default();
        let mut builder = library(config(&world.plan), &mut dice, &freeze);
        for (name, link) in NAMES.into_iter().zip(&links) {
            builder = builder.backend(name, Arc::clone(link) as Arc<dyn Backend>, backend(300));
        }
        let storage = builder.open().await?;
        Ok(Self { index, boot, storage, links, freeze })
    }

    fn users(&self, world: &Arc<World>) -> Vec<BoxFuture<'static, ()>> {
        let slots = 0..world.plan.contenders as u64;
        slots.map(|slot| Contender::new(world, self, slot).work().boxed()).collect()
    }

    fn freeze(&self) -> &Freeze {
        &self.freeze
    }

    async fn crash(&self, world: &World) {
        self.links.iter().for_each(|link| link.end());
        world.ended(self.index);
        self.freeze.thaw();
        // Ends the loops; what they would still send goes nowhere.
        self.storage.close(Duration::ZERO).await;
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
