//! Color and HDR descriptions, read by ffprobe.

use rtmpull::core::amf::{Object, Value, amf0};

use super::*;
use crate::peers::ffmpeg::ffprobe;

#[test]
fn ffprobe_shows_the_hdr_description_of_every_file() {
    let recent = require!(Ffmpeg::find_recent());
    let clip = with_color_info(Clip::sample(), &hdr());
    for (output, options, names) in [
        ("out.mp4", &[][..], &["out.mp4"][..]),
        ("out.mp4", &["--no-index"], &["out.mp4"]),
        ("out.mp4", &["--faststart"], &["out.mp4"]),
        (
            "out-%d.mp4",
            &["--segment-time", "1"],
            &["out-1.mp4", "out-2.mp4"],
        ),
    ] {
        let recorded = Recording::new(output, options).of(clip.clone());
        recorded.finished.assert_ended(0, "ended");
        for name in names {
            assert_is_hdr(&recorded.path(name));
            recent.assert_plays(&recorded.path(name));
        }
        let lines = &recorded.finished.stderr;
        assert!(!lines.contains("color"), "{lines}");
    }
    let pipe = Recording::new("-", &["--format", "mp4"]).of(clip);
    assert_is_hdr(&pipe.path("stdout"));
}

#[test]
fn later_color_info_is_left_out_and_reported_once() {
    let recent = require!(Ffmpeg::find_recent());
    let mut clip = with_color_info(Clip::sample(), &hdr());
    let expected = Recording::new("out.mp4", &[]).of(clip.clone());
    let other = Object::from_iter([("hdrCll", Object::from_iter([("maxCLL", 7.0)]))]);
    let late: Vec<_> = clip.tags.iter().enumerate().rev().step_by(20).collect();
    let late: Vec<_> = late.into_iter().take(3).collect();
    let late = late.into_iter().map(|(at, tag)| (at, tag.timestamp_ms));
    for (at, timestamp_ms) in late.collect::<Vec<_>>() {
        clip.tags.insert(at, color_info(timestamp_ms, &other));
    }
    let recorded = Recording::new("out.mp4", &[]).of(clip);
    recorded.finished.assert_ended(0, "ended");
    let lines = &recorded.finished.stderr;
    let reports = lines.matches("the colors of video track 0 change").count();
    assert_eq!(reports, 1, "{lines}");
    assert_eq!(recorded.names(), ["out.mp4"]);
    let [found, expected] = [recorded, expected].map(|recorded| {
        let file = recorded.path("out.mp4");
        assert_is_hdr(&file);
        Media::read(&recent, &file)
    });
    found.assert_presents(&expected);
}

#[test]
fn flv_files_keep_color_info_unchanged() {
    let clip = with_color_info(Clip::sample(), &hdr());
    let recorded = Recording::new("out.flv", &[]).of(clip.clone());
    recorded.finished.assert_ended(0, "ended");
    let video = |clip: Clip| {
        let tags = clip.tags.into_iter();
        let tags = tags.filter(|tag| tag.kind == Tag::VIDEO);
        tags.map(|tag| tag.body).collect::<Vec<_>>()
    };
    let found = video(Clip::read(&recorded.path("out.flv")));
    assert_eq!(found, video(clip));
}

/// Returns a stream with colorInfo after the sequence header of video. The bitstream of the sample does not describe
/// the colors: ffprobe prefers the description of the bitstream.
pub(super) fn with_color_info(mut clip: Clip, info: &Object) -> Clip {
    let is_header = |tag: &Tag| tag.kind == Tag::VIDEO && tag.is_sequence_header();
    let at = clip.tags.iter().position(is_header).expect("a header");
    clip.tags.insert(at + 1, color_info(0, info));
    clip
}

/// Returns a message with metadata (E-RTMP "VideoPacketType.Metadata"): frame type 5, packet type 4.
fn color_info(timestamp_ms: u32, info: &Object) -> Tag {
    let mut body = b"\xD4avc1".to_vec();
    amf0::encode(&"colorInfo".into(), &mut body);
    amf0::encode(&Value::Object(info.clone()), &mut body);
    Tag {
        kind: Tag::VIDEO,
        timestamp_ms,
        body,
    }
}

/// BT.2020 with the PQ transfer function, in a display with P3 primaries.
fn hdr() -> Object {
    let config = [
        ("bitDepth", 10.0),
        ("colorPrimaries", 9.0),
        ("transferCharacteristics", 16.0),
        ("matrixCoefficients", 9.0),
    ];
    let levels = [("maxFall", 400.0), ("maxCLL", 1000.0)];
    let display = [
        ("redX", 0.68),
        ("redY", 0.32),
        ("greenX", 0.265),
        ("greenY", 0.69),
        ("blueX", 0.15),
        ("blueY", 0.06),
        ("whitePointX", 0.3127),
        ("whitePointY", 0.329),
        ("maxLuminance", 1000.0),
        ("minLuminance", 0.0001),
    ];
    Object::from_iter([
        ("colorConfig", Object::from_iter(config)),
        ("hdrCll", Object::from_iter(levels)),
        ("hdrMdcv", Object::from_iter(display)),
    ])
}

#[track_caller]
fn assert_is_hdr(file: &Path) {
    let entries = "stream=color_space,color_transfer,color_primaries:stream_side_data";
    let options = ["-select_streams", "v", "-show_entries", entries];
    let finished = ffprobe(&[&options[..], &["-of", "json"]].concat(), file).succeeded();
    let shown: serde_json::Value = serde_json::from_slice(&finished.stdout).expect("JSON");
    let stream = &shown["streams"][0];
    let text = |name: &str| stream[name].as_str().unwrap_or_default().to_owned();
    let names = ["color_primaries", "color_transfer", "color_space"];
    assert_eq!(names.map(text), ["bt2020", "smpte2084", "bt2020nc"]);
    let list = stream["side_data_list"].as_array().expect("side data");
    let side_data = |kind: &str| {
        let mut list = list.iter();
        let found = list.find(|data| data["side_data_type"] == kind);
        found.unwrap_or_else(|| panic!("{kind} in {shown}"))
    };
    let display = side_data("Mastering display metadata");
    for (name, value) in [
        ("red_x", "34000/50000"),
        ("red_y", "16000/50000"),
        ("green_x", "13250/50000"),
        ("green_y", "34500/50000"),
        ("blue_x", "7500/50000"),
        ("blue_y", "3000/50000"),
        ("white_point_x", "15635/50000"),
        ("white_point_y", "16450/50000"),
        ("max_luminance", "10000000/10000"),
        ("min_luminance", "1/10000"),
    ] {
        assert_eq!(display[name], value, "{name}");
    }
    let levels = side_data("Content light level metadata");
    assert_eq!(levels["max_content"], 1000);
    assert_eq!(levels["max_average"], 400);
}
