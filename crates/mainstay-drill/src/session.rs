//! One drill on throw-away servers: started, opened, run, closed.
//! It must not know what a drill does in between.

use std::{collections::BTreeMap, sync::Arc};

use mainstay::Config;
use tokio_util::sync::CancellationToken;

use crate::{
    looped::{self, Looped},
    report::Report,
    run::{self, Plan, RunError},
    scenario::{Fault, Scenario},
    subject::Subject,
    watch::Listener,
    world::{Options, StandsBehind, Throwaway, World, WorldError},
};

/// The servers and the storage of one drill. Dropping it ends the servers.
#[derive(Debug)]
pub struct Session {
    plan: Plan,
    world: Throwaway,
    subject: Subject,
}

impl Session {
    /// Starts servers in the places of those of the configuration, and opens a storage over them.
    ///
    /// # Errors
    /// A server that cannot be started, or a configuration that does not validate.
    pub async fn open(
        mut config: Config,
        scenario: Scenario,
        seed: u64,
        mut options: Options,
    ) -> Result<Self, WorldError> {
        options.durable |= scenario.fault == Fault::Crash;
        options.locks |= scenario.locks > 0;
        let mut notes = Vec::new();
        let (world, customs) = Throwaway::start(&mut config, &options, &mut notes).await?;
        let mut backends: BTreeMap<_, _> = config.backends.clone();
        backends.extend(customs.iter().map(|(name, _, config)| (name.clone(), config.clone())));
        let subject = Subject::open(config.clone(), customs).await?;
        Ok(Self { plan: Plan { scenario, seed, config, backends, notes }, world, subject })
    }

    /// What stands behind each backend.
    pub fn places(&self) -> Vec<StandsBehind> {
        self.world.places()
    }

    /// Something else that is to be known when the report is read.
    pub fn note(&mut self, text: String) {
        self.plan.notes.push(text);
    }

    /// What had to be changed.
    pub fn notes(&self) -> &[String] {
        &self.plan.notes
    }

    /// Where the load goes to: an outside observer may count there as well.
    pub fn resp(&self) -> std::net::SocketAddr {
        self.subject.resp()
    }

    /// Runs the drill.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub async fn run(
        &mut self,
        listener: Arc<dyn Listener>,
        abort: &CancellationToken,
    ) -> Result<Report, RunError> {
        run::run(&self.plan, &mut self.world, &self.subject, listener, abort).await
    }

    /// Runs the loop test: so many reads in a row, the backend broken and healed meanwhile.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub async fn run_loop(
        &mut self,
        count: u64,
        listener: Arc<dyn Listener>,
        abort: &CancellationToken,
    ) -> Result<Looped, RunError> {
        looped::run(&self.plan, &mut self.world, &self.subject, count, listener, abort).await
    }

    /// Ends the storage, then the servers.
    pub async fn close(self) {
        self.subject.close().await;
        drop(self.world);
    }
}
