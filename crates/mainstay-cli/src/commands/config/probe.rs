//! `config check --probe`: connects to every backend as `serve` would, and says what is wrong with each, and the fix.
//! It must not serve.

use std::time::Duration;

use mainstay::{
    Clock, Config, Storage,
    config::{Engine, OnRecordDown},
    status::{BackendStatus, Health, Status},
};
use serde_json::json;

use crate::{
    config::Loaded,
    exit::{Exit, Failure},
    output::{Output, Tone},
};

mod fix;
mod promises;

/// How long backends have to answer.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How long the storage has to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Connects, looks, and closes again. Fails when a backend is not up, or when a route's promise cannot be kept on one;
/// what is only worth a warning is said.
pub(super) fn run(loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(probe(loaded, output))
}

async fn probe(loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let storage = Storage::open(only_looking(loaded.settings.storage())).await?;
    let status = settled(&storage, loaded).await;
    let config = storage.config();
    storage.close(CLOSE).await;
    let engine =
        |name: &str| config.backends.get(name).and_then(mainstay::config::BackendConfig::engine);
    let ill = |backend: &BackendStatus| ill(backend, engine(&backend.name));
    let mut problems: Vec<String> = status.backends.iter().filter_map(ill).collect();
    problems.extend(promises::broken(&config, &status));
    let warnings = promises::doubtful(&config, &status);
    let valid = problems.is_empty();
    let document = json!({
        "valid": valid, "problems": problems, "warnings": warnings, "config": loaded.summary(),
        "notes": loaded.notes,
    });
    output.show(
        || {
            let bad = problems.iter().map(|problem| output.paint(Tone::Bad, problem));
            let doubtful = warnings
                .iter()
                .map(|warning| output.paint(Tone::Warning, &format!("warning: {warning}")));
            let good = valid.then(|| output.paint(Tone::Good, "every backend answers"));
            let notes = loaded.notes.iter().cloned();
            notes.chain(bad).chain(good).chain(doubtful).collect::<Vec<_>>().join("\n")
        },
        &document,
    )?;
    Ok(if valid { Exit::Ok } else { Exit::Config })
}

/// The same backends and routes, and nothing of what a server keeps in folders for itself: it may be running with them, and
/// writes that wait in the journal are not for whoever looks to apply.
fn only_looking(mut settings: Config) -> Config {
    for backend in settings.backends.values_mut() {
        // What a server says of itself comes with the first probe.
        backend.health.interval = LOOK;
    }
    for route in &mut settings.routes {
        route.on_record_down = OnRecordDown::Refuse;
    }
    settings.observe.dir = None;
    settings
}

/// The status once every backend has answered and said who it is, or the time is up.
async fn settled(storage: &Storage, loaded: &Loaded) -> Status {
    let clock = Clock::system();
    let until = clock.now() + WAIT;
    let named = |backend: &BackendStatus| loaded.settings.backends.contains_key(&*backend.name);
    loop {
        let status = storage.status();
        let told = |backend: &BackendStatus| {
            backend.health == Health::Up && (!named(backend) || !backend.facts.is_empty())
        };
        let up = status.backends.iter().all(told);
        let looked = status.caches.iter().all(|cache| cache.readable);
        if (up && looked) || clock.now() >= until {
            return status;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why a backend does not serve, and what to do about it.
fn ill(backend: &BackendStatus, engine: Option<Engine>) -> Option<String> {
    if backend.health == Health::Up {
        return None;
    }
    let (kind, reason) = match &backend.last_error {
        Some(error) => (error.kind, error.message.as_str()),
        None => ("timeout", "no answer in time"),
    };
    let fix = fix::of(&backend.name, engine, kind, reason);
    Some(format!("{} is {}: {reason}; {fix}", backend.name, backend.health.as_str()))
}
