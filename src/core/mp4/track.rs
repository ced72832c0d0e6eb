//! One track of a file, and its frames that wait for the end of the fragment.

use std::collections::VecDeque;

use super::{
    clock::Clock,
    fragment::{Run, Sample},
    movie::MovieTrack,
    sample_entry::{FrameLength, SampleEntry},
    writer::Frame,
};
use crate::core::flv::{FrameInfo, TagKind};

/// One track, and its frames that wait for the end of the fragment.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) kind: TagKind,
    /// Id of the track in the stream; 0 is the main track.
    pub(super) stream_id: u8,
    /// Size of the length before each NAL unit, if a sequence header contained it.
    pub(super) nal_length_size: Option<u8>,
    pub(super) movie: MovieTrack,
    clock: Clock,
    /// Whether frames were announced.
    pub(super) has_frames: bool,
    /// Whether the frame length of the entry is final. The setup of a reopened file may not contain it.
    pub(super) has_frame_length: bool,
    pub(super) held: VecDeque<Held>,
    /// Samples of the frames, one after another, after [`HEADROOM`] bytes for the boxes before them. Empty
    /// before the first frame.
    pub(super) samples: Vec<u8>,
    /// Time of the file at which the times of the track start, in milliseconds.
    base_ms: u64,
    /// Ticks between the latest two frames.
    interval: Option<u32>,
}

/// A frame without its duration, which the next frame of the track determines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) info: FrameInfo,
    pub(super) at_ms: u64,
    pub(super) time_ms: u64,
    pub(super) size: u32,
    /// Decoding time in ticks.
    pub(super) ticks: u64,
    pub(super) composition_offset: i32,
    length: Option<u32>,
}

impl Track {
    pub(super) fn new(id: u32, entry: SampleEntry, base_ms: u64) -> Self {
        Self {
            base_ms,
            ..Self::of(MovieTrack::new(id, entry))
        }
    }

    /// Creates the track of a reopened file whose movie starts at `origin_ms`.
    pub(super) fn reopen(movie: MovieTrack, origin_ms: u64) -> Self {
        let is_video = movie.entry.is_video();
        Self {
            has_frames: true,
            has_frame_length: movie.entry.has_frame_length(),
            base_ms: if is_video { 0 } else { origin_ms },
            ..Self::of(movie)
        }
    }

    fn of(movie: MovieTrack) -> Self {
        Self {
            kind: match movie.entry.is_video() {
                true => TagKind::VIDEO,
                false => TagKind::AUDIO,
            },
            stream_id: movie.stream_track().id,
            nal_length_size: None,
            clock: Clock::new(movie.entry.timescale),
            movie,
            has_frames: false,
            has_frame_length: true,
            held: VecDeque::new(),
            samples: Vec::new(),
            base_ms: 0,
            interval: None,
        }
    }

    /// Whether a run of a reopened file lies after the runs before it.
    pub(super) fn can_continue_with(&self, run: &Run) -> bool {
        let base = self.clock.ticks(self.base_ms);
        let start = run.start.saturating_add(base);
        !run.samples.is_empty() && self.clock.latest().is_none_or(|latest| latest < start)
    }

    /// Continues the times after a run of a reopened file.
    pub(super) fn continue_after(&mut self, run: &Run) {
        let Some(last) = run.samples.last() else {
            return;
        };
        let base = self.clock.ticks(self.base_ms);
        let start = run.end().saturating_sub(last.duration.into());
        let has_length = self.movie.entry.frame_length != FrameLength::Unknown;
        let length = Some(last.duration).filter(|_| has_length);
        self.clock.resume(start.saturating_add(base), length);
        self.interval = Some(last.duration);
    }

    /// Returns the output time of a decoding time, in milliseconds.
    pub(super) fn output_ms(&self, ticks: u64) -> u64 {
        self.movie.milliseconds(ticks).saturating_add(self.base_ms)
    }

    /// Sets another decoder setup, before any frame is written with the old one.
    pub(super) fn replace(&mut self, entry: SampleEntry) {
        self.clock = Clock::new(entry.timescale);
        self.movie.entry = entry;
        self.interval = None;
    }

