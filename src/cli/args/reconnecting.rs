//! Options for lost connections and missing streams.

use std::time::Duration;

use clap::Args;

use super::values::{self, Attempts};
use crate::output::GapPolicy;

/// Options for lost connections and missing streams.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reconnecting")]
pub struct ReconnectingArgs {
    /// Reconnect up to this many times in a row after a lost connection: a number, or forever
    ///
    /// The delays are 1, 2, 4 ... 30 seconds. The count restarts when media arrives. rtmpull does not
    /// reconnect after the server ended or refused the stream. The recording continues in the same file,
    /// without duplicate frames. [default: 5 with --live, otherwise 0]
    #[arg(long, value_name = "ATTEMPTS", allow_hyphen_values = true)]
    pub retry: Option<Attempts>,

    /// Wait for a stream that does not exist yet [default DURATION: forever]
    ///
    /// rtmpull asks for a missing stream every 5 seconds, and stays connected if the server accepts the
    /// request. With --streams and DURATION forever, it asks less often if more than 100 streams have been
    /// missing for over a minute. DURATION is a number of seconds, a duration such as 1h30m, or forever.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever"
    )]
    #[arg(value_parser = values::wait)]
    pub wait: Option<Duration>,

    /// Keep or close the gap after a lost connection, or start a new file
    #[arg(long, value_name = "POLICY", default_value = "keep", value_parser = values::gap_policy())]
    pub gap: GapPolicy,

    /// Wait this long for another publisher after the publisher of a live stream has left
    ///
    /// DURATION is a number of seconds, a duration such as 1h30m, or forever. [default: 10s with --live,
    /// otherwise 0]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = values::wait)]
    pub republish_wait: Option<Duration>,
}
