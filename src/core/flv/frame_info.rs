//! Facts about a frame, parsed once and passed on with its bytes.

use std::fmt;

use super::{
    TagKind,
    codec::{
        AudioCodec, AudioPacket, AudioTag, AudioTrack, DEFAULT_TRACK, PictureSize, TrackProperties,
        VideoCodec, VideoPacket, VideoTag, VideoTrack, video::USUAL_NAL_LENGTH_SIZE,
    },
};

/// Facts about the body of one audio, video or script message.
///
/// [`FrameParser`] fills it in when the message arrives. Later stages read it instead of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// Audio, video or script data.
    pub track: TagKind,
    /// Id of the track; of the first one if a multitrack tag carries several. 0 without multitrack.
    pub track_id: u8,
    /// Whether the tag is multitrack. Such a tag may carry several tracks, or one that is not the main one.
    pub is_multitrack: bool,
    /// Codec of the track; `None` if the body does not parse or does not name a codec.
    pub codec: Option<Codec>,
    /// Whether the message sets up a decoder for the frames that follow.
    pub is_sequence_header: bool,
    /// Whether the message is a frame. Only frames advance the output clock.
    ///
    /// A body that is not empty and does not parse counts as a frame.
    pub carries_media: bool,
    /// Whether a decoder can start with this frame: a keyframe of the main video track, id 0.
    pub is_keyframe: bool,
    /// Size of the picture, if this is a sequence header or a keyframe that contains it.
    pub picture_size: Option<PictureSize>,
    /// Nanoseconds to add to the timestamp for presentation, less than a millisecond (E-RTMP
    /// "TimestampOffsetNano").
    pub nano_offset_ns: u32,
    /// Position of the coded frame in the body; `None` without one. [`media_tracks`] finds those of a
    /// multitrack tag.
    pub sample: Option<SamplePosition>,
}

/// Position of a coded frame in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplePosition {
    /// Number of bytes before the frame.
    pub start: u32,
    /// Size of the frame in bytes.
    pub size: u32,
    /// Presentation time minus decoding time, in milliseconds; 0 for audio.
    pub composition_ms: i32,
}

/// Codec of an audio or video message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Codec of an audio message.
    Audio(AudioCodec),
    /// Codec of a video message.
    Video(VideoCodec),
}

impl FrameInfo {
    /// Facts about script data.
    pub const SCRIPT: Self = Self::opaque(TagKind::SCRIPT);

    /// Returns the facts of a message whose body is not parsed: neither a sequence header nor a frame.
    pub const fn opaque(track: TagKind) -> Self {
        Self {
            track,
            track_id: DEFAULT_TRACK,
            is_multitrack: false,
            codec: None,
            is_sequence_header: false,
            carries_media: false,
            is_keyframe: false,
            picture_size: None,
            nano_offset_ns: 0,
            sample: None,
        }
    }

    fn unparsed(track: TagKind, body: &[u8]) -> Self {
        Self {
            carries_media: !body.is_empty(),
            ..Self::opaque(track)
        }
    }
}

impl Codec {
    /// Whether a decoder needs a sequence header before the first frame.
    pub const fn needs_sequence_header(self) -> bool {
        match self {
            Self::Audio(codec) => {
                matches!(codec, AudioCodec::AAC | AudioCodec::MP4A | AudioCodec::FLAC)
            }
            Self::Video(codec) => matches!(
                codec,
                VideoCodec::AVC
                    | VideoCodec::AVC1
                    | VideoCodec::HEVC
                    | VideoCodec::HVC1
                    | VideoCodec::VVC1
            ),
        }
    }

    /// Returns the number of the codec in the `audiocodecid` or `videocodecid` field of onMetaData (FLV E.5).
    pub const fn id(self) -> u32 {
        match self {
            Self::Audio(codec) => codec.id(),
            Self::Video(codec) => codec.id(),
        }
    }
}

impl fmt::Display for Codec {
    /// Writes the usual name in lower case, which is the same for the legacy number and the FourCC of a codec.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(VideoCodec::AVC | VideoCodec::AVC1) => f.write_str("h264"),
            Self::Video(VideoCodec::HEVC | VideoCodec::HVC1) => f.write_str("h265"),
            Self::Video(VideoCodec::VVC1) => f.write_str("h266"),
            Self::Video(codec) => f.write_str(&codec.to_string().to_lowercase()),
            Self::Audio(codec) => f.write_str(&codec.to_string().to_lowercase()),
        }
    }
}

