//! The `moov` box: of a fragmented file, and of a finished one (ISO 14496-12 8.2).

use super::{
    boxes::{put, put_full},
    fragment::Run,
    frame_rate::MILLISECONDS,
    sample_entry::SampleEntry,
    tables::{Kind, Lead, Table},
};
use crate::core::flv::{TagKind, TrackDescription, TrackDescriptions, TrackId};

/// Facts about a movie that do not depend on its tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Creation time in seconds since 1970.
    pub created: u64,
    /// Title of the stream.
    pub title: Option<String>,
    /// Languages and names of the tracks.
    pub tracks: TrackDescriptions,
}

/// How players present a track of a movie with several tracks.
struct Presentation<'a> {
    /// Whether players present the track unless the user selects another one.
    is_enabled: bool,
    /// Group of alternative tracks, of which players present one; 0 without alternatives.
    alternate_group: u16,
    description: Option<&'a TrackDescription>,
}

/// Setup and statistics of one track, from which its `trak` box is built (ISO 14496-12 8.3.1).
#[derive(Debug)]
pub(super) struct MovieTrack {
    pub(super) id: u32,
    pub(super) entry: SampleEntry,
    /// Time on the track at which the movie starts, in ticks. Frames of a video track that reorders frames
    /// are decoded before the movie starts.
    pub(super) media_start: u64,
    /// Time of the first sample, in ticks; `None` without samples.
    first: Option<u64>,
    /// Time from the start of the first sample to the end of the last one, in ticks.
    duration: u64,
    /// Latest time on the track at which the presentation of a sample ends, in ticks.
    presented_until: u64,
    tables: Vec<Table>,
}

/// A piece of the `moov` box of a finished file.
#[derive(Debug)]
pub enum MoviePiece {
    /// Bytes to write.
    Bytes(Vec<u8>),
    /// Entries to write: pass all fragments of the file to it.
    Entries(Entries),
}

/// Encoder of the entries of one table.
#[derive(Debug)]
pub struct Entries {
    track: u32,
    table: Table,
}

impl MovieTrack {
    pub(super) fn new(id: u32, entry: SampleEntry) -> Self {
        Self {
            id,
            entry,
            media_start: 0,
            first: None,
            duration: 0,
            presented_until: 0,
            tables: Vec::new(),
        }
    }

    /// Adds the samples of a run in a fragment at this offset of the file. `scratch` is overwritten.
    pub(super) fn add(&mut self, run: &Run, fragment: u64, scratch: &mut Vec<u8>) {
        self.add_duration(run);
        if self.tables.is_empty() {
            self.tables = self.new_tables();
        }
        for table in &mut self.tables {
            scratch.clear();
            table.add(run, fragment, scratch);
        }
    }

    /// Adds the duration of a run, in a file without tables.
    pub(super) fn add_duration(&mut self, run: &Run) {
        let first = *self.first.get_or_insert(run.start);
        self.duration = run.end().saturating_sub(first);
        let limit = i64::from(self.entry.timescale).saturating_mul(MAX_REORDERING_S);
        let mut decoded = run.start;
        for sample in &run.samples {
            let offset = i64::from(sample.composition_offset);
            let presented = decoded.saturating_add_signed(if offset < limit { offset } else { 0 });
            let end = presented.saturating_add(sample.duration.into());
            self.presented_until = self.presented_until.max(end);
            decoded = decoded.saturating_add(sample.duration.into());
        }
    }

    fn new_tables(&self) -> Vec<Table> {
        KINDS.map(|kind| Table::new(kind, self.lead())).into()
    }

    fn lead(&self) -> Lead {
        let ticks = self.lead_ticks();
        match ticks <= self.entry.timescale.saturating_mul(MAX_OFFSET_S) {
            true => Lead::Offset(ticks),
            false => Lead::FirstDuration(ticks),
        }
    }

    /// Ticks from the start of the movie to the first sample of a video track.
    fn lead_ticks(&self) -> u32 {
        let lead = self.first.filter(|_| self.entry.is_video()).unwrap_or(0);
        u32::try_from(lead).unwrap_or(u32::MAX)
    }

    pub(super) fn has_samples(&self) -> bool {
        self.first.is_some()
    }

    /// Returns the time from the start of the movie to the end of the last sample, in milliseconds.
    pub(super) fn end_ms(&self) -> u64 {
        self.start_ms().saturating_add(self.presented_ms())
    }

