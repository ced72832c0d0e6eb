//! MP4 files: crashes at any time, memory of long recordings, and files of other formats.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex},
    time::Instant,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    core::{
        flv::Metadata,
        mp4::{
            fragment::{ReadFragment, read_fragment},
            tests::demuxer,
        },
    },
    output::{
        file::{MediaFile, Storage},
        muxer::{Message, Muxer, Tracks, Unit},
        segment::SegmentFacts,
    },
};

/// AVC, 320 × 180, and AAC at 48 kHz.
pub(super) const AVC: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x0C, 0xFF, 0xE1, 0, 0x1A, 0x67, 0x64, 0, 0x0C, 0xAC, 0xD9, 0x41,
    0x41, 0x9F, 0x9F, 1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0x20, 0xF1, 0x42, 0x99, 0x60, 1, 0, 4,
    0x68, 0xEF, 0x8F, 0xCB, 0xFD, 0xF8, 0xF8, 0,
];
pub(super) const AAC: &[u8] = &[0xAF, 0, 0x11, 0x88];

/// An operation on a disk.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write(u64, Vec<u8>),
    SetLength(u64),
    /// All earlier operations are on the disk. The file has this number of frames.
    Sync(usize),
}

/// A disk that records all operations.
#[derive(Debug, Clone, Default)]
pub(super) struct LogDisk {
    pub(super) bytes: Vec<u8>,
    cursor: usize,
    /// Largest size of the file.
    size: Option<usize>,
    pub(super) log: Arc<Mutex<Vec<Operation>>>,
    pub(super) frames: Arc<Mutex<usize>>,
}

impl LogDisk {
    pub(super) fn sync(&self) {
        let frames = *self.frames.lock().unwrap();
        self.log.lock().unwrap().push(Operation::Sync(frames));
    }
}

impl Read for LogDisk {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.bytes.get(self.cursor..).unwrap_or_default();
        let count = rest.read(bytes)?;
        self.cursor += count;
        Ok(count)
    }
}

impl Write for LogDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.size.map(|size| size - self.cursor);
        let bytes = &bytes[..bytes.len().min(free.unwrap_or(usize::MAX))];
        if bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let write = Operation::Write(self.cursor as u64, bytes.to_vec());
        apply(&mut self.bytes, &write);
        self.log.lock().unwrap().push(write);
        self.cursor += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for LogDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(offset) = to else {
            panic!("unexpected seek");
        };
        self.cursor = offset as usize;
        Ok(offset)
    }
}

impl Storage for LogDisk {
    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        match self.size {
            Some(size) if offset + bytes > size as u64 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let operation = Operation::SetLength(length);
        apply(&mut self.bytes, &operation);
        self.log.lock().unwrap().push(operation);
        Ok(())
    }

    fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>> {
        let disk = self.clone();
        Ok(Arc::new(move || {
            disk.sync();
            Ok(())
        }))
    }
}

pub(super) fn apply(file: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Write(offset, bytes) => {
            let end = *offset as usize + bytes.len();
            file.resize(file.len().max(end), 0);
            file[*offset as usize..end].copy_from_slice(bytes);
        }
        Operation::SetLength(length) => file.resize(*length as usize, 0),
        Operation::Sync(_) => {}
    }
}

/// Messages of a stream with 25 pictures and 40 audio frames per second.
pub(super) fn messages(seconds: u64) -> impl Iterator<Item = (TagKind, u64, Vec<u8>)> {
    (0..seconds * 1000).filter_map(|time_ms| {
        let number = (time_ms / 5) as u8;
        match time_ms {
            _ if time_ms % 40 == 0 => {
                let first = if time_ms % 2000 == 0 { 0x17 } else { 0x27 };
                let body = vec![first, 1, 0, 0, 0, number, 7, 7, number];
                Some((TagKind::VIDEO, time_ms, body))
            }
            _ if time_ms % 25 == 1 => Some((TagKind::AUDIO, time_ms, vec![0xAF, 1, number])),
            _ => None,
        }
    })
}

pub(super) fn options() -> FileOptions {
    FileOptions {
        faststart: false,
        format: Format::Mp4,
        layout: Layout::Seekable,
        has_playlist: false,
        sync_interval: None,
        ..FileOptions::default()
    }
}

