//! Results of the analysis, as plain data.

use super::{
    comparison::Comparison,
    finding::{Finding, Severity},
};
use crate::core::{
    flv::{
        TrackDescription, TrackId,
        codec::{AudioDescription, AudioFormat, PictureSize, VideoDescription},
        frame_info::Codec,
    },
    mp4::Unsupported,
};

/// Facts of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamFacts {
    /// Tracks in the order in which they appeared.
    pub tracks: Vec<TrackFacts>,
    /// Number of tracks that were not analyzed, because the stream has more than [`super::MAX_TRACKS`].
    pub omitted_tracks: u32,
    /// Numbers of messages.
    pub messages: MessageCounts,
    /// Time from the earliest frame to the end of the latest one, in milliseconds.
    pub media_ms: u64,
    /// Whether `onMetaData` arrived.
    pub has_metadata: bool,
    /// Members of `onMetaData` next to the actual values, in the order of [`super::comparison`].
    pub metadata: Vec<Comparison>,
    /// Health of the stream and of its delivery.
    pub health: Health,
    /// Findings, in the order of their codes.
    pub findings: Vec<Finding>,
}

impl StreamFacts {
    /// Returns the track with this id.
    pub fn track(&self, id: TrackId) -> Option<&TrackFacts> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Returns the first video track with frames, or else the first video track.
    pub fn video(&self) -> Option<&TrackFacts> {
        self.first(TrackFacts::is_video)
    }

    /// Returns the first audio track with frames, or else the first audio track.
    pub fn audio(&self) -> Option<&TrackFacts> {
        self.first(|track| !track.is_video())
    }

    /// Returns the severity of the worst finding.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    fn first(&self, is_kind: impl Fn(&TrackFacts) -> bool) -> Option<&TrackFacts> {
        let tracks = || self.tracks.iter().filter(|track| is_kind(track));
        tracks()
            .find(|track| track.frames > 0)
            .or_else(|| tracks().next())
    }
}

/// Numbers of messages by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageCounts {
    /// Audio messages, including sequence headers.
    pub audio: u64,
    /// Video messages, including sequence headers.
    pub video: u64,
    /// Script messages.
    pub script: u64,
    /// Bytes of the bodies of all messages.
    pub bytes: u64,
}

/// Facts of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFacts {
    /// Audio or video, and the id of the track.
    pub id: TrackId,
    /// Whether the track arrived in multitrack messages.
    pub is_multitrack: bool,
    /// Language and name, if `onMetaData` describes the track.
    pub description: Option<TrackDescription>,
    /// Codec of the latest message that names one.
    pub codec: Option<Codec>,
    /// Number of times that the codec changed.
    pub codec_changes: u32,
    /// Size of the picture.
    pub picture_size: Option<PictureSize>,
    /// Sample rate and channels of decoded audio.
    pub audio_format: Option<AudioFormat>,
    /// Properties of the video in the container, the sequence header and the keyframes; `None` for audio.
    pub video: Option<VideoDescription>,
    /// Properties of the audio in the container, the sequence header and the frames; `None` for video.
    pub audio: Option<AudioDescription>,
    /// Setup of the decoder.
    pub sequence_header: SequenceHeader,
    /// Number of frames, including those that do not parse.
    pub frames: u64,
    /// Bytes of the coded frames, without the headers of their messages.
    pub bytes: u64,
    /// Messages for a coded frame that contain no data.
    pub empty_frames: u64,
    /// Frames that do not parse: the header of the message is damaged, or the NAL units do not fill the frame.
    pub malformed_frames: u64,
    /// Time of the first frame in milliseconds, on the clock of the server.
    pub first_ms: Option<i64>,
    /// Time of the latest frame in milliseconds. The clock of [`TrackFacts::first_ms`] continues without wrapping.
    pub last_ms: Option<i64>,
    /// Time from the first frame to the end of the latest one, in milliseconds. Steps back and stray frames do not
    /// change it.
    pub media_ms: u64,
    /// Bit rate of the coded frames.
    pub bit_rate: BitRate,
    /// Frame rate by timestamps; `None` with fewer than two frames.
    pub frame_rate: Option<FrameRateFacts>,
    /// Keyframes; `None` for audio.
    pub keyframes: Option<KeyframeFacts>,
    /// Order of the pictures; `None` for audio.
    pub reordering: Option<Reordering>,
    /// Irregular timestamps.
    pub timestamps: TimestampFacts,
    /// Number of samples in the audio frames; `None` for video, and if the codec does not define it.
    pub samples_per_frame: Option<u32>,
    /// Drift of the timestamps against the number of samples; positive if the timestamps are faster.
    pub sample_drift: Option<Drift>,
    /// Whether an MP4 file can hold the track.
    pub mp4: Mp4Support,
}

