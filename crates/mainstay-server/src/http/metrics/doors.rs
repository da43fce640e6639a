//! The front doors: who is connected, what they hold, what each limit refused.
//! It must not know who was refused.

use std::fmt;

use mainstay::storage::Refused;

use super::families::{Families, number};
use crate::limits::Door;

pub(super) fn write(
    families: &mut Families<'_>,
    doors: &[&Door],
    refused: &Refused,
) -> fmt::Result {
    let of = |value: fn(&Door) -> u64| {
        let sample = move |door: &&Door| ([("door", door.name)], number(value(door)));
        doors.iter().map(sample).collect::<Vec<_>>()
    };
    let taken = of(|door| door.admission.taken() as u64);
    families.gauge("mainstay_connections", "Connections of clients.", taken)?;
    let most = of(|door| door.admission.max() as u64);
    families.gauge("mainstay_connections_max", "Connections of clients at most.", most)?;
    let held = of(|door| door.buffers.held());
    let help = "Bytes that the buffers of large requests and replies hold together.";
    families.gauge("mainstay_buffer_bytes", help, held)?;
    let most = of(|door| door.buffers.max());
    families.gauge("mainstay_buffer_bytes_max", "How much they may hold.", most)?;
    let of_doors = doors
        .iter()
        .flat_map(|door| door.limits.iter().map(|limit| (limit.key(), door.refusals.of(*limit))));
    let of_storage = [
        ("limits.key_max", refused.keys_too_long),
        ("limits.value_max", refused.values_too_long),
        ("limits.keys_max", refused.too_many_keys),
    ];
    let counts = of_doors.chain(of_storage).map(|(key, count)| ([("limit", key)], count));
    let help = "What a limit refused, by its key in the configuration.";
    families.counter("mainstay_limit_refused", help, counts)
}
