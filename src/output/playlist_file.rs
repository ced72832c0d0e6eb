//! The playlist beside an MP4 file (`--hls`).

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A playlist, to which complete lines are appended. The recording does not depend on it: only the first failure
/// is logged, and nothing is written after it.
#[derive(Debug)]
pub(super) struct PlaylistFile {
    path: PathBuf,
    file: Option<File>,
    has_failed: bool,
}

impl PlaylistFile {
    /// Prepares the playlist of an MP4 file. An earlier playlist with this name is removed, because it refers to
    /// another file.
    pub(super) fn beside(file: &Path) -> Self {
        let mut playlist = Self {
            path: file.with_extension("m3u8"),
            file: None,
            has_failed: false,
        };
        let removed = remove(&playlist.path);
        playlist.check(removed);
        playlist
    }

    /// Appends complete lines with a single write. A player that reads the file meanwhile sees no torn line.
    pub(super) fn append(&mut self, lines: &str) {
        if !lines.is_empty() && !self.has_failed {
            let written = self.write(lines.as_bytes());
            self.check(written);
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create_new(&self.path)?),
        };
        file.write_all(lines)
    }

    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.has_failed = true;
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
    }
}

/// Removes an earlier playlist. Any other file is an error.
fn remove(path: &Path) -> io::Result<()> {
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(START.len() as u64).read_to_end(&mut start)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !start.is_empty() && start != START {
        return Err(io::Error::other("the file exists and is not a playlist"));
    }
    fs::remove_file(path)
}

/// First bytes of a playlist (RFC 8216 4.3.1.1).
const START: &[u8] = b"#EXTM3U";
