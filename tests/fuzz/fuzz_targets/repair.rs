//! Repair of damaged and arbitrary files: the result is intact, a second repair changes nothing, and a
//! failed repair leaves the file unchanged.

#![no_main]

mod damage;

use std::{fs, path::Path};

use arbitrary::Arbitrary;
use damage::{Damage, Frame};
use libfuzzer_sys::fuzz_target;
use rtmpull::{
    core::flv::{TagKind, TagReader},
    repair::{self, Method},
};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Damaged {
        has_own_head: bool,
        is_to_another_file: bool,
        frames: Vec<Frame<'a>>,
        damage: Vec<Damage<'a>>,
    },
}

fuzz_target!(|input: Input<'_>| {
    let path = damage::scratch_file();
    let (bytes, is_to_another_file) = match &input {
        Input::Bytes(bytes) => (bytes.to_vec(), false),
        Input::Damaged {
            has_own_head,
            is_to_another_file,
            frames,
            damage,
        } => {
            let mut bytes = damage::file(*has_own_head, frames);
            damage.iter().for_each(|damage| damage.apply(&mut bytes));
            (bytes, *is_to_another_file)
        }
    };
    fs::write(&path, &bytes).expect("a writable folder");
    if is_to_another_file {
        let output = path.with_extension("repaired.flv");
        let repaired = repair::repair(&path, Some(&output), &mut |_, _| true);
        assert!(
            fs::read(&path).expect("the file") == bytes,
            "the source changed"
        );
        if repaired.is_ok() {
            check(&output, &intact_tags(&bytes));
            fs::remove_file(&output).expect("the output");
        }
        assert!(!output.exists());
    } else {
        match repair::repair(&path, None, &mut |_, _| true) {
            Ok(repaired) => {
                let after = fs::read(&path).expect("the file");
                assert_eq!(repaired.method == Method::Unchanged, after == bytes);
                check(&path, &intact_tags(&bytes));
            }
            Err(_) => assert!(
                fs::read(&path).expect("the file") == bytes,
                "changed by an error"
            ),
        }
    }
});

type Media = Vec<(TagKind, i32, Vec<u8>)>;

/// Panics unless the repaired file is intact and starts with `media`.
fn check(path: &Path, media: &[(TagKind, i32, Vec<u8>)]) {
    let file = fs::read(path).expect("the file");
    let mut reader = TagReader::new();
    let mut rest = &file[..];
    while reader.read(&mut rest).expect("an intact file").is_some() {}
    assert!(rest.is_empty(), "bytes after the last tag");
    assert!(intact_tags(&file).starts_with(media), "tags are lost");
    let again = repair::repair(path, None, &mut |_, _| true).expect("a repaired file");
    assert_eq!(again.method, Method::Unchanged, "{again:?}");
    assert_eq!(
        (again.torn_bytes, again.garbage_bytes, again.corrected_sizes),
        (0, 0, 0)
    );
    assert!(fs::read(path).expect("the file") == file);
}

/// Audio and video tags before the first damage.
fn intact_tags(file: &[u8]) -> Media {
    let mut reader = TagReader::new();
    let mut rest = file;
    let mut tags = Vec::new();
    while let Ok(Some(tag)) = reader.read(&mut rest) {
        if matches!(tag.header.kind, TagKind::AUDIO | TagKind::VIDEO) {
            tags.push((tag.header.kind, tag.header.timestamp_ms, tag.body.to_vec()));
        }
    }
    tags
}
