//! Capture files: `--capture` and `--replay`.

use std::{fs, path::Path, thread, time::Duration};

use rtmpull::core::rtmp::handshake::digest::Scheme;

use crate::{
    downloads::assert_same_media,
    peers::{
        analyzers::{Tcpdump, Tshark},
        ffmpeg::Ffmpeg,
        nginx::Nginx,
        node_media_server::NodeMediaServer,
        require,
    },
    process::{Finished, Process},
    program::{self, LIMIT, download},
    server::{
        Authority, Clip, Config, FaultAction, FaultPoint, Handshake, Server, Stream, TlsClose,
        TlsFront, Tunnel, TunnelConfig, Validity,
    },
};

#[test]
fn captures_of_every_transport_are_dissected_and_replayed() {
    let tshark = require!(Tshark::find());
    let folder = tempfile::tempdir().unwrap();
    let server = || Server::start(Config::serving(Stream::recorded_sample()));
    let check = |name: &str, url: &str, options: &[&str]| {
        let capture = folder.path().join(name);
        let file = capture.to_str().unwrap();
        let options = [options, &["--capture", file, "--capture-media"]].concat();
        let recording = download(url, &options);
        recording.assert_ended(0, "ended");
        let messages = tshark.messages(&capture);
        for expected in [
            "Handshake C0+C1",
            "Handshake S0+S1+S2",
            "connect('app')",
            "createStream()",
            "play('clip')",
            "NetConnection.Connect.Success",
            "NetStream.Play.Start",
            "Video Data",
            "Audio Data",
            "deleteStream()",
        ] {
            assert!(
                messages.contains(expected),
                "{name}: no {expected} in {messages}"
            );
        }
        let replayed = replay(&capture, &folder.path().join("replayed.flv"), &[]);
        replayed.assert_ended(0, "ended");
        let replayed = fs::read(folder.path().join("replayed.flv")).unwrap();
        assert!(
            replayed == fs::read(recording.file()).unwrap(),
            "{name} differs"
        );
        fs::remove_file(folder.path().join("replayed.flv")).unwrap();
    };

    let plain = server();
    check("rtmp", &plain.url("clip"), &[]);
    let front = Tunnel::start(plain.port(), TunnelConfig::default());
    check("rtmpt", &front.url("clip"), &[]);
    let authority = Authority::new("Authority");
    let front = TlsFront::start(
        plain.port(),
        &authority.identity(Validity::Valid),
        TlsClose::CloseNotify,
    );
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let roots = authority.file().display().to_string();
    check("rtmps", &url, &["--ca-file", &roots]);
    for version in [6, 8, 9] {
        let server = Server::start(Config {
            handshake: Handshake::encrypted(version, Scheme::DigestFirst),
            ..Config::serving(Stream::recorded_sample())
        });
        check(
            &format!("rtmpe-{version}"),
            &server.encrypted_url("clip"),
            &[],
        );
    }
}

#[test]
fn media_is_cut_and_secrets_are_overwritten() {
    let tshark = require!(Tshark::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("session.pcapng");
    let file = capture.to_str().unwrap();
    let url = format!("{}?token=first-secret", server.url("clip"));
    let options = [
        "--conn",
        "S:second-secret",
        "--conn",
        "O:1",
        "--conn",
        "NS:passwd:third-secret",
    ];
    let run = |more: &[&str]| {
        let options = [&options[..], &["--capture", file, "--overwrite"], more].concat();
        let recording = download(&url, &options);
        let capture = fs::read(&capture).unwrap();
        let has = |text: &str| capture.windows(text.len()).any(|it| it == text.as_bytes());
        let secrets = ["first-secret", "third-secret"].map(has);
        (recording, secrets, capture.len())
    };
    let (_, secrets, cut) = run(&[]);
    assert_eq!(secrets, [false; 2]);
    let messages = tshark.messages(&capture);
    assert!(
        messages.contains("play('clip?token=xxxxxxxxxxxx')"),
        "{messages}"
    );
    let (_, secrets, complete) = run(&["--capture-secrets", "--capture-media"]);
    assert_eq!(secrets, [true; 2]);
    assert!(cut < complete, "{cut} of {complete} bytes");
    let comment = fs::read(&capture).unwrap();
    assert!(String::from_utf8_lossy(&comment).contains("Passwords, tokens and keys: unchanged"));
}

#[test]
fn cut_capture_replays_the_commands() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("session.pcapng");
    let recording = download(
        &server.url("clip"),
        &["--capture", capture.to_str().unwrap()],
    );
    let out = folder.path().join("replayed.flv");
    replay(&capture, &out, &[]).assert_ended(0, "ended");
    let (captured, complete) = (Clip::read(&out), recording.clip());
    assert_eq!(captured.media().count(), complete.media().count());
    assert!(captured.media().all(|tag| tag.body.len() <= 256));
}

