use super::{
    rtmpdump::{last_line, status as rtmpdump_status},
    *,
};
use crate::{
    cli::{args::Verbosity, exit_code, terminal::screen::tests::plain},
    core::{
        amf::{Text, Value},
        flv::TagKind,
    },
    download::{Ending, Hint},
};

/// Options under the name `rtmpdump`.
const RTMPDUMP: DisplayOptions = DisplayOptions {
    hashes: false,
    no_progress: false,
    realtime: false,
    start_ms: 0,
    length_ms: None,
    until: None,
    is_split: false,
    is_conversion: false,
    name: ProgramName::Rtmpdump,
};

fn progress(bytes: u64, position_ms: u64, duration_ms: Option<u64>) -> Progress {
    Progress {
        bytes,
        position_ms,
        duration_ms,
        ..Progress::default()
    }
}

fn outcome(ending: Ending, reason: &str) -> Outcome {
    Outcome {
        reason: reason.to_owned(),
        bytes: 39_561,
        tags: 150,
        position_ms: 3_000,
        duration_ms: Some(3_020),
        ..exit_code::tests::outcome(ending)
    }
}

#[test]
fn last_line_names_tracks_without_a_sequence_header() {
    let outcome = Outcome {
        missing_sequence_headers: vec![TagKind::VIDEO, TagKind::AUDIO],
        missing_tracks: Vec::new(),
        ..outcome(Ending::Ended, "over")
    };
    assert_eq!(
        last_line(Exit::Success, &outcome),
        "INFO: ended: over (no sequence header for video and audio)"
    );
}

#[test]
fn status_has_the_layout_of_rtmpdump() {
    let cases = [
        (progress(0, 0, None), "0.000 kB / 0.00 sec"),
        (
            progress(2_602, 26, Some(3_020)),
            "2.541 kB / 0.03 sec (0.8%)",
        ),
        (
            progress(39_561, 3_000, Some(3_020)),
            "38.634 kB / 3.00 sec (99.3%)",
        ),
        (
            progress(1_024, 2_999, Some(3_000)),
            "1.000 kB / 3.00 sec (99.9%)",
        ),
        (
            progress(1_024, 3_000, Some(3_000)),
            "1.000 kB / 3.00 sec (100.0%)",
        ),
        (
            progress(1_024, 30_500, Some(3_000)),
            "1.000 kB / 30.50 sec (100.0%)",
        ),
        (progress(1_024, 1_500, Some(0)), "1.000 kB / 1.50 sec"),
        (
            progress(5 << 30, 90_061_120, None),
            "5242880.000 kB / 90061.12 sec",
        ),
        (
            progress(1, u64::MAX, Some(u64::MAX)),
            "0.001 kB / 18446744073709552.00 sec (0.1%)",
        ),
    ];
    for (progress, expected) in cases {
        assert_eq!(rtmpdump_status(&progress), expected);
    }
}

#[test]
fn a_download_has_the_lines_of_rtmpdump() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, RTMPDUMP);
    let endpoint = Endpoint {
        host: "host".to_owned(),
        port: 1935,
    };
    report.connecting(&endpoint);
    report.connected();
    report.started(false);
    report.metadata(&[("duration", 3.02)].into_iter().collect());
    report.progress(&progress(2_602, 26, Some(3_020)));
    report.finished(&outcome(Ending::Ended, "NetStream.Play.Stop: Stopped"));
    assert_eq!(
        written.take(),
        "Connecting ...\n\
         INFO: Connected...\n\
         Starting download at: 0.000 kB\n\
         INFO: Metadata:\n\
         INFO:   duration              3.02\n\
         \r2.541 kB / 0.03 sec (0.8%)\
         \r38.634 kB / 3.00 sec (99.3%)\n\
         Download complete\n\
         INFO: ended: NetStream.Play.Stop: Stopped\n"
    );
}

#[test]
fn people_read_what_was_saved() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, DisplayOptions::default());
    report.connected();
    report.resuming(&progress(2_560, 1_234, Some(3_020)));
    report.progress(&progress(2_602, 2_026, Some(3_020)));
    report.segment(&SegmentFacts {
        path: "clip.flv".to_owned(),
        segment: 1,
        offset_ms: 0,
        duration_ms: 3_000,
        bytes: 39_561,
        start: String::new(),
    });
    report.finished(&outcome(Ending::Ended, "NetStream.Play.Stop: Stopped"));
    assert_eq!(
        written.take(),
        "INFO: Connected...\n\
         Resuming download at: 2 KiB, 0:01 of 0:03 (40.8%)\n\
         \r2 KiB, 0:02 of 0:03 (67.0%)\
         \r38 KiB, 0:03               \n\
         saved clip.flv: 38 KiB, 0:03, ended (NetStream.Play.Stop: Stopped)\n"
    );
}

