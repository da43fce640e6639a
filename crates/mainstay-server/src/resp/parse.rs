//! The request side of RESP: bytes in, commands out, without copying; multibulk and inline.
//! It must not know any command.

use std::{fmt, ops::Range};

use bytes::{Bytes, BytesMut};

use crate::limits::Limit;

mod inline;

#[cfg(test)]
mod tests;

/// The longest line: an inline command, or the header of a multibulk or a bulk.
const LINE_MAX: usize = 64 << 10;

/// Places for arguments that are kept between commands: one huge command must not hold memory for the life of the
/// connection.
const KEPT: usize = 64;

/// What a request is held to. Nothing is ever allocated from a declared count or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one command, its name included.
    pub args_max: usize,
    /// Bytes of one argument.
    pub bulk_max: usize,
    /// Bytes of one whole request.
    pub frame_max: usize,
    /// Whether the client has yet to authenticate: Redis words the refusals differently then.
    pub unauthenticated: bool,
}

impl Limits {
    /// Arguments of one command, as Redis limits them.
    pub const ARGS_MAX: usize = 1 << 20;

    /// What a client may send before it has authenticated.
    pub const UNAUTHENTICATED: Self =
        Self { args_max: 10, bulk_max: 16 << 10, frame_max: 256 << 10, unauthenticated: true };
}

/// Why the stream cannot be read on; its text is Redis's. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A count that is no number.
    MultibulkLength,
    /// A count over the limit.
    TooManyArgs,
    /// A count over the limit before authentication.
    UnauthenticatedMultibulkLength,
    /// A length that is no number, or is not that of the argument.
    BulkLength,
    /// A length over the limit.
    TooLongBulk,
    /// A length over the limit before authentication.
    UnauthenticatedBulkLength,
    /// The header of a multibulk does not end.
    MultibulkHeader,
    /// The header of a bulk does not end.
    BulkHeader,
    /// Something else where a bulk was due.
    ExpectedBulk(u8),
    /// An inline command does not end.
    InlineLength,
    /// An inline command with a quote that does not end.
    Quotes,
    /// The whole request is over the limit.
    FrameLength,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::MultibulkLength => f.write_str("invalid multibulk length"),
            Self::TooManyArgs => f.write_str("invalid multibulk length, over resp.args_max"),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::TooLongBulk => f.write_str("invalid bulk length, over resp.bulk_max"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::MultibulkHeader => f.write_str("too big mbulk count string"),
            Self::BulkHeader => f.write_str("too big bulk count string"),
            Self::ExpectedBulk(byte) => {
                let shown = if byte.is_ascii_control() { b' ' } else { *byte };
                write!(f, "expected '$', got '{}'", char::from(shown))
            }
            Self::InlineLength => f.write_str("too big inline request"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::FrameLength => f.write_str("too big request, over resp.frame_max"),
        }
    }
}

impl ProtocolError {
    /// The limit that was passed, where it is one of those in the configuration.
    pub(crate) fn limit(self) -> Option<Limit> {
        match self {
            Self::TooManyArgs => Some(Limit::RespArgs),
            Self::TooLongBulk => Some(Limit::RespBulk),
            Self::FrameLength => Some(Limit::RespFrame),
            Self::UnauthenticatedMultibulkLength | Self::UnauthenticatedBulkLength => {
                Some(Limit::RespUnauthenticated)
            }
            Self::MultibulkLength
            | Self::BulkLength
            | Self::MultibulkHeader
            | Self::BulkHeader
            | Self::ExpectedBulk(_)
            | Self::InlineLength
            | Self::Quotes => None,
        }
    }
}

/// Where the parsing of the request at the front of the buffer stands.
#[derive(Debug, Default)]
pub struct Parser {
    /// Everything before this is understood.
    at: usize,
    /// No line end between `at` and this.
    scanned: usize,
    /// Arguments still to come; `None`: the header has not been read.
    missing: Option<usize>,
    /// Length of the argument at `at`, when its header has been read.
    bulk: Option<usize>,
    /// Where the arguments lie.
    ranges: Vec<Range<usize>>,
}

impl Parser {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that it holds besides the buffer.
    pub fn held(&self) -> usize {
        self.ranges.capacity() * size_of::<Range<usize>>()
    }