#[test]
fn capture_ends_at_its_size_and_the_download_continues() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("session.pcapng");
    let file = capture.to_str().unwrap();
    let options = [
        "--capture",
        file,
        "--capture-media",
        "--capture-size",
        "20k",
    ];
    let recording = download(&server.url("clip"), &options);
    recording.assert_ended(0, "ended");
    assert_same_media(&recording.clip(), &Clip::sample());
    let message = "the capture has reached its size";
    assert_eq!(recording.finished.stderr.matches(message).count(), 1);
    let size = fs::metadata(&capture).unwrap().len();
    assert!(size <= 20_480, "{size}");
    let replayed = replay(&capture, &folder.path().join("replayed.flv"), &[]);
    assert!(
        replayed.code() == Some(1) || replayed.code() == Some(2),
        "{}",
        replayed.stderr
    );
}

#[test]
fn sessions_of_a_reconnect_are_replayed_in_order() {
    let config = Config::serving(Stream::recorded_sample());
    let server = Server::start(Config {
        faulty_connections: 1,
        ..config.with_fault(FaultPoint::Byte(25_000), FaultAction::Fin)
    });
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("session.pcapng");
    let file = capture.to_str().unwrap();
    let options = ["--retry", "1", "--capture", file, "--capture-media"];
    let recording = download(&server.url("clip"), &options);
    recording.assert_ended(0, "ended");
    assert_eq!(server.clients().len(), 2);
    let out = folder.path().join("replayed.flv");
    replay(&capture, &out, &["--retry", "1"]).assert_ended(0, "ended");
    assert_same_media(&Clip::read(&out), &recording.clip());
    assert_same_media(&Clip::read(&out), &Clip::sample());
}

#[test]
fn capture_of_tcpdump_replays_the_same_file() {
    let tcpdump = require!(Tcpdump::find());
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("packets.pcap");
    let Some(process) = tcpdump.start(server.port(), &capture) else {
        return println!("skipped: tcpdump needs the privileges of root");
    };
    let recording = download(&server.url("clip"), &[]);
    stop(process, &capture);
    let out = folder.path().join("replayed.flv");
    replay(&capture, &out, &[]).assert_ended(0, "ended");
    assert!(fs::read(&out).unwrap() == fs::read(recording.file()).unwrap());
}

