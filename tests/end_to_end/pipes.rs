//! A pipe whose reader pauses.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    program,
    server::{Clip, Config, Pace, Server, Stream, Tag},
};

#[test]
fn a_live_stream_goes_on_while_the_reader_pauses_and_nothing_is_lost() {
    let server = Server::start(Config {
        enforces_window: true,
        window: 100_000,
        ping_every: Some(Duration::from_millis(700)),
        ..Config::serving(Stream::live(large_clip()).paced(Pace::Times(4.0)))
    });
    let read = read_after(Duration::from_millis(2500), &server, &["-v"]);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(read.stderr.contains("unpublished"), "{}", read.stderr);
    assert!(Clip::parse(&read.bytes).media().eq(large_clip().media()));
    let heard = server.only_client();
    assert_eq!(heard.fault, None);
    assert!(
        heard.pongs.len() > 2,
        "pings were answered during the pause"
    );
}

#[test]
fn what_does_not_fit_is_left_out_up_to_a_keyframe_and_told() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Times(4.0)),
    ));
    let options = ["-v", "--queue-size", "1MiB"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let told = "WARNING: gap of ";
    assert_eq!(read.stderr.matches(told).count(), 1, "{}", read.stderr);
    assert_eq!(gaps(&Clip::parse(&read.bytes)).len(), 1);
}

#[test]
fn scripts_are_told_what_a_slow_reader_lacks() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Times(4.0)),
    ));
    let options = ["-v", "--queue-size", "1MiB", "--progress", "json"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    let events = read.stderr.lines().map(|line| {
        let event: Value = serde_json::from_str(line).expect("a line of JSON");
        event
    });
    let events: Vec<Value> = events.collect();
    let [(from_ms, to_ms)] = gaps(&Clip::parse(&read.bytes))[..] else {
        panic!("not one gap: {}", read.stderr);
    };
    let told = events.iter().find(|event| event["event"] == "gap");
    let told = told.expect("a gap");
    assert_eq!(told["at_ms"], from_ms);
    assert_eq!(told["length_ms"], to_ms - from_ms);
    assert_eq!(told["reason"], "the reader of the output is too slow");
    let summary = events.last().expect("a summary");
    assert_eq!(summary["gap_count"], 1);
    assert_eq!(summary["gap_total_ms"], to_ms - from_ms);
    assert_eq!(summary["gaps"][0]["began"], told["began"]);
}

#[test]
fn a_recorded_stream_waits_for_its_reader() {
    let server = Server::start(Config::serving(
        Stream::recorded(large_clip()).paced(Pace::Unbounded),
    ));
    let options = ["--queue-size", "100K"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(Clip::parse(&read.bytes).media().eq(large_clip().media()));
}

#[test]
fn what_waits_still_goes_out_after_a_signal() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Times(4.0)),
    ));
    let mut child = start(&server, &["-v"]);
    thread::sleep(Duration::from_millis(1800));
    interrupt(&child);
    let read = finish(&mut child);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(read.stderr.contains("interrupted"), "{}", read.stderr);
    let (clip, read) = (large_clip(), Clip::parse(&read.bytes));
    // Four times as fast as time goes by, less what starting up takes.
    assert!(
        read.last_timestamp_ms() > 5_000,
        "{}",
        read.last_timestamp_ms()
    );
    let begins = clip
        .media()
        .zip(read.media())
        .all(|(one, other)| one == other);
    assert!(begins, "what went out is the stream's beginning");
}

/// What came out of a download.
struct Heard {
    bytes: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

/// Where the large clip's tags are missing from `read`: from where, and to where. Panics unless what is
/// there is as it was, and goes on with a keyframe behind each gap.
#[track_caller]
fn gaps(read: &Clip) -> Vec<(u32, u32)> {
    let mut kept = read.media().peekable();
    let (mut gaps, mut from_ms) = (Vec::new(), None);
    for tag in large_clip().media() {
        if kept.next_if_eq(&tag).is_none() {
            from_ms.get_or_insert(tag.timestamp_ms);
        } else if let Some(from_ms) = from_ms.take() {
            assert!(tag.is_keyframe(), "at {} ms", tag.timestamp_ms);
            gaps.push((from_ms, tag.timestamp_ms));
        }
    }
    assert_eq!(kept.next(), None, "order and timestamps are the stream's");
    gaps
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-s", "INT", &id]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

fn start(server: &Server, options: &[&str]) -> Child {
    spawn(program::command().arg(server.url("clip")).args(options))
}

/// Starts it, into a pipe.
fn spawn(command: &mut Command) -> Child {
    command
        .args(["-o", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("our own program")
}

/// Starts to read only after `pause`.
fn read_after(pause: Duration, server: &Server, options: &[&str]) -> Heard {
    let mut child = start(server, options);
    thread::sleep(pause);
    finish(&mut child)
}

fn finish(child: &mut Child) -> Heard {
    let mut stderr = child.stderr.take().expect("a pipe");
    let told = thread::spawn(move || {
        let mut told = String::new();
        let _ = stderr.read_to_string(&mut told);
        told
    });
    let mut bytes = Vec::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_to_end(&mut bytes).expect("a pipe can be read");
    let status = child.wait().expect("a child can be waited for");
    Heard {
        bytes,
        stderr: told.join().expect("reading does not panic"),
        code: status.code(),
    }
}

/// Twelve seconds with a keyframe in each, 6 MB.
fn large_clip() -> Clip {
    let audio_configuration = tag(Tag::AUDIO, 0, &[0xAF, 0, 0x12, 0x10]);
    let video_configuration = tag(Tag::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1]);
    let frames = (0..300_u32).flat_map(|number| {
        let first = if number.is_multiple_of(25) {
            0x17
        } else {
            0x27
        };
        let mut body = vec![number as u8; 20_000];
        body[..5].copy_from_slice(&[first, 1, 0, 0, 0]);
        [
            tag(Tag::VIDEO, number * 40, &body),
            tag(Tag::AUDIO, number * 40, &[0xAF, 1, number as u8, 7]),
        ]
    });
    let configuration = [audio_configuration, video_configuration];
    Clip {
        tags: configuration.into_iter().chain(frames).collect(),
    }
}

fn tag(kind: u8, timestamp_ms: u32, body: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        body: body.to_vec(),
    }
}
