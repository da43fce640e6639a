//! The servers that grant, and each process's own way to each of them.
//! It must not know what breaks, nor when.

use std::time::Duration;

use mainstay_testkit::{
    proxy::{Proxy, Toxics},
    servers::{MariaDb, Postgres, Redis},
};

use super::{LEASE, PATIENCE, clocks, clocks::Variables};

/// A database that can be killed.
pub(super) enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

/// One process's way to one server.
pub(super) struct Link {
    /// The backend's name.
    pub(super) name: &'static str,
    url: String,
    proxy: Proxy,
}

impl Database {
    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "db",
            Self::MariaDb(_) => "maria",
        }
    }

    /// SIGKILL, and after a while a restart with what it had, and with these variables.
    pub(super) async fn strike(&mut self, variables: &Variables) {
        let pid = match self {
            Self::Postgres(postgres) => {
                let pid = postgres.pid();
                postgres.kill();
                pid
            }
            Self::MariaDb(mariadb) => {
                let pid = mariadb.pid();
                mariadb.kill();
                pid
            }
        };
        pid.inspect(|pid| clocks::forget(*pid)).expect("it ran");
        tokio::time::sleep(LEASE / 2).await;
        match self {
            Self::Postgres(postgres) => postgres.restart_with(variables).await.unwrap(),
            Self::MariaDb(mariadb) => mariadb.restart_with(variables).await.unwrap(),
        }
    }

    /// What time it is there, since 1970.
    pub(super) async fn time(&self) -> Duration {
        let of_postgres = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let of_mariadb = "select cast(unix_timestamp(sysdate(6)) * 1000000 as unsigned)";
        let answer = match self {
            Self::Postgres(postgres) => postgres.psql(of_postgres).await,
            Self::MariaDb(mariadb) => mariadb.sql(of_mariadb).await,
        };
        Duration::from_micros(answer.unwrap().trim().parse().unwrap())
    }
}

impl Link {
    pub(super) async fn to_redis(redis: &Redis) -> Self {
        Self::to("redis", &redis.url(), redis.port()).await
    }

    pub(super) async fn to_database(database: &Database) -> Self {
        let (url, port) = match database {
            Database::Postgres(postgres) => (postgres.url(), postgres.port()),
            Database::MariaDb(mariadb) => (mariadb.url(), mariadb.port()),
        };
        Self::to(database.name(), &url, port).await
    }

    async fn to(name: &'static str, url: &str, port: u16) -> Self {
        let proxy = Proxy::start(port).await.unwrap();
        Self { name, url: proxy.url(url, port), proxy }
    }

    pub(super) fn is_redis(&self) -> bool {
        self.name == "redis"
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// For three leases nothing comes through these: nothing is answered, or everything is refused.
pub(super) async fn cut(links: impl Iterator<Item = &Link> + Clone, in_silence: bool) {
    let refused = Toxics { refuse: true, reset: true, ..Toxics::default() };
    let toxics = if in_silence { Toxics::partition() } else { refused };
    for link in links.clone() {
        link.proxy.set(toxics.clone()).await;
    }
    tokio::time::sleep(LEASE * 3).await;
    for link in links {
        link.proxy.heal().await;
    }
}

/// A replica without what its master took in the last half of a lease, in its master's place.
pub(super) async fn promoted(master: &Redis) -> Redis {
    let replication = Proxy::start(master.port()).await.unwrap();
    let replica = Redis::start().await.unwrap();
    let port = replication.port().to_string();
    replica.redis_cli(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    let in_step = async {
        while !replica.redis_cli(&["ROLE"]).await.unwrap().contains("connected") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, in_step).await.expect("the replica follows");
    replication.set(Toxics::partition()).await;
    tokio::time::sleep(LEASE / 2).await;
    replica.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    replica
}
