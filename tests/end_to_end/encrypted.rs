//! Encrypted sessions of rtmpull, rtmpdump and ffmpeg with the test server, and of rtmpull with
//! rtmpsrv.

use std::{path::Path, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use rtmpull::core::rtmp::{challenge::SwfProof, handshake::digest::Scheme};
use sha2::Sha256;

use crate::{
    downloads::{assert_same_media, assert_starts_like},
    fixtures,
    peers::{ffmpeg::Ffmpeg, require, rtmpdump::Rtmpdump, rtmpdump::Rtmpsrv},
    process::Process,
    program::{self, Download},
    server::{
        C2, Clip, Config, EndSignal, FaultAction, FaultPoint, Handshake, HandshakeFlaw, OnConnect,
        Pace, Server, Stream, Tunnel, TunnelConfig, prime_plus,
    },
    swf_players::{WebServer, answer},
    verify::{self, Media},
};

/// All combinations of handshake type and digest position.
const VARIANTS: [(u8, Scheme); 6] = [
    (6, Scheme::DigestFirst),
    (6, Scheme::KeyFirst),
    (8, Scheme::DigestFirst),
    (8, Scheme::KeyFirst),
    (9, Scheme::DigestFirst),
    (9, Scheme::KeyFirst),
];

#[test]
fn recorded_stream_is_complete() {
    for (version, scheme) in VARIANTS {
        for chunk_size in [128, 65_536] {
            let server = Server::start(Config {
                handshake: Handshake::encrypted(version, scheme),
                chunk_size,
                ..Config::serving(Stream::recorded_sample())
            });
            let download = program::download(&server.encrypted_url("clip"), &[]);
            download.assert_ended(0, "ended");
            assert_sample_tags(&download);
            let client = server.only_client();
            assert_eq!((client.c0, client.c2), (Some(6), Some(C2::Signed)));
            assert_eq!(client.fault, None);
        }
    }
}

#[test]
fn live_stream_is_complete() {
    for (version, scheme) in VARIANTS.into_iter().step_by(2) {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, scheme),
            ..Config::serving(Stream::live(Clip::sample()).paced(Pace::Speed(8.0)))
        });
        let download = program::download(&server.encrypted_url("clip"), &["--live"]);
        download.assert_ended(0, "unpublished");
        assert_sample_tags(&download);
    }
}

#[test]
fn pings_and_acknowledgements_stay_encrypted_in_order() {
    let stream = Stream::recorded(Clip::sample()).paced(Pace::Speed(4.0));
    let server = Server::start(Config {
        handshake: Handshake::encrypted(9, Scheme::KeyFirst),
        chunk_size: 1,
        window: 4096,
        enforces_window: true,
        ping_every: Some(Duration::from_millis(100)),
        ..Config::serving(stream)
    });
    let download = program::download(&server.encrypted_url("clip"), &[]);
    download.assert_ended(0, "ended");
    assert_sample_tags(&download);
    let client = server.only_client();
    assert_eq!(client.fault, None);
    assert!(client.pongs.len() > 3 && client.acknowledgements.len() > 3);
}

#[test]
fn protocol_option_selects_encryption() {
    let server = Server::start(Config {
        handshake: Handshake::encrypted(8, Scheme::KeyFirst),
        ..Config::serving(Stream::recorded_sample())
    });
    for protocol in ["rtmpe", "2"] {
        program::download(&server.url("clip"), &["--protocol", protocol]).assert_ended(0, "ended");
    }
    for client in server.clients() {
        assert_eq!(client.c0, Some(6));
        let connect = client.command("connect").expect("the client sends connect");
        let tc_url = connect.values[0].member("tcUrl").expect("a member");
        assert!(
            tc_url
                .as_text()
                .expect("a string")
                .to_string()
                .starts_with("rtmpe://")
        );
    }
}

#[test]
fn unencrypted_server_is_an_error() {
    for handshake in [
        Handshake::Plain,
        Handshake::Digest(Scheme::DigestFirst),
        Handshake::Digest(Scheme::KeyFirst),
    ] {
        let server = unencrypted_server(handshake);
        program::download(&server.encrypted_url("clip"), &[])
            .assert_no_connection("server does not encrypt");
        assert_eq!(server.only_client().c0, Some(6), "{handshake:?}");
        assert_eq!(server.only_client().c2, None, "nothing is sent unencrypted");
    }
}

