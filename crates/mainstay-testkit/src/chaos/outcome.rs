//! What a run showed: the verdict of the checkers, and the numbers that people ask for.
//! It must not decide what a checker decides.

use std::collections::BTreeMap;

use mainstay::config::Consistency;
use serde_json::Value as Json;

use super::{
    age,
    fault::Fault,
    options::Options,
    process::CacheState,
    run::{Window, calm, in_calm, names, nothing_around, process_of},
    time::Time,
    world::World,
};
use crate::history::{Freshness, Micros, Op, OpId, Promise, Report, Trace};

/// Events carry a wall clock's milliseconds: so much may be between it and the clock of the run, in microseconds.
const WALL_CLOCK: Micros = 20_000;

/// That the beacon was evicted is noticed by each process when it looks at it next, well within a lease of the suite; meanwhile
/// all seems to have recovered.
const NOTICED: Micros = 2_000_000;

/// What the harness saw besides the calls.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) problems: Vec<String>,
    pub(super) events: Vec<Heard>,
    pub(super) states: Vec<Option<CacheState>>,
}

/// An event about copies as a whole.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) process: usize,
    pub(super) at: Micros,
    pub(super) state: String,
    pub(super) reason: String,
}

/// One or two faults at a time, and what came of them.
#[derive(Clone, Debug)]
pub struct Round {
    /// In words.
    pub faults: String,
    /// When it began, microseconds of the run.
    pub from: Micros,
    /// How long it lasted.
    pub lasted: Micros,
    /// From the mending to when every process served copies again and no key was dirty (or only few, for long: see
    /// `dirty`); `None`: never.
    pub readmitted_after: Option<Micros>,
    /// Reads that missed an acknowledged write meanwhile, by the order in time.
    pub stale: u64,
    /// The oldest of them.
    pub oldest: Micros,
    /// How often the copies were begun anew: everything was invalidated.
    pub begun_anew: u64,
    /// Keys that were made absent one by one.
    pub drained: u64,
    /// Writes around the cache.
    pub around: u64,
    /// How often somebody declared the copies degraded.
    pub degraded: u64,
    /// Keys that were dirty still or again when the wait for none was given up: marks were late without a fault.
    pub dirty: u64,
}

/// How long acknowledged writes took, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many.
    pub writes: usize,
    /// Median.
    pub p50: Micros,
    /// 99th percentile.
    pub p99: Micros,
    /// The longest.
    pub max: Micros,
}

