//! Downloads from real servers: every packet of the source arrives in order and unchanged.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    fixtures,
    peers::{
        ffmpeg::Ffmpeg,
        nginx::{self, Nginx},
        node_media_server::NodeMediaServer,
        require,
    },
    program::{self, Download, download},
    verify::{self, Media},
};

#[test]
fn nginx_plays_h264_and_aac() {
    assert_nginx_plays(fixtures::avc_aac_flv);
}

#[test]
fn nginx_plays_audio_only_mp3() {
    assert_nginx_plays(fixtures::mp3_flv);
}

#[test]
fn nginx_plays_sorenson_h263_and_mp3() {
    assert_nginx_plays(fixtures::h263_mp3_flv);
}

/// nginx-rtmp does not send the last audio packets of an MP4 and ignores its edit list. The
/// expected times are therefore those of ffmpeg playing the same URL.
#[test]
fn nginx_plays_an_mp4() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::avc_aac_mp4(&ffmpeg);
    let server = nginx.start(&[&source]);
    let url = server.url("vod", "avc_aac.mp4");
    let download = download(&url, &[]);
    download.assert_ended(0, "ended");
    let ours = Media::read(&ffmpeg, &download.file());
    ours.assert_start_of(&Media::read(&ffmpeg, &source), 3);
    ours.assert_equals(&Media::read(&ffmpeg, url.as_ref()));
    verify::assert_ffprobe_accepts(&download.file());
}

#[test]
fn missing_file_on_nginx_is_not_found() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let download = download(&server.url("vod", "nothing.flv"), &[]);
    download.assert_ended(1, "not-found");
    assert!(!download.file().exists());
}

/// nginx-rtmp seeks only in files with a keyframe index, and sends sequence headers only to players
/// that start at 0.
#[test]
fn nginx_plays_from_a_start_time_with_sequence_headers() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::live_flv(&ffmpeg, false, 30);
    let server = nginx.start(&[&source]);
    let url = server.url("vod", "live_30.flv");
    let unindexed = download(&url, &["-A", "20"]);
    unindexed.assert_ended(2, "cut");
    let stderr = &unindexed.finished.stderr;
    assert!(stderr.contains("the server ignored --start"), "{stderr}");

    let indexed = download(&url, &[]);
    let server = nginx.start(&[&indexed.file()]);
    let part = download(&server.url("vod", "out.flv"), &["-A", "20"]);
    part.assert_ended(0, "ended");
    let ours = Media::read(&ffmpeg, &part.file());
    ours.assert_tail_of(&Media::read(&ffmpeg, &source));
    assert!(ours.video.packets.len() >= 250, "ten seconds");
    ffmpeg.assert_plays(&part.file());
}

/// nginx-rtmp sends Play.Start and then nothing for an unpublished stream.
#[test]
fn unpublished_stream_on_nginx_stalls() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let download = download(&server.url("live", "unpublished"), &["-v", "-m", "1"]);
    download.assert_ended(1, "stalled");
    assert!(!download.file().exists());
}

/// With `idle_streams off`, nginx-rtmp reports a missing stream.
#[test]
fn unpublished_stream_on_nginx_without_idle_streams_is_not_found() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let download = download(&server.url("notify", "unpublished"), &["-v"]);
    download.assert_ended(1, "not-found");
}

/// nginx-rtmp closes the connection without an answer for an unknown application.
#[test]
fn unknown_application_on_nginx_is_cut() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let download = download(&server.url("nothing", "clip"), &["-v"]);
    download.assert_ended(1, "cut");
}

/// nginx-rtmp only sends Stream EOF when the publisher leaves.
#[test]
fn nginx_relays_a_live_stream() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let server = nginx.start(&[]);
    let url = server.url("live", "clip");
    let running = program::start(&url, &["-v", "-V", "--republish-wait", "1"]);
    server.wait_for_log("play: name='clip'");
    ffmpeg
        .publish(&source, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    Media::read(&ffmpeg, &download.file()).assert_equals(&Media::read(&ffmpeg, &source));
    verify::assert_ffprobe_accepts(&download.file());
}

#[test]
fn nginx_relays_a_live_stream_to_a_late_joiner() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    join_late(&ffmpeg, &nginx.start(&[]), "live").assert_ended(0, "unpublished");
}

