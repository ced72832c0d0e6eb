//! Parsers for the values of options.

use std::{net::Ipv6Addr, str::FromStr, time::Duration};

use bytesize::ByteSize;
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan, Zoned, civil};
use thiserror::Error;

use crate::{
    core::{
        amf::raw_bytes,
        rtmp::{
            handshake::Mode,
            target::{self, Scheme},
        },
    },
    output::{Format, GapPolicy},
    transport::Endpoint,
};

/// Reason why a value is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// Neither the name of a protocol nor rtmpdump's number of one.
    #[error("not one of rtmp, rtmpt, rtmpe, rtmpte, rtmps and rtmpts, or their numbers 0 to 5")]
    Protocol,
    /// Not a time that fits an RTMP timestamp.
    #[error("not a number of seconds from 0 to 4294967 or a duration such as 1h30m")]
    StreamTime,
    /// Not a duration.
    #[error("not a number of seconds or a duration such as 1h30m")]
    Duration,
    /// Not a duration, and not `forever` either.
    #[error("not a number of seconds, a duration such as 1h30m, or \"forever\"")]
    Wait,
    /// Not a number of bytes.
    #[error("not a size such as 500MB or 2GiB")]
    Size,
    /// Zero, for an option that needs more.
    #[error("must be greater than 0")]
    Zero,
    /// Neither a time of day nor a date with a time of day.
    #[error("not a time such as 20:15, 2026-11-22 20:15 or 2026-11-22T20:15:00+01:00")]
    Until,
    /// Not 32 bytes in hexadecimal.
    #[error("not a hash of 64 hex digits")]
    Hash,
    /// Neither a host name nor an address.
    #[error("not a host name or address")]
    Host,
    /// Neither a number nor `forever`.
    #[error("not a number of attempts or \"forever\"")]
    Attempts,
    /// Not an unsigned 32-bit number.
    #[error("not a whole number from 0 to 4294967295")]
    Number,
    /// Not an unsigned 32-bit number above 0.
    #[error("not a whole number from 1 to 4294967295")]
    PositiveNumber,
    /// Not a port number, and not 0 either.
    #[error("not a whole number from 0 to 65535")]
    Port,
}

/// Parses a protocol: its name, or its number in rtmpdump.
pub fn scheme(text: &str) -> Result<Scheme, Error> {
    let by_number = || target::SCHEMES.get(text.parse::<usize>().ok()?).copied();
    text.parse().ok().or_else(by_number).ok_or(Error::Protocol)
}

/// Parses a position in a stream into milliseconds.
pub fn stream_ms(text: &str) -> Result<u32, Error> {
    let time = parse_duration(text).ok_or(Error::StreamTime)?;
    u32::try_from(time.as_millis()).map_err(|_| Error::StreamTime)
}

/// Parses a duration above 0.
pub fn duration(text: &str) -> Result<Duration, Error> {
    let duration = interval(text)?;
    if duration.is_zero() {
        return Err(Error::Zero);
    }
    Ok(duration)
}

/// Parses a duration, which may be 0.
pub fn interval(text: &str) -> Result<Duration, Error> {
    parse_duration(text).ok_or(Error::Duration)
}

/// Parses a duration or `forever`, which is [`Duration::MAX`].
pub fn wait(text: &str) -> Result<Duration, Error> {
    match text {
        FOREVER => Ok(Duration::MAX),
        _ => parse_duration(text).ok_or(Error::Wait),
    }
}

/// Parses seconds, or a duration with units such as `1h30m`, to the nearest millisecond.
fn parse_duration(text: &str) -> Option<Duration> {
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => {
            let span: Span = text.parse().ok()?;
            let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
            duration.ok()?.try_into().ok()?
        }
    };
    let ms = u64::try_from((duration.as_nanos() + 500_000) / 1_000_000).ok()?;
    Some(Duration::from_millis(ms))
}

/// Number of attempts; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub Option<u32>);

impl FromStr for Attempts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            Ok(number) => Ok(Self(Some(number))),
            Err(_) if text == FOREVER => Ok(Self(None)),
            Err(_) => Err(Error::Attempts),
        }
    }
}

