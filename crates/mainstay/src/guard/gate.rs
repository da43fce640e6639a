//! A limit on how many are inside, with a queue in order of arrival; free of locks while nobody waits.
//! It must not know for how long anybody may wait, nor how many.
//!
//! Who leaves lowers `inside` and then looks at `waiting`; who waits raises `waiting` and then looks at `inside`. All four
//! are in one order (`SeqCst`), so at least one of the two sees the other, and no wake-up is lost.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

use crate::sharded::Apart;

/// The limit.
#[derive(Debug)]
pub(super) struct Gate {
    limit: AtomicUsize,
    /// Apart, for it is written with each call, and what is beside it is read.
    inside: Apart<AtomicUsize>,
    waiting: AtomicUsize,
    bell: Notify,
}

/// A place inside; dropping it gives it to the next.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Gate);

/// Counted among those that wait until it is dropped.
struct Waiting<'a> {
    gate: &'a Gate,
    /// Nobody waited before.
    is_first: bool,
}

impl Gate {
    pub(super) fn new(limit: usize) -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            limit: AtomicUsize::new(limit),
            inside: Apart(zero()),
            waiting: zero(),
            bell: Notify::new(),
        }
    }

    /// A place, if one is free and nobody waits for it.
    pub(super) fn try_enter(&self) -> Option<Inside<'_>> {
        if self.waiting.load(SeqCst) == 0 { self.take() } else { None }
    }

    /// A place, after those who came before.
    pub(super) async fn enter(&self) -> Inside<'_> {
        let waiting = Waiting::begin(self);
        // Whoever has others in front does not look: the place that is free was rung for one of them.
        let mut looks = waiting.is_first;
        loop {
            let mut rung = pin!(self.bell.notified());
            // First in the queue, then the look: what becomes free in between rings for it.
            rung.as_mut().enable();
            if looks && let Some(inside) = self.take() {
                return waiting.ends(inside);
            }
            rung.await;
            if let Some(inside) = self.take() {
                return waiting.ends(inside);
            }
            looks = false;
        }
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.inside.0.load(SeqCst)
    }

    /// Whether a place would be had at once.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(SeqCst) == 0 && self.inside() < self.limit()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Changes the limit. Who is inside over a lower one stays, and nobody comes in for him.
    pub(super) fn set_limit(&self, limit: usize) {
        let before = self.limit.swap(limit, SeqCst);
        let more = limit.saturating_sub(before);
        (0..more.min(self.waiting.load(SeqCst))).for_each(|_| self.bell.notify_one());
    }

    /// For the first in the queue, if there is a place and a queue.
    fn ring(&self) {
        if self.waiting.load(SeqCst) > 0 && self.inside() < self.limit() {
            self.bell.notify_one();
        }
    }

    fn take(&self) -> Option<Inside<'_>> {
        let room = |inside: usize| (inside < self.limit()).then_some(inside + 1);
        self.inside.0.fetch_update(SeqCst, SeqCst, room).ok().map(|_| Inside(self))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.0.fetch_sub(1, SeqCst);
        self.0.ring();
    }
}

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Gate) -> Self {
        let is_first = gate.waiting.fetch_add(1, SeqCst) == 0;
        Self { gate, is_first }
    }

    /// It is inside. Bells that ring while nobody listens are one bell, so whoever comes in rings for the next.
    fn ends(self, inside: Inside<'a>) -> Inside<'a> {
        let gate = self.gate;
        drop(self);
        gate.ring();
        inside
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicU64},
        task::Poll,
    };

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn who_came_first_comes_in_first_and_nobody_passes_those_who_wait() {
        let gate = Gate::new(1);
        let inside = gate.try_enter().expect("free");
        let (mut first, mut second) = (Box::pin(gate.enter()), Box::pin(gate.enter()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(inside);
        assert!(gate.try_enter().is_none(), "others wait");
        assert!(poll!(&mut second).is_pending() || poll!(&mut first).is_pending());
        let Poll::Ready(inside) = poll!(&mut first) else { panic!("it came first") };
        drop(inside);
        assert!(poll!(&mut second).is_ready());
        drop(second);
        assert_eq!((gate.inside(), gate.has_room()), (0, true));
    }

    #[tokio::test]
    async fn who_leaves_and_comes_again_at_once_comes_after_those_who_wait() {
        let gate = Gate::new(1);
        let inside = gate.try_enter().expect("free");
        let mut waiting = Box::pin(gate.enter());
        assert!(poll!(&mut waiting).is_pending());
        drop(inside);
        let mut again = Box::pin(gate.enter());
        assert!(poll!(&mut again).is_pending(), "another came first");
        let Poll::Ready(inside) = poll!(&mut waiting) else { panic!("it was its turn") };
        drop(inside);
        assert!(poll!(&mut again).is_ready());
    }

    #[tokio::test]
    async fn places_that_became_free_before_anybody_listened_are_all_taken() {
        let gate = Gate::new(2);
        let (one, other) = (gate.try_enter().expect("free"), gate.try_enter().expect("free"));
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(gate.enter())).collect();
        assert!(poll!(&mut waiting[0]).is_pending() && poll!(&mut waiting[1]).is_pending());
        drop((one, other));
        assert!(poll!(&mut waiting[0]).is_ready() && poll!(&mut waiting[1]).is_ready());
        let (mut first, mut second) = (Box::pin(gate.enter()), Box::pin(gate.enter()));
        drop(waiting);
        assert!(poll!(&mut first).is_ready() && poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_after_the_bell_has_rung_hands_it_on() {
        let gate = Gate::new(1);
        let inside = gate.try_enter().expect("free");
        let (mut first, mut second) = (Box::pin(gate.enter()), Box::pin(gate.enter()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(inside);
        drop(first);
        assert!(poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn a_higher_limit_lets_as_many_in_and_a_lower_one_nobody_until_enough_have_left() {
        let gate = Gate::new(1);
        let inside = gate.try_enter().expect("free");
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter())).collect();
        for one in &mut waiting {
            assert!(poll!(one).is_pending());
        }
        gate.set_limit(3);
        let mut entered = Vec::new();
        for one in &mut waiting {
            if let Poll::Ready(inside) = poll!(one) {
                entered.push(inside);
            }
        }
        assert_eq!((entered.len(), gate.inside()), (2, 3));
        drop(waiting);
        gate.set_limit(1);
        drop(inside);
        assert!(gate.try_enter().is_none());
        drop(entered);
        assert!(gate.try_enter().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn never_too_many_are_inside_and_nobody_waits_for_ever() {
        let (gate, most) = (Arc::new(Gate::new(3)), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (gate, most) = (Arc::clone(&gate), Arc::clone(&most));
            tasks.spawn(async move {
                for turn in 0..500 {
                    let inside = match gate.try_enter() {
                        Some(inside) => inside,
                        None => gate.enter().await,
                    };
                    most.fetch_max(gate.inside() as u64, SeqCst);
                    if turn % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                    drop(inside);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("it came in each time");
        }
        assert!(most.load(SeqCst) <= 3 && gate.inside() == 0, "{most:?}");
    }
}
