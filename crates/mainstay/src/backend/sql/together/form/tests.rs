//! Forming: nothing lost, nothing doubled, order and limits.

use proptest::prelude::*;

use super::*;

/// A write and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waits(usize, Write);

impl AsRef<Write> for Waits {
    fn as_ref(&self) -> &Write {
        &self.1
    }
}

fn set(key: &str, length: usize) -> Write {
    let change = Change::Set { value: Bytes::from(vec![7; length]), expiry: Expiry::default() };
    Write { key: Key::from(key), change, mark: None }
}

fn delete(key: &str) -> Write {
    Write { change: Change::Delete, ..set(key, 0) }
}

fn marked(write: Write, epoch: u64, deadline_us: i64) -> Write {
    Write { mark: Some(Mark { cache: Arc::from("redis"), epoch, deadline_us }), ..write }
}

fn queue(writes: impl IntoIterator<Item = Write>) -> VecDeque<Waits> {
    writes.into_iter().enumerate().map(|(index, write)| Waits(index, write)).collect()
}

fn came(taken: &[Waits]) -> Vec<usize> {
    taken.iter().map(|one| one.0).collect()
}

const WIDE: Limits = Limits { rows: 128, bytes: 1 << 20 };

#[test]
fn keys_ascend_and_the_second_write_to_a_key_waits() {
    let mut waiting = queue([set("b", 1), set("a", 1), set("b", 2), set("c", 1)]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [1, 0, 3]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [2]);
    assert!(take(&mut waiting, WIDE).is_empty());
}

#[test]
fn a_write_does_not_overtake_another_kind_to_its_key() {
    let mut waiting = queue([set("a", 1), delete("b"), set("b", 1), set("c", 1)]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [0, 3], "the set of b came after its delete");
    assert_eq!(came(&take(&mut waiting, WIDE)), [1]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [2]);
}

#[test]
fn each_statement_has_one_guard_and_its_rows_their_own_times() {
    let writes = [
        marked(set("a", 1), 1, 10),
        set("b", 1),
        marked(set("c", 1), 2, 10),
        marked(set("d", 1), 1, 9),
    ];
    let mut waiting = queue(writes);
    assert_eq!(came(&take(&mut waiting, WIDE)), [0, 3]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [1]);
    assert_eq!(came(&take(&mut waiting, WIDE)), [2]);
}

#[test]
fn what_is_too_large_for_company_goes_alone() {
    let narrow = Limits { rows: 128, bytes: 10 };
    let mut waiting = queue([set("a", 100), set("b", 4), set("c", 4), set("d", 4)]);
    assert_eq!(came(&take(&mut waiting, narrow)), [0]);
    assert_eq!(came(&take(&mut waiting, narrow)), [1, 2]);
    assert_eq!(came(&take(&mut waiting, narrow)), [3]);
}

#[test]
fn answers_find_their_writes() {
    let writes = [set("a", 1), set("b", 1), set("c", 1)];
    let answers = vec![(b"c".to_vec(), 3), (b"a".to_vec(), 1), (b"z".to_vec(), 9)];
    assert_eq!(in_order(&writes, answers), [Some(1), None, Some(3)]);
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let one = (0..6_u8, 0..40_usize, 0..4_u8).prop_map(|(key, length, kind)| {
        let key = format!("k{key}");
        match kind {
            0 => delete(&key),
            1 => marked(set(&key, length), 1, i64::from(kind)),
            2 => marked(delete(&key), 2, 5),
            _ => set(&key, length),
        }
    });
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn every_write_goes_once_in_the_order_of_its_key(
        writes in writes(), rows in 0..9_usize, bytes in 0..120_usize,
    ) {
        let limits = Limits { rows, bytes };
        let mut waiting = queue(writes.clone());
        let mut gone: Vec<Waits> = Vec::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            let taken = take(&mut waiting, limits);
            prop_assert!(!taken.is_empty());
            prop_assert_eq!(before, taken.len() + waiting.len());
            prop_assert!(taken.len() <= rows.max(1));
            prop_assert!(taken.is_sorted_by(|one, other| one.1.key < other.1.key));
            prop_assert!(taken.iter().all(|one| one.1.goes_with(&taken[0].1)));
            let size: usize = taken.iter().map(|one| one.1.bytes()).sum();
            prop_assert!(taken.len() == 1 || size <= bytes);
            prop_assert!(waiting.iter().map(|one| one.0).is_sorted());
            gone.extend(taken);
        }
        for one in &gone {
            prop_assert_eq!(&one.1, &writes[one.0]);
        }
        let mut all = came(&gone);
        for key in (0..6).map(|key| Key::from(format!("k{key}"))) {
            let of_key: Vec<usize> = gone.iter().filter(|one| one.1.key == key).map(|one| one.0).collect();
            prop_assert!(of_key.is_sorted());
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..writes.len()).collect::<Vec<_>>());
    }
}
