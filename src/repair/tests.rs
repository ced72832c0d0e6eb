use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::core::{
    flv::{Layout, Tag, TagReader},
    payload::Payload,
};

/// Three seconds of H.264 and AAC, as ffmpeg writes them.
const CLIP: &[u8] = include_bytes!("../../tests/server/clip.flv");

/// A tag as these tests compare it: kind, time, body.
type Found = (TagKind, i32, Vec<u8>);

/// The tags of a file. Panics unless it consists of whole tags.
fn tags(file: &[u8]) -> Vec<Found> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut tags = Vec::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        let TagView { header, body, .. } = tag;
        tags.push((header.kind, header.timestamp_ms, body.to_vec()));
    }
    assert_eq!(reader.torn(rest), None);
    tags
}

/// The whole tags in front of a cut, but for `onMetaData`.
fn whole_tags(file: &[u8]) -> Vec<Found> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    while reader.read(&mut rest).unwrap().is_some() {}
    let tags = tags(&file[..reader.intact_end() as usize]).into_iter();
    tags.filter(|tag| tag.0 != TagKind::SCRIPT).collect()
}

/// A file of ours with the tags of the clip, its head as it was after `patched` of them.
fn ours(patched: usize) -> Vec<u8> {
    let mut writer = HeadWriter::new(Layout::Seekable);
    let mut fields = Object::new();
    fields.push("encoder", "obs");
    writer.set_metadata(&fields);
    let mut file = writer.head();
    for (number, (kind, time_ms, body)) in whole_tags(CLIP).into_iter().enumerate() {
        if number == patched {
            for patch in writer.patches() {
                file[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
                writer.note_patch(&patch);
            }
        }
        let tag = Tag::new(kind, time_ms as u32, Payload::from(&body[..]));
        writer.note_tag(tag.as_bytes());
        file.extend(tag.as_bytes());
    }
    file
}

/// A folder with a file.
struct Folder {
    folder: TempDir,
    path: PathBuf,
}

impl Folder {
    fn with(file: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.flv");
        fs::write(&path, file).unwrap();
        Self { folder, path }
    }

    fn repair(&self) -> Result<Repaired, Error> {
        repair(&self.path, None, &mut |_, _| true)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Panics where there is more than the file in the folder.
    fn assert_tidy(&self) {
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
    }
}

/// A head that tells the truth about `file`, which is one of ours.
#[track_caller]
fn assert_true(file: &[u8]) {
    let mut writer = HeadWriter::reopen(file).expect("a head of ours");
    let (mut reader, mut rest) = (TagReader::new(), file);
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        if tag.offset >= head::LENGTH as u64 {
            record(&mut writer, &tag);
        }
    }
    assert_eq!(reader.torn(rest), None);
    assert_eq!(writer.patches(), []);
}

#[test]
fn a_file_of_ours_is_mended_where_it_stands() {
    for (patched, cut) in [(0, 5), (40, 1), (100, 5000), (usize::MAX, 0)] {
        let whole = ours(patched);
        let damaged = &whole[..whole.len() - cut];
        let folder = Folder::with(damaged);
        let repaired = folder.repair().unwrap();
        let file = folder.bytes();
        assert_true(&file);
        assert_eq!(file[head::LENGTH..], damaged[head::LENGTH..file.len()]);
        let expected = whole_tags(damaged);
        assert!(tags(&file)[1..] == expected);
        assert_eq!(repaired.method, Method::InPlace);
        assert_eq!(repaired.torn_bytes as usize, damaged.len() - file.len());
        assert_eq!(repaired.tags as usize, expected.len());
        assert_eq!(folder.repair().unwrap().method, Method::Unchanged);
        assert!(folder.bytes() == file);
        folder.assert_tidy();
    }
}

#[test]
fn only_the_torn_end_and_what_the_head_did_not_know_change() {
    let whole = ours(60);
    let folder = Folder::with(&whole[..whole.len() - 7]);
    folder.repair().unwrap();
    let file = folder.bytes();
    let changed: Vec<usize> = (0..head::LENGTH)
        .filter(|at| file[*at] != whole[*at])
        .collect();
    // Numbers among our own fields, and slots that held the last keyframe of then.
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|at| (42..38_915).contains(at)));
    let times = 2031..20_463;
    let first_changed = changed.iter().find(|at| times.contains(*at)).unwrap();
    assert!((first_changed - 2031) / 9 > 0, "known keyframes stay");
}

