//! The Windows program, run by Wine.
//!
//! `RTMPULL_WINDOWS_PROGRAM` names the program, for example after `cargo build --target
//! x86_64-pc-windows-gnu`.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::{
    downloads::{assert_same_media, assert_starts_like},
    peers::{foreign_program, require, wine::Wine},
    process::{Finished, Process},
    program::LIMIT,
    server::{
        Authority, Clip, Config, FaultAction, FaultPoint, Pace, Server, Stream, TlsClose, TlsFront,
        Validity,
    },
};

#[test]
fn recorded_stream_is_complete() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    windows
        .run(&[&url, "-o", "out.flv"])
        .assert_ended(0, "ended");
    assert_same_media(&windows.clip("out.flv"), &Clip::sample());

    // Standard output must not replace line feeds.
    let piped = windows.run(&[&url, "-o", "-"]);
    piped.assert_ended(0, "ended");
    assert_same_media(&Clip::parse(&piped.stdout), &Clip::sample());
}

#[test]
fn ctrl_c_finishes_a_live_recording() {
    let windows = require!(Windows::find());
    let stream = Stream::live_sample().paced(Pace::Speed(1.0));
    let server = Server::start(Config::serving(stream));
    let mut command = windows.command();
    command.args([&server.url("clip"), "-v", "-o", "out.flv"]);
    let mut process = Process::start(&mut command);
    let file = windows.path("out.flv");
    // The head alone has 49,159 bytes.
    while fs::metadata(&file).map_or(0, |file| file.len()) < 53_000 {
        assert!(process.is_running(), "{}", process.kill());
        thread::sleep(Duration::from_millis(10));
    }
    // Wine raises a Ctrl-C event for SIGINT.
    process.signal("INT");
    let finished = process.finish(LIMIT);
    finished.assert_ended(0, "interrupted");
    assert!(finished.took < Duration::from_secs(2), "{finished}");
    assert_starts_like(&windows.clip("out.flv"), &Clip::sample(), 5);
}

#[test]
fn segments_run_their_hook() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    let hook = "cmd /c echo {segment} {path} %RTMPULL_OFFSET_MS%>>lines";
    let options = ["--segment-time", "1", "--on-segment", hook];
    let output = ["--manifest", "list", "-o", "cam %03d %T.flv"];
    let finished = windows.run(&[&[&*url], &options[..], &output].concat());
    finished.assert_ended(0, "ended");
    let list = windows.read("list");
    let manifest: Vec<Json> = list.lines().map(parse_json).collect();
    assert_eq!(manifest.len(), 3, "{list}");
    let mut lines: Vec<_> = manifest
        .iter()
        .map(|entry| {
            let path = entry["path"].as_str().expect("a path");
            // NTFS takes a colon for the start of a stream name.
            assert!(!path.contains(':'), "{path}");
            let offset_ms = &entry["offset_ms"];
            format!("{} \"{path}\" {offset_ms}", entry["segment"])
        })
        .collect();
    let mut printed: Vec<_> = windows.read("lines").lines().map(str::to_owned).collect();
    // Hooks run in parallel.
    lines.sort();
    printed.sort();
    assert_eq!(printed, lines, "{finished}");
}

#[test]
fn cut_recordings_are_repaired_and_resumed() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    windows
        .run(&[&url, "-o", "out.flv"])
        .assert_ended(0, "ended");
    let complete = fs::read(windows.path("out.flv")).expect("the file exists");
    let cut = &complete[..complete.len() - 20_000];
    for name in ["cut.flv", "part.flv"] {
        fs::write(windows.path(name), cut).expect("the file can be written");
    }
    let repaired = windows.run(&["--repair", "cut.flv"]).succeeded();
    assert!(repaired.stderr.contains("repaired"), "{repaired}");
    assert_starts_like(&windows.clip("cut.flv"), &Clip::sample(), 80);
    // A file that another program wrote is replaced by the repaired copy.
    let foreign = include_bytes!("../server/clip.flv");
    fs::write(windows.path("foreign.flv"), &foreign[..foreign.len() - 99]).expect("written");
    windows.run(&["--repair", "foreign.flv"]).succeeded();
    assert_starts_like(&windows.clip("foreign.flv"), &Clip::sample(), 80);

    let resumed = windows.run(&[&url, "--resume", "-o", "part.flv"]);
    resumed.assert_ended(0, "ended");
    assert!(fs::read(windows.path("part.flv")).expect("the file exists") == complete);
}

