//! Downloads that need more than `play`. The tests set the session options through the library.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rtmpull::{
    cli::{
        args::Args,
        job::{Environment, resolve},
    },
    core::{
        amf::Value,
        rtmp::client::config::{Config as Session, Login as User, Start, Timeouts},
    },
    download::{self, Ending, Outcome, Report, Retry, Stop},
    transport::Endpoint,
};

use crate::{
    downloads::assert_same_media,
    peers::{require, rtmpdump::Rtmpdump},
    server::{
        ClientRecord, Clip, Command, Config, Handshake, LoginScheme, OnConnect, Pace, SecureToken,
        Server, Stream,
    },
};

#[test]
fn secure_token_is_answered() {
    let config = Config {
        secure_token: Some(SecureToken {
            token: "8049bb59d3efe4da975fd0e9db9485c864e81cc57441f57b3ba9c6ce0780ab6f",
            answer: b"A secure token of Wowza's kind..",
        }),
        ..recorded_config()
    };
    let server = assert_complete_with(config.clone(), |session| {
        session.secure_token = Some("0123456789abcdef".into());
    });
    let client = server.only_client();
    let names = client.names();
    assert_eq!(
        names[..4],
        ["connect", "secureTokenResponse", "createStream", "_checkbw"]
    );
    for key in [None, Some("another".to_owned())] {
        let (outcome, _) = play(config.clone(), |session| session.secure_token = key.clone());
        assert_eq!(outcome.ending, Ending::Cut, "{}", outcome.reason);
    }
}

#[test]
fn every_login_scheme_is_accepted() {
    for scheme in LOGINS {
        for app in ["app", "app/inst", "app?key=1"] {
            let server = assert_complete_with(with_login(scheme), |session| {
                session.connect.tc_url = format!("rtmp://server.example/{app}");
                session.connect.app = app.into();
                session.login = user("joe", "s3cret");
            });
            let apps: Vec<String> = server.clients().iter().map(app_of).collect();
            assert_eq!(apps.len(), 3, "{apps:?}");
            assert_eq!(apps[0], app);
            assert!(apps[1].ends_with("&user=joe"), "{apps:?}");
            assert!(apps[2].contains("&response="), "{apps:?}");
            assert!(!apps.concat().contains("s3cret"));
        }
    }
}

#[test]
fn rejected_login_names_the_cause_and_stops() {
    for scheme in LOGINS {
        for (login, words, connections) in [
            (user("joe", "wrong"), "do not match", 3),
            (user("jim", "s3cret"), "has no such user", 2),
            (None, "requires a user name and a password", 1),
        ] {
            let (outcome, server) = play(with_login(scheme), |session| {
                session.login = login.clone();
            });
            assert_eq!(outcome.ending, Ending::Refused);
            assert!(outcome.reason.contains(words), "{}", outcome.reason);
            assert!(!outcome.reason.contains("joe"), "{}", outcome.reason);
            assert_eq!(server.clients().len(), connections);
        }
    }
}

#[test]
fn redirect_target_gets_its_own_login() {
    let target = Server::start(with_login(LoginScheme::Adobe));
    let source = Config {
        connect: OnConnect::RedirectInError {
            redirect: format!("rtmp://127.0.0.1:{}/app", target.port()),
        },
        ..with_login(LoginScheme::Adobe)
    };
    assert_complete_with(source, |session| session.login = user("joe", "s3cret"));
    assert_eq!(target.clients().len(), 3);
    assert_eq!(app_of(&target.clients()[0]), "app");
}

#[test]
fn pause_unpause_requests_each_buffer_once() {
    for (ms, tags_per_aggregate) in [(700, 0), (100, 0), (1_000, 7)] {
        let stream = Stream::recorded(Clip::sample()).paced(Pace::UntilEmpty { ms });
        let config = Config {
            tags_per_aggregate,
            ..Config::serving(stream)
        };
        let start = Instant::now();
        let server = assert_complete_with(config, |session| session.pause_unpause = true);
        assert!(start.elapsed() < Duration::from_secs(3));
        let client = server.only_client();
        let pauses = client.commands.iter().filter(|call| call.name == "pause");
        assert!(pauses.count() >= 4, "{:?}", client.names());
    }
}

#[test]
fn server_that_needs_pause_unpause_stalls_without_it() {
    let stream = Stream::recorded(Clip::sample()).paced(Pace::UntilEmpty { ms: 700 });
    let (outcome, server) = play(Config::serving(stream), |session| {
        session.pause_unpause = false;
        session.timeouts = Timeouts::all(Some(Duration::from_secs(1)));
    });
    assert_eq!(outcome.ending, Ending::Stalled, "{}", outcome.reason);
    assert!(server.only_client().command("pause").is_none());
}

#[test]
fn playlist_is_set_when_required() {
    let config = Config {
        requires_playlist: true,
        ..recorded_config()
    };
    let (outcome, _) = play(config.clone(), |_| {});
    assert_eq!(outcome.ending, Ending::NotFound);
    assert_complete_with(config, |session| session.playlist = true);
}

