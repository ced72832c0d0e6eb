//! Moves to another connection at the server's request: each frame is in the file exactly once, at its
//! time.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rtmpull::core::amf::Value;

use super::{
    sources::{Source, Sources, Span},
    unique_clip,
};
use crate::{
    peers::{ffmpeg::Ffmpeg, librtmp2::Librtmp2, require},
    process::{Finished, Process},
    program::{self, Download, Running, download},
    server::{
        Broadcast, Clip, Config, EndSignal, FaultAction, FaultPoint, Identity, Login, LoginScheme,
        Pace, Proxy, ProxyKind, PublisherClock, Reconnect, Seeking, Server, Step, Stream, TlsClose,
        TlsFront, Tunnel, TunnelConfig,
    },
};

const LIVE: [&str; 3] = ["-v", "--republish-wait", "0"];

/// Returns a broadcast of `clip` at eight times its speed.
fn broadcast(clip: &Clip, has_cache: bool) -> Arc<Broadcast> {
    Arc::new(Broadcast::new(clip.clone(), 8.0, has_cache))
}

fn request(connection: usize, after_tags: usize, tc_url: Option<String>) -> Reconnect {
    Reconnect {
        connection,
        after_tags,
        tc_url,
    }
}

fn serve(broadcast: &Arc<Broadcast>, reconnects: Vec<Reconnect>) -> Server {
    Server::start(Config {
        reconnects,
        ..Config::serving(Stream::broadcast(broadcast.clone()))
    })
}

fn tc_url(server: &Server) -> Option<String> {
    Some(server.url("clip").trim_end_matches("/clip").to_owned())
}

/// Panics unless the file holds each frame once at its time, and the recording moved `moves` times.
#[track_caller]
fn assert_seamless(download: &Download, clip: &Clip, moves: usize) {
    let stderr = &download.finished.stderr;
    assert!(download.clip().media().eq(clip.media()), "{stderr}");
    let moved = stderr.matches("moved to the requested connection").count();
    assert_eq!(moved, moves, "{stderr}");
    assert!(!stderr.contains("gap of"), "{stderr}");
}

/// Panics unless the recording is complete although the requested connection failed because of `cause`.
#[track_caller]
fn assert_continued(download: &Download, clip: &Clip, cause: &str) {
    assert_seamless(download, clip, 0);
    let stderr = &download.finished.stderr;
    let is_named = stderr
        .lines()
        .any(|line| line.contains("so the old one continues") && line.contains(cause));
    assert!(is_named, "{stderr}");
}

#[test]
fn request_without_tc_url_moves_to_the_same_server() {
    let clip = unique_clip(600, 25);
    for (has_cache, clock) in [
        (true, PublisherClock::From(0)),
        (false, PublisherClock::From(0)),
        (true, PublisherClock::PerPlayer),
    ] {
        let broadcast = Broadcast::new(clip.clone(), 8.0, has_cache).on_clock(clock);
        let server = serve(&Arc::new(broadcast), vec![request(0, 300, None)]);
        let download = download(&server.url("clip"), &LIVE);
        download.assert_ended(0, "unpublished");
        assert_seamless(&download, &clip, 1);
        let clients = server.clients();
        assert_eq!(clients.len(), 2);
        let delete = clients[0].commands.last().expect("commands");
        assert_eq!(delete.name, "deleteStream", "the old connection is closed");
    }
}

/// Without retries, the frames are remembered from the request on.
#[test]
fn move_does_not_require_retries() {
    let clip = unique_clip(600, 25);
    let without_retries = ["-v", "--retry", "0", "--republish-wait", "0"];
    for options in [&without_retries[..], &[]] {
        let server = serve(&broadcast(&clip, true), vec![request(0, 300, None)]);
        let download = download(&server.url("clip"), options);
        assert_seamless(&download, &clip, 1);
    }
}

