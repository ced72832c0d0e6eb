//! Recordings in segments, manifests, hooks and limits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    peers::ffmpeg::Ffmpeg,
    process::{Finished, Process},
    program::{self, LIMIT},
    server::{Clip, Config, Pace, Server, Stream, Tag},
    verify::assert_ffprobe_accepts,
};

#[test]
fn segments_by_time_join_to_the_recording() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("cam-%03d.flv")
        .with_options(&["--segment-time", "1"])
        .run(&server);
    job.assert_ended(0, "ended");
    assert_eq!(job.names(), ["cam-001.flv", "cam-002.flv", "cam-003.flv"]);
    job.assert_same_as_unsplit(&server);
    job.assert_each_plays();
    let offsets: Vec<_> = job
        .manifest()
        .iter()
        .map(|line| line["offset_ms"].as_u64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1_000), Some(2_000)]);
    let lines = &job.finished.stderr;
    assert!(lines.contains("INFO: segment 3 is complete: "), "{lines}");
}

#[test]
fn segments_by_size_are_numbered_by_default() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("out.flv")
        .with_options(&["--segment-size", "50kB"])
        .run(&server);
    job.assert_ended(0, "ended");
    assert_eq!(job.names(), ["out.flv", "out.2.flv", "out.3.flv"]);
    job.assert_same_as_unsplit(&server);
    job.assert_each_plays();
}

/// The sample, followed by a clip with another resolution and sample rate.
#[test]
fn changed_format_is_reported_and_starts_a_segment_on_request() {
    let mut clip = Clip::sample();
    let end_ms = clip.last_timestamp_ms() + 40;
    clip.tags
        .extend(Clip::thin().tags.into_iter().map(|tag| Tag {
            timestamp_ms: tag.timestamp_ms + end_ms,
            ..tag
        }));
    let frames = |clip: &Clip| clip.media().filter(|tag| !tag.is_sequence_header()).count();
    let sent = frames(&clip);
    let server = Server::start(Config::serving(Stream::recorded(clip)));
    for (option, names) in [
        (&["--split-on-change"][..], &["out.2.flv", "out.flv"][..]),
        (&[], &["out.flv"]),
    ] {
        let job = SegmentJob::new("out.flv").with_options(option).run(&server);
        job.assert_ended(0, "ended");
        let mut found = job.names();
        found.sort();
        assert_eq!(found, names);
        let lines = &job.finished.stderr;
        let change = "INFO: the video changes from h264 320x180 to h264 ";
        assert_eq!(lines.matches(change).count(), 1, "{lines}");
        let files = job.files().into_iter();
        let clips = files.map(|file| Clip {
            tags: tags_of_file(&file),
        });
        assert_eq!(clips.map(|clip| frames(&clip)).sum::<usize>(), sent);
        if names.len() > 1 {
            job.assert_each_plays();
        }
    }
}

#[test]
fn segments_by_clock_are_named_after_local_time() {
    // Real time, so that the wall clock passes a full second.
    let stream = Stream::live(Clip::sample());
    let server = Server::start(Config::serving(stream));
    let job = SegmentJob::new("%Y%m%e-%H%M%S.flv").with_options(&["-v", "--segment-clock", "1"]);
    let job = job.env("TZ", "Asia/Kathmandu").run(&server);
    job.assert_ended(0, "unpublished");
    let manifest = job.manifest();
    assert!(manifest.len() >= 2, "{manifest:?}");
    for (line, name) in manifest.iter().zip(job.names()) {
        let start = line["start"].as_str().expect("a time");
        assert!(start.ends_with("+05:45"), "{start}");
        let digits: String = start.chars().filter(char::is_ascii_digit).collect();
        let time = name.replace('-', "");
        assert!(
            digits.starts_with(time.split('.').next().expect("a name")),
            "{name} at {start}"
        );
    }
    job.assert_same_as_unsplit(&server);
    job.assert_each_plays();
}

