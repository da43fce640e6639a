//! What each `LockOp` does to the rows of locks, fences, and to what a backend keeps of the fleet: a pure state machine.
//! It must not know how rows are stored or locked, nor the modes. Memory and SQLite run this; SQL servers have it as
//! statements, Redis as a script, and both are held to it by the conformance suite.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use super::control::micros;
use crate::{
    entry::Key,
    error::{Error, ErrorKind},
    op::{Authority, Counting, Ground, LockOp, LockPage, LockRow, Member, Seat, Waiter},
    reply::{Locked, Reply},
};

#[cfg(test)]
mod tests;

/// How long it stands that a process waits, unless it says so again: longer than any pause between two looks.
pub const NOTED_FOR: Duration = Duration::from_secs(2);

/// How many grants a process that waits lets pass; the release after that keeps the lock for it.
pub const PASSES_MAX: u64 = 16;

/// For how long it is kept: longer than a pause between two looks, where nothing tells of a release.
pub const KEPT_FOR: Duration = Duration::from_millis(100);

/// One lock as it is stored. Rows are never deleted: the counter stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Whose lease it is, or was, until it is released.
    pub holder: Option<u128>,
    /// The last token.
    pub token: u64,
    /// When the lease ends; without a holder: until when the lock is kept for the waiter, 0 where it is not.
    pub expires_us: i64,
    /// Who, for people.
    pub note: String,
    /// The process that has waited longest of those who have said so.
    pub waiter: Option<u128>,
    /// Since when.
    pub waiter_since_us: i64,
    /// How long that stands; without a waiter: that some wait.
    pub waiter_until_us: i64,
    /// The token when somebody was noted first.
    pub waiter_token: u64,
}

/// An acquisition, its ground given.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Under which number.
    pub holder: u128,
    /// For how long.
    pub ttl: Duration,
    /// Who counts.
    pub counting: Counting,
    /// Who, for people.
    pub note: &'a str,
    /// Who waits, if it is held.
    pub waiter: Option<Waiter>,
}

/// What a backend keeps beside the locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Rises with each move of the authority.
    pub epoch: u64,
    /// Who grants.
    pub seat: Seat,
    /// Before that nothing is granted.
    pub not_before_us: i64,
    /// Which run of which server this is; empty: none yet.
    pub identity: String,
    /// Since when.
    pub since_us: i64,
    /// The identity under which it may vote; another one may have forgotten.
    pub admitted_as: String,
    /// No token up to this is given again.
    pub floor: u64,
}

/// Everything. `now_us` is the backend's clock, Unix microseconds.
#[derive(Clone, Debug, Default)]
pub struct LockState {
    rows: BTreeMap<Key, Row>,
    fences: BTreeMap<Key, u64>,
    fleet: Fleet,
}

impl LockState {
    /// Performs one operation.
    pub fn perform(&mut self, op: &LockOp, now_us: i64) -> Reply {
        match op {
            LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter } => {
                if !self.fleet.allows(ground, now_us) {
                    return Reply::Lock(Locked::Refused);
                }
                let floor = self.fleet.floor;
                let row = self.rows.entry(name.entered(&self.rows)).or_default();
                let (holder, ttl, counting, waiter) = (*holder, *ttl, *counting, *waiter);
                let asking = Asking { holder, ttl, counting, note, waiter };
                Reply::Lock(row.acquire(&asking, floor, now_us))
            }
            LockOp::Renew { name, holder, ttl, ground } => {
                if !self.fleet.allows(ground, now_us) {
                    return Reply::Lock(Locked::Refused);
                }
                self.on_row(name, |row| row.renew(*holder, *ttl, now_us))
            }
            LockOp::Commit { name, holder, token } => {
                self.on_row(name, |row| row.commit(*holder, *token, now_us))
            }
            LockOp::Release { name, holder } => {
                self.on_row(name, |row| row.release(*holder, now_us))
            }
            LockOp::Fence { resource, token } => Reply::Lock(self.fence(resource, *token, now_us)),
            LockOp::List { after, limit } => {
                Reply::Locks(self.list(after.as_ref(), *limit, now_us))
            }
            LockOp::Member { id } => {
                let counter = self.rows.values().map(|row| row.token).max().unwrap_or(0);
                Reply::Member(self.fleet.member(*id, counter, now_us))
            }
            LockOp::Admit { identity, floor } => {
                Reply::Lock(self.fleet.admit(identity, *floor, now_us))
            }
            LockOp::Authority => Reply::Authority(Box::new(self.fleet.authority(now_us))),
            LockOp::Move { epoch, to, wait } => {
                Reply::Lock(self.fleet.move_on(*epoch, to, *wait, now_us))
            }
        }
    }

    /// `LockOp::Fence`, and what a fenced write looks at first.
    pub fn fence(&mut self, resource: &Key, token: u64, now_us: i64) -> Locked {
        let seen = self.fences.entry(resource.entered(&self.fences)).or_default();
        if *seen > token {
            return Locked::Fenced(*seen);
        }
        *seen = token;
        Locked::Granted { token, now_us }
    }

    /// The highest token that was seen for a resource.
    pub fn seen(&self, resource: &Key) -> u64 {
        self.fences.get(resource).copied().unwrap_or(0)
    }

    /// What is kept beside the locks.
    pub fn fleet_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    fn on_row(&mut self, name: &Key, change: impl FnOnce(&mut Row) -> Locked) -> Reply {
        Reply::Lock(self.rows.get_mut(name).map_or(Locked::Gone, change))
    }

    fn list(&self, after: Option<&Key>, limit: usize, now_us: i64) -> LockPage {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = self.rows.range((after, Bound::Unbounded));
        let page: Vec<LockRow> =
            rows.by_ref().take(limit).map(|(name, row)| row.shown(name, now_us)).collect();
        let next = rows.next().and(page.last()).map(|row| row.name.clone());
        LockPage { rows: page, next }
    }
}

