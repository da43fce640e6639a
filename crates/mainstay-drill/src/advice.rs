//! Which setting to change when a threshold is missed: rules over the configuration and what was measured.
//! It must not know how anything was measured.

use std::{collections::BTreeMap, time::Duration};

use mainstay::{
    Config,
    config::{BackendConfig, Consistency, Engine, OnRecordDown, text::format_duration},
};
use serde::{Deserialize, Serialize};

use crate::{
    judge::{Facts, Verdict},
    machine::Phase,
    scenario::Metric,
};

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The setting's path: `backends.redis.breaker.failures`.
    pub setting: String,
    /// What it says now.
    pub now: String,
    /// What to write instead.
    pub change: String,
    /// What was measured, and why that follows.
    pub because: String,
}

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Every backend of it, by name.
    pub backends: &'a BTreeMap<String, BackendConfig>,
    /// The backends that were broken.
    pub targets: &'a [String],
    /// What was measured.
    pub facts: &'a Facts,
    /// The thresholds, judged.
    pub verdicts: &'a [Verdict],
}

/// In a breaker's settings, what is over this is off.
const FAILURES_OFF: u32 = 100;

/// What follows, most likely first; nothing when every threshold is met.
pub fn advise(case: Case<'_>) -> Vec<Advice> {
    let mut advice = Vec::new();
    if case.missed(&IN_THE_FAULT) {
        for (name, backend) in case.broken() {
            advice.extend(breaker(case, name, backend));
            advice.extend(timeout(name, backend));
            advice.extend(hedge(name, backend));
        }
        for (name, backend) in case.backends {
            advice.extend(bulkhead(name, backend));
            advice.extend(queue(name, backend));
        }
        advice.extend(second_backend(case));
        advice.extend(journal(case));
    }
    if case.missed(&[Metric::Recovery, Metric::FailedAfter]) {
        case.broken().for_each(|(name, backend)| advice.extend(recovery(name, backend)));
    }
    if case.missed(&[Metric::StaleAfter, Metric::Stale, Metric::DeletedBack]) {
        advice.extend(staleness(case));
    }
    if case.missed(&[Metric::Lost]) {
        advice.extend(lost(case));
    }
    if case.missed(&[Metric::LockOverlaps, Metric::LockDisorder]) {
        advice.push(locks(case.config));
    }
    advice
}

/// Missed when the fault was felt.
const IN_THE_FAULT: [Metric; 11] = [
    Metric::Failed,
    Metric::FailedReads,
    Metric::ErrorRate,
    Metric::ReadErrorRate,
    Metric::Opened,
    Metric::MedianFault,
    Metric::TailFault,
    Metric::SlowestFault,
    Metric::SlowestRefusal,
    Metric::Fallback,
    Metric::DatabaseInflight,
];

impl<'a> Case<'a> {
    fn missed(&self, metrics: &[Metric]) -> bool {
        let missed = |verdict: &&Verdict| !verdict.met;
        self.verdicts
            .iter()
            .filter(missed)
            .any(|verdict| metrics.contains(&verdict.threshold.metric))
    }

    fn broken(self) -> impl Iterator<Item = (&'a String, &'a BackendConfig)> {
        self.backends.iter().filter(move |(name, _)| self.targets.contains(name))
    }
}

fn advice(setting: String, now: impl ToString, change: &str, because: &str) -> Advice {
    Advice { setting, now: now.to_string(), change: change.to_owned(), because: because.to_owned() }
}

fn breaker(case: Case<'_>, name: &str, backend: &BackendConfig) -> Option<Advice> {
    let breaker = &backend.breaker;
    let off = breaker.failures > FAILURES_OFF && case.facts.opened.is_none();
    off.then(|| {
        advice(
            format!("backends.{name}.breaker.failures"),
            breaker.failures,
            "5 (the default), with failure_rate = 0.5 and slow_rate = 0.8",
            "the breaker is as good as off: it did not open, so requests went on waiting for a backend that was down",
        )
    })
}

