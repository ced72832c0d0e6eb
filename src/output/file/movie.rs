//! The steps that finish an MP4 file.
//!
//! 1. The `moov` box is appended, and the length of the fragments is written into the reserved header. Players
//!    still see the fragments.
//! 2. The file is synced.
//! 3. One write at the start of the file makes players use the `moov` box.
//!
//! After a kill or a power failure between or within any of them, the file is either fragmented or finished.

use std::io::{self, SeekFrom};

use super::{Ending, MediaFile, Storage, existing_movie::read_runs};
use crate::{core::mp4::movie::MoviePiece, output::muxer::Muxer};

impl<S: Storage> MediaFile<S> {
    /// Writes the end of the file after its last unit. An FLV file gets an updated head.
    pub(in crate::output) fn complete(&mut self) -> io::Result<()> {
        let Muxer::Mp4(writer) = &self.muxer else {
            return self.update_head();
        };
        if !matches!(self.ending, Ending::Growing) || !self.has_head {
            return Ok(());
        }
        let Some(first) = writer.first_fragment() else {
            return Ok(());
        };
        match self.append_movie(first) {
            Ok(bytes) => {
                self.totals.bytes = self.totals.bytes.saturating_add(bytes);
                self.ending = Ending::Complete;
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.truncate() {
                    tracing::warn!("cannot remove the incomplete tables of the MP4 file: {error}");
                }
                let why = format!("{error} (the file stays fragmented, which most players accept)");
                Err(io::Error::new(error.kind(), why))
            }
        }
    }

    /// Syncs a completed MP4 file and makes it a plain one. Blocks until the disk has the data.
    pub(in crate::output) fn seal(&mut self) -> io::Result<()> {
        if !matches!(self.ending, Ending::Complete) {
            return Ok(());
        }
        self.ending = Ending::Sealed;
        let sync = self.storage.syncer()?;
        self.seal_after(sync())
    }

    /// Writes the header that makes the file a plain one, unless the sync failed.
    fn seal_after(&mut self, synced: io::Result<()>) -> io::Result<()> {
        match synced {
            Err(error) if is_unsupported(&error) => {
                tracing::debug!("the file system cannot sync the recording: {error}");
            }
            other => other?,
        }
        let Muxer::Mp4(writer) = &self.muxer else {
            return Ok(());
        };
        let patch = writer.seal();
        self.storage.seek(SeekFrom::Start(patch.offset))?;
        self.storage.write_all(&patch.bytes)?;
        if let Some(syncer) = &mut self.syncer {
            syncer.mark_dirty();
        }
        Ok(())
    }

    /// Appends the `moov` box after the fragments, of which the first one is at `first`. Returns its length.
    ///
    /// The tables are computed from the fragments in the file, one table after another: a long recording has
    /// too many samples to keep them in memory.
    fn append_movie(&mut self, first: u64) -> io::Result<u64> {
        let Muxer::Mp4(writer) = &self.muxer else {
            return Ok(0);
        };
        let end = writer.length();
        let mut out = Appender {
            storage: &mut self.storage,
            bytes: Vec::with_capacity(2 * WRITE_BYTES),
            end,
        };
        let mut window = Vec::new();
        for part in writer.final_movie() {
            match part {
                MoviePiece::Bytes(bytes) => out.bytes.extend(bytes),
                MoviePiece::Entries(mut entries) => {
                    let mut fragment = first;
                    while fragment < end {
                        let read = read_runs(out.storage, fragment, end, &mut window)?;
                        let (runs, length) = read.ok_or_else(|| changed_at(fragment))?;
                        entries.add(&runs, fragment, &mut out.bytes);
                        out.flush(WRITE_BYTES)?;
                        fragment = fragment.saturating_add(length);
                    }
                    entries.finish(&mut out.bytes);
                }
            }
        }
        out.flush(1)?;
        let length = out.end.saturating_sub(end);
        let patch = writer.sealed_length();
        self.storage.seek(SeekFrom::Start(patch.offset))?;
        self.storage.write_all(&patch.bytes)?;
        Ok(length)
    }
}

/// Appends bytes to a file while its fragments are read.
struct Appender<'a, S> {
    storage: &'a mut S,
    /// Table bytes that are not written yet.
    bytes: Vec<u8>,
    /// Offset at which the next bytes are written.
    end: u64,
}

impl<S: Storage> Appender<'_, S> {
    /// Writes the bytes if there are at least `least`.
    fn flush(&mut self, least: usize) -> io::Result<()> {
        if self.bytes.len() >= least {
            self.storage.seek(SeekFrom::Start(self.end))?;
            self.storage.write_all(&self.bytes)?;
            self.end = self.end.saturating_add(self.bytes.len() as u64);
            self.bytes.clear();
        }
        Ok(())
    }
}

fn changed_at(offset: u64) -> io::Error {
    let why = format!("another program has changed the file at byte {offset}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// Number of collected table bytes at which they are written to the file.
const WRITE_BYTES: usize = 64 * 1024;
