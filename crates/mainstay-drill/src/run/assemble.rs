//! The report, put together from what the load counted and the watch saw.
//! It must not measure anything.

use std::{collections::BTreeMap, time::Duration};

use mainstay::{EventKind, Storage};

use super::{Course, Plan};
use crate::{
    advice::{self, Case},
    judge::{Facts, judge},
    load::{ReadBack, Slice, Tally},
    locks::LockCounts,
    machine::Phase,
    report::{ErrorReport, Lane, PhaseReport, Report, SecondReport, Span, Verification},
    watch::{Observed, Second},
    world::StandsBehind,
};

/// What is known when the load has ended.
pub(crate) struct Parts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) targets: Vec<String>,
    pub(crate) places: Vec<StandsBehind>,
    pub(crate) course: Course,
    pub(crate) began_unix_ms: i64,
}

impl Parts<'_> {
    pub(crate) fn report(
        self,
        storage: &Storage,
        observed: Observed,
        tally: Tally,
        read_back: ReadBack,
        locks: Option<LockCounts>,
    ) -> Report {
        let facts = self.facts(&observed, tally, read_back, locks);
        let plan = self.plan;
        let thresholds = judge(&plan.scenario.thresholds, &facts);
        let passed = thresholds.iter().all(|verdict| verdict.met);
        let case = Case {
            config: &plan.config,
            backends: &plan.backends,
            targets: &self.targets,
            facts: &facts,
            verdicts: &thresholds,
        };
        let advice = if passed { Vec::new() } else { advice::advise(case) };
        Report {
            mainstay: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: plan.scenario.clone(),
            passed,
            began_unix_ms: self.began_unix_ms,
            seed: plan.seed,
            routes: routes(storage),
            notes: plan.notes.clone(),
            phases: self.phases(&facts.tally),
            opened_ms: facts.opened.map(whole),
            recovery_ms: facts.recovery.map(whole),
            verification: verification(&facts),
            locks: facts.locks.clone(),
            errors: errors(&facts.tally),
            seconds: seconds(&facts.tally, &observed.seconds, self.course.ended),
            lanes: self.places.iter().map(|place| self.lane(&place.backend, &observed)).collect(),
            timeline: observed.lines,
            places: self.places,
            targets: self.targets,
            thresholds,
            advice,
        }
    }

    fn facts(
        &self,
        observed: &Observed,
        tally: Tally,
        read_back: ReadBack,
        locks: Option<LockCounts>,
    ) -> Facts {
        let fault = self.began(Phase::Fault);
        let before = usize::try_from(fault.as_secs()).unwrap_or(0).min(observed.seconds.len());
        let databases = self.places.iter().filter(|place| place.engine != "redis");
        let inflight = databases.filter_map(|place| {
            let most = observed.inflight.get(&place.backend)?;
            Some((place.backend.clone(), *most))
        });
        Facts {
            tally,
            read_back,
            locks,
            recovery: self.course.recovery,
            opened: self.opened(observed),
            steady: observed.seconds[..before].to_vec(),
            inflight: inflight.collect(),
        }
    }

    fn began(&self, phase: Phase) -> Duration {
        let found = self.course.began.iter().find(|(each, _)| *each == phase);
        found.map_or(Duration::ZERO, |(_, at)| *at)
    }

    /// When, in the fault, the first breaker of a target was open: at once, where one was already.
    fn opened(&self, observed: &Observed) -> Option<Duration> {
        let [fault, healed] = [Phase::Fault, Phase::Recovery].map(|phase| whole(self.began(phase)));
        let lanes = self.targets.iter().map(|target| self.lane(target, observed));
        let spans = lanes.flat_map(|lane| lane.spans);
        let open = spans.filter(|span| matches!(&*span.state, "open" | "isolated"));
        let within = open.filter(|span| span.to_ms > fault && span.from_ms <= healed);
        let first = within.map(|span| span.from_ms.saturating_sub(fault)).min()?;
        Some(Duration::from_millis(first))
    }

    fn phases(&self, tally: &Tally) -> Vec<PhaseReport> {
        let ends = self.course.began.iter().skip(1).map(|(_, at)| *at).chain([self.course.ended]);
        let of = |((phase, from), to): (&(Phase, Duration), Duration)| {
            let slice = tally.phase(*phase);
            PhaseReport {
                phase: *phase,
                from_ms: whole(*from),
                to_ms: whole(to),
                requests: slice.requests,
                failed: slice.failed,
                stale: slice.stale,
                p50_ms: quantile(&slice, 0.5),
                p99_ms: quantile(&slice, 0.99),
                max_ms: millis(slice.latency.max()),
            }
        };
        self.course.began.iter().zip(ends).map(of).collect()
    }

    fn lane(&self, backend: &str, observed: &Observed) -> Lane {
        let end = whole(self.course.ended);
        let mut spans = vec![Span { state: "closed".to_owned(), from_ms: 0, to_ms: end }];
        let own =
            observed.events.iter().filter(|(_, event)| event.backend.as_deref() == Some(backend));
        for (at, event) in own {
            let EventKind::Breaker { to, .. } = event.kind else { continue };
            let at = u64::try_from(*at).unwrap_or(0).min(end);
            if let Some(last) = spans.last_mut() {
                last.to_ms = at;
            }
            spans.push(Span { state: to.to_owned(), from_ms: at, to_ms: end });
        }
        spans.retain(|span| span.to_ms > span.from_ms);
        Lane { backend: backend.to_owned(), spans }
    }
}

