//! The cursors that were issued: a number for the client, the storage's opaque bytes behind it.
//! It must not know how a scan goes on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

/// How many cursors are remembered; the oldest is forgotten first.
const CURSORS_MAX: usize = 16_384;

/// Where a scan goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The prefix that the scan was begun with.
    pub(super) prefix: Bytes,
    /// The storage's cursor.
    pub(super) next: Bytes,
}

/// Shared by all connections, since a client may send each SCAN on another one of its pool.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<Issued>);

#[derive(Debug, Default)]
struct Issued {
    last: u64,
    places: BTreeMap<u64, Place>,
    order: VecDeque<u64>,
}

impl Cursors {
    /// A number for this place; never 0, which stands for the beginning and for the end.
    pub(super) fn issue(&self, place: Place) -> u64 {
        // In memory of its own: what came is a slice of the connection's buffer.
        let place = Place { prefix: Bytes::copy_from_slice(&place.prefix), ..place };
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.last += 1;
        let number = issued.last;
        if issued.order.len() == CURSORS_MAX
            && let Some(oldest) = issued.order.pop_front()
        {
            issued.places.remove(&oldest);
        }
        issued.places.insert(number, place);
        issued.order.push_back(number);
        number
    }

    /// The place behind a number. It may be asked for again.
    pub(super) fn find(&self, number: u64) -> Option<Place> {
        let issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.places.get(&number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_keeps_no_buffer_alive_that_a_pattern_came_in() {
        let (cursors, buffer) = (Cursors::default(), Bytes::from(vec![b'p'; 4096]));
        cursors.issue(Place { prefix: buffer.slice(..2), next: Bytes::from("n") });
        assert!(buffer.is_unique());
    }

    #[test]
    fn the_oldest_cursor_is_forgotten_first() {
        let cursors = Cursors::default();
        let place = Place { prefix: Bytes::from("p"), next: Bytes::from("n") };
        let first = cursors.issue(place.clone());
        let second = cursors.issue(place.clone());
        assert_ne!((first, second), (0, first));
        for _ in 2..=CURSORS_MAX {
            cursors.issue(place.clone());
        }
        assert_eq!(cursors.find(first), None);
        assert_eq!(cursors.find(second), Some(place));
    }
}
