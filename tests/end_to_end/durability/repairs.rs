use std::{fs, path::Path};

use rand::RngExt;

use super::*;
use crate::{
    fixtures,
    peers::{
        ffmpeg::{Ffmpeg, ffprobe},
        nginx::Nginx,
        require,
        rtmpdump::Rtmpdump,
    },
    server::{Config, Pace, Server, Stream},
    verify::{Media, assert_complete_copy, assert_ffprobe_accepts},
};

#[test]
fn cut_rtmpdump_files_are_repaired() {
    let rtmpdump = require!(Rtmpdump::find());
    let ffmpeg = require!(Ffmpeg::find());
    let clip = Stream::recorded(Clip::read(&fixtures::avc_aac_flv(&ffmpeg))).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(clip));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("rtmpdump.flv");
    rtmpdump.play(&server.url("clip"), &file, &[]).finish(LIMIT);
    assert_cuts_are_repaired(&ffmpeg, &file);
}

#[test]
fn cut_ffmpeg_files_are_repaired() {
    let ffmpeg = require!(Ffmpeg::find());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clips = [
        fixtures::avc_aac_flv(&ffmpeg),
        fixtures::h263_mp3_flv(&ffmpeg),
        fixtures::mp3_flv(&ffmpeg),
    ];
    for clip in clips {
        let file = folder.path().join("ffmpeg.flv");
        let paths = ["-i".as_ref(), clip.as_os_str()].into_iter();
        let arguments = paths
            .chain(["-c", "copy"].map(OsStr::new))
            .chain([file.as_os_str()]);
        ffmpeg.run(arguments).succeeded();
        assert_cuts_are_repaired(&ffmpeg, &file);
    }
}

#[test]
fn cut_nginx_recordings_are_repaired() {
    let nginx = require!(Nginx::find());
    let ffmpeg = require!(Ffmpeg::find());
    let server = nginx.start(&[]);
    let clip = fixtures::avc_aac_flv(&ffmpeg);
    let publisher = ffmpeg.publish(&clip, &server.url("record", "clip"));
    let recording = server.recording("clip");
    let length = || fs::metadata(&recording).map_or(0, |file| file.len());
    let has_recorded = (0..LIMIT.as_millis() / 10).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        length() > 30_000
    });
    assert!(has_recorded, "nginx records nothing");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("nginx.flv");
    fs::copy(&recording, &file).expect("the file exists");
    drop(publisher);
    assert_cuts_are_repaired(&ffmpeg, &file);
}

#[test]
fn repair_reports_each_file_and_exits_with_the_worst_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = include_bytes!("../../server/clip.flv");
    let torn = write(folder.path(), "torn.flv", &clip[..clip.len() - 3]);
    let text = write(folder.path(), "text.flv", b"existing content");
    let finished = repair([&torn, &text]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{finished}");
    assert!(lines[0].starts_with("INFO: ") && lines[0].contains("torn.flv: repaired, rewritten"));
    assert!(
        lines[1].starts_with("ERROR: ") && lines[1].contains("text.flv: it is not an FLV file")
    );
    assert_eq!(
        fs::read(&text).expect("the file exists"),
        b"existing content"
    );
    let empty = write(folder.path(), "empty.flv", b"");
    assert_single_line(
        &repair([&empty]),
        1,
        "empty.flv: it is empty; the file is unchanged\n",
    );
    let missing = folder.path().join("missing.flv");
    let message = "missing.flv: cannot open it: No such file or directory\n";
    assert_single_line(&repair([&missing]), 1, message);
    assert_single_line(&repair([&torn]), 0, "complete, nothing to repair");
    let output = folder.path().join("output.flv");
    let before = fs::read(&torn).expect("the file exists");
    let arguments = [torn.as_os_str(), "-o".as_ref(), output.as_os_str()];
    assert_single_line(&repair(arguments), 0, "repaired, written to");
    assert!(fs::read(&torn).expect("the file exists") == before);
    let written = fs::read(&output).expect("the file exists");
    IndexedFile::read(&written).assert_head_matches(written.len());
    let two = [
        torn.as_os_str(),
        text.as_os_str(),
        "-o".as_ref(),
        output.as_os_str(),
    ];
    assert_single_line(
        &repair(two),
        1,
        "ERROR: usage: -o names one file, but --repair has 2 files",
    );
    let output = folder.path().join("output.MP4");
    let arguments = [torn.as_os_str(), "-o".as_ref(), output.as_os_str()];
    let message = "output.MP4 selects MP4";
    assert_single_line(&repair(arguments), 1, message);
    assert!(!output.exists());
}

