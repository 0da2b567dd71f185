//! One request and its response, within the limits of an invocation.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::{Budget, Received, Sent};
use super::pattern::Target;
use super::refusal::{Missing, Refusals};
use super::signing::{OnBehalf, Prepared, Signer};
use super::{
    Cause, Crowd, Granted, HttpGrants, HttpPattern, Outbound, OutboundError, SecretGrant,
    SigningGrant,
};
use crate::sandbox::Limits;
use crate::sandbox::logging::Subject;

/// Fields that are HTTP's own business or a proxy's: a guest may neither send nor
/// see them. RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2 name them.
pub(in crate::sandbox) const FORBIDDEN_FIELDS: [HeaderName; 13] = [
    header::CONNECTION,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields by which some servers take a request for another method or path than it
/// has.
const OVERRIDING_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

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

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) struct Patience {
    /// For a connection.
    pub(in crate::sandbox) connect: Duration,
    /// For the head of the response, from then on.
    pub(in crate::sandbox) first_byte: Duration,
    /// For each next part of the body.
    pub(in crate::sandbox) between_bytes: Duration,
}

/// The body of a response.
type Body = UnsyncBoxBody<Bytes, OutboundError>;

/// The requests of one invocation.
pub(in crate::sandbox) struct Outgoing {
    /// None while a component describes itself.
    granted: Option<Arc<Granted>>,
    requests: usize,
    sent: Budget,
    allowance: Allowance,
}

/// What the requests of one invocation share. So do clones.
#[derive(Clone)]
struct Allowance {
    limits: Limits,
    received: Budget,
    places: Arc<Semaphore>,
    refusals: Refusals,
    signer: Signer,
}

impl Outgoing {
    /// Begins an invocation with nothing sent.
    pub(in crate::sandbox) fn new(
        outbound: Option<&Outbound>,
        grants: &HttpGrants,
        limits: &Limits,
        subject: Option<Subject>,
        behalf: OnBehalf,
    ) -> Self {
        Self {
            granted: outbound.map(|outbound| outbound.granted(grants)),
            requests: 0,
            sent: Budget::new(limits.http_sent_bytes),
            allowance: Allowance {
                limits: *limits,
                received: Budget::new(limits.http_received_bytes),
                places: Arc::new(Semaphore::new(limits.http_concurrency)),
                refusals: Refusals::new(subject),
                signer: Signer::new(behalf, limits),
            },
        }
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(in crate::sandbox) fn lack_of_credentials(&self) -> Option<String> {
        self.allowance.signer.lack()
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.allowance.limits
    }

    /// Gives the longest that may be waited for a request.
    pub(in crate::sandbox) const fn patience(&self) -> Patience {
        let limits = &self.allowance.limits;
        Patience {
            connect: limits.http_connect,
            first_byte: limits.http_first_byte,
            between_bytes: limits.http_between_bytes,
        }
    }

    /// Sends a request, if it may be sent.
    pub(in crate::sandbox) fn send(
        &mut self,
        request: Request<UnsyncBoxBody<Bytes, Cause>>,
        patience: Patience,
    ) -> impl Future<Output = Result<Response<Body>, OutboundError>> + Send + use<> {
        let admitted = self.admit(request);
        let allowance = self.allowance.clone();
        async move {
            let admitted = admitted?;
            let target = admitted.target.clone();
            let Allowance {
                refusals, limits, ..
            } = allowance.clone();
            let tell = move |error| {
                refusals.failed(&target, &error, &limits);
                error
            };
            let response = allowance.respond(admitted, patience).await;
            let response = response.map_err(&tell)?;
            Ok(response.map(|body| body.map_err(tell).boxed_unsync()))
        }
    }

    /// Decides whether a request is sent, and puts it as it will be.
    fn admit(
        &mut self,
        request: Request<UnsyncBoxBody<Bytes, Cause>>,
    ) -> Result<Admitted, OutboundError> {
        let Allowance {
            limits, refusals, ..
        } = &self.allowance;
        let limit = limits.http_requests;
        if self.requests >= limit {
            refusals.too_many(limit);
            return Err(OutboundError::TooMany { limit });
        }
        self.requests += 1;
        let (mut head, inner) = request.into_parts();
        let target = Target::new(&head.method, &head.uri).ok_or(OutboundError::Destination)?;
        let missing = match &self.granted {
            None => Some(Missing::Both),
            Some(granted) => granted.lacks(&target),
        };
        let granted = match (missing, &self.granted) {
            (None, Some(granted)) => Arc::clone(granted),
            (Some(missing), _) => {
                refusals.denied(&target, missing);
                return Err(OutboundError::Denied);
            }
            (None, None) => return Err(OutboundError::Denied),
        };
        head.uri = target.uri().ok_or(OutboundError::Destination)?;
        remove(&FORBIDDEN_FIELDS, &mut head.headers);
        let mut overriding = OVERRIDING_FIELDS.into_iter();
        if let Some(field) = overriding.find(|field| head.headers.contains_key(field))
            && granted.bounds_more_than_the_origin(&target)
        {
            refusals.overriding(&target, &field);
            return Err(OutboundError::Denied);
        }
        let signature = granted.signature(&target);
        if !KNOWN_METHODS.contains(&head.method) && granted.puts_on_any_method(&target) {
            refusals.unknown_method(&target);
            return Err(OutboundError::Denied);
        }
        for secret in granted.secrets(&target) {
            secret.put(&mut head);
        }
        let budget = self.sent.clone();
        Ok(Admitted {
            granted,
            target,
            request: Request::from_parts(head, Sent { inner, budget }),
            signature,
        })
    }
}

impl Allowance {
    /// Gives the response to a request.
    async fn respond(
        &self,
        admitted: Admitted,
        patience: Patience,
    ) -> Result<Response<Received>, OutboundError> {
        let Admitted {
            granted,
            target,
            request,
            signature,
        } = admitted;
        let own = take_place(&self.places, Crowd::Invocation, patience).await?;
        let request = match signature {
            None => Outward::Plain(request),
            Some(number) => {
                // The guest may take its time to write it, so no other waits for it.
                let prepared = self.signer.prepare(
                    &granted,
                    number,
                    &target,
                    request,
                    patience,
                    &self.refusals,
                );
                Outward::Signed(number, prepared.await?)
            }
        };
        let share = take_place(&granted.share, Crowd::Handler, patience).await?;
        let place = take_place(&granted.shared.places, Crowd::Host, patience).await?;
        let places = [own, share, place];
        let (response, read) = match request {
            Outward::Plain(request) => (
                exchange(&granted, request, patience).await?,
                VecDeque::new(),
            ),
            Outward::Signed(number, request) => {
                self.signer
                    .exchange(&granted, number, &target, request, patience, &self.refusals)
                    .await?
            }
        };
        let (mut head, body) = response.into_parts();
        let (bytes, limit) = (field_bytes(&head.headers), self.limits.http_field_bytes);
        if bytes > limit {
            return Err(OutboundError::FieldsTooLarge { bytes, limit });
        }
        remove(&FORBIDDEN_FIELDS, &mut head.headers);
        let received = self.received.clone();
        let body = Received::new(read, body, received, patience.between_bytes, places);
        Ok(Response::from_parts(head, body))
    }
}

/// A request that may be sent.
struct Admitted {
    granted: Arc<Granted>,
    target: Target,
    request: Request<Sent>,
    /// The number of the grant that it is signed by, if it is.
    signature: Option<usize>,
}

/// A request as it is sent.
enum Outward {
    Plain(Request<Sent>),
    /// By the grant with this number.
    Signed(usize, Prepared),
}

impl Granted {
    /// Gives the number of the grant by which a request is signed, if it is.
    fn signature(&self, target: &Target) -> Option<usize> {
        let mut signatures = self.grants.signatures.iter();
        signatures.position(|it| it.requests().matches(target))
    }

