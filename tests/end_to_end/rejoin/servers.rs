//! Live recordings from real servers whose publishers leave and return, and that are killed,
//! stopped or still without a stream.

use std::{collections::HashMap, fs, path::Path, thread, time::Duration};

use crate::{
    fixtures, parallel,
    peers::{
        self,
        ffmpeg::Ffmpeg,
        nginx::{self, Nginx},
        node_media_server::{self, NodeMediaServer},
        require,
    },
    process::Process,
    program::{self, Download, Running},
    server::{Clip, Tag},
    verify,
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

/// Published clip, sent at twice its speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    First,
    Second,
    /// Two minutes of media, published in one minute.
    Long,
    OtherLong,
}
use Source::{First, Long, OtherLong, Second};

/// Contiguous frames of a source that a recording contains.
#[derive(Debug, Clone, Copy)]
enum Span {
    Complete(Source),
    End(Source),
    Excerpt(Source),
}
use Span::{Complete, End, Excerpt};

struct Sources<'a> {
    ffmpeg: &'a Ffmpeg,
    files: HashMap<Source, (std::path::PathBuf, Clip)>,
}

impl<'a> Sources<'a> {
    fn encode(ffmpeg: &'a Ffmpeg) -> Self {
        let of = |source, is_mirrored, seconds| {
            let file = fixtures::live_flv(ffmpeg, is_mirrored, seconds);
            let clip = Clip::read(&file);
            (source, (file, clip))
        };
        Self {
            ffmpeg,
            files: HashMap::from([
                of(First, false, 3),
                of(Second, true, 3),
                of(Long, false, 120),
                of(OtherLong, true, 120),
            ]),
        }
    }

    fn publish(&self, source: Source, url: &str) -> Process {
        self.ffmpeg.publish(&self.files[&source].0, url)
    }

    fn frame_bodies(&self, source: Source, kind: u8) -> Vec<&[u8]> {
        frame_bodies(&self.files[&source].1, kind)
    }

    /// Interrupts a recording after it has written the last frames of `source`.
    #[track_caller]
    fn interrupt_after(&self, source: Source, mut running: Running) -> Download {
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let last = self.frame_bodies(source, kind).pop().expect("a frame");
            while !ends_with(&running.file(), last) {
                assert!(
                    running.process.is_running(),
                    "{}",
                    running.finish().finished
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
        let download = running.interrupt();
        download.assert_ended(0, "interrupted");
        download
    }

    /// Panics unless the file consists of `spans`, its timestamps never decrease, and it plays.
    #[track_caller]
    fn assert_spans(&self, download: &Download, spans: &[Span], gaps: usize) {
        let stderr = &download.finished.stderr;
        assert_eq!(stderr.matches("WARNING: gap of").count(), gaps, "{stderr}");
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let frame_bodies = frame_bodies(&clip, kind);
            let mut rest = &frame_bodies[..];
            for (index, span) in spans.iter().enumerate() {
                let (Complete(source) | End(source) | Excerpt(source)) = *span;
                let expected = self.frame_bodies(source, kind);
                let from = match span {
                    Complete(_) => Some(0),
                    End(_) | Excerpt(_) => index_of(rest.first().copied(), &expected),
                };
                let from = from.unwrap_or_else(|| panic!("{kind}, {span:?} is missing: {stderr}"));
                let expected = &expected[from..];
                let same = rest
                    .iter()
                    .zip(expected)
                    .take_while(|(a, b)| a == b)
                    .count();
                if !matches!(span, Excerpt(_)) {
                    assert_eq!(same, expected.len(), "{kind}, {span:?}, {index}: {stderr}");
                }
                rest = &rest[same..];
            }
            assert_eq!(
                rest.len(),
                0,
                "kind {kind} has more than {spans:?}: {stderr}"
            );
        }
        self.assert_plays(download);
    }

    /// Panics unless the number of reported gaps is positive and equals the number of gaps in the
    /// file.
    #[track_caller]
    fn assert_gaps_reported(&self, download: &Download) {
        let clip = download.clip();
        let source = self.frame_bodies(Long, Tag::VIDEO);
        let numbers: Vec<_> = frame_bodies(&clip, Tag::VIDEO)
            .into_iter()
            .map(|frame| index_of(Some(frame), &source).expect("a frame of the source"))
            .collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "each frame once and in order"
        );
        let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        let stderr = &download.finished.stderr;
        let gaps = stderr.matches("WARNING: gap of").count();
        assert!(gaps > 0, "{stderr}");
        assert_eq!(holes.count(), gaps, "{stderr}");
        self.assert_plays(download);
    }

    #[track_caller]
    fn assert_plays(&self, download: &Download) {
        let stderr = &download.finished.stderr;
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let times = clip.media().filter(|tag| tag.kind == kind);
            let times: Vec<_> = times.map(|tag| tag.timestamp_ms).collect();
            let back = times.windows(2).position(|pair| pair[1] < pair[0]);
            let near = back.map(|at| &times[at.saturating_sub(5)..times.len().min(at + 8)]);
            assert_eq!(near, None, "the clock of kind {kind} goes back: {stderr}");
        }
        verify::assert_ffprobe_accepts(&download.file());
        self.ffmpeg.assert_plays(&download.file());
    }
}

/// Returns the bodies of the frames, without sequence headers and end-of-sequence tags.
fn frame_bodies(clip: &Clip, kind: u8) -> Vec<&[u8]> {
    let tags = clip.media_with_content().filter(|tag| tag.kind == kind);
    let frame_bodies = tags.filter(|tag| !tag.is_sequence_header());
    frame_bodies.map(|tag| &tag.body[..]).collect()
}

fn index_of(frame: Option<&[u8]>, frame_bodies: &[&[u8]]) -> Option<usize> {
    frame_bodies.iter().position(|other| Some(*other) == frame)
}

/// Returns whether the last bytes of a growing file contain this frame.
fn ends_with(file: &Path, frame: &[u8]) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(20_000)..];
    tail.windows(frame.len()).any(|window| window == frame)
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

/// Time limit of a publisher.
const PUBLISH_LIMIT: Duration = Duration::from_secs(30);
