//! All processes of a run and those who use them: started, crashed, started anew.
//! It must not know why, nor what a process is made of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::freeze::Freeze;

/// One running process.
pub(super) trait Member: Clone + Sized {
    /// What it runs in.
    type World;

    /// Starts one; `boot`: how often that has been done at this place.
    ///
    /// # Errors
    /// The library's, for a plan that it does not take.
    fn start(
        world: &Arc<Self::World>,
        index: usize,
        boot: u64,
    ) -> impl Future<Output = mainstay::Result<Self>> + Send;

    /// What those who use it do, from now on.
    fn users(&self, world: &Arc<Self::World>) -> Vec<BoxFuture<'static, ()>>;

    /// What stops it.
    fn freeze(&self) -> &Freeze;

    /// It ends: what it has sent goes its way, nothing comes back.
    fn crash(&self, world: &Self::World) -> impl Future<Output = ()> + Send;
}

/// All processes.
#[derive(Debug)]
pub(super) struct Fleet<M>(Mutex<Vec<Seat<M>>>);

/// The place of one process.
#[derive(Debug)]
struct Seat<M> {
    process: Option<M>,
    users: JoinSet<()>,
    boots: u64,
}

impl<M: Member> Fleet<M> {
    /// Nobody has been started yet.
    pub(super) fn new(processes: usize) -> Arc<Self> {
        let seat = |_| Seat { process: None, users: JoinSet::new(), boots: 0 };
        Arc::new(Self(Mutex::new((0..processes).map(seat).collect())))
    }

    /// Starts a process and its users, unless it runs.
    pub(super) async fn restart(&self, world: &Arc<M::World>, index: usize) {
        let boot = {
            let mut seats = self.lock();
            let seat = &mut seats[index];
            if seat.process.is_some() {
                return;
            }
            seat.boots += 1;
            seat.boots
        };
        let Ok(process) = M::start(world, index, boot).await else { return };
        let mut seats = self.lock();
        let seat = &mut seats[index];
        for work in process.users(world) {
            seat.users.spawn(process.freeze().around(work));
        }
        seat.process = Some(process);
    }

    /// Stops one, or lets it go on.
    pub(super) fn freeze(&self, index: usize, on: bool) {
        let process = self.lock()[index].process.clone();
        match process {
            Some(process) if on => process.freeze().hold(),
            Some(process) => process.freeze().release(),
            None => {}
        }
    }

    /// Ends one without notice.
    pub(super) async fn crash(&self, world: &M::World, index: usize) {
        let (process, mut users) = {
            let mut seats = self.lock();
            (seats[index].process.take(), std::mem::take(&mut seats[index].users))
        };
        users.abort_all();
        if let Some(process) = process {
            process.crash(world).await;
        }
    }

    /// Waits until the users of all have ended.
    pub(super) async fn finished(&self) {
        let sets: Vec<JoinSet<()>> =
            self.lock().iter_mut().map(|seat| std::mem::take(&mut seat.users)).collect();
        for mut users in sets {
            while users.join_next().await.is_some() {}
        }
    }

    /// Those that run.
    pub(super) fn processes(&self) -> Vec<M> {
        self.lock().iter().filter_map(|seat| seat.process.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
