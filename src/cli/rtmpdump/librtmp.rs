//! librtmp's notation for a stream: a URL followed by options as `key=value`, all in one text.
//!
//! ```text
//! rtmp://host/app/stream live=1 swfUrl=http://host/player.swf conn=S:a\20b
//! ```
//!
//! A space ends the URL and each value. In a value, a backslash and two hex digits stand for a byte. A
//! key is the text up to the next `=` and is not case-sensitive.

use thiserror::Error;

use crate::{
    cli::args::{Args, values},
    core::amf::raw_bytes,
};

/// Reason why the options are rejected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A key that librtmp does not have.
    #[error("unknown option {0:?} after the URL; the options are {known}", known = KEYS.join(", "))]
    Key(String),
    /// A backslash without two hex digits after it.
    #[error("in the value of {0}, a backslash is not followed by two hex digits")]
    Escape(String),
    /// A value that does not fit its key.
    #[error("invalid value {value:?} for {key}: {why}")]
    Value {
        /// The key.
        key: String,
        /// The text after the `=`.
        value: String,
        /// The reason.
        why: String,
    },
}

/// Returns `args` with the options that follow its URL. Options of the command line take precedence.
pub fn apply_url_options(args: &Args) -> Result<Args, Error> {
    let mut args = args.clone();
    // Without an option, a space belongs to the name of the stream.
    let is_notation = |text: &String| {
        text.split_once(' ')
            .is_some_and(|(_, rest)| rest.contains('='))
    };
    if let Some(text) = args.stream.take_if(|text| is_notation(text)) {
        args.url = Some(text);
    }
    let Some(text) = args.url.take() else {
        return Ok(args);
    };
    let (url, options) = text.split_once(' ').unwrap_or((&text, ""));
    args.url = Some(url.to_owned());
    let options = pairs(options)?;
    let conn = options.iter().filter(|(key, _)| key == "conn");
    args.connect
        .conn
        .extend(conn.map(|(_, value)| value.clone()));
    // `set` keeps the first value it gets, and the last one in the text must apply.
    for (key, value) in options.iter().rev() {
        set(&mut args, key, value)?;
    }
    Ok(args)
}

/// Returns the keys, in lower case, and the unescaped values.
fn pairs(mut text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    loop {
        text = text.trim_start_matches(' ');
        let Some((key, rest)) = text.split_once('=') else {
            if !text.is_empty() {
                tracing::warn!("ignoring {text:?} after the URL, since it is not KEY=VALUE");
            }
            return Ok(pairs);
        };
        let end = rest.find(' ').unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        pairs.push((key.to_ascii_lowercase(), unescaped(key, value)?));
        text = rest;
    }
}

fn unescaped(key: &str, value: &str) -> Result<String, Error> {
    let mut pieces = value.split('\\');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.split_at_checked(2).and_then(|(digits, rest)| {
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            Some((byte, rest))
        });
        let (byte, rest) = byte.ok_or_else(|| Error::Escape(key.to_owned()))?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(raw_bytes::decode(&bytes))
}

fn set(args: &mut Args, key: &str, value: &str) -> Result<(), Error> {
    let text = |slot: &mut Option<String>| {
        slot.get_or_insert_with(|| value.to_owned());
    };
    match key {
        "conn" => {}
        "app" => text(&mut args.app),
        "playpath" => text(&mut args.playpath),
        "tcurl" => text(&mut args.connect.tc_url),
        "swfurl" => text(&mut args.connect.swf_url),
        "pageurl" => text(&mut args.connect.page_url),
        "flashver" => text(&mut args.connect.flash_ver),
        "subscribe" => text(&mut args.connect.subscribe),
        "jtv" => text(&mut args.credentials.jtv),
        "token" => text(&mut args.credentials.token),
        "pubuser" => text(&mut args.credentials.user),
        "pubpasswd" if args.credentials.password_file.is_none() => {
            text(&mut args.credentials.password)
        }
        "pubpasswd" => {}
        "live" => args.live |= is_true(value),
        "playlist" => args.connect.playlist |= is_true(value),
        // An empty value stands for the player at swfUrl, which another option may set.
        "swfvfy" if is_true(value) => {
            args.swf.swf_vfy.get_or_insert_default();
        }
        "swfvfy" => {}
        "swfage" => fill(&mut args.swf.swf_age, number(key, value)?),
        "buffer" => fill(&mut args.connection.buffer, number(key, value)?),
        "timeout" => fill(&mut args.timeout, number(key, value)?),
        "start" => fill(&mut args.start_ms, number(key, value)?),
        "stop" => fill(&mut args.stop_ms, number(key, value)?),
        "socks" => {
            let proxy = values::socks(value).map_err(|why| invalid(key, value, why))?;
            fill(&mut args.connection.socks, proxy);
        }
        _ => return Err(Error::Key(key.to_owned())),
    }
    Ok(())
}

