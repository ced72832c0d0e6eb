//! A stream that fails, hangs or attacks does not affect the others.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::server::ScriptedPeer;

#[test]
fn twenty_streams_record_every_frame() {
    let server = live_server(1.5);
    let streams =
        Streams::new("live = true\noutput = \"{name}.flv\"").with_cameras(20, &server.url("clip"));
    let finished = streams.run(&[]);
    finished.assert_streams_ended(0, "20 streams ended without failure");
    for name in cameras(20) {
        let clip = streams.clip(&format!("{name}.flv"));
        assert!(clip.media().eq(Clip::sample().media()), "{name}");
        let line = format!("{name}: saved {name}.flv: ");
        assert!(finished.stderr.contains(&line), "{finished}");
    }
    assert_eq!(server.clients().len(), 20);
}

/// A server that sends garbage, one that never answers, a missing stream, a FIFO that is never read, and a disk
/// that is full, beside 15 good streams.
#[test]
#[cfg(target_os = "linux")]
fn failing_streams_do_not_affect_the_others() {
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        return println!("skipped: mounting a file system needs the privileges of root");
    }
    let server = live_server(1.0);
    let garbage = ScriptedPeer::start(|peer, _| {
        peer.accept_plain_handshake();
        let _ = peer
            .send(&[0xFF; 100_000])
            .and_then(|()| peer.wait_for_close::<()>());
    });
    let silent = ScriptedPeer::start(|peer, _| {
        let _ = peer.wait_for_close::<()>();
    });
    let streams =
        Streams::new("live = true\nretry = 0\nrepublish-wait = 0\noutput = \"{name}.flv\"")
            .with("garbage", &format!("url = \"{}\"", garbage.url("clip")))
            .with(
                "silent",
                &format!("url = \"{}\"\ntimeout = 2", silent.url("clip")),
            )
            .with("missing", &format!("url = \"{}\"", server.url("other")))
            .with(
                "fifo",
                &format!("url = \"{}\"\noutput = \"fifo\"", server.url("clip")),
            )
            .with(
                "full",
                &format!(
                    "url = \"{}\"\noutput = \"disk/full.flv\"",
                    server.url("clip")
                ),
            )
            .with_cameras(15, &server.url("clip"));
    streams.write();
    let script = r#"mkfifo fifo && mkdir disk && mount -t tmpfs -o size=64k tmpfs disk || exit 9
                    exec "$0" --streams streams.toml"#;
    let program = streams.folder.command().get_program().to_owned();
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script]).arg(program);
    shell.current_dir(streams.folder.path(""));
    let process = Process::start(&mut shell);
    thread::sleep(Duration::from_secs(6));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert!(
        finished.took < Duration::from_secs(3),
        "{:?}",
        finished.took
    );
    for name in cameras(15) {
        let clip = streams.clip(&format!("{name}.flv"));
        assert!(
            clip.media().eq(Clip::sample().media()),
            "{name}: {finished}"
        );
    }
    for line in [
        "ERROR: garbage: cut: ",
        "ERROR: silent: no-connection: the server does not answer the handshake",
        "ERROR: missing: not-found: ",
        "ERROR: full: disk-full: ",
    ] {
        assert!(finished.stderr.contains(line), "no {line:?} in {finished}");
    }
    assert_ne!(finished.code(), Some(0));
}

/// Shells permit fewer open files than the system.
#[test]
#[cfg(target_os = "linux")]
fn limit_of_open_files_is_raised() {
    let server = live_server(6.0);
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"\nrepublish-wait = 0")
        .with_cameras(20, &server.url("clip"));
    streams.write();
    let program = streams.folder.command().get_program().to_owned();
    for (limit, is_enough) in [("-S -n 40", true), ("-n 150", false)] {
        let script = format!("ulimit {limit}; exec \"$0\" --streams {FILE}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(&program);
        let process = Process::start(shell.current_dir(streams.folder.path("")));
        let finished = process.finish(LIMIT);
        finished.assert_streams_ended(0, "20 streams ended without failure");
        let line = "WARNING: 20 streams may need 160 open files, but the limit is 150: ";
        assert_eq!(finished.stderr.contains(line), !is_enough, "{finished}");
        for name in cameras(20) {
            fs::remove_file(streams.folder.path(&format!("{name}.flv"))).expect("a recording");
        }
    }
}

/// A terminal, a pager or a log collector that hangs does not read standard error.
#[test]
fn unread_standard_error_delays_neither_the_streams_nor_the_end() {
    let server = endless_server();
    let streams =
        Streams::new("live = true\noutput = \"{name}.flv\"").with_cameras(20, &server.url("clip"));
    streams.write();
    let mut command = streams.folder.command();
    command
        .args(["--streams", FILE, "--debug"])
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    thread::sleep(Duration::from_secs(4));
    let sizes =
        || cameras(20).map(|name| fs::metadata(streams.folder.path(&format!("{name}.flv"))));
    let sizes = || sizes().map(|found| found.map_or(0, |found| found.len()));
    let before: Vec<_> = sizes().collect();
    thread::sleep(Duration::from_secs(2));
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &id]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(2) {
            child.kill().expect("killed");
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
    for (name, (before, after)) in cameras(20).zip(before.into_iter().zip(sizes())) {
        assert!(
            before > 0 && after > before,
            "{name}: {before}, then {after} bytes"
        );
        streams.assert_start_of_endless(&format!("{name}.flv"));
    }
}

