//! Features of recordings that work the same way in FLV and MP4 files.

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
    fixtures, parallel,
    peers::{ffmpeg::Ffmpeg, require},
    process::{Finished, Process},
    program::{self, LIMIT},
    server::{Broadcast, Clip, Config, CutConnection, FaultAction, Pace, Server, Stream},
    verify::{Media, assert_ffprobe_accepts, duration},
};
#[cfg(target_os = "linux")]
use crate::{peers::strace::Strace, server::Tag};

/// Extensions that select the formats.
const FORMATS: [&str; 2] = ["flv", "mp4"];

#[test]
fn segments_are_listed_once_they_are_finished() {
    let ffmpeg = require!(Ffmpeg::find());
    let cases = [
        ("flv", &["--segment-time", "1"][..]),
        ("mp4", &["--segment-time", "1"]),
        ("mp4", &["--segment-time", "1", "--no-index"]),
        ("flv", &["--segment-size", "60kB"]),
        ("mp4", &["--segment-size", "12kB"]),
    ];
    parallel::for_each(cases, |(format, split)| {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        // The hook records the size of the file and whether an MP4 file is a plain one already.
        let script = r#"echo "$RTMPULL_SEGMENT $RTMPULL_BYTES $(stat -c %s "$RTMPULL_PATH") $(head -c 40 "$RTMPULL_PATH" | tail -c 4 | tr -dc a-z)" >> "$0""#;
        let run = Job::new(format, "cam-%d")
            .hook(script)
            .options(split)
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "ended");
        let manifest = run.manifest();
        assert!(manifest.len() >= 2, "{format} {split:?}: {manifest:?}");
        let mut lines = run.hook_lines();
        lines.sort();
        let is_plain = format == "mp4" && !split.contains(&"--no-index");
        for (number, (entry, line)) in (1..).zip(manifest.iter().zip(&lines)) {
            let bytes = entry["bytes"].as_u64().expect("a size");
            assert!(
                line.starts_with(&format!("{number} {bytes} {bytes} ")),
                "{format}: {line} for {entry}"
            );
            assert_eq!(line.ends_with(" mdat"), is_plain, "{format}: {line}");
        }
        assert_eq!(lines.len(), manifest.len(), "{format}");
        run.assert_each_plays();
        run.assert_joins_to(&ffmpeg, &unsplit(&ffmpeg, format, Clip::sample()));
    });
}

#[test]
fn segments_by_clock_are_named_after_local_time() {
    let ffmpeg = require!(Ffmpeg::find());
    parallel::for_each(FORMATS, |format| {
        let stream = Stream::live(Clip::sample());
        let server = Server::start(Config::serving(stream));
        let options = ["-v", "--segment-clock", "1", "--republish-wait", "0"];
        let run = Job::new(format, "%H%M%S")
            .options(&options)
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "unpublished");
        assert!(run.manifest().len() >= 2, "{format}");
        run.assert_each_plays();
        run.assert_joins_to(&ffmpeg, &unsplit(&ffmpeg, format, Clip::sample()));
    });
}

#[test]
fn size_limit_includes_heads_and_tables() {
    // FLV files reserve space for their head.
    let cases = [
        ("flv", 60_000),
        ("flv", 80_000),
        ("mp4", 20_000),
        ("mp4", 34_000),
    ];
    parallel::for_each(cases, |(format, limit)| {
        let size = u64::to_string(&limit);
        let flags = ["--max-size", &size, "--segment-time", "1"];
        for flags in [&flags[..2], &flags] {
            let server = Server::start(Config::serving(Stream::recorded_sample()));
            let run = Job::new(format, "%d")
                .options(flags)
                .run(&server.url("clip"));
            run.finished.assert_ended(0, "limit");
            let lengths = run.files().into_iter().map(|file| length(&file));
            let bytes: u64 = lengths.sum();
            assert!(bytes <= limit, "{format}: {bytes} of {limit} bytes");
            assert_eq!(run.summary()["bytes"], bytes, "{format} {flags:?}");
            if flags.len() == 2 {
                assert!(
                    bytes >= limit - 12_000,
                    "{format}: {bytes} of {limit} bytes"
                );
            }
            run.assert_each_plays();
        }
    });
}

