//! Pipes whose readers pause or leave, and `--tee`.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rtmpull::core::mp4::fragment::{ReadFragment, read_fragment};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::Process,
    program,
    server::{Broadcast, Clip, Config, CutConnection, FaultAction, Pace, Server, Stream, Tag},
};

#[test]
fn live_stream_survives_a_paused_reader_without_loss() {
    let server = Server::start(Config {
        enforces_window: true,
        window: 100_000,
        ping_every: Some(Duration::from_millis(700)),
        ..Config::serving(Stream::live(large_clip()).paced(Pace::Speed(4.0)))
    });
    let read = read_after(Duration::from_millis(2500), &server, &["-v"]);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(read.stderr.contains("unpublished"), "{}", read.stderr);
    assert!(Clip::parse(&read.bytes).media().eq(large_clip().media()));
    let client = server.only_client();
    assert_eq!(client.fault, None);
    assert!(
        client.pongs.len() > 2,
        "no pings were answered during the pause"
    );
}

#[test]
fn full_queue_drops_up_to_the_next_keyframe_and_warns() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Speed(4.0)),
    ));
    let options = ["-v", "--queue-size", "1MiB"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let warning = "WARNING: gap of ";
    assert_eq!(read.stderr.matches(warning).count(), 1, "{}", read.stderr);
    assert_eq!(gaps(&Clip::parse(&read.bytes)).len(), 1);
}

#[test]
fn full_queue_of_mp4_drops_fragments_up_to_a_keyframe() {
    let mut clip = large_clip();
    let header = |tag: &&mut Tag| tag.kind == Tag::VIDEO && tag.is_sequence_header();
    let header = clip.tags.iter_mut().find(header).expect("a header");
    header.body = vec![0x17, 0, 0, 0, 0, 1, 0x64, 0, 13, 0xFF, 0xE0, 0];
    let stream = Stream::live(clip).paced(Pace::Speed(4.0));
    let server = Server::start(Config::serving(stream));
    let options = ["-v", "--queue-size", "1MiB", "--format", "mp4"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let warning = "WARNING: gap of ";
    assert_eq!(read.stderr.matches(warning).count(), 1, "{}", read.stderr);
    let mut rest = &read.bytes[..];
    let (mut end, mut gaps) = (0, 0);
    while let [a, b, c, d, ..] = rest {
        let mut length = u32::from_be_bytes([*a, *b, *c, *d]).into();
        if let ReadFragment::Complete(runs, fragment) = read_fragment(rest) {
            length = fragment;
            let video = runs.iter().find(|run| run.track == 2).expect("video");
            if video.start > end {
                gaps += 1;
                assert!(video.samples[0].is_sync, "at tick {}", video.start);
            }
            let durations = video
                .samples
                .iter()
                .map(|sample| u64::from(sample.duration));
            end = video.start + durations.sum::<u64>();
        }
        rest = &rest[length as usize..];
    }
    // The timescale of 25 frames per second.
    assert_eq!((end, gaps), (12 * 25_000, 1));
}

#[test]
fn slow_reader_gap_is_reported_as_json() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Speed(4.0)),
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
    let gap = events.iter().find(|event| event["event"] == "gap");
    let gap = gap.expect("a gap");
    assert_eq!(gap["at_ms"], from_ms);
    assert_eq!(gap["length_ms"], to_ms - from_ms);
    assert_eq!(gap["reason"], "the reader of the output is too slow");
    let summary = events.last().expect("a summary");
    assert_eq!(summary["gap_count"], 1);
    assert_eq!(summary["gap_total_ms"], to_ms - from_ms);
    assert_eq!(summary["gaps"][0]["began"], gap["began"]);
}

#[test]
fn recorded_stream_waits_for_the_reader() {
    let server = Server::start(Config::serving(
        Stream::recorded(large_clip()).paced(Pace::Unbounded),
    ));
    let options = ["--queue-size", "100K"];
    let read = read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(Clip::parse(&read.bytes).media().eq(large_clip().media()));
}

