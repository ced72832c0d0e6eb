//! Body of a video tag.

pub mod av1;
pub mod avc;
pub mod h263;
pub mod hevc;
mod nal;
pub mod screen;
mod usability;
pub mod vp6;
pub mod vp8;
pub mod vp9;
pub mod vvc;

use super::{
    Error, FourCc, Multitrack, PictureSize,
    codes::{codecs, codes},
    description::{ChromaFormat, VideoDescription},
    enhanced::{self, RawTrack, RawTracks},
};
use crate::core::wire::Reader;

/// Body of a video tag (FLV E.4.3, E-RTMP "ExVideoTagHeader"): the parsed header and the borrowed tracks.
#[derive(Debug, Clone)]
pub struct VideoTag<'a> {
    /// Frame type. MediaMTX sends 0 in enhanced tags; [`VideoTag::is_keyframe`] then parses the frame.
    pub frame: FrameType,
    /// Packet type of all tracks. Legacy codecs without packet types have coded frames.
    pub packet: VideoPacket,
    /// Whether the header is one of Enhanced RTMP.
    pub is_enhanced: bool,
    /// Nanoseconds to add to the timestamp for presentation; 0 to 999,999 in a valid tag.
    pub nano_offset_ns: u32,
    /// Command of a command frame: 0 or 1 for the start or end of a seek. Such a tag has no tracks.
    pub command: Option<u8>,
    /// Composition time of a legacy tag; enhanced tags have one in each track.
    composition_time_ms: i32,
    tracks: RawTracks<'a, VideoCodec>,
}

impl<'a> VideoTag<'a> {
    /// Parses the header of a body. [`VideoTag::tracks`] parses the tracks.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (first, rest) = body.split_first().ok_or(Error::Empty)?;
        if first & IS_ENHANCED == 0 {
            Self::parse_legacy(*first, Reader::new(rest))
        } else {
            Self::parse_enhanced(*first, Reader::new(rest))
        }
    }

    fn parse_legacy(first: u8, mut reader: Reader<'a>) -> Result<Self, Error> {
        let codec = VideoCodec::Legacy(first & 0x0F);
        let mut tag = Self {
            frame: FrameType(first >> 4),
            packet: VideoPacket::CODED_FRAMES,
            is_enhanced: false,
            nano_offset_ns: 0,
            command: None,
            composition_time_ms: 0,
            tracks: RawTracks::none(Some(codec)),
        };
        // In FLV E.4.3.1 the packet type and composition time of AVC precede the command; in E-RTMP the
        // command is first. Nothing depends on the difference, because no picture follows.
        if tag.frame == FrameType::COMMAND {
            tag.command = Some(reader.u8("command")?);
            return Ok(tag);
        }
        if let VideoCodec::AVC | VideoCodec::HEVC = codec {
            tag.packet = VideoPacket(reader.u8("AVC packet type")?);
            tag.composition_time_ms = reader.i24("composition time")?;
        }
        tag.tracks = RawTracks::single(codec, reader.rest());
        Ok(tag)
    }

    fn parse_enhanced(first: u8, mut reader: Reader<'a>) -> Result<Self, Error> {
        let (packet, nano_offset_ns) = enhanced::read_packet_type(first, &mut reader)?;
        let mut tag = Self {
            frame: FrameType(first >> 4 & 7),
            packet: VideoPacket(packet),
            is_enhanced: true,
            nano_offset_ns,
            command: None,
            composition_time_ms: 0,
            tracks: RawTracks::none(None),
        };
        // ffmpeg sends metadata with the frame type of a command.
        if tag.frame == FrameType::COMMAND && tag.packet != VideoPacket::METADATA {
            tag.command = Some(reader.u8("command")?);
            return Ok(tag);
        }
        let (packet, tracks) = enhanced::read_tracks(packet, VideoPacket::MULTITRACK.0, reader)?;
        tag.packet = VideoPacket(packet);
        tag.tracks = tracks;
        Ok(tag)
    }

    /// Returns the tracks in the order of the tag; a command has none. The iterator ends after the first
    /// damaged track.
    pub fn tracks(&self) -> impl Iterator<Item = Result<VideoTrack<'a>, Error>> + '_ {
        self.tracks.clone().map(|track| self.track(track?))
    }

    /// Returns the tracks as [`VideoTag::tracks`] does.
    pub fn into_tracks(self) -> impl Iterator<Item = Result<VideoTrack<'a>, Error>> {
        self.tracks.clone().map(move |track| self.track(track?))
    }

    fn track(&self, track: RawTrack<'a, VideoCodec>) -> Result<VideoTrack<'a>, Error> {
        let mut reader = Reader::new(track.body);
        let has_composition_time = self.is_enhanced
            && self.packet == VideoPacket::CODED_FRAMES
            && track.codec.reorders_frames();
        let composition_time_ms = if has_composition_time {
            reader.i24("composition time")?
        } else {
            self.composition_time_ms
        };
        Ok(VideoTrack {
            id: track.id,
            codec: track.codec,
            frame: self.frame,
            packet: self.packet,
            composition_time_ms,
            body: reader.rest(),
        })
    }

    /// Returns the codec of all tracks, or of the first one if they differ.
    pub fn codec(&self) -> Option<VideoCodec> {
        self.tracks.codec()
    }

    /// Returns the multitrack type; `None` if the tag has one track without an id.
    pub fn multitrack(&self) -> Option<Multitrack> {
        self.tracks.multitrack
    }

    /// Returns whether a decoder needs this tag before the frames that follow.
    pub fn is_sequence_header(&self) -> bool {
        let mut tracks = self.tracks().flatten();
        tracks.any(|track| track.is_sequence_header())
    }

    /// Returns whether any track contains a picture, see [`VideoTrack::carries_media`].
    pub fn carries_media(&self) -> bool {
        self.tracks().flatten().any(|track| track.carries_media())
    }

    /// Returns whether a decoder can start with this tag: [`VideoTrack::is_keyframe`] of the main track.
    pub fn is_keyframe(&self, nal_length_size: u8) -> bool {
        let mut tracks = self.tracks().flatten();
        tracks
            .any(|track| track.id == enhanced::DEFAULT_TRACK && track.is_keyframe(nal_length_size))
    }
}