#[test]
fn a_segment_has_size_and_duration() {
    let facts = SegmentFacts {
        path: "cam-002.flv".to_owned(),
        segment: 2,
        offset_ms: 1_200_000,
        duration_ms: 600_040,
        bytes: 12_687_769,
        start: String::new(),
    };
    assert_eq!(
        segment_text(&facts),
        "INFO: segment 2 is complete: cam-002.flv, 12.0 MiB, 10:00 from 20:00"
    );
}

#[test]
fn progress_is_shown_at_once_and_then_every_200_ms() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, RTMPDUMP);
    report.progress(&progress(0, 0, None));
    assert_eq!(written.take(), "");

    report.started(true);
    assert_eq!(written.take(), "Starting Live Stream\n");
    let start = Instant::now();
    for ms in [0, 1, 199, 200, 201, 300, 401, 402] {
        let now = start + Duration::from_millis(ms);
        report.progress_at(&progress(ms << 10, ms, None), now);
    }
    assert_eq!(
        written.take(),
        "\r0.000 kB / 0.00 sec\r201.000 kB / 0.20 sec\r402.000 kB / 0.40 sec"
    );
}

#[test]
fn the_last_line_has_ending_word_and_reason() {
    let cases = [
        (
            outcome(Ending::Unpublished, "NetStream.Play.UnpublishNotify"),
            "Download complete\nINFO: unpublished: NetStream.Play.UnpublishNotify\n",
        ),
        (
            outcome(Ending::Cut, "the connection broke"),
            "Download may be incomplete (downloaded about 99.30%), try resuming\n\
             WARNING: cut: the connection broke\n",
        ),
        (
            Outcome {
                duration_ms: None,
                ..outcome(Ending::Stalled, "")
            },
            "Download may be incomplete, try resuming\nWARNING: stalled\n",
        ),
        (
            Outcome {
                is_live: true,
                ..outcome(Ending::Interrupted, "stopped by the user")
            },
            "INFO: interrupted: stopped by the user\n",
        ),
        (
            Outcome {
                media_arrived: false,
                ..outcome(Ending::Interrupted, "stopped by the user")
            },
            "ERROR: interrupted: stopped by the user\n",
        ),
        (
            outcome(Ending::ReaderGone, "the reader has left"),
            "INFO: reader-gone: the reader has left\n",
        ),
        (
            outcome(Ending::Refused, "bad \x1b[2Jtoken\nrtmp://h/a?token=x"),
            "ERROR: refused: bad \\u{1b}[2Jtoken\\nrtmp://h/a?token=***\n",
        ),
        (
            outcome(Ending::NoConnection, "cannot find host:1935"),
            "ERROR: no-connection: cannot find host:1935\n",
        ),
    ];
    for (outcome, expected) in cases {
        let (screen, written) = plain(Verbosity::Normal);
        TextReport::new(screen, RTMPDUMP).finished(&outcome);
        assert_eq!(written.take(), expected);
    }
}

#[test]
fn gaps_and_retries_are_one_line_each() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, DisplayOptions::default());
    report.gap(&Gap {
        at_ms: 3_723_456,
        began: "2026-11-22T15:04:05.678Z".parse().unwrap(),
        length_ms: 12_345,
        reason: "the connection broke\n".to_owned(),
    });
    let retry = Retry {
        attempt: 2,
        limit: Some(5),
        wait: Duration::from_millis(1_950),
        ending: Ending::Cut,
        reason: "rtmp://me:pw@host is gone".to_owned(),
    };
    report.retry(&retry);
    report.retry(&Retry {
        limit: None,
        reason: String::new(),
        ..retry
    });
    assert_eq!(
        written.take(),
        "WARNING: gap of 12.3 s at 1:02:03, since 2026-11-22T15:04:05.678Z: the connection broke\\n\n\
         INFO: retry 2 of 5 in 1.9 s, after cut: rtmp://***@host is gone\n\
         INFO: retry 2 in 1.9 s, after cut\n"
    );
}

