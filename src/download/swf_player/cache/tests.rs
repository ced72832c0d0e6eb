use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// File of rtmpdump 2.4 with changed URLs.
const SWFINFO: &str = "\
url: http://h/fws.swf
ctim: Sun, 22 Nov 2026 16:45:13 GMT
date: Sun, 01 Nov 2026 10:33:37 GMT
size: 00000bc0
hash: c4ac65ed43c8dc7bca7c015a765eb0ec0e0cd61dfd7f212cf96c6a78029d14e9
url: http://h/nolm.swf
ctim: Sun, 22 Nov 2026 16:45:14 GMT
date: \n\
size: 00000bc1
hash: 00ac65ed43c8dc7bca7c015a765eb0ec0e0cd61dfd7f212cf96c6a78029d1400
";

fn cache_with(text: &[u8]) -> (Cache, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache {
        file: folder.path().join(".swfinfo"),
        max_age: Duration::from_secs(60),
    };
    fs::write(&cache.file, text).unwrap();
    (cache, folder)
}

fn entry(checked: i64, modified: &str) -> Entry {
    Entry {
        checked: Timestamp::from_second(checked).unwrap(),
        modified: modified.to_owned(),
        fingerprint: Fingerprint {
            hash: [0xa7; 32],
            size: 0x1_0002,
        },
    }
}

/// Lines of [`entry`] at second 0 for `h/new.swf`.
const NEW: &str = "\
url: h/new.swf
ctim: Thu, 01 Jan 1970 00:00:00 GMT
date: then
size: 00010002
hash: a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7
";

#[test]
fn files_of_rtmpdump_are_read() {
    let (cache, _folder) = cache_with(SWFINFO.as_bytes());
    let first = cache.look_up("http://h/fws.swf").unwrap().unwrap();
    assert_eq!(first.checked.to_string(), "2026-11-22T16:45:13Z");
    let date = "Sun, 01 Nov 2026 10:33:37 GMT";
    assert_eq!(first.last_modified(), Some(date));
    assert_eq!(first.fingerprint.size, 3008);
    assert_eq!(first.fingerprint.hash[..2], [0xc4, 0xac]);
    assert_eq!(first.fingerprint.hash[31], 0xe9);
    let second = cache.look_up("http://h/nolm.swf").unwrap().unwrap();
    assert_eq!(second.last_modified(), None);
    for other in [
        "http://h/a/fws.swf",
        "http://h/fws.sw",
        "http://h/fws.swf?",
        "",
    ] {
        assert_eq!(cache.look_up(other).unwrap(), None, "{other}");
    }
}

#[test]
fn files_are_written_in_the_format_of_rtmpdump() {
    let (cache, folder) = cache_with(b"");
    cache.store("h/new.swf", &entry(0, "then")).unwrap();
    assert_eq!(fs::read_to_string(&cache.file).unwrap(), NEW);
    fs::remove_file(&cache.file).unwrap();
    let cache = Cache {
        file: folder.path().join("a/b/swfinfo"),
        ..cache
    };
    assert_eq!(cache.look_up("h/new.swf").unwrap(), None);
    cache.store("h/new.swf", &entry(0, "then")).unwrap();
    assert_eq!(fs::read_to_string(&cache.file).unwrap(), NEW);
    let found = cache.look_up("h/new.swf").unwrap();
    assert_eq!(found, Some(entry(0, "then")));
}

#[test]
fn a_store_replaces_one_entry_only() {
    let windows = SWFINFO.replace('\n', "\r\n");
    for text in [SWFINFO, &windows] {
        let changed = update(text, "http://h/fws.swf", &entry(0, "")).unwrap();
        let line_end = if text.contains('\r') { "\r\n" } else { "\n" };
        let first = "url: http://h/fws.swf|ctim: Thu, 01 Jan 1970 00:00:00 GMT|date: |\
                     size: 00010002|\
                     hash: a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7|"
            .replace('|', line_end);
        let second = &text[text.rfind("url: ").unwrap()..];
        assert_eq!(changed, first + second);
    }
    let unknown = format!("# mine\n{SWFINFO}\nurl: x\nsomething: else\nno end");
    let longer = update(&unknown, "h/new.swf", &entry(0, "then")).unwrap();
    assert_eq!(longer, format!("{unknown}\n{NEW}"));
    let changed = update(&longer, "h/new.swf", &entry(0, "then")).unwrap();
    assert_eq!(changed, longer);
}

#[test]
fn invalid_last_modified_values_are_not_stored() {
    for modified in ["two\nlines", "\u{7f}", "é", &"x".repeat(64)] {
        let text = update("", "h/new.swf", &entry(0, modified)).unwrap();
        assert_eq!(text, NEW.replace("then", ""), "{modified}");
    }
}

