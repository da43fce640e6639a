//! Breaks one thing, keeps it broken, mends it.
//! It must not choose, and it does not record.

use std::time::Duration;

use super::{fault::Fault, world::World};
use crate::{
    proxy::{Direction, Toxics},
    servers::{Redis, ServerError},
};

const SLOW: Duration = Duration::from_millis(200);
/// For how long a replica hears nothing before it is promoted.
const LAG: Duration = Duration::from_millis(1500);

/// Breaks it.
pub(super) async fn begin(world: &mut World, fault: Fault) -> Result<(), ServerError> {
    match fault {
        Fault::RedisEmptied
        | Fault::RedisRestarted
        | Fault::RedisRolledBack
        | Fault::SentinelKilled => world.redis_mut().kill(),
        Fault::RedisFlushed => drop(world.redis().redis_cli(&["FLUSHALL"]).await?),
        Fault::RedisPaused | Fault::SentinelPaused => world.redis().stop(),
        Fault::RedisSlow => world.to_redis(&Toxics::slow(SLOW, Duration::ZERO)).await,
        Fault::RedisHalfOpen => world.to_redis(&Toxics::half_open(Direction::ToClient)).await,
        Fault::RedisBlackHole => world.to_redis(&Toxics::black_hole()).await,
        Fault::RedisLaggingReplica => promote(world, None).await?,
        Fault::RedisSplitBrain(process) => promote(world, Some(process)).await?,
        Fault::Eviction => evict(world.redis()).await?,
        Fault::CutFromRedis(process) => {
            world.processes[process].to_redis.set(Toxics::partition()).await;
        }
        Fault::CutFromRecord(process) => {
            if let Some(proxy) = &world.processes[process].to_record {
                proxy.set(Toxics::black_hole()).await;
            }
        }
        Fault::RecordKilled => world.record.kill(),
        Fault::RecordPaused => world.record.stop(),
        Fault::ProcessKilled(process) => world.processes[process].kill(),
        Fault::ProcessPaused(process) => world.processes[process].stop(),
        Fault::RedisResets | Fault::ScriptFlush | Fault::ClientKill => again(world, fault).await,
    }
    Ok(())
}

/// Once more, for what is done several times a second.
pub(super) async fn again(world: &World, fault: Fault) {
    let words: &[&str] = match fault {
        Fault::RedisResets => {
            for process in &world.processes {
                process.to_redis.cut().await;
            }
            return;
        }
        Fault::ScriptFlush => &["SCRIPT", "FLUSH"],
        Fault::ClientKill => &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        _ => return,
    };
    // It may itself be killed in between.
    drop(world.redis().redis_cli(words).await);
}

/// Mends it.
pub(super) async fn mend(world: &mut World, fault: Fault) -> Result<(), ServerError> {
    match fault {
        Fault::RedisEmptied => world.redis_mut().restart_empty().await?,
        Fault::RedisRestarted => world.redis_mut().restart().await?,
        Fault::RedisRolledBack => world.redis_mut().restart_from_snapshot().await?,
        Fault::RedisPaused => world.redis().cont(),
        Fault::SentinelPaused => {
            world.failover().await?;
            world.old_primary().inspect(|redis| redis.cont());
            world.demoted().await;
        }
        Fault::SentinelKilled => {
            world.failover().await?;
            if let Some(redis) = world.old_primary() {
                redis.restart().await?;
            }
            world.demoted().await;
        }
        Fault::RedisSlow | Fault::RedisHalfOpen | Fault::RedisBlackHole => {
            world.to_redis(&Toxics::default()).await;
        }
        Fault::RedisSplitBrain(process) => {
            world.processes[process].to_redis.lead_to(world.redis().port()).await;
            world.end_demoted();
        }
        Fault::Eviction => {
            let words = "CONFIG SET maxmemory 0 maxmemory-policy noeviction";
            world.redis().redis_cli(&words.split(' ').collect::<Vec<_>>()).await?;
        }
        Fault::CutFromRedis(process) => world.processes[process].to_redis.heal().await,
        Fault::CutFromRecord(process) => {
            if let Some(proxy) = &world.processes[process].to_record {
                proxy.heal().await;
            }
        }
        Fault::RecordKilled => world.record.restart().await?,
        Fault::RecordPaused => world.record.cont(),
        Fault::ProcessKilled(process) => world.processes[process].launch().await?,
        Fault::ProcessPaused(process) => world.processes[process].cont(),
        Fault::RedisFlushed
        | Fault::RedisLaggingReplica
        | Fault::RedisResets
        | Fault::ScriptFlush
        | Fault::ClientKill => {}
    }
    Ok(())
}

/// A dump for [`Fault::RedisRolledBack`]. Redis may be writing one just now.
pub(super) async fn keep_dump(redis: &Redis) -> bool {
    for _ in 0..20 {
        if redis.snapshot().await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// A replica that lags is promoted, and everybody but one is led to it.
async fn promote(world: &mut World, but: Option<usize>) -> Result<(), ServerError> {
    world.promote_lagging(LAG).await?;
    for (number, process) in world.processes.iter().enumerate() {
        if Some(number) != but {
            process.to_redis.lead_to(world.redis().port()).await;
        }
    }
    if but.is_none() {
        world.end_demoted();
    }
    Ok(())
}

/// Less memory than is in use, so that something has to go with each write.
async fn evict(redis: &Redis) -> Result<(), ServerError> {
    let info = redis.redis_cli(&["INFO", "memory"]).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    let limit = used.unwrap_or(2_000_000u64).saturating_sub(20_000).to_string();
    let words = ["CONFIG", "SET", "maxmemory", &limit, "maxmemory-policy", "allkeys-lru"];
    redis.redis_cli(&words).await.map(drop)
}
