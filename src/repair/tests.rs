use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::core::{
    amf::{Object, Value, amf0},
    flv::{Layout, Tag, TagReader},
    payload::Payload,
};

/// File of ffmpeg with three seconds of H.264 and AAC.
const CLIP: &[u8] = include_bytes!("../../tests/server/clip.flv");

/// Kind, timestamp and body of a tag.
type TagFacts = (TagKind, i32, Vec<u8>);

/// Returns the tags of a file. Panics unless it consists of complete tags.
fn tags(file: &[u8]) -> Vec<TagFacts> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut tags = Vec::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        let TagView { header, body, .. } = tag;
        tags.push((header.kind, header.timestamp_ms, body.to_vec()));
    }
    assert_eq!(reader.torn(rest), None);
    tags
}

/// Returns the complete tags before a cut, except script data.
fn media_tags(file: &[u8]) -> Vec<TagFacts> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    while reader.read(&mut rest).unwrap().is_some() {}
    let tags = tags(&file[..reader.intact_end() as usize]).into_iter();
    tags.filter(|tag| tag.0 != TagKind::SCRIPT).collect()
}

/// Returns a file written by rtmpull with the tags of the clip and the head as of tag `patched`.
fn rtmpull_file(patched: usize) -> Vec<u8> {
    let mut writer = HeadWriter::new(Layout::Seekable);
    let mut fields = Object::new();
    fields.push("encoder", "obs");
    writer.set_metadata(&fields);
    let mut file = writer.head();
    let mut parser = FrameParser::new();
    for (number, (kind, time_ms, body)) in media_tags(CLIP).into_iter().enumerate() {
        if number == patched {
            for patch in writer.patches() {
                file[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
                writer.patch_written(&patch);
            }
        }
        let tag = Tag::new(kind, time_ms as u32, Payload::from(&body[..]));
        let info = parser.parse(kind, &body);
        writer.tag_written(info, time_ms as u32, body.len());
        file.extend(tag.as_bytes());
    }
    file
}

/// Directory with one file.
struct Directory {
    directory: TempDir,
    path: PathBuf,
}

impl Directory {
    fn with(file: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clip.flv");
        fs::write(&path, file).unwrap();
        Self { directory, path }
    }

    fn repair(&self) -> Result<Repaired, Error> {
        repair(&self.path, None, &mut |_, _| true)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Panics if the directory has other files.
    fn assert_tidy(&self) {
        assert_eq!(fs::read_dir(self.directory.path()).unwrap().count(), 1);
    }
}

/// Panics unless `file` has a head of rtmpull that describes all its tags.
#[track_caller]
fn assert_head_is_current(file: &[u8]) {
    let mut writer = HeadWriter::reopen(file).expect("a head of rtmpull");
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut parser = FrameParser::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        if tag.offset >= head::LENGTH as u64 {
            record(&mut writer, &mut parser, &tag);
        }
    }
    assert_eq!(reader.torn(rest), None);
    assert_eq!(writer.patches(), []);
}

#[test]
fn a_file_of_rtmpull_is_repaired_in_place() {
    for (patched, cut) in [(0, 5), (40, 1), (100, 5000), (usize::MAX, 0)] {
        let intact = rtmpull_file(patched);
        let damaged = &intact[..intact.len() - cut];
        let directory = Directory::with(damaged);
        let repaired = directory.repair().unwrap();
        let file = directory.bytes();
        assert_head_is_current(&file);
        assert_eq!(file[head::LENGTH..], damaged[head::LENGTH..file.len()]);
        let expected = media_tags(damaged);
        assert!(tags(&file)[1..] == expected);
        assert_eq!(repaired.method, Method::InPlace);
        assert_eq!(repaired.torn_bytes as usize, damaged.len() - file.len());
        assert_eq!(repaired.tags as usize, expected.len());
        assert_eq!(directory.repair().unwrap().method, Method::Unchanged);
        assert!(directory.bytes() == file);
        directory.assert_tidy();
    }
}

#[test]
fn repair_in_place_changes_only_the_torn_end_and_outdated_head_fields() {
    let intact = rtmpull_file(60);
    let directory = Directory::with(&intact[..intact.len() - 7]);
    directory.repair().unwrap();
    let file = directory.bytes();
    let changed: Vec<usize> = (0..head::LENGTH)
        .filter(|at| file[*at] != intact[*at])
        .collect();
    // Numbers in the fields of rtmpull, and slots that repeated the last keyframe.
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|at| (42..38_915).contains(at)));
    let times = 2031..20_463;
    let first_changed = changed.iter().find(|at| times.contains(*at)).unwrap();
    assert!(
        (first_changed - 2031) / 9 > 0,
        "known keyframes are unchanged"
    );
}

