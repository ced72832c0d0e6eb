//! Continues an existing recording with the stream of a new connection.

use std::{
    fs::File,
    mem,
    time::{Duration, Instant},
};

use jiff::Timestamp as WallTime;

use super::{Next, Pump, Stage};
use crate::{
    core::{
        flv::FrameInfo,
        rejoin::matcher::{Arrival, Expectation, MatchPoint, Matcher, Verdict},
        rtmp::client::End,
    },
    download::{
        Resume,
        outcome::EndCause,
        rejoin::resume::{ExistingRecording, RecordedRejoin},
    },
    output::{ExistingFile, Gap, GapPolicy, Gaps},
};

/// What a new stream is compared with before any of it is written.
#[derive(Debug)]
pub(super) enum Rejoin {
    /// A recorded stream: it must contain the end of the recording if requested from the right
    /// position.
    Recorded(Box<RecordedRejoin>),
    /// A live stream: it may repeat the last frames of the recording, or continue after them.
    Live {
        matcher: Box<Matcher>,
        /// Whether a frame of the stream arrived.
        has_frame: bool,
    },
    /// A new publisher on the same connection: its first frame continues the recording. Messages
    /// before that frame are held.
    Republished { held: Vec<Arrival> },
}

/// The frames written so far, kept while a rejoin may need them.
#[derive(Debug, Default)]
pub(super) struct RecordingHistory {
    /// Whether frames were written before the remembered ones.
    is_partial: bool,
    pub(super) recording: ExistingRecording,
    /// Arrival time of the latest frame.
    pub(super) latest: Option<(Instant, WallTime)>,
    /// For a recording of an earlier run: the start of this run, the time since the last write at
    /// that moment, and the time of the last write.
    former: Option<(Instant, Duration, WallTime)>,
}

/// Time without frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    since: WallTime,
    /// Length by the monotonic clock.
    waited: Duration,
    /// Additional time in which the computer was suspended.
    suspended: Duration,
}

impl RecordingHistory {
    /// Creates an empty history of up to this number of frames.
    pub(super) fn new(frames: usize) -> Self {
        let mut history = Self::default();
        history.recording.limit(frames);
        history
    }

    /// Creates the history of a recording that already contains frames.
    pub(super) fn from_now(frames: usize) -> Self {
        Self {
            is_partial: true,
            ..Self::new(frames)
        }
    }

    pub(super) fn note(
        &mut self,
        arrived: (Instant, WallTime),
        info: FrameInfo,
        at_ms: u64,
        body: &[u8],
    ) {
        if info.carries_media {
            self.latest = Some(arrived);
        }
        self.recording.note(info, at_ms, body);
    }

    /// Returns how long no frame had arrived by `now`.
    fn silence(&self, now: (Instant, WallTime)) -> Option<Silence> {
        let (now, wall_clock) = now;
        let of_latest = self
            .latest
            .map(|(at, since)| (now.saturating_duration_since(at), since));
        let of_former = self.former.map(|(began_at, before, since)| {
            let waited = now.saturating_duration_since(began_at);
            (waited.saturating_add(before), since)
        });
        let (waited, since) = of_latest.or(of_former)?;
        Some(Silence {
            since,
            waited,
            suspended: suspension(waited, since, wall_clock),
        })
    }
}

impl Silence {
    /// Returns the length of the silence. If the server's clock advanced as far as the monotonic clock, the
    /// computer was not suspended, and the wall clock was set.
    fn length(self, by_server_ms: Option<i64>) -> Duration {
        let is_set = by_server_ms.is_some_and(|ms| ms > 0 && is_plausible(self.waited, ms));
        if is_set {
            self.waited
        } else {
            self.waited.saturating_add(self.suspended)
        }
    }
}

