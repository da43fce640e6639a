//! What is served when nothing could be loaded: a stale value, a default, or an error that names why. In this order.
//! It must not load.

use std::time::Duration;

use super::{
    Counter,
    call::{self, Call},
    shelf::Copy,
};
use crate::{
    entry::{Freshness, Record, Worth},
    error::{Error, ErrorKind, Result},
    exec::Served,
    reply::Reply,
};

/// The loader's bulkhead, or its backend's, is full, or the backend says so.
const SATURATED: &str = "database_saturated";
/// A cache is away, and as many load instead of reading it as may.
const UNAVAILABLE: &str = "cache_unavailable";

impl Call<'_> {
    /// After a load has failed.
    pub(super) async fn instead(
        &self,
        stale: Option<(Copy, Duration)>,
        ended: bool,
        error: Error,
    ) -> Result<Served> {
        if error.kind().is_callers() {
            return Err(error);
        }
        if let Some(served) = self.stale(stale, ended).await {
            return Ok(served);
        }
        let default = self.options.default.clone().or_else(|| self.route.default());
        let Some(default) = default else { return Err(self.refused(error)) };
        self.count(Counter::Defaults);
        let record = Record { value: default, version: None, ttl: None };
        let worth = Worth::Read(Freshness::Unpromised);
        let reply = Reply::Record(Some(record));
        Ok(Served { reply, node: None, stale: true, worth, age: None })
    }

    /// The copy that was found after its time, else one that cannot be verified now. `ended`: what there is was
    /// invalidated.
    pub(super) async fn stale(
        &self,
        found: Option<(Copy, Duration)>,
        ended: bool,
    ) -> Option<Served> {
        let found = match found {
            Some(found) => Some(found),
            None if ended => None,
            None => self.shelf.unverified(self.key, self.stale_for, self.deadline).await,
        };
        let (copy, since) = found?;
        self.count(Counter::Stale);
        Some(call::served_copy(copy, self.shelf.now_ms(), Freshness::Unverified(since)))
    }

    fn refused(&self, error: Error) -> Error {
        let error = named(error);
        match error.reason() {
            Some(UNAVAILABLE) => self.count(Counter::ShedCacheUnavailable),
            Some(_) => self.count(Counter::ShedDatabaseSaturated),
            None => {}
        }
        error
    }
}

/// A backend that is full is one kind of error, whoever noticed it, with its reason in a word.
fn named(error: Error) -> Error {
    if error.reason().is_some() || !matches!(error.kind(), ErrorKind::Shed | ErrorKind::Overloaded)
    {
        return error;
    }
    let text = format!("{SATURATED}: {}", error.message());
    let mut named = Error::new(ErrorKind::Overloaded, text).because(SATURATED);
    if let Some(after) = error.retry_hint() {
        named = named.retry_after(after);
    }
    match error.backend() {
        Some(backend) => named.at(backend),
        None => named,
    }
}

/// The cache is away, and the cap on loads without it is reached.
pub(super) fn capped(away: &Error, wait: Duration) -> Error {
    let text =
        format!("{UNAVAILABLE}: {away}; `load.fallback_max` loads a second are made without it");
    Error::new(ErrorKind::Overloaded, text).because(UNAVAILABLE).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_backend_is_overloaded_for_a_reason_and_other_errors_stay() {
        let wait = Duration::from_millis(100);
        let full = Error::new(ErrorKind::Shed, "bulkhead full").at(&Arc::from("db"));
        let error = named(full.retry_after(wait));
        assert_eq!((error.kind(), error.reason()), (ErrorKind::Overloaded, Some(SATURATED)));
        assert_eq!(error.retry_hint(), Some(wait));
        assert_eq!(error.to_string(), "db: database_saturated: bulkhead full");
        let failed = named(Error::new(ErrorKind::LoadFailed, "no such table"));
        assert_eq!((failed.kind(), failed.reason()), (ErrorKind::LoadFailed, None));
        let capped = named(capped(&Error::new(ErrorKind::BreakerOpen, "breaker open"), wait));
        assert_eq!((capped.kind(), capped.reason()), (ErrorKind::Overloaded, Some(UNAVAILABLE)));
    }
}
