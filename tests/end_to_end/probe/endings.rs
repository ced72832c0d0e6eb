//! Verdicts, exit codes and the end of a probe.

use std::{fs, time::Duration};

use super::{probe, run, stdout};
use crate::{
    hostile::ONE_SECOND_TIMEOUT,
    peers::free_port,
    server::{
        Clip, Config, EndSignal, FaultAction, FaultPoint, OnConnect, OnMissing, Pace, Server, Step,
        Stream,
    },
};

/// A live stream that is longer than any probe.
fn endless() -> Server {
    let stream = Stream {
        pace: Pace::Speed(1.0),
        ..Stream::live(Clip::repeated_sample(60, 1000))
    };
    Server::start(Config::serving(stream))
}

#[test]
fn a_live_stream_plays_until_the_time_of_the_probe_is_over() {
    let server = endless();
    let probe = probe(&server.url("clip"), &["-v", "--probe-time", "1s"]);
    probe.assert_result(0, "plays");
    assert_eq!(probe.get("verdict.ending"), "limit");
    let first = probe.number("times.first_frame_ms");
    let duration = probe.number("times.duration_ms");
    assert!(
        (900.0..1800.0).contains(&(duration - first)),
        "{first} to {duration} ms"
    );
}

#[test]
fn a_probe_without_time_ends_when_everything_is_known() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::repeated_sample(
        20, 1000,
    ))));
    let probe = probe(&server.url("clip"), &["--probe-time", "0"]);
    probe.assert_result(0, "plays");
    assert!(
        probe.finished.took < Duration::from_secs(4),
        "{:?}",
        probe.finished.took
    );
    assert!(probe.number("tracks.0.frames") > 10.0);
}

#[test]
fn a_refused_connection_to_the_app_exits_with_1() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "no such \x1b[31mapp",
        },
        ..Config::default()
    });
    let url = server.url("clip");
    let probe = probe(&url, &[]);
    probe.assert_result(1, "refused");
    assert_eq!(probe.get("verdict.ending"), "refused");
    let text = stdout(&run(&[&url]));
    assert!(
        text.contains("verdict: refused: ") && text.contains("\nhint: "),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn line_breaks_of_the_server_do_not_forge_lines() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "no\nverdict: plays\r\nOK",
        },
        ..Config::default()
    });
    let url = server.url("clip");
    for options in [&[][..], &["--nagios"]] {
        let arguments = [&[&*url], options].concat();
        let text = stdout(&run(&arguments));
        let forged = |line: &str| line.starts_with("verdict: plays") || line.starts_with("OK");
        assert!(!text.lines().any(forged), "{text}");
    }
    assert!(stdout(&run(&[&url])).contains("no\\nverdict: plays\\r\\nOK"));
}

#[test]
fn a_missing_stream_exits_with_1() {
    let server = Server::start(Config::default());
    let probe = probe(&server.url("nothing"), &[]);
    probe.assert_result(1, "refused");
    assert_eq!(probe.get("verdict.ending"), "not-found");
    assert_eq!(probe.get("times.first_frame_ms"), &serde_json::Value::Null);
}

#[test]
fn a_silent_server_exits_with_1_after_the_timeout() {
    let server = Server::start(Config {
        missing: OnMissing::StartThenSilence,
        ..Config::default()
    });
    let probe = probe(&server.url("nothing"), &ONE_SECOND_TIMEOUT);
    probe.assert_result(1, "refused");
    assert_eq!(probe.get("verdict.ending"), "stalled");
}

#[test]
fn media_that_stops_exits_with_2() {
    let stop = |action| {
        Config::serving(Stream::live(Clip::sample()))
            .with_fault(FaultPoint::Boundary(20_000), action)
    };
    for (action, ending) in [(FaultAction::Rst, "cut"), (FaultAction::Silence, "stalled")] {
        let server = Server::start(stop(action));
        let mut options = vec!["-v"];
        options.extend(ONE_SECOND_TIMEOUT);
        let probe = probe(&server.url("clip"), &options);
        probe.assert_result(2, "stopped");
        assert_eq!(probe.get("verdict.ending"), ending);
        assert!(probe.number("health.media_ms") > 0.0);
    }
}