#[test]
fn interrupted_repair_leaves_the_file_unchanged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = include_bytes!("../../server/clip.flv");
    let file = write(folder.path(), "clip.flv", clip);
    // Zeros at the end, which take a while to read.
    let grow = |length| {
        let file = fs::File::options().write(true).open(&file);
        file.expect("the file exists")
            .set_len(length)
            .expect("the file can be extended");
    };
    grow(1 << 36);
    for signal in ["INT", "KILL"] {
        let running = start_repair([&file]);
        let unfinished = folder.path().join("clip.flv.repairing");
        while !unfinished.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        running.signal(signal);
        let finished = running.finish(LIMIT);
        assert_eq!(
            finished.code(),
            (signal == "INT").then_some(2),
            "{finished}"
        );
        assert_eq!(unfinished.exists(), signal == "KILL");
        assert_eq!(fs::metadata(&file).expect("the file exists").len(), 1 << 36);
    }
    grow(clip.len() as u64);
    assert!(fs::read(&file).expect("the file exists") == clip);
    repair([&file]).succeeded();
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

/// Panics unless the complete `file` and truncated copies of it are repaired without losing a
/// complete tag.
#[track_caller]
fn assert_cuts_are_repaired(ffmpeg: &Ffmpeg, file: &Path) {
    let complete = fs::read(file).expect("the file was written");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repaired = folder.path().join("repaired.flv");
    let arguments = [file.as_os_str(), "-o".as_ref(), repaired.as_os_str()];
    repair(arguments).succeeded();
    if intact_tags(&complete)
        .iter()
        .map(|tag| tag.body.len() + 15)
        .sum::<usize>()
        + 1_000
        > complete.len()
    {
        assert_complete_copy(ffmpeg, file, &repaired);
    }
    for number in 0..6 {
        // Files checked by ffmpeg must contain every track.
        let least = if number < 2 {
            complete.len() / 2
        } else {
            5_000
        };
        let cut = rand::rng().random_range(least..complete.len());
        let torn = write(folder.path(), "torn.flv", &complete[..cut]);
        repair([&torn]).succeeded();
        let bytes = fs::read(&torn).expect("the file exists");
        let indexed = IndexedFile::read(&bytes);
        assert!(
            indexed.tags == intact_tags(&complete[..cut]),
            "cut at {cut}"
        );
        assert_eq!(indexed.torn_bytes, 0);
        if number < 2 {
            assert_ffprobe_accepts(&torn);
            let media = Media::read(ffmpeg, &torn);
            media.assert_start_of(&Media::read(ffmpeg, file), usize::MAX);
            assert_index_seeks(&torn, &indexed);
        }
    }
}

/// Panics unless ffprobe finds each keyframe of the index at its offset.
#[track_caller]
fn assert_index_seeks(file: &Path, indexed: &IndexedFile) {
    if !indexed.tags.iter().any(Tag::is_keyframe) {
        return;
    }
    let mut slots = indexed.slots();
    slots.dedup();
    for (seconds, position) in slots {
        // Seek slightly later: the picture shown at the keyframe's time is decoded from that
        // keyframe.
        let interval = format!("{:.3}%+#1", seconds + 0.1);
        let entries = ["-select_streams", "v", "-show_entries", "packet=flags,pos"];
        let arguments = [
            &["-read_intervals", &interval],
            &entries[..],
            &["-of", "csv=p=0"],
        ];
        let finished = ffprobe(&arguments.concat(), file).succeeded();
        let packet = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        let (found, flags) = packet.split_once(',').expect("a packet");
        assert!(flags.starts_with('K'), "{seconds} s: {packet}");
        // ffprobe reports the offset of the tag header or of the body.
        let found: u64 = found.parse().expect("a position");
        assert!(
            (position..position + 16).contains(&found),
            "{seconds} s: {packet}"
        );
    }
}
