//! MP4 files of any program.

use std::{fs::File, io, ops::Range};

use super::{
    Container, FileCode, FileFacts, FileFinding, Repair,
    finding::Severity,
    samples::{Feeder, Messages},
    source::FileSource,
};
use crate::{
    core::{
        analysis::{Code, Extent, Finding, StreamAnalysis},
        flv::{TrackId, codec::TrackProperties},
        mp4::{
            index_reader::{
                self, End, Index, Movie, Sample, Source,
                fragments::{FragmentSample, Fragments},
                movie::Track,
                samples::{Disagreement, MAX_SAMPLES, Samples},
            },
            reader::Foreign,
        },
    },
    output::{Purpose, ReadMovie, read_movie},
};

/// Facts of the MP4 format.
#[derive(Debug, Clone, PartialEq)]
pub struct Mp4Facts {
    /// Major brand.
    pub brand: Option<[u8; 4]>,
    /// Program that wrote the file. Escape it before printing.
    pub program: Option<String>,
    /// Whether rtmpull wrote the file with fragments, and can continue it.
    pub is_own: bool,
    /// Order of index and media.
    pub layout: Layout,
    /// Range of the `moov` box in the file.
    pub movie_at: Option<Range<u64>>,
    /// Number of movie fragments.
    pub fragments: u64,
    /// Whether the file has an index of its fragments.
    pub has_fragment_index: bool,
    /// Tracks, including those that a stream cannot have.
    pub tracks: Vec<Mp4Track>,
}

/// Order of index and media in an MP4 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The index follows the media.
    Plain,
    /// The index precedes the media, so that a player can start while it receives the file.
    FastStart,
    /// The media is in fragments, each with its index.
    Fragmented,
    /// The file has fragments after media with a common index.
    Hybrid,
    /// The file has no index.
    Unknown,
}

/// A track of an MP4 file.
#[derive(Debug, Clone, PartialEq)]
pub struct Mp4Track {
    /// Id in the file.
    pub id: u32,
    /// Track in [`FileFacts::media`]; `None` if a stream cannot have its codec.
    pub media: Option<TrackId>,
    /// Type of the media, such as `vide` and `soun`.
    pub handler: [u8; 4],
    /// Type of the sample entry, such as `avc1`.
    pub setup: Option<[u8; 4]>,
    /// Number of sample entries.
    pub setups: u32,
    /// Language, three letters of ISO 639-2.
    pub language: Option<[u8; 3]>,
    /// Ticks per second.
    pub timescale: u32,
    /// Number of samples.
    pub samples: u64,
    /// Number of samples that a decoder can start with.
    pub sync_samples: u64,
    /// Size of all samples in bytes.
    pub bytes: u64,
    /// Duration that the track states, in milliseconds.
    pub stated_duration_ms: Option<u64>,
    /// Length of an empty edit before the media, in milliseconds: the track starts later by this time.
    pub delay_ms: u64,
    /// Time of the media at which the presentation starts, in milliseconds: earlier media is decoded but not shown.
    pub skipped_ms: u64,
    /// Time from the start of the movie to the end of the last sample, in milliseconds.
    pub end_ms: u64,
    /// Properties in the setup.
    pub properties: Option<TrackProperties>,
}

/// Reads an MP4 file.
pub(super) fn read(file: File, length: u64) -> io::Result<FileFacts> {
    let mut source = FileSource::new(file, length);
    let index = index_reader::read(&mut source)?;
    let movie = index.movie.clone().unwrap_or_default();
    let mut reading = Reading::new(&movie, length);
    reading.read_tables(&mut source, &movie)?;
    if let Some(start) = index.fragments_at {
        reading.read_fragments(&mut source, &movie, start..length)?;
    }
    let own = match Own::read(source.into_file(), length)? {
        // The file may be of any program.
        Own::NoMedia if index.movie.is_none() => Own::Foreign,
        own => own,
    };
    Ok(reading.finish(&index, &movie, own))
}

