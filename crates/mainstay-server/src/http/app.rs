//! What every handler shares, and the table of paths.
//! It must not know sockets: the server gives it requests, a test may too.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware,
    routing::{any, delete, get, post},
};
use mainstay::{Answer, CallOptions, Deadline, Error, ErrorKind, Op, Storage, config::text};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    HttpConfig, batch, control, dashboard, events, health, invalidate, journal, kv, locks, metrics,
    openapi,
    problem::Problem,
    security::{self, Hosts, Token},
    session, settings, status,
};

/// Named parts of the configuration that `/v1/config` shows beside the storage's own, secrets already taken out.
pub type Sections = serde_json::Map<String, serde_json::Value>;

/// The HTTP interface of one storage, without a socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Storage,
    config: HttpConfig,
    sections: Sections,
    token: Option<Token>,
    hosts: Hosts,
    registry: Registry,
    streams: Arc<Semaphore>,
    draining: CancellationToken,
    closing: CancellationToken,
}

impl Api {
    /// The interface of this storage. Reads the token's file.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate or a token file that cannot be read.
    pub fn new(
        config: HttpConfig,
        storage: Storage,
        mut sections: Sections,
    ) -> Result<Self, Error> {
        config.validate()?;
        let token = config.read_token()?.map(Token::new);
        let hosts = Hosts::new(&config.allowed_hosts, config.address()?);
        let shown = serde_json::to_value(&config)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        sections.insert("http".to_owned(), shown);
        Ok(Self(Arc::new(Shared {
            registry: metrics::registry(storage.clone()),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            storage,
            config,
            sections,
            token,
            hosts,
        })))
    }

    /// Every path, with access control in front.
    pub fn router(&self) -> Router {
        let guarded = middleware::from_fn_with_state(self.clone(), security::check);
        paths()
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(guarded)
            .with_state(self.clone())
    }

    /// The storage behind it.
    pub fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// Makes `/readyz` say 503 from now on; everything else goes on.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Whether `drain` was called.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Ends the event streams, which would otherwise keep their connections for ever.
    pub(crate) fn close_streams(&self) {
        self.0.closing.cancel();
    }

    pub(crate) fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    pub(crate) fn config(&self) -> &HttpConfig {
        &self.0.config
    }

    pub(crate) fn sections(&self) -> &Sections {
        &self.0.sections
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.0.token.as_ref()
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.0.hosts
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    /// Performs one operation.
    pub(crate) async fn execute(&self, op: Op, deadline: Deadline) -> Result<Answer, Error> {
        self.0
            .storage
            .execute(&op, CallOptions { deadline: Some(deadline), session: session::current() })
            .await
    }

    /// By when this request wants its answer: `X-Mainstay-Timeout`, or `limits.deadline` from now.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Deadline, Problem> {
        let storage = self.storage();
        let Some(value) = headers.get("x-mainstay-timeout") else {
            return Ok(storage.clock().deadline_in(storage.config().limits.deadline));
        };
        let max = self.0.config.timeout_max;
        let refuse =
            |problem: String| Problem::bad_request(format!("X-Mainstay-Timeout: {problem}"));
        let written = value.to_str().map_err(|_| refuse("is not text".to_owned()))?;
        let timeout = text::parse_duration(written.trim()).map_err(refuse)?;
        if timeout.is_zero() || timeout > max {
            let max = text::format_duration(max);
            return Err(refuse(format!("is above 0 and at most {max} (http.timeout_max)")));
        }
        Ok(storage.clock().deadline_in(timeout))
    }
}

fn paths() -> Router<Api> {
    Router::new()
        .route("/v1/kv", get(kv::list))
        .route("/v1/kv/", any(kv::no_key))
        .route(
            "/v1/kv/{*key}",
            get(kv::read).head(kv::head).put(kv::put).delete(kv::delete).post(kv::increment),
        )
        .route("/v1/batch", post(batch::run))
        .route("/v1/invalidate", post(invalidate::run))
        .route("/v1/status", get(status::json))
        .route("/v1/backends", get(status::backends))
        .route("/status.txt", get(status::text))
        .route("/v1/backends/{backend}/breaker", post(control::breaker))
        .route("/v1/backends/{backend}/drain", post(control::drain).delete(control::undrain))
        .route("/v1/journal", get(journal::read))
        .route("/v1/journal/replay", post(journal::replay))
        .route("/v1/journal/dead-letters/{seq}", delete(journal::discard))
        .route("/v1/locks", get(locks::list))
        .route("/v1/locks/{*name}", post(locks::acquire).put(locks::renew).delete(locks::release))
        .route("/v1/events", get(events::read))
        .route("/v1/config", get(settings::read))
        .route("/v1/config/reload", post(settings::reload))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/api/health/storage", get(health::storage))
        .route("/metrics", get(metrics::read))
        .route("/openapi.json", get(openapi::read))
        .route("/", get(dashboard::page))
        .route("/assets/{*path}", get(dashboard::asset))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "No such path",
        format!("there is no {}", uri.path()),
    )
    .hint("GET /openapi.json lists every path")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
        .hint("the Allow header lists the methods")
}
