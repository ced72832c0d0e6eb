//! Segments: where they start and end, and how they are reported.

use proptest::prelude::*;

use super::*;

/// A recording that is split.
struct Split {
    folder: tempfile::TempDir,
    output: FileRecording,
    now: Instant,
}

impl Split {
    fn new(name: &str, change: impl FnOnce(&mut SegmentOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut options = SegmentOptions::none();
        options.manifest = Some(folder.path().join("list"));
        change(&mut options);
        let pattern = Template::parse(&path).map_or(Pattern::Numbered(path), Pattern::Template);
        Self {
            output: recording(pattern, &options),
            folder,
            now: Instant::now(),
        }
    }

    fn at(&mut self, wall: &str) {
        self.output.set_wall_clock(wall.parse().unwrap());
    }

    fn video(&mut self, at_ms: u64, body: &[u8]) {
        self.send(Frame(TagKind::VIDEO, at_ms, body.to_vec()));
    }

    fn audio(&mut self, at_ms: u64, body: &[u8]) {
        self.send(Frame(TagKind::AUDIO, at_ms, body.to_vec()));
    }

    fn send(&mut self, Frame(kind, at_ms, body): Frame) {
        let info = FrameParser::new().parse(kind, &body);
        self.output
            .media(self.now, info, at_ms, Payload::from(&body[..]))
            .unwrap();
    }

    fn finish(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let finished = self.output.finish(None);
        runtime.unwrap().block_on(finished).unwrap();
    }

    /// Lines of the manifest.
    fn listed(&self) -> Vec<serde_json::Value> {
        let lines = fs::read_to_string(self.folder.path().join("list")).unwrap_or_default();
        assert!(lines.is_empty() || lines.ends_with('\n'));
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        lines.lines().map(parse).collect()
    }

    /// Files in the manifest, relative to the directory.
    fn files(&self) -> Vec<String> {
        let paths = self.listed().into_iter();
        let paths = paths.map(|line| PathBuf::from(line["path"].as_str().unwrap()));
        let relative = paths.map(|path| path.strip_prefix(self.folder.path()).unwrap().to_owned());
        relative
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    /// Tags of a file, without its metadata.
    fn tags(&self, name: &str) -> Vec<(u8, u32, Vec<u8>)> {
        let mut tags = tags(&fs::read(self.folder.path().join(name)).unwrap());
        assert!(tags.remove(0).2.starts_with(b"\x02\0\x0aonMetaData"));
        tags
    }

    /// Frames of all segments at their output times, computed from the offsets in the manifest.
    fn joined(&self) -> Vec<Frame> {
        let mut all = Vec::new();
        for (line, name) in self.listed().iter().zip(self.files()) {
            let offset_ms = line["offset_ms"].as_u64().unwrap();
            for (kind, at_ms, body) in self.tags(&name) {
                let is_sequence_header = body.get(1) == Some(&0);
                if !is_sequence_header {
                    all.push(Frame(TagKind(kind), offset_ms + u64::from(at_ms), body));
                }
            }
        }
        all
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Frame(TagKind, u64, Vec<u8>);

fn seconds(count: u64) -> impl FnOnce(&mut SegmentOptions) {
    move |options| options.every_ms = Some(count * 1_000)
}

const AUDIO: [u8; 3] = [0xAF, 1, 0x21];

#[test]
fn each_segment_starts_with_sequence_headers_and_a_keyframe_at_0() {
    let mut split = Split::new("a.flv", seconds(1));
    split.video(0, &VIDEO_HEADER);
    split.audio(0, &AUDIO_HEADER);
    for at_ms in (0..2_000).step_by(40) {
        let is_key = at_ms % 600 == 0;
        split.video(at_ms, if is_key { &KEYFRAME } else { &INTER_FRAME });
        split.audio(at_ms + 7, &AUDIO);
    }
    split.finish();
    assert_eq!(split.files(), ["a.flv", "a.2.flv"]);
    let second = split.tags("a.2.flv");
    let expected = [
        (9, 0, VIDEO_HEADER.to_vec()),
        (8, 0, AUDIO_HEADER.to_vec()),
        (9, 0, KEYFRAME.to_vec()),
        (8, 7, AUDIO.to_vec()),
        (9, 40, INTER_FRAME.to_vec()),
    ];
    assert_eq!(second[..5], expected);
    let list = split.listed();
    let span =
        |line: &serde_json::Value| (line["offset_ms"].as_u64(), line["duration_ms"].as_u64());
    assert_eq!(
        [span(&list[0]), span(&list[1])],
        [(Some(0), Some(1_207)), (Some(1_200), Some(807))]
    );
    let size = fs::metadata(split.folder.path().join("a.2.flv"))
        .unwrap()
        .len();
    assert_eq!(list[1]["bytes"].as_u64(), Some(size));
    assert_eq!(list[1]["segment"].as_u64(), Some(2));
}

#[test]
fn each_segment_starts_with_the_latest_video_metadata() {
    // Frame type 5, packet type 4, and AMF0 values that need not parse.
    let metadata = |byte| [&b"\xD4avc1"[..], &[byte]].concat();
    let mut split = Split::new("a.flv", seconds(1));
    split.video(0, &VIDEO_HEADER);
    split.video(0, &metadata(1));
    for at_ms in (0..3_000).step_by(40) {
        let is_key = at_ms % 600 == 0;
        split.video(at_ms, if is_key { &KEYFRAME } else { &INTER_FRAME });
        if at_ms == 1_400 {
            split.video(at_ms, &metadata(2));
        }
    }
    split.finish();
    assert_eq!(split.files(), ["a.flv", "a.2.flv", "a.3.flv"]);
    for (name, byte) in [("a.flv", 1), ("a.2.flv", 1), ("a.3.flv", 2)] {
        let expected = [
            (9, 0, VIDEO_HEADER.to_vec()),
            (9, 0, metadata(byte)),
            (9, 0, KEYFRAME.to_vec()),
        ];
        assert_eq!(split.tags(name)[..3], expected, "{name}");
    }
}

#[test]
fn audio_before_the_keyframe_starts_the_segment_at_0() {
    let mut split = Split::new("a.flv", seconds(1));
    split.video(0, &KEYFRAME);
    split.audio(900, &AUDIO);
    split.video(1_000, &KEYFRAME);
    split.video(1_040, &INTER_FRAME);
    split.audio(960, &AUDIO);
    split.audio(980, &AUDIO);
    split.finish();
    let times: Vec<u32> = split.tags("a.2.flv").iter().map(|tag| tag.1).collect();
    assert_eq!(times, [40, 80, 0, 20]);
    assert_eq!(split.listed()[1]["offset_ms"].as_u64(), Some(960));
}

#[test]
fn a_keyframe_that_is_written_at_once_leaves_time_for_earlier_audio() {
    let mut split = Split::new("a.flv", seconds(1));
    let large = [&KEYFRAME[..], &[7; 300_000]].concat();
    split.video(0, &KEYFRAME);
    split.audio(970, &AUDIO);
    split.video(1_000, &large);
    split.audio(990, &AUDIO);
    split.video(2_000, &large);
    split.video(30_000, &large);
    split.finish();
    let times = |name| {
        split
            .tags(name)
            .iter()
            .map(|tag| tag.1)
            .collect::<Vec<u32>>()
    };
    assert_eq!(times("a.2.flv"), [30, 20]);
    assert_eq!(split.listed()[1]["offset_ms"].as_u64(), Some(970));
    // The audio ended long ago, so that no time is left for it.
    assert_eq!(times("a.4.flv"), [0]);
}

#[test]
fn audio_only_is_split_at_any_frame() {
    let mut split = Split::new("a-%02d.flv", seconds(1));
    split.audio(0, &AUDIO_HEADER);
    (0..100).for_each(|frame| split.audio(frame * 23, &AUDIO));
    split.finish();
    assert_eq!(split.files(), ["a-01.flv", "a-02.flv", "a-03.flv"]);
    assert_eq!(
        split.tags("a-02.flv")[..2],
        [(8, 0, AUDIO_HEADER.to_vec()), (8, 0, AUDIO.to_vec()),]
    );
    let offsets: Vec<_> = split
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1_012), Some(2_001)]);
}

#[test]
fn only_keyframes_of_the_main_track_split() {
    // Multitrack, coded frames, one track of AVC with this id.
    let keyframe = |id| [0x96, 0x01, b'a', b'v', b'c', b'1', id, 0, 0, 0, 0x65];
    let record = |id| [0x96, 0x00, b'a', b'v', b'c', b'1', id, 1, 0, 0, 0];
    let mut split = Split::new("a.flv", seconds(1));
    [0, 1].iter().for_each(|id| split.video(0, &record(*id)));
    for at_ms in [0, 1_000] {
        split.video(at_ms, &keyframe(1));
        split.video(at_ms, &keyframe(0));
    }
    split.finish();
    let second = [record(0), record(1), keyframe(0)].map(|body| (9, 0, body.to_vec()));
    assert_eq!(split.tags("a.2.flv"), second);
}

#[test]
fn the_first_keyframe_after_the_size_limit_splits() {
    let mut split = Split::new("a.flv", |options| {
        options.bytes = Some(head::LENGTH as u64 + 60)
    });
    for at_ms in 0..9 {
        split.video(
            at_ms,
            if at_ms % 2 == 0 {
                &KEYFRAME
            } else {
                &INTER_FRAME
            },
        );
    }
    split.finish();
    let sizes: Vec<_> = split
        .files()
        .iter()
        .map(|name| split.tags(name).len())
        .collect();
    // A tag has 25 bytes: three of them reach the limit.
    assert_eq!(sizes, [4, 4, 1]);
}

#[test]
fn clock_boundaries_split_and_name_the_files() {
    let mut split = Split::new("%F/%H-%M.flv", |options| {
        options.clock_seconds = Some(3_600);
        options.zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
    });
    let frames = [
        ("2026-11-23T03:59:59Z", 0),
        ("2026-11-23T04:59:59Z", 1_000),
        ("2026-11-23T05:00:01Z", 2_000),
        ("2026-11-23T05:10:00Z", 3_000),
        ("2026-11-23T06:00:00Z", 4_000),
    ];
    for (wall, at_ms) in frames {
        split.at(wall);
        split.video(at_ms, &KEYFRAME);
    }
    split.finish();
    let names = [
        "2026-11-22/22-59.flv",
        "2026-11-22/23-59.flv",
        "2026-11-23/00-00.flv",
        "2026-11-23/01-00.flv",
    ];
    assert_eq!(split.files(), names);
    assert_eq!(split.listed()[2]["start"], "2026-11-23T00:00:01.000-05:00");
    assert_eq!(split.tags(names[2]).len(), 2);
}

/// The frames after a gap are not the continuation of those before it, although the server may send its
/// next keyframe later.
#[test]
fn a_requested_split_starts_at_the_next_frame() {
    let mut split = Split::new("a.flv", |_| {});
    split.video(0, &VIDEO_HEADER);
    split.audio(0, &AUDIO_HEADER);
    split.video(0, &KEYFRAME);
    split.output.request_split();
    split.audio(20, &AUDIO);
    split.video(40, &INTER_FRAME);
    split.video(80, &KEYFRAME);
    split.finish();
    let kinds = |name| {
        split
            .tags(name)
            .iter()
            .map(|tag| tag.0)
            .collect::<Vec<u8>>()
    };
    assert_eq!(kinds("a.flv"), [9, 8, 9]);
    assert_eq!(kinds("a.2.flv"), [9, 8, 8, 9, 9]);
}

#[test]
fn messages_that_set_up_a_decoder_after_a_requested_split_start_the_next_segment() {
    // Frame type 5, packet type 4, and AMF0 values that need not parse.
    let colors = |byte| [&b"\xD4avc1"[..], &[byte]].concat();
    let mut split = Split::new("a.flv", |_| {});
    split.video(0, &VIDEO_HEADER);
    split.video(0, &colors(1));
    split.video(0, &KEYFRAME);
    split.output.request_split();
    split.video(40, &VIDEO_HEADER);
    split.video(40, &colors(2));
    split.video(40, &KEYFRAME);
    split.finish();
    let bodies = |name| -> Vec<Vec<u8>> {
        let tags = split.tags(name).into_iter();
        tags.map(|tag| tag.2).collect()
    };
    let expected = |byte| [VIDEO_HEADER.to_vec(), colors(byte), KEYFRAME.to_vec()];
    assert_eq!(bodies("a.flv"), expected(1));
    assert_eq!(bodies("a.2.flv"), expected(2));
}

/// A bad connection causes thousands of gaps in a week, and a front end that restarts rtmpull as many files.
#[test]
fn requested_segments_have_a_high_limit() {
    for (name, is_requested, next) in [
        ("a.flv", true, "a.1001.flv"),
        ("a.%d.flv", false, "a.1001.flv"),
    ] {
        let mut split = Split::new(name, |_| {});
        if is_requested {
            split.video(0, &KEYFRAME);
            split.output.request_split();
        }
        for number in 1..=1000 {
            fs::write(split.folder.path().join(format!("a.{number}.flv")), []).unwrap();
        }
        split.video(40, &KEYFRAME);
        split.finish();
        assert_eq!(
            split.files().last().map(String::as_str),
            Some(next),
            "{name}"
        );
    }
}

/// A publisher may switch its camera off and continue with audio.
#[test]
fn audio_splits_after_a_minute_without_video() {
    let mut split = Split::new("%d.flv", seconds(30));
    split.video(0, &VIDEO_HEADER);
    split.audio(0, &AUDIO_HEADER);
    for second in 0..10 {
        split.video(second * 1_000, &KEYFRAME);
    }
    for second in 0..200 {
        split.audio(second * 1_000, &AUDIO);
    }
    split.finish();
    let offsets: Vec<_> = split
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, [0, 70_000, 90_000, 120_000, 150_000, 180_000]);
}

