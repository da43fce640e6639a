//! `config check --probe` before real servers: what is wrong with each, word for word, and the fix.

use mainstay_testkit::servers::{
    MariaDb, Persist, PgBouncer, Postgres, PostgresOptions, Redis, RedisOptions, Sentinel,
};

use crate::{
    process::{Mainstay, until},
    support::{Run, Scratch},
};

/// What a probe of this configuration says, and its exit code.
async fn probe(config: String) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", &config);
    let mut command = scratch.command(&["config", "check", "--probe"]);
    let run = tokio::task::spawn_blocking(move || Run::of(&mut command)).await.unwrap();
    assert_eq!(run.stderr, "", "{run:?}");
    (run.code, run.stdout)
}

/// Of one backend called `b`, with time for a slow machine to be told why.
async fn of(url: &str) -> (Option<i32>, String) {
    probe(format!("[backends.b]\nurl = \"{url}\"\nconnect_timeout = \"4s\"\n")).await
}

async fn refused(url: &str, expected: &str) {
    is_down(of(url).await, url, expected);
}

/// Nobody says anything there.
async fn unanswered(url: &str, expected: &str) {
    is_down(probe(format!("[backends.b]\nurl = \"{url}\"\n")).await, url, expected);
}

#[track_caller]
fn is_down((code, said): (Option<i32>, String), url: &str, expected: &str) {
    assert_eq!(
        (code, said.as_str()),
        (Some(4), format!("b is down: {expected}\n").as_str()),
        "{url}"
    );
}

const WELL: &str = "every backend answers\n";

#[tokio::test]
async fn what_cannot_be_reached() {
    const LISTEN: &str =
        "nothing listens there: start the server, or correct host and port in backends.b.url";
    const HOST: &str =
        "no such host is known to this machine's DNS: correct the host in backends.b.url";
    let refusal = "Connection refused (os error 111)";
    let unknown = "failed to lookup address information: Name or service not known";
    for (scheme, words) in
        [("redis", ""), ("postgres", "error connecting to server: "), ("mysql", "connection: ")]
    {
        refused(&format!("{scheme}://u:p@127.0.0.1:1/0"), &format!("{words}{refusal}; {LISTEN}"))
            .await;
        let nowhere = format!("{scheme}://u:p@no-such-host.invalid/0");
        refused(&nowhere, &format!("{words}{unknown}; {HOST}")).await;
    }
}

#[tokio::test]
async fn redis_and_who_may_come_in() {
    let options = RedisOptions { password: Some("right".to_owned()), ..RedisOptions::default() };
    let redis = Redis::start_with(options).await.unwrap();
    let port = redis.port();
    refused(&format!("redis://127.0.0.1:{port}"), "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time; the server wants a password: write redis://:PASSWORD@HOST in backends.b.url, or put it into the file of backends.b.url_file").await;
    refused(&format!("redis://:wrong@127.0.0.1:{port}"), "WRONGPASS invalid username-password pair or user is disabled.; correct user and password in backends.b.url").await;
    redis
        .redis_cli(&["ACL", "SETUSER", "poor", "on", ">poor", "~app:*", "+get", "+set"])
        .await
        .unwrap();
    refused(&format!("redis://poor:poor@127.0.0.1:{port}"), "NOPERM this user has no permissions to run the 'ping' command; let the ACL user do more: Mainstay needs `+@all -@dangerous +info +client +cluster ~* &*`, or name another user in backends.b.url").await;
    let enough = [
        "ACL",
        "SETUSER",
        "enough",
        "on",
        ">enough",
        "+@all",
        "-@dangerous",
        "+info",
        "+client",
        "+cluster",
        "~*",
        "&*",
    ];
    redis.redis_cli(&enough).await.unwrap();
    let (code, said) = of(&format!("redis://enough:enough@127.0.0.1:{port}")).await;
    assert_eq!((code, said.as_str()), (Some(0), WELL));
    refused(&format!("redis://:right@127.0.0.1:{port}/99"), "Redis server refused to switch database - Server(ResponseError): DB index is out of range; correct the database number at the end of backends.b.url").await;
    let open = Redis::start().await.unwrap();
    unanswered(&format!("postgres://u@127.0.0.1:{}/d?sslmode=disable", open.port()), "connecting timed out; nothing answers there, or in another protocol (TLS or not): correct backends.b.url, see the firewall, or raise connect_timeout").await;
}

