//! The gate before the doors: finds out who calls, or refuses in the shape of the
//! surface that was called.
//!
//! | denied | Cloud Control, operators | Query protocol | Lambda |
//! | --- | --- | --- | --- |
//! | not signed | `MissingAuthenticationTokenException` | `MissingAuthenticationToken` | as Cloud Control |
//! | a signature that cannot be read | `IncompleteSignatureException` | `IncompleteSignature` | |
//! | a key that nobody has | `UnrecognizedClientException` | `InvalidClientTokenId` | |
//! | a session that is over | `ExpiredTokenException` | `ExpiredToken` | |
//! | signed otherwise, or at another time | `InvalidSignatureException` | `SignatureDoesNotMatch` | |
//! | status | 400 | 403, unreadable 400 | 403 |
//!
//! *Invariant*: whoever has no key makes the server keep no body, and whoever has
//! the id of one alone none that is larger than its surface takes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::trace::RequestId;
use super::{House, body, cloud_control, hefty, lambda_invoke, operations, query};
use crate::access::{Denial, Identity};

/// A protocol that callers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    Json,
    Operators,
    Query,
    Lambda,
}

/// Lets the request through with the [`Identity`] of its caller.
pub(super) async fn identified(
    State(house): State<Arc<House>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_probe = matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    if is_probe || house.access.is_open() {
        request.extensions_mut().insert(Identity::anybody());
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let surface = Surface::of(&head);
    let id = head.extensions.get::<RequestId>().copied();
    match identify(&house, surface, &head, body).await {
        Ok((identity, body)) => {
            tracing::debug!(key_id = identity.key_id(), "a caller is known");
            let mut request = Request::from_parts(head, Body::from(body));
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(Refused::Denied(denial)) => {
            tracing::warn!(%denial, "a request was denied");
            surface.deny(&denial, id)
        }
        Err(Refused::Body(error)) => match surface {
            Surface::Json | Surface::Operators => cloud_control::unread(error),
            Surface::Query => query::unread(error, id),
            Surface::Lambda => lambda_invoke::Refusal::from(error).into_response(),
        },
    }
}

enum Refused {
    Denied(Denial),
    Body(body::BodyError),
}

async fn identify(
    house: &House,
    surface: Surface,
    head: &Parts,
    body: Body,
) -> Result<(Identity, Vec<u8>), Refused> {
    let mut request = Request::new(body);
    *request.headers_mut() = head.headers.clone();
    let claim = match house
        .access
        .claim(head, surface.services(), house.clock.now())
    {
        Ok(claim) => claim,
        Err(denial) => {
            // The answer is the same whatever the body is; none of it is kept.
            let _unwanted = body::read(request, 0, &house.clock).await;
            return Err(Refused::Denied(denial));
        }
    };
    let body = body::read(request, surface.largest(), &house.clock)
        .await
        .map_err(Refused::Body)?;
    let identify = async { claim.identify(head, &body) };
    let identity = hefty::run(body.len(), identify).await;
    Ok((identity.map_err(Refused::Denied)?, body))
}

impl Surface {
    fn of(head: &Parts) -> Self {
        if head.uri.path().starts_with(lambda_invoke::PATH) {
            Self::Lambda
        } else if head.uri.path() == "/" && operations::is_meant(&head.headers) {
            Self::Operators
        } else if head.headers.contains_key(cloud_control::TARGET) {
            Self::Json
        } else if head.uri.path() == "/" {
            Self::Query
        } else {
            Self::Lambda
        }
    }

    /// Gives the services that requests are signed for.
    const fn services(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["cloudcontrolapi"],
            Self::Operators => &["formwork"],
            Self::Query => &["cloudformation", "sts"],
            Self::Lambda => &["lambda"],
        }
    }

    /// Gives the largest body, in bytes.
    const fn largest(self) -> usize {
        match self {
            Self::Json => cloud_control::BODY,
            Self::Operators => operations::BODY,
            Self::Query => query::FORM,
            Self::Lambda => lambda_invoke::PAYLOAD,
        }
    }

    fn deny(self, denial: &Denial, id: Option<RequestId>) -> Response {
        let name = match (denial, self) {
            (Denial::Unsigned, Self::Json | Self::Operators | Self::Lambda) => {
                "MissingAuthenticationTokenException"
            }
            (Denial::Unsigned, Self::Query) => "MissingAuthenticationToken",
            (Denial::Malformed(_), Self::Json | Self::Operators | Self::Lambda) => {
                "IncompleteSignatureException"
            }
            (Denial::Malformed(_), Self::Query) => "IncompleteSignature",
            (
                Denial::UnknownKey | Denial::SessionToken,
                Self::Json | Self::Operators | Self::Lambda,
            ) => "UnrecognizedClientException",
            (Denial::UnknownKey | Denial::SessionToken, Self::Query) => "InvalidClientTokenId",
            (Denial::SessionOver, Self::Json | Self::Operators | Self::Lambda) => {
                "ExpiredTokenException"
            }
            (Denial::SessionOver, Self::Query) => "ExpiredToken",
            (
                Denial::Skewed { .. }
                | Denial::Expired { .. }
                | Denial::Mismatch
                | Denial::Scope { .. },
                Self::Json | Self::Operators | Self::Lambda,
            ) => "InvalidSignatureException",
            (
                Denial::Skewed { .. }
                | Denial::Expired { .. }
                | Denial::Mismatch
                | Denial::Scope { .. },
                Self::Query,
            ) => "SignatureDoesNotMatch",
        };
        let status = match (denial, self) {
            (_, Self::Json | Self::Operators) | (Denial::Malformed(_), Self::Query) => {
                StatusCode::BAD_REQUEST
            }
            (_, Self::Query | Self::Lambda) => StatusCode::FORBIDDEN,
        };
        let message = denial.to_string();
        let (content_type, body) = match self {
            Self::Query => return query::denied(status, name, message, id),
            Self::Json | Self::Operators => (
                cloud_control::JSON,
                json!({"__type": format!("com.amazon.coral.service#{name}"), "message": message}),
            ),
            Self::Lambda => (
                "application/json",
                json!({"Type": "User", "Message": message}),
            ),
        };
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surface_is_that_of_the_door_which_the_request_reaches() {
        let target = "CloudApiService.GetResource";
        for (path, target, surface) in [
            ("/", None, Surface::Query),
            ("/", Some(target), Surface::Json),
            ("/foo", Some(target), Surface::Json),
            ("/", Some("Formwork.ListOperations"), Surface::Operators),
            ("/foo", Some("Formwork.ListOperations"), Surface::Json),
            ("/foo", None, Surface::Lambda),
            ("/2015-03-31/functions/a/invocations", None, Surface::Lambda),
            (
                "/2015-03-31/functions/a/invocations",
                Some(target),
                Surface::Lambda,
            ),
        ] {
            let mut request = Request::post(path);
            if let Some(target) = target {
                request = request.header(cloud_control::TARGET, target);
            }
            let (head, _) = request.body(Body::empty()).expect("a request").into_parts();
            assert_eq!(Surface::of(&head), surface, "{path} {target:?}");
        }
    }
}
