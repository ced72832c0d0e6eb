//! Conversions of FLV files with `--remux`.

use std::{fs, io::Write, path::Path, process::Command, thread, time::Duration};

use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require},
    process::{Finished, Process},
    program::{Folder, LIMIT},
    server::{Clip, Config, Pace, Server, Stream, Tag},
    verify::{Media, assert_complete_copy, assert_ffprobe_accepts, assert_presents_copy},
};

#[test]
fn files_hold_the_same_packets_as_the_input() {
    let ffmpeg = require!(Ffmpeg::find());
    for source in fixtures::legacy_flvs(&ffmpeg) {
        let folder = Folder::with(&fs::read(&source).expect("a clip"));
        folder
            .remux(&["in.flv", "-o", "out.mp4"])
            .assert_ended(0, "ended");
        assert_presents_copy(&ffmpeg, &source, &folder.path("out.mp4"));
        ffmpeg.assert_plays(&folder.path("out.mp4"));
        folder
            .remux(&["in.flv", "-o", "out.flv"])
            .assert_ended(0, "ended");
        assert_complete_copy(&ffmpeg, &source, &folder.path("out.flv"));
        let options = ["in.flv", "-o", "-", "--format", "mp4", "--fragment", "0"];
        let piped = folder.remux(&options);
        piped.assert_ended(0, "ended");
        fs::write(folder.path("piped.mp4"), &piped.stdout).expect("a file");
        assert_presents_copy(&ffmpeg, &source, &folder.path("piped.mp4"));
        assert_eq!(fs::read(folder.path("in.flv")).ok(), fs::read(&source).ok());
    }
}

#[test]
fn files_hold_the_same_packets_of_enhanced_codecs() {
    let recent = require!(Ffmpeg::find_recent());
    for source in [
        fixtures::hevc_aac_flv(&recent),
        fixtures::av1_opus_flv(&recent),
        fixtures::vp9_opus_flv(&recent),
    ] {
        let folder = Folder::with(&fs::read(&source).expect("a clip"));
        folder
            .remux(&["in.flv", "-o", "out.mp4"])
            .assert_ended(0, "ended");
        assert_presents_copy(&recent, &source, &folder.path("out.mp4"));
    }
}

#[test]
fn a_conversion_equals_the_recording_of_the_same_stream() {
    let ffmpeg = require!(Ffmpeg::find());
    for source in [
        fixtures::avc_aac_flv(&ffmpeg),
        fixtures::avc_b_frames_flv(&ffmpeg),
    ] {
        let folder = Folder::with(&fs::read(&source).expect("a clip"));
        let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        for name in ["mp4", "flv"] {
            let (recorded, converted) = (format!("recorded.{name}"), format!("converted.{name}"));
            folder
                .run(&[&server.url("clip"), "-o", &recorded])
                .assert_ended(0, "ended");
            folder
                .remux(&["in.flv", "-o", &converted])
                .assert_ended(0, "ended");
            let [recorded, converted] =
                [recorded, converted].map(|name| fs::read(folder.path(&name)).expect("a file"));
            assert_eq!(recorded.len(), converted.len(), "{name}");
            let pairs = recorded.iter().zip(&converted);
            let differences = pairs.filter(|(one, other)| one != other).count();
            // Creation times in the headers of the movie and of its tracks, before and after.
            let allowed = if name == "mp4" { 80 } else { 0 };
            assert!(
                differences <= allowed,
                "{differences} bytes differ in {name}"
            );
        }
    }
}

#[test]
fn damaged_inputs_are_repaired() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let intact = fs::read(&source).expect("a clip");
    let source_media = Media::read(&ffmpeg, &source);
    let middle = Clip::read(&source).tags.len() / 2;
    let offset: usize = Clip::read(&source).tags[..middle]
        .iter()
        .map(|tag| tag.body.len() + 15)
        .sum::<usize>()
        + 13;
    let (before, after) = intact.split_at(offset);
    let mut pointers = intact.clone();
    let mut at = 13;
    for tag in &Clip::read(&source).tags {
        at += tag.body.len() + 15;
        pointers[at - 4..at].fill(0);
    }
    let cases = [
        (
            "torn end",
            intact[..intact.len() - 7].to_vec(),
            1,
            "incomplete tag at the end",
        ),
        (
            "garbage",
            [before, &[0x55; 999], after].concat(),
            0,
            "999 bytes between tags",
        ),
        ("no header", intact[13..].to_vec(), 0, ""),
        (
            "second header",
            [before, &intact[..13], after].concat(),
            0,
            "13 bytes between tags",
        ),
        (
            "wrong back pointers",
            pointers,
            0,
            "PreviousTagSize fields corrected",
        ),
    ];
    for (name, bytes, missing, line) in cases {
        let folder = Folder::with(&bytes);
        for output in ["out.mp4", "out.flv"] {
            let finished = folder.remux(&["in.flv", "-o", output]);
            finished.assert_ended(0, "ended");
            assert!(finished.stderr.contains(line), "{name}: {finished}");
            let found = Media::read(&ffmpeg, &folder.path(output));
            found.assert_start_of(&source_media, missing);
            ffmpeg.assert_plays(&folder.path(output));
        }
        assert!(
            fs::read(folder.path("in.flv")).expect("the input") == bytes,
            "{name}"
        );
    }
}

