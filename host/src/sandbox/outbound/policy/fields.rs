//! Which fields go with a request, by their names.
//!
//! *Invariant*: a field is any that a server may take it for. CGI and its like read
//! all that is neither letter nor digit alike, so that `x_api_key` is `X-Api-Key`.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that are HTTP's own business or a proxy's: a guest may neither send nor
/// see them. RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2 name the first ones; by
/// the next servers behind a proxy take a request for one to another host, and by the
/// last for one of another method or path: those of frameworks, and those by which
/// proxies tell what they were asked.
const FORBIDDEN: &str = "\
    connection expect host http2-settings keep-alive proxy-authenticate \
    proxy-authorization proxy-authentication-info proxy-connection te trailer \
    transfer-encoding upgrade \
    forwarded x-forwarded-host x-forwarded-server x-host x-http-host-override \
    x-original-host \
    request-uri uri x-backend-host x-envoy-original-path x-forwarded-method \
    x-forwarded-original-host x-forwarded-path x-forwarded-prefix x-forwarded-uri \
    x-http-destinationurl x-http-method x-http-method-override x-http-path-override \
    x-method-override x-original-method x-original-uri x-original-url x-override-host \
    x-override-url x-proxy-url x-rewrite-uri x-rewrite-url";

/// Fields by which stores of objects, and `WebDAV`, copy or move what is elsewhere.
const SOURCES: &str = "\
    destination x-amz-copy-source x-amz-rename-source x-copy-from x-cos-copy-source \
    x-goog-copy-source x-ms-copy-source x-ms-rename-source x-obs-copy-source \
    x-oss-copy-source";

/// Tells whether a guest may neither send nor see a field.
pub(in crate::sandbox::outbound) fn is_forbidden(field: &HeaderName) -> bool {
    // Of the length, only what may be taken for it: a server could read two.
    is_read_as(field, "content-length") && field != CONTENT_LENGTH
        || FORBIDDEN
            .split_whitespace()
            .any(|name| is_read_as(field, name))
}

/// Takes out of a request or a response what a guest may neither send nor see.
pub(in crate::sandbox::outbound) fn strip(fields: &mut HeaderMap) {
    remove_all(fields, is_forbidden);
}

/// Gives the field by which a request names another place to copy or to move from.
pub(super) fn naming_a_source(fields: &HeaderMap) -> Option<&'static str> {
    let mut all = SOURCES.split_whitespace();
    all.find(|name| values(fields, name).next().is_some())
}

/// Gives the values of all fields that may be taken for one.
pub(super) fn values<'f>(
    fields: &'f HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'f HeaderValue> {
    let all = fields.iter().filter(|(field, _)| is_read_as(field, name));
    all.map(|(_, value)| value)
}

/// Takes out all fields that may be taken for one.
pub(super) fn remove(fields: &mut HeaderMap, name: &str) {
    remove_all(fields, |field| is_read_as(field, name));
}

fn remove_all(fields: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    let meant = fields.keys().filter(|field| is_meant(field));
    for field in meant.cloned().collect::<Vec<_>>() {
        fields.remove(field);
    }
}

/// Tells whether a server may take a field for that of a name.
fn is_read_as(field: &HeaderName, name: &str) -> bool {
    let read = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => byte,
        _ => b'-',
    };
    let (field, name) = (field.as_str().bytes(), name.bytes());
    field.map(read).eq(name.map(read))
}