/// Parses the messages of one stream, in order of arrival.
#[derive(Debug)]
pub struct FrameParser {
    /// From the last sequence header of the main video track. A keyframe with an unspecified frame
    /// type is only recognizable by its NAL units.
    nal_length_size: u8,
}

impl FrameParser {
    /// Creates a parser for a new stream.
    pub const fn new() -> Self {
        Self {
            nal_length_size: USUAL_NAL_LENGTH_SIZE,
        }
    }

    /// Parses the body of a message. Never allocates.
    pub fn parse(&mut self, track: TagKind, body: &[u8]) -> FrameInfo {
        match track {
            TagKind::AUDIO => audio(body),
            TagKind::VIDEO => self.video(body),
            _ => FrameInfo::opaque(track),
        }
    }

    fn video(&mut self, body: &[u8]) -> FrameInfo {
        let Ok(tag) = VideoTag::parse(body) else {
            return FrameInfo::unparsed(TagKind::VIDEO, body);
        };
        let mut info = FrameInfo {
            codec: tag.codec().map(Codec::Video),
            is_multitrack: tag.multitrack().is_some(),
            nano_offset_ns: tag.nano_offset_ns.min(MAX_NANO_OFFSET_NS),
            ..FrameInfo::opaque(TagKind::VIDEO)
        };
        if let Some(Ok(first)) = tag.tracks().next() {
            info.track_id = first.id;
            if CODED.contains(&first.packet) && !info.is_multitrack {
                info.sample = SamplePosition::new(body, first.body, first.composition_time_ms);
            }
        }
        for track in tag.tracks().flatten() {
            info.is_sequence_header |= track.is_sequence_header();
            info.carries_media |= track.carries_media();
            if track.id != DEFAULT_TRACK {
                continue;
            }
            if let Some(size) = track.nal_length_size() {
                self.nal_length_size = size;
            }
            let is_keyframe = track.is_keyframe(self.nal_length_size);
            info.is_keyframe |= is_keyframe;
            if track.is_sequence_header() || is_keyframe {
                info.picture_size = info.picture_size.or_else(|| track.picture_size());
            }
        }
        info
    }
}

impl Default for FrameParser {
    fn default() -> Self {
        Self::new()
    }
}

fn audio(body: &[u8]) -> FrameInfo {
    let Ok(tag) = AudioTag::parse(body) else {
        return FrameInfo::unparsed(TagKind::AUDIO, body);
    };
    let first = tag.tracks().next().and_then(Result::ok);
    let is_multitrack = tag.multitrack().is_some();
    let coded = first.filter(|track| track.packet == AudioPacket::CODED_FRAMES && !is_multitrack);
    FrameInfo {
        track_id: first.map_or(DEFAULT_TRACK, |track| track.id),
        is_multitrack,
        nano_offset_ns: tag.nano_offset_ns.min(MAX_NANO_OFFSET_NS),
        codec: tag.codec().map(Codec::Audio),
        is_sequence_header: tag.is_sequence_header(),
        carries_media: tag.carries_media(),
        sample: coded.and_then(|track| SamplePosition::new(body, track.body, 0)),
        ..FrameInfo::opaque(TagKind::AUDIO)
    }
}

impl SamplePosition {
    /// Returns the position of `sample`, which is a slice of the body.
    fn new(body: &[u8], sample: &[u8], composition_ms: i32) -> Option<Self> {
        let start = sample.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            size: u32::try_from(sample.len()).ok()?,
            composition_ms,
        })
    }

    /// Returns the coded frame in the body.
    pub fn of(self, body: &[u8]) -> &[u8] {
        let frame = body.get(self.start as usize..).unwrap_or_default();
        frame.get(..self.size as usize).unwrap_or_default()
    }
}

