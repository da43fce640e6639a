//! What is known of one key: what was acknowledged, and what a read may therefore answer.
//! It must not know how it is read or written.
//!
//! Each key has one writer, which numbers its writes and deletes. A read that begins after the acknowledgement of number
//! n must answer n or a later one. A write or delete of unknown outcome may be seen, or not.

/// What a read answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The write of this number.
    Number(u64),
    /// Nothing.
    Absent,
    /// What no write of ours says.
    Foreign,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is what must be there, or may be.
    Right,
    /// Older than what was acknowledged before the read began, or nothing where something was acknowledged.
    Stale,
    /// A value that was there before an acknowledged delete.
    DeletedBack,
    /// Nobody wrote it.
    Unexplained,
}

/// One key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Register {
    /// The last acknowledged number; 0: none.
    acknowledged: u64,
    /// Whether that was a delete.
    deleted: bool,
    /// The last number begun.
    begun: u64,
    /// The last delete begun.
    delete_begun: u64,
}

impl Register {
    /// The number of the next write or delete.
    pub(crate) fn begin(&mut self, delete: bool) -> u64 {
        self.begun += 1;
        if delete {
            self.delete_begun = self.begun;
        }
        self.begun
    }

    /// It was acknowledged.
    pub(crate) fn acknowledge(&mut self, number: u64, delete: bool) {
        if number > self.acknowledged {
            (self.acknowledged, self.deleted) = (number, delete);
        }
    }

    /// Whether anything was ever acknowledged.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged > 0
    }

    /// Judges a read that began when the register was `before` and ended now.
    pub(crate) fn judge(&self, before: &Self, found: Found) -> Judgement {
        match found {
            Found::Foreign => Judgement::Unexplained,
            Found::Number(number) if number == 0 || number > self.begun => Judgement::Unexplained,
            Found::Number(number) if before.deleted && number <= before.acknowledged => {
                Judgement::DeletedBack
            }
            Found::Number(number) if number < before.acknowledged => Judgement::Stale,
            Found::Number(_) => Judgement::Right,
            // Never written, deleted, or maybe deleted since.
            Found::Absent
                if before.acknowledged == 0
                    || before.deleted
                    || self.delete_begun > before.acknowledged =>
            {
                Judgement::Right
            }
            Found::Absent => Judgement::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_must_be_read() {
        let mut key = Register::default();
        assert_eq!(key.judge(&key, Found::Absent), Judgement::Right);
        let first = key.begin(false);
        key.acknowledge(first, false);
        assert_eq!(key.judge(&key, Found::Number(1)), Judgement::Right);
        assert_eq!(key.judge(&key, Found::Absent), Judgement::Stale);
        let second = key.begin(false);
        assert_eq!(key.judge(&key, Found::Number(1)), Judgement::Right, "not yet acknowledged");
        assert_eq!(key.judge(&key, Found::Number(2)), Judgement::Right, "but maybe applied");
        assert_eq!(key.judge(&key, Found::Number(3)), Judgement::Unexplained);
        key.acknowledge(second, false);
        assert_eq!(key.judge(&key, Found::Number(1)), Judgement::Stale);
        assert_eq!(key.judge(&key, Found::Foreign), Judgement::Unexplained);
    }

    #[test]
    fn a_read_is_held_to_what_stood_when_it_began() {
        let mut key = Register::default();
        let first = key.begin(false);
        key.acknowledge(first, false);
        let before = key;
        let second = key.begin(false);
        key.acknowledge(second, false);
        assert_eq!(key.judge(&before, Found::Number(1)), Judgement::Right);
        assert_eq!(key.judge(&before, Found::Number(2)), Judgement::Right);
    }

    #[test]
    fn a_deleted_key_does_not_come_back_and_an_unknown_delete_may_be_seen() {
        let mut key = Register::default();
        let write = key.begin(false);
        key.acknowledge(write, false);
        let delete = key.begin(true);
        assert_eq!(key.judge(&key, Found::Absent), Judgement::Right);
        assert_eq!(key.judge(&key, Found::Number(1)), Judgement::Right);
        key.acknowledge(delete, true);
        assert_eq!(key.judge(&key, Found::Absent), Judgement::Right);
        assert_eq!(key.judge(&key, Found::Number(1)), Judgement::DeletedBack);
        let again = key.begin(false);
        assert_eq!(key.judge(&key, Found::Number(again)), Judgement::Right);
    }
}
