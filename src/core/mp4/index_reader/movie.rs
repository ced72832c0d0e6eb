//! The `moov` box (ISO 14496-12 8.2) and its tracks.

use std::ops::Range;

use super::{
    setup::{self, Setup},
    source::{Source, children, read_body},
};
use crate::core::{
    flv::codec::PictureSize,
    wire::{Missing, Reader},
};

/// Contents of a `moov` box.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Movie {
    /// Ticks per second of the movie; 0 if it is unknown.
    pub timescale: u32,
    /// Duration in ticks; 0 if it is unknown, as in fragmented files.
    pub duration: u64,
    /// Whether the movie announces fragments (`mvex`).
    pub has_fragments: bool,
    /// Name of the program that wrote the file.
    pub program: Option<String>,
    /// Tracks in the order of the file, at most [`MAX_TRACKS`].
    pub tracks: Vec<Track>,
    /// Number of tracks that were not read.
    pub omitted_tracks: u32,
}

/// Contents of a `trak` box.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Track {
    /// Id, from 1.
    pub id: u32,
    /// Type of the media, such as `vide` and `soun`.
    pub handler: [u8; 4],
    /// Ticks per second; 0 if it is unknown.
    pub timescale: u32,
    /// Duration in ticks that the header states.
    pub duration: u64,
    /// Language, three letters of ISO 639-2.
    pub language: Option<[u8; 3]>,
    /// Size at which players show the picture.
    pub presentation_size: Option<PictureSize>,
    /// Length of an empty edit before the media, in ticks of the movie.
    pub delay: u64,
    /// Time of the media at which the presentation starts, in ticks of the track.
    pub media_start: u64,
    /// The first setup.
    pub setup: Option<Setup>,
    /// Number of setups.
    pub setups: u32,
    /// Tables of samples.
    pub tables: Tables,
    /// Values of samples in fragments that do not have their own.
    pub defaults: Defaults,
}

/// Tables of a track (ISO 14496-12 8.6 and 8.7). A range contains the complete entries that lie in the box.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// `stts`: durations, entries of 8 bytes.
    pub durations: Option<Table>,
    /// `ctts`: composition offsets, entries of 8 bytes.
    pub offsets: Option<Table>,
    /// `stss`: sync samples, entries of 4 bytes.
    pub sync_samples: Option<Table>,
    /// `stsc`: samples of chunks, entries of 12 bytes.
    pub chunks: Option<Table>,
    /// `stco` or `co64`: offsets of chunks, entries of 4 or 8 bytes.
    pub chunk_offsets: Option<Table>,
    /// Whether the offsets of chunks have 8 bytes.
    pub has_long_offsets: bool,
    /// `stsz`: sizes, entries of 4 bytes.
    pub sizes: Option<Table>,
    /// Size of all samples; 0 if they differ.
    pub constant_size: u32,
    /// Number of samples.
    pub samples: u32,
    /// Whether the sizes have a form that is not read (`stz2`).
    pub has_compact_sizes: bool,
}

/// A table in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Range of the entries in the file.
    pub entries: Range<u64>,
    /// Number of entries that the header states.
    pub stated: u32,
    /// Whether the box is too short for them.
    pub is_cut: bool,
}

/// Values of samples in fragments (ISO 14496-12 8.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Defaults {
    /// Duration in ticks.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Flags.
    pub flags: u32,
}

impl Movie {
    /// Returns the position of the track with this id.
    pub fn position(&self, id: u32) -> Option<usize> {
        self.tracks.iter().position(|track| track.id == id)
    }
}

/// Reads the body of a `moov` box.
pub(super) fn read_movie<S: Source>(source: &mut S, body: &Range<u64>) -> Result<Movie, S::Error> {
    let mut movie = Movie::default();
    let mut defaults = Vec::new();
    for child in children(source, body)? {
        match &child.kind {
            b"mvhd" => {
                let header = read_body(source, &child.body, HEADER)?;
                if let Some((timescale, duration)) = read_times(&header) {
                    (movie.timescale, movie.duration) = (timescale, duration);
                }
            }
            b"mvex" => {
                movie.has_fragments = true;
                for child in children(source, &child.body)? {
                    if child.kind == *b"trex" {
                        let header = read_body(source, &child.body, HEADER)?;
                        defaults.extend(read_defaults(&header));
                    }
                }
            }
            b"trak" if movie.tracks.len() < MAX_TRACKS => {
                movie.tracks.push(read_track(source, &child.body)?);
            }
            b"trak" => movie.omitted_tracks = movie.omitted_tracks.saturating_add(1),
            b"udta" => movie.program = read_program(source, &child.body)?,
            _ => {}
        }
    }
    for (id, values) in defaults {
        if let Some(track) = movie.tracks.iter_mut().find(|track| track.id == id) {
            track.defaults = values;
        }
    }
    Ok(movie)
}

