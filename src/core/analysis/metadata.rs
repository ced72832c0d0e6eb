//! Members of `onMetaData` with a known meaning, and their comparison with the tracks.

use super::{
    Extent,
    comparison::{Comparison, Quantity, Verdict},
    facts::{StreamFacts, TrackFacts},
    finding::Code,
};
use crate::core::{
    amf::{Object, Value},
    flv::{
        TagKind, TrackDescriptions,
        codec::{AudioCodec, FourCc, VideoCodec},
        frame_info::Codec,
    },
};

/// Stated values. A later `onMetaData` replaces the members that it contains.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    has_arrived: bool,
    stated: [Option<Quantity>; MEMBERS.len()],
    descriptions: TrackDescriptions,
}

impl Metadata {
    /// Adds the members of an `onMetaData`.
    pub(super) fn merge(&mut self, members: &Object) {
        self.has_arrived = true;
        self.descriptions.merge(members);
        for ((name, _), stated) in MEMBERS.iter().zip(&mut self.stated) {
            if let Some(value) = members.get(name).and_then(quantity) {
                *stated = Some(value);
            }
        }
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.has_arrived
    }

    /// Returns languages and names of tracks.
    pub(super) fn descriptions(&self) -> &TrackDescriptions {
        &self.descriptions
    }

    /// Returns the stated frame rate.
    pub(super) fn frames_per_second(&self) -> Option<f64> {
        self.number(Fact::FrameRate)
    }

    /// Whether the metadata announces a track of this kind.
    pub(super) fn announces(&self, kind: TagKind) -> bool {
        let (presence, codec) = match kind {
            TagKind::VIDEO => (Fact::HasVideo, Fact::VideoCodec),
            _ => (Fact::HasAudio, Fact::AudioCodec),
        };
        match self.get(presence) {
            Some(Quantity::Flag(flag)) => *flag,
            _ => self.get(codec).is_some(),
        }
    }

    /// Returns the members next to the actual values.
    pub(super) fn compare(&self, facts: &StreamFacts, extent: Extent) -> Vec<Comparison> {
        let members = MEMBERS.iter().zip(&self.stated);
        let stated = members.filter_map(|((member, fact), stated)| {
            let stated = stated.clone()?;
            Some(fact.compare(member, stated, facts, extent))
        });
        stated.collect()
    }

    fn get(&self, fact: Fact) -> Option<&Quantity> {
        let mut members = MEMBERS.iter().zip(&self.stated);
        let found = members.find(|((_, other), stated)| *other == fact && stated.is_some());
        found.and_then(|(_, stated)| stated.as_ref())
    }

