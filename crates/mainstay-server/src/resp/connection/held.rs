//! What a connection holds, and how long it may hold it: memory against the ceiling of all, time against its client.
//! It must not know commands.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use mainstay::{RawValue, Record, Reply};
use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep_until},
};

use super::{Connection, Done, End, READ_MIN, UNSENT_MAX, UNSENT_UNAUTHENTICATED, run::Run};
use crate::{
    limits::{Limit, Share},
    resp::{RespConfig, command::sequence::Outcome, parse::Parser, reply::Output},
};

impl Done {
    /// Bytes of the values in it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Answer(Ok(answer), _) => of_reply(&answer.reply),
            Self::Run(answers) => answers.bytes(),
            Self::Part(Ok(record), _) => of_record(record.as_ref()),
            Self::Hash(Ok(answer)) => answer.bytes(),
            Self::Script(value) => value.bytes(),
            Self::Outcome(Ok(Outcome::Value(Some(value)))) => value.len(),
            Self::Outcome(Ok(Outcome::Page { keys, .. } | Outcome::Keys(keys))) => {
                keys.iter().map(|key| key.as_bytes().len()).sum()
            }
            Self::Transaction(Ok(output)) | Self::Together(Ok(output)) => output.remaining(),
            Self::Passed(Ok(value), ..) | Self::PassWatched(Ok((_, value)), _) => of_value(value),
            // A number, a word, or an error; of channels what names of them take.
            Self::Outcome(_) | Self::Watched(_) | Self::Channels(_) | Self::Subscribed(..) => 0,
            Self::Answer(Err(_), _) | Self::Part(Err(_), _) | Self::Hash(Err(_)) => 0,
            Self::Transaction(Err(_)) | Self::Together(Err(_)) => 0,
            Self::Passed(Err(_), ..) | Self::PassWatched(Err(_), _) => 0,
        }
    }
}

/// Bytes of the values in it.
pub(super) fn of_reply(reply: &Reply) -> usize {
    match reply {
        Reply::Record(record) => of_record(record.as_ref()),
        Reply::Records(all) => all.iter().map(|record| of_record(record.as_ref())).sum(),
        Reply::Bytes(bytes) => bytes.len(),
        Reply::Written(written) => of_record(written.previous.as_ref()),
        _ => 0,
    }
}

fn of_record(record: Option<&Record>) -> usize {
    record.map_or(0, |record| record.value.len())
}

fn of_value(value: &RawValue) -> usize {
    size_of::<RawValue>()
        + match value {
            RawValue::Bulk(bytes) => bytes.len(),
            RawValue::Array(values) | RawValue::Set(values) => values.iter().map(of_value).sum(),
            RawValue::Map(pairs) => {
                pairs.iter().map(|(key, value)| of_value(key) + of_value(value)).sum()
            }
            _ => 0,
        }
}

