use proptest::prelude::*;

use super::*;
use crate::core::{
    flv::TagKind,
    mp4::{
        fragment::{ReadFragment, read_fragment},
        tests::{AAC_HEADER, File, assert_strict, avc_header, demux, options},
        writer::ExistingSample,
    },
};

/// The setup of a stream that reorders frames. Its first picture is decoded at 20 ms and shown at 100 ms.
fn setup() -> [(TagKind, u64, Vec<u8>); 2] {
    [
        (TagKind::VIDEO, 0, avc_header()),
        (TagKind::AUDIO, 0, AAC_HEADER.to_vec()),
    ]
}

/// The frames of that stream. The first sound is at `sound_ms`.
fn frames(seconds: u64, sound_ms: u64) -> Vec<(TagKind, u64, Vec<u8>)> {
    let mut frames = Vec::new();
    for number in 0..25 * seconds {
        let key = if number % 25 == 0 { 0x17 } else { 0x27 };
        let body = vec![key, 1, 0, 0, 80, number as u8, 7];
        frames.push((TagKind::VIDEO, START_MS + number * 40, body));
        for frame in [2 * number, 2 * number + 1] {
            // Frames of 21.3 ms, rounded down.
            let time_ms = sound_ms + frame * 1024 * 1000 / 48_000;
            frames.push((TagKind::AUDIO, time_ms, vec![0xAF, 1, frame as u8, 2]));
        }
    }
    frames
}

fn recorded(layout: Layout, seconds: u64, sound_ms: u64) -> File {
    let mut file = File::new(options(layout, 500));
    for (kind, time_ms, body) in setup().into_iter().chain(frames(seconds, sound_ms)) {
        file.send(kind, time_ms, &body).unwrap();
    }
    file
}

/// Restores the writer of a file, and returns its samples.
fn reopen(bytes: &[u8]) -> Result<(Writer, Vec<ExistingSample>), ReadStart> {
    let ReadStart::Own(mut start) = read_start(bytes, 500) else {
        return Err(read_start(bytes, 500));
    };
    let end = start.sealed_end.unwrap_or(u64::MAX).min(bytes.len() as u64);
    let mut samples = Vec::new();
    while let Some(rest) = bytes.get(start.writer.length() as usize..end as usize) {
        let ReadFragment::Complete(runs, length) = read_fragment(rest) else {
            break;
        };
        if length > rest.len() as u64 || !start.writer.add_existing(&runs, length) {
            break;
        }
        samples.extend(start.writer.existing_samples(&runs));
    }
    Ok((start.writer, samples))
}

#[test]
fn reopened_files_continue_like_uninterrupted_ones() {
    for (layout, is_finished, sound_ms) in [
        (Layout::Seekable, false, 47),
        (Layout::Seekable, false, 130),
        (Layout::Seekable, true, 130),
        (Layout::Plain, false, 47),
    ] {
        let mut first = recorded(layout, 3, sound_ms);
        let bytes = match is_finished {
            true => first.finish(),
            false => std::mem::take(&mut first.bytes),
        };
        let (writer, samples) = reopen(&bytes).expect("an own file");
        let mut file = File::reopen(writer, bytes);
        let in_file = |kind| samples.iter().filter(|sample| sample.track == kind).count();
        let mut skipped = [in_file(TagKind::AUDIO), in_file(TagKind::VIDEO)];
        assert!(skipped.iter().all(|frames| *frames > 40), "{skipped:?}");
        for (kind, time_ms, body) in frames(6, sound_ms) {
            let skipped = &mut skipped[usize::from(kind == TagKind::VIDEO)];
            match skipped.checked_sub(1) {
                Some(rest) => *skipped = rest,
                None => file.send(kind, time_ms - START_MS, &body).unwrap(),
            }
        }
        let (found, expected) = (file.finish(), recorded(layout, 6, sound_ms).finish());
        assert_strict(&found);
        if layout == Layout::Seekable {
            let of = |file: &[u8], is_video| {
                let samples = demux(file).into_iter();
                samples
                    .filter(move |sample| sample.is_video == is_video)
                    .collect::<Vec<_>>()
            };
            for is_video in [false, true] {
                assert_eq!(of(&found, is_video), of(&expected, is_video));
            }
        }
    }
}