    /// Returns the delay of an audio track, in milliseconds.
    fn start_ms(&self) -> u64 {
        let first = self.first.filter(|_| !self.entry.is_video()).unwrap_or(0);
        self.milliseconds(first)
    }

    /// Returns the time from the first presented sample to the end of the last one, in milliseconds.
    fn presented_ms(&self) -> u64 {
        self.milliseconds(self.media_end().saturating_sub(self.media_start))
    }

    /// Returns the time on the track at which the presentation ends, in ticks. With reordered frames, this is
    /// later than the end of the last decoding time. Some players do not show frames after it.
    fn media_end(&self) -> u64 {
        let decoded_until = self.duration.saturating_add(self.lead_ticks().into());
        match self.entry.is_video() {
            true => decoded_until.max(self.presented_until),
            false => decoded_until,
        }
    }

    /// Converts ticks to the nearest millisecond.
    pub(super) fn milliseconds(&self, ticks: u64) -> u64 {
        self.fractions(ticks, 1000)
    }

    /// Converts ticks to the nearest microsecond.
    pub(super) fn microseconds(&self, ticks: u64) -> u64 {
        self.fractions(ticks, 1_000_000)
    }

    fn fractions(&self, ticks: u64, of_second: u128) -> u64 {
        let timescale = u128::from(self.entry.timescale.max(1));
        let product = u128::from(ticks).saturating_mul(of_second);
        let rounded = product.saturating_add(timescale.wrapping_shr(1));
        u64::try_from(rounded.checked_div(timescale).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Tables that the finished file needs: `stss` only if some samples are not sync samples, `ctts` only if
    /// an offset is not 0.
    fn needed_tables(&self) -> impl Iterator<Item = (Kind, &Table)> {
        let kinds = KINDS.into_iter().zip(&self.tables);
        kinds.filter(|(kind, table)| match kind {
            Kind::SyncSamples => table.entries() < table.items(),
            Kind::Offsets => !table.is_constant(0),
            _ => true,
        })
    }

    fn tables_length(&self) -> u32 {
        let lengths = self.needed_tables().map(|(_, table)| table.length());
        lengths.fold(0, u32::saturating_add)
    }

    /// Returns the track of the stream.
    pub(super) fn stream_track(&self) -> TrackId {
        let kind = match self.entry.is_video() {
            true => TagKind::VIDEO,
            false => TagKind::AUDIO,
        };
        let first = FIRST_OTHER_TRACK.saturating_sub(2);
        let id = self.id.saturating_sub(first).wrapping_shr(1);
        let id = u8::try_from(id).unwrap_or(u8::MAX);
        TrackId { kind, id }
    }

    /// Returns how players present the track. The main track of a kind, or else the one with the lowest id, is
    /// enabled.
    fn presentation<'a>(
        &self,
        tracks: impl Iterator<Item = &'a Self> + Clone,
        description: &'a Description,
    ) -> Presentation<'a> {
        let track = self.stream_track();
        let is_alternative =
            |other: &&Self| other.id != self.id && other.entry.is_video() == self.entry.is_video();
        let mut alternatives = tracks.filter(is_alternative);
        let has_alternatives = alternatives.clone().next().is_some();
        let precedes = |other: &Self| other.stream_track().id < track.id;
        Presentation {
            is_enabled: !alternatives.any(precedes),
            alternate_group: match self.entry.is_video() {
                _ if !has_alternatives => 0,
                true => 1,
                false => 2,
            },
            description: description.tracks.get(track),
        }
    }

    /// Appends the track header (ISO 14496-12 8.3.2).
    fn put_header(
        &self,
        out: &mut Vec<u8>,
        created: u64,
        duration_ms: u64,
        presentation: &Presentation<'_>,
    ) {
        let is_video = self.entry.is_video();
        let flags = match presentation.is_enabled {
            true => ENABLED_IN_MOVIE,
            false => IN_MOVIE,
        };
        put_full(out, b"tkhd", 1, flags, |out| {
            out.extend(mac_time(created).to_be_bytes());
            out.extend(mac_time(created).to_be_bytes());
            out.extend(self.id.to_be_bytes());
            out.extend([0; 4]);
            out.extend(duration_ms.to_be_bytes());
            out.extend([0; 10]); // reserved, layer
            out.extend(presentation.alternate_group.to_be_bytes());
            out.extend(if is_video { [0, 0] } else { [1, 0] }); // volume
            out.extend([0; 2]);
            put_matrix(out);
            let size = self.entry.presentation_size();
            let (width, height) = size.map_or((0, 0), |size| (size.width, size.height));
            out.extend(width.wrapping_shl(16).to_be_bytes());
            out.extend(height.wrapping_shl(16).to_be_bytes());
        });
    }

