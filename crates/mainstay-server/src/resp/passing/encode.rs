//! Redis's answers on the wire again, in the version of the protocol in which they came.
//! It must not know who asked.

use bytes::Bytes;
use mainstay::RawValue;

use crate::resp::{command::args::is, reply::Output};

/// Which nulls of an answer are arrays in RESP2: Redis tells them apart, its client library does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::resp) struct Nulls {
    /// The answer itself.
    top: bool,
    /// What is in it.
    inner: bool,
}

/// Commands whose null answer is an array.
const ARRAYS: [&str; 10] = [
    "blpop",
    "brpop",
    "bzpopmin",
    "bzpopmax",
    "blmpop",
    "bzmpop",
    "lmpop",
    "zmpop",
    "xread",
    "xreadgroup",
];

impl Nulls {
    /// Those of a command.
    pub(in crate::resp) fn of(args: &[Bytes]) -> Self {
        let Some(name) = args.first() else { return Self::default() };
        let counted = (is(name, "lpop") || is(name, "rpop")) && args.len() == 3;
        let scored = (is(name, "zrank") || is(name, "zrevrank")) && args.len() == 4;
        let top = counted || scored || ARRAYS.iter().any(|array| is(name, array));
        Self { top, inner: is(name, "geopos") }
    }
}

/// Writes an answer.
pub(in crate::resp) fn encode(value: RawValue, nulls: Nulls, out: &mut Output) {
    let within = Nulls { top: nulls.inner, inner: nulls.inner };
    match value {
        RawValue::Nil if nulls.top => out.null_array(),
        RawValue::Nil => out.null(),
        RawValue::Integer(number) => out.integer(number),
        RawValue::Bulk(bytes) => out.bulk_shared(bytes),
        RawValue::Status(text) => out.simple(&String::from_utf8_lossy(&text)),
        RawValue::Error(text) => out.error(&text),
        RawValue::Array(values) => {
            out.array(values.len());
            values.into_iter().for_each(|value| encode(value, within, out));
        }
        RawValue::Set(values) => {
            out.set(values.len());
            values.into_iter().for_each(|value| encode(value, within, out));
        }
        RawValue::Push(kind, values) => {
            out.push(values.len() + 1);
            out.bulk(kind.as_bytes());
            values.into_iter().for_each(|value| encode(value, within, out));
        }
        RawValue::Map(pairs) => {
            out.map(pairs.len());
            for (key, value) in pairs {
                encode(key, within, out);
                encode(value, within, out);
            }
        }
        RawValue::Double(text) => out.double_text(&text),
        RawValue::Boolean(value) => out.boolean(value),
        RawValue::Verbatim(format, text) => out.verbatim_as(&format, &text),
        RawValue::BigNumber(digits) => out.big_number(&String::from_utf8_lossy(&digits)),
    }
}
