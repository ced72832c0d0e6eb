//! Reads sample entries, the codec setup of a track, as [`SampleEntry::put`] writes them.

use super::{
    boxes::BoxHeader,
    color,
    frame_rate::FrameRate,
    sample_entry::{
        AC_3_FRAME_LENGTH, FrameLength, MPEG_1_AUDIO, MPEG_2_AUDIO, MPEG_4_AUDIO, SampleEntry,
        aac_frame_length, flac_frame_length, mp3_frame_length,
    },
};
use crate::core::{
    flv::{
        codec::{
            AudioCodec, PictureSize, VideoCodec,
            audio::{aac::AudioSpecificConfig, flac::StreamInfo},
        },
        frame_info::Codec,
    },
    wire::Reader,
};

impl SampleEntry {
    /// Reads the body of a sample entry. Returns `None` if the writer does not write such an entry.
    pub(super) fn read(kind: [u8; 4], body: &[u8], timescale: u32) -> Option<Self> {
        let video = match &kind {
            b"avc1" => Some(VideoCodec::AVC),
            b"hvc1" => Some(VideoCodec::HEVC),
            b"vvc1" => Some(VideoCodec::VVC1),
            b"av01" => Some(VideoCodec::AV01),
            b"vp09" => Some(VideoCodec::VP09),
            b"vp08" => Some(VideoCodec::VP08),
            _ => None,
        };
        let Some(video) = video else {
            let (codec, frame_length) = audio(kind, body.get(AUDIO_FIELDS..)?)?;
            return Some(Self {
                codec: Codec::Audio(codec),
                timescale,
                picture_size: None,
                frame_length,
                frame_rate: None,
                kind,
                pixel_aspect: None,
                is_full_range: None,
                body: body.to_vec(),
                color: Vec::new(),
            });
        };
        let (boxes, color) = color::split(body.get(VISUAL_FIELDS..)?);
        let mut fields = Reader::new(body);
        fields.take(24, "fields before the size").ok()?;
        let (width, height) = (fields.u16("width").ok()?, fields.u16("height").ok()?);
        let (_, record) = BoxHeader::read_complete(&mut Reader::new(boxes)).ok()?;
        let description = video.record_description(record).unwrap_or_default();
        Some(Self {
            codec: Codec::Video(video),
            timescale,
            picture_size: (width > 0 && height > 0).then_some(PictureSize {
                width: width.into(),
                height: height.into(),
            }),
            frame_length: FrameLength::Unknown,
            frame_rate: description.frames_per_second.and_then(FrameRate::announced),
            kind,
            pixel_aspect: description.pixel_aspect,
            is_full_range: description.is_full_range,
            body: boxes.to_vec(),
            color: color.to_vec(),
        })
    }

    /// Whether the entry determines the length of the frames. For E-AC-3, only the frames determine it.
    pub(super) fn has_frame_length(&self) -> bool {
        self.codec != Codec::Audio(AudioCodec::EC_3)
    }
}

/// Returns the codec and the frame length from the record after the fields of an audio sample entry.
fn audio(kind: [u8; 4], record: &[u8]) -> Option<(AudioCodec, FrameLength)> {
    let (_, body) = BoxHeader::read_complete(&mut Reader::new(record)).ok()?;
    match &kind {
        b"mp4a" => {
            let mut fields = Reader::new(body);
            fields.u32("version and flags").ok()?;
            let mut stream = descriptor(&mut fields, 0x03)?;
            stream.take(3, "ES_ID and flags").ok()?;
            let mut decoder = descriptor(&mut stream, 0x04)?;
            let object_type = decoder.u8("object type").ok()?;
            decoder.take(12, "fields of the decoder").ok()?;
            match object_type {
                MPEG_4_AUDIO => {
                    let specific = descriptor(&mut decoder, 0x05)?;
                    let config = AudioSpecificConfig::parse(specific.rest())?;
                    Some((AudioCodec::AAC, aac_frame_length(&config)))
                }
                MPEG_1_AUDIO | MPEG_2_AUDIO => {
                    let frame_length = mp3_frame_length(object_type == MPEG_1_AUDIO);
                    Some((AudioCodec::MP3, frame_length))
                }
                _ => None,
            }
        }
        b"Opus" => Some((AudioCodec::OPUS, FrameLength::Opus)),
        b"fLaC" => {
            let block: &[u8; 34] = body.get(8..)?.first_chunk()?;
            let info = StreamInfo::parse(block)?;
            Some((AudioCodec::FLAC, flac_frame_length(info)))
        }
        b"ac-3" => Some((AudioCodec::AC_3, AC_3_FRAME_LENGTH)),
        b"ec-3" => Some((AudioCodec::EC_3, FrameLength::Unknown)),
        _ => None,
    }
}

/// Reads a descriptor with a length of four bytes, seven bits each (ISO 14496-1 8.3.3).
fn descriptor<'a>(fields: &mut Reader<'a>, tag: u8) -> Option<Reader<'a>> {
    let [found, lengths @ ..] = fields.array::<5>("descriptor").ok()?;
    let length = lengths.into_iter().fold(0_usize, |length, byte| {
        length.wrapping_shl(7) | usize::from(byte & 0x7F)
    });
    let body = fields.take(length, "descriptor").ok()?;
    (found == tag).then(|| Reader::new(body))
}

/// Length of the fields before the record in the entry of an audio track (ISO 14496-12 12.2.3).
const AUDIO_FIELDS: usize = 28;

/// Length of the fields before the record in the entry of a video track (ISO 14496-12 12.1.3).
const VISUAL_FIELDS: usize = 78;
