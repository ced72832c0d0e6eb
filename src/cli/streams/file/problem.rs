//! Errors in a file of streams, with their lines.

use std::fmt;

/// An error in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::streams) struct Problem {
    /// Line of the error, from 1.
    pub(in crate::cli::streams) line: usize,
    /// What is wrong, in one line.
    pub(in crate::cli::streams) reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

/// All errors in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli::streams) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds an error. An error in the defaults concerns each stream, but is listed once.
    pub(in crate::cli::streams) fn add(&mut self, line: usize, reason: String) {
        let problem = Problem { line, reason };
        if let Err(position) = self.0.binary_search(&problem) {
            self.0.insert(position, problem);
        }
    }

    /// Adds all errors of `others`.
    pub(in crate::cli::streams) fn extend(&mut self, others: Self) {
        for other in others.0 {
            self.add(other.line, other.reason);
        }
    }

    pub(in crate::cli::streams) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates in the order of the lines.
    pub(in crate::cli::streams) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

/// Offsets at which the lines of a text start.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self([0].into_iter().chain(breaks).collect())
    }

    /// Returns the number of the line at an offset, from 1.
    pub(super) fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}
