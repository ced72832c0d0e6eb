//! Repair of truncated or damaged files, and keyframe indexes for FLV files written by other programs.
//!
//! A file with a head written by rtmpull is repaired in place: a torn tag at its end is cut off, and the
//! head is updated. Any other file, and a file with garbage between its tags, is copied tag by tag into a
//! temporary file, which replaces the original at the end. Both ways keep all intact tags readable at
//! every instant, so the repair may be killed at any time.
//!
//! An MP4 file written by rtmpull is finished in place, see `movie`.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod movie;
mod rewrite;
mod source;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

use self::source::Source;
use crate::{
    core::{
        flv::{
            self, FrameInfo, FrameParser, HeadWriter, TagKind, head, reader::TagView,
            salvage::Piece,
        },
        mp4::reader::{Foreign, is_movie},
    },
    output::{self, Format},
};

/// Repairs `file`, or copies its intact tags to `output` and leaves `file` unchanged.
///
/// `progress` is called with the number of bytes read and the length of the file. If it returns false,
/// the repair ends with [`Error::Interrupted`] and leaves all files unchanged.
pub fn repair(
    file: &Path,
    output: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let path = fs::canonicalize(file).map_err(Error::Open)?;
    // Opening a pipe would block until a writer opens it.
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
    let format = match is_mp4(&file).map_err(Error::Read)? {
        true => Format::Mp4,
        false => Format::Flv,
    };
    let Some(output) = output else {
        return match format {
            Format::Flv => in_place(file, &path, progress),
            Format::Mp4 => movie::in_place(file, &path, progress),
        };
    };
    if fs::canonicalize(output).is_ok_and(|output| output == path) {
        return Err(Error::SameFile);
    }
    let selected = output.extension().and_then(Format::by_extension);
    if let Some(selected) = selected.filter(|selected| *selected != format) {
        return Err(Error::OutputFormat {
            found: name(format),
            selected: name(selected),
            output: output.to_owned(),
        });
    }
    ensure_replaceable(output)?;
    match format {
        Format::Flv => rewrite::write(file, output, progress),
        Format::Mp4 => movie::copy(file, output, progress),
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Flv => "FLV",
        Format::Mp4 => "MP4",
    }
}

/// Returns whether the file starts like a file of the MP4 family.
///
/// The media of an MP4 file can contain bytes that look like FLV tags. A repair as FLV would keep only these.
fn is_mp4(mut file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.rewind()?;
    file.take(BOX_HEADER).read_to_end(&mut start)?;
    Ok(is_movie(&start))
}

/// Checks that `output` may be replaced. A rename would delete the file of a running recording.
fn ensure_replaceable(output: &Path) -> Result<(), Error> {
    if fs::metadata(output).is_ok_and(|before| !before.is_file()) {
        return Err(Error::OutputNotRegularFile(output.to_owned()));
    }
    let Ok(before) = File::open(output) else {
        return Ok(());
    };
    output::lock(&before).map_err(|_| Error::OutputBusy(output.to_owned()))
}

/// Result of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// How the file was repaired.
    pub method: Method,
    /// Container of the file.
    pub format: Format,
    /// Number of audio and video tags, or of frames in an MP4 file.
    pub tags: u64,
    /// Duration in milliseconds.
    pub duration_ms: u32,
    /// Number of bytes cut off at the end.
    pub torn_bytes: u64,
    /// Number of bytes between tags that belong to no tag.
    pub garbage_bytes: u64,
    /// Number of tags whose PreviousTagSize was wrong.
    pub corrected_sizes: u64,
}

/// How a file was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// The file is intact.
    #[default]
    Unchanged,
    /// Torn bytes were cut off and the head was updated.
    InPlace,
    /// All tags were copied to a new file.
    Rewritten,
}

/// Error of a repair. The file is unchanged, except after a failed write in place.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// The repaired file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The written file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// The path is a directory, a pipe or a device.
    #[error("it is not a regular file")]
    NotRegularFile,
    /// The file has no bytes.
    #[error("it is empty")]
    Empty,
    /// The file is not FLV.
    #[error(transparent)]
    NotFlv(flv::Error),
    /// The file is MP4, and rtmpull cannot finish it.
    #[error(
        "{0}: --repair finishes MP4 files of rtmpull; for others, try ffmpeg -i FILE -c copy NEW.mp4"
    )]
    ForeignMp4(Foreign),
    /// The MP4 file was finished with its tables at the start.
    #[error("{}", Foreign::Faststart)]
    Faststart,
    /// The MP4 file has no media.
    #[error("it contains no media: it ends before the end of its first fragment")]
    NoFragment,
    /// Too many fragments of the MP4 file are damaged.
    #[error("it has too many damaged fragments to repair it, the last one at byte {0}")]
    Damaged(u64),
    /// The name of the output selects another format.
    #[error("the name of the output {} selects {selected}, but the file is {found}", output.display())]
    OutputFormat {
        /// Format of the file.
        found: &'static str,
        /// Format that the name selects.
        selected: &'static str,
        /// Name of the output.
        output: PathBuf,
    },
    /// The file has neither audio nor video.
    #[error("it contains no complete audio or video tag")]
    NoMedia,
    /// Another rtmpull writes the file.
    #[error("another program is writing it")]
    Busy,
    /// The file grew during the repair.
    #[error("it grew during the repair, so another program is still writing it")]
    Grew,
    /// The output is the input file.
    #[error("the output is the same file; omit -o to repair it in place")]
    SameFile,
    /// The output is a directory, a pipe or a device, which is not replaced.
    #[error("the output {} is not a regular file", .0.display())]
    OutputNotRegularFile(PathBuf),
    /// Another rtmpull writes the output.
    #[error("another program is writing the output {}", .0.display())]
    OutputBusy(PathBuf),
    /// The name of the temporary file is taken by a file of another program.
    #[error("{} exists and is not a temporary file of rtmpull; move it away first", .0.display())]
    TemporaryExists(PathBuf),
    /// The caller interrupted the repair.
    #[error("interrupted")]
    Interrupted,
}