#[test]
fn time_in_the_name_works_without_segments() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("100%%-%Y.flv").run(&server);
    job.assert_ended(0, "ended");
    let name = job.names().swap_remove(0);
    assert!(
        name.starts_with("100%-20") && name.len() == "100%-2026.flv".len(),
        "{name}"
    );
    for literal in ["100%.flv", "a%20b.flv"] {
        let job = SegmentJob::new(literal).run(&server);
        assert_eq!(job.names(), [literal]);
    }
}

#[test]
fn rtmpdump_name_disables_name_templates() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let mut job = SegmentJob::new("%Y-%d.flv");
    let program = job.folder.path().join("rtmpdump");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rtmpull"), &program)
        .expect("the link can be created");
    job.command = Command::new(program);
    let job = job.run(&server);
    assert_eq!(job.names(), ["%Y-%d.flv"]);
}

#[test]
fn numbering_skips_existing_files() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("cam-%d.flv").with_options(&["--segment-time", "1"]);
    let existing = job.folder.path().join("cam-2.flv");
    fs::write(&existing, "existing content").expect("the file can be written");
    let job = job.run(&server);
    assert_eq!(job.names(), ["cam-1.flv", "cam-3.flv", "cam-4.flv"]);
    assert_eq!(
        fs::read(existing).expect("the file exists"),
        b"existing content"
    );
}

#[test]
fn hook_runs_for_every_segment() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("cam-%d.flv").with_options(&["--segment-time", "1"]);
    let script = r#"echo "$RTMPULL_PATH $RTMPULL_SEGMENT $RTMPULL_OFFSET_MS $RTMPULL_DURATION_MS $RTMPULL_BYTES $RTMPULL_START" >> "$0"; echo hook"#;
    let job = job.with_script(script).run(&server);
    job.assert_ended(0, "ended");
    let mut lines: Vec<String> = job.script_lines();
    lines.sort();
    let expected = job.manifest().into_iter().map(|line| {
        let text = |name: &str| line[name].to_string().replace('"', "");
        let names = [
            "path",
            "segment",
            "offset_ms",
            "duration_ms",
            "bytes",
            "start",
        ];
        names.map(text).join(" ")
    });
    assert_eq!(lines, expected.collect::<Vec<_>>());
    let stderr = &job.finished.stderr;
    assert_eq!(stderr.matches("hook\n").count(), 3, "{stderr}");
    assert!(job.finished.stdout.is_empty());
}

#[test]
fn failing_hook_warns_and_changes_nothing() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("program");
    fs::write(&program, "#!/nowhere/at/all\n").expect("the file can be written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable).expect("the file exists");
    for (command, warning) in [
        ("sh -c 'exit 3'", "exit status: 3"),
        (
            program.to_str().expect("the path is UTF-8"),
            "No such file or directory",
        ),
    ] {
        let job = SegmentJob::new("cam-%d.flv").with_options(&[
            "--segment-time",
            "1",
            "--on-segment",
            command,
        ]);
        let job = job.run(&server);
        job.assert_ended(0, "ended");
        let stderr = &job.finished.stderr;
        assert_eq!(stderr.matches(warning).count(), 3, "{stderr}");
        job.assert_same_as_unsplit(&server);
    }
}

#[test]
fn start_hook_runs_once_for_a_stream_without_gaps() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let script = r#"echo "$0 $1 $2 $RTMPULL_SEGMENT $RTMPULL_OFFSET_MS" >> "$3""#;
    let job = SegmentJob::new("cam-%d.flv").with_options(&["--segment-time", "1"]);
    let lines = job.folder.path().join("lines");
    let words = "{path} {reason} {start}";
    let command = format!("sh -c '{script}' {words} '{}'", lines.display());
    let job = job.with_options(&["--on-start", &command]).run(&server);
    job.assert_ended(0, "ended");
    let first = job.manifest().swap_remove(0);
    let text = |name: &str| first[name].as_str().expect("a text").to_owned();
    let expected = format!("{} start {} 1 0", text("path"), text("start"));
    assert_eq!(job.script_lines(), [expected]);
}

