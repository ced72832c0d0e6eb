//! Restores the writer of an MP4 file from the start of the file.
//!
//! ```text
//! ┌──────┬──────┬──────┬──────┬──────┬─
//! │ ftyp │ free │ moov │ moof │ mdat │ …  the file ends after the last fragment, or within a later one
//! ├──────┼──────┴──────┴──────┴──────┼──────┐
//! │ ftyp │ mdat                      │ moov │ finished: the header of this mdat replaces that of the free box
//! └──────┴───────────────────────────┴──────┘
//! ```
//!
//! The bytes are not trusted: a file is only accepted as far as it has the form that the writer gives it.

use thiserror::Error;

use super::{
    Layout,
    boxes::{BoxHeader, SHORT_HEADER},
    file_type::{RESERVED, finished_file_type, fragmented_file_type},
    movie::{Description, MovieTrack, YEARS_1904_TO_1970},
    sample_entry::SampleEntry,
    writer::{Options, Writer},
};
use crate::core::wire::{Missing, Reader};

/// Result of [`read_start`].
#[derive(Debug)]
pub enum ReadStart {
    /// The start of a file that the writer wrote.
    Own(Box<Start>),
    /// At least this number of bytes is needed, about 1 MiB at most.
    Needs(u64),
    /// The file cannot be continued.
    Foreign(Foreign),
}

/// Start of a file that the writer wrote.
#[derive(Debug)]
pub struct Start {
    /// Writer of the file, without any fragment.
    pub writer: Writer,
    /// End of all fragments, if the header at the start covers them.
    pub sealed_end: Option<u64>,
    /// Whether the last write to the header was interrupted.
    pub is_torn: bool,
}

/// Why a file was not written by [`Writer`], or cannot be continued by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Foreign {
    /// Another program wrote the file.
    #[error("another program wrote this MP4 file")]
    Program,
    /// The tables are at the start of the file.
    #[error("the tables of this MP4 file are at its start (--faststart), so it is complete")]
    Faststart,
    /// The setup of the tracks is damaged.
    #[error("the setup of the tracks in this MP4 file is damaged")]
    Setup,
    /// Several tracks have the same kind.
    #[error(
        "this MP4 file has several video or audio tracks, and rtmpull only continues files with one of each"
    )]
    Tracks,
}

/// Returns whether a file starts like a file of the MP4 family (ISO 14496-12 4.2), whichever program wrote it.
pub fn is_movie(start: &[u8]) -> bool {
    let kind = start.get(4..8).and_then(<[u8]>::first_chunk);
    kind.is_some_and(|kind: &[u8; 4]| FIRST_BOXES.contains(&kind))
}

