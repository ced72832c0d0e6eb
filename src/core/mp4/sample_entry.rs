//! Sample entries: the codec setup of a track, from RTMP sequence headers and frames.

use thiserror::Error;

use super::{
    boxes::{put, put_full},
    color,
    frame_rate::{FrameRate, MILLISECONDS},
};
use crate::core::flv::{
    TagKind,
    codec::{
        AudioCodec, AudioTrack, PictureSize, VideoCodec, VideoPacket, VideoTrack,
        audio::{
            aac::AudioSpecificConfig,
            ac3::{self, EnhancedFrame},
            flac::StreamInfo,
            mp3, opus,
        },
        video::{av1, avc, hevc, vp9, vvc},
    },
    frame_info::{Codec, MediaTrack, media_tracks},
};

/// Codec setup of one track, and the encoded box that describes it (ISO 14496-12 8.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleEntry {
    /// Codec of the frames: that of its `family`.
    pub codec: Codec,
    /// Number of ticks per second of the track. That of video changes when its frame rate is known.
    pub timescale: u32,
    /// Size of the picture, if the setup contains it.
    pub picture_size: Option<PictureSize>,
    pub(super) frame_length: FrameLength,
    /// Frame rate that the setup announces.
    pub(super) frame_rate: Option<FrameRate>,
    pub(super) kind: [u8; 4],
    /// Width and height of a pixel, relative to each other, if the setup contains them.
    pub(super) pixel_aspect: Option<(u16, u16)>,
    /// Whether samples use the full range of values, if the setup contains it.
    pub(super) is_full_range: Option<bool>,
    /// Body of the box; without the fields of [`put_visual`] if the track is video.
    pub(super) body: Vec<u8>,
    /// Boxes after it, see [`super::color`].
    pub(super) color: Vec<u8>,
}

/// Number of ticks that a frame lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameLength {
    /// The timestamps of the stream decide.
    Unknown,
    Constant(u32),
    /// Each Opus packet contains its length.
    Opus,
}

/// Why an MP4 file cannot hold a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// No sample entry exists for the codec.
    #[error("it has no form for {0}")]
    Codec(String),
    /// Frames arrived before the setup of their decoder.
    #[error("the {0} has no sequence header")]
    NoSequenceHeader(String),
    /// The setup of the decoder does not parse.
    #[error("the sequence header of the {0} is damaged")]
    DamagedSequenceHeader(String),
    /// The setup of a decoder changed in the middle of a file.
    #[error("its codec or resolution changes too often")]
    Changed,
}

impl SampleEntry {
    /// Returns the setup of the first track of an audio or video message, see [`SampleEntry::of_track`].
    pub fn of(kind: TagKind, body: &[u8]) -> Result<Self, Unsupported> {
        let first = media_tracks(kind, body).next();
        first.map_or_else(|| Err(unknown(kind)), |track| Self::of_track(&track))
    }

    /// Returns the setup of a track: from a sequence header, or from a frame of a codec that has none.
    pub fn of_track(track: &MediaTrack<'_>) -> Result<Self, Unsupported> {
        match track {
            MediaTrack::Video(track) => Self::video(track),
            MediaTrack::Audio(track) => Self::audio(track),
        }
    }

