//! Live recordings that continue after cuts, silence, and publishers that leave and return.

mod attempts;
mod cuts;
mod directives;
mod fallback;
mod handover;
mod servers;
mod sources;
mod xiu;

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    program::{Download, download},
    server::{
        Broadcast, Clip, Config, CutConnection, EndSignal, FaultAction, Pace, Server, Stream, Tag,
    },
};

#[test]
fn cut_within_the_server_cache_leaves_no_gap() {
    // One keyframe only: the server repeats everything since then to each new client.
    let clip = unique_clip(800, 800);
    let download = record_with_cuts(
        &clip,
        &[(40_000, FaultAction::Fin), (200_000, FaultAction::Rst)],
        &[],
    );
    assert!(
        download.clip().media().eq(clip.media()),
        "{}",
        download.finished
    );
    let stderr = &download.finished.stderr;
    assert_eq!(
        stderr.matches("the stream continues the recording").count(),
        2,
        "{stderr}"
    );
}

/// A connection that breaks during the handshake or the repeated frames does not end the rejoin.
#[test]
fn cut_during_the_rejoin_is_retried_by_the_next_attempt() {
    let clip = unique_clip(800, 800);
    let cuts = [
        (60_000, FaultAction::Fin),
        (1_500, FaultAction::Fin),
        (20_000, FaultAction::Rst),
    ];
    let download = record_with_cuts(&clip, &cuts, &[]);
    assert!(
        download.clip().media().eq(clip.media()),
        "{}",
        download.finished
    );
}

#[test]
fn long_cuts_leave_the_reported_gaps() {
    // A keyframe every second, so that a wait of one second leaves a gap.
    let clip = unique_clip(1000, 25);
    let cuts = [(50_000, FaultAction::Fin), (70_007, FaultAction::Rst)];
    let download = record_with_cuts(&clip, &cuts, &["--gap", "close"]);
    let record_with_cuts = download.clip();
    let mut kept = record_with_cuts.media().peekable();
    let (mut gaps, mut is_gap) = (0, false);
    for tag in clip.media() {
        if kept.next_if(|kept| kept.body == tag.body).is_none() {
            gaps += u32::from(!is_gap);
            is_gap = true;
        } else {
            is_gap = false;
        }
    }
    assert_eq!(kept.next(), None, "each frame once and in order");
    assert_eq!(gaps, 2, "{}", download.finished);
    let times: Vec<u32> = record_with_cuts
        .media()
        .map(|tag| tag.timestamp_ms)
        .collect();
    assert!(times.is_sorted(), "timestamps never decrease");
}

