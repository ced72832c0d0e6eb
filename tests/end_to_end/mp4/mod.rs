//! MP4 files and pipes, read by ffmpeg and by other readers.

mod bad_input;
#[cfg(target_os = "linux")]
mod browser;
mod codecs;
mod colors;
#[cfg(target_os = "linux")]
mod endurance;
mod features;
mod hls;
mod kills;
mod pixels;
mod probes;
mod reopen;
mod timing;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::peers::mpv::Mpv;
use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require},
    process::{Finished, Process},
    program::{self, LIMIT},
    server::{Clip, Config, CutConnection, FaultAction, Pace, Server, Stream, Tag},
    verify::{
        Media, assert_complete_copy, assert_ffprobe_accepts, assert_presents_copy, boxes, boxes_in,
    },
};

#[test]
fn files_hold_the_same_packets_as_flv() {
    let ffmpeg = require!(Ffmpeg::find());
    for source in fixtures::legacy_flvs(&ffmpeg) {
        assert_recorded_completely(&ffmpeg, &source);
    }
}

#[test]
fn files_hold_the_same_packets_of_enhanced_codecs() {
    let recent = require!(Ffmpeg::find_recent());
    for source in fixtures::enhanced_flvs(&recent) {
        assert_recorded_completely(&recent, &source);
    }
}

#[track_caller]
fn assert_recorded_completely(ffmpeg: &Ffmpeg, source: &Path) {
    println!("{}", source.display());
    let recording = Recording::new("out.mp4", &[]).of(Clip::read(source));
    recording.finished.assert_ended(0, "ended");
    assert_eq!(recording.names(), ["out.mp4"]);
    assert_presents_copy(ffmpeg, source, &recording.path("out.mp4"));
    ffmpeg.assert_plays(&recording.path("out.mp4"));
    assert_eq!(boxes(&recording.path("out.mp4")), ["ftyp", "mdat", "moov"]);
    let fragmented = Recording::new("out.mp4", &["--no-index"]).of(Clip::read(source));
    assert_presents_copy(ffmpeg, source, &fragmented.path("out.mp4"));
    for fragment in ["0", "0.3"] {
        let options = ["--format", "mp4", "--fragment", fragment];
        let pipe = Recording::new("-", &options).of(Clip::read(source));
        pipe.finished.assert_ended(0, "ended");
        assert_presents_copy(ffmpeg, source, &pipe.path("stdout"));
    }
}

#[test]
fn frames_decode_as_in_flv() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_b_frames_flv(&ffmpeg);
    let recording = Recording::new("out.mp4", &[]).of(Clip::read(&source));
    let frames = |file: &Path| {
        let arguments = ["-i".as_ref(), file.as_os_str()].into_iter();
        let sink = ["-f", "framemd5", "-"].map(AsRef::as_ref);
        let finished = ffmpeg.run(arguments.chain(sink)).succeeded();
        let text = String::from_utf8(finished.stdout).expect("framemd5 is text");
        let hashes = text.lines().filter(|line| !line.starts_with('#'));
        let hashes = hashes.map(|line| {
            let track = line.split(',').next().expect("a track");
            let hash = line.rsplit(',').next().expect("a hash");
            format!("{track}{hash}")
        });
        let mut hashes: Vec<_> = hashes.collect();
        // Both tracks are interleaved by their times, which have another rounding.
        hashes.sort_by_key(|hash| hash.as_bytes()[0]);
        hashes
    };
    let (found, expected) = (frames(&recording.path("out.mp4")), frames(&source));
    assert!(expected.len() > 200);
    assert_eq!(found, expected);
}