/// One track of a video tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTrack<'a> {
    /// Id of the track; 0 is the main track, and the only one without multitrack.
    pub id: u8,
    /// Codec of the frames.
    pub codec: VideoCodec,
    /// Frame type of the tag.
    pub frame: FrameType,
    /// Type of `body`.
    pub packet: VideoPacket,
    /// Presentation time minus decoding time, in milliseconds; may be negative.
    pub composition_time_ms: i32,
    /// Configuration record, frames, or other data of the packet type.
    pub body: &'a [u8],
}

impl VideoTrack<'_> {
    /// Returns whether a decoder needs this packet before the frames that follow. An empty record does not
    /// count: ffmpeg announces AV1 with one and sends the real record later.
    pub fn is_sequence_header(&self) -> bool {
        let is_start = matches!(
            self.packet,
            VideoPacket::SEQUENCE_START | VideoPacket::MPEG2_TS_SEQUENCE_START
        );
        is_start && !self.body.is_empty()
    }

    /// Returns whether the packet contains a picture. Sequence headers, ends of sequence, metadata and empty
    /// frames do not; unknown packet types do.
    pub fn carries_media(&self) -> bool {
        let is_other = matches!(
            self.packet,
            VideoPacket::SEQUENCE_START
                | VideoPacket::SEQUENCE_END
                | VideoPacket::METADATA
                | VideoPacket::MPEG2_TS_SEQUENCE_START
        );
        !is_other && !self.body.is_empty()
    }

    /// Returns whether a decoder can start with this frame. Parses the frame if the frame type is 0.
    ///
    /// `nal_length_size` is the [`VideoTrack::nal_length_size`] of the last sequence header of the track, or
    /// [`USUAL_NAL_LENGTH_SIZE`] without one.
    pub fn is_keyframe(&self, nal_length_size: u8) -> bool {
        if !self.has_coded_frames() {
            return false;
        }
        match self.frame {
            FrameType::KEY | FrameType::GENERATED_KEY => true,
            FrameType::UNSPECIFIED => self.is_keyframe_by_content(nal_length_size),
            _ => false,
        }
    }

    /// Returns whether the NAL units of a coded frame fill it exactly. Frames of codecs without NAL units, and
    /// other packets, are always complete. `nal_length_size` is that of [`VideoTrack::is_keyframe`].
    pub fn has_complete_units(&self, nal_length_size: u8) -> bool {
        let has_units = matches!(
            self.codec,
            VideoCodec::AVC
                | VideoCodec::AVC1
                | VideoCodec::HEVC
                | VideoCodec::HVC1
                | VideoCodec::VVC1
        );
        !has_units || !self.has_coded_frames() || nal::fill(self.body, nal_length_size)
    }

    fn has_coded_frames(&self) -> bool {
        let is_coded = matches!(
            self.packet,
            VideoPacket::CODED_FRAMES | VideoPacket::CODED_FRAMES_X
        );
        is_coded && !self.body.is_empty()
    }

    fn is_keyframe_by_content(&self, nal_length_size: u8) -> bool {
        match self.codec {
            VideoCodec::H263 => h263::is_keyframe(self.body),
            VideoCodec::VP6 => vp6::Frame::parse(self.body).is_some_and(|frame| frame.is_keyframe),
            VideoCodec::VP6_ALPHA => {
                vp6::Frame::parse_with_alpha(self.body).is_some_and(|frame| frame.is_keyframe)
            }
            VideoCodec::AVC | VideoCodec::AVC1 => avc::is_keyframe(self.body, nal_length_size),
            VideoCodec::HEVC | VideoCodec::HVC1 => hevc::is_keyframe(self.body, nal_length_size),
            VideoCodec::VVC1 => vvc::is_keyframe(self.body, nal_length_size),
            VideoCodec::AV01 => av1::is_keyframe(self.body),
            VideoCodec::VP08 => vp8::is_keyframe(self.body),
            VideoCodec::VP09 => vp9::is_keyframe(self.body),
            _ => false,
        }
    }

    /// Returns the size of the length before each NAL unit in the frames that follow this sequence header, 1
    /// to 4 bytes; `None` if this is not a sequence header, or the codec has no NAL units.
    pub fn nal_length_size(&self) -> Option<u8> {
        if !self.is_sequence_header() {
            return None;
        }
        match self.codec {
            VideoCodec::AVC | VideoCodec::AVC1 => avc::nal_length_size(self.body),
            VideoCodec::HEVC | VideoCodec::HVC1 => hevc::nal_length_size(self.body),
            VideoCodec::VVC1 => vvc::nal_length_size(self.body),
            _ => None,
        }
    }

    /// Returns the size of the picture, from a sequence header or a keyframe, depending on the codec.
    pub fn picture_size(&self) -> Option<PictureSize> {
        self.description()?.picture_size
    }

    /// Returns the properties of the track, from a sequence header or a keyframe, depending on the codec.
    /// Returns `None` if the message does not contain any.
    pub fn description(&self) -> Option<VideoDescription> {
        if self.is_sequence_header() {
            return self.codec.record_description(self.body);
        }
        if !self.has_coded_frames() {
            return None;
        }
        match self.codec {
            VideoCodec::H263 => {
                let size = h263::PictureHeader::parse(self.body)?.size;
                Some(legacy(size, size, Some(ChromaFormat::Yuv420)))
            }
            VideoCodec::SCREEN | VideoCodec::SCREEN_2 => {
                let size = screen::Header::parse(self.body)?.size;
                Some(legacy(size, size, None))
            }
            VideoCodec::VP6 => describe_vp6(vp6::Frame::parse(self.body)?),
            VideoCodec::VP6_ALPHA => describe_vp6(vp6::Frame::parse_with_alpha(self.body)?),
            VideoCodec::AV01 => av1::description(self.body),
            VideoCodec::VP08 => vp8::description(self.body),
            VideoCodec::VP09 => vp9::description(self.body),
            _ => None,
        }
    }
}

