//! An FLV file or pipe that is read while the output is written.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    core::{
        flv::{
            self,
            salvage::{Piece, SalvageWindow},
        },
        mp4,
    },
    output,
};

/// Source of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file, a FIFO or a device.
    File(PathBuf),
}

/// Error of an input.
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
    /// Another rtmpull writes the file.
    #[error("another program is writing it")]
    Busy,
    /// The input has no bytes.
    #[error("it is empty")]
    Empty,
    /// The input is MP4.
    #[error("it is an MP4 file, but --remux reads only FLV")]
    Mp4,
    /// The input is not FLV.
    #[error(transparent)]
    NotFlv(flv::Error),
    /// The input has neither audio nor video.
    #[error("it contains no complete audio or video tag")]
    NoMedia,
}

impl Input {
    /// Returns the name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether the input can be read again from its start.
    pub(super) fn can_be_reopened(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.is_file(),
        }
    }

    /// Checks that the input can be read and is not of another format, as far as that is known without
    /// waiting. Returns its length, or `None` for a pipe or a device.
    ///
    /// # Errors
    ///
    /// Fails if the input cannot be opened, is being written, is empty, or is MP4.
    pub fn check(&self) -> Result<Option<u64>, Error> {
        let Self::File(path) = self else {
            return Ok(None);
        };
        let found = fs::metadata(path).map_err(Error::Open)?;
        if found.is_dir() {
            return Err(Error::Directory);
        }
        // Opening a FIFO would wait for a writer.
        if !found.is_file() {
            return Ok(None);
        }
        let mut start = Vec::new();
        let mut file = open(path)?.take(FILE_TYPE_END);
        file.read_to_end(&mut start).map_err(Error::Read)?;
        match start.as_slice() {
            [] => Err(Error::Empty),
            start if mp4::has_file_type(start) => Err(Error::Mp4),
            _ => Ok(Some(found.len())),
        }
    }
}

/// Reads the pieces of an input.
pub(super) struct Reader {
    source: Box<dyn AsyncRead + Send + Unpin>,
    window: SalvageWindow,
    /// Number of bytes read.
    bytes: u64,
    is_at_end: bool,
}

impl Reader {
    pub(super) fn open(input: &Input) -> Result<Self, Error> {
        let source: Box<dyn AsyncRead + Send + Unpin> = match input {
            Input::Stdin => Box::new(tokio::io::stdin()),
            Input::File(path) => Box::new(tokio::fs::File::from_std(open(path)?)),
        };
        Ok(Self {
            source,
            window: SalvageWindow::new(),
            bytes: 0,
            is_at_end: false,
        })
    }

    /// Returns the next piece. `None` means that more bytes must be read, or the end of the input.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'_>>, Error> {
        if !self.is_at_end && self.bytes < FILE_TYPE_END {
            return Ok(None);
        }
        let found = self.window.advance(self.is_at_end);
        Ok(found.map_err(Error::NotFlv)?.then(|| self.window.piece()))
    }

    /// Reads more bytes. The future may be dropped and created again.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        let buffer = self.window.buffer();
        buffer.reserve(READ_BYTES);
        let read = self.source.read_buf(buffer).await.map_err(Error::Read)? as u64;
        let is_start = self.bytes < FILE_TYPE_END;
        self.bytes = self.bytes.saturating_add(read);
        self.is_at_end = read == 0;
        if self.is_at_end && self.bytes == 0 {
            return Err(Error::Empty);
        }
        // The media of an MP4 file can contain bytes that look like FLV tags.
        if is_start && self.bytes >= FILE_TYPE_END && mp4::has_file_type(self.window.rest()) {
            return Err(Error::Mp4);
        }
        Ok(())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Number of bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Opens a file that no other rtmpull is writing.
fn open(path: &Path) -> Result<File, Error> {
    let file = File::open(path).map_err(Error::Open)?;
    output::lock_shared(&file).map_err(|_| Error::Busy)?;
    Ok(file)
}

/// Offset after length and type of the first box of an MP4 file.
const FILE_TYPE_END: u64 = 8;

/// Bytes per read.
const READ_BYTES: usize = 1 << 20;
