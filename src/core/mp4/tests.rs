//! Files as other demuxers read them, and literal boxes.

mod colors;
mod timing;
mod tracks;

use mp4_atom::{Decode, DecodeMaybe};
use proptest::prelude::*;
use shiguredo_mp4::{
    TrackKind,
    demux::{Input, Mp4FileDemuxer},
};

use super::{
    fragment::{ReadFragment, read_fragment},
    movie::MoviePiece,
    writer::{Fragment, Frame},
    *,
};
use crate::core::{
    flv::{FrameParser, TagKind},
    payload::Payload,
};

const AVC_RECORD: &[u8] = &[
    1, 0x64, 0, 0x0C, 0xFF, 0xE1, 0, 0x1A, 0x67, 0x64, 0, 0x0C, 0xAC, 0xD9, 0x41, 0x41, 0x9F, 0x9F,
    1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0x20, 0xF1, 0x42, 0x99, 0x60, 1, 0, 4, 0x68, 0xEF, 0x8F,
    0xCB, 0xFD, 0xF8, 0xF8, 0,
];

/// Length sizes of 4 bytes; one layer in Main 10 at level 3.1 with pictures of at most 640 by 360.
const VVC_RECORD: [u8; 16] = [
    0xFF, 0, 0x15, 0x5F, 1, 2, 0x33, 0x80, 0, 0x02, 0x80, 0x01, 0x68, 0, 0, 0,
];

pub(super) fn avc_header() -> Vec<u8> {
    [&[0x17, 0, 0, 0, 0], AVC_RECORD].concat()
}

/// AAC-LC, 48 kHz, mono.
pub(super) const AAC_HEADER: &[u8] = &[0xAF, 0, 0x11, 0x88];

pub(super) fn options(layout: Layout, fragment_ms: u64) -> Options {
    Options {
        layout,
        fragment_ms,
        leaves_out_late_tracks: false,
        description: Description {
            created: 1_700_000_000,
            // mp4-atom does not support titles.
            title: None,
            ..Description::default()
        },
    }
}

/// A file in memory.
pub(super) struct File {
    pub(super) writer: Writer,
    parser: FrameParser,
    pub(super) bytes: Vec<u8>,
    fragments: Vec<Fragment>,
}

impl File {
    pub(super) fn new(options: Options) -> Self {
        let mut writer = Writer::new(options);
        Self {
            bytes: writer.head(),
            writer,
            parser: FrameParser::new(),
            fragments: Vec::new(),
        }
    }

    /// Continues a file up to the end of its last fragment.
    pub(super) fn reopen(writer: Writer, mut bytes: Vec<u8>) -> Self {
        bytes.truncate(writer.length() as usize);
        Self {
            bytes,
            writer,
            parser: FrameParser::new(),
            fragments: Vec::new(),
        }
    }

    pub(super) fn send(
        &mut self,
        kind: TagKind,
        time_ms: u64,
        body: &[u8],
    ) -> Result<(), Unsupported> {
        let info = self.parser.parse(kind, body);
        self.writer.admit(info, body)?;
        let frame = Frame {
            info,
            at_ms: time_ms,
            time_ms,
            payload: Payload::from(body),
        };
        self.writer
            .push(frame, &mut self.fragments, &mut Vec::new());
        self.write();
        Ok(())
    }

