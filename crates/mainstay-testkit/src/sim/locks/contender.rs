//! One contender of one process: asks for a lock, is inside for a while, writes under its token, and leaves in some way.
//! It must not judge.

use std::{sync::Arc, time::Duration};

use mainstay::{
    Key, LockGuard, LockOptions, SetOptions,
    lock::{Asked, Claim},
    op::Fence,
};

use super::{
    judge::{Belief, Held, Hold},
    process::Process,
    world::{World, name_of},
};
use crate::sim::dice::Dice;

/// One contender.
#[derive(Debug)]
pub(super) struct Contender {
    world: Arc<World>,
    process: Process,
    dice: Dice,
}

impl Contender {
    /// The `slot`th contender of this run of the process.
    pub(super) fn new(world: &Arc<World>, process: &Process, slot: u64) -> Self {
        let number = process.index as u64 * 10_000 + process.boot * 100 + slot;
        let dice = Dice::new(world.plan.seed, 1_000_000 + number);
        Self { world: Arc::clone(world), process: process.clone(), dice }
    }

    /// Asks for locks until the time is over.
    pub(super) async fn work(mut self) {
        let end = self.world.at(self.world.plan.work_ms);
        loop {
            let pause = self.dice.ms(0, 2 * self.world.plan.think_ms);
            tokio::time::sleep(pause).await;
            if self.world.clock().now() >= end {
                return;
            }
            self.turn().await;
        }
    }

    async fn turn(&mut self) {
        let lock = self.dice.below(self.world.plan.locks);
        let wait = if self.dice.permille(300) { Duration::ZERO } else { self.dice.ms(100, 3_000) };
        let longest = self.dice.permille(300);
        let ttl = if longest { self.world.plan.ttl_max } else { self.world.plan.ttl };
        let renew = self.dice.permille(600);
        let note = Some(format!("process {}", self.process.index));
        let options = LockOptions { ttl: Some(ttl), wait: Some(wait), require: None, renew, note };
        match self.dice.below(10) {
            0..=2 => self.by_claim(lock, ttl, &options).await,
            // Somebody who does not wait for the answer.
            3 => {
                let patience = self.dice.ms(0, 20);
                let asked = self.process.storage.lock_with(name_of(lock), options);
                if let Ok(Ok(Some(guard))) = tokio::time::timeout(patience, asked).await {
                    self.by_guard(lock, ttl, guard).await;
                }
            }
            _ => {
                let asked = self.process.storage.lock_with(name_of(lock), options).await;
                if let Ok(Some(guard)) = asked {
                    self.by_guard(lock, ttl, guard).await;
                }
            }
        }
    }

    async fn by_guard(&mut self, lock: u64, ttl: Duration, guard: LockGuard) {
        let token = guard.token();
        let belief = Belief::new(Held::Guard(guard));
        let hold = self.world.granted(self.process.index, lock, token, &belief);
        self.stay(&hold, ttl).await;
        self.write_late(&hold, ttl).await;
        let Held::Guard(guard) = belief.give_up() else { return };
        let awaits = self.dice.permille(600);
        self.world.tell(format_args!("{} leaves", hold.number));
        if awaits {
            guard.release().await;
        }
    }

    /// Without a guard, as the clients of the front doors do.
    async fn by_claim(&mut self, lock: u64, ttl: Duration, options: &LockOptions) {
        let locks = self.process.storage.locks().clone();
        let Ok(Asked::Granted(grant)) = locks.ask(name_of(lock), options).await else { return };
        let until = self.world.clock().now() + grant.left;
        let belief = Belief::new(Held::Until(until));
        let hold = self.world.granted(self.process.index, lock, grant.claim.token, &belief);
        self.stay(&hold, ttl).await;
        if self.dice.permille(500) {
            self.renew(&hold, &grant.claim, ttl).await;
            self.stay(&hold, ttl).await;
        }
        if self.dice.permille(400) {
            // One that comes late, too.
            tokio::time::sleep(self.dice.ms(0, 1_000) + ttl).await;
            self.renew(&hold, &grant.claim, ttl).await;
        }
        self.write_late(&hold, ttl).await;
        drop(belief.give_up());
        self.world.tell(format_args!("{} leaves by its claim", hold.number));
        drop(locks.release(&grant.claim).await);
    }

    async fn renew(&mut self, hold: &Hold, claim: &Claim, ttl: Duration) {
        let renewed = self.process.storage.locks().renew(claim, ttl).await;
        let now = self.world.clock().now();
        match renewed {
            // One that comes too late is not believed.
            Ok(Some(grant)) if hold.belief.is_held(now) => hold.belief.extend(now + grant.left),
            Ok(None) => drop(hold.belief.give_up()),
            Ok(Some(_)) | Err(_) => {}
        }
    }

    /// Inside: looks before each step, and writes now and then.
    async fn stay(&mut self, hold: &Hold, ttl: Duration) {
        let stay = match self.dice.below(10) {
            0..=3 => self.dice.ms(0, 40),
            4..=6 => ttl.mul_f64(0.8) + self.dice.ms(0, 200),
            _ => ttl.mul_f64(1.5) + self.dice.ms(0, 1_000),
        };
        let until = self.world.clock().now() + stay;
        loop {
            if !hold.belief.check(self.world.clock().now()) {
                self.world.state().judge.counts.lost += 1;
                return self.world.tell(format_args!("{} has lost it", hold.number));
            }
            self.world.inside(hold.lock);
            if self.dice.permille(300) {
                self.write(hold).await;
            }
            let left = until.saturating_duration_since(self.world.clock().now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(self.dice.ms(1, 120).min(left)).await;
        }
    }

    /// As somebody who has slept and does not look.
    async fn write_late(&mut self, hold: &Hold, ttl: Duration) {
        if self.dice.permille(150) {
            tokio::time::sleep(ttl.mul_f64(1.2) + self.dice.ms(0, 1_000)).await;
            self.write(hold).await;
        }
    }

    async fn write(&mut self, hold: &Hold) {
        let fence = Fence { lock: name_of(hold.lock).into(), token: hold.token };
        let options = SetOptions { fence: Some(fence), ..SetOptions::default() };
        let key = Key::from(format!("v{}", hold.lock));
        // Whether it was applied the judge sees at the server.
        drop(self.process.storage.set_with(key, hold.number.to_string(), options).await);
    }
}
