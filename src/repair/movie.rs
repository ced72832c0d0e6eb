//! MP4 files written by rtmpull: a torn fragment is cut off, and the tables of the file are added.
//!
//! Damaged fragments before intact ones are covered by a `free` box, which players skip. A repair that is killed
//! leaves the file fragmented, with all frames.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use super::{Error, Method, Repaired, rewrite::TemporaryFile};
use crate::{
    core::mp4::reader::Foreign,
    output::{ExistingMovie, Format, Purpose, ReadMovie, finish_movie, read_movie},
};

/// Finishes `file` in place, unless it is complete.
pub(super) fn in_place(
    file: File,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let movie = read(&file, progress)?;
    if movie.is_complete() {
        return Ok(summary(&movie, Method::Unchanged));
    }
    let repaired = summary(&movie, Method::InPlace);
    finish_movie(file, *movie).map_err(|error| Error::Write {
        path: path.to_owned(),
        error,
    })?;
    Ok(repaired)
}

/// Copies `file` to `output`, and finishes the copy.
pub(super) fn copy(
    mut file: File,
    output: &Path,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Repaired, Error> {
    let movie = read(&file, progress)?;
    let repaired = summary(&movie, Method::Rewritten);
    let mut temporary = TemporaryFile::create(output)?;
    file.rewind().map_err(Error::Read)?;
    temporary.write(|copy| {
        io::copy(&mut (&file).take(movie.end()), copy)?;
        finish_movie(copy.try_clone()?, *movie)
    })?;
    temporary.finish(file)?;
    Ok(repaired)
}

fn read(
    mut file: &File,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Box<ExistingMovie>, Error> {
    let length = file.metadata().map_err(Error::Read)?.len();
    let mut progress = |read| progress(read, length);
    match read_movie(&mut file, length, Purpose::Repair, &mut progress).map_err(Error::Read)? {
        ReadMovie::Movie(movie) => Ok(movie),
        ReadMovie::NoMedia => Err(Error::NoFragment),
        ReadMovie::Foreign(Foreign::Faststart) => Err(Error::Faststart),
        ReadMovie::Foreign(foreign) => Err(Error::ForeignMp4(foreign)),
        ReadMovie::Damaged(offset) => Err(Error::Damaged(offset)),
        ReadMovie::Interrupted => Err(Error::Interrupted),
    }
}

fn summary(movie: &ExistingMovie, method: Method) -> Repaired {
    Repaired {
        method,
        format: Format::Mp4,
        tags: movie.frames(),
        duration_ms: u32::try_from(movie.duration_ms()).unwrap_or(u32::MAX),
        torn_bytes: movie.torn_bytes(),
        garbage_bytes: movie.damaged_bytes(),
        corrected_sizes: 0,
    }
}
