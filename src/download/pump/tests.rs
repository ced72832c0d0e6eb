use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{SeedableRng, rngs::StdRng};

use super::{messages::duration_ms, *};
use crate::{
    core::{
        amf::{Value, amf0},
        flv::TagKind,
        rtmp::{
            chunk,
            client::config::{BufferLength, Config},
            message::{Kind, Timestamp},
        },
    },
    download::{
        Progress, ReceivedMessage, Resume, Retry,
        connection::{MAX_LEFT_OVER, READ_BYTES},
        outcome::{Ending, Facts, judge},
        rejoin::resume::{self, ScanResult},
        retry::RetryPolicy,
        tests::session,
    },
    output::{Destination, FileOptions, PipeOptions, SegmentOptions},
    transport::{Carrier, Dialer, Endpoint, Route},
};

/// A receiver that ignores all events.
struct Silent;

impl Report for Silent {
    fn connected(&mut self) {}
    fn retry(&mut self, _: &Retry) {}
}

/// A session after its plain handshake, and the server's side of the chunk stream.
struct Connection {
    client: Client,
    encoder: chunk::Encoder,
    inbox: BytesMut,
}

impl Connection {
    fn new() -> Self {
        let session = Config {
            handshake: handshake::Mode::Plain,
            // A growing buffer length allocates a few bytes per second.
            buffer: BufferLength::Fixed { ms: 5_000 },
            ..session()
        };
        let mut rng = StdRng::seed_from_u64(1);
        let mut client = Client::new(session, Instant::now(), &mut rng);
        let mut sent = BytesMut::new();
        client.poll_transmit(&mut sent).unwrap();
        let mut inbox = BytesMut::with_capacity(READ_BYTES + MAX_LEFT_OVER);
        inbox.extend_from_slice(&[3]);
        inbox.extend_from_slice(&[0; 1536]);
        inbox.extend_from_slice(&sent[1..]);
        Self {
            client,
            encoder: chunk::Encoder::new(),
            inbox,
        }
    }

    /// Lets `pump` process all messages.
    fn process(&mut self, pump: &mut Pump<'_>) -> Result<(), Next> {
        while pump.process_input(&mut self.client, &mut self.inbox)? == Turn::Interrupted {}
        Ok(())
    }

    fn send(&mut self, kind: Kind, timestamp: u32, payload: &[u8]) {
        let timestamp = Timestamp(timestamp);
        self.encoder
            .encode(6, kind, 1, timestamp, payload, &mut self.inbox)
            .unwrap();
    }

    /// Sends one second of video and audio in chunks of 128 bytes.
    fn send_second(&mut self, second: u32) {
        for frame in 0..25 {
            let at_ms = second * 1_000 + frame * 40;
            self.send(Kind::VIDEO, at_ms, &[0x27; 6_000]);
            self.send(Kind::AUDIO, at_ms, &[0xAF; 300]);
        }
    }
}

fn job(destination: Destination) -> Job {
    Job {
        route: Route {
            endpoint: Endpoint {
                host: "server.example".into(),
                port: 1935,
            },
            carrier: Carrier::Tcp,
        },
        session: Arc::new(session()),
        player: None,
        capture: None,
        admission: None,
        dialer: Dialer::default(),
        output: destination,
        pipe: None,
        backlog_bytes: 1 << 20,
        file: FileOptions::default(),
        pipe_options: PipeOptions::default(),
        retry: RetryPolicy::default(),
        history_frames: 1 << 16,
        gap: GapPolicy::default(),
        keep_timestamps: false,
        candidates: Vec::new(),
        fallbacks: None,
        stop_ms: None,
        limits: Limits::default(),
        tracks: None,
        segments: SegmentOptions::none(),
        resume: None,
    }
}

#[test]
fn a_warm_download_allocates_nothing_per_message() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(Destination::Path(folder.path().join("out.flv")));
    assert_allocates(&job, 0);
}

