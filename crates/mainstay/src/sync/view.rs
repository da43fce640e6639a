//! What a process knows of one cache from its last look at the record: where copies stand, whether it may read them, and
//! until when a mark protects a commit.
//! It must not know IO; time is an argument.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    clock::Instant,
    entry::Key,
    op::{Control, LeaseRow},
};

/// Clocks that should agree may differ in rate by this much (CONSISTENCY.md, rho): 2 %.
const DRIFT: f64 = 0.02;

/// A suspended machine is noticed from this on; less is what reading two clocks one after the other makes of nothing.
const SUSPENSION: Duration = Duration::from_millis(10);

/// One look: when it was taken, and what it showed.
#[derive(Debug)]
pub(crate) struct View {
    /// The control row.
    pub(crate) control: Control,
    /// The first bytes of every copy's key.
    prefix: Bytes,
    /// Keys whose copies must not be read.
    dirty: BTreeSet<Key>,
    /// What may be read until when; `None`: nothing.
    lease: Option<Lease>,
    /// When the answer had come.
    heard: Instant,
    /// The record's clock, Unix microseconds, at some moment before.
    record_us: i64,
    /// Set when something happened that ends the lease at once.
    revoked: AtomicBool,
}

/// The right to read copies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// When the record was asked.
    asked: Instant,
    until: Instant,
    /// `Clock::suspended` when the record was asked.
    suspended: Duration,
    /// The cache's clock minus this process's, milliseconds.
    ahead_ms: i64,
}

impl Lease {
    /// From the moment the record was asked, for the lease's length less the drift.
    pub(crate) fn new(
        asked: Instant,
        suspended: Duration,
        length: Duration,
        ahead_ms: i64,
    ) -> Self {
        Self { asked, until: asked + length.mul_f64(1.0 - DRIFT), suspended, ahead_ms }
    }
}

impl View {
    pub(crate) fn new(row: LeaseRow, lease: Option<Lease>, heard: Instant) -> Self {
        Self {
            prefix: prefix_of(&row.control),
            dirty: row.dirty.into_iter().collect(),
            control: row.control,
            lease,
            heard,
            record_us: row.now_us,
            revoked: AtomicBool::new(false),
        }
    }

    /// Whether a copy that is read under this view may be served. Asked again when the cache has answered.
    pub(crate) fn may_read(&self, now: Instant, suspended: Duration) -> bool {
        let Some(lease) = self.lease else { return false };
        now < lease.until
            && suspended.saturating_sub(lease.suspended) < SUSPENSION
            && !self.revoked.load(Ordering::Acquire)
    }

    /// Whether the key was written around the cache.
    pub(crate) fn is_dirty(&self, key: &Key) -> bool {
        !self.dirty.is_empty() && self.dirty.contains(key)
    }

    /// How many such keys it knows.
    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Ends the lease: another server answers, or the connection is lost.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether that has happened.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// The lease, also one that has ended.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease
    }

    /// When the lease ends or has ended.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.lease.map(|lease| lease.until)
    }

    /// When the record was asked for the lease.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.lease.map(|lease| lease.asked)
    }

    /// When the answer had come.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// What the keys of all copies begin with.
    pub(crate) fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// The key of a copy.
    pub(crate) fn key_of(&self, key: &Key) -> Key {
        let mut bytes = BytesMut::with_capacity(self.prefix.len() + key.as_bytes().len());
        bytes.put_slice(&self.prefix);
        bytes.put_slice(key.as_bytes());
        Key::new(bytes.freeze())
    }

    /// The cache's clock, as far as it is known, Unix milliseconds.
    pub(crate) fn cache_ms(&self, unix_ms: i64) -> i64 {
        unix_ms.saturating_add(self.lease.map_or(0, |lease| lease.ahead_ms))
    }

    /// The record's clock by which a commit must have begun, so that it ends while a mark that was sent at `sent` still
    /// stands: the mark's life, less the longest statement, less the drift. `None`: no time is left.
    pub(crate) fn commit_by(&self, sent: Instant, statement: Duration) -> Option<i64> {
        let terms = &self.control.terms;
        if statement > terms.statement {
            // Others count on statements that end sooner.
            return None;
        }
        let life = terms.mark.mul_f64(1.0 - DRIFT).checked_sub(statement)?;
        let since_heard = (sent + life).saturating_duration_since(self.heard).mul_f64(1.0 - DRIFT);
        let micros = i64::try_from(since_heard.as_micros()).ok()?;
        // The record's clock stood at `record_us` no later than `heard`: it shows at least this then.
        (!life.is_zero()).then(|| self.record_us.saturating_add(micros))
    }

    /// The record's clock, Unix microseconds: whatever was written before is known here, or overwritten knowingly. A
    /// write carries the time at which it was made and is visible at most one statement later, hence the difference.
    pub(crate) fn known_until_us(&self) -> i64 {
        let statement = i64::try_from(self.control.terms.statement.as_micros());
        self.record_us.saturating_sub(statement.unwrap_or(i64::MAX))
    }

    /// How long a strict write around the cache waits: until every lease that may not know its key has ended.
    pub(crate) fn known_for(&self, statement: Duration) -> Duration {
        let terms = &self.control.terms;
        // The row shows the moment at which it was made; it became visible at most one statement later.
        terms.lease.mul_f64(1.0 + DRIFT) + terms.statement.max(statement)
    }

    /// How long a cold readmission waits: until every lease of before has ended, and every commit that was checked before.
    pub(crate) fn readmit_wait(&self) -> Duration {
        let terms = &self.control.terms;
        terms.lease.max(terms.statement).mul_f64(1.0 + DRIFT) + READMIT_SLACK
    }
}

