//! FLV: arbitrary files, arbitrary tag bodies, and written files that are read back.
//!
//! The first byte of the input selects one of the three checks and the sizes of the pieces.

#![no_main]

mod pieces;

use std::hint::black_box;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pieces::pieces;
use rtmpull::core::{
    amf::{Object, Text, Value, amf0},
    flv::{
        Error, FrameParser, HeadWriter, Layout, Tag, TagHeader, TagKind, TagReader,
        codec::{AudioTag, VideoTag, audio, video},
        head,
        head_writer::Patch,
        reader::Torn,
    },
};

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    match first % 3 {
        0 => read_file(data, first / 3),
        1 => parse_body(data),
        _ => {
            if let Ok(file) = File::arbitrary_take_rest(Unstructured::new(data)) {
                write_file(file);
            }
        }
    }
});

fn read_file(bytes: &[u8], cut: u8) {
    let at_once = FileRead::of([bytes].into_iter());
    assert_eq!(at_once, FileRead::of(pieces(bytes, cut)));
    assert_eq!(
        at_once.intact_end + at_once.torn.map_or(0, |torn| torn.bytes as u64),
        bytes.len() as u64
    );
}

/// Result of reading a file.
#[derive(Debug, PartialEq)]
struct FileRead {
    tags: Vec<(u64, TagHeader, Vec<u8>)>,
    error: Option<Error>,
    intact_end: u64,
    torn: Option<Torn>,
}

impl FileRead {
    fn of<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut reader = TagReader::new();
        let (mut tags, mut error, mut held) = (Vec::new(), None, Vec::new());
        for read in reads {
            held.extend_from_slice(read);
            if error.is_some() {
                continue;
            }
            let mut rest = held.as_slice();
            loop {
                match reader.read(&mut rest) {
                    Ok(Some(tag)) => tags.push((tag.offset, tag.header, tag.body.to_vec())),
                    Ok(None) => break,
                    Err(fault) => {
                        assert_eq!(reader.read(&mut rest), Err(fault));
                        error = Some(fault);
                        break;
                    }
                }
            }
            held = rest.to_vec();
        }
        Self {
            tags,
            error,
            intact_end: reader.intact_end(),
            torn: reader.torn(&held),
        }
    }
}

fn parse_body(body: &[u8]) {
    if let Ok(tag) = VideoTag::parse(body) {
        assert!(!(tag.command.is_some() && tag.carries_media()));
        assert!(tag.tracks().count() <= MAX_TRACKS);
        black_box((tag.codec(), tag.is_sequence_header(), tag.is_keyframe(4)));
        for track in tag.tracks().flatten() {
            assert!(!(track.is_sequence_header() && track.carries_media()));
            let nal_length_size = track.nal_length_size();
            assert!(nal_length_size.is_none_or(|size| (1..=4).contains(&size)));
            for size in [0, 1, 2, 3, 4, u8::MAX] {
                assert!(!track.is_keyframe(size) || track.carries_media());
            }
            black_box(track.description());
        }
    }
    if let Ok(tag) = AudioTag::parse(body) {
        assert!(tag.tracks().count() <= MAX_TRACKS);
        black_box((tag.codec(), tag.is_sequence_header(), tag.carries_media()));
        for track in tag.tracks().flatten() {
            assert!(!(track.is_sequence_header() && track.carries_media()));
            black_box((track.format(), track.channel_layout(), track.description()));
        }
    }
    parse_records(body);
}

/// Calls the parsers of codec records directly, without a tag around the bytes.
fn parse_records(bytes: &[u8]) {
    black_box((
        video::avc::description(bytes),
        video::hevc::description(bytes),
        video::vvc::description(bytes),
        video::vvc::has_all_fields(bytes),
        video::av1::description(bytes),
        video::av1::record_description(bytes),
        video::av1::is_keyframe(bytes),
        video::vp8::description(bytes),
        video::vp9::description(bytes),
        video::vp9::ConfigurationRecord::parse(bytes),
        video::screen::Header::parse(bytes),
        video::vp6::Frame::parse(bytes).and_then(|frame| frame.picture_size()),
        video::vp6::Frame::parse_with_alpha(bytes).and_then(|frame| frame.picture_size()),
    ));
    black_box((
        audio::aac::AudioSpecificConfig::parse(bytes).map(|config| config.description()),
        audio::ac3::format(bytes),
        audio::ac3::description(bytes),
        audio::ac3::EnhancedFrame::all(bytes).count(),
        audio::flac::StreamInfo::parse(bytes).map(|info| info.description()),
        audio::mp3::FrameHeader::parse(bytes).map(|header| header.description()),
        audio::opus::Head::parse(bytes).map(|head| head.description()),
    ));
}

