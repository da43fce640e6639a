//! Users and certificates read anew by a server that runs: who is asked again, who notices nothing, what stays in use.

use mainstay_testkit::servers::{Certificates, Redis};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use crate::process::{Mainstay, TextClient, until};

fn users(reader: &str) -> String {
    format!(
        "[users.reader]\npassword = \"geheim-{reader}\"\ntoken = \"token-of-{reader}\"\n\
         [users.admin]\nrole = \"admin\"\npassword = \"geheim-admin\"\ntoken = \"token-of-admin\"\n"
    )
}

async fn client(mainstay: &Mainstay, user: &str) -> TextClient {
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["AUTH", user, &format!("geheim-{user}")]).await, "OK");
    client
}

async fn status_of(mainstay: &Mainstay, token: &str) -> String {
    let header = format!("Authorization: Bearer {token}\r\n");
    mainstay.http_get_with("/v1/status", &header).await[9..12].to_owned()
}

/// The events so far.
async fn told(mainstay: &Mainstay) -> String {
    let header = "Authorization: Bearer token-of-admin\r\n";
    mainstay.http_get_with("/v1/events?format=json", header).await
}

/// An event stream that has begun.
async fn events(mainstay: &Mainstay, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(mainstay.http_address()).await.unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: snapshot") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "the stream ended");
    }
    stream
}

#[tokio::test]
async fn who_waits_in_redis_waits_no_longer_once_its_secret_is_another() {
    let redis = Redis::start().await.unwrap();
    let file = format!(
        "{}[backends.redis]\nurl = \"{}\"\n[[route]]\nprefix = \"\"\npassthrough = \"redis\"\n",
        users("reader"),
        redis.url()
    );
    let mainstay = Mainstay::start_with(&file, &[]).await;
    let mut worker = client(&mainstay, "admin").await;
    worker.until(&["LLEN", "jobs"], "0").await;
    let waits = async {
        let waiting = async || {
            redis.redis_cli(&["INFO", "clients"]).await.unwrap().contains("blocked_clients:1")
        };
        until("it to wait", waiting).await;
        mainstay.write_config(&file.replace("geheim-admin", "geheim-other"));
        mainstay.signal("HUP");
    };
    let (ended, ()) = tokio::join!(worker.is_cut_off(&["BLPOP", "jobs", "0"]), waits);
    assert!(ended, "the connection is closed");
    let mut other = mainstay.client().await;
    assert_eq!(other.text(&["AUTH", "admin", "geheim-other"]).await, "OK");
    assert_eq!(other.text(&["LPUSH", "jobs", "a"]).await, "1");
    assert_eq!(other.text(&["LLEN", "jobs"]).await, "1", "nobody has taken it");
}

#[tokio::test]
async fn a_user_whose_secrets_are_others_is_asked_everywhere_and_nobody_else_is() {
    let mainstay = Mainstay::start_with(&users("reader"), &[]).await;
    mainstay.until_ready().await;
    let (mut reader, mut admin) =
        (client(&mainstay, "reader").await, client(&mainstay, "admin").await);
    let mut stream = events(&mainstay, "token-of-reader").await;
    assert_eq!(status_of(&mainstay, "token-of-reader").await, "200");

    mainstay.write_config(&users("other"));
    mainstay.signal("HUP");
    until("the token to be refused", async || {
        status_of(&mainstay, "token-of-reader").await == "401"
    })
    .await;
    assert_eq!(status_of(&mainstay, "token-of-other").await, "200");
    assert!(reader.text(&["GET", "k"]).await.starts_with("NOAUTH"));
    assert!(reader.text(&["AUTH", "reader", "geheim-reader"]).await.starts_with("WRONGPASS"));
    assert_eq!(reader.text(&["AUTH", "reader", "geheim-other"]).await, "OK");
    assert_eq!(admin.text(&["SET", "k", "v"]).await, "OK");
    // It ends; nothing of what happens later comes by it.
    stream.read_to_end(&mut Vec::new()).await.unwrap();

    let told = told(&mainstay).await;
    assert!(told.contains("users.reader.token: \\\"***\\\" -> \\\"***\\\" (applied)"), "{told}");
    assert!(!told.contains("token-of") && !told.contains("geheim"), "{told}");
    mainstay.terminate().await;
}

