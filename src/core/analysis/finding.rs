//! Findings: irregularities of a stream, with stable codes.

use std::fmt;

use super::comparison::Quantity;
use crate::core::flv::TrackId;

/// One irregularity of a stream.
///
/// The text form has no server text other than the value of a member, which must be escaped before printing.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Kind of the irregularity.
    pub code: Code,
    /// How much it matters. [`Code::severity`] is the usual value.
    pub severity: Severity,
    /// Track with the irregularity; `None` if it concerns the stream.
    pub track: Option<TrackId>,
    /// Number of occurrences, such as frames; 1 for a property of the track or the stream.
    pub count: u64,
    /// Value that the stream states, in the unit of the code.
    pub stated: Option<Quantity>,
    /// Measured value, in the unit of the code: the worst one if there are several.
    pub actual: Option<Quantity>,
}

impl Finding {
    /// Creates a finding with the usual severity that occurred once.
    pub(super) fn new(code: Code, track: Option<TrackId>) -> Self {
        Self {
            code,
            severity: code.severity(),
            track,
            count: 1,
            stated: None,
            actual: None,
        }
    }

    pub(super) fn count(self, count: u64) -> Self {
        Self { count, ..self }
    }

    pub(super) fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    pub(super) fn stated(self, stated: Quantity) -> Self {
        Self {
            stated: Some(stated),
            ..self
        }
    }

    pub(super) fn actual(self, actual: Quantity) -> Self {
        Self {
            actual: Some(actual),
            ..self
        }
    }

    pub(super) fn number(self, actual: f64) -> Self {
        self.actual(Quantity::Number(actual))
    }
}

impl fmt::Display for Finding {
    /// Formats the title and the facts: `v0: timestamps step back (3 times, 120 ms)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(track) = self.track {
            write!(f, "{track}: ")?;
        }
        f.write_str(self.code.title())?;
        let unit = self.code.unit();
        let with_unit = |quantity: &Quantity| match (quantity, unit) {
            (Quantity::Number(_), unit) if !unit.is_empty() => format!("{quantity} {unit}"),
            _ => quantity.to_string(),
        };
        let times = (self.count > 1).then(|| format!("{} times", self.count));
        let stated = self.stated.as_ref().map(|stated| {
            let stated = with_unit(stated);
            format!("stated {stated}")
        });
        let actual = self.actual.as_ref().map(|actual| match self.stated {
            Some(_) => format!("actual {}", with_unit(actual)),
            None => with_unit(actual),
        });
        let facts: Vec<String> = [times, stated, actual].into_iter().flatten().collect();
        if facts.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", facts.join(", "))
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A property that may matter to some users.
    Info,
    /// Some players or recorders handle the stream badly.
    Warning,
    /// The stream, or a track of it, does not play completely.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Defines the codes of findings: the variants of an enum, each with a stable name, the usual severity, a title, the
