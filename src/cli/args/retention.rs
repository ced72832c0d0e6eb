//! Options that delete old segments.

use std::time::Duration;

use clap::Args;

use super::values;

/// Options that delete old segments.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Segments and limits")]
pub struct RetentionArgs {
    /// Delete segments that ended longer ago than DURATION, such as 7d; needs --manifest
    ///
    /// rtmpull deletes segments when the recording starts and whenever a segment is completed, and appends a line for
    /// each to the manifest. It deletes only files that the manifest lists with their current path and size, and never
    /// the current segment.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = values::duration)]
    pub keep: Option<Duration>,

    /// Delete the oldest segments while their total exceeds SIZE, such as 500GB; needs --manifest
    ///
    /// The total is that of the completed segments in the manifest. rtmpull deletes them as with --keep.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub keep_size: Option<u64>,
}