/// Returns a finding if the durations differ by more than 1 s and 1 %.
pub(super) fn wrong_duration(stated_ms: u64, actual_ms: u64) -> Option<FileFinding> {
    let difference = stated_ms.abs_diff(actual_ms);
    let is_wrong = difference > 1000 && difference > stated_ms.max(actual_ms) / 100;
    let finding = FileFinding::new(FileCode::WrongDuration);
    is_wrong.then(|| finding.values(stated_ms as f64, actual_ms as f64))
}

/// What rtmpull can do with the file.
enum Own {
    /// The file is complete.
    Complete,
    /// A repair finishes it.
    Unfinished,
    /// The recording ended before the first complete fragment.
    NoMedia,
    /// A finished file of rtmpull with its tables at the start.
    FastStart,
    /// Another program wrote it.
    Foreign,
    /// Too many fragments are damaged.
    Damaged,
}

impl Own {
    fn read(mut file: File, length: u64) -> io::Result<Self> {
        let movie = read_movie(&mut file, length, Purpose::Repair, &mut |_| true)?;
        Ok(match movie {
            ReadMovie::Movie(movie) if movie.is_complete() => Self::Complete,
            ReadMovie::Movie(_) => Self::Unfinished,
            ReadMovie::NoMedia => Self::NoMedia,
            ReadMovie::Foreign(Foreign::Faststart) => Self::FastStart,
            ReadMovie::Damaged(_) => Self::Damaged,
            ReadMovie::Foreign(_) | ReadMovie::Interrupted => Self::Foreign,
        })
    }

    fn repair(&self, findings: &[FileFinding]) -> Repair {
        let is_damaged = findings
            .iter()
            .any(|found| found.severity() > Severity::Info);
        match self {
            Self::Unfinished => Repair::InPlace,
            Self::NoMedia => Repair::Impossible("it ends before the end of its first fragment"),
            Self::Damaged => Repair::Impossible("it has too many damaged fragments"),
            Self::Complete | Self::FastStart | Self::Foreign if !is_damaged => Repair::NotNeeded,
            Self::Complete | Self::FastStart => {
                Repair::Impossible("its tables are complete, but its media is not")
            }
            Self::Foreign => Repair::Impossible("--repair only finishes MP4 files of rtmpull"),
        }
    }
}

/// Facts of the samples read so far.
struct Reading {
    length: u64,
    feeder: Feeder,
    tracks: Vec<Mp4Track>,
    messages: Vec<Option<Messages>>,
    clocks: Vec<Clock>,
    /// Time by which all tracks start later in the analysis, which has no negative times.
    lead_ms: i64,
    samples: u64,
    /// Number of samples that were analyzed.
    analyzed: u64,
    /// Size of the samples that lie in the file, in bytes.
    bytes: u64,
    outside: u64,
    first_outside: Option<u64>,
    disagreements: Vec<Disagreement>,
    damaged_fragments: Option<(u64, u64)>,
    /// Whether samples were not read because of a limit.
    is_cut: bool,
}

/// Converts decoding times of a track to milliseconds of the presentation.
#[derive(Debug, Clone, Copy)]
struct Clock {
    timescale: u32,
    offset_ms: i64,
}

impl Clock {
    fn new(track: &Track, movie: &Movie) -> Self {
        let delay_ms = ticks_to_ms(track.delay, movie.timescale);
        let start_ms = ticks_to_ms(track.media_start, track.timescale);
        Self {
            timescale: track.timescale,
            offset_ms: signed(delay_ms).saturating_sub(signed(start_ms)),
        }
    }

    /// Returns the time of the presentation in milliseconds. The first frames of a reordered video have negative
    /// decoding times.
    fn time_ms(&self, ticks: u64) -> i64 {
        signed(ticks_to_ms(ticks, self.timescale)).saturating_add(self.offset_ms)
    }
}

