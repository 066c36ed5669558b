//! Which network addresses may be called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Networks, beside the public internet, that outgoing requests may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    allowed: Vec<Network>,
}

/// A network in CIDR notation (RFC 4632), such as `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    start: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network like 10.1.0.0/16 or fd00::/8")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (start, bits) = text.split_once('/').ok_or(InvalidNetwork)?;
        let start: IpAddr = start.parse().map_err(|_| InvalidNetwork)?;
        let bits: u8 = bits.parse().map_err(|_| InvalidNetwork)?;
        if bits > if start.is_ipv4() { 32 } else { 128 } {
            return Err(InvalidNetwork);
        }
        Ok(Self { start, bits })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let shift = width - u32::from(self.bits);
            // A shift by the whole width is no shift at all.
            shift == 128 || (a ^ b) >> shift == 0
        };
        match (self.start, address) {
            (IpAddr::V4(start), IpAddr::V4(address)) => same(start.to_bits().into(), address.to_bits().into(), 32),
            (IpAddr::V6(start), IpAddr::V6(address)) => same(start.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }
}

impl AddressRules {
    /// Public addresses and these networks.
    pub fn with(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// This machine itself too; for demos and tests, whose apps run beside the server.
    #[must_use]
    pub fn and_loopback(mut self) -> Self {
        self.allowed.push(Network { start: Ipv4Addr::new(127, 0, 0, 0).into(), bits: 8 });
        self.allowed.push(Network { start: Ipv6Addr::LOCALHOST.into(), bits: 128 });
        self
    }

    /// Whether an address may be called.
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(address))
    }
}

/// Global unicast, by the special-purpose registries of IANA (RFC 6890 and its updates). An IPv6 address that carries an IPv4
/// address is as public as that one, and a translator's or tunnel's address never is.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // 2000::/3 is all that is handed out.
            (first & 0xe000) == 0x2000
                && first != 0x2002
                && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8))
                && !(first == 0x3fff && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressRules, Network};

    #[test]
    fn only_public_addresses_may_be_called() {
        let rules = AddressRules::default();
        for text in [
            "127.0.0.1",
            "127.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::7f00:1",
        ] {
            assert!(!rules.permit(text.parse().unwrap()), "{text}");
        }
        for text in
            ["1.1.1.1", "172.32.0.1", "192.167.1.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2a00::1"]
        {
            assert!(rules.permit(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn networks_open_what_they_say_and_no_more() {
        let rules = AddressRules::with(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for (text, permitted) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("::ffff:10.1.0.1", true),
            ("fd00:1::5", true),
            ("fd00:2::5", false),
        ] {
            assert_eq!(rules.permit(text.parse().unwrap()), permitted, "{text}");
        }
        assert!(AddressRules::default().and_loopback().permit("127.0.0.1".parse().unwrap()));
        assert!(!AddressRules::default().and_loopback().permit("10.0.0.1".parse().unwrap()));
        assert!(AddressRules::with(vec!["0.0.0.0/0".parse().unwrap()]).permit("10.0.0.1".parse().unwrap()));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
