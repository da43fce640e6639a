//! A world whose faults are injected inside the storage that serves: no backend is touched.
//! It must not know phases, nor who watches.

use std::time::Duration;

use mainstay::{Actor, ErrorKind, Fault as Injected, FaultKind, Injection, Key, Storage};

use crate::{
    scenario::Fault,
    world::{StandsBehind, World, WorldError},
};

/// The fault ends by itself so long after it should have been lifted.
pub(super) const SLACK: Duration = Duration::from_secs(5);

/// Which calls are met, for how long, and on whose account.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) share: f64,
    pub(super) prefix: Option<Key>,
    pub(super) hold: Duration,
    pub(super) reason: String,
    pub(super) actor: Actor,
}

/// Dropping it lifts what is injected.
#[derive(Debug)]
pub(super) struct Inside {
    storage: Storage,
    reach: Reach,
    injection: Option<Injection>,
}

impl Reach {
    /// Whether every call is met, and so probes too.
    pub(super) fn is_whole(&self) -> bool {
        self.share >= 1.0 && self.prefix.is_none()
    }
}

impl Inside {
    pub(super) fn new(storage: Storage, reach: Reach) -> Self {
        Self { storage, reach, injection: None }
    }
}

/// What a scenario's fault is when it is injected.
pub(super) fn kind_of(fault: &Fault) -> Result<FaultKind, String> {
    match fault {
        Fault::Refuse | Fault::Crash | Fault::Flap { .. } => Ok(FaultKind::Refuse),
        Fault::Hang | Fault::Partition => Ok(FaultKind::Hang),
        Fault::Slow { latency, .. } => Ok(FaultKind::Slow(*latency * 2)),
        Fault::Reset => Ok(FaultKind::Error(ErrorKind::Disconnected)),
        Fault::Auth => Ok(FaultKind::Error(ErrorKind::Forbidden)),
        Fault::RestartEmpty | Fault::OldSnapshot => Err(format!(
            "`{}` loses data: it is drilled on throw-away servers only",
            fault.as_str()
        )),
    }
}

impl World for Inside {
    fn places(&self) -> Vec<StandsBehind> {
        let backends = self.storage.status().backends;
        let deployed = backends.iter().filter(|backend| backend.engine != "memory");
        let place = |backend: &mainstay::status::BackendStatus| StandsBehind {
            backend: backend.name.to_string(),
            engine: backend.engine.to_owned(),
            what: format!("{} as deployed, left alone", backend.engine),
            real: true,
        };
        deployed.map(place).collect()
    }

    async fn prepare(&mut self, _targets: &[String], _fault: &Fault) -> Result<(), WorldError> {
        Ok(())
    }

    async fn inject(&mut self, targets: &[String], fault: &Fault) -> Result<(), WorldError> {
        let [target] = targets else {
            let text = format!("one backend at a time, not {}", targets.join(" and "));
            return Err(WorldError::Unsuitable(text));
        };
        let reach = &self.reach;
        let injected = Injected {
            what: kind_of(fault).map_err(WorldError::Unsuitable)?,
            share: reach.share,
            prefix: reach.prefix.clone(),
            lasts: reach.hold + SLACK,
        };
        // One that came and went is lifted first: there is one at a time.
        self.injection = None;
        self.injection =
            Some(self.storage.inject(target, injected, &reach.reason, &reach.actor)?);
        Ok(())
    }

    async fn heal(&mut self, _targets: &[String], _fault: &Fault) -> Result<(), WorldError> {
        if let Some(injection) = self.injection.take() {
            injection.lift("healed");
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        None
    }
}
