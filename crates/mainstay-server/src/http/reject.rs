//! Tells a connection over the limit why it is closed.
//! It must not read a request, nor stay long.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};

use super::problem::{PROBLEM_JSON, Problem};

const PATIENCE: Duration = Duration::from_secs(1);

/// Answers 503 and closes. What the client has sent is read and dropped for a moment: closing over unread bytes would
/// reset the connection, and the answer might never be seen.
pub(crate) async fn too_many(mut stream: TcpStream, turn: OwnedSemaphorePermit) {
    let _turn = turn;
    let answer = answer();
    let talk = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut scrap = [0; 1024];
        while stream.read(&mut scrap).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Nobody is left to tell when the client went away, or stays silent too long.
    let _ = tokio::time::timeout(PATIENCE, talk).await;
}

fn answer() -> String {
    let detail = "too many connections";
    let problem =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many connections", detail)
            .hint("reuse connections, or raise http.connections_max");
    let body = serde_json::to_string(&problem.into_body()).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
