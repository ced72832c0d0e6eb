//! rtmpull called as `rtmpdump`, and rtmpull with the options of rtmpdump.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rtmpull::core::{amf::Value, rtmp::message::Kind};
use tempfile::TempDir;

use crate::{
    process::{Finished, Process, last_line, without_time},
    program::{self, LIMIT, download},
    server::{
        Clip, Config, Connection, FaultAction, LoginScheme, OnConnect, OnMissing, Pace,
        ScriptedPeer, SeekTo, Seeking, Server, Stream, Tag, status,
    },
};

#[test]
fn stop_ends_a_server_that_sends_more() {
    // The test server ignores the requested length and sends everything.
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    for (options, ms) in [
        (&["--stop", "1"][..], 1000),
        (&["-A", "1", "-B", "1.5"], 500),
    ] {
        let download = download(&server.url("clip"), options);
        download.assert_ended(0, "limit");
        let stderr = &download.finished.stderr;
        let seconds = f64::from(ms) / 1000.0;
        let expected = format!("For duration: {seconds} s\n");
        assert!(stderr.contains(&expected), "{stderr}");
        assert!(stderr.contains("\nsaved "), "{stderr}");

        let url = server.url("clip");
        let line = [&["-r", &url, "-o", "f"], options].concat();
        let finished = RtmpdumpLink::new().run(&line).succeeded();
        let stderr = &finished.stderr;
        let expected = format!("For duration: {seconds:.3} sec\n");
        assert!(stderr.contains(&expected), "{stderr}");
        let expected = "(100.0%)\nDownload complete\nINFO: limit: ";
        assert!(stderr.contains(expected), "{stderr}");
        let last_ms = download.clip().media().map(|tag| tag.timestamp_ms).max();
        assert!(
            (ms - 100..ms).contains(&last_ms.unwrap_or(0)),
            "{last_ms:?}"
        );
    }
}

/// The server sends sequence headers only to clients that play from 0.
#[test]
fn missing_sequence_headers_are_fetched_from_the_beginning() {
    let seeking = Seeking {
        sends_sequence_headers: false,
        ..Seeking::default()
    };
    let stream = Stream::recorded_sample().seeking(seeking);
    let server = Server::start(Config::serving(stream));
    let download = download(&server.url("clip"), &["-A", "2"]);
    download.assert_ended(0, "ended");
    let clients = server.clients();
    let starts: Vec<_> = clients
        .iter()
        .map(|client| client.command("play").expect("a play").values[2].clone())
        .collect();
    assert_eq!(starts, [2_000.0, 0.0].map(Value::Number));
    let clip = download.clip();
    let media: Vec<_> = clip.media().collect();
    let headers = media.iter().filter(|tag| tag.is_sequence_header());
    assert_eq!(headers.count(), 2);
    for kind in [Tag::AUDIO, Tag::VIDEO] {
        let first = media.iter().find(|tag| tag.kind == kind);
        assert!(first.is_some_and(|tag| tag.is_sequence_header()), "{kind}");
    }
    let expected = Clip::sample();
    let expected = expected.media().filter(|tag| tag.timestamp_ms >= 2_000);
    assert!(media.len() >= expected.count() + 2);
}

/// The stream has no sequence headers, not even at its beginning.
#[test]
fn missing_sequence_headers_are_reported() {
    let mut clip = Clip::sample();
    clip.tags.retain(|tag| !tag.is_sequence_header());
    for (stream, options, ending) in [
        (Stream::live(clip.clone()), &["-v"][..], "unpublished"),
        (Stream::recorded(clip.clone()), &["-A", "1"], "ended"),
    ] {
        let server = Server::start(Config::serving(stream.paced(Pace::Unbounded)));
        let download = download(&server.url("clip"), options);
        download.assert_ended(0, ending);
        let stderr = &download.finished.stderr;
        let last = stderr.lines().last().unwrap_or_default();
        let suffix = "(no sequence header for video and audio)";
        assert!(last.ends_with(suffix), "{stderr}");
        let warnings = stderr.matches("WARNING: no video sequence header arrived");
        assert_eq!(warnings.count(), 1, "{stderr}");
    }
}

