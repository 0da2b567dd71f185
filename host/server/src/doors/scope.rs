//! Where a caller's resources live: account and region.

use formwork_host::model::{Region, Scope};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Settings;
use crate::access::Identity;

/// Gives the scope of a request: the region that it is signed for, else that of
/// the server; the account of its caller, else that of the server.
pub(super) fn of(identity: &Identity, headers: &HeaderMap, settings: &Settings) -> Scope {
    let account = identity.account().unwrap_or(&settings.account);
    let region = identity.region().cloned().or_else(|| signed_for(headers));
    Scope {
        account: Some(account.clone()),
        region: Some(region.unwrap_or_else(|| settings.region.clone())),
    }
}

/// Reads the region from the credential scope of an `Authorization` header of
/// Signature Version 4, `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn signed_for(headers: &HeaderMap) -> Option<Region> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let parameters = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = parameters
        .split(',')
        .find_map(|parameter| parameter.trim().strip_prefix("Credential="))?;
    // A key may hold slashes, so the scope is read from its end.
    let mut scope = credential.rsplit('/');
    if scope.next()? != "aws4_request" {
        return None;
    }
    scope.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_region_is_the_one_that_a_request_is_signed_for() {
        for (header, region) in [
            (
                "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-west-1/cloudcontrolapi/aws4_request, SignedHeaders=host, Signature=0",
                "eu-west-1",
            ),
            (
                "AWS4-HMAC-SHA256 SignedHeaders=host,Credential=A/K/20261122/eu-west-1/sts/aws4_request,Signature=0",
                "eu-west-1",
            ),
            (
                "AWS4-HMAC-SHA256 Credential=AKID/20261122/EU/sts/aws4_request",
                "us-east-1",
            ),
            ("AWS4-HMAC-SHA256 Credential=AKID", "us-east-1"),
            ("AWS4-HMAC-SHA256", "us-east-1"),
            ("Basic eDp5", "us-east-1"),
            ("", "us-east-1"),
        ] {
            let value = HeaderValue::from_static(header);
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let scope = of(&Identity::anybody(), &headers, &Settings::default());
            let found = scope.region.map(|region| region.to_string());
            assert_eq!(found.as_deref(), Some(region), "{header}");
        }
    }
}
