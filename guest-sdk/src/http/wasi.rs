//! The way of a request through `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode as Code, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

use super::{Error, Origin, Request, Response};

/// How much is written at a time; WASI allows no more.
const WRITTEN: usize = 4096;

/// How much is read at a time.
const READ: u64 = 64 * 1024;

pub(super) fn send(request: Request) -> Result<Response, Error> {
    let origin = request.origin();
    let options = options(&request);
    let outgoing = outgoing(&request, &origin)?;
    let body = outgoing.body().expect("the body is taken once");
    let answer =
        outgoing_handler::handle(outgoing, options).map_err(|code| error(&origin, code))?;
    write(body, &request.body);
    answer.subscribe().block();
    let response = answer
        .get()
        .expect("there is an answer when the wait for it ends")
        .expect("the answer is taken once")
        .map_err(|code| error(&origin, code))?;
    let status = response.status();
    let fields = response.headers().entries();
    let body = read(&response, &origin)?;
    Ok(Response {
        origin,
        status,
        fields,
        body,
    })
}

fn options(request: &Request) -> Option<RequestOptions> {
    let longest = request.timeout?;
    let longest = Some(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    for set in [
        RequestOptions::set_connect_timeout,
        RequestOptions::set_first_byte_timeout,
        RequestOptions::set_between_bytes_timeout,
    ] {
        // A host that does not know one has its own.
        set(&options, longest).ok();
    }
    Some(options)
}

fn outgoing(request: &Request, origin: &Origin) -> Result<OutgoingRequest, Error> {
    let fields = Fields::new();
    for (name, value) in &request.fields {
        fields
            .append(name, value)
            .map_err(|_| Error::Field { name: name.clone() })?;
    }
    if !request.body.is_empty() && !fields.has("content-length") {
        fields
            .append("content-length", request.body.len().to_string().as_bytes())
            .expect("it is a field of requests");
    }
    let url = || Error::Url {
        origin: origin.clone(),
    };
    let (scheme, rest) = request.url.split_once("://").ok_or_else(url)?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(url()),
    };
    let outgoing = OutgoingRequest::new(fields);
    let path = if path.is_empty() { "/" } else { path };
    outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(path)))
        .map_err(|()| url())?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Writes the body. A server may stop reading early; its answer says why.
fn write(body: OutgoingBody, bytes: &[u8]) {
    let stream = body.write().expect("the stream is taken once");
    let written = bytes
        .chunks(WRITTEN)
        .try_for_each(|chunk| stream.blocking_write_and_flush(chunk));
    drop(stream);
    if written.is_ok() {
        // An error here is the answer's too.
        OutgoingBody::finish(body, None).ok();
    }
}

fn read(response: &IncomingResponse, origin: &Origin) -> Result<Vec<u8>, Error> {
    let body: IncomingBody = response.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(failure)) => {
                return Err(match http_error_code(&failure) {
                    Some(code) => error(origin, code),
                    None => Error::Broken {
                        origin: origin.clone(),
                        why: failure.to_debug_string(),
                    },
                });
            }
        }
    }
}

/// Sorts the codes by what a handler can do about them.
fn error(origin: &Origin, code: Code) -> Error {
    let origin = origin.clone();
    let why = match code {
        Code::HttpRequestDenied | Code::DestinationIpProhibited => return Error::Denied { origin },
        Code::HttpRequestUriInvalid | Code::HttpRequestMethodInvalid => {
            return Error::Url { origin };
        }
        Code::ConnectionLimitReached => {
            return Error::OverLimit {
                origin,
                what: "the invocation has made all the requests that it may",
            };
        }
        Code::HttpRequestBodySize(_) => {
            return Error::OverLimit {
                origin,
                what: "the invocation has sent all that it may",
            };
        }
        Code::HttpResponseBodySize(_) | Code::HttpResponseHeaderSectionSize(_) => {
            return Error::OverLimit {
                origin,
                what: "the response is more than the invocation may receive",
            };
        }
        Code::ConnectionReadTimeout | Code::ConnectionWriteTimeout | Code::HttpResponseTimeout => {
            return Error::TimedOut { origin };
        }
        Code::DnsTimeout | Code::DnsError(_) => "its name cannot be looked up",
        Code::DestinationNotFound => "its name has no address",
        Code::DestinationUnavailable | Code::DestinationIpUnroutable => "there is no way there",
        Code::ConnectionRefused => "it refuses connections",
        Code::ConnectionTimeout => "it does not answer",
        Code::TlsCertificateError => "its certificate is not trusted",
        Code::TlsProtocolError | Code::TlsAlertReceived(_) => "it does not agree on TLS",
        other => {
            let why = other.to_string();
            return Error::Broken { origin, why };
        }
    };
    let why = why.to_owned();
    Error::Unreachable { origin, why }
}