fn fill<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// Returns whether librtmp reads the value as yes; it reads anything else as no.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"]
        .iter()
        .any(|yes| value.eq_ignore_ascii_case(yes))
}

/// Parses a number as C does: hexadecimal after 0x, octal after 0, otherwise decimal.
fn number(key: &str, value: &str) -> Result<u32, Error> {
    let lower = value.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (lower.as_str(), 10),
    };
    u32::from_str_radix(digits, radix).map_err(|_| invalid(key, value, values::Error::Number))
}

fn invalid(key: &str, value: &str, why: impl ToString) -> Error {
    Error::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        why: why.to_string(),
    }
}

/// All keys, as librtmp's manual writes them.
const KEYS: [&str; 21] = [
    "app",
    "playpath",
    "tcUrl",
    "swfUrl",
    "pageUrl",
    "flashVer",
    "conn",
    "subscribe",
    "live",
    "playlist",
    "start",
    "stop",
    "buffer",
    "timeout",
    "token",
    "jtv",
    "socks",
    "swfVfy",
    "swfAge",
    "pubUser",
    "pubPasswd",
];

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use proptest::prelude::*;

    use super::*;

    fn args(line: &[&str]) -> Args {
        let words = ["rtmpull"].iter().chain(line);
        Args::read(words.map(OsString::from)).unwrap()
    }

    fn applied(line: &[&str]) -> Result<Args, Error> {
        apply_url_options(&args(line))
    }

    #[test]
    fn every_key_sets_its_option() {
        let text = "rtmp://h/a/b app=A playpath=Y tcUrl=T swfUrl=S pageUrl=P flashver=F conn=S:x \
                    subscribe=D live=1 PLAYLIST=yes start=1500 stop=0x1000 buffer=010 timeout=7 \
                    token=K jtv=J socks=proxy:1 swfAge=2 pubUser=me pubPasswd=pw conn=B:1";
        let args = applied(&["-i", text]).unwrap();
        assert_eq!(args.url.as_deref(), Some("rtmp://h/a/b"));
        let texts = [
            args.app,
            args.playpath,
            args.connect.tc_url,
            args.connect.swf_url,
            args.connect.page_url,
            args.connect.flash_ver,
            args.connect.subscribe,
            args.credentials.token,
            args.credentials.jtv,
            args.credentials.user,
            args.credentials.password,
        ];
        let expected = ["A", "Y", "T", "S", "P", "F", "D", "K", "J", "me", "pw"];
        assert_eq!(texts.map(Option::unwrap), expected);
        assert_eq!(args.connect.conn, ["S:x", "B:1"]);
        assert!(args.live && args.connect.playlist);
        assert_eq!((args.start_ms, args.stop_ms), (Some(1500), Some(4096)));
        assert_eq!(
            (args.connection.buffer, args.timeout, args.swf.swf_age),
            (Some(8), Some(7), Some(2))
        );
        assert_eq!(args.connection.socks.unwrap().to_string(), "proxy:1");
    }

    #[test]
    fn every_listed_key_is_accepted() {
        for key in KEYS {
            let text = format!("rtmp://h/a/b {key}=1");
            assert!(applied(&["-i", &text]).is_ok(), "{key}");
        }
        let error = applied(&["-i", "rtmp://h/a/b live app=x"]).unwrap_err();
        assert!(error.to_string().starts_with(
            "unknown option \"live app\" after the URL; the options are app, playpath,"
        ));
    }

    #[test]
    fn only_values_are_unescaped() {
        let args = applied(&[
            "-i",
            r"rtmp://h/a/b\20c playpath=a\20b\5cc\22\c3\a9=d pageUrl=",
        ])
        .unwrap();
        assert_eq!(args.url.as_deref(), Some(r"rtmp://h/a/b\20c"));
        assert_eq!(args.playpath.as_deref(), Some("a b\\c\"é=d"));
        assert_eq!(args.connect.page_url.as_deref(), Some(""));
        for broken in [r"\", r"\2", r"\2 0", r"\zz", r"\+1", r"\é"] {
            let text = format!("rtmp://h/a/b app=x{broken}");
            let expected = Err(Error::Escape("app".to_owned()));
            assert_eq!(applied(&["-i", &text]).map(|_| ()), expected, "{broken}");
        }
        let args = applied(&["-i", r"rtmp://h/a/b app=caf\e9"]).unwrap();
        assert_eq!(args.app, Some(raw_bytes::decode(b"caf\xe9")));
    }

    #[test]
    fn errors_name_the_value_and_the_reason() {
        let cases = [
            (
                "timeout=soon",
                "invalid value \"soon\" for timeout: not a whole number from 0 to 4294967295",
            ),
            (
                "start=-1",
                "invalid value \"-1\" for start: not a whole number from 0 to 4294967295",
            ),
            (
                "buffer=08",
                "invalid value \"08\" for buffer: not a whole number from 0 to 4294967295",
            ),
            (
                "stop=",
                "invalid value \"\" for stop: not a whole number from 0 to 4294967295",
            ),
            (
                "socks=a/b",
                "invalid value \"a/b\" for socks: not a host name or address",
            ),
        ];
        for (option, expected) in cases {
            let text = format!("rtmp://h/a/b {option}");
            assert_eq!(applied(&["-i", &text]).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn only_1_on_yes_and_true_mean_yes() {
        for (value, is_live) in [
            ("1", true),
            ("ON", true),
            ("yes", true),
            ("True", true),
            ("0", false),
            ("2", false),
            ("", false),
        ] {
            let text = format!("rtmp://h/a/b  live={value} ");
            assert_eq!(applied(&["-i", &text]).unwrap().live, is_live, "{value}");
        }
    }

    #[test]
    fn options_of_the_command_line_take_precedence() {
        let text = "rtmp://h/a/b app=x app=y start=5 conn=B:1 timeout=3";
        let args = applied(&["-i", text, "-C", "N:1", "-A", "2", "-m", "4", "-a", "z"]).unwrap();
        assert_eq!(args.app.as_deref(), Some("z"));
        assert_eq!((args.start_ms, args.timeout), (Some(2000), Some(4)));
        assert_eq!(args.connect.conn, ["N:1", "B:1"]);
        assert_eq!(applied(&["-i", text]).unwrap().app.as_deref(), Some("y"));
    }

    #[test]
    fn an_operand_may_contain_options() {
        let args = applied(&["rtmp://h/a/b live=1"]).unwrap();
        assert_eq!(
            (args.url.as_deref(), args.live),
            (Some("rtmp://h/a/b"), true)
        );
        let args = applied(&["rtmp://h/a/my film"]).unwrap();
        assert_eq!(args.stream.as_deref(), Some("rtmp://h/a/my film"));
        let args = applied(&["-r", "rtmp://h/a/b c=d"]).unwrap();
        assert_eq!(args.rtmp.as_deref(), Some("rtmp://h/a/b c=d"));
    }

    proptest! {
        #[test]
        fn arbitrary_options_never_panic(text in "rtmp://h/a/b( (app|live|start)?=?[\\\\0-9a é]{0,5}){0,5}") {
            let _ = apply_url_options(&args(&["-i", &text]));
        }
    }
}
