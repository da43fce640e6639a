use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    backend::semantics::locks::LockState,
    entry::Key,
    op::{Counting, Ground, LockOp},
};

#[test]
fn a_majority_commits_one_more_than_its_highest_counter() {
    let held = Vote::Held { left: Duration::from_secs(1), note: "x".into() };
    assert_eq!(tally(&[Vote::Granted(3), Vote::Granted(7), Vote::Lost]), Tally::Commit(8));
    let one = tally(&[Vote::Granted(3), held.clone(), Vote::Lost]);
    assert_eq!(one, Tally::Held { left: Duration::from_secs(1), note: "x".into() });
    assert_eq!(tally(&[Vote::Granted(3), Vote::No, Vote::Lost]), Tally::TooFew);
    assert_eq!(kept(&[Vote::Granted(8), Vote::Granted(8), held.clone()], 8), Kept::Yes);
    assert_eq!(kept(&[Vote::Granted(8), Vote::Granted(9), Vote::Lost], 8), Kept::No);
    assert_eq!(kept(&[Vote::Granted(8), Vote::No, Vote::Lost], 8), Kept::Unknown);
    assert_eq!(kept(&[Vote::Granted(8), Vote::No, held], 8), Kept::No);
}

#[test]
fn a_member_votes_again_with_the_counters_of_a_majority_of_the_others() {
    let member = |admitted, counter, seconds| {
        let known_for = Duration::from_secs(seconds);
        Some(Member { identity: "m".into(), admitted, known_for, counter })
    };
    let quarantine = Duration::from_secs(60);
    let others = [member(false, 0, 61), member(true, 4, 0), member(true, 9, 0)];
    assert_eq!(floor_for(0, &others, quarantine), Some(9));
    let one_out_of_reach = [member(false, 0, 61), member(true, 4, 0), None];
    assert_eq!(floor_for(0, &one_out_of_reach, quarantine), None);
    let new = [member(false, 0, 61), member(false, 2, 61), member(false, 0, 61)];
    assert_eq!(floor_for(0, &new, quarantine), Some(2));
    let too_young = [member(false, 0, 61), member(false, 2, 30), member(false, 0, 61)];
    assert_eq!(floor_for(0, &too_young, quarantine), None);
}

/// Three members with clocks of their own, clients in any phase, and messages that come late.
struct World {
    members: Vec<(LockState, i64)>,
    clients: BTreeMap<u128, Client>,
    /// Operations that were sent and not performed yet: member, client.
    flying: Vec<(usize, u128, LockOp)>,
    /// Highest token of those that had finished when each client began.
    finished: u64,
    given: Vec<u64>,
    next: u128,
}

struct Client {
    floor: u64,
    votes: Vec<Vote>,
    commits: Vec<Vote>,
    token: Option<u64>,
}

const MEMBERS: usize = 3;

impl World {
    fn new() -> Self {
        let mut members = Vec::new();
        for at in 0..MEMBERS {
            let mut state = LockState::default();
            state.fleet_mut().runs_as(&format!("m{at}"), 0);
            state.perform(&LockOp::Admit { identity: format!("m{at}"), floor: 0 }, 0);
            members.push((state, 0));
        }
        let (clients, flying, given) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { members, clients, flying, finished: 0, given, next: 1 }
    }

    fn begin(&mut self) {
        let holder = self.next;
        self.next += 1;
        let votes = vec![Vote::Lost; MEMBERS];
        let client = Client { floor: self.finished, commits: votes.clone(), votes, token: None };
        self.clients.insert(holder, client);
        for at in 0..MEMBERS {
            let op = LockOp::Acquire {
                name: Key::from("a"),
                holder,
                ttl: Duration::from_micros(10),
                counting: Counting::Later,
                note: String::new(),
                ground: Ground::Member,
                waiter: None,
            };
            self.flying.push((at, holder, op));
        }
    }

    /// Performs one of what flies, in any order; the answer may be lost.
    fn deliver(&mut self, which: usize, lost: bool) {
        if self.flying.is_empty() {
            return;
        }
        let (at, holder, op) = self.flying.swap_remove(which % self.flying.len());
        let (state, now) = &mut self.members[at];
        let locked = state.perform(&op, *now).into_locked().unwrap();
        let Some(client) = self.clients.get_mut(&holder).filter(|_| !lost) else { return };
        match op {
            LockOp::Commit { .. } => client.commits[at] = locked.into(),
            _ => client.votes[at] = locked.into(),
        }
    }

