//! One run from beginning to end: start, clients, faults and recoveries in turn, rest, judgement.
//! It must not know how anything is broken or judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay::config::Consistency;
use tokio::task::JoinSet;

use super::{
    client::{Client, HTTP_FROM, Shared},
    fault::Fault,
    label::{self, Labels},
    nemesis::Nemesis,
    options::Options,
    outcome::{Happened, Outcome},
    perform,
    process::CacheState,
    rest,
    time::{Time, micros},
    world::{PROCESSES, World},
};
use crate::{
    history::{ClientId, History, MarkKind, Micros, Op, Trace},
    servers::ServerError,
};

/// Calls of one run at most.
const CALLS_MAX: usize = 3_000_000;
/// How often a fault that is made of many is made again.
const AGAIN: Duration = Duration::from_millis(150);
/// Between a recovery and the next fault: reads in it have to be fresh.
const CALM: Duration = Duration::from_millis(600);

/// One or two faults, from the first to the moment at which everything worked as before.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) faults: Vec<Fault>,
    pub(super) from: Micros,
    pub(super) healed: Micros,
    /// `None`: never.
    pub(super) recovered: Option<Micros>,
    /// Keys that were dirty still, or again.
    pub(super) dirty: u64,
    /// What the processes said before and after.
    pub(super) before: Vec<Option<CacheState>>,
    pub(super) after: Vec<Option<CacheState>>,
}

/// Longer than a key is dirty that was written around the cache once.
const DIRTY_FOR: Duration = Duration::from_secs(12);

/// Runs, and judges.
///
/// # Errors
/// What kept the servers from running; what Mainstay did wrong stands in the outcome.
pub async fn run(options: Options) -> Result<Outcome, ServerError> {
    let mut world = World::start(&options).await?;
    let shared = Arc::new(Shared {
        history: History::bounded(CALLS_MAX),
        time: Time::begin(),
        labels: Labels { consistency: options.consistency, lease: options.lease },
        clients: client_ids(options.clients),
        pause: options.pause,
        stop: AtomicBool::new(false),
        // The front doors keep no sessions: only a strict route promises that a client never goes back.
        sessions: options.consistency == Consistency::Strict,
    });
    let mut happened = Happened::default();
    if let Err(problem) = rest::recovered(&world, &shared.time, Duration::MAX, None).await {
        happened.problems.push(format!("at the start: {problem}"));
    }
    let mut clients = start_clients(&world, &shared, options.seed);
    let windows = torment(&mut world, &shared, &options, &mut happened).await?;
    shared.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    if let Err(problem) = rest::recovered(&world, &shared.time, Duration::MAX, None).await {
        happened.problems.push(format!("at the end: {problem}"));
    }
    if let Err(problem) = rest::read_all(&world, &shared).await {
        happened.problems.push(problem);
    }
    for number in 0..PROCESSES {
        happened.hear(&world, &shared.time, number).await;
    }
    happened.states = rest::states(&world).await;
    if let Some(folder) = &options.logs {
        for (number, process) in world.processes.iter().enumerate() {
            process.keep_log(folder, &format!("process-{number}.log"))?;
        }
    }
    let mut trace = shared.history.trace();
    label::resolve(&mut trace);
    label::correct(&mut trace, &windows, shared.labels, options.detection());
    Ok(Outcome::of(options, trace, &windows, happened))
}

/// The process that a client speaks to.
pub(super) fn process_of(client: ClientId) -> usize {
    (client % HTTP_FROM) as usize % PROCESSES
}

/// Every other trio speaks HTTP, so that each process has clients of both kinds.
fn client_ids(clients: u32) -> Vec<ClientId> {
    let http = |number: u32| (number as usize / PROCESSES) % 2 == 1;
    (0..clients).map(|number| if http(number) { HTTP_FROM + number } else { number }).collect()
}

fn start_clients(world: &World, shared: &Arc<Shared>, seed: u64) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for id in &shared.clients {
        let process = &world.processes[process_of(*id)];
        let address = if *id < HTTP_FROM { process.resp() } else { process.http() };
        clients.spawn(Client::new(*id, address, Arc::clone(shared), seed).run());
    }
    clients
}

