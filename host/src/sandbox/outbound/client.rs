//! The connections of one policy: HTTP/1.1 and HTTP/2, plain or over TLS.
//!
//! *Invariant*: only what the policy has cleared is sent.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use http::{Response, Uri};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tower_service::Service;

use super::body::Sent;
use super::connection::{Followed, Stream};
use super::dial::Dialer;
use super::exchange::Patience;
use super::policy::Cleared;
use super::waiting::Waiting;
use super::{Cause, Granted, OutboundError};

/// How long an unused connection is kept at least. The client looks that often for those
/// to close, so twice as long is the most, and who waits for the place of one waits for
/// a connection a little longer than that.
const IDLE: Duration = Duration::from_secs(2);

/// How many unused connections to one server are kept.
const IDLE_CONNECTIONS: usize = 4;

/// How long a connection may take though nobody waits for it any more.
const ABANDONED: Duration = Duration::from_secs(30);

/// The most that the header fields of a response may be for the parser, in
/// bytes; the limit of the invocation is smaller or the same as a rule.
pub(super) const MOST_FIELD_BYTES: u32 = 256 * 1024;

/// The most fields that the response may have for the parser of HTTP/1.1.
pub(super) const MOST_FIELDS: usize = 100;

/// What a server may send over HTTP/2 before the guest has read it, in bytes: of one
/// response, and over one connection. As much is kept of what it has not taken yet.
const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Sends requests over connections that it keeps.
pub(super) struct Client(legacy::Client<Connector, Sent>);

impl Client {
    pub(super) fn new(granted: &Granted) -> Self {
        let dialer = Dialer::new(granted);
        let tls = tls(&granted.policy.grants().roots);
        let threads = Threads(granted.shared.threads.clone());
        let client = legacy::Client::builder(threads.clone())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(MOST_FIELD_BYTES as usize)
            .http1_max_headers(MOST_FIELDS)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_send_buf_size(WINDOW as usize)
            .http2_max_header_list_size(MOST_FIELD_BYTES)
            .build(Connector {
                inner: HttpsConnector::from((dialer, tls)),
                threads,
            });
        Self(client)
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &self,
        request: Cleared,
        mut body: Sent,
        patience: Patience,
    ) -> Result<Response<Incoming>, OutboundError> {
        let sent = body.sent();
        let mut request = request.with(body);
        let mut followed = Followed::new(&mut request);
        let waiting = Waiting::default();
        let response = self.0.request(request);
        let response = waiting.clone().request(response);
        let mut response = pin!(response.map_err(|error| OutboundError::from_cause(error.into())));
        let after = patience.connect;
        tokio::select! {
            biased;
            response = &mut response => return response,
            connected = timeout(after, followed.connected()) => {
                connected.map_err(|_| match waiting.crowd() {
                    Some(crowd) => OutboundError::Crowded { crowd, after },
                    None => OutboundError::Unconnected { after },
                })?;
            }
        }
        let after = patience.first_byte;
        let answered = async {
            // A server may answer before it has read all.
            tokio::select! {
                biased;
                response = &mut response => return response,
                sent = timeout(after, sent) => {
                    sent.map_err(|_| OutboundError::Unfinished { after })?;
                }
            }
            timeout(after, &mut response)
                .await
                .map_err(|_| OutboundError::Silent { after })?
        };
        let answered = followed.meanwhile(answered).await;
        if answered.is_err() {
            followed.give_up();
        }
        answered
    }
}

/// The threads that move the bytes of connections, whichever guest has asked for one
/// first: it may be one that computes, and others use the connection after it.
#[derive(Clone)]
struct Threads(Handle);

impl<F> Executor<F> for Threads
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Connects, also where it is no longer waited for, in a bounded time.
#[derive(Clone)]
struct Connector {
    inner: HttpsConnector<Dialer>,
    threads: Threads,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Cause>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connecting = self.inner.call(destination);
        let connecting = async move {
            timeout(ABANDONED, connecting)
                .await
                .unwrap_or_else(|_| Err(OutboundError::Unconnected { after: ABANDONED }.into()))
        };
        // Ends with whoever waits for it.
        let mut connections = JoinSet::new();
        connections.spawn_on(connecting, &self.threads.0);
        Box::pin(async move {
            let connected = connections.join_next().await;
            connected.expect("there is one").map_err(Cause::from)?
        })
    }
}

/// Trusts what this machine trusts, and `roots`.
fn tls(roots: &[RootCertificate]) -> ClientConfig {
    let mut trusted = RootCertStore::clone(system_roots());
    let (_, unusable) = trusted.add_parsable_certificates(
        roots
            .iter()
            .map(|root| CertificateDer::from(root.0.as_ref())),
    );
    debug_assert_eq!(unusable, 0, "a root certificate is checked when it is made");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for all versions of TLS")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "cannot read some of the certificates that this machine trusts"
            );
        }
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            tracing::warn!(
                "this machine trusts no certificates: handlers reach servers over `https` by \
                 those that are granted alone"
            );
        }
        roots
    })
}

/// A certificate that servers may be signed by.
#[derive(Clone, PartialEq, Eq)]
pub struct RootCertificate(Arc<[u8]>);

/// Why a text holds no certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RootCertificateError {
    #[error("the text is no PEM")]
    Pem { source: pem::Error },
    #[error("the text holds no certificate: it begins with `-----BEGIN CERTIFICATE-----`")]
    None,
    #[error("certificate {number} of the text cannot sign servers")]
    Unfit {
        number: usize,
        source: rustls::Error,
    },
}

impl RootCertificate {
    /// Reads the certificates of a text in PEM.
    ///
    /// # Errors
    ///
    /// When there is none, or one is damaged.
    pub fn parse(pem: &[u8]) -> Result<Vec<Self>, RootCertificateError> {
        let found = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| RootCertificateError::Pem { source })?;
        if found.is_empty() {
            return Err(RootCertificateError::None);
        }
        let read = (1..).zip(found).map(|(number, certificate)| {
            let root = Self(certificate.as_ref().into());
            RootCertStore::empty()
                .add(certificate)
                .map_err(|source| RootCertificateError::Unfit { number, source })?;
            Ok(root)
        });
        read.collect()
    }
}

impl fmt::Debug for RootCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCertificate({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Limits;
    use crate::sandbox::outbound::connection::UNUSED;

    #[test]
    fn an_unused_connection_is_closed_while_its_place_is_waited_for() {
        assert!(2 * IDLE < Limits::default().http_connect);
        assert!(2 * IDLE < UNUSED);
    }
}