/// One frame has the timestamp 0.
#[test]
fn kept_timestamps_are_those_of_the_server_except_for_a_stray_frame() {
    let mut clip = Clip::sample();
    for tag in &mut clip.tags {
        tag.timestamp_ms += 70_000;
    }
    let stray = clip.tags.len() / 2;
    let expected_ms = clip.tags[stray].timestamp_ms;
    let body = clip.tags[stray].body.clone();
    clip.tags[stray].timestamp_ms = 0;
    let stream = Stream::recorded(clip.clone()).paced(Pace::Unbounded);
    let server = Server::start(Config::serving(stream));
    let download = download(&server.url("clip"), &["--keep-timestamps"]);
    download.assert_ended(0, "ended");
    let recorded = download.clip();
    let is_frame = |tag: &&Tag| !tag.is_sequence_header();
    let recorded: Vec<_> = recorded.media_with_content().filter(is_frame).collect();
    let sent: Vec<_> = clip.media_with_content().filter(is_frame).collect();
    assert_eq!(recorded.len(), sent.len());
    for (recorded, sent) in recorded.iter().zip(sent) {
        if sent.body == body {
            let distance_ms = recorded.timestamp_ms.abs_diff(expected_ms);
            assert!(distance_ms < 200, "{distance_ms}");
        } else {
            assert_eq!(recorded.timestamp_ms, sent.timestamp_ms);
        }
    }
}

/// The server sends all three seconds, from 0 on, whatever start is requested.
#[test]
fn ignored_start_is_reported_as_cut() {
    let seeking = |to| Seeking {
        to,
        restarts_clock: true,
        ..Seeking::default()
    };
    let stream = |to| Stream::recorded_sample().seeking(seeking(to));
    let server = Server::start(Config::serving(stream(SeekTo::Beginning)));
    let ignored = download(&server.url("clip"), &["-A", "2"]);
    ignored.assert_ended(2, "cut");
    let stderr = &ignored.finished.stderr;
    assert!(stderr.contains("the server ignored --start"), "{stderr}");
    assert!(!stderr.contains("Download complete"), "{stderr}");
    let server = Server::start(Config::serving(stream(SeekTo::Keyframe(0))));
    let honored = download(&server.url("clip"), &["-A", "2"]);
    honored.assert_ended(0, "ended");
    let last_ms = honored.clip().last_timestamp_ms();
    assert!(last_ms < 1_100, "{last_ms}");
}

/// The range ends before the length of the stream can show that the start was ignored. The beginning of the
/// stream on another connection shows it.
#[test]
fn ignored_start_of_a_range_is_reported_as_cut() {
    let seeking = |to| Seeking {
        to,
        restarts_clock: true,
        ..Seeking::default()
    };
    let stream = |to| Stream::recorded_sample().seeking(seeking(to));
    let range = ["-A", "1.5", "-B", "2.8"];
    let server = Server::start(Config::serving(stream(SeekTo::Beginning)));
    let ignored = download(&server.url("clip"), &range);
    ignored.assert_ended(2, "cut");
    let stderr = &ignored.finished.stderr;
    assert!(stderr.contains("the server ignored --start"), "{stderr}");
    assert!(ignored.clip().last_timestamp_ms() >= 1_200, "media is kept");
    let server = Server::start(Config::serving(stream(SeekTo::Keyframe(0))));
    download(&server.url("clip"), &range).assert_ended(0, "limit");
}

#[test]
fn empty_requested_range_is_complete() {
    let download = download("rtmp://127.0.0.1:1/a/b", &["-A", "5", "-B", "3"]);
    assert_eq!(download.finished.code(), Some(0));
    assert!(
        download
            .finished
            .stderr
            .ends_with("Already Completed\nDownload complete\n")
    );
    assert!(!download.file().exists());
}

