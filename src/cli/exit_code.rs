//! Exit codes, and the code of each ending.

use std::{fmt, process::ExitCode};

use crate::download::{Ending, Outcome};

/// Exit code of the process. The numbers are those of rtmpdump, which front ends depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// The recording is complete, or the user or the reader of the pipe ended it; or help was printed.
    Success = 0,
    /// Usage error, refused, failed before any media arrived, or the output could not be written.
    Failure = 1,
    /// The end of the recording is missing.
    Incomplete = 2,
    /// No connection was made.
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
            | Ending::ReaderGone
                if outcome.media_arrived =>
            {
                Self::Success
            }
            Ending::Ended
            | Ending::Unpublished
            | Ending::Limit
            | Ending::Closed
            | Ending::ReaderGone => Self::Failure,
            Ending::Interrupted if outcome.media_arrived && outcome.is_live => Self::Success,
            Ending::Interrupted if outcome.media_arrived => Self::Incomplete,
            Ending::Interrupted if outcome.handshake_done => Self::Failure,
            Ending::Interrupted => Self::NoConnection,
            Ending::Cut | Ending::Stalled if outcome.media_arrived => Self::Incomplete,
            Ending::Cut | Ending::Stalled => Self::Failure,
            Ending::Refused
            | Ending::NotFound
            | Ending::Mismatch
            | Ending::DiskFull
            | Ending::OutputFailed
            | Ending::NoPlayer => Self::Failure,
            Ending::NoConnection => Self::NoConnection,
        }
    }
}

/// Reason why no download was started. The exit code is [`Exit::Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStarted {
    /// The command line is invalid.
    Usage,
    /// The output file cannot be created.
    OutputFailed,
    /// A system call failed that every download needs.
    Failed,
}

