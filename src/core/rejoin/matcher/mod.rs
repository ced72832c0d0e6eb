//! Finds where a new stream continues an existing recording, by content.
//!
//! ```text
//! written      … k──p──p──p──p──K──p──p──p│              k, K keyframes; p other frames
//! new stream                    K──p──p──p──p──p──p──p …
//!                               └─ known ─┘└─ new
//! ```
//!
//! The clock of the new stream is unknown, so frames are identified by content alone. A frame whose
//! content was written exactly once is the anchor: it maps the new clock to the output clock. From
//! the anchor on, every frame must be the next one of its track, at its recorded time. Order and
//! spacing distinguish frames with equal content, such as silence. Any other frame breaks the run,
//! and the search for an anchor restarts. The match is proved once the last written frame of both
//! tracks was repeated within such a run. The frames after it are new.
//!
//! Each track is followed on its own, because servers do not always interleave the tracks alike.
//! Both tracks share the clock. The [`History`] holds fingerprints of the written frames, so the
//! matcher does not depend on whether they went to a file or to a pipe.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

pub(crate) use super::history::History;
use super::history::{Content, FIRST_FRAMES, Index, PerTrack};
use crate::core::{
    flv::{FrameInfo, TagKind},
    output_clock::OutputClock,
    payload::Payload,
    rtmp::message::Timestamp,
};

/// A message of the new stream.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Time at which the message was received.
    pub(crate) at: Instant,
    pub(crate) info: FrameInfo,
    pub(crate) timestamp: Timestamp,
    pub(crate) payload: Payload,
}

/// What the new stream may look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    /// Whether the stream starts where the recording started.
    pub(crate) is_from_start: bool,
    /// Stream time that may arrive before a frame is recognized, in milliseconds. If the stream
    /// starts like the recording, the length of the recording is added.
    pub(crate) limit_ms: i64,
    /// The same limit in bytes.
    pub(crate) limit_bytes: u64,
    pub(crate) origin: Origin,
}

/// Origin of a new stream, which determines how it may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A recorded stream. It repeats both tracks.
    Recorded,
    /// A live stream after a lost connection. It may start at any frame, also after the last written
    /// frame of one track while it still repeats the other track, and after a gap.
    Live,
    /// A second connection to the stream, while the first one still plays. It repeats both tracks
    /// eventually, because the recording grows.
    SecondConnection,
}

impl Origin {
    /// Whether repeated messages are held, because they may have to be compared again.
    fn holds_repeated(self) -> bool {
        self != Self::Recorded
    }
}

impl Expectation {
    /// Expectation for a live stream after a reconnect.
    pub(crate) const LIVE: Self = Self {
        is_from_start: false,
        limit_ms: LIVE_LIMIT_MS,
        limit_bytes: LIVE_LIMIT_BYTES,
        origin: Origin::Live,
    };

    /// Expectation for a live stream if only the end of the recording is remembered: a server may
    /// repeat more than that.
    pub(crate) const LIVE_WITH_SHORT_HISTORY: Self = Self {
        limit_ms: SHORT_HISTORY_LIMIT_MS,
        limit_bytes: MAX_HELD_BYTES as u64,
        ..Self::LIVE
    };

    /// Expectation for a second connection. The caller limits the search.
    pub(crate) const SECOND_CONNECTION: Self = Self {
        is_from_start: false,
        limit_ms: i64::MAX,
        limit_bytes: u64::MAX,
        origin: Origin::SecondConnection,
    };

    fn is_live(self) -> bool {
        self.origin == Origin::Live
    }
}

/// The decision about a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The message is already written, or lies before the remembered frames. The payload is
    /// returned.
    AlreadyWritten(Payload),
    /// Not decided yet.
    Undecided,
    /// The match is proved. The matcher takes no more messages.
    Matched(Box<MatchPoint>),
    /// The stream does not contain the end of the recording: it starts after it, or is a different
    /// stream.
    NoMatch,
}

