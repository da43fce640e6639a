//! redis-py's own `Lock`, straight on Redis: one process with a thread for each contender.
//! It must not know what breaks.

use std::{net::SocketAddr, path::PathBuf};

use tokio::{process::Command, sync::OnceCell};

use super::{
    LEASE, NAMES,
    guest::{self, Guest},
    judge::Section,
};
use crate::clients::{install_python, script};

/// The process.
pub(super) struct RedisPy(Guest);

impl RedisPy {
    /// As many contenders, and the version that the registry gave.
    pub(super) async fn start(redis: SocketAddr, contenders: usize) -> Self {
        static PACKAGES: OnceCell<PathBuf> = OnceCell::const_new();
        let packages =
            PACKAGES.get_or_init(async || install_python("contenders-python", &["redis"]).await);
        let packages = packages.await;
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", packages).arg(script("lock_contenders.py"));
        let numbers = [redis.port().into(), contenders, NAMES].map(|number| number.to_string());
        command.args(numbers).arg(LEASE.as_secs_f64().to_string());
        let mut guest = Guest::start(command);
        println!("redis-py {}", guest.says("version").await);
        Self(guest)
    }

    /// What was done next; `None`: nothing any more.
    pub(super) async fn section(&mut self) -> Option<Section> {
        let line = self.0.line().await?;
        // The others say that a lock is free.
        line.strip_prefix("section ").map(|text| guest::section(text, "redis-py"))
    }

    /// Asks them to stop, when they have done what they are at.
    pub(super) fn stop(&mut self) {
        self.0.end_input();
    }

    /// After they have found every lock free.
    pub(super) async fn ended_well(self) {
        self.0.ended_well().await;
    }
}
