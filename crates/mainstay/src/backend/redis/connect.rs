//! Makes the connections that a URL asks for: resolves, finds the master or the cluster's nodes, logs in, looks around.
//! It must not know operations, nor keep anything: each call begins anew.

use std::{
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client as Dialer, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpStream, UnixStream},
};

use super::{
    classify,
    client::{Client, Node},
    cluster::{self, SlotMap},
    info::{self, Info},
    probe, tls,
    url::{Host, Login, Place, Target},
};
use crate::{
    backend::ProbeDepth,
    clock::Clock,
    error::{Effect, Error, ErrorKind, Result},
    live::LiveDuration,
};

/// Requests that may wait for the writer of one connection.
const QUEUE: usize = 1024;
/// How much is encoded before the socket is waited for.
const WRITE_BUFFER: usize = 64 << 10;
/// An idle connection is asked for life after this time.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// Sent bytes may stay unacknowledged this long.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that lets nobody in says so at once.
const OVERHEAR: Duration = Duration::from_millis(100);
/// No more than this is listened to.
const WORDS_MAX: u64 = 512;

/// What hears each message that a server sends unasked, from the reader of the connection: it must not wait.
pub(super) type OnPush = Arc<dyn Fn(&PushInfo) + Send + Sync>;

/// How connections are made.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) target: Target,
    /// Time for one connection, its handshake included.
    pub(super) timeout: LiveDuration,
    /// Connections to a single server.
    pub(super) connections: usize,
}

/// Where one connection goes to.
#[derive(Clone, Copy)]
enum Address<'a> {
    Tcp(&'a Host),
    Unix(&'a Path),
}

impl Connector {
    /// Makes the connections; each has answered once.
    ///
    /// # Errors
    /// The backend's kinds, always without effect.
    pub(super) async fn connect(&self) -> Result<Client> {
        let dial = self.dial().await?;
        let client = match &self.target.place {
            Place::Tcp(host) => dial.server(Address::Tcp(host)).await.map(Client::single),
            Place::Unix(path) => dial.server(Address::Unix(path)).await.map(Client::single),
            Place::Sentinel { sentinels, service, login } => {
                dial.master(sentinels, service, login).await.map(Client::single)
            }
            Place::Cluster(seeds) => dial.cluster(seeds).await,
        };
        client.map_err(|error| error.with_effect(Effect::None))
    }

    /// One connection in RESP3 to this host, or to the socket of the URL; `on_push` hears what comes unasked.
    ///
    /// # Errors
    /// The backend's kinds; `Unsupported` where there is no RESP3, or the URL does not want it.
    pub(super) async fn line(&self, host: &Host, on_push: OnPush) -> Result<MultiplexedConnection> {
        let Target { place, login, db, protocol, .. } = &self.target;
        let message = "messages that come unasked need RESP3";
        let unsupported = || Error::new(ErrorKind::Unsupported, message);
        if protocol.is_some_and(|wanted| wanted != ProtocolVersion::RESP3) {
            return Err(unsupported());
        }
        let address = match place {
            Place::Unix(path) => Address::Unix(path),
            _ => Address::Tcp(host),
        };
        let dial = self.dial().await?;
        let opened = dial.handshake(address, login, *db, &on_push, ProtocolVersion::RESP3).await;
        opened.map_err(
            |error| {
                if is_too_old(&error) { unsupported() } else { classify::opening(error) }
            },
        )
    }

    /// One connection to this host, or to the socket of the URL, in this version of the protocol.
    ///
    /// # Errors
    /// The backend's kinds.
    pub(super) async fn plain(
        &self,
        host: &Host,
        protocol: ProtocolVersion,
        on_push: &OnPush,
    ) -> Result<MultiplexedConnection> {
        let Target { place, login, db, .. } = &self.target;
        let address = match place {
            Place::Unix(path) => Address::Unix(path),
            _ => Address::Tcp(host),
        };
        let dial = self.dial().await?;
        let opened = dial.handshake(address, login, *db, on_push, protocol).await;
        opened.map_err(classify::opening)
    }

    async fn dial(&self) -> Result<Dial<'_>> {
        let certificates = match &self.target.tls {
            Some(files) => Some(tls::certificates(files).await?),
            None => None,
        };
        Ok(Dial { connector: self, certificates })
    }
}

struct Dial<'a> {
    connector: &'a Connector,
    certificates: Option<TlsCertificates>,
}

