//! The sample tables of a finished file (ISO 14496-12 8.6 and 8.7).
//!
//! A recording of a day has millions of samples, so the tables never exist in memory. A [`Table`] converts
//! the runs of the fragments one after another to the entries of one box. It runs twice: while the file
//! grows, only for the size of the box, and at the end for the bytes.

use super::fragment::{Run, Sample};

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `stts`: durations.
    Durations,
    /// `ctts`: composition offsets.
    Offsets,
    /// `stss`: numbers of the samples that a decoder can start with.
    SyncSamples,
    /// `stsc`: number of samples in each chunk.
    Chunks,
    /// `stsz`: sizes.
    Sizes,
    /// `co64`: offsets of the chunks in the file.
    ChunkOffsets,
}

/// Encoder of the entries of one table. Every run is one chunk.
#[derive(Debug, Clone)]
pub(super) struct Table {
    kind: Kind,
    /// Repeated value that is not written yet, and the number of repetitions.
    pending: Option<(u32, u32)>,
    /// Number of samples, or of chunks in a table of chunks.
    items: u32,
    lead: Lead,
    /// Time after the last sample, in ticks. Only a table of durations uses it.
    end: Option<u64>,
    entries: u32,
}

/// Ticks from the start of the movie to the first sample of a video track. Players show an empty edit of video
/// as a black picture, so the tables contain this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// All samples have a larger composition offset: the durations of a constant frame rate stay equal.
    Offset(u32),
    /// The first sample lasts longer. A decoder would have to wait for a long offset.
    FirstDuration(u32),
}

impl Table {
    /// Creates an empty table.
    pub(super) fn new(kind: Kind, lead: Lead) -> Self {
        Self {
            kind,
            pending: None,
            items: 0,
            lead,
            end: None,
            entries: 0,
        }
    }

    /// Adds the samples of a run, whose fragment starts at `fragment` in the file. Appends entries to `out`.
    pub(super) fn add(&mut self, run: &Run, fragment: u64, out: &mut Vec<u8>) {
        match self.kind {
            Kind::ChunkOffsets => {
                let offset = fragment.saturating_add(run.offset.into());
                self.put(out, &offset.to_be_bytes());
            }
            Kind::Chunks => {
                self.items = self.items.saturating_add(1);
                let samples = u32::try_from(run.samples.len()).unwrap_or(u32::MAX);
                if self.pending.is_none_or(|(pending, _)| pending != samples) {
                    self.pending = Some((samples, 1));
                    let first = self.items.to_be_bytes();
                    self.put(out, &[first, samples.to_be_bytes(), [0, 0, 0, 1]].concat());
                }
            }
            _ => {
                if self.kind == Kind::Durations {
                    self.end_last_at(run.start, out);
                    self.end = Some(run.end());
                }
                let samples = run.samples.iter();
                samples.for_each(|sample| self.add_sample(sample, out));
            }
        }
    }

    /// Corrects the duration of the latest sample, which was estimated if the file was reopened after it.
    fn end_last_at(&mut self, start: u64, out: &mut Vec<u8>) {
        let Some(end) = self.end.filter(|end| *end != start) else {
            return;
        };
        let Some((duration, count)) = self.pending else {
            return;
        };
        self.pending = Some((duration, count.saturating_sub(1))).filter(|_| count > 1);
        let longer = u64::from(duration).saturating_add(start.saturating_sub(end));
        let corrected = longer.saturating_sub(end.saturating_sub(start));
        self.repeat(u32::try_from(corrected).unwrap_or(u32::MAX), out);
    }

    fn add_sample(&mut self, sample: &Sample, out: &mut Vec<u8>) {
        let (longer, later) = self.take_lead();
        self.items = self.items.saturating_add(1);
        match self.kind {
            Kind::Durations => self.repeat(sample.duration.saturating_add(longer), out),
            Kind::Offsets => {
                let later = i32::try_from(later).unwrap_or(i32::MAX);
                let offset = sample.composition_offset.saturating_add(later);
                self.repeat(offset.cast_unsigned(), out);
            }
            Kind::SyncSamples if sample.is_sync => self.put(out, &self.items.to_be_bytes()),
            Kind::Sizes => self.put(out, &sample.size.to_be_bytes()),
            Kind::SyncSamples | Kind::Chunks | Kind::ChunkOffsets => {}
        }
    }

