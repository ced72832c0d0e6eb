//! Probes of files, with ffprobe as the reference.

use std::ffi::OsStr;

use rtmpull::{
    core::{
        analysis::TrackFacts,
        flv::codec::{AudioDescription, VideoDescription},
    },
    probe::file::{self, Container, FileFacts, Repair, mp4::Layout},
};
use serde_json::Value;

use super::*;
use crate::peers::ffmpeg::ffprobe;

#[test]
fn files_of_ffmpeg_have_the_facts_that_ffprobe_reads() {
    let (ffmpeg, recent) = (require!(Ffmpeg::find()), require!(Ffmpeg::find_recent()));
    let folder = TempDir::new().expect("a folder");
    for source in [
        fixtures::avc_aac_flv(&ffmpeg),
        fixtures::avc_b_frames_flv(&ffmpeg),
        fixtures::avc_wide_pixels_flv(&ffmpeg),
        fixtures::avc_large_frames_flv(&ffmpeg),
        fixtures::mp3_flv(&ffmpeg),
        fixtures::avc_at_rate_flv(&ffmpeg, "30000/1001"),
        fixtures::hevc_aac_flv(&recent),
        fixtures::av1_opus_flv(&recent),
        fixtures::vp9_opus_flv(&recent),
        fixtures::avc_flac_flv(&recent),
        fixtures::avc_ac3_flv(&recent),
        fixtures::avc_eac3_flv(&recent),
    ] {
        println!("{}", source.display());
        let plain = folder.path().join("plain.mp4");
        remux(&recent, &source, &[], &plain);
        let facts = file::run(&source).expect("a probe");
        assert!(matches!(facts.container, Container::Flv(_)));
        assert_is_as_ffprobe_reads(&plain, &facts);
        for (ffmpeg, version) in [(&ffmpeg, "installed"), (&recent, "recent")] {
            for (options, layout) in LAYOUTS {
                println!("{version} {options:?}");
                let file = folder.path().join("out.mp4");
                remux(ffmpeg, &plain, options, &file);
                let facts = file::run(&file).expect("a probe");
                let Container::Mp4(mp4) = &facts.container else {
                    panic!("{facts:?}");
                };
                assert_eq!(mp4.layout, *layout);
                assert_eq!(facts.repair, Repair::NotNeeded, "{:?}", facts.findings);
                assert_is_as_ffprobe_reads(&file, &facts);
            }
        }
    }
}

#[test]
fn recordings_of_rtmpull_are_recognized_in_every_state() {
    let finished = Recording::new("out.mp4", &[]).of(Clip::sample());
    let path = finished.path("out.mp4");
    let facts = file::run(&path).expect("a probe");
    assert_eq!(codes(&facts), ["index-at-end"]);
    assert_eq!(facts.repair, Repair::NotNeeded);
    assert_is_as_ffprobe_reads(&path, &facts);
    for (name, options) in [
        ("out.mp4", &["--faststart"][..]),
        ("out.mp4", &["--no-index"]),
        ("out.flv", &[]),
    ] {
        let recorded = Recording::new(name, options).of(Clip::sample());
        let facts = file::run(&recorded.path(name)).expect("a probe");
        assert_eq!(codes(&facts), [""; 0], "{name} {options:?}");
        assert_eq!(facts.repair, Repair::NotNeeded, "{name} {options:?}");
    }
}

#[test]
fn killed_recordings_are_reported_as_repairable() {
    let ffmpeg = require!(Ffmpeg::find());
    let stream = Stream::live(Clip::repeated_sample(10, 3_100));
    let server = Server::start(Config::serving(stream));
    for name in ["out.mp4", "out.flv"] {
        let recording = Recording::new(name, &["-v"]);
        let mut process = recording.start(&server.url("clip"));
        thread::sleep(Duration::from_millis(2_700));
        let growing = file::run(&recording.path(name)).expect("a probe");
        assert!(growing.is_being_written, "{name}");
        process.kill_and_wait();
        let facts = file::run(&recording.path(name)).expect("a probe");
        assert!(!facts.is_being_written, "{name}");
        assert_eq!(
            facts.repair,
            Repair::InPlace,
            "{name}: {:?}",
            facts.findings
        );
        assert_eq!(codes(&facts).contains(&"unfinished"), name == "out.mp4");
        let mut command = program::command();
        command.arg("--repair").arg(recording.path(name));
        Process::start(&mut command).finish(LIMIT).succeeded();
        let mended = file::run(&recording.path(name)).expect("a probe");
        assert_eq!(
            mended.repair,
            Repair::NotNeeded,
            "{name}: {:?}",
            mended.findings
        );
        let frames = |facts: &FileFacts| facts.media.video().map(|track| track.frames);
        assert!(frames(&mended) >= frames(&facts), "{name}");
        ffmpeg.assert_plays(&recording.path(name));
    }
}

