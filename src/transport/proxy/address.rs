//! The address of a proxy, as people and environments write it.

use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

use super::{Login, Protocol, Proxy};
use crate::transport::Endpoint;

/// Why a text is not the address of a proxy. The text is not repeated: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The scheme is none of ours.
    #[error("the kinds of proxy are socks4://, socks4a://, socks5:// (or socks5h://) and http://")]
    Scheme,
    /// What follows the scheme is no host, or has more behind it.
    #[error("it has to look like socks5://user:password@host:port")]
    Authority,
}

impl FromStr for Proxy {
    type Err = AddressError;

    /// Reads `scheme://user:password@host:port`, user and password with %-escapes. Without a scheme
    /// it is HTTP's, without a port 1080, as curl has it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, authority) = text.split_once("://").unwrap_or(("http", text));
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "socks4" => Protocol::Socks4,
            "socks4a" => Protocol::Socks4a,
            "socks5" | "socks5h" | "socks" => Protocol::Socks5,
            "http" => Protocol::Http,
            _ => return Err(AddressError::Scheme),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(|c: char| c.is_whitespace() || c.is_control())
            || authority.contains(['/', '?', '#'])
        {
            return Err(AddressError::Authority);
        }
        // Under a scheme that it knows, the url crate would hide a port that is the scheme's own.
        let url = Url::parse(&format!("proxy://{authority}/"));
        let url = url.map_err(|_| AddressError::Authority)?;
        let host = match url.host() {
            None | Some(Host::Domain("")) => return Err(AddressError::Authority),
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        Ok(Self {
            protocol,
            endpoint: Endpoint {
                host,
                port: url.port().filter(|port| *port > 0).unwrap_or(PORT),
            },
            login: login(&url),
        })
    }
}

fn login(url: &Url) -> Option<Login> {
    let user = unescape(url.username());
    let password = url.password().map(unescape);
    (!user.is_empty() || password.is_some()).then(|| Login {
        user,
        password: password.unwrap_or_default(),
    })
}

/// Undoes %-escapes; what is no text then stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = behind.get(..2).unwrap_or_default();
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if !digits.starts_with('+') => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(b'%');
                rest = behind;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Where SOCKS proxies listen, and what curl takes for any.
const PORT: u16 = 1080;

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Proxy {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reads_kind_and_place() {
        for (text, expected) in [
            ("socks4://proxy", "socks4://proxy:1080"),
            ("socks4a://proxy:1", "socks4a://proxy:1"),
            ("SOCKS5://127.0.0.1:9050/", "socks5://127.0.0.1:9050"),
            ("socks5h://[::1]:9", "socks5://[::1]:9"),
            ("http://proxy:80", "http://proxy:80"),
            ("http://proxy", "http://proxy:1080"),
            ("proxy.example:3128", "http://proxy.example:3128"),
        ] {
            assert_eq!(proxy(text).to_string(), expected);
        }
    }

    #[test]
    fn reads_who_asks_and_keeps_it_to_itself() {
        let proxy = proxy("socks5://j%6fe:p%40ss%3a%+1%é@host:1");
        let login = proxy.login.as_ref().unwrap();
        assert_eq!(login.user, "joe");
        assert_eq!(login.password, "p@ss:%+1%é");
        let shown = format!("{proxy} {proxy:?}");
        assert!(!shown.contains("joe") && !shown.contains("ss:"), "{shown}");
    }

    #[test]
    fn nobody_asks_where_nobody_is_named() {
        assert!(proxy("http://h").login.is_none());
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        for (text, expected) in [
            ("https://user:secret@proxy", AddressError::Scheme),
            ("ftp://proxy", AddressError::Scheme),
            ("", AddressError::Authority),
            ("socks5://", AddressError::Authority),
            ("socks5://a b", AddressError::Authority),
            ("socks5://proxy:99999", AddressError::Authority),
            ("socks5://proxy/path", AddressError::Authority),
            ("socks5://user:secret@", AddressError::Authority),
        ] {
            assert_eq!(text.parse::<Proxy>(), Err(expected), "{text}");
            assert!(!expected.to_string().contains("secret"));
        }
    }
}
