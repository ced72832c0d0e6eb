mod encrypted;

use rand::{SeedableRng, rngs::StdRng};

use super::*;

/// Builds the server's answer to C1, including the first chunks.
type Script = dyn Fn(&Block) -> Vec<u8>;

const TIME_MS: u32 = 0x0001_E240;

/// The bytes that follow S2 in the same read.
const CHUNKS: &[u8] = b"\x02chunks";

fn rng() -> StdRng {
    StdRng::seed_from_u64(1935)
}

fn client(mode: Mode) -> Handshake {
    Handshake::new(mode, Encryption::None, TIME_MS, &mut rng())
}

fn transmitted(client: &mut Handshake) -> Vec<u8> {
    let mut out = BytesMut::new();
    client.poll_transmit(&mut out);
    out.to_vec()
}

fn block(bytes: &[u8]) -> Block {
    Block::from(<[u8; Block::LEN]>::try_from(bytes).unwrap())
}

fn opening(version: [u8; 4]) -> Block {
    Block::with_header(5, version, &mut StdRng::seed_from_u64(7))
}

fn signed_opening(version: [u8; 4], scheme: Scheme) -> Block {
    let mut s1 = opening(version);
    digest::sign(&mut s1, scheme, Side::Server);
    s1
}

fn signed_reply(c1: &Block) -> Block {
    let c1_digest = digest::verify(c1, Scheme::DigestFirst, Side::Client).unwrap();
    let mut s2 = Block::random(&mut StdRng::seed_from_u64(8));
    digest::sign_reply(&mut s2, &c1_digest, Side::Server, SignatureCipher::None);
    s2
}

fn answer(s1: &Block, s2: &Block) -> Vec<u8> {
    [&[3], &s1.as_bytes()[..], &s2.as_bytes()[..], CHUNKS].concat()
}

/// C1, and C2 with the result.
type HandshakeResult = (Block, Result<(Block, Summary), Error>);

/// Receives the pieces of the answer one by one.
fn receive_in_pieces<'a>(
    mode: Mode,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(Block, Summary), Error> {
    let mut client = client(mode);
    transmitted(&mut client);
    let mut inbox = BytesMut::new();
    let mut c2 = Vec::new();
    let mut done = None;
    for piece in pieces {
        inbox.extend_from_slice(piece);
        match client.receive(&mut inbox)? {
            Progress::NeedsMore => {
                assert_eq!(done, None);
                assert!(inbox.len() < REPLY_LEN);
                c2.extend(transmitted(&mut client));
                let is_sent = inbox.len() > Block::LEN;
                assert_eq!(
                    c2.len(),
                    if is_sent { Block::LEN } else { 0 },
                    "C2 needs S1"
                );
            }
            Progress::Done(summary) => done = Some(summary),
        }
    }
    assert_eq!(inbox, CHUNKS, "bytes after S2 must stay in the inbox");
    c2.extend(transmitted(&mut client));
    assert_eq!(transmitted(&mut client), [0_u8; 0], "C2 sent twice");
    Ok((block(&c2), done.expect("the handshake is complete")))
}

/// Runs a handshake with the answer in one piece, split at many positions, and byte by byte.
fn run_handshake(mode: Mode, script: &Script) -> HandshakeResult {
    let c0_c1 = transmitted(&mut client(mode));
    assert_eq!(c0_c1.len(), 1537);
    assert_eq!(c0_c1[0], 3);
    let c1 = block(&c0_c1[1..]);
    assert_eq!(c1.time_ms(), TIME_MS);

    let answer = script(&c1);
    let whole = receive_in_pieces(mode, [&answer[..]].into_iter());
    for cut in (0..=answer.len()).filter(|&at| is_worth_a_cut(at, answer.len())) {
        let (front, back) = answer.split_at(cut);
        let cut_in_two = receive_in_pieces(mode, [front, back].into_iter());
        assert_eq!(cut_in_two, whole, "cut at {cut}");
    }
    assert_eq!(receive_in_pieces(mode, answer.chunks(1)), whole);
    (c1, whole)
}