impl Dial<'_> {
    /// All connections to one server that takes writes.
    async fn server(&self, address: Address<'_>) -> Result<Vec<Node>> {
        try_join_all((0..self.connector.connections).map(|_| self.node(address))).await
    }

    async fn node(&self, address: Address<'_>) -> Result<Node> {
        let target = &self.connector.target;
        let lost = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&lost);
        let on_push: OnPush = Arc::new(move |push| {
            if push.kind == PushKind::Disconnection {
                noted.store(true, Ordering::Relaxed);
            }
        });
        let mut connection = self.open(address, &target.login, target.db, &on_push).await?;
        let questions = info::questions();
        let replies = connection.send_packed_commands(&questions, 0, questions.len()).await;
        let info = Info::read(&mut replies.map_err(classify::failure)?.into_iter())?.writable()?;
        let host = match address {
            Address::Tcp(host) => host.clone(),
            Address::Unix(path) => Host { name: path.display().to_string(), port: 0 },
        };
        Ok(Node::new(host, connection, lost, info.facts()))
    }

    /// The connections to the master of a service, as the first sentinel names it whose word holds.
    async fn master(&self, sentinels: &[Host], service: &str, login: &Login) -> Result<Vec<Node>> {
        // All at once: one that hangs costs nothing.
        let ask = sentinels.iter().map(|sentinel| self.ask_sentinel(sentinel, service, login));
        let mut answers: FuturesUnordered<_> = ask.collect();
        let (mut tried, mut last) = (Vec::new(), None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(host) if tried.contains(&host) => {}
                Ok(host) => match self.server(Address::Tcp(&host)).await {
                    Ok(nodes) => return Ok(nodes),
                    // A stale word is told by the role: another sentinel may know better.
                    Err(error) => {
                        tried.push(host);
                        last = Some(error);
                    }
                },
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Disconnected, "no sentinel answered")))
    }

    async fn ask_sentinel(&self, sentinel: &Host, service: &str, login: &Login) -> Result<Host> {
        let mut connection = self.open(Address::Tcp(sentinel), login, 0, &deaf()).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(service);
        let answer = self.within(connection.send_packed_command(&question)).await?;
        match classify::reply(answer)? {
            Value::Array(parts) => match parts.as_slice() {
                [Value::BulkString(name), Value::BulkString(port)] => host_of(name, port),
                _ => None,
            }
            .ok_or_else(|| classify::out_of_step(&Value::Array(Vec::new()))),
            Value::Nil => {
                let message = format!("the sentinels know no master named `{service}`");
                Err(Error::new(ErrorKind::Misconfigured, message))
            }
            other => Err(classify::out_of_step(&other)),
        }
    }

    /// A connection to each master of the cluster, as the first seed tells that answers.
    async fn cluster(&self, seeds: &[Host]) -> Result<Client> {
        let mut answers: FuturesUnordered<_> =
            seeds.iter().map(|seed| self.ask_seed(seed)).collect();
        let mut last = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((slots, hosts)) => {
                    let nodes = hosts.iter().map(|host| self.node(Address::Tcp(host)));
                    let client = try_join_all(nodes).await.map(|n| Client::cluster(n, slots));
                    match Self::agreed(client).await {
                        Ok(client) => return Ok(client),
                        Err(error) => last = Some(error),
                    }
                }
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Disconnected, "no node answered")))
    }

    /// A node that has just come back may still think that the cluster is down: ask them all.
    async fn agreed(client: Result<Client>) -> Result<Client> {
        let client = client?;
        probe::probe(&client, ProbeDepth::Ping, &Clock::system()).await?;
        Ok(client)
    }

    async fn ask_seed(&self, seed: &Host) -> Result<(SlotMap, Vec<Host>)> {
        let target = &self.connector.target;
        let mut connection = self.open(Address::Tcp(seed), &target.login, 0, &deaf()).await?;
        let mut questions = redis::pipe();
        questions.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
        let answer = self.within(connection.send_packed_commands(&questions, 0, 2)).await?;
        let mut replies = answer.into_iter();
        info::cluster_is_up(replies.next().unwrap_or_default())?;
        let slots = classify::reply(replies.next().unwrap_or_default())?;
        Ok(SlotMap::new(&cluster::ranges(slots, seed)?))
    }

    /// One connection that has logged in: RESP3 where the server takes it.
    async fn open(
        &self,
        address: Address<'_>,
        login: &Login,
        db: i64,
        on_push: &OnPush,
    ) -> Result<MultiplexedConnection> {
        let wanted = self.connector.target.protocol;
        let first = wanted.unwrap_or(ProtocolVersion::RESP3);
        let opened = match self.handshake(address, login, db, on_push, first).await {
            Err(error) if wanted.is_none() && is_too_old(&error) => {
                self.handshake(address, login, db, on_push, ProtocolVersion::RESP2).await
            }
            result => result,
        };
        match opened.map_err(classify::opening) {
            Err(error) if error.kind() == ErrorKind::Disconnected => {
                Err(self.overhear(address).await.unwrap_or(error))
            }
            result => result,
        }
    }

    /// What a server says to a client that says nothing. One that lets nobody in (no room, protected mode) names the
    /// reason at once and closes; whoever has sent something meanwhile sees a reset instead.
    async fn overhear(&self, address: Address<'_>) -> Option<Error> {
        if self.connector.target.tls.is_some() {
            return None;
        }
        let listen = async {
            match address {
                Address::Tcp(host) => {
                    first_words(TcpStream::connect((&*host.name, host.port)).await?).await
                }
                Address::Unix(path) => first_words(UnixStream::connect(path).await?).await,
            }
        };
        let heard = tokio::time::timeout(OVERHEAR, listen).await.ok()?.ok()?;
        heard.strip_prefix('-').map(|words| classify::error_of(words.trim_end()))
    }

    async fn handshake(
        &self,
        address: Address<'_>,
        login: &Login,
        db: i64,
        on_push: &OnPush,
        protocol: ProtocolVersion,
    ) -> std::result::Result<MultiplexedConnection, RedisError> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connector.timeout.get()))
            // Deadlines are the callers'; a timer of its own would only cost.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_write_backpressure_boundary(WRITE_BUFFER);
        if protocol == ProtocolVersion::RESP3 {
            let on_push = Arc::clone(on_push);
            config = config.set_push_sender(move |push: PushInfo| -> std::result::Result<(), ()> {
                on_push(&push);
                Ok(())
            });
        }
        let dialer = self.dialer(address, login, db, protocol)?;
        dialer.get_multiplexed_async_connection_with_config(&config).await
    }

    fn dialer(
        &self,
        address: Address<'_>,
        login: &Login,
        db: i64,
        protocol: ProtocolVersion,
    ) -> std::result::Result<Dialer, RedisError> {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(protocol)
            .set_db(db)
            .set_lib_name("mainstay", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password);
        }
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(3);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let address = match (address, &self.connector.target.tls) {
            (Address::Unix(path), _) => ConnectionAddr::Unix(path.to_owned()),
            (Address::Tcp(host), None) => ConnectionAddr::Tcp(host.name.clone(), host.port),
            (Address::Tcp(host), Some(tls)) => ConnectionAddr::TcpTls {
                host: host.name.clone(),
                port: host.port,
                insecure: tls.insecure,
                tls_params: None,
            },
        };
        let info = address.into_connection_info()?;
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        match &self.certificates {
            Some(certificates) => Dialer::build_with_tls(info, certificates.clone()),
            None => Dialer::open(info),
        }
    }

    /// Bounds one exchange with a server that is asked for others.
    async fn within<T>(
        &self,
        exchange: impl Future<Output = std::result::Result<T, RedisError>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.connector.timeout.get(), exchange).await {
            Ok(result) => result.map_err(classify::failure),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer to the question for others")),
        }
    }
}

/// For a connection that is of no more use after one question.
pub(super) fn deaf() -> OnPush {
    Arc::new(|_| {})
}

/// What comes before the server closes, or fills a line.
async fn first_words(stream: impl AsyncRead) -> std::io::Result<String> {
    let mut words = Vec::new();
    pin!(stream).take(WORDS_MAX).read_to_end(&mut words).await?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// Whether the server, or a proxy before it, does not know HELLO.
fn is_too_old(error: &RedisError) -> bool {
    let text = error.to_string();
    error.kind() == redis::ErrorKind::RESP3NotSupported
        || text.contains("unknown command")
        || text.contains("NOPROTO")
}

fn host_of(name: &[u8], port: &[u8]) -> Option<Host> {
    let name = std::str::from_utf8(name).ok()?.to_owned();
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(Host { name, port })
}
