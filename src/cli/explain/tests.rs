use std::ffi::OsString;

use super::{attempt::Reached, *};
use crate::{
    cli::args::Args,
    core::rtmp::{handshake::Mode, target::Scheme},
    download::{Hint, SchemeChange},
};

fn request(line: &[&str]) -> Request {
    let words = ["rtmpull", "--explain"].iter().chain(line);
    Request::of(&Args::read(words.map(OsString::from)).unwrap())
}

/// Returns the changes after an attempt of this command line that got this far, with these hints.
fn after(line: &[&str], reached: Reached, hints: &[Hint]) -> Vec<Change> {
    let environment = Environment::default();
    let request = request(line);
    let (_, job) = request.resolve(&environment).unwrap();
    let dialed = match job.route.carrier.is_tls() {
        true => Reached::Tls,
        false => Reached::Tcp,
    };
    let failed = Failed {
        job: &job,
        splits: &job.candidates,
        hints,
        progress: Progress {
            is_dialed: reached >= dialed,
            reached,
        },
        connections: 1,
        has_environment_proxy: false,
        has_secrets: request.has_secrets(),
    };
    failed.changes()
}

fn server(scheme: Scheme, port: u16) -> Change {
    Change::Server { scheme, port }
}

fn to(from: &'static str, to: &'static str) -> SchemeChange {
    SchemeChange { from, to }
}

#[test]
fn changes_follow_the_hints_that_they_exhaust() {
    let tunnel = Hint::UseTunnel(to("rtmp", "rtmpt"));
    assert!(server(Scheme::Rtmpt, 7000).follows(&tunnel));
    assert!(!server(Scheme::Rtmps, 443).follows(&tunnel));
    assert!(!server(Scheme::Rtmpt, 80).follows(&Hint::CheckPort));
    assert!(Change::Live(true).follows(&Hint::UseLive));
    assert!(!Change::Live(true).follows(&Hint::DropLive));
}

#[test]
fn a_wrong_scheme_is_changed_on_the_same_port_first() {
    let hints = [Hint::UseTls(to("rtmp", "rtmps")), Hint::CheckPort];
    assert_eq!(
        after(&["rtmp://h:7000/a/b"], Reached::Tcp, &hints),
        [
            server(Scheme::Rtmps, 7000),
            server(Scheme::Rtmps, 443),
            server(Scheme::Rtmp, 1935),
            server(Scheme::Rtmpt, 80),
            server(Scheme::Rtmpt, 7000),
            Change::Handshake(Mode::Plain),
        ]
    );
    let hints = [Hint::UseTunnel(to("rtmp", "rtmpt"))];
    assert_eq!(
        after(&["rtmp://h/a/b"], Reached::Tcp, &hints),
        [server(Scheme::Rtmpt, 1935), server(Scheme::Rtmpt, 80)]
    );
}

#[test]
fn a_request_with_secrets_never_loses_its_encryption() {
    let hints = [Hint::DropTls(to("rtmps", "rtmp")), Hint::CheckPort];
    let plain = |line: &[&str]| {
        let changes = after(line, Reached::Tcp, &hints);
        let is_plain = |change: &&Change| {
            !matches!(
                change,
                Change::Server {
                    scheme: Scheme::Rtmps,
                    ..
                }
            )
        };
        changes.iter().filter(is_plain).count()
    };
    assert_eq!(plain(&["rtmps://h:7000/a/b"]), 3);
    for line in [
        &["rtmps://joe:secret@h:7000/a/b"][..],
        &["rtmps://h:7000/a/b?token=secret"],
        &["rtmps://h:7000/a/b?st=5f2"],
        &["rtmps://h:7000/a/b", "--token", "secret"],
        &[
            "rtmps://h:7000/a/b",
            "--user",
            "joe",
            "--password",
            "secret",
        ],
        &["rtmps://h:7000/a/b", "--conn", "S:secret"],
    ] {
        assert_eq!(plain(line), 0, "{line:?}");
    }
    let hints = [Hint::DropEncryption(to("rtmpe", "rtmp")), Hint::CheckPort];
    let line = ["rtmpe://joe:secret@h:7000/a/b"];
    assert_eq!(
        after(&line, Reached::Tcp, &hints),
        [
            server(Scheme::Rtmpe, 1935),
            server(Scheme::Rtmps, 443),
            server(Scheme::Rtmpte, 80),
            server(Scheme::Rtmpte, 7000)
        ]
    );
}

