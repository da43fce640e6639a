//! What happens in a second, from two status documents.
//! It must not know any clock but the server's.

use std::collections::BTreeMap;

use super::document::{Calls, Document};

/// Rates between two documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Operations a second.
    pub(super) requests: f64,
    /// Calls a second, by backend.
    pub(super) backends: BTreeMap<String, f64>,
    /// Operations a second, by the route's prefix.
    pub(super) routes: BTreeMap<String, f64>,
}

impl Rates {
    /// None when the later document is not later: the server has been started anew.
    pub(super) fn between(earlier: &Document, later: &Document) -> Option<Self> {
        let ms = later.uptime_ms.checked_sub(earlier.uptime_ms).filter(|ms| *ms > 0)?;
        // A count that falls is another's; it says nothing.
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1000.0 / ms as f64;
        let (from, to) = (routes(earlier), routes(later));
        let before = |route: &String| from.get(route).copied().unwrap_or(0);
        let routes: BTreeMap<String, f64> =
            to.iter().map(|(route, count)| (route.clone(), rate(before(route), *count))).collect();
        let known = |name: &str| earlier.backends.iter().find(|backend| backend.name == name);
        let backends = later.backends.iter().filter_map(|backend| {
            let from = known(&backend.name)?;
            Some((backend.name.clone(), rate(ended(&from.calls), ended(&backend.calls))))
        });
        Some(Self { requests: routes.values().sum(), backends: backends.collect(), routes })
    }
}

/// Calls that the backend has had.
fn ended(calls: &Calls) -> u64 {
    calls.success + calls.failure + calls.abandoned
}

fn routes(document: &Document) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for requests in &document.requests {
        *counts.entry(requests.route.clone()).or_insert(0) += requests.count;
    }
    counts
}
