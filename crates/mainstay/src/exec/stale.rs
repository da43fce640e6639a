//! What is served while the record does not answer: a copy that cannot be verified, marked so, where the route allows it.
//! It must not serve anything else.

use std::{sync::Arc, time::Duration};

use super::{
    Reader, Road,
    read::{Found, found},
};
use crate::{
    backend::semantics::copies,
    entry::{Freshness, Key},
    error::{Error, ErrorKind, Result},
    guard,
    op::{Op, OpClass},
    reply::Reply,
    sync::{domain::Domain, view::View},
    trace,
};

/// The copy, unverified; else the errors of everybody.
pub(super) async fn instead(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    key: &Key,
    of_record: Error,
    of_cache: Option<Error>,
) -> Result<Found> {
    let Some(domain) = reader.domain else {
        return Err(road.unavailable(reader.route, vec![of_record], OpClass::Read));
    };
    trace::degraded("stale", of_record.kind());
    let asked = match of_cache {
        Some(error) => Err(error),
        None => copy(road, reader, domain, key).await,
    };
    let of_cache = match asked {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    Err(road.unavailable(reader.route, vec![of_record, of_cache], OpClass::Read))
}

async fn copy(road: &Arc<Road>, reader: &Reader<'_>, domain: &Domain, key: &Key) -> Result<Found> {
    let node = &road.nodes[domain.cache];
    let refuse = |text: String| Error::new(ErrorKind::NotReady, text).at(node.name());
    let (view, since) = since(road, domain).ok_or_else(|| refuse(domain.reason()))?;
    if reader.route.stale_if_error.get().is_zero() {
        return Err(refuse("the route serves no copies that cannot be verified".to_owned()));
    }
    if since > reader.route.stale_if_error.get() {
        let text = "copies have not been verified for longer than stale_if_error allows";
        return Err(refuse(text.to_owned()));
    }
    if !node.guard().is_readable() || domain.is_around(key) || view.is_dirty(key) {
        return Err(refuse("its copy of this key is known to be old".to_owned()));
    }
    let op = Op::Get { key: view.key_of(key), with_ttl: false };
    let stored = guard::call(node, &op, reader.deadline).await.and_then(Reply::into_record)?;
    let seen = stored.map(|stored| copies::read(stored.value));
    let found = seen.and_then(|seen| found(road, &view, domain.cache, seen));
    let found = found.filter(|found| reader.allows(key, found, view.asked()));
    let found = found.ok_or_else(|| refuse("holds no copy".to_owned()))?;
    Ok(Found { freshness: Freshness::Unverified(since), ..found })
}

/// The last look whose lease has not been revoked, and for how long nothing has been verified.
pub(crate) fn since(road: &Road, domain: &Domain) -> Option<(Arc<View>, Duration)> {
    let view = domain.view().filter(|view| !view.is_revoked() && view.control.active)?;
    let until = view.until()?;
    Some((view, road.clock.now().saturating_duration_since(until)))
}
