use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{
    event::{Options, SCHEMA_VERSION, Start},
    *,
};
use crate::{
    cli::{
        args::Verbosity,
        generate::MANUAL,
        terminal::screen::tests::{Written, plain},
    },
    core::flv::{TagKind, TrackId, codec::AudioCodec, frame_info::Codec},
    download::{Ending, Hint},
    output::Gaps,
};

/// Returns the lines that `write` writes.
fn lines(write: impl FnOnce(&mut JsonReport)) -> Vec<Json> {
    lines_of(None, write)
}

/// Returns the lines that `write` writes about one of several streams, or about the only one.
fn lines_of(stream: Option<&str>, write: impl FnOnce(&mut JsonReport)) -> Vec<Json> {
    let written = Written::default();
    let sink = written.clone();
    let events = Arc::new(EventWriter::start(move || Ok(sink)).unwrap());
    let (screen, _) = plain(Verbosity::Normal);
    screen.add_secrets(["s3cret".to_owned()]);
    let reported = match stream {
        Some(name) => Arc::new(events.for_stream(&name.into())),
        None => Arc::clone(&events),
    };
    let mut report = JsonReport::new(reported, screen, DisplayOptions::default());
    write(&mut report);
    // Waits for the lines if `write` wrote no summary.
    events.finish(Summary::default());
    let text = written.take();
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn gap() -> Gap {
    Gap {
        at_ms: 1_000,
        began: "2026-11-22T15:04:05.678Z".parse().unwrap(),
        length_ms: 250,
        reason: "rtmp://me:pw@host\x1b \u{9b} s3cret".to_owned(),
    }
}

fn new_track() -> NewTrack {
    NewTrack {
        track: TrackId {
            kind: TagKind::AUDIO,
            id: 1,
        },
        codec: Codec::Audio(AudioCodec::AAC),
        is_recorded: false,
    }
}

fn retry(limit: Option<u32>) -> Retry {
    Retry {
        attempt: 1,
        limit,
        wait: Duration::from_millis(1_500),
        ending: Ending::NoConnection,
        reason: "?token=x".to_owned(),
    }
}

fn segment() -> SegmentFacts {
    SegmentFacts {
        path: "a \u{202e}b.flv".to_owned(),
        segment: 2,
        offset_ms: 20,
        duration_ms: 10,
        bytes: 1_000,
        start: "2026-11-22T16:04:05.678+01:00".to_owned(),
    }
}

fn progress(position_ms: u64, duration_ms: Option<u64>) -> Progress {
    Progress {
        frames: 1 + position_ms,
        bytes: 5,
        position_ms,
        duration_ms,
        ..Progress::default()
    }
}

fn outcome() -> Outcome {
    let mut gaps = Gaps::default();
    gaps.push(gap());
    gaps.push(gap());
    Outcome {
        ending: Ending::Cut,
        reason: "a\nb s3cret".to_owned(),
        media_arrived: true,
        handshake_done: true,
        is_live: true,
        bytes: 39_561,
        tags: 150,
        position_ms: 3_000,
        duration_ms: None,
        gaps,
        missing_sequence_headers: vec![TagKind::VIDEO, TagKind::AUDIO],
        missing_tracks: vec![TrackId {
            kind: TagKind::AUDIO,
            id: 7,
        }],
        hints: vec![Hint::CheckPort, Hint::UseLive],
    }
}

fn start() -> Start {
    Start {
        inputs: Vec::new(),
        schema_version: SCHEMA_VERSION,
        version: "1.2.3",
        url: "rtmp://***@host/app/clip".to_owned(),
        output: "-".to_owned(),
        options: Options {
            live: true,
            resume: false,
            tracks: Some("v0,a1".to_owned()),
            start_ms: 0,
            length_ms: Some(5),
            max_bytes: None,
            until: Some("2026-11-22T15:04:05.678Z".to_owned()),
            segment_ms: None,
            segment_bytes: Some(6),
            segment_clock_seconds: None,
            split_on_change: false,
        },
    }
}

/// Returns every event, and members that may be null with and without a value.
fn all_events() -> Vec<Json> {
    lines(|report| {
        let endpoint = Endpoint {
            host: "host".to_owned(),
            port: 1935,
        };
        report.events.write(&Event::Start(start()));
        report.connecting(&endpoint);
        report.connected();
        report.metadata(&[("title", "a s3cret\x7f")].into_iter().collect());
        report.progress(&progress(40, Some(3_000)));
        report.segment(&segment());
        report.gap(&gap());
        report.track(&new_track());
        report.format_changed(&crate::cli::report::change());
        report.reconnect(&Reconnect {
            state: ReconnectState::Failed,
            endpoint: Endpoint {
                host: "host".to_owned(),
                port: 1935,
            },
            reason: "?token=s3cret".to_owned(),
        });
        for gap_ms in [Some(40), None] {
            report.source(&SourceSwitch {
                number: 2,
                endpoint: endpoint.clone(),
                reason: "?token=s3cret".to_owned(),
                gap_ms,
            });
        }
        report.retry(&retry(Some(5)));
        report.retry(&retry(None));
        let (level, text) = ("info", "text");
        report.events.write(&Event::Log { level, text });
        report.finished(&outcome());
    })
}

#[test]
fn every_event_is_a_line_of_json() {
    let written: Vec<_> = all_events()
        .into_iter()
        .map(|mut line| {
            let members = line.as_object_mut().unwrap();
            let time = members.remove("time").unwrap();
            assert!(time.as_str().unwrap().parse::<Timestamp>().is_ok());
            line
        })
        .collect();
    let gap = json!({
        "at_ms": 1000, "began": "2026-11-22T15:04:05.678Z", "length_ms": 250,
        "reason": "rtmp://***@host\u{1b} \u{9b} ***",
    });
    let mut gap_event = gap.clone();
    gap_event["event"] = "gap".into();
    gap_event["position_ms"] = 40.into();
    let expected = [
        json!({"event": "start", "position_ms": 0, "schema_version": 1, "version": "1.2.3",
            "url": "rtmp://***@host/app/clip", "inputs": [], "output": "-", "options": {
                "live": true, "resume": false, "tracks": "v0,a1", "start_ms": 0, "length_ms": 5, "max_bytes": null,
                "until": "2026-11-22T15:04:05.678Z", "segment_ms": null, "segment_bytes": 6,
                "segment_clock_seconds": null, "split_on_change": false}}),
        json!({"event": "connected", "position_ms": 0, "host": "host", "port": 1935}),
        json!({"event": "metadata", "position_ms": 0, "members": {"title": "a ***\u{7f}"},
            "is_complete": true}),
        json!({"event": "progress", "position_ms": 40, "bytes": 5, "expected_ms": 3000}),
        json!({"event": "segment", "position_ms": 40, "path": "a \u{202e}b.flv", "segment": 2,
            "offset_ms": 20, "duration_ms": 10, "bytes": 1000,
            "start": "2026-11-22T16:04:05.678+01:00"}),
        gap_event,
        json!({"event": "track", "position_ms": 40, "track": "a1", "kind": "audio", "id": 1,
            "codec": "aac", "recorded": false}),
        json!({"event": "format", "position_ms": 40, "track": "video", "from": "h264 1920x1080",
            "to": "h264 1280x720", "at_ms": 12_000}),
        json!({"event": "reconnect", "position_ms": 40, "state": "failed", "host": "host",
            "port": 1935, "reason": "?token=***"}),
        json!({"event": "source", "position_ms": 40, "number": 2, "host": "host", "port": 1935,
            "reason": "?token=***", "gap_ms": 40}),
        json!({"event": "source", "position_ms": 40, "number": 2, "host": "host", "port": 1935,
            "reason": "?token=***", "gap_ms": null}),
        json!({"event": "retry", "position_ms": 40, "attempt": 1, "limit": 5, "wait_ms": 1500,
            "ending": "no-connection", "reason": "?token=***"}),
        json!({"event": "retry", "position_ms": 40, "attempt": 1, "limit": null, "wait_ms": 1500,
            "ending": "no-connection", "reason": "?token=***"}),
        json!({"event": "log", "position_ms": 40, "level": "info", "text": "text"}),
        json!({"event": "progress", "position_ms": 3000, "bytes": 39561, "expected_ms": null}),
        json!({"event": "summary", "position_ms": 3000, "ending": "cut", "reason": "a\nb ***",
            "exit_code": 2, "bytes": 39561, "tags": 150, "duration_ms": 3000, "gap_count": 2,
            "gap_total_ms": 500, "gaps": [gap, gap],
            "missing_sequence_headers": ["video", "audio"], "missing_tracks": ["a7"],
            "hints": ["check-port", "use-live"], "left_out": 0}),
    ];
    assert_eq!(written.len(), expected.len());
    for (line, expected) in written.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
}

#[test]
fn manual_documents_every_event() {
    let mut written = BTreeSet::new();
    let of_stream = lines_of(Some("cam"), |report| report.retry(&retry(None)));
    for line in all_events().into_iter().chain(of_stream) {
        let event = line["event"].as_str().unwrap();
        for (member, value) in line.as_object().unwrap() {
            let event = match member.as_str() {
                "event" | "time" | "position_ms" | "stream" => "all",
                _ => event,
            };
            written.insert([event, member, kind(value)].map(str::to_owned));
        }
    }
    assert_eq!(written, documented());
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "text",
        Json::Array(_) => "list",
        Json::Object(_) => "object",
    }
}