    /// Takes the next command off the front of `buffer` and puts its arguments into `args`, in place of what was
    /// there. False: more bytes are needed. Empty requests are skipped.
    ///
    /// # Errors
    /// The stream cannot be read on.
    pub fn take(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
        args: &mut Vec<Bytes>,
    ) -> Result<bool, ProtocolError> {
        args.clear();
        args.shrink_to(KEPT);
        while let Some(&first) = buffer.first() {
            let complete = if first == b'*' {
                self.multibulk(buffer, limits)?
            } else {
                self.inline(buffer, limits, args)?
            };
            if !complete {
                return Ok(false);
            }
            self.hand_over(buffer, args);
            if !args.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts the finished request off the buffer.
    fn hand_over(&mut self, buffer: &mut BytesMut, args: &mut Vec<Bytes>) {
        let frame = buffer.split_to(self.at).freeze();
        args.extend(self.ranges.drain(..).map(|range| frame.slice(range)));
        self.ranges.shrink_to(KEPT);
        (self.at, self.scanned, self.missing, self.bulk) = (0, 0, None, None);
    }

    fn multibulk(&mut self, buffer: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => match self.count(buffer, limits)? {
                Some(count) => count,
                None => return Ok(false),
            },
        };
        while missing > 0 {
            if !self.argument(buffer, limits)? {
                self.missing = Some(missing);
                return Ok(false);
            }
            missing -= 1;
        }
        Ok(true)
    }

    fn count(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(buffer, ProtocolError::MultibulkHeader)? else {
            return Ok(None);
        };
        let Some(count) = decimal(line) else { return Err(ProtocolError::MultibulkLength) };
        // Redis takes a negative count for an empty request.
        let count = usize::try_from(count).unwrap_or(0);
        if count <= limits.args_max {
            Ok(Some(count))
        } else if limits.unauthenticated {
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        } else {
            Err(ProtocolError::TooManyArgs)
        }
    }

    fn argument(&mut self, buffer: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => match self.length(buffer, limits)? {
                Some(length) => length,
                None => return Ok(false),
            },
        };
        let (start, end) = (self.at, self.at + length);
        match buffer.get(end..end + 2) {
            None => {
                self.bulk = Some(length);
                Ok(false)
            }
            Some(b"\r\n") => {
                self.ranges.push(start..end);
                (self.at, self.scanned, self.bulk) = (end + 2, end + 2, None);
                Ok(true)
            }
            Some(_) => Err(ProtocolError::BulkLength),
        }
    }

    fn length(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        match buffer.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&byte) => return Err(ProtocolError::ExpectedBulk(byte)),
        }
        let Some(line) = self.line(buffer, ProtocolError::BulkHeader)? else { return Ok(None) };
        let length = decimal(line).and_then(|length| usize::try_from(length).ok());
        let Some(length) = length else { return Err(ProtocolError::BulkLength) };
        if length > limits.bulk_max {
            return Err(if limits.unauthenticated {
                ProtocolError::UnauthenticatedBulkLength
            } else {
                ProtocolError::TooLongBulk
            });
        }
        if self.at + length > limits.frame_max {
            return Err(ProtocolError::FrameLength);
        }
        Ok(Some(length))
    }

    /// The header line at `at` without its first byte and its end; moves past it.
    fn line<'a>(
        &mut self,
        buffer: &'a [u8],
        endless: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let from = self.scanned.max(self.at);
        let Some(offset) = buffer[from..].iter().position(|byte| *byte == b'\r') else {
            self.scanned = buffer.len();
            return if buffer.len() - self.at > LINE_MAX { Err(endless) } else { Ok(None) };
        };
        let end = from + offset;
        match buffer.get(end + 1) {
            None => {
                self.scanned = end;
                Ok(None)
            }
            Some(_) => {
                let line = &buffer[self.at + 1..end];
                (self.at, self.scanned) = (end + 2, end + 2);
                Ok(Some(line))
            }
        }
    }

    fn inline(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
        args: &mut Vec<Bytes>,
    ) -> Result<bool, ProtocolError> {
        let Some(offset) = buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = buffer.len();
            return if buffer.len() > LINE_MAX {
                Err(ProtocolError::InlineLength)
            } else {
                Ok(false)
            };
        };
        let end = self.scanned + offset;
        if end > LINE_MAX {
            return Err(ProtocolError::InlineLength);
        }
        let line = &buffer[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, args).ok_or(ProtocolError::Quotes)?;
        self.at = end + 1;
        if args.len() <= limits.args_max {
            Ok(true)
        } else if limits.unauthenticated {
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        } else {
            Err(ProtocolError::InlineLength)
        }
    }
}

/// A decimal as Redis writes it: an optional `-`, no leading zeros, nothing else.
pub fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return if negative { None } else { Some(0) },
        [b'0', ..] => return None,
        _ => {}
    }
    let mut number: i64 = 0;
    for byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Counted downwards, as the negative range is the larger one.
        number = number.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(number) } else { number.checked_neg() }
}