    /// Holds a frame: a part of the message with these facts.
    pub(super) fn hold(
        &mut self,
        info: FrameInfo,
        frame: &Frame,
        sample: &[u8],
        composition_ms: i32,
    ) {
        let length = self.movie.entry.frame_length.of(sample);
        // E-RTMP "TimestampOffsetNano" shifts the presentation. Video has ticks of a millisecond, which are longer.
        let is_audio = self.kind == TagKind::AUDIO;
        let nano_ns = if is_audio { info.nano_offset_ns } else { 0 };
        let ticks = self.clock.next_at(frame.time_ms, nano_ns, length);
        // The clock moves times that repeat or step back. The time of the presentation stays.
        let moved = ticks.saturating_sub(self.clock.ticks(frame.time_ms));
        let moved = i32::try_from(moved).unwrap_or(0);
        let is_video = self.kind == TagKind::VIDEO;
        if self.samples.is_empty() {
            self.samples.resize(HEADROOM, 0);
        }
        self.samples.extend_from_slice(sample);
        self.held.push_back(Held {
            info,
            at_ms: frame.at_ms,
            time_ms: frame.time_ms,
            size: u32::try_from(sample.len()).unwrap_or(u32::MAX),
            ticks,
            composition_offset: if is_video {
                composition_ms.saturating_sub(moved)
            } else {
                0
            },
            length,
        });
    }

    pub(super) fn set_origin(&mut self, origin_ms: u64) {
        let first = self.held.front().map(|held| held.time_ms);
        self.base_ms = match first {
            Some(first_ms) if self.kind == TagKind::VIDEO => origin_ms.min(first_ms),
            _ => origin_ms,
        };
        let skipped_ms = origin_ms.saturating_sub(self.base_ms);
        self.movie.media_start = self.clock.ticks(skipped_ms);
    }

    /// Adds the run of the current fragment to `runs`, and returns its first frame. [`Track::take_samples`]
    /// must follow.
    pub(super) fn take_run(&mut self, is_last: bool, runs: &mut Vec<Run>) -> Option<Held> {
        let count = self.held.len().saturating_sub(usize::from(!is_last));
        let base = self.clock.ticks(self.base_ms);
        let first = *self.held.front().filter(|_| count > 0)?;
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let held = self.held.pop_front()?;
            let ticks = held.ticks.saturating_sub(base);
            let next = self
                .held
                .front()
                .map(|next| next.ticks.saturating_sub(base));
            let duration = match next {
                Some(next) => u32::try_from(next.saturating_sub(ticks)).unwrap_or(u32::MAX),
                None => self.estimate(&held),
            };
            self.interval = Some(duration);
            samples.push(Sample {
                duration,
                size: held.size,
                is_sync: held.info.is_keyframe || self.kind != TagKind::VIDEO,
                composition_offset: held.composition_offset,
            });
        }
        runs.push(Run {
            track: self.movie.id,
            start: first.ticks.saturating_sub(base),
            offset: 0,
            samples,
        });
        Some(first)
    }

    /// Moves the samples before those of the held frames to `buffer`. An empty buffer gets the headroom as
    /// well.
    pub(super) fn take_samples(&mut self, buffer: &mut Vec<u8>, spare: &mut Option<Vec<u8>>) {
        let held: usize = self.held.iter().map(|held| held.size as usize).sum();
        let end = self.samples.len().saturating_sub(held);
        if buffer.is_empty() {
            // The next fragment probably has a similar size. A buffer that does not return, in a pipe, uses
            // no more memory than necessary.
            let usual = end.saturating_add(end.wrapping_div(8));
            let mut next = spare.take().unwrap_or_else(|| {
                self.samples.shrink_to(usual);
                Vec::with_capacity(usual)
            });
            next.clear();
            next.resize(HEADROOM, 0);
            next.extend_from_slice(self.samples.get(end..).unwrap_or_default());
            self.samples.truncate(end);
            *buffer = std::mem::replace(&mut self.samples, next);
        } else {
            buffer.extend_from_slice(self.samples.get(HEADROOM..end).unwrap_or_default());
            self.samples.drain(HEADROOM.min(end)..end);
        }
    }

    /// Returns the probable duration of the latest frame in ticks.
    fn estimate(&self, held: &Held) -> u32 {
        let usual = self.movie.entry.timescale.wrapping_div(25);
        held.length.or(self.interval).unwrap_or(usual)
    }
}

impl Held {
    /// Order in which frames represent their fragment: the main video track first, audio last.
    pub(super) fn rank(&self) -> (bool, u8) {
        (self.info.track != TagKind::VIDEO, self.info.track_id)
    }
}

/// Space for the boxes before the samples of a fragment: enough for 500 frames and the tracks.
pub(super) const HEADROOM: usize = 16 * 1024;
