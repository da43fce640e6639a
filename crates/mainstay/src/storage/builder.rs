//! Opening: adapters from URLs, nodes around them, the table of routes, the background tasks.
//! It must not perform operations.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::{Inner, Storage, journal, reconfigure::Settings, watch};
use crate::{
    backend::{Backend, Durability, Scope, memory::Memory, open},
    cache::{self, feed},
    clock::{Clock, Instant},
    config::{BackendConfig, Config, check_name, invalid},
    entropy::Entropy,
    error::{Error, Result},
    event::{EventKind, Events},
    exec::{self, FILLS_MAX, Road, count::Counts, readmit},
    guard::backoff,
    live::LiveDuration,
    load::{self, Loads},
    lock::{Locks, Parts},
    merging,
    node::Node,
    observe::Observer,
    route::{self, NodeInfo, Route, Shape, Table},
    sync::{
        audit,
        backlog::Backlog,
        domain::Domain,
        drain, keeper,
        merge::{JournalConflict, Merge, Merged},
        overflow::Overflow,
        replay,
        rows::Rows,
    },
    task::Tasks,
    trace::Share,
};

/// The embedded record when nothing else is configured.
const EMBEDDED_NAME: &str = "sqlite";
const EMBEDDED_URL: &str = "sqlite:./mainstay-data/mainstay.db";
const EMBEDDED_DIR: &str = "./mainstay-data";

/// `open` waits this long for first connections and leases, so that the first operation finds them.
const FIRST_CONNECT_WAIT: Duration = Duration::from_millis(300);

/// Time between two looks for keys that a node took for a better one.
const RELIEVE_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two looks for rows of what other processes had a node take.
const ROWS_INTERVAL: Duration = Duration::from_secs(1);

/// Time before keys are moved up again to a backend that has just refused one.
const RELIEVE_PAUSE: Duration = Duration::from_secs(5);

/// Parts to open a storage from.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    custom: BTreeMap<String, (Arc<dyn Backend>, BackendConfig)>,
    clock: Option<Clock>,
    entropy: Option<Entropy>,
    tasks: Tasks,
    merge: Option<Merge>,
    trace_share: f64,
    traces_max: Option<u32>,
}

impl Builder {
    pub(super) fn new(config: Config) -> Self {
        let (custom, tasks) = (BTreeMap::new(), Tasks::new());
        Self {
            config,
            custom,
            clock: None,
            entropy: None,
            tasks,
            merge: None,
            trace_share: 1.0,
            traces_max: None,
        }
    }

    /// Decides what becomes of a journaled write to a single key that meets somebody else's write in the record. Called
    /// in the background, must not block; without it such a write becomes a dead letter.
    #[must_use]
    pub fn merge(
        mut self,
        decide: impl Fn(&JournalConflict) -> Merged + Send + Sync + 'static,
    ) -> Self {
        self.merge = Some(Merge::new(decide));
        self
    }

    /// Adds a backend of one's own under a name, which routes may use. The URL of its configuration is ignored.
    #[must_use]
    pub fn backend(
        mut self,
        name: impl Into<String>,
        backend: Arc<dyn Backend>,
        config: BackendConfig,
    ) -> Self {
        self.custom.insert(name.into(), (backend, config));
        self
    }

    /// The share of operations, from 0 to 1, that offer a span to whoever records traces; an operation within a trace
    /// ([`Traced`](crate::trace::Traced)) always does. 1 by default: the subscriber decides about each.
    #[must_use]
    pub fn trace_share(mut self, share: f64) -> Self {
        self.trace_share = share;
        self
    }

    /// At most so many traces begin each second, whatever the share: what they cost is bounded. Default: no bound.
    #[must_use]
    pub fn traces_max(mut self, per_second: u32) -> Self {
        self.traces_max = Some(per_second);
        self
    }