#[test]
fn a_discarded_download_allocates_nothing_per_message() {
    assert_allocates(&job(Destination::Discard), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_warm_pipe_with_or_without_a_file_allocates_nothing_per_message() {
    let pipe = || Destination::Path("/dev/null".into());
    // The number of buffers in flight depends on the progress of the pipe's thread.
    assert_allocates(&job(pipe()), MESSAGES / 100);
    let folder = tempfile::tempdir().unwrap();
    let job = Job {
        pipe: Some(pipe()),
        ..job(Destination::Path(folder.path().join("out.flv")))
    };
    assert_allocates(&job, MESSAGES / 100);
}

/// Panics if processing [`MESSAGES`] messages of a warm download takes more allocations than
/// `most`.
fn assert_allocates(job: &Job, most: u64) {
    let mut report = Silent;
    let mut pump = Pump::new(job, &mut report);
    let mut connection = Connection::new();
    let mut outbox = BytesMut::with_capacity(4096);
    let mut second = |number| {
        connection.send_second(number);
        connection.process(&mut pump).unwrap();
        while !pump.output.is_drained() {
            std::thread::yield_now();
            pump.output.flush_due(Instant::now()).unwrap();
        }
        connection.client.poll_transmit(&mut outbox).unwrap();
        outbox.clear();
        connection.inbox.reserve(READ_BYTES);
    };
    (0..60).for_each(&mut second);
    let allocations = allocation_counter::measure(|| (60..120).for_each(&mut second));
    let count = allocations.count_total;
    assert!(
        count <= most,
        "{count} for {MESSAGES} messages in 75,000 chunks"
    );
}

/// Messages in one minute.
const MESSAGES: u64 = 3_000;

#[test]
fn sequence_headers_and_script_data_do_not_move_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(Destination::Path(folder.path().join("out.flv")));
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    connection.send(Kind::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1, 2]);
    connection.send(Kind::VIDEO, 90_000, &[0x17, 1, 0, 0, 0, 5]);
    connection.send(Kind::AUDIO, 0, &[]);
    connection.send(Kind::VIDEO, 90_040, &[0x27, 1, 0, 0, 0, 5]);
    connection.send(Kind::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1, 2]);
    connection.send(Kind::VIDEO, 90_080, &[0x27, 1, 0, 0, 0, 5]);
    connection.process(&mut pump).unwrap();
    let facts = pump.facts();
    assert_eq!((facts.length_ms, facts.frame_interval_ms), (80, 40));
    assert!(facts.has_media && facts.is_live);
}

/// The frame after a pause waits for the next one, and it may be the last frame.
#[test]
fn frame_after_a_pause_is_written_in_order_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.flv");
    let job = job(Destination::Path(path.clone()));
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    connection.send(Kind::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1, 2]);
    let frame = |number: u8| [0x17, 1, 0, 0, 0, number];
    connection.send(Kind::VIDEO, 0, &frame(0));
    connection.send(Kind::VIDEO, 9_000, &frame(1));
    connection.process(&mut pump).unwrap();
    assert_eq!(pump.clock.position_ms(), 0);
    connection.send(Kind::VIDEO, 9_000, &[0x17, 0, 0, 0, 0, 1, 3]);
    connection.send(Kind::VIDEO, 9_040, &frame(2));
    connection.send(Kind::VIDEO, 19_000, &frame(3));
    connection.process(&mut pump).unwrap();
    assert_eq!(pump.clock.position_ms(), 9_040);
    std::thread::sleep(Duration::from_millis(1_050));
    connection.process(&mut pump).unwrap();
    assert_eq!(pump.clock.position_ms(), 19_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(pump.output.finish(None)).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let bodies = bytes[HEAD..].windows(6).filter(|body| body[0] == 0x17);
    let order: Vec<u8> = bodies.map(|body| body[1] * 10 + body[5]).collect();
    assert_eq!(order, [1, 10, 11, 1, 12, 13]);
}

/// A receiver that takes 5 ms for each metadata.
struct Slow;

