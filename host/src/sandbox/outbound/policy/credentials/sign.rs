//! The signature of one request: what is signed, and for whom.
//!
//! *Invariant*: service and region are the grant's, or the region that the invocation
//! is for; a guest chooses neither.
//!
//! *Invariant*: what is signed is what is sent, and replaces what a guest says of a
//! signature, or is refused. What a service reads beside the path is within the grant, or
//! refused. A path to S3 is sent as S3 spells it, and below a prefix is there in both
//! spellings. (The signer leaves `User-Agent` and the header of X-Ray out, which proxies
//! change, and spells the paths of other services as they do.)

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as signature,
};
use aws_sigv4::sign::v4;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};
use tracing::subscriber::NoSubscriber;
use url::form_urlencoded;

use super::{SigningGrant, Site, Unfit};
use crate::model::{Credentials, Region};
use crate::sandbox::outbound::policy::pattern::{HttpPattern, path};
use crate::sandbox::outbound::policy::{Cleared, fields};

/// What a signature is made of; a guest may have put its own there, as an SDK does
/// that has been given any credentials.
const REPLACED: [&str; 5] = [
    "authorization",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-region-set",
    "x-amz-security-token",
];

/// The services that take a path as it is sent; all others encode it once more.
const S3: [&str; 4] = ["s3", "s3-object-lambda", "s3-outposts", "s3express"];

/// A request that may be sent once it is signed.
pub(in crate::sandbox::outbound) struct Signable {
    head: Parts,
    grant: SigningGrant,
    site: Site,
    region: Region,
}

/// What is signed for.
#[derive(Clone, Copy, Debug)]
struct Purpose<'a> {
    service: &'a str,
    region: &'a str,
}

impl Signable {
    /// Has a request that `grant` stands for signed in its region, or else in `region`.
    pub(super) fn new(
        head: Parts,
        grant: &SigningGrant,
        site: Site,
        region: Option<&Region>,
    ) -> Result<Self, Unfit> {
        check(&head, grant.requests())?;
        let region = grant.region.as_ref().or(region).ok_or(Unfit::Unsignable(
            "there is no region to sign it for: name one in its grant, `in REGION`, or in what is \
             asked",
        ))?;
        Ok(Self {
            head,
            grant: grant.clone(),
            site,
            region: region.clone(),
        })
    }

    /// Signs it, with the body that it is sent with.
    pub(in crate::sandbox::outbound) fn sign(
        &self,
        body: &[u8],
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<Cleared, Unfit> {
        let purpose = Purpose {
            service: &self.grant.service,
            region: self.region.as_str(),
        };
        let mut head = self.head.clone();
        sign(&mut head, body, purpose, credentials, now)?;
        Ok(Cleared(Box::new(head)))
    }

    pub(in crate::sandbox::outbound) const fn method(&self) -> &Method {
        &self.head.method
    }

    pub(in crate::sandbox::outbound) const fn grant(&self) -> &SigningGrant {
        &self.grant
    }

    /// Gives where its credentials are used.
    pub(in crate::sandbox::outbound) const fn site(&self) -> &Site {
        &self.site
    }
}

/// Says why a request that `granted` stands for cannot be signed, if it cannot.
fn check(head: &Parts, granted: &HttpPattern) -> Result<(), Unfit> {
    const COPIED: &str = "x-amz-copy-source";
    // What S3 reads beside the host has to be what the grant is for.
    if let Some(bucket) = granted.bucket() {
        let is_of_it = |source: &HeaderValue| {
            let source = path::decode(source.as_bytes());
            let source = source.strip_prefix(b"/").unwrap_or(&source);
            let key = source.strip_prefix(bucket.as_bytes());
            key.is_some_and(|key| key.starts_with(b"/"))
        };
        if !fields::values(&head.headers, COPIED).all(is_of_it) {
            return Err(Unfit::Elsewhere(COPIED));
        }
    }
    let query = head.uri.query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_of_a_signature(&name)) {
        return Err(Unfit::Unsignable(
            "its query holds what signatures are made of, or fields of Amazon's: have the handler \
             leave that out, since the host signs by fields",
        ));
    }
    let mut hashes = fields::values(&head.headers, "x-amz-content-sha256");
    if hashes.any(|hash| hash.as_bytes().starts_with(b"STREAMING-")) {
        return Err(Unfit::Unsignable(
            "its body is signed chunk by chunk; have the handler send it as it is, without \
             `aws-chunked`",
        ));
    }
    Ok(())
}

/// Tells whether services may take a part of a query for one of a signature, or for a
/// field that stands there as in a URL that was signed before.
fn is_of_a_signature(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-amz-") || name == "awsaccesskeyid"
}

