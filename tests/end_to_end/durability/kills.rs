//! `kill -9` at any moment loses at most one second.
//!
//! `RTMPULL_KILLS=500` kills 500 recordings, each at a random moment in its first 25 seconds.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::RngExt;
use rtmpull::core::flv::head;

use super::{IndexedFile, MAX_FRAME_S, repair};
use crate::{
    peers::ffmpeg::Ffmpeg,
    process::Process,
    server::{Clip, Config, Server, Stream, Tag},
    verify::assert_ffprobe_accepts,
};

#[test]
fn kill_at_any_moment_loses_at_most_one_second() {
    let requested = env::var("RTMPULL_KILLS").ok();
    let requested = requested.map(|count| count.parse().expect("RTMPULL_KILLS is a number"));
    let (count, up_to_ms) = requested.map_or((12, 4_000), |count| (count, 25_000));
    let clip = Clip::repeated_sample(10, 3_100);
    let media: Vec<Tag> = clip.media().cloned().collect();
    let server = Server::start(Config::serving(Stream::live(clip)));
    let ffmpeg = Ffmpeg::find();
    let started = AtomicUsize::new(0);
    let missing = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..PARALLEL.min(count) {
            scope.spawn(|| {
                while started.fetch_add(1, Ordering::Relaxed) < count {
                    let after = Duration::from_millis(rand::rng().random_range(0..up_to_ms));
                    let kill = Kill::new(&server.url("clip"), after);
                    kill.check(&media, ffmpeg.as_ref());
                    missing
                        .lock()
                        .expect("the lock is not poisoned")
                        .push(kill.missing_ms());
                }
            });
        }
    });
    let mut missing = missing.into_inner().expect("the lock is not poisoned");
    missing.sort_unstable();
    assert_eq!(missing.len(), count);
    let [median, most] = [missing[count / 2], missing[count - 1]];
    println!("{count} kills: median {median} ms missing, maximum {most} ms");
}

/// Recording that was killed.
struct Kill {
    folder: tempfile::TempDir,
    /// Time from the arrival of the first frame to the kill.
    played: Duration,
    file: Vec<u8>,
}

impl Kill {
    /// Records `url` and kills the process this long after the first frame.
    fn new(url: &str, after: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.flv");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
        command.args(["-q", "-v", url, "-o"]).arg(&output);
        let mut process = Process::start(&mut command);
        let has_head = || fs::metadata(&output).is_ok_and(|file| file.len() >= head::LENGTH as u64);
        while !has_head() {
            assert!(process.is_running(), "ended before it had written anything");
            thread::sleep(Duration::from_millis(2));
        }
        let first_frame = Instant::now();
        thread::sleep(after);
        let played = first_frame.elapsed();
        let killed = process.kill();
        assert_eq!(killed.code(), None, "{killed}");
        let file = fs::read(&output).expect("the file was written");
        Self {
            folder,
            played,
            file,
        }
    }

    /// Returns the media sent before the kill that the file lacks, in milliseconds.
    fn missing_ms(&self) -> u64 {
        let last_ms = u64::from(IndexedFile::read(&self.file).last_ms());
        (self.played.as_millis() as u64).saturating_sub(last_ms)
    }

    fn check(&self, media: &[Tag], ffmpeg: Option<&Ffmpeg>) {
        let Self { played, file, .. } = self;
        let before = IndexedFile::read(file);
        assert!(
            before.tags == media[..before.tags.len()],
            "exactly the received tags"
        );
        let duration_ms = before.number("duration") * 1000.0;
        assert!(
            duration_ms <= f64::from(before.last_ms()) + 1000.0 * MAX_FRAME_S,
            "{duration_ms} ms"
        );
        let missing_ms = self.missing_ms();
        assert!(
            missing_ms <= 1_000 + JITTER_MS,
            "{missing_ms} ms missing after {played:?}"
        );
        let path = self.folder.path().join("out.flv");
        if before.tags.is_empty() {
            return;
        }
        if let Some(ffmpeg) = ffmpeg.filter(|_| played.subsec_millis() % 4 == 0) {
            assert_decodes(ffmpeg, &path);
        }
        repair([&path]).succeeded();
        let repaired = fs::read(&path).expect("the file exists");
        assert_repaired(file, &repaired);
        let again = repair([&path]).succeeded();
        assert!(
            again.stderr.contains("complete, nothing to repair"),
            "{again}"
        );
        assert!(fs::read(&path).expect("the file exists") == repaired);
        if let Some(ffmpeg) = ffmpeg.filter(|_| played.subsec_millis() % 4 == 0) {
            assert_decodes(ffmpeg, &path);
            assert_ffprobe_accepts(&path);
        }
    }
}

/// Panics unless only the torn end, the flags, rtmpull's own metadata fields, and index slots after
/// the last known keyframe changed.
#[track_caller]
fn assert_repaired(before: &[u8], after: &[u8]) {
    let (old, new) = (IndexedFile::read(before), IndexedFile::read(after));
    assert_eq!(before.len() - old.torn_bytes, after.len());
    assert!(before[head::LENGTH..after.len()] == after[head::LENGTH..]);
    new.assert_head_matches(after.len());
    let is_own_field = |at: &usize| *at == 4 || (42..2007).contains(at);
    let is_slot = |at: &usize| (2031..38_915).contains(at);
    let mut changed = (0..head::LENGTH).filter(|at| before[*at] != after[*at]);
    assert!(changed.all(|at| is_own_field(&at) || is_slot(&at)));
    let last = *old.slots().last().expect("at least one slot");
    let known = old.slots().iter().take_while(|slot| **slot != last).count();
    assert_eq!(old.slots()[..known], new.slots()[..known]);
}

/// Panics if ffmpeg fails to decode a frame of `file` before its end.
#[track_caller]
fn assert_decodes(ffmpeg: &Ffmpeg, file: &Path) {
    let arguments = ["-xerror", "-i"].map(AsRef::as_ref);
    let sink = ["-f", "null", "-"].map(AsRef::as_ref);
    ffmpeg
        .run(arguments.into_iter().chain([file.as_os_str()]).chain(sink))
        .succeeded();
}

/// Number of parallel recordings.
const PARALLEL: usize = 25;

/// Tolerance for a machine busy with many processes, in milliseconds.
const JITTER_MS: u64 = 300;
