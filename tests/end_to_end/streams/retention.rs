//! Old segments of several streams are deleted.

use super::*;
use crate::retention::{assert_newest_kept, segments, server};

#[test]
fn each_stream_deletes_its_own_segments() {
    let server = server(|clip| Stream::recorded(clip).paced(Pace::Unbounded));
    let defaults =
        "segment-time = \"1\"\noutput = \"{name}-%02d.flv\"\nmanifest = \"{name}.jsonl\"";
    let url = format!("url = \"{}\"", server.url("clip"));
    let kept = |size: &str| format!("{url}\nkeep-size = \"{size}\"");
    let streams = Streams::new(defaults)
        .with("few", &kept("150kB"))
        .with("more", &kept("300kB"))
        .with("all", &format!("{url}\nkeep = \"7d\""));
    let finished = streams.run(&[]);
    assert_eq!(finished.code(), Some(0), "{finished}");
    assert_newest_kept(&streams.folder, "few.jsonl", 150_000);
    assert_newest_kept(&streams.folder, "more.jsonl", 300_000);
    let all = segments(&streams.folder, "all.jsonl");
    assert_eq!(all.len(), 12);
    for (name, segment) in &all {
        assert!(name.starts_with("all-") && segment.deleted.is_none());
        assert!(streams.folder.path(name).exists(), "{name}");
    }
}

#[test]
fn streams_without_a_manifest_are_errors_of_their_line() {
    let streams = Streams::new("output = \"{name}-%d.flv\"").with(
        "cam",
        "url = \"rtmp://127.0.0.1:1/app/clip\"\nkeep = \"7d\"",
    );
    let finished = streams.run(&["--check"]);
    assert_eq!(finished.code(), Some(1), "{finished}");
    let why = "stream cam: --keep needs --manifest: only segments that it lists are deleted";
    let line = format!("ERROR: usage: {FILE}:7: {why}\n");
    assert_eq!(finished.stderr, line);
}