/// Where the new stream continues the recording.
#[derive(Debug)]
pub(crate) struct MatchPoint {
    /// The output clock, as if the stream had not been interrupted.
    pub(crate) clock: OutputClock,
    /// Difference between the output clock and the server's clock, in milliseconds.
    pub(crate) offset_ms: i64,
    /// The messages to write, in order of arrival, with their output times in milliseconds.
    pub(crate) arrivals: Vec<(u64, Arrival)>,
}

/// The search for the match point. It takes messages in order of arrival until the match is proved
/// or impossible, and holds a bounded number of them.
#[derive(Debug)]
pub(crate) struct Matcher {
    history: Index,
    expectation: Expectation,
    run: Option<Run>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Timestamp of the latest evicted frame.
    evicted: PerTrack<Option<Timestamp>>,
    begin: Option<StreamStart>,
    /// The first frame since the stream last arrived faster than it plays.
    real_time_since: Option<(Instant, Timestamp)>,
}

/// An unbroken run of frames that match the recording.
#[derive(Debug)]
struct Run {
    clock: OutputClock,
    /// The timestamp of the anchor and its output time.
    anchor: (Timestamp, i64),
    /// Output time of the first frame of the run.
    begin_ms: i64,
    matched: u64,
    /// Index of the expected next frame; `None` before the first one.
    next: PerTrack<Option<usize>>,
    /// Number of frames after the last written one.
    new: PerTrack<usize>,
}

/// Measurements of the new stream since its start.
#[derive(Debug)]
struct StreamStart {
    first: Timestamp,
    latest: Timestamp,
    elapsed_ms: i64,
    frames: usize,
    bytes: u64,
    is_head: bool,
}

#[derive(Debug)]
struct Held {
    arrival: Arrival,
    content: Content,
    at_ms: i64,
    is_new: bool,
}

/// What a frame means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameMatch {
    /// The expected next frame of its track, or a frame before all remembered ones.
    Known,
    /// A frame after the last written frame of its track.
    New,
    /// Any other frame. It breaks the run.
    Unknown,
}

/// Position of a run relative to the end of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Within,
    /// The run has reached the last written frames.
    End,
    /// The run passed the last written frames without matching them, or is too short to prove a
    /// match.
    Missed,
}

impl Matcher {
    /// Creates a matcher that looks for the end of `history`.
    pub(crate) fn new(history: History, expectation: Expectation) -> Self {
        Self {
            history: history.into_index(),
            expectation,
            run: None,
            held: VecDeque::new(),
            held_bytes: 0,
            evicted: PerTrack::default(),
            begin: None,
            real_time_since: None,
        }
    }

    /// Takes the next message of the stream and decides about it.
    pub(crate) fn offer(&mut self, arrival: Arrival) -> Verdict {
        let content = Content::of(arrival.info, &arrival.payload);
        if arrival.info.carries_media {
            self.offer_frame(arrival, content)
        } else {
            self.offer_other(arrival, content)
        }
    }

    /// Handles a stream that restarts with a new clock.
    pub(crate) fn restart(&mut self) {
        if let Some(run) = &mut self.run {
            run.clock.restart();
        }
    }

    /// Whether the frames so far match the recording.
    pub(crate) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Returns the match point if the ended stream contained the end of the recording. A live
    /// stream need not have reached the end in both tracks: it is unbroken so far, and the next
    /// connection continues from here.
    pub(crate) fn finish(&mut self) -> Option<MatchPoint> {
        let run = self.run.as_ref()?;
        let leads_on = match self.reach(run) {
            Reach::End => true,
            Reach::Within | Reach::Missed => self.expectation.is_live() && run.has_new(),
        };
        let run = self.run.take_if(|_| leads_on)?;
        Some(self.match_point(run))
    }

