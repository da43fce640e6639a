//! One user: a name, a role, the prefixes of its keys, and what it proves itself by.
//! It must not know connections or requests.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{Door, secret::Digest};

/// The user of a connection that names none.
pub(crate) const DEFAULT: &str = "default";

/// What a user may do; each role may do what those before it may.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads values and state.
    #[default]
    Read,
    /// Also writes and deletes keys, and takes locks.
    Write,
    /// Also controls: breakers, drains, drills, configuration, other clients, FLUSHDB.
    Admin,
}

impl Role {
    /// As in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// One user, as it was when a connection authenticated.
pub(crate) struct User {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// `None`: every key.
    pub(super) prefixes: Option<Box<[Box<[u8]>]>>,
    pub(super) passwords: Vec<Digest>,
    pub(super) tokens: Vec<Digest>,
    /// Where nobody in particular comes in as this one.
    pub(super) open_at: Vec<Door>,
    /// Whether it is another one by now, or none. Shared with those after it that only know more secrets.
    revoked: Arc<AtomicBool>,
}

impl User {
    pub(super) fn new(
        name: &str,
        role: Role,
        prefixes: Option<&[String]>,
        passwords: Vec<Digest>,
        tokens: Vec<Digest>,
    ) -> Self {
        let bytes = |prefix: &String| Box::from(prefix.as_bytes());
        Self {
            name: name.into(),
            role,
            prefixes: prefixes.map(|prefixes| prefixes.iter().map(bytes).collect()),
            passwords,
            tokens,
            open_at: Vec::new(),
            revoked: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Who did something at this door, for the audit: its name too, unless nobody had to prove to be it.
    pub(crate) fn signed(&self, door: Door, place: String) -> String {
        if self.is_open_at(door) { place } else { format!("{place} {}", self.name) }
    }

    /// What its keys begin with; `None`: anything.
    pub(crate) fn prefixes(&self) -> Option<impl Iterator<Item = &[u8]>> {
        self.prefixes.as_ref().map(|prefixes| prefixes.iter().map(|prefix| &prefix[..]))
    }

    /// Whether there is nothing to look at.
    pub(crate) fn may_everything(&self) -> bool {
        self.role == Role::Admin && self.prefixes.is_none()
    }

    /// Whether it proves itself by nothing.
    pub(crate) fn needs_no_secret(&self) -> bool {
        self.passwords.is_empty() && self.tokens.is_empty()
    }

    /// Whether nobody in particular comes in there as this one.
    pub(crate) fn is_open_at(&self, door: Door) -> bool {
        self.open_at.contains(&door)
    }

    /// Whether the configuration has changed it since the connection authenticated.
    pub(crate) fn is_revoked(&self) -> bool {
        // Whoever sees it sees the users that came instead.
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whoever came in as the other one goes on as this one.
    pub(super) fn go_on_as(&mut self, other: &Self) {
        self.revoked = Arc::clone(&other.revoked);
    }

    /// The other one, or the other one with more passwords and tokens: whatever it came in by still holds.
    pub(super) fn only_adds_to(&self, other: &Self) -> bool {
        let holds = |all: &[Digest], these: &[Digest]| these.iter().all(|one| all.contains(one));
        let Self { name, role, prefixes, passwords, tokens, open_at, revoked: _ } = self;
        (name, role, prefixes, open_at)
            == (&other.name, &other.role, &other.prefixes, &other.open_at)
            && holds(passwords, &other.passwords)
            && holds(tokens, &other.tokens)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