#[test]
fn allow_plain_accepts_an_unencrypted_server() {
    for (handshake, c2) in [
        (Handshake::Plain, C2::Echo),
        (Handshake::Digest(Scheme::DigestFirst), C2::Signed),
        (Handshake::Digest(Scheme::KeyFirst), C2::Signed),
    ] {
        let server = unencrypted_server(handshake);
        let download = program::download(&server.encrypted_url("clip"), &["--allow-plain"]);
        download.assert_ended(0, "ended");
        assert_sample_tags(&download);
        let stderr = &download.finished.stderr;
        assert!(stderr.contains("the server does not encrypt"), "{stderr}");
        let client = server.only_client();
        assert_eq!((client.c0, client.c2), (Some(6), Some(c2)));
    }
    let server = Server::start(Config {
        handshake: Handshake::encrypted(6, Scheme::KeyFirst),
        ..Config::serving(Stream::recorded_sample())
    });
    let download = program::download(&server.encrypted_url("clip"), &["--allow-plain"]);
    download.assert_ended(0, "ended");
    let stderr = &download.finished.stderr;
    assert!(!stderr.contains("does not encrypt"), "{stderr}");
}

#[test]
fn every_handshake_flaw_is_named() {
    let zero = [0; 128];
    let one = std::array::from_fn(|at| u8::from(at == 127));
    let five = std::array::from_fn(|at| 5 * u8::from(at == 127));
    let keys = [
        zero,
        one,
        five,
        prime_plus(-1),
        prime_plus(0),
        prime_plus(1),
        [0xFF; 128],
    ];
    let keys = keys.map(|key| {
        (
            HandshakeFlaw::PublicKey(key),
            "the public key of the server is invalid",
        )
    });
    let others = [
        (
            HandshakeFlaw::InvalidS1Digest,
            "without a valid handshake digest",
        ),
        (
            HandshakeFlaw::InvalidS2Signature,
            "the handshake signature of the server is invalid",
        ),
    ];
    for (flaw, cause) in keys.into_iter().chain(others) {
        for options in [&[][..], &["--allow-plain"]] {
            let server = Server::start(Config {
                handshake: Handshake::flawed(flaw),
                ..Config::default()
            });
            let download = program::download(&server.encrypted_url("clip"), options);
            download.assert_no_connection(cause);
            assert_eq!(
                server.only_client().c2,
                None,
                "one connection that ends before C2"
            );
        }
    }
}

#[test]
fn unknown_handshake_type_is_named() {
    for version in [0, 4, 7, 10, 255] {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, Scheme::KeyFirst),
            ..Config::default()
        });
        let download = program::download(&server.encrypted_url("clip"), &[]);
        download.assert_no_connection(&format!("handshake type {version} "));
    }
}

#[test]
fn cut_handshake_is_not_retried_in_the_clear() {
    for at in [0, 1, 2, 700, 1536, 1537, 1538, 3000, 3072] {
        for then in [FaultAction::Fin, FaultAction::Rst] {
            let server = Server::start(
                Config {
                    handshake: Handshake::encrypted(8, Scheme::KeyFirst),
                    ..Config::default()
                }
                .with_fault(FaultPoint::Byte(at), then),
            );
            let download = program::download(&server.encrypted_url("clip"), &["--allow-plain"]);
            download.assert_no_connection("during the handshake");
            assert_eq!(server.only_client().c0, Some(6), "at {at}");
        }
    }
}

#[test]
fn cut_session_keeps_the_received_media() {
    let complete = Clip::sample().media().count();
    for at in [3073, 3100, 20_000, 40_000] {
        let server = Server::start(
            Config {
                handshake: Handshake::encrypted(9, Scheme::DigestFirst),
                ..Config::serving(Stream::recorded_sample())
            }
            .with_fault(FaultPoint::Byte(at), FaultAction::Fin),
        );
        let download = program::download(&server.encrypted_url("clip"), &[]);
        let code = download.finished.code();
        assert!(code == Some(1) || code == Some(2), "{}", download.finished);
        if code == Some(2) {
            let kept = download.clip();
            assert!(kept.media().count() < complete);
            assert_starts_like(&kept, &Clip::sample(), 1);
        }
    }
}

#[test]
fn misaligned_secret_is_retried_with_new_keys() {
    let server = Server::start(Config {
        handshake: Handshake::flawed(HandshakeFlaw::LeftAlignedSecret),
        faulty_connections: 1,
        ..Config::serving(Stream::recorded_sample())
    });
    let download = program::download(&server.encrypted_url("clip"), &["-m", "2"]);
    download.assert_ended(0, "ended");
    assert_sample_tags(&download);
    let stderr = &download.finished.stderr;
    assert!(stderr.contains("trying new keys"), "{stderr}");
    let clients = server.clients();
    assert_eq!(clients.len(), 2);
    for client in clients {
        assert_eq!((client.c0, client.c2), (Some(6), Some(C2::Signed)));
    }
}