fn describe_vp6(frame: vp6::Frame<'_>) -> Option<VideoDescription> {
    let (size, coded) = (frame.picture_size()?, frame.coded_size()?);
    Some(legacy(size, coded, Some(ChromaFormat::Yuv420)))
}

/// Returns the properties of a codec of Flash Player, which has 8 bits and no B-frames.
fn legacy(
    picture: PictureSize,
    coded: PictureSize,
    chroma: Option<ChromaFormat>,
) -> VideoDescription {
    VideoDescription {
        picture_size: Some(picture),
        coded_size: Some(coded),
        bit_depth: Some(8),
        chroma,
        max_reordered_frames: Some(0),
        is_interlaced: Some(false),
        ..VideoDescription::EMPTY
    }
}

codecs! {
    /// Video codec of a tag (FLV E.4.3.1, E-RTMP "VideoFourCc"). Unknown codecs are kept.
    VideoCodec, "video codec" {
        /// Sorenson H.263.
        H263 = Legacy(2), "H.263";
        /// Screen video.
        SCREEN = Legacy(3), "Screen";
        /// VP6.
        VP6 = Legacy(4), "VP6";
        /// VP6 with an alpha channel.
        VP6_ALPHA = Legacy(5), "VP6 with alpha";
        /// Screen video, version 2.
        SCREEN_2 = Legacy(6), "Screen 2";
        /// AVC, legacy number.
        AVC = Legacy(7), "AVC";
        /// HEVC by a number that is not in any specification. The tags have the layout of AVC.
        HEVC = Legacy(12), "HEVC";
        /// AVC, name.
        AVC1 = FourCc(FourCc::AVC1), "AVC";
        /// HEVC, name.
        HVC1 = FourCc(FourCc::HVC1), "HEVC";
        /// VVC.
        VVC1 = FourCc(FourCc::VVC1), "VVC";
        /// AV1.
        AV01 = FourCc(FourCc::AV01), "AV1";
        /// VP8.
        VP08 = FourCc(FourCc::VP08), "VP8";
        /// VP9.
        VP09 = FourCc(FourCc::VP09), "VP9";
    }
}

