//! The hosts that need no proxy, as `NO_PROXY` lists them.

use std::{net::IpAddr, str::FromStr};

/// Hosts that are reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bypass(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Everything,
    /// The name itself and all names below it.
    Domain(String),
    /// All addresses that share the first bits.
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl Bypass {
    /// Reads a list the way curl does: `*` is every host, a name (with or without a dot in front)
    /// stands for itself and what is below it, an address for itself, `address/bits` for a network.
    /// Commas and blanks separate. What makes no sense is passed over.
    pub fn parse(list: &str) -> Self {
        let items = list.split([',', ' ', '\t']).filter(|item| !item.is_empty());
        Self(items.filter_map(Item::parse).collect())
    }

    /// Whether `host`, a name or an address without brackets, is among them.
    pub fn contains(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = IpAddr::from_str(&host).ok();
        self.0.iter().any(|item| item.contains(&host, address))
    }
}

impl Item {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        let (name, bits) = match text.split_once('/') {
            Some((name, bits)) => (name, Some(bits)),
            None => (text, None),
        };
        let bare = name.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
            return (bits <= most).then_some(Self::Network { address, bits });
        }
        let domain = name.strip_prefix("*.").unwrap_or(name);
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        (bits.is_none() && !domain.is_empty()).then_some(Self::Domain(domain))
    }

    fn contains(&self, host: &str, host_address: Option<IpAddr>) -> bool {
        match (self, host_address) {
            (Self::Everything, _) => true,
            (Self::Domain(domain), None) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (Self::Network { address, bits }, Some(host)) => {
                host.is_ipv4() == address.is_ipv4()
                    && leading(host, *bits) == leading(*address, *bits)
            }
            _ => false,
        }
    }
}

/// The first `bits` of an address.
fn leading(address: IpAddr, bits: u32) -> u128 {
    let left_aligned = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    left_aligned
        .checked_shr(u128::BITS - bits)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hosts_the_way_of_curl() {
        let cases = [
            ("*", "anything.example", true),
            ("*", "::1", true),
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "www.example.com", true),
            (".example.com", "example.com", true),
            ("*.example.com", "www.example.com", true),
            ("example.com", "notexample.com", false),
            ("www.example.com", "example.com", false),
            ("a.example, b.example", "b.example", true),
            ("a.example b.example", "b.example", true),
            ("localhost,127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "127.9.9.9", true),
            ("10.0.0.0/9", "10.127.0.1", true),
            ("10.0.0.0/9", "10.128.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("[::1]", "::1", true),
            ("::/0", "::1", true),
            ("0.0.1", "127.0.0.1", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("example.com/8", "example.com", false),
            ("", "example.com", false),
            (", ,.", "example.com", false),
        ];
        for (list, host, expected) in cases {
            assert_eq!(
                Bypass::parse(list).contains(host),
                expected,
                "{list:?} {host}"
            );
        }
        assert!(!Bypass::default().contains("localhost"));
    }
}
