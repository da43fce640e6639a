//! The task that follows one cache for what this process keeps of it: takes in what it tells, and empties on any gap.
//! It must not know single reads and writes.

use std::{sync::Arc, time::Duration};

use super::{L1, era::Era};
use crate::{
    backend::{Feed, Told},
    entry::Key,
    error::Result,
    exec::{Road, refill},
    guard::backoff,
    sync::{
        domain::{Domain, Looks},
        view::View,
    },
};

/// Time for the beginning of a feed.
const OPEN: Duration = Duration::from_secs(2);
/// Pauses between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// How a feed has ended.
struct Ended {
    reason: String,
    /// Whether it had told anything.
    useful: bool,
}

/// Follows one cache for ever.
pub(crate) async fn keep(road: Arc<Road>, id: usize) {
    let (domain, Some(l1)) = (&road.domains[id], road.l1.of_domain(id)) else { return };
    let (mut looks, mut failures, mut generation) = (domain.looks(), 0_u32, None);
    loop {
        let Some(view) = followable(&road, domain) else {
            l1.close("the cache is not read now".to_owned());
            looks.changed().await;
            continue;
        };
        let before = generation.replace(view.control.generation);
        if before.is_some_and(|before| before != view.control.generation) {
            // The cache has been begun anew: what was read most is filled first.
            road.tasks.spawn(refill::hottest(Arc::clone(&road), id, l1.take_hot()));
        }
        let ended = match open(&road, domain, &view).await {
            Ok(feed) => follow(&road, domain, l1, &view, feed, &mut looks).await,
            Err(error) => Ended { reason: error.to_string(), useful: false },
        };
        l1.close(ended.reason);
        failures = if ended.useful { 0 } else { failures.saturating_add(1).min(10) };
        let pause = (PAUSE_MIN * 2_u32.pow(failures)).min(PAUSE_MAX);
        tokio::time::sleep(backoff::spread(pause, 0.2, road.entropy.unit())).await;
    }
}

/// The look under which the cache may be followed. One that is down is not dialled: its supervisor does that.
fn followable(road: &Road, domain: &Domain) -> Option<Arc<View>> {
    let view = domain.view()?;
    let leased = view.may_read(road.clock.now(), road.clock.suspended());
    (leased && road.nodes[domain.cache].guard().is_readable()).then_some(view)
}

async fn open(road: &Road, domain: &Domain, view: &View) -> Result<Box<dyn Feed>> {
    let backend = road.nodes[domain.cache].backend();
    let follow = backend.follow(view.prefix().clone(), road.clock.deadline_in(OPEN));
    match tokio::time::timeout(OPEN, follow).await {
        Ok(feed) => feed,
        Err(_) => Err(crate::Error::new(crate::ErrorKind::Timeout, "the feed does not begin")),
    }
}

/// Takes in what is told until there is a gap.
async fn follow(
    road: &Road,
    domain: &Domain,
    l1: &L1,
    view: &View,
    mut feed: Box<dyn Feed>,
    looks: &mut Looks<'_>,
) -> Ended {
    let era = l1.open(view.control.generation);
    let mut useful = false;
    loop {
        let gap = tokio::select! {
            biased;
            () = looks.changed() => other_copies(domain, view),
            told = feed.next() => {
                useful |= told.is_ok();
                told.map_or_else(|error| Some(error.to_string()), |told| take_in(road, domain, l1, &era, view, told))
            }
        };
        if let Some(reason) = gap {
            return Ended { reason, useful };
        }
    }
}

/// Whether the copies that are followed are no longer those that are read.
fn other_copies(domain: &Domain, followed: &View) -> Option<String> {
    let now = domain.view()?;
    if now.control.generation != followed.control.generation {
        return Some("the cache has been begun anew".to_owned());
    }
    now.is_revoked().then(|| "the lease was withdrawn".to_owned())
}

/// One piece of news; why it is a gap, if it is one.
fn take_in(
    road: &Road,
    domain: &Domain,
    l1: &L1,
    era: &Era,
    followed: &View,
    told: Told,
) -> Option<String> {
    match told {
        Told::Changed(keys) => {
            let prefix = followed.prefix().len();
            for key in keys.iter().filter(|key| key.as_bytes().starts_with(followed.prefix())) {
                l1.forget(&Key::from(key.bytes().slice(prefix..)));
            }
            None
        }
        Told::All => Some("every copy may have changed".to_owned()),
        Told::UpTo(moment) => {
            let view = domain.view();
            let gap = other_copies(domain, followed);
            // Told late is not told: what the moment is worth is counted from it.
            era.told(moment.min(road.clock.now()), view);
            gap
        }
    }
}
