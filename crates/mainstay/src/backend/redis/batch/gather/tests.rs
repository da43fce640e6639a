use bytes::Bytes;
use redis::Value;
use tokio::sync::oneshot;

use super::*;
use crate::error::{Effect, ErrorKind};

const ALL: Both<bool> = Both { gets: true, sets: true };

fn of_gets(gets: Tally) -> Both<Tally> {
    Both { gets, ..Both::default() }
}

fn of_sets(sets: Tally) -> Both<Tally> {
    Both { sets, ..Both::default() }
}

type Answer = oneshot::Receiver<Result<Value>>;

fn get(key: &'static str) -> (Waiting, Answer) {
    waiting(Asked::Get(Key::from(key)))
}

fn set(key: &'static str, value: &'static str) -> (Waiting, Answer) {
    waiting(Asked::Set(Key::from(key), Bytes::from_static(value.as_bytes())))
}

fn command(word: &str) -> (Waiting, Answer) {
    waiting(Asked::Command(redis::cmd(word)))
}

fn waiting(asked: Asked) -> (Waiting, Answer) {
    let (caller, answer) = oneshot::channel();
    (Waiting { asked, caller, alone: false }, answer)
}

fn words(pipeline: &Pipeline) -> Vec<String> {
    let packed = pipeline.get_packed_pipeline();
    let text = String::from_utf8_lossy(&packed).into_owned();
    text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('$')).fold(
        Vec::new(),
        |mut commands: Vec<String>, line| {
            match (line.starts_with('*'), commands.last_mut()) {
                (true, _) => commands.push(String::new()),
                (false, Some(last)) => last.push_str(&format!("{line} ")),
                (false, None) => unreachable!("a command begins with its length"),
            }
            commands
        },
    )
}

fn text(value: &str) -> Value {
    Value::BulkString(value.as_bytes().to_vec())
}

fn heard(answer: &mut Answer) -> Option<Value> {
    answer.try_recv().ok().map(|reply| reply.expect("a reply"))
}

#[test]
fn gets_that_follow_each_other_are_one_command_and_none_passes_another_command() {
    let asked = [get("a"), get("b"), command("SET"), get("a"), command("DEL"), get("c"), get("d")];
    let (batch, mut answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let (pipeline, callers) = form(batch, ALL);
    assert_eq!(words(&pipeline), ["MGET a b ", "SET ", "GET a ", "DEL ", "MGET c d "]);
    assert_eq!(callers.replies(), 5);
    let replies = vec![
        Value::Array(vec![text("1"), text("22")]),
        Value::Okay,
        text("3"),
        Value::Int(1),
        Value::Array(vec![text("4"), text("5")]),
    ];
    let (tally, alone) = callers.hand_out(replies);
    assert_eq!(tally, of_gets(Tally { asked: 4, missed: 0, bytes: 5, refused: false }));
    assert!(alone.is_empty());
    let heard: Vec<_> = answers.iter_mut().map(|answer| heard(answer).unwrap()).collect();
    let told = [text("1"), text("22"), Value::Okay, text("3"), Value::Int(1), text("4"), text("5")];
    assert_eq!(heard, told);
}

#[test]
fn sets_that_follow_each_other_are_one_command_the_last_of_a_key_counts_and_long_ones_go_alone() {
    static LONG: [u8; BYTES_MEAN_MAX + 1] = [b'v'; BYTES_MEAN_MAX + 1];
    let long = std::str::from_utf8(&LONG).unwrap();
    let asked = [
        [set("a", "1"), set("a", "2"), get("a")],
        [set("b", "1"), set("c", long), set("d", "1")],
        [command("DEL"), set("e", "1"), set("f", "1")],
    ];
    let (batch, mut answers): (Vec<_>, Vec<_>) = asked.into_iter().flatten().unzip();
    let (pipeline, callers) = form(batch, ALL);
    let long = format!("SET c {long} ");
    let sent = ["MSET a 1 a 2 ", "GET a ", "SET b 1 ", &long, "SET d 1 ", "DEL ", "MSET e 1 f 1 "];
    assert_eq!(words(&pipeline), sent);
    let replies: Vec<Value> =
        (0..7).map(|at| if at == 0 { Value::Okay } else { Value::Int(at) }).collect();
    let (tally, alone) = callers.hand_out(replies);
    assert_eq!(tally, of_sets(Tally { asked: 4, ..Tally::default() }));
    assert!(alone.is_empty());
    let heard: Vec<_> = answers.iter_mut().map(|answer| heard(answer).unwrap()).collect();
    assert_eq!(heard[..3], [Value::Okay, Value::Okay, Value::Int(1)]);
    assert_eq!(heard[3..], [2, 3, 4, 5, 6, 6].map(Value::Int));
}

#[test]
fn sets_that_were_refused_as_one_are_sent_alone() {
    let (batch, _answers): (Vec<_>, Vec<_>) = [set("a", "1"), set("b", "2")].into_iter().unzip();
    let refused = redis::parse_redis_value(b"-OOM no\r\n").unwrap();
    let (tally, alone) = form(batch, ALL).1.hand_out(vec![refused]);
    assert_eq!(tally, of_sets(Tally { asked: 2, missed: 2, bytes: 0, refused: true }));
    let (more, _others): (Vec<_>, Vec<_>) = [set("c", "3"), set("d", "4")].into_iter().unzip();
    let all = alone.into_iter().chain(more).collect();
    assert_eq!(words(&form(all, ALL).0), ["SET a 1 ", "SET b 2 ", "MSET c 3 d 4 "]);

    let mut merging: Both<Merging> = Both::default();
    merging.note(tally);
    assert_eq!(merging.pays(), Both { gets: true, sets: false }, "GETs are another matter");
}

#[test]
fn sets_of_which_some_may_be_set_are_not_sent_again() {
    let (batch, mut answers): (Vec<_>, Vec<_>) = [set("a", "1"), set("b", "2")].into_iter().unzip();
    let text = b"-ERR finished with 1 error(s)\r\n";
    let in_part = redis::parse_redis_value(text).unwrap();
    let (tally, alone) = form(batch, ALL).1.hand_out(vec![in_part]);
    assert!(alone.is_empty() && tally.sets.refused);
    for answer in &mut answers {
        let error = answer.try_recv().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::Unknown));
    }
}