#[test]
fn a_shell_pipe_is_an_input() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let folder = Folder::with(&fs::read(&source).expect("a clip"));
    let finished = folder.shell("cat in.flv | $RTMPULL --remux - -o out.mp4");
    finished.assert_ended(0, "ended");
    assert_presents_copy(&ffmpeg, &source, &folder.path("out.mp4"));
    let finished = folder.shell("$RTMPULL --remux - -o in.flv < in.flv");
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr.contains("are the same file"), "{finished}");
    assert_eq!(fs::read(folder.path("in.flv")).ok(), fs::read(&source).ok());
}

#[test]
fn unsupported_codecs_are_converted_to_flv_beside_the_input() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::h263_mp3_flv(&ffmpeg);
    let folder = Folder::with(&fs::read(&source).expect("a clip"));
    let finished = folder.remux(&["in.flv", "-o", "in.mp4"]);
    finished.assert_ended(0, "ended");
    let warning = "MP4 cannot hold this stream";
    assert_eq!(finished.stderr.matches(warning).count(), 1, "{finished}");
    assert_eq!(folder.names(), ["in.2.flv", "in.flv"]);
    assert_complete_copy(&ffmpeg, &source, &folder.path("in.2.flv"));
    assert_eq!(fs::read(folder.path("in.flv")).ok(), fs::read(&source).ok());
}

#[test]
fn wrong_inputs_are_reported_and_leave_no_output() {
    let folder = Folder::with(include_bytes!("../server/clip.flv"));
    let mp4 = folder.remux(&["in.flv", "-o", "movie.mp4"]);
    mp4.assert_ended(0, "ended");
    fs::rename(folder.path("movie.mp4"), folder.path("movie")).expect("a rename");
    fs::write(folder.path("empty"), "").expect("a file");
    fs::write(folder.path("text"), "some text ".repeat(1000)).expect("a file");
    fs::write(folder.path("header"), b"FLV\x01\x05\0\0\0\x09\0\0\0\0").expect("a file");
    fs::create_dir(folder.path("directory")).expect("a folder");
    let before = folder.names();
    for (line, expected) in [
        (&["missing", "-o", "out.mp4"][..], "missing: cannot open it"),
        (
            &["movie", "-o", "out.mp4"],
            "movie: it is an MP4 file, but --remux reads only FLV",
        ),
        (&["empty", "-o", "out.mp4"], "empty: it is empty"),
        (&["text", "-o", "out.mp4"], "text: "),
        (
            &["header", "-o", "out.mp4"],
            "no complete audio or video tag",
        ),
        (
            &["directory", "-o", "out.mp4"],
            "directory: it is a directory",
        ),
        (
            &["in.flv", "-o", "in.flv"],
            "--flv and --remux name the same file",
        ),
        (&["in.flv"], "--remux needs an output"),
        (
            &["in.flv", "movie", "-o", "out.mp4"],
            "--remux converts one file",
        ),
        (
            &["in.flv", "-o", "out.mp4", "--live"],
            "--remux downloads nothing",
        ),
        (
            &["in.flv", "-o", "out.mp4", "--fragment", "1"],
            "--fragment needs a pipe",
        ),
        (
            &["in.flv", "-o", "out.mp4", "--format", "flv"],
            "--format contradicts",
        ),
        (
            &["in.flv", "-o", "missing/out.mp4"],
            "the folder missing does not exist",
        ),
    ] {
        let finished = folder.remux(line);
        assert_eq!(finished.code(), Some(1), "{line:?}: {finished}");
        assert!(finished.stderr.contains(expected), "{line:?}: {finished}");
        assert_eq!(folder.names(), before, "{line:?}");
    }
    let bytes = fs::read(folder.path("in.flv")).expect("the input");
    assert!(bytes == include_bytes!("../server/clip.flv"));
}

