//! Verifies the test server with rtmpdump and ffmpeg: they save what it serves.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rtmpull::core::rtmp::{handshake::digest::Scheme, message::Kind};
use tempfile::TempDir;

use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require, rtmpdump::Rtmpdump},
    server::{
        C2, Clip, Config, EndSignal, FaultAction, FaultPoint, Handshake, LoginScheme, Pace, Replay,
        ScriptedPeer, SecureToken, Server, Step, Stream, Tunnel, TunnelConfig,
    },
    verify::{self, Media},
};

#[test]
fn rtmpdump_plays_a_recorded_stream() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    for chunk_size in [1, 128, 65_536] {
        let server = Server::start(Config {
            handshake: Handshake::Plain,
            chunk_size,
            ..Config::serving(Stream::recorded(Clip::read(&source)))
        });
        let (_folder, output) = output();
        let player = rtmpdump.play(&server.url("clip"), &output, &[]);
        player.finish(LIMIT);
        verify::assert_complete_copy(&ffmpeg, &source, &output);
        let client = server.only_client();
        assert_eq!(client.c2, Some(C2::Echo));
        assert_eq!(client.fault, None);
        assert_eq!(client.names()[..3], ["connect", "createStream", "_checkbw"]);
    }
}

#[test]
fn rtmpdump_accepts_the_server_digest() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::mp3_flv(&ffmpeg);
    for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
        let server = Server::start(Config {
            handshake: Handshake::Digest(scheme),
            ..Config::serving(Stream::recorded(Clip::read(&source)))
        });
        let (_folder, output) = output();
        // rtmpdump signs C2 only if it has a player to prove.
        let hash = "00".repeat(32);
        let options = ["--swfhash", &hash, "--swfsize", "1000", "-V"];
        let player = rtmpdump.play(&server.url("clip"), &output, &options);
        let stderr = player.finish(LIMIT).stderr;
        assert_eq!(server.only_client().c2, Some(C2::Signed), "{stderr}");
        verify::assert_complete_copy(&ffmpeg, &source, &output);
    }
}

#[test]
fn rtmpdump_plays_a_live_stream() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let server = Server::start(late_join(&source));
    let (_folder, output) = output();
    let player = rtmpdump.play(&server.url("clip"), &output, &["--live"]);
    player.finish(LIMIT).succeeded();
    Media::read(&ffmpeg, &output).assert_tail_of(&Media::read(&ffmpeg, &source));
    let play = server
        .only_client()
        .command("play")
        .cloned()
        .expect("the stream plays");
    assert_eq!(play.values[2].as_number(), Some(-1000.0));
}

#[test]
fn rtmpdump_pauses_sets_a_playlist_and_answers_a_secure_token() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::mp3_flv(&ffmpeg);
    let stream = Stream::recorded(Clip::read(&source)).paced(Pace::UntilEmpty { ms: 700 });
    let server = Server::start(Config {
        handshake: Handshake::Plain,
        requires_playlist: true,
        secure_token: Some(SecureToken {
            token: "c1d2e3f40011223344556677",
            answer: b"\x17\xAB\xD7\x58\x1F\xD3\x0B\xA6\x26\x4F\x89\x95",
        }),
        ..Config::serving(stream)
    });
    let (_folder, output) = output();
    let options = ["--token", "mykey", "--playlist"];
    let player = rtmpdump.play(&server.url("clip"), &output, &options);
    let stderr = player.finish(LIMIT);
    assert!(server.only_client().command("pause").is_some(), "{stderr}");
    verify::assert_complete_copy(&ffmpeg, &source, &output);
}

#[test]
fn rtmpdump_and_ffmpeg_play_through_the_tunnel() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
    let server = Server::start(Config {
        handshake: Handshake::Plain,
        ..Config::serving(stream)
    });
    let front = Tunnel::start(server.port(), TunnelConfig::default());
    let (_folder, output) = output();
    let player = rtmpdump.play(&front.url("clip"), &output, &[]);
    player.finish(LIMIT);
    verify::assert_complete_copy(&ffmpeg, &source, &output);
    let played = Media::read(&ffmpeg, front.url("clip").as_ref());
    played.assert_equals(&Media::read(&ffmpeg, &source));
    let requests = front.requests();
    assert_eq!((requests.opens, requests.closes), (2, 2), "{requests:?}");
    assert_eq!(requests.jumps, 0, "{requests:?}");
}

