//! Finished and killed recordings in a browser.

use std::{fs, thread, time::Duration};

use serde_json::Value;

use super::{codecs::HE_AAC, *};
use crate::{parallel, peers::chromium::Chromium};

#[test]
fn browser_plays_and_seeks_in_finished_and_killed_recordings() {
    let chromium = require!(Chromium::find());
    let ffmpeg = require!(Ffmpeg::find());
    let recent = require!(Ffmpeg::find_recent());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [he_aac] = [HE_AAC].map(|bytes| {
        let file = folder.path().join("he_aac.flv");
        fs::write(&file, bytes).expect("a file");
        file
    });
    let sources = [
        ("avc_aac", fixtures::live_flv(&ffmpeg, false, 120)),
        ("reordered_avc", fixtures::avc_b_frames_flv(&ffmpeg)),
        ("vp9_opus", fixtures::vp9_opus_flv(&recent)),
        ("av1_opus", fixtures::av1_opus_flv(&recent)),
        ("avc_flac", fixtures::avc_flac_flv(&recent)),
        ("mp3", fixtures::mp3_flv(&ffmpeg)),
        ("he_aac", he_aac),
    ];
    let cases: Vec<_> = sources
        .iter()
        .flat_map(|(name, source)| [false, true].map(|is_killed| (*name, source, is_killed)))
        .collect();
    let files = std::sync::Mutex::new(Vec::new());
    parallel::for_each(cases, |(name, source, is_killed)| {
        let suffix = if is_killed { "killed" } else { "finished" };
        let file = folder.path().join(format!("{name}_{suffix}.mp4"));
        record(source, is_killed, &file);
        let mut files = files.lock().expect("the lock is not poisoned");
        files.push((format!("{name}_{suffix}.mp4"), file));
    });
    let files = files.into_inner().expect("the lock is not poisoned");
    let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
    let names = serde_json::to_string(&names).expect("strings");
    let page = PAGE.replace("FILES", &names);
    let reports = chromium.run(&page, &files);
    let reports: Value = serde_json::from_str(&reports).expect("JSON");
    for (name, file) in &files {
        assert_plays(name, &reports[name], crate::verify::duration(file));
    }
}

/// Records `source` to `file`. If the recording is killed, it lacks the end.
fn record(source: &Path, is_killed: bool, file: &Path) {
    let clip = Clip::read(source);
    let length = Duration::from_millis(clip.last_timestamp_ms().into());
    if !is_killed {
        let recorded = Recording::new("out.mp4", &[]).of(clip);
        recorded.finished.assert_ended(0, "ended");
        fs::rename(recorded.path("out.mp4"), file).expect("the file can be moved");
        return;
    }
    let speed = length.as_secs_f64() / 3.0;
    let stream = Stream::live(clip).paced(Pace::Speed(speed));
    let server = Server::start(Config::serving(stream));
    let recording = Recording::new("out.mp4", &["-v"]);
    let mut process = recording.start(&server.url("clip"));
    thread::sleep(Duration::from_millis(2_700));
    process.kill_and_wait();
    let killed = recording.path("out.mp4");
    assert!(boxes(&killed).contains(&"moof".to_owned()));
    fs::rename(killed, file).expect("the file can be moved");
}

#[track_caller]
fn assert_plays(name: &str, report: &Value, expected_s: f64) {
    assert!(report["error"].is_null(), "{name}: {report}");
    let duration_s = report["duration"].as_f64().expect("a duration");
    println!("{name}: {duration_s} s, {}", report["seeks"]);
    assert!(
        (duration_s - expected_s).abs() < 0.1,
        "{name} lasts {duration_s} s instead of {expected_s} s"
    );
    let seeks = report["seeks"].as_array().expect("a list");
    assert_eq!(seeks.len(), 10, "{name}");
    for seek in seeks {
        let [wanted, shown] = [0, 1].map(|at| seek[at].as_f64().expect("a time"));
        // The picture at the time, which lasts 40 ms, or the next one.
        assert!(
            (wanted - shown).abs() < 0.085,
            "{name} shows {shown} s instead of {wanted} s"
        );
    }
}

/// A page that plays `FILES`, seeks in each of them, and posts the results.
const PAGE: &str = include_str!("player.html");
