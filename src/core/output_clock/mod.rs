//! Converts the server's 32-bit timestamps, which wrap, restart and jump, to output times on one
//! 64-bit clock.
//!
//! Audio and video share the clock, so that lip sync survives. Each track has a path of its own, the
//! sequence of its output times: servers interleave the tracks, and one of them may lag by seconds,
//! so only a step within a track reveals that the server's clock jumped.
//!
//! A frame that leaves its path by more than a second is suspicious, because servers send single
//! frames with a wrong timestamp in mid-stream, most often 0. Following such a stray frame and
//! returning from it would shift all later frames. There are two cases:
//!
//! - *Back, or implausibly far forward*: a stray frame, or a restart of the server's clock. Both get
//!   the same output time, one frame interval after the previous frame of the track, so the frame is
//!   not held. It starts a second path, the jump. If its track returns to the first path, the frame
//!   was stray and the jump is forgotten. If more frames follow on the jump, the server's clock has
//!   restarted, and the jump becomes the path of both tracks.
//! - *Forward*: a stray frame, or a pause, which must keep its length. The two differ in the output
//!   time of this frame, so the caller holds it until the next frame decides: one frame at most, for
//!   about a second. A guess without holding would move the first picture after each pause to its
//!   beginning: a recorded slide show has hardly any other frames, and a rejoin would not recognize
//!   them by their times.
//!
//! How far forward is plausible depends on the stream. Recorded streams contain pauses of any length.
//! In a live stream, a frame that arrives 10 ms after the previous one cannot be 16 minutes later,
//! apart from the few seconds that servers repeat to a new client. A pause needs no confirmation if
//! the other track has reached the same time, or if a frame of a live stream arrives as much later as
//! its timestamp indicates.
//!
//! A restart never moves the clock back, and each track continues after its own last frame, because
//! readers of FLV expect the times of a track to increase. A new publisher may also continue without
//! a jump: a server that corrects its timestamps (SRS) lets the new stream start next to the last
//! message of the old one, a few milliseconds before the last frame of the other track. Sequence
//! headers reveal such a join.

use std::{
    mem,
    time::{Duration, Instant},
};

use crate::core::{
    flv::{FrameInfo, TagKind},
    rtmp::message::Timestamp,
};

/// Assigns an output time to each message. Only frames advance the clock.
#[derive(Debug)]
pub(crate) struct OutputClock {
    keeps_timestamps: bool,
    clock: Option<Clock>,
}

/// Output times that a frame decides, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct FrameTimes {
    /// Time of the frame that the caller holds, now that it is known. That frame is written first.
    pub(crate) held: Option<u64>,
    /// Time of the frame itself; `None` if the caller must hold it.
    pub(crate) frame: Option<u64>,
}

/// State of the clock from the first frame on.
#[derive(Debug)]
struct Clock {
    /// Latest frame on the path; `None` if the next frame sets the clock.
    anchor: Option<Anchor>,
    jump: Option<Jump>,
    pause: Option<Pause>,
    /// Output time of the latest message; after a restart, of the next frame.
    latest_ms: i64,
    /// Highest output time so far.
    high_ms: i64,
    /// Arrival and output time of the frame with the smallest delay since the last restart.
    earliest: Option<(Instant, i64)>,
    /// End of the latest suspension of the computer, and its length in milliseconds.
    suspension: Option<(Instant, i64)>,
    audio: Track,
    video: Track,
    has_logged_jump: bool,
    has_logged_stray: bool,
}

/// A frame on both clocks.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    timestamp: Timestamp,
    output_ms: i64,
}

/// A second path: that of the server's clock after a suspected restart or, once the restart is
/// confirmed, before it. The server may still send frames of one track by the old clock.
#[derive(Debug)]
struct Jump {
    anchor: Anchor,
    /// Track of the first frame.
    kind: TagKind,
    /// Whether frames of the other track followed.
    has_other_track: bool,
    /// Number of frames since the latest frame on the first path.
    frames: u32,
    is_confirmed: bool,
    /// Distance of the first frame from its output time by the first path, in milliseconds.
    step_ms: i64,
}

