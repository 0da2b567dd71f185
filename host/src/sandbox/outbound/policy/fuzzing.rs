//! Ways in for the fuzz targets of this repository (`tests/fuzz`). Nothing else
//! may build on them.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request, Uri};

use super::address::{Kind, kind};
use super::destination::Destination;
use super::{HttpGrants, HttpPattern, Outward, Policy, Refused};

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
    let destination = Destination::new(method, uri).ok()?;
    Some((pattern.matches(&destination), destination.uri))
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent, to there.
    Sent(Uri),
    /// It would be with this grant and this wish besides.
    Lacks(Option<HttpPattern>, Option<HttpPattern>),
    /// Nothing would allow it.
    Refused,
}

/// Decides about a request.
#[must_use]
pub fn decide(
    grants: &[HttpPattern],
    wishes: &[HttpPattern],
    method: &Method,
    uri: &Uri,
) -> Verdict {
    let grants = HttpGrants {
        requests: grants.to_vec(),
        ..HttpGrants::default()
    };
    let policy = Policy::new(grants, Arc::from(wishes));
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri) = (method.clone(), uri.clone());
    match policy.admit(head, None) {
        Ok(admitted) => match admitted.request {
            Outward::Plain(cleared) => Verdict::Sent(cleared.with(()).uri().clone()),
            Outward::Signed(_) => Verdict::Refused,
        },
        Err(Refused::Lacking(_, remedy)) => {
            Verdict::Lacks(remedy.grant.map(|(_, grant)| grant), remedy.wish)
        }
        Err(_) => Verdict::Refused,
    }
}