async fn torment(
    world: &mut World,
    shared: &Shared,
    options: &Options,
    happened: &mut Happened,
) -> Result<Vec<Window>, ServerError> {
    let mut nemesis = Nemesis::new(options);
    let end = shared.time.now() + micros(options.time);
    let mut windows = Vec::new();
    perform::keep_dump(world.redis()).await;
    tokio::time::sleep(CALM).await;
    loop {
        let (faults, hold) = nemesis.next();
        let window = one(world, shared, faults, hold, happened).await?;
        let lost = window.recovered.is_none();
        windows.push(window);
        if lost || options.sentinel || shared.time.now() > end {
            break;
        }
        tokio::time::sleep(CALM).await;
    }
    Ok(windows)
}

/// One round of faults.
async fn one(
    world: &mut World,
    shared: &Shared,
    faults: Vec<Fault>,
    hold: Duration,
    happened: &mut Happened,
) -> Result<Window, ServerError> {
    let (history, time) = (&shared.history, &shared.time);
    let before = rest::states(world).await;
    let from = time.now();
    for fault in &faults {
        if let Fault::ProcessKilled(process) = fault {
            happened.hear(world, time, *process).await;
        }
        history.mark(MarkKind::Fault(fault.to_string()), time.now());
        perform::begin(world, *fault).await?;
    }
    let broken = time.now();
    let until = broken + micros(hold);
    while time.now() < until {
        tokio::time::sleep(AGAIN.min(hold)).await;
        for fault in &faults {
            perform::again(world, *fault).await;
        }
    }
    note_outages(shared, &faults, broken);
    for fault in faults.iter().rev() {
        perform::mend(world, *fault).await?;
    }
    let healed = time.now();
    history.mark(MarkKind::Healed, healed);
    let generation = before.iter().flatten().map(|state| state.generation).max();
    let older = generation.filter(|_| faults.iter().any(|fault| fault.has_to_degrade()));
    let (recovered, after, dirty) = match rest::recovered(world, time, DIRTY_FOR, older).await {
        Ok(rest) => (Some(time.now()), rest.states, rest.dirty),
        Err(problem) => {
            happened.problems.push(format!("{}: {problem}", names(&faults)));
            (None, rest::states(world).await, 0)
        }
    };
    if let Some(at) = recovered {
        history.mark(MarkKind::Recovered, at);
    }
    if faults.iter().any(|fault| fault.may_degrade()) {
        perform::keep_dump(world.redis()).await;
    }
    Ok(Window { faults, from, healed, recovered, dirty, before, after })
}

/// Who did not reach the record from then until now: nothing that they wrote meanwhile can be durable.
fn note_outages(shared: &Shared, faults: &[Fault], since: Micros) {
    let now = shared.time.now();
    for fault in faults {
        for client in &shared.clients {
            let cut_off = match fault {
                Fault::RecordKilled | Fault::RecordPaused => true,
                Fault::CutFromRecord(process) => process_of(*client) == *process,
                _ => false,
            };
            if cut_off {
                shared.history.record_unreachable(*client, since, now);
            }
        }
    }
}

/// Faults in words.
pub(super) fn names(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
}

/// Whether everything worked at this moment: no fault, and the one before was recovered from.
pub(super) fn calm(windows: &[Window], at: Micros) -> bool {
    !windows.iter().any(|window| window.from <= at && window.recovered.is_none_or(|end| at <= end))
}

/// Whether no process wrote around the cache in the calm to which this moment belongs.
pub(super) fn nothing_around(windows: &[Window], at: Micros) -> bool {
    let around = |states: &[Option<CacheState>]| -> u64 {
        states.iter().flatten().map(|state| state.writes_around).sum()
    };
    let next = windows.iter().find(|window| window.from > at);
    let last = windows.iter().rev().find(|window| window.recovered.is_some_and(|end| end < at));
    match (last, next) {
        (Some(last), Some(next)) => last.dirty == 0 && around(&last.after) == around(&next.before),
        (Some(last), None) => last.dirty == 0,
        (None, Some(next)) => around(&next.before) == 0,
        (None, None) => true,
    }
}

/// The calls of a trace that began in a calm.
pub(super) fn in_calm<'a>(trace: &'a Trace, windows: &'a [Window]) -> impl Iterator<Item = &'a Op> {
    trace.ops.iter().filter(|op| calm(windows, op.invoked.t))
}