    /// Returns the held messages in order of arrival, after a failed match.
    pub(crate) fn give_up(self) -> Vec<Arrival> {
        // Only a run can show that a held message is already written.
        let is_new = |held: &Held| held.is_new || self.run.is_none();
        let held = self.held.into_iter().filter(is_new);
        held.map(|held| held.arrival).collect()
    }

    /// Returns all held messages in order of arrival.
    pub(crate) fn into_held(self) -> impl Iterator<Item = Arrival> {
        self.held.into_iter().map(|held| held.arrival)
    }

    fn offer_frame(&mut self, arrival: Arrival, content: Content) -> Verdict {
        let (kind, timestamp) = (arrival.info.track, arrival.timestamp);
        self.count(&arrival, content);
        let plays_in_real_time = self.expectation.is_live() && self.plays_in_real_time(&arrival);
        let (class, at_ms) = match &mut self.run {
            Some(run) => run.take(&self.history, kind, timestamp, content),
            None => (FrameMatch::Unknown, 0),
        };
        let mut known = None;
        match class {
            FrameMatch::Known => known = self.keep_known(arrival, content, at_ms),
            FrameMatch::New => self.hold(arrival, content, at_ms, true),
            FrameMatch::Unknown => {
                // The frame that breaks a run may be the anchor of the next one.
                self.run = None;
                self.hold(arrival, content, 0, false);
                if let Some(at_ms) = self.anchor(content, kind, timestamp) {
                    known = self.align(timestamp, at_ms);
                }
            }
        }
        match self.verdict(known) {
            Verdict::Undecided if plays_in_real_time => {
                // Without a run, all held messages are new.
                self.run = None;
                Verdict::NoMatch
            }
            verdict => verdict,
        }
    }

    /// Whether the stream has arrived at play speed for [`REAL_TIME`].
    ///
    /// A server repeats the recent past of a live stream in a burst. Frames that arrive at play
    /// speed are therefore new, whatever they contain: a publisher that starts the same file again
    /// sends the same frames.
    fn plays_in_real_time(&mut self, arrival: &Arrival) -> bool {
        let (at, timestamp) = (arrival.at, arrival.timestamp);
        let (since, first) = *self.real_time_since.get_or_insert((at, timestamp));
        let waited = at.saturating_duration_since(since);
        let waited_ms = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        if i64::from(timestamp.since(first)).saturating_sub(waited_ms) > MAX_LEAD_MS {
            // The stream runs ahead of the wall clock: the burst is not over.
            self.real_time_since = Some((at, timestamp));
            return false;
        }
        waited >= REAL_TIME
    }

    /// Takes a sequence header or script data. Their timestamps are not reliable, so a message
    /// between known frames counts as known.
    fn offer_other(&mut self, arrival: Arrival, content: Content) -> Verdict {
        let clock = self.run.as_mut().map(|run| &mut run.clock);
        let at_ms = clock.map_or(0, |clock| {
            clock.header_time(arrival.info, arrival.timestamp)
        });
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let Some(run) = &self.run else {
            self.hold(arrival, content, 0, false);
            return Verdict::Undecided;
        };
        match (run.has_new(), self.reach(run)) {
            // A message between two known frames was written with them.
            (false, Reach::Within | Reach::Missed) => {
                let known = self.keep_known(arrival, content, at_ms);
                known.map_or(Verdict::Undecided, Verdict::AlreadyWritten)
            }
            // The recording ends with this message: it was written after the last frame.
            (false, Reach::End) if self.history.tail.front() == Some(&content) => {
                self.history.tail.pop_front();
                let known = self.keep_known(arrival, content, at_ms);
                self.verdict(known)
            }
            _ => {
                self.hold(arrival, content, at_ms, true);
                self.verdict(None)
            }
        }
    }