impl TrackFacts {
    /// Whether this is a video track.
    pub fn is_video(&self) -> bool {
        self.id.kind == crate::core::flv::TagKind::VIDEO
    }
}

/// Setup of the decoder of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SequenceHeader {
    /// The codec does not need one, and none arrived.
    #[default]
    NotNeeded,
    /// The codec needs one, and none arrived.
    Missing,
    /// At least one arrived.
    Received {
        /// Number of frames before the first one.
        frames_before: u64,
        /// Number of headers that differ from the header before.
        changes: u64,
        /// Whether the latest one does not parse.
        is_damaged: bool,
    },
}

/// Bit rate by timestamps, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BitRate {
    /// Mean over the frames, without gaps; `None` with fewer than two times.
    pub mean: Option<f64>,
    /// Largest mean over one second; `None` before a complete second.
    pub peak: Option<f64>,
}

/// Frame rate of a track, by timestamps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameRateFacts {
    /// Mean frames per second, without gaps.
    pub mean: f64,
    /// Rate that explains the timestamps of regular frames within the rounding to milliseconds.
    pub nominal: Option<Rational>,
    /// Median step between two timestamps, in milliseconds.
    pub median_step_ms: u64,
    /// Number of steps between two frames.
    pub steps: u64,
    /// Number of steps that differ from the step of the nominal rate by more than the rounding. Without a nominal
    /// rate, they are compared with the median step.
    pub odd_steps: u64,
}

impl FrameRateFacts {
    /// Whether nearly all steps agree with one rate.
    pub fn is_constant(&self) -> bool {
        self.odd_steps <= FEW_ODD_STEPS || self.odd_share() <= MAX_ODD_SHARE
    }

    /// Returns the share of the odd steps, 0 to 1.
    pub fn odd_share(&self) -> f64 {
        match self.steps {
            0 => 0.0,
            steps => self.odd_steps as f64 / steps as f64,
        }
    }

    /// Returns the nominal frames per second if the rate is constant, or else the mean.
    pub fn frames_per_second(&self) -> f64 {
        let nominal = self.nominal.filter(|_| self.is_constant());
        nominal.map_or(self.mean, Rational::to_f64)
    }
}

/// A fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    /// Number above the line.
    pub numerator: u32,
    /// Number below the line; never 0.
    pub denominator: u32,
}

impl Rational {
    /// Returns the fraction in lowest terms; `None` if `denominator` is 0.
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        let (mut divisor, mut rest) = (numerator, denominator);
        while rest != 0 {
            (divisor, rest) = (rest, divisor.checked_rem(rest)?);
        }
        Some(Self {
            numerator: numerator.checked_div(divisor)?,
            denominator: denominator
                .checked_div(divisor)
                .filter(|_| denominator > 0)?,
        })
    }

    /// Returns the value as a decimal number.
    pub fn to_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// Keyframes of a video track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyframeFacts {
    /// Number of keyframes.
    pub count: u64,
    /// Number of frames before the first keyframe, or of all frames without one.
    pub frames_before: u64,
    /// Times between two keyframes without a gap between them.
    pub interval: Option<Spread>,
    /// Media time since the latest keyframe, or since the first frame without one, in milliseconds.
    pub since_latest_ms: u64,
}

/// Smallest, mean and largest value of a time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Smallest value.
    pub min_ms: u64,
    /// Mean value.
    pub mean_ms: u64,
    /// Largest value.
    pub max_ms: u64,
}

/// Order in which the pictures of a track are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reordering {
    /// Frames with a composition offset, which are not shown at their timestamp.
    pub offset_frames: u64,
    /// Frames that are shown before a frame that preceded them (B-frames).
    pub reordered_frames: u64,
    /// Largest number of frames that precede a frame and are shown after it.
    pub depth: u8,
    /// Smallest composition offset, in milliseconds.
    pub min_offset_ms: i32,
    /// Largest composition offset, in milliseconds.
    pub max_offset_ms: i32,
}

impl Reordering {
    /// Whether the track has B-frames.
    pub fn has_b_frames(&self) -> bool {
        self.reordered_frames > 0
    }
}

