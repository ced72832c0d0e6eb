//! Probe of an FLV or MP4 file, without the network.
//!
//! An FLV file is read once from start to end. Of an MP4 file, the tables are read, and only the media that contains
//! the setup of a decoder. The memory does not depend on the length of the file.
//!
//! | module | contents |
//! | --- | --- |
//! | [`finding`] | damage and other irregularities of files, with stable codes |
//! | [`flv`] | FLV files |
//! | `format` | names of other formats |
//! | [`mp4`] | MP4 files |
//! | `samples` | samples of an MP4 file as messages of a stream |
//! | `source` | bytes of a file |

pub mod finding;
pub mod flv;
mod format;
pub mod mp4;
mod samples;
mod source;

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::Path,
};

use thiserror::Error;

pub use self::{
    finding::{FileCode, FileFinding},
    flv::FlvFacts,
    mp4::Mp4Facts,
};
use crate::{
    core::{analysis::StreamFacts, mp4::reader::is_movie},
    output,
};

/// Facts of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFacts {
    /// Length in bytes.
    pub size: u64,
    /// Whether another rtmpull writes the file.
    pub is_being_written: bool,
    /// Facts of the format.
    pub container: Container,
    /// Tracks, metadata and health of the media.
    pub media: StreamFacts,
    /// Duration that the file states, in milliseconds.
    pub stated_duration_ms: Option<u64>,
    /// Duration of the media in milliseconds.
    pub duration_ms: u64,
    /// Damage and other irregularities of the file, in the order of their codes.
    pub findings: Vec<FileFinding>,
    /// What `--repair` can do.
    pub repair: Repair,
}

/// Format of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Container {
    /// FLV.
    Flv(FlvFacts),
    /// MP4 and other files of its family.
    Mp4(Mp4Facts),
}

/// What `--repair` can do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing must be repaired.
    NotNeeded,
    /// It changes the file in place.
    InPlace,
    /// It copies the media to a new file, which replaces the file.
    Rewrite,
    /// It cannot repair the file, for this reason.
    Impossible(&'static str),
}

/// Why a file cannot be probed.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// The path is a directory.
    #[error("it is a directory")]
    Directory,
    /// The path is a pipe or a device.
    #[error("it is not a regular file")]
    NotRegularFile,
    /// The file has no bytes.
    #[error("it is empty")]
    Empty,
    /// The file has another format, which has this name.
    #[error("it is {0}, not an FLV or MP4 file")]
    OtherFormat(&'static str),
    /// The file is neither MP4 nor FLV. It starts with these bytes.
    #[error("it is neither an FLV nor an MP4 file: it starts with {0:02x?}")]
    UnknownFormat(Vec<u8>),
}

/// Probes a file.
///
/// # Errors
///
/// Fails if the file cannot be read, or is neither FLV nor MP4. Damage is not an error.
pub fn run(path: &Path) -> Result<FileFacts, Error> {
    // Opening a pipe would block until a writer opens it.
    let metadata = fs::metadata(path).map_err(Error::Open)?;
    if metadata.is_dir() {
        return Err(Error::Directory);
    }
    if !metadata.is_file() {
        return Err(Error::NotRegularFile);
    }
    if metadata.len() == 0 {
        return Err(Error::Empty);
    }
    let mut file = File::open(path).map_err(Error::Open)?;
    let is_being_written = output::lock_shared(&file).is_err();
    let mut start = Vec::new();
    (&file)
        .take(format::START_BYTES)
        .read_to_end(&mut start)
        .map_err(Error::Read)?;
    file.rewind().map_err(Error::Read)?;
    let mut facts = match is_movie(&start) {
        true => mp4::read(file, metadata.len()).map_err(Error::Read)?,
        false => flv::read(file, metadata.len(), || unknown_format(&start))?,
    };
    facts.is_being_written = is_being_written;
    facts.findings.sort_by_key(|finding| finding.code);
    Ok(facts)
}

/// Returns the error for a file of another format.
fn unknown_format(start: &[u8]) -> Error {
    let first = || Error::UnknownFormat(start.get(..FIRST_BYTES).unwrap_or(start).to_vec());
    format::name(start).map_or_else(first, Error::OtherFormat)
}

/// Number of bytes of an unknown format that are printed.
const FIRST_BYTES: usize = 4;

#[cfg(test)]
mod tests;
