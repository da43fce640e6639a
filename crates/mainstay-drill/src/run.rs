//! One drill: ready, steady, broken, healed, recovered, verified, judged.
//! It must not know how anything is broken, nor who looks on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mainstay::{Clock, Config, Instant, Storage, config::BackendConfig};
use tokio_util::sync::CancellationToken;

use crate::{
    judge::time,
    load::Load,
    locks::Contention,
    machine::{Action, Machine, Phase, Times},
    report::Report,
    scenario::Scenario,
    subject::Subject,
    watch::{Listener, Watch},
    world::{World, WorldError},
};

mod assemble;

pub(crate) use assemble::Parts;

/// Time between two steps.
const PERIOD: Duration = Duration::from_millis(20);
/// Everything has to be well by then before anything is broken.
const READY: Duration = Duration::from_secs(30);
/// Time between two looks whether a server has ended by itself.
const CHECK: Duration = Duration::from_millis(500);

/// Why a drill could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What was to be broken.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The system was not well before anything was broken.
    #[error("not everything is well after {READY:?}, before anything was broken: {0}")]
    NotReady(String),
    /// A server ended though nobody broke it.
    #[error("{0} has ended by itself")]
    Ended(String),
    /// Callers of a running system were hurt more than was allowed.
    #[error("aborted: {0}; the fault is lifted")]
    Hurt(String),
    /// Somebody said so.
    #[error("aborted; what was broken has been healed")]
    Aborted,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario.
    pub scenario: Scenario,
    /// The same seed asks for the same keys.
    pub seed: u64,
    /// The configuration that the subject was opened with, for advice.
    pub config: Config,
    /// Every backend of it.
    pub backends: BTreeMap<String, BackendConfig>,
    /// What is to be known when the numbers are read.
    pub notes: Vec<String>,
}

/// When each phase began, since the load did, and what was measured on the way.
#[derive(Debug, Default)]
pub(crate) struct Course {
    began: Vec<(Phase, Duration)>,
    ended: Duration,
    recovery: Option<Duration>,
}

/// Who counts requests by phase.
pub(crate) trait Meter: Sync {
    /// From when times count.
    fn began(&self) -> Instant;
    /// A phase begins.
    fn phase(&self, phase: Phase);
}

impl Meter for Load {
    fn began(&self) -> Instant {
        Load::began(self)
    }

    fn phase(&self, phase: Phase) {
        Load::phase(self, phase);
    }
}

/// Runs it. Whatever happens, what was broken is healed before this returns, or ends with the world.
///
/// # Errors
/// When it could not be run to its end; a threshold that is missed is no error.
pub async fn run<W: World>(
    plan: &Plan,
    world: &mut W,
    subject: &Subject,
    listener: Arc<dyn Listener>,
    abort: &CancellationToken,
) -> Result<Report, RunError> {
    let targets = world.targets(&plan.scenario.target)?;
    let clock = subject.storage().clock().clone();
    let watch = Watch::start(subject.storage(), &clock, listener);
    tokio::select! {
        ready = ready(&watch, subject.storage(), &clock) => ready?,
        () = abort.cancelled() => return Err(RunError::Aborted),
    }
    let load = Load::start(subject.resp(), &plan.scenario.load, &clock, plan.seed);
    watch.begin_seconds(load.began());
    let locks = (plan.scenario.locks > 0)
        .then(|| Contention::start(subject.resp(), plan.scenario.locks, &clock));
    let drive = Drive { plan, targets: &targets, clock: &clock, meter: &load, watch: &watch };
    let course = tokio::select! {
        course = drive.through(world) => course,
        () = abort.cancelled() => Err(RunError::Aborted),
    };
    let course = match course {
        Ok(course) => course,
        Err(error) => {
            // Nothing is left broken; what cannot be healed ends with the world.
            let _best_effort = world.heal(&targets, &plan.scenario.fault).await;
            load.stop().await;
            return Err(error);
        }
    };
    let locks = match locks {
        Some(locks) => Some(locks.stop().await),
        None => None,
    };
    let began_unix_ms = clock.unix_ms_at(load.began());
    let finished = load.stop().await;
    let read_back = tokio::select! {
        read_back = finished.read_back() => read_back,
        () = abort.cancelled() => return Err(RunError::Aborted),
    };
    let parts = Parts { plan, targets, places: world.places(), course, began_unix_ms };
    Ok(parts.report(subject.storage(), watch.finish(), finished.tally, read_back, locks))
}

