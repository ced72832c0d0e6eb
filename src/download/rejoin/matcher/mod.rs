//! Where a stream that begins again goes on with what is already written.
//!
//! ```text
//! written   … k──p──p──p──p──K──p──p──p│                 k, K keyframes; p other frames
//! comes                      K──p──p──p──p──p──p──p …
//!                            └─ known ─┘└─ new
//! ```
//!
//! Where the new stream's clock lies is what is to be found out, so frames are known by their content
//! alone. A frame whose content was written exactly once, the anchor, says where. From there on all
//! frames have to be those that were written, track by track, one after the other and each at its
//! time: that is what tells silence, which is equal everywhere, apart. A frame that is not the next one
//! lets the search begin anew. The matcher is with_swf_proof once the last written frame of both tracks has come
//! again in such a run; what came behind it is new.
//!
//! The tracks are followed on their own since servers do not always interleave them alike; they
//! share the clock. Nothing here knows where the written frames are: in a file that is read, or
//! gone down a pipe, [`History`] remembers them.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem};

pub(in crate::download) use super::history::History;
use super::history::{Content, FIRST_FRAMES, Index, track_of};
use crate::core::{
    flv::{FrameInfo, TagKind},
    payload::Payload,
    rtmp::message::Timestamp,
};
use crate::download::output_clock::OutputClock;

/// A message of the new stream.
#[derive(Debug)]
pub(in crate::download) struct Arrival {
    pub(in crate::download) info: FrameInfo,
    pub(in crate::download) timestamp: Timestamp,
    pub(in crate::download) payload: Payload,
}

/// What may be expected of the new stream.
#[derive(Debug, Clone, Copy)]
pub(in crate::download) struct Expectation {
    /// Whether it is to begin where the output once began.
    pub(in crate::download) is_from_start: bool,
    /// How much of it may come, in milliseconds of its own clock, before anything is recognized. Where
    /// it turns out to begin as the output did, the output's length is added.
    pub(in crate::download) limit_ms: i64,
    /// How many bytes of it may.
    pub(in crate::download) limit_bytes: u64,
    /// Whether it may begin anywhere, as a live stream does: behind the last written frame of one
    /// track, while it leads up to that of the other, and with no more frames in front of that than a
    /// server repeats.
    pub(in crate::download) is_live: bool,
}

impl Expectation {
    /// What a server sends of a live stream to somebody who comes back.
    pub(in crate::download) const LIVE: Self = Self {
        is_from_start: false,
        limit_ms: LIVE_LIMIT_MS,
        limit_bytes: LIVE_LIMIT_BYTES,
        is_live: true,
    };
}

/// What a message is.
#[derive(Debug)]
pub(in crate::download) enum Verdict {
    /// It is written already, or lies before what is remembered. Here it is back.
    AlreadyWritten(Payload),
    /// That shows later.
    Undecided,
    /// The matcher is with_swf_proof, and nothing is to be offered any more.
    Matched(MatchPoint),
    /// The stream does not lead up to what was written last: it begins behind it, or is another one.
    NoMatch,
}

/// Where the new stream joins what was written.
#[derive(Debug)]
pub(in crate::download) struct MatchPoint {
    /// The clock, as if the stream had never been interrupted.
    pub(in crate::download) clock: OutputClock,
    /// How far the output clock is ahead of the server's.
    pub(in crate::download) offset_ms: i64,
    /// What is to be written, in order of arrival, each at its place in milliseconds.
    pub(in crate::download) arrivals: Vec<(u64, Arrival)>,
}

/// The search for the matcher. Messages are offered to it in order of arrival until it is with_swf_proof or
/// hopeless; what it holds back is bounded.
#[derive(Debug)]
pub(in crate::download) struct Matcher {
    history: Index,
    expectation: Expectation,
    run: Option<Run>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The latest frames that there was no room for: audio, video.
    evicted: [Option<Timestamp>; 2],
    begin: Option<StreamStart>,
}

/// An unbroken row of frames that were written.
#[derive(Debug)]
struct Run {
    clock: OutputClock,
    /// The frame that says where the clock lies.
    anchor: (Timestamp, i64),
    /// The place of its first frame.
    begin_ms: i64,
    matched: u64,
    /// Of audio and video, the frame that has to come next; none where none has come yet.
    next: [Option<usize>; 2],
    /// How many frames of audio and video lie behind the last ones written.
    new: [usize; 2],
}

/// How the new stream begins.
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

/// What a frame is to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameMatch {
    /// The next one of its track, or one that lies before all that is remembered.
    Known,
    /// Behind its track's last one.
    New,
    /// Neither: the run is broken.
    Unknown,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Within,
    /// It has met the last frames.
    End,
    /// It goes history them without having met them, or is too short to prove anything.
    Missed,
}