#[test]
fn gaps_and_segments_have_a_limited_output() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, DisplayOptions::default());
    let gap = Gap {
        at_ms: 0,
        began: "2026-11-22T15:04:05.678Z".parse().unwrap(),
        length_ms: 12_345,
        reason: "\x1b".repeat(1_000),
    };
    let segment = SegmentFacts {
        path: "cam.flv".to_owned(),
        segment: 2,
        offset_ms: 0,
        duration_ms: 0,
        bytes: 0,
        start: String::new(),
    };
    for _ in 0..5_000 {
        report.gap(&gap);
        report.segment(&segment);
    }
    let text = written.take();
    for line in ["WARNING: gap of 12.3 s", "INFO: segment 2 is complete"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.len() < 256 << 10, "{} bytes", text.len());
}

#[test]
fn progress_can_be_hidden() {
    let (screen, written) = plain(Verbosity::Normal);
    let no_progress = true;
    let display = DisplayOptions {
        no_progress,
        hashes: true,
        ..RTMPDUMP
    };
    let mut report = TextReport::new(screen, display);
    report.started(true);
    report.progress(&progress(1, 1, None));
    report.finished(&outcome(Ending::Ended, ""));
    assert_eq!(
        written.take(),
        "Starting Live Stream\nDownload complete\nINFO: ended\n"
    );
}

#[test]
fn a_quiet_report_prints_nothing() {
    let (screen, written) = plain(Verbosity::Quiet);
    let mut report = TextReport::new(screen, DisplayOptions::default());
    report.connected();
    report.started(true);
    report.metadata(&[("duration", 1.0)].into_iter().collect());
    report.progress(&progress(1, 1, None));
    report.finished(&outcome(Ending::Refused, "no"));
    assert_eq!(written.take(), "");
}

#[test]
fn metadata_has_the_layout_of_rtmpdump() {
    let track: Object = [("language", "eng")].into_iter().collect();
    let mut metadata = Object::new();
    metadata.push("width", 640.0);
    metadata.push("stereo", true);
    metadata.push("seekable", false);
    metadata.push("encoder", "Lavf\x1b[0m");
    metadata.push(
        Text::from(bytes::Bytes::from_static(b"caf\xe9")),
        Value::Null,
    );
    let date = Value::Date {
        unix_ms: 1.5,
        zone_minutes: 0,
    };
    metadata.push("creationdate", date);
    metadata.push(
        "keyframes",
        [("times", vec![Value::from(0.0); 3])]
            .into_iter()
            .collect::<Object>(),
    );
    metadata.push("trackinfo", vec![Value::from(track.clone()), track.into()]);
    metadata.push("a name of more than 22 bytes", 1.0);

    let mut lines = Vec::new();
    describe(&metadata, &mut lines);
    assert_eq!(
        lines,
        [
            "INFO:   width                 640.00",
            "INFO:   stereo                TRUE",
            "INFO:   seekable              FALSE",
            "INFO:   encoder               Lavf\\u{1b}[0m",
            "INFO:   caf\\xe9               null",
            "INFO:   creationdate          timestamp:1.50",
            "INFO: keyframes:",
            "INFO:   times                 (3 values)",
            "INFO: trackinfo:",
            "INFO:   language              eng",
            "INFO:   language              eng",
            "INFO:   a name of more than 22 bytes1.00",
        ]
    );
}

#[test]
fn people_read_one_line_of_metadata_unless_it_is_repeated() {
    let metadata = |width: f64| {
        let mut metadata = Object::new();
        metadata.push("width", width);
        metadata.push("height", 360.0);
        metadata.push("profile", "high\0\0");
        metadata
    };
    for (verbosity, expected) in [
        (
            Verbosity::Normal,
            "INFO: stream: 640x360\nINFO: stream: 320x360\n",
        ),
        (
            Verbosity::Verbose,
            "INFO: stream: 640x360\nINFO: Metadata:\n\
             INFO:   width                 640.00\n\
             INFO:   height                360.00\n\
             INFO:   profile               high\n\
             INFO: stream: 320x360\nINFO: Metadata:\n\
             INFO:   width                 320.00\n\
             INFO:   height                360.00\n\
             INFO:   profile               high\n",
        ),
    ] {
        let (screen, written) = plain(verbosity);
        let mut report = TextReport::new(screen, DisplayOptions::default());
        for width in [640.0, 640.0, 320.0] {
            report.metadata(&metadata(width));
        }
        assert_eq!(written.take(), expected);
    }
}

#[test]
fn metadata_is_limited() {
    let (screen, written) = plain(Verbosity::Normal);
    let mut metadata = Object::new();
    for _ in 0..METADATA_LINES + 5 {
        metadata.push("text", "x".repeat(TEXT_BYTES + 5));
    }
    let mut report = TextReport::new(screen, RTMPDUMP);
    report.metadata(&metadata);
    report.metadata(&metadata);
    let written = written.take();
    assert_eq!(written.lines().count(), 1 + METADATA_LINES + 1);
    assert!(written.ends_with("INFO:   (5 more)\n"));
    assert!(
        written
            .lines()
            .all(|line| line.len() <= "INFO:   ".len() + 22 + TEXT_BYTES)
    );
}