/// Counts of the tags read so far.
#[derive(Debug, Default)]
struct Findings {
    repaired: Repaired,
    /// Garbage after the last tag; torn bytes if the file ends here.
    garbage_bytes: u64,
}

impl Findings {
    fn garbage(&mut self, bytes: u64) {
        self.garbage_bytes = self.garbage_bytes.saturating_add(bytes);
    }

    fn tag(&mut self, tag: &TagView<'_>, is_size_wrong: bool) {
        let Repaired {
            garbage_bytes,
            corrected_sizes,
            tags,
            ..
        } = &mut self.repaired;
        let is_media = matches!(tag.header.kind, TagKind::AUDIO | TagKind::VIDEO);
        // A tag follows, so the garbage is not a torn end.
        let garbage = std::mem::take(&mut self.garbage_bytes);
        *garbage_bytes = garbage_bytes.saturating_add(garbage);
        *corrected_sizes = corrected_sizes.saturating_add(is_size_wrong.into());
        *tags = tags.saturating_add(is_media.into());
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

/// Repairs a file with a head written by rtmpull, or rewrites it if that is not sufficient.
fn in_place(
    file: File,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let mut source = Source::new(&file).map_err(Error::Read)?;
    let start = source.start().map_err(Error::Read)?;
    let Some(mut writer) = HeadWriter::reopen(start) else {
        return rewrite::write(file, path, progress);
    };
    let mut findings = Findings::default();
    let mut parser = FrameParser::new();
    while let Some(piece) = source.next(progress)? {
        match piece {
            Piece::Garbage(bytes) => findings.garbage(bytes),
            Piece::Tag {
                tag, is_size_wrong, ..
            } => {
                findings.tag(&tag, is_size_wrong);
                if tag.offset >= head::LENGTH as u64 {
                    record(&mut writer, &mut parser, &tag);
                }
            }
        }
        // Garbage between tags cannot be removed in place without moving all later tags.
        if findings.repaired.garbage_bytes > 0 || findings.repaired.corrected_sizes > 0 {
            return rewrite::write(file, path, progress);
        }
    }
    let patches = writer.patches();
    let is_intact = patches.is_empty() && findings.garbage_bytes == 0;
    let method = if is_intact {
        Method::Unchanged
    } else {
        Method::InPlace
    };
    let repaired = findings.finish(method, &writer)?;
    if !is_intact {
        patch_in_place(file, &writer).map_err(|error| Error::Write {
            path: path.to_owned(),
            error,
        })?;
    }
    Ok(repaired)
}

/// Cuts off the bytes after the last complete tag and updates the head.
fn patch_in_place(mut file: File, writer: &HeadWriter) -> io::Result<()> {
    // Cut first: after a crash in between, the old head describes fewer tags than the file has, which
    // players accept.
    file.set_len(writer.length())?;
    write_patches(&mut file, writer)?;
    output::ignore_unsupported_sync(file.sync_all())
}

fn write_patches(file: &mut File, writer: &HeadWriter) -> io::Result<()> {
    for patch in writer.patches() {
        file.seek(SeekFrom::Start(patch.offset))?;
        file.write_all(&patch.bytes)?;
    }
    Ok(())
}

/// Adds a tag to the stats. The body of an encrypted tag is not parsed.
fn record(writer: &mut HeadWriter, parser: &mut FrameParser, tag: &TagView<'_>) {
    let info = if tag.header.is_filtered {
        FrameInfo::opaque(ENCRYPTED)
    } else {
        parser.parse(tag.header.kind, tag.body)
    };
    // FLV allows negative timestamps; the stats do not support them.
    let timestamp_ms = u32::try_from(tag.header.timestamp_ms).unwrap_or(0);
    writer.tag_written(info, timestamp_ms, tag.body.len());
}

/// Size of length and type of a box.
const BOX_HEADER: u64 = 8;

/// Kind under which encrypted tags are counted, so that their body is not parsed.
const ENCRYPTED: TagKind = TagKind(0);

#[cfg(test)]
mod tests;
