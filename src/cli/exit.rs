//! Every exit code once, and which ending gives which.

use std::process::ExitCode;

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