#[test]
fn request_with_an_absolute_tc_url_moves_to_another_server() {
    let clip = unique_clip(600, 25);
    let broadcast = broadcast(&clip, true);
    let second = serve(&broadcast, Vec::new());
    let first = serve(&broadcast, vec![request(0, 300, tc_url(&second))]);
    let download = download(&first.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    assert_seamless(&download, &clip, 1);
    assert_eq!((first.clients().len(), second.clients().len()), (1, 1));
}

#[test]
fn relative_tc_url_names_another_app() {
    let clip = unique_clip(600, 25);
    let reference = Some("/other/instance".to_owned());
    let server = serve(&broadcast(&clip, true), vec![request(0, 300, reference)]);
    let download = download(&server.url("clip"), &LIVE);
    assert_seamless(&download, &clip, 1);
    let clients = server.clients();
    let connect = &clients[1].commands[0].values[0];
    let member = |name| connect.member(name).and_then(Value::as_text);
    let app = member("app").map(ToString::to_string);
    assert_eq!(app.as_deref(), Some("other/instance"));
    let tc_url = member("tcUrl").map(ToString::to_string);
    let expected = format!("rtmp://127.0.0.1:{}/other/instance", server.port());
    assert_eq!(tc_url, Some(expected));
}

#[test]
fn requests_of_each_new_connection_are_obeyed() {
    let clip = unique_clip(1_000, 25);
    let requests = vec![request(0, 300, None), request(1, 200, None)];
    let server = serve(&broadcast(&clip, true), requests);
    let download = download(&server.url("clip"), &LIVE);
    assert_seamless(&download, &clip, 2);
    assert_eq!(server.clients().len(), 3);
}

#[test]
fn endless_requests_are_limited() {
    let clip = unique_clip(600, 25);
    let requests = (0..50).flat_map(|connection| {
        let urls = ["/a", "/b", "/c"].map(|url| Some(url.to_owned()));
        (0..60).map(move |number| request(connection, number * 5, urls[number % 3].clone()))
    });
    let server = serve(&broadcast(&clip, true), requests.collect());
    let download = download(&server.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    let stderr = &download.finished.stderr;
    assert!(download.clip().media().eq(clip.media()), "{stderr}");
    assert!(server.clients().len() <= 4, "{stderr}");
}

/// The request is obeyed after the first frames, because there is nothing to continue before.
#[test]
fn request_before_media_waits_for_the_stream() {
    let clip = unique_clip(600, 25);
    let server = serve(&broadcast(&clip, true), vec![request(0, 0, None)]);
    let download = download(&server.url("clip"), &LIVE);
    assert_seamless(&download, &clip, 1);
}

#[test]
fn later_request_replaces_the_earlier_one() {
    let clip = unique_clip(1_000, 25);
    let broadcast = broadcast(&clip, true);
    let silent = Server::start(
        Config::serving(Stream::broadcast(broadcast.clone()))
            .with_fault(FaultPoint::Step(Step::Connect), FaultAction::Silence),
    );
    let second = serve(&broadcast, Vec::new());
    let requests = vec![
        request(0, 300, tc_url(&silent)),
        request(0, 400, tc_url(&second)),
    ];
    let first = serve(&broadcast, requests);
    let download = download(&first.url("clip"), &LIVE);
    assert_seamless(&download, &clip, 1);
    assert_eq!((silent.clients().len(), second.clients().len()), (1, 1));
}

#[test]
fn old_connection_continues_if_the_new_one_is_refused() {
    let clip = unique_clip(600, 25);
    let broadcast = broadcast(&clip, true);
    let closed = serve(&broadcast, Vec::new());
    let tc_url = tc_url(&closed);
    drop(closed);
    let server = serve(&broadcast, vec![request(0, 300, tc_url)]);
    let download = download(&server.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    assert_continued(&download, &clip, "refused");
}

#[test]
fn old_connection_continues_if_the_new_server_fails() {
    let clip = unique_clip(1_000, 25);
    for (step, action, cause) in [
        (Step::Handshake, FaultAction::Silence, "timeout of 2 s"),
        (Step::Connect, FaultAction::Fin, "closed the connection"),
        (Step::Play, FaultAction::Rst, "the connection broke"),
        (Step::Media, FaultAction::Silence, "timeout of 2 s"),
    ] {
        let broadcast = broadcast(&clip, true);
        let second = Server::start(
            Config::serving(Stream::broadcast(broadcast.clone()))
                .with_fault(FaultPoint::Step(step), action),
        );
        let first = serve(&broadcast, vec![request(0, 200, tc_url(&second))]);
        let options = [&LIVE[..], &["--timeout", "2", "--connect-timeout", "2"]].concat();
        let download = download(&first.url("clip"), &options);
        download.assert_ended(0, "unpublished");
        assert_continued(&download, &clip, cause);
    }
}

#[test]
fn old_connection_continues_if_the_new_stream_is_missing() {
    let clip = unique_clip(600, 25);
    let second = Server::start(Config::default());
    let broadcast = broadcast(&clip, true);
    let first = serve(&broadcast, vec![request(0, 300, tc_url(&second))]);
    let download = download(&first.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    assert_continued(&download, &clip, "No such stream.");
}

#[test]
fn old_connection_continues_if_the_new_stream_does_not_match() {
    let clip = unique_clip(600, 25);
    let mut other = clip.clone();
    let frames = other
        .tags
        .iter_mut()
        .filter(|tag| !tag.is_sequence_header());
    frames.for_each(|tag| tag.body.resize(40_000, 0xEE));
    // More than the backlog holds.
    let second = Server::start(Config::serving(
        Stream::live(other).paced(Pace::Unbounded).ending(&[]),
    ));
    let first = serve(
        &broadcast(&clip, true),
        vec![request(0, 300, tc_url(&second))],
    );
    let download = download(&first.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    assert_continued(&download, &clip, "another stream");
}

#[test]
fn request_to_leave_tls_is_refused() {
    let clip = unique_clip(600, 25);
    let broadcast = broadcast(&clip, true);
    let plain = serve(&broadcast, Vec::new());
    let server = serve(&broadcast, vec![request(0, 300, tc_url(&plain))]);
    let identity = Identity::self_signed("localhost");
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let pin = identity.sha256();
    let options = [&LIVE[..], &["--tls-pin", &pin]].concat();
    let download = download(&url, &options);
    assert_seamless(&download, &clip, 0);
    let stderr = &download.finished.stderr;
    let refusal = "asked to reconnect from TLS to rtmp://127.0.0.1";
    assert!(stderr.contains(refusal), "{stderr}");
    assert_eq!(plain.clients().len(), 0);
}

/// A server that closes at once does not wait for the new connection.
#[test]
fn the_move_continues_if_the_old_connection_ends_first() {
    let clip = unique_clip(1_000, 1_000);
    for (fault, retries) in [
        (FaultPoint::Boundary(150_000), "5"),
        (FaultPoint::Boundary(120_500), "0"),
    ] {
        let mut config = Config::serving(Stream::broadcast(broadcast(&clip, true)));
        config.reconnects = vec![request(0, 300, None)];
        config.faulty_connections = 1;
        let server = Server::start(config.with_fault(fault, FaultAction::Fin));
        let options = ["-v", "--republish-wait", "0", "--retry", retries];
        let download = download(&server.url("clip"), &options);
        download.assert_ended(0, "unpublished");
        let stderr = &download.finished.stderr;
        assert!(download.clip().media().eq(clip.media()), "{stderr}");
        assert!(!stderr.contains("retry 1"), "{stderr}");
        assert_eq!(server.clients().len(), 2, "{stderr}");
    }
}

#[test]
fn first_retry_connects_to_the_requested_server() {
    let clip = unique_clip(1_000, 1_000);
    let broadcast = broadcast(&clip, true);
    let mut config = Config::serving(Stream::broadcast(broadcast.clone()));
    config.faulty_connections = 1;
    // The first connection to this server fails.
    let second =
        Server::start(config.with_fault(FaultPoint::Step(Step::Connect), FaultAction::Fin));
    let mut config = Config::serving(Stream::broadcast(broadcast));
    config.reconnects = vec![request(0, 200, tc_url(&second))];
    let cut = FaultPoint::Boundary(250_000);
    let first = Server::start(config.with_fault(cut, FaultAction::Rst));
    let download = download(&first.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    let stderr = &download.finished.stderr;
    assert!(download.clip().media().eq(clip.media()), "{stderr}");
    assert!(stderr.contains("retry 1"), "{stderr}");
    assert_eq!((first.clients().len(), second.clients().len()), (1, 2));
}

#[test]
fn recorded_stream_continues_from_its_position() {
    let clip = unique_clip(800, 25);
    for (pace, restarts_clock) in [
        (Pace::Speed(8.0), false),
        (Pace::Speed(8.0), true),
        (Pace::Unbounded, false),
        (Pace::Unbounded, true),
    ] {
        let seeking = Seeking {
            restarts_clock,
            ..Seeking::default()
        };
        let mut recorded = clip.clone();
        if pace == Pace::Unbounded {
            // The server must not have sent everything when the request arrives.
            recorded.tags.iter_mut().for_each(|tag| {
                if !tag.is_sequence_header() {
                    tag.body.resize(30_000, 0x55);
                }
            });
        }
        let stream = Stream::recorded(recorded.clone())
            .paced(pace)
            .seeking(seeking);
        let server = Server::start(Config {
            reconnects: vec![request(0, 600, None)],
            ..Config::serving(stream)
        });
        let download = download(&server.url("clip"), &[]);
        download.assert_ended(0, "ended");
        assert_seamless(&download, &recorded, 1);
        let clients = server.clients();
        let play = clients[1].commands.iter().find(|call| call.name == "play");
        let start_ms = play.and_then(|play| play.values[2].as_number());
        assert!(start_ms > Some(4_000.0), "{start_ms:?}");
    }
}

#[test]
fn old_recorded_stream_continues_if_the_new_one_fails() {
    let clip = unique_clip(1_500, 25);
    let second = Server::start(Config::default());
    let server = Server::start(Config {
        reconnects: vec![request(0, 600, tc_url(&second))],
        ..Config::serving(Stream::recorded(clip.clone()).paced(Pace::Speed(8.0)))
    });
    let download = download(&server.url("clip"), &[]);
    download.assert_ended(0, "ended");
    assert_continued(&download, &clip, "No such stream.");
}

#[test]
fn stop_during_the_move_closes_both_connections() {
    let clip = unique_clip(2_000, 25);
    let broadcast = Arc::new(Broadcast::new(clip, 1.0, true));
    for step in [Step::Connect, Step::Media] {
        let second = Server::start(
            Config::serving(Stream::broadcast(broadcast.clone()))
                .with_fault(FaultPoint::Step(step), FaultAction::Silence),
        );
        let first = serve(&broadcast, vec![request(0, 20, tc_url(&second))]);
        let running: Running = program::start(&first.url("clip"), &LIVE);
        let start = Instant::now();
        let has_arrived = || {
            let clients = second.clients();
            let commands = clients.first().map_or(0, |client| client.commands.len());
            commands > if step == Step::Media { 2 } else { 0 }
        };
        while !has_arrived() {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(10));
        }
        let stopped = Instant::now();
        let download = running.interrupt();
        assert!(stopped.elapsed() < Duration::from_secs(1));
        download.assert_ended(0, "interrupted");
        for server in [&first, &second] {
            let start = Instant::now();
            while !server.clients()[0].has_closed {
                assert!(start.elapsed() < Duration::from_secs(5), "not closed");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The move happens before frames are muxed, so every output continues.
#[test]
fn every_output_continues_after_the_move() {
    let mut clip = unique_clip(600, 25);
    // MP4 needs valid sequence headers.
    let sample = Clip::sample();
    for tag in clip.tags.iter_mut().filter(|tag| tag.is_sequence_header()) {
        let mut headers = sample.tags.iter().filter(|tag| tag.is_sequence_header());
        let header = headers.find(|header| header.kind == tag.kind);
        tag.body
            .clone_from(&header.expect("a sequence header").body);
    }
    for (output, options) in [
        ("out.mp4", &["--no-pipelining"][..]),
        ("out.flv", &["--segment-time", "10"]),
        ("out.flv", &["--tee", "-"]),
        ("out.flv", &["--keep-timestamps"]),
        ("-", &[]),
    ] {
        let record = |requests| {
            let server = serve(&broadcast(&clip, true), requests);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut command = program::command();
            command.arg(server.url("clip")).args(LIVE).args(options);
            command.args(["--progress", "json", "-o", output]);
            command.current_dir(folder.path());
            let finished = Process::start(&mut command).finish(program::LIMIT);
            assert_eq!(finished.code(), Some(0), "{finished}");
            (finished, folder)
        };
        let (moved, folder) = record(vec![request(0, 300, None)]);
        let stderr = &moved.stderr;
        let states = ["started", "moved", "failed"].into_iter();
        let written = states
            .filter(|state| stderr.contains(&format!(r#""event":"reconnect","state":"{state}""#)));
        let written: Vec<_> = written.collect();
        assert_eq!(written, ["started", "moved"], "{stderr}");
        assert!(folder.path().join(output).exists() || output == "-");
        let (unmoved, _) = record(Vec::new());
        assert_eq!(
            tags(&moved),
            tags(&unmoved),
            "{output} {options:?}: {stderr}"
        );
        if options == ["--keep-timestamps"] {
            let recorded = Clip::read(&folder.path().join(output));
            assert!(recorded.media().eq(clip.media()), "{stderr}");
        } else if !moved.stdout.is_empty() {
            assert!(
                Clip::parse(&moved.stdout).media().eq(clip.media()),
                "{stderr}"
            );
        }
    }
}

/// Returns the number of tags and the duration in the summary.
#[track_caller]
fn tags(finished: &Finished) -> (Option<u64>, Option<u64>) {
    let summary = finished.stderr.lines().last().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("JSON");
    (summary["tags"].as_u64(), summary["duration_ms"].as_u64())
}

#[test]
fn recording_after_an_unpublish_notice_keeps_the_old_ending() {
    let clip = unique_clip(300, 25);
    let end = [EndSignal::UnpublishNotify, EndSignal::Fin];
    let silent = Server::start(
        Config::serving(Stream::broadcast(broadcast(&clip, true)))
            .with_fault(FaultPoint::Step(Step::Media), FaultAction::Silence),
    );
    let mut stream = Stream::broadcast(broadcast(&clip, true));
    stream.end = end.to_vec();
    let first = Server::start(Config {
        reconnects: vec![request(0, 500, tc_url(&silent))],
        ..Config::serving(stream)
    });
    let download = download(&first.url("clip"), &LIVE);
    download.assert_ended(0, "unpublished");
    assert!(download.clip().media().eq(clip.media()));
}

#[test]
fn move_through_proxies_and_a_tunnel_is_seamless() {
    let clip = unique_clip(800, 25);
    for kind in [ProxyKind::Socks5, ProxyKind::Connect] {
        let server = serve(&broadcast(&clip, true), vec![request(0, 300, None)]);
        let proxy = Proxy::start(kind);
        let scheme = match kind {
            ProxyKind::Connect => "http",
            _ => "socks5",
        };
        let proxy_url = format!("{scheme}://127.0.0.1:{}", proxy.port());
        let options = [&LIVE[..], &["--proxy", &proxy_url]].concat();
        let download = download(&server.url("clip"), &options);
        assert_seamless(&download, &clip, 1);
    }
    let server = serve(&broadcast(&clip, true), vec![request(0, 300, None)]);
    let tunnel = Tunnel::start(server.port(), TunnelConfig::default());
    let download = download(&tunnel.url("clip"), &LIVE);
    assert_seamless(&download, &clip, 1);
    assert_eq!(server.clients().len(), 2);
}

/// The first connection is refused without a login, and so is the requested one.
#[test]
fn requested_connection_logs_in_again() {
    let clip = unique_clip(800, 25);
    let login = Login {
        scheme: LoginScheme::Adobe,
        user: "joe",
        password: "s3cret",
    };
    // Connections 0 and 1 are the first two rounds of the login.
    let server = Server::start(Config {
        login: Some(login),
        reconnects: vec![request(2, 300, None)],
        ..Config::serving(Stream::broadcast(broadcast(&clip, true)))
    });
    let options = [&LIVE[..], &["--user", "joe", "--password", "s3cret"]].concat();
    let download = download(&server.url("clip"), &options);
    assert_seamless(&download, &clip, 1);
    assert_eq!(server.clients().len(), 6);
}

#[test]
fn reconnect_request_of_librtmp2_is_obeyed() {
    let ffmpeg = require!(Ffmpeg::find());
    let tc_urls = [None, Some("/live")];
    for tc_url in tc_urls {
        let server = require!(Librtmp2::find()).start(2_500, tc_url);
        let sources = Sources::encode(&ffmpeg);
        let publisher = sources.publish(Source::Long, &server.url("cam"));
        let options = ["-v", "--wait", "--republish-wait", "1"];
        let mut running = program::start(&server.url("cam"), &options);
        let start = Instant::now();
        running.wait_for_bytes(100_000);
        while start.elapsed() < Duration::from_secs(8) {
            assert!(running.process.is_running());
            thread::sleep(Duration::from_millis(50));
        }
        let download = running.interrupt();
        publisher.kill();
        let stderr = &download.finished.stderr;
        assert!(
            stderr.contains("moved to the requested connection"),
            "{stderr}"
        );
        assert!(stderr.contains("maintenance"), "{stderr}");
        download.assert_ended(0, "interrupted");
        sources.assert_spans(&download, &[Span::Excerpt(Source::Long)], 0);
    }
}