    fn video(track: &VideoTrack<'_>) -> Result<Self, Unsupported> {
        let codec = track.codec;
        let is_header = track.is_sequence_header() && track.packet == VideoPacket::SEQUENCE_START;
        let record = track.body;
        let setup = match codec {
            VideoCodec::AVC | VideoCodec::AVC1 if is_header => {
                avc::nal_length_size(record).map(|_| (b"avc1", plain(b"avcC", record)))
            }
            VideoCodec::HEVC | VideoCodec::HVC1 if is_header => {
                hevc::nal_length_size(record).map(|_| (b"hvc1", plain(b"hvcC", record)))
            }
            VideoCodec::VVC1 if is_header => {
                vvc::has_all_fields(record).then(|| (b"vvc1", full(b"vvcC", record)))
            }
            VideoCodec::AV01 if is_header => {
                av1::ConfigurationRecord::parse(record).map(|_| (b"av01", plain(b"av1C", record)))
            }
            VideoCodec::VP09 if is_header => {
                let parsed = vp9::ConfigurationRecord::parse(record);
                let fields = record.len().checked_sub(8).and_then(|at| record.get(at..));
                parsed.and(fields).map(|fields| (b"vp09", vpcc(fields)))
            }
            VideoCodec::VP08 => Some((b"vp08", vpcc(&VP8))),
            VideoCodec::AVC
            | VideoCodec::AVC1
            | VideoCodec::HEVC
            | VideoCodec::HVC1
            | VideoCodec::VVC1
            | VideoCodec::AV01
            | VideoCodec::VP09 => return Err(Unsupported::NoSequenceHeader(codec.to_string())),
            _ => return Err(Unsupported::Codec(codec.to_string())),
        };
        let Some((kind, mut body)) = setup else {
            return Err(Unsupported::DamagedSequenceHeader(codec.to_string()));
        };
        let description = track.description().unwrap_or_default();
        put_pixel_aspect(&mut body, description.pixel_aspect);
        Ok(Self {
            codec: family(Codec::Video(codec)),
            timescale: MILLISECONDS,
            picture_size: description.picture_size,
            frame_length: FrameLength::Unknown,
            frame_rate: description.frames_per_second.and_then(FrameRate::announced),
            kind: *kind,
            pixel_aspect: description.pixel_aspect,
            is_full_range: description.is_full_range,
            body,
            color: Vec::new(),
        })
    }

    fn audio(track: &AudioTrack<'_>) -> Result<Self, Unsupported> {
        let codec = track.codec;
        let is_header = track.is_sequence_header();
        let setup = match codec {
            AudioCodec::AAC | AudioCodec::MP4A if is_header => aac(track.body),
            AudioCodec::OPUS if is_header => opus(track.body),
            AudioCodec::FLAC if is_header => flac(track.body),
            AudioCodec::AAC | AudioCodec::MP4A | AudioCodec::OPUS | AudioCodec::FLAC => {
                return Err(Unsupported::NoSequenceHeader(codec.to_string()));
            }
            AudioCodec::MP3 | AudioCodec::MP3_8_KHZ | AudioCodec::MP3_NAMED => mp3(track.body),
            AudioCodec::AC_3 => ac_3(track.body),
            AudioCodec::EC_3 => ec_3(track.body),
            _ => return Err(Unsupported::Codec(codec.to_string())),
        };
        let Some(setup) = setup else {
            return Err(Unsupported::DamagedSequenceHeader(codec.to_string()));
        };
        let mut body = Vec::new();
        put_audio(&mut body, setup.channels, setup.sample_bits, setup.rate_hz);
        body.extend(setup.record);
        Ok(Self {
            codec: family(Codec::Audio(codec)),
            timescale: setup.rate_hz.max(1),
            picture_size: None,
            frame_length: setup.frame_length,
            frame_rate: None,
            kind: *setup.kind,
            pixel_aspect: None,
            is_full_range: None,
            body,
            color: Vec::new(),
        })
    }