/// Reads the start of a file, and restores its writer. `fragment_ms` is the length of further fragments.
pub fn read_start(bytes: &[u8], fragment_ms: u64) -> ReadStart {
    let Some((file_type, rest)) = bytes.split_first_chunk::<FILE_TYPE>() else {
        return match fragmented_file_type().starts_with(bytes) {
            true => ReadStart::Needs(HEAD),
            false => ReadStart::Foreign(Foreign::Program),
        };
    };
    if !is_file_type(file_type) {
        return ReadStart::Foreign(Foreign::Program);
    }
    let Some(reserved) = rest.first_chunk::<16>() else {
        return ReadStart::Needs(HEAD);
    };
    let (layout, sealed_end) = match read_reserved(reserved) {
        Some(Reserved::Free) => (Layout::Seekable, None),
        Some(Reserved::Data(length)) => {
            let end = length.saturating_add(FILE_TYPE as u64);
            (Layout::Seekable, Some(end))
        }
        None => (Layout::Plain, None),
    };
    let movie = match (layout, rest.get(reserved.len()..).unwrap_or_default()) {
        (Layout::Plain, _) => rest,
        (Layout::Seekable, copy) if copy.len() < FILE_TYPE => return ReadStart::Needs(HEAD),
        (Layout::Seekable, copy) => match copy.strip_prefix(&fragmented_file_type()[..]) {
            Some(movie) => movie,
            None => return ReadStart::Foreign(Foreign::Setup),
        },
    };
    let skipped = bytes.len().saturating_sub(movie.len()) as u64;
    let Ok(header) = BoxHeader::read(&mut Reader::new(movie)) else {
        return ReadStart::Needs(skipped.saturating_add(SHORT_HEADER));
    };
    if header.kind != *b"moov" && layout == Layout::Plain {
        return ReadStart::Foreign(Foreign::Program);
    }
    if header.kind != *b"moov" || !(SHORT_HEADER..=MAX_MOVIE).contains(&header.length) {
        return ReadStart::Foreign(Foreign::Setup);
    }
    let end = skipped.saturating_add(header.length);
    if (bytes.len() as u64) < end {
        return ReadStart::Needs(end);
    }
    let (movies, description) = match read_movie(movie) {
        Ok(read) => read,
        Err(foreign) => return ReadStart::Foreign(foreign),
    };
    let options = Options {
        layout,
        fragment_ms,
        leaves_out_late_tracks: false,
        description,
    };
    ReadStart::Own(Box::new(Start {
        writer: Writer::reopen(options, movies, end),
        is_torn: sealed_end.is_some() && !is_sealed(bytes),
        sealed_end,
    }))
}

/// Kind of the reserved header.
enum Reserved {
    Free,
    /// Length of the box that covers the fragments.
    Data(u64),
}

/// Whether the file type is that of a fragmented or a finished file, or the write that replaces one by the other
/// was interrupted.
fn is_file_type(found: &[u8; FILE_TYPE]) -> bool {
    let fragmented = fragmented_file_type();
    [false, true].into_iter().any(|is_avc| {
        let finished = finished_file_type(is_avc);
        let mut bytes = found.iter().zip(fragmented.iter().zip(&finished));
        bytes.all(|(found, (fragmented, finished))| found == fragmented || found == finished)
    })
}

/// Whether the file starts like a finished one.
fn is_sealed(bytes: &[u8]) -> bool {
    [false, true].into_iter().any(|is_avc| {
        let rest = bytes.strip_prefix(&finished_file_type(is_avc)[..]);
        rest.and_then(|rest| rest.get(4..8)) == Some(b"mdat")
    })
}

/// Reads the reserved header. A write may have stopped within its type.
fn read_reserved(bytes: &[u8; 16]) -> Option<Reserved> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, long) = rest.split_first_chunk::<4>()?;
    let (_, free) = RESERVED.split_first_chunk::<4>()?;
    let mut kinds = kind.iter().zip(free.iter().zip(b"mdat"));
    if !kinds.all(|(kind, (free, data))| kind == free || kind == data) {
        return None;
    }
    match u32::from_be_bytes(*length) {
        RESERVED_LENGTH => Some(Reserved::Free),
        1 => Some(Reserved::Data(u64::from_be_bytes(*long.first_chunk()?))),
        _ => None,
    }
}

