//! A crash may leave the last segment cut anywhere behind what was synced.

use std::path::PathBuf;

use proptest::prelude::*;

use super::{super::segment::HEADER, *};

/// A journal with these writes, and for each entry its segment and where its record ends there.
pub(super) struct Written {
    pub(super) folder: Folder,
    pub(super) entries: Vec<JournalEntry>,
    pub(super) places: Vec<(PathBuf, std::ops::Range<usize>)>,
}

pub(super) const LIMITS: JournalLimits =
    JournalLimits { bytes_max: 1 << 20, age_max: Duration::from_secs(3600) };

pub(super) async fn written(writes: Vec<Op>, bytes_max: u64) -> Written {
    let folder = Folder::new("crash");
    let limits = JournalLimits { bytes_max, ..LIMITS };
    let journal = open_with(folder.path(), limits).await;
    let mut places: Vec<(PathBuf, std::ops::Range<usize>)> = Vec::new();
    for write in writes {
        append(&journal, write).await.unwrap();
        let segment = folder.segments().pop().unwrap();
        let end = usize::try_from(std::fs::metadata(&segment).unwrap().len()).unwrap();
        let same = places.last().filter(|(last, _)| *last == segment);
        let start = same.map_or(HEADER, |(_, range)| range.end);
        places.push((segment, start..end));
    }
    let entries = journal.pending(None, usize::MAX);
    journal.close().await;
    assert_eq!(entries.len(), places.len());
    Written { folder, entries, places }
}

/// Opens a copy whose last segment is cut, and checks it.
async fn check_cut(written: &Written, length: usize) {
    let copy = Folder::copy_of(written.folder.path(), "cut");
    let (last, _) = written.places.last().unwrap();
    let cut = copy.path().join(last.file_name().unwrap());
    std::fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(length as u64).unwrap();
    let kept =
        written.places.iter().filter(|(segment, range)| segment != last || range.end <= length);
    let kept = kept.count();
    let journal = open_with(copy.path(), LIMITS).await;
    assert_eq!(journal.pending(None, usize::MAX), written.entries[..kept], "cut at {length}");
    let ends = written.places.iter().filter(|(segment, _)| segment == last);
    let whole =
        length == 0 || length == HEADER || ends.clone().any(|(_, range)| range.end == length);
    let report = journal.report();
    assert_eq!((report.torn.len(), report.corrupt.len()), (usize::from(!whole), 0));
    for torn in &report.torn {
        assert_eq!(std::fs::metadata(&torn.copy).unwrap().len(), torn.bytes);
    }
    let highest = written.entries[..kept].last().map_or(0, |entry| entry.seq);
    let next = append(&journal, set("next", "v")).await.unwrap();
    assert!(next > highest + u64::from(!whole), "{next} after {highest}");
    journal.close().await;
    let journal = open_with(copy.path(), LIMITS).await;
    assert_eq!(journal.report().torn, [], "it is repaired once");
    assert_eq!(journal.depth(), kept as u64 + 1);
}

#[tokio::test]
async fn cut_at_every_byte_nothing_that_was_synced_before_is_lost() {
    let writes = vec![
        set("a", "1"),
        Op::DeleteMany { keys: vec!["b".into(), "c".into()] },
        expire("d", TtlChange::At(7)),
    ];
    let written = written(writes, LIMITS.bytes_max).await;
    for length in 0..=written.places[2].1.end {
        check_cut(&written, length).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn cut_anywhere_the_entries_before_are_there_in_their_order(
        writes in proptest::collection::vec(super::codec::write(), 1..40),
        at in any::<proptest::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // Small enough for several segments.
            let written = written(writes, 1 << 16).await;
            let (_, last) = written.places.last().unwrap();
            check_cut(&written, at.index(last.end + 1)).await;
        });
    }
}
