//! What is sent to the two ports.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::table::{bytes, cases, judge, shown};
use crate::process::Mainstay;

/// Long enough for a loaded machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = include_str!("mainstay.toml");

#[derive(Deserialize)]
struct Resp {
    name: String,
    send: String,
    answer: String,
    #[serde(default)]
    closes: bool,
}

#[derive(Deserialize)]
struct Http {
    name: String,
    send: String,
    status: u16,
    detail: Option<String>,
    hint: Option<String>,
    body: Option<String>,
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// What is answered before PONG, or before the end.
async fn ask_resp(address: SocketAddr, case: &Resp) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut sent = bytes(&case.send);
    if !case.closes {
        sent.extend(PING);
    }
    // The server may close before it has read all.
    let _ = stream.write_all(&sent).await;
    let mut answer = Vec::new();
    while !answer.ends_with(PONG) {
        match timeout(PATIENCE, stream.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return (answer, true),
            Ok(Ok(_)) => {}
            Err(_) => return (answer, false),
        }
    }
    answer.truncate(answer.len() - PONG.len());
    (answer, false)
}

#[tokio::test]
async fn resp_is_answered_as_the_table_says() {
    let mainstay = Mainstay::start_with(CONFIG, &[]).await;
    let (cases, mut wrong) = (cases::<Resp>(include_str!("resp.toml")), Vec::new());
    assert!(cases.len() > 80);
    for case in &cases {
        let (answer, closed) = ask_resp(mainstay.resp(), case).await;
        if shown(&answer) != case.answer || closed != case.closes {
            wrong.push(format!("{}: {} closed: {closed}", case.name, shown(&answer)));
        }
    }
    judge(&wrong);
    mainstay.terminate().await;
}

async fn ask_http(address: SocketAddr, case: &Http) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&bytes(&case.send.replace('\n', "\r\n"))).await;
    let mut answer = Vec::new();
    // A reset behind the answer is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn differs(case: &Http, answer: &str) -> bool {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    if !head.starts_with(&format!("HTTP/1.1 {} ", case.status)) {
        return true;
    }
    if let Some(expected) = &case.body {
        return body != expected;
    }
    let problem: Json = serde_json::from_str(body).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().map(str::to_owned);
    !head.contains("application/problem+json")
        || member("detail") != case.detail
        || member("hint") != case.hint
        || problem["status"] != case.status
}

#[tokio::test]
async fn http_is_answered_as_the_table_says() {
    let mainstay = Mainstay::start_with(CONFIG, &[]).await;
    let (cases, mut wrong) = (cases::<Http>(include_str!("http.toml")), Vec::new());
    assert!(cases.len() > 70);
    for case in &cases {
        let answer = ask_http(mainstay.http_address(), case).await;
        if differs(case, &answer) {
            wrong.push(format!("{}: {answer}", case.name));
        }
    }
    judge(&wrong);
    mainstay.terminate().await;
}
