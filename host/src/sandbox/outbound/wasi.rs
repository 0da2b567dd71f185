//! Outgoing HTTP as WASI has it: its requests and errors, and ours.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, IoError};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::exchange::{Outgoing, Patience};
use super::{Failure, OutboundError, kept, policy};
use crate::sandbox::wasi::State;

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        let is_forbidden = policy::is_forbidden(name);
        if is_forbidden {
            self.tell_of_forbidden(name);
        }
        is_forbidden
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(policy::is_forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        // The client does, from what the request was compared by.
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        kept::BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Answer {
        let patience = shorter(self.patience(), options.unwrap_or_default());
        let request =
            request.map(|body: WasiBody| body.map_err(|error| Box::new(error) as _).boxed_unsync());
        let response = self.send(request, patience);
        Box::new(async move {
            let response = response.await.map_err(|error| for_guest(&error))?;
            let response =
                response.map(|body| body.map_err(|error| for_guest(&error)).boxed_unsync());
            let transmission: Transmission = Box::new(async { Ok(()) });
            Ok((response, transmission))
        })
    }
}

/// Links what is done here in another way than by the library.
pub(in crate::sandbox) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    kept::add_to_linker(&mut types)?;
    add_error_codes(&mut types)
}

/// Links the function that gives the code of an error that a stream ended with,
/// in place of the library's: that one looks for another type than its streams
/// of responses keep, and finds nothing.
fn add_error_codes(types: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    types.func_wrap(
        "http-error-code",
        |store: StoreContextMut<'_, State>, (error,): (Resource<IoError>,)| {
            let error = store.data().error(&error)?;
            let kept = error.downcast_ref().and_then(code);
            Ok((kept.or_else(|| error.downcast_ref::<ErrorCode>().cloned()),))
        },
    )
}

/// Gives the code of what a response can break off with.
fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::ConnectionReadTimeout => Some(ErrorCode::ConnectionReadTimeout),
        Error::ConnectionTerminated => Some(ErrorCode::ConnectionTerminated),
        Error::HttpProtocolError => Some(ErrorCode::HttpProtocolError),
        Error::HttpResponseBodySize(limit) => Some(ErrorCode::HttpResponseBodySize(*limit)),
        _ => None,
    }
}

/// Lets a guest wait for less than it may.
fn shorter(most: Patience, options: RequestOptions) -> Patience {
    let least =
        |asked: Option<Duration>, most: Duration| asked.map_or(most, |asked| asked.min(most));
    Patience {
        connect: least(options.connect_timeout, most.connect),
        first_byte: least(options.first_byte_timeout, most.first_byte),
        between_bytes: least(options.between_bytes_timeout, most.between_bytes),
    }
}

/// Says to the guest what it can act upon.
fn for_guest(error: &OutboundError) -> Error {
    let size = |limit: &usize| Some(*limit as u64);
    match error {
        OutboundError::Destination => Error::HttpRequestUriInvalid,
        OutboundError::Denied | OutboundError::Unsigned => Error::HttpRequestDenied,
        OutboundError::TooMany { .. } | OutboundError::Crowded { .. } => {
            Error::ConnectionLimitReached
        }
        OutboundError::Unconnected { .. } => Error::ConnectionTimeout,
        OutboundError::Silent { .. } | OutboundError::Stalled { .. } => {
            Error::ConnectionReadTimeout
        }
        OutboundError::Unfinished { .. } => Error::ConnectionWriteTimeout,
        OutboundError::SentTooMuch { limit } | OutboundError::SignedTooMuch { limit } => {
            Error::HttpRequestBodySize(size(limit))
        }
        OutboundError::ReceivedTooMuch { limit } => Error::HttpResponseBodySize(size(limit)),
        OutboundError::FieldsTooLarge { bytes, .. } => {
            Error::HttpResponseHeaderSectionSize(u32::try_from(*bytes).ok())
        }
        OutboundError::Failed { failure, .. } => match failure {
            Failure::Lookup => Error::DnsError {
                rcode: None,
                info_code: None,
            },
            Failure::Nowhere => Error::DestinationNotFound,
            Failure::Prohibited { .. } => Error::DestinationIpProhibited,
            Failure::Refused => Error::ConnectionRefused,
            Failure::Unreachable => Error::DestinationUnavailable,
            Failure::Unconnected => Error::ConnectionTimeout,
            Failure::Untrusted { .. } => Error::TlsCertificateError,
            Failure::Tls => Error::TlsProtocolError,
            Failure::Ended => Error::ConnectionTerminated,
            Failure::Protocol => Error::HttpProtocolError,
            Failure::LongHead => Error::HttpResponseHeaderSectionSize(None),
            Failure::GivenUp => Error::InternalError(Some(failure.to_string())),
            Failure::SentTooMuch { limit } => Error::HttpRequestBodySize(size(limit)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HttpGrants, OnBehalf};
    use super::*;
    use crate::sandbox::Limits;

    #[tokio::test]
    async fn a_refusal_is_an_error_of_its_own() {
        let request = Request::get("https://api.example.com/v1")
            .body(WasiBody::default())
            .expect("a request");
        let (grants, limits) = (HttpGrants::default(), Limits::default());
        let mut outgoing = Outgoing::new(None, &grants, &limits, None, OnBehalf::default());
        let answer = outgoing.send_request(request, None, Box::new(async { Ok(()) }));
        let refusal = Box::into_pin(answer).await.map(drop);
        assert!(matches!(refusal, Err(Error::HttpRequestDenied)));
    }

    #[test]
    fn a_guest_can_wait_for_less_and_not_for_more() {
        let second = Duration::from_secs(1);
        let most = Patience {
            connect: second,
            first_byte: second,
            between_bytes: second,
        };
        let options = RequestOptions {
            connect_timeout: Some(second / 2),
            first_byte_timeout: Some(second * 2),
            between_bytes_timeout: None,
        };
        let patience = shorter(most, options);
        assert_eq!(
            (
                patience.connect,
                patience.first_byte,
                patience.between_bytes
            ),
            (second / 2, second, second)
        );
    }
}
