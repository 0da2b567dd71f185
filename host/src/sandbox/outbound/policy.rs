//! What may leave, where to, and with what on it. All that is decided about requests
//! is decided here, by functions that only decide; the rest of `outbound` carries it out.
//!
//! To be sure of it, read these in this order. Each says at its head what holds.
//!
//! 1. `destination`: where a request goes, read by the one parser of URLs.
//! 2. `pattern`, and `path` below it: which requests a grant or a wish stands for.
//! 3. `fields`: which fields they go with.
//! 4. This file: which requests are let out.
//! 5. `address`: which addresses may be dialed, whatever a name resolves to.
//! 6. `grant`: what the host may put on which requests.
//! 7. `sign`: what is signed, and for whom.
//! 8. `succession` and `rejection`: with whose credentials, and when others take over.
//!
//! Beside the way are `remedy`, what would allow a request that was refused, and
//! `rented` below `pattern`, which patterns are warned of.
//!
//! *Invariant*: what carries it out cannot get around it. Requests are sent that are
//! [`Cleared`], and addresses dialed that are [`Judged`]; both are made here alone.
//!
//! *Invariant*: a request is cleared that the operator's list and the component's both
//! name, by its method, its origin and its path.
//!
//! *Invariant*: no request goes with a field that is HTTP's own business or names
//! another host, nor, where what is granted or put on requests to its server is bounded
//! by method or path, with one of those by which servers are known to take it for
//! another method or path.
//!
//! *Invariant*: what is put on a request replaces what the guest has put there, and is
//! put on none whose method may have the server send it back, as TRACE does.

mod address;
mod destination;
mod fields;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grant;
mod pattern;
pub(super) mod rejection;
mod remedy;
mod sign;
mod succession;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};

use crate::model::Region;
use crate::sandbox::outbound::RootCertificate;

pub use self::address::{AddressGrant, AddressGrantError};
pub use self::grant::{SecretGrant, SigningError, SigningGrant, SigningSource};
pub use self::pattern::{HttpPattern, HttpPatternError};

pub(super) use self::address::{Judged, Kind, is_loopback, kind, lacking};
pub(super) use self::destination::{Destination, NoDestination};
pub(super) use self::fields::{is_forbidden, strip};
pub(super) use self::remedy::{NoGrant, Remedy};
pub(super) use self::sign::{Signable, Unsignable};
pub(super) use self::succession::{Lack, Place, Step, Successions};

/// Says which HTTP requests a guest may make. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrants {
    /// The requests; the component has to wish for them as well.
    pub requests: Vec<HttpPattern>,
    /// More requests, which the host signs; the first that stands for a request
    /// tells how.
    pub signatures: Vec<SigningGrant>,
    /// More requests, which the host puts secrets on.
    pub secrets: Vec<SecretGrant>,
    /// The addresses that may be reached besides public ones.
    pub addresses: Vec<AddressGrant>,
    /// The certificates that servers may be signed by, besides those that this
    /// machine trusts.
    pub roots: Vec<RootCertificate>,
}

/// The methods of requests that something is put on, if its grant names no other: no
/// server sends these back, whatever the letters of others mean to it.
const KNOWN_METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What is granted, and what the component wishes for. The default lets nothing out.
#[derive(Default)]
pub(super) struct Policy {
    grants: HttpGrants,
    wishes: Arc<[HttpPattern]>,
}

/// A request that may be sent as it is.
pub(super) struct Cleared(Box<Parts>);

/// A request that may be sent.
pub(super) struct Admitted {
    pub(super) destination: Arc<Destination>,
    pub(super) request: Outward,
}

/// How it may be sent.
pub(super) enum Outward {
    Plain(Cleared),
    /// Once it is signed.
    Signed(Box<Signable>),
}

/// Why a request may not be sent.
#[derive(Debug)]
pub(super) enum Refused {
    NoDestination(NoDestination),
    /// No grant or no wish is for it.
    Lacking(Arc<Destination>, Box<Remedy>),
    /// By this field it may mean another request, and what is put on requests to its
    /// server is bounded by method or path.
    Overriding(Arc<Destination>, &'static str),
    /// Its method might have what is put on it sent back.
    Method(Arc<Destination>),
    Unsignable(Arc<Destination>, Unsignable),
}

impl Policy {
    pub(super) fn new(grants: HttpGrants, wishes: Arc<[HttpPattern]>) -> Self {
        Self { grants, wishes }
    }

