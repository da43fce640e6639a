use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Clock, load::envelope::Envelope};

fn arrived(number: u64) -> Arrived {
    let value = Some(number.to_string().into());
    let envelope = Envelope { loaded_at: 0, fresh_until: 1, since: 0, tags: Vec::new(), value };
    Arrived { envelope, node: None, age: None }
}

fn value(outcome: Result<Arrived>) -> String {
    let value = outcome.unwrap().envelope.value.unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

fn key() -> Key {
    Key::from("k")
}

#[tokio::test]
async fn all_who_wait_get_what_the_leader_got_and_the_map_is_empty_after() {
    let flights = Arc::new(Flights::default());
    let now = Clock::system().now();
    let first = flights.board(&key(), now, |_| true);
    let lead = first.lead.expect("nobody flies yet");
    let others: Vec<Ticket> = (0..100).map(|_| flights.board(&key(), now, |_| true)).collect();
    assert!(others.iter().all(|ticket| ticket.lead.is_none()));
    lead.land(Ok(arrived(7)));
    for ticket in others {
        assert_eq!(value(ticket.outcome.ended().await), "7");
    }
    assert_eq!(flights.len(), 0);
    assert!(flights.board(&key(), now, |_| true).lead.is_some(), "the next looks for itself");
}

#[tokio::test]
async fn a_leader_that_is_lost_is_an_error_to_all_and_leaves_nothing_behind() {
    let flights = Arc::new(Flights::default());
    let now = Clock::system().now();
    let mut first = flights.board(&key(), now, |_| false);
    let other = flights.board(&key(), now, |_| false);
    drop(first.lead.take());
    assert_eq!(other.outcome.ended().await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn who_comes_after_an_invalidation_does_not_join_the_load_that_it_overtook() {
    let flights = Arc::new(Flights::default());
    let start = Clock::system().now();
    let at = |ms| start + Duration::from_millis(ms);
    let old = flights.board(&key(), at(0), |_| true);
    let old_lead = old.lead.unwrap();
    assert!(flights.board(&key(), at(1), |_| true).lead.is_none(), "its truth is not asked yet");
    old_lead.asks(at(2), None);
    assert!(flights.board(&key(), at(1), |_| true).lead.is_none(), "it came before");
    assert!(flights.board(&key(), at(3), |_| false).lead.is_none(), "the cache does not say so");
    let new = flights.board(&key(), at(3), |_| true);
    let new_lead = new.lead.expect("the token is gone: the load was overtaken");
    old_lead.land(Ok(arrived(1)));
    assert_eq!(value(old.outcome.ended().await), "1");
    assert_eq!(flights.len(), 1, "the old one leaves the new one alone");
    new_lead.land(Ok(arrived(2)));
    assert_eq!(value(new.outcome.ended().await), "2");
}

/// What may happen to one key.
#[derive(Clone, Copy, Debug)]
enum Step {
    Board { vacant: bool },
    Asks(usize),
    Lands(usize),
    IsLost(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<bool>().prop_map(|vacant| Step::Board { vacant }),
        (0..4_usize).prop_map(Step::Asks),
        (0..4_usize).prop_map(Step::Lands),
        (0..4_usize).prop_map(Step::IsLost),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// In any order of events: nobody gets what was asked for before they came though the cache showed otherwise, each
    /// ticket ends when its leader does, and nothing stays in the map.
    #[test]
    fn no_schedule_mixes_flights_or_leaks_one(steps in steps()) {
        let flights = Arc::new(Flights::default());
        let start = Clock::starting_at(0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let origin = start.now();
            let mut leads: Vec<(Lead, Option<u64>)> = Vec::new();
            let mut tickets: Vec<(Outcome, Instant, bool)> = Vec::new();
            for (step, at) in steps.into_iter().zip(0_u64..) {
                let now = origin + Duration::from_millis(at);
                match step {
                    Step::Board { vacant } => {
                        let ticket = flights.board(&key(), now, |_| vacant);
                        leads.extend(ticket.lead.map(|lead| (lead, None)));
                        tickets.push((ticket.outcome, now, vacant));
                    }
                    Step::Asks(which) => if let Some((lead, asked)) = leads.get_mut(which)
                        && asked.is_none()
                    {
                        lead.asks(now, None);
                        *asked = Some(at);
                    },
                    Step::Lands(which) if which < leads.len() => {
                        let (lead, asked) = leads.swap_remove(which);
                        lead.land(Ok(arrived(asked.unwrap_or(at))));
                    }
                    Step::IsLost(which) if which < leads.len() => drop(leads.swap_remove(which)),
                    Step::Lands(_) | Step::IsLost(_) => {}
                }
                assert!(flights.len() <= 1);
            }
            drop(leads);
            assert_eq!(flights.len(), 0);
            for (outcome, came, vacant) in tickets {
                let ended = outcome.ended().await;
                if let (Ok(ended), true) = (ended, vacant) {
                    let asked: u64 = value(Ok(ended)).parse().unwrap();
                    assert!(origin + Duration::from_millis(asked) >= came);
                }
            }
        });
    }
}
