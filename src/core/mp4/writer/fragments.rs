//! Collects frames until their fragment ends, and builds the fragment.

use std::cmp::Reverse;

use super::{
    Frame, MAIN_TRACK, Writer, is_media,
    track::{HEADROOM, Held, Track},
};
use crate::core::{
    flv::{FrameInfo, TagKind, frame_info::media_tracks},
    mp4::{fragment::put_fragment, movie::put_initial},
    payload::Payload,
};

/// A complete fragment, to append to the file.
#[derive(Debug)]
pub struct Fragment {
    /// Buffer of the boxes.
    pub buffer: Vec<u8>,
    /// Number of bytes in the buffer before the fragment.
    pub unused: usize,
    /// Facts of the first video frame, or of the first audio frame without video.
    pub info: FrameInfo,
    /// Output time of that frame in milliseconds.
    pub at_ms: u64,
    /// Number of frames.
    pub frames: u32,
}

impl Writer {
    /// Adds a message that was admitted. Complete fragments are added to `fragments`, and the payload to
    /// `spent`.
    pub fn push(&mut self, frame: Frame, fragments: &mut Vec<Fragment>, spent: &mut Vec<Payload>) {
        let (info, time_ms) = (frame.info, frame.time_ms);
        let mut is_held = false;
        if info.is_multitrack {
            for track in media_tracks(info.track, &frame.payload) {
                let mut info = self.info(&track, &frame.payload);
                info.nano_offset_ns = frame.info.nano_offset_ns;
                is_held |= self.hold(info, &frame);
            }
        } else {
            is_held = self.hold(info, &frame);
        }
        spent.push(frame.payload);
        if !is_held {
            return;
        }
        let start_ms = *self.fragment_start_ms.get_or_insert(time_ms);
        let elapsed_ms = time_ms.saturating_sub(start_ms);
        let is_full =
            self.held_bytes >= MAX_FRAGMENT_BYTES || self.held_frames >= MAX_FRAGMENT_FRAMES;
        if is_full || !self.expects_first_frame(elapsed_ms) && self.is_end(info, elapsed_ms) {
            let is_immediate = self.options.fragment_ms == 0;
            self.close_fragment(is_immediate, fragments);
            self.fragment_start_ms = Some(time_ms);
        }
    }

    /// Adds all frames that wait to `fragments`: no frame follows.
    pub fn finish(&mut self, fragments: &mut Vec<Fragment>) {
        self.close_fragment(true, fragments);
        self.fragment_start_ms = None;
    }

