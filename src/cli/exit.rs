//! Every exit code once, and which ending gives which.

use std::process::ExitCode;

use crate::download::{Ending, Outcome};

/// What the process returns. The numbers are rtmpdump's, which front ends depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The recording is complete, or its end was the user's wish; or help was asked for.
    Success = 0,
    /// Wrong usage, refused, failed before any media came, or nothing could be written.
    Failure = 1,
    /// Something is missing at the end of the recording.
    Incomplete = 2,
    /// There never was a connection.
    NoConnection = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Outcome> for Exit {
    fn from(outcome: &Outcome) -> Self {
        match outcome.ending {
            Ending::Ended
            | Ending::Unpublished
            | Ending::Limit
            | Ending::Closed
            | Ending::ReaderGone => Self::Success,
            Ending::Interrupted if outcome.is_live => Self::Success,
            Ending::Interrupted => Self::Incomplete,
            Ending::Cut | Ending::Stalled if outcome.media_arrived => Self::Incomplete,
            Ending::Cut | Ending::Stalled => Self::Failure,
            Ending::Refused
            | Ending::NotFound
            | Ending::Mismatch
            | Ending::DiskFull
            | Ending::OutputFailed => Self::Failure,
            Ending::NoConnection => Self::NoConnection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each ending: recorded and live before any media, then recorded and live with some.
    const CODES: [(Ending, [u8; 4]); 14] = [
        (Ending::Ended, [0, 0, 0, 0]),
        (Ending::Unpublished, [0, 0, 0, 0]),
        (Ending::Limit, [0, 0, 0, 0]),
        (Ending::Closed, [0, 0, 0, 0]),
        (Ending::ReaderGone, [0, 0, 0, 0]),
        (Ending::Interrupted, [2, 0, 2, 0]),
        (Ending::Cut, [1, 1, 2, 2]),
        (Ending::Stalled, [1, 1, 2, 2]),
        (Ending::Refused, [1, 1, 1, 1]),
        (Ending::NotFound, [1, 1, 1, 1]),
        (Ending::Mismatch, [1, 1, 1, 1]),
        (Ending::DiskFull, [1, 1, 1, 1]),
        (Ending::OutputFailed, [1, 1, 1, 1]),
        (Ending::NoConnection, [3, 3, 3, 3]),
    ];

    #[test]
    fn gives_each_ending_its_code() {
        for (ending, codes) in CODES {
            let cases = [(false, false), (false, true), (true, false), (true, true)];
            let exits = cases.map(|(media_arrived, is_live)| {
                let outcome = Outcome {
                    ending,
                    reason: String::new(),
                    media_arrived,
                    is_live,
                    bytes: 0,
                    tags: 0,
                    position_ms: 0,
                    duration_ms: None,
                };
                Exit::from(&outcome) as u8
            });
            assert_eq!(exits, codes, "{ending}");
        }
    }
}