#[test]
fn other_candidates_are_tried_in_turn() {
    let peer = ScriptedPeer::start(|peer, number| match number {
        // The close may mean that the server cannot handle pipelining, so the first candidate is
        // tried again without it.
        0 | 1 => {
            peer.accept_plain_handshake();
            assert_eq!(app(peer), "a/b");
            let _ = peer.fail::<()>(FaultAction::Fin);
        }
        2 => {
            peer.accept_plain_handshake();
            assert_eq!(app(peer), "a/b/c");
            let invalid = status("error", "NetConnection.Connect.InvalidApp", "no such");
            let _ = peer.queue_command(0, "_error", 1.0, &[Value::Null, invalid.into()]);
            let _ = peer.flush();
            let _ = peer.fail::<()>(FaultAction::Fin);
        }
        _ => {
            peer.start_playing();
            let _ = peer.queue(6, Kind::VIDEO, 1, 0, &[0x17, 1, 0, 0, 0, 1]);
            let stop = status("status", "NetStream.Play.Stop", "over");
            let _ = peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()]);
            let _ = peer.flush();
            let _ = peer.fail::<()>(FaultAction::Fin);
        }
    });
    let url = format!("rtmp://127.0.0.1:{}/a/b/c/d", peer.port());
    let download = download(&url, &[]);
    download.assert_ended(0, "ended");
    let stderr = &download.finished.stderr;
    assert!(
        stderr.contains(
            "INFO: the server does not have \"c/d\" in app \"a/b\", trying \"d\" in app \"a/b/c\""
        ),
        "{stderr}"
    );
    assert!(stderr.contains("trying \"b/c/d\" in app \"a\""), "{stderr}");
}

/// Cameras and MediaMTX expect the component as app, some servers as playpath.
#[test]
fn single_component_is_tried_as_app_and_as_playpath() {
    let peer = ScriptedPeer::start(|peer, number| {
        peer.accept_plain_handshake();
        let connect = peer.expect_command("connect");
        let resource = "mystream?user=a&pass=b";
        let (app, playpath) = [(resource, ""), ("", resource)][number];
        let requested = connect.values[0].member("app").and_then(Value::as_text);
        assert_eq!(
            requested.map(|app| app.to_string()).unwrap_or_default(),
            app
        );
        let _ = peer.accept_connect(&connect);
        let create = peer.expect_command("createStream");
        let _ = peer.accept_create_stream(&create);
        let play = peer.expect_command("play");
        let requested = play.values[1].as_text().map(|name| name.to_string());
        assert_eq!(requested.as_deref(), Some(playpath));
        if number == 0 {
            let refusal = status("error", "NetStream.Play.StreamNotFound", "no such");
            let _ = peer.queue_command(1, "onStatus", 0.0, &[Value::Null, refusal.into()]);
        } else {
            let _ = peer.start_stream();
            let _ = peer.queue(6, Kind::AUDIO, 1, 0, &[0x2F, 1, 2, 3]);
            let stop = status("status", "NetStream.Play.Stop", "over");
            let _ = peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()]);
        }
        let _ = peer.flush();
        let _ = peer.wait_for_close::<()>();
    });
    let url = format!("rtmp://127.0.0.1:{}/mystream?user=a&pass=b", peer.port());
    let download = download(&url, &[]);
    download.assert_ended(0, "ended");
    assert_eq!(download.clip().media().count(), 1);
}

#[test]
fn tried_candidates_are_listed_at_the_end() {
    let server = Server::start(Config::default());
    let url = format!("rtmp://127.0.0.1:{}/a/b/c/d", server.port());
    let download = download(&url, &[]);
    download.assert_ended(1, "not-found");
    let last = last_line(&download.finished.stderr);
    assert!(
        last.ends_with(
            "(tried \"c/d\" in app \"a/b\", \"d\" in app \"a/b/c\", \"b/c/d\" in app \"a\")"
        ),
        "{last}"
    );
    assert_eq!(server.clients().len(), 3);
}