#[test]
fn an_existing_output_is_replaced_only_by_media() {
    let folder = Folder::with(include_bytes!("../server/clip.flv"));
    fs::write(folder.path("out.mp4"), "old").expect("a file");
    fs::write(folder.path("text"), "text").expect("a file");
    assert_eq!(folder.remux(&["text", "-o", "out.mp4"]).code(), Some(1));
    assert_eq!(fs::read(folder.path("out.mp4")).expect("a file"), b"old");
    let finished = folder.remux(&["in.flv", "-o", "out.mp4"]);
    finished.assert_ended(0, "ended");
    assert!(fs::metadata(folder.path("out.mp4")).expect("a file").len() > 1000);
}

#[test]
fn a_signal_leaves_a_finished_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let bytes = fs::read(&source).expect("a clip");
    let folder = Folder::with(&bytes);
    let fifo = folder.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    let mut command = folder.command();
    let process = Process::start(command.args(["--remux", "fifo", "-o", "out.mp4"]));
    let mut writer = fs::OpenOptions::new()
        .write(true)
        .open(&fifo)
        .expect("a reader");
    writer
        .write_all(&bytes[..bytes.len() / 2])
        .expect("a reader");
    let has_media = || fs::metadata(folder.path("out.mp4")).is_ok_and(|file| file.len() > 0);
    while !has_media() {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(700));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    finished.assert_ended(2, "interrupted");
    assert!(finished.took < Duration::from_secs(2), "{finished}");
    assert!(!finished.stderr.contains("--resume"), "{finished}");
    assert_ffprobe_accepts(&folder.path("out.mp4"));
    let found = Media::read(&ffmpeg, &folder.path("out.mp4"));
    let source_media = Media::read(&ffmpeg, &source);
    assert!(found.video.packets.len() > source_media.video.packets.len() / 3);
    found.assert_start_of(&source_media, usize::MAX);
    drop(writer);
}

#[test]
fn scripts_get_the_events_of_a_conversion() {
    let folder = Folder::with(include_bytes!("../server/clip.flv"));
    let options = ["in.flv", "-o", "out-%d.mp4", "--segment-time", "1"];
    let finished = folder.remux(&[&options[..], &["--progress", "json"]].concat());
    assert_eq!(finished.code(), Some(0), "{finished}");
    let events: Vec<serde_json::Value> = finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let start = of("start").next().expect("a start event");
    assert_eq!(start["inputs"], serde_json::json!(["in.flv"]));
    assert_eq!(start["output"], "out-%d.mp4");
    let segments: Vec<_> = of("segment").collect();
    assert!(segments.len() > 1, "{finished}");
    assert_eq!(segments[0]["path"], "out-1.mp4");
    let summary = of("summary").next().expect("a summary");
    assert_eq!(summary["ending"], "ended");
    assert_eq!(summary["exit_code"], 0);
    assert!(summary["duration_ms"].as_u64() > Some(2_000), "{summary}");
}

#[test]
fn limits_end_a_conversion() {
    let folder = Folder::with(include_bytes!("../server/clip.flv"));
    let finished = folder.remux(&["in.flv", "-o", "out.flv", "--duration", "1"]);
    finished.assert_ended(0, "limit");
    let tags = Clip::read(&folder.path("out.flv")).tags;
    let last_ms = tags.iter().map(|tag| tag.timestamp_ms).max();
    assert!((900..1000).contains(&last_ms.expect("tags")), "{last_ms:?}");
    let finished = folder.remux(&["in.flv", "-o", "small.flv", "--max-size", "80000"]);
    finished.assert_ended(0, "limit");
    let length = fs::metadata(folder.path("small.flv"))
        .expect("a file")
        .len();
    assert!((60_000..=80_000).contains(&length), "{length}");
}

