//! Commands that take more than one operation. They run alone on their connection; other connections may come between
//! their operations.
//! It must not know the protocol.

use bytes::Bytes;
use mainstay::{
    Answer, CallOptions, Error, ErrorKind, ExpireCondition, Key, Op, Result, Session, Storage, Ttl,
    TtlChange, hash, lock::Grant,
};

use super::locks::{self, LockCommand};

use crate::resp::{
    cursor::{Cursors, Place},
    glob,
    reply::Output,
};

/// Keys that KEYS lists at most.
const KEYS_MAX: usize = 1_000_000;

/// Pages of the storage that one SCAN looks at, at most.
const PAGES_MAX: usize = 64;

/// Keys of one operation of a long sequence.
const BATCH: usize = 1000;

/// What a command does, step by step.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Sequence {
    /// GETEX: the value, then its expiry.
    GetAndExpire { key: Key, ttl: TtlChange },
    /// EXPIRE XX LT: only where there is a later expiry.
    ExpireSooner { key: Key, ttl: TtlChange },
    /// COPY: 0 without a source.
    Copy { from: Key, to: Key, replace: bool },
    /// One page.
    /// `hashes`: only these, or only what is none.
    Scan {
        prefix: Bytes,
        cursor: Option<Bytes>,
        limit: usize,
        filter: Filter,
        hashes: Option<bool>,
    },
    /// All pages.
    Keys { filter: Filter },
    /// One key of the first page.
    AnyKey { choice: u64 },
    /// Deletes everything, page by page.
    Flush,
    /// A lock.
    Lock(LockCommand),
    /// Ends loaded values, one after the other.
    Invalidate(Vec<Invalidation>),
}

/// Which loaded values end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Invalidation {
    Key(Key),
    Prefix(Bytes),
    Tag(String),
}

/// Which keys of a page are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Filter {
    Everything,
    Nothing,
    /// Those under the literal prefix: there is nothing left to match.
    Prefix(Bytes),
    Pattern(Bytes),
}

impl Filter {
    /// The filter for a MATCH pattern.
    pub(in crate::resp) fn of(pattern: Option<Bytes>) -> Self {
        match pattern {
            None => Self::Everything,
            Some(pattern) if glob::is_prefix_only(&pattern) => {
                Self::Prefix(pattern.slice(..pattern.len() - 1))
            }
            Some(pattern) => Self::Pattern(pattern),
        }
    }

    /// What every wanted key begins with.
    pub(in crate::resp) fn prefix(&self) -> Bytes {
        match self {
            Self::Everything | Self::Nothing => Bytes::new(),
            Self::Prefix(prefix) => prefix.clone(),
            Self::Pattern(pattern) => Bytes::from(glob::literal_prefix(pattern)),
        }
    }

    fn wants(&self, key: &Key) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Prefix(prefix) => key.as_bytes().starts_with(prefix),
            Self::Pattern(pattern) => glob::matches(pattern, key.as_bytes()),
        }
    }
}

/// What a sequence answers.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Outcome {
    Value(Option<Bytes>),
    Applied(bool),
    Page {
        keys: Vec<Key>,
        next: Option<Place>,
    },
    Keys(Vec<Key>),
    /// `None`: somebody else holds it.
    Grant(Option<Grant>),
    Done,
}

/// For whom a sequence is performed.
#[derive(Clone, Copy)]
pub(in crate::resp) struct Caller<'a> {
    pub(in crate::resp) storage: &'a Storage,
    /// What the connection has seen.
    pub(in crate::resp) reads: &'a Session,
}

/// Performs a sequence.
pub(in crate::resp) async fn run(caller: Caller<'_>, sequence: Sequence) -> Result<Outcome> {
    match sequence {
        Sequence::GetAndExpire { key, ttl } => get_and_expire(caller, key, ttl).await,
        Sequence::ExpireSooner { key, ttl } => {
            let left = execute(caller, Op::TimeToLive { key: key.clone() }).await?;
            let has_one = matches!(left.reply.into_ttl()?, Ttl::Left(_));
            Ok(Outcome::Applied(has_one && expire(caller, key, ttl, ExpireCondition::Less).await?))
        }
        Sequence::Copy { from, to, replace } => {
            match execute(caller, Op::Move { from, to, keep_source: true, replace }).await {
                Ok(answer) => Ok(Outcome::Applied(answer.reply.into_written()?.applied)),
                Err(error) if error.kind() == ErrorKind::NoSuchKey => Ok(Outcome::Applied(false)),
                Err(error) => Err(error),
            }
        }
        Sequence::Scan { prefix, cursor, limit, filter, hashes } => {
            let page = scan(caller, prefix, cursor, limit, filter).await?;
            match hashes {
                Some(hashes) => Box::pin(of_type(caller, page, hashes)).await,
                None => Ok(page),
            }
        }
        Sequence::Keys { filter } => keys(caller, filter).await,
        Sequence::AnyKey { choice } => any_key(caller, choice).await,
        Sequence::Flush => flush(caller).await,
        Sequence::Invalidate(ends) => invalidate(caller, ends).await,
        Sequence::Lock(command) => locks::run(caller.storage, command).await,
    }
}

async fn invalidate(caller: Caller<'_>, ends: Vec<Invalidation>) -> Result<Outcome> {
    for end in ends {
        match end {
            Invalidation::Key(key) => caller.storage.invalidate(key).await?,
            Invalidation::Prefix(prefix) => caller.storage.invalidate_prefix(prefix).await?,
            Invalidation::Tag(tag) => caller.storage.invalidate_tag(tag).await?,
        }
    }
    Ok(Outcome::Done)
}

