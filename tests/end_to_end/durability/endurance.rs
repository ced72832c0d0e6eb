//! Recordings of a day of media, sent within seconds.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    peers::{
        ffmpeg::{Ffmpeg, ffprobe},
        mpv::Mpv,
        require,
    },
    program::{self, Running},
    server::{Broadcast, Config, PublisherClock, Replay, Server, Stream},
};

#[test]
fn day_long_recording_has_constant_memory_and_a_full_index() {
    let day = Day::new();
    // The 32-bit clock of the server wraps at noon.
    let replay = Replay::looping(&day.clip, ROUNDS).on_clock(0u32.wrapping_sub(DAY_MS / 2));
    // No end signal: the peak memory of an exited process cannot be read.
    let stream = Stream::replay(Arc::new(replay)).ending(&[]);
    let server = Server::start(Config::serving(stream));
    let mut running = program::start(&server.url("clip"), &["--live", "--retry", "forever"]);
    wait_for_growth(&mut running, day.file_bytes() / 10);
    let early = running.process.peak_memory();
    wait_for_growth(&mut running, day.file_bytes());
    let late = running.process.peak_memory();
    assert!(
        late - early <= MIB / 2,
        "peak memory grew from {early} to {late} bytes"
    );
    assert!(
        cfg!(debug_assertions) || late <= 12 * MIB,
        "peak memory of {late} bytes"
    );
    running.process.signal("INT");
    let download = running.finish();
    download.assert_ended(0, "interrupted");
    let file = fs::read(download.file()).expect("the file exists");
    day.assert_recorded(&file);
    day.assert_indexed(&file);
    println!(
        "{} messages in {} bytes; {early} bytes of memory after a tenth, {late} at the end",
        day.messages(),
        file.len()
    );
    require!(Ffmpeg::find());
    day.assert_ffprobe_seeks(&download.file());
    let mpv = require!(Mpv::find());
    day.assert_mpv_seeks(&mpv, &download.file());
}

/// Debug builds need more memory, for their code.
#[test]
fn peak_memory_is_limited_for_files_pipes_and_devices() {
    let replay = Arc::new(Replay::new(4096, 200 * MIB));
    let server = Server::start(Config::replaying(replay));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("out.flv");
    let outputs = [&file.to_string_lossy(), "-", "/dev/null"];
    let peaks = outputs.map(|output| {
        let mut command = program::command();
        command.args([&server.url("clip"), "-o", output]);
        let mut process = Process::start(&mut command);
        let mut peak = 0;
        while process.is_running() {
            peak = peak.max(process.anonymous_memory());
            thread::sleep(Duration::from_millis(2));
        }
        process.finish(LIMIT).assert_ended(0, "ended");
        peak
    });
    assert!(peaks.iter().all(|peak| *peak <= 6 * MIB), "{peaks:?}");
    let differ = peaks.iter().any(|peak| peak.abs_diff(peaks[0]) > 2 * MIB);
    assert!(!differ, "{outputs:?} need {peaks:?} bytes");
}

#[test]
fn segments_of_three_hours_contain_every_frame() {
    let clip = three_hours();
    let source: Vec<Tag> = frames(&clip).cloned().collect();
    // The timestamps exceed 2^31 in the middle, where a signed clock would end.
    let clock = PublisherClock::From((1 << 31) - 3 * HALF_HOUR_MS);
    let broadcast = Broadcast::new(clip, 3000.0, false).on_clock(clock);
    let server = Server::start(Config::serving(Stream::broadcast(broadcast)));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("list");
    let mut command = program::command();
    command.args([&server.url("clip"), "--live", "--segment-time", "1800"]);
    command.arg("-o").arg(folder.path().join("%d.flv"));
    command.arg("--manifest").arg(&manifest);
    let finished = Process::start(&mut command).finish(5 * LIMIT).succeeded();
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(", unpublished"), "{finished}");
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    assert_eq!(manifest.lines().count(), 6, "{manifest}");
    let joined: Vec<Tag> = manifest.lines().flat_map(segment_frames).collect();
    assert_eq!(joined.len(), source.len(), "frames");
    let first_ms = source[0].timestamp_ms;
    for (found, sent) in joined.iter().zip(&source) {
        assert!(
            *found == retimed(sent, sent.timestamp_ms - first_ms),
            "the frame at {} ms",
            found.timestamp_ms
        );
    }
}

/// Returns [`Clip::thin`] repeated for three hours.
fn three_hours() -> Clip {
    let thin = Clip::thin();
    let sequence_headers = thin.media().filter(|tag| tag.is_sequence_header());
    let rounds = (0..6 * HALF_HOUR_MS / ROUND_MS).flat_map(|round| {
        let start_ms = round * ROUND_MS;
        frames(&thin).map(move |tag| retimed(tag, start_ms + tag.timestamp_ms))
    });
    Clip {
        tags: sequence_headers.cloned().chain(rounds).collect(),
    }
}

