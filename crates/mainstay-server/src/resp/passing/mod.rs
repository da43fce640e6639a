//! Pass-through: which commands go to Redis as they are, and to which Redis.
//! It must not know how they get there (`mainstay::RawOp`, `lines`), nor what they mean.

use std::sync::Arc;

use bytes::Bytes;
use mainstay::{
    Error, ErrorKind, Key, RawOp, Result, Storage,
    config::{BackendConfig, Engine},
};

use super::{
    command::{Handler, Spec, args::Name, find, find_foreign},
    config::RespConfig,
    error::Failure,
};

mod encode;
mod lines;
mod run;

pub(super) use encode::{Nulls, encode};
pub(super) use lines::{Lease, Lines};
pub(super) use run::{Blocking, Together, Watching, block, together, watch};

/// What never works over a connection that is not the client's own, whoever asks for it.
const NEVER: [&str; 12] = [
    "asking",
    "client",
    "monitor",
    "psync",
    "readonly",
    "readwrite",
    "replconf",
    "script",
    "select",
    "sync",
    "wait",
    "waitaof",
];

/// Whether a command of this name, or name and subcommand, would change a connection that others use.
pub(super) fn is_of_the_connection(name: &str) -> bool {
    let first = name.split_ascii_whitespace().next().unwrap_or_default();
    let of_ours = |spec: &Spec| matches!(spec.handler, Handler::Open(_) | Handler::Turn(_));
    NEVER.contains(&first) || find(first.as_bytes()).is_some_and(of_ours)
}

/// Where commands are passed through to.
#[derive(Debug)]
pub(super) struct Passing {
    /// The Redis that takes what no route names; `None`: nothing is passed but by routes.
    backend: Option<Arc<str>>,
    /// Whether there is a route whose keys are passed through.
    routes: bool,
    /// The Redis for channels, and for scripts that are loaded.
    any: Option<Arc<str>>,
    allow: Vec<String>,
    pub(super) lines: Lines,
}

/// Who performs a command.
#[derive(Debug)]
pub(super) enum Side {
    /// Mainstay.
    Own,
    /// A Redis.
    Pass(RawOp),
}

fn refuse<T>(path: &str, problem: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidArgument, format!("{path}: {problem}")))
}

fn is_single(backend: &BackendConfig) -> bool {
    let cluster =
        backend.url.split_once(':').is_some_and(|(scheme, _)| scheme.ends_with("-cluster"));
    backend.engine() == Some(Engine::Redis) && !cluster
}

impl Passing {
    /// From the configuration.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value and names the fix.
    pub(super) fn new(config: &RespConfig, storage: &Storage) -> Result<Self> {
        let whole = storage.config();
        let single = |name: &str| whole.backends.get(name).is_some_and(is_single);
        for (nth, route) in whole.routes.iter().enumerate() {
            if let Some(name) = route.passthrough.as_ref().filter(|name| !single(name)) {
                let path = format!("route[{nth}].passthrough");
                return refuse(&path, format!("`{name}` is not a Redis, alone or behind Sentinel"));
            }
        }
        let all: Vec<&String> = whole.backends.keys().filter(|name| single(name)).collect();
        let named = config.passthrough_backend.as_ref();
        if let Some(name) = named.filter(|name| !single(name)) {
            let text =
                format!("`{name}` is not a Redis under [backends], alone or behind Sentinel");
            return refuse("resp.passthrough_backend", text);
        }
        let chosen = match (named, all.as_slice()) {
            (Some(name), _) => Some(name),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        if config.passthrough && chosen.is_none() {
            return match all.is_empty() {
                true => refuse(
                    "resp.passthrough",
                    "there is no Redis under [backends] to pass commands to",
                ),
                false => refuse(
                    "resp.passthrough",
                    "there are several Redis: name one as resp.passthrough_backend",
                ),
            };
        }
        let allow: Vec<String> =
            config.passthrough_allow.iter().map(|name| name.to_ascii_lowercase()).collect();
        if let Some(name) = allow.iter().find(|name| is_of_the_connection(name)) {
            let text =
                format!("`{name}` cannot be passed through: it changes the connection itself");
            return refuse("resp.passthrough_allow", text);
        }
        let chosen = chosen.map(|name| Arc::from(name.as_str()));
        Ok(Self {
            backend: chosen.clone().filter(|_| config.passthrough),
            routes: storage.has_passthrough(),
            any: chosen,
            allow,
            lines: Lines::new(config.passthrough_connections_max),
        })
    }

    /// Whether anything is passed through.
    pub(super) fn is_on(&self) -> bool {
        self.routes || self.backend.is_some()
    }

    /// The Redis for what has no key: channels.
    pub(super) fn any(&self) -> Option<&Arc<str>> {
        self.any.as_ref()
    }

    /// The Redis that runs scripts, where any are passed to one.
    pub(super) fn scripts(&self) -> Option<&Arc<str>> {
        self.any.as_ref().filter(|_| self.is_on())
    }

    /// What a command is here; `None`: unknown.
    pub(super) fn spec(&self, name: &[u8]) -> Option<&'static Spec> {
        if let Some(spec) = find(name) {
            return Some(spec);
        }
        if !self.is_on() {
            return None;
        }
        let lower = Name::of(name)?;
        find_foreign(lower.as_bytes(), || self.allows(&[lower.as_bytes()]))
    }

