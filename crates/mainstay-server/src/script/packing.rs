//! `struct`: numbers as bytes and back, in the letters that scripts use: `> < = b B h H i I l L` with sizes, `x`, `cN`, `s`.
//! It must not know scripts.

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

/// The longest result.
const LENGTH_MAX: usize = 16 << 20;

/// One letter of a format, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Number { size: usize, signed: bool, big: bool },
    Pad,
    Bytes(usize),
    Terminated,
}

/// The table.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    Ok(table)
}

fn pack(lua: &Lua, (format, given): (LuaString, MultiValue)) -> Result<LuaString> {
    let mut values = given.into_iter();
    let mut out = Vec::new();
    for item in items(&format.as_bytes())? {
        match item {
            Item::Pad => out.push(0),
            Item::Number { size, big, .. } => {
                let bytes = number(values.next())?.to_be_bytes();
                let kept = &bytes[8 - size..];
                if big { out.extend(kept) } else { out.extend(kept.iter().rev()) }
            }
            Item::Bytes(wanted) => {
                let text = text(values.next())?;
                let text = text.as_bytes();
                let part = text.get(..wanted).ok_or_else(|| said("string too short"))?;
                out.extend(part);
            }
            Item::Terminated => {
                out.extend(&*text(values.next())?.as_bytes());
                out.push(0);
            }
        }
        if out.len() > LENGTH_MAX {
            return Err(said("result too long"));
        }
    }
    lua.create_string(out)
}

/// The values, then the place behind the last one.
fn unpack(
    lua: &Lua,
    (format, data, from): (LuaString, LuaString, Option<f64>),
) -> Result<MultiValue> {
    let data = data.as_bytes();
    let mut at = from.map_or(Some(0), place).ok_or_else(|| said("offset must be 1 or greater"))?;
    let mut values = Vec::new();
    let mut take = |length: usize| {
        let part = at.checked_add(length).and_then(|end| data.get(at..end));
        at += length;
        part.ok_or_else(|| said("data string too short"))
    };
    for item in items(&format.as_bytes())? {
        match item {
            Item::Pad => drop(take(1)?),
            Item::Number { size, signed, big } => {
                values.push(Value::Number(read(take(size)?, signed, big)));
            }
            Item::Bytes(length) => values.push(Value::String(lua.create_string(take(length)?)?)),
            Item::Terminated => {
                let mut text = Vec::new();
                loop {
                    match take(1)? {
                        [0] => break,
                        byte => text.extend(byte),
                    }
                }
                values.push(Value::String(lua.create_string(text)?));
            }
        }
    }
    values.push(Value::Integer(i64::try_from(at + 1).unwrap_or(i64::MAX)));
    Ok(values.into_iter().collect())
}

fn size(_: &Lua, format: LuaString) -> Result<usize> {
    let of = |item| match item {
        Item::Number { size, .. } | Item::Bytes(size) => Ok(size),
        Item::Pad => Ok(1),
        Item::Terminated => Err(said("variable-size format in struct.size")),
    };
    items(&format.as_bytes())?.into_iter().map(of).sum()
}

fn items(format: &[u8]) -> Result<Vec<Item>> {
    let (mut found, mut big, mut at) = (Vec::new(), cfg!(target_endian = "big"), 0);
    while let Some(&letter) = format.get(at) {
        at += 1;
        let digits = format[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let given = std::str::from_utf8(&format[at..at + digits]).ok();
        let given: Option<usize> = given.and_then(|digits| digits.parse().ok());
        let signed = letter.is_ascii_lowercase();
        let sized = |size: usize| match size {
            1..=8 => Ok(Item::Number { size, signed, big }),
            _ => Err(said("integral size is not between 1 and 8")),
        };
        match letter {
            b'>' => big = true,
            b'<' => big = false,
            b'=' => big = cfg!(target_endian = "big"),
            b' ' => {}
            b'x' => found.push(Item::Pad),
            b'b' | b'B' => found.push(sized(1)?),
            b'h' | b'H' => found.push(sized(2)?),
            b'l' | b'L' => found.push(sized(8)?),
            b'i' | b'I' => {
                found.push(sized(given.unwrap_or(4))?);
                at += digits;
            }
            b'c' => {
                found.push(Item::Bytes(given.unwrap_or(1)));
                at += digits;
            }
            b's' => found.push(Item::Terminated),
            other => return Err(said(&format!("invalid format option '{}'", char::from(other)))),
        }
    }
    Ok(found)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
fn read(bytes: &[u8], signed: bool, big: bool) -> f64 {
    let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    let number = if big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
    let unused = 64 - 8 * u32::try_from(bytes.len()).unwrap_or(8);
    if signed { ((number << unused).cast_signed() >> unused) as f64 } else { number as f64 }
}

#[expect(clippy::cast_possible_truncation, reason = "as Redis does it; saturating")]
fn number(value: Option<Value>) -> Result<i64> {
    match value {
        Some(Value::Integer(number)) => Ok(number),
        Some(Value::Number(number)) => Ok(number as i64),
        Some(Value::String(text)) => {
            let number = text.to_string_lossy().trim().parse::<f64>();
            number.map(|number| number as i64).map_err(|_| said("number expected"))
        }
        _ => Err(said("number expected")),
    }
}

fn text(value: Option<Value>) -> Result<LuaString> {
    match value {
        Some(Value::String(text)) => Ok(text),
        _ => Err(said("string expected")),
    }
}

/// Lua counts from 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 1; saturating"
)]
fn place(number: f64) -> Option<usize> {
    (number >= 1.0).then_some((number as usize) - 1)
}

fn said(text: &str) -> mlua::Error {
    mlua::Error::RuntimeError(format!("struct: {text}"))
}