#[tokio::test]
async fn redis_and_tls() {
    let options = RedisOptions { tls: true, ..RedisOptions::default() };
    let secure = Redis::start_with(options).await.unwrap();
    let (code, said) =
        of(&format!("{}?tls_ca_file={}", secure.url(), secure.ca_path().display())).await;
    assert_eq!((code, said.lines().next()), (Some(0), Some(WELL.trim_end())));
    refused(&format!("rediss://127.0.0.1:{}", secure.port()), "invalid peer certificate: UnknownIssuer; no authority that is known here has signed the server's certificate: name its CA (?tls_ca_file=FILE in backends.b.url)").await;
    refused(&format!("redis://127.0.0.1:{}", secure.port()), "Connection reset by peer (os error 104); what listens there hangs up: is it this engine, and does it want TLS?").await;
    let plain = Redis::start().await.unwrap();
    unanswered(&format!("rediss://127.0.0.1:{}", plain.port()), "no connection before the deadline; nothing answers there, or in another protocol (TLS or not): correct backends.b.url, see the firewall, or raise connect_timeout").await;
}

#[tokio::test]
async fn a_replica_of_redis() {
    let sentinel = Sentinel::start().await.unwrap();
    refused(&format!("redis://127.0.0.1:{}", sentinel.replica.port()), "the server is a replica; name the master in backends.b.url, or let the sentinels name it: redis-sentinel://HOST:26379/SERVICE").await;
}

#[tokio::test]
async fn a_redis_that_forgets_matters_where_values_are_nowhere_else() {
    let options =
        RedisOptions { max_memory: Some((64 << 20, "allkeys-lru")), ..RedisOptions::default() };
    let redis = Redis::start_with(options).await.unwrap();
    redis.redis_cli(&["CONFIG", "SET", "save", ""]).await.unwrap();
    let (code, said) = of(&redis.url()).await;
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "every backend answers\nwarning: b keeps nothing on a disk, and route `*` has its values nowhere else: they are gone when it restarts; set appendonly yes (or save points) on the server, or name a record in the route\nwarning: b evicts (allkeys-lru), and route `*` has its values nowhere else: some go when it is full; set maxmemory-policy noeviction, or name a record in the route\n"
        )
    );
    let route = |route: &str| {
        format!(
            "[backends.db]\nurl = \"sqlite:./db\"\n[backends.b]\nurl = \"{}\"\nconnect_timeout = \"4s\"\n[[route]]\nprefix = \"s:\"\n{route}\n",
            redis.url()
        )
    };
    let cached = probe(route("cache = [\"b\"]\nrecord = \"db\"")).await;
    assert_eq!((cached.0, cached.1.as_str()), (Some(0), WELL));
    let (code, said) =
        probe(route("cache = [\"b\"]\nrecord = \"db\"\nconsistency = \"strict\"")).await;
    assert_eq!(
        (code, said.as_str()),
        (
            Some(4),
            "route `s:` is strict, and b may evict marks: set its maxmemory-policy to noeviction, or make the route bounded; until then it reads from db\n"
        )
    );
    let kept = Redis::start_with(RedisOptions { persist: Persist::Aof, ..RedisOptions::default() });
    let kept = of(&kept.await.unwrap().url()).await;
    assert_eq!((kept.0, kept.1.as_str()), (Some(0), WELL));
}

#[tokio::test]
async fn postgres_and_what_it_refuses() {
    let options = PostgresOptions { require_password: true, ..PostgresOptions::default() };
    let postgres = Postgres::start_with(options).await.unwrap();
    let port = postgres.port();
    let url = postgres.url();
    refused(&url.replace(":mainstay@", ":wrong@"), "password authentication failed for user \"mainstay\" (28P01); correct user and password in backends.b.url, and let that user reach the database").await;
    refused(&url.replace(":mainstay@", "@"), "invalid configuration: password missing; the server wants a password: write it after the user in backends.b.url").await;
    refused(&format!("postgres://mainstay:mainstay@127.0.0.1:{port}/nothing"), "database \"nothing\" does not exist (3D000): create the database, or correct its name in the URL; its name stands at the end of backends.b.url").await;
    refused(
        &format!("postgres://mainstay:mainstay@127.0.0.1:{port}/mainstay?sslmode=require"),
        "error performing TLS handshake: server does not support TLS; the server speaks no TLS on this port: correct the port, or write ?sslmode=disable in backends.b.url",
    )
    .await;
    postgres
        .psql("create role poor login password 'poor'; revoke create on schema public from public")
        .await
        .unwrap();
    refused(&format!("postgres://poor:poor@127.0.0.1:{port}/mainstay"), "permission denied for schema public (42501): grant the role what it lacks (CREATE on the schema to create the tables, else SELECT, INSERT, UPDATE, DELETE); the user is the one in backends.b.url; as the owner of the database: GRANT CREATE ON SCHEMA public TO it (MySQL: GRANT CREATE ON its database)").await;
    postgres.psql("alter role mainstay set default_transaction_read_only = on").await.unwrap();
    refused(&url, "the server takes no writes: its transactions are read-only; name the primary in backends.b.url, or all hosts: they are tried in turn").await;
}