#[test]
fn a_file_of_another_program_gets_a_head() {
    let directory = Directory::with(CLIP);
    let repaired = directory.repair().unwrap();
    let file = directory.bytes();
    assert_head_is_current(&file);
    assert_eq!(repaired.method, Method::Rewritten);
    assert_eq!((repaired.torn_bytes, repaired.garbage_bytes), (0, 0));
    assert!(tags(&file)[1..] == media_tags(CLIP));
    let view = TagView {
        offset: 13,
        header: flv::TagHeader {
            kind: TagKind::SCRIPT,
            is_filtered: false,
            length: crate::core::wire::U24::default(),
            timestamp_ms: 0,
        },
        body: &tags(&file)[0].2,
    };
    let (fields, _) = view.metadata().unwrap();
    assert_eq!(fields.get("framerate"), Some(&Value::Number(25.0)));
    let duration = fields
        .get("duration")
        .and_then(|duration| duration.as_number());
    assert!(duration.is_some_and(|duration| (duration - 3.0).abs() < 0.1));
    directory.assert_tidy();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_file_cut_anywhere_keeps_the_complete_tags_before_the_cut(
        is_from_rtmpull in any::<bool>(),
        at in 0.0f64..1.0,
    ) {
        let intact = if is_from_rtmpull { rtmpull_file(77) } else { CLIP.to_vec() };
        let damaged = &intact[..(intact.len() as f64 * at) as usize];
        let directory = Directory::with(damaged);
        let repaired = directory.repair();
        // FLV E.2, E.3: tags follow the file header of 9 bytes and PreviousTagSize0 of 4.
        let expected = if damaged.len() < 13 { Vec::new() } else { media_tags(damaged) };
        if expected.is_empty() {
            prop_assert!(repaired.is_err());
            prop_assert!(directory.bytes() == damaged);
        } else {
            let file = directory.bytes();
            prop_assert!(tags(&file)[1..] == expected[..]);
            assert_head_is_current(&file);
        }
        directory.assert_tidy();
    }
}

#[test]
fn garbage_between_tags_is_removed() {
    let noise = [b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &[7; 3_000_000][..]].concat();
    for intact in [rtmpull_file(30), CLIP.to_vec()] {
        let at = intact.len() - 20_000;
        let (mut reader, mut rest) = (TagReader::new(), &intact[..at]);
        while reader.read(&mut rest).unwrap().is_some() {}
        let (front, back) = intact.split_at(reader.intact_end() as usize);
        let directory = Directory::with(&[front, &noise, back].concat());
        let repaired = directory.repair().unwrap();
        assert_eq!(repaired.method, Method::Rewritten);
        assert_eq!(repaired.garbage_bytes as usize, noise.len());
        let file = directory.bytes();
        assert_head_is_current(&file);
        assert!(tags(&file)[1..] == media_tags(&intact));
        directory.assert_tidy();
    }
}

#[test]
fn tags_after_a_foreign_start_are_recovered() {
    let http = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n";
    let id3 = [&b"ID3\x03\0\0\0\0\x0f\x76"[..], &[0; 2038]].concat();
    let starts: [&[u8]; 5] = [&[0; 4096], http, &id3, &[0x08; 5], b""];
    for intact in [rtmpull_file(30), CLIP.to_vec()] {
        let expected = media_tags(&intact);
        for start in starts {
            // With the file header, without it, and without PreviousTagSize0 too.
            for lost in [0, 9, 13] {
                if start.is_empty() && lost == 0 {
                    continue;
                }
                let directory = Directory::with(&[start, &intact[lost..]].concat());
                let repaired = directory.repair().unwrap();
                assert_eq!(repaired.method, Method::Rewritten);
                assert_eq!(repaired.garbage_bytes as usize, start.len() + 13 - lost);
                let file = directory.bytes();
                assert_head_is_current(&file);
                assert!(tags(&file)[1..] == expected);
                directory.assert_tidy();
            }
        }
    }
}

#[test]
fn mp4_files_of_other_programs_are_refused_and_stay_unchanged() {
    let start = b"\0\0\0\x18ftypiso5\0\0\0\0iso5mp42\0\0\0\x10free\0\0\0\0\0\0\0\0";
    // Tags in the media of the file are not a reason to rewrite it as FLV.
    let complete = [&start[..], &CLIP[13..]].concat();
    let mut files = vec![complete.clone(), start.to_vec(), start[..8].to_vec()];
    for kind in [b"styp", b"moov", b"moof", b"mdat"] {
        let mut other = complete.clone();
        other[4..8].copy_from_slice(kind);
        files.push(other);
    }
    for file in files {
        let directory = Directory::with(&file);
        let error = directory.repair().unwrap_err().to_string();
        assert_eq!(
            error,
            "another program wrote this MP4 file: --repair finishes MP4 files of rtmpull; \
             for others, try ffmpeg -i FILE -c copy NEW.mp4"
        );
        assert!(directory.bytes() == file);
        directory.assert_tidy();
    }
}