/// Irregular timestamps of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimestampFacts {
    /// Frames with the timestamp of the frame before.
    pub repeats: u64,
    /// Frames with a smaller timestamp than the frame before.
    pub steps_back: u64,
    /// Largest step back, in milliseconds.
    pub largest_step_back_ms: u64,
    /// Single frames with a wrong timestamp: the frames before and after them agree.
    pub strays: u64,
    /// Steps longer than the gap limit: one second, or five frame intervals if that is longer.
    pub gaps: u64,
    /// Longest gap, in milliseconds.
    pub longest_gap_ms: u64,
}

/// Whether an MP4 file can hold a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mp4Support {
    /// No setup or frame of the track arrived.
    Unknown,
    /// The track fits.
    Yes {
        /// Ticks per second in the file: the sample rate of audio, that of the frame rate for video, or 1000.
        timescale: u32,
    },
    /// The track does not fit.
    No(Unsupported),
}

/// Difference between two clocks that grows with time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Milliseconds per hour.
    pub ms_per_hour: f64,
    /// Time over which the drift was measured, in milliseconds.
    pub span_ms: u64,
}

impl Drift {
    /// Returns the drift over the measured time, in milliseconds.
    pub fn total_ms(&self) -> f64 {
        self.ms_per_hour * self.span_ms as f64 / MS_PER_HOUR
    }

    /// Whether the clocks differ by more than jitter and rounding explain.
    pub fn is_evident(&self) -> bool {
        self.total_ms().abs() >= EVIDENT_DRIFT_MS
    }
}

/// Health of a stream and of its delivery. Fields about arrival are `None` for files.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Health {
    /// Time of the first audio frame minus the presentation time of the first picture, in milliseconds.
    pub av_offset_ms: Option<i64>,
    /// Drift of the audio timestamps against the video timestamps, in the order of arrival.
    pub av_drift: Option<Drift>,
    /// Arrival of the frames compared with their timestamps.
    pub jitter: Option<Jitter>,
    /// Drift of the arrival clock against the timestamps; positive if frames arrive later and later.
    pub clock_drift: Option<Drift>,
    /// Media that arrived faster than real time at the start.
    pub burst: Option<Burst>,
    /// Time of arrival from the first message to the first frame, in milliseconds.
    pub first_frame_ms: Option<u64>,
    /// Time of arrival from the first frame to the first keyframe, in milliseconds.
    pub first_keyframe_ms: Option<u64>,
    /// Age of the media on arrival, by the clock of the encoder.
    pub delay: Option<EncoderDelay>,
    /// Messages that the protocol could not decode, if known.
    pub malformed_messages: Option<u64>,
}

/// Lateness of the frames in milliseconds, after the burst at the start. It is measured from the frame with the
/// smallest delay in the last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter {
    /// Median.
    pub p50_ms: u64,
    /// 95th percentile.
    pub p95_ms: u64,
    /// Largest value.
    pub max_ms: u64,
    /// Frames that were late by more than [`super::LATE_MS`].
    pub late_frames: u64,
    /// Number of measured frames.
    pub frames: u64,
}

/// Media that arrived faster than real time at the start of a session: the age of the GOP cache of a live
/// stream, or the buffer of a recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Media time that arrived minus the time that elapsed, in milliseconds.
    pub media_ms: u64,
    /// Time from the first frame to the end of the burst, in milliseconds.
    pub took_ms: u64,
    /// Whether the burst has ended. A recorded stream may arrive faster than real time to its end.
    pub has_ended: bool,
}

/// Age of the media on arrival, by a clock of the encoder in script data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderDelay {
    /// Median of the latest delays, in milliseconds; negative if the clocks disagree.
    pub delay_ms: i64,
    /// Form of the clock.
    pub clock: EncoderClock,
    /// Number of times that the stream contained.
    pub samples: u64,
}

/// Form in which an encoder sends its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderClock {
    /// Local time of day in an unknown time zone, as in `onFI`. The delay is known modulo 15 minutes.
    TimeOfDay,
    /// A time with a time zone, or since 1970.
    Absolute,
}

/// Number of milliseconds in an hour.
pub(super) const MS_PER_HOUR: f64 = 3_600_000.0;

/// Largest share of odd steps of a constant frame rate. Encoders drop a frame now and then.
pub const MAX_ODD_SHARE: f64 = 0.01;

/// Number of odd steps that do not make a frame rate variable, because a short probe has few steps.
pub const FEW_ODD_STEPS: u64 = 1;

/// Smallest difference of two clocks that jitter and the rounding to milliseconds do not explain.
pub const EVIDENT_DRIFT_MS: f64 = 10.0;
