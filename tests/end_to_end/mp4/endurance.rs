//! Recordings of many hours and of more than 4 GiB.

use std::{
    env,
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::Arc,
};

use mp4_atom::Decode;

use super::*;
use crate::{peers::ffmpeg::ffprobe, server::Replay};

/// `RTMPULL_HOURS=30` records 30 hours.
#[test]
fn long_recording_has_constant_memory_and_complete_tables() {
    let hours = env::var("RTMPULL_HOURS").map_or(1, |hours| hours.parse().expect("a number"));
    let rounds = hours * 3_600_000 / ROUND_MS;
    let replay = Replay::looping(&usual_rates(), rounds);
    let server = Server::start(Config::serving(Stream::replay(Arc::new(replay))));
    let recording = Recording::new("out.mp4", &[]);
    let mut process = recording.start(&server.url("clip"));
    let file = recording.path("out.mp4");
    let (mut early, mut late) = (0, 0);
    while process.is_running() {
        late = late.max(process.peak_memory());
        let length = fs::metadata(&file).map_or(0, |file| file.len());
        if length < rounds * BYTES_PER_ROUND / 10 {
            early = late;
        }
        thread::sleep(Duration::from_millis(5));
    }
    process.finish(LIMIT).assert_ended(0, "ended");
    assert!(
        late - early <= MIB,
        "peak memory grew from {early} to {late} bytes"
    );
    assert!(
        cfg!(debug_assertions) || late <= 12 * MIB,
        "peak memory of {late} bytes"
    );
    assert_eq!(boxes_of_large(&file), ["ftyp", "mdat", "moov"]);
    let bytes = last_box(&file);
    let moov = mp4_atom::Moov::decode(&mut &bytes[..]).expect("a movie");
    let samples = moov
        .trak
        .iter()
        .map(|trak| match &trak.mdia.minf.stbl.stsz.samples {
            mp4_atom::StszSamples::Identical { count, .. } => u64::from(*count),
            mp4_atom::StszSamples::Different { sizes } => sizes.len() as u64,
        });
    let mut samples: Vec<_> = samples.collect();
    samples.sort_unstable();
    assert_eq!(
        samples,
        [PICTURES_PER_ROUND * rounds, SOUNDS_PER_ROUND * rounds]
    );
    let found = crate::verify::duration(&file);
    let expected = (rounds * ROUND_MS) as f64 / 1000.0;
    assert!((found - expected).abs() < 0.1, "{found} s");
    println!(
        "{} samples in {} bytes, tables of {} bytes; {early} bytes of memory after a tenth, {late} at the end",
        samples.iter().sum::<u64>(),
        fs::metadata(&file).expect("the file exists").len(),
        bytes.len(),
    );
    require!(Ffmpeg::find());
    for part in [0.1, 0.5, 0.9] {
        let wanted = part * expected;
        let seek = format!("{wanted}%+#1");
        let entries = [
            "-select_streams",
            "v",
            "-show_entries",
            "packet=pts_time",
            "-of",
            "csv=p=0",
        ];
        let options = [&["-read_intervals", &seek][..], &entries].concat();
        let finished = ffprobe(&options, &file).succeeded();
        let text = String::from_utf8_lossy(&finished.stdout);
        let found: f64 = text.trim().parse().expect("a time");
        assert!(
            (wanted - found).abs() < 2.0,
            "{found} s instead of {wanted} s"
        );
    }
}