    /// Gives what is put on a request.
    fn secrets(&self, target: &Target) -> impl Iterator<Item = &SecretGrant> {
        let secrets = self.grants.secrets.iter();
        secrets.filter(|it| it.requests().matches(target))
    }

    /// Tells whether something is put on a request though its grant does not name the
    /// method.
    fn puts_on_any_method(&self, target: &Target) -> bool {
        let signature = self.signature(target);
        let signature = signature.map(|number| self.grants.signatures[number].requests());
        let secrets = self.secrets(target).map(SecretGrant::requests);
        let mut all = signature.into_iter().chain(secrets);
        all.any(|it| !it.names_a_method())
    }

    /// Gives the grants of a request.
    fn allowing(&self, target: &Target) -> impl Iterator<Item = &HttpPattern> {
        let HttpGrants {
            requests,
            signatures,
            secrets,
            ..
        } = &self.grants;
        let signatures = signatures.iter().map(SigningGrant::requests);
        let secrets = secrets.iter().map(SecretGrant::requests);
        let all = requests.iter().chain(signatures).chain(secrets);
        all.filter(|it| it.matches(target))
    }

    /// Tells whether a request is granted by its method or its path, so that these
    /// have to be what they are.
    fn bounds_more_than_the_origin(&self, target: &Target) -> bool {
        !self.allowing(target).any(HttpPattern::has_whole_origins)
    }

    /// Tells which of the lists lack a request, if any does.
    fn lacks(&self, target: &Target) -> Option<Missing> {
        let granted = self.allowing(target).next().is_some();
        let wished = self.wishes.iter().any(|it| it.matches(target));
        match (granted, wished) {
            (true, true) => None,
            (true, false) => Some(Missing::Wish),
            (false, true) => Some(Missing::Grant),
            (false, false) => Some(Missing::Both),
        }
    }
}

/// Takes a place among the requests of a crowd.
async fn take_place(
    places: &Arc<Semaphore>,
    crowd: Crowd,
    patience: Patience,
) -> Result<OwnedSemaphorePermit, OutboundError> {
    let after = patience.connect;
    match timeout(after, Arc::clone(places).acquire_owned()).await {
        Ok(place) => Ok(place.expect("the places are never closed")),
        Err(_) => Err(OutboundError::Crowded { crowd, after }),
    }
}

/// Sends a request and waits for the head of its response.
pub(super) async fn exchange(
    granted: &Granted,
    request: Request<Sent>,
    patience: Patience,
) -> Result<Response<hyper::body::Incoming>, OutboundError> {
    let (mut connected, response) = granted.client().send(request);
    let mut response = pin!(response);
    let connected = async { drop(connected.wait_for_connection_metadata().await) };
    let after = patience.connect;
    tokio::select! {
        biased;
        response = &mut response => return response,
        connected = timeout(after, connected) => {
            connected.map_err(|_| OutboundError::Unconnected { after })?;
        }
    }
    let after = patience.first_byte;
    timeout(after, response)
        .await
        .map_err(|_| OutboundError::Silent { after })?
}

fn remove(names: &[HeaderName], fields: &mut HeaderMap) {
    for name in names {
        fields.remove(name);
    }
}

fn field_bytes(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}
