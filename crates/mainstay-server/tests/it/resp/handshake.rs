//! How clients introduce themselves, authenticate, and look around.

use std::sync::Arc;

use mainstay::{
    Clock, Config, Storage,
    backend::memory::Memory,
    config::{BackendConfig, MemoryConfig},
};
use mainstay_server::resp::RespConfig;

use super::support::Server;

fn guarded() -> RespConfig {
    RespConfig { password: Some("secret".to_owned()), ..RespConfig::default() }
}

#[tokio::test]
async fn hello_switches_the_protocol_and_reset_switches_back() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    client.ask("get k", "$-1\r\n").await;
    let greeting = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n\
                    $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    client.ask("hello 3 setname me", greeting).await;
    client.ask("get k", "_\r\n").await;
    client.ask("config get save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n").await;
    client.ask("client getname", "$2\r\nme\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("get k", "$-1\r\n").await;
    client.ask("client getname", "$-1\r\n").await;
    client.ask("hello 4", "-NOPROTO unsupported protocol version\r\n").await;
    client.ask("hello x", "-ERR Protocol version is not an integer or out of range\r\n").await;
    client.ask("hello 3 foo", "-ERR Syntax error in HELLO option 'foo'\r\n").await;
}

#[tokio::test]
async fn nothing_is_answered_before_auth() {
    let server = Server::on_memory(guarded()).await;
    let mut client = server.client().await;
    for line in ["get k", "ping", "nonsense", "mainstay.status"] {
        client.ask(line, "-NOAUTH Authentication required.\r\n").await;
    }
    client.send("hello 3\r\n").await;
    assert!(client.line().await.starts_with("-NOAUTH HELLO must be called"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for line in ["auth wrong", "auth secre", "auth secretsecret", "auth other secret"] {
        client.ask(line, wrong).await;
    }
    client.ask("hello 3 auth default wrong", wrong).await;
    client.ask("auth secret", "+OK\r\n").await;
    client.ask("get k", "$-1\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("get k", "-NOAUTH Authentication required.\r\n").await;
    client.send("hello 2 auth default secret\r\n").await;
    assert_eq!(client.line().await, "*14");
}

#[tokio::test]
async fn before_auth_little_is_taken() {
    let server = Server::on_memory(guarded()).await;
    let mut client = server.client().await;
    client.send("*11\r\n").await;
    assert_eq!(client.rest().await, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    let mut client = server.client().await;
    client.send("*2\r\n$3\r\nGET\r\n$16385\r\n").await;
    assert_eq!(client.rest().await, "-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[tokio::test]
async fn without_a_password_auth_says_so() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    client.send("auth x\r\n").await;
    assert!(client.line().await.starts_with("-ERR AUTH <password> called without any password"));
    client.ask("auth default anything", "+OK\r\n").await;
}

#[tokio::test]
async fn a_connection_tells_about_itself() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    for (line, expected) in [
        ("ping", "+PONG\r\n"),
        ("ping hello", "$5\r\nhello\r\n"),
        ("ping a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
        ("echo hi", "$2\r\nhi\r\n"),
        ("select 0", "+OK\r\n"),
        ("select 1", "-ERR DB index is out of range\r\n"),
        ("select x", "-ERR value is not an integer or out of range\r\n"),
        ("client id", ":1\r\n"),
        ("client setname n", "+OK\r\n"),
        (
            "client setname 'a b'",
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
        ),
        ("client setinfo lib-name redis-py", "+OK\r\n"),
        ("client setinfo LIB-VER 8.0.0", "+OK\r\n"),
        ("client setinfo x y", "-ERR Unrecognized option 'x'\r\n"),
        ("client setname", "-ERR wrong number of arguments for 'client|setname' command\r\n"),
        ("client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"),
        ("client", "-ERR wrong number of arguments for 'client' command\r\n"),
        ("client no-evict on", "+OK\r\n"),
        ("client no-touch maybe", "-ERR syntax error\r\n"),
        ("client tracking off", "+OK\r\n"),
        ("client list type foo", "-ERR Unknown client type 'foo'\r\n"),
        ("client kill foo", "-ERR No such client\r\n"),
        ("client kill id x", "-ERR client-id should be greater than 0\r\n"),
        ("client kill id 99", ":0\r\n"),
    ] {
        client.ask(line, expected).await;
    }
    client.send("client tracking on\r\n").await;
    assert!(client.line().await.starts_with("-ERR CLIENT TRACKING is not supported"));
    let line = client.text("client list id 1").await;
    for part in [
        "id=1 ",
        " name=n ",
        " tot-mem=0 ",
        " cmd=client ",
        " resp=2 ",
        " lib-name=redis-py ",
        " lib-ver=8.0.0",
    ] {
        assert!(line.contains(part), "{part:?} in {line:?}");
    }
}

#[tokio::test]
async fn the_server_looks_like_one_redis_node() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    for (line, expected) in [
        ("role", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("wait 0 100", ":0\r\n"),
        ("readonly", "-ERR This instance has cluster support disabled\r\n"),
        ("cluster info", "-ERR This instance has cluster support disabled\r\n"),
        ("cluster foo", "-ERR unknown subcommand 'foo'. Try CLUSTER HELP.\r\n"),
        (
            "config get save appendonly",
            "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n",
        ),
        ("config get nothing", "*0\r\n"),
        ("config resetstat", "+OK\r\n"),
        (
            "config set maxmemory 1",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - can't set immutable config\r\n",
        ),
        (
            "config set foo bar",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n",
        ),
        ("command info nope", "*1\r\n$-1\r\n"),
        ("command getkeys mset a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("command getkeys ping a", "-ERR The command has no key arguments\r\n"),
        ("command list filterby pattern getr*", "*1\r\n$8\r\ngetrange\r\n"),
        ("foo bar", "-ERR unknown command 'foo', with args beginning with: 'bar' \r\n"),
    ] {
        client.ask(line, expected).await;
    }
    client.send("command count\r\n").await;
    let count = client.line().await;
    client.send("command\r\n").await;
    assert_eq!(client.line().await, count.replace(':', "*"));
}

#[tokio::test]
async fn info_tells_clients_what_they_look_for() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    let info = client.text("info").await;
    for line in [
        "redis_version:7.4.0",
        "loading:0",
        "role:master",
        "connected_clients:1",
        "cluster_enabled:0",
        "# Resilience",
        "connection_attempts:0",
        "recoveries:0",
    ] {
        assert!(info.lines().any(|got| got == line), "{line:?} in {info}");
    }
    assert!(info.contains("\r\nbackend_memory:engine=memory,health="), "{info}");
    let part = client.text("info replication").await;
    assert!(part.starts_with("# Replication\r\nrole:master\r\n") && !part.contains("loading"));
    let status = client.text("mainstay.status").await;
    assert!(status.contains("\"backends\":[{\"name\":\"memory\""), "{status}");
    client.send("mainstay.events 1\r\n").await;
    assert_eq!(client.line().await, "*1");
    client.line().await;
    client.line().await;
    client.ask("mainstay.breaker memory closed for 1m reason a test", "+OK\r\n").await;
    client.send("mainstay.events 1\r\n").await;
    assert_eq!(client.line().await, "*1");
    client.line().await;
    let event = client.line().await;
    assert!(event.contains("\"actor\":\"resp 127.0.0.1\""), "{event}");
    assert!(event.contains("\"reason\":\"forced: a test\""), "{event}");
    client.ask("get k", "$-1\r\n").await;
    let info = client.text("info resilience").await;
    assert!(info.contains("\r\nkpi_error_rate:value=0.0000,met=1\r\n"), "{info}");
}

#[tokio::test]
async fn only_memory_alone_has_a_run_id_for_it_lives_as_long_as_the_process() {
    let field = |info: &str, name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let server = Server::on_memory(RespConfig::default()).await;
        let info = server.client().await.text("info").await;
        let id = field(&info, "run_id:").unwrap();
        assert!(id.len() == 40 && field(&info, "master_replid:").as_ref() == Some(&id), "{info}");
        assert_eq!(field(&info, "maxmemory_policy:").as_deref(), Some("allkeys-lru"));
        seen.push(id);
    }
    assert_ne!(seen[0], seen[1], "another process has another one");
    let other = Memory::new(&MemoryConfig::default(), 1 << 20, Clock::system());
    let storage = Storage::builder(Config::default())
        .backend("other", Arc::new(other), BackendConfig::default())
        .open()
        .await
        .unwrap();
    let server = Server::start(RespConfig::default(), storage).await;
    let info = server.client().await.text("info").await;
    assert_eq!(field(&info, "run_id:"), None, "{info}");
    assert_eq!(field(&info, "maxmemory:").as_deref(), Some("0"));
}
