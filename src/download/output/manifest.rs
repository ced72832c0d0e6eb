//! The list of parts, beside them.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::PartFacts;

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
    pub(super) fn add(&mut self, facts: &PartFacts) {
        if let Err(error) = self.append(facts)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
    }

    fn append(&mut self, facts: &PartFacts) -> io::Result<()> {
        let mut line = serde_json::to_vec(facts)?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_manifest(&self.path)?),
        };
        // One write for a whole line: whoever follows the file sees no half of it.
        file.write_all(&line)
    }
}
