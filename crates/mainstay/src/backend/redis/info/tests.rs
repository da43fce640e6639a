use super::*;

fn replies(replication: &str) -> impl Iterator<Item = Value> {
    let server = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\n";
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    vec![Value::SimpleString("PONG".to_owned()), bulk(server), bulk(replication)].into_iter()
}

fn refused(text: &str) -> Value {
    redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply")
}

#[test]
fn a_primary_is_known_by_its_words() {
    let info = Info::read(&mut replies("role:master\r\nmaster_replid:xyz\r\n")).expect("readable");
    assert_eq!((info.role.as_str(), info.replication_id.as_str()), ("master", "xyz"));
    assert_eq!(info.facts(), Facts { version: (7, 0), run_id: "abc".to_owned() });
    assert!(info.writable().is_ok());
}

#[test]
fn a_replica_is_the_wrong_node() {
    let info = Info::read(&mut replies("role:slave\r\n")).expect("readable");
    assert_eq!(info.writable().expect_err("a replica").kind(), ErrorKind::WrongNode);
}

#[test]
fn a_server_may_keep_its_facts_to_itself() {
    let no = || refused("NOPERM this user has no permissions to run the 'info' command");
    let mut replies = vec![Value::SimpleString("PONG".to_owned()), no(), no()].into_iter();
    let info = Info::read(&mut replies).expect("PING was answered");
    assert_eq!(info.facts().version, (0, 0));
    assert!(info.writable().is_ok());
}

#[test]
fn a_loading_server_is_not_ready() {
    let loading = refused("LOADING Redis is loading the dataset in memory");
    let error = Info::read(&mut vec![loading].into_iter()).expect_err("loading");
    assert_eq!(error.kind(), ErrorKind::NotReady);
}

#[test]
fn a_cluster_says_whether_it_is_up() {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    assert!(cluster_is_up(bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n")).is_ok());
    let error = cluster_is_up(bulk("cluster_state:fail\r\n")).expect_err("down");
    assert_eq!(error.kind(), ErrorKind::NotReady);
}

#[test]
fn only_a_master_that_names_itself_has_an_identity() {
    let identity = |replication: &str| {
        Info::read(&mut replies(replication)).expect("readable").identity().map_err(|e| e.kind())
    };
    assert_eq!(identity("role:master\r\nmaster_replid:xyz\r\n"), Ok("abc xyz".to_owned()));
    assert_eq!(identity("role:slave\r\nmaster_replid:xyz\r\n"), Err(ErrorKind::WrongNode));
    assert_eq!(identity("role:master\r\n"), Err(ErrorKind::Misconfigured));
}

#[test]
fn whether_it_evicts_is_believed_only_when_it_says_so() {
    let evicts = |text: &str| {
        let mut info = Info::default();
        info.add(Value::BulkString(text.as_bytes().to_vec())).expect("readable");
        info.evicts()
    };
    assert!(!evicts("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"));
    assert!(!evicts("maxmemory:9\r\nmaxmemory_policy:noeviction\r\n"));
    assert!(evicts("maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n"));
    assert!(evicts("used_memory:9\r\n"), "it does not say");
}

#[test]
fn what_survives_and_what_time_it_is_are_told_where_it_says() {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let told = |persistence: &str, save: &str| {
        let time = Value::Array(vec![bulk("1700000000"), bulk("250000")]);
        let save = Value::Array(vec![bulk("save"), bulk(save)]);
        let replies = vec![bulk("maxmemory_policy:noeviction\r\n"), bulk(persistence), save, time];
        let mut info = Info::default();
        info.add_more(&mut replies.into_iter()).expect("readable");
        (info.persistence, info.unix_ms)
    };
    let at = Some(1_700_000_000_250);
    assert_eq!(told("aof_enabled:1\r\n", ""), ("aof".to_owned(), at));
    assert_eq!(told("aof_enabled:0\r\n", "3600 1"), ("rdb".to_owned(), at));
    assert_eq!(told("aof_enabled:0\r\n", ""), ("none".to_owned(), at));
    let no = || refused("NOPERM no permissions");
    let mut info = Info::default();
    info.add_more(&mut vec![no(), no(), no(), no()].into_iter()).expect("readable");
    assert_eq!((info.persistence.as_str(), info.unix_ms), ("", None));
}
