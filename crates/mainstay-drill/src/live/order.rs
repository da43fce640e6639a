//! From what was asked for to what is done: the scenario, its reach, and what can be judged of it.
//! It must not begin anything.

use std::{collections::BTreeMap, time::Duration};

use mainstay::{Actor, Key, Storage, config::text::parse_duration, guard::inject::LASTS_MAX};
use mainstay_server::http::DrillRequest;

use super::world::{Inside, Reach, SLACK, kind_of};
use crate::{
    run::Plan,
    scenario::{Metric, Scenario, named},
    world::World as _,
};

/// The share of failed requests above which a drill is aborted, when nothing is said.
const ABORT_DEFAULT: f64 = 0.05;

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) plan: Plan,
    pub(super) reach: Reach,
    pub(super) target: String,
    pub(super) abort_error_rate: f64,
    pub(super) canary: bool,
}

impl Order {
    /// Of this storage.
    pub(super) fn of(
        request: DrillRequest,
        actor: Actor,
        storage: &Storage,
    ) -> Result<Self, String> {
        let mut scenario = scenario_of(&request)?;
        if let Some(hold) = &request.hold {
            scenario.hold = parse_duration(hold).map_err(|why| format!("for: {why}"))?;
        }
        let share = request.share.unwrap_or(1.0);
        let abort_error_rate = request.abort_error_rate.unwrap_or(ABORT_DEFAULT);
        if !(share > 0.0 && share <= 1.0) {
            return Err("share: is above 0 and at most 1".to_owned());
        }
        if !(0.0..=1.0).contains(&abort_error_rate) {
            return Err("abort_error_rate: is between 0 and 1".to_owned());
        }
        if scenario.hold + SLACK > LASTS_MAX {
            return Err("for: a fault on a running system lasts at most 9m55s".to_owned());
        }
        kind_of(&scenario.fault)?;
        let prefix = request.prefix.filter(|prefix| !prefix.is_empty()).map(Key::from);
        let (hold, reason) = (scenario.hold, request.reason);
        let reach = Reach { share, prefix, hold, reason, actor };
        let target = target_of(&scenario.target, request.backend.as_deref(), &reach, storage)?;
        target.clone_into(&mut scenario.target);
        let mut notes = vec![
            "a running system was drilled: the fault was injected inside Mainstay, no backend was touched".to_owned(),
            "requests are those of its callers, by the storage's own counts; latencies are not known".to_owned(),
        ];
        notes.extend(unjudged(&mut scenario, reach.is_whole(), request.canary));
        scenario.load.rate = 0;
        scenario.validate()?;
        let config = mainstay::Config::clone(&storage.config());
        let backends: BTreeMap<_, _> = config.backends.clone();
        let plan = Plan { scenario, seed: 0, config, backends, notes };
        Ok(Self { plan, reach, target, abort_error_rate, canary: request.canary })
    }
}

fn scenario_of(request: &DrillRequest) -> Result<Scenario, String> {
    let scenario = match &request.scenario {
        serde_json::Value::String(name) => {
            named(name).ok_or_else(|| format!("scenario: there is no `{name}`"))?
        }
        own => serde_json::from_value(own.clone()).map_err(|why| format!("scenario: {why}"))?,
    };
    scenario.validate().map_err(|why| format!("scenario.{why}"))?;
    Ok(scenario)
}

/// The one backend that is meant: by its name, or by the scenario's word for what there is one of.
fn target_of(
    word: &str,
    backend: Option<&str>,
    reach: &Reach,
    storage: &Storage,
) -> Result<String, String> {
    let world = Inside::new(storage.clone(), reach.clone());
    let meant = match backend {
        Some(name) => {
            let places = world.places();
            let names: Vec<&str> = places.iter().map(|place| &*place.backend).collect();
            return match names.contains(&name) {
                true => Ok(name.to_owned()),
                false => {
                    Err(format!("backend: there is no `{name}`; there are {}", names.join(", ")))
                }
            };
        }
        None => world.targets(word).map_err(|why| format!("backend: {why}"))?,
    };
    match meant.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let names = several.join(", ");
            Err(format!("backend: a running system is drilled one backend at a time: {names}"))
        }
    }
}

/// Takes out the thresholds whose numbers are not known here, and says so.
fn unjudged(scenario: &mut Scenario, whole: bool, canary: bool) -> Option<String> {
    let known = |metric: Metric| match metric {
        Metric::Failed
        | Metric::FailedReads
        | Metric::ErrorRate
        | Metric::ReadErrorRate
        | Metric::FailedAfter
        | Metric::Recovery
        | Metric::HitRate
        | Metric::Fallback
        | Metric::DatabaseInflight => true,
        // A share of the calls need not open a breaker.
        Metric::Opened => whole,
        Metric::Lost | Metric::Stale | Metric::StaleAfter | Metric::Unexplained => canary,
        Metric::DeletedBack
        | Metric::MedianSteady
        | Metric::TailSteady
        | Metric::MedianFault
        | Metric::TailFault
        | Metric::SlowestFault
        | Metric::SlowestRefusal
        | Metric::LockOverlaps
        | Metric::LockDisorder
        | Metric::LocksGranted => false,
    };
    scenario.locks = 0;
    let (kept, left): (Vec<_>, Vec<_>) =
        scenario.thresholds.drain(..).partition(|threshold| known(threshold.metric));
    scenario.thresholds = kept;
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    (!left.is_empty()).then(|| format!("not judged here: {}", left.join(", ")))
}

/// What a list shows of it.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