    /// Another clock than the system's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A seed, for tests: the same seed gives the same choices.
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Where the background tasks run, for simulations.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// As `Storage::open`.
    pub async fn open(mut self) -> Result<Storage> {
        let embedded = self.fill_in_default();
        self.check()?;
        let clock = self.clock.take().unwrap_or_else(Clock::system);
        let entropy = self.entropy.take().unwrap_or_else(Entropy::system);
        let (events, tasks) = (Events::new(clock.clone()), self.tasks.clone());
        let memory = self.memory(&clock);
        let nodes = self.nodes(&memory, &clock, &entropy, &events)?;
        let table =
            route::build(&self.config, &nodes.iter().map(|node| info(node)).collect::<Vec<_>>())?;
        let (domains, domain_of) = domains(&self.config, &table, &nodes, clock.now());
        let loads = table.routes().iter().any(|route| load::is_own(route, &nodes));
        let l1 = cache::Layout::new(&self.config.l1, &table, &domain_of, loads, &entropy);
        let backlog =
            journal::open(&self.config.journal, &table, self.merge.take(), &clock, &entropy)
                .await?;
        let locks = locks(&self.config, &nodes, &clock, &entropy, &tasks, &events)?;
        let road = Arc::new(Road {
            backlog,
            domains,
            l1,
            domain_of,
            rows: rows(&table, &nodes),
            overflow: table.routes().iter().map(|_| Overflow::default()).collect(),
            together: table.routes().iter().map(|_| merging::Shared::default()).collect(),
            counts: Counts::new(table.routes().len(), nodes.len()),
            loads: Loads::new(&self.config, table.routes(), &nodes),
            fills: Arc::new(Semaphore::new(FILLS_MAX)),
            table,
            nodes,
            clock,
            entropy,
            tasks,
        });
        let (opened, traces) = (road.clock.now(), self.traces(&road));
        let observer = observer(&self.config, &road);
        let settings = Settings::new(self.config.clone(), memory, embedded.is_some());
        let folder = watch::folder(&self.config, road.backlog.is_some(), embedded);
        watch::open(&observer, &events, &road.tasks, folder).await;
        // Before the first connection: what an earlier process has seen stands before it.
        events.publish(None, EventKind::Storage { state: "open" }, "");
        start(&road).await;
        road.tasks.spawn(watch::keep(Arc::clone(&road), observer.clone()));
        let [default_source, journal_source, loader_source] =
            ["default", "journal", "loader"].map(Arc::from);
        Ok(Storage(Arc::new(Inner {
            settings,
            road,
            events,
            locks,
            observer,
            traces,
            opened,
            refused: super::limits::Counts::default(),
            injecting: Mutex::default(),
            default_source,
            journal_source,
            loader_source,
        })))
    }

    fn check(&self) -> Result<()> {
        for name in self.custom.keys() {
            check_name(name).map_err(|problem| invalid(&format!("backends.{name}"), problem))?;
        }
        self.config.validate_with(|name| self.custom.contains_key(name))
    }

    fn traces(&self, road: &Road) -> Share {
        Share::new(self.trace_share, self.traces_max, road.clock.clone(), road.entropy.clone())
    }

    /// The folder of the embedded database, where that is what there is.
    fn fill_in_default(&mut self) -> Option<PathBuf> {
        let nothing = self.config.backends.is_empty() && self.config.routes.is_empty();
        let embedded = nothing && self.custom.is_empty();
        self.config = with_embedded(std::mem::take(&mut self.config), embedded);
        embedded.then(|| PathBuf::from(EMBEDDED_DIR))
    }

    fn memory(&self, clock: &Clock) -> Arc<Memory> {
        let value_max = self.config.limits.value_max();
        Arc::new(Memory::new(&self.config.memory, value_max, clock.clone()))
    }

