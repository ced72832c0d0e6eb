use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::core::flv::keyframe_index::KeyframeIndex;
use crate::core::{
    amf::amf0,
    flv::{self, FrameParser, TagReader, reader::TagView},
    payload::Payload,
};

/// A file in memory with its writer.
struct File {
    writer: HeadWriter,
    parser: FrameParser,
    bytes: Vec<u8>,
}

impl File {
    fn new(layout: Layout) -> Self {
        let mut writer = HeadWriter::new(layout);
        let bytes = writer.head();
        Self {
            writer,
            parser: FrameParser::new(),
            bytes,
        }
    }

    fn tag(&mut self, kind: TagKind, timestamp_ms: u32, body: &[u8]) -> u64 {
        let offset = self.writer.length();
        let tag = Tag::new(kind, timestamp_ms, Payload::from(body));
        note(&mut self.writer, &mut self.parser, kind, timestamp_ms, body);
        self.bytes.extend(tag.as_bytes());
        assert_eq!(self.writer.length(), self.bytes.len() as u64);
        offset
    }

    fn patch(&mut self) -> Vec<Patch> {
        let patches = self.writer.patches();
        for patch in &patches {
            self.writer.patch_written(patch);
            let Patch { offset, bytes } = patch;
            let end = *offset as usize + bytes.len();
            assert!(end <= head::LENGTH);
            assert_eq!(*offset as usize / head::PAGE, (end - 1) / head::PAGE);
            self.bytes[*offset as usize..end].copy_from_slice(bytes);
        }
        assert_eq!(self.writer.patches(), []);
        patches
    }

    fn tags(&self) -> Vec<TagView<'_>> {
        let (mut reader, mut rest) = (TagReader::new(), &self.bytes[..]);
        let tags = std::iter::from_fn(|| reader.read(&mut rest).unwrap()).collect();
        assert_eq!(reader.torn(rest), None);
        tags
    }

    /// Returns the `onMetaData` of the head.
    fn metadata(&self) -> Object {
        let body = self.tags()[0].body;
        let (values, fault) = amf0::decode_all(Bytes::copy_from_slice(body));
        assert_eq!(fault, None);
        assert_eq!(values[0], Value::from("onMetaData"));
        values[1].as_object().unwrap().clone()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.metadata().get(name)?.as_number()
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.metadata().get(name)?.as_boolean()
    }

    /// Returns times in milliseconds and offsets of the keyframes, without repeats.
    fn keyframes(&self) -> Vec<(u32, u64)> {
        let metadata = self.metadata();
        let keyframes = metadata.get("keyframes").unwrap();
        let numbers = |name| {
            let numbers = keyframes.member(name).unwrap().as_array().unwrap();
            numbers.iter().map(|number| number.as_number().unwrap())
        };
        let mut keyframes: Vec<(u32, u64)> = numbers("times")
            .map(|time| (time * 1000.0).round() as u32)
            .zip(numbers("filepositions").map(|position| position as u64))
            .collect();
        keyframes.dedup();
        keyframes
    }
}

/// An AVCDecoderConfigurationRecord of 322x182 pixels.
const AVC_SEQUENCE_HEADER: &[u8] = b"\x17\0\0\0\0\
    \x01\x64\0\x0d\xff\xe1\0\x1a\
    \x67\x64\0\x0d\xac\xd9\x41\x51\x9e\x22\x6c\x04\x40\0\0\x03\0\x40\0\0\x0c\x83\xc5\x0a\x65\x80\
    \x01\0\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\0";
const AVC_KEY: &[u8] = b"\x17\x01\0\0\0\0\0\0\x01\x65";
const AVC_INTER: &[u8] = b"\x27\x01\0\0\0\0\0\0\x01\x41";
const AVC_END: &[u8] = b"\x17\x02\0\0\0";
const AAC_SEQUENCE_HEADER: &[u8] = b"\xAF\0\x12\x10";
const AAC: &[u8] = b"\xAF\x01\x21\x10";

fn recorded() -> File {
    let mut file = File::new(Layout::Seekable);
    file.tag(TagKind::VIDEO, 0, AVC_SEQUENCE_HEADER);
    file.tag(TagKind::AUDIO, 0, AAC_SEQUENCE_HEADER);
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    file.tag(TagKind::AUDIO, 10, AAC);
    file.tag(TagKind::AUDIO, 33, AAC);
    file.tag(TagKind::VIDEO, 40, AVC_INTER);
    file.tag(TagKind::VIDEO, 80, AVC_KEY);
    file
}

