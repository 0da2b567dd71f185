//! What the operator reads of a refusal, and the setting that would allow it.

use http::HeaderName;

use super::pattern::Target;
use super::{Failure, OutboundError, address};
use crate::sandbox::logging::Subject;
use crate::sandbox::notices::Notices;
use crate::sandbox::{Amount, Limit, Limits};

/// Tells of the refusals of one invocation, each once. Clones share what was
/// told.
#[derive(Clone)]
pub(super) struct Refusals(Notices);

/// Which of the two lists lack a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Grant,
    Wish,
    Both,
}

impl Refusals {
    pub(super) fn new(subject: Option<Subject>) -> Self {
        Self(Notices::new(subject))
    }

    /// Tells that the two lists do not both have a request.
    pub(super) fn denied(&self, target: &Target, missing: Missing) {
        self.tell(denied(target, missing));
    }

    /// Tells that the invocation has made its requests.
    pub(super) fn too_many(&self, limit: usize) {
        self.tell(format!(
            "requests beyond the {limit} of an invocation are refused: raise `{}` if they are meant",
            Limit::HTTP_REQUESTS.setting()
        ));
    }

    /// Tells that what might be sent back is not sent.
    pub(super) fn unknown_method(&self, target: &Target) {
        self.tell(format!(
            "the request {target} is refused: what the host puts on requests is sent with GET, \
             HEAD, POST, PUT, PATCH, DELETE and OPTIONS alone, since another method might have it \
             sent back; name the method in the grant if it does not"
        ));
    }

    /// Tells that a request says by a field that it is another one.
    pub(super) fn overriding(&self, target: &Target, field: &HeaderName) {
        self.tell(format!(
            "the request {target} is refused, since it may mean another method or path by its \
             field `{field}`: grant its server without method and path if that is meant"
        ));
    }

    /// Tells that a request cannot be signed, and why.
    pub(super) fn unsigned(&self, target: &Target, why: &str) {
        self.tell(format!("the request {target} is refused, since {why}"));
    }

    /// Tells of a request that failed, if a setting would change it.
    pub(super) fn failed(&self, target: &Target, error: &OutboundError, limits: &Limits) {
        if let Some(line) = failed(target, error, limits) {
            self.tell(line);
        }
    }

    /// Tells a line once.
    pub(super) fn tell(&self, line: String) {
        self.0.tell(line);
    }
}

fn denied(target: &Target, missing: Missing) -> String {
    let grant = format!("grant it with `http={target}`");
    let wish = format!("its handler has to name `{target}` among its outgoing hosts");
    match missing {
        Missing::Grant => {
            format!("the request {target} is refused, since no grant allows it: {grant}")
        }
        Missing::Wish => {
            format!("the request {target} is refused, granted but not wished for: {wish}")
        }
        Missing::Both => format!(
            "the request {target} is refused, neither granted nor wished for: {grant}, and {wish}"
        ),
    }
}