/// The new stream sends its sequence headers before its first frame, which is in the next segment.
#[test]
fn a_segment_before_a_gap_has_no_sequence_header_of_the_stream_after_it() {
    let other = [0x17, 0, 0, 0, 0, 1, 0x4D, 0, 13, 0xFF, 0xE0, 0];
    let mut split = Split::new("a.flv", |_| {});
    split.audio(0, &AUDIO_HEADER);
    split.audio(0, &AUDIO);
    split.output.request_split();
    split.video(20, &other);
    split.video(20, &KEYFRAME);
    split.finish();
    assert_eq!(split.tags("a.flv").len(), 2);
    let head = fs::read(split.folder.path().join("a.flv")).unwrap();
    assert_eq!(head[4], 4, "the header has no video flag");
    let kinds: Vec<u8> = split.tags("a.2.flv").iter().map(|tag| tag.0).collect();
    assert_eq!(kinds, [8, 9, 9]);
}

/// Each segment costs a head of 49 KB. A server whose clock jumps must not turn a few bytes into many.
#[test]
fn small_segments_start_at_most_once_per_second_after_a_burst() {
    let mut split = Split::new("%d.flv", seconds(1));
    split.at("2026-11-22T20:00:00Z");
    let keyframes = |split: &mut Split, hours: std::ops::Range<u64>| {
        for hour in hours {
            split.video(hour * 3_600_000, &KEYFRAME);
        }
    };
    keyframes(&mut split, 0..500);
    let burst = split.listed().len() + 1;
    assert!((20..=100).contains(&burst), "{burst} segments");
    split.at("2026-11-22T20:00:01Z");
    keyframes(&mut split, 500..510);
    split.at("2026-11-22T20:00:03Z");
    keyframes(&mut split, 510..520);
    split.finish();
    assert_eq!(split.listed().len(), burst + 3);
    assert_eq!(split.joined().len(), 520);
}

