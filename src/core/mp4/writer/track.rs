//! One track of a file, and its frames that wait for the end of the fragment.

use std::collections::VecDeque;

use super::{Frame, clock::Clock};
use crate::core::{
    flv::{FrameInfo, TagKind},
    mp4::{
        fragment::{Run, Sample},
        frame_rate::{FrameRate, MILLISECONDS},
        movie::MovieTrack,
        sample_entry::{FrameLength, SampleEntry},
    },
    payload::Pool,
};

/// One track, and its frames that wait for the end of the fragment.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) kind: TagKind,
    /// Id of the track in the stream; 0 is the main track.
    pub(super) stream_id: u8,
    /// Size of the length field before each NAL unit, if a sequence header contained it.
    pub(super) nal_length_size: Option<u8>,
    pub(super) movie: MovieTrack,
    clock: Clock,
    /// Whether frames were announced.
    pub(super) has_frames: bool,
    /// Whether the frame length of the entry is final. The setup of a reopened file may not contain it.
    pub(super) has_frame_length: bool,
    pub(super) held: VecDeque<Held>,
    /// Number of held frames that have a time in ticks.
    timed: usize,
    /// Samples of the frames, one after another, after [`HEADROOM`] bytes for the boxes before them. Empty
    /// before the first frame.
    pub(super) samples: Vec<u8>,
    /// Time of the file at which the times of the track start, in milliseconds.
    base_ms: u64,
    /// Ticks between the latest two frames.
    interval: Option<u32>,
    /// Duration of a frame in ticks, if the frame rate is constant.
    frame_ticks: Option<u32>,
    /// Whether the setup with the timescale is written.
    has_timescale: bool,
}

