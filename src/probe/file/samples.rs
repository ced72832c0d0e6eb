//! Samples of an MP4 file as messages of a stream, for the analysis.

use std::io;

use super::source::FileSource;
use crate::core::{
    analysis::{MediaTime, MessageTime, StreamAnalysis},
    flv::{
        FrameParser, TagKind, TrackId,
        codec::{AudioCodec, VideoCodec},
        frame_info::Codec,
    },
    mp4::index_reader::{Sample, Source, movie::Track, setup::Setup},
};

/// Feeds the samples of a movie to an analysis.
///
/// The analysis needs the size of a frame and not its data, except for the first frames of a codec without a
/// record. All other frames are one NAL unit of zeros, or zeros without NAL units, so that the media is not read.
pub(super) struct Feeder {
    pub(super) analysis: StreamAnalysis,
    parser: FrameParser,
    body: Body,
}

/// Body of a message: written bytes, and then zeros. The work does not depend on the number of zeros.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    /// Number of bytes that may differ from 0.
    written: usize,
}

impl Body {
    fn clear(&mut self) {
        let written = self.written.min(self.bytes.len());
        self.bytes.get_mut(..written).unwrap_or_default().fill(0);
        self.written = 0;
    }

    fn extend(&mut self, bytes: &[u8]) {
        let end = self.written.saturating_add(bytes.len());
        self.grow(end);
        if let Some(free) = self.bytes.get_mut(self.written..end) {
            free.copy_from_slice(bytes);
        }
        self.written = end;
    }

    /// Returns the next `length` bytes, which the caller may write.
    fn append(&mut self, length: usize) -> &mut [u8] {
        let start = self.written;
        let end = start.saturating_add(length);
        self.grow(end);
        self.written = end;
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    /// Returns the first `length` bytes.
    fn first(&mut self, length: usize) -> &[u8] {
        self.grow(length);
        self.bytes.get(..length).unwrap_or_default()
    }

    fn grow(&mut self, length: usize) {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }
}

/// A track whose codec has a form in messages.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    pub(super) id: TrackId,
    codec: Codec,
    /// Configuration record, in which the lengths of NAL units have four bytes.
    record: Vec<u8>,
    /// Number of frames whose data is still read.
    frames_to_read: u32,
}

impl Messages {
    /// Creates the messages of a track; `None` if its codec has no form in them. The id is the number of tracks
    /// of the same kind before.
    pub(super) fn new(track: &Track, others: &[Option<Self>]) -> Option<Self> {
        let setup = track.setup.as_ref().filter(|setup| !setup.is_encrypted)?;
        let codec = setup.codec?;
        let kind = match codec {
            Codec::Video(_) => TagKind::VIDEO,
            Codec::Audio(_) => TagKind::AUDIO,
        };
        let is_same = |other: &&Self| other.id.kind == kind;
        let id = others.iter().flatten().filter(is_same).count();
        let mut record = setup.record.clone();
        lengthen_units(codec, &mut record);
        Some(Self {
            id: TrackId {
                kind,
                id: u8::try_from(id).ok()?,
            },
            codec,
            record,
            frames_to_read: FRAMES_TO_READ,
        })
    }
}

impl Messages {
    /// Returns the number of bytes of the next frame that the analysis needs.
    fn bytes_to_read(&self) -> usize {
        match self.codec {
            _ if self.frames_to_read > 0 => FIRST_BYTES,
            // The first bytes contain the length of the packet.
            Codec::Audio(AudioCodec::OPUS) => 2,
            _ => 0,
        }
    }
}

impl Feeder {
    pub(super) fn new(analysis: StreamAnalysis) -> Self {
        Self {
            analysis,
            parser: FrameParser::new(),
            body: Body::default(),
        }
    }

    /// Feeds the setup of a track.
    pub(super) fn setup(&mut self, messages: &Messages, setup: &Setup) {
        if let Some(properties) = setup.properties {
            let analysis = &mut self.analysis;
            analysis.set_container_properties(messages.id, properties);
        }
        if messages.record.is_empty() {
            return;
        }
        self.start(messages, SEQUENCE_START, KEYFRAME, 0);
        self.body.extend(&messages.record);
        self.feed(messages.id.kind, self.body.written, 0);
    }

