use super::*;

/// The kind that each case of the atlas must be given: `None` for cases that carry no SQLSTATE of a server.
fn expected(case: &str) -> Option<ErrorKind> {
    use ErrorKind::*;
    Some(match case {
        "unique violation" | "bigint out of range" | "invalid text for int" | "invalid utf8" => {
            InvalidArgument
        }
        "varchar too long" | "temp file limit/too big value (1GB+)" => TooLarge,
        "undefined table"
        | "syntax error"
        | "RAW unknown database"
        | "prepared statement missing"
        | "duplicate prepared statement" => Misconfigured,
        "permission denied" | "RAW unknown role" => Forbidden,
        "statement_timeout"
        | "pg_cancel_backend"
        | "lock_timeout"
        | "NOWAIT"
        | "RAW max_connections app"
        | "RAW max_connections superuser" => Overloaded,
        "disk full (tablespace)" => StorageFull,
        "deadlock" | "serialization failure" => Conflict,
        "default_transaction_read_only"
        | "standby write"
        | "standby serializable"
        | "standby FOR UPDATE" => WrongNode,
        "idle_in_transaction_session_timeout"
        | "idle_session_timeout"
        | "pg_terminate_backend (57P01)"
        | "fast shutdown: existing conn (57P01)" => Disconnected,
        "in failed sql transaction" => Internal,
        "RAW connect during smart shutdown" => NotReady,
        _ => return None,
    })
}

/// SQLSTATE and text of a result such as `UniqueViolation sqlstate=23505 :: duplicate key` or `code=3D000 msg=...`.
fn code_and_text(result: &str) -> Option<(&str, &str)> {
    let (_, rest) = result.split_once("sqlstate=").or_else(|| result.split_once("code="))?;
    let (code, text) = rest.split_once(" :: ").or_else(|| rest.split_once(" msg="))?;
    (code != "None").then_some((code, text))
}

#[test]
fn every_case_of_the_atlas_has_its_kind() {
    let atlas = include_str!("../../../../../testdata/faults/postgres_error_atlas.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(atlas).unwrap();
    let mut classified = 0;
    for case in &cases {
        let (name, result) = (case["case"].as_str().unwrap(), case["result"].as_str().unwrap());
        match (code_and_text(result), expected(name)) {
            (Some((code, text)), Some(kind)) => {
                assert_eq!(kind_of(code, text), kind, "{name}: {result}");
                classified += 1;
            }
            (Some(_), None) => panic!("{name}: no kind is expected of {result}"),
            (None, Some(_)) => panic!("{name}: a kind is expected, but {result} has no SQLSTATE"),
            (None, None) => {}
        }
    }
    assert_eq!(classified, 32, "cases with a SQLSTATE");
}

#[test]
fn what_poolers_say_is_read_from_the_text() {
    for (code, text, kind) in [
        ("08P01", "query_wait_timeout", ErrorKind::Overloaded),
        ("08P01", "no more connections allowed (max_client_conn)", ErrorKind::Overloaded),
        ("08P01", "unsupported startup parameter: options", ErrorKind::Misconfigured),
        ("08P01", "no such database: nope", ErrorKind::Misconfigured),
        (
            "08P01",
            "server login has been failing, cached error: connect failed",
            ErrorKind::Disconnected,
        ),
        ("08006", "server conn crashed?", ErrorKind::Disconnected),
        ("XX000", "Tenant or user not found", ErrorKind::Forbidden),
        ("XX000", "MaxClientsInSessionMode: max clients reached", ErrorKind::Overloaded),
        ("XX000", "the database system is in recovery mode", ErrorKind::NotReady),
        ("XX001", "invalid page in block 0 of relation base/5/16384", ErrorKind::Corrupt),
    ] {
        assert_eq!(kind_of(code, text), kind, "{code} {text}");
    }
}

#[test]
fn only_an_error_of_the_statement_itself_says_that_it_was_undone() {
    let undone = |code: &str, severity| rolled_back(&SqlState::from_code(code), Some(severity));
    assert!(undone("40001", Severity::Error));
    assert!(undone("57014", Severity::Error));
    assert!(!undone("57P01", Severity::Fatal), "terminated, perhaps while committing");
    assert!(!undone("08006", Severity::Error), "a pooler lost the server");
    assert!(!undone("40003", Severity::Error));
    assert!(!undone("53200", Severity::Panic));
}

#[test]
fn a_pooler_without_a_server_has_not_sent_anything() {
    assert!(never_sent("server login has been failing, try again later (server_login_retry)"));
    assert!(never_sent("query_wait_timeout"));
    assert!(!never_sent("server conn crashed?"));
}
