//! How many of something a front door takes at once, in all and from one address. The bounds may change.
//! It must not know the protocol.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use crate::address;

/// A bound. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<State>);

#[derive(Debug)]
struct State {
    max: AtomicUsize,
    /// Of one address; the largest number: no bound of its own.
    per_address: AtomicUsize,
    taken: AtomicUsize,
    /// Connections by address, counted also while they have no bound, since one may come. As many rows as there are
    /// connections at most.
    addresses: Mutex<BTreeMap<IpAddr, usize>>,
    idle: Notify,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    state: Arc<State>,
    address: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full,
    /// This address has its share.
    Address,
}

impl Admission {
    /// At most this many at once.
    pub(crate) fn new(max: usize) -> Self {
        Self::of_connections(max, None)
    }

    /// The same, and at most so many from one address.
    pub(crate) fn of_connections(max: usize, per_address: Option<usize>) -> Self {
        Self(Arc::new(State {
            max: AtomicUsize::new(max),
            per_address: AtomicUsize::new(per_address.unwrap_or(usize::MAX)),
            taken: AtomicUsize::new(0),
            addresses: Mutex::default(),
            idle: Notify::new(),
        }))
    }

    /// Another bound. Who is over a lower one stays, and nobody comes in for him.
    pub(crate) fn set_max(&self, max: usize) {
        self.0.max.store(max, SeqCst);
    }

    /// The same for one address.
    pub(crate) fn set_per_address(&self, max: Option<usize>) {
        self.0.per_address.store(max.unwrap_or(usize::MAX), SeqCst);
    }

    /// A place, if one is free.
    pub(crate) fn try_admit(&self) -> Option<Admitted> {
        self.0.take().then(|| Admitted { state: Arc::clone(&self.0), address: None })
    }

    /// A place for a connection of this address, if one is free.
    pub(crate) fn try_admit_from(&self, from: IpAddr) -> Result<Admitted, NoPlace> {
        let address = address::customer(from);
        if !self.0.enter(address) {
            return Err(NoPlace::Address);
        }
        if !self.0.take() {
            self.0.leave(address);
            return Err(NoPlace::Full);
        }
        Ok(Admitted { state: Arc::clone(&self.0), address: Some(address) })
    }

    /// How many places there are.
    pub(crate) fn max(&self) -> usize {
        self.0.max.load(SeqCst)
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(SeqCst)
    }

    /// Ends when every place is free.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = pin!(self.0.idle.notified());
            // First the ear, then the look: what becomes free in between is heard.
            idle.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl State {
    fn take(&self) -> bool {
        let room = |taken: usize| (taken < self.max.load(SeqCst)).then_some(taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, room).is_ok()
    }

    /// One more of this address; false: it has its share.
    fn enter(&self, address: IpAddr) -> bool {
        let max = self.per_address.load(SeqCst);
        let mut addresses = self.addresses();
        let count = addresses.entry(address).or_default();
        let has_room = *count < max;
        if has_room {
            *count += 1;
        }
        has_room
    }

    fn leave(&self, address: IpAddr) {
        let mut addresses = self.addresses();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.state.leave(address);
        }
        if self.state.taken.fetch_sub(1, SeqCst) == 1 {
            self.state.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn places_come_back() {
        let admission = Admission::new(2);
        let (first, second) = (admission.try_admit_from(HERE), admission.try_admit_from(HERE));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(admission.try_admit_from(HERE).unwrap_err(), NoPlace::Full);
        assert!(admission.try_admit().is_none());
        assert_eq!(admission.taken(), 2);
        drop((first, second));
        admission.idle().await;
        assert_eq!(admission.taken(), 0);
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::of_connections(3, Some(1));
        let from = |address: &str| admission.try_admit_from(address.parse().unwrap());
        let first = from("192.0.2.1").unwrap();
        assert_eq!(from("192.0.2.1").unwrap_err(), NoPlace::Address);
        assert_eq!(from("::ffff:192.0.2.1").unwrap_err(), NoPlace::Address);
        let _second = from("2001:db8::1").unwrap();
        assert_eq!(from("2001:db8::2").unwrap_err(), NoPlace::Address);
        let _third = from("2001:db8:0:1::1").unwrap();
        // Who finds no place takes none of its address.
        assert_eq!(from("192.0.2.9").unwrap_err(), NoPlace::Full);
        drop(first);
        let _fourth = from("192.0.2.9").unwrap();
        assert_eq!(admission.0.addresses().len(), 3);
    }

    #[tokio::test]
    async fn another_bound_holds_for_who_comes_and_nobody_has_to_leave() {
        let admission = Admission::new(1);
        let first = admission.try_admit();
        admission.set_max(2);
        let second = admission.try_admit();
        assert!(first.is_some() && second.is_some());
        admission.set_max(1);
        assert_eq!(admission.taken(), 2);
        drop(first);
        assert!(admission.try_admit().is_none(), "one is in");
        drop(second);
        assert!(admission.try_admit().is_some());
        admission.idle().await;
    }

    #[test]
    fn another_share_counts_who_came_before_it() {
        let admission = Admission::new(4);
        let first = admission.try_admit_from(HERE).unwrap();
        let second = admission.try_admit_from(HERE).unwrap();
        admission.set_per_address(Some(1));
        drop(second);
        assert_eq!(admission.try_admit_from(HERE).unwrap_err(), NoPlace::Address);
        drop(first);
        let _third = admission.try_admit_from(HERE).unwrap();
        admission.set_per_address(None);
        assert!(admission.try_admit_from(HERE).is_ok());
    }
}
