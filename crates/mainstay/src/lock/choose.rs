//! Which mode the configuration asks for, and which backends grant in it.
//! It must not ask any backend.

use std::sync::Arc;

use super::{
    Parts,
    modes::{Mode, failover::Failover, quorum::Quorum, single::Single},
};
use crate::{
    backend::{Durability, Scope},
    config::LockModeConfig,
    error::{Error, ErrorKind, Result},
    node::Node,
};

/// The mode; `None`: no backend can grant.
///
/// # Errors
/// `InvalidArgument` when the named backends cannot.
pub(super) fn mode(parts: &Parts) -> Result<Option<Mode>> {
    let named = parts.config.backends.iter().map(|name| find(parts, name));
    let named: Vec<usize> = named.collect::<Result<_>>()?;
    let one = |fits: fn(&Node) -> bool, what: &str| match named.first() {
        Some(id) if fits(&parts.nodes[*id]) => Ok(*id),
        Some(id) => Err(unfit(&parts.nodes[*id], what)),
        None => first(parts, fits).ok_or_else(|| invalid(&format!("there is no {what}"))),
    };
    Ok(Some(match parts.config.mode {
        LockModeConfig::Auto => {
            let order = [is_record, is_redis, is_local];
            let Some(id) = order.into_iter().find_map(|fits| first(parts, fits)) else {
                return Ok(None);
            };
            Mode::Single(Single::of(&parts.nodes[id]))
        }
        LockModeConfig::Record => Mode::Single(Single::of(
            &parts.nodes[one(is_record, "shared database that grants locks")?],
        )),
        LockModeConfig::Redis => {
            Mode::Single(Single::of(&parts.nodes[one(is_redis, "Redis that grants locks")?]))
        }
        LockModeConfig::Local => {
            Mode::Single(Single::of(&parts.nodes[one(is_local, "backend of this host alone")?]))
        }
        LockModeConfig::Quorum => {
            if let Some(id) = named.iter().find(|id| !is_shared(&parts.nodes[**id])) {
                return Err(unfit(&parts.nodes[*id], "shared backend that grants locks"));
            }
            Mode::Quorum(Quorum::new(named))
        }
        LockModeConfig::Failover => {
            let [fast, arbiter] = named[..] else {
                return Err(invalid("`failover` needs two backends"));
            };
            if !is_shared(&parts.nodes[fast]) {
                return Err(unfit(&parts.nodes[fast], "shared backend that grants locks"));
            }
            if !is_record(&parts.nodes[arbiter]) {
                return Err(unfit(&parts.nodes[arbiter], "shared database that arbitrates"));
            }
            Mode::Failover(Failover::new(fast, arbiter))
        }
    }))
}

fn find(parts: &Parts, name: &str) -> Result<usize> {
    let found = parts.nodes.iter().position(|node| &**node.name() == name);
    found.ok_or_else(|| invalid(&format!("names `{name}`, which is not a backend")))
}

/// One named `db` before others, as with the default route.
fn first(parts: &Parts, fits: fn(&Node) -> bool) -> Option<usize> {
    let fitting = parts.nodes.iter().filter(|node| fits(node));
    fitting.min_by_key(|node| (&**node.name() != "db", local_rank(node), node.id())).map(|n| n.id())
}

/// A file that all processes of this host see before this process's memory.
fn local_rank(node: &Arc<Node>) -> u8 {
    u8::from(node.capabilities().scope == Scope::Process)
}

fn is_shared(node: &Node) -> bool {
    node.capabilities().locks && node.capabilities().scope == Scope::Shared
}

fn is_record(node: &Node) -> bool {
    let durable = node.capabilities().durability >= Durability::Crash;
    is_shared(node) && durable && node.capabilities().control
}

fn is_redis(node: &Node) -> bool {
    is_shared(node) && !is_record(node)
}

fn is_local(node: &Node) -> bool {
    node.capabilities().locks && node.capabilities().scope != Scope::Shared
}

fn unfit(node: &Node, wanted: &str) -> Error {
    invalid(&format!("`{}` is not a {wanted}", node.name()))
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("locks.backends: {problem}"))
}
