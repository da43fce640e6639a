//! What every handler shares, and the table of paths.
//! It must not know sockets: the server gives it requests, a test may too.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware,
    routing::{any, delete, get, post},
};
use mainstay::{
    Answer, CallOptions, Deadline, Error, ErrorKind, Op, OpClass, Storage, config::text,
};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::{
    HttpConfig, batch, bodies, caller, clients, control, dashboard,
    drills::{self, Drills},
    events, health, history, invalidate, journal, kv, locks,
    metrics::{self, Scraped},
    openapi,
    problem::Problem,
    reserve,
    security::{self, Hosts},
    session,
    settings::{self, Reload},
    status, trace,
};
use crate::{
    Guard,
    access::{Access, Door, Role, reach_of_op},
    admission::Admission,
    limits::{self, Limit},
    resp::{RespConfig, Roster},
};

/// Named parts of the configuration that `/v1/config` shows beside the storage's own, secrets already taken out.
pub type Sections = serde_json::Map<String, serde_json::Value>;

/// The HTTP interface of one storage, without a socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Storage,
    settings: ArcSwap<Settings>,
    /// How often the settings have been replaced.
    generation: AtomicU64,
    guard: Guard,
    registry: Registry,
    door: limits::Door,
    clients: Arc<OnceLock<Roster>>,
    drills: OnceLock<Arc<dyn Drills>>,
    reloads: OnceLock<Arc<dyn Reload>>,
    /// Connections over the limit, of which one request is answered.
    reserve: Admission,
    streams: Admission,
    draining: CancellationToken,
    closing: CancellationToken,
}

/// What may change while it serves.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: HttpConfig,
    pub(crate) sections: Sections,
    pub(crate) hosts: Hosts,
}

impl Settings {
    /// `guarded`: nobody comes in without a token or a certificate.
    fn new(config: HttpConfig, mut sections: Sections, guarded: bool) -> Result<Self, Error> {
        config.validate_with(guarded)?;
        let hosts = Hosts::new(&config.allowed_hosts, config.address()?);
        let shown = serde_json::to_value(&config)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        sections.insert("http".to_owned(), shown);
        Ok(Self { config, sections, hosts })
    }
}

impl Api {
    /// The interface of this storage. Reads the token's file.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate or a token file that cannot be read.
    pub fn new(config: HttpConfig, storage: Storage, sections: Sections) -> Result<Self, Error> {
        let guard = Guard::plain(&RespConfig::default(), &config)?;
        Self::guarded(config, storage, sections, guard)
    }

    /// The same, with these users and certificates.
    ///
    /// # Errors
    /// As `new`; also an address other than loopback that nothing guards.
    pub fn guarded(
        config: HttpConfig,
        storage: Storage,
        sections: Sections,
        guard: Guard,
    ) -> Result<Self, Error> {
        let guarded = guard.guards(Door::Http);
        config.validate_with(guarded)?;
        guard.keep(Door::Http, config.address()?)?;
        let admission =
            Admission::of_connections(config.connections_max, config.connections_per_address);
        let door = limits::Door::new("http", &Limit::HTTP, admission, config.bodies_max);
        let clients = Arc::default();
        Ok(Self(Arc::new(Shared {
            registry: metrics::registry(Scraped {
                storage: storage.clone(),
                guard: guard.clone(),
                http: door.clone(),
                clients: Arc::clone(&clients),
            }),
            door,
            clients,
            drills: OnceLock::new(),
            reloads: OnceLock::new(),
            reserve: reserve::places(config.admin_connections),
            streams: Admission::new(config.streams_max),
            settings: ArcSwap::from_pointee(Settings::new(config, sections, guarded)?),
            generation: AtomicU64::new(0),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            storage,
            guard,
        })))
    }

