//! Output for scripts and supervisors.

use std::{fs, process::Command};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::{
    parallel,
    process::{Finished, Process},
    program::LIMIT,
    server::{Clip, Config, FaultAction, FaultPoint, OnConnect, Pace, Server, Step, Stream},
};

#[test]
fn json_progress_writes_only_events_to_stderr() {
    let cases = [
        &[][..],
        &["-V"],
        &["-z"],
        &["-q"],
        &["--log-file", "/dev/null"],
    ];
    parallel::for_each(cases, |options: &[&str]| {
        let server = Server::start(Config::serving(recorded_at_4x()));
        let run = Run::new(&server.url("clip"), &["--progress", "json"], options).finish();
        assert_eq!(run.code(), Some(0), "{run}");
        let events = events(&run.stderr);
        let names: Vec<_> = events
            .iter()
            .map(event_name)
            .filter(|event_name| *event_name != "log")
            .collect();
        let progress = names
            .iter()
            .filter(|event_name| **event_name == "progress")
            .count();
        assert!((2..5).contains(&progress), "{names:?}");
        let names: Vec<_> = names
            .into_iter()
            .filter(|event_name| *event_name != "progress")
            .collect();
        let expected = [
            "start",
            "connected",
            "metadata",
            "track",
            "track",
            "segment",
            "summary",
        ];
        assert_eq!(names, expected);
        let start = only_event(&events, "start");
        assert_eq!(start["schema_version"], 1);
        assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(start["url"], server.url("clip"));
        assert_eq!(start["options"]["live"], false);
        let logs = events
            .iter()
            .filter(|event| event_name(event) == "log")
            .count();
        let is_verbose = ["-V", "-z"].iter().any(|option| options.contains(option));
        assert_eq!(logs > 0, is_verbose, "{run}");

        let connected = only_event(&events, "connected");
        assert_eq!(connected["host"], "127.0.0.1");
        assert_eq!(connected["port"], server.port());
        assert_eq!(only_event(&events, "metadata")["members"]["width"], 320);
        let summary = only_event(&events, "summary");
        assert_eq!(summary["ending"], "ended");
        let reason = summary["reason"].as_str().expect("a string");
        assert!(reason.starts_with("NetStream.Play."), "{reason}");
        assert_eq!(summary["exit_code"], 0);
        assert_eq!(summary["left_out"], 0);
        assert_eq!(summary["gaps"], json!([]));
    });
}

#[test]
fn summary_matches_the_file() {
    let server = Server::start(Config::serving(recorded_at_4x()));
    let run = Run::new(&server.url("clip"), &["--progress", "json"], &[]);
    let file = run.file();
    let folder = run.finish_keeping_folder();
    let events = events(&folder.0.stderr);
    let summary = only_event(&events, "summary");
    let bytes = fs::metadata(&file).expect("the file exists").len();
    assert_eq!(summary["bytes"], bytes);
    let clip = Clip::read(&file);
    // Without the onMetaData in the head.
    assert_eq!(summary["tags"], clip.tags.len() - 1);
    assert_eq!(summary["duration_ms"], clip.last_timestamp_ms());
    assert_eq!(summary["position_ms"], clip.last_timestamp_ms());
}

