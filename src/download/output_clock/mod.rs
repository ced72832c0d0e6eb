//! The server's 32-bit clock, which wraps, restarts and jumps → one 64-bit output clock.

use crate::core::{flv::TagKind, rtmp::message::Timestamp};

/// Candidates each message on the output clock. Audio and video share it, so that lip sync survives.
///
/// They come interleaved, and each may lag behind the other, so a jump shows only where a track
/// leaves its own path.
#[derive(Debug)]
pub(super) struct OutputClock {
    keeps_timestamps: bool,
    clock: Option<Clock>,
    has_told_of_jumps: bool,
}

/// The clock once the first frame has come.
#[derive(Debug)]
struct Clock {
    /// The latest frame's timestamp, as the server gave it; none where the next frame sets the clock.
    timestamp: Option<Timestamp>,
    /// The latest frame's place.
    output_ms: i64,
    /// The highest place so far.
    high_ms: i64,
    /// The latest step forward of a track: what a restart continues with.
    step_ms: i64,
    audio: Track,
    video: Track,
}

/// The path of one track since the clock's last restart.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    /// The highest place of its frames; none where it has no path yet.
    high_ms: Option<i64>,
    /// The highest place of all that came before that path: the track is over there, and goes on
    /// behind it.
    floor_ms: Option<i64>,
    /// Frames in a row from far off, before the track has a path.
    strays: u32,
}

/// What a frame is to the clock.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    OnPath,
    /// A leftover of another clock: it takes the place of the frame before, and drives nothing.
    Stray,
    Restart,
}

impl OutputClock {
    /// A clock that begins at 0, or at the server's first timestamp.
    pub(super) fn new(keeps_timestamps: bool) -> Self {
        Self {
            keeps_timestamps,
            clock: None,
            has_told_of_jumps: false,
        }
    }

    /// A clock that goes on where another one was: a frame of `timestamp` is at `output_ms`, which is
    /// below 0 where the stream begins before the output does.
    pub(super) fn at(timestamp: Timestamp, output_ms: i64) -> Self {
        Self {
            keeps_timestamps: false,
            clock: Some(Clock {
                timestamp: Some(timestamp),
                ..Clock::starting_at(output_ms)
            }),
            has_told_of_jumps: false,
        }
    }

    /// Has the first frame go on where a recording ends.
    pub(super) fn begin_at(&mut self, output_ms: u64) {
        let output_ms = i64::try_from(output_ms).unwrap_or(i64::MAX);
        let written = Track {
            floor_ms: Some(output_ms),
            ..Track::default()
        };
        self.clock = Some(Clock {
            audio: written,
            video: written,
            ..Clock::starting_at(output_ms)
        });
    }