    /// Decides after a message was taken. `known` is the payload to return if it was already
    /// written.
    fn verdict(&mut self, known: Option<Payload>) -> Verdict {
        let is_over = match &self.run {
            None if self.has_exceeded_limits() => return Verdict::NoMatch,
            None => false,
            Some(run) => match self.reach(run) {
                Reach::Missed => return Verdict::NoMatch,
                Reach::Within => false,
                // The messages written after the last frame are expected until the next frame
                // arrives.
                Reach::End => self.history.tail.is_empty() || run.has_new(),
            },
        };
        match self.run.take_if(|_| is_over) {
            Some(run) => Verdict::Matched(Box::new(self.match_point(run))),
            None if self.has_evicted_new_frame() => Verdict::NoMatch,
            None => known.map_or(Verdict::Undecided, Verdict::AlreadyWritten),
        }
    }

    fn match_point(&mut self, run: Run) -> MatchPoint {
        let held = mem::take(&mut self.held).into_iter();
        let new = held.filter(|held| held.is_new);
        MatchPoint {
            offset_ms: run.output_time(Timestamp(0)),
            clock: run.clock,
            arrivals: new
                .map(|held| (held.at_ms.max(0).unsigned_abs(), held.arrival))
                .collect(),
        }
    }

    /// Returns the output time of a frame if it is certain: its content was written exactly once.
    /// For a stream that starts where the recording started, the distance from the first frame
    /// decides as well.
    ///
    /// Silence produces identical frames, so a frame with repeated content cannot be the anchor.
    fn anchor(&self, content: Content, kind: TagKind, timestamp: Timestamp) -> Option<i64> {
        let track = self.history.tracks.get(kind);
        track.unique_time_of(content).or_else(|| {
            let begin = self.begin.as_ref();
            let begin = begin.filter(|_| self.expectation.is_from_start)?;
            let passed_ms = i64::from(timestamp.since(begin.first));
            let at_ms = self.history.first_ms.saturating_add(passed_ms);
            track.find(content, at_ms).map(|_| at_ms)
        })
    }

    /// Starts a run at the latest frame, and classifies the held frames on that clock. Held frames
    /// that do not match are ignored, because the run starts after them. Returns the payload of the
    /// latest frame.
    fn align(&mut self, timestamp: Timestamp, anchor_ms: i64) -> Option<Payload> {
        let mut run = Run::at(timestamp, anchor_ms);
        let mut latest_ms = anchor_ms;
        let mut latest = FrameMatch::Unknown;
        for held in &mut self.held {
            held.is_new = run.has_new();
            held.at_ms = latest_ms;
            let Arrival {
                info,
                timestamp: at,
                ..
            } = held.arrival;
            if !info.carries_media {
                continue;
            }
            latest_ms = run.output_time(at);
            latest = run.judge(&self.history, info.track, held.content, latest_ms);
            held.at_ms = latest_ms;
            held.is_new = latest == FrameMatch::New;
            if latest == FrameMatch::Unknown {
                run.restart();
            }
        }
        if latest != FrameMatch::Known {
            return None;
        }
        self.run = Some(run);
        if self.expectation.origin.holds_repeated() {
            return None;
        }
        let anchor = self.held.pop_back()?;
        let freed_bytes = anchor.arrival.payload.capacity();
        self.held_bytes = self.held_bytes.saturating_sub(freed_bytes);
        Some(anchor.arrival.payload)
    }

    /// Takes a known message: returns its payload, or holds it if it may turn out to be new or must
    /// be compared again.
    fn keep_known(&mut self, arrival: Arrival, content: Content, at_ms: i64) -> Option<Payload> {
        if !self.expectation.origin.holds_repeated() {
            return Some(arrival.payload);
        }
        self.hold(arrival, content, at_ms, false);
        None
    }