/// Writes a stream to a file as a segment does.
pub(super) fn record<S: Storage>(
    file: &mut MediaFile<S>,
    seconds: u64,
    mut appended: impl FnMut(&[Unit]),
) -> io::Result<()> {
    let mut parser = FrameParser::new();
    let headers = [
        (TagKind::VIDEO, 0, AVC.to_vec()),
        (TagKind::AUDIO, 0, AAC.to_vec()),
    ];
    let (mut units, mut spent) = (Vec::new(), Vec::new());
    file.write_head(Tracks::default())?;
    for (kind, time_ms, body) in headers.into_iter().chain(messages(seconds)) {
        let info = parser.parse(kind, &body);
        let muxer = file.muxer_mut();
        muxer.admit(info, &body).unwrap();
        let message = Message {
            info,
            at_ms: Some(time_ms),
            payload: Payload::from(&body[..]),
        };
        muxer.push(message, 0, &mut units, &mut spent);
        spent.clear();
        if !units.is_empty() {
            file.append(&units)?;
            appended(&units);
            units.clear();
        }
    }
    file.muxer_mut().finish(&mut units);
    file.append(&units)?;
    appended(&units);
    Ok(())
}

/// Number of frames that a player finds in a finished file, or in the fragments of an unfinished one.
pub(super) fn frames_in(file: &[u8]) -> usize {
    // The type of the box may be torn.
    match file.get(32..36) {
        Some([0, 0, 0, 1]) => return demuxed(file),
        Some([0, 0, 0, 48]) => {}
        _ => return 0,
    }
    let length = |at: usize| {
        file.get(at..at + 4)
            .map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
    };
    // The copy of the file type in the `free` box.
    let mut at = 80;
    if file.get(at + 4..at + 8) == Some(b"moov") {
        at += length(at).unwrap_or(0) as usize;
    }
    let mut frames = 0;
    while let Some(ReadFragment::Complete(runs, length)) = file.get(at..).map(read_fragment) {
        if at + length as usize > file.len() {
            break;
        }
        frames += runs.iter().map(|run| run.samples.len()).sum::<usize>();
        at += length as usize;
    }
    frames
}

fn demuxed(file: &[u8]) -> usize {
    let mut demuxer = demuxer(file);
    let mut frames = 0;
    while let Some(sample) = demuxer.next_sample().unwrap() {
        assert!(sample.data_offset as usize + sample.data_size <= file.len());
        frames += 1;
    }
    frames
}

/// Returns the number of operations up to the last sync, and the number of frames that it synced.
pub(super) fn synced(log: &[Operation]) -> Option<(usize, usize)> {
    let mut operations = log.iter().enumerate().rev();
    operations.find_map(|(at, operation)| match operation {
        Operation::Sync(frames) => Some((at + 1, *frames)),
        _ => None,
    })
}

#[test]
fn any_crash_leaves_a_file_with_all_synced_frames() {
    let disk = LogDisk::default();
    let muxer = Muxer::file(&options(), &Metadata::default(), 0);
    let mut file = MediaFile::create(disk.clone(), muxer, None, Instant::now()).unwrap();
    let mut number = 0;
    record(&mut file, 7, |units| {
        let frames: u32 = units.iter().map(|unit| unit.messages).sum();
        *disk.frames.lock().unwrap() += frames as usize;
        number += 1;
        if number % 3 == 0 {
            disk.sync();
        }
    })
    .unwrap();
    let total = messages(7).count();
    assert_eq!(*disk.frames.lock().unwrap(), total);
    file.complete().unwrap();
    file.seal().unwrap();
    let log = disk.log.lock().unwrap().clone();
    let mut complete = Vec::new();
    log.iter()
        .for_each(|operation| apply(&mut complete, operation));
    assert_eq!(frames_in(&complete), total);
    assert_eq!(complete[52..60], *b"ftypiso5");
    assert_eq!(complete[84..88], *b"moov");
    let mut rng = StdRng::seed_from_u64(1);
    let mut crashes = 0;
    for crash in 0..=log.len() {
        let (synced, least) = synced(&log[..crash]).unwrap_or((0, 0));
        for round in 0..300 {
            let mut image = Vec::new();
            log[..synced]
                .iter()
                .for_each(|operation| apply(&mut image, operation));
            for operation in &log[synced..crash] {
                apply_unsynced(&mut image, operation, round, &mut rng);
            }
            let found = frames_in(&image);
            assert!(
                (least..=total).contains(&found),
                "{found} of {least} frames"
            );
            crashes += 1;
        }
    }
    assert!(crashes > 4000, "only {crashes} crashes");
}