/// A held frame, which a pause precedes unless its timestamp is wrong.
#[derive(Debug, Clone, Copy)]
struct Pause {
    kind: TagKind,
    anchor: Anchor,
    arrived_at: Instant,
    /// Number of frames of the other track since then, all before the end of the pause.
    earlier_frames: u32,
}

/// Path of one track since the last restart of the clock.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    /// Highest output time on the path; `None` before its first frame.
    high_ms: Option<i64>,
    /// Highest output time before the path started. The path must stay after it.
    end_ms: Option<i64>,
    /// The latest two steps forward, 0 before the first ones.
    steps_ms: [i64; 2],
    /// Whether the next frame may be the first one of a new stream.
    may_join: bool,
}

/// How a frame fits the paths, with its output time in milliseconds.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    OnPath(i64),
    OnJump(i64),
    /// On the path if a pause precedes the frame.
    AfterPause(i64),
    /// On neither path. The time is that on the first one.
    OffPath(i64),
}

/// How an output time fits the path of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    OnPath,
    AfterPause,
    OffPath,
}

impl OutputClock {
    /// Creates a clock that starts at 0, or at the server's first timestamp if timestamps are kept.
    pub(crate) fn new(keeps_timestamps: bool) -> Self {
        Self {
            keeps_timestamps,
            clock: None,
        }
    }

    /// Creates a clock on which `timestamp` has the output time `output_ms`, which is negative if the
    /// stream starts before the recording.
    pub(crate) fn at(timestamp: Timestamp, output_ms: i64) -> Self {
        Self {
            keeps_timestamps: false,
            clock: Some(Clock {
                anchor: Some(Anchor {
                    timestamp,
                    output_ms,
                }),
                ..Clock::starting_at(output_ms)
            }),
        }
    }

    /// Sets the output time at which an existing recording ends. The next frame continues it.
    pub(crate) fn continue_from(&mut self, output_ms: u64) {
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

    /// Advances the clock to a frame that arrived at `now`. If the frame has no output time yet, the
    /// caller must hold it until [`OutputClock::frame`] or [`OutputClock::release`] returns its time.
    pub(crate) fn frame(
        &mut self,
        kind: TagKind,
        timestamp: Timestamp,
        now: Instant,
        is_live: bool,
    ) -> FrameTimes {
        let clock = self.start(timestamp);
        let due_ms = is_live.then(|| clock.due_ms(now));
        let held = clock.decide_pause(kind, timestamp, now, due_ms);
        match clock.judge(kind, timestamp, due_ms) {
            Verdict::AfterPause(output_ms) => {
                let held = held.or_else(|| clock.release());
                let anchor = Anchor {
                    timestamp,
                    output_ms,
                };
                clock.pause = Some(Pause {
                    kind,
                    anchor,
                    arrived_at: now,
                    earlier_frames: 0,
                });
                FrameTimes {
                    held: held.map(output_time),
                    frame: None,
                }
            }
            verdict => {
                let output_ms = clock.advance(kind, timestamp, verdict);
                clock.record_arrival(now, output_ms);
                FrameTimes {
                    held: held.map(output_time),
                    frame: Some(output_time(output_ms)),
                }
            }
        }
    }

    /// Advances the clock to a frame that the caller compares with a recording, and returns its
    /// output time in milliseconds. No frame is held, because the comparison detects wrong times.
    pub(crate) fn compared_frame(&mut self, kind: TagKind, timestamp: Timestamp) -> u64 {
        let clock = self.start(timestamp);
        let verdict = clock.judge(kind, timestamp, None);
        output_time(clock.advance(kind, timestamp, verdict))
    }

    /// Decides about a held frame without waiting any longer, and returns its output time in
    /// milliseconds.
    pub(crate) fn release(&mut self) -> Option<u64> {
        self.clock.as_mut()?.release().map(output_time)
    }

    /// Time at which the caller must call [`OutputClock::release`] if no frame arrives.
    pub(crate) fn release_at(&self) -> Option<Instant> {
        let pause = self.clock.as_ref()?.pause?;
        pause.arrived_at.checked_add(MAX_HOLD)
    }

    /// Allows a jump of a live stream for the time in which the computer was suspended before `now`. The
    /// stream continued meanwhile, but [`Instant`] did not advance.
    pub(crate) fn allow_suspension(&mut self, now: Instant, suspended: Duration) {
        if let Some(clock) = &mut self.clock {
            let suspended_ms = i64::try_from(suspended.as_millis()).unwrap_or(i64::MAX);
            clock.suspension = Some((now, suspended_ms));
        }
    }

    /// Returns the output time of script data in milliseconds: that of the latest message. Servers
    /// send script data with any timestamp, in mid-stream often with 0.
    pub(crate) fn script_time(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| output_time(clock.latest_ms))
    }

