//! Text made of parts of a key: `user:{1}` and the like.
//! It must not know what the text is for.

use crate::error::{Error, ErrorKind, Result};

/// A text with places for parts of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The n-th part of what stands after the prefix, split at `:`, counted from 1.
    Part(usize),
    /// All that stands after the prefix.
    Whole,
}

impl Template {
    /// Parses `text {1} text {key}`; `{{` is a brace.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let end = rest.find('}').ok_or_else(|| format!("`{text}` has a {{ without its }}"))?;
            let place = match &rest[..end] {
                "key" => Piece::Whole,
                number => match number.parse() {
                    Ok(part) if part > 0 => Piece::Part(part),
                    _ => {
                        return Err(format!(
                            "`{{{number}}}` is neither {{key}} nor a part like {{1}}"
                        ));
                    }
                },
            };
            pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
            pieces.push(place);
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(Self(pieces))
    }

    /// The text for a key, of which this stands after the prefix.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not text, or has fewer parts.
    pub(crate) fn fill(&self, rest: &[u8]) -> Result<String> {
        let refuse = |text: String| Error::new(ErrorKind::InvalidArgument, text);
        let rest = std::str::from_utf8(rest)
            .map_err(|_| refuse("a key of a source is text after its prefix".to_owned()))?;
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Whole => text.push_str(rest),
                Piece::Part(number) => {
                    let part = rest.split(':').nth(number - 1);
                    text.push_str(part.ok_or_else(|| {
                        refuse(format!(
                            "the source needs part {number} of the key after its prefix"
                        ))
                    })?);
                }
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, rest: &str) -> std::result::Result<String, String> {
        let template = Template::parse(template)?;
        template.fill(rest.as_bytes()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parts_and_the_whole_key_are_put_in() {
        assert_eq!(fill("{1}", "42"), Ok("42".to_owned()));
        assert_eq!(fill("{2}-{1}", "a:b:c"), Ok("b-a".to_owned()));
        assert_eq!(fill("k={key}!", "a:b"), Ok("k=a:b!".to_owned()));
        assert_eq!(fill("{{1}", "a"), Ok("{1}".to_owned()));
        assert_eq!(fill("", "a"), Ok(String::new()));
        assert_eq!(fill("{1}", ""), Ok(String::new()));
    }

    #[test]
    fn what_cannot_be_filled_says_so() {
        assert!(fill("{3}", "a:b").unwrap_err().contains("part 3"));
        assert!(fill("{0}", "a").unwrap_err().contains("{0}"));
        assert!(fill("{id}", "a").unwrap_err().contains("{id}"));
        assert!(fill("{1", "a").unwrap_err().contains("without its }"));
        let error = Template::parse("{1}").unwrap().fill(&[0xff]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
