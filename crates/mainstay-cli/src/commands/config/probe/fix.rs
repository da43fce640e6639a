//! What to do about an error of a backend that was probed: one table, read from the top.
//! It must not connect.

use mainstay::config::Engine;

/// For which engines a row is.
#[derive(Clone, Copy)]
enum Of {
    Any,
    Redis,
    Sql,
}

/// Words of the error (in lower case), one of which has to occur; `URL` stands for the key of the address.
const ROWS: &[(Of, &[&str], &str)] = &[
    (
        Of::Redis,
        &["without any password configured"],
        "the server asks for no password: take it out of URL",
    ),
    (
        Of::Redis,
        &["noauth", "authentication required"],
        "the server wants a password: write redis://:PASSWORD@HOST in URL, or put it into the file of URL_file",
    ),
    (Of::Redis, &["wrongpass", "invalid password"], "correct user and password in URL"),
    (
        Of::Redis,
        &["noperm", "no permissions"],
        "let the ACL user do more: Mainstay needs `+@all -@dangerous +info +client +cluster ~* &*`, or name another user in URL",
    ),
    (
        Of::Redis,
        &["db index is out of range", "select is not allowed"],
        "correct the database number at the end of URL",
    ),
    (
        Of::Redis,
        &["is a replica", "readonly"],
        "name the master in URL, or let the sentinels name it: redis-sentinel://HOST:26379/SERVICE",
    ),
    (
        Of::Redis,
        &["protected mode", "denied redis is running"],
        "give the server a password (requirepass), or let it listen for this host alone",
    ),
    (
        Of::Redis,
        &["noproto", "unknown command"],
        "the server is older than what Mainstay needs: use Redis 6.2 or Valkey 7.2, or newer",
    ),
    (Of::Redis, &["loading"], "wait until the server has read its data"),
    (Of::Redis, &["misconf"], "the server cannot save its data: see its log, or its disk"),
    (
        Of::Redis,
        &["max number of clients"],
        "raise the server's maxclients, or close connections of others",
    ),
    (
        Of::Sql,
        &[
            "password authentication failed",
            "access denied for user",
            "no such user",
            "authentication error",
        ],
        "correct user and password in URL, and let that user reach the database",
    ),
    (
        Of::Sql,
        &["no pg_hba.conf entry", "is not allowed to connect"],
        "let this user come from this host (pg_hba.conf, or GRANT), with TLS if it is asked for: ?sslmode=require",
    ),
    (
        Of::Sql,
        &["create the database", "unknown database", "no such database"],
        "its name stands at the end of URL",
    ),
    (
        Of::Sql,
        &["permission denied", "command denied"],
        "the user is the one in URL; as the owner of the database: GRANT CREATE ON SCHEMA public TO it (MySQL: GRANT CREATE ON its \
         database)",
    ),
    (
        Of::Sql,
        &["standby", "read-only", "read_only"],
        "name the primary in URL, or all hosts: they are tried in turn",
    ),
    (
        Of::Sql,
        &["newer"],
        "another version of Mainstay has made these tables: use that one, or another database",
    ),
    (
        Of::Sql,
        &["prepared statement", "mixes sessions up"],
        "the pooler hands sessions around: give it session pooling for Mainstay, or go past it",
    ),
    (
        Of::Sql,
        &["startup parameter"],
        "let the pooler pass it on: ignore_startup_parameters of PgBouncer",
    ),
    (Of::Sql, &["password missing"], "the server wants a password: write it after the user in URL"),
    (
        Of::Any,
        &["causedasendentity"],
        "the server shows its CA's own certificate: make one for the server, signed by that CA",
    ),
    (
        Of::Any,
        &["unknownissuer", "unknown issuer"],
        "no authority that is known here has signed the server's certificate: name its CA (CAFILE in URL)",
    ),
    (
        Of::Any,
        &["notvalidforname", "not valid for name", "certificate not valid"],
        "the certificate is for another name: write the host in URL as the certificate has it",
    ),
    (Of::Any, &["expired"], "the server's certificate is too old: renew it"),
    (
        Of::Any,
        &["certificaterequired", "certificate required", "handshake failure"],
        "the server wants a certificate of the client: name one in URL (tls_cert_file and tls_key_file for Redis)",
    ),
    (
        Of::Any,
        &["certificate"],
        "the server's certificate is not accepted: see its chain, and the CA (CAFILE in URL)",
    ),
    (
        Of::Any,
        &[
            "does not support tls",
            "invalidcontenttype",
            "corrupt message",
            "no client ssl flag",
            "ssl",
        ],
        "the server speaks no TLS on this port: correct the port, or write PLAIN in URL",
    ),
    (
        Of::Any,
        &["failed to lookup", "name or service not known", "no address", "name resolution"],
        "no such host is known to this machine's DNS: correct the host in URL",
    ),
    (
        Of::Any,
        &["connection refused", "no such file"],
        "nothing listens there: start the server, or correct host and port in URL",
    ),
    (
        Of::Any,
        &["no answer in time", "timed out", "before the deadline", "unreachable"],
        "nothing answers there, or in another protocol (TLS or not): correct URL, see the firewall, or raise connect_timeout",
    ),
    (
        Of::Any,
        &["reset", "broken pipe", "unexpected end", "unexpected eof", "closed", "multiplexed"],
        "what listens there hangs up: is it this engine, and does it want TLS?",
    ),
];