impl Pump<'_> {
    /// Continues `file` once the stream contains its end.
    pub(in crate::download) fn continue_from(
        &mut self,
        recording: ExistingRecording,
        resume: Resume,
        file: ExistingFile,
    ) {
        if self.is_live_requested {
            let history = self.history.get_or_insert_default();
            history.recording = recording;
            history.recording.limit(self.history_frames);
            history.former =
                last_change(&file.file).map(|(before, since)| (Instant::now(), before, since));
            self.clock.continue_from(history.recording.end_ms());
            self.rejoin_after("an earlier recording was continued");
        } else {
            // A live stream would not contain the end of a recorded one.
            self.is_recorded = true;
            let rejoin = RecordedRejoin::new(recording, resume);
            self.rejoin = Some(Rejoin::Recorded(Box::new(rejoin)));
        }
        self.headers.assume_present();
        self.output.resume_from(file);
    }

    /// Compares the stream of the next connection with the recording.
    pub(in crate::download) fn rejoin_after(&mut self, reason: &str) {
        reason.clone_into(&mut self.gap_reason);
        self.is_continuation |= self.has_media;
        self.start_rejoin();
    }

    fn start_rejoin(&mut self) {
        if let Some(Rejoin::Recorded(rejoin)) = &mut self.rejoin {
            return rejoin.begin_again();
        }
        let is_live = self.is_live();
        let Some(history) = self
            .history
            .as_mut()
            .filter(|history| !history.recording.is_empty())
        else {
            return;
        };
        self.rejoin = Some(if is_live {
            Rejoin::Live {
                matcher: Box::new(history.recording.live_matcher(if history.is_partial {
                    Expectation::LIVE_WITH_SHORT_HISTORY
                } else {
                    Expectation::LIVE
                })),
                has_frame: false,
            }
        } else {
            let recording = mem::take(&mut history.recording);
            Rejoin::Recorded(Box::new(RecordedRejoin::new(recording, Resume::default())))
        });
    }

    /// Takes the gaps of the recording.
    pub(in crate::download) fn take_gaps(&mut self) -> Gaps {
        mem::take(&mut self.gaps)
    }

    /// Returns how long after `then` the latest frame was written, if one was.
    pub(in crate::download) fn media_since(&self, then: Instant) -> Option<Duration> {
        let (latest, _) = self.history.as_ref()?.latest?;
        latest.checked_duration_since(then)
    }

    /// Handles the start of a new publisher, which uses its own clock.
    pub(super) fn restart(&mut self) {
        match &mut self.rejoin {
            Some(Rejoin::Recorded(rejoin)) => rejoin.restart(),
            Some(Rejoin::Live { matcher, .. }) => matcher.restart(),
            Some(Rejoin::Republished { .. }) => {}
            None if self.is_live_requested && self.history.is_some() => {
                self.gap_reason = "the stream was published again".to_owned();
                self.rejoin = Some(Rejoin::Republished { held: Vec::new() });
            }
            None => self.clock.restart(),
        }
    }

    /// Position from which the stream must be requested while a resume is in progress, in
    /// milliseconds.
    pub(in crate::download) fn resume_start_ms(&self) -> Option<u32> {
        match &self.rejoin {
            Some(Rejoin::Recorded(rejoin)) => Some(rejoin.start_ms()),
            _ => None,
        }
    }

    /// The recording whose end the stream must contain, while a resume is in progress.
    pub(super) fn resume_target(&self) -> Option<&ExistingRecording> {
        match &self.rejoin {
            Some(Rejoin::Recorded(rejoin)) => Some(rejoin.recording()),
            _ => None,
        }
    }

    /// Compares a message with the recording.
    #[cold]
    pub(super) fn match_arrival(&mut self, now: Instant, arrival: Arrival) -> Result<(), EndCause> {
        if arrival.info.carries_media {
            if !self.has_media {
                self.note_first_frame();
            }
            self.report_start();
        } else {
            self.output
                .prepare_pipe(now, arrival.info, &arrival.payload);
        }
        let verdict = match &mut self.rejoin {
            Some(Rejoin::Recorded(rejoin)) => rejoin.offer(arrival),
            Some(Rejoin::Live { matcher, has_frame }) => {
                *has_frame |= arrival.info.carries_media;
                matcher.offer(arrival)
            }
            Some(Rejoin::Republished { held }) if can_wait(held, &arrival) => {
                held.push(arrival);
                return Ok(());
            }
            Some(Rejoin::Republished { held }) if arrival.info.carries_media => {
                let mut arrivals = mem::take(held);
                arrivals.push(arrival);
                self.rejoin = None;
                return self.continue_after_gap(now, arrivals);
            }
            Some(Rejoin::Republished { .. }) | None => return self.assign_time(now, arrival),
        };
        match verdict {
            Verdict::AlreadyWritten(payload) => self.output.recycle(payload),
            Verdict::Matched(match_point) => return self.join(now, *match_point),
            Verdict::NoMatch if self.resume_target().is_some() => return Err(EndCause::NoMatch),
            Verdict::NoMatch => return self.give_up(now),
            Verdict::Undecided => {}
        }
        Ok(())
    }

    /// Decides an open rejoin when the connection ends.
    pub(super) fn conclude_rejoin(&mut self, next: Next) -> Next {
        let Next::Finish(last) = &next else {
            return next;
        };
        let match_point = match &mut self.rejoin {
            Some(Rejoin::Recorded(rejoin)) => rejoin.finish(),
            Some(Rejoin::Live {
                has_frame: false, ..
            }) => {
                // No frame arrived on this connection, so the next one decides.
                self.start_rejoin();
                return next;
            }
            Some(Rejoin::Live { matcher, .. }) => matcher.finish(),
            Some(Rejoin::Republished { .. }) | None => return next,
        };
        let is_live = self.resume_target().is_none();
        let conclude = match match_point {
            Some(match_point) => self.join(Instant::now(), match_point),
            None if is_live => self.give_up(Instant::now()),
            None => return self.next_resume_start(last).unwrap_or(next),
        };
        match conclude {
            Ok(()) => next,
            Err(last) => last.into(),
        }
    }

    /// Returns the next position to request after a stream without the end of the recording.
    fn next_resume_start(&mut self, cause: &EndCause) -> Option<Next> {
        let Some(Rejoin::Recorded(rejoin)) = &mut self.rejoin else {
            return None;
        };
        let has_ended = matches!(
            cause,
            EndCause::Session(End::Complete(_) | End::Unpublished(_))
        );
        let is_closed = matches!(
            cause,
            EndCause::PeerClosed {
                between_messages: true
            } | EndCause::Session(End::Closed(_))
        ) && self.stage >= Stage::Playing
            && !rejoin.is_running();
        if !has_ended && !is_closed && !matches!(cause, EndCause::NoMatch) {
            return None;
        }
        match rejoin.next_start() {
            Some(start_ms) => Some(Next::PlayFrom { start_ms }),
            None if is_closed => None,
            None => Some(EndCause::NoMatch.into()),
        }
    }

    /// Whether the next message may belong to a new segment.
    pub(super) fn may_split_next(&self) -> bool {
        let is_searching = self.rejoin.is_some() && self.resume_target().is_none();
        is_searching && self.gap_policy == GapPolicy::Split
    }

    /// Writes the held metadata once its segment is known.
    fn write_held_metadata(&mut self, now: Instant) -> Result<(), EndCause> {
        match self.held_metadata.take() {
            Some((members, payload)) => self.write_metadata(now, members, payload),
            None => Ok(()),
        }
    }

    /// Continues the recording at the match point, as if the stream had not been interrupted.
    pub(super) fn join(&mut self, now: Instant, match_point: MatchPoint) -> Result<(), EndCause> {
        let end_ms = match self.rejoin.take() {
            Some(Rejoin::Recorded(rejoin)) => {
                let recording = rejoin.into_recording();
                let (first_ms, end_ms) = (recording.first_ms(), recording.end_ms());
                if let Some(history) = &mut self.history {
                    history.recording = recording;
                }
                let first_ms = if self.range.keeps_timestamps {
                    u32::try_from(first_ms).unwrap_or(0)
                } else {
                    u32::try_from(match_point.offset_ms.saturating_neg()).unwrap_or(0)
                };
                self.first_timestamp_ms = Some(first_ms);
                // A complete file gets no new tag that would overwrite the garbage after its end.
                self.output.cut_garbage().map_err(EndCause::Output)?;
                end_ms
            }
            _ => self.clock.position_ms(),
        };
        tracing::info!("the stream continues the recording at {end_ms} ms");
        self.is_continuation = true;
        self.clock = match_point.clock;
        self.write_held_metadata(now)?;
        for (at_ms, arrival) in match_point.arrivals {
            self.write(now, at_ms, arrival)?;
        }
        Ok(())
    }

    /// Continues the recording after a gap, because the stream does not contain its end.
    fn give_up(&mut self, now: Instant) -> Result<(), EndCause> {
        let Some(Rejoin::Live { matcher, .. }) = self.rejoin.take() else {
            return Ok(());
        };
        self.continue_after_gap(now, matcher.give_up())
    }

    /// Writes `arrivals` after a gap.
    fn continue_after_gap(&mut self, now: Instant, arrivals: Vec<Arrival>) -> Result<(), EndCause> {
        let mut frames = arrivals.iter().filter(|arrival| arrival.info.carries_media);
        if let Some(first) = frames.next() {
            let newest = frames.next_back().unwrap_or(first);
            self.leave_gap(now, first, age(first, newest));
        }
        self.write_held_metadata(now)?;
        for arrival in arrivals {
            self.assign_time(now, arrival)?;
        }
        Ok(())
    }

    /// Inserts a gap, unless the first frame is the next one by the server's clock. The first frame
    /// was `age` old when it arrived.
    fn leave_gap(&mut self, now: Instant, first: &Arrival, age: Duration) {
        let since_arrival = now.saturating_duration_since(first.at);
        let arrived_at = self.wall_clock.checked_sub(since_arrival);
        let arrived_at = arrived_at.unwrap_or(self.wall_clock);
        let history = self.history.as_ref();
        let silence = history.and_then(|history| history.silence((first.at, arrived_at)));
        let silence = silence.unwrap_or(Silence {
            since: self.wall_clock,
            waited: Duration::ZERO,
            suspended: Duration::ZERO,
        });
        let by_server_ms = self.clock.since_latest(first.timestamp);
        let waited = silence.length(by_server_ms);
        let by_server_ms = by_server_ms.filter(|ms| is_plausible(waited, *ms));
        self.is_continuation = true;
        if by_server_ms.is_some() && self.is_next(first) {
            tracing::info!("the stream continues with the next frame, without a gap");
            return;
        }
        let length_ms = gap_ms(waited.saturating_sub(age), by_server_ms);
        let gap = Gap {
            at_ms: self.clock.position_ms(),
            began: silence.since,
            length_ms,
            reason: mem::take(&mut self.gap_reason),
        };
        self.report.gap(&gap);
        self.gaps.push(gap);
        if let Some(switch) = &mut self.source_switch {
            switch.gap_ms = Some(length_ms);
        }
        self.output.note_gap();
        match self.gap_policy {
            GapPolicy::Keep => self.clock.restart_after(length_ms),
            GapPolicy::Close => self.clock.restart(),
            GapPolicy::Split => {
                self.clock.restart();
                self.output.request_split();
            }
        }
    }

    /// Whether a frame is the next one of its track by the server's clock.
    fn is_next(&self, frame: &Arrival) -> bool {
        let at_ms = self.clock.time_of(frame.timestamp);
        at_ms.is_some_and(|at_ms| self.frame_interval.is_next(frame.info.track, at_ms))
    }
}

