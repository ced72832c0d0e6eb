//! Body of an audio tag.

pub mod aac;
pub mod ac3;
pub mod flac;
pub mod mp3;
pub mod opus;

use super::{
    Error, FourCc, Multitrack,
    codes::{codecs, codes},
    description::{AudioDescription, Speakers},
    enhanced::{self, RawTrack, RawTracks},
};
use crate::core::wire::{Missing, Reader};

/// Body of an audio tag (FLV E.4.2, E-RTMP "ExAudioTagHeader"): the parsed header and the borrowed tracks.
#[derive(Debug, Clone)]
pub struct AudioTag<'a> {
    /// Packet type of all tracks. Legacy codecs without packet types have coded frames.
    pub packet: AudioPacket,
    /// Nanoseconds to add to the timestamp for presentation; 0 to 999,999 in a valid tag.
    pub nano_offset_ns: u32,
    /// Format flags of a legacy tag; `None` in an enhanced tag.
    pub flags: Option<SoundFlags>,
    tracks: RawTracks<'a, AudioCodec>,
}

impl<'a> AudioTag<'a> {
    /// Parses the header of a body. [`AudioTag::tracks`] parses the tracks.
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
            tracks: RawTracks::single(codec, reader.rest()),
        })
    }

    fn parse_enhanced(first: u8, mut reader: Reader<'a>) -> Result<Self, Error> {
        let (packet, nano_offset_ns) = enhanced::read_packet_type(first, &mut reader)?;
        let (packet, tracks) = enhanced::read_tracks(packet, AudioPacket::MULTITRACK.0, reader)?;
        Ok(Self {
            packet: AudioPacket(packet),
            nano_offset_ns,
            flags: None,
            tracks,
        })
    }

    /// Returns the tracks in the order of the tag. The iterator ends after the first damaged track.
    pub fn tracks(&self) -> impl Iterator<Item = Result<AudioTrack<'a>, Error>> + '_ {
        self.tracks.clone().map(|track| Ok(self.track(track?)))
    }

    /// Returns the tracks as [`AudioTag::tracks`] does.
    pub fn into_tracks(self) -> impl Iterator<Item = Result<AudioTrack<'a>, Error>> {
        self.tracks.clone().map(move |track| Ok(self.track(track?)))
    }

    fn track(&self, track: RawTrack<'a, AudioCodec>) -> AudioTrack<'a> {
        AudioTrack {
            id: track.id,
            codec: track.codec,
            packet: self.packet,
            flags: self.flags,
            body: track.body,
        }
    }

    /// Returns the codec of all tracks, or of the first one if they differ.
    pub fn codec(&self) -> Option<AudioCodec> {
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

    /// Returns whether any track contains audio, see [`AudioTrack::carries_media`].
    pub fn carries_media(&self) -> bool {
        self.tracks().flatten().any(|track| track.carries_media())
    }
}

/// One track of an audio tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTrack<'a> {
    /// Id of the track; 0 is the main track, and the only one without multitrack.
    pub id: u8,
    /// Codec of the frames.
    pub codec: AudioCodec,
    /// Type of `body`.
    pub packet: AudioPacket,
    /// Format flags of a legacy tag.
    pub flags: Option<SoundFlags>,
    /// Configuration record, frames, or other data of the packet type.
    pub body: &'a [u8],
}

impl<'a> AudioTrack<'a> {
    /// Returns whether a decoder needs this packet before the frames that follow. An empty record does not
    /// count.
    pub fn is_sequence_header(&self) -> bool {
        self.packet == AudioPacket::SEQUENCE_START && !self.body.is_empty()
    }

    /// Returns whether the packet contains audio. Sequence headers, ends of sequence, channel layouts and
    /// empty frames do not; unknown packet types do.
    pub fn carries_media(&self) -> bool {
        let is_other = matches!(
            self.packet,
            AudioPacket::SEQUENCE_START
                | AudioPacket::SEQUENCE_END
                | AudioPacket::MULTICHANNEL_CONFIG
        );
        !is_other && !self.body.is_empty()
    }

