//! The body of an audio tag.

pub mod aac;
pub mod ac3;
pub mod flac;
pub mod mp3;
pub mod opus;

use std::fmt;

use super::{
    Error, FourCc, Multitrack, codes,
    enhanced::{self, Piece, Pieces},
};
use crate::core::wire::Reader;

/// The body of an audio tag (FLV E.4.2, E-RTMP "ExAudioTagHeader"), its head read and its tracks
/// borrowed.
#[derive(Debug, Clone)]
pub struct AudioTag<'a> {
    /// What the tracks carry. A codec of legacy FLV that knows no packet types has coded frames.
    pub packet: AudioPacket,
    /// Nanoseconds to add to the timestamp for presentation, 0 to 999,999 where the sender keeps to
    /// E-RTMP.
    pub nano_offset_ns: u32,
    /// What a legacy tag says of its sound; `None` if the head is one of Enhanced RTMP.
    pub flags: Option<SoundFlags>,
    pieces: Pieces<'a, AudioCodec>,
}

impl<'a> AudioTag<'a> {
    /// Reads the head of an audio tag's body. The tracks are read by [`AudioTag::tracks`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (first, rest) = body.split_first().ok_or(Error::Empty)?;
        if first >> 4 == ENHANCED {
            Self::parse_enhanced(*first, Reader::new(rest))
        } else {
            Self::parse_legacy(*first, Reader::new(rest))
        }
    }

    fn parse_legacy(first: u8, mut reader: Reader<'a>) -> Result<Self, Error> {
        let codec = AudioCodec::Legacy(first >> 4);
        let packet = match codec {
            AudioCodec::AAC => AudioPacket(reader.u8("AAC packet type")?),
            _ => AudioPacket::CODED_FRAMES,
        };
        Ok(Self {
            packet,
            nano_offset_ns: 0,
            flags: Some(SoundFlags(first & 0x0F)),
            pieces: Pieces::single(codec, reader.rest()),
        })
    }

    fn parse_enhanced(first: u8, mut reader: Reader<'a>) -> Result<Self, Error> {
        let (packet, nano_offset_ns) = enhanced::read_packet_type(first, &mut reader)?;
        let (packet, pieces) = enhanced::read_tracks(packet, AudioPacket::MULTITRACK.0, reader)?;
        Ok(Self {
            packet: AudioPacket(packet),
            nano_offset_ns,
            flags: None,
            pieces,
        })
    }

    /// The tracks, in the order of the tag: one, unless it is multitrack. Ends behind the first that
    /// is damaged.
    pub fn tracks(&self) -> impl Iterator<Item = Result<AudioTrack<'a>, Error>> + '_ {
        self.pieces.clone().map(|piece| Ok(self.track(piece?)))
    }

    fn track(&self, piece: Piece<'a, AudioCodec>) -> AudioTrack<'a> {
        AudioTrack {
            id: piece.id,
            codec: piece.codec,
            packet: self.packet,
            flags: self.flags,
            body: piece.body,
        }
    }

    /// The codec of all tracks, or of the first where they differ.
    pub fn codec(&self) -> Option<AudioCodec> {
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

    /// Whether there is sound in it: false for configuration, the end of a sequence, channel
    /// layouts and empty frames.
    pub fn carries_media(&self) -> bool {
        self.tracks().flatten().any(|track| track.carries_media())
    }
}

/// One track's part of an audio tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTrack<'a> {
    /// Which track; 0 is the default one, and the only one of a tag that is not multitrack.
    pub id: u8,
    /// What its frames are coded with.
    pub codec: AudioCodec,
    /// What `body` is.
    pub packet: AudioPacket,
    /// What a legacy tag says of its sound.
    pub flags: Option<SoundFlags>,
    /// A configuration record, frames, or what else `packet` says.
    pub body: &'a [u8],
}

impl<'a> AudioTrack<'a> {
    /// Whether a decoder must have seen this before the frames that follow. An empty record is none.
    pub fn is_sequence_header(&self) -> bool {
        self.packet == AudioPacket::SEQUENCE_START && !self.body.is_empty()
    }

    /// Whether there is sound in it: false for configuration, the end of a sequence, channel
    /// layouts and empty frames. Packet types that nobody knows yet count as sound.
    pub fn carries_media(&self) -> bool {
        let is_other = matches!(
            self.packet,
            AudioPacket::SEQUENCE_START
                | AudioPacket::SEQUENCE_END
                | AudioPacket::MULTICHANNEL_CONFIG
        );
        !is_other && !self.body.is_empty()
    }

