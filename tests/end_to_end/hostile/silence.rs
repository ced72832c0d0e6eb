use rtmpull::core::amf::Value;

use super::*;
use crate::server::{
    Config, FaultAction, FaultPoint, STREAM_BEGIN, STREAM_EOF, Server, Step, Stream, status,
};

#[test]
fn silence_at_every_step_times_out() {
    parallel::for_each(steps(), |(script, count, code, word, cause)| {
        let peer = ScriptedPeer::start(move |peer, _| {
            let _ = script(peer).and_then(|()| peer.wait_for_close::<()>());
        });
        assert_times_out(&peer.url("clip"), count, (code, word, cause));
    });
}

#[test]
fn pings_do_not_extend_the_timeout() {
    let every = Duration::from_millis(50);
    parallel::for_each(
        [Step::Connect, Step::CreateStream, Step::Play, Step::Media],
        |step| {
            let stream = Stream::recorded_sample();
            let config = Config::serving(stream)
                .with_fault(FaultPoint::Step(step), FaultAction::PingsOnly(every));
            let server = Server::start(config);
            let cause = match step {
                Step::Connect => "the server does not answer connect",
                Step::CreateStream => "the server does not answer createStream",
                _ => "no media arrived",
            };
            assert_times_out(&server.url("clip"), 0, (1, "stalled", cause));
            let clients = server.clients();
            assert!(clients.iter().all(|client| !client.pongs.is_empty()));
            // Without an answer to connect, a second connection does without pipelining.
            assert_eq!(clients.len(), if step == Step::Connect { 2 } else { 1 });
        },
    );
    let peer = playing_peer(10, move |peer| peer.fail(FaultAction::PingsOnly(every)));
    assert_times_out(
        &peer.url("clip"),
        10,
        (2, "stalled", "no more media arrived"),
    );
}

/// A file server that answers the start "live, else recorded" with Play.Start alone.
#[test]
fn silence_after_play_start_is_met_with_start_0() {
    let peer = playing_peer(0, |peer| {
        let play = peer.expect_command("play");
        assert_eq!(play.values[2], Value::Number(0.0));
        send_tags(peer, &sample_media()[..10])?;
        let stop = status("status", "NetStream.Play.Stop", "over");
        peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
        peer.flush()
    });
    let ended = Invocation::new(&peer.url("clip"))
        .options(["-m", "3"])
        .run();
    ended.assert_ended(0, "ended", "NetStream.Play.Stop");
    ended.assert_tags(&sample_media()[..10]);
}

#[test]
fn messages_without_media_do_not_extend_the_timeout() {
    let messages: [Script; 4] = [
        // Messages with length 0 and type 0.
        |peer| peer.send(&[0; 65_000]),
        // Empty audio and video messages.
        |peer| {
            peer.queue(6, Kind::AUDIO, 1, 0, &[])?;
            peer.queue(7, Kind::VIDEO, 1, 0, &[])
        },
        |peer| peer.queue_command(0, "onBWDone", 0.0, &[Value::Null]),
        |peer| {
            let start = status("status", "NetStream.Play.Reset", "");
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, start.into()])
        },
    ];
    parallel::for_each(messages, |messages| {
        for count in [0, 10] {
            let peer = playing_peer(count, move |peer| {
                loop {
                    messages(peer)?;
                    peer.receive_pending()?;
                }
            });
            let code = if count == 0 { 1 } else { 2 };
            let ended = Invocation::new(&peer.url("clip"))
                .options(ONE_SECOND_TIMEOUT)
                .run();
            ended
                .assert_ended(code, "stalled", "media arrived")
                .assert_within(ONE_SECOND_LIMIT);
        }
    });
}

/// Pairs of messages that report an end and a new start would otherwise restart the timeout for ever.
#[test]
fn restarts_without_frames_do_not_extend_the_timeout() {
    let eof_and_begin: Script = |peer| {
        peer.queue_event(STREAM_EOF, 1)?;
        peer.queue_event(STREAM_BEGIN, 1)
    };
    let unpublish_and_publish: Script = |peer| {
        for code in ["UnpublishNotify", "PublishNotify"] {
            let info = status("status", &format!("NetStream.Play.{code}"), "");
            peer.queue_command(1, "onStatus", 0.0, &[Value::Null, info.into()])?;
        }
        Ok(())
    };
    let sequence_header: Script = |peer| peer.queue(4, Kind::AUDIO, 1, 0, &[0xAF, 0, 0x12, 0x10]);
    let cases: [(Script, &[&str]); 4] = [
        (eof_and_begin, &[]),
        (eof_and_begin, &["-v", "--retry", "0"]),
        (unpublish_and_publish, &["-v", "--retry", "0"]),
        (sequence_header, &[]),
    ];
    parallel::for_each(cases, |(messages, options)| {
        let peer = playing_peer(10, move |peer| {
            loop {
                thread::sleep(Duration::from_millis(700));
                messages(peer)?;
                peer.flush()?;
            }
        });
        let ended = Invocation::new(&peer.url("clip"))
            .options(ONE_SECOND_TIMEOUT)
            .options(options)
            .into_new_file()
            .run();
        ended
            .assert_ended(2, "stalled", "no more media arrived")
            .assert_within(ONE_SECOND_LIMIT);
    });
}

