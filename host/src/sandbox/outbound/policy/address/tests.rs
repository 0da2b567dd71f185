//! What addresses are for, held against the registries, and what is granted.

use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::*;

fn is_allowed(address: IpAddr, grants: &[AddressGrant]) -> bool {
    dialable(&[address], grants) == [Dialable(address)]
}

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn an_address_is_what_the_registries_say() {
    for (kind_of_them, addresses) in [
        (
            Kind::Public,
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.0.9",
                "192.0.0.10",
                "192.0.1.0",
                "192.31.196.1",
                "192.52.193.1",
                "192.167.255.255",
                "192.169.0.0",
                "192.175.48.1",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2001:1::1",
                "2001:1::2",
                "2001:1::3",
                "2001:3::1",
                "2001:4:112::1",
                "2001:20::1",
                "2001:30::1",
                "2001:200::1",
                "2606:4700::1111",
                "2620:4f:8000::1",
                "2606:4700::5efe:808:808",
                "3ffe:ffff::",
            ][..],
        ),
        (
            Kind::Loopback,
            &["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"],
        ),
        (
            Kind::Private,
            &[
                "10.0.0.0",
                "10.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "fc00::",
                "fd00::1",
                "fdff:ffff::",
                "fec0::1",
                "64:ff9b:1::a00:1",
                "64:ff9b:1::808:808",
                "64:ff9b:1:808:8:800::",
                "fd12:3456::5efe:808:808",
                "64:ff9b:1::5efe:808:808",
                "2606:4700::200:5efe:192.168.0.1",
            ],
        ),
        (Kind::Shared, &["100.64.0.0", "100.127.255.255"]),
        (
            Kind::LinkLocal,
            &[
                "169.254.0.0",
                "169.254.255.255",
                "fe80::1",
                "febf::1",
                "fe80::200:5efe:808:808",
            ],
        ),
        (
            Kind::Metadata,
            &[
                "169.254.169.254",
                "169.254.170.2",
                "169.254.170.23",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "fd00:ec2::254",
                "fd00:ec2::23",
                "fd20:ce::254",
                "169.254.0.23",
                "169.254.42.42",
                "fd00:c1::a9fe:a9fe",
                "fd00:42::42",
                "fe80::a9fe:a9fe",
                // Behind a NAT64 of one's own.
                "64:ff9b:1::a9fe:a9fe",
            ],
        ),
        (Kind::Unspecified, &["0.0.0.0", "::"]),
        (
            Kind::Multicast,
            &["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1"],
        ),
        (Kind::Broadcast, &["255.255.255.255"]),
        (
            Kind::Documentation,
            &[
                "192.0.2.1",
                "198.51.100.1",
                "203.0.113.255",
                "2001:db8::1",
                "3fff::1",
                "3fff:fff::1",
                "2001:db8::5efe:808:808",
            ],
        ),
        (
            Kind::Benchmark,
            &["198.18.0.0", "198.19.255.255", "2001:2::1"],
        ),
        (
            Kind::Reserved,
            &[
                "0.0.0.1",
                "0.255.255.255",
                "192.0.0.8",
                "192.0.0.170",
                "192.88.99.1",
                "240.0.0.0",
                "255.255.255.254",
                "100::1",
                "100:0:0:1::1",
                "2001::1",
                "2001:10::1",
                "2001:1::4",
                "4000::1",
                "5f00::1",
                "fe00::1",
            ],
        ),
    ] {
        for text in addresses {
            assert_eq!(kind(address(text)), kind_of_them, "{text}");
        }
    }
}