#[test]
fn failing_start_hook_warns_and_a_hanging_one_is_left_running() {
    let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
        5, 3_000,
    ))));
    let failing = ["-v", "--duration", "1", "--on-start", "sh -c 'exit 3'"];
    let job = SegmentJob::new("a.flv").with_options(&failing).run(&server);
    job.assert_ended(0, "limit");
    let stderr = &job.finished.stderr;
    assert!(stderr.contains("WARNING: --on-start for "), "{stderr}");
    assert!(stderr.contains(": exit status: 3"), "{stderr}");
    let as_json = [&failing[..], &["--progress", "json"]].concat();
    let job = SegmentJob::new("a.flv").with_options(&as_json).run(&server);
    let lines = job.finished.stderr.lines();
    let events: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let is_warning = |event: &&Value| {
        let text = event["text"].as_str().unwrap_or_default();
        event["event"] == "log" && event["level"] == "warn" && text.contains("--on-start for ")
    };
    assert_eq!(events.iter().filter(is_warning).count(), 1, "{events:?}");

    let job = SegmentJob::new("a.flv").with_options(&["-v"]);
    let lines = job.folder.path().join("lines");
    let hanging = format!(
        "sh -c 'echo >> \"$0\"; exec sleep 5 > /dev/null 2>&1' '{}'",
        lines.display()
    );
    let mut running = job.with_options(&["--on-start", &hanging]).start(&server);
    running.wait_for_lines(1);
    let sent = Instant::now();
    running.process.signal("TERM");
    let job = running.finish();
    assert!(sent.elapsed() < Duration::from_secs(2));
    job.assert_ended(0, "interrupted");
    let left = "WARNING: --on-start: programs still running: 1";
    assert!(job.finished.stderr.contains(left), "{}", job.finished);
}

#[test]
fn hanging_hook_delays_neither_recording_nor_signal() {
    let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
        5, 3_000,
    ))));
    let job = SegmentJob::new("cam-%d.flv").with_options(&["-v", "--segment-time", "1"]);
    // Each shell becomes a hook that hangs for a while.
    let mut running = job
        .with_script(r#"echo $RTMPULL_SEGMENT >> "$0"; exec sleep 5 > /dev/null 2>&1"#)
        .start(&server);
    running.wait_for_lines(3);
    let sent = Instant::now();
    running.process.signal("INT");
    let job = running.finish();
    assert!(
        sent.elapsed() < Duration::from_secs(2),
        "{:?}",
        sent.elapsed()
    );
    job.assert_ended(0, "interrupted");
    let stderr = &job.finished.stderr;
    assert!(
        stderr.contains("--on-segment: programs still running: "),
        "{stderr}"
    );
    // The last segment has a manifest line and a hook too.
    let manifest = job.manifest();
    assert_eq!(manifest.len(), 4, "{manifest:?}");
    let mut lines = job.script_lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    job.assert_each_plays();
}

#[test]
fn signal_finishes_the_last_segment() {
    for signal in ["HUP", "TERM"] {
        let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
            5, 3_000,
        ))));
        let job = SegmentJob::new("cam-%d.flv").with_options(&["-v", "--segment-time", "1"]);
        let mut running = job
            .with_script(r#"echo $RTMPULL_SEGMENT >> "$0""#)
            .start(&server);
        running.wait_for_lines(1);
        running.process.signal(signal);
        let job = running.finish();
        job.assert_ended(0, "interrupted");
        assert_eq!(job.manifest().len(), job.script_lines().len());
        assert_eq!(job.manifest().len(), job.files().len());
        assert!(job.manifest().len() >= 2);
        job.assert_each_plays();
    }
}

