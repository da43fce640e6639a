//! A full journal refuses and drops nothing; what is applied gives its room back.

use super::*;

const SMALL: JournalLimits =
    JournalLimits { bytes_max: 16 << 10, age_max: Duration::from_secs(3600) };

async fn fill(journal: &Journal) -> Vec<u64> {
    let mut taken = Vec::new();
    for number in 0..1000 {
        match append(journal, set(&format!("k{number}"), &"v".repeat(200))).await {
            Ok(seq) => taken.push(seq),
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
                assert!(error.message().contains("16KiB (journal.bytes_max)"), "{error}");
                return taken;
            }
        }
    }
    panic!("never full");
}

#[tokio::test]
async fn a_full_journal_refuses_and_keeps_all() {
    let folder = Folder::new("full");
    let journal = open_with(folder.path(), SMALL).await;
    let taken = fill(&journal).await;
    assert!(taken.len() > 30, "{}", taken.len());
    assert!(journal.bytes() <= SMALL.bytes_max);
    assert_eq!(seqs(&journal), taken);
    journal.close().await;
    let journal = open_with(folder.path(), SMALL).await;
    assert_eq!(seqs(&journal), taken);
    assert_eq!(
        append(&journal, set("k", &"v".repeat(200))).await.unwrap_err().kind(),
        ErrorKind::Overloaded
    );
}

#[tokio::test]
async fn what_is_applied_gives_its_room_back() {
    let folder = Folder::new("room");
    let journal = open_with(folder.path(), SMALL).await;
    for _ in 0..3 {
        let taken = fill(&journal).await;
        for seq in &taken {
            journal.applied(*seq, soon()).await.unwrap();
        }
        assert!(journal.bytes() < SMALL.bytes_max / 2, "{}", journal.bytes());
    }
    // As large as the whole journal: the segment in use is left for it.
    append(&journal, set("k", "v")).await.unwrap();
    journal.applied(seqs(&journal)[0], soon()).await.unwrap();
    append(&journal, set("k", &"v".repeat(15_800))).await.unwrap();
    let too_large = append(&journal, set("k", &"v".repeat(17_000))).await.unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn dead_letters_take_room_and_the_refusal_says_so() {
    let folder = Folder::new("deadroom");
    let journal = open_with(folder.path(), SMALL).await;
    for seq in 1..=2 {
        append(&journal, set("k", &"v".repeat(6_000))).await.unwrap();
        journal.dead_letter(seq, "conflict".into(), soon()).await.unwrap();
    }
    let error = append(&journal, set("k", &"v".repeat(6_000))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.message().contains("dead letters"), "{error}");
    journal.discard_dead_letter(1, soon()).await.unwrap();
    append(&journal, set("k", "v")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_journal_whose_oldest_entry_is_too_old_refuses() {
    let folder = Folder::new("age");
    let times = clock();
    let dir = folder.path().to_owned();
    let journal = Journal::open(dir, SMALL, times.clone(), Entropy::seeded(1)).await.unwrap();
    let write = |key: &str| {
        let deadline = times.deadline_in(Duration::from_secs(86_400));
        journal.append(set(key, "v"), "", Base::default(), deadline)
    };
    write("a").await.unwrap();
    tokio::time::advance(Duration::from_secs(3601)).await;
    let error = write("b").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
    assert!(error.message().contains("1h (journal.age_max)"), "{error}");
    assert!(journal.oldest_age().unwrap() >= Duration::from_secs(3601));
    assert_eq!(journal.depth(), 1);
    journal.applied(1, times.deadline_in(Duration::from_secs(86_400))).await.unwrap();
    write("b").await.unwrap();
}
