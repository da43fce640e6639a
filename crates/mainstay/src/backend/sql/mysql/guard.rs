//! What a transaction depends on, looked at when it begins and in the round trip of its commit.
//! It must not know what the transaction does.

use super::statement::record;

/// Statements that fail with `classify::OVERTAKEN` when what they look at does not hold.
///
/// They go to the server together with `COMMIT`: it stops at the first that fails, and a client that was paused before
/// it sent them cannot commit late.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    checks: Vec<String>,
}

impl Guard {
    /// The control row is active at this epoch, and the time not up.
    pub(super) fn marked(cache: &str, epoch: u64, deadline_us: i64) -> Self {
        Self { checks: vec![record::if_marked(cache, epoch, deadline_us)] }
    }

    /// There is no such cache.
    pub(super) fn absent(cache: &str) -> Self {
        Self { checks: vec![record::if_absent(cache)] }
    }

    /// There are as many caches as were seen.
    pub(super) fn caches(count: usize) -> Self {
        Self { checks: vec![record::if_caches(count)] }
    }

    /// The server's clock is not there yet: what was stamped in the transaction is not much older than its commit.
    pub(super) fn before(mut self, until_us: i64) -> Self {
        self.checks.push(record::if_before(until_us));
        self
    }

    /// Begins a transaction and looks.
    pub(super) fn begin(&self) -> String {
        let checks = self.checks.iter().map(|check| format!("; {check}"));
        format!("START TRANSACTION{}", checks.collect::<String>())
    }

    /// Looks, by itself.
    pub(super) fn look(&self) -> String {
        self.checks.join("; ")
    }

    /// Looks and commits.
    pub(super) fn commit(&self) -> String {
        let checks = self.checks.iter().map(|check| format!("{check}; "));
        format!("{}COMMIT", checks.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_stands_between_begin_and_commit() {
        let guard = Guard::absent("a'b").before(7);
        let (begin, commit) = (guard.begin(), guard.commit());
        let looks = guard.look();
        assert_eq!(begin, format!("START TRANSACTION; {looks}"));
        assert_eq!(commit, format!("{looks}; COMMIT"));
        assert!(looks.contains("x'612762'"), "names are never text: {looks}");
        assert_eq!(Guard::default().commit(), "COMMIT");
        assert_eq!(Guard::default().begin(), "START TRANSACTION");
    }
}