/// Signs a request as it will be sent.
fn sign(
    head: &mut Parts,
    body: &[u8],
    purpose: Purpose<'_>,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<(), Unfit> {
    for name in REPLACED {
        fields::remove(&mut head.headers, name);
    }
    // The length is the body's own. The client leaves it out where there is no body,
    // and S3 wants it also there.
    head.headers.remove(CONTENT_LENGTH);
    if !body.is_empty() || matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut settings = SigningSettings::default();
    if S3.contains(&purpose.service) {
        head.uri = encoded(&head.uri)?;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let identity = aws_credential_types::Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
        None,
        "formwork",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(purpose.region)
        .name(purpose.service)
        .time(now)
        .settings(settings)
        .build()
        .expect("all parameters are given")
        .into();
    let uri = head.uri.to_string();
    let sent: Vec<(&str, &str)> = head
        .headers
        .iter()
        .map(|(name, value)| Ok((name.as_str(), value.to_str()?)))
        .collect::<Result<_, http::header::ToStrError>>()
        .map_err(|_| Unfit::Unsignable("its header fields are not all ASCII"))?;
    let request = SignableRequest::new(
        head.method.as_str(),
        uri.as_str(),
        sent.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(|_| Unfit::Unsignable("it has no URL that can be"))?;
    // The signer tells the log what it signs.
    let signed =
        tracing::subscriber::with_default(NoSubscriber::new(), || signature(request, &parameters))
            .map_err(|_| {
                Unfit::Unsignable("its URL or its header fields are not as they should be")
            })?;
    let (signed, _signature) = signed.into_parts();
    for (name, value) in signed.headers() {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| Unfit::Unsignable("the credentials are no text of one line"))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Unfit::Unsignable("the signer gives no header field"))?;
        head.headers.insert(name, value);
    }
    Ok(())
}

