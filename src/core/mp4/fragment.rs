//! Movie fragments: encoding, and the view of a fragment that files are continued and finished with.

use super::boxes::{BoxHeader, SHORT_HEADER, put, put_full};
use crate::core::wire::{Missing, Reader};

/// One sample of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Ticks until the next sample.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether a decoder can start with this sample.
    pub is_sync: bool,
    /// Presentation time minus decoding time, in ticks.
    pub composition_offset: i32,
}

/// The samples of one track in a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Id of the track, from 1.
    pub track: u32,
    /// Decoding time of the first sample, in ticks.
    pub start: u64,
    /// Offset of the first sample from the start of the fragment, in bytes.
    pub offset: u32,
    /// The samples in decoding order, one after another in the file.
    pub samples: Vec<Sample>,
}

/// Appends the `moof` box and the header of the `mdat` box that follows (ISO 14496-12 8.8.4 and 8.1.1). The
/// caller appends the samples of the runs in order.
///
/// The offsets of the runs are set.
pub(super) fn put_fragment(out: &mut Vec<u8>, number: u32, runs: &mut [Run]) {
    let start = out.len();
    put_moof(out, number, runs);
    let moof = out.len().saturating_sub(start);
    let mut offset = u32::try_from(moof).unwrap_or(u32::MAX).saturating_add(8);
    for run in &mut *runs {
        run.offset = offset;
        offset = offset.saturating_add(run.bytes());
    }
    // The length of the box does not depend on the offsets.
    out.truncate(start);
    put_moof(out, number, runs);
    let data = runs.iter().map(Run::bytes);
    let data = data.fold(8_u32, u32::saturating_add);
    out.extend(data.to_be_bytes());
    out.extend(b"mdat");
}

fn put_moof(out: &mut Vec<u8>, number: u32, runs: &[Run]) {
    put(out, b"moof", |out| {
        put_full(out, b"mfhd", 0, 0, |out| out.extend(number.to_be_bytes()));
        for run in runs {
            put(out, b"traf", |out| run.put(out));
        }
    });
}

impl Run {
    /// Returns the size of all samples in bytes.
    pub fn bytes(&self) -> u32 {
        let sizes = self.samples.iter().map(|sample| sample.size);
        sizes.fold(0, u32::saturating_add)
    }

    /// Returns the time after the last sample, in ticks.
    pub(super) fn end(&self) -> u64 {
        let durations = self.samples.iter().map(|sample| u64::from(sample.duration));
        durations.fold(self.start, u64::saturating_add)
    }

    /// Appends the boxes of a track (ISO 14496-12 8.8.7, 8.8.8 and 8.8.12).
    fn put(&self, out: &mut Vec<u8>) {
        put_full(out, b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |out| {
            out.extend(self.track.to_be_bytes());
        });
        put_full(out, b"tfdt", 1, 0, |out| {
            out.extend(self.start.to_be_bytes())
        });
        // Version 1 has signed composition offsets.
        put_full(out, b"trun", 1, RUN_FLAGS, |out| {
            let count = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
            out.extend(count.to_be_bytes());
            out.extend(self.offset.to_be_bytes());
            for sample in &self.samples {
                let flags = if sample.is_sync { SYNC } else { NOT_SYNC };
                out.extend(sample.duration.to_be_bytes());
                out.extend(sample.size.to_be_bytes());
                out.extend(flags.to_be_bytes());
                out.extend(sample.composition_offset.to_be_bytes());
            }
        });
    }

    /// Reads the boxes of a track: each once, with the versions and flags that [`Run::put`] writes.
    fn read(body: &[u8]) -> Result<Self, Missing> {
        let mut boxes = Reader::new(body);
        let mut next = |kind, version_and_flags: u32| {
            let (found, body) = BoxHeader::read_complete(&mut boxes)?;
            let mut fields = Reader::new(body);
            let is_expected = found == kind && fields.u32("version")? == version_and_flags;
            is_expected
                .then_some(fields)
                .ok_or(Missing("track fragment"))
        };
        let track = next(*b"tfhd", DEFAULT_BASE_IS_MOOF)?.u32("track id")?;
        let start = next(*b"tfdt", VERSION_1)?.array("decode time")?;
        let mut fields = next(*b"trun", VERSION_1 | RUN_FLAGS)?;
        let count = fields.u32("sample count")?;
        let mut run = Self {
            track,
            start: u64::from_be_bytes(start),
            offset: fields.u32("data offset")?,
            samples: Vec::new(),
        };
        // The count is not trusted: the samples end with the bytes.
        for _ in 0..count {
            run.samples.push(Sample::read(&mut fields)?);
        }
        Ok(run)
    }
}

