//! Options that describe a stream or a file instead of recording it.

use std::{convert::Infallible, ffi::OsStr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args,
    builder::{OsStringValueParser, TypedValueParser, ValueHint},
};

use super::values;
use crate::{cli::probe::Condition, core::amf::raw_bytes};

/// Options of probes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Diagnosis")]
pub struct ProbeArgs {
    /// Describe a stream, an FLV file or an MP4 file; with two sources, compare them
    ///
    /// SOURCE is a URL, or the name of a file. rtmpull plays the stream for a short time without recording it, and
    /// prints the connection, the server, each track, the metadata next to the received values, and the findings:
    /// missing or damaged sequence headers and keyframes, irregular timestamps, late, empty or damaged frames, and
    /// wrong metadata; of a file also damaged parts and wrong tables. All options for the connection apply, to both
    /// sources if there are two. Exit code: 0 if the stream plays, 1 if it is refused or a condition of --expect
    /// fails, 2 if its media stops, 3 without a connection.
    #[arg(long, value_name = "SOURCE", value_hint = ValueHint::AnyPath, num_args = 0..=2)]
    #[arg(value_parser = source(), group = DIAGNOSIS)]
    pub probe: Option<Vec<Source>>,

    /// End the probe this long after the first media; 0 ends it when every track is described [default: 5s]
    ///
    /// With 0, the probe ends when a keyframe arrived and the codec setup and the frame rate of every track are known,
    /// at most after 5 seconds. It does not wait for a second keyframe, so the keyframe interval is often unknown: to
    /// measure it, use a longer time, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = values::interval, requires = "probe")]
    #[arg(allow_hyphen_values = true)]
    pub probe_time: Option<Duration>,

    /// Print the result of --probe or --explain as one JSON object
    #[arg(long, requires = DIAGNOSIS)]
    pub json: bool,

    /// Print the probe as one line for Nagios and compatible programs
    ///
    /// The line consists of the status, a summary and the performance data.
    #[arg(long, requires = "probe", conflicts_with = "json")]
    pub nagios: bool,

    /// Require this condition of the probe, such as video.height>=720 (repeatable)
    ///
    /// If a condition fails, the exit code is 1. A condition consists of a member of the JSON object, an operator (=,
    /// !=, <, <=, >, >= or ~ for "contains") and a value. The members video and audio are the first track of their
    /// kind, and findings.CODE is the number of findings with this code. A value may have a unit: 500k, 2s, 150ms.
    #[arg(long, value_name = "CONDITION", action = ArgAction::Append, requires = "probe")]
    #[arg(allow_hyphen_values = true, value_parser = Condition::parse)]
    pub expect: Vec<Condition>,
}

impl ProbeArgs {
    /// Whether a probe is requested.
    pub fn is_requested(&self) -> bool {
        self.probe.is_some()
    }
}

/// Subject of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Stream on a server.
    Url(String),
    /// FLV or MP4 file.
    File(PathBuf),
}

impl Source {
    /// Returns the URL or the file that `text` names. A file name never contains `://`.
    pub fn of(text: &OsStr) -> Self {
        let url = raw_bytes::decode(text.as_encoded_bytes());
        match url.contains("://") {
            true => Self::Url(url),
            false => Self::File(text.into()),
        }
    }
}

fn source() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(|text| Ok::<_, Infallible>(Source::of(&text)))
}

/// The options that print a result, of which one may be used at a time.
pub(super) const DIAGNOSIS: &str = "diagnosis";

/// Arguments that may be used together with --probe.
pub(super) const ALLOWED_WITH_PROBE: [&str; REQUEST.len() + OF_PROBE.len()] = {
    let mut all = [""; REQUEST.len() + OF_PROBE.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = match at.checked_sub(REQUEST.len()) {
            Some(other) => OF_PROBE[other],
            None => REQUEST[at],
        };
        at += 1;
    }
    all
};

/// Options that determine the request and the connection.
pub(super) const REQUEST: [&str; 40] = [
    "stream",
    "rtmp",
    "url",
    "live",
    "host",
    "port",
    "protocol",
    "app",
    "playpath",
    "start_ms",
    "swf_url",
    "page_url",
    "tc_url",
    "flash_ver",
    "subscribe",
    "playlist",
    "conn",
    "no_enhanced",
    "auth",
    "token",
    "jtv",
    "user",
    "password",
    "password_file",
    "swf_hash",
    "swf_size",
    "swf_vfy",
    "swf_age",
    "timeout",
    "connect_timeout",
    "ipv4",
    "ipv6",
    "socks",
    "proxy",
    "handshake",
    "allow_plain",
    "no_pipelining",
    "ca_file",
    "tls_pin",
    "insecure",
];

/// Arguments that determine what is done with the stream, and that may be used together with --probe.
const OF_PROBE: [&str; 16] = [
    "buffer",
    "capture",
    "capture_size",
    "capture_media",
    "capture_secrets",
    "replay",
    "quiet",
    "verbose",
    "debug",
    "log_file",
    "probe",
    "probe_time",
    "json",
    "nagios",
    "expect",
    "overwrite",
];