    fn write(&mut self) {
        for fragment in self.fragments.drain(..) {
            let bytes = &fragment.buffer[fragment.unused..];
            self.writer.written(bytes);
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.writer.finish(&mut self.fragments);
        self.write();
        let Some(first) = self.writer.first_fragment() else {
            return self.bytes;
        };
        let mut movie = Vec::new();
        for part in self.writer.final_movie() {
            match part {
                MoviePiece::Bytes(bytes) => movie.extend(bytes),
                MoviePiece::Entries(mut entries) => {
                    let mut offset = first as usize;
                    while offset < self.bytes.len() {
                        let ReadFragment::Complete(runs, length) =
                            read_fragment(&self.bytes[offset..])
                        else {
                            panic!("not a fragment at {offset}");
                        };
                        entries.add(&runs, offset as u64, &mut movie);
                        offset += length as usize;
                    }
                    entries.finish(&mut movie);
                }
            }
        }
        assert_eq!(movie.len() as u64, self.writer.tables_bytes());
        for patch in [self.writer.sealed_length(), self.writer.seal()] {
            let start = patch.offset as usize;
            self.bytes[start..start + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        self.bytes.extend(movie);
        self.bytes
    }
}

/// A sample as a demuxer returns it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Demuxed {
    pub(super) is_video: bool,
    data: Vec<u8>,
    is_keyframe: bool,
    pub(super) shown_ms: f64,
}

/// Returns a demuxer that has read the tables or the fragments of a file.
pub(crate) fn demuxer(file: &[u8]) -> Mp4FileDemuxer {
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(required) = demuxer.required_input() {
        let position = required.position as usize;
        let end = required.size.map_or(file.len(), |size| position + size);
        demuxer.handle_input(Input {
            position: required.position,
            data: &file[position..end.min(file.len())],
        });
    }
    demuxer
}

pub(super) fn demux(file: &[u8]) -> Vec<Demuxed> {
    let mut demuxer = demuxer(file);
    demuxer.tracks().unwrap();
    let mut samples = Vec::new();
    while let Some(sample) = demuxer.next_sample().unwrap() {
        let ticks = sample.timestamp as i64 + sample.composition_time_offset.unwrap_or(0);
        let timescale = u32::from(sample.track.timescale);
        let from = sample.data_offset as usize;
        samples.push(Demuxed {
            is_video: sample.track.kind == TrackKind::Video,
            data: file[from..from + sample.data_size].to_vec(),
            is_keyframe: sample.keyframe,
            shown_ms: ticks as f64 * 1000.0 / f64::from(timescale),
        });
    }
    samples
}

/// A message of a random stream.
#[derive(Debug, Clone)]
struct Random {
    is_video: bool,
    step_ms: u64,
    size: usize,
    is_keyframe: bool,
    composition_ms: i32,
}

impl Random {
    fn body(&self, number: usize) -> Vec<u8> {
        let mut body = if self.is_video {
            let [_, high, middle, low] = self.composition_ms.to_be_bytes();
            let first = if self.is_keyframe { 0x17 } else { 0x27 };
            vec![first, 1, high, middle, low]
        } else {
            vec![0xAF, 1]
        };
        body.extend((0..self.size).map(|byte| (byte * 7 + number) as u8));
        body
    }

    fn sample(&self, number: usize) -> Vec<u8> {
        let header = if self.is_video { 5 } else { 2 };
        self.body(number).split_off(header)
    }
}

fn random() -> impl Strategy<Value = Random> {
    (
        any::<bool>(),
        0_u64..150,
        1_usize..60,
        any::<bool>(),
        -60_i32..200,
    )
        .prop_map(
            |(is_video, step_ms, size, is_keyframe, composition_ms)| Random {
                is_video,
                step_ms,
                size,
                is_keyframe,
                composition_ms,
            },
        )
}

proptest! {
    #[test]
    fn any_frames_are_demuxed_unchanged_and_at_their_times(
        frames in proptest::collection::vec(random(), 1..120),
        fragment_ms in prop_oneof![Just(100_u64), Just(1000)],
    ) {
        let mut file = File::new(options(Layout::Seekable, fragment_ms));
        file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
        file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
        let mut time_ms = 0;
        let mut expected = Vec::new();
        let mut latest_ms = [None; 2];
        for (number, frame) in frames.iter().enumerate() {
            time_ms += frame.step_ms;
            // Audio times do not repeat; the tick of a repeated time is later.
            let latest = &mut latest_ms[usize::from(frame.is_video)];
            if !frame.is_video && *latest == Some(time_ms) {
                time_ms += 1;
            }
            *latest = Some(time_ms);
            let kind = if frame.is_video { TagKind::VIDEO } else { TagKind::AUDIO };
            file.send(kind, time_ms, &frame.body(number)).unwrap();
            let composition_ms = if frame.is_video { frame.composition_ms } else { 0 };
            expected.push(Demuxed {
                is_video: frame.is_video,
                data: frame.sample(number),
                is_keyframe: frame.is_keyframe || !frame.is_video,
                shown_ms: f64::from(composition_ms) + time_ms as f64,
            });
        }
        let file = file.finish();
        assert_strict(&file);
        let demuxed = demux(&file);
        for is_video in [false, true] {
            let of = |samples: &[Demuxed]| -> Vec<Demuxed> {
                samples.iter().filter(|sample| sample.is_video == is_video).cloned().collect()
            };
            let (demuxed, expected) = (of(&demuxed), of(&expected));
            prop_assert_eq!(demuxed.len(), expected.len());
            let Some((first, first_expected)) = demuxed.first().zip(expected.first()) else {
                continue;
            };
            let shift_ms = first.shown_ms - first_expected.shown_ms;
            for (found, expected) in demuxed.iter().zip(&expected) {
                prop_assert_eq!(&found.data, &expected.data);
                prop_assert_eq!(found.is_keyframe, expected.is_keyframe);
                let error_ms = found.shown_ms - shift_ms - expected.shown_ms;
                prop_assert!(error_ms.abs() <= 1.1, "{} ms", error_ms);
            }
        }
    }
}

/// Decodes all boxes but `mdat` with mp4-atom, which rejects unknown and incomplete ones.
pub(super) fn assert_strict(file: &[u8]) {
    let mut rest = file;
    while let Some(atom) = mp4_atom::Any::decode_maybe(&mut rest).unwrap() {
        let is_known = !matches!(atom, mp4_atom::Any::Unknown(..));
        assert!(is_known, "{atom:?}");
    }
    assert!(rest.is_empty());
}

#[test]
fn fragmented_files_decode_strictly() {
    let mut file = File::new(options(Layout::Plain, 100));
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
    for number in 0..50 {
        let key = if number % 10 == 0 { 0x17 } else { 0x27 };
        file.send(TagKind::VIDEO, number * 40, &[key, 1, 0, 0, 80, 1, 2, 3])
            .unwrap();
        file.send(TagKind::AUDIO, number * 40 + 3, &[0xAF, 1, 9])
            .unwrap();
    }
    let bytes = file.finish();
    assert_strict(&bytes);
    let mut rest = &bytes[..];
    let _ftyp = mp4_atom::Ftyp::decode(&mut rest).unwrap();
    let moov = mp4_atom::Moov::decode(&mut rest).unwrap();
    assert_eq!(moov.trak.len(), 2);
    assert!(moov.mvex.is_some());
    let moof = mp4_atom::Moof::decode(&mut rest).unwrap();
    assert_eq!(moof.mfhd.sequence_number, 1);
    assert_eq!(moof.traf.len(), 2);
}

#[test]
fn first_picture_starts_the_movie_unless_sound_is_earlier() {
    let edits = |sound_ms| {
        let mut file = File::new(options(Layout::Seekable, 1000));
        file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
        file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
        // Decoded at 20 ms, shown at 100 ms.
        file.send(TagKind::VIDEO, 20, &[0x17, 1, 0, 0, 80, 1])
            .unwrap();
        file.send(TagKind::AUDIO, sound_ms, &[0xAF, 1, 9]).unwrap();
        let file = file.finish();
        let at = file
            .windows(4)
            .rposition(|window| window == b"moov")
            .unwrap()
            - 4;
        let moov = mp4_atom::Moov::decode(&mut &file[at..]).unwrap();
        moov.trak
            .iter()
            .map(|trak| {
                let Some(elst) = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref()) else {
                    return Vec::new();
                };
                let timescale = u64::from(trak.mdia.mdhd.timescale);
                let milliseconds = |ticks: u64| ticks * 1000 / timescale;
                let entries = elst.entries.iter();
                entries
                    .map(|entry| entry.media_time.map(milliseconds))
                    .collect()
            })
            .collect::<Vec<Vec<_>>>()
    };
    assert_eq!(edits(100), [vec![Some(80)], vec![]]);
    assert_eq!(edits(130)[0], [Some(80)]);
    assert_eq!(edits(130)[1].len(), 2);
    assert_eq!(edits(60)[0], []);
    assert_eq!(edits(60)[1].len(), 2);
    assert_eq!(edits(0), [vec![], vec![]]);
}

/// A sequence header of each codec, or a frame of a codec that has none.
pub(super) fn setups() -> Vec<(TagKind, Vec<u8>)> {
    let opus = [
        &[0x90],
        &b"Opus"[..],
        b"OpusHead",
        &[1, 2, 0x38, 1, 0x80, 0xBB, 0, 0, 0, 0, 0],
    ];
    let flac = [
        &[0x90],
        &b"fLaC"[..],
        &[0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0xB8, 0x02, 0xF0],
        &[0; 20],
    ];
    let hevc = [&[0x1C, 0, 0, 0, 0, 1][..], &[0; 20], &[3, 0]];
    let vvc = [&[0x90], &b"vvc1"[..], &VVC_RECORD];
    let av1 = [&[0x90], &b"av01"[..], &[0x81, 0, 0x0C, 0]];
    let vp9 = [
        &[0x90],
        &b"vp09"[..],
        &[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0],
    ];
    let mp3 = [0x2F, 0xFF, 0xFB, 0x50, 0x04, 0];
    let ac3 = [
        &[0x91],
        &b"ac-3"[..],
        &[0x0B, 0x77, 0x2F, 0xDE, 0x8C, 0x40, 0x2F, 0],
    ];
    let vp8 = [
        &[0x91],
        &b"vp08"[..],
        &[0xD0, 1, 0, 0x9D, 1, 0x2A, 0x40, 1, 0xB4, 0],
    ];
    let ec3 = [
        &[0x91],
        &b"ec-3"[..],
        &[0x0B, 0x77, 0, 3, 0x3F, 0x87, 0xC0, 0],
    ];
    vec![
        (TagKind::VIDEO, avc_header()),
        (TagKind::VIDEO, hevc.concat()),
        (TagKind::VIDEO, vvc.concat()),
        (TagKind::VIDEO, av1.concat()),
        (TagKind::VIDEO, vp9.concat()),
        (TagKind::VIDEO, vp8.concat()),
        (TagKind::AUDIO, ec3.concat()),
        (TagKind::AUDIO, AAC_HEADER.to_vec()),
        (TagKind::AUDIO, opus.concat()),
        (TagKind::AUDIO, flac.concat()),
        (TagKind::AUDIO, mp3.to_vec()),
        (TagKind::AUDIO, ac3.concat()),
    ]
}

#[test]
fn movie_lasts_until_the_last_reordered_picture_ends() {
    let durations = |offset_ms: u8| {
        let mut file = File::new(options(Layout::Seekable, 1000));
        file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
        for (time_ms, composition_ms) in [(0, 80), (40, 160), (80, offset_ms)] {
            let body = [0x17, 1, 0, 0, composition_ms, 1];
            file.send(TagKind::VIDEO, time_ms, &body).unwrap();
        }
        let file = file.finish();
        let at = file.windows(4).rposition(|window| window == b"moov");
        let moov = mp4_atom::Moov::decode(&mut &file[at.unwrap() - 4..]).unwrap();
        let trak = &moov.trak[0];
        let elst = trak.edts.as_ref().unwrap().elst.as_ref().unwrap();
        let edit = elst.entries[0].segment_duration;
        (media_ms(trak), edit, moov.mvhd.duration)
    };
    // The picture that is decoded at 40 ms ends at 240 ms, and the first one starts at 80 ms.
    assert_eq!(durations(80), (240, 160, 160));
    assert_eq!(durations(200), (320, 240, 240));
}

#[test]
fn wrong_composition_time_does_not_extend_the_movie() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    // 0 and 10,001 ms.
    for (time_ms, composition) in [(0, [0, 0]), (40, [0x27, 0x11])] {
        let body = [&[0x17, 1, 0], &composition[..], &[1]].concat();
        file.send(TagKind::VIDEO, time_ms, &body).unwrap();
    }
    let file = file.finish();
    let at = file.windows(4).rposition(|window| window == b"moov");
    let moov = mp4_atom::Moov::decode(&mut &file[at.unwrap() - 4..]).unwrap();
    assert_eq!(media_ms(&moov.trak[0]), 80);
}