    /// Appends the media box up to the sample tables, which have `tables` bytes (ISO 14496-12 8.4).
    fn put_media(
        &self,
        out: &mut Vec<u8>,
        created: u64,
        duration: u64,
        tables: u32,
        presentation: &Presentation<'_>,
    ) {
        put_open(out, b"mdia", tables, |out| {
            put_full(out, b"mdhd", 1, 0, |out| {
                out.extend(mac_time(created).to_be_bytes());
                out.extend(mac_time(created).to_be_bytes());
                out.extend(self.entry.timescale.to_be_bytes());
                out.extend(duration.to_be_bytes());
                out.extend(presentation.language());
                out.extend([0; 2]);
            });
            let (handler, usual) = match self.entry.is_video() {
                true => (b"vide", "video"),
                false => (b"soun", "audio"),
            };
            let name = presentation.name().unwrap_or(usual);
            put_handler(out, handler, [0; 4], &[name.as_bytes(), &[0]].concat());
            put_open(out, b"minf", tables, |out| {
                if self.entry.is_video() {
                    put_full(out, b"vmhd", 0, 1, |out| out.extend([0; 8]));
                } else {
                    put_full(out, b"smhd", 0, 0, |out| out.extend([0; 4]));
                }
                put(out, b"dinf", |out| {
                    put_full(out, b"dref", 0, 0, |out| {
                        out.extend([0, 0, 0, 1]);
                        // The samples are in this file.
                        put_full(out, b"url ", 0, 1, |_| {});
                    });
                });
                put_open(out, b"stbl", tables, |out| {
                    put_full(out, b"stsd", 0, 0, |out| {
                        out.extend([0, 0, 0, 1]);
                        self.entry.put(out);
                    });
                });
            });
        });
    }

    /// Returns the `trak` box of a fragmented file.
    fn initial(&self, created: u64, presentation: &Presentation<'_>) -> Vec<u8> {
        let mut tables = Vec::new();
        for kind in [Kind::Durations, Kind::Chunks, Kind::Sizes] {
            tables.extend(Table::new(kind, Lead::NONE).header());
        }
        put_full(&mut tables, b"stco", 0, 0, |out| out.extend([0; 4]));
        let length = u32::try_from(tables.len()).unwrap_or(0);
        let mut out = Vec::new();
        put_open(&mut out, b"trak", length, |out| {
            self.put_header(out, created, 0, presentation);
            if self.media_start > 0 {
                // A duration of 0 is that of all fragments (ISO 14496-12 8.6.6.1).
                put_edits(out, &[(0, signed(self.media_start))]);
            }
            presentation.put_name(out);
            self.put_media(out, created, 0, length, presentation);
        });
        out.extend(tables);
        out
    }

    /// Appends the pieces of the `trak` box of a finished file, and returns their length.
    fn put_final(
        &self,
        pieces: &mut Vec<MoviePiece>,
        created: u64,
        presentation: &Presentation<'_>,
    ) -> u32 {
        let tables = self.tables_length();
        let presented_ms = self.presented_ms();
        let mut out = Vec::new();
        put_open(&mut out, b"trak", tables, |out| {
            self.put_header(out, created, self.end_ms(), presentation);
            let edit = (presented_ms, signed(self.media_start));
            match self.start_ms() {
                0 if self.media_start == 0 => {}
                0 => put_edits(out, &[edit]),
                delay_ms => put_edits(out, &[(delay_ms, -1), edit]),
            }
            presentation.put_name(out);
            self.put_media(out, created, self.media_end(), tables, presentation);
        });
        let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let length = length.saturating_add(tables);
        for (kind, table) in self.needed_tables() {
            out.extend(table.header());
            pieces.push(MoviePiece::Bytes(std::mem::take(&mut out)));
            pieces.push(MoviePiece::Entries(Entries {
                track: self.id,
                table: Table::new(kind, self.lead()),
            }));
        }
        length
    }
}

impl Entries {
    /// Appends the entries for the fragment at this offset of the file to `out`.
    pub fn add(&mut self, runs: &[Run], offset: u64, out: &mut Vec<u8>) {
        for run in runs.iter().filter(|run| run.track == self.track) {
            self.table.add(run, offset, out);
        }
    }

    /// Appends the last entry to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.table.finish(out);
    }
}

