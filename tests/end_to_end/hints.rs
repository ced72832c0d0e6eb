//! Hints after a session that failed before media.

#[cfg(unix)]
use crate::{drop_in::RtmpdumpLink, program::LIMIT};
use crate::{
    hostile::ONE_SECOND_TIMEOUT,
    parallel,
    process::{Finished, without_time},
    program::{Download, download},
    server::{
        AfterAnswer, Authority, CannedPeer, Clip, Config, FaultAction, FaultPoint, Handshake,
        LoginScheme, OnConnect, OnMissing, ScriptedPeer, Server, Step, Stream, TlsClose, TlsFront,
        Validity,
    },
};

/// Returns the hints after the last line, without their prefix.
fn hints(finished: &Finished) -> Vec<&str> {
    let lines = finished.stderr.lines();
    let hints = lines.filter_map(|line| {
        let line = without_time(line).unwrap_or(line);
        line.strip_prefix("hint: ")
    });
    hints.collect()
}

/// Panics unless the download failed with exactly these hints. Each text is part of a hint.
#[track_caller]
fn assert_hints(download: &Download, expected: &[&str]) {
    let hints = hints(&download.finished);
    let are_equal = hints.len() == expected.len()
        && hints
            .iter()
            .zip(expected)
            .all(|(hint, text)| hint.contains(text));
    assert!(are_equal, "not {expected:?}: {}", download.finished);
    let last = download.finished.stderr.lines().last().unwrap_or_default();
    assert_eq!(last.starts_with("hint: "), !expected.is_empty(), "{last}");
}

const PORT: &str = "check the port";
const APP: &str = "check the app \"app\" (--app) and the tcUrl \"rtmp://127.0.0.1:";
const PLAYPATH: &str = "check the stream name \"clip\"";
const PLAYER: &str = "set --swfUrl and --pageUrl";
const UNPUBLISHED: &str = "may not be published";
const LIVE: &str = "the stream may be live: try --live";
const RECORDED: &str = "the stream may be recorded: try without --live";
const TLS: &str = "try rtmps:// instead of rtmp://";

#[test]
fn each_other_protocol_on_the_port_has_its_hints() {
    let cases: [(&str, &[u8], &[&str]); 9] = [
        (
            "rtmp",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &["try rtmpt:// instead of rtmp://", PORT],
        ),
        (
            "rtmp",
            b"<html>\n<body></body></html>",
            &["try rtmpt:// instead of rtmp://", PORT],
        ),
        ("rtmp", b"SSH-2.0-OpenSSH_9.2p1\r\n", &[PORT]),
        ("rtmp", &[0x15, 3, 1, 0, 2, 2, 10], &[TLS]),
        ("rtmp", &[6; 3073], &[PORT]),
        ("rtmp", b"", &[TLS, PORT]),
        (
            "rtmpe",
            b"",
            &[
                "try rtmp:// instead of rtmpe://",
                "try rtmps:// instead of rtmpe://",
                PORT,
            ],
        ),
        (
            "rtmps",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &["try rtmp:// instead of rtmps://"],
        ),
        (
            "rtmpt",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            &["try rtmp:// instead of rtmpt://"],
        ),
    ];
    parallel::for_each(cases, |(scheme, answer, expected)| {
        let peer = CannedPeer::start(answer, AfterAnswer::Closed);
        let url = format!("{scheme}://127.0.0.1:{}/app/clip", peer.port());
        assert_hints(&download(&url, &ONE_SECOND_TIMEOUT), expected);
    });
}

#[test]
fn each_failed_connection_has_its_hints() {
    let closed_port = CannedPeer::start(b"", AfterAnswer::Open).port();
    let proxy = |kind: &str, answer: &[u8]| {
        let peer = CannedPeer::start(answer, AfterAnswer::Closed);
        let url = format!("{kind}://127.0.0.1:{}", peer.port());
        let options = ["--proxy", &url];
        download("rtmp://127.0.0.1:9/app/clip", &options)
    };
    let refused = download(&format!("rtmp://127.0.0.1:{closed_port}/app/clip"), &[]);
    assert_hints(&refused, &[PORT]);
    let unknown = download("rtmp://missing.invalid/app/clip", &ONE_SECOND_TIMEOUT);
    assert_hints(&unknown, &["check the spelling of the host name"]);
    let unreachable = format!("socks5://127.0.0.1:{closed_port}");
    let unreachable = download("rtmp://127.0.0.1:9/app/clip", &["--proxy", &unreachable]);
    assert_hints(&unreachable, &["check the host and port of the proxy"]);
    let garbage = proxy("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_hints(&garbage, &["the proxy may use another protocol"]);
    let forbidden = proxy("http", b"HTTP/1.1 403 Forbidden\r\n\r\n");
    assert_hints(&forbidden, &["the proxy may not allow port 9"]);
    let login = proxy(
        "http",
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
    );
    assert_hints(
        &login,
        &["set the right user and password in the proxy URL"],
    );
}

#[test]
fn swapped_tls_ports_have_their_hints() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let identity = Authority::new("Authority").identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let plain = format!("rtmp://127.0.0.1:{}/app/clip", front.port());
    assert_hints(&download(&plain, &ONE_SECOND_TIMEOUT), &[TLS]);
    let untrusted = format!("rtmps://127.0.0.1:{}/app/clip", front.port());
    assert_hints(&download(&untrusted, &[]), &["--ca-file or --tls-pin"]);
    let tls = format!("rtmps://127.0.0.1:{}/app/clip", server.port());
    let swapped = download(&tls, &ONE_SECOND_TIMEOUT);
    assert!(
        hints(&swapped.finished)
            .first()
            .is_some_and(|hint| hint.contains("try rtmp:// instead of rtmps://")),
        "{}",
        swapped.finished
    );
}