#[test]
fn duration_limits_end_the_recording() {
    let limits = [["--duration", "1500ms"], ["--stop", "1.5"]];
    let cases = FORMATS.map(|format| limits.map(|limit| (format, limit)));
    parallel::for_each(cases.concat(), |(format, limit)| {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let run = Job::new(format, "out")
            .options(&limit)
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "limit");
        let seconds = duration(&run.path("out"));
        // MP4 includes the time by which the last pictures are presented after they are decoded.
        let reordering = if format == "mp4" { 0.2 } else { 0.0 };
        let longest = 1.56 + reordering;
        assert!((1.4..longest).contains(&seconds), "{format}: {seconds} s");
        run.assert_each_plays();
    });
}

#[test]
fn until_ends_the_recording() {
    parallel::for_each(FORMATS, |format| {
        let clip = Clip::repeated_sample(5, 3_000);
        let server = Server::start(Config::serving(Stream::live(clip)));
        let until = jiff::Timestamp::now() + Duration::from_secs(2);
        let run = Job::new(format, "out")
            .options(&["-v", "--until", &until.to_string()])
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "limit");
        let late = jiff::Timestamp::now().duration_since(until).as_secs_f64();
        assert!((0.0..1.5).contains(&late), "{format}: {late} s late");
        run.assert_each_plays();
    });
}

#[test]
fn signal_finishes_all_segments() {
    for signal in ["INT", "TERM"] {
        parallel::for_each(FORMATS, |format| {
            let clip = Clip::repeated_sample(5, 3_000);
            let server = Server::start(Config::serving(Stream::live(clip)));
            let mut running = Job::new(format, "cam-%d")
                .hook(r#"echo $RTMPULL_SEGMENT >> "$0""#)
                .options(&["-v", "--segment-time", "1"])
                .start(&server.url("clip"));
            running.wait_for_hook();
            let sent = Instant::now();
            running.process.signal(signal);
            let run = running.finish();
            assert!(sent.elapsed() < Duration::from_secs(2), "{format}");
            run.finished.assert_ended(0, "interrupted");
            assert!(run.manifest().len() >= 2, "{format}");
            assert_eq!(run.manifest().len(), run.hook_lines().len(), "{format}");
            assert_eq!(run.manifest().len(), run.names().len(), "{format}");
            run.assert_each_plays();
        });
    }
}

#[test]
fn low_free_space_ends_with_disk_full() {
    for format in FORMATS {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let job = |least| {
            Job::new(format, "out")
                .options(&["--min-free", least])
                .run(&server.url("clip"))
        };
        let run = job("9000PB");
        run.finished.assert_ended(1, "disk-full");
        assert!(run.names().is_empty(), "{format}");
        let run = job("1kB");
        run.finished.assert_ended(0, "ended");
        run.assert_each_plays();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_keeps_the_complete_segments() {
    // Two seconds of small frames, followed by larger ones in a segment that does not fit.
    let mut clip = Clip::thin();
    let end_ms = clip.last_timestamp_ms() + 128;
    clip.tags.extend(Clip::sample().media().map(|tag| Tag {
        timestamp_ms: tag.timestamp_ms + end_ms,
        ..tag.clone()
    }));
    for (format, blocks) in [("flv", "130"), ("mp4", "50")] {
        let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        let mut job = Job::new(format, "%d").options(&["--split-on-change"]);
        let script = format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
        job.command = wrapped(&["sh", "-c", &script], &job.command);
        let run = job.run(&server.url("clip"));
        run.finished.assert_ended(1, "disk-full");
        assert_eq!(run.names().len(), 2, "{format}: {}", run.finished);
        assert_eq!(run.manifest().len(), 2, "{format}");
        run.assert_each_plays();
    }
}

/// The space for the tables is reserved, so a file on a full disk can be finished.
#[test]
#[cfg(target_os = "linux")]
fn recording_on_a_full_disk_is_a_finished_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        return println!("skipped: mounting a file system needs the privileges of root");
    }
    let clip = unsplit(&ffmpeg, "mp4", Clip::sample());
    let source = Media::read(&ffmpeg, &clip.path);
    parallel::for_each([28, 32, 40, 44], |kilobytes| {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            r#"mkdir "$1/disk" && mount -t tmpfs -o size={kilobytes}k tmpfs "$1/disk" || exit 9
               "$0" "$2" -o "$1/disk/out.mp4"; code=$?
               cp "$1/disk/out.mp4" "$1"; exit $code"#
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]);
        command.arg(program::command().get_program());
        command.arg(folder.path()).arg(server.url("clip"));
        let finished = Process::start(&mut command).finish(LIMIT);
        finished.assert_ended(1, "disk-full");
        let file = folder.path().join("out.mp4");
        let bytes = fs::read(&file).expect("the file exists");
        assert_eq!(
            bytes.get(36..40),
            Some(&b"mdat"[..]),
            "{kilobytes} KiB: {finished}"
        );
        assert!(bytes.len() * 3 > kilobytes * 1024, "{} bytes", bytes.len());
        ffmpeg.assert_plays(&file);
        Media::read(&ffmpeg, &file).assert_excerpt_of(&source);
    });
}

