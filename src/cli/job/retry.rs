//! Reconnecting, waiting for a stream, and gaps.

use std::time::Duration;

use anyhow::Result;

use super::paths::Output;
use crate::{
    cli::{
        args::{Args, values::Attempts},
        program_name::ProgramName,
    },
    download::retry::{RetryPolicy, WaitPolicy},
    output::GapPolicy,
};

/// Returns when to retry. rtmpdump never retries, and its callers have loops of their own.
pub(super) fn retry_policy(args: &Args) -> RetryPolicy {
    let default = match args.name {
        ProgramName::Rtmpull if args.live => LIVE_ATTEMPTS,
        ProgramName::Rtmpull | ProgramName::Rtmpdump => 0,
    };
    let Attempts(attempts) = args.reconnecting.retry.unwrap_or(Attempts(Some(default)));
    RetryPolicy {
        attempts,
        wait: match args.reconnecting.wait {
            None => WaitPolicy::None,
            Some(Duration::MAX) => WaitPolicy::Forever,
            Some(wait) => WaitPolicy::UpTo(wait),
        },
    }
}

/// Returns how long to wait for another publisher. By default, only live streams can have one, and
/// rtmpdump never waits. A fallback does not wait either.
pub(super) fn republish_wait(args: &Args) -> Duration {
    let default = match args.name {
        ProgramName::Rtmpull if args.live && args.fallback.fallback.is_empty() => REPUBLISH_WAIT,
        ProgramName::Rtmpull | ProgramName::Rtmpdump => Duration::ZERO,
    };
    args.reconnecting.republish_wait.unwrap_or(default)
}

/// Returns what to do with missing time, or fails if the output cannot be split.
pub(super) fn gap_policy(args: &Args, output: &Output) -> Result<GapPolicy> {
    if args.reconnecting.gap == GapPolicy::Split {
        output.ensure_file("--gap split")?;
    }
    Ok(args.reconnecting.gap)
}

/// With backoff, five attempts take half a minute.
const LIVE_ATTEMPTS: u32 = 5;

/// Encoders restart within seconds.
const REPUBLISH_WAIT: Duration = Duration::from_secs(10);
