//! One process: a storage of the library over two links, started and ended without notice.
//! It must not know what its clients ask.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use mainstay::{
    Builder, Clock, Config, Entropy, Storage, Tasks,
    backend::Backend,
    config::{
        BackendConfig, BreakerConfig, Consistency, ConsistencyConfig, HealthConfig,
        ReconnectConfig, RouteConfig,
    },
};

use super::{
    client::Client,
    dice::Dice,
    fleet::Member,
    freeze::Freeze,
    link::Link,
    plan::{Plan, Site},
    servers::CACHE,
    world::{World, skewed},
};

/// The record's name.
const RECORD: &str = "record";

/// One running process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) index: usize,
    /// How often it has been started.
    pub(super) boot: u64,
    pub(super) storage: Storage,
    redis: Arc<Link>,
    pub(super) record: Arc<Link>,
    /// Stops it.
    pub(super) freeze: Freeze,
}

/// All processes.
pub(super) type Fleet = super::fleet::Fleet<Process>;

impl Member for Process {
    type World = World;

    async fn start(world: &Arc<World>, index: usize, boot: u64) -> mainstay::Result<Self> {
        let stream = 100 + index as u64 * 1_000 + boot;
        let mut dice = Dice::new(world.plan.seed, stream);
        let mut link = |site| {
            let dice = Dice::new(dice.next(), 0);
            Link::new(world, index, site, dice)
        };
        let (redis, record) = (link(Site::Redis), link(Site::Record));
        let freeze = Freeze::default();
        let storage = library(config(&world.plan), &mut dice, &freeze)
            .backend(CACHE, Arc::clone(&redis) as Arc<dyn Backend>, backend(300))
            .backend(
                RECORD,
                Arc::clone(&record) as Arc<dyn Backend>,
                backend(u64::try_from(world.plan.statement.as_millis()).unwrap_or(500)),
            )
            .open()
            .await?;
        Ok(Self { index, boot, storage, redis, record, freeze })
    }

    fn users(&self, world: &Arc<World>) -> Vec<BoxFuture<'static, ()>> {
        let slots = 0..world.plan.clients as u64;
        slots.map(|slot| Client::new(world, self, slot).work().boxed()).collect()
    }

    fn freeze(&self) -> &Freeze {
        &self.freeze
    }

    async fn crash(&self, _: &World) {
        self.redis.end();
        self.record.end();
        self.freeze.thaw();
        // Ends the loops; what they would still send goes nowhere.
        self.storage.close(Duration::ZERO).await;
    }
}

/// The library as every process opens it: with a clock and a seed of its own, and stopped by its `freeze`.
pub(super) fn library(config: Config, dice: &mut Dice, freeze: &Freeze) -> Builder {
    let tasks = freeze.clone();
    Storage::builder(config)
        .clock(Clock::starting_at(skewed(dice)))
        .entropy(Entropy::seeded(dice.next()))
        .tasks(Tasks::within(move |task| tasks.around(task)))
}

impl Process {
    /// Whether it may read copies, by what it knows, and no key is dirty.
    pub(super) fn is_ready(&self) -> bool {
        let status = self.storage.status();
        status.caches.iter().all(|cache| cache.readable && cache.dirty_keys == 0)
    }

    /// Why not, for people.
    pub(super) fn complaint(&self) -> String {
        let status = self.storage.status();
        let caches = status.caches.iter().map(|cache| {
            format!(
                "process {}: {} {} dirty: {}",
                self.index, cache.phase, cache.dirty_keys, cache.reason
            )
        });
        caches.chain([status.sentence.clone()]).collect::<Vec<_>>().join("; ")
    }
}

fn config(plan: &Plan) -> Config {
    let route = RouteConfig {
        cache: vec![CACHE.to_owned()],
        record: Some(RECORD.to_owned()),
        consistency: if plan.strict { Consistency::Strict } else { Consistency::Bounded },
        ..RouteConfig::default()
    };
    let consistency = ConsistencyConfig {
        lease: plan.lease,
        mark: Some(plan.mark),
        dirty_max: plan.dirty_max,
        audit: if plan.audits { Duration::from_secs(1) } else { Duration::ZERO },
    };
    Config { routes: vec![route], consistency, backends: BTreeMap::new(), ..Config::default() }
}

/// The defaults, faster where a run of some seconds would see none of it.
pub(super) fn backend(timeout_ms: u64) -> BackendConfig {
    let ms = Duration::from_millis;
    BackendConfig {
        timeout: Some(ms(timeout_ms)),
        connect_timeout: ms(500),
        breaker: BreakerConfig {
            window: ms(2_000),
            open: ms(300),
            open_max: ms(2_000),
            half_open_max: ms(1_000),
            ..BreakerConfig::default()
        },
        health: HealthConfig {
            interval: ms(1_000),
            timeout: ms(300),
            up_after: 1,
            confirm_interval: ms(100),
            ..HealthConfig::default()
        },
        reconnect: ReconnectConfig { base: ms(20), max: ms(500), ..ReconnectConfig::default() },
        ..BackendConfig::default()
    }
}
