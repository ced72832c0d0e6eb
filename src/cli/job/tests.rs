use std::{ffi::OsString, fs, path::Path, time::Duration};

use super::*;
use crate::{
    cli::{args::values, rtmpdump::librtmp},
    core::{
        amf::{Object, Value},
        rtmp::{
            client::config::{Login, Timeouts},
            secret::Secret,
        },
    },
    download::{Candidate, swf_player::Source},
    output::Template,
    transport::{Carrier, Family, tls::Trust},
};

const PIPED: Environment = Environment {
    stdout_is_terminal: false,
    stdin_is_terminal: false,
    stdout_is_closed: false,
    all_proxy: None,
    no_proxy: None,
    home: None,
    cache_home: None,
    programs: ProgramSearch {
        folders: None,
        extensions: None,
    },
};

const ON_TERMINAL: Environment = Environment {
    stdout_is_terminal: true,
    ..PIPED
};

const CLOSED: Environment = Environment {
    stdout_is_closed: true,
    ..PIPED
};

fn args(line: &[&str]) -> Args {
    let program = OsString::from("rtmpull");
    let args = Args::read([program].into_iter().chain(line.iter().map(OsString::from)));
    librtmp::apply_url_options(&args.unwrap()).unwrap()
}

fn job(line: &[&str]) -> Job {
    resolve(&args(line), &PIPED).unwrap()
}

fn session(line: &[&str]) -> Config {
    Arc::unwrap_or_clone(job(line).session)
}

fn job_as_rtmpdump(line: &[&str]) -> Job {
    let name = ProgramName::Rtmpdump;
    resolve(&Args { name, ..args(line) }, &PIPED).unwrap()
}

fn error(line: &[&str]) -> String {
    let error = resolve(&args(line), &PIPED).unwrap_err();
    format!("{error:#}")
}

#[test]
fn rtmpull_retries_a_live_stream_five_times_by_default() {
    let attempts = |line| resolve(&args(line), &PIPED).unwrap().retry.attempts;
    assert_eq!(attempts(&["-v", "rtmp://host/app/name"]), Some(5));
    assert_eq!(attempts(&["rtmp://host/app/name"]), Some(0));
    let as_rtmpdump = job_as_rtmpdump(&["-v", "-r", "rtmp://host/app/name"]);
    assert_eq!(as_rtmpdump.retry.attempts, Some(0));
}

