//! Attacks by outgoing HTTP: on what only the host may reach, and on its servers.
//!
//! The attacker may reach every name at one address, that of the front, and no
//! other. The metadata service stands for all that is not public; no connection is
//! ever made to it.

use std::sync::Arc;

use formwork_host::sandbox::{Environment, Grants};

use super::attack::Attack;
use super::scene::Scene;

const PROHIBITED: &str = "refused each time: ErrorCode::DestinationIpProhibited";

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks: Vec<Attack> = SPELLINGS
        .iter()
        .map(|&(name, tries, request, stopped)| {
            Attack::guest(name, tries, request, stopped).with(everything)
        })
        .collect();
    attacks.extend([
        Attack::guest(
            "no-grant",
            "to send a request that nothing grants",
            &["request GET http 127.0.0.1:{metadata} /"],
            "refused each time: ErrorCode::HttpRequestDenied",
        ),
        Attack::play(
            "rebinding-name",
            "to reach an address by a name that means another one at every look-up",
            |scene| Box::pin(rebinding(scene)),
            &[],
            "the front or an error, 20 times",
        ),
        Attack::guest(
            "redirect",
            "to be sent on to the metadata service by a server that it may reach",
            &["request GET http front.test:{front} /redirect"],
            "found: 302 http://169.254.169.254/latest/meta-data/",
        )
        .with(everything),
        Attack::guest(
            "path-out-of-the-prefix",
            "to leave the path that is granted by dots, in all spellings",
            &[
                "request GET http front.test:{front} /granted/../private",
                "request GET http front.test:{front} /granted/%2e%2e/private",
                "request GET http front.test:{front} /granted/.%2E/private",
                "request GET http front.test:{front} /granted/%2e%2e%2fprivate/../../private",
                "request GET http front.test:{front} /granted\\..\\private",
                "request GET http front.test:{front} /grantedly",
                "request GET http front.test:{front} //granted/",
            ],
            "refused each time: ErrorCode::HttpRequestDenied",
        )
        .with(one_prefix),
        Attack::guest(
            "another-method",
            "to send another method than is granted, also in other letters",
            &[
                "request DELETE http front.test:{front} /granted/",
                "request get http front.test:{front} /granted/",
                "request POST http front.test:{front} /granted/",
            ],
            "refused each time: ErrorCode::HttpRequestDenied",
        )
        .with(one_prefix),
        Attack::play(
            "trailers",
            "to send trailers after a body, such as `Host` and `Authorization`",
            |scene| Box::pin(trailers(scene)),
            &[],
            "0 with trailers",
        ),
        Attack::guest(
            "flood",
            "to send more requests than it may",
            &[
                "request GET http front.test:{front} /",
                "request GET http front.test:{front} /",
                "request GET http front.test:{front} /",
                "request GET http front.test:{front} /",
            ],
            "found: 200 hello, error: ErrorCode::ConnectionLimitReached",
        )
        .with(|environment| {
            everything(environment);
            environment.limits.http_requests = 3;
        }),
        Attack::guest(
            "flood-of-long-methods",
            "to have the log tell of a hundred refusals, each of another method of 1 MB",
            &["ask 100 1000000"],
            "refused each time: ErrorCode::HttpRequestUriInvalid",
        ),
        Attack::guest(
            "large-body",
            "to send more than it may",
            &["request POST http front.test:{front} / body=200000"],
            "refused each time: ErrorCode::HttpRequestBodySize",
        )
        .with(|environment| {
            everything(environment);
            environment.limits.http_sent_bytes = 100_000;
        }),
    ]);
    attacks
}