#[test]
fn samples_have_their_output_times() {
    let (_, samples) = reopen(&recorded(Layout::Seekable, 3, 130).finish()).unwrap();
    let expected = frames(3, 130);
    for kind in [TagKind::VIDEO, TagKind::AUDIO] {
        let found = samples.iter().filter(|sample| sample.track == kind);
        let expected = expected.iter().filter(|(track, ..)| *track == kind);
        assert_eq!(found.clone().count(), expected.clone().count());
        for (found, (_, time_ms, body)) in found.zip(expected) {
            assert!(found.at_ms.abs_diff(time_ms - START_MS) <= 1);
            assert_eq!(found.is_keyframe, body[0] == 0x17);
        }
    }
}

#[test]
fn setups_of_all_codecs_are_restored() {
    for (track, body) in crate::core::mp4::tests::setups() {
        let entry = SampleEntry::of(track, &body).unwrap();
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        let (kind, body) = BoxHeader::read_complete(&mut Reader::new(&bytes)).unwrap();
        let read = SampleEntry::read(kind, body, entry.timescale).expect("an own entry");
        let mut again = Vec::new();
        read.put(&mut again);
        assert_eq!(again, bytes);
        assert_eq!(read.codec, entry.codec);
        if read.has_frame_length() {
            assert_eq!(read, entry);
        }
        for cut in 0..body.len() {
            let _may_be_complete = SampleEntry::read(kind, &body[..cut], entry.timescale);
        }
    }
}

#[test]
fn interrupted_changes_of_the_header_are_read() {
    let mut file = recorded(Layout::Seekable, 2, 47);
    let growing = std::mem::take(&mut file.bytes);
    let (writer, _) = reopen(&growing).unwrap();
    let frames = |bytes: &[u8]| reopen(bytes).map(|(_, samples)| samples.len()).unwrap();
    let expected = frames(&growing);
    let mut bytes = growing;
    for patch in [writer.sealed_length(), writer.seal(), Writer::unseal()] {
        for (at, byte) in patch.bytes.iter().enumerate() {
            bytes[patch.offset as usize + at] = *byte;
            assert_eq!(frames(&bytes), expected, "at byte {at}");
        }
    }
}

#[test]
fn cut_starts_need_more_bytes() {
    let bytes = recorded(Layout::Seekable, 2, 47).bytes;
    let moof = bytes
        .windows(4)
        .position(|window| window == b"moof")
        .unwrap()
        - 4;
    for cut in 0..moof {
        let read = read_start(&bytes[..cut], 500);
        let needs_more = matches!(read, ReadStart::Needs(more) if more > cut as u64);
        assert!(needs_more, "{cut}: {read:?}");
    }
    for cut in moof..bytes.len() {
        assert!(reopen(&bytes[..cut]).is_ok());
    }
}

#[test]
fn files_of_other_programs_are_foreign() {
    let own = recorded(Layout::Seekable, 1, 47).finish();
    let program = own
        .windows(8)
        .position(|window| window == b"rtmpull ")
        .unwrap();
    let mut foreign = own.clone();
    foreign[program] = b'R';
    let read = read_start(&foreign, 500);
    assert!(matches!(read, ReadStart::Foreign(Foreign::Program)));
    let mut foreign = own;
    foreign[9] = b'x';
    let read = read_start(&foreign, 500);
    assert!(matches!(read, ReadStart::Foreign(Foreign::Program)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn changed_bytes_are_read_without_panic(
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4),
        is_finished in any::<bool>(),
        messages in 0_usize..4,
    ) {
        let mut file = recorded(Layout::Seekable, 2, 47);
        let mut bytes = match is_finished {
            true => file.finish(),
            false => std::mem::take(&mut file.bytes),
        };
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[usize::from(at) % length] = byte;
        }
        if let Ok((writer, samples)) = reopen(&bytes) {
            let end = samples.last().map_or(0, |sample| sample.at_ms);
            let mut file = File::reopen(writer, bytes);
            for (kind, time_ms, body) in frames(1, 47).into_iter().take(messages) {
                let _may_be_unsupported = file.send(kind, end.saturating_add(time_ms), &body);
            }
            file.finish();
        }
    }
}

/// Decoding time of the first picture.
const START_MS: u64 = 20;
