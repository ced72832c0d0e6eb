//! The file: errors, `--check`, and standard input.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;

#[test]
fn check_counts_the_streams_and_changes_nothing() {
    let streams = Streams::new("live = true\noutput = \"{name}.flv\"\nmanifest = \"{name}.json\"")
        .with_cameras(20, "rtmp://127.0.0.1:1/app/{name}");
    let finished = streams.run(&["--check"]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(stdout, "streams.toml: 20 streams, no errors\n");
    assert_eq!(finished.stderr, "");
    assert_eq!(streams.folder.names(), [FILE]);
}

#[test]
fn all_errors_are_reported_with_their_lines() {
    let streams = Streams::new("output = \"{name}.flv\"\nverbose = true")
        .with("a", "url = \"rtmp://host/app/a\"\nsegment-clok = 60")
        .with("b", "url = \"rtmp://host/app/b\"\nsegment-clock = \"soon\"")
        .with("a", "url = \"rtmp://host/app/c\"");
    for options in [&["--check"][..], &[]] {
        let finished = streams.run(options);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let expected = [
            "ERROR: usage: streams.toml:3: verbose concerns the process: use --verbose on the command line",
            "ERROR: usage: streams.toml:8: segment-clok is not an option; did you mean segment-clock?",
            "ERROR: usage: streams.toml:13: segment-clock: invalid value 'soon' for \
             '--segment-clock <DURATION>': not a number of seconds or a duration such as 1h30m",
            "ERROR: usage: streams.toml:16: name: line 6 has the same name \"a\"",
        ];
        let lines: Vec<_> = finished.stderr.lines().collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn unusable_options_are_reported_together_with_invalid_values() {
    let streams = Streams::new("")
        .with("a", "url = \"rtmp://host/app/a\"")
        .with("b", "url = \"rtmp://host/app/b\"\nport = 70000")
        .with("c", "output = \"c.flv\"");
    let finished = streams.run(&["--check"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let expected = [
        "stream a: the stream has no output: add output = \"{name}.flv\"",
        "port: invalid value '70000' for '--port <PORT>': not a whole number from 0 to 65535",
        "stream c: the stream has no url: add url = \"rtmp://host/app/stream\"",
    ];
    assert_eq!(lines.len(), expected.len(), "{finished}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.ends_with(expected), "{finished}");
    }
}

/// Errors that only the resolved options show.
#[test]
fn unusable_options_are_reported_with_their_lines() {
    let cases = [
        (
            "url = \"rtmp://h/a/x\"",
            "6: stream a: the stream has no output: add output = \"{name}.flv\"",
        ),
        (
            "url = \"rtmp://h/a/x\"\noutput = \"-\"",
            "8: stream a: --output: standard output cannot be the output of one of several streams",
        ),
        (
            "output = \"a.flv\"",
            "4: stream a: the stream has no url: add url = \"rtmp://host/app/stream\"",
        ),
        (
            "url = \"rtmp://h/a/x\"\noutput = \"a.flv\"\nsegment-clock = \"25h\"",
            "7: stream a: --segment-clock needs whole seconds, at most 24h",
        ),
        (
            "url = \"rtmp://h/a/x\"\noutput = \"streams.toml\"",
            "4: stream a: --streams writes the same file ",
        ),
    ];
    for (options, expected) in cases {
        let streams = Streams::new("").with("a", options);
        let finished = streams.run(&["--check"]);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let (_, reason) = expected.split_once(": ").expect("a line");
        assert!(finished.stderr.contains(reason), "{finished}");
        assert!(
            finished.stderr.starts_with("ERROR: usage: streams.toml:"),
            "{finished}"
        );
    }
}

#[test]
fn two_streams_never_write_the_same_file() {
    for key in ["output", "manifest"] {
        let other = if key == "output" {
            "manifest"
        } else {
            "output"
        };
        let options = |folder: &str, name: &str| {
            format!("url = \"rtmp://h/a/x\"\n{key} = \"{folder}same.flv\"\n{other} = \"{name}.x\"")
        };
        let streams = Streams::new("")
            .with("a", &options("", "a"))
            .with("b", &options("./", "b"));
        let finished = streams.run(&["--check"]);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let why = "stream b: stream a (line 4) writes the same file ";
        assert!(finished.stderr.contains(why), "{finished}");
    }
}

#[test]
fn the_file_is_read_from_standard_input() {
    let server = live_server(6.0);
    let folder = Folder::new();
    let mut command: Command = folder.command();
    command.args(["--streams", "-", "--progress", "none"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("rtmpull starts");
    let url = server.url("clip");
    let text =
        format!("[[stream]]\nname = 'a'\nurl = '{url}'\nlive = true\noutput = '{{name}}.flv'\n");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(text.as_bytes())
        .expect("the file can be sent");
    drop(stdin);
    let output = child.wait_with_output().expect("rtmpull ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        Clip::read(&folder.path("a.flv"))
            .media()
            .eq(Clip::sample().media())
    );
}

#[test]
fn options_of_streams_are_refused_on_the_command_line() {
    let streams = Streams::new("").with("a", "url = \"rtmp://h/a/x\"\noutput = \"a.flv\"");
    for (options, expected) in [
        (
            &["--live"][..],
            "--streams reads the options of streams from its file: it cannot be used with --live",
        ),
        (
            &["--streams", "-", "--watch"],
            "--watch needs a file, but --streams reads standard input",
        ),
        (&["--shard", "3/3"], "not a shard such as 0/3"),
    ] {
        let finished = streams.run(options);
        assert_eq!(finished.code(), Some(1), "{finished}");
        assert!(finished.stderr.contains(expected), "{finished}");
    }
    let alone = streams.folder.run(&["--keep-running", "rtmp://h/a/x"]);
    assert_eq!(alone.code(), Some(1), "{alone}");
    assert!(alone.stderr.contains("--streams <FILE>"), "{alone}");
}

#[test]
fn named_pipes_that_could_stop_other_streams_are_errors() {
    for option in ["manifest", "capture"] {
        let url = "url = \"rtmp://127.0.0.1:1/app/clip\"";
        let streams = Streams::new("live = true\noutput = \"{name}.flv\"")
            .with("cam", &format!("{url}\n{option} = \"fifo\""));
        let fifo = streams.folder.path("fifo");
        let made = Command::new("mkfifo").arg(fifo).status();
        assert!(made.is_ok_and(|status| status.success()));
        let finished = streams.run(&[]);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let line = format!(
            "ERROR: usage: {FILE}:8: stream cam: --{option}: fifo is a named pipe, whose reader could stop other streams\n"
        );
        assert_eq!(finished.stderr, line);
    }
}