impl Report for Slow {
    fn metadata(&mut self, _: &Object) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_turn_with_many_messages_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(Destination::Path(folder.path().join("out.flv")));
    let mut report = Slow;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    let mut body = Vec::new();
    amf0::encode(&Value::from("onMetaData"), &mut body);
    amf0::encode(&Value::EcmaArray(Object::default()), &mut body);
    for _ in 0..100 {
        connection.send(Kind::DATA, 0, &body);
    }
    let turn = pump.process_input(&mut connection.client, &mut connection.inbox);
    assert_eq!(turn.unwrap(), Turn::Interrupted);
    assert!(!connection.inbox.is_empty());
    connection.process(&mut pump).unwrap();
    assert!(connection.inbox.is_empty());
}

/// A receiver that keeps the opened files and the latest progress.
#[derive(Default)]
struct Reported {
    files: Vec<PathBuf>,
    progress: Progress,
}

impl Report for Reported {
    fn file_opened(&mut self, path: &Path) {
        self.files.push(path.to_owned());
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress = *progress;
    }
}

#[test]
fn progress_counts_frames_by_track_and_each_file_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job {
        segments: SegmentOptions {
            every_ms: Some(1_000),
            ..SegmentOptions::none()
        },
        ..job(Destination::Path(folder.path().join("out.flv")))
    };
    let mut report = Reported::default();
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    for at_ms in [0, 500, 1_000] {
        connection.send(Kind::VIDEO, at_ms, &[0x17, 1, 0, 0, 0, 9]);
        connection.send(Kind::AUDIO, at_ms, &[0xAF, 1, 9, 9]);
        connection.process(&mut pump).unwrap();
    }
    let progress = report.progress;
    assert_eq!((progress.frames, progress.video_frames), (6, 3));
    assert_eq!(progress.received_bytes, 3 * (6 + 4));
    let files = ["out.flv", "out.2.flv"].map(|name| folder.path().join(name));
    assert_eq!(report.files, files);
}

/// A live stream starts at a keyframe, and that keyframe may be the first frame that is not written
/// yet.
#[test]
fn a_reconnect_at_the_next_frame_leaves_no_gap() {
    let frame = |number: u32| [&[0x27, 1, 0, 0, 0][..], &number.to_be_bytes()].concat();
    for (lost, expected) in [(0, None), (1, Some(80)), (3, Some(160))] {
        let folder = tempfile::tempdir().unwrap();
        let job = Job {
            retry: RetryPolicy {
                attempts: None,
                ..RetryPolicy::default()
            },
            ..job(Destination::Path(folder.path().join("out.flv")))
        };
        let mut report = Silent;
        let mut pump = Pump::new(&job, &mut report);
        let mut connection = Connection::new();
        (0..5).for_each(|number| connection.send(Kind::VIDEO, number * 40, &frame(number)));
        connection.process(&mut pump).unwrap();
        pump.rejoin_after("cut");
        let mut connection = Connection::new();
        (5 + lost..55).for_each(|number| connection.send(Kind::VIDEO, number * 40, &frame(number)));
        connection.process(&mut pump).unwrap();
        let gap = pump.take_gaps().latest().next().map(|gap| gap.length_ms);
        assert_eq!(gap, expected, "{lost} lost");
        let length_ms = pump.facts().length_ms;
        assert_eq!(length_ms, 54 * 40, "{lost} lost");
    }
}

/// A server whose timestamps start at 0 for each client, with one second of its cache in a burst.
#[test]
fn the_age_of_a_repeated_cache_shortens_the_gap() {
    let frame = |number: u32| [&[0x27, 1, 0, 0, 0][..], &number.to_be_bytes()].concat();
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(Destination::Path(folder.path().join("out.flv")));
    job.retry.attempts = None;
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    (0..50).for_each(|number| connection.send(Kind::VIDEO, 90_000 + number * 40, &frame(number)));
    let began = Instant::now();
    connection.process(&mut pump).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    pump.rejoin_after("cut");
    let mut connection = Connection::new();
    (0..50).for_each(|number| connection.send(Kind::VIDEO, number * 40, &frame(1_000 + number)));
    connection.process(&mut pump).unwrap();
    let gap_ms = pump.take_gaps().latest().next().unwrap().length_ms;
    // The match is given up after 27 frames, the newest of which is 1,040 ms younger than the first.
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!(400 < gap_ms && gap_ms + 1_000 <= elapsed_ms, "{gap_ms}");
}