/// Beyond what was counted, for the messages that carry it.
const READMIT_SLACK: Duration = Duration::from_millis(100);

/// Copies stand under this; user keys never do, for they have another beginning.
pub(crate) const PREFIX: &str = "mainstay:";

fn prefix_of(control: &Control) -> Bytes {
    Bytes::from(format!("{PREFIX}{:x}.{:x}:", control.id, control.generation))
}

/// The key of the beacon: of the pair, whatever the generation.
pub(crate) fn beacon_key(control: &Control) -> Key {
    Key::from(format!("{PREFIX}{:x}:beacon", control.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, op::Terms};

    const S: Duration = Duration::from_secs(1);

    fn row(dirty: &[&str]) -> LeaseRow {
        let control = Control {
            id: 0xab,
            active: true,
            epoch: 3,
            generation: 16,
            identity: "run".into(),
            beacon: 1,
            beacon_age: Duration::ZERO,
            reason: String::new(),
            terms: Terms { lease: 2 * S, mark: 5 * S, statement: 2 * S },
        };
        LeaseRow {
            control,
            dirty: dirty.iter().map(|key| Key::from(*key)).collect(),
            more: false,
            now_us: 1_000_000_000,
        }
    }

    #[test]
    fn a_lease_counts_from_the_question_and_ends_early_by_the_drift() {
        let asked = Clock::system().now();
        let lease = Lease::new(asked, Duration::ZERO, 2 * S, 0);
        let view = View::new(row(&["d"]), Some(lease), asked + S);
        let at = |ms| asked + Duration::from_millis(ms);
        assert!(view.may_read(at(1_959), Duration::ZERO));
        assert!(!view.may_read(at(1_961), Duration::ZERO));
        assert!(!view.may_read(at(1), S), "the machine slept");
        assert!(view.is_dirty(&"d".into()) && !view.is_dirty(&"e".into()));
        view.revoke();
        assert!(!view.may_read(at(1), Duration::ZERO));
        assert_eq!(view.key_of(&"k".into()), Key::from("mainstay:ab.10:k"));
    }

    #[test]
    fn a_commit_ends_while_its_mark_stands() {
        let heard = Clock::system().now();
        let view = View::new(row(&[]), None, heard);
        let sent = heard + S;
        let by = view.commit_by(sent, 2 * S).unwrap();
        // The latest moment at which the record's clock, 2 % slow, shows `by`, and the statement's time after it.
        let begun = Duration::from_micros(u64::try_from(by - 1_000_000_000).unwrap()).mul_f64(1.02);
        let ends = begun + 2 * S;
        assert!(ends <= S + 5 * S.mul_f64(0.98), "{ends:?}");
        assert!(ends >= S + 5 * S.mul_f64(0.9), "{ends:?}");
        assert_eq!(view.commit_by(sent, 3 * S), None, "others count on 2 s");
    }

    #[test]
    fn a_strict_write_outwaits_lease_and_statement() {
        let view = View::new(row(&[]), None, Clock::system().now());
        assert!(view.known_for(S) >= 4 * S && view.known_for(3 * S) >= 5 * S);
        assert!(view.readmit_wait() > 2 * S);
        assert_eq!(view.known_until_us(), 1_000_000_000 - 2_000_000);
    }
}
