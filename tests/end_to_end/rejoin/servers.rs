//! Live recordings from servers that others wrote: publishers who leave and come back, servers that
//! are killed, stopped, or have nothing yet.

use std::{collections::HashMap, fs, path::Path, thread, time::Duration};

use crate::{
    downloads::at_once,
    fixtures,
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
    let sources = Sources::make(&ffmpeg);
    let cases: [&(dyn Fn() + Sync); 7] = [
        &|| one_leaves_for_good(&sources, &nginx),
        &|| one_comes_back_to_nginx(&sources, &nginx),
        &|| one_comes_back_to_node_media_server(&sources, &node),
        &|| another_session_is_appended(&sources, &nginx),
        &|| one_comes_later_to_nginx(&sources, &nginx, "live"),
        &|| one_comes_later_to_nginx(&sources, &nginx, "notify"),
        &|| one_comes_later_to_node_media_server(&sources, &node),
    ];
    at_once(cases, |case| case());
}

#[test]
fn recordings_survive_killed_and_stopped_servers() {
    let ffmpeg = require!(Ffmpeg::find());
    let nginx = require!(Nginx::find());
    require!(NodeMediaServer::find());
    let node = || NodeMediaServer::find().expect("it is there").start();
    let sources = Sources::make(&ffmpeg);
    let cases: [&(dyn Fn() + Sync); 4] = [
        &|| nginx_is_killed(&sources, nginx.start(&[])),
        &|| node_media_server_is_killed(&sources, node()),
        &|| nginx_is_stopped(&sources, &nginx.start(&[])),
        &|| node_media_server_is_stopped(&sources, &node()),
    ];
    at_once(cases, |case| case());
}

fn one_leaves_for_good(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "leaves");
    let options = ["-v", "-m", "60", "--republish-wait", "1"];
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='leaves'");
    sources.publish(First, &url).finish(SOON).succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_goes_on(&download, &[Whole(First)], 0);
}

/// Its clock begins at 0 again.
fn one_comes_back_to_nginx(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "returns");
    let options = ["-v", "-m", "60", "--republish-wait", "60"];
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='returns'");
    sources.publish(First, &url).finish(SOON).succeeded();
    sources.publish(Second, &url).finish(SOON).succeeded();
    let download = sources.interrupt_behind(Second, running);
    sources.assert_goes_on(&download, &[Whole(First), Whole(Second)], 1);
}

/// Which says nothing when a publisher leaves, and goes on with the clock of each track by itself.
fn one_comes_back_to_node_media_server(
    sources: &Sources<'_>,
    server: &node_media_server::Instance,
) {
    let url = server.url("returns");
    let mut running = program::start(&url, &["-v", "-m", "60", "--retry", "0"]);
    sources.publish(First, &url).finish(SOON).succeeded();
    // Whoever comes late gets the last second.
    running.wait_for_bytes(5_000);
    sources.publish(Second, &url).finish(SOON).succeeded();
    let download = sources.interrupt_behind(Second, running);
    sources.assert_goes_on(&download, &[End(First), Whole(Second)], 0);
}

fn another_session_is_appended(sources: &Sources<'_>, server: &nginx::Instance) {
    let options = ["-v", "-m", "60", "--republish-wait", "0"];
    let url = server.url("live", "first");
    let running = program::start(&url, &options);
    server.wait_for_log("play: name='first'");
    sources.publish(First, &url).finish(SOON).succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");

    let url = server.url("live", "second");
    let running = download.again(&url, &[&options[..], &["--live", "--append"]].concat());
    server.wait_for_log("play: name='second'");
    sources.publish(Second, &url).finish(SOON).succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_goes_on(&download, &[Whole(First), Whole(Second)], 1);
}

/// One application says nothing until somebody publishes, the other one that there is no such stream.
fn one_comes_later_to_nginx(sources: &Sources<'_>, server: &nginx::Instance, application: &str) {
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
    sources.assert_goes_on(&download, &[Part(Long)], 0);
}

fn one_comes_later_to_node_media_server(
    sources: &Sources<'_>,
    server: &node_media_server::Instance,
) {
    let url = server.url("later");
    let mut running = program::start(&url, &["-v", "--wait", "-m", "60"]);
    while peers::clients(server.port()).is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    let _publisher = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_goes_on(&download, &[Part(Long)], 0);
}

fn nginx_is_killed(sources: &Sources<'_>, mut server: nginx::Instance) {
    let url = server.url("live", "clip");
    let patience = ["--republish-wait", "1", "--retry", "forever"];
    let mut running = program::start(&url, &[&["-v", "-m", "60"][..], &patience].concat());
    server.wait_for_log("play: name='clip'");
    let first = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    server.die_and_come_back();
    first.kill();
    server.wait_for_log("play: name='clip'");
    sources.publish(Second, &url).finish(SOON).succeeded();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_goes_on(&download, &[Part(Long), Whole(Second)], 1);
}

fn node_media_server_is_killed(sources: &Sources<'_>, mut server: node_media_server::Instance) {
    let url = server.url("clip");
    let options = ["-v", "-m", "60", "--retry", "forever"];
    let mut running = program::start(&url, &options);
    let first = sources.publish(Long, &url);
    running.wait_for_bytes(50_000);
    server.die_and_come_back();
    first.kill();
    let _second = sources.publish(OtherLong, &url);
    running.wait_for_more(50_000);
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_goes_on(&download, &[Part(Long), Part(OtherLong)], 1);
}

