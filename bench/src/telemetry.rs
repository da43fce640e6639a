//! What it costs to be looked at: GET over RESP through a Mainstay that is scraped, followed and traced, and through one that
//! nobody looks at.
//! It must not know how any of it is made.

use std::{sync::Arc, time::Duration};

use mainstay_testkit::servers::Redis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use crate::{
    Failure,
    process::{Process, start_with},
    proxies::{Load, redis_benchmark},
    table::{Row, Table},
};

/// As often as the dashboard asks, and more often than a scraper does.
const EVERY: Duration = Duration::from_secs(1);

/// Both, in alternation.
pub(crate) async fn all(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let collector = TcpListener::bind("127.0.0.1:0").await?;
    let traces =
        format!("[traces]\nendpoint = \"http://{}\"\nsample = 0.01\n", collector.local_addr()?);
    let config = format!("[backends.redis]\nurl = \"{}\"\n", redis.url());
    let alone = start_with(binary, &config)?;
    let watched = start_with(binary, &format!("{config}{traces}"))?;
    let (stop, collecting) = (Arc::new(Notify::new()), tokio::spawn(collect(collector)));
    let watching = watch(&watched, &stop);
    for pipeline in [1, 16] {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        let load = Load { test: "GET", clients: 50, pipeline, bytes: 3 };
        let requests = if pipeline == 1 { 100_000 } else { 600_000 };
        for _ in 0..rounds {
            for (port, run) in [(watched.port(), &mut ours), (alone.port(), &mut reference)] {
                let bench = move || redis_benchmark(port, load, requests);
                run.push(tokio::task::spawn_blocking(bench).await??);
            }
        }
        table.push(Row {
            name: format!("RESP GET -c 50 -P {pipeline}, scraped, followed and traced"),
            unit: "/s",
            ours,
            reference_name: "unwatched",
            reference,
            target: "ratio >= 0.97",
        });
    }
    stop.notify_waiters();
    collecting.abort();
    watching.await??;
    Ok(())
}

/// Follows the events, and asks for status and metrics.
fn watch(server: &Process, stop: &Arc<Notify>) -> JoinHandle<Result<(), Failure>> {
    let (port, stop) = (server.http_port(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut events = TcpStream::connect(("127.0.0.1", port)).await?;
        events.write_all(request("/v1/events").as_bytes()).await?;
        let mut told = [0; 4096];
        let stopped = stop.notified();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return Ok(()),
                read = events.read(&mut told) => if read? == 0 { return Err("the events have ended".into()) },
                () = tokio::time::sleep(EVERY) => {
                    for path in ["/v1/status", "/metrics"] {
                        let mut asked = TcpStream::connect(("127.0.0.1", port)).await?;
                        asked.write_all(request(path).as_bytes()).await?;
                        let mut answer = Vec::new();
                        asked.read_to_end(&mut answer).await?;
                        if !answer.starts_with(b"HTTP/1.1 200") {
                            return Err(format!("{path}: {}", String::from_utf8_lossy(&answer)).into());
                        }
                    }
                }
            }
        }
    })
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
}

/// Takes every batch of spans.
async fn collect(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut sent = vec![0; 1 << 20];
        // A batch that is cut in two is answered twice: nobody counts.
        while let Ok(1..) = stream.read(&mut sent).await {
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    }
}