impl fmt::Display for NotStarted {
    /// Writes the ending word of the summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str("usage"),
            Self::OutputFailed => Ending::OutputFailed.fmt(f),
            Self::Failed => f.write_str("failed"),
        }
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{cli::generate::MANUAL, output::Gaps};

    /// For each ending, the codes of a recorded and a live stream without media, then with media.
    const CODES: [(Ending, [u8; 4]); 15] = [
        (Ending::Ended, [1, 1, 0, 0]),
        (Ending::Unpublished, [1, 1, 0, 0]),
        (Ending::Limit, [1, 1, 0, 0]),
        (Ending::Closed, [1, 1, 0, 0]),
        (Ending::ReaderGone, [1, 1, 0, 0]),
        (Ending::Interrupted, [1, 1, 2, 0]),
        (Ending::Cut, [1, 1, 2, 2]),
        (Ending::Stalled, [1, 1, 2, 2]),
        (Ending::Refused, [1, 1, 1, 1]),
        (Ending::NotFound, [1, 1, 1, 1]),
        (Ending::Mismatch, [1, 1, 1, 1]),
        (Ending::DiskFull, [1, 1, 1, 1]),
        (Ending::OutputFailed, [1, 1, 1, 1]),
        (Ending::NoPlayer, [1, 1, 1, 1]),
        (Ending::NoConnection, [3, 3, 3, 3]),
    ];

    /// Iterates over all endings. The `match` fails to compile if one is missing.
    fn all() -> impl Iterator<Item = Ending> {
        std::iter::successors(Some(Ending::Ended), |ending| match ending {
            Ending::Ended => Some(Ending::Unpublished),
            Ending::Unpublished => Some(Ending::Limit),
            Ending::Limit => Some(Ending::Closed),
            Ending::Closed => Some(Ending::ReaderGone),
            Ending::ReaderGone => Some(Ending::Interrupted),
            Ending::Interrupted => Some(Ending::Cut),
            Ending::Cut => Some(Ending::Stalled),
            Ending::Stalled => Some(Ending::Refused),
            Ending::Refused => Some(Ending::NotFound),
            Ending::NotFound => Some(Ending::Mismatch),
            Ending::Mismatch => Some(Ending::DiskFull),
            Ending::DiskFull => Some(Ending::OutputFailed),
            Ending::OutputFailed => Some(Ending::NoPlayer),
            Ending::NoPlayer => Some(Ending::NoConnection),
            Ending::NoConnection => None,
        })
    }

    #[test]
    fn readme_and_manual_document_every_exit_code() {
        let words = |ending, codes: [u8; 4]| match codes {
            // Before any media, these ends are called `cut`.
            _ if [Ending::Ended, Ending::Unpublished, Ending::Closed].contains(&ending) => {
                "0".to_owned()
            }
            [1, 1, 0, 0] => "0, or 1 before any media".to_owned(),
            [1, 1, 2, 0] => {
                "0 live, 2 recorded, 1 before any media, 3 before the handshake".to_owned()
            }
            [1, 1, 2, 2] => "2, or 1 before any media".to_owned(),
            [code, ..] => code.to_string(),
        };
        let endings = CODES.map(|(ending, codes)| (ending.to_string(), words(ending, codes)));
        let not_started = [
            NotStarted::Usage,
            NotStarted::OutputFailed,
            NotStarted::Failed,
        ]
        .map(|word| (word.to_string(), (Exit::Failure as u8).to_string()));
        let expected: BTreeMap<_, _> = endings.into_iter().chain(not_started).collect();
        assert_eq!(readme_table(), expected);
        assert_eq!(manual_list(), expected);
    }

    /// Returns the exit code of each word in the README.
    fn readme_table() -> BTreeMap<String, String> {
        let (_, table) = README
            .split_once("| word | what happened | exit |")
            .unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        unique(table.lines().skip(2).flat_map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let words = cells[1].split(", ").map(|word| word.replace('`', ""));
            words.map(move |word| (word, cells[3].to_owned()))
        }))
    }

    /// Returns the exit code of each word in the manual, which has items such as "- `ended` (0): text".
    fn manual_list() -> BTreeMap<String, String> {
        let (_, section) = MANUAL.split_once("\n# Exit status\n").unwrap();
        let (section, _) = section.split_once("\n# ").unwrap();
        let items = section.lines().filter_map(|line| line.strip_prefix("- `"));
        unique(items.map(|item| {
            let (word, rest) = item.split_once("` (").unwrap();
            let (code, _) = rest.split_once("): ").unwrap();
            (word.to_owned(), code.to_owned())
        }))
    }

    fn unique(rows: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
        let mut codes = BTreeMap::new();
        for (word, code) in rows {
            let previous = codes.insert(word.clone(), code);
            assert_eq!(previous, None, "{word} is listed twice");
        }
        codes
    }

    const README: &str = include_str!("../../README.md");

    #[test]
    fn every_ending_has_its_exit_code() {
        assert!(
            all().eq(CODES.map(|(ending, _)| ending)),
            "the table lists all endings"
        );
        for (ending, codes) in CODES {
            let cases = [(false, false), (false, true), (true, false), (true, true)];
            let exits = cases.map(|(media_arrived, is_live)| {
                let outcome = Outcome {
                    media_arrived,
                    is_live,
                    ..outcome(ending)
                };
                Exit::from(&outcome) as u8
            });
            assert_eq!(exits, codes, "{ending}");
        }
    }

    #[test]
    fn an_interrupted_handshake_is_no_connection() {
        for is_live in [false, true] {
            let outcome = Outcome {
                is_live,
                media_arrived: false,
                handshake_done: false,
                ..outcome(Ending::Interrupted)
            };
            assert_eq!(Exit::from(&outcome), Exit::NoConnection);
        }
    }

    /// Returns the outcome of a recorded stream that has written nothing.
    pub(in crate::cli) fn outcome(ending: Ending) -> Outcome {
        Outcome {
            ending,
            reason: String::new(),
            media_arrived: true,
            handshake_done: true,
            is_live: false,
            bytes: 0,
            tags: 0,
            position_ms: 0,
            duration_ms: None,
            gaps: Gaps::default(),
            missing_sequence_headers: Vec::new(),
            missing_tracks: Vec::new(),
            hints: Vec::new(),
        }
    }
}
