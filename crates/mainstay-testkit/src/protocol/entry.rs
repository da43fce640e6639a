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
    /// The newest value that stood here or that a publish has offered.
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
    /// A write announces itself; what stood before is kept behind the mark.
    pub(crate) fn mark(&mut self, nonce: u16) {
        let mut marks = match *self {
            Self::Marked(marks) => marks,
            Self::Value(kept) => Marks { best: Some(kept), ..Marks::default() },
            Self::Absent | Self::Token(_) => Marks::default(),
        };
        marks.nonces |= nonce;
        *self = Self::Marked(marks);
    }

    /// A nonce is withdrawn. Unless it is clean, its write may have committed, also when its mark is not found any more.
    pub(crate) fn unmark(&mut self, nonce: u16, clean: bool) {
        if let Self::Marked(marks) = self {
            marks.taint |= !clean;
            self.end(nonce);
        }
    }

    /// A nonce's time is over: its write may have committed, which taints the others. With the last one the entry goes.
    pub(crate) fn expire(&mut self, nonce: u16, taints: bool) {
        let Self::Marked(marks) = self else { return };
        if marks.nonces == nonce {
            *self = Self::Absent;
        } else {
            marks.nonces &= !nonce;
            marks.taint |= taints;
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
            // It is not known when a lost mark was placed, so the newer value cannot be dated: nothing is left.
            Self::Value(old) if old.version < value.version => *self = Self::Absent,
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

    /// The key was written around the cache: a value or token goes; marks are tainted, unless that rule is left out.
    pub(crate) fn drain(&mut self, taints: bool) {
        match self {
            Self::Marked(marks) => marks.taint |= taints,
            Self::Value(_) | Self::Token(_) | Self::Absent => *self = Self::Absent,
        }
    }
}
