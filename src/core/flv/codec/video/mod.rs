//! The body of a video tag.

pub mod av1;
pub mod avc;
pub mod h263;
pub mod hevc;
mod nal;
pub mod screen;
pub mod vp6;
pub mod vp8;
pub mod vp9;
pub mod vvc;

use std::fmt;

use super::{
    Error, FourCc, Multitrack, codes,
    enhanced::{self, Piece, Pieces},
};
use crate::core::wire::Reader;

/// The body of a video tag (FLV E.4.3, E-RTMP "ExVideoTagHeader"), its head read and its tracks
/// borrowed.
#[derive(Debug, Clone)]
pub struct VideoTag<'a> {
    /// What kind of frame the tag claims to carry. MediaMTX leaves it at 0 in enhanced tags;
    /// [`VideoTag::is_keyframe`] then asks the frame itself.
    pub frame: FrameType,
    /// What the tracks carry. A codec of legacy FLV that knows no packet types has coded frames.
    pub packet: VideoPacket,
    /// Whether the head is one of Enhanced RTMP.
    pub is_enhanced: bool,
    /// Nanoseconds to add to the timestamp for presentation, 0 to 999,999 where the sender keeps to
    /// E-RTMP.
    pub nano_offset_ns: u32,
    /// What a command frame commands, 0 or 1 for the start or end of seeking; such a tag has no
    /// tracks.
    pub command: Option<u8>,
    /// Stands in the head of a legacy tag, in the tracks of an enhanced one.
    composition_time_ms: i32,
    pieces: Pieces<'a, VideoCodec>,
}

impl<'a> VideoTag<'a> {
    /// Reads the head of a video tag's body. The tracks are read by [`VideoTag::tracks`].
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
            pieces: Pieces::none(Some(codec)),
        };
        // FLV E.4.3.1 would have the packet type and the composition time of AVC before the command,
        // E-RTMP has the command come first. Nothing depends on it: no picture follows.
        if tag.frame == FrameType::COMMAND {
            tag.command = Some(reader.u8("command")?);
            return Ok(tag);
        }
        if let VideoCodec::AVC | VideoCodec::HEVC = codec {
            tag.packet = VideoPacket(reader.u8("AVC packet type")?);
            tag.composition_time_ms = reader.i24("composition time")?;
        }
        tag.pieces = Pieces::single(codec, reader.rest());
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
            pieces: Pieces::none(None),
        };
        // Metadata is no command, whatever its frame type: ffmpeg sends it with this one.
        if tag.frame == FrameType::COMMAND && tag.packet != VideoPacket::METADATA {
            tag.command = Some(reader.u8("command")?);
            return Ok(tag);
        }
        let (packet, pieces) = enhanced::read_tracks(packet, VideoPacket::MULTITRACK.0, reader)?;
        tag.packet = VideoPacket(packet);
        tag.pieces = pieces;
        Ok(tag)
    }

    /// The tracks, in the order of the tag: one, unless it is multitrack or a command. Ends behind
    /// the first that is damaged.
    pub fn tracks(&self) -> impl Iterator<Item = Result<VideoTrack<'a>, Error>> + '_ {
        self.pieces.clone().map(|piece| self.track(piece?))
    }

    fn track(&self, piece: Piece<'a, VideoCodec>) -> Result<VideoTrack<'a>, Error> {
        let mut reader = Reader::new(piece.body);
        let composition_time_ms = if self.is_enhanced
            && self.packet == VideoPacket::CODED_FRAMES
            && piece.codec.reorders_frames()
        {
            reader.i24("composition time")?
        } else {
            self.composition_time_ms
        };
        Ok(VideoTrack {
            id: piece.id,
            codec: piece.codec,
            frame: self.frame,
            packet: self.packet,
            composition_time_ms,
            body: reader.rest(),
        })
    }

    /// The codec of all tracks, or of the first where they differ.
    pub fn codec(&self) -> Option<VideoCodec> {
        let first = || Some(self.pieces.clone().next()?.ok()?.codec);
        self.pieces.codec.or_else(first)
    }

    /// How several tracks share the tag; `None` for a tag of one track without an id.
    pub fn multitrack(&self) -> Option<Multitrack> {
        self.pieces.multitrack
    }

    /// Whether a decoder must have seen this tag before the frames that follow.
    pub fn is_sequence_header(&self) -> bool {
        self.tracks()
            .flatten()
            .any(|track| track.is_sequence_header())
    }

    /// Whether there is a picture in it: false for configuration, the end of a sequence, metadata,
    /// commands and empty frames.
    pub fn carries_media(&self) -> bool {
        self.tracks().flatten().any(|track| track.carries_media())
    }

    /// Whether a player can start here: [`VideoTrack::is_keyframe`] of the default track, number 0.
    pub fn is_keyframe(&self, nal_length_size: u8) -> bool {
        self.tracks()
            .flatten()
            .any(|track| track.id == enhanced::DEFAULT_TRACK && track.is_keyframe(nal_length_size))
    }
}