/// The frames after a gap form a new segment, even if the gap lies between two runs of the program.
#[test]
fn appending_with_gap_split_starts_a_new_segment() {
    let frame = |number: u32| [&[0x17, 1, 0, 0, 0][..], &number.to_be_bytes()].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.flv");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for run in 0..2 {
        let mut job = job(Destination::Path(path.clone()));
        Arc::make_mut(&mut job.session).start = Start::Live;
        job.gap = GapPolicy::Split;
        job.segments.manifest = Some(folder.path().join("list"));
        let mut report = Silent;
        let mut pump = Pump::new(&job, &mut report);
        if let ScanResult::ExistingRecording(recording, former) =
            resume::read(&path, crate::output::Format::Flv).unwrap()
        {
            pump.continue_from(recording, Resume::default(), *former);
        }
        let mut connection = Connection::new();
        connection.send(Kind::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1, 100 + run]);
        for number in 0..60 {
            let content = u32::from(run) * 1_000 + number;
            connection.send(Kind::VIDEO, number * 40, &frame(content));
        }
        connection.process(&mut pump).unwrap();
        runtime.block_on(pump.output.finish(None)).unwrap();
    }
    let tags = |name: &str| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
        bytes
            .windows(5)
            .filter(|bytes| **bytes == [0x17, 1, 0, 0, 0])
            .count()
    };
    assert_eq!((tags("out.flv"), tags("out.2.flv")), (60, 60));
    let list = std::fs::read_to_string(folder.path().join("list")).unwrap();
    assert_eq!(list.lines().count(), 2, "each segment has one line: {list}");
}

/// Metadata after a gap does not describe the segment before it.
#[test]
fn metadata_after_a_gap_belongs_to_the_new_segment() {
    let frame = |number: u32| [&[0x17, 1, 0, 0, 0][..], &number.to_be_bytes()].concat();
    let metadata = |encoder: &str| {
        let mut body = Vec::new();
        let members: Object = [("encoder", Value::from(encoder))].into_iter().collect();
        amf0::encode(&Value::from("onMetaData"), &mut body);
        amf0::encode(&Value::EcmaArray(members), &mut body);
        body
    };
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(Destination::Path(folder.path().join("out.flv")));
    Arc::make_mut(&mut job.session).start = Start::Live;
    job.retry.attempts = None;
    job.gap = GapPolicy::Split;
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    for (run, encoder) in [(0, "former"), (1, "latter")] {
        let mut connection = Connection::new();
        connection.send(Kind::DATA, 0, &metadata(encoder));
        for number in 0..60 {
            connection.send(Kind::VIDEO, number * 40, &frame(run * 1_000 + number));
        }
        connection.process(&mut pump).unwrap();
        pump.rejoin_after("cut");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(pump.output.finish(None)).unwrap();
    for (name, encoder) in [("out.flv", "former"), ("out.2.flv", "latter")] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let has = |word: &str| bytes.windows(6).any(|bytes| bytes == word.as_bytes());
        let found = ["former", "latter"].map(has);
        assert_eq!(
            found,
            ["former", "latter"].map(|word| word == encoder),
            "{name}"
        );
    }
}