#[test]
fn a_file_of_others_gets_a_head() {
    let folder = Folder::with(CLIP);
    let repaired = folder.repair().unwrap();
    let file = folder.bytes();
    assert_true(&file);
    assert_eq!(repaired.method, Method::Rewritten);
    assert_eq!((repaired.torn_bytes, repaired.garbage_bytes), (0, 0));
    assert!(tags(&file)[1..] == whole_tags(CLIP));
    let fields = on_meta_data(&TagView {
        offset: 13,
        header: flv::TagHeader {
            kind: TagKind::SCRIPT,
            is_filtered: false,
            length: crate::core::wire::U24::default(),
            timestamp_ms: 0,
        },
        body: &tags(&file)[0].2,
    });
    let fields = fields.unwrap();
    assert_eq!(fields.get("framerate"), Some(&Value::Number(25.0)));
    let duration = fields
        .get("duration")
        .and_then(|duration| duration.as_number());
    assert!(duration.is_some_and(|duration| (duration - 3.0).abs() < 0.1));
    folder.assert_tidy();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_clip_cut_anywhere_keeps_exactly_the_whole_tags_before_the_cut(
        is_ours in any::<bool>(),
        at in 0.0f64..1.0,
    ) {
        let whole = if is_ours { ours(77) } else { CLIP.to_vec() };
        let damaged = &whole[..(whole.len() as f64 * at) as usize];
        let folder = Folder::with(damaged);
        let repaired = folder.repair();
        let expected = if damaged.len() < 9 { Vec::new() } else { whole_tags(damaged) };
        if expected.is_empty() {
            prop_assert!(repaired.is_err());
            prop_assert!(folder.bytes() == damaged);
        } else {
            let file = folder.bytes();
            prop_assert!(tags(&file)[1..] == expected[..]);
            assert_true(&file);
        }
        folder.assert_tidy();
    }
}

#[test]
fn garbage_between_tags_is_left_out() {
    let noise = [b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &[7; 3_000_000][..]].concat();
    for whole in [ours(30), CLIP.to_vec()] {
        let at = whole.len() - 20_000;
        let (mut reader, mut rest) = (TagReader::new(), &whole[..at]);
        while reader.read(&mut rest).unwrap().is_some() {}
        let (front, back) = whole.split_at(reader.intact_end() as usize);
        let folder = Folder::with(&[front, &noise, back].concat());
        let repaired = folder.repair().unwrap();
        assert_eq!(repaired.method, Method::Rewritten);
        assert_eq!(repaired.garbage_bytes as usize, noise.len());
        let file = folder.bytes();
        assert_true(&file);
        assert!(tags(&file)[1..] == whole_tags(&whole));
        folder.assert_tidy();
    }
}

#[test]
fn a_damaged_head_of_ours_is_made_again() {
    let mut whole = ours(50);
    whole[3000..4000].fill(0);
    let folder = Folder::with(&whole);
    folder.repair().unwrap();
    assert_true(&folder.bytes());
    assert!(tags(&folder.bytes())[1..] == whole_tags(&whole));
    // Now the server's fields, too.
    whole[41_000..]
        .iter_mut()
        .take(100)
        .for_each(|byte| *byte = 0xFF);
    let folder = Folder::with(&whole);
    folder.repair().unwrap();
    assert_true(&folder.bytes());
    assert!(tags(&folder.bytes())[1..] == whole_tags(&whole));
}

#[test]
fn what_holds_nothing_is_left_alone() {
    let head_alone = HeadWriter::new(Layout::Seekable).head();
    let headers: [&[u8]; 3] = [&head_alone, &head_alone[..30_000], &CLIP[..13]];
    for file in headers {
        let folder = Folder::with(file);
        assert!(matches!(folder.repair(), Err(Error::NoMedia)));
        assert!(folder.bytes() == file);
        folder.assert_tidy();
    }
    let folder = Folder::with(b"");
    assert!(matches!(folder.repair(), Err(Error::Empty)));
    folder.assert_tidy();
    for file in [&b"FL"[..], b"RIFF....AVI LIST and more"] {
        let folder = Folder::with(file);
        assert!(matches!(folder.repair(), Err(Error::NotFlv(_))));
        assert!(folder.bytes() == file);
        folder.assert_tidy();
    }
    let folder = Folder::with(CLIP);
    let missing = repair(&folder.path.with_extension("x"), None, &mut |_, _| true);
    assert!(matches!(missing, Err(Error::Open(_))));
    let no_file = repair(folder.folder.path(), None, &mut |_, _| true);
    assert!(matches!(no_file, Err(Error::NotRegularFile)));
}

#[test]
#[cfg(unix)]
fn a_file_that_is_being_written_is_left_alone() {
    for whole in [ours(30), CLIP.to_vec()] {
        let folder = Folder::with(&whole);
        let recorder = File::options().write(true).open(&folder.path).unwrap();
        output::lock(&recorder).unwrap();
        assert!(matches!(folder.repair(), Err(Error::Busy)));
        assert!(folder.bytes() == whole);
        drop(recorder);
        folder.repair().unwrap();
    }
}

