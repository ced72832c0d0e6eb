//! SegmentOptions: where they are cut, what they begin with, and what is told of them.

use proptest::prelude::*;

use super::*;

/// An output that is cut.
struct Cut {
    folder: tempfile::TempDir,
    output: Recording,
    now: Instant,
}

impl Cut {
    fn new(name: &str, change: impl FnOnce(&mut SegmentOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut parts = SegmentOptions::none();
        parts.manifest = Some(folder.path().join("list"));
        change(&mut parts);
        let destination =
            Template::parse(&path).map_or(Destination::Path(path), Destination::Template);
        Self {
            output: Recording::new(destination, &parts),
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

    /// The lines of the manifest.
    fn listed(&self) -> Vec<serde_json::Value> {
        let lines = fs::read_to_string(self.folder.path().join("list")).unwrap_or_default();
        assert!(lines.is_empty() || lines.ends_with('\n'));
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        lines.lines().map(parse).collect()
    }

    /// The files by the manifest, relative to the folder.
    fn files(&self) -> Vec<String> {
        let paths = self.listed().into_iter();
        let paths = paths.map(|line| PathBuf::from(line["path"].as_str().unwrap()));
        let relative = paths.map(|path| path.strip_prefix(self.folder.path()).unwrap().to_owned());
        relative
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    /// The tags of one file, without its metadata.
    fn tags(&self, name: &str) -> Vec<(u8, u32, Vec<u8>)> {
        let mut tags = tags(&fs::read(self.folder.path().join(name)).unwrap());
        assert!(tags.remove(0).2.starts_with(b"\x02\0\x0aonMetaData"));
        tags
    }

    /// All frames, at their places by the manifest; of the parts behind the first, those that are no
    /// configuration.
    fn put_together(&self) -> Vec<Frame> {
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
    move |parts| parts.every_ms = Some(count * 1_000)
}

const SOUND: [u8; 3] = [0xAF, 1, 0x21];

#[test]
fn each_part_begins_with_configuration_and_a_keyframe_at_0() {
    let mut cut = Cut::new("a.flv", seconds(1));
    cut.video(0, &VIDEO_CONFIGURATION);
    cut.audio(0, &AUDIO_CONFIGURATION);
    for at_ms in (0..2_000).step_by(40) {
        let is_key = at_ms % 600 == 0;
        cut.video(at_ms, if is_key { &KEYFRAME } else { &INTER_FRAME });
        cut.audio(at_ms + 7, &SOUND);
    }
    cut.finish();
    assert_eq!(cut.files(), ["a.flv", "a.2.flv"]);
    let second = cut.tags("a.2.flv");
    let expected = [
        (9, 0, VIDEO_CONFIGURATION.to_vec()),
        (8, 0, AUDIO_CONFIGURATION.to_vec()),
        (9, 0, KEYFRAME.to_vec()),
        (8, 7, SOUND.to_vec()),
        (9, 40, INTER_FRAME.to_vec()),
    ];
    assert_eq!(second[..5], expected);
    let list = cut.listed();
    let place =
        |line: &serde_json::Value| (line["offset_ms"].as_u64(), line["duration_ms"].as_u64());
    assert_eq!(
        [place(&list[0]), place(&list[1])],
        [(Some(0), Some(1_207)), (Some(1_200), Some(807))]
    );
    let size = fs::metadata(cut.folder.path().join("a.2.flv"))
        .unwrap()
        .len();
    assert_eq!(list[1]["bytes"].as_u64(), Some(size));
    assert_eq!(list[1]["segment"].as_u64(), Some(2));
}

#[test]
fn audio_that_comes_behind_a_keyframe_and_belongs_before_it_is_the_parts_0() {
    let mut cut = Cut::new("a.flv", seconds(1));
    cut.video(0, &KEYFRAME);
    cut.audio(900, &SOUND);
    cut.video(1_000, &KEYFRAME);
    cut.video(1_040, &INTER_FRAME);
    cut.audio(960, &SOUND);
    cut.audio(980, &SOUND);
    cut.finish();
    let times: Vec<u32> = cut.tags("a.2.flv").iter().map(|tag| tag.1).collect();
    assert_eq!(times, [40, 80, 0, 20]);
    assert_eq!(cut.listed()[1]["offset_ms"].as_u64(), Some(960));
}

#[test]
fn a_keyframe_that_is_written_at_once_leaves_room_for_audio_that_belongs_before_it() {
    let mut cut = Cut::new("a.flv", seconds(1));
    let large = [&KEYFRAME[..], &[7; 300_000]].concat();
    cut.video(0, &KEYFRAME);
    cut.audio(970, &SOUND);
    cut.video(1_000, &large);
    cut.audio(990, &SOUND);
    cut.video(2_000, &large);
    cut.video(30_000, &large);
    cut.finish();
    let times = |name| cut.tags(name).iter().map(|tag| tag.1).collect::<Vec<u32>>();
    assert_eq!(times("a.2.flv"), [30, 20]);
    assert_eq!(cut.listed()[1]["offset_ms"].as_u64(), Some(970));
    // The sound ended long ago: nothing is left room for.
    assert_eq!(times("a.4.flv"), [0]);
}

#[test]
fn sound_alone_is_cut_at_any_frame() {
    let mut cut = Cut::new("a-%02d.flv", seconds(1));
    cut.audio(0, &AUDIO_CONFIGURATION);
    (0..100).for_each(|frame| cut.audio(frame * 23, &SOUND));
    cut.finish();
    assert_eq!(cut.files(), ["a-01.flv", "a-02.flv", "a-03.flv"]);
    assert_eq!(
        cut.tags("a-02.flv")[..2],
        [(8, 0, AUDIO_CONFIGURATION.to_vec()), (8, 0, SOUND.to_vec()),]
    );
    let offsets: Vec<_> = cut
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1_012), Some(2_001)]);
}

#[test]
fn other_tracks_than_the_main_one_cut_nothing() {
    // Multitrack, coded frames, one track of AVC with this id.
    let keyframe = |id| [0x96, 0x01, b'a', b'v', b'c', b'1', id, 0, 0, 0, 0x65];
    let record = |id| [0x96, 0x00, b'a', b'v', b'c', b'1', id, 1, 0, 0, 0];
    let mut cut = Cut::new("a.flv", seconds(1));
    [0, 1].iter().for_each(|id| cut.video(0, &record(*id)));
    for at_ms in [0, 1_000] {
        cut.video(at_ms, &keyframe(1));
        cut.video(at_ms, &keyframe(0));
    }
    cut.finish();
    let second = [record(0), record(1), keyframe(0)].map(|body| (9, 0, body.to_vec()));
    assert_eq!(cut.tags("a.2.flv"), second);
}

#[test]
fn size_cuts_at_the_first_keyframe_behind_it() {
    let mut cut = Cut::new("a.flv", |parts| {
        parts.bytes = Some(head::LENGTH as u64 + 60)
    });
    for at_ms in 0..9 {
        cut.video(
            at_ms,
            if at_ms % 2 == 0 {
                &KEYFRAME
            } else {
                &INTER_FRAME
            },
        );
    }
    cut.finish();
    let sizes: Vec<_> = cut
        .files()
        .iter()
        .map(|name| cut.tags(name).len())
        .collect();
    // 25 bytes a tag: three of them are enough.
    assert_eq!(sizes, [4, 4, 1]);
}

#[test]
fn the_clock_cuts_and_names() {
    let mut cut = Cut::new("%F/%H-%M.flv", |parts| {
        parts.clock_seconds = Some(3_600);
        parts.zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
    });
    let frames = [
        ("2026-11-23T03:59:59Z", 0),
        ("2026-11-23T04:59:59Z", 1_000),
        ("2026-11-23T05:00:01Z", 2_000),
        ("2026-11-23T05:10:00Z", 3_000),
        ("2026-11-23T06:00:00Z", 4_000),
    ];
    for (wall, at_ms) in frames {
        cut.at(wall);
        cut.video(at_ms, &KEYFRAME);
    }
    cut.finish();
    let names = [
        "2026-11-22/22-59.flv",
        "2026-11-22/23-59.flv",
        "2026-11-23/00-00.flv",
        "2026-11-23/01-00.flv",
    ];
    assert_eq!(cut.files(), names);
    assert_eq!(cut.listed()[2]["start"], "2026-11-23T00:00:01.000-05:00");
    assert_eq!(cut.tags(names[2]).len(), 2);
}

#[test]
fn a_part_can_be_wished_for() {
    let mut cut = Cut::new("a.flv", |_| {});
    cut.video(0, &KEYFRAME);
    cut.output.request_split();
    cut.video(40, &INTER_FRAME);
    cut.video(80, &KEYFRAME);
    cut.video(120, &KEYFRAME);
    cut.finish();
    let sizes: Vec<_> = cut
        .files()
        .iter()
        .map(|name| cut.tags(name).len())
        .collect();
    assert_eq!(sizes, [2, 2]);
}

/// A bad line makes thousands of gaps in a week, and a program that is started anew each time as many
/// files.
#[test]
fn names_that_were_asked_for_do_not_come_to_an_end_soon() {
    for (name, wish, next) in [
        ("a.flv", true, "a.1001.flv"),
        ("a.%d.flv", false, "a.1001.flv"),
    ] {
        let mut cut = Cut::new(name, |_| {});
        if wish {
            cut.video(0, &KEYFRAME);
            cut.output.request_split();
        }
        for number in 1..=1000 {
            fs::write(cut.folder.path().join(format!("a.{number}.flv")), []).unwrap();
        }
        cut.video(40, &KEYFRAME);
        cut.finish();
        assert_eq!(cut.files().last().map(String::as_str), Some(next), "{name}");
    }
}

/// A camera whose picture is gone for long is not waited for: what is left is sound.
#[test]
fn sound_is_cut_at_any_frame_once_the_picture_is_gone() {
    let mut cut = Cut::new("%d.flv", seconds(30));
    cut.video(0, &VIDEO_CONFIGURATION);
    cut.audio(0, &AUDIO_CONFIGURATION);
    for second in 0..10 {
        cut.video(second * 1_000, &KEYFRAME);
    }
    for second in 0..200 {
        cut.audio(second * 1_000, &SOUND);
    }
    cut.finish();
    let offsets: Vec<_> = cut
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, [0, 70_000, 90_000, 120_000, 150_000, 180_000]);
}

/// The new stream tells how it is to be decoded before its first frame, which is in the next part.
#[test]
fn a_part_that_a_gap_ends_has_nothing_of_what_comes_behind() {
    let other = [0x17, 0, 0, 0, 0, 1, 0x4D, 0, 13, 0xFF, 0xE0, 0];
    let mut cut = Cut::new("a.flv", |_| {});
    cut.audio(0, &AUDIO_CONFIGURATION);
    cut.audio(0, &SOUND);
    cut.output.request_split();
    cut.video(20, &other);
    cut.video(20, &KEYFRAME);
    cut.finish();
    assert_eq!(cut.tags("a.flv").len(), 2);
    let head = fs::read(cut.folder.path().join("a.flv")).unwrap();
    assert_eq!(head[4], 4, "there is no video");
    let kinds: Vec<u8> = cut.tags("a.2.flv").iter().map(|tag| tag.0).collect();
    assert_eq!(kinds, [8, 9, 9]);
}

#[test]
fn where_flvs_clock_ends_the_next_part_is_listed_too() {
    let mut cut = Cut::new("a.flv", |_| {});
    cut.video(0, &KEYFRAME);
    cut.video(1 << 24, &INTER_FRAME);
    cut.video(LAST_TIMESTAMP_MS, &INTER_FRAME);
    cut.video(1 << 31, &KEYFRAME);
    cut.video(1 << 32, &KEYFRAME);
    cut.finish();
    let offsets: Vec<_> = cut
        .listed()
        .iter()
        .map(|line| line["offset_ms"].as_u64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1 << 31), Some(1 << 32)]);
    let places: Vec<u64> = cut.put_together().iter().map(|frame| frame.1).collect();
    assert_eq!(places, [0, 1 << 24, LAST_TIMESTAMP_MS, 1 << 31, 1 << 32]);
}

