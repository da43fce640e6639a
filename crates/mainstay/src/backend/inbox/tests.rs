//! The inbox: order, and its bound.

use super::*;
use crate::{clock::Clock, entry::Key};

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
    inbox.tell(changed(&["a", "b"]));
    inbox.tell(changed(&["c"]));
    inbox.tell(Told::UpTo(moment));
    inbox.tell(changed(&["d"]));
    let expected = [changed(&["a", "b", "c"]), Told::UpTo(moment), changed(&["d"])];
    assert_eq!(told_of(&inbox), expected);
}

#[tokio::test]
async fn all_replaces_what_waits() {
    let inbox = Inbox::default();
    inbox.tell(changed(&["a"]));
    inbox.tell(Told::UpTo(Clock::system().now()));
    inbox.tell(Told::All);
    inbox.tell(changed(&["b"]));
    assert_eq!(told_of(&inbox), [Told::All, changed(&["b"])]);
}

#[tokio::test]
async fn too_many_changes_end_the_feed_and_taking_makes_room() {
    let inbox = Inbox::default();
    let many = vec!["k"; KEYS_MAX];
    for _ in 0..3 {
        inbox.tell(changed(&many));
        assert_eq!(told_of(&inbox).len(), 1, "each fits when the one before was taken");
    }
    inbox.tell(changed(&many));
    inbox.tell(changed(&["one more"]));
    inbox.tell(changed(&["after the end"]));
    let [Err(error)] = &drained(&inbox)[..] else { panic!("nothing is told any more") };
    assert_eq!(error.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn what_came_before_the_end_is_told_before_it() {
    let inbox = Inbox::default();
    inbox.tell(changed(&["a"]));
    inbox.end(ErrorKind::Disconnected, "gone");
    let all = drained(&inbox);
    let [Ok(first), Err(error)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((first, error.kind()), (&changed(&["a"]), ErrorKind::Disconnected));
}
