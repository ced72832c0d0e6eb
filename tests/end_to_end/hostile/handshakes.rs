use super::*;
use crate::server::FaultAction;

#[test]
fn other_protocol_on_the_port_is_named() {
    let cases: [(&[u8], &str); 6] = [
        (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "server answered with HTTP",
        ),
        // Fatal TLS alert: unexpected_message.
        (
            &[0x15, 3, 1, 0, 2, 2, 10],
            "server answered with TLS instead of RTMP",
        ),
        (b"\x16\x03\x03\x00\x7a\x02\x00", "server answered with TLS"),
        (&[6; 3073], "handshake version 6 "),
        (&[8; 3073], "handshake version 8 "),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "handshake version 83 "),
    ];
    parallel::for_each(cases, |(bytes, cause)| {
        for then in [FaultAction::Fin, FaultAction::Silence] {
            let ended = Invocation::new(&peer_sending(bytes, then).url("clip"))
                .options(ONE_SECOND_TIMEOUT)
                .run();
            ended
                .assert_ended(3, "no-connection", cause)
                .assert_within(ONE_SECOND_LIMIT)
                .assert_unchanged();
        }
    });
}

#[test]
fn required_digest_missing_is_no_connection() {
    let peer = ScriptedPeer::start(|peer, _| {
        let _ = peer
            .send(&[3; 3073])
            .and_then(|()| peer.wait_for_close::<()>());
    });
    let ended = Invocation::new(&peer.url("clip"))
        .options(["--handshake", "digest"])
        .run();
    ended.assert_ended(
        3,
        "no-connection",
        "server answered without a valid handshake digest",
    );
}

#[test]
fn garbage_after_the_handshake_cuts_the_download() {
    let cases: [(&'static [u8], &str); 3] = [
        (&[0xFF; 5000], "chunk stream 63 starts with a type 3 chunk"),
        (&[0x81; 5000], "starts with a type"),
        // Truncated in a message of 0x070707 bytes.
        (&[0x07; 5000], "in the middle of a message"),
    ];
    for (bytes, cause) in cases {
        let peer = playing_peer(10, move |peer| {
            peer.send(bytes)?;
            peer.fail(FaultAction::Fin)
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        ended
            .assert_ended(2, "cut", cause)
            .assert_tags(&sample_media()[..10]);
    }
}

#[test]
fn closed_port_and_unknown_host_are_no_connection() {
    // A port that has just been closed.
    let port = peer_sending(b"", FaultAction::Fin).port();
    let refused = format!("rtmp://127.0.0.1:{port}/app/clip");
    let cases = [
        (&*refused, "refused"),
        ("rtmp://nobody.invalid/app/clip", "nobody.invalid:1935"),
    ];
    for (url, cause) in cases {
        let ended = Invocation::new(url).options(ONE_SECOND_TIMEOUT).run();
        ended
            .assert_ended(3, "no-connection", cause)
            .assert_within(ONE_SECOND_LIMIT)
            .assert_unchanged();
        let ended = Invocation::new(url)
            .options(ONE_SECOND_TIMEOUT)
            .into_new_file()
            .run();
        ended.assert_no_file();
    }
}

/// Starts a peer that sends `bytes` to every client.
fn peer_sending(bytes: &[u8], then: FaultAction) -> ScriptedPeer {
    let bytes = bytes.to_vec();
    ScriptedPeer::start(move |peer, _| {
        let _ = peer.send(&bytes).and_then(|()| peer.fail::<()>(then));
    })
}