/// A sync that takes longer than three segments delays neither the next frames nor the order of the reports.
#[test]
#[cfg(target_os = "linux")]
fn slow_syncs_do_not_stall_the_recording() {
    let strace = require!(Strace::find());
    for format in FORMATS {
        let clip = Clip::repeated_sample(4, 3_000);
        let stream = Stream::live(clip).paced(Pace::Speed(2.0));
        let server = Server::start(Config::serving(stream));
        let mut job = Job::new(format, "cam-%d")
            .hook(r#"head -c 40 "$RTMPULL_PATH" | tail -c 4 | tr -dc a-z >> "$0""#)
            .options(&["-v", "--segment-time", "1", "--sync", "0"])
            .options(&["--republish-wait", "0"]);
        job.command = strace.delaying("fdatasync", Duration::from_millis(1_600), &job.command);
        let mut running = job.start(&server.url("clip"));
        let started = Instant::now();
        let (mut grown_at, mut bytes, mut longest) = (None, 0, Duration::ZERO);
        while running.process.is_running() && started.elapsed() < LIMIT {
            let now: u64 = running.lengths().sum();
            // The last segment may wait for its sync.
            if now > bytes && running.lengths().count() < 12 {
                let since = grown_at.map_or(Duration::ZERO, |at: Instant| at.elapsed());
                longest = longest.max(since);
                (grown_at, bytes) = (Some(Instant::now()), now);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let run = running.finish();
        run.finished.assert_ended(0, "unpublished");
        // A fragment lasts half a second here.
        assert!(
            longest < Duration::from_millis(1_200),
            "{format}: {longest:?}"
        );
        let numbers = run.manifest();
        let numbers = numbers.iter().map(|line| line["segment"].as_u64());
        assert!(numbers.eq((1..=12).map(Some)), "{format}: {}", run.finished);
        if format == "mp4" {
            assert_eq!(run.hook_lines(), ["mdat".repeat(12)]);
        }
        run.assert_each_plays();
    }
}

#[test]
fn gaps_are_kept_closed_or_split() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::live_flv(&ffmpeg, false, 60);
    let policies = ["keep", "close", "split"];
    let cases = FORMATS.map(|format| policies.map(|policy| (format, policy)));
    parallel::for_each(cases.concat(), |(format, policy)| {
        // A reconnect takes a second, in which eight seconds of the stream pass.
        let broadcast = Broadcast::new(Clip::read(&source), 8.0, true);
        let server = Server::start(Config::serving(Stream::broadcast(broadcast)));
        // Only the third attempt receives media again.
        let cuts = [
            (400_000, FaultAction::Fin),
            (0, FaultAction::Fin),
            (0, FaultAction::Fin),
        ];
        let cuts = cuts.to_vec();
        let connection = CutConnection::start(server.port(), cuts);
        let run = Job::new(format, "out")
            .hook_at_start(r#"echo "$RTMPULL_SEGMENT $RTMPULL_REASON" >> "$0""#)
            .options(&["-v", "--republish-wait", "0", "--gap", policy])
            .run(&connection.url("clip"));
        run.finished.assert_ended(0, "unpublished");
        let summary = run.summary();
        let gaps = summary["gaps"].as_array().expect("a list");
        assert_eq!(gaps.len(), 1, "{format} {policy}: {}", run.finished);
        let gap_s = gaps[0]["length_ms"].as_f64().expect("a length") / 1000.0;
        assert!(gap_s > 1.0, "{format} {policy}: {gap_s} s");
        let is_split = policy == "split";
        assert_eq!(run.names().len(), 1 + usize::from(is_split), "{format}");
        let second = if is_split { "2 gap" } else { "1 gap" };
        assert_eq!(run.hook_lines(), ["1 start", second], "{format} {policy}");
        run.assert_each_plays();
        let files = run.files();
        let media = files.iter().map(|file| Media::read(&ffmpeg, file));
        let times = media.flat_map(|media| {
            let times = media.video.packets.iter().map(|packet| packet.dts_ms);
            times.collect::<Vec<_>>()
        });
        let times: Vec<_> = times.collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        let longest_s = longest.expect("pictures") as f64 / 1000.0;
        match policy {
            "keep" => assert!((longest_s - gap_s).abs() < 0.3, "{format}: {longest_s} s"),
            _ => assert!(longest_s < 0.3, "{format} {policy}: {longest_s} s"),
        }
    });
}

#[test]
fn another_publisher_continues_in_the_same_file() {
    let ffmpeg = require!(Ffmpeg::find());
    // The clock restarts, and the sequence headers are repeated.
    let sample = Clip::sample();
    let tags = [sample.media_with_content(), sample.media_with_content()];
    let clip = Clip {
        tags: tags.into_iter().flatten().cloned().collect(),
    };
    for format in FORMATS {
        let stream = Stream::live(clip.clone()).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        let run = Job::new(format, "out")
            .options(&["-v", "--republish-wait", "0"])
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "unpublished");
        assert_eq!(run.names(), [format!("out.{format}")]);
        run.assert_each_plays();
        let once = Media::read(&ffmpeg, &unsplit(&ffmpeg, format, Clip::sample()).path);
        let both = Media::read(&ffmpeg, &run.path("out"));
        for (both, once) in [(both.video, once.video), (both.audio, once.audio)] {
            let found: Vec<_> = both.packets.iter().map(|packet| &packet.hash).collect();
            let expected = once.packets.iter().map(|packet| &packet.hash);
            let expected: Vec<_> = expected.clone().chain(expected).collect();
            assert_eq!(found.len(), expected.len(), "{format}: {}", run.finished);
            assert!(found == expected, "{format}");
            let times = both.packets.iter().map(|packet| packet.dts_ms);
            assert!(times.is_sorted(), "{format}");
        }
    }
}

#[test]
fn files_are_locked_while_they_are_recorded() {
    parallel::for_each(FORMATS, |format| {
        let server = Server::start(Config::serving(Stream::live(Clip::sample())));
        let url = server.url("clip");
        let running = Job::new(format, "out")
            .options(&["-v", "--republish-wait", "0"])
            .start(&url);
        let file = running.folder.path().join(format!("out.{format}"));
        while !fs::metadata(&file).is_ok_and(|file| file.len() > 0) {
            thread::sleep(Duration::from_millis(10));
        }
        let mut second = program::command();
        second.args([&url, "-v", "--overwrite", "-o"]).arg(&file);
        let second = Process::start(&mut second).finish(LIMIT);
        second.assert_ended(1, "output-failed");
        let why = "another program is writing it";
        assert!(second.stderr.contains(why), "{format}: {second}");
        let run = running.finish();
        run.finished.assert_ended(0, "unpublished");
        run.assert_each_plays();
        assert!(duration(&file) > 2.9, "{format}");
        // The lock ends with the recording, and a live recording does not replace the file.
        let mut second = program::command();
        second.args([&url, "-v", "-o"]).arg(&file);
        let second = Process::start(&mut second).finish(LIMIT);
        assert_eq!(second.code(), Some(1), "{format}: {second}");
        assert!(second.stderr.contains("--overwrite"), "{format}: {second}");
    });
}

#[test]
fn sync_interval_does_not_change_the_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let cases = FORMATS.map(|format| ["0", "50ms", "1"].map(|interval| (format, interval)));
    parallel::for_each(cases.concat(), |(format, interval)| {
        let stream = Stream::live(Clip::sample()).paced(Pace::Speed(2.0));
        let server = Server::start(Config::serving(stream));
        let run = Job::new(format, "out")
            .options(&["-v", "--republish-wait", "0", "--sync", interval])
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "unpublished");
        run.assert_joins_to(&ffmpeg, &unsplit(&ffmpeg, format, Clip::sample()));
        run.assert_each_plays();
    });
}