#[test]
fn flv_clock_overflow_starts_a_new_segment() {
    const HOUR_MS: u32 = 3_600_000;
    let sample = Clip::sample();
    let sequence_headers = sample.media().filter(|tag| tag.is_sequence_header());
    let keyframe = sample
        .media()
        .find(|tag| tag.is_keyframe())
        .expect("a keyframe");
    // 2^31 ms are 596.5 hours.
    let hourly = (0..600).map(|hour| Tag {
        timestamp_ms: hour * HOUR_MS,
        ..keyframe.clone()
    });
    let tags = sequence_headers.cloned().chain(hourly).collect();
    let stream = Stream::recorded(Clip { tags }).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let job = SegmentJob::new("out.flv").with_script(r#"echo $RTMPULL_OFFSET_MS >> "$0""#);
    let job = job.run(&server);
    job.assert_ended(0, "ended");
    assert_eq!(job.names(), ["out.flv", "out.2.flv"]);
    let mut lines = job.script_lines();
    lines.sort();
    assert_eq!(lines, ["0", "2149200000"]);
    let manifest = job.manifest();
    assert_eq!(manifest[1]["offset_ms"].as_u64(), Some(2_149_200_000));
    let times = |file: &Path| tags_of_file(file).iter().map(|tag| tag.timestamp_ms).max();
    let files = job.files();
    assert_eq!(times(&files[0]), Some(596 * HOUR_MS));
    assert_eq!(times(&files[1]), Some(2 * HOUR_MS));
    let stderr = &job.finished.stderr;
    assert!(stderr.contains("out.2.flv"), "{stderr}");
}

#[test]
fn duration_and_size_limits_end_with_limit() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("out.flv")
        .with_options(&["--duration", "1500ms"])
        .run(&server);
    job.assert_ended(0, "limit");
    let tags = Clip::read(&job.files()[0]).tags;
    let last_ms = tags.iter().map(|tag| tag.timestamp_ms).max();
    assert!(
        (1_440..1_500).contains(&last_ms.unwrap_or(0)),
        "{last_ms:?}"
    );
    for limit in [60_000, 80_000] {
        let size = limit.to_string();
        let flags = ["--max-size", &size, "--segment-time", "1"];
        let job = SegmentJob::new("%d.flv")
            .with_options(&flags[..2])
            .run(&server);
        job.assert_ended(0, "limit");
        let length = job.bytes();
        assert!((limit - 4_000..=limit).contains(&length), "{length} bytes");
        job.assert_each_plays();
        let job = SegmentJob::new("%d.flv").with_options(&flags).run(&server);
        job.assert_ended(0, "limit");
        assert!(job.bytes() <= limit, "{} bytes", job.bytes());
    }
}

#[test]
fn until_ends_the_recording() {
    let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
        5, 3_000,
    ))));
    let until = jiff::Timestamp::now() + Duration::from_secs(2);
    let job = SegmentJob::new("out.flv")
        .with_options(&["-v", "--until", &until.to_string()])
        .run(&server);
    job.assert_ended(0, "limit");
    let late = jiff::Timestamp::now().duration_since(until).as_secs_f64();
    assert!((0.0..1.5).contains(&late), "ended {late} s late");
    job.assert_each_plays();
}

#[test]
fn low_free_space_ends_with_disk_full() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let job = SegmentJob::new("out.flv")
        .with_options(&["--min-free", "9000PB"])
        .run(&server);
    job.assert_ended(1, "disk-full");
    assert!(job.files().is_empty());
    let job = SegmentJob::new("out.flv")
        .with_options(&["--min-free", "1kB"])
        .run(&server);
    job.assert_ended(0, "ended");
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_keeps_the_complete_segments() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let mut job = SegmentJob::new("%d.flv");
    // The second segment does not get past its head.
    let script = r#"trap "" XFSZ; ulimit -f 116; exec "$0" "$@""#;
    job.command = Command::new("sh");
    job.command
        .args(["-c", script, env!("CARGO_BIN_EXE_rtmpull")]);
    let job = job.with_options(&["--segment-time", "1"]).run(&server);
    job.assert_ended(1, "disk-full");
    let files = job.files();
    assert_eq!(job.manifest().len(), files.len());
    job.assert_each_plays();
}

