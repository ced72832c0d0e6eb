//! Making files whole that were cut off or damaged, and seekable those that others wrote.
//!
//! A file with a head of ours is mended where it stands: what is torn at its end is cut off, and what
//! changed in the head is rewritten. Any other file, and one with garbage between its tags, is written
//! anew beside the old one and takes its name when it is whole. Either way a file that is being
//! repaired holds all its tags at every instant.

mod rewrite;
mod source;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

use self::source::{Piece, Source};
use crate::{
    core::{
        amf::{Object, Value, amf0},
        flv::{self, HeadWriter, TagKind, head, reader::TagView},
    },
    output,
};

/// Repairs `file`, or writes what can be saved of it to `output` and leaves it alone.
///
/// `watch` is told now and then how many bytes of how many were read; where it returns false, the
/// repair is given up and every file is as it was.
pub fn repair(
    file: &Path,
    output: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let path = fs::canonicalize(file).map_err(Error::Open)?;
    // Opening a pipe would wait for whoever is at its other end.
    let metadata = fs::metadata(&path).map_err(Error::Open)?;
    if !metadata.is_file() {
        return Err(Error::NotRegularFile);
    }
    if metadata.len() == 0 {
        return Err(Error::Empty);
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(output.is_none()).open(&path);
    let file = file.map_err(Error::Open)?;
    output::lock(&file).map_err(|_| Error::Busy)?;
    match output {
        None => in_place(file, &path, progress),
        Some(output) if fs::canonicalize(output).is_ok_and(|output| output == path) => {
            Err(Error::SameFile)
        }
        Some(output) => {
            ensure_replaceable(output)?;
            rewrite::write(&file, output, progress)
        }
    }
}

/// What the output takes the place of is a file at rest: a recording that loses its name is lost.
fn ensure_replaceable(output: &Path) -> Result<(), Error> {
    if fs::metadata(output).is_ok_and(|before| !before.is_file()) {
        return Err(Error::OutputNotRegularFile(output.to_owned()));
    }
    let Ok(before) = File::open(output) else {
        return Ok(());
    };
    output::lock(&before).map_err(|_| Error::OutputBusy(output.to_owned()))
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// How it was done.
    pub method: Method,
    /// Audio and video tags that it holds.
    pub tags: u64,
    /// How long it plays, in milliseconds.
    pub duration_ms: u32,
    /// Bytes that were cut off at the end.
    pub torn_bytes: u64,
    /// Bytes that lay between tags and belonged to none.
    pub garbage_bytes: u64,
    /// Tags whose back pointer was wrong.
    pub corrected_sizes: u64,
}

/// How a file was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Nothing was wrong with it.
    #[default]
    Unchanged,
    /// Where it stood.
    InPlace,
    /// As a new file.
    Rewritten,
}

/// Why a file was not repaired. It is as it was.
#[derive(Debug, Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// What was saved cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file that was being written.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("no regular file")]
    NotRegularFile,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is something else than FLV.
    #[error(transparent)]
    NotFlv(flv::Error),
    /// It has neither audio nor video.
    #[error("no whole tag of audio or video in it")]
    NoMedia,
    /// Somebody is recording into it.
    #[error("it is being written at the moment")]
    Busy,
    /// Somebody has written into it meanwhile.
    #[error("it grew meanwhile, somebody is still writing it")]
    Grew,
    /// The output would be the file itself.
    #[error("the output is the file itself; without -o it is repaired in place")]
    SameFile,
    /// The output is a directory, a pipe or a device, whose place no file may take.
    #[error("the output {} is no regular file", .0.display())]
    OutputNotRegularFile(PathBuf),
    /// Somebody is recording into the output.
    #[error("the output {} is being written at the moment", .0.display())]
    OutputBusy(PathBuf),
    /// A file of the name that the new one has until it is whole.
    #[error("{} is in the way", .0.display())]
    TemporaryExists(PathBuf),
    /// The user did not want to wait.
    #[error("interrupted")]
    Interrupted,
}

/// What is known of a file's tags once they were walked.
#[derive(Debug, Default)]
struct Findings {
    repaired: Repaired,
    /// Garbage up to now that no tag has followed.
    garbage_bytes: u64,
}

