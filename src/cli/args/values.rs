//! Values of options that are more than text.

use std::{net::Ipv6Addr, str::FromStr, time::Duration};

use bytesize::ByteSize;
use jiff::{Timestamp, ToSpan, Zoned, civil};
use thiserror::Error;

use crate::{
    core::rtmp::target::{self, Scheme},
    transport::Endpoint,
};

/// Why a text is no such value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// Neither a number that rtmpdump has for a protocol, nor the name of one.
    #[error("the protocols are rtmp (0), rtmpt (1), rtmpe (2), rtmpte (3), rtmps (4), rtmpts (5)")]
    Protocol,
    /// Not a time that a stream can have.
    #[error("not a number of seconds from 0 to 4294967, nor a time such as 1h30m")]
    Seconds,
    /// Not a length of time.
    #[error("neither a number of seconds nor a time such as 1h30m")]
    Span,
    /// Not a number of bytes.
    #[error("not a size such as 500MB or 2GiB")]
    Size,
    /// Nothing is no limit.
    #[error("has to be more than 0")]
    Nothing,
    /// Neither a time of day nor a date with one.
    #[error("not a time such as 20:15, 2026-11-22 20:15 or 2026-11-22T20:15:00+01:00")]
    Until,
    /// Not 32 bytes in hexadecimal.
    #[error("a hash is 64 hex digits")]
    Hash,
    /// Neither a name nor an address.
    #[error("not the name or the address of a host")]
    Host,
    /// Neither a number nor forever.
    #[error("neither a number of attempts nor forever")]
    Attempts,
    /// Not a number that fits 32 bits.
    #[error("not a whole number from 0 to 4294967295")]
    Number,
    /// Not such a number above 0.
    #[error("not a whole number from 1 to 4294967295")]
    NotAbove0,
    /// Not a number that a port can have.
    #[error("not a whole number from 0 to 65535")]
    Port,
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
        let ms = length_ms(text).and_then(|ms| u32::try_from(ms).ok());
        ms.map(|ms| Self { ms }).ok_or(Error::Seconds)
    }
}

/// A length of time above 0: seconds, or words as in `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// In milliseconds.
    pub ms: u64,
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ms = length_ms(text).ok_or(Error::Span)?;
        if ms == 0 {
            return Err(Error::Nothing);
        }
        Ok(Self { ms })
    }
}

/// A length of time, or 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub Option<Span>);

impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            Err(Error::Nothing) => Ok(Self(None)),
            span => Ok(Self(Some(span?))),
        }
    }
}

/// A number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// So many.
    UpTo(u32),
    /// As many as it takes.
    Forever,
}

impl FromStr for Attempts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            Ok(number) => Ok(Self::UpTo(number)),
            Err(_) if text == FOREVER => Ok(Self::Forever),
            Err(_) => Err(Error::Attempts),
        }
    }
}

/// A length of time, which may be 0 or without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    UpTo(Duration),
    /// As long as it takes.
    Forever,
}

impl FromStr for Wait {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse::<Span>() {
            Ok(Span { ms }) => Ok(Self::UpTo(Duration::from_millis(ms))),
            Err(Error::Nothing) => Ok(Self::UpTo(Duration::ZERO)),
            Err(_) if text == FOREVER => Ok(Self::Forever),
            Err(error) => Err(error),
        }
    }
}

/// Seconds, or words as in `1h30m`, to the nearest millisecond.
fn length_ms(text: &str) -> Option<u64> {
    let length = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => humantime::parse_duration(text).ok()?,
    };
    u64::try_from((length.as_nanos() + 500_000) / 1_000_000).ok()
}

/// A number of bytes above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// As it says.
    pub bytes: u64,
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ByteSize(bytes) = text.parse().map_err(|_| Error::Size)?;
        if bytes == 0 {
            return Err(Error::Nothing);
        }
        Ok(Self { bytes })
    }
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// With its offset from Greenwich.
    Moment(Timestamp),
    /// A local date and time of day.
    Local(civil::DateTime),
    /// A local time of day, the next one.
    Daily(civil::Time),
}

impl Until {
    /// When that is, seen from `now` and its place; none where it is past.
    pub fn after(self, now: &Zoned) -> Option<Timestamp> {
        let local = |local: civil::DateTime| {
            let zoned = local.to_zoned(now.time_zone().clone());
            zoned.ok().map(|zoned| zoned.timestamp())
        };
        let is_ahead = |at: &Timestamp| *at > now.timestamp();
        match self {
            Self::Moment(at) => Some(at).filter(is_ahead),
            Self::Local(at) => local(at).filter(is_ahead),
            Self::Daily(time) => {
                let today = now.date();
                let tomorrow = today.checked_add(1.day()).ok();
                let days = [Some(today), tomorrow].into_iter().flatten();
                let times = days.filter_map(|day| local(day.to_datetime(time)));
                times.into_iter().find(is_ahead)
            }
        }
    }
}