    fn hold(&mut self, arrival: Arrival, content: Content, at_ms: i64, is_new: bool) {
        let bytes = arrival.payload.capacity();
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        self.held.push_back(Held {
            arrival,
            content,
            at_ms,
            is_new,
        });
        while self.held.len() > MAX_HELD || self.held_bytes > MAX_HELD_BYTES {
            let Some(Held { arrival, .. }) = self.held.pop_front() else {
                break;
            };
            let freed_bytes = arrival.payload.capacity();
            self.held_bytes = self.held_bytes.saturating_sub(freed_bytes);
            if arrival.info.carries_media {
                *self.evicted.get_mut(arrival.info.track) = Some(arrival.timestamp);
            }
        }
    }

    /// Whether an evicted frame lies after the last written frame of its track.
    fn has_evicted_new_frame(&self) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        TRACKS.into_iter().any(|kind| {
            let last = self.history.tracks.get(kind).last();
            let end_ms = last.map_or(i64::MIN, |last| last.at_ms);
            let frame = self.evicted.get(kind);
            frame.is_some_and(|frame| run.output_time(frame) > end_ms)
        })
    }

    fn reach(&self, run: &Run) -> Reach {
        let mut reach = Reach::End;
        for kind in TRACKS {
            let track = self.history.tracks.get(kind);
            let has_new = *run.new.get(kind) > 0;
            let Some(last) = track.last() else {
                continue;
            };
            match *run.next.get(kind) {
                Some(next) if next == track.len() => {}
                // The track does not continue, and waiting for it would hold back all frames of the
                // other track.
                _ if self.expectation.is_live() && run.is_far_past(last.at_ms) => {}
                // The track had ended long before the run started.
                None if last.at_ms < run.begin_ms.saturating_sub(MAX_LAG_MS) => {}
                // A live stream may start after the last written frame of this track.
                None if has_new && self.expectation.is_live() => {}
                // A recorded stream repeats both tracks, so a run that starts after the end of one track
                // cannot prove where that track continues.
                None if has_new => return Reach::Missed,
                _ => reach = Reach::Within,
            }
        }
        // The keyframe of a live stream may be the only repeated frame. Its content is unique, so one frame is
        // enough.
        let least = if self.expectation.is_live() {
            1
        } else {
            MIN_RUN
        };
        let is_proof = run.matched >= least.min(self.history.frames);
        match reach {
            Reach::End if !is_proof && !self.expectation.is_from_start => Reach::Missed,
            reach => reach,
        }
    }

    fn count(&mut self, arrival: &Arrival, content: Content) {
        let timestamp = arrival.timestamp;
        let begin = self.begin.get_or_insert(StreamStart {
            first: timestamp,
            latest: timestamp,
            elapsed_ms: 0,
            frames: 0,
            bytes: 0,
            is_head: false,
        });
        let step_ms = i64::from(timestamp.since(begin.latest));
        // A leap of the server's clock is not stream time and must not use up the limit.
        let counted_ms = step_ms.clamp(0, MAX_LAG_MS);
        begin.elapsed_ms = begin.elapsed_ms.saturating_add(counted_ms);
        if step_ms > 0 {
            begin.latest = timestamp;
        }
        let bytes = arrival.payload.len() as u64;
        begin.bytes = begin.bytes.saturating_add(bytes);
        begin.is_head |= begin.frames < FIRST_FRAMES && self.history.is_head(content);
        begin.frames = begin.frames.saturating_add(1);
    }

    fn has_exceeded_limits(&self) -> bool {
        let Some(begin) = &self.begin else {
            return false;
        };
        // A stream that starts like the recording repeats all of it before the match point.
        let begins_alike = begin.is_head && !self.expectation.is_live();
        let length_ms = if begins_alike { self.history.end_ms } else { 0 };
        let limit_ms = self.expectation.limit_ms.saturating_add(length_ms);
        begin.elapsed_ms > limit_ms || begin.bytes > self.expectation.limit_bytes
    }
}

impl Run {
    fn at(timestamp: Timestamp, at_ms: i64) -> Self {
        Self {
            clock: OutputClock::at(timestamp, at_ms),
            anchor: (timestamp, at_ms),
            begin_ms: at_ms,
            matched: 0,
            next: PerTrack::default(),
            new: PerTrack::default(),
        }
    }

