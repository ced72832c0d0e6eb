//! Converts the server's 32-bit timestamps, which wrap, restart and jump, to output times on one
//! 64-bit clock.
//!
//! Audio and video share the clock, so that lip sync survives. Each track has a path of its own, the
//! sequence of its output times: servers interleave the tracks, and one of them may lag by seconds,
//! so only a step within a track reveals that the server's clock jumped.
//!
//! A restart never moves the clock back. The first frame after it continues from the highest output
//! time, and each track continues after its own last frame, because readers of FLV expect the times
//! of a track to increase.

use crate::core::{flv::TagKind, rtmp::message::Timestamp};

/// Assigns an output time to each message. Only frames advance the clock.
#[derive(Debug)]
pub(super) struct OutputClock {
    keeps_timestamps: bool,
    clock: Option<Clock>,
    has_logged_jump: bool,
}

/// State of the clock from the first frame on.
#[derive(Debug)]
struct Clock {
    /// Server timestamp of the latest frame; `None` if the next frame sets the clock.
    timestamp: Option<Timestamp>,
    /// Output time of the latest frame; after a restart, of the next one.
    output_ms: i64,
    /// Highest output time so far.
    high_ms: i64,
    /// Latest step forward within a track: the distance from the last frame before a restart to the
    /// first one after it.
    step_ms: i64,
    audio: Track,
    video: Track,
}

/// Path of one track since the last restart of the clock.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    /// Highest output time on the path; `None` before its first frame.
    high_ms: Option<i64>,
    /// Highest output time before the path started. The path must stay after it.
    end_ms: Option<i64>,
    /// Number of consecutive leftovers before the first frame of the path.
    leftovers: u32,
}

/// What a frame means for the clock.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    OnPath,
    /// A frame timed by the clock before the last restart. It takes the output time of the frame
    /// before it and does not move the clock: servers send a few such frames of one track after the
    /// other one restarted, and a jump to each of them and back would add up.
    Leftover,
    Restart,
}

impl OutputClock {
    /// Creates a clock that starts at 0, or at the server's first timestamp if timestamps are kept.
    pub(super) fn new(keeps_timestamps: bool) -> Self {
        Self {
            keeps_timestamps,
            clock: None,
            has_logged_jump: false,
        }
    }

    /// Creates a clock on which `timestamp` has the output time `output_ms`, which is negative if the
    /// stream starts before the recording.
    pub(super) fn at(timestamp: Timestamp, output_ms: i64) -> Self {
        Self {
            keeps_timestamps: false,
            clock: Some(Clock {
                timestamp: Some(timestamp),
                ..Clock::starting_at(output_ms)
            }),
            has_logged_jump: false,
        }
    }

    /// Sets the output time at which an existing recording ends. The next frame continues it.
    pub(super) fn continue_from(&mut self, output_ms: u64) {
        let output_ms = i64::try_from(output_ms).unwrap_or(i64::MAX);
        let written = Track {
            end_ms: Some(output_ms),
            ..Track::default()
        };
        self.clock = Some(Clock {
            audio: written,
            video: written,
            ..Clock::starting_at(output_ms)
        });
    }

    /// Advances the clock to a frame and returns its output time in milliseconds.
    pub(super) fn frame_time(&mut self, kind: TagKind, timestamp: Timestamp) -> u64 {
        let start_ms = if self.keeps_timestamps {
            i64::from(timestamp.0)
        } else {
            0
        };
        let clock = self
            .clock
            .get_or_insert_with(|| Clock::starting_at(start_ms));
        let step_ms = clock.step_to(timestamp);
        match clock.judge(kind, step_ms) {
            Verdict::OnPath => clock.advance(kind, timestamp, step_ms),
            Verdict::Leftover => return clock.leftover_time(kind),
            Verdict::Restart => {
                if !self.has_logged_jump {
                    self.has_logged_jump = true;
                    tracing::info!(
                        "the server's clock jumps by {step_ms} ms at {} ms, handled as a restart",
                        clock.high_ms
                    );
                }
                clock.restart();
                clock.advance(kind, timestamp, clock.step_to(timestamp));
            }
        }
        self.script_time()
    }

    /// Returns the output time of script data in milliseconds: that of the latest frame. Servers send
    /// script data with any timestamp, in mid-stream often with 0.
    pub(super) fn script_time(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.output_ms.max(0).unsigned_abs())
    }

    /// Returns the output time of a sequence header, a message that ends a track, or an empty
    /// message, in milliseconds: that of the latest frame of the track, unless the track has been
    /// silent for a second. The timestamps of such messages are as unreliable as those of script
    /// data.
    pub(super) fn header_time(&self, kind: TagKind) -> u64 {
        let Some(clock) = &self.clock else {
            return 0;
        };
        let track = match kind {
            TagKind::AUDIO => clock.audio,
            TagKind::VIDEO => clock.video,
            _ => return self.script_time(),
        };
        let latest_ms = || track.end_ms.unwrap_or(0).max(clock.output_ms);
        let at_ms = track.high_ms.unwrap_or_else(latest_ms);
        let at_ms = at_ms.max(clock.output_ms - MAX_STEP_BACK_MS);
        at_ms.max(0).unsigned_abs()
    }

    /// Restarts the clock: the next frame belongs to a new session with a clock of its own.
    pub(super) fn restart(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.restart();
        }
    }

    /// Restarts the clock after a gap: the next frame lies `gap_ms` after the highest output time.
    pub(super) fn restart_after(&mut self, gap_ms: u64) {
        let Some(clock) = &mut self.clock else {
            return;
        };
        clock.restart();
        let gap_ms = i64::try_from(gap_ms).unwrap_or(i64::MAX);
        clock.output_ms = clock.output_ms.max(clock.high_ms.saturating_add(gap_ms));
    }

    /// Returns the milliseconds from the latest frame to `timestamp` on the server's clock.
    pub(super) fn since_latest(&self, timestamp: Timestamp) -> Option<i64> {
        let latest = self.clock.as_ref()?.timestamp?;
        Some(timestamp.since(latest).into())
    }

    /// Returns the highest output time so far, in milliseconds.
    pub(super) fn position_ms(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.high_ms.max(0).unsigned_abs())
    }
}