#[test]
fn killed_recordings_play() {
    let ffmpeg = require!(Ffmpeg::find());
    let clip = Clip::repeated_sample(10, 3_100);
    let server = Server::start(Config::serving(Stream::live(clip)));
    let whole = Recording::new("out.mp4", &[]).of(Clip::repeated_sample(10, 3_100));
    let whole = Media::read(&ffmpeg, &whole.path("out.mp4"));
    thread::scope(|scope| {
        for round in 0..8_u64 {
            let (ffmpeg, server, whole) = (&ffmpeg, &server, &whole);
            scope.spawn(move || {
                let recording = Recording::new("out.mp4", &["-v"]);
                let after = Duration::from_millis(2_200 + 331 * round);
                let mut process = recording.start(&server.url("clip"));
                thread::sleep(after);
                process.kill_and_wait();
                let file = recording.path("out.mp4");
                assert_ffprobe_accepts(&file);
                let media = Media::read(ffmpeg, &file);
                assert!(media.video.packets.len() > 5, "after {after:?}");
                media.assert_start_of(whole, usize::MAX);
            });
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn players_seek_in_finished_and_killed_recordings() {
    let ffmpeg = require!(Ffmpeg::find());
    let mpv = require!(Mpv::find());
    let source = fixtures::live_flv(&ffmpeg, false, 120);
    let finished = Recording::new("out.mp4", &[]).of(Clip::read(&source));
    let stream = Stream::live(Clip::read(&source)).paced(Pace::Speed(20.0));
    let server = Server::start(Config::serving(stream));
    let killed = Recording::new("out.mp4", &["-v"]);
    let mut process = killed.start(&server.url("clip"));
    thread::sleep(Duration::from_secs(3));
    process.kill_and_wait();
    for file in [finished.path("out.mp4"), killed.path("out.mp4")] {
        let seconds = crate::verify::duration(&file);
        assert!(seconds > 30.0, "lasts {seconds} s");
        for number in 0..10 {
            let wanted = f64::from(number) * (seconds - 1.0) / 10.0;
            let found = mpv.seek(&file, wanted);
            // A keyframe every second.
            assert!(
                (wanted - found).abs() <= 1.1,
                "{found} s instead of {wanted} s"
            );
        }
    }
}

#[test]
fn lost_connections_continue_in_the_same_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let cuts = vec![(25_000, FaultAction::Fin), (20_000, FaultAction::Rst)];
    let connection = CutConnection::start(server.port(), cuts);
    let recording = Recording::new("out.mp4", &["--retry", "3"]);
    let finished = recording.start(&connection.url("clip")).finish(LIMIT);
    finished.assert_ended(0, "ended");
    assert!(connection.relayed().len() > 2, "{finished}");
    assert_eq!(boxes(&recording.path("out.mp4")), ["ftyp", "mdat", "moov"]);
    let complete = Recording::new("out.mp4", &[]).of(Clip::sample());
    let [found, expected] = [recording.path("out.mp4"), complete.path("out.mp4")]
        .map(|file| Media::read(&ffmpeg, &file));
    found.assert_presents(&expected);
}

#[test]
fn unsupported_codecs_are_recorded_to_flv() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::h263_mp3_flv(&ffmpeg);
    let recording = Recording::new("out.mp4", &[]).of(Clip::read(&source));
    recording.finished.assert_ended(0, "ended");
    assert_eq!(recording.names(), ["out.flv"]);
    assert_complete_copy(&ffmpeg, &source, &recording.path("out.flv"));
    let lines = &recording.finished.stderr;
    assert_eq!(
        lines.matches("MP4 cannot hold this stream").count(),
        1,
        "{lines}"
    );
    let pipe = Recording::new("-", &["--format", "mp4"]).of(Clip::read(&source));
    pipe.finished.assert_ended(1, "output-failed");
    let lines = &pipe.finished.stderr;
    assert!(lines.contains("--format flv holds it"), "{lines}");
}

#[test]
fn start_hook_gets_the_name_after_the_fallback() {
    let mut clip = Clip::sample();
    clip.tags.retain(|tag| tag.kind == Tag::VIDEO);
    let speex = Tag {
        kind: Tag::AUDIO,
        timestamp_ms: 100,
        body: vec![0xB6, 1, 2],
    };
    let at = clip.tags.iter().position(|tag| tag.timestamp_ms > 100);
    clip.tags.insert(at.expect("a later picture"), speex);
    let options = ["--on-start", "sh -c 'echo $RTMPULL_PATH >> stdout'"];
    let recording = Recording::new("out.mp4", &options).of(clip);
    recording.finished.assert_ended(0, "ended");
    assert_eq!(recording.names(), ["out.flv"]);
    let paths = fs::read_to_string(recording.path("stdout")).expect("the hook ran");
    assert_eq!(paths, "out.flv\n");
}

#[test]
fn segments_of_mp4_join_to_the_recording() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let options = ["--segment-time", "1", "--progress", "json"];
    let recording = Recording::new("out-%d.mp4", &options).of(Clip::read(&source));
    assert_eq!(
        recording.finished.code(),
        Some(0),
        "{}",
        recording.finished.stderr
    );
    let names = ["out-1.mp4", "out-2.mp4", "out-3.mp4", "out-4.mp4"];
    assert_eq!(recording.names(), names);
    let whole = Media::read(&ffmpeg, &source);
    let (mut video, mut audio) = (0, 0);
    for name in names {
        let file = recording.path(name);
        ffmpeg.assert_plays(&file);
        assert_eq!(boxes(&file), ["ftyp", "mdat", "moov"]);
        let media = Media::read(&ffmpeg, &file);
        video += media.video.packets.len();
        audio += media.audio.packets.len();
        media.assert_presents_excerpt_of(&whole);
    }
    assert_eq!(video, whole.video.packets.len());
    assert_eq!(audio, whole.audio.packets.len());
}

#[test]
fn tee_writes_a_format_to_each_output() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    for (name, options) in [("out.mp4", &[][..]), ("out.flv", &["--format", "mp4"])] {
        let recording = Recording::new("-", options)
            .tee(name)
            .of(Clip::read(&source));
        recording.finished.assert_ended(0, "ended");
        for output in [name, "stdout"] {
            assert_presents_copy(&ffmpeg, &source, &recording.path(output));
        }
        let starts_with = |name: &str, magic: &[u8], at: usize| {
            let bytes = fs::read(recording.path(name)).expect("the file exists");
            bytes[at..].starts_with(magic)
        };
        let is_mp4 = name == "out.mp4";
        assert_eq!(starts_with(name, b"ftyp", 4), is_mp4);
        assert_eq!(starts_with("stdout", b"FLV", 0), is_mp4);
    }
}

