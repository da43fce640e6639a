use super::*;

fn host(port: u16) -> Host {
    Host { name: "10.0.0.1".to_owned(), port }
}

fn row(first: i64, last: i64, name: Value, port: i64) -> Value {
    let id = Value::BulkString(b"0123".to_vec());
    let master = Value::Array(vec![name, Value::Int(port), id, Value::Array(Vec::new())]);
    let replica = Value::Array(vec![Value::Nil, Value::Int(9)]);
    Value::Array(vec![Value::Int(first), Value::Int(last), master, replica])
}

#[test]
fn slots_are_those_of_redis() {
    // As CLUSTER KEYSLOT answers.
    assert_eq!(slot_of(b"123456789"), 12739);
    assert_eq!(slot_of(b"foo"), 12182);
    assert_eq!(slot_of(b"{foo}bar"), 12182);
    assert_eq!(slot_of(b"x{foo}{bar}"), 12182);
    assert_eq!(slot_of(b"foo{}{bar}"), 8363);
    assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
    assert_eq!(slot_of(b""), 0);
}

#[test]
fn ranges_of_one_node_are_one_node() {
    let name = || Value::BulkString(b"10.0.0.1".to_vec());
    let reply = Value::Array(vec![
        row(5000, 16383, name(), 2),
        row(0, 99, name(), 1),
        row(100, 4999, Value::Nil, 3),
        row(4000, 4001, name(), 1),
    ]);
    let ranges = ranges(reply, &Host { name: "seed".to_owned(), port: 7 }).expect("readable");
    let (map, hosts) = SlotMap::new(&ranges);
    assert_eq!(hosts, [host(1), Host { name: "seed".to_owned(), port: 3 }, host(2)]);
    assert_eq!(map.node_of(0), Some(0));
    assert_eq!(map.node_of(4000), Some(0));
    assert_eq!(map.node_of(4002), Some(1));
    assert_eq!(map.node_of(16383), Some(2));
    map.assign(16383, 0);
    assert_eq!(map.node_of(16383), Some(0));
}

#[test]
fn slots_without_a_node_are_known_to_be_so() {
    let (map, hosts) = SlotMap::new(&[]);
    assert!(hosts.is_empty());
    assert_eq!(map.node_of(1), None);
    assert_eq!(
        ranges(Value::Okay, &host(1)).expect_err("no array").kind(),
        ErrorKind::Misconfigured
    );
}

#[test]
fn redirections_are_read() {
    let error =
        |text: &str| redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply");
    let moved = Redirect::of(&error("MOVED 12182 10.0.0.1:7002"), &host(1)).expect("a redirection");
    assert_eq!(moved, Redirect { ask: false, slot: 12182, host: host(7002) });
    let ask = Redirect::of(&error("ASK 5 :7003"), &host(1)).expect("a redirection");
    assert_eq!(ask, Redirect { ask: true, slot: 5, host: host(7003) });
    assert_eq!(Redirect::of(&error("READONLY no"), &host(1)), None);
    assert_eq!(Redirect::of(&Value::Okay, &host(1)), None);
}