    /// Returns the output time of a sequence header, a message that ends a track, or an empty
    /// message, in milliseconds. Servers send such messages with the time of the frames around them,
    /// or with any other timestamp.
    pub(crate) fn header_time(&mut self, info: FrameInfo, timestamp: Timestamp) -> u64 {
        let Some(clock) = &mut self.clock else {
            return 0;
        };
        clock.audio.may_join |= info.is_sequence_header;
        clock.video.may_join |= info.is_sequence_header;
        output_time(clock.header_time(info.track, timestamp))
    }

    /// Restarts the clock: the next frame belongs to a new session with a clock of its own.
    pub(crate) fn restart(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.restart();
        }
    }

    /// Restarts the clock after a gap: the next frame lies `gap_ms` after the highest output time.
    pub(crate) fn restart_after(&mut self, gap_ms: u64) {
        let Some(clock) = &mut self.clock else {
            return;
        };
        clock.restart();
        let gap_ms = i64::try_from(gap_ms).unwrap_or(i64::MAX);
        clock.latest_ms = clock.latest_ms.max(clock.high_ms.saturating_add(gap_ms));
    }

    /// Returns the milliseconds from the latest frame to `timestamp` on the server's clock.
    pub(crate) fn since_latest(&self, timestamp: Timestamp) -> Option<i64> {
        let latest = self.clock.as_ref()?.anchor?.timestamp;
        Some(timestamp.since(latest).into())
    }

    /// Returns the output time of `timestamp` in milliseconds if the server's clock has not jumped.
    pub(crate) fn time_of(&self, timestamp: Timestamp) -> Option<u64> {
        let at_ms = self.clock.as_ref()?.anchor?.time_of(timestamp);
        u64::try_from(at_ms).ok()
    }

    /// Returns the highest output time so far, in milliseconds.
    pub(crate) fn position_ms(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| output_time(clock.high_ms))
    }

    fn start(&mut self, timestamp: Timestamp) -> &mut Clock {
        let start_ms = if self.keeps_timestamps {
            i64::from(timestamp.0)
        } else {
            0
        };
        self.clock
            .get_or_insert_with(|| Clock::starting_at(start_ms))
    }
}

impl Clock {
    fn starting_at(start_ms: i64) -> Self {
        Self {
            anchor: None,
            jump: None,
            pause: None,
            latest_ms: start_ms,
            high_ms: start_ms,
            earliest: None,
            suspension: None,
            audio: Track::default(),
            video: Track::default(),
            has_logged_jump: false,
            has_logged_stray: false,
        }
    }

    /// Returns the time of the server if it lies on one of the paths, otherwise that of the latest
    /// message. The file then steps back only where the server does.
    fn header_time(&mut self, kind: TagKind, timestamp: Timestamp) -> i64 {
        let track_ms = self.track(kind).latest_ms().unwrap_or(self.latest_ms);
        let range_ms = track_ms..=self.high_ms.saturating_add(MAX_STEP_MS);
        let jump = self.jump.as_ref().map(|jump| jump.anchor);
        let anchors = self.anchor.into_iter().chain(jump);
        let mut times_ms = anchors.map(|anchor| anchor.time_of(timestamp));
        self.latest_ms = times_ms
            .find(|at_ms| range_ms.contains(at_ms))
            .unwrap_or_else(|| self.latest_ms.max(track_ms));
        self.latest_ms
    }