impl Clock {
    fn starting_at(start_ms: i64) -> Self {
        Self {
            timestamp: None,
            output_ms: start_ms,
            high_ms: start_ms,
            step_ms: 0,
            audio: Track::default(),
            video: Track::default(),
        }
    }

    /// Returns the step from the latest frame to `timestamp`.
    ///
    /// Timestamps wrap after 2^32 ms, which is 49.7 days, so they have no order of their own. Serial
    /// arithmetic takes the shorter way around: half of the values lie ahead, half lie in the past.
    fn step_to(&self, timestamp: Timestamp) -> i64 {
        self.timestamp
            .map_or(0, |latest| i64::from(timestamp.since(latest)))
    }

    fn judge(&mut self, kind: TagKind, step_ms: i64) -> Verdict {
        let at_ms = self.output_ms + step_ms;
        let has_path = self.audio.high_ms.is_some() || self.video.high_ms.is_some();
        let high_ms = self.high_ms;
        let track = self.track(kind);
        match track.high_ms {
            Some(track_ms) if is_on_path(at_ms - track_ms) => Verdict::OnPath,
            Some(_) => Verdict::Restart,
            None if !has_path || (at_ms - high_ms).abs() <= MAX_FIRST_LAG_MS => Verdict::OnPath,
            None if track.leftovers < MAX_LEFTOVERS => Verdict::Leftover,
            None => Verdict::Restart,
        }
    }

    fn advance(&mut self, kind: TagKind, timestamp: Timestamp, step_ms: i64) {
        self.timestamp = Some(timestamp);
        self.output_ms += step_ms;
        let end_ms = self.track(kind).end_ms;
        if let Some(end_ms) = end_ms.filter(|end_ms| self.output_ms <= *end_ms) {
            self.shift_to(end_ms.saturating_add(1));
        }
        let at_ms = self.output_ms;
        let track = self.track(kind);
        let track_ms = track.high_ms.unwrap_or(at_ms);
        let track_step_ms = at_ms - track_ms;
        track.high_ms = Some(track_ms.max(at_ms));
        track.leftovers = 0;
        if track_step_ms > 0 {
            self.step_ms = track_step_ms.min(MAX_RESTART_STEP_MS);
        }
        self.high_ms = self.high_ms.max(at_ms);
    }

    /// Moves the clock forward for both tracks, because a track that starts earlier than the other
    /// one would step back at a restart. Moving only that track would break lip sync.
    fn shift_to(&mut self, output_ms: i64) {
        self.output_ms = output_ms;
        self.audio.end_ms = self.audio.latest_ms();
        self.video.end_ms = self.video.latest_ms();
    }

    fn leftover_time(&mut self, kind: TagKind) -> u64 {
        let output_ms = self.output_ms;
        let track = self.track(kind);
        track.leftovers += 1;
        let at_ms = track.end_ms.unwrap_or(output_ms).max(output_ms);
        track.end_ms = Some(at_ms);
        at_ms.max(0).unsigned_abs()
    }

    /// Continues the clock with the next frame, whatever its timestamp.
    fn restart(&mut self) {
        self.timestamp = None;
        self.output_ms = self.high_ms + self.step_ms;
        self.audio = self.audio.restarted();
        self.video = self.video.restarted();
    }

    fn track(&mut self, kind: TagKind) -> &mut Track {
        match kind {
            TagKind::VIDEO => &mut self.video,
            _ => &mut self.audio,
        }
    }
}

impl Track {
    /// Returns the highest output time, before or since the last restart.
    fn latest_ms(self) -> Option<i64> {
        self.high_ms.max(self.end_ms)
    }

    fn restarted(self) -> Self {
        Self {
            end_ms: self.latest_ms(),
            ..Self::default()
        }
    }
}

fn is_on_path(track_step_ms: i64) -> bool {
    (-MAX_STEP_BACK_MS..=MAX_STEP_MS).contains(&track_step_ms)
}

/// Largest step back within a track, in milliseconds. Servers that send presentation times step back
/// by a few frames; a larger step is a restart.
const MAX_STEP_BACK_MS: i64 = 1_000;

/// Largest pause between two frames of a track, in milliseconds: an hour. A longer one is a jump of
/// the clock, such as the 24 days of a server that counts in 31 bits.
const MAX_STEP_MS: i64 = 3_600_000;

/// Largest distance of a track's first frame from the other track, in milliseconds: more than servers
/// buffer.
const MAX_FIRST_LAG_MS: i64 = 60_000;

/// Number of consecutive frames that can be leftovers. With more of them the clock has changed.
const MAX_LEFTOVERS: u32 = 100;

/// Largest step from the last frame before a restart to the first one after it, in milliseconds.
const MAX_RESTART_STEP_MS: i64 = 100;

#[cfg(test)]
mod tests;
