//! What a probe concludes: whether the source plays, and the exit code.

use serde::Serialize;

use super::{Cleaner, expect::Failure, health::Finding};
use crate::{
    cli::{exit_code::Exit, report::text::hint},
    download::{Ending, Outcome},
};

/// The conclusion of a probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Verdict {
    result: Conclusion,
    exit_code: u8,
    ending: String,
    reason: String,
    hints: Vec<String>,
    failed_conditions: Vec<String>,
    errors: usize,
    warnings: usize,
    #[serde(skip)]
    is_of_file: bool,
}

/// Whether a source plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Conclusion {
    /// Media arrived until the end of the probe.
    Plays,
    /// The server refused the request or sent no media; or the file cannot be played.
    Refused,
    /// Media arrived, and then stopped.
    Stopped,
    /// No connection was made.
    NoConnection,
}

impl Conclusion {
    /// Returns the conclusion from the outcome of a stream.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match (outcome.ending, outcome.media_arrived) {
            (Ending::Interrupted, true) => Self::Plays,
            // A live stream has no end, so its publisher or its server failed.
            (Ending::Unpublished | Ending::Closed, true) if outcome.is_live => Self::Stopped,
            _ => match Exit::from(outcome) {
                Exit::Success => Self::Plays,
                Exit::Failure => Self::Refused,
                Exit::Incomplete => Self::Stopped,
                Exit::NoConnection => Self::NoConnection,
            },
        }
    }

    /// Returns the exit code.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Plays => Exit::Success,
            Self::Refused => Exit::Failure,
            Self::Stopped => Exit::Incomplete,
            Self::NoConnection => Exit::NoConnection,
        }
    }

    /// Returns the conclusion in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Plays => "plays",
            Self::Refused => "refused",
            Self::Stopped => "media stopped",
            Self::NoConnection => "no connection",
        }
    }
}

/// Ending of a file that does not play.
const FAILED: &str = "failed";

impl Verdict {
    pub(super) fn of(outcome: &Outcome, findings: &[Finding], cleaner: &Cleaner<'_>) -> Self {
        let result = Conclusion::of(outcome);
        let hints = outcome.hints.iter().map(hint::text);
        Self {
            result,
            exit_code: result.exit() as u8,
            ending: outcome.ending.to_string(),
            reason: cleaner.clean(&outcome.reason),
            hints: hints.map(|hint| cleaner.clean(&hint)).collect(),
            failed_conditions: Vec::new(),
            errors: findings.iter().filter(|finding| finding.is_error()).count(),
            warnings: findings
                .iter()
                .filter(|finding| finding.is_warning())
                .count(),
            is_of_file: false,
        }
    }

    /// Returns the verdict of a file: it plays unless a finding is an error.
    pub(super) fn of_file(findings: &[Finding]) -> Self {
        let mut errors = findings.iter().filter(|finding| finding.is_error());
        match errors.next() {
            Some(error) => Self::new(Conclusion::Refused, FAILED, error.text(), findings),
            None => Self::new(Conclusion::Plays, "ended", "", findings),
        }
    }

    /// Returns the verdict of a file that cannot be read.
    pub(super) fn of_unreadable_file(reason: &str) -> Self {
        Self::new(Conclusion::Refused, FAILED, reason, &[])
    }

    fn new(result: Conclusion, ending: &str, reason: &str, findings: &[Finding]) -> Self {
        Self {
            result,
            exit_code: result.exit() as u8,
            ending: ending.to_owned(),
            reason: reason.to_owned(),
            hints: Vec::new(),
            failed_conditions: Vec::new(),
            errors: findings.iter().filter(|finding| finding.is_error()).count(),
            warnings: findings
                .iter()
                .filter(|finding| finding.is_warning())
                .count(),
            is_of_file: true,
        }
    }

    /// Adds the conditions of `--expect` that failed. They only change the exit code of a source that plays.
    pub(super) fn fail(&mut self, failures: &[Failure], cleaner: &Cleaner<'_>) {
        self.failed_conditions = failures
            .iter()
            .map(|failure| cleaner.clean(&failure.to_string()))
            .collect();
        if !failures.is_empty() && self.exit_code == Exit::Success as u8 {
            self.exit_code = Exit::Failure as u8;
        }
    }

    /// Returns the exit code.
    pub(super) fn exit(&self) -> Exit {
        match self.failed_conditions.is_empty() {
            false if self.result == Conclusion::Plays => Exit::Failure,
            _ => self.result.exit(),
        }
    }

    /// Returns the conclusion on one line.
    pub(super) fn line(&self) -> String {
        let conclusion = self.result.words();
        match self.result {
            Conclusion::Plays => conclusion.to_owned(),
            _ if self.is_of_file => format!("does not play: {}", self.reason),
            _ if self.ending.replace('-', " ") == conclusion => {
                format!("{conclusion}: {}", self.reason)
            }
            _ => format!("{conclusion} ({}): {}", self.ending, self.reason),
        }
    }

    /// Returns the conclusion, the failed conditions and the hints, each on a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let count = |count: usize, what| match count {
            0 => String::new(),
            1 => format!(", 1 {what}"),
            _ => format!(", {count} {what}s"),
        };
        // A reason would read as if it continued with the counts.
        let counts = match self.result {
            Conclusion::Plays => count(self.errors, "error") + &count(self.warnings, "warning"),
            _ => String::new(),
        };
        let failed = self.failed_conditions.iter();
        let failed = failed.map(|condition| format!("condition {condition}"));
        [format!("verdict: {}{counts}", self.line())]
            .into_iter()
            .chain(failed)
            .chain(self.hints.iter().map(|hint| format!("hint: {hint}")))
            .collect()
    }

    /// Returns the numbers of errors and of warnings among the findings.
    pub(super) fn counts(&self) -> [usize; 2] {
        [self.errors, self.warnings]
    }

    /// Returns the conditions that failed.
    pub(super) fn failed_conditions(&self) -> &[String] {
        &self.failed_conditions
    }
}
