//! The smallest HTTP client that the suite needs: one kept connection, one request at a time.
//! It must not retry or reconnect: what happens is what the user sees.

use std::{collections::BTreeMap, io, net::SocketAddr};

use bytes::{Buf, BytesMut};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer answers are refused.
const ANSWER_MAX: usize = 8 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct HttpClient {
    stream: TcpStream,
    buffer: BytesMut,
    host: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl HttpClient {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(4096), host: address })
    }

    /// Sends one request, with one further header line if any, and reads its answer.
    pub(super) async fn request(
        &mut self,
        method: &str,
        target: &str,
        header: Option<(&str, &str)>,
        body: &str,
    ) -> io::Result<Answer> {
        let header = header.map_or_else(String::new, |(name, text)| format!("{name}: {text}\r\n"));
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{header}\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer(method).await
    }

    async fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.fill().await?;
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        let head = std::str::from_utf8(&head).map_err(|_| malformed())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(malformed)?;
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, text)| (name.to_ascii_lowercase(), text.trim().to_owned()))
            .collect();
        let none = method == "HEAD" || status == 204 || status == 304;
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let length = if none { 0 } else { length.ok_or_else(malformed)? };
        if length > ANSWER_MAX {
            return Err(malformed());
        }
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(Answer { status, headers, body: self.buffer.split_to(length).to_vec() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or(Json::Null)
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Whether a refused write may have been applied.
    pub(super) fn effect_unknown(&self) -> bool {
        self.json()["effect"] != "none"
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 answer of a known length")
}
