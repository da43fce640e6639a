//! Who a trace comes from: the `traceparent` header of the W3C.
//! It must not know where the header stood.

/// The span of somebody else that a trace goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// Whether it is recorded, so that ours is too.
    pub sampled: bool,
}

impl TraceParent {
    /// The header's name.
    pub const HEADER: &str = "traceparent";
    /// The field of a span that holds the header.
    pub const FIELD: &str = "mainstay.traceparent";

    /// Reads a header; `None` for one that is to be ignored.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = hex(parts.next()?, 2)?;
        // Later versions may add parts; this one has none.
        let ends = version != 0 || parts.next().is_none();
        let known = ends && version != 0xff && trace != 0 && span != 0;
        known.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Lower case digits, as many as that.
fn hex(text: &str, length: usize) -> Option<u128> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits && text.len() == length).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}