/// With `publish_notify` and `play_restart`, nginx-rtmp reports the end of the publisher.
#[test]
fn nginx_relays_a_live_stream_with_publish_notify() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    join_late(&ffmpeg, &nginx.start(&[]), "notify").assert_ended(0, "unpublished");
}

/// Node-Media-Server uses message stream 0, keeps `@setDataFrame`, and sends nothing at the end.
#[test]
fn node_media_server_relays_a_live_stream() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(NodeMediaServer::find()).start();
    assert_relayed(
        &ffmpeg,
        &server.url("clip"),
        &fixtures::avc_aac_flv(&ffmpeg),
    );
}

/// Node-Media-Server 4 reports neither that a publisher left nor that a stream has none.
#[test]
fn silent_node_media_server_without_a_publisher_ends_as_unpublished() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(NodeMediaServer::find()).start();
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let url = server.url("clip");
    let publisher = ffmpeg.publish(&source, &url);
    thread::sleep(Duration::from_millis(600));
    let download = download(&url, &["-v", "-m", "3"]);
    download.assert_ended(0, "unpublished");
    publisher.finish(PUBLISH_LIMIT).succeeded();
    Media::read(&ffmpeg, &download.file()).assert_tail_of(&Media::read(&ffmpeg, &source));
}

#[test]
fn node_media_server_relays_enhanced_codecs() {
    let recent = require!(Ffmpeg::find_recent());
    let server = require!(NodeMediaServer::find()).start();
    let sources = [
        ("hevc", fixtures::hevc_aac_flv(&recent)),
        ("av1", fixtures::av1_opus_flv(&recent)),
    ];
    thread::scope(|scope| {
        for (name, source) in &sources {
            scope.spawn(|| assert_relayed(&recent, &server.url(name), source));
        }
    });
}

/// ffmpeg as a server ends with FCUnpublish and no status.
#[test]
fn ffmpeg_serves_a_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let (server, url) = ffmpeg.listen(&source);
    let download = download(&url, &[]);
    download.assert_ended(0, "unpublished");
    verify::assert_complete_copy(&ffmpeg, &source, &download.file());
    server.finish(PUBLISH_LIMIT);
}

/// With a large announced buffer, nginx-rtmp drops what its queue cannot hold.
#[test]
fn nginx_plays_a_600_mb_file_completely() {
    assert_nginx_plays(fixtures::big_flv);
}

fn assert_nginx_plays(fixture: impl Fn(&Ffmpeg) -> PathBuf) {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixture(&ffmpeg);
    let name = source
        .file_name()
        .and_then(|name| name.to_str())
        .expect("the path is UTF-8");
    let server = nginx.start(&[&source]);
    let download = download(&server.url("vod", name), &[]);
    download.assert_ended(0, "ended");
    verify::assert_complete_copy(&ffmpeg, &source, &download.file());
}

/// Joins after the publisher has started and interrupts the publisher after some media.
#[track_caller]
fn join_late(ffmpeg: &Ffmpeg, server: &nginx::Instance, application: &str) -> Download {
    let source = fixtures::live_flv(ffmpeg, false, 120);
    let url = server.url(application, "clip");
    let publisher = ffmpeg.publish(&source, &url);
    server.wait_for_log("publish: name='clip'");
    thread::sleep(Duration::from_millis(600));
    let mut running = program::start(&url, &["-v", "--republish-wait", "1"]);
    running.wait_for_bytes(100_000);
    publisher.signal("INT");
    publisher.finish(PUBLISH_LIMIT);
    let download = running.finish();
    Media::read(ffmpeg, &download.file()).assert_excerpt_of(&Media::read(ffmpeg, &source));
    verify::assert_ffprobe_accepts(&download.file());
    download
}

/// Joins a stream whose end the server does not report.
#[track_caller]
fn assert_relayed(ffmpeg: &Ffmpeg, url: &str, source: &Path) {
    let publisher = ffmpeg.publish(source, url);
    thread::sleep(Duration::from_millis(600));
    let download = download(url, &["-v", "-m", "4", "--retry", "0"]);
    download.assert_ended(2, "stalled");
    publisher.finish(PUBLISH_LIMIT).succeeded();
    Media::read(ffmpeg, &download.file()).assert_tail_of(&Media::read(ffmpeg, source));
}

/// Time limit to publish a clip at twice its speed.
const PUBLISH_LIMIT: Duration = Duration::from_secs(20);