/// Returns the time since the last write to a file, and the time of that write, if the clocks are
/// plausible.
fn last_change(file: &File) -> Option<(Duration, WallTime)> {
    let changed = file.metadata().ok()?.modified().ok()?;
    Some((changed.elapsed().ok()?, changed.try_into().ok()?))
}

/// Returns how long the computer was suspended between `since` and `now`, of which the monotonic clock
/// measured `monotonic`.
///
/// The monotonic clock stops while the computer is suspended (Linux, macOS), and the wall clock does not.
/// The wall clock in turn can be corrected or set, so only a plausible lead of it counts.
pub(super) fn suspension(monotonic: Duration, since: WallTime, now: WallTime) -> Duration {
    let by_wall_clock = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let lead = by_wall_clock.saturating_sub(monotonic);
    if (MIN_SUSPENSION..=MAX_SUSPENSION).contains(&lead) {
        lead
    } else {
        Duration::ZERO
    }
}

/// Whether a message of a new publisher can be held until its first frame.
fn can_wait(held: &[Arrival], arrival: &Arrival) -> bool {
    let has_room = held.len() < MAX_HELD && arrival.payload.capacity() <= MAX_HELD_BYTES;
    has_room && !arrival.info.carries_media
}

/// Whether the server's clock continued during the gap: then its difference is close to the time
/// that passed. The difference may be smaller by the frames that a server repeats of a live stream.
fn is_plausible(waited: Duration, by_server_ms: i64) -> bool {
    let waited_ms = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
    let least_ms = waited_ms.saturating_sub(MAX_REPEATED_MS);
    (least_ms..=waited_ms.saturating_add(MAX_DRIFT_MS)).contains(&by_server_ms)
}

