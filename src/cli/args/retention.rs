//! Options that delete old segments.

use std::time::Duration;

use clap::Args;

use super::values;

/// Options that delete old segments.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Segments and limits")]
pub struct RetentionArgs {
    /// Delete segments that ended longer ago than DURATION, such as 7d
    ///
    /// rtmpull deletes only finished segments that --manifest lists with this path and size, at the start and whenever
    /// a segment ends, and appends a line for each to the manifest. It never deletes the current segment.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = values::duration)]
    pub keep: Option<Duration>,

    /// Delete the oldest segments while all in the manifest together exceed SIZE, such as 500GB
    ///
    /// The current segment does not count. See --keep.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub keep_size: Option<u64>,
}
