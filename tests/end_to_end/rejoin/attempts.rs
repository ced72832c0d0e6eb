//! Limits and interruption of retries, and recorded streams that continue after cuts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rtmpull::core::{amf::Value, rtmp::message::Kind};

use crate::{
    parallel,
    process::{Finished, Process, last_line},
    program::{self, Download, LIMIT, command, download},
    server::{
        AfterAnswer, CannedPeer, Clip, Config, Connection, CutConnection, Disconnected,
        FaultAction, Pace, ScriptedPeer, Server, Stream, status,
    },
};

/// A recorded stream with cuts gives the same output as without, in a file and in a pipe.
#[test]
fn cut_recorded_stream_is_rejoined_in_file_and_pipe() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let complete = download(&server.url("clip"), &[]).clip();
    parallel::for_each([false, true], |is_piped| {
        let connection = CutConnection::start(
            server.port(),
            vec![(25_000, FaultAction::Fin), (20_000, FaultAction::Rst)],
        );
        let (finished, clip) = if is_piped {
            let piped = record_to_pipe(&connection.url("clip"), &["--retry", "3"]);
            let clip = Clip::parse(&piped.stdout);
            (piped, clip)
        } else {
            let in_file = download(&connection.url("clip"), &["--retry", "3"]);
            in_file.assert_ended(0, "ended");
            let clip = in_file.clip();
            (in_file.finished, clip)
        };
        assert_eq!(finished.code(), Some(0), "{finished}");
        assert!(clip.media().eq(complete.media()), "{finished}");
        let cut: Vec<_> = connection.relayed().into_iter().take(2).collect();
        assert_eq!(cut, [25_000, 20_000], "{finished}");
    });
}

#[test]
fn signal_during_a_retry_wait_keeps_the_first_ending() {
    let (_server, connection) = failing_connection();
    let running = program::start(&connection.url("clip"), &["-v", "--retry", "forever"]);
    // The next wait takes two seconds, later ones more.
    while connection.relayed().len() < 2 {
        thread::sleep(Duration::from_millis(10));
    }
    running.interrupt().assert_ended(2, "cut");
    assert!(
        connection.relayed().len() < 5,
        "attempts continued after the signal"
    );
}

#[test]
fn retry_limits_the_number_of_attempts() {
    parallel::for_each([("0", 0), ("2", 2)], |(retry, attempts)| {
        let (_server, connection) = failing_connection();
        let ended = download(&connection.url("clip"), &["-v", "--retry", retry]);
        ended.assert_ended(2, "cut");
        assert_eq!(
            connection.relayed().len(),
            1 + attempts,
            "{}",
            ended.finished
        );
    });
}

/// The third wait starts after at most three seconds and takes at least three.
#[test]
fn until_ends_a_retry_wait() {
    let ended = || -> Download {
        let (_server, connection) = failing_connection();
        let until = jiff::Timestamp::now() + Duration::from_secs(4);
        let until = until.to_string();
        let options = ["-v", "--retry", "forever", "--until", &until];
        let ended = download(&connection.url("clip"), &options);
        ended.assert_ended(0, "limit");
        ended
    };
    // Retried, because a busy machine may delay a run.
    let is_prompt = (0..3).any(|_| ended().finished.took < Duration::from_secs(5));
    assert!(is_prompt, "the wait continued past --until");
}

