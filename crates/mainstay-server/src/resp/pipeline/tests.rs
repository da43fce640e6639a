use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use mainstay::{Condition, Key, TtlChange};
use tokio::sync::oneshot;

use super::*;

fn get(key: &'static str) -> Op {
    Op::Get { key: Key::from(key), with_ttl: false }
}

fn set(key: &'static str) -> Op {
    Op::Set {
        key: Key::from(key),
        value: Bytes::new(),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

fn touch(op: &Op) -> Touch {
    let mut touch = Touch::default();
    touch.fill(op);
    touch
}

#[test]
fn only_a_write_to_the_same_key_conflicts() {
    let many =
        |count: usize| Op::Exists { keys: (0..count).map(|n| Key::from(n.to_string())).collect() };
    for (one, other, conflicts) in [
        (get("a"), get("a"), false),
        (get("a"), set("a"), true),
        (set("a"), set("a"), true),
        (set("a"), set("b"), false),
        (set("7"), many(8), true),
        (set("x"), many(8), false),
        (set("x"), many(KEYS_MAX + 1), true),
        (get("x"), many(KEYS_MAX + 1), false),
        (set("a"), Op::Count { prefix: Bytes::new() }, true),
        (get("a"), Op::Count { prefix: Bytes::new() }, false),
    ] {
        assert_eq!(touch(&one).conflicts(&touch(&other)), conflicts, "{one:?} {other:?}");
        assert_eq!(touch(&other).conflicts(&touch(&one)), conflicts, "{other:?} {one:?}");
    }
}

struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn answers_come_in_order_and_slots_are_used_again() {
    let wake = Arc::new(Wake::default());
    let count = Arc::new(Count(0.into()));
    let mut pipeline =
        Pipeline::new(Arc::clone(&wake), 3, |answer: &Result<u32, _>| answer.is_ok().into());
    let mut touch = touch(&get("a"));
    for round in 0..5 {
        // A registration lasts for one wake.
        wake.register(&Waker::from(Arc::clone(&count)));
        let mut senders = Vec::new();
        for n in 0..3 {
            let (sender, receiver) = oneshot::channel::<u32>();
            assert!(pipeline.admits(&touch));
            pipeline.start(receiver, &mut touch, round * 10 + n);
            touch.fill(&get("a"));
            senders.push(sender);
        }
        assert!(!pipeline.admits(&touch), "full");
        let before = count.0.load(SeqCst);
        for (n, sender) in senders.into_iter().enumerate().rev() {
            assert!(pipeline.take_front().is_none(), "the first is not done");
            sender.send(u32::try_from(n).unwrap()).unwrap();
            pipeline.poll_woken();
        }
        assert!(count.0.load(SeqCst) > before, "the connection is woken");
        assert_eq!(pipeline.ready(), 3, "each answer is weighed");
        for n in 0..3_u32 {
            assert_eq!(pipeline.take_front(), Some((round * 10 + n, Ok(n))));
        }
        assert!(pipeline.is_empty() && pipeline.ready() == 0);
    }
    assert_eq!(pipeline.slots.len(), 3);
    pipeline.shrink();
    assert_eq!(pipeline.slots.len(), 1);
}

#[test]
fn a_late_wake_of_an_empty_slot_does_nothing() {
    let wake = Arc::new(Wake::default());
    let mut pipeline = Pipeline::new(Arc::clone(&wake), 2, |_| 0);
    let mut touch = Touch::default();
    pipeline.start(std::future::ready(1), &mut touch, ());
    assert_eq!(pipeline.take_front(), Some(((), 1)));
    wake.waker(0).wake();
    wake.waker(1).wake();
    pipeline.start(std::future::ready(2), &mut touch, ());
    pipeline.poll_woken();
    assert_eq!(pipeline.take_front(), Some(((), 2)));
}

#[test]
fn a_message_waits_for_what_was_written_before_it() {
    let message = |channel: &str| {
        let mut touch = Touch::default();
        touch.fill_message(channel.as_bytes());
        touch
    };
    let mut all = Touch::default();
    all.fill_exclusive();
    for (earlier, later, waits) in [
        (touch(&set("a")), message("news"), true),
        (all.clone(), message("news"), true),
        (touch(&get("a")), message("news"), false),
        (message("news"), message("news"), true),
        (message("news"), message("others"), false),
        (message("news"), touch(&set("a")), false),
        (message("news"), all, true),
    ] {
        assert_eq!(earlier.conflicts(&later), waits, "{earlier:?} {later:?}");
    }
}

#[test]
fn several_commands_that_are_one_count_as_many_and_are_answered_in_parts() {
    let weigh = |answers: &Vec<u32>| answers.len();
    let mut pipeline = Pipeline::new(Arc::new(Wake::default()), 3, weigh);
    let mut touched = touch(&get("a"));
    touched.add(b"b");
    assert!(touched.conflicts(&touch(&set("b"))) && !touched.conflicts(&touch(&get("b"))));
    pipeline.start_all(2, std::future::ready(vec![1, 2]), &mut touched, 'x');
    assert_eq!((pipeline.room(), pipeline.ready()), (1, 2));
    touched.clear();
    assert!(pipeline.admits(&touched));
    touched.add(b"c");
    pipeline.start(std::future::ready(vec![3]), &mut touched, 'y');
    assert!(!pipeline.admits(&touch(&get("a"))), "three are in flight");
    let mut parts = Vec::new();
    let mut part = |answers: &mut Vec<u32>| {
        let taken = if answers.len() > 1 { 1 } else { 0 };
        parts.extend(answers.drain(..taken));
        taken
    };
    pipeline.take_part(&mut part);
    assert_eq!((pipeline.ready(), pipeline.room()), (2, 0));
    pipeline.take_part(&mut part);
    assert_eq!(pipeline.take_front(), Some(('x', vec![2])));
    pipeline.take_part(&mut part);
    assert_eq!((pipeline.ready(), pipeline.room()), (1, 2));
    assert_eq!(pipeline.take_front(), Some(('y', vec![3])));
    pipeline.take_part(&mut part);
    assert_eq!((pipeline.ready(), pipeline.room(), parts), (0, 3, vec![1]));
}