/// Parses a number of bytes above 0, with or without a unit.
pub fn size(text: &str) -> Result<u64, Error> {
    match text.parse() {
        Ok(ByteSize(0)) => Err(Error::Zero),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err(Error::Size),
    }
}

/// Point in time at which a recording stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A time with its offset from UTC.
    Moment(Timestamp),
    /// A local date and time of day.
    Local(civil::DateTime),
    /// The next occurrence of a local time of day.
    Daily(civil::Time),
}

impl Until {
    /// Returns the first such moment after `now`, in the time zone of `now`; `None` if it is past.
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
        // jiff parses "20" as an hour and "2026-11-22" as midnight. Users mean neither here.
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

/// Parses a SHA-256 hash in hexadecimal.
pub fn sha256(text: &str) -> Result<[u8; 32], Error> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Error::Hash);
    }
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| Error::Hash)?;
    }
    Ok(hash)
}

/// Parses a SHA-256 fingerprint as OpenSSL prints it: with or without colons between the bytes.
pub fn fingerprint(text: &str) -> Result<[u8; 32], Error> {
    sha256(&text.replace(':', ""))
}

/// Parses the address of a SOCKS proxy.
pub fn socks(text: &str) -> Result<Endpoint, Error> {
    let (host, port) = authority(text)?;
    let port = port.unwrap_or(SOCKS_PORT);
    Ok(Endpoint { host, port })
}

/// Parses a host name or address without a port. An IPv6 address may have brackets; the result has
/// none.
pub fn host(text: &str) -> Result<String, Error> {
    let address = text.split('%').next().unwrap_or_default();
    let text = match address.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{text}]"),
        Err(_) => text.to_owned(),
    };
    match authority(&text)? {
        (host, None) if !text.ends_with(':') => Ok(host),
        _ => Err(Error::Host),
    }
}

fn authority(text: &str) -> Result<(String, Option<u16>), Error> {
    if text.contains(['/', '?', '#', '@']) {
        return Err(Error::Host);
    }
    target::host_and_port(text).map_err(|_| Error::Host)
}

/// Parses an unsigned 32-bit number.
pub(super) fn number(text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::Number)
}

/// Parses an unsigned 32-bit number above 0.
pub(super) fn positive_number(text: &str) -> Result<u32, Error> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(Error::PositiveNumber)
}

/// Parses a port number, or 0.
pub(super) fn port(text: &str) -> Result<u16, Error> {
    text.parse().map_err(|_| Error::Port)
}

/// Parses what to do with missing time.
pub(super) fn gap_policy() -> impl TypedValueParser<Value = GapPolicy> {
    let values = [
        PossibleValue::new("keep").help("Keep the missing time in the timestamps"),
        PossibleValue::new("close").help("Remove the missing time from the timestamps"),
        PossibleValue::new("split").help("Start a new file after the gap"),
    ];
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "close" => GapPolicy::Close,
        "split" => GapPolicy::Split,
        _ => GapPolicy::Keep,
    })
}

/// Parses a container format.
pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    let values = [
        PossibleValue::new("flv").help("FLV, which holds every stream"),
        PossibleValue::new("mp4").help("MP4, which can be played while it grows"),
    ];
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "mp4" => Format::Mp4,
        _ => Format::Flv,
    })
}

/// Parses which handshake to offer.
pub(super) fn handshake() -> impl TypedValueParser<Value = Mode> {
    let values = [
        PossibleValue::new("auto").help("Digest, or plain if the server does not support digests"),
        PossibleValue::new("plain").help("Without digests"),
        PossibleValue::new("digest").help("With digests, or fail"),
    ];
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "plain" => Mode::Plain,
        "digest" => Mode::Digest,
        _ => Mode::Auto,
    })
}

/// Parses text in any encoding; see [`raw_bytes`].
pub(super) fn text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| raw_bytes::decode(text.as_encoded_bytes()))
}