/// Waits until everything is well, within a bound.
pub(crate) async fn ready(watch: &Watch, storage: &Storage, clock: &Clock) -> Result<(), RunError> {
    let until = clock.now() + READY;
    while !watch.is_well() {
        if clock.now() >= until {
            return Err(RunError::NotReady(storage.status().sentence));
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(())
}

/// What leads through the phases.
pub(crate) struct Drive<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) targets: &'a [String],
    pub(crate) clock: &'a Clock,
    pub(crate) meter: &'a dyn Meter,
    pub(crate) watch: &'a Watch,
}

impl Drive<'_> {
    /// From the steady state to the end of the load.
    pub(crate) async fn through<W: World>(&self, world: &mut W) -> Result<Course, RunError> {
        let Scenario { hold, recovery, fault, .. } = &self.plan.scenario;
        let times = Times::around(*hold, *recovery, fault.flapping());
        let mut machine = Machine::new(times, self.now());
        let mut course = Course::default();
        self.enter(Phase::Steady, &mut course);
        let mut check_at = Duration::ZERO;
        loop {
            let now = self.now();
            if now >= check_at {
                check_at = now + CHECK;
                world.ended().map_or(Ok(()), |name| Err(RunError::Ended(name)))?;
            }
            match machine.step(now, self.watch.is_well()) {
                Some(Action::Verify) => {
                    course.ended = self.now();
                    return Ok(course);
                }
                Some(action) => self.act(action, world, &mut machine, &mut course).await?,
                None => tokio::time::sleep(PERIOD).await,
            }
        }
    }

    async fn act<W: World>(
        &self,
        action: Action,
        world: &mut W,
        machine: &mut Machine,
        course: &mut Course,
    ) -> Result<(), RunError> {
        let (targets, fault) = (self.targets, &self.plan.scenario.fault);
        match action {
            Action::Prepare => world.prepare(targets, fault).await?,
            Action::Break => {
                if course.began.iter().all(|(phase, _)| *phase != Phase::Fault) {
                    self.enter(Phase::Fault, course);
                    self.watch.begin_timeline();
                }
                self.say("fault", &format!("{} {fault}", targets.join(" and ")), true);
                world.inject(targets, fault).await?;
            }
            Action::Heal { last: false } => {
                world.heal(targets, fault).await?;
                self.say("back", &format!("{} for a while", targets.join(" and ")), false);
            }
            Action::Heal { last: true } => {
                world.heal(targets, fault).await?;
                self.say("healed", "", false);
                machine.healed(self.now());
                self.enter(Phase::Recovery, course);
            }
            Action::Recovered { after } => {
                course.recovery = Some(after);
                self.enter(Phase::After, course);
                let shown = time(after.as_secs_f64() * 1e3);
                self.say(
                    "recovered",
                    &format!("everything is as before, {shown} after healing"),
                    false,
                );
            }
            Action::GaveUp => {
                self.enter(Phase::After, course);
                self.say("given up", "not everything is as before; verified all the same", true);
            }
            // Ends the loop before it comes here.
            Action::Verify => {}
        }
        Ok(())
    }

    fn enter(&self, phase: Phase, course: &mut Course) {
        course.began.push((phase, self.now()));
        self.meter.phase(phase);
        self.watch.phase(phase);
    }

    fn say(&self, word: &str, text: &str, bad: bool) {
        self.watch.say(word, text, bad);
    }

    fn now(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.meter.began())
    }
}
