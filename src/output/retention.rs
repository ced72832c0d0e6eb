//! Deletes the oldest finished segments (`--keep`, `--keep-size`).

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io::{self, BufRead, BufReader},
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{SegmentFacts, manifest::Manifest};

/// Which finished segments are kept. The default keeps all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepPolicy {
    /// Largest age, from the end of a segment.
    pub age: Option<Duration>,
    /// Largest size of all finished segments together.
    pub bytes: Option<u64>,
}

impl KeepPolicy {
    /// Whether segments are deleted at all.
    pub fn deletes(self) -> bool {
        self != Self::default()
    }
}

/// The finished segments in a manifest, and which of them are kept.
///
/// A file is deleted only if a line of the manifest has its path and its size. Another size means that the file was
/// changed or replaced.
#[derive(Debug)]
pub(super) struct Retention {
    policy: KeepPolicy,
    manifest: PathBuf,
    /// From the oldest to the newest; `None` until the manifest is read.
    segments: Option<VecDeque<Finished>>,
    has_failed: bool,
}

/// A finished segment that was not deleted.
#[derive(Debug, PartialEq, Eq)]
struct Finished {
    path: String,
    bytes: u64,
    end: Timestamp,
}

/// A line of a manifest.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Segment {
        path: String,
        duration_ms: u32,
        bytes: u64,
        start: String,
    },
    Deleted {
        deleted: String,
    },
}

/// The line of a manifest for a deleted segment.
#[derive(Debug, Serialize)]
struct Deleted<'a> {
    /// Path as in the line of the segment.
    deleted: &'a str,
    bytes: u64,
    /// Time of the deletion.
    at: String,
}

impl Retention {
    /// Applies `policy` to the segments of `manifest`, which is read at the first use.
    pub(super) fn new(policy: KeepPolicy, manifest: PathBuf) -> Self {
        Self {
            policy,
            manifest,
            segments: None,
            has_failed: false,
        }
    }

    /// Adds a segment that has been finished. Its line is in the manifest.
    pub(super) fn add(&mut self, facts: &SegmentFacts) {
        // A manifest that is not read yet contains the segment.
        if let Some(segments) = &mut self.segments
            && let Some(finished) = Finished::of(facts)
        {
            segments.retain(|segment| segment.path != finished.path);
            segments.push_back(finished);
        }
    }

    /// Deletes the oldest segments that the policy does not keep at the time `now`. `current` is the path of the
    /// segment that is being written; it is never deleted. Failures are logged once.
    pub(super) fn apply(&mut self, now: Timestamp, current: Option<&Path>, lines: &mut Manifest) {
        let mut segments = match self.segments.take() {
            Some(segments) => segments,
            None => self.read_manifest(),
        };
        let mut bytes: u64 = segments
            .iter()
            .fold(0, |sum, segment| sum.saturating_add(segment.bytes));
        while let Some(oldest) = segments.pop_front_if(|oldest| {
            !self.policy.keeps(oldest, bytes, now)
                && !current.is_some_and(|current| is_same_file(current, Path::new(&oldest.path)))
        }) {
            bytes = bytes.saturating_sub(oldest.bytes);
            self.delete(&oldest, now, lines);
        }
        self.segments = Some(segments);
    }

    fn delete(&mut self, segment: &Finished, now: Timestamp, lines: &mut Manifest) {
        match segment.remove() {
            Ok(true) => {
                tracing::info!("deleted {}", segment.path);
                lines.add_line(&Deleted {
                    deleted: &segment.path,
                    bytes: segment.bytes,
                    at: now.to_string(),
                });
            }
            // Another program has moved or deleted the file.
            Ok(false) => tracing::debug!("{} no longer exists", segment.path),
            Err(error) => self.warn(&format!("cannot delete {}: {error}", segment.path)),
        }
    }

    fn read_manifest(&mut self) -> VecDeque<Finished> {
        match File::open(&self.manifest).and_then(|file| read(BufReader::new(file))) {
            Ok(segments) => segments,
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            Err(error) => {
                let manifest = self.manifest.display();
                self.warn(&format!(
                    "cannot read {manifest}, so segments of earlier runs are kept: {error}"
                ));
                VecDeque::new()
            }
        }
    }

    fn warn(&mut self, text: &str) {
        if !mem::replace(&mut self.has_failed, true) {
            tracing::warn!("{text}");
        } else {
            tracing::debug!("{text}");
        }
    }
}

impl KeepPolicy {
    fn keeps(self, oldest: &Finished, bytes: u64, now: Timestamp) -> bool {
        let is_too_old = self.age.is_some_and(|age| {
            let passed = Duration::try_from(now.duration_since(oldest.end));
            passed.unwrap_or_default() > age
        });
        !is_too_old && self.bytes.is_none_or(|most| bytes <= most)
    }
}

impl Finished {
    fn of(facts: &SegmentFacts) -> Option<Self> {
        Self::new(&facts.path, facts.bytes, &facts.start, facts.duration_ms)
    }