#[test]
fn every_ending_has_a_summary() {
    let cut =
        Config::serving(recorded_at_4x()).with_fault(FaultPoint::Byte(25_001), FaultAction::Fin);
    let silent = Config::serving(recorded_at_4x())
        .with_fault(FaultPoint::Step(Step::Media), FaultAction::Silence);
    let unanswered = Config::serving(recorded_at_4x())
        .with_fault(FaultPoint::Step(Step::Handshake), FaultAction::Silence);
    let rejecting = Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "no \u{1b}[31m\n\u{9b}way\u{202e} ?token=x",
        },
        ..Config::default()
    };
    let live = || Config::serving(Stream::live_sample());
    let cases = [
        (live(), &["-v"][..], "unpublished", 0),
        (cut, &[], "cut", 2),
        (silent, &["-m", "1"], "stalled", 1),
        (unanswered, &["-m", "1"], "no-connection", 3),
        (rejecting, &[], "refused", 1),
        (Config::default(), &[], "not-found", 1),
        (live(), &["-B", "1"], "limit", 0),
        (live(), &["-A", "1", "-B", "1"], "limit", 0),
        (live(), &["-W", "http://127.0.0.1:9/"], "no-player", 1),
        (live(), &["--heartbeat", "/no/such/folder/x"], "usage", 1),
        (live(), &["--log-file", "/no/such/folder/x"], "usage", 1),
    ];
    parallel::for_each(cases, |(config, options, ending, code)| {
        let server = Server::start(config);
        let run = Run::new(&server.url("clip"), &["--progress", "json"], options).finish();
        assert_eq!(run.code(), Some(code), "{ending}: {run}");
        let events = events(&run.stderr);
        let summary = only_event(&events, "summary");
        assert_eq!(summary["ending"], ending, "{run}");
        assert_eq!(summary["exit_code"], code);
        assert_eq!(event_name(events.last().expect("a summary")), "summary");
        if ending == "refused" {
            let reason = summary["reason"].as_str().expect("a string");
            let expected = "no \u{1b}[31m\n\u{9b}way\u{202e} ?token=***";
            assert!(reason.contains(expected), "{reason:?}");
        }
    });
}

#[test]
fn progress_modes_select_the_status_output() {
    let server = Server::start(Config::serving(recorded_at_4x()));
    for (options, has_status) in [
        (&[][..], true),
        (&["--progress", "bar"], true),
        (&["--progress", "lines"], true),
        (&["--progress", "none"], false),
    ] {
        let run = Run::new(&server.url("clip"), &[], options)
            .finish()
            .succeeded();
        assert_eq!(run.stderr.contains(" of 0:03 ("), has_status, "{run}");
        assert!(run.stderr.contains("INFO: Connected..."), "{run}");
        let last = run.stderr.lines().last().expect("a line");
        assert!(last.starts_with("saved "), "{run}");
        let (_, facts) = last.split_once("out.flv: ").expect("the file");
        assert!(facts.contains(" KiB, 0:03, ended (Net"), "{run}");
    }
    let run = Run::new(&server.url("clip"), &[], &["--progress", "xml"]).finish();
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.starts_with("ERROR: usage: "), "{run}");
}

