//! Ways in for the fuzz targets of this repository (`tests/fuzz`). Nothing else
//! may build on them.

use std::net::IpAddr;

use http::{Method, Uri};

use super::address::{Kind, kind};
use super::pattern::{HttpPattern, Target};

/// Tells whether an address is reached over the internet, so that a handler needs
/// no grant for it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    kind(address) == Kind::Public
}

/// Tells whether a pattern stands for a request, and gives the URI that is sent;
/// none where nothing can be sent.
#[must_use]
pub fn matched(pattern: &HttpPattern, method: &Method, uri: &Uri) -> Option<(bool, Uri)> {
    let target = Target::new(method, uri)?;
    Some((pattern.matches(&target), target.uri()?))
}
