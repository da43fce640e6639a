//! Servers of the drill's own in the places of those that the configuration names.
//! It must not know what the storage does with them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::future::try_join_all;
use mainstay::{
    Clock, Config, Entropy,
    backend::{Backend, open},
    config::{BackendConfig, Engine, LockModeConfig},
};
use mainstay_servers::servers::{
    MariaDb, Persist, Postgres, Redis, RedisOptions, installed, workdir::WorkDir,
};

use super::{
    StandsBehind, World, WorldError,
    gate::Gate,
    place::{PATIENCE, Place},
    server::Server,
    stand_in::{self, StandIn},
};
use crate::scenario::Fault;

/// Servers of one drill at most.
const PLACES_MAX: usize = 8;

/// A database for the configuration that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A PostgreSQL.
    Postgres,
    /// A MariaDB.
    MariaDb,
    /// A SQLite file.
    Sqlite,
}

/// What servers to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Mainstay's own RESP server and SQLite also where the real engines are installed.
    pub stand_ins: bool,
    /// The database where the configuration names no backend. Default: PostgreSQL, else MariaDB, else SQLite, as installed.
    pub database: Option<Database>,
    /// Whether a Redis has what was acknowledged when it is started again after a crash. Default: it has nothing.
    pub durable: bool,
    /// Whether locks will be asked for.
    pub locks: bool,
    /// The binary that serves as a Redis where there is none. Default: the running one.
    pub program: Option<PathBuf>,
}

/// The throw-away servers of one drill. Dropping it ends them.
#[derive(Debug)]
pub struct Throwaway {
    places: BTreeMap<String, (Place, StandsBehind)>,
    /// Where the journal lies.
    _dir: WorkDir,
}

/// A backend that is opened by the drill itself, under its name.
pub type Custom = (String, Arc<dyn Backend>, BackendConfig);

impl Throwaway {
    /// Starts a server for each backend of the configuration, and puts its URL in the place of the configured one; for
    /// a configuration without backends a Redis and a database. What had to be changed is said in `notes`.
    ///
    /// # Errors
    /// When a server cannot be started.
    pub async fn start(
        config: &mut Config,
        options: &Options,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Vec<Custom>), WorldError> {
        fill_in(config, options);
        notes
            .extend(config.backends.iter().filter_map(|(name, backend)| plain(name, &backend.url)));
        leave_out_sources(config, notes);
        if config.backends.len() > PLACES_MAX {
            let text = format!("a drill starts at most {PLACES_MAX} servers");
            return Err(WorldError::Unsuitable(text));
        }
        let dir = WorkDir::new("drill")?;
        config.journal.dir = dir.join("journal");
        let starting = config.backends.iter().map(async |(name, backend)| {
            let started = begin(backend, options).await?;
            Ok::<_, WorldError>((name.clone(), backend.clone(), started))
        });
        let (mut places, mut customs) = (BTreeMap::new(), Vec::new());
        for (name, mut backend, started) in try_join_all(starting).await? {
            let wanted = backend.engine();
            let (place, behind) = match started {
                Started::Server(server) => {
                    let behind = describe(&name, server.engine(), server.what(), server.is_real());
                    let place = Place::behind(server).await?;
                    if let Place::Behind { server, proxy, .. } = &place {
                        backend.url = server.url(proxy.port());
                    }
                    config.backends.insert(name.clone(), backend.clone());
                    (place, behind)
                }
                Started::File(dir) => {
                    backend.url = format!("sqlite:{}", dir.join("drill.db").display());
                    let value_max = config.limits.value_max();
                    let (clock, entropy) = (Clock::system(), Entropy::system());
                    let opened = open::open(&backend, value_max, &clock, &entropy)?;
                    let gate = Arc::new(Gate::new(opened));
                    config.backends.remove(&name);
                    let shared: Arc<dyn Backend> = Arc::<Gate>::clone(&gate);
                    customs.push((name.clone(), shared, backend.clone()));
                    let behind = describe(&name, "sqlite", "SQLite, a file in this process", false);
                    (Place::File { gate, _dir: dir }, behind)
                }
            };
            notes.extend(note(&name, wanted, &behind, options));
            places.insert(name, (place, behind));
        }
        let stand_in = places.values().any(|(_, behind)| behind.engine == "redis" && !behind.real);
        if options.locks && stand_in {
            lock_elsewhere(config, notes);
        }
        Ok((Self { places, _dir: dir }, customs))
    }

    fn places_of(&mut self, targets: &[String]) -> Vec<&mut Place> {
        let meant = |(name, _): &(&String, _)| targets.contains(name);
        self.places.iter_mut().filter(meant).map(|(_, (place, _))| place).collect()
    }
}

impl World for Throwaway {
    fn places(&self) -> Vec<StandsBehind> {
        self.places.values().map(|(_, behind)| behind.clone()).collect()
    }

    async fn prepare(&mut self, targets: &[String], fault: &Fault) -> Result<(), WorldError> {
        let each = self.places_of(targets).into_iter().map(|place| place.prepare(fault));
        bounded(try_join_all(each)).await
    }

    async fn inject(&mut self, targets: &[String], fault: &Fault) -> Result<(), WorldError> {
        let each = self.places_of(targets).into_iter().map(|place| place.inject(fault));
        bounded(try_join_all(each)).await
    }