#[test]
fn each_is_sent_as_it_was_asked_where_merging_does_not_pay() {
    let (batch, _answers): (Vec<_>, Vec<_>) =
        [get("a"), get("b"), set("c", "1"), set("d", "2")].into_iter().unzip();
    assert_eq!(
        words(&form(batch, Both::default()).0),
        ["GET a ", "GET b ", "SET c 1 ", "SET d 2 "]
    );
}

#[test]
fn no_command_is_longer_than_its_limit() {
    let asked = std::iter::repeat_with(|| get("k")).take(RUN_MAX + 1);
    let (batch, _answers): (Vec<_>, Vec<_>) = asked.unzip();
    let commands = words(&form(batch, ALL).0);
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[1], "GET k ");
}

#[test]
fn who_was_told_nothing_of_its_own_key_asks_alone() {
    let (batch, mut answers): (Vec<_>, Vec<_>) = [get("a"), get("b")].into_iter().unzip();
    let (_, callers) = form(batch, ALL);
    let (tally, alone) = callers.hand_out(vec![Value::Array(vec![Value::Nil, text("b")])]);
    assert_eq!(tally, of_gets(Tally { asked: 2, missed: 1, bytes: 1, refused: false }));
    assert_eq!(heard(&mut answers[1]), Some(text("b")));
    assert!(alone[0].alone);
    let (again, _others): (Vec<_>, Vec<_>) = [get("c"), get("d")].into_iter().unzip();
    let both = alone.into_iter().chain(again).collect();
    assert_eq!(words(&form(both, ALL).0), ["GET a ", "MGET c d "]);

    let (batch, _answers): (Vec<_>, Vec<_>) = [get("a"), get("b")].into_iter().unzip();
    let refused = redis::parse_redis_value(b"-NOPERM no\r\n").unwrap();
    let (tally, alone) = form(batch, ALL).1.hand_out(vec![refused]);
    assert_eq!((tally.gets.missed, tally.gets.refused, alone.len()), (2, true, 2));
}

#[test]
fn what_is_no_reply_to_it_is_told_to_all_and_what_is_missing_ends_the_channel() {
    let (batch, mut answers): (Vec<_>, Vec<_>) =
        [get("a"), get("b"), command("PING")].into_iter().unzip();
    let (tally, alone) = form(batch, ALL).1.hand_out(vec![Value::Int(7)]);
    assert_eq!((tally.gets.bytes, alone.len()), (0, 0));
    assert_eq!(heard(&mut answers[0]), Some(Value::Int(7)));
    assert_eq!(heard(&mut answers[1]), Some(Value::Int(7)));
    assert!(answers[2].try_recv().is_err());
}
