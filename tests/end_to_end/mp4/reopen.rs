//! MP4 files of an earlier run: repaired, resumed and appended to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::boxes;
use crate::{
    fixtures, parallel,
    peers::{ffmpeg::Ffmpeg, require},
    process::{Finished, Process},
    program::{self, LIMIT},
    server::{Clip, Config, EndSignal, Pace, SeekTo, Seeking, Server, Stream},
    verify::{Media, assert_presents_copy},
};

/// A file in a folder of its own.
struct File {
    folder: TempDir,
    name: &'static str,
}

impl File {
    fn new(name: &'static str, contents: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = Self { folder, name };
        if !contents.is_empty() {
            fs::write(file.path(), contents).expect("a writable folder");
        }
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.path()).expect("the file exists")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder exists");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.sort();
        names
    }

    fn record(&self, server: &Server, options: &[&str]) -> Finished {
        let mut command = program::command();
        command.arg(server.url("clip")).args(options);
        command.arg("-o").arg(self.path());
        Process::start(&mut command).finish(LIMIT)
    }
}

fn server(source: &Path) -> Server {
    let stream = Stream::recorded(Clip::read(source)).paced(Pace::Unbounded);
    Server::start(Config::serving(stream))
}

/// Returns a complete recording of the stream.
fn complete(source: &Path) -> Vec<u8> {
    let file = File::new("out.mp4", b"");
    file.record(&server(source), &[]).assert_ended(0, "ended");
    file.read()
}

/// Returns the complete file as it was before it was finished.
fn growing(complete: &[u8]) -> Vec<u8> {
    let mut file = complete[48..80].to_vec();
    file.extend([0, 0, 0, 48, b'f', b'r', b'e', b'e']);
    file.extend(&complete[40..]);
    file
}

fn repair(path: &Path, options: &[&str]) -> Finished {
    let mut command: Command = program::command();
    command.arg("--repair").arg(path).args(options);
    Process::start(&mut command).finish(LIMIT)
}

#[test]
fn torn_files_are_repaired() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_b_frames_flv(&ffmpeg);
    let complete = complete(&source);
    let growing = growing(&complete);
    let uncut = File::new("uncut.mp4", &complete);
    let uncut = Media::read(&ffmpeg, &uncut.path());
    let cuts = (3..8)
        .map(|cut| growing.len() * cut / 8)
        .chain([growing.len()]);
    parallel::for_each(cuts, |cut| {
        for torn in [&growing[..cut], &complete[..cut.min(complete.len() - 1)]] {
            let file = File::new("torn.mp4", torn);
            let finished = repair(&file.path(), &[]);
            assert_eq!(finished.code(), Some(0), "{finished}");
            assert!(finished.stderr.contains("repaired in place"), "{finished}");
            assert_eq!(boxes(&file.path()), ["ftyp", "mdat", "moov"]);
            ffmpeg.assert_plays(&file.path());
            let media = Media::read(&ffmpeg, &file.path());
            assert!(!media.video.packets.is_empty());
            media.assert_start_of(&uncut, usize::MAX);
            let repaired = file.read();
            let again = repair(&file.path(), &[]);
            assert!(
                again.stderr.contains("complete, nothing to repair"),
                "{again}"
            );
            assert!(file.read() == repaired);
            let copy = file.folder.path().join("copy.mp4");
            fs::write(file.path(), torn).expect("a writable folder");
            let copied = repair(&file.path(), &["-o", copy.to_str().expect("UTF-8")]);
            assert!(copied.stderr.contains("repaired, written to"), "{copied}");
            assert!(file.read() == torn);
            assert!(fs::read(&copy).expect("the copy") == repaired);
        }
    });
}

#[test]
fn complete_and_foreign_files_stay_unchanged() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let complete = complete(&source);
    let file = File::new("out.mp4", &complete);
    let finished = repair(&file.path(), &[]);
    assert!(
        finished.stderr.contains("complete, nothing to repair"),
        "{finished}"
    );
    assert!(file.read() == complete);
    let foreign = file.folder.path().join("foreign.mp4");
    let arguments = ["-i".as_ref(), source.as_os_str()];
    let options = ["-c", "copy"].map(AsRef::as_ref);
    ffmpeg
        .run(
            arguments
                .into_iter()
                .chain(options)
                .chain([foreign.as_os_str()]),
        )
        .succeeded();
    let before = fs::read(&foreign).expect("the file");
    let finished = repair(&foreign, &[]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert!(
        finished
            .stderr
            .contains("another program wrote this MP4 file"),
        "{finished}"
    );
    for option in ["--resume", "--append"] {
        let file = File::new("out.mp4", &before);
        let finished = file.record(&server(&source), &[option]);
        finished.assert_ended(1, "mismatch");
        assert!(
            finished
                .stderr
                .contains("another program wrote this MP4 file"),
            "{finished}"
        );
        assert!(file.read() == before);
    }
    assert!(fs::read(&foreign).expect("the file") == before);
}

