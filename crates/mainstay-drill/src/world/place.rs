//! One backend's place: a server behind a proxy, or a file behind a gate; and each fault on it.
//! It must not know the other places.

use std::{sync::Arc, time::Duration};

use mainstay_servers::{
    proxy::{Proxy, Toxics},
    servers::workdir::WorkDir,
};

use super::{
    WorldError,
    gate::{Barred, Gate},
    server::Server,
};
use crate::scenario::Fault;

/// A backend's place.
#[derive(Debug)]
pub(super) enum Place {
    /// Reached through the network.
    Behind {
        server: Box<Server>,
        proxy: Proxy,
        /// It is not running, and is not meant to.
        killed: bool,
    },
    /// In this process, on a file of its own.
    File { gate: Arc<Gate>, _dir: WorkDir },
}

impl Place {
    pub(super) async fn behind(server: Box<Server>) -> Result<Self, WorldError> {
        let proxy = Proxy::start(server.port()).await?;
        Ok(Self::Behind { server, proxy, killed: false })
    }

    pub(super) async fn prepare(&mut self, fault: &Fault) -> Result<(), WorldError> {
        match (self, fault) {
            (Self::Behind { server, .. }, Fault::OldSnapshot) => server.snapshot().await,
            _ => Ok(()),
        }
    }

    pub(super) async fn inject(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let (server, proxy, killed) = match self {
            Self::Behind { server, proxy, killed } => (server, proxy, killed),
            Self::File { gate, .. } => return bar(gate, fault),
        };
        match fault {
            Fault::Refuse | Fault::Flap { .. } => {
                proxy.set(Toxics::refuse()).await;
                proxy.cut().await;
            }
            Fault::Hang => server.stop(),
            Fault::Partition => proxy.set(Toxics::partition()).await,
            Fault::Slow { latency, jitter } => proxy.set(Toxics::slow(*latency, *jitter)).await,
            Fault::Reset => proxy.set(Toxics::reset()).await,
            Fault::Auth => {
                server.lock_out(true).await?;
                proxy.cut().await;
            }
            Fault::Crash | Fault::RestartEmpty | Fault::OldSnapshot => {
                *killed = true;
                server.kill();
            }
        }
        Ok(())
    }

    pub(super) async fn heal(&mut self, fault: &Fault) -> Result<(), WorldError> {
        let (server, proxy, killed) = match self {
            Self::Behind { server, proxy, killed } => (server, proxy, killed),
            Self::File { gate, .. } => {
                gate.set(None);
                return Ok(());
            }
        };
        match fault {
            Fault::Hang => server.cont(),
            Fault::Auth => {
                server.lock_out(false).await?;
                proxy.cut().await;
            }
            Fault::Crash => server.restart().await?,
            Fault::RestartEmpty => server.restart_empty().await?,
            Fault::OldSnapshot => server.restart_old().await?,
            Fault::Refuse
            | Fault::Flap { .. }
            | Fault::Partition
            | Fault::Slow { .. }
            | Fault::Reset => proxy.heal().await,
        }
        *killed = false;
        Ok(())
    }

    /// Whether it has ended though nobody killed it.
    pub(super) fn has_ended(&mut self) -> bool {
        match self {
            Self::Behind { server, killed, .. } => !*killed && !server.running(),
            Self::File { .. } => false,
        }
    }
}

/// The same faults at the gate, where they have a meaning for a file.
fn bar(gate: &Gate, fault: &Fault) -> Result<(), WorldError> {
    let barred = match fault {
        Fault::Refuse | Fault::Flap { .. } | Fault::Crash | Fault::Reset => Barred::Refused,
        Fault::Hang | Fault::Partition => Barred::Hangs,
        // There and back.
        Fault::Slow { latency, jitter } => Barred::Late(*latency * 2 + *jitter),
        Fault::Auth | Fault::RestartEmpty | Fault::OldSnapshot => {
            let text =
                format!("the fault `{}` is not one that a SQLite file can have", fault.as_str());
            return Err(WorldError::Unsuitable(text));
        }
    };
    gate.set(Some(barred));
    Ok(())
}

/// A switch of a gate takes effect at once; a server may take this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