#[test]
fn json_events_describe_the_files() {
    let ffmpeg = require!(Ffmpeg::find());
    for format in FORMATS {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let beat = ["--heartbeat", "beat", "--segment-time", "2"];
        let run = Job::new(format, "out")
            .options(&beat)
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "ended");
        let events = run.events();
        let segments = events.iter().filter(|event| event["event"] == "segment");
        let segments: Vec<_> = segments.cloned().collect();
        let manifest = run.manifest();
        assert_eq!(segments.len(), manifest.len(), "{format}");
        for (event, line) in segments.iter().zip(&manifest) {
            for member in ["path", "segment", "offset_ms", "duration_ms", "bytes"] {
                assert_eq!(event[member], line[member], "{format} {member}");
            }
        }
        let summary = run.summary();
        let bytes: u64 = run.files().iter().map(|file| length(file)).sum();
        assert_eq!(summary["bytes"], bytes, "{format}");
        let media = run.files().into_iter();
        let media: Vec<_> = media.map(|file| Media::read(&ffmpeg, &file)).collect();
        let frames = media
            .iter()
            .map(|media| media.video.packets.len() + media.audio.packets.len())
            .sum::<usize>() as u64;
        // FLV files have tags for sequence headers and the end of a sequence as well.
        let tags = summary["tags"].as_u64().expect("a number");
        let others = if format == "flv" { 5 } else { 0 };
        assert_eq!(tags, frames + others, "{format}");
        let beat = fs::read_to_string(run.folder.path().join("beat")).expect("a heartbeat");
        assert!(!beat.is_empty(), "{format}");
    }
}

