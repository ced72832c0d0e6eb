//! How the user wants progress to look.

use jiff::Timestamp;

use crate::{cli::program_name::ProgramName, download::Progress};

/// Options of the user, and facts of the request, that affect the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DisplayOptions {
    /// Whether progress is a row of `#`.
    pub hashes: bool,
    /// Whether to show no progress.
    pub no_progress: bool,
    /// Whether the server keeps its own pace.
    pub realtime: bool,
    /// Start of the requested range of a recorded stream, in milliseconds.
    pub start_ms: u64,
    /// Length of the requested range, in milliseconds.
    pub length_ms: Option<u64>,
    /// Time of day at which the recording ends.
    pub until: Option<Timestamp>,
    /// Whether the recording is split into segments.
    pub is_split: bool,
    /// Whether files are converted, without a server.
    pub is_conversion: bool,
    /// Name that the program was started as. Front ends read the lines of rtmpdump.
    pub name: ProgramName,
}

impl DisplayOptions {
    /// Returns the expected duration of the recording in milliseconds: that of the requested range. A live
    /// stream has no duration of its own, whatever its publisher announces, but it has the limits of the user.
    pub(super) fn expected_ms(&self, progress: &Progress, now: Timestamp) -> Option<u64> {
        let counts = self.name == ProgramName::Rtmpdump || !progress.is_live;
        let duration_ms = progress.duration_ms.filter(|_| counts);
        let rest_ms = duration_ms.map(|duration_ms| duration_ms.saturating_sub(self.start_ms));
        let expected_ms = rest_ms.into_iter().chain(self.length_ms).min();
        // A recorded stream does not arrive at play speed, so the time of day does not bound its position.
        let until = self
            .until
            .filter(|_| progress.is_live || expected_ms.is_none());
        let until_ms = until.map(|until| {
            let left_ms = until.duration_since(now).as_millis().max(0) as u64;
            progress.position_ms.saturating_add(left_ms)
        });
        expected_ms.into_iter().chain(until_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duration_of_a_live_stream_does_not_count_but_limits_do() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let in_a_minute = "2026-11-28T12:01:00Z".parse().ok();
        let progress = |is_live| Progress {
            position_ms: 5_000,
            duration_ms: Some(8_000),
            is_live,
            ..Progress::default()
        };
        let none = DisplayOptions::default();
        let rtmpdump = DisplayOptions {
            name: ProgramName::Rtmpdump,
            ..none
        };
        let length = DisplayOptions {
            length_ms: Some(90_000),
            ..none
        };
        let until = DisplayOptions {
            until: in_a_minute,
            ..none
        };
        let both = DisplayOptions {
            until: in_a_minute,
            ..length
        };
        let cases = [
            (none, Some(8_000), None),
            (rtmpdump, Some(8_000), Some(8_000)),
            (length, Some(8_000), Some(90_000)),
            (until, Some(8_000), Some(65_000)),
            (both, Some(8_000), Some(65_000)),
        ];
        for (options, recorded, live) in cases {
            let expected =
                [false, true].map(|is_live| options.expected_ms(&progress(is_live), now));
            assert_eq!(expected, [recorded, live], "{options:?}");
        }
    }
}
