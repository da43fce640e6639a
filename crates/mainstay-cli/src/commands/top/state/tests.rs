use serde_json::json;

use super::*;

const EVERY: Duration = Duration::from_secs(1);

fn document(uptime_ms: u64, requests: u64, calls: u64) -> Document {
    let document = json!({
        "uptime_ms": uptime_ms,
        "backends": [
            { "name": "db", "health": "up", "calls": { "success": calls } },
            { "name": "redis", "health": "down" },
        ],
        "requests": [
            { "route": "*", "op": "read", "count": requests },
            { "route": "*", "op": "write", "count": 0 },
        ],
    });
    serde_json::from_value(document).unwrap()
}

fn event(id: u64) -> News {
    News::Event(json!({ "id": id, "unix_ms": 0, "kind": "storage", "state": format!("s{id}") }))
}

fn state() -> State {
    State::new("h:1", EVERY, document(1000, 5, 5), 10_000)
}

#[test]
fn rates_are_differences_over_the_time_of_the_server() {
    let mut state = state();
    assert_eq!(state.view().rates, None);
    // The answer came late; the server's own time counts.
    state.learn(News::Status(Box::new(document(3000, 25, 9))), 17_000);
    let rates = state.view().rates.clone().unwrap();
    assert_eq!((rates.requests, rates.backends["db"], rates.routes["*"]), (10.0, 2.0, 10.0));
    // Started anew: the counts begin anew.
    state.learn(News::Status(Box::new(document(500, 1, 1))), 18_000);
    assert_eq!(state.view().rates, None);
}

#[test]
fn a_lost_server_makes_it_stale_until_it_answers() {
    let mut state = state();
    assert_eq!(state.stale(11_000), None);
    assert_eq!(state.elapsed(11_000), 1000.0);
    state.learn(News::Lost("refused".to_owned()), 11_000);
    state.learn(News::Lost("refused".to_owned()), 12_000);
    assert_eq!(state.stale(12_000), Some((10_000, "refused")));
    // What is not known does not count on.
    assert_eq!(state.elapsed(12_000), 0.0);
    state.learn(News::Status(Box::new(document(1, 0, 0))), 13_000);
    assert_eq!(state.stale(13_000), None);
    // No attempt has failed, and none has been answered.
    assert_eq!(state.stale(16_001), Some((13_000, "the server does not answer")));
}

#[test]
fn a_pause_holds_what_is_shown_and_goes_on_with_all_that_was_missed() {
    let mut state = state();
    state.learn(event(1), 10_000);
    assert!(state.act(Action::Pause, 10_500) && state.is_paused());
    state.learn(event(2), 11_000);
    state.learn(News::Status(Box::new(document(2000, 5, 5))), 11_000);
    assert_eq!((state.view().events.len(), state.view().taken), (1, 10_000));
    assert_eq!(state.elapsed(60_000), 500.0);
    assert!(state.act(Action::Pause, 12_000) && !state.is_paused());
    assert_eq!((state.view().events.len(), state.view().taken), (2, 11_000));
}

#[test]
fn who_reads_older_events_is_not_moved_away_from_them() {
    let mut state = state();
    (0..10).for_each(|id| state.learn(event(id), 0));
    state.shown(4);
    assert!(state.act(Action::PageOlder, 0));
    assert_eq!(state.below(4), 4);
    state.learn(event(10), 0);
    assert_eq!(state.below(4), 5);
    // The oldest is as far as it goes, and the way back begins there.
    for _ in 0..3 {
        state.act(Action::PageOlder, 0);
    }
    assert_eq!(state.below(4), 7);
    state.act(Action::Newer, 0);
    assert_eq!(state.below(4), 6);
    state.act(Action::Newest, 0);
    assert_eq!(state.below(4), 0);
}

#[test]
fn events_are_bounded() {
    let mut state = state();
    (0..=EVENTS_MAX as u64).for_each(|id| state.learn(event(id), 0));
    assert_eq!(state.view().events.len(), EVENTS_MAX);
    let text: String = state.view().events[0].iter().map(|(_, text)| text.as_str()).collect();
    assert!(text.ends_with("storage s1"), "{text}");
}

#[test]
fn the_worst_backend_is_shown_until_another_is_chosen() {
    let mut state = state();
    assert_eq!(state.selected(), 1);
    state.act(Action::NextBackend, 0);
    assert_eq!(state.selected(), 0);
    state.act(Action::PreviousBackend, 0);
    assert_eq!(state.selected(), 1);
    state.act(Action::Backend(1), 0);
    assert_eq!(state.selected(), 0);
    // There is no ninth.
    state.act(Action::Backend(9), 0);
    assert_eq!(state.selected(), 1);
    state.act(Action::Backend(0), 0);
    assert_eq!(state.selected(), 1);
    // None at all.
    let mut empty = State::new("h:1", EVERY, Document::default(), 0);
    empty.act(Action::NextBackend, 0);
    empty.act(Action::PreviousBackend, 0);
    assert_eq!(empty.selected(), 0);
}

#[test]
fn escape_closes_the_help_first() {
    let mut state = state();
    assert!(state.act(Action::Help, 0) && state.help);
    assert!(state.act(Action::Back, 0) && !state.help);
    assert!(!state.act(Action::Back, 0));
    assert!(!state.act(Action::End, 0));
}
