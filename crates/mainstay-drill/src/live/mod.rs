//! Drills on a storage that serves: one at a time, the last ones kept, each aborted when its caller has gone.
//! It must not know how it is asked for: the server's `Drills` is all that it answers to.

mod canary;
mod ledger;
mod order;
mod tell;
mod world;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mainstay::{Actor, Storage, Tasks};
use mainstay_server::http::{DrillRefused, DrillRequest, DrillRun, Drills};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::{canary::Canary, ledger::Ledger, order::Order, tell::Tell, world::Inside};
use crate::{
    load::ReadBack,
    machine::{Phase, Times},
    report::Report,
    run::{Course, Drive, Meter, Parts, RunError, ready},
    scenario::builtin,
    watch::Watch,
    world::World as _,
};

/// Drills that are kept after their end.
const KEPT_MAX: usize = 10;

/// Runs drills on one storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Storage,
    tasks: Tasks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// The newest last.
    ended: VecDeque<Value>,
}

#[derive(Debug)]
struct Running {
    id: String,
    head: Value,
    tell: Arc<Tell>,
    abort: CancellationToken,
    /// Who aborted it, and why.
    aborted: Option<String>,
}

impl Live {
    /// On this storage.
    pub fn new(storage: Storage) -> Self {
        Self(Arc::new(Shared { storage, tasks: Tasks::new(), state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From its first message to its place among those that have ended.
    async fn run(self, order: Order, id: String, tell: Arc<Tell>, abort: CancellationToken) {
        let _vacant = Vacate(&self, &id);
        let ended = drill(&self.0.storage, &order, &tell, &abort, &id).await;
        let mut state = self.state();
        let Some(running) = state.running.take() else { return };
        let mut document = running.head;
        let (name, message) = match ended {
            Ok(report) => {
                document["state"] = if report.passed { "passed" } else { "missed" }.into();
                document["report"] = json!(report);
                ("complete", summary(&id, &report))
            }
            Err(error) => {
                let aborted = matches!(error, RunError::Aborted | RunError::Hurt(_));
                let why = match (&error, running.aborted) {
                    (RunError::Aborted, Some(why)) => format!("aborted {why}; the fault is lifted"),
                    (RunError::Aborted, None) => {
                        "aborted, its caller has gone; the fault is lifted".to_owned()
                    }
                    _ => error.to_string(),
                };
                document["state"] = if aborted { "aborted" } else { "failed" }.into();
                document["message"] = why.clone().into();
                ("error", json!({ "id": id, "message": why, "aborted": aborted }))
            }
        };
        if state.ended.len() == KEPT_MAX {
            state.ended.pop_front();
        }
        state.ended.push_back(document);
        drop(state);
        tell.send(name, message);
    }
}

/// Whatever ends a run, the next one may begin.
struct Vacate<'a>(&'a Live, &'a str);

impl Drop for Vacate<'_> {
    fn drop(&mut self) {
        self.0.state().running.take_if(|running| running.id == self.1);
    }
}

impl Drills for Live {
    fn begin(&self, request: DrillRequest, actor: Actor) -> Result<DrillRun, DrillRefused> {
        let storage = &self.0.storage;
        let order = Order::of(request, actor, storage).map_err(DrillRefused::Request)?;
        let mut state = self.state();
        if let Some(running) = &state.running {
            return Err(DrillRefused::Busy(format!("the drill {} runs", running.id)));
        }
        let clock = storage.clock();
        let (id, abort) = (format!("{:x}", clock.unix_ms()), CancellationToken::new());
        let (sender, messages) = mpsc::channel(tell::QUEUE_MAX);
        let scenario = &order.plan.scenario;
        let times = Times::around(scenario.hold, scenario.recovery, scenario.fault.flapping());
        let (target, token) = (order.target.clone(), abort.clone());
        let tell = Arc::new(Tell::new(sender, token, target, times, clock.clone()));
        let head = head(&id, &order, times, clock.unix_ms());
        tell.send("start", head.clone());
        let running = Running {
            id: id.clone(),
            head,
            tell: Arc::clone(&tell),
            abort: abort.clone(),
            aborted: None,
        };
        state.running = Some(running);
        drop(state);
        self.0.tasks.spawn(self.clone().run(order, id, tell, abort.clone()));
        Ok(DrillRun { messages, alive: abort.drop_guard() })
    }

    fn list(&self) -> Value {
        let state = self.state();
        let running = state.running.as_ref().map(Running::document);
        let ended: Vec<Value> = state.ended.iter().rev().map(short).collect();
        let scenarios: Vec<Value> = builtin().iter().map(|scenario| json!(scenario)).collect();
        json!({ "running": running, "ended": ended, "scenarios": scenarios })
    }

    fn find(&self, id: &str) -> Option<Value> {
        let state = self.state();
        let running = state.running.as_ref().filter(|running| running.id == id);
        let ended = || state.ended.iter().find(|document| document["id"] == id).cloned();
        running.map(Running::document).or_else(ended)
    }

    fn abort(&self, id: &str, reason: &str, actor: &Actor) -> bool {
        let mut state = self.state();
        let Some(running) = state.running.as_mut().filter(|running| running.id == id) else {
            return false;
        };
        running.aborted.get_or_insert_with(|| format!("by {actor}: {reason}"));
        running.abort.cancel();
        true
    }
}

impl Running {
    fn document(&self) -> Value {
        let mut document = self.head.clone();
        document["now"] = self.tell.last();
        document
    }
}

/// What is known of a drill from its begin on.
fn head(id: &str, order: &Order, times: Times, unix_ms: i64) -> Value {
    let (scenario, reach) = (&order.plan.scenario, &order.reach);
    let prefix =
        reach.prefix.as_ref().map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    json!({
        "id": id,
        "state": "running",
        "began_unix_ms": unix_ms,
        "scenario": scenario.name,
        "fault": scenario.fault.to_string(),
        "backend": order.target,
        "hold_s": order::seconds(scenario.hold),
        "least_s": order::seconds(times.least()),
        "recovery_max_s": order::seconds(scenario.recovery),
        "share": reach.share,
        "prefix": prefix,
        "abort_error_rate": order.abort_error_rate,
        "canary": order.canary,
        "reason": reach.reason,
        "actor": reach.actor,
        "notes": order.plan.notes,
    })
}

fn summary(id: &str, report: &Report) -> Value {
    json!({
        "id": id,
        "passed": report.passed,
        "message": report.sentence(),
        "opened_ms": report.opened_ms,
        "recovery_ms": report.recovery_ms,
        "thresholds": report.thresholds,
    })
}

/// Without the report.
fn short(document: &Value) -> Value {
    let mut short = document.clone();
    if let Some(members) = short.as_object_mut()
        && let Some(report) = members.remove("report")
    {
        members.insert("recovery_ms".to_owned(), report["recovery_ms"].clone());
        members.insert("thresholds".to_owned(), report["thresholds"].clone());
    }
    short
}

/// The callers' counts and the canary's phases.
struct Counting<'a> {
    ledger: &'a Ledger,
    canary: Option<&'a Canary>,
}

impl Meter for Counting<'_> {
    fn began(&self) -> mainstay::Instant {
        self.ledger.began()
    }

    fn phase(&self, phase: Phase) {
        self.ledger.phase(phase);
        if let Some(canary) = self.canary {
            canary.phase(phase);
        }
    }
}

/// Runs it. Whatever happens, nothing is injected any more when this returns.
async fn drill(
    storage: &Storage,
    order: &Order,
    tell: &Arc<Tell>,
    abort: &CancellationToken,
    id: &str,
) -> Result<Report, RunError> {
    let (plan, clock) = (&order.plan, storage.clock());
    let mut world = Inside::new(storage.clone(), order.reach.clone());
    let targets = vec![order.target.clone()];
    let watch = Watch::start(storage, clock, Arc::clone(tell) as _);
    tokio::select! {
        ready = ready(&watch, storage, clock) => ready?,
        () = abort.cancelled() => return Err(RunError::Aborted),
    }
    let ledger = Ledger::start(storage);
    watch.begin_seconds(ledger.began());
    let prefix = format!("{}canary:{id}:", plan.scenario.load.prefix);
    let canary = order.canary.then(|| Canary::new(storage, prefix));
    let counting = Counting { ledger: &ledger, canary: canary.as_ref() };
    let drive = Drive { plan, targets: &targets, clock, meter: &counting, watch: &watch };
    let course = tokio::select! {
        course = drive.through(&mut world) => course,
        why = ledger.exceeds(order.abort_error_rate) => Err(RunError::Hurt(why)),
        () = abort.cancelled() => Err(RunError::Aborted),
        () = sing(canary.as_ref()) => Err(RunError::Aborted),
    };
    let course = heal(&mut world, order, course).await?;
    let began_unix_ms = clock.unix_ms_at(ledger.began());
    let mut tally = ledger.finish();
    let read_back = match canary {
        Some(canary) => canary.finish(&mut tally).await,
        None => ReadBack::default(),
    };
    let parts = Parts { plan, targets, places: world.places(), course, began_unix_ms };
    Ok(parts.report(storage, watch.finish(), tally, read_back, None))
}

/// The fault is lifted before anything is said of the end.
async fn heal(
    world: &mut Inside,
    order: &Order,
    course: Result<Course, RunError>,
) -> Result<Course, RunError> {
    if course.is_err() {
        world.heal(std::slice::from_ref(&order.target), &order.plan.scenario.fault).await?;
    }
    course
}

/// Never ends.
async fn sing(canary: Option<&Canary>) {
    match canary {
        Some(canary) => canary.sing().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
