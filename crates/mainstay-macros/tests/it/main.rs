//! Functions under `#[mainstay::cached]`, as a program has them.
#![cfg(test)]

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use mainstay::{Config, Storage, config::RouteConfig};
use serde::{Deserialize, Serialize};

/// A program's own error.
#[derive(Debug, PartialEq)]
enum Trouble {
    Refused,
    Storage(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<mainstay::Error> for Trouble {
    fn from(error: mainstay::Error) -> Self {
        Trouble::Storage(error.to_string())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Doc comments and other attributes stay.
#[mainstay::cached(storage = "storage", key = "user:{team}:{id}", ttl = "60s", tags = ["users", "team:{team}"])]
async fn user(storage: &Storage, team: &str, id: u64) -> Result<User, Trouble> {
    CALLS.fetch_add(1, Relaxed);
    if id == 0 {
        return Err(Trouble::Refused);
    }
    let name = format!("{team} {id}");
    // The storage is at hand in the body as well.
    let _ = storage.status();
    Ok(User { id, name })
}

static LOOKS: AtomicU64 = AtomicU64::new(0);

#[mainstay::cached(
    storage = "storage",
    key = "maybe:{id}",
    codec = "postcard",
    negative_ttl = "5s",
    refresh_ahead = 0.1
)]
async fn maybe(storage: Storage, id: u64) -> Result<Option<User>, Trouble> {
    LOOKS.fetch_add(1, Relaxed);
    drop(storage);
    Ok((id < 10).then(|| User { id, name: "one".to_owned() }))
}

async fn storage() -> Storage {
    let route = RouteConfig { backends: vec!["memory".into()], ..RouteConfig::default() };
    Storage::open(Config { routes: vec![route], ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn a_result_is_kept_and_an_error_is_not() {
    let storage = storage().await;
    for _ in 0..3 {
        let found = user(&storage, "red", 7).await.unwrap();
        assert_eq!(found, User { id: 7, name: "red 7".to_owned() });
    }
    assert_eq!(CALLS.load(Relaxed), 1);
    for calls in 2..4 {
        assert_eq!(user(&storage, "red", 0).await, Err(Trouble::Refused), "its own error");
        assert_eq!(CALLS.load(Relaxed), calls);
    }
    // What looks like one key is two.
    user(&storage, "a:1", 2).await.unwrap();
    assert_eq!(user(&storage, "a", 12).await.unwrap().name, "a 12");
    storage.invalidate_tag("team:red").await.unwrap();
    user(&storage, "red", 7).await.unwrap();
    assert_eq!(CALLS.load(Relaxed), 6);
    storage.close(std::time::Duration::from_secs(1)).await;
    let closed = user(&storage, "red", 7).await.unwrap_err();
    assert_eq!(closed, Trouble::Storage("the storage is closed".to_owned()));
}

#[tokio::test]
async fn nothing_is_kept_too_where_the_function_may_find_nothing() {
    let storage = storage().await;
    for _ in 0..3 {
        assert_eq!(maybe(storage.clone(), 1).await.unwrap().unwrap().name, "one");
        assert_eq!(maybe(storage.clone(), 99).await.unwrap(), None);
    }
    assert_eq!(LOOKS.load(Relaxed), 2);
}
