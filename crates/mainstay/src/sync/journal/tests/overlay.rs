//! What own reads see: the effect of all that waits for a key.

use proptest::prelude::*;

use super::*;

fn seen(journal: &Journal, key: &str) -> Option<(OverlaidValue, OverlaidExpiry, u64)> {
    journal.overlaid(&key.into()).map(|seen| (seen.value, seen.expires, seen.seq))
}

fn value(text: &'static str) -> OverlaidValue {
    OverlaidValue::Set(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn reads_see_the_newest_write_that_waits() {
    let folder = Folder::new("overlay");
    let journal = open(folder.path()).await;
    append(&journal, set("a", "1")).await.unwrap();
    append(&journal, set("a", "2")).await.unwrap();
    append(&journal, delete("b")).await.unwrap();
    append(&journal, expire("c", TtlChange::At(NOW + 3_600_000))).await.unwrap();
    append(&journal, expire("d", TtlChange::At(5))).await.unwrap();
    let check = |journal: &Journal| {
        assert_eq!(seen(journal, "a"), Some((value("2"), OverlaidExpiry::Never, 2)));
        assert_eq!(seen(journal, "b"), Some((OverlaidValue::Deleted, OverlaidExpiry::Never, 3)));
        let later = OverlaidExpiry::At(NOW + 3_600_000);
        assert_eq!(seen(journal, "c"), Some((OverlaidValue::AsInRecord, later, 4)));
        assert!(journal.overlaid(&"d".into()).unwrap().gone(NOW));
        assert_eq!(seen(journal, "e"), None);
        let base = journal.overlay(|overlay| overlay.version_base(&"a".into()));
        assert_eq!(base, Some(Base { after_seq: Some(2), ..Base::default() }));
    };
    check(&journal);
    journal.close().await;
    let journal = open(folder.path()).await;
    check(&journal);
    journal.applied(1, soon()).await.unwrap();
    check(&journal);
    journal.applied(2, soon()).await.unwrap();
    assert_eq!(seen(&journal, "a"), None);
}

#[tokio::test]
async fn expiry_and_value_are_put_together() {
    let folder = Folder::new("together");
    let journal = open(folder.path()).await;
    let at = TtlChange::At(NOW + 3_600_000);
    append(&journal, set("a", "1")).await.unwrap();
    append(&journal, expire("a", at)).await.unwrap();
    assert_eq!(seen(&journal, "a"), Some((value("1"), OverlaidExpiry::At(NOW + 3_600_000), 2)));
    let keep = Op::SetMany {
        entries: vec![("a".into(), Bytes::from_static(b"2")), ("b".into(), Bytes::new())],
        ttl: TtlChange::Keep,
        all_absent: false,
    };
    append(&journal, keep).await.unwrap();
    assert_eq!(seen(&journal, "a"), Some((value("2"), OverlaidExpiry::At(NOW + 3_600_000), 3)));
    assert_eq!(seen(&journal, "b").unwrap().1, OverlaidExpiry::AsInRecord);
    append(&journal, delete("a")).await.unwrap();
    append(&journal, expire("a", at)).await.unwrap();
    assert_eq!(seen(&journal, "a"), Some((OverlaidValue::Deleted, OverlaidExpiry::Never, 5)));
}

#[tokio::test]
async fn a_second_write_is_based_on_the_first_one_that_waits() {
    let folder = Folder::new("chain");
    let journal = open(folder.path()).await;
    let writes = [set("a", "1"), set("b", "1"), set("a", "2")];
    let together = writes.map(|write| append(&journal, write));
    for result in futures_util::future::join_all(together).await {
        result.unwrap();
    }
    append(&journal, Op::DeleteMany { keys: vec!["c".into(), "b".into(), "b".into()] })
        .await
        .unwrap();
    let chain = |journal: &Journal| -> Vec<Option<u64>> {
        journal.pending(None, 10).iter().map(|entry| entry.base.after_seq).collect()
    };
    assert_eq!(chain(&journal), [None, None, Some(1), Some(2)]);
    journal.applied(2, soon()).await.unwrap();
    append(&journal, set("b", "3")).await.unwrap();
    append(&journal, set("d", "3")).await.unwrap();
    assert_eq!(chain(&journal), [None, Some(1), Some(2), Some(4), None]);
}

/// What a map that does each write at once holds under a key, if any write named it.
fn naive(writes: &[Op], key: &str) -> Option<Option<Bytes>> {
    let key = Key::from(key);
    let mut held = None;
    for write in writes {
        match write {
            Op::Set { key: other, value, .. } if *other == key => held = Some(Some(value.clone())),
            Op::Delete { key: other, .. } if *other == key => held = Some(None),
            _ => {}
        }
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_agrees_with_a_map(steps in proptest::collection::vec((0..4_u8, 0..3_u8, 0..9_u8), 1..30)) {
        let mut overlay = Overlay::default();
        let mut waiting: Vec<JournalEntry> = Vec::new();
        for (seq, (what, key, value)) in (1..).zip(steps) {
            let key = format!("k{key}");
            match what {
                0 | 1 => {
                    let write = if what == 0 { set(&key, &format!("v{value}")) } else { delete(&key) };
                    let entry = JournalEntry {
                        seq, accepted_unix_ms: NOW, route: String::new(), write, base: Base::default(),
                    };
                    overlay.add(&entry);
                    waiting.push(entry);
                }
                _ if waiting.is_empty() => {}
                2 => overlay.applied(&waiting.remove(0)),
                _ => {
                    let entry = waiting.remove(usize::from(value) % waiting.len());
                    let find = |seq| waiting.iter().find(|other| other.seq == seq);
                    overlay.discarded(&entry, find);
                }
            }
            let writes: Vec<Op> = waiting.iter().map(|entry| entry.write.clone()).collect();
            for key in ["k0", "k1", "k2"] {
                let seen = overlay.get(&key.into()).map(|seen| match seen.value {
                    OverlaidValue::Set(value) => Some(value),
                    OverlaidValue::Deleted | OverlaidValue::AsInRecord => None,
                });
                prop_assert_eq!(seen, naive(&writes, key));
            }
        }
    }
}
