//! What no backend should be asked: keys and values over their limits.
//! It must not know backends.

use super::Storage;
use crate::{
    config::LimitsConfig,
    entry::Key,
    error::{Error, ErrorKind, Result},
    load,
    op::Op,
};

/// A key under which something may be loaded: shorter than others, for what stands before it.
pub(super) fn loadable(storage: &Storage, key: &Key) -> Result<()> {
    if storage.0.road.tasks.is_closing() {
        return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
    }
    let max = storage.0.config.limits.key_max.min(Key::LEN_MAX - load::OWN_LEN);
    let length = key.as_bytes().len();
    if length > max {
        let message =
            format!("a key of {length} bytes is over the limit of {max} for loaded values");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    not_reserved(key.is_reserved())
}

fn not_reserved(reserved: bool) -> Result<()> {
    if reserved {
        let message = "keys that begin with \\0mainstay: are reserved; choose another beginning";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    Ok(())
}

pub(super) fn check(op: &Op, limits: &LimitsConfig) -> Result<()> {
    if let Op::Copy(_) | Op::Record(_) = op {
        let message = format!("`{}` is between a route and its backends", op.name());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let (mut keys, mut longest, mut reserved) = (0_usize, 0, false);
    op.for_each_key(|key| {
        keys += 1;
        longest = longest.max(key.as_bytes().len());
        reserved |= key.is_reserved();
    });
    if longest > limits.key_max {
        let message =
            format!("a key of {longest} bytes is over the limit of {} bytes", limits.key_max);
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if keys > limits.keys_max {
        let message = format!(
            "{keys} keys at once are over the limit of {}; split the call",
            limits.keys_max
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    not_reserved(reserved)?;
    check_value(op, usize::try_from(limits.value_max).unwrap_or(usize::MAX))
}

fn check_value(op: &Op, value_max: usize) -> Result<()> {
    let length = match op {
        Op::Set { value, .. } | Op::Append { value, .. } => value.len(),
        Op::SetRange { value, offset, .. } => {
            usize::try_from(*offset).unwrap_or(usize::MAX).saturating_add(value.len())
        }
        Op::SetMany { entries, .. } => {
            entries.iter().map(|(_, value)| value.len()).max().unwrap_or(0)
        }
        _ => 0,
    };
    if length > value_max {
        let message = format!("a value of {length} bytes is over the limit of {value_max} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}