#[test]
fn contradictory_options_are_usage_errors() {
    let cases: [(&str, &[&str], &str); 26] = [
        (
            "-",
            &["--segment-time", "1"],
            "--segment-time needs an output file: name one with -o",
        ),
        (
            "-",
            &["--split-on-change"],
            "--split-on-change needs an output file: name one with -o",
        ),
        (
            "a",
            &["-e", "--split-on-change"],
            "--resume continues a single file, which cannot be split into segments",
        ),
        (
            "-",
            &["--manifest", "x"],
            "--manifest needs an output file: name one with -o",
        ),
        (
            "-",
            &["--on-segment", "x"],
            "--on-segment needs an output file: name one with -o",
        ),
        (
            "/dev/null",
            &["--segment-size", "1MB"],
            "--segment-size needs an output file, but /dev/null is not a file",
        ),
        (
            "a",
            &["--segment-time", "0"],
            "invalid value '0' for '--segment-time <DURATION>': must be greater than 0",
        ),
        (
            "a",
            &["--segment-size", "much"],
            "invalid value 'much' for '--segment-size <SIZE>': not a size such as 500MB or 2GiB",
        ),
        (
            "a",
            &["--segment-clock", "25h"],
            "--segment-clock needs whole seconds, at most 24h",
        ),
        (
            "a",
            &["--segment-clock", "1.5"],
            "--segment-clock needs whole seconds, at most 24h",
        ),
        (
            "%H.flv",
            &["--segment-time", "10m"],
            "segments of 600 s would have the same file name: add the counter %d to it",
        ),
        (
            "%F",
            &["-e"],
            "--resume needs a fixed file name, without a counter or a time",
        ),
        (
            "a",
            &["--manifest", "/nowhere/at/all"],
            "cannot write --manifest /nowhere/at/all: No such file or directory",
        ),
        (
            "a",
            &["--manifest", "a"],
            "--manifest and --flv name the same file",
        ),
        (
            "a",
            &["--on-segment", "say 'it"],
            "--on-segment \"say 'it\": missing closing quote",
        ),
        (
            "a",
            &["--on-segment", "no-such-program {path}"],
            "--on-segment: the program \"no-such-program\" is not in a folder of PATH",
        ),
        (
            "a",
            &["--on-segment", "./no/such/program"],
            "--on-segment: the program \"./no/such/program\" does not exist",
        ),
        (
            "a",
            &["--on-start", "/etc/passwd"],
            "--on-start: \"/etc/passwd\" is not an executable program",
        ),
        (
            "a",
            &["--on-start", "no-such-program"],
            "--on-start: the program \"no-such-program\" is not in a folder of PATH",
        ),
        (
            "-",
            &["--on-start", "true"],
            "--on-start needs an output file: name one with -o",
        ),
        (
            "a",
            &["--on-segment", ""],
            "--on-segment needs the name of a program, but its value is empty",
        ),
        (
            "a",
            &["--segment-size", "40kB"],
            "--segment-size must be larger than the head of a file, 49159 bytes; with --no-index, files have no head",
        ),
        (
            "a",
            &["-e", "--segment-time", "1h"],
            "--resume continues a single file, which cannot be split into segments",
        ),
        (
            "a",
            &["--max-size", "40kB"],
            "--max-size must be larger than the head of a file, 49159 bytes; with --no-index, files have no head",
        ),
        (
            "a",
            &["--until", "2001-01-01 00:00"],
            "the time of --until has passed",
        ),
        (
            "a",
            &["--duration", "soon"],
            "invalid value 'soon' for '--duration <DURATION>': not a number of seconds or a duration such as 1h30m",
        ),
    ];
    for (output, flags, why) in cases {
        // No server listens on this port.
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command
            .args(["rtmp://127.0.0.1:1/app/clip", "-o", output])
            .args(flags);
        let finished = Process::start(&mut command).finish(LIMIT);
        assert_eq!(finished.code(), Some(1), "{finished}");
        assert_eq!(
            finished.stderr,
            format!("ERROR: usage: {why}\n"),
            "{flags:?}"
        );
    }
}

