//! Samples in movie fragments (ISO 14496-12 8.8).

use std::ops::Range;

use super::{
    super::boxes::BoxHeader,
    MAX_BOXES,
    movie::{Defaults, Movie},
    samples::{MAX_SAMPLES, Sample},
    source::{FoundBox, NextBox, Source, next_box, read_body},
};
use crate::core::wire::{Missing, Reader};

/// Reads the samples of all fragments in the order of the file.
#[derive(Debug)]
pub struct Fragments {
    at: u64,
    end: u64,
    boxes: u64,
    /// Number of samples that may still be returned.
    left: u64,
    /// Time after the latest sample of each track, in ticks.
    times: Vec<u64>,
    damaged: Option<u64>,
    damaged_fragments: u64,
    has_omitted_samples: bool,
}

/// A sample of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentSample {
    /// Position of the track in [`Movie::tracks`].
    pub track: usize,
    /// The sample.
    pub sample: Sample,
}

impl Fragments {
    /// Creates a reader of the boxes in `range`, for the tracks of `movie`.
    pub fn new(range: Range<u64>, movie: &Movie) -> Self {
        Self {
            at: range.start,
            end: range.end,
            boxes: 0,
            left: range.end.saturating_sub(range.start).min(MAX_SAMPLES),
            times: vec![0; movie.tracks.len()],
            damaged: None,
            damaged_fragments: 0,
            has_omitted_samples: false,
        }
    }

