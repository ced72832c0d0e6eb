//! MP4 files of an earlier run: how far they are intact, and how they are reopened.
//!
//! The fragments of a file are read in order, from the setup of the tracks at its start on. The rest is one of:
//!
//! - the tables of a finished file, complete or torn by a kill,
//! - a torn fragment,
//! - damage in the middle of the file, if an intact fragment follows.

use std::io::{self, Read, Seek, SeekFrom};

use super::{Ending, MediaFile, Storage, movie::is_unsupported};
use crate::{
    core::{
        flv::head_writer::Patch,
        mp4::{
            self,
            fragment::{ReadFragment, Run, read_fragment},
            reader::{Foreign, ReadStart, Start, read_start},
            writer::ExistingSample,
        },
    },
    output::{
        Totals,
        muxer::{FRAGMENT_MS, Muxer},
    },
};

/// Result of [`read_movie`].
#[derive(Debug)]
pub(crate) enum ReadMovie {
    /// The file has intact fragments.
    Movie(Box<ExistingMovie>),
    /// The recording was killed before the first fragment of the file was complete.
    NoMedia,
    /// Another program wrote the file, or its setup is damaged.
    Foreign(Foreign),
    /// An intact fragment follows after the damage at this offset.
    Damaged(u64),
    /// The caller interrupted the reading.
    Interrupted,
}

/// An MP4 file of an earlier run.
#[derive(Debug)]
pub(crate) struct ExistingMovie {
    /// Its statistics describe the intact fragments.
    writer: mp4::Writer,
    frames: u64,
    /// Whether the header at the start covers the fragments.
    is_sealed: bool,
    /// Whether the file ends with its tables, and players use them.
    is_finished: bool,
    /// Headers that must replace damaged fragments before intact ones.
    skipped: Vec<Patch>,
    /// Number of bytes that they replace.
    damaged_bytes: u64,
    /// Number of bytes after the last intact fragment that are not tables.
    torn_bytes: u64,
    /// Length of the file.
    length: u64,
}

impl ExistingMovie {
    /// Whether there is nothing to repair: the file is finished, or stays fragmented and is not torn.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_finished || !self.writer.has_tables() && self.writer.length() == self.length
    }

    /// Number of frames in the intact fragments.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Duration of the intact fragments in milliseconds.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.writer.duration_ms()
    }

    /// Number of bytes at the end that belong to no complete fragment.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Number of damaged bytes before intact fragments.
    pub(crate) fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// End of the last intact fragment.
    pub(crate) fn end(&self) -> u64 {
        self.writer.length()
    }

    /// Whether the file has a video track.
    pub(crate) fn has_video(&self) -> bool {
        self.writer.has_video()
    }

    /// Bytes and frames of the file.
    pub(in crate::output) fn totals(&self) -> Totals {
        Totals {
            bytes: match self.is_finished {
                true => self.length,
                false => self.writer.length(),
            },
            tags: self.frames,
        }
    }

    pub(in crate::output) fn writer(&self) -> &mp4::Writer {
        &self.writer
    }
}

impl<S: Storage> MediaFile<S> {
    /// Reopens an MP4 file after its last intact fragment.
    ///
    /// A finished file becomes fragmented first, on the disk, and then loses its tables: at every instant, either
    /// the tables or the fragments are visible to players.
    pub(in crate::output) fn reopen(
        mut storage: S,
        movie: ExistingMovie,
        now: std::time::Instant,
    ) -> io::Result<Self> {
        let unseal = Some(mp4::Writer::unseal()).filter(|_| movie.is_sealed);
        let patches = movie.skipped.into_iter().chain(unseal);
        let mut has_changed = false;
        for patch in patches {
            has_changed = true;
            storage.seek(SeekFrom::Start(patch.offset))?;
            storage.write_all(&patch.bytes)?;
        }
        if has_changed {
            match storage.syncer()?() {
                Err(error) if is_unsupported(&error) => {}
                synced => synced?,
            }
        }
        let mut file = Self {
            totals: Totals {
                bytes: movie.writer.length(),
                tags: movie.frames,
            },
            storage,
            muxer: Muxer::Mp4(Box::new(movie.writer)),
            head_updated_at: now,
            syncer: None,
            unsynced_patches: Vec::new(),
            has_head: true,
            ending: Ending::default(),
        };
        file.truncate()?;
        Ok(file)
    }
}