    pub(super) const fn grants(&self) -> &HttpGrants {
        &self.grants
    }

    /// Decides whether a request of an invocation for `region` is sent, and puts it as
    /// it will be.
    pub(super) fn admit(
        &self,
        mut head: Parts,
        region: Option<&Region>,
    ) -> Result<Admitted, Refused> {
        let destination =
            Destination::new(&head.method, &head.uri).map_err(Refused::NoDestination)?;
        let destination = Arc::new(destination);
        if let Some(field) = fields::overriding(&head.headers) {
            let mut near = self.putting().filter(|it| it.matches_server(&destination));
            if near.any(|it| !it.has_whole_origins()) {
                return Err(Refused::Overriding(destination, field));
            }
        }
        let signature = self.signature(&destination);
        let secrets = || {
            let all = self.grants.secrets.iter();
            all.filter(|it| it.requests().matches(&destination))
        };
        let signed = signature.iter().map(|(_, grant)| grant.requests());
        let mut put_on = signed.chain(secrets().map(SecretGrant::requests));
        if !KNOWN_METHODS.contains(&head.method) && put_on.any(|it| !it.names_a_method()) {
            return Err(Refused::Method(destination));
        }
        if !self.is_granted(&destination, &head.headers) || !self.is_wished(&destination) {
            let remedy = Remedy::new(self, &destination, &head.headers);
            return Err(Refused::Lacking(destination, Box::new(remedy)));
        }
        head.uri = destination.uri.clone();
        strip(&mut head.headers);
        for secret in secrets() {
            secret.put(&mut head.headers);
        }
        let request = match signature {
            None => Outward::Plain(Cleared(Box::new(head))),
            Some((number, grant)) => {
                let place = (number, destination.server());
                match Signable::new(head, grant, place, region) {
                    Ok(request) => Outward::Signed(Box::new(request)),
                    Err(why) => return Err(Refused::Unsignable(destination, why)),
                }
            }
        };
        Ok(Admitted {
            destination,
            request,
        })
    }

    /// Gives which of the addresses of the server of a URL may be dialed.
    pub(super) fn judge(&self, server: &Uri, found: &[IpAddr]) -> Vec<Judged> {
        let mut judged = address::judge(found, &self.grants.addresses);
        // Secrets go unencrypted to names of this machine, whatever a look-up says.
        judged.retain(|it| !destination::stays(server) || is_loopback(it.ip()));
        judged
    }

    /// Gives the grant by which a request is signed, if it is, and its number.
    fn signature(&self, destination: &Destination) -> Option<(usize, &SigningGrant)> {
        let mut all = self.grants.signatures.iter().enumerate();
        all.find(|(_, it)| it.requests().matches(destination))
    }

    /// Gives the patterns of all grants by which something is put on requests.
    fn putting(&self) -> impl Iterator<Item = &HttpPattern> {
        let signed = self.grants.signatures.iter().map(SigningGrant::requests);
        let secret = self.grants.secrets.iter().map(SecretGrant::requests);
        signed.chain(secret)
    }

    /// Gives the patterns of all grants.
    fn granted(&self) -> impl Iterator<Item = &HttpPattern> {
        self.grants.requests.iter().chain(self.putting())
    }

    /// Gives those that allow a request.
    fn allowing(&self, destination: &Destination) -> impl Iterator<Item = &HttpPattern> {
        self.granted().filter(|it| it.matches(destination))
    }

    /// Tells whether a request is granted, by what it is and by what its fields say of it.
    fn is_granted(&self, destination: &Destination, fields: &HeaderMap) -> bool {
        match fields::overriding(fields) {
            None => self.allowing(destination).next().is_some(),
            // What is granted by its method or its path has to be what it says.
            Some(_) => self
                .allowing(destination)
                .any(HttpPattern::has_whole_origins),
        }
    }

    fn is_wished(&self, destination: &Destination) -> bool {
        self.wishes.iter().any(|it| it.matches(destination))
    }
}

impl Cleared {
    /// Gives the request, with its body.
    pub(super) fn with<B>(self, body: B) -> Request<B> {
        Request::from_parts(*self.0, body)
    }
}

#[cfg(test)]
mod tests;