#[test]
fn patched_head_describes_the_file() {
    let mut file = recorded();
    assert_eq!(file.bytes[4], 0b101);
    file.patch();
    assert_eq!(file.bytes[4], 0b101);
    assert_eq!(file.number("duration"), Some(0.12));
    assert_eq!(file.number("lasttimestamp"), Some(0.08));
    assert_eq!(file.number("filesize"), Some(file.bytes.len() as f64));
    let data = file.bytes.len() - head::LENGTH;
    assert_eq!(file.number("datasize"), Some(data as f64));
    assert_eq!(
        file.number("audiosize"),
        Some((4 + 15 + 2 * (4 + 15)) as f64)
    );
    assert_eq!(file.number("videocodecid"), Some(7.0));
    assert_eq!(file.number("audiocodecid"), Some(10.0));
    assert_eq!(file.number("width"), Some(322.0));
    assert_eq!(file.number("height"), Some(182.0));
    for name in ["hasAudio", "hasVideo", "hasMetadata", "hasKeyframes"] {
        assert_eq!(file.boolean(name), Some(true), "{name}");
    }
    assert_eq!(file.boolean("canSeekToEnd"), Some(true));
    let creator = file.metadata().get("metadatacreator").cloned();
    let version = concat!("rtmpull ", env!("CARGO_PKG_VERSION"));
    assert_eq!(creator, Some(Value::from(version)));
    assert!(head::is_rewritable(&file.bytes));
}

#[test]
fn keyframe_offsets_are_those_of_the_tags() {
    let mut file = recorded();
    assert_eq!(file.keyframes(), [(0, head::LENGTH as u64)]);
    file.tag(TagKind::VIDEO, 120, AVC_END);
    file.patch();
    let keyframes = file.keyframes();
    let tags = file.tags();
    let tag_at = |offset| tags.iter().find(|tag| tag.offset == offset).unwrap();
    let times = keyframes.iter().map(|(time_ms, _)| *time_ms);
    assert_eq!(times.collect::<Vec<_>>(), [0, 80]);
    for (time_ms, offset) in keyframes {
        assert_eq!(tag_at(offset).header.timestamp_ms, time_ms as i32);
        assert_eq!(tag_at(offset).body, AVC_KEY);
    }
    let last = tags[tags.len() - 2].offset;
    assert_eq!(file.number("lastkeyframelocation"), Some(last as f64));
    assert_eq!(file.number("lastkeyframetimestamp"), Some(0.08));
}

#[test]
fn only_changed_pages_are_patched() {
    let mut file = recorded();
    let pages = |patches: &[Patch]| -> Vec<u64> {
        let pages = patches.iter().map(|patch| patch.offset / 4096);
        pages.collect()
    };
    let patches = file.patch();
    assert_eq!(pages(&patches), (0..10).rev().collect::<Vec<_>>());
    file.tag(TagKind::AUDIO, 100, AAC);
    assert_eq!(pages(&file.patch()), [0]);
    let fields: Object = [("encoder", "obs")].into_iter().collect();
    assert!(file.writer.set_metadata(&fields));
    assert_eq!(pages(&file.patch()), [10]);
    assert_eq!(file.patch(), []);
}

#[test]
fn flags_are_those_of_tracks_with_data() {
    for (kind, body, flags) in [
        (TagKind::AUDIO, AAC, 0b100),
        (TagKind::VIDEO, AVC_KEY, 0b001),
        (TagKind::AUDIO, b"", 0b101),
        (TagKind::SCRIPT, &b"\x02\0\x01x\x05"[..], 0b101),
    ] {
        let mut file = File::new(Layout::Seekable);
        file.tag(kind, 0, body);
        file.patch();
        assert_eq!(file.bytes[4], flags);
        assert_eq!(file.boolean("hasAudio"), Some(flags & 0b100 != 0));
        assert_eq!(file.boolean("hasVideo"), Some(flags & 0b001 != 0));
    }
}

#[test]
fn duration_includes_one_interval_after_the_last_frame() {
    let mut file = File::new(Layout::Seekable);
    assert_eq!(file.writer.duration_ms(), 0);
    assert_eq!(file.writer.last_timestamp_ms(), None);
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    assert_eq!(file.writer.duration_ms(), 0);
    file.tag(TagKind::VIDEO, 40, AVC_INTER);
    assert_eq!(file.writer.duration_ms(), 80);
    // A gap is not a frame interval.
    file.tag(TagKind::VIDEO, 9000, AVC_INTER);
    assert_eq!(file.writer.duration_ms(), 9040);
    // Audio that lags does not change the duration, nor do tags that are not frames.
    file.tag(TagKind::AUDIO, 8990, AAC);
    file.tag(TagKind::VIDEO, 9500, AVC_END);
    file.tag(TagKind::AUDIO, 9500, AAC_SEQUENCE_HEADER);
    file.tag(TagKind::AUDIO, 9500, b"");
    file.tag(TagKind::SCRIPT, 9500, b"\x02\0\x01x\x05");
    assert_eq!(file.writer.duration_ms(), 9040);
    // Nor does a step back in time.
    file.tag(TagKind::VIDEO, 8980, AVC_INTER);
    assert_eq!(file.writer.duration_ms(), 9040);
    assert_eq!(file.writer.last_timestamp_ms(), Some(9000));
    file.tag(TagKind::AUDIO, 9013, AAC);
    assert_eq!(file.writer.duration_ms(), 9040);
    file.tag(TagKind::AUDIO, 9036, AAC);
    assert_eq!(file.writer.duration_ms(), 9059);
}

