//! Times of messages on one clock that does not wrap, and the path of each track on it.

use super::facts::TimestampFacts;
use crate::core::rtmp::message::Timestamp;

/// Time of a message in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaTime {
    /// Timestamp of RTMP or FLV, which wraps after 2³² ms.
    Timestamp(u32),
    /// Milliseconds on a clock that does not wrap.
    Milliseconds(u64),
}

/// Converts timestamps that wrap to one clock.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    latest: Option<(Timestamp, i64)>,
}

impl Timeline {
    /// Returns the time of a frame in milliseconds. The first frame keeps the value of its timestamp. A later
    /// timestamp may have wrapped, so it becomes the time nearest to the previous frame.
    pub(super) fn time_ms(&mut self, time: MediaTime) -> i64 {
        let timestamp = match time {
            MediaTime::Timestamp(timestamp) => Timestamp(timestamp),
            MediaTime::Milliseconds(time_ms) => return i64::try_from(time_ms).unwrap_or(i64::MAX),
        };
        let time_ms = match self.latest {
            None => timestamp.0.into(),
            Some((latest, latest_ms)) => latest_ms.saturating_add(timestamp.since(latest).into()),
        };
        self.latest = Some((timestamp, time_ms));
        time_ms
    }
}

/// Times of the frames of one track.
#[derive(Debug, Default)]
pub(super) struct Path {
    latest_ms: Option<i64>,
    /// A frame that left the path by more than [`MIN_STRAY_MS`]. The next frame decides whether it was a stray.
    suspect: Option<Suspect>,
    /// Sum of the steps forward, without those of stray frames.
    elapsed_ms: u64,
    facts: TimestampFacts,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    before_ms: i64,
    step_ms: i64,
}

/// Relation of a frame to the frame before it in the same track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Length of a gap before the previous frame, which this frame confirms.
    pub(super) gap_ms: Option<u64>,
    pub(super) step: Step,
}

/// Step from the frame before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// First frame of the track.
    First,
    /// This many milliseconds forward, without a gap; 0 is a repeat.
    Forward(u64),
    /// A step back, or a step that may be a gap: the times before this frame cannot be compared with it.
    Jump,
}

impl Path {
    /// Adds a frame at this time. A longer step than `gap_limit_ms` is a gap, if the next frame confirms it.
    pub(super) fn advance(&mut self, time_ms: i64, gap_limit_ms: u64) -> Progress {
        let Some(latest_ms) = self.latest_ms.replace(time_ms) else {
            return Progress {
                gap_ms: None,
                step: Step::First,
            };
        };
        let Some(suspect) = self.suspect.take() else {
            return Progress {
                gap_ms: None,
                step: self.judge(latest_ms, time_ms, gap_limit_ms),
            };
        };
        let since_before = u64::try_from(time_ms.saturating_sub(suspect.before_ms));
        if let Some(step_ms) = since_before.ok().filter(|step_ms| *step_ms <= gap_limit_ms) {
            self.elapsed_ms = self.elapsed_ms.saturating_add(step_ms);
            self.facts.strays = self.facts.strays.saturating_add(1);
            return Progress {
                gap_ms: None,
                step: Step::Jump,
            };
        }
        let gap_ms = u64::try_from(suspect.step_ms).ok();
        match gap_ms {
            Some(gap_ms) => self.elapsed_ms = self.elapsed_ms.saturating_add(gap_ms),
            None => self.facts.count_step_back(suspect.step_ms),
        }
        Progress {
            gap_ms,
            step: self.judge(latest_ms, time_ms, gap_limit_ms),
        }
    }

    fn judge(&mut self, latest_ms: i64, time_ms: i64, gap_limit_ms: u64) -> Step {
        let step_ms = time_ms.saturating_sub(latest_ms);
        match u64::try_from(step_ms) {
            Ok(0) => {
                self.facts.repeats = self.facts.repeats.saturating_add(1);
                Step::Forward(0)
            }
            Ok(step_ms) if step_ms <= gap_limit_ms => {
                self.elapsed_ms = self.elapsed_ms.saturating_add(step_ms);
                Step::Forward(step_ms)
            }
            Err(_) if step_ms > -MIN_STRAY_MS => {
                self.facts.count_step_back(step_ms);
                Step::Jump
            }
            _ => {
                self.suspect = Some(Suspect {
                    before_ms: latest_ms,
                    step_ms,
                });
                Step::Jump
            }
        }
    }

    /// Returns the time from the first to the latest frame, in milliseconds. A step back and a stray frame do not
    /// change it, and a gap counts once the next frame has confirmed it.
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    /// Returns the irregular timestamps. Confirmed gaps are counted as steps, so only an unconfirmed gap before the
    /// latest frame is included.
    pub(super) fn facts(&self) -> TimestampFacts {
        let mut facts = self.facts;
        if let Some(suspect) = self.suspect {
            match u64::try_from(suspect.step_ms) {
                Ok(gap_ms) => (facts.gaps, facts.longest_gap_ms) = (1, gap_ms),
                Err(_) => facts.count_step_back(suspect.step_ms),
            }
        }
        facts
    }
}

impl TimestampFacts {
    fn count_step_back(&mut self, step_ms: i64) {
        self.steps_back = self.steps_back.saturating_add(1);
        self.largest_step_back_ms = self.largest_step_back_ms.max(step_ms.unsigned_abs());
    }
}

/// Smallest distance of a stray frame from its path, in milliseconds. Smaller steps back are jitter of a server
/// that mixes two clocks.
const MIN_STRAY_MS: i64 = 1000;