/// Returns how old the first of a burst of frames was when it arrived.
///
/// A server repeats the recent past of a live stream to a new client. That part of the stream did
/// not go missing after the first frame, so it does not belong to the gap.
fn age(first: &Arrival, newest: &Arrival) -> Duration {
    let span_ms = newest.timestamp.since(first.timestamp);
    let span = Duration::from_millis(u64::try_from(span_ms).unwrap_or(0));
    span.saturating_sub(newest.at.saturating_duration_since(first.at))
}

/// Returns the length of a gap: the difference of the server's clock if plausible, otherwise the
/// time that passed.
fn gap_ms(waited: Duration, by_server_ms: Option<i64>) -> u64 {
    let by_server_ms = by_server_ms.and_then(|ms| u64::try_from(ms).ok());
    by_server_ms
        .filter(|ms| *ms > 0)
        .unwrap_or_else(|| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX))
}

/// Smallest lead of the wall clock that counts as a suspension: time synchronization corrects less.
const MIN_SUSPENSION: Duration = Duration::from_secs(2);

/// Largest lead of the wall clock that counts as a suspension. A clock without a battery starts years in
/// the past, so a larger lead means that the clock was set.
const MAX_SUSPENSION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Largest number of held messages of a new publisher; sequence headers take one or two.
const MAX_HELD: usize = 16;

