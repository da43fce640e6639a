//! Redis's conversions between its replies and Lua's values.
//! It must not know who calls.

use bytes::Bytes;
use mlua::{Lua, Result, Table};

use super::value::Value;

/// Arrays within arrays; a table that holds itself ends here.
const DEPTH_MAX: usize = 64;

/// Values of one reply.
const COUNT_MAX: usize = 1 << 20;

/// A reply as Lua sees it: nil is false, a status and an error are tables.
pub(super) fn to_lua(lua: &Lua, value: &Value) -> Result<mlua::Value> {
    Ok(match value {
        Value::Nil => mlua::Value::Boolean(false),
        #[expect(clippy::cast_precision_loss, reason = "as in Redis: Lua 5.1 has doubles only")]
        Value::Integer(number) => mlua::Value::Number(*number as f64),
        Value::Double(number) => mlua::Value::Number(*number),
        Value::Bulk(bytes) => mlua::Value::String(lua.create_string(bytes)?),
        Value::Status(text) => mlua::Value::Table(one_field(lua, "ok", text)?),
        Value::Error(text) => mlua::Value::Table(one_field(lua, "err", text.as_bytes())?),
        Value::Array(values) => {
            let table = lua.create_table_with_capacity(values.len(), 0)?;
            for (nth, value) in values.iter().enumerate() {
                table.raw_set(nth + 1, to_lua(lua, value)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}

fn one_field(lua: &Lua, name: &str, text: &[u8]) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, lua.create_string(text)?)?;
    Ok(table)
}

/// What a script returns as a reply: numbers are cut to integers, an array ends at its first nil.
pub(super) fn from_lua(value: &mlua::Value) -> Result<Value> {
    from(value, 0, &mut 0)
}

fn from(value: &mlua::Value, depth: usize, count: &mut usize) -> Result<Value> {
    *count += 1;
    if depth > DEPTH_MAX || *count > COUNT_MAX {
        return Ok(Value::error("ERR reached lua stack limit"));
    }
    Ok(match value {
        mlua::Value::Boolean(true) => Value::Integer(1),
        mlua::Value::Integer(number) => Value::Integer(*number),
        #[expect(clippy::cast_possible_truncation, reason = "as in Redis: the fraction is dropped")]
        mlua::Value::Number(number) => Value::Integer(*number as i64),
        mlua::Value::String(text) => Value::Bulk(Bytes::copy_from_slice(&text.as_bytes())),
        mlua::Value::Table(table) => from_table(table, depth, count)?,
        _ => Value::Nil,
    })
}

fn from_table(table: &Table, depth: usize, count: &mut usize) -> Result<Value> {
    if let mlua::Value::String(text) = table.raw_get("err")? {
        return Ok(Value::Error(text.to_string_lossy()));
    }
    if let mlua::Value::String(text) = table.raw_get("ok")? {
        return Ok(Value::Status(Bytes::copy_from_slice(&text.as_bytes())));
    }
    #[expect(clippy::cast_precision_loss, reason = "it was a double before")]
    match table.raw_get("double")? {
        mlua::Value::Number(number) => return Ok(Value::Double(number)),
        mlua::Value::Integer(number) => return Ok(Value::Double(number as f64)),
        _ => {}
    }
    let mut values = Vec::new();
    loop {
        let value: mlua::Value = table.raw_get(values.len() + 1)?;
        if value.is_nil() {
            return Ok(Value::Array(values));
        }
        values.push(from(&value, depth + 1, count)?);
        if *count > COUNT_MAX {
            return Ok(Value::error("ERR reached lua stack limit"));
        }
    }
}
