//! A lock that says what it is worth, a write that a later holder's token refuses, and an election.
//! `cargo run -p mainstay --example lock`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use mainstay::{
    Config, Guarantee, LockOptions, Result, SetOptions, Storage, config::BackendConfig,
};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("mainstay-lock-{}", std::process::id()));
    let mut config = Config::default();
    config
        .backends
        .insert("db".to_owned(), BackendConfig::at(format!("sqlite:{}/app.db", folder.display())));
    // Two storages over one file, as two processes would be.
    let (one, two) = (Storage::open(config.clone()).await?, Storage::open(config).await?);

    let guard = one.lock("report").await?;
    println!("one holds it, token {}, guarantee {:?}", guard.token(), guard.guarantee());
    println!("two gets {:?}", two.try_lock("report").await?);
    let strict = LockOptions { require: Some(Guarantee::Fenced), ..LockOptions::default() };
    if let Err(refused) = one.lock_with("report", strict).await {
        println!("fenced is not to be had from a file: {refused}");
    }

    let under = |fence| SetOptions { fence: Some(fence), ..SetOptions::default() };
    let old = guard.fence();
    guard.check()?;
    one.set_with("report", "draft", under(old.clone())).await?;
    println!("released: {:?}", guard.release().await);

    let next = two.lock("report").await?;
    two.set_with("report", "final", under(next.fence())).await?;
    if let Err(refused) = one.set_with("report", "late draft", under(old)).await {
        println!("the late write is refused: {refused}");
    }
    drop(next);

    let options = || LockOptions { ttl: Some(Duration::from_secs(5)), ..LockOptions::default() };
    let mut first = one.campaign("leader", options())?;
    let Some(term) = first.leading().await else { return Ok(()) };
    let mut second = two.campaign("leader", options())?;
    println!("one leads, term {}", term.token());
    println!("one resigns: {:?}", first.resign().await);
    if let Some(term) = second.leading().await {
        println!("two leads, term {}", term.token());
    }

    println!("{:?}", two.status().locks);
    drop(second);
    for storage in [one, two] {
        storage.close(Duration::from_secs(5)).await;
    }
    drop(std::fs::remove_dir_all(folder));
    Ok(())
}