#[test]
fn each_refused_session_has_its_hints() {
    let rejecting = |code, description| Config {
        connect: OnConnect::Reject { code, description },
        ..Config::default()
    };
    let faulty = |step, then| Config::default().with_fault(FaultPoint::Step(step), then);
    let missing = |missing| Config {
        missing,
        ..Config::default()
    };
    let with_login = Config::default().with_login(LoginScheme::Adobe);
    let with_player = Config {
        required_player: Some(rtmpull::core::rtmp::challenge::SwfProof {
            hash: [7; 32],
            size: 1_000,
        }),
        ..Config::serving(Stream::recorded(Clip::sample()))
    };
    let plain = Config {
        handshake: Handshake::Plain,
        ..Config::default()
    };
    let cases: [(Config, &[&str], &[&str]); 15] = [
        (
            rejecting("NetConnection.Connect.Rejected", "no"),
            &[],
            &[APP, PLAYER],
        ),
        (
            rejecting("NetConnection.Connect.Rejected", "no"),
            &["--swfUrl", "http://h/p.swf"],
            &[APP, "with --pageUrl"],
        ),
        (faulty(Step::Connect, FaultAction::Fin), &[], &[APP, PLAYER]),
        (faulty(Step::Connect, FaultAction::Rst), &[], &[APP, PLAYER]),
        (
            faulty(Step::Connect, FaultAction::Silence),
            &[],
            &[APP, PLAYER],
        ),
        (faulty(Step::Handshake, FaultAction::Fin), &[], &[TLS, PORT]),
        (
            faulty(Step::Play, FaultAction::Fin),
            &[],
            &[PLAYPATH, PLAYER, UNPUBLISHED],
        ),
        (
            missing(OnMissing::StreamNotFound),
            &[],
            &[PLAYPATH, UNPUBLISHED, LIVE],
        ),
        (
            missing(OnMissing::StreamNotFound),
            &["-v"],
            &[PLAYPATH, UNPUBLISHED, RECORDED],
        ),
        (
            missing(OnMissing::Silence),
            &[],
            &[UNPUBLISHED, LIVE, PLAYPATH],
        ),
        (
            missing(OnMissing::StartThenSilence),
            &["-v"],
            &[UNPUBLISHED, RECORDED],
        ),
        (with_login.clone(), &[], &["use --user and --password"]),
        (
            with_login,
            &["--user", "joe", "--password", "wrong"],
            &["check the user name and the password"],
        ),
        (
            with_player,
            &[],
            &["set the URL of its player with --swfVfy", UNPUBLISHED, LIVE],
        ),
        (
            plain,
            &["--handshake", "digest"],
            &["try without --handshake"],
        ),
    ];
    parallel::for_each(cases, |(config, options, expected)| {
        let server = Server::start(config);
        let options = [&ONE_SECOND_TIMEOUT, options].concat();
        let download = download(&server.url("clip"), &options);
        assert_hints(&download, expected);
        assert!(!download.finished.stderr.contains("s3cret"));
    });
}

#[test]
fn media_and_a_closed_session_have_no_hints() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    assert_hints(&download(&server.url("clip"), &[]), &[]);
    let cut = Config::serving(Stream::recorded(Clip::sample()))
        .with_fault(FaultPoint::Byte(60_000), FaultAction::Rst);
    let server = Server::start(cut);
    assert_hints(&download(&server.url("clip"), &["--retry", "0"]), &[]);
}

#[cfg(unix)]
#[test]
fn rtmpdump_name_and_quiet_print_no_hints() {
    let server = Server::start(Config::default());
    let url = server.url("clip");
    let rtmpdump = RtmpdumpLink::new();
    let finished = rtmpdump.start(&["-r", &url, "-o", "out.flv"]).finish(LIMIT);
    assert_eq!(hints(&finished), [""; 0], "{finished}");
    let quiet = download(&url, &["--quiet"]);
    assert_eq!(quiet.finished.stderr, "");
}

#[test]
fn json_summary_has_the_codes() {
    let server = Server::start(Config::default());
    let download = download(&server.url("clip"), &["--progress", "json"]);
    let last = download.finished.stderr.lines().last().unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_str(last).expect("a summary");
    let expected = ["check-playpath", "not-published", "use-live"];
    assert_eq!(summary["hints"], serde_json::json!(expected), "{last}");
}

#[test]
fn text_of_the_url_is_masked_and_escaped() {
    let peer = ScriptedPeer::start(|peer, _| {
        peer.accept_plain_handshake();
        let _client_left = peer.fail::<()>(FaultAction::Fin);
    });
    let url = format!("rtmp://127.0.0.1:{}/app?token=s3cret/clip", peer.port());
    let options = ["--app", "ap\u{202e}p?token=s3cret"];
    let download = download(&url, &options);
    let stderr = &download.finished.stderr;
    assert!(stderr.contains("hint: check the app \"ap"), "{stderr}");
    assert!(
        !stderr.contains("s3cret") && !stderr.contains('\u{202e}'),
        "{stderr}"
    );
}
