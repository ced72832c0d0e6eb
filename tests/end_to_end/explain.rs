//! `--explain`: changes of a request that does not play, tried in turn.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rtmpull::core::{amf::Value, rtmp::message::Kind};
use serde_json::Value as Json;

use crate::{
    fixtures, parallel,
    peers::{ffmpeg::Ffmpeg, nginx::Nginx, node_media_server::NodeMediaServer, require},
    process::{Finished, Process},
    program,
    server::{
        AfterAnswer, Authority, CannedPeer, Clip, Config, Connection, Disconnected, FaultAction,
        FaultPoint, Handshake, Listener, LoginScheme, OnConnect, OnMissing, ScriptedPeer, Server,
        Step, Stream, TlsClose, TlsFront, Tunnel, TunnelConfig, Validity, status,
    },
};

/// Port that forwards its clients to another port, and records them.
struct Recorder {
    listener: Listener,
    clients: Arc<Mutex<Vec<Client>>>,
}

/// A recorded client.
struct Client {
    arrived: Instant,
    /// Time at which the client closed the connection.
    left: Option<Instant>,
    first_byte: Option<u8>,
}

impl Recorder {
    fn before(port: u16) -> Self {
        let clients = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&clients);
        let listener = Listener::start(move |_, client| {
            let index = {
                let mut all = all.lock().expect("the lock is not poisoned");
                all.push(Client {
                    arrived: Instant::now(),
                    left: None,
                    first_byte: None,
                });
                all.len() - 1
            };
            let first_byte = forward(&client, port);
            let mut all = all.lock().expect("the lock is not poisoned");
            all[index].first_byte = first_byte;
            all[index].left = Some(Instant::now());
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            clients,
        }
    }

    fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Panics unless there were at most ten connections, each of them after the previous one, and the starts of two
    /// of them at least a second apart.
    #[track_caller]
    fn assert_polite(&self) {
        let clients = self.clients.lock().expect("the lock is not poisoned");
        assert!(
            (1..=10).contains(&clients.len()),
            "{} connections",
            clients.len()
        );
        for pair in clients.windows(2) {
            let apart = pair[1].arrived - pair[0].arrived;
            // The accepting thread may run late.
            assert!(apart > Duration::from_millis(950), "only {apart:?} apart");
            let left = pair[0].left.expect("the client has left");
            assert!(left <= pair[1].arrived, "two connections at a time");
        }
    }

    fn first_bytes(&self) -> Vec<u8> {
        let clients = self.clients.lock().expect("the lock is not poisoned");
        clients
            .iter()
            .filter_map(|client| client.first_byte)
            .collect()
    }
}

/// Forwards the bytes of a client until it leaves. Returns its first byte.
fn forward(client: &TcpStream, port: u16) -> Option<u8> {
    let mut first = [0];
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let Ok(server) = server else {
        return None;
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &server, &mut &*client);
            let _ = client.shutdown(Shutdown::Write);
        });
        let count = (&*client).read(&mut first).unwrap_or(0);
        let _ = (&server).write_all(&first[..count]);
        let _ = io::copy(&mut &*client, &mut &server);
        let _ = server.shutdown(Shutdown::Both);
        (count > 0).then_some(first[0])
    })
}

/// Result of `--explain --json`.
struct Explained {
    finished: Finished,
    document: Json,
}

fn explain_command(url: &str, options: &[&str]) -> Command {
    let mut command = program::command();
    command.args(["--explain", url]).args(options);
    command
}

#[track_caller]
fn explain(url: &str, options: &[&str]) -> Explained {
    let options = [&["--json", "-m", "1"], options].concat();
    let finished = Process::start(&mut explain_command(url, &options)).finish(LIMIT);
    let document = serde_json::from_slice(&finished.stdout);
    let document = document.unwrap_or_else(|error| panic!("{error}: {finished}"));
    Explained { finished, document }
}

impl Explained {
    fn attempts(&self) -> &[Json] {
        self.document["attempts"].as_array().expect("attempts")
    }

    fn last(&self) -> &Json {
        self.attempts().last().expect("an attempt")
    }

    /// Panics unless the last attempt plays with exactly these changes, and the printed command line plays too.
    #[track_caller]
    fn assert_plays(&self, changes: &[&str]) {
        assert_eq!(
            self.finished.code(),
            Some(0),
            "{}: {}",
            self.document,
            self.finished
        );
        let last = self.last();
        assert_eq!(
            last["changes"],
            serde_json::json!(changes),
            "{}",
            self.document
        );
        assert_eq!(
            (&last["ending"], &last["reached"]),
            (&"plays".into(), &"media".into())
        );
        let command = self.document["command"].as_str().expect("a command line");
        let words = shell_words::split(command).expect("a quoted command line");
        assert_eq!(words[0], "rtmpull");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = program::command();
        command.args(&words[1..]).args(["--duration", "1", "-o"]);
        let file = folder.path().join("out.flv");
        let finished = Process::start(command.arg(&file)).finish(LIMIT);
        assert_eq!(finished.code(), Some(0), "{words:?}: {finished}");
        assert!(!Clip::read(&file).tags.is_empty());
    }

