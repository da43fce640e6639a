//! What a reader may do with a copy: serve it, serve it and refresh it behind, serve it only if need be, or nothing.
//! It must not know where the copy stands; time is an argument.

use std::time::Duration;

use super::envelope::{Envelope, Times};

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is served.
    Fresh,
    /// It is served, and should be refreshed behind the reader.
    Due,
    /// Since when it is not fresh any more: served when its truth cannot be asked.
    Stale(Duration),
    /// Not even then.
    Gone,
}

/// The stage of a copy. `ahead`: the last share of its time in which it is due; `stale_for`: how long it may be served
/// after it. That there is nothing is never served stale.
pub(super) fn of(envelope: &Envelope, now_ms: i64, ahead: f64, stale_for: Duration) -> Stage {
    let times = envelope.times();
    if times.left_ms(now_ms) > 0 {
        return if is_fresh(times, now_ms, ahead) { Stage::Fresh } else { Stage::Due };
    }
    let over = now_ms.saturating_sub(envelope.fresh_until);
    let over = Duration::from_millis(u64::try_from(over).unwrap_or(0));
    if over < stale_for && envelope.value.is_some() { Stage::Stale(over) } else { Stage::Gone }
}

/// Whether it is served and nothing else is to be done.
pub(super) fn is_fresh(times: Times, now_ms: i64, ahead: f64) -> bool {
    times.left_ms(now_ms) as f64 > times.left_ms(times.loaded_at) as f64 * ahead
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn envelope(value: Option<&'static [u8]>) -> Envelope {
        let value = value.map(Bytes::from_static);
        Envelope { loaded_at: 1_000, fresh_until: 2_000, since: 0, tags: Vec::new(), value }
    }

    #[test]
    fn it_is_fresh_then_due_then_stale_then_gone() {
        let (copy, stale_for) = (envelope(Some(b"v")), Duration::from_millis(500));
        let at = |now_ms| of(&copy, now_ms, 0.2, stale_for);
        assert_eq!([at(1_000), at(1_799)], [Stage::Fresh; 2]);
        assert_eq!([at(1_800), at(1_999)], [Stage::Due; 2]);
        assert_eq!(at(2_000), Stage::Stale(Duration::ZERO));
        assert_eq!(at(2_499), Stage::Stale(Duration::from_millis(499)));
        assert_eq!(at(2_500), Stage::Gone);
        assert_eq!(of(&copy, 1_999, 0.0, stale_for), Stage::Fresh, "nothing is refreshed ahead");
        assert_eq!(of(&envelope(None), 2_000, 0.2, stale_for), Stage::Gone);
    }
}