#[test]
fn the_bar_shows_rate_and_remaining_time_after_a_second() {
    let second = Duration::from_secs(1);
    let facts = |progress: Progress, before: Progress, elapsed| {
        let facts = bar_facts(&progress, &before, elapsed);
        (facts.total_ms, facts.rate, facts.rest_ms)
    };
    let none = Progress::default();
    assert_eq!(
        facts(progress(0, 0, None), none, Duration::ZERO),
        (None, None, None)
    );
    assert_eq!(
        facts(progress(2048, 3_723_999, None), none, second),
        (None, Some(2048), None)
    );
    let further = progress(3 << 20, 30_000, Some(90_000));
    assert_eq!(
        facts(further, none, 3 * second),
        (Some(90_000), Some(1 << 20), Some(6_000))
    );
    let before = progress(1 << 20, 10_000, None);
    assert_eq!(
        facts(further, before, 2 * second),
        (Some(90_000), Some(1 << 20), Some(6_000))
    );
    let past_the_end = progress(3 << 20, 99_000, Some(90_000));
    assert_eq!(
        facts(past_the_end, none, 3 * second),
        (Some(90_000), Some(1 << 20), None)
    );
    let at_the_start = progress(1 << 10, 0, Some(1_000));
    assert_eq!(
        facts(at_the_start, none, second),
        (Some(1_000), Some(1 << 10), None)
    );
    assert_eq!(facts(progress(1, 1, Some(0)), none, second).0, None);
}

#[test]
fn an_outage_is_shown_until_media_arrives() {
    let (screen, _) = plain(Verbosity::Normal);
    let mut report = TextReport::new(screen, DisplayOptions::default());
    report.started(true);
    let attempt = |report: &TextReport| {
        let facts = report.bar_facts.lock().unwrap();
        facts.outage.map(|outage| (outage.attempt, outage.limit))
    };
    let at = |frames| Progress {
        frames,
        ..Progress::default()
    };
    report.progress(&at(7));
    report.retry(&Retry {
        attempt: 3,
        limit: Some(5),
        wait: Duration::from_secs(4),
        ending: Ending::Cut,
        reason: String::new(),
    });
    report.progress(&at(7));
    assert_eq!(attempt(&report), Some((3, Some(5))));
    report.progress(&at(8));
    assert_eq!(attempt(&report), None);
}

#[test]
fn resuming_prints_where_the_file_ends() {
    for (display, duration_ms, expected) in [
        (
            RTMPDUMP,
            Some(30_000),
            "Resuming download at: 2.500 kB / 12.345 sec (41.1%)\n",
        ),
        (
            DisplayOptions {
                length_ms: Some(24_690),
                ..RTMPDUMP
            },
            None,
            "Resuming download at: 2.500 kB / 12.345 sec (50.0%)\nFor duration: 24.690 sec\n",
        ),
        (RTMPDUMP, None, "Resuming download at: 2.500 kB\n"),
    ] {
        let (screen, written) = plain(Verbosity::Normal);
        let mut report = TextReport::new(screen, display);
        report.resuming(&progress(2_560, 12_345, duration_ms));
        assert_eq!(written.take(), expected);
    }
}

#[test]
fn hints_follow_the_last_line_for_people_only() {
    let failed = || Outcome {
        media_arrived: false,
        hints: vec![
            Hint::UseLive,
            Hint::CheckPlaypath {
                playpath: "a\x1b[2J\nb".to_owned(),
            },
        ],
        ..outcome(Ending::Stalled, "no media arrived")
    };
    let printed = |verbosity, display| {
        let (screen, written) = plain(verbosity);
        TextReport::new(screen, display).finished(&failed());
        written.take()
    };
    assert_eq!(
        printed(Verbosity::Normal, DisplayOptions::default()),
        "ERROR: stalled: no media arrived\n\
         hint: the stream may be live: try --live\n\
         hint: check the stream name \"a\\u{1b}[2J\\nb\" (--playpath)\n"
    );
    assert_eq!(
        printed(Verbosity::Normal, RTMPDUMP),
        "ERROR: stalled: no media arrived\n"
    );
    assert_eq!(printed(Verbosity::Quiet, DisplayOptions::default()), "");
}
