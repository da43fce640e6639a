//! From an URL's scheme to the adapter that speaks to it; the one place where features decide.
//! It must not connect.

use std::sync::Arc;

use super::Backend;
use crate::{
    clock::Clock,
    config::{BackendConfig, Engine},
    entropy::Entropy,
    error::{Error, ErrorKind, Result},
};

/// The adapter for this configuration.
///
/// # Errors
/// `InvalidArgument` for an URL that the adapter refuses, `Unsupported` for an engine whose feature is off.
pub fn open(
    config: &BackendConfig,
    value_max: usize,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Arc<dyn Backend>> {
    // With every feature off nothing uses these.
    let _ = (value_max, clock, entropy, Option::<Engine>::None);
    match config.engine() {
        #[cfg(feature = "redis")]
        Some(Engine::Redis) => Ok(Arc::new(super::redis::Redis::new(config, value_max)?)),
        #[cfg(feature = "postgres")]
        Some(Engine::Postgres) => {
            Ok(Arc::new(super::sql::postgres::Postgres::new(config, value_max, entropy.clone())?))
        }
        #[cfg(feature = "mysql")]
        Some(Engine::Mysql) => Ok(Arc::new(super::sql::mysql::Mysql::new(config, value_max)?)),
        #[cfg(feature = "sqlite")]
        Some(Engine::Sqlite) => {
            Ok(Arc::new(super::sql::sqlite::Sqlite::new(config, value_max, clock.clone())?))
        }
        #[cfg(not(all(
            feature = "redis",
            feature = "postgres",
            feature = "mysql",
            feature = "sqlite"
        )))]
        Some(engine) => {
            let message = format!(
                "this build has no {engine:?} adapter; turn on the crate's feature of that name"
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Err(Error::new(ErrorKind::InvalidArgument, "the URL's scheme names no engine")),
    }
}
