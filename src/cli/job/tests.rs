use std::ffi::OsString;

use super::*;
use crate::amf::Object;

const PIPED: Surroundings = Surroundings {
    stdout_is_terminal: false,
};

const ON_TERMINAL: Surroundings = Surroundings {
    stdout_is_terminal: true,
};

fn args(line: &[&str]) -> Args {
    let program = OsString::from("rtmpull");
    Args::read([program].into_iter().chain(line.iter().map(OsString::from))).unwrap()
}

fn job(line: &[&str]) -> Job {
    resolve(&args(line), PIPED).unwrap()
}

fn error(line: &[&str]) -> String {
    let error = resolve(&args(line), PIPED).unwrap_err();
    format!("{error:#}")
}

#[test]
fn chooses_the_defaults() {
    let job = job(&["rtmp://host/app/name.flv"]);
    assert_eq!(job.endpoint.to_string(), "host:1935");
    assert_eq!(job.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(job.output, Destination::Stdout);
    assert!(!job.keep_timestamps);

    let session = job.session;
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
fn takes_every_option_over() {
    let line = "-r rtmp://host:1936/a/b/c -a app -y play/path -t tc -s swf -p page -f ver -d sub \
                -C N:1 -b 2000 -m 5 --handshake digest --no-pipelining --keep-timestamps -o out.flv";
    let job = job(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(job.endpoint.to_string(), "host:1936");
    assert_eq!(job.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(job.output, Destination::Path("out.flv".into()));
    assert!(job.keep_timestamps);

    let session = job.session;
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

/// The command lines of the wiki page that first described the protocol.
#[test]
fn takes_the_page_s_command_lines() {
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
fn a_live_stream_is_asked_for_and_subscribed_to() {
    let session = job(&["rtmp://h/live/cam", "-v"]).session;
    assert_eq!(session.start, Start::Live);
    assert_eq!(session.subscribe.as_deref(), Some("cam"));
    let session = job(&["rtmp://h/live/cam", "-v", "-d", "other"]).session;
    assert_eq!(session.subscribe.as_deref(), Some("other"));
}

#[test]
fn a_timeout_of_0_is_for_ever() {
    let job = job(&["rtmp://h/a/b", "-m", "0"]);
    assert_eq!(job.connect_timeout, None);
    assert_eq!(job.session.timeouts, Timeouts::all(None));
}

#[test]
fn app_and_playpath_replace_the_url_s() {
    let named = |line: &[&str]| {
        let Config {
            connect, playpath, ..
        } = job(line).session;
        (connect.app, playpath, connect.tc_url)
    };
    let expected = |app: &str, playpath: &str| {
        let tc_url = format!("rtmp://h:1935/{app}");
        (app.to_owned(), playpath.to_owned(), tc_url)
    };
    let cases: [(&[&str], _); 8] = [
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
fn empty_texts_are_not_sent() {
    let connect = job(&["rtmp://h/a/b", "-t", "", "-s", "", "-p", "", "-f", ""])
        .session
        .connect;
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
fn a_terminal_gets_no_video() {
    let resolve = |line: &[&str], surroundings| resolve(&args(line), surroundings);
    for line in [&["rtmp://h/a/b"][..], &["rtmp://h/a/b", "-o", "-"]] {
        let error = resolve(line, ON_TERMINAL).unwrap_err().to_string();
        assert!(
            error.starts_with("video is not written to a terminal"),
            "{error}"
        );
        assert_eq!(resolve(line, PIPED).unwrap().output, Destination::Stdout);
    }
    let file = resolve(&["rtmp://h/a/b", "-o", "x"], ON_TERMINAL).unwrap();
    assert_eq!(file.output, Destination::Path("x".into()));
}

#[test]
fn says_in_one_line_what_is_wrong() {
    let cases: [(&[&str], &str); 7] = [
        (
            &["host/app/name"],
            "\"host/app/name\": not a URL: it has to look like rtmp://host/app/stream",
        ),
        (
            &["rtmpse://host/app/name"],
            "\"rtmpse://host/app/name\": unknown scheme \"rtmpse\": \
             rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts are known",
        ),
        (
            &["rtmp://host:99999/app/name"],
            "\"rtmp://host:99999/app/name\": invalid port number in the URL",
        ),
        (
            &["rtmps://host/app/name"],
            "rtmps:// is not supported by this version, only rtmp:// is",
        ),
        (
            &["rtmp://host/app"],
            "\"rtmp://host/app\" names no stream: it has to look like rtmp://host/app/stream, \
             or --playpath names it",
        ),
        (
            &["rtmp://host/app/name", "-C", "Q:1"],
            "invalid AMF parameter \"Q:1\": the type is none of B, N, S, Z, O, NB, NN, NS and NO",
        ),
        (
            &["rtmp://host/app/name", "-C", "NS:a:b"],
            "invalid AMF parameter \"NS:a:b\": a name needs an object around it, begun by O:1",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(error(line), expected, "{line:?}");
    }
}
