//! Files that are damaged, and texts where a quantity is due.

use std::path::Path;

use mainstay::config::text;
use serde::Deserialize;

use super::table::{bytes, cases, judge};
use crate::support::{Scratch, Server};

/// What is done to a file.
#[derive(Deserialize)]
struct Edit {
    file: String,
    cut: Option<u64>,
    flip: Option<usize>,
    append: Option<String>,
    write: Option<String>,
    #[serde(default)]
    remove: bool,
}

impl Edit {
    fn apply(&self, folder: &Path) {
        let path = folder.join(&self.file);
        if self.remove {
            return std::fs::remove_file(path).unwrap();
        }
        if let Some(text) = &self.write {
            return std::fs::write(path, bytes(text)).unwrap();
        }
        let mut content = std::fs::read(&path).unwrap();
        if let Some(length) = self.cut {
            content.truncate(usize::try_from(length).unwrap());
        }
        if let Some(at) = self.flip {
            content[at] ^= 1;
        }
        content.extend(self.append.as_deref().map(bytes).unwrap_or_default());
        std::fs::write(path, content).unwrap();
    }
}

#[derive(Deserialize)]
struct Journal {
    name: String,
    edit: Vec<Edit>,
    show: Option<String>,
    waits: Option<usize>,
    #[serde(default)]
    aside: Vec<String>,
    refused: Option<String>,
}

const CONFIG: &str = r#"
[journal]
dir = "dir"
[backends.db]
url = "postgres://127.0.0.1:1/nowhere"
[[route]]
prefix = "a:"
record = "db"
on_record_down = "journal"
"#;

const FILES: [(&str, &[u8]); 2] = [
    ("00000000000000000001.journal", include_bytes!("journal/00000000000000000001.journal")),
    ("identity", include_bytes!("journal/identity")),
];

/// What is otherwise than the table says.
fn look(case: &Journal) -> Option<String> {
    let scratch = Scratch::new();
    let folder = scratch.path().join("dir");
    std::fs::create_dir(&folder).unwrap();
    for (name, content) in FILES {
        std::fs::write(folder.join(name), content).unwrap();
    }
    case.edit.iter().for_each(|edit| edit.apply(&folder));
    scratch.write("mainstay.toml", CONFIG);
    let shown = scratch.run(&["journal", "show", "--dir", "dir"]);
    if let Some(refused) = &case.refused {
        let expected = format!("error: {}\n", refused.replace("DIR", "dir"));
        let served = scratch.run(&["serve", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        return (shown.stderr != expected || served.stderr != expected)
            .then(|| format!("{shown:?} {served:?}"));
    }
    let said: Vec<&str> = shown.stdout.lines().filter(|line| !line.starts_with("waits")).collect();
    if Some(said.join("; ")) != case.show {
        return Some(format!("{shown:?}"));
    }
    let server = Server::start(&scratch);
    let waits = server.json(&["journal", "show"])["entries"].as_array().map(Vec::len);
    server.stop();
    let mut aside: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".torn-") || name.contains(".corrupt-"))
        .collect();
    aside.sort();
    (waits != case.waits || aside != case.aside).then(|| format!("{waits:?} wait, {aside:?}"))
}

#[test]
fn a_damaged_journal_keeps_what_is_readable_and_sets_the_rest_aside() {
    let cases = cases::<Journal>(include_str!("journal.toml"));
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| look(case).map(|found| format!("{}: {found}", case.name)))
        .collect();
    judge(&wrong);
}

#[derive(Deserialize)]
struct Quantity {
    duration: Option<String>,
    size: Option<String>,
    error: String,
}

#[test]
fn what_is_no_quantity_is_refused_with_the_fix() {
    let mut wrong = Vec::new();
    for case in cases::<Quantity>(include_str!("quantities.toml")) {
        let said = match (&case.duration, &case.size) {
            (Some(text), _) => text::parse_duration(text).map(|_| ()),
            (None, size) => text::parse_size(size.as_deref().unwrap()).map(|_| ()),
        };
        if said.as_ref() != Err(&case.error) {
            wrong.push(format!("{:?} {:?}: {said:?}", case.duration, case.size));
        }
    }
    judge(&wrong);
}

#[derive(Deserialize)]
struct Database {
    name: String,
    write: Option<String>,
    zero: Option<[usize; 2]>,
    cut: Option<usize>,
    sql: Option<String>,
    kind: String,
    message: String,
}