#[test]
fn permanently_misaligned_secret_is_retried_once() {
    let server = Server::start(Config {
        handshake: Handshake::flawed(HandshakeFlaw::LeftAlignedSecret),
        ..Config::default()
    });
    let download = program::download(&server.encrypted_url("clip"), &["-m", "1"]);
    assert_eq!(download.finished.code(), Some(1), "{}", download.finished);
    assert_eq!(server.clients().len(), 2);
}

/// Recent versions of ffmpeg drop the zero and fail.
#[test]
fn secret_with_leading_zero_keeps_the_zero() {
    let server = Server::start(Config {
        handshake: Handshake::flawed(HandshakeFlaw::SecretWithLeadingZero),
        faulty_connections: usize::MAX,
        ..Config::serving(Stream::recorded_sample())
    });
    let download = program::download(&server.encrypted_url("clip"), &[]);
    download.assert_ended(0, "ended");
    assert_sample_tags(&download);
    assert_eq!(server.clients().len(), 1);
}

#[test]
fn redirect_keeps_the_encryption() {
    let handshake = Handshake::encrypted(8, Scheme::KeyFirst);
    let target = Server::start(Config {
        handshake,
        ..Config::serving(Stream::recorded_sample())
    });
    let server = Server::start(Config {
        handshake,
        connect: OnConnect::RedirectInError {
            redirect: format!("rtmp://127.0.0.1:{}/app", target.port()),
        },
        ..Config::default()
    });
    let download = program::download(&server.encrypted_url("clip"), &[]);
    download.assert_ended(0, "ended");
    assert_eq!(target.only_client().c0, Some(6));
}

#[test]
fn unanswered_player_verification_stalls() {
    let server = Server::start(Config {
        handshake: Handshake::encrypted(8, Scheme::KeyFirst),
        required_player: Some(PLAYER),
        ..Config::serving(Stream::recorded(Clip::sample()))
    });
    let download = program::download(&server.encrypted_url("clip"), &["-m", "1"]);
    download.assert_ended(1, "stalled");
    let stderr = &download.finished.stderr;
    assert!(stderr.contains("requests SWF verification"), "{stderr}");
}

#[test]
fn rtmpdump_plays_every_variant() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    for (version, scheme) in VARIANTS {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, scheme),
            ..Config::serving(Stream::recorded(Clip::read(&source)))
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.flv");
        let player = rtmpdump.play(&server.encrypted_url("clip"), &output, &["-V"]);
        let stderr = player.finish(LIMIT).stderr;
        assert_eq!(server.only_client().c2, Some(C2::Signed), "{stderr}");
        assert!(!stderr.contains("not genuine"), "{stderr}");
        verify::assert_complete_copy(&ffmpeg, &source, &output);
    }
}

#[test]
fn recent_ffmpeg_plays_every_variant() {
    let (ffmpeg, recent) = (require!(Ffmpeg::find()), require!(Ffmpeg::find_recent()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    for (version, scheme) in VARIANTS {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, scheme),
            ..Config::serving(Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded))
        });
        let played = Media::read(&recent, server.encrypted_url("clip").as_ref());
        played.assert_equals(&Media::read(&ffmpeg, &source));
        let client = server.only_client();
        assert_eq!((client.c0, client.c2), (Some(6), Some(C2::Signed)));
    }
}

#[test]
fn rtmpdump_and_ffmpeg_play_through_a_tunnel() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let recent = require!(Ffmpeg::find_recent());
    let source = fixtures::mp3_flv(&ffmpeg);
    for (version, scheme) in VARIANTS.into_iter().step_by(2) {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, scheme),
            ..Config::serving(Stream::recorded(Clip::read(&source)).paced(Pace::Unbounded))
        });
        let tunnel = Tunnel::start(server.port(), TunnelConfig::default());
        let url = tunnel.url("clip").replace("rtmpt:", "rtmpte:");
        let played = Media::read(&recent, url.as_ref());
        played.assert_equals(&Media::read(&ffmpeg, &source));

        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.flv");
        rtmpdump.play(&url, &output, &[]).finish(LIMIT);
        verify::assert_complete_copy(&ffmpeg, &source, &output);
        for client in server.clients() {
            assert_eq!((client.c0, client.c2), (Some(6), Some(C2::Signed)));
        }
    }
}