    /// A client that has a majority goes on.
    fn go_on(&mut self, which: usize) -> std::result::Result<(), TestCaseError> {
        let Some(holder) = self.clients.keys().nth(which % self.clients.len().max(1)).copied()
        else {
            return Ok(());
        };
        let Some(client) = self.clients.get_mut(&holder) else { return Ok(()) };
        if client.token.is_none() {
            let Tally::Commit(token) = tally(&client.votes) else { return Ok(()) };
            client.token = Some(token);
            for (at, _) in
                client.votes.iter().enumerate().filter(|(_, v)| matches!(v, Vote::Granted(_)))
            {
                let op = LockOp::Commit { name: Key::from("a"), holder, token };
                self.flying.push((at, holder, op));
            }
            return Ok(());
        }
        let done = client.commits.iter().filter(|vote| matches!(vote, Vote::Granted(_))).count();
        if done < majority(MEMBERS) {
            return Ok(());
        }
        let (token, floor) = (client.token.unwrap_or(0), client.floor);
        self.clients.remove(&holder);
        prop_assert!(token > floor, "{token} is not above {floor}, which had finished before");
        prop_assert!(!self.given.contains(&token), "{token} was given twice");
        self.given.push(token);
        self.finished = self.finished.max(token);
        Ok(())
    }

    /// It restarts empty; every acquisition that counted its votes is over; then it takes counters, then it votes.
    fn forget(&mut self, at: usize) {
        let at = at % MEMBERS;
        let identity = format!("m{at}-{}", self.next);
        let mut state = LockState::default();
        state.fleet_mut().runs_as(&identity, 0);
        self.members[at] = (state, 0);
        // The quarantine, in a word.
        self.clients.clear();
        let seen: Vec<Option<Member>> = self
            .members
            .iter_mut()
            .map(|(state, now)| state.perform(&LockOp::Member { id: 1 }, *now).into_member().ok())
            .collect();
        let floor = floor_for(at, &seen, Duration::ZERO).unwrap_or(0);
        self.members[at].0.perform(&LockOp::Admit { identity, floor }, 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Deliver(usize, bool),
    GoOn(usize),
    /// Time passes for one member only: leases end there in any order.
    Tick(usize),
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Begin),
        12 => (0_usize..64, prop::bool::weighted(0.1)).prop_map(|(w, l)| Step::Deliver(w, l)),
        6 => (0_usize..8).prop_map(Step::GoOn),
        3 => (0_usize..3).prop_map(Step::Tick),
        1 => (0_usize..3).prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    /// Whatever the clocks and the network do, and whichever member forgets everything (one at a time, and not before the
    /// one before votes again), no token comes twice, and each is higher than those that were given before it was asked for.
    #[test]
    fn tokens_are_unique_and_rise(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Begin => world.begin(),
                Step::Deliver(which, lost) => world.deliver(which, lost),
                Step::GoOn(which) => world.go_on(which)?,
                Step::Tick(at) => world.members[at].1 += 11,
                Step::Forget(at) => world.forget(at),
            }
        }
    }
}

/// The property finds what is wrong: without the floor, a member that forgot makes a token come twice.
#[test]
fn without_the_counters_of_the_others_a_token_comes_twice() {
    let mut world = World::new();
    let finish = |world: &mut World, skip: usize| {
        world.begin();
        for _ in 0..2 {
            let flying = std::mem::take(&mut world.flying);
            world.flying = flying.into_iter().filter(|(at, ..)| *at != skip).collect();
            while !world.flying.is_empty() {
                world.deliver(0, false);
            }
            let last = world.clients.len() - 1;
            world.go_on(last)?;
        }
        world.go_on(world.clients.len().saturating_sub(1))
    };
    finish(&mut world, 2).unwrap();
    assert_eq!(world.given, [1]);
    world.forget(0);
    let (state, _) = &mut world.members[0];
    state.fleet_mut().floor = 0;
    for (_, now) in &mut world.members {
        *now += 11;
    }
    assert!(finish(&mut world, 1).is_err(), "{:?}", world.given);
}