/// Duration of the media of a track in milliseconds.
fn media_ms(trak: &mp4_atom::Trak) -> u64 {
    let header = &trak.mdia.mdhd;
    let timescale = u64::from(header.timescale);
    assert_eq!(header.duration * 1000 % timescale, 0);
    header.duration * 1000 / timescale
}

#[test]
fn setups_cut_anywhere_are_rejected_or_parsed() {
    let names = [
        b"avc1", b"hvc1", b"vvc1", b"av01", b"vp09", b"vp08", b"ec-3", b"mp4a", b"Opus", b"fLaC",
        b"mp4a", b"ac-3",
    ];
    for ((track, body), name) in setups().into_iter().zip(names) {
        for cut in 0..body.len() {
            let _may_be_complete = sample_entry::SampleEntry::of(track, &body[..cut]);
        }
        let entry = sample_entry::SampleEntry::of(track, &body).unwrap();
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        assert_eq!(&bytes[4..8], name);
        let parsed = mp4_atom::Any::decode(&mut &bytes[..]);
        // mp4-atom does not support VVC.
        let is_known = |atom: &_| name == b"vvc1" || !matches!(atom, mp4_atom::Any::Unknown(..));
        assert!(parsed.as_ref().is_ok_and(is_known), "{parsed:?}");
    }
}