    fn nodes(
        &self,
        memory: &Arc<Memory>,
        clock: &Clock,
        entropy: &Entropy,
        events: &Events,
    ) -> Result<Vec<Arc<Node>>> {
        let value_max = self.config.limits.value_max();
        let mut parts: Vec<(&str, Arc<dyn Backend>, BackendConfig)> = Vec::new();
        for (name, config) in &self.config.backends {
            parts.push((name, adapter(name, config, value_max, clock, entropy)?, config.clone()));
        }
        for (name, (backend, config)) in &self.custom {
            parts.push((name, Arc::clone(backend), config.clone()));
        }
        let of_memory = BackendConfig { inflight_max: Some(100_000), ..BackendConfig::default() };
        parts.push((Config::MEMORY, Arc::<Memory>::clone(memory), of_memory));
        let node =
            |(id, (name, backend, config)): (usize, (&str, Arc<dyn Backend>, BackendConfig))| {
                Arc::new(Node::new(
                    id,
                    Arc::from(name),
                    backend,
                    &config,
                    clock.clone(),
                    entropy.clone(),
                    events.clone(),
                ))
            };
        Ok(parts.into_iter().enumerate().map(node).collect())
    }
}

fn observer(config: &Config, road: &Road) -> Observer {
    let named = |node: &Arc<Node>| (Arc::clone(node.name()), node.is_local());
    let backends: Vec<(Arc<str>, bool)> = road.nodes.iter().map(named).collect();
    Observer::new(&config.observe, &backends, road.clock.now(), watch::totals(road))
}

/// The embedded record is there where nothing else is.
pub(super) fn with_embedded(mut config: Config, embedded: bool) -> Config {
    if embedded && config.backends.is_empty() {
        config.backends.insert(EMBEDDED_NAME.to_owned(), BackendConfig::at(EMBEDDED_URL));
    }
    config
}

pub(super) fn info(node: &Node) -> NodeInfo {
    let capabilities = node.capabilities();
    NodeInfo {
        name: Arc::clone(node.name()),
        durable: capabilities.durability >= Durability::Crash,
        shared: capabilities.scope == Scope::Shared,
        copies: capabilities.copies,
        control: capabilities.control,
        ttl_max: node.ttl_max(),
    }
}

/// Of each node that takes for a better one and keeps account of it: what is known of its rows.
fn rows(table: &Table, nodes: &[Arc<Node>]) -> Vec<Option<Rows>> {
    let of = |(id, node): (usize, &Arc<Node>)| {
        let capabilities = node.capabilities();
        let keeps = capabilities.control && capabilities.durability >= Durability::Crash;
        let takes = |route: &Arc<Route>| exec::rows::stands_below(route, id);
        (keeps && table.routes().iter().any(takes)).then(Rows::default)
    };
    nodes.iter().enumerate().map(of).collect()
}

/// Each pair of cache and record once, and for each route which is its.
fn domains(
    config: &Config,
    table: &Table,
    nodes: &[Arc<Node>],
    now: Instant,
) -> (Vec<Arc<Domain>>, Vec<Option<usize>>) {
    let (mut domains, mut of_routes): (Vec<Arc<Domain>>, _) = (Vec::new(), Vec::new());
    for route in table.routes() {
        let Shape::Record { cache: Some(cache), record, .. } = route.shape else {
            of_routes.push(None);
            continue;
        };
        let known =
            domains.iter().position(|domain| domain.cache == cache && domain.record == record);
        of_routes.push(Some(known.unwrap_or(domains.len())));
        if known.is_none() {
            let name = Arc::clone(nodes[cache].name());
            let statement = nodes[record].timeout();
            let terms = config.consistency.clone();
            domains.push(Arc::new(Domain::new(cache, record, name, terms, statement, now)));
        }
    }
    (domains, of_routes)
}

