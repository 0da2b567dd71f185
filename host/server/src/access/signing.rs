//! Signing a request of this program, so that a server like this one knows who
//! makes it: what [`super::Access`] verifies.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use formwork_host::model::{self, Timestamp};
use http::{HeaderName, HeaderValue, Request};
use tracing::subscriber::NoSubscriber;

/// The region that is signed for: what is asked of a server has none.
const REGION: &str = "us-east-1";

/// Says why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the credentials, or a header, have characters that no header may have")]
pub(crate) struct Unsignable;

/// Signs a request for a service, with all headers that it has, and its body.
///
/// # Errors
///
/// When the signature cannot be put into headers.
pub(crate) fn sign_for(
    service: &str,
    request: &mut Request<()>,
    body: &[u8],
    credentials: &model::Credentials,
    at: Timestamp,
) -> Result<(), Unsignable> {
    let identity = Credentials::from_keys(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis()))
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are given")
        .into();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers,
        SignableBody::Bytes(body),
    );
    let signable = signable.map_err(|_| Unsignable)?;
    // The signer logs what it signs, tokens among it.
    let signed =
        tracing::subscriber::with_default(NoSubscriber::new(), || sign(signable, &parameters));
    let (instructions, _) = signed.map_err(|_| Unsignable)?.into_parts();
    for (name, value) in instructions.headers() {
        let name = HeaderName::try_from(name).map_err(|_| Unsignable)?;
        let value = HeaderValue::from_str(value).map_err(|_| Unsignable)?;
        request.headers_mut().insert(name, value);
    }
    Ok(())
}
