//! `get_or_load`: a value from where a copy stands, else from the caller's loader.
//! It must not do more than wrap the loader; the road is `load`.

use std::{error::Error as StdError, sync::Arc};

use bytes::Bytes;

use super::{Storage, limits};
use crate::{
    entry::{Entry, Key},
    error::{Error, ErrorKind, Result},
    load::{self, LoadOptions, Loaded, Truth},
};

/// What an error of a loader becomes; `?` and `Box::from` make it of any error.
type AnyError = Box<dyn StdError + Send + Sync + 'static>;

impl Storage {
    /// The value under a key, from where a copy of it stands; else from `loader`, which one caller runs for all that wait.
    /// `None` says that there is nothing, and is remembered too.
    ///
    /// What is loaded has nothing in common with what is stored under the same key by `set`: its truth is the loader's.
    /// It ends by its time to live or by `invalidate`. The loader runs in a task of its own: a caller that goes away
    /// cancels nobody, a panic is an error to all who wait and harms nothing else.
    ///
    /// # Errors
    /// `LoadFailed` when the loader fails, its error as `source()`; `Overloaded` with a `reason()` when too many load;
    /// `Timeout` when it takes longer than `hard_timeout`, `DeadlineExceeded` when the deadline comes first. An error of
    /// this crate that a loader returns is returned as it is.
    pub async fn get_or_load<F, V, E, L>(
        &self,
        key: impl Into<Key>,
        options: LoadOptions,
        loader: F,
    ) -> Result<Option<Entry>>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = std::result::Result<Option<V>, E>> + Send + 'static,
        V: Into<Bytes>,
        E: Into<AnyError>,
    {
        let road = &self.0.road;
        let key = key.into();
        limits::loadable(self, &key)?;
        options.validate()?;
        let deadline = options
            .deadline
            .unwrap_or_else(|| road.clock.deadline_in(self.0.config.limits.deadline));
        let truth = Truth::closure(move || {
            Box::pin(async move {
                let loaded = loader().await.map_err(|error| failed(error.into()))?;
                Ok(loaded.map(|value| Loaded { value: value.into() }))
            })
        });
        let route = road.table.of(&key);
        let served = load::load(road, route, &key, &options, truth, deadline).await?;
        self.answer(served).into_entry()
    }
}

/// An error of ours stays what it is.
fn failed(error: AnyError) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(other) => {
            let text = format!("the loader failed: {other}");
            Error::new(ErrorKind::LoadFailed, text).caused_by(Arc::from(other))
        }
    }
}
