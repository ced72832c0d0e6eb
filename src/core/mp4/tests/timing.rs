//! Timescales, and the times of samples.

use super::*;

/// Setup of AVC without a parameter set, which announces no frame rate.
const PLAIN_AVC: &[u8] = &[0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x0C, 0xFF, 0xE0, 0];

/// Samples of a video track in a finished file.
#[derive(Debug, Clone, PartialEq)]
struct VideoTimes {
    timescale: u32,
    /// Number and duration of samples.
    durations: Vec<(u32, u32)>,
    /// Composition offsets.
    offsets: Vec<i64>,
    decoded: Vec<u64>,
}

fn video_times(file: &[u8]) -> VideoTimes {
    let at = file.windows(4).rposition(|window| window == b"moov");
    let moov = mp4_atom::Moov::decode(&mut &file[at.unwrap() - 4..]).unwrap();
    let mut traks = moov.trak.iter();
    let trak = traks.find(|trak| trak.mdia.minf.vmhd.is_some()).unwrap();
    let stbl = &trak.mdia.minf.stbl;
    let stts = stbl.stts.entries.iter();
    let durations: Vec<_> = stts
        .map(|entry| (entry.sample_count, entry.sample_delta))
        .collect();
    let mut ticks = 0;
    let each = durations
        .iter()
        .flat_map(|(count, delta)| vec![*delta; *count as usize]);
    let decoded = each.map(|delta| {
        ticks += u64::from(delta);
        ticks - u64::from(delta)
    });
    let ctts = stbl.ctts.iter().flat_map(|ctts| &ctts.entries);
    VideoTimes {
        timescale: trak.mdia.mdhd.timescale,
        offsets: ctts
            .flat_map(|entry| vec![entry.sample_offset; entry.sample_count as usize])
            .collect(),
        decoded: decoded.collect(),
        durations,
    }
}

/// A file with pictures at these times and with these composition times, in milliseconds.
fn recorded(announced: Option<f64>, times: impl IntoIterator<Item = (u64, i32)>) -> Vec<u8> {
    let mut file = File::new(options(Layout::Seekable, 1000));
    if let Some(rate) = announced {
        file.writer.announce_frame_rate(rate);
    }
    file.send(TagKind::VIDEO, 0, PLAIN_AVC).unwrap();
    for (number, (time_ms, composition_ms)) in times.into_iter().enumerate() {
        let [_, high, middle, low] = composition_ms.to_be_bytes();
        let first = if number % 50 == 0 { 0x17 } else { 0x27 };
        let body = [first, 1, high, middle, low, 9];
        file.send(TagKind::VIDEO, time_ms, &body).unwrap();
    }
    file.finish()
}

/// Rounded time of a frame.
fn at(frame: u64, (numerator, denominator): (u64, u64), rounding: f64) -> u64 {
    (frame as f64 * 1000.0 * denominator as f64 / numerator as f64 + rounding) as u64
}

const RATES: [(u64, u64); 12] = [
    (30_000, 1001),
    (24_000, 1001),
    (60_000, 1001),
    (25, 1),
    (30, 1),
    (50, 1),
    (60, 1),
    (24, 1),
    (48, 1),
    (15, 1),
    (25, 2),
    (120, 1),
];

#[test]
fn constant_rate_gives_one_duration() {
    for rate in RATES {
        for rounding in [0.0, 0.5, 0.999] {
            for announced in [None, Some(30.0), Some(29.97), Some(17.0)] {
                let times = (0..600).map(|frame| (at(frame, rate, rounding), 0));
                let times = video_times(&recorded(announced, times));
                let case = format!("{rate:?} {rounding} {announced:?}");
                let [(count, delta)] = times.durations[..] else {
                    panic!("{case}: {:?}", times.durations);
                };
                assert_eq!(count, 600, "{case}");
                let exact = u64::from(times.timescale) * rate.1 == u64::from(delta) * rate.0;
                assert!(exact, "{case}: {delta} of {}", times.timescale);
            }
        }
    }
}

#[test]
fn composition_offsets_are_multiples_of_the_frame() {
    for rate in RATES {
        // I P B B, decoded in this order; two frames of delay.
        let shown = [0_u64, 3, 1, 2];
        let times = (0..400_u64).map(|frame| {
            let decoded_ms = at(frame, rate, 0.5);
            let shown_ms = at(frame - frame % 4 + shown[frame as usize % 4] + 2, rate, 0.5);
            (decoded_ms, (shown_ms - decoded_ms) as i32)
        });
        let times = video_times(&recorded(None, times));
        assert_eq!(times.durations.len(), 1, "{rate:?}");
        let delta = i64::from(times.durations[0].1);
        let expected = [2, 4, 1, 1].map(|frames| frames * delta);
        for offsets in times.offsets.chunks(4) {
            assert_eq!(offsets, expected, "{rate:?}");
        }
    }
}

