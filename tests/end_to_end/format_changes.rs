//! Changes of codec, resolution or sample rate in mid-stream, and `--split-on-change`.

use std::{ops::Range, path::PathBuf};

use rtmpull::core::{amf::Value, rtmp::message::Kind};
use serde_json::json;

use crate::{
    parallel,
    program::{Download, download, start},
    scripts::events,
    server::{
        Clip, Config, Connection, Disconnected, FaultAction, ScriptedPeer, Server, Stream, Tag,
        status,
    },
};

#[test]
fn changed_codec_starts_a_segment() {
    let before = frames(0..50, &AVC);
    let after = frames(50..100, &H263);
    let clip = clip(&[headers(), before.clone(), after.clone()]);
    let split = record(clip, &[SPLIT]);
    assert_changes(&split, &["the video changes from h264 to h.263 at 0:02"]);
    assert_eq!(segments(&split), [before, after]);
    // H.263 has no sequence header, and the H.264 header is obsolete.
    let second = Clip::read(&files(&split)[1]);
    let is_obsolete = |tag: &Tag| tag.kind == Tag::VIDEO && tag.is_sequence_header();
    assert!(!second.media().any(is_obsolete), "{}", split.finished);
}

/// The pictures between the change and the next keyframe stay in the recording.
#[test]
fn changed_audio_starts_a_segment_without_losing_frames() {
    let before = frames(0..30, &AVC);
    let after = frames(30..100, &AVC);
    let mono = audio_header(30, [0x12, 0x08]);
    let clip = clip(&[headers(), before.clone(), vec![mono.clone()], after.clone()]);
    let split = record(clip, &[SPLIT]);
    let change = "the audio changes from aac 44100 Hz 2 channels to aac 44100 Hz 1 channel at 0:01";
    assert_changes(&split, &[change]);
    assert_eq!(segments(&split), [before, after]);
    let second = Clip::read(&files(&split)[1]);
    let headers = second.media().filter(|tag| tag.is_sequence_header());
    let bodies: Vec<_> = headers.map(|tag| tag.body.clone()).collect();
    assert_eq!(bodies, [header_of(Tag::VIDEO), mono.body]);
}

#[test]
fn both_tracks_that_change_together_start_one_segment() {
    let before = frames(0..50, &AVC);
    let after = frames(50..100, &H263);
    let mono = audio_header(50, [0x12, 0x08]);
    let clip = clip(&[headers(), before.clone(), vec![mono], after.clone()]);
    let split = record(clip, &[SPLIT]);
    assert_eq!(segments(&split), [before, after], "{}", split.finished);
}

/// A reconnect repeats the sequence headers. Only a header that differs is a change.
#[test]
fn repeated_header_after_a_reconnect_is_not_a_change() {
    let cases: [(Vec<Tag>, &[&str]); 2] = [
        (headers(), &[]),
        (
            vec![headers()[0].clone(), audio_header(0, [0x12, 0x08])],
            &["the audio changes from aac 44100 Hz 2 channels to aac 44100 Hz 1 channel at 0:0"],
        ),
    ];
    parallel::for_each(cases, |(headers_after, changes)| {
        let (before, after) = (frames(0..50, &AVC), frames(50..100, &AVC));
        let first = [headers(), before.clone()].concat();
        let second = [headers_after, after.clone()].concat();
        let peer = ScriptedPeer::start(move |peer, number| {
            peer.start_playing();
            let _client_left = match number {
                0 => send(peer, &first).and_then(|()| peer.fail(FaultAction::Fin)),
                _ => send(peer, &second).and_then(|()| unpublish(peer)),
            };
        });
        let split = download(&peer.url("clip"), &["-v", "--republish-wait", "0", SPLIT]);
        split.assert_ended(0, "unpublished");
        assert_changes(&split, changes);
        let expected = match changes.is_empty() {
            true => vec![[before, after].concat()],
            false => vec![before, after],
        };
        let bodies = |segments: Vec<Vec<Tag>>| -> Vec<Vec<Vec<u8>>> {
            let bodies = |tags: Vec<Tag>| tags.into_iter().map(|tag| tag.body).collect();
            segments.into_iter().map(bodies).collect()
        };
        assert_eq!(
            bodies(segments(&split)),
            bodies(expected),
            "{}",
            split.finished
        );
    });
}

#[test]
fn change_is_a_json_event_with_and_without_a_split() {
    let clip = clip(&[headers(), frames(0..50, &AVC), frames(50..100, &H263)]);
    for (options, count) in [(&[][..], 1), (&[SPLIT], 2)] {
        let options = [&["--progress", "json"], options].concat();
        let run = record(clip.clone(), &options);
        let events = events(&run.finished.stderr);
        let named = |name: &'static str| {
            let events = events.iter();
            events.filter(move |event| event["event"] == name)
        };
        let changes: Vec<_> = named("format").collect();
        let [change] = changes[..] else {
            panic!("not one change: {}", run.finished);
        };
        for (member, value) in [
            ("track", json!("video")),
            ("from", json!("h264")),
            ("to", json!("h.263")),
            ("at_ms", json!(2_000)),
        ] {
            assert_eq!(change[member], value, "{member}");
        }
        let start = named("start").next().expect("a start");
        assert_eq!(start["options"]["split_on_change"], count == 2, "{start}");
        assert_eq!(files(&run).len(), count);
    }
}

