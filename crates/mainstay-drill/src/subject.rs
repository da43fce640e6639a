//! The system under test: a storage and its RESP server in this process, on a free port.
//! It must not know what is broken.

use std::{net::SocketAddr, time::Duration};

use mainstay::{Config, Storage};
use mainstay_server::resp::{RespConfig, RespServer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{Custom, WorldError};

/// The longest that it may take to close.
const CLOSE: Duration = Duration::from_secs(10);

/// A storage that listens.
#[derive(Debug)]
pub struct Subject {
    storage: Storage,
    resp: SocketAddr,
    stop: CancellationToken,
    serving: JoinSet<()>,
    /// It ends with the drill.
    own: bool,
}

impl Subject {
    /// Opens the storage over these backends and serves it on a free loopback port.
    ///
    /// # Errors
    /// A configuration that does not validate, or a port that cannot be had.
    pub async fn open(config: Config, customs: Vec<Custom>) -> Result<Self, WorldError> {
        let mut builder = Storage::builder(config);
        for (name, backend, config) in customs {
            builder = builder.backend(name, backend, config);
        }
        let storage = builder.open().await?;
        let listen = RespConfig { listen: "127.0.0.1:0".to_owned(), ..RespConfig::default() };
        let server = RespServer::bind(listen, storage.clone()).await?;
        let (resp, stop) = (server.local_addr(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(server.run(stop.clone()));
        Ok(Self { storage, resp, stop, serving, own: true })
    }

    /// One that serves already, and goes on when the drill has ended.
    pub fn serving(storage: Storage, resp: SocketAddr) -> Self {
        let (stop, serving) = (CancellationToken::new(), JoinSet::new());
        Self { storage, resp, stop, serving, own: false }
    }

    /// The storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Where it speaks RESP.
    pub fn resp(&self) -> SocketAddr {
        self.resp
    }

    /// Ends it, within a bound, if it was opened for the drill.
    pub async fn close(mut self) {
        if !self.own {
            return;
        }
        self.stop.cancel();
        let ended = async { while self.serving.join_next().await.is_some() {} };
        // What does not end is dropped with the set.
        let _late = tokio::time::timeout(CLOSE, ended).await;
        self.storage.close(CLOSE).await;
    }
}