fn read_track<S: Source>(source: &mut S, body: &Range<u64>) -> Result<Track, S::Error> {
    let mut track = Track::default();
    for child in children(source, body)? {
        match &child.kind {
            b"tkhd" => {
                let header = read_body(source, &child.body, HEADER)?;
                if let Some((id, size)) = read_track_header(&header) {
                    (track.id, track.presentation_size) = (id, size);
                }
            }
            b"edts" => {
                for child in children(source, &child.body)? {
                    if child.kind == *b"elst" {
                        let edits = read_body(source, &child.body, EDITS)?;
                        read_edits(&edits, &mut track);
                    }
                }
            }
            b"mdia" => read_media(source, &child.body, &mut track)?,
            _ => {}
        }
    }
    Ok(track)
}

fn read_media<S: Source>(
    source: &mut S,
    body: &Range<u64>,
    track: &mut Track,
) -> Result<(), S::Error> {
    let mut tables = None;
    for child in children(source, body)? {
        match &child.kind {
            b"mdhd" => {
                let header = read_body(source, &child.body, HEADER)?;
                if let Some((timescale, duration)) = read_times(&header) {
                    (track.timescale, track.duration) = (timescale, duration);
                }
                track.language = read_language(&header);
            }
            b"hdlr" => {
                let header = read_body(source, &child.body, HEADER)?;
                let kind = header.get(8..).and_then(<[u8]>::first_chunk);
                track.handler = kind.copied().unwrap_or_default();
            }
            b"minf" => {
                let information = children(source, &child.body)?;
                tables = information.into_iter().find(|child| child.kind == *b"stbl");
            }
            _ => {}
        }
    }
    match tables {
        Some(tables) => read_tables(source, &tables.body, track),
        None => Ok(()),
    }
}

fn read_tables<S: Source>(
    source: &mut S,
    body: &Range<u64>,
    track: &mut Track,
) -> Result<(), S::Error> {
    for child in children(source, body)? {
        let start = read_body(source, &child.body, TABLE_HEADER)?;
        let tables = &mut track.tables;
        match &child.kind {
            b"stsd" => {
                let entries = read_body(source, &child.body, SETUPS)?;
                (track.setups, track.setup) = setup::read_first(&track.handler, &entries);
            }
            b"stts" => tables.durations = Table::read(&start, 4, 8, &child.body),
            b"ctts" => tables.offsets = Table::read(&start, 4, 8, &child.body),
            b"stss" => tables.sync_samples = Table::read(&start, 4, 4, &child.body),
            b"stsc" => tables.chunks = Table::read(&start, 4, 12, &child.body),
            b"stco" => tables.chunk_offsets = Table::read(&start, 4, 4, &child.body),
            b"co64" => {
                tables.has_long_offsets = true;
                tables.chunk_offsets = Table::read(&start, 4, 8, &child.body);
            }
            b"stsz" => {
                let mut fields = Reader::new(start.get(4..).unwrap_or_default());
                tables.constant_size = fields.u32("sample_size").unwrap_or(0);
                tables.samples = fields.u32("sample_count").unwrap_or(0);
                if tables.constant_size == 0 {
                    tables.sizes = Table::read(&start, 8, 4, &child.body);
                }
            }
            b"stz2" => tables.has_compact_sizes = true,
            _ => {}
        }
    }
    Ok(())
}

impl Table {
    /// Reads the number of entries at `at` in the first bytes of a box. The entries follow.
    fn read(start: &[u8], at: usize, entry: u64, body: &Range<u64>) -> Option<Self> {
        let stated = u32::from_be_bytes(*start.get(at..)?.first_chunk()?);
        let first = body.start.saturating_add(at as u64).saturating_add(4);
        let room = body.end.saturating_sub(first).checked_div(entry)?;
        let entries = room.min(stated.into()).saturating_mul(entry);
        Some(Self {
            entries: first..first.saturating_add(entries),
            stated,
            is_cut: room < stated.into(),
        })
    }
}