    /// Panics unless nothing plays, with this exit code and these probable remedies.
    #[track_caller]
    fn assert_fails(&self, code: i32, remedies: &[&str]) {
        assert_eq!(self.finished.code(), Some(code), "{}", self.document);
        assert_eq!(self.document["plays"], Json::Bool(false));
        assert_eq!(self.document["command"], Json::Null);
        let found = self.document["remedies"].as_array().expect("remedies");
        let found: Vec<_> = found.iter().map(|remedy| &remedy["code"]).collect();
        assert_eq!(found, remedies, "{}", self.document);
    }
}

fn recorded() -> Config {
    Config::serving(Stream::recorded(Clip::sample()))
}

fn url(scheme: &str, recorder: &Recorder, path: &str) -> String {
    format!("{scheme}://127.0.0.1:{}/{path}", recorder.port())
}

/// Starts a peer that plays the start of the sample to the clients whose commands `accepts`, and refuses the others.
fn choosy_peer(accepts: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> ScriptedPeer {
    ScriptedPeer::start(move |peer, _| {
        peer.accept_plain_handshake();
        let _client_left = serve_choosily(peer, &accepts);
    })
}

fn serve_choosily(
    peer: &mut Connection,
    accepts: &impl Fn(&Connection) -> bool,
) -> Result<(), Disconnected> {
    let connect = peer.expect_command("connect");
    peer.accept_connect(&connect)?;
    let create = peer.expect_command("createStream");
    peer.accept_create_stream(&create)?;
    peer.expect_command("play");
    if !accepts(peer) {
        let refusal = status("error", "NetStream.Play.StreamNotFound", "not like this");
        peer.queue_command(1, "onStatus", 0.0, &[Value::Null, refusal.into()])?;
        peer.flush()?;
        return peer.wait_for_close();
    }
    peer.start_stream()?;
    send_sample(peer)
}

/// Sends the start of the sample, and waits for the end of the connection.
fn send_sample(peer: &mut Connection) -> Result<(), Disconnected> {
    for tag in Clip::sample().media_with_content().take(200) {
        let chunk_stream = u32::from(tag.kind);
        peer.queue(chunk_stream, Kind(tag.kind), 1, tag.timestamp_ms, &tag.body)?;
    }
    peer.flush()?;
    peer.wait_for_close()
}

/// Returns the start that the client requested: the second argument of `play`.
fn requested_start(peer: &Connection) -> f64 {
    let record = peer.record();
    let play = record.command("play").expect("play");
    play.values[2].as_number().expect("a start")
}

#[test]
fn a_request_that_plays_is_made_once() {
    let server = Server::start(recorded());
    let recorder = Recorder::before(server.port());
    let explained = explain(&url("rtmp", &recorder, "app/clip"), &[]);
    explained.assert_plays(&[]);
    assert_eq!(explained.attempts().len(), 1);
}

#[test]
fn swapped_tls_is_found() {
    let server = Server::start(recorded());
    let authority = Authority::new("Authority");
    let front = TlsFront::start(
        server.port(),
        &authority.identity(Validity::Valid),
        TlsClose::CloseNotify,
    );
    let file = authority.file().display().to_string();
    let trusted = ["--ca-file", &file];
    parallel::for_each(
        [(server.port(), "rtmps"), (front.port(), "rtmp")],
        |(port, scheme)| {
            let recorder = Recorder::before(port);
            let explained = explain(&url(scheme, &recorder, "app/clip"), &trusted);
            recorder.assert_polite();
            explained.assert_plays(&["server"]);
            assert_eq!(explained.attempts()[1]["request"]["port"], recorder.port());
        },
    );
}

#[test]
fn a_server_that_needs_a_tunnel_is_found() {
    let server = Server::start(recorded());
    let tunnel = Tunnel::start(server.port(), TunnelConfig::default());
    let url = format!("rtmp://127.0.0.1:{}/app/clip", tunnel.port());
    let explained = explain(&url, &[]);
    explained.assert_plays(&["server"]);
    assert_eq!(explained.last()["request"]["scheme"], "rtmpt");
}

#[test]
fn a_web_server_and_a_closed_port_are_not_playable() {
    let web = CannedPeer::start(b"HTTP/1.1 400 Bad Request\r\n\r\n", AfterAnswer::Closed);
    let recorder = Recorder::before(web.port());
    let explained = explain(&url("rtmp", &recorder, "app/clip"), &[]);
    explained.assert_fails(3, &["check-port"]);
    recorder.assert_polite();
    let closed = CannedPeer::start(b"", AfterAnswer::Open).port();
    let explained = explain(&format!("rtmp://127.0.0.1:{closed}/app/clip"), &[]);
    explained.assert_fails(3, &["check-port"]);
    let ports = explained
        .attempts()
        .iter()
        .map(|attempt| &attempt["request"]["port"]);
    let ports: Vec<_> = ports.filter_map(Json::as_u64).collect();
    assert_eq!(ports, [u64::from(closed), 1935, 443, 80]);
    let reached = |attempt: &Json| attempt["reached"] == "name";
    assert!(
        explained.attempts().iter().all(reached),
        "{}",
        explained.document
    );
}

#[test]
fn a_server_that_accepts_only_a_player_gets_its_urls() {
    let peer = ScriptedPeer::start(|peer, _| {
        peer.accept_plain_handshake();
        let connect = peer.expect_command("connect");
        let members = connect.values[0].as_object().expect("members");
        let has_url = |name| members.get(name).and_then(Value::as_text).is_some();
        let _client_left = if has_url("swfUrl") && has_url("pageUrl") {
            peer.accept_connect(&connect)
                .and_then(|()| {
                    let create = peer.expect_command("createStream");
                    peer.accept_create_stream(&create)
                })
                .and_then(|()| {
                    peer.expect_command("play");
                    peer.start_stream()
                })
                .and_then(|()| send_sample(peer))
        } else {
            peer.fail(FaultAction::Fin)
        };
    });
    let recorder = Recorder::before(peer.port());
    let explained = explain(&url("rtmp", &recorder, "app/clip"), &["--retry", "3"]);
    recorder.assert_polite();
    explained.assert_plays(&["player"]);
    let command = explained.document["command"].as_str().unwrap_or_default();
    assert!(
        command.contains("--swfUrl http://127.0.0.1/player.swf"),
        "{command}"
    );
    assert!(command.contains("--retry 3"), "{command}");
}

#[test]
fn another_split_and_another_kind_of_stream_are_found() {
    let server = Server::start(Config {
        streams: [("x/clip".to_owned(), Stream::recorded(Clip::sample()))].into(),
        ..Config::default()
    });
    let recorder = Recorder::before(server.port());
    let explained = explain(&url("rtmp", &recorder, "app/x/clip"), &[]);
    recorder.assert_polite();
    explained.assert_plays(&["split"]);
    let recorded_only =
        choosy_peer(|peer| requested_start(peer) >= 0.0 || requested_start(peer) == -2000.0);
    let explained = explain(&recorded_only.url("clip"), &["-v"]);
    explained.assert_plays(&["live"]);
    assert_eq!(explained.last()["request"]["live"], false);
    let live_only = choosy_peer(|peer| requested_start(peer) == -1000.0);
    let explained = explain(&live_only.url("clip"), &[]);
    explained.assert_plays(&["live"]);
    assert_eq!(explained.last()["request"]["live"], true);
}

#[test]
fn progress_leads_to_further_changes() {
    let server = Server::start(Config {
        streams: [("x/clip".to_owned(), Stream::recorded(Clip::sample()))].into(),
        handshake: Handshake::Plain,
        ..Config::default()
    });
    let recorder = Recorder::before(server.port());
    let options = ["--handshake", "digest"];
    let explained = explain(&url("rtmps", &recorder, "app/x/clip"), &options);
    recorder.assert_polite();
    explained.assert_plays(&["server", "handshake", "split"]);
    let reached: Vec<_> = explained
        .attempts()
        .iter()
        .map(|attempt| &attempt["reached"])
        .collect();
    assert_eq!(reached.first(), Some(&&Json::from("tcp")));
}

#[test]
fn hints_that_cannot_be_tried_are_remedies() {
    let missing = |missing| Config {
        missing,
        ..Config::default()
    };
    let with_login = Config::default().with_login(LoginScheme::Adobe);
    let rejecting = Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "no",
        },
        ..Config::default()
    };
    let cut = Config::default().with_fault(FaultPoint::Step(Step::Play), FaultAction::Fin);
    let cases: [(Config, &str, &[&str], usize); 5] = [
        (
            missing(OnMissing::StreamNotFound),
            "not-found",
            &["check-playpath", "not-published"],
            2,
        ),
        (
            missing(OnMissing::StartThenSilence),
            "stalled",
            &["not-published"],
            2,
        ),
        (with_login, "refused", &["log-in"], 2),
        (rejecting, "refused", &["check-app", "name-player"], 3),
        (
            cut,
            "cut",
            &["check-playpath", "name-player", "not-published"],
            2,
        ),
    ];
    parallel::for_each(cases, |(config, ending, remedies, attempts)| {
        let server = Server::start(config);
        let recorder = Recorder::before(server.port());
        let explained = explain(&url("rtmp", &recorder, "app/clip"), &[]);
        explained.assert_fails(1, remedies);
        recorder.assert_polite();
        let document = &explained.document;
        assert_eq!(explained.attempts()[0]["ending"], ending, "{document}");
        assert_eq!(explained.attempts().len(), attempts, "{document}");
    });
}