impl Sample {
    fn read(fields: &mut Reader<'_>) -> Result<Self, Missing> {
        Ok(Self {
            duration: fields.u32("sample duration")?,
            size: fields.u32("sample size")?,
            is_sync: fields.u32("sample flags")? & IS_NOT_SYNC == 0,
            composition_offset: fields.array("composition offset").map(i32::from_be_bytes)?,
        })
    }
}

/// Reads a `moof` box as [`put_fragment`] writes it.
pub(super) fn read_moof(moof: &[u8]) -> Result<Vec<Run>, Missing> {
    let (kind, body) = BoxHeader::read_complete(&mut Reader::new(moof))?;
    if kind != *b"moof" {
        return Err(Missing("movie fragment"));
    }
    let mut runs = Vec::new();
    let mut boxes = Reader::new(body);
    while !boxes.is_empty() {
        let (kind, body) = BoxHeader::read_complete(&mut boxes)?;
        if kind == *b"traf" {
            runs.push(Run::read(body)?);
        }
    }
    Ok(runs)
}

/// Result of [`read_fragment`].
#[derive(Debug, PartialEq, Eq)]
pub enum ReadFragment {
    /// The runs, and the length of the fragment in bytes.
    Complete(Vec<Run>, u64),
    /// At least this number of bytes is needed, about 1 MiB at most.
    Needs(u64),
    /// The bytes are not a fragment that the writer builds.
    Invalid,
}

/// Reads the fragment at the start of `bytes`, which need not contain its samples. A `free` box, which replaces
/// damaged fragments, counts as a fragment without runs.
pub fn read_fragment(bytes: &[u8]) -> ReadFragment {
    let Ok(moof) = BoxHeader::read(&mut Reader::new(bytes)) else {
        let is_long = bytes.starts_with(&[0, 0, 0, 1]);
        return ReadFragment::Needs(if is_long {
            2 * SHORT_HEADER
        } else {
            SHORT_HEADER
        });
    };
    if moof.kind == *b"free" && moof.length >= moof.header {
        return ReadFragment::Complete(Vec::new(), moof.length);
    }
    if moof.kind != *b"moof" || !(SHORT_HEADER..=MAX_MOOF).contains(&moof.length) {
        return ReadFragment::Invalid;
    }
    let needed = moof.length.saturating_add(SHORT_HEADER);
    let split = usize::try_from(moof.length)
        .ok()
        .and_then(|at| bytes.split_at_checked(at));
    let Some((moof, rest)) = split.filter(|(_, rest)| rest.len() as u64 >= SHORT_HEADER) else {
        return ReadFragment::Needs(needed);
    };
    match (read_moof(moof), BoxHeader::read(&mut Reader::new(rest))) {
        (Ok(runs), Ok(data)) if data.kind == *b"mdat" && covers(&runs, moof.len(), data.length) => {
            ReadFragment::Complete(runs, data.length.saturating_add(moof.len() as u64))
        }
        _ => ReadFragment::Invalid,
    }
}

/// Whether the samples of the runs are exactly the bytes of an `mdat` box with this length after a `moof` box.
fn covers(runs: &[Run], moof: usize, data: u64) -> bool {
    let first = (moof as u64).saturating_add(SHORT_HEADER);
    let mut end = first;
    for run in runs {
        if end != u64::from(run.offset) {
            return false;
        }
        end = end.saturating_add(run.bytes().into());
    }
    let samples = data.checked_sub(SHORT_HEADER);
    samples
        .is_some_and(|samples| samples == end.saturating_sub(first) && samples <= MAX_FRAGMENT_DATA)
}

/// Largest length of a `moof` box that is read. The writer's largest one has 160 kB.
const MAX_MOOF: u64 = 1 << 20;

/// Largest size of the samples in a fragment that is read: 4 MiB, at which the writer ends a fragment, and the
/// largest message of each track.
const MAX_FRAGMENT_DATA: u64 = 64 << 20;