impl Reading {
    fn new(movie: &Movie, length: u64) -> Self {
        let mut feeder = Feeder::new(StreamAnalysis::new(Extent::Complete));
        let mut messages: Vec<Option<Messages>> = Vec::new();
        let mut tracks = Vec::new();
        for track in &movie.tracks {
            let found = Messages::new(track, &messages);
            if let (Some(found), Some(setup)) = (&found, &track.setup) {
                feeder.setup(found, setup);
            }
            let media = found.as_ref().map(|found| found.id);
            tracks.push(Mp4Track::new(track, movie.timescale, media));
            messages.push(found);
        }
        let clocks = movie.tracks.iter().map(|track| Clock::new(track, movie));
        let clocks: Vec<Clock> = clocks.collect();
        let leads = clocks.iter().map(|clock| clock.offset_ms.min(0));
        Self {
            length,
            feeder,
            tracks,
            messages,
            lead_ms: leads.min().unwrap_or(0),
            clocks,
            samples: 0,
            analyzed: 0,
            bytes: 0,
            outside: 0,
            first_outside: None,
            disagreements: Vec::new(),
            damaged_fragments: None,
            is_cut: movie.tracks.iter().any(is_cut),
        }
    }

    /// Reads the samples of all tracks in the order of their times.
    fn read_tables(&mut self, source: &mut FileSource, movie: &Movie) -> io::Result<()> {
        let tracks = movie.tracks.iter();
        let mut readers: Vec<Samples> = tracks
            .map(|track| Samples::new(track, self.length))
            .collect();
        let mut next = Vec::new();
        for (at, reader) in readers.iter_mut().enumerate() {
            next.push(self.next_of(source, at, reader)?);
        }
        while let Some(at) = earliest(&next) {
            let (Some(slot), Some(reader)) = (next.get_mut(at), readers.get_mut(at)) else {
                break;
            };
            if self.is_exhausted() {
                return Ok(());
            }
            let sample = slot.take();
            *slot = self.next_of(source, at, reader)?;
            if let Some((_, sample)) = sample {
                self.add(source, at, &sample)?;
            }
        }
        let found = readers.iter().flat_map(Samples::disagreements);
        self.disagreements = found.copied().collect();
        Ok(())
    }

    /// Returns the next sample of the track at `at`, and its time in milliseconds.
    fn next_of(
        &self,
        source: &mut FileSource,
        at: usize,
        reader: &mut Samples,
    ) -> io::Result<Option<(i64, Sample)>> {
        let (sample, clock) = (reader.next(source)?, self.clocks.get(at));
        Ok(sample.map(|sample| (clock.map_or(0, |clock| clock.time_ms(sample.time)), sample)))
    }

    /// Returns whether the samples read so far are more than those of any usual file. The rest is then not read,
    /// because tables of a few bytes may describe any number of samples of any size.
    fn is_exhausted(&mut self) -> bool {
        let is_exhausted = self.samples >= self.length
            || self.analyzed >= MAX_SAMPLES
            || self.bytes > self.length.saturating_mul(MAX_OVERLAP);
        self.is_cut |= is_exhausted;
        is_exhausted
    }

    fn read_fragments(
        &mut self,
        source: &mut FileSource,
        movie: &Movie,
        range: Range<u64>,
    ) -> io::Result<()> {
        let mut fragments = Fragments::new(range, movie);
        let mut samples = Vec::new();
        while fragments.next(source, movie, &mut samples)? {
            // The samples of a fragment are in the order of the tracks.
            let time_ms = |part: &FragmentSample| {
                let clock = self.clocks.get(part.track);
                clock.map_or(0, |clock| clock.time_ms(part.sample.time))
            };
            samples.sort_by_key(time_ms);
            for part in &samples {
                self.add(source, part.track, &part.sample)?;
            }
            if self.is_exhausted() {
                break;
            }
        }
        self.is_cut |= fragments.has_omitted_samples();
        self.damaged_fragments = fragments.damaged();
        Ok(())
    }