/// With `--wait=3`, every state without media ends after three seconds and within the next one.
#[test]
fn wait_ends_when_it_expires() {
    type Script = fn(&mut Connection) -> Result<(), Disconnected>;
    let scripts: [(&str, Script, &str); 4] = [
        (
            "Play.Start without media",
            |peer| {
                peer.start_playing();
                peer.wait_for_close()
            },
            "stalled",
        ),
        (
            "unanswered play",
            |peer| {
                peer.accept_play();
                peer.wait_for_close()
            },
            "stalled",
        ),
        (
            "close after Play.Start",
            |peer| {
                peer.start_playing();
                peer.fail(FaultAction::Fin)
            },
            "cut",
        ),
        (
            "reset after Play.Start",
            |peer| {
                peer.start_playing();
                peer.fail(FaultAction::Rst)
            },
            "cut",
        ),
    ];
    let closed_port = CannedPeer::start(b"", AfterAnswer::Open).port();
    let assert_prompt = |state: &str, url: &str, word: &str, code| {
        // Retried, because a busy machine may delay a run.
        let is_prompt = (0..3).any(|_| {
            let ended = download(url, &["-v", "--wait=3"]);
            ended.assert_ended(code, word);
            let took = ended.finished.took;
            assert!(took >= Duration::from_secs(3), "{state}: {took:?}");
            took < Duration::from_millis(3_300)
        });
        assert!(is_prompt, "{state}");
    };
    parallel::for_each(scripts, |(state, script, word)| {
        let peer = ScriptedPeer::start(move |peer, _| {
            let _client_left = script(peer);
        });
        assert_prompt(state, &peer.url("clip"), word, 1);
    });
    let server = Server::start(Config::default());
    assert_prompt("missing stream", &server.url("none"), "not-found", 1);
    let url = format!("rtmp://127.0.0.1:{closed_port}/app/clip");
    assert_prompt("closed port", &url, "no-connection", 3);
}

/// Akamai answers `FCSubscribe` with an error if the stream is not published, and `play` not at all.
#[test]
fn refused_subscription_is_reported_at_once_and_polled_by_wait() {
    let peer = |refusals| {
        ScriptedPeer::start(move |peer, number| {
            peer.accept_play();
            let _client_left = if number < refusals {
                refuse_subscription(peer)
            } else {
                play_sample(peer)
            };
        })
    };
    let refused = peer(usize::MAX);
    let ended = download(&refused.url("clip"), &["-v"]);
    ended.assert_ended(1, "not-found");
    let stderr = &ended.finished.stderr;
    let last = last_line(stderr);
    assert!(last.contains("clip is offline"), "{stderr}");
    assert!(ended.finished.took < Duration::from_secs(5), "{stderr}");

    let published_later = peer(1);
    let ended = download(&published_later.url("clip"), &["-v", "--wait"]);
    ended.assert_ended(0, "unpublished");
    let clip = ended.clip();
    assert!(clip.media().eq(Clip::sample().media()));
}

/// A publisher that starts again with the same content is not the server's repetition, because it
/// arrives at play speed.
#[test]
fn same_content_in_real_time_after_a_cut_is_recorded_again() {
    let peer = ScriptedPeer::start(|peer, number| {
        peer.start_playing();
        let _client_left = publish_in_real_time(peer).and_then(|()| match number {
            0 => peer.fail::<()>(FaultAction::Fin),
            _ => end_publication(peer),
        });
    });
    let ended = download(&peer.url("clip"), &["-v", "--republish-wait", "0"]);
    ended.assert_ended(0, "unpublished");
    let stderr = &ended.finished.stderr;
    assert_eq!(stderr.matches("WARNING: gap of").count(), 1, "{stderr}");
    let clip = ended.clip();
    let frames = clip.media().filter(|tag| !tag.is_sequence_header());
    let numbers: Vec<u8> = frames.map(|tag| tag.body[5]).collect();
    let once: Vec<u8> = (0..REAL_TIME_FRAMES).collect();
    assert_eq!(numbers, [&once[..], &once].concat(), "{stderr}");
}

/// Sends video frames that all differ, one every 40 ms.
fn publish_in_real_time(peer: &mut Connection) -> Result<(), Disconnected> {
    peer.queue(6, Kind::VIDEO, 1, 0, &[0x17, 0, 0, 0, 0, 1])?;
    for number in 0..REAL_TIME_FRAMES {
        let first = if number == 0 { 0x17 } else { 0x27 };
        let body = [first, 1, 0, 0, 0, number];
        peer.queue(6, Kind::VIDEO, 1, u32::from(number) * 40, &body)?;
        peer.flush()?;
        thread::sleep(Duration::from_millis(40));
    }
    Ok(())
}

/// Three seconds.
const REAL_TIME_FRAMES: u8 = 75;

