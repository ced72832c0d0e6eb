//! Writing what a file has as a new file, which takes its name when it is whole.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::{
    Error, Findings, Method, Repaired, on_meta_data, record,
    source::{Piece, Source},
    write_patches,
};
use crate::{
    core::flv::{HeadWriter, Layout, head},
    output,
};

/// Writes what can be saved of `file` to `output`, with a head of ours in front.
pub(super) fn write(
    file: &File,
    output: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let output = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    let mut source = Source::new(file).map_err(Error::Read)?;
    let mut temporary = TemporaryFile::create(&output)?;
    let (findings, writer) = copy(&mut source, &temporary, progress)?;
    let repaired = findings.finish(Method::Rewritten, &writer)?;
    if source.has_grown().map_err(Error::Read)? {
        return Err(Error::Grew);
    }
    temporary.write(|file| write_patches(file, &writer))?;
    temporary.finish()?;
    Ok(repaired)
}

/// Copies all tags but `onMetaData`, whose fields go into the head.
fn copy(
    source: &mut Source<'_>,
    temporary: &TemporaryFile<'_>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(Findings, HeadWriter), Error> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, &temporary.file);
    let mut writer = HeadWriter::new(Layout::Seekable);
    let mut findings = Findings::default();
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
        if let Some(fields) = on_meta_data(&tag) {
            writer.set_metadata(&fields);
            continue;
        }
        let back_pointer = tag.header.previous_tag_size();
        out.write_all(&bytes[..back_pointer as usize])
            .and_then(|()| out.write_all(&back_pointer.to_be_bytes()))
            .map_err(cannot_write)?;
        record(&mut writer, &tag);
    }
    out.flush().map_err(cannot_write)?;
    drop(out);
    Ok((findings, writer))
}

/// The new file, under a name of its own. It is removed again unless it is finished.
struct TemporaryFile<'o> {
    file: File,
    path: PathBuf,
    output: &'o Path,
    is_finished: bool,
}

impl<'o> TemporaryFile<'o> {
    /// Creates it beside `output`, or takes the one that a killed repair has left.
    fn create(output: &'o Path) -> Result<Self, Error> {
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

    fn write(&mut self, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
        write(&mut self.file).map_err(|error| self.cannot_write(error))
    }

    /// Gives it the name that it is for, and the owner and the permissions of what had it.
    fn finish(mut self) -> Result<(), Error> {
        let output = self.output;
        let path = self.path.clone();
        self.write(|file| {
            if let Ok(before) = fs::metadata(output) {
                keep_owner(file, &before);
                file.set_permissions(before.permissions())?;
            }
            file.sync_all()?;
            fs::rename(path, output)
        })?;
        self.is_finished = true;
        sync_directory_of(output);
        Ok(())
    }
}

impl Drop for TemporaryFile<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _stays_behind = fs::remove_file(&self.path);
        }
    }
}

/// Empties the file if it is one that was left behind by a repair, or new.
fn reclaim(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(MARK_BYTES).read_to_end(&mut start)?;
    if !start.is_empty() && !head::is_rewritable(&start) {
        return Ok(false);
    }
    file.set_len(0)?;
    file.rewind()?;
    Ok(true)
}

/// Only the superuser may give a file away; others keep what they can.
#[cfg(unix)]
fn keep_owner(file: &File, before: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};

    let _ = fchown(file, None, Some(before.gid()));
    let _ = fchown(file, Some(before.uid()), None);
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) {}

/// A name is on the disk when its directory is. Where folders cannot be opened, the system sees to it.
fn sync_directory_of(file: &Path) {
    if let Some(directory) = file.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
}

/// What the name of a new file ends in until it is whole.
const SUFFIX: &str = ".repairing";

/// What tells a head of ours.
const MARK_BYTES: u64 = 128;

/// How much is written at a time.
const BUFFER_BYTES: usize = 1 << 20;