/// A sequence header precedes the frames of a new publisher, and is written with them unless the
/// decoder has it already.
#[test]
fn a_changed_sequence_header_of_a_new_publisher_is_written_with_its_frames() {
    let frame = |number: u32| [&[0x17, 1, 0, 0, 0][..], &number.to_be_bytes()].concat();
    for (policy, other, expected) in [
        (GapPolicy::Split, 8, (1, 1)),
        (GapPolicy::Close, 8, (2, 0)),
        (GapPolicy::Close, 7, (1, 0)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(Destination::Path(folder.path().join("out.flv")));
        Arc::make_mut(&mut job.session).start = Start::Live;
        job.retry.attempts = None;
        job.gap = policy;
        let mut report = Silent;
        let mut pump = Pump::new(&job, &mut report);
        for (run, configuration) in [(0, 7), (1, other)] {
            let mut connection = Connection::new();
            connection.send(Kind::VIDEO, 0, &[0x17, 0, 0, 0, 0, 1, configuration]);
            for number in 0..10 {
                connection.send(Kind::VIDEO, number * 40, &frame(run * 1_000 + number));
            }
            connection.process(&mut pump).unwrap();
            pump.restart();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(pump.output.finish(None)).unwrap();
        let count = |name: &str| {
            let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
            let tags = bytes.windows(6);
            tags.filter(|bytes| **bytes == [0x17, 0, 0, 0, 0, 1])
                .count()
        };
        assert_eq!(
            (count("out.flv"), count("out.2.flv")),
            expected,
            "{policy:?}"
        );
    }
}

#[test]
fn implausible_durations_are_ignored() {
    let claimed = |seconds: f64| duration_ms(&Value::Number(seconds));
    assert_eq!(claimed(30.08), Some(30_080));
    for nonsense in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(claimed(nonsense), None, "{nonsense}");
    }
    assert_eq!(duration_ms(&Value::from("30")), None);
}

#[test]
fn the_requested_range_ends_on_the_output_clock() {
    let folder = tempfile::tempdir().unwrap();
    for (keep_timestamps, first_ms) in [(false, 0), (false, 5_000), (true, 5_000)] {
        let job = Job {
            stop_ms: Some(1_000),
            keep_timestamps,
            ..job(Destination::Path(folder.path().join("out.flv")))
        };
        let mut report = Silent;
        let mut pump = Pump::new(&job, &mut report);
        let mut connection = Connection::new();
        connection.send(Kind::VIDEO, first_ms, &[0x17; 9]);
        connection.send(Kind::VIDEO, first_ms + 999, &[0x27; 9]);
        connection.process(&mut pump).unwrap();
        connection.send(Kind::VIDEO, first_ms + 1_000, &[0x27; 9]);
        let over = connection.process(&mut pump).unwrap_err();
        assert!(matches!(over, Next::Finish(EndCause::Limit)), "{over:?}");
    }
}

#[test]
fn the_requested_range_has_its_own_end() {
    let range = RequestedRange {
        start_ms: 10_000,
        length_ms: Some(5_000),
        keeps_timestamps: false,
    };
    assert_eq!(
        [0, 4_999, 9_000, 10_000].map(|first_ms| range.stream_position_ms(first_ms)),
        [10_000, 10_000, 9_000, 10_000]
    );
    assert_eq!(range.stream_end_ms(Some(30_000)), Some(15_000));
    assert_eq!(range.stream_end_ms(Some(12_000)), Some(12_000));
    assert_eq!(range.stream_end_ms(None), None);
    let whole = RequestedRange {
        start_ms: 0,
        length_ms: None,
        ..range
    };
    assert_eq!(
        (
            whole.stream_position_ms(7),
            whole.stream_end_ms(Some(30_000))
        ),
        (7, Some(30_000))
    );
}

/// A pump that requested a stream from this position and received frames of AVC and AAC.
fn undecodable(start: Start, frames: u32) -> (bool, Vec<TagKind>) {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(Destination::Path(folder.path().join("out.flv")));
    Arc::make_mut(&mut job.session).start = start;
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    for number in 0..frames {
        connection.send(Kind::VIDEO, number * 40, &[0x17, 1, 0, 0, 0, 5]);
        connection.send(Kind::AUDIO, number * 40, &[0xAF, 1, 5]);
    }
    connection.send(Kind::AUDIO, frames * 40, &[0xAF, 0, 0x11, 0x90]);
    connection.process(&mut pump).unwrap();
    (pump.headers.is_fetch_due(), pump.missing_sequence_headers())
}

#[test]
fn a_missing_sequence_header_is_reported_and_a_late_one_is_not() {
    assert_eq!(undecodable(Start::Live, 30), (false, vec![TagKind::VIDEO]));
}

#[test]
fn only_a_stream_after_its_beginning_waits_for_its_sequence_header() {
    assert!(undecodable(Start::At { ms: 20_000 }, 1).0);
    assert!(!undecodable(Start::At { ms: 0 }, 1).0);
    assert!(!undecodable(Start::At { ms: 20_000 }, 0).0);
}

/// Returns the ending of a recorded stream of 30 s after `--start 20`. The received frames have these
/// times, and a keyframe comes every `gop_ms`. An audio-only stream has no keyframes.
fn ending_of_range(frames_ms: std::ops::RangeInclusive<u32>, gop_ms: Option<u32>) -> Ending {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(Destination::Path(folder.path().join("out.flv")));
    Arc::make_mut(&mut job.session).start = Start::At { ms: 20_000 };
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    for at_ms in frames_ms.step_by(200) {
        match gop_ms {
            Some(gop_ms) if at_ms % gop_ms == 0 => connection.send(Kind::VIDEO, at_ms, &[0x12; 9]),
            Some(_) => connection.send(Kind::VIDEO, at_ms, &[0x22; 9]),
            None => connection.send(Kind::AUDIO, at_ms, &[0x2F; 9]),
        }
    }
    connection.process(&mut pump).unwrap();
    pump.duration_ms = Some(30_000);
    pump.stage = Stage::Playing;
    let cause = if pump.has_ignored_start() {
        EndCause::StartIgnored { start_ms: 20_000 }
    } else {
        EndCause::Session(End::Complete(String::new()))
    };
    judge(&cause, &pump.facts()).0
}

#[test]
fn a_stream_of_the_complete_duration_proves_that_the_start_was_ignored() {
    assert_eq!(ending_of_range(0..=30_000, Some(2_000)), Ending::Cut);
    assert_eq!(ending_of_range(0..=29_600, Some(2_000)), Ending::Cut);
    assert_eq!(ending_of_range(0..=30_000, None), Ending::Cut);
}

#[test]
fn a_stream_that_may_be_the_requested_range_is_complete() {
    // The server counts from the requested start, or from a keyframe before it.
    assert_eq!(ending_of_range(0..=10_000, Some(2_000)), Ending::Ended);
    assert_eq!(ending_of_range(0..=18_000, Some(10_000)), Ending::Ended);
    // The server counts from the beginning of the stream.
    assert_eq!(ending_of_range(20_000..=30_000, Some(2_000)), Ending::Ended);
    // The keyframe before the requested start is the first one.
    assert_eq!(ending_of_range(0..=30_000, Some(25_000)), Ending::Ended);
}

/// The start position of the stream counts once, whether or not it is part of the output time.
#[test]
fn kept_timestamps_do_not_change_the_judgement_of_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    for keep_timestamps in [false, true] {
        for (last_ms, ending) in [(20_000, Ending::Cut), (30_000, Ending::Closed)] {
            let job = Job {
                keep_timestamps,
                ..job(Destination::Path(folder.path().join("out.flv")))
            };
            let mut report = Silent;
            let mut pump = Pump::new(&job, &mut report);
            let mut connection = Connection::new();
            for at_ms in (10_000..=last_ms).step_by(200) {
                connection.send(Kind::VIDEO, at_ms, &[0x27; 9]);
            }
            connection.process(&mut pump).unwrap();
            pump.duration_ms = Some(30_000);
            pump.stage = Stage::Playing;
            let closed = EndCause::PeerClosed {
                between_messages: true,
            };
            let judged = judge(&closed, &pump.facts()).0;
            assert_eq!(judged, ending, "{keep_timestamps} {last_ms}");
        }
    }
}