impl Presentation<'_> {
    fn name(&self) -> Option<&str> {
        self.description?.name.as_deref()
    }

    /// Returns the language as three times five bits (ISO 14496-12 8.4.2.3).
    fn language(&self) -> [u8; 2] {
        let language = self.description.and_then(|track| track.language);
        let letters = language.unwrap_or(*UNDETERMINED).into_iter();
        let bits = letters.map(|letter| u16::from(letter & 0x1F));
        bits.fold(0, |bits, letter| bits << 5 | letter)
            .to_be_bytes()
    }

    /// Appends the name of the track for players that do not read the handler name (QuickTime File Format,
    /// "User Data Atoms").
    fn put_name(&self, out: &mut Vec<u8>) {
        if let Some(name) = self.name() {
            put(out, b"udta", |out| {
                put(out, b"name", |out| out.extend_from_slice(name.as_bytes()));
            });
        }
    }
}

/// Returns the id in the file of a track other than the main ones, which get 1 and 2 in order of arrival.
pub(super) fn other_track_id(track: TrackId) -> u32 {
    let pair = u32::from(track.id).saturating_sub(1).saturating_mul(2);
    let is_audio = track.kind == TagKind::AUDIO;
    FIRST_OTHER_TRACK
        .saturating_add(pair)
        .saturating_add(is_audio.into())
}

/// Appends the `moov` box of a fragmented file.
pub(super) fn put_initial<'a>(
    out: &mut Vec<u8>,
    tracks: impl Iterator<Item = &'a MovieTrack> + Clone,
    description: &'a Description,
) {
    put(out, b"moov", |out| {
        put_movie_header(out, tracks.clone(), description, 0);
        for track in tracks.clone() {
            let presentation = track.presentation(tracks.clone(), description);
            out.extend(track.initial(description.created, &presentation));
        }
        put(out, b"mvex", |out| {
            for track in tracks {
                put_full(out, b"trex", 0, 0, |out| {
                    out.extend(track.id.to_be_bytes());
                    out.extend([0, 0, 0, 1]); // default_sample_description_index
                    out.extend([0; 12]);
                });
            }
        });
        put_metadata(out, description);
    });
}

/// Returns the pieces of the `moov` box of a finished file, without the tracks that have no samples.
pub(super) fn final_pieces<'a>(
    tracks: impl Iterator<Item = &'a MovieTrack> + Clone,
    description: &'a Description,
) -> Vec<MoviePiece> {
    let mut pieces = vec![MoviePiece::Bytes(Vec::new())];
    let tracks = tracks.filter(|track| track.has_samples());
    let lengths = tracks.clone().map(|track| {
        let presentation = track.presentation(tracks.clone(), description);
        track.put_final(&mut pieces, description.created, &presentation)
    });
    let length = lengths.fold(0, u32::saturating_add);
    let duration_ms = tracks.clone().map(MovieTrack::end_ms).max().unwrap_or(0);
    let mut metadata = Vec::new();
    put_metadata(&mut metadata, description);
    let length = length.saturating_add(u32::try_from(metadata.len()).unwrap_or(0));
    if let Some(MoviePiece::Bytes(head)) = pieces.first_mut() {
        put_open(head, b"moov", length, |out| {
            put_movie_header(out, tracks, description, duration_ms);
        });
    }
    pieces.push(MoviePiece::Bytes(metadata));
    pieces
}

/// Returns the length of the `moov` box of a finished file in bytes.
pub(super) fn final_length<'a>(
    tracks: impl Iterator<Item = &'a MovieTrack> + Clone,
    description: &'a Description,
) -> u64 {
    let pieces = final_pieces(tracks, description);
    let length = pieces.first().and_then(|piece| match piece {
        MoviePiece::Bytes(bytes) => bytes.first_chunk().copied(),
        MoviePiece::Entries(_) => None,
    });
    length.map_or(0, |length| u32::from_be_bytes(length).into())
}

/// Appends a box that continues for `rest` bytes after those that `write` appends.
fn put_open(out: &mut Vec<u8>, kind: &[u8; 4], rest: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out, kind, write);
    if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *field = u32::from_be_bytes(*field)
            .saturating_add(rest)
            .to_be_bytes();
    }
}

