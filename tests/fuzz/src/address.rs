//! What addresses are for, beside the registries of the IANA.
//!
//! An input is an address as text, or the 4 or 16 bytes of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use formwork_host::sandbox::fuzzing::is_public;

/// The IANA IPv4 Special-Purpose Address Registry, by its column "Globally
/// Reachable", with what is for many (RFC 5771) and the metadata of clouds at
/// public addresses.
const V4: &[(&str, u8, bool)] = &[
    ("0.0.0.0", 8, false),
    ("10.0.0.0", 8, false),
    ("100.64.0.0", 10, false),
    ("127.0.0.0", 8, false),
    ("168.63.129.16", 32, false),
    ("169.254.0.0", 16, false),
    ("172.16.0.0", 12, false),
    ("192.0.0.0", 24, false),
    ("192.0.0.9", 32, true),
    ("192.0.0.10", 32, true),
    ("192.0.2.0", 24, false),
    ("192.31.196.0", 24, true),
    ("192.52.193.0", 24, true),
    ("192.88.99.0", 24, false),
    ("192.168.0.0", 16, false),
    ("192.175.48.0", 24, true),
    ("198.18.0.0", 15, false),
    ("198.51.100.0", 24, false),
    ("203.0.113.0", 24, false),
    ("224.0.0.0", 4, false),
    ("240.0.0.0", 4, false),
    ("255.255.255.255", 32, false),
];

/// The same of IPv6, within what is given out (`2000::/3`).
const V6: &[(&str, u8, bool)] = &[
    ("::", 0, false),
    ("2000::", 3, true),
    ("2001::", 23, false),
    ("2001:1::1", 128, true),
    ("2001:1::2", 128, true),
    ("2001:1::3", 128, true),
    ("2001:2::", 48, false),
    ("2001:3::", 32, true),
    ("2001:4:112::", 48, true),
    ("2001:10::", 28, false),
    ("2001:20::", 28, true),
    ("2001:30::", 28, true),
    ("2001:db8::", 32, false),
    ("2620:4f:8000::", 48, true),
    ("3fff::", 20, false),
];

/// Classifies an address. It is public when the registries say so of it and of
/// the IPv4 address that it carries; of that one alone, where packets go straight
/// to it.
pub(crate) fn classify(data: &[u8]) {
    let text = str::from_utf8(data).ok().and_then(|text| text.parse().ok());
    let address = text.or_else(|| match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    });
    if let Some(address) = address {
        assert_eq!(is_public(address), expected(address), "{address}");
    }
}

fn expected(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4_is_public(v4),
        IpAddr::V6(v6) => match carried(v6) {
            None => v6_is_public(v6),
            Some((within, Way::Straight)) => v4_is_public(within),
            Some((within, Way::ByItsNetwork)) => v6_is_public(v6) && v4_is_public(within),
        },
    }
}

fn v4_is_public(address: Ipv4Addr) -> bool {
    let found = V4.iter().filter(|(start, length, _)| {
        let start: Ipv4Addr = start.parse().expect("an address of the table");
        let shift = 32 - u32::from(*length);
        (u32::from(start) ^ u32::from(address)) >> shift == 0
    });
    let narrowest = found.max_by_key(|(_, length, _)| *length);
    narrowest.is_none_or(|(_, _, public)| *public)
}

fn v6_is_public(address: Ipv6Addr) -> bool {
    let found = V6.iter().filter(|(start, length, _)| {
        let start: Ipv6Addr = start.parse().expect("an address of the table");
        let differ = u128::from(start) ^ u128::from(address);
        *length == 0 || differ >> (128 - u32::from(*length)) == 0
    });
    let narrowest = found.max_by_key(|(_, length, _)| *length);
    narrowest.is_some_and(|(_, _, public)| *public)
}

/// How a packet comes to the address within another one.
enum Way {
    Straight,
    ByItsNetwork,
}

/// Gives the IPv4 address that one of IPv6 carries, as it is written.
fn carried(address: Ipv6Addr) -> Option<(Ipv4Addr, Way)> {
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    let bytes = address.octets();
    let at = |start: usize| {
        let four: [u8; 4] = bytes[start..start + 4].try_into().expect("four bytes");
        Ipv4Addr::from(four)
    };
    let begins = |prefix: &[u8]| bytes.starts_with(prefix);
    let zeros = [0; 12];
    if begins(&zeros)
        || begins(b"\0\0\0\0\0\0\0\0\0\0\xff\xff")
        || begins(b"\0\0\0\0\0\0\0\0\xff\xff\0\0")
        || begins(b"\0\x64\xff\x9b\0\0\0\0\0\0\0\0")
    {
        return Some((at(12), Way::Straight));
    }
    if begins(b"\x20\x02") {
        return Some((at(2), Way::Straight));
    }
    let isatap = matches!(&bytes[8..12], [0 | 2, 0, 0x5e, 0xfe]);
    isatap.then(|| (at(12), Way::ByItsNetwork))
}
