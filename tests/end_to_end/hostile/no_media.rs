use super::*;
use crate::{
    drop_in::RtmpdumpLink,
    server::{Config, EndSignal, FaultAction, Server, Stream},
};

/// Every end that a server can report, and every way to close, before any media.
#[test]
fn end_before_any_media_is_never_a_success() {
    let ends: [&[EndSignal]; 8] = [
        &[EndSignal::StreamEof],
        &[EndSignal::PlayComplete],
        &[EndSignal::PlayStop],
        &[EndSignal::UnpublishNotify],
        &[EndSignal::Fin],
        &[EndSignal::Rst],
        &[EndSignal::PlayStop, EndSignal::Fin],
        &[EndSignal::PlayComplete, EndSignal::StreamEof],
    ];
    let empty = || Clip { tags: Vec::new() };
    parallel::for_each(ends, |end| {
        for stream in [Stream::live(empty()), Stream::recorded(empty())] {
            let server = Server::start(Config::serving(stream.ending(end)));
            for options in [&["-m", "1"][..], &["-m", "1", "-v"]] {
                let republish = [options, &["--republish-wait", "0", "--retry", "0"]].concat();
                let (rtmpdump, url) = (RtmpdumpLink::new(), server.url("clip"));
                let line = [&["-r", &url, "-o", "out.flv"], options].concat();
                for finished in [
                    Invocation::new(&server.url("clip"))
                        .options(republish)
                        .into_new_file()
                        .run()
                        .finished,
                    rtmpdump.run(&line),
                ] {
                    assert_eq!(finished.code(), Some(1), "{end:?} {options:?}: {finished}");
                    assert!(!finished.stderr.contains("Download complete"), "{finished}");
                }
            }
        }
    });
}

#[test]
fn limit_before_any_media_is_a_failure() {
    let silent = playing_peer(0, |peer| peer.fail(FaultAction::Silence));
    let soon = || (jiff::Timestamp::now() + Duration::from_secs(2)).to_string();
    for options in [&[][..], &["-v"]] {
        let ended = Invocation::new(&silent.url("clip"))
            .options(["--until", &soon()])
            .options(options)
            .into_new_file()
            .run();
        ended.assert_ended(1, "limit", "").assert_no_file();
    }
    let ended = Invocation::new(&silent.url("clip"))
        .options(["-m", "1", "--duration", "1", "--stop", "1"])
        .into_new_file()
        .run();
    ended.assert_ended(1, "stalled", "").assert_no_file();
    // The first frame does not fit.
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let ended = Invocation::new(&server.url("clip"))
        .options(["--max-size", "49160"])
        .into_new_file()
        .run();
    ended.assert_ended(1, "limit", "").assert_no_file();
}

#[test]
fn silence_then_a_missing_stream_is_not_unpublished() {
    let peer = ScriptedPeer::start(|peer, number| {
        peer.accept_play();
        let missing = crate::server::status("error", "NetStream.Play.StreamNotFound", "none");
        let answered = match number {
            0 => Ok(()),
            _ => peer
                .queue_command(1, "onStatus", 0.0, &[Value::Null, missing.into()])
                .and_then(|()| peer.flush()),
        };
        let _client_left = answered.and_then(|()| peer.wait_for_close::<()>());
    });
    // The first connection stays silent, and the poll at the end of the wait finds no stream.
    let ended = Invocation::new(&peer.url("clip"))
        .options(["-v", "-m", "1", "--wait=2"])
        .into_new_file()
        .run();
    ended
        .assert_ended(1, "not-found", "NetStream.Play.StreamNotFound")
        .assert_no_file();
}

/// The codes of rtmpdump: 3 during the handshake, 1 before the stream plays, 2 later.
#[cfg(unix)]
#[test]
fn rtmpdump_name_reports_an_interruption_like_rtmpdump() {
    type Script = fn(&mut Connection) -> Result<(), Disconnected>;
    let steps: [(Script, i32); 3] = [
        (|peer| peer.wait_for_close(), 3),
        (
            |peer| {
                peer.accept_plain_handshake();
                peer.wait_for_close()
            },
            1,
        ),
        (
            |peer| {
                peer.start_playing();
                peer.wait_for_close()
            },
            1,
        ),
    ];
    parallel::for_each(steps, |(script, code)| {
        for options in [&[][..], &["-v"]] {
            let peer = ScriptedPeer::start(move |peer, _| {
                let _client_left = script(peer);
            });
            let (rtmpdump, url) = (RtmpdumpLink::new(), peer.url("clip"));
            let line = [&["-r", &url, "-o", "out.flv"], options].concat();
            let process = rtmpdump.start(&line);
            thread::sleep(Duration::from_millis(600));
            process.signal("TERM");
            let finished = process.finish(LIMIT);
            assert_eq!(finished.code(), Some(code), "{options:?}: {finished}");
        }
    });
}