/// Returns `text` unless it is empty. Front ends pass an empty text for an unknown value.
pub fn non_empty(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// Returns a limit in seconds; 0 is no limit.
pub fn time_limit(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// Value without a limit.
const FOREVER: &str = "forever";

/// Default port of SOCKS proxies.
const SOCKS_PORT: u16 = 1080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_names_and_numbers() {
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
            assert_eq!(super::scheme(text), Ok(scheme), "{text}");
        }
        for text in ["6", "-1", "", "http", "rtmp:", "0x1"] {
            assert_eq!(scheme(text), Err(Error::Protocol), "{text}");
        }
    }

    #[test]
    fn stream_time_is_rounded_to_milliseconds() {
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
            assert_eq!(stream_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "-1", "1:30", "inf", "NaN", "4294968", "50days"] {
            assert_eq!(stream_ms(text), Err(Error::StreamTime), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
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
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
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
            assert_eq!(duration(text), Err(Error::Duration), "{text}");
            assert_eq!(wait(text), Err(Error::Wait), "{text}");
        }
        for text in ["0", "0s", "0.0001"] {
            assert_eq!(duration(text), Err(Error::Zero), "{text}");
            assert_eq!(interval(text), Ok(Duration::ZERO), "{text}");
            assert_eq!(wait(text), Ok(Duration::ZERO), "{text}");
        }
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        let cases = [
            ("1", 1),
            ("500MB", 500_000_000),
            ("500 MB", 500_000_000),
            ("2GiB", 2 << 30),
            ("1.5k", 1_500),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "much", "1 mile"] {
            assert_eq!(size(text), Err(Error::Size), "{text}");
        }
        assert_eq!(size("0MB"), Err(Error::Zero));
    }

    #[test]
    fn a_time_of_day_is_its_next_occurrence() {
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
    fn forever_is_a_wait_but_not_an_interval() {
        assert_eq!(wait("forever"), Ok(Duration::MAX));
        assert_eq!(wait("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(interval("forever"), Err(Error::Duration));
    }

    #[test]
    fn attempts_are_a_number_or_unlimited() {
        assert_eq!("0".parse(), Ok(Attempts(Some(0))));
        assert_eq!("forever".parse(), Ok(Attempts(None)));
        assert_eq!("-1".parse::<Attempts>(), Err(Error::Attempts));
    }

    #[test]
    fn hashes_have_64_digits() {
        let hash = sha256(&"0123456789abcdefABCDEF00".repeat(3)[..64]).unwrap();
        assert_eq!(hash[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(hash[31], 0xEF);
        for text in [
            "",
            &"0".repeat(63),
            &"0".repeat(65),
            &"0g".repeat(32),
            &"é".repeat(32),
        ] {
            assert_eq!(sha256(text), Err(Error::Hash), "{text}");
        }
    }

    #[test]
    fn fingerprints_may_have_colons() {
        let bare = "0123456789abcdef".repeat(4);
        let bytes: Vec<&str> = bare
            .as_bytes()
            .chunks(2)
            .map(|byte| str::from_utf8(byte).unwrap())
            .collect();
        assert_eq!(fingerprint(&bytes.join(":")), sha256(&bare));
        assert_eq!(fingerprint("0:1"), Err(Error::Hash));
    }

    #[test]
    fn hosts_have_no_port() {
        for (text, expected) in [
            ("host", "host"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
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
    fn the_port_of_a_socks_proxy_is_optional() {
        for (text, expected) in [
            ("proxy", "proxy:1080"),
            ("proxy:1", "proxy:1"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(socks(text).unwrap().to_string(), expected);
        }
        for text in ["", ":1", "proxy:99999", "proxy:x", "me@proxy"] {
            assert_eq!(socks(text), Err(Error::Host), "{text}");
        }
    }

    #[test]
    fn positive_numbers_exclude_0() {
        assert_eq!(positive_number("7"), Ok(7));
        for text in ["0", "-1", "x", ""] {
            assert_eq!(positive_number(text), Err(Error::PositiveNumber), "{text}");
        }
    }
}
