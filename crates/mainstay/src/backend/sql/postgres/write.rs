//! Writes that do not depend on what is stored: one statement.
//! It must not know conditions or relative writes; those are `locked`. Nor what guards them.

use std::pin::pin;

use tokio_postgres::types::Type;

use super::{
    super::common::{Expiry, Intent, check_size, last_of_each, version, written},
    locked::names_of,
    pool::{Connections, Lease},
    read::column,
    statement,
    transaction::{Answer, Statement, on},
};
use crate::{
    backend::semantics::Bounds,
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    op::{Condition, Op},
    reply::{Reply, Written},
};

/// A write of this kind, its arguments ready.
pub(super) enum Unconditional<'a> {
    Set { key: &'a [u8], value: &'a [u8], expiry: Expiry },
    SetMany { keys: Vec<&'a [u8]>, values: Vec<&'a [u8]>, expiry: Expiry },
    Delete { key: &'a [u8] },
    DeleteMany { keys: Vec<&'a [u8]> },
}

/// Performs a write if it is of this kind; `None`: it is not.
///
/// # Errors
/// Those of the server and the connection, and of the caller's arguments.
pub(super) async fn run(
    all: &Connections,
    op: &Op,
    value_max: usize,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    let Some(write) = Unconditional::of(op, value_max)? else { return Ok(None) };
    if let Some(reply) = write.of_nothing() {
        return Ok(Some(reply));
    }
    let alone = pin!(async { write.perform(all.lease(deadline).await?, deadline).await.map(Some) });
    all.perform(op, None, Bounds { value_max }, alone, deadline).await
}

impl<'a> Unconditional<'a> {
    /// `None`: it is of another kind.
    ///
    /// # Errors
    /// `TooLarge`, `InvalidArgument`.
    pub(super) fn of(op: &'a Op, value_max: usize) -> Result<Option<Self>> {
        Ok(match op {
            Op::Set { key, value, ttl, condition: Condition::Always, want_previous: false } => {
                check_size(value.len(), value_max)?;
                let set = |expiry| Self::Set { key: key.as_bytes(), value, expiry };
                Expiry::of(*ttl)?.map(set)
            }
            Op::SetMany { entries, ttl, all_absent: false } => {
                for (_, value) in entries {
                    check_size(value.len(), value_max)?;
                }
                let entries = last_of_each(entries).into_iter();
                let (keys, values) = entries.map(|(key, value)| (key.as_bytes(), &**value)).unzip();
                Expiry::of(*ttl)?.map(|expiry| Self::SetMany { keys, values, expiry })
            }
            Op::Delete { key, condition: Condition::Always, want_previous: false } => {
                Some(Self::Delete { key: key.as_bytes() })
            }
            Op::DeleteMany { keys } => Some(Self::DeleteMany { keys: names_of(keys) }),
            _ => None,
        })
    }

    /// The reply to a write of no keys.
    fn of_nothing(&self) -> Option<Reply> {
        match self {
            Self::SetMany { keys, .. } if keys.is_empty() => Some(all_written()),
            Self::DeleteMany { keys } if keys.is_empty() => Some(Reply::Integer(0)),
            Self::SetMany { .. }
            | Self::DeleteMany { .. }
            | Self::Set { .. }
            | Self::Delete { .. } => None,
        }
    }

    /// What performs it.
    pub(super) fn statement(&'a self) -> Statement<'a> {
        match self {
            Self::Set { key, value, expiry } => Statement {
                sql: statement::SET,
                arguments: vec![
                    (key, Type::BYTEA),
                    (value, Type::BYTEA),
                    (&expiry.after, Type::INT8),
                    (&expiry.at, Type::INT8),
                ],
            },
            Self::SetMany { keys, values, expiry } => Statement {
                sql: statement::SET_MANY,
                arguments: vec![
                    (keys, Type::BYTEA_ARRAY),
                    (values, Type::BYTEA_ARRAY),
                    (&expiry.after, Type::INT8),
                    (&expiry.at, Type::INT8),
                ],
            },
            Self::Delete { key } => {
                Statement { sql: statement::DELETE, arguments: vec![(key, Type::BYTEA)] }
            }
            Self::DeleteMany { keys } => Statement {
                sql: statement::DELETE_MANY,
                arguments: vec![(keys, Type::BYTEA_ARRAY)],
            },
        }
    }

    /// Performs it on this connection.
    ///
    /// # Errors
    /// Those of the server and the connection.
    pub(super) async fn perform(&self, lease: Lease, deadline: Deadline) -> Result<Reply> {
        self.reply(&on(lease, &self.statement(), Intent::Write, deadline).await?)
    }

    /// What its answer means.
    ///
    /// # Errors
    /// `Misconfigured`, `Corrupt` when the tables are not those of this version.
    pub(super) fn reply(&self, answer: &Answer) -> Result<Reply> {
        let given = answer.rows.first();
        let given = given.map(|row| version(column(row, 0)?, column(row, 1)?)).transpose();
        match self {
            Self::Set { .. } => match given? {
                None => Err(Error::new(ErrorKind::Misconfigured, "the server skipped the write")),
                given => Ok(written(given)),
            },
            Self::Delete { .. } => Ok(written(given?)),
            Self::SetMany { .. } => Ok(all_written()),
            Self::DeleteMany { .. } => {
                Ok(Reply::Integer(i64::try_from(answer.changed).unwrap_or(i64::MAX)))
            }
        }
    }
}

fn all_written() -> Reply {
    Reply::Written(Written { applied: true, ..Written::default() })
}