#[test]
fn tee_file_and_pipe_have_the_same_tags() {
    for stream in [
        Stream::live(Clip::sample()),
        Stream::recorded(Clip::sample()),
    ] {
        let server = Server::start(Config::serving(stream.paced(Pace::Unbounded)));
        let tee = Tee::new();
        let read = tee.read_after(Duration::ZERO, &server, &[]);
        assert_eq!(read.code, Some(0), "{}", read.stderr);
        let (file, piped) = (tee.tags("out.flv"), media(&Clip::parse(&read.bytes)));
        assert!(file.starts_with(&sample()));
        assert!(file == piped, "{} and {} tags", file.len(), piped.len());
    }
}

#[test]
#[cfg(unix)]
fn closed_standard_output_is_an_error() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let run = |redirection: &str, options: &[&str]| {
        let mut command = Command::new("sh");
        let script = format!("\"$@\" {redirection}");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_rtmpull")]);
        command.arg(server.url("clip")).args(options);
        Process::start(&mut command).finish(program::LIMIT)
    };
    for redirection in [">&-", ">&- 2>/dev/stderr", "<&- >&-", "1<>/dev/null"] {
        for options in [&["-o", "-"][..], &[]] {
            let finished = run(redirection, options);
            let context = format!("{redirection} {finished}");
            assert_eq!(finished.code(), Some(1), "{context}");
            let error = "ERROR: usage: standard output is closed";
            assert!(finished.stderr.contains(error), "{context}");
        }
    }
    assert!(server.clients().is_empty(), "a connection was opened");
    for redirection in [">/dev/null", ">>/dev/null", "| cat >/dev/null", "<&-"] {
        let finished = run(redirection, &["-o", "-"]);
        assert_eq!(finished.code(), Some(0), "{redirection} {finished}");
    }
    // Another closed descriptor is not the output.
    let finished = run(">&-", &["-o", "/dev/null"]);
    assert_eq!(finished.code(), Some(0), "{finished}");
}

#[test]
fn slow_reader_does_not_affect_the_tee_file() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Speed(4.0)),
    ));
    let tee = Tee::new();
    let options = ["-v", "--queue-size", "1MiB"];
    let read = tee.read_after(Duration::from_millis(1800), &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert_eq!(gaps(&Clip::parse(&read.bytes)).len(), 1);
    assert!(tee.tags("out.flv") == media(&large_clip()));
    let warning = "WARNING: the reader of the pipe is too slow: ";
    assert_eq!(read.stderr.matches(warning).count(), 1, "{}", read.stderr);
    assert!(!read.stderr.contains("gap of"), "{}", read.stderr);
}

#[test]
fn recorded_stream_with_tee_waits_for_the_reader() {
    let server = Server::start(Config::serving(
        Stream::recorded(large_clip()).paced(Pace::Unbounded),
    ));
    let tee = Tee::new();
    let mut child = tee.start(&server, &["--queue-size", "100K"]);
    thread::sleep(Duration::from_millis(1000));
    let waiting = fs::metadata(tee.path("out.flv")).expect("the file exists");
    assert!(waiting.len() < 4_000_000, "{} bytes", waiting.len());
    let read = finish(&mut child);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(Clip::parse(&read.bytes).media().eq(large_clip().media()));
    assert!(tee.tags("out.flv") == media(&large_clip()));
}