#[test]
#[rustfmt::skip]
fn sample_entry_of_vvc_has_these_bytes() {
    let header = [&[0x90], &b"vvc1"[..], &VVC_RECORD].concat();
    let entry = sample_entry::SampleEntry::of(TagKind::VIDEO, &header).unwrap();
    let mut bytes = Vec::new();
    entry.put(&mut bytes);
    let expected = [
        &[0, 0, 0, 114][..], b"vvc1",
        &[0, 0, 0, 0, 0, 0,  0, 1], // data_reference_index
        &[0; 16],
        &[2, 128,  1, 104], // 640 by 360
        &[0, 72, 0, 0,  0, 72, 0, 0],
        &[0; 4],
        &[0, 1],
        &[0; 32],
        &[0, 24,  0xFF, 0xFF],
        &[0, 0, 0, 28], b"vvcC",
            &[0, 0, 0, 0], // version and flags
            &VVC_RECORD,
    ].concat();
    assert_eq!(bytes, expected);
    for cut in 0..header.len() {
        let cut_entry = sample_entry::SampleEntry::of(TagKind::VIDEO, &header[..cut]);
        assert!(cut_entry.is_err(), "cut at {cut}");
    }
}

/// E-AC-3 at 48 kHz: six blocks of 5.1 channels in an independent frame of 8 bytes.
const EC_3_MAIN: &[u8] = &[0x0B, 0x77, 0, 3, 0x3F, 0x87, 0xC0, 0];

