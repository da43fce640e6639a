//! Commands that a client sent, as they are: over the connections of everybody, or over a connection of their own.
//! It must not know what a command means, nor deadlines.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::{
    Cmd, Pipeline, ProtocolVersion, PushInfo, PushKind, Value, VerbatimFormat,
    aio::MultiplexedConnection,
};
use tokio::sync::mpsc;

use super::{
    classify,
    client::Client,
    connect::{Connector, OnPush, deaf},
};
use crate::{
    backend::Line,
    error::{Effect, Error, ErrorKind, Result},
    op::{RawOp, RawValue},
    reply::Reply,
};

/// Messages that came unasked and wait to be taken.
const PUSHED_MAX: usize = 10_000;

/// Performs one command among those of others.
pub(super) async fn perform(client: &Client, connector: &Connector, op: &RawOp) -> Result<Reply> {
    if client.slots().is_some() {
        return Err(unsupported());
    }
    let node = match op.keys.first() {
        Some(key) => client.node_of(key)?,
        None => client.nodes().first().ok_or_else(gone)?,
    };
    let command = command_of(&op.words);
    let value = if op.resp3 {
        node.send(&command).await?
    } else {
        let opened = client.second().get_or_try_init(|| async {
            connector.plain(&node.host, ProtocolVersion::RESP2, &deaf()).await
        });
        let mut connection = opened.await?.clone();
        connection.send_packed_command(&command).await.map_err(classify::failure)?
    };
    answer(value).map(|value| Reply::Raw(Box::new(value)))
}

/// A connection for one user at a time.
///
/// # Errors
/// `Unsupported` on a cluster; those of the connection.
pub(super) async fn open(connector: &Connector, client: &Client, resp3: bool) -> Result<Own> {
    let (None, Some(node)) = (client.slots(), client.nodes().first()) else {
        return Err(unsupported());
    };
    let (tell, pushed) = mpsc::channel(PUSHED_MAX);
    let tell = Mutex::new(Some(tell));
    let on_push: OnPush = Arc::new(move |push| take_in(&tell, push));
    let protocol = if resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let connection = connector.plain(&node.host, protocol, &on_push).await?;
    Ok(Own { connection, pushed })
}

fn unsupported() -> Error {
    let text = "commands are not passed through to a Redis Cluster";
    Error::new(ErrorKind::Unsupported, text)
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "there is no connection")
}

fn command_of(words: &[Bytes]) -> Cmd {
    let size = words.iter().map(Bytes::len).sum::<usize>();
    let mut command = Cmd::with_capacity(words.len(), size);
    for word in words {
        command.arg(&word[..]);
    }
    command
}

/// A connection of its own.
pub(super) struct Own {
    connection: MultiplexedConnection,
    pushed: mpsc::Receiver<Vec<RawValue>>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("pushed", &self.pushed.len()).finish_non_exhaustive()
    }
}

impl Line for Own {
    fn send(&mut self, commands: Vec<Vec<Bytes>>) -> BoxFuture<'_, Result<Vec<RawValue>>> {
        // As one run of bytes: nothing comes between them, and their order is theirs.
        let mut together = Pipeline::with_capacity(commands.len());
        for words in &commands {
            together.add_command(command_of(words));
        }
        Box::pin(async move {
            let sent = self.connection.send_packed_commands(&together, 0, commands.len()).await;
            let answers: Vec<Value> = sent.map_err(classify::failure)?;
            if answers.len() != commands.len() {
                let text = "the connection is out of step: not one answer for each command";
                return Err(Error::new(ErrorKind::Disconnected, text).with_effect(Effect::Unknown));
            }
            answers.into_iter().map(answer).collect()
        })
    }

    fn pushed(&mut self) -> BoxFuture<'_, Result<Vec<RawValue>>> {
        Box::pin(async move {
            let text = "the connection has broken, or more came over it than could be taken";
            self.pushed.recv().await.ok_or_else(|| Error::new(ErrorKind::Disconnected, text))
        })
    }
}

/// From the reader of the connection: who falls too far behind is told that it has ended.
fn take_in(tell: &Mutex<Option<mpsc::Sender<Vec<RawValue>>>>, push: &PushInfo) {
    let mut tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
    match push.kind {
        PushKind::Disconnection => *tell = None,
        PushKind::Message | PushKind::PMessage | PushKind::SMessage => {
            let kind = RawValue::Status(Bytes::from(push.kind.to_string()));
            let rest = push.data.iter().cloned().map(raw);
            let message = std::iter::once(kind).chain(rest).collect();
            let lags = tell.as_ref().is_some_and(|tell| tell.try_send(message).is_err());
            if lags {
                *tell = None;
            }
        }
        _ => {}
    }
}

/// A reply. What says that the server cannot serve at all is an error; the other errors are the command's.
fn answer(value: Value) -> Result<RawValue> {
    if let Value::ServerError(error) = &value {
        let error = classify::server_error(error);
        if matches!(
            error.kind(),
            ErrorKind::NotReady | ErrorKind::WrongNode | ErrorKind::Disconnected
        ) {
            return Err(error);
        }
    }
    Ok(raw(value))
}

fn raw(value: Value) -> RawValue {
    let all = |values: Vec<Value>| values.into_iter().map(raw).collect();
    match value {
        Value::Nil => RawValue::Nil,
        Value::Int(number) => RawValue::Integer(number),
        Value::BulkString(bytes) => RawValue::Bulk(Bytes::from(bytes)),
        Value::Array(values) => RawValue::Array(all(values)),
        Value::SimpleString(text) => RawValue::Status(Bytes::from(text)),
        Value::Okay => RawValue::Status(Bytes::from_static(b"OK")),
        Value::Map(pairs) => {
            RawValue::Map(pairs.into_iter().map(|(key, value)| (raw(key), raw(value))).collect())
        }
        Value::Attribute { data, .. } => raw(*data),
        Value::Set(values) => RawValue::Set(all(values)),
        Value::Double(number) => RawValue::Double(number.to_string()),
        Value::Boolean(value) => RawValue::Boolean(value),
        Value::VerbatimString { format, text } => {
            let format = match format {
                VerbatimFormat::Markdown => "mkd".to_owned(),
                VerbatimFormat::Unknown(format) => format,
                _ => "txt".to_owned(),
            };
            RawValue::Verbatim(format, text)
        }
        Value::BigNumber(digits) => RawValue::BigNumber(Bytes::from(digits)),
        Value::Push { kind, data } => RawValue::Push(kind.to_string(), all(data)),
        Value::ServerError(error) => RawValue::Error(classify::text_of(&error)),
        _ => RawValue::Nil,
    }
}