    /// Returns the ticks by which the next sample lasts longer, and by which it is shown later.
    fn take_lead(&mut self) -> (u32, u32) {
        match self.lead {
            Lead::Offset(ticks) => (0, ticks),
            Lead::FirstDuration(ticks) => {
                self.lead = Lead::NONE;
                (ticks, ticks)
            }
        }
    }

    /// Appends the last entry to `out`.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let (Kind::Durations | Kind::Offsets, Some((value, count))) =
            (self.kind, self.pending.take())
        {
            self.put(out, &[count.to_be_bytes(), value.to_be_bytes()].concat());
        }
    }

    fn repeat(&mut self, value: u32, out: &mut Vec<u8>) {
        match &mut self.pending {
            Some((pending, count)) if *pending == value => *count = count.saturating_add(1),
            _ => {
                self.finish(out);
                self.pending = Some((value, 1));
            }
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, entry: &[u8]) {
        self.entries = self.entries.saturating_add(1);
        out.extend_from_slice(entry);
    }

    /// Returns the header of the box: everything before its entries. All runs must have been added.
    pub(super) fn header(&self) -> Vec<u8> {
        let (kind, version, entry): (_, u8, u32) = match self.kind {
            Kind::Durations => (b"stts", 0, 8),
            // Version 1 has signed offsets.
            Kind::Offsets => (b"ctts", 1, 8),
            Kind::SyncSamples => (b"stss", 0, 4),
            Kind::Chunks => (b"stsc", 0, 12),
            Kind::Sizes => (b"stsz", 0, 4),
            Kind::ChunkOffsets => (b"co64", 0, 8),
        };
        let is_pending =
            matches!(self.kind, Kind::Durations | Kind::Offsets) && self.pending.is_some();
        let entries = self.entries.saturating_add(is_pending.into());
        let has_sample_size = self.kind == Kind::Sizes;
        let header: u32 = if has_sample_size { 20 } else { 16 };
        let length = entries.saturating_mul(entry).saturating_add(header);
        let mut out = Vec::new();
        out.extend(length.to_be_bytes());
        out.extend(kind);
        out.extend([version, 0, 0, 0]);
        if has_sample_size {
            out.extend([0; 4]); // sample_size: the sizes differ
        }
        out.extend(entries.to_be_bytes());
        out
    }

    /// Returns the length of the box in bytes.
    pub(super) fn length(&self) -> u32 {
        let header = self.header();
        header
            .first_chunk()
            .map_or(0, |length| u32::from_be_bytes(*length))
    }

    /// Returns the number of samples, or of chunks in a table of chunks.
    pub(super) fn items(&self) -> u32 {
        self.items
    }

    /// Returns whether all entries have this value. Counts an entry that is not written yet.
    pub(super) fn is_constant(&self, value: u32) -> bool {
        self.entries == 0 && self.pending.is_none_or(|(pending, _)| pending == value)
    }

    pub(super) fn entries(&self) -> u32 {
        self.entries
    }
}

