//! Signs the requests of one invocation, and sees whether they are taken.
//!
//! *Invariant*: what one server says of credentials changes what requests to that
//! server are signed with, and no others.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::refusal;
use super::sign::{self, Purpose, Unsignable};
use super::{CredentialsSource, OnBehalf, SigningGrant, SigningSource};
use crate::clock::{Clock, SystemClock};
use crate::model::Credentials;
use crate::sandbox::Limits;
use crate::sandbox::outbound::body::Sent;
use crate::sandbox::outbound::exchange::{Patience, exchange};
use crate::sandbox::outbound::pattern::Target;
use crate::sandbox::outbound::refusal::Refusals;
use crate::sandbox::outbound::{Granted, OutboundError};

/// Signs the requests of one invocation. Clones share what they know.
#[derive(Clone)]
pub(in crate::sandbox::outbound) struct Signer(Arc<Inner>);

struct Inner {
    behalf: OnBehalf,
    /// The largest body that is signed, in bytes.
    limit: usize,
    /// How long a source of credentials has to answer, whatever a guest waits for.
    patience: Duration,
    /// What is in use where.
    uses: SyncMutex<BTreeMap<Place, Arc<Mutex<Use>>>>,
    /// What is lacking where.
    lacks: SyncMutex<BTreeMap<Place, Lack>>,
}

/// What credentials are used for: the number of a grant, and a server.
type Place = (usize, String);

/// The credentials that requests of one grant to one server are signed with.
#[derive(Default)]
struct Use {
    /// Which source they are of; behind the last one there are no more.
    source: usize,
    credentials: Option<Credentials>,
    /// Whether the source was asked for others than it gave first.
    renewed: bool,
    /// Whether a request that was signed with them had success.
    proven: bool,
}

/// Why requests could not be signed with credentials that are accepted, for the
/// caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    NoCallers,
    CallersRefused { code: &'static str },
    Operators,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCallers => f.write_str("the request brings no credentials to sign with"),
            Self::CallersRefused { code } => {
                write!(f, "the credentials of the request are refused ({code})")
            }
            Self::Operators => f.write_str(
                "the credentials that the server signs with are not to be had, or refused",
            ),
        }
    }
}

/// A request that can be signed: all of it is there.
pub(in crate::sandbox::outbound) struct Prepared {
    head: Parts,
    body: Bytes,
}

/// A response, and the part of its body that was looked at.
pub(in crate::sandbox::outbound) type Looked = (Response<Incoming>, VecDeque<Bytes>);

