//! Locks in Redis: the keys of each, and the script that is `semantics::locks` again.
//! It must not know the modes, nor what a lock in Redis is worth.

use std::time::Duration;

use redis::Value;

use super::{client::Client, reply, script::lua};
use crate::{
    backend::semantics::control::micros,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Counting, Ground, LockOp, LockPage, LockRow, Member},
    reply::{Locked, Reply},
};

/// What the keys of locks begin with; scans and counts of users' keys leave them out where they are asked for all.
pub(super) const PREFIX: &str = "mainstay:lock:";
const COUNTERS: &str = "mainstay:lock:n:";
const LEASES: &str = "mainstay:lock:l:";
const WAITERS: &str = "mainstay:lock:w:";
const FENCES: &str = "mainstay:lock:f:";
const FLEET: &str = "mainstay:lock:fleet";

lua!(
    /// See the file.
    LOCKS,
    include_str!("locks/locks.lua")
);
lua!(
    /// See the file.
    LIST,
    include_str!("locks/list.lua")
);

/// The keys of one lock or fence, all in one slot.
struct Keys {
    lock: Key,
    counter: Key,
    waiter: Key,
    fleet: Option<Key>,
}

impl Keys {
    fn of(client: &Client, name: &Key, fence: bool) -> Self {
        // A tag of our own: a name may hold braces.
        let rest =
            [format!("{{{:016x}}}:", name.stable_hash()).as_bytes(), name.as_bytes()].concat();
        let key = |prefix: &str| Key::new([prefix.as_bytes(), &rest].concat());
        let fleet = client.slots().is_none().then(|| Key::from(FLEET));
        let lock = key(if fence { FENCES } else { LEASES });
        Self { lock, counter: key(COUNTERS), waiter: key(WAITERS), fleet }
    }

    fn call(&self) -> redis::Cmd {
        let own = [&self.lock, &self.counter, &self.waiter];
        LOCKS.on(&own.into_iter().chain(&self.fleet).collect::<Vec<&Key>>())
    }
}

/// Performs an operation on locks.
///
/// # Errors
/// `Unsupported` for what needs one server, on a cluster; those of the server and the connection.
pub(super) async fn perform(client: &Client, op: &LockOp) -> Result<Reply> {
    let locked = match op {
        LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter } => {
            let keys = Keys::of(client, name, false);
            let mut call = keys.call();
            call.arg("acquire")
                .arg(&holder.to_be_bytes()[..])
                .arg(millis(*ttl))
                .arg(word(client, ground)?);
            call.arg(u8::from(*counting == Counting::Here)).arg(note);
            let process = waiter.map(|waiter| format!("{:032x}", waiter.process));
            let waited = waiter.map_or(0, |waiter| micros(waiter.waited));
            call.arg(process.unwrap_or_default()).arg(waited);
            run(client, &keys.lock, &call).await?
        }
        LockOp::Renew { name, holder, ttl, ground } => {
            let keys = Keys::of(client, name, false);
            let mut call = keys.call();
            call.arg("renew")
                .arg(&holder.to_be_bytes()[..])
                .arg(millis(*ttl))
                .arg(word(client, ground)?);
            run(client, &keys.lock, &call).await?
        }
        LockOp::Commit { name, holder, token } => {
            let keys = Keys::of(client, name, false);
            let mut call = keys.call();
            call.arg("commit").arg(&holder.to_be_bytes()[..]).arg(*token);
            run(client, &keys.lock, &call).await?
        }
        LockOp::Release { name, holder } => {
            let keys = Keys::of(client, name, false);
            let mut call = keys.call();
            call.arg("release").arg(&holder.to_be_bytes()[..]);
            call.arg(LockOp::FREED).arg(LockOp::freed(name));
            run(client, &keys.lock, &call).await?
        }
        LockOp::Fence { resource, token } => {
            let keys = Keys::of(client, resource, true);
            let mut call = keys.call();
            call.arg("fence").arg(*token);
            run(client, &keys.lock, &call).await?
        }
        LockOp::List { after, limit } => {
            return list(client, after.as_ref(), *limit).await.map(Reply::Locks);
        }
        LockOp::Member { id } => return member(client, *id).await.map(Reply::Member),
        LockOp::Admit { identity, floor } => {
            let fleet = fleet(client)?;
            let mut call = LOCKS.on(&[&fleet; 4]);
            call.arg("admit").arg(identity).arg(*floor);
            run(client, &fleet, &call).await?
        }
        LockOp::Authority | LockOp::Move { .. } => {
            return Err(unsupported("the authority stands in a database, not in Redis"));
        }
    };
    Ok(Reply::Lock(locked))
}