/// SHA-256 of `geheim-app`.
const HASH: &str = "412e851f4ac5c9d95b5331cecf8fd7aa978c4e3a7cddef7b492f308c1c05f194";

#[tokio::test]
async fn a_hash_beside_the_first_is_named_and_asks_nobody() {
    let other = "ab".repeat(32);
    let with = |hashes: &[&str]| {
        format!("{}[users.app]\nrole = \"write\"\npassword_hashes = {hashes:?}\n", users("reader"))
    };
    let mainstay = Mainstay::start_with(&with(&[HASH]), &[]).await;
    mainstay.until_ready().await;
    let mut client = client(&mainstay, "app").await;
    mainstay.write_config(&with(&[HASH, &other]));
    mainstay.signal("HUP");
    until("the second hash to be told of", async || {
        told(&mainstay).await.contains("users.app.password_hashes: [\\\"***\\\"] -> [")
    })
    .await;
    assert_eq!(client.text(&["SET", "k", "v"]).await, "OK");
    mainstay.write_config(&with(&[&other]));
    mainstay.signal("HUP");
    until("the first one to be gone", async || {
        let mut asked = mainstay.client().await;
        asked.text(&["AUTH", "app", "geheim-app"]).await.starts_with("WRONGPASS")
    })
    .await;
    assert!(client.text(&["SET", "k", "v"]).await.starts_with("NOAUTH"));
    assert!(!told(&mainstay).await.contains(HASH));
    mainstay.terminate().await;
}

struct Curl<'a> {
    certificates: &'a Certificates,
    mainstay: &'a Mainstay,
}

impl Curl<'_> {
    async fn ask(&self, method: &str, path: &str) -> Json {
        let url = format!("https://localhost:{}{path}", self.mainstay.http_address().port());
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-X", method, "--cacert"])
            .arg(self.certificates.ca());
        let output = curl.arg(url).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[tokio::test]
async fn a_reload_reads_the_certificates_and_refuses_those_that_are_no_use() {
    let certificates = Certificates::new().await.unwrap();
    let (cert, key) = (certificates.cert("server"), certificates.key("server"));
    let file = format!("[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
    let mainstay = Mainstay::start_with(&file, &[]).await;
    let curl = Curl { certificates: &certificates, mainstay: &mainstay };
    certificates.issue("server").await.unwrap();
    let answer = curl.ask("POST", "/v1/config/reload").await;
    assert_eq!(answer["applied"], 0, "{answer}");
    let tls = curl.ask("GET", "/v1/status").await["tls"].clone();
    assert_eq!(tls["reloads"], 1, "{tls}");

    // Unusable ones change nothing else, either.
    std::fs::write(&cert, "nonsense").unwrap();
    mainstay.write_config(&format!("{file}[limits]\ndeadline = \"2s\"\n"));
    let refused = curl.ask("POST", "/v1/config/reload").await;
    assert_eq!(refused["status"], 422, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("tls.cert_file"), "{refused}");
    assert_eq!(curl.ask("GET", "/v1/config").await["limits"]["deadline"], "5s");

    // Elsewhere is for a restart.
    certificates.issue("server").await.unwrap();
    certificates.issue("next").await.unwrap();
    let next = file.replace("server.", "next.");
    mainstay.write_config(&format!("{next}[limits]\ndeadline = \"2s\"\n"));
    let answer = curl.ask("POST", "/v1/config/reload").await;
    assert_eq!((&answer["applied"], &answer["needs_restart"]), (&1.into(), &2.into()), "{answer}");
    assert_eq!(curl.ask("GET", "/v1/config").await["limits"]["deadline"], "2s");
    mainstay.terminate().await;
}
