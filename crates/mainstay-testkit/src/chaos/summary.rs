//! Several runs together.
//! It must not judge: a run has been judged when it comes here.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value as Json, json};

use super::{
    outcome::{Cost, Outcome},
    render::time,
};
use crate::history::{Micros, Promise};

/// What all runs so far have shown.
#[derive(Debug, Default)]
pub struct Summary {
    runs: u64,
    failed: Vec<u64>,
    calls: u64,
    lost: u64,
    stale_after_recovery: u64,
    deleted_back: u64,
    /// By consistency and label.
    oldest: BTreeMap<String, Micros>,
    /// By fault: how often, and how long readmission took.
    readmission: BTreeMap<String, Vec<Micros>>,
    /// By consistency and state.
    costs: BTreeMap<String, Vec<Cost>>,
}

impl Summary {
    /// Counts a run in.
    pub fn add(&mut self, outcome: &Outcome) {
        let consistency = format!("{:?}", outcome.options.consistency).to_lowercase();
        self.runs += 1;
        if !outcome.passed() {
            self.failed.push(outcome.options.seed);
        }
        self.calls += outcome.trace.ops.len() as u64;
        self.lost += outcome.report.seen(Promise::Durability);
        self.stale_after_recovery += outcome.stale_after_recovery;
        self.deleted_back += outcome.report.seen(Promise::Deletion);
        for (label, age) in &outcome.oldest {
            let kept = self.oldest.entry(format!("{consistency}, {label}")).or_default();
            *kept = (*age).max(*kept);
        }
        for round in &outcome.rounds {
            let took = round.readmitted_after.unwrap_or(Micros::MAX);
            self.readmission.entry(round.faults.clone()).or_default().push(took);
        }
        for (name, cost) in outcome.costs.iter().filter(|(_, cost)| cost.writes > 0) {
            self.costs.entry(format!("{consistency}, {name}")).or_default().push(*cost);
        }
    }

    /// The seeds of the runs in which something did not hold.
    #[must_use]
    pub fn failed(&self) -> &[u64] {
        &self.failed
    }

    /// One object.
    #[must_use]
    pub fn json(&self) -> Json {
        let readmission: serde_json::Map<String, Json> = self
            .readmission
            .iter()
            .map(|(faults, times)| {
                let longest = times.iter().max();
                (faults.clone(), json!({"times": times.len(), "longest_us": longest}))
            })
            .collect();
        let costs: serde_json::Map<String, Json> = self
            .costs
            .iter()
            .map(|(name, costs)| {
                let worst = |of: fn(&Cost) -> Micros| costs.iter().map(of).max();
                let writes: usize = costs.iter().map(|cost| cost.writes).sum();
                let of_slowest = json!({
                    "writes": writes, "p50": worst(|cost| cost.p50), "p99": worst(|cost| cost.p99),
                    "max": worst(|cost| cost.max),
                });
                (name.clone(), of_slowest)
            })
            .collect();
        json!({
            "runs": self.runs, "failed_seeds": self.failed, "calls": self.calls,
            "acknowledged_writes_lost": self.lost,
            "stale_reads_after_recovery": self.stale_after_recovery,
            "deleted_keys_back": self.deleted_back,
            "oldest_read_us": self.oldest,
            "readmission": readmission,
            "writes_us_of_the_slowest_run": costs,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} calls; failed seeds: {:?}", self.runs, self.calls, self.failed)?;
        writeln!(
            f,
            "acknowledged writes lost {}, stale reads after recovery {}, deleted keys back {}",
            self.lost, self.stale_after_recovery, self.deleted_back
        )?;
        for (label, age) in &self.oldest {
            writeln!(f, "oldest read, {label}: {}", time(*age))?;
        }
        for (name, costs) in &self.costs {
            let writes: usize = costs.iter().map(|cost| cost.writes).sum();
            let worst = |of: fn(&Cost) -> Micros| time(costs.iter().map(of).max().unwrap_or(0));
            let (p50, p99, max) =
                (worst(|cost| cost.p50), worst(|cost| cost.p99), worst(|cost| cost.max));
            writeln!(
                f,
                "writes {name}: {writes}; of the slowest run median {p50}, 99 % {p99}, longest {max}"
            )?;
        }
        writeln!(f, "from mending to readmission:")?;
        for (faults, times) in &self.readmission {
            let longest = times.iter().max().copied().unwrap_or(0);
            let longest = if longest == Micros::MAX { "NEVER".to_owned() } else { time(longest) };
            writeln!(f, "  {:>3} times, at most {longest:>8}: {faults}", times.len())?;
        }
        Ok(())
    }
}
