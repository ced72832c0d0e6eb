//! The `NO_PROXY` list.

use std::{net::IpAddr, str::FromStr};

/// Hosts that are reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bypass(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    All,
    /// A name and its subdomains.
    Domain(String),
    /// All addresses with the same leading bits.
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl Bypass {
    /// Parses a list in curl's syntax, separated by commas or blanks. Invalid items are ignored.
    ///
    /// `*` matches every host, a name (with or without a leading dot) matches itself and its subdomains,
    /// an address matches itself, and `address/bits` matches a network.
    pub fn parse(list: &str) -> Self {
        let items = list.split([',', ' ', '\t']).filter(|item| !item.is_empty());
        Self(items.filter_map(Rule::parse).collect())
    }

    /// Returns whether the list matches `host`, a name or an address without brackets.
    pub fn contains(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = IpAddr::from_str(&host).ok();
        self.0.iter().any(|rule| rule.matches(&host, address))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (name, bits) = match text.split_once('/') {
            Some((name, bits)) => (name, Some(bits)),
            None => (text, None),
        };
        let bare = name.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let max_bits = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(max_bits), |bits| bits.parse().ok())?;
            return (bits <= max_bits).then_some(Self::Network { address, bits });
        }
        let domain = name.strip_prefix("*.").unwrap_or(name);
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        (bits.is_none() && !domain.is_empty()).then_some(Self::Domain(domain))
    }

    fn matches(&self, host: &str, host_address: Option<IpAddr>) -> bool {
        match (self, host_address) {
            (Self::All, _) => true,
            (Self::Domain(domain), None) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (Self::Network { address, bits }, Some(host)) => {
                host.is_ipv4() == address.is_ipv4()
                    && network_part(host, *bits) == network_part(*address, *bits)
            }
            _ => false,
        }
    }
}

/// Returns the leading `bits` of an address.
fn network_part(address: IpAddr, bits: u32) -> u128 {
    let left_aligned = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    left_aligned
        .checked_shr(u128::BITS.saturating_sub(bits))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_match_hosts_as_in_curl() {
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