    /// Replaces the content of `samples` by the samples of the next fragment. Returns false after the last one.
    pub fn next<S: Source>(
        &mut self,
        source: &mut S,
        movie: &Movie,
        samples: &mut Vec<FragmentSample>,
    ) -> Result<bool, S::Error> {
        samples.clear();
        while self.boxes < MAX_BOXES && self.left > 0 {
            self.boxes = self.boxes.saturating_add(1);
            let at = self.at;
            let NextBox::Box(found) = next_box(source, at, self.end)? else {
                return Ok(false);
            };
            self.at = found.body.end;
            if found.kind == *b"moof" {
                self.read(source, at, &found, movie, samples)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the start of the first fragment that does not parse, and the number of these fragments.
    pub fn damaged(&self) -> Option<(u64, u64)> {
        Some((self.damaged?, self.damaged_fragments))
    }

    /// Returns whether a fragment had more samples than are read.
    pub fn has_omitted_samples(&self) -> bool {
        self.has_omitted_samples
    }

    fn read<S: Source>(
        &mut self,
        source: &mut S,
        at: u64,
        found: &FoundBox,
        movie: &Movie,
        samples: &mut Vec<FragmentSample>,
    ) -> Result<(), S::Error> {
        let length = found.body.end.saturating_sub(found.body.start);
        let body = read_body(source, &found.body, MAX_FRAGMENT)?;
        let is_complete = body.len() as u64 == length;
        let mut fragment = Fragment {
            start: at,
            movie,
            times: &mut self.times,
            data_end: at,
            left: self.left.min(MAX_FRAGMENT_SAMPLES),
            has_omitted_samples: false,
            samples,
        };
        let read = fragment.read(&body);
        self.has_omitted_samples |= fragment.has_omitted_samples;
        self.left = self.left.saturating_sub(samples.len() as u64);
        if read.is_err() || !is_complete {
            self.damaged.get_or_insert(at);
            self.damaged_fragments = self.damaged_fragments.saturating_add(1);
        }
        Ok(())
    }
}

/// A `moof` box while it is read.
struct Fragment<'a> {
    start: u64,
    movie: &'a Movie,
    times: &'a mut [u64],
    /// End of the data of the latest run.
    data_end: u64,
    /// Number of samples that may still be read.
    left: u64,
    has_omitted_samples: bool,
    samples: &'a mut Vec<FragmentSample>,
}

/// Header of a track in a fragment.
struct TrackHeader {
    track: usize,
    base: u64,
    defaults: Defaults,
}

impl Fragment<'_> {
    fn read(&mut self, body: &[u8]) -> Result<(), Missing> {
        let mut boxes = Reader::new(body);
        while !boxes.is_empty() {
            let (kind, body) = BoxHeader::read_complete(&mut boxes)?;
            if kind == *b"traf" {
                self.read_track(body)?;
            }
        }
        Ok(())
    }

    fn read_track(&mut self, body: &[u8]) -> Result<(), Missing> {
        let mut header = None;
        let mut boxes = Reader::new(body);
        while !boxes.is_empty() {
            let (kind, body) = BoxHeader::read_complete(&mut boxes)?;
            match (&kind, &header) {
                (b"tfhd", _) => header = self.read_header(&mut Reader::new(body))?,
                (b"tfdt", Some(TrackHeader { track, .. })) => {
                    let time = read_time(&mut Reader::new(body))?;
                    if let Some(next) = self.times.get_mut(*track) {
                        *next = time;
                    }
                }
                (b"trun", Some(header)) => self.read_run(header, &mut Reader::new(body))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads `tfhd` (ISO 14496-12 8.8.7). Returns `None` if the movie does not have the track.
    fn read_header(&self, fields: &mut Reader<'_>) -> Result<Option<TrackHeader>, Missing> {
        let flags = fields.u32("version and flags")?;
        let id = fields.u32("track id")?;
        // Without a stated base, data follows that of the track before, which is the fragment for the first one.
        let mut base = match flags & DEFAULT_BASE_IS_MOOF {
            0 => self.data_end,
            _ => self.start,
        };
        if flags & 0x01 != 0 {
            base = fields.array("base data offset").map(u64::from_be_bytes)?;
        }
        if flags & 0x02 != 0 {
            fields.u32("sample description")?;
        }
        let track = self.movie.position(id);
        let known = track.and_then(|at| self.movie.tracks.get(at));
        let mut defaults = known.map(|track| track.defaults).unwrap_or_default();
        if flags & 0x08 != 0 {
            defaults.duration = fields.u32("default duration")?;
        }
        if flags & 0x10 != 0 {
            defaults.size = fields.u32("default size")?;
        }
        if flags & 0x20 != 0 {
            defaults.flags = fields.u32("default flags")?;
        }
        Ok(track.map(|track| TrackHeader {
            track,
            base,
            defaults,
        }))
    }

    /// Reads `trun` (ISO 14496-12 8.8.8).
    fn read_run(&mut self, header: &TrackHeader, fields: &mut Reader<'_>) -> Result<(), Missing> {
        let flags = fields.u32("version and flags")?;
        let count = fields.u32("sample count")?;
        let mut offset = match flags & 0x01 {
            0 if self.data_end > self.start => self.data_end,
            0 => header.base,
            _ => {
                let offset = fields.array("data offset").map(i32::from_be_bytes)?;
                header.base.saturating_add_signed(offset.into())
            }
        };
        let first_flags = match flags & 0x04 {
            0 => None,
            _ => Some(fields.u32("first sample flags")?),
        };
        for number in 0..count {
            if self.left == 0 {
                self.has_omitted_samples = true;
                break;
            }
            self.left = self.left.saturating_sub(1);
            let mut sample = self.read_sample(header, flags, fields)?;
            if let Some(flags) = first_flags.filter(|_| number == 0) {
                sample.is_sync = flags & NON_SYNC == 0;
            }
            sample.offset = offset;
            offset = offset.saturating_add(sample.size.into());
            self.data_end = offset;
            self.samples.push(FragmentSample {
                track: header.track,
                sample,
            });
        }
        Ok(())
    }

    fn read_sample(
        &mut self,
        header: &TrackHeader,
        flags: u32,
        fields: &mut Reader<'_>,
    ) -> Result<Sample, Missing> {
        let mut field = |flag: u32, default: u32, name| match flags & flag {
            0 => Ok(default),
            _ => fields.u32(name),
        };
        let duration = field(0x100, header.defaults.duration, "duration")?;
        let size = field(0x200, header.defaults.size, "size")?;
        let sample_flags = field(0x400, header.defaults.flags, "flags")?;
        let composition_offset = field(0x800, 0, "composition offset")?.cast_signed();
        let next = self.times.get_mut(header.track);
        let time = next.map_or(0, |next| {
            let time = *next;
            *next = time.saturating_add(duration.into());
            time
        });
        Ok(Sample {
            offset: 0,
            size,
            time,
            duration,
            composition_offset,
            is_sync: sample_flags & NON_SYNC == 0,
        })
    }
}

/// Returns the decoding time of `tfdt` (ISO 14496-12 8.8.12).
fn read_time(fields: &mut Reader<'_>) -> Result<u64, Missing> {
    match fields.u32("version and flags")? >> 24 {
        1 => fields.array("decoding time").map(u64::from_be_bytes),
        _ => fields.u32("decoding time").map(u64::from),
    }
}

/// Flag of `tfhd`.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;

/// Flag of a sample that a decoder cannot start with (ISO 14496-12 8.8.3.1).
const NON_SYNC: u32 = 0x01_0000;

/// Number of bytes that are read of a `moof` box. A fragment of a minute has about 100 KiB.
const MAX_FRAGMENT: usize = 16 << 20;

/// Number of samples that are read of a fragment. A run may describe any number of samples without a byte for each.
/// Uncompressed audio of 20 s at 48 kHz has 960,000.
const MAX_FRAGMENT_SAMPLES: u64 = 1 << 20;
