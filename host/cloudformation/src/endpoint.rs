//! Which endpoints are called.

use url::{Host, Url};

/// Says why an endpoint is not called.
///
/// It does not repeat the endpoint, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is no absolute URL.
    #[error(
        "the CloudFormation endpoint is no URL: use one like https://cloudformation.eu-central-1.amazonaws.com"
    )]
    NoUrl {
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// The scheme is not one of HTTP.
    #[error("the CloudFormation endpoint has the scheme `{scheme}`: use https")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The endpoint would be called without encryption.
    #[error(
        "the CloudFormation endpoint at `{host}` is a plain http URL, which only a loopback address may have: use https, or allow plain http in the reporter's settings"
    )]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// The URL has more than scheme, host, port and path.
    #[error("the CloudFormation endpoint has a {part}: leave it out")]
    Superfluous {
        /// What it has.
        part: &'static str,
    },
}

/// Checks an endpoint and gives it back in the form of the URL standard.
///
/// A [`CloudFormationReporter`](crate::CloudFormationReporter) calls no other
/// endpoint; who takes one from a request can refuse it at once.
///
/// # Errors
///
/// When it is no URL of `https`, or of `http` with a loopback address or
/// `allow_plain_http`, or has more than scheme, host, port and path.
pub fn check_endpoint(text: &str, allow_plain_http: bool) -> Result<String, EndpointError> {
    let url = Url::parse(text).map_err(|source| EndpointError::NoUrl { source })?;
    let plain = match url.scheme() {
        "https" => false,
        "http" => true,
        other => {
            return Err(EndpointError::Scheme {
                scheme: other.to_owned(),
            });
        }
    };
    let superfluous = [
        (
            !url.username().is_empty() || url.password().is_some(),
            "user name or password",
        ),
        (url.query().is_some(), "query"),
        (url.fragment().is_some(), "fragment"),
    ];
    if let Some((_, part)) = superfluous.into_iter().find(|(has, _)| *has) {
        return Err(EndpointError::Superfluous { part });
    }
    if plain && !allow_plain_http && !is_loopback(&url) {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(EndpointError::PlainHttp { host });
    }
    Ok(url.into())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_https_url_or_a_plain_one_of_the_loopback_interface() {
        for good in [
            "https://cloudformation.eu-central-1.amazonaws.com",
            "https://example.com:8443/prefix",
            "http://127.0.0.1:4566/",
            "http://[::1]:4566",
            "http://localhost:4566",
        ] {
            assert!(check_endpoint(good, false).is_ok(), "{good}");
        }
        for bad in [
            "",
            "cloudformation",
            "file:///etc/passwd",
            "ftp://example.com",
            "http://example.com",
            "http://169.254.169.254/latest",
            "http://localhost.example.com",
            "https://user:hunter2@example.com",
            "https://example.com/?a=b",
            "https://example.com/#a",
            "https://",
        ] {
            let error = check_endpoint(bad, false).expect_err(bad);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn plain_http_elsewhere_is_allowed_on_demand() {
        assert!(check_endpoint("http://emulator.internal:4566", true).is_ok());
        assert!(check_endpoint("file:///etc/passwd", true).is_err());
    }
}