async fn execute(caller: Caller<'_>, op: Op) -> Result<Answer> {
    let options = CallOptions::of(caller.reads);
    caller.storage.execute(&op, options).await
}

async fn expire(
    caller: Caller<'_>,
    key: Key,
    ttl: TtlChange,
    condition: ExpireCondition,
) -> Result<bool> {
    let answer = execute(caller, Op::Expire { key, ttl, condition }).await?;
    Ok(answer.reply.into_written()?.applied)
}

async fn get_and_expire(caller: Caller<'_>, key: Key, ttl: TtlChange) -> Result<Outcome> {
    let answer = execute(caller, Op::Get { key: key.clone(), with_ttl: false }).await?;
    let record = answer.reply.into_record()?;
    if record.as_ref().is_some_and(|record| hash::is_hash(&record.value)) {
        return Err(hash::wrong_type());
    }
    if record.is_some() {
        expire(caller, key, ttl, ExpireCondition::Always).await?;
    }
    Ok(Outcome::Value(record.map(|record| record.value)))
}

async fn page(
    caller: Caller<'_>,
    prefix: &Bytes,
    cursor: Option<Bytes>,
    limit: usize,
) -> Result<mainstay::Page> {
    let op = Op::Scan { prefix: prefix.clone(), cursor, limit };
    execute(caller, op).await?.reply.into_page()
}

/// Goes on over empty and short pages, within bounds, so that a client need not.
async fn scan(
    caller: Caller<'_>,
    prefix: Bytes,
    mut cursor: Option<Bytes>,
    limit: usize,
    filter: Filter,
) -> Result<Outcome> {
    let (mut keys, mut seen) = (Vec::new(), 0);
    for _ in 0..PAGES_MAX {
        let page = page(caller, &prefix, cursor, limit - seen).await?;
        seen += page.keys.len();
        keys.extend(page.keys.into_iter().filter(|key| filter.wants(key)));
        cursor = page.next;
        if cursor.is_none() || seen >= limit {
            break;
        }
    }
    Ok(Outcome::Page { keys, next: cursor.map(|next| Place { prefix, next }) })
}

/// Of a page, the keys that hold a hash, or those that hold a string.
async fn of_type(caller: Caller<'_>, page: Outcome, hashes: bool) -> Result<Outcome> {
    let Outcome::Page { keys, next } = page else { return Ok(page) };
    let mut found = Vec::new();
    let end = i64::try_from(hash::MARK.len()).unwrap_or(0) - 1;
    for key in keys {
        let look = Op::GetRange { key: key.clone(), start: 0, end };
        match execute(caller, look).await.and_then(|answer| answer.reply.into_bytes()) {
            Ok(head) if hash::is_hash(&head) == hashes => found.push(key),
            Ok(_) => {}
            // Redis may hold more than Mainstay keeps.
            Err(error) if error.kind() == ErrorKind::WrongType => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::Page { keys: found, next })
}

async fn keys(caller: Caller<'_>, filter: Filter) -> Result<Outcome> {
    let prefix = filter.prefix();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(caller, &prefix, cursor, BATCH).await?;
        found.extend(page.keys.into_iter().filter(|key| filter.wants(key)));
        if found.len() > KEYS_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "KEYS found over a million keys: use SCAN",
            ));
        }
        cursor = page.next;
        if cursor.is_none() {
            // A scan may name a key twice.
            found.sort_unstable();
            found.dedup();
            return Ok(Outcome::Keys(found));
        }
    }
}

async fn any_key(caller: Caller<'_>, choice: u64) -> Result<Outcome> {
    let mut cursor = None;
    loop {
        let page = page(caller, &Bytes::new(), cursor, 64).await?;
        if !page.keys.is_empty() {
            let nth = usize::try_from(choice % page.keys.len() as u64).unwrap_or(0);
            return Ok(Outcome::Value(page.keys.get(nth).map(|key| key.bytes().clone())));
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(Outcome::Value(None));
        }
    }
}

async fn flush(caller: Caller<'_>) -> Result<Outcome> {
    let (prefix, mut cursor) = (Bytes::new(), None);
    loop {
        let page = page(caller, &prefix, cursor, BATCH).await?;
        if !page.keys.is_empty() {
            execute(caller, Op::DeleteMany { keys: page.keys }).await?.reply.into_integer()?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(Outcome::Done);
        }
    }
}

impl Outcome {
    /// Writes the answer.
    pub(in crate::resp) fn encode(self, cursors: &Cursors, out: &mut Output) {
        match self {
            Self::Value(value) => out.optional(value),
            Self::Applied(applied) => out.integer(i64::from(applied)),
            Self::Page { keys, next } => {
                let cursor = next.map_or(0, |place| cursors.issue(place));
                out.array(2);
                out.bulk(cursor.to_string().as_bytes());
                write_keys(&keys, out);
            }
            Self::Keys(keys) => write_keys(&keys, out),
            Self::Grant(None) => out.optional(None),
            Self::Grant(Some(grant)) => write_grant(&grant, out),
            Self::Done => out.ok(),
        }
    }
}

fn write_keys(keys: &[Key], out: &mut Output) {
    out.array(keys.len());
    for key in keys {
        out.bulk(key.as_bytes());
    }
}

/// Holder, token, guarantee, and the milliseconds for which it may be believed.
fn write_grant(grant: &Grant, out: &mut Output) {
    out.array(4);
    out.bulk(format!("{:032x}", grant.claim.holder).as_bytes());
    out.integer(i64::try_from(grant.claim.token).unwrap_or(i64::MAX));
    out.bulk(grant.guarantee.as_str().as_bytes());
    out.integer(i64::try_from(grant.left.as_millis()).unwrap_or(i64::MAX));
}
