//! Times in which copies may be older than their label says, because Redis had lost what it had confirmed.
//! It must not know how it lost it.
//!
//! CONSISTENCY.md, A.7 G4: after a roll-back, a restart or a promotion a copy may show what Redis held then, until the
//! change was noticed (the control row is degraded) and the leases of before have ended: one lease later. Writes that
//! were acknowledged before that state was taken are never missing, unless their keys were dirty then.

use crate::history::Micros;

/// One such time.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    from: Micros,
    /// What had been acknowledged before this is there.
    floor: Micros,
    /// One lease after the control row was degraded; `None`: it has not been.
    until: Option<Micros>,
    /// How long it took until somebody noticed.
    took: Option<Micros>,
}

/// All of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts(Vec<Doubt>);

impl Doubts {
    /// Redis is now what it was at `state`.
    pub(super) fn begin(&mut self, now: Micros, state: Micros) {
        let floor = self.floor(state, state).unwrap_or(state).min(state);
        self.0.push(Doubt { from: now, floor, until: None, took: None });
    }

    /// The control row was degraded.
    pub(super) fn noticed(&mut self, now: Micros, lease: Micros) {
        for doubt in self.0.iter_mut().filter(|doubt| doubt.until.is_none()) {
            doubt.until = Some(now + lease);
            doubt.took = Some(now - doubt.from);
        }
    }

    /// What a read of a copy, from `from` to `to`, need not have seen: everything acknowledged since then.
    pub(super) fn floor(&self, from: Micros, to: Micros) -> Option<Micros> {
        let within =
            |doubt: &&Doubt| doubt.from <= to && doubt.until.is_none_or(|until| from <= until);
        self.0.iter().filter(within).map(|doubt| doubt.floor).min()
    }

    /// The longest time that it took until somebody noticed.
    pub(super) fn longest(&self) -> Micros {
        self.0.iter().filter_map(|doubt| doubt.took).max().unwrap_or(0)
    }

    /// Those that nobody has noticed: since when.
    pub(super) fn unnoticed(&self) -> Option<Micros> {
        self.0.iter().filter(|doubt| doubt.until.is_none()).map(|doubt| doubt.from).min()
    }
}