#[test]
fn commands_follow_the_order_of_rtmpdump() {
    let server = assert_complete_with(recorded_config(), |session| {
        session.playlist = true;
        session.usher_token = Some("usher".into());
        session.subscribe = Some("clip".into());
        session.start = Start::At { ms: 0 };
        session.length_ms = Some(60_000);
    });
    let client = server.only_client();
    let names: Vec<_> = client
        .names()
        .into_iter()
        .filter(|name| *name != "_checkbw")
        .collect();
    let expected = [
        "connect",
        "createStream",
        "NetStream.Authenticate.UsherToken",
        "FCSubscribe",
        "set_playlist",
        "play",
        "deleteStream",
    ];
    assert_eq!(names, expected);
    let play = client.command("play").expect("the client sends play");
    let [start, length] = [0.0, 60_000.0].map(Value::Number);
    assert_eq!(play.values, [Value::Null, "clip".into(), start, length]);
}

#[test]
fn commands_match_rtmpdump() {
    let rtmpdump = require!(Rtmpdump::find());
    let config = Config {
        handshake: Handshake::Plain,
        secure_token: Some(SecureToken {
            token: "c1d2e3f40011223344556677",
            answer: b"\x17\xAB\xD7\x58\x1F\xD3\x0B\xA6\x26\x4F\x89\x95",
        }),
        ..recorded_config()
    };
    let theirs = Server::start(config.clone());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = [
        "--token",
        "mykey",
        "--playlist",
        "--jtv",
        "usher",
        "--subscribe",
        "clip",
        "--start",
        "1",
        "--stop",
        "2",
    ];
    let player = rtmpdump.play(
        &theirs.url("clip"),
        &folder.path().join("out.flv"),
        &options,
    );
    player.finish(Duration::from_secs(20));

    let (_, ours) = play(config, |session| {
        session.secure_token = Some("mykey".into());
        session.playlist = true;
        session.usher_token = Some("usher".into());
        session.subscribe = Some("clip".into());
        session.start = Start::At { ms: 1_000 };
        session.length_ms = Some(1_000);
        session.enhanced = false;
    });
    assert_eq!(comparable_commands(&ours), comparable_commands(&theirs));
}

#[test]
fn playpath_of_10_000_characters_is_played() {
    let playpath = format!("clip?token={}", "x".repeat(10_000));
    let server = assert_complete_with(recorded_config(), |session| {
        session.playpath = playpath.clone()
    });
    let client = server.only_client();
    let play = client.command("play").expect("the client sends play");
    assert_eq!(play.values[1], Value::from(playpath.as_str()));
}

/// Downloads `clip` with the options set by `configure` and compares the file with the source.
#[track_caller]
fn assert_complete_with(config: Config, configure: impl FnOnce(&mut Session)) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    let server = Server::start(config);
    let outcome = download(&server, &file, configure);
    assert_eq!(outcome.ending, Ending::Ended, "{}", outcome.reason);
    assert_same_media(&Clip::read(&file), &Clip::sample());
    server
}

/// Downloads `clip` with the options set by `configure`.
fn play(config: Config, configure: impl FnOnce(&mut Session)) -> (Outcome, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(config);
    let outcome = download(&server, &folder.path().join("out.flv"), configure);
    (outcome, server)
}

fn download(
    server: &Server,
    file: &std::path::Path,
    configure: impl FnOnce(&mut Session),
) -> Outcome {
    let (url, file) = (server.url("clip"), file.display().to_string());
    let args = Args::read(["rtmpull", &url, "-o", &file].map(Into::into));
    let environment = Environment::default();
    let args = args.unwrap_or_else(|_| panic!("valid arguments"));
    let mut job = resolve(&args, &environment).expect("a job");
    job.route.endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: server.port(),
    };
    configure(Arc::make_mut(&mut job.session));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (_stop, stop_request) = Stop::new();
    runtime.block_on(download::run(&job, &mut NoReport, stop_request))
}

/// Report that ignores all events.
struct NoReport;

impl Report for NoReport {
    fn connected(&mut self) {}
    fn started(&mut self, _: bool) {}
    fn retry(&mut self, _: &Retry) {}
}

fn recorded_config() -> Config {
    Config::serving(Stream::recorded_sample())
}

fn with_login(scheme: LoginScheme) -> Config {
    recorded_config().with_login(scheme)
}

fn user(user: &str, password: &str) -> Option<User> {
    Some(User {
        user: user.into(),
        password: password.into(),
    })
}

/// Returns all commands of the only client as text; for `connect`, only the member names.
fn comparable_commands(server: &Server) -> Vec<String> {
    let client = server.only_client();
    let describe = |call: &Command| match call.values.first().and_then(Value::as_object) {
        Some(object) => {
            let names: Vec<_> = object.iter().map(|(name, _)| name.to_string()).collect();
            format!("{} {names:?}", call.name)
        }
        None => format!("{call:?}"),
    };
    // The server decides when a bandwidth check is requested.
    let is_compared = |call: &&Command| call.name != "_checkbw" && call.name != "deleteStream";
    client
        .commands
        .iter()
        .filter(is_compared)
        .map(describe)
        .collect()
}

/// Returns the app in the client's `connect`.
fn app_of(client: &ClientRecord) -> String {
    let connect = client.command("connect").expect("the client sends connect");
    let app = connect.values[0].member("app").and_then(Value::as_text);
    app.expect("an app").to_string()
}

const LOGINS: [LoginScheme; 3] = [
    LoginScheme::Adobe,
    LoginScheme::AdobeOpaque,
    LoginScheme::Limelight,
];
