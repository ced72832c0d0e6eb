//! Resumed downloads: for any handling of the requested start, the final file equals that of an
//! uninterrupted download.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::{
    fixtures,
    peers::{
        ffmpeg::Ffmpeg,
        nginx::{Instance, Nginx},
        require,
        rtmpdump::Rtmpdump,
    },
    process::{Finished, Process},
    program::LIMIT,
    server::{
        Clip, Config, EndSignal, Fault, FaultAction, FaultPoint, Pace, SeekTo, Seeking, Server,
        Stream, Tag,
    },
};

#[test]
fn every_seek_behavior_gives_the_same_file() {
    let complete_file = complete_file(&Clip::sample());
    let keyframes = [-1, 0, 1, 2].map(SeekTo::Keyframe);
    for to in keyframes.into_iter().chain([SeekTo::Beginning]) {
        for restarts_clock in [false, true] {
            for sends_sequence_headers in [false, true] {
                let seeking = Seeking {
                    to,
                    restarts_clock,
                    sends_sequence_headers,
                };
                for cut in [18_000, 33_333] {
                    let partial = PartialFile::cut_at(cut);
                    let server =
                        Server::start(Config::serving(Stream::recorded_sample().seeking(seeking)));
                    partial.resume(&server, &[]).assert_ended(0, "ended");
                    assert!(partial.read() == complete_file, "{seeking:?}, cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn resume_after_any_cut_gives_the_same_file() {
    let complete_file = complete_file(&Clip::sample());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    for at in (49_170..complete_file.len())
        .step_by(1_777)
        .chain([complete_file.len() - 1])
    {
        let partial = PartialFile::of(&complete_file[..at]);
        partial.resume(&server, &[]).assert_ended(0, "ended");
        let resumed = partial.read();
        assert!(
            resumed == complete_file,
            "cut at {at} of {}",
            complete_file.len()
        );
    }
}

#[test]
fn resume_starts_at_a_keyframe_minus_skip() {
    let partial = PartialFile::cut_at(33_333);
    for (options, expected) in [
        (&[][..], 2000.0),
        (&["--skip", "1"], 1000.0),
        (&["-k", "9"], 0.0),
    ] {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let partial = PartialFile::of(&partial.read());
        let resumed = partial.resume(&server, options);
        resumed.assert_ended(0, "ended");
        let client = server.only_client();
        let play = client.command("play").expect("the stream plays");
        assert_eq!(play.values[2].as_number(), Some(expected), "{options:?}");
        let stderr = &resumed.stderr;
        let line = stderr
            .lines()
            .find(|line| line.starts_with("Resuming download at: "))
            .unwrap_or_else(|| panic!("{stderr}"));
        assert!(
            line.contains(" KiB, 0:02 of 0:03 (") && line.contains("%)"),
            "{line}"
        );
        assert!(stderr.contains("\nsaved "), "{stderr}");
    }
}

#[test]
fn stop_limits_a_resumed_file_and_skips_the_connection_when_reached() {
    let partial = PartialFile::cut_at(33_333);
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    partial
        .resume(&server, &["-B", "2.5"])
        .assert_ended(0, "limit");
    let last = Clip::parse(&partial.read()).last_timestamp_ms();
    assert!((2_400..2_500).contains(&last), "{last}");
    let before = partial.read();
    partial
        .resume(&server, &["-B", "2"])
        .assert_ended(0, "limit");
    assert_eq!(server.clients().len(), 1);
    assert!(partial.read() == before);
}

#[test]
fn audio_only_file_is_resumed() {
    let mut clip = Clip::sample();
    clip.tags.retain(|tag| tag.kind != Tag::VIDEO);
    let complete_file = complete_file(&clip);
    for (restarts_clock, at) in [(false, 50_000), (true, 58_000)] {
        let seeking = Seeking {
            restarts_clock,
            ..Seeking::default()
        };
        let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream.seeking(seeking)));
        let partial = PartialFile::of(&complete_file[..at]);
        partial.resume(&server, &[]).assert_ended(0, "ended");
        assert!(partial.read() == complete_file, "{at}");
    }
}

/// The clock of the server starts at an arbitrary time.
#[test]
fn kept_timestamps_are_resumed() {
    let mut clip = Clip::sample();
    for tag in &mut clip.tags {
        tag.timestamp_ms += 70_000;
    }
    let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let options = ["--keep-timestamps"];
    let partial = PartialFile::of(b"");
    partial
        .run(&server.url("clip"), &options)
        .assert_ended(0, "ended");
    let complete_file = partial.read();
    let first_ms = Clip::parse(&complete_file)
        .media()
        .map(|tag| tag.timestamp_ms)
        .min();
    assert!(first_ms >= Some(70_000), "{first_ms:?}");
    for at in [60_000, 75_000, complete_file.len() - 1] {
        let partial = PartialFile::of(&complete_file[..at]);
        partial.resume(&server, &options).assert_ended(0, "ended");
        assert!(partial.read() == complete_file, "cut at {at}");
        // The option is not needed to resume.
        let partial = PartialFile::of(&complete_file[..at]);
        partial.resume(&server, &[]).assert_ended(0, "ended");
        assert!(partial.read() == complete_file, "cut at {at}");
    }
}

/// Connections are cut repeatedly, some within the part that is already in the file.
#[test]
fn cut_during_the_overlap_loses_nothing() {
    let complete_file = complete_file(&Clip::sample());
    let partial = PartialFile::cut_at(33_333);
    let before = partial.read();
    for bytes in [8_500, 9_500] {
        let config = Config::serving(Stream::recorded_sample());
        let server = Server::start(config.with_fault(FaultPoint::Byte(bytes), FaultAction::Fin));
        partial.resume(&server, &[]).assert_ended(2, "cut");
        assert!(partial.read() == before, "cut after {bytes}");
    }
    for bytes in [20_000, 21_000, 22_000] {
        let config = Config::serving(Stream::recorded_sample());
        let server = Server::start(config.with_fault(FaultPoint::Byte(bytes), FaultAction::Fin));
        partial.resume(&server, &[]);
    }
    assert!(partial.read().len() > before.len());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    partial.resume(&server, &[]).assert_ended(0, "ended");
    assert!(partial.read() == complete_file);
}

#[test]
fn complete_file_is_left_unchanged() {
    let complete_file = complete_file(&Clip::sample());
    for (end, word) in [
        (
            &[EndSignal::StreamEof, EndSignal::PlayComplete][..],
            "ended",
        ),
        (&[EndSignal::Fin], "closed"),
    ] {
        let partial = PartialFile::of(&complete_file);
        let server = Server::start(Config::serving(Stream::recorded_sample().ending(end)));
        let resumed = partial.resume(&server, &[]);
        resumed.assert_ended(0, word);
        let stderr = &resumed.stderr;
        assert!(stderr.contains("\nsaved "), "{stderr}");
        assert!(partial.read() == complete_file);
        assert!(!partial.is_modified());
    }
}

#[test]
fn file_of_another_stream_is_left_unchanged() {
    let mut other = Clip::sample();
    for tag in &mut other.tags {
        if !tag.is_sequence_header() && tag.kind != Tag::SCRIPT {
            tag.body.push(0);
        }
    }
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let partial = PartialFile::of(&complete_file(&other)[..80_000]);
    partial.resume(&server, &[]).assert_ended(1, "mismatch");
    assert!(!partial.is_modified());
    let connections = server.clients().len();
    assert!((2..=5).contains(&connections), "{connections} connections");
    for file in [
        &b"RIFF and so on"[..],
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0garbage",
    ] {
        let partial = PartialFile::of(file);
        partial.resume(&server, &[]).assert_ended(1, "mismatch");
        assert!(partial.read() == file && !partial.is_modified());
    }
    // The same stream, damaged in the middle.
    let mut damaged = complete_file(&Clip::sample());
    let middle = 49_159 + (damaged.len() - 49_159) / 2;
    damaged[middle..middle + 4_000].fill(0);
    let partial = PartialFile::of(&damaged);
    let resumed = partial.resume(&server, &[]);
    resumed.assert_ended(1, "mismatch");
    let stderr = &resumed.stderr;
    assert!(stderr.contains("(use --repair first)"), "{stderr}");
    assert!(partial.read() == damaged && !partial.is_modified());
    assert_eq!(
        server.clients().len(),
        connections,
        "no connection is needed"
    );
}

#[test]
fn file_without_media_is_restarted() {
    let complete_file = complete_file(&Clip::sample());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
    for file in [
        &b""[..],
        &header[..5],
        header,
        &complete_file[..49_159],
        &complete_file[..10_000],
    ] {
        let partial = PartialFile::of(file);
        partial
            .resume(&server, &["--skip", "1"])
            .assert_ended(0, "ended");
        assert!(partial.read() == complete_file, "{} bytes", file.len());
    }
}

#[test]
fn rtmpdump_file_is_resumed_with_its_own_head() {
    let rtmpdump = require!(Rtmpdump::find());
    for (cut, torn) in [(25_000, 0), (41_000, 0), (41_000, 700)] {
        let partial = PartialFile::of(b"");
        let config = Config::serving(Stream::recorded_sample());
        let server = Server::start(config.with_fault(FaultPoint::Byte(cut), FaultAction::Fin));
        rtmpdump
            .play(&server.url("clip"), &partial.file(), &[])
            .finish(LIMIT);
        let theirs = partial.read();
        let theirs = &theirs[..theirs.len() - torn];
        fs::write(partial.file(), theirs).expect("a file");
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        partial.resume(&server, &[]).assert_ended(0, "ended");
        let ours = partial.read();
        assert!(ours.len() > theirs.len());
        let kept = theirs.len() - if torn == 0 { 0 } else { 10_000 };
        assert!(ours[..kept] == theirs[..kept]);
        assert_same_tags(&Clip::parse(&ours), &Clip::sample());
    }
}

#[test]
fn nginx_streams_are_resumed() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let sources = [
        fixtures::avc_aac_flv(&ffmpeg),
        fixtures::h263_mp3_flv(&ffmpeg),
        fixtures::mp3_flv(&ffmpeg),
        fixtures::avc_aac_mp4(&ffmpeg),
    ];
    let paths: Vec<_> = sources.iter().map(PathBuf::as_path).collect();
    let server = nginx.start(&paths);
    for source in &sources {
        let name = source.file_name().and_then(|name| name.to_str());
        assert_nginx_resumes(&server, name.expect("the path is UTF-8"));
    }
}

#[track_caller]
fn assert_nginx_resumes(server: &Instance, name: &str) {
    let url = server.url("vod", name);
    let partial = PartialFile::of(b"");
    partial.run(&url, &[]).assert_ended(0, "ended");
    let complete_file = partial.read();
    let media = complete_file.len() - 49_159;
    for permille in [3, 100, 333, 500, 700, 900, 999] {
        let at = 49_159 + media * permille / 1000;
        let partial = PartialFile::of(&complete_file[..at]);
        partial.run(&url, &["-e"]).assert_ended(0, "ended");
        assert!(
            partial.read() == complete_file,
            "{name} cut at {at} of {}",
            complete_file.len()
        );
    }
    let partial = PartialFile::of(&complete_file);
    partial.run(&url, &["-e"]).assert_ended(0, "ended");
    assert!(partial.read() == complete_file && !partial.is_modified());
}

#[test]
fn unwritable_output_fails_before_connecting() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "old").expect("a file");
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    for name in ["missing/out.flv", "file/out.flv", "folder"] {
        for option in ["-V", "-e"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
            command
                .arg(server.url("clip"))
                .arg(option)
                .arg("-o")
                .arg(name);
            command.current_dir(folder.path());
            let finished = Process::start(&mut command).finish(LIMIT);
            finished.assert_ended(1, "output-failed");
        }
    }
    assert_eq!(server.clients().len(), 0);
    assert_eq!(
        fs::read(folder.path().join("file")).expect("a file"),
        b"old"
    );
}