impl Lead {
    /// The first sample starts with the movie.
    pub(super) const NONE: Self = Self::Offset(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(kind: Kind, lead: Lead, runs: &[Run]) -> Vec<u8> {
        let (mut table, mut entries) = (Table::new(kind, lead), Vec::new());
        runs.iter()
            .for_each(|run| table.add(run, 1000, &mut entries));
        let header = table.header();
        table.finish(&mut entries);
        assert_eq!(
            header,
            table.header(),
            "the header is known before the last entry"
        );
        assert_eq!(table.length() as usize, header.len() + entries.len());
        [header, entries].concat()
    }

    fn run(samples: &[(u32, u32, bool, i32)]) -> Run {
        let sample = |&(duration, size, is_sync, composition_offset): &_| Sample {
            duration,
            size,
            is_sync,
            composition_offset,
        };
        Run {
            track: 1,
            start: 0,
            offset: 0x20,
            samples: samples.iter().map(sample).collect(),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_run_that_starts_later_or_earlier_corrects_the_duration_before_it() {
        let at = |start, samples: &[_]| Run { start, ..run(samples) };
        let sample = (40, 1, true, 0);
        let runs = [at(0, &[sample; 3]), at(130, &[sample]), at(165, &[sample]), at(205, &[sample])];
        assert_eq!(encode(Kind::Durations, Lead::NONE, &runs)[16..], [
            0, 0, 0, 2,  0, 0, 0, 40,
            0, 0, 0, 1,  0, 0, 0, 50,
            0, 0, 0, 1,  0, 0, 0, 35,
            0, 0, 0, 2,  0, 0, 0, 40,
        ]);
    }

    #[test]
    #[rustfmt::skip]
    fn tables_have_these_bytes() {
        let runs = [
            run(&[(40, 9, true, 80), (40, 7, false, 80)]),
            Run { start: 80, ..run(&[(40, 5, false, -40), (33, 4, true, 0)]) },
            Run { start: 153, ..run(&[(33, 1, false, 0)]) },
        ];
        let encode_with = |kind, lead| encode(kind, lead, &runs);
        let encode = |kind| encode_with(kind, Lead::NONE);
        assert_eq!(encode(Kind::Durations), [
            &[0, 0, 0, 32][..], b"stts", &[0, 0, 0, 0,  0, 0, 0, 2],
            &[0, 0, 0, 3,  0, 0, 0, 40], // count, duration
            &[0, 0, 0, 2,  0, 0, 0, 33],
        ].concat());
        assert_eq!(encode_with(Kind::Durations, Lead::FirstDuration(10))[16..32], [
            0, 0, 0, 1,  0, 0, 0, 50,
            0, 0, 0, 2,  0, 0, 0, 40,
        ]);
        assert_eq!(encode(Kind::Offsets), [
            &[0, 0, 0, 40][..], b"ctts", &[1, 0, 0, 0,  0, 0, 0, 3],
            &[0, 0, 0, 2,  0, 0, 0, 80],
            &[0, 0, 0, 1,  0xFF, 0xFF, 0xFF, 0xD8],
            &[0, 0, 0, 2,  0, 0, 0, 0],
        ].concat());
        assert_eq!(encode_with(Kind::Durations, Lead::Offset(10)), encode(Kind::Durations));
        assert_eq!(encode_with(Kind::Offsets, Lead::Offset(10))[16..], [
            0, 0, 0, 2,  0, 0, 0, 90,
            0, 0, 0, 1,  0xFF, 0xFF, 0xFF, 0xE2,
            0, 0, 0, 2,  0, 0, 0, 10,
        ]);
        assert_eq!(encode_with(Kind::Offsets, Lead::FirstDuration(10))[16..40], [
            0, 0, 0, 1,  0, 0, 0, 90,
            0, 0, 0, 1,  0, 0, 0, 80,
            0, 0, 0, 1,  0xFF, 0xFF, 0xFF, 0xD8,
        ]);
        assert_eq!(encode(Kind::SyncSamples), [
            &[0, 0, 0, 24][..], b"stss", &[0, 0, 0, 0,  0, 0, 0, 2],
            &[0, 0, 0, 1,  0, 0, 0, 4],
        ].concat());
        assert_eq!(encode(Kind::Chunks), [
            &[0, 0, 0, 40][..], b"stsc", &[0, 0, 0, 0,  0, 0, 0, 2],
            &[0, 0, 0, 1,  0, 0, 0, 2,  0, 0, 0, 1], // first chunk, samples, description
            &[0, 0, 0, 3,  0, 0, 0, 1,  0, 0, 0, 1],
        ].concat());
        assert_eq!(encode(Kind::Sizes), [
            &[0, 0, 0, 40][..], b"stsz", &[0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 5],
            &[0, 0, 0, 9,  0, 0, 0, 7,  0, 0, 0, 5,  0, 0, 0, 4,  0, 0, 0, 1],
        ].concat());
        assert_eq!(encode(Kind::ChunkOffsets)[..24], [
            &[0, 0, 0, 40][..], b"co64", &[0, 0, 0, 0,  0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 4, 8], // 1000 + 0x20
        ].concat());
    }
}