/// Returns timescale and duration of `mvhd` or `mdhd` (ISO 14496-12 8.2.2 and 8.4.2). A duration of all ones is
/// unknown.
fn read_times(header: &[u8]) -> Option<(u32, u64)> {
    let mut fields = Reader::new(header);
    let read = |fields: &mut Reader<'_>| -> Result<(u32, u64), Missing> {
        let is_long = fields.u32("version and flags")? >> 24 == 1;
        fields.take(
            if is_long { 16 } else { 8 },
            "creation and modification time",
        )?;
        let timescale = fields.u32("timescale")?;
        let duration = match is_long {
            true => fields.array("duration").map(u64::from_be_bytes)?,
            false => match fields.u32("duration")? {
                u32::MAX => u64::MAX,
                duration => duration.into(),
            },
        };
        Ok((timescale, if duration == u64::MAX { 0 } else { duration }))
    };
    read(&mut fields).ok()
}

/// Returns the language of `mdhd`: three letters of five bits (ISO 14496-12 8.4.2).
fn read_language(header: &[u8]) -> Option<[u8; 3]> {
    let at = if header.first()? == &1 { 32 } else { 20 };
    let bits = u16::from_be_bytes(*header.get(at..)?.first_chunk()?);
    let letters = [bits >> 10, bits >> 5, bits].map(|bits| (bits & 0x1F) as u8 | 0x60);
    let is_known = letters != *b"und" && letters.iter().all(u8::is_ascii_lowercase);
    is_known.then_some(letters)
}

/// Returns id and presentation size of `tkhd` (ISO 14496-12 8.3.2).
fn read_track_header(header: &[u8]) -> Option<(u32, Option<PictureSize>)> {
    let is_long = header.first()? == &1;
    let (id_at, size_at) = if is_long { (20, 88) } else { (12, 76) };
    let number = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    let size = number(size_at).zip(number(size_at.saturating_add(4)));
    let size = size.and_then(|(width, height)| PictureSize::new(width >> 16, height >> 16));
    Some((number(id_at)?, size))
}

/// Reads the leading empty edits and the first other one of `elst` (ISO 14496-12 8.6.6).
fn read_edits(edits: &[u8], track: &mut Track) {
    let mut fields = Reader::new(edits);
    let mut read_all = || -> Result<(), Missing> {
        let is_long = fields.u32("version and flags")? >> 24 == 1;
        for _ in 0..fields.u32("number of edits")? {
            let (duration, start) = match is_long {
                true => (
                    fields.array("duration").map(u64::from_be_bytes)?,
                    fields.array("start").map(i64::from_be_bytes)?,
                ),
                false => (
                    fields.u32("duration")?.into(),
                    fields.array("start").map(i32::from_be_bytes)?.into(),
                ),
            };
            fields.u32("rate")?;
            match u64::try_from(start) {
                Ok(start) => {
                    track.media_start = start;
                    return Ok(());
                }
                Err(_) => track.delay = track.delay.saturating_add(duration),
            }
        }
        Ok(())
    };
    // A list that is cut has the edits before the cut.
    let _cut = read_all();
}

/// Returns track id and values of `trex` (ISO 14496-12 8.8.3).
fn read_defaults(header: &[u8]) -> Option<(u32, Defaults)> {
    let mut fields = Reader::new(header);
    let mut read = || -> Result<(u32, Defaults), Missing> {
        fields.u32("version and flags")?;
        let id = fields.u32("track id")?;
        fields.u32("sample description")?;
        let values = Defaults {
            duration: fields.u32("duration")?,
            size: fields.u32("size")?,
            flags: fields.u32("flags")?,
        };
        Ok((id, values))
    };
    read().ok()
}

/// Returns the text of `udta`/`meta`/`ilst`/`©too`/`data`, the usual item for the program.
fn read_program<S: Source>(source: &mut S, body: &Range<u64>) -> Result<Option<String>, S::Error> {
    let mut body = body.clone();
    for kind in [b"meta", b"ilst", b"\xA9too", b"data"] {
        let found = children(source, &body)?;
        let Some(child) = found.into_iter().find(|child| child.kind == *kind) else {
            return Ok(None);
        };
        // `meta` has version and flags, and `data` has its type and a locale, before their content.
        let fields = match kind {
            b"meta" => 4,
            b"data" => 8,
            _ => 0,
        };
        body = child.body.start.saturating_add(fields)..child.body.end;
    }
    let text = read_body(source, &body, PROGRAM)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Largest number of tracks that are read.
pub const MAX_TRACKS: usize = 32;

/// Numbers of bytes that are read of headers and lists.
const HEADER: usize = 128;
const TABLE_HEADER: usize = 12;
const EDITS: usize = 4096;
const SETUPS: usize = 1 << 20;
const PROGRAM: usize = 256;
