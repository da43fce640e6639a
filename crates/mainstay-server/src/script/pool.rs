//! Where scripts run: few threads beside those of the runtime, each run with an end.
//! It must not know what a script does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{
    interpreter::{self, Host, Inputs},
    program::Program,
    value::Value,
};

/// Scripts that run at once. Each may take all of an interpreter's memory.
const RUNS_MAX: usize = 4;

/// The longest run. Redis lets a script go on for 5 s before it answers others with BUSY.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(1);

/// A script that is told to stop does so at its next thousandth instruction; only one inside a single long call (a pattern
/// that goes back and forth) takes longer, and is not waited for.
const STOP_MAX: Duration = Duration::from_millis(250);

/// Bounded.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Semaphore>);

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Every thread was taken for all the time that there was.
    Busy,
    /// A defect of ours.
    Failed,
}

impl Default for Pool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNS_MAX)))
    }
}

/// Tells the script to stop when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    /// Runs a script for at most `time`, the waiting for a thread included. Its result, and the host it spoke to when it
    /// ended by itself.
    pub(crate) async fn run<H: Host + Send + 'static>(
        &self,
        program: Program,
        inputs: Inputs,
        host: impl FnOnce() -> H + Send + 'static,
        time: Duration,
    ) -> Result<(Value, Option<H>), Stopped> {
        let permit = timeout(time, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Stopped::Busy) };
        let flag = Arc::new(AtomicBool::new(false));
        let stop = Stop(Arc::clone(&flag));
        let killed = format!("{} script: {}, on @user_script.", interpreter::KILLED, program.sha);
        let mut run = spawn_blocking(move || {
            let _permit = permit;
            interpreter::run(&program, &inputs, host(), &flag)
        });
        let ended = match timeout(time.min(TIME_MAX), &mut run).await {
            Ok(ended) => ended,
            Err(_) => {
                drop(stop);
                match timeout(STOP_MAX, run).await {
                    Ok(ended) => ended,
                    Err(_) => return Ok((Value::Error(killed), None)),
                }
            }
        };
        ended.map_err(|_| Stopped::Failed)
    }

    /// Whether a text is Lua; Redis's words where it is not.
    pub(crate) async fn compile(
        &self,
        program: Program,
        time: Duration,
    ) -> Result<Result<(), String>, Stopped> {
        let permit = timeout(time, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Stopped::Busy) };
        let compiled = spawn_blocking(move || {
            let _permit = permit;
            interpreter::compile(&program)
        });
        compiled.await.map_err(|_| Stopped::Failed)
    }
}
