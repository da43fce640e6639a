//! A backend of one's own that can be switched off: the route goes on to the next, says so, and comes back.
//! `cargo run -p mainstay --example failover`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use mainstay::{
    Clock, Config, Deadline, Error, ErrorKind, Op, Reply, Result, Storage,
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope, memory::Memory},
    config::{BackendConfig, RouteConfig},
};

/// Stands for a remote engine: memory behind a cable that can be pulled.
#[derive(Debug)]
struct Remote {
    memory: Memory,
    pulled: Arc<AtomicBool>,
}

impl Remote {
    fn reachable(&self) -> Result<()> {
        match self.pulled.load(Relaxed) {
            true => Err(Error::new(ErrorKind::Disconnected, "Connection refused")),
            false => Ok(()),
        }
    }
}

impl Backend for Remote {
    fn engine(&self) -> &'static str {
        "remote"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            durability: Durability::Volatile,
            ..self.memory.capabilities()
        }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.reachable()?;
            self.memory.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            self.reachable()?;
            self.memory.execute(op, deadline).await
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.reachable()?;
            self.memory.probe(depth, deadline).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let pulled = Arc::new(AtomicBool::new(false));
    let memory = Memory::new(&Config::default().memory, 1 << 20, Clock::system());
    let remote = Arc::new(Remote { memory, pulled: Arc::clone(&pulled) });
    let route = RouteConfig { backends: vec!["remote".to_owned()], ..RouteConfig::default() };
    let storage = Storage::builder(Config { routes: vec![route], ..Config::default() })
        .backend("remote", remote, BackendConfig::default())
        .open()
        .await?;

    storage.set("greeting", "hello").await?;
    show(&storage, "all is well").await?;

    pulled.store(true, Relaxed);
    storage.set("greeting", "hello from memory").await?;
    while storage.status().health == mainstay::status::Health::Up {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    show(&storage, "the cable is pulled").await?;

    pulled.store(false, Relaxed);
    while storage.status().health != mainstay::status::Health::Up {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    show(&storage, "the cable is back; what memory took was volatile").await?;

    println!("\nwhat happened:");
    for event in storage.events().since(0) {
        println!("  {event}");
    }
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

async fn show(storage: &Storage, when: &str) -> Result<()> {
    let entry = storage.get("greeting").await?;
    println!("{when}: {:?}", entry.map(|entry| (entry.value, entry.source)));
    println!("  {}", storage.status().sentence);
    Ok(())
}