#[test]
fn an_address_with_another_one_within_is_judged_as_that() {
    for (outer, inner) in [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::127.0.0.1", "127.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("::ffff:0:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::1.1.1.1", "1.1.1.1"),
        ("2002:7f00:1::", "127.0.0.1"),
        ("2002:a9fe:a9fe:1:2:3:4:5", "169.254.169.254"),
        ("2002:0101:0101::1", "1.1.1.1"),
        ("::1", "::1"),
        ("::", "::"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        let deciding: Vec<_> = deciding(address(outer)).collect();
        assert_eq!(deciding, [address(inner)], "{outer}");
        assert_eq!(kind(address(outer)), kind(address(inner)), "{outer}");
    }
}

#[test]
fn an_address_that_leads_to_a_network_first_needs_grants_for_both() {
    for (text, outer, within) in [
        ("fd12:3456::5efe:10.0.0.1", "fd00::/8", "10.0.0.0/8"),
        ("fe80::200:5efe:192.168.0.1", "fe80::/10", "192.168.0.1"),
        ("64:ff9b:1::10.0.0.1", "64:ff9b:1::/48", "10.0.0.1"),
        ("64:ff9b:1::a9fe:a9fe", "64:ff9b:1::/48", "169.254.169.254"),
    ] {
        let address = address(text);
        let grants: [AddressGrant; 2] = [outer, within].map(|it| it.parse().expect(it));
        assert!(is_allowed(address, &grants), "{text}");
        for grant in grants {
            assert!(!is_allowed(address, &[grant]), "{text} {grant}");
        }
        assert_eq!(lacking(address).count(), 2, "{text}");
    }
    let network = ["64:ff9b:1::/48".parse().expect("a network")];
    for (text, allowed) in [
        ("64:ff9b:1::8.8.8.8", true),
        ("64:ff9b:1:808:8:800::", true),
        ("64:ff9b:1::169.254.169.254", false),
        ("64:ff9b:1::224.0.0.1", false),
    ] {
        assert_eq!(is_allowed(address(text), &network), allowed, "{text}");
    }
}

#[test]
fn a_grant_holds_what_it_names() {
    for (grant, held, not_held) in [
        (
            "127.0.0.1",
            &["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"][..],
            &["127.0.0.2", "::1"][..],
        ),
        (
            "10.0.0.0/8",
            &["10.1.2.3", "2002:a01:203::"],
            &["172.16.0.1", "192.168.0.1"],
        ),
        ("::1", &["::1"], &["127.0.0.1", "::2"]),
        ("fd00::/8", &["fd00::1"], &["fd00:ec2::254", "fc00::1"]),
        ("fd00:ec2::254", &["fd00:ec2::254"], &[]),
        (
            "0.0.0.0/0",
            &["127.0.0.1", "240.0.0.1"],
            &[
                "169.254.169.254",
                "::ffff:169.254.169.254",
                "0.0.0.0",
                "224.0.0.1",
                "255.255.255.255",
                "::1",
            ],
        ),
        ("169.254.0.0/16", &["169.254.1.1"], &["169.254.169.254"]),
        ("169.254.169.254", &["169.254.169.254"], &[]),
        (
            "fe80::/10",
            &["fe80::1"],
            &["fe80::a9fe:a9fe", "fe80::5efe:10.0.0.1"],
        ),
        ("0.0.0.0", &[], &["0.0.0.0", "::"]),
        (
            "::/0",
            &["::1", "fe80::1"],
            &["::", "ff02::1", "::ffff:10.0.0.1"],
        ),
    ] {
        let parsed: AddressGrant = grant.parse().expect(grant);
        assert_eq!(parsed.to_string(), grant);
        for text in held {
            assert!(is_allowed(address(text), &[parsed]), "{grant} {text}");
        }
        for text in not_held {
            assert!(!is_allowed(address(text), &[parsed]), "{grant} {text}");
        }
    }
}

#[test]
fn what_grants_no_addresses_is_refused_with_the_rule() {
    for (text, rule) in [
        ("", "write one such as"),
        ("localhost", "write one such as"),
        ("10.0.0.0/33", "write one such as"),
        ("0x7f.1", "write one such as"),
        (
            "10.1.2.3/8",
            "write `10.1.2.3` for the address or `10.0.0.0/8` for the network",
        ),
        ("::ffff:10.0.0.1", "write one such as `10.0.0.1`"),
        ("64:ff9b::/96", "carries IPv4 addresses"),
        ("2002:a00::/24", "carries IPv4 addresses"),
    ] {
        let refusal = text.parse::<AddressGrant>().expect_err(text).to_string();
        assert!(refusal.contains(rule), "{text}: {refusal}");
    }
}

proptest! {
    /// The standard library knows some of the kinds.
    #[test]
    fn the_table_agrees_with_the_standard_library(bits in any::<u32>(), low in any::<[u8; 2]>()) {
        for v4 in [Ipv4Addr::from(bits), Ipv4Addr::from([169, 254, low[0], low[1]])] {
            let kind = kind(v4.into());
            if v4.is_loopback() { prop_assert_eq!(kind, Kind::Loopback); }
            if v4.is_private() { prop_assert_eq!(kind, Kind::Private); }
            if v4.is_multicast() { prop_assert_eq!(kind, Kind::Multicast); }
            if v4.is_link_local() {
                prop_assert!(matches!(kind, Kind::LinkLocal | Kind::Metadata));
            }
            if v4.is_documentation() { prop_assert_eq!(kind, Kind::Documentation); }
            for outer in [v4.to_ipv6_mapped(), v4.to_ipv6_compatible()] {
                if outer.segments()[..7] != [0; 7] {
                    prop_assert_eq!(super::kind(outer.into()), kind);
                }
            }
        }
    }

    #[test]
    fn no_grant_of_a_network_opens_what_is_never_granted(
        bits in any::<u128>(), length in 0_u8..=128, address in any::<u128>(),
    ) {
        let net = Ipv6Net::new_assert(bits.into(), length).trunc();
        if let Ok(grant) = net.to_string().parse::<AddressGrant>() {
            let address = IpAddr::from(Ipv6Addr::from(address | 0xff << 120));
            prop_assert!(!is_allowed(address, &[grant]));
        }
    }
}
