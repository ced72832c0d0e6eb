//! Sample entries of any program: the setup of a decoder (ISO 14496-12 8.5.2, 12.1.3 and 12.2.3).

use super::{super::boxes::BoxHeader, descriptors};
use crate::core::{
    flv::{
        codec::{
            AudioCodec, AudioDescription, Color, PictureSize, TrackProperties, VideoCodec,
            VideoDescription, audio::ac3,
        },
        frame_info::Codec,
    },
    wire::Reader,
};

/// Setup of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Type of the sample entry; of an encrypted track the original one.
    pub kind: [u8; 4],
    /// Whether the samples are encrypted.
    pub is_encrypted: bool,
    /// Codec, if it has a form in FLV too.
    pub codec: Option<Codec>,
    /// Configuration record in the form of Enhanced RTMP; empty if the codec has none.
    pub record: Vec<u8>,
    /// Properties in the setup.
    pub properties: Option<TrackProperties>,
}

/// Returns the number of sample entries and the first one, from the body of an `stsd` box.
pub(super) fn read_first(handler: &[u8; 4], entries: &[u8]) -> (u32, Option<Setup>) {
    let mut fields = Reader::new(entries);
    let count = fields
        .u32("version and flags")
        .and_then(|_| fields.u32("number of entries"));
    let Ok(count) = count else {
        return (0, None);
    };
    let first = BoxHeader::read_complete(&mut fields).ok();
    (
        count,
        first.map(|(kind, body)| Setup::read(handler, kind, body)),
    )
}

impl Setup {
    fn read(handler: &[u8; 4], kind: [u8; 4], body: &[u8]) -> Self {
        let mut setup = Self {
            kind,
            is_encrypted: false,
            codec: None,
            record: Vec::new(),
            properties: None,
        };
        match handler {
            b"vide" => setup.read_visual(body),
            b"soun" => setup.read_audio(body),
            _ => {}
        }
        setup
    }

    fn read_visual(&mut self, body: &[u8]) {
        let mut description = VideoDescription::default();
        let mut record = None;
        for (kind, body) in boxes(body.get(VISUAL_FIELDS..).unwrap_or_default()) {
            match &kind {
                b"avcC" | b"hvcC" | b"av1C" => record = Some(body),
                // Version and flags precede the record of VVC and VP9. Those of VP9 are part of it in E-RTMP.
                b"vvcC" => record = body.get(4..),
                b"vpcC" => record = Some(body),
                b"pasp" => description.pixel_aspect = pixel_aspect(body),
                b"colr" => read_color(body, &mut description),
                b"mdcv" => description.has_mastering_display = true,
                b"clli" => description.has_content_light = true,
                b"sinf" => self.read_protection(body),
                _ => {}
            }
        }
        let codec = video_codec(self.kind);
        self.record = record.unwrap_or_default().to_vec();
        let stated = codec.and_then(|codec| match codec {
            VideoCodec::VP08 => VideoCodec::VP09.record_description(&self.record),
            codec => codec.record_description(&self.record),
        });
        // The picture size of the setup is before the scaling by the aspect.
        let mut properties = stated.unwrap_or_default();
        let size = read_size(body);
        let size = properties.picture_size.or(size);
        // The boxes of the file count before the bitstream, as in players.
        description.fill_from(&properties);
        properties = VideoDescription {
            picture_size: size,
            ..description
        };
        self.codec = codec.map(Codec::Video);
        self.properties = Some(TrackProperties::Video(properties));
        if codec == Some(VideoCodec::VP08) {
            // E-RTMP has no record of VP8.
            self.record.clear();
        }
    }

    fn read_audio(&mut self, body: &[u8]) {
        let Some((entry, boxes_at)) = read_audio_fields(body) else {
            return;
        };
        let mut known = AudioDescription::default();
        for (kind, body) in all_boxes(body.get(boxes_at..).unwrap_or_default()) {
            match &kind {
                b"esds" => self.read_descriptors(body),
                b"dOps" => self.record = opus_head(body).unwrap_or_default(),
                // Version and flags precede the metadata blocks, the marker of the stream precedes them in E-RTMP.
                b"dfLa" => self.record = [b"fLaC", body.get(4..).unwrap_or_default()].concat(),
                b"dac3" => known = ac3::dac3_description(body).unwrap_or_default(),
                b"dec3" => known = ac3::dec3_description(body).unwrap_or_default(),
                b"sinf" => self.read_protection(body),
                _ => {}
            }
        }
        let codec = match self.codec {
            Some(Codec::Audio(codec)) => Some(codec),
            _ => audio_codec(self.kind),
        };
        let stated = codec.and_then(|codec| codec.record_description(&self.record));
        known.fill_from(&stated.unwrap_or_default());
        known.fill_from(&entry);
        self.codec = codec.map(Codec::Audio);
        self.properties = Some(TrackProperties::Audio(known));
    }

    fn read_descriptors(&mut self, body: &[u8]) {
        let Some(decoder) = descriptors::read(body) else {
            return;
        };
        self.codec = match decoder.object_type {
            0x40 | 0x66..=0x68 => Some(Codec::Audio(AudioCodec::AAC)),
            0x69 | 0x6B => Some(Codec::Audio(AudioCodec::MP3)),
            0xA5 => Some(Codec::Audio(AudioCodec::AC_3)),
            0xA6 => Some(Codec::Audio(AudioCodec::EC_3)),
            _ => None,
        };
        self.record = decoder.record.to_vec();
    }

