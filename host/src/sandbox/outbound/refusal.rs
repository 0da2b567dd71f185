//! What the operator reads of a refusal, and the setting that would allow it.

use std::fmt;

use http::HeaderName;

use super::client::{MOST_FIELD_BYTES, MOST_FIELDS};
use super::policy::{self, Destination, Lack, NoGrant, Refused, Remedy, SigningSource, Unfit};
use super::{Failure, OutboundError};
use crate::sandbox::logging::Subject;
use crate::sandbox::notices::Notices;
use crate::sandbox::{Amount, Limit, Limits};

/// Tells of the refusals of one invocation, each once. Clones share what was
/// told.
#[derive(Clone)]
pub(super) struct Refusals(Notices);

impl Refusals {
    pub(super) fn new(subject: Option<Subject>) -> Self {
        Self(Notices::new(subject))
    }

    /// Tells why the policy refuses a request, and what would allow it.
    pub(super) fn refused(&self, refused: &Refused) {
        match refused {
            Refused::NoDestination(why) => {
                self.0.tell(format!("a request is refused, since {why}"));
            }
            Refused::Lacking(destination, remedy) => self.0.tell(denied(destination, remedy)),
            Refused::Unfit(destination, why) => self.unfit(destination, *why),
        }
    }

    /// Tells of a field that is not the guest's to send.
    pub(super) fn forbidden(&self, field: &HeaderName) {
        self.0.tell(format!(
            "the field `{field}` is sent with no request, since it is HTTP's own, or servers may \
             take the request for another one by it: its handler has to leave it out"
        ));
    }

    /// Tells that the invocation has made its requests.
    pub(super) fn too_many(&self, limit: usize) {
        self.0.tell(format!(
            "requests beyond the {limit} of an invocation are refused: raise `{}` if they are meant",
            Limit::HTTP_REQUESTS.setting()
        ));
    }

    /// Tells why what is granted is not put on a request.
    pub(super) fn unfit(&self, destination: &Destination, why: Unfit) {
        self.0
            .tell(format!("the request {destination} is refused, since {why}"));
    }

    /// Tells that a source of credentials has none.
    pub(super) fn no_credentials(&self, source: impl fmt::Display, why: &str) {
        self.0
            .tell(format!("{source} cannot be signed with: {why}"));
    }

    /// Tells that a source of credentials is passed over, which may be the only one.
    pub(super) fn passed(
        &self,
        destination: &Destination,
        source: &SigningSource,
        lack: Lack,
        is_only: bool,
    ) {
        let whose: &dyn fmt::Display = match source {
            SigningSource::Caller => &"the caller's credentials",
            SigningSource::Operator(source) => source,
        };
        match lack {
            Lack::CallersRefused { code } | Lack::OperatorsRefused { code } => {
                self.0.tell(format!(
                    "the request {destination} was answered with {code}: {whose} cannot be signed \
                     with any more"
                ));
            }
            Lack::NoCallers if is_only => self.0.tell(format!(
                "the request {destination} is refused, since the caller has sent no credentials to \
                 sign it with: name others in its grant, such as `with caller or profile NAME`"
            )),
            // The next source takes over, or why there are none was told.
            Lack::NoCallers | Lack::NoOperators => {}
        }
    }

    /// Tells of a request that failed, if a setting would change it.
    pub(super) fn failed(&self, destination: &Destination, error: &OutboundError, limits: &Limits) {
        if let Some(line) = failed(destination, error, limits) {
            self.0.tell(line);
        }
    }
}

