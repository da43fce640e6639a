//! Leader election: a lock that is asked for again and again, and held for as long as it can be.
//! It must not know how a lock is granted.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::{oneshot, watch};

use super::{
    Core, LockGuard, LockOptions, Released,
    acquire::{self, Got},
    guard::Held,
};
use crate::{entry::Key, error::Result, guard::backoff, op::Fence};

/// While another leads, its note is looked at again after this long.
const LOOK: Duration = Duration::from_secs(2);

/// After an error, and after a term that was lost.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether this process leads.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// It does.
    Leading(Term),
    /// It does not; who does, as far as that is known.
    Following(Option<String>),
}

/// One term of leadership. Its token is higher than that of every term before, where the guarantee is `Fenced`.
#[derive(Clone)]
pub struct Term(Arc<Held>);

impl Term {
    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.0.claim.token
    }

    /// The lock and the token, for `SetOptions::fence`.
    pub fn fence(&self) -> Fence {
        Fence { lock: self.0.claim.name.clone(), token: self.token() }
    }

    /// How long it lasts yet, unless it is renewed; zero: it is over.
    pub fn left(&self) -> Duration {
        self.0.left()
    }

    /// To be asked before each step that others see.
    ///
    /// # Errors
    /// `Fenced` when the term is over.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Ends when the term is lost, or resigned.
    pub fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        let held = Arc::clone(&self.0);
        async move { held.over().await }
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term").field("token", &self.token()).field("left", &self.left()).finish()
    }
}

/// A candidacy. Dropped, it resigns in the background.
#[derive(Debug)]
pub struct Campaign {
    state: watch::Receiver<Leadership>,
    resign: Option<oneshot::Sender<oneshot::Sender<Released>>>,
}

impl Campaign {
    pub(super) fn new(core: &Arc<Core>, name: Key, options: LockOptions) -> Self {
        let (sender, state) = watch::channel(Leadership::Following(None));
        let (resign, resigned) = oneshot::channel();
        let tasks = core.parts.tasks.clone();
        tasks.spawn(run(Arc::clone(core), name, options, sender, resigned));
        Self { state, resign: Some(resign) }
    }

    /// Whether this process leads now. A term may end at any moment: ask `Term::check` before each step that others see.
    pub fn current(&self) -> Leadership {
        self.state.borrow().clone()
    }

    /// The next change; `None`: the campaign is over, since the storage is closed.
    pub async fn changed(&mut self) -> Option<Leadership> {
        self.state.changed().await.ok()?;
        Some(self.state.borrow_and_update().clone())
    }

    /// Waits until this process leads; `None`: the campaign is over.
    pub async fn leading(&mut self) -> Option<Term> {
        loop {
            let now = self.state.borrow_and_update().clone();
            match now {
                Leadership::Leading(term) if !term.left().is_zero() => return Some(term),
                Leadership::Leading(_) | Leadership::Following(_) => {
                    self.state.changed().await.ok()?;
                }
            }
        }
    }

    /// Gives the leadership up, if it is held, and the candidacy.
    pub async fn resign(mut self) -> Released {
        let (answer, ended) = oneshot::channel();
        let asked = self.resign.take().is_some_and(|resign| resign.send(answer).is_ok());
        match asked {
            true => ended.await.unwrap_or(Released::Unknown),
            false => Released::AlreadyLost,
        }
    }
}

async fn run(
    core: Arc<Core>,
    name: Key,
    options: LockOptions,
    state: watch::Sender<Leadership>,
    mut resigned: oneshot::Receiver<oneshot::Sender<Released>>,
) {
    let options = LockOptions { wait: Some(LOOK), renew: true, ..options };
    loop {
        let asked = tokio::select! {
            biased;
            resigned = &mut resigned => {
                // The campaign was resigned, or dropped.
                if let Ok(answer) = resigned { let _ = answer.send(Released::AlreadyLost); }
                return;
            }
            asked = acquire::get(&core, &name, &options) => asked,
        };
        let guard = match asked {
            Ok(Got::Lock { claim, lease, ttl, turn }) => {
                turn.hold();
                LockGuard::new(&core, claim, lease, ttl, true, turn)
            }
            Ok(Got::Held { note, .. }) => {
                follow(&state, Some(note));
                continue;
            }
            Err(error) => Err(error),
        };
        if let Ok(guard) = guard {
            state.send_replace(Leadership::Leading(Term(guard.held())));
            tokio::select! {
                biased;
                () = guard.lost() => follow(&state, None),
                resigned = &mut resigned => {
                    let answered = resigned.ok();
                    let released = guard.release().await;
                    follow(&state, None);
                    if let Some(answer) = answered { let _ = answer.send(released); }
                    return;
                }
            }
        } else {
            follow(&state, None);
        }
        // Whoever was not well a moment ago does not come first again.
        tokio::time::sleep(backoff::spread(PAUSE, 0.5, core.parts.entropy.unit())).await;
    }
}

/// Told only when it is news.
fn follow(state: &watch::Sender<Leadership>, leader: Option<String>) {
    state.send_if_modified(|state| {
        let same = matches!(&*state, Leadership::Following(known) if *known == leader);
        if !same {
            *state = Leadership::Following(leader);
        }
        !same
    });
}
