//! Walks over the keys: pages with a cursor of our own, and counts.
//! It must not know deadlines, nor when connections are made and given up.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hasher},
};

use bytes::Bytes;
use redis::Value;

use super::{
    PROBE_KEY, classify,
    client::{Client, Node},
    locks, reply,
};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
    reply::{Page, Reply},
};

#[cfg(test)]
mod tests;

/// Commands for one page at most: where few keys match, a page is not the whole database.
const STEPS_MAX: usize = 16;

/// Keys that one step of a count looks at.
const COUNT_STEP: usize = 1000;

/// Where a walk stands: on which node (by its first slot), of which run (a cursor means nothing to another), at which
/// cursor of that server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    slot: u16,
    run: String,
    at: u64,
}

impl Cursor {
    fn encode(&self) -> Bytes {
        Bytes::from(format!("{}.{}.{}", self.slot, self.at, self.run))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).ok();
        let cursor = text.and_then(|text| {
            let mut parts = text.splitn(3, '.');
            let slot = parts.next()?.parse().ok()?;
            let at = parts.next()?.parse().ok()?;
            Some(Self { slot, at, run: parts.next()?.to_owned() })
        });
        cursor.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "invalid cursor"))
    }
}

/// One page of the keys under a prefix.
pub(super) async fn page(
    client: &Client,
    prefix: &[u8],
    cursor: Option<&Bytes>,
    limit: usize,
) -> Result<Reply> {
    let pattern = pattern(prefix);
    let cursor = cursor.map(|bytes| Cursor::decode(bytes)).transpose()?;
    let (mut index, mut at) = resume(client, cursor.as_ref());
    let mut page = Page::default();
    for _ in 0..STEPS_MAX {
        let Some(node) = servers(client).get(index) else { return Ok(Reply::Page(page)) };
        let (next, keys) = step(node, at, &pattern, limit.max(1)).await?;
        page.keys.extend(keys);
        at = next;
        if at == 0 {
            index += 1;
        }
        if page.keys.len() >= limit {
            break;
        }
    }
    page.next = servers(client).get(index).map(|node| {
        Cursor { slot: first_slot(client, index), run: node.facts.run_id.clone(), at }.encode()
    });
    Ok(Reply::Page(page))
}

/// The node and its cursor to go on with. On another run of a server its part is begun again: better twice than never.
fn resume(client: &Client, cursor: Option<&Cursor>) -> (usize, u64) {
    let Some(cursor) = cursor else { return (0, 0) };
    let index = client.slots().and_then(|slots| slots.node_of(cursor.slot)).unwrap_or(0);
    let same_run = client.nodes().get(index).is_some_and(|node| node.facts.run_id == cursor.run);
    (index, if same_run { cursor.at } else { 0 })
}

fn first_slot(client: &Client, index: usize) -> u16 {
    let Some(slots) = client.slots() else { return 0 };
    (0..super::cluster::SLOTS).find(|slot| slots.node_of(*slot) == Some(index)).unwrap_or(0)
}

/// How many keys are under a prefix; of the whole database the server keeps count.
pub(super) async fn count(client: &Client, prefix: &[u8]) -> Result<Reply> {
    let mut total = 0;
    for node in servers(client) {
        total += if prefix.is_empty() { size(node).await? } else { walk(node, prefix).await? };
    }
    Ok(Reply::Integer(total))
}

/// Each server once.
fn servers(client: &Client) -> &[Node] {
    let nodes = client.nodes();
    if client.slots().is_some() { nodes } else { &nodes[..nodes.len().min(1)] }
}

async fn size(node: &Node) -> Result<i64> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("DBSIZE").cmd("EXISTS").arg(PROBE_KEY);
    let mut replies = node.send_all(&pipeline).await?.into_iter().map(classify::reply);
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil)).and_then(reply::integer);
    let all = next()?;
    // On a cluster the key of the probe may belong to another node, which answers MOVED.
    let ours = next().unwrap_or(0);
    Ok(all - ours)
}

/// Counts by looking at every key. A walk may name a key twice, so hashes are remembered.
async fn walk(node: &Node, prefix: &[u8]) -> Result<i64> {
    let pattern = pattern(prefix);
    let mut seen = BTreeSet::new();
    let mut at = 0;
    loop {
        let (next, keys) = step(node, at, &pattern, COUNT_STEP).await?;
        for key in keys {
            let mut hasher = DefaultHasher::new();
            hasher.write(key.as_bytes());
            seen.insert(hasher.finish());
        }
        if next == 0 {
            return Ok(i64::try_from(seen.len()).unwrap_or(i64::MAX));
        }
        at = next;
    }
}

async fn step(node: &Node, at: u64, pattern: &[u8], count: usize) -> Result<(u64, Vec<Key>)> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(at);
    if pattern != b"*" {
        scan.arg("MATCH").arg(pattern);
    }
    scan.arg("COUNT").arg(count);
    let reply = classify::reply(node.send(&scan).await?)?;
    let Value::Array(mut parts) = reply else { return Err(node.out_of_step(&reply)) };
    let (Some(Value::Array(keys)), Some(Value::BulkString(next))) = (parts.pop(), parts.pop())
    else {
        return Err(node.out_of_step(&Value::Array(Vec::new())));
    };
    let next = std::str::from_utf8(&next).ok().and_then(|text| text.parse().ok());
    let next = next.ok_or_else(|| node.out_of_step(&Value::Nil))?;
    let keys: Result<Vec<Bytes>> = keys.into_iter().map(reply::bytes).collect();
    let keys = keys?
        .into_iter()
        .filter(|key| key != PROBE_KEY.as_bytes() && !key.starts_with(locks::PREFIX.as_bytes()));
    Ok((next, keys.map(Key::from).collect()))
}

/// The glob that matches exactly the keys with this prefix.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 8);
    for byte in prefix {
        if b"*?[]\\^-".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}
