//! What stands in the attribute's parentheses.
//! It must not know the function.

use syn::{
    Error, Expr, ExprArray, Lit, LitStr, Meta, Result, Token, parse::Parser,
    punctuated::Punctuated, spanned::Spanned,
};

use crate::template::{Part, parse};

/// Names that take a duration.
const DURATIONS: [&str; 5] =
    ["ttl", "stale_if_error", "soft_timeout", "hard_timeout", "negative_ttl"];

/// The attribute, read.
pub(crate) struct Attribute {
    pub(crate) storage: Expr,
    pub(crate) key: Vec<Part>,
    pub(crate) tags: Vec<Vec<Part>>,
    /// Nanoseconds by name.
    pub(crate) durations: Vec<(&'static str, u64)>,
    pub(crate) refresh_ahead: Option<f64>,
    pub(crate) postcard: bool,
}

impl Attribute {
    /// Reads it.
    ///
    /// # Errors
    /// Each names the fix.
    pub(crate) fn parse(tokens: proc_macro2::TokenStream) -> Result<Self> {
        let span = tokens.span();
        let list = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)?;
        let (mut storage, mut key, mut tags) = (None, None, Vec::new());
        let (mut durations, mut refresh_ahead, mut postcard) = (Vec::new(), None, false);
        for meta in list {
            let named = meta.require_name_value()?;
            let name = named.path.require_ident()?.to_string();
            let value = &named.value;
            match name.as_str() {
                "storage" => storage = Some(text(value)?.parse::<Expr>()?),
                "key" => key = Some(parse(&text(value)?)?),
                "tags" => tags = templates(value)?,
                "refresh_ahead" => refresh_ahead = Some(share(value)?),
                "codec" => postcard = is_postcard(&text(value)?)?,
                other => match DURATIONS.iter().find(|known| **known == other) {
                    Some(known) => durations.push((*known, nanoseconds(&text(value)?)?)),
                    None => return Err(unknown(&meta, other)),
                },
            }
        }
        let missing = |what: &str| Error::new(span, format!("`{what}` is missing"));
        let storage =
            storage.ok_or_else(|| missing("storage = \"an expression for the Storage\""))?;
        let key = key.ok_or_else(|| missing("key = \"user:{id}\""))?;
        Ok(Self { storage, key, tags, durations, refresh_ahead, postcard })
    }
}

fn unknown(meta: &Meta, name: &str) -> Error {
    let known = DURATIONS.join(", ");
    let text = format!(
        "`{name}` is not known; there are storage, key, tags, codec, refresh_ahead, {known}"
    );
    Error::new(meta.span(), text)
}

fn text(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Ok(text.clone()),
            other => Err(Error::new(other.span(), "is written in quotes")),
        },
        other => Err(Error::new(other.span(), "is written in quotes")),
    }
}

fn templates(value: &Expr) -> Result<Vec<Vec<Part>>> {
    let Expr::Array(ExprArray { elems, .. }) = value else {
        return Err(Error::new(value.span(), "is a list: tags = [\"users\", \"team:{team}\"]"));
    };
    elems.iter().map(|tag| parse(&text(tag)?)).collect()
}

fn share(value: &Expr) -> Result<f64> {
    let refuse = || Error::new(value.span(), "is a share between 0.0 and 0.9, such as 0.2");
    let Expr::Lit(literal) = value else { return Err(refuse()) };
    let Lit::Float(number) = &literal.lit else { return Err(refuse()) };
    number.base10_parse::<f64>().ok().filter(|share| (0.0..=0.9).contains(share)).ok_or_else(refuse)
}

fn is_postcard(codec: &LitStr) -> Result<bool> {
    match codec.value().as_str() {
        "json" => Ok(false),
        "postcard" => Ok(true),
        _ => Err(Error::new(codec.span(), "is \"json\" or \"postcard\"")),
    }
}

/// `60s`, `1500ms`, `5m`, `1h`.
fn nanoseconds(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let refuse =
        || Error::new(literal.span(), "is a whole number with a unit: 1500ms, 60s, 5m, 1h or 1d");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
    let number: u64 = text[..at].parse().map_err(|_| refuse())?;
    let unit: u64 = match &text[at..] {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return Err(refuse()),
    };
    number.checked_mul(unit).ok_or_else(refuse)
}
