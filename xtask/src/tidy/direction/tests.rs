use super::super::source::fake;
use super::*;

fn library(path: &str, text: &str) -> Vec<String> {
    let source = fake(&format!("crates/mainstay/src/{path}"), text);
    findings(&[source]).into_iter().map(|found| found.text).collect()
}

#[test]
fn imports_are_read_from_paths_and_groups() {
    let text = "use crate::{\n    clock::Clock,\n    error::{Error, Result},\n    op::{\n        Op,\n        TtlChange,\n    },\n};\n\
                use crate::entry::Key;\nlet x = crate::reply::Reply::new(crate::config::y());\n// crate::storage\n\
                use crate::{status::A, task};\n";
    let names: Vec<(usize, String)> = imports(&fake("crates/mainstay/src/a.rs", text));
    let expected = [
        (2, "clock"),
        (3, "error"),
        (4, "op"),
        (9, "entry"),
        (10, "reply"),
        (10, "config"),
        (12, "status"),
        (12, "task"),
    ];
    assert_eq!(names, expected.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn downward_is_free_and_upward_is_found() {
    assert!(
        library("storage/mod.rs", "use crate::exec::run;\nuse crate::error::Error;\n").is_empty()
    );
    assert!(library("lib.rs", "pub use crate::storage::Storage;\n").is_empty());
    let found =
        library("exec/mod.rs", "//! x\nuse crate::error::Error;\nuse crate::storage::Storage;\n");
    assert_eq!(
        found,
        ["crates/mainstay/src/exec/mod.rs:3: `exec` lies below `storage` and may not import it"]
    );
}

#[test]
fn an_adapter_sees_little() {
    assert!(library("backend/redis/mod.rs", "use crate::{clock::Clock, op::Op};\n").is_empty());
    assert!(library("backend/open.rs", "use crate::event::Events;\n").is_empty());
    assert_eq!(library("backend/redis/mod.rs", "use crate::event::Events;\n").len(), 1);
    assert_eq!(library("backend/memory.rs", "use crate::guard::call;\n").len(), 1);
}

#[test]
fn route_sees_neither_backends_nor_tokio() {
    assert_eq!(
        library("route/plan.rs", "use crate::backend::Backend;\nuse tokio::sync::Mutex;\n").len(),
        2
    );
    assert!(library("route/plan.rs", "use crate::op::Op;\n").is_empty());
}

#[test]
fn a_module_without_a_layer_is_found() {
    assert_eq!(library("surprise.rs", "//! x\n").len(), 1);
}

#[test]
fn crates_import_downward() {
    let of = |path: &str, text: &str| findings(&[fake(path, text)]).len();
    assert_eq!(of("crates/mainstay/src/op.rs", "use mainstay_server::x;\n"), 1);
    assert_eq!(of("crates/mainstay-server/src/lib.rs", "use mainstay::Op;\n"), 0);
    assert_eq!(of("crates/mainstay-server/src/lib.rs", "use mainstay_testkit::servers;\n"), 1);
    assert_eq!(of("crates/mainstay-cli/src/main.rs", "use mainstay_server::x;\n"), 0);
}