    fn new(path: &str, bytes: u64, start: &str, duration_ms: u32) -> Option<Self> {
        let start: Timestamp = start.parse().ok()?;
        let duration = Duration::from_millis(duration_ms.into());
        Some(Self {
            path: path.to_owned(),
            bytes,
            end: start.checked_add(duration).ok()?,
        })
    }

    /// Deletes the file and its HLS playlist. Returns false if the file does not exist.
    ///
    /// # Errors
    ///
    /// Fails if the path does not lead to the regular file that was written.
    fn remove(&self) -> io::Result<bool> {
        let path = Path::new(&self.path);
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if !metadata.is_file() || metadata.len() != self.bytes {
            return Err(io::Error::other(
                "it has changed since it was written, so it is kept",
            ));
        }
        fs::remove_file(path)?;
        remove_playlist(path)?;
        Ok(true)
    }
}

/// Whether two paths lead to the same file. The manifest of an earlier run may name it from another folder.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let files = (one.canonicalize(), other.canonicalize());
    one == other || matches!(files, (Ok(one), Ok(other)) if one == other)
}

/// Deletes the HLS playlist beside an MP4 file, which refers to the deleted file only.
fn remove_playlist(path: &Path) -> io::Result<()> {
    if path.extension().is_none_or(|extension| extension != "mp4") {
        return Ok(());
    }
    let playlist = path.with_extension("m3u8");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_own = fs::read_to_string(&playlist).is_ok_and(|text| {
        let mut lines = text.lines();
        lines.next() == Some("#EXTM3U") && lines.any(|line| line == name)
    });
    if is_own {
        fs::remove_file(playlist)
    } else {
        Ok(())
    }
}