#[test]
fn two_tags_without_a_file_header_are_not_flv() {
    let tag = Tag::new(TagKind::AUDIO, 0, Payload::from(&[0xAF, 1, 0][..]));
    let directory = Directory::with(&[b"noise", tag.as_bytes(), tag.as_bytes()].concat());
    assert!(matches!(directory.repair(), Err(Error::NotFlv(_))));
    directory.assert_tidy();
}

#[test]
fn a_damaged_head_is_rewritten() {
    let mut intact = rtmpull_file(50);
    intact[3000..4000].fill(0);
    let directory = Directory::with(&intact);
    directory.repair().unwrap();
    assert_head_is_current(&directory.bytes());
    assert!(tags(&directory.bytes())[1..] == media_tags(&intact));
    // The fields of the server are damaged too.
    intact[41_000..]
        .iter_mut()
        .take(100)
        .for_each(|byte| *byte = 0xFF);
    let directory = Directory::with(&intact);
    directory.repair().unwrap();
    assert_head_is_current(&directory.bytes());
    assert!(tags(&directory.bytes())[1..] == media_tags(&intact));
}

#[test]
fn files_without_media_stay_unchanged() {
    let head_alone = HeadWriter::new(Layout::Seekable).head();
    let headers: [&[u8]; 3] = [&head_alone, &head_alone[..30_000], &CLIP[..13]];
    for file in headers {
        let directory = Directory::with(file);
        assert!(matches!(directory.repair(), Err(Error::NoMedia)));
        assert!(directory.bytes() == file);
        directory.assert_tidy();
    }
    let directory = Directory::with(b"");
    assert!(matches!(directory.repair(), Err(Error::Empty)));
    directory.assert_tidy();
    for file in [&b"FL"[..], b"RIFF....AVI LIST and more"] {
        let directory = Directory::with(file);
        assert!(matches!(directory.repair(), Err(Error::NotFlv(_))));
        assert!(directory.bytes() == file);
        directory.assert_tidy();
    }
    let directory = Directory::with(CLIP);
    let missing = repair(&directory.path.with_extension("x"), None, &mut |_, _| true);
    assert!(matches!(missing, Err(Error::Open(_))));
    let no_file = repair(directory.directory.path(), None, &mut |_, _| true);
    assert!(matches!(no_file, Err(Error::NotRegularFile)));
}

#[test]
fn only_an_unsupported_sync_is_ignored() {
    use io::ErrorKind::{InvalidInput, StorageFull, Unsupported};

    for (kind, is_ignored) in [
        (InvalidInput, true),
        (Unsupported, true),
        (StorageFull, false),
    ] {
        let result = output::ignore_unsupported_sync(Err(kind.into()));
        assert_eq!(result.is_ok(), is_ignored, "{kind}");
    }
}

#[test]
#[cfg(unix)]
fn a_locked_file_stays_unchanged() {
    for intact in [rtmpull_file(30), CLIP.to_vec()] {
        let directory = Directory::with(&intact);
        let recorder = File::options().write(true).open(&directory.path).unwrap();
        output::lock(&recorder).unwrap();
        assert!(matches!(directory.repair(), Err(Error::Busy)));
        assert!(directory.bytes() == intact);
        drop(recorder);
        directory.repair().unwrap();
    }
}

#[test]
#[cfg(unix)]
fn a_locked_output_is_not_replaced() {
    let directory = Directory::with(CLIP);
    let output = directory.path.with_extension("new");
    let recorder = File::create(&output).unwrap();
    output::lock(&recorder).unwrap();
    let repair_to_output = || repair(&directory.path, Some(&output), &mut |_, _| true);
    assert!(matches!(repair_to_output(), Err(Error::OutputBusy(_))));
    assert_eq!(recorder.metadata().unwrap().len(), 0);
    assert_eq!(fs::read(&output).unwrap(), b"");
    drop(recorder);
    repair_to_output().unwrap();
    assert_head_is_current(&fs::read(&output).unwrap());
}

#[test]
fn a_growing_file_stays_unchanged() {
    let directory = Directory::with(CLIP);
    let grown = repair(&directory.path, None, &mut |_, _| {
        let mut recorder = File::options().append(true).open(&directory.path).unwrap();
        recorder.write_all(b"more").is_ok()
    });
    assert!(matches!(grown, Err(Error::Grew)));
    assert!(directory.bytes().starts_with(CLIP));
    directory.assert_tidy();
}