impl Signer {
    /// Begins an invocation.
    pub(in crate::sandbox::outbound) fn new(behalf: OnBehalf, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            behalf,
            limit: limits.http_signed_bytes,
            patience: limits.http_connect + limits.http_first_byte,
            uses: SyncMutex::default(),
            lacks: SyncMutex::default(),
        }))
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(in crate::sandbox::outbound) fn lack(&self) -> Option<String> {
        let lacks = self.0.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        lacks.values().next().map(ToString::to_string)
    }

    /// Reads a request to its end, if it can be signed by the grant with this number
    /// and there are credentials to do so.
    pub(in crate::sandbox::outbound) async fn prepare(
        &self,
        granted: &Granted,
        number: usize,
        target: &Target,
        request: Request<Sent>,
        patience: Patience,
        refusals: &Refusals,
    ) -> Result<Prepared, OutboundError> {
        let grant = &granted.grants.signatures[number];
        let (head, body) = request.into_parts();
        sign::check(&head, &grant.requests).map_err(|Unsignable(why)| {
            refusals.unsigned(target, why);
            OutboundError::Unsigned
        })?;
        let after = patience.first_byte;
        let body = timeout(after, self.whole(body))
            .await
            .map_err(|_| OutboundError::Unfinished { after })??;
        // So that what credentials take is waited for before there is a place.
        let place = (number, target.server());
        let teller = Teller { refusals, target };
        self.0
            .first(&place, grant, teller)
            .await
            .ok_or(OutboundError::Unsigned)?;
        Ok(Prepared { head, body })
    }

    /// Sends a request that the grant with this number stands for, signed, and once
    /// more for each source of credentials that takes over.
    pub(in crate::sandbox::outbound) async fn exchange(
        &self,
        granted: &Granted,
        number: usize,
        target: &Target,
        Prepared { head, body }: Prepared,
        patience: Patience,
        refusals: &Refusals,
    ) -> Result<Looked, OutboundError> {
        let grant = &granted.grants.signatures[number];
        let place = (number, target.server());
        let unsignable = |Unsignable(why)| {
            refusals.unsigned(target, why);
            OutboundError::Unsigned
        };
        let method = head.method.clone();
        let Some(region) = grant.region.as_ref().or(self.0.behalf.region.as_ref()) else {
            return Err(unsignable(Unsignable(
                "there is no region to sign it for: name one in its grant, `in REGION`, or in what is asked",
            )));
        };
        let purpose = Purpose {
            service: &grant.service,
            region: region.as_str(),
        };
        let teller = Teller { refusals, target };
        let mut credentials = self.0.first(&place, grant, teller).await;
        loop {
            let Some(used) = credentials else {
                return Err(OutboundError::Unsigned);
            };
            let mut head = head.clone();
            sign::sign(&mut head, &body, purpose, &used, now()).map_err(unsignable)?;
            let request = Request::from_parts(head, Sent::whole(body.clone()));
            let response = exchange(granted, request, patience).await?;
            let (response, read, code) = look(&method, response, patience.between_bytes).await?;
            let Some(code) = code else {
                if response.status().is_success() {
                    self.0.prove(&place, &used).await;
                }
                return Ok((response, read));
            };
            credentials = self.0.next(&place, grant, &used, code, teller).await;
            if credentials.is_none() {
                return Ok((response, read));
            }
        }
    }

    /// Reads a body to its end.
    async fn whole(&self, mut body: Sent) -> Result<Bytes, OutboundError> {
        let limit = self.0.limit;
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
}

/// Tells the operator about one request.
#[derive(Clone, Copy)]
struct Teller<'a> {
    refusals: &'a Refusals,
    target: &'a Target,
}