fn failed(target: &Target, error: &OutboundError, limits: &Limits) -> Option<String> {
    if let Some(limit) = error.limit() {
        // A guest may have asked for less time than it has.
        let is_own = |waited| limit.get(*limits) != Amount::Time(waited);
        return (!error.waited().is_some_and(is_own)).then(|| {
            let setting = limit.setting();
            format!("the request {target} failed, since {error}: raise `{setting}` if it is meant")
        });
    }
    let failure = match error {
        OutboundError::Failed { failure, .. } => failure,
        // No setting of a type would make these places more.
        OutboundError::Crowded { .. } => {
            return Some(format!("the request {target} failed, since {error}"));
        }
        _ => return None,
    };
    match failure {
        Failure::Prohibited {
            host,
            address,
            kind,
        } => {
            let remedy = if kind.can_be_granted() {
                let grants = address::lacking(*address).map(|it| format!("`address={it}`"));
                format!("grant it with {}", grants.collect::<Vec<_>>().join(" and "))
            } else {
                "it cannot be granted".to_owned()
            };
            let what = kind.words();
            Some(format!(
                "the request {target} is refused, since `{host}` is at {address}, {what}: {remedy}"
            ))
        }
        Failure::Untrusted { stranger: true } => Some(format!(
            "the request {target} failed, since nobody trusted has signed the server's \
             certificate: grant trust in who has with `ca=FILE`"
        )),
        Failure::Untrusted { stranger: false }
        | Failure::Lookup
        | Failure::Nowhere
        | Failure::Refused
        | Failure::Unreachable
        | Failure::Unconnected
        | Failure::Tls
        | Failure::Ended
        | Failure::Protocol
        | Failure::GivenUp
        | Failure::SentTooMuch { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::Crowd;
    use super::super::address::kind;
    use super::*;

    fn target() -> Target {
        let uri = "https://api.example.com:8443/s3cr3t?s3cr3t";
        Target::new(&Method::PUT, &uri.parse().expect("a URI")).expect("a target")
    }

    #[test]
    fn a_refusal_tells_the_setting_that_would_allow_it_and_no_path() {
        let origin = "PUT https://api.example.com:8443";
        for (missing, remedies) in [
            (Missing::Grant, &["grant it with `http=ORIGIN`"][..]),
            (
                Missing::Wish,
                &["its handler has to name `ORIGIN` among its outgoing hosts"],
            ),
            (
                Missing::Both,
                &["`http=ORIGIN`", "its handler has to name `ORIGIN`"],
            ),
        ] {
            let line = denied(&target(), missing);
            assert!(line.starts_with(&format!("the request {origin} is refused")));
            for remedy in remedies {
                let remedy = remedy.replace("ORIGIN", origin);
                assert!(line.contains(&remedy), "{line}");
            }
            assert!(!line.contains("s3cr3t"), "{line}");
        }
    }

    #[test]
    fn a_prohibited_address_is_told_with_the_grant_that_holds_it() {
        for (text, remedy) in [
            ("10.0.0.1", "grant it with `address=10.0.0.1`"),
            ("64:ff9b::10.0.0.1", "grant it with `address=10.0.0.1`"),
            ("fd00:ec2::254", "grant it with `address=fd00:ec2::254`"),
            (
                "fe80::5efe:10.0.0.1",
                "grant it with `address=fe80::5efe:a00:1` and `address=10.0.0.1`",
            ),
            (
                "fe80::5efe:8.8.8.8",
                "grant it with `address=fe80::5efe:808:808`",
            ),
            ("224.0.0.1", "it cannot be granted"),
        ] {
            let address: std::net::IpAddr = text.parse().expect(text);
            let failure = Failure::Prohibited {
                host: "api.example.com".to_owned(),
                address,
                kind: kind(address),
            };
            let source = "it may not".into();
            let error = OutboundError::Failed { failure, source };
            let line = failed(&target(), &error, &Limits::default()).expect("there is a remedy");
            assert!(
                line.contains(&address.to_string()) && line.ends_with(remedy),
                "{line}"
            );
        }
    }
    #[test]
    fn a_limit_that_is_reached_is_told_with_its_setting() {
        let limits = Limits::default();
        let limit = 1;
        for (error, setting) in [
            (
                OutboundError::Crowded {
                    crowd: Crowd::Invocation,
                    after: limits.http_connect,
                },
                "http_concurrency",
            ),
            (
                OutboundError::Unconnected {
                    after: limits.http_connect,
                },
                "http_connect",
            ),
            (
                OutboundError::Silent {
                    after: limits.http_first_byte,
                },
                "http_first_byte",
            ),
            (
                OutboundError::Unfinished {
                    after: limits.http_first_byte,
                },
                "http_first_byte",
            ),
            (
                OutboundError::Stalled {
                    after: limits.http_between_bytes,
                },
                "http_between_bytes",
            ),
            (OutboundError::SentTooMuch { limit }, "http_sent"),
            (
                OutboundError::from_cause(OutboundError::SentTooMuch { limit }.into()),
                "http_sent",
            ),
            (OutboundError::ReceivedTooMuch { limit }, "http_received"),
            (OutboundError::SignedTooMuch { limit }, "http_signed"),
            (
                OutboundError::FieldsTooLarge { bytes: 2, limit },
                "http_fields",
            ),
        ] {
            let line = failed(&target(), &error, &limits).expect("there is a remedy");
            let remedy = format!(": raise `limits.{setting}` if it is meant");
            assert!(line.ends_with(&remedy), "{line}");
            assert!(!line.contains("s3cr3t"), "{line}");
        }
    }

    #[test]
    fn whose_places_are_taken_is_told_where_no_setting_makes_them_more() {
        for (crowd, words) in [
            (Crowd::Handler, "to those of its handler"),
            (Crowd::Host, "to those of all handlers"),
        ] {
            let after = Limits::default().http_connect;
            let error = OutboundError::Crowded { crowd, after };
            let line = failed(&target(), &error, &Limits::default()).expect("it is told");
            assert!(line.contains(words) && !line.contains("raise"), "{line}");
        }
    }

    #[test]
    fn a_guest_that_waits_for_less_than_it_may_is_not_told_of() {
        let after = Limits::default().http_connect / 2;
        let error = OutboundError::Unconnected { after };
        assert_eq!(failed(&target(), &error, &Limits::default()), None);
    }
}
