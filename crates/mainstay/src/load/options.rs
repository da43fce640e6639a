//! What one call of `get_or_load` may ask for.
//! It must not know how it is done.

use std::time::Duration;

use bytes::Bytes;

use super::envelope::{TAG_MAX, TAGS_MAX};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
};

/// A loaded value stands nowhere longer than this, stale or not.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How a value is loaded and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// How long a loaded value is fresh. Default 60 s.
    pub ttl: Duration,
    /// The share of `ttl` by which each value's own is longer or shorter, so that what was loaded together does not end
    /// together; at most 0.5. Default 0.05.
    pub ttl_jitter: f64,
    /// How long after that a value may still be served, marked stale, while its loader fails. `None`: the route's.
    pub stale_if_error: Option<Duration>,
    /// For so long after a failed load a stale value is served without trying again. Default 30 s.
    pub stale_throttle: Duration,
    /// In this last share of its time a value that is read is refreshed in the background, where there is room; 0: never.
    /// Default 0.2.
    pub refresh_ahead: f64,
    /// After this time a stale value is served, if there is one, and the load goes on behind. `None`: only when the load
    /// has failed.
    pub soft_timeout: Option<Duration>,
    /// A load that takes longer is given up. Default 5 s.
    pub hard_timeout: Duration,
    /// How long it is believed that there is nothing. Default 60 s; zero: it is asked each time.
    pub negative_ttl: Duration,
    /// Served, marked stale, when neither the loader nor a stale value can be had. `None`: the route's, or an error.
    pub default: Option<Bytes>,
    /// Names under which the value can be invalidated together with others: at most 16, of at most 128 bytes.
    pub tags: Vec<String>,
    /// By when an answer is due; `None`: `limits.deadline` from now.
    pub deadline: Option<Deadline>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            ttl_jitter: 0.05,
            stale_if_error: None,
            stale_throttle: Duration::from_secs(30),
            refresh_ahead: 0.2,
            soft_timeout: None,
            hard_timeout: Duration::from_secs(5),
            negative_ttl: Duration::from_secs(60),
            default: None,
            tags: Vec::new(),
            deadline: None,
        }
    }
}

impl LoadOptions {
    /// The defaults with another time.
    pub fn ttl(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// `InvalidArgument`; the text names the fix.
    pub(crate) fn validate(&self) -> Result<()> {
        let tag = |tag: &String| !tag.is_empty() && tag.len() <= TAG_MAX;
        let problem = if self.ttl.is_zero() || self.hard_timeout.is_zero() {
            "ttl and hard_timeout are above 0"
        } else if self.hard_timeout > LIFE_MAX {
            "hard_timeout is at most 7 days"
        } else if !(0.0..=0.5).contains(&self.ttl_jitter) {
            "ttl_jitter is between 0 and 0.5"
        } else if !(0.0..=0.9).contains(&self.refresh_ahead) {
            "refresh_ahead is between 0 and 0.9"
        } else if self.tags.len() > TAGS_MAX || !self.tags.iter().all(tag) {
            "tags are at most 16, each of 1 to 128 bytes"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidArgument, format!("load options: {problem}")))
    }

    pub(super) fn tags(&self) -> Vec<Bytes> {
        self.tags.iter().map(|tag| Bytes::copy_from_slice(tag.as_bytes())).collect()
    }

    /// How long a value is fresh: the time with its jitter. `unit`: between 0 and 1.
    pub(super) fn fresh_for(&self, unit: f64) -> Duration {
        let ttl = self.ttl.min(LIFE_MAX);
        ttl.mul_f64(1.0 + self.ttl_jitter * (2.0 * unit - 1.0)).min(LIFE_MAX)
    }

    /// How long it stands, with the time in which it is stale.
    pub(super) fn life(fresh_for: Duration, stale_for: Duration) -> Duration {
        fresh_for.saturating_add(stale_for).min(LIFE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused_with_its_fix() {
        assert!(LoadOptions::default().validate().is_ok());
        let refused = [
            LoadOptions { ttl: Duration::ZERO, ..LoadOptions::default() },
            LoadOptions { hard_timeout: Duration::MAX, ..LoadOptions::default() },
            LoadOptions { ttl_jitter: f64::NAN, ..LoadOptions::default() },
            LoadOptions { refresh_ahead: 1.0, ..LoadOptions::default() },
            LoadOptions { tags: vec![String::new()], ..LoadOptions::default() },
            LoadOptions { tags: vec!["t".into(); 17], ..LoadOptions::default() },
        ];
        for options in refused {
            let error = options.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{options:?}");
        }
    }

    proptest! {
        #[test]
        fn the_jitter_keeps_its_share(unit in 0.0..1.0_f64, jitter in 0.0..0.5_f64) {
            let options = LoadOptions { ttl_jitter: jitter, ..LoadOptions::default() };
            let share = options.fresh_for(unit).as_secs_f64() / 60.0;
            prop_assert!((share - 1.0).abs() <= jitter + 1e-9, "{share}");
        }
    }
}
