//! TLS from each engine's adapter to a real server: what is verified by default, and what has to be said for less.

use mainstay::backend::Backend;
use mainstay::backend::{redis::Redis, sql::mysql::Mysql, sql::postgres::Postgres};
use mainstay::config::BackendConfig;
use mainstay::{Clock, Entropy, ErrorKind, Key, Op, Result};
use mainstay_testkit::servers::{self, MariaDbOptions, PostgresOptions, RedisOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

type New = fn(&BackendConfig) -> Result<Arc<dyn Backend>>;

/// Connects and asks for a key, so that the connection is known to be of use.
async fn try_it(new: New, url: &str) -> Result<()> {
    let config =
        BackendConfig { connect_timeout: Duration::from_secs(5), ..BackendConfig::at(url) };
    let backend = new(&config)?;
    let deadline = || Clock::system().deadline_in(PATIENCE);
    backend.connect(deadline()).await?;
    let get = Op::Get { key: Key::from("k"), with_ttl: false };
    backend.execute(&get, deadline()).await.map(drop)
}

#[track_caller]
fn refused(tried: Result<()>, url: &str) {
    let error = tried.expect_err(url);
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Forbidden | ErrorKind::Misconfigured | ErrorKind::Disconnected
        ),
        "{url}: {error:?}"
    );
    // The user and the password are the same word.
    assert!(!error.message().contains("mainstay:mainstay"), "{error:?}");
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn postgres_is_verified_where_tls_is_asked_for() {
    let new: New = |config| Ok(Arc::new(Postgres::new(config, 1 << 20, Entropy::system())?));
    let options = PostgresOptions { tls: true, ..PostgresOptions::default() };
    let server = servers::Postgres::start_with(options).await.unwrap();
    let ca = shown(&server.ca_path());
    let at = |parameters: String| format!("{}?{parameters}", server.url());
    let named = |mode: &str| {
        let url = server.url().replace("@127.0.0.1:", "@wrong.example:");
        format!("{url}?hostaddr=127.0.0.1&sslrootcert={ca}&sslmode={mode}")
    };
    for mode in ["require", "verify-ca", "verify-full"] {
        try_it(new, &at(format!("sslmode={mode}&sslrootcert={ca}"))).await.unwrap();
        // The system does not know this authority.
        let unknown = at(format!("sslmode={mode}"));
        refused(try_it(new, &unknown).await, &unknown);
    }
    for mode in ["require", "verify-full"] {
        refused(try_it(new, &named(mode)).await, mode);
    }
    try_it(new, &named("verify-ca")).await.unwrap();
    for less in ["sslmode=no-verify", "sslmode=prefer", "sslmode=disable"] {
        try_it(new, &at(less.to_owned())).await.unwrap();
    }
}

#[tokio::test]
async fn postgres_is_shown_our_certificate() {
    let new: New = |config| Ok(Arc::new(Postgres::new(config, 1 << 20, Entropy::system())?));
    let options =
        PostgresOptions { tls: true, require_certificate: true, ..PostgresOptions::default() };
    let server = servers::Postgres::start_with(options).await.unwrap();
    let (cert, key) = server.client_certificate();
    let url = format!("{}?sslmode=require&sslrootcert={}", server.url(), shown(&server.ca_path()));
    refused(try_it(new, &url).await, &url);
    let ours = format!("{url}&sslcert={}&sslkey={}", shown(&cert), shown(&key));
    try_it(new, &ours).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let postgres: New = |config| Ok(Arc::new(Postgres::new(config, 1 << 20, Entropy::system())?));
    let server = servers::Postgres::start().await.unwrap();
    let url = format!("{}?sslmode=require", server.url());
    refused(try_it(postgres, &url).await, &url);
    let redis: New = |config| Ok(Arc::new(Redis::new(config, 1 << 20)?));
    let server = servers::Redis::start().await.unwrap();
    let url = server.url().replace("redis:", "rediss:");
    refused(try_it(redis, &url).await, &url);
}

#[tokio::test]
async fn mariadb_is_verified_and_shown_our_certificate() {
    let new: New = |config| Ok(Arc::new(Mysql::new(config, 1 << 20)?));
    let options = MariaDbOptions { tls: true, ..MariaDbOptions::default() };
    let server = servers::MariaDb::start_with(options).await.unwrap();
    let ca = shown(&server.ca_path());
    let at = |parameters: String| format!("{}?{parameters}", server.url());
    for mode in ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"] {
        try_it(new, &at(format!("ssl-mode={mode}&ssl-ca={ca}"))).await.unwrap();
        let unknown = at(format!("ssl-mode={mode}"));
        refused(try_it(new, &unknown).await, &unknown);
    }
    try_it(new, &at("ssl-mode=NO_VERIFY".to_owned())).await.unwrap();
    server.sql("alter user 'mainstay'@'%' require x509").await.unwrap();
    let without = at(format!("ssl-mode=REQUIRED&ssl-ca={ca}"));
    refused(try_it(new, &without).await, &without);
    let (cert, key) = server.client_certificate();
    let ours = format!("{without}&ssl-cert={}&ssl-key={}", shown(&cert), shown(&key));
    try_it(new, &ours).await.unwrap();
}

#[tokio::test]
async fn redis_is_shown_our_certificate() {
    let new: New = |config| Ok(Arc::new(Redis::new(config, 1 << 20)?));
    let options = RedisOptions { tls: true, ..RedisOptions::default() };
    let server = servers::Redis::start_with(options).await.unwrap();
    let (ca, (cert, key)) = (shown(&server.ca_path()), server.client_certificate());
    server.redis_cli(&["config", "set", "tls-auth-clients", "yes"]).await.unwrap();
    let url = format!("{}?tls_ca_file={ca}", server.url());
    refused(try_it(new, &url).await, &url);
    let ours = format!("{url}&tls_cert_file={}&tls_key_file={}", shown(&cert), shown(&key));
    try_it(new, &ours).await.unwrap();
}
