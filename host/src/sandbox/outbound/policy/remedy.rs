//! What would allow a request that was refused.
//!
//! *Invariant*: with it the request is sent, and no path or query is told by it.

use http::HeaderMap;

use super::fields::overriding;
use super::{Destination, HttpPattern, Policy, pattern};

/// What a request lacks, and what would allow it: the narrowest that tells no path.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox::outbound) struct Remedy {
    /// Why no grant does, and one that would.
    pub(in crate::sandbox::outbound) grant: Option<(NoGrant, HttpPattern)>,
    /// A wish that would, if none of the component's does.
    pub(in crate::sandbox::outbound) wish: Option<HttpPattern>,
}

/// Why no grant allows a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox::outbound) enum NoGrant {
    /// None is for its method and its server.
    Origin,
    /// Those that are name other paths.
    Path,
    /// Those that are name paths, and what servers make of its own is not certain.
    OddPath,
    /// Those that are bound its method or its path, and this field may change both.
    Overriding(&'static str),
}

impl Remedy {
    pub(super) fn new(policy: &Policy, destination: &Destination, fields: &HeaderMap) -> Self {
        let narrowest = HttpPattern::of_origin(destination);
        let grant = no_grant(policy, destination, fields).map(|why| {
            let grant = narrowest.clone();
            match overriding(fields) {
                Some(_) => (why, grant.by_any_method()),
                None => (why, grant),
            }
        });
        let wish = (!policy.is_wished(destination)).then_some(narrowest);
        Self { grant, wish }
    }
}

/// Says why no grant allows a request, if none does.
fn no_grant(policy: &Policy, destination: &Destination, fields: &HeaderMap) -> Option<NoGrant> {
    if policy.is_granted(destination, fields) {
        return None;
    }
    if policy.allowing(destination).next().is_some() {
        return overriding(fields).map(NoGrant::Overriding);
    }
    let is_near = |it: &HttpPattern| it.matches_but_for_the_path(destination);
    Some(match policy.granted().any(is_near) {
        false => NoGrant::Origin,
        true if pattern::leaves(destination.uri.path()) => NoGrant::OddPath,
        true => NoGrant::Path,
    })
}