/// Returns the frames of a segment at their times in the recording.
///
/// # Panics
///
/// Panics if the segment is not valid or differs from its manifest line `line`.
#[track_caller]
fn segment_frames(line: &str) -> Vec<Tag> {
    let segment: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    let path = PathBuf::from(segment["path"].as_str().expect("a path"));
    let bytes = fs::read(path).expect("the listed file exists");
    let indexed = IndexedFile::read(&bytes);
    indexed.assert_head_matches(bytes.len());
    assert_eq!(segment["duration_ms"], indexed.number("duration") * 1000.0);
    let (sequence_headers, frames) = indexed.tags.split_at(2);
    assert!(sequence_headers.iter().all(Tag::is_sequence_header));
    assert!(frames[0].is_keyframe());
    let offset_ms = segment["offset_ms"].as_u64().expect("an offset") as u32;
    let in_recording = |tag: &Tag| retimed(tag, tag.timestamp_ms + offset_ms);
    frames.iter().map(in_recording).collect()
}

/// Expected contents of a recording of a day.
struct Day {
    clip: Clip,
}

impl Day {
    fn new() -> Self {
        Self { clip: Clip::thin() }
    }

    fn frames(&self) -> impl Iterator<Item = &Tag> {
        frames(&self.clip)
    }

    fn messages(&self) -> u64 {
        ROUNDS * self.frames().count() as u64
    }

    fn file_bytes(&self) -> u64 {
        let bytes = |tag: &Tag| tag.body.len() as u64 + FRAMING;
        let sequence_headers = self.clip.media().filter(|tag| tag.is_sequence_header());
        let sequence_headers: u64 = sequence_headers.map(bytes).sum();
        head::LENGTH as u64 + sequence_headers + ROUNDS * self.round_bytes()
    }

    fn round_bytes(&self) -> u64 {
        let bytes = self.frames().map(|tag| tag.body.len() as u64 + FRAMING);
        bytes.sum()
    }

    /// Returns the offset of the first frame, which is a video frame.
    fn first_position(&self) -> u64 {
        self.file_bytes() - ROUNDS * self.round_bytes()
    }

    /// Panics unless `file` has each frame at its time.
    #[track_caller]
    fn assert_recorded(&self, file: &[u8]) {
        assert_eq!(file.len() as u64, self.file_bytes());
        let mut expected = Vec::new();
        let first_ms = self.frames().next().map_or(0, |tag| tag.timestamp_ms);
        let rounds = file[self.first_position() as usize..].chunks(self.round_bytes() as usize);
        for (start_ms, round) in (0..).step_by(ROUND_MS as usize).zip(rounds) {
            expected.clear();
            for tag in self.frames() {
                put_tag(&mut expected, start_ms + tag.timestamp_ms - first_ms, tag);
            }
            assert!(round == expected, "the frames from {start_ms} ms on");
        }
    }

    /// Panics unless the head of `file` has the correct duration and an index that covers the
    /// complete file.
    #[track_caller]
    fn assert_indexed(&self, file: &[u8]) {
        assert!(
            head::is_rewritable(file),
            "the head was not written by rtmpull"
        );
        let indexed = IndexedFile {
            tags: Vec::new(),
            fields: fields(&Clip::parse(&file[..head::LENGTH]).tags[0]),
            torn_bytes: 0,
        };
        let frame_ms = ROUND_MS / 16;
        let length_ms = f64::from(ROUND_MS) * ROUNDS as f64;
        assert_eq!(indexed.number("duration"), length_ms / 1000.0);
        let last_ms = length_ms - f64::from(frame_ms);
        assert_eq!(indexed.number("lasttimestamp"), last_ms / 1000.0);
        assert_eq!(indexed.number("filesize"), file.len() as f64);
        let mut slots = indexed.slots();
        assert_eq!(slots.len(), 2048);
        slots.dedup();
        for (seconds, position) in &slots {
            let round = (position - self.first_position()) / self.round_bytes();
            assert_eq!((*seconds, *position), self.keyframe(round));
        }
        assert_eq!(slots.first(), Some(&self.keyframe(0)));
        assert_eq!(slots.last(), Some(&self.keyframe(ROUNDS - 1)));
        let mean = slots[slots.len() - 1].0 / (slots.len() - 1) as f64;
        assert!(mean < INDEX_INTERVAL, "{mean} s between two entries");
        for pair in slots.windows(2) {
            let distance = pair[1].0 - pair[0].0;
            assert!(distance > 0.0 && distance <= 2.0 * mean, "{distance} s");
        }
    }

    /// Returns the time in seconds and the offset of the keyframe of a round.
    fn keyframe(&self, round: u64) -> (f64, u64) {
        let position = self.first_position() + round * self.round_bytes();
        let milliseconds = round as f64 * f64::from(ROUND_MS);
        (milliseconds / 1000.0, position)
    }

    /// Returns the keyframe at `found` seconds. Panics if there is none, or if it is too far before
    /// the requested time `at`.
    #[track_caller]
    fn keyframe_before(&self, at: f64, found: f64) -> (f64, u64) {
        let round = (found * 1000.0 / f64::from(ROUND_MS)).round();
        let keyframe = self.keyframe(round as u64);
        let is_keyframe = (found - keyframe.0).abs() < 0.001;
        assert!(is_keyframe, "no keyframe at {found} s (seeking to {at} s)");
        let back = (0.0..=INDEX_INTERVAL).contains(&(at - found));
        assert!(back, "seeking to {at} s found {found} s");
        keyframe
    }