#[test]
fn cut_and_changed_files_have_clear_findings() {
    let ffmpeg = require!(Ffmpeg::find());
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("out.mp4");
    for (options, layout) in LAYOUTS {
        remux(
            &ffmpeg,
            &fixtures::avc_b_frames_flv(&ffmpeg),
            options,
            &file,
        );
        let bytes = fs::read(&file).expect("the file");
        for step in 1..40 {
            let cut = bytes.len() * step / 40;
            fs::write(&file, &bytes[..cut]).expect("the file");
            let facts = file::run(&file).expect("a probe");
            let found = codes(&facts);
            let is_clear = found.contains(&"torn-end") || found.contains(&"samples-outside-file");
            assert!(is_clear, "{options:?} cut at {cut}: {found:?}");
            let is_impossible = matches!(facts.repair, Repair::Impossible(_));
            assert!(is_impossible, "{options:?} cut at {cut}");
            let is_readable = *layout != Layout::Plain && cut > bytes.len() / 2;
            let has_frames = facts.media.video().is_some_and(|track| track.frames > 0);
            assert!(has_frames || !is_readable, "{options:?} cut at {cut}");
        }
        let mut changed = bytes.clone();
        for step in 0_usize..60 {
            let at = step.wrapping_mul(7919) % bytes.len();
            changed[at] = changed[at].wrapping_mul(31).wrapping_add(step as u8);
            fs::write(&file, &changed).expect("the file");
            // Neither a panic nor an endless loop.
            drop(file::run(&file));
        }
    }
}

const LAYOUTS: &[(&[&str], Layout)] = &[
    (&[], Layout::Plain),
    (&["-movflags", "faststart"], Layout::FastStart),
    (
        &["-movflags", "frag_keyframe+empty_moov+delay_moov"],
        Layout::Fragmented,
    ),
    (
        &[
            "-movflags",
            "empty_moov+default_base_moof+delay_moov",
            "-frag_duration",
            "300000",
        ],
        Layout::Fragmented,
    ),
];

fn codes(facts: &FileFacts) -> Vec<&'static str> {
    let codes = facts.findings.iter().map(|finding| finding.code.as_str());
    codes.collect()
}

#[track_caller]
fn remux(ffmpeg: &Ffmpeg, source: &Path, options: &[&str], file: &Path) {
    let mut arguments: Vec<&OsStr> = vec!["-i".as_ref(), source.as_ref()];
    arguments.extend(["-map", "0", "-c", "copy", "-strict", "-2"].map(OsStr::new));
    arguments.extend(options.iter().map(OsStr::new));
    arguments.push(file.as_ref());
    ffmpeg.run(arguments).succeeded();
}

/// Compares all properties of the tracks with the values of ffprobe.
#[track_caller]
fn assert_is_as_ffprobe_reads(file: &Path, facts: &FileFacts) {
    let options = [
        "-show_streams",
        "-show_format",
        "-show_packets",
        "-of",
        "json",
    ];
    let shown = ffprobe(&options, file).succeeded().stdout;
    let shown: Value = serde_json::from_slice(&shown).expect("JSON");
    let streams = shown["streams"].as_array().expect("streams");
    assert_eq!(facts.media.tracks.len(), streams.len(), "{shown}");
    let duration: f64 = text(&shown["format"]["duration"])
        .parse()
        .expect("a duration");
    let found = facts.duration_ms as f64 / 1000.0;
    assert!(
        (found - duration).abs() < 0.15,
        "{found} instead of {duration} s"
    );
    for stream in streams {
        let packets = shown["packets"].as_array().expect("packets").iter();
        let packets: Vec<&Value> = packets
            .filter(|packet| packet["stream_index"] == stream["index"])
            .collect();
        let track = match stream["codec_type"] == "video" {
            true => facts.media.video(),
            false => facts.media.audio(),
        };
        let track = track.unwrap_or_else(|| panic!("{stream} in {facts:?}"));
        // ffprobe leaves out packets after the end of the edit list, but not from the size of the table.
        let listed = stream["nb_frames"]
            .as_str()
            .and_then(|count| count.parse().ok());
        let expected = listed.unwrap_or(packets.len() as u64);
        assert_eq!(track.frames, expected, "{stream}");
        assert_eq!(track.malformed_frames, 0, "{stream}");
        match (&track.video, &track.audio) {
            (Some(video), _) => {
                let is_key = |packet: &&&Value| text(&packet["flags"]).starts_with('K');
                let keys = packets.iter().filter(is_key).count() as u64;
                assert_eq!(track.keyframes.expect("keyframes").count, keys, "{stream}");
                assert_video(video, track, stream);
            }
            (None, Some(audio)) => assert_audio(audio, stream),
            (None, None) => panic!("{stream} has no properties in {track:?}"),
        }
    }
}

