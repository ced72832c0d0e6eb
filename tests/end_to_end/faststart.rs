//! MP4 files with their tables at the start.

use std::{fs, thread, time::Duration};

use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require},
    process::Process,
    program::{Folder, LIMIT},
    server::{Clip, Config, Pace, Server, Stream},
    verify::{Media, assert_ffprobe_accepts, assert_presents_copy, boxes},
};

#[test]
fn downloads_and_conversions_start_with_the_tables() {
    let ffmpeg = require!(Ffmpeg::find());
    for source in [
        fixtures::avc_aac_flv(&ffmpeg),
        fixtures::avc_b_frames_flv(&ffmpeg),
    ] {
        let folder = Folder::new();
        let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        let url = server.url("clip");
        let source_name = source.to_str().expect("a path");
        for (line, name) in [
            (&[url.as_str()][..], "download.mp4"),
            (&["--remux", source_name], "remux.mp4"),
        ] {
            let finished = folder.run(&[line, &["-o", name, "--faststart"]].concat());
            finished.assert_ended(0, "ended");
            let file = folder.path(name);
            assert_eq!(boxes(&file), ["ftyp", "moov", "mdat"]);
            assert_presents_copy(&ffmpeg, &source, &file);
            ffmpeg.assert_plays(&file);
            let plain = folder.run(&[line, &["-o", "plain.mp4"]].concat());
            plain.assert_ended(0, "ended");
            let [found, expected] =
                [&file, &folder.path("plain.mp4")].map(|file| Media::read(&ffmpeg, file));
            assert_eq!(found, expected);
        }
        assert_eq!(folder.names(), ["download.mp4", "plain.mp4", "remux.mp4"]);
    }
}

#[test]
fn each_segment_is_moved_before_it_is_reported() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let folder = Folder::new();
    let hook = "sh -c 'head -c 64 \"$RTMPULL_PATH\" | grep -c moov >> hooks'";
    let line = [
        "--remux",
        source.to_str().expect("a path"),
        "-o",
        "out-%d.mp4",
        "--segment-time",
        "1",
        "--faststart",
        "--on-segment",
        hook,
        "--manifest",
        "list",
    ];
    folder.run(&line).assert_ended(0, "ended");
    let manifest = fs::read_to_string(folder.path("list")).expect("a manifest");
    let segments: Vec<serde_json::Value> = manifest
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(segments.len() > 2, "{manifest}");
    for segment in &segments {
        let file = folder.path(segment["path"].as_str().expect("a path"));
        assert_eq!(boxes(&file), ["ftyp", "moov", "mdat"]);
        let length = fs::metadata(&file).expect("a file").len();
        assert_eq!(segment["bytes"].as_u64(), Some(length));
        assert_ffprobe_accepts(&file);
    }
    let hooks = fs::read_to_string(folder.path("hooks")).expect("the hooks ran");
    assert_eq!(hooks, "1\n".repeat(segments.len()));
}

#[test]
fn a_live_recording_that_is_stopped_starts_with_the_tables() {
    let folder = Folder::new();
    let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
        10, 3_100,
    ))));
    let url = server.url("clip");
    let line = [&url, "-v", "-o", "out.mp4", "--faststart"];
    let process = Process::start(folder.command().args(line));
    let file = folder.path("out.mp4");
    while !fs::metadata(&file).is_ok_and(|file| file.len() > 10_000) {
        thread::sleep(Duration::from_millis(20));
    }
    process.signal("INT");
    process.finish(LIMIT).assert_ended(0, "interrupted");
    assert_eq!(boxes(&file), ["ftyp", "moov", "mdat"]);
    assert_ffprobe_accepts(&file);
    assert_eq!(folder.names(), ["out.mp4"]);
}

#[test]
fn a_failed_copy_keeps_the_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let folder = Folder::new();
    fs::write(folder.path("out.mp4.faststart"), "a text").expect("a file");
    let line = [
        "--remux",
        source.to_str().expect("a path"),
        "-o",
        "out.mp4",
        "--faststart",
    ];
    let finished = folder.run(&line);
    finished.assert_ended(0, "ended");
    assert!(
        finished.stderr.contains("cannot move the tables"),
        "{finished}"
    );
    assert_eq!(boxes(&folder.path("out.mp4")), ["ftyp", "mdat", "moov"]);
    assert_presents_copy(&ffmpeg, &source, &folder.path("out.mp4"));
    let text = fs::read(folder.path("out.mp4.faststart")).expect("a file");
    assert_eq!(text, b"a text");
}

#[test]
fn other_outputs_are_refused() {
    let folder = Folder::new();
    let input = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/clip.flv");
    for (line, expected) in [
        (&["-o", "out.flv"][..], "--faststart needs an MP4 file"),
        (
            &["-o", "-", "--format", "mp4"],
            "--faststart needs an MP4 file",
        ),
        (&["-o", "out.mp4", "--no-index"], "cannot be used with"),
        (&["-o", "out.mp4", "--hls"], "cannot be used with"),
    ] {
        let finished = folder.run(&[&["--remux", input, "--faststart"], line].concat());
        assert_eq!(finished.code(), Some(1), "{finished}");
        assert!(finished.stderr.contains(expected), "{finished}");
        assert!(folder.names().is_empty());
    }
}