#[test]
fn ffmpeg_logs_in_with_every_scheme() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::mp3_flv(&ffmpeg);
    for scheme in [
        LoginScheme::Adobe,
        LoginScheme::AdobeOpaque,
        LoginScheme::Limelight,
    ] {
        for app in ["app", "app/inst"] {
            let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
            let server = Server::start(Config::serving(stream).with_login(scheme));
            let port = server.port();
            let url = format!("rtmp://joe:s3cret@127.0.0.1:{port}/{app}/clip");
            let played = Media::read(&ffmpeg, url.as_ref());
            played.assert_equals(&Media::read(&ffmpeg, &source));
            assert_eq!(server.clients().len(), 3, "{scheme:?}");
        }
    }
}

#[test]
fn ffmpeg_plays_a_recorded_stream() {
    let ffmpeg = require!(Ffmpeg::find());
    let sources = [
        (fixtures::avc_aac_flv(&ffmpeg), Pace::Buffered),
        (fixtures::mp3_flv(&ffmpeg), Pace::Unbounded),
        (fixtures::h263_mp3_flv(&ffmpeg), Pace::Unbounded),
    ];
    for (source, pace) in sources {
        let stream = Stream::recorded(Clip::read(&source)).paced(pace);
        let server = Server::start(Config::serving(stream));
        let played = Media::read(&ffmpeg, server.url("clip").as_ref());
        played.assert_equals(&Media::read(&ffmpeg, &source));
        assert_eq!(server.only_client().fault, None);
    }
}

#[test]
fn ffmpeg_plays_a_live_stream() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let server = Server::start(late_join(&source));
    let played = Media::read(&ffmpeg, server.url("clip").as_ref());
    played.assert_tail_of(&Media::read(&ffmpeg, &source));
}

#[test]
fn recent_ffmpeg_plays_enhanced_codecs() {
    let recent = require!(Ffmpeg::find_recent());
    let sources = [
        fixtures::hevc_aac_flv(&recent),
        fixtures::av1_opus_flv(&recent),
        fixtures::vp9_opus_flv(&recent),
    ];
    for source in sources {
        let stream = Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
        let server = Server::start(Config::serving(stream));
        let played = Media::read(&recent, server.url("clip").as_ref());
        played.assert_equals(&Media::read(&recent, &source));
    }
}

#[test]
fn rtmpdump_understands_every_server_variant() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let stream = || Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded);
    for config in [
        Config {
            tags_per_aggregate: 7,
            ..Config::serving(stream())
        },
        Config {
            media_stream_id: Some(0),
            keeps_set_data_frame: true,
            ..Config::serving(stream())
        },
        Config {
            stream_id: 5,
            media_chunk_stream: 64,
            ..Config::serving(stream())
        },
        Config {
            media_chunk_stream: 400,
            window: 4096,
            enforces_window: true,
            ..Config::serving(stream())
        },
    ] {
        let server = Server::start(config);
        let (_folder, output) = output();
        rtmpdump
            .play(&server.url("clip"), &output, &[])
            .finish(LIMIT);
        Media::read(&ffmpeg, &output).assert_equals(&Media::read(&ffmpeg, &source));
        assert_eq!(server.only_client().fault, None);
    }
}

#[test]
fn rtmpdump_plays_prepared_bytes() {
    let rtmpdump = require!(Rtmpdump::find());
    for chunk_size in [128, 4096, 60_000] {
        let replay = Arc::new(Replay::new(chunk_size, 5_000_000));
        let server = Server::start(Config::replaying(replay.clone()));
        let (_folder, output) = output();
        rtmpdump
            .play(&server.url("clip"), &output, &[])
            .finish(LIMIT);
        let clip = Clip::read(&output);
        assert_eq!(clip.media().count() as u64, replay.messages());
        let bytes: usize = clip.media().map(|tag| tag.body.len()).sum();
        assert_eq!(bytes as u64, replay.bytes());
        assert_eq!(clip.last_timestamp_ms(), replay.duration_ms());
    }
}

#[test]
fn answered_ping_keeps_the_connection() {
    let rtmpdump = require!(Rtmpdump::find());
    let stream = Stream::recorded(Clip::sample()).paced(Pace::Speed(3.0));
    let server = Server::start(Config {
        ping_every: Some(Duration::from_millis(300)),
        ..Config::serving(stream)
    });
    let (_folder, output) = output();
    rtmpdump
        .play(&server.url("clip"), &output, &[])
        .finish(LIMIT);
    // rtmpdump drops video without content, such as the end-of-sequence tag.
    let (ours, source) = (Clip::read(&output), Clip::sample());
    assert!(ours.media().eq(source.media_with_content()));
    assert_eq!(server.only_client().pongs[..2], [1001, 1002]);
}