#[test]
fn tee_combines_all_formats_with_segments() {
    let ffmpeg = require!(Ffmpeg::find());
    let cases = FORMATS.map(|file| FORMATS.map(|pipe| (file, pipe)));
    parallel::for_each(cases.concat(), |(file, pipe)| {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let options = ["--segment-time", "1", "--format", pipe, "--tee", "-"];
        let run = Job::new(file, "cam-%d")
            .options(&options)
            .run(&server.url("clip"));
        run.finished.assert_ended(0, "ended");
        assert_eq!(run.manifest().len(), 3, "{file} and {pipe}");
        run.assert_each_plays();
        let expected = unsplit(&ffmpeg, file, Clip::sample());
        run.assert_joins_to(&ffmpeg, &expected);
        let piped = run.folder.path().join(format!("piped.{pipe}"));
        fs::write(&piped, &run.finished.stdout).expect("a file");
        let expected = unsplit(&ffmpeg, pipe, Clip::sample());
        let expected = Media::read(&ffmpeg, &expected.path);
        Media::read(&ffmpeg, &piped).assert_presents(&expected);
    });
}

#[test]
fn numbering_skips_existing_files() {
    for format in FORMATS {
        let server = Server::start(Config::serving(Stream::recorded_sample()));
        let job = Job::new(format, "cam-%d").options(&["--segment-time", "1"]);
        let existing = job.folder.path().join(format!("cam-2.{format}"));
        fs::write(&existing, "existing content").expect("the file can be written");
        let run = job.run(&server.url("clip"));
        let names = [1, 3, 4].map(|number| format!("cam-{number}.{format}"));
        let found = run.files();
        let found = found.iter().filter_map(|file| file.file_name()?.to_str());
        assert!(found.eq(names), "{format}");
        let content = fs::read(existing).expect("the file exists");
        assert_eq!(content, b"existing content");
    }
}

