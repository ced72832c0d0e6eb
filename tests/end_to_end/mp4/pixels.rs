//! Shape and range of pixels, from the bitstream, in boxes of the file.

use rtmpull::core::amf::Object;

use super::*;
use crate::peers::ffmpeg::ffprobe;

#[test]
fn pixels_that_are_not_square_have_their_aspect_in_the_setup() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_wide_pixels_flv(&ffmpeg);
    for options in [&[][..], &["--no-index"], &["--faststart"]] {
        let recorded = Recording::new("out.mp4", options).of(Clip::read(&source));
        recorded.finished.assert_ended(0, "ended");
        let file = recorded.path("out.mp4");
        assert!(holds(&file, b"\0\0\0\x10pasp\0\0\0\x10\0\0\0\x0B"));
        let facts = video_facts(&file, "stream=sample_aspect_ratio,display_aspect_ratio");
        assert_eq!(facts, ["16:11", "256:99"]);
        ffmpeg.assert_plays(&file);
    }
    let square = Recording::new("out.mp4", &[]).of(Clip::sample());
    assert!(!holds(&square.path("out.mp4"), b"pasp"));
}

#[test]
fn color_description_has_the_range_of_the_bitstream() {
    let ffmpeg = require!(Ffmpeg::find());
    let config = Object::from_iter([("colorPrimaries", 1.0), ("matrixCoefficients", 1.0)]);
    let info = Object::from_iter([("colorConfig", config)]);
    let source = fixtures::avc_wide_pixels_flv(&ffmpeg);
    let recorded =
        Recording::new("out.mp4", &[]).of(colors::with_color_info(Clip::read(&source), &info));
    let file = recorded.path("out.mp4");
    assert!(holds(&file, b"colrnclx\0\x01\0\x02\0\x01\x80"));
    assert_eq!(video_facts(&file, "stream=color_range"), ["pc"]);
    let limited = Recording::new("out.mp4", &[]).of(colors::with_color_info(Clip::sample(), &info));
    assert!(holds(
        &limited.path("out.mp4"),
        b"colrnclx\0\x01\0\x02\0\x01\0"
    ));
}

fn holds(file: &Path, bytes: &[u8]) -> bool {
    let content = fs::read(file).expect("the file");
    content.windows(bytes.len()).any(|window| window == bytes)
}

fn video_facts(file: &Path, entries: &str) -> Vec<String> {
    let options = ["-select_streams", "v", "-show_entries", entries];
    let finished = ffprobe(
        &[&options[..], &["-of", "default=nk=1:nw=1"]].concat(),
        file,
    );
    let text = String::from_utf8(finished.succeeded().stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}