#[test]
fn contradictions_are_errors() {
    for (output, options, error) in [
        ("out.mp4", &["--format", "flv"][..], "--format contradicts"),
        (
            "out.mp4",
            &["--fragment", "1"],
            "--fragment needs a pipe that gets MP4",
        ),
        (
            "-",
            &["--fragment", "1"],
            "--fragment needs a pipe that gets MP4",
        ),
    ] {
        let recording = Recording::new(output, options).of(Clip::sample());
        assert_eq!(recording.finished.code(), Some(1));
        let lines = &recording.finished.stderr;
        assert!(lines.contains(error), "{lines}");
        assert!(recording.names().is_empty());
    }
}

/// A recording in a folder of its own.
struct Recording<'a> {
    output: &'a str,
    options: &'a [&'a str],
    tee: Option<&'a str>,
    folder: TempDir,
}

struct Recorded {
    finished: Finished,
    folder: TempDir,
}

impl<'a> Recording<'a> {
    fn new(output: &'a str, options: &'a [&'a str]) -> Self {
        Self {
            output,
            options,
            tee: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn tee(self, name: &'a str) -> Self {
        Self {
            tee: Some(name),
            ..self
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, url: &str) -> Process {
        let mut command = program::command();
        command.arg(url).args(self.options);
        command
            .current_dir(self.folder.path())
            .args(["-o", self.output]);
        if let Some(name) = self.tee {
            command.args(["--tee", name]);
        }
        Process::start(&mut command)
    }

    fn of(self, clip: Clip) -> Recorded {
        let stream = Stream::recorded(clip).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        let finished = self.start(&server.url("clip")).finish(LIMIT);
        if self.output == "-" {
            fs::write(self.path("stdout"), &finished.stdout).expect("a file");
        }
        Recorded {
            finished,
            folder: self.folder,
        }
    }
}

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path())
            .expect("a folder")
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name != "stdout").collect();
        names.sort();
        names
    }
}
