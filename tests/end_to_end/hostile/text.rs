use rtmpull::core::amf::Value;

use super::*;
use crate::server::{Config, FaultAction, OnConnect, Server, object, status};

#[test]
fn server_text_is_escaped_for_the_terminal() {
    for options in [&[][..], &["-V"], &["-z"]] {
        let peer = playing(10, |peer| {
            let warning = status("warning", TRAP, TRAP);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, warning.into()])?;
            peer.queue_command(0, TRAP, 0.0, &[Value::Null, TRAP.into()])?;
            say_metadata(peer, object([("title", TRAP.into()), (TRAP, 1.0.into())]))?;
            let stop = status("status", "NetStream.Play.Stop", TRAP);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
            peer.flush()
        });
        let ended = Attempt::new(&peer.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
        assert_disarmed(&ended);
        ended.assert_kept(&media()[..10]);
    }
}

#[test]
fn rejection_text_is_escaped_for_the_terminal() {
    for options in [&[][..], &["-z"]] {
        let server = Server::start(Config {
            connect: OnConnect::Reject {
                code: "NetConnection.Connect.Rejected",
                description: TRAP,
            },
            ..Config::default()
        });
        let ended = Attempt::new(&server.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(1), "{}", ended.finished);
        assert_disarmed(&ended);
        ended.assert_untouched();
    }
}

#[test]
fn redirect_url_is_escaped_for_the_terminal() {
    let server = Server::start(Config {
        connect: OnConnect::RedirectInError {
            redirect: format!("rtmp://{TRAP}/app"),
        },
        ..Config::default()
    });
    let ended = Attempt::new(&server.url("clip")).run();
    ended.assert_told(1, "refused", "redirected to");
    assert_disarmed(&ended);
}

#[test]
fn long_server_text_is_truncated() {
    let story = "A word or two. ".repeat(70_000);
    for options in [&[][..], &["-z"]] {
        let story = story.clone();
        let peer = playing(10, move |peer| {
            let text = object([
                ("title", story.as_str().into()),
                (&story[..50_000], 1.0.into()),
            ]);
            say_metadata(peer, text)?;
            let stop = status("status", "NetStream.Play.Stop", &story);
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
            peer.flush()
        });
        let ended = Attempt::new(&peer.url("clip")).options(options).run();
        assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
        let said = &ended.assert_harmless().finished.stderr;
        assert!(said.contains("INFO: ended: NetStream.Play.Stop: A word or two. A word"));
        assert!(said.len() < 64 << 10, "{} bytes", said.len());
    }
}

#[test]
fn repeated_metadata_is_limited_on_the_terminal() {
    let peer = playing(10, |peer| {
        let fields: Object = (0..2_000)
            .map(|n| (format!("field {n}"), f64::from(n)))
            .collect();
        for _ in 0..20 {
            say_metadata(peer, fields.clone())?;
        }
        send(peer, &media()[10..])?;
        peer.fail(FaultAction::Fin)
    });
    let ended = Attempt::new(&peer.url("clip")).run();
    assert_eq!(ended.finished.code(), Some(0), "{}", ended.finished);
    ended.assert_harmless().assert_kept(&media());
    let lines = ended.finished.stderr.lines().count();
    assert!(lines < 1000, "{lines} lines");
}

/// Panics unless [`TRAP`] was told, and spelt out.
#[track_caller]
fn assert_disarmed(ended: &Ended) {
    let said = &ended.assert_harmless().finished.stderr;
    assert!(said.contains("mine"), "{said}");
    let lines = said.split(['\r', '\n']);
    let forged = lines.filter(|line| line.starts_with("forged")).count();
    assert_eq!(forged, 0, "{said}");
}

/// A colour, a title, lines of its own, C1 controls, a backspace, and words in another order.
const TRAP: &str = "\x1b[31mmine\x1b]0;mine\x07\nforged\r\nforged\rforged\u{9b}2J\u{85}\x08\x7f\u{202e}mine\u{2066}\u{2028}\0";