#[test]
fn late_video_has_one_duration() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    file.send(TagKind::AUDIO, 0, AAC_HEADER).unwrap();
    file.send(TagKind::VIDEO, 0, PLAIN_AVC).unwrap();
    file.send(TagKind::AUDIO, 0, &[0xAF, 1, 9]).unwrap();
    for frame in 0..100 {
        let body = [0x17, 1, 0, 0, 0, 9];
        file.send(TagKind::VIDEO, 12 + frame * 40, &body).unwrap();
    }
    let found = video_times(&file.finish());
    assert_eq!(found.durations, [(100, 1000)]);
    assert_eq!(found.offsets, [300; 100]);
}

#[test]
fn variable_rate_has_milliseconds() {
    let mut time_ms = 0;
    let times: Vec<(u64, i32)> = (0..300)
        .map(|frame: u64| {
            time_ms += 20 + frame * frame % 31;
            (time_ms, 0)
        })
        .collect();
    for (announced, timescale) in [(None, 1000), (Some(29.97), 30_000)] {
        let found = video_times(&recorded(announced, times.clone()));
        assert_eq!(found.timescale, timescale);
        let per_ms = u64::from(timescale / 1000);
        for (decoded, (time_ms, _)) in found.decoded.iter().zip(&times) {
            assert_eq!(*decoded, (time_ms - times[0].0) * per_ms);
        }
    }
}

#[test]
fn rate_is_exact_again_after_a_gap() {
    let rate = (30_000, 1001);
    // A gap of 2 s minus 14 ms in the middle, and a missing frame.
    let times = (0..600).filter(|frame| *frame != 450).map(|frame| {
        let gap_ms = if frame >= 300 { 1986 } else { 0 };
        (at(frame, rate, 0.5) + gap_ms, 0)
    });
    let found = video_times(&recorded(None, times));
    assert_eq!(found.timescale, 30_000);
    let [(299, 1001), (1, _), (149, 1001), (1, 2002), (149, 1001)] = found.durations[..] else {
        panic!("{:?}", found.durations);
    };
}

#[test]
fn changed_rate_keeps_the_timescale() {
    let times = (0..300).map(|frame| at(frame, (30, 1), 0.0));
    let times = times.chain((0..300).map(|frame| 10_000 + at(frame, (25, 1), 0.0)));
    let found = video_times(&recorded(None, times.map(|time_ms| (time_ms, 0))));
    assert_eq!(found.timescale, 30_000);
    assert!(found.durations.len() < 6, "{:?}", found.durations);
    assert_eq!(found.durations.last().unwrap().1, 1200);
}

#[test]
fn pipe_of_single_frames_has_the_announced_rate() {
    for (announced, timescale) in [(None, 1000), (Some(29.97), 30_000)] {
        let mut file = File::new(options(Layout::Plain, 0));
        if let Some(rate) = announced {
            file.writer.announce_frame_rate(rate);
        }
        file.send(TagKind::VIDEO, 0, PLAIN_AVC).unwrap();
        for frame in 0..100 {
            let time_ms = at(frame, (30_000, 1001), 0.5);
            file.send(TagKind::VIDEO, time_ms, &[0x17, 1, 0, 0, 0, 9])
                .unwrap();
        }
        let bytes = file.finish();
        let mut rest = &bytes[..];
        let mut starts = Vec::new();
        while let Some(atom) = mp4_atom::Any::decode_maybe(&mut rest).unwrap() {
            match atom {
                mp4_atom::Any::Moov(moov) => {
                    assert_eq!(moov.trak[0].mdia.mdhd.timescale, timescale);
                }
                mp4_atom::Any::Moof(moof) => {
                    let tfdt = moof.traf[0].tfdt.as_ref().unwrap();
                    starts.push(tfdt.base_media_decode_time);
                }
                _ => {}
            }
        }
        assert_eq!(starts.len(), 100);
        let exact = (0..100).map(|frame| match announced {
            Some(_) => frame * 1001,
            None => at(frame, (30_000, 1001), 0.5),
        });
        assert_eq!(starts, exact.collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn decoding_times_stay_within_a_millisecond(
        rate in 1_u64..130,
        announced in proptest::option::of(1.0..130.0_f64),
        jitter in proptest::collection::vec(0_u64..4, 10..200),
        gap in proptest::option::of((0_usize..200, 0_u64..100_000)),
    ) {
        let mut time_ms = 0;
        let mut times = Vec::new();
        for (number, jitter) in jitter.iter().enumerate() {
            time_ms = time_ms.max(at(number as u64, (rate, 1), 0.5)) + jitter / 3;
            if let Some((at, gap_ms)) = gap && at <= number {
                times.push(time_ms + gap_ms);
            } else {
                times.push(time_ms);
            }
        }
        times.dedup();
        let found = video_times(&recorded(announced, times.iter().map(|time_ms| (*time_ms, 0))));
        prop_assert_eq!(found.decoded.len(), times.len());
        for (decoded, time_ms) in found.decoded.iter().zip(&times) {
            let expected = (time_ms - times[0]) * u64::from(found.timescale);
            let error = (decoded * 1000).abs_diff(expected);
            prop_assert!(error <= found.timescale.into(), "{} at {} ms", decoded, time_ms);
        }
    }
}