    /// Takes over other settings: the hosts for every request from now on, the limits of a connection for those that come.
    /// `listen` stays where it is. So does the token of an interface that was made with users: `Access::replace` is what
    /// changes them; one that was made without takes it over from here. Nothing changes when it is refused.
    ///
    /// # Errors
    /// As `new`.
    pub fn reconfigure(&self, config: HttpConfig, sections: Sections) -> Result<(), Error> {
        let guard = &self.0.guard;
        let secret = config.token.is_some() || config.token_file.is_some();
        let settings = Settings::new(config, sections, guard.would_guard(Door::Http, secret))?;
        guard.follow(&RespConfig::default(), &settings.config)?;
        let HttpConfig { connections_max, connections_per_address, bodies_max, .. } =
            settings.config;
        self.0.door.set_limits(connections_max, connections_per_address, bodies_max);
        reserve::set_places(&self.0.reserve, settings.config.admin_connections);
        self.0.streams.set_max(settings.config.streams_max);
        self.0.settings.store(Arc::new(settings));
        self.0.generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Lets `/v1/config/reload` read the configuration anew; the first one stays.
    pub fn serve_reloads(&self, reloads: Arc<dyn Reload>) {
        // A second one would be of another process.
        let _ = self.0.reloads.set(reloads);
    }

    /// Every path, with access control in front.
    pub fn router(&self) -> Router {
        let guarded = middleware::from_fn_with_state(self.clone(), security::check);
        paths()
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(self.clone(), bodies::weigh))
            .layer(middleware::from_fn_with_state(self.clone(), bodies::count))
            .layer(middleware::from_fn(trace::join))
            .layer(guarded)
            .with_state(self.clone())
    }

    /// The storage behind it.
    pub fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// Shows who is connected over RESP at `/v1/clients`; the first roster stays.
    pub fn show_clients(&self, roster: Roster) {
        // A second one would be of another server.
        let _ = self.0.clients.set(roster);
    }

    /// Serves `/v1/drills` by these; the first ones stay.
    pub fn serve_drills(&self, drills: Arc<dyn Drills>) {
        // Second ones would be of another storage.
        let _ = self.0.drills.set(drills);
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

    /// What the door holds, and what its limits refused.
    pub(crate) fn door(&self) -> &limits::Door {
        &self.0.door
    }

    /// Those of this moment.
    pub(crate) fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.0.settings.load()
    }

    /// Rises whenever the settings are replaced.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }

    pub(crate) fn reserve(&self) -> &Admission {
        &self.0.reserve
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.guard.access
    }

    /// Whether this server encrypts by itself.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.guard.tls_at(Door::Http).is_some()
    }

    pub(crate) fn reloads(&self) -> Option<&Arc<dyn Reload>> {
        self.0.reloads.get()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn clients(&self) -> Option<&Roster> {
        self.0.clients.get()
    }

    pub(crate) fn drills(&self) -> Option<&Arc<dyn Drills>> {
        self.0.drills.get()
    }

    pub(crate) fn streams(&self) -> &Admission {
        &self.0.streams
    }

    /// Performs one operation, if the user of the request may.
    pub(crate) async fn execute(&self, op: Op, deadline: Deadline) -> Result<Answer, Problem> {
        let needs = if op.class() == OpClass::Read { Role::Read } else { Role::Write };
        caller::permit(self, needs, || reach_of_op(&op))?;
        let options = CallOptions { deadline: Some(deadline), session: session::current() };
        Ok(self.0.storage.execute(&op, options).await?)
    }

    /// By when this request wants its answer: `X-Mainstay-Timeout`, or `limits.deadline` from now.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Deadline, Problem> {
        let storage = self.storage();
        let Some(value) = headers.get("x-mainstay-timeout") else {
            return Ok(storage.clock().deadline_in(storage.config().limits.deadline));
        };
        let max = self.settings().config.timeout_max;
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
        .route("/v1/drills", get(drills::list).post(drills::begin))
        .route("/v1/drills/{id}", get(drills::find).delete(drills::abort))
        .route("/v1/journal", get(journal::read))
        .route("/v1/journal/replay", post(journal::replay))
        .route("/v1/journal/dead-letters/{seq}", delete(journal::discard))
        .route("/v1/clients", get(clients::list))
        .route("/v1/locks", get(locks::list))
        .route("/v1/locks/{*name}", post(locks::acquire).put(locks::renew).delete(locks::release))
        .route("/v1/events", get(events::read))
        .route("/v1/history", get(history::read))
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