/// A fast download of a recorded stream has many segments per second, but few per megabyte.
#[test]
fn large_segments_start_at_any_rate() {
    let mut split = Split::new("%d.flv", seconds(1));
    let keyframe = [&KEYFRAME[..], &[7; 100_000]].concat();
    (0..150).for_each(|second| split.video(second * 1_000, &keyframe));
    split.finish();
    assert_eq!(split.listed().len(), 150);
}

#[test]
fn a_delayed_segment_at_the_largest_timestamp_keeps_all_frames() {
    let mut split = Split::new("%d.flv", |_| {});
    for number in 0..200 {
        split.video(number << 31, &KEYFRAME);
    }
    split.finish();
    let tags = split.files().into_iter().flat_map(|name| split.tags(&name));
    assert_eq!(tags.filter(|tag| tag.2 == KEYFRAME).count(), 200);
    assert!(split.listed().len() < 100, "{}", split.listed().len());
}

#[test]
fn segments_at_the_largest_timestamp_are_in_the_manifest() {
    let mut split = Split::new("a.flv", |_| {});
    split.video(0, &KEYFRAME);
    split.video(1 << 24, &INTER_FRAME);
    split.video(LAST_TIMESTAMP_MS, &INTER_FRAME);
    split.video(1 << 31, &KEYFRAME);
    split.video(1 << 32, &KEYFRAME);
    split.finish();
    let offsets: Vec<_> = split
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1 << 31), Some(1 << 32)]);
    let times: Vec<u64> = split.joined().iter().map(|frame| frame.1).collect();
    assert_eq!(times, [0, 1 << 24, LAST_TIMESTAMP_MS, 1 << 31, 1 << 32]);
}

