//! How durations and sizes look in a JSON Schema.
//! It must not know which value it describes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Stands for a duration written with a unit, in a schema.
#[derive(Clone, Copy, Debug)]
pub struct DurationText;

/// Stands for a size written with a unit, in a schema.
#[derive(Clone, Copy, Debug)]
pub struct SizeText;

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            // Or what the environment gives: `${TIMEOUT:-5s}`.
            "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$|\$\{",
            "x-quantity": "duration",
        })
    }
}

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$|\$\{",
            "x-quantity": "size",
        })
    }
}
