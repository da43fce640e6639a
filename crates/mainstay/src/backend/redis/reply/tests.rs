use super::*;

#[test]
fn replies_say_whether_a_write_was_applied() {
    let bulk = || Value::BulkString(b"old".to_vec());
    let applied = |reply: Result<Reply>| reply.and_then(Reply::into_written).expect("a write");
    assert!(applied(set_reply(Value::Okay)).applied);
    assert!(!applied(set_reply(Value::Nil)).applied);
    let script = Value::Array(vec![Value::Int(1), bulk()]);
    let always = applied(compared_reply(script));
    assert_eq!(always.previous.map(|record| record.value), Some(Bytes::from_static(b"old")));
    let script = Value::Array(vec![Value::Int(0), bulk()]);
    let refused = applied(compared_reply(script));
    assert!(!refused.applied && refused.previous.is_some());
    let out_of_step = set_reply(Value::Int(1));
    assert_eq!(out_of_step.expect_err("no reply to SET").kind(), ErrorKind::Disconnected);
}

#[test]
fn an_append_over_the_limit_is_told_with_its_length() {
    let refused = append_reply(Value::Int(-8), 5, 10).expect_err("over the limit");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.message().contains("12 bytes"), "{refused}");
    let length = append_reply(Value::Int(12), 5, 16).and_then(Reply::into_written);
    assert_eq!(length.expect("applied").outcome, Outcome::Integer(12));
}
