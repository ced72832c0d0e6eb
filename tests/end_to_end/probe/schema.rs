//! The JSON object contains exactly the members that the manual documents.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::probe;
use crate::{
    fixtures,
    peers::{ffmpeg::Ffmpeg, require},
    server::{Authority, Clip, Config, Server, Stream, TlsClose, TlsFront, Validity},
};

#[test]
fn manual_documents_every_member() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmps://localhost:{}/app/clip", front.port());
    let file = authority.file();
    let file = file.to_str().expect("a UTF-8 path");
    let failed = "video.height>9k";
    let probe = probe(&url, &["--ca-file", file, "--expect", failed]);
    let mut found = BTreeSet::new();
    walk("", &probe.json, &mut found);
    let documented: BTreeSet<String> = documented().map(str::to_owned).collect();
    let unknown: Vec<_> = found.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in the manual: {unknown:?}");
    // Members inside of these only exist with a proxy, a damaged stream or a file.
    let is_optional = |path: &&String| {
        let parents = [
            "connection.proxy.",
            "connection.tunnel.",
            "findings[].",
            "metadata[].",
            "file.",
        ];
        parents.iter().any(|parent| path.starts_with(parent))
    };
    let missing = documented.difference(&found);
    let missing: Vec<_> = missing.filter(|path| !is_optional(path)).collect();
    assert!(missing.is_empty(), "only in the manual: {missing:?}");
}

#[test]
fn manual_documents_every_member_of_a_file() {
    let ffmpeg = require!(Ffmpeg::find());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut flv = fs::read(fixtures::avc_aac_flv(&ffmpeg)).expect("a file");
    let middle = flv.len() / 2;
    flv[middle..middle + 20_000].fill(0xAA);
    let damaged = folder.path().join("damaged.flv");
    fs::write(&damaged, flv).expect("the file can be written");
    let mut found = BTreeSet::new();
    for file in [damaged, fixtures::avc_aac_mp4(&ffmpeg)] {
        let file = file.to_str().expect("a UTF-8 path");
        walk("", &probe(file, &[]).json, &mut found);
    }
    let documented: BTreeSet<String> = documented().map(str::to_owned).collect();
    let unknown: Vec<_> = found.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in the manual: {unknown:?}");
    let is_of_files = |path: &&String| path.starts_with("file.") || path.starts_with("findings[].");
    let missing: Vec<_> = documented.difference(&found).filter(is_of_files).collect();
    assert!(missing.is_empty(), "only in the manual: {missing:?}");
}

/// Adds the paths of all members in `value`, as the manual writes them.
fn walk(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                walk(&path, value, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => {
            let path = format!("{path}[]");
            items.iter().for_each(|item| walk(&path, item, paths));
        }
        _ => {}
    }
}

/// Returns the members in the items "- `tracks[].codec` (text): codec".
fn documented() -> impl Iterator<Item = &'static str> {
    let (_, section) = MANUAL
        .split_once("\n# JSON of a probe\n")
        .expect("a section of the manual");
    let section = section.split("\n# ").next().unwrap_or_default();
    let items = section.lines().filter_map(|line| line.strip_prefix("- `"));
    items.filter_map(|item| Some(item.split_once("` (")?.0))
}

const MANUAL: &str = include_str!("../../../src/cli/generate/manual.md");
