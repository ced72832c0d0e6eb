//! Live recordings with repeated cuts at random bytes: every received frame is in the file once and
//! in order, and the reported gaps are exactly the missing frames.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value as Json;

use crate::{
    parallel,
    process::{Finished, Process},
    program::{LIMIT, command},
    scripts,
    server::{
        Broadcast, Clip, Config, CutConnection, FaultAction, PublisherClock, SentFrame, Server,
        Stream, Tag,
    },
};

#[test]
fn repeated_cuts_lose_nothing_received_and_report_every_gap() {
    let plain = Case {
        name: "cache",
        has_cache: true,
        clock: PublisherClock::From(0),
        has_video: true,
        is_silent: false,
        is_piped: false,
        options: &[],
    };
    let cases = [
        plain,
        Case {
            name: "no cache",
            has_cache: false,
            clock: PublisherClock::From(4_294_000_000),
            ..plain
        },
        Case {
            name: "clock per player",
            clock: PublisherClock::PerPlayer,
            is_silent: true,
            ..plain
        },
        Case {
            name: "audio alone",
            has_video: false,
            clock: PublisherClock::PerPlayer,
            ..plain
        },
        Case {
            name: "silence, no cache, closed",
            is_silent: true,
            has_cache: false,
            options: &["--gap", "close"],
            ..plain
        },
        Case {
            name: "silence, closed",
            is_silent: true,
            clock: PublisherClock::From(50_000_000),
            options: &["--gap", "close"],
            ..plain
        },
        Case {
            name: "pipe",
            is_piped: true,
            clock: PublisherClock::PerPlayer,
            ..plain
        },
        Case {
            name: "split",
            clock: PublisherClock::From(2_147_480_000),
            options: &["--gap", "split"],
            ..plain
        },
        Case {
            name: "segments",
            options: &["--segment-time", "20"],
            ..plain
        },
    ];
    let cuts = number("RTMPULL_CUTS").unwrap_or(4);
    let seed = number("RTMPULL_SEED").unwrap_or_else(|| rand::random_range(0..1000));
    let only = env::var("RTMPULL_CASE").ok();
    let cases = cases
        .into_iter()
        .enumerate()
        .filter(|(_, case)| only.as_deref().is_none_or(|only| only == case.name));
    parallel::for_each(cases, |(index, case)| {
        Recorded::new(&case, seed + index as u64, cuts as usize).check(&case);
    });
}

/// Server, stream and recording options of one case.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    has_cache: bool,
    clock: PublisherClock,
    has_video: bool,
    is_silent: bool,
    is_piped: bool,
    options: &'static [&'static str],
}

/// Result of a recording with repeated cuts.
struct Recorded {
    /// Received frames (time and track) in clip order, with the first connection that delivered
    /// each.
    received: BTreeMap<(u32, u8), usize>,
    broadcast: Arc<Broadcast>,
    /// Audio and video tags of all segments, on the clock of the recording.
    tags: Vec<Tag>,
    /// Number of segments.
    segments: usize,
    events: Vec<Json>,
    context: String,
}

impl Recorded {
    fn new(case: &Case, seed: u64, cuts: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let cuts: Vec<_> = (0..=cuts)
            .map(|number| cut(&mut rng, case, number == 0 || number == cuts))
            .collect();
        let seconds = 40 + 14 * cuts.len() as u32;
        let clip = clip(seconds * 25, case);
        let broadcast = Broadcast::new(clip, SPEED, case.has_cache).on_clock(case.clock);
        let broadcast = Arc::new(broadcast);
        let server = Server::start(Config::serving(Stream::broadcast(broadcast.clone())));
        let connection = CutConnection::start(server.port(), cuts.clone());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = command();
        command.arg(connection.url("clip"));
        command
            .args(["-v", "--retry", "forever", "--progress", "json"])
            .args(case.options);
        let output = if case.is_piped { "-" } else { "out-%05d.flv" };
        command.args(["-o", output]).current_dir(folder.path());
        let mut process = Process::start(&mut command);
        let start = Instant::now();
        while connection.relayed().len() < cuts.len() && process.is_running() {
            let limit = LIMIT * (1 + cuts.len() as u32 / 6);
            assert!(start.elapsed() < limit, "{}: {}", case.name, process.kill());
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(200));
        if process.is_running() {
            process.signal("INT");
        }
        let finished = process.finish(Duration::from_secs(2));
        let context = format!("{} (seed {seed}, cuts {cuts:?})\n{finished}", case.name);
        let events = scripts::events(&finished.stderr);
        let (tags, segments) = tags(case, &finished, &events, folder.path());
        Self {
            received: received(&connection.relayed(), &broadcast.sent()),
            broadcast,
            tags,
            segments,
            events,
            context,
        }
    }

