//! An outcome for people and for programs.
//! It must not judge.

use std::fmt;

use serde_json::{Value as Json, json};

use super::outcome::{Cost, Outcome, Round};
use crate::history::{Micros, Promise};

impl Outcome {
    /// One object: what was done, the numbers, and what must not be.
    #[must_use]
    pub fn json(&self) -> Json {
        let counts = self.report.counts;
        let promises: serde_json::Map<String, Json> = self
            .report
            .verdicts
            .iter()
            .map(|(promise, verdict)| {
                let found =
                    json!({"examined": verdict.examined, "broken": verdict.violations_seen});
                (promise.to_string(), found)
            })
            .collect();
        let rounds: Vec<Json> = self.rounds.iter().map(round).collect();
        let costs: serde_json::Map<String, Json> =
            self.costs.iter().map(|(name, cost)| ((*name).to_owned(), cost_of(*cost))).collect();
        json!({
            "seed": self.options.seed,
            "record": self.options.record.to_string(),
            "consistency": self.options.consistency,
            "lease_ms": ms(self.options.lease.as_micros()),
            "seconds": self.options.time.as_secs(),
            "passed": self.passed(),
            "problems": self.problems,
            "calls": {
                "reads": counts.reads, "durable": counts.durable, "changed_nothing": counts.refused,
                "failed": counts.failed, "unknown": counts.unknown,
            },
            "acknowledged_writes_lost": self.report.seen(Promise::Durability),
            "stale_reads_after_recovery": self.stale_after_recovery,
            "deleted_keys_back": self.report.seen(Promise::Deletion),
            "oldest_read_us": self.oldest,
            "copies_found_wrong_by_the_audit": self.inconsistent,
            "promises": promises,
            "rounds": rounds,
            "writes_us": costs,
        })
    }
}

fn round(round: &Round) -> Json {
    json!({
        "faults": round.faults, "at_us": round.from, "lasted_us": round.lasted,
        "readmitted_after_us": round.readmitted_after, "stale_reads": round.stale,
        "oldest_read_us": round.oldest, "begun_anew": round.begun_anew, "drained": round.drained,
        "writes_around": round.around, "degraded": round.degraded, "dirty_again": round.dirty,
    })
}

fn cost_of(cost: Cost) -> Json {
    json!({"writes": cost.writes, "p50": cost.p50, "p99": cost.p99, "max": cost.max})
}

fn ms(micros: u128) -> u64 {
    u64::try_from(micros / 1000).unwrap_or(u64::MAX)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let word = if self.passed() { "ok" } else { "FAILED" };
        let consistency = format!("{:?}", options.consistency).to_lowercase();
        writeln!(
            f,
            "{word}: seed {}, {} {consistency}, {:?} of faults, lease {:?}, {} clients",
            options.seed, options.record, options.time, options.lease, options.clients
        )?;
        let (lost, back) =
            (self.report.seen(Promise::Durability), self.report.seen(Promise::Deletion));
        writeln!(
            f,
            "  acknowledged writes lost {lost}, stale reads after recovery {}, deleted keys back {back}",
            self.stale_after_recovery
        )?;
        for (label, age) in &self.oldest {
            writeln!(f, "  oldest read, {label}: {}", time(*age))?;
        }
        rounds(f, &self.rounds)?;
        for (name, cost) in self.costs.iter().filter(|(_, cost)| cost.writes > 0) {
            let Cost { writes, p50, p99, max } = *cost;
            writeln!(
                f,
                "  writes {name}: {writes}, median {}, 99 % {}, longest {}",
                time(p50),
                time(p99),
                time(max)
            )?;
        }
        if self.inconsistent > 0 {
            writeln!(f, "  copies that the audit found wrong: {}", self.inconsistent)?;
        }
        for problem in &self.problems {
            writeln!(f, "  PROBLEM: {problem}")?;
        }
        write!(f, "{}", self.report)
    }
}

fn rounds(f: &mut fmt::Formatter<'_>, rounds: &[Round]) -> fmt::Result {
    for round in rounds {
        let readmitted = round.readmitted_after.map_or_else(|| "NEVER".to_owned(), time);
        write!(
            f,
            "  {:>9}  {:<58} {:>8}, readmitted after {readmitted:>8}",
            time(round.from),
            round.faults,
            time(round.lasted)
        )?;
        for (number, what) in [
            (round.begun_anew, "begun anew"),
            (round.drained, "drained"),
            (round.around, "written around"),
            (round.degraded, "degraded"),
            (round.dirty, "dirty again"),
            (round.stale, "stale reads"),
        ] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        if round.stale > 0 {
            write!(f, " up to {}", time(round.oldest))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

pub(super) fn time(micros: Micros) -> String {
    if micros < 1_000_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else {
        format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
    }
}
