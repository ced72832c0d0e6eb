//! Frame rates and times of MP4 files, as ffprobe reports them.

use super::*;
use crate::peers::ffmpeg::ffprobe;

#[test]
fn ffprobe_reports_the_constant_frame_rate() {
    let ffmpeg = require!(Ffmpeg::find());
    for (rate, time_base) in [
        ("30000/1001", "1/30000"),
        ("24000/1001", "1/24000"),
        ("60000/1001", "1/60000"),
        ("25/1", "1/25000"),
        ("30/1", "1/30000"),
        ("25/2", "1/25000"),
    ] {
        let source = fixtures::avc_at_rate_flv(&ffmpeg, rate);
        for options in [&[][..], &["--no-index"]] {
            let recording = Recording::new("out.mp4", options).of(Clip::read(&source));
            recording.finished.assert_ended(0, "ended");
            let file = recording.path("out.mp4");
            assert_ffprobe_accepts(&file);
            let [ours, theirs] = [&file, &source].map(|file| Media::read(&ffmpeg, file));
            ours.assert_start_of(&theirs, 0);
            for kind in ["v", "a"] {
                assert_same_times(&file, &source, kind);
            }
            let fields = video_fields(&file, "r_frame_rate,avg_frame_rate,time_base");
            assert_eq!(fields, format!("{rate},{rate},{time_base}"), "{options:?}");
        }
    }
}

/// Panics unless all packets of a track are presented within a millisecond of those in `source`.
#[track_caller]
fn assert_same_times(file: &Path, source: &Path, kind: &str) {
    let times = |file: &Path| {
        let format = ["-show_entries", "packet=pts_time", "-of", "csv=p=0"];
        let arguments = [&["-select_streams", kind][..], &format].concat();
        let finished = ffprobe(&arguments, file).succeeded();
        let text = String::from_utf8(finished.stdout).expect("times are text");
        let times = text.lines().map(|line| line.trim_end_matches(','));
        let times: Vec<f64> = times.map(|time| time.parse().expect("a time")).collect();
        times.iter().map(|time| time - times[0]).collect::<Vec<_>>()
    };
    let (found, expected) = (times(file), times(source));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let error = (found - expected).abs();
        assert!(error < 0.001_01, "{found} s instead of {expected} s");
    }
}

/// Fields of the video stream, in the order of ffprobe.
fn video_fields(file: &Path, fields: &str) -> String {
    let entries = format!("stream={fields}");
    let format = ["-show_entries", &entries, "-of", "csv=p=0"];
    let arguments = [&["-select_streams", "v"][..], &format].concat();
    let finished = ffprobe(&arguments, file).succeeded();
    String::from_utf8_lossy(&finished.stdout).trim().to_owned()
}
