//! One throw-away server of any engine: killed, stopped, started again.
//! It must not know the network before it.

use mainstay_servers::servers::{MariaDb, Postgres, Redis};

use super::{WorldError, stand_in::StandIn};

/// The password that a Redis gets in the fault `auth`.
const OTHER_PASSWORD: &str = "changed-by-the-drill";

/// A server.
#[derive(Debug)]
pub(super) enum Server {
    Redis(Redis),
    StandIn(StandIn),
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Redis(server) => server.port(),
            Self::StandIn(server) => server.port(),
            Self::Postgres(server) => server.port(),
            Self::MariaDb(server) => server.port(),
        }
    }

    /// Its URL, when it is reached on this port.
    pub(super) fn url(&self, port: u16) -> String {
        let own = match self {
            Self::Redis(_) | Self::StandIn(_) => return format!("redis://127.0.0.1:{port}"),
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        };
        own.replacen(&format!(":{}", self.port()), &format!(":{port}"), 1)
    }

    pub(super) fn engine(&self) -> &'static str {
        match self {
            Self::Redis(_) | Self::StandIn(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mysql",
        }
    }

    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis-server",
            Self::StandIn(_) => "Mainstay's RESP server on memory, a process of its own",
            Self::Postgres(_) => "PostgreSQL",
            Self::MariaDb(_) => "MariaDB",
        }
    }

    pub(super) fn is_real(&self) -> bool {
        !matches!(self, Self::StandIn(_))
    }

    pub(super) fn running(&mut self) -> bool {
        match self {
            Self::Redis(server) => server.running(),
            Self::StandIn(server) => server.running(),
            Self::Postgres(server) => server.running(),
            Self::MariaDb(server) => server.running(),
        }
    }

    pub(super) fn kill(&mut self) {
        match self {
            Self::Redis(server) => server.kill(),
            Self::StandIn(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
        }
    }

    pub(super) fn stop(&self) {
        match self {
            Self::Redis(server) => server.stop(),
            Self::StandIn(server) => server.stop(),
            Self::Postgres(server) => server.stop(),
            Self::MariaDb(server) => server.stop(),
        }
    }

    pub(super) fn cont(&self) {
        match self {
            Self::Redis(server) => server.cont(),
            Self::StandIn(server) => server.cont(),
            Self::Postgres(server) => server.cont(),
            Self::MariaDb(server) => server.cont(),
        }
    }

    /// Started again, with what is on its disk.
    pub(super) async fn restart(&mut self) -> Result<(), WorldError> {
        match self {
            Self::Redis(server) => server.restart().await?,
            Self::StandIn(server) => server.restart(None).await?,
            Self::Postgres(server) => server.restart().await?,
            Self::MariaDb(server) => server.restart().await?,
        }
        Ok(())
    }

    /// Started again without data.
    pub(super) async fn restart_empty(&mut self) -> Result<(), WorldError> {
        match self {
            Self::Redis(server) => server.restart_empty().await?,
            Self::StandIn(server) => server.restart(None).await?,
            Self::Postgres(server) => server.restart_empty().await?,
            Self::MariaDb(server) => server.restart_empty().await?,
        }
        Ok(())
    }

    /// Keeps the present data for `restart_old`.
    pub(super) async fn snapshot(&self) -> Result<(), WorldError> {
        match self {
            Self::Redis(server) => Ok(server.snapshot().await?),
            Self::StandIn(_) | Self::Postgres(_) | Self::MariaDb(_) => {
                Err(self.not_this("old-snapshot"))
            }
        }
    }

    /// Started again with the data of the snapshot.
    pub(super) async fn restart_old(&mut self) -> Result<(), WorldError> {
        match self {
            Self::Redis(server) => Ok(server.restart_from_snapshot().await?),
            Self::StandIn(_) | Self::Postgres(_) | Self::MariaDb(_) => {
                Err(self.not_this("old-snapshot"))
            }
        }
    }

    /// Wants another password from now on, or none as before.
    pub(super) async fn lock_out(&mut self, locked: bool) -> Result<(), WorldError> {
        let set = ["CONFIG", "SET", "requirepass"];
        match self {
            Self::Redis(server) if locked => {
                server.redis_cli(&[&set[..], &[OTHER_PASSWORD]].concat()).await?;
            }
            Self::Redis(server) => {
                let login = ["--no-auth-warning", "-a", OTHER_PASSWORD];
                server.redis_cli(&[&login[..], &set, &[""]].concat()).await?;
            }
            Self::StandIn(server) => server.restart(locked.then_some(OTHER_PASSWORD)).await?,
            Self::Postgres(_) | Self::MariaDb(_) => return Err(self.not_this("auth")),
        }
        Ok(())
    }

    fn not_this(&self, fault: &str) -> WorldError {
        WorldError::Unsuitable(format!(
            "the fault `{fault}` is not one that {} can have",
            self.what()
        ))
    }
}