/// Returns event, member and kind of each item in the manual, such as "- `port` (number): text". A member with
/// two kinds has two entries.
fn documented() -> BTreeSet<[String; 3]> {
    let (_, section) = MANUAL.split_once("\n# JSON events\n").unwrap();
    let (section, _) = section.split_once("\n# ").unwrap();
    let mut members = BTreeSet::new();
    for event in section.split("\n## ").skip(1) {
        let (heading, items) = event.split_once('\n').unwrap();
        let event = match heading {
            "Every event" => "all",
            event => event,
        };
        for item in items.lines().filter_map(|line| line.strip_prefix("- `")) {
            let (member, rest) = item.split_once("` (").unwrap();
            let (kinds, _) = rest.split_once("): ").unwrap();
            for kind in kinds.split(" or ") {
                let is_new = members.insert([event, member, kind].map(str::to_owned));
                assert!(is_new, "{event} lists {member} twice");
            }
        }
    }
    members
}

#[test]
fn progress_is_written_once_a_second_and_at_the_end() {
    let written = lines(|report| {
        let start = Instant::now();
        for ms in [0, 1, 999, 1_000, 1_001, 1_999, 2_500] {
            let now = start + Duration::from_millis(ms);
            report.progress_at(&progress(ms, None), now);
        }
        // A ping brings no media.
        report.progress_at(&progress(2_500, None), start + Duration::from_secs(5));
        report.finished(&outcome());
    });
    let positions: Vec<_> = written
        .iter()
        .map(|line| {
            (
                line["event"].as_str().unwrap(),
                line["position_ms"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("progress", 0),
        ("progress", 1_000),
        ("progress", 2_500),
        ("progress", 3_000),
        ("summary", 3_000),
    ];
    assert_eq!(positions, expected);
}

#[test]
fn unchanged_metadata_is_not_repeated() {
    let metadata = |width: f64| [("width", width)].into_iter().collect();
    let written = lines(|report| {
        for width in [640.0, 640.0, 320.0] {
            report.metadata(&metadata(width));
        }
        report.finished(&outcome());
    });
    let widths: Vec<_> = written
        .iter()
        .filter_map(|line| line["members"]["width"].as_u64())
        .collect();
    assert_eq!(widths, [640, 320]);
}

#[test]
fn without_media_there_is_no_progress_event() {
    let written = lines(|report| report.finished(&outcome()));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0]["event"], "summary");
}

#[test]
fn each_kind_of_event_has_a_limited_output() {
    let lines = lines(|report| {
        let members = ["a", "b", "c", "d"].map(|name| (name, "\x1b".repeat(4_096)));
        let metadata: Object = members.into_iter().collect();
        for round in 0..5_000 {
            report.gap(&gap());
            report.retry(&retry(None));
            // Unchanged metadata is not repeated.
            let mut metadata = metadata.clone();
            metadata.push("round", f64::from(round));
            report.metadata(&metadata);
        }
        report.segment(&segment());
        report.finished(&outcome());
    });
    let bytes: usize = lines.iter().map(|line| line.to_string().len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
    let names: Vec<_> = lines.iter().map(|line| &line["event"]).collect();
    assert_eq!(names[names.len() - 2..], ["segment", "summary"]);
    let left_out = lines[lines.len() - 1]["left_out"].as_u64().unwrap();
    assert_eq!(left_out, 15_002 - lines.len() as u64);
}

#[test]
fn the_expected_duration_is_that_of_the_requested_range() {
    let display = |start_ms, length_ms| DisplayOptions {
        start_ms,
        length_ms,
        ..DisplayOptions::default()
    };
    let expected = |display: DisplayOptions, duration_ms| {
        display.expected_ms(&progress(1, duration_ms), Timestamp::now())
    };
    assert_eq!(expected(display(0, None), None), None);
    assert_eq!(expected(display(0, None), Some(10)), Some(10));
    assert_eq!(expected(display(4, None), Some(10)), Some(6));
    assert_eq!(expected(display(4, Some(5)), Some(10)), Some(5));
    assert_eq!(expected(display(4, Some(7)), Some(10)), Some(6));
    assert_eq!(expected(display(4, Some(7)), None), Some(7));
}