#[test]
fn rtmpdump_proves_its_player() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::mp3_flv(&ffmpeg);
    let hash: String = PLAYER
        .hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let size = PLAYER.size.to_string();
    for handshake in [
        Handshake::Digest(Scheme::DigestFirst),
        Handshake::encrypted(6, Scheme::KeyFirst),
        Handshake::encrypted(8, Scheme::DigestFirst),
        Handshake::encrypted(9, Scheme::KeyFirst),
    ] {
        let server = Server::start(requiring_player(&source, handshake, PLAYER));
        let url = match handshake {
            Handshake::Encrypted(_) => server.encrypted_url("clip"),
            _ => server.url("clip"),
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.flv");
        let options = ["--swfhash", &hash, "--swfsize", &size];
        rtmpdump.play(&url, &output, &options).finish(LIMIT);
        verify::assert_complete_copy(&ffmpeg, &source, &output);
        assert!(server.only_client().swf_proof.is_some());

        for wrong in [
            ["--swfhash", &hash, "--swfsize", "5"],
            ["--swfhash", &"00".repeat(32), "--swfsize", &size],
        ] {
            let finished = rtmpdump.play(&url, &output, &wrong).finish(LIMIT);
            assert!(!finished.status.success(), "{finished}");
        }
    }
}

#[test]
fn rtmpdump_fetches_and_proves_its_player() {
    let (ffmpeg, rtmpdump) = (require!(Ffmpeg::find()), require!(Rtmpdump::find()));
    let source = fixtures::mp3_flv(&ffmpeg);
    let player: Vec<u8> = [&b"FWS\x0a"[..], &[7; 5000]].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"Genuine Adobe Flash Player 001").unwrap();
    mac.update(&player);
    let proof = SwfProof {
        hash: mac.finalize().into_bytes().into(),
        size: player.len() as u32,
    };
    let handshake = Handshake::encrypted(9, Scheme::DigestFirst);
    let server = Server::start(requiring_player(&source, handshake, proof));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("out.flv");
    let web = WebServer::always_replying(answer("", &player));
    let url = web.url("/player.swf");
    let mut command = rtmpdump.command(&server.encrypted_url("clip"), &output, &["-W", &url]);
    // rtmpdump writes its cache file to this folder.
    command.env("HOME", folder.path());
    let stderr = Process::start(&mut command).finish(LIMIT);
    assert!(server.only_client().swf_proof.is_some(), "{stderr}");
    verify::assert_complete_copy(&ffmpeg, &source, &output);
}

/// rtmpsrv logs whether it accepts C2 and which commands it decrypts. It plays nothing.
#[test]
fn rtmpsrv_accepts_the_handshake() {
    let rtmpsrv = require!(Rtmpsrv::find());
    if !rtmpsrv.can_run() {
        return println!("skipped: no namespace for rtmpsrv to listen in (unshare -rn)");
    }
    for scheme in ["rtmp", "rtmpe"] {
        let url = format!("{scheme}://127.0.0.1/app/clip");
        let rtmpull = env!("CARGO_BIN_EXE_rtmpull");
        let player = [rtmpull, &url, "-V", "-m", "5", "-o", "/dev/null"];
        let [ours, theirs] = rtmpsrv.run(&player);
        assert!(
            theirs.contains("Genuine Adobe Flash Player"),
            "{theirs}\n{ours}"
        );
        assert!(ours.contains("received onStatus"), "{theirs}\n{ours}");
        assert_eq!(
            ours.contains(", encrypted (type 8)"),
            scheme == "rtmpe",
            "{ours}"
        );
    }
}

/// Starts a server that never encrypts.
fn unencrypted_server(handshake: Handshake) -> Server {
    Server::start(Config {
        handshake,
        ..Config::serving(Stream::recorded_sample())
    })
}

fn requiring_player(source: &Path, handshake: Handshake, player: SwfProof) -> Config {
    Config {
        handshake,
        required_player: Some(player),
        ..Config::serving(
            Stream::recorded(Clip::read(source))
                .ending(&[EndSignal::PlayComplete, EndSignal::PlayStop]),
        )
    }
}

#[track_caller]
fn assert_sample_tags(download: &Download) {
    assert_same_media(&download.clip(), &Clip::sample());
}

/// SWF player required by the servers of this module.
const PLAYER: SwfProof = SwfProof {
    hash: [0x5A; 32],
    size: 123_456,
};

const LIMIT: Duration = Duration::from_secs(20);