#[test]
fn kept_timestamps_survive_a_stray_frame_and_continue_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job {
        keep_timestamps: true,
        ..job(Destination::Path(folder.path().join("out.flv")))
    };
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    let mut position_after = |timestamps: &[u32]| {
        for at_ms in timestamps {
            connection.send(Kind::VIDEO, *at_ms, &[0x22; 9]);
        }
        connection.process(&mut pump).unwrap();
        pump.progress().position_ms
    };
    assert_eq!(position_after(&[70_000, 70_040, 70_080]), 70_080);
    assert_eq!(position_after(&[0, 70_160, 70_200]), 70_200);
    assert_eq!(position_after(&[0, 40, 80]), 70_320);
}

/// Returns the bytes of a download with these limits, and how it ended. Frames have 1,000 bytes and
/// are 40 ms apart.
fn limited(limits: Limits) -> (Vec<u8>, Option<Next>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.flv");
    let job = Job {
        limits,
        ..job(Destination::Path(file.clone()))
    };
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    let mut over = None;
    for frame in 0..100 {
        connection.send(Kind::VIDEO, 7_000 + frame * 40, &[0x17; 1_000]);
        if let Err(next) = connection.process(&mut pump) {
            over = Some(next);
            break;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(pump.output.finish(None)).unwrap();
    (std::fs::read(file).unwrap_or_default(), over)
}

#[test]
fn duration_and_size_limits_end_the_recording_before_the_exceeding_frame() {
    let (whole, over) = limited(Limits::default());
    assert!(over.is_none());
    assert_eq!(whole.len(), HEAD + 100 * 1_015);
    let duration_ms = Some(400);
    let (file, over) = limited(Limits {
        duration_ms,
        ..Limits::default()
    });
    assert!(
        matches!(over, Some(Next::Finish(EndCause::Limit))),
        "{over:?}"
    );
    assert_eq!(file.len(), HEAD + 10 * 1_015);
    for (bytes, frames) in [(5 * 1_015, 5), (6 * 1_015 - 1, 5), (1_014, 0)] {
        let bytes = Some((HEAD + bytes) as u64);
        let (file, over) = limited(Limits {
            bytes,
            ..Limits::default()
        });
        assert!(
            matches!(over, Some(Next::Finish(EndCause::Limit))),
            "{over:?}"
        );
        let expected = if frames > 0 { HEAD + frames * 1_015 } else { 0 };
        assert_eq!(file.len(), expected, "{bytes:?}");
    }
}

#[test]
fn until_ends_a_silent_recording() {
    let past = jiff::Timestamp::now() - Duration::from_millis(1);
    let until = |until| Limits {
        until: Some(until),
        ..Limits::default()
    };
    let (file, over) = limited(until(past));
    assert!(
        matches!(over, Some(Next::Finish(EndCause::Limit))),
        "{over:?}"
    );
    assert!(file.is_empty());
    let (_, over) = limited(until(jiff::Timestamp::now() + Duration::from_secs(600)));
    assert!(over.is_none());
    let now = Instant::now();
    let left = |ahead: Duration| until(jiff::Timestamp::now() + ahead).deadline().unwrap() - now;
    assert!(left(Duration::from_secs(2)) <= Duration::from_secs(3));
    // A system clock that is set must be noticed.
    assert!(left(Duration::from_secs(86_400)) <= LONGEST_SLEEP + Duration::from_secs(1));
}

#[test]
fn low_free_space_ends_with_disk_full() {
    let (file, over) = limited(Limits {
        min_free: Some(u64::MAX),
        ..Limits::default()
    });
    let Some(Next::Finish(last)) = over else {
        panic!("goes on without room");
    };
    let (ending, reason) = judge(&last, &Facts::default());
    assert_eq!(ending, Ending::DiskFull);
    assert!(reason.contains("--min-free requires "), "{reason}");
    assert!(file.is_empty());
}

#[test]
fn a_discarded_download_is_counted_and_limited_like_a_file() {
    for (bytes, frames) in [(5 * 1_015, 5), (1_014, 0)] {
        let mut job = job(Destination::Discard);
        job.limits.bytes = Some((HEAD + bytes) as u64);
        let mut report = Silent;
        let mut pump = Pump::new(&job, &mut report);
        let mut connection = Connection::new();
        for frame in 0..100 {
            connection.send(Kind::VIDEO, frame * 40, &[0x17; 1_000]);
        }
        let over = connection.process(&mut pump).unwrap_err();
        assert!(matches!(over, Next::Finish(EndCause::Limit)), "{over:?}");
        let totals = pump.output.totals();
        let expected = if frames > 0 { HEAD + frames * 1_015 } else { 0 };
        assert_eq!(
            (totals.bytes, totals.tags),
            (expected as u64, frames as u64)
        );
    }
}

/// Returns how a download with this `media_time` ends after one video message, although the server is silent.
fn ending_of_silence(media_time: Duration, message: &[u8]) -> Option<EndCause> {
    let mut job = job(Destination::Discard);
    job.limits.media_time = Some(media_time);
    let mut report = Silent;
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    connection.send(Kind::VIDEO, 0, message);
    connection.process(&mut pump).unwrap();
    let (_sender, mut stop) = Stop::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let silence = tokio::time::sleep(Duration::from_millis(200));
        pump.flush_while(silence, &mut stop).await.err()
    })
}