#[test]
fn tee_file_continues_after_the_reader_leaves() {
    for (stream, options) in [
        (Stream::live(large_clip()), &["-v"][..]),
        (Stream::recorded(large_clip()), &[]),
    ] {
        let server = Server::start(Config::serving(stream.paced(Pace::Speed(8.0))));
        let tee = Tee::new();
        let mut child = tee.start(&server, options);
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout
            .read_exact(&mut [0; 5_000])
            .expect("the stream plays");
        drop(stdout);
        let finished = child
            .wait_with_output()
            .expect("the child process can be waited for");
        let stderr = String::from_utf8_lossy(&finished.stderr);
        assert_eq!(finished.status.code(), Some(0), "{stderr}");
        let message = "the reader closed the pipe, the recording continues in the file";
        assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
        assert!(!stderr.contains("reader-gone"), "{stderr}");
        assert!(tee.tags("out.flv") == media(&large_clip()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_ends_file_and_pipe_at_the_same_tag() {
    let server = Server::start(Config::serving(
        Stream::recorded(large_clip()).paced(Pace::Unbounded),
    ));
    let mut tee = Tee::new();
    let script = r#"trap "" XFSZ; ulimit -f 4000; exec "$0" "$@""#;
    tee.program.splice(..0, ["sh", "-c", script]);
    let read = tee.read_after(Duration::ZERO, &server, &[]);
    assert_eq!(read.code, Some(1), "{}", read.stderr);
    assert!(read.stderr.contains("disk-full: "), "{}", read.stderr);
    let (file, piped) = (tee.tags("out.flv"), media(&Clip::parse(&read.bytes)));
    assert!(file.len() > 100 && piped.starts_with(&file));
    assert!(media(&large_clip()).starts_with(&piped));
}

#[test]
fn segments_apply_to_the_tee_file_only() {
    let stream = Stream::recorded_sample();
    let server = Server::start(Config::serving(stream));
    let tee = Tee::new().into("cam-%d.flv");
    let manifest = tee.path("list");
    let manifest = manifest.to_str().expect("the path is UTF-8");
    let options = [
        "--segment-time",
        "1",
        "--manifest",
        manifest,
        "--min-free",
        "1kB",
    ];
    let read = tee.read_after(Duration::ZERO, &server, &options);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let piped = media(&Clip::parse(&read.bytes));
    assert!(piped.starts_with(&sample()));
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    let mut joined = Vec::new();
    for line in manifest.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let offset_ms = line["offset_ms"].as_u64().expect("an offset") as u32;
        let path = PathBuf::from(line["path"].as_str().expect("a path"));
        let tags = media(&Clip::read(&path)).into_iter();
        let tags = tags.skip_while(|tag| offset_ms > 0 && tag.is_sequence_header());
        joined.extend(tags.map(|tag| Tag {
            timestamp_ms: tag.timestamp_ms + offset_ms,
            ..tag
        }));
    }
    assert_eq!(manifest.lines().count(), 3);
    assert!(joined == piped);
}

#[test]
fn gap_split_starts_a_new_file_and_continues_the_pipe() {
    let stream = Stream::broadcast(Broadcast::new(large_clip(), 4.0, true));
    let server = Server::start(Config::serving(stream));
    let connection = CutConnection::start(server.port(), vec![(1_500_000, FaultAction::Fin)]);
    let url = connection.url("clip");
    let tee = Tee::new();
    let options = ["-v", "--republish-wait", "0", "--gap", "split"];
    let read = finish(&mut tee.start_from(&url, &options));
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert_eq!(
        read.stderr.matches("WARNING: gap of").count(),
        1,
        "{}",
        read.stderr
    );
    let mut files = tee.tags("out.flv");
    let second = tee.tags("out.2.flv");
    files.extend(second.into_iter().skip_while(Tag::is_sequence_header));
    let bodies = |tags: &[Tag]| tags.iter().map(|tag| tag.body.clone()).collect::<Vec<_>>();
    let piped = media(&Clip::parse(&read.bytes));
    assert!(bodies(&files) == bodies(&piped));
    assert!(piped.is_sorted_by_key(|tag| tag.timestamp_ms));
}

#[test]
fn resumed_tee_sends_a_playable_pipe() {
    let clip = large_clip();
    let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let tee = Tee::new();
    let read = tee.read_after(Duration::ZERO, &server, &["--duration", "5"]);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let read = tee.read_after(Duration::ZERO, &server, &["-e"]);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(tee.tags("out.flv") == media(&clip));
    let piped = media(&Clip::parse(&read.bytes));
    let new = clip.media().filter(|tag| tag.timestamp_ms >= 5_000);
    let piped_frames = piped.iter().filter(|tag| !tag.is_sequence_header());
    assert!(piped_frames.eq(new));
    assert!(piped[..2].iter().all(Tag::is_sequence_header));
}

#[test]
fn signal_finishes_file_and_pipe_promptly() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Speed(4.0)),
    ));
    // Also with a reader that does not resume.
    for is_reading in [true, false] {
        let tee = Tee::new();
        let mut child = tee.start(&server, &["-v"]);
        thread::sleep(Duration::from_millis(1500));
        interrupt(&child);
        let sent = Instant::now();
        let read = if is_reading {
            finish(&mut child)
        } else {
            child.wait().expect("the child process can be waited for");
            finish(&mut child)
        };
        // One second plus a margin for a busy machine.
        assert!(sent.elapsed() < Duration::from_millis(1800));
        assert_eq!(read.code, Some(0), "{}", read.stderr);
        assert!(read.stderr.contains("interrupted"), "{}", read.stderr);
        let file = tee.tags("out.flv");
        assert!(file.len() > 50 && media(&large_clip()).starts_with(&file));
        if is_reading {
            assert!(media(&Clip::parse(&read.bytes)) == file);
        }
    }
}