    /// Judges a frame. `due_ms` is the output time of a live stream that is due now.
    fn judge(&self, kind: TagKind, timestamp: Timestamp, due_ms: Option<i64>) -> Verdict {
        let Some(anchor) = self.anchor else {
            return Verdict::OnPath(self.latest_ms);
        };
        let at_ms = anchor.time_of(timestamp);
        let on_path = self.fit(kind, at_ms, due_ms);
        if on_path == Fit::OnPath {
            return Verdict::OnPath(at_ms);
        }
        let jump = self.jump.as_ref().map(|jump| {
            let at_ms = jump.anchor.time_of(timestamp);
            (at_ms, self.fit(kind, at_ms, due_ms))
        });
        match (on_path, jump) {
            (_, Some((at_ms, Fit::OnPath))) => Verdict::OnJump(at_ms),
            (Fit::AfterPause, _) => Verdict::AfterPause(at_ms),
            (_, Some((at_ms, Fit::AfterPause))) => Verdict::OnJump(at_ms),
            _ => Verdict::OffPath(at_ms),
        }
    }

    /// Advances the clock to a frame and returns its output time.
    fn advance(&mut self, kind: TagKind, timestamp: Timestamp, verdict: Verdict) -> i64 {
        match verdict {
            Verdict::OnPath(at_ms) | Verdict::AfterPause(at_ms) => {
                self.leave_jump(kind);
                self.advance_path(kind, timestamp, at_ms)
            }
            Verdict::OnJump(at_ms) => self.advance_jump(kind, timestamp, at_ms),
            Verdict::OffPath(at_ms) => self.start_jump(kind, timestamp, at_ms),
        }
    }

    fn fit(&self, kind: TagKind, at_ms: i64, due_ms: Option<i64>) -> Fit {
        // The other track confirms a step forward that catches up with it.
        let high_ms = self.high_ms;
        let limit_ms = match due_ms {
            Some(due_ms) => high_ms.max(due_ms).saturating_add(MAX_BURST_MS),
            None => high_ms.saturating_add(MAX_PAUSE_MS),
        };
        let Some(track_ms) = self.track(kind).high_ms else {
            let has_path = self.audio.high_ms.is_some() || self.video.high_ms.is_some();
            let is_near = at_ms.abs_diff(high_ms) <= MAX_FIRST_LAG_MS && at_ms <= limit_ms;
            return if !has_path || is_near {
                Fit::OnPath
            } else {
                Fit::OffPath
            };
        };
        let is_due =
            due_ms.is_some_and(|due_ms| at_ms.abs_diff(due_ms) <= MAX_STEP_MS.unsigned_abs());
        if at_ms < track_ms.saturating_sub(MAX_STEP_BACK_MS) || at_ms > limit_ms {
            Fit::OffPath
        } else if at_ms > high_ms.saturating_add(MAX_STEP_MS) && !is_due {
            Fit::AfterPause
        } else {
            Fit::OnPath
        }
    }

    /// Returns the output time of a live stream that is due at `now`: that of a frame without delay.
    ///
    /// The network delays frames, and a server that falls behind drops some. The frame with the
    /// smallest delay so far shows how far a later frame can catch up.
    fn due_ms(&self, now: Instant) -> i64 {
        let Some((at, output_ms)) = self.earliest else {
            return self.high_ms;
        };
        let elapsed = now.saturating_duration_since(at);
        // The clock of the server may be slower than that of the client, by up to 0.1 %.
        let drift = elapsed.checked_div(1_000).unwrap_or_default();
        let elapsed = elapsed.saturating_sub(drift.min(MAX_DRIFT));
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        output_ms
            .saturating_add(elapsed_ms)
            .saturating_add(self.suspended_ms(now))
    }

