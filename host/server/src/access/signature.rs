//! Signatures of AWS's Signature Version 4, in a header or in a query string.
//!
//! What a signature should be is computed by the signer of the AWS SDK; here it
//! is read from a request, and the request is put before the signer as its
//! client had it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use formwork_host::model::Timestamp;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use jiff::Timestamp as Moment;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tracing::subscriber::NoSubscriber;
use url::form_urlencoded;

use super::Denial;
use crate::environment::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far the clocks of client and server may be apart: what AWS allows for
/// most services. A captured request can be sent again for as long.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// The longest that a signed URL may be good for, AWS's own.
const LONGEST: u64 = 7 * 24 * 60 * 60;

/// How moments are written.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// The parameters of a signed URL that the signer writes by itself.
const PARAMETERS: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

const SESSION_TOKEN: &str = "X-Amz-Security-Token";

/// What a request says of its signature.
pub(crate) struct Claim {
    key_id: String,
    region: String,
    service: String,
    at: Moment,
    signed: BTreeSet<String>,
    signature: String,
    /// For how many seconds a signed URL is good; none in a header.
    expires: Option<u64>,
}

impl Claim {
    /// Reads the header or the parameters of a request.
    pub(super) fn read(head: &Parts) -> Result<Self, Denial> {
        let mut headers = head.headers.get_all(AUTHORIZATION).iter();
        let header = headers.next();
        if headers.next().is_some() {
            return malformed("there are two headers `Authorization`");
        }
        let query = head.uri.query().unwrap_or_default();
        // What is no UTF-8 is signed as if it were this sign, whatever it is.
        let signs_alike = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
        if form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| signs_alike(&name) || signs_alike(&value))
        {
            return malformed("the query must be percent-encoded UTF-8");
        }
        let parameters = Fields::of_query(query)?;
        let is_url = parameters.has("X-Amz-Algorithm") || parameters.has("X-Amz-Signature");
        let claim = match header {
            Some(_) if is_url => {
                return malformed("it is both in the header `Authorization` and in the query");
            }
            Some(header) => Self::of_header(text(header.as_bytes())?, &head.headers)?,
            None if is_url => Self::of_url(&parameters)?,
            None => return Err(Denial::Unsigned),
        };
        claim.check_headers(&head.headers)?;
        Ok(claim)
    }

    fn of_header(header: &str, headers: &HeaderMap) -> Result<Self, Denial> {
        let Some((ALGORITHM, rest)) = header.trim().split_once(' ') else {
            return malformed(format!(
                "the header `Authorization` must begin with `{ALGORITHM}`"
            ));
        };
        let fields = Fields::of_header(rest)?;
        let date = only(headers, "x-amz-date")?
            .ok_or_else(|| Denial::Malformed("the header `X-Amz-Date` is missing".to_owned()))?;
        Self::new(
            &fields,
            ["Credential", "SignedHeaders", "Signature"],
            date,
            None,
        )
    }

    fn of_url(parameters: &Fields) -> Result<Self, Denial> {
        if parameters.get("X-Amz-Algorithm")? != ALGORITHM {
            return malformed(format!("`X-Amz-Algorithm` must be `{ALGORITHM}`"));
        }
        let text = parameters.get("X-Amz-Expires")?;
        let expires = text.parse().ok();
        // A number has one spelling: the signer signs its own.
        let expires = expires
            .filter(|seconds| (1..=LONGEST).contains(seconds) && seconds.to_string() == text);
        let Some(expires) = expires else {
            return malformed(format!("`X-Amz-Expires` must be from 1 to {LONGEST}"));
        };
        Self::new(
            parameters,
            ["X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature"],
            parameters.get("X-Amz-Date")?,
            Some(expires),
        )
    }

    fn new(
        fields: &Fields,
        [credential, signed, signature]: [&'static str; 3],
        date: &str,
        expires: Option<u64>,
    ) -> Result<Self, Denial> {
        // A key may hold slashes, so the scope is read from its end.
        let mut scope = fields.get(credential)?.rsplitn(5, '/');
        let (Some("aws4_request"), Some(service), Some(region), Some(day), Some(key_id)) = (
            scope.next(),
            scope.next(),
            scope.next(),
            scope.next(),
            scope.next(),
        ) else {
            return malformed(format!(
                "`{credential}` must be KEY/DATE/REGION/SERVICE/aws4_request"
            ));
        };
        let at = DateTime::strptime(MOMENT, date)
            .and_then(|at| at.to_zoned(TimeZone::UTC))
            .map(|at| at.timestamp());
        let at = at.ok().filter(|at| at.strftime(MOMENT).to_string() == date);
        let Some(at) = at else {
            return malformed("`X-Amz-Date` must be such as 20261122T164229Z");
        };
        if date.split_once('T').is_none_or(|(of, _)| of != day) {
            return malformed(format!("`{credential}` must be of the day of `X-Amz-Date`"));
        }
        let names = fields.get(signed)?;
        let each: BTreeSet<String> = names.split(';').map(str::to_ascii_lowercase).collect();
        if !each.iter().map(String::as_str).eq(names.split(';')) {
            return malformed(format!(
                "`{signed}` must be names in lower case, sorted, each once"
            ));
        }
        Ok(Self {
            key_id: key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            at,
            signed: each,
            signature: fields.get(signature)?.to_owned(),
            expires,
        })
    }

    /// Sees that nothing that a door reads can be changed on the way.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Denial> {
        if only(headers, HOST.as_str())?.is_none() || !self.signed.contains("host") {
            return malformed("the header `Host` must be there, and be signed");
        }
        let unsigned = headers.keys().find(|name| {
            name.as_str().starts_with("x-amz-") && !self.signed.contains(name.as_str())
        });
        if let Some(name) = unsigned {
            return malformed(format!(
                "the header `{name}` is not signed; sign every header `X-Amz-*`"
            ));
        }
        if let Some(name) = self.signed.iter().find(|name| !headers.contains_key(*name)) {
            let name: String = name.chars().take(40).collect();
            return malformed(format!("the header `{name}` is signed, and not there"));
        }
        match only(headers, "x-amz-content-sha256")? {
            Some("UNSIGNED-PAYLOAD") => malformed(
                "the payload is not signed; sign it: `UNSIGNED-PAYLOAD` is not taken here",
            ),
            Some(hash) if hash.starts_with("STREAMING-") => malformed(
                "the payload is signed chunk by chunk; sign it as a whole, as the SDKs do for all but S3",
            ),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn signature(&self) -> &str {
        &self.signature
    }

    /// Gives the session token of the request, if it has one.
    pub(super) fn session_token(&self, head: &Parts) -> Option<String> {
        if self.expires.is_none() {
            let header = head.headers.get(SESSION_TOKEN)?.to_str().ok()?;
            return Some(header.to_owned());
        }
        let query = head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == SESSION_TOKEN)
            .map(|(_, token)| token.into_owned())
    }

    /// Sees that the request was signed not long ago.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), Denial> {
        let at = u64::try_from(self.at.as_millisecond()).unwrap_or(0);
        let now = now.as_millis();
        let skew = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
        let shown = |millis| {
            i64::try_from(millis)
                .ok()
                .and_then(|millis| Moment::from_millisecond(millis).ok())
                .unwrap_or(Moment::MAX)
                .strftime(MOMENT)
                .to_string()
        };
        let early = at > now.saturating_add(skew);
        match self.expires {
            Some(seconds) if now > at.saturating_add(seconds.saturating_mul(1_000)) => {
                Err(Denial::Expired {
                    at: shown(at),
                    seconds,
                    now: shown(now),
                })
            }
            None if early || now > at.saturating_add(skew) => Err(Denial::Skewed {
                at: shown(at),
                now: shown(now),
            }),
            Some(_) if early => Err(Denial::Skewed {
                at: shown(at),
                now: shown(now),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Sees that the request was signed for one of `services`, in a region.
    pub(super) fn check_scope(&self, services: &[&'static str]) -> Result<(), Denial> {
        if !self.region.is_empty() && services.contains(&self.service.as_str()) {
            return Ok(());
        }
        Err(Denial::Scope {
            services: services.join("' or '"),
        })
    }

    /// Gives the signature that the request has if it is signed by the key.
    pub(super) fn expected(
        &self,
        key_id: &str,
        secret: &Secret,
        head: &Parts,
        body: &[u8],
    ) -> Result<String, Denial> {
        let mut settings = SigningSettings::default();
        // The headers that are left out are those that the client left out.
        settings.excluded_headers = None;
        settings.expires_in = self.expires.map(Duration::from_secs);
        settings.signature_location = if self.expires.is_some() {
            SignatureLocation::QueryParams
        } else {
            SignatureLocation::Headers
        };
        let identity = Credentials::from_keys(key_id, secret.0.as_str(), None).into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::from(self.at))
            .settings(settings)
            .build()
            .expect("all parameters are given")
            .into();
        let mut headers = Vec::with_capacity(self.signed.len());
        for name in &self.signed {
            for value in head.headers.get_all(name) {
                headers.push((name.as_str(), text(value.as_bytes())?));
            }
        }
        // The signer logs what it signs, tokens among it.
        let signed = tracing::subscriber::with_default(NoSubscriber::new(), || {
            let request = SignableRequest::new(
                head.method.as_str(),
                self.target(head),
                headers.into_iter(),
                SignableBody::Bytes(body),
            )?;
            sign(request, &parameters)
        });
        let (_, signature) = signed
            .map_err(|_| {
                Denial::Malformed("a signed header has a character that none may have".to_owned())
            })?
            .into_parts();
        Ok(signature)
    }

    /// Gives path and query as they were before the request was signed.
    fn target(&self, head: &Parts) -> String {
        let path = head.uri.path();
        let Some(query) = head.uri.query() else {
            return path.to_owned();
        };
        if self.expires.is_none() {
            return format!("{path}?{query}");
        }
        let rest: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let name = form_urlencoded::parse(pair.as_bytes()).next();
                name.is_none_or(|(name, _)| !PARAMETERS.contains(&name.as_ref()))
            })
            .collect();
        format!("{path}?{}", rest.join("&"))
    }
}

/// The parts of a signature by name, each once.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of_header(text: &str) -> Result<Self, Denial> {
        let fields = text.split(',').map(|field| {
            let (name, value) = field.trim().split_once('=').ok_or_else(|| {
                Denial::Malformed(
                    "the header `Authorization` must be a list of NAME=VALUE".to_owned(),
                )
            })?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Self::once(fields.collect::<Result<_, Denial>>()?)
    }

    fn of_query(query: &str) -> Result<Self, Denial> {
        let parameters = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| PARAMETERS.contains(&name.as_ref()) || name == SESSION_TOKEN);
        let owned = parameters.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self::once(owned.collect())
    }

    fn once(fields: Vec<(String, String)>) -> Result<Self, Denial> {
        let mut names = BTreeSet::new();
        match fields.iter().find(|(name, _)| !names.insert(name.as_str())) {
            Some((name, _)) => {
                let name: String = name.chars().take(40).collect();
                malformed(format!("it has `{name}` twice"))
            }
            None => Ok(Self(fields)),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    fn get(&self, name: &'static str) -> Result<&str, Denial> {
        self.0
            .iter()
            .find(|(it, value)| it == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| Denial::Malformed(format!("`{name}` is missing")))
    }
}

/// Gives a header that may be there once.
fn only<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Denial> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return malformed(format!("there are two headers `{name}`"));
    }
    value.map(|value| text(value.as_bytes())).transpose()
}

fn text(bytes: &[u8]) -> Result<&str, Denial> {
    std::str::from_utf8(bytes)
        .map_err(|_| Denial::Malformed("a signed header is no text".to_owned()))
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::Malformed(what.into()))
}