fn denied(destination: &Destination, Remedy { grant, wish }: &Remedy) -> String {
    let why = match (grant.as_ref().map(|(why, _)| why), wish) {
        (None, _) => "granted but not wished for".to_owned(),
        (Some(NoGrant::Origin), Some(_)) => "neither granted nor wished for".to_owned(),
        (Some(NoGrant::Origin), None) => "since no grant allows it".to_owned(),
        (Some(NoGrant::Path), _) => {
            "since no grant is for its path, which is compared letter by letter, in escapes too"
                .to_owned()
        }
        (Some(NoGrant::OddPath), _) => {
            "since servers may read its path each in their way, so that no grant with a path is \
             for it"
                .to_owned()
        }
    };
    let grant = grant.as_ref().map(|(why, grant)| match why {
        NoGrant::Origin => format!("grant it with `http={grant}`"),
        NoGrant::Path => {
            format!("grant that path, which is not logged, or all paths with `http={grant}`")
        }
        NoGrant::OddPath => {
            format!("have the handler write it otherwise, or grant all paths with `http={grant}`")
        }
    });
    let wish = wish
        .as_ref()
        .map(|wish| format!("its handler has to name `{wish}` among its outgoing hosts"));
    let remedies: Vec<String> = grant.into_iter().chain(wish).collect();
    let remedies = remedies.join(", and ");
    format!("the request {destination} is refused, {why}: {remedies}")
}

