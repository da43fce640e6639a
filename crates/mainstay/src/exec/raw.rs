//! A command that is passed through: to the one backend that it names, through its guard, where its keys may be there.
//! It must not know what the command means.

use std::sync::Arc;

use super::{
    Road, Served,
    attempt::{Last, attempt},
    scan::OWN,
};
use crate::{
    backend::Line,
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    node::Node,
    op::{Op, RawOp},
    route::Shape,
};

/// Performs it.
///
/// # Errors
/// `InvalidArgument` for a key that is kept elsewhere, or is ours; `Unavailable` with the backend's reason.
pub(super) async fn run(
    road: &Arc<Road>,
    op: &Op,
    raw: &RawOp,
    deadline: Deadline,
) -> Result<Served> {
    check(road, raw)?;
    let node = find(road, &raw.backend)?;
    match attempt(road, node, op, deadline, Last::Yes).await {
        Ok(reply) => Ok(Served::by(node.id(), reply)),
        Err(error) if error.kind().is_callers() => Err(error),
        Err(error) => Err(Error::unavailable(vec![error])),
    }
}

/// A connection to a backend for one user at a time. Asked through the guard first, and given up with the deadline.
///
/// # Errors
/// As `run`; `Unsupported` for an engine that has none.
pub(crate) async fn line(
    road: &Arc<Road>,
    backend: &str,
    resp3: bool,
    deadline: Deadline,
) -> Result<Box<dyn Line>> {
    let node = find(road, backend)?;
    greet(road, node, deadline).await?;
    let limit = deadline.within(road.clock.now(), node.timing().connect_timeout);
    let opened = tokio::time::timeout_at(limit.instant(), node.backend().line(resp3, limit)).await;
    let opened = opened.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "no connection of its own in time"))
    });
    opened.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => error,
        _ => Error::unavailable(vec![error.at(node.name())]),
    })
}

/// Whether calls to a backend would be refused now.
///
/// # Errors
/// `Unavailable` with the reason.
pub(crate) async fn admitted(road: &Arc<Road>, backend: &str, deadline: Deadline) -> Result<()> {
    greet(road, find(road, backend)?, deadline).await
}

/// Why a backend takes no calls now.
pub(crate) fn refusal(road: &Road, backend: &str) -> Option<Error> {
    let node = find(road, backend).ok()?;
    let now = road.clock.now();
    node.refused(now).map(|_| Error::unavailable(vec![node.refusal(now)]))
}

/// One round trip through the guard: bulkhead, breaker and timeout say whether there is any use in going on.
async fn greet(road: &Arc<Road>, node: &Node, deadline: Deadline) -> Result<()> {
    let ping = Op::Raw(RawOp {
        backend: Arc::clone(node.name()),
        words: vec![bytes::Bytes::from_static(b"PING")],
        keys: Vec::new(),
        resp3: true,
        reads: true,
    });
    match attempt(road, node, &ping, deadline, Last::Yes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind().is_callers() => Err(error),
        Err(error) => Err(Error::unavailable(vec![error])),
    }
}

fn find<'a>(road: &'a Road, backend: &str) -> Result<&'a Arc<Node>> {
    road.nodes.iter().find(|node| &**node.name() == backend).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, format!("there is no backend `{backend}`"))
    })
}

/// Refuses keys that are kept elsewhere, and ours.
pub(crate) fn check(road: &Road, raw: &RawOp) -> Result<()> {
    raw.keys.iter().try_for_each(|key| may_pass(road, raw, key))
}

fn may_pass(road: &Road, raw: &RawOp, key: &Key) -> Result<()> {
    if key.is_reserved() || key.as_bytes().starts_with(OWN) {
        let text = "keys that begin with mainstay: are Mainstay's own; choose another beginning";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let route = road.table.of(key);
    let name = || {
        String::from_utf8_lossy(raw.words.first().map_or(&b""[..], |word| word))
            .to_ascii_uppercase()
    };
    let refused = |why: &str| {
        let text = format!(
            "{} is passed through to `{}`, but keys of route `{}` {why}: give the prefix of such keys a route of its own \
             with passthrough = \"{}\"",
            name(),
            raw.backend,
            route.label,
            raw.backend
        );
        Err(Error::new(ErrorKind::InvalidArgument, text))
    };
    match (&route.shape, route.raw) {
        (_, Some(id)) if *road.nodes[id].name() != raw.backend => {
            refused("are passed to another backend")
        }
        (_, Some(_)) => Ok(()),
        (Shape::Record { .. }, None) => refused("are kept in a record"),
        (Shape::Failover { .. }, None) => Ok(()),
    }
}
