//! Live recordings from real servers whose publishers leave and return, and that are killed,
//! stopped or still without a stream.

use std::{thread, time::Duration};

use super::sources::{
    PUBLISH_LIMIT,
    Source::{First, Long, OtherLong, Second},
    Sources,
    Span::{Complete, End, Excerpt},
};
use crate::{
    parallel,
    peers::{
        self,
        ffmpeg::Ffmpeg,
        nginx::{self, Nginx},
        node_media_server::{self, NodeMediaServer},
        require,
    },
    program::{self, Running},
    server::{CutConnection, FaultAction},
};

#[test]
fn recordings_follow_publishers_that_leave_and_return() {
    let ffmpeg = require!(Ffmpeg::find());
    let nginx = require!(Nginx::find()).start(&[]);
    let node = require!(NodeMediaServer::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let cases: [&(dyn Fn() + Sync); 7] = [
        &|| publisher_leaves(&sources, &nginx),
        &|| publisher_returns_to_nginx(&sources, &nginx),
        &|| publisher_returns_to_node_media_server(&sources, &node),
        &|| second_session_is_appended(&sources, &nginx),
        &|| publisher_starts_late_on_nginx(&sources, &nginx, "live"),
        &|| publisher_starts_late_on_nginx(&sources, &nginx, "notify"),
        &|| publisher_starts_late_on_node_media_server(&sources, &node),
    ];
    parallel::for_each(cases, |case| case());
}

#[test]
fn recordings_survive_killed_and_stopped_servers() {
    let ffmpeg = require!(Ffmpeg::find());
    let nginx = require!(Nginx::find());
    require!(NodeMediaServer::find());
    let node = || {
        NodeMediaServer::find()
            .expect("Node-Media-Server is installed")
            .start()
    };
    let sources = Sources::encode(&ffmpeg);
    let cases: [&(dyn Fn() + Sync); 4] = [
        &|| recording_survives_killed_nginx(&sources, nginx.start(&[])),
        &|| recording_survives_killed_node_media_server(&sources, node()),
        &|| recording_survives_stopped_nginx(&sources, &nginx.start(&[])),
        &|| recording_survives_stopped_node_media_server(&sources, &node()),
    ];
    parallel::for_each(cases, |case| case());
}

/// ffmpeg serves one client and then ends, so each publisher is a server of its own.
#[test]
fn recordings_from_listening_ffmpeg_hold_every_frame() {
    let ffmpeg = require!(Ffmpeg::find());
    let sources = Sources::encode(&ffmpeg);
    let cases: [&(dyn Fn() + Sync); 3] = [
        &|| listening_ffmpeg_starts_late(&sources),
        &|| listening_ffmpeg_is_appended(&sources),
        &|| listening_ffmpeg_is_rejoined(&sources),
    ];
    parallel::for_each(cases, |case| case());
}

/// The port refuses connections until ffmpeg starts.
fn listening_ffmpeg_starts_late(sources: &Sources<'_>) {
    let port = peers::free_port();
    let running = program::start(&Ffmpeg::listen_url(port), &["-v", "--wait"]);
    thread::sleep(Duration::from_secs(1));
    let _server = sources.listen_on(port, First);
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Complete(First)], 0);
}

fn listening_ffmpeg_is_appended(sources: &Sources<'_>) {
    let port = peers::free_port();
    let url = Ffmpeg::listen_url(port);
    let first = sources.listen_on(port, First);
    let download = program::download(&url, &["-v"]);
    download.assert_ended(0, "unpublished");
    first.finish(PUBLISH_LIMIT);
    let _second = sources.listen_on(port, Second);
    let download = download.start_again(&url, &["-v", "--append"]).finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Complete(First), Complete(Second)], 1);
}

/// The first server ends with its connection.
fn listening_ffmpeg_is_rejoined(sources: &Sources<'_>) {
    let port = peers::free_port();
    let first = sources.listen_on(port, Long);
    let connection = CutConnection::start(port, vec![(60_000, FaultAction::Rst)]);
    let options = ["-v", "--retry", "forever", "-a", "listen", "-y", "clip"];
    let running = program::start(&connection.url("clip"), &options);
    while connection.relayed().is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    first.kill();
    let _second = sources.listen_on(port, Second);
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Excerpt(Long), Complete(Second)], 1);
}

fn publisher_leaves(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "leaves");
    let options = ["-v", "-m", "60", "--republish-wait", "1"];
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='leaves'");
    sources
        .publish(First, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Complete(First)], 0);
}