    /// Reads the original type of an encrypted track (ISO 14496-12 8.12).
    fn read_protection(&mut self, body: &[u8]) {
        self.is_encrypted = true;
        let original = boxes(body).find(|(kind, _)| kind == b"frma");
        if let Some(kind) = original.and_then(|(_, body)| body.first_chunk().copied()) {
            self.kind = kind;
        }
    }
}

/// Iterates over the boxes in memory, up to the first damaged one.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || BoxHeader::read_complete(&mut reader).ok())
}

/// Iterates over the boxes in memory, and over those in the `wave` box of QuickTime.
fn all_boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    boxes(bytes).flat_map(|(kind, body)| {
        let inner = if kind == *b"wave" { body } else { &[] };
        std::iter::once((kind, body)).chain(boxes(inner))
    })
}

fn video_codec(kind: [u8; 4]) -> Option<VideoCodec> {
    match &kind {
        b"avc1" | b"avc3" => Some(VideoCodec::AVC),
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => Some(VideoCodec::HVC1),
        b"vvc1" | b"vvi1" => Some(VideoCodec::VVC1),
        b"av01" => Some(VideoCodec::AV01),
        b"vp08" => Some(VideoCodec::VP08),
        b"vp09" => Some(VideoCodec::VP09),
        _ => None,
    }
}

/// Returns the codec of an entry without descriptors.
fn audio_codec(kind: [u8; 4]) -> Option<AudioCodec> {
    match &kind {
        b".mp3" => Some(AudioCodec::MP3),
        b"Opus" => Some(AudioCodec::OPUS),
        b"fLaC" => Some(AudioCodec::FLAC),
        b"ac-3" => Some(AudioCodec::AC_3),
        b"ec-3" => Some(AudioCodec::EC_3),
        _ => None,
    }
}

/// Returns the size of the picture in a visual sample entry (ISO 14496-12 12.1.3).
fn read_size(body: &[u8]) -> Option<PictureSize> {
    let mut fields = Reader::new(body.get(24..)?);
    PictureSize::new(fields.u16("width").ok()?, fields.u16("height").ok()?)
}

/// Returns the aspect of a `pasp` box (ISO 14496-12 12.1.4).
fn pixel_aspect(body: &[u8]) -> Option<(u16, u16)> {
    let mut fields = Reader::new(body);
    let mut read = || u16::try_from(fields.u32("spacing").ok()?).ok();
    Some((read()?, read()?)).filter(|(width, height)| *width > 0 && *height > 0)
}

/// Reads a `colr` box with code points, in the form of ISO or of QuickTime (ISO 14496-12 12.1.5).
fn read_color(body: &[u8], description: &mut VideoDescription) {
    let Some((kind @ (b"nclx" | b"nclc"), codes)) = body.split_first_chunk::<4>() else {
        return;
    };
    let mut fields = Reader::new(codes);
    let mut read = || u8::try_from(fields.u16("code point").ok()?).ok();
    if let (Some(primaries), Some(transfer), Some(matrix)) = (read(), read(), read()) {
        let color = Color {
            primaries,
            transfer,
            matrix,
        };
        description.color = (color != Color::UNSPECIFIED).then_some(color);
    }
    if kind == b"nclx" {
        description.is_full_range = fields.u8("range").ok().map(|range| range & 0x80 != 0);
    }
}

/// Returns the properties in an audio sample entry (ISO 14496-12 12.2.3), and the offset of its boxes. Versions 1
/// and 2 of QuickTime have more fields.
fn read_audio_fields(body: &[u8]) -> Option<(AudioDescription, usize)> {
    let mut fields = Reader::new(body.get(8..)?);
    let version = fields.u16("version").ok()?;
    fields.take(6, "revision and vendor").ok()?;
    let channels = fields.u16("channel count").ok()?;
    fields.take(6, "sample size").ok()?;
    let rate_hz = u32::from(fields.u16("sample rate").ok()?);
    let description = AudioDescription {
        core_rate_hz: Some(rate_hz).filter(|rate| *rate > 0),
        rate_hz: Some(rate_hz).filter(|rate| *rate > 0),
        channels: u8::try_from(channels).ok().filter(|count| *count > 0),
        ..AudioDescription::default()
    };
    let more = match version {
        1 => 16,
        2 => 36,
        _ => 0,
    };
    Some((description, AUDIO_FIELDS.saturating_add(more)))
}

/// Returns an OpusHead (RFC 7845 5.1) with the fields of a `dOps` box, which are big-endian.
fn opus_head(body: &[u8]) -> Option<Vec<u8>> {
    let [_, channels, s0, s1, r0, r1, r2, r3, g0, g1, mapping @ ..] = body else {
        return None;
    };
    let mut head = b"OpusHead\x01".to_vec();
    head.extend([*channels, *s1, *s0, *r3, *r2, *r1, *r0, *g1, *g0]);
    head.extend_from_slice(mapping);
    Some(head)
}

/// Length of the fields before the boxes in the entry of a video track.
const VISUAL_FIELDS: usize = 78;

/// Length of the fields before the boxes in the entry of an audio track.
const AUDIO_FIELDS: usize = 28;
