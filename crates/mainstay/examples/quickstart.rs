//! The first minute: an embedded record, a few verbs, and where each answer came from.
//! `cargo run -p mainstay --example quickstart`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use mainstay::{Config, Result, SetOptions, Storage, TtlChange, config::BackendConfig};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("mainstay-quickstart-{}", std::process::id()));
    let mut config = Config::default();
    config
        .backends
        .insert("db".to_owned(), BackendConfig::at(format!("sqlite:{}/app.db", folder.display())));
    let storage = Storage::open(config).await?;

    storage.set("user:1", "ada").await?;
    if let Some(entry) = storage.get("user:1").await? {
        println!("user:1 is {:?}, from {}, version {:?}", entry.value, entry.source, entry.version);
    }

    let session =
        SetOptions { ttl: TtlChange::For(Duration::from_secs(30)), ..SetOptions::default() };
    storage.set_with("session:7", "token", session).await?;
    println!("session:7 lives for {:?}", storage.time_to_live("session:7").await?);
    println!("visits: {}", storage.increment("visits", 1).await?);

    let seen = storage.get("user:1").await?.and_then(|entry| entry.version);
    if let Some(version) = seen {
        let first = storage.compare_and_set("user:1", version, "grace").await?;
        let late = storage.compare_and_set("user:1", version, "linus").await?;
        println!(
            "compare-and-set: the first is applied: {}, the late one: {}",
            first.applied, late.applied
        );
    }

    println!("{}", storage.status().sentence);
    storage.close(Duration::from_secs(5)).await;
    drop(std::fs::remove_dir_all(folder));
    Ok(())
}
