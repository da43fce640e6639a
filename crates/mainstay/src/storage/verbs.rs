//! The verbs: typed calls over `execute`.
//! It must not do more than build an `Op` and take the reply apart.

use bytes::Bytes;

use super::{Answer, CallOptions, Storage};
use crate::{
    entry::{Entry, Key, Ttl, Version},
    error::{Error, ErrorKind, Result},
    op::{Condition, ExpireCondition, Op, TtlChange},
    reply::{Outcome, Page, Reply, Written},
};

/// How a value is set.
#[derive(Clone, Debug)]
pub struct SetOptions {
    /// The new expiry. Default: none (or the route's).
    pub ttl: TtlChange,
    /// When it is applied. Default: always.
    pub condition: Condition,
    /// Whether the previous value is wanted. Default: no.
    pub want_previous: bool,
    /// Deadline.
    pub call: CallOptions,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            ttl: TtlChange::Clear,
            condition: Condition::Always,
            want_previous: false,
            call: CallOptions::default(),
        }
    }
}

impl Answer {
    /// A record with where it came from.
    pub(super) fn into_entry(self) -> Result<Option<Entry>> {
        let Answer { reply, source, stale, worth, age } = self;
        let record = reply.into_record()?;
        Ok(record.map(|record| Entry {
            value: record.value,
            version: record.version,
            source,
            stale,
            freshness: worth.freshness(),
            age,
            ttl: record.ttl,
        }))
    }
}

impl Storage {
    /// The value under a key, with where it came from.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn get(&self, key: impl Into<Key>) -> Result<Option<Entry>> {
        let op = Op::Get { key: key.into(), with_ttl: true };
        self.execute(&op, CallOptions::default()).await?.into_entry()
    }

    /// The values under many keys, in their order.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>> {
        let records = self.reply(&Op::GetMany { keys }).await?.into_records()?;
        Ok(records.into_iter().map(|record| record.map(|record| record.value)).collect())
    }

    /// Sets a value without an expiry (or with the route's).
    ///
    /// # Errors
    /// As `execute`.
    pub async fn set(&self, key: impl Into<Key>, value: impl Into<Bytes>) -> Result<Written> {
        self.set_with(key, value, SetOptions::default()).await
    }

    /// Sets a value on a condition, with an expiry, or returning the previous one.
    ///
    /// # Errors
    /// As `execute`. A condition that does not hold is no error: `Written::applied` says so.
    pub async fn set_with(
        &self,
        key: impl Into<Key>,
        value: impl Into<Bytes>,
        options: SetOptions,
    ) -> Result<Written> {
        let SetOptions { ttl, condition, want_previous, call } = options;
        let op = Op::Set { key: key.into(), value: value.into(), ttl, condition, want_previous };
        self.execute(&op, call).await?.reply.into_written()
    }

    /// Compare-and-set: sets the value only when the key still has this version.
    ///
    /// # Errors
    /// As `execute`; `Unsupported` where the backend gives no versions.
    pub async fn compare_and_set(
        &self,
        key: impl Into<Key>,
        expected: Version,
        value: impl Into<Bytes>,
    ) -> Result<Written> {
        let options = SetOptions {
            condition: Condition::VersionIs(expected),
            ttl: TtlChange::Keep,
            ..SetOptions::default()
        };
        self.set_with(key, value, options).await
    }

    /// Deletes a key; true when there was one.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn delete(&self, key: impl Into<Key>) -> Result<bool> {
        let op = Op::Delete { key: key.into(), condition: Condition::Always, want_previous: false };
        Ok(self.reply(&op).await?.into_written()?.applied)
    }

    /// Deletes many keys; how many there were.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn delete_many(&self, keys: Vec<Key>) -> Result<i64> {
        self.reply(&Op::DeleteMany { keys }).await?.into_integer()
    }

    /// Adds to a counter; a missing key counts as 0. The new value.
    ///
    /// # Errors
    /// As `execute`. After `Effect::Unknown` it may have been applied: it is never repeated blindly.
    pub async fn increment(&self, key: impl Into<Key>, by: i64) -> Result<i64> {
        let written = self.reply(&Op::Increment { key: key.into(), by }).await?.into_written()?;
        match written.outcome {
            Outcome::Integer(value) => Ok(value),
            Outcome::None | Outcome::Text(_) => {
                Err(Error::new(ErrorKind::Internal, "an increment gave no number"))
            }
        }
    }

    /// Changes when a key expires; false when there is no such key.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn expire(&self, key: impl Into<Key>, ttl: TtlChange) -> Result<bool> {
        let op = Op::Expire { key: key.into(), ttl, condition: ExpireCondition::Always };
        Ok(self.reply(&op).await?.into_written()?.applied)
    }

    /// How long a key lives yet.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn time_to_live(&self, key: impl Into<Key>) -> Result<Ttl> {
        self.reply(&Op::TimeToLive { key: key.into() }).await?.into_ttl()
    }

    /// A page of the keys under a prefix; go on with `Page::next`.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn scan(
        &self,
        prefix: impl Into<Bytes>,
        cursor: Option<Bytes>,
        limit: usize,
    ) -> Result<Page> {
        self.reply(&Op::Scan { prefix: prefix.into(), cursor, limit }).await?.into_page()
    }

    /// How many keys there are under a prefix.
    ///
    /// # Errors
    /// As `execute`.
    pub async fn count(&self, prefix: impl Into<Bytes>) -> Result<i64> {
        self.reply(&Op::Count { prefix: prefix.into() }).await?.into_integer()
    }

    async fn reply(&self, op: &Op) -> Result<Reply> {
        Ok(self.execute(op, CallOptions::default()).await?.reply)
    }
}
