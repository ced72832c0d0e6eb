use rtmpull::core::amf::Value;

use super::*;
use crate::server::{Config, FaultAction, OnConnect, Server, object, status};

#[test]
fn server_text_is_escaped_for_the_terminal() {
    for options in [&[][..], &["-V"], &["-z"]] {
        let peer = playing_peer(10, |peer| {
            let warning = status("warning", TERMINAL_ESCAPES, TERMINAL_ESCAPES);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, warning.into()])?;
            peer.queue_command(
                0,
                TERMINAL_ESCAPES,
                0.0,
                &[Value::Null, TERMINAL_ESCAPES.into()],
            )?;
            send_metadata(
                peer,
                object([
                    ("title", TERMINAL_ESCAPES.into()),
                    (TERMINAL_ESCAPES, 1.0.into()),
                ]),
            )?;
            let stop = status("status", "NetStream.Play.Stop", TERMINAL_ESCAPES);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
            peer.flush()
        });
        let ended = Invocation::new(&peer.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
        assert_escaped(&ended);
        ended.assert_tags_with_metadata(&sample_media()[..10], 1);
    }
}

#[test]
fn rejection_text_is_escaped_for_the_terminal() {
    for options in [&[][..], &["-z"]] {
        let server = Server::start(Config {
            connect: OnConnect::Reject {
                code: "NetConnection.Connect.Rejected",
                description: TERMINAL_ESCAPES,
            },
            ..Config::default()
        });
        let ended = Invocation::new(&server.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(1), "{}", ended.finished);
        assert_escaped(&ended);
        ended.assert_unchanged();
    }
}

#[test]
fn redirect_url_is_escaped_for_the_terminal() {
    let server = Server::start(Config {
        connect: OnConnect::RedirectInError {
            redirect: format!("rtmp://{TERMINAL_ESCAPES}/app"),
        },
        ..Config::default()
    });
    let ended = Invocation::new(&server.url("clip")).run();
    ended.assert_ended(1, "refused", "redirected to");
    assert_escaped(&ended);
}

#[test]
fn long_server_text_is_truncated() {
    let long_text = "Some words here. ".repeat(70_000);
    for options in [&[][..], &["-z"]] {
        let long_text = long_text.clone();
        let peer = playing_peer(10, move |peer| {
            let text = object([
                ("title", long_text.as_str().into()),
                (&long_text[..50_000], 1.0.into()),
            ]);
            send_metadata(peer, text)?;
            let stop = status("status", "NetStream.Play.Stop", &long_text);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
            peer.flush()
        });
        let ended = Invocation::new(&peer.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
        let stderr = &ended.assert_safe_output().finished.stderr;
        assert!(stderr.contains(", ended (NetStream.Play.Stop: Some words here. Some"));
        assert!(stderr.len() < 64 << 10, "{} bytes", stderr.len());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn long_reasons_of_lost_connections_are_not_kept() {
    use std::sync::mpsc;

    const CONNECTIONS: usize = 6;
    let (sender, media_sent) = mpsc::sync_channel(1);
    let peer = ScriptedPeer::start(move |peer, number| {
        peer.start_playing();
        // Each connection continues after a gap.
        let mut tags = sample_media()[10 * number..][..10].to_vec();
        for tag in &mut tags {
            tag.timestamp_ms += 1_000 * u32::try_from(number).expect("a small number");
        }
        let played = send_tags(peer, &tags).and_then(|()| {
            thread::sleep(Duration::from_millis(300));
            if number == 2 || number == CONNECTIONS {
                sender.send(()).map_err(|_| Disconnected)?;
                thread::sleep(Duration::from_millis(300));
            }
            if number == CONNECTIONS {
                return peer.wait_for_close();
            }
            let words = "Some words here. ".repeat(900_000);
            let closed = status("status", "NetConnection.Connect.Closed", &words);
            peer.queue_chunk_size(1 << 16)?;
            peer.queue_command(0, "onStatus", 0.0, &[Value::Null, closed.into()])?;
            peer.flush()?;
            peer.wait_for_close()
        });
        let _disconnected: Result<(), _> = played;
    });
    let running = Invocation::new(&peer.url("clip"))
        .options(["-v", "--retry", "9", "--progress", "json"])
        .into_new_file()
        .start();
    let [early, late] = [(); 2].map(|()| {
        let limit = Duration::from_secs(60);
        media_sent.recv_timeout(limit).expect("rtmpull reconnects");
        running.process.peak_memory()
    });
    running.process.signal("INT");
    let ended = running.finish();
    let stderr = &ended.finished.stderr;
    let growth = late.saturating_sub(early);
    assert!(growth < 12 << 20, "{early} + {growth} bytes of memory");
    let summary = stderr.lines().last().expect("a summary");
    let reasons = summary.matches("Closed: Some words").count();
    assert_eq!(reasons, CONNECTIONS, "{summary:.3000}");
    assert!(
        summary.len() < 1_000 * (CONNECTIONS + 1),
        "{}",
        summary.len()
    );
}

#[test]
fn repeated_metadata_is_limited_on_the_terminal() {
    let peer = playing_peer(10, |peer| {
        let fields: Object = (0..2_000)
            .map(|n| (format!("field {n}"), f64::from(n)))
            .collect();
        for _ in 0..20 {
            send_metadata(peer, fields.clone())?;
        }
        send_tags(peer, &sample_media()[10..])?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
    ended
        .assert_safe_output()
        .assert_tags_with_metadata(&sample_media(), 1);
    let lines = ended.finished.stderr.lines().count();
    assert!(lines < 1000, "{lines} lines");
}

/// Panics unless the text of [`TERMINAL_ESCAPES`] was printed and escaped.
#[track_caller]
fn assert_escaped(ended: &Ended) {
    let stderr = &ended.assert_safe_output().finished.stderr;
    assert!(stderr.contains("mine"), "{stderr}");
    let lines = stderr.split(['\r', '\n']);
    let forged = lines.filter(|line| line.starts_with("forged")).count();
    assert_eq!(forged, 0, "{stderr}");
}

/// Color, window title, line breaks, C1 controls, backspace and bidirectional overrides.
const TERMINAL_ESCAPES: &str = "\x1b[31mmine\x1b]0;mine\x07\nforged\r\nforged\rforged\u{9b}2J\u{85}\x08\x7f\u{202e}mine\u{2066}\u{2028}\0";
