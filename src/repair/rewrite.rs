//! Rewrite: copies intact tags to a temporary file, which replaces the output when it is complete.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::{Error, Findings, Method, Repaired, record, source::Source, write_patches};
use crate::{
    core::{
        flv::{FrameParser, HeadWriter, Layout, head, salvage::Piece},
        mp4::reader::{ReadStart, is_movie, read_start},
    },
    output,
};

/// Copies the intact tags of `file` to `output` after a new head.
pub(super) fn write(
    file: File,
    output: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let output = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    let mut source = Source::new(&file).map_err(Error::Read)?;
    let mut temporary = TemporaryFile::create(&output)?;
    let (findings, writer) = copy(&mut source, &temporary, progress)?;
    let repaired = findings.finish(Method::Rewritten, &writer)?;
    // A program that does not lock the file may have appended bytes, which the rename would hide.
    if source.has_grown().map_err(Error::Read)? {
        return Err(Error::Grew);
    }
    temporary.write(|file| write_patches(file, &writer))?;
    temporary.finish(file)?;
    Ok(repaired)
}

/// Copies all tags except `onMetaData`, whose fields are written into the head.
fn copy(
    source: &mut Source<'_>,
    temporary: &TemporaryFile<'_>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(Findings, HeadWriter), Error> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, &temporary.file);
    let mut writer = HeadWriter::new(Layout::Seekable);
    let mut findings = Findings::default();
    let mut parser = FrameParser::new();
    let cannot_write = |error| temporary.cannot_write(error);
    out.write_all(&writer.head()).map_err(cannot_write)?;
    while let Some(piece) = source.next(progress)? {
        let (tag, bytes, is_size_wrong) = match piece {
            Piece::Garbage(bytes) => {
                findings.garbage(bytes);
                continue;
            }
            Piece::Tag {
                tag,
                bytes,
                is_size_wrong,
            } => (tag, bytes, is_size_wrong),
        };
        findings.tag(&tag, is_size_wrong);
        if let Some((fields, _)) = tag.metadata() {
            writer.set_metadata(&fields);
            continue;
        }
        let previous_tag_size = tag.header.previous_tag_size();
        // PreviousTagSize is the length of header and body.
        let tag_bytes = bytes.get(..previous_tag_size as usize).unwrap_or(bytes);
        out.write_all(tag_bytes)
            .and_then(|()| out.write_all(&previous_tag_size.to_be_bytes()))
            .map_err(cannot_write)?;
        record(&mut writer, &mut parser, &tag);
    }
    out.flush().map_err(cannot_write)?;
    drop(out);
    Ok((findings, writer))
}

/// File with a temporary name. It is deleted unless it is finished.
pub(super) struct TemporaryFile<'o> {
    file: File,
    path: PathBuf,
    output: &'o Path,
    is_finished: bool,
}

impl<'o> TemporaryFile<'o> {
    /// Creates the file next to `output`, or reuses the file of a killed repair.
    pub(super) fn create(output: &'o Path) -> Result<Self, Error> {
        let mut name = OsString::from(output);
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let cannot_write = |error| Error::Write {
            path: path.clone(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(cannot_write)?;
        output::lock(&file).map_err(|_| Error::Busy)?;
        if !reclaim(&mut file).map_err(cannot_write)? {
            return Err(Error::TemporaryExists(path));
        }
        Ok(Self {
            file,
            path,
            output,
            is_finished: false,
        })
    }

    fn cannot_write(&self, error: io::Error) -> Error {
        Error::Write {
            path: self.path.clone(),
            error,
        }
    }

    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Error> {
        write(&mut self.file).map_err(|error| self.cannot_write(error))
    }

    /// Renames the file to `output`, with the owner and permissions of the file that it replaces. `source`
    /// may be that file.
    pub(super) fn finish(mut self, source: File) -> Result<(), Error> {
        let output = self.output;
        let path = self.path.clone();
        // Sync before the rename: otherwise a crash could leave an empty file under the final name.
        self.write(|file| {
            if let Ok(before) = fs::metadata(output) {
                output::keep_attributes(file, &before)?;
            }
            output::ignore_unsupported_sync(file.sync_all())?;
            // Windows replaces an open file only on NTFS. Elsewhere, the lock must last until the rename.
            let _locked = Some(source).filter(|_| !cfg!(windows));
            fs::rename(path, output)
        })?;
        self.is_finished = true;
        output::sync_directory_of(output);
        Ok(())
    }
}

impl Drop for TemporaryFile<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _file_remains = fs::remove_file(&self.path);
        }
    }
}

/// Empties a new file or one that a killed repair left. Returns false for any other file.
fn reclaim(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(MARK_BYTES).read_to_end(&mut start)?;
    let is_own_movie =
        || is_movie(&start) && !matches!(read_start(&start, 0), ReadStart::Foreign(_));
    if !start.is_empty() && !head::is_rewritable(&start) && !is_own_movie() {
        return Ok(false);
    }
    file.set_len(0)?;
    file.rewind()?;
    Ok(true)
}

/// Suffix of the temporary file.
const SUFFIX: &str = ".repairing";

/// Number of bytes that identify a head written by rtmpull.
const MARK_BYTES: u64 = 128;

/// Size of the write buffer.
const BUFFER_BYTES: usize = 1 << 20;
