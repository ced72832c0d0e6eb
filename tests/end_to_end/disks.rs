//! Warnings about slow and full disks.

use std::{process::Command, time::Duration};

use crate::{
    peers::{require, strace::Strace},
    process::{Finished, Process},
    program::{self, Folder, LIMIT},
    server::{Clip, Config, Pace, Server, Stream},
};

/// Runs `arguments` in a folder with a tmpfs of 64 KiB at `disk`. `None` if mounting is not permitted.
fn run_beside_small_disk(folder: &Folder, arguments: &[&str]) -> Option<Finished> {
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a file system needs the privileges of root");
        return None;
    }
    let script = r#"mkdir disk && mount -t tmpfs -o size=64k tmpfs disk || exit 9
                    exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]);
    command
        .arg(program::command().get_program())
        .args(arguments);
    command.current_dir(folder.path(""));
    Some(Process::start(&mut command).finish(LIMIT))
}

/// Returns how an error names the tmpfs.
fn small_disk(folder: &Folder) -> String {
    let disk = folder.path("disk").canonicalize();
    let disk = disk.expect("the folder of the disk exists");
    format!(
        "No space left on device on disk tmpfs at {}",
        disk.display()
    )
}

#[test]
fn full_disk_is_named() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = Folder::new();
    let arguments = [&server.url("clip"), "-o", "disk/out.flv"];
    let Some(finished) = run_beside_small_disk(&folder, &arguments) else {
        return;
    };
    finished.assert_ended(1, "disk-full");
    let named = finished.stderr.matches(&small_disk(&folder)).count();
    assert_eq!(named, 1, "{finished}");
}

#[test]
fn low_free_space_names_the_disk() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = Folder::new();
    let arguments = [
        &server.url("clip"),
        "-o",
        "disk/out.flv",
        "--min-free",
        "1MB",
    ];
    let Some(finished) = run_beside_small_disk(&folder, &arguments) else {
        return;
    };
    finished.assert_ended(1, "disk-full");
    let disk = folder.path("disk").canonicalize();
    let disk = disk.expect("the folder of the disk exists");
    let line = format!(
        " free on disk tmpfs at {}; --min-free requires ",
        disk.display()
    );
    assert!(finished.stderr.contains(&line), "{finished}");
}

/// strace delays each write to the file, so that the disk appears slow.
#[test]
fn slow_disk_is_named_once_and_then_counted() {
    let strace = require!(Strace::find());
    let clip = Clip::repeated_sample(2, 3_000);
    let stream = Stream::live(clip).paced(Pace::Speed(1.0));
    let server = Server::start(Config::serving(stream));
    let folder = Folder::new();
    let mut command = folder.command();
    command.args([&server.url("clip"), "--live", "-o", "out.flv"]);
    command.args(["--republish-wait", "0"]);
    let mut slow = strace.delaying("writev", Duration::from_millis(1_100), &command);
    let finished = Process::start(&mut slow).finish(LIMIT);
    finished.assert_ended(0, "unpublished");
    let lines = finished.stderr.lines();
    let warnings: Vec<&str> = lines
        .filter(|line| line.starts_with("WARNING: disk "))
        .collect();
    let [first, count] = warnings[..] else {
        panic!("{finished}");
    };
    assert!(first.contains(" has been slow since 20"), "{first}");
    assert!(first.contains(": a write to out.flv took 1."), "{first}");
    let (_, count) = count.split_once(" was slow ").expect("a count");
    let (number, rest) = count.split_once(" more times since 20").expect("a count");
    assert!(
        number.parse::<u32>().is_ok_and(|number| number >= 2),
        "{count}"
    );
    assert!(rest.contains("Z, for up to "), "{count}");
}
