use std::{fs, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    core::flv::{Tag, TagKind, TagReader},
    output::Format,
};

/// File of ffmpeg with three seconds of H.264 and AAC.
const CLIP: &[u8] = include_bytes!("../../tests/server/clip.flv");

/// Ignores all events.
struct Silent;

impl Report for Silent {
    fn metadata(&mut self, _: &Object) {}
    fn started(&mut self) {}
    fn progress(&mut self, _: &Progress) {}
    fn segment(&mut self, _: &SegmentFacts) {}
}

/// Folder with inputs.
struct Folder {
    folder: TempDir,
    inputs: Vec<PathBuf>,
}

impl Folder {
    fn with(inputs: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |(number, bytes): (usize, &&[u8])| {
            let path = folder.path().join(format!("in{number}.flv"));
            fs::write(&path, bytes).unwrap();
            path
        };
        let inputs = inputs.iter().enumerate().map(write).collect();
        Self { folder, inputs }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn run(&self, format: Format) -> Outcome {
        let job = Job {
            inputs: self.inputs.iter().cloned().map(Input::File).collect(),
            output: Destination::Path(self.output()),
            pipe: None,
            tracks: None,
            file: FileOptions {
                format,
                sync_interval: None,
                ..FileOptions::default()
            },
            pipe_options: PipeOptions::default(),
            segments: SegmentOptions::none(),
            keep_timestamps: false,
            limits: Limits::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let (_sender, stop) = Stop::new();
        runtime.unwrap().block_on(run(&job, &mut Silent, stop))
    }

    /// Returns kind, timestamp and body of the audio and video tags in the output.
    fn tags(&self) -> Vec<(TagKind, i32, Vec<u8>)> {
        media(&fs::read(self.output()).unwrap())
    }
}

/// Returns kind, timestamp and body of the audio and video tags. Panics unless the file consists of complete
/// tags.
fn media(file: &[u8]) -> Vec<(TagKind, i32, Vec<u8>)> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut tags = Vec::new();
    while let Some(TagView { header, body, .. }) = reader.read(&mut rest).unwrap() {
        if matches!(header.kind, TagKind::AUDIO | TagKind::VIDEO) {
            tags.push((header.kind, header.timestamp_ms, body.to_vec()));
        }
    }
    assert_eq!(reader.torn(rest), None);
    tags
}

#[test]
fn all_tags_are_copied_with_their_times() {
    let folder = Folder::with(&[CLIP]);
    let outcome = folder.run(Format::Flv);
    assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
    assert!(folder.tags() == media(CLIP));
    assert_eq!(outcome.bytes, fs::metadata(folder.output()).unwrap().len());
}

/// Returns an FLV file with the tags, without their metadata, from `range`, with times shifted by `shift_ms`.
fn excerpt(range: std::ops::Range<usize>, shift_ms: i32) -> Vec<u8> {
    let mut file = CLIP[..13].to_vec();
    for (number, (kind, timestamp_ms, body)) in media(CLIP).into_iter().enumerate() {
        // The first tags are the sequence headers.
        if number < 2 || range.contains(&number) {
            let payload = Payload::from(&body[..]);
            let timestamp_ms = (timestamp_ms + shift_ms) as u32;
            file.extend(Tag::new(kind, timestamp_ms, payload).as_bytes());
        }
    }
    file
}

#[test]
fn overlapping_inputs_join_to_the_complete_stream() {
    let complete = media(CLIP);
    let count = complete.len();
    for (end, start) in [
        (count / 2, count / 3),
        (count / 2, 2),
        (count - 1, count / 2),
    ] {
        let folder = Folder::with(&[&excerpt(0..end, 0), &excerpt(start..count, 777_000)]);
        let outcome = folder.run(Format::Flv);
        assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
        assert!(folder.tags() == complete, "{start}..{end}");
    }
}

#[test]
fn inputs_without_overlap_follow_each_other() {
    let count = media(CLIP).len();
    let ranges = [0..count / 3, count / 3..count / 2, count / 2..count];
    let files: Vec<_> = ranges.map(|range| excerpt(range, 0)).into();
    let folder = Folder::with(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let outcome = folder.run(Format::Flv);
    assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
    let (found, complete) = (folder.tags(), media(CLIP));
    let bodies = |tags: &[(TagKind, i32, Vec<u8>)]| -> Vec<Vec<u8>> {
        tags.iter().map(|(.., body)| body.clone()).collect()
    };
    assert!(bodies(&found) == bodies(&complete));
    for track in [TagKind::AUDIO, TagKind::VIDEO] {
        let times = found.iter().filter(|(kind, ..)| *kind == track);
        assert!(times.is_sorted_by_key(|(_, at_ms, _)| *at_ms));
    }
    let last_ms = |tags: &[(TagKind, i32, Vec<u8>)]| tags.iter().map(|tag| tag.1).max();
    let lag_ms = last_ms(&found).unwrap() - last_ms(&complete).unwrap();
    assert!((0..200).contains(&lag_ms), "{lag_ms}");
}

#[test]
fn an_input_that_repeats_frames_but_not_the_end_is_written_completely() {
    let count = media(CLIP).len();
    // The second input repeats frames of the first one, but not up to its end.
    let first = excerpt(0..count * 2 / 3, 0);
    let mut second = excerpt(count / 3..count / 2, 0);
    let other = media(CLIP)[count / 4..count / 3].to_vec();
    for (kind, at_ms, mut body) in other {
        body.push(1);
        let payload = Payload::from(&body[..]);
        second.extend(Tag::new(kind, at_ms as u32 + 3_000, payload).as_bytes());
    }
    let folder = Folder::with(&[&first, &second]);
    let outcome = folder.run(Format::Flv);
    assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
    // Repeated sequence headers are left out.
    let expected = media(&first).len() + media(&second).len() - 2;
    assert_eq!(folder.tags().len(), expected);
}

#[test]
fn encrypted_tags_are_left_out() {
    let mut encrypted = CLIP.to_vec();
    let (mut reader, mut rest) = (TagReader::new(), CLIP);
    let mut number = 0;
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        number += 1;
        if number % 10 == 9 {
            encrypted[tag.offset as usize] |= 0x20;
        }
    }
    let folder = Folder::with(&[&encrypted]);
    assert!(matches!(folder.run(Format::Flv).end, End::Complete));
    let (found, expected) = (folder.tags().len(), media(CLIP).len());
    assert!(
        found < expected && found > expected * 8 / 10,
        "{found} of {expected}"
    );
}

#[test]
fn an_input_without_media_changes_no_output() {
    let folder = Folder::with(&[b"FLV\x01\x05\0\0\0\x09\0\0\0\0"]);
    fs::write(folder.output(), "old").unwrap();
    let outcome = folder.run(Format::Mp4);
    let is_expected = matches!(
        outcome.end,
        End::Input {
            error: Error::NoMedia,
            ..
        }
    );
    assert!(is_expected, "{outcome:?}");
    assert_eq!(fs::read(folder.output()).unwrap(), b"old");
}

#[cfg(unix)]
#[test]
fn an_input_that_is_being_written_is_refused() {
    let folder = Folder::with(&[CLIP]);
    let writer = fs::File::options()
        .append(true)
        .open(&folder.inputs[0])
        .unwrap();
    crate::output::lock(&writer).unwrap();
    let outcome = folder.run(Format::Mp4);
    let is_expected = matches!(
        outcome.end,
        End::Input {
            error: Error::Busy,
            ..
        }
    );
    assert!(is_expected, "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_inputs_give_complete_tags(
        changes in prop::collection::vec((0..CLIP.len(), any::<u8>()), 0..20),
        cut in 0..=CLIP.len(),
        format in prop::sample::select(vec![Format::Flv, Format::Mp4]),
    ) {
        let mut damaged = CLIP.to_vec();
        for (at, byte) in changes {
            damaged[at] = byte;
        }
        damaged.truncate(cut);
        let folder = Folder::with(&[&damaged]);
        let outcome = folder.run(format);
        let is_media = matches!(outcome.end, End::Complete);
        let is_known = is_media || matches!(outcome.end, End::Input { .. });
        prop_assert!(is_known, "{:?}", outcome);
        if is_media && format == Format::Flv {
            folder.tags();
        }
    }
}