/// What leads to an address that is not granted, and what else a request can
/// smuggle.
#[rustfmt::skip]
const SPELLINGS: &[(&str, &str, &[&str], &str)] = &[
    ("loopback", "to reach this machine", &["request GET http 127.0.0.1:{metadata} /", "request GET http 127.9.9.9:{metadata} /"], PROHIBITED),
    ("decimal-address", "to reach this machine by one number", &["request GET http 2130706433:{metadata} /"], PROHIBITED),
    ("octal-address", "to reach this machine by octal numbers", &["request GET http 0177.0.0.1:{metadata} /", "request GET http 017700000001:{metadata} /"], PROHIBITED),
    ("hex-address", "to reach this machine by hexadecimal numbers", &["request GET http 0x7f.0.0.1:{metadata} /", "request GET http 0x7f000001:{metadata} /", "request GET http 0X7F.1:{metadata} /"], PROHIBITED),
    ("short-address", "to reach this machine by fewer numbers", &["request GET http 127.1:{metadata} /", "request GET http 127.0.1:{metadata} /", "request GET http 0:{metadata} /"], PROHIBITED),
    ("address-and-dot", "to reach this machine by an address with a dot at its end", &["request GET http 127.0.0.1.:{metadata} /"], PROHIBITED),
    ("v6-address", "to reach this machine by an address of IPv6", &["request GET http [::1]:{metadata} /", "request GET http [::]:{metadata} /", "request GET http [0:0:0:0:0:0:0:1]:{metadata} /"], PROHIBITED),
    ("mapped-address", "to reach this machine by an address within one of IPv6: mapped, compatible, 6to4, NAT64", &["request GET http [::ffff:127.0.0.1]:{metadata} /", "request GET http [::ffff:7f00:1]:{metadata} /", "request GET http [::127.0.0.1]:{metadata} /", "request GET http [2002:7f00:1::]:{metadata} /", "request GET http [64:ff9b::127.0.0.1]:{metadata} /"], PROHIBITED),
    ("address-below-a-network", "to reach a private network by an address that carries a public one: ISATAP, a NAT64 of one's own", &["request GET http [fd12:3456::5efe:808:808] /", "request GET http [fe80::200:5efe:808:808] /", "request GET http [64:ff9b:1::5efe:808:808] /", "request GET http [64:ff9b:1::808:808] /"], PROHIBITED),
    ("metadata-address", "to reach the metadata services", &["request GET http 169.254.169.254 /latest/meta-data/", "request GET http 2852039166 /", "request GET http 0xa9fea9fe /", "request GET http 0251.0376.0251.0376 /", "request GET http [::ffff:169.254.169.254] /", "request GET http [fd00:ec2::254] /", "request GET http 169.254.170.2 /v2/credentials", "request GET http 169.254.42.42 /conf", "request GET http [fd00:c1::a9fe:a9fe] /opc/v2/", "request GET http [fe80::a9fe:a9fe] /openstack"], PROHIBITED),
    ("private-address", "to reach what is private, shared, reserved or for many", &["request GET http 10.0.0.1 /", "request GET http 172.16.0.1 /", "request GET http 192.168.0.1 /", "request GET http 100.64.0.1 /", "request GET http 198.18.0.1 /", "request GET http 192.0.2.1 /", "request GET http 224.0.0.1 /", "request GET http 240.0.0.1 /", "request GET http 255.255.255.255 /", "request GET http [fe80::1] /", "request GET http [fc00::1] /", "request GET http [ff02::1] /"], PROHIBITED),
    ("name-of-this-machine", "to reach what is not public by a name", &["request GET http metadata.test:{metadata} /", "request GET http METADATA.test.:{metadata} /", "request GET http mapped.test:{metadata} /", "request GET http nat64.test:{metadata} /", "request GET http 6to4.test:{metadata} /", "request GET http several.test:{metadata} /"], PROHIBITED),
    ("user-in-the-authority", "to hide where a request goes behind a name of a user", &["request GET http front.test@127.0.0.1:{metadata} /", "request GET http front.test:80@127.0.0.1:{metadata} /", "request GET http front.test%20@127.0.0.1:{metadata} /"], "refused each time: "),
    ("other-host-in-the-authority", "to hide where a request goes behind marks that parsers read in different ways", &["request GET http front.test\\@127.0.0.1:{metadata} /", "request GET http front.test#@127.0.0.1:{metadata} /", "request GET http front.test/@127.0.0.1:{metadata} /", "request GET http 127.0.0.1:{metadata}#front.test /", "request GET http 127.0.0.1:{metadata}?front.test /"], "refused each time: "),
    ("other-letters", "to reach this machine by digits of other scripts", &["request GET http \u{ff11}\u{ff12}\u{ff17}.0.0.1:{metadata} /", "request GET http \u{2460}\u{2461}\u{2466}.0.0.1:{metadata} /", "request GET http 127\u{3002}0\u{3002}0\u{3002}1:{metadata} /"], "refused each time: "),
    ("path-of-another-server", "to have the path of a request be another URL", &["request GET http front.test:{front} http://127.0.0.1:{metadata}/", "request GET http front.test:{front} @127.0.0.1:{metadata}/"], "refused each time: path"),
    ("other-host-field", "to have the server take a request for another one's", &["request GET http front.test:{front} / host=127.0.0.1:{metadata}", "request GET http front.test:{front} / Host=metadata.test", "request GET http front.test:{front} / x-forwarded-host=metadata.test", "request GET http front.test:{front} / x_forwarded_host=metadata.test"], "refused each time: field: HeaderError::Forbidden"),
    ("hop-by-hop-fields", "to speak to a proxy or about the connection", &["request GET http front.test:{front} / connection=keep-alive,host", "request GET http front.test:{front} / transfer-encoding=chunked", "request GET http front.test:{front} / upgrade=h2c", "request GET http front.test:{front} / http2-settings=AAMAAABkAAQAAP__", "request GET http front.test:{front} / proxy-authorization=Basic", "request GET http front.test:{front} / te=trailers"], "refused each time: field: HeaderError::Forbidden"),
    ("request-in-a-field", "to smuggle a second request in a field, a path or a method", &["request GET http front.test:{front} / x=a%0d%0a%0d%0aGET%20/smuggled", "request GET http front.test:{front} /%20HTTP/1.1%0d%0ax:y", "request GET%20/smuggled%20HTTP/1.1%0d%0a http front.test:{front} /"], "refused each time: "),
    ("other-length", "to smuggle a second request behind a length that is not the body's", &["request POST http front.test:{front} / content-length=3 body=500", "request POST http front.test:{front} / content-length=500 body=3", "request POST http front.test:{front} / content-length=3 content-length=500 body=3", "request POST http front.test:{front} / content-length=+3 body=3"], "refused each time: "),
    ("other-scheme", "to send a request by another scheme", &["request GET file / /etc/hostname", "request GET gopher front.test:{front} /", "request GET unix /run/docker.sock /"], "refused each time: "),
];

