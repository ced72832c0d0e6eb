use std::{fs, path::Path};

use proptest::prelude::*;

use super::{
    recorder::{Message, Recorder},
    *,
};
use crate::core::{
    amf::Object,
    flv::{TagKind, TagReader, head, salvage::MAX_TAG_LENGTH},
    payload::Payload,
};

/// A recorded stream: a video frame every 40 ms and an audio frame every 23 ms, in order of time.
#[derive(Debug, Clone)]
struct Shape {
    frames: u32,
    /// Distance of keyframes in video frames.
    keyframe_every: u32,
    has_audio: bool,
    has_video: bool,
    /// Time from which audio is silent and the picture is still.
    silent_from_ms: u32,
    has_cues: bool,
}

/// How a server plays the stream from a requested position.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Number of keyframes by which the server misses the requested position; `None` for a server
    /// that always starts at 0.
    misses_by: Option<i32>,
    /// Whether the clock starts at 0 at the requested position.
    restarts_clock: bool,
    clock_ms: u32,
    sends_configuration: bool,
    /// Whether audio frames older than the first video frame are dropped.
    drops_early_audio: bool,
}

impl Message {
    fn video(at_ms: u32, number: u32, is_keyframe: bool) -> Self {
        let first = if is_keyframe { 0x17 } else { 0x27 };
        let mut body = vec![first, 1, 0, 0, 0, 0, 0, 0, 5];
        body.push(if is_keyframe { 0x65 } else { 0x41 });
        body.extend(number.to_be_bytes());
        Self {
            kind: TagKind::VIDEO,
            at_ms,
            body,
        }
    }

    fn audio(at_ms: u32, number: u32) -> Self {
        Self {
            kind: TagKind::AUDIO,
            at_ms,
            body: [&[0xAF, 1][..], &number.to_be_bytes()].concat(),
        }
    }

    fn is_keyframe(&self) -> bool {
        self.kind == TagKind::VIDEO && self.body[..2] == [0x17, 1]
    }
}

impl Shape {
    fn messages(&self) -> Vec<Message> {
        let mut messages = self.configuration();
        let (mut pictures, mut sounds) = (0, 0);
        for _ in 0..self.frames {
            let (picture_ms, sound_ms) = (pictures * 40, sounds * 23 + sounds / 4);
            let is_picture = self.has_video && (!self.has_audio || picture_ms <= sound_ms);
            let at_ms = if is_picture { picture_ms } else { sound_ms };
            let is_silent = at_ms >= self.silent_from_ms;
            if is_picture {
                let is_keyframe = pictures % self.keyframe_every == 0;
                let number = if is_silent && !is_keyframe {
                    0
                } else {
                    pictures
                };
                messages.push(Message::video(at_ms, number, is_keyframe));
                if self.has_cues && is_keyframe {
                    messages.push(Message {
                        kind: TagKind::SCRIPT,
                        at_ms,
                        body: b"\x02\0\x01c\0".to_vec(),
                    });
                }
                pictures += 1;
            } else {
                let number = if is_silent { 0 } else { sounds + 1 };
                messages.push(Message::audio(at_ms, number));
                sounds += 1;
            }
        }
        messages
    }

    fn configuration(&self) -> Vec<Message> {
        let message = |kind, body: &[u8]| Message {
            kind,
            at_ms: 0,
            body: body.to_vec(),
        };
        let video = message(TagKind::VIDEO, &[0x17, 0, 0, 0, 0, 1, 100, 0, 31, 0xFF]);
        let audio = message(TagKind::AUDIO, &[0xAF, 0, 0x11, 0x90]);
        let both = [(self.has_video, video), (self.has_audio, audio)];
        both.into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, m)| m)
            .collect()
    }
}