/// One track of a message. A message that is not multitrack has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaTrack<'a> {
    /// Track of an audio message.
    Audio(AudioTrack<'a>),
    /// Track of a video message.
    Video(VideoTrack<'a>),
}

/// Iterates over the tracks of a message up to the first damaged one. Never allocates.
pub fn media_tracks(kind: TagKind, body: &[u8]) -> impl Iterator<Item = MediaTrack<'_>> {
    let video = (kind == TagKind::VIDEO).then(|| VideoTag::parse(body).ok());
    let audio = (kind == TagKind::AUDIO).then(|| AudioTag::parse(body).ok());
    let video = video.flatten().into_iter().flat_map(VideoTag::into_tracks);
    let audio = audio.flatten().into_iter().flat_map(AudioTag::into_tracks);
    let video = video.flatten().map(MediaTrack::Video);
    video.chain(audio.flatten().map(MediaTrack::Audio))
}

impl MediaTrack<'_> {
    /// Returns the id of the track.
    pub fn id(&self) -> u8 {
        match self {
            Self::Audio(track) => track.id,
            Self::Video(track) => track.id,
        }
    }

    /// Returns the codec of the track.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Audio(track) => Codec::Audio(track.codec),
            Self::Video(track) => Codec::Video(track.codec),
        }
    }

    /// Returns the size of the length before each NAL unit, see [`VideoTrack::nal_length_size`].
    pub fn nal_length_size(&self) -> Option<u8> {
        match self {
            Self::Audio(_) => None,
            Self::Video(track) => track.nal_length_size(),
        }
    }

    /// Returns the properties of the track, see [`AudioTrack::description`] and [`VideoTrack::description`].
    pub fn description(&self) -> Option<TrackProperties> {
        match self {
            Self::Audio(track) => track.description().map(TrackProperties::Audio),
            Self::Video(track) => track.description().map(TrackProperties::Video),
        }
    }

    /// Returns the facts of this track alone, which is a slice of `body`.
    ///
    /// `nal_length_size` is the [`MediaTrack::nal_length_size`] of the latest sequence header of the track,
    /// if any.
    pub fn info(&self, body: &[u8], nal_length_size: Option<u8>) -> FrameInfo {
        let codec = Some(self.codec());
        match self {
            Self::Audio(track) => FrameInfo {
                track_id: track.id,
                codec,
                is_sequence_header: track.is_sequence_header(),
                carries_media: track.carries_media(),
                sample: (track.packet == AudioPacket::CODED_FRAMES)
                    .then(|| SamplePosition::new(body, track.body, 0))
                    .flatten(),
                ..FrameInfo::opaque(TagKind::AUDIO)
            },
            Self::Video(track) => {
                let is_keyframe =
                    track.is_keyframe(nal_length_size.unwrap_or(USUAL_NAL_LENGTH_SIZE));
                let is_sequence_header = track.is_sequence_header();
                let has_size = is_sequence_header || is_keyframe;
                FrameInfo {
                    track_id: track.id,
                    codec,
                    is_sequence_header,
                    carries_media: track.carries_media(),
                    is_keyframe,
                    picture_size: has_size.then(|| track.picture_size()).flatten(),
                    sample: CODED
                        .contains(&track.packet)
                        .then(|| SamplePosition::new(body, track.body, track.composition_time_ms))
                        .flatten(),
                    ..FrameInfo::opaque(TagKind::VIDEO)
                }
            }
        }
    }
}

/// Largest nanosecond offset of a valid tag. A larger one would be a full millisecond, which belongs to the
/// timestamp.
const MAX_NANO_OFFSET_NS: u32 = 999_999;

/// Packet types of video whose body is a coded frame.
const CODED: [VideoPacket; 2] = [VideoPacket::CODED_FRAMES, VideoPacket::CODED_FRAMES_X];

#[cfg(test)]
mod tests {
    use super::*;

    fn video(body: &[u8]) -> FrameInfo {
        FrameParser::new().parse(TagKind::VIDEO, body)
    }

    #[test]
    fn sequence_headers_frames_and_ends_of_sequence_are_distinguished() {
        let facts = |info: FrameInfo| {
            let FrameInfo {
                is_sequence_header,
                carries_media,
                is_keyframe,
                ..
            } = info;
            [is_sequence_header, carries_media, is_keyframe]
        };
        let header = video(&[0x17, 0, 0, 0, 0, 1]);
        assert_eq!(facts(header), [true, false, false]);
        assert_eq!(header.codec.map(Codec::id), Some(7));
        assert_eq!(facts(video(&[0x17, 1, 0, 0, 0, 9])), [false, true, true]);
        assert_eq!(facts(video(&[0x27, 1, 0, 0, 0, 9])), [false, true, false]);
        assert_eq!(facts(video(&[0x17, 2, 0, 0, 0])), [false, false, false]);
        assert_eq!(facts(video(&[0x57, 0])), [false, false, false], "a command");
        let audio = |body| facts(FrameParser::new().parse(TagKind::AUDIO, body));
        assert_eq!(audio(&[0xAF, 0, 0x11]), [true, false, false]);
        assert_eq!(audio(&[0xAF, 1, 0x21]), [false, true, false]);
        assert_eq!(facts(FrameInfo::SCRIPT), [false; 3]);
    }