    /// Whether a decoder for this setup decodes frames of the other one. A size that only frames contain, and
    /// the description of the colors, do not count.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.body == other.body
    }

    /// Returns the number of ticks that this frame lasts, if the codec defines it.
    pub(crate) fn frame_ticks(&self, frame: &[u8]) -> Option<u32> {
        self.frame_length.of(frame)
    }

    pub(super) fn is_avc(&self) -> bool {
        self.kind == *b"avc1"
    }

    pub(super) fn is_video(&self) -> bool {
        matches!(self.codec, Codec::Video(_))
    }

    /// Returns the size at which a player shows the picture (ISO 14496-12 8.3.2): pixels that are not square
    /// change its width.
    pub(super) fn presentation_size(&self) -> Option<PictureSize> {
        let PictureSize { width, height } = self.picture_size?;
        let (horizontal, vertical) = self.pixel_aspect.unwrap_or((1, 1));
        let scaled = u64::from(width).checked_mul(horizontal.into())?;
        let rounded = scaled.checked_add(u64::from(vertical) / 2)?;
        let width = rounded.checked_div(vertical.into())?;
        PictureSize::new(u32::try_from(width).ok()?, height)
    }

    /// Appends the box.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put(out, &self.kind, |out| {
            if self.is_video() {
                put_visual(out, self.picture_size);
            }
            out.extend_from_slice(&self.body);
            color::put(out, &self.color, self.is_full_range);
        });
    }
}

impl FrameLength {
    /// Returns the number of ticks of this frame.
    pub(super) fn of(self, frame: &[u8]) -> Option<u32> {
        match self {
            Self::Unknown => None,
            Self::Constant(ticks) => Some(ticks),
            Self::Opus => opus::packet_samples(frame),
        }
    }
}

/// Returns the legacy codec of a codec that has a legacy number and a FourCC. An MP4 file contains their frames
/// in the same form.
pub(super) fn family(codec: Codec) -> Codec {
    match codec {
        Codec::Video(VideoCodec::AVC1) => Codec::Video(VideoCodec::AVC),
        Codec::Video(VideoCodec::HVC1) => Codec::Video(VideoCodec::HEVC),
        Codec::Audio(AudioCodec::MP4A) => Codec::Audio(AudioCodec::AAC),
        Codec::Audio(AudioCodec::MP3_8_KHZ | AudioCodec::MP3_NAMED) => {
            Codec::Audio(AudioCodec::MP3)
        }
        other => other,
    }
}

/// Parts of the sample entry of an audio track.
struct Audio {
    kind: &'static [u8; 4],
    channels: u8,
    sample_bits: u8,
    rate_hz: u32,
    frame_length: FrameLength,
    record: Vec<u8>,
}

fn unknown(track: TagKind) -> Unsupported {
    Unsupported::Codec(format!("this {track}"))
}

fn plain(kind: &[u8; 4], record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind, |out| out.extend_from_slice(record));
    out
}

/// Encodes a box with version and flags 0 around a record.
fn full(kind: &[u8; 4], record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_full(&mut out, kind, 0, 0, |out| out.extend_from_slice(record));
    out
}

/// VPCodecConfigurationBox (VP Codec ISO Media File Format Binding 2.1).
fn vpcc(fields: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_full(&mut out, b"vpcC", 1, 0, |out| out.extend_from_slice(fields));
    out
}

fn aac(record: &[u8]) -> Option<Audio> {
    let config = AudioSpecificConfig::parse(record)?;
    Some(Audio {
        kind: b"mp4a",
        // With parametric stereo, the decoder makes two channels of one.
        channels: config.format().map_or(2, |format| format.channels),
        sample_bits: 16,
        // The rate before spectral band replication: a frame has 1,024 samples at this rate.
        rate_hz: config.rate_hz,
        frame_length: aac_frame_length(&config),
        record: esds(MPEG_4_AUDIO, record),
    })
}

pub(super) fn aac_frame_length(config: &AudioSpecificConfig) -> FrameLength {
    config
        .frame_samples
        .map_or(FrameLength::Unknown, |samples| {
            FrameLength::Constant(samples.into())
        })
}

fn mp3(frame: &[u8]) -> Option<Audio> {
    let header = mp3::FrameHeader::parse(frame).filter(|header| header.layer == 3)?;
    let is_mpeg_1 = header.rate_hz > 24_000;
    Some(Audio {
        kind: b"mp4a",
        channels: header.channels,
        sample_bits: 16,
        rate_hz: header.rate_hz,
        frame_length: mp3_frame_length(is_mpeg_1),
        record: esds(
            if is_mpeg_1 {
                MPEG_1_AUDIO
            } else {
                MPEG_2_AUDIO
            },
            &[],
        ),
    })
}

