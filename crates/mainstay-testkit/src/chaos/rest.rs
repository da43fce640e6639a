//! Rest: waiting until every process serves copies again, and what everybody then says of every key.
//! It must not break anything.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    client::{Client, HTTP_FROM, Shared},
    process::CacheState,
    time::Time,
    workload,
    world::World,
};
use crate::{
    history::{ClientId, Version},
    load::{Client as RespClient, Value},
};

/// How long the processes may take to serve copies again: longer than a breaker that has tripped often stays open.
const RECOVERY: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The clients that read every key at the end are numbered from here on, one for each process.
const READERS_FROM: ClientId = HTTP_FROM + 900;

/// How it was when all had recovered.
pub(super) struct Recovered {
    /// What the processes said, before the record was asked for dirty keys: a write around the cache that it did not know
    /// of yet is counted by none of them.
    pub(super) states: Vec<Option<CacheState>>,
    /// Keys that were dirty still, or again.
    pub(super) dirty: u64,
}

/// Waits until all caches are readable and no key is dirty; else says what is missing. `dirty_for`: after this long,
/// readable caches are enough, for a write whose mark is late makes its key dirty also when nothing is broken. `older`: the
/// generation that must not be served any more; an old master that came back is served for as long as nobody has noticed.
pub(super) async fn recovered(
    world: &World,
    time: &Time,
    dirty_for: Duration,
    older: Option<u64>,
) -> Result<Recovered, String> {
    let begun = time.now();
    loop {
        let states = states(world).await;
        let serves = |state: &CacheState| {
            state.readable && older.is_none_or(|older| state.generation > older)
        };
        let readable = states.iter().all(|state| state.as_ref().is_some_and(serves));
        let dirty = if readable { dirty(world, &states).await } else { Err("unread".to_owned()) };
        let waited = Duration::from_micros(time.now() - begun);
        if let Ok(dirty) = dirty
            && (dirty == 0 || waited > dirty_for)
        {
            return Ok(Recovered { states, dirty });
        }
        if waited > RECOVERY {
            let mut text =
                format!("not recovered after {RECOVERY:?}: dirty {dirty:?}: {states:#?}");
            for (number, process) in world.processes.iter().enumerate() {
                if !states[number].as_ref().is_some_and(serves) {
                    text += &format!("\nprocess {number}: {}", process.diagnosis().await);
                }
            }
            return Err(format!("{text}\n{}", world.record.diagnosis().await));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As many as anybody knows of: a process hides what it saw dirty until it looks again.
async fn dirty(world: &World, states: &[Option<CacheState>]) -> Result<u64, String> {
    let seen = states.iter().flatten().map(|state| state.dirty_keys).max().unwrap_or(0);
    Ok(seen.max(world.record.dirty().await?))
}

/// What each process says of its cache.
pub(super) async fn states(world: &World) -> Vec<Option<CacheState>> {
    let mut states = Vec::new();
    for process in &world.processes {
        states.push(process.cache().await);
    }
    states
}

/// Every key as each process, the record and Redis have it, into the history.
pub(super) async fn read_all(world: &World, shared: &Arc<Shared>) -> Result<(), String> {
    let rows = world.record.rows().await?;
    let now = shared.time.now();
    let known: BTreeMap<&str, _> = rows.iter().map(|row| (row.key.as_str(), row)).collect();
    for key in workload::keys() {
        let row = known.get(key.as_str());
        let (value, version) = row.map_or((None, None), |row| (row.value, row.version));
        shared.history.final_record(&key, value, version, now);
    }
    for (number, process) in world.processes.iter().enumerate() {
        let id = READERS_FROM + ClientId::try_from(number).unwrap_or(0);
        let mut reader = Client::new(id, process.http(), Arc::clone(shared), 0);
        for key in workload::keys() {
            if !reader.connect().await {
                return Err(format!("process {number} takes no connection at rest"));
            }
            match reader.get(&key).await {
                // A missing key has no version over HTTP, a deleted one has one in the record.
                Some((None, _)) => {
                    let deleted = known.get(key.as_str()).is_none_or(|row| row.value.is_none());
                    if !deleted {
                        return Err(format!("process {number} does not find {key} at rest"));
                    }
                }
                Some((Some(_), version)) => {
                    shared.history.final_copy(&format!("process {number}"), &key, version);
                }
                None => return Err(format!("process {number} does not answer for {key} at rest")),
            }
        }
    }
    copies(world, shared).await
}

/// The copies of the present generation in Redis.
async fn copies(world: &World, shared: &Shared) -> Result<(), String> {
    let states = states(world).await;
    let generation = states.iter().flatten().map(|state| state.generation).max().unwrap_or(0);
    let address = ([127, 0, 0, 1], world.redis().port()).into();
    let say = |error: std::io::Error| format!("redis at rest: {error}");
    let mut redis = RespClient::connect(address).await.map_err(say)?;
    let names = match redis.command(&[b"KEYS", b"mainstay:*"]).await.map_err(say)? {
        Value::Array(names) => names,
        other => return Err(format!("redis at rest: {other:?}")),
    };
    for name in names {
        let Value::Bulk(Some(name)) = name else { continue };
        let Some(key) = key_of(&name, generation) else { continue };
        let stored = redis.command(&[b"GET", &name]).await.map_err(say)?;
        if let Value::Bulk(Some(stored)) = stored
            && let Some(version) = version_of(&stored)
        {
            shared.history.final_copy("redis", &key, Some(version));
        }
    }
    Ok(())
}

/// `mainstay:ID.GENERATION:KEY`, numbers in hexadecimal.
fn key_of(name: &[u8], generation: u64) -> Option<String> {
    let rest = std::str::from_utf8(name).ok()?.strip_prefix("mainstay:")?;
    let (place, key) = rest.split_once(':')?;
    let (_, of) = place.split_once('.')?;
    (u64::from_str_radix(of, 16).ok()? == generation).then(|| key.to_owned())
}

/// `V`, epoch, counter, ...: a value; anything else is none.
fn version_of(stored: &[u8]) -> Option<Version> {
    let (kind, rest) = stored.split_first()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let counter = rest.first_chunk::<8>()?;
    let version = Version::new(u32::from_be_bytes(*epoch), u64::from_be_bytes(*counter));
    (*kind == b'V').then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_the_present_generation_are_recognized() {
        assert_eq!(key_of(b"mainstay:ab.1f:hot:1", 31), Some("hot:1".to_owned()));
        assert_eq!(key_of(b"mainstay:ab.1e:hot:1", 31), None);
        assert_eq!(key_of(b"mainstay:ab:beacon", 31), None);
    }

    #[test]
    fn a_copy_tells_its_version() {
        let stored = b"V\0\0\0\x01\0\0\0\0\0\0\0\x11rest";
        assert_eq!(version_of(stored), Some(Version::new(1, 17)));
        assert_eq!(version_of(b"L\0\0\0\x01\0\0\0\0\0\0\0\x11"), None);
    }
}
