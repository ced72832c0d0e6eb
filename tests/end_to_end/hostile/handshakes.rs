use super::*;
use crate::server::FaultAction;

#[test]
fn other_protocol_on_the_port_is_named() {
    let tls = "the server answered with TLS instead of RTMP: the port may serve rtmps";
    let cases: [(&[u8], &str); 12] = [
        (
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "the server answers in text (`HTTP/1.1 400 Bad Request`), not RTMP",
        ),
        (
            b"HTTP/1.1400 Bad Request\r\n\r\n",
            "the server answers in text (`HTTP/1.1400 Bad Request`), not RTMP",
        ),
        (
            b"<html>\n<body>400 Bad Request</body></html>",
            "the server answers in text (`<html>`), not RTMP",
        ),
        (
            b"RTSP/1.0 400 Bad Request\r\n\r\n",
            "the server answers in text (`RTSP/1.0 400 Bad Request`), not RTMP",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "the server answers in text (`SSH-2.0-OpenSSH_9.2p1`), not RTMP",
        ),
        (
            b"220 mail.example.com ESMTP Postfix\x1b[31m\r\n",
            "the server answers in text (`220 mail.example.com ESMTP Postfix`), not RTMP",
        ),
        (
            b"220 (vsFTPd 3.0.3)\r\n",
            "the server answers in text (`220 (vsFTPd 3.0.3)`), not RTMP",
        ),
        // Fatal TLS alert: unexpected_message.
        (&[0x15, 3, 1, 0, 2, 2, 10], tls),
        (b"\x16\x03\x03\x00\x7a\x02\x00", tls),
        (&[6; 3073], "handshake version 6 "),
        (&[8; 3073], "handshake version 8 "),
        // A prompt without a line end is complete when nothing follows.
        (
            b"login: ",
            "the server answers in text (`login: `), not RTMP",
        ),
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
fn text_on_an_rtmpe_port_is_quoted() {
    let text = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and a comment that exceeds the limit\r\n";
    let peer = peer_sending(text, FaultAction::Fin);
    let ended = Invocation::new(&peer.encrypted_url("clip")).run();
    let quoted = "`SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and a comment that ex…`";
    let cause = format!("the server answers in text ({quoted}), not RTMP");
    ended
        .assert_ended(3, "no-connection", &cause)
        .assert_unchanged();
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
        "the server answered without a valid handshake digest",
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