/// One track's part of a video tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTrack<'a> {
    /// Which track; 0 is the default one, and the only one of a tag that is not multitrack.
    pub id: u8,
    /// What its frames are coded with.
    pub codec: VideoCodec,
    /// What kind of frame the tag claims to carry.
    pub frame: FrameType,
    /// What `body` is.
    pub packet: VideoPacket,
    /// Presentation time less decoding time, in milliseconds; may be negative.
    pub composition_time_ms: i32,
    /// A configuration record, frames, or what else `packet` says.
    pub body: &'a [u8],
}

impl VideoTrack<'_> {
    /// Whether a decoder must have seen this before the frames that follow. An empty record is none:
    /// ffmpeg announces AV1 with one and sends the real one later.
    pub fn is_sequence_header(&self) -> bool {
        let is_start = matches!(
            self.packet,
            VideoPacket::SEQUENCE_START | VideoPacket::MPEG2_TS_SEQUENCE_START
        );
        is_start && !self.body.is_empty()
    }

    /// Whether there is a picture in it: false for configuration, the end of a sequence, metadata
    /// and empty frames. Packet types that nobody knows yet count as pictures.
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

    /// Whether decoding can start at this frame: by its frame type, or by its bits where that is 0.
    /// `nal_length_size` comes from the track's last configuration,
    /// [`VideoTrack::nal_length_size`]; where none has come, it is the [`USUAL_NAL_LENGTH_SIZE`].
    pub fn is_keyframe(&self, nal_length_size: u8) -> bool {
        if !self.has_coded_frames() {
            return false;
        }
        match self.frame {
            FrameType::KEY | FrameType::GENERATED_KEY => true,
            FrameType::UNSPECIFIED => self.is_key_in_its_bits(nal_length_size),
            _ => false,
        }
    }

    fn has_coded_frames(&self) -> bool {
        let is_coded = matches!(
            self.packet,
            VideoPacket::CODED_FRAMES | VideoPacket::CODED_FRAMES_X
        );
        is_coded && !self.body.is_empty()
    }

    fn is_key_in_its_bits(&self, nal_length_size: u8) -> bool {
        match self.codec {
            VideoCodec::H263 => h263::is_key(self.body),
            VideoCodec::VP6 => vp6::is_key(self.body),
            VideoCodec::VP6_ALPHA => vp6::is_key_with_alpha(self.body),
            VideoCodec::AVC | VideoCodec::AVC1 => avc::is_key(self.body, nal_length_size),
            VideoCodec::HEVC | VideoCodec::HVC1 => hevc::is_key(self.body, nal_length_size),
            VideoCodec::VVC1 => vvc::is_key(self.body, nal_length_size),
            VideoCodec::AV01 => av1::is_key(self.body),
            VideoCodec::VP08 => vp8::is_key(self.body),
            VideoCodec::VP09 => vp9::is_key(self.body),
            _ => false,
        }
    }

    /// How many bytes hold the length of each NAL unit in the frames that follow this
    /// configuration, 1 to 4; `None` if it is none, or of a codec without NAL units.
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

    /// The size of the picture, from a configuration or from a frame, whichever of the codec's knows
    /// it. Worth asking of configurations and keyframes only.
    pub fn picture_size(&self) -> Option<PictureSize> {
        if self.is_sequence_header() {
            return match self.codec {
                VideoCodec::AVC | VideoCodec::AVC1 => avc::picture_size(self.body),
                VideoCodec::HEVC | VideoCodec::HVC1 => hevc::picture_size(self.body),
                VideoCodec::VVC1 => vvc::picture_size(self.body),
                VideoCodec::AV01 => av1::Configuration::parse(self.body)?.picture_size(),
                _ => None,
            };
        }
        if !self.has_coded_frames() {
            return None;
        }
        match self.codec {
            VideoCodec::H263 => Some(h263::PictureHeader::parse(self.body)?.size),
            VideoCodec::SCREEN | VideoCodec::SCREEN_2 => {
                Some(screen::Header::parse(self.body)?.size)
            }
            VideoCodec::VP6 => vp6::picture_size(self.body),
            VideoCodec::VP6_ALPHA => vp6::picture_size_with_alpha(self.body),
            VideoCodec::AV01 => av1::picture_size(self.body),
            VideoCodec::VP08 => vp8::picture_size(self.body),
            VideoCodec::VP09 => vp9::picture_size(self.body),
            _ => None,
        }
    }
}

/// What video is coded with, as its tags say it; unknown ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// A number of legacy FLV, 0 to 15 (FLV E.4.3.1).
    Legacy(u8),
    /// A name of Enhanced RTMP.
    FourCc(FourCc),
}

