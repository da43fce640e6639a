//! The attribute `#[mainstay::cached]`: an async function whose results are loaded through a storage.
//! It must not know how values are loaded; it writes a call of `Storage::get_or_load_as`.
#![warn(missing_docs)]

mod attribute;
mod expand;
mod template;

use proc_macro::TokenStream;

/// Keeps what an async function returns: `#[mainstay::cached(storage = "storage", key = "user:{id}", ttl = "60s")]`.
///
/// The function returns `Result<T, E>`, where `T` is read and written by serde, and `E: From<mainstay::Error> + Display`.
/// An `Err` is not kept. With `T = Option<U>`, `None` is kept as "there is nothing" for `negative_ttl`.
///
/// - `storage`: an expression for the `Storage`, in which the function's arguments may stand.
/// - `key`: where `{argument}` stands, the argument's text is put, escaped, so that two lists of arguments never make one
///   key. What no argument of the key says, callers share.
/// - `ttl`, `stale_if_error`, `soft_timeout`, `hard_timeout`, `negative_ttl`: durations with a unit, `"1500ms"`.
/// - `refresh_ahead`: a share, `0.2`. `tags = ["users", "team:{team}"]`. `codec = "json"` (default) or `"postcard"`.
///
/// The body runs in a task of its own: arguments are moved into it, those behind `&` are cloned (`ToOwned`).
#[proc_macro_attribute]
pub fn cached(attribute: TokenStream, function: TokenStream) -> TokenStream {
    let expanded = expand::cached(attribute.into(), function.into());
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
