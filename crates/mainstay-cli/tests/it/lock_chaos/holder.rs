//! A process that holds a lock by the library's own guard: slow clocks, and SIGSTOP past its lease.
//! It must not know who grants.

use std::time::Duration;

use mainstay::{Config, ErrorKind, LockGuard, LockOptions, Released, SetOptions, Storage};
use tokio::process::Command;

use super::{
    NAMES, PATIENCE, clocks,
    clocks::Variables,
    contender::key,
    guest::{self, Guest},
    judge::{Grant, Section},
};
use crate::support::Scratch;

const CONFIGURATION: &str = "MAINSTAY_TEST_HOLDER";
/// Milliseconds.
const LASTS: &str = "MAINSTAY_TEST_HOLDER_LEASE";
const RENEWS: &str = "MAINSTAY_TEST_HOLDER_RENEWS";
/// The lock that it is about: the contenders want the others.
const NAME: usize = NAMES;
/// Where everybody writes under it. The route of the record alone.
const WRITTEN: &str = "under:lock";
/// How often it looks whether it still holds it.
const LOOK: Duration = Duration::from_millis(1);
const CLOSE: Duration = Duration::from_secs(5);

/// What a process and this one agree on besides: where a fenced write goes.
pub(super) fn route(record: &str) -> String {
    format!("[[route]]\nprefix = \"under:\"\nrecord = \"{record}\"\n")
}

/// Only as the process that is started below: it enters, writes, stays until its lease has ended, and writes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test starts it"]
async fn process() {
    let Ok(text) = std::env::var(CONFIGURATION) else { return };
    let storage = open(&text).await;
    let lease = Duration::from_millis(std::env::var(LASTS).unwrap().parse().unwrap());
    let (guard, enter) = enter(&storage, lease, std::env::var_os(RENEWS).is_some()).await;
    write(&storage, &guard).await.expect("nobody came after it");
    println!("\ninside {}", guard.token());
    let mut leave = enter;
    loop {
        let now = clocks::nanos();
        if !guard.is_held() {
            break;
        }
        leave = now;
        tokio::time::sleep(LOOK).await;
    }
    println!("\nsection {NAME} {} {enter} {leave}", guard.token());
    guard.lost().await;
    assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Fenced);
    match write(&storage, &guard).await {
        Ok(()) => println!("\nwrite taken"),
        Err(error) if error.kind() == ErrorKind::Fenced => println!("\nwrite refused"),
        Err(error) => println!("\nwrite not known: {error}"),
    }
    assert_eq!(guard.release().await, Released::AlreadyLost);
    storage.close(CLOSE).await;
}

async fn open(text: &str) -> Storage {
    Storage::open(toml::from_str::<Config>(text).unwrap()).await.unwrap()
}

/// The guard, after a write under it, and from when it was held.
async fn enter(storage: &Storage, lease: Duration, renew: bool) -> (LockGuard, u64) {
    let (ttl, wait) = (Some(lease), Some(PATIENCE));
    let options = LockOptions { ttl, wait, renew, ..LockOptions::default() };
    let granted = storage.lock_with(key(NAME), options).await.unwrap();
    (granted.expect("the lock becomes free"), clocks::nanos())
}

async fn write(storage: &Storage, guard: &LockGuard) -> mainstay::Result<()> {
    let options = SetOptions { fence: Some(guard.fence()), ..SetOptions::default() };
    storage.set_with(WRITTEN, guard.token().to_string(), options).await.map(drop)
}

/// One that is a process, with these clocks.
fn start(folder: &Scratch, text: &str, lease: Duration, renews: bool, clocks: Variables) -> Guest {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "lock_chaos::holder::process";
    command.args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.current_dir(folder.path()).env(CONFIGURATION, text).envs(clocks);
    command.env(LASTS, lease.as_millis().to_string());
    if renews {
        command.env(RENEWS, "yes");
    }
    Guest::start(command)
}

/// Enters, and stays as long as it may by its clocks, which run at this rate. Then this process enters.
pub(super) async fn to_its_end(text: &str, rate: &str, lease: Duration) -> [Section; 2] {
    let (folder, storage) = (Scratch::new(), open(text).await);
    let mut guest = start(&folder, text, lease, false, clocks::at_rate(rate).await);
    guest.says("inside").await;
    let (guard, entered) = enter(&storage, lease, false).await;
    let next = section(&guard, entered);
    guard.release().await;
    let section = guest::section(&guest.says("section").await, "to its end");
    guest.ended_well().await;
    storage.close(CLOSE).await;
    [section, next]
}

/// Is stopped while it holds the lock, until this process has held it and has written. Then it must know that it lost it,
/// and what it writes must be refused.
pub(super) async fn stopped(text: &str, lease: Duration) -> [Section; 2] {
    let (folder, storage) = (Scratch::new(), open(text).await);
    let mut guest = start(&folder, text, lease, true, Variables::new());
    let token: u64 = guest.says("inside").await.parse().unwrap();
    guest.signal("STOP").await;
    let (guard, entered) = enter(&storage, lease, true).await;
    assert!(guard.token() > token, "{} after {token}", guard.token());
    write(&storage, &guard).await.unwrap();
    let next = section(&guard, entered);
    guard.release().await;
    guest.signal("CONT").await;
    let section = guest::section(&guest.says("section").await, "stopped");
    assert_eq!(guest.says("write").await, "refused");
    let held = storage.get(WRITTEN).await.unwrap().expect("what was written");
    assert_eq!(held.value, next.grant.token.to_string());
    guest.ended_well().await;
    storage.close(CLOSE).await;
    [section, next]
}

/// Of this process, until now.
fn section(guard: &LockGuard, entered: u64) -> Section {
    let leave = clocks::nanos();
    guard.check().expect("it is still held");
    let grant = Grant { name: NAME, token: guard.token(), holder: "next".to_owned() };
    Section { grant, enter: clocks::instant(entered), leave: clocks::instant(leave) }
}