/// Dependent frame of 12 bytes with the channels Ls, Rs, Lrs and Rrs: chanmap is 0x1A00.
const EC_3_BACK: &[u8] = &[0x0B, 0x77, 0x40, 5, 0x3C, 0x87, 0xD1, 0xA0, 0, 0, 0, 0];

/// Dependent frame of the second substream with the channels Lvh, Rvh and LFE2: chanmap is 0x0012.
const EC_3_TOP: &[u8] = &[0x0B, 0x77, 0x48, 5, 0x37, 0x87, 0xD0, 1, 0x20, 0, 0, 0];

/// Independent frame of 8 bytes with two channels of another program.
const EC_3_OTHER: &[u8] = &[0x0B, 0x77, 0x08, 3, 0x34, 0x87, 0xC0, 0];

/// Frame with the first of six blocks of 5.1 channels.
const EC_3_BLOCK: &[u8] = &[0x0B, 0x77, 0, 3, 0x0F, 0x87, 0xC0, 0];

/// Returns the number of channels and the body of the `dec3` box of a sample.
fn dec3(frames: &[&[u8]]) -> (u16, Vec<u8>) {
    let body = [&[0x91], &b"ec-3"[..], &frames.concat()].concat();
    for cut in 0..body.len() {
        let _may_be_complete = sample_entry::SampleEntry::of(TagKind::AUDIO, &body[..cut]);
    }
    let entry = sample_entry::SampleEntry::of(TagKind::AUDIO, &body).unwrap();
    assert_eq!(entry.timescale, 48_000);
    let mut bytes = Vec::new();
    entry.put(&mut bytes);
    mp4_atom::Eac3::decode(&mut &bytes[..]).unwrap();
    assert_eq!(&bytes[40..44], b"dec3");
    (
        u16::from_be_bytes([bytes[24], bytes[25]]),
        bytes.split_off(44),
    )
}

#[test]
fn dependent_substreams_add_channels_to_dec3() {
    // Data rate, number of programs - 1; fscod and bsid; acmod and lfeon; dependent substreams; chan_loc.
    assert_eq!(dec3(&[EC_3_MAIN]), (6, vec![0, 2 << 3, 0x20, 0x0F, 0]));
    assert_eq!(
        dec3(&[EC_3_MAIN, EC_3_BACK]),
        (8, vec![0, 5 << 3, 0x20, 0x0F, 1 << 1, 0x02])
    );
    assert_eq!(
        dec3(&[EC_3_MAIN, EC_3_BACK, EC_3_TOP]),
        (11, vec![0, 8 << 3, 0x20, 0x0F, 2 << 1 | 1, 0x42])
    );
    assert_eq!(
        dec3(&[EC_3_MAIN, EC_3_BACK, EC_3_OTHER]),
        (
            8,
            vec![0, 7 << 3 | 1, 0x20, 0x0F, 1 << 1, 0x02, 0x20, 0x04, 0]
        )
    );
}

#[test]
fn sample_of_dependent_substream_alone_is_damaged() {
    let body = [&[0x91], &b"ec-3"[..], EC_3_BACK].concat();
    let entry = sample_entry::SampleEntry::of(TagKind::AUDIO, &body);
    assert_eq!(
        entry.unwrap_err().to_string(),
        "the sequence header of the E-AC-3 is damaged"
    );
}

