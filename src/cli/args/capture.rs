//! Options that record or replay the bytes of sessions.

use std::path::PathBuf;

use clap::{Args, builder::ValueHint};

use super::values;

/// Options of captures.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Diagnosis")]
pub struct CaptureArgs {
    /// Write the bytes of all sessions to this pcapng file, for Wireshark
    ///
    /// The file contains the RTMP bytes of both directions without TLS, RTMPE and the HTTP tunnel. The IP and TCP
    /// headers are synthetic. By default, rtmpull cuts audio and video messages to 256 bytes and overwrites
    /// passwords, tokens and keys, so that you can attach the file to a bug report. It replaces a file that is not
    /// empty only with --overwrite.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    pub capture: Option<PathBuf>,

    /// End the capture at this size, and continue the download [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, requires = "capture")]
    #[arg(allow_hyphen_values = true)]
    pub capture_size: Option<u64>,

    /// Capture audio and video messages completely
    #[arg(long, requires = "capture")]
    pub capture_media: bool,

    /// Capture passwords, tokens and keys unchanged
    #[arg(long, requires = "capture")]
    pub capture_secrets: bool,

    /// Download from a capture instead of a server
    ///
    /// FILE is a pcapng or pcap file, written by --capture or, for plain RTMP, by tcpdump. rtmpull reads the bytes
    /// of the server in each session, in order and as fast as possible. A URL is not required. Options that change
    /// the commands of the session, such as --live, must be the same as for the capture.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    #[arg(conflicts_with = "capture")]
    pub replay: Option<PathBuf>,
}