    fn add(&mut self, source: &mut FileSource, at: usize, sample: &Sample) -> io::Result<()> {
        let (Some(track), Some(clock)) = (self.tracks.get_mut(at), self.clocks.get(at)) else {
            return Ok(());
        };
        let end_ms = clock.time_ms(sample.time.saturating_add(sample.duration.into()));
        track.add(sample, u64::try_from(end_ms).unwrap_or(0));
        self.samples = self.samples.saturating_add(1);
        if sample.offset.saturating_add(sample.size.into()) > source.length() {
            self.outside = self.outside.saturating_add(1);
            self.first_outside.get_or_insert(sample.offset);
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(sample.size.into());
        let Some(messages) = self.messages.get_mut(at).and_then(Option::as_mut) else {
            return Ok(());
        };
        self.analyzed = self.analyzed.saturating_add(1);
        let time_ms = clock.time_ms(sample.time).saturating_sub(self.lead_ms);
        let composition = i64::from(sample.composition_offset).saturating_mul(1000);
        let composition_ms = composition.checked_div(clock.timescale.into()).unwrap_or(0);
        self.feeder.sample(
            source,
            messages,
            sample,
            u64::try_from(time_ms).unwrap_or(0),
            i32::try_from(composition_ms).unwrap_or(0),
        )
    }

    fn finish(self, index: &Index, movie: &Movie, own: Own) -> FileFacts {
        let duration_ms = self
            .tracks
            .iter()
            .map(|track| track.end_ms)
            .max()
            .unwrap_or(0);
        let stated_duration_ms = match ticks_to_ms(movie.duration, movie.timescale) {
            0 => None,
            stated => Some(stated),
        };
        let mut findings = self.findings(index, movie);
        if matches!(own, Own::Unfinished | Own::NoMedia | Own::Damaged) {
            findings.push(FileFinding::new(FileCode::Unfinished));
        }
        if let Some(stated) = stated_duration_ms.filter(|_| !self.is_cut) {
            findings.extend(wrong_duration(stated, duration_ms));
        }
        let mut media = self.feeder.analysis.facts();
        let is_of_streams = |finding: &Finding| finding.code == Code::NoMetadata;
        media.findings.retain(|finding| !is_of_streams(finding));
        FileFacts {
            size: self.length,
            is_being_written: false,
            media,
            stated_duration_ms,
            duration_ms,
            repair: own.repair(&findings),
            container: Container::Mp4(Mp4Facts {
                brand: index.brand,
                program: movie.program.clone(),
                is_own: !matches!(own, Own::Foreign | Own::FastStart),
                layout: layout(index),
                movie_at: index.movie_at.clone(),
                fragments: index.fragments,
                has_fragment_index: index.has_fragment_index,
                tracks: self.tracks,
            }),
            findings,
        }
    }

    fn findings(&self, index: &Index, movie: &Movie) -> Vec<FileFinding> {
        let mut found = Vec::new();
        found.extend(match index.end {
            End::Complete => None,
            End::Torn { offset, kind } => {
                let finding = FileFinding::at(FileCode::TornEnd, offset);
                Some(
                    finding
                        .bytes(self.length.saturating_sub(offset))
                        .part(box_name(kind)),
                )
            }
            End::NoBox { offset } => {
                let finding = FileFinding::at(FileCode::Garbage, offset);
                Some(finding.bytes(self.length.saturating_sub(offset)))
            }
            End::TooMany { offset } => Some(FileFinding::at(FileCode::UnreadTables, offset)),
        });
        match &index.movie {
            None => found.push(FileFinding::new(FileCode::NoMovie)),
            Some(movie) if movie.tracks.is_empty() => {
                found.push(FileFinding::new(FileCode::NoTracks))
            }
            Some(_) => {}
        }
        if layout(index) == Layout::Plain {
            found.push(FileFinding::new(FileCode::IndexAtEnd));
        }
        if let Some(offset) = self.first_outside {
            found.push(FileFinding::at(FileCode::SamplesOutsideFile, offset).count(self.outside));
        }
        if self.bytes > self.length {
            let finding = FileFinding::new(FileCode::OverlappingSamples);
            found.push(finding.values(self.length as f64, self.bytes as f64));
        }
        found.extend(self.disagreements.iter().map(|disagreement| {
            let (Disagreement::Missing(table)
            | Disagreement::Cut(table)
            | Disagreement::Short(table)
            | Disagreement::Long(table)
            | Disagreement::Order(table)) = *disagreement;
            FileFinding::new(FileCode::TablesDisagree).part(table)
        }));
        if let Some((offset, count)) = self.damaged_fragments {
            found.push(FileFinding::at(FileCode::DamagedFragments, offset).count(count));
        }
        let has_compact_sizes = |track: &Track| track.tables.has_compact_sizes;
        let is_unread = movie.omitted_tracks > 0 || movie.tracks.iter().any(has_compact_sizes);
        if is_unread || self.is_cut {
            found.push(FileFinding::new(FileCode::UnreadTables));
        }
        let encrypted = movie.tracks.iter().filter_map(|track| track.setup.as_ref());
        let encrypted = encrypted.filter(|setup| setup.is_encrypted).count() as u64;
        if encrypted > 0 {
            found.push(FileFinding::new(FileCode::EncryptedTrack).count(encrypted));
        }
        found
    }
}

/// Whether the tables of a track have more samples than are read.
fn is_cut(track: &Track) -> bool {
    u64::from(track.tables.samples) > MAX_SAMPLES
}

/// Returns the position of the track with the earliest sample.
fn earliest(next: &[Option<(i64, Sample)>]) -> Option<usize> {
    let times = next.iter().enumerate();
    let times = times.filter_map(|(at, next)| next.as_ref().map(|(time_ms, _)| (*time_ms, at)));
    times.min().map(|(_, at)| at)
}

impl Mp4Track {
    fn new(track: &Track, movie_timescale: u32, media: Option<TrackId>) -> Self {
        Self {
            id: track.id,
            media,
            handler: track.handler,
            setup: track.setup.as_ref().map(|setup| setup.kind),
            setups: track.setups,
            language: track.language,
            timescale: track.timescale,
            samples: 0,
            sync_samples: 0,
            bytes: 0,
            stated_duration_ms: match ticks_to_ms(track.duration, track.timescale) {
                0 => None,
                stated => Some(stated),
            },
            delay_ms: ticks_to_ms(track.delay, movie_timescale),
            skipped_ms: ticks_to_ms(track.media_start, track.timescale),
            end_ms: 0,
            properties: track.setup.as_ref().and_then(|setup| setup.properties),
        }
    }