#[test]
fn blocks_of_the_first_program_are_the_length_of_a_sample() {
    let length = |frames: &[&[u8]]| {
        let body = [&[0x91], &b"ec-3"[..], &frames.concat()].concat();
        sample_entry::SampleEntry::of(TagKind::AUDIO, &body)
            .unwrap()
            .frame_length
    };
    let samples = sample_entry::FrameLength::Constant;
    assert_eq!(length(&[EC_3_MAIN, EC_3_BACK, EC_3_OTHER]), samples(1536));
    assert_eq!(length(&[EC_3_BLOCK]), samples(256));
    assert_eq!(length(&[EC_3_BLOCK; 6]), samples(1536));
    // A damaged sample cannot make a frame longer than the limit of frames.
    assert_eq!(length(&[EC_3_BLOCK; 200]), samples(96 * 256));
}

#[test]
fn aac_track_has_the_rate_and_frame_length_of_the_core() {
    let fields = |config: &[u8]| {
        let body = [&[0xAF, 0], config].concat();
        let entry = sample_entry::SampleEntry::of(TagKind::AUDIO, &body).unwrap();
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        let channels = u16::from_be_bytes([bytes[24], bytes[25]]);
        let rate_hz = u16::from_be_bytes([bytes[32], bytes[33]]);
        assert_eq!(entry.timescale, u32::from(rate_hz));
        (rate_hz, channels, entry.frame_length)
    };
    let samples = sample_entry::FrameLength::Constant;
    // AAC-LC at 48 kHz, stereo, with frames of 1,024 and of 960 samples.
    assert_eq!(fields(&[0x11, 0x90]), (48_000, 2, samples(1024)));
    assert_eq!(fields(&[0x11, 0x94]), (48_000, 2, samples(960)));
    // HE-AAC from 24 to 48 kHz, and HE-AAC v2 from one channel to two.
    assert_eq!(fields(&[0x2B, 0x11, 0x88, 0]), (24_000, 2, samples(1024)));
    assert_eq!(fields(&[0xEB, 0x09, 0x88, 0]), (24_000, 2, samples(1024)));
    assert_eq!(fields(&[0xEB, 0x09, 0x8A, 0]), (24_000, 2, samples(960)));
    // Implicit SBR: AAC-LC at 24 kHz, then the sync word 0x2B7.
    let implicit = [0x13, 0x10, 0x56, 0xE5, 0x98];
    assert_eq!(fields(&implicit), (24_000, 2, samples(1024)));
    // ER AAC LD.
    assert_eq!(fields(&[0xB9, 0x90]), (48_000, 2, samples(512)));
    assert_eq!(fields(&[0xB9, 0x94]), (48_000, 2, samples(480)));
    // Four channels in a program config element.
    let listed = [0x11, 0x80, 0x04, 0xC4, 0x04, 0, 0x21, 0x10, 0];
    assert_eq!(fields(&listed), (48_000, 4, samples(1024)));
    // A reserved channel configuration.
    assert_eq!(fields(&[0x11, 0xC0]), (48_000, 2, samples(1024)));
}

#[test]
#[rustfmt::skip]
fn sample_entry_of_aac_has_these_bytes() {
    let entry = sample_entry::SampleEntry::of(TagKind::AUDIO, AAC_HEADER).unwrap();
    let mut bytes = Vec::new();
    entry.put(&mut bytes);
    let expected = [
        &[0, 0, 0, 87][..], b"mp4a",
        &[0, 0, 0, 0, 0, 0,  0, 1], // data_reference_index
        &[0; 8],
        &[0, 1,  0, 16], // channels, bits
        &[0; 4],
        &[0xBB, 0x80, 0, 0], // 48000.0
        &[0, 0, 0, 51], b"esds", &[0; 4],
            &[3, 0x80, 0x80, 0x80, 34,  0, 0,  0], // ES_Descriptor
            &[4, 0x80, 0x80, 0x80, 20,  0x40, 0x15,  0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0], // decoder config
            &[5, 0x80, 0x80, 0x80, 2,  0x11, 0x88], // AudioSpecificConfig
            &[6, 0x80, 0x80, 0x80, 1,  2], // SLConfigDescriptor
    ].concat();
    assert_eq!(bytes, expected);
}