impl Style {
    /// Returns the messages for a client that requests `stream` from `start_ms`, with the server's
    /// timestamps.
    fn serve(&self, shape: &Shape, stream: &[Message], start_ms: u32) -> Vec<Message> {
        let is_entry = |message: &Message| {
            if shape.has_video {
                message.is_keyframe()
            } else {
                message.info().carries_media
            }
        };
        let entries: Vec<usize> = (0..stream.len())
            .filter(|i| is_entry(&stream[*i]))
            .collect();
        let start = match self.misses_by {
            Some(by) if start_ms > 0 => {
                let asked = entries.iter().rposition(|i| stream[*i].at_ms <= start_ms);
                let meant = (asked.unwrap_or(0) as i32 + by).max(0) as usize;
                entries.get(meant).copied().unwrap_or(stream.len())
            }
            _ => 0,
        };
        let Some(first) = stream.get(start) else {
            return Vec::new();
        };
        let mut served = Vec::new();
        if start > 0 && self.sends_configuration {
            served.extend(shape.configuration());
        }
        let from_ms = if start == 0 { 0 } else { first.at_ms };
        let clock_ms = match self.restarts_clock {
            true => 0_u32.wrapping_sub(from_ms),
            false => self.clock_ms,
        };
        let remaining = stream[start..].iter().cloned();
        let mut remaining: Vec<Message> = remaining
            .filter(|message| !self.drops_early_audio || message.at_ms >= from_ms)
            .collect();
        for message in &mut remaining {
            message.at_ms = message.at_ms.wrapping_add(clock_ms);
        }
        served.extend(remaining);
        served
    }
}

/// The tags of a file: kind, time, body.
fn tags(file: &[u8]) -> Vec<(TagKind, i32, Vec<u8>)> {
    let (mut reader, mut rest, mut tags) = (TagReader::new(), file, Vec::new());
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        tags.push((tag.header.kind, tag.header.timestamp_ms, tag.body.to_vec()));
    }
    assert!(rest.is_empty(), "{} bytes after the last tag", rest.len());
    tags
}