#[test]
fn given_app_or_playpath_disables_other_candidates() {
    for options in [&["-a", "a/b"][..], &["-y", "c/d"]] {
        let server = Server::start(Config::default());
        let url = format!("rtmp://127.0.0.1:{}/a/b/c/d", server.port());
        download(&url, options).assert_ended(1, "not-found");
        assert_eq!(server.clients().len(), 1, "{options:?}");
    }
}

#[test]
fn silence_and_rejection_try_no_other_candidate() {
    let rejection = OnConnect::Reject {
        code: "NetConnection.Connect.Rejected",
        description: "not you",
    };
    for config in [
        Config {
            connect: rejection,
            ..Config::default()
        },
        Config {
            missing: OnMissing::Silence,
            ..Config::default()
        },
    ] {
        let server = Server::start(config);
        let url = format!("rtmp://127.0.0.1:{}/a/b/c/d", server.port());
        let download = download(&url, &["-m", "1"]);
        assert_eq!(download.finished.code(), Some(1));
        assert!(!download.finished.stderr.contains("tried"));
        assert_eq!(server.clients().len(), 1);
    }
}

#[test]
fn verbose_prints_the_parsed_url() {
    let download = download(
        "rtmp://me:hunter2@127.0.0.1:1/vod/_definst_/film.mp4?token=abc",
        &["-V"],
    );
    assert_eq!(download.finished.code(), Some(3));
    let stderr = &download.finished.stderr;
    for line in [
        "DEBUG: Protocol : RTMP",
        "DEBUG: Hostname : 127.0.0.1",
        "DEBUG: Port     : 1",
        "DEBUG: Playpath : mp4:film?token=***",
        "DEBUG: tcUrl    : rtmp://127.0.0.1:1/vod/_definst_",
        "DEBUG: app      : vod/_definst_",
    ] {
        assert!(
            stderr
                .lines()
                .any(|printed| without_time(printed) == Some(line)),
            "{line}\n{stderr}"
        );
    }
    assert!(
        !stderr.contains("hunter2") && !stderr.contains("abc"),
        "{stderr}"
    );
}

#[test]
fn secrets_are_masked_in_every_output() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "neither s3cretauth nor pw? of s3crettoken and ?user=s3cretuser&x=1",
        },
        ..Config::default()
    });
    let folder = folder();
    let log = folder.path().join("log");
    let url = format!(
        "rtmp://s3cretuser:s3cretpass@127.0.0.1:{}/a/b",
        server.port()
    );
    let text = format!("{url}?key=s3cretkey token=s3crettoken jtv=s3cretjtv");
    let mut command = program::command();
    command.args(["-i", &text, "-z", "-u", "s3cretauth", "-C", "O:1"]);
    command
        .args(["-C", "NS:password:s3cretconn", "-o"])
        .arg(folder.path().join("f"));
    command.arg("--log-file").arg(&log);
    let finished = Process::start(&mut command).finish(LIMIT);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let logged = fs::read_to_string(&log).expect("the log file exists");
    for (output, text) in [("screen", &finished.stderr), ("log", &logged)] {
        assert!(text.contains("neither *** nor"), "{output}: {text}");
        assert!(!text.contains("s3cret"), "{output}: {text}");
    }
    assert!(
        logged.lines().all(|line| line.get(10..11) == Some("T")),
        "{logged}"
    );
}