#[test]
fn never_more_than_ten_connections_are_made() {
    let server = Server::start(Config {
        connect: OnConnect::RedirectToItself,
        ..Config::default()
    });
    let explained = explain(&server.url("a/b/clip"), &["-m", "10"]);
    assert_eq!(explained.finished.code(), Some(1), "{}", explained.document);
    assert!(server.clients().len() <= 10, "{}", explained.document);
    // Each connection of the redirects counts.
    assert!(
        explained.attempts()[0]["connections"] == 6,
        "{}",
        explained.document
    );
    assert!(
        explained.finished.took > Duration::from_secs(5),
        "{}",
        explained.finished
    );
}

#[test]
fn secrets_stay_encrypted_and_are_not_printed() {
    let server = Server::start(recorded());
    let recorder = Recorder::before(server.port());
    let with_login = format!("rtmps://joe:s3cret@127.0.0.1:{}/app/clip", recorder.port());
    let finished = Process::start(&mut explain_command(&with_login, &["-m", "1"])).finish(LIMIT);
    assert_eq!(finished.code(), Some(3), "{finished}");
    let stdout = String::from_utf8_lossy(&finished.stdout);
    assert!(
        !stdout.contains("s3cret") && !finished.stderr.contains("s3cret"),
        "{stdout}"
    );
    // Every connection starts with a TLS record.
    assert!(recorder.first_bytes().iter().all(|byte| *byte == 0x16));
    recorder.assert_polite();
    let recorder = Recorder::before(server.port());
    let with_token = url("rtmp", &recorder, "app/clip?token=s3cret");
    let explained = explain(&with_token, &["--password", "hunter2", "--user", "joe"]);
    let text = explained.document.to_string();
    assert!(
        !text.contains("s3cret") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn texts_of_the_server_are_escaped() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.Rejected",
            description: "\u{1b}[2Jno\u{202e}\u{7}",
        },
        ..Config::default()
    });
    for options in [&["-m", "1"][..], &["-m", "1", "--json"]] {
        let mut command = explain_command(&server.url("clip"), options);
        let finished = Process::start(&mut command).finish(LIMIT);
        let stdout = String::from_utf8(finished.stdout).expect("text");
        assert!(stdout.contains("no"), "{stdout}");
        let is_raw = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!stdout.contains(is_raw), "{stdout:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_user_can_stop_an_explanation() {
    let server = Server::start(Config {
        missing: OnMissing::Silence,
        ..Config::default()
    });
    let mut process = Process::start(&mut explain_command(&server.url("clip"), &["-m", "20"]));
    while server.clients().is_empty() {
        assert!(process.is_running());
        thread::sleep(Duration::from_millis(10));
    }
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert!(finished.took < Duration::from_secs(3), "{finished}");
    let stdout = String::from_utf8_lossy(&finished.stdout);
    assert!(
        stdout.contains("Stopped before a request played."),
        "{stdout}"
    );
}