fn nginx_is_stopped(sources: &Sources<'_>, server: &nginx::Instance) {
    let url = server.url("live", "clip");
    let mut running = program::start(&url, &STALLING);
    server.wait_for_log("play: name='clip'");
    let publisher = sources.publish(Long, &url);
    stop_and_continue(&mut running, server.port(), |name| server.signal(name));
    publisher.kill();
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_stalled(&download);
}

fn node_media_server_is_stopped(sources: &Sources<'_>, server: &node_media_server::Instance) {
    let url = server.url("clip");
    let mut running = program::start(&url, &STALLING);
    let _publisher = sources.publish(Long, &url);
    stop_and_continue(&mut running, server.port(), |name| server.signal(name));
    let download = running.interrupt();
    download.assert_ended(0, "interrupted");
    sources.assert_stalled(&download);
}

/// Stops a server for longer than silence may last.
fn stop_and_continue(running: &mut Running, port: u16, signal: impl Fn(&str)) {
    running.wait_for_bytes(50_000);
    let clients = peers::clients(port);
    signal("STOP");
    peers::wait_until_left(port, &clients);
    signal("CONT");
    running.wait_for_more(50_000);
}

/// What is published, at twice its speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    First,
    Second,
    /// A minute of it.
    Long,
    OtherLong,
}
use Source::{First, Long, OtherLong, Second};

/// How much of a source a recording has, without a hole.
#[derive(Debug, Clone, Copy)]
enum Span {
    Whole(Source),
    End(Source),
    Part(Source),
}
use Span::{End, Part, Whole};

struct Sources<'a> {
    ffmpeg: &'a Ffmpeg,
    files: HashMap<Source, (std::path::PathBuf, Clip)>,
}

impl<'a> Sources<'a> {
    fn make(ffmpeg: &'a Ffmpeg) -> Self {
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

    fn frames(&self, source: Source, kind: u8) -> Vec<&[u8]> {
        frames(&self.files[&source].1, kind)
    }

    /// Interrupts a recording once the last frames of `source` are written.
    #[track_caller]
    fn interrupt_behind(&self, source: Source, mut running: Running) -> Download {
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let last = self.frames(source, kind).pop().expect("a frame");
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

    /// Panics unless the file consists of `spans`, has a clock that never goes back, and plays.
    #[track_caller]
    fn assert_goes_on(&self, download: &Download, spans: &[Span], gaps: usize) {
        let told = &download.finished.stderr;
        assert_eq!(told.matches("WARNING: gap of").count(), gaps, "{told}");
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let frames = frames(&clip, kind);
            let mut left = &frames[..];
            for (index, span) in spans.iter().enumerate() {
                let (Whole(source) | End(source) | Part(source)) = *span;
                let expected = self.frames(source, kind);
                let from = match span {
                    Whole(_) => Some(0),
                    End(_) | Part(_) => place_of(left.first().copied(), &expected),
                };
                let from = from.unwrap_or_else(|| panic!("{kind}, {span:?} is missing: {told}"));
                let expected = &expected[from..];
                let same = left
                    .iter()
                    .zip(expected)
                    .take_while(|(a, b)| a == b)
                    .count();
                if !matches!(span, Part(_)) {
                    assert_eq!(same, expected.len(), "{kind}, {span:?}, {index}: {told}");
                }
                left = &left[same..];
            }
            assert_eq!(left.len(), 0, "more of {kind} than {spans:?}: {told}");
        }
        self.assert_plays(download);
    }

    /// Panics unless a hole was told, as often as there is one.
    #[track_caller]
    fn assert_stalled(&self, download: &Download) {
        let clip = download.clip();
        let source = self.frames(Long, Tag::VIDEO);
        let numbers: Vec<_> = frames(&clip, Tag::VIDEO)
            .into_iter()
            .map(|frame| place_of(Some(frame), &source).expect("a frame of the source"))
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "each once and in order");
        let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        let told = &download.finished.stderr;
        let gaps = told.matches("WARNING: gap of").count();
        assert!(gaps > 0, "{told}");
        assert_eq!(holes.count(), gaps, "{told}");
        self.assert_plays(download);
    }

    #[track_caller]
    fn assert_plays(&self, download: &Download) {
        let told = &download.finished.stderr;
        let clip = download.clip();
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let times = clip.media().filter(|tag| tag.kind == kind);
            let times: Vec<_> = times.map(|tag| tag.timestamp_ms).collect();
            let back = times.windows(2).position(|pair| pair[1] < pair[0]);
            let near = back.map(|at| &times[at.saturating_sub(5)..times.len().min(at + 8)]);
            assert_eq!(near, None, "the clock of kind {kind} goes back: {told}");
        }
        verify::assert_faultless(&download.file());
        self.ffmpeg.assert_plays(&download.file());
    }
}

/// The bodies of the frames; the mark of a track's end is none.
fn frames(clip: &Clip, kind: u8) -> Vec<&[u8]> {
    let tags = clip.media().filter(|tag| tag.kind == kind);
    let frames = tags.filter(|tag| !tag.is_sequence_header() && tag.body.len() > 5);
    frames.map(|tag| &tag.body[..]).collect()
}

fn place_of(frame: Option<&[u8]>, frames: &[&[u8]]) -> Option<usize> {
    frames.iter().position(|other| Some(*other) == frame)
}

/// Whether a file that is being written has this frame among its last.
fn ends_with(file: &Path, frame: &[u8]) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(20_000)..];
    tail.windows(frame.len()).any(|window| window == frame)
}

/// Silence is over soon, and whoever was lost comes back as long as it takes.
const STALLING: [&str; 7] = [
    "-v",
    "-m",
    "2",
    "--retry",
    "forever",
    "--republish-wait",
    "1",
];

/// More than any publisher takes.
const SOON: Duration = Duration::from_secs(30);