/// Largest size of a held message; a sequence header has a few hundred bytes.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// Largest part of a live stream that servers repeat to a new client, in milliseconds.
const MAX_REPEATED_MS: i64 = 10_000;

/// Largest lead of a server's clock over the local clock during a gap, in milliseconds.
const MAX_DRIFT_MS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_includes_a_suspension_of_the_computer() {
        let (at, since) = (Instant::now(), WallTime::now());
        let info = FrameInfo {
            carries_media: true,
            ..FrameInfo::SCRIPT
        };
        let mut latest = RecordingHistory::default();
        latest.note((at, since), info, 0, &[]);
        let former = RecordingHistory {
            former: Some((at, Duration::from_secs(5), since - Duration::from_secs(5))),
            ..RecordingHistory::default()
        };
        // Seconds by the monotonic clock and by the wall clock.
        for (monotonic, wall, expected) in [
            (60, 60, 60),
            (60, 61, 60),
            (60, 7_200, 7_200),
            (60, 50, 60),
            (60, -3_600, 60),
            (60, 8 * 24 * 3_600, 60),
        ] {
            let now = (
                at + Duration::from_secs(monotonic),
                since + jiff::SignedDuration::from_secs(wall),
            );
            for (history, before) in [(&latest, 0), (&former, 5)] {
                let silence = history.silence(now).unwrap();
                assert_eq!(silence.length(None).as_secs(), expected + before, "{wall}");
                assert_eq!(silence.since, since - Duration::from_secs(before));
            }
        }
    }

    #[test]
    fn server_clock_reveals_that_the_wall_clock_was_set() {
        let silence = Silence {
            since: WallTime::now(),
            waited: Duration::from_secs(60),
            suspended: Duration::from_secs(3_600),
        };
        let length = |by_server_ms| silence.length(by_server_ms).as_secs();
        assert_eq!(length(Some(59_900)), 60);
        assert_eq!(length(Some(3_660_000)), 3_660);
        assert_eq!(length(Some(-500_000)), 3_660);
        assert_eq!(length(None), 3_660);
    }

    #[test]
    fn a_gap_has_the_length_of_the_server_clock_if_plausible() {
        let waited = Duration::from_secs(60);
        let length_ms = |waited, by_server_ms: Option<i64>| {
            gap_ms(waited, by_server_ms.filter(|ms| is_plausible(waited, *ms)))
        };
        let cases = [
            (Some(59_000), 59_000),
            (Some(50_000), 50_000),
            (Some(61_000), 61_000),
            (Some(49_999), 60_000),
            (Some(61_001), 60_000),
            (Some(-3_000_000), 60_000),
            (None, 60_000),
        ];
        for (by_server_ms, expected) in cases {
            assert_eq!(
                length_ms(waited, by_server_ms),
                expected,
                "{by_server_ms:?}"
            );
        }
        assert_eq!(length_ms(Duration::from_millis(5), Some(0)), 5);
        assert_eq!(length_ms(Duration::from_millis(5), Some(-40)), 5);
    }
}