#[test]
fn usage_errors_are_json_if_requested() {
    let url = "rtmp://me:pw@127.0.0.1:1/a/b";
    for options in [
        &["--progress", "json", "--nonsense"][..],
        &["--progress=json", "-m", "pw"],
        &["--progress", "json", "-a"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        let finished = Process::start(command.arg(url).args(options)).finish(LIMIT);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let events = events(&finished.stderr);
        assert_eq!(events.len(), 1, "{finished}");
        let summary = only_event(&events, "summary");
        assert_eq!(
            (&summary["ending"], &summary["exit_code"]),
            (&json!("usage"), &json!(1))
        );
        assert!(
            summary["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty())
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    let options = ["--progress-fd", "1", "--nonsense"];
    let finished = Process::start(command.arg(url).args(options)).finish(LIMIT);
    assert!(finished.stderr.starts_with("ERROR: usage: "), "{finished}");
    let events = events(&String::from_utf8(finished.stdout).expect("valid JSON"));
    assert_eq!(only_event(&events, "summary")["ending"], "usage");
}

/// Runs each `jq` example of the manual on the events of a real download.
#[cfg(unix)]
#[test]
fn the_jq_examples_of_the_manual_work() {
    let manual = include_str!("../../src/cli/generate/manual.md");
    let filters: Vec<_> = manual
        .lines()
        .filter_map(|line| line.split_once("| jq -r '"))
        .filter_map(|(_, filter)| filter.strip_suffix('\''))
        .collect();
    assert_eq!(filters.len(), 4, "{filters:?}");
    if Command::new("jq").arg("--version").output().is_err() {
        return crate::peers::skip("jq");
    }
    let server = Server::start(Config::serving(recorded_at_4x()));
    let options = ["--progress", "json"];
    let run = Run::new(&server.url("clip"), &options, &[]);
    let (run, folder) = run.finish_keeping_folder();
    let events = folder.path().join("events");
    fs::write(&events, &run.stderr).expect("a file");
    for filter in filters {
        let mut command = Command::new("jq");
        command.args(["-r", filter]).arg(&events);
        let output = command.output().expect("jq runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{filter}: {output:?}");
        let is_empty_for_one_file = filter.contains("\"gap\"");
        assert_eq!(
            text.trim().is_empty(),
            is_empty_for_one_file,
            "{filter}: {text}"
        );
        assert!(!text.contains("null"), "{filter}: {text}");
    }
}

#[test]
fn a_live_stream_has_no_percentage_of_the_announced_duration() {
    // The publisher plays a file and announces its duration.
    let live = Stream::live(Clip::sample()).paced(Pace::Speed(1.0));
    let server = Server::start(Config::serving(live));
    let json = ["--progress-fd", "1"];
    parallel::for_each([&["-v"][..], &[]], |options| {
        let run = Run::new(&server.url("clip"), &json, options).finish();
        assert_eq!(run.code(), Some(0), "{run}");
        assert!(!run.stderr.contains('%'), "{run}");
        let events = events(&String::from_utf8(run.stdout.clone()).expect("valid JSON"));
        let mut progress = events
            .iter()
            .filter(|event| event_name(event) == "progress");
        assert!(
            progress.all(|event| event["expected_ms"].is_null()),
            "{run}"
        );
    });
    let run = Run::new(&server.url("clip"), &json, &["-v", "--duration", "2"]).finish();
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(run.stderr.contains('%'), "{run}");
    let events = events(&String::from_utf8(run.stdout.clone()).expect("valid JSON"));
    let mut progress = events
        .iter()
        .filter(|event| event_name(event) == "progress");
    assert!(progress.all(|event| event["expected_ms"] == 2000), "{run}");
}

#[cfg(unix)]
mod descriptors {
    use std::{
        fs::File,
        io::{Read, Write},
        path::Path,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn events_are_written_to_a_descriptor() {
        let server = Server::start(Config::serving(recorded_at_4x()));
        for options in [&["--progress-fd", "3"][..], &["--progress-fd", "3", "-q"]] {
            let run = Run::redirected(&server.url("clip"), "3>>events", options);
            let path = run.folder.path().join("events");
            File::create(&path)
                .and_then(|mut file| file.write_all(b"before\n"))
                .expect("a file");
            let (run, _folder) = run.finish_keeping_folder();
            assert_eq!(run.code(), Some(0), "{run}");
            let text = fs::read_to_string(path).expect("a file");
            let text = text.strip_prefix("before\n").expect("events are appended");
            let events = events(text);
            assert_eq!(only_event(&events, "summary")["ending"], "ended");
            assert_eq!(run.stderr.is_empty(), options.contains(&"-q"), "{run}");
            assert_eq!(run.stderr.contains(" of 0:03 ("), !options.contains(&"-q"));
        }
    }

    #[test]
    fn stdout_is_accepted_as_the_descriptor() {
        let server = Server::start(Config::serving(recorded_at_4x()));
        let options = ["--progress", "json", "--progress-fd", "1"];
        let run = Run::new(&server.url("clip"), &[], &options)
            .finish()
            .succeeded();
        let text = String::from_utf8(run.stdout.clone()).expect("valid JSON");
        assert_eq!(only_event(&events(&text), "summary")["ending"], "ended");
        assert!(!run.stderr.contains(" of 0:03"), "{run}");
        assert!(run.stderr.contains("0:03, ended ("), "{run}");
    }

    #[test]
    fn invalid_descriptor_is_a_usage_error() {
        let server = Server::start(Config::serving(recorded_at_4x()));
        let cases = [
            ("", "17", "no such descriptor is open"),
            ("", "2", "--progress json writes to standard error"),
            ("", "-1", "invalid value '-1'"),
            ("5<.", "5", "Is a directory"),
        ];
        for (redirection, number, cause) in cases {
            let options = ["--progress-fd", number];
            let run = Run::redirected(&server.url("clip"), redirection, &options).finish();
            assert_eq!(run.code(), Some(1), "{run}");
            assert!(run.stderr.starts_with("ERROR: usage: "), "{run}");
            assert!(run.stderr.contains(cause), "{run}");
        }
        assert_eq!(server.clients().len(), 0);
    }

    /// The download creates more lines than the pipe and the queue hold; the summary still arrives.
    #[test]
    fn paused_reader_still_gets_the_summary() {
        let server = Server::start(Config::serving(many_messages().ending(&[])));
        let options = ["-v", "-z", "--progress", "json"];
        let run = Run::redirected(&server.url("clip"), "2>fifo", &options);
        let (file, fifo) = (run.file(), fifo(&run));
        let started = run.start();
        let mut reader = File::open(fifo).expect("a FIFO");
        wait_for(&file, &Clip::repeated_sample(60, 3_040));
        started.process.signal("INT");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("valid UTF-8");
        let (run, _folder) = started.finish();
        assert_eq!(run.code(), Some(0));
        let events = events(&text);
        let summary = only_event(&events, "summary");
        assert_eq!(summary["ending"], "interrupted");
        assert!(summary["left_out"].as_u64() > Some(0), "{summary}");
        assert_eq!(event_name(events.last().expect("a summary")), "summary");
    }

    #[test]
    fn blocked_and_closed_readers_delay_nothing() {
        for has_left in [false, true] {
            let server = Server::start(Config::serving(many_messages()));
            let options = ["-v", "-z", "--progress", "json"];
            let run = Run::redirected(&server.url("clip"), "2>fifo", &options);
            let (file, fifo) = (run.file(), fifo(&run));
            let started = run.start();
            let reader = File::open(fifo).expect("a FIFO");
            let reader = (!has_left).then_some(reader);
            let (run, _folder) = started.finish();
            assert_eq!(run.code(), Some(0));
            assert!(run.took < Duration::from_secs(10), "{run}");
            let last_ms = Clip::repeated_sample(60, 3_040).last_timestamp_ms();
            assert_eq!(Clip::read(&file).last_timestamp_ms(), last_ms);
            drop(reader);
        }
    }

    /// The other end of the pipe is closed before rtmpull reopens the descriptor.
    #[test]
    fn reader_closed_before_the_start_delays_nothing() {
        let server = Server::start(Config::serving(recorded_at_4x()));
        let run = Run::new(&server.url("clip"), &[], &["--progress-fd", "3"]);
        let mut command = Command::new("sh");
        command.args(["-c", r#"{ sleep 0.2; "$@" 3>&1 >&2; } | true"#, "sh"]);
        command
            .arg(run.command.get_program())
            .args(run.command.get_args());
        let finished = Process::start(&mut command).finish(LIMIT);
        assert!(finished.stderr.contains("0:03, ended ("), "{finished}");
        assert!(finished.took < Duration::from_secs(5), "{finished}");
    }

    fn fifo(run: &Run) -> std::path::PathBuf {
        let fifo = run.folder.path().join("fifo");
        let status = Command::new("mkfifo").arg(&fifo).status();
        assert!(status.is_ok_and(|status| status.success()), "mkfifo failed");
        fifo
    }

    /// Waits until `file` contains all of `clip`.
    fn wait_for(file: &Path, clip: &Clip) {
        let bytes: usize = clip.media().map(|tag| tag.body.len() + 15).sum();
        let length = || fs::metadata(file).map_or(0, |file| file.len());
        let start = Instant::now();
        while length() < bytes as u64 {
            assert!(start.elapsed() < LIMIT, "{} of {bytes} bytes", length());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stream at full speed with more messages than the queue has space for lines.
    fn many_messages() -> Stream {
        Stream::live(Clip::repeated_sample(60, 3_040)).paced(Pace::Unbounded)
    }
}

#[test]
fn heartbeat_is_written_while_media_arrives() {
    let live = Stream::live(Clip::sample())
        .paced(Pace::Speed(1.0))
        .ending(&[]);
    let server = Server::start(Config::serving(live));
    let options = ["-v", "-m", "4", "--retry", "0", "--heartbeat", "beat"];
    let (run, folder) = Run::new(&server.url("clip"), &[], &options).finish_keeping_folder();
    assert_eq!(run.code(), Some(2), "{run}");
    let text = fs::read_to_string(folder.path().join("beat")).expect("a heartbeat");
    let beat: Json = serde_json::from_str(&text).expect("valid JSON");
    // The second heartbeat, two seconds after the first; the silence that follows has none.
    let position_ms = beat["position_ms"].as_u64().expect("a number");
    assert!((1_500..2_900).contains(&position_ms), "{text}");
    let bytes = fs::metadata(folder.path().join("out.flv"))
        .expect("a file")
        .len();
    assert!(beat["bytes"].as_u64() < Some(bytes), "{text}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
}

#[test]
fn same_file_for_two_purposes_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recording = include_bytes!("../server/clip.flv");
    fs::write(folder.path().join("old.flv"), recording).expect("the file can be written");
    let stream = "rtmp://127.0.0.1:1/app/clip";
    let absolute = folder.path().join("new.flv");
    let absolute = absolute.to_str().expect("valid UTF-8");
    let cases = [
        (
            &[stream, "-o", "new.flv", "--heartbeat", absolute][..],
            "--heartbeat and --flv",
        ),
        (
            &[stream, "-o", "new.flv", "--log-file", "./new.flv"],
            "--log-file and --flv",
        ),
        (
            &[stream, "-o", "old.flv", "--log-file", "../*/old.flv"],
            "--log-file and --flv",
        ),
        (
            &[stream, "-o", "-", "--tee", "new", "--log-file", "new"],
            "--log-file and --tee",
        ),
        (
            &[stream, "-o", "a", "--manifest", "x", "--heartbeat", "x"],
            "--heartbeat and --manifest",
        ),
        (
            &[stream, "-o", "a", "--manifest", "x", "--log-file", "x"],
            "--log-file and --manifest",
        ),
        (
            &[stream, "-o", "a", "--heartbeat", "x", "--log-file", "x"],
            "--log-file and --heartbeat",
        ),
        (
            &["--repair", "none", "old.flv", "--log-file", "old.flv"],
            "--log-file and --repair",
        ),
        (
            &["--repair", "old.flv", "-o", "new", "--log-file", "new"],
            "--log-file and --flv",
        ),
    ];
    let event_name = folder.path().file_name().expect("a name");
    let event_name = event_name.to_str().expect("valid UTF-8");
    for (line, flags) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command.args(line.iter().map(|word| word.replace('*', event_name)));
        let finished = Process::start(command.current_dir(&folder)).finish(LIMIT);
        let expected = format!("ERROR: usage: {flags} name the same file\n");
        assert_eq!(finished.stderr, expected, "{line:?}");
        assert_eq!(finished.code(), Some(1), "{finished}");
    }
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1);
    let old = fs::read(folder.path().join("old.flv"));
    assert!(old.expect("the file exists") == recording);
}

#[test]
#[cfg(unix)]
fn log_is_not_written_into_the_recording() {
    let server = Server::start(Config::serving(recorded_at_4x()));
    let log_to_stdout = r#"exec "$0" "$1" -o - --log-file /dev/stdout"#;
    let log_to_file = r#"exec "$0" "$1" -o - --log-file out > out"#;
    for (script, code) in [
        (log_to_stdout, 1),
        (log_to_file, 1),
        (&format!("{log_to_stdout} > /dev/null")[..], 0),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_rtmpull")]);
        command.arg(server.url("clip")).current_dir(&folder);
        let finished = Process::start(&mut command).finish(LIMIT);
        assert_eq!(finished.code(), Some(code), "{script}: {finished}");
        let expected = "ERROR: usage: --log-file names standard output, where the recording goes\n";
        assert_eq!(finished.stderr == expected, code == 1, "{finished}");
        assert!(finished.stdout.is_empty(), "nothing is written");
    }
}

#[cfg(unix)]
mod service {
    use std::{
        net::Shutdown,
        os::unix::net::UnixDatagram,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn service_manager_gets_ready_and_watchdog_messages() {
        let live = Stream::live(Clip::sample())
            .paced(Pace::Speed(1.0))
            .ending(&[]);
        let server = Server::start(Config::serving(live));
        let mut run = Run::new(&server.url("clip"), &[], &["-v", "-m", "2", "--retry", "0"]);
        let messages = service_manager(&mut run);
        run.command.env("WATCHDOG_USEC", "600000");
        let (run, _folder) = run.finish_keeping_folder();
        assert_eq!(run.code(), Some(2), "{run}");
        let messages = messages();
        let texts: Vec<_> = messages.iter().map(|(_, text)| text.as_str()).collect();
        let position = |wanted: &str| {
            let position = texts.iter().position(|text| text.starts_with(wanted));
            position.unwrap_or_else(|| panic!("no {wanted:?} in {texts:?}"))
        };
        let ready = position("READY=1");
        assert!(position("STATUS=Connecting to 127.0.0.1:") < ready);
        assert!(position("STATUS=Recording, 0:0") > ready);
        let is_watchdog = |(_, text): &&(Instant, String)| text == "WATCHDOG=1\n";
        let pings: Vec<_> = messages.iter().filter(is_watchdog).collect();
        // Three seconds of media, two seconds of silence.
        assert!((6..=13).contains(&pings.len()), "{texts:?}");
        let [.., (stalled, status), (_, stopping)] = messages.as_slice() else {
            panic!("{texts:?}")
        };
        assert!(
            status.starts_with("STATUS=stalled: no more media"),
            "{texts:?}"
        );
        assert_eq!(stopping, "STOPPING=1\n");
        let (last, _) = pings.last().expect("a ping");
        let silence = stalled.duration_since(*last);
        assert!(silence > Duration::from_millis(1_200), "{silence:?}");
    }

    #[test]
    fn server_text_cannot_forge_service_messages() {
        let server = Server::start(Config {
            connect: OnConnect::Reject {
                code: "NetConnection.Connect.Rejected",
                description: "no\nREADY=1\nMAINPID=1",
            },
            ..Config::default()
        });
        let mut run = Run::new(&server.url("clip"), &[], &[]);
        let messages = service_manager(&mut run);
        let run = run.finish();
        assert_eq!(run.code(), Some(1), "{run}");
        let messages = messages();
        let lines = messages.iter().flat_map(|(_, text)| text.lines());
        let forged = lines.filter(|line| !line.starts_with("STATUS=") && *line != "STOPPING=1");
        assert_eq!(forged.count(), 0, "{messages:?}");
        assert!(
            messages.iter().any(|(_, text)| text.contains("MAINPID")),
            "{messages:?}"
        );
    }

    #[test]
    fn unresponsive_service_manager_delays_nothing() {
        let server = Server::start(Config::serving(recorded_at_4x().paced(Pace::Unbounded)));
        let mut run = Run::new(&server.url("clip"), &[], &[]);
        let path = run.folder.path().join("notify");
        let _unread = UnixDatagram::bind(&path).expect("a socket");
        let others = UnixDatagram::unbound().expect("a socket");
        others.set_nonblocking(true).expect("a socket");
        while others.send_to(b"full", &path).is_ok() {}
        run.command.env("NOTIFY_SOCKET", &path);
        run.command.env("WATCHDOG_USEC", "1");
        let run = run.finish().succeeded();
        assert!(run.took < Duration::from_secs(5), "{run}");
        let mut run = Run::new(&server.url("clip"), &[], &[]);
        run.command.env("NOTIFY_SOCKET", "/no/such/socket");
        run.finish().succeeded();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn service_manager_may_have_an_abstract_address() {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

        let server = Server::start(Config::serving(recorded_at_4x()));
        let mut run = Run::new(&server.url("clip"), &[], &[]);
        let name = run.folder.path().to_str().expect("a UTF-8 path").to_owned();
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        run.command.env("NOTIFY_SOCKET", format!("@{name}"));
        let messages = recorded_messages(socket);
        run.finish().succeeded();
        let texts: Vec<_> = messages().into_iter().map(|(_, text)| text).collect();
        assert!(texts.iter().any(|text| text == "READY=1\n"), "{texts:?}");
    }

    /// Records the messages of `run` until the returned closure is called.
    fn service_manager(run: &mut Run) -> impl FnOnce() -> Vec<(Instant, String)> + use<> {
        let path = run.folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        run.command.env("NOTIFY_SOCKET", &path);
        recorded_messages(socket)
    }

    /// Records the messages to `socket` until the returned closure is called.
    fn recorded_messages(socket: UnixDatagram) -> impl FnOnce() -> Vec<(Instant, String)> + use<> {
        let receiver = socket.try_clone().expect("the same socket");
        let thread = thread::spawn(move || {
            let mut messages = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = receiver.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..length].to_vec());
                messages.push((Instant::now(), text.expect("valid UTF-8")));
            }
            messages
        });
        move || {
            let _ = socket.shutdown(Shutdown::Both);
            thread.join().expect("the receiver thread does not panic")
        }
    }
}

struct Run {
    command: Command,
    folder: TempDir,
}

/// Running program and its folder.
struct Started {
    process: Process,
    folder: TempDir,
}

impl Run {
    fn new(url: &str, options: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command.arg(url).args(options).args(more);
        command.arg("-o").arg(folder.path().join("out.flv"));
        command.current_dir(folder.path());
        Self { command, folder }
    }

    /// Runs the program through a shell with a redirection.
    #[cfg(unix)]
    fn redirected(url: &str, redirection: &str, options: &[&str]) -> Self {
        let Self { command, folder } = Self::new(url, options, &[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"exec "$@" {redirection}"#), "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.current_dir(folder.path());
        let command = shell;
        Self { command, folder }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("out.flv")
    }

    fn start(mut self) -> Started {
        Started {
            process: Process::start(&mut self.command),
            folder: self.folder,
        }
    }

    #[track_caller]
    fn finish_keeping_folder(self) -> (Finished, TempDir) {
        self.start().finish()
    }

    #[track_caller]
    fn finish(self) -> Finished {
        self.finish_keeping_folder().0
    }
}

impl Started {
    #[track_caller]
    fn finish(self) -> (Finished, TempDir) {
        (self.process.finish(LIMIT), self.folder)
    }
}

/// Parses the events. Panics if a line is not JSON or contains unescaped control characters.
#[track_caller]
pub fn events(text: &str) -> Vec<Json> {
    let is_harmful =
        |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(is_harmful), "{text:?}");
    assert!(text.ends_with('\n'), "{text:?}");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

fn event_name(event: &Json) -> &str {
    event["event"].as_str().expect("every event has a name")
}

/// Returns the only event with this name.
#[track_caller]
fn only_event<'a>(events: &'a [Json], wanted: &str) -> &'a Json {
    let mut found = events.iter().filter(|event| event_name(event) == wanted);
    let event = found
        .next()
        .unwrap_or_else(|| panic!("no {wanted}: {events:?}"));
    assert!(found.next().is_none(), "more than one {wanted}");
    event
}

fn recorded_at_4x() -> Stream {
    Stream::recorded(Clip::sample()).paced(Pace::Speed(4.0))
}