impl Matcher {
    /// Looks for the end of `history` in a stream of which this may be expected.
    pub(in crate::download) fn new(history: History, expectation: Expectation) -> Self {
        Self {
            history: history.into_index(),
            expectation,
            run: None,
            held: VecDeque::new(),
            held_bytes: 0,
            evicted: [None; 2],
            begin: None,
        }
    }

    /// Takes the next message of the stream and tells what it is.
    pub(in crate::download) fn offer(&mut self, arrival: Arrival) -> Verdict {
        let content = Content::of(arrival.info.track, &arrival.payload);
        if arrival.info.carries_media {
            self.offer_frame(arrival, content)
        } else {
            self.offer_other(arrival, content)
        }
    }

    /// The stream begins anew, on a clock of its own.
    pub(in crate::download) fn restart(&mut self) {
        if let Some(run) = &mut self.run {
            run.clock.restart();
        }
    }

    /// Whether the stream is known up to here: it is the right one.
    pub(in crate::download) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// The stream ends here: the match_point, if it has led up to the last of what was written. A live stream
    /// need not have come as far in both tracks: up to here it is unbroken, and will be asked for again.
    pub(in crate::download) fn finish(&mut self) -> Option<MatchPoint> {
        let run = self.run.as_ref()?;
        let leads_on = match self.reach(run) {
            Reach::End => true,
            Reach::Within | Reach::Missed => self.expectation.is_live && run.has_new(),
        };
        let run = self.run.take_if(|_| leads_on)?;
        Some(self.match_point(run))
    }

    /// What is held back, in order of arrival: nobody knows where it belongs.
    pub(in crate::download) fn give_up(self) -> Vec<Arrival> {
        let is_new = |held: &Held| held.is_new || self.run.is_none();
        let held = self.held.into_iter().filter(is_new);
        held.map(|held| held.arrival).collect()
    }

    fn offer_frame(&mut self, arrival: Arrival, content: Content) -> Verdict {
        let (kind, timestamp) = (arrival.info.track, arrival.timestamp);
        self.count(&arrival, content);
        let (class, at_ms) = match &mut self.run {
            Some(run) => run.take(&self.history, kind, timestamp, content),
            None => (FrameMatch::Unknown, 0),
        };
        let mut known = None;
        match class {
            FrameMatch::Known => known = Some(arrival.payload),
            FrameMatch::New => self.hold(arrival, content, at_ms, true),
            FrameMatch::Unknown => {
                self.run = None;
                self.hold(arrival, content, 0, false);
                if let Some(at_ms) = self.anchor(content, kind, timestamp) {
                    known = self.align(timestamp, at_ms);
                }
            }
        }
        self.verdict(known)
    }

    /// Configuration and script data, whose times say nothing: what comes in between frames that are
    /// known is known too.
    fn offer_other(&mut self, arrival: Arrival, content: Content) -> Verdict {
        let Some(run) = &self.run else {
            self.hold(arrival, content, 0, false);
            return Verdict::Undecided;
        };
        let at_ms = i64::try_from(run.clock.companion_of(arrival.info.track)).unwrap_or(i64::MAX);
        match (run.has_new(), self.reach(run)) {
            (false, Reach::Within | Reach::Missed) => Verdict::AlreadyWritten(arrival.payload),
            (false, Reach::End) if self.history.tail.front() == Some(&content) => {
                self.history.tail.pop_front();
                self.verdict(Some(arrival.payload))
            }
            _ => {
                self.hold(arrival, content, at_ms, true);
                self.verdict(None)
            }
        }
    }

    /// What it comes to once a message was taken, which is `known` if it is to be given back.
    fn verdict(&mut self, known: Option<Payload>) -> Verdict {
        let is_over = match &self.run {
            None if self.has_exceeded_limits() => return Verdict::NoMatch,
            None => false,
            Some(run) => match self.reach(run) {
                Reach::Missed => return Verdict::NoMatch,
                Reach::Within => false,
                // What was written behind the last frame is waited for, until the next frame comes.
                Reach::End => self.history.tail.is_empty() || run.has_new(),
            },
        };
        match self.run.take_if(|_| is_over) {
            Some(run) => Verdict::Matched(self.match_point(run)),
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

    /// Where a frame was written, if that is certain: it was written once. A stream that begins where
    /// the output began says that of all of its frames.
    fn anchor(&self, content: Content, kind: TagKind, timestamp: Timestamp) -> Option<i64> {
        let track = &self.history.tracks[track_of(kind)];
        track.unique_time_of(content).or_else(|| {
            let begin = self.begin.as_ref();
            let begin = begin.filter(|_| self.expectation.is_from_start)?;
            let at_ms = self.history.first_ms + i64::from(timestamp.since(begin.first));
            track.find(content, at_ms).map(|_| at_ms)
        })
    }

    /// Begins a run at the latest frame, which is given back, and sees what those before it are on that
    /// clock. Those that are strange are of no concern: the run begins behind them.
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
        let anchor = self.held.pop_back()?;
        self.held_bytes -= anchor.arrival.payload.capacity();
        Some(anchor.arrival.payload)
    }

    fn hold(&mut self, arrival: Arrival, content: Content, at_ms: i64, is_new: bool) {
        self.held_bytes += arrival.payload.capacity();
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
            self.held_bytes -= arrival.payload.capacity();
            if arrival.info.carries_media {
                self.evicted[track_of(arrival.info.track)] = Some(arrival.timestamp);
            }
        }
    }