    /// Returns the length of a suspension whose jump may still follow, in milliseconds. The limit in time
    /// keeps a wall clock that was set, and only looks like a suspension, from allowing jumps for ever.
    fn suspended_ms(&self, now: Instant) -> i64 {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) <= MAX_SUSPENSION_WAIT;
        self.suspension
            .filter(|(at, _)| is_recent(at))
            .map_or(0, |(_, length_ms)| length_ms)
    }

    fn record_arrival(&mut self, now: Instant, output_ms: i64) {
        if self.earliest.is_none() || output_ms >= self.due_ms(now) {
            self.earliest = Some((now, output_ms));
            self.suspension = None;
        }
    }

    /// Moves the path to a frame and returns its output time.
    fn advance_path(&mut self, kind: TagKind, timestamp: Timestamp, at_ms: i64) -> i64 {
        let output_ms = self.keep_after_end(kind, at_ms);
        self.anchor = Some(Anchor {
            timestamp,
            output_ms,
        });
        self.record(kind, output_ms);
        output_ms
    }

    /// Returns the output time of a frame, raised to stay after the end of its track.
    ///
    /// A track that starts earlier than the other one would step back at a restart. The anchor
    /// moves with the frame, so both tracks are shifted alike and lip sync survives.
    fn keep_after_end(&mut self, kind: TagKind, at_ms: i64) -> i64 {
        let track = self.track(kind);
        let end_ms = track.end_ms.filter(|end_ms| at_ms <= *end_ms);
        // Within a stream, steps back and repeated sequence headers are both common, but not at the
        // same frame: a sequence header precedes a keyframe.
        let join_ms = track
            .high_ms
            .filter(|high_ms| track.may_join && at_ms < *high_ms);
        let Some(end_ms) = end_ms.max(join_ms) else {
            return at_ms;
        };
        self.audio.end_ms = self.audio.latest_ms();
        self.video.end_ms = self.video.latest_ms();
        end_ms.saturating_add(1)
    }

    /// A frame of `kind` lies on the first path.
    fn leave_jump(&mut self, kind: TagKind) {
        match &mut self.jump {
            Some(jump) if jump.is_confirmed => jump.frames = 0,
            // The track has returned, so its frames on the jump were stray. Frames of the other track
            // decide nothing: after a restart, servers send the rest of it by the old clock.
            Some(jump) if jump.kind == kind => {
                if !mem::replace(&mut self.has_logged_stray, true) {
                    tracing::debug!(
                        "a frame is off by {} ms at {} ms: its timestamp is ignored",
                        jump.step_ms,
                        self.high_ms
                    );
                }
                self.jump = None;
            }
            _ => {}
        }
    }

    /// Starts a jump with a frame that fits neither path, and returns its output time.
    fn start_jump(&mut self, kind: TagKind, timestamp: Timestamp, at_ms: i64) -> i64 {
        let output_ms = self.next_ms(kind);
        self.jump = Some(Jump {
            anchor: Anchor {
                timestamp,
                output_ms,
            },
            kind,
            has_other_track: false,
            frames: 1,
            is_confirmed: false,
            step_ms: at_ms.saturating_sub(output_ms),
        });
        let may_join = self.track(kind).may_join;
        self.record(kind, output_ms);
        // The frame may be stray, so the next one may still be the first frame of a new stream.
        self.track_mut(kind).may_join = may_join;
        output_ms
    }

    /// Moves the jump to a frame, confirms it after enough frames, and returns the output time of the
    /// frame.
    fn advance_jump(&mut self, kind: TagKind, timestamp: Timestamp, at_ms: i64) -> i64 {
        let mut output_ms = self.keep_after_end(kind, at_ms);
        let end_ms = self.track(kind).latest_ms();
        let Some(jump) = &mut self.jump else {
            return at_ms;
        };
        let is_first_of_track = jump.kind != kind && !jump.has_other_track && !jump.is_confirmed;
        if is_first_of_track && let Some(end_ms) = end_ms.filter(|end_ms| output_ms <= *end_ms) {
            output_ms = end_ms.saturating_add(1);
        }
        jump.anchor = Anchor {
            timestamp,
            output_ms,
        };
        jump.has_other_track |= jump.kind != kind;
        jump.frames = jump.frames.saturating_add(1);
        if jump.frames >= MIN_JUMP_FRAMES {
            self.confirm_jump();
        }
        self.record(kind, output_ms);
        output_ms
    }

    /// Makes the jump the path of both tracks. The old path is kept as the other one of the two.
    fn confirm_jump(&mut self) {
        let (Some(jump), Some(anchor)) = (&mut self.jump, &mut self.anchor) else {
            return;
        };
        mem::swap(&mut jump.anchor, anchor);
        jump.frames = 0;
        if mem::replace(&mut jump.is_confirmed, true) {
            return;
        }
        self.earliest = None;
        let (kind, has_other_track, step_ms) = (jump.kind, jump.has_other_track, jump.step_ms);
        if !has_other_track {
            let other = self.track_mut(other(kind));
            other.end_ms = other.latest_ms();
        }
        if !mem::replace(&mut self.has_logged_jump, true) {
            tracing::info!(
                "the server's clock jumps by {step_ms} ms at {} ms, handled as a restart",
                self.high_ms
            );
        }
    }

    /// Decides about the held frame if the next frame allows it, and returns its output time.
    fn decide_pause(
        &mut self,
        kind: TagKind,
        timestamp: Timestamp,
        now: Instant,
        due_ms: Option<i64>,
    ) -> Option<i64> {
        let pause = self.pause.as_mut()?;
        let at_ms = self.anchor?.time_of(timestamp);
        let since_pause_ms = at_ms.saturating_sub(pause.anchor.output_ms);
        if (-MAX_STEP_BACK_MS..=MAX_PAUSE_MS).contains(&since_pause_ms) {
            // The stream continues after the pause.
            return self.end_pause();
        }
        if kind == pause.kind {
            // The track continues before the pause, so the held frame was stray: its neighbors are
            // known.
            let next_ms = self.next_ms(kind);
            let output_ms = match self.track(kind).high_ms {
                Some(track_ms) if self.fit(kind, at_ms, due_ms) == Fit::OnPath => {
                    track_ms.midpoint(track_ms.max(at_ms))
                }
                _ => next_ms,
            };
            return self.ignore_pause(output_ms);
        }
        if at_ms > self.high_ms.saturating_add(MAX_STEP_MS) {
            // The other track has left its path as well.
            return self.end_pause();
        }
        pause.earlier_frames = pause.earlier_frames.saturating_add(1);
        let is_over = now.saturating_duration_since(pause.arrived_at) >= MAX_HOLD;
        if is_over { self.release() } else { None }
    }

    /// Decides about the held frame by the frames so far. Without any, a pause is more likely than a
    /// wrong timestamp in the last frame of a stream.
    fn release(&mut self) -> Option<i64> {
        let pause = self.pause?;
        if pause.earlier_frames == 0 {
            return self.end_pause();
        }
        self.ignore_pause(self.next_ms(pause.kind))
    }

    /// Moves the path to the held frame.
    fn end_pause(&mut self) -> Option<i64> {
        let Pause { kind, anchor, .. } = self.pause.take()?;
        Some(self.advance_path(kind, anchor.timestamp, anchor.output_ms))
    }

    /// Gives the held frame another output time.
    fn ignore_pause(&mut self, output_ms: i64) -> Option<i64> {
        let pause = self.pause.take()?;
        self.record(pause.kind, output_ms);
        Some(output_ms)
    }

    /// Records the output time of a frame.
    fn record(&mut self, kind: TagKind, at_ms: i64) {
        let track = self.track_mut(kind);
        let track_ms = track.high_ms.unwrap_or(at_ms);
        if at_ms > track_ms {
            track.steps_ms = [track.steps_ms[1], at_ms.saturating_sub(track_ms)];
        }
        track.high_ms = Some(track_ms.max(at_ms));
        track.may_join = false;
        self.high_ms = self.high_ms.max(at_ms);
        self.latest_ms = at_ms;
    }

    /// Continues the clock with the next frame, whatever its timestamp.
    fn restart(&mut self) {
        let interval_ms = self.audio.interval_ms().max(self.video.interval_ms());
        self.anchor = None;
        self.jump = None;
        self.pause = None;
        self.earliest = None;
        self.latest_ms = self.high_ms.saturating_add(interval_ms);
        self.audio = self.audio.restarted();
        self.video = self.video.restarted();
    }

    /// Returns the output time at which the next frame of a track is assumed.
    fn next_ms(&self, kind: TagKind) -> i64 {
        let track = self.track(kind);
        let latest_ms = track.latest_ms().unwrap_or(self.high_ms);
        latest_ms.saturating_add(track.interval_ms())
    }

    fn track(&self, kind: TagKind) -> &Track {
        match kind {
            TagKind::VIDEO => &self.video,
            _ => &self.audio,
        }
    }

    fn track_mut(&mut self, kind: TagKind) -> &mut Track {
        match kind {
            TagKind::VIDEO => &mut self.video,
            _ => &mut self.audio,
        }
    }
}

