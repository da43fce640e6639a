//! What a message of the server says.

use super::*;

fn invalidate(keys: &[&str]) -> PushInfo {
    let keys = keys.iter().map(|key| Value::BulkString(key.as_bytes().to_vec())).collect();
    PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(keys)] }
}

#[test]
fn an_invalidation_names_keys_or_means_all() {
    let inbox = Inbox::default();
    let keys = ["a", "b"].map(Key::from).to_vec();
    take_in(&inbox, &invalidate(&["a", "b"]));
    assert_eq!(inbox.pop().unwrap().unwrap(), Told::Changed(keys));
    for data in [Value::Nil, Value::Int(1)] {
        take_in(&inbox, &PushInfo { kind: PushKind::Invalidate, data: vec![data] });
        assert_eq!(inbox.pop().unwrap().unwrap(), Told::All, "what cannot be read may be any key");
    }
}

#[test]
fn a_lost_connection_is_the_end() {
    let inbox = Inbox::default();
    take_in(&inbox, &PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
    assert_eq!(inbox.pop().unwrap().unwrap_err().kind(), ErrorKind::Disconnected);
}