/// Between two syncs, a disk may write any of the sectors in any order, and the length of the file at any time. All
/// combinations are checked, except that a sector is written completely or not at all.
#[test]
fn every_subset_of_unsynced_sectors_leaves_all_synced_frames() {
    let disk = LogDisk::default();
    let muxer = Muxer::file(&options(), &Metadata::default(), 0);
    let mut file = MediaFile::create(disk.clone(), muxer, None, Instant::now()).unwrap();
    let mut number = 0;
    record(&mut file, 4, |units| {
        let frames: u32 = units.iter().map(|unit| unit.messages).sum();
        *disk.frames.lock().unwrap() += frames as usize;
        number += 1;
        if number % 2 == 0 {
            disk.sync();
        }
    })
    .unwrap();
    let total = messages(4).count();
    file.complete().unwrap();
    file.seal().unwrap();
    let log = disk.log.lock().unwrap().clone();
    let (mut synced, mut least) = (Vec::new(), 0);
    let (mut images, mut fragmented, mut sealed) = (0, 0, 0);
    // The operations between two syncs. The last ones are never synced.
    let batches = log.split_inclusive(|operation| matches!(operation, Operation::Sync(_)));
    for batch in batches {
        for crash in 0..=batch.len() {
            let sectors: Vec<Operation> = batch[..crash].iter().flat_map(sectors_of).collect();
            assert!(sectors.len() <= 14, "{} sectors", sectors.len());
            let end = sectors
                .iter()
                .fold(synced.len(), |end, sector| match sector {
                    Operation::Write(offset, bytes) => end.max(*offset as usize + bytes.len()),
                    _ => end,
                });
            for subset in 0..1_u32 << sectors.len() {
                for has_length in [false, true] {
                    let mut image = synced.clone();
                    if has_length {
                        image.resize(end, 0);
                    }
                    let written = sectors.iter().enumerate();
                    let written = written.filter(|(number, _)| subset >> number & 1 == 1);
                    written.for_each(|(_, sector)| apply(&mut image, sector));
                    let found = frames_in(&image);
                    assert!(
                        (least..=total).contains(&found),
                        "{found} of {least} frames"
                    );
                    images += 1;
                    let is_sealed = image.get(36..40) == Some(b"mdat");
                    *if is_sealed {
                        &mut sealed
                    } else {
                        &mut fragmented
                    } += 1;
                }
            }
        }
        batch
            .iter()
            .for_each(|operation| apply(&mut synced, operation));
        if let Some(Operation::Sync(frames)) = batch.last() {
            least = *frames;
        }
    }
    println!("{images} images: {fragmented} fragmented, {sealed} sealed");
    assert!(images > 5_000 && sealed > 0);
    assert_eq!(frames_in(&synced), total);
}

/// Divides a write at the boundaries of sectors.
fn sectors_of(operation: &Operation) -> Vec<Operation> {
    let Operation::Write(offset, bytes) = operation else {
        assert!(matches!(operation, Operation::Sync(_)), "{operation:?}");
        return Vec::new();
    };
    let (mut sectors, mut offset, mut rest) = (Vec::new(), *offset, &bytes[..]);
    while !rest.is_empty() {
        let length = (512 - offset as usize % 512).min(rest.len());
        let (sector, after) = rest.split_at(length);
        sectors.push(Operation::Write(offset, sector.to_vec()));
        (offset, rest) = (offset + length as u64, after);
    }
    sectors
}

/// Applies an operation that was not synced: in the first round completely, in others as any of its sectors.
/// A lost sector contains zeros if the length of the file is already on the disk.
pub(super) fn apply_unsynced(
    image: &mut Vec<u8>,
    operation: &Operation,
    round: u32,
    rng: &mut StdRng,
) {
    let Operation::Write(offset, bytes) = operation else {
        return apply(image, operation);
    };
    if round == 0 {
        return apply(image, operation);
    }
    if rng.random_bool(0.3) {
        return;
    }
    let mut at = *offset;
    for sector in bytes.chunks(512) {
        if rng.random_bool(0.7) {
            apply(image, &Operation::Write(at, sector.to_vec()));
        } else if rng.random_bool(0.5) {
            let end = at as usize + sector.len();
            image.resize(image.len().max(end), 0);
        }
        at += sector.len() as u64;
    }
}

