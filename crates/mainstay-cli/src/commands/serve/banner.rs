//! What a person sees when the server starts: where it is, what serves what, what is missing, what to try.
//! It must not be written anywhere but to a terminal.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    net::SocketAddr,
    time::Duration,
};

use mainstay::{
    Config,
    status::{BackendStatus, Health, RouteStatus, Status},
};

use mainstay_server::access::Door;

use super::reachable;
use crate::{
    config::Loaded,
    output::{self, Tone},
};

/// What it is written from.
pub(super) struct Banner<'a> {
    pub(super) loaded: &'a Loaded,
    /// As the storage was opened: with the backend that it adds when none is configured.
    pub(super) config: &'a Config,
    pub(super) resp: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) ready: Duration,
}

impl Banner<'_> {
    /// Writes it to stderr, if that is a terminal.
    pub(super) fn show(&self, status: &Status) {
        let stderr = std::io::stderr();
        if stderr.is_terminal() {
            let text = self.text(status, output::wants_color(&stderr));
            // A terminal that has gone is no reason to stop serving.
            let _ = stderr.lock().write_all(text.as_bytes());
        }
    }

    fn text(&self, status: &Status, color: bool) -> String {
        let mut text = format!("mainstay {}\n\n", env!("CARGO_PKG_VERSION"));
        let (resp, http) = (reachable(self.resp), reachable(self.http));
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12}{value}");
        };
        let (redis, web) = (self.scheme(Door::Resp), self.scheme(Door::Http));
        line("RESP", &format!("{redis}://{resp}"));
        line("HTTP", &format!("{web}://{http}/v1"));
        line("Dashboard", &format!("{web}://{http}/"));
        line("Metrics", &format!("{web}://{http}/metrics"));
        let hint =
            if self.loaded.is_default() { "   (write one: mainstay config init)" } else { "" };
        line("Config", &format!("{}{hint}", self.loaded.summary()));
        for route in &status.routes {
            line("Route", &self.route(route));
        }
        for backend in status.backends.iter().filter(|backend| is_missing(backend)) {
            line("Missing", &Tone::Warning.paint(&missing(backend), color));
        }
        let _ = writeln!(text, "\nReady in {} ms.", self.ready.as_millis());
        let _ = writeln!(text, "Try it      {}", self.redis_cli(resp));
        let _ = writeln!(text, "            {}", self.curl(http));
        let _ = writeln!(text, "Break it    mainstay drill redis-outage --for 15s");
        text
    }

    /// `*  redis -> db(record)`, and the file of a backend that is one.
    fn route(&self, route: &RouteStatus) -> String {
        let prefix = if route.prefix.is_empty() { "*" } else { &route.prefix };
        let mut line = format!("{prefix}  {}", route.description);
        let words: Vec<&str> = route
            .description
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .collect();
        for (name, backend) in &self.config.backends {
            if let Some(file) =
                backend.url.strip_prefix("sqlite:").filter(|_| words.contains(&&**name))
            {
                let _ = write!(line, " {}", file.split('?').next().unwrap_or(file));
            }
        }
        line
    }

    fn scheme(&self, door: Door) -> &'static str {
        match (door, self.loaded.settings.tls.covers(door)) {
            (Door::Resp, false) => "redis",
            (Door::Resp, true) => "rediss",
            (Door::Http, false) => "http",
            (Door::Http, true) => "https",
        }
    }

    fn redis_cli(&self, resp: SocketAddr) -> String {
        let host = if resp.ip().is_loopback() && resp.is_ipv4() {
            String::new()
        } else {
            format!("-h {} ", resp.ip())
        };
        let settings = &self.loaded.settings;
        let user = settings.users.iter().find(|(_, user)| user.password.is_some());
        let password = match user {
            Some((name, _)) => format!("--user {name} --askpass "),
            None if settings.resp.password.is_some() => "--askpass ".to_owned(),
            None => String::new(),
        };
        let tls = if settings.tls.covers(Door::Resp) { "--tls " } else { "" };
        format!("redis-cli {tls}{host}-p {} {password}set user:1 ada ex 60", resp.port())
    }

    fn curl(&self, http: SocketAddr) -> String {
        let token = match self.loaded.settings.http_token() {
            Some(_) => "-H \"Authorization: Bearer $TOKEN\" ",
            None => "",
        };
        format!("curl -i {token}{}://{http}/v1/kv/user:1", self.scheme(Door::Http))
    }
}

fn is_missing(backend: &BackendStatus) -> bool {
    backend.health == Health::Down || !backend.reconnect.connected
}

/// `redis is down: Connection refused; trying again`.
fn missing(backend: &BackendStatus) -> String {
    match &backend.last_error {
        Some(error) => {
            let why = error.message.split(" (os error ").next().unwrap_or_default();
            format!("{} is down: {why}; trying again", backend.name)
        }
        None => format!("{} has not answered yet; trying on", backend.name),
    }
}

#[cfg(test)]
mod tests;
