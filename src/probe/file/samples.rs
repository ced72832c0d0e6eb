//! Samples of an MP4 file as messages of a stream, for the analysis.

use std::io;

use super::source::FileSource;
use crate::core::{
    analysis::{MediaTime, MessageTime, StreamAnalysis},
    flv::{
        FrameParser, TagKind, TrackId,
        codec::{AudioCodec, VideoCodec, video},
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
    body: Vec<u8>,
}

/// A track whose codec has a form in messages.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    pub(super) id: TrackId,
    codec: Codec,
    /// Size of the length before each NAL unit, in bytes; `None` if the codec has no NAL units.
    nal_length_size: Option<u8>,
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
        Some(Self {
            id: TrackId {
                kind,
                id: u8::try_from(id).ok()?,
            },
            codec,
            nal_length_size: nal_length_size(codec, &setup.record),
            frames_to_read: FRAMES_TO_READ,
        })
    }
}

impl Feeder {
    pub(super) fn new(analysis: StreamAnalysis) -> Self {
        Self {
            analysis,
            parser: FrameParser::new(),
            body: Vec::new(),
        }
    }

    /// Feeds the setup of a track.
    pub(super) fn setup(&mut self, messages: &Messages, setup: &Setup) {
        if let Some(properties) = setup.properties {
            let analysis = &mut self.analysis;
            analysis.set_container_properties(messages.id, properties);
        }
        if setup.record.is_empty() {
            return;
        }
        self.start(messages, SEQUENCE_START, KEYFRAME, 0);
        self.body.extend_from_slice(&setup.record);
        self.feed(messages.id.kind, 0);
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
        let header = self.body.len();
        let size = usize::try_from(sample.size)
            .unwrap_or(usize::MAX)
            .min(MAX_FRAME);
        self.body.resize(header.saturating_add(size), 0);
        let is_first = messages.frames_to_read > 0;
        let to_read = match messages.codec {
            // The length of the frame fits into that of a unit of four bytes only.
            _ if messages.nal_length_size == Some(4) => 0,
            _ if messages.nal_length_size.is_some() => MAX_FRAME,
            _ if is_first => FIRST_BYTES,
            // The first bytes contain the length of the packet.
            Codec::Audio(AudioCodec::OPUS) => 2,
            _ => 0,
        };
        let frame = self.body.get_mut(header..).unwrap_or_default();
        let to_read = to_read.min(frame.len());
        source.read_at(sample.offset, frame.get_mut(..to_read).unwrap_or_default())?;
        if messages.nal_length_size == Some(4) {
            put_unit_length(frame);
        }
        if is_first {
            messages.frames_to_read = messages.frames_to_read.saturating_sub(1);
        }
        self.feed(messages.id.kind, time_ms);
        Ok(())
    }

    fn feed(&mut self, kind: TagKind, time_ms: u64) {
        let info = self.parser.parse(kind, &self.body);
        let time = MessageTime {
            arrived_at: None,
            unix_ms: None,
            media: MediaTime::Milliseconds(time_ms),
        };
        self.analysis.message(time, &info, &self.body);
    }

    /// Starts a message with the header of its tag (FLV E.4.2 and E.4.3, E-RTMP "ExVideoTagHeader").
    fn start(&mut self, messages: &Messages, packet: u8, frame_type: u8, composition_ms: i32) {
        self.body.clear();
        let TrackId { kind, id } = messages.id;
        let is_main = id == 0;
        match messages.codec {
            Codec::Video(VideoCodec::AVC) if is_main => {
                self.body.extend([frame_type << 4 | 7, packet]);
                self.put_composition_time(composition_ms);
            }
            Codec::Audio(AudioCodec::AAC) if is_main => self.body.extend([0xAF, packet]),
            Codec::Audio(AudioCodec::MP3) if is_main => self.body.push(0x2F),
            codec => {
                let name = name(codec).to_be_bytes();
                let (first, multitrack) = match kind {
                    TagKind::VIDEO => (0x80 | frame_type << 4, 6),
                    _ => (0x90, 5),
                };
                if is_main {
                    self.body.push(first | packet);
                    self.body.extend(name);
                } else {
                    self.body.extend([first | multitrack, packet]);
                    self.body.extend(name);
                    self.body.push(id);
                }
                let has_composition_time = packet == CODED_FRAMES && reorders_frames(codec);
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
        self.body.extend(bytes);
    }
}

/// Turns a frame into one NAL unit with a length of four bytes.
fn put_unit_length(frame: &mut [u8]) {
    if let Some((length, unit)) = frame.split_first_chunk_mut::<4>() {
        *length = u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes();
    }
}

fn nal_length_size(codec: Codec, record: &[u8]) -> Option<u8> {
    match codec {
        Codec::Video(VideoCodec::AVC) => video::avc::nal_length_size(record),
        Codec::Video(VideoCodec::HVC1) => video::hevc::nal_length_size(record),
        Codec::Video(VideoCodec::VVC1) => video::vvc::nal_length_size(record),
        _ => None,
    }
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

/// Whether frames in enhanced messages have a composition time.
fn reorders_frames(codec: Codec) -> bool {
    let Codec::Video(codec) = codec else {
        return false;
    };
    matches!(codec, VideoCodec::AVC | VideoCodec::HVC1 | VideoCodec::VVC1)
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

/// Largest number of bytes of a frame in the analysis, as in RTMP.
const MAX_FRAME: usize = 0xFF_FF00;
