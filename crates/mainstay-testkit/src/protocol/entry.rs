//! What Redis holds under one key: nothing, a value, marks of writes in flight, or a fill token.
//! It must not know processes, leases or the record; each function is one script that Redis runs at once.

/// A version of the value, as the record gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Value {
    /// What the protocol compares.
    pub(crate) version: u8,
    /// The true order of the changes; only the witness reads it. Equal to the version unless a weakening breaks versions.
    pub(crate) serial: u8,
    /// A tombstone.
    pub(crate) deleted: bool,
    /// It was written with a time to live.
    pub(crate) mortal: bool,
}

/// Writes in flight. A nonce is a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Marks {
    pub(crate) nonces: u16,
    /// The newest value that a publish has offered.
    best: Option<Value>,
    /// Some write may have committed without an offer: nothing may be left behind.
    taint: bool,
}

/// `V`, `M`, `L` of chapter 5, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    Absent,
    Value(Value),
    Marked(Marks),
    Token(u8),
}

impl Entry {
    /// A write announces itself.
    pub(crate) fn mark(&mut self, nonce: u16) {
        let mut marks = if let Self::Marked(marks) = *self { marks } else { Marks::default() };
        marks.nonces |= nonce;
        *self = Self::Marked(marks);
    }

    /// A nonce that is withdrawn or has expired taints: its write may have committed.
    pub(crate) fn unmark(&mut self, nonce: u16, taints: bool) {
        if let Self::Marked(marks) = self
            && marks.nonces & nonce != 0
        {
            marks.taint |= taints;
            self.end(nonce);
        }
    }

    /// A committed write takes its nonce away and offers its value.
    /// Returns whether its mark still stood.
    pub(crate) fn publish(&mut self, nonce: u16, value: Value) -> bool {
        match self {
            Self::Marked(marks) if marks.nonces & nonce != 0 => {
                let newer = marks.best.is_none_or(|best| best.version < value.version);
                marks.best = if newer { Some(value) } else { marks.best };
                self.end(nonce);
                return true;
            }
            // My mark was lost: whoever shares the mark must not leave a value that is older than mine.
            Self::Marked(marks) => marks.taint = true,
            Self::Value(old) if old.version < value.version => *old = value,
            Self::Token(_) => *self = Self::Absent,
            Self::Value(_) | Self::Absent => {}
        }
        false
    }

    /// When the last nonce goes, the best offer becomes the value, or nothing if tainted.
    fn end(&mut self, nonce: u16) {
        let Self::Marked(marks) = self else { return };
        marks.nonces &= !nonce;
        if marks.nonces == 0 {
            let best = marks.best.filter(|_| !marks.taint);
            *self = best.map_or(Self::Absent, Self::Value);
        }
    }

    /// Whether the token now stands: a reader that found nothing may fill.
    pub(crate) fn take_token(&mut self, token: u8) -> bool {
        let free = *self == Self::Absent;
        if free {
            *self = Self::Token(token);
        }
        free
    }

    /// Stores a value only while the token still stands.
    pub(crate) fn fill(&mut self, token: u8, value: Value) {
        if *self == Self::Token(token) {
            *self = Self::Value(value);
        }
    }

    /// A dirty key: an older value and any token go; marks are tainted, unless that rule is left out.
    pub(crate) fn drain(&mut self, version: u8, taints: bool) {
        match self {
            Self::Value(old) if old.version < version => *self = Self::Absent,
            Self::Token(_) => *self = Self::Absent,
            Self::Marked(marks) => marks.taint |= taints,
            Self::Value(_) | Self::Absent => {}
        }
    }
}