#[derive(Debug, Arbitrary)]
struct File<'a> {
    is_pipe: bool,
    metadata: Vec<Field<'a>>,
    operations: Vec<Operation<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    Tag {
        kind: Kind,
        timestamp: Time,
        body: &'a [u8],
    },
    Metadata(Vec<Field<'a>>),
    /// Rewrites the head; patches whose bit is set are lost.
    Rewrite {
        lost: u16,
    },
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Audio,
    Video,
    Script,
    Any(u8),
}

#[derive(Debug, Arbitrary)]
enum Time {
    Step(u16),
    At(u32),
}

#[derive(Debug, Arbitrary)]
struct Field<'a> {
    name: Name<'a>,
    value: FieldValue<'a>,
}

#[derive(Debug, Arbitrary)]
enum Name<'a> {
    Known(u8),
    Any(&'a [u8]),
}

#[derive(Debug, Arbitrary)]
enum FieldValue<'a> {
    Number(f64),
    Text { piece: &'a [u8], repeats: u8 },
    Members(Vec<(&'a str, bool)>),
    Encoded(&'a [u8]),
}

fn write_file(file: File<'_>) {
    let layout = match file.is_pipe {
        true => Layout::Plain,
        false => Layout::Seekable,
    };
    let mut writer = HeadWriter::new(layout);
    assert!(writer.set_metadata(&fields(file.metadata)));
    let mut bytes = writer.head();
    let head_length = bytes.len();
    let mut parser = FrameParser::new();
    let mut sent = Vec::new();
    let mut now_ms = 0;
    let mut rewrites = 0;
    for operation in file.operations {
        match operation {
            Operation::Tag {
                kind,
                timestamp,
                body,
            } => {
                now_ms = timestamp.after(now_ms);
                let tag = Tag::new(kind.kind(), now_ms, body.into());
                bytes.extend_from_slice(tag.as_bytes());
                // `Tag::new` masks the type to five bits and clamps the timestamp to 31 bits, so record the
                // values of the tag, not those passed to it.
                let header = TagHeader::read(&mut rtmpull::core::wire::Reader::new(tag.as_bytes()))
                    .expect("a header");
                let timestamp_ms = header.timestamp_ms.cast_unsigned();
                writer.tag_written(parser.parse(header.kind, body), timestamp_ms, body.len());
                sent.push((header.kind, timestamp_ms, body));
            }
            Operation::Metadata(metadata) => {
                let is_accepted = writer.set_metadata(&fields(metadata));
                assert_eq!(is_accepted, !file.is_pipe);
            }
            Operation::Rewrite { lost } if rewrites < MAX_REWRITES => {
                rewrites += 1;
                rewrite(&mut writer, &mut bytes, lost);
            }
            Operation::Rewrite { .. } => {}
        }
        assert_eq!(writer.length(), bytes.len() as u64);
    }
    rewrite(&mut writer, &mut bytes, 0);
    assert_eq!(writer.patches(), []);
    check_file(&bytes, head_length, &sent);
    if !file.is_pipe {
        let members = check_head(&bytes[..head_length]);
        let number = |name| members.get(name).and_then(Value::as_number);
        assert_eq!(number("filesize"), Some(bytes.len() as f64));
        let duration_ms = number("duration").map(|seconds| (seconds * 1000.0).round());
        assert_eq!(duration_ms, Some(writer.duration_ms().into()));
        reopen(&bytes[..head_length], &sent, &writer);
    }
}

/// Writes the patches, and checks that the head is valid without the lost ones too.
fn rewrite(writer: &mut HeadWriter, bytes: &mut [u8], lost: u16) {
    let patches = writer.patches();
    check_patches(&patches);
    let arrived = patches
        .iter()
        .zip((0..16).cycle())
        .filter(|(_, bit)| lost >> bit & 1 == 0);
    if let Some(head) = bytes.get(..head::LENGTH).filter(|_| !patches.is_empty()) {
        let mut head = head.to_vec();
        arrived.for_each(|(patch, _)| apply(patch, &mut head));
        check_head(&head);
    }
    for patch in &patches {
        apply(patch, bytes);
        writer.patch_written(patch);
    }
}

/// Panics unless the patches are ordered from the end of the file to its start and stay within pages.
fn check_patches(patches: &[Patch]) {
    let mut start = head::LENGTH as u64;
    for patch in patches {
        let last = patch.offset + patch.bytes.len() as u64 - 1;
        assert!(last < start, "patches out of order");
        assert_eq!(
            patch.offset / PAGE,
            last / PAGE,
            "a patch across a page border"
        );
        start = patch.offset;
    }
}

fn apply(patch: &Patch, bytes: &mut [u8]) {
    let offset = patch.offset as usize;
    bytes[offset..offset + patch.bytes.len()].copy_from_slice(&patch.bytes);
}

/// Panics unless the head is one complete `onMetaData` tag written by rtmpull; returns its members.
fn check_head(head: &[u8]) -> Object {
    assert!(head::is_rewritable(head));
    assert!(HeadWriter::reopen(head).is_some());
    let read = FileRead::of([head].into_iter());
    assert_eq!((read.error, read.torn, read.tags.len()), (None, None, 1));
    let (values, fault) = amf0::decode_all(Bytes::copy_from_slice(&read.tags[0].2));
    assert_eq!(fault, None);
    let [Value::String(name), Value::EcmaArray(members)] = values.as_slice() else {
        panic!("not onMetaData");
    };
    assert!(*name == "onMetaData");
    assert_eq!(members.len(), HEAD_MEMBERS);
    members.clone()
}

fn check_file(bytes: &[u8], head_length: usize, sent: &[(TagKind, u32, &[u8])]) {
    let read = FileRead::of([bytes].into_iter());
    assert_eq!((read.error, read.torn), (None, None));
    let media = read
        .tags
        .iter()
        .filter(|(offset, ..)| *offset >= head_length as u64);
    assert_eq!(media.clone().count(), sent.len());
    for ((_, header, read), (kind, timestamp_ms, body)) in media.zip(sent) {
        assert_eq!(header.kind.0, kind.0 & 0x1F);
        let expected_ms = (*timestamp_ms).min(i32::MAX.cast_unsigned());
        assert_eq!(header.timestamp_ms.cast_unsigned(), expected_ms);
        assert_eq!(read, body);
    }
}

/// Panics unless a writer reopened from the head has the state of the first one.
fn reopen(head: &[u8], sent: &[(TagKind, u32, &[u8])], writer: &HeadWriter) {
    let mut reopened = HeadWriter::reopen(head).expect("a head written by rtmpull");
    let mut parser = FrameParser::new();
    for (kind, timestamp_ms, body) in sent {
        reopened.tag_written(parser.parse(*kind, body), *timestamp_ms, body.len());
    }
    assert_eq!(reopened.length(), writer.length());
    assert_eq!(reopened.duration_ms(), writer.duration_ms());
    check_patches(&reopened.patches());
}

impl Kind {
    fn kind(&self) -> TagKind {
        match self {
            Self::Audio => TagKind::AUDIO,
            Self::Video => TagKind::VIDEO,
            Self::Script => TagKind::SCRIPT,
            Self::Any(kind) => TagKind(*kind),
        }
    }
}

impl Time {
    fn after(self, now_ms: u32) -> u32 {
        match self {
            Self::Step(ms) => now_ms.saturating_add(ms.into()),
            Self::At(ms) => ms,
        }
    }
}

fn fields(fields: Vec<Field<'_>>) -> Object {
    fields.into_iter().filter_map(Field::member).collect()
}

impl Field<'_> {
    fn member(self) -> Option<(Text, Value)> {
        let name = match self.name {
            Name::Known(number) => NAMES[usize::from(number) % NAMES.len()].into(),
            Name::Any(name) => Bytes::copy_from_slice(name).into(),
        };
        let value = match self.value {
            FieldValue::Number(number) => number.into(),
            FieldValue::Text { piece, repeats } => {
                Value::String(Bytes::from(piece.repeat(repeats.into())).into())
            }
            FieldValue::Members(members) => Value::Object(members.into_iter().collect()),
            FieldValue::Encoded(bytes) => {
                let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(bytes));
                decoder.value().ok()?
            }
        };
        Some((name, value))
    }
}

const NAMES: [&str; 10] = [
    "duration",
    "width",
    "height",
    "framerate",
    "videocodecid",
    "audiosize",
    "keyframes",
    "metadatacreator",
    "title",
    "_",
];

/// Track ids have eight bits.
const MAX_TRACKS: usize = 256;

const MAX_REWRITES: usize = 6;

/// Patches do not cross page borders.
const PAGE: u64 = 4096;

const HEAD_MEMBERS: usize = 73;