impl Findings {
    fn garbage(&mut self, bytes: u64) {
        self.garbage_bytes += bytes;
    }

    fn tag(&mut self, tag: &TagView<'_>, is_size_wrong: bool) {
        self.repaired.garbage_bytes += std::mem::take(&mut self.garbage_bytes);
        self.repaired.corrected_sizes += u64::from(is_size_wrong);
        let is_media = matches!(tag.header.kind, TagKind::AUDIO | TagKind::VIDEO);
        self.repaired.tags += u64::from(is_media);
    }

    fn finish(self, method: Method, writer: &HeadWriter) -> Result<Repaired, Error> {
        if self.repaired.tags == 0 {
            return Err(Error::NoMedia);
        }
        Ok(Repaired {
            method,
            duration_ms: writer.duration_ms(),
            torn_bytes: self.garbage_bytes,
            ..self.repaired
        })
    }
}

/// Mends a file of ours where it stands, or has it written anew where that is not enough.
fn in_place(
    file: File,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let mut source = Source::new(&file).map_err(Error::Read)?;
    let start = source.start().map_err(Error::Read)?;
    let Some(mut writer) = HeadWriter::reopen(start) else {
        return rewrite::write(&file, path, progress);
    };
    let mut findings = Findings::default();
    while let Some(piece) = source.next(progress)? {
        match piece {
            Piece::Garbage(bytes) => findings.garbage(bytes),
            Piece::Tag {
                tag, is_size_wrong, ..
            } => {
                findings.tag(&tag, is_size_wrong);
                if tag.offset >= head::LENGTH as u64 {
                    record(&mut writer, &tag);
                }
            }
        }
        if findings.repaired.garbage_bytes + findings.repaired.corrected_sizes > 0 {
            return rewrite::write(&file, path, progress);
        }
    }
    let patches = writer.patches();
    let is_whole = patches.is_empty() && findings.garbage_bytes == 0;
    let method = if is_whole {
        Method::Unchanged
    } else {
        Method::InPlace
    };
    let repaired = findings.finish(method, &writer)?;
    if !is_whole {
        patch_in_place(file, &writer).map_err(|error| Error::Write {
            path: path.to_owned(),
            error,
        })?;
    }
    Ok(repaired)
}

/// Cuts off what is behind the last whole tag, and makes the head true. What was torn goes first: a head
/// that speaks of less than there is does no harm.
fn patch_in_place(mut file: File, writer: &HeadWriter) -> io::Result<()> {
    file.set_len(writer.length())?;
    write_patches(&mut file, writer)?;
    file.sync_all()
}

fn write_patches(file: &mut File, writer: &HeadWriter) -> io::Result<()> {
    for patch in writer.patches() {
        file.seek(SeekFrom::Start(patch.offset))?;
        file.write_all(&patch.bytes)?;
    }
    Ok(())
}

/// Keeps the books for a tag. Nobody looks into an encrypted one.
fn record(writer: &mut HeadWriter, tag: &TagView<'_>) {
    let kind = if tag.header.is_filtered {
        ENCRYPTED
    } else {
        tag.header.kind
    };
    let timestamp_ms = u32::try_from(tag.header.timestamp_ms).unwrap_or(0);
    writer.note(kind, timestamp_ms, tag.body);
}

/// The fields of an `onMetaData`, if that is what the tag is; none where they are damaged.
fn on_meta_data(tag: &TagView<'_>) -> Option<Object> {
    if tag.header.kind != TagKind::SCRIPT || tag.header.is_filtered {
        return None;
    }
    let (values, _) = amf0::decode_all(tag.body.to_vec().into());
    let name = values
        .iter()
        .position(|value| value == &ON_META_DATA.into())?;
    // A publisher's command may have been left in front of it.
    let is_first = name == 0 || name == 1 && values.first() == Some(&"@setDataFrame".into());
    let fields = values.get(name + 1).and_then(Value::as_object);
    is_first.then(|| fields.cloned().unwrap_or_default())
}

const ON_META_DATA: &str = "onMetaData";

/// What an encrypted tag counts as: a kind that nobody knows.
const ENCRYPTED: TagKind = TagKind(0);

#[cfg(test)]
mod tests;
