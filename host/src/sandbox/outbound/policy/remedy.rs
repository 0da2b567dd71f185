//! What would allow a request that was refused.
//!
//! *Invariant*: with it the request is sent, and no path or query is told by it.

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
}

impl Remedy {
    pub(super) fn new(policy: &Policy, destination: &Destination) -> Self {
        let narrowest = HttpPattern::of_origin(destination);
        let grant = (!policy.is_granted(destination))
            .then(|| (no_grant(policy, destination), narrowest.clone()));
        let wish = (!policy.is_wished(destination)).then_some(narrowest);
        Self { grant, wish }
    }
}

/// Says why no grant allows a request.
fn no_grant(policy: &Policy, destination: &Destination) -> NoGrant {
    let is_near = |it: &HttpPattern| it.matches_but_for_the_path(destination);
    match policy.granted().any(is_near) {
        false => NoGrant::Origin,
        true if pattern::leaves(destination.uri.path()) => NoGrant::OddPath,
        true => NoGrant::Path,
    }
}
