//! At rest every cached copy is the record's.
//! It must not look at the calls.

use super::{Promise, Verdict};
use crate::history::call::Version;
use crate::history::trace::Trace;

/// Compares each final copy with the final record; a cache that holds nothing is right.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Convergence);
    let records = trace.final_records();
    for copy in &trace.copies {
        // A copy whose record nobody looked at is the recording's fault.
        let Some(record) = records.get(&*copy.key) else { continue };
        verdict.examined += 1;
        if copy.version.is_some() && copy.version != record.version {
            let name = |version: Option<Version>| {
                version.map_or_else(|| "nothing".to_owned(), |version| version.to_string())
            };
            let (cached, recorded) = (name(copy.version), name(record.version));
            let text = format!("{} ends with {cached}, the record with {recorded}", copy.cache);
            verdict.found(&copy.key, text, &[]);
        }
    }
    verdict
}
