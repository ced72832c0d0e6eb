//! Changes of the file while streams are recorded: SIGHUP and `--watch`.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
};

use super::*;

/// Waits until the program prints a line with `text` to the log file.
#[track_caller]
fn wait_for_log(streams: &Streams, process: &mut Process, text: &str) {
    let start = Instant::now();
    let log = streams.folder.path("log");
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains(text)) {
        assert!(process.is_running(), "ended before it printed {text}");
        assert!(start.elapsed() < LIMIT, "{text} was not printed");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn hang_up_starts_ends_and_changes_streams() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = || Streams::new("live = true\noutput = \"{name}.flv\"");
    let first = streams()
        .with("kept", &url)
        .with("removed", &url)
        .with("changed", &url);
    let second = streams()
        .with("kept", &url)
        .with("changed", &format!("{url}\nsegment-time = \"1h\""))
        .with("added", &url);
    let mut process = first.start(&["--log-file", "log"]);
    first.wait_for_media(&mut process, ["kept.flv", "removed.flv", "changed.flv"]);
    first.replace(&second.text);
    process.signal("HUP");
    first.wait_for_media(&mut process, ["added.flv", "changed.2.flv"]);
    wait_for_log(&first, &mut process, "INFO: removed: Starting");
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let line = "INFO: the file was read again: 1 stream started, 1 changed, 1 removed, 1 unchanged";
    assert!(finished.stderr.contains(line), "{finished}");
    for name in ["removed", "changed"] {
        let saved = format!("{name}: saved {name}.flv: ");
        assert_eq!(finished.stderr.matches(&saved).count(), 1, "{finished}");
    }
    assert!(
        finished.stderr.contains("changed: saved changed.2.flv: "),
        "{finished}"
    );
    let expected = [
        "added.flv",
        "changed.2.flv",
        "changed.flv",
        "kept.flv",
        "log",
        "removed.flv",
        FILE,
    ];
    assert_eq!(first.folder.names(), expected);
    first.assert_start_of_endless("kept.flv");
    assert_eq!(
        server.clients().len(),
        5,
        "the unchanged stream has one connection"
    );
}

#[test]
fn changed_file_is_read_again_with_watch() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = || Streams::new("live = true\noutput = \"{name}.flv\"");
    let first = streams().with("one", &url);
    let second = streams().with("one", &url).with("two", &url);
    let mut process = first.start(&["--watch", "--log-file", "log"]);
    first.wait_for_media(&mut process, ["one.flv"]);
    first.replace("[[stream]]\nname = 'one'\nxyzzy = 1\n");
    wait_for_log(
        &first,
        &mut process,
        "streams.toml:3: xyzzy is not an option; nothing changes",
    );
    first.replace(&second.text);
    first.wait_for_media(&mut process, ["two.flv"]);
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert_eq!(server.clients().len(), 2);
}

/// Everything that the server sent to the two connections of a changed stream is in its two files.
#[test]
fn changed_stream_continues_after_a_small_gap() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = |more: &str| {
        Streams::new("live = true\noutput = \"{name}-%H.flv\"")
            .with("cam", &format!("{url}\n{more}"))
    };
    let first = streams("");
    let mut process = first.start(&["--log-file", "log"]);
    wait_for_log(&first, &mut process, "INFO: cam: Starting Live Stream");
    thread::sleep(Duration::from_millis(500));
    first.replace(&streams("sync = 5").text);
    let start = Instant::now();
    process.signal("HUP");
    let is_second = |log: String| log.matches("INFO: cam: Starting Live Stream").count() == 2;
    while !fs::read_to_string(first.folder.path("log")).is_ok_and(is_second) {
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "no second recording"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let names = first.folder.names();
    let files: Vec<_> = names.iter().filter(|name| name.ends_with(".flv")).collect();
    assert_eq!(files.len(), 2, "{names:?}");
}