fn locks(
    config: &Config,
    nodes: &[Arc<Node>],
    clock: &Clock,
    entropy: &Entropy,
    tasks: &Tasks,
    events: &Events,
) -> Result<Locks> {
    Locks::new(Parts {
        config: config.locks.clone(),
        wait_max: LiveDuration::new(config.locks.wait_max),
        drifts: nodes.iter().map(|_| Mutex::default()).collect(),
        nodes: nodes.to_vec(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        tasks: tasks.clone(),
        events: events.clone(),
        deadline: LiveDuration::new(config.limits.deadline),
    })
}

/// Starts every node's supervisor, and what tends each cache; waits a little for first connections.
async fn start(road: &Arc<Road>) {
    for (id, node) in road.nodes.iter().enumerate() {
        let weak = Arc::downgrade(road);
        node.set_readmit(Arc::new(move || {
            let weak = Weak::clone(&weak);
            Box::pin(async move {
                match weak.upgrade() {
                    Some(road) => readmit::readmit(&road, id).await,
                    None => Ok(0),
                }
            })
        }));
        node.start(&road.tasks);
        let stands_in = |route: &Arc<Route>| {
            let failover = matches!(route.shape, Shape::Failover { .. });
            failover && route.authority() != id && route.nodes().any(|node| node == id)
        };
        if road.table.routes().iter().any(stands_in) {
            road.tasks.spawn(keep_relieving(Arc::clone(road), id));
        }
    }
    for id in 0..road.domains.len() {
        road.tasks.spawn(keeper::keep(Arc::clone(road), id));
        road.tasks.spawn(drain::keep(Arc::clone(road), id));
        road.tasks.spawn(audit::keep(Arc::clone(road), id));
        if road.l1.of_domain(id).is_some() {
            road.tasks.spawn(feed::keep(Arc::clone(road), id));
        }
    }
    let changes = |route: &&Arc<Route>| route.source.as_ref().is_some_and(|s| s.changes.is_some());
    for route in road.table.routes().iter().filter(changes) {
        road.tasks.spawn(load::changes::keep(Arc::clone(road), Arc::clone(route)));
    }
    for record in road.backlog.iter().flat_map(Backlog::records) {
        road.tasks.spawn(replay::keep(Arc::clone(road), record));
    }
    let ready = async {
        join_all(road.nodes.iter().map(|node| node.first_attempt())).await;
        join_all(road.domains.iter().map(|domain| domain.first_lease(&road.clock))).await;
    };
    // Late ones connect in the background.
    drop(tokio::time::timeout(FIRST_CONNECT_WAIT, ready).await);
}

/// What this node took for a better one is moved up soon after that one serves.
async fn keep_relieving(road: Arc<Road>, id: usize) {
    let (mut relieve_at, mut look_at) = (road.clock.now(), road.clock.now());
    loop {
        if road.clock.now() >= look_at {
            readmit::look_for_rows(&road, id).await;
            let pause = backoff::spread(ROWS_INTERVAL, 0.2, road.entropy.unit());
            look_at = road.clock.now() + pause;
        }
        if road.clock.now() >= relieve_at && readmit::relieve(&road, id).await.is_err() {
            // Its breaker and supervisor have seen it. Keys that are asked for are moved all the same.
            relieve_at = road.clock.now() + RELIEVE_PAUSE;
        }
        readmit::rest(&road, id).await;
        tokio::time::sleep(RELIEVE_INTERVAL).await;
    }
}

/// What `open` refuses of a configuration, found without opening or connecting anything.
pub(super) fn check(config: &Config) -> Result<()> {
    config.validate()?;
    let (clock, entropy) = (Clock::system(), Entropy::seeded(0));
    let mut builder = Builder::new(config.clone());
    builder.fill_in_default();
    let memory = builder.memory(&clock);
    let nodes = builder.nodes(&memory, &clock, &entropy, &Events::new(clock.clone()))?;
    route::build(&builder.config, &nodes.iter().map(|node| info(node)).collect::<Vec<_>>())
        .map(drop)
}

/// The adapter of a backend; an error begins with the path of what it refuses.
fn adapter(
    name: &str,
    config: &BackendConfig,
    value_max: usize,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Arc<dyn Backend>> {
    open::open(config, value_max, clock, entropy).map_err(|error| {
        let problem = error.message();
        let problem = problem.trim_start_matches("the URL: ").trim_start_matches("url: ");
        Error::new(error.kind(), format!("backends.{name}.url: {problem}"))
    })
}