    fn check(&self, case: &Case) {
        let frames: Vec<_> = self
            .tags
            .iter()
            .filter(|tag| !tag.is_sequence_header())
            .collect();
        let expected: Vec<_> = self.received.keys().copied().collect();
        let is_known = |kind| !case.is_silent || kind == Tag::VIDEO;
        let bodies = |kind| {
            frames
                .iter()
                .filter(move |tag| tag.kind == kind)
                .map(|tag| frame_number(tag))
        };
        for kind in [Tag::AUDIO, Tag::VIDEO] {
            let expected = expected
                .iter()
                .filter(|(_, this)| *this == kind)
                .map(|(at_ms, _)| at_ms / 40);
            if is_known(kind) {
                let (found, expected): (Vec<_>, Vec<_>) =
                    (bodies(kind).collect(), expected.collect());
                let differ = found
                    .iter()
                    .zip(&expected)
                    .position(|(found, expected)| found != expected);
                let at = differ.unwrap_or_else(|| found.len().min(expected.len()));
                let near = |numbers: &[u32]| {
                    numbers[at.saturating_sub(3)..numbers.len().min(at + 5)].to_vec()
                };
                assert!(
                    found == expected,
                    "kind {kind}, index {at}: {:?}… ({}) is not {:?}… ({}), {}",
                    near(&found),
                    found.len(),
                    near(&expected),
                    expected.len(),
                    self.context
                );
            } else {
                assert_eq!(
                    bodies(kind).count(),
                    expected.count(),
                    "silence: {}",
                    self.context
                );
            }
        }
        self.check_sequence_headers(case);
        self.check_gaps(case, &frames, is_known(Tag::AUDIO));
    }

    /// Sequence headers are only repeated at the start of a file.
    fn check_sequence_headers(&self, case: &Case) {
        let found = self
            .tags
            .iter()
            .filter(|tag| tag.is_sequence_header())
            .count();
        let tracks = if case.has_video { 2 } else { 1 };
        assert_eq!(
            found,
            tracks * self.segments,
            "sequence headers: {}",
            self.context
        );
    }

    /// A gap lies between neighbors that arrived on different connections if a frame between them
    /// is missing.
    fn check_gaps(&self, case: &Case, frames: &[&Tag], is_audio_known: bool) {
        let reported: Vec<_> = self
            .events
            .iter()
            .filter(|event| event["event"] == "gap")
            .collect();
        let summary = self.events.last().expect("a summary");
        assert_eq!(summary["gap_count"], reported.len(), "{}", self.context);
        let mut expected_gaps = Vec::new();
        let mut latest: HashMap<u8, u32> = HashMap::new();
        let known = frames
            .iter()
            .filter(|tag| is_audio_known || tag.kind == Tag::VIDEO);
        let mut before: Option<(usize, &Tag)> = None;
        for tag in known {
            let at_ms = clip_time_ms(tag);
            let connection = self.received[&(at_ms, tag.kind)];
            let is_next = latest
                .insert(tag.kind, at_ms)
                .is_none_or(|latest| latest + 40 == at_ms);
            if let Some((former, before)) = before
                && former != connection
                && !(is_next && self.is_gapless(before, tag))
            {
                expected_gaps.push((before.timestamp_ms, tag.timestamp_ms));
            }
            before = Some((connection, tag));
        }
        if !is_audio_known {
            return assert!(
                reported.len() >= expected_gaps.len(),
                "{expected_gaps:?}: {}",
                self.context
            );
        }
        assert_eq!(
            reported.len(),
            expected_gaps.len(),
            "{expected_gaps:?}: {}",
            self.context
        );
        for (gap, (before_ms, after_ms)) in reported.iter().zip(expected_gaps) {
            let member = |name: &str| gap[name].as_u64().expect("a number");
            let (at_ms, length_ms) = (member("at_ms"), member("length_ms"));
            assert!(
                at_ms.abs_diff(before_ms.into()) <= 40,
                "{before_ms}: {}",
                self.context
            );
            let counted = u64::from(after_ms - before_ms);
            let expected = if case.options.contains(&"--gap") {
                40
            } else {
                length_ms
            };
            assert!(
                counted.abs_diff(expected) <= 60,
                "{counted} for {expected}: {}",
                self.context
            );
        }
    }

