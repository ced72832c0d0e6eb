//! Options that start new files.

use std::time::Duration;

use clap::Args;

use super::values;

/// Options that start new files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Segments and limits")]
pub struct SegmentArgs {
    /// Start a new file at the first keyframe after every DURATION of stream time
    ///
    /// DURATION is a number of seconds, or a duration such as 1h30m. Each file plays on its own, with
    /// timestamps from 0. If the file name has no counter and no time (see --flv), later files are called
    /// name.2.flv, name.3.flv and so on. Audio-only streams are split at any frame.
    #[arg(long, value_name = "DURATION")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub segment_time: Option<Duration>,

    /// Start a new file at the first keyframe after a file reaches this size, such as 500MB
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub segment_size: Option<u64>,

    /// Start a new file at the first keyframe after every multiple of DURATION in local time
    ///
    /// Multiples count from midnight: 1h starts a new file at every full hour. The maximum is 24h.
    #[arg(long, value_name = "DURATION")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub segment_clock: Option<Duration>,

    /// Start a new file if the codec, resolution or sample rate changes
    ///
    /// Most players do not follow such a change within a file. Without this option, rtmpull still reports each
    /// change.
    #[arg(long)]
    pub split_on_change: bool,
}
