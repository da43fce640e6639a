//! Locks of this process.
//! It must not know their names.

use std::fmt;

use mainstay::status::Status;

use super::families::{Families, NONE, number};

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let locks = &status.locks;
    let mut gauge = |name, help, value| families.gauge(name, help, [(NONE, number(value))]);
    gauge("mainstay_locks_held", "Locks that this process holds.", locks.held)?;
    gauge("mainstay_locks_waiting", "Calls that wait for a lock.", locks.waiting)?;
    gauge("mainstay_locks_releasing", "Releases that wait to be sent.", locks.releasing)?;
    let mut counter = |name, help, count| families.counter(name, help, [(NONE, count)]);
    counter("mainstay_locks_granted", "Locks granted.", locks.granted)?;
    let help = "Attempts that found the lock held by somebody else.";
    counter("mainstay_locks_contended", help, locks.contended)?;
    let help = "Leases that ended before their lock was released.";
    counter("mainstay_locks_lost", help, locks.lost)?;
    let help = "Releases that were given up: those leases ended by themselves.";
    counter("mainstay_locks_unreleased", help, locks.unreleased)
}
