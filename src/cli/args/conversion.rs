//! Options that read a file instead of a stream.

use std::path::PathBuf;

use clap::{ArgAction, builder::ValueHint};

/// Options of conversions and of finished files.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Recording")]
pub struct Conversion {
    /// Convert an FLV file to the format of -o, without a server; - is standard input
    ///
    /// The options of the output work as in a download: MP4 or FLV; a file, segments or a pipe. FILE may be
    /// damaged: rtmpull leaves out and reports an incomplete last tag and bytes that are not part of a tag. FILE
    /// itself stays unchanged.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(num_args = 1.., action = ArgAction::Append)]
    pub remux: Vec<PathBuf>,

    /// Join the files of --remux to one recording, in the given order
    ///
    /// Each file starts at the end of the previous one. If a file starts with the last frames of the previous
    /// one, these frames are written once.
    #[arg(long, requires = "remux")]
    pub join: bool,

    /// Move the tables of each finished MP4 file to its start, for web servers
    ///
    /// A player that loads the file from a web server can then start before it has loaded the complete file.
    /// rtmpull copies the file to a temporary file in the same folder, which then replaces it. If the disk has no
    /// space for the copy, rtmpull logs a warning, and the tables stay at the end. --on-segment and --manifest
    /// receive the segment after the copy. This option cannot be used with --hls, because the playlist refers to
    /// byte ranges of the file.
    #[arg(long, conflicts_with_all = ["no_index", "hls"])]
    pub faststart: bool,
}

impl Conversion {
    /// Whether a file is converted.
    pub fn is_requested(&self) -> bool {
        !self.remux.is_empty()
    }
}

/// Arguments that may be used together with --remux.
pub(super) const ALLOWED_WITH_REMUX: [&str; 30] = [
    "remux",
    "join",
    "faststart",
    "hls",
    "flv",
    "tee",
    "format",
    "tracks",
    "fragment",
    "no_index",
    "sync",
    "keep_timestamps",
    "overwrite",
    "segment_time",
    "segment_size",
    "segment_clock",
    "manifest",
    "on_segment",
    "on_start",
    "duration",
    "max_size",
    "min_free",
    "progress",
    "progress_fd",
    "heartbeat",
    "hashes",
    "quiet",
    "verbose",
    "debug",
    "log_file",
];