    /// Returns sample rate and channels, from a sequence header, a frame or the flags of the tag, depending
    /// on the codec. [`AudioTrack::channel_layout`] may override the channels.
    pub fn format(&self) -> Option<AudioFormat> {
        if self.is_sequence_header() {
            return match self.codec {
                AudioCodec::AAC | AudioCodec::MP4A => {
                    aac::AudioSpecificConfig::parse(self.body)?.format()
                }
                AudioCodec::OPUS => Some(opus::Head::parse(self.body)?.format()),
                AudioCodec::FLAC => Some(flac::StreamInfo::parse(self.body)?.format()),
                _ => None,
            };
        }
        if !self.carries_media() {
            return None;
        }
        let (rate_hz, channels) = match self.codec {
            AudioCodec::MP3 | AudioCodec::MP3_8_KHZ | AudioCodec::MP3_NAMED => {
                return Some(mp3::FrameHeader::parse(self.body)?.format());
            }
            AudioCodec::AC_3 | AudioCodec::EC_3 => return ac3::format(self.body),
            AudioCodec::SPEEX | AudioCodec::NELLYMOSER_16_KHZ => (16_000, 1),
            AudioCodec::NELLYMOSER_8_KHZ => (8_000, 1),
            AudioCodec::NELLYMOSER => (self.flags?.rate_hz(), 1),
            AudioCodec::G711_A_LAW | AudioCodec::G711_MU_LAW => (8_000, self.flags?.channels()),
            AudioCodec::PCM | AudioCodec::PCM_LITTLE_ENDIAN | AudioCodec::ADPCM => {
                (self.flags?.rate_hz(), self.flags?.channels())
            }
            _ => return None,
        };
        Some(AudioFormat { rate_hz, channels })
    }

    /// Returns the properties of the track, from a sequence header, a channel layout, a frame or the flags of
    /// the tag, depending on the codec. Returns `None` if the message does not contain any.
    pub fn description(&self) -> Option<AudioDescription> {
        if self.is_sequence_header() {
            return self.codec.record_description(self.body);
        }
        if let Some(layout) = self.channel_layout() {
            return Some(layout.description());
        }
        if !self.carries_media() {
            return None;
        }
        match self.codec {
            AudioCodec::MP3 | AudioCodec::MP3_8_KHZ | AudioCodec::MP3_NAMED => {
                Some(mp3::FrameHeader::parse(self.body)?.description())
            }
            AudioCodec::AC_3 | AudioCodec::EC_3 => ac3::description(self.body),
            AudioCodec::OPUS => Some(opus::describe_packet(self.body)),
            _ => self.legacy_description(),
        }
    }

    /// Returns the properties of a codec whose rate is in the flags of the tag, or always the same.
    fn legacy_description(&self) -> Option<AudioDescription> {
        let AudioFormat { rate_hz, channels } = self.format()?;
        let is_pcm = matches!(self.codec, AudioCodec::PCM | AudioCodec::PCM_LITTLE_ENDIAN);
        let is_nellymoser = matches!(
            self.codec,
            AudioCodec::NELLYMOSER | AudioCodec::NELLYMOSER_8_KHZ | AudioCodec::NELLYMOSER_16_KHZ
        );
        Some(AudioDescription {
            core_rate_hz: Some(rate_hz),
            rate_hz: Some(rate_hz),
            channels: Some(channels),
            speakers: Speakers::front(channels),
            sample_bits: self.flags.filter(|_| is_pcm).map(SoundFlags::sample_bits),
            frame_samples: match is_nellymoser {
                true => nellymoser_samples(self.body),
                false => None,
            },
            ..AudioDescription::default()
        })
    }

    /// Returns the speakers of the channels; `None` if this is not a channel layout.
    pub fn channel_layout(&self) -> Option<ChannelLayout<'a>> {
        if self.packet != AudioPacket::MULTICHANNEL_CONFIG {
            return None;
        }
        ChannelLayout::read(&mut Reader::new(self.body)).ok()
    }
}

/// Returns the samples of a Nellymoser frame: 256 in each block of 64 bytes.
fn nellymoser_samples(frame: &[u8]) -> Option<u32> {
    let blocks = u32::try_from(frame.len() / 64).ok()?;
    blocks.checked_mul(256).filter(|samples| *samples > 0)
}

/// Sample rate and channels of decoded audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second and channel.
    pub rate_hz: u32,
    /// Number of channels, including low-frequency channels.
    pub channels: u8,
}

/// The low four bits of the first byte of a legacy tag (FLV E.4.2.1). They are not meaningful for codecs
/// with a configuration record or frame headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundFlags(pub u8);

impl SoundFlags {
    /// Returns the samples per second: 5,512, 11,025, 22,050 or 44,100.
    pub const fn rate_hz(self) -> u32 {
        match self.0 >> 2 & 3 {
            0 => 5_512,
            1 => 11_025,
            2 => 22_050,
            _ => 44_100,
        }
    }

    /// Returns the bits per uncompressed sample: 8 or 16.
    pub const fn sample_bits(self) -> u8 {
        if self.0 & 2 == 0 { 8 } else { 16 }
    }

    /// Returns the number of channels: 1 or 2.
    pub const fn channels(self) -> u8 {
        if self.0 & 1 == 0 { 1 } else { 2 }
    }
}

/// Speakers of the channels (E-RTMP "AudioPacketType.MultichannelConfig").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout<'a> {
    /// Number of channels.
    pub channels: u8,
    /// Order of the channels.
    pub order: ChannelOrder<'a>,
}

