//! From an URL's scheme to the adapter that speaks to it; the one place where features decide.
//! It must not connect.

use std::sync::Arc;

use super::Backend;
use crate::{
    clock::Clock,
    config::{BackendConfig, Engine},
    error::{Error, ErrorKind, Result},
};

/// The adapter for this configuration.
///
/// # Errors
/// `InvalidArgument` for an URL that the adapter refuses, `Unsupported` for an engine whose feature is off.
pub fn open(config: &BackendConfig, value_max: usize, clock: &Clock) -> Result<Arc<dyn Backend>> {
    let _ = (value_max, clock);
    match config.engine() {
        Some(engine) => {
            let message = format!(
                "this build has no {engine:?} adapter; turn on the crate's feature of that name"
            );
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        None => Err(Error::new(ErrorKind::InvalidArgument, "the URL's scheme names no engine")),
    }
}