    /// Returns whether every frame of the clip between these two was received.
    fn is_gapless(&self, before: &Tag, after: &Tag) -> bool {
        let (from, to) = (clip_time_ms(before), clip_time_ms(after));
        let between = self
            .broadcast
            .clip
            .media()
            .filter(|tag| !tag.is_sequence_header());
        let mut between = between.filter(|tag| (from..to).contains(&tag.timestamp_ms));
        between.all(|tag| self.received.contains_key(&(tag.timestamp_ms, tag.kind)))
    }
}

/// Returns a random cut: number of bytes and action. Some cuts occur before any media.
fn cut(rng: &mut StdRng, case: &Case, has_media: bool) -> (u64, FaultAction) {
    let most = if case.has_video { 60_000 } else { 10_000 };
    let bytes = match rng.random_range(0..8) {
        0 if !has_media => rng.random_range(0..4_500),
        _ if has_media => most / 2,
        _ => rng.random_range(4_500..most),
    };
    let then = if rng.random() {
        FaultAction::Fin
    } else {
        FaultAction::Rst
    };
    (bytes, then)
}

/// Returns the completely received frames and the first connection of each.
fn received(carried: &[u64], sent: &[SentFrame]) -> BTreeMap<(u32, u8), usize> {
    let mut received = BTreeMap::new();
    for (connection, bytes) in carried.iter().enumerate() {
        let frames = sent
            .iter()
            .filter(|sent| sent.connection == connection && sent.end <= *bytes);
        for frame in frames.filter(|sent| !sent.is_sequence_header) {
            received
                .entry((frame.at_ms, frame.kind))
                .or_insert(connection);
        }
    }
    received
}

fn tags(case: &Case, finished: &Finished, events: &[Json], folder: &Path) -> (Vec<Tag>, usize) {
    if case.is_piped {
        return (Clip::parse(&finished.stdout).media().cloned().collect(), 1);
    }
    let segments: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "segment")
        .collect();
    let count = fs::read_dir(folder).expect("the folder exists").count();
    assert_eq!(
        segments.len(),
        count,
        "every segment has an event: {finished}"
    );
    let tags = segments.iter().flat_map(|segment| {
        let clip = Clip::read(&folder.join(segment["path"].as_str().expect("a path")));
        let offset_ms = segment["offset_ms"].as_u64().expect("a number") as u32;
        let shifted = |tag: &Tag| Tag {
            timestamp_ms: tag.timestamp_ms + offset_ms,
            ..tag.clone()
        };
        clip.media().map(shifted).collect::<Vec<_>>()
    });
    (tags.collect(), count)
}

/// Creates `frames` video frames with B-frames and a keyframe every eight seconds, interleaved with
/// audio.
fn clip(frames: u32, case: &Case) -> Clip {
    let tag = |kind, timestamp_ms, head: &[u8], number: u32, length| {
        let mut body = [head, &number.to_be_bytes()].concat();
        body.resize(length, number as u8);
        Tag {
            kind,
            timestamp_ms,
            body,
        }
    };
    let mut tags = vec![tag(Tag::AUDIO, 0, &[0xAF, 0], 0x1210_56E5, 6)];
    if case.has_video {
        tags.push(tag(Tag::VIDEO, 0, &[0x17, 0, 0, 0, 0], 0x0164_001F, 9));
    }
    for number in 0..frames {
        let first = if number % 200 == 0 { 0x17 } else { 0x27 };
        let head = [first, 1, 0, 0, (number % 3) as u8 * 40];
        if case.has_video {
            tags.push(tag(Tag::VIDEO, number * 40, &head, number, 150));
        }
        let content = if case.is_silent { 0 } else { number };
        tags.push(tag(
            Tag::AUDIO,
            number * 40 + AUDIO_LAG_MS,
            &[0xAF, 1],
            content,
            40,
        ));
    }
    Clip { tags }
}

/// Returns the frame number stored in the body.
fn frame_number(tag: &Tag) -> u32 {
    let at = if tag.kind == Tag::VIDEO { 5 } else { 2 };
    u32::from_be_bytes(tag.body[at..at + 4].try_into().expect("four bytes"))
}

/// Returns the clip time of the frame, in milliseconds.
fn clip_time_ms(tag: &Tag) -> u32 {
    let lag_ms = if tag.kind == Tag::VIDEO {
        0
    } else {
        AUDIO_LAG_MS
    };
    frame_number(tag) * 40 + lag_ms
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Playback speed relative to real time. The shortest retry wait is three seconds of the clip.
const SPEED: f64 = 4.0;

/// Offset of audio against the video frame with the same number, in milliseconds.
const AUDIO_LAG_MS: u32 = 13;