#[test]
fn silence_does_not_delay_the_end_of_the_media_time() {
    let frame = [0x17, 1, 0, 0, 0, 5];
    for media_time in [Duration::ZERO, Duration::from_millis(50)] {
        let cause = ending_of_silence(media_time, &frame);
        assert!(matches!(cause, Some(EndCause::Limit)), "{cause:?}");
    }
    let cause = ending_of_silence(Duration::from_secs(600), &frame);
    assert!(cause.is_none(), "{cause:?}");
    let cause = ending_of_silence(Duration::MAX, &frame);
    assert!(cause.is_none(), "{cause:?}");
}

#[test]
fn a_sequence_header_does_not_start_the_media_time() {
    let cause = ending_of_silence(Duration::ZERO, &[0x17, 0, 0, 0, 0, 1, 2]);
    assert!(cause.is_none(), "{cause:?}");
}

/// Records all messages until it has `enough` of them.
#[derive(Default)]
struct Recorder {
    messages: Vec<(TagKind, u32, Vec<u8>)>,
    enough: Option<usize>,
    ignores_messages: bool,
}

impl Report for Recorder {
    fn wants_messages(&self) -> bool {
        !self.ignores_messages
    }

    fn message(&mut self, message: &ReceivedMessage<'_>) {
        let ReceivedMessage {
            timestamp,
            info,
            body,
            ..
        } = message;
        self.messages.push((info.track, timestamp.0, body.to_vec()));
    }

