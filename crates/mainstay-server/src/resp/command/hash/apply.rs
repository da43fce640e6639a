//! What a command on a hash answers and changes. Pure.
//! It must not know where the hash stands.

use bytes::Bytes;
use mainstay::{
    ErrorKind,
    backend::semantics::{add_float, add_integer, format_float},
    hash::{Fields, Hash},
};

use super::{Read, Write};
use crate::resp::{error::Failure, glob, reply::Output};

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Answer {
    Ok,
    Integer(i64),
    Value(Option<Bytes>),
    Values(Vec<Option<Bytes>>),
    List(Vec<Bytes>),
    Pairs(Vec<(Bytes, Bytes)>),
    /// The only page of a scan.
    Page(Vec<Bytes>),
}

impl Answer {
    /// Bytes of the fields and values in it.
    pub(in crate::resp) fn bytes(&self) -> usize {
        match self {
            Self::Ok | Self::Integer(_) | Self::Value(None) => 0,
            Self::Value(Some(value)) => value.len(),
            Self::Values(values) => values.iter().flatten().map(Bytes::len).sum(),
            Self::List(all) | Self::Page(all) => all.iter().map(Bytes::len).sum(),
            Self::Pairs(pairs) => {
                pairs.iter().map(|(field, value)| field.len() + value.len()).sum()
            }
        }
    }

    /// Writes it.
    pub(in crate::resp) fn encode(self, out: &mut Output) {
        let list = |values: Vec<Bytes>, out: &mut Output| {
            out.array(values.len());
            values.into_iter().for_each(|value| out.bulk_shared(value));
        };
        match self {
            Self::Ok => out.ok(),
            Self::Integer(number) => out.integer(number),
            Self::Value(value) => out.optional(value),
            Self::Values(values) => {
                out.array(values.len());
                values.into_iter().for_each(|value| out.optional(value));
            }
            Self::List(values) => list(values, out),
            Self::Pairs(pairs) => {
                out.map(pairs.len());
                for (field, value) in pairs {
                    out.bulk_shared(field);
                    out.bulk_shared(value);
                }
            }
            Self::Page(values) => {
                out.array(2);
                out.bulk(b"0");
                list(values, out);
            }
        }
    }
}

fn count(count: usize) -> Answer {
    Answer::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Answers a question from a value; `None`: there is no such key.
///
/// # Errors
/// WRONGTYPE for a value that is no hash.
pub(in crate::resp) fn read(value: Option<&Bytes>, read: &Read) -> Result<Answer, Failure> {
    let fields = || value.map(Fields::of).transpose().map(|fields| fields.into_iter().flatten());
    // Of one field: without a map of all.
    let find = |wanted: &Bytes| {
        for pair in fields()? {
            let (field, value) = pair?;
            if field == *wanted {
                return Ok(Some(value));
            }
        }
        Ok::<_, mainstay::Error>(None)
    };
    Ok(match read {
        Read::Value(field) => Answer::Value(find(field)?),
        Read::Exists(field) => Answer::Integer(i64::from(find(field)?.is_some())),
        Read::Length(field) => count(find(field)?.map_or(0, |value| value.len())),
        Read::Count => count(fields()?.count()),
        Read::Values(wanted) => {
            let hash = value.map(Hash::read).transpose()?.unwrap_or_default();
            Answer::Values(wanted.iter().map(|field| hash.0.get(field).cloned()).collect())
        }
        Read::All => Answer::Pairs(fields()?.collect::<Result<_, _>>()?),
        Read::Fields => {
            Answer::List(fields()?.map(|pair| Ok(pair?.0)).collect::<mainstay::Result<_>>()?)
        }
        Read::AllValues => {
            Answer::List(fields()?.map(|pair| Ok(pair?.1)).collect::<mainstay::Result<_>>()?)
        }
        Read::Scan { pattern, values } => {
            let mut page = Vec::new();
            for pair in fields()? {
                let (field, value) = pair?;
                if pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, &field)) {
                    page.push(field);
                    page.extend(values.then_some(value));
                }
            }
            Answer::Page(page)
        }
    })
}

/// Changes a hash, unless it fails.
///
/// # Errors
/// Redis's words for a field that is no number.
pub(in crate::resp) fn write(hash: &mut Hash, write: &Write) -> Result<Answer, Failure> {
    Ok(match write {
        Write::Set { pairs, says_ok } => {
            let mut added = 0;
            for (field, value) in pairs {
                added += usize::from(hash.0.insert(field.clone(), value.clone()).is_none());
            }
            if *says_ok { Answer::Ok } else { count(added) }
        }
        Write::SetAbsent(field, value) => {
            let absent = !hash.0.contains_key(field);
            if absent {
                hash.0.insert(field.clone(), value.clone());
            }
            Answer::Integer(i64::from(absent))
        }
        Write::Delete(fields) => {
            count(fields.iter().filter(|field| hash.0.remove(*field).is_some()).count())
        }
        Write::Add(field, by) => {
            let present = hash.0.get(field).map(|value| &**value);
            let sum = add_integer(present, *by).map_err(|error| match error.kind() {
                ErrorKind::NotInteger => Failure::fixed("ERR hash value is not an integer"),
                _ => error.into(),
            })?;
            hash.0.insert(field.clone(), Bytes::from(sum.to_string()));
            Answer::Integer(sum)
        }
        Write::AddFloat(field, by) => {
            let present = hash.0.get(field).map(|value| &**value);
            let sum = add_float(present, *by).map_err(|error| match error.kind() {
                ErrorKind::NotFloat => Failure::fixed("ERR hash value is not a float"),
                _ => error.into(),
            })?;
            let text = Bytes::from(format_float(sum));
            hash.0.insert(field.clone(), text.clone());
            Answer::Value(Some(text))
        }
    })
}
