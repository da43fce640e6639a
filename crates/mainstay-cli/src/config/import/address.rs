//! `backends.redis.url`, put together from the parts that a connection is given in.
//! It must not know the other keys.

use super::{Line, Reader, Section, table::Part};
use crate::config::{
    error::Problem,
    tree::{Origin, Table, Value, join},
};

/// The address of a format that names none.
const HOST: &str = "127.0.0.1";
const PORT: i64 = 6379;

/// What is known of it so far.
struct Address {
    host: String,
    port: i64,
    user: String,
    password: Option<String>,
    database: Option<i64>,
    tls: bool,
}

impl Reader {
    /// The address, from its parts.
    pub(super) fn url(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        let Some((_, _, _, at)) = parts.first() else { return };
        let (at, mut from) = (at.clone(), Vec::new());
        let mut address = Address {
            host: HOST.to_owned(),
            port: PORT,
            user: String::new(),
            password: None,
            database: None,
            tls: false,
        };
        let logs_in = parts.iter().any(|(part, ..)| *part == Part::Password);
        for (part, path, value, at) in &parts {
            if !address.take(*part, value) {
                let message = format!("is {}, which is no part of an address", value.kind());
                self.problems.push(Problem::new(at, path, message));
            }
            if let (Part::Tls, Value::Table(options)) = (part, value) {
                self.options_of_tls(path, options);
            }
            if *part == Part::User && !logs_in {
                self.nothing(at, path, "without a password nobody logs in");
                continue;
            }
            self.note(at, format!("{path}: a part of backends.redis.url"));
            from.push(path.as_str());
        }
        let (value, from) = (Value::Text(address.url()), from.join(", "));
        self.lines
            .insert(0, Line { section: Section::Redis, key: "url".to_owned(), value, from, at });
    }

    /// That there is TLS is a part of the address; how it is checked is not passed over.
    fn options_of_tls(&mut self, path: &str, options: &Table) {
        for (key, item) in options {
            let message = "is not taken over; write the address in TOML, or in REDIS_URL, with ?tls_ca_file=FILE, \
                           tls_cert_file and tls_key_file, or tls_insecure as its options";
            self.problems.push(Problem::new(&item.key_at, &join(path, key), message));
        }
    }

    /// A key for which nothing is set.
    pub(super) fn nothing(&mut self, at: &Origin, path: &str, why: &str) {
        self.note(at, format!("{path}: nothing to set: {why}"));
        self.silent.push(format!("{path}: {why}"));
    }
}

impl Address {
    /// False: it is not what this part takes.
    fn take(&mut self, part: Part, value: &Value) -> bool {
        match (part, value) {
            (Part::Host, Value::Text(text)) => self.host.clone_from(text),
            (Part::User, Value::Text(text)) => self.user = escape(text),
            (Part::Password, Value::Text(text)) => self.password = Some(escape(text)),
            (Part::Port, Value::Integer(port)) if (1..=65535).contains(port) => self.port = *port,
            (Part::Database, Value::Integer(number)) if *number >= 0 => {
                self.database = Some(*number);
            }
            (Part::Tls, Value::Boolean(yes)) => self.tls = *yes,
            (Part::Tls, Value::Table(_)) => self.tls = true,
            _ => return false,
        }
        true
    }

    fn url(&self) -> String {
        let Self { host, port, user, password, database, tls } = self;
        let scheme = if *tls { "rediss" } else { "redis" };
        let login =
            password.as_ref().map_or_else(String::new, |password| format!("{user}:{password}@"));
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let database = database.map_or_else(String::new, |number| format!("/{number}"));
        format!("{scheme}://{login}{host}:{port}{database}")
    }
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