    /// Panics unless mpv starts at a keyframe shortly before each requested time.
    #[track_caller]
    fn assert_mpv_seeks(&self, mpv: &Mpv, file: &Path) {
        for at in seek_times() {
            self.keyframe_before(at, mpv.seek(file, at));
        }
    }

    /// Panics unless ffprobe finds a keyframe shortly before each requested time without reading
    /// the complete file.
    #[track_caller]
    fn assert_ffprobe_seeks(&self, file: &Path) {
        for at in seek_times() {
            let found = SeekResult::new(file, at);
            assert!(found.flags.starts_with('K'), "{at} s: {found:?}");
            let (_, position) = self.keyframe_before(at, found.seconds);
            // ffprobe reports the offset of the tag header or of the body.
            assert!((position..position + 16).contains(&found.position));
            assert!(found.bytes_read < 1 << 20, "{at} s: {found:?}");
        }
    }
}

/// Packet found by ffprobe after seeking.
#[derive(Debug)]
struct SeekResult {
    seconds: f64,
    position: u64,
    flags: String,
    /// Number of bytes read from the file.
    bytes_read: u64,
}

impl SeekResult {
    #[track_caller]
    fn new(file: &Path, seconds: f64) -> Self {
        let interval = format!("{seconds:.3}%+#1");
        let arguments = [
            &["-read_intervals", &interval][..],
            &["-select_streams", "v", "-of", "compact"],
            &["-show_entries", "packet=dts_time,pos,flags"],
            &["-loglevel", "debug"],
        ];
        let finished = ffprobe(&arguments.concat(), file).succeeded();
        let packet = String::from_utf8_lossy(&finished.stdout);
        let field = |name| {
            let mut fields = packet.trim().split('|');
            let value = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in {packet:?}"))
        };
        // Example: "Statistics: 163840 bytes read, 2 seeks"
        let mut statistics = finished.stderr.split("Statistics: ").skip(1);
        let statistics = statistics.find_map(|line| line.split_once(" bytes read"));
        let (bytes_read, _) = statistics.expect("ffprobe prints how much it read");
        Self {
            seconds: field("dts_time").parse().expect("a time"),
            position: field("pos").parse().expect("a position"),
            flags: field("flags").to_owned(),
            bytes_read: bytes_read.parse().expect("a number"),
        }
    }
}

/// Returns times spread over the day, in seconds: the first after the first keyframes, the last in
/// the final second.
fn seek_times() -> impl Iterator<Item = f64> {
    let day = f64::from(DAY_MS) / 1000.0;
    (0..10).map(move |index| 3.3 + f64::from(index) * (day - 4.0) / 9.0)
}

/// Waits until the file has `bytes`. Panics if it stops growing.
#[track_caller]
fn wait_for_growth(running: &mut Running, bytes: u64) {
    let file = running.file();
    let mut length = 0;
    let mut grown_at = Instant::now();
    while length < bytes {
        assert!(running.process.is_running(), "ended at {length} bytes");
        thread::sleep(Duration::from_millis(10));
        let now = fs::metadata(&file).map_or(0, |file| file.len());
        if now > length {
            (length, grown_at) = (now, Instant::now());
        }
        assert!(
            grown_at.elapsed() < LIMIT,
            "the file stopped growing at {length} of {bytes} bytes"
        );
    }
}

fn frames(clip: &Clip) -> impl Iterator<Item = &Tag> {
    clip.media().filter(|tag| !tag.is_sequence_header())
}

/// Returns the same tag at another time.
fn retimed(tag: &Tag, timestamp_ms: u32) -> Tag {
    Tag {
        timestamp_ms,
        ..tag.clone()
    }
}

/// Appends a complete tag (FLV E.4.1).
fn put_tag(out: &mut Vec<u8>, timestamp_ms: u32, tag: &Tag) {
    let length = tag.body.len() as u32;
    let [high, low @ ..] = timestamp_ms.to_be_bytes();
    out.push(tag.kind);
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&low);
    out.extend_from_slice(&[high, 0, 0, 0]);
    out.extend_from_slice(&tag.body);
    out.extend_from_slice(&(length + 11).to_be_bytes());
}

const MIB: u64 = 1 << 20;

const HALF_HOUR_MS: u32 = 1_800_000;

const DAY_MS: u32 = 24 * 3_600_000;

/// Duration of [`Clip::thin`].
const ROUND_MS: u32 = 2048;

/// Number of rounds in a day.
const ROUNDS: u64 = DAY_MS.div_ceil(ROUND_MS) as u64;

/// Length of tag header and PreviousTagSize.
const FRAMING: u64 = 15;

/// Upper bound for the mean distance of index entries in seconds: the index has space for every
/// 32nd of the 42,188 keyframes of a day.
const INDEX_INTERVAL: f64 = 70.0;