impl Row {
    /// `LockOp::Acquire`, its ground given.
    pub fn acquire(&mut self, asking: &Asking<'_>, floor: u64, now_us: i64) -> Locked {
        let own = self.is_of(asking.holder, now_us);
        let held = self.is_held(now_us) && !own;
        if held || self.is_kept_from(asking.waiter, now_us) {
            let (left, note) = (span(self.expires_us, now_us), self.note.clone());
            if let Some(waiter) = asking.waiter.filter(|_| held) {
                self.note_waiter(waiter, now_us);
            }
            return Locked::Held { left, note, token: self.token.max(floor) };
        }
        if !own {
            self.let_pass(asking.waiter, now_us);
        }
        if asking.counting == Counting::Here && !own {
            self.token = self.token.max(floor) + 1;
        }
        self.holder = Some(asking.holder);
        self.expires_us = now_us.saturating_add(micros(asking.ttl));
        asking.note.clone_into(&mut self.note);
        Locked::Granted { token: self.token.max(floor), now_us }
    }

    /// Whether it is free, and another has waited too long for it.
    fn is_kept_from(&self, waiter: Option<Waiter>, now_us: i64) -> bool {
        let other = self.waiter.is_some_and(|noted| waiter.is_none_or(|own| own.process != noted));
        self.holder.is_none() && self.expires_us > now_us && other
    }

    /// Somebody waits: who has waited longest stands in the row.
    fn note_waiter(&mut self, waiter: Waiter, now_us: i64) {
        let since = now_us.saturating_sub(micros(waiter.waited));
        let stands = self.waiter.is_some() && self.waiter_until_us > now_us;
        let kept = if self.waiter == Some(waiter.process) {
            // Said again in time; else each look would write.
            self.waiter_until_us > now_us.saturating_add(micros(NOTED_FOR / 2))
        } else {
            self.waiter_since_us <= since
        };
        if stands && kept {
            return;
        }
        if !stands {
            self.waiter_token = self.token;
        }
        self.waiter = Some(waiter.process);
        self.waiter_since_us = since;
        self.waiter_until_us = now_us.saturating_add(micros(NOTED_FOR));
    }

    /// The lock is granted to one: whether another waits still.
    fn let_pass(&mut self, waiter: Option<Waiter>, now_us: i64) {
        let own = self.waiter == waiter.map(|waiter| waiter.process);
        // It was kept in vain: once, and not again for one that is gone.
        let in_vain = self.holder.is_none() && self.expires_us > 0;
        if own || in_vain || self.waiter_until_us <= now_us {
            self.waiter = None;
        }
    }

    /// `LockOp::Commit`.
    pub fn commit(&mut self, holder: u128, token: u64, now_us: i64) -> Locked {
        if !self.is_of(holder, now_us) || self.token >= token {
            return Locked::Gone;
        }
        self.token = token;
        Locked::Granted { token, now_us }
    }