fn is_worth_a_cut(at: usize, len: usize) -> bool {
    let borders = [0, 1537, 3073, len];
    at.is_multiple_of(97) || borders.iter().any(|border| border.abs_diff(at) <= 20)
}

#[test]
fn plain_handshake_echoes_s1() {
    let s1 = opening([0; 4]);
    let expected = s1.clone();
    let (c1, result) = run_handshake(Mode::Plain, &move |c1| answer(&s1, c1));
    let (c2, summary) = result.unwrap();
    assert_eq!(c1.version(), [0; 4]);
    assert_eq!(digest::find(&c1, Scheme::DigestFirst, Side::Client), None);
    assert_eq!(c2, expected);
    assert_eq!(
        summary,
        Summary {
            digest: None,
            server_time: expected.time_ms(),
            server_version: [0; 4],
            server_signature: ServerSignature::Absent,
            is_echo: true,
            s1_tail: expected.as_bytes()[1504..].try_into().unwrap(),
            encryption: None,
            keys_may_differ: false,
        }
    );
}

#[test]
fn the_summary_is_logged_in_words() {
    let summary = Summary {
        digest: None,
        server_time: 0,
        server_version: [3, 5, 1, 1],
        server_signature: ServerSignature::Absent,
        is_echo: false,
        s1_tail: [0; 32],
        encryption: None,
        keys_may_differ: false,
    };
    let text = "no digest, server version 3.5.1.1, no signature";
    assert_eq!(summary.to_string(), text);
    let summary = Summary {
        server_signature: ServerSignature::Verified,
        encryption: Some(SignatureCipher::Xtea),
        ..summary
    };
    let text = "no digest, server version 3.5.1.1, signature verified, encrypted (type 8)";
    assert_eq!(summary.to_string(), text);
}

#[test]
fn plain_mode_ignores_a_digest_in_s1() {
    let s1 = signed_opening([3, 5, 1, 1], Scheme::DigestFirst);
    let expected = s1.clone();
    let (_, result) = run_handshake(Mode::Plain, &move |c1| answer(&s1, c1));
    let (c2, summary) = result.unwrap();
    assert_eq!(c2, expected);
    assert_eq!(summary.digest, None);
}

#[test]
fn digest_is_found_with_either_scheme_and_any_version() {
    for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
        for version in [[13, 14, 10, 13], [0; 4]] {
            for mode in [Mode::Auto, Mode::Digest] {
                agrees_on_digest(mode, signed_opening(version, scheme), scheme);
            }
        }
    }
}

fn agrees_on_digest(mode: Mode, s1: Block, scheme: Scheme) {
    let expected = s1.clone();
    let (c1, result) = run_handshake(mode, &move |c1| answer(&s1, &signed_reply(c1)));
    let (c2, summary) = result.unwrap();
    let bytes = digest::verify(&expected, scheme, Side::Server).unwrap();
    assert_eq!(c1.version(), [10, 0, 45, 2]);
    assert!(digest::verify_reply(
        &c2,
        &bytes,
        Side::Client,
        SignatureCipher::None
    ));
    assert_ne!(c2.as_bytes()[..1504], expected.as_bytes()[..1504]);
    assert_eq!(
        summary,
        Summary {
            digest: Some(ServerDigest { scheme, bytes }),
            server_time: expected.time_ms(),
            server_version: expected.version(),
            server_signature: ServerSignature::Verified,
            is_echo: false,
            s1_tail: expected.as_bytes()[1504..].try_into().unwrap(),
            encryption: None,
            keys_may_differ: false,
        }
    );
}