impl FromStr for Until {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // A bare date ends nothing, and what is no time of day looks like an hour to some parsers.
        if !text.contains(':') {
            return Err(Error::Until);
        }
        let moment = || text.parse().ok().map(Self::Moment);
        let local = || text.parse().ok().map(Self::Local);
        let daily = || text.parse().ok().map(Self::Daily);
        let is_daily = !text.contains(['-', 'T', 't', ' ']);
        let until = if is_daily {
            daily()
        } else {
            moment().or_else(local)
        };
        until.ok_or(Error::Until)
    }
}

/// The HMAC-SHA256 of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwfHash(pub [u8; 32]);

impl FromStr for SwfHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        sha256(text).map(Self)
    }
}

/// The SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsPin(pub [u8; 32]);

impl FromStr for TlsPin {
    type Err = Error;

    /// Colons between the bytes may stay, as OpenSSL prints them.
    fn from_str(text: &str) -> Result<Self, Error> {
        sha256(&text.replace(':', "")).map(Self)
    }
}

fn sha256(text: &str) -> Result<[u8; 32], Error> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Error::Hash);
    }
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| Error::Hash)?;
    }
    Ok(hash)
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

/// Front ends pass an empty text for what they do not know.
pub fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// A limit in seconds; 0 is none.
pub fn bound(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// A number that fits 32 bits.
pub(super) fn number(text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::Number)
}

/// The number of a port, or 0.
pub(super) fn port(text: &str) -> Result<u16, Error> {
    text.parse().map_err(|_| Error::Port)
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

/// What has no end.
const FOREVER: &str = "forever";

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
            ("1h30m", 5_400_000),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse(), Ok(Seconds { ms }), "{text}");
        }
        for text in ["", "-1", "1:30", "inf", "NaN", "4294968", "50days"] {
            assert_eq!(text.parse::<Seconds>(), Err(Error::Seconds), "{text}");
        }
    }

    #[test]
    fn reads_lengths_of_time() {
        let cases = [
            ("1", 1_000),
            ("0.5", 500),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2days", 172_800_000),
            ("500ms", 500),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse(), Ok(Span { ms }), "{text}");
        }
        for text in [
            "",
            "-1",
            "1:30",
            "inf",
            "NaN",
            "soon",
            "1 fortnight",
            "1e300",
        ] {
            assert_eq!(text.parse::<Span>(), Err(Error::Span), "{text}");
        }
        for text in ["0", "0s", "0.0001"] {
            assert_eq!(text.parse::<Span>(), Err(Error::Nothing), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        let cases = [
            ("1", 1),
            ("500MB", 500_000_000),
            ("500 MB", 500_000_000),
            ("2GiB", 2 << 30),
            ("1.5k", 1_500),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Size { bytes }), "{text}");
        }
        for text in ["", "-1", "much", "1 mile"] {
            assert_eq!(text.parse::<Size>(), Err(Error::Size), "{text}");
        }
        assert_eq!("0MB".parse::<Size>(), Err(Error::Nothing));
    }

    #[test]
    fn reads_moments() {
        let now: Zoned = "2026-11-22T20:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let cases = [
            ("20:15", Some("2026-11-22T19:15:00Z")),
            ("20:15:30", Some("2026-11-22T19:15:30Z")),
            ("20:00", Some("2026-11-23T19:00:00Z")),
            ("07:00", Some("2026-11-23T06:00:00Z")),
            ("2026-11-22 20:15", Some("2026-11-22T19:15:00Z")),
            ("2026-12-01T00:00:01", Some("2026-11-30T23:00:01Z")),
            ("2026-11-22T20:15:00Z", Some("2026-11-22T20:15:00Z")),
            ("2026-11-22T20:15:00-05:00", Some("2026-11-23T01:15:00Z")),
            ("2026-11-22 19:59", None),
            ("2026-11-22T19:00:00Z", None),
        ];
        for (text, expected) in cases {
            let until: Until = text.parse().unwrap();
            let expected = expected.map(|at| at.parse().unwrap());
            assert_eq!(until.after(&now), expected, "{text}");
        }
        for text in [
            "",
            "20",
            "2015",
            "soon",
            "2026-11-22",
            "25:00",
            "20:15 tomorrow",
            "1h",
        ] {
            assert_eq!(text.parse::<Until>(), Err(Error::Until), "{text}");
        }
    }

    #[test]
    fn an_interval_may_be_never() {
        assert_eq!("0".parse(), Ok(Interval(None)));
        assert_eq!("1m".parse(), Ok(Interval(Some(Span { ms: 60_000 }))));
        assert_eq!("x".parse::<Interval>(), Err(Error::Span));
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
    fn reads_pins_with_colons() {
        let bare = "0123456789abcdef".repeat(4);
        let bytes: Vec<&str> = bare
            .as_bytes()
            .chunks(2)
            .map(|byte| str::from_utf8(byte).unwrap())
            .collect();
        assert_eq!(bytes.join(":").parse::<TlsPin>(), bare.parse());
        assert_eq!("0:1".parse::<TlsPin>(), Err(Error::Hash));
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