#[cfg(unix)]
#[test]
fn start_hook_runs_at_the_start_and_after_each_gap() {
    let repeated = unique_clip(800, 800);
    let short_cuts = [(40_000, FaultAction::Fin), (200_000, FaultAction::Rst)];
    let with_gaps = unique_clip(1000, 25);
    let long_cuts = [(50_000, FaultAction::Fin), (70_007, FaultAction::Rst)];
    for (clip, cuts, options, expected) in [
        (&repeated, &short_cuts, &[][..], ["1 start"].as_slice()),
        (&with_gaps, &long_cuts, &[], &["1 start", "1 gap", "1 gap"]),
        (
            &with_gaps,
            &long_cuts,
            &["--gap", "split"],
            &["1 start", "2 gap", "3 gap"],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lines = folder.path().join("lines");
        let script = r#"test -e "$1" || exit 1; echo "$RTMPULL_SEGMENT $RTMPULL_REASON" >> "$0""#;
        let command = format!("sh -c '{script}' '{}' {{path}}", lines.display());
        let options = [options, &["--on-start", &command]].concat();
        let download = record_with_cuts(clip, cuts, &options);
        let text = fs::read_to_string(&lines).expect("the hook ran");
        let runs: Vec<&str> = text.lines().collect();
        assert_eq!(runs, expected, "{}", download.finished);
    }
}

#[test]
fn failed_attempts_keep_the_first_ending() {
    let stream = Stream::live(Clip::sample());
    let server = Server::start(Config::serving(stream));
    // A close during the handshake is retried once with a plain handshake.
    let cuts = [30_000, 0, 0].map(|bytes| (bytes, FaultAction::Fin));
    let connection = CutConnection::start(server.port(), cuts.to_vec());
    let download = download(&connection.url("clip"), &["-v", "--retry", "1"]);
    download.assert_ended(2, "cut");
    let stderr = &download.finished.stderr;
    assert!(stderr.contains("; then: "), "{stderr}");
    assert!(download.clip().media().count() > 10);
}

#[test]
fn wait_polls_for_a_missing_stream() {
    let server = Server::start(Config::serving(Stream::live(Clip::sample())));
    let ended = download(&server.url("other"), &["-v", "--retry", "forever"]);
    ended.assert_ended(1, "not-found");
    assert!(ended.finished.took < Duration::from_secs(2));
    let ended = download(&server.url("other"), &["-v", "--wait=3"]);
    ended.assert_ended(1, "not-found");
    assert!(ended.finished.took > Duration::from_secs(3));
    assert_eq!(
        server.clients().len(),
        3,
        "one play at the start, one at the end of the wait"
    );
}

#[test]
fn unpublish_then_close_does_not_reconnect() {
    let end = [EndSignal::UnpublishNotify, EndSignal::Fin];
    let server = Server::start(Config::serving(Stream::live_sample().ending(&end)));
    let ended = download(&server.url("clip"), &["-v"]);
    ended.assert_ended(0, "unpublished");
    assert!(ended.finished.took < Duration::from_secs(3));
    assert_eq!(server.clients().len(), 1, "the client did not reconnect");
}

/// A recording with several files continues in the latest of them.
#[test]
fn append_continues_the_latest_segment() {
    let clips = [50, 60, 70].map(|frames| {
        let mut clip = unique_clip(frames, 25);
        let tags = clip.tags.iter_mut().filter(|tag| !tag.is_sequence_header());
        tags.for_each(|tag| tag.body.push(frames as u8));
        clip
    });
    let serve = |clip: &Clip| {
        let stream = Stream::live(clip.clone()).paced(Pace::Unbounded);
        Server::start(Config::serving(stream))
    };
    let options = ["-v", "--republish-wait", "0"];
    let mut ended = download(&serve(&clips[0]).url("clip"), &options);
    for (clip, more) in [(&clips[1], &["--gap", "split"][..]), (&clips[2], &[])] {
        let server = serve(clip);
        let options = [&options[..], &["--append"], more].concat();
        ended = ended.start_again(&server.url("clip"), &options).finish();
        ended.assert_ended(0, "unpublished");
    }
    let frames = |path: &Path| {
        let clip = Clip::parse(&fs::read(path).expect("the segment exists"));
        clip.media().filter(|tag| !tag.is_sequence_header()).count()
    };
    let first = ended.file();
    let second = first.with_extension("2.flv");
    assert_eq!(frames(&first), 2 * 50);
    assert_eq!(frames(&second), 2 * (60 + 70));
}

/// `--append` continues a file of an earlier run like a recording after a lost connection, with the
/// time since its modification as the gap.
#[test]
fn append_records_the_time_between_runs_as_a_gap() {
    for (policy, is_kept) in [("keep", true), ("close", false)] {
        let [first, mut second] = [50, 60].map(|frames| unique_clip(frames, 25));
        // Different content, as of another stream.
        let frames = second
            .tags
            .iter_mut()
            .filter(|tag| !tag.is_sequence_header());
        frames.for_each(|tag| tag.body.push(0xFF));
        let serve = |clip: &Clip| {
            let stream = Stream::live(clip.clone()).paced(Pace::Unbounded);
            Server::start(Config::serving(stream))
        };
        let options = ["-v", "--republish-wait", "0"];
        let before = download(&serve(&first).url("clip"), &options);
        before.assert_ended(0, "unpublished");
        let a_while_ago = SystemTime::now() - Duration::from_secs(1_000);
        let file = File::options().write(true).open(before.file());
        let changed = file.and_then(|file| file.set_modified(a_while_ago));
        changed.expect("the file can be changed");
        let server = serve(&second);
        let options = [&options[..], &["--append", "--gap", policy]].concat();
        let both = before.start_again(&server.url("clip"), &options).finish();
        both.assert_ended(0, "unpublished");
        let stderr = &both.finished.stderr;
        // The server sends the second stream in one burst: its first frame is up to 2.4 s old.
        assert!(stderr.contains("gap of 99"), "{stderr}");
        let record_with_cuts = both.clip();
        let mut tags = record_with_cuts
            .media()
            .filter(|tag| !tag.is_sequence_header());
        let latest = tags
            .by_ref()
            .take(2 * 50)
            .last()
            .expect("a frame of the first run");
        let next = tags.next().expect("a frame of the second run");
        let between_ms = next.timestamp_ms - latest.timestamp_ms;
        assert_eq!(between_ms > 997_000, is_kept, "{between_ms}");
        assert_eq!(tags.count(), 2 * 60 - 1, "{stderr}");
    }
}

/// Records a broadcast of `clip` over a connection with cuts until its end.
#[track_caller]
fn record_with_cuts(clip: &Clip, cuts: &[(u64, FaultAction)], options: &[&str]) -> Download {
    let broadcast = Broadcast::new(clip.clone(), 8.0, true);
    let server = Server::start(Config::serving(Stream::broadcast(broadcast)));
    let connection = CutConnection::start(server.port(), cuts.to_vec());
    let live = ["-v", "--republish-wait", "0"];
    let download = download(&connection.url("clip"), &[&live[..], options].concat());
    download.assert_ended(0, "unpublished");
    download
}

/// Creates a clip of unique frames: `frames` video frames, a keyframe at every `gop_len`-th, and an
/// audio frame after each.
pub fn unique_clip(frames: u32, gop_len: u32) -> Clip {
    let frame = |kind, number: u32, header: &[u8], length| {
        let mut body = header.to_vec();
        body.extend(number.to_be_bytes());
        body.resize(length, number as u8);
        Tag {
            kind,
            timestamp_ms: number * 40,
            body,
        }
    };
    let frames = (0..frames).flat_map(|number| {
        let first = if number.is_multiple_of(gop_len) {
            0x17
        } else {
            0x27
        };
        [
            frame(Tag::VIDEO, number, &[first, 1, 0, 0, 0], 600),
            frame(Tag::AUDIO, number, &[0xAF, 1], 100),
        ]
    });
    let sequence_header = |kind, body: &[u8]| Tag {
        kind,
        timestamp_ms: 0,
        body: body.to_vec(),
    };
    let audio = sequence_header(Tag::AUDIO, &[0xAF, 0, 0x12, 0x10]);
    let video = sequence_header(Tag::VIDEO, &[0x17, 0, 0, 0, 0, 1]);
    Clip {
        tags: [audio, video].into_iter().chain(frames).collect(),
    }
}
