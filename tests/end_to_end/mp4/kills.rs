//! `kill -9` at any moment, also while the file is finished.
//!
//! `RTMPULL_KILLS=500` kills 500 recordings, each at a random moment in its first 25 seconds.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use rand::RngExt;

use super::*;
use crate::peers::ffmpeg::ffprobe;

#[test]
fn kill_at_any_moment_leaves_a_file_without_the_last_second() {
    let ffmpeg = require!(Ffmpeg::find());
    let requested = env::var("RTMPULL_KILLS").ok();
    let requested = requested.map(|count| count.parse().expect("RTMPULL_KILLS is a number"));
    let (count, up_to_ms) = requested.map_or((16, 4_000), |count| (count, 25_000));
    let clip = Clip::repeated_sample(10, 3_100);
    let complete = Recording::new("out.mp4", &[]).of(clip.clone());
    let complete = Media::read(&ffmpeg, &complete.path("out.mp4"));
    let server = Server::start(Config::serving(Stream::live(clip)));
    let started = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..PARALLEL.min(count) {
            scope.spawn(|| {
                loop {
                    let number = started.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    // Earlier, a file that is finished after a signal may contain only one of the tracks.
                    let after = rand::rng().random_range(EARLIEST_MS..up_to_ms);
                    let after = Duration::from_millis(after);
                    let kill = Kill::new(&server.url("clip"), after, number % 2 == 1);
                    let missing_ms = kill.check(&ffmpeg, &complete);
                    let mut results = results.lock().expect("the lock is not poisoned");
                    results.push((kill.state(), missing_ms));
                }
            });
        }
    });
    let results = results.into_inner().expect("the lock is not poisoned");
    assert_eq!(results.len(), count);
    let mut by_state = BTreeMap::<_, Vec<u64>>::new();
    for (state, missing_ms) in results {
        by_state.entry(state).or_default().push(missing_ms);
    }
    for (state, missing_ms) in by_state {
        let most = missing_ms.iter().max().expect("a kill");
        println!(
            "{state}: {} kills, at most {most} ms missing",
            missing_ms.len()
        );
    }
}

/// Recording that was killed.
struct Kill {
    folder: TempDir,
    /// Time from the arrival of the first frame to the kill, or to the signal that ends the recording.
    played: Duration,
    /// Whether the program ended before it was killed.
    has_ended: bool,
    /// Size of the incomplete box at the end. The kernel may stop a write of a process that is killed.
    torn_bytes: u64,
    /// The complete boxes.
    boxes: Vec<String>,
}

impl Kill {
    /// Records `url` and kills the process this long after the first frame, or while it finishes the file.
    fn new(url: &str, after: Duration, finishes: bool) -> Self {
        let recording = Recording::new("out.mp4", &["-v"]);
        let mut process = recording.start(url);
        let file = recording.path("out.mp4");
        while !file.exists() {
            assert!(process.is_running(), "ended before the file existed");
            thread::sleep(Duration::from_millis(2));
        }
        let first_frame = Instant::now();
        thread::sleep(after);
        let played = first_frame.elapsed();
        if finishes {
            process.signal("INT");
            thread::sleep(Duration::from_micros(
                rand::rng().random_range(0..FINISH_US),
            ));
        }
        let has_ended = process.kill().code().is_some();
        let (boxes, length) = complete_boxes(&file);
        let bytes = fs::metadata(&file).expect("the file exists").len();
        if bytes > length {
            assert_torn_end_is_harmless(&file);
            let opened = fs::OpenOptions::new().write(true).open(&file);
            let opened = opened.expect("the file can be opened");
            opened.set_len(length).expect("the file can be truncated");
        }
        Self {
            played,
            has_ended,
            torn_bytes: bytes - length,
            boxes,
            folder: recording.folder,
        }
    }

    fn state(&self) -> &'static str {
        let last = self.boxes.last().map_or("", |name| name);
        let is_sealed = self.boxes == ["ftyp", "mdat", "moov"];
        match last {
            _ if self.has_ended => "1. after the end",
            _ if is_sealed => "2. sealed",
            "moof" | "mdat" if self.torn_bytes > 0 => "4. in fragments, last write torn",
            "moov" if self.boxes.contains(&"moof".to_owned()) => "3. with tables, not sealed",
            "mdat" => "5. in fragments",
            _ => "6. before the first fragment",
        }
    }

    /// Returns the media sent before the kill that the file lacks, in milliseconds.
    #[track_caller]
    fn check(&self, ffmpeg: &Ffmpeg, complete: &Media) -> u64 {
        let file = self.folder.path().join("out.mp4");
        let played_ms = self.played.as_millis() as u64;
        let has_fragments = self.boxes.contains(&"mdat".to_owned());
        let last_ms = match has_fragments {
            true => {
                let media = Media::read(ffmpeg, &file);
                media.assert_start_of(complete, usize::MAX);
                assert_ffprobe_accepts(&file);
                let packets = media.video.packets.iter().chain(&media.audio.packets);
                packets.map(|packet| packet.dts_ms).max().unwrap_or(0) as u64
            }
            false => 0,
        };
        if has_fragments && played_ms.is_multiple_of(4) {
            ffmpeg.assert_plays(&file);
            let seek = ["-read_intervals", "50%+#1", "-show_packets"];
            ffprobe(&seek, &file).succeeded();
        }
        let missing_ms = played_ms.saturating_sub(last_ms);
        assert!(
            missing_ms <= LARGEST_FRAGMENT_MS + JITTER_MS,
            "{missing_ms} ms missing after {:?}: {}",
            self.played,
            self.state()
        );
        missing_ms
    }
}

/// Panics unless ffmpeg reads the file to its torn end.
#[track_caller]
fn assert_torn_end_is_harmless(file: &Path) {
    ffprobe(&["-show_packets"], file).succeeded();
}

/// Names of the top-level boxes of a file, up to the first one that is incomplete, and their length. A movie
/// fragment is incomplete without its data.
fn complete_boxes(file: &Path) -> (Vec<String>, u64) {
    let bytes = fs::read(file).expect("the file exists");
    let (mut names, mut at, mut end) = (Vec::new(), 0, 0);
    while let Some(length) = box_length(&bytes[at..]).filter(|length| *length <= bytes.len() - at) {
        names.push(String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned());
        at += length;
        if names.last().is_some_and(|name| name != "moof") {
            end = at;
        }
    }
    if names.last().is_some_and(|name| name == "moof") {
        names.pop();
    }
    (names, end as u64)
}

fn box_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    match length {
        1 => bytes
            .get(8..16)
            .map(|long| u64::from_be_bytes(long.try_into().expect("8 bytes")) as usize),
        _ => Some(length as usize).filter(|length| *length >= 8),
    }
}

/// Number of parallel recordings.
const PARALLEL: usize = 25;

/// Longest time from the signal to the kill, in microseconds. A recording is finished within this time.
const FINISH_US: u64 = 15_000;

/// Time after which a fragment ends although no keyframe has arrived, in milliseconds.
const LARGEST_FRAGMENT_MS: u64 = 1_250;

/// Tolerance for a machine busy with many processes, in milliseconds.
const JITTER_MS: u64 = 400;

/// Time after which frames of both tracks have arrived.
const EARLIEST_MS: u64 = 200;
