//! Scans and counts: over the nodes that hold the truth of the keys under a prefix, one after the other.
//! It must not show copies or keys of our own.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Road, Served,
    attempt::{Last, attempt},
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Op, OpClass},
    reply::{Page, Reply},
    route::{NodeId, Route, Shape},
    status::Availability,
};

/// Keys of our own (copies, probes) begin with this.
pub(super) const OWN: &[u8] = b"mainstay:";

/// Keys of one page while counting by scanning.
const COUNT_PAGE: usize = 1000;

pub(super) async fn scan(
    road: &Arc<Road>,
    prefix: &Bytes,
    cursor: Option<&Bytes>,
    limit: usize,
    deadline: Deadline,
) -> Result<Served> {
    let holders = road.table.authorities_under(prefix);
    let (position, asked, inner) = read_cursor(cursor, holders.len())?;
    let authority = holders[position];
    let id = road.stand_in(authority);
    // A cursor means nothing to another backend: its part is begun again, better twice than never.
    let inner = inner.filter(|_| asked == Some(id));
    let op = Op::Scan { prefix: prefix.clone(), cursor: inner, limit };
    let reply = attempt(road, &road.nodes[id], &op, deadline, Last::Yes).await;
    let mut page = reply.and_then(Reply::into_page).map_err(|error| road.cannot_scan(error))?;
    page.keys.retain(|key| road.shows(authority, key));
    page.next = match page.next.take() {
        Some(inner) => Some(write_cursor(position, id, &inner)),
        None if position + 1 < holders.len() => Some(write_cursor(position + 1, id, b"")),
        None => None,
    };
    Ok(Served::by(id, Reply::Page(page)))
}

pub(super) async fn count(road: &Arc<Road>, prefix: &Bytes, deadline: Deadline) -> Result<Served> {
    let mut total = 0;
    let holders = road.table.authorities_under(prefix);
    for authority in &holders {
        let id = road.stand_in(*authority);
        total += if road.holds_only_its_own(*authority) {
            let ours = count_on(road, id, ours_under(prefix), deadline).await?;
            count_on(road, id, Some(prefix.clone()), deadline).await? - ours
        } else {
            count_by_scanning(road, *authority, prefix, deadline).await?
        };
    }
    Ok(Served::by(road.stand_in(holders[0]), Reply::Integer(total)))
}

/// Where keys of our own can be among those under a prefix; `None`: nowhere.
fn ours_under(prefix: &Bytes) -> Option<Bytes> {
    let ours = Bytes::from_static(Key::RESERVED);
    match (ours.starts_with(prefix), prefix.starts_with(&ours)) {
        (true, _) => Some(ours),
        (false, true) => Some(prefix.clone()),
        (false, false) => None,
    }
}

async fn count_on(
    road: &Arc<Road>,
    id: NodeId,
    prefix: Option<Bytes>,
    deadline: Deadline,
) -> Result<i64> {
    let Some(prefix) = prefix else { return Ok(0) };
    let reply = attempt(road, &road.nodes[id], &Op::Count { prefix }, deadline, Last::Yes).await;
    reply.and_then(Reply::into_integer).map_err(|error| road.cannot_scan(error))
}

/// On a node that also holds copies or keys of other routes only the pages tell what counts.
async fn count_by_scanning(
    road: &Arc<Road>,
    authority: NodeId,
    prefix: &Bytes,
    deadline: Deadline,
) -> Result<i64> {
    let id = road.stand_in(authority);
    let (mut total, mut cursor) = (0, None);
    loop {
        let op = Op::Scan { prefix: prefix.clone(), cursor, limit: COUNT_PAGE };
        let reply = attempt(road, &road.nodes[id], &op, deadline, Last::Yes).await;
        let page: Page =
            reply.and_then(Reply::into_page).map_err(|error| road.cannot_scan(error))?;
        let shown = page.keys.iter().filter(|key| road.shows(authority, key)).count();
        total += i64::try_from(shown).unwrap_or(i64::MAX);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(total);
        }
    }
}

/// Which of the holders, which node was asked for it, and that node's own cursor.
fn read_cursor(
    cursor: Option<&Bytes>,
    holders: usize,
) -> Result<(usize, Option<NodeId>, Option<Bytes>)> {
    let Some(cursor) = cursor else { return Ok((0, None, None)) };
    match cursor[..] {
        [position, asked, ..] if usize::from(position) < holders => {
            let inner = cursor.slice(2..);
            let inner = (!inner.is_empty()).then_some(inner);
            Ok((usize::from(position), Some(usize::from(asked)), inner))
        }
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "invalid cursor: use the one of the page before",
        )),
    }
}

fn write_cursor(position: usize, asked: NodeId, inner: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + inner.len());
    bytes.put_u8(u8::try_from(position).unwrap_or(u8::MAX));
    bytes.put_u8(u8::try_from(asked).unwrap_or(u8::MAX));
    bytes.put_slice(inner);
    bytes.freeze()
}

impl Road {
    /// The node to ask for the keys of an authority: itself, or on a failover route the first that is available.
    fn stand_in(&self, authority: NodeId) -> NodeId {
        let now = self.clock.now();
        let available =
            |id: &NodeId| self.nodes[*id].view(now).availability == Availability::Available;
        let route = self.table.routes().iter().find(|route| route.authority() == authority);
        match route.map(|route| &route.shape) {
            Some(Shape::Failover { backends, .. }) => {
                backends.iter().copied().find(available).unwrap_or(authority)
            }
            Some(Shape::Record { .. }) | None => authority,
        }
    }

    /// Whether a key found on an authority is one of its routes' and not of our own.
    fn shows(&self, authority: NodeId, key: &Key) -> bool {
        !key.as_bytes().starts_with(OWN)
            && !key.is_reserved()
            && self.table.of(key).authority() == authority
    }

    /// Whether every key on this node is its own: it is no cache, and no other authority's keys can be there.
    fn holds_only_its_own(&self, authority: NodeId) -> bool {
        let touches = |route: &Arc<Route>| route.nodes().any(|id| id == authority);
        self.table
            .routes()
            .iter()
            .filter(|route| touches(route))
            .all(|route| matches!(route.shape, Shape::Record { record, .. } if record == authority))
    }

    fn cannot_scan(&self, error: Error) -> Error {
        if error.kind().is_callers() {
            return error;
        }
        let route = &self.table.routes()[self.table.routes().len() - 1];
        self.unavailable(route, vec![error], OpClass::Read)
    }
}
