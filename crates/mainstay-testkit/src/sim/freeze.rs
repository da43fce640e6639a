//! Stops every task of one process and lets them go on, as SIGSTOP does: meanwhile nothing of it runs, its messages wait,
//! and its timers are late.
//! It must not know whose tasks they are.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;

/// What holds the tasks of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Freeze(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// How many faults hold it.
    faults: u32,
    /// One of each task that would have gone on, in the order in which they would have.
    wakers: Vec<Waker>,
}

/// A task that goes on only while nothing holds it.
struct Stoppable<T> {
    freeze: Freeze,
    work: BoxFuture<'static, T>,
}

impl Freeze {
    /// The work, held whenever this holds.
    pub(super) fn around<T: 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, T> {
        Box::pin(Stoppable { freeze: self.clone(), work: Box::pin(work) })
    }

    /// One more fault holds it.
    pub(super) fn hold(&self) {
        self.lock().faults += 1;
    }

    /// One fault less.
    pub(super) fn release(&self) {
        let faults = self.lock().faults.saturating_sub(1);
        self.set(faults);
    }

    /// Nothing holds it any more.
    pub(super) fn thaw(&self) {
        self.set(0);
    }

    fn set(&self, faults: u32) {
        let woken = {
            let mut held = self.lock();
            held.faults = faults;
            if faults > 0 {
                return;
            }
            std::mem::take(&mut held.wakers)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Future for Stoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        {
            let mut held = self.freeze.lock();
            if held.faults > 0 {
                let known = held.wakers.iter().any(|waker| waker.will_wake(context.waker()));
                if !known {
                    held.wakers.push(context.waker().clone());
                }
                return Poll::Pending;
            }
        }
        self.work.as_mut().poll(context)
    }
}
