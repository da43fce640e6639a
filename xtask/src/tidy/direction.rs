//! Who may import whom in the library: everything points down, and some modules see less than lies below them.

use super::{Finding, Source};

/// The modules of the library from the bottom up; a module may import those of its own layer and of the layers below.
const LAYERS: &[&[&str]] = &[
    &[
        "error",
        "entry",
        "hash",
        "clock",
        "entropy",
        "codec",
        "live",
        "merging",
        "sharded",
        "__private",
    ],
    &["op", "reply", "config", "event", "task", "status", "observe", "trace"],
    &["backend"],
    // One thing in three folders: a node is a backend with its guard and its health; each sees the others.
    &["node", "guard", "health"],
    &["exec", "load", "route", "cache", "sync"],
    &["lock"],
    &["storage", "pages"],
    &["__fuzz"],
];

/// Modules that see only what is listed; a path below the crate's `src/`, without its end.
const NARROW: &[(&str, &[&str])] = &[
    (
        "backend/",
        &[
            "op", "reply", "error", "entry", "hash", "clock", "config", "entropy", "task", "live",
            "merging", "sharded", "backend",
        ],
    ),
    ("route", &["op", "reply", "error", "entry", "clock", "config", "status", "live", "route"]),
];
/// Not adapters: they join the adapters to the rest.
const WIDE: &[&str] = &["backend/mod.rs", "backend/open.rs"];

/// Words that may not stand in the code of a module.
const BANNED: &[(&str, &str, &str)] = &[("route", "tokio::", "route is pure: no tokio")];

/// Crates in their order: each sees those before it. The testkit may be seen by tests only.
const CRATES: &[&str] =
    &["mainstay", "mainstay_server", "mainstay_servers", "mainstay_drill", "mainstay_cli"];

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let code = sources.iter().filter(|source| source.in_src().is_some() && !source.is_test());
    code.flat_map(|source| [upward_crates(source), inside_library(source)].concat()).collect()
}

/// A crate that names one above it.
fn upward_crates(source: &Source) -> Vec<Finding> {
    let name = source.crate_name().replace('-', "_");
    let Some(own) = CRATES.iter().position(|each| **each == name) else { return Vec::new() };
    let above: Vec<String> = CRATES[own + 1..]
        .iter()
        .chain(&["mainstay_testkit"])
        .map(|each| format!("{each}::"))
        .collect();
    let hits =
        source.code().filter(|(_, line)| above.iter().any(|name| line.contains(name.as_str())));
    hits.map(|(number, line)| {
        Finding::error(source, number, format!("imports upward: {}", line.trim()))
    })
    .collect()
}

fn inside_library(source: &Source) -> Vec<Finding> {
    let (Some(path), "mainstay") = (source.in_src(), source.crate_name()) else {
        return Vec::new();
    };
    if path == "lib.rs" {
        return Vec::new();
    }
    let own = module_of(path);
    let Some(layer) = layer_of(own) else {
        return vec![Finding::error(
            source,
            1,
            format!("module `{own}` has no layer: add it to tidy/direction.rs"),
        )];
    };
    let mut found = Vec::new();
    for (number, module) in imports(source) {
        if layer_of(&module).is_some_and(|other| other > layer) {
            found.push(Finding::error(
                source,
                number,
                format!("`{own}` lies below `{module}` and may not import it"),
            ));
        } else if let Some(allowed) =
            narrow(path).filter(|allowed| !allowed.contains(&module.as_str()))
        {
            let seen = allowed.join(", ");
            found.push(Finding::error(
                source,
                number,
                format!("`{path}` sees only {seen}; not `{module}`"),
            ));
        }
    }
    found.extend(banned(source, own));
    found
}

fn banned(source: &Source, own: &str) -> Vec<Finding> {
    let rules = BANNED.iter().filter(|(module, _, _)| *module == own);
    let hits = rules.flat_map(|(_, word, why)| {
        let lines = source.code().filter(move |(_, line)| line.contains(word));
        lines.map(move |(number, _)| Finding::error(source, number, why))
    });
    hits.collect()
}

fn narrow(path: &str) -> Option<&'static [&'static str]> {
    if WIDE.contains(&path) {
        return None;
    }
    let of = |place: &str| {
        if place.ends_with('/') { path.starts_with(place) } else { module_of(path) == place }
    };
    NARROW.iter().find(|(place, _)| of(place)).map(|(_, allowed)| *allowed)
}

fn module_of(path: &str) -> &str {
    path.split('/').next().map_or(path, |first| first.strip_suffix(".rs").unwrap_or(first))
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every `crate::module` and every first name of `crate::{…}`, with its line. Names that are no modules (what the root
/// re-exports) are left out: the layer of a re-export cannot be seen from here.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut depth = None;
    for (number, line) in source.code() {
        let mut rest = line;
        if let Some(open) = depth {
            depth = group(rest, open, number, &mut found);
            continue;
        }
        while let Some(at) = rest.find("crate::") {
            let dollar = rest[..at].ends_with('$');
            rest = &rest[at + "crate::".len()..];
            if let Some(inner) = rest.strip_prefix('{') {
                depth = group(inner, 1, number, &mut found);
            } else if !dollar {
                push(&mut found, number, rest);
            }
        }
    }
    found
}

/// Reads names at depth one of a braced group; returns the depth at the end of the line, `None` when it has closed.
fn group(
    text: &str,
    mut depth: usize,
    number: usize,
    found: &mut Vec<(usize, String)>,
) -> Option<usize> {
    let mut start = 0;
    for (at, character) in text.char_indices() {
        match character {
            ',' if depth == 1 => {
                push(found, number, text[start..at].trim());
                start = at + 1;
            }
            '{' => {
                depth += 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    push(found, number, text[start..at].trim());
                    return None;
                }
            }
            _ => {}
        }
    }
    if depth == 1 || text[start..].contains('{') {
        push(found, number, text[start..].trim());
    }
    Some(depth)
}

fn push(found: &mut Vec<(usize, String)>, number: usize, text: &str) {
    let name: String =
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        found.push((number, name));
    }
}

#[cfg(test)]
mod tests;