    /// Accepts the buffer of a written fragment for reuse: a new one for each fragment would cost more time
    /// than copying the samples.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        match self.options.fragment_ms {
            0 => self.pool.put(Payload::reuse(buffer)),
            _ => self.spare = Some(buffer),
        }
    }

    /// Returns the size of the frames that wait for their fragment.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Holds a frame of one track until its fragment ends. Returns whether the message has a frame.
    fn hold(&mut self, info: FrameInfo, frame: &Frame) -> bool {
        let Some(position) = info.sample.filter(|_| info.carries_media) else {
            self.report_left_out(info);
            return false;
        };
        let sample = position.of(&frame.payload);
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|track| track.is_of(info)) else {
            return false;
        };
        track.hold(info, frame, sample, position.composition_ms, &mut self.pool);
        self.held_bytes = self.held_bytes.saturating_add(sample.len() as u64);
        self.held_frames = self.held_frames.saturating_add(1);
        true
    }

    /// Reports a frame whose sample is not known, once per file.
    fn report_left_out(&mut self, info: FrameInfo) {
        let is_frame = is_media(info.track) && info.carries_media && !info.is_sequence_header;
        if is_frame && !std::mem::replace(&mut self.has_warned_of_frame, true) {
            tracing::warn!(
                "a damaged {} frame is left out of the MP4 file, and so is every further one; \
                 FLV files keep them",
                info.track
            );
        }
    }

    /// Whether the next fragment starts with a frame of these facts.
    ///
    /// A fragment that starts with a keyframe can be played alone, and a reader can continue with it after a
    /// gap. Sound that arrives before a keyframe must not end the fragment instead. A fragment is short only if a
    /// keyframe ends one that did not start with a keyframe.
    fn is_end(&self, info: FrameInfo, elapsed_ms: u64) -> bool {
        let limit_ms = self.options.fragment_ms;
        let is_main =
            info.track == TagKind::VIDEO && (info.track_id == MAIN_TRACK || info.is_keyframe);
        let is_video = |track: &Track| track.kind == TagKind::VIDEO && !track.held.is_empty();
        let patience_ms = match self.tracks.iter().any(is_video) {
            true if !is_main => limit_ms.wrapping_div(4),
            _ => 0,
        };
        let quarter_ms = limit_ms.wrapping_div(4);
        // The first fragment decides the timescale: the rates 30000/1001 and 30 differ by 1 ms in a second.
        let least_ms = match self.has_setup {
            true => quarter_ms,
            false => limit_ms.saturating_sub(quarter_ms),
        };
        let first = self
            .track_of(info)
            .and_then(|track| track.held.front())
            .filter(|_| info.track_id == MAIN_TRACK);
        let lacks_keyframe = first.is_some_and(|held| !held.info.is_keyframe);
        let is_start = info.is_keyframe && (lacks_keyframe || elapsed_ms >= least_ms);
        is_start || elapsed_ms >= limit_ms.saturating_add(patience_ms)
    }

    /// Whether the first frame of a track may still decide when the movie starts.
    fn expects_first_frame(&self, elapsed_ms: u64) -> bool {
        let is_expected = |track: &Track| track.held.is_empty();
        self.origin_ms.is_none()
            && elapsed_ms < MAX_TRACK_DISTANCE_MS
            && self.tracks.iter().any(is_expected)
    }

    /// Ends the current fragment. `is_last` means that it contains the latest frame of each track as well,
    /// whose duration is estimated. Otherwise the next fragment starts with it.
    fn close_fragment(&mut self, is_last: bool, fragments: &mut Vec<Fragment>) {
        if !self.tracks.iter().any(|track| track.has_run(is_last)) {
            return;
        }
        for track in &mut self.tracks {
            track.set_ticks(self.announced_rate);
        }
        self.set_origin();
        // The samples of the largest track stay in their buffer.
        let mut tracks: Vec<&mut Track> = self.tracks.iter_mut().collect();
        tracks.sort_by_key(|track| Reverse(track.samples.len()));
        let (mut runs, mut first, mut buffer) = (Vec::new(), None::<Held>, Vec::new());
        for track in tracks {
            let frame = track.take_run(is_last, &mut runs);
            first = first.into_iter().chain(frame).min_by_key(Held::rank);
            track.take_samples(&mut buffer, &mut self.spare);
        }
        let Some(first) = first else {
            return;
        };
        let mut boxes = std::mem::take(&mut self.scratch);
        boxes.clear();
        if !std::mem::replace(&mut self.has_setup, true) {
            self.set_colors();
            let tracks = self.tracks.iter().map(|track| &track.movie);
            put_initial(&mut boxes, tracks, &self.options.description);
        }
        self.number = self.number.saturating_add(1);
        put_fragment(&mut boxes, self.number, &mut runs);
        let frames = runs.iter().map(|run| run.samples.len()).sum::<usize>();
        let data = buffer.len().saturating_sub(HEADROOM) as u64;
        self.held_bytes = self.held_bytes.saturating_sub(data);
        self.held_frames = self.held_frames.saturating_sub(frames);
        let mut info = first.info;
        info.is_keyframe &= info.track_id == MAIN_TRACK;
        let unused = put_before(&mut buffer, &boxes);
        self.scratch = boxes;
        fragments.push(Fragment {
            unused,
            buffer,
            info,
            at_ms: first.at_ms,
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
        });
    }

    /// Decides when the movie starts.
    ///
    /// If frames are reordered, the first picture is shown after it is decoded. If it is shown before the first
    /// sound, the movie starts with it, and an edit list skips the time in between. Otherwise the movie starts
    /// with the first frame of any track, and sound may be delayed: players show an empty edit of video as a
    /// black picture, and ffmpeg expects an edit of video to start at a picture.
    fn set_origin(&mut self) {
        if self.origin_ms.is_some() {
            return;
        }
        let first = |kind| {
            let tracks = self.tracks.iter().filter(move |track| track.kind == kind);
            tracks.filter_map(|track| track.held.front())
        };
        // No sound may start before the movie. The main video track, which is the first one, decides when it is
        // shown.
        let sound_ms = first(TagKind::AUDIO).map(|held| held.time_ms).min();
        let first = |kind| first(kind).next();
        let decoded_ms = first(TagKind::VIDEO).map(|held| held.time_ms);
        let shown_ms = first(TagKind::VIDEO).map(|held| {
            let shown_ms = u64::try_from(held.shown_ms()).unwrap_or(0);
            held.time_ms.max(shown_ms)
        });
        let origin_ms = match (shown_ms, sound_ms) {
            (Some(shown_ms), None) => shown_ms,
            (Some(shown_ms), Some(sound_ms)) if shown_ms <= sound_ms => shown_ms,
            (_, Some(sound_ms)) => decoded_ms.unwrap_or(sound_ms).min(sound_ms),
            (None, None) => return,
        };
        self.origin_ms = Some(origin_ms);
        for track in &mut self.tracks {
            track.set_origin(origin_ms);
        }
    }
}

/// Writes `boxes` before the data in a buffer with [`HEADROOM`], and returns the number of bytes before them.
fn put_before(buffer: &mut Vec<u8>, boxes: &[u8]) -> usize {
    let unused = HEADROOM.saturating_sub(boxes.len());
    match buffer.get_mut(unused..HEADROOM) {
        Some(headroom) if headroom.len() == boxes.len() => headroom.copy_from_slice(boxes),
        _ => drop(buffer.splice(..HEADROOM.min(buffer.len()), boxes.iter().copied())),
    }
    unused
}

/// Size at which a fragment ends early, so that a fast stream does not need much memory.
const MAX_FRAGMENT_BYTES: u64 = 4 << 20;

/// Number of frames at which a fragment ends early. A server that sends tiny frames with the same timestamp
/// would otherwise fill the memory. The latest frame of each track stays, of 512 tracks at most.
const MAX_FRAGMENT_FRAMES: usize = 10_000;

/// Largest distance of the first frames of both tracks.
const MAX_TRACK_DISTANCE_MS: u64 = 1000;