#[test]
fn duration_starts_at_the_first_frame_and_index_times_are_absolute() {
    let mut file = File::new(Layout::Seekable);
    file.tag(TagKind::VIDEO, 0, AVC_SEQUENCE_HEADER);
    file.tag(TagKind::VIDEO, 90_000, AVC_KEY);
    file.tag(TagKind::AUDIO, 89_990, AAC);
    file.tag(TagKind::VIDEO, 90_040, AVC_INTER);
    file.patch();
    assert_eq!(file.writer.duration_ms(), 90);
    assert_eq!(file.number("duration"), Some(0.09));
    assert_eq!(file.number("lasttimestamp"), Some(90.04));
    assert_eq!(file.keyframes()[0].0, 90_000);
}

#[test]
fn audio_only_file_has_an_entry_every_5_s() {
    let mut file = File::new(Layout::Seekable);
    file.tag(TagKind::AUDIO, 0, AAC_SEQUENCE_HEADER);
    (0..1000).for_each(|n| {
        file.tag(TagKind::AUDIO, n * 23, AAC);
    });
    file.patch();
    let times: Vec<u32> = file.keyframes().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [0, 5014, 10028, 15042, 20056]);
    assert_eq!(file.boolean("canSeekToEnd"), Some(true));
    // Once video arrives, only keyframes are entries.
    file.tag(TagKind::VIDEO, 23_000, AVC_INTER);
    file.patch();
    assert_eq!(file.keyframes(), [(0, head::LENGTH as u64)]);
    assert_eq!(file.boolean("hasKeyframes"), Some(false));
    file.tag(TagKind::VIDEO, 24_000, AVC_KEY);
    file.tag(TagKind::AUDIO, 30_000, AAC);
    file.tag(TagKind::VIDEO, 30_000, AVC_INTER);
    file.patch();
    assert_eq!(file.keyframes().len(), 1);
    assert_eq!(file.boolean("canSeekToEnd"), Some(false));
}

#[test]
fn index_of_a_long_file_covers_all_of_it() {
    let mut file = File::new(Layout::Seekable);
    for n in 0..5000 {
        file.tag(TagKind::VIDEO, n * 2000, AVC_KEY);
        file.tag(TagKind::VIDEO, n * 2000 + 1000, AVC_INTER);
    }
    file.patch();
    let keyframes = file.keyframes();
    assert!((1025..=2048).contains(&keyframes.len()));
    assert_eq!(keyframes[0], (0, head::LENGTH as u64));
    assert_eq!(keyframes.last().unwrap().0, 4999 * 2000);
    for (time_ms, offset) in keyframes {
        let body = offset as usize + flv::TagHeader::LENGTH;
        assert_eq!(&file.bytes[body..][..AVC_KEY.len()], AVC_KEY);
        assert_eq!(time_ms % 2000, 0);
    }
}

/// Tags of a codec, all with frame type 0: a sequence header if the codec has one, a keyframe, and an inter
/// frame.
struct VideoVectors {
    id: u32,
    sequence_header: &'static [u8],
    key: &'static [u8],
    inter: &'static [u8],
    size: Option<(f64, f64)>,
}

