//! Options that end a recording.

use std::time::Duration;

use clap::Args;

use super::values::{self, Until};

/// Options that end a recording.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Segments and limits")]
pub struct LimitArgs {
    /// Stop when the recording has this duration: seconds, or a duration such as 1h30m
    #[arg(long, value_name = "DURATION")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Stop before the recording exceeds this size, such as 500MB or 2GiB
    ///
    /// The limit applies to all segments together.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub max_size: Option<u64>,

    /// Stop at this time: 20:15, "2026-11-22 20:15" or 2026-11-22T20:15:00+01:00
    ///
    /// A time without an offset is local. A time of day means its next occurrence.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<Until>,

    /// Stop with an error when the disk has less free space than this, such as 1GB
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = values::size)]
    pub min_free: Option<u64>,
}