#[test]
fn s1_without_digest_makes_auto_mode_plain_for_any_version() {
    for version in [[0; 4], [13, 14, 10, 13], [0xA7, 0x21, 0x9C, 0x55]] {
        let s1 = opening(version);
        let expected = s1.clone();
        let (c1, result) = run_handshake(Mode::Auto, &move |c1| answer(&s1, c1));
        let (c2, summary) = result.unwrap();
        assert!(digest::verify(&c1, Scheme::DigestFirst, Side::Client).is_some());
        assert_eq!(c2, expected);
        assert_eq!(summary.digest, None);
        assert_eq!(summary.server_version, version);
        assert_eq!(summary.server_signature, ServerSignature::Absent);
    }
}

#[test]
fn c1_returned_as_s1_is_not_a_server_digest() {
    let (c1, result) = run_handshake(Mode::Auto, &|c1| answer(c1, c1));
    let (c2, summary) = result.unwrap();
    assert_eq!(c2, c1);
    assert_eq!(summary.digest, None);
}

#[test]
fn s2_that_is_not_an_echo_is_accepted() {
    let s1 = opening([0; 4]);
    let expected = s1.clone();
    let (_, result) = run_handshake(Mode::Auto, &move |_| answer(&s1, &opening([1; 4])));
    let (c2, summary) = result.unwrap();
    assert_eq!(c2, expected);
    assert_eq!(summary.server_signature, ServerSignature::Absent);
}

#[test]
fn wrong_signature_in_s2_is_accepted_and_reported() {
    let s1 = signed_opening([4, 5, 0, 0], Scheme::DigestFirst);
    let s1_digest = digest::verify(&s1, Scheme::DigestFirst, Side::Server).unwrap();
    let (_, result) = run_handshake(Mode::Auto, &move |c1| {
        let mut s2 = signed_reply(c1);
        let [byte] = s2.field(1535);
        s2.put(1535, [byte ^ 1]);
        answer(&s1, &s2)
    });
    let (c2, summary) = result.unwrap();
    assert!(digest::verify_reply(
        &c2,
        &s1_digest,
        Side::Client,
        SignatureCipher::None
    ));
    assert_eq!(summary.server_signature, ServerSignature::Wrong);
    assert_eq!(summary.digest.map(|digest| digest.bytes), Some(s1_digest));
}

#[test]
fn digest_mode_fails_without_a_digest() {
    let mut broken = signed_opening([4, 5, 0, 0], Scheme::DigestFirst);
    let [byte] = broken.field(1535);
    broken.put(1535, [byte ^ 1]);
    for s1 in [broken, opening([0; 4]), opening([13, 14, 10, 13])] {
        let (_, result) = run_handshake(Mode::Digest, &move |c1| answer(&s1, c1));
        assert_eq!(result, Err(Error::NoDigest));
    }
}

#[test]
fn unknown_version_fails_on_the_first_byte() {
    for s0 in [0, 2, 4, 6, 8, 9, 10, 0x1F, 0x7F, 0xFF] {
        for mode in [Mode::Auto, Mode::Plain, Mode::Digest] {
            let mut inbox = BytesMut::from(&[s0][..]);
            assert_eq!(client(mode).receive(&mut inbox), Err(Error::Version(s0)));
        }
    }
    for s0 in [0, 2, 4, 6, 8, 9, 10, b'S', 0xFF] {
        let (_, result) =
            run_handshake(Mode::Auto, &move |c1| [&[s0], &c1.as_bytes()[..]].concat());
        assert_eq!(result, Err(Error::Version(s0)));
    }
}