pub(super) fn mp3_frame_length(is_mpeg_1: bool) -> FrameLength {
    FrameLength::Constant(if is_mpeg_1 { 1152 } else { 576 })
}

/// OpusSpecificBox ("Encapsulation of Opus in ISO Base Media File Format" 4.3.2): the fields of an OpusHead,
/// big-endian.
fn opus(record: &[u8]) -> Option<Audio> {
    let head = opus::Head::parse(record)?;
    let gain = *record.get(16..)?.first_chunk::<2>()?;
    let mapping = record.get(18..)?;
    let family = *mapping.first()?;
    let mut out = Vec::new();
    put(&mut out, b"dOps", |out| {
        out.extend([0, head.channels]);
        out.extend(head.pre_skip.to_be_bytes());
        out.extend(head.input_rate_hz.to_be_bytes());
        out.extend(u16::from_le_bytes(gain).to_be_bytes());
        out.extend(if family == 0 { &[0] } else { mapping });
    });
    Some(Audio {
        kind: b"Opus",
        channels: head.channels,
        sample_bits: 16,
        rate_hz: opus::RATE_HZ,
        frame_length: FrameLength::Opus,
        record: out,
    })
}

/// FLACSpecificBox ("Encapsulation of FLAC in ISO Base Media File Format" 3.3.2) with the STREAMINFO block.
fn flac(record: &[u8]) -> Option<Audio> {
    let info = StreamInfo::parse(record)?;
    let block = match record.strip_prefix(b"fLaC") {
        Some(blocks) => blocks.get(4..)?,
        None => record,
    };
    let block: &[u8; 34] = block.first_chunk()?;
    let mut out = Vec::new();
    put_full(&mut out, b"dfLa", 0, 0, |out| {
        out.extend(LAST_STREAMINFO);
        out.extend(block);
    });
    Some(Audio {
        kind: b"fLaC",
        channels: info.channels,
        sample_bits: info.sample_bits,
        rate_hz: info.rate_hz,
        frame_length: flac_frame_length(info),
        record: out,
    })
}

pub(super) fn flac_frame_length(info: StreamInfo) -> FrameLength {
    info.frame_samples.map_or(FrameLength::Unknown, |samples| {
        FrameLength::Constant(samples.into())
    })
}

/// AC3SpecificBox (ETSI TS 102 366 F.4).
fn ac_3(frame: &[u8]) -> Option<Audio> {
    let format = ac3::format(frame)?;
    let [_, _, _, _, rate_and_size, id_and_mode, channels, ..] = frame else {
        return None;
    };
    let (bsid, bsmod) = (id_and_mode >> 3, id_and_mode & 7);
    if bsid > 10 {
        return None;
    }
    let acmod = channels >> 5;
    let has_low_frequencies = format.channels == full_range(acmod).saturating_add(1);
    let fields = u32::from(rate_and_size >> 6) << 22
        | u32::from(bsid) << 17
        | u32::from(bsmod) << 14
        | u32::from(acmod) << 11
        | u32::from(has_low_frequencies) << 10
        | u32::from(rate_and_size >> 1 & 0x1F) << 5;
    let [_, fields @ ..] = fields.to_be_bytes();
    Some(Audio {
        kind: b"ac-3",
        channels: format.channels,
        sample_bits: 16,
        rate_hz: format.rate_hz,
        frame_length: AC_3_FRAME_LENGTH,
        record: plain(b"dac3", &fields),
    })
}

