use mysql_async::ServerError;

use super::*;

/// The kind that each case of the atlas must be given: `None` for cases that carry no number.
fn expected(case: &str) -> Option<ErrorKind> {
    use ErrorKind::*;
    Some(match case {
        "duplicate key"
        | "bigint out of range (expr)"
        | "out of range column"
        | "incorrect string value (utf8mb3 emoji)"
        | "truncated wrong INTEGER" => InvalidArgument,
        "data too long"
        | "key too long for varbinary(64)"
        | "max_allowed_packet 1.2MB (just over)" => TooLarge,
        "no such table" | "syntax" | "unknown column" | "savepoint/prepared unknown stmt" => {
            Misconfigured
        }
        "unknown database"
        | "access denied"
        | "table privilege denied"
        | "db access denied"
        | "account locked"
        | "password expired" => Forbidden,
        "lock wait timeout"
        | "NOWAIT"
        | "max_statement_time (MariaDB)"
        | "KILL QUERY"
        | "max_connections"
        | "max_user_connections"
        | "FLUSH TABLES WITH READ LOCK + lock_wait_timeout 1" => Overloaded,
        "disk full (small rows, innodb)" => StorageFull,
        "deadlock" => Conflict,
        "--read-only write" | "READ ONLY transaction" => WrongNode,
        "max_allowed_packet"
        | "KILL connection then query"
        | "KILL connection during query"
        | "wait_timeout"
        | "disk full (blob rows, innodb)"
        | "SIGSTOP: query read_timeout=1"
        | "SIGSTOP: new connect (connect_timeout 3, read_timeout 2)"
        | "SIGKILL: existing conn"
        | "SIGKILL: new connect"
        | "SIGTERM graceful shutdown during query"
        | "connect during/after shutdown" => Disconnected,
        _ => return None,
    })
}

/// The number of a result such as `IntegrityError 1062 :: Duplicate entry`.
fn code_of(result: &str) -> Option<u16> {
    let code = result.split_once(" :: ")?.0.rsplit(' ').next()?.parse().ok()?;
    (code != 0).then_some(code)
}

#[test]
fn every_case_of_the_atlas_has_its_kind() {
    let atlas = include_str!("../../../../../testdata/faults/mariadb_error_atlas.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(atlas).unwrap();
    let mut classified = 0;
    for case in &cases {
        let (name, result) = (case["case"].as_str().unwrap(), case["result"].as_str().unwrap());
        match (code_of(result), expected(name)) {
            (Some(code), Some(kind)) => {
                assert_eq!(kind_of(code), kind, "{name}: {result}");
                classified += 1;
            }
            (Some(_), None) => panic!("{name}: no kind is expected of {result}"),
            (None, Some(_)) => panic!("{name}: a kind is expected, but {result} has no number"),
            (None, None) => {}
        }
    }
    assert_eq!(classified, 40, "cases with a number");
}

#[test]
fn only_an_error_of_the_statement_itself_says_that_it_was_undone() {
    let effect = |code| {
        let server = ServerError { code, message: "no\nway".to_owned(), state: "HY000".to_owned() };
        error_of(&MysqlError::Server(server), Intent::Write).effect()
    };
    assert_eq!(effect(1213), Effect::None);
    assert_eq!(effect(1205), Effect::None);
    assert_eq!(effect(1053), Effect::Unknown, "shutting down, perhaps while committing");
    assert_eq!(effect(1180), Effect::Unknown, "the commit itself failed");
    assert_eq!(effect(1927), Effect::Unknown, "the connection was killed");
}

#[test]
fn a_connection_that_breaks_leaves_a_write_in_doubt_and_a_read_without_effect() {
    let broken = || MysqlError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    let write = error_of(&broken(), Intent::Write);
    assert_eq!((write.kind(), write.effect()), (ErrorKind::Disconnected, Effect::Unknown));
    assert_eq!(error_of(&broken(), Intent::Read).effect(), Effect::None);
    assert!(!in_step(&broken()));
}