/// Recording of a clip in one file.
struct Unsplit {
    path: PathBuf,
    _folder: TempDir,
}

/// Records `clip` to one file.
#[track_caller]
fn unsplit(ffmpeg: &Ffmpeg, format: &'static str, clip: Clip) -> Unsplit {
    let stream = Stream::recorded(clip).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let run = Job::new(format, "out").run(&server.url("clip"));
    run.finished.assert_ended(0, "ended");
    let path = run.path("out");
    ffmpeg.assert_plays(&path);
    Unsplit {
        path,
        _folder: run.folder,
    }
}

/// Returns a command that runs `command` with these words before it.
fn wrapped(words: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(words[0]);
    let set = command.get_envs();
    wrapped.envs(set.filter_map(|(name, value)| Some((name, value?))));
    wrapped.args(&words[1..]).arg(command.get_program());
    wrapped.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).expect("the file exists").len()
}

/// Command `rtmpull URL -o NAME.FORMAT --manifest list --progress-fd 3` before its start.
struct Job {
    command: Command,
    folder: TempDir,
    format: &'static str,
}

/// Running command.
struct Running {
    process: Process,
    folder: TempDir,
    format: &'static str,
}

/// Finished command.
struct Run {
    finished: Finished,
    folder: TempDir,
    format: &'static str,
}

impl Job {
    fn new(format: &'static str, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = program::command();
        command.current_dir(folder.path());
        command.arg("-o").arg(format!("{name}.{format}"));
        command.args(["--manifest", "list"]);
        command.args(["--progress-fd", "3"]);
        Self {
            command,
            folder,
            format,
        }
    }

    fn options(mut self, options: &[&str]) -> Self {
        self.command.args(options);
        self
    }

    /// Runs a script for each segment; `$0` is the file `lines`.
    fn hook(self, script: &str) -> Self {
        self.options(&["--on-segment", &format!("sh -c '{script}' lines")])
    }

    /// Runs a script when media arrives; `$0` is the file `lines`.
    fn hook_at_start(self, script: &str) -> Self {
        self.options(&["--on-start", &format!("sh -c '{script}' lines")])
    }

    fn start(mut self, url: &str) -> Running {
        self.command.arg(url);
        let script = r#"exec "$0" "$@" 3> events"#;
        let mut command = wrapped(&["sh", "-c", script], &self.command);
        Running {
            process: Process::start(&mut command),
            folder: self.folder,
            format: self.format,
        }
    }

    #[track_caller]
    fn run(self, url: &str) -> Run {
        self.start(url).finish()
    }
}