/// Grants every request, to the front's address alone.
fn everything(environment: &mut Environment) {
    grant(environment, &["http://*:*", "https://*:*"]);
}

/// Grants one method under one path of the front.
fn one_prefix(environment: &mut Environment) {
    grant(environment, &["GET http://front.test:*/granted/"]);
}

fn grant(environment: &mut Environment, requests: &[&str]) {
    let mut grants = Grants::default();
    let patterns = requests.iter().map(|text| text.parse().expect(text));
    grants.http.requests = patterns.collect();
    grants.http.addresses = vec!["127.0.0.2".parse().expect("an address")];
    environment.grants = Arc::new(grants);
}

/// Asks by a name that means the front every other time.
async fn rebinding(scene: &Scene) -> String {
    const TRIES: usize = 20;
    let mut environment = scene.environment();
    everything(&mut environment);
    let (mut front, mut refused) = (0, 0);
    for port in ["{front}", "{metadata}"].iter().cycle().take(TRIES) {
        let request = format!("request GET http rebinding.test:{port} /");
        let found = scene.attack(&[request], &environment).await;
        front += usize::from(found == "found: 200 hello");
        refused += usize::from(found.starts_with("refused each time: "));
    }
    if front + refused == TRIES {
        format!("the front or an error, {TRIES} times")
    } else {
        format!("{front} times the front, {refused} errors")
    }
}

/// Sends trailers, and asks the server what it has seen.
async fn trailers(scene: &Scene) -> String {
    let mut environment = scene.environment();
    everything(&mut environment);
    let found = scene
        .attack(
            &[
                "request POST http front.test:{front} / body=10 trailer=x-late",
                "request POST http front.test:{front} / body=10 trailer=authorization",
                "request POST http front.test:{front} / body=10 trailer=host",
            ],
            &environment,
        )
        .await;
    let seen = scene.front.seen();
    let trailing = seen.requests.iter().filter(|it| it.trailers).count();
    format!("{trailing} with trailers; {found}")
}
