//! Which addresses may be dialed: what the registries say of each.
//!
//! *Invariant*: a [`Dialable`] address is public or granted, and made by [`dialable`] alone.
//!
//! *Invariant*: an address that carries an IPv4 address within is judged as that
//! one, and as itself too where it leads to a network before it leads there: the
//! stricter counts, and both have to be granted.
//!
//! *Invariant*: where several lines of the table hold an address, the narrowest
//! decides. What no line holds is public in IPv4, and reserved in IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

use ipnet::IpNet;

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Kind {
    /// Reached over the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// The network of a provider behind its translation of addresses.
    Shared,
    /// What is on the same link.
    LinkLocal,
    /// A service that gives a machine its identity and its secrets.
    Metadata,
    /// No address: it stands for all, for none, or for many.
    Unspecified,
    Multicast,
    Broadcast,
    /// For examples in texts.
    Documentation,
    /// For measurements.
    Benchmark,
    /// Set aside, or for a protocol of its own.
    Reserved,
}

impl Kind {
    /// Tells how much it takes to be allowed there: nothing, a grant for it or for a
    /// network around it, a grant for it alone, or more than there is.
    const fn strictness(self) -> u8 {
        match self {
            Self::Public => 0,
            Self::Loopback
            | Self::Private
            | Self::Shared
            | Self::LinkLocal
            | Self::Documentation
            | Self::Benchmark
            | Self::Reserved => 1,
            Self::Metadata => 2,
            Self::Unspecified | Self::Multicast | Self::Broadcast => 3,
        }
    }

    /// Tells whether an address of the kind can be granted at all.
    pub(in crate::sandbox::outbound) const fn can_be_granted(self) -> bool {
        self.strictness() < 3
    }
}

/// The IANA IPv4 and IPv6 Special-Purpose Address Registries, what they leave to
/// others (multicast), the one space of which public addresses of IPv6 are given out
/// (`2000::/3`), and the addresses at which clouds serve metadata.
const REGISTRY: &[(Kind, &str)] = &[
    (
        Kind::Public,
        "192.0.0.9/32 192.0.0.10/32 2000::/3 2001:1::1/128 2001:1::2/128 2001:1::3/128 \
         2001:3::/32 2001:4:112::/48 2001:20::/28 2001:30::/28",
    ),
    (Kind::Loopback, "127.0.0.0/8 ::1/128"),
    (
        Kind::Private,
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
    ),
    // Translation between IPv4 and IPv6 in one's own network.
    (Kind::Private, "64:ff9b:1::/48"),
    // Site-local, which was to be what unique-local is now.
    (Kind::Private, "fec0::/10"),
    (Kind::Shared, "100.64.0.0/10"),
    (Kind::LinkLocal, "169.254.0.0/16 fe80::/10"),
    // AWS, Azure, Google Cloud and others; of AWS also the resolver and the time, the
    // tasks of ECS and the pods of EKS.
    (
        Kind::Metadata,
        "169.254.169.254/32 169.254.169.253/32 169.254.169.123/32 169.254.170.2/32 \
         169.254.170.23/32 fd00:ec2::254/128 fd00:ec2::253/128 fd00:ec2::123/128 \
         fd00:ec2::23/128",
    ),
    // Google Cloud, Oracle Cloud, Scaleway, OpenStack; Alibaba Cloud, Tencent Cloud.
    (
        Kind::Metadata,
        "fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 192.0.0.192/32 fd00:42::42/128 \
         169.254.42.42/32 fe80::a9fe:a9fe/128 100.100.100.200/32 169.254.0.23/32",
    ),
    // Azure's own, in the middle of public addresses.
    (Kind::Metadata, "168.63.129.16/32"),
    (Kind::Unspecified, "0.0.0.0/32 ::/128"),
    (Kind::Multicast, "224.0.0.0/4 ff00::/8"),
    (Kind::Broadcast, "255.255.255.255/32"),
    (
        Kind::Documentation,
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    ),
    (Kind::Benchmark, "198.18.0.0/15 2001:2::/48"),
    (
        Kind::Reserved,
        "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 2001::/23",
    ),
];

static NETWORKS: LazyLock<Vec<(IpNet, Kind)>> = LazyLock::new(|| {
    let nets = |(kind, nets): &(Kind, &'static str)| {
        let kind = *kind;
        nets.split(' ')
            .map(move |net| (net.parse().expect(net), kind))
    };
    REGISTRY.iter().flat_map(nets).collect()
});

/// An address that may be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox::outbound) struct Dialable(IpAddr);

impl Dialable {
    pub(in crate::sandbox::outbound) const fn ip(self) -> IpAddr {
        self.0
    }
}

