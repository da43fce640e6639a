//! What no backend should be asked: keys and values over their limits.
//! It must not know backends.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Storage;
use crate::{
    config::LimitsConfig,
    entry::Key,
    error::{Error, ErrorKind, Result},
    live::{LiveDuration, LiveSize},
    load,
    op::Op,
};

/// The limits in effect: each operation looks.
#[derive(Debug)]
pub(super) struct Limits {
    key_max: LiveSize,
    value_max: LiveSize,
    keys_max: LiveSize,
    pub(super) deadline: LiveDuration,
}

impl Limits {
    pub(super) fn new(config: &LimitsConfig) -> Self {
        Self {
            key_max: LiveSize::new(config.key_max),
            value_max: LiveSize::of_bytes(config.value_max),
            keys_max: LiveSize::new(config.keys_max),
            deadline: LiveDuration::new(config.deadline),
        }
    }

    /// Keys of one call at most.
    pub(super) fn keys_max(&self) -> usize {
        self.keys_max.get()
    }

    pub(super) fn set(&self, config: &LimitsConfig) {
        self.key_max.set(config.key_max);
        self.value_max.set_bytes(config.value_max);
        self.keys_max.set(config.keys_max);
        self.deadline.set(config.deadline);
    }
}

/// A key under which something may be loaded: shorter than others, for what stands before it.
pub(super) fn loadable(storage: &Storage, key: &Key) -> Result<()> {
    if storage.0.road.tasks.is_closing() {
        return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
    }
    let max = storage.0.settings.limits.key_max.get().min(Key::LEN_MAX - load::OWN_LEN);
    let length = key.as_bytes().len();
    if length > max {
        let message = format!(
            "a key of {length} bytes is over the limit of {max} for loaded values (limits.key_max)"
        );
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

/// What the sizes in `[limits]` refused since the storage was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Operations with a key over `limits.key_max`.
    pub keys_too_long: u64,
    /// Operations with a value over `limits.value_max`.
    pub values_too_long: u64,
    /// Operations with more keys than `limits.keys_max`.
    pub too_many_keys: u64,
}

/// The counts behind it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    keys: AtomicU64,
    values: AtomicU64,
    many: AtomicU64,
}

impl Counts {
    pub(super) fn now(&self) -> Refused {
        Refused {
            keys_too_long: self.keys.load(Ordering::Relaxed),
            values_too_long: self.values.load(Ordering::Relaxed),
            too_many_keys: self.many.load(Ordering::Relaxed),
        }
    }
}

fn too_large(count: &AtomicU64, message: String) -> Error {
    count.fetch_add(1, Ordering::Relaxed);
    Error::new(ErrorKind::TooLarge, message)
}

pub(super) fn check(op: &Op, limits: &Limits, counts: &Counts) -> Result<()> {
    if let Op::Copy(_) | Op::Record(_) | Op::Lock(_) = op {
        let message = format!("`{}` is between a route and its backends", op.name());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let (mut keys, mut longest, mut reserved) = (0_usize, 0, false);
    op.for_each_key(|key| {
        keys += 1;
        longest = longest.max(key.as_bytes().len());
        reserved |= key.is_reserved();
    });
    let (key_max, keys_max) = (limits.key_max.get(), limits.keys_max.get());
    if longest > key_max {
        let message = format!(
            "a key of {longest} bytes is over the limit of {key_max} bytes (limits.key_max)"
        );
        return Err(too_large(&counts.keys, message));
    }
    if keys > keys_max {
        let message = format!(
            "{keys} keys at once are over the limit of {keys_max} (limits.keys_max): split the call"
        );
        return Err(too_large(&counts.many, message));
    }
    not_reserved(reserved)?;
    check_value(op, limits.value_max.get(), counts)
}

/// Whether `check` has nothing against a read of this key.
pub(super) fn fits(key: &Key, limits: &Limits) -> bool {
    key.as_bytes().len() <= limits.key_max.get() && !key.is_reserved()
}

fn check_value(op: &Op, value_max: usize, counts: &Counts) -> Result<()> {
    let length = match op {
        Op::Set { value, .. } | Op::Append { value, .. } => value.len(),
        Op::SetRange { value, offset, .. } => {
            usize::try_from(*offset).unwrap_or(usize::MAX).saturating_add(value.len())
        }
        Op::SetMany { entries, .. } => {
            entries.iter().map(|(_, value)| value.len()).max().unwrap_or(0)
        }
        Op::Fenced { write, .. } => return check_value(write, value_max, counts),
        Op::Transact { changes, .. } => {
            changes.iter().map(|(_, change)| change.len()).max().unwrap_or(0)
        }
        _ => 0,
    };
    if length > value_max {
        let message = format!(
            "a value of {length} bytes is over the limit of {value_max} bytes (limits.value_max)"
        );
        return Err(too_large(&counts.values, message));
    }
    Ok(())
}
