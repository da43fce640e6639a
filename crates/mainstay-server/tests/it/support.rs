//! What the tests of both doors need.

use std::time::Duration;

use mainstay::{Config, Storage, config::RouteConfig};

/// Long enough for anything that is going to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A storage on memory alone.
pub(crate) async fn in_memory() -> Storage {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    Storage::open(Config { routes: vec![route], ..Config::default() }).await.unwrap()
}