/// The clock restarts at 0.
fn publisher_returns_to_nginx(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "returns");
    let options = ["-v", "-m", "60", "--republish-wait", "60"];
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='returns'");
    sources
        .publish(First, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    sources
        .publish(Second, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = sources.interrupt_after(Second, running);
    sources.assert_spans(&download, &[Complete(First), Complete(Second)], 1);
}

/// Node-Media-Server sends nothing when a publisher leaves, and continues the clock of each track
/// separately.
fn publisher_returns_to_node_media_server(
    sources: &Sources<'_>,
    server: &node_media_server::Instance,
) {
    let url = server.url("returns");
    let mut running = program::start(&url, &["-v", "-m", "60", "--retry", "0"]);
    sources
        .publish(First, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    // A late player receives the last second.
    running.wait_for_bytes(5_000);
    sources
        .publish(Second, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = sources.interrupt_after(Second, running);
    sources.assert_spans(&download, &[End(First), Complete(Second)], 0);
}

fn second_session_is_appended(sources: &Sources<'_>, server: &nginx::Instance) {
    let options = ["-v", "-m", "60", "--republish-wait", "0"];
    let url = server.url("live", "first");
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='first'");
    sources
        .publish(First, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");

    let url = server.url("live", "second");
    let running = download.start_again(&url, &[&options[..], &["--live", "--append"]].concat());
    server.wait_for_log("play: name='second'");
    sources
        .publish(Second, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Complete(First), Complete(Second)], 1);
}

/// Application `live` is silent until a publisher starts; `notify` reports a missing stream.
fn publisher_starts_late_on_nginx(
    sources: &Sources<'_>,
    server: &nginx::Instance,
    application: &str,
) {
    let name = format!("{application}-later");
    let url = server.url(application, &name);
    let options = ["-v", "--wait", "-m", "60", "--republish-wait", "1"];
    let mut running = program::start(&url, &options);
    server.wait_for_log(&format!("play: name='{name}'"));
    let publisher = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    publisher.kill();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Excerpt(Long)], 0);
}

fn publisher_starts_late_on_node_media_server(
    sources: &Sources<'_>,
    server: &node_media_server::Instance,
) {
    let url = server.url("later");
    let mut running = program::start(&url, &["-v", "--wait", "-m", "60"]);
    while peers::connected_clients(server.port()).is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    let _publisher = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long)], 0);
}

fn recording_survives_killed_nginx(sources: &Sources<'_>, mut server: nginx::Instance) {
    let url = server.url("live", "clip");
    let retry_options = ["--republish-wait", "1", "--retry", "forever"];
    let mut running = program::start(&url, &[&["-v", "-m", "60"][..], &retry_options].concat());
    server.wait_for_log("play: name='clip'");
    let first = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    server.kill_and_restart();
    first.kill();
    server.wait_for_log("play: name='clip'");
    sources
        .publish(Second, &url)
        .finish(PUBLISH_LIMIT)
        .succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Excerpt(Long), Complete(Second)], 1);
}

fn recording_survives_killed_node_media_server(
    sources: &Sources<'_>,
    mut server: node_media_server::Instance,
) {
    let url = server.url("clip");
    let options = ["-v", "-m", "60", "--retry", "forever"];
    let mut running = program::start(&url, &options);
    let first = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    server.kill_and_restart();
    first.kill();
    let _second = sources.publish(OtherLong, &url);
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long), Excerpt(OtherLong)], 1);
}

fn recording_survives_stopped_nginx(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "clip");
    let mut running = program::start(&url, &STALL_OPTIONS);
    server.wait_for_log("play: name='clip'");
    let publisher = sources.publish(Long, &url);
    stop_and_continue(&mut running, server.port(), |name| server.signal(name));
    publisher.kill();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_gaps_reported(&download);
}

fn recording_survives_stopped_node_media_server(
    sources: &Sources<'_>,
    server: &node_media_server::Instance,
) {
    let url = server.url("clip");
    let mut running = program::start(&url, &STALL_OPTIONS);
    let _publisher = sources.publish(Long, &url);
    stop_and_continue(&mut running, server.port(), |name| server.signal(name));
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_gaps_reported(&download);
}

/// Stops a server for longer than the media timeout.
fn stop_and_continue(running: &mut Running, port: u16, signal: impl Fn(&str)) {
    running.wait_for_bytes(50_000);
    let clients = peers::connected_clients(port);
    signal("STOP");
    peers::wait_for_disconnect(port, &clients);
    signal("CONT");
    running.wait_for_more(50_000);
}

/// Short media timeout and unlimited attempts.
const STALL_OPTIONS: [&str; 7] = [
    "-v",
    "-m",
    "2",
    "--retry",
    "forever",
    "--republish-wait",
    "1",
];
