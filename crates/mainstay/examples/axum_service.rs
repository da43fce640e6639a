//! A service: users from a cached function, reports that one process at a time makes, and an end that loses nothing.
//!
//! `cargo run -p mainstay --example axum_service`, with `REDIS_URL` and `DATABASE_URL` where there are several processes;
//! `curl 127.0.0.1:8080/users/7`, `curl -X POST 127.0.0.1:8080/reports/june`, `curl 127.0.0.1:8080/status`. `LISTEN` names
//! another address.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use mainstay::{Config, ErrorKind, LoadOptions, SetOptions, Storage, config::BackendConfig};
use serde::{Deserialize, Serialize};

#[derive(Clone)]
struct App {
    storage: Storage,
    /// Stands for a table.
    users: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

/// What a request ends in when it ends badly.
#[derive(Debug)]
struct Problem(StatusCode, String);

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl From<mainstay::Error> for Problem {
    fn from(error: mainstay::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Conflict => StatusCode::CONFLICT,
            kind if kind.is_callers() => StatusCode::BAD_REQUEST,
            // Also with the reason: `cache_unavailable` or `database_saturated`.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// The slow table behind it. However many ask for one user at once: it is asked once.
#[mainstay::cached(storage = "app.storage", key = "user:{id}", ttl = "60s", tags = ["users"])]
async fn user(app: &App, id: u64) -> Result<Option<User>, Problem> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    println!("the table is asked for user {id}");
    Ok((id <= app.users).then(|| User { id, name: format!("user {id}") }))
}

async fn show_user(State(app): State<App>, Path(id): Path<u64>) -> Result<Json<User>, Problem> {
    let found = user(&app, id).await?;
    found.map(Json).ok_or_else(|| Problem(StatusCode::NOT_FOUND, format!("no user {id}")))
}

/// The same by hand: a default while it cannot be counted, and a value that is stale rather than slow.
async fn count_users(State(app): State<App>) -> Result<Json<u64>, Problem> {
    let mut options = LoadOptions::ttl(Duration::from_secs(10));
    options.soft_timeout = Some(Duration::from_millis(100));
    options.default = Some("0".into());
    let App { storage, users } = app;
    let count = move || async move { Ok::<_, std::io::Error>(Some(users)) };
    let count = storage.get_or_load_json("users:count", options, count).await?;
    Ok(Json(count.unwrap_or_default()))
}

/// Who comes while a report is being made is told so; its write carries the token, so that one who was late loses.
async fn make_report(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<(StatusCode, String), Problem> {
    let Some(guard) = app.storage.try_lock(format!("report:{name}")).await? else {
        return Ok((StatusCode::CONFLICT, format!("`{name}` is being made\n")));
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    guard.check()?;
    let under = SetOptions { fence: Some(guard.fence()), ..SetOptions::default() };
    app.storage.set_with(format!("report:{name}"), "1000 users", under).await?;
    let token = guard.token();
    guard.release().await;
    Ok((StatusCode::CREATED, format!("`{name}` is made, under token {token}\n")))
}

async fn status(State(app): State<App>) -> String {
    let status = app.storage.status();
    format!("{}\n{:?}\n", status.sentence, status.loads)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("mainstay-service-{}", std::process::id()));
    let storage = Storage::open(config(&folder)).await?;
    let router = Router::new()
        .route("/users/{id}", get(show_user))
        .route("/users/count", get(count_users))
        .route("/reports/{name}", post(make_report))
        .route("/status", get(status))
        .with_state(App { storage: storage.clone(), users: 1_000 });
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    // First the requests end, then the storage: leases are given back, what was begun is finished.
    axum::serve(listener, router).with_graceful_shutdown(stopped()).await?;
    storage.close(Duration::from_secs(10)).await;
    println!("closed");
    drop(std::fs::remove_dir_all(folder));
    Ok(())
}

fn config(folder: &std::path::Path) -> Config {
    let mut config = Config::default();
    for (name, variable) in [("redis", "REDIS_URL"), ("db", "DATABASE_URL")] {
        if let Ok(url) = std::env::var(variable) {
            config.backends.insert(name.to_owned(), BackendConfig::at(url));
        }
    }
    if config.backends.is_empty() {
        let url = format!("sqlite:{}/app.db", folder.display());
        config.backends.insert("db".to_owned(), BackendConfig::at(url));
    }
    config
}

/// Ctrl-C, or the signal by which services are stopped.
async fn stopped() {
    let mut terminated =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminated) => terminated,
            Err(error) => return println!("no signal can be waited for: {error}"),
        };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
