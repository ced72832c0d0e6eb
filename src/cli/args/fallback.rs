//! Options for other sources of the same stream.

use std::time::Duration;

use clap::Args;

use super::values;

/// Options for other sources of the same stream.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reconnecting")]
pub struct FallbackArgs {
    /// Continue from this source if the current one is lost or silent (repeatable)
    ///
    /// The sources take over in turn, at once, each at a keyframe. If all of them fail, or play for less than 10
    /// seconds each, --retry decides when rtmpull tries them again. App and playpath come from the URL of each
    /// source; all other options apply to every source. When the first source plays again, rtmpull returns to it;
    /// see --fallback-return.
    #[arg(long, value_name = "URL", requires = "live")]
    pub fallback: Vec<String>,

    /// Return to the first source of --fallback after it has played again for this long
    ///
    /// While a fallback is in use, rtmpull connects to the first source at this interval, at most 30 seconds
    /// apart, and plays both at the same time.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    #[arg(allow_hyphen_values = true, value_parser = values::wait)]
    pub fallback_return: Duration,
}
