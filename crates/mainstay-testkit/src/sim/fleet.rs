//! All processes of a run and their clients: started, crashed, started anew.
//! It must not know why.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

use super::{client::Client, process::Process, world::World};

/// All processes.
#[derive(Debug)]
pub(super) struct Fleet(Mutex<Vec<Seat>>);

/// The place of one process.
#[derive(Debug, Default)]
struct Seat {
    process: Option<Process>,
    clients: JoinSet<()>,
    boots: u64,
}

impl Fleet {
    /// Nobody has been started yet.
    pub(super) fn new(processes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new((0..processes).map(|_| Seat::default()).collect())))
    }

    /// Starts a process and its clients, unless it runs.
    pub(super) async fn restart(&self, world: &Arc<World>, index: usize) {
        let boot = {
            let mut seats = self.lock();
            let seat = &mut seats[index];
            if seat.process.is_some() {
                return;
            }
            seat.boots += 1;
            seat.boots
        };
        let Ok(process) = Process::start(world, index, boot).await else { return };
        let mut seats = self.lock();
        let seat = &mut seats[index];
        for slot in 0..world.plan.clients as u64 {
            let client = Client::new(world, &process, slot);
            seat.clients.spawn(process.freeze.around(client.work()));
        }
        seat.process = Some(process);
    }

    /// Stops one, or lets it go on.
    pub(super) fn freeze(&self, index: usize, on: bool) {
        let process = self.lock()[index].process.clone();
        match process {
            Some(process) if on => process.freeze.hold(),
            Some(process) => process.freeze.release(),
            None => {}
        }
    }

    /// Ends one without notice.
    pub(super) async fn crash(&self, index: usize) {
        let (process, mut clients) = {
            let mut seats = self.lock();
            (seats[index].process.take(), std::mem::take(&mut seats[index].clients))
        };
        clients.abort_all();
        if let Some(process) = process {
            process.crash().await;
        }
    }

    /// Waits until the clients of all have ended.
    pub(super) async fn finished(&self) {
        let sets: Vec<JoinSet<()>> =
            self.lock().iter_mut().map(|seat| std::mem::take(&mut seat.clients)).collect();
        for mut clients in sets {
            while clients.join_next().await.is_some() {}
        }
    }

    /// Those that run.
    pub(super) fn processes(&self) -> Vec<Process> {
        self.lock().iter().filter_map(|seat| seat.process.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
