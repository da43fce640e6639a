//! The template of a key or a tag: literal text, and expressions in braces.
//! It must not know what the expressions mean.

use syn::{Error, Expr, LitStr, Result};

/// A part of a template.
pub(crate) enum Part {
    Text(String),
    Value(Box<Expr>),
}

/// Reads `user:{id}`; `{{` and `}}` are braces.
///
/// # Errors
/// Each says how to write it.
pub(crate) fn parse(literal: &LitStr) -> Result<Vec<Part>> {
    let text = literal.value();
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text.as_str());
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let inside = (brace == "{").then(|| after.split_once('}')).flatten();
        let Some((inside, after)) = inside else {
            return Err(Error::new(
                literal.span(),
                "a brace has no partner; write `{{` or `}}` for a brace itself",
            ));
        };
        separated(&parts, &plain, literal)?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        let value = literal.span();
        let parsed = LitStr::new(inside, value).parse::<Expr>();
        let parsed = parsed.map_err(|_| {
            Error::new(
                value,
                format!("`{{{inside}}}` is no expression; name an argument, such as `{{id}}`"),
            )
        })?;
        parts.push(Part::Value(Box::new(parsed)));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// Between two values stands something that no escaped value holds: else `1` and `23` make the key of `12` and `3`.
fn separated(parts: &[Part], plain: &str, literal: &LitStr) -> Result<()> {
    let escaped = |c: char| c.is_ascii_alphanumeric() || "_.-%".contains(c);
    if matches!(parts.last(), Some(Part::Value(_))) && plain.chars().all(escaped) {
        let text = "two values stand side by side, so that different ones could make the same key; put a `:` between them";
        return Err(Error::new(literal.span(), text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use quote::ToTokens;

    use super::*;

    fn read(text: &str) -> std::result::Result<Vec<String>, String> {
        let parts =
            parse(&LitStr::new(text, Span::call_site())).map_err(|error| error.to_string())?;
        let show = |part: Part| match part {
            Part::Text(text) => text,
            Part::Value(value) => format!("<{}>", value.to_token_stream()),
        };
        Ok(parts.into_iter().map(show).collect())
    }

    #[test]
    fn text_and_values_are_told_apart() {
        assert_eq!(read("user:{id}").unwrap(), ["user:", "<id>"]);
        assert_eq!(read("{team.id}:{id}").unwrap(), ["<team . id>", ":", "<id>"]);
        assert_eq!(read("a{{b}}c").unwrap(), ["a{b}c"]);
        assert_eq!(read("").unwrap(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_says_how_to_write_it() {
        for (text, fix) in [
            ("user:{id", "no partner"),
            ("user:id}", "no partner"),
            ("user:{}", "name an argument"),
            ("{a}{b}", "put a `:` between"),
            ("{a}-{b}", "put a `:` between"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(fix), "{text}: {error}");
        }
    }
}