#[test]
fn unanswered_ping_closes_the_connection() {
    let server = Server::start(Config {
        ping_every: Some(Duration::from_millis(50)),
        ..Config::default()
    });
    let mut client = BareClient::connect(&server);
    client.handshake();
    client
        .read_to_end()
        .expect("the connection is closed with FIN");
}

#[test]
fn byte_fault_cuts_at_the_exact_byte() {
    for at in [0, 1, 1537, 3072, 3073] {
        let config = Config::default().with_fault(FaultPoint::Byte(at), FaultAction::Fin);
        let server = Server::start(config);
        let mut client = BareClient::connect(&server);
        client.send(&[3; 1537]);
        assert_eq!(
            client
                .read_to_end()
                .expect("the connection is closed with FIN")
                .len() as u64,
            at
        );
    }
}

#[test]
fn rst_fault_resets_the_connection() {
    let config = Config::default().with_fault(FaultPoint::Byte(100), FaultAction::Rst);
    let server = Server::start(config);
    let mut client = BareClient::connect(&server);
    client.send(&[3; 1537]);
    let error = client.read_to_end().expect_err("the connection is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn fault_affects_the_configured_number_of_connections() {
    let server = Server::start(Config {
        faulty_connections: 1,
        ..Config::default().with_fault(FaultPoint::Step(Step::Handshake), FaultAction::Fin)
    });
    let mut first = BareClient::connect(&server);
    let left = first
        .read_to_end()
        .expect("the connection is closed with FIN");
    assert!(left.is_empty());
    BareClient::connect(&server).handshake();
}

#[test]
#[should_panic(expected = "the client disconnected before play")]
fn unfinished_peer_script_fails_the_test() {
    let peer = ScriptedPeer::start(|peer, _| {
        peer.accept_plain_handshake();
        peer.expect_command("play");
    });
    BareClient::connect_to(peer.port()).handshake();
}

#[test]
fn scripted_peer_plays_raw_chunks() {
    let rtmpdump = require!(Rtmpdump::find());
    let tag = Clip::sample().tags.swap_remove(1);
    let body = tag.body.clone();
    let peer = ScriptedPeer::start(move |peer, _| {
        peer.start_playing();
        peer.queue(6, Kind(tag.kind), 1, 0, &tag.body).unwrap();
        // The same tag again with explicit chunk bytes: type 1 header, 40 ms later.
        let length = u8::try_from(tag.body.len()).unwrap();
        peer.send(&[0x46, 0, 0, 40, 0, 0, length, tag.kind])
            .unwrap();
        peer.send(&tag.body).unwrap();
        let _ = peer.fail::<()>(FaultAction::Fin);
    });
    let (_folder, output) = output();
    rtmpdump.play(&peer.url("clip"), &output, &[]).finish(LIMIT);
    let tags: Vec<_> = Clip::read(&output).tags;
    let tags: Vec<_> = tags
        .iter()
        .map(|tag| (tag.timestamp_ms, &tag.body))
        .collect();
    assert_eq!(tags, [(0, &body), (40, &body)]);
}

/// Client that only implements the handshake.
struct BareClient(TcpStream);

impl BareClient {
    fn connect(server: &Server) -> Self {
        Self::connect_to(server.port())
    }

    fn connect_to(port: u16) -> Self {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .expect("the server accepts connections");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Self(socket)
    }

    fn handshake(&mut self) {
        self.send(&[3; 1537]);
        self.0.read_exact(&mut [0; 3073]).expect("S0, S1 and S2");
        self.send(&[0; 1536]);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0
            .write_all(bytes)
            .expect("the server accepts connections");
    }

    fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).map(|_| bytes)
    }
}

/// Returns a live stream that has run for 15 minutes, joined after 1.5 s of the clip.
fn late_join(source: &Path) -> Config {
    let stream = Stream::live_joined(Clip::read(source), 900_000, 1_500);
    Config::serving(
        stream
            .paced(Pace::Speed(4.0))
            .ending(&[EndSignal::UnpublishNotify]),
    )
}

/// Returns a temporary folder and the path of a new file in it.
fn output() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("out.flv");
    (folder, output)
}

const LIMIT: Duration = Duration::from_secs(20);