/// Cuts off a torn fragment, and adds the tables that make the file a plain one. Blocks until the file is synced.
pub(crate) fn finish_movie(file: std::fs::File, movie: ExistingMovie) -> io::Result<()> {
    let mut file = MediaFile::reopen(file, movie, std::time::Instant::now())?;
    file.complete()?;
    file.seal()?;
    match file.storage.sync_all() {
        Err(error) if is_unsupported(&error) => Ok(()),
        synced => synced,
    }
}

/// Why a file is read.
pub(crate) enum Purpose<'a> {
    /// To continue it. The visitor receives all samples in order, and their bytes.
    Continue(&'a mut dyn FnMut(ExistingSample, &[u8])),
    /// To finish it. Intact fragments after damaged ones are kept.
    Repair,
}

/// Reads an MP4 file of `length` bytes. Changes nothing.
///
/// `progress` is called with the number of bytes read. If it returns false, the reading ends.
pub(crate) fn read_movie(
    file: &mut (impl Read + Seek),
    length: u64,
    mut purpose: Purpose<'_>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> io::Result<ReadMovie> {
    let Start {
        mut writer,
        sealed_end,
        is_torn,
    } = match read_start_of(file, length)? {
        Some(Ok(start)) => *start,
        Some(Err(foreign)) => return Ok(ReadMovie::Foreign(foreign)),
        None => return Ok(ReadMovie::NoMedia),
    };
    if writer.has_other_tracks() && matches!(purpose, Purpose::Continue(_)) {
        return Ok(ReadMovie::Foreign(Foreign::Tracks));
    }
    let end = sealed_end.map_or(length, |end| end.min(length));
    let (mut window, mut data) = (Vec::new(), Vec::new());
    let (mut frames, mut skipped, mut damaged_bytes) = (0_usize, Vec::new(), 0_u64);
    let mut tries = MAX_TRIES;
    while writer.length() < end {
        let offset = writer.length();
        let read = read_runs(file, offset, end, &mut window)?;
        let read = read.filter(|(runs, bytes)| writer.add_existing(runs, *bytes));
        let Some((runs, bytes)) = read else {
            let next = fragment_after_damage(file, offset, length, &mut tries)?;
            match (next, &purpose) {
                (None, _) => break,
                (Some(next), Purpose::Repair) if tries > 0 => {
                    let bytes = next.saturating_sub(offset);
                    damaged_bytes = bytes.saturating_add(damaged_bytes);
                    skipped.push(writer.skip_existing(bytes));
                    continue;
                }
                (Some(_), _) => return Ok(ReadMovie::Damaged(offset)),
            }
        };
        let samples = writer.existing_samples(&runs);
        frames = samples.len().saturating_add(frames);
        if let Purpose::Continue(visit) = &mut purpose {
            data.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut data)?;
            for sample in samples {
                visit(sample, sample.of(&data));
            }
        }
        if !progress(writer.length()) {
            return Ok(ReadMovie::Interrupted);
        }
    }
    if frames == 0 {
        return Ok(ReadMovie::NoMedia);
    }
    let intact_end = writer.length();
    let tables = tables_at(file, intact_end, length)?;
    Ok(ReadMovie::Movie(Box::new(ExistingMovie {
        writer,
        frames: frames as u64,
        is_sealed: sealed_end.is_some(),
        is_finished: sealed_end == Some(intact_end)
            && tables == Some(true)
            && skipped.is_empty()
            && !is_torn,
        skipped,
        damaged_bytes,
        torn_bytes: match tables {
            Some(_) => 0,
            None => length.saturating_sub(intact_end),
        },
        length,
    })))
}

