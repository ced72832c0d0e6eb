//! The files in `.github` for Prometheus, Kubernetes and systemd.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use crate::peers::systemd_analyze;
use crate::{
    peers::{kubernetes_validate, promtool::Promtool, rclone, require},
    process::Process,
    program::{self, Folder},
    server::{Clip, Config, Server, Stream},
};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.github/deployment"))
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program runs");
    let text = [stdout, stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(status.success(), "{command:?}: {text}");
    text
}

#[test]
fn alerts_and_scrape_configuration_are_valid() {
    let promtool = require!(Promtool::find());
    promtool.check(folder(), &["check", "rules", "rtmpull-alerts.yml"]);
    promtool.check(folder(), &["check", "config", "prometheus.yml"]);
}

#[test]
fn alerts_fire_for_failed_silent_and_incomplete_streams() {
    let promtool = require!(Promtool::find());
    let tests = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/end_to_end/metrics/alerts_test.yml"
    ));
    let tests = tests.to_str().expect("UTF-8");
    promtool.check(folder(), &["test", "rules", tests]);
}

/// Every metric that an alert uses must exist, or the alert never fires.
#[test]
fn alerts_use_existing_metrics() {
    let alerts = fs::read_to_string(folder().join("rtmpull-alerts.yml")).expect("a file");
    let source = include_str!("../../../src/cli/metrics/exposition.rs");
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = alerts.split(|character| !is_name(character));
    let names: Vec<_> = words.filter(|word| word.starts_with("rtmpull_")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(source.contains(&format!("\"{family}\"")), "{name}");
    }
}

#[test]
fn kubernetes_objects_match_the_schema() {
    let validate = require!(kubernetes_validate());
    let file = folder().join("kubernetes.yaml");
    run(Command::new(validate)
        .args(["--strict", "--quiet"])
        .arg(file));
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_units() {
    let analyze = require!(systemd_analyze());
    let units = tempfile::tempdir().expect("a temporary folder");
    for name in ["rtmpull-streams@.service", "rtmpull@.service"] {
        let source = folder().with_file_name(name);
        let unit = fs::read_to_string(source).expect("a unit");
        // The program is not installed where the tests run.
        let unit = unit.replace("/usr/bin/rtmpull", env!("CARGO_BIN_EXE_rtmpull"));
        let instance = name.replace('@', "@test");
        let file = units.path().join(instance);
        fs::write(&file, unit).expect("written");
        let text = run(Command::new(&analyze)
            .args(["verify", "--man=no"])
            .arg(&file));
        assert!(!text.contains("rtmpull"), "{text}");
    }
}

/// The command of kubernetes.yaml, with a WebDAV server instead of object storage.
#[test]
fn rclone_uploads_complete_segments() {
    let rclone = require!(rclone());
    let storage = tempfile::tempdir().expect("a temporary folder");
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("bound").to_string();
    drop(port);
    let mut command = Command::new(rclone);
    command
        .args(["serve", "webdav", "--addr", &address])
        .arg(storage.path());
    let _storage_server = Process::start(&mut command);
    let start = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(start.elapsed() < program::LIMIT, "no storage server");
        thread::sleep(Duration::from_millis(20));
    }
    let server = Server::start(Config::serving(Stream::recorded(Clip::repeated_sample(
        3, 3_040,
    ))));
    let folder = Folder::new();
    let mut command = folder.command();
    command
        .env("RCLONE_CONFIG_ARCHIVE_TYPE", "webdav")
        .env("RCLONE_CONFIG_ARCHIVE_URL", format!("http://{address}"))
        .env("RCLONE_CONFIG_ARCHIVE_VENDOR", "other")
        .env("RCLONE_CONFIG", folder.path("rclone.conf"));
    command.args([
        &server.url("clip")[..],
        "-o",
        "lobby-%n.flv",
        "--segment-time",
        "3",
    ]);
    command.args([
        "--on-segment",
        "rclone move {path} archive:recordings/lobby",
    ]);
    let run = Process::start(&mut command).finish(program::LIMIT);
    run.assert_ended(0, "ended");
    let uploaded = storage.path().join("recordings/lobby");
    let names = || {
        let entries = fs::read_dir(&uploaded).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert!(names().len() >= 3, "{:?}: {run}", names());
    assert!(names()[0].starts_with("lobby-"), "{:?}", names());
    assert!(
        folder.names().iter().all(|name| !name.ends_with(".flv")),
        "{:?}",
        folder.names()
    );
}