fn timeout(name: &str, backend: &BackendConfig) -> Option<Advice> {
    let usual = match backend.engine() {
        Some(Engine::Redis) => Duration::from_millis(500),
        Some(Engine::Postgres | Engine::Mysql | Engine::Sqlite) | None => Duration::from_secs(2),
    };
    (backend.timeout() > usual * 2).then(|| {
        advice(
            format!("backends.{name}.timeout"),
            format_duration(backend.timeout()),
            &format!("{} (the default)", format_duration(usual)),
            "a call that gets no answer is waited for so long before anything else is tried",
        )
    })
}

fn hedge(name: &str, backend: &BackendConfig) -> Option<Advice> {
    let long = backend.hedge.patience > Duration::from_millis(500);
    (!backend.hedge.enabled || long).then(|| {
        let (setting, now) = match backend.hedge.enabled {
            false => ("enabled", "false".to_owned()),
            true => ("patience", format_duration(backend.hedge.patience)),
        };
        advice(
            format!("backends.{name}.hedge.{setting}"),
            now,
            "enabled = true, patience = \"150ms\" (the default)",
            "a read that gets no answer was not sent to the next backend in time",
        )
    })
}

fn bulkhead(name: &str, backend: &BackendConfig) -> Option<Advice> {
    let server = matches!(backend.engine(), Some(Engine::Postgres | Engine::Mysql));
    (server && backend.inflight_max() > 200).then(|| {
        advice(
            format!("backends.{name}.inflight_max"),
            backend.inflight_max(),
            "25 (the default), or what the database can really work on at once",
            "there is as good as no bulkhead: when the cache is away, all of its reads are on the database at once",
        )
    })
}

fn queue(name: &str, backend: &BackendConfig) -> Option<Advice> {
    let long = backend.queue_wait > Duration::from_secs(3);
    (long || backend.queue_max > 10_000).then(|| {
        let (setting, now) = match long {
            true => ("queue_wait", format_duration(backend.queue_wait)),
            false => ("queue_max", backend.queue_max.to_string()),
        };
        advice(
            format!("backends.{name}.{setting}"),
            now,
            "queue_wait = \"1s\", queue_max = 1024 (the defaults)",
            "the queue is as good as unbounded: requests wait in it until nobody wants the answer any more",
        )
    })
}

/// Requests failed on a route that has nothing else to ask.
fn second_backend(case: Case<'_>) -> Option<Advice> {
    let failed = case.facts.tally.phase(Phase::Fault).failed;
    let alone = case.config.routes.iter().enumerate().find(|(_, route)| {
        let backends =
            route.backends.len() + route.cache.len() + usize::from(route.record.is_some());
        backends == 1
    });
    let because = format!(
        "{failed} requests failed in the fault, and the route has no other backend that could serve them"
    );
    match alone {
        Some((at, route)) if failed > 0 => {
            let only = route.record.iter().chain(&route.backends).next();
            let now = only.cloned().unwrap_or_default();
            let (setting, change) = match route.record {
                Some(_) => ("cache", "a Redis as well, so that what it holds is served on"),
                None => ("backends", "a second backend, as in [\"redis\", \"db\"]"),
            };
            Some(advice(format!("route[{at}].{setting}"), now, change, &because))
        }
        None if failed > 0 && case.config.routes.is_empty() && case.backends.len() == 1 => {
            let now = case.backends.keys().cloned().collect::<Vec<_>>().join(", ");
            Some(advice("backends".to_owned(), now, "a second backend beside it", &because))
        }
        Some(_) | None => None,
    }
}

/// Writes were refused while the record was down.
fn journal(case: Case<'_>) -> Option<Advice> {
    let fault = case.facts.tally.phase(Phase::Fault);
    let writes = fault.failed.saturating_sub(fault.failed_reads);
    let record_broken =
        |name: &Option<String>| name.as_ref().is_some_and(|name| case.targets.contains(name));
    let refuses = case.config.routes.iter().enumerate().find(|(_, route)| {
        record_broken(&route.record)
            && route.on_record_down == OnRecordDown::Refuse
            && route.consistency == Consistency::Bounded
    });
    let default = case.config.routes.is_empty()
        && case.broken().any(|(_, backend)| backend.engine() != Some(Engine::Redis));
    let setting = match refuses {
        Some((at, _)) => format!("route[{at}].on_record_down"),
        None if default => "route[0].on_record_down".to_owned(),
        None => return None,
    };
    (writes > 0).then(|| {
        advice(
            setting,
            "refuse",
            "\"journal\", if a write may wait for the record",
            &format!("{writes} writes were refused while the record was down"),
        )
    })
}

