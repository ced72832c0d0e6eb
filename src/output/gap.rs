//! Gaps in a recording, and the policy for them.

use std::collections::VecDeque;

use jiff::Timestamp;

/// Missing time in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Output time of the gap in milliseconds.
    pub at_ms: u64,
    /// Wall-clock time of its start.
    pub began: Timestamp,
    /// Length in milliseconds of wall-clock time.
    pub length_ms: u64,
    /// Cause of the gap. Not escaped.
    pub reason: String,
}

/// Effect of a gap on the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GapPolicy {
    /// The output clock includes the missing time.
    #[default]
    Keep,
    /// The output continues without the missing time.
    Close,
    /// A new segment starts after the gap.
    Split,
}

/// Gaps of a recording: the number and length of all, and the details of the latest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gaps {
    count: u64,
    total_ms: u64,
    latest: VecDeque<Gap>,
}

impl Gaps {
    /// Adds the next gap.
    pub fn push(&mut self, gap: Gap) {
        self.count = self.count.saturating_add(1);
        self.total_ms = self.total_ms.saturating_add(gap.length_ms);
        if self.latest.len() == LATEST_GAPS {
            self.latest.pop_front();
        }
        self.latest.push_back(gap);
    }

    /// Number of all gaps.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Total length of all gaps in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.total_ms
    }

    /// Returns the latest gaps in order.
    pub fn latest(&self) -> impl ExactSizeIterator<Item = &Gap> {
        self.latest.iter()
    }
}

/// Number of gaps with details. A bad connection causes thousands in a few days.
const LATEST_GAPS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_gaps_are_counted_and_the_latest_are_kept() {
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
