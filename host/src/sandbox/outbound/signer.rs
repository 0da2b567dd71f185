//! Signs the requests of one invocation, as the policy says: asks the sources of
//! credentials that it names, and tells it what servers answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::body::Sent;
use super::client::Client;
use super::connection::Exchange;
use super::exchange::Patience;
use super::policy::{Destination, Signable, Site, Step, Succession, rejection};
use super::refusal::Refusals;
use super::{CredentialsSource, OutboundError};
use crate::clock::{Clock, SystemClock};
use crate::model::Credentials;
use crate::sandbox::Limits;

/// Signs the requests of one invocation. Clones share what they know.
#[derive(Clone)]
pub(super) struct Signer(Arc<Inner>);

struct Inner {
    /// The largest body that is signed, in bytes.
    limit: usize,
    /// How long a source of credentials has to answer, whatever a guest waits for.
    patience: Duration,
    caller: Option<Credentials>,
    sites: SyncMutex<BTreeMap<Site, Arc<AtSite>>>,
}

/// What is known of the credentials for one server.
#[derive(Default)]
struct AtSite {
    /// Whose turn it is to ask a source.
    turn: Mutex<()>,
    succession: SyncMutex<Succession>,
}

/// One request that is signed.
pub(super) struct Signing<'a> {
    signer: &'a Inner,
    site: Arc<AtSite>,
    request: &'a Signable,
    destination: &'a Destination,
    refusals: &'a Refusals,
}

/// A response, and the part of its body that was looked at.
pub(super) type Looked = (Response<Incoming>, VecDeque<Bytes>);

impl Signer {
    /// Begins an invocation, for a caller with or without credentials.
    pub(super) fn new(caller: Option<Credentials>, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            limit: limits.http_signed_bytes,
            patience: limits.http_connect + limits.http_first_byte,
            caller,
            sites: SyncMutex::default(),
        }))
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(super) fn lack(&self) -> Option<String> {
        let sites = lock(&self.0.sites);
        let lack = sites.values().find_map(|it| lock(&it.succession).lack());
        lack.map(|lack| lack.to_string())
    }

    pub(super) fn begin<'a>(
        &'a self,
        request: &'a Signable,
        destination: &'a Destination,
        refusals: &'a Refusals,
    ) -> Signing<'a> {
        let mut sites = lock(&self.0.sites);
        let site = sites.entry(request.site().clone()).or_default();
        Signing {
            signer: &self.0,
            site: Arc::clone(site),
            request,
            destination,
            refusals,
        }
    }
}

fn lock<T>(state: &SyncMutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signing<'_> {
    /// Reads the body to its end, and sees to it that there are credentials.
    pub(super) async fn prepare(
        &self,
        body: Sent,
        patience: Patience,
    ) -> Result<Bytes, OutboundError> {
        let after = patience.first_byte;
        let body = timeout(after, whole(body, self.signer.limit))
            .await
            .map_err(|_| OutboundError::Unfinished { after })??;
        // So that what credentials take is waited for before there is a place.
        self.credentials().await?;
        Ok(body)
    }

    /// Sends the request signed, and once more for each source of credentials that
    /// takes over.
    pub(super) async fn exchange(
        &self,
        client: &Client,
        body: Bytes,
        patience: Patience,
    ) -> Result<Looked, OutboundError> {
        let mut credentials = self.credentials().await?;
        loop {
            let signed = self.request.sign(&body, &credentials, now());
            let signed = signed.map_err(|why| {
                self.refusals.unfit(self.destination, why);
                OutboundError::Unsigned
            })?;
            let whole = Sent::whole(body.clone());
            let response = client.send(signed, whole, patience).await?;
            // It is read on here, before it has the place of a response.
            let _used = Exchange::over(response.extensions());
            let (method, between) = (self.request.method(), patience.between_bytes);
            let (response, read, code) = look(method, response, between).await?;
            let Some(code) = code else {
                return Ok((response, read));
            };
            lock(&self.site.succession).turn_down(&credentials, code);
            match self.credentials().await {
                Ok(others) => credentials = others,
                // The guest sees how it was refused.
                Err(_) => return Ok((response, read)),
            }
        }
    }

    /// Finds the credentials to sign with, as the policy says.
    async fn credentials(&self) -> Result<Credentials, OutboundError> {
        let (caller, grant) = (self.signer.caller.as_ref(), self.request.grant());
        let _turn = self.site.turn.lock().await;
        loop {
            let step = lock(&self.site.succession).step(caller, grant);
            match step {
                Step::Sign(credentials) => return Ok(credentials),
                Step::Ask(source, refused) => {
                    let said = self.ask(source.as_ref(), refused.as_ref()).await;
                    lock(&self.site.succession).hear(said);
                }
                Step::Tell(source, lack) => {
                    let is_only = grant.needs_callers();
                    self.refusals
                        .passed(self.destination, source, lack, is_only);
                }
                Step::Nothing => return Err(OutboundError::Unsigned),
            }
        }
    }

    /// Asks a source, and tells why it has no credentials.
    async fn ask(
        &self,
        source: &dyn CredentialsSource,
        refused: Option<&Credentials>,
    ) -> Option<Credentials> {
        let after = self.signer.patience;
        let why = match timeout(after, source.credentials(refused)).await {
            Ok(Ok(credentials)) => return Some(credentials),
            Ok(Err(error)) => {
                let first: &dyn std::error::Error = &error;
                let causes = std::iter::successors(Some(first), |error| error.source());
                let causes: Vec<String> = causes.map(ToString::to_string).collect();
                causes.join(": ")
            }
            Err(_) => format!("there was no answer within {after:?}"),
        };
        self.refusals.no_credentials(source, &why);
        None
    }
}

/// Reads a body to its end.
async fn whole(mut body: Sent, limit: usize) -> Result<Bytes, OutboundError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame
            .map_err(OutboundError::from_cause)?
            .into_data()
            .unwrap_or_default();
        if whole.len() + data.len() > limit {
            return Err(OutboundError::SignedTooMuch { limit });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Looks at a response, and gives the code by which it refuses credentials, if it
/// does.
async fn look(
    method: &Method,
    response: Response<Incoming>,
    patience: Duration,
) -> Result<(Response<Incoming>, VecDeque<Bytes>, Option<&'static str>), OutboundError> {
    let mut read = VecDeque::new();
    let (head, mut body) = response.into_parts();
    if !rejection::is_possible(&head) {
        return Ok((Response::from_parts(head, body), read, None));
    }
    let mut bytes = Vec::new();
    while bytes.len() < rejection::LOOKED_AT && !body.is_end_stream() {
        let frame = timeout(patience, body.frame())
            .await
            .map_err(|_| OutboundError::Stalled { after: patience })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| OutboundError::from_cause(error.into()))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
            read.push_back(data);
        }
    }
    let code = rejection::code(method, &head, &bytes);
    Ok((Response::from_parts(head, body), read, code))
}

/// Signatures are of the real time, whatever the clock of the engine.
fn now() -> SystemTime {
    let now = SystemClock::new().now();
    SystemTime::UNIX_EPOCH + Duration::from_millis(now.as_millis())
}

#[cfg(test)]
mod tests;