fn recovery(name: &str, backend: &BackendConfig) -> Option<Advice> {
    let (reconnect, breaker, health) = (&backend.reconnect, &backend.breaker, &backend.health);
    let confirm = health.confirm_interval * health.up_after;
    let (setting, now, change) = if reconnect.max > Duration::from_secs(5) {
        ("reconnect.max", reconnect.max, "3s (the default)")
    } else if breaker.open > Duration::from_secs(15) {
        ("breaker.open", breaker.open, "5s (the default)")
    } else if confirm > Duration::from_secs(5) {
        ("health.confirm_interval", health.confirm_interval, "200ms (the default)")
    } else if breaker.open_max > Duration::from_secs(60) {
        ("breaker.open_max", breaker.open_max, "60s (the default)")
    } else {
        return None;
    };
    Some(advice(
        format!("backends.{name}.{setting}"),
        format_duration(now),
        change,
        "the backend could serve again long before it was used again",
    ))
}

fn staleness(case: Case<'_>) -> Vec<Advice> {
    let mut found = Vec::new();
    for (at, route) in case.config.routes.iter().enumerate() {
        if let Some(ttl) = route.l1_ttl.filter(|ttl| *ttl > Duration::from_secs(1)) {
            found.push(advice(
                format!("route[{at}].l1_ttl"),
                format_duration(ttl),
                "1s, or no `memory` under `cache`",
                "reads were older than acknowledged writes: this process's memory may be so old",
            ));
        }
        let stale = route.stale_if_error.filter(|time| !time.is_zero());
        if let Some(time) = stale {
            found.push(advice(
                format!("route[{at}].stale_if_error"),
                format_duration(time),
                "0s, where an error is better than an old value",
                "reads were older than acknowledged writes: copies may be served so long without the record",
            ));
        }
        if route.record.is_some() && route.consistency == Consistency::Bounded {
            found.push(advice(
                format!("route[{at}].consistency"),
                "bounded",
                "\"strict\"",
                "reads were older than acknowledged writes, which only a strict route rules out",
            ));
        }
    }
    found
}

fn locks(config: &Config) -> Advice {
    let because = "the lock was granted twice: whoever granted it has forgotten the first holder, or could not be asked";
    let now = format!("{:?}", config.locks.mode).to_lowercase();
    advice(
        "locks.mode".to_owned(),
        now,
        "\"record\", on a database that survives a restart",
        because,
    )
}

/// Acknowledged writes were lost: where they were kept is not what survives.
fn lost(case: Case<'_>) -> Vec<Advice> {
    let routes = case.config.routes.iter().enumerate();
    let volatile = routes.filter(|(_, route)| route.record.is_none() && !route.backends.is_empty());
    let of = |(at, route): (usize, &mainstay::config::RouteConfig)| {
        advice(
            format!("route[{at}].record"),
            format!("none; backends = [{}]", route.backends.join(", ")),
            "a database as the record, with the others as its cache",
            "acknowledged writes were lost: a route without a record keeps them where a restart forgets them",
        )
    };
    let mut found: Vec<Advice> = volatile.map(of).collect();
    let only_redis = case.config.routes.is_empty()
        && case.backends.values().all(|backend| backend.engine() == Some(Engine::Redis));
    if only_redis {
        found.push(advice(
            "backends".to_owned(),
            case.backends.keys().cloned().collect::<Vec<_>>().join(", "),
            "a database as well: it becomes the record",
            "acknowledged writes were lost: there is no backend that survives a restart",
        ));
    }
    found
}

#[cfg(test)]
mod tests;