    /// `LockOp::Renew`, its ground given.
    pub fn renew(&mut self, holder: u128, ttl: Duration, now_us: i64) -> Locked {
        if !self.is_of(holder, now_us) {
            return Locked::Gone;
        }
        self.expires_us = now_us.saturating_add(micros(ttl));
        Locked::Granted { token: self.token, now_us }
    }

    /// `LockOp::Release`.
    pub fn release(&mut self, holder: u128, now_us: i64) -> Locked {
        if !self.is_of(holder, now_us) {
            return Locked::Gone;
        }
        let passed = self.token.saturating_sub(self.waiter_token);
        let stands = self.waiter.is_some() && self.waiter_until_us > now_us;
        let kept = stands && passed >= PASSES_MAX;
        self.holder = None;
        self.expires_us = if kept { now_us.saturating_add(micros(KEPT_FOR)) } else { 0 };
        Locked::Granted { token: self.token, now_us }
    }

    /// For people.
    pub fn shown(&self, name: &Key, now_us: i64) -> LockRow {
        let left = self.is_held(now_us).then(|| span(self.expires_us, now_us));
        let holder = left.and(self.holder);
        LockRow { name: name.clone(), token: self.token, left, note: self.note.clone(), holder }
    }

    fn is_held(&self, now_us: i64) -> bool {
        self.holder.is_some() && self.expires_us > now_us
    }

    fn is_of(&self, holder: u128, now_us: i64) -> bool {
        self.holder == Some(holder) && self.is_held(now_us)
    }
}

impl Fleet {
    /// Whether what must hold besides does.
    pub fn allows(&self, ground: &Ground, now_us: i64) -> bool {
        match ground {
            Ground::Free => true,
            Ground::Member => self.is_admitted(),
            Ground::Epoch(epoch) => self.epoch == *epoch && self.not_before_us <= now_us,
            Ground::Server(identity) => self.is_admitted() && self.identity == *identity,
        }
    }

    fn is_admitted(&self) -> bool {
        !self.identity.is_empty() && self.admitted_as == self.identity
    }

    /// It is this run of this server now.
    pub fn runs_as(&mut self, identity: &str, now_us: i64) {
        if self.identity != identity {
            identity.clone_into(&mut self.identity);
            self.since_us = now_us;
        }
    }

    /// `LockOp::Member`; `counter` is the highest of the locks.
    pub fn member(&mut self, id: u128, counter: u64, now_us: i64) -> Member {
        if self.identity.is_empty() {
            self.identity = format!("{id:032x}");
            self.since_us = now_us;
        }
        Member {
            identity: self.identity.clone(),
            admitted: self.is_admitted(),
            known_for: span(now_us, self.since_us),
            counter: counter.max(self.floor),
        }
    }

    /// `LockOp::Admit`.
    pub fn admit(&mut self, identity: &str, floor: u64, now_us: i64) -> Locked {
        if self.identity != identity {
            return Locked::Refused;
        }
        identity.clone_into(&mut self.admitted_as);
        self.floor = self.floor.max(floor);
        Locked::Granted { token: self.floor, now_us }
    }

    /// `LockOp::Authority`.
    pub fn authority(&self, now_us: i64) -> Authority {
        let wait = span(self.not_before_us, now_us);
        Authority { epoch: self.epoch, seat: self.seat.clone(), wait, now_us }
    }

    /// `LockOp::Move`.
    pub fn move_on(&mut self, epoch: u64, to: &Seat, wait: Duration, now_us: i64) -> Locked {
        if self.epoch != epoch {
            return Locked::Refused;
        }
        self.epoch += 1;
        self.seat = to.clone();
        // What is left of the wait before it stands: leases of two epochs ago may last yet.
        self.not_before_us = self.not_before_us.max(now_us.saturating_add(micros(wait)));
        Locked::Granted { token: self.epoch, now_us }
    }
}

/// From `earlier_us` to `later_us`; zero when it is the other way round.
pub fn span(later_us: i64, earlier_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(later_us.saturating_sub(earlier_us)).unwrap_or(0))
}

/// The error of a fenced write under a token that is not the highest any more.
pub fn fenced(resource: &Key, token: u64, seen: u64) -> Error {
    let message = format!(
        "token {token} of the lock {:?} is superseded: {seen} has been seen",
        String::from_utf8_lossy(resource.as_bytes())
    );
    Error::new(ErrorKind::Fenced, message)
}
