//! Bytes that change on the disk: what can be read is kept, the rest is set aside and reported.

use proptest::prelude::*;

use super::{
    super::{report::SetAside, segment::HEADER},
    crash::{LIMITS, Written, written},
    *,
};

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= mask;
    std::fs::write(path, bytes).unwrap();
}

/// Flips bytes of a copy, given by segment and offset, and checks what is left.
async fn check_flips(written: &Written, flips: &[(usize, usize, u8)]) {
    let copy = Folder::copy_of(written.folder.path(), "flip");
    let segments = copy.segments();
    let mut hit = Vec::new();
    for (segment, at, mask) in flips {
        let path = &segments[segment % segments.len()];
        let at = at % usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap();
        flip(path, at, *mask);
        hit.push((path.file_name().unwrap().to_owned(), at));
    }
    let whole = |place: &(std::path::PathBuf, std::ops::Range<usize>)| {
        let name = place.0.file_name().unwrap();
        !hit.iter().any(|(other, at)| other == name && place.1.contains(at))
    };
    let survive: Vec<JournalEntry> = (written.entries.iter().zip(&written.places))
        .filter(|(_, place)| whole(place))
        .map(|(entry, _)| entry.clone())
        .collect();
    let journal = open_with(copy.path(), LIMITS).await;
    assert_eq!(journal.pending(None, usize::MAX), survive, "{hit:?}");
    let report = journal.report();
    let aside = || report.torn.iter().chain(&report.corrupt);
    for (name, at) in &hit {
        let covers = |aside: &&SetAside| {
            let from = usize::try_from(aside.offset).unwrap();
            let to = from + usize::try_from(aside.bytes).unwrap();
            aside.file.file_name() == Some(name) && (from..to).contains(at)
        };
        assert!(aside().any(|aside| covers(&aside)), "{name:?} {at}: {report:?}");
    }
    for aside in aside() {
        assert_eq!(std::fs::metadata(&aside.copy).unwrap().len(), aside.bytes);
    }
    let next = append(&journal, set("next", "v")).await.unwrap();
    assert!(written.entries.iter().all(|entry| entry.seq < next));
    journal.close().await;
    assert_eq!(open_with(copy.path(), LIMITS).await.depth(), survive.len() as u64 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn what_is_not_hit_survives_and_what_is_hit_is_reported(
        writes in proptest::collection::vec(super::codec::write(), 1..40),
        // Different bytes: two flips of one byte may undo each other.
        flips in proptest::collection::btree_map((0..4_usize, any::<usize>()), 1..=255_u8, 1..2),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let written = written(writes, 1 << 13).await;
            let flips: Vec<_> = flips.into_iter().map(|((file, at), mask)| (file, at, mask)).collect();
            check_flips(&written, &flips).await;
        });
    }
}

#[tokio::test]
async fn each_byte_of_a_segment_may_be_hit() {
    let written =
        written(vec![set("a", "1"), set("b", "2"), set("c", "3")], LIMITS.bytes_max).await;
    for at in 0..written.places[2].1.end {
        check_flips(&written, &[(0, at, 0x40)]).await;
    }
}

#[tokio::test]
async fn records_before_and_behind_a_hole_are_kept_at_every_opening() {
    let written =
        written(vec![set("a", "1"), set("b", "2"), set("c", "3")], LIMITS.bytes_max).await;
    let (path, place) = &written.places[1];
    flip(path, place.start + 20, 1);
    for _ in 0..2 {
        let journal = open_with(written.folder.path(), LIMITS).await;
        assert_eq!(seqs(&journal), [1, 3]);
        let name = format!("00000000000000000001.journal.corrupt-{}", place.start);
        assert_eq!(journal.report().corrupt[0].copy, written.folder.path().join(name));
        journal.close().await;
    }
}

#[tokio::test]
async fn damaged_marks_show_an_entry_again_and_nothing_worse() {
    let folder = Folder::new("marks");
    let journal = open(folder.path()).await;
    for _ in 0..3 {
        append(&journal, set("a", "1")).await.unwrap();
    }
    journal.applied(1, soon()).await.unwrap();
    journal.applied(2, soon()).await.unwrap();
    journal.close().await;
    let marks = folder.path().join("00000000000000000001.applied");
    let mut bytes = std::fs::read(&marks).unwrap();
    bytes[3] ^= 1;
    bytes.extend([9; 5]);
    std::fs::write(&marks, bytes).unwrap();
    let journal = open(folder.path()).await;
    assert_eq!(seqs(&journal), [1, 3]);
    // Behind half a mark the next one stands where it is found.
    journal.applied(1, soon()).await.unwrap();
    journal.close().await;
    assert_eq!(seqs(&open(folder.path()).await), [3]);
}

#[tokio::test]
async fn damaged_dead_letters_are_set_aside_and_the_others_kept() {
    let folder = Folder::new("letters");
    let journal = open(folder.path()).await;
    for seq in 1..=3 {
        append(&journal, set("a", "1")).await.unwrap();
        journal.dead_letter(seq, "conflict".into(), soon()).await.unwrap();
    }
    journal.close().await;
    let path = folder.path().join("dead-letters");
    let length = std::fs::read(&path).unwrap().len();
    flip(&path, length / 2, 1);
    let journal = open(folder.path()).await;
    let kept = |journal: &Journal| -> Vec<u64> {
        journal.dead_letters().iter().map(|letter| letter.entry.seq).collect()
    };
    assert_eq!((kept(&journal), journal.report().corrupt.len()), (vec![1, 3], 1));
    assert_eq!(journal.depth(), 0);
    journal.discard_dead_letter(1, soon()).await.unwrap();
    journal.close().await;
    let journal = open(folder.path()).await;
    assert_eq!((kept(&journal), journal.report().corrupt.len()), (vec![3], 0));
}

#[tokio::test]
async fn a_lost_identity_is_found_in_a_segment_or_missed_loudly() {
    let folder = Folder::new("identity");
    let journal = open(folder.path()).await;
    append(&journal, set("a", "1")).await.unwrap();
    let id = journal.id();
    journal.close().await;
    let identity = folder.path().join("identity");
    std::fs::write(&identity, "nonsense").unwrap();
    let journal = open(folder.path()).await;
    assert_eq!((journal.id(), seqs(&journal)), (id, vec![1]));
    journal.close().await;
    std::fs::remove_file(&identity).unwrap();
    flip(&folder.segments()[0], HEADER - 1, 1);
    let again = Journal::open(folder.path().into(), LIMITS, clock(), Entropy::seeded(9)).await;
    let error = again.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("identity"), "{error}");
}

#[tokio::test]
async fn files_of_another_journal_or_a_later_format_are_refused_and_kept() {
    let folder = Folder::new("foreign");
    let journal = open(folder.path()).await;
    append(&journal, set("a", "1")).await.unwrap();
    journal.close().await;
    let path = folder.segments()[0].clone();
    let own = std::fs::read(&path).unwrap();
    let mut later = own[..HEADER - 4].to_vec();
    later[8] = 2;
    later.extend(crc32fast::hash(&later).to_le_bytes());
    let foreign = super::super::segment::header(JournalId(1), 1);
    for (head, expected) in [(later, "format 2"), (foreign, "another journal")] {
        let content = [&head, &own[HEADER..]].concat();
        std::fs::write(&path, &content).unwrap();
        let open = Journal::open(folder.path().into(), LIMITS, clock(), Entropy::seeded(9)).await;
        let error = open.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}