impl Anchor {
    /// Returns the output time of `timestamp`.
    ///
    /// Timestamps wrap after 2^32 ms, which is 49.7 days, so they have no order of their own. Serial
    /// arithmetic takes the shorter way around: half of the values lie ahead, half lie in the past.
    fn time_of(self, timestamp: Timestamp) -> i64 {
        let passed_ms = timestamp.since(self.timestamp);
        self.output_ms.saturating_add(passed_ms.into())
    }
}

impl Track {
    /// Returns the highest output time, before or since the last restart.
    fn latest_ms(self) -> Option<i64> {
        self.high_ms.max(self.end_ms)
    }

    /// Returns the assumed distance to the next frame: the shorter one of the last two steps, so that
    /// a frame at this distance lies before the next one even if the intervals are uneven.
    fn interval_ms(self) -> i64 {
        let [former_ms, latest_ms] = self.steps_ms;
        let interval_ms = if former_ms > 0 {
            former_ms.min(latest_ms)
        } else {
            latest_ms
        };
        interval_ms.clamp(1, MAX_INTERVAL_MS)
    }

    fn restarted(self) -> Self {
        Self {
            high_ms: None,
            end_ms: self.latest_ms(),
            ..self
        }
    }
}

fn other(kind: TagKind) -> TagKind {
    match kind {
        TagKind::VIDEO => TagKind::AUDIO,
        _ => TagKind::VIDEO,
    }
}

