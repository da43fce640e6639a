//! Counters as Redis understands them: decimal text in, decimal text out.
//! It must not know about keys.

use crate::error::{Error, ErrorKind, Result};

/// The stored text (none counts as 0) plus `by`.
///
/// # Errors
/// `NotInteger`, `Overflow`.
pub fn add_integer(stored: Option<&[u8]>, by: i64) -> Result<i64> {
    let current = stored.map_or(Ok(0), parse_integer)?;
    let sum = current.checked_add(by);
    sum.ok_or_else(|| Error::new(ErrorKind::Overflow, "increment or decrement would overflow"))
}

/// A canonical decimal as Redis's `string2ll` takes it: no sign but `-`, no leading zeros, no spaces.
fn parse_integer(text: &[u8]) -> Result<i64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    match parsed {
        Some(number) if number.to_string().as_bytes() == text => Ok(number),
        _ => Err(Error::new(ErrorKind::NotInteger, "value is not an integer or out of range")),
    }
}

/// The stored text (none counts as 0) plus `by`. Redis computes with long doubles, this with doubles.
///
/// # Errors
/// `NotFloat`, `Overflow`.
pub fn add_float(stored: Option<&[u8]>, by: f64) -> Result<f64> {
    let not_float = || Error::new(ErrorKind::NotFloat, "value is not a valid float");
    let current = match stored {
        None => 0.0,
        Some(text) => {
            let text = std::str::from_utf8(text).map_err(|_| not_float())?;
            text.parse::<f64>().ok().filter(|number| !number.is_nan()).ok_or_else(not_float)?
        }
    };
    let sum = current + by;
    if !sum.is_finite() {
        return Err(Error::new(ErrorKind::Overflow, "increment would produce NaN or Infinity"));
    }
    Ok(sum)
}

/// A float as INCRBYFLOAT stores it: at most 17 significant digits, no exponent, no trailing zeros.
pub fn format_float(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let digits_before = number.abs().log10().floor();
    // 17 significant digits as Redis prints them; doubles hold 15 to 17, so the shortest exact text is preferred.
    let shortest = format!("{number}");
    if shortest.len() <= 18 || digits_before > 17.0 {
        return shortest;
    }
    let rounded = format!("{number:.17}");
    let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
    if rounded.parse::<f64>() == Ok(number) { rounded.to_owned() } else { shortest }
}
