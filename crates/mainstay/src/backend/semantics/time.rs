//! Expiry arithmetic in whole milliseconds, checked.
//! It must not know whose clock `now` is.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind, Result},
    op::TtlChange,
};

/// When the key expires after this change, Unix milliseconds. `now` and `current` are by the engine's clock.
///
/// # Errors
/// `InvalidArgument` for a zero TTL and for one that does not fit 63 bits of milliseconds.
pub fn expiry_after(change: TtlChange, current: Option<i64>, now: i64) -> Result<Option<i64>> {
    match change {
        TtlChange::Clear => Ok(None),
        TtlChange::Keep => Ok(current),
        TtlChange::At(at) => Ok(Some(at)),
        TtlChange::For(ttl) => {
            // A TTL below a millisecond is rounded up: a positive TTL never means "at once".
            let ms = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).ok();
            match ms.and_then(|ms| now.checked_add(ms)) {
                Some(at) if at > now => Ok(Some(at)),
                _ => Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "invalid expire time: a TTL is above 0 and fits 63 bits of milliseconds",
                )),
            }
        }
    }
}

/// Time left, zero when it has passed.
pub fn ttl_left(expires_at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(expires_at.saturating_sub(now)).unwrap_or(0))
}