#[test]
fn defaults_are_applied() {
    let job = job(&["rtmp://host/app/name.flv"]);
    assert_eq!(job.route.endpoint.to_string(), "host:1935");
    assert_eq!(job.dialer.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(job.output, Destination::Stdout);
    assert!(!job.keep_timestamps);

    let session = Arc::unwrap_or_clone(job.session);
    assert_eq!(session.playpath, "name");
    assert_eq!(session.start, Start::LiveElseRecorded);
    assert_eq!(session.subscribe, None);
    assert_eq!(session.buffer, BufferLength::Growing);
    assert_eq!(session.handshake, Mode::Auto);
    assert!(session.pipelining);
    assert_eq!(session.timeouts, Timeouts::default());
    assert_eq!(session.timeouts.silence, Some(Duration::from_secs(30)));

    let connect = session.connect;
    assert_eq!(connect.app, "app");
    assert_eq!(connect.tc_url, "rtmp://host:1935/app");
    assert!(connect.flash_ver.ends_with(" 10,0,32,18"));
    assert_eq!((connect.swf_url, connect.page_url), (None, None));
    assert_eq!(connect.arguments, []);
}

#[test]
fn options_reach_the_job() {
    let line = "-r rtmp://host:1936/a/b/c -a app -y play/path -t tc -s swf -p page -f ver -d sub \
                -C N:1 -b 2000 -m 5 --handshake digest --no-pipelining --keep-timestamps -o out.flv";
    let job = job(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(job.route.endpoint.to_string(), "host:1936");
    assert_eq!(job.dialer.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(job.output, Destination::Path("out.flv".into()));
    assert!(job.keep_timestamps);

    let session = Arc::unwrap_or_clone(job.session);
    assert_eq!(session.playpath, "play/path");
    assert_eq!(session.start, Start::LiveElseRecorded);
    assert_eq!(session.subscribe.as_deref(), Some("sub"));
    assert_eq!(session.buffer, BufferLength::Fixed { ms: 2000 });
    assert_eq!(session.handshake, Mode::Digest);
    assert!(!session.pipelining);
    assert_eq!(
        session.timeouts,
        Timeouts::all(Some(Duration::from_secs(5)))
    );

    let connect = session.connect;
    assert_eq!(connect.app, "app");
    assert_eq!(connect.tc_url, "tc");
    assert_eq!(connect.flash_ver, "ver");
    assert_eq!(connect.swf_url.as_deref(), Some("swf"));
    assert_eq!(connect.page_url.as_deref(), Some("page"));
    assert_eq!(connect.arguments, [Value::Number(1.0)]);
}

/// Command lines of the wiki page that first described the protocol.
#[test]
fn command_lines_of_the_wiki_page_are_accepted() {
    let teen = job(&[
        "-f",
        "WIN 10,0,12,36",
        "-s",
        "http://www.teennick.com/theclick/turboclick/swf/bb_flv_player_nick.swf",
        "-p",
        "http://www.teennick.com/theclick/?titleId=23721&ctitle=No%20Vomments&owner=thecolin",
        "-r",
        "rtmp://viacom.fcod.llnwd.net/a1624/e17/gsp.thencomstor/the-n.com/the_assistants/x_700.flv",
        "-o",
        "ass12.flv",
    ]);
    assert_eq!(teen.session.connect.app, "a1624/e17");
    assert_eq!(teen.session.connect.flash_ver, "WIN 10,0,12,36");
    assert_eq!(
        teen.session.connect.page_url.as_deref(),
        Some("http://www.teennick.com/theclick/?titleId=23721&ctitle=No%20Vomments&owner=thecolin")
    );

    let ktv = job(&[
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
    ]);
    assert_eq!(ktv.session.start, Start::Live);
    assert_eq!(ktv.session.subscribe.as_deref(), Some("ktv"));
}

#[test]
fn live_streams_are_subscribed_to() {
    let session = job(&["rtmp://h/live/cam", "-v"]).session;
    assert_eq!(session.start, Start::Live);
    assert_eq!(session.subscribe.as_deref(), Some("cam"));
    let session = job(&["rtmp://h/live/cam", "-v", "-d", "other"]).session;
    assert_eq!(session.subscribe.as_deref(), Some("other"));
}

#[test]
fn a_timeout_of_0_is_no_limit() {
    let job = job(&["rtmp://h/a/b", "-m", "0"]);
    assert_eq!(job.dialer.connect_timeout, None);
    assert_eq!(job.session.timeouts, Timeouts::all(None));
}

#[test]
fn app_and_playpath_replace_those_of_the_url() {
    let named = |line: &[&str]| {
        let Config {
            connect, playpath, ..
        } = session(line);
        (connect.app, playpath, connect.tc_url)
    };
    let expected = |app: &str, playpath: &str| {
        let tc_url = format!("rtmp://h:1935/{app}");
        (app.to_owned(), playpath.to_owned(), tc_url)
    };
    let cases: [(&[&str], _); 12] = [
        (&["rtmp://h/mystream"], expected("mystream", "")),
        (
            &["rtmp://h/mystream?user=a&pass=b"],
            expected("mystream?user=a&pass=b", ""),
        ),
        (&["rtmp://h/a/", "-y", "x"], expected("a/", "x")),
        (&["rtmp://h/a/b/c/", "-y", "x"], expected("a/b/c/", "x")),
        (&["rtmp://h/a/b/c/d"], expected("a/b", "c/d")),
        (&["rtmp://h/a/b/c/d", "-a", "a/b/c"], expected("a/b/c", "d")),
        (&["rtmp://h/a/b/c/d", "-a", "x"], expected("x", "c/d")),
        (
            &["rtmp://h/a/b/c/d", "-y", "x.mp4"],
            expected("a/b", "x.mp4"),
        ),
        (&["rtmp://h/a", "-y", "x"], expected("a", "x")),
        (&["rtmp://h", "-a", "a", "-y", "x"], expected("a", "x")),
        (&["rtmp://h/a", "-y", ""], expected("a", "")),
        (&["rtmp://h/a/b", "-a", ""], expected("", "b")),
    ];
    for (line, expected) in cases {
        assert_eq!(named(line), expected, "{line:?}");
    }
}

#[test]
fn empty_values_are_not_sent() {
    let connect = session(&["rtmp://h/a/b", "-t", "", "-s", "", "-p", "", "-f", ""]).connect;
    assert_eq!(connect.tc_url, "rtmp://h:1935/a");
    assert_eq!((connect.swf_url, connect.page_url), (None, None));
    assert_eq!(connect.flash_ver, "");
}

#[test]
fn conn_items_become_arguments() {
    let line = [
        "rtmp://h/a/b",
        "-C",
        "O:1",
        "-C",
        "NS:k:v",
        "-C",
        "O:0",
        "-C",
        "Z:",
    ];
    let object: Object = [("k", "v")].into_iter().collect();
    assert_eq!(
        job(&line).session.connect.arguments,
        [object.into(), Value::Null]
    );
}

#[test]
fn video_is_not_written_to_a_terminal() {
    let resolve = |line: &[&str], environment| resolve(&args(line), environment);
    let line = ["rtmp://h/a/b", "-o", "-"];
    let error = resolve(&line, &ON_TERMINAL).unwrap_err().to_string();
    assert!(
        error.starts_with("refusing to write video to the terminal"),
        "{error}"
    );
    for line in [&["rtmp://h/a/b"][..], &line] {
        assert_eq!(resolve(line, &PIPED).unwrap().output, Destination::Stdout);
    }
    let tee = ["rtmp://h/a/b", "--tee", "x"];
    assert_eq!(
        resolve(&tee, &ON_TERMINAL).unwrap_err().to_string(),
        "--tee needs a pipe as the output, but standard output is a terminal; \
         to write only a file, use -o"
    );
    let file = resolve(&["rtmp://h/a/b", "-o", "x"], &ON_TERMINAL).unwrap();
    assert_eq!(file.output, Destination::Path("x".into()));
}

#[test]
fn the_output_is_named_after_the_stream_on_a_terminal_and_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let directory = format!("{}/", folder.path().display());
    let url = "rtmp://h/vod/mp4:b/no-such-clip.mp4?key=x";
    let output = |options: &[&str], environment| {
        let line = [&[url], options].concat();
        resolve(&args(&line), environment).unwrap().output
    };
    let free = |path: &Path| Destination::Template(Template::literal(path));
    let expected = free(Path::new("no-such-clip.flv"));
    assert_eq!(output(&[], &ON_TERMINAL), expected);
    assert_eq!(output(&["-v"], &ON_TERMINAL), expected);
    assert_eq!(output(&[], &PIPED), Destination::Stdout);

    let clip = inside("no-such-clip.flv");
    assert_eq!(output(&["-o", &directory], &PIPED), free(&clip));
    fs::write(&clip, "precious").unwrap();
    let second = free(&inside("no-such-clip.2.flv"));
    assert_eq!(output(&["-o", &directory], &PIPED), second);
    for option in ["--resume", "--append", "--overwrite"] {
        let expected = Destination::Path(clip.clone());
        assert_eq!(
            output(&["-o", &directory, option], &PIPED),
            expected,
            "{option}"
        );
    }
    let name = format!("{directory}{{host}}-{{app}}-{{stream}}.flv");
    let expected = Destination::Path(inside("h-vod-no-such-clip.flv"));
    assert_eq!(output(&["-o", &name], &PIPED), expected);
    let name = ProgramName::Rtmpdump;
    let arguments = Args {
        name,
        ..args(&[url])
    };
    assert!(resolve(&arguments, &ON_TERMINAL).is_err());
}

#[test]
fn errors_name_the_option_and_the_reason() {
    let cases: [(&[&str], &str); 23] = [
        (&["-v"], "no URL given (try --help)"),
        (&["-v", "-y", "x"], "no URL given (try --help)"),
        (
            &["host/app/name"],
            "\"host/app/name\": not a URL: the form is rtmp://host/app/stream",
        ),
        (
            &["rtmpse://host/app/name"],
            "\"rtmpse://host/app/name\": unknown scheme \"rtmpse\": \
             known schemes are rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts",
        ),
        (
            &["rtmp://host:99999/app/name"],
            "\"rtmp://host:99999/app/name\": invalid port number in the URL",
        ),
        (
            &["rtmp://host/app/"],
            "\"rtmp://host/app/\" has no stream name: use rtmp://host/app/stream, or add --playpath",
        ),
        (
            &["rtmp://host/app/name", "-C", "Q:1"],
            "invalid value \"Q:***\" for --conn: the type must be B, N, S, Z, O, NB, NN, NS or NO",
        ),
        (
            &["rtmp://host/app/name", "-C", "NS:a:b"],
            "invalid value \"NS:a:***\" for --conn: a value with a name must be inside an object, \
             which O:1 starts",
        ),
        (
            &["-n", "host"],
            "--host needs a stream name: add --playpath",
        ),
        (
            &["-n", "ho/st", "-y", "x"],
            "invalid value \"ho/st\" for --host: not a host name or address",
        ),
        (
            &["rtmpe://h/a/b", "--handshake", "plain"],
            "--handshake plain exchanges no keys, but rtmpe needs them",
        ),
        (
            &["rtmp://h/a/b", "--proxy", "https://joe:secret@proxy"],
            "invalid value for --proxy: the supported schemes are socks4://, socks4a://, socks5:// \
             (or socks5h://) and http://",
        ),
        (
            &["rtmps://h/a/b", "--ca-file", "Cargo.toml"],
            "cannot use --ca-file Cargo.toml: it contains no PEM certificate",
        ),
        (&["rtmp://h/a/b", "-w", HASH], "--swfhash needs --swfsize"),
        (&["rtmp://h/a/b", "-x", "5"], "--swfsize 5 needs --swfhash"),
        (
            &["rtmp://h/a/b", "-W", "ftp://h/player.swf"],
            "invalid value \"ftp://h/player.swf\" for --swfVfy: not an http or https URL, \
             nor a file",
        ),
        (
            &["rtmp://h/a/b", "-W", "http://h/p.swf", "-w", HASH],
            "--swfhash needs --swfsize",
        ),
        (&["rtmp://h/a/b", "-W", ""], "swfVfy needs swfUrl"),
        (&["rtmp://h/a/b swfVfy=1"], "swfVfy needs swfUrl"),
        (
            &["rtmp://h/a/b", "--password", "x"],
            "a password needs a user name: add --user",
        ),
        (
            &["rtmp://h/a/b", "-e", "-v", "-o", "Cargo.toml"],
            "output file \"Cargo.toml\" is not empty: use --overwrite to replace it or --append to continue it",
        ),
        (
            &["rtmp://h/a/b", "-v", "-o", "Cargo.toml"],
            "output file \"Cargo.toml\" is not empty: use --overwrite to replace it or --append to continue it",
        ),
        (
            &["rtmp://h/a/b live=1", "-e", "-o", "Cargo.toml"],
            "output file \"Cargo.toml\" is not empty: use --overwrite to replace it or --append to continue it",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(error(line), expected, "{line:?}");
    }
}

#[test]
fn urls_of_other_protocols_name_the_right_tool() {
    let hls = "is an HLS playlist, not an RTMP stream: use ffmpeg, streamlink or yt-dlp";
    let cases = [
        ("https://h/x.m3u8?key=long-enough", hls),
        ("HTTP://h/x.M3U8", hls),
        (
            "folder/x.m3u8",
            "is an HLS playlist, not an RTMP stream: use ffmpeg",
        ),
        (
            "http://h/x.flv",
            "is an HTTP URL, not an RTMP stream: use curl for a file, or yt-dlp for a video page",
        ),
        (
            "rtsp://me:pw@h/x",
            "is an RTSP URL, not an RTMP stream: use ffmpeg",
        ),
    ];
    for (url, expected) in cases {
        let error = error(&[url, "-o", "x"]);
        assert!(error.ends_with(&format!("\" {expected}")), "{error}");
        assert!(
            !error.contains("long-enough") && !error.contains("pw"),
            "{error}"
        );
    }
}

#[test]
fn options_replace_host_port_and_scheme() {
    let place = |line: &[&str]| {
        let job = job(line);
        (
            job.route.endpoint.to_string(),
            job.session.connect.tc_url.clone(),
        )
    };
    let url = "rtmp://h:1936/a/b";
    let cases: [(&[&str], &str, &str); 9] = [
        (&[url, "-n", "x"], "x:1936", "rtmp://x:1936/a"),
        (&[url, "-n", "::1"], "[::1]:1936", "rtmp://[::1]:1936/a"),
        (&[url, "-c", "7"], "h:7", "rtmp://h:7/a"),
        (&[url, "-c", "0"], "h:1935", "rtmp://h:1935/a"),
        (&[url, "-n", ""], "h:1936", "rtmp://h:1936/a"),
        (&["rtmpt://h/a/b", "-l", "0"], "h:1935", "rtmp://h:1935/a"),
        (&["rtmpt://h:80/a/b", "-l", "rtmp"], "h:80", "rtmp://h:80/a"),
        (&["-n", "x", "-y", "b"], "x:1935", "rtmp://x:1935/"),
        (
            &[
                "-n", "x", "-c", "80", "-l", "0", "-a", "a?b", "-y", "c", "-t", "t",
            ],
            "x:80",
            "t",
        ),
    ];
    for (line, endpoint, tc_url) in cases {
        assert_eq!(
            place(line),
            (endpoint.to_owned(), tc_url.to_owned()),
            "{line:?}"
        );
    }
}

#[test]
fn a_librtmp_url_has_a_tc_url_of_its_own() {
    let tc_url = |line: &[&str]| session(line).connect.tc_url;
    let text = "rtmp://me:pw@h/a/b live=1";
    assert_eq!(tc_url(&["-i", text]), "rtmp://h/a");
    assert_eq!(tc_url(&[text]), "rtmp://h/a");
    assert_eq!(tc_url(&["-i", "rtmp://h:1935/a/b"]), "rtmp://h:1935/a");
    assert_eq!(tc_url(&["-i", "rtmp://h/a/b app=x"]), "rtmp://h:1935/x");
    assert_eq!(tc_url(&["-i", text, "-n", "x"]), "rtmp://x:1935/a");
    assert_eq!(tc_url(&["-i", text, "-c", "1"]), "rtmp://h:1/a");
    assert_eq!(tc_url(&["-i", text, "-t", "t"]), "t");
    assert_eq!(
        tc_url(&["-i", text, "-r", "rtmp://g/a/b"]),
        "rtmp://g:1935/a"
    );
}

#[test]
fn other_splits_are_alternatives_unless_one_is_chosen() {
    let places = |line: &[&str]| job(line).candidates;
    let place = |app: &str, playpath: &str, tc_url: &str| Candidate {
        app: app.to_owned(),
        playpath: playpath.to_owned(),
        tc_url: tc_url.to_owned(),
    };
    let url = "rtmp://h/a/b/c/d";
    assert_eq!(
        places(&[url]),
        [
            place("a/b/c", "d", "rtmp://h:1935/a/b/c"),
            place("a", "b/c/d", "rtmp://h:1935/a")
        ]
    );
    assert_eq!(places(&[url, "-t", "t"])[0], place("a/b/c", "d", "t"));
    assert_eq!(
        places(&["rtmp://h/mystream?x"]),
        [place("", "mystream?x", "rtmp://h:1935/")]
    );
    // Most servers have the app without the slash.
    assert_eq!(
        places(&["rtmp://h/a/", "-y", "x"]),
        [place("a", "x", "rtmp://h:1935/a")]
    );
    let chosen: [&[&str]; 4] = [
        &[url, "-a", "a/b"],
        &[url, "-y", "c/d"],
        &["rtmp://h/a/b/c/d app=a/b"],
        &["rtmp://h/a/b"],
    ];
    for line in chosen {
        assert_eq!(places(line), [], "{line:?}");
    }
}

#[test]
fn the_requested_range_is_in_milliseconds() {
    let range = |line: &[&str]| {
        let job = job(line);
        (job.session.start, job.session.length_ms, job.stop_ms)
    };
    let at = |ms| Start::At { ms };
    let cases: [(&[&str], _); 7] = [
        (&["-A", "1.5"], (at(1500), None, None)),
        (&["-A", "0"], (at(0), None, None)),
        (
            &["-B", "10"],
            (Start::LiveElseRecorded, Some(10_000), Some(10_000)),
        ),
        (&["-B", "0"], (Start::LiveElseRecorded, None, None)),
        (&["-A", "4", "-B", "10"], (at(4000), Some(6000), Some(6000))),
        (&["-A", "4", "-B", "3"], (at(4000), Some(0), Some(0))),
        (
            &["-v", "-A", "4", "-B", "10"],
            (Start::Live, Some(10_000), Some(10_000)),
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(
            range(&[&["rtmp://h/a/b"], options].concat()),
            expected,
            "{options:?}"
        );
    }
}

#[test]
fn rtmpdump_asks_for_recorded_streams_without_enhanced_rtmp() {
    let session = |line: &[&str]| job_as_rtmpdump(line).session;
    assert_eq!(session(&["-r", "rtmp://h/a/b"]).start, Start::At { ms: 0 });
    assert_eq!(session(&["-r", "rtmp://h/a/b", "-v"]).start, Start::Live);
    assert!(!session(&["-r", "rtmp://h/a/b"]).enhanced);
    assert!(job(&["-r", "rtmp://h/a/b"]).session.enhanced);
    assert!(
        !job(&["-r", "rtmp://h/a/b", "--no-enhanced"])
            .session
            .enhanced
    );
}

#[test]
fn credentials_reach_the_session() {
    let line = "rtmp://h/a/b -u letmein -C N:1 -Y -T key -j token";
    let session = job(&line.split_whitespace().collect::<Vec<_>>()).session;
    assert_eq!(
        session.connect.arguments,
        [true.into(), "letmein".into(), Value::Number(1.0)]
    );
    assert!(session.playlist);
    assert_eq!(session.secure_token.as_deref(), Some("key"));
    assert_eq!(session.usher_token.as_deref(), Some("token"));
    let session = self::session(&["rtmp://h/a/b", "-u", "", "-T", "", "-j", ""]);
    assert_eq!(session.connect.arguments, []);
    assert_eq!((session.secure_token, session.usher_token), (None, None));
}

#[test]
fn pause_unpause_needs_a_recorded_stream_without_realtime() {
    let pause_unpause = |options: &[&str]| {
        job(&[&["rtmp://h/a/b"], options].concat())
            .session
            .pause_unpause
    };
    assert!(pause_unpause(&[]));
    assert!(!pause_unpause(&["-R"]));
    assert!(!pause_unpause(&["-v"]));
}

#[test]
fn login_options_take_precedence_over_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "from file\r\nsecond line\n").unwrap();
    let file = file.to_str().unwrap();
    let login = |line: &[&str]| session(line).login;
    let expected = |user: &str, password: &str| {
        Some(Login {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    };
    let url = "rtmp://me:p%40w@h/a/b";
    assert_eq!(login(&["rtmp://h/a/b"]), None);
    assert_eq!(login(&[url]), expected("me", "p@w"));
    assert_eq!(login(&[url, "--user", "you"]), expected("you", "p@w"));
    assert_eq!(login(&[url, "--password", ""]), expected("me", ""));
    assert_eq!(login(&["rtmp://me@h/a/b"]), expected("me", ""));
    assert_eq!(
        login(&[url, "--user", "you", "--password-file", file]),
        expected("you", "from file")
    );
    let error = error(&[url, "--password-file", "/nowhere"]);
    assert!(
        error.starts_with("cannot read --password-file /nowhere: "),
        "{error}"
    );
}

#[test]
fn resume_ignores_the_start_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.flv");
    let line = [
        "rtmp://h/a/b",
        "-e",
        "-k",
        "2",
        "-A",
        "5",
        "-o",
        file.to_str().unwrap(),
    ];
    let job = job(&line);
    assert_eq!(job.resume, Some(Resume { skip_keyframes: 2 }));
    assert_eq!(job.session.start, Start::LiveElseRecorded);
}

#[test]
fn resume_is_ignored_if_impossible() {
    for line in [
        &["rtmp://h/a/b", "-e", "-o", "-"][..],
        &["rtmp://h/a/b", "-e"],
        &["rtmp://h/a/b", "-e", "-v", "-o", "new.flv"],
        &["rtmp://h/a/b", "-e", "-o", "/dev/null"],
        &["rtmp://h/a/b", "--append"],
        &["rtmp://h/a/b", "-v", "--overwrite", "-o", "Cargo.toml"],
        &["rtmp://h/a/b", "-k", "1", "-o", "Cargo.toml"],
    ] {
        assert_eq!(job(line).resume, None, "{line:?}");
    }
}

#[test]
fn append_applies_to_live_streams() {
    for line in ["-v --append", "--append", "-e --append"] {
        let line: Vec<&str> = line.split(' ').collect();
        let job = job(&[&["rtmp://h/a/b", "-o", "no such file"], &line[..]].concat());
        assert_eq!(job.resume, Some(Resume::default()), "{line:?}");
    }
}

#[test]
#[cfg(unix)]
fn size_limits_exceed_the_head_of_a_file() {
    let limited = |options: &[&'static str]| {
        let line = [&["rtmp://h/a/b", "--max-size", "40kB"], options].concat();
        resolve(&args(&line), &PIPED).map(|job| job.limits.bytes)
    };
    for free in [
        &["-o", "-"][..],
        &["-o", "/dev/null"],
        &["-o", "x", "--no-index"],
    ] {
        assert_eq!(limited(free).unwrap(), Some(40_000), "{free:?}");
    }
    for seekable in [&["-o", "x"][..], &["-o", "%d"], &["-o", "-", "--tee", "x"]] {
        let error = limited(seekable).unwrap_err().to_string();
        assert!(
            error.starts_with("--max-size must be larger than the head of a file"),
            "{error}"
        );
    }
    let line = [
        "rtmp://h/a/b",
        "-o",
        "x",
        "--segment-size",
        "40kB",
        "--no-index",
    ];
    assert_eq!(job(&line).segments.bytes, Some(40_000));
}

#[test]
#[cfg(unix)]
fn gap_split_needs_a_file() {
    let line = ["rtmp://h/a/b", "--gap", "split", "-o"];
    let why = |output| error(&[&line[..], &[output]].concat());
    assert_eq!(
        why("-"),
        "--gap split needs an output file: name one with -o"
    );
    assert_eq!(
        why("/dev/null"),
        "--gap split needs an output file, but /dev/null is not a file"
    );
    job(&[&line[..], &["x"]].concat());
}

#[test]
fn only_filled_files_are_protected_from_live_recordings() {
    let line = |file, options: &[&'static str]| [&["rtmp://h/a/b", "-o", file], options].concat();
    job(&line("Cargo.toml", &[]));
    job(&line("no such file", &["-v"]));
    job(&line("src", &["-v"]));
    job(&line("/dev/null", &["-v"]));
    job_as_rtmpdump(&line("Cargo.toml", &["-v"]));
}

#[test]
fn swf_age_without_a_player_is_ignored() {
    job(&["rtmp://h/a/b", "-X", "5"]);
}

#[test]
fn secrets_are_listed() {
    let line = "rtmp://me:pw@h/a/b?key=long-enough -u one -T two -j three --user four \
                --password five -C S:long-text -s http://me:pw2@h/";
    let args = args(&line.split_whitespace().collect::<Vec<_>>());
    let expected = [
        "one",
        "two",
        "three",
        "five",
        "me:pw",
        "long-enough",
        "me:pw2",
        "long-text",
    ];
    assert!(secrets(&args) == expected.map(|text| Secret::Text(text.to_owned())));
}

#[test]
fn hash_and_size_need_no_player() {
    let job = job(&["rtmp://h/a/b", "-x", "5", "-w", HASH]);
    let proof = job.session.swf_proof.unwrap();
    assert_eq!((proof.hash[31], proof.size), (0xef, 5));
    assert!(job.player.is_none());
    assert_eq!(job.session.connect.swf_url, None);
}

#[test]
fn the_player_is_a_url_or_a_file() {
    let player = |line: &[&str]| {
        let job = job(&[&["rtmp://h/a/b"], line].concat());
        let source = match job.player.unwrap().source {
            Source::Web(url) => format!("web {url}"),
            Source::File(file) => format!("file {}", file.display()),
        };
        (source, job.session.connect.swf_url.clone())
    };
    let some = |url: &str| Some(url.to_owned());
    for (line, source, swf_url) in [
        (
            &["-W", "https://H:443/p.swf?a"][..],
            "web https://h/p.swf?a",
            some("https://H:443/p.swf?a"),
        ),
        (
            &["-W", "http://me:pw@h/p.swf"],
            "web http://me:pw@h/p.swf",
            some("http://h/p.swf"),
        ),
        (
            &["-W", "http://h/p.swf", "-s", "http://other"],
            "web http://h/p.swf",
            some("http://other"),
        ),
        (
            &["-W", "", "-s", "http://h/p.swf"],
            "web http://h/p.swf",
            some("http://h/p.swf"),
        ),
        (
            &["-W", "http://h/p.swf", "-x", "5", "-w", HASH],
            "web http://h/p.swf",
            some("http://h/p.swf"),
        ),
        (&["-W", "a/p.swf"], "file a/p.swf", None),
        #[cfg(unix)]
        (&["-W", "file:///a/p.swf"], "file /a/p.swf", None),
    ] {
        assert_eq!(player(line), (source.to_owned(), swf_url), "{line:?}");
    }
    let text = job(&["rtmp://h/a/b swfVfy=1 swfUrl=https://h/p.swf swfAge=2"]);
    assert!(matches!(text.player.unwrap().source, Source::Web(_)));
}

#[test]
fn players_are_cached_in_swfinfo_or_the_cache_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (home, cache_home) = (folder.path().join("home"), folder.path().join("cache"));
    fs::create_dir(&home).unwrap();
    let web = ["rtmp://h/a/b", "-W", "http://h/p.swf"];
    let cache = |home: Option<&Path>, cache_home: Option<&Path>, line: &[&str]| {
        let environment = Environment {
            home: home.map(Path::to_owned),
            cache_home: cache_home.map(Path::to_owned),
            ..PIPED
        };
        let line = [&web[..], line].concat();
        resolve(&args(&line), &environment)
            .unwrap()
            .player
            .unwrap()
            .cache
    };
    let file = |home, cache_home| cache(home, cache_home, &[]).map(|cache| cache.file);
    let (old, new) = (home.join(".swfinfo"), cache_home.join("rtmpull/swfinfo"));
    let relative = Path::new("cache");
    assert_eq!(file(None, None), None);
    assert_eq!(file(Some(&home), None).as_ref(), Some(&old));
    assert_eq!(file(Some(&home), Some(relative)).as_ref(), Some(&old));
    assert_eq!(file(Some(&home), Some(&cache_home)).as_ref(), Some(&new));
    assert_eq!(file(None, Some(&cache_home)).as_ref(), Some(&new));
    fs::write(&old, "").unwrap();
    assert_eq!(file(Some(&home), Some(&cache_home)).as_ref(), Some(&old));

    let max_age = |line| cache(Some(&home), None, line).unwrap().max_age;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!(max_age(&[]), days(30));
    assert_eq!(max_age(&["-X", "0"]), days(0));
    assert_eq!(max_age(&["-X", "4294967295"]), days(4_294_967_295));
    let of_file = ["-W", "p.swf"];
    assert_eq!(cache(Some(&home), None, &of_file), None);
}

#[test]
fn proxy_options_take_precedence_over_the_environment() {
    let environment = |all_proxy: &str, no_proxy: &str| Environment {
        all_proxy: Some(all_proxy.to_owned()),
        no_proxy: Some(no_proxy.to_owned()),
        ..PIPED
    };
    let proxy = |line: &[&str], environment: &Environment| {
        let line = [&["rtmp://host/app/name"], line].concat();
        let dialer = resolve(&args(&line), environment).unwrap().dialer;
        let proxy = dialer.proxy.map(|proxy| proxy.to_string());
        (proxy.unwrap_or_default(), dialer.bypass.contains("host"))
    };
    let (tor, hosts) = ("socks5h://joe:secret@tor:9050", "host");
    for (line, all_proxy, no_proxy, expected, is_bypassed) in [
        (&[][..], "", "", "", false),
        (&[], tor, "", "socks5://tor:9050", false),
        (&[], tor, hosts, "socks5://tor:9050", true),
        (&["-S", "p"], tor, hosts, "socks4://p:1080", false),
        (&["--proxy", "p:8"], tor, hosts, "http://p:8", false),
        (
            &["--proxy", "", "-S", "p"],
            tor,
            "",
            "socks4://p:1080",
            false,
        ),
        (&["-S", "p", "--proxy", ""], tor, "", "", false),
    ] {
        let found = proxy(line, &environment(all_proxy, no_proxy));
        assert_eq!(found, (expected.to_owned(), is_bypassed), "{line:?}");
    }
    let invalid = environment("ftp://joe:secret@proxy", "");
    let error = resolve(&args(&["rtmp://host/app/name"]), &invalid).unwrap_err();
    assert!(format!("{error:#}").starts_with("invalid ALL_PROXY: the supported schemes are "));
}

#[test]
fn connect_timeout_takes_precedence_over_timeout() {
    let of = |line: &[&str]| {
        let line = [&["rtmp://host/app/name"], line].concat();
        let job = job(&line);
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
        (
            seconds(job.dialer.connect_timeout),
            seconds(job.session.timeouts.handshake),
        )
    };
    assert_eq!(of(&[]), (Some(10), Some(10)));
    assert_eq!(of(&["-m", "7"]), (Some(7), Some(7)));
    assert_eq!(
        of(&["-m", "7", "--connect-timeout", "3"]),
        (Some(3), Some(7))
    );
    assert_eq!(of(&["--connect-timeout", "0"]), (None, Some(10)));
}

#[test]
fn the_last_address_family_applies() {
    let of = |line: &[&str]| {
        job(&[&["rtmp://host/app/name"], line].concat())
            .dialer
            .family
    };
    assert_eq!(of(&[]), Family::Any);
    assert_eq!(of(&["-4"]), Family::V4);
    assert_eq!(of(&["-4", "--ipv6"]), Family::V6);
}

#[test]
fn a_pin_takes_precedence_over_roots_and_insecure() {
    let pin = ["--tls-pin", HASH];
    let of = |line: &[&str]| {
        let line = [&["rtmps://host/app/name"], line].concat();
        job(&line).dialer.tls.trust().clone()
    };
    let pinned = Trust::Pin(values::sha256(HASH).unwrap());
    assert_eq!(of(&[]), Trust::Roots(Vec::new()));
    assert_eq!(of(&pin), pinned);
    assert_eq!(of(&["--insecure"]), Trust::Any);
    assert_eq!(of(&[&pin[..], &["--insecure"]].concat()), pinned);
    let route = job(&["rtmps://host/app/name"]).route;
    assert_eq!((route.endpoint.port, route.carrier), (443, Carrier::Tls));
}

#[test]
fn schemes_select_tunnel_and_port() {
    let route = |line: &[&str]| {
        let route = job(line).route;
        (route.endpoint.port, route.carrier)
    };
    assert_eq!(route(&["rtmpt://host/app/name"]), (80, Carrier::Http));
    assert_eq!(route(&["rtmpts://host/app/name"]), (443, Carrier::Https));
    assert_eq!(route(&["rtmpts://host:80/app/name"]), (80, Carrier::Https));
    assert_eq!(
        route(&["rtmp://host/app/name", "-l", "1"]),
        (80, Carrier::Http)
    );
    let tc_url = session(&["rtmpt://host/app/name"]).connect.tc_url;
    assert_eq!(tc_url, "rtmpt://host:80/app");
}

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn closed_standard_output_is_an_error() {
    let url = "rtmp://host/app/name";
    let resolved = |line: &[&str], name| {
        let args = Args {
            name,
            ..args(&[&[url], line].concat())
        };
        resolve(&args, &CLOSED).map_err(|error| error.to_string())
    };
    for line in [&[][..], &["-o", "-"], &["-o", "-", "--tee", "x.flv"]] {
        let error = resolved(line, ProgramName::Rtmpull).unwrap_err();
        assert!(error.starts_with("standard output is closed"), "{error}");
    }
    assert!(resolved(&["-o", "/dev/null"], ProgramName::Rtmpull).is_ok());
    assert!(resolved(&["-o", "-"], ProgramName::Rtmpdump).is_err());
    assert!(resolved(&[], ProgramName::Rtmpdump).is_ok());
}
