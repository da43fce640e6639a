//! `get_or_load`: a value from where a copy stands, else from the caller's loader.
//! It must not do more than wrap the loader; the road is `load`.

use std::{error::Error as StdError, sync::Arc};

use bytes::Bytes;
use tracing::Span;

use super::{Answer, Storage, limits};
use crate::{
    clock::Deadline,
    entry::{Entry, Freshness, Key, Worth},
    error::{Error, ErrorKind, Result},
    exec::Served,
    load::{self, LoadOptions, Loaded, Truth},
    trace::{self, Answered, Traced},
};

/// The word for traces.
const LOAD: &str = "get_or_load";

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
        let route = road.table.of(&key);
        if let Some(entry) = load::hit(road, route, &key, &options) {
            self.trace_hit(&route.label);
            return Ok(entry);
        }
        let deadline = options.deadline.unwrap_or_else(|| self.deadline());
        let truth = Truth::closure(move || {
            Box::pin(async move {
                let loaded = loader().await.map_err(|error| failed(error.into()))?;
                Ok(loaded.map(|value| Loaded { value: value.into() }))
            })
        });
        // Boxed, for it is large and a hit does without.
        let load = Box::pin(load::load(road, route, &key, &options, truth, deadline));
        if let Some(span) = trace::operation(&self.0.traces, LOAD, None) {
            return Box::pin(self.load_traced(span, &route.label, load)).await?.into_entry();
        }
        self.answer(load.await?).into_entry()
    }

    async fn load_traced(
        &self,
        span: Span,
        route: &str,
        load: impl Future<Output = Result<Served>>,
    ) -> Result<Answer> {
        let result = Traced::new(span.clone(), load).await.map(|served| self.answer(served));
        trace::ended(&span, Some(route), result.as_ref().map(Answer::told));
        result
    }

    /// What was there at once has a span too.
    fn trace_hit(&self, route: &str) {
        if let Some(span) = trace::operation(&self.0.traces, LOAD, None) {
            let source = self.0.road.nodes[self.0.road.memory()].name();
            let worth = Worth::Read(Freshness::Loaded);
            trace::ended(&span, Some(route), Ok(Answered { source, worth, stale: false }));
        }
    }

    /// Ends what was loaded under a key: who reads afterwards, in any process that shares the cache, gets what is loaded
    /// after this call began. What is stored under the key by `set` is not touched.
    ///
    /// # Errors
    /// As a write to the key's route: when it fails, what was loaded may be served on.
    pub async fn invalidate(&self, key: impl Into<Key>) -> Result<()> {
        let key = key.into();
        limits::loadable(self, &key)?;
        load::invalidate::key(&self.0.road, &key, self.deadline()).await
    }

    /// The same for all keys under a prefix, on every route that it touches.
    ///
    /// # Errors
    /// The first of any route; the others have been tried.
    pub async fn invalidate_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        let prefix = prefix.as_ref();
        limits::loadable(self, &Key::from(prefix))?;
        load::invalidate::prefix(&self.0.road, prefix, self.deadline()).await
    }

    /// The same for all that was loaded with this tag.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty tag or one over 128 bytes; else the first of any cache, the others have been tried.
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        let tag = tag.as_ref();
        LoadOptions { tags: vec![tag.to_owned()], ..LoadOptions::default() }.validate()?;
        limits::loadable(self, &Key::from(tag))?;
        let tag = Bytes::copy_from_slice(tag.as_bytes());
        load::invalidate::tag(&self.0.road, &tag, self.deadline()).await
    }

    fn deadline(&self) -> Deadline {
        self.0.road.clock.deadline_in(self.0.settings.limits.deadline.get())
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
