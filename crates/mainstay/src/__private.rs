//! What the code that `#[mainstay::cached]` writes calls. No part of the interface.
//! It must not do what can stand in the macro's own text.

use std::{
    fmt::{Display, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::error::{Error, ErrorKind};

/// Appends a value's text so that what stands around it cannot be part of it: all but letters, digits, `_`, `.` and `-`
/// become `%XX`.
pub fn escape(text: &mut String, value: &impl Display) {
    for byte in value.to_string().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// A loader's own error, for the caller whose loader it was.
#[derive(Debug)]
pub struct Failed<E>(Arc<Mutex<Option<E>>>);

impl<E> Default for Failed<E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<E> Clone for Failed<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Display + From<Error>> Failed<E> {
    /// Keeps the error, and says it in words to the others who wait.
    ///
    /// # Errors
    /// `LoadFailed`, when the loader has failed.
    pub fn note<T>(&self, loaded: Result<T, E>) -> Result<T, Error> {
        loaded.map_err(|error| {
            let text = format!("the loader failed: {error}");
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Error::new(ErrorKind::LoadFailed, text)
        })
    }

    /// The own error, if that is why nothing came.
    pub fn or(&self, error: Error) -> E {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.filter(|_| error.kind() == ErrorKind::LoadFailed).unwrap_or_else(|| E::from(error))
    }
}

/// A value that is always there.
///
/// # Errors
/// `Corrupt` when the key holds that there is nothing: another function writes it as well.
pub fn there<T, E: From<Error>>(found: Option<T>) -> Result<T, E> {
    let error = || {
        Error::new(
            ErrorKind::Corrupt,
            "the key says that there is nothing; it is another function's too",
        )
    };
    found.ok_or_else(|| E::from(error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_holds_no_separator() {
        let mut text = String::from("user:");
        escape(&mut text, &"a:b%é");
        escape(&mut text, &-1.5);
        assert_eq!(text, "user:a%3Ab%25%C3%A9-1.5");
    }
}
