//! How a throw-away redis-server is set up, as data and as command-line arguments.
//! Knows nothing of processes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a throw-away redis-server keeps on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persist {
    /// Nothing by itself; `snapshot` and a graceful `restart` still save.
    #[default]
    None,
    /// A dump as soon as one key has changed, checked every second.
    Rdb,
    /// An append-only file, synced at every write: survives SIGKILL.
    Aof,
}

/// How a throw-away redis-server is set up.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// What it keeps on disk.
    pub persist: Persist,
    /// TLS only, with a certificate for `127.0.0.1` and `localhost` signed by `Redis::ca_path`.
    pub tls: bool,
    /// Listens on a unix socket as well.
    pub unix_socket: bool,
    /// `requirepass`.
    pub password: Option<String>,
    /// `maxmemory` in bytes and `maxmemory-policy`.
    pub max_memory: Option<(u64, &'static str)>,
    /// The port of its primary: it starts as a replica.
    pub replica_of: Option<u16>,
    /// `cluster-enabled`; the slots are yours to give out ([`super::RedisCluster`] does it for you).
    pub cluster: bool,
    /// Further settings, name and value, as in `redis.conf`.
    pub settings: Vec<(String, String)>,
}

impl RedisOptions {
    pub(super) fn arguments(&self, dir: &Path, port: u16, bus: Option<u16>) -> Vec<OsString> {
        let mut args = Arguments::default();
        let (plain, tls) = if self.tls { (0, port) } else { (port, 0) };
        args.set("port", plain.to_string());
        args.set("bind", "127.0.0.1");
        args.set("dir", dir);
        args.set("daemonize", "no");
        args.set("enable-debug-command", "local");
        args.set("repl-diskless-sync-delay", "0");
        args.set("save", if self.persist == Persist::Rdb { "1 1" } else { "" });
        args.set("appendonly", if self.persist == Persist::Aof { "yes" } else { "no" });
        args.set("appendfsync", "always");
        if self.tls {
            args.set("tls-port", tls.to_string());
            args.set("tls-ca-cert-file", dir.join("ca.crt"));
            args.set("tls-cert-file", dir.join("server.crt"));
            args.set("tls-key-file", dir.join("server.key"));
            args.set("tls-auth-clients", "no");
        }
        if self.unix_socket {
            args.set("unixsocket", unix_socket(dir));
        }
        if let Some(password) = &self.password {
            args.set("requirepass", password);
        }
        if let Some((bytes, policy)) = self.max_memory {
            args.set("maxmemory", bytes.to_string());
            args.set("maxmemory-policy", policy);
        }
        if let Some(primary) = self.replica_of {
            args.set("replicaof", format!("127.0.0.1 {primary}"));
        }
        if let Some(bus) = bus {
            args.set("cluster-enabled", "yes");
            args.set("cluster-port", bus.to_string());
            // Redis's own: no test waits until a node counts as lost, and a stalled one must not be taken for that.
            args.set("cluster-node-timeout", "15000");
        }
        self.settings.iter().for_each(|(name, value)| args.set(name, value));
        args.0
    }
}

pub(super) fn unix_socket(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(format!("--{name}").into());
        self.0.push(value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_closes_the_plain_port() {
        let args =
            RedisOptions { tls: true, ..Default::default() }.arguments(Path::new("/d"), 7, None);
        let text: Vec<_> = args.iter().filter_map(|arg| arg.to_str()).collect();
        assert!(text.windows(2).any(|pair| pair == ["--port", "0"]));
        assert!(text.windows(2).any(|pair| pair == ["--tls-port", "7"]));
    }
}