#[test]
fn other_protocols_are_reported_by_their_first_bytes() {
    let long = "x".repeat(100);
    let text = |text: &str| Error::Text(text.to_owned());
    #[rustfmt::skip]
    let answers: [(&[u8], usize, Error); 15] = [
        (b"HTTP/1.1 400 Bad Request\r\n", 25, text("HTTP/1.1 400 Bad Request")),
        (b"HTTP/1.1400 Bad Request\n", 24, text("HTTP/1.1400 Bad Request")),
        (b"RTSP/1.0 400 Bad Request\r\n", 25, text("RTSP/1.0 400 Bad Request")),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", 22, text("SSH-2.0-OpenSSH_9.2p1")),
        (b"220 mail ESMTP \xC3\xA9\r\n", 16, text("220 mail ESMTP ")),
        (b"ICY 200 OK\r\n", 11, text("ICY 200 OK")),
        (long.as_bytes(), 61, text(&format!("{}…", &long[..60]))),
        (b"HTML\0", 5, text("HTML")),
        (b"HTM\0", 4, Error::Version(b'H')),
        (b"SS\x80", 3, Error::Version(b'S')),
        (&[0x15, 3, 1, 0, 2, 2, 70], 2, Error::Tls), // alert: fatal, protocol version
        (&[0x15, 3, 3, 0, 2, 2, 10], 2, Error::Tls), // alert: fatal, unexpected message
        (&[0x16, 3, 3, 0, 122], 2, Error::Tls), // handshake
        (&[0x15, 0, 0], 2, Error::Version(0x15)),
        (&[0x16, 2], 2, Error::Version(0x16)),
    ];
    for (answer, decided_at, error) in answers {
        for len in 0..=answer.len() {
            let expected = if len < decided_at {
                Ok(Progress::NeedsMore)
            } else {
                Err(error.clone())
            };
            let mut inbox = BytesMut::from(&answer[..len]);
            assert_eq!(
                client(Mode::Auto).receive(&mut inbox),
                expected,
                "{answer:?}"
            );
        }
    }
}

#[test]
fn unfinished_text_is_an_error_once_nothing_follows() {
    let text = |text: &str| Some(Error::Text(text.to_owned()));
    assert_eq!(unfinished_text_answer(b"login: "), text("login: "));
    assert_eq!(unfinished_text_answer(b"HTTP"), text("HTTP"));
    for other in [&b""[..], b"SSH", &[3; 100], b"HTTP\0"] {
        assert_eq!(unfinished_text_answer(other), None, "{other:?}");
    }
}

#[test]
fn error_texts_are_complete() {
    let lines = [
        (
            Error::Version(6),
            "the server answered with handshake version 6 (0x06) instead of 3",
        ),
        (
            Error::Version(b'S'),
            "the server answered with handshake version 83 (0x53) instead of 3",
        ),
        (
            Error::Text("SSH-2.0-x".to_owned()),
            "the server answers in text (`SSH-2.0-x`), not RTMP",
        ),
        (
            Error::Tls,
            "the server answered with TLS instead of RTMP: the port may serve rtmps",
        ),
        (
            Error::NoDigest,
            "the server answered without a valid handshake digest",
        ),
    ];
    for (error, line) in lines {
        assert_eq!(error.to_string(), line);
    }
}

#[test]
fn finished_handshake_consumes_nothing_more() {
    let mut client = client(Mode::Auto);
    let c1 = block(&transmitted(&mut client)[1..]);
    let mut inbox = BytesMut::from(&answer(&opening([0; 4]), &c1)[..]);
    let done = client.receive(&mut inbox).unwrap();
    assert!(matches!(done, Progress::Done(_)));
    inbox.extend_from_slice(&[6; 4000]);
    assert_eq!(client.receive(&mut inbox), Ok(done));
    assert_eq!(inbox.len(), CHUNKS.len() + 4000);
    assert_eq!(transmitted(&mut client).len(), 1536);
}

#[test]
fn two_handshakes_share_no_random_bytes() {
    let mut rng = rng();
    let mut first = Handshake::new(Mode::Auto, Encryption::None, 0, &mut rng);
    let mut second = Handshake::new(Mode::Auto, Encryption::None, 0, &mut rng);
    assert_ne!(transmitted(&mut first)[9..], transmitted(&mut second)[9..]);
    assert_ne!(first.c2, second.c2);
}
