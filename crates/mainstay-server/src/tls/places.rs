//! Who may shake hands now: so many at once, and of those only a share from one address.
//! It must not know what a handshake is.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::address;

/// The places, and the lines before them. Who waits is bounded by the connections of the door.
#[derive(Debug)]
pub(super) struct Places {
    all: Semaphore,
    /// So many at once from one address.
    share: usize,
    peers: Mutex<BTreeMap<IpAddr, Peer>>,
}

/// One address from which somebody is here.
#[derive(Debug)]
struct Peer {
    /// Those that wait, and those that have a place.
    here: usize,
    places: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// `None`: the places are closed, which nothing does.
    _any: Option<SemaphorePermit<'a>>,
    _own: Option<tokio::sync::OwnedSemaphorePermit>,
    _here: Here<'a>,
}

/// That somebody of this address is here.
#[derive(Debug)]
struct Here<'a> {
    places: &'a Places,
    peer: IpAddr,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        let (all, share) = (Semaphore::new(max), max.div_ceil(4));
        Self { all, share, peers: Mutex::default() }
    }

    /// Waits for a place: first for one of this address, so that its many do not stand in the line of the others.
    pub(super) async fn enter(&self, peer: IpAddr) -> Place<'_> {
        let peer = address::customer(peer);
        let (here, places) = self.arrive(peer);
        let own = places.acquire_owned().await.ok();
        Place { _any: self.all.acquire().await.ok(), _own: own, _here: here }
    }

    fn arrive(&self, peer: IpAddr) -> (Here<'_>, Arc<Semaphore>) {
        let mut peers = self.peers();
        let new = || Peer { here: 0, places: Arc::new(Semaphore::new(self.share)) };
        let entry = peers.entry(peer).or_insert_with(new);
        entry.here += 1;
        (Here { places: self, peer }, Arc::clone(&entry.places))
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let mut peers = self.places.peers();
        if let Some(entry) = peers.get_mut(&self.peer) {
            entry.here -= 1;
            if entry.here == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A place, if one is free.
    fn now<'a>(places: &'a Places, peer: &str) -> Option<Place<'a>> {
        match pin!(places.enter(ip(peer))).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_address_leaves_places_to_the_others() {
        let places = Places::new(8);
        let first = (now(&places, "192.0.2.1"), now(&places, "::ffff:192.0.2.1"));
        assert!(first.0.is_some() && first.1.is_some());
        assert!(now(&places, "192.0.2.1").is_none());
        let others = ["192.0.2.2", "192.0.2.3", "2001:db8::1"].map(|peer| now(&places, peer));
        assert!(others.iter().all(Option::is_some));
        drop(first);
        assert!(now(&places, "192.0.2.1").is_some());
        drop(others);
        assert!(places.peers().is_empty(), "{places:?}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = Places::new(4);
        let held = now(&places, "2001:db8::1");
        assert!(held.is_some() && now(&places, "2001:db8::2").is_none());
        assert!(now(&places, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn one_too_many_waits_and_is_next() {
        let places = Places::new(1);
        let held = now(&places, "192.0.2.1");
        let mut next = pin!(places.enter(ip("192.0.2.2")));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(cx).is_pending());
        drop(held);
        assert!(next.as_mut().poll(cx).is_ready());
    }
}
