//! Values of options that are more than text.

use std::{net::Ipv6Addr, str::FromStr};

use thiserror::Error;

use crate::{
    rtmp::target::{self, Scheme},
    transport::Endpoint,
};

/// Why a text is no such value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// Neither a number that rtmpdump has for a protocol, nor the name of one.
    #[error("the protocols are rtmp (0), rtmpt (1), rtmpe (2), rtmpte (3), rtmps (4), rtmpts (5)")]
    Protocol,
    /// Not a time that a stream can have.
    #[error("not a number of seconds from 0 to 4294967")]
    Seconds,
    /// Not 32 bytes in hexadecimal.
    #[error("a hash is 64 hex digits")]
    Hash,
    /// Neither a name nor an address.
    #[error("not the name or the address of a host")]
    Host,
    /// Not a number above 0.
    #[error("not a number from 1 to 4294967295")]
    NotAbove0,
}

/// How RTMP travels, by name or by rtmpdump's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub Scheme);

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let by_number = || target::SCHEMES.get(text.parse::<usize>().ok()?).copied();
        let scheme = text.parse().ok().or_else(by_number);
        scheme.map(Self).ok_or(Error::Protocol)
    }
}

/// A time in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds {
    /// In milliseconds.
    pub ms: u32,
}

impl FromStr for Seconds {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ms = (text.parse::<f64>().map_err(|_| Error::Seconds)? * 1000.0).round();
        let is_time = (0.0..=f64::from(u32::MAX)).contains(&ms);
        is_time
            .then_some(Self { ms: ms as u32 })
            .ok_or(Error::Seconds)
    }
}

/// The HMAC-SHA256 of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwfHash(pub [u8; 32]);

impl FromStr for SwfHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::Hash);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| Error::Hash)?;
        }
        Ok(Self(hash))
    }
}

/// A SOCKS proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socks(pub Endpoint);

impl FromStr for Socks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (host, port) = authority(text)?;
        let port = port.unwrap_or(SOCKS_PORT);
        Ok(Self(Endpoint { host, port }))
    }
}

/// The name or address of a host, an IPv6 one with or without brackets. Without brackets it comes
/// back.
pub fn host(text: &str) -> Result<String, Error> {
    let text = match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => text.to_owned(),
    };
    match authority(&text)? {
        (host, None) if !text.ends_with(':') => Ok(host),
        _ => Err(Error::Host),
    }
}

/// A number above 0.
pub(super) fn above_0(text: &str) -> Result<u32, Error> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(Error::NotAbove0)
}

fn authority(text: &str) -> Result<(String, Option<u16>), Error> {
    if text.contains(['/', '?', '#', '@']) {
        return Err(Error::Host);
    }
    target::host_and_port(text).map_err(|_| Error::Host)
}

/// Where SOCKS proxies listen.
const SOCKS_PORT: u16 = 1080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_protocols_by_number_and_name() {
        let cases = [
            ("0", Scheme::Rtmp),
            ("1", Scheme::Rtmpt),
            ("2", Scheme::Rtmpe),
            ("3", Scheme::Rtmpte),
            ("4", Scheme::Rtmps),
            ("5", Scheme::Rtmpts),
            ("rtmp", Scheme::Rtmp),
            ("RTMPTE", Scheme::Rtmpte),
        ];
        for (text, scheme) in cases {
            assert_eq!(text.parse(), Ok(Protocol(scheme)), "{text}");
        }
        for text in ["6", "-1", "", "http", "rtmp:", "0x1"] {
            assert_eq!(text.parse::<Protocol>(), Err(Error::Protocol), "{text}");
        }
    }

    #[test]
    fn reads_seconds() {
        let cases = [
            ("0", 0),
            ("1", 1000),
            ("2.5", 2500),
            ("0.0004", 0),
            ("1.0015", 1002),
            ("1e2", 100_000),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse(), Ok(Seconds { ms }), "{text}");
        }
        for text in ["", "-1", "1:30", "inf", "NaN", "4294968", "1s"] {
            assert_eq!(text.parse::<Seconds>(), Err(Error::Seconds), "{text}");
        }
    }

    #[test]
    fn reads_hashes() {
        let hash: SwfHash = "0123456789abcdefABCDEF00".repeat(3)[..64].parse().unwrap();
        assert_eq!(hash.0[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(hash.0[31], 0xEF);
        for text in [
            "",
            &"0".repeat(63),
            &"0".repeat(65),
            &"0g".repeat(32),
            &"é".repeat(32),
        ] {
            assert_eq!(text.parse::<SwfHash>(), Err(Error::Hash), "{text}");
        }
    }

    #[test]
    fn reads_hosts() {
        for (text, expected) in [
            ("host", "host"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "", "host:1", "host:", "[::1]:1", "a/b", "me@host", "a b", "[::1", "host?x",
        ] {
            assert_eq!(host(text), Err(Error::Host), "{text}");
        }
    }

    #[test]
    fn reads_proxies() {
        for (text, expected) in [
            ("proxy", "proxy:1080"),
            ("proxy:1", "proxy:1"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(text.parse::<Socks>().unwrap().0.to_string(), expected);
        }
        for text in ["", ":1", "proxy:99999", "proxy:x", "me@proxy"] {
            assert_eq!(text.parse::<Socks>(), Err(Error::Host), "{text}");
        }
    }

    #[test]
    fn wants_more_than_nothing() {
        assert_eq!(above_0("7"), Ok(7));
        for text in ["0", "-1", "x", ""] {
            assert_eq!(above_0(text), Err(Error::NotAbove0), "{text}");
        }
    }
}
