//! The whole file as one typed value, and its JSON Schema.
//! It must not know how the value was put together.

use std::collections::BTreeMap;

use mainstay::{
    Config, Storage,
    config::{
        BackendConfig, ConsistencyConfig, JournalConfig, L1Config, LimitsConfig, LoadConfig,
        LocksConfig, MemoryConfig, ObserveConfig, RouteConfig,
    },
};
use mainstay_server::{
    Guard,
    access::{Access, Door, UserConfig},
    http::HttpConfig,
    resp::RespConfig,
    tls::TlsConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tracing_subscriber::filter::LevelFilter;

use super::{TracesConfig, runtime::RuntimeConfig, secret};

/// The configuration of Mainstay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The front door that speaks Redis's protocol.
    pub(crate) resp: RespConfig,
    /// The front door that speaks HTTP.
    pub(crate) http: HttpConfig,
    /// Who may come in at the doors, by name, and what they may do there. None: `resp.password` and `http.token` alone.
    pub(crate) users: BTreeMap<String, UserConfig>,
    /// TLS on the doors. Without a certificate they speak plain TCP.
    pub(crate) tls: TlsConfig,
    /// The engines, by names of your choice. None: SQLite in ./mainstay-data.
    pub(crate) backends: BTreeMap<String, BackendConfig>,
    /// The memory backend, always there, always last.
    pub(crate) memory: MemoryConfig,
    /// What this process keeps of its own for routes that name `memory` under `cache`.
    pub(crate) l1: L1Config,
    /// Key prefixes and what serves them; the longest match counts.
    #[serde(rename = "route")]
    pub(crate) routes: Vec<RouteConfig>,
    /// Sizes and deadlines of operations.
    pub(crate) limits: LimitsConfig,
    /// How many loads of `get_or_load` go on at once.
    pub(crate) load: LoadConfig,
    /// How copies in a cache are kept true.
    pub(crate) consistency: ConsistencyConfig,
    /// Where writes wait while the record of a route with `on_record_down = "journal"` is down.
    pub(crate) journal: JournalConfig,
    /// Who grants locks, and for how long at most.
    pub(crate) locks: LocksConfig,
    /// What is kept and judged for people: the connection history, key figures, flapping.
    pub(crate) observe: ObserveConfig,
    /// The threads that serve.
    pub(crate) runtime: RuntimeConfig,
    /// What is written to stderr.
    pub(crate) log: LogConfig,
    /// Where traces of operations go. Without an endpoint there are none.
    pub(crate) traces: TracesConfig,
}

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// For people, or one JSON object a line. Default `text`.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,mainstay::exec=debug`. Default `info`.
    pub(crate) level: String,
}

impl LogConfig {
    /// A filter takes any single word for the name of a module, so a misspelt level would show everything of a module
    /// that does not exist, that is nothing.
    fn validate(&self) -> Result<(), String> {
        let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
        let words = self.level.split(',').filter(|part| !part.contains(['=', '[']));
        let known = words.map(str::trim).all(is_level);
        let filter = known && tracing_subscriber::EnvFilter::try_new(&self.level).is_ok();
        let refused = || "log.level: is off, error, warn, info, debug, trace, or a filter such as info,mainstay::exec=debug";
        if filter { Ok(()) } else { Err(refused().to_owned()) }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

impl Settings {
    /// The part that the storage takes.
    pub(crate) fn storage(&self) -> Config {
        Config {
            backends: self.backends.clone(),
            memory: self.memory.clone(),
            l1: self.l1.clone(),
            routes: self.routes.clone(),
            limits: self.limits.clone(),
            load: self.load.clone(),
            consistency: self.consistency.clone(),
            journal: self.journal.clone(),
            locks: self.locks.clone(),
            observe: self.observe.clone(),
        }
    }

    /// A token that opens the HTTP door of the server that this describes: `http.token`, or that of the user who may do most.
    pub(crate) fn http_token(&self) -> Option<String> {
        let bound = |user: &UserConfig| user.prefixes.is_some();
        let known = self.users.values().filter(|user| user.token.is_some());
        let best = known.max_by_key(|user| (user.role, !bound(user)));
        self.http.token.clone().or_else(|| best?.token.clone())
    }

    /// Who may come in, and how. Reads the certificates.
    pub(crate) fn guard(&self) -> mainstay::Result<Guard> {
        Guard::new(Access::of(&self.users, &self.resp, &self.http)?, &self.tls)
    }

    /// Checks what the types cannot: ranges and names that refer to others. The message begins with the path.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let message = |error: mainstay::Error| error.message().to_owned();
        let access = Access::of(&self.users, &self.resp, &self.http).map_err(message)?;
        self.tls.validate().map_err(message)?;
        let guarded = |door| access.guards(door) || self.tls.is_mutual(door);
        self.resp.validate_with(guarded(Door::Resp)).map_err(message)?;
        self.http.validate_with(guarded(Door::Http)).map_err(message)?;
        Storage::check(&self.storage()).map_err(message)?;
        self.log.validate()?;
        self.traces.validate()
    }
}

/// Where the schema of this version is found, for editors.
const SCHEMA_ID: &str =
    "https://raw.githubusercontent.com/mainstay-rs/mainstay/main/docs/reference/config.schema.json";

/// The JSON Schema of the file, with the `..._file` twin beside each secret.
pub(crate) fn schema() -> Json {
    let mut document = schemars::schema_for!(Settings).to_value();
    document["title"] = json!("Mainstay configuration");
    document["$id"] = json!(SCHEMA_ID);
    for (definition, key) in secret::DEFINITIONS {
        let properties = &mut document["$defs"][definition]["properties"];
        properties[format!("{key}_file")] = json!({
            "type": ["string", "null"],
            "description":
                format!("A file that holds `{key}`, read at start; white space at its ends is cut off."),
        });
    }
    document
}
