//! What may leave, where to, and with what on it. All that is decided about requests
//! is decided here, by functions that only decide; the rest of `outbound` carries it out.
//!
//! To be sure of it, read these in this order. Each says at its head what holds.
//!
//! What may leave:
//!
//! 1. `destination`: where a request goes, read by the one parser of URLs.
//! 2. `pattern`, and `path` below it: which requests a grant or a wish stands for.
//! 3. `fields`: which fields they go with.
//! 4. This file: which requests are let out.
//! 5. `address`: which addresses may be dialed, whatever a name resolves to.
//!
//! What the host puts on it, for those who grant that, is `credentials`, with an order of
//! its own. Beside the way is `remedy`, what would allow a request that was refused.
//!
//! *Invariant*: what carries it out cannot get around it. Requests are sent that are
//! [`Cleared`], and addresses dialed that are [`Dialable`]; both are made here alone.
//!
//! *Invariant*: a request is cleared that the operator's list and the component's both
//! name, by its method, its origin and its path, and it goes with no field that is HTTP's
//! own business, or by which servers are known to take it for another request.

mod address;
mod credentials;
mod destination;
mod fields;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod pattern;
mod remedy;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Uri};

use self::credentials::Due;
use crate::model::Region;
use crate::sandbox::outbound::RootCertificate;

pub use self::address::{AddressGrant, AddressGrantError};
pub use self::credentials::{SecretGrant, SigningError, SigningGrant, SigningSource};
pub use self::pattern::{HttpPattern, HttpPatternError};

pub(super) use self::address::{Dialable, Kind, is_loopback, kind, lacking};
pub(super) use self::credentials::{
    Lack, Outward, Signable, Site, Step, Succession, Unfit, rejection,
};
pub(super) use self::destination::{Destination, NoDestination};
pub(super) use self::fields::{is_forbidden, strip};
pub(super) use self::remedy::{NoGrant, Remedy};

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

/// Why a request may not be sent.
#[derive(Debug)]
pub(super) enum Refused {
    NoDestination(NoDestination),
    /// No grant or no wish is for it.
    Lacking(Arc<Destination>, Box<Remedy>),
    /// What is granted to be put on it is not put on one like that.
    Unfit(Arc<Destination>, Unfit),
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
        let unfit = |why| Refused::Unfit(Arc::clone(&destination), why);
        let due = Due::of(&self.grants, &head, &destination).map_err(unfit)?;
        if !self.is_granted(&destination) || !self.is_wished(&destination) {
            let remedy = Remedy::new(self, &destination);
            return Err(Refused::Lacking(destination, Box::new(remedy)));
        }
        head.uri = destination.uri.clone();
        strip(&mut head.headers);
        let request = due.put_on(head, &destination, region).map_err(unfit)?;
        Ok(Admitted {
            destination,
            request,
        })
    }

    /// Gives which of the addresses of the server of a URL may be dialed.
    pub(super) fn dialable(&self, server: &Uri, found: &[IpAddr]) -> Vec<Dialable> {
        let mut dialable = address::dialable(found, &self.grants.addresses);
        // Secrets go unencrypted to names of this machine, whatever a look-up says.
        dialable.retain(|it| !destination::stays(server) || is_loopback(it.ip()));
        dialable
    }

    /// Gives the patterns of all grants, those by which something is put on among them.
    fn granted(&self) -> impl Iterator<Item = &HttpPattern> {
        let signed = self.grants.signatures.iter().map(SigningGrant::requests);
        let secret = self.grants.secrets.iter().map(SecretGrant::requests);
        self.grants.requests.iter().chain(signed).chain(secret)
    }

    fn is_granted(&self, destination: &Destination) -> bool {
        self.granted().any(|it| it.matches(destination))
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
