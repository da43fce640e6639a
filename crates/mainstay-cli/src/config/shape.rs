//! Which keys exist and what they take, read from the JSON Schema: one declaration for checks, environment and docs.
//! It must not know any key by name.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Known keys.
    Table(BTreeMap<String, Field>),
    /// Keys of the user's choice.
    Map(Box<Shape>),
    List(Box<Shape>),
    Text,
    Duration,
    Size,
    /// One of these words.
    Choice(Vec<String>),
    Integer {
        least: i64,
    },
    Number,
    Boolean,
}

/// One key of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) shape: Shape,
    pub(crate) doc: String,
    pub(crate) default: Option<Json>,
}

impl Shape {
    /// Reads a schema document.
    pub(crate) fn of_document(document: &Json) -> Self {
        let definitions = document.get("$defs").cloned().unwrap_or(Json::Null);
        Self::of(document, &definitions)
    }

    fn of(schema: &Json, definitions: &Json) -> Self {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return Self::of(&definitions[name], definitions);
        }
        for alternatives in ["anyOf", "oneOf"] {
            if let Some(options) = schema[alternatives].as_array() {
                return Self::of_alternatives(options, definitions);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return Self::Choice(
                words.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            );
        }
        match (type_of(schema), schema["x-quantity"].as_str()) {
            (_, Some("duration")) => Self::Duration,
            (_, Some(_)) => Self::Size,
            ("object", _) => Self::of_object(schema, definitions),
            ("array", _) => Self::List(Box::new(Self::of(&schema["items"], definitions))),
            ("integer", _) => {
                Self::Integer { least: schema["minimum"].as_i64().unwrap_or(i64::MIN) }
            }
            ("number", _) => Self::Number,
            ("boolean", _) => Self::Boolean,
            _ => Self::Text,
        }
    }

    /// An optional value, or the words of an enum.
    fn of_alternatives(options: &[Json], definitions: &Json) -> Self {
        let words: Vec<String> = options
            .iter()
            .filter_map(|option| option["const"].as_str().map(str::to_owned))
            .collect();
        if !words.is_empty() {
            return Self::Choice(words);
        }
        let real = options.iter().find(|option| option["type"] != "null");
        real.map_or(Self::Text, |option| Self::of(option, definitions))
    }

    fn of_object(schema: &Json, definitions: &Json) -> Self {
        let Some(properties) = schema["properties"].as_object() else {
            return Self::Map(Box::new(Self::of(&schema["additionalProperties"], definitions)));
        };
        let fields = properties.iter().map(|(name, schema)| {
            let doc = schema["description"].as_str().unwrap_or_default().to_owned();
            let default = schema.get("default").filter(|default| !default.is_null()).cloned();
            (name.clone(), Field { shape: Self::of(schema, definitions), doc, default })
        });
        Self::Table(fields.collect())
    }

    /// The shape of the value at this path, if there is such a path.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Shape> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Shape::Table(fields) => fields.get(first)?.shape.at(rest),
            Shape::Map(inner) => inner.at(rest),
            Shape::List(_)
            | Shape::Text
            | Shape::Duration
            | Shape::Size
            | Shape::Choice(_)
            | Shape::Integer { .. }
            | Shape::Number
            | Shape::Boolean => None,
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Shape::Table(_) | Shape::Map(_) => "table".to_owned(),
            Shape::List(inner) => match &**inner {
                Shape::Table(_) => "list of tables".to_owned(),
                other => format!("list of {}s", other.describe()),
            },
            Shape::Text => "text".to_owned(),
            Shape::Duration => "duration".to_owned(),
            Shape::Size => "size".to_owned(),
            Shape::Choice(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Shape::Integer { .. } => "integer".to_owned(),
            Shape::Number => "number".to_owned(),
            Shape::Boolean => "boolean".to_owned(),
        }
    }
}

/// The type; of a list of types the one that is not null.
fn type_of(schema: &Json) -> &str {
    match &schema["type"] {
        Json::Array(types) => {
            types.iter().filter_map(Json::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        other => other.as_str().unwrap_or_default(),
    }
}
