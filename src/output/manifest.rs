//! The list of finished segments (`--manifest`).

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::SegmentFacts;

/// A file with a line of JSON for each finished and for each deleted segment.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    file: Option<File>,
    has_failed: bool,
}

/// Opens a manifest for appending, and creates it if it does not exist.
pub fn open_manifest(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

impl Manifest {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            has_failed: false,
        }
    }

    /// Appends the line of a segment.
    pub(super) fn add(&mut self, facts: &SegmentFacts) {
        self.add_line(facts);
    }

    /// Appends a line. The recording does not depend on it: only the first failure is logged.
    pub(super) fn add_line(&mut self, members: &impl Serialize) {
        if let Err(error) = self.append(members)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
    }

    fn append(&mut self, members: &impl Serialize) -> io::Result<()> {
        let mut line = Vec::new();
        // After a failed write, the file is opened again and may end with a torn line.
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = open_manifest(&self.path)?;
                if is_torn(&self.path, &file).unwrap_or(false) {
                    line.push(b'\n');
                }
                file
            }
        };
        serde_json::to_writer(&mut line, members)?;
        line.push(b'\n');
        // A single write per line, so that a program that reads the file sees complete lines.
        file.write_all(&line)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Whether the last line is incomplete, after a kill or on a full disk.
fn is_torn(path: &Path, file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    let mut reader = File::open(path)?;
    reader.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    reader.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