impl Running {
    /// Returns the lengths of the files of the recording.
    #[cfg(target_os = "linux")]
    fn lengths(&self) -> impl Iterator<Item = u64> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let extension = self.format;
        let files = entries.flatten().filter(move |entry| {
            entry
                .path()
                .extension()
                .is_some_and(|found| found == extension)
        });
        files.filter_map(|file| Some(file.metadata().ok()?.len()))
    }

    /// Waits until the hook has written a line.
    #[track_caller]
    fn wait_for_hook(&mut self) {
        let lines = self.folder.path().join("lines");
        while !fs::metadata(&lines).is_ok_and(|lines| lines.len() > 0) {
            assert!(self.process.is_running(), "ended before the hook ran");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn finish(self) -> Run {
        Run {
            finished: self.process.finish(LIMIT),
            folder: self.folder,
            format: self.format,
        }
    }
}

impl Run {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{}", self.format))
    }

    /// Returns the names of all files of the recording in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            name.ends_with(self.format).then_some(name)
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[track_caller]
    fn lines_of_json(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(name)).expect("the file exists");
        let parse = |line| serde_json::from_str(line).expect("a line of JSON");
        text.lines().map(parse).collect()
    }

    fn manifest(&self) -> Vec<Value> {
        self.lines_of_json("list")
    }

    fn events(&self) -> Vec<Value> {
        self.lines_of_json("events")
    }

    #[track_caller]
    fn summary(&self) -> Value {
        let mut events = self.events();
        let summary = events.pop().expect("an event");
        assert_eq!(summary["event"], "summary");
        summary
    }

    fn hook_lines(&self) -> Vec<String> {
        let lines = fs::read_to_string(self.folder.path().join("lines")).unwrap_or_default();
        lines.lines().map(str::to_owned).collect()
    }

    /// Returns the files in the manifest.
    fn files(&self) -> Vec<PathBuf> {
        let manifest = self.manifest();
        let names = manifest
            .iter()
            .map(|line| line["path"].as_str().expect("a path"));
        names.map(|name| self.folder.path().join(name)).collect()
    }

    /// Panics unless each file matches size and duration in the manifest and is accepted by ffprobe.
    #[track_caller]
    fn assert_each_plays(&self) {
        assert!(!self.manifest().is_empty());
        for (line, file) in self.manifest().iter().zip(self.files()) {
            assert_eq!(line["bytes"], length(&file), "{}", file.display());
            if Ffmpeg::find().is_some() {
                assert_ffprobe_accepts(&file);
                let duration_ms = line["duration_ms"].as_f64().expect("a duration");
                let found_ms = duration(&file) * 1000.0;
                // ffprobe adds the delay of reordered pictures to the duration of a fragmented file.
                let is_fragmented = fs::read(&file).expect("a file")[36..40] == *b"moov";
                let most_ms = if is_fragmented { 90.0 } else { 1.5 };
                assert!(
                    (duration_ms - found_ms).abs() < most_ms,
                    "{}: {duration_ms} and {found_ms} ms",
                    file.display()
                );
            }
        }
    }

    /// Panics unless the packets of all files, at their offsets, are those of the unsplit recording.
    #[track_caller]
    fn assert_joins_to(&self, ffmpeg: &Ffmpeg, unsplit: &Unsplit) {
        let mut joined: Option<Media> = None;
        for (line, file) in self.manifest().iter().zip(self.files()) {
            let offset_ms = line["offset_ms"].as_i64().expect("an offset");
            let mut media = Media::read(ffmpeg, &file);
            for track in [&mut media.video, &mut media.audio] {
                for packet in &mut track.packets {
                    packet.pts_ms += offset_ms;
                }
            }
            match &mut joined {
                None => joined = Some(media),
                Some(joined) => {
                    joined.video.packets.extend(media.video.packets);
                    joined.audio.packets.extend(media.audio.packets);
                }
            }
        }
        let joined = joined.expect("a file");
        joined.assert_presents(&Media::read(ffmpeg, &unsplit.path));
    }
}