/// Order of channels (E-RTMP "AudioChannelOrder").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder<'a> {
    /// Not specified.
    Unspecified,
    /// In the order of the set bits, one per speaker; bit 0 is front left.
    Native(u32),
    /// The number of a speaker for each channel; 254 is unused, 255 is unknown.
    Custom(&'a [u8]),
    /// An order that E-RTMP does not define.
    Other(u8),
}

impl<'a> ChannelLayout<'a> {
    /// Returns the properties in the layout.
    pub fn description(&self) -> AudioDescription {
        AudioDescription {
            channels: Some(self.channels),
            speakers: match self.order {
                ChannelOrder::Native(bits) => Some(Speakers(bits)),
                _ => None,
            },
            ..AudioDescription::default()
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Missing> {
        let order = reader.u8("channel order")?;
        let channels = reader.u8("channel count")?;
        let order = match order {
            0 => ChannelOrder::Unspecified,
            1 => ChannelOrder::Native(reader.u32("channel mask")?),
            2 => ChannelOrder::Custom(reader.take(channels.into(), "channel mapping")?),
            other => ChannelOrder::Other(other),
        };
        Ok(Self { channels, order })
    }
}

codecs! {
    /// Audio codec of a tag (FLV E.4.2.1, E-RTMP "AudioFourCc"). Unknown codecs are kept.
    AudioCodec, "audio codec" {
        /// PCM in the byte order of the recording computer, in practice little-endian.
        PCM = Legacy(0), "PCM";
        /// ADPCM of Adobe.
        ADPCM = Legacy(1), "ADPCM";
        /// MP3, legacy number.
        MP3 = Legacy(2), "MP3";
        /// PCM, little-endian.
        PCM_LITTLE_ENDIAN = Legacy(3), "PCM";
        /// Nellymoser at 16 kHz.
        NELLYMOSER_16_KHZ = Legacy(4), "Nellymoser";
        /// Nellymoser at 8 kHz.
        NELLYMOSER_8_KHZ = Legacy(5), "Nellymoser";
        /// Nellymoser at the sample rate in the flags.
        NELLYMOSER = Legacy(6), "Nellymoser";
        /// G.711 A-law.
        G711_A_LAW = Legacy(7), "G.711 A-law";
        /// G.711 µ-law.
        G711_MU_LAW = Legacy(8), "G.711 mu-law";
        /// AAC, legacy number.
        AAC = Legacy(10), "AAC";
        /// Speex.
        SPEEX = Legacy(11), "Speex";
        /// MP3 at 8 kHz, a rate that the flags cannot express.
        MP3_8_KHZ = Legacy(14), "MP3";
        /// Format of the recording device.
        DEVICE_SPECIFIC = Legacy(15), "device-specific sound";
        /// AAC, name.
        MP4A = FourCc(FourCc::MP4A), "AAC";
        /// MP3, name.
        MP3_NAMED = FourCc(FourCc::MP3), "MP3";
        /// Opus.
        OPUS = FourCc(FourCc::OPUS), "Opus";
        /// FLAC.
        FLAC = FourCc(FourCc::FLAC), "FLAC";
        /// AC-3.
        AC_3 = FourCc(FourCc::AC_3), "AC-3";
        /// E-AC-3.
        EC_3 = FourCc(FourCc::EC_3), "E-AC-3";
    }
}

impl AudioCodec {
    /// Returns the properties in a configuration record; `None` if it is damaged, or the codec has none.
    pub fn record_description(self, record: &[u8]) -> Option<AudioDescription> {
        match self {
            Self::AAC | Self::MP4A => Some(aac::AudioSpecificConfig::parse(record)?.description()),
            Self::OPUS => Some(opus::Head::parse(record)?.description()),
            Self::FLAC => Some(flac::StreamInfo::parse(record)?.description()),
            _ => None,
        }
    }
}

codes! {
    /// Packet type of an audio tag (E-RTMP "AudioPacketType"). 0 and 1 mean the same in FLV E.4.2.1
    /// "AACPacketType".
    AudioPacket {
        /// Configuration record.
        SEQUENCE_START = 0, "SequenceStart";
        /// Frames.
        CODED_FRAMES = 1, "CodedFrames";
        /// End of the sequence, or silence.
        SEQUENCE_END = 2, "SequenceEnd";
        /// Channel layout.
        MULTICHANNEL_CONFIG = 4, "MultichannelConfig";
        /// Several tracks. [`AudioTag::packet`] is the packet type of the tracks.
        MULTITRACK = 5, "Multitrack";
        /// Extension of the header. [`AudioTag::packet`] is the packet type after it.
        MOD_EX = 7, "ModEx";
    }
}

/// Legacy codec number of an enhanced tag (E-RTMP "SoundFormat.ExHeader").
const ENHANCED: u8 = 9;