/// Each segment costs a head of 48 KiB, and each change a line of the log.
#[test]
fn format_that_changes_at_every_frame_creates_few_segments() {
    let changes = (0..2_000_u32).flat_map(|number| {
        let channels = if number % 2 == 0 { 0x10 } else { 0x08 };
        let frame = Tag {
            kind: Tag::AUDIO,
            timestamp_ms: number * 20,
            body: vec![0xAF, 1, (number >> 8) as u8, number as u8],
        };
        [audio_header(0, [0x12, channels]), frame]
    });
    let clip = Clip {
        tags: changes.collect(),
    };
    let split = record(clip, &[SPLIT]);
    let segments = segments(&split);
    assert!(segments.len() <= 70, "{} segments", segments.len());
    assert_eq!(segments.concat().len(), 2_000, "all frames");
    let stderr = &split.finished.stderr;
    assert!(stderr.matches(" changes from ").count() < 1_000, "{stderr}");
}

/// Records `clip`, which the server sends without pauses.
#[track_caller]
fn record(clip: Clip, options: &[&str]) -> Download {
    let server = Server::start(Config::serving(Stream::recorded(clip)));
    let run = start(&server.url("clip"), options).finish();
    assert_eq!(run.finished.code(), Some(0), "{}", run.finished);
    run
}

/// Panics unless these changes were reported, each by the beginning of its line.
#[track_caller]
fn assert_changes(download: &Download, expected: &[&str]) {
    let lines = download.finished.stderr.lines();
    let changes: Vec<_> = lines
        .filter(|line| line.contains(" changes from "))
        .collect();
    assert_eq!(changes.len(), expected.len(), "{changes:?}");
    for (line, expected) in changes.iter().zip(expected) {
        assert!(line.contains(&format!("INFO: {expected}")), "{line}");
    }
}

/// Returns the files of the recording in their order.
fn files(download: &Download) -> Vec<PathBuf> {
    let first = download.file();
    let later = (2..).map(|number| first.with_file_name(format!("out.{number}.flv")));
    let files = [first.clone()].into_iter().chain(later);
    files.take_while(|file| file.exists()).collect()
}

/// Returns the frames of each file at their times in the recording, which start at 0 in the file.
#[track_caller]
fn segments(download: &Download) -> Vec<Vec<Tag>> {
    let mut offset_ms = 0;
    let segments = files(download).into_iter().map(|file| {
        let clip = Clip::read(&file);
        let frames = clip.media().filter(|tag| !tag.is_sequence_header());
        let frames: Vec<_> = frames
            .map(|tag| Tag {
                timestamp_ms: tag.timestamp_ms + offset_ms,
                ..tag.clone()
            })
            .collect();
        offset_ms = frames.last().map_or(0, |tag| tag.timestamp_ms + FRAME_MS);
        frames
    });
    segments.collect()
}

/// Returns a video and an audio frame for each number, each with other bytes, and a keyframe for every 25th.
fn frames(numbers: Range<u32>, video: &Video) -> Vec<Tag> {
    let frame = |kind, number: u32, header: &[u8]| Tag {
        kind,
        timestamp_ms: number * FRAME_MS,
        body: [header, &number.to_be_bytes()[..], &[7; 8]].concat(),
    };
    let frames = numbers.flat_map(|number| {
        let header = match number % 25 {
            0 => video.keyframe,
            _ => video.inter_frame,
        };
        [
            frame(Tag::VIDEO, number, header),
            frame(Tag::AUDIO, number, &[0xAF, 1]),
        ]
    });
    frames.collect()
}

/// Returns the sequence headers of H.264 and of AAC with two channels.
fn headers() -> Vec<Tag> {
    let video = Tag {
        kind: Tag::VIDEO,
        timestamp_ms: 0,
        body: vec![0x17, 0, 0, 0, 0, 1],
    };
    vec![video, audio_header(0, [0x12, 0x10])]
}

fn header_of(kind: u8) -> Vec<u8> {
    let header = headers().into_iter().find(|tag| tag.kind == kind);
    header.expect("a sequence header").body
}

/// Returns a sequence header of AAC at the time of frame `number` (ISO 14496-3 1.6.2.1).
fn audio_header(number: u32, config: [u8; 2]) -> Tag {
    Tag {
        kind: Tag::AUDIO,
        timestamp_ms: number * FRAME_MS,
        body: [&[0xAF, 0][..], &config].concat(),
    }
}

fn clip(runs: &[Vec<Tag>]) -> Clip {
    Clip {
        tags: runs.concat(),
    }
}

fn send(peer: &mut Connection, tags: &[Tag]) -> Result<(), Disconnected> {
    for tag in tags {
        peer.queue(6, Kind(tag.kind), 1, tag.timestamp_ms, &tag.body)?;
    }
    peer.flush()
}

fn unpublish(peer: &mut Connection) -> Result<(), Disconnected> {
    let end = status("status", "NetStream.Play.UnpublishNotify", "");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, end.into()])?;
    peer.flush()?;
    peer.fail(FaultAction::Fin)
}

/// First bytes of the messages of a codec.
struct Video {
    keyframe: &'static [u8],
    inter_frame: &'static [u8],
}

const AVC: Video = Video {
    keyframe: &[0x17, 1, 0, 0, 0],
    inter_frame: &[0x27, 1, 0, 0, 0],
};

const H263: Video = Video {
    keyframe: &[0x12],
    inter_frame: &[0x22],
};

const SPLIT: &str = "--split-on-change";

/// Time between two frames.
const FRAME_MS: u32 = 40;