#[test]
fn files_in_another_format_are_not_written() {
    let broken_entry = |from: &str, to: &str| NEW.replace(from, to).into_bytes();
    let large = [NEW.as_bytes(), &b"#\n".repeat(MAX_BYTES as usize / 2)].concat();
    for text in [
        b"plain text".to_vec(),
        b"\n".to_vec(),
        vec![0; 100],
        b"url: h/new.swf\xff\n".to_vec(),
        broken_entry("ctim: Thu, 01", "ctim: Thu, 00"),
        broken_entry("00:00:00 GMT", ""),
        broken_entry("date: ", ""),
        broken_entry("size: 0", "size: "),
        broken_entry("size: 0", "size: +"),
        broken_entry("hash: a7", "hash: "),
        broken_entry("hash: a7", "hash: -7"),
        large,
    ] {
        let (cache, folder) = cache_with(&text);
        let error = cache.look_up("h/new.swf").unwrap_err().to_string();
        assert!(error.ends_with(".swfinfo is damaged"), "{error}");
        assert!(cache.store("h/new.swf", &entry(0, "")).is_err());
        assert_eq!(fs::read(&cache.file).unwrap(), text);
        let names = fs::read_dir(folder.path()).unwrap();
        let names = names.map(|file| file.unwrap().file_name());
        assert!(names.into_iter().all(|name| name != ".swfinfo.new"));
    }
}

#[test]
fn a_damaged_entry_does_not_affect_others() {
    let text = format!("url: http://h/other.swf\nsize: x\n{NEW}");
    let (cache, _folder) = cache_with(text.as_bytes());
    let found = cache.look_up("h/new.swf").unwrap();
    assert_eq!(found, Some(entry(0, "then")));
    assert!(cache.look_up("http://h/other.swf").is_err());
}

#[test]
fn a_file_cut_anywhere_is_complete_or_damaged() {
    for end in 1..NEW.len() {
        match find(&NEW[..end], "h/new.swf") {
            Ok(Some(found)) => {
                assert_eq!(end, NEW.len() - 1, "only the last line end may be missing");
                assert_eq!(found.entry, entry(0, "then"));
            }
            Ok(None) => assert!(NEW[..end].starts_with("url: ") && !NEW[..end].contains("new.swf")),
            Err(Damaged) => {}
        }
    }
}

#[test]
fn an_entry_is_fresh_until_the_maximum_age() {
    let (cache, _folder) = cache_with(b"");
    let entry = entry(1_000, "");
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(cache.is_fresh(&entry, at(1_000)));
    assert!(cache.is_fresh(&entry, at(1_059)));
    assert!(!cache.is_fresh(&entry, at(1_060)));
    assert!(!cache.is_fresh(&entry, at(999)));
    let max_age = Duration::ZERO;
    assert!(!Cache { max_age, ..cache }.is_fresh(&entry, at(1_000)));
}

#[test]
fn read_only_files_are_not_replaced() {
    let (cache, folder) = cache_with(NEW.as_bytes());
    let mut permissions = fs::metadata(&cache.file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&cache.file, permissions).unwrap();
    assert!(cache.look_up("h/new.swf").unwrap().is_some());
    let error = cache.store("h/new.swf", &entry(5, "")).unwrap_err();
    assert!(matches!(error, CacheError::Write { .. }), "{error}");
    assert_eq!(fs::read_to_string(&cache.file).unwrap(), NEW);

    let file = folder.path().to_owned();
    let directory = Cache { file, ..cache };
    assert!(matches!(
        directory.look_up("x").unwrap_err(),
        CacheError::Read { .. }
    ));
    assert!(directory.store("x", &entry(0, "")).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let (cache, folder) = cache_with(SWFINFO.as_bytes());
    fs::set_permissions(&cache.file, Permissions::from_mode(0o600)).unwrap();
    let link = folder.path().join("link");
    symlink(&cache.file, &link).unwrap();
    let linked = Cache {
        file: link.clone(),
        max_age: cache.max_age,
    };
    linked.store("h/new.swf", &entry(0, "then")).unwrap();
    assert!(link.is_symlink());
    let text = fs::read_to_string(&cache.file).unwrap();
    assert_eq!(text, format!("{SWFINFO}{NEW}"));
    let mode = fs::metadata(&cache.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let file = PathBuf::from("/dev/null");
    let device = Cache { file, ..cache };
    assert!(device.look_up("x").is_err());
    assert!(device.store("x", &entry(0, "")).is_err());
}

#[test]
fn concurrent_stores_keep_all_entries() {
    let (cache, _folder) = cache_with(SWFINFO.as_bytes());
    thread::scope(|scope| {
        for writer in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                for player in 0..5 {
                    let key = format!("http://h/{writer}/{player}.swf");
                    cache.store(&key, &entry(player, "then")).unwrap();
                    assert!(cache.look_up(&key).unwrap().is_some());
                }
            });
        }
    });
    let text = fs::read_to_string(&cache.file).unwrap();
    assert!(text.starts_with(SWFINFO));
    assert_eq!(text.lines().count(), SWFINFO.lines().count() + 40 * LINES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_store_changes_only_its_entry(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("url: h/new.swf"), Just("url: h/other.swf"), Just("url: "),
                Just("ctim: Sun, 22 Nov 2026 16:45:13 GMT"), Just("date: "), Just("size: 00000bc1"),
                Just("hash: a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"),
                Just(""), Just("\r"), Just("#"),
            ],
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        if let Ok(changed) = update(&text, "h/new.swf", &entry(7, "then")) {
            let found = find(&changed, "h/new.swf").unwrap().unwrap();
            prop_assert_eq!(&found.entry, &entry(7, "then"));
            let rest = [&changed[..found.start], &changed[found.end..]].concat();
            let old = find(&text, "h/new.swf").unwrap();
            let expected = match old {
                Some(old) => [&text[..old.start], &text[old.end..]].concat(),
                None if text.is_empty() || text.ends_with('\n') => text,
                None => text + "\n",
            };
            prop_assert_eq!(rest, expected);
        }
    }
}