impl VideoCodec {
    /// Sorenson's H.263.
    pub const H263: Self = Self::Legacy(2);
    /// Screen video.
    pub const SCREEN: Self = Self::Legacy(3);
    /// VP6.
    pub const VP6: Self = Self::Legacy(4);
    /// VP6 with an alpha channel.
    pub const VP6_ALPHA: Self = Self::Legacy(5);
    /// Screen video, version 2.
    pub const SCREEN_2: Self = Self::Legacy(6);
    /// AVC by its legacy number.
    pub const AVC: Self = Self::Legacy(7);
    /// HEVC by a number that no specification has, in tags made like those of AVC.
    pub const HEVC: Self = Self::Legacy(12);
    /// AVC by its name.
    pub const AVC1: Self = Self::FourCc(FourCc::AVC1);
    /// HEVC by its name.
    pub const HVC1: Self = Self::FourCc(FourCc::HVC1);
    /// VVC.
    pub const VVC1: Self = Self::FourCc(FourCc::VVC1);
    /// AV1.
    pub const AV01: Self = Self::FourCc(FourCc::AV01);
    /// VP8.
    pub const VP08: Self = Self::FourCc(FourCc::VP08);
    /// VP9.
    pub const VP09: Self = Self::FourCc(FourCc::VP09);

    /// The number that `videocodecid` in onMetaData has for it (FLV E.5, E-RTMP).
    pub const fn id(self) -> u32 {
        match self {
            Self::Legacy(id) => id as u32,
            Self::FourCc(name) => name.to_u32(),
        }
    }

    /// Whether its frames may be shown in another order than they are sent in, so that coded frames
    /// start with a composition time.
    fn reorders_frames(self) -> bool {
        matches!(self, Self::AVC1 | Self::HVC1 | Self::VVC1)
    }
}

impl From<FourCc> for VideoCodec {
    fn from(name: FourCc) -> Self {
        Self::FourCc(name)
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::H263 => "H.263",
            Self::SCREEN => "Screen",
            Self::VP6 => "VP6",
            Self::VP6_ALPHA => "VP6 with alpha",
            Self::SCREEN_2 => "Screen 2",
            Self::AVC | Self::AVC1 => "AVC",
            Self::HEVC | Self::HVC1 => "HEVC",
            Self::VVC1 => "VVC",
            Self::AV01 => "AV1",
            Self::VP08 => "VP8",
            Self::VP09 => "VP9",
            Self::Legacy(id) => return write!(f, "video codec {id}"),
            Self::FourCc(name) => return write!(f, "video codec {name}"),
        })
    }
}

codes! {
    /// What kind of frame a video tag carries, or claims to (FLV E.4.3.1).
    FrameType {
        /// Reserved; what MediaMTX sends with every enhanced tag.
        UNSPECIFIED = 0, "unspecified";
        /// A keyframe.
        KEY = 1, "key";
        /// A frame that needs others.
        INTER = 2, "inter";
        /// A frame that needs others and is needed by none.
        DISPOSABLE_INTER = 3, "disposable inter";
        /// A keyframe made by a server.
        GENERATED_KEY = 4, "generated key";
        /// No picture but a word to the player.
        COMMAND = 5, "command";
    }
}

codes! {
    /// What a video tag carries (E-RTMP "VideoPacketType"; FLV E.4.3.1 "AVCPacketType", whose 0 to 2
    /// mean the same).
    VideoPacket {
        /// A configuration record.
        SEQUENCE_START = 0, "SequenceStart";
        /// Frames, behind a composition time where the codec reorders them.
        CODED_FRAMES = 1, "CodedFrames";
        /// Nothing: the sequence is over.
        SEQUENCE_END = 2, "SequenceEnd";
        /// Frames whose composition time is 0 and left out.
        CODED_FRAMES_X = 3, "CodedFramesX";
        /// AMF0 names and values, such as "colorInfo".
        METADATA = 4, "Metadata";
        /// A configuration as an MPEG-2 transport stream has it.
        MPEG2_TS_SEQUENCE_START = 5, "MPEG2TSSequenceStart";
        /// Several tracks; [`VideoTag::packet`] has the packet type behind it.
        MULTITRACK = 6, "Multitrack";
        /// Something before the packet; [`VideoTag::packet`] has the packet type behind it.
        MOD_EX = 7, "ModEx";
    }
}

/// Width and height of a picture as shown, in pixels; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSize {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl PictureSize {
    /// `None` if there would be no pixel.
    pub fn new(width: impl Into<u32>, height: impl Into<u32>) -> Option<Self> {
        let (width, height) = (width.into(), height.into());
        (width > 0 && height > 0).then_some(Self { width, height })
    }
}

impl fmt::Display for PictureSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How many bytes nearly every encoder spends on the length in front of a NAL unit.
pub const USUAL_NAL_LENGTH_SIZE: u8 = 4;

/// The bit of the first byte that no legacy frame type uses (E-RTMP, "isExVideoHeader").
const IS_ENHANCED: u8 = 0x80;
