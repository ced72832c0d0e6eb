//! Output of `--verbose`.

use std::fs;

use crate::{
    drop_in::RtmpdumpLink,
    process::without_time,
    program::download,
    server::{Authority, Config, Server, Stream, TlsClose, TlsFront, Validity},
};

#[test]
fn verbose_prints_each_step_in_order() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let url = server.url("clip");
    let tc_url = url.trim_end_matches("/clip");
    let options = ["-V", "--subscribe", "clip", "--progress", "none"];
    let download = download(&url, &options);
    download.assert_ended(0, "ended");
    let stderr = &download.finished.stderr;
    let lines = || {
        stderr.lines().map(|line| {
            without_time(line).unwrap_or_else(|| panic!("no time in {line:?} of {stderr}"))
        })
    };
    let mut following = lines();
    for expected in [
        "DEBUG: Protocol : RTMP",
        "DEBUG: name resolved after ",
        "DEBUG: TCP connected after ",
        "DEBUG: handshake done: ",
        "DEBUG: handshake answered after ",
        "DEBUG: sending on message stream 0: connect, transaction 1",
        "DEBUG: Property: <Name:                app, STRING:\t",
        &format!("DEBUG: Property: <Name:              tcUrl, STRING:\t{tc_url}>"),
        "DEBUG: sending on message stream 0: createStream, transaction 2",
        "DEBUG: sending on message stream 0: FCSubscribe, transaction 3, name clip",
        "DEBUG: sending on message stream 1: play, transaction 4, playpath clip, start -2000 ms",
        "DEBUG: sending user control: Set Buffer Length, message stream 1, ",
        "DEBUG: received _result, transaction 1",
        "DEBUG: Property: <Name:             fmsVer, STRING:\t",
        "DEBUG: Property: <Name:               code, STRING:\tNetConnection.Connect.Success>",
        "DEBUG: connect answered after ",
        "DEBUG: received _result, transaction 2",
        "DEBUG: createStream answered after ",
        "DEBUG: received user control: Stream Begin, message stream 1",
        "DEBUG: play answered after ",
        "DEBUG: server: NetStream.Play.Start",
        "DEBUG: first media after ",
        "DEBUG: sending on message stream 0: deleteStream, stream 1",
        "saved ",
    ] {
        let is_found = following.any(|line| line.starts_with(expected));
        assert!(
            is_found,
            "{expected:?} is missing or out of order: {stderr}"
        );
    }
    for expected in [
        "DEBUG: received chunk size ",
        "DEBUG: received window acknowledgement size ",
        "DEBUG: received peer bandwidth ",
    ] {
        let is_found = lines().any(|line| line.starts_with(expected));
        assert!(is_found, "no {expected:?} in {stderr}");
    }
    for step in lines().filter(|line| line.contains(" after ")) {
        let (_, time) = step.rsplit_once(" after ").expect("a time");
        let ms = time.strip_suffix(" ms").map(str::parse::<f64>);
        assert!(matches!(ms, Some(Ok(0.0..))), "{step}");
    }
    for debug_text in ["Some(", "None", "Ok(", "{ ", " }", "::"] {
        assert!(!stderr.contains(debug_text), "{debug_text:?} in {stderr}");
    }
}

#[test]
fn verbose_names_the_tls_session_in_words() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let file = authority.file().display().to_string();
    for (trust, check) in [
        (&["--ca-file", &file][..], "certificate verified"),
        (&["--insecure"], "certificate not checked"),
    ] {
        let download = download(&url, &[&["-V"], trust].concat());
        assert_eq!(download.finished.code(), Some(0), "{}", download.finished);
        let stderr = &download.finished.stderr;
        let start = "DEBUG: TLS with localhost: TLS 1.3, TLS_";
        let mut lines = stderr.lines().filter_map(without_time);
        let is_found = lines.any(|line| line.starts_with(start) && line.ends_with(check));
        assert!(is_found, "{stderr}");
        let is_timed = lines.any(|line| line.starts_with("DEBUG: TLS handshake done after "));
        assert!(is_timed, "{stderr}");
    }
}

#[test]
fn verbose_has_no_times_under_the_name_rtmpdump() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let rtmpdump = RtmpdumpLink::new();
    let log = rtmpdump.file("log");
    let url = server.url("clip");
    let log_option = format!("--log-file={}", log.display());
    let finished = rtmpdump.run(&["-V", "-r", &url, "-o", "out.flv", &log_option]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    let stderr = &finished.stderr;
    assert!(stderr.contains("\nDEBUG: Protocol : RTMP\n"), "{finished}");
    assert!(!stderr.lines().any(|line| without_time(line).is_some()));
    let log = fs::read_to_string(log).expect("a log file");
    let is_dated = |line: &str| line.get(23..25) == Some("Z ");
    assert!(log.lines().all(is_dated), "{log}");
    assert!(log.contains("Z DEBUG: connect answered after "), "{log}");
}
