//! Options that record or replay the bytes of sessions.

use std::path::PathBuf;

use clap::{Args, builder::ValueHint};

use super::values;

/// Options of captures.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Diagnosis")]
pub struct CaptureArgs {
    /// Write the bytes of all sessions to a pcapng file, which Wireshark opens
    ///
    /// The file contains the RTMP bytes of both directions without TLS, RTMPE and the HTTP tunnel. The IP and TCP
    /// headers are synthetic. By default, audio and video messages are cut to 256 bytes, and passwords, tokens
    /// and keys are overwritten, so that the file can be attached to a bug report. A file that is not empty is
    /// only replaced with --overwrite.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    pub capture: Option<PathBuf>,

    /// Maximum size of the capture; the download continues after it ends [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, requires = "capture")]
    #[arg(allow_hyphen_values = true)]
    pub capture_size: Option<u64>,

    /// Capture audio and video messages completely
    #[arg(long, requires = "capture")]
    pub capture_media: bool,

    /// Capture passwords, tokens and keys unchanged
    #[arg(long, requires = "capture")]
    pub capture_secrets: bool,

    /// Download from a capture, instead of from a server
    ///
    /// FILE is a pcapng or pcap file, written by --capture or, for plain RTMP, by tcpdump. rtmpull reads the bytes
    /// that the server sent in each session, in order and as fast as possible. No URL is needed. Options that
    /// change the commands of the session, such as --live, must be the same as in the captured run.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    #[arg(conflicts_with = "capture")]
    pub replay: Option<PathBuf>,
}