#[test]
fn an_interrupted_repair_changes_no_file() {
    for intact in [rtmpull_file(30), CLIP.to_vec()] {
        let directory = Directory::with(&intact);
        let interrupted = repair(&directory.path, None, &mut |_, _| false);
        assert!(matches!(interrupted, Err(Error::Interrupted)));
        assert!(directory.bytes() == intact);
        directory.assert_tidy();
    }
}

#[test]
fn an_output_file_receives_the_repaired_copy() {
    for intact in [rtmpull_file(30), CLIP.to_vec()] {
        let directory = Directory::with(&intact[..intact.len() - 3]);
        let output = directory.path.with_extension("new");
        for before in [None, Some("old")] {
            if let Some(before) = before {
                fs::write(&output, before).unwrap();
            }
            let repaired = repair(&directory.path, Some(&output), &mut |_, _| true);
            assert_eq!(repaired.unwrap().method, Method::Rewritten);
            assert!(directory.bytes() == intact[..intact.len() - 3]);
            let file = fs::read(&output).unwrap();
            assert_head_is_current(&file);
            assert!(tags(&file)[1..] == media_tags(&directory.bytes()));
        }
        let same_file = repair(&directory.path, Some(&directory.path), &mut |_, _| true);
        assert!(matches!(same_file, Err(Error::SameFile)));
        assert_eq!(fs::read_dir(directory.directory.path()).unwrap().count(), 2);
    }
}

#[test]
#[cfg(unix)]
fn only_regular_files_are_replaced() {
    use std::os::unix::{fs::FileTypeExt, net::UnixListener};

    let directory = Directory::with(CLIP);
    let special = directory.path.with_extension("socket");
    let _listener = UnixListener::bind(&special).unwrap();
    for output in [&*special, directory.directory.path()] {
        let repaired = repair(&directory.path, Some(output), &mut |_, _| true);
        assert!(matches!(repaired, Err(Error::OutputNotRegularFile(_))));
    }
    assert!(fs::metadata(&special).unwrap().file_type().is_socket());
    assert_eq!(fs::read_dir(directory.directory.path()).unwrap().count(), 2);
}

#[test]
fn only_a_temporary_file_of_rtmpull_is_overwritten() {
    let directory = Directory::with(CLIP);
    let temporary = directory.directory.path().join("clip.flv.repairing");
    fs::write(&temporary, "other content").unwrap();
    assert!(matches!(directory.repair(), Err(Error::TemporaryExists(_))));
    assert_eq!(fs::read(&temporary).unwrap(), b"other content");
    assert!(directory.bytes() == CLIP);
    fs::write(&temporary, &rtmpull_file(3)[..60_000]).unwrap();
    directory.repair().unwrap();
    assert_head_is_current(&directory.bytes());
    directory.assert_tidy();
}

#[test]
#[cfg(unix)]
fn permissions_and_links_are_preserved() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let directory = Directory::with(CLIP);
    fs::set_permissions(&directory.path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.directory.path().join("link.flv");
    symlink(&directory.path, &link).unwrap();
    repair(&link, None, &mut |_, _| true).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_head_is_current(&directory.bytes());
    let mode = fs::metadata(&directory.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn later_metadata_updates_the_head_and_encrypted_tags_are_kept() {
    let mut encrypted =
        Tag::new(TagKind::VIDEO, 10, Payload::from(&b"\x17\x01secret"[..])).into_bytes();
    encrypted[0] |= 0x20;
    let mut body = Vec::new();
    for value in ["@setDataFrame", "onMetaData"] {
        amf0::encode(&value.into(), &mut body);
    }
    amf0::encode(&Object::from_iter([("title", "late")]).into(), &mut body);
    let metadata = Tag::new(TagKind::SCRIPT, 20, Payload::from(&body[..]));
    let cue = Tag::new(
        TagKind::SCRIPT,
        30,
        Payload::from(&b"\x02\0\x05onCue\x05"[..]),
    );
    let tags_added = [&encrypted, metadata.as_bytes(), cue.as_bytes()].concat();
    let directory = Directory::with(&[CLIP, &tags_added].concat());
    directory.repair().unwrap();
    let file = directory.bytes();
    assert!(file.ends_with(&[&encrypted, cue.as_bytes()].concat()));
    assert!(file.windows(8).any(|window| window == b"\x05title\x02\0"));
}

#[test]
fn fields_before_damage_in_the_metadata_are_kept() {
    let body = b"\x02\0\x0aonMetaData\x03\0\x05title\x02\0\x04kept\0\x01x\x04\0\0\x09";
    let metadata = Tag::new(TagKind::SCRIPT, 20, Payload::from(&body[..]));
    let directory = Directory::with(&[CLIP, metadata.as_bytes()].concat());
    directory.repair().unwrap();
    let file = directory.bytes();
    let title = b"\x05title\x02\0\x04kept";
    assert!(file.windows(title.len()).any(|window| window == title));
}