/// Streams of old servers have names in Latin-1.
#[test]
#[cfg(unix)]
fn bytes_that_are_not_utf8_are_sent_unchanged() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    // All characters are in Latin-1, which is the first page of Unicode.
    let latin1 = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let cases: [(&[&str], Option<&str>); 4] = [
        (&["-r", "URL"], None),
        (&["URL"], None),
        (
            &["-r", "URL", "-y", "café", "-p", "http://é/"],
            Some("http://é/"),
        ),
        (
            &["-i", r"rtmp://HOST/x app=ap\e9 playpath=caf\e9 pageUrl=\e9"],
            Some("é"),
        ),
    ];
    for (line, page_url) in cases {
        let server = Server::start(Config::default());
        let mut command = program::command();
        for text in line {
            let text = text.replace("URL", "rtmp://HOST/apé/café");
            let text = text.replace("HOST", &format!("127.0.0.1:{}", server.port()));
            command.arg(OsStr::from_bytes(&latin1(&text)));
        }
        Process::start(command.args(["-o", "/dev/null"])).finish(LIMIT);
        let client = server.only_client();
        let connect = client.command("connect").expect("it connects");
        let member = |name| {
            let text = connect.values[0].member(name).and_then(Value::as_text);
            text.map(|text| text.as_bytes().to_owned())
        };
        assert_eq!(member("app"), Some(latin1("apé")), "{line:?}");
        assert_eq!(member("pageUrl"), page_url.map(latin1), "{line:?}");
        let play = client.command("play").expect("it plays");
        let name = play.values[1].as_text().expect("a name");
        assert_eq!(name.as_bytes(), latin1("café"), "{line:?}");
    }
}

#[test]
fn secrets_that_the_server_echoes_are_masked() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "s3cretkey, s3cretconn, s3cret:pass?word and s3cretmember",
        },
        ..Config::default()
    });
    let port = server.port();
    let url = format!("rtmp://s3cretuser:s3cret%3Apass%3Fword@127.0.0.1:{port}/a/b;key=s3cretkey");
    let conn = [
        "-C",
        "S:s3cretconn",
        "-C",
        "O:1",
        "-C",
        "NS:token:s3cretmember",
    ];
    let download = download(&url, &[&["-z"], &conn[..]].concat());
    assert!(
        !download.finished.stderr.contains("s3cret"),
        "{}",
        download.finished
    );
    assert_eq!(download.finished.code(), Some(1));
}

#[test]
fn secrets_of_invalid_command_lines_are_masked() {
    let cases: [&[&str]; 6] = [
        &["rtmp://me:s3cret#1@host/a/b", "x"],
        &["rtmp://me:s3cret/1@host/a/b"],
        &["rtmp://me:s3cret 1@host/a/b", "-o", "x"],
        &["rtmp://me:s3 \"cret@host/a/b", "-o", "x"],
        &["rtmp://h/a/b", "-C", "Q:s3cret"],
        &["rtmp://h/a/b", "-C", "NQ:name:s3cret", "-o", "x"],
    ];
    for line in cases {
        let mut command = program::command();
        let finished = Process::start(command.args(line)).finish(LIMIT);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let is_shown = ["s3cret", "cret@"]
            .iter()
            .any(|secret| finished.stderr.contains(secret));
        assert!(!is_shown, "{finished}");
    }
}

#[test]
fn login_data_is_masked_in_every_output() {
    for scheme in [LoginScheme::Adobe, LoginScheme::Limelight] {
        for password in ["s3cret", "wrong!"] {
            let server =
                Server::start(Config::serving(Stream::recorded_sample()).with_login(scheme));
            let url_with_login = server
                .url("clip")
                .replace("rtmp://", &format!("rtmp://joe:{password}@"));
            let lines: [(&str, &[&str]); 2] = [
                (&url_with_login, &["-z"]),
                (
                    &server.url("clip"),
                    &["-z", "--user", "joe", "--password", password],
                ),
            ];
            for (url, options) in lines {
                let download = download(url, options);
                let is_right = password == "s3cret";
                assert_eq!(
                    download.finished.code() == Some(0),
                    is_right,
                    "{}",
                    download.finished
                );
                for secret in ["joe", password] {
                    assert!(
                        !download.finished.stderr.contains(secret),
                        "{}",
                        download.finished
                    );
                }
            }
        }
    }
}

#[test]
fn realtime_sends_no_pause() {
    for (options, code, pauses) in [(&["-m", "1"][..], 0, true), (&["-m", "1", "-R"], 2, false)] {
        let stream = Stream::recorded_sample().paced(Pace::UntilEmpty { ms: 700 });
        let server = Server::start(Config::serving(stream));
        let download = download(&server.url("clip"), options);
        assert_eq!(
            download.finished.code(),
            Some(code),
            "{}",
            download.finished
        );
        let client = server.only_client();
        assert_eq!(client.command("pause").is_some(), pauses, "{options:?}");
    }
}

