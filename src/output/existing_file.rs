//! A file of an earlier run that the recording continues.

use std::{fs::File, io, path::PathBuf};

use super::totals::Totals;
use crate::core::flv::HeadWriter;

/// A file that an earlier run wrote.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    pub(crate) path: PathBuf,
    /// Open for reading and writing.
    pub(crate) file: File,
    /// Statistics of all intact tags; its length is the end of the last one.
    pub(crate) writer: HeadWriter,
    /// Number of intact tags, without a head written by rtmpull.
    pub(crate) tags: u64,
    pub(crate) has_video: bool,
}

impl ExistingFile {
    /// Cuts off a torn tag or garbage after the last intact tag. An intact file is not touched.
    pub(super) fn cut_garbage(&self) -> io::Result<()> {
        let end = self.writer.length();
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        Ok(())
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            bytes: self.writer.length(),
            tags: self.tags,
        }
    }
}
