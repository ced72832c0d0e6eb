//! Streams with several video and audio tracks, and `--tracks`.

use serde_json::Value;

use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require},
    program::{Download, download},
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
