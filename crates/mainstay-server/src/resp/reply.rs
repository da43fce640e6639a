//! The reply side of RESP2 and RESP3: values in, one run of bytes out, large values without copying.
//! It must not know commands, nor how the bytes are sent.

use std::{
    collections::VecDeque,
    io::{IoSlice, Write as _},
};

use bytes::{Buf, Bytes, BytesMut};

#[cfg(test)]
mod tests;

/// Values from this length on are sent from where they lie.
const COPY_MAX: usize = 16 << 10;

/// A buffer that has grown past this is given back once it is sent.
const KEEP_MAX: usize = 64 << 10;

/// The version of the protocol, which the client chooses with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every client speaks at first.
    #[default]
    Resp2,
    /// With nulls, maps, booleans, doubles, verbatim strings and pushes.
    Resp3,
}

/// What is to be sent. Reads as a `Buf`, in the order in which it was written.
#[derive(Debug, Default)]
pub struct Output {
    protocol: Protocol,
    muted: bool,
    /// Finished runs, before `tail`.
    runs: VecDeque<Bytes>,
    runs_len: usize,
    tail: BytesMut,
}

impl Output {
    /// Nothing to send, RESP2.
    pub fn new() -> Self {
        Self::default()
    }

    /// The version that is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Speaks this version from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// While muted, nothing that is written is sent.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    fn put(&mut self, bytes: &[u8]) {
        if !self.muted {
            self.tail.extend_from_slice(bytes);
        }
    }

    /// A marker, a number and the end of the line.
    fn head(&mut self, marker: u8, number: i64) {
        let mut line = [0_u8; 24];
        line[0] = marker;
        let mut rest = &mut line[1..];
        // 20 digits and the line end always fit.
        let _ = write!(rest, "{number}\r\n");
        let length = 24 - rest.len();
        self.put(&line[..length]);
    }

    fn counted(&mut self, marker: u8, count: usize) {
        if count < 10 {
            let digit = b'0' + u8::try_from(count).unwrap_or(0);
            self.put(&[marker, digit, b'\r', b'\n']);
        } else {
            self.head(marker, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A status such as `OK`. One line.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error: its first word is the class that clients look at. Line ends become blanks.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    fn line(&mut self, marker: u8, text: &str) {
        self.put(&[marker]);
        if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
            self.put(text.replace(['\r', '\n'], " ").as_bytes());
        } else {
            self.put(text.as_bytes());
        }
        self.put(b"\r\n");
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        match number {
            0 => self.put(b":0\r\n"),
            1 => self.put(b":1\r\n"),
            other => self.head(b':', other),
        }
    }

    /// A string; copied.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.counted(b'$', bytes.len());
        self.put(bytes);
        self.put(b"\r\n");
    }

    /// A string; a large one is not copied.
    pub fn bulk_shared(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_MAX || self.muted {
            return self.bulk(&bytes);
        }
        self.counted(b'$', bytes.len());
        let before = self.tail.split().freeze();
        self.runs_len += before.len() + bytes.len();
        self.runs.extend([before, bytes]);
        self.put(b"\r\n");
    }

    /// A string, or null.
    pub fn optional(&mut self, bytes: Option<Bytes>) {
        match bytes {
            Some(bytes) => self.bulk_shared(bytes),
            None => self.null(),
        }
    }

    /// No value.
    pub fn null(&mut self) {
        self.put(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array; in RESP2 told apart from no value.
    pub fn null_array(&mut self) {
        self.put(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// What has been written elsewhere, in the version that is spoken. What is large is not copied.
    pub fn append(&mut self, other: Self) {
        if self.muted {
            return;
        }
        if other.remaining() < COPY_MAX {
            other.runs.iter().for_each(|run| self.put(run));
            return self.put(&other.tail);
        }
        let before = self.tail.split().freeze();
        let more = std::iter::once(before).chain(other.runs).chain([other.tail.freeze()]);
        for run in more.filter(|run| !run.is_empty()) {
            self.runs_len += run.len();
            self.runs.push_back(run);
        }
    }

    /// The beginning of an array of this many values.
    pub fn array(&mut self, count: usize) {
        self.counted(b'*', count);
    }

    /// The beginning of a map of this many pairs; in RESP2 an array of twice as many values.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            self.counted(b'%', pairs);
        } else {
            self.counted(b'*', pairs * 2);
        }
    }

    /// The beginning of a set of this many values; in RESP2 an array.
    pub fn set(&mut self, count: usize) {
        self.counted(if self.is_resp3() { b'~' } else { b'*' }, count);
    }

    /// The beginning of an out-of-band push of this many values; in RESP2 an array.
    pub fn push(&mut self, count: usize) {
        self.counted(if self.is_resp3() { b'>' } else { b'*' }, count);
    }

    /// A truth value; in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        if self.is_resp3() {
            self.put(if value { b"#t\r\n" } else { b"#f\r\n" });
        } else {
            self.integer(i64::from(value));
        }
    }

    /// A float; in RESP2 a string.
    pub fn double(&mut self, value: f64) {
        let text = if value.is_nan() {
            "nan".to_owned()
        } else if value.is_infinite() {
            if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
        } else {
            value.to_string()
        };
        self.double_text(&text);
    }

    /// A float as text; in RESP2 a string.
    pub fn double_text(&mut self, text: &str) {
        if self.is_resp3() {
            self.line(b',', text);
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// A number of any size as text; in RESP2 a string.
    pub fn big_number(&mut self, text: &str) {
        if self.is_resp3() {
            self.line(b'(', text);
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// Text for people; in RESP2 a string.
    pub fn verbatim(&mut self, text: &str) {
        self.verbatim_as("txt", text);
    }

    /// Text in a format of three letters; in RESP2 a string.
    pub fn verbatim_as(&mut self, format: &str, text: &str) {
        if self.is_resp3() && format.len() == 3 {
            self.counted(b'=', text.len() + 4);
            self.put(format.as_bytes());
            self.put(b":");
            self.put(text.as_bytes());
            self.put(b"\r\n");
        } else {
            self.bulk(text.as_bytes());
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.runs_len + self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        self.runs.front().map_or(&self.tail, |run| run)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(run) = self.runs.front_mut() {
            let step = count.min(run.len());
            run.advance(step);
            self.runs_len -= step;
            count -= step;
            if !run.is_empty() {
                return;
            }
            self.runs.pop_front();
        }
        self.tail.advance(count);
        if self.tail.is_empty() {
            self.runs.shrink_to(16);
            if self.tail.capacity() > KEEP_MAX {
                self.tail = BytesMut::new();
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks = self.runs.iter().map(|run| &run[..]).chain(std::iter::once(&self.tail[..]));
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks.filter(|chunk| !chunk.is_empty())) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }
}
