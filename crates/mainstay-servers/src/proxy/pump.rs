//! One direction of one connection: chunks are read at once, and written late, slowly, or not at all.
//! Knows nothing of the other direction.

use super::{Direction, Faults, Flow, Toxics};
use bytes::{Buf, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

const CHUNK: usize = 16 * 1024;
/// Chunks on their way; a full queue stops the reading, as a full window does.
const QUEUE: usize = 64;
/// A trickle is cut into this many pieces a second.
const PIECES: u32 = 20;

/// The connection cannot go on: it is to be reset.
#[derive(Debug)]
pub(super) struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

struct Late {
    due: Instant,
    what: What,
}

enum What {
    Chunk(Bytes),
    End,
    Reset,
}

/// Moves bytes until the end of the stream has been passed on.
pub(super) async fn run(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    direction: Direction,
    faults: watch::Receiver<Faults>,
    seed: u64,
) -> Result<(), Broken> {
    let (queue, late) = mpsc::channel(QUEUE);
    let writer = Writer { to, direction, faults: faults.clone(), lost: false };
    let reading = async {
        read(from, queue, faults, seed).await;
        std::future::pending().await
    };
    // The writer's end is the end: a reader may wait for ever for bytes that nobody would write.
    tokio::select! {
        end = writer.run(late) => end,
        never = reading => never,
    }
}

/// Reads until the end, giving each chunk the moment at which it is due.
async fn read(
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<Late>,
    faults: watch::Receiver<Faults>,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        let what = match from.read_buf(&mut buffer).await {
            Ok(0) => What::End,
            Ok(_) => What::Chunk(buffer.freeze()),
            Err(_) => What::Reset,
        };
        let last = !matches!(what, What::Chunk(_));
        let due = Instant::now() + delay(&faults.borrow().toxics, &mut random);
        if queue.send(Late { due, what }).await.is_err() || last {
            return;
        }
    }
}

fn delay(toxics: &Toxics, random: &mut StdRng) -> Duration {
    if toxics.jitter.is_zero() {
        toxics.latency
    } else {
        toxics.latency + toxics.jitter.mul_f64(random.random())
    }
}

struct Writer<'a> {
    to: WriteHalf<'a>,
    direction: Direction,
    faults: watch::Receiver<Faults>,
    /// A byte has been dropped: a stream with a hole must never be heard again.
    lost: bool,
}

impl Writer<'_> {
    async fn run(mut self, mut late: mpsc::Receiver<Late>) -> Result<(), Broken> {
        while let Some(Late { due, what }) = late.recv().await {
            tokio::time::sleep_until(due).await;
            match what {
                What::Chunk(bytes) => self.pass(bytes).await?,
                What::End => {
                    self.until_heard().await?;
                    self.to.shutdown().await?;
                    return Ok(());
                }
                What::Reset => {
                    self.until_heard().await?;
                    return Err(Broken);
                }
            }
        }
        Ok(())
    }

    async fn pass(&mut self, mut bytes: Bytes) -> Result<(), Broken> {
        while bytes.has_remaining() {
            let toxics = self.faults.borrow().toxics.clone();
            match toxics.flow(self.direction) {
                Flow::Drop => {
                    self.lost = true;
                    return Ok(());
                }
                Flow::Pass if self.lost => return Err(Broken),
                Flow::Pass => self.write(&mut bytes, &toxics).await?,
                Flow::Hold => self.changed().await?,
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &mut Bytes, toxics: &Toxics) -> Result<(), Broken> {
        let Some(rate) = toxics.bytes_per_second.map(std::num::NonZeroU32::get) else {
            return Ok(self.to.write_all_buf(bytes).await?);
        };
        let piece =
            bytes.split_to(bytes.len().min(usize::try_from(rate / PIECES).unwrap_or(CHUNK).max(1)));
        tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / f64::from(rate))).await;
        Ok(self.to.write_all(&piece).await?)
    }

    /// The end of a stream is no more heard through a fault than its bytes are.
    async fn until_heard(&mut self) -> Result<(), Broken> {
        loop {
            let flow = self.faults.borrow_and_update().toxics.flow(self.direction);
            match flow {
                Flow::Pass if self.lost => return Err(Broken),
                Flow::Pass => return Ok(()),
                Flow::Drop => self.lost = true,
                Flow::Hold => {}
            }
            self.changed().await?;
        }
    }

    async fn changed(&mut self) -> Result<(), Broken> {
        self.faults.changed().await.map_err(|_| Broken)
    }
}