    async fn heal(&mut self, targets: &[String], fault: &Fault) -> Result<(), WorldError> {
        let each = self.places_of(targets).into_iter().map(|place| place.heal(fault));
        bounded(try_join_all(each)).await
    }

    fn ended(&mut self) -> Option<String> {
        let ended = |(_, (place, _)): &mut (&String, &mut (Place, _))| place.has_ended();
        self.places.iter_mut().find_map(|mut entry| ended(&mut entry).then(|| entry.0.clone()))
    }
}

async fn bounded(
    work: impl Future<Output = Result<Vec<()>, WorldError>>,
) -> Result<(), WorldError> {
    let late = |_| WorldError::Unsuitable(format!("a server did not do it within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?.map(drop)
}

enum Started {
    Server(Box<Server>),
    File(WorkDir),
}

/// The real engine where it is installed, otherwise what stands in for it.
async fn begin(backend: &BackendConfig, options: &Options) -> Result<Started, WorldError> {
    let real =
        |programs: &[&str]| !options.stand_ins && programs.iter().all(|each| installed(each));
    let server = match backend.engine() {
        Some(Engine::Redis) if real(&["redis-server", "redis-cli"]) => {
            let persist = if options.durable { Persist::Aof } else { Persist::None };
            let options = RedisOptions { persist, ..RedisOptions::default() };
            Server::Redis(Redis::start_with(options).await?)
        }
        Some(Engine::Redis) => {
            let program = match &options.program {
                Some(program) => program.clone(),
                None => stand_in::this_program()?,
            };
            Server::StandIn(StandIn::start(&program).await?)
        }
        Some(Engine::Postgres) if real(POSTGRES) => Server::Postgres(Postgres::start().await?),
        Some(Engine::Mysql) if real(MARIADB) => Server::MariaDb(MariaDb::start().await?),
        Some(Engine::Postgres | Engine::Mysql | Engine::Sqlite) | None => {
            return Ok(Started::File(WorkDir::new("sqlite")?));
        }
    };
    Ok(Started::Server(Box::new(server)))
}

const POSTGRES: &[&str] = &["postgres", "initdb", "psql"];
const MARIADB: &[&str] = &["mariadbd", "mariadb-install-db", "mariadb"];

/// A Redis and a database for a configuration that names no backend. The URLs only say which engine.
fn fill_in(config: &mut Config, options: &Options) {
    if !config.backends.is_empty() {
        return;
    }
    let there = |programs: &[&str]| programs.iter().all(|each| installed(each));
    let database = options.database.unwrap_or(match () {
        () if there(POSTGRES) => Database::Postgres,
        () if there(MARIADB) => Database::MariaDb,
        () => Database::Sqlite,
    });
    let url = match database {
        Database::Postgres => "postgres://127.0.0.1/drill",
        Database::MariaDb => "mysql://127.0.0.1/drill",
        Database::Sqlite => "sqlite:drill.db",
    };
    config.backends.insert("db".to_owned(), BackendConfig::at(url));
    config.backends.insert("redis".to_owned(), BackendConfig::at("redis://127.0.0.1"));
}

/// Rows of the user's own tables are not in a throw-away database.
fn leave_out_sources(config: &mut Config, notes: &mut Vec<String>) {
    config.routes.retain(|route| {
        if route.source.is_some() {
            notes.push(format!(
                "the route `{}` reads tables of yours, which a throw-away database does not have: it is left out",
                route.prefix
            ));
        }
        route.source.is_none()
    });
}

/// What is not as the configuration, or a machine with every engine, would have it.
fn note(
    name: &str,
    wanted: Option<Engine>,
    behind: &StandsBehind,
    options: &Options,
) -> Option<String> {
    let why = if options.stand_ins { "as was asked for" } else { "as the engine is not installed" };
    let stands_in = match wanted {
        Some(Engine::Redis) => !behind.real,
        Some(Engine::Postgres) => behind.engine != "postgres",
        Some(Engine::Mysql) => behind.engine != "mysql",
        Some(Engine::Sqlite) | None => false,
    };
    stands_in.then(|| format!("{name} is {}, {why}", behind.what))
}

/// A server of the drill's own is a single one without TLS.
fn plain(name: &str, url: &str) -> Option<String> {
    let scheme = url.split(':').next().unwrap_or_default();
    let other = ["sentinel", "cluster", "rediss", "valkeys", "unix"];
    let is_other = other.iter().any(|word| scheme.contains(word));
    is_other
        .then(|| format!("{name} is a single server without TLS here, whatever `{scheme}:` says"))
}

/// What stands in for a Redis keeps copies, but grants no locks.
fn lock_elsewhere(config: &mut Config, notes: &mut Vec<String>) {
    let shared = |backend: &BackendConfig| {
        matches!(backend.engine(), Some(Engine::Postgres | Engine::Mysql))
    };
    let on_redis = !config.backends.values().any(shared);
    if on_redis && config.locks.mode == LockModeConfig::Auto {
        config.locks.mode = LockModeConfig::Local;
        notes.push("what stands in for Redis grants no locks: this host does".to_owned());
    }
}

fn describe(backend: &str, engine: &str, what: &str, real: bool) -> StandsBehind {
    let (backend, engine, what) = (backend.to_owned(), engine.to_owned(), what.to_owned());
    StandsBehind { backend, engine, what, real }
}

#[cfg(test)]
mod tests;
