//! Values of the tracks compared with those of ffprobe for the same stream.

use std::path::Path;

use serde_json::Value;

use super::probe;
use crate::{
    fixtures,
    peers::{
        ffmpeg::{Ffmpeg, ffprobe},
        require,
    },
    server::{Clip, Config, Server, Stream, Tag},
};

/// Returns the first stream of a kind as ffprobe describes it.
#[track_caller]
fn reference(file: &Path, kind: &str) -> Option<Value> {
    let arguments = ["-show_streams", "-of", "json"];
    let finished = ffprobe(&arguments, file).succeeded();
    let json: Value = serde_json::from_slice(&finished.stdout).expect("JSON");
    let streams = json["streams"].as_array().expect("a list").clone();
    streams
        .into_iter()
        .find(|stream| stream["codec_type"] == kind)
}

/// Panics unless the probe of a clip agrees with ffprobe on the file.
#[track_caller]
fn assert_agrees(file: &Path) {
    assert_agrees_with(file, file);
}

/// Panics unless the probe of a clip agrees with ffprobe on another file with the same tracks.
#[track_caller]
fn assert_agrees_with(file: &Path, same: &Path) {
    let server = Server::start(Config::serving(Stream::recorded(Clip::read(file))));
    let probe = probe(&server.url("clip"), &[]);
    probe.assert_result(0, "plays");
    for kind in ["video", "audio"] {
        let Some(expected) = reference(same, kind) else {
            let tracks = probe.get("tracks").as_array().expect("a list");
            assert!(tracks.iter().all(|track| track["kind"] != kind), "{kind}");
            continue;
        };
        let actual = probe.track(kind);
        let compare = |name: &str, actual: &Value, expected: &Value| {
            assert_eq!(actual, expected, "{name} of {}: {actual}", file.display());
        };
        compare("codec", &codec(&actual["codec"]), &expected["codec_name"]);
        if kind == "video" {
            compare("width", &actual["width"], &expected["width"]);
            compare("height", &actual["height"], &expected["height"]);
            assert_profile(actual, &expected);
            assert_frame_rate(actual, &expected);
        } else {
            let rate = actual["sample_rate"].to_string();
            compare("sample rate", &rate.into(), &expected["sample_rate"]);
            compare("channels", &actual["channels"], &expected["channels"]);
            assert_profile(actual, &expected);
        }
    }
}

/// Returns the codec under the name of ffprobe.
fn codec(name: &Value) -> Value {
    match name.as_str() {
        Some("h265") => "hevc".into(),
        Some("h.263") => "flv1".into(),
        Some(name) => name.into(),
        None => Value::Null,
    }
}

/// Compares profile and level. ffprobe has the level of H.264 times ten, and that of HEVC times thirty.
#[track_caller]
fn assert_profile(actual: &Value, expected: &Value) {
    let plain = |profile: &Value| {
        let name = profile.as_str().unwrap_or_default().to_ascii_lowercase();
        name.replace(['-', ' '], "")
    };
    let [ours, theirs] = [&actual["profile"], &expected["profile"]].map(plain);
    assert!(
        theirs.is_empty() || ours.is_empty() || theirs.contains(&ours) || ours.contains(&theirs),
        "profile {ours} instead of {theirs}"
    );
    let scale = match actual["codec"].as_str() {
        Some("h264") => 10.0,
        Some("h265") => 30.0,
        _ => return,
    };
    let level = actual["level"].as_str().expect("a level");
    let level: f64 = level.parse().expect("a number");
    assert_eq!(
        (level * scale).round(),
        expected["level"].as_f64().expect("a level")
    );
}

#[track_caller]
fn assert_frame_rate(actual: &Value, expected: &Value) {
    let rate = expected["avg_frame_rate"].as_str().expect("a rate");
    let (frames, seconds) = rate.split_once('/').expect("a fraction");
    let [frames, seconds] = [frames, seconds].map(|text| text.parse::<f64>().expect("a number"));
    let measured = actual["frame_rate"].as_f64().expect("a frame rate");
    let expected = frames / seconds;
    assert!(
        (measured - expected).abs() <= expected * 0.01,
        "{measured} instead of {expected} fps"
    );
}