/// Runs only with `RTMPULL_LARGE_FILES=1`, because it writes 4.5 GB.
#[test]
fn file_above_4_gib_has_offsets_of_64_bits() {
    if env::var_os("RTMPULL_LARGE_FILES").is_none() {
        println!("skipped: RTMPULL_LARGE_FILES is not set (.ci/long sets it)");
        return;
    }
    require!(Ffmpeg::find());
    let replay = Replay::new(60_000, 4_500_000_000);
    let seconds = f64::from(replay.duration_ms()) / 1000.0;
    let server = Server::start(Config::replaying(Arc::new(replay)));
    let recording = Recording::new("out.mp4", &[]);
    let process = recording.start(&server.url("clip"));
    process.finish(20 * LIMIT).assert_ended(0, "ended");
    let file = recording.path("out.mp4");
    assert_eq!(boxes_of_large(&file), ["ftyp", "mdat", "moov"]);
    assert!((crate::verify::duration(&file) - seconds).abs() < 0.1);
    let interval = format!("{}%+#1", seconds - 0.5);
    let entries = [
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pos,size",
        "-of",
        "csv=p=0",
    ];
    let options = [&["-read_intervals", &interval][..], &entries].concat();
    let finished = ffprobe(&options, &file).succeeded();
    let text = String::from_utf8_lossy(&finished.stdout);
    let (size, position) = text.trim().split_once(',').expect("two numbers");
    let position: u64 = position.parse().expect("a position");
    assert!(position > 1 << 32, "{text}");
    let mut sample = vec![0; size.parse().expect("a size")];
    let mut opened = File::open(&file).expect("the file exists");
    opened.seek(SeekFrom::Start(position)).expect("a position");
    opened.read_exact(&mut sample).expect("a sample");
    let clip = Replay::clip(1);
    let is_same = |tag: &Tag| tag.kind == Tag::VIDEO && tag.body[5..] == sample[..];
    assert!(clip.tags.iter().any(is_same), "the sample is in the stream");
}

/// Returns 1.6 seconds with 30 pictures per second and AAC at 48 kHz.
fn usual_rates() -> Clip {
    let mut tags: Vec<_> = Clip::thin().tags;
    tags.retain(|tag| tag.kind != Tag::SCRIPT && tag.is_sequence_header());
    let pictures = (0..PICTURES_PER_ROUND).map(|number| Tag {
        kind: Tag::VIDEO,
        timestamp_ms: ((number * 1000 + 15) / 30) as u32,
        body: [
            &[if number == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0][..],
            &[7; 20],
        ]
        .concat(),
    });
    let sounds = (0..SOUNDS_PER_ROUND).map(|number| Tag {
        kind: Tag::AUDIO,
        timestamp_ms: ((number * 1024 + 24) / 48) as u32,
        body: [&[0xAF, 1][..], &[7; 10]].concat(),
    });
    let mut frames: Vec<_> = pictures.chain(sounds).collect();
    frames.sort_by_key(|tag| tag.timestamp_ms);
    tags.extend(frames);
    Clip { tags }
}

/// Names of the top-level boxes of a file that is too large for the memory.
fn boxes_of_large(file: &Path) -> Vec<String> {
    let boxes = headers_of_large(file).into_iter();
    boxes.map(|(name, ..)| name).collect()
}

/// Name, offset and length of each top-level box.
fn headers_of_large(file: &Path) -> Vec<(String, u64, u64)> {
    let mut opened = File::open(file).expect("the file exists");
    let end = opened.metadata().expect("a file").len();
    let (mut at, mut found) = (0, Vec::new());
    while at < end {
        let mut header = [0; 16];
        opened.seek(SeekFrom::Start(at)).expect("an offset");
        opened.read_exact(&mut header).expect("a header");
        let length = match u32::from_be_bytes(*header.first_chunk().expect("four bytes")) {
            1 => u64::from_be_bytes(*header.last_chunk().expect("eight bytes")),
            length => length.into(),
        };
        let name = String::from_utf8_lossy(&header[4..8]).into_owned();
        found.push((name, at, length));
        at += length;
    }
    found
}

fn last_box(file: &Path) -> Vec<u8> {
    let (_, at, length) = headers_of_large(file).pop().expect("a box");
    let mut opened = File::open(file).expect("the file exists");
    opened.seek(SeekFrom::Start(at)).expect("an offset");
    let mut bytes = vec![0; length as usize];
    opened.read_exact(&mut bytes).expect("a complete box");
    bytes
}

const ROUND_MS: u64 = 1600;
const PICTURES_PER_ROUND: u64 = 48;
const SOUNDS_PER_ROUND: u64 = 75;

/// Samples of a round and their entries in fragments.
const BYTES_PER_ROUND: u64 = PICTURES_PER_ROUND * (20 + 16) + SOUNDS_PER_ROUND * (10 + 16);

const MIB: u64 = 1 << 20;