    /// Assigns an output time to a frame and classifies it.
    fn take(
        &mut self,
        history: &Index,
        kind: TagKind,
        timestamp: Timestamp,
        content: Content,
    ) -> (FrameMatch, i64) {
        let at_ms = self.clock.compared_frame(kind, timestamp);
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        (self.judge(history, kind, content, at_ms), at_ms)
    }

    fn judge(
        &mut self,
        history: &Index,
        kind: TagKind,
        content: Content,
        at_ms: i64,
    ) -> FrameMatch {
        let track = history.tracks.get(kind);
        let found = match *self.next.get(kind) {
            Some(next) => match track.get(next) {
                Some(fingerprints) if fingerprints.is(content, at_ms) => next,
                Some(_) => return FrameMatch::Unknown,
                None => return self.note_new(kind),
            },
            None => match track.find(content, at_ms) {
                Some(found) => found,
                // The history remembers only the last frames of a track: a frame after them is new, and a frame
                // before them cannot be compared.
                None if track.last().is_none_or(|last| last.at_ms < at_ms) => {
                    return self.note_new(kind);
                }
                None if track.first().is_some_and(|first| at_ms < first.at_ms) => {
                    return FrameMatch::Known;
                }
                None => return FrameMatch::Unknown,
            },
        };
        if self.matched == 0 {
            self.begin_ms = at_ms;
        }
        self.matched = self.matched.saturating_add(1);
        *self.next.get_mut(kind) = Some(found.saturating_add(1));
        FrameMatch::Known
    }

    /// Output time of a frame, provided that the server's clock does not jump.
    fn output_time(&self, timestamp: Timestamp) -> i64 {
        let (anchor, at_ms) = self.anchor;
        at_ms.saturating_add(timestamp.since(anchor).into())
    }

    /// Whether the run is past `at_ms` by more than the largest lag between two tracks.
    fn is_far_past(&self, at_ms: i64) -> bool {
        let position_ms = i64::try_from(self.clock.position_ms()).unwrap_or(i64::MAX);
        self.has_new() && at_ms < position_ms.saturating_sub(MAX_LAG_MS)
    }

    fn note_new(&mut self, kind: TagKind) -> FrameMatch {
        let new = self.new.get_mut(kind);
        *new = new.saturating_add(1);
        FrameMatch::New
    }

    fn restart(&mut self) {
        self.matched = 0;
        self.next = PerTrack::default();
    }

    fn has_new(&self) -> bool {
        self.new != PerTrack::default()
    }
}

/// The tracks whose frames are compared.
const TRACKS: [TagKind; 2] = [TagKind::AUDIO, TagKind::VIDEO];

/// Number of consecutive frames that prove a match; fewer if the recording has fewer.
pub(crate) const MIN_RUN: u64 = 8;

/// Largest lag between two tracks in milliseconds. A track that lags more has ended.
const MAX_LAG_MS: i64 = 10_000;

/// Time at play speed after which the frames of a live stream count as new.
const REAL_TIME: Duration = Duration::from_secs(2);

/// Largest lead of a stream that plays in real time, in milliseconds: more is a burst. It covers
/// the distance of two interleaved tracks.
const MAX_LEAD_MS: i64 = 500;

/// Largest number of held messages. Servers send fewer frames of one track before the other track.
const MAX_HELD: usize = 4096;

/// Largest memory of the held messages in bytes.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

/// Stream time of a live stream that may arrive before a frame is recognized. Servers repeat old
/// frames first.
const LIVE_LIMIT_MS: i64 = 1_000;

/// The same limit if only the end of the recording is remembered: more than servers repeat.
const SHORT_HISTORY_LIMIT_MS: i64 = 30_000;

/// The same limit in bytes, for streams whose clock does not advance.
const LIVE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