#[test]
fn other_codecs_and_missing_headers_are_unsupported() {
    let text = |kind, body: &[u8]| {
        let mut file = File::new(options(Layout::Seekable, 1000));
        file.send(kind, 0, body).unwrap_err().to_string()
    };
    assert_eq!(
        text(TagKind::VIDEO, &[0x12, 1, 2]),
        "it has no form for H.263"
    );
    assert_eq!(
        text(TagKind::AUDIO, &[0xB6, 1, 2]),
        "it has no form for Speex"
    );
    assert_eq!(
        text(TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 1]),
        "the AVC has no sequence header"
    );
    assert_eq!(
        text(TagKind::VIDEO, &[0x17, 0, 0, 0, 0, 9]),
        "the sequence header of the AVC is damaged"
    );
    let multitrack = [0x96, 0x01, b'a', b'v', b'c', b'1', 3, 0, 0, 0, 1];
    assert_eq!(
        text(TagKind::VIDEO, &multitrack),
        "the AVC has no sequence header"
    );
}

#[test]
fn another_setup_needs_another_file() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    file.send(TagKind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 1])
        .unwrap();
    let mut other = avc_header();
    other[8] += 1;
    let mut parser = FrameParser::new();
    let mut needs = |kind, body: &[u8]| {
        let info = parser.parse(kind, body);
        file.writer.needs_new_setup(info, body)
    };
    assert!(needs(TagKind::VIDEO, &other));
    assert!(!needs(TagKind::VIDEO, &avc_header()));
    assert!(needs(TagKind::VIDEO, &[0x12, 1, 2]));
    assert!(!needs(TagKind::AUDIO, AAC_HEADER));
    file.send(TagKind::VIDEO, 2000, &[0x27, 1, 0, 0, 0, 1])
        .unwrap();
    let mut needs = |kind, body: &[u8]| {
        let info = parser.parse(kind, body);
        file.writer.needs_new_setup(info, body)
    };
    assert!(needs(TagKind::AUDIO, AAC_HEADER));
}

#[test]
fn late_video_extends_its_first_picture() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    file.send(TagKind::AUDIO, 0, &[0xAF, 1, 9]).unwrap();
    file.send(TagKind::VIDEO, 500, &[0x17, 1, 0, 0, 0, 1])
        .unwrap();
    file.send(TagKind::VIDEO, 540, &[0x27, 1, 0, 0, 0, 1])
        .unwrap();
    let demuxed = demux(&file.finish());
    let shown: Vec<f64> = demuxed
        .iter()
        .filter(|sample| sample.is_video)
        .map(|sample| sample.shown_ms)
        .collect();
    assert_eq!(shown, [500.0, 540.0]);
}

#[test]
fn setup_of_a_pipe_can_change() {
    let mut file = File::new(options(Layout::Plain, 0));
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    file.send(TagKind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 1])
        .unwrap();
    file.writer.restart_setup(&mut file.fragments);
    file.write();
    let mut other = avc_header();
    other[8] += 1;
    file.send(TagKind::VIDEO, 40, &other).unwrap();
    file.send(TagKind::VIDEO, 40, &[0x17, 1, 0, 0, 0, 2])
        .unwrap();
    let bytes = file.finish();
    assert_strict(&bytes);
    let movies = bytes.windows(4).filter(|window| window == b"moov");
    assert_eq!(movies.count(), 2);
}

#[test]
fn many_tiny_frames_at_one_time_end_a_fragment() {
    let mut file = File::new(options(Layout::Plain, 1000));
    let head = file.bytes.len();
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    for _ in 0..10_000 {
        file.send(TagKind::VIDEO, 0, &[0x27, 1, 0, 0, 0, 0])
            .unwrap();
    }
    assert!(file.bytes.len() > head, "the frames are not held");
}

#[test]
fn title_and_program_are_metadata() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
    file.send(TagKind::AUDIO, 0, &[0xAF, 1, 9]).unwrap();
    file.writer.set_title("Où");
    let bytes = file.finish();
    #[rustfmt::skip]
    let expected = [
        &[0, 0, 0, 27][..], b"\xA9nam",
        &[0, 0, 0, 19], b"data", &[0, 0, 0, 1,  0, 0, 0, 0], "Où".as_bytes(),
    ]
    .concat();
    let count = bytes
        .windows(expected.len())
        .filter(|window| *window == expected);
    assert_eq!(count.count(), 2);
    let program = concat!("rtmpull ", env!("CARGO_PKG_VERSION")).as_bytes();
    assert!(bytes.ends_with(program));
}

