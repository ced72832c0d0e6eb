//! Streams with several video and audio tracks, and `--tracks`.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    fixtures,
    peers::{
        ffmpeg::{Ffmpeg, ffprobe},
        require,
    },
    process::{Finished, Process},
    program::{self, Download, LIMIT, download},
    scripts::events,
    server::{Clip, Config, Pace, Server, Stream, Tag},
};

/// Downloads a clip.
fn record(clip: &Clip, options: &[&str]) -> Download {
    let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    download(&server.url("clip"), options)
}

/// Returns the sample with a second video track and a second audio track, which repeat the main tracks with
/// Enhanced RTMP.
fn two_of_each() -> Clip {
    let mut clip = Clip::sample();
    let tags = clip.tags.iter().flat_map(|tag| {
        let other = match (tag.kind, &tag.body[..]) {
            // AVC: frame type and codec, packet type, composition time. An end of sequence is empty.
            (Tag::VIDEO, [first, packet @ 0..2, rest @ ..]) => {
                let frame = [0x80 | first & 0xF0 | 6, *packet];
                let skipped = if *packet == 0 { 3 } else { 0 };
                Some([&frame[..], b"avc1", &[1], &rest[skipped..]].concat())
            }
            // AAC: codec and flags, packet type.
            (Tag::AUDIO, [_, packet, rest @ ..]) => {
                Some([&[0x95, *packet][..], b"mp4a", &[1], rest].concat())
            }
            _ => None,
        };
        let other = other.map(|body| Tag {
            body,
            ..tag.clone()
        });
        [Some(tag.clone()), other].into_iter().flatten()
    });
    clip.tags = tags.collect();
    clip
}

/// Returns the bodies of the tags of a kind.
fn bodies(clip: &Clip, kind: u8) -> Vec<Vec<u8>> {
    let tags = clip.tags.iter().filter(|tag| tag.kind == kind);
    tags.map(|tag| tag.body.clone()).collect()
}

/// Returns the plain form of the tags of the second track.
fn second_as_plain(clip: &Clip, kind: u8) -> Vec<Vec<u8>> {
    let bodies = bodies(clip, kind).into_iter();
    let plain = bodies.filter_map(|body| match &body[..] {
        [first, packet, a, v, c, name, 1, rest @ ..]
            if matches!(&[*a, *v, *c, *name], b"avc1" | b"mp4a") =>
        {
            Some([&[first & 0xF0 | packet, *a, *v, *c, *name][..], rest].concat())
        }
        _ => None,
    });
    plain.collect()
}

#[test]
fn flv_keeps_all_tracks_by_default() {
    let clip = two_of_each();
    for options in [&[][..], &["--tracks", "all"], &["--tracks", "v0,v1,a0,a1"]] {
        let recorded = record(&clip, options);
        recorded.finished.assert_ended(0, "ended");
        let recorded = recorded.clip();
        for kind in [Tag::VIDEO, Tag::AUDIO] {
            assert_eq!(bodies(&recorded, kind), bodies(&clip, kind), "{options:?}");
        }
    }
}

#[test]
fn single_tracks_are_written_as_plain_tags() {
    let clip = two_of_each();
    let recorded = record(&clip, &["--tracks", "v0,a1"]);
    recorded.finished.assert_ended(0, "ended");
    let recorded = recorded.clip();
    assert_eq!(
        bodies(&recorded, Tag::VIDEO),
        bodies(&Clip::sample(), Tag::VIDEO)
    );
    assert_eq!(
        bodies(&recorded, Tag::AUDIO),
        second_as_plain(&clip, Tag::AUDIO)
    );
    let recorded = record(&clip, &["--tracks", "v1"]).clip();
    assert_eq!(
        bodies(&recorded, Tag::VIDEO),
        second_as_plain(&clip, Tag::VIDEO)
    );
    assert_eq!(bodies(&recorded, Tag::AUDIO), [[0; 0]; 0]);
}

#[test]
fn tracks_and_missing_tracks_are_reported() {
    let options = ["--tracks", "v0,a1,a7", "--progress", "json"];
    let recorded = record(&two_of_each(), &options);
    assert_eq!(recorded.finished.code(), Some(0));
    let events: Vec<Value> = events(&recorded.finished.stderr);
    let of = |name: &str| {
        let events = events.iter().filter(|event| event["event"] == name);
        events.cloned().collect::<Vec<_>>()
    };
    let tracks = of("track");
    let tracks = tracks.iter().map(|event| {
        let text = |member: &str| event[member].as_str().expect("a text").to_owned();
        format!("{} {} {}", text("track"), text("codec"), event["recorded"])
    });
    let expected = [
        "v0 h264 true",
        "v1 h264 false",
        "a0 aac false",
        "a1 aac true",
    ];
    assert_eq!(tracks.collect::<Vec<_>>(), expected);
    assert_eq!(of("start")[0]["options"]["tracks"], "v0,a1,a7");
    let missing = serde_json::json!(["a7"]);
    assert_eq!(of("summary")[0]["missing_tracks"], missing);
    let warned = |event: &Value| event["text"].to_string().contains("no track a7");
    assert_eq!(of("log").iter().filter(|event| warned(event)).count(), 1);
}