    fn allows(&self, words: &[&[u8]]) -> bool {
        let name = words.join(&b' ').to_ascii_lowercase();
        self.allow.iter().any(|allowed| allowed.as_bytes() == name)
    }

    /// Whether the configuration lets this command pass by its name, or by its name and subcommand.
    fn is_named(&self, args: &[Bytes]) -> bool {
        match args {
            [] => false,
            [name] => self.allows(&[name]),
            [name, sub, ..] => self.allows(&[name]) || self.allows(&[name, sub]),
        }
    }

    /// The Redis of these keys by their routes; `None`: not all are on routes that are passed through, or there are none.
    ///
    /// # Errors
    /// They are passed to several.
    pub(super) fn by_route(
        &self,
        storage: &Storage,
        keys: &[Key],
    ) -> std::result::Result<Option<Arc<str>>, Failure> {
        if !self.routes {
            return Ok(None);
        }
        let mut backends = keys.iter().map(|key| storage.passthrough_of(key));
        let Some(Some(first)) = backends.next() else { return Ok(None) };
        for other in backends {
            match other {
                Some(other) if other == first => {}
                Some(_) => {
                    return Err(Failure::fixed(
                        "ERR these keys are passed through to several Redis",
                    ));
                }
                None => return Ok(None),
            }
        }
        Ok(Some(Arc::clone(first)))
    }

    /// Who performs a command.
    ///
    /// # Errors
    /// Why nobody does.
    pub(super) fn side(
        &self,
        storage: &Storage,
        spec: &'static Spec,
        args: &[Bytes],
        resp3: bool,
    ) -> std::result::Result<Side, Failure> {
        let foreign = matches!(spec.handler, Handler::Pass(_));
        if !foreign && (!self.is_on() || spec.is_mainstays()) {
            return Ok(Side::Own);
        }
        let named = !self.allow.is_empty() && self.is_named(args);
        if foreign && spec.is_admin() && !named {
            let name = spec.name.to_ascii_uppercase();
            let text = format!(
                "ERR {name} is not passed through to Redis unless resp.passthrough_allow names it"
            );
            return Err(Failure::new(text));
        }
        let data = matches!(spec.handler, Handler::Data(_));
        if !(foreign || data || named) {
            return Ok(Side::Own);
        }
        let keys: Vec<Key> =
            spec.keys_in(args).into_iter().map(|key| Key::from(key.clone())).collect();
        let backend = match self.by_route(storage, &keys)? {
            Some(backend) => backend,
            None if foreign || named => match (&self.backend, named) {
                (Some(backend), _) => Arc::clone(backend),
                (None, true) if self.any.is_some() => self.any.clone().unwrap_or_default(),
                (None, _) => return Err(super::command::unknown(args)),
            },
            None => return Ok(Side::Own),
        };
        let reads = spec.is_read();
        let op = RawOp { backend, words: args.to_vec(), keys, resp3, reads };
        storage.may_pass(&op)?;
        Ok(Side::Pass(op))
    }
}