#[track_caller]
fn assert_video(video: &VideoDescription, track: &TrackFacts, stream: &Value) {
    let codec = text(&stream["codec_name"]);
    let profile = video.profile.expect("a profile").to_string();
    assert_eq!(profile, text(&stream["profile"]), "{stream}");
    let level = video.level.map(|level| match codec == "h264" {
        true => level.tenths,
        false => level.number,
    });
    // ffprobe does not read the level of VP9.
    if codec != "vp9" {
        assert_eq!(level.map(i64::from), stream["level"].as_i64(), "{stream}");
    }
    let size = video.picture_size.expect("a size");
    let expected = (stream["width"].as_u64(), stream["height"].as_u64());
    let found = (Some(size.width.into()), Some(size.height.into()));
    assert_eq!(found, expected, "{stream}");
    let aspect = video.pixel_aspect.unwrap_or((1, 1));
    let shown = stream["sample_aspect_ratio"].as_str().unwrap_or("1:1");
    assert_eq!(format!("{}:{}", aspect.0, aspect.1), shown, "{stream}");
    let pixels = text(&stream["pix_fmt"]);
    let chroma = video.chroma.expect("a chroma format").to_string();
    assert!(pixels.contains(&chroma.replace(':', "")), "{stream}");
    assert_eq!(
        pixels.contains("10"),
        video.bit_depth == Some(10),
        "{stream}"
    );
    // ffprobe shows the limited range for streams that state none.
    if let Some(is_full_range) = video.is_full_range {
        assert_eq!(is_full_range, stream["color_range"] == "pc", "{stream}");
    }
    if codec != "vp9" && codec != "av1" {
        let reordered = stream["has_b_frames"].as_u64();
        let found = video.max_reordered_frames.map(u64::from);
        assert_eq!(found, reordered, "{stream}");
    }
    let rate = fraction(&text(&stream["avg_frame_rate"]));
    let measured = track.frame_rate.expect("a rate").frames_per_second();
    let difference = (measured - rate).abs();
    assert!(difference < rate * 0.005, "{measured} instead of {rate}");
    if let Some(announced) = video.frames_per_second {
        let rate = fraction(&text(&stream["r_frame_rate"]));
        assert!((announced - rate).abs() < 0.01, "{announced} in {stream}");
    }
}

#[track_caller]
fn assert_audio(audio: &AudioDescription, stream: &Value) {
    let rate = audio.rate_hz.map(|rate| rate.to_string());
    assert_eq!(rate.as_deref(), stream["sample_rate"].as_str(), "{stream}");
    let channels = audio.channels.map(u64::from);
    assert_eq!(channels, stream["channels"].as_u64(), "{stream}");
    if let Some(layout) = stream["channel_layout"].as_str() {
        let speakers = audio.speakers.map(|speakers| speakers.to_string());
        assert_eq!(speakers.as_deref(), Some(layout), "{stream}");
    }
    // ffprobe does not report the profile of some fragmented files.
    if let Some(profile) = stream["profile"].as_str()
        && stream["codec_name"] == "aac"
    {
        let own = audio.profile.expect("a profile").to_string();
        assert_eq!(own, profile, "{stream}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn fraction(text: &str) -> f64 {
    let (above, below) = text.split_once('/').expect("a fraction");
    above.parse::<f64>().expect("a number") / below.parse::<f64>().expect("a number")
}
