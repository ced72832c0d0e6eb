//! The software of real servers, recognized by what they send.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rand::{SeedableRng, rngs::StdRng};
use rtmpull::core::rtmp::{
    client::{
        Client,
        config::{Config, Connect},
        facts::{S2Check, SessionFacts},
    },
    handshake,
    server_software::{ServerSoftware, guess},
};
use url::Url;

use crate::{
    fixtures,
    peers::{
        ffmpeg::Ffmpeg, librtmp2::Librtmp2, nginx::Nginx, node_media_server::NodeMediaServer,
        require, xiu::Xiu,
    },
};

/// Plays the stream at `url` until Play.Start or the first media arrives, and returns the facts.
fn facts(url: &str, handshake: handshake::Mode) -> SessionFacts {
    let url = Url::parse(url).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect((host, port)).unwrap();
    let limit = Some(Duration::from_millis(100));
    stream.set_read_timeout(limit).unwrap();
    let config = config(&url, handshake);
    let mut client = Client::new(config, Instant::now(), &mut StdRng::seed_from_u64(1));
    client.keep_answers();
    let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
    let mut buffer = [0; 16 * 1024];
    let start = Instant::now();
    let mut is_over = false;
    while !is_over && start.elapsed() < LIMIT {
        client.poll_transmit(&mut outbox).unwrap();
        stream.write_all(&outbox.split()).unwrap();
        match stream.read(&mut buffer) {
            Ok(count) => {
                is_over = count == 0;
                inbox.extend_from_slice(&buffer[..count]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        loop {
            client.receive(Instant::now(), &mut inbox).unwrap();
            let had_event = client.poll_event().is_some();
            while client.poll_event().is_some() {}
            if !had_event {
                break;
            }
        }
        let steps = client.facts().steps;
        is_over |= steps.play_start.is_some() || steps.media.is_some();
    }
    client.facts().clone()
}

fn config(url: &Url, handshake: handshake::Mode) -> Config {
    let (app, playpath) = url.path()[1..].split_once('/').unwrap();
    let tc_url = url.as_str().replace(&format!("/{playpath}"), "");
    let connect = Connect {
        flash_ver: "LNX 9,0,124,2".to_owned(),
        ..Connect::new(app, tc_url)
    };
    Config {
        handshake,
        ..Config::new(connect, playpath)
    }
}

/// Panics unless the server at `url` is recognized with and without a digest.
#[track_caller]
fn assert_recognized(url: &str, expected: ServerSoftware) {
    for mode in [handshake::Mode::Auto, handshake::Mode::Plain] {
        let facts = facts(url, mode);
        let guessed = guess(&facts).map(|guess| guess.software);
        assert_eq!(guessed, Some(expected), "{facts:#?}");
    }
}

#[test]
fn nginx_is_recognized_live_and_with_files() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let clip = fixtures::avc_aac_flv(&ffmpeg);
    let server = nginx.start(&[&clip]);
    for url in [
        server.url("live", "nothing"),
        server.url("vod", "avc_aac.flv"),
    ] {
        assert_recognized(&url, ServerSoftware::NginxRtmp);
    }
    let facts = facts(&server.url("live", "nothing"), handshake::Mode::Auto);
    let handshake = facts.handshake.unwrap();
    assert_eq!(handshake.server_version, [13, 14, 10, 13]);
    assert_eq!(handshake.s2, S2Check::Signed);
    assert_eq!(facts.window, Some(5_000_000));
    assert_eq!(facts.peer_bandwidth, Some((5_000_000, Some(2))));
    let answer = facts.connect_answer.unwrap();
    assert_eq!(answer.fms_ver(), Some("FMS/3,0,1,123"));
    assert_eq!(answer.capabilities(), Some(31.0));
    assert!(facts.steps.connect_answer >= facts.steps.handshake);
    assert!(facts.round_trips.shortest().is_some());
}

#[test]
fn node_media_server_2_and_4_are_recognized() {
    let (two, four) = (
        require!(NodeMediaServer::find_2()),
        require!(NodeMediaServer::find()),
    );
    for server in [two.start(), four.start()] {
        assert_recognized(&server.url("nothing"), ServerSoftware::NodeMediaServer);
    }
}

#[test]
fn ffmpeg_is_recognized() {
    let ffmpeg = require!(Ffmpeg::find());
    let clip = fixtures::avc_aac_flv(&ffmpeg);
    for mode in [handshake::Mode::Auto, handshake::Mode::Plain] {
        let (_server, url) = ffmpeg.listen(&clip);
        let facts = facts(&url, mode);
        let guessed = guess(&facts).map(|guess| guess.software);
        assert_eq!(guessed, Some(ServerSoftware::Ffmpeg), "{facts:#?}");
    }
}

#[test]
fn librtmp2_is_recognized() {
    let server = require!(Librtmp2::find()).start(3_600_000, None);
    assert_recognized(&server.url("nothing"), ServerSoftware::Librtmp2);
}

#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_is_recognized() {
    let server = require!(Xiu::find()).start();
    assert_recognized(&server.url("nothing"), ServerSoftware::Xiu);
}

/// The servers answer within milliseconds.
const LIMIT: Duration = Duration::from_secs(10);