    /// Rate and channels, from a configuration, a frame or the tag's own flags, whichever of the
    /// codec's knows them. Channels may be told otherwise by [`AudioTrack::channel_layout`].
    pub fn sound(&self) -> Option<Sound> {
        if self.is_sequence_header() {
            return match self.codec {
                AudioCodec::AAC | AudioCodec::MP4A => {
                    aac::AudioSpecificConfig::parse(self.body)?.sound()
                }
                AudioCodec::OPUS => Some(opus::Head::parse(self.body)?.sound()),
                AudioCodec::FLAC => Some(flac::StreamInfo::parse(self.body)?.sound()),
                _ => None,
            };
        }
        if !self.carries_media() {
            return None;
        }
        match self.codec {
            AudioCodec::MP3 | AudioCodec::MP3_8_KHZ | AudioCodec::MP3_NAMED => {
                Some(mp3::FrameHeader::parse(self.body)?.sound())
            }
            AudioCodec::AC_3 | AudioCodec::EC_3 => ac3::sound(self.body),
            AudioCodec::SPEEX | AudioCodec::NELLYMOSER_16_KHZ => Some(Sound::mono(16_000)),
            AudioCodec::NELLYMOSER_8_KHZ => Some(Sound::mono(8_000)),
            AudioCodec::NELLYMOSER => Some(Sound::mono(self.flags?.rate_hz())),
            AudioCodec::G711_A_LAW | AudioCodec::G711_MU_LAW => Some(Sound {
                rate_hz: 8_000,
                channels: self.flags?.channels(),
            }),
            AudioCodec::PCM | AudioCodec::PCM_LITTLE_ENDIAN | AudioCodec::ADPCM => Some(Sound {
                rate_hz: self.flags?.rate_hz(),
                channels: self.flags?.channels(),
            }),
            _ => None,
        }
    }

    /// Which speakers the channels are for; `None` if this is not about that.
    pub fn channel_layout(&self) -> Option<ChannelLayout<'a>> {
        if self.packet != AudioPacket::MULTICHANNEL_CONFIG {
            return None;
        }
        ChannelLayout::parse(self.body)
    }
}

/// How fast sound is sampled and for how many speakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Samples per second and channel.
    pub rate_hz: u32,
    /// Channels, those for low frequencies included.
    pub channels: u8,
}

impl Sound {
    fn mono(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            channels: 1,
        }
    }
}

/// The low four bits of a legacy tag's first byte (FLV E.4.2.1). Of a codec with a record or frame
/// headers of its own they say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundFlags(pub u8);

impl SoundFlags {
    /// Samples per second: 5,512, 11,025, 22,050 or 44,100.
    pub const fn rate_hz(self) -> u32 {
        match self.0 >> 2 & 3 {
            0 => 5_512,
            1 => 11_025,
            2 => 22_050,
            _ => 44_100,
        }
    }

    /// Bits in a sample that is not compressed: 8 or 16.
    pub const fn sample_bits(self) -> u8 {
        if self.0 & 2 == 0 { 8 } else { 16 }
    }

    /// 1 or 2.
    pub const fn channels(self) -> u8 {
        if self.0 & 1 == 0 { 1 } else { 2 }
    }
}

/// Which speakers the channels are for (E-RTMP, "AudioPacketType.MultichannelConfig").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout<'a> {
    /// How many channels.
    pub channels: u8,
    /// In which order.
    pub order: ChannelOrder<'a>,
}

/// The order that channels stand in (E-RTMP, "AudioChannelOrder").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder<'a> {
    /// Nobody knows.
    Unspecified,
    /// By speaker, of those whose bit is set; bit 0 is front left.
    Native(u32),
    /// A speaker's number for each channel; 254 is an unused one, 255 an unknown one.
    Custom(&'a [u8]),
    /// An order that E-RTMP does not know.
    Other(u8),
}

impl<'a> ChannelLayout<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let order = reader.u8("channel order").ok()?;
        let channels = reader.u8("number of channels").ok()?;
        let order = match order {
            0 => ChannelOrder::Unspecified,
            1 => ChannelOrder::Native(reader.u32("channel mask").ok()?),
            2 => ChannelOrder::Custom(reader.take(channels.into(), "channel mapping").ok()?),
            other => ChannelOrder::Other(other),
        };
        Some(Self { channels, order })
    }
}

/// What audio is coded with, as its tags say it; unknown ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// A number of legacy FLV, 0 to 15 but for 9 (FLV E.4.2.1).
    Legacy(u8),
    /// A name of Enhanced RTMP.
    FourCc(FourCc),
}

