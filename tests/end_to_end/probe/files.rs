//! Probes of files.

use std::{fs, path::Path};

use serde_json::Value;

use super::{probe, run, stdout};
use crate::{
    fixtures,
    peers::{
        ffmpeg::{Ffmpeg, ffprobe},
        require,
    },
    server::{Clip, Config, Server, Stream},
};

fn name(file: &Path) -> &str {
    file.to_str().expect("a UTF-8 path")
}

#[test]
fn files_have_the_same_tracks_as_the_stream() {
    let ffmpeg = require!(Ffmpeg::find());
    let file = fixtures::avc_aac_flv(&ffmpeg);
    let server = Server::start(Config::serving(Stream::recorded(Clip::read(&file))));
    let stream = probe(&server.url("clip"), &[]);
    for file in [file, fixtures::avc_aac_mp4(&ffmpeg)] {
        let probe = probe(name(&file), &[]);
        probe.assert_result(0, "plays");
        assert_eq!(probe.get("kind"), "file");
        for kind in ["video", "audio"] {
            for member in [
                "codec",
                "width",
                "height",
                "frame_rate",
                "sample_rate",
                "channels",
            ] {
                let [ours, streamed] = [&probe, &stream].map(|probe| &probe.track(kind)[member]);
                assert_eq!(ours, streamed, "{kind} {member} of {}", file.display());
            }
        }
    }
}

#[test]
fn damaged_files_exit_with_1() {
    let file = fixtures::avc_aac_flv(&require!(Ffmpeg::find()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0xAA);
    let damaged = folder.path().join("damaged.flv");
    fs::write(&damaged, bytes).expect("the file can be written");
    let probe = probe(name(&damaged), &[]);
    probe.assert_result(1, "refused");
    let findings = probe.get("findings").as_array().expect("a list");
    let garbage = findings.iter().find(|finding| finding["code"] == "garbage");
    let garbage = garbage.expect("a finding");
    let range = probe.get("file.damaged.0");
    for member in ["offset", "bytes"] {
        assert_eq!(garbage[member], range[member], "{garbage} and {range}");
    }
    let start = range["offset"].as_u64().expect("an offset") as usize;
    let end = start + range["bytes"].as_u64().expect("a length") as usize;
    // Damage starts with the damaged tag, and ends with the next intact one.
    assert!(start <= middle && middle + 20_000 <= end, "{range}");
}

#[test]
fn tracks_of_mp4_files_have_facts_of_the_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let file = fixtures::avc_aac_mp4(&ffmpeg);
    let probe = probe(name(&file), &[]);
    let shown = ffprobe(&["-show_streams", "-of", "json"], &file).succeeded();
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    for (track, stream) in [("file.tracks.0", 0), ("file.tracks.1", 1)] {
        let stream = &shown["streams"][stream];
        let text = |name: &str| stream[name].as_str().expect("a text");
        let samples = probe.get(&format!("{track}.samples"));
        assert_eq!(samples.to_string(), text("nb_frames"));
        let timescale = probe.get(&format!("{track}.timescale"));
        assert_eq!(format!("1/{timescale}"), text("time_base"));
        let entry = probe.get(&format!("{track}.sample_entry"));
        assert_eq!(entry, text("codec_tag_string"));
    }
    let text = stdout(&run(&[name(&file)]));
    assert!(text.contains(" v0, avc1, "), "{text}");
}

#[test]
fn unreadable_files_exit_with_1() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = folder.path().join("text.flv");
    fs::write(&text, "no media").expect("the file can be written");
    probe(name(&text), &[]).assert_result(1, "refused");
    let missing = folder.path().join("missing.flv");
    let probe = probe(name(&missing), &[]);
    probe.assert_result(1, "refused");
    let reason = probe.get("verdict.reason").as_str().expect("a reason");
    assert!(reason.contains("No such file"), "{reason}");
    let stdin = run(&["-"]);
    assert!(
        stdin.stderr.contains("cannot read standard input"),
        "{stdin}"
    );
}

#[test]
fn a_file_is_compared_with_a_stream() {
    let file = fixtures::avc_aac_flv(&require!(Ffmpeg::find()));
    let server = Server::start(Config::serving(Stream::recorded(Clip::read(&file))));
    let finished = run(&[name(&file), &server.url("clip")]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let text = stdout(&finished);
    assert!(text.contains("\nVideo v0\n"), "{text}");
    assert!(text.contains("\nsecond: verdict: plays"), "{text}");
}
