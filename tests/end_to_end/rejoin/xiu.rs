//! Live recordings from xiu, the server whose installation takes long: only `.ci/long` runs these tests.

use std::{thread, time::Duration};

use super::sources::{
    PUBLISH_LIMIT,
    Source::{First, Long, OtherLong},
    Sources,
    Span::{Excerpt, Start, WithoutEnd},
};
use crate::{
    peers::{self, ffmpeg::Ffmpeg, require, xiu::Xiu},
    program,
    server::{CutConnection, FaultAction},
};

#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_starts_with_the_cached_frames() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let _publisher = sources.publish(Long, &url);
    server.wait_for_publisher("clip");
    thread::sleep(Duration::from_secs(1));
    let mut running = program::start(&url, &["-v"]);
    running.wait_for_bytes(200_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Start(Long)], 0);
}

/// xiu resets the connection without a status, and closes that of each later player after Play.Start. A reset
/// discards the frames that the system has not sent yet: those of the last 40 ms, because xiu leaves Nagle's
/// algorithm on.
#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_ends_as_unpublished_with_all_frames_sent() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let publisher = sources.publish(First, &url);
    server.wait_for_publisher("clip");
    let running = program::start(&url, &["-v", "--retry", "2"]);
    publisher.finish(PUBLISH_LIMIT).succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[WithoutEnd(First, LOST_FRAMES)], 0);
}

#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_continues_when_a_publisher_returns() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let first = sources.publish(Long, &url);
    server.wait_for_publisher("clip");
    let mut running = program::start(&url, &["-v", "--retry", "forever"]);
    running.wait_for_bytes(50_000);
    first.kill();
    thread::sleep(Duration::from_secs(2));
    let _second = sources.publish(OtherLong, &url);
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long), Excerpt(OtherLong)], 1);
}

/// The cache of xiu covers the time between two polls.
#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_waits_for_a_publisher_that_starts_late() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let mut running = program::start(&url, &["-v", "--wait"]);
    server.wait_for_player("clip");
    let _publisher = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Start(Long)], 0);
}

#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_is_rejoined_without_a_gap_within_the_cache() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let _publisher = sources.publish(Long, &server.url("clip"));
    server.wait_for_publisher("clip");
    let cuts = vec![(60_000, FaultAction::Fin), (90_007, FaultAction::Rst)];
    let connection = CutConnection::start(server.port(), cuts);
    let options = ["-v", "-a", "live", "-y", "clip"];
    let mut running = program::start(&connection.url("clip"), &options);
    while connection.relayed().len() < 2 {
        assert!(
            running.process.is_running(),
            "{}",
            running.finish().finished
        );
        thread::sleep(Duration::from_millis(10));
    }
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long)], 0);
}

#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_survives_a_killed_server() {
    let ffmpeg = require!(Ffmpeg::find());
    let mut server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let first = sources.publish(Long, &url);
    server.wait_for_publisher("clip");
    let mut running = program::start(&url, &["-v", "--retry", "forever"]);
    running.wait_for_bytes(50_000);
    server.kill_and_restart();
    first.kill();
    let _second = sources.publish(OtherLong, &url);
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long), Excerpt(OtherLong)], 1);
}

/// xiu discards a publisher from which it has read nothing for two seconds, so another one follows.
#[test]
#[ignore = "needs xiu: see .ci/long"]
fn xiu_recording_survives_a_stopped_server() {
    let ffmpeg = require!(Ffmpeg::find());
    let server = require!(Xiu::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let url = server.url("clip");
    let first = sources.publish(Long, &url);
    server.wait_for_publisher("clip");
    let mut running = program::start(&url, &["-v", "-m", "2", "--retry", "forever"]);
    running.wait_for_bytes(50_000);
    let clients = peers::connected_clients(server.port());
    server.signal("STOP");
    peers::wait_for_disconnect(server.port(), &clients);
    server.signal("CONT");
    first.kill();
    server.wait_for_departure("clip");
    let _second = sources.publish(OtherLong, &url);
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_spans(&download, &[Excerpt(Long), Excerpt(OtherLong)], 1);
}

/// Frames of a track that xiu loses if the publisher leaves, with a margin for a busy machine.
const LOST_FRAMES: usize = 8;