/// Returns the segments that were not deleted. Ignores lines of other programs and torn lines.
fn read(reader: impl BufRead) -> io::Result<VecDeque<Finished>> {
    // By path, with the number of the line. A manifest may list millions of segments.
    let mut segments: HashMap<String, (usize, Finished)> = HashMap::new();
    for (number, line) in reader.split(b'\n').enumerate() {
        let Ok(line) = serde_json::from_slice(&line?) else {
            continue;
        };
        match line {
            Line::Segment {
                path,
                duration_ms,
                bytes,
                start,
            } => {
                segments.remove(&path);
                if let Some(finished) = Finished::new(&path, bytes, &start, duration_ms) {
                    segments.insert(path, (number, finished));
                }
            }
            Line::Deleted { deleted } => {
                segments.remove(&deleted);
            }
        }
    }
    let mut segments: Vec<_> = segments.into_values().collect();
    segments.sort_unstable_by_key(|(number, _)| *number);
    Ok(segments.into_iter().map(|(_, finished)| finished).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-29T12:00:00Z";

    struct Fixture {
        folder: tempfile::TempDir,
        manifest: Manifest,
    }

    impl Fixture {
        /// Creates segments of 100 bytes that ended 1, 2, 3 … hours before now, the oldest first.
        fn new(count: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let manifest = Manifest::new(folder.path().join("manifest.jsonl"));
            let mut fixture = Self { folder, manifest };
            (1..=count).rev().for_each(|hours| fixture.add(hours));
            fixture
        }

        fn add(&mut self, hours: u32) {
            fs::write(self.path(hours), [0; 100]).unwrap();
            self.manifest.add(&self.facts(hours));
        }

        fn facts(&self, hours: u32) -> SegmentFacts {
            let start = now() - Duration::from_secs(u64::from(hours) * 3600 + 60);
            SegmentFacts {
                path: self.path(hours).display().to_string(),
                segment: 1,
                offset_ms: 0,
                duration_ms: 60_000,
                bytes: 100,
                start: start.to_string(),
            }
        }

        fn path(&self, hours: u32) -> PathBuf {
            self.folder.path().join(format!("{hours}.flv"))
        }

        fn retention(&self, policy: KeepPolicy) -> Retention {
            Retention::new(policy, self.folder.path().join("manifest.jsonl"))
        }

        fn apply(&mut self, policy: KeepPolicy) {
            self.retention(policy)
                .apply(now(), None, &mut self.manifest);
        }

        /// Hours of the files that exist.
        fn kept(&self) -> Vec<u32> {
            (1..=9).filter(|hours| self.path(*hours).exists()).collect()
        }
    }

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn size(bytes: u64) -> KeepPolicy {
        KeepPolicy {
            bytes: Some(bytes),
            age: None,
        }
    }

    fn hours(hours: u64) -> KeepPolicy {
        KeepPolicy {
            age: Some(Duration::from_secs(hours * 3600)),
            bytes: None,
        }
    }

    #[test]
    fn oldest_segments_are_deleted_until_the_size_fits() {
        let mut fixture = Fixture::new(5);
        fixture.apply(size(500));
        assert_eq!(fixture.kept(), [1, 2, 3, 4, 5]);
        fixture.apply(size(350));
        assert_eq!(fixture.kept(), [1, 2, 3]);
    }

    #[test]
    fn segments_are_deleted_by_the_age_of_their_end() {
        let mut fixture = Fixture::new(5);
        fixture.apply(hours(3));
        assert_eq!(fixture.kept(), [1, 2, 3]);
    }

    #[test]
    fn deleted_segments_are_noted_in_the_manifest_and_not_counted_again() {
        let mut fixture = Fixture::new(3);
        fixture.apply(size(200));
        let text = fs::read_to_string(fixture.folder.path().join("manifest.jsonl")).unwrap();
        let last = text.lines().last().unwrap();
        let expected = format!(
            r#"{{"deleted":{:?},"bytes":100,"at":"{NOW}"}}"#,
            fixture.path(3).display().to_string()
        );
        assert_eq!(last, expected);
        // Another program created a file with the old name.
        fs::write(fixture.path(3), [0; 100]).unwrap();
        fixture.apply(size(100));
        assert_eq!(fixture.kept(), [1, 3]);
    }

    #[test]
    fn files_that_were_not_written_or_have_changed_are_kept() {
        let mut fixture = Fixture::new(4);
        fs::write(fixture.path(4), [0; 99]).unwrap();
        fs::remove_file(fixture.path(3)).unwrap();
        fs::create_dir(fixture.path(3)).unwrap();
        fs::write(fixture.path(8), [0; 100]).unwrap();
        fixture.apply(hours(0));
        assert_eq!(fixture.kept(), [3, 4, 8]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_kept() {
        let mut fixture = Fixture::new(1);
        fs::rename(fixture.path(1), fixture.path(9)).unwrap();
        std::os::unix::fs::symlink(fixture.path(9), fixture.path(1)).unwrap();
        fixture.apply(hours(0));
        assert_eq!(fixture.kept(), [1, 9]);
    }

    #[test]
    fn current_segment_and_newer_ones_are_kept() {
        let mut fixture = Fixture::new(3);
        let mut retention = fixture.retention(hours(0));
        let current = fixture.path(2);
        retention.apply(now(), Some(&current), &mut fixture.manifest);
        assert_eq!(fixture.kept(), [1, 2]);
    }

    #[test]
    fn current_segment_is_kept_under_each_of_its_names() {
        let mut fixture = Fixture::new(1);
        fs::create_dir(fixture.folder.path().join("inner")).unwrap();
        let current = fixture.folder.path().join("inner/../1.flv");
        let mut retention = fixture.retention(hours(0));
        retention.apply(now(), Some(&current), &mut fixture.manifest);
        assert_eq!(fixture.kept(), [1]);
    }

    #[test]
    fn long_manifests_are_read_in_linear_time() {
        let line =
            |path: u32| format!(r#"{{"path":"{path}","duration_ms":1,"bytes":7,"start":"{NOW}"}}"#);
        let listed: Vec<String> = (0..30_000).map(line).collect();
        let deleted = (0..10_000).map(|path| format!(r#"{{"deleted":"{path}"}}"#));
        let again = (10_000..10_003).rev().map(line);
        let lines: Vec<String> = listed.into_iter().chain(deleted).chain(again).collect();
        let start = std::time::Instant::now();
        let segments = read(lines.join("\n").as_bytes()).unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        let paths: Vec<&str> = segments
            .iter()
            .map(|segment| segment.path.as_str())
            .collect();
        assert_eq!(paths.len(), 20_000);
        assert_eq!(paths[..2], ["10003", "10004"]);
        assert_eq!(paths[19_997..], ["10002", "10001", "10000"]);
    }

    #[test]
    fn segments_are_added_while_the_recording_runs() {
        let mut fixture = Fixture::new(2);
        let mut retention = fixture.retention(size(200));
        retention.apply(now(), None, &mut fixture.manifest);
        fixture.add(6);
        retention.add(&fixture.facts(6));
        retention.apply(now(), None, &mut fixture.manifest);
        assert_eq!(fixture.kept(), [1, 6]);
    }

    #[test]
    fn playlist_of_a_deleted_segment_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, is_kept) in [
            ("a", "#EXTM3U\n#EXTINF:4,\na.mp4\n", false),
            ("b", "#EXTM3U\n#EXTINF:4,\nother.mp4\n", true),
        ] {
            let playlist = folder.path().join(name).with_extension("m3u8");
            fs::write(&playlist, text).unwrap();
            remove_playlist(&playlist.with_extension("mp4")).unwrap();
            assert_eq!(playlist.exists(), is_kept, "{name}");
        }
    }

    #[test]
    fn torn_and_foreign_lines_are_ignored() {
        let lines = b"\n{\"path\":\"a\"\nnot json\n[1]\n{\"path\":\"b\",\"duration_ms\":1000,\
            \"bytes\":7,\"start\":\"2026-11-29T11:00:00.000+01:00\"}\n{\"path\":\"c\"";
        let segments = read(&lines[..]).unwrap();
        let expected = Finished {
            path: "b".to_owned(),
            bytes: 7,
            end: "2026-11-29T10:00:01Z".parse().unwrap(),
        };
        assert!(segments.into_iter().eq([expected]));
    }
}
