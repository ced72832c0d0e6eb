//! The results of all streams.

use std::{collections::BTreeMap, sync::Arc};

use super::{count, task::Ended};
use crate::{
    cli::{exit_code::Exit, report::json::event::Summary},
    download::Ending,
};

/// Results of the streams that have ended, and sums over all downloads.
#[derive(Debug, Default)]
pub(super) struct Results {
    streams: BTreeMap<Arc<str>, Result>,
    sums: Sums,
}

/// Latest result of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Result {
    exit: Exit,
    /// `None` if the download did not end in time.
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    bytes: u64,
    tags: u64,
    /// Duration of all recordings in milliseconds.
    duration_ms: u64,
    gap_count: u64,
    gap_total_ms: u64,
}

impl Results {
    /// Adds the result of a stream, which replaces an earlier one.
    pub(super) fn add(&mut self, ended: &Ended) {
        self.add_left(ended);
        let result = Result {
            exit: ended.exit,
            ending: Some(ended.ending),
        };
        self.streams.insert(Arc::clone(&ended.name), result);
    }

    /// Adds the sums of a download that ended because the file changed. Its ending does not count.
    pub(super) fn add_left(&mut self, ended: &Ended) {
        let sums = &mut self.sums;
        for (sum, value) in [
            (&mut sums.bytes, ended.bytes),
            (&mut sums.tags, ended.tags),
            (&mut sums.duration_ms, ended.duration_ms),
            (&mut sums.gap_count, ended.gap_count),
            (&mut sums.gap_total_ms, ended.gap_total_ms),
        ] {
            *sum = sum.saturating_add(value);
        }
    }

    /// Adds a stream whose download did not end in time.
    pub(super) fn add_hanging(&mut self, name: &Arc<str>) {
        let result = Result {
            exit: Exit::Incomplete,
            ending: None,
        };
        self.streams.insert(Arc::clone(name), result);
    }

    /// Removes the result of a stream that is no longer in the file.
    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.streams.remove(name);
    }

    /// Returns the highest exit code of all streams.
    pub(super) fn exit(&self) -> Exit {
        let exits = self.streams.values().map(|result| result.exit);
        exits.max().unwrap_or(Exit::Success)
    }

    /// Returns the level of the last line.
    pub(super) fn level(&self) -> &'static str {
        match self.exit() {
            Exit::Success => "INFO",
            Exit::Incomplete => "WARNING",
            Exit::Failure | Exit::NoConnection => "ERROR",
        }
    }

    /// Formats the last line: `2 of 20 streams failed: lobby (cut), yard (refused)`
    pub(super) fn line(&self) -> String {
        let failed: Vec<String> = self.failed().collect();
        let total = count(self.streams.len());
        match failed.len() {
            0 => format!("{total} ended without failure"),
            number => {
                let left_out = number.saturating_sub(LISTED);
                let more = match left_out {
                    0 => String::new(),
                    left_out => format!(" and {left_out} more"),
                };
                let listed = failed.get(..number.min(LISTED)).unwrap_or_default();
                format!("{number} of {total} failed: {}{more}", listed.join(", "))
            }
        }
    }

    /// Returns the streams that failed, with their endings.
    fn failed(&self) -> impl Iterator<Item = String> {
        let failed = self
            .streams
            .iter()
            .filter(|(_, result)| result.exit != Exit::Success);
        failed.map(|(name, result)| match result.ending {
            Some(ending) => format!("{name} ({ending})"),
            None => format!("{name} (did not end in time)"),
        })
    }

    /// Returns the summary of the process.
    pub(super) fn summary(&self, is_interrupted: bool) -> Summary {
        let worst = self.streams.values().max_by_key(|result| result.exit);
        let ending = match worst.and_then(|worst| worst.ending) {
            _ if is_interrupted => Ending::Interrupted,
            Some(ending) => ending,
            None => Ending::Ended,
        };
        Summary {
            ending: ending.to_string(),
            reason: self.line(),
            exit_code: self.exit() as u8,
            bytes: self.sums.bytes,
            tags: self.sums.tags,
            duration_ms: self.sums.duration_ms,
            gap_count: self.sums.gap_count,
            gap_total_ms: self.sums.gap_total_ms,
            ..Summary::default()
        }
    }
}

/// Largest number of failed streams in the last line.
const LISTED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, exit: Exit, ending: Ending) -> Ended {
        Ended {
            name: name.into(),
            exit,
            ending,
            bytes: 10,
            tags: 2,
            duration_ms: 1_000,
            gap_count: 1,
            gap_total_ms: 5,
        }
    }

    #[test]
    fn the_highest_exit_code_counts() {
        let mut results = Results::default();
        assert_eq!(results.exit(), Exit::Success);
        results.add(&ended("a", Exit::Success, Ending::Closed));
        assert_eq!(results.line(), "1 stream ended without failure");
        results.add(&ended("b", Exit::NoConnection, Ending::NoConnection));
        results.add(&ended("c", Exit::Failure, Ending::Refused));
        assert_eq!(results.exit(), Exit::NoConnection);
        let line = "2 of 3 streams failed: b (no-connection), c (refused)";
        assert_eq!(results.line(), line);
        let summary = results.summary(false);
        assert_eq!(
            (summary.ending.as_str(), summary.exit_code),
            ("no-connection", 3)
        );
        assert_eq!((summary.bytes, summary.tags, summary.gap_count), (30, 6, 3));
        assert_eq!(results.summary(true).ending, "interrupted");
    }

    #[test]
    fn the_latest_result_of_a_stream_counts() {
        let mut results = Results::default();
        results.add(&ended("a", Exit::Failure, Ending::Refused));
        results.add(&ended("a", Exit::Success, Ending::Closed));
        results.add_left(&ended("b", Exit::Incomplete, Ending::Cut));
        assert_eq!(results.exit(), Exit::Success);
        results.add_hanging(&"c".into());
        assert_eq!(results.exit(), Exit::Incomplete);
        results.forget(&"c".into());
        assert_eq!(results.exit(), Exit::Success);
        assert_eq!(results.summary(false).bytes, 30);
    }

    #[test]
    fn the_last_line_lists_a_few_failures() {
        let mut results = Results::default();
        for number in 0..12 {
            let name = format!("{number:02}");
            results.add(&ended(&name, Exit::Incomplete, Ending::Cut));
        }
        let line = results.line();
        assert!(
            line.starts_with("12 of 12 streams failed: 00 (cut), "),
            "{line}"
        );
        assert!(line.ends_with("09 (cut) and 2 more"), "{line}");
    }
}