#[test]
fn sessions_with_real_servers_are_dissected_and_replayed() {
    let (tshark, ffmpeg) = (require!(Tshark::find()), require!(Ffmpeg::find()));
    let (nginx, node) = (require!(Nginx::find()), require!(NodeMediaServer::find()));
    let source = Path::new("tests/server/clip.flv");
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, url: &str, options: &[&str], publish: &dyn Fn()| {
        let capture = folder.path().join(format!("{name}.pcapng"));
        let file = capture.to_str().unwrap();
        let options = [options, &["--capture", file, "--capture-media"]].concat();
        let running = program::start(url, &options);
        publish();
        let recording = running.finish();
        assert!(tshark.messages(&capture).contains("Video Data"));
        let out = folder.path().join(format!("{name}.flv"));
        let replayed = replay(&capture, &out, &options[..options.len() - 3]);
        // Node-Media-Server stays silent at the end, but a capture ends.
        assert_eq!(replayed.code(), Some(0), "{name}: {replayed}");
        assert_eq!(bodies(&Clip::read(&out)), bodies(&Clip::sample()), "{name}");
        assert!(
            fs::read(&out).unwrap() == fs::read(recording.file()).unwrap(),
            "{name} differs"
        );
    };
    let server = nginx.start(&[source]);
    check(
        "nginx-recorded",
        &server.url("vod", "clip.flv"),
        &[],
        &|| {},
    );
    let url = server.url("live", "clip");
    check(
        "nginx-live",
        &url,
        &["-v", "--republish-wait", "0"],
        &|| {
            server.wait_for_log("play: name='clip'");
            ffmpeg.publish(source, &url).finish(LIMIT).succeeded();
        },
    );
    let server = node.start();
    let url = server.url("clip");
    check(
        "node-media-server-live",
        &url,
        &["-v", "-m", "3", "--retry", "0"],
        &|| {
            thread::sleep(Duration::from_millis(500));
            ffmpeg.publish(source, &url).finish(LIMIT).succeeded();
        },
    );
    let (listener, url) = ffmpeg.listen(source);
    check("ffmpeg", &url, &[], &|| {});
    listener.finish(LIMIT);
}

/// Captures of real servers that played `tests/server/clip.flv`.
#[test]
fn stored_captures_replay_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let captures = fs::read_dir("tests/captures").unwrap();
    let captures: Vec<_> = captures.map(|entry| entry.unwrap().path()).collect();
    assert!(captures.len() >= 4);
    for capture in captures {
        let out = folder.path().join("replayed.flv");
        for live in [&["-v"][..], &[]] {
            let replayed = replay(&capture, &out, &[live, &["--overwrite"]].concat());
            assert_eq!(
                replayed.code(),
                Some(0),
                "{}: {replayed}",
                capture.display()
            );
            assert_eq!(bodies(&Clip::read(&out)), bodies(&Clip::sample()));
        }
    }
}

#[test]
fn unusable_files_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let out = folder.path().join("out.flv");
    fs::write(&file, "no capture").unwrap();
    let finished = replay(&file, &out, &[]);
    finished.assert_ended(1, "usage");
    assert!(
        finished.stderr.contains("not a pcapng or pcap file"),
        "{}",
        finished.stderr
    );
    let name = file.to_str().unwrap();
    let refused = download("rtmp://127.0.0.1:9/app/clip", &["--capture", name]);
    refused.assert_ended(1, "usage");
    assert!(
        refused.finished.stderr.contains("--overwrite"),
        "{}",
        refused.finished.stderr
    );
    assert_eq!(fs::read(&file).unwrap(), b"no capture");
    assert!(!out.exists());
}

/// Returns the bodies of the media tags, sorted: servers interleave the tracks in different ways.
fn bodies(clip: &Clip) -> Vec<&[u8]> {
    let mut bodies: Vec<&[u8]> = clip.media_with_content().map(|tag| &tag.body[..]).collect();
    bodies.sort_unstable();
    bodies
}

/// Replays a capture to a file.
#[track_caller]
fn replay(capture: &Path, out: &Path, options: &[&str]) -> Finished {
    let mut command = program::command();
    command.arg("--replay").arg(capture).args(options);
    command.arg("-o").arg(out);
    Process::start(&mut command).finish(LIMIT)
}

/// Stops tcpdump once the last packets are in its file.
fn stop(process: Process, file: &Path) {
    let size = || fs::metadata(file).unwrap().len();
    let mut latest = 0;
    while size() != latest {
        latest = size();
        thread::sleep(Duration::from_millis(500));
    }
    process.signal("INT");
    process.finish(LIMIT);
}
