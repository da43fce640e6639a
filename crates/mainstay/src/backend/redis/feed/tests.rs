//! The inbox: order, its bound, and what a message says.

use super::*;

fn invalidate(keys: &[&str]) -> PushInfo {
    let keys = keys.iter().map(|key| Value::BulkString(key.as_bytes().to_vec())).collect();
    PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(keys)] }
}

fn changed(keys: &[&str]) -> Told {
    Told::Changed(keys.iter().map(|key| Key::from(*key)).collect())
}

fn drained(inbox: &Inbox) -> Vec<Result<Told>> {
    let mut all = Vec::new();
    while let Some(told) = inbox.pop() {
        let ended = told.is_err();
        all.push(told);
        if ended {
            break;
        }
    }
    all
}

fn told_of(inbox: &Inbox) -> Vec<Told> {
    drained(inbox).into_iter().map(|told| told.expect("no end")).collect()
}

#[tokio::test]
async fn changes_keep_their_order_and_their_place_before_a_sign_of_life() {
    let (inbox, moment) = (Inbox::default(), Clock::system().now());
    inbox.take_in(&invalidate(&["a", "b"]));
    inbox.take_in(&invalidate(&["c"]));
    inbox.tell(Told::UpTo(moment));
    inbox.take_in(&invalidate(&["d"]));
    let expected = [changed(&["a", "b", "c"]), Told::UpTo(moment), changed(&["d"])];
    assert_eq!(told_of(&inbox), expected);
}

#[tokio::test]
async fn a_flush_replaces_what_waits() {
    let inbox = Inbox::default();
    inbox.take_in(&invalidate(&["a"]));
    inbox.tell(Told::UpTo(Clock::system().now()));
    inbox.take_in(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] });
    inbox.take_in(&invalidate(&["b"]));
    assert_eq!(told_of(&inbox), [Told::All, changed(&["b"])]);
    inbox.take_in(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Int(1)] });
    assert_eq!(told_of(&inbox), [Told::All], "what cannot be read may be any key");
}

#[tokio::test]
async fn too_many_changes_end_the_feed_and_taking_makes_room() {
    let inbox = Inbox::default();
    let many = vec!["k"; KEYS_MAX];
    for _ in 0..3 {
        inbox.take_in(&invalidate(&many));
        assert_eq!(told_of(&inbox).len(), 1, "each fits when the one before was taken");
    }
    inbox.take_in(&invalidate(&many));
    inbox.take_in(&invalidate(&["one more"]));
    inbox.take_in(&invalidate(&["after the end"]));
    let [Err(error)] = &drained(&inbox)[..] else { panic!("nothing is told any more") };
    assert_eq!(error.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn what_came_before_the_end_is_told_before_it() {
    let inbox = Inbox::default();
    inbox.take_in(&invalidate(&["a"]));
    inbox.take_in(&PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
    let all = drained(&inbox);
    let [Ok(first), Err(error)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((first, error.kind()), (&changed(&["a"]), ErrorKind::Disconnected));
}