/// A restarted server is tried by one stream at a time, not by all of them.
#[test]
fn dead_server_gets_few_connections() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let peer = ScriptedPeer::start(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let streams =
        Streams::new("live = true\noutput = \"{name}.flv\"").with_cameras(20, &peer.url("clip"));
    let finished = streams.run(&["--stagger", "20ms"]);
    assert_eq!(finished.code(), Some(3), "{finished}");
    assert!(
        finished.stderr.contains("20 of 20 streams failed"),
        "{finished}"
    );
    assert!(
        finished.took < Duration::from_secs(20),
        "{:?}",
        finished.took
    );
    let connections = connections.load(Ordering::Relaxed);
    // The first connection of each stream, and few after that: without the back-off, each stream makes two.
    assert!(connections < 30, "{connections} connections");
}

#[test]
fn connections_are_limited() {
    let server = live_server(6.0);
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"\nrepublish-wait = 0")
        .with_cameras(6, &server.url("clip"));
    let mut process = streams.start(&["--max-connections", "2", "--stagger", "0"]);
    streams.wait_for_media(&mut process, ["cam-01.flv", "cam-02.flv"]);
    assert_eq!(server.clients().len(), 2);
    let finished = process.finish(LIMIT);
    finished.assert_streams_ended(0, "6 streams ended without failure");
    for name in cameras(6) {
        let clip = streams.clip(&format!("{name}.flv"));
        assert!(clip.media().eq(Clip::sample().media()), "{name}");
    }
}

#[test]
fn interrupted_streams_are_finished_within_two_seconds() {
    let server = endless_server();
    for signal in ["INT", "TERM"] {
        let streams = Streams::new("live = true\noutput = \"{name}.flv\"")
            .with_cameras(20, &server.url("clip"));
        let mut process = streams.start(&[]);
        let names: Vec<_> = cameras(20).map(|name| format!("{name}.flv")).collect();
        streams.wait_for_media(&mut process, names.iter().map(String::as_str));
        process.signal(signal);
        let finished = process.finish(LIMIT);
        assert!(
            finished.took < Duration::from_secs(2),
            "{:?}",
            finished.took
        );
        finished.assert_streams_ended(0, "20 streams ended without failure");
        for name in &names {
            streams.assert_start_of_endless(name);
        }
    }
}

#[test]
fn exit_code_is_that_of_the_worst_stream() {
    let server = live_server(6.0);
    let good = format!("url = \"{}\"", server.url("clip"));
    let missing = format!("url = \"{}\"", server.url("other"));
    for (bad, code, word) in [
        (missing.as_str(), 1, "not-found"),
        ("url = \"rtmp://127.0.0.1:1/app/x\"", 3, "no-connection"),
    ] {
        let streams = Streams::new("live = true\nretry = 0\noutput = \"{name}.flv\"")
            .with("good", &good)
            .with("bad", bad);
        let finished = streams.run(&[]);
        finished.assert_streams_ended(code, &format!("1 of 2 streams failed: bad ({word})"));
        assert!(streams.clip("good.flv").media().eq(Clip::sample().media()));
    }
}

#[test]
fn hints_follow_the_line_of_their_stream() {
    let server = live_server(6.0);
    let streams = Streams::new("live = true\nretry = 0\noutput = \"{name}.flv\"")
        .with("good", &format!("url = \"{}\"", server.url("clip")))
        .with("bad", "url = \"rtmp://127.0.0.1:1/app/x\"");
    let finished = streams.run(&[]);
    let mut lines = finished.stderr.lines();
    let is_failure = |line: &str| line.starts_with("ERROR: bad: no-connection: ");
    assert!(lines.any(is_failure), "{finished}");
    let hint = lines.next().unwrap_or_default();
    assert!(
        hint.starts_with("hint: bad: check the port: "),
        "{finished}"
    );
    assert_eq!(finished.stderr.matches("hint: ").count(), 1, "{finished}");
}

#[test]
fn process_keeps_running_on_request() {
    let server = live_server(6.0);
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"\nrepublish-wait = 0")
        .with_cameras(2, &server.url("clip"));
    let mut process = streams.start(&["--keep-running"]);
    streams.wait_for_media(&mut process, ["cam-01.flv", "cam-02.flv"]);
    thread::sleep(Duration::from_millis(1_500));
    assert!(process.is_running());
    process.signal("TERM");
    let finished = process.finish(LIMIT);
    finished.assert_streams_ended(0, "2 streams ended without failure");
}
