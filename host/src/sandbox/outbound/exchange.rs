//! One request and its response, within the limits of an invocation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::{Budget, Received, Sent};
use super::connection;
use super::policy::{self, Admitted, Outward, Policy, Refused, Unfit};
use super::refusal::Refusals;
use super::signer::Signer;
use super::{Cause, Crowd, Granted, HttpGrants, Outbound, OutboundError};
use crate::model::{Credentials, Region};
use crate::sandbox::Limits;
use crate::sandbox::logging::Subject;
use crate::sandbox::places::Place;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) struct Patience {
    /// For a connection.
    pub(in crate::sandbox) connect: Duration,
    /// For the body of the request to be sent, from then on; and for the head of the
    /// response, from then on.
    pub(in crate::sandbox) first_byte: Duration,
    /// For each next part of the body.
    pub(in crate::sandbox) between_bytes: Duration,
}

/// On whose behalf an invocation makes requests.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct OnBehalf {
    /// The credentials that came with the request.
    pub(in crate::sandbox) caller: Option<Credentials>,
    /// The region that the invocation is for.
    pub(in crate::sandbox) region: Option<Region>,
}

/// What a request has until its response is read: its places, and its connection.
pub(super) type Taken = (OwnedSemaphorePermit, Place, Option<connection::Exchange>);

/// The body of a response.
type Body = UnsyncBoxBody<Bytes, OutboundError>;

/// The requests of one invocation.
pub(in crate::sandbox) struct Outgoing {
    /// None while a component describes itself.
    granted: Option<Arc<Granted>>,
    region: Option<Region>,
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
            region: behalf.region,
            requests: 0,
            sent: Budget::new(limits.http_sent_bytes),
            allowance: Allowance {
                limits: *limits,
                received: Budget::new(limits.http_received_bytes),
                places: Arc::new(Semaphore::new(limits.http_concurrency)),
                refusals: Refusals::new(subject),
                signer: Signer::new(behalf.caller, limits),
            },
        }
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(in crate::sandbox) fn lack_of_credentials(&self) -> Option<String> {
        self.allowance.signer.lack()
    }

    /// Tells of a field that a guest may not send.
    pub(super) fn tell_of_forbidden(&self, field: &HeaderName) {
        self.allowance.refusals.forbidden(field);
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
        let ready = self.admit(request);
        let allowance = self.allowance.clone();
        async move {
            let ready = ready?;
            let destination = Arc::clone(&ready.admitted.destination);
            let Allowance {
                refusals, limits, ..
            } = allowance.clone();
            let tell = move |error| {
                refusals.failed(&destination, &error, &limits);
                error
            };
            let response = allowance.respond(ready, patience).await;
            let response = response.map_err(&tell)?;
            Ok(response.map(|body| body.map_err(tell).boxed_unsync()))
        }
    }

    /// Has the policy decide whether a request is sent, and how.
    fn admit(
        &mut self,
        request: Request<UnsyncBoxBody<Bytes, Cause>>,
    ) -> Result<Ready, OutboundError> {
        let Allowance {
            limits, refusals, ..
        } = &self.allowance;
        let limit = limits.http_requests;
        if self.requests >= limit {
            refusals.too_many(limit);
            return Err(OutboundError::TooMany { limit });
        }
        self.requests += 1;
        let (head, inner) = request.into_parts();
        let nothing = Policy::default();
        let policy = self.granted.as_ref().map_or(&nothing, |it| &it.policy);
        let admitted = policy
            .admit(head, self.region.as_ref())
            .map_err(|refused| {
                refusals.refused(&refused);
                OutboundError::from(refused)
            })?;
        let granted = Arc::clone(self.granted.as_ref().ok_or(OutboundError::Denied)?);
        Ok(Ready {
            granted,
            admitted,
            body: Sent::new(inner, self.sent.clone()),
        })
    }
}

/// A request that may be sent, its body, and the way.
struct Ready {
    granted: Arc<Granted>,
    admitted: Admitted,
    body: Sent,
}

impl From<Refused> for OutboundError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoDestination(_) => Self::Destination,
            Refused::Unfit(_, Unfit::Unsignable(_)) => Self::Unsigned,
            Refused::Lacking(..) | Refused::Unfit(..) => Self::Denied,
        }
    }
}

impl Allowance {
    /// Gives the response to a request.
    async fn respond(
        &self,
        ready: Ready,
        patience: Patience,
    ) -> Result<Response<Received>, OutboundError> {
        let Ready {
            granted,
            admitted: Admitted {
                destination,
                request,
            },
            body,
        } = ready;
        let own = Arc::clone(&self.places).acquire_owned();
        let own = take(own, Crowd::Invocation, patience).await?;
        let own = own.expect("the places are never closed");
        let client = granted.client();
        let place = take(granted.requests.take(), Crowd::Requests, patience);
        let (place, response, read) = match request {
            Outward::Plain(request) => {
                let place = place.await?;
                let response = client.send(request, body, patience).await?;
                (place, response, VecDeque::new())
            }
            Outward::Signed(request) => {
                let signing = self.signer.begin(&request, &destination, &self.refusals);
                // The guest may take its time to write it, so no other waits for it.
                let body = signing.prepare(body, patience).await?;
                let place = place.await?;
                let (response, read) = signing.exchange(client, body, patience).await?;
                (place, response, read)
            }
        };
        let (mut head, body) = response.into_parts();
        let (bytes, limit) = (field_bytes(&head.headers), self.limits.http_field_bytes);
        if bytes > limit {
            return Err(OutboundError::FieldsTooLarge { bytes, limit });
        }
        policy::strip(&mut head.headers);
        let taken = (own, place, connection::Exchange::over(&head.extensions));
        let received = self.received.clone();
        let body = Received::new(read, body, received, patience.between_bytes, taken);
        Ok(Response::from_parts(head, body))
    }
}

/// Takes a place as long as a connection may take.
async fn take<T>(
    place: impl Future<Output = T>,
    crowd: Crowd,
    patience: Patience,
) -> Result<T, OutboundError> {
    let after = patience.connect;
    let place = timeout(after, place).await;
    place.map_err(|_| OutboundError::Crowded { crowd, after })
}

fn field_bytes(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}