    fn add(&mut self, sample: &Sample, end_ms: u64) {
        self.samples = self.samples.saturating_add(1);
        self.sync_samples = self.sync_samples.saturating_add(sample.is_sync.into());
        self.bytes = self.bytes.saturating_add(sample.size.into());
        self.end_ms = self.end_ms.max(end_ms);
    }
}

fn layout(index: &Index) -> Layout {
    let Some(movie_at) = &index.movie_at else {
        return Layout::Unknown;
    };
    let is_before_media = index
        .media_at
        .is_none_or(|media_at| movie_at.start < media_at);
    let has_fragments = index.fragments > 0;
    let has_tables = index
        .movie
        .as_ref()
        .is_some_and(|movie| movie.tracks.iter().any(|track| track.tables.samples > 0));
    let announces_fragments = index
        .movie
        .as_ref()
        .is_some_and(|movie| movie.has_fragments);
    match (has_tables, has_fragments || announces_fragments) {
        (true, true) if has_fragments => Layout::Hybrid,
        (false, true) => Layout::Fragmented,
        _ if is_before_media => Layout::FastStart,
        _ => Layout::Plain,
    }
}

fn box_name(kind: Option<[u8; 4]>) -> &'static str {
    match kind.as_ref() {
        Some(b"mdat") => "mdat",
        Some(b"moov") => "moov",
        Some(b"moof") => "moof",
        Some(b"ftyp") => "ftyp",
        Some(_) => "another box",
        None => "the header of a box",
    }
}

/// Converts ticks to the nearest millisecond.
fn ticks_to_ms(ticks: u64, timescale: u32) -> u64 {
    let half = u128::from(timescale / 2);
    let scaled = u128::from(ticks).saturating_mul(1000).saturating_add(half);
    let ms = scaled.checked_div(timescale.into()).unwrap_or(0);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Number of times that samples may add up to the length of the file. In usual files, no two samples overlap.
const MAX_OVERLAP: u64 = 4;