#[test]
fn h264_and_aac_agree_with_ffprobe() {
    assert_agrees(&fixtures::avc_aac_flv(&require!(Ffmpeg::find())));
}

#[cfg(unix)]
#[test]
fn b_frames_agree_with_ffprobe() {
    let file = fixtures::avc_b_frames_flv(&require!(Ffmpeg::find()));
    assert_agrees(&file);
    let server = Server::start(Config::serving(Stream::recorded(Clip::read(&file))));
    let probe = probe(&server.url("clip"), &[]);
    let video = probe.track("video");
    assert_eq!(video["has_b_frames"], true);
    let expected = reference(&file, "video").expect("video");
    assert_eq!(
        video["announced_reordering_depth"],
        expected["has_b_frames"]
    );
}

#[cfg(unix)]
#[test]
fn fractional_frame_rates_agree_with_ffprobe() {
    let ffmpeg = require!(Ffmpeg::find());
    for rate in ["30000/1001", "24000/1001"] {
        let file = fixtures::avc_at_rate_flv(&ffmpeg, rate);
        assert_agrees(&file);
        let server = Server::start(Config::serving(Stream::recorded(Clip::read(&file))));
        let probe = probe(&server.url("clip"), &[]);
        assert_eq!(probe.track("video")["nominal_frame_rate"], rate);
    }
}

#[test]
fn mp3_without_video_agrees_with_ffprobe() {
    assert_agrees(&fixtures::mp3_flv(&require!(Ffmpeg::find())));
}

#[test]
fn sorenson_h263_agrees_with_ffprobe() {
    assert_agrees(&fixtures::h263_mp3_flv(&require!(Ffmpeg::find())));
}

/// ffprobe does not read these codecs in FLV, so a recent ffmpeg copies them to MP4.
#[test]
fn enhanced_codecs_agree_with_ffprobe() {
    let recent = require!(Ffmpeg::find_recent());
    for file in [
        fixtures::hevc_aac_flv(&recent),
        fixtures::av1_opus_flv(&recent),
        fixtures::vp9_opus_flv(&recent),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("copy.mp4");
        let (input, output) = (file.as_os_str(), copy.as_os_str());
        let arguments = ["-i".as_ref(), input, "-c".as_ref(), "copy".as_ref(), output];
        recent.run(arguments).succeeded();
        assert_agrees_with(&file, &copy);
    }
}

/// Replaces the number of the member `width` in onMetaData.
fn state_width(body: &mut [u8], width: f64) {
    let name = b"\0\x05width\0";
    let at = body.windows(name.len()).position(|window| window == name);
    let at = at.expect("a width") + name.len();
    body[at..at + 8].copy_from_slice(&width.to_be_bytes());
}

#[test]
fn metadata_that_contradicts_the_stream_is_marked() {
    let ffmpeg = require!(Ffmpeg::find());
    let mut clip = Clip::read(&fixtures::avc_aac_flv(&ffmpeg));
    let metadata = clip.tags.iter_mut().find(|tag| tag.kind == Tag::SCRIPT);
    state_width(&mut metadata.expect("metadata").body, 4096.0);
    let server = Server::start(Config::serving(Stream::recorded(clip)));
    let probe = probe(&server.url("clip"), &[]);
    probe.assert_result(0, "plays");
    let metadata = probe.get("metadata").as_array().expect("a list");
    let width = metadata.iter().find(|item| item["member"] == "width");
    let width = width.expect("a width");
    assert_eq!(width["verdict"], "contradicts");
    assert_eq!(width["stated"], 4096.0);
    assert_eq!(
        width["actual"].as_f64(),
        probe.track("video")["width"].as_f64()
    );
    let findings = probe.get("findings").as_array().expect("a list");
    assert!(
        findings
            .iter()
            .any(|finding| finding["code"] == "metadata-width")
    );
}