/// Everything about one run.
#[derive(Debug)]
pub struct Outcome {
    /// What was asked for.
    pub options: Options,
    /// What the checkers found.
    pub report: Report,
    /// The faults.
    pub rounds: Vec<Round>,
    /// Reads in a calm that missed an acknowledged write.
    pub stale_after_recovery: u64,
    /// The oldest read under each label, by the order in time.
    pub oldest: BTreeMap<String, Micros>,
    /// What writes cost: of a process cut off from Redis, of the others meanwhile, and in a calm.
    pub costs: [(&'static str, Cost); 3],
    /// Copies that were found wrong by the audit.
    pub inconsistent: u64,
    /// What must not be; empty when everything held.
    pub problems: Vec<String>,
    /// The history.
    pub trace: Trace,
}

impl Happened {
    /// Takes down what a process has to tell of its copies.
    pub(super) async fn hear(&mut self, world: &World, time: &Time, number: usize) {
        let document = world.processes[number].document("/v1/events?format=json&limit=1000").await;
        for event in document["events"].as_array().into_iter().flatten() {
            if event["kind"] != "copies" {
                continue;
            }
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let at = time.of_unix_ms(event["unix_ms"].as_i64().unwrap_or(0));
            let (state, reason) = (text("state"), text("reason"));
            self.events.push(Heard { process: number, at, state, reason });
        }
        if document == Json::Null {
            self.problems.push(format!("process {number} does not answer for its events"));
        }
    }
}

impl Outcome {
    pub(super) fn of(
        options: Options,
        trace: Trace,
        windows: &[Window],
        happened: Happened,
    ) -> Self {
        let report = Report::of(&trace);
        let stale = age::stale_reads(&trace);
        let mut oldest: BTreeMap<String, Micros> = BTreeMap::new();
        for op in &trace.ops {
            let Some(read) = op.read() else { continue };
            let age = stale.get(&op.id).copied().unwrap_or(0);
            let kept = oldest.entry(label(read.freshness)).or_default();
            *kept = age.max(*kept);
        }
        // A bounded write that goes around the cache because its mark is late may be missed for a lease, in a calm too.
        let strict = options.consistency == Consistency::Strict;
        let told = |op: &&Op| strict || nothing_around(windows, op.invoked.t);
        let in_calm = in_calm(&trace, windows).filter(told);
        let stale_after_recovery = in_calm.filter(|op| stale.contains_key(&op.id)).count() as u64;
        let rounds: Vec<Round> =
            windows.iter().map(|window| round(window, &trace, &stale, &happened)).collect();
        let costs = costs(&trace, windows);
        let states = happened.states.iter().flatten();
        let inconsistent = states.map(|state| state.inconsistent_keys).sum();
        let mut problems = judge(&report, stale_after_recovery);
        problems.extend(unprovoked(windows, &happened));
        problems.extend(unnoticed(windows, &rounds));
        problems.extend(happened.problems);
        Self {
            options,
            report,
            rounds,
            stale_after_recovery,
            oldest,
            costs,
            inconsistent,
            problems,
            trace,
        }
    }

    /// Whether everything held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

fn label(freshness: Freshness) -> String {
    match freshness {
        Freshness::Linearizable => "linearizable".to_owned(),
        Freshness::Bounded(bound) => format!("bounded {} ms", bound / 1000),
        Freshness::Unverified => "unverified".to_owned(),
        Freshness::Pending => "pending".to_owned(),
    }
}

fn judge(report: &Report, stale_after_recovery: u64) -> Vec<String> {
    let mut problems: Vec<String> = Promise::ALL
        .into_iter()
        .filter(|promise| report.seen(*promise) > 0)
        .map(|promise| format!("{} times not kept: {promise}", report.seen(promise)))
        .collect();
    if stale_after_recovery > 0 {
        problems.push(format!("{stale_after_recovery} stale reads after recovery"));
    }
    for promise in [Promise::Linearizable, Promise::Durability, Promise::Convergence] {
        if report.unexamined().contains(&promise) {
            problems.push(format!("nothing was examined: {promise}"));
        }
    }
    problems
}

/// Copies that somebody declared degraded while Redis was what it had been: a slow or a late answer is no reason.
fn unprovoked(windows: &[Window], happened: &Happened) -> Vec<String> {
    let provoked = |heard: &Heard| {
        windows.iter().any(|window| {
            let evicted = window.faults.contains(&Fault::Eviction);
            let noticed = if evicted { NOTICED } else { 0 };
            let meets = window.from <= heard.at + WALL_CLOCK
                && window.recovered.is_none_or(|end| heard.at <= end + noticed);
            meets && window.faults.iter().any(|fault| fault.may_degrade())
        })
    };
    let degraded = happened.events.iter().filter(|heard| heard.state == "degraded");
    degraded
        .filter(|heard| !provoked(heard))
        .map(|heard| {
            let calm = if calm(windows, heard.at) { ", in a calm" } else { "" };
            format!(
                "process {} declared the copies degraded at {} us{calm}: {}",
                heard.process, heard.at, heard.reason
            )
        })
        .collect()
}

/// Redis was not what it had been, and its copies were believed all the same.
fn unnoticed(windows: &[Window], rounds: &[Round]) -> Vec<String> {
    let had_to = |window: &Window| window.faults.iter().any(|fault| fault.has_to_degrade());
    let pairs = windows.iter().zip(rounds);
    pairs
        .filter(|(window, round)| had_to(window) && round.begun_anew == 0)
        .map(|(_, round)| format!("went unnoticed: {} at {} us", round.faults, round.from))
        .collect()
}

fn round(
    window: &Window,
    trace: &Trace,
    stale: &BTreeMap<OpId, Micros>,
    happened: &Happened,
) -> Round {
    let ages: Vec<Micros> = trace
        .ops
        .iter()
        .filter(|op| window.meets(op))
        .filter_map(|op| stale.get(&op.id).copied())
        .collect();
    let end = window.recovered.unwrap_or(Micros::MAX);
    let within = |heard: &&Heard| window.from <= heard.at + WALL_CLOCK && heard.at <= end;
    let events = happened.events.iter().filter(within);
    // A process that was restarted counts anew.
    let rose = |of: fn(&CacheState) -> u64| {
        let pairs = window.before.iter().zip(&window.after);
        pairs
            .filter_map(|(before, after)| {
                let (before, after) = (before.as_ref().map_or(0, of), after.as_ref().map(of)?);
                Some(if after >= before { after - before } else { after })
            })
            .sum()
    };
    let generation = |states: &[Option<CacheState>]| {
        states.iter().flatten().map(|state| state.generation).max().unwrap_or(0)
    };
    Round {
        faults: names(&window.faults),
        from: window.from,
        lasted: window.healed - window.from,
        readmitted_after: window.recovered.map(|at| at - window.healed),
        stale: ages.len() as u64,
        oldest: ages.into_iter().max().unwrap_or(0),
        begun_anew: generation(&window.after).saturating_sub(generation(&window.before)),
        drained: rose(|state| state.drained_keys),
        around: rose(|state| state.writes_around),
        dirty: window.dirty,
        degraded: events.filter(|heard| heard.state == "degraded").count() as u64,
    }
}

fn costs(trace: &Trace, windows: &[Window]) -> [(&'static str, Cost); 3] {
    let alone = |window: &&Window| matches!(window.faults[..], [Fault::CutFromRedis(_)]);
    let mut of_cut = Vec::new();
    let mut of_others = Vec::new();
    for window in windows.iter().filter(alone) {
        let [Fault::CutFromRedis(cut)] = window.faults[..] else { continue };
        let begun = |op: &&Op| window.from <= op.invoked.t && op.invoked.t <= window.healed;
        for op in trace.ops.iter().filter(begun) {
            let Some(took) = took(op) else { continue };
            if process_of(op.client) == cut { &mut of_cut } else { &mut of_others }.push(took);
        }
    }
    let in_calm = in_calm(trace, windows).filter_map(took).collect();
    [
        ("cut off from redis", Cost::of(of_cut)),
        ("the others meanwhile", Cost::of(of_others)),
        ("in a calm", Cost::of(in_calm)),
    ]
}

/// How long an acknowledged write took.
fn took(op: &Op) -> Option<Micros> {
    op.write()?;
    Some(op.ended()?.t - op.invoked.t)
}

impl Cost {
    fn of(mut times: Vec<Micros>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a list"
            )]
            let place = (times.len() as f64 * share) as usize;
            times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        Self { writes: times.len(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}
