//! Payloads survive writing and reading; other bytes are refused.

use proptest::prelude::*;

use super::{
    super::{
        codec::{Payload, size_max},
        frame,
    },
    *,
};
use crate::entry::Version;

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    bytes().prop_map(Key::new)
}

fn ttl() -> impl Strategy<Value = TtlChange> {
    prop_oneof![Just(TtlChange::Clear), Just(TtlChange::Keep), any::<i64>().prop_map(TtlChange::At)]
}

pub(super) fn write() -> impl Strategy<Value = Op> {
    let always = Condition::Always;
    let set = (key(), bytes(), ttl()).prop_map(move |(key, value, ttl)| Op::Set {
        key,
        value,
        ttl,
        condition: always.clone(),
        want_previous: false,
    });
    let pairs = proptest::collection::vec((key(), bytes()), 0..4);
    prop_oneof![
        set,
        (pairs, ttl()).prop_map(|(entries, ttl)| Op::SetMany { entries, ttl, all_absent: false }),
        key().prop_map(|key| Op::Delete {
            key,
            condition: Condition::Always,
            want_previous: false
        }),
        proptest::collection::vec(key(), 0..4).prop_map(|keys| Op::DeleteMany { keys }),
        (key(), prop_oneof![Just(TtlChange::Clear), any::<i64>().prop_map(TtlChange::At)])
            .prop_map(|(key, ttl)| Op::Expire { key, ttl, condition: ExpireCondition::Always }),
    ]
}

fn entry() -> impl Strategy<Value = JournalEntry> {
    let version = any::<(u32, u64)>().prop_map(|(epoch, counter)| Version { epoch, counter });
    let base = (proptest::option::of(version), any::<Option<i64>>(), any::<Option<u64>>());
    let base = base.prop_map(|(version, known_until_us, after_seq)| Base {
        version,
        known_until_us,
        after_seq,
    });
    (any::<u64>(), any::<i64>(), ".{0,8}", write(), base).prop_map(
        |(seq, accepted_unix_ms, route, write, base)| JournalEntry {
            seq,
            accepted_unix_ms,
            route,
            write,
            base,
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        4 => entry().prop_map(Payload::Entry),
        1 => any::<(u64, u64)>().prop_map(|(first, last)| Payload::Void { first, last }),
        1 => (entry(), ".{0,20}", any::<i64>()).prop_map(|(entry, reason, at_unix_ms)| {
            Payload::Dead(DeadLetter { entry, reason, at_unix_ms })
        }),
        1 => any::<u64>().prop_map(|seq| Payload::Discard { seq }),
    ]
}

proptest! {
    #[test]
    fn payloads_survive_writing_and_reading(payload in payload()) {
        let mut bytes = Vec::new();
        payload.encode(&mut bytes);
        prop_assert_eq!(Payload::decode(&bytes), Some(payload));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Payload::decode(&bytes[..cut]), None);
        }
        bytes.push(0);
        prop_assert_eq!(Payload::decode(&bytes), None);
    }

    #[test]
    fn a_record_is_no_larger_than_was_reckoned_with(entry in entry()) {
        let mut bytes = Vec::new();
        frame::write_entry(JournalId(1), &entry, &mut bytes);
        prop_assert!(bytes.len() <= size_max(&entry.write, &entry.route));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..5_u8) {
        let scan = frame::scan(JournalId(1), &bytes, 0, true);
        prop_assert!(scan.payloads.is_empty());
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        // A length of four billion is refused before anything is reserved for it.
        if let Some(payload) = Payload::decode(&bytes) {
            let mut again = Vec::new();
            payload.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_record_inside_a_value_is_no_record(inner in entry(), behind in entry()) {
        // What somebody stores of another journal is not taken for this one's when the record around it is damaged.
        let mut value = Vec::new();
        frame::write_entry(JournalId(1), &inner, &mut value);
        let mut bytes = value.clone();
        frame::write_entry(JournalId(2), &behind, &mut bytes);
        let scan = frame::scan(JournalId(2), &bytes, 0, false);
        prop_assert_eq!(scan.holes, vec![0..value.len()]);
        prop_assert_eq!(scan.payloads.len(), 1);
        prop_assert!(matches!(&scan.payloads[0].0, Payload::Entry(entry) if *entry == behind));
    }
}
