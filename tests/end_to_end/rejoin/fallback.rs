//! Other sources take over, and the recording returns to the first one (`--fallback`).

use std::sync::Arc;

use super::unique_clip;
use crate::{
    program::{Download, download, start},
    server::{Broadcast, Clip, Config, FaultAction, FaultPoint, Listener, Server, Stream, Tag},
};

/// Returns a broadcast of `clip` at four times its speed.
fn broadcast(clip: &Clip) -> Arc<Broadcast> {
    Arc::new(Broadcast::new(clip.clone(), 4.0, true))
}

/// Serves `broadcast`. The first connection fails after `bytes`.
fn failing_once(broadcast: &Arc<Broadcast>, bytes: u64, then: FaultAction) -> Server {
    let config = Config::serving(Stream::broadcast(broadcast.clone()));
    Server::start(Config {
        faulty_connections: 1,
        ..config.with_fault(FaultPoint::Boundary(bytes), then)
    })
}

fn serve(broadcast: &Arc<Broadcast>) -> Server {
    Server::start(Config::serving(Stream::broadcast(broadcast.clone())))
}

/// Returns the URL of a server that does not run.
fn dead_url() -> String {
    let listener = Listener::start(|_, _| {}).expect("a loopback port is free");
    listener.url("rtmp", "clip")
}

/// Returns the same frames as another encoder would: the content differs.
fn other_encoder(clip: &Clip) -> Clip {
    let mut clip = clip.clone();
    for tag in &mut clip.tags {
        if !tag.is_sequence_header() {
            tag.body.push(0xEE);
        }
    }
    clip
}

/// Returns the numbers of the sources that took over, and whether each did so without a gap.
fn switches(download: &Download) -> Vec<(usize, bool)> {
    let lines = download.finished.stderr.lines();
    let switches = lines.filter_map(|line| line.split_once("continuing with source "));
    switches
        .map(|(_, rest)| {
            let number = rest.split(',').next().expect("a number");
            (
                number.parse().expect("a number"),
                rest.contains("without a gap"),
            )
        })
        .collect()
}

#[track_caller]
fn assert_times_ascend(clip: &Clip) {
    for kind in [Tag::AUDIO, Tag::VIDEO] {
        let times = clip.media().filter(|tag| tag.kind == kind);
        let times: Vec<u32> = times.map(|tag| tag.timestamp_ms).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}

#[test]
fn fallback_with_the_same_frames_takes_over_and_hands_back_without_a_gap() {
    let clip = unique_clip(600, 25);
    let broadcast = broadcast(&clip);
    let first = failing_once(&broadcast, 60_000, FaultAction::Fin);
    let second = serve(&broadcast);
    let fallback = ["--fallback", &second.url("clip"), "--fallback-return", "1s"];
    let download = download(
        &first.url("clip"),
        &[&["-v", "--live", "--retry", "0"], &fallback[..]].concat(),
    );
    download.assert_ended(0, "unpublished");
    let stderr = &download.finished.stderr;
    let switches = switches(&download);
    assert!(switches.starts_with(&[(2, true), (1, true)]), "{stderr}");
    assert!(download.clip().media().eq(clip.media()), "{stderr}");
    assert!(!stderr.contains("gap of"), "{stderr}");
}

#[test]
fn silent_source_is_replaced_and_used_again_from_a_keyframe_on() {
    let clip = unique_clip(1_000, 25);
    let other = other_encoder(&clip);
    let first = failing_once(&broadcast(&clip), 60_000, FaultAction::Silence);
    let second = serve(&broadcast(&other));
    let fallback = ["--fallback", &second.url("clip"), "--fallback-return", "1s"];
    let options = [
        &["-v", "--live", "--retry", "0", "--timeout", "1", "-B", "34"],
        &fallback[..],
    ]
    .concat();
    let download = download(&first.url("clip"), &options);
    download.assert_ended(0, "limit");
    let stderr = &download.finished.stderr;
    let switches = switches(&download);
    let numbers: Vec<usize> = switches.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 1], "{stderr}");
    let gaps = switches
        .iter()
        .filter(|(_, is_seamless)| !is_seamless)
        .count();
    assert_eq!(stderr.matches("WARNING: gap of").count(), gaps, "{stderr}");
    let written = download.clip();
    assert_times_ascend(&written);
    // Each source continues with a keyframe.
    let is_other = |tag: &Tag| tag.body.len() == 601;
    let pictures = written
        .media()
        .filter(|tag| tag.kind == Tag::VIDEO && !tag.is_sequence_header());
    let pictures: Vec<&Tag> = pictures.collect();
    let changes = pictures
        .windows(2)
        .filter(|pair| is_other(pair[0]) != is_other(pair[1]));
    let entries: Vec<bool> = changes.map(|pair| pair[1].is_keyframe()).collect();
    assert!(entries == [true, true], "{entries:?}");
}

#[test]
fn dead_sources_are_tried_in_turn_as_retry_allows() {
    let broadcast = broadcast(&unique_clip(600, 25));
    let first = serve(&broadcast);
    let second = dead_url();
    let options = ["-v", "--live", "--retry", "2", "--fallback", &second];
    let mut running = start(&first.url("clip"), &options);
    running.wait_for_bytes(60_000);
    drop(first);
    let download = running.finish();
    let stderr = &download.finished.stderr;
    assert!(
        stderr.contains("retry 1 of 2") && stderr.contains("retry 2 of 2"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("Connecting ...").count(), 6, "{stderr}");
}

#[test]
fn fallback_is_used_if_the_first_source_does_not_exist() {
    let clip = unique_clip(200, 25);
    let second = serve(&broadcast(&clip));
    let options = [
        "-v",
        "--live",
        "--retry",
        "0",
        "--fallback",
        &second.url("clip"),
    ];
    let download = download(&dead_url(), &options);
    download.assert_ended(0, "unpublished");
    assert!(download.clip().media().eq(clip.media()));
    assert_eq!(switches(&download), [(2, true)]);
}

/// Each connection to either source brings a few new frames and is then closed.
#[test]
fn sources_that_play_for_a_moment_replace_each_other_after_waits() {
    // Every frame is a keyframe, so that each connection continues the recording.
    let broadcast = broadcast(&unique_clip(4_000, 1));
    let failing = || {
        let config = Config::serving(Stream::broadcast(broadcast.clone()));
        Server::start(config.with_fault(FaultPoint::Boundary(6_000), FaultAction::Fin))
    };
    let (first, second) = (failing(), failing());
    let fallback = ["--fallback", &second.url("clip"), "--fallback-return", "0"];
    let options = [&["-v", "--live", "--retry", "3"], &fallback[..]].concat();
    let running = start(&first.url("clip"), &options);
    std::thread::sleep(std::time::Duration::from_secs(5));
    let download = running.interrupt();
    let stderr = &download.finished.stderr;
    assert!(!switches(&download).is_empty(), "{stderr}");
    let connections = first.clients().len() + second.clients().len();
    // Two for each wait of at least 0.75 s.
    assert!((4..=16).contains(&connections), "{connections}: {stderr}");
}