#[test]
fn a_publisher_that_leaves_exits_with_2() {
    let stream = Stream {
        end: vec![EndSignal::UnpublishNotify],
        ..Stream::live(Clip::sample())
    };
    let server = Server::start(Config::serving(stream));
    let probe = probe(&server.url("clip"), &["-v"]);
    probe.assert_result(2, "stopped");
    assert_eq!(probe.get("verdict.ending"), "unpublished");
}

#[test]
fn a_closed_port_exits_with_3() {
    let url = format!("rtmp://127.0.0.1:{}/app/clip", free_port());
    let probe = probe(&url, &[]);
    probe.assert_result(3, "no-connection");
    assert_eq!(probe.get("connection.addresses.0.result"), "failed");
    assert_eq!(probe.get("connection.failed_step"), "TCP");
}

#[test]
fn a_server_that_ends_the_handshake_exits_with_3() {
    let fault = Config::default().with_fault(FaultPoint::Step(Step::Handshake), FaultAction::Fin);
    let server = Server::start(fault);
    probe(&server.url("clip"), &[]).assert_result(3, "no-connection");
}

#[cfg(unix)]
#[test]
fn an_interrupted_probe_prints_what_is_known() {
    use crate::{
        process::Process,
        program::{self, LIMIT},
    };

    let server = endless();
    let mut command = program::command();
    command.args(["--probe", &server.url("clip"), "--probe-time", "1m", "-v"]);
    let process = Process::start(&mut command);
    // The client sets a buffer length when it plays.
    while server
        .clients()
        .iter()
        .all(|client| client.buffer_lengths.is_empty())
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let text = stdout(&finished);
    assert!(text.contains("\nVideo v0\n"), "{text}");
    assert!(text.contains("\nverdict: plays"), "{text}");
}

#[test]
fn quiet_probes_only_have_an_exit_code() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let finished = run(&[&server.url("clip"), "--quiet"]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert_eq!(
        (stdout(&finished), finished.stderr),
        (String::new(), String::new())
    );
}

#[test]
fn secrets_do_not_appear() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = format!("{}?token=geheimnis", server.url("clip"));
    for options in [&["--json"][..], &["--nagios"], &[]] {
        let arguments: Vec<&str> = [url.as_str()]
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        let finished = run(&arguments);
        let text = stdout(&finished) + &finished.stderr;
        assert!(!text.contains("geheimnis"), "{text}");
    }
}

#[test]
fn options_of_a_recording_are_refused() {
    for option in [
        &["-o", "file.flv"][..],
        &["--retry", "3"],
        &["--remux", "in.flv"],
    ] {
        let arguments: Vec<&str> = ["rtmp://localhost/app/clip"]
            .into_iter()
            .chain(option.iter().copied())
            .collect();
        let finished = run(&arguments);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let refusal = "ERROR: usage: --probe records nothing: it cannot be used with";
        assert!(finished.stderr.contains(refusal), "{finished}");
    }
}

#[test]
fn short_secrets_of_the_url_are_masked_after_their_names_everywhere() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "1 client refused: bad token 'k7' of 1",
        },
        ..Config::default()
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = folder.path().join("session.pcapng");
    let url = server.url("clip?token=k7");
    let probe = probe(
        &url,
        &["--capture", capture.to_str().expect("a UTF-8 path")],
    );
    probe.assert_result(1, "refused");
    let reason = probe.get("verdict.reason").as_str().expect("a reason");
    assert!(
        reason.contains("1 client refused: bad token '***' of 1"),
        "{reason}"
    );
    let text = run(&[&url, "-v"]);
    let captured = fs::read(&capture).expect("a capture");
    let captured = String::from_utf8_lossy(&captured);
    let outputs = [stdout(&probe.finished), stdout(&text), text.stderr];
    for output in outputs.iter().map(String::as_str).chain([&*captured]) {
        assert!(
            !output.contains("'k7'") && !output.contains("token=k7"),
            "{output}"
        );
    }
    assert!(
        captured.contains("1 client refused: bad token 'xx' of 1"),
        "{captured}"
    );
}
