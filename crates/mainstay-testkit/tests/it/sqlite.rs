//! SQLite on the conformance suite: in a file and in memory, on one thread and on many.
//! Knows nothing of how the file is written.

use crate::sql::generous;
use crate::together::{activated, deletes_tell_what_they_found, overtaken_alone, versions_rise};
use mainstay::Clock;
use mainstay::backend::Backend;
use mainstay::backend::sql::sqlite::Sqlite;
use mainstay::config::BackendConfig;
use mainstay_testkit::conformance;
use std::path::PathBuf;
use std::sync::Arc;

const VALUE_MAX: usize = 16 << 20;

/// A folder that is gone with its value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("mainstay-conformance-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn conforms(url: String) {
    let config = BackendConfig { inflight_max: Some(256), ..BackendConfig::at(url) };
    let sqlite = Sqlite::new(&config, VALUE_MAX, Clock::system()).unwrap();
    conformance::run_all(Arc::new(sqlite)).await;
}

#[tokio::test]
async fn a_file_conforms_on_one_thread() {
    let folder = Folder::new("one");
    conforms(format!("sqlite://{}/main.db", folder.0.display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_conforms_on_many_threads() {
    let folder = Folder::new("many");
    conforms(format!("sqlite://{}/main.db", folder.0.display())).await;
}

#[tokio::test]
async fn memory_conforms() {
    conforms("sqlite::memory:".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_of_many_callers_share_a_transaction_and_fail_alone() {
    let folder = Folder::new("together");
    let url = format!("sqlite://{}/main.db", folder.0.display());
    let config = BackendConfig { inflight_max: Some(256), ..BackendConfig::at(url) };
    let record: Arc<dyn Backend> =
        Arc::new(Sqlite::new(&config, VALUE_MAX, Clock::system()).unwrap());
    record.connect(generous()).await.unwrap();
    for under in [None, Some(activated(&record).await)] {
        versions_rise(&record, under).await;
        deletes_tell_what_they_found(&record, under).await;
    }
    overtaken_alone(&record).await;
    record.close().await;
}
