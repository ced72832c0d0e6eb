//! Probes of real servers, and of each protocol.

use std::{thread, time::Duration};

use super::{Probe, probe};
use crate::{
    fixtures,
    peers::{
        ffmpeg::Ffmpeg, nginx::Nginx, node_media_server::NodeMediaServer, proxies::Dante, require,
    },
    server::{
        Authority, Clip, Config, Handshake, Server, Stream, TlsClose, TlsFront, Tunnel,
        TunnelConfig, Validity,
    },
};
use rtmpull::core::rtmp::handshake::digest::Scheme;

/// Panics unless the probe describes the H.264 and AAC of the fixtures.
#[track_caller]
fn assert_h264_and_aac(probe: &Probe) {
    probe.assert_result(0, "plays");
    assert_eq!(probe.track("video")["codec"], "h264");
    assert_eq!(probe.track("audio")["codec"], "aac");
    assert!(probe.number("times.first_frame_ms") >= probe.number("times.first_byte_ms"));
}

/// Panics unless the probe recognized this software, and says by what.
#[track_caller]
fn assert_software(probe: &Probe, software: &str) {
    assert_eq!(probe.get("server.software"), software, "{}", probe.finished);
    let evidence = probe.get("server.software_evidence").as_array();
    assert!(
        evidence.is_some_and(|signs| !signs.is_empty()),
        "{}",
        probe.finished
    );
}

#[test]
fn nginx_plays_a_recorded_stream() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let server = nginx.start(&[&source]);
    let probe = probe(&server.url("vod", "avc_aac.flv"), &[]);
    assert_h264_and_aac(&probe);
    assert_eq!(probe.get("session.handshake.kind"), "digest");
    assert_software(&probe, "nginx-rtmp");
}

#[test]
fn nginx_relays_a_live_stream() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::live_flv(&ffmpeg, false, 120);
    let server = nginx.start(&[]);
    let url = server.url("live", "clip");
    let _publisher = ffmpeg.publish(&source, &url);
    server.wait_for_log("publish: name='clip'");
    thread::sleep(Duration::from_millis(600));
    let probe = probe(&url, &["-v", "--probe-time", "2s"]);
    assert_h264_and_aac(&probe);
    assert_eq!(probe.track("video")["width"], 160);
    assert!(
        probe.finished.took < Duration::from_secs(5),
        "{:?}",
        probe.finished.took
    );
}

#[test]
fn missing_streams_on_nginx_are_refused() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    probe(&server.url("vod", "nothing.flv"), &[]).assert_result(1, "refused");
    let silent = probe(&server.url("live", "nothing"), &["-v", "-m", "1"]);
    silent.assert_result(1, "refused");
    assert_eq!(silent.get("verdict.ending"), "stalled");
}

#[test]
fn node_media_server_relays_a_live_stream() {
    let (ffmpeg, node) = (require!(Ffmpeg::find()), require!(NodeMediaServer::find()));
    let source = fixtures::live_flv(&ffmpeg, false, 120);
    let server = node.start();
    let url = server.url("clip");
    let _publisher = ffmpeg.publish(&source, &url);
    thread::sleep(Duration::from_millis(1000));
    let probe = probe(&url, &["-v", "--probe-time", "2s"]);
    assert_h264_and_aac(&probe);
    assert_software(&probe, "Node-Media-Server");
}

#[test]
fn refusing_servers_are_named() {
    let (nginx, node) = (require!(Nginx::find()), require!(NodeMediaServer::find()));
    let (nginx, node) = (nginx.start(&[]), node.start());
    for (url, software) in [
        (nginx.url("vod", "nothing.flv"), "nginx-rtmp"),
        (nginx.url("live", "nothing"), "nginx-rtmp"),
        (node.url("nothing"), "Node-Media-Server"),
    ] {
        let probe = probe(&url, &["-m", "1"]);
        probe.assert_result(1, "refused");
        assert_software(&probe, software);
    }
}

#[test]
fn listening_ffmpeg_plays() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let (_process, url) = ffmpeg.listen(&source);
    let probe = probe(&url, &["--probe-time", "1s"]);
    assert_h264_and_aac(&probe);
}

fn server(handshake: Handshake) -> Server {
    Server::start(Config {
        handshake,
        ..Config::serving(Stream::recorded(Clip::sample()))
    })
}

#[test]
fn tls_and_its_certificate_are_described() {
    let server = server(Handshake::Plain);
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let file = authority.file();
    let probe = probe(&url, &["--ca-file", file.to_str().expect("a UTF-8 path")]);
    assert_h264_and_aac(&probe);
    assert_eq!(probe.get("connection.tls.version"), "TLS 1.3");
    let names = probe.get("connection.tls.certificate.names");
    let names = names.as_array().expect("a list");
    assert!(names.iter().any(|name| name == "localhost"), "{names:?}");
    assert_eq!(probe.get("connection.tls.certificate.issuer"), "Authority");
    assert_eq!(
        probe.get("connection.tls.certificate.sha256"),
        &identity.sha256().as_str()
    );
    assert!(probe.number("connection.tls.certificate.days_left") >= 0.0);
}

#[test]
fn rejected_certificates_are_described() {
    let server = server(Handshake::Plain);
    let identity = Authority::new("Authority").identity(Validity::Expired);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let probe = probe(&url, &[]);
    probe.assert_result(3, "no-connection");
    assert_eq!(probe.get("connection.failed_step"), "TLS");
    assert_eq!(probe.get("connection.tls.check"), "certificate rejected");
}

#[test]
fn encrypted_sessions_are_described() {
    let server = server(Handshake::encrypted(6, Scheme::DigestFirst));
    let probe = probe(&server.encrypted_url("clip"), &[]);
    assert_h264_and_aac(&probe);
    assert_eq!(probe.get("session.handshake.is_encrypted"), true);
    assert_eq!(probe.get("session.handshake.s0"), 6);
}

#[test]
fn tunnels_are_described() {
    let server = server(Handshake::Plain);
    let front = Tunnel::start(server.port(), TunnelConfig::default());
    let probe = probe(&front.url("clip"), &[]);
    assert_h264_and_aac(&probe);
    assert!(probe.number("connection.tunnel.open_ms") > 0.0);
}

#[test]
fn proxies_are_described() {
    let dante = require!(Dante::find());
    let server = server(Handshake::Plain);
    let proxy = dante.start(1);
    let url = format!("socks5://127.0.0.1:{}", proxy.port);
    let probe = probe(&server.url("clip"), &["--proxy", &url]);
    assert_h264_and_aac(&probe);
    assert_eq!(probe.get("connection.proxy.protocol"), "socks5");
    assert_eq!(probe.number("connection.proxy.port"), f64::from(proxy.port));
}
