mod mp4;
mod mp4_reopened;
#[cfg(unix)]
mod pipes;
mod segments;

use std::{
    collections::VecDeque,
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{muxer::Muxer, naming::Pattern, recording::FileRecording, *};
use crate::core::{
    amf::{Object, Value, amf0},
    flv::{FrameInfo, FrameParser, Layout, TagKind, head},
    payload::Payload,
};

const LAST_TIMESTAMP_MS: u64 = Muxer::LARGEST_TIMESTAMP_MS;

const VIDEO_HEADER: [u8; 12] = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 13, 0xFF, 0xE0, 0];
const AUDIO_HEADER: [u8; 4] = [0xAF, 0, 0x11, 0x90];
const KEYFRAME: [u8; 10] = [0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65];
const INTER_FRAME: [u8; 10] = [0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41];

/// A recording in `out.flv` of a temporary directory.
struct Fixture {
    folder: tempfile::TempDir,
    output: FileRecording,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self::with(FileOptions {
            sync_interval: None,
            ..FileOptions::default()
        })
    }

    fn with(options: FileOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = match options.format {
            Format::Flv => "out.flv",
            Format::Mp4 => "out.mp4",
        };
        let pattern = Pattern::Numbered(folder.path().join(name));
        Self {
            folder,
            output: FileRecording::new(pattern, &SegmentOptions::none(), options, None),
            now: Instant::now(),
        }
    }

    fn video(&mut self, at_ms: u64, body: &[u8]) {
        self.send(TagKind::VIDEO, at_ms, body);
    }

    fn audio(&mut self, at_ms: u64, body: &[u8]) {
        self.send(TagKind::AUDIO, at_ms, body);
    }

    fn send(&mut self, kind: TagKind, at_ms: u64, body: &[u8]) {
        let info = FrameParser::new().parse(kind, body);
        self.output
            .media(self.now, info, at_ms, Payload::from(body))
            .unwrap();
    }

    fn script(&mut self, name: &str) {
        let payload = script_data(name, &Object::new());
        self.output
            .media(self.now, FrameInfo::SCRIPT, 0, payload)
            .unwrap();
    }

    fn metadata(&mut self, members: &Object) {
        let payload = script_data("onMetaData", members);
        self.output.metadata(self.now, 0, members, payload).unwrap();
    }

    async fn finish(&mut self) {
        self.output.finish(None).await.unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    /// Tags after the head: kind, timestamp, body.
    fn tags(&self, name: &str) -> Vec<(u8, u32, Vec<u8>)> {
        let mut tags = tags(&self.read(name));
        assert!(tags[0].2.starts_with(b"\x02\0\x0AonMetaData"));
        tags.remove(0);
        tags
    }
}

fn recording(pattern: Pattern, segments: &SegmentOptions) -> FileRecording {
    let options = FileOptions {
        sync_interval: None,
        ..FileOptions::default()
    };
    FileRecording::new(pattern, segments, options, None)
}

/// Script data: a name and an ECMA array (FLV E.4.4.1).
fn script_data(name: &str, members: &Object) -> Payload {
    let mut body = Vec::new();
    amf0::encode(&Value::from(name), &mut body);
    amf0::encode(&Value::EcmaArray(members.clone()), &mut body);
    Payload::from(&body[..])
}

/// All tags of an FLV file: kind, timestamp, body.
fn tags(bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    assert!(bytes.starts_with(b"FLV\x01"));
    let mut rest = &bytes[13..];
    let mut tags = Vec::new();
    while let [kind, a, b, c, d, e, f, g, _, _, _, body @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let timestamp_ms = u32::from_be_bytes([*g, *d, *e, *f]);
        tags.push((*kind, timestamp_ms, body[..length].to_vec()));
        rest = &body[length + 4..];
    }
    assert!(rest.is_empty(), "the file consists of complete tags");
    tags
}

#[tokio::test]
async fn an_existing_file_is_not_touched_before_the_first_frame() {
    let mut fixture = Fixture::new();
    let path = fixture.folder.path().join("out.flv");
    fs::write(&path, "precious").unwrap();
    fixture.script("onCuePoint");
    fixture.metadata(&Object::new());
    fixture.video(0, &VIDEO_HEADER);
    fixture.audio(0, &AUDIO_HEADER);
    fixture.audio(0, &[]);
    assert_eq!(fixture.read("out.flv"), b"precious");
    fixture.video(0, &KEYFRAME);
    fixture.finish().await;
    assert!(fixture.read("out.flv").starts_with(b"FLV\x01"));
}

