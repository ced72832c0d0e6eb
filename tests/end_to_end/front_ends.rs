//! Programs that run rtmpdump, with rtmpull in its place, and comparisons with rtmpdump.

use std::{fs, path::Path};

use rtmpull::core::amf::Value;

use crate::{
    downloads::assert_same_media,
    drop_in::RtmpdumpLink,
    fixtures,
    peers::{ffmpeg::Ffmpeg, nginx::Nginx, require, rtmpdump::Rtmpdump, yt_dlp::YtDlp},
    process::Finished,
    program::LIMIT,
    server::{
        Clip, Command, Config, FaultAction, FaultPoint, OnConnect, Pace, Seeking, Server, Stream,
    },
};

#[test]
fn yt_dlp_downloads_a_recorded_stream() {
    let yt_dlp = require!(YtDlp::find());
    let ours = RtmpdumpLink::new();
    let stream = Stream::recorded(Clip::sample()).paced(Pace::Speed(2.0));
    let server = Server::start(Config::serving(stream));
    let finished = run_yt_dlp(&yt_dlp, &ours, &["-o", "clip.flv", &server.url("clip")]).succeeded();
    let stdout = String::from_utf8_lossy(&finished.stdout);
    assert!(stdout.contains("% of"), "no progress in {stdout}");
    assert!(
        finished.stderr.contains("rtmpdump 2.4"),
        "yt-dlp does not recognize the version: {finished}"
    );
    assert_same_media(&Clip::read(&ours.file("clip.flv")), &Clip::sample());
}

#[test]
fn yt_dlp_downloads_from_nginx() {
    let (yt_dlp, nginx) = (require!(YtDlp::find()), require!(Nginx::find()));
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let instance = nginx.start(&[&source]);
    let ours = RtmpdumpLink::new();
    let url = instance.url("vod", "avc_aac.flv");
    run_yt_dlp(&yt_dlp, &ours, &["-o", "clip.flv", &url]).succeeded();
    assert_same_media(&Clip::read(&ours.file("clip.flv")), &Clip::read(&source));
}

/// yt-dlp runs rtmpdump again with `--resume --skip 1` as long as the file grows.
#[test]
fn yt_dlp_resumes_a_cut_download() {
    let yt_dlp = require!(YtDlp::find());
    let stream = Stream::recorded_sample();
    let config = Config::serving(stream.seeking(Seeking {
        restarts_clock: true,
        ..Seeking::default()
    }));
    let server = Server::start(Config {
        faulty_connections: 1,
        ..config.with_fault(FaultPoint::Byte(33_333), FaultAction::Fin)
    });
    let ours = RtmpdumpLink::new();
    let finished = run_yt_dlp(&yt_dlp, &ours, &["-o", "clip.flv", &server.url("clip")]).succeeded();
    let clients = server.clients();
    let plays = clients.iter().filter_map(|client| client.command("play"));
    let starts: Vec<_> = plays.map(|play| play.values[2].as_number()).collect();
    assert_eq!(starts, [Some(0.0), Some(1000.0)], "{finished}");
    assert_same_media(&Clip::read(&ours.file("clip.flv")), &Clip::sample());
}

/// nginx-rtmp compares the complete app name and closes the connection for an unknown app.
#[test]
fn nginx_app_is_found_by_trying_candidates() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let instance = nginx.start(&[&source]);
    let ours = RtmpdumpLink::new();
    let url = instance.url("vod", "./avc_aac.flv");
    let finished = ours.run(&["-r", &url, "-o", "clip.flv"]).succeeded();
    let line = "does not have \"avc_aac\" in app \"vod/.\", trying \"./avc_aac\" in app \"vod\"";
    assert!(finished.stderr.contains(line), "{finished}");
    assert_same_media(&Clip::read(&ours.file("clip.flv")), &Clip::read(&source));
}

#[test]
fn yt_dlp_records_a_live_stream() {
    let yt_dlp = require!(YtDlp::find());
    let ours = RtmpdumpLink::new();
    let stream = Stream::live(Clip::sample()).paced(Pace::Speed(4.0));
    let server = Server::start(Config::serving(stream));
    let info = serde_json::json!({
        "id": "camera",
        "title": "camera",
        "url": server.url("nothing"),
        "play_path": "clip",
        "page_url": "http://page.example/",
        "rtmp_conn": ["S:a b", "O:1", "NN:n:1", "O:0"],
        "flash_version": "LNX 1",
        "rtmp_live": true,
        "rtmp_real_time": true,
        "protocol": "rtmp",
        "ext": "flv",
        "extractor": "test",
        "extractor_key": "Test",
        "webpage_url": "http://page.example/",
    });
    fs::write(ours.file("camera.json"), info.to_string()).expect("the file can be written");
    let arguments = ["--load-info-json", "camera.json", "-o", "camera.flv"];
    run_yt_dlp(&yt_dlp, &ours, &arguments).succeeded();
    assert_same_media(&Clip::read(&ours.file("camera.flv")), &Clip::sample());
    let client = server.only_client();
    let connect = client.command("connect").expect("the client sends connect");
    let member = |name| connect.values[0].member(name).cloned();
    assert_eq!(member("pageUrl"), Some("http://page.example/".into()));
    assert_eq!(member("flashVer"), Some("LNX 1".into()));
    assert_eq!(connect.values.len(), 3);
    let play = client.command("play").expect("the stream plays");
    assert_eq!(play.values[1..3], ["clip".into(), Value::Number(-1000.0)]);
}