#[test]
fn growing_message_extends_the_timeout_up_to_ten_times() {
    let peer = playing_peer(10, move |peer| {
        // A video message of 16 MB in one chunk.
        peer.queue_chunk_size(0x00FF_FFFF)?;
        peer.flush()?;
        peer.send(&[6, 0, 0, 0, 0xF0, 0, 0, 9, 1, 0, 0, 0])?;
        loop {
            peer.send(&[0x27; 5_000])?;
            thread::sleep(Duration::from_millis(300));
        }
    });
    let ended = Invocation::new(&peer.url("clip"))
        .options(ONE_SECOND_TIMEOUT)
        .run();
    ended
        .assert_ended(2, "stalled", "no more media arrived")
        .assert_within(Duration::from_secs(15))
        .assert_tags(&sample_media()[..10]);
}

#[test]
fn trickled_bytes_do_not_extend_the_timeout() {
    let trickle = |peer: &mut Connection, bytes: &[u8]| {
        bytes.iter().try_for_each(|byte| {
            thread::sleep(Duration::from_millis(100));
            peer.send(&[*byte])
        })
    };
    let peer = ScriptedPeer::start(move |peer, _| {
        let _ = trickle(peer, &[3; 3073]);
    });
    let cause = "the server does not answer the handshake";
    assert_times_out(&peer.url("clip"), 0, (3, "no-connection", cause));
    let peer = playing_peer(10, move |peer| {
        peer.send(&[6, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0])?;
        trickle(peer, &[0xAF; 256])
    });
    assert_times_out(
        &peer.url("clip"),
        10,
        (2, "stalled", "no more media arrived"),
    );
}

#[test]
fn unread_answers_cut_the_download() {
    let peer = playing_peer(10, |peer| {
        let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1];
        let pings = ping.repeat(10_000);
        peer.shrink_receive_buffer();
        loop {
            peer.send(&pings)?;
        }
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    ended
        .assert_ended(
            2,
            "cut",
            "the server sends requests but does not read the answers",
        )
        .assert_tags(&sample_media()[..10]);
}

type Script = fn(&mut Connection) -> Result<(), Disconnected>;

/// Scripts before the silence, the number of media tags they send, and the expected ending.
fn steps() -> [(Script, usize, i32, &'static str, &'static str); 10] {
    let handshake = "the server does not answer the handshake";
    let connect = "the server does not answer connect";
    let stream = "the server does not answer createStream";
    [
        (|_| Ok(()), 0, 3, "no-connection", handshake),
        (|peer| peer.send(&[3; 1]), 0, 3, "no-connection", handshake),
        (
            |peer| peer.send(&[3; 1 + 1536]),
            0,
            3,
            "no-connection",
            handshake,
        ),
        (
            |peer| peer.send(&[3; 3072]),
            0,
            3,
            "no-connection",
            handshake,
        ),
        (|peer| peer.send(&[3; 3073]), 0, 1, "stalled", connect),
        (
            |peer| {
                peer.accept_plain_handshake();
                peer.expect_command("connect");
                peer.queue_control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, &[0, 0, 16, 0])?;
                peer.flush()
            },
            0,
            1,
            "stalled",
            connect,
        ),
        (accept, 0, 1, "stalled", stream),
        (
            |peer| {
                accept(peer)?;
                create_stream(peer)
            },
            0,
            1,
            "stalled",
            "no media arrived",
        ),
        (
            |peer| {
                peer.start_playing();
                Ok(())
            },
            0,
            1,
            "stalled",
            "no media arrived",
        ),
        (
            |peer| {
                peer.start_playing();
                send_tags(peer, &sample_media()[..10])
            },
            10,
            2,
            "stalled",
            "no more media arrived",
        ),
    ]
}

fn accept(peer: &mut Connection) -> Result<(), Disconnected> {
    peer.accept_plain_handshake();
    let call = peer.expect_command("connect");
    let info = status("status", "NetConnection.Connect.Success", "Welcome.");
    peer.queue_command(0, "_result", call.transaction, &[Value::Null, info.into()])?;
    peer.flush()
}

fn create_stream(peer: &mut Connection) -> Result<(), Disconnected> {
    let call = peer.expect_command("createStream");
    peer.queue_command(0, "_result", call.transaction, &[Value::Null, 1.0.into()])?;
    peer.flush()
}

/// Panics unless the download of `url` ends in time with this ending and the first `count` tags.
#[track_caller]
fn assert_times_out(url: &str, count: usize, (code, word, cause): (i32, &str, &str)) {
    let ended = Invocation::new(url).options(ONE_SECOND_TIMEOUT).run();
    ended
        .assert_ended(code, word, cause)
        .assert_within(ONE_SECOND_LIMIT);
    match count {
        0 => ended.assert_unchanged(),
        _ => ended.assert_tags(&sample_media()[..count]),
    }
}