/// Partial recording in a temporary folder.
struct PartialFile {
    folder: TempDir,
}

impl PartialFile {
    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let partial = Self { folder };
        fs::write(partial.file(), bytes).expect("a file");
        let file = fs::File::options().write(true).open(partial.file());
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        file.and_then(|file| file.set_modified(long_ago))
            .expect("the modification time can be set");
        partial
    }

    /// Creates the partial file of a connection that is reset after `bytes`.
    fn cut_at(bytes: u64) -> Self {
        let partial = Self::of(b"");
        let config = Config {
            fault: Some(Fault {
                at: FaultPoint::Byte(bytes),
                then: FaultAction::Rst,
            }),
            ..Config::serving(Stream::recorded_sample())
        };
        let server = Server::start(config);
        partial.run(&server.url("clip"), &[]).assert_ended(2, "cut");
        partial
    }

    fn resume(&self, server: &Server, options: &[&str]) -> Finished {
        self.run(&server.url("clip"), &[&["-e"], options].concat())
    }

    fn run(&self, url: &str, options: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command.arg(url).args(options).arg("-o").arg(self.file());
        Process::start(&mut command).finish(LIMIT)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("out.flv")
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.file()).expect("a file")
    }

    /// Returns whether the file was modified since its creation.
    fn is_modified(&self) -> bool {
        let modified = fs::metadata(self.file()).and_then(|file| file.modified());
        let age = modified.expect("a time").elapsed().unwrap_or_default();
        age.as_secs() < 100_000_000
    }
}

/// Returns the file of an uninterrupted download of `clip`.
fn complete_file(clip: &Clip) -> Vec<u8> {
    let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let partial = PartialFile::of(b"");
    partial
        .run(&server.url("clip"), &[])
        .assert_ended(0, "ended");
    partial.read()
}

/// Panics unless `ours` has the audio and video tags of `source` and the same frame times.
#[track_caller]
fn assert_same_tags(ours: &Clip, source: &Clip) {
    let tags = |clip: &Clip| -> Vec<(u8, Vec<u8>)> {
        clip.media()
            .map(|tag| (tag.kind, tag.body.clone()))
            .collect()
    };
    assert!(tags(ours) == tags(source));
    let times = |clip: &Clip| -> Vec<u32> {
        let frames = clip.media_with_content();
        frames.map(|tag| tag.timestamp_ms).collect()
    };
    assert_eq!(times(ours), times(source));
}