const FILE: &str = "./mainstay-data/mainstay.db";
const ROWS: usize = 300;

/// A database that a server has written and left.
fn written() -> Scratch {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let set = |number| {
        format!(r#"{{"op":"set","key":"k{number}","value":"{number} {}"}}"#, "v".repeat(500))
    };
    let answer = batch(&server, set);
    assert_eq!(answer.matches("\"status\":204").count(), ROWS, "{answer}");
    assert_eq!(server.stop(), Some(0));
    scratch
}

/// One operation on each row, and the answer.
fn batch(server: &Server<'_>, operation: impl Fn(usize) -> String) -> String {
    use std::io::{Read, Write};
    let operations: Vec<String> = (0..ROWS).map(operation).collect();
    let body = format!(r#"{{"operations":[{}]}}"#, operations.join(","));
    let request = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(&server.http).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn spoil(case: &Database, path: &Path) {
    if let Some(sql) = &case.sql {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(sql).unwrap();
        return;
    }
    let mut content = std::fs::read(path).unwrap();
    if let Some(text) = &case.write {
        content = bytes(text);
    }
    if let Some([from, to]) = case.zero {
        content[from..to].fill(0);
    }
    content.truncate(case.cut.unwrap_or(usize::MAX));
    std::fs::write(path, content).unwrap();
}

/// What is said of it once the server has tried.
fn said(scratch: &Scratch) -> (String, String) {
    let server = Server::start_unready(scratch, &[]);
    // Each look is a process of its own.
    for _ in 0..500 {
        let status = server.json(&["status"]);
        let error = &status["backends"][0]["last_error"];
        if let (Some(kind), Some(message)) = (error["kind"].as_str(), error["message"].as_str()) {
            let found = (kind.to_owned(), message.to_owned());
            server.stop();
            return found;
        }
        assert_ne!(status["backends"][0]["reconnect"]["connected"], true, "{status}");
    }
    panic!("nothing was said of the database");
}

#[test]
fn a_damaged_database_is_reported_and_stays_as_it_is() {
    let good = written();
    let mut wrong = Vec::new();
    for case in cases::<Database>(include_str!("sqlite.toml")) {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path().join("mainstay-data")).unwrap();
        let path = scratch.path().join(FILE);
        std::fs::copy(good.path().join(FILE), &path).unwrap();
        spoil(&case, &path);
        let before = std::fs::read(&path).unwrap();
        let (kind, message) = said(&scratch);
        let expected = if case.kind == "corrupt" {
            format!(
                "{FILE} is damaged ({}): it stays as it is, and nothing of it is served. Get what is readable with \
                 `{}`, move the damaged file aside together with its -wal, and put the recovered one in its place",
                case.message,
                recovery()
            )
        } else {
            case.message.replace("FILE", FILE)
        };
        if (&kind, &message) != (&case.kind, &expected) {
            wrong.push(format!("{}: {kind}: {message}", case.name));
        }
        if std::fs::read(&path).unwrap() != before {
            wrong.push(format!("{}: the file was changed", case.name));
        }
    }
    judge(&wrong);
}

/// What a damaged file is told.
fn recovery() -> String {
    format!("sqlite3 {FILE} .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 {FILE}.recovered")
}

/// As the message says: with the tool of SQLite itself.
#[test]
fn what_is_readable_in_a_damaged_database_is_recovered() {
    let scratch = written();
    let path = scratch.path().join(FILE);
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 8192 * 4096;
    content[middle..middle + 4096].fill(0);
    std::fs::write(&path, content).unwrap();
    assert_eq!(said(&scratch).0, "corrupt");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &recovery()]).current_dir(scratch.path());
    assert!(shell.status().unwrap().success());
    let aside = path.with_extension("db.damaged");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::rename(path.with_extension("db.recovered"), &path).unwrap();
    let server = Server::start(&scratch);
    let answer = batch(&server, |number| format!(r#"{{"op":"get","key":"k{number}"}}"#));
    let kept = (0..ROWS)
        .filter(|number| answer.contains(&format!("\"value\":\"{number} {}\"", "v".repeat(500))));
    // One page of some four thousand bytes held seven rows of five hundred, and no more.
    let kept = kept.count();
    assert!(kept >= ROWS - 20, "{kept} of {ROWS}");
    assert!(aside.exists());
    assert_eq!(server.stop(), Some(0));
}