/// The key whose connection an operation uses first.
pub(super) fn first_key(op: &LockOp) -> Option<&Key> {
    match op {
        LockOp::Acquire { name, .. }
        | LockOp::Commit { name, .. }
        | LockOp::Renew { name, .. }
        | LockOp::Release { name, .. } => Some(name),
        LockOp::Fence { resource, .. } => Some(resource),
        LockOp::List { .. }
        | LockOp::Member { .. }
        | LockOp::Admit { .. }
        | LockOp::Authority
        | LockOp::Move { .. } => None,
    }
}

async fn run(client: &Client, key: &Key, call: &redis::Cmd) -> Result<Locked> {
    let [word, token, now, left, note] = parts(client.run(key, &LOCKS, call).await?)?;
    let token = natural(token)?;
    match &reply::bytes(word)?[..] {
        b"granted" => Ok(Locked::Granted { token, now_us: reply::integer(now)? }),
        b"held" => {
            let note = String::from_utf8_lossy(&reply::bytes(note)?).into_owned();
            Ok(Locked::Held { left: Duration::from_micros(natural(left)?), note, token })
        }
        b"gone" => Ok(Locked::Gone),
        b"fenced" => Ok(Locked::Fenced(token)),
        _ => Ok(Locked::Refused),
    }
}

async fn member(client: &Client, id: u128) -> Result<Member> {
    let fleet = fleet(client)?;
    let call = LOCKS.on(&[&fleet; 4]).arg("member").arg(format!("{id:032x}")).take();
    let [identity, admitted, known_us, counter] = parts(client.run(&fleet, &LOCKS, &call).await?)?;
    Ok(Member {
        identity: String::from_utf8_lossy(&reply::bytes(identity)?).into_owned(),
        admitted: reply::integer(admitted)? == 1,
        known_for: Duration::from_micros(natural(known_us)?),
        counter: natural(counter)?,
    })
}

async fn list(client: &Client, after: Option<&Key>, limit: usize) -> Result<LockPage> {
    let key = fleet(client)?;
    let cursor = after.map_or(&b"0"[..], Key::as_bytes);
    let mut call = LIST.on(&[]);
    call.arg(cursor).arg(limit.clamp(1, 10_000)).arg(COUNTERS).arg(LEASES);
    let [next, rows] = parts(client.run(&key, &LIST, &call).await?)?;
    let next = reply::bytes(next)?;
    let Value::Array(rows) = rows else { return Err(odd()) };
    let rows = rows.chunks_exact(5).map(|row| {
        let [name, token, left, note, holder] = row else { return Err(odd()) };
        let left = reply::integer(left.clone())?;
        Ok(LockRow {
            name: Key::new(reply::bytes(name.clone())?),
            token: natural(token.clone())?,
            left: u64::try_from(left).ok().map(Duration::from_millis),
            note: String::from_utf8_lossy(&reply::bytes(note.clone())?).into_owned(),
            holder: <[u8; 16]>::try_from(&reply::bytes(holder.clone())?[..])
                .ok()
                .map(u128::from_be_bytes),
        })
    });
    let rows = rows.collect::<Result<_>>()?;
    Ok(LockPage { rows, next: Some(next).filter(|next| &next[..] != b"0").map(Key::new) })
}

/// What must hold besides, as the script reads it.
fn word<'a>(client: &Client, ground: &'a Ground) -> Result<&'a str> {
    if *ground != Ground::Free {
        fleet(client)?;
    }
    match ground {
        Ground::Free => Ok(""),
        Ground::Member => Ok("+"),
        Ground::Server(identity) => Ok(identity),
        Ground::Epoch(_) => Err(unsupported("the authority stands in a database, not in Redis")),
    }
}

fn fleet(client: &Client) -> Result<Key> {
    match client.slots() {
        None => Ok(Key::from(FLEET)),
        Some(_) => Err(unsupported("a Redis cluster is many servers: this needs one")),
    }
}

fn parts<const N: usize>(value: Value) -> Result<[Value; N]> {
    match value {
        Value::Array(values) => values.try_into().map_err(|_| odd()),
        _ => Err(odd()),
    }
}

fn natural(value: Value) -> Result<u64> {
    u64::try_from(reply::integer(value)?).map_err(|_| odd())
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(1 << 52).clamp(1, 1 << 52)
}

fn unsupported(text: &str) -> Error {
    Error::new(ErrorKind::Unsupported, text)
}

fn odd() -> Error {
    Error::new(ErrorKind::Corrupt, "a script about locks answered something else")
}