#[test]
fn a_restarted_clock_continues() {
    let mut clip = Clip::sample();
    let middle = clip.tags.len() / 2;
    let shift = 50_000_000;
    for tag in &mut clip.tags[middle..] {
        tag.timestamp_ms += shift;
    }
    let folder = Folder::with(&flv(&clip.tags));
    folder
        .remux(&["in.flv", "-o", "out.flv"])
        .assert_ended(0, "ended");
    let tags = Clip::read(&folder.path("out.flv")).tags;
    assert_eq!(media(&tags).count(), media(&clip.tags).count());
    assert!(tags.iter().all(|tag| tag.timestamp_ms < 10_000));
}

#[test]
fn joined_files_play_as_one() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let clip = Clip::read(&source);
    let folder = Folder::with(&fs::read(&source).expect("a clip"));
    let headers = |clip: &Clip| -> Vec<Tag> {
        let headers = clip.tags.iter().filter(|tag| tag.is_sequence_header());
        headers.cloned().collect()
    };
    let count = clip.tags.len();
    let excerpt = |from: usize, to: usize| {
        let rest = clip.tags[from..to].iter();
        let rest = rest.filter(|tag| !tag.is_sequence_header()).cloned();
        flv(&headers(&clip).into_iter().chain(rest).collect::<Vec<_>>())
    };
    // The second file overlaps both others.
    for (name, from, to) in [
        ("1.flv", 0, count / 2),
        ("2.flv", count / 3, count * 2 / 3),
        ("3.flv", count / 2, count),
    ] {
        fs::write(folder.path(name), excerpt(from, to)).expect("a file");
    }
    for output in ["all.mp4", "all.flv"] {
        let line = ["1.flv", "2.flv", "3.flv", "--join", "-o", output];
        folder.remux(&line).assert_ended(0, "ended");
        assert_presents_copy(&ffmpeg, &source, &folder.path(output));
    }
    let line = ["in.flv", "in.flv", "in.flv", "--join", "-o", "once.flv"];
    folder.remux(&line).assert_ended(0, "ended");
    assert_complete_copy(&ffmpeg, &source, &folder.path("once.flv"));
    let missing = folder.remux(&["in.flv", "missing.flv", "--join", "-o", "no.flv"]);
    assert_eq!(missing.code(), Some(1), "{missing}");
    assert!(!folder.path("no.flv").exists());
    let piped = folder.shell("cat in.flv | $RTMPULL --remux in.flv - --join -o twice.mp4");
    piped.assert_ended(0, "ended");
    let [once, twice] = [&source, &folder.path("twice.mp4")].map(|file| Media::read(&ffmpeg, file));
    assert_eq!(twice.video.packets.len(), 2 * once.video.packets.len());
    assert_eq!(twice.audio.packets.len(), 2 * once.audio.packets.len());
}

#[test]
fn tee_writes_both_outputs() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let folder = Folder::with(&fs::read(&source).expect("a clip"));
    let finished = folder.remux(&["in.flv", "-o", "-", "--tee", "out.mp4"]);
    finished.assert_ended(0, "ended");
    fs::write(folder.path("piped.flv"), &finished.stdout).expect("a file");
    assert_presents_copy(&ffmpeg, &source, &folder.path("out.mp4"));
    assert_complete_copy(&ffmpeg, &source, &folder.path("piped.flv"));
}

/// Audio and video tags.
fn media(tags: &[Tag]) -> impl Iterator<Item = &Tag> {
    tags.iter()
        .filter(|tag| [Tag::AUDIO, Tag::VIDEO].contains(&tag.kind))
}

/// Returns an FLV file with these tags.
fn flv(tags: &[Tag]) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for tag in tags {
        let length = tag.body.len() as u32;
        let [time_0, time @ ..] = tag.timestamp_ms.to_be_bytes();
        file.push(tag.kind);
        file.extend(&length.to_be_bytes()[1..]);
        file.extend(time);
        file.extend([time_0, 0, 0, 0]);
        file.extend(&tag.body);
        file.extend((length + 11).to_be_bytes());
    }
    file
}

impl Folder {
    /// Creates a folder with the input `in.flv`.
    fn with(input: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.path("in.flv"), input).expect("a file");
        folder
    }

    fn remux(&self, line: &[&str]) -> Finished {
        self.run(&[&["--remux"], line].concat())
    }

    /// Runs a shell command in which `$RTMPULL` is the program.
    fn shell(&self, text: &str) -> Finished {
        let program: &Path = env!("CARGO_BIN_EXE_rtmpull").as_ref();
        let mut command = Command::new("sh");
        command.args(["-c", text]).current_dir(self.path("."));
        Process::start(command.env("RTMPULL", program)).finish(LIMIT)
    }
}
