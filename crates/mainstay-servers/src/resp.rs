//! The smallest RESP2 client that a load needs: one connection, one command at a time.
//! It must not retry or reconnect: what happens is what the user sees.

use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Option<Bytes>),
    /// `*`
    Array(Vec<Value>),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The socket's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(4096) })
    }

    /// Sends one command and reads its reply.
    ///
    /// # Errors
    /// The socket's, `UnexpectedEof` when the server closes, `InvalidData` for what is not RESP2.
    pub async fn command(&mut self, args: &[&[u8]]) -> io::Result<Value> {
        let mut frame = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend_from_slice(arg);
            frame.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&frame).await?;
        self.value().await
    }

    async fn value(&mut self) -> io::Result<Value> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
        match kind {
            "+" => Ok(Value::Simple(rest.to_owned())),
            "-" => Ok(Value::Error(rest.to_owned())),
            ":" => Ok(Value::Integer(rest.parse().map_err(|_| malformed())?)),
            "$" => self.bulk(rest.parse().map_err(|_| malformed())?).await,
            "*" => {
                let mut items = Vec::new();
                for _ in 0..rest.parse::<i64>().map_err(|_| malformed())? {
                    items.push(Box::pin(self.value()).await?);
                }
                Ok(Value::Array(items))
            }
            _ => Err(malformed()),
        }
    }

    async fn bulk(&mut self, length: i64) -> io::Result<Value> {
        let Ok(length) = usize::try_from(length) else { return Ok(Value::Bulk(None)) };
        while self.buffer.len() < length + 2 {
            self.fill().await?;
        }
        let bytes = self.buffer.split_to(length).freeze();
        self.buffer.advance(2);
        Ok(Value::Bulk(Some(bytes)))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return String::from_utf8(line.to_vec()).map_err(|_| malformed());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not RESP2")
}