async fn record(file: &Path, messages: &[Message]) {
    let mut recorder = Recorder::new(file);
    messages.iter().for_each(|message| {
        recorder.take(message);
    });
    recorder.finish().await;
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn shapes() -> impl Strategy<Value = Shape> {
    (
        40_u32..400,
        3_u32..40,
        prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
        prop_oneof![Just(u32::MAX), 0_u32..6_000],
        any::<bool>(),
    )
        .prop_map(
            |(frames, keyframe_every, (has_audio, has_video), silent_from_ms, has_cues)| Shape {
                frames,
                keyframe_every,
                has_audio,
                has_video,
                silent_from_ms,
                has_cues,
            },
        )
}

fn styles() -> impl Strategy<Value = Style> {
    (
        prop_oneof![Just(None), (-2_i32..=2).prop_map(Some)],
        any::<bool>(),
        prop_oneof![Just(0_u32), Just(900_000), Just(0xFFFF_FF00)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(misses_by, restarts_clock, clock_ms, sends_configuration, drops_early_audio)| Style {
                misses_by,
                restarts_clock,
                clock_ms,
                sends_configuration,
                drops_early_audio,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// For any clip, cut, torn tail and server, the file equals an uninterrupted download.
    #[test]
    fn a_resumed_file_equals_an_uninterrupted_one(
        shape in shapes(),
        style in styles(),
        cut in 1_usize..440,
        torn in 0_usize..20,
        skip in 0_u32..4,
    ) {
        let stream = shape.messages();
        let cut = cut.min(stream.len());
        let folder = tempfile::tempdir().unwrap();
        let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
        block_on(async {
            record(&whole, &stream).await;
            record(&part, &stream[..cut]).await;
            if part.exists() && torn > 0 {
                let mut bytes = fs::read(&part).unwrap();
                let next = fs::read(&whole).unwrap().split_off(bytes.len());
                bytes.extend(next.iter().take(torn));
                fs::write(&part, bytes).unwrap();
            }
            let mut recorder = Recorder::resuming(&part, skip);
            prop_assert!(recorder.play(|start_ms| style.serve(&shape, &stream, start_ms)));
            recorder.finish().await;
            Ok(())
        })?;
        let (whole, part) = (fs::read(&whole).unwrap(), fs::read(&part).unwrap());
        prop_assert_eq!(&tags(&whole)[1..], &tags(&part)[1..]);
        prop_assert!(whole[..head::LENGTH] == part[..head::LENGTH], "the heads differ");
    }
}

const FILM: Shape = Shape {
    frames: 300,
    keyframe_every: 25,
    has_audio: true,
    has_video: true,
    silent_from_ms: u32::MAX,
    has_cues: false,
};

const FAITHFUL: Style = Style {
    misses_by: Some(0),
    restarts_clock: false,
    clock_ms: 0,
    sends_configuration: true,
    drops_early_audio: false,
};

/// Records the first `cut` messages of `shape`.
fn recorded(shape: &Shape, cut: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.flv");
    block_on(record(&file, &shape.messages()[..cut]));
    (folder, file)
}

fn starts(file: &Path, skip: u32) -> Vec<u32> {
    match read(file, crate::output::Format::Flv).unwrap() {
        ScanResult::ExistingRecording(recording, _) => recording.starts(skip),
        found => panic!("{found:?}"),
    }
}

#[test]
fn the_stream_is_asked_for_at_keyframes_before_the_end_and_at_last_from_0() {
    let (_folder, file) = recorded(&FILM, 300);
    assert_eq!(starts(&file, 0), [4000, 3000, 2000, 1000, 0]);
    assert_eq!(starts(&file, 2), [2000, 1000, 0]);
    assert_eq!(starts(&file, u32::MAX), [0]);
    // Only a few frames follow the last keyframe.
    let cut = FILM
        .messages()
        .iter()
        .position(|message| message.at_ms == 4_080);
    let (_folder, file) = recorded(&FILM, cut.unwrap());
    assert_eq!(starts(&file, 0), [3000, 2000, 1000, 0]);
    let (_folder, file) = recorded(&FILM, 3);
    assert_eq!(starts(&file, 1), [0]);
    let sound = Shape {
        has_video: false,
        frames: 2_000,
        ..FILM
    };
    let (_folder, file) = recorded(&sound, 2_000);
    let end = sound.messages()[1_999].at_ms;
    let before_end = [5, 10, 20, 40].map(|seconds| end - seconds * 1_000);
    assert_eq!(starts(&file, 0), [&before_end[..], &[0]].concat());
    assert_eq!(starts(&file, 1)[0], end - 10_000);
}

/// The picture is still and audio is silent: every second keyframe is identical, and so are the
/// frames after it. Only the clock reveals that the stream starts after the end of the file.
#[test]
fn a_still_picture_with_silence_does_not_match_at_an_earlier_position() {
    let still = |messages: Vec<Message>| -> Vec<Message> {
        let repeat = |mut message: Message| {
            let number = message.at_ms / 40;
            if message.is_keyframe() && message.at_ms >= 2_000 {
                message.body = Message::video(0, number / 25 % 2, true).body;
            } else if message.kind == TagKind::VIDEO && message.at_ms > 2_000 {
                message.body = Message::video(0, number % 25, false).body;
            } else if message.at_ms > 2_000 {
                message.body = Message::audio(0, 0).body;
            }
            message
        };
        messages.into_iter().map(repeat).collect()
    };
    let film = Shape {
        frames: 600,
        ..FILM
    };
    let stream = still(film.messages());
    let cut = stream.iter().position(|message| message.at_ms >= 3_800);
    let late = Style {
        misses_by: Some(1),
        ..FAITHFUL
    };
    let folder = tempfile::tempdir().unwrap();
    let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
    block_on(record(&whole, &stream));
    block_on(record(&part, &stream[..cut.unwrap()]));
    assert_eq!(starts(&part, 0)[0], 3_000);
    let mut recorder = Recorder::resuming(&part, 0);
    assert!(recorder.play(|start_ms| still(late.serve(&film, &film.messages(), start_ms))));
    block_on(recorder.finish());
    assert!(fs::read(&part).unwrap() == fs::read(&whole).unwrap());
}

#[test]
fn a_file_of_another_stream_stays_unchanged() {
    let other = Shape {
        keyframe_every: 24,
        ..FILM
    };
    let another = |start_ms| {
        let mut messages = FAITHFUL.serve(&other, &other.messages(), start_ms);
        messages.iter_mut().for_each(|message| message.body.push(1));
        messages
    };
    let (_folder, file) = recorded(&FILM, 200);
    let before = fs::read(&file).unwrap();
    let mut recorder = Recorder::resuming(&file, 0);
    assert!(!recorder.play(another));
    block_on(recorder.finish());
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn a_complete_file_stays_unchanged_and_garbage_after_it_is_cut_off() {
    let (_folder, file) = recorded(&FILM, 302);
    let complete = fs::read(&file).unwrap();
    let torn_tag = [9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x27, 1];
    for garbage in [&[][..], &[0; 700], &torn_tag] {
        fs::write(&file, [&complete, garbage].concat()).unwrap();
        let mut recorder = Recorder::resuming(&file, 0);
        assert!(recorder.play(|start_ms| FAITHFUL.serve(&FILM, &FILM.messages(), start_ms)));
        block_on(recorder.finish());
        assert!(fs::read(&file).unwrap() == complete);
    }
}

#[test]
fn a_cut_within_the_overlap_changes_nothing() {
    let (_folder, file) = recorded(&FILM, 200);
    let before = fs::read(&file).unwrap();
    let served = FAITHFUL.serve(&FILM, &FILM.messages(), starts(&file, 0)[0]);
    for count in 0..=20 {
        let mut recorder = Recorder::resuming(&file, 0);
        assert!(served[..count].iter().all(|message| recorder.take(message)));
        assert!(recorder.rejoin.is_some());
        block_on(recorder.finish());
        assert!(fs::read(&file).unwrap() == before);
    }
}

#[test]
fn a_foreign_head_stays_unchanged() {
    let (_folder, file) = recorded(&FILM, 200);
    let ours = fs::read(&file).unwrap();
    // A head of nine bytes, two onMetaData, and the tags.
    let mut foreign = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for _ in 0..2 {
        let metadata = Payload::from(&b"\x02\0\x0AonMetaData\x08\0\0\0\0\0\0\x09"[..]);
        foreign.extend(crate::core::flv::Tag::new(TagKind::SCRIPT, 0, metadata).as_bytes());
    }
    let head = foreign.len();
    foreign.extend(&ours[head::LENGTH..]);
    fs::write(&file, &foreign).unwrap();
    let mut recorder = Recorder::resuming(&file, 0);
    let metadata: Object = [("duration", 12.0)].into_iter().collect();
    let now = recorder.now;
    recorder
        .output
        .metadata(now, 0, &metadata, Payload::new())
        .unwrap();
    assert!(recorder.play(|start_ms| FAITHFUL.serve(&FILM, &FILM.messages(), start_ms)));
    block_on(recorder.finish());
    let resumed = fs::read(&file).unwrap();
    assert!(resumed[..foreign.len()] == foreign);
    let (_folder, whole) = recorded(&FILM, 302);
    assert!(resumed[head..] == fs::read(&whole).unwrap()[head::LENGTH..]);
}

#[test]
fn a_file_without_media_is_overwritten_and_a_non_flv_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.flv");
    assert!(matches!(
        read(&file, crate::output::Format::Flv).unwrap(),
        ScanResult::NoMedia
    ));
    let (_folder, media) = recorded(&FILM, 200);
    let media = fs::read(media).unwrap();
    let nothing: [&[u8]; 7] = [
        b"",
        b"F",
        b"FLV\x01\x05",
        b"FLV\x01\x05\0\0\0\x09",
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
        &media[..20_000],
        // The head, a sequence header and a torn frame.
        &media[..head::LENGTH + 25 + 19 + 20],
    ];
    for bytes in nothing {
        fs::write(&file, bytes).unwrap();
        let found = read(&file, crate::output::Format::Flv).unwrap();
        assert!(
            matches!(found, ScanResult::NoMedia),
            "{} bytes: {found:?}",
            bytes.len()
        );
    }
    let unusable: [&[u8]; 5] = [
        b"G",
        b"text",
        b"RIFF....WAVE and so on",
        b"FLV\x01\x05\0\0\0\x01\0\0\0\0",
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0 and then no tag, but something else",
    ];
    for bytes in unusable {
        fs::write(&file, bytes).unwrap();
        let found = read(&file, crate::output::Format::Flv).unwrap();
        assert!(
            matches!(found, ScanResult::Unusable(_)),
            "{bytes:?}: {found:?}"
        );
    }
}

#[test]
fn garbage_after_the_last_intact_tag_is_cut_off_with_the_first_new_tag() {
    for garbage in [
        &[0; 5000][..],
        &[9, 0, 0],
        &[8, 0xFF, 0xFF, 0xFF, 1, 2, 3, 0, 0, 0, 0, 1],
    ] {
        let (_folder, file) = recorded(&FILM, 200);
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend(garbage);
        fs::write(&file, &bytes).unwrap();
        let mut recorder = Recorder::resuming(&file, 0);
        assert!(recorder.play(|start_ms| FAITHFUL.serve(&FILM, &FILM.messages(), start_ms)));
        block_on(recorder.finish());
        let (_folder, whole) = recorded(&FILM, 302);
        assert!(fs::read(&file).unwrap() == fs::read(&whole).unwrap());
    }
}

/// Damage in the middle of a file is not a torn tail: the tags after it belong to a recording.
#[test]
fn tags_after_damage_in_the_middle_are_not_cut_off() {
    let (_folder, file) = recorded(&FILM, 200);
    let sound = fs::read(&file).unwrap();
    let ends = ends(&sound);
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let found = read(&file, crate::output::Format::Flv).unwrap();
        let is_refused = matches!(&found, ScanResult::Unusable(why) if why.contains("--repair"));
        assert!(is_refused, "{found:?}");
        assert!(fs::read(&file).unwrap() == bytes);
    };
    // Each PreviousTagSize except the last one, in turn.
    for end in &ends[..ends.len() - 1] {
        let mut bytes = sound.clone();
        bytes[end - 1] ^= 1;
        refused(&bytes);
    }
    // A length that points to no tag, up to the end of the file or beyond it.
    let middle = ends[ends.len() / 2];
    for length in [[0xFF; 3], [0, 0xFF, 0xFF], [0, 0, 3]] {
        let mut bytes = sound.clone();
        bytes[middle + 1..middle + 4].copy_from_slice(&length);
        refused(&bytes);
    }
    // The length of the first tag, and the bytes before it.
    for (at, damage) in [(head::LENGTH + 2, 0xFF), (5, 1), (6, 1), (7, 0x20)] {
        let mut bytes = sound.clone();
        bytes[at] = damage;
        refused(&bytes);
    }
    // Zeros instead of a page that was not written.
    let mut bytes = sound;
    bytes[middle - 9..middle + 100].fill(0);
    refused(&bytes);
}

#[test]
fn stale_tags_of_a_killed_rtmpdump_are_cut_off() {
    let (_folder, file) = recorded(&FILM, 200);
    let ours = fs::read(&file).unwrap();
    let ends = ends(&ours);
    let middle = ends[ends.len() / 2];
    // Its own head, half a tag where it was killed, and the previous contents.
    let foreign = [
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
        &ours[head::LENGTH..middle + 9],
        &ours[middle + 20..],
    ];
    fs::write(&file, foreign.concat()).unwrap();
    let ScanResult::ExistingRecording(recording, _) =
        read(&file, crate::output::Format::Flv).unwrap()
    else {
        panic!("it is refused");
    };
    let (_folder, shorter) = recorded(&FILM, ends.len() / 2);
    let ScanResult::ExistingRecording(expected, _) =
        read(&shorter, crate::output::Format::Flv).unwrap()
    else {
        panic!("it is refused");
    };
    assert!(recording.end_ms() > 0);
    assert!(recording.end_ms().abs_diff(expected.end_ms()) < 100);
}

#[test]
fn at_most_one_torn_tag_is_cut_off() {
    let (_folder, file) = recorded(&FILM, 200);
    let sound = fs::read(&file).unwrap();
    for (garbage, is_refused) in [(MAX_TAG_LENGTH, false), (MAX_TAG_LENGTH + 1, true)] {
        let torn = fs::OpenOptions::new().write(true).open(&file).unwrap();
        torn.set_len((sound.len() + garbage) as u64).unwrap();
        let found = read(&file, crate::output::Format::Flv).unwrap();
        assert_eq!(
            matches!(found, ScanResult::Unusable(_)),
            is_refused,
            "{found:?}"
        );
    }
}

/// Offset of the end of each tag, PreviousTagSize included.
fn ends(file: &[u8]) -> Vec<usize> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut ends = Vec::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        ends.push(usize::try_from(tag.offset).unwrap() + tag.length());
    }
    ends
}