/// The stream may start before the recording, where the output has no times.
fn output_time(at_ms: i64) -> u64 {
    at_ms.max(0).unsigned_abs()
}

/// Largest step back within a track, in milliseconds. Servers that send presentation times step back
/// by a few frames; a larger step is a restart.
const MAX_STEP_BACK_MS: i64 = 1_000;

/// Largest step forward within a track that needs no confirmation, in milliseconds. After a stray
/// frame within this limit, the return is a step back within its own limit.
const MAX_STEP_MS: i64 = 1_000;

/// Largest pause between two frames of a track, in milliseconds: an hour. A longer one is a jump of
/// the clock, such as the 24 days of a server that counts in 31 bits.
const MAX_PAUSE_MS: i64 = 3_600_000;

/// Longest part of a live stream that servers repeat to a new client, in milliseconds. It arrives
/// faster than it plays.
const MAX_BURST_MS: i64 = 10_000;

/// Largest drift of the server's clock that [`Clock::due_ms`] allows for. The smallest delay is
/// measured again well before the drift exceeds it.
const MAX_DRIFT: Duration = Duration::from_millis(500);

/// Time after a suspension in which a live stream jumps: first the frames arrive that the system had received
/// before it.
const MAX_SUSPENSION_WAIT: Duration = Duration::from_secs(60);

/// Largest distance of a track's first frame from the other track, in milliseconds: more than servers
/// buffer.
const MAX_FIRST_LAG_MS: u64 = 60_000;

/// Number of frames that confirm a jump. Two of them can be stray, if a server sends a frame of both
/// tracks with a wrong timestamp.
const MIN_JUMP_FRAMES: u32 = 3;

/// Largest assumed distance between two frames, in milliseconds.
const MAX_INTERVAL_MS: i64 = 100;

/// Time for which a frame is held at most.
const MAX_HOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
