//! State of one track.

use super::{
    bit_rate::PeakRate,
    facts::{BitRate, FrameRateFacts, Rational, TimestampFacts, TrackFacts},
    pictures::{Keyframes, PictureOrder},
    sample_clock::SampleClock,
    setup::Setup,
    steps::Steps,
    timeline::{Path, Step},
};
use crate::core::flv::{
    FrameInfo, TagKind, TrackId,
    codec::{AudioPacket, TrackProperties, VideoPacket, video::USUAL_NAL_LENGTH_SIZE},
    frame_info::MediaTrack,
};

/// One track. Its memory does not depend on the length of the stream.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    is_multitrack: bool,
    setup: Setup,
    frames: u64,
    bytes: u64,
    empty_frames: u64,
    malformed_frames: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    path: Path,
    steps: Steps,
    /// Number of steps that are not in `steps`.
    jumps: u64,
    peak: PeakRate,
    keyframes: Keyframes,
    order: PictureOrder,
    samples_per_frame: Option<u32>,
    sample_clock: SampleClock,
}

impl Track {
    pub(super) fn new(id: TrackId) -> Self {
        Self {
            id,
            is_multitrack: false,
            setup: Setup::default(),
            frames: 0,
            bytes: 0,
            empty_frames: 0,
            malformed_frames: 0,
            first_ms: None,
            last_ms: None,
            path: Path::default(),
            steps: Steps::new(),
            jumps: 0,
            peak: PeakRate::default(),
            keyframes: Keyframes::default(),
            order: PictureOrder::default(),
            samples_per_frame: None,
            sample_clock: SampleClock::new(),
        }
    }

    /// Adds a message of the track, or its track of a multitrack message. Returns the facts of this track alone,
    /// and whether its time can be compared with that of the frame before.
    pub(super) fn add(
        &mut self,
        media: &MediaTrack<'_>,
        body: &[u8],
        time_ms: i64,
    ) -> (FrameInfo, bool) {
        let info = media.info(body, self.setup.nal_length_size());
        self.setup.see_codec(media.codec());
        self.setup.see_properties(media, &info);
        if info.is_sequence_header {
            self.setup.see_header(media, self.frames);
        } else if info.carries_media {
            self.setup.see_frame(media);
            let is_malformed = !self.has_complete_units(media);
            self.malformed_frames = self.malformed_frames.saturating_add(is_malformed.into());
            let follows = self.add_frame(&info, time_ms);
            if info.track == TagKind::AUDIO {
                self.count_samples(&info, body, time_ms, follows);
            }
            return (info, follows);
        } else if is_empty_frame(media) {
            self.empty_frames = self.empty_frames.saturating_add(1);
        }
        (info, false)
    }

    /// Sets the properties that the container of the track states.
    pub(super) fn set_container_properties(&mut self, properties: TrackProperties) {
        self.setup.set_container_properties(properties);
    }

    fn count_samples(&mut self, info: &FrameInfo, body: &[u8], time_ms: i64, follows: bool) {
        let sample = info.sample.map(|sample| sample.of(body));
        self.samples_per_frame = sample.and_then(|sample| self.setup.samples(sample));
        if let Some((samples, rate_hz)) =
            self.samples_per_frame.zip(self.setup.samples_per_second())
        {
            self.sample_clock.add(time_ms, samples, rate_hz, follows);
        }
    }

    fn has_complete_units(&self, media: &MediaTrack<'_>) -> bool {
        let length_size = self
            .setup
            .nal_length_size()
            .unwrap_or(USUAL_NAL_LENGTH_SIZE);
        match media {
            MediaTrack::Video(video) => video.has_complete_units(length_size),
            MediaTrack::Audio(_) => true,
        }
    }

    /// Adds a frame that does not parse.
    pub(super) fn add_malformed(&mut self, body: &[u8], time_ms: i64) {
        self.malformed_frames = self.malformed_frames.saturating_add(1);
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(body.len() as u64);
        self.record_time(time_ms);
    }

    /// Adds a message without any byte.
    pub(super) fn add_empty(&mut self) {
        self.empty_frames = self.empty_frames.saturating_add(1);
    }

    pub(super) fn set_multitrack(&mut self) {
        self.is_multitrack = true;
    }

    fn add_frame(&mut self, info: &FrameInfo, time_ms: i64) -> bool {
        self.frames = self.frames.saturating_add(1);
        let bytes = info.sample.map_or(0, |sample| sample.size.into());
        self.bytes = self.bytes.saturating_add(bytes);
        let follows = self.record_time(time_ms);
        if !follows {
            self.peak.restart();
        }
        self.peak.add(time_ms, bytes);
        if info.track == TagKind::VIDEO {
            let composition_ms = info.sample.map_or(0, |sample| sample.composition_ms);
            self.keyframes.add(time_ms, info.is_keyframe, follows);
            self.order.add(time_ms, composition_ms, follows);
        }
        follows
    }