/// Starts a stream that needs 0.4 s to end, because it waits for a program.
fn slow_end(streams: &Streams) -> Process {
    let mut process = streams.start(&["--log-file", "log"]);
    let start = Instant::now();
    while streams
        .folder
        .names()
        .iter()
        .filter(|name| name.ends_with(".flv"))
        .count()
        < 2
    {
        assert!(
            process.is_running() && start.elapsed() < LIMIT,
            "no segment"
        );
        thread::sleep(Duration::from_millis(10));
    }
    process
}

const SLOW_END: &str = "segment-time = \"1s\"\non-segment = \"sleep 3\"";

#[test]
fn changed_stream_that_is_stopped_before_its_restart_counts() {
    let server = endless_server();
    let url = format!("url = \"{}\"\n{SLOW_END}", server.url("clip"));
    let streams = |more: &str| {
        Streams::new("live = true\noutput = \"{name}-%05d.flv\"")
            .with("cam", &format!("{url}\n{more}"))
    };
    let first = streams("");
    let mut process = slow_end(&first);
    first.replace(&streams("sync = 5").text);
    process.signal("HUP");
    wait_for_log(&first, &mut process, "0 streams started, 1 changed");
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let line = "INFO: 1 stream ended without failure";
    assert!(finished.stderr.contains(line), "{finished}");
}

#[test]
fn removed_stream_that_returns_before_its_end_is_recorded_again() {
    let server = endless_server();
    let url = format!("url = \"{}\"\n{SLOW_END}", server.url("clip"));
    let streams = || Streams::new("live = true\noutput = \"{name}-%05d.flv\"");
    let first = streams().with("cam", &url).with("other", &url);
    let mut process = slow_end(&first);
    first.replace(&streams().with("other", &url).text);
    process.signal("HUP");
    wait_for_log(&first, &mut process, "0 changed, 1 removed");
    first.replace(&first.text);
    process.signal("HUP");
    // The stream may have ended meanwhile.
    let start = Instant::now();
    let is_recorded = |log: String| log.matches("INFO: cam: Starting Live Stream").count() == 2;
    while !fs::read_to_string(first.folder.path("log")).is_ok_and(is_recorded) {
        assert!(start.elapsed() < LIMIT, "no second recording");
        thread::sleep(Duration::from_millis(10));
    }
    process.signal("INT");
    process
        .finish(LIMIT)
        .assert_streams_ended(0, "2 streams ended without failure");
}

#[test]
fn new_file_of_a_stream_that_is_about_to_restart_is_taken() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = |output: &str| {
        let options = format!("{url}\noutput = \"{output}\"\n{SLOW_END}");
        Streams::new("live = true").with("cam", &options)
    };
    let first = streams("a-%05d.flv");
    let second = streams("b-%05d.flv");
    let mut process = slow_end(&first);
    first.replace(&second.text);
    process.signal("HUP");
    wait_for_log(&first, &mut process, "0 streams started, 1 changed");
    let other = format!("{url}\noutput = \"b-%05d.flv\"\n{SLOW_END}");
    first.replace(&second.with("other", &other).text);
    process.signal("HUP");
    wait_for_log(&first, &mut process, "writes the same file");
    process.signal("INT");
    assert_eq!(process.finish(LIMIT).code(), Some(0));
}

#[test]
fn failure_of_a_stream_is_forgotten_if_it_restarts_and_is_removed() {
    let server = endless_server();
    let url = |name: &str| {
        format!(
            "url = \"{}\"\nrepublish-wait = 0\nretry = 0",
            server.url(name)
        )
    };
    let streams = |name: &str| {
        Streams::new("live = true\noutput = \"{name}.flv\"")
            .with("good", &url("clip"))
            .with("cam", &url(name))
    };
    let first = streams("missing");
    let mut process = first.start(&["--log-file", "log"]);
    wait_for_log(&first, &mut process, "ERROR: cam: not-found");
    first.replace(&streams("clip").text);
    process.signal("HUP");
    first.wait_for_media(&mut process, ["cam.flv", "good.flv"]);
    first.replace(
        &Streams::new("live = true\noutput = \"{name}.flv\"")
            .with("good", &url("clip"))
            .text,
    );
    process.signal("HUP");
    wait_for_log(&first, &mut process, "cam: saved cam.flv");
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
}