#[test]
fn a_proxy_of_the_command_line_is_not_bypassed() {
    let line = ["rtmp://h/a/b", "--proxy", "socks5://p"];
    assert_eq!(after(&line, Reached::Nothing, &[Hint::CheckProxy]), []);
}

#[test]
fn an_unknown_stream_is_requested_with_other_splits_and_another_kind() {
    let hints = [
        Hint::CheckPlaypath {
            playpath: "c/d".to_owned(),
        },
        Hint::NotPublished { waited: false },
        Hint::UseLive,
    ];
    let split = |app: &str, playpath: &str| Change::Split {
        app: app.to_owned(),
        playpath: playpath.to_owned(),
    };
    assert_eq!(
        after(&["rtmp://h/a/b/c/d"], Reached::CreateStream, &hints),
        [split("a/b/c", "d"), split("a", "b/c/d"), Change::Live(true)]
    );
    let exact = ["rtmp://h/a/b/c/d", "--app", "a/b", "-v"];
    let hints = [
        Hint::CheckPlaypath {
            playpath: "c/d".to_owned(),
        },
        Hint::DropLive,
    ];
    assert_eq!(
        after(&exact, Reached::CreateStream, &hints),
        [Change::Live(false)]
    );
}

#[test]
fn a_rejected_client_gets_urls_on_the_host_of_the_server() {
    let hint = Hint::NamePlayer {
        lacks_swf_url: true,
        lacks_page_url: true,
    };
    let player = Change::Player {
        swf_url: "http://[::1]/player.swf".to_owned(),
        page_url: "http://[::1]/".to_owned(),
    };
    let line = ["rtmp://[::1]/a/b", "--swfUrl", "http://other/p.swf"];
    let changes = after(&line, Reached::Handshake, &[hint]);
    assert_eq!(changes, [player.clone(), Change::NoEnhanced]);
    let mut changed = request(&line);
    player.apply(&mut changed);
    let (_, job) = changed.resolve(&Environment::default()).unwrap();
    let connect = &job.session.connect;
    assert_eq!(connect.swf_url.as_deref(), Some("http://other/p.swf"));
    assert_eq!(connect.page_url.as_deref(), Some("http://[::1]/"));
}

#[test]
fn every_change_makes_a_valid_request_that_differs() {
    let line = ["rtmp://h/a/b/c", "-v", "-A", "3", "--handshake", "digest"];
    let line = [&line[..], &["--proxy", "socks5://p"]].concat();
    let changes = [
        server(Scheme::Rtmpts, 7000),
        Change::Split {
            app: "a".to_owned(),
            playpath: "-b/c".to_owned(),
        },
        Change::Live(false),
        Change::NoStart,
        Change::Handshake(Mode::Auto),
        Change::Handshake(Mode::Plain),
        Change::Player {
            swf_url: "http://h/p.swf".to_owned(),
            page_url: "http://h/".to_owned(),
        },
        Change::NoEnhanced,
        Change::NoProxy,
    ];
    let what = |request: &Request| What::of(&request.resolve(&Environment::default()).unwrap().1);
    // A live stream is requested without a start.
    let line = |change: &Change| match change {
        Change::NoStart => line.iter().copied().filter(|word| *word != "-v").collect(),
        _ => line.clone(),
    };
    for change in changes {
        let original = request(&line(&change));
        let mut changed = original.clone();
        change.apply(&mut changed);
        assert_ne!(what(&changed), what(&original), "{change:?}");
        let printed = changed.command_line(str::to_owned);
        let words = shell_words::split(&printed).unwrap();
        let args = Args::read(words.into_iter().map(OsString::from));
        assert!(args.is_ok(), "{printed}");
    }
}
