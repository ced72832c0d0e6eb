use std::{path::Path, time::Duration};

use super::*;
use crate::{
    cli::{
        exit_code::NotStarted,
        report::status::tests::{endpoint, registry},
    },
    download::{Progress, Report},
    output::{Drops, Gap},
};

#[test]
fn each_stream_has_a_row_with_its_facts() {
    let registry = registry();
    let mut listener = registry.open("cam");
    listener.connecting(&endpoint());
    listener.started(true);
    listener.file_opened(Path::new("/recordings/cam-001.flv"));
    listener.progress(&Progress {
        frames: 5,
        received_bytes: 5 << 10,
        position_ms: 83_000,
        drops: Drops {
            gaps: 1,
            frames: 7,
            bytes: 1,
            length_ms: 300,
        },
        ..Progress::default()
    });
    listener.gap(&Gap {
        at_ms: 1,
        began: Timestamp::from_second(3_723).unwrap(),
        length_ms: 2_500,
        reason: "a lost server".to_owned(),
    });
    let page = render(&registry, Instant::now());
    for part in [
        "<th scope=\"row\" role=\"rowheader\">cam</th>",
        "<span class=\"state playing\">playing</span>",
        "1:23<small>5 KiB</small>",
        "1 (2.5 s)<small>last: 2.5 s, <time datetime=\"1970-01-01T01:02:03Z\">01:02:03 UTC</time>, a lost server</small>",
        "the pipe lacks 7 frames (0.3 s)",
        "/recordings/cam-001.flv",
        "<strong>1</strong> playing",
        "<title>rtmpull: no stream has trouble</title>",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn streams_with_trouble_come_first() {
    let registry = registry();
    for name in ["a", "b", "c"] {
        registry.open(name);
    }
    registry
        .open("b")
        .not_started(NotStarted::Usage, "no output");
    let page = render(&registry, Instant::now());
    let at = |name: &str| page.find(&format!(">{name}</th>")).unwrap();
    assert!(at("b") < at("a") && at("a") < at("c"));
    assert!(page.contains("<small>usage: no output</small>"), "{page}");
    assert!(page.contains("<title>rtmpull: 1 stream has trouble</title>"));
    assert!(page.contains("<li class=\"bad\"><strong>1</strong> failed</li>"));
}

#[test]
fn a_silent_stream_is_marked() {
    let registry = registry();
    let mut listener = registry.open("cam");
    listener.connecting(&endpoint());
    listener.progress(&Progress {
        frames: 1,
        ..Progress::default()
    });
    let page = render(&registry, Instant::now() + Duration::from_secs(65));
    assert!(page.contains("<span class=\"state silent\">playing</span>"));
    assert!(page.contains("no media for 1:05"), "{page}");
}

#[test]
fn names_files_and_reasons_are_text() {
    let registry = registry();
    let mut listener = registry.open("<script>alert(1)</script>");
    listener.file_opened(Path::new("<img src=x>"));
    listener.not_started(NotStarted::Failed, "<b>\"'&");
    let page = render(&registry, Instant::now());
    assert_eq!(
        page.matches("<script>").count(),
        1,
        "the script of the page"
    );
    assert!(!page.contains("<img") && !page.contains("<b>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn the_policy_permits_only_the_style_and_the_script_of_the_page() {
    let policy = content_security_policy();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = render(&registry(), Instant::now());
    // The policy blocks style attributes and event handlers.
    assert!(!page.contains(" style=") && !page.contains(" onclick="));
    assert!(page.contains("There are no streams."));
}