/// What to do about it. `kind`: `ErrorKind::as_str`.
pub(super) fn of(name: &str, engine: Option<Engine>, kind: &str, message: &str) -> String {
    let message = message.to_lowercase();
    let is = |of: &Of| match of {
        Of::Any => true,
        Of::Redis => engine == Some(Engine::Redis),
        Of::Sql => engine.is_some_and(|engine| engine != Engine::Redis),
    };
    let row =
        ROWS.iter().find(|(of, words, _)| is(of) && words.iter().any(|w| message.contains(w)));
    let advice = row.map_or_else(|| by_kind(kind), |(_, _, advice)| advice);
    let (ca, plain) = match engine {
        Some(Engine::Redis) | None => ("?tls_ca_file=FILE", "redis://"),
        Some(Engine::Postgres) => ("?sslrootcert=FILE", "?sslmode=disable"),
        Some(Engine::Mysql) => ("?ssl-ca=FILE&ssl-mode=VERIFY_IDENTITY", "?ssl-mode=DISABLED"),
        Some(Engine::Sqlite) => ("", ""),
    };
    advice
        .replace("CAFILE", ca)
        .replace("PLAIN", plain)
        .replace("URL", &format!("backends.{name}.url"))
}

fn by_kind(kind: &str) -> &'static str {
    match kind {
        "forbidden" => "correct user and password in URL, and what that user may do",
        "wrong_node" => "name the primary in URL",
        "disconnected" | "timeout" => {
            "correct host and port in URL, and see whether the server runs"
        }
        "storage_full" => "make room on the server",
        _ => "see the server's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_that_fits_says_what_to_do_with_the_key_of_the_backend() {
        for (engine, kind, message, expected) in [
            (
                Engine::Redis,
                "forbidden",
                "WRONGPASS invalid username-password pair or user is disabled.",
                "correct user and password in backends.db.url",
            ),
            (
                Engine::Postgres,
                "misconfigured",
                "db error: server does not support TLS",
                "the server speaks no TLS on this port: correct the port, or write ?sslmode=disable in backends.db.url",
            ),
            (
                Engine::Mysql,
                "forbidden",
                "invalid peer certificate: UnknownIssuer",
                "no authority that is known here has signed the server's certificate: name its CA \
                 (?ssl-ca=FILE&ssl-mode=VERIFY_IDENTITY in backends.db.url)",
            ),
            (
                Engine::Redis,
                "forbidden",
                "??",
                "correct user and password in backends.db.url, and what that user may do",
            ),
            (Engine::Sqlite, "corrupt", "??", "see the server's log"),
        ] {
            assert_eq!(of("db", Some(engine), kind, message), expected);
        }
    }
}