#[test]
fn the_size_with_a_message_is_predicted() {
    let mut split = Split::new("a.flv", seconds(1));
    let mut expected = 0;
    let mut send = |split: &mut Split, at_ms, body: &[u8]| {
        let payload = Payload::from(body);
        expected = split.output.bytes_with(
            FrameParser::new().parse(TagKind::VIDEO, body),
            at_ms,
            &payload,
        );
        split.video(at_ms, body);
    };
    send(&mut split, 0, &VIDEO_HEADER);
    for at_ms in [0, 400, 800, 1_200, 1_600] {
        send(&mut split, at_ms, &KEYFRAME);
    }
    split.finish();
    assert_eq!(split.files().len(), 2);
    assert_eq!(split.output.totals().bytes, expected);
    assert_eq!(split.output.bytes(), expected);
}

#[test]
fn a_manifest_that_cannot_be_written_does_not_stop_the_recording() {
    let mut split = Split::new("a.flv", |options| {
        seconds(1)(options);
        options.manifest = Some("/nowhere/at/all".into());
    });
    split.video(0, &KEYFRAME);
    split.video(1_000, &KEYFRAME);
    split.finish();
    assert_eq!(split.tags("a.2.flv").len(), 1);
    let numbers: Vec<u32> = std::iter::from_fn(|| split.output.take_segment())
        .map(|facts| facts.segment)
        .collect();
    assert_eq!(numbers, [1, 2]);
}