impl AudioCodec {
    /// Samples, in the byte order of whoever recorded them: little-endian, as all did.
    pub const PCM: Self = Self::Legacy(0);
    /// Adobe's ADPCM.
    pub const ADPCM: Self = Self::Legacy(1);
    /// MP3 by its legacy number.
    pub const MP3: Self = Self::Legacy(2);
    /// Samples, little-endian.
    pub const PCM_LITTLE_ENDIAN: Self = Self::Legacy(3);
    /// Nellymoser, 16 kHz.
    pub const NELLYMOSER_16_KHZ: Self = Self::Legacy(4);
    /// Nellymoser, 8 kHz.
    pub const NELLYMOSER_8_KHZ: Self = Self::Legacy(5);
    /// Nellymoser at the rate of the tag's flags.
    pub const NELLYMOSER: Self = Self::Legacy(6);
    /// G.711, A-law.
    pub const G711_A_LAW: Self = Self::Legacy(7);
    /// G.711, µ-law.
    pub const G711_MU_LAW: Self = Self::Legacy(8);
    /// AAC by its legacy number.
    pub const AAC: Self = Self::Legacy(10);
    /// Speex.
    pub const SPEEX: Self = Self::Legacy(11);
    /// MP3 at 8 kHz, a rate that the tag's flags cannot say.
    pub const MP3_8_KHZ: Self = Self::Legacy(14);
    /// What only the device knows that made it.
    pub const DEVICE_SPECIFIC: Self = Self::Legacy(15);
    /// AAC by its name.
    pub const MP4A: Self = Self::FourCc(FourCc::MP4A);
    /// MP3 by its name.
    pub const MP3_NAMED: Self = Self::FourCc(FourCc::MP3);
    /// Opus.
    pub const OPUS: Self = Self::FourCc(FourCc::OPUS);
    /// FLAC.
    pub const FLAC: Self = Self::FourCc(FourCc::FLAC);
    /// AC-3.
    pub const AC_3: Self = Self::FourCc(FourCc::AC_3);
    /// E-AC-3.
    pub const EC_3: Self = Self::FourCc(FourCc::EC_3);

    /// The number that `audiocodecid` in onMetaData has for it (FLV E.5, E-RTMP).
    pub const fn id(self) -> u32 {
        match self {
            Self::Legacy(id) => id as u32,
            Self::FourCc(name) => name.to_u32(),
        }
    }
}

impl From<FourCc> for AudioCodec {
    fn from(name: FourCc) -> Self {
        Self::FourCc(name)
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PCM | Self::PCM_LITTLE_ENDIAN => "PCM",
            Self::ADPCM => "ADPCM",
            Self::MP3 | Self::MP3_8_KHZ | Self::MP3_NAMED => "MP3",
            Self::NELLYMOSER_16_KHZ | Self::NELLYMOSER_8_KHZ | Self::NELLYMOSER => "Nellymoser",
            Self::G711_A_LAW => "G.711 A-law",
            Self::G711_MU_LAW => "G.711 mu-law",
            Self::AAC | Self::MP4A => "AAC",
            Self::SPEEX => "Speex",
            Self::DEVICE_SPECIFIC => "device-specific sound",
            Self::OPUS => "Opus",
            Self::FLAC => "FLAC",
            Self::AC_3 => "AC-3",
            Self::EC_3 => "E-AC-3",
            Self::Legacy(id) => return write!(f, "audio codec {id}"),
            Self::FourCc(name) => return write!(f, "audio codec {name}"),
        })
    }
}

codes! {
    /// What an audio tag carries (E-RTMP "AudioPacketType"; FLV E.4.2.1 "AACPacketType", whose 0 and
    /// 1 mean the same).
    AudioPacket {
        /// A configuration record.
        SEQUENCE_START = 0, "SequenceStart";
        /// Frames.
        CODED_FRAMES = 1, "CodedFrames";
        /// Nothing: the sequence is over, or silence.
        SEQUENCE_END = 2, "SequenceEnd";
        /// Which speakers the channels are for.
        MULTICHANNEL_CONFIG = 4, "MultichannelConfig";
        /// Several tracks; [`AudioTag::packet`] has the packet type behind it.
        MULTITRACK = 5, "Multitrack";
        /// Something before the packet; [`AudioTag::packet`] has the packet type behind it.
        MOD_EX = 7, "ModEx";
    }
}

/// The legacy codec number that says that the head is one of E-RTMP ("SoundFormat.ExHeader").
const ENHANCED: u8 = 9;