/// The first write fails, so the reader has received nothing.
#[test]
fn reader_that_left_before_any_media_is_a_failure() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let finished = program::command()
        .args([&server.url("clip"), "-o", "-"])
        .stdout(writer)
        .output()
        .expect("rtmpull can be started");
    let stderr = String::from_utf8_lossy(&finished.stderr);
    assert_eq!(finished.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("ERROR: reader-gone: "), "{stderr}");
}

/// `-o FILE --tee -` is the same as `-o - --tee FILE`, also for segments, folders and JSON events.
#[test]
fn tee_to_stdout_equals_a_tee_file() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (output, options, files) in [
        ("out.flv", &["--progress", "json"][..], &["out.flv"][..]),
        ("./", &[], &["clip.flv"]),
        (
            "cam-%d.flv",
            &["--segment-time", "1"],
            &["cam-1.flv", "cam-2.flv", "cam-3.flv"],
        ),
    ] {
        let mut command = program::command();
        command
            .args([&server.url("clip"), "-o", output, "--tee", "-"])
            .args(options)
            .current_dir(folder.path());
        let finished = Process::start(&mut command).finish(program::LIMIT);
        assert_eq!(finished.code(), Some(0), "{finished}");
        let piped = media(&Clip::parse(&finished.stdout));
        assert!(piped.starts_with(&sample()), "{output}");
        let files: Vec<Clip> = files
            .iter()
            .map(|name| Clip::read(&folder.path().join(name)))
            .collect();
        match &files[..] {
            [file] => assert!(media(file) == piped, "{output}"),
            segments => assert_eq!(segments.len(), 3),
        }
    }
    let mut command = program::command();
    command
        .args([&server.url("clip"), "-o", "x", "--tee", "-"])
        .args(["--progress-fd", "1"])
        .current_dir(folder.path());
    let finished = Process::start(&mut command).finish(program::LIMIT);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert!(finished.stdout.is_empty(), "the pipe holds no events");
}

#[test]
fn invalid_tee_combinations_are_usage_errors() {
    let cases: [(&str, &[&str], &str); 7] = [
        (
            "/dev/null",
            &["--tee", "-"],
            "--tee needs an output file, but /dev/null is not a file",
        ),
        (
            "out.flv",
            &["--tee", "tee.flv"],
            "--tee needs a pipe as the output: use -o - or a FIFO; to write only a file, use -o",
        ),
        (
            "%F.flv",
            &["--tee", "tee.flv"],
            "--tee needs a pipe as the output: use -o - or a FIFO; to write only a file, use -o",
        ),
        ("-", &["--tee", "-"], "--tee needs the name of a file"),
        (
            "-",
            &["--tee", "/dev/null"],
            "--tee needs an output file, but /dev/null is not a file",
        ),
        (
            "-",
            &["--tee", "x", "--manifest", "x"],
            "--manifest and --tee name the same file",
        ),
        (
            "-",
            &["--tee", "/bin/sh", "-v"],
            "output file \"/bin/sh\" is not empty: use --overwrite to replace it or --append to continue it",
        ),
    ];
    for (output, flags, error) in cases {
        // No server listens on this port.
        let mut command = program::command();
        command.args(["rtmp://127.0.0.1:1/app/clip", "-o", output]);
        let finished = Process::start(command.args(flags)).finish(program::LIMIT);
        assert_eq!(finished.code(), Some(1), "{finished}");
        assert_eq!(
            finished.stderr,
            format!("ERROR: usage: {error}\n"),
            "{flags:?}"
        );
    }
}