#[tokio::test]
async fn a_pooler_without_prepared_statements_needs_no_fix_but_for_listen() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    let (code, said) = of(&bouncer.url()).await;
    assert_eq!((code, said.as_str()), (Some(0), WELL));
    let listening = format!(
        "[backends.b]\nurl = \"{}\"\nconnect_timeout = \"4s\"\n[[route]]\nprefix = \"u:\"\n[route.source]\nbackend = \"b\"\nquery = \"select $1\"\n\
         changes = {{ listen = \"c\" }}\n",
        bouncer.url()
    );
    let (code, said) = probe(listening).await;
    assert_eq!(
        (code, said.as_str()),
        (
            Some(4),
            "route `u:` listens for changes on b, and a pooler there lends a server for each transaction: LISTEN needs session pooling; name the server itself in backends.b.url, or learn of changes by a query (changes.query)\n"
        )
    );
}

#[tokio::test]
async fn clocks_that_differ() {
    let mut postgres = Postgres::start().await.unwrap();
    let asked = tokio::process::Command::new("faketime")
        .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
        .output();
    let library = String::from_utf8(asked.await.expect("faketime is installed").stdout).unwrap();
    let ahead = [("LD_PRELOAD", library.trim()), ("FAKETIME", "+2h")];
    let ahead = ahead.map(|(name, value)| (name.to_owned(), value.to_owned()));
    postgres.restart_with(&ahead).await.unwrap();
    let (code, said) = of(&postgres.url()).await;
    assert_eq!(code, Some(0), "{said}");
    // How long the way there takes is no part of the promise.
    let (before, after) = said.split_once(" ahead of this machine's: ").expect("a warning");
    assert!(before.starts_with("every backend answers\nwarning: the clock of b is "), "{said}");
    assert_eq!(
        after,
        "what expires at a moment does so early or late by that much; run an NTP client (chrony, systemd-timesyncd) on both\n"
    );
}

#[tokio::test]
async fn mariadb_and_what_it_refuses() {
    let mariadb = MariaDb::start().await.unwrap();
    let (url, port) = (mariadb.url(), mariadb.port());
    let (code, said) = of(&url).await;
    assert_eq!((code, said.as_str()), (Some(0), WELL));
    refused(&url.replace(":mainstay@", ":wrong@"), "Access denied for user 'mainstay'@'127.0.0.1' (using password: YES) (1045); correct user and password in backends.b.url, and let that user reach the database").await;
    refused(&format!("mysql://mainstay:mainstay@127.0.0.1:{port}/nothing"), "Unknown database 'nothing' (1049): create the database, or correct its name in the URL; its name stands at the end of backends.b.url").await;
    mariadb
        .sql("create database bare; create user 'poor'@'%' identified by 'poor'; grant select on bare.* to 'poor'@'%'")
        .await
        .unwrap();
    refused(&format!("mysql://poor:poor@127.0.0.1:{port}/bare"), "CREATE command denied to user 'poor'@'127.0.0.1' for table `bare`.`mainstay_kv` (1142): grant the user what it lacks (CREATE to create the tables, else SELECT, INSERT, UPDATE, DELETE); the user is the one in backends.b.url; as the owner of the database: GRANT CREATE ON SCHEMA public TO it (MySQL: GRANT CREATE ON its database)").await;
    mariadb.sql("set global read_only = 1").await.unwrap();
    refused(&url, "the server takes no writes: read_only is ON; name the primary in backends.b.url, or all hosts: they are tried in turn").await;
}

/// Whoever looks leaves the journal alone: the server that holds it may be running, and what waits in it is not to be applied.
#[tokio::test]
async fn the_journal_is_neither_taken_nor_replayed() {
    let mut postgres = Postgres::start().await.unwrap();
    let file = "[[route]]\nprefix = \"\"\nrecord = \"db\"\non_record_down = \"journal\"\n";
    let url = postgres.url();
    let mut mainstay = Mainstay::start_with(file, &[("DATABASE_URL", &*url)]).await;
    mainstay.wait_for("db", "up").await;
    assert_eq!(mainstay.run(&["config", "check", "--probe"]).await, WELL);
    until("the record to be met", async || {
        mainstay.http_get("/v1/journal").await.contains("\"unmet_records\":0")
    })
    .await;
    postgres.kill();
    mainstay.wait_for("db", "down").await;
    let put = mainstay.http("PUT", "/v1/kv/k", "waits").await;
    assert!(put.starts_with("HTTP/1.1 202"), "{put}");
    mainstay.kill().await;
    postgres.restart().await.unwrap();
    assert_eq!(mainstay.run(&["config", "check", "--probe"]).await, WELL);
    let shown = mainstay.run(&["journal", "show", "--dir", "mainstay-data/journal"]).await;
    assert!(shown.contains("waits  1  set  k"), "{shown}");
}