const VIDEO_VECTORS: [VideoVectors; 13] = [
    VideoVectors {
        id: 2,
        sequence_header: b"",
        key: b"\x02\0\0\x84\0\x80\xa1\0\x5b\0\0",
        inter: b"\x02\0\0\x84\0\x80\x20\0",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 3,
        sequence_header: b"",
        key: b"\x03\x31\x42\x30\xb6",
        inter: b"\x03\x31\x42\x30\xb6",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 4,
        sequence_header: b"",
        key: b"\x04\xea\0\x46\x0b\x15\x0b\x15",
        inter: b"\x04\xea\x80\x46\x0b\x15\x0b\x15",
        size: Some((322.0, 166.0)),
    },
    VideoVectors {
        id: 5,
        sequence_header: b"",
        key: b"\x05\xea\0\0\0\0\x46\x0b\x15\x0b\x15",
        inter: b"\x05\xea\0\0\0\x80\x46\x0b\x15\x0b\x15",
        size: Some((322.0, 166.0)),
    },
    VideoVectors {
        id: 6,
        sequence_header: b"",
        key: b"\x06\x31\x42\x30\xb6",
        inter: b"\x06\x31\x42\x30\xb6",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 7,
        sequence_header: b"\x07\0\0\0\0\x01\x64\0\x0d\xff\xe1\0\x1a\
            \x67\x64\0\x0d\xac\xd9\x41\x51\x9e\x22\x6c\x04\x40\0\0\x03\0\x40\0\0\x0c\x83\xc5\x0a\x65\x80\
            \x01\0\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\0",
        key: b"\x07\x01\0\0\0\0\0\0\x02\x65\xb8",
        inter: b"\x07\x01\0\0\0\0\0\0\x02\x41\xb8",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 12,
        sequence_header: b"\x0c\0\0\0\0\x01\x01\x60",
        key: b"\x0c\x01\0\0\0\0\0\0\x02\x26\x01",
        inter: b"\x0c\x01\0\0\0\0\0\0\x02\x02\x01",
        size: None,
    },
    VideoVectors {
        id: 0x6176_6331,
        sequence_header: b"\x80avc1\x01\x64\0\x0d\xff\xe1\0\x1a\
            \x67\x64\0\x0d\xac\xd9\x41\x51\x9e\x22\x6c\x04\x40\0\0\x03\0\x40\0\0\x0c\x83\xc5\x0a\x65\x80\
            \x01\0\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\0",
        key: b"\x81avc1\0\0\0\0\0\0\x02\x65\x88",
        inter: b"\x81avc1\0\0\0\0\0\0\x02\x41\x88",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 0x6876_6331,
        sequence_header: b"\x80hvc1\x01\x01\x60",
        key: b"\x83hvc1\0\0\0\x02\x26\x01",
        inter: b"\x83hvc1\0\0\0\x02\x02\x01",
        size: None,
    },
    VideoVectors {
        id: 0x7676_6331,
        sequence_header: b"\x80vvc1\xff",
        key: b"\x83vvc1\0\0\0\x03\0\x39\x01",
        inter: b"\x83vvc1\0\0\0\x03\0\x01\x01",
        size: None,
    },
    VideoVectors {
        id: 0x6176_3031,
        sequence_header: b"\x80av01\x81\0\x0c\0\x0a\x0b\0\0\0\x04\x3d\x06\xd4\xda\xf9\0\x40",
        key: b"\x81av01\x12\0\x0a\x0d\x20\0\0\x04\x3d\x06\xd4\xda\xf9\x20\x21\xa0\x04\x32\x02\x10\0",
        inter: b"\x83av01\x12\0\x32\x02\x10\0",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 0x7670_3039,
        sequence_header: b"\x80vp09\x01\0\0\0\0\x0b\x82\x02\x02\x02\0\0",
        key: b"\x83vp09\x82\x49\x83\x42\0\x14\x10\x0b\x56\x08",
        inter: b"\x83vp09\x86",
        size: Some((322.0, 182.0)),
    },
    VideoVectors {
        id: 0x7670_3038,
        sequence_header: b"\x80vp08\x01\0\0\0",
        key: b"\x81vp08\xd0\x01\0\x9d\x01\x2a\x42\x01\xb6\0",
        inter: b"\x81vp08\xd1\x01\0\x9d\x01\x2a\x42\x01\xb6\0",
        size: Some((322.0, 182.0)),
    },
];

/// Returns `body` with `frame_type`.
fn claiming(frame_type: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body[0] |= frame_type << 4;
    body
}

#[test]
fn keyframes_of_every_codec_are_indexed() {
    for VideoVectors {
        id,
        sequence_header,
        key,
        inter,
        size,
    } in VIDEO_VECTORS
    {
        let mut file = File::new(Layout::Seekable);
        if !sequence_header.is_empty() {
            for frame_type in [0, 1] {
                file.tag(TagKind::VIDEO, 0, &claiming(frame_type, sequence_header));
            }
        }
        let mut expected = vec![(40, file.tag(TagKind::VIDEO, 40, &claiming(1, key)))];
        file.tag(TagKind::VIDEO, 80, &claiming(2, key));
        // In screen video, only the frame type marks a keyframe.
        let at = file.tag(TagKind::VIDEO, 120, key);
        expected.extend(Some((120, at)).filter(|_| id != 3 && id != 6));
        file.tag(TagKind::VIDEO, 160, inter);
        expected.push((200, file.tag(TagKind::VIDEO, 200, &claiming(4, key))));
        file.tag(TagKind::AUDIO, 210, AAC);
        file.patch();
        assert_eq!(file.keyframes(), expected, "codec {id:#x}");
        assert_eq!(file.number("videocodecid"), Some(id.into()));
        assert_eq!(file.number("duration"), Some(0.2));
        assert_eq!(file.number("lasttimestamp"), Some(0.21));
        assert_eq!(file.boolean("hasVideo"), Some(true));
        let found = file.number("width").zip(file.number("height"));
        assert_eq!(found, size, "codec {id:#x}");
    }
}

