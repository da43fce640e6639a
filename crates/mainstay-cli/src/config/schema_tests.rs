//! The JSON Schema as an editor uses it: every key of the reference is there, the template is accepted, mistakes are not.
//! The checker knows the words of JSON Schema that ours uses, and refuses any other.

use serde_json::Value as Json;

use super::{
    TEMPLATE, docs,
    model::schema,
    shape::{Field, Shape},
};

/// What is wrong with a value, by its path; empty: nothing.
fn check(path: &str, value: &Json, schema: &Json, root: &Json) -> Vec<String> {
    const KNOWN: [&str; 17] = [
        "$ref",
        "$defs",
        "$schema",
        "$id",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "additionalProperties",
        "required",
        "items",
        "anyOf",
        "oneOf",
        "enum",
        "const",
        "pattern",
    ];
    const NUMBERS: [&str; 6] =
        ["minimum", "maximum", "format", "x-quantity", "maxLength", "minLength"];
    let Some(rules) = schema.as_object() else {
        return if *schema == Json::Bool(false) {
            vec![format!("{path}: not allowed")]
        } else {
            Vec::new()
        };
    };
    for word in rules.keys() {
        let known = KNOWN.contains(&word.as_str()) || NUMBERS.contains(&word.as_str());
        assert!(known, "the checker does not know `{word}`");
    }
    let mut wrong = Vec::new();
    if let Some(name) = rules.get("$ref").and_then(|to| to.as_str()?.strip_prefix("#/$defs/")) {
        wrong.extend(check(path, value, &root["$defs"][name], root));
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(options) = rules.get(word).and_then(Json::as_array)
            && !options.iter().any(|option| check(path, value, option, root).is_empty())
        {
            wrong.push(format!("{path}: none of {word}"));
        }
    }
    let differs = |word: &str, fits: &dyn Fn(&Json) -> bool| {
        rules.get(word).filter(|rule| !fits(rule)).map(|_| format!("{path}: {word}"))
    };
    let number = value.as_f64();
    wrong.extend(differs("type", &|rule| is_of(value, rule)));
    wrong.extend(differs("const", &|rule| rule == value));
    wrong.extend(differs("enum", &|rule| rule.as_array().is_some_and(|all| all.contains(value))));
    wrong.extend(differs("minimum", &|rule| number.is_none_or(|n| Some(n) >= rule.as_f64())));
    wrong.extend(differs("maximum", &|rule| number.is_none_or(|n| Some(n) <= rule.as_f64())));
    wrong.extend(differs("pattern", &|rule| value.as_str().is_none_or(|text| matches(text, rule))));
    if let (Some(items), Some(rule)) = (value.as_array(), rules.get("items")) {
        let each = items.iter().enumerate();
        wrong.extend(each.flat_map(|(i, item)| check(&format!("{path}[{i}]"), item, rule, root)));
    }
    wrong.extend(check_object(path, value, schema, root));
    wrong
}

fn check_object(path: &str, value: &Json, schema: &Json, root: &Json) -> Vec<String> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let mut wrong = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !members.contains_key(name) {
            wrong.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, member) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let rule = schema["properties"].get(name).or(schema.get("additionalProperties"));
        wrong.extend(rule.into_iter().flat_map(|rule| check(&path, member, rule, root)));
    }
    wrong
}

fn is_of(value: &Json, rule: &Json) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("no type: {other}"),
    };
    match rule {
        Json::Array(names) => names.iter().filter_map(Json::as_str).any(is),
        name => name.as_str().is_some_and(is),
    }
}

/// The two patterns that there are: a number and one of the units, or something of the environment.
fn matches(text: &str, pattern: &Json) -> bool {
    let pattern = pattern.as_str().unwrap();
    let rest = pattern.strip_prefix(r"^[0-9]+(\.[0-9]+)?(").expect("a pattern of a quantity");
    let units = rest.strip_suffix(r")$|\$\{").expect("a pattern of a quantity");
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let whole = !number.is_empty() && number.split('.').count() <= 2;
    let digits =
        number.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    text.contains("${")
        || (whole && digits && units.split('|').any(|unit| unit == &text[number.len()..]))
}

fn wrong(toml: &str) -> Vec<String> {
    let value: toml::Table = toml::from_str(toml).unwrap();
    let schema = schema();
    check("", &serde_json::to_value(value).unwrap(), &schema, &schema)
}

#[test]
fn the_template_and_what_stands_in_it_are_accepted() {
    assert_eq!(wrong(TEMPLATE), [""; 0]);
    assert!(TEMPLATE.starts_with(&format!("#:schema {}\n", schema()["$id"].as_str().unwrap())));
    let more = r#"
        [http]
        token_file = "/run/secrets/token"
        [backends.redis]
        url_file = "/run/secrets/redis"
        timeout = "${TIMEOUT:-250ms}"
        breaker = { failures = 7, failure_rate = 1 }
        [[route]]
        prefix = "a:"
        cache = ["memory", "redis"]
        record = "db"
        ttl_max = { redis = "1.5m" }
        consistency = "strict"
        [route.source]
        backend = "db"
        query = "select 1"
        changes = { listen = "c" }
    "#;
    assert_eq!(wrong(more), [""; 0]);
}

#[test]
fn mistakes_are_found_where_they_stand() {
    for (toml, expected) in [
        ("[resp]\nlisten = 6390", "resp.listen: type"),
        ("[resp]\nlisen = \"x\"", "resp.lisen: not allowed"),
        ("[limits]\ndeadline = \"5\"", "limits.deadline: pattern"),
        ("[limits]\ndeadline = 5", "limits.deadline: type"),
        ("[memory]\nmax = \"64mb\"", "memory.max: pattern"),
        ("[backends.redis]\ninflight_max = -1", "backends.redis.inflight_max: minimum"),
        (
            "[backends.redis]\nbreaker = { failure = 1 }",
            "backends.redis.breaker.failure: not allowed",
        ),
        ("[[route]]\nselect = \"fail_over\"", "route[0].select: none of oneOf"),
        ("[[route]]\nttl_max = { redis = 1 }", "route[0].ttl_max.redis: type"),
        ("[[route]]\nsource = { backend = \"db\" }", "route[0].source"),
        ("[log]\nformat = \"jsn\"", "log.format: none of oneOf"),
    ] {
        let found = wrong(toml);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{toml}: {found:?}");
    }
}

#[test]
fn every_key_of_the_reference_is_in_the_schema_with_its_words() {
    fn keys(shape: &Shape, found: &mut Vec<(String, String)>) {
        match shape {
            Shape::Table(fields) => {
                for (name, Field { shape, doc, .. }) in fields {
                    found.push((name.clone(), doc.clone()));
                    keys(shape, found);
                }
            }
            Shape::Map(inner) | Shape::List(inner) => keys(inner, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    keys(&Shape::of_document(&schema()), &mut found);
    let reference = docs::markdown();
    assert!(found.len() > 110, "{}", found.len());
    for (name, doc) in found {
        assert!(!doc.is_empty(), "{name} has no words");
        let written = reference.contains(&format!("{name}`"))
            || reference.contains(&format!("{name}."))
            || reference.contains(&format!("[{name}]"))
            || reference.contains(&format!("[{name}.NAME]"));
        assert!(written, "{name} is not in the reference");
    }
}
