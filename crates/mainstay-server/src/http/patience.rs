//! A stream that is given up when its client takes nothing of what is sent for too long.
//! It must not know what is sent.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::limits::{Limit, Refusals};

/// The stream. Reads pass; a write that waits longer than `limit` fails.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    limit: Duration,
    refusals: Arc<Refusals>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    asked: Asked,
}

/// Whether a request is due: the first one of a connection, and one of which part has come since the last answer. What of it
/// came together with the request before is not seen. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Default for Asked {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Asked {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, asked: bool) {
        self.0.store(asked, Ordering::Relaxed);
    }
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, limit: Duration, refusals: Arc<Refusals>) -> Self {
        Self { stream, limit, refusals, waiting: None, asked: Asked::default() }
    }

    /// Whether a request is due, at any time.
    pub(super) fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// What became of a write: as long as it waits, time runs.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.refusals.count(Limit::HttpSendTimeout);
        let text = "the client does not take its answer (http.send_timeout)";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.asked.set(true);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.asked.set(self.asked.get() && !written.is_ready());
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.asked.set(self.asked.get() && !written.is_ready());
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up_and_who_takes_something_is_not() {
        let (near, mut far) = duplex(4);
        let refusals = Arc::<Refusals>::default();
        let mut patient = Patient::new(near, Duration::from_secs(60), Arc::clone(&refusals));
        let reader = async {
            for _ in 0..3 {
                sleep(Duration::from_secs(50)).await;
                far.read_exact(&mut [0; 4]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(patient.write_all(&[7; 16]), reader);
        written.unwrap();
        assert_eq!(refusals.of(Limit::HttpSendTimeout), 0);
        let error = patient.write_all(&[7]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(refusals.of(Limit::HttpSendTimeout), 1);
    }

    #[tokio::test]
    async fn a_request_is_due_at_first_and_from_the_first_byte_of_the_next() {
        let (near, mut far) = duplex(16);
        let mut patient = Patient::new(near, Duration::from_secs(60), Arc::default());
        let asked = patient.asked();
        assert!(asked.get());
        patient.write_all(b"answer").await.unwrap();
        assert!(!asked.get());
        far.write_all(b"G").await.unwrap();
        patient.read_exact(&mut [0]).await.unwrap();
        assert!(asked.get());
    }
}