impl Inner {
    fn at(&self, place: &Place) -> Arc<Mutex<Use>> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(uses.entry(place.clone()).or_default())
    }

    /// Notes that a request had success which was signed with `used`.
    async fn prove(&self, place: &Place, used: &Credentials) {
        let at = self.at(place);
        let mut now = at.lock().await;
        now.proven |= now.credentials.as_ref() == Some(used);
    }

    /// Gives the credentials to sign with at first, if there are any.
    async fn first(
        &self,
        place: &Place,
        grant: &SigningGrant,
        teller: Teller<'_>,
    ) -> Option<Credentials> {
        let at = self.at(place);
        let mut now = at.lock().await;
        self.find(&mut now, place, grant, teller).await
    }

    /// Gives other credentials than `used`, which were refused, if there are any.
    async fn next(
        &self,
        place: &Place,
        grant: &SigningGrant,
        used: &Credentials,
        code: &'static str,
        teller: Teller<'_>,
    ) -> Option<Credentials> {
        let at = self.at(place);
        let mut now = at.lock().await;
        // What was good is good still: the guest has made its request so.
        if now.proven
            && now.credentials.as_ref() == Some(used)
            && refusal::can_be_of_the_request(code)
        {
            return None;
        }
        // Another request of the invocation may have found that out already.
        if now.credentials.as_ref() == Some(used) {
            (now.credentials, now.proven) = (None, false);
            match grant.sources.get(now.source) {
                Some(SigningSource::Caller) => {
                    teller.refused("the caller's credentials", code);
                    self.lacks(place, Lack::CallersRefused { code });
                    now.source += 1;
                }
                Some(SigningSource::Operator(source)) if !now.renewed => {
                    now.renewed = true;
                    now.credentials = ask(source.as_ref(), Some(used), self.patience, teller)
                        .await
                        .filter(|others| others != used);
                }
                Some(SigningSource::Operator(_)) | None => {}
            }
            if now.credentials.is_none()
                && let Some(SigningSource::Operator(source)) = grant.sources.get(now.source)
                && now.renewed
            {
                teller.refused(source, code);
                self.lacks(place, Lack::Operators);
                (now.source, now.renewed) = (now.source + 1, false);
            }
        }
        self.find(&mut now, place, grant, teller).await
    }

    /// Gives the credentials that are in use, or else those of the next source
    /// that has some.
    async fn find(
        &self,
        now: &mut Use,
        place: &Place,
        grant: &SigningGrant,
        teller: Teller<'_>,
    ) -> Option<Credentials> {
        while now.credentials.is_none() {
            let source = grant.sources.get(now.source)?;
            now.credentials = match source {
                SigningSource::Caller => self.behalf.caller.clone(),
                SigningSource::Operator(source) => {
                    ask(source.as_ref(), None, self.patience, teller).await
                }
            };
            if now.credentials.is_none() {
                match source {
                    SigningSource::Caller => {
                        self.lacks(place, Lack::NoCallers);
                        if grant.needs_callers() {
                            teller.no_callers();
                        }
                    }
                    SigningSource::Operator(_) => self.lacks(place, Lack::Operators),
                }
                now.source += 1;
            }
        }
        // Whoever takes over makes good what was lacking.
        let mut lacks = self.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        lacks.remove(place);
        now.credentials.clone()
    }

    /// Notes what is lacking; that of the caller is what the caller can change.
    fn lacks(&self, place: &Place, lack: Lack) {
        let mut lacks = self.lacks.lock().unwrap_or_else(PoisonError::into_inner);
        if lack != Lack::Operators || !lacks.contains_key(place) {
            lacks.insert(place.clone(), lack);
        }
    }
}

impl Teller<'_> {
    fn refused(self, whose: impl fmt::Display, code: &str) {
        self.refusals.tell(format!(
            "the request {} was answered with {code}: {whose} cannot be signed with any more",
            self.target
        ));
    }

    fn no_callers(self) {
        self.refusals.tell(format!(
            "the request {} is refused, since the caller has sent no credentials to sign it \
             with: name others in its grant, such as `with caller or profile NAME`",
            self.target
        ));
    }
}

/// Asks a source for credentials, for so long.
async fn ask(
    source: &dyn CredentialsSource,
    refused: Option<&Credentials>,
    after: Duration,
    teller: Teller<'_>,
) -> Option<Credentials> {
    match timeout(after, source.credentials(refused)).await {
        Ok(Ok(credentials)) => Some(credentials),
        Ok(Err(error)) => {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            });
            let causes: Vec<String> = causes.map(ToString::to_string).collect();
            teller.refusals.tell(format!(
                "{source} cannot be signed with: {}",
                causes.join(": ")
            ));
            None
        }
        Err(_) => {
            teller.refusals.tell(format!(
                "{source} cannot be signed with: there was no answer within {after:?}"
            ));
            None
        }
    }
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
    if !refusal::is_possible(&head) {
        return Ok((Response::from_parts(head, body), read, None));
    }
    let mut bytes = Vec::new();
    while bytes.len() < refusal::LOOKED_AT && !body.is_end_stream() {
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
    let code = refusal::code(method, &head, &bytes);
    Ok((Response::from_parts(head, body), read, code))
}

/// Signatures are of the real time, whatever the clock of the engine.
fn now() -> SystemTime {
    let now = SystemClock::new().now();
    SystemTime::UNIX_EPOCH + Duration::from_millis(now.as_millis())
}
