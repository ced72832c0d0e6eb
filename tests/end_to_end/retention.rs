//! Old segments are deleted (`--keep`, `--keep-size`).

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    process::{Finished, Process},
    program::{Folder, LIMIT},
    server::{Clip, Config, Pace, Server, Stream},
};

/// A segment in a manifest.
#[derive(Debug)]
pub struct Segment {
    pub bytes: u64,
    /// Start of the segment plus its duration.
    pub end: Timestamp,
    /// Time of its deletion.
    pub deleted: Option<Timestamp>,
}

/// Returns the segments of a manifest by the name of their file.
#[track_caller]
pub fn segments(folder: &Folder, manifest: &str) -> BTreeMap<String, Segment> {
    let text = fs::read_to_string(folder.path(manifest)).expect("a manifest");
    let mut segments: BTreeMap<String, Segment> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let time = |member: &str| -> Timestamp {
            let text = line[member].as_str().expect("a time");
            text.parse().expect("a time")
        };
        if let Some(deleted) = line["deleted"].as_str() {
            let segment = segments.get_mut(deleted).expect("a listed segment");
            assert_eq!(line["bytes"], segment.bytes);
            assert_eq!(segment.deleted.replace(time("at")), None, "{line}");
            continue;
        }
        let duration = Duration::from_millis(line["duration_ms"].as_u64().expect("a duration"));
        let segment = Segment {
            bytes: line["bytes"].as_u64().expect("a size"),
            end: time("start") + duration,
            deleted: None,
        };
        let path = line["path"].as_str().expect("a path").to_owned();
        assert!(segments.insert(path, segment).is_none(), "{line}");
    }
    segments
}

/// Panics unless exactly the newest segments exist that have at most `most` bytes together.
#[track_caller]
pub fn assert_newest_kept(folder: &Folder, manifest: &str, most: u64) {
    let segments = segments(folder, manifest);
    let mut bytes = 0;
    for (name, segment) in segments.iter().rev() {
        bytes += segment.bytes;
        let is_kept = bytes <= most;
        assert_eq!(folder.path(name).exists(), is_kept, "{name}: {segments:?}");
        assert_eq!(segment.deleted.is_none(), is_kept, "{name}: {segments:?}");
    }
    assert!(bytes > 2 * most, "few segments: {segments:?}");
}

/// Returns a server whose stream fills 12 segments of a second.
pub fn server(stream: impl Fn(Clip) -> Stream) -> Server {
    Server::start(Config::serving(stream(Clip::repeated_sample(4, 3_000))))
}

fn recorded(clip: Clip) -> Stream {
    Stream::recorded(clip).paced(Pace::Unbounded)
}

/// Records segments of a second with a manifest `list`.
fn start(folder: &Folder, server: &Server, options: &[&str]) -> Process {
    let mut command = folder.command();
    command.arg(server.url("clip"));
    command.args(["--manifest", "list", "--segment-time", "1"]);
    Process::start(command.args(options))
}

#[track_caller]
fn record(folder: &Folder, server: &Server, options: &[&str]) -> Finished {
    start(folder, server, options).finish(LIMIT)
}

const MOST: &str = "200kB";
const MOST_BYTES: u64 = 200_000;

#[test]
fn oldest_segments_are_deleted_and_other_files_stay() {
    let server = server(recorded);
    let folder = Folder::new();
    for name in ["cam-00.flv", "cam-99.flv", "notes.txt"] {
        fs::write(folder.path(name), [0; 300_000]).expect("the file can be written");
    }
    let options = ["-o", "cam-%02d.flv", "--keep-size", MOST];
    let finished = record(&folder, &server, &options);
    finished.assert_ended(0, "ended");
    assert_eq!(segments(&folder, "list").len(), 12);
    assert_newest_kept(&folder, "list", MOST_BYTES);
    for name in ["cam-00.flv", "cam-99.flv", "notes.txt"] {
        let length = fs::metadata(folder.path(name))
            .expect("the file exists")
            .len();
        assert_eq!(length, 300_000, "{name}");
    }
    let lines = &finished.stderr;
    assert!(!lines.contains("WARNING"), "{lines}");
}

#[test]
fn playlists_are_deleted_with_their_mp4_segments() {
    let server = server(recorded);
    let folder = Folder::new();
    let options = ["-o", "cam-%02d.mp4", "--hls", "--keep-size", "80kB"];
    record(&folder, &server, &options).assert_ended(0, "ended");
    assert_newest_kept(&folder, "list", 80_000);
    let stems = |extension: &str| -> Vec<String> {
        let names = folder.names().into_iter();
        let stems = names.filter_map(|name| Some(name.strip_suffix(extension)?.to_owned()));
        stems.collect()
    };
    assert!(!stems(".mp4").is_empty());
    assert_eq!(stems(".mp4"), stems(".m3u8"));
}