#[test]
#[cfg(unix)]
fn the_output_does_not_take_the_place_of_a_recording() {
    let folder = Folder::with(CLIP);
    let output = folder.path.with_extension("new");
    let recorder = File::create(&output).unwrap();
    output::lock(&recorder).unwrap();
    let again = || repair(&folder.path, Some(&output), &mut |_, _| true);
    assert!(matches!(again(), Err(Error::OutputBusy(_))));
    assert_eq!(recorder.metadata().unwrap().len(), 0);
    assert_eq!(fs::read(&output).unwrap(), b"");
    drop(recorder);
    again().unwrap();
    assert_true(&fs::read(&output).unwrap());
}

#[test]
fn a_file_of_others_that_grows_is_left_alone() {
    let folder = Folder::with(CLIP);
    let grown = repair(&folder.path, None, &mut |_, _| {
        let mut recorder = File::options().append(true).open(&folder.path).unwrap();
        recorder.write_all(b"more").is_ok()
    });
    assert!(matches!(grown, Err(Error::Grew)));
    assert!(folder.bytes().starts_with(CLIP));
    folder.assert_tidy();
}

#[test]
fn a_repair_that_is_given_up_leaves_everything_as_it_was() {
    for whole in [ours(30), CLIP.to_vec()] {
        let folder = Folder::with(&whole);
        let given_up = repair(&folder.path, None, &mut |_, _| false);
        assert!(matches!(given_up, Err(Error::Interrupted)));
        assert!(folder.bytes() == whole);
        folder.assert_tidy();
    }
}

#[test]
fn another_file_may_get_what_was_saved() {
    for whole in [ours(30), CLIP.to_vec()] {
        let folder = Folder::with(&whole[..whole.len() - 3]);
        let output = folder.path.with_extension("new");
        for before in [None, Some("old")] {
            if let Some(before) = before {
                fs::write(&output, before).unwrap();
            }
            let repaired = repair(&folder.path, Some(&output), &mut |_, _| true);
            assert_eq!(repaired.unwrap().method, Method::Rewritten);
            assert!(folder.bytes() == whole[..whole.len() - 3]);
            let file = fs::read(&output).unwrap();
            assert_true(&file);
            assert!(tags(&file)[1..] == whole_tags(&folder.bytes()));
        }
        let itself = repair(&folder.path, Some(&folder.path), &mut |_, _| true);
        assert!(matches!(itself, Err(Error::SameFile)));
        assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 2);
    }
}

#[test]
#[cfg(unix)]
fn the_output_takes_the_place_of_a_file_and_of_nothing_else() {
    use std::os::unix::{fs::FileTypeExt, net::UnixListener};

    let folder = Folder::with(CLIP);
    let special = folder.path.with_extension("socket");
    let _listener = UnixListener::bind(&special).unwrap();
    for output in [&*special, folder.folder.path()] {
        let repaired = repair(&folder.path, Some(output), &mut |_, _| true);
        assert!(matches!(repaired, Err(Error::OutputNotRegularFile(_))));
    }
    assert!(fs::metadata(&special).unwrap().file_type().is_socket());
    assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 2);
}

#[test]
fn a_new_file_goes_over_what_a_killed_repair_left_and_nothing_else() {
    let folder = Folder::with(CLIP);
    let unfinished = folder.folder.path().join("clip.flv.repairing");
    fs::write(&unfinished, "somebody's only copy").unwrap();
    assert!(matches!(folder.repair(), Err(Error::TemporaryExists(_))));
    assert_eq!(fs::read(&unfinished).unwrap(), b"somebody's only copy");
    assert!(folder.bytes() == CLIP);
    fs::write(&unfinished, &ours(3)[..60_000]).unwrap();
    folder.repair().unwrap();
    assert_true(&folder.bytes());
    folder.assert_tidy();
}

#[test]
#[cfg(unix)]
fn permissions_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = Folder::with(CLIP);
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.folder.path().join("link.flv");
    symlink(&folder.path, &link).unwrap();
    repair(&link, None, &mut |_, _| true).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_true(&folder.bytes());
    let mode = fs::metadata(&folder.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn later_metadata_goes_into_the_head_and_encrypted_tags_are_kept() {
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
    let folder = Folder::with(&[CLIP, &tags_added].concat());
    folder.repair().unwrap();
    let file = folder.bytes();
    assert!(file.ends_with(&[&encrypted, cue.as_bytes()].concat()));
    assert!(file.windows(8).any(|window| window == b"\x05title\x02\0"));
}
