//! How large the futures of the road are: each call moves them on its way down.

use std::mem::size_of_val;

use super::*;
use crate::{
    CallOptions, Storage,
    backend::open::open,
    config::{BackendConfig, Config, RouteConfig},
    entropy::Entropy,
};

/// Bytes. One that is awaited without a box, on a way that is seldom taken, soon makes every call several times as large.
const CALL_MAX: usize = 512;
/// What is boxed once for each call.
const ROAD_MAX: usize = 1_536;
/// The same, for what the adapter of Redis does.
const REDIS_MAX: usize = 704;

#[tokio::test]
async fn the_future_of_a_call_is_small() {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let config = Config { routes: vec![route], ..Config::default() };
    let storage = Storage::open(config).await.unwrap();
    let op = Op::Get { key: "k".into(), with_ttl: false };
    let call = size_of_val(&storage.execute(&op, CallOptions::default()));
    assert!(call <= CALL_MAX, "{call}");
    let nothing = || async { std::io::Result::Ok(None::<bytes::Bytes>) };
    let load = size_of_val(&storage.get_or_load("k", crate::LoadOptions::default(), nothing));
    assert!(load <= CALL_MAX, "{load}");
    let (road, key) = (storage.road(), crate::Key::from("k"));
    let deadline = road.clock.deadline_in(Duration::from_secs(1));
    let route = road.table.of(&key);
    let road = size_of_val(&super::super::run_on(road, route, &op, deadline, None));
    assert!(road <= ROAD_MAX, "{road}");
    let config = BackendConfig::at("redis://127.0.0.1:1");
    let redis = open(&config, 1 << 20, &storage.road().clock, &Entropy::seeded(1)).unwrap();
    let call = size_of_val(&*redis.execute(&op, deadline));
    assert!(call <= REDIS_MAX, "{call}");
}