#[test]
fn head_names_every_audio_codec_and_sequence_headers_are_not_frames() {
    let vectors: [(u32, &[u8], &[u8]); 19] = [
        (0, b"", b"\x0e\0\0"),
        (1, b"", b"\x1e\0\0"),
        (2, b"", b"\x2e\xff\xfb\x50\xc4"),
        (3, b"", b"\x3e\0\0"),
        (4, b"", b"\x4e\0"),
        (5, b"", b"\x5e\0"),
        (6, b"", b"\x6e\0"),
        (7, b"", b"\x7e\0"),
        (8, b"", b"\x8e\0"),
        (10, b"\xaf\0\x11\x90", b"\xaf\x01\x21"),
        (11, b"", b"\xb6\0"),
        (14, b"", b"\xee\0"),
        (15, b"", b"\xfe\0"),
        (0x6d70_3461, b"\x90mp4a\x11\x90", b"\x91mp4a\x21"),
        (0x2e6d_7033, b"\x90.mp3\0", b"\x91.mp3\xff\xfb\x50\xc4"),
        (0x4f70_7573, b"\x90OpusOpusHead", b"\x91Opus\xfc"),
        (0x664c_6143, b"\x90fLaCfLaC", b"\x91fLaC\xff"),
        (0x6163_2d33, b"", b"\x91ac-3\x0b\x77"),
        (0x6563_2d33, b"", b"\x91ec-3\x0b\x77"),
    ];
    for (id, sequence_header, frame) in vectors {
        let mut file = File::new(Layout::Seekable);
        if !sequence_header.is_empty() {
            file.tag(TagKind::AUDIO, 0, sequence_header);
        }
        let first = file.tag(TagKind::AUDIO, 1000, frame);
        file.tag(TagKind::AUDIO, 1020, frame);
        file.patch();
        assert_eq!(file.keyframes(), [(1000, first)], "codec {id:#x}");
        assert_eq!(file.number("audiocodecid"), Some(id.into()));
        assert_eq!(file.number("duration"), Some(0.04), "codec {id:#x}");
        assert_eq!(file.boolean("hasAudio"), Some(true));
        assert_eq!(file.boolean("hasVideo"), Some(false));
    }
}

fn server_fields() -> Object {
    let fields: [(&str, Value); 8] = [
        ("duration", 600.0.into()),
        ("width", 640.0.into()),
        ("videodatarate", 500.0.into()),
        ("keyframes", Object::new().into()),
        ("filesize", 1e6.into()),
        ("encoder", "Lavf".into()),
        ("hasCuePoints", true.into()),
        ("", "nameless".into()),
    ];
    fields.into_iter().collect()
}

#[test]
fn server_fields_are_kept_if_they_stay_true() {
    let mut writer = HeadWriter::new(Layout::Seekable);
    assert!(writer.set_metadata(&server_fields()));
    let bytes = writer.head();
    let mut file = File {
        writer,
        parser: FrameParser::new(),
        bytes,
    };
    let metadata = file.metadata();
    assert_eq!(metadata.get("encoder"), Some(&Value::from("Lavf")));
    assert_eq!(metadata.get("videodatarate"), Some(&Value::Number(500.0)));
    assert_eq!(file.number("width"), Some(640.0));
    assert_eq!(file.number("duration"), Some(0.0));
    assert_eq!(file.number("filesize"), Some(head::LENGTH as f64));
    assert_eq!(metadata.get("hasCuePoints"), None);
    assert_eq!(metadata.get(""), None);
    file.tag(TagKind::VIDEO, 0, AVC_SEQUENCE_HEADER);
    file.patch();
    assert_eq!(file.number("width"), Some(322.0));
}

#[test]
fn server_fields_of_a_track_without_frames_are_omitted() {
    let claims = [("videocodecid", 7.0), ("width", 640.0), ("height", 480.0)];
    let claims = claims.into_iter().chain([("audiocodecid", 10.0)]);
    let mut file = File::new(Layout::Seekable);
    file.writer.set_metadata(&claims.collect());
    let names = ["videocodecid", "width", "height", "audiocodecid"];
    let present = |file: &mut File| {
        file.patch();
        names.map(|name| file.number(name).is_some())
    };
    assert_eq!(present(&mut file), [true; 4]);
    file.tag(TagKind::AUDIO, 0, AAC);
    assert_eq!(present(&mut file), [false, false, false, true]);
    assert_eq!(file.number("audiocodecid"), Some(10.0));
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    assert_eq!(present(&mut file), [true; 4]);
    assert_eq!(file.number("width"), Some(640.0));
    let mut file = File::new(Layout::Seekable);
    file.writer.set_metadata(
        &[("audiocodecid", 10.0), ("width", 640.0)]
            .into_iter()
            .collect(),
    );
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    assert_eq!(present(&mut file), [true, true, false, false]);
}

