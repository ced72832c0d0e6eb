//! The list of parts, beside them.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::SegmentFacts;

/// A file that gets a line of JSON for each part.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    file: Option<File>,
    has_failed: bool,
}

/// Opens a list to add to, which is made where there is none.
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

    /// Adds a line. The recording does not depend on it: a failure is told once.
    pub(super) fn add(&mut self, facts: &SegmentFacts) {
        if let Err(error) = self.append(facts)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
    }

    fn append(&mut self, facts: &SegmentFacts) -> io::Result<()> {
        let mut line = Vec::new();
        // A file that takes no more is looked at anew for the next line.
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
        serde_json::to_writer(&mut line, facts)?;
        line.push(b'\n');
        // One write for a whole line: whoever follows the file sees no half of it.
        file.write_all(&line)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Whether the last line has no end, as a kill or a full disk leaves it.
fn is_torn(path: &Path, file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    if !found.is_file() || found.len() == 0 {
        return Ok(false);
    }
    let mut reader = File::open(path)?;
    reader.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    reader.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