#[test]
fn failed_login_is_refused_without_printing_secrets() {
    for (options, code, word) in [
        (&["--user", "joe", "--password", "s3cret"][..], 0, "ended"),
        (&["--user", "joe", "--password", "wr0ng!"], 1, "refused"),
        (&["--user", "jim", "--password", "s3cret"], 1, "refused"),
        (&[], 1, "refused"),
    ] {
        let server = Server::start(
            Config::serving(Stream::recorded_sample()).with_login(LoginScheme::Adobe),
        );
        let download = download(&server.url("clip"), &[options, &["-V"]].concat());
        download.assert_ended(code, word);
        for secret in ["joe", "jim", "s3cret", "wr0ng!"] {
            let stderr = &download.finished.stderr;
            assert!(!stderr.contains(secret), "{secret}: {}", download.finished);
        }
    }
}

#[test]
fn usage_errors_name_option_and_value_in_one_line() {
    let cases: [(&[&str], &str); 9] = [
        (&["-S", "pro/xy"], "invalid value 'pro/xy' for '--socks"),
        (
            &["-l", "rtmpte", "--handshake", "plain"],
            "--handshake plain exchanges no keys, but rtmpte needs them",
        ),
        (&["-l", "9"], "invalid value '9' for '--protocol"),
        (
            &["-W", "ftp://h/p.swf"],
            "invalid value \"ftp://h/p.swf\" for --swfVfy: not an http or https URL, nor a file",
        ),
        (&["-w", "0"], "invalid value '0' for '--swfhash"),
        (&["-C", "X:1"], "invalid value \"X:***\" for --conn"),
        (
            &["--fl", "x"],
            "--fl is ambiguous: it may mean --flashVer or --flv",
        ),
        (&["-B", "soon"], "invalid value 'soon' for '--stop"),
        (
            &["--log-file", "/nowhere/log"],
            "cannot write --log-file /nowhere/log",
        ),
    ];
    for (options, expected) in cases {
        let download = download("rtmp://127.0.0.1:1/a/b", options);
        assert_eq!(download.finished.code(), Some(1), "{options:?}");
        let stderr = &download.finished.stderr;
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.starts_with("ERROR: ") && stderr.contains(expected),
            "{stderr}"
        );
    }
}

#[test]
fn long_playpath_is_sent_unchanged() {
    let server = Server::start(Config::default());
    let name = "n".repeat(10_000);
    let download = download(&server.url(&name), &[]);
    download.assert_ended(1, "not-found");
    let client = server.only_client();
    let play = client.command("play").expect("the stream plays");
    assert_eq!(play.values[1], Value::from(name.as_str()));
}

#[test]
fn hashes_option_prints_a_progress_row() {
    let server = Server::start(Config::serving(
        Stream::recorded_sample().paced(Pace::Speed(3.0)),
    ));
    let download = download(&server.url("clip"), &["-#"]);
    download.assert_ended(0, "ended");
    let stderr = &download.finished.stderr;
    assert!(!stderr.contains(" kB / "), "{stderr}");
    let row = stderr
        .lines()
        .find(|line| line.starts_with('#'))
        .unwrap_or_default();
    assert!((50..=100).contains(&row.len()), "{stderr}");
}

#[test]
fn rtmpdump_name_prints_its_banner_and_help() {
    let rtmpdump = RtmpdumpLink::new();
    for option in ["-h", "--help"] {
        let finished = rtmpdump.run(&[option]);
        assert_eq!(finished.code(), Some(0));
        assert!(finished.stdout.is_empty());
        assert!(finished.stderr.starts_with("RTMPDump v2.4\n"), "{finished}");
        for start in [
            "--help|-h",
            "--swfVfy|-W url",
            "--socks|-S",
            "--jtv|-j",
            "--rtmp|-r url",
        ] {
            let lines = finished.stderr.lines();
            assert!(
                lines.filter(|line| line.starts_with(start)).count() == 1,
                "{finished}"
            );
        }
    }
    let finished = rtmpdump.run(&["-r", "nonsense", "-o", "f"]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr.starts_with("RTMPDump v2.4\n"), "{finished}");
    let finished = rtmpdump.run(&["-q", "-r", "rtmp://127.0.0.1:1/a/b", "-o", "f"]);
    assert_eq!((finished.code(), finished.stderr.as_str()), (Some(3), ""));
}

