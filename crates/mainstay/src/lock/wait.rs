//! Who of this process may ask for a lock next: one queue a name, first come first served, one asker at a time.
//! It must not know backends; whoever has the turn asks them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
};

/// Calls that wait at most, over all names.
const WAITING_MAX: usize = 100_000;

/// The first pause between two looks at a lock that is held.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest: a release is noticed within this. Shorter than a lock is kept for one who waits (`semantics::locks`); only
/// one of a process looks at a lock at all.
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// The longest where the granter tells of releases: a hint that was lost costs this. Several of them, and the note that this
/// process waits still stands.
const PAUSE_TOLD_MAX: Duration = Duration::from_millis(500);

/// The queues of one storage.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<BTreeMap<Key, Queue>>);

#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    /// Who has the turn, and who waits for it.
    users: usize,
    /// Whether a guard has it.
    held: bool,
}

/// The turn to ask for a lock, or to hold it. Given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    place: Place,
    /// Given back before the place.
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Place {
    queues: Arc<Queues>,
    name: Key,
}

impl Queues {
    /// Waits for the turn until the deadline; `None`: it did not come.
    ///
    /// # Errors
    /// `Shed` when too many wait.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        name: &Key,
        deadline: Deadline,
    ) -> Result<Option<Turn>> {
        let turn = {
            let mut queues = self.lock();
            let waiting: usize = if queues.len() < WAITING_MAX / 10 {
                0
            } else {
                queues.values().map(|queue| queue.users).sum()
            };
            let own = queues.get(name).map_or(0, |queue| queue.users);
            if waiting.max(own) >= WAITING_MAX {
                return Err(Error::new(ErrorKind::Shed, "too many calls wait for locks"));
            }
            let queue = queues.entry(name.clone()).or_insert_with(|| Queue {
                turn: Arc::new(Semaphore::new(1)),
                users: 0,
                held: false,
            });
            queue.users += 1;
            Arc::clone(&queue.turn)
        };
        let place = Place { queues: Arc::clone(self), name: name.clone() };
        if let Ok(permit) = Arc::clone(&turn).try_acquire_owned() {
            return Ok(Some(Turn { place, permit: Some(permit) }));
        }
        match tokio::time::timeout_at(deadline.instant(), turn.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(Turn { place, permit: Some(permit) })),
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Whether a guard of this process has this lock.
    pub(crate) fn is_held(&self, name: &Key) -> bool {
        self.lock().get(name).is_some_and(|queue| queue.held)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// From now on a guard has it.
    pub(crate) fn hold(&self) {
        if let Some(queue) = self.place.queues.lock().get_mut(&self.place.name) {
            queue.held = true;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.place.queues.lock().get_mut(&self.place.name) {
            queue.held = false;
        }
        drop(self.permit.take());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get_mut(&self.name) {
            queue.users -= 1;
            if queue.users == 0 {
                queues.remove(&self.name);
            }
        }
    }
}

/// How long to wait before the next look: longer each time, never longer than the lease lasts; `told`: releases are told
/// of; `unit` in `[0, 1)`.
pub(crate) fn pause(looks: u32, left: Duration, told: bool, unit: f64) -> Duration {
    let most = if told { PAUSE_TOLD_MAX } else { PAUSE_MAX };
    let usual = PAUSE_MIN.saturating_mul(1 << looks.min(6)).min(most);
    let jittered = usual.mul_f64(0.5 + unit / 2.0);
    if left.is_zero() {
        // Not known, or several who asked at once: they should not do so again.
        return jittered;
    }
    // Just after its end, so that this look need not be repeated.
    jittered.min(left + Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Clock,
        backend::semantics::locks::{KEPT_FOR, NOTED_FOR},
    };

    #[tokio::test(start_paused = true)]
    async fn first_come_first_served_and_nothing_is_left_behind() {
        let (clock, queues) = (Clock::starting_at(0), Arc::new(Queues::default()));
        let (name, soon) = (Key::from("a"), clock.deadline_in(Duration::from_secs(5)));
        let first = queues.enter(&name, soon).await.unwrap().unwrap();
        first.hold();
        assert!(queues.is_held(&name));
        assert!(queues.enter(&name, Deadline::at(clock.now())).await.unwrap().is_none());
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..5 {
            let (queues, name, sender) = (Arc::clone(&queues), name.clone(), sender.clone());
            waiting.spawn(async move {
                let turn = queues.enter(&name, soon).await.unwrap();
                sender.send(number).unwrap();
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        waiting.join_all().await;
        for number in 0..5 {
            assert_eq!(order.recv().await, Some(number));
        }
        assert!(queues.lock().is_empty() && !queues.is_held(&name));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_leaves_no_queue_behind() {
        let (clock, queues) = (Clock::starting_at(0), Arc::new(Queues::default()));
        let full = Queue { turn: Arc::new(Semaphore::new(0)), users: WAITING_MAX, held: false };
        let crowd = (0..WAITING_MAX / 10).map(|n| {
            let turn = Arc::new(Semaphore::new(0));
            (Key::from(n.to_string()), Queue { turn, users: 1, held: false })
        });
        queues.lock().extend(crowd.chain([(Key::from("full"), full)]));
        let before = queues.lock().len();
        for name in ["full", "new"] {
            let soon = Deadline::at(clock.now());
            let error = queues.enter(&Key::from(name), soon).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Shed);
        }
        assert_eq!(queues.lock().len(), before);
    }

    #[test]
    fn pauses_grow_are_bounded_and_end_with_the_lease() {
        let long = Duration::from_secs(60);
        assert!(pause(0, long, true, 0.0) >= PAUSE_MIN / 2);
        assert!(pause(1_000, long, false, 0.999) <= PAUSE_MAX);
        assert!(PAUSE_MAX < KEPT_FOR, "who waits looks while the lock is kept");
        let rare = pause(1_000, long, true, 0.999);
        assert!(rare > PAUSE_MAX && rare <= PAUSE_TOLD_MAX && rare < NOTED_FOR / 2, "{rare:?}");
        let soon = Duration::from_millis(3);
        assert_eq!(pause(9, soon, false, 0.5), Duration::from_millis(4));
        assert!(pause(9, Duration::ZERO, false, 0.5) > soon, "not known");
    }
}