#[test]
fn invalid_lists_are_usage_errors() {
    let finished = record(&Clip::sample(), &["--tracks", "v0;a1"]).finished;
    assert_eq!(finished.code(), Some(1));
    let line = finished.stderr.lines().next().unwrap_or_default();
    assert!(
        line.contains("--tracks") && line.contains("such as v0,a1"),
        "{finished}"
    );
}

#[test]
fn tracks_of_ffmpeg_are_selected() {
    let recent = require!(Ffmpeg::find_recent());
    let source = fixtures::multitrack_flv(&recent);
    let clip = Clip::read(&source);
    for (list, expected) in [
        ("v0,a1", ["h264 320x180", "opus"]),
        ("v1,a0", ["aac", "h264 160x90"]),
    ] {
        let recorded = record(&clip, &["--tracks", list]);
        recorded.finished.assert_ended(0, "ended");
        recent.assert_plays(&recorded.file());
        assert_eq!(recent.streams(&recorded.file()), expected, "{list}");
    }
    let recorded = record(&clip, &["--tracks", "v1,a0,a1"]);
    let expected = ["aac", "h264 160x90", "opus"];
    assert_eq!(recent.streams(&recorded.file()), expected);
}

/// Records a clip to `output` in a new folder. Standard output is written to a file `stdout`.
fn record_to(clip: &Clip, output: &str, options: &[&str]) -> (Finished, TempDir) {
    record_at(Pace::Unbounded, clip, output, options)
}

fn record_at(pace: Pace, clip: &Clip, output: &str, options: &[&str]) -> (Finished, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stream = Stream::recorded(clip.clone()).paced(pace);
    let server = Server::start(Config::serving(stream));
    let mut command = program::command();
    command.current_dir(folder.path()).arg(server.url("clip"));
    command.args(["-o", output]).args(options);
    let finished = Process::start(&mut command).finish(LIMIT);
    fs::write(folder.path().join("stdout"), &finished.stdout).expect("a file");
    (finished, folder)
}

/// Returns codec, number of packets and default flag of each stream.
fn probed(file: &Path) -> Vec<String> {
    let entries = "stream=codec_name,nb_read_packets:stream_disposition=default";
    let arguments = ["-count_packets", "-show_entries", entries, "-of", "csv=p=0"];
    let finished = ffprobe(&arguments, file).succeeded();
    let text = String::from_utf8(finished.stdout).expect("CSV is text");
    text.lines().map(str::to_owned).collect()
}

/// Returns the hashes of the packets of the stream that `map` selects.
fn packets(ffmpeg: &Ffmpeg, file: &Path, map: &str) -> Vec<String> {
    let arguments = ["-i".as_ref(), file.as_os_str()].into_iter();
    let sink = [
        "-map",
        map,
        "-c",
        "copy",
        // A segment may start between two keyframes.
        "-copyinkf",
        "-f",
        "framehash",
        "-hash",
        "md5",
        "-",
    ];
    let finished = ffmpeg
        .run(arguments.chain(sink.map(AsRef::as_ref)))
        .succeeded();
    let text = String::from_utf8(finished.stdout).expect("framehash is text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let hashes = lines.map(|line| line.rsplit(", ").next().expect("a hash").trim().to_owned());
    hashes.collect()
}

#[test]
fn mp4_has_a_track_for_each_track() {
    require!(Ffmpeg::find());
    let clip = two_of_each();
    let (finished, folder) = record_to(&clip, "out.mp4", &[]);
    finished.assert_ended(0, "ended");
    let streams = probed(&folder.path().join("out.mp4"));
    let frames = |kind| {
        let tags = Clip::sample();
        let tags = tags.media_with_content().filter(|tag| tag.kind == kind);
        tags.filter(|tag| !tag.is_sequence_header()).count()
    };
    let (video, audio) = (frames(Tag::VIDEO), frames(Tag::AUDIO));
    let expected = [
        format!("h264,{video},1"),
        format!("aac,{audio},1"),
        format!("h264,{video},0"),
        format!("aac,{audio},0"),
    ];
    assert_eq!(streams, expected);
    let (finished, folder) = record_to(&clip, "out.mp4", &["--tracks", "v1,a0"]);
    finished.assert_ended(0, "ended");
    let streams = probed(&folder.path().join("out.mp4"));
    assert_eq!(
        streams,
        [format!("h264,{video},1"), format!("aac,{audio},1")]
    );
}

#[test]
fn mp4_pipes_and_segments_have_all_tracks() {
    let ffmpeg = require!(Ffmpeg::find());
    let clip = two_of_each();
    let (_, folder) = record_to(&clip, "out.mp4", &[]);
    let whole = folder.path().join("out.mp4");
    let (finished, folder) = record_to(&clip, "-", &["--format", "mp4", "--fragment", "0"]);
    finished.assert_ended(0, "ended");
    let pipe = folder.path().join("stdout");
    let (finished, folder) = record_to(&clip, "out.mp4", &["--segment-time", "1"]);
    finished.assert_ended(0, "ended");
    let segments = ["out.mp4", "out.2.mp4", "out.3.mp4"].map(|name| folder.path().join(name));
    for map in ["0:0", "0:1", "0:2", "0:3"] {
        let expected = packets(&ffmpeg, &whole, map);
        assert!(expected.len() > 70, "{map}");
        assert_eq!(packets(&ffmpeg, &pipe, map), expected, "{map}");
        let segments = segments.iter().flat_map(|file| packets(&ffmpeg, file, map));
        assert_eq!(segments.collect::<Vec<_>>(), expected, "{map}");
    }
}

#[test]
fn tracks_of_a_file_are_selected_by_a_conversion() {
    let recent = require!(Ffmpeg::find_recent());
    let source = fixtures::multitrack_flv(&recent);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, list, expected) in [
        ("single.flv", "v1,a1", vec!["h264 160x90", "opus"]),
        ("single.mp4", "v0,a1,a9", vec!["h264 320x180", "opus"]),
        (
            "all.mp4",
            "all",
            vec!["aac", "h264 160x90", "h264 320x180", "opus"],
        ),
    ] {
        let mut command = program::command();
        let output = folder.path().join(name);
        command.arg("--remux").arg(&source).arg("-o").arg(&output);
        let finished = Process::start(command.args(["--tracks", list])).finish(LIMIT);
        assert_eq!(finished.code(), Some(0), "{finished}");
        let is_missing = finished.stderr.contains("no track a9");
        assert_eq!(is_missing, list.contains("a9"), "{finished}");
        assert_eq!(recent.streams(&output), expected, "{name}");
    }
}