    /// Feeds a sample that lies in the file.
    pub(super) fn sample(
        &mut self,
        source: &mut FileSource,
        messages: &mut Messages,
        sample: &Sample,
        time_ms: u64,
        composition_ms: i32,
    ) -> io::Result<()> {
        let frame_type = if sample.is_sync {
            KEYFRAME
        } else {
            INTER_FRAME
        };
        self.start(messages, CODED_FRAMES, frame_type, composition_ms);
        let header = self.body.written;
        let size = usize::try_from(sample.size)
            .unwrap_or(usize::MAX)
            .min(MAX_FRAME);
        if has_units(messages.codec) {
            // One NAL unit fills the frame.
            let unit = u32::try_from(size.saturating_sub(UNIT_LENGTH)).unwrap_or(u32::MAX);
            let length = unit.to_be_bytes();
            self.body
                .extend(length.get(..size.min(UNIT_LENGTH)).unwrap_or_default());
        } else {
            let to_read = messages.bytes_to_read().min(size);
            source.read_at(sample.offset, self.body.append(to_read))?;
        }
        messages.frames_to_read = messages.frames_to_read.saturating_sub(1);
        self.feed(messages.id.kind, header.saturating_add(size), time_ms);
        Ok(())
    }

    /// Feeds the first `length` bytes of the body.
    fn feed(&mut self, kind: TagKind, length: usize, time_ms: u64) {
        let body = self.body.first(length);
        let info = self.parser.parse(kind, body);
        let time = MessageTime {
            arrived_at: None,
            unix_ms: None,
            media: MediaTime::Milliseconds(time_ms),
        };
        self.analysis.message(time, &info, body);
    }

    /// Starts a message with the header of its tag (FLV E.4.2 and E.4.3, E-RTMP "ExVideoTagHeader").
    fn start(&mut self, messages: &Messages, packet: u8, frame_type: u8, composition_ms: i32) {
        self.body.clear();
        let TrackId { kind, id } = messages.id;
        let is_main = id == 0;
        match messages.codec {
            Codec::Video(VideoCodec::AVC) if is_main => {
                self.body.extend(&[frame_type << 4 | 7, packet]);
                self.put_composition_time(composition_ms);
            }
            Codec::Audio(AudioCodec::AAC) if is_main => self.body.extend(&[0xAF, packet]),
            Codec::Audio(AudioCodec::MP3) if is_main => self.body.extend(&[0x2F]),
            codec => {
                let name = name(codec).to_be_bytes();
                let (first, multitrack) = match kind {
                    TagKind::VIDEO => (0x80 | frame_type << 4, 6),
                    _ => (0x90, 5),
                };
                if is_main {
                    self.body.extend(&[first | packet]);
                    self.body.extend(&name);
                } else {
                    self.body.extend(&[first | multitrack, packet]);
                    self.body.extend(&name);
                    self.body.extend(&[id]);
                }
                let has_composition_time = packet == CODED_FRAMES && has_units(codec);
                if has_composition_time {
                    self.put_composition_time(composition_ms);
                }
            }
        }
    }

    fn put_composition_time(&mut self, composition_ms: i32) {
        let [_, bytes @ ..] = composition_ms
            .clamp(-(1 << 23), (1 << 23) - 1)
            .to_be_bytes();
        self.body.extend(&bytes);
    }
}

/// Changes the lengths of NAL units in a record to four bytes, because only these fit every frame.
fn lengthen_units(codec: Codec, record: &mut [u8]) {
    // The fields lengthSizeMinusOne (ISO 14496-15 5.3.3.1, 8.3.3.1 and 11.2.4.2).
    let (at, ones) = match codec {
        Codec::Video(VideoCodec::AVC) => (4, 0b11),
        Codec::Video(VideoCodec::HVC1) => (21, 0b11),
        Codec::Video(VideoCodec::VVC1) => (0, 0b110),
        _ => return,
    };
    if let Some(field) = record.get_mut(at) {
        *field |= ones;
    }
}

/// Whether frames consist of NAL units. In enhanced messages, only these frames have a composition time.
fn has_units(codec: Codec) -> bool {
    let Codec::Video(codec) = codec else {
        return false;
    };
    matches!(codec, VideoCodec::AVC | VideoCodec::HVC1 | VideoCodec::VVC1)
}

/// Returns the name of a codec in Enhanced RTMP.
fn name(codec: Codec) -> u32 {
    match codec {
        Codec::Video(VideoCodec::AVC) => VideoCodec::AVC1.id(),
        Codec::Audio(AudioCodec::AAC) => AudioCodec::MP4A.id(),
        Codec::Audio(AudioCodec::MP3) => AudioCodec::MP3_NAMED.id(),
        codec => codec.id(),
    }
}

/// Packet types, the same for audio and video.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;

/// Frame types.
const KEYFRAME: u8 = 1;
const INTER_FRAME: u8 = 2;

/// Number of frames of a track whose data is read, and number of bytes of each.
const FRAMES_TO_READ: u32 = 4;
const FIRST_BYTES: usize = 64 << 10;

/// Size of the length before a NAL unit, in bytes.
const UNIT_LENGTH: usize = 4;

/// Largest number of bytes of a frame in the analysis, as in RTMP.
const MAX_FRAME: usize = 0xFF_FF00;