fn routes(storage: &Storage) -> Vec<String> {
    let of = |route: &mainstay::status::RouteStatus| {
        let prefix = if route.prefix.is_empty() { "*" } else { &route.prefix };
        format!("{prefix} {}", route.description)
    };
    storage.status().routes.iter().map(of).collect()
}

fn verification(facts: &Facts) -> Verification {
    let all = |pick: fn(&Slice) -> u64| facts.tally.phases.values().map(pick).sum::<u64>();
    let back = &facts.read_back;
    Verification {
        acknowledged: all(|slice| slice.acknowledged),
        keys: back.keys,
        lost: back.lost,
        unreadable: back.unreadable,
        deleted_back: back.deleted_back + all(|slice| slice.deleted_back),
        unexplained: back.unexplained + all(|slice| slice.unexplained),
        stale: all(|slice| slice.stale),
        examples: [back.examples.clone(), facts.tally.examples.clone()].concat(),
    }
}

fn errors(tally: &Tally) -> BTreeMap<String, ErrorReport> {
    let of = |(kind, errors): (&String, &crate::load::Errors)| {
        (kind.clone(), ErrorReport { count: errors.count, example: errors.example.clone() })
    };
    tally.errors.iter().map(of).collect()
}

/// The whole seconds of the load: what is begun is not seen to its end, and then everything is read back.
fn seconds(tally: &Tally, seen: &[Second], ended: Duration) -> Vec<SecondReport> {
    let length = usize::try_from(ended.as_secs()).unwrap_or(0);
    let length = length.min(tally.seconds.len().max(seen.len()));
    let of = |at: usize| {
        let slice = tally.seconds.get(at).cloned().unwrap_or_default();
        let second = seen.get(at).cloned().unwrap_or_default();
        SecondReport {
            requests: slice.requests,
            failed: slice.failed,
            p50_ms: quantile(&slice, 0.5),
            p99_ms: quantile(&slice, 0.99),
            max_ms: millis(slice.latency.max()),
            sources: second.sources,
            backends: second.backends,
            waiting: second.waiting,
        }
    };
    (0..length).map(of).collect()
}

fn quantile(slice: &Slice, share: f64) -> Option<f64> {
    slice.latency.quantile(share).map(millis)
}

fn millis(time: Duration) -> f64 {
    // Whole microseconds: more digits are noise.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
