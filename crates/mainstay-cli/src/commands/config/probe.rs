//! `config check --probe`: connects to every backend as `serve` would, and says what is wrong with each.
//! It must not serve.

use std::time::Duration;

use mainstay::{
    Clock, Storage,
    config::Consistency,
    status::{BackendStatus, Health, Status},
};
use serde_json::json;

use crate::{
    config::Loaded,
    exit::{Exit, Failure},
    output::{Output, Tone},
};

/// How long backends have to answer.
const WAIT: Duration = Duration::from_secs(5);
/// How long the storage has to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Connects, looks, and closes again. Fails when a backend is not up, or when a route's promise cannot be kept on one.
pub(super) fn run(loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(probe(loaded, output))
}

async fn probe(loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let storage = Storage::open(loaded.settings.storage()).await?;
    let status = settled(&storage).await;
    storage.close(CLOSE).await;
    let mut problems: Vec<String> = status.backends.iter().filter_map(ill).collect();
    problems.extend(broken_promises(loaded, &status));
    let valid = problems.is_empty();
    output.show(
        || match valid {
            true => output.paint(Tone::Good, "every backend answers"),
            false => problems
                .iter()
                .map(|problem| output.paint(Tone::Bad, problem))
                .collect::<Vec<_>>()
                .join("\n"),
        },
        &json!({"valid": valid, "problems": problems, "config": loaded.summary()}),
    )?;
    Ok(if valid { Exit::Ok } else { Exit::Config })
}

/// The status once every backend has answered, or the time is up.
async fn settled(storage: &Storage) -> Status {
    let clock = Clock::system();
    let until = clock.now() + WAIT;
    loop {
        let status = storage.status();
        let up = status.backends.iter().all(|backend| backend.health == Health::Up);
        let looked = status.caches.iter().all(|cache| cache.readable);
        if (up && looked) || clock.now() >= until {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ill(backend: &BackendStatus) -> Option<String> {
    if backend.health == Health::Up {
        return None;
    }
    let error = backend.last_error.as_ref();
    let reason = error.map_or("no answer in time", |error| &error.message);
    Some(format!("{} is {}: {reason}", backend.name, backend.health.as_str()))
}

/// What a backend answers well, and a route cannot be built on.
fn broken_promises(loaded: &Loaded, status: &Status) -> Vec<String> {
    let settings = loaded.settings.storage();
    let evicting = status.caches.iter().filter(|cache| cache.evicts);
    let strict = |cache: &str| {
        settings.routes.iter().find(|route| {
            route.consistency == Consistency::Strict && route.cache.iter().any(|name| name == cache)
        })
    };
    let broken = evicting.filter_map(|cache| {
        let route = strict(&cache.cache)?;
        Some(format!(
            "route `{}` is strict, and {} may evict marks: set its maxmemory-policy to noeviction, or make the route bounded; \
             until then it reads from {}",
            route.prefix, cache.cache, cache.record
        ))
    });
    broken.collect()
}