    /// Records the time of a frame, and returns whether it can be compared with the frame before.
    fn record_time(&mut self, time_ms: i64) -> bool {
        self.first_ms.get_or_insert(time_ms);
        self.last_ms = Some(time_ms);
        let progress = self.path.advance(time_ms, self.steps.gap_limit_ms());
        if let Some(gap_ms) = progress.gap_ms {
            // The step was counted as a jump before the next frame confirmed it.
            self.jumps = self.jumps.saturating_sub(1);
            self.steps.record(gap_ms, time_ms);
        }
        match progress.step {
            Step::Forward(step_ms) => self.steps.record(step_ms, time_ms),
            Step::First => self.steps.start_run(time_ms),
            Step::Jump => {
                self.jumps = self.jumps.saturating_add(1);
                self.steps.start_run(time_ms);
            }
        }
        progress.step != Step::Jump
    }

    /// Returns the time from the first to the latest frame, see [`Path::elapsed_ms`].
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.path.elapsed_ms()
    }

    /// Whether the setup, the rate of the frames and, for video, a complete GOP are known.
    pub(super) fn is_complete(&self) -> bool {
        let has_pictures = self.id.kind != TagKind::VIDEO || self.keyframes.has_interval();
        self.is_described() && has_pictures
    }

    /// Whether the setup, the rate of the frames and, for video, a keyframe are known.
    pub(super) fn is_described(&self) -> bool {
        let has_rate = self.steps.count() >= EVIDENT_STEPS;
        let has_picture = self.id.kind != TagKind::VIDEO || self.keyframes.has_keyframe();
        self.setup.is_complete() && has_rate && has_picture
    }

    /// Returns the facts. `announced` is the frame rate in the metadata.
    pub(super) fn facts(&self, announced: Option<f64>) -> TrackFacts {
        let is_video = self.id.kind == TagKind::VIDEO;
        let frame_rate = self.frame_rate(announced);
        let nominal = frame_rate.and_then(|rate| rate.nominal.filter(|_| rate.is_constant()));
        let timescale = nominal.filter(|_| is_video).map(mp4_timescale);
        TrackFacts {
            id: self.id,
            is_multitrack: self.is_multitrack,
            description: None,
            codec: self.setup.codec(),
            codec_changes: self.setup.codec_changes(),
            picture_size: self.setup.picture_size(),
            audio_format: self.setup.audio_format(),
            video: self.setup.video(),
            audio: self.setup.audio(),
            sequence_header: self.setup.sequence_header(self.frames),
            frames: self.frames,
            bytes: self.bytes,
            empty_frames: self.empty_frames,
            malformed_frames: self.malformed_frames,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            media_ms: self.media_ms(frame_rate),
            bit_rate: self.bit_rate(),
            frame_rate,
            keyframes: is_video.then(|| self.keyframes.facts(self.last_ms)),
            reordering: is_video.then(|| self.order.facts()),
            timestamps: self.timestamps(),
            samples_per_frame: self.samples_per_frame,
            sample_drift: self.sample_clock.drift(),
            mp4: self.setup.mp4(timescale),
        }
    }

    fn frame_rate(&self, announced: Option<f64>) -> Option<FrameRateFacts> {
        let announced = announced.or_else(|| self.setup.announced_rate());
        self.steps.frame_rate(self.jumps, announced)
    }

    fn bit_rate(&self) -> BitRate {
        let (sum_ms, steps) = self.steps.without_gaps();
        // The frame before a gap has the mean length of the others.
        let duration_ms = sum_ms as f64 * self.frames as f64 / steps as f64;
        BitRate {
            mean: (sum_ms > 0).then(|| self.bytes as f64 * 8000.0 / duration_ms),
            peak: self.peak.largest(),
        }
    }

    /// Returns the time from the first frame to the end of the latest one, whose length is the usual step.
    fn media_ms(&self, frame_rate: Option<FrameRateFacts>) -> u64 {
        let length_ms = frame_rate.map_or(0, |rate| rate.median_step_ms);
        self.path.elapsed_ms().saturating_add(length_ms)
    }

    fn timestamps(&self) -> TimestampFacts {
        let facts = self.path.facts();
        let (gaps, longest_gap_ms) = self.steps.gaps();
        TimestampFacts {
            gaps: facts.gaps.saturating_add(gaps),
            longest_gap_ms: facts.longest_gap_ms.max(longest_gap_ms),
            ..facts
        }
    }
}

/// Whether a track of a message is a coded frame without data.
fn is_empty_frame(media: &MediaTrack<'_>) -> bool {
    match media {
        MediaTrack::Audio(track) => {
            track.packet == AudioPacket::CODED_FRAMES && track.body.is_empty()
        }
        MediaTrack::Video(track) => {
            let is_coded = [VideoPacket::CODED_FRAMES, VideoPacket::CODED_FRAMES_X];
            is_coded.contains(&track.packet) && track.body.is_empty()
        }
    }
}

/// Returns the timescale of a video track with this frame rate: a multiple of 1000, see
/// [`crate::core::mp4::frame_rate`].
fn mp4_timescale(rate: Rational) -> u32 {
    match rate.numerator.is_multiple_of(1000) {
        true => rate.numerator,
        false => rate.numerator.saturating_mul(1000),
    }
}

/// Number of steps that are evidence of a rate.
const EVIDENT_STEPS: u64 = 8;
