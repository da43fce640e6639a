//! A slow lookup behind a cache: a thousand readers, one load; then what is served while the lookup fails.
//!
//! `cargo run -p mainstay --example get_or_load`, with `REDIS_URL` and `DATABASE_URL` to share the values between processes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mainstay::{Config, LoadOptions, Storage, config::BackendConfig};

#[tokio::main]
async fn main() -> mainstay::Result<()> {
    let storage = Storage::open(config()).await?;
    let loads = Arc::new(AtomicU64::new(0));
    let mut options = LoadOptions::ttl(Duration::from_secs(2));
    options.stale_if_error = Some(Duration::from_secs(600));
    options.tags = vec!["users".to_owned()];

    let readers = (0..1000).map(|_| {
        let loads = Arc::clone(&loads);
        storage.get_or_load("user:1", options.clone(), move || async move {
            loads.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            io::Result::Ok(Some("ada"))
        })
    });
    for entry in futures_util::future::join_all(readers).await {
        assert!(entry?.is_some());
    }
    say(&format!("1000 readers, {} load", loads.load(Relaxed)));

    tokio::time::sleep(Duration::from_secs(3)).await;
    let fails = || async { Err::<Option<&str>, _>(io::Error::other("the table is locked")) };
    if let Some(entry) = storage.get_or_load("user:1", options.clone(), fails).await? {
        say(&format!("while the lookup fails: {:?}, stale: {}", entry.value, entry.stale));
    }
    storage.invalidate_tag("users").await?;
    match storage.get_or_load("user:1", options, fails).await {
        Err(error) => say(&format!("and after its tag was invalidated: {error}")),
        Ok(entry) => say(&format!("{entry:?}")),
    }
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

fn config() -> Config {
    let mut config = Config::default();
    for (name, variable) in [("redis", "REDIS_URL"), ("db", "DATABASE_URL")] {
        if let Ok(url) = std::env::var(variable) {
            config.backends.insert(name.to_owned(), BackendConfig::at(&url));
        }
    }
    config
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(line: &str) {
    println!("{line}");
}
