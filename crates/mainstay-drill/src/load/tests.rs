//! The load against a server that answers from a table of its own.
//! It must not need any other server.

use std::{collections::HashMap, net::SocketAddr};

use mainstay_servers::resp::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

type Table = Arc<Mutex<HashMap<String, String>>>;

/// Forgets what `keep` says no to.
async fn server(keep: fn(&str) -> bool) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, table) = (listener.local_addr().unwrap(), Table::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, Arc::clone(&table), keep));
        }
    });
    (address, tasks)
}

async fn serve(mut stream: TcpStream, table: Table, keep: fn(&str) -> bool) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    while let Some(words) = command(&mut lines).await {
        let reply = {
            let mut table = table.lock().unwrap();
            match words[0].as_str() {
                "SET" => {
                    if keep(&words[1]) {
                        table.insert(words[1].clone(), words[2].clone());
                    }
                    "+OK\r\n".to_owned()
                }
                "DEL" => format!(":{}\r\n", u8::from(table.remove(&words[1]).is_some())),
                _ => table.get(&words[1]).map_or_else(
                    || "$-1\r\n".to_owned(),
                    |value| format!("${}\r\n{value}\r\n", value.len()),
                ),
            }
        };
        write.write_all(reply.as_bytes()).await.unwrap();
    }
}

async fn command(lines: &mut BufReader<tokio::net::tcp::ReadHalf<'_>>) -> Option<Vec<String>> {
    let mut line = String::new();
    (lines.read_line(&mut line).await.ok()? > 0).then_some(())?;
    let mut words = Vec::new();
    for _ in 0..line.trim_start_matches('*').trim().parse::<usize>().ok()? {
        let mut head = String::new();
        lines.read_line(&mut head).await.ok()?;
        let mut word = vec![0; head.trim_start_matches('$').trim().parse::<usize>().ok()? + 2];
        lines.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).ok()?);
    }
    Some(words)
}

async fn requests(load: &Load, wanted: u64) {
    while load.totals().0 < wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn options(rate: u32) -> scenario::Load {
    scenario::Load { rate, clients: 4, keys: 50, reads: 0.5, deletes: 0.1, ..Default::default() }
}

#[tokio::test]
async fn what_is_kept_is_right_and_is_read_back() {
    let (address, _server) = server(|_| true).await;
    for rate in [0, 500] {
        let load = Load::start(address, &options(rate), &Clock::system(), 1);
        load.phase(Phase::Steady);
        requests(&load, 300).await;
        let finished = load.stop().await;
        let slice = finished.tally.phase(Phase::Steady);
        assert!(slice.requests >= 300 && slice.acknowledged > 0 && slice.reads > 0);
        assert_eq!((slice.failed, slice.stale, slice.deleted_back), (0, 0, 0));
        let back = finished.read_back().await;
        assert!(back.keys > 10, "{back:?}");
        assert_eq!((back.lost, back.deleted_back, back.unexplained), (0, 0, 0), "{back:?}");
    }
}

#[tokio::test]
async fn what_is_forgotten_is_found_out() {
    let (address, _server) = server(|key| !key.ends_with('3')).await;
    let load = Load::start(address, &options(0), &Clock::system(), 2);
    load.phase(Phase::Steady);
    requests(&load, 2000).await;
    let finished = load.stop().await;
    assert!(finished.tally.phase(Phase::Steady).stale > 0);
    assert!(!finished.tally.examples.is_empty());
    let back = finished.read_back().await;
    assert!(back.lost > 0 && back.lost < back.keys, "{back:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_a_request_and_the_load_ends() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let load = Load::start(address, &options(0), &Clock::system(), 3);
    load.phase(Phase::Fault);
    requests(&load, 8).await;
    let (total, failed) = load.totals();
    assert_eq!(total, failed);
    let finished = load.stop().await;
    assert!(finished.tally.errors.contains_key("connection:"), "{:?}", finished.tally.errors);
    assert_eq!(finished.read_back().await.keys, 0);
}

#[test]
fn an_answer_is_a_number_or_foreign() {
    use register::Found;
    let of = |text: &str| client::found(&Value::Bulk(Some(text.to_owned().into())));
    assert_eq!(of("12:xxxx"), Found::Number(12));
    assert_eq!(of("hello"), Found::Foreign);
    assert_eq!(client::found(&Value::Bulk(None)), Found::Absent);
}