#[test]
fn ineffective_options_are_warned_about() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let cases = [
        (
            "a.flv",
            &["--on-segment", "true $RTMPULL_PATH"][..],
            "--on-segment runs without a shell, so $RTMPULL_PATH is not expanded: use {path} and the other values in braces, or sh -c",
        ),
        (
            "a.flv",
            &["--on-start", "true --file={path}"],
            "--on-start: {path} is replaced only as a separate word",
        ),
        (
            "%d.flv",
            &["--append"],
            "a file name with a counter or a time is always a new file, ignoring --append",
        ),
        (
            "a.flv",
            &["--skip", "2"],
            "--skip has no effect without --resume or --append",
        ),
        (
            "/dev/null",
            &["--sync", "5"],
            "only files are synced to disk, ignoring --sync",
        ),
    ];
    for (output, flags, why) in cases {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command
            .args([&server.url("clip"), "-o", output])
            .args(flags);
        let finished = Process::start(command.current_dir(&folder)).finish(LIMIT);
        assert_eq!(finished.code(), Some(0), "{finished}");
        let warning = finished.stderr.contains(&format!("WARNING: {why}\n"));
        assert!(warning, "{finished}");
    }
}

/// Command `rtmpull URL -o NAME --manifest manifest` before its start.
struct SegmentJob {
    command: Command,
    folder: TempDir,
    name: &'static str,
}

/// Running command.
struct RunningJob {
    process: Process,
    folder: TempDir,
}

/// Finished command.
struct FinishedJob {
    finished: Finished,
    folder: TempDir,
}

impl SegmentJob {
    fn new(name: &'static str) -> Self {
        Self {
            command: Command::new(env!("CARGO_BIN_EXE_rtmpull")),
            folder: tempfile::tempdir().expect("a temporary folder"),
            name,
        }
    }

