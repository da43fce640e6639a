//! What callers asked, by route and by who served it.
//! It must not know how a backend did its part.

use std::fmt;

use mainstay::status::Status;

use super::families::{Families, NONE};

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let requests = status.requests.iter().map(|r| {
        let labels =
            [("route", &*r.route), ("op", r.op), ("source", &*r.source), ("outcome", r.outcome)];
        (labels, r.count)
    });
    families.counter(
        "mainstay_requests",
        "Operations by route, class, backend and outcome.",
        requests,
    )?;
    let fallbacks = status
        .fallbacks
        .iter()
        .map(|f| ([("from", &*f.from), ("to", &*f.to), ("reason", f.reason)], f.count));
    families.counter(
        "mainstay_fallback",
        "Operations served by another backend than usual.",
        fallbacks,
    )?;
    let stale = status.routes.iter().map(|route| ([("route", &*route.prefix)], route.stale_served));
    let help = "Answers that were marked stale, defaults included.";
    families.counter("mainstay_stale_served", help, stale)?;
    families.counter("mainstay_hedges", "Reads sent to a second backend.", [(NONE, status.hedges)])
}