/// Reads the `moov` box of a fragmented file.
fn read_movie(bytes: &[u8]) -> Result<(Vec<MovieTrack>, Description), Foreign> {
    let setup = |Missing(_)| Foreign::Setup;
    let (_, body) = BoxHeader::read_complete(&mut Reader::new(bytes)).map_err(setup)?;
    // Only fragmented files have this box.
    let is_fragmented = child(body, b"mvex").is_some();
    let list = [b"udta", b"meta"];
    let description = list.iter().try_fold(body, |body, kind| child(body, kind));
    let items = description.and_then(|meta| child(meta.get(4..)?, b"ilst"));
    let text = |kind| items.and_then(|items| child(child(items, kind)?, b"data")?.get(8..));
    let is_own = text(b"\xA9too").is_some_and(|program| program.starts_with(PROGRAM));
    match (is_own, is_fragmented) {
        (false, _) => return Err(Foreign::Program),
        (true, false) => return Err(Foreign::Faststart),
        (true, true) => {}
    }
    let title = text(b"\xA9nam").map(|title| String::from_utf8_lossy(title).into_owned());
    let created = child(body, b"mvhd").and_then(|body| {
        let mut fields = full(body, 1)?;
        fields.array("creation time").map(u64::from_be_bytes).ok()
    });
    let description = Description {
        created: created.unwrap_or(0).saturating_sub(YEARS_1904_TO_1970),
        title,
        ..Description::default()
    };
    let mut movies: Vec<MovieTrack> = Vec::new();
    let mut boxes = Reader::new(body);
    while !boxes.is_empty() {
        let (kind, body) = BoxHeader::read_complete(&mut boxes).map_err(setup)?;
        if kind != *b"trak" {
            continue;
        }
        let movie = read_track(body).ok_or(Foreign::Setup)?;
        if movies.iter().any(|other| other.id == movie.id) {
            return Err(Foreign::Setup);
        }
        movies.push(movie);
    }
    match movies.is_empty() {
        true => Err(Foreign::Setup),
        false => Ok((movies, description)),
    }
}

/// Reads the body of a `trak` box. Returns `None` if it does not have the form that the writer gives it.
fn read_track(body: &[u8]) -> Option<MovieTrack> {
    let mut header = full(child(body, b"tkhd")?, 1)?;
    header.take(16, "times").ok()?;
    let id = header.u32("track id").ok().filter(|id| *id > 0)?;
    let media = child(body, b"mdia")?;
    let mut fields = full(child(media, b"mdhd")?, 1)?;
    fields.take(16, "times").ok()?;
    let timescale = fields.u32("timescale").ok().filter(|scale| *scale > 0)?;
    let tables = child(child(media, b"minf")?, b"stbl")?;
    let mut entries = full(child(tables, b"stsd")?, 0)?;
    if entries.u32("number of entries").ok()? != 1 {
        return None;
    }
    let (kind, entry) = BoxHeader::read_complete(&mut entries).ok()?;
    let mut movie = MovieTrack::new(id, SampleEntry::read(kind, entry, timescale)?);
    if let Some(edits) = child(body, b"edts") {
        let mut fields = full(child(edits, b"elst")?, 1)?;
        if fields.u32("number of edits").ok()? != 1 {
            return None;
        }
        fields.take(8, "duration").ok()?;
        let start = fields.array("start").map(i64::from_be_bytes).ok()?;
        movie.media_start = u64::try_from(start).ok()?;
    }
    Some(movie)
}

/// Returns the body of the first box of a kind.
fn child<'a>(body: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let mut boxes = Reader::new(body);
    loop {
        let (found, body) = BoxHeader::read_complete(&mut boxes).ok()?;
        if found == *kind {
            return Some(body);
        }
    }
}

/// Returns the fields after version and flags, if the version is the expected one.
fn full(body: &[u8], version: u8) -> Option<Reader<'_>> {
    let mut fields = Reader::new(body);
    let [found, ..] = fields.array::<4>("version and flags").ok()?;
    (found == version).then_some(fields)
}

/// Length of the file type box.
const FILE_TYPE: usize = 32;

/// Length of file type, reserved header, copy of the file type, and the header of the `moov` box.
const HEAD: u64 = 88;

/// Length in the reserved header of a fragmented file.
const RESERVED_LENGTH: u32 = 48;

/// Largest length of a `moov` box that is read. The setup of two tracks has about 1,500 bytes, plus the title.
const MAX_MOVIE: u64 = 1 << 20;

/// First word of the program name in the metadata.
const PROGRAM: &[u8] = b"rtmpull ";

/// Boxes that a file of the MP4 family may start with.
const FIRST_BOXES: [&[u8; 4]; 12] = [
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"free", b"skip", b"wide", b"pnot",
    b"uuid", b"emsg",
];

#[cfg(test)]
mod tests;