    /// The place in milliseconds of a frame of this kind. Frames drive the clock.
    pub(super) fn frame(&mut self, kind: TagKind, timestamp: Timestamp) -> u64 {
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
            Verdict::Stray => return clock.stray(kind),
            Verdict::Restart => {
                if !self.has_told_of_jumps {
                    self.has_told_of_jumps = true;
                    tracing::info!(
                        "the server's clock jumps by {step_ms} ms at {} ms: taken for a restart",
                        clock.high_ms
                    );
                }
                clock.restart();
                clock.advance(kind, timestamp, clock.step_to(timestamp));
            }
        }
        self.companion()
    }

    /// The place of script data, which servers send with any timestamp, 0 in mid-stream too: that of
    /// the frame before.
    pub(super) fn companion(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.output_ms.max(0).unsigned_abs())
    }

    /// The place of configuration, the mark of a track's end or an empty message, whose timestamps are
    /// as good: that of the frame before, of the same track, unless the track has long been silent.
    pub(super) fn companion_of(&self, kind: TagKind) -> u64 {
        let Some(clock) = &self.clock else {
            return 0;
        };
        let track = match kind {
            TagKind::AUDIO => clock.audio,
            TagKind::VIDEO => clock.video,
            _ => return self.companion(),
        };
        let latest_ms = || track.floor_ms.unwrap_or(0).max(clock.output_ms);
        let place_ms = track.high_ms.unwrap_or_else(latest_ms);
        let place_ms = place_ms.max(clock.output_ms - MAX_STEP_BACK_MS);
        place_ms.max(0).unsigned_abs()
    }

    /// The next frame belongs to a new session, whose clock has nothing to do with the last one's.
    pub(super) fn restart(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.restart();
        }
    }

    /// As [`OutputClock::restart`], after a while in which nothing came: the next frame's place is so much
    /// behind the latest.
    pub(super) fn restart_after(&mut self, gap_ms: u64) {
        let Some(clock) = &mut self.clock else {
            return;
        };
        clock.restart();
        let gap_ms = i64::try_from(gap_ms).unwrap_or(i64::MAX);
        clock.output_ms = clock.output_ms.max(clock.high_ms.saturating_add(gap_ms));
    }

    /// How far `timestamp` lies behind the latest frame's, as the server counts.
    pub(super) fn since_latest(&self, timestamp: Timestamp) -> Option<i64> {
        let latest = self.clock.as_ref()?.timestamp?;
        Some(timestamp.since(latest).into())
    }

    /// How far the clock has come, in milliseconds.
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

    /// From the latest frame to `timestamp`. Serial arithmetic: 2^32 ms are 49.7 days, and half of it
    /// lies ahead, half behind (ERR).
    fn step_to(&self, timestamp: Timestamp) -> i64 {
        self.timestamp
            .map_or(0, |latest| i64::from(timestamp.since(latest)))
    }

    fn judge(&mut self, kind: TagKind, step_ms: i64) -> Verdict {
        let place_ms = self.output_ms + step_ms;
        let has_path = self.audio.high_ms.is_some() || self.video.high_ms.is_some();
        let high_ms = self.high_ms;
        let track = self.track(kind);
        match track.high_ms {
            Some(track_ms) if is_on_path(place_ms - track_ms) => Verdict::OnPath,
            Some(_) => Verdict::Restart,
            None if !has_path || (place_ms - high_ms).abs() <= MAX_FIRST_LAG_MS => Verdict::OnPath,
            None if track.strays < MAX_STRAYS => Verdict::Stray,
            None => Verdict::Restart,
        }
    }

    fn advance(&mut self, kind: TagKind, timestamp: Timestamp, step_ms: i64) {
        self.timestamp = Some(timestamp);
        self.output_ms += step_ms;
        let floor_ms = self.track(kind).floor_ms;
        if let Some(floor_ms) = floor_ms.filter(|floor_ms| self.output_ms <= *floor_ms) {
            self.shift_to(floor_ms.saturating_add(1));
        }
        let place_ms = self.output_ms;
        let track = self.track(kind);
        let track_ms = track.high_ms.unwrap_or(place_ms);
        let track_step_ms = place_ms - track_ms;
        track.high_ms = Some(track_ms.max(place_ms));
        track.strays = 0;
        if track_step_ms > 0 {
            self.step_ms = track_step_ms.min(MAX_RESTART_STEP_MS);
        }
        self.high_ms = self.high_ms.max(place_ms);
    }

    /// A track that begins earlier than the other one would step back behind a restart. The clock moves
    /// on for both tracks, so that they stay together.
    fn shift_to(&mut self, output_ms: i64) {
        self.output_ms = output_ms;
        self.audio.floor_ms = self.audio.end_ms();
        self.video.floor_ms = self.video.end_ms();
    }

    /// The place of a frame from far off.
    fn stray(&mut self, kind: TagKind) -> u64 {
        let output_ms = self.output_ms;
        let track = self.track(kind);
        track.strays += 1;
        let place_ms = track.floor_ms.unwrap_or(output_ms).max(output_ms);
        track.floor_ms = Some(place_ms);
        place_ms.max(0).unsigned_abs()
    }

    /// The next frame, whatever its timestamp, continues the clock.
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
    /// The highest place of all that came.
    fn end_ms(self) -> Option<i64> {
        self.high_ms.max(self.floor_ms)
    }

    fn restarted(self) -> Self {
        Self {
            floor_ms: self.end_ms(),
            ..Self::default()
        }
    }
}

fn is_on_path(track_step_ms: i64) -> bool {
    (-MAX_STEP_BACK_MS..=MAX_STEP_MS).contains(&track_step_ms)
}

/// How far back a track may step; what is further back is a restart.
const MAX_STEP_BACK_MS: i64 = 1_000;

/// The longest pause between two frames of a track, an hour; what is longer is a jump of the clock: 24
/// days where a server counts in 31 bits.
const MAX_STEP_MS: i64 = 3_600_000;

/// How far a track's first frame may lie from the other track: more than servers buffer.
const MAX_FIRST_LAG_MS: i64 = 60_000;

/// Frames from far off that are taken for leftovers; with more of them the clock has changed.
const MAX_STRAYS: u32 = 100;

/// The longest step from the last frame before a restart to the first one behind it.
const MAX_RESTART_STEP_MS: i64 = 100;

#[cfg(test)]
mod tests;
