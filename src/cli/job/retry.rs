//! What becomes of a stream that stops, is lost, or is not there yet.

use std::time::Duration;

use anyhow::Result;

use super::segments::ensure_file;
use crate::{
    cli::{
        args::{
            Args, Gap,
            values::{Attempts, Wait},
        },
        program_name::ProgramName,
    },
    download::retry::{Patience, RetryPolicy},
    output::{Destination, GapPolicy},
};

/// What is tried again. rtmpdump tried nothing, and its callers have loops of their own.
pub(super) fn retry(args: &Args) -> RetryPolicy {
    let attempts = args.retry.unwrap_or(match args.name {
        ProgramName::Rtmpull if args.live => LIVE_ATTEMPTS,
        ProgramName::Rtmpull | ProgramName::Rtmpdump => Attempts::UpTo(0),
    });
    RetryPolicy {
        attempts: match attempts {
            Attempts::UpTo(number) => Some(number),
            Attempts::Forever => None,
        },
        wait: match args.wait {
            None => Patience::None,
            Some(Wait::UpTo(wait)) => Patience::UpTo(wait),
            Some(Wait::Forever) => Patience::Forever,
        },
    }
}

/// How long another publisher is waited for. One comes to what is called live, and rtmpdump waited for
/// none.
pub(super) fn republish_wait(args: &Args) -> Duration {
    match (args.republish_wait, args.name) {
        (Some(Wait::UpTo(wait)), _) => wait,
        (Some(Wait::Forever), _) => Duration::MAX,
        (None, ProgramName::Rtmpull) if args.live => REPUBLISH_WAIT,
        (None, ProgramName::Rtmpull | ProgramName::Rtmpdump) => Duration::ZERO,
    }
}

pub(super) fn gap(args: &Args, output: &Destination) -> Result<GapPolicy> {
    match args.gap {
        Gap::Keep => Ok(GapPolicy::Keep),
        Gap::Close => Ok(GapPolicy::Close),
        Gap::Split => {
            ensure_file("--gap split", output)?;
            Ok(GapPolicy::Split)
        }
    }
}

/// Half a minute.
const LIVE_ATTEMPTS: Attempts = Attempts::UpTo(5);

/// How long another publisher is waited for.
const REPUBLISH_WAIT: Duration = Duration::from_secs(10);