impl Connection<'_> {
    /// Notes what it holds now, and whether part of a request is there.
    /// `ready`: bytes of the answers that wait for those before them.
    pub(super) fn weigh(&mut self, ready: usize) -> Result<(), End> {
        let before = self.share.held();
        if !self.share.set(self.held_bytes(ready)) && !self.gives_way(before, ready) {
            return Err(End::Over(Limit::RespBuffers));
        }
        let is_somebody = self.session.user().is_some();
        self.nobody = match self.nobody {
            _ if is_somebody => None,
            Some(since) => Some(since),
            None => Some(self.shared.clock().now()),
        };
        // What waits for its turn, or for room for its reply, is not the client's doing.
        if self.buffer.is_empty() || self.waiting.is_some() || self.held {
            self.partial = None;
        } else if self.partial.is_none() {
            self.partial = Some(self.shared.clock().now());
        }
        Ok(())
    }

    /// Lets go of the room that it has made for what may come. Whether that was all by which it has grown.
    fn gives_way(&mut self, before: u64, ready: usize) -> bool {
        (self.buffer, self.read_size) = (BytesMut::from(&self.buffer[..]), READ_MIN);
        self.share.set(self.held_bytes(ready));
        self.share.held() <= before.max(Share::FREE)
    }

    fn held_bytes(&self, ready: usize) -> u64 {
        let places = self.parser.held() + self.args.capacity() * size_of::<Bytes>();
        let requests =
            self.buffer.capacity() + self.session.multi.held() + self.taken + self.in_flight;
        let names = self.session.subscribed.as_ref().map_or(0, |all| all.held());
        (places + requests + names + self.output.remaining() + ready) as u64
    }

    /// Whether so much is unsent that nothing more is begun or read until it has been taken.
    pub(super) fn is_backed_up(&self) -> bool {
        let unsent = self.output.remaining();
        if self.session.user().is_some() {
            return unsent > UNSENT_MAX;
        }
        unsent > UNSENT_UNAUTHENTICATED || self.unflushed
    }

    /// Ends a connection whose client neither sends nor takes anything for too long.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, idle: bool) -> Poll<End> {
        let Some((due, limit)) = self.due(idle) else {
            self.timer = None;
            return Poll::Pending;
        };
        // The timer does not tell a task that has been busy for its whole turn.
        if self.shared.clock().now() >= due {
            return Poll::Ready(End::Over(limit));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Set again only when it fires, not with each request.
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                return Poll::Ready(End::Over(limit));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Until when the client has to do something, and what it is held to.
    fn due(&mut self, idle: bool) -> Option<(Instant, Limit)> {
        let RespConfig { send_timeout, request_timeout, idle_timeout, .. } = **self.settings.load();
        let unsent = self.output.has_remaining() || self.unflushed;
        let clock = self.shared.clock();
        let since = unsent.then(|| *self.unsent.get_or_insert_with(|| clock.now()));
        let send = since.map(|since| (since + send_timeout, Limit::RespSendTimeout));
        // Who has yet to say who it is gains no time by asking, nor by leaving answers where they are.
        let request = self.nobody.or(self.partial.filter(|_| !unsent));
        let request = request.map(|since| (since + request_timeout, Limit::RespRequestTimeout));
        // A subscriber has nothing to ask.
        let idle = idle_timeout.filter(|_| idle && self.session.subscribed.is_none());
        let idle = idle.map(|limit| (self.active + limit, Limit::RespIdleTimeout));
        send.into_iter().chain(request).chain(idle).min_by_key(|(due, _)| *due)
    }

    /// Counts why it ends, and says so where the words would not stand in the middle of a reply, nor for one:
    /// `answered`, no command is in flight.
    pub(super) async fn give_up(&mut self, limit: Limit, answered: bool) {
        let key = limit.key();
        self.shared.door.refusals.count(limit);
        tracing::warn!(peer = %self.session.client.peer, limit = key, "RESP: connection closed");
        let words = match limit {
            Limit::RespBuffers => "all connections together hold too much",
            Limit::RespRequestTimeout => "the request did not arrive in time",
            // Redis ends an idle connection without a word, and clients take the word for an answer.
            _ => "",
        };
        let says = !words.is_empty() && answered && !self.output.has_remaining();
        // What it held is free before the end is said, which may take a moment.
        (self.buffer, self.output) = (BytesMut::new(), Output::new());
        (self.waiting, self.args, self.run) = (None, Vec::new(), Run::default());
        self.parser = Parser::new();
        drop(std::mem::take(&mut self.session.multi));
        self.share.set(0);
        if says {
            let line = format!("-ERR {words} ({key})\r\n");
            let write = |cx: &mut Context<'_>| {
                // Whoever does not take it at once sees the connection close.
                let _ = Pin::new(&mut self.stream).poll_write(cx, line.as_bytes());
                Poll::Ready(())
            };
            poll_fn(write).await;
        }
    }
}