#[test]
fn later_metadata_replaces_and_adds_fields() {
    let mut file = recorded();
    assert!(file.writer.set_metadata(&server_fields()));
    let later = [("encoder", Value::from("obs")), ("title", "late".into())];
    let later: Object = later.into_iter().collect();
    for _ in 0..100 {
        assert!(file.writer.set_metadata(&later));
    }
    file.patch();
    assert_eq!(file.metadata().get("encoder"), Some(&Value::from("obs")));
    assert_eq!(file.metadata().get("title"), Some(&Value::from("late")));
    assert_eq!(file.number("videodatarate"), Some(500.0));
    let metadata = file.metadata();
    let encoders = metadata.iter().filter(|(name, _)| name == "encoder");
    assert_eq!(encoders.count(), 1);
}

#[test]
fn fields_that_do_not_fit_are_omitted() {
    let mut nested = Object::new();
    nested.push("", "players take an empty name for the end");
    let mut fields = Object::new();
    fields.push("title", "x".repeat(3000));
    fields.push("huge", "x".repeat(70_000));
    fields.push("nested", nested);
    (0..100).for_each(|n| fields.push(format!("field{n}"), n.to_string()));
    let mut file = recorded();
    assert!(file.writer.set_metadata(&fields));
    file.patch();
    let metadata = file.metadata();
    assert!(metadata.get("title").is_some());
    assert!(metadata.get("field46").is_some());
    for name in ["huge", "nested", "field47", "field99"] {
        assert_eq!(metadata.get(name), None, "{name}");
    }
    // A field that grows too large is removed; its old value would be wrong.
    let grown: Object = [("title", "x".repeat(5000))].into_iter().collect();
    file.writer.set_metadata(&grown);
    file.patch();
    assert_eq!(file.metadata().get("title"), None);
}

#[test]
fn metadata_of_the_recording_is_inherited_if_it_fits() {
    let mut kept = Metadata::default();
    kept.merge(&server_fields());
    // A message can refer to one string a thousand times, which would be 60 MB here.
    let text = Value::from("x".repeat(60_000));
    let names = (0..1000).map(|number| format!("field{number}"));
    kept.merge(&names.map(|name| (name, text.clone())).collect());
    kept.merge(&[("title", "x".repeat(3000))].into_iter().collect());
    let kept_bytes = kept.pages().flatten().map(|field| field.as_bytes().len());
    assert!((60_000..=1 << 16).contains(&kept_bytes.sum::<usize>()));
    let mut writer = HeadWriter::new(Layout::Seekable);
    writer.inherit_metadata(&kept);
    let bytes = writer.head();
    let parser = FrameParser::new();
    let metadata = File {
        writer,
        parser,
        bytes,
    }
    .metadata();
    assert_eq!(metadata.get("encoder"), Some(&Value::from("Lavf")));
    assert!(metadata.get("title").is_some());
    assert_eq!(metadata.get("field0"), None);
}

#[test]
fn pipe_gets_metadata_as_a_plain_tag() {
    let mut writer = HeadWriter::new(Layout::Plain);
    assert!(writer.set_metadata(&server_fields()));
    let bytes = writer.head();
    #[rustfmt::skip]
    let expected = [
        &b"FLV\x01\x05\0\0\0\x09"[..],
        b"\0\0\0\0",
        b"\x12\0\0\x60\0\0\0\0\0\0\0",              // script tag of 96 bytes, at 0
        b"\x02\0\x0aonMetaData",
        b"\x08\0\0\0\x04",                          // ECMA array of 4
        b"\0\x08duration\0\x40\x82\xC0\0\0\0\0\0",  // 600
        b"\0\x05width\0\x40\x84\0\0\0\0\0\0",       // 640
        b"\0\x0dvideodatarate\0\x40\x7F\x40\0\0\0\0\0", // 500
        b"\0\x07encoder\x02\0\x04Lavf",
        b"\0\0\x09",
        b"\0\0\0\x6B",                              // PreviousTagSize
    ]
    .concat();
    assert_eq!(bytes, expected);
    let mut file = File {
        writer,
        parser: FrameParser::new(),
        bytes,
    };
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    assert!(!file.writer.set_metadata(&server_fields()));
    assert_eq!(file.patch(), []);
    assert_eq!(file.tags().len(), 2);
}