#[test]
fn fragments_start_with_keyframes_although_sound_is_ahead() {
    let mut file = File::new(options(Layout::Plain, 1000));
    file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
    file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
    for number in 0..250 {
        // Sound of the same or a later time arrives first.
        file.send(TagKind::AUDIO, number * 40 + 30, &[0xAF, 1, 9])
            .unwrap();
        let key = if number % 25 == 0 { 0x17 } else { 0x27 };
        file.send(TagKind::VIDEO, number * 40, &[key, 1, 0, 0, 0, 1])
            .unwrap();
    }
    let bytes = file.finish();
    let at = bytes
        .windows(4)
        .position(|window| window == b"moof")
        .unwrap()
        - 4;
    let mut rest = &bytes[at..];
    let mut fragments = 0;
    while let ReadFragment::Complete(runs, length) = read_fragment(rest) {
        let video = runs.iter().find(|run| run.track == 1).unwrap();
        assert!(video.samples[0].is_sync);
        assert!(video.samples.len() <= 25);
        rest = &rest[length as usize..];
        fragments += 1;
    }
    assert_eq!(fragments, 10);
}

/// The start of a message that parses, and random bytes.
fn hostile_body() -> impl Strategy<Value = (TagKind, Vec<u8>)> {
    let starts: Vec<(TagKind, Vec<u8>)> = vec![
        (TagKind::VIDEO, avc_header()),
        (TagKind::VIDEO, vec![0x17, 1, 0x80, 0, 0]),
        (TagKind::VIDEO, vec![0x27, 1, 0x7F, 0xFF, 0xFF]),
        (TagKind::VIDEO, vec![0x1C, 0, 0, 0, 0, 1]),
        (TagKind::VIDEO, vec![0x1C, 1, 0, 0, 0]),
        (TagKind::VIDEO, b"\x90vp09".to_vec()),
        (TagKind::VIDEO, b"\x91vp08".to_vec()),
        (TagKind::VIDEO, b"\x90av01\x81".to_vec()),
        (TagKind::VIDEO, b"\x96\x00avc1".to_vec()),
        (TagKind::AUDIO, AAC_HEADER.to_vec()),
        (TagKind::AUDIO, vec![0xAF, 1]),
        (TagKind::AUDIO, b"\x90OpusOpusHead".to_vec()),
        (TagKind::AUDIO, b"\x91Opus".to_vec()),
        (TagKind::AUDIO, b"\x90fLaC".to_vec()),
        (TagKind::AUDIO, b"\x91ac-3\x0B\x77".to_vec()),
        (TagKind::AUDIO, b"\x91ec-3\x0B\x77".to_vec()),
        (TagKind::AUDIO, vec![0x2F, 0xFF, 0xFB]),
        (TagKind::SCRIPT, Vec::new()),
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 0..50);
    (proptest::sample::select(starts), bytes).prop_map(|((kind, mut body), bytes)| {
        body.extend(bytes);
        (kind, body)
    })
}

#[test]
fn length_of_a_foreign_fragment_is_not_trusted() {
    let header = |length: u32| [&length.to_be_bytes()[..], b"moof"].concat();
    assert_eq!(read_fragment(&header(100)), ReadFragment::Needs(108));
    assert_eq!(read_fragment(&header(u32::MAX)), ReadFragment::Invalid);
    assert_eq!(read_fragment(&header(7)), ReadFragment::Invalid);
}

proptest! {
    #[test]
    fn any_messages_give_complete_fragments(
        messages in proptest::collection::vec((hostile_body(), any::<u64>()), 0..80),
        has_setup in any::<bool>(),
        fragment_ms in prop_oneof![Just(0_u64), Just(1), Just(1000)],
    ) {
        let mut file = File::new(options(Layout::Plain, fragment_ms));
        if has_setup {
            file.send(TagKind::VIDEO, 0, &avc_header()).unwrap();
            file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
        }
        for ((kind, body), time) in messages {
            // Times of all sizes.
            let time_ms = time >> (time % 64);
            let info = file.parser.parse(kind, &body);
            if file.writer.needs_new_setup(info, &body) {
                file.writer.restart_setup(&mut file.fragments);
                file.write();
            }
            let _may_be_unsupported = file.send(kind, time_ms, &body);
        }
        let bytes = file.finish();
        let mut rest = &bytes[..];
        while let [a, b, c, d, ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            prop_assert!(length >= 8 && length <= rest.len());
            if rest[4..].starts_with(b"moof") {
                let is_complete = matches!(read_fragment(rest), ReadFragment::Complete(..));
                prop_assert!(is_complete);
            }
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }
}