/// unit of its values and a description.
macro_rules! finding_codes {
    (
        $(#[$attribute:meta])* $name:ident;
        $($variant:ident $code:literal $severity:ident $title:literal $unit:literal $description:literal;)*
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $description] $variant,)*
        }

        impl $name {
            /// All codes, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the stable name in kebab case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Returns the usual severity.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// Returns a short clause without a full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Returns the unit of the values; empty without one.
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// Returns one sentence for the documentation.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use finding_codes;

finding_codes! {
    /// Kind of a finding, with a stable name.
    Code;
    NoMedia "no-media" Error "no frame arrived" ""
        "The stream has no audio and no video frames.";
    NoVideo "no-video" Info "the stream has no video" ""
        "The stream has audio but no video frames; a warning if the metadata announces video.";
    NoAudio "no-audio" Info "the stream has no audio" ""
        "The stream has video but no audio frames; a warning if the metadata announces audio.";
    TooManyTracks "too-many-tracks" Warning "tracks were not analyzed" ""
        "The stream has more tracks than the analysis follows.";
    NoSequenceHeader "no-sequence-header" Error "no sequence header arrived" ""
        "A codec that needs a sequence header has none, so no player can decode the track.";
    LateSequenceHeader "late-sequence-header" Warning "frames precede the sequence header" "frames"
        "Frames arrived before the sequence header, so they cannot be decoded.";
    DamagedSequenceHeader "damaged-sequence-header" Error "the sequence header does not parse" ""
        "The latest sequence header is damaged.";
    SequenceHeaderChanged "sequence-header-changed" Info "the sequence header changed" ""
        "A later sequence header differs from the one before, so the resolution or the encoder changed.";
    CodecChanged "codec-changed" Warning "the codec changed" ""
        "The track changed its codec, which many players do not support.";
    FirstFrameNotKeyframe "first-frame-not-keyframe" Warning "the first frame is not a keyframe" "frames"
        "The video starts with frames that a decoder cannot show; the value is their number.";
    NoKeyframe "no-keyframe" Error "no keyframe arrived" "ms"
        "The video has no keyframe, so nothing can be shown; a warning if less media arrived than the usual limit of a keyframe interval.";
    LongKeyframeInterval "long-keyframe-interval" Warning "keyframes are far apart" "ms"
        "The time between two keyframes exceeds 10 s, the longest time that viewers usually wait for the first picture.";
    TimestampBack "timestamp-back" Warning "timestamps step back" "ms"
        "A frame has a smaller timestamp than the frame before in its track; the value is the largest step.";
    TimestampGap "timestamp-gap" Warning "timestamps have gaps" "ms"
        "A step exceeds one second and five frame intervals; the value is the longest step.";
    TimestampStray "timestamp-stray" Warning "single frames have a wrong timestamp" ""
        "A single timestamp disagrees by more than one second with the frames before and after it.";
    TimestampRepeat "timestamp-repeat" Warning "timestamps repeat" ""
        "A frame has the timestamp of the frame before in its track.";
    VariableFrameRate "variable-frame-rate" Info "the frame rate is variable" "% of the steps are odd"
        "More than 1 % of the steps between video frames differ from the usual step.";
    EmptyFrames "empty-frames" Info "frames are empty" ""
        "Messages for a frame contain no data.";
    MalformedFrames "malformed-frames" Error "frames do not parse" ""
        "Frames do not have the layout of their codec.";
    AvOffset "av-offset" Warning "audio and video start apart" "ms"
        "The first audio frame and the first picture differ by more than 500 ms, which some players turn into lost lip sync; positive if audio starts later.";
    AvDrift "av-drift" Warning "audio and video drift apart" "ms per hour"
        "The timestamps of audio and video advance at different speeds; positive if audio is faster.";
    SampleDrift "sample-drift" Warning "audio timestamps disagree with the number of samples" "ms per hour"
        "The timestamps of audio advance faster (positive) or slower than its samples last.";
    ClockDrift "clock-drift" Warning "the stream is not delivered in real time" "ms per hour"
        "Frames arrive later and later (positive) or earlier and earlier than their timestamps.";
    LateFrames "late-frames" Warning "frames arrive late" "ms"
        "Frames arrive more than 500 ms later than the most punctual ones, so players with a small buffer stall; the value is the largest delay.";
    MalformedMessages "malformed-messages" Warning "messages do not parse" ""
        "The protocol received messages that it could not decode.";
    NoMetadata "no-metadata" Info "no onMetaData arrived" ""
        "The stream has no `onMetaData`.";
    MetadataTracks "metadata-tracks" Warning "the metadata announces other tracks" ""
        "The stated presence of audio, video or keyframes is wrong.";
    MetadataWidth "metadata-width" Warning "the stated width is wrong" "pixels"
        "The stated width differs from that of the picture.";
    MetadataHeight "metadata-height" Warning "the stated height is wrong" "pixels"
        "The stated height differs from that of the picture.";
    MetadataFrameRate "metadata-frame-rate" Warning "the stated frame rate is wrong" "fps"
        "The stated frame rate differs from the measured one by more than 2 %.";
    MetadataVideoCodec "metadata-video-codec" Warning "the stated video codec is wrong" ""
        "The stated video codec differs from that of the frames.";
    MetadataAudioCodec "metadata-audio-codec" Warning "the stated audio codec is wrong" ""
        "The stated audio codec differs from that of the frames.";
    MetadataVideoBitRate "metadata-video-bit-rate" Info "the stated video bit rate is wrong" "kbit/s"
        "The stated video bit rate differs from the measured mean by more than 50 %.";
    MetadataAudioBitRate "metadata-audio-bit-rate" Info "the stated audio bit rate is wrong" "kbit/s"
        "The stated audio bit rate differs from the measured mean by more than 50 %.";
    MetadataSampleRate "metadata-sample-rate" Warning "the stated sample rate is wrong" "Hz"
        "The stated sample rate is that of neither the decoded nor the coded audio.";
    MetadataChannels "metadata-channels" Warning "the stated number of channels is wrong" ""
        "The stated number of channels differs from that of the audio.";
    MetadataProfile "metadata-profile" Warning "the stated profile or level is wrong" ""
        "The stated profile, level or audio object type differs from that of the sequence header.";
    MetadataKeyframeInterval "metadata-keyframe-interval" Info "the stated keyframe interval is wrong" "s"
        "The stated keyframe interval differs from the measured one by more than 50 %.";
    MetadataDuration "metadata-duration" Warning "the stated duration is wrong" "s"
        "The stated duration of a complete file differs from that of its frames by more than 1 s and 1 %.";
    Mp4CannotHold "mp4-cannot-hold" Info "an MP4 file cannot hold the track" ""
        "The codec or its setup has no form in MP4 files.";
}
