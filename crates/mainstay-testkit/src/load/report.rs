//! What a load has seen, by phase.
//! It must not judge: tests do.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How many texts of each kind a report keeps.
const EXAMPLES_MAX: usize = 10;

/// What may go wrong for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error reply.
    Error,
    /// A write whose outcome is not known, and that says so.
    Unknown,
    /// The connection was refused or dropped.
    Connection,
    /// A read older than a write that was acknowledged before it began.
    Stale,
}

/// One phase.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it lasted.
    pub lasted: Duration,
    /// Reads answered.
    pub reads: u64,
    /// Writes answered.
    pub writes: u64,
    /// The longest read.
    pub longest_read: Duration,
    /// The longest write.
    pub longest_write: Duration,
    /// Error replies, those apart that say that the outcome of a write is unknown.
    pub errors: u64,
    /// Writes whose outcome is unknown, said so.
    pub unknown: u64,
    /// Connections refused or dropped.
    pub connections: u64,
    /// Stale reads.
    pub stale: u64,
}

/// The whole load.
#[derive(Clone, Debug)]
pub struct Report {
    /// The phases in order.
    pub phases: Vec<Phase>,
    /// Keys whose last acknowledged write could not be read back at the end.
    pub lost: u64,
    /// Some texts of what went wrong.
    pub examples: Vec<String>,
    begun: Instant,
}

impl Report {
    pub(super) fn starting(now: Instant) -> Self {
        let mut report = Self { phases: Vec::new(), lost: 0, examples: Vec::new(), begun: now };
        report.phases.push(Phase::named("start"));
        report
    }

    #[expect(clippy::disallowed_methods, reason = "a load is real time by nature")]
    pub(super) fn begin(&mut self, name: &str) {
        self.end();
        self.begun = Instant::now();
        self.phases.push(Phase::named(name));
    }

    pub(super) fn end(&mut self) {
        let begun = self.begun;
        self.current().lasted = begun.elapsed();
    }

    pub(super) fn took(&mut self, elapsed: Duration, write: bool) {
        let phase = self.current();
        if write {
            phase.writes += 1;
            phase.longest_write = phase.longest_write.max(elapsed);
        } else {
            phase.reads += 1;
            phase.longest_read = phase.longest_read.max(elapsed);
        }
    }

    pub(super) fn fault(&mut self, fault: Fault, text: &str) {
        let phase = self.current();
        match fault {
            Fault::Error => phase.errors += 1,
            Fault::Unknown => phase.unknown += 1,
            Fault::Connection => phase.connections += 1,
            Fault::Stale => phase.stale += 1,
        }
        self.example(&format!("{fault:?}: {text}"));
    }

    pub(super) fn error(&mut self, text: &str) {
        self.fault(Fault::Error, text);
    }

    pub(super) fn lost(&mut self, key: usize, expected: u64, found: u64) {
        self.lost += 1;
        self.example(&format!("Lost: load:{key}: {found} instead of {expected}"));
    }

    /// Sums over all phases.
    pub fn total(&self, of: impl Fn(&Phase) -> u64) -> u64 {
        self.phases.iter().map(of).sum()
    }

    fn example(&mut self, text: &str) {
        if self.examples.len() < EXAMPLES_MAX {
            let phase = self.phases.last().map_or("", |phase| &phase.name);
            self.examples.push(format!("[{phase}] {text}"));
        }
    }

    fn current(&mut self) -> &mut Phase {
        if self.phases.is_empty() {
            self.phases.push(Phase::named("start"));
        }
        let last = self.phases.len() - 1;
        &mut self.phases[last]
    }
}

impl Phase {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lasted: Duration::ZERO,
            reads: 0,
            writes: 0,
            longest_read: Duration::ZERO,
            longest_write: Duration::ZERO,
            errors: 0,
            unknown: 0,
            connections: 0,
            stale: 0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24} {:>7} {:>9} {:>8} {:>10} {:>11} {:>6} {:>7} {:>6} {:>6}",
            "phase",
            "s",
            "reads",
            "writes",
            "max read",
            "max write",
            "errors",
            "unknown",
            "drops",
            "stale"
        )?;
        for phase in &self.phases {
            writeln!(
                f,
                "{:<24} {:>7.1} {:>9} {:>8} {:>7.1} ms {:>8.1} ms {:>6} {:>7} {:>6} {:>6}",
                phase.name,
                phase.lasted.as_secs_f64(),
                phase.reads,
                phase.writes,
                phase.longest_read.as_secs_f64() * 1e3,
                phase.longest_write.as_secs_f64() * 1e3,
                phase.errors,
                phase.unknown,
                phase.connections,
                phase.stale
            )?;
        }
        write!(f, "lost: {}", self.lost)?;
        self.examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}