/// The process may open no more files, so that it cannot start the thread of a new disk.
#[test]
#[cfg(target_os = "linux")]
fn thread_that_cannot_be_started_fails_its_stream_only() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let other_disk = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let streams = || Streams::new("live = true\noutput = \"{name}.flv\"").with("good", &url);
    let first = streams();
    let output = other_disk.path().join("new.flv");
    let second = streams().with("new", &format!("{url}\noutput = \"{}\"", output.display()));
    let mut process = first.start(&["--log-file", "log"]);
    first.wait_for_media(&mut process, ["good.flv"]);
    // One more file: that of the streams.
    process.limit_open_files(1);
    first.replace(&second.text);
    process.signal("HUP");
    let line = "ERROR: new: output-failed: cannot start the thread of the disk: ";
    wait_for_log(&first, &mut process, line);
    process.signal("INT");
    let finished = process.finish(LIMIT);
    finished.assert_streams_ended(1, "1 of 2 streams failed: new (output-failed)");
    first.assert_start_of_endless("good.flv");
}

#[test]
fn named_pipe_without_a_writer_does_not_delay_the_end() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"").with("cam", &url);
    let mut process = streams.start(&[]);
    streams.wait_for_media(&mut process, ["cam.flv"]);
    make_fifo(&streams);
    process.signal("HUP");
    thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert!(finished.took < Duration::from_secs(2), "{finished}");
    finished.assert_streams_ended(0, "1 stream ended without failure");
}

/// Replaces the file by a FIFO.
fn make_fifo(streams: &Streams) {
    let fifo = streams.folder.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    fs::rename(fifo, streams.folder.path(FILE)).expect("the file can be replaced");
}

/// The file changes while the program waits for its first text.
#[test]
fn change_during_the_start_is_noticed_with_watch() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = || Streams::new("live = true\noutput = \"{name}.flv\"").with("one", &url);
    let first = streams();
    make_fifo(&first);
    let mut command = first.folder.command();
    let mut process = Process::start(command.args(["--streams", FILE, "--watch"]));
    let mut writer = open_fifo(&first.folder.path(FILE), &mut process);
    first.replace(&streams().with("two", &url).text);
    let written = writer.write_all(first.text.as_bytes());
    written.expect("the program reads the file");
    drop(writer);
    first.wait_for_media(&mut process, ["one.flv", "two.flv"]);
    process.signal("INT");
    assert_eq!(process.finish(LIMIT).code(), Some(0));
}

/// Opens a FIFO once the program reads from it.
#[track_caller]
fn open_fifo(fifo: &Path, process: &mut Process) -> File {
    let start = Instant::now();
    loop {
        // Without a reader, this fails at once.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        if let Ok(file) = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(fifo)
        {
            return file;
        }
        assert!(process.is_running(), "ended before it read the file");
        assert!(start.elapsed() < LIMIT, "the file is not read");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The signal arrives while the program waits for the text of the file, and makes it read the file again.
#[test]
fn hang_up_before_the_file_is_read_is_handled_afterwards() {
    let server = endless_server();
    let url = format!("url = \"{}\"", server.url("clip"));
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"").with("cam", &url);
    let fifo = streams.folder.path(FILE);
    make_fifo(&streams);
    let mut command = streams.folder.command();
    let mut process = Process::start(command.args(["--streams", FILE, "--log-file", "log"]));
    for is_first in [true, false] {
        let mut writer = open_fifo(&fifo, &mut process);
        if is_first {
            process.signal("HUP");
            thread::sleep(Duration::from_millis(100));
            assert!(process.is_running(), "the signal ended the program");
        }
        let written = writer.write_all(streams.text.as_bytes());
        written.expect("the program reads the file");
        drop(writer);
        wait_for_log(&streams, &mut process, "INFO: recording 1 stream of ");
    }
    let line =
        "INFO: the file was read again: 0 streams started, 0 changed, 0 removed, 1 unchanged";
    wait_for_log(&streams, &mut process, line);
    streams.wait_for_media(&mut process, ["cam.flv"]);
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert_eq!(server.clients().len(), 1);
}