impl VideoCodec {
    /// Returns the frame rate that the configuration record announces.
    pub fn frames_per_second(self, record: &[u8]) -> Option<f64> {
        self.record_description(record)?.frames_per_second
    }

    /// Returns the properties in a configuration record; `None` if it is damaged, or the codec has none.
    pub fn record_description(self, record: &[u8]) -> Option<VideoDescription> {
        match self {
            Self::AVC | Self::AVC1 => avc::description(record),
            Self::HEVC | Self::HVC1 => hevc::description(record),
            Self::VVC1 => vvc::description(record),
            Self::AV01 => av1::record_description(record),
            Self::VP09 => Some(vp9::ConfigurationRecord::parse(record)?.description()),
            _ => None,
        }
    }

    /// Returns whether coded frames in enhanced tags start with a composition time, because presentation
    /// order and decoding order may differ (E-RTMP "ExVideoTagBody").
    fn reorders_frames(self) -> bool {
        matches!(self, Self::AVC1 | Self::HVC1 | Self::VVC1)
    }
}

codes! {
    /// Frame type of a video tag (FLV E.4.3.1).
    FrameType {
        /// Reserved. MediaMTX sends it in every enhanced tag.
        UNSPECIFIED = 0, "unspecified";
        /// Keyframe.
        KEY = 1, "key";
        /// Inter frame.
        INTER = 2, "inter";
        /// Inter frame that no other frame refers to.
        DISPOSABLE_INTER = 3, "disposable inter";
        /// Keyframe generated by a server.
        GENERATED_KEY = 4, "generated key";
        /// Command to the player, without a picture.
        COMMAND = 5, "command";
    }
}

codes! {
    /// Packet type of a video tag (E-RTMP "VideoPacketType"). 0 to 2 mean the same in FLV E.4.3.1
    /// "AVCPacketType".
    VideoPacket {
        /// Configuration record.
        SEQUENCE_START = 0, "SequenceStart";
        /// Frames, after a composition time if the codec reorders frames.
        CODED_FRAMES = 1, "CodedFrames";
        /// End of the sequence.
        SEQUENCE_END = 2, "SequenceEnd";
        /// Frames with an omitted composition time of 0.
        CODED_FRAMES_X = 3, "CodedFramesX";
        /// AMF0 names and values, such as "colorInfo".
        METADATA = 4, "Metadata";
        /// Configuration as in an MPEG-2 transport stream.
        MPEG2_TS_SEQUENCE_START = 5, "MPEG2TSSequenceStart";
        /// Several tracks. [`VideoTag::packet`] is the packet type of the tracks.
        MULTITRACK = 6, "Multitrack";
        /// Extension of the header. [`VideoTag::packet`] is the packet type after it.
        MOD_EX = 7, "ModEx";
    }
}

/// Size of the length before a NAL unit, in bytes, that nearly every encoder uses.
pub const USUAL_NAL_LENGTH_SIZE: u8 = 4;

/// Bit of the first byte that marks an enhanced tag (E-RTMP "isExVideoHeader").
const IS_ENHANCED: u8 = 0x80;