fn failed(destination: &Destination, error: &OutboundError, limits: &Limits) -> Option<String> {
    if let Some(limit) = error.limit() {
        // A guest may have asked for less time than it has.
        let is_own = |waited| limit.get(*limits) != Amount::Time(waited);
        if error.waited().is_some_and(is_own) {
            return None;
        }
    }
    let limit = error.limit().map(|limit| limit.setting());
    if let Some(setting) = limit.or_else(|| error.shared_limit().map(|it| it.setting())) {
        return Some(format!(
            "the request {destination} failed, since {error}: raise `{setting}` if it is meant"
        ));
    }
    let OutboundError::Failed { failure, .. } = error else {
        return None;
    };
    match failure {
        Failure::Prohibited {
            host,
            address,
            kind,
        } => {
            let remedy = if destination.stays() && !policy::is_loopback(*address) {
                "over plain HTTP it has to be at a loopback address".to_owned()
            } else if kind.can_be_granted() {
                let grants = policy::lacking(*address).map(|it| format!("`address={it}`"));
                format!("grant it with {}", grants.collect::<Vec<_>>().join(" and "))
            } else {
                "it cannot be granted".to_owned()
            };
            Some(format!(
                "the request {destination} is refused, since `{host}` is at {address}, {kind}: {remedy}"
            ))
        }
        Failure::LongHead => Some(format!(
            "the request {destination} failed, since the head of its response has more than \
             {MOST_FIELD_BYTES} bytes or {MOST_FIELDS} fields, and no more is read whatever `{}` says",
            Limit::HTTP_FIELDS.setting()
        )),
        Failure::Untrusted { stranger: true } => Some(format!(
            "the request {destination} failed, since nobody trusted has signed the server's \
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
    use http::{Request, request::Parts};

    use std::sync::Arc;

    use super::super::Crowd;
    use super::super::policy::{HttpGrants, HttpPattern, Policy, kind};
    use super::*;

    fn request() -> Parts {
        let request = Request::put("https://api.example.com:8443/s3cr3t?s3cr3t");
        let (head, ()) = request.body(()).expect("a request").into_parts();
        head
    }

    fn policy(grants: &[&str], wishes: &[&str]) -> Policy {
        let patterns = |texts: &[&str]| -> Vec<HttpPattern> {
            texts.iter().map(|it| it.parse().expect(it)).collect()
        };
        let grants = HttpGrants {
            requests: patterns(grants),
            ..HttpGrants::default()
        };
        Policy::new(grants, patterns(wishes).into())
    }

    fn destination() -> Arc<Destination> {
        let any = policy(&["https://*:*"], &["https://*:*"]);
        let admitted = any.admit(request(), None);
        admitted.expect("it is granted").destination
    }

    #[test]
    fn a_refusal_tells_the_setting_that_would_allow_it_and_no_path() {
        const ALL: &[&str] = &["https://*:*"];
        let origin = "PUT https://api.example.com:8443";
        for (grants, wishes, words) in [
            (
                &[][..],
                ALL,
                "since no grant allows it: grant it with `http=ORIGIN`",
            ),
            (
                ALL,
                &[][..],
                "granted but not wished for: its handler has to name `ORIGIN` among its outgoing \
                 hosts",
            ),
            (
                &[],
                &[],
                "neither granted nor wished for: grant it with `http=ORIGIN`, and its handler has \
                 to name `ORIGIN` among its outgoing hosts",
            ),
            (
                &["https://api.example.com:*/v1"],
                ALL,
                "since no grant is for its path, which is compared letter by letter, in escapes \
                 too: grant that path, which is not logged, or all paths with `http=ORIGIN`",
            ),
        ] {
            let refused = policy(grants, wishes).admit(request(), None);
            let Some(Refused::Lacking(destination, remedy)) = refused.err() else {
                panic!("{grants:?} {wishes:?}");
            };
            let line = denied(&destination, &remedy);
            let expected = format!("the request {origin} is refused, {words}");
            assert_eq!(line, expected.replace("ORIGIN", origin));
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
            let line =
                failed(&destination(), &error, &Limits::default()).expect("there is a remedy");
            assert!(
                line.contains(&address.to_string()) && line.ends_with(remedy),
                "{line}"
            );
        }
    }

    #[test]
    fn a_name_of_this_machine_that_leads_elsewhere_is_told() {
        let any = policy(&["http://*:*"], &["http://*:*"]);
        let request = Request::get("http://s3.localhost:4566/").body(());
        let (head, ()) = request.expect("a request").into_parts();
        let destination = any.admit(head, None).expect("it is granted").destination;
        for (address, remedy) in [
            (
                "10.0.0.1",
                "over plain HTTP it has to be at a loopback address",
            ),
            (
                "64:ff9b::127.0.0.1",
                "over plain HTTP it has to be at a loopback address",
            ),
            ("127.0.0.1", "grant it with `address=127.0.0.1`"),
        ] {
            let address: std::net::IpAddr = address.parse().expect(address);
            let failure = Failure::Prohibited {
                host: "s3.localhost".to_owned(),
                address,
                kind: kind(address),
            };
            let source = "it may not".into();
            let error = OutboundError::Failed { failure, source };
            let line = failed(&destination, &error, &Limits::default()).expect("a remedy");
            assert!(line.ends_with(remedy), "{line}");
        }
    }

    #[test]
    fn a_limit_that_is_reached_is_told_with_its_setting() {
        let limits = Limits::default();
        let limit = 1;
        let after = limits.http_connect;
        let crowded = |crowd| OutboundError::Crowded { crowd, after };
        for (error, setting) in [
            (crowded(Crowd::Invocation), "limits.http_concurrency"),
            (crowded(Crowd::Requests), "http.requests"),
            (crowded(Crowd::Lookups), "http.lookups"),
            (crowded(Crowd::Connections), "http.connections"),
            (
                OutboundError::Unconnected {
                    after: limits.http_connect,
                },
                "limits.http_connect",
            ),
            (
                OutboundError::Silent {
                    after: limits.http_first_byte,
                },
                "limits.http_first_byte",
            ),
            (
                OutboundError::Unfinished {
                    after: limits.http_first_byte,
                },
                "limits.http_first_byte",
            ),
            (
                OutboundError::Stalled {
                    after: limits.http_between_bytes,
                },
                "limits.http_between_bytes",
            ),
            (OutboundError::SentTooMuch { limit }, "limits.http_sent"),
            (
                OutboundError::from_cause(OutboundError::SentTooMuch { limit }.into()),
                "limits.http_sent",
            ),
            (
                OutboundError::ReceivedTooMuch { limit },
                "limits.http_received",
            ),
            (OutboundError::SignedTooMuch { limit }, "limits.http_signed"),
            (
                OutboundError::FieldsTooLarge { bytes: 2, limit },
                "limits.http_fields",
            ),
        ] {
            let line = failed(&destination(), &error, &limits).expect("there is a remedy");
            let remedy = format!(": raise `{setting}` if it is meant");
            assert!(line.ends_with(&remedy), "{line}");
            assert!(!line.contains("s3cr3t"), "{line}");
        }
    }

    #[test]
    fn a_guest_that_waits_for_less_than_it_may_is_not_told_of() {
        let after = Limits::default().http_connect / 2;
        let error = OutboundError::Unconnected { after };
        assert_eq!(failed(&destination(), &error, &Limits::default()), None);
    }
}
