//! MP4 files that are finished or continued after a kill.

use std::{sync::Arc, time::Instant};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    mp4::{
        LogDisk, Operation, apply, apply_unsynced, frames_in, messages, options, record, synced,
    },
    *,
};
use crate::{
    core::flv::Metadata,
    output::{
        ExistingMovie, Purpose, ReadMovie,
        file::MediaFile,
        muxer::{Message, Muxer, Unit},
        read_movie,
    },
};

/// A disk with a file of an earlier run.
fn disk_with(bytes: Vec<u8>) -> LogDisk {
    let mut disk = LogDisk::default();
    disk.bytes = bytes;
    disk
}

fn read(bytes: &[u8]) -> ReadMovie {
    let length = bytes.len() as u64;
    let mut disk = disk_with(bytes.to_vec());
    read_movie(&mut disk, length, Purpose::Repair, &mut |_| true).unwrap()
}

fn reopen(disk: LogDisk, movie: ExistingMovie) -> MediaFile<LogDisk> {
    MediaFile::reopen(disk, movie, Instant::now()).unwrap()
}

fn finish(file: &mut MediaFile<LogDisk>) {
    file.complete().unwrap();
    file.seal().unwrap();
}

/// Repairs a file, and returns the operations; `None` if there is nothing to repair.
fn repair(bytes: &[u8]) -> Option<Vec<Operation>> {
    let ReadMovie::Movie(movie) = read(bytes) else {
        return None;
    };
    if movie.is_complete() {
        return None;
    }
    let disk = disk_with(bytes.to_vec());
    let log = Arc::clone(&disk.log);
    finish(&mut reopen(disk, *movie));
    Some(log.lock().unwrap().clone())
}