#[tokio::test]
async fn pending_messages_keep_their_order_and_get_the_time_of_the_first_frame() {
    let mut fixture = Fixture::new();
    fixture.audio(0, &AUDIO_HEADER);
    fixture.audio(0, &[]);
    fixture.script("onCuePoint");
    fixture.video(0, &VIDEO_HEADER);
    fixture.video(700, &KEYFRAME);
    fixture.audio(720, &[0xAF, 1, 0x21]);
    fixture.script("onTextData");
    fixture.video(710, &INTER_FRAME);
    fixture.finish().await;
    let tags = fixture.tags("out.flv");
    let kinds_and_times: Vec<(u8, u32)> = tags.iter().map(|tag| (tag.0, tag.1)).collect();
    #[rustfmt::skip]
    let expected = [(8, 700), (18, 700), (9, 700), (9, 700), (8, 720), (18, 0), (9, 710)];
    assert_eq!(kinds_and_times, expected);
    assert_eq!(tags[0].2, AUDIO_HEADER);
    assert!(tags[1].2.starts_with(b"\x02\0\x0AonCuePoint"));
    assert_eq!(tags[2].2, VIDEO_HEADER);
    assert_eq!(tags[3].2, KEYFRAME);
}

#[tokio::test]
async fn a_message_is_queued_for_half_a_second() {
    let mut fixture = Fixture::new();
    fixture.video(0, &KEYFRAME);
    assert_eq!(fixture.tags("out.flv"), []);
    let deadline = fixture.output.deadline().unwrap();
    assert_eq!(deadline, fixture.now + Duration::from_millis(500));
    fixture
        .output
        .flush_due(deadline - Duration::from_millis(1))
        .unwrap();
    assert_eq!(fixture.tags("out.flv"), []);
    fixture.output.flush_due(deadline).unwrap();
    assert_eq!(fixture.tags("out.flv").len(), 1);
    assert_eq!(fixture.output.deadline(), None);
}

#[tokio::test]
async fn a_large_frame_is_written_at_once() {
    let mut fixture = Fixture::new();
    fixture.video(0, &[0x17; 300_000]);
    assert_eq!(fixture.tags("out.flv").len(), 1);
    assert!(fixture.output.take_spent().is_some());
}

#[tokio::test]
async fn a_new_segment_starts_at_the_largest_timestamp() {
    let mut fixture = Fixture::new();
    fixture.video(0, &VIDEO_HEADER);
    fixture.audio(0, &AUDIO_HEADER);
    fixture.video(LAST_TIMESTAMP_MS, &INTER_FRAME);
    fixture.video(LAST_TIMESTAMP_MS + 40, &INTER_FRAME);
    fixture.audio(LAST_TIMESTAMP_MS + 60, &[0xAF, 1, 0x21]);
    fixture.finish().await;
    assert_eq!(fixture.tags("out.flv").len(), 3);
    let second = [
        (9, 0, VIDEO_HEADER.to_vec()),
        (8, 0, AUDIO_HEADER.to_vec()),
        (9, 0, INTER_FRAME.to_vec()),
        (8, 20, vec![0xAF, 1, 0x21]),
    ];
    assert_eq!(fixture.tags("out.2.flv"), second);
}

#[tokio::test]
async fn a_keyframe_in_the_last_minute_starts_a_new_segment() {
    let mut fixture = Fixture::new();
    fixture.video(0, &KEYFRAME);
    fixture.video(LAST_TIMESTAMP_MS - 50_000, &INTER_FRAME);
    fixture.video(LAST_TIMESTAMP_MS - 40_000, &KEYFRAME);
    fixture.finish().await;
    assert_eq!(fixture.tags("out.flv").len(), 2);
    assert_eq!(fixture.tags("out.2.flv"), [(9, 0, KEYFRAME.to_vec())]);
}

#[tokio::test]
async fn a_first_timestamp_beyond_the_largest_becomes_0() {
    let mut fixture = Fixture::new();
    fixture.video(4_000_000_000, &KEYFRAME);
    fixture.video(4_000_000_040, &INTER_FRAME);
    fixture.finish().await;
    let expected = [(9, 0, KEYFRAME.to_vec()), (9, 40, INTER_FRAME.to_vec())];
    assert_eq!(fixture.tags("out.flv"), expected);
    let mut fixture = Fixture::new();
    fixture.video(LAST_TIMESTAMP_MS, &KEYFRAME);
    fixture.finish().await;
    let last = LAST_TIMESTAMP_MS as u32;
    assert_eq!(fixture.tags("out.flv"), [(9, last, KEYFRAME.to_vec())]);
}