    /// Whether a frame that there was no room for lies behind the last one of its track.
    fn has_evicted_new_frame(&self) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        let tracks = self.evicted.iter().zip(&self.history.tracks);
        tracks.into_iter().any(|(frame, track)| {
            let end_ms = track.last().map_or(i64::MIN, |last| last.at_ms);
            frame.is_some_and(|frame| run.output_time(frame) > end_ms)
        })
    }

    fn reach(&self, run: &Run) -> Reach {
        let mut reach = Reach::End;
        for (index, track) in self.history.tracks.iter().enumerate() {
            let Some(last) = track.last() else {
                continue;
            };
            match run.next[index] {
                Some(next) if next == track.len() => {}
                // It does not come back, and all of the other one would wait for it.
                _ if self.expectation.is_live && run.is_far_past(last.at_ms) => {}
                // It had been over for long.
                None if last.at_ms < run.begin_ms - MAX_LAG_MS => {}
                None if run.new[index] > 0 && self.expectation.is_live => {}
                None if run.new[index] > 0 => return Reach::Missed,
                _ => reach = Reach::Within,
            }
        }
        let least = if self.expectation.is_live { 1 } else { MIN_RUN };
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
        begin.elapsed_ms += step_ms.clamp(0, MAX_LAG_MS);
        if step_ms > 0 {
            begin.latest = timestamp;
        }
        begin.bytes += arrival.payload.len() as u64;
        begin.is_head |= begin.frames < FIRST_FRAMES && self.history.is_head(content);
        begin.frames += 1;
    }

    fn has_exceeded_limits(&self) -> bool {
        let Some(begin) = &self.begin else {
            return false;
        };
        let begins_alike = begin.is_head && !self.expectation.is_live;
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
            next: [None; 2],
            new: [0; 2],
        }
    }

    /// Candidates a frame on the clock, and judges it.
    fn take(
        &mut self,
        history: &Index,
        kind: TagKind,
        timestamp: Timestamp,
        content: Content,
    ) -> (FrameMatch, i64) {
        let at_ms = self.clock.frame(kind, timestamp);
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
        let index = track_of(kind);
        let track = &history.tracks[index];
        let found = match self.next[index] {
            Some(next) => match track.get(next) {
                Some(fingerprints) if fingerprints.is(content, at_ms) => next,
                Some(_) => return FrameMatch::Unknown,
                None => return self.note_new(index),
            },
            None => match track.find(content, at_ms) {
                Some(found) => found,
                None if track.last().is_none_or(|last| last.at_ms < at_ms) => {
                    return self.note_new(index);
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
        self.matched += 1;
        self.next[index] = Some(found + 1);
        FrameMatch::Known
    }

    /// Where a frame is as long as the server's clock does not jump.
    fn output_time(&self, timestamp: Timestamp) -> i64 {
        let (anchor, at_ms) = self.anchor;
        at_ms + i64::from(timestamp.since(anchor))
    }

    /// Whether the run has left this place behind for longer than tracks lie apart.
    fn is_far_past(&self, at_ms: i64) -> bool {
        let position_ms = i64::try_from(self.clock.position_ms()).unwrap_or(i64::MAX);
        self.has_new() && at_ms < position_ms.saturating_sub(MAX_LAG_MS)
    }

    fn note_new(&mut self, track: usize) -> FrameMatch {
        self.new[track] += 1;
        FrameMatch::New
    }

    fn restart(&mut self) {
        self.matched = 0;
        self.next = [None; 2];
    }

    fn has_new(&self) -> bool {
        self.new != [0; 2]
    }
}

/// So many frames in a row prove a matcher; fewer of them where all that was written is no more.
pub(in crate::download) const MIN_RUN: u64 = 8;

/// How far the last frame of one track may be from the frames of the other: a track that is further
/// behind is over.
const MAX_LAG_MS: i64 = 10_000;

/// What may be held back until it shows whether it is new: more than servers send of one track before
/// they send the other, little of the history that a download may take.
const MAX_HELD: usize = 4096;
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

/// How much of a live stream may come before anything of it is recognized. What a server repeats, it
/// repeats first.
const LIVE_LIMIT_MS: i64 = 1_000;

/// The same in bytes, for streams whose clock stands still.
const LIVE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
