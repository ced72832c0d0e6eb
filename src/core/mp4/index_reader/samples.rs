//! Samples in the tables of a plain file.

use super::{
    movie::{Table, Tables, Track},
    source::{Cursor, Source},
};

/// One sample of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Offset in the file.
    pub offset: u64,
    /// Size in bytes.
    pub size: u32,
    /// Decoding time in ticks.
    pub time: u64,
    /// Ticks until the next sample.
    pub duration: u32,
    /// Presentation time minus decoding time, in ticks.
    pub composition_offset: i32,
    /// Whether a decoder can start with this sample.
    pub is_sync: bool,
}

/// How the tables of a track disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disagreement {
    /// A table that every track needs is missing.
    Missing(&'static str),
    /// The box of a table is too short for its entries.
    Cut(&'static str),
    /// A table has values for fewer samples than the track has.
    Short(&'static str),
    /// A table has values for more samples than the track has.
    Long(&'static str),
    /// The numbers of a table do not ascend.
    Order(&'static str),
}

/// Reads the samples of a track in decoding order.
#[derive(Debug)]
pub struct Samples {
    durations: Runs,
    offsets: Option<Runs>,
    sync_samples: Option<SyncSamples>,
    sizes: Sizes,
    chunks: Chunks,
    /// Number of samples that were returned.
    count: u64,
    /// Number of samples to return.
    total: u64,
    time: u64,
    disagreements: Vec<Disagreement>,
}

impl Samples {
    /// Creates a reader of the samples in the tables of `track`, in a file of `length` bytes. It returns at most
    /// [`MAX_SAMPLES`], and at most one per byte of the file.
    pub fn new(track: &Track, length: u64) -> Self {
        let tables = &track.tables;
        let mut disagreements = Vec::new();
        if tables.samples > 0 {
            find_missing_tables(tables, &mut disagreements);
        }
        Self {
            durations: Runs::new(tables.durations.as_ref()),
            offsets: tables.offsets.as_ref().map(|table| Runs::new(Some(table))),
            sync_samples: tables.sync_samples.as_ref().map(SyncSamples::new),
            sizes: match &tables.sizes {
                Some(table) => Sizes::Different(Cursor::new(table.entries.clone())),
                None => Sizes::Constant(tables.constant_size),
            },
            chunks: Chunks::new(tables),
            count: 0,
            total: u64::from(tables.samples).min(length).min(MAX_SAMPLES),
            time: 0,
            disagreements,
        }
    }

    /// Returns the next sample; `None` after the last one, or after the last one whose size and offset are known.
    pub fn next<S: Source>(&mut self, source: &mut S) -> Result<Option<Sample>, S::Error> {
        if self.count >= self.total {
            self.find_leftovers(source)?;
            return Ok(None);
        }
        let Some(size) = self.sizes.next(source)? else {
            self.end(Disagreement::Short("stsz"));
            return Ok(None);
        };
        let Some(offset) = self.chunks.next(source, size)? else {
            self.end(Disagreement::Short("stsc"));
            return Ok(None);
        };
        self.count = self.count.saturating_add(1);
        let duration = self.durations.next(source)?;
        if duration.is_none() {
            self.add(Disagreement::Short("stts"));
        }
        let composition_offset = match &mut self.offsets {
            None => 0,
            Some(offsets) => match offsets.next(source)? {
                Some(offset) => offset.cast_signed(),
                None => {
                    self.add(Disagreement::Short("ctts"));
                    0
                }
            },
        };
        let is_sync = match &mut self.sync_samples {
            None => true,
            Some(table) => table.contains(source, self.count)?,
        };
        let duration = duration.unwrap_or(0);
        let time = self.time;
        self.time = time.saturating_add(duration.into());
        Ok(Some(Sample {
            offset,
            size,
            time,
            duration,
            composition_offset,
            is_sync,
        }))
    }

    /// Returns the disagreements of the tables that were found so far.
    pub fn disagreements(&self) -> &[Disagreement] {
        &self.disagreements
    }

    fn end(&mut self, found: Disagreement) {
        self.total = self.count;
        self.add(found);
    }

    fn add(&mut self, found: Disagreement) {
        if !self.disagreements.contains(&found) {
            self.disagreements.push(found);
        }
    }

    /// Finds entries after the last sample. Tables of a limited number of samples are not compared.
    fn find_leftovers<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        let has_ended = self
            .disagreements
            .iter()
            .any(|found| matches!(found, Disagreement::Short(_)));
        if self.count < MAX_SAMPLES && !has_ended {
            if self.durations.next(source)?.is_some() {
                self.add(Disagreement::Long("stts"));
            }
            if let Some(offsets) = &mut self.offsets
                && offsets.next(source)?.is_some()
            {
                self.add(Disagreement::Long("ctts"));
            }
            if self.chunks.has_more(source)? {
                self.add(Disagreement::Long("stsc"));
            }
        }
        if let Some(table) = &mut self.sync_samples {
            let (ascends, has_more) = (table.ascends, table.has_more(source)?);
            if !ascends {
                self.add(Disagreement::Order("stss"));
            } else if has_more && self.count < MAX_SAMPLES && !has_ended {
                self.add(Disagreement::Long("stss"));
            }
        }
        Ok(())
    }
}

fn find_missing_tables(tables: &Tables, out: &mut Vec<Disagreement>) {
    let needed = [
        ("stts", &tables.durations),
        ("stsc", &tables.chunks),
        ("stco", &tables.chunk_offsets),
    ];
    let missing = needed.iter().filter(|(_, table)| table.is_none());
    out.extend(missing.map(|(name, _)| Disagreement::Missing(name)));
    let all = [
        ("stts", &tables.durations),
        ("ctts", &tables.offsets),
        ("stss", &tables.sync_samples),
        ("stsc", &tables.chunks),
        ("stco", &tables.chunk_offsets),
        ("stsz", &tables.sizes),
    ];
    let cut = all
        .iter()
        .filter(|(_, table)| table.as_ref().is_some_and(|table| table.is_cut));
    out.extend(cut.map(|(name, _)| Disagreement::Cut(name)));
}

/// Table of values that repeat (`stts` and `ctts`).
#[derive(Debug)]
struct Runs {
    entries: Cursor,
    left: u32,
    value: u32,
}

impl Runs {
    fn new(table: Option<&Table>) -> Self {
        Self {
            entries: Cursor::new(table.map_or(0..0, |table| table.entries.clone())),
            left: 0,
            value: 0,
        }
    }

    fn next<S: Source>(&mut self, source: &mut S) -> Result<Option<u32>, S::Error> {
        while self.left == 0 {
            let Some([c0, c1, c2, c3, v0, v1, v2, v3]) = self.entries.next(source)? else {
                return Ok(None);
            };
            self.left = u32::from_be_bytes([c0, c1, c2, c3]);
            self.value = u32::from_be_bytes([v0, v1, v2, v3]);
        }
        self.left = self.left.saturating_sub(1);
        Ok(Some(self.value))
    }
}

/// Numbers of the samples that a decoder can start with (`stss`).
#[derive(Debug)]
struct SyncSamples {
    entries: Cursor,
    next: Option<u32>,
    is_read: bool,
    ascends: bool,
}

impl SyncSamples {
    fn new(table: &Table) -> Self {
        Self {
            entries: Cursor::new(table.entries.clone()),
            next: None,
            is_read: false,
            ascends: true,
        }
    }

    /// Returns whether the table contains `number`. Numbers must ascend between calls.
    fn contains<S: Source>(&mut self, source: &mut S, number: u64) -> Result<bool, S::Error> {
        if !self.is_read {
            self.advance(source)?;
        }
        let is_sync = self.next.is_some_and(|next| u64::from(next) == number);
        if is_sync {
            self.advance(source)?;
        }
        Ok(is_sync)
    }

    fn advance<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        let before = if self.is_read { self.next } else { Some(0) };
        let entry = self.entries.next(source)?;
        self.next = entry.map(u32::from_be_bytes);
        self.is_read = true;
        if self.next.is_some() && self.next <= before {
            self.ascends = false;
        }
        Ok(())
    }

    fn has_more<S: Source>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        if !self.is_read {
            self.advance(source)?;
        }
        Ok(self.next.is_some())
    }
}

#[derive(Debug)]
enum Sizes {
    Constant(u32),
    Different(Cursor),
}

impl Sizes {
    fn next<S: Source>(&mut self, source: &mut S) -> Result<Option<u32>, S::Error> {
        match self {
            Self::Constant(size) => Ok(Some(*size)),
            Self::Different(entries) => Ok(entries.next(source)?.map(u32::from_be_bytes)),
        }
    }
}

/// Positions of samples in the file (`stsc`, and `stco` or `co64`).
#[derive(Debug)]
struct Chunks {
    groups: Cursor,
    offsets: Cursor,
    has_long_offsets: bool,
    /// Number of the current chunk, from 1.
    number: u32,
    /// Number of samples in each chunk from now on.
    samples: u32,
    /// First chunk and number of samples of the next group.
    next_group: Option<(u32, u32)>,
    has_group: bool,
    /// Number of samples that remain in the current chunk.
    left: u32,
    /// Offset of the next sample.
    offset: u64,
}

impl Chunks {
    fn new(tables: &Tables) -> Self {
        let entries =
            |table: &Option<Table>| table.as_ref().map_or(0..0, |table| table.entries.clone());
        Self {
            groups: Cursor::new(entries(&tables.chunks)),
            offsets: Cursor::new(entries(&tables.chunk_offsets)),
            has_long_offsets: tables.has_long_offsets,
            number: 0,
            samples: 0,
            next_group: None,
            has_group: false,
            left: 0,
            offset: 0,
        }
    }

    /// Returns the offset of the next sample, which has `size` bytes.
    fn next<S: Source>(&mut self, source: &mut S, size: u32) -> Result<Option<u64>, S::Error> {
        while self.left == 0 {
            if !self.start_chunk(source)? {
                return Ok(None);
            }
        }
        self.left = self.left.saturating_sub(1);
        let offset = self.offset;
        self.offset = offset.saturating_add(size.into());
        Ok(Some(offset))
    }

    /// Starts the next chunk. Returns false after the last one.
    fn start_chunk<S: Source>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        let offset = match self.has_long_offsets {
            true => self.offsets.next(source)?.map(u64::from_be_bytes),
            false => {
                let entry = self.offsets.next(source)?;
                entry.map(|entry| u32::from_be_bytes(entry).into())
            }
        };
        let Some(offset) = offset else {
            return Ok(false);
        };
        if !self.has_group {
            self.read_group(source)?;
        }
        self.number = self.number.saturating_add(1);
        while let Some((first, samples)) = self.next_group
            && first <= self.number
        {
            self.samples = samples;
            self.read_group(source)?;
        }
        (self.offset, self.left) = (offset, self.samples);
        Ok(true)
    }

    fn read_group<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        self.has_group = true;
        let entry = self.groups.next(source)?;
        self.next_group = entry.map(|[f0, f1, f2, f3, s0, s1, s2, s3, _, _, _, _]| {
            let first = u32::from_be_bytes([f0, f1, f2, f3]);
            (first, u32::from_be_bytes([s0, s1, s2, s3]))
        });
        Ok(())
    }

    fn has_more<S: Source>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        Ok(self.left > 0 || self.start_chunk(source)?)
    }
}

/// Largest number of samples of a track that are read: 23 days at 25 frames per second.
pub const MAX_SAMPLES: u64 = 50_000_000;
