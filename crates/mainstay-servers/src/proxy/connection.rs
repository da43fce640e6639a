//! One client's connection, and the one to the server behind it.
//! Knows nothing of single bytes: the two pumps move those.

use super::pump::{self, Broken};
use super::{Direction, Faults, Flow};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What a pair of connections needs to run.
pub(super) struct Links {
    pub(super) target: SocketAddr,
    /// The seed of its jitter.
    pub(super) number: u64,
    pub(super) faults: watch::Receiver<Faults>,
}

impl Links {
    /// Runs until one end closes, a byte is lost for good, or the faults say reset.
    pub(super) async fn run(self, mut client: TcpStream) {
        let cuts = self.faults.borrow().cuts;
        let mut server = None;
        let orderly = tokio::select! {
            end = self.carry(&mut client, &mut server) => end.is_ok(),
            () = cut(self.faults.clone(), cuts) => false,
        };
        if !orderly {
            reset(&client);
            server.as_ref().inspect(|server| reset(server));
        }
    }

    async fn carry(
        &self,
        client: &mut TcpStream,
        server: &mut Option<TcpStream>,
    ) -> Result<(), Broken> {
        if self.swallows() {
            return swallow(client, self.faults.clone()).await;
        }
        let server = server.insert(TcpStream::connect(self.target).await?);
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = pump::run(
            from_client,
            to_server,
            Direction::ToServer,
            self.faults.clone(),
            self.number,
        );
        let replies = pump::run(
            from_server,
            to_client,
            Direction::ToClient,
            self.faults.clone(),
            self.number,
        );
        tokio::try_join!(requests, replies).map(drop)
    }

    /// Requests are lost: the server need not even be there.
    fn swallows(&self) -> bool {
        self.faults.borrow().toxics.flow(Direction::ToServer) == Flow::Drop
    }
}

/// Reads and forgets while requests are lost; afterwards the connection is unknown to everybody.
async fn swallow(
    client: &mut TcpStream,
    mut faults: watch::Receiver<Faults>,
) -> Result<(), Broken> {
    let lifted = faults.wait_for(|faults| faults.toxics.flow(Direction::ToServer) != Flow::Drop);
    let forget = async {
        let mut buffer = vec![0; 16 * 1024];
        while client.read(&mut buffer).await? > 0 {}
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = lifted => Err(Broken),
        end = forget => Ok(end?),
    }
}

async fn cut(mut faults: watch::Receiver<Faults>, cuts: u64) {
    // Fails only when the proxy is gone, and then its tasks are being aborted.
    let _proxy_gone = faults.wait_for(|faults| faults.toxics.reset || faults.cuts > cuts).await;
}

/// Closing with nothing to linger for sends RST in the place of FIN.
fn reset(stream: &TcpStream) {
    let _already_closed = stream.set_zero_linger();
}