    fn is_satisfied(&self) -> bool {
        self.enough
            .is_some_and(|enough| self.messages.len() >= enough)
    }
}

#[test]
fn every_message_is_reported_as_it_arrives() {
    let mut metadata = Vec::new();
    amf0::encode(&Value::from("onMetaData"), &mut metadata);
    amf0::encode(&Value::EcmaArray(Object::new()), &mut metadata);
    let sent = [
        (Kind::DATA, 3, &metadata[..]),
        (Kind::VIDEO, 90_000, &[0x17, 1, 0, 0, 0, 5]),
        (Kind::AUDIO, 0, &[]),
        (Kind::AUDIO, 7, &[0xAF, 1, 5]),
        (Kind::VIDEO, 80_000, &[0x27, 1, 0, 0, 0, 6]),
    ];
    for ignores_messages in [false, true] {
        let mut job = job(Destination::Discard);
        job.tracks = Some("v".parse().unwrap());
        let mut report = Recorder {
            ignores_messages,
            ..Recorder::default()
        };
        let mut pump = Pump::new(&job, &mut report);
        let mut connection = Connection::new();
        for (kind, timestamp, body) in sent {
            connection.send(kind, timestamp, body);
        }
        connection.process(&mut pump).unwrap();
        let arrived =
            sent.map(|(kind, timestamp, body)| (TagKind(kind.0), timestamp, body.to_vec()));
        let expected = if ignores_messages { &[][..] } else { &arrived };
        assert_eq!(report.messages, expected);
    }
}

#[test]
fn a_satisfied_report_ends_the_download() {
    let job = job(Destination::Discard);
    let mut report = Recorder {
        enough: Some(2),
        ..Recorder::default()
    };
    let mut pump = Pump::new(&job, &mut report);
    let mut connection = Connection::new();
    connection.send(Kind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 5]);
    connection.process(&mut pump).unwrap();
    connection.send(Kind::VIDEO, 40, &[0x27, 1, 0, 0, 0, 5]);
    let over = connection.process(&mut pump).unwrap_err();
    assert!(matches!(over, Next::Finish(EndCause::Limit)), "{over:?}");
}

/// Length of the head of a file.
const HEAD: usize = crate::core::flv::head::LENGTH;