/// Reads the start of a file; `None` if it is cut off.
fn read_start_of(
    file: &mut (impl Read + Seek),
    length: u64,
) -> io::Result<Option<Result<Box<Start>, Foreign>>> {
    let (mut needed, mut bytes) = (START_BYTES, Vec::new());
    loop {
        let available = needed.min(length);
        bytes.resize(usize::try_from(available).map_err(io::Error::other)?, 0);
        file.rewind()?;
        file.read_exact(&mut bytes)?;
        match read_start(&bytes, FRAGMENT_MS) {
            ReadStart::Own(start) => return Ok(Some(Ok(start))),
            ReadStart::Foreign(foreign) => return Ok(Some(Err(foreign))),
            ReadStart::Needs(more) if more > available && more <= length => needed = more,
            ReadStart::Needs(_) => return Ok(None),
        }
    }
}

/// Reads the runs of the fragment at `offset`, and its length. Returns `None` if it is not intact, or not complete
/// before `end`.
pub(super) fn read_runs(
    file: &mut (impl Read + Seek),
    offset: u64,
    end: u64,
    window: &mut Vec<u8>,
) -> io::Result<Option<(Vec<Run>, u64)>> {
    let rest = end.saturating_sub(offset);
    let mut needed = READ_BYTES;
    loop {
        let available = rest.min(needed);
        window.resize(usize::try_from(available).map_err(io::Error::other)?, 0);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(window)?;
        match read_fragment(window) {
            ReadFragment::Complete(runs, length) if length <= rest => {
                return Ok(Some((runs, length)));
            }
            ReadFragment::Needs(more) if more > available && more <= rest => needed = more,
            _ => return Ok(None),
        }
    }
}

/// Whether the tables at `offset` extend exactly to the end of the file; `None` if no tables start there.
fn tables_at(file: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Option<bool>> {
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(BOX_HEADER).read_to_end(&mut header)?;
    let Some((bytes, b"moov")) = header.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let end = offset.saturating_add(u32::from_be_bytes(*bytes).into());
    Ok(Some(end == length))
}

/// Returns the offset of an intact fragment after damage at `damage`; `None` if the rest of the file is its tables or
/// a torn fragment.
fn fragment_after_damage(
    file: &mut (impl Read + Seek),
    damage: u64,
    length: u64,
    tries: &mut usize,
) -> io::Result<Option<u64>> {
    match tables_at(file, damage, length)? {
        Some(_) => Ok(None),
        None => next_fragment(file, damage, length, tries),
    }
}

/// Returns the offset of the next intact fragment after `damage`. After `tries` damaged ones, returns the next one in
/// any state: such a file must not be cut.
fn next_fragment(
    file: &mut (impl Read + Seek),
    damage: u64,
    length: u64,
    tries: &mut usize,
) -> io::Result<Option<u64>> {
    let (mut window, mut bytes) = (Vec::new(), Vec::new());
    // The header of a `free` box must fit before it.
    let first = damage.saturating_add(2 * BOX_HEADER);
    let mut offset = first;
    while offset < length {
        bytes.clear();
        file.seek(SeekFrom::Start(offset))?;
        file.take(SEARCH_BYTES).read_to_end(&mut bytes)?;
        let kinds = bytes.windows(4).enumerate();
        for (at, _) in kinds.filter(|(_, kind)| kind == b"moof") {
            let start = offset.saturating_add(at as u64).saturating_sub(4);
            *tries = tries.saturating_sub(1);
            if start >= first
                && (*tries == 0 || read_runs(file, start, length, &mut window)?.is_some())
            {
                return Ok(Some(start));
            }
        }
        // A type that extends beyond the window is found in the next one.
        let searched = (bytes.len() as u64).saturating_sub(3);
        if searched == 0 {
            break;
        }
        offset = offset.saturating_add(searched);
    }
    Ok(None)
}

/// Number of bytes read first from a file: enough for the setup of most files.
const START_BYTES: u64 = 4096;

/// Number of bytes read first from a fragment: enough for the boxes of most fragments of one second.
const READ_BYTES: u64 = 4096;

/// Length of a box header.
const BOX_HEADER: u64 = 8;

/// Number of bytes searched at once for a fragment.
const SEARCH_BYTES: u64 = 1 << 20;

/// Number of possible fragments after damage that are read in one file. A crafted file may contain millions, and each
/// takes up to 1 MiB of reading. A file with more is not changed.
const MAX_TRIES: usize = 1000;
