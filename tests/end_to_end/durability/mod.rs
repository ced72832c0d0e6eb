//! Files are valid at every instant, and `--repair` completes truncated ones.

/// Recordings of a day.
#[cfg(target_os = "linux")]
mod endurance;

/// Killed recordings.
mod kills;

/// Repairs of truncated files from other programs.
mod repairs;

/// Writing options: lock, `--no-index` and `--sync`.
mod writing;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rtmpull::core::{
    amf::{Object, Value, amf0},
    flv::{TagReader, head},
};

use crate::{
    process::{Finished, Process},
    program::LIMIT,
    server::{Clip, Tag},
};

/// Runs `rtmpull --repair` with these arguments.
fn repair<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    start_repair(arguments).finish(LIMIT)
}

fn start_repair<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    Process::start(command.arg("--repair").args(arguments))
}

/// Panics unless `finished` exited with `code` and printed a single line that contains `text`.
#[track_caller]
fn assert_single_line(finished: &Finished, code: i32, text: &str) {
    assert_eq!(finished.code(), Some(code), "{finished}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished}");
    assert!(finished.stderr.contains(text), "no {text:?} in {finished}");
}

/// Parsed file with an index: tags after the head, metadata fields, and the number of bytes after
/// the last complete tag.
struct IndexedFile {
    tags: Vec<Tag>,
    fields: Object,
    torn_bytes: usize,
}

impl IndexedFile {
    #[track_caller]
    fn read(file: &[u8]) -> Self {
        assert!(
            head::is_rewritable(file),
            "the head was not written by rtmpull"
        );
        let (mut reader, mut rest) = (TagReader::new(), file);
        while reader
            .read(&mut rest)
            .expect("only complete tags")
            .is_some()
        {}
        let intact = &file[..reader.intact_end() as usize];
        let mut tags = Clip::parse(intact).tags;
        let fields = fields(&tags.remove(0));
        let indexed = Self {
            tags,
            fields,
            torn_bytes: rest.len(),
        };
        indexed.check_keyframes();
        indexed
    }

    #[track_caller]
    fn check_keyframes(&self) {
        let mut at = head::LENGTH as u64;
        let mut keyframes = vec![(0.0, at)];
        for tag in &self.tags {
            if tag.is_keyframe() {
                keyframes.push((f64::from(tag.timestamp_ms) / 1000.0, at));
            }
            at += tag.body.len() as u64 + 15;
        }
        let slots = self.slots();
        assert_eq!(slots.len(), 2048);
        for slot in &slots {
            assert!(keyframes.contains(slot), "{slot:?} is not a keyframe");
        }
        assert!(slots.is_sorted_by_key(|(time, _)| *time));
    }

    /// Returns the keyframe index of the head: seconds and offsets.
    fn slots(&self) -> Vec<(f64, u64)> {
        let keyframes = self.fields.get("keyframes").expect("a keyframe index");
        let numbers = |name| {
            let numbers = keyframes.member(name).and_then(Value::as_array);
            let numbers = numbers.expect("an array").iter();
            numbers.map(|number| number.as_number().expect("a number"))
        };
        let positions = numbers("filepositions").map(|position| position as u64);
        numbers("times").zip(positions).collect()
    }

    fn number(&self, name: &str) -> f64 {
        let number = self.fields.get(name).and_then(Value::as_number);
        number.unwrap_or_else(|| panic!("no {name}"))
    }

    fn last_ms(&self) -> u32 {
        self.tags
            .iter()
            .map(|tag| tag.timestamp_ms)
            .max()
            .unwrap_or(0)
    }

    /// Panics unless the head matches the file, which has `length` bytes.
    #[track_caller]
    fn assert_head_matches(&self, length: usize) {
        assert_eq!(self.torn_bytes, 0, "torn bytes");
        assert_eq!(self.number("filesize"), length as f64);
        let excess = self.number("duration") - f64::from(self.last_ms()) / 1000.0;
        assert!(
            (0.0..MAX_FRAME_S).contains(&excess),
            "the duration exceeds the last frame by {excess} s"
        );
        let keyframes = self.tags.iter().filter(|tag| tag.is_keyframe());
        let mut slots = self.slots();
        slots.dedup();
        assert_eq!(slots.len(), keyframes.count(), "keyframes");
    }
}

/// Returns the fields of an `onMetaData` tag.
#[track_caller]
fn fields(metadata: &Tag) -> Object {
    let (values, error) = amf0::decode_all(metadata.body.clone().into());
    assert_eq!(error, None);
    let fields = values.get(1).and_then(Value::as_object);
    fields.expect("a name and an array").clone()
}

/// Returns the complete tags of a truncated FLV file without `onMetaData`.
fn intact_tags(file: &[u8]) -> Vec<Tag> {
    Clip::parse(Clip::complete_part(file))
        .tags_after_metadata()
        .cloned()
        .collect()
}

/// Writes `bytes` to the file `name` in `folder`.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, bytes).expect("the file can be written");
    file
}

/// Largest assumed duration of the last frame, in seconds: the interval before it, which is 140 ms
/// between two rounds of a clip.
const MAX_FRAME_S: f64 = 0.15;