#[test]
fn yt_dlp_reports_a_refused_download() {
    let yt_dlp = require!(YtDlp::find());
    let ours = RtmpdumpLink::new();
    let server = Server::start(Config::default());
    let finished = run_yt_dlp(&yt_dlp, &ours, &["-o", "clip.flv", &server.url("clip")]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert!(
        finished.stderr.contains("rtmpdump exited with code 1"),
        "{finished}"
    );
    // yt-dlp runs rtmpdump again as long as the file grows, here once.
    assert_eq!(server.clients().len(), 2);

    let url = "rtmp://127.0.0.1:1/app/clip";
    let finished = run_yt_dlp(&yt_dlp, &ours, &["-o", "other.flv", url]);
    assert!(
        finished.stderr.contains("Could not connect to RTMP server"),
        "{finished}"
    );
}

/// streamlink up to 2.4 parses this property to find the redirect target.
#[test]
fn verbose_prints_the_redirect_property() {
    let server = Server::start(Config {
        connect: OnConnect::RedirectInError {
            redirect: "rtmp://127.0.0.1:1/app?token=abc".into(),
        },
        ..Config::default()
    });
    let ours = RtmpdumpLink::new();
    let url = server.url("clip");
    let finished = ours.run(&["--flv", "-", "--rtmp", &url, "--verbose"]);
    let line =
        "DEBUG: Property: <Name:           redirect, STRING:\trtmp://127.0.0.1:1/app?token=abc>";
    assert!(
        finished.stderr.lines().any(|printed| printed == line),
        "{finished}"
    );
    assert_eq!(finished.stderr.matches("abc").count(), 1, "{finished}");
}

#[test]
fn commands_match_rtmpdump() {
    let rtmpdump = require!(Rtmpdump::find());
    let cases: [&[&str]; 6] = [
        &[],
        &["--live"],
        &["--live", "-d", "other", "-B", "60"],
        &["-A", "1", "-B", "2"],
        &["-Y", "-j", "{\"token\":\"x\"}", "-R", "-b", "5000"],
        &[
            "-u",
            "letmein",
            "-C",
            "B:1",
            "-C",
            "O:1",
            "-C",
            "NN:a:1.5",
            "-C",
            "NO:b:1",
            "-C",
            "NS:c:d:e",
            "-C",
            "O:0",
            "-C",
            "O:0",
            "-C",
            "Z:",
            "-s",
            "http://h/p.swf",
            "-p",
            "http://h/",
            "-f",
            "WIN 10,0,12,36",
            "-t",
            "rtmp://other/app",
        ],
    ];
    for options in cases {
        let (theirs, ours) = (
            commands_of_rtmpdump(&rtmpdump, options),
            commands_of_rtmpull(options),
        );
        let names = |commands: &[Command]| -> Vec<String> {
            commands
                .iter()
                .map(|command| command.name.clone())
                .collect()
        };
        assert_eq!(names(&ours), names(&theirs), "{options:?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.values, theirs.values, "{} with {options:?}", ours.name);
            assert_eq!(ours.stream, theirs.stream, "{} with {options:?}", ours.name);
        }
    }
}

/// Returns the commands that both programs must send in this order. `_checkbw` is excluded because
/// the server decides when to request it, and `deleteStream` because a client may omit it after a
/// final status.
fn comparable_commands(server: &Server) -> Vec<Command> {
    let port = server.port().to_string();
    let client = server.only_client();
    let commands = client.commands.into_iter();
    commands
        .filter(|command| !["_checkbw", "deleteStream"].contains(&command.name.as_str()))
        .map(|mut command| {
            command.values = command
                .values
                .iter()
                .map(|value| comparable_value(value, &port))
                .collect();
            command
        })
        .collect()
}

/// Replaces the port, which differs between servers, in values such as tcUrl.
fn comparable_value(value: &Value, port: &str) -> Value {
    match value {
        Value::String(text) => text.to_string().replace(port, "PORT").as_str().into(),
        // The only documented difference: rtmpull announces every codec with a number.
        Value::Number(RTMPULL_AUDIO_CODECS) => Value::Number(RTMPDUMP_AUDIO_CODECS),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.to_string(), comparable_value(value, port)))
            .collect::<rtmpull::core::amf::Object>()
            .into(),
        value => value.clone(),
    }
}

fn commands_of_rtmpdump(rtmpdump: &Rtmpdump, options: &[&str]) -> Vec<Command> {
    let server = start_stream_server(options);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let player = rtmpdump.play(&server.url("clip"), &folder.path().join("f"), options);
    player.finish(LIMIT);
    comparable_commands(&server)
}

fn commands_of_rtmpull(options: &[&str]) -> Vec<Command> {
    let server = start_stream_server(options);
    let url = server.url("clip");
    let common = ["-r", &url, "-m", "5", "-o", "f"];
    RtmpdumpLink::new().run(&[&common, options].concat());
    comparable_commands(&server)
}

fn start_stream_server(options: &[&str]) -> Server {
    let clip = Clip::sample();
    let stream = if options.contains(&"--live") {
        Stream::live(clip).paced(Pace::Speed(20.0))
    } else {
        Stream::recorded(clip).paced(Pace::Unbounded)
    };
    Server::start(Config::serving(stream))
}

fn run_yt_dlp(yt_dlp: &YtDlp, ours: &RtmpdumpLink, arguments: &[&str]) -> Finished {
    let folder = ours.file("");
    let folder: &Path = folder.as_ref();
    yt_dlp.start(folder, &ours.bin(), arguments).finish(LIMIT)
}

/// `audioCodecs` in `connect`.
const RTMPULL_AUDIO_CODECS: f64 = 4071.0;
const RTMPDUMP_AUDIO_CODECS: f64 = 3191.0;