#[test]
fn nginx_and_node_media_server_are_explained() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let node_media_server = require!(NodeMediaServer::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let nginx = nginx.start(&[&source]);
    let recorder = Recorder::before(nginx.port());
    let name = source.file_name().expect("a name").to_string_lossy();
    let explained = explain(&url("rtmps", &recorder, &format!("vod/{name}")), &[]);
    recorder.assert_polite();
    explained.assert_plays(&["server"]);
    let recorder = Recorder::before(nginx.port());
    let explained = explain(&url("rtmp", &recorder, "vod/missing.flv"), &[]);
    recorder.assert_polite();
    explained.assert_fails(1, &["check-playpath", "not-published"]);

    let node_media_server = node_media_server.start();
    let recorder = Recorder::before(node_media_server.port());
    let explained = explain(&url("rtmp", &recorder, "live/missing"), &["-v"]);
    recorder.assert_polite();
    assert_eq!(explained.finished.code(), Some(1), "{}", explained.document);
    let live = fixtures::live_flv(&ffmpeg, false, 30);
    let _publisher = ffmpeg.publish(&live, &node_media_server.url("live"));
    thread::sleep(Duration::from_secs(2));
    let recorder = Recorder::before(node_media_server.port());
    let explained = explain(&url("rtmpt", &recorder, "live/live"), &["-v"]);
    recorder.assert_polite();
    explained.assert_plays(&["server"]);
}

/// Longest time of an explanation with timeouts of one second on a busy machine.
const LIMIT: Duration = Duration::from_secs(45);