#[test]
fn pipe_without_metadata_starts_with_the_file_header_only() {
    let mut file = File::new(Layout::Plain);
    assert_eq!(file.bytes, b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    assert!(!file.writer.set_metadata(&server_fields()));
    file.tag(TagKind::AUDIO, 7, AAC);
    assert_eq!(file.tags()[0].header.timestamp_ms, 7);
}

fn note(
    writer: &mut HeadWriter,
    parser: &mut FrameParser,
    kind: TagKind,
    timestamp_ms: u32,
    body: &[u8],
) {
    writer.tag_written(parser.parse(kind, body), timestamp_ms, body.len());
}

/// Adds all tags of `file` after its head to the stats of `writer`.
fn note_tags(writer: &mut HeadWriter, file: &File) {
    let mut parser = FrameParser::new();
    for TagView { header, body, .. } in file.tags().into_iter().skip(1) {
        let timestamp_ms = header.timestamp_ms as u32;
        note(writer, &mut parser, header.kind, timestamp_ms, body);
    }
}

#[test]
fn reopened_file_keeps_stats_and_metadata() {
    let mut file = recorded();
    file.writer.set_metadata(&server_fields());
    file.patch();
    let mut again = HeadWriter::reopen(&file.bytes).unwrap();
    note_tags(&mut again, &file);
    assert_eq!(again.length(), file.writer.length());
    assert_eq!(again.duration_ms(), file.writer.duration_ms());
    let offset = file.tag(TagKind::VIDEO, 120, AVC_KEY);
    note(
        &mut again,
        &mut FrameParser::new(),
        TagKind::VIDEO,
        120,
        AVC_KEY,
    );
    file.writer = again;
    file.patch();
    assert_eq!(file.keyframes().last(), Some(&(120, offset)));
    assert_eq!(file.metadata().get("encoder"), Some(&Value::from("Lavf")));
    assert!(HeadWriter::reopen(&file.bytes[..head::LENGTH - 1]).is_none());
    file.bytes[50] ^= 1;
    assert!(HeadWriter::reopen(&file.bytes).is_none());
}

#[test]
fn reopened_file_needs_no_patch() {
    let mut file = File::new(Layout::Seekable);
    let fields = |fields: &[(&str, usize)]| -> Object {
        let text = |(name, length): &(&str, usize)| ((*name).to_owned(), "x".repeat(*length));
        fields.iter().map(text).collect()
    };
    file.writer
        .set_metadata(&fields(&[("a", 3000), ("b", 2000)]));
    // Field b would now fit into the first page, but it stays in the second.
    file.writer.set_metadata(&fields(&[("a", 10)]));
    file.tag(TagKind::VIDEO, 0, AVC_SEQUENCE_HEADER);
    file.tag(TagKind::VIDEO, 0, AVC_KEY);
    file.patch();
    let mut again = HeadWriter::reopen(&file.bytes).unwrap();
    note_tags(&mut again, &file);
    assert_eq!(again.patches(), []);
}

/// A file with a keyframe every 2 s and two other tags after each, and the keyframes it contains.
struct Recording {
    file: File,
    keyframes: Vec<(u32, u64)>,
}

impl Recording {
    fn new() -> Self {
        Self {
            file: File::new(Layout::Seekable),
            keyframes: Vec::new(),
        }
    }

    fn record(&mut self, count: u32) {
        let recorded = self.keyframes.len() as u32;
        for number in recorded..recorded + count {
            let time_ms = number * 2000;
            let offset = self.file.tag(TagKind::VIDEO, time_ms, AVC_KEY);
            self.keyframes.push((time_ms, offset));
            self.file.tag(TagKind::AUDIO, time_ms + 10, AAC);
            self.file.tag(TagKind::VIDEO, time_ms + 1000, AVC_INTER);
        }
    }

    /// Panics unless `head` is valid for this file: every slot must hold the time or the position of a
    /// keyframe in the file.
    fn assert_good(&self, head: &[u8], durations_ms: [u32; 2]) -> [Vec<f64>; 2] {
        let (mut reader, mut rest) = (TagReader::new(), head);
        let tag = reader.read(&mut rest).unwrap().unwrap();
        assert_eq!(reader.intact_end(), head::LENGTH as u64);
        let (values, fault) = amf0::decode_all(Bytes::copy_from_slice(tag.body));
        assert_eq!((fault, values.len()), (None, 2));
        let metadata = values[1].as_object().unwrap();
        let duration = metadata.get("duration").unwrap().as_number().unwrap();
        let duration_ms = (duration * 1000.0).round() as u32;
        assert!(durations_ms.contains(&duration_ms), "{duration} s");
        let slots = |name: &str| -> Vec<f64> {
            let slots = metadata.get("keyframes").unwrap().member(name).unwrap();
            let slots = slots.as_array().unwrap().iter();
            slots.map(|slot| slot.as_number().unwrap()).collect()
        };
        let (times, positions) = (slots("times"), slots("filepositions"));
        assert_eq!((times.len(), positions.len()), (2048, 2048));
        for time in &times {
            let next = self.keyframes.partition_point(|(known_ms, _)| {
                f64::from(*known_ms) / 1000.0 <= time * (1.0 + 1.0 / 4096.0)
            });
            let (known_ms, _) = self.keyframes[next.saturating_sub(1)];
            let off = (f64::from(known_ms) / 1000.0 - time).abs();
            assert!(
                off <= time / 4096.0,
                "{time} s is not the one of a keyframe"
            );
        }
        for position in &positions {
            let known = self
                .keyframes
                .binary_search_by_key(&(*position as u64), |(_, at)| *at);
            assert!(known.is_ok(), "{position} is not the one of a keyframe");
        }
        [times, positions]
    }
}

/// Rewrites a head of `before` keyframes after `more` keyframes, and checks mixes of old and new pages: those
/// after a kill between two patches, and those after a power failure.
fn mixes_are_good(before: u32, more: u32) {
    let mut recording = Recording::new();
    recording.record(before);
    recording.file.patch();
    let old = recording.file.bytes[..head::LENGTH].to_vec();
    let old_ms = recording.file.writer.duration_ms();
    recording.record(more);
    let durations_ms = [old_ms, recording.file.writer.duration_ms()];
    let patches = recording.file.writer.patches();
    assert!((3..=10).contains(&patches.len()), "{}", patches.len());
    let write = |head: &mut [u8], patch: &Patch| {
        let offset = patch.offset as usize;
        head[offset..offset + patch.bytes.len()].copy_from_slice(&patch.bytes);
    };
    // A number is on two pages at most. These subsets contain each combination of two adjacent pages, so
    // no other subset can produce another number.
    for subset in [0, u32::MAX, 0x5555_5555, 0xAAAA_AAAA_u32] {
        let mut head = old.clone();
        let bits = patches.iter().enumerate();
        bits.filter(|(bit, _)| subset & 1 << bit != 0)
            .for_each(|(_, patch)| write(&mut head, patch));
        recording.assert_good(&head, durations_ms);
    }
    let mut head = old;
    for patch in &patches {
        write(&mut head, patch);
        for slots in recording.assert_good(&head, durations_ms) {
            assert!(slots.is_sorted(), "slots do not ascend after a kill");
        }
    }
}

#[test]
fn any_subset_of_rewritten_pages_points_at_keyframes() {
    mixes_are_good(1, 5);
    mixes_are_good(100, 300);
    mixes_are_good(700, 5);
    mixes_are_good(1500, 548);
}

#[test]
fn any_subset_of_pages_points_at_keyframes_after_thinning() {
    mixes_are_good(2040, 20);
    mixes_are_good(2048, 1);
    mixes_are_good(4090, 10);
}

#[test]
fn warm_writer_allocates_only_when_its_keyframe_index_doubles() {
    let mut writer = HeadWriter::new(Layout::Seekable);
    writer.head();
    let mut payload = Some(Payload::from(AVC_KEY));
    let bodies = [AVC_KEY, AVC_SEQUENCE_HEADER, AVC_INTER, AAC, AVC_END];
    let mut parser = FrameParser::new();
    let mut go = |count: u32| {
        for number in 0..count {
            let kind = TagKind([8, 9][number as usize % 2]);
            let body = payload.take().unwrap();
            note(&mut writer, &mut parser, kind, number * 40, &body);
            let tag = Tag::new(kind, number * 40, body);
            let mut emptied = Payload::reuse(tag.into_bytes());
            emptied.extend_from_slice(bodies[number as usize % bodies.len()]);
            payload = Some(emptied);
        }
    };
    go(10);
    let warm = allocation_counter::measure(|| go(100_000));
    let doublings = u64::from(KeyframeIndex::SLOTS.ilog2());
    assert!(warm.count_total <= doublings, "{}", warm.count_total);
    writer.patches();
    assert!(writer.duration_ms() > 3_900_000);
}

fn any_tags() -> impl Strategy<Value = Vec<(u8, u32, Vec<u8>)>> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::sample::select(vec![AVC_SEQUENCE_HEADER, AVC_KEY, AVC_INTER, AVC_END, AAC])
            .prop_map(<[u8]>::to_vec),
    ];
    let kind = prop::sample::select(vec![8u8, 9, 18, 15]);
    prop::collection::vec((kind, 0..=0x7FFF_FFFFu32, body), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn written_files_are_read_back(tags in any_tags(), patch_every in 1usize..10) {
        let mut file = File::new(Layout::Seekable);
        for (number, (kind, timestamp_ms, body)) in tags.iter().enumerate() {
            file.tag(TagKind(*kind), *timestamp_ms, body);
            if number % patch_every == 0 {
                file.patch();
            }
        }
        file.patch();
        let found = file.tags().into_iter().skip(1).map(|tag| {
            (tag.header.kind.0, tag.header.timestamp_ms as u32, tag.body.to_vec())
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), tags);
        prop_assert_eq!(file.number("filesize"), Some(file.bytes.len() as f64));
        let offsets: Vec<u64> = file.tags().iter().map(|tag| tag.offset).collect();
        for (_, offset) in file.keyframes() {
            let is_end = offset == head::LENGTH as u64;
            prop_assert!(is_end || offsets.contains(&offset));
        }
    }
}

#[test]
fn file_of_another_program_keeps_its_head() {
    let mut writer = HeadWriter::with_foreign_head(1000);
    let body = [0xAF, 1, 0];
    note(
        &mut writer,
        &mut FrameParser::new(),
        TagKind::AUDIO,
        0,
        &body,
    );
    assert_eq!(writer.length(), 1000 + 18);
    assert!(writer.patches().is_empty());
    assert!(!writer.set_metadata(&Object::default()));
}
