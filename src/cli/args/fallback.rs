//! Options for other sources of the same stream.

use std::time::Duration;

use clap::Args;

use super::values;

/// Options for other sources of the same stream.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reconnecting")]
pub struct FallbackArgs {
    /// Continue the recording from this source if the current one is lost or silent; may be repeated
    ///
    /// The sources take over in turn, at once, and start at a keyframe. If all of them fail, or play for less than 10
    /// seconds each, --retry decides when they are tried again. App and playpath come from each URL; all other options apply to every source.
    /// rtmpull returns to the first source, see --fallback-return.
    #[arg(long, value_name = "URL", requires = "live")]
    pub fallback: Vec<String>,

    /// Return to the first source after it has played again for this long beside the fallback
    ///
    /// rtmpull connects to the first source at this interval, and at least every 30 seconds.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    #[arg(allow_hyphen_values = true, value_parser = values::wait)]
    pub fallback_return: Duration,
}
