//! What stands in the attribute's parentheses.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Lit, LitStr, MetaNameValue, Token};

/// Where the schema's text comes from.
#[derive(Clone)]
pub(crate) enum Source {
    /// A file, relative to the package's manifest.
    File(LitStr),
    /// The text itself.
    Inline(LitStr),
}

impl Source {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::File(literal) | Self::Inline(literal) => literal.span(),
        }
    }
}

pub(crate) struct Arguments {
    pub(crate) schema: Option<Source>,
    pub(crate) outgoing_hosts: Vec<LitStr>,
}

impl Arguments {
    /// Reads what can be read, and adds what is wrong to `errors`.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Vec<syn::Error>) -> Self {
        let mut arguments = Self {
            schema: None,
            outgoing_hosts: Vec::new(),
        };
        let parser = |input: ParseStream<'_>| {
            Punctuated::<MetaNameValue, Token![,]>::parse_terminated(input)
        };
        let pairs = match parser.parse2(tokens) {
            Ok(pairs) => pairs,
            Err(error) => {
                errors.push(error);
                return arguments;
            }
        };
        for pair in &pairs {
            arguments.take(pair, errors);
        }
        if arguments.schema.is_none() && errors.is_empty() {
            errors.push(syn::Error::new(
                Span::call_site(),
                "the schema is missing; write `schema = \"schema.json\"` or `schema_inline = r#\"{…}\"#`",
            ));
        }
        arguments
    }

    fn take(&mut self, pair: &MetaNameValue, errors: &mut Vec<syn::Error>) {
        let source: fn(LitStr) -> Source = if pair.path.is_ident("schema") {
            Source::File
        } else if pair.path.is_ident("schema_inline") {
            Source::Inline
        } else if pair.path.is_ident("outgoing_hosts") {
            return self.take_hosts(&pair.value, errors);
        } else {
            errors.push(syn::Error::new_spanned(
                &pair.path,
                "unknown argument; there are `schema`, `schema_inline` and `outgoing_hosts`",
            ));
            return;
        };
        match string(&pair.value) {
            Ok(literal) if self.schema.is_none() => self.schema = Some(source(literal)),
            Ok(_) => errors.push(syn::Error::new_spanned(
                &pair.path,
                "the schema is given twice; keep one of `schema` and `schema_inline`",
            )),
            Err(error) => errors.push(error),
        }
    }

    fn take_hosts(&mut self, value: &Expr, errors: &mut Vec<syn::Error>) {
        let Expr::Array(array) = value else {
            errors.push(syn::Error::new_spanned(
                value,
                "expected a list of strings, for example [\"https://api.example.com\"]",
            ));
            return;
        };
        for element in &array.elems {
            match string(element).and_then(check_host) {
                Ok(host) => self.outgoing_hosts.push(host),
                Err(error) => errors.push(error),
            }
        }
    }
}

fn string(value: &Expr) -> syn::Result<LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Ok(literal.clone()),
        _ => Err(syn::Error::new_spanned(value, "expected a string literal")),
    }
}

/// Checks `[METHOD ]scheme://host[:port][/prefix]`.
fn check_host(literal: LitStr) -> syn::Result<LitStr> {
    let text = literal.value();
    let (method, url) = text.split_once(' ').unwrap_or(("GET", &text));
    let method_fits = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let host_fits = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .map(|rest| rest.split(['/', ':']).next().unwrap_or_default())
        .map(|host| host.strip_prefix("*.").unwrap_or(host))
        .is_some_and(|host| {
            host == "*"
                || !host.is_empty()
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b".-_[]".contains(&byte))
        });
    if method_fits && host_fits {
        Ok(literal)
    } else {
        Err(syn::Error::new(
            literal.span(),
            format!(
                "`{text}` is no destination; write `[METHOD ]scheme://host[:port][/prefix]` with \
                 http or https, for example `GET https://*.example.com`"
            ),
        ))
    }
}
