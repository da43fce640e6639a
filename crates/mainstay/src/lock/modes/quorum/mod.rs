//! A majority of independent backends grants, in two phases: grants and counters, then one more than the highest.
//! It must not know what kind of backend a member is.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{Attempt, Parts, Renewal, Request};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    lock::{
        Claim, Core,
        lease::{Lease, Moment, allowance},
    },
    op::{Counting, Ground, LockOp},
    reply::Locked,
};

mod admission;
pub(super) mod votes;

use votes::{Kept, Tally, Vote, majority};

/// Once a majority has answered, the others have this much longer: votes that are there survive more.
const GRACE: Duration = Duration::from_millis(100);

/// No member has longer than this share of the lease.
const SHARE: u32 = 5;

/// The members.
#[derive(Debug)]
pub(crate) struct Quorum {
    members: Vec<usize>,
}

impl Quorum {
    pub(crate) fn new(members: Vec<usize>) -> Self {
        Self { members }
    }

    pub(crate) fn members(&self) -> &[usize] {
        &self.members
    }

    pub(crate) fn start(&self, core: &Arc<Core>) {
        core.parts.tasks.spawn(admission::keep(Arc::downgrade(core), self.members.clone()));
    }

    pub(crate) async fn attempt(
        &self,
        parts: &Parts,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Attempt> {
        let sent = Moment::now(&parts.clock);
        let step = deadline.within(sent.instant, request.ttl / SHARE);
        let votes = self
            .poll(|member| async move {
                let answer = parts.ask(member, acquire(request), step).await;
                answer.map(|(locked, _)| Vote::from(locked))
            })
            .await;
        let token = match votes::tally(&votes.found) {
            Tally::Commit(token) => token,
            Tally::Held { left, note } if votes.left_nothing() => {
                return Ok(Attempt::Held { left, note });
            }
            Tally::Held { left, note } => return Ok(Attempt::Split { left, note }),
            Tally::TooFew => return Err(votes.too_few(&self.members, parts)),
        };
        let step = deadline.within(parts.clock.now(), request.ttl / SHARE);
        let granted = &votes.found;
        let committed = self
            .poll(|member| async move {
                let at = self.members.iter().position(|id| *id == member);
                if !at.is_some_and(|at| matches!(granted[at], Vote::Granted(_))) {
                    return Ok(Vote::No);
                }
                let (name, holder) = (request.name.clone(), request.holder);
                let op = LockOp::Commit { name, holder, token };
                parts.ask(member, op, step).await.map(|(locked, _)| Vote::from(locked))
            })
            .await;
        if committed.granted() < majority(self.members.len()) {
            let (left, note) = (Duration::ZERO, "several who asked at once".to_owned());
            return Ok(Attempt::Split { left, note });
        }
        Ok(Attempt::Granted(token, self.lease(parts, sent, request.ttl)))
    }

    /// A member that does not hold it for this one is asked for it anew: it may have been out of reach before.
    pub(crate) async fn renew(
        &self,
        parts: &Parts,
        claim: &Claim,
        ttl: Duration,
        deadline: Deadline,
    ) -> Result<Renewal> {
        let sent = Moment::now(&parts.clock);
        let step = deadline.within(sent.instant, ttl / SHARE);
        let votes = self.poll(|member| keep_on(parts, member, claim, ttl, step)).await;
        match votes::kept(&votes.found, claim.token) {
            Kept::Yes => Ok(Renewal::Renewed(self.lease(parts, sent, ttl))),
            Kept::No => Ok(Renewal::Gone),
            Kept::Unknown => Err(votes.too_few(&self.members, parts)),
        }
    }

    /// On every member, also those that did not answer before.
    pub(crate) async fn release(
        &self,
        parts: &Parts,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool> {
        let all = self.members.iter().map(|member| async move {
            let op = LockOp::Release { name: claim.name.clone(), holder: claim.holder };
            parts.ask(*member, op, deadline).await.map(|(locked, _)| locked)
        });
        let (mut held, mut failed) = (0, None);
        for answer in futures_util::future::join_all(all).await {
            match answer {
                Ok(Locked::Granted { .. }) => held += 1,
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if held < majority(self.members.len()) => {
                Err(error.with_effect(Effect::Unknown))
            }
            _ => Ok(held >= majority(self.members.len())),
        }
    }

    /// Believed as long as the fastest clock among the members lets it.
    fn lease(&self, parts: &Parts, sent: Moment, ttl: Duration) -> Lease {
        let rates = self.members.iter().map(|id| super::lock(&parts.drifts[*id]).rate());
        Lease::new(sent, ttl, rates.fold(0.0, f64::max))
    }

    /// Asks all members at once; once a majority has granted, the others have a little longer.
    async fn poll<F>(&self, ask: impl Fn(usize) -> F) -> Votes
    where
        F: Future<Output = Result<Vote>>,
    {
        let mut votes = Votes { found: vec![Vote::Lost; self.members.len()], errors: Vec::new() };
        let asked = self.members.iter().enumerate().map(|(at, member)| {
            let ask = ask(*member);
            async move { (at, ask.await) }
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let grace = tokio::time::sleep(Duration::MAX);
        tokio::pin!(grace);
        let mut hurried = false;
        loop {
            tokio::select! {
                biased;
                next = asked.next() => match next {
                    Some((at, Ok(vote))) => votes.found[at] = vote,
                    Some((at, Err(error))) => {
                        if error.effect() == Effect::None {
                            votes.found[at] = Vote::No;
                        }
                        votes.errors.push(error);
                    }
                    None => return votes,
                },
                () = &mut grace => return votes,
            }
            if !hurried && votes.granted() >= majority(self.members.len()) {
                hurried = true;
                grace.set(tokio::time::sleep(GRACE));
            }
        }
    }
}

/// What the members said, and why some said nothing.
struct Votes {
    found: Vec<Vote>,
    errors: Vec<Error>,
}

impl Votes {
    fn granted(&self) -> usize {
        self.found.iter().filter(|vote| matches!(vote, Vote::Granted(_))).count()
    }

    /// Whether no member may have granted it.
    fn left_nothing(&self) -> bool {
        !self.found.iter().any(|vote| matches!(vote, Vote::Granted(_) | Vote::Lost))
    }

    fn too_few(self, members: &[usize], parts: &Parts) -> Error {
        let (granted, needed) = (self.granted(), majority(members.len()));
        let silent = members.iter().zip(&self.found).filter(|(_, vote)| **vote == Vote::No);
        let silent: Vec<&str> = silent.map(|(id, _)| &**parts.nodes[*id].name()).collect();
        let reasons: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        let message = format!(
            "{granted} of {} members granted, {needed} are needed; not voting: {}; {}",
            members.len(),
            if silent.is_empty() { "none".to_owned() } else { silent.join(", ") },
            reasons.join("; ")
        );
        // Those that granted are to be released.
        Error::new(ErrorKind::Unavailable, message).with_effect(Effect::Unknown)
    }
}

fn acquire(request: &Request) -> LockOp {
    LockOp::Acquire {
        name: request.name.clone(),
        holder: request.holder,
        ttl: request.ttl,
        counting: Counting::Later,
        note: request.note.clone(),
        ground: Ground::Member,
        waiter: None,
    }
}

async fn keep_on(
    parts: &Parts,
    member: usize,
    claim: &Claim,
    ttl: Duration,
    step: Deadline,
) -> Result<Vote> {
    let (name, holder) = (claim.name.clone(), claim.holder);
    let op = LockOp::Renew { name, holder, ttl, ground: Ground::Member };
    let (locked, _) = parts.ask(member, op, step).await?;
    if locked != Locked::Gone {
        return Ok(locked.into());
    }
    let request =
        Request { name: claim.name.clone(), holder, ttl, note: String::new(), waiter: None };
    let (locked, _) = parts.ask(member, acquire(&request), step).await?;
    if let Locked::Granted { token, .. } = locked
        && token < claim.token
    {
        let name = claim.name.clone();
        let op = LockOp::Commit { name, holder, token: claim.token };
        return Ok(parts.ask(member, op, step).await?.0.into());
    }
    Ok(locked.into())
}

/// How long a member that may have forgotten sits out.
fn quarantine(parts: &Parts) -> Duration {
    let ttl_max = parts.config.ttl_max;
    ttl_max + allowance(ttl_max, 0.0) + Duration::from_secs(1)
}