/// The stream plays at its speed, so that the age of a segment is that of its media.
#[test]
fn segments_are_deleted_by_age_while_the_recording_runs() {
    let server = Server::start(Config::serving(Stream::live(Clip::repeated_sample(
        2, 3_000,
    ))));
    let folder = Folder::new();
    let options = ["--live", "--republish-wait", "0", "--keep", "1500ms"];
    let options = [&options[..], &["-o", "cam-%02d.flv"]].concat();
    let finished = record(&folder, &server, &options);
    finished.assert_ended(0, "unpublished");
    let segments = segments(&folder, "list");
    let deleted = segments
        .values()
        .filter(|segment| segment.deleted.is_some());
    assert!((2..5).contains(&deleted.count()), "{segments:?}");
    for (name, segment) in &segments {
        assert_eq!(folder.path(name).exists(), segment.deleted.is_none());
        if let Some(deleted) = segment.deleted {
            let age = deleted.duration_since(segment.end).as_secs_f64();
            assert!((1.5..4.0).contains(&age), "{name}: {age} s");
        }
    }
}

#[test]
fn current_segment_is_never_deleted() {
    let server = server(|clip| Stream::live(clip).paced(Pace::Speed(3.0)));
    let folder = Folder::new();
    let options = ["--live", "--republish-wait", "0", "--keep-size", "1"];
    let options = [&options[..], &["-o", "cam-%02d.flv"]].concat();
    let mut process = start(&folder, &server, &options);
    let mut seen = 0;
    let began = Instant::now();
    while process.is_running() && began.elapsed() < LIMIT {
        // The names are read first: a segment of a later list may be the current one.
        let names = folder.names();
        let listed = fs::read_to_string(folder.path("list")).unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with("cam-")) {
            let path = format!("\"path\":\"{name}\"");
            if !listed.contains(&path) {
                seen += usize::from(folder.path(name).exists());
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    let finished = process.finish(LIMIT);
    finished.assert_ended(0, "unpublished");
    assert!(seen > 20, "the current segment existed {seen} times");
    let segments = segments(&folder, "list");
    assert_eq!(segments.len(), 12, "{finished}");
    let older = segments.values().take(11);
    assert!(older.into_iter().all(|segment| segment.deleted.is_some()));
}

#[test]
fn changed_and_replaced_segments_are_kept() {
    let server = server(recorded);
    let folder = Folder::new();
    record(&folder, &server, &["-o", "cam-%02d.flv"]).assert_ended(0, "ended");
    let changed = folder.path("cam-01.flv");
    let mut content = fs::read(&changed).expect("a segment");
    content.push(0);
    fs::write(&changed, &content).expect("the file can be written");
    fs::remove_file(folder.path("cam-02.flv")).expect("a segment");
    let options = ["-o", "new-%02d.flv", "--keep-size", MOST];
    let finished = record(&folder, &server, &options);
    finished.assert_ended(0, "ended");
    assert_eq!(
        fs::read(&changed).expect("the file is kept"),
        content,
        "{finished}"
    );
    let warning = "WARNING: cannot delete cam-01.flv: it has changed since it was written";
    assert_eq!(finished.stderr.matches(warning).count(), 1, "{finished}");
    assert_eq!(finished.stderr.matches("WARNING").count(), 1, "{finished}");
    let segments = segments(&folder, "list");
    assert_eq!(segments.len(), 24);
    // Segments of the earlier run are deleted as well.
    for (name, segment) in segments.iter().take(12) {
        let is_kept = ["cam-01.flv", "cam-02.flv"].contains(&name.as_str());
        assert_eq!(segment.deleted.is_none(), is_kept, "{name}");
        assert_eq!(folder.path(name).exists(), name == "cam-01.flv", "{name}");
    }
}

#[test]
fn segments_without_a_manifest_are_a_usage_error() {
    for (option, value) in [("--keep", "7d"), ("--keep-size", "500GB")] {
        // No server listens on this port.
        let url = "rtmp://127.0.0.1:1/app/clip";
        let finished = Folder::new().run(&[url, "-o", "cam-%d.flv", option, value]);
        assert_eq!(finished.code(), Some(1), "{finished}");
        let why = "needs --manifest: only segments that it lists are deleted";
        assert_eq!(finished.stderr, format!("ERROR: usage: {option} {why}\n"));
    }
}
