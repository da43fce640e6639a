//! How long to wait before trying again.
//! It must not know what is tried; randomness is an argument.

use std::time::Duration;

/// The doubled wait before attempt `attempt` (from 0), without jitter: `base`, 2 × `base`, ... at most `max`.
pub fn doubled(base: Duration, max: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1u32 << attempt.min(30)).min(max)
}

/// For retries of one operation: anywhere between nothing and the doubled wait, so that callers who failed together do
/// not return together. `unit` is uniform in `[0, 1)`.
pub fn full_jitter(base: Duration, max: Duration, attempt: u32, unit: f64) -> Duration {
    doubled(base, max, attempt).mul_f64(unit.clamp(0.0, 1.0))
}

/// For reconnection: half of the doubled wait is fixed, so that attempts never crowd. `unit` is uniform in `[0, 1)`.
pub fn equal_jitter(base: Duration, max: Duration, attempt: u32, unit: f64) -> Duration {
    doubled(base, max, attempt).mul_f64(0.5 + 0.5 * unit.clamp(0.0, 1.0))
}

/// `value` spread by ± `share`. `unit` is uniform in `[0, 1)`.
pub fn spread(value: Duration, share: f64, unit: f64) -> Duration {
    value.mul_f64(1.0 - share + 2.0 * share * unit.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_in_bounds(base in 1u64..1000, factor in 1u64..100, attempt in 0u32..100, unit in 0.0f64..1.0) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(base * factor));
            let whole = doubled(base, max, attempt);
            prop_assert!(base <= whole && whole <= max);
            prop_assert!(doubled(base, max, attempt + 1) >= whole);
            prop_assert!(full_jitter(base, max, attempt, unit) <= whole);
            let equal = equal_jitter(base, max, attempt, unit);
            prop_assert!(equal >= whole.mul_f64(0.499) && equal <= whole);
            let around = spread(base, 0.2, unit);
            prop_assert!(around >= base.mul_f64(0.799) && around <= base.mul_f64(1.201));
        }
    }
}