fn applied(bytes: &[u8], log: &[Operation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    log.iter()
        .for_each(|operation| apply(&mut bytes, operation));
    bytes
}

/// Records a file, and returns the operations, and the end of each fragment with the number of frames up to it.
fn recorded(seconds: u64) -> (Vec<Operation>, Vec<(usize, usize)>) {
    let disk = LogDisk::default();
    let log = Arc::clone(&disk.log);
    let muxer = Muxer::file(&options(), &Metadata::default(), 0);
    let mut file = MediaFile::create(disk, muxer, None, Instant::now()).unwrap();
    let mut ends = vec![(80, 0)];
    record(&mut file, seconds, |units| {
        for unit in units {
            let (end, frames) = ends[ends.len() - 1];
            ends.push((end + unit.as_bytes().len(), frames + unit.messages as usize));
        }
    })
    .unwrap();
    finish(&mut file);
    let log = log.lock().unwrap().clone();
    (log, ends)
}

fn frames_before(ends: &[(usize, usize)], length: usize) -> usize {
    let complete = ends.iter().rev().find(|(end, _)| *end <= length);
    complete.map_or(0, |(_, frames)| *frames)
}

/// Calls `check` with the file as a kill at any byte of the operations would leave it. Of long writes before the last
/// fragment, only some bytes are tried.
fn for_each_kill(start: &[u8], log: &[Operation], mut check: impl FnMut(&[u8])) -> usize {
    let mut file = start.to_vec();
    let last = log.len().saturating_sub(8);
    let mut kills = 0;
    for (number, operation) in log.iter().enumerate() {
        if let Operation::Write(offset, bytes) = operation {
            let step = if number < last { 97 } else { 1 };
            for count in (0..bytes.len()).step_by(step) {
                let mut torn = file.clone();
                apply(
                    &mut torn,
                    &Operation::Write(*offset, bytes[..count].to_vec()),
                );
                check(&torn);
                kills += 1;
            }
        }
        apply(&mut file, operation);
        check(&file);
    }
    kills
}

#[test]
fn a_kill_at_any_byte_keeps_all_frames_of_complete_fragments() {
    let (log, ends) = recorded(3);
    let kills = for_each_kill(&[], &log, |file| {
        let expected = frames_before(&ends, file.len());
        assert_eq!(frames_in(file), expected, "before the repair");
        match repair(file) {
            Some(steps) => {
                let repaired = applied(file, &steps);
                assert_eq!(&repaired[36..40], b"mdat");
                assert_eq!(frames_in(&repaired), expected);
                assert!(repair(&repaired).is_none(), "the repaired file is complete");
            }
            None => assert!(expected == 0 || &file[36..40] == b"mdat"),
        }
    });
    assert!(kills > 2000, "only {kills} kills");
}

#[test]
fn a_kill_during_the_repair_loses_nothing() {
    let (log, ends) = recorded(3);
    let complete = applied(&[], &log);
    // A torn fragment, torn tables, and a finished file that lost the end of its tables.
    let end = ends[ends.len() - 1].0;
    let unsealed = applied(&[], &log[..log.len() - 2]);
    for file in [
        &complete[..end - 9],
        &unsealed[..end + 99],
        &complete[..end + 99],
    ] {
        let expected = frames_before(&ends, file.len());
        let steps = repair(file).expect("a repair");
        let kills = for_each_kill(file, &steps, |killed| {
            // A truncated copy of a finished file cannot be played until it is fragmented again.
            if killed[32..36] != [0, 0, 0, 1] || killed.len() > file.len() {
                assert_eq!(frames_in(killed), expected);
            }
            let repaired = match repair(killed) {
                Some(steps) => applied(killed, &steps),
                None => killed.to_vec(),
            };
            assert_eq!(frames_in(&repaired), expected);
        });
        assert!(kills > 500, "only {kills} kills");
    }
}

#[test]
fn an_intact_file_is_complete() {
    let (log, _) = recorded(3);
    let file = applied(&[], &log);
    assert!(matches!(read(&file), ReadMovie::Movie(movie) if movie.is_complete()));
    let mut longer = file;
    longer.push(0);
    assert!(
        repair(&longer).is_some(),
        "the byte after the tables is cut off"
    );
}

#[test]
fn fragments_after_damage_are_kept() {
    let (log, ends) = recorded(5);
    let complete = applied(&[], &log);
    let all = ends[ends.len() - 1].1;
    for damaged in 1..ends.len() - 1 {
        let ((start, before), (end, after)) = (ends[damaged], ends[damaged + 1]);
        let mut file = complete[..ends[ends.len() - 1].0].to_vec();
        file[32..40].copy_from_slice(&log_header(&log));
        file[start..end].fill(0);
        let expected = all - (after - before);
        let repaired = applied(&file, &repair(&file).expect("a repair"));
        assert_eq!(frames_in(&repaired), expected);
        if damaged + 2 < ends.len() {
            // Without a repair, the file is not continued: the rest would be lost.
            let mut disk = disk_with(file.clone());
            let purpose = Purpose::Continue(&mut |_, _| {});
            let read = read_movie(&mut disk, file.len() as u64, purpose, &mut |_| true).unwrap();
            assert!(matches!(read, ReadMovie::Damaged(at) if at == start as u64));
        }
    }
}

#[test]
fn possible_fragments_after_damage_are_limited_for_the_complete_file() {
    let (log, ends) = recorded(5);
    let complete = applied(&[], &log);
    let with_garbage = |parts: usize| {
        let mut file = complete[..ends[ends.len() - 1].0].to_vec();
        file[32..40].copy_from_slice(&log_header(&log));
        for (start, _) in ends[1..=parts].iter().rev() {
            file.splice(start..start, b"moof".repeat(400));
        }
        read(&file)
    };
    assert!(matches!(with_garbage(2), ReadMovie::Movie(_)));
    assert!(matches!(with_garbage(3), ReadMovie::Damaged(_)));
}

/// Reserved header of the growing file.
fn log_header(log: &[Operation]) -> [u8; 8] {
    let Operation::Write(0, head) = &log[0] else {
        panic!("the head is written first");
    };
    head[32..40].try_into().unwrap()
}

/// Appends the frames of a stream from `from_ms` on.
fn append(
    file: &mut MediaFile<LogDisk>,
    from_ms: u64,
    seconds: u64,
    mut appended: impl FnMut(&[Unit]),
) {
    let mut parser = FrameParser::new();
    let (mut units, mut spent) = (Vec::new(), Vec::new());
    for (kind, time_ms, body) in messages(seconds).filter(|(_, time_ms, _)| *time_ms >= from_ms) {
        let info = parser.parse(kind, &body);
        let muxer = file.muxer_mut();
        muxer.admit(info, &body).unwrap();
        let payload = Payload::from(&body[..]);
        let at_ms = Some(time_ms);
        let message = Message {
            info,
            at_ms,
            payload,
        };
        muxer.push(message, 0, &mut units, &mut spent);
        if !units.is_empty() {
            file.append(&units).unwrap();
            appended(&units);
            units.clear();
        }
    }
    file.muxer_mut().finish(&mut units);
    file.append(&units).unwrap();
    appended(&units);
}

#[test]
fn a_crash_while_a_finished_file_is_continued_keeps_all_synced_frames() {
    let (log, ends) = recorded(3);
    let finished = applied(&[], &log);
    let existing = ends[ends.len() - 1].1;
    let ReadMovie::Movie(movie) = read(&finished) else {
        panic!("an own file");
    };
    let disk = disk_with(finished.clone());
    let (log, frames) = (Arc::clone(&disk.log), Arc::clone(&disk.frames));
    *frames.lock().unwrap() = existing;
    let syncer = disk.clone();
    let mut file = reopen(disk, *movie);
    append(&mut file, 3000, 6, |units| {
        let new: u32 = units.iter().map(|unit| unit.messages).sum();
        *frames.lock().unwrap() += new as usize;
        syncer.sync();
    });
    finish(&mut file);
    let total = *frames.lock().unwrap();
    assert_eq!(total, messages(6).count());
    let log = log.lock().unwrap().clone();
    assert_eq!(frames_in(&applied(&finished, &log)), total);
    let mut rng = StdRng::seed_from_u64(3);
    for crash in 0..=log.len() {
        let (synced, least) = synced(&log[..crash]).unwrap_or((0, existing));
        for round in 0..200 {
            let mut image = applied(&finished, &log[..synced]);
            for operation in &log[synced..crash] {
                apply_unsynced(&mut image, operation, round, &mut rng);
            }
            let found = frames_in(&image);
            assert!(
                (least..=total).contains(&found),
                "{found} of {least} frames"
            );
            let repaired =
                repair(&image).map_or_else(|| image.clone(), |steps| applied(&image, &steps));
            assert!(frames_in(&repaired) >= found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_changed_file_is_repaired_or_refused(
        changes in proptest::collection::vec((any::<u32>(), any::<u8>(), 1_usize..40), 0..4),
        cut in any::<u32>(),
        is_finished in any::<bool>(),
    ) {
        let (log, ends) = recorded(2);
        let mut file = match is_finished {
            true => applied(&[], &log),
            false => applied(&[], &log[..ends.len()]),
        };
        file.truncate(cut as usize % (2 * file.len()));
        for (at, byte, count) in changes {
            let at = at as usize % file.len().max(1);
            file.iter_mut().skip(at).take(count).for_each(|found| *found = byte);
        }
        if let Some(steps) = repair(&file) {
            let repaired = applied(&file, &steps);
            prop_assert_eq!(&repaired[36..40], b"mdat");
            prop_assert!(repair(&repaired).is_none());
        }
    }
}
