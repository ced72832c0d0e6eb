//! Parsing of proxy addresses from the command line and the environment.

use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

use super::{Login, Protocol, Proxy};
use crate::transport::Endpoint;

/// Error for an invalid proxy address. It does not contain the address, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The scheme is not supported.
    #[error(
        "the supported schemes are socks4://, socks4a://, socks5:// (or socks5h://) and http://"
    )]
    Scheme,
    /// The text after the scheme is not `user:password@host:port`.
    #[error("the address must have the form socks5://user:password@host:port")]
    Authority,
}

impl FromStr for Proxy {
    type Err = AddressError;

    /// Parses `scheme://user:password@host:port`, with %-escapes in user and password.
    ///
    /// As in curl, the default scheme is `http` and the default port is 1080.
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
        // The url crate drops the default port of a known scheme, so an unknown one replaces it.
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
                port: url.port().filter(|port| *port > 0).unwrap_or(DEFAULT_PORT),
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

/// Decodes %-escapes. Returns the text unchanged if the result is not UTF-8.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).unwrap_or_default();
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if !digits.starts_with('+') => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Port of SOCKS proxies, which curl uses for every scheme.
const DEFAULT_PORT: u16 = 1080;

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Proxy {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn scheme_host_and_port_are_parsed() {
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
    fn the_login_is_decoded_and_never_printed() {
        let proxy = proxy("socks5://j%6fe:p%40ss%3a%+1%é@host:1");
        let login = proxy.login.as_ref().unwrap();
        assert_eq!(login.user, "joe");
        assert_eq!(login.password, "p@ss:%+1%é");
        let shown = format!("{proxy} {proxy:?}");
        assert!(!shown.contains("joe") && !shown.contains("ss:"), "{shown}");
    }

    #[test]
    fn an_address_without_user_has_no_login() {
        assert!(proxy("http://h").login.is_none());
    }

    #[test]
    fn errors_do_not_repeat_the_address() {
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
