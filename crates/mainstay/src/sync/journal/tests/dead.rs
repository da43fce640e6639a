//! Entries that will not be applied.

use super::*;

#[tokio::test]
async fn a_dead_letter_is_kept_until_it_is_discarded() {
    let folder = Folder::new("dead");
    let journal = open(folder.path()).await;
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        append(&journal, set(key, value)).await.unwrap();
    }
    journal.dead_letter(3, "the record has 1-9".into(), soon()).await.unwrap();
    journal.dead_letter(2, "no such route".into(), soon()).await.unwrap();
    assert_eq!(seqs(&journal), [1]);
    // The key looks as if the dead one had never been.
    assert_eq!(journal.overlaid(&"a".into()).unwrap().value, OverlaidValue::Set("1".into()));
    assert_eq!(journal.overlaid(&"b".into()), None);
    journal.close().await;
    let journal = open(folder.path()).await;
    let letters = journal.dead_letters();
    assert_eq!(letters.iter().map(|letter| letter.entry.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        (letters[1].reason.as_str(), &letters[1].entry.write),
        ("the record has 1-9", &set("a", "3"))
    );
    assert_eq!((journal.report().dead_letters, journal.report().pending), (2, 1));
    let line: serde_json::Value = serde_json::from_str(&letters[0].to_json()).unwrap();
    assert_eq!((&line["reason"], &line["key"]), (&"no such route".into(), &"b".into()));
    journal.discard_dead_letter(2, soon()).await.unwrap();
    let error = journal.discard_dead_letter(2, soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    journal.close().await;
    let journal = open(folder.path()).await;
    assert_eq!((journal.dead_letters().len(), seqs(&journal)), (1, vec![1]));
    assert_eq!(append(&journal, set("c", "4")).await.unwrap(), 4);
}

#[tokio::test]
async fn an_entry_that_died_is_dead_although_its_mark_was_lost() {
    let folder = Folder::new("mark");
    let journal = open(folder.path()).await;
    append(&journal, set("a", "1")).await.unwrap();
    journal.dead_letter(1, "conflict".into(), soon()).await.unwrap();
    journal.close().await;
    for name in folder.names().iter().filter(|name| name.ends_with(".applied")) {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let journal = open(folder.path()).await;
    assert_eq!((journal.depth(), journal.dead_letters().len()), (0, 1));
    let error = journal.dead_letter(1, "again".into(), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn discarded_letters_give_their_room_back() {
    let folder = Folder::new("compact");
    let journal = open(folder.path()).await;
    let large = "x".repeat(100_000);
    for seq in 1..=4 {
        append(&journal, set("a", &large)).await.unwrap();
        journal.dead_letter(seq, "conflict".into(), soon()).await.unwrap();
    }
    for seq in 1..=3 {
        journal.discard_dead_letter(seq, soon()).await.unwrap();
    }
    append(&journal, set("a", "1")).await.unwrap();
    journal.dead_letter(5, "conflict".into(), soon()).await.unwrap();
    let size = std::fs::metadata(folder.path().join("dead-letters")).unwrap().len();
    assert!(size < 250_000, "{size}");
    journal.close().await;
    let letters = open(folder.path()).await.dead_letters();
    assert_eq!(letters.iter().map(|letter| letter.entry.seq).collect::<Vec<_>>(), [4, 5]);
}
