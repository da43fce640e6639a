//! Who did something: the storage by itself, or somebody who told it to.
//! It must not know how anybody speaks to a storage.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

/// Characters of a name at most.
const LENGTH_MAX: usize = 100;

/// Who did something. Displayed and serialized: `system`, `http 127.0.0.1`, `cli 127.0.0.1`, `resp 127.0.0.1`, `program`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(Cow<'static, str>);

impl Actor {
    /// The storage, by itself.
    pub const SYSTEM: Self = Self(Cow::Borrowed("system"));
    /// The program that this library is part of.
    pub const PROGRAM: Self = Self(Cow::Borrowed("program"));

    /// Somebody, in a few words on one line; at most 100 characters are kept.
    pub fn new(name: impl AsRef<str>) -> Self {
        let kept = name.as_ref().chars().filter(|c| !c.is_control()).take(LENGTH_MAX);
        Self(Cow::Owned(kept.collect()))
    }

    /// Whether nobody told it to.
    pub fn is_system(&self) -> bool {
        *self == Self::SYSTEM
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Actor {
    fn default() -> Self {
        Self::SYSTEM
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