/// EC3SpecificBox (ETSI TS 102 366 F.6) with the substreams of a sample.
fn ec_3(sample: &[u8]) -> Option<Audio> {
    let first = EnhancedFrame::parse(sample).filter(|frame| !frame.is_dependent)?;
    let programs = ec_3_programs(sample);
    let main = programs.first()?;
    let samples = main.blocks.saturating_mul(256);
    let bytes: usize = EnhancedFrame::all(sample).map(|frame| frame.length).sum();
    let bits = u64::try_from(bytes).ok()?.saturating_mul(8);
    let per_second = bits.saturating_mul(first.rate_hz.into());
    let kilobits = per_second.checked_div(u64::from(samples).saturating_mul(1000))?;
    let kilobits = u16::try_from(kilobits).unwrap_or(u16::MAX).min(0x1FFF);
    let others = u16::try_from(programs.len().saturating_sub(1)).ok()?;
    let mut fields = (kilobits << 3 | others).to_be_bytes().to_vec();
    for program in &programs {
        program.put(&mut fields);
    }
    Some(Audio {
        kind: b"ec-3",
        channels: ac3::mapped_channels(first.channel_map | main.added_map),
        sample_bits: 16,
        rate_hz: first.rate_hz,
        frame_length: FrameLength::Constant(samples),
        record: plain(b"dec3", &fields),
    })
}

/// Independent substream of E-AC-3, and the dependent substreams that extend it.
struct Program {
    first: EnhancedFrame,
    /// Number of blocks of 256 samples in all frames of the independent substream.
    blocks: u32,
    /// Bit set of the ids of the dependent substreams.
    dependents: u8,
    /// Channels of the dependent substreams, see [`EnhancedFrame::channel_map`].
    added_map: u16,
}

/// Returns the programs of a sample, at most one for each of the eight ids.
fn ec_3_programs(sample: &[u8]) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut current = 0;
    for frame in EnhancedFrame::all(sample) {
        if !frame.is_dependent {
            let known = |program: &Program| program.first.substream == frame.substream;
            current = programs.iter().position(known).unwrap_or(programs.len());
            if current == programs.len() {
                programs.push(Program {
                    first: frame,
                    blocks: 0,
                    dependents: 0,
                    added_map: 0,
                });
            }
        }
        let Some(program) = programs.get_mut(current) else {
            continue;
        };
        if frame.is_dependent {
            program.dependents |= 1_u8.wrapping_shl(frame.substream.into());
            program.added_map |= frame.channel_map;
        } else {
            program.blocks = program.blocks.saturating_add(frame.blocks.into());
        }
    }
    programs
}

impl Program {
    /// Appends the fields of the independent substream. The fields asvc and bsmod are 0.
    fn put(&self, out: &mut Vec<u8>) {
        let EnhancedFrame {
            rate_code,
            version,
            mode,
            has_low_frequencies,
            ..
        } = self.first;
        out.push(rate_code << 6 | version << 1);
        out.push(mode << 1 | u8::from(has_low_frequencies));
        let dependents = self.dependents.count_ones() as u8; // at most 8
        if dependents == 0 {
            out.push(0);
            return;
        }
        // chan_loc has the bits of chanmap from Lc/Rc to Vhc in reverse, and LFE2 (table F.6.1).
        let [_, locations] = (self.added_map >> 3).to_be_bytes();
        let has_second_low_frequencies = self.added_map & SECOND_LOW_FREQUENCIES != 0;
        out.push(dependents << 1 | u8::from(has_second_low_frequencies));
        out.push(locations.reverse_bits());
    }
}

/// Number of channels without the low-frequency one (ETSI TS 102 366 table 4.3).
fn full_range(acmod: u8) -> u8 {
    match acmod {
        1 => 1,
        0 | 2 => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    }
}

/// Appends the fields of a visual sample entry (ISO 14496-12 12.1.3).
fn put_visual(out: &mut Vec<u8>, size: Option<PictureSize>) {
    let (width, height) = size.map_or((0, 0), |size| (size.width, size.height));
    let pixels = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_be_bytes();
    out.extend([0; 6]); // reserved
    out.extend([0, 1]); // data_reference_index
    out.extend([0; 16]);
    out.extend(pixels(width));
    out.extend(pixels(height));
    out.extend([0, 72, 0, 0, 0, 72, 0, 0]); // resolution in pixels per inch
    out.extend([0; 4]);
    out.extend([0, 1]); // frame_count
    out.extend([0; 32]); // compressorname
    out.extend([0, 24]); // depth
    out.extend([0xFF, 0xFF]);
}

