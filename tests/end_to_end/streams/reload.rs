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
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
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