/// A frame without its duration, which the next frame of the track determines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) info: FrameInfo,
    pub(super) at_ms: u64,
    pub(super) time_ms: u64,
    /// Presentation time minus decoding time in milliseconds.
    composition_ms: i32,
    size: u32,
    /// Decoding time in ticks, and the composition offset, once the timescale is known.
    ticks: u64,
    composition_offset: i32,
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
            has_timescale: true,
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
            timed: 0,
            base_ms: 0,
            interval: None,
            frame_ticks: None,
            has_timescale: false,
        }
    }

    /// Whether a frame with these facts belongs to the track.
    pub(super) fn is_of(&self, info: FrameInfo) -> bool {
        self.kind == info.track && self.stream_id == info.track_id
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
        self.movie.entry = entry;
        self.has_timescale = false;
    }

    /// Holds a frame, which is a slice of the message with these facts.
    pub(super) fn hold(
        &mut self,
        info: FrameInfo,
        frame: &Frame,
        sample: &[u8],
        composition_ms: i32,
        pool: &mut Pool,
    ) {
        if self.samples.is_empty() {
            let needed = sample.len().saturating_add(HEADROOM);
            self.samples = pool.take(needed).into_bytes();
            self.samples.resize(HEADROOM, 0);
            self.samples.reserve_exact(sample.len());
        }
        self.samples.extend_from_slice(sample);
        self.held.push_back(Held {
            info,
            at_ms: frame.at_ms,
            time_ms: frame.time_ms,
            composition_ms,
            size: u32::try_from(sample.len()).unwrap_or(u32::MAX),
            ticks: 0,
            composition_offset: 0,
            length: self.movie.entry.frame_length.of(sample),
        });
    }

    /// Converts the times of the held frames to ticks. The first call decides the timescale of a video track,
    /// which must be followed by the setup: `announced` is the frame rate that the server announced.
    pub(super) fn set_ticks(&mut self, announced: Option<FrameRate>) {
        let announced = self.movie.entry.frame_rate.or(announced);
        match self.kind {
            TagKind::VIDEO if self.has_timescale => self.follow_frame_rate(announced),
            TagKind::VIDEO => self.choose_timescale(announced),
            _ if self.has_timescale => {}
            _ => self.use_timescale(self.movie.entry.timescale),
        }
        let timed = std::mem::replace(&mut self.timed, self.held.len());
        for held in self.held.iter_mut().skip(timed) {
            if self.kind == TagKind::VIDEO {
                held.length = self.frame_ticks;
            }
            // E-RTMP "TimestampOffsetNano". The frame rate makes the times of video more exact than this.
            let nano_ns = match self.kind {
                TagKind::AUDIO => held.info.nano_offset_ns,
                _ => 0,
            };
            held.ticks = self.clock.next_at(held.time_ms, nano_ns, held.length);
            if self.kind == TagKind::VIDEO {
                held.composition_offset =
                    self.clock
                        .composition(held.ticks, held.shown_ms(), held.length);
            }
        }
    }

    /// Chooses the timescale of the frame rate, or else milliseconds.
    fn choose_timescale(&mut self, announced: Option<FrameRate>) {
        let found = FrameRate::find(self.untimed_ms(), announced, None);
        let is_evident = self.untimed_ms().count() >= EVIDENT_FRAMES;
        let rate = found.or_else(|| announced.filter(|_| !is_evident));
        // A rate that the first frames contradict may be that of later ones.
        let timescale = rate
            .or(announced)
            .map_or(MILLISECONDS, |rate| rate.timescale);
        self.use_timescale(timescale);
        self.frame_ticks = rate.map(|rate| rate.ticks);
    }

    fn use_timescale(&mut self, timescale: u32) {
        let media_start = self.movie.media_start;
        self.movie.media_start = rescale(media_start, self.movie.entry.timescale, timescale);
        self.movie.entry.timescale = timescale;
        self.has_timescale = true;
        self.clock = Clock::new(timescale);
        self.interval = None;
    }

    /// Keeps the frame rate if it explains the times of the frames, except after one gap. Otherwise looks for
    /// another one.
    fn follow_frame_rate(&mut self, announced: Option<FrameRate>) {
        let disagreeing = self.frame_ticks.map(|_| self.disagreeing_frames());
        if disagreeing == Some(0) {
            return;
        }
        let timescale = self.movie.entry.timescale;
        let found = FrameRate::find(self.untimed_ms(), announced, Some(timescale));
        let is_evident = self.untimed_ms().count() >= EVIDENT_FRAMES;
        if found.is_some() || is_evident && disagreeing > Some(1) {
            self.frame_ticks = found.map(|rate| rate.ticks);
            self.clock.set_length(self.frame_ticks);
        }
    }

    /// Number of frames without ticks that would not get an exact time.
    fn disagreeing_frames(&self) -> usize {
        let mut clock = self.clock;
        let disagrees = |time_ms: &u64| {
            let is_exact = clock.is_exact(*time_ms);
            clock.next(*time_ms, self.frame_ticks);
            !is_exact
        };
        self.untimed_ms().filter(disagrees).count()
    }

    fn untimed_ms(&self) -> impl Iterator<Item = u64> + Clone {
        self.held.iter().skip(self.timed).map(|held| held.time_ms)
    }

    /// Sets the time at which the movie starts, after [`Track::set_ticks`].
    pub(super) fn set_origin(&mut self, origin_ms: u64) {
        let first = self.held.front().filter(|_| self.kind == TagKind::VIDEO);
        let first_ms = first.map_or(origin_ms, |held| held.time_ms);
        self.base_ms = origin_ms.min(first_ms);
        // A later origin is the time at which the first picture is shown.
        let is_shown_later = origin_ms > first_ms;
        let offset = first
            .filter(|_| is_shown_later)
            .map(|held| held.composition_offset);
        self.movie.media_start = offset.map_or(0, |offset| u64::try_from(offset).unwrap_or(0));
    }

    /// Whether [`Track::take_run`] finds frames.
    pub(super) fn has_run(&self, is_last: bool) -> bool {
        self.held.len() > usize::from(!is_last)
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
            self.timed = self.timed.saturating_sub(1);
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
    /// well. `spare` is a buffer for the next samples.
    pub(super) fn take_samples(&mut self, buffer: &mut Vec<u8>, spare: &mut Option<Vec<u8>>) {
        let held: usize = self.held.iter().map(|held| held.size as usize).sum();
        let end = self.samples.len().saturating_sub(held);
        if buffer.is_empty() && held == 0 {
            // The size of the next frame selects its buffer.
            *buffer = std::mem::take(&mut self.samples);
        } else if buffer.is_empty() {
            // The next fragment probably has a similar size. A buffer that waits for the reader of a pipe uses
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

    /// Presentation time in milliseconds.
    pub(super) fn shown_ms(&self) -> i64 {
        let time_ms = i64::try_from(self.time_ms).unwrap_or(i64::MAX);
        time_ms.saturating_add(self.composition_ms.into())
    }
}

fn rescale(ticks: u64, from: u32, to: u32) -> u64 {
    let product = u128::from(ticks).saturating_mul(to.into());
    let rescaled = product.checked_div(from.into()).unwrap_or(0);
    u64::try_from(rescaled).unwrap_or(u64::MAX)
}

/// Number of frames that decide whether their rate is constant.
const EVIDENT_FRAMES: usize = 5;

/// Space for the boxes before the samples of a fragment: enough for 500 frames and the tracks.
pub(super) const HEADROOM: usize = 16 * 1024;