    fn number(&self, fact: Fact) -> Option<f64> {
        match self.get(fact)? {
            Quantity::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Property that a member states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    HasVideo,
    HasAudio,
    HasKeyframes,
    Width,
    Height,
    FrameRate,
    VideoCodec,
    VideoBitRate,
    KeyframeSeconds,
    VideoProfile,
    /// Number of the level in the sequence header.
    VideoLevel,
    AudioCodec,
    AudioProfile,
    AudioBitRate,
    SampleRate,
    Channels,
    Stereo,
    Duration,
    /// Shown, but not compared.
    Label,
}

impl Fact {
    /// Returns the code of a finding for a wrong value.
    pub(super) fn code(self) -> Option<Code> {
        Some(match self {
            Self::HasVideo | Self::HasAudio | Self::HasKeyframes => Code::MetadataTracks,
            Self::Width => Code::MetadataWidth,
            Self::Height => Code::MetadataHeight,
            Self::FrameRate => Code::MetadataFrameRate,
            Self::VideoCodec => Code::MetadataVideoCodec,
            Self::VideoBitRate => Code::MetadataVideoBitRate,
            Self::KeyframeSeconds => Code::MetadataKeyframeInterval,
            Self::VideoProfile | Self::VideoLevel | Self::AudioProfile => Code::MetadataProfile,
            Self::AudioCodec => Code::MetadataAudioCodec,
            Self::AudioBitRate => Code::MetadataAudioBitRate,
            Self::SampleRate => Code::MetadataSampleRate,
            Self::Channels | Self::Stereo => Code::MetadataChannels,
            Self::Duration => Code::MetadataDuration,
            Self::Label => return None,
        })
    }

    fn compare(
        self,
        member: &'static str,
        stated: Quantity,
        facts: &StreamFacts,
        extent: Extent,
    ) -> Comparison {
        let track = self.track(facts);
        let actual = self.actual(facts, track, extent);
        let verdict = match &actual {
            Some(actual) if !self.is_placeholder(&stated) => self.verdict(&stated, actual, track),
            _ => Verdict::Unknown,
        };
        Comparison {
            member,
            track: track.map(|track| track.id),
            stated,
            actual,
            verdict,
        }
    }

    /// Returns the track that the member describes.
    fn track(self, facts: &StreamFacts) -> Option<&TrackFacts> {
        match self {
            Self::Width
            | Self::Height
            | Self::FrameRate
            | Self::VideoCodec
            | Self::VideoBitRate
            | Self::VideoProfile
            | Self::VideoLevel
            | Self::HasKeyframes
            | Self::KeyframeSeconds => facts.video(),
            Self::AudioCodec
            | Self::AudioProfile
            | Self::AudioBitRate
            | Self::SampleRate
            | Self::Channels
            | Self::Stereo => facts.audio(),
            Self::HasVideo | Self::HasAudio | Self::Duration | Self::Label => None,
        }
    }

    fn actual(
        self,
        facts: &StreamFacts,
        track: Option<&TrackFacts>,
        extent: Extent,
    ) -> Option<Quantity> {
        let kilobits = || Some(track?.bit_rate.mean? / 1000.0);
        let number = match self {
            Self::HasVideo => return Some(Quantity::Flag(has_frames(facts.video()))),
            Self::HasAudio => return Some(Quantity::Flag(has_frames(facts.audio()))),
            Self::HasKeyframes => return Some(Quantity::Flag(track?.keyframes?.count > 0)),
            Self::VideoCodec | Self::AudioCodec => {
                return Some(Quantity::Text(track?.codec?.to_string()));
            }
            Self::Stereo => return Some(Quantity::Flag(track?.audio_format?.channels > 1)),
            Self::Width => track?.picture_size?.width.into(),
            Self::Height => track?.picture_size?.height.into(),
            Self::VideoProfile => track?.video?.profile?.number.into(),
            Self::VideoLevel => track?.video?.level?.number.into(),
            Self::AudioProfile => track?.audio?.profile?.number.into(),
            Self::FrameRate => track?.frame_rate?.frames_per_second(),
            Self::VideoBitRate | Self::AudioBitRate => kilobits()?,
            Self::KeyframeSeconds => track?.keyframes?.interval?.mean_ms as f64 / 1000.0,
            Self::SampleRate => track?.audio_format?.rate_hz.into(),
            Self::Channels => track?.audio_format?.channels.into(),
            Self::Duration if extent == Extent::Complete => facts.media_ms as f64 / 1000.0,
            Self::Duration | Self::Label => return None,
        };
        Some(Quantity::Number(number))
    }

    /// Whether encoders write this value if they do not know the true one.
    fn is_placeholder(self, stated: &Quantity) -> bool {
        let has_zero = !matches!(self, Self::VideoCodec | Self::AudioCodec);
        has_zero && *stated == Quantity::Number(0.0)
    }

    fn verdict(self, stated: &Quantity, actual: &Quantity, track: Option<&TrackFacts>) -> Verdict {
        let agrees = match (stated, actual) {
            (Quantity::Flag(stated), Quantity::Flag(actual)) => stated == actual,
            (Quantity::Number(stated), Quantity::Number(actual)) => self.is_near(*stated, *actual),
            (stated, Quantity::Text(_)) => {
                let codec = track.and_then(|track| track.codec);
                match codec.and_then(|codec| names_codec(stated, codec)) {
                    Some(agrees) => agrees,
                    None => return Verdict::Unknown,
                }
            }
            _ => return Verdict::Unknown,
        };
        match agrees {
            true => Verdict::Agrees,
            false => Verdict::Contradicts,
        }
    }

    fn is_near(self, stated: f64, actual: f64) -> bool {
        let within = |share: f64| (stated - actual).abs() <= stated.abs() * share;
        match self {
            Self::FrameRate => within(FRAME_RATE_TOLERANCE),
            Self::VideoBitRate | Self::AudioBitRate | Self::KeyframeSeconds => {
                within(BIT_RATE_TOLERANCE)
            }
            Self::Duration => {
                within(DURATION_TOLERANCE) || (stated - actual).abs() <= DURATION_TOLERANCE_S
            }
            // Encoders of HE-AAC state the rate before or after spectral band replication.
            Self::SampleRate => {
                stated == actual || stated * 2.0 == actual || stated == actual * 2.0
            }
            _ => stated == actual,
        }
    }
}

fn has_frames(track: Option<&TrackFacts>) -> bool {
    track.is_some_and(|track| track.frames > 0)
}

/// Whether a stated number or name is that of a codec; `None` if it is not the name of any known one.
fn names_codec(stated: &Quantity, actual: Codec) -> Option<bool> {
    let stated = match stated {
        Quantity::Number(number) => codec_of_number(*number, actual)?.to_string(),
        Quantity::Text(text) => {
            let text = text.trim_start_matches('.').to_ascii_lowercase();
            let known = CODEC_NAMES.iter().find(|(name, _)| *name == text);
            known.map(|(_, usual)| (*usual).to_owned())?
        }
        Quantity::Flag(_) => return None,
    };
    Some(stated == actual.to_string())
}

/// Returns the codec of the same kind with a number in `onMetaData`.
fn codec_of_number(number: f64, kind: Codec) -> Option<Codec> {
    let is_number = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    let number = is_number.then_some(number as u32)?;
    let name = FourCc(number.to_be_bytes());
    let legacy = u8::try_from(number).ok().filter(|number| *number < 16);
    Some(match kind {
        Codec::Video(_) => {
            Codec::Video(legacy.map_or(VideoCodec::FourCc(name), VideoCodec::Legacy))
        }
        Codec::Audio(_) => {
            Codec::Audio(legacy.map_or(AudioCodec::FourCc(name), AudioCodec::Legacy))
        }
    })
}

/// Returns a value that is compared or shown. Texts are shortened.
fn quantity(value: &Value) -> Option<Quantity> {
    Some(match value {
        Value::Boolean(flag) => Quantity::Flag(*flag),
        Value::String(text) => {
            let text = text.to_str_lossy();
            let number = text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite());
            // Some encoders write numbers as texts.
            number.map_or_else(
                || Quantity::Text(text.chars().take(MAX_TEXT).collect()),
                Quantity::Number,
            )
        }
        value => Quantity::Number(value.as_number()?),
    })
}

/// Returns the code of a finding for a wrong value of this member.
pub(super) fn code_of(member: &str) -> Option<Code> {
    let (_, fact) = MEMBERS.iter().find(|(name, _)| *name == member)?;
    fact.code()
}

/// Members with a known meaning, in the order of reports (FLV E.5, and names of usual encoders).
const MEMBERS: [(&str, Fact); 26] = [
    ("hasVideo", Fact::HasVideo),
    ("videocodecid", Fact::VideoCodec),
    ("avcprofile", Fact::VideoProfile),
    ("avclevel", Fact::VideoLevel),
    ("width", Fact::Width),
    ("height", Fact::Height),
    ("framerate", Fact::FrameRate),
    ("fps", Fact::FrameRate),
    ("videoframerate", Fact::FrameRate),
    ("videodatarate", Fact::VideoBitRate),
    ("videokeyframe_frequency", Fact::KeyframeSeconds),
    ("hasKeyframes", Fact::HasKeyframes),
    ("hasAudio", Fact::HasAudio),
    ("audiocodecid", Fact::AudioCodec),
    ("aacaot", Fact::AudioProfile),
    ("audiodatarate", Fact::AudioBitRate),
    ("audiosamplerate", Fact::SampleRate),
    ("audiochannels", Fact::Channels),
    ("stereo", Fact::Stereo),
    ("duration", Fact::Duration),
    ("displayWidth", Fact::Label),
    ("displayHeight", Fact::Label),
    ("encoder", Fact::Label),
    ("server", Fact::Label),
    ("creationdate", Fact::Label),
    ("title", Fact::Label),
];

/// Names of codecs in `videocodecid` and `audiocodecid`, in lower case, and the usual names.
const CODEC_NAMES: [(&str, &str); 20] = [
    ("avc1", "h264"),
    ("avc", "h264"),
    ("h264", "h264"),
    ("x264", "h264"),
    ("hvc1", "h265"),
    ("hevc", "h265"),
    ("h265", "h265"),
    ("vvc1", "h266"),
    ("av01", "av1"),
    ("av1", "av1"),
    ("vp08", "vp8"),
    ("vp09", "vp9"),
    ("vp6", "vp6"),
    ("mp4a", "aac"),
    ("aac", "aac"),
    ("mp3", "mp3"),
    ("opus", "opus"),
    ("flac", "flac"),
    ("ac-3", "ac-3"),
    ("ec-3", "e-ac-3"),
];

/// Largest relative error of a stated frame rate: 30 may stand for 29.97, and 24 may not stand for 25.
const FRAME_RATE_TOLERANCE: f64 = 0.02;

/// Largest relative error of a stated bit rate or keyframe interval. They are targets of the encoder, which a
/// short excerpt may miss.
const BIT_RATE_TOLERANCE: f64 = 0.5;

/// Largest relative error of a stated duration.
const DURATION_TOLERANCE: f64 = 0.01;

/// Largest error of a stated duration in seconds: the tracks of a file rarely end together.
const DURATION_TOLERANCE_S: f64 = 1.0;

/// Largest number of characters of a text.
const MAX_TEXT: usize = 100;
