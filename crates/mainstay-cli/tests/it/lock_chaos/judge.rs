//! What the contenders did: grants, sections, and writes that a judge takes or refuses by their token.
//! It must not know how a lock was granted.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::{
    LOCKS,
    mode::{Fault, Mode},
};

/// What names a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) name: usize,
    pub(super) token: u64,
    pub(super) holder: String,
}

/// From when until when a contender was inside, and believed that it might be.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) grant: Grant,
    pub(super) enter: Instant,
    pub(super) leave: Instant,
}

/// The resource: refuses a token below the highest that it has seen, and that token from anybody else.
#[derive(Debug, Default)]
pub(super) struct Judge {
    seen: [Option<Grant>; LOCKS],
    taken: Vec<Grant>,
    /// Writes of a holder that believed in its lease, and was refused.
    refused_holders: usize,
    late_taken: usize,
    late_refused: usize,
    repeated: usize,
}

impl Judge {
    /// A write under a grant. `believes`: its holder believes in its lease at this moment.
    pub(super) fn write(&mut self, grant: &Grant, believes: bool) {
        let seen = &mut self.seen[grant.name];
        let taken = match seen {
            Some(seen) if seen.token == grant.token && seen != grant => {
                self.repeated += 1;
                false
            }
            Some(seen) => seen.token <= grant.token,
            None => true,
        };
        match (believes, taken) {
            (true, true) => {}
            (true, false) => self.refused_holders += 1,
            (false, true) => self.late_taken += 1,
            (false, false) => self.late_refused += 1,
        }
        if taken {
            *seen = Some(grant.clone());
            self.taken.push(grant.clone());
        }
    }

    /// Writes that were taken of one grant after another one's had been.
    fn overlaps(&self) -> usize {
        let mut overlaps = 0;
        for name in 0..LOCKS {
            let mut done: Vec<&Grant> = Vec::new();
            for grant in self.taken.iter().filter(|grant| grant.name == name) {
                if done.last().is_some_and(|last| *last == grant) {
                    continue;
                }
                overlaps += usize::from(done.contains(&grant));
                done.push(grant);
            }
        }
        overlaps
    }
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) judge: Judge,
    pub(super) grants: Vec<Grant>,
    pub(super) sections: Vec<Section>,
}

impl Ledger {
    /// What was done by those who do not ask the judge.
    pub(super) fn add(&mut self, sections: impl IntoIterator<Item = Section>) {
        for section in sections {
            self.grants.push(section.grant.clone());
            self.sections.push(section);
        }
    }
}

/// What is said of a run.
#[derive(Debug)]
pub(super) struct Report {
    mode: Mode,
    time: Duration,
    pub(super) grants: usize,
    sections: usize,
    pub(super) writes: usize,
    pub(super) fenced_overlaps: usize,
    /// How long two were inside at once, each of which believed in its lease.
    pub(super) overlaps: Vec<Duration>,
    /// Sections whose token is not above that of the section before.
    pub(super) disorder: usize,
    /// Tokens that two grants had.
    pub(super) repeated: usize,
    pub(super) refused_holders: usize,
    late_taken: usize,
    late_refused: usize,
    pub(super) recoveries: Vec<(Fault, Duration)>,
}

impl Report {
    pub(super) fn of(ledger: &Ledger, mode: Mode, time: Duration) -> Self {
        let (mut overlaps, mut disorder, mut repeated) = (Vec::new(), 0, 0);
        for name in 0..LOCKS {
            let of_name = ledger.sections.iter().filter(|section| section.grant.name == name);
            let mut sections: Vec<&Section> = of_name.collect();
            sections.sort_by_key(|section| section.enter);
            let mut last: Option<&Section> = None;
            let mut until: Option<Instant> = None;
            for section in sections {
                if let Some(until) = until.filter(|until| *until > section.enter) {
                    overlaps.push(until.min(section.leave) - section.enter);
                }
                disorder +=
                    usize::from(last.is_some_and(|last| last.grant.token >= section.grant.token));
                until = until.max(Some(section.leave));
                last = Some(section);
            }
            let of_name = ledger.grants.iter().filter(|grant| grant.name == name);
            let mut tokens: Vec<u64> = of_name.map(|grant| grant.token).collect();
            let all = tokens.len();
            tokens.sort_unstable();
            tokens.dedup();
            repeated += all - tokens.len();
        }
        let judge = &ledger.judge;
        Self {
            mode,
            time,
            grants: ledger.grants.len(),
            sections: ledger.sections.len(),
            writes: judge.taken.len(),
            fenced_overlaps: judge.overlaps(),
            overlaps,
            disorder,
            repeated: repeated + judge.repeated,
            refused_holders: judge.refused_holders,
            late_taken: judge.late_taken,
            late_refused: judge.late_refused,
            recoveries: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.overlaps.iter().max().copied().unwrap_or_default();
        write!(
            f,
            "locks, {}: {:.0} s, {} grants, {} sections; overlaps: {} of sections (longest {} ms)",
            self.mode,
            self.time.as_secs_f64(),
            self.grants,
            self.sections,
            self.overlaps.len(),
            longest.as_millis(),
        )?;
        if self.mode == Mode::RedisPy {
            write!(f, ", no tokens")?;
        } else {
            write!(
                f,
                ", {} of {} fenced writes; tokens: {} out of order, {} repeated; refused writes: {} of holders, {} of {} late",
                self.fenced_overlaps,
                self.writes,
                self.disorder,
                self.repeated,
                self.refused_holders,
                self.late_refused,
                self.late_refused + self.late_taken,
            )?;
        }
        let mut faults: Vec<Fault> = self.recoveries.iter().map(|(fault, _)| *fault).collect();
        faults.sort_unstable();
        faults.dedup();
        for fault in faults {
            let of_it = self.recoveries.iter().filter(|(found, _)| *found == fault);
            let took: Vec<Duration> = of_it.map(|(_, took)| *took).collect();
            let longest = took.iter().max().copied().unwrap_or_default();
            write!(
                f,
                "\n  {fault:?}: {} times, granted again after {} ms at most",
                took.len(),
                longest.as_millis()
            )?;
        }
        Ok(())
    }
}