/// Writes a path as S3 does before it compares the signature, all but letters,
/// digits and `-._~/` encoded and in capitals, so that what is sent is what is
/// signed. A plus is one, as in any path.
fn encoded(uri: &Uri) -> Result<Uri, Unfit> {
    let path = path::decode(uri.path().as_bytes());
    let mut written = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            written.push(char::from(byte));
        } else {
            write!(written, "%{byte:02X}").expect("a string takes all that is written");
        }
    }
    if let Some(query) = uri.query() {
        written.push('?');
        written.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = written.parse().ok();
    Uri::from_parts(parts).map_err(|_| Unfit::Unsignable("its path is no path when it is encoded"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;

    /// The moment and the credentials of AWS's examples of Signature Version 4.
    fn example(request: http::request::Builder, body: &str, purpose: Purpose<'_>) -> Parts {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        sign(&mut head, body.as_bytes(), purpose, &credentials, now).expect("a signature");
        head
    }

    const S3: Purpose<'_> = Purpose {
        service: "s3",
        region: "us-east-1",
    };

    fn field<'h>(head: &'h Parts, name: &str) -> &'h str {
        let value = head.headers.get(name).expect(name);
        value.to_str().expect("text")
    }

    /// "Examples: Signature Calculations" of the Amazon S3 API Reference.
    #[test]
    fn requests_to_s3_are_signed_as_the_examples_of_aws_are() {
        let get = Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
            .header("range", "bytes=0-9");
        let head = example(get, "", S3);
        assert_eq!(
            field(&head, "authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let list = Request::get("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
        assert!(field(&example(list, "", S3), "authorization").ends_with(
            "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        ));
        let lifecycle = Request::get("https://examplebucket.s3.amazonaws.com/?lifecycle");
        assert!(
            field(&example(lifecycle, "", S3), "authorization").ends_with(
                "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
            )
        );
    }

    #[test]
    fn paths_are_encoded_once_for_s3_and_twice_for_others() {
        let signature = |service, path: &str| {
            let url = format!("https://a.example/{path}");
            let purpose = Purpose {
                service,
                region: "us-east-1",
            };
            let head = example(Request::get(url), "", purpose);
            field(&head, "authorization").to_owned()
        };
        // Where dots are taken out of a path, both spellings have one signature.
        assert_ne!(signature("s3", "a//b"), signature("s3", "a/b"));
        assert_eq!(
            signature("execute-api", "a//b"),
            signature("execute-api", "a/b")
        );
        assert_ne!(
            signature("execute-api", "a%2Fb"),
            signature("execute-api", "a/b")
        );
        // Of what is called after S3, only its kin sign as it does.
        for (service, is_kin) in [
            ("s3-outposts", true),
            ("s3-object-lambda", true),
            ("s3express", true),
            ("s3tables", false),
            ("s3vectors", false),
        ] {
            let differ = signature(service, "a//b") != signature(service, "a/b");
            assert_eq!(differ, is_kin, "{service}");
        }
    }

    #[test]
    fn a_path_is_sent_to_s3_as_s3_encodes_it() {
        let sent = |service, path: &str| {
            let get = Request::get(format!("https://a.example{path}"));
            let purpose = Purpose {
                service,
                region: "us-east-1",
            };
            let head = example(get, "", purpose);
            (
                head.uri.to_string(),
                field(&head, "authorization").to_owned(),
            )
        };
        for (raw, encoded) in [
            ("/a(b)!'*:c?d=(e)", "/a%28b%29%21%27%2A%3Ac?d=(e)"),
            ("/a@b&c=$d,e;f[g]|h", "/a%40b%26c%3D%24d%2Ce%3Bf%5Bg%5D%7Ch"),
            ("/a-b_c.d~e/%28f+g", "/a-b_c.d~e/%28f%2Bg"),
            ("/%7E%c3%a9%25/%2f", "/~%C3%A9%25//"),
        ] {
            let (uri, signature) = sent("s3", raw);
            assert_eq!(uri, format!("https://a.example{encoded}"));
            assert_eq!((uri, signature), sent("s3", encoded));
        }
        assert_eq!(sent("execute-api", "/a(b)").0, "https://a.example/a(b)");
    }

    #[test]
    fn what_the_guest_says_of_a_signature_is_replaced() {
        let put = Request::put("https://examplebucket.s3.amazonaws.com/")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=guest")
            .header("x-amz-date", "20010101T000000Z")
            .header("x-amz-security-token", "guest")
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("content-length", "17");
        let head = example(put, "abc", S3);
        assert!(field(&head, "authorization").contains("AKIAIOSFODNN7EXAMPLE"));
        assert_eq!(field(&head, "x-amz-date"), "20130524T000000Z");
        assert!(head.headers.get("x-amz-security-token").is_none());
        assert_eq!(field(&head, "content-length"), "3");
        assert_eq!(
            field(&head, "x-amz-content-sha256"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(head.headers["authorization"].is_sensitive());
        // An empty body has a length where one could be.
        let empty = example(Request::put("https://a.example/"), "", S3);
        assert_eq!(field(&empty, "content-length"), "0");
    }

    #[test]
    fn a_body_in_signed_chunks_is_refused() {
        let refused = |hash: &str| {
            let request = Request::put("https://a.example/").header("x-amz-content-sha256", hash);
            let (head, ()) = request.body(()).expect("a request").into_parts();
            check(&head, &granted("https://a.example")).is_err()
        };
        assert!(refused("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        assert!(refused("STREAMING-UNSIGNED-PAYLOAD-TRAILER"));
        assert!(!refused("UNSIGNED-PAYLOAD"));
    }

    #[test]
    fn a_query_with_parts_of_a_signature_is_refused() {
        for (query, is_signed) in [
            ("?list-type=2&prefix=x-amz-a", true),
            ("?X-Amz-Signature=0", false),
            ("?x-amz-copy-source=/a/b", false),
            ("?a=b&x%2Damz-security-token=0", false),
            ("?AWSAccessKeyId=0", false),
        ] {
            let request = Request::get(format!("https://a.example/{query}")).body(());
            let (head, ()) = request.expect("a request").into_parts();
            let checked = check(&head, &granted("https://a.example"));
            assert_eq!(checked.is_ok(), is_signed, "{query}");
        }
    }

    fn granted(pattern: &str) -> HttpPattern {
        pattern.parse().expect("a pattern")
    }

    #[test]
    fn what_is_copied_or_moved_is_what_the_grant_is_for_too() {
        for (pattern, field, source, is_signed) in [
            ("https://a.example", "x-amz-copy-source", "/other/d", true),
            (
                "https://*.s3.eu-central-1.amazonaws.com",
                "x-amz-copy-source",
                "other/d",
                true,
            ),
            (
                "https://b.s3.eu-central-1.amazonaws.com",
                "x-amz-copy-source",
                "/b/d",
                true,
            ),
            (
                "https://b.s3.eu-central-1.amazonaws.com",
                "x-amz-copy-source",
                "b%2Fd",
                true,
            ),
            (
                "https://b.s3.eu-central-1.amazonaws.com",
                "x-amz-copy-source",
                "/bc/d",
                false,
            ),
            (
                "https://b.s3-accelerate.amazonaws.com",
                "x-amz-copy-source",
                "other/d",
                false,
            ),
            (
                "https://b.s3express-az1.eu-north-1.amazonaws.com",
                "x-amz-rename-source",
                "d",
                true,
            ),
        ] {
            let put = Request::put("https://a.example/b/c").header(field, source);
            let (head, ()) = put.body(()).expect("a request").into_parts();
            let checked = check(&head, &granted(pattern));
            assert_eq!(checked.is_ok(), is_signed, "{pattern} {field} {source}");
        }
        let bucket = granted("https://b.s3.eu-central-1.amazonaws.com");
        for (field, source, is_signed) in [
            ("x-amz-copy-source", "/b/e", true),
            ("x-amz-copy-source", "/other/d", false),
            ("x_amz_copy_source", "/other/d", false),
        ] {
            let put = Request::put("https://a.example/c").header("x-amz-copy-source", "/b/d");
            let put = put.header(field, source);
            let (head, ()) = put.body(()).expect("a request").into_parts();
            let checked = check(&head, &bucket);
            assert_eq!(
                checked.is_ok(),
                is_signed,
                "beside another, {field} {source}"
            );
        }
    }
}