    fn with_options(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs a script for each segment; `$0` is the file `lines`.
    fn with_script(self, script: &str) -> Self {
        let lines = self.folder.path().join("lines");
        let words = [
            "sh",
            "-c",
            script,
            lines.to_str().expect("the path is UTF-8"),
        ];
        let command = words.map(|word| format!("'{word}'")).join(" ");
        self.with_options(&["--on-segment", &command])
    }

    fn start(mut self, server: &Server) -> RunningJob {
        let folder = self.folder.path();
        self.command.arg("-r").arg(server.url("clip"));
        self.command.arg("-o").arg(folder.join(self.name));
        // Under the name rtmpdump there is one file and no manifest.
        self.command.arg("--manifest").arg(folder.join("list"));
        RunningJob {
            process: Process::start(&mut self.command),
            folder: self.folder,
        }
    }

    #[track_caller]
    fn run(self, server: &Server) -> FinishedJob {
        self.start(server).finish()
    }
}

impl RunningJob {
    /// Waits until the script has written `count` lines.
    #[track_caller]
    fn wait_for_lines(&mut self, count: usize) {
        let lines = self.folder.path().join("lines");
        while fs::read_to_string(&lines)
            .unwrap_or_default()
            .lines()
            .count()
            < count
        {
            assert!(
                self.process.is_running(),
                "ended before the script wrote {count} lines"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn finish(self) -> FinishedJob {
        FinishedJob {
            finished: self.process.finish(LIMIT),
            folder: self.folder,
        }
    }
}

impl FinishedJob {
    #[track_caller]
    fn assert_ended(&self, code: i32, word: &str) {
        self.finished.assert_ended(code, word);
    }

    /// Returns the lines of the manifest.
    #[track_caller]
    fn manifest(&self) -> Vec<Value> {
        let manifest = fs::read_to_string(self.folder.path().join("list")).expect("a manifest");
        let parse = |line| serde_json::from_str(line).expect("a line of JSON");
        manifest.lines().map(parse).collect()
    }

    /// Returns the files in the manifest.
    fn files(&self) -> Vec<PathBuf> {
        let path = |line: &Value| PathBuf::from(line["path"].as_str().expect("a path"));
        self.manifest().iter().map(path).collect()
    }

    fn names(&self) -> Vec<String> {
        let name = |path: &PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        self.files().iter().filter_map(name).collect()
    }

    fn bytes(&self) -> u64 {
        let length = |path: &PathBuf| fs::metadata(path).expect("the listed file exists").len();
        self.files().iter().map(length).sum()
    }

    fn script_lines(&self) -> Vec<String> {
        let lines = fs::read_to_string(self.folder.path().join("lines")).unwrap_or_default();
        lines.lines().map(str::to_owned).collect()
    }

    /// Panics unless the segments, at their offsets and without repeated sequence headers, have the
    /// tags of one unsplit file.
    #[track_caller]
    fn assert_same_as_unsplit(&self, server: &Server) {
        let unsplit = program::download(&server.url("clip"), &[]);
        let unsplit = tags_of_file(&unsplit.file());
        let mut joined = Vec::new();
        for (line, file) in self.manifest().iter().zip(self.files()) {
            let offset_ms = line["offset_ms"].as_u64().expect("an offset") as u32;
            let tags = tags_of_file(&file).into_iter();
            let is_repeated = |tag: &Tag| offset_ms > 0 && tag.is_sequence_header();
            let tags = tags.skip_while(is_repeated).map(|tag| Tag {
                timestamp_ms: tag.timestamp_ms + offset_ms,
                ..tag
            });
            joined.extend(tags);
        }
        assert_eq!(joined.len(), unsplit.len(), "tags");
        assert!(joined == unsplit, "the segments contain other tags");
    }

    /// Panics unless each segment starts with sequence headers and a keyframe, matches size and
    /// duration in the manifest, and is accepted by ffprobe.
    #[track_caller]
    fn assert_each_plays(&self) {
        for (line, file) in self.manifest().iter().zip(self.files()) {
            let tags = tags_of_file(&file);
            let [video, audio, first, ..] = &tags[..] else {
                panic!("no media in {}", file.display());
            };
            assert!(video.is_sequence_header() && audio.is_sequence_header());
            let first_picture = tags
                .iter()
                .find(|tag| tag.kind == Tag::VIDEO && !tag.is_sequence_header());
            assert!(
                first_picture.is_some_and(Tag::is_keyframe),
                "{}",
                file.display()
            );
            assert_eq!(first.timestamp_ms, 0, "{}", file.display());
            let length = fs::metadata(&file).expect("the listed file exists").len();
            assert_eq!(line["bytes"].as_u64(), Some(length));
            if Ffmpeg::find().is_some() {
                assert_ffprobe_accepts(&file);
                let duration_ms = line["duration_ms"].as_f64().expect("a duration");
                let found_ms = crate::verify::duration(&file) * 1000.0;
                assert!(
                    (duration_ms - found_ms).abs() < 1.0,
                    "{duration_ms} and {found_ms} ms"
                );
            }
        }
    }
}

/// Returns the tags of a file without `onMetaData`.
#[track_caller]
fn tags_of_file(file: &Path) -> Vec<Tag> {
    let mut tags = Clip::read(file).tags;
    assert_eq!(tags.remove(0).kind, Tag::SCRIPT);
    tags
}