/// SRS and Node-Media-Server 4 send nothing when a publisher leaves. New players receive nothing or,
/// from Node-Media-Server 4, the cached frames.
#[test]
fn silence_after_the_publisher_has_left_ends_as_unpublished() {
    let cases = [(false, false), (false, true), (true, false), (true, true)];
    parallel::for_each(cases, |(is_interrupted, has_cache)| {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let peer = ScriptedPeer::start(move |peer, number| {
            peer.start_playing();
            count.store(number + 1, Ordering::Relaxed);
            let _client_left = match number {
                number if number == 0 || has_cache => {
                    send_sample(peer).and_then(|()| peer.wait_for_close::<()>())
                }
                _ => peer.wait_for_close(),
            };
        });
        let running = program::start(&peer.url("clip"), &["-v", "-m", "2"]);
        let (ended, word) = if is_interrupted {
            while connections.load(Ordering::Relaxed) < 2 {
                thread::sleep(Duration::from_millis(10));
            }
            (running.interrupt(), "interrupted")
        } else {
            (running.finish(), "unpublished")
        };
        ended.assert_ended(0, word);
        assert_eq!(connections.load(Ordering::Relaxed), 2, "{}", ended.finished);
        assert!(ended.clip().media().eq(Clip::sample().media()));
    });
}

/// xiu closes the connection when a publisher leaves, and later connections after Play.Start. Unread messages turn
/// the close into a reset.
#[test]
fn closes_before_media_after_the_publisher_has_left_end_as_unpublished() {
    let cases = [
        (FaultAction::Rst, false),
        (FaultAction::Fin, false),
        (FaultAction::Rst, true),
    ];
    parallel::for_each(cases, |(fault, is_interrupted)| {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let peer = ScriptedPeer::start(move |peer, number| {
            peer.start_playing();
            let _client_left = match number {
                0 => send_sample(peer).and_then(|()| {
                    thread::sleep(Duration::from_millis(200));
                    peer.fail::<()>(fault)
                }),
                _ => peer.fail(FaultAction::Fin),
            };
            count.store(number + 1, Ordering::Relaxed);
        });
        let retry = if is_interrupted { "forever" } else { "2" };
        let running = program::start(&peer.url("clip"), &["-v", "--retry", retry]);
        let (ended, word) = if is_interrupted {
            while connections.load(Ordering::Relaxed) < 3 {
                thread::sleep(Duration::from_millis(10));
            }
            (running.interrupt(), "interrupted")
        } else {
            (running.finish(), "unpublished")
        };
        ended.assert_ended(0, word);
        assert_eq!(connections.load(Ordering::Relaxed), 3, "{}", ended.finished);
        assert!(ended.clip().media().eq(Clip::sample().media()));
    });
}

fn refuse_subscription(peer: &mut Connection) -> Result<(), Disconnected> {
    let refusal = status("error", "NetStream.Play.StreamNotFound", "clip is offline");
    peer.queue_command(0, "onFCSubscribe", 0.0, &[Value::Null, refusal.into()])?;
    peer.flush()?;
    peer.wait_for_close()
}

fn send_sample(peer: &mut Connection) -> Result<(), Disconnected> {
    for tag in Clip::sample().media() {
        peer.queue(6, Kind(tag.kind), 1, tag.timestamp_ms, &tag.body)?;
    }
    peer.flush()
}

fn play_sample(peer: &mut Connection) -> Result<(), Disconnected> {
    send_sample(peer)?;
    end_publication(peer)
}

fn end_publication(peer: &mut Connection) -> Result<(), Disconnected> {
    let end = status("status", "NetStream.Play.UnpublishNotify", "");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, end.into()])?;
    peer.flush()?;
    peer.fail(FaultAction::Fin)
}

/// Starts a live stream whose first connection is lost after some media and all later ones before
/// any media.
fn failing_connection() -> (Server, CutConnection) {
    let stream = Stream::live(Clip::sample()).paced(Pace::Speed(8.0));
    let server = Server::start(Config::serving(stream));
    let mut cuts = vec![(30_000, FaultAction::Fin)];
    // After the handshake, because a cut handshake is retried at once.
    cuts.resize(99, (3_300, FaultAction::Fin));
    let connection = CutConnection::start(server.port(), cuts);
    (server, connection)
}

fn record_to_pipe(url: &str, options: &[&str]) -> Finished {
    let mut command = command();
    command.arg(url).args(options).args(["-o", "-"]);
    Process::start(&mut command).finish(LIMIT)
}
