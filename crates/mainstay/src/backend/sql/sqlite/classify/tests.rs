use super::*;

/// What was seen of a real SQLite.
const ATLAS: &str = include_str!("../error_atlas.json");

/// The code in a result such as `OperationalError SQLITE_BUSY(5) :: database is locked`.
fn code_and_text(result: &str) -> Option<(i32, &str)> {
    let (_, rest) = result.split_once("SQLITE_")?;
    let (_, rest) = rest.split_once('(')?;
    let (code, text) = rest.split_once(')')?;
    Some((code.parse().ok()?, text.trim_start_matches(" :: ").trim()))
}

#[test]
fn every_error_of_the_atlas_has_its_kind() {
    let atlas: Vec<serde_json::Value> = serde_json::from_str(ATLAS).unwrap();
    let mut seen = 0;
    for entry in &atlas {
        let Some((code, text)) = code_and_text(entry["result"].as_str().unwrap()) else { continue };
        let expected = match code & PRIMARY {
            5 | 6 => ErrorKind::Conflict,
            13 => ErrorKind::StorageFull,
            10 => ErrorKind::Overloaded,
            8 | 14 => ErrorKind::Misconfigured,
            11 | 26 => ErrorKind::Corrupt,
            18 => ErrorKind::TooLarge,
            19 => ErrorKind::InvalidArgument,
            9 => ErrorKind::Timeout,
            1 if text.starts_with("no such table") => ErrorKind::Misconfigured,
            1 => ErrorKind::Internal,
            other => panic!("the atlas holds a code without an expectation: {other}"),
        };
        let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text.to_owned()));
        let error = error(failure);
        assert_eq!((error.kind(), error.message()), (expected, text), "{entry}");
        seen += 1;
    }
    assert!(seen >= 18, "the atlas was understood in part only: {seen}");
}

#[test]
fn a_column_that_is_not_ours_is_corrupt() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let misread = connection.query_row("SELECT 'text'", [], |row| row.get::<_, i64>(0));
    assert_eq!(error(misread.unwrap_err()).kind(), ErrorKind::Corrupt);
}