#[test]
fn mp4_holds_the_tracks_of_ffmpeg() {
    let recent = require!(Ffmpeg::find_recent());
    let source = fixtures::multitrack_flv(&recent);
    let (finished, folder) = record_to(&Clip::read(&source), "out.mp4", &[]);
    finished.assert_ended(0, "ended");
    let file = folder.path().join("out.mp4");
    recent.assert_plays(&file);
    for map in ["0:v:0", "0:v:1", "0:a:0", "0:a:1"] {
        let expected = packets(&recent, &source, map);
        assert!(expected.len() >= 100, "{map}");
        assert_eq!(packets(&recent, &file, map), expected, "{map}");
    }
}

#[test]
fn a_late_track_starts_a_segment_and_no_frame_is_lost() {
    let ffmpeg = require!(Ffmpeg::find());
    let mut clip = two_of_each();
    let is_other = |tag: &Tag| tag.body.get(2..6) == Some(b"mp4a");
    clip.tags.retain(|tag| tag.body.get(2..6) != Some(b"avc1"));
    let header = clip.tags.iter().position(is_other).expect("a header");
    let mut header = clip.tags.remove(header);
    header.timestamp_ms = LATE_MS;
    clip.tags
        .retain(|tag| !is_other(tag) || tag.timestamp_ms >= LATE_MS);
    let first = clip.tags.iter().position(is_other).expect("a late frame");
    clip.tags.insert(first, header);
    let late = clip.tags.iter().filter(|tag| is_other(tag)).count() - 1;
    // In real time, the first fragment is written before the late track arrives.
    let (finished, folder) = record_at(Pace::Speed(1.0), &clip, "out.mp4", &["--realtime"]);
    finished.assert_ended(0, "ended");
    let files = ["out.mp4", "out.2.mp4"].map(|name| folder.path().join(name));
    assert_eq!(probed(&files[0]).len(), 2);
    assert_eq!(probed(&files[1])[2], format!("aac,{late},0"));
    let (_, whole_folder) = record_to(&Clip::sample(), "out.mp4", &[]);
    let whole = whole_folder.path().join("out.mp4");
    let options = ["--format", "mp4", "--fragment", "0.2", "--realtime"];
    let (finished, pipe_folder) = record_at(Pace::Speed(1.0), &clip, "-", &options);
    finished.assert_ended(0, "ended");
    let pipe = pipe_folder.path().join("stdout");
    let movies = fs::read(&pipe).expect("the output of the pipe");
    let movies = movies.windows(4).filter(|kind| kind == b"moov");
    // ffmpeg rejects a stream with a track that the first moov box does not describe.
    assert_eq!(movies.count(), 1);
    let warned = finished
        .stderr
        .contains("track a1 arrives after the start of the MP4 pipe");
    assert!(warned, "{finished}");
    for map in ["0:0", "0:1"] {
        let expected = packets(&ffmpeg, &whole, map);
        let found = files.iter().flat_map(|file| packets(&ffmpeg, file, map));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{map}");
        assert_eq!(packets(&ffmpeg, &pipe, map), expected, "{map}");
    }
}

/// Time at which a late track starts.
const LATE_MS: u32 = 2_300;