#[test]
fn rtmpdump_name_creates_the_file_at_once_and_plays_from_0() {
    let rtmpdump = RtmpdumpLink::new();
    let server = Server::start(Config::default());
    let finished = rtmpdump.run(&["-r", &server.url("clip"), "-o", "new"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert_eq!(
        fs::metadata(rtmpdump.file("new"))
            .map(|file| file.len())
            .ok(),
        Some(0)
    );
    let client = server.only_client();
    let play = client.command("play").expect("the stream plays");
    assert_eq!(play.values[2].as_number(), Some(0.0));

    fs::write(rtmpdump.file("old"), "old").expect("a file");
    let finished = rtmpdump.run(&["-r", &server.url("clip"), "-o", "old"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert_eq!(
        fs::read(rtmpdump.file("old")).ok().as_deref(),
        Some(&b"old"[..])
    );

    let finished = rtmpdump.run(&["-r", &server.url("clip"), "-o", "no/folder"]);
    assert_eq!(finished.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("ERROR: Failed to open file! no/folder: "),
        "{finished}"
    );
    assert_eq!(server.clients().len(), 2);
}

#[test]
fn rtmpdump_name_resumes_without_a_file_from_the_start() {
    let rtmpdump = RtmpdumpLink::new();
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    let line = [
        "--verbose",
        "-r",
        &url,
        "-o",
        "f.part",
        "--resume",
        "--skip",
        "1",
    ];
    let finished = rtmpdump.run(&line).succeeded();
    assert!(finished.stderr.contains("Download complete"), "{finished}");
    let ours = Clip::read(&rtmpdump.file("f.part"));
    assert!(
        ours.media()
            .map(|tag| &tag.body)
            .eq(Clip::sample().media().map(|tag| &tag.body))
    );
}

/// Command lines of the wiki page that first described the protocol, except for the server address.
#[test]
fn wiki_command_lines_run() {
    let cases: [(&[&str], &str, &str); 3] = [
        (
            &[
                "-f",
                "WIN 10,0,12,36",
                "-s",
                "http://www.teennick.com/theclick/turboclick/swf/bb_flv_player_nick.swf",
                "-p",
                "http://www.teennick.com/theclick/?titleId=23721&ctitle=No%20Vomments&owner=thecolin",
                "-r",
                "rtmp://viacom.fcod.llnwd.net/a1624/e17/gsp.thencomstor/the-n.com/the_assistants/tn_ass_112_fle_o5g_rt162572_480x360_700.flv",
                "-o",
                "ass12.flv",
            ],
            "a1624/e17",
            "gsp.thencomstor/the-n.com/the_assistants/tn_ass_112_fle_o5g_rt162572_480x360_700",
        ),
        (
            &[
                "--live",
                "-r",
                "rtmp://flash1.bpmnetworks.com/live/ktv",
                "-o",
                "cra.flv",
                "-s",
                "http://www2.k-tv.at/streaming/playbackengine.swf",
                "-V",
                "-f",
                "WIN 10,0,12,36",
                "-p",
                "http://www2.k-tv.at/streaming/index.html",
            ],
            "live",
            "ktv",
        ),
        (
            &[
                "-r",
                "rtmp://kanald.tbt.com.tr:80/cnnturk/CNNTurk1",
                "-o",
                "output.flv",
                "--live",
                "-f",
                "WIN 10,0,12,36",
                "-s",
                "http://www.cnnturk.com/swf/player_cnnturk_secure.swf",
            ],
            "cnnturk",
            "CNNTurk1",
        ),
    ];
    for (line, app, name) in cases {
        assert_wiki_line_runs(line, app, name);
    }
}

#[track_caller]
fn assert_wiki_line_runs(line: &[&str], app: &str, name: &str) {
    let is_live = line.contains(&"--live");
    let stream = if is_live {
        Stream::live(Clip::sample()).paced(Pace::Speed(20.0))
    } else {
        Stream::recorded_sample()
    };
    let server = Server::start(Config {
        streams: [(name.to_owned(), stream)].into(),
        ..Config::default()
    });
    let port = server.port().to_string();
    let finished = RtmpdumpLink::new().run(&[line, &["-n", "127.0.0.1", "-c", &port]].concat());
    assert_eq!(finished.code(), Some(0), "{finished}");
    let client = server.only_client();
    let connect = client.command("connect").expect("the client sends connect");
    let sent = |name| {
        let member = connect.values[0].member(name);
        member.and_then(Value::as_text).map(ToString::to_string)
    };
    let given = |option| {
        let at = line.iter().position(|word| *word == option)?;
        Some(line[at + 1].to_owned())
    };
    let tc_url = format!("rtmp://127.0.0.1:{port}/{app}");
    assert_eq!(
        (sent("app").as_deref(), sent("tcUrl")),
        (Some(app), Some(tc_url))
    );
    for (option, name) in [("-f", "flashVer"), ("-s", "swfUrl"), ("-p", "pageUrl")] {
        assert_eq!(sent(name), given(option), "{name}");
    }
    let start = client
        .command("play")
        .and_then(|play| play.values[2].as_number());
    assert_eq!(start, Some(if is_live { -1000.0 } else { 0.0 }));
    assert_eq!(client.command("FCSubscribe").is_some(), is_live);
}

#[test]
fn manual_and_completions_are_generated() {
    let printed = |what: &str| {
        let mut command = program::command();
        command.args(["--generate", what]);
        let finished = Process::start(&mut command).finish(LIMIT).succeeded();
        String::from_utf8(finished.stdout).expect("a string")
    };
    assert!(printed("man").contains(".TH rtmpull 1"));
    for (shell, start) in [
        ("bash", "_rtmpull() {"),
        ("zsh", "#compdef rtmpull"),
        ("fish", "complete -c rtmpull"),
        ("powershell", "using namespace System.Management.Automation"),
    ] {
        let text = printed(&format!("complete-{shell}"));
        assert!(text.contains(start), "{shell}: {text}");
    }
    // Bash is installed everywhere; the other shells may be missing.
    let mut bash = Command::new("bash");
    bash.args(["-n", "-c", &printed("complete-bash")]);
    Process::start(&mut bash).finish(LIMIT).succeeded();
}

/// Link to rtmpull under the name rtmpdump, in a temporary working folder.
pub struct RtmpdumpLink {
    folder: TempDir,
}

impl RtmpdumpLink {
    pub fn new() -> Self {
        let folder = folder();
        let name = folder.path().join("bin").join("rtmpdump");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        link(Path::new(env!("CARGO_BIN_EXE_rtmpull")), &name);
        Self { folder }
    }

    /// Returns the folder to add to PATH.
    pub fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&self, options: &[&str]) -> Process {
        let mut command = Command::new(self.bin().join("rtmpdump"));
        command.args(options).current_dir(self.folder.path());
        Process::start(&mut command)
    }

    pub fn run(&self, options: &[&str]) -> Finished {
        self.start(options).finish(LIMIT)
    }
}

#[cfg(unix)]
fn link(program: &Path, name: &Path) {
    std::os::unix::fs::symlink(program, name).expect("the link can be created");
}

#[cfg(not(unix))]
fn link(program: &Path, name: &Path) {
    fs::copy(program, name.with_extension("exe")).expect("the program can be copied");
}

#[track_caller]
fn app(peer: &mut Connection) -> String {
    let connect = peer.expect_command("connect");
    let app = connect.values[0].member("app").and_then(Value::as_text);
    app.map(ToString::to_string).unwrap_or_default()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