/// Gives the addresses that may be dialed: those of which each that they are judged
/// as is public or granted.
pub(super) fn dialable(found: &[IpAddr], grants: &[AddressGrant]) -> Vec<Dialable> {
    let holds = |one| grants.iter().any(|grant| grant.holds(one));
    let may_be = |one| kind_of_one(one) == Kind::Public || holds(one);
    let allowed = found.iter();
    let allowed = allowed.filter(|address| deciding(**address).all(may_be));
    allowed.copied().map(Dialable).collect()
}

/// Tells whether what is sent to an address stays on this machine. What carries a
/// loopback address need not: a NAT64 is elsewhere.
pub(in crate::sandbox::outbound) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Tells what an address is for: the strictest of what it is judged as.
pub(in crate::sandbox::outbound) fn kind(address: IpAddr) -> Kind {
    deciding(address)
        .map(kind_of_one)
        .max_by_key(|kind| kind.strictness())
        .expect("an address is judged as one at least")
}

/// Gives the addresses whose grants would allow an address.
pub(in crate::sandbox::outbound) fn lacking(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    deciding(address).filter(|one| kind_of_one(*one) != Kind::Public)
}

/// Tells what the registries say of an address, whatever it carries.
fn kind_of_one(address: IpAddr) -> Kind {
    let holding = NETWORKS.iter().filter(|(net, _)| net.contains(&address));
    let narrowest = holding.max_by_key(|(net, _)| net.prefix_len());
    match (narrowest, address) {
        (Some((_, kind)), _) => *kind,
        (None, IpAddr::V4(_)) => Kind::Public,
        (None, IpAddr::V6(_)) => Kind::Reserved,
    }
}

/// Gives the addresses that decide: itself, the IPv4 address within, or both.
fn deciding(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let (itself, within) = match address {
        IpAddr::V4(_) => (true, None),
        IpAddr::V6(v6) => carried(v6),
    };
    itself.then_some(address).into_iter().chain(within)
}

/// Tells whether an address of IPv6 is judged as itself, and gives the IPv4 address
/// that it carries.
fn carried(address: Ipv6Addr) -> (bool, Option<IpAddr>) {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match address.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => (true, None),
        // Compatible, mapped, translated (RFC 4291, RFC 2765), and what NAT64 does
        // to one (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (false, v4(high, low)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (false, v4(high, low)),
        // ISATAP (RFC 5214), below any network: who has no such interface sends it
        // there as it is.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (true, v4(high, low)),
        // What NAT64 does in one's own network (RFC 8215). Behind a shorter prefix an
        // address ends in zeros.
        [0x64, 0xff9b, 1, .., 0, 0] => (true, None),
        [0x64, 0xff9b, 1, .., high, low] => (true, v4(high, low)),
        _ => (true, None),
    }
}

/// Grants addresses that are not public: an address, or a network such as
/// `10.0.0.0/8`.
///
/// An address that carries an IPv4 address within, such as `::ffff:10.0.0.1`, is
/// granted by that one; where it leads to a network first, as those of ISATAP and of
/// a NAT64 of one's own do, both have to be granted. The address of a metadata
/// service is granted by itself alone and not by a network around it. The
/// unspecified address, multicast and broadcast cannot be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressGrant(IpNet);

/// Why a text grants no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address and no network: {rule}")]
pub struct AddressGrantError {
    text: String,
    rule: String,
}

impl AddressGrant {
    /// Tells whether it grants an address, whatever that carries.
    fn holds(self, address: IpAddr) -> bool {
        let kind = kind_of_one(address);
        let alone = self.0.prefix_len() == self.0.max_prefix_len();
        kind.can_be_granted() && (alone || kind != Kind::Metadata) && self.0.contains(&address)
    }
}

impl FromStr for AddressGrant {
    type Err = AddressGrantError;

    fn from_str(text: &str) -> Result<Self, AddressGrantError> {
        let refused = |rule: String| AddressGrantError {
            text: text.to_owned(),
            rule,
        };
        let net = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| refused("write one such as `127.0.0.1` or `10.0.0.0/8`".to_owned()))?;
        if net.trunc() != net {
            let (first, all) = (IpNet::from(net.addr()), net.trunc());
            return Err(refused(format!(
                "write `{}` for the address or `{all}` for the network",
                first.addr()
            )));
        }
        if let IpAddr::V6(address) = net.addr()
            && let (false, Some(within)) = carried(address)
        {
            return Err(refused(format!(
                "it carries IPv4 addresses, which are granted themselves: write one such as `{within}`"
            )));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for AddressGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests;