#[test]
fn memory_does_not_grow_with_the_recording() {
    let hours = std::env::var("RTMPULL_HOURS").ok();
    let seconds = hours.map_or(600, |hours| 3600 * hours.parse::<u64>().unwrap());
    let disk = tempfile::tempfile().unwrap();
    let mut finished: Option<MediaFile<File>> = None;
    let memory = allocation_counter::measure(|| {
        let muxer = Muxer::file(&options(), &Metadata::default(), 0);
        let mut file = MediaFile::create(disk, muxer, None, Instant::now()).unwrap();
        record(&mut file, seconds, |_| {}).unwrap();
        let started = Instant::now();
        file.complete().unwrap();
        println!("finished in {:?}", started.elapsed());
        finished = Some(file);
    });
    println!("{} bytes at most", memory.bytes_max);
    assert!(memory.bytes_max < 1 << 20, "{} bytes", memory.bytes_max);
    let totals = finished.unwrap().totals();
    assert_eq!(totals.tags, messages(seconds).count() as u64);
}

#[tokio::test]
async fn changed_resolution_starts_a_file() {
    let mut fixture = Fixture::with(options());
    let mut other = AVC.to_vec();
    other[8] += 1;
    for (kind, at_ms, body) in [
        (TagKind::VIDEO, 0, AVC),
        (TagKind::AUDIO, 0, AAC),
        (TagKind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 1][..]),
        (TagKind::AUDIO, 20, &[0xAF, 1, 2]),
        (TagKind::VIDEO, 2000, &other),
        (TagKind::VIDEO, 2000, &[0x17, 1, 0, 0, 0, 3]),
        (TagKind::AUDIO, 2020, &[0xAF, 1, 4]),
    ] {
        fixture.send(kind, at_ms, body);
    }
    fixture.finish().await;
    assert_eq!(demuxed(&fixture.read("out.mp4")), 2);
    assert_eq!(demuxed(&fixture.read("out.2.mp4")), 2);
    let facts: Vec<SegmentFacts> = std::iter::from_fn(|| fixture.output.take_segment()).collect();
    assert_eq!(facts.len(), 2);
    assert_eq!(facts[1].bytes, fixture.read("out.2.mp4").len() as u64);
}

#[tokio::test]
async fn unsupported_track_after_the_start_continues_in_flv() {
    let mut fixture = Fixture::with(options());
    fixture.send(TagKind::VIDEO, 0, AVC);
    for number in 0..200 {
        fixture.send(TagKind::VIDEO, number * 20, &[0x17, 1, 0, 0, 0, 1]);
    }
    // Speex.
    fixture.send(TagKind::AUDIO, 4000, &[0xB6, 1]);
    fixture.send(TagKind::VIDEO, 4000, &[0x17, 1, 0, 0, 0, 1]);
    fixture.finish().await;
    assert_eq!(demuxed(&fixture.read("out.mp4")), 200);
    // The sequence header, the audio frame and the picture.
    assert_eq!(fixture.tags("out.flv").len(), 3);
}

#[tokio::test]
async fn unsupported_track_at_the_start_leaves_only_an_flv_file() {
    let mut fixture = Fixture::with(options());
    fixture.send(TagKind::VIDEO, 0, AVC);
    fixture.send(TagKind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 1]);
    // Speex.
    fixture.send(TagKind::AUDIO, 20, &[0xB6, 1]);
    fixture.finish().await;
    assert_eq!(fixture.tags("out.flv").len(), 3);
    assert!(!fixture.folder.path().join("out.mp4").exists());
    let facts = fixture.output.take_segment().unwrap();
    assert!(facts.path.ends_with("out.flv"));
    assert_eq!(facts.segment, 1);
}

#[test]
fn full_disk_leaves_a_finished_file_with_the_frames_that_fit() {
    let (mut sealed, mut full) = (0, 0);
    for size in (0..16_000).step_by(97) {
        let disk = LogDisk {
            size: Some(size),
            ..LogDisk::default()
        };
        let muxer = Muxer::file(&options(), &Metadata::default(), 0);
        let mut file = MediaFile::create(disk.clone(), muxer, None, Instant::now()).unwrap();
        let mut frames = 0;
        let recorded = record(&mut file, 7, |units| {
            frames += units.iter().map(|unit| unit.messages).sum::<u32>() as usize;
        });
        file.complete().unwrap();
        file.seal().unwrap();
        let mut image = Vec::new();
        let log = disk.log.lock().unwrap();
        log.iter()
            .for_each(|operation| apply(&mut image, operation));
        assert_eq!(frames_in(&image), frames, "{size} bytes");
        assert_eq!(file.totals().bytes, image.len() as u64, "{size} bytes");
        let is_sealed = image.get(36..40) == Some(b"mdat");
        assert_eq!(is_sealed, frames > 0, "{size} bytes");
        sealed += usize::from(is_sealed);
        full += usize::from(recorded.is_err());
    }
    assert!(sealed > 0 && full > 0);
}
