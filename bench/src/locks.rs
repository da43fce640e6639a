//! Locks: acquire and release a second in each mode, and how long a lock takes from one of 64 contenders to the next,
//! against the same on a bare Redis and on a bare row of PostgreSQL.
//! It must not know how a mode grants.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use mainstay::{
    Config, LockOptions, Storage,
    config::{BackendConfig, LockModeConfig, LocksConfig},
};
use mainstay_testkit::servers::{MariaDb, Postgres, Redis};

use crate::{
    Failure,
    library::{TIME, measure},
    table::{Row, Table, median},
};

mod bare;

/// Contenders on one lock, and the storages (as processes would be) among which they are spread.
const CONTENDERS: usize = 64;
const STORAGES: usize = 4;

/// The longest lease: a quorum begins after it.
const TTL_MAX: Duration = Duration::from_secs(10);

/// The servers, and the modes on them.
struct Bed {
    redis: Redis,
    postgres: Postgres,
    maria: MariaDb,
    /// Of the file that `local` keeps its locks in.
    folder: std::path::PathBuf,
}

/// Who grants, by its name and the reference that it is measured against.
const MODES: [(&str, LockModeConfig, bare::Bare); 5] = [
    ("record (PostgreSQL)", LockModeConfig::Record, bare::Bare::Postgres),
    ("redis", LockModeConfig::Redis, bare::Bare::Redis),
    ("failover", LockModeConfig::Failover, bare::Bare::Redis),
    ("quorum of three", LockModeConfig::Quorum, bare::Bare::Redis),
    ("local (SQLite)", LockModeConfig::Local, bare::Bare::Redis),
];

/// Every mode.
pub(crate) async fn all(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("mainstay-bench-locks-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let bed = Bed {
        redis: Redis::start().await?,
        postgres: Postgres::start().await?,
        maria: MariaDb::start().await?,
        folder,
    };
    for (name, mode, reference) in MODES {
        let mut storages = Vec::new();
        for _ in 0..STORAGES {
            storages.push(Storage::open(bed.config(mode)).await?);
        }
        granted(&storages).await?;
        let urls = [bed.redis.url(), bed.postgres.url()];
        let (mut rates, mut bare_rates) = (Vec::new(), Vec::new());
        let (mut hands, mut bare_hands) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let storage = &storages[0];
            rates.push(measure(1, |_| pairs(storage.clone())).await?.rate);
            let locker = reference.open(&urls).await?;
            bare_rates.push(tokio::spawn(bare::pairs(locker)).await??);
            hands.push(hand_over(&storages).await?);
            bare_hands.push(bare::hand_over(reference, &urls).await?);
        }
        push(table, format!("lock + release, {name}"), "/s", rates, reference, bare_rates);
        let name = format!("hand-over, {CONTENDERS} tasks, {name}");
        push(table, name, "µs", hands, reference, bare_hands);
        for storage in storages {
            storage.close(Duration::from_secs(5)).await;
        }
    }
    std::fs::remove_dir_all(&bed.folder)?;
    Ok(())
}

fn push(
    table: &mut Table,
    name: String,
    unit: &'static str,
    ours: Vec<f64>,
    by: bare::Bare,
    reference: Vec<f64>,
) {
    table.push(Row { name, unit, ours, reference_name: by.name(), reference, target: "" });
}

impl Bed {
    fn config(&self, mode: LockModeConfig) -> Config {
        let at = |url: String| BackendConfig::at(url);
        let redis = ("redis", at(self.redis.url()));
        let db = ("db", at(self.postgres.url()));
        let maria = ("maria", at(self.maria.url()));
        let backends = match mode {
            LockModeConfig::Redis => vec![redis],
            LockModeConfig::Failover => vec![redis, db],
            LockModeConfig::Quorum => vec![redis, db, maria],
            LockModeConfig::Local => {
                vec![("file", at(format!("sqlite:{}/locks.db", self.folder.display())))]
            }
            LockModeConfig::Auto | LockModeConfig::Record => vec![db],
        };
        let names = backends.iter().map(|(name, _)| (*name).to_owned()).collect();
        let locks =
            LocksConfig { mode, backends: names, ttl_max: TTL_MAX, ..LocksConfig::default() };
        let mut config = Config { locks, ..Config::default() };
        config.backends.extend(backends.into_iter().map(|(name, at)| (name.to_owned(), at)));
        config
    }
}

/// Each of them has been granted a lock once: servers are connected, and a quorum has sat out.
async fn granted(storages: &[Storage]) -> Result<(), Failure> {
    for storage in storages {
        let mut last = None;
        for _ in 0..600 {
            match storage.try_lock("first").await {
                Ok(Some(guard)) => {
                    guard.release().await;
                    last = None;
                    break;
                }
                other => last = Some(format!("{other:?}")),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(last) = last {
            return Err(format!("a lock is never granted: {last}").into());
        }
    }
    Ok(())
}

async fn pairs(storage: Storage) -> Result<usize, Failure> {
    let (begun, mut pairs) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        let guard = storage.try_lock("alone").await?.ok_or("nobody else asks for it")?;
        guard.release().await;
        pairs += 1;
    }
    Ok(pairs)
}

/// When the holder began to release, and how long the lock took to each next one: microseconds.
#[derive(Debug, Default)]
struct Hands {
    released: Option<Instant>,
    took: Vec<f64>,
}

impl Hands {
    fn taken(hands: &Mutex<Self>) {
        let mut hands = hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(released) = hands.released.take() {
            hands.took.push(released.elapsed().as_secs_f64() * 1e6);
        }
    }

    fn releasing(hands: &Mutex<Self>) {
        let mut hands = hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hands.released = Some(Instant::now());
    }

    fn median(hands: &Mutex<Self>) -> f64 {
        median(&hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner).took)
    }
}

/// The median of the time from a release to the next grant, whoever's that is: on bare Redis often the same one's.
async fn hand_over(storages: &[Storage]) -> Result<f64, Failure> {
    let (hands, begun) = (Arc::new(Mutex::new(Hands::default())), Instant::now());
    let contend = |number: usize| {
        let (storage, hands) = (storages[number % storages.len()].clone(), Arc::clone(&hands));
        tokio::spawn(async move {
            while begun.elapsed() < TIME {
                let options =
                    LockOptions { wait: Some(Duration::from_secs(60)), ..LockOptions::default() };
                let Some(guard) = storage.lock_with("contended", options).await? else { continue };
                Hands::taken(&hands);
                Hands::releasing(&hands);
                guard.release().await;
            }
            Ok::<(), Failure>(())
        })
    };
    for ended in try_join_all((0..CONTENDERS).map(contend)).await? {
        ended?;
    }
    Ok(Hands::median(&hands))
}