/// Appends an edit list (ISO 14496-12 8.6.6) of edits: duration in milliseconds, and start on the track in
/// ticks, or -1 for a delay.
fn put_edits(out: &mut Vec<u8>, edits: &[(u64, i64)]) {
    put(out, b"edts", |out| {
        put_full(out, b"elst", 1, 0, |out| {
            out.extend(u32::try_from(edits.len()).unwrap_or(0).to_be_bytes());
            for (duration_ms, start) in edits {
                out.extend(duration_ms.to_be_bytes());
                out.extend(start.to_be_bytes());
                out.extend([0, 1, 0, 0]); // rate 1.0
            }
        });
    });
}

fn signed(ticks: u64) -> i64 {
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// Appends the movie header (ISO 14496-12 8.2.2).
fn put_movie_header<'a>(
    out: &mut Vec<u8>,
    tracks: impl Iterator<Item = &'a MovieTrack>,
    description: &Description,
    duration_ms: u64,
) {
    put_full(out, b"mvhd", 1, 0, |out| {
        let created = mac_time(description.created);
        out.extend(created.to_be_bytes());
        out.extend(created.to_be_bytes());
        out.extend(MILLISECONDS.to_be_bytes());
        out.extend(duration_ms.to_be_bytes());
        out.extend([0, 1, 0, 0]); // rate 1.0
        out.extend([1, 0]); // volume 1.0
        out.extend([0; 10]);
        put_matrix(out);
        out.extend([0; 24]);
        let largest = tracks.map(|track| track.id).max().unwrap_or(0);
        out.extend(largest.saturating_add(1).to_be_bytes()); // next_track_ID
    });
}

/// Appends the metadata that players show: title and program (QuickTime File Format, "Metadata").
fn put_metadata(out: &mut Vec<u8>, description: &Description) {
    put(out, b"udta", |out| {
        put_full(out, b"meta", 0, 0, |out| {
            put_handler(out, b"mdir", *b"appl", b"\0");
            put(out, b"ilst", |out| {
                if let Some(title) = &description.title {
                    put_text(out, b"\xA9nam", title);
                }
                put_text(out, b"\xA9too", PROGRAM);
            });
        });
    });
}

fn put_text(out: &mut Vec<u8>, kind: &[u8; 4], text: &str) {
    put(out, kind, |out| {
        put(out, b"data", |out| {
            out.extend([0, 0, 0, 1, 0, 0, 0, 0]); // UTF-8, no locale
            out.extend_from_slice(text.as_bytes());
        });
    });
}

/// Appends a handler (ISO 14496-12 8.4.3).
fn put_handler(out: &mut Vec<u8>, kind: &[u8; 4], manufacturer: [u8; 4], name: &[u8]) {
    put_full(out, b"hdlr", 0, 0, |out| {
        out.extend([0; 4]);
        out.extend(kind);
        out.extend(manufacturer);
        out.extend([0; 8]);
        out.extend_from_slice(name);
    });
}

/// Appends the identity matrix.
fn put_matrix(out: &mut Vec<u8>) {
    let one = 0x1_0000_u32;
    for value in [one, 0, 0, 0, one, 0, 0, 0, 0x4000_0000] {
        out.extend(value.to_be_bytes());
    }
}

/// Converts seconds since 1970 to seconds since 1904.
fn mac_time(seconds: u64) -> u64 {
    seconds.saturating_add(YEARS_1904_TO_1970)
}

/// Seconds from 1904, where the times of a movie start, to 1970.
pub(super) const YEARS_1904_TO_1970: u64 = 2_082_844_800;

/// The tables in the order of the file.
const KINDS: [Kind; 6] = [
    Kind::Durations,
    Kind::SyncSamples,
    Kind::Offsets,
    Kind::Chunks,
    Kind::Sizes,
    Kind::ChunkOffsets,
];

/// Largest composition offset of a frame that may extend the movie. A larger one is an error of the stream, which
/// must not become the duration of the file.
const MAX_REORDERING_S: i64 = 10;

/// Largest delay of video that the composition offsets include, in seconds.
const MAX_OFFSET_S: u32 = 1;

/// Flags of `tkhd`.
const ENABLED_IN_MOVIE: u32 = 3;
const IN_MOVIE: u32 = 2;

/// Id of video track 1. Audio track 1 has the next id, then follow video track 2 and so on.
const FIRST_OTHER_TRACK: u32 = 3;

/// Code of an undetermined language (ISO 639-2).
const UNDETERMINED: &[u8; 3] = b"und";

/// Program and version. The reader recognizes files of this writer by the first word.
const PROGRAM: &str = concat!("rtmpull ", env!("CARGO_PKG_VERSION"));