    #[test]
    fn body_that_does_not_parse_is_a_frame_unless_it_is_empty() {
        for track in [TagKind::AUDIO, TagKind::VIDEO] {
            let mut parser = FrameParser::new();
            let damaged = parser.parse(track, &[[0xAF], [0x17]][usize::from(track.0 - 8)]);
            assert!(damaged.carries_media && damaged.codec.is_none(), "{track}");
            assert!(!parser.parse(track, &[]).carries_media, "{track}");
        }
    }

    #[test]
    fn samples_of_coded_frames_are_located() {
        let sample = |track, body: &[u8]| FrameParser::new().parse(track, body).sample;
        let at = |start, size, composition_ms| {
            Some(SamplePosition {
                start,
                size,
                composition_ms,
            })
        };
        let video = |body| sample(TagKind::VIDEO, body);
        assert_eq!(video(&[0x17, 1, 0xFF, 0xFF, 0xFE, 9, 9]), at(5, 2, -2));
        assert_eq!(video(b"\xA1hvc1\x00\x00\x05\x09"), at(8, 1, 5));
        assert_eq!(video(b"\xA3hvc1\x09"), at(5, 1, 0));
        assert_eq!(video(&[0x17, 0, 0, 0, 0, 1]), None);
        assert_eq!(
            video(b"\x96\x01avc1\x00\x00\x00\x00\x65"),
            None,
            "multitrack"
        );
        let audio = |body| sample(TagKind::AUDIO, body);
        assert_eq!(audio(&[0xAF, 1, 0x21]), at(2, 1, 0));
        assert_eq!(audio(&[0x2F, 0xFF, 0xFB]), at(1, 2, 0));
        assert_eq!(audio(b"\x91Opus\x09"), at(5, 1, 0));
        assert_eq!(audio(&[0xAF, 0, 0x11]), None);
        assert_eq!(at(2, 1, 0).map(|at| at.of(&[1, 2, 3])), Some(&[3][..]));
        assert_eq!(at(0, 2, 0).map(|at| at.of(&[1, 2, 3])), Some(&[1, 2][..]));
        assert_eq!(at(4, 0, 0).map(|at| at.of(&[1, 2, 3])), Some(&[][..]));
        assert_eq!(at(1, 3, 0).map(|at| at.of(&[1, 2, 3])), Some(&[][..]));
    }

    #[test]
    fn only_the_main_track_has_keyframes() {
        // Multitrack, coded frames, one track of AVC with this id.
        let keyframe = |id| [0x96, 0x01, b'a', b'v', b'c', b'1', id, 0, 0, 0, 0x65];
        let [main, other] = [0, 3].map(|id| video(&keyframe(id)));
        assert_eq!((main.track_id, main.is_keyframe), (0, true));
        assert_eq!((other.track_id, other.is_keyframe), (3, false));
        assert!(other.carries_media);
    }

    /// MediaMTX sends enhanced tags with frame type 0.
    #[test]
    fn unspecified_frame_type_is_decided_by_the_nal_units() {
        // avcC with NAL unit lengths of two bytes (ISO 14496-15 5.3.3.1): the low bits of byte 4.
        let header = [0x80, b'a', b'v', b'c', b'1', 1, 0x64, 0, 13, 0xFD, 0xE0, 0];
        let frame = |nal: u8| [0x83, b'a', b'v', b'c', b'1', 0, 1, nal];
        let mut parser = FrameParser::new();
        assert!(!parser.parse(TagKind::VIDEO, &frame(0x65)).is_keyframe);
        parser.parse(TagKind::VIDEO, &header);
        assert!(parser.parse(TagKind::VIDEO, &frame(0x65)).is_keyframe);
        assert!(!parser.parse(TagKind::VIDEO, &frame(0x41)).is_keyframe);
    }
}