#[tokio::test]
async fn later_segments_do_not_replace_files() {
    let mut fixture = Fixture::new();
    for name in ["out.flv", "out.2.flv", "out.3.flv"] {
        fs::write(fixture.folder.path().join(name), "precious").unwrap();
    }
    fixture.video(0, &KEYFRAME);
    fixture.video(LAST_TIMESTAMP_MS + 40, &KEYFRAME);
    fixture.finish().await;
    for name in ["out.2.flv", "out.3.flv"] {
        assert!(fixture.read(name) == b"precious", "{name}");
    }
    assert_eq!(fixture.tags("out.flv").len(), 1);
    assert_eq!(fixture.tags("out.4.flv"), [(9, 0, KEYFRAME.to_vec())]);
    let totals = fixture.output.totals();
    let files = ["out.flv", "out.4.flv"].map(|name| fixture.read(name).len() as u64);
    assert_eq!((totals.bytes, totals.tags), (files[0] + files[1], 2));
}

#[tokio::test]
async fn the_number_of_segments_is_limited() {
    let mut fixture = Fixture::new();
    fixture.video(0, &KEYFRAME);
    fixture.output.limit_segments(1);
    let (info, at_ms) = (
        FrameParser::new().parse(TagKind::VIDEO, &KEYFRAME),
        LAST_TIMESTAMP_MS + 40,
    );
    let payload = Payload::from(&KEYFRAME[..]);
    let written = fixture.output.media(fixture.now, info, at_ms, payload);
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    fixture.finish().await;
    assert_eq!(fixture.tags("out.flv").len(), 1);
    assert_eq!(fixture.output.totals().tags, 1);
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn each_head_contains_all_metadata_so_far() {
    let mut fixture = Fixture::new();
    fixture.metadata(&object(&["first"]));
    fixture.metadata(&object(&["second"]));
    assert!(fixture.output.take_spent().is_some());
    fixture.video(0, &KEYFRAME);
    fixture.metadata(&object(&["third"]));
    fixture.video(LAST_TIMESTAMP_MS + 1, &KEYFRAME);
    fixture.metadata(&object(&["fourth"]));
    fixture.finish().await;
    for (name, expected) in [
        ("out.flv", &["first", "second", "third"][..]),
        ("out.2.flv", &["first", "second", "third", "fourth"]),
    ] {
        let head = String::from_utf8_lossy(&fixture.read(name)).into_owned();
        let found = ["first", "second", "third", "fourth"].into_iter();
        let found: Vec<&str> = found.filter(|name| head.contains(name)).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// A radio stream sends its titles as metadata. Reconnects repeat the latest metadata.
#[tokio::test]
async fn later_metadata_is_in_the_head_and_at_its_time() {
    let mut fixture = Fixture::new();
    fixture.metadata(&object(&["first"]));
    fixture.audio(0, &[0xAF, 1, 0x21]);
    let second = object(&["second"]);
    for at_ms in [40, 80] {
        let payload = script_data("onMetaData", &second);
        fixture
            .output
            .metadata(fixture.now, at_ms, &second, payload)
            .unwrap();
    }
    fixture.audio(100, &[0xAF, 1, 0x21]);
    fixture.finish().await;
    let tags = fixture.tags("out.flv");
    let title = (18, 40, script_data("onMetaData", &second).to_vec());
    assert_eq!(tags.len(), 3, "the repetition is not written");
    assert_eq!(tags[1], title);
    let head = String::from_utf8_lossy(&fixture.read("out.flv")[..head::LENGTH]).into_owned();
    assert!(head.contains("first") && head.contains("second"));
}

fn object(names: &[&str]) -> Object {
    names.iter().map(|name| (*name, 1.0)).collect()
}

#[tokio::test]
async fn a_second_finish_does_not_change_the_file() {
    let mut fixture = Fixture::new();
    fixture.video(0, &KEYFRAME);
    fixture.finish().await;
    let bytes = fixture.read("out.flv");
    fixture.finish().await;
    assert!(fixture.read("out.flv") == bytes);
    assert_eq!(fixture.tags("out.flv").len(), 1);
}

#[tokio::test]
async fn header_flags_of_a_file_without_index_are_the_tracks_that_arrive() {
    for (first, flags) in [(&KEYFRAME[..], 1), (&[0xAF, 1, 0x21], 4)] {
        let mut fixture = Fixture::with(FileOptions {
            faststart: false,
            format: Format::Flv,
            layout: Layout::Plain,
            has_playlist: false,
            sync_interval: None,
            ..FileOptions::default()
        });
        let kind = if flags == 1 {
            TagKind::VIDEO
        } else {
            TagKind::AUDIO
        };
        fixture.send(kind, 0, first);
        fixture.finish().await;
        let bytes = fixture.read("out.flv");
        assert_eq!(bytes[4], flags);
        assert_eq!(tags(&bytes), [(kind.0, 0, first.to_vec())]);
        assert_eq!(fixture.output.totals().bytes, bytes.len() as u64);
    }
}
