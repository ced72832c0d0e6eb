//! Options that record many streams in one process.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::ValueHint};

use super::values;
use crate::cli::streams::Shard;

/// Options that record many streams in one process.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Many streams")]
pub struct StreamsArgs {
    /// Record all streams of this TOML file in one process; - is standard input
    ///
    /// Each table `[[stream]]` of FILE has a name and the long options of one download, such as url = "rtmp://..." and
    /// live = true. The table `[defaults]` has options for all streams. In values, rtmpull replaces {name} by the name
    /// of the stream. A stream that fails does not affect the others. The exit code is the highest exit code of all
    /// streams. After SIGHUP, rtmpull reads FILE again.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, allow_hyphen_values = true)]
    pub streams: Option<PathBuf>,

    /// Check the file of --streams and print its errors, without recording
    #[arg(long, requires = "streams")]
    pub check: bool,

    /// Read the file of --streams again whenever it changes, as after SIGHUP
    ///
    /// New streams start, and removed streams finish their file. A stream whose options changed continues in a new
    /// file. All other streams continue without interruption. If the file has errors, rtmpull changes nothing.
    #[arg(long, requires = "streams")]
    pub watch: bool,

    /// Keep the process running after all streams have ended, until a signal arrives
    #[arg(long, requires = "streams")]
    pub keep_running: bool,

    /// Record only the streams of shard I of N, such as 0/3; I counts from 0
    ///
    /// Each stream belongs to exactly one shard, which depends only on the name of the stream and on N. If N grows
    /// by 1, about one of N+1 streams moves, always to the new shard.
    #[arg(
        long,
        value_name = "I/N",
        requires = "streams",
        allow_hyphen_values = true
    )]
    pub shard: Option<Shard>,

    /// Open at most this many connections at a time; further streams wait [default: no limit]
    #[arg(long, value_name = "NUMBER", requires = "streams")]
    #[arg(allow_hyphen_values = true, value_parser = values::positive_number)]
    pub max_connections: Option<u32>,

    /// Wait this long between two connection attempts [default: 50ms, at most 5s for all streams]
    #[arg(long, value_name = "DURATION", requires = "streams")]
    #[arg(allow_hyphen_values = true, value_parser = values::interval)]
    pub stagger: Option<Duration>,
}

/// Arguments that may be used together with --streams.
pub(super) const ALLOWED_WITH_STREAMS: [&str; 15] = [
    "streams",
    "check",
    "watch",
    "keep_running",
    "shard",
    "max_connections",
    "stagger",
    "progress",
    "progress_fd",
    "heartbeat",
    "metrics",
    "quiet",
    "verbose",
    "debug",
    "log_file",
];
