//! The function around the loader.
//! It must not read the attribute's text.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, Pat, PathArguments, Result, ReturnType, Type,
    spanned::Spanned,
};

use crate::{attribute::Attribute, template::Part};

/// One argument.
struct Argument {
    name: Ident,
    /// What it points to, if it is a reference.
    behind: Option<Type>,
}

/// What the function returns.
struct Returns {
    value: Type,
    error: Type,
    /// Whether the value is an `Option`: `None` is "there is nothing".
    optional: Option<Type>,
}

/// Writes the function anew.
///
/// # Errors
/// Each names the fix.
pub(crate) fn cached(attribute: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let attribute = Attribute::parse(attribute)?;
    let function: ItemFn = syn::parse2(function)?;
    if function.sig.asyncness.is_none() {
        let text = "`#[cached]` is for async functions: write `async fn`";
        return Err(Error::new(function.sig.fn_token.span(), text));
    }
    let arguments = arguments(&function)?;
    let returns = returns(&function.sig.output)?;
    let (attributes, visibility, signature) = (&function.attrs, &function.vis, &function.sig);
    let body = body(&attribute, &arguments, &returns, &function.block);
    Ok(quote! { #(#attributes)* #visibility #signature { #body } })
}

fn body(
    attribute: &Attribute,
    arguments: &[Argument],
    returns: &Returns,
    block: &syn::Block,
) -> TokenStream {
    let Attribute { storage, .. } = attribute;
    let (key, options) = (template(&attribute.key), options(attribute));
    let Returns { value, error, optional } = returns;
    let codec = format_ident!("{}", if attribute.postcard { "Postcard" } else { "Json" });
    let references: Vec<&Argument> = arguments.iter().filter(|a| a.behind.is_some()).collect();
    let names: Vec<&Ident> = references.iter().map(|argument| &argument.name).collect();
    let behind: Vec<&Type> = references.iter().filter_map(|a| a.behind.as_ref()).collect();
    let (kept, wrap, unwrap) = match optional {
        Some(inner) => (inner, quote! { __loaded }, quote! { ::core::result::Result::Ok(__found) }),
        None => (
            value,
            quote! { __loaded.map(::core::option::Option::Some) },
            quote! { ::mainstay::__private::there::<#value, #error>(__found) },
        ),
    };
    quote! {
        let __storage: ::mainstay::Storage = ::core::clone::Clone::clone(&#storage);
        let __key: ::std::string::String = #key;
        let __options: ::mainstay::LoadOptions = #options;
        #(let #names = <#behind as ::std::borrow::ToOwned>::to_owned(#names);)*
        let __failed = ::mainstay::__private::Failed::<#error>::default();
        let __mine = ::core::clone::Clone::clone(&__failed);
        let __loader = move || async move {
            let __loaded: ::core::result::Result<#value, #error> = async move {
                #(let #names: &#behind = ::std::borrow::Borrow::borrow(&#names);)*
                #block
            }.await;
            let __loaded = #wrap;
            __mine.note(__loaded)
        };
        let __found = __storage
            .get_or_load_as::<::mainstay::codec::#codec, #kept, _, _, _>(__key, __options, __loader)
            .await;
        match __found {
            ::core::result::Result::Ok(__found) => #unwrap,
            ::core::result::Result::Err(__error) => ::core::result::Result::Err(__failed.or(__error)),
        }
    }
}

fn template(parts: &[Part]) -> TokenStream {
    let pushes = parts.iter().map(|part| match part {
        Part::Text(text) => quote! { __text.push_str(#text); },
        Part::Value(value) => quote! { ::mainstay::__private::escape(&mut __text, &#value); },
    });
    quote! {{
        let mut __text = ::std::string::String::new();
        #(#pushes)*
        __text
    }}
}

fn options(attribute: &Attribute) -> TokenStream {
    let durations = attribute.durations.iter().map(|(name, nanoseconds)| {
        let field = format_ident!("{name}");
        let duration = quote! { ::core::time::Duration::from_nanos(#nanoseconds) };
        match *name {
            "stale_if_error" | "soft_timeout" => {
                quote! { #field: ::core::option::Option::Some(#duration), }
            }
            _ => quote! { #field: #duration, },
        }
    });
    let share = attribute.refresh_ahead.map(|share| quote! { refresh_ahead: #share, });
    let tags = attribute.tags.iter().map(|tag| template(tag));
    quote! {
        ::mainstay::LoadOptions {
            #(#durations)*
            #share
            tags: ::std::vec![#(#tags),*],
            ..::core::default::Default::default()
        }
    }
}

fn arguments(function: &ItemFn) -> Result<Vec<Argument>> {
    let read = |argument: &FnArg| match argument {
        FnArg::Receiver(receiver) => Err(Error::new(
            receiver.span(),
            "`#[cached]` is for functions without `self`: pass what the body needs as arguments",
        )),
        FnArg::Typed(typed) => {
            let Pat::Ident(name) = &*typed.pat else {
                return Err(Error::new(typed.pat.span(), "give this argument a name"));
            };
            let behind = match &*typed.ty {
                Type::Reference(reference) if reference.mutability.is_some() => {
                    let text = "the body runs in a task of its own: it cannot change what the caller holds; \
                                take it by value";
                    return Err(Error::new(reference.span(), text));
                }
                Type::Reference(reference) => Some((*reference.elem).clone()),
                _ => None,
            };
            Ok(Argument { name: name.ident.clone(), behind })
        }
    };
    function.sig.inputs.iter().map(read).collect()
}

fn returns(output: &ReturnType) -> Result<Returns> {
    let refuse = || {
        let text = "`#[cached]` is for functions that return `Result<T, E>` with both written out";
        Error::new(output.span(), text)
    };
    let ReturnType::Type(_, output) = output else { return Err(refuse()) };
    match &generics_of(output, "Result")[..] {
        [value, error] => {
            let optional = generics_of(value, "Option").into_iter().next();
            Ok(Returns { value: value.clone(), error: error.clone(), optional })
        }
        _ => Err(refuse()),
    }
}

/// The types between the angle brackets of a path that ends so.
fn generics_of(of: &Type, name: &str) -> Vec<Type> {
    let Type::Path(path) = of else { return Vec::new() };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == name) else {
        return Vec::new();
    };
    let PathArguments::AngleBracketed(generics) = &last.arguments else { return Vec::new() };
    let types = generics.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    });
    types.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(attribute: TokenStream, function: TokenStream) -> String {
        cached(attribute, function).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_done_names_its_fix() {
        let good = || quote! { storage = "s", key = "k:{id}" };
        let function = || quote! { async fn f(s: &Storage, id: u64) -> Result<u64, E> { Ok(id) } };
        assert!(cached(good(), function()).is_ok());
        for (attribute, function, fix) in [
            (good(), quote! { fn f(id: u64) -> Result<u64, E> { Ok(id) } }, "async fn"),
            (good(), quote! { async fn f(id: u64) -> u64 { id } }, "Result<T, E>"),
            (good(), quote! { async fn f(id: u64) -> Result<u64> { Ok(id) } }, "both written out"),
            (
                good(),
                quote! { async fn f(&self, id: u64) -> Result<u64, E> { Ok(id) } },
                "as arguments",
            ),
            (good(), quote! { async fn f(id: &mut u64) -> Result<u64, E> { Ok(*id) } }, "by value"),
            (quote! { key = "k" }, function(), "storage = "),
            (quote! { storage = "s" }, function(), "key = "),
            (quote! { storage = "s", key = "k", ttl = "60" }, function(), "with a unit"),
            (quote! { storage = "s", key = "k", ttl = 60 }, function(), "in quotes"),
            (quote! { storage = "s", key = "k", time = "60s" }, function(), "there are storage"),
            (quote! { storage = "s", key = "k", tags = "t" }, function(), "is a list"),
            (quote! { storage = "s", key = "k", codec = "xml" }, function(), "\"json\" or"),
            (quote! { storage = "s", key = "k", refresh_ahead = 2.0 }, function(), "is a share"),
        ] {
            let error = refused(attribute, function);
            assert!(error.contains(fix), "{fix}: {error}");
        }
    }
}
