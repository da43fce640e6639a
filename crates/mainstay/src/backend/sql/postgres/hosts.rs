//! Several servers in one URL, tried one after the other, none of them longer than its share of the time.
//! It must not know what the connection is for.

use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Error,
    config::{Host, LoadBalanceHosts},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connects to the first server that answers. The driver alone would wait for ever on one that accepts and is silent.
pub(super) struct InTurn {
    connect: ConfigConnectImpl<MakeRustlsConnect>,
    servers: Vec<Config>,
    share: Duration,
}

impl InTurn {
    /// Servers in the order of the URL, within `connect_timeout` for all of them.
    pub(super) fn new(tls: MakeRustlsConnect, config: &Config, connect_timeout: Duration) -> Self {
        let servers = one_by_one(config);
        let count = u32::try_from(servers.len()).unwrap_or(u32::MAX).max(1);
        Self { connect: ConfigConnectImpl { tls }, servers, share: connect_timeout / count }
    }
}

impl Connect for InTurn {
    fn connect(&self, whole: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let Some((last, others)) = self.servers.split_last() else {
            return self.connect.connect(whole);
        };
        Box::pin(async move {
            for server in others {
                let attempt = self.connect.connect(server);
                match tokio::time::timeout(self.share, attempt).await {
                    Ok(Ok(connected)) => return Ok(connected),
                    Ok(Err(error)) => tracing::debug!(%error, "the next server is tried"),
                    Err(_elapsed) => tracing::debug!("silent; the next server is tried"),
                }
            }
            // The pool bounds the whole.
            self.connect.connect(last).await
        })
    }
}

/// One configuration for each server; none where the driver has to choose by itself.
fn one_by_one(config: &Config) -> Vec<Config> {
    let hosts = config.get_hosts();
    let chosen = !config.get_hostaddrs().is_empty()
        || config.get_load_balance_hosts() != LoadBalanceHosts::Disable;
    if hosts.len() < 2 || chosen {
        return Vec::new();
    }
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied();
    hosts.iter().enumerate().map(|(index, host)| only(config, host, port(index))).collect()
}

fn only(config: &Config, host: &Host, port: Option<u16>) -> Config {
    let mut one = Config::new();
    match host {
        Host::Tcp(name) => one.host(name.as_str()),
        Host::Unix(path) => one.host_path(path),
    };
    if let Some(port) = port {
        one.port(port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    one.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    one.channel_binding(config.get_channel_binding());
    one.target_session_attrs(config.get_target_session_attrs());
    one
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::TargetSessionAttrs;

    use super::*;

    #[test]
    fn each_server_keeps_what_all_have_in_common() {
        let url = "postgres://u:p@a:1,b:2/d?target_session_attrs=read-write&options=-cx%3Dy";
        let servers = one_by_one(&url.parse().unwrap());
        assert_eq!(servers.len(), 2);
        for (server, (host, port)) in servers.iter().zip([("a", 1), ("b", 2)]) {
            assert_eq!(server.get_hosts(), [Host::Tcp(host.to_owned())]);
            assert_eq!(server.get_ports(), [port]);
            assert_eq!(server.get_user(), Some("u"));
            assert_eq!(server.get_password(), Some(b"p".as_slice()));
            assert_eq!(server.get_dbname(), Some("d"));
            assert_eq!(server.get_options(), Some("-cx=y"));
            assert_eq!(server.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        }
        assert!(one_by_one(&"postgres://a/d".parse().unwrap()).is_empty());
    }
}
