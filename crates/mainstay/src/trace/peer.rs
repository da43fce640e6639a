//! Whom a call goes to, as OpenTelemetry names it: system, namespace, address; never who with, nor the password.
//! It must not open anything.

use crate::config::text::redact_url;

/// The other end of a backend's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    system: &'static str,
    /// As the conventions want it in the name of a span.
    target: Option<String>,
    namespace: Option<String>,
    address: Option<String>,
    port: Option<u16>,
}

impl Peer {
    /// What the URL of an engine says of it.
    pub(crate) fn of(engine: &'static str, url: &str) -> Self {
        let system = match engine {
            "postgres" => "postgresql",
            other => other,
        };
        let shown = redact_url(url);
        let Some((scheme, rest)) = shown.split_once("://") else {
            return Self { system, ..Self::default() };
        };
        let place = rest.split('?').next().unwrap_or_default();
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let authority = authority.strip_prefix("***@").unwrap_or(authority);
        if authority.is_empty() || authority.contains('*') {
            return Self { system, ..Self::default() };
        }
        let system = if scheme.starts_with("mariadb") { "mariadb" } else { system };
        let (address, port) = split(authority);
        let namespace = namespace(scheme, engine, path);
        let target = namespace.clone().unwrap_or_else(|| authority.to_owned());
        Self { system, target: Some(target), namespace, address: Some(address), port }
    }

    pub(super) fn span_name(&self, operation: &str) -> String {
        match &self.target {
            Some(target) => format!("{operation} {target}"),
            None => operation.to_owned(),
        }
    }

    /// What stays in this process is no call to a server.
    pub(super) fn span_kind(&self) -> &'static str {
        if self.address.is_some() { "client" } else { "internal" }
    }

    pub(super) fn system(&self) -> &'static str {
        self.system
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub(super) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Host and port; several servers stay one text.
fn split(authority: &str) -> (String, Option<u16>) {
    let whole = || (authority.to_owned(), None);
    if authority.contains(',') {
        return whole();
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host.trim_matches(['[', ']']).to_owned(), Some(port)),
            Err(_) => whole(),
        },
        None => whole(),
    }
}

/// The database; of Redis its number. A group of Redis servers has none.
fn namespace(scheme: &str, engine: &str, path: &str) -> Option<String> {
    if scheme.contains("sentinel") || scheme.contains("cluster") {
        return None;
    }
    let first = path.split('/').next().unwrap_or_default();
    match (engine, first) {
        ("redis", "") => Some("0".to_owned()),
        (_, "") => None,
        (_, name) => Some(name.to_owned()),
    }
}