/// Flag of `tfhd`: offsets of runs count from the `moof` box.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;

/// Version 1 in the field of version and flags.
const VERSION_1: u32 = 1 << 24;

/// Flags of `trun`: data offset; duration, size, flags and composition offset of each sample.
const RUN_FLAGS: u32 = 0x01 | 0x100 | 0x200 | 0x400 | 0x800;

/// Sample flags (ISO 14496-12 8.8.3.1): sample_depends_on and sample_is_non_sync_sample.
const SYNC: u32 = 0x0200_0000;
const NOT_SYNC: u32 = 0x0100_0000 | IS_NOT_SYNC;
const IS_NOT_SYNC: u32 = 0x0001_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<Run> {
        let sample = |duration, size, is_sync, composition_offset| Sample {
            duration,
            size,
            is_sync,
            composition_offset,
        };
        vec![
            Run {
                track: 1,
                start: 7,
                offset: 0,
                samples: vec![sample(40, 5, true, 80), sample(40, 3, false, -40)],
            },
            Run {
                track: 2,
                start: 0x1_0000_0000,
                offset: 0,
                samples: vec![sample(1024, 2, true, 0)],
            },
        ]
    }

    #[test]
    fn fragments_have_these_bytes() {
        let mut out = Vec::new();
        let mut written = runs();
        put_fragment(&mut out, 3, &mut written);
        #[rustfmt::skip]
        let expected = [
            &[0, 0, 0, 0xC8][..], b"moof",
                &[0, 0, 0, 16], b"mfhd", &[0, 0, 0, 0,  0, 0, 0, 3],
                &[0, 0, 0, 0x60], b"traf",
                    &[0, 0, 0, 16], b"tfhd", &[0, 2, 0, 0,  0, 0, 0, 1],
                    &[0, 0, 0, 20], b"tfdt", &[1, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 7],
                    &[0, 0, 0, 52], b"trun", &[1, 0, 0x0F, 1,  0, 0, 0, 2,  0, 0, 0, 0xD0],
                        &[0, 0, 0, 40,  0, 0, 0, 5,  2, 0, 0, 0,  0, 0, 0, 80],
                        &[0, 0, 0, 40,  0, 0, 0, 3,  1, 1, 0, 0,  0xFF, 0xFF, 0xFF, 0xD8],
                &[0, 0, 0, 0x50], b"traf",
                    &[0, 0, 0, 16], b"tfhd", &[0, 2, 0, 0,  0, 0, 0, 2],
                    &[0, 0, 0, 20], b"tfdt", &[1, 0, 0, 0,  0, 0, 0, 1, 0, 0, 0, 0],
                    &[0, 0, 0, 36], b"trun", &[1, 0, 0x0F, 1,  0, 0, 0, 1,  0, 0, 0, 0xD8],
                        &[0, 0, 4, 0,  0, 0, 0, 2,  2, 0, 0, 0,  0, 0, 0, 0],
            &[0, 0, 0, 18], b"mdat",
        ]
        .concat();
        assert_eq!(out, expected);
        let moof = &out[..0xC8];
        assert_eq!(read_moof(moof), Ok(written));
        for cut in 0..moof.len() {
            assert!(read_moof(&moof[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_count_of_samples_allocates_nothing_by_itself() {
        let mut out = Vec::new();
        put_fragment(&mut out, 3, &mut runs());
        let at = out.windows(4).position(|window| window == b"trun").unwrap();
        out[at + 8..at + 12].fill(0xFF);
        let moof = &out[..0xC8];
        assert_eq!(read_moof(moof), Err(Missing("sample duration")));
    }

    #[test]
    fn other_versions_and_flags_are_not_read() {
        let mut out = Vec::new();
        put_fragment(&mut out, 3, &mut runs());
        let moof = &out[..0xC8];
        assert!(read_moof(moof).is_ok());
        for kind in [b"tfhd", b"tfdt", b"trun"] {
            let at = out.windows(4).position(|window| window == kind).unwrap();
            for field in at + 4..at + 8 {
                let mut changed = moof.to_vec();
                changed[field] ^= 1;
                assert_eq!(read_moof(&changed), Err(Missing("track fragment")));
            }
        }
    }
}
