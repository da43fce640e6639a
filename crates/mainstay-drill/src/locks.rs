//! One lock that several clients contend for: never two holders at once, and tokens that only rise.
//! It must not know who grants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay::{Clock, Instant};
use mainstay_servers::resp::{Client, Value};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const NAME: &[u8] = b"drill:lock";
/// The lease that is asked for.
const TTL: Duration = Duration::from_secs(3);
/// A holder keeps the lock for so long.
const HELD: Duration = Duration::from_millis(30);
const PAUSE: Duration = Duration::from_millis(50);
/// An answer is waited for at most so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen of the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockCounts {
    /// Granted.
    pub granted: u64,
    /// Asked for while somebody else held it.
    pub contended: u64,
    /// Errors.
    pub failed: u64,
    /// Granted while another holder's lease was running.
    pub overlaps: u64,
    /// Granted under a token that was not higher than the last one.
    pub disorder: u64,
}

/// The one place where grants are compared.
#[derive(Debug, Default)]
struct Referee {
    counts: LockCounts,
    /// Who holds it, and until when at most.
    holder: Option<(usize, Instant)>,
    token: i64,
}

impl Referee {
    fn granted(&mut self, who: usize, token: i64, now: Instant, until: Instant) {
        self.counts.granted += 1;
        if self.holder.is_some_and(|(other, until)| other != who && until > now) {
            self.counts.overlaps += 1;
        }
        self.counts.disorder += u64::from(token <= self.token);
        self.token = self.token.max(token);
        self.holder = Some((who, until));
    }

    /// Called before the release is sent: from then on somebody else may hold it.
    fn releasing(&mut self, who: usize) {
        if self.holder.is_some_and(|(holder, _)| holder == who) {
            self.holder = None;
        }
    }
}

/// Contenders under way.
#[derive(Debug)]
pub struct Contention {
    shared: Arc<Shared>,
    contenders: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    clock: Clock,
    stop: CancellationToken,
    referee: Mutex<Referee>,
}

impl Contention {
    /// Starts so many contenders.
    pub fn start(address: SocketAddr, count: u32, clock: &Clock) -> Self {
        let shared = Arc::new(Shared {
            address,
            clock: clock.clone(),
            stop: CancellationToken::new(),
            referee: Mutex::default(),
        });
        let mut contenders = JoinSet::new();
        for who in 0..count as usize {
            contenders.spawn(contend(Arc::clone(&shared), who));
        }
        Self { shared, contenders }
    }

    /// Ends them.
    pub async fn stop(mut self) -> LockCounts {
        self.shared.stop.cancel();
        let ended = async { while self.contenders.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            self.contenders.abort_all();
        }
        self.shared.referee().counts.clone()
    }
}

impl Shared {
    fn referee(&self) -> std::sync::MutexGuard<'_, Referee> {
        self.referee.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn contend(shared: Arc<Shared>, who: usize) {
    let mut connection = None;
    while !shared.stop.is_cancelled() {
        let client = match connection.take() {
            Some(client) => Ok(client),
            None => Client::connect(shared.address).await,
        };
        let turn = async { turn(&shared, client?, who).await };
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(client)) => connection = Some(client),
            Ok(Err(_)) | Err(_) => shared.referee().counts.failed += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks once; holds and releases what is granted.
async fn turn(shared: &Shared, mut client: Client, who: usize) -> std::io::Result<Client> {
    let until = shared.clock.now() + TTL;
    let ttl = format!("{}ms", TTL.as_millis());
    let asked = [b"MAINSTAY.LOCK" as &[u8], NAME, b"TTL", ttl.as_bytes(), b"WAIT", b"1s"];
    match granted(&client.command(&asked).await?) {
        Reply::Granted { holder, token } => {
            shared.referee().granted(who, token, shared.clock.now(), until);
            tokio::time::sleep(HELD).await;
            shared.referee().releasing(who);
            let token = token.to_string();
            let release = [b"MAINSTAY.UNLOCK" as &[u8], NAME, holder.as_bytes(), token.as_bytes()];
            client.command(&release).await?;
        }
        Reply::Held => shared.referee().counts.contended += 1,
        Reply::Failed => shared.referee().counts.failed += 1,
    }
    Ok(client)
}

enum Reply {
    Granted { holder: String, token: i64 },
    Held,
    Failed,
}

/// Holder and token are the first two of what a grant answers.
fn granted(reply: &Value) -> Reply {
    match reply {
        Value::Bulk(None) => Reply::Held,
        Value::Array(items) => match items.as_slice() {
            [Value::Bulk(Some(holder)), Value::Integer(token), ..] => {
                let holder = String::from_utf8_lossy(holder).into_owned();
                Reply::Granted { holder, token: *token }
            }
            [] => Reply::Held,
            _ => Reply::Failed,
        },
        Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Bulk(Some(_)) => {
            Reply::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_holders_and_old_tokens_are_found_out() {
        let (mut referee, now) = (Referee::default(), Clock::system().now());
        let until = now + TTL;
        referee.granted(1, 5, now, until);
        referee.releasing(1);
        referee.granted(2, 6, now, until);
        assert_eq!((referee.counts.overlaps, referee.counts.disorder), (0, 0));
        referee.granted(3, 6, now, until);
        assert_eq!((referee.counts.overlaps, referee.counts.disorder), (1, 1));
        referee.granted(4, 9, until, until + TTL);
        assert_eq!(
            (referee.counts.overlaps, referee.counts.granted),
            (1, 4),
            "the lease had ended"
        );
    }
}