/// Appends a PixelAspectRatioBox (ISO 14496-12 12.1.4), unless the pixels are square.
fn put_pixel_aspect(out: &mut Vec<u8>, aspect: Option<(u16, u16)>) {
    if let Some((horizontal, vertical)) = aspect.filter(|(width, height)| width != height) {
        put(out, b"pasp", |out| {
            out.extend(u32::from(horizontal).to_be_bytes());
            out.extend(u32::from(vertical).to_be_bytes());
        });
    }
}

/// Appends the fields of an audio sample entry (ISO 14496-12 12.2.3).
fn put_audio(out: &mut Vec<u8>, channels: u8, sample_bits: u8, rate_hz: u32) {
    out.extend([0; 6]); // reserved
    out.extend([0, 1]); // data_reference_index
    out.extend([0; 8]);
    out.extend(u16::from(channels).to_be_bytes());
    out.extend(u16::from(sample_bits).to_be_bytes());
    out.extend([0; 4]);
    // 16.16 fixed point. Rates that do not fit are 0; the timescale of the track has the rate as well.
    out.extend(u16::try_from(rate_hz).unwrap_or(0).to_be_bytes());
    out.extend([0, 0]);
}

/// ESDBox (ISO 14496-14 6.7.2) with the descriptors of ISO 14496-1 7.2.6.
fn esds(object_type: u8, specific: &[u8]) -> Vec<u8> {
    let mut decoder = vec![object_type, AUDIO_STREAM, 0, 0, 0];
    decoder.extend([0; 8]); // maximum and average bit rate: unknown
    if !specific.is_empty() {
        put_descriptor(&mut decoder, 0x05, specific);
    }
    let mut stream = vec![0, 0, 0]; // ES_ID, flags
    put_descriptor(&mut stream, 0x04, &decoder);
    put_descriptor(&mut stream, 0x06, &[2]); // SLConfigDescriptor of MP4 files
    let mut out = Vec::new();
    put_full(&mut out, b"esds", 0, 0, |out| {
        put_descriptor(out, 0x03, &stream)
    });
    out
}

/// Appends a descriptor with a length of four bytes, seven bits each (ISO 14496-1 8.3.3).
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let bits = |shift: u32| (length.wrapping_shr(shift) & 0x7F) as u8;
    out.extend([
        tag,
        bits(21) | 0x80,
        bits(14) | 0x80,
        bits(7) | 0x80,
        bits(0),
    ]);
    out.extend_from_slice(body);
}

/// Record of VP8: profile 0, unknown level, 8 bits, 4:2:0, unspecified colors.
const VP8: [u8; 8] = [0, 0, 0x82, 2, 2, 2, 0, 0];

/// Every AC-3 frame has six blocks of 256 samples (ETSI TS 102 366 4.1).
pub(super) const AC_3_FRAME_LENGTH: FrameLength = FrameLength::Constant(1536);

/// Bit of the field chanmap for LFE2 (ETSI TS 102 366 table E.1.4).
const SECOND_LOW_FREQUENCIES: u16 = 1 << 1;

/// Object types of descriptors (ISO 14496-1 table 5).
pub(super) const MPEG_4_AUDIO: u8 = 0x40;
pub(super) const MPEG_2_AUDIO: u8 = 0x69;
pub(super) const MPEG_1_AUDIO: u8 = 0x6B;

/// streamType 5, upStream 0, reserved 1 (ISO 14496-1 7.2.6.6).
const AUDIO_STREAM: u8 = 0x15;

/// Header of a STREAMINFO block that is the last one: 34 bytes (RFC 9639 8.1).
const LAST_STREAMINFO: [u8; 4] = [0x80, 0, 0, 34];