#[test]
fn what_an_output_will_have_is_known_before() {
    let mut cut = Cut::new("a.flv", seconds(1));
    let mut expected = 0;
    let mut send = |cut: &mut Cut, at_ms, body: &[u8]| {
        let payload = Payload::from(body);
        expected = cut.output.bytes_with(
            FrameParser::new().parse(TagKind::VIDEO, body),
            at_ms,
            &payload,
        );
        cut.video(at_ms, body);
    };
    send(&mut cut, 0, &VIDEO_CONFIGURATION);
    for at_ms in [0, 400, 800, 1_200, 1_600] {
        send(&mut cut, at_ms, &KEYFRAME);
    }
    cut.finish();
    assert_eq!(cut.files().len(), 2);
    assert_eq!(cut.output.totals().bytes, expected);
    assert_eq!(cut.output.bytes(), expected);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_cut() {
    let mut pipe = PipeFixture::with(|parts| parts.every_ms = Some(1));
    pipe.video(0, &KEYFRAME);
    pipe.video(40, &KEYFRAME);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let tags = tags(&runtime.block_on(pipe.finish()));
    assert_eq!(
        tags,
        [(9, 0, KEYFRAME.to_vec()), (9, 40, KEYFRAME.to_vec())]
    );
}

#[test]
fn a_list_that_cannot_be_written_holds_up_nothing() {
    let mut cut = Cut::new("a.flv", |parts| {
        seconds(1)(parts);
        parts.manifest = Some("/nowhere/at/all".into());
    });
    cut.video(0, &KEYFRAME);
    cut.video(1_000, &KEYFRAME);
    cut.finish();
    assert_eq!(cut.tags("a.2.flv").len(), 1);
    let told: Vec<u32> = std::iter::from_fn(|| cut.output.take_segment())
        .map(|facts| facts.segment)
        .collect();
    assert_eq!(told, [1, 2]);
}

/// Two tracks, each with steps of its own, that lag behind each other as they like.
/// A line that a kill or a full disk tore costs nobody the next one.
#[test]
fn a_torn_line_of_the_list_is_ended_before_the_next() {
    let mut cut = Cut::new("a.flv", |_| {});
    let list = cut.folder.path().join("list");
    fs::write(&list, "{}\n{\"path\":\"tor").unwrap();
    cut.video(0, &KEYFRAME);
    cut.output.request_split();
    cut.video(40, &KEYFRAME);
    cut.finish();
    let lines = fs::read_to_string(&list).unwrap();
    let is_whole = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let whole: Vec<bool> = lines.lines().map(is_whole).collect();
    assert_eq!(whole, [true, false, true, true], "{lines}");
}

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
            let body = [&SOUND[..], &number.to_be_bytes()].concat();
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
    fn parts_put_together_are_the_unsplit_recording(clip in clips(), every_ms in 1..6_000_u64) {
        let mut cut = Cut::new("%d.flv", |parts| parts.every_ms = Some(every_ms));
        cut.video(0, &VIDEO_CONFIGURATION);
        cut.audio(0, &AUDIO_CONFIGURATION);
        clip.iter().for_each(|frame| cut.send(frame.clone()));
        cut.finish();
        prop_assert_eq!(cut.put_together(), clip);
        for name in cut.files().iter().skip(1) {
            let tags = cut.tags(name);
            prop_assert_eq!(&tags[0].2, &VIDEO_CONFIGURATION);
            prop_assert_eq!(&tags[1].2, &AUDIO_CONFIGURATION);
            let first = &tags[2];
            let has_video = tags.iter().skip(2).any(|tag| tag.0 == 9);
            prop_assert!(!has_video || first.2.starts_with(&KEYFRAME), "{first:?}");
        }
    }
}