#[test]
fn resumed_files_equal_uninterrupted_ones() {
    let ffmpeg = require!(Ffmpeg::find());
    for source in fixtures::legacy_flvs(&ffmpeg) {
        let complete = complete(&source);
        let growing = growing(&complete);
        let mut prefixes: Vec<Vec<u8>> = (1..8)
            .map(|cut| growing[..growing.len() * cut / 8].to_vec())
            .collect();
        prefixes.push(growing[..100].to_vec());
        prefixes.push(growing.clone());
        prefixes.push(complete[..complete.len() - 9].to_vec());
        let stopped = File::new("out.mp4", b"");
        let options = ["--stop", "1.5"];
        stopped
            .record(&server(&source), &options)
            .assert_ended(0, "limit");
        prefixes.push(stopped.read());
        parallel::for_each(prefixes, |prefix| {
            for seeking in [
                Seeking::default(),
                Seeking {
                    to: SeekTo::Beginning,
                    restarts_clock: true,
                    ..Seeking::default()
                },
            ] {
                let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
                let server = Server::start(Config::serving(stream.seeking(seeking)));
                let file = File::new("out.mp4", &prefix);
                file.record(&server, &["--resume"]).assert_ended(0, "ended");
                assert_eq!(file.names(), ["out.mp4"]);
                assert_eq!(boxes(&file.path()), ["ftyp", "mdat", "moov"]);
                assert_presents_copy(&ffmpeg, &source, &file.path());
                ffmpeg.assert_plays(&file.path());
            }
        });
    }
}

#[test]
fn complete_and_other_files_are_not_changed_by_a_resume() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let complete = complete(&source);
    let file = File::new("out.mp4", &complete);
    file.record(&server(&source), &["--resume"])
        .assert_ended(0, "ended");
    assert!(file.read() == complete);
    let other = fixtures::avc_b_frames_flv(&ffmpeg);
    for bytes in [
        complete.clone(),
        growing(&complete)[..complete.len() / 2].to_vec(),
    ] {
        let file = File::new("out.mp4", &bytes);
        file.record(&server(&other), &["--resume"])
            .assert_ended(1, "mismatch");
        assert!(file.read() == bytes);
    }
}

#[test]
fn formats_of_file_and_recording_must_agree() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let flv = fs::read(&source).expect("the clip");
    let mp4 = complete(&source);
    for (name, bytes, why) in [
        (
            "out.mp4",
            &flv,
            "it is an FLV file, but the recording is MP4",
        ),
        (
            "out.flv",
            &mp4,
            "it is an MP4 file, but the recording is FLV",
        ),
    ] {
        let file = File::new(name, bytes);
        let finished = file.record(&server(&source), &["--resume"]);
        finished.assert_ended(1, "mismatch");
        assert!(finished.stderr.contains(why), "{finished}");
        assert!(file.read() == *bytes);
    }
}

#[test]
fn live_streams_are_appended() {
    let ffmpeg = require!(Ffmpeg::find());
    // At play speed, equal frames are new.
    let clip = || {
        Stream::live(Clip::sample())
            .paced(Pace::Speed(1.0))
            .ending(&[EndSignal::UnpublishNotify])
    };
    let server = || Server::start(Config::serving(clip()));
    let file = File::new("out.mp4", b"");
    let options = ["-v", "--republish-wait", "0"];
    file.record(&server(), &options)
        .assert_ended(0, "unpublished");
    let once = Media::read(&ffmpeg, &file.path());
    let finished = file.read();
    // The stream repeats the end of the shorter file before it plays for long, and therefore continues it.
    for (before, is_continued) in [
        (finished.clone(), false),
        (growing(&finished)[..finished.len() / 2].to_vec(), true),
    ] {
        let file = File::new("out.mp4", &before);
        let first = repaired_media(&ffmpeg, &before);
        let appending = [&options[..], &["--append"]].concat();
        file.record(&server(), &appending)
            .assert_ended(0, "unpublished");
        assert_eq!(boxes(&file.path()), ["ftyp", "mdat", "moov"]);
        ffmpeg.assert_plays(&file.path());
        let both = Media::read(&ffmpeg, &file.path());
        first.assert_start_of(&both, usize::MAX);
        let frames = |media: &Media| media.video.packets.len();
        let existing = if is_continued { 0 } else { frames(&first) };
        assert_eq!(frames(&both), existing + frames(&once));
    }
}

fn repaired_media(ffmpeg: &Ffmpeg, file: &[u8]) -> Media {
    let file = File::new("before.mp4", file);
    assert_eq!(repair(&file.path(), &[]).code(), Some(0));
    Media::read(ffmpeg, &file.path())
}

#[test]
fn another_setup_starts_a_segment_after_the_existing_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let before = complete(&source);
    let other = fixtures::mp3_flv(&ffmpeg);
    let stream = Stream::live(Clip::read(&other)).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(
        stream.ending(&[EndSignal::UnpublishNotify]),
    ));
    let file = File::new("out.mp4", &before);
    let options = ["-v", "--append", "--republish-wait", "0"];
    let finished = file.record(&server, &options);
    finished.assert_ended(0, "unpublished");
    assert_eq!(file.names(), ["out.2.mp4", "out.mp4"], "{finished}");
    assert!(file.read() == before, "the existing file is not changed");
    let second = file.folder.path().join("out.2.mp4");
    assert_eq!(boxes(&second), ["ftyp", "mdat", "moov"]);
    assert_presents_copy(&ffmpeg, &other, &second);
}
