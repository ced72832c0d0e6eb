//! What a recording lacks, and the waits in which it came to lack it.

use std::collections::VecDeque;

use jiff::Timestamp;

/// A place where the recording lacks what the stream had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where on the output's clock it is, in milliseconds.
    pub at_ms: u64,
    /// When it began.
    pub began: Timestamp,
    /// How much is missing, in milliseconds of wall-clock time.
    pub length_ms: u64,
    /// What it came from. Not escaped.
    pub reason: String,
}

/// What becomes of the time that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GapPolicy {
    /// The output's clock counts it.
    #[default]
    Keep,
    /// What follows is joined to what came before.
    Close,
    /// What follows is a new part.
    Split,
}

/// The gaps of a recording: all are counted, the latest are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gaps {
    count: u64,
    total_ms: u64,
    latest: VecDeque<Gap>,
}

impl Gaps {
    /// Adds the next one.
    pub fn push(&mut self, gap: Gap) {
        self.count = self.count.saturating_add(1);
        self.total_ms = self.total_ms.saturating_add(gap.length_ms);
        if self.latest.len() == LATEST_GAPS {
            self.latest.pop_front();
        }
        self.latest.push_back(gap);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How much is missing in all, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.total_ms
    }

    /// The latest, the oldest of them first.
    pub fn latest(&self) -> impl ExactSizeIterator<Item = &Gap> {
        self.latest.iter()
    }
}

/// How many gaps are kept: a bad line makes thousands in some days.
const LATEST_GAPS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_gaps_and_keeps_the_latest() {
        let mut gaps = Gaps::default();
        let all = LATEST_GAPS as u64 + 5;
        for number in 1..=all {
            gaps.push(Gap {
                at_ms: number,
                began: Timestamp::UNIX_EPOCH,
                length_ms: 10,
                reason: String::new(),
            });
        }
        assert_eq!((gaps.count(), gaps.total_ms()), (all, 10 * all));
        let latest: Vec<_> = gaps.latest().map(|gap| gap.at_ms).collect();
        assert_eq!(latest, (6..=all).collect::<Vec<_>>());
    }
}