#[test]
fn signal_flushes_the_queued_tags() {
    let server = Server::start(Config::serving(
        Stream::live(large_clip()).paced(Pace::Speed(4.0)),
    ));
    let mut child = start(&server, &["-v"]);
    thread::sleep(Duration::from_millis(1800));
    interrupt(&child);
    let read = finish(&mut child);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert!(read.stderr.contains("interrupted"), "{}", read.stderr);
    let (clip, read) = (large_clip(), Clip::parse(&read.bytes));
    // Four times real time, minus the start-up time.
    assert!(
        read.last_timestamp_ms() > 5_000,
        "{}",
        read.last_timestamp_ms()
    );
    let is_prefix = clip
        .media()
        .zip(read.media())
        .all(|(one, other)| one == other);
    assert!(is_prefix, "the output is a prefix of the stream");
}

/// Output of a finished download.
struct PipeOutput {
    bytes: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

/// Command `rtmpull URL -o - --tee FILE`.
struct Tee {
    /// Program and arguments before the options.
    program: Vec<&'static str>,
    folder: TempDir,
    name: &'static str,
}

impl Tee {
    fn new() -> Self {
        Self {
            program: vec![env!("CARGO_BIN_EXE_rtmpull")],
            folder: tempfile::tempdir().expect("a temporary folder"),
            name: "out.flv",
        }
    }

    /// Uses `name` as the name of the tee file.
    fn into(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the audio and video tags of a file.
    fn tags(&self, name: &str) -> Vec<Tag> {
        media(&Clip::read(&self.path(name)))
    }

    fn start(&self, server: &Server, options: &[&str]) -> Child {
        self.start_from(&server.url("clip"), options)
    }

    fn start_from(&self, url: &str, options: &[&str]) -> Child {
        let mut command = Command::new(self.program[0]);
        command.args(&self.program[1..]);
        spawn(
            command
                .arg(url)
                .args(options)
                .arg("--tee")
                .arg(self.path(self.name)),
        )
    }

    /// Starts a download and reads the pipe after `pause`.
    fn read_after(&self, pause: Duration, server: &Server, options: &[&str]) -> PipeOutput {
        let mut child = self.start(server, options);
        thread::sleep(pause);
        finish(&mut child)
    }
}

/// Returns the audio and video tags of the sample without the end-of-sequence tag.
fn sample() -> Vec<Tag> {
    Clip::sample().media_with_content().cloned().collect()
}

/// Returns the audio and video tags.
fn media(clip: &Clip) -> Vec<Tag> {
    clip.media().cloned().collect()
}

/// Returns the start and end times of the gaps in `read`, compared with the large clip.
///
/// # Panics
///
/// Panics if a tag was changed or reordered, or if a gap does not end at a keyframe.
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
    assert_eq!(kept.next(), None, "order and timestamps match the stream");
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

/// Starts the command with stdout as a pipe.
fn spawn(command: &mut Command) -> Child {
    command
        .args(["-o", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("rtmpull can be started")
}

/// Starts a download and reads the pipe after `pause`.
fn read_after(pause: Duration, server: &Server, options: &[&str]) -> PipeOutput {
    let mut child = start(server, options);
    thread::sleep(pause);
    finish(&mut child)
}

fn finish(child: &mut Child) -> PipeOutput {
    let mut stderr = child.stderr.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let mut bytes = Vec::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout
        .read_to_end(&mut bytes)
        .expect("the pipe can be read");
    let status = child.wait().expect("the child process can be waited for");
    PipeOutput {
        bytes,
        stderr: reader.join().expect("the reader thread does not panic"),
        code: status.code(),
    }
}

/// Returns twelve seconds with a keyframe every second, 6 MB.
fn large_clip() -> Clip {
    let audio_header = tag(Tag::AUDIO, 0, &[0xAF, 0, 0x12, 0x10]);
    let video_header = tag(Tag::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1]);
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
    let headers = [audio_header, video_header];
    Clip {
        tags: headers.into_iter().chain(frames).collect(),
    }
}

fn tag(kind: u8, timestamp_ms: u32, body: &[u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        body: body.to_vec(),
    }
}