/// A kill or a full disk can leave a torn line.
#[test]
fn a_torn_line_of_the_manifest_is_terminated_first() {
    let mut split = Split::new("a.flv", |_| {});
    let list = split.folder.path().join("list");
    fs::write(&list, "{}\n{\"path\":\"tor").unwrap();
    split.video(0, &KEYFRAME);
    split.output.request_split();
    split.video(40, &KEYFRAME);
    split.finish();
    let lines = fs::read_to_string(&list).unwrap();
    let is_complete = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let complete: Vec<bool> = lines.lines().map(is_complete).collect();
    assert_eq!(complete, [true, false, true, true], "{lines}");
}

/// Two tracks with independent frame intervals, interleaved in any order.
fn clips() -> impl Strategy<Value = Vec<Frame>> {
    let video = prop::collection::vec((0..400_u64, prop::bool::weighted(0.3)), 1..60);
    let audio = prop::collection::vec(0..300_u64, 0..60);
    let order = prop::collection::vec(any::<bool>(), 120);
    (video, audio, order, 0..5_000_u64).prop_map(|(video, audio, order, lag)| {
        let mut at_ms = 0;
        let video = video
            .into_iter()
            .enumerate()
            .map(|(number, (step, is_key))| {
                at_ms += step;
                let mut body = if is_key { KEYFRAME } else { INTER_FRAME }.to_vec();
                body.extend(number.to_be_bytes());
                Frame(TagKind::VIDEO, at_ms, body)
            });
        let mut video: VecDeque<_> = video.collect();
        let mut at_ms = lag;
        let audio = audio.into_iter().enumerate().map(|(number, step)| {
            at_ms += step;
            let body = [&AUDIO[..], &number.to_be_bytes()].concat();
            Frame(TagKind::AUDIO, at_ms, body)
        });
        let mut audio: VecDeque<_> = audio.collect();
        let mut frames = Vec::new();
        for is_video in order {
            let next = if is_video {
                video.pop_front()
            } else {
                audio.pop_front()
            };
            frames.extend(next);
        }
        frames.extend(video);
        frames.extend(audio);
        frames
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn joined_segments_equal_the_unsplit_recording(clip in clips(), every_ms in 1..6_000_u64) {
        let mut split = Split::new("%d.flv", |options| options.every_ms = Some(every_ms));
        split.video(0, &VIDEO_HEADER);
        split.audio(0, &AUDIO_HEADER);
        clip.iter().for_each(|frame| split.send(frame.clone()));
        split.finish();
        prop_assert_eq!(split.joined(), clip);
        for name in split.files().iter().skip(1) {
            let tags = split.tags(name);
            prop_assert_eq!(&tags[0].2, &VIDEO_HEADER);
            prop_assert_eq!(&tags[1].2, &AUDIO_HEADER);
            let first = &tags[2];
            let has_video = tags.iter().skip(2).any(|tag| tag.0 == 9);
            prop_assert!(!has_video || first.2.starts_with(&KEYFRAME), "{first:?}");
        }
    }
}