#[test]
fn lost_live_stream_is_rejoined() {
    let windows = require!(Windows::find());
    let stream = Stream::live_sample().paced(Pace::Speed(2.0));
    let config = Config {
        faulty_connections: 1,
        ..Config::serving(stream)
    };
    let server = Server::start(config.with_fault(FaultPoint::Boundary(40_000), FaultAction::Rst));
    let finished = windows.run(&[&server.url("clip"), "-v", "-o", "out.flv"]);
    finished.assert_ended(0, "unpublished");
    assert_eq!(server.clients().len(), 2);
}

#[test]
fn events_are_written_to_standard_output() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    let finished = windows.run(&[&url, "--progress-fd", "1", "-o", "out.flv"]);
    finished.assert_ended(0, "ended");
    let stdout = String::from_utf8(finished.stdout).expect("UTF-8");
    let events: Vec<Json> = stdout.lines().map(parse_json).collect();
    let last = events.last().expect("an event");
    assert_eq!(
        (&last["event"], &last["ending"]),
        (&"summary".into(), &"ended".into())
    );

    let finished = windows.run(&[&url, "--progress-fd", "3", "-o", "out.flv"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert!(finished.stderr.contains("only descriptor 1"), "{finished}");
}

#[test]
fn long_and_unicode_names_are_written() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    // More than the 260 characters to which Windows limits most paths.
    let deep = ["folder with a long name".repeat(8), "second".repeat(30)];
    let deep: PathBuf = deep.iter().collect();
    fs::create_dir_all(windows.path(&deep.to_string_lossy())).expect("a folder");
    let relative = deep.join("out.flv").display().to_string();
    let absolute = format!(
        "Z:{}",
        windows
            .path(&deep.join("absolute.flv").to_string_lossy())
            .display()
    );
    let absolute = absolute.replace('/', "\\");
    for name in ["Über 日本語 🎬.flv", &relative, &absolute, "%Y é %d.flv"] {
        let before = windows.files();
        let finished = windows.run(&[&url, "-o", name]);
        finished.assert_ended(0, "ended");
        let new = windows
            .files()
            .into_iter()
            .find(|file| !before.contains(file));
        let new = new.unwrap_or_else(|| panic!("no file for {name}: {finished}"));
        assert_same_media(&Clip::read(&new), &Clip::sample());
    }
    assert!(windows.path("Über 日本語 🎬.flv").is_file());
}

#[test]
fn certificates_are_verified() {
    let windows = require!(Windows::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let file = authority.file().display().to_string();
    for options in [
        &["--ca-file", &*file][..],
        &["--tls-pin", &identity.sha256()],
        &["--insecure"],
    ] {
        let arguments = [&[&*url, "-o", "out.flv", "--overwrite"], options].concat();
        windows.run(&arguments).assert_ended(0, "ended");
        assert_same_media(&windows.clip("out.flv"), &Clip::sample());
    }
    let expired = authority.identity(Validity::Expired);
    let expired = TlsFront::start(server.port(), &expired, TlsClose::CloseNotify);
    let expired_url = format!("rtmps://localhost:{}/app/clip", expired.port());
    for (url, options, cause) in [
        // Windows reports an unknown issuer, Wine that it cannot look for a revocation.
        (
            &url,
            &[][..],
            "the certificate of localhost has an unknown revocation status",
        ),
        (
            &expired_url,
            &["--ca-file", &*file],
            "the certificate of localhost expired",
        ),
    ] {
        let arguments = [&[&**url, "-o", "none.flv"], options].concat();
        let finished = windows.run(&arguments);
        finished.assert_ended(3, "no-connection");
        assert!(finished.stderr.contains(cause), "{finished}");
        assert!(!windows.path("none.flv").exists());
    }
}

/// The Windows program, run in an empty folder.
struct Windows {
    wine: Wine,
    program: PathBuf,
    folder: TempDir,
}

impl Windows {
    /// Finds Wine and the program.
    fn find() -> Option<Self> {
        Some(Self {
            program: foreign_program("RTMPULL_WINDOWS_PROGRAM")?,
            wine: Wine::find()?,
            folder: tempfile::tempdir().expect("a temporary folder"),
        })
    }

    fn command(&self) -> Command {
        let mut command = self.wine.command(&self.program);
        command.current_dir(&self.folder);
        for variable in ["all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
            command.env_remove(variable);
        }
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Finished {
        Process::start(self.command().args(arguments)).finish(LIMIT)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn clip(&self, name: &str) -> Clip {
        Clip::read(&self.path(name))
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns all files in the folder and below.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    &mut folders
                } else {
                    &mut files
                }
                .push(path);
            }
        }
        files
    }
}

#[track_caller]
fn parse_json(line: &str) -> Json {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
